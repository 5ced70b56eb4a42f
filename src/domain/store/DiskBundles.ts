/**
 * Many small files at once: whole runs of them in a few steps of the disk, each with an outcome of its own.
 */
import { Effect, Result } from "effect"
import * as Bytes from "../Bytes.ts"
import { type ContentDigest, digestOf } from "../file/Digest.ts"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import { baseName, type FileName, folder as folderName, key, segmentKey, stagingFolder } from "../file/FileName.ts"
import { type DiskEntry, type DiskError, type DiskGlance, type DiskPath, type DiskStat, sameContent } from "./Disk.ts"
import { open } from "./DiskLookup.ts"
import { demanded, makeDurable, placeStep, prune, standing, whilePlacing } from "./DiskPlacing.ts"
import { stage } from "./DiskStaging.ts"
import {
  absent,
  blocked,
  type DiskStore,
  entryOf,
  failed,
  folderOf,
  inFolder,
  orNoAccess,
  stepsOf
} from "./DiskStore.ts"
import type { Outcomes, SmallContent, SmallFile, StageRequest } from "./FileStore.ts"
import * as SmallFiles from "./SmallFiles.ts"
import {
  DigestMismatch,
  type FileExists,
  type NoAccess,
  type NoSuchFile,
  type StoreError,
  StoreFailed
} from "./StoreError.ts"

/** Runs of files that follow one another, lie in one folder and have different names. */
const runsOf = <A>(all: ReadonlyArray<A>, nameOf: (one: A) => FileName): ReadonlyArray<ReadonlyArray<A>> => {
  const runs: Array<Array<A>> = []
  let folder: string | undefined
  let keys = new Set<string>()
  for (const one of all) {
    const name = nameOf(one)
    const last = segmentKey(baseName(name))
    const run = runs.at(-1)
    const own = folderName(name)
    if (run !== undefined && own === folder && !keys.has(last)) run.push(one)
    else {
      runs.push([one])
      folder = own
      keys = new Set()
    }
    keys.add(last)
  }
  return runs
}

/** Puts whole small files to their names, as `FileStore.placeAll` promises. */
export const placeAll = Effect.fnUntraced(function* (
  context: DiskStore,
  files: ReadonlyArray<SmallFile>,
  target: StageRequest["target"]
): Effect.fn.Return<Outcomes<FileEntry>> {
  const outcomes: Array<Result.Result<FileEntry, StoreError>> = []
  const staged = yield* context.newStagedName
  for (const run of runsOf(files, ({ name }) => name)) {
    const temporary = (index: number) => `${staged}-${outcomes.length + index}`
    // Whatever is unusual goes the way of a single file, which knows what to say of it.
    const together = yield* Effect.result(placeRun(context, run, { target, temporary }))
    if (Result.isSuccess(together)) outcomes.push(...together.success)
    else outcomes.push(...(yield* Effect.forEach(run, (file) => Effect.result(placeAlone(context, file, target)))))
  }
  return outcomes
}, Effect.uninterruptible)

const placeAlone = (context: DiskStore, file: SmallFile, target: StageRequest["target"]) =>
  SmallFiles.placeOne({ stage: (request) => stage(context, request) }, file, target)

/** How a run is placed. */
interface Placing {
  readonly target: StageRequest["target"]
  /** what each file of the run is called while it is staged */
  readonly temporary: (index: number) => string
}

/** The whole run in one step of the disk. Fails, having changed nothing, when that is not how it can be done. */
const placeRun = (
  context: DiskStore,
  run: ReadonlyArray<SmallFile>,
  how: Placing
): Effect.Effect<Outcomes<FileEntry>, StoreError | DiskError> => {
  const { disk, lockName, reserved } = context
  const bytes = run.reduce((total, { parts }) => total + Bytes.lengthOf(parts), 0)
  const hold = Effect.flatMap(disk.freeBytes, (free) => {
    if (bytes > free - reserved.bytes) return Effect.fail(new StoreFailed({ operation: "place", code: "ENOSPC" }))
    reserved.bytes += bytes
    return Effect.void
  })
  return Effect.acquireUseRelease(
    hold,
    () => lockName.all(run.map(({ name }) => key(name)))(placeTogether(context, run, how)),
    () => Effect.sync(() => void (reserved.bytes -= bytes))
  )
}

