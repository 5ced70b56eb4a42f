/**
 * The commands, as one-shot calls and the shell run them.
 *
 * Each looks at its own side first and dials only when there is something to ask. One file that fails does not stop the
 * others; the loss of the session does, as a typed failure.
 */
import { Effect, Result, type Scope, Stream } from "effect"
import { type ContentDigest, Digest } from "../domain/file/Digest.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { listingSortedEntriesMax } from "../domain/limits.ts"
import * as Batch from "./Batch.ts"
import { LocalFileFailed, NamesCollide, RequestRefused, asPattern, foundFolder } from "./ClientError.ts"
import * as Collisions from "./Collisions.ts"
import * as Glob from "./Glob.ts"
import * as Unlisted from "./Unlisted.ts"
import { LocalFiles, placeAt } from "./LocalFiles.ts"
import * as Reconnect from "./Reconnect.ts"
import { Reporter, type TransferCommand } from "./Reporter.ts"
import * as Selection from "./Selection.ts"
import * as Sender from "./Sender.ts"
import { type NoSession, Sessions } from "./Sessions.ts"
import * as Transfer from "./Transfer.ts"
import * as Trees from "./Trees.ts"

/** What a person asked for. Paths are local, names are the server's; both are parsed when it runs. */
export type Command =
  | { readonly _tag: "Fetch"; readonly pattern: string | undefined; readonly digests?: boolean }
  | {
      readonly _tag: "Upload"
      readonly files: ReadonlyArray<string>
      readonly as: string | undefined
      /** folders are meant as well */
      readonly tree?: Trees.TreeOptions | undefined
    }
  | {
      readonly _tag: "Download"
      readonly names: ReadonlyArray<string>
      readonly to: string | undefined
      readonly tree?: Trees.TreeOptions | undefined
    }
  | {
      readonly _tag: "Para"
      readonly files: ReadonlyArray<string>
      readonly as: string | undefined
      /** the digest that the server's file must have */
      readonly expect?: ContentDigest | undefined
      readonly tree?: Trees.TreeOptions | undefined
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
      if (command.tree !== undefined) return Trees.send("upload", command.files, command.as, command.tree)
      return sends(Transfer.uploading, command.files, command.as)
    case "Para":
      if (command.tree !== undefined) return Trees.send("para", command.files, command.as, command.tree)
      return sends(Transfer.parallelizing(command.expect), command.files, command.as, command.expect !== undefined)
    case "Verify":
      return each("verify", [command.name], (name) => verify(name, command.file))
    case "Remove":
      return each("remove", command.names, (name) => remove(name, command.expect))
    case "Rename":
      return each("rename", [command.name], () => rename(command))
    case "Download":
      if (command.tree !== undefined) return Trees.get(command.names, command.to, command.tree)
      return downloads(command.names, command.to)
  }
}

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

/**
 * The server's files, sorted by name when they are not too many for that. A pattern that none fits is told and fails,
 * as it does for `download`; a server without files has none to show.
 */
