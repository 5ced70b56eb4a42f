/**
 * Follows the commands of one session, by what goes into its machine and what comes out: pure, and told nothing else.
 *
 * It serves those who look on: the audit log, metrics and traces. Whatever happens, each command that began ends once.
 */
import { Result } from "effect"
import type { ContentDigest } from "../domain/file/Digest.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { unpackFiles, unpackNames } from "../domain/file/PackedFiles.ts"
import type { SessionInput, SessionOutput } from "../domain/session/SessionState.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import type { ClientMessage, ServerMessage } from "../domain/wire/Message.ts"
import type { RefusalReason } from "../domain/wire/Refusal.ts"

export const commandNames = ["fetch", "describe", "upload", "download", "para", "remove", "rename", "passwd"] as const
export type CommandName = (typeof commandNames)[number]

/** What a command came to: `interrupted` when its session ended first. */
export type CommandOutcome = "done" | "interrupted" | RefusalReason

export interface Command {
  readonly id: RequestId
  readonly command: CommandName
  readonly name: FileName | undefined
  /** of a rename: the new name */
  readonly to?: FileName
}

export interface Ended extends Command {
  readonly outcome: CommandOutcome
  /** bytes of content that crossed */
  readonly bytes: number
  readonly before: ContentDigest | undefined
  readonly after: ContentDigest | undefined
}

/** What one step of the machine has told. */
export interface Seen {
  readonly begun: ReadonlyArray<Command>
  readonly ended: ReadonlyArray<Ended>
}

/** What became of one file of a bundle. */
export interface FileSeen {
  readonly outcome: CommandOutcome
  /** bytes of content that crossed */
  readonly bytes: number
  readonly before?: ContentDigest
  readonly after?: ContentDigest
}

export interface CommandWatch {
  readonly step: (input: SessionInput, outputs: ReadonlyArray<SessionOutput>) => Seen
  /** So many bytes of content were sent for it. */
  readonly moved: (id: number, bytes: number) => void
  /** The store has committed it, whether or not the machine or the client will ever hear. */
  readonly committed: (id: RequestId, after: ContentDigest) => void
  /** What it asked for was done, whether or not the machine or the client will ever hear. */
  readonly happened: (id: RequestId) => void
  /** What one file of a bundle came to, in the store or on the wire. */
  readonly file: (id: RequestId, index: number, seen: FileSeen) => void
  /** The content of a file was sent with a listing, as with a download. */
  readonly sentAlong: (id: RequestId, name: FileName, seen: FileSeen) => void
  /** The file had this content when the command began. */
  readonly had: (id: RequestId, before: ContentDigest) => void
  /** Which command it is, and what it is about: a bundle is about many, a rename about two. */
  readonly about: (id: RequestId) => Partial<Pick<Command, "command" | "name" | "to">>
  /** The session is over: what is still open ends. */
  readonly end: () => ReadonlyArray<Ended>
  /** Commands that have begun and not ended, and the bytes that those of them declare that are being received. */
  readonly open: () => { readonly commands: number; readonly stagingBytes: number }
}

interface Open extends Command {
  bytes: number
  staging: number
  before: ContentDigest | undefined
  after: ContentDigest | undefined
  happened: boolean
  /** of a bundle: its files, once its turn has come */
  files: ReadonlyArray<FileName> | undefined
  readonly message: ClientMessage
  readonly seen: Map<number, FileSeen>
  /** of a listing: downloads that came with it */
  readonly along: Array<Ended>
}

