/**
 * The commands, as one-shot calls and the shell run them.
 *
 * Each looks at its own side first and dials only when there is something to ask. One file that fails does not stop the
 * others; the loss of the session does, as a typed failure.
 */
import { Clock, Effect, Stream } from "effect"
import { type ContentDigest, Digest } from "../domain/file/Digest.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { listingSortedEntriesMax } from "../domain/limits.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import { type CommandError, LocalFileFailed, type RequestRefused, SourceMissing } from "./ClientError.ts"
import type { ClientSession, Committed } from "./ClientSession.ts"
import * as Download from "./Download.ts"
import * as Glob from "./Glob.ts"
import { LocalFiles, type LocalSource } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"
import { Reporter, type TransferCommand } from "./Reporter.ts"
import * as Sender from "./Sender.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

/** What a person asked for. Paths are local, names are the server's; both are parsed when it runs. */
export type Command =
  | { readonly _tag: "Fetch"; readonly pattern: string | undefined; readonly digests?: boolean }
  | { readonly _tag: "Upload"; readonly files: ReadonlyArray<string>; readonly as: string | undefined }
  | { readonly _tag: "Download"; readonly names: ReadonlyArray<string>; readonly to: string | undefined }
  | {
      readonly _tag: "Para"
      readonly files: ReadonlyArray<string>
      readonly as: string | undefined
      /** the digest that the server's file must have */
      readonly expect?: ContentDigest | undefined
    }
  | { readonly _tag: "Verify"; readonly name: string; readonly file: string }
  | {
      readonly _tag: "Remove"
      readonly names: ReadonlyArray<string>
      readonly expect?: ContentDigest | undefined
    }
  | {
      readonly _tag: "Rename"
      readonly name: string
      readonly to: string
      readonly replace?: boolean
      readonly expect?: ContentDigest | undefined
    }

type Services = Digest | LocalFiles | Reporter | Sessions

/** Runs a command; false when something in it failed, which has then been reported. */
export const run = (command: Command): Effect.Effect<boolean, NoSession, Services> => {
  switch (command._tag) {
    case "Fetch":
      return fetch(command.pattern, command.digests)
    case "Upload":
      return each("upload", command.files, (file) => send(uploading, file, command.as), command.as)
    case "Para":
      return each("para", command.files, (file) => send(parallelizing(command.expect), file, command.as), command.as)
    case "Verify":
      return each("verify", [command.name], (name) => verify(name, command.file))
    case "Remove":
      return each("remove", command.names, (name) => remove(name, command.expect))
    case "Rename":
      return each("rename", [command.name], () => rename(command))
    case "Download":
      return downloads(command.names, command.to)
  }
}

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