const placeTogether = (context: DiskStore, run: ReadonlyArray<SmallFile>, how: Placing) => {
  const [first] = run
  if (first === undefined) return Effect.succeed([])
  const { name } = first
  const received = run.map(({ parts }) => digestOf(context.digest, parts))
  // No folder is made for content that is not to be kept: each file by itself says what is wrong with it.
  if (!run.some(({ digest }, index) => digest === received[index])) {
    return Effect.fail(new StoreFailed({ operation: "place", code: "EILSEQ" }))
  }
  const folders = stepsOf(name).filter(({ kind }) => kind === "folder")
  const work = Effect.gen(function* () {
    // Nor for files that must be there: a new folder would be in the way of those that spell its name otherwise.
    if (how.target === "present") yield* context.disk.stat(folderOf(name))
    let made: DiskStat | undefined
    for (const step of folders) {
      made = yield* inFolder(context, step.folder)(placeStep(context, name, step, () => Effect.void, undefined))
    }
    const folder = { path: folderOf(name), made }
    const outcomes = yield* inFolder(context, folder.path)(arriveAll(context, folder, run, received, how))
    // It may have been replaced, which changes the folder above and no name in it.
    const above = folder.path.slice(0, -1)
    if (made !== undefined) yield* inFolder(context, above)(context.names.addedAll(above, []))
    return outcomes
  })
  return Effect.tap(whilePlacing(context, name, work), (outcomes) =>
    outcomes.some(Result.isSuccess) ? Effect.void : prune(context, folderOf(name))
  )
}

/** A file that nothing stands against, and the last part of its name. */
interface Ready {
  readonly file: SmallFile
  readonly part: string
}

/** Puts the files of a run to their names. The caller holds the locks of the names and of the folder. */
const arriveAll = Effect.fnUntraced(function* (
  context: DiskStore,
  { made, path: folder }: { readonly path: DiskPath; readonly made: DiskStat | undefined },
  run: ReadonlyArray<SmallFile>,
  digests: ReadonlyArray<ContentDigest>,
  { target, temporary }: Placing
): Effect.fn.Return<Outcomes<FileEntry>, StoreError | DiskError> {
  const { disk, durable, names } = context
  const parts = run.map(({ name }) => ({ part: baseName(name), key: segmentKey(baseName(name)) }))
  const found = yield* names.findAll(folder, new Set(parts.map(({ key }) => key)), made)
  // What must be at a name is looked at itself: somebody else may have put it there just now.
  const live =
    target === undefined
      ? []
      : yield* disk.statAll(
          folder,
          parts.map(({ part }) => part)
        )
  const ready = run.map((file, index): Result.Result<Ready, StoreError> => {
    const { key = "", part = "" } = parts[index] ?? {}
    const there = { entries: found.entriesOf(key), folder: found.folder }
    const stands = Result.andThen(
      standing(context, file.name, { folder, part, kind: "file" }, there),
      asDemanded(file.name, target, live[index])
    )
    return Result.flatMap(stands, () => {
      const received = digests[index] ?? file.digest
      return received === file.digest
        ? Result.succeed({ file, part })
        : Result.fail(new DigestMismatch({ name: file.name, declared: file.digest, received }))
    })
  })
  const fit = ready.flatMap((one) => (Result.isSuccess(one) ? [one.success] : []))
  const [first] = fit
  if (first !== undefined) yield* makeDurable(context, first.file.name, folder, found.folder)
  const files = fit.map(({ file: { executable, modified, parts }, part }, index) => ({
    temporary: temporary(index),
    name: part,
    parts,
    modified,
    executable
  }))
  // Where no name is known of it, it is as empty as it was made.
  const fresh = made !== undefined && sameContent(made, found.folder)
  const request = { staging: [stagingFolder], folder, files, durable, likeReplaced: false, fresh }
  const placed = (yield* disk.placeAll(request)).values()
  const outcomes: Array<Result.Result<FileEntry, StoreError>> = []
  const arrived: Array<DiskEntry> = []
  for (const one of ready) {
    if (Result.isFailure(one)) {
      outcomes.push(Result.fail(one.failure))
      continue
    }
    const { file, part } = one.success
    const { digest, executable, modified, name } = file
    const outcome = placed.next().value
    if (outcome !== undefined && Result.isFailure(outcome)) {
      const error = outcome.failure
      // It has its name then: whatever the code, this is no refusal that changes nothing.
      const unsynced = error.operation === "syncFolder"
      outcomes.push(Result.fail(unsynced ? failed(error) : yield* Effect.flip(blocked(context, name, error))))
      continue
    }
    arrived.push({ name: part, kind: "file" })
    outcomes.push(Result.succeed({ name, size: Bytes.lengthOf(file.parts), modified, digest, ...mayRun(executable) }))
  }
  // One that failed may have its name all the same: its folder could not be made durable.
  yield* arrived.length === fit.length ? names.addedAll(folder, arrived, fresh) : names.forgotten(folder)
  return outcomes
})