export const fetch = Effect.fnUntraced(function* (
  pattern: string | undefined,
  digests: boolean = false
): Effect.fn.Return<boolean, NoSession, Services> {
  const reporter = yield* Reporter
  const session = yield* (yield* Sessions).session
  let waiting: Array<FileEntry> | undefined = []
  let fits = pattern === undefined
  let undigested = 0
  let first: FileEntry | undefined
  const show = (entries: ReadonlyArray<FileEntry>) => {
    const without = digests ? entries.filter(({ digest }) => digest === undefined) : []
    undigested += without.length
    first ??= without[0]
    return reporter.listed(entries, { digests })
  }
  const lacks = Unlisted.make([pattern ?? "**"], Unlisted.fitting)
  yield* Stream.runForEachArray(session.fetchWith({ digests, onUnlisted: lacks.onUnlisted }), (page) => {
    const wanted = pattern === undefined ? page : page.filter(({ name }) => Glob.matches(pattern, name))
    fits ||= wanted.length > 0
    if (waiting === undefined) return show(wanted)
    waiting.push(...wanted)
    if (waiting.length <= listingSortedEntriesMax) return Effect.void
    const before = waiting
    waiting = undefined
    return show(before)
  }).pipe(
    // The shell asks for all of it again.
    Effect.tapErrorTag("ConnectionLost", () =>
      Effect.when(
        reporter.note("the listing above is not whole", "bad"),
        Effect.sync(() => waiting === undefined)
      )
    )
  )
  if (waiting !== undefined) yield* show(waiting.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
  const lacking = (yield* lacks.tell("fetch")) + undigested
  if (first !== undefined) {
    const others = undigested > 1 ? ` and ${undigested - 1} more` : ""
    const why = "the server may not read it, or it changes just now"
    yield* reporter.note(`no digest of '${printable(first.name)}'${others}: ${why}`, "bad")
  }
  // Nobody can say that nothing fits of what could not be looked into.
  if (fits || pattern === undefined || lacks.mayHold(pattern)) return lacking === 0
  const error = new RequestRefused({ name: printable(pattern), reason: "no-such-file", detail: asPattern })
  yield* reporter.failed({ command: "fetch", name: pattern, error })
  return false
})

// -----------------------------------------------------------------------------
// Sending
// -----------------------------------------------------------------------------

/**
 * One file has a progress of its own; several share one, and those that would be one name are not sent.
 *
 * @param single what is asked for speaks of one file: of several, none is sent
 */
const sends = Effect.fnUntraced(function* (
  sending: Transfer.Sending,
  paths: ReadonlyArray<string>,
  as: string | undefined,
  single: boolean = false
): Effect.fn.Return<boolean, Exclude<NoSession, Batch.FileError>, Services> {
  const { command } = sending
  const files = yield* LocalFiles
  const { found, failed } = yield* meant(command, [...new Set(paths)])
  const [only] = found
  if (only === undefined) return failed === 0
  if (found.length === 1) {
    const send = (path: string) => Transfer.send(sending, placeAt(files, path), as ?? files.baseName(path))
    return (yield* each(command, [only.path], (path) => Effect.asVoid(send(path)), as)) && failed === 0
  }
  if (single) {
    const error = new LocalFileFailed({ path: printable(paths.join(" ")), operation: "read", code: "one-file" })
    yield* (yield* Reporter).failed({ command, error })
    return false
  }
  const names = found.map(({ path }) => as ?? files.baseName(path))
  const colliding = Collisions.collisions(names)
  const items = found.map(({ path, size }, index) => {
    const name = names[index] ?? path
    const place = placeAt(files, path)
    const run = (along: Batch.Along) =>
      Effect.andThen(apart(name, colliding.get(index)), Transfer.send(sending, place, name, along))
    const bundled = colliding.has(index) || !FileName.isName(name) ? undefined : { name, place }
    return { name: path, size, run, bundled }
  })
  const together = command === "upload" ? Transfer.sendTogether : Transfer.paraTogether
  const before = { equal: 0, failed }
  return yield* Batch.run(command, [items], found.length > paths.length, { before, together })
})

/** What the paths mean, and how much of it cannot be had, which was told. */
const meant = Effect.fnUntraced(function* (command: TransferCommand, paths: ReadonlyArray<string>) {
  const reporter = yield* Reporter
  const all = yield* Effect.forEach(paths, (path) => Selection.meant(path, false))
  const failed = all.flatMap((one) => one.failed)
  for (const { error, path } of failed) yield* reporter.failed({ command, name: path, error })
  for (const { kind, path } of all.flatMap((one) => one.leftOut)) yield* reporter.leftOut({ command, path, kind })
  // What is named twice, as by itself and by a pattern, is meant once.
  const found = new Map(all.flatMap(({ files }) => files).map((one) => [Selection.spelt(one.path), one]))
  return { found: [...found.values()], failed: failed.length }
})

/** Fails for a file whose name is another one's too. */
const apart = (name: string, other: string | undefined): Effect.Effect<void, NamesCollide> =>
  other === undefined ? Effect.void : Effect.fail(new NamesCollide({ name: printable(name), other: printable(other) }))

// -----------------------------------------------------------------------------
// Receiving
// -----------------------------------------------------------------------------

const downloads = Effect.fnUntraced(function* (
  said: ReadonlyArray<string>,
  to: string | undefined
): Effect.fn.Return<boolean, NoSession, Scope.Scope | Services> {
  const files = yield* LocalFiles
  const reporter = yield* Reporter
  const texts = [...new Set(said)]
  const target = yield* Effect.result(to === undefined ? Effect.undefined : files.look(to))
  const intoFolder = Result.isSuccess(target) && target.success?.kind === "folder"
  const placeOf = (base: string) => placeAt(files, to === undefined ? base : intoFolder ? files.join(to, base) : to)
  const [only] = texts
  if (only !== undefined && texts.length === 1 && !Glob.isPattern(only)) {
    return yield* each("download", [only], (name) => Transfer.download(name, placeOf))
  }
  if (to !== undefined && !intoFolder) {
    const code = Result.isFailure(target) ? target.failure.code : "several-files"
    const error = new LocalFileFailed({ path: printable(to), operation: "write", code })
    yield* reporter.failed({ command: "download", error })
    return false
  }
  const { files: found, lacks, missing } = yield* Selection.remote(texts)
  const lacking = yield* lacks.tell("download")
  for (const { error, name } of missing) yield* reporter.failed({ command: "download", name, error })
  const bases = found.map(({ name }) => FileName.baseName(name))
  const colliding = Collisions.collisions(bases)
  // The folder is looked through once for all of them.
  const tree = yield* Effect.orElseSucceed(files.tree(to ?? ".", false), () => undefined)
  const items = found.map(({ name, size }, index) => {
    const base = FileName.baseName(name)
    const place = tree?.place(base) ?? placeOf(base)
    const run = (along: Batch.Along) =>
      Effect.andThen(apart(base, colliding.get(index)), Transfer.downloadOfMany({ name, size, place }, along))
    return { name, size, run, bundled: colliding.has(index) ? undefined : { name, place } }
  })
  const before = { equal: 0, failed: missing.length }
  const together = Transfer.getTogether
  const succeeded = yield* Batch.run("download", [items], texts.some(Glob.isPattern), { before, together })
  return succeeded && lacking === 0
}, Effect.scoped)

// -----------------------------------------------------------------------------
// Comparing
// -----------------------------------------------------------------------------

/** Sizes first: the local file is read only when they are equal. */
const verify = Effect.fnUntraced(function* (text: string, path: string) {
  const reporter = yield* Reporter
  const opened = Transfer.openSource(placeAt(yield* LocalFiles, path), "verify")
  const source = yield* Effect.mapError(opened, foundLocalFolder)
  const name = yield* FileName.parse(text)
  const { digest, size } = yield* Reconnect.persistently((session) => session.describe(name))
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

/** A folder is no file to compare, and `-r` is no way out. */
const foundLocalFolder = <E>(error: E): E | LocalFileFailed =>
  error instanceof LocalFileFailed && error.code === "EISDIR"
    ? new LocalFileFailed({ path: error.path, operation: error.operation, code: "a-folder" })
    : error

const remove = Effect.fnUntraced(function* (text: string, expect: ContentDigest | undefined) {
  const name = yield* FileName.parse(text)
  const removing = Reconnect.persistently((session) => session.remove(name, expect), false)
  const removed = yield* Effect.mapError(removing, foundFolder("folder-of-remove"))
  yield* (yield* Reporter).changed({ command: "remove", name: removed })
})

const rename = Effect.fnUntraced(function* (command: Extract<Command, { readonly _tag: "Rename" }>) {
  const { expect, replace = false } = command
  const name = yield* FileName.parse(command.name)
  const to = yield* FileName.parse(command.to)
  const renaming = Reconnect.persistently((session) => session.rename(name, to, { replace, expect }), false)
  const renamed = yield* Effect.mapError(renaming, foundFolder("folder-of-rename"))
  yield* (yield* Reporter).changed({ command: "rename", ...renamed })
})

// -----------------------------------------------------------------------------
// What they share
// -----------------------------------------------------------------------------

/** One after the other; what is wrong with one is reported and the rest goes on. */
const each = Effect.fnUntraced(function* (
  command: TransferCommand | "remove" | "rename" | "verify",
  names: ReadonlyArray<string>,
  run: (name: string) => Effect.Effect<boolean | void, Batch.FileError | NoSession, Services>,
  as?: string
): Effect.fn.Return<boolean, Exclude<NoSession, Batch.FileError>, Services> {
  const reporter = yield* Reporter
  const outcomes = yield* Effect.forEach(names, (name) =>
    Effect.map(run(name), (outcome) => outcome !== false).pipe(
      Effect.catchTag(Batch.fileErrors, (error) =>
        Effect.as(reporter.failed({ error, command, name: as ?? name }), false)
      )
    )
  )
  return outcomes.every((succeeded) => succeeded)
})
