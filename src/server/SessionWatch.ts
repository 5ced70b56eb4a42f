/**
 * Who looks on while one session runs: tells the audit log, the metrics and the traces what it did.
 *
 * It follows the machine's steps and changes nothing. Without an `Audit` in the context nothing is put on record; with
 * one that cannot be written, new commands are refused.
 */
import { Clock, Effect, Exit, Option, type Tracer } from "effect"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import type { FileName } from "../domain/file/FileName.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, SessionInput, SessionOutput } from "../domain/session/SessionState.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import * as Bytes from "../domain/Bytes.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { Audit, type AuditRecord, now } from "./Audit.ts"
import * as CommandWatch from "./CommandWatch.ts"
import type { EndReason } from "./EndReason.ts"
import * as Metrics from "./Metrics.ts"
import type { Peer } from "./Peer.ts"
import * as TransferProgress from "./TransferProgress.ts"

export interface SessionWatch {
  /** The machine took this input and gave these outputs, which are not acted on yet. */
  readonly step: (input: SessionInput, outputs: ReadonlyArray<SessionOutput>) => Effect.Effect<void>
  /** What a new command must be answered while nothing can be put on record. */
  readonly refusal: (output: SessionOutput) => Effect.Effect<ActionResult | undefined>
  /** The channel, with what crosses it counted. */
  readonly counted: (channel: FrameChannel) => FrameChannel
  /** Whether somebody wants to know what a file held before it is replaced. */
  readonly audited: boolean
  readonly had: (id: RequestId, before: ContentDigest) => void
  readonly about: CommandWatch.CommandWatch["about"]
  /** What one file of a bundle came to. */
  readonly file: (id: RequestId, index: number, seen: CommandWatch.FileSeen) => void
  /** The content of a file was sent with a listing. */
  readonly sentAlong: (id: RequestId, name: FileName, seen: CommandWatch.FileSeen) => void
  /** Runs the commits of a bundle as `commit` does. */
  readonly place: <A, E, R>(id: RequestId, run: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs a commit to its end, so that what has happened is on record whatever becomes of the session. */
  readonly commit: <A, E, R>(id: RequestId, after: ContentDigest, run: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs what changes something to its end, as a commit. When it succeeds the command has happened. */
  readonly change: <A, E, R>(id: RequestId, run: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The connection is over. */
  readonly end: (outcome: EndReason) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (peer: () => Peer): Effect.fn.Return<SessionWatch> {
  const audit = Option.getOrUndefined(yield* Effect.serviceOption(Audit))
  const commands = CommandWatch.make()
  const login = yield* Effect.makeSpan("paradrop.login")
  const spans = new Map<number, Tracer.Span>()
  const seen: Seen = { audit, commands, login, peer, spans, user: undefined, answered: 0, open: commands.open() }
  yield* Metrics.sessions.change({ state: "before-login" }, 1)

  const refusal = (output: SessionOutput): Effect.Effect<ActionResult | undefined> =>
    audit === undefined || !("id" in output) || !asksSomething(output)
      ? Effect.undefined
      : Effect.map(audit.writing, (writing) =>
          writing ? undefined : { _tag: "Refused", id: output.id, refusal: { reason: "store-failed" } }
        )

  const timed: SessionWatch["place"] = (id, run) =>
    Effect.gen(function* () {
      const since = yield* Monotonic.now
      const done = yield* run
      yield* Metrics.commitSeconds(((yield* Monotonic.now) - since) / 1000)
      return done
    }).pipe(Effect.withSpan("paradrop.commit", { parent: spans.get(id) }), Effect.uninterruptible)

  return {
    step: (input, outputs) => step(seen, input, outputs),
    end: (outcome) => end(seen, outcome),
    refusal,
    counted: counted(commands),
    audited: audit !== undefined,
    had: commands.had,
    about: commands.about,
    change: (id, run) => Effect.uninterruptible(Effect.tap(run, () => Effect.sync(() => commands.happened(id)))),
    file: commands.file,
    sentAlong: commands.sentAlong,
    place: timed,
    commit: (id, after, run) =>
      timed(
        id,
        Effect.tap(run, () => Effect.sync(() => commands.committed(id, after)))
      )
  }
})

const recordOf = (
  { after, before, bytes, command, name, outcome, to }: CommandWatch.Ended,
  time: string,
  user: UserName,
  peer: string
): AuditRecord => ({
  _tag: "command",
  time,
  user,
  peer,
  command,
  outcome,
  ...(name && { name }),
  ...(to && { to }),
  bytes,
  ...(before && { before }),
  ...(after && { after })
})

/**
 * What has been seen of one session. State, and functions that are there once: a generator of a session's own costs it
 * half a kilobyte in hidden classes.
 */
interface Seen {
  readonly audit: Audit["Service"] | undefined
  readonly commands: CommandWatch.CommandWatch
  readonly login: Tracer.Span
  readonly peer: () => Peer
  readonly spans: Map<number, Tracer.Span>
  user: UserName | undefined
  /** tries that were answered */
  answered: number
  open: ReturnType<CommandWatch.CommandWatch["open"]>
}

const record = ({ audit }: Seen, make: (time: string) => ReadonlyArray<AuditRecord>) =>
  audit === undefined ? Effect.void : Effect.flatMap(now, (time) => audit.recordAll(make(time)))

const begun = (seen: Seen, { command, id }: CommandWatch.Command) =>
  Effect.map(Effect.makeSpan(`paradrop.${command}`), (span) => void seen.spans.set(id, span))

/** Commands that ended in one step, a bundle's files among them: counted together, and each on record. */
const ended = Effect.fnUntraced(function* (seen: Seen, all: ReadonlyArray<CommandWatch.Ended>) {
  const { peer, spans, user } = seen
  const counts = new Map<string, { readonly one: CommandWatch.Ended; count: number }>()
  for (const one of all) {
    if (spans.has(one.id)) yield* endSpan(spans.get(one.id), one.outcome)
    spans.delete(one.id)
    const same = counts.get(`${one.command} ${one.outcome}`)
    if (same === undefined) counts.set(`${one.command} ${one.outcome}`, { one, count: 1 })
    else same.count += 1
  }
  for (const { count, one } of counts.values()) {
    const { command, outcome } = one
    const refused = outcome !== "done" && outcome !== "interrupted"
    yield* Metrics.commandEnded({ command, outcome: refused ? "refused" : outcome }, count)
    if (refused) yield* Metrics.commandRefused({ reason: outcome }, count)
  }
  if (user === undefined || all.length === 0) return
  const { address } = peer()
  yield* record(seen, (time) => all.map((one) => recordOf(one, time, user, address)))
})

/** Brings the gauges to what is open now. */
const gauges = (seen: Seen) =>
  Effect.suspend(() => {
    const last = seen.open
    seen.open = seen.commands.open()
    return Effect.andThen(
      Metrics.commandsOpen.change({}, seen.open.commands - last.commands),
      Metrics.stagingBytes.change({}, seen.open.stagingBytes - last.stagingBytes)
    )
  })

const admitted = Effect.fnUntraced(function* (seen: Seen, user: UserName) {
  seen.user = user
  yield* endSpan(seen.login, "done")
  yield* Metrics.loginEnded({ outcome: "done" })
  yield* Metrics.sessions.change({ state: "before-login" }, -1)
  yield* Metrics.sessions.change({ state: "logged-in" }, 1)
  yield* record(seen, (time) => [{ _tag: "login", time, user, peer: seen.peer().address }])
})

const step = Effect.fnUntraced(function* (seen: Seen, input: SessionInput, outputs: ReadonlyArray<SessionOutput>) {
  const commands = seen.commands.step(input, outputs)
  if (input._tag === "LoginAnswered" || input._tag === "LoginUnanswerable") seen.answered += 1
  if (input._tag === "LoginRejected") yield* Metrics.loginEnded({ outcome: "limited" })
  const admission = outputs.find((output) => output._tag === "Admit")
  if (admission !== undefined) yield* admitted(seen, admission.user)
  for (const one of commands.begun) yield* begun(seen, one)
  if (commands.ended.length > 0) yield* ended(seen, commands.ended)
  if (outputs.some(changesGauges)) yield* gauges(seen)
}, Effect.uninterruptible)

const end = Effect.fnUntraced(function* (seen: Seen, outcome: EndReason) {
  const last = seen.commands.end()
  yield* gauges(seen)
  const { answered, login, user } = seen
  if (user === undefined) yield* endSpan(login, outcome)
  yield* Metrics.sessions.change({ state: user === undefined ? "before-login" : "logged-in" }, -1)
  yield* Metrics.loginEnded({ outcome: "failed" }, answered - (user === undefined ? 0 : 1))
  yield* Metrics.connectionEnded({ outcome })
  // Behind what is counted: an audit log that dies leaves no session that seems to go on.
  yield* ended(seen, last)
})

/** Content that is written is most of what there is to see. */
const changesGauges = ({ _tag }: SessionOutput): boolean => _tag !== "Write" && _tag !== "Keep"

/** A bundle asks the store for nothing until it is whole; a password is changed in its second step. */
const asksSomething = (output: SessionOutput): boolean =>
  output._tag === "PlaceBundle" ||
  output._tag === "ChangePassword" ||
  (output._tag !== "Gather" && TransferProgress.begins(output))

const counted =
  (commands: CommandWatch.CommandWatch) =>
  (channel: FrameChannel): FrameChannel => {
    let received = 0
    let sent = 0
    return {
      ...channel,
      receive: Effect.tap(channel.receive, () => {
        const more = channel.traffic.received - received
        received += more
        return Metrics.bytesReceived({}, more)
      }),
      send: (frame) =>
        Effect.tap(channel.send(frame), () => {
          if (frame.kind === "content") commands.moved(frame.id, Bytes.lengthOf(frame.parts))
          const more = channel.traffic.sent - sent
          sent += more
          return Metrics.bytesSent({}, more)
        })
    }
  }

const endSpan = (span: Tracer.Span | undefined, outcome: string): Effect.Effect<void> =>
  span === undefined
    ? Effect.void
    : Effect.map(Clock.currentTimeNanos, (time) => {
        span.attribute("outcome", outcome)
        span.end(time, Exit.void)
      })