/** The same as `checkDemanded`, by what a look at the name has found. */
const asDemanded = (
  name: FileName,
  target: StageRequest["target"],
  live: Result.Result<DiskGlance, DiskError> | undefined
): Result.Result<void, FileExists | NoAccess | NoSuchFile | StoreFailed> => {
  if (target === undefined || live === undefined) return Result.void
  if (Result.isFailure(live) && !absent.has(live.failure.code)) return Result.fail(orNoAccess(live.failure))
  return demanded(name, target, Result.isSuccess(live))
}

/** By what the folders hold now, without a look at any file. */
export const present = Effect.fnUntraced(function* (
  context: DiskStore,
  wanted: ReadonlyArray<FileName>
): Effect.fn.Return<ReadonlyArray<FileName>> {
  const all: Array<FileName> = []
  for (const run of runsOf(wanted, (name) => name)) {
    const [first] = run
    if (first === undefined) continue
    const folder = folderOf(first)
    const keys = new Set(run.map((name) => segmentKey(baseName(name))))
    const found = yield* Effect.result(inFolder(context, folder)(context.names.findAll(folder, keys)))
    // What cannot be looked into may hold any of them, and a folder that is not there holds none.
    if (Result.isFailure(found)) {
      if (found.failure.code !== "ENOENT") all.push(...run)
      continue
    }
    const { entriesOf } = found.success
    for (const name of run) if (entriesOf(segmentKey(baseName(name))).length > 0) all.push(name)
  }
  return all
})

/** Reads whole small files, as `FileStore.readAll` promises. */
export const readAll = Effect.fnUntraced(function* (
  context: DiskStore,
  wanted: ReadonlyArray<FileName>,
  bytesMax: number
): Effect.fn.Return<Outcomes<SmallContent>> {
  const outcomes: Array<Result.Result<SmallContent, StoreError>> = []
  let room = bytesMax
  for (const run of runsOf(wanted, (name) => name)) {
    const [first] = run
    const folder = first === undefined ? [] : folderOf(first)
    for (let from = 0; from < run.length;) {
      const rest = run.slice(from)
      const read = yield* Effect.orElseSucceed(context.disk.readAll(folder, rest.map(baseName), room), () => [])
      for (const [index, name] of rest.slice(0, Math.max(1, read.length)).entries()) {
        const one = read[index]
        // Found under another spelling, changed while it was read, or not to be had: a single look says which.
        const outcome =
          one !== undefined && Result.isSuccess(one) && one.success.content !== undefined
            ? Result.succeed({ entry: entryOf(name, one.success.stat), content: one.success.content })
            : yield* Effect.result(SmallFiles.readOne({ open: (name) => open(context, name) }, name, bytesMax, room))
        from += 1
        if (Result.isFailure(outcome)) {
          outcomes.push(Result.fail(outcome.failure))
          continue
        }
        const length = outcome.success?.content?.length ?? 0
        // A single look may have taken the room of what was read with it.
        if (outcome.success === undefined || length > room) return outcomes
        room -= length
        outcomes.push(Result.succeed(outcome.success))
      }
    }
  }
  return outcomes
})
