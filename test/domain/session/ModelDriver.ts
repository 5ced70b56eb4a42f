/**
 * A client that keeps the rules and a driver whose store says yes and no, both by seed, around the session machine.
 */
import { Arbitrary, Schema } from "effect"
import * as Session from "../../../src/domain/session/Session.ts"
import type { Session as State, SessionInput, SessionOutput } from "../../../src/domain/session/SessionState.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { seeded } from "../../../src/domain/testing/Fixture.ts"
import { packRanges } from "../../../src/domain/file/Packed.ts"
import { RequestId } from "../../../src/domain/wire/Frame.ts"
import { type ClientMessage, ServerMessage } from "../../../src/domain/wire/Message.ts"
import { aDigest, otherDigest, ready } from "./arbitraries.ts"

const Script = Schema.Struct({
  seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff })),
  commands: Schema.Array(
    Schema.Literals(["Fetch", "Describe", "Upload", "Download", "Delta", "Para", "Remove", "Rename"])
  ).check(Schema.isMaxLength(12))
})
export type Script = typeof Script.Type
export const script: Arbitrary.Arbitrary<Script> = Arbitrary.schema(Script)

export interface Played {
  /** final answers by request */
  readonly answers: ReadonlyMap<number, ReadonlyArray<string>>
  /** requests with a final answer, in the order of the answers */
  readonly order: ReadonlyArray<number>
  /** requests that the client cancelled */
  readonly cancelled: ReadonlySet<number>
  readonly final: State
  /** bytes that were written beyond what the upload of that id declared */
  readonly overwritten: number
}

const isFinal = ServerMessage.isAnyOf([
  "Listed",
  "Uploaded",
  "Described",
  "Sent",
  "SameFileNotHere",
  "SuccessfullyParallelized",
  "Removed",
  "Renamed",
  "Refused"
])

const name = FileName.make("a")
const signature = { digest: otherDigest, key: new Uint8Array(32), averageLog2: 16, groups: new Uint8Array(0) }
const someBytes = packRanges([{ offset: 1, length: 2 }])

/** What the client may still send for an upload that was let through. */
interface Grant {
  readonly id: RequestId
  readonly size: number
  /** content may also be copied from the file that is there */
  readonly copies: boolean
  sent: number
  /** refused: what comes now crossed the refusal */
  late: boolean
}