export const make = (): CommandWatch => {
  const open = new Map<number, Open>()

  const begin = (id: RequestId, message: ClientMessage): ReadonlyArray<Command> => {
    const command = commandOf(message)
    if (command === undefined || open.has(id)) return []
    const name = "name" in message ? message.name : undefined
    const to = message._tag === "Rename" ? { to: message.to } : {}
    const nothing = {
      bytes: 0,
      staging: 0,
      before: undefined,
      after: undefined,
      happened: false,
      files: undefined,
      seen: new Map(),
      along: []
    }
    open.set(id, { id, command, name, ...to, ...nothing, message })
    return [{ id, command, name, ...to }]
  }

  const endAs = (id: number, outcome: CommandOutcome): ReadonlyArray<Ended> => {
    const one = open.get(id)
    open.delete(id)
    if (one === undefined) return []
    const { along, files, happened, message, seen, staging: _, ...rest } = one
    // One that ended before its turn came is on record all the same.
    const named = files ?? namesIn(message)
    if (named !== undefined) return named.map((name, index) => ofBundle(rest, name, outcome, seen.get(index)))
    // What nobody heard of has happened all the same.
    return [{ ...rest, outcome: outcome === "interrupted" && happened ? "done" : outcome }, ...along]
  }

  const sent = (id: RequestId, message: ServerMessage): ReadonlyArray<Ended> => {
    const one = open.get(id)
    if (one === undefined) return []
    if (message._tag === "SameFileHere") one.before = message.signature?.digest ?? message.digest ?? one.before
    const outcome = outcomeOf(message)
    if (outcome === "done" && "digest" in message) one.after = message.digest
    return outcome === undefined ? [] : endAs(id, outcome)
  }

  const out = (output: SessionOutput): ReadonlyArray<Ended> => {
    if (output._tag === "Send") return sent(output.id, output.message)
    const one = "id" in output ? open.get(output.id) : undefined
    if (one === undefined) return []
    if (output._tag === "Stage") one.staging = output.size
    if (output._tag === "SendBundle") one.files = output.names
    if (output._tag === "Gather") {
      one.files = output.files.map(({ name }) => name)
      one.staging = output.files.reduce((total, { size }) => total + size, 0)
    }
    return []
  }

  const moved = (id: number, bytes: number): void => {
    const one = open.get(id)
    if (one !== undefined) one.bytes += bytes
  }

  return {
    step: (input, outputs) => {
      const begun = input._tag === "Message" ? begin(input.id, input.message) : []
      if (input._tag === "Content") moved(input.id, input.bytes)
      return { begun, ended: outputs.flatMap(out) }
    },
    moved,
    committed: (id, after) => {
      const one = open.get(id)
      if (one === undefined) return
      one.after = after
      one.happened = true
    },
    happened: (id) => {
      const one = open.get(id)
      if (one !== undefined) one.happened = true
    },
    file: (id, index, seen) => void open.get(id)?.seen.set(index, seen),
    sentAlong: (id, name, seen) =>
      void open.get(id)?.along.push(ofBundle({ id, command: "download", name }, name, seen.outcome, seen)),
    about: (id) => {
      const one = open.get(id)
      return one === undefined
        ? {}
        : { command: one.command, name: one.name, ...(one.to !== undefined && { to: one.to }) }
    },
    had: (id, before) => {
      const one = open.get(id)
      if (one !== undefined) one.before = before
    },
    end: () => Array.from(open.keys()).flatMap((id) => endAs(id, "interrupted")),
    open: () => ({
      commands: open.size,
      stagingBytes: Array.from(open.values()).reduce((total, { staging }) => total + staging, 0)
    })
  }
}

/** A file that nothing was heard of came to what the bundle came to. */
const ofBundle = (
  { command, id }: Command,
  name: FileName,
  outcome: CommandOutcome,
  seen: FileSeen = { outcome, bytes: 0 }
): Ended => ({
  id,
  command,
  name,
  outcome: seen.outcome,
  bytes: seen.bytes,
  before: seen.before,
  after: seen.after
})

/** What a bundle names; undefined for one that makes no sense, and for everything else. */
const namesIn = (message: ClientMessage): ReadonlyArray<FileName> | undefined => {
  switch (message._tag) {
    case "UploadBundle": {
      const files = Result.getOrUndefined(unpackFiles(message.files))
      return files?.map(({ name }) => name)
    }
    case "DownloadBundle":
      return Result.getOrUndefined(unpackNames(message.names))
    default:
      return undefined
  }
}

const commandOf = (message: ClientMessage): CommandName | undefined => {
  switch (message._tag) {
    case "Fetch":
      return "fetch"
    case "Describe":
      return "describe"
    case "Upload":
    case "UploadBundle":
      return "upload"
    case "Download":
    case "DownloadBundle":
      return "download"
    case "Para":
      return "para"
    case "Remove":
      return "remove"
    case "Rename":
      return "rename"
    case "PasswordStart":
      return "passwd"
    default:
      return undefined
  }
}

/** Undefined: the command goes on. */
const outcomeOf = (message: ServerMessage): CommandOutcome | undefined => {
  switch (message._tag) {
    case "Listed":
    case "Uploaded":
    case "Described":
    case "Sent":
    case "BundleDone":
    case "SuccessfullyParallelized":
    case "Removed":
    case "Renamed":
    case "PasswordChanged":
      return "done"
    case "SameFileNotHere":
      return "no-such-file"
    case "Refused":
      return message.reason
    default:
      return undefined
  }
}