/** The server's files, sorted by name when they are not too many for that. */
export const fetch = Effect.fnUntraced(function* (
  pattern: string | undefined,
  digests = false
): Effect.fn.Return<boolean, NoSession, Services> {
  const reporter = yield* Reporter
  const session = yield* (yield* Sessions).session
  let waiting: Array<FileEntry> | undefined = []
  const show = (entries: ReadonlyArray<FileEntry>) => reporter.listed(entries, { digests })
  yield* Stream.runForEachArray(digests ? session.fetchWithDigests : session.fetch, (page) => {
    const wanted = pattern === undefined ? page : page.filter(({ name }) => Glob.matches(pattern, name))
    if (waiting === undefined) return show(wanted)
    waiting.push(...wanted)
    if (waiting.length <= listingSortedEntriesMax) return Effect.void
    const before = waiting
    waiting = undefined
    return show(before)
  })
  if (waiting !== undefined) yield* show(waiting.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
  return true
})

// -----------------------------------------------------------------------------
// Sending
// -----------------------------------------------------------------------------

/** How a file is sent. */
interface Sending {
  readonly command: "para" | "upload"
  readonly missing: SourceMissing["command"]
  readonly run: (
    session: ClientSession,
    name: FileName.FileName,
    source: LocalSource,
    onProgress: OnProgress
  ) => Effect.Effect<Committed, CommandError | LocalFileFailed | SourceShrank>
}

const uploading: Sending = {
  command: "upload",
  missing: "upload",
  run: (session, name, source, onProgress) => session.upload(name, source, onProgress)
}

const parallelizing = (expect: ContentDigest | undefined): Sending => ({
  command: "para",
  missing: "parallelize",
  run: (session, name, source, onProgress) => session.para(name, source, onProgress, expect)
})

/** The client looks first: for a file that is not there, nothing is sent and nobody is dialled. */
const send = Effect.fnUntraced(function* (sending: Sending, path: string, as: string | undefined) {
  const { command, missing } = sending
  const files = yield* LocalFiles
  const source = yield* openSource(path, missing)
  const name = yield* FileName.parse(as ?? files.baseName(path))
  const session = yield* (yield* Sessions).session
  yield* timed({ command, name, session }, (onProgress) => sending.run(session, name, source, onProgress))
}, Effect.scoped)

const openSource = Effect.fnUntraced(function* (path: string, command: SourceMissing["command"]) {
  const source = yield* (yield* LocalFiles).open(path)
  return source ?? (yield* new SourceMissing({ path: printable(path), command }))
})

// -----------------------------------------------------------------------------
// Receiving
// -----------------------------------------------------------------------------

const downloads = Effect.fnUntraced(function* (names: ReadonlyArray<string>, to: string | undefined) {
  const files = yield* LocalFiles
  const intoFolder = to !== undefined && (yield* files.isFolder(to))
  if (to !== undefined && names.length > 1 && !intoFolder) {
    const error = new LocalFileFailed({ path: printable(to), operation: "write", code: "several-files" })
    yield* (yield* Reporter).failed({ command: "download", error })
    return false
  }
  const pathOf = (base: string): string => (to === undefined ? base : intoFolder ? files.join(to, base) : to)
  return yield* each("download", names, (name) => download(name, pathOf))
})

const download = Effect.fnUntraced(function* (text: string, pathOf: (base: string) => string) {
  const name = yield* FileName.parse(text)
  const path = pathOf(FileName.baseName(name))
  const session = yield* (yield* Sessions).session
  yield* timed({ command: "download", name, path, session }, (onProgress) =>
    Download.download({ session, name, path, onProgress })
  )
})

// -----------------------------------------------------------------------------
// Comparing
// -----------------------------------------------------------------------------

/** Sizes first: the local file is read only when they are equal. */
const verify = Effect.fnUntraced(function* (text: string, path: string) {
  const reporter = yield* Reporter
  const source = yield* openSource(path, "verify")
  const name = yield* FileName.parse(text)
  const { digest, size } = yield* (yield* (yield* Sessions).session).describe(name)
  const server = { size, digest }
  if (source.size !== size) {
    yield* reporter.verified({ name, path, equal: false, server, local: { size: source.size } })
    return false
  }
  const own = yield* Sender.digestOf(yield* Digest, source)
  yield* source.unchanged
  yield* reporter.verified({ name, path, equal: own === digest, server, local: { size, digest: own } })
  return own === digest
}, Effect.scoped)

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

const remove = Effect.fnUntraced(function* (text: string, expect: ContentDigest | undefined) {
  const name = yield* FileName.parse(text)
  const removed = yield* (yield* (yield* Sessions).session).remove(name, expect)
  yield* (yield* Reporter).changed({ command: "remove", name: removed })
})

const rename = Effect.fnUntraced(function* (command: Extract<Command, { readonly _tag: "Rename" }>) {
  const { expect, replace = false } = command
  const name = yield* FileName.parse(command.name)
  const to = yield* FileName.parse(command.to)
  const renamed = yield* (yield* (yield* Sessions).session).rename(name, to, { replace, expect })
  yield* (yield* Reporter).changed({ command: "rename", ...renamed })
})

// -----------------------------------------------------------------------------
// What they share
// -----------------------------------------------------------------------------

/** What is transferred. */
interface Transferring {
  readonly command: TransferCommand
  readonly name: string
  readonly path?: string
  readonly session: ClientSession
}

/** Follows a transfer and reports its end. */
const timed = Effect.fnUntraced(function* <E, R>(
  transferring: Transferring,
  transfer: (onProgress: OnProgress) => Effect.Effect<Committed & { readonly equal?: boolean }, E, R>
) {
  const { command, name, path, session } = transferring
  const reporter = yield* Reporter
  const began = yield* Clock.currentTimeMillis
  const before = { ...session.traffic }
  let reused = 0
  let equal = false
  const committed = yield* Effect.scoped(
    Effect.flatMap(reporter.follow({ command, name }), (follow) =>
      transfer((progress) => {
        reused = progress.reused
        // At the commit nothing had to be put in place: what is to be there was there.
        if (progress.phase === "committing") equal = progress.done === 0 && progress.total > 0
        follow(progress)
      })
    )
  )
  const milliseconds = (yield* Clock.currentTimeMillis) - began
  const where = path === undefined ? {} : { path }
  const sent = session.traffic.sent - before.sent
  const received = session.traffic.received - before.received
  const moved = { reused, equal, sent, received }
  yield* reporter.transferred({ command, name, ...where, ...moved, ...committed, milliseconds })
})

/** What concerns one file; everything else ends the command. */
type FileError = FileName.NameRefused | LocalFileFailed | RequestRefused | SourceMissing | SourceShrank

const fileErrors = ["NameRefused", "LocalFileFailed", "RequestRefused", "SourceMissing", "SourceShrank"] as const

/** One after the other; what is wrong with one is reported and the rest goes on. */
const each = Effect.fnUntraced(function* (
  command: TransferCommand | "remove" | "rename" | "verify",
  names: ReadonlyArray<string>,
  run: (name: string) => Effect.Effect<boolean | void, FileError | NoSession, Services>,
  as?: string
): Effect.fn.Return<boolean, Exclude<NoSession, FileError>, Services> {
  const reporter = yield* Reporter
  const outcomes = yield* Effect.forEach(names, (name) =>
    Effect.map(run(name), (outcome) => outcome !== false).pipe(
      Effect.catchTag(fileErrors, (error) => Effect.as(reporter.failed({ error, command, name: as ?? name }), false))
    )
  )
  return outcomes.every((succeeded) => succeeded)
})
