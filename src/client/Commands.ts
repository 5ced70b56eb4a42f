/**
 * The four commands, as one-shot calls and the shell run them.
 *
 * Each looks at its own side first and dials only when there is something to ask. One file that fails does not stop the
 * others; the loss of the session does, as a typed failure.
 */
import { Clock, Effect, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { listingSortedEntriesMax } from "../domain/limits.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import { LocalFileFailed, type RequestRefused, SourceMissing } from "./ClientError.ts"
import type { ClientSession, Committed } from "./ClientSession.ts"
import * as Glob from "./Glob.ts"
import { LocalFiles, type LocalSource } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"
import { Reporter, type TransferCommand } from "./Reporter.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

export type Command =
  | { readonly _tag: "Fetch"; readonly pattern: string | undefined }
  | { readonly _tag: "Upload"; readonly files: ReadonlyArray<string>; readonly as: string | undefined }
  | { readonly _tag: "Download"; readonly names: ReadonlyArray<string>; readonly to: string | undefined }
  | { readonly _tag: "Para"; readonly files: ReadonlyArray<string>; readonly as: string | undefined }

type Services = LocalFiles | Reporter | Sessions

/** Runs a command; false when something in it failed, which has then been reported. */
export const run = (command: Command): Effect.Effect<boolean, NoSession, Services> => {
  switch (command._tag) {
    case "Fetch":
      return fetch(command.pattern)
    case "Upload":
      return each("upload", command.files, (file) => send(uploading, file, command.as), command.as)
    case "Para":
      return each("para", command.files, (file) => send(parallelizing, file, command.as), command.as)
    case "Download":
      return downloads(command.names, command.to)
  }
}

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

/** The server's files, sorted by name when they are not too many for that. */
export const fetch = Effect.fnUntraced(function* (
  pattern: string | undefined
): Effect.fn.Return<boolean, NoSession, Services> {
  const reporter = yield* Reporter
  const session = yield* (yield* Sessions).session
  let waiting: Array<FileEntry> | undefined = []
  yield* Stream.runForEachArray(session.fetch, (page) => {
    const wanted = pattern === undefined ? page : page.filter(({ name }) => Glob.matches(pattern, name))
    if (waiting === undefined) return reporter.listed(wanted)
    waiting.push(...wanted)
    if (waiting.length <= listingSortedEntriesMax) return Effect.void
    const before = waiting
    waiting = undefined
    return reporter.listed(before)
  })
  if (waiting !== undefined) yield* reporter.listed(waiting.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
  return true
})

// -----------------------------------------------------------------------------
// Sending
// -----------------------------------------------------------------------------

const uploading = {
  command: "upload",
  missing: "upload",
  run: (session: ClientSession, name: FileName.FileName, source: LocalSource, onProgress: OnProgress) =>
    session.upload(name, source, onProgress)
} as const

const parallelizing = {
  command: "para",
  missing: "parallelize",
  run: (session: ClientSession, name: FileName.FileName, source: LocalSource, onProgress: OnProgress) =>
    session.para(name, source, onProgress)
} as const

/** The client looks first: for a file that is not there, nothing is sent and nobody is dialled. */
const send = Effect.fnUntraced(function* (
  sending: typeof parallelizing | typeof uploading,
  path: string,
  as: string | undefined
) {
  const { command, missing } = sending
  const files = yield* LocalFiles
  const source = yield* files.open(path)
  if (source === undefined) return yield* new SourceMissing({ path: printable(path), command: missing })
  const name = yield* FileName.parse(as ?? files.baseName(path))
  const session = yield* (yield* Sessions).session
  yield* timed(command, name, undefined, (onProgress) => sending.run(session, name, source, onProgress))
}, Effect.scoped)

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
  const files = yield* LocalFiles
  const name = yield* FileName.parse(text)
  const path = pathOf(FileName.baseName(name))
  const session = yield* (yield* Sessions).session
  yield* timed("download", name, path, (onProgress) =>
    session.download(name, (incoming) => files.stage(path, incoming), onProgress)
  )
})

// -----------------------------------------------------------------------------
// What they share
// -----------------------------------------------------------------------------

/** Follows a transfer and reports its end. */
const timed = Effect.fnUntraced(function* <E, R>(
  command: TransferCommand,
  name: string,
  path: string | undefined,
  transfer: (onProgress: OnProgress) => Effect.Effect<Committed, E, R>
) {
  const reporter = yield* Reporter
  const began = yield* Clock.currentTimeMillis
  let reused = 0
  const committed = yield* Effect.scoped(
    Effect.flatMap(reporter.follow({ command, name }), (follow) =>
      transfer((progress) => {
        reused = progress.reused
        follow(progress)
      })
    )
  )
  const milliseconds = (yield* Clock.currentTimeMillis) - began
  const where = path === undefined ? {} : { path }
  yield* reporter.transferred({ command, name, ...where, ...committed, reused, milliseconds })
})

/** What concerns one file; everything else ends the command. */
type FileError = FileName.NameRefused | LocalFileFailed | RequestRefused | SourceMissing | SourceShrank

const fileErrors = ["NameRefused", "LocalFileFailed", "RequestRefused", "SourceMissing", "SourceShrank"] as const

/** One after the other; what is wrong with one is reported and the rest goes on. */
const each = Effect.fnUntraced(function* (
  command: TransferCommand,
  names: ReadonlyArray<string>,
  run: (name: string) => Effect.Effect<void, FileError | NoSession, Services>,
  as?: string
): Effect.fn.Return<boolean, Exclude<NoSession, FileError>, Services> {
  const reporter = yield* Reporter
  const outcomes = yield* Effect.forEach(names, (name) =>
    Effect.as(run(name), true).pipe(
      Effect.catchTag(fileErrors, (error) => Effect.as(reporter.failed({ error, command, name: as ?? name }), false))
    )
  )
  return outcomes.every((succeeded) => succeeded)
})