export const play = ({ commands, seed }: Script): Played => {
  const random = seeded(seed)
  const chance = (probability: number): boolean => random() < probability
  const answers = new Map<number, Array<string>>()
  const order: Array<number> = []
  const cancelled = new Set<number>()
  const sizes = new Map<number, number>()
  const written = new Map<number, number>()
  let state: State = ready
  let beside:
    { readonly id: RequestId; readonly kind: "List" | "Describe" | "SendContent"; stopped: boolean } | undefined
  let grant: Grant | undefined
  let offered: RequestId | undefined
  /** the upload that was asked for and neither let through nor refused */
  let waiting: RequestId | undefined

  const hear = (output: Extract<SessionOutput, { readonly _tag: "Send" }>): void => {
    const { id, message } = output
    if (waiting === id) waiting = undefined
    if (message._tag === "Proceed" || message._tag === "SameFileHere") {
      grant = { id, size: sizes.get(id) ?? 0, copies: message._tag === "SameFileHere", sent: 0, late: false }
    }
    if (message._tag === "Sending" && message.signature !== undefined) offered = id
    if (!isFinal(message)) return
    answers.set(id, [...(answers.get(id) ?? []), message._tag])
    order.push(id)
    if (grant?.id !== id) return
    if (message._tag === "Refused" && message.reason === "no-space") grant.late = true
    else grant = undefined
  }

  const act = (output: SessionOutput, bytes: number): SessionInput | undefined => {
    const no = (id: RequestId, reason: "no-space" | "no-such-file" | "store-failed"): SessionInput => ({
      _tag: "Refused",
      id,
      refusal: { reason }
    })
    switch (output._tag) {
      case "Send":
        hear(output)
        return undefined
      case "Stage":
        if (chance(0.2)) return no(output.id, output.command === "Para" ? "no-such-file" : "store-failed")
        return {
          _tag: "Staged",
          id: output.id,
          resumed: 0,
          base: output.command === "Para" ? { size: 9, modified: 1, signature } : undefined
        }
      case "Copy":
        for (const { length } of output.ranges) written.set(output.id, (written.get(output.id) ?? 0) + length)
        return chance(0.1) ? no(output.id, "store-failed") : undefined
      case "Write":
        written.set(output.id, (written.get(output.id) ?? 0) + bytes)
        return chance(0.1) ? no(output.id, "no-space") : undefined
      case "Commit":
        return chance(0.2)
          ? no(output.id, "store-failed")
          : { _tag: "Committed", id: output.id, size: output.size, digest: output.digest }
      case "Open":
        if (chance(0.2)) return no(output.id, "no-such-file")
        return {
          _tag: "Opened",
          id: output.id,
          size: 3,
          modified: 0,
          from: 0,
          ...(output.delta === true && { signature })
        }
      case "Remove":
        return chance(0.2) ? no(output.id, "no-such-file") : { _tag: "Removed", id: output.id, name }
      case "Rename":
        return chance(0.2) ? no(output.id, "no-such-file") : { _tag: "Renamed", id: output.id, name, to: name }
      case "List":
      case "Describe":
      case "SendContent":
        beside = { id: output.id, kind: output._tag, stopped: false }
        return undefined
      case "StopSending":
        if (beside?.id === output.id) beside.stopped = true
        return undefined
      default:
        return undefined
    }
  }

  const feed = (first: SessionInput): void => {
    const bytes = first._tag === "Content" ? first.bytes : 0
    let input: SessionInput | undefined = first
    while (input !== undefined) {
      const step: Session.Step = Session.step(state, input)
      state = step.state
      input = undefined
      for (const output of step.outputs) input = act(output, bytes)
    }
  }
  const say = (id: RequestId, message: ClientMessage): void => feed({ _tag: "Message", id, message })

  const ask = (id: RequestId, command: Script["commands"][number]): void => {
    const size = Math.floor(random() * 6)
    sizes.set(id, size)
    if (command === "Upload" || command === "Para") waiting = id
    switch (command) {
      case "Fetch":
        return say(id, { _tag: "Fetch" })
      case "Describe":
        return say(id, { _tag: "Describe", name })
      case "Download":
        return say(id, { _tag: "Download", name })
      case "Remove":
        return say(id, { _tag: "Remove", name })
      case "Rename":
        return say(id, { _tag: "Rename", name, to: name })
      case "Delta":
        return say(id, { _tag: "Download", name, delta: true })
      case "Upload":
      case "Para":
        return say(id, { _tag: command, name, size, modified: 0 })
    }
  }

  const sendOn = (own: Grant): void => {
    const { id, size } = own
    // What crosses a refusal may end in the middle, with the commit, or with nothing.
    if (own.late && chance(0.5)) return void (grant = undefined)
    if (own.sent < size && chance(0.8)) {
      const bytes = 1 + Math.floor(random() * (size - own.sent))
      own.sent += bytes
      if (own.copies && chance(0.4)) {
        return say(id, { _tag: "Copies", ranges: packRanges([{ offset: 0, length: bytes }]) })
      }
      return feed({ _tag: "Content", id, bytes })
    }
    grant = undefined
    if (!own.late && chance(0.2)) {
      cancelled.add(id)
      return say(id, { _tag: "Cancel" })
    }
    return say(id, { _tag: "Commit", size: own.sent, digest: aDigest })
  }

  const finishBeside = (): void => {
    const work = beside
    beside = undefined
    if (work === undefined) return
    const { id } = work
    if (work.stopped && chance(0.5)) return feed({ _tag: "Refused", id, refusal: { reason: "cancelled" } })
    if (chance(0.2)) return feed({ _tag: "Refused", id, refusal: { reason: "source-changed" } })
    switch (work.kind) {
      case "List":
        return feed({ _tag: "Listed", id, count: 0 })
      case "Describe":
        return feed({ _tag: "Described", id, size: 3, modified: 0, digest: aDigest })
      case "SendContent":
        return feed({ _tag: "Delivered", id, size: 3, digest: aDigest })
    }
  }

  const chooseFrom = (id: RequestId): void => {
    if (chance(0.3)) return say(id, { _tag: "NeedChunks", first: 0, count: 1 })
    if (chance(0.3)) return say(id, { _tag: "NeedBlocks", ranges: someBytes })
    offered = undefined
    return say(id, { _tag: "Want", ranges: someBytes })
  }

  const cancelAny = (last: number): void => {
    const id = RequestId.make(1 + Math.floor(random() * last))
    // A client that cancels an upload sends no more of it.
    if (grant?.id === id) grant = undefined
    if (offered === id) offered = undefined
    cancelled.add(id)
    say(id, { _tag: "Cancel" })
  }

  // The content of one upload has left, or was given up, before the next one is asked for.
  const mustWait = (command: Script["commands"][number] | undefined): boolean =>
    (command === "Upload" || command === "Para") && (grant !== undefined || waiting !== undefined)

  let next = 0
  let saidBye = false
  const sayBye = (): void => {
    saidBye = true
    say(RequestId.make(0), { _tag: "Bye" })
  }
  const isOpen = (): boolean => state._tag !== "Closed"
  while (isOpen()) {
    const dice = random()
    if (next < commands.length && dice < 0.4 && !mustWait(commands[next]))
      ask(RequestId.make((next += 1)), commands[next - 1] ?? "Fetch")
    else if (grant !== undefined && dice < 0.7) sendOn(grant)
    else if (offered !== undefined && dice < 0.75) chooseFrom(offered)
    else if (beside !== undefined && dice < 0.8) finishBeside()
    else if (next > 0 && dice < 0.84) cancelAny(next)
    else if (dice < 0.88) say(RequestId.make(0), { _tag: "Ping" })
    else if (next === commands.length && !saidBye && dice > 0.97) sayBye()
  }
  const overwritten = Array.from(written, ([id, bytes]) => Math.max(0, bytes - (sizes.get(id) ?? 0)))
  return { answers, order, cancelled, final: state, overwritten: overwritten.reduce((sum, bytes) => sum + bytes, 0) }
}
