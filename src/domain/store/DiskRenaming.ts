/**
 * Removing and renaming files of a store, and finishing a rename that a power cut has broken off.
 */
import { Effect, Option } from "effect"
import type { FileEntry } from "../file/FileEntry.ts"
import { baseName, type FileName, key, segmentKey, segments, stagingFolder } from "../file/FileName.ts"
import { type DiskPath, type DiskStat, sameContent } from "./Disk.ts"
import { look, statAt } from "./DiskLookup.ts"
import { place, prune } from "./DiskPlacing.ts"
import {
  blocked,
  type DiskStore,
  entryOf,
  failed,
  stagingFailed,
  fileId,
  find,
  folderOf,
  full,
  inFolder,
  orNoAccess,
  sameFolder,
  versionOf
} from "./DiskStore.ts"
import type { RemoveRequest, Renamed, RenameRequest } from "./FileStore.ts"
import * as RenameIntent from "./RenameIntent.ts"
import { BaseChanged, FileExists, NoSuchFile, NotAFile, type StoreError } from "./StoreError.ts"

/** What a power cut has broken off: the file stands under both names of a rename, and keeps the new one. */
export const finishRenames = Effect.fnUntraced(function* (context: DiskStore) {
  const { disk } = context
  for (const { intent, path } of yield* Effect.mapError(RenameIntent.all(disk), stagingFailed)) {
    const finish = Effect.gen(function* () {
      if (yield* standsTwice(context, intent)) yield* takeAway(context, intent.from)
      yield* disk.remove(path)
    })
    // What cannot be done now is tried at the next start: both names hold whole content.
    yield* Effect.ignore(finish)
  }
})

/** Whether one file has both names. A file system that takes two spellings for one lists one of them. */
const standsTwice = Effect.fnUntraced(function* (context: DiskStore, { from, to }: RenameIntent.RenameIntent) {
  const [old, current] = [yield* fileAt(context, from), yield* fileAt(context, to)]
  if (Option.isNone(old) || Option.isNone(current) || fileId(old.value) !== fileId(current.value)) return false
  return (yield* isListed(context, from)) && (yield* isListed(context, to))
})

/** What is no file is no half of a rename. */
const fileAt = (context: DiskStore, name: FileName) =>
  Effect.catchTag(statAt(context, name), "NotAFile", () => Effect.succeedNone)

const isListed = (context: DiskStore, name: FileName) =>
  Effect.map(find(context, folderOf(name), baseName(name)), ({ entries }) =>
    entries.some((entry) => entry.name === baseName(name))
  )

/** Removes a file, as `FileStore.remove` promises. */
export const remove = (context: DiskStore, { name, version }: RemoveRequest): Effect.Effect<FileEntry, StoreError> =>
  Effect.gen(function* () {
    const source = yield* locateWritable(context, name, version)
    yield* takeAway(context, source.name)
    return entryOf(source.name, source.stat)
  }).pipe(Effect.uninterruptible, context.lockName(key(name)))

/** Renames a file, as `FileStore.rename` promises. */
export const rename = (context: DiskStore, request: RenameRequest): Effect.Effect<Renamed, StoreError> => {
  const work = Effect.gen(function* () {
    const source = yield* locateWritable(context, request.name, request.version)
    const entry = entryOf(request.to, source.stat)
    if (source.name === request.to) {
      // What is said to have the name keeps it, even when whoever gave it the name could not make that durable.
      if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(source.name)), failed)
      return { from: source.name, entry }
    }
    const moved = intending(context, source.name, request.to, move(context, source, request))
    const replaced = yield* following(context, source, request.to, moved)
    return { from: source.name, entry, ...(replaced && { replaced: entryOf(request.to, replaced) }) }
  })
  const renamed = Effect.uninterruptible(key(request.name) === key(request.to) ? spellingAnew(context, work) : work)
  // In one order, so that two renames never wait for each other.
  const [first, second] = [key(request.name), key(request.to)].toSorted()
  const locked = second === undefined || second === first ? renamed : context.lockName(second)(renamed)
  return first === undefined ? locked : context.lockName(first)(locked)
}

interface Located {
  readonly name: FileName
  readonly stat: DiskStat
}

/** A listing that has read the old spelling of a name finds nothing there later, and must know why. */
const spellingAnew = <A, E>({ speltAnew }: DiskStore, work: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    speltAnew.begun += 1
    return Effect.ensuring(
      work,
      Effect.sync(() => void (speltAnew.ended += 1))
    )
  })

/** The file of that name, where names may be changed. The caller holds the name's lock. */
const locateWritable = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName,
  version: string | undefined
): Effect.fn.Return<Located, StoreError> {
  const found = yield* look(context, name, statAt)
  if (typeof found === "string") return yield* new NoSuchFile({ name })
  const source = { name: found.name, stat: found.there }
  const folder = yield* Effect.mapError(context.disk.stat(folderOf(source.name)), (error) => orNoAccess(error))
  if (folder.device !== context.root.device) {
    return yield* new NotAFile({ name: source.name, found: "mount-point" })
  }
  if (version !== undefined && versionOf(source.stat) !== version) return yield* new BaseChanged({ name: source.name })
  return source
})

/** Whoever has the file open goes on with it: a new name is no change of its content. */
const following = <A, E>(context: DiskStore, source: Located, to: FileName, work: Effect.Effect<A, E>) => {
  const id = fileId(source.stat)
  const follow = Effect.gen(function* () {
    const now = yield* context.disk.stat(segments(to))
    const same = fileId(now) === id && now.size === source.stat.size
    if (!same || now.modifiedNanoseconds !== source.stat.modifiedNanoseconds) return
    for (const seen of context.opened.get(id) ?? []) if (sameContent(seen.stat, source.stat)) seen.stat = now
  })
  // Who looks at the file just now looks again.
  const told = Effect.sync(() => void (context.followed.count += 1))
  return context.lockFile(id)(Effect.ensuring(work, Effect.andThen(Effect.ignore(follow), told)))
}

/** Writes down what is about to be done. What is broken off half way stays on record, for the next start to finish. */
const intending = Effect.fnUntraced(function* <A>(
  context: DiskStore,
  from: FileName,
  to: FileName,
  work: Effect.Effect<A, StoreError>
) {
  const { disk, durable, newStagedName } = context
  const written = yield* RenameIntent.begin(disk, yield* newStagedName, durable, { from, to }).pipe(
    Effect.asSome,
    // Without a staging folder nothing is written down. Then a power cut in the middle leaves both names.
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.succeedNone
    ),
    // On a full disk nothing is begun that nobody could finish.
    Effect.mapError(full(to))
  )
  if (Option.isNone(written)) return yield* work
  const forget = Effect.ignore(disk.remove(written.value))
  const unlessHalf = Effect.flatMap(standsTwice(context, { from, to }), (half) => (half ? Effect.void : forget))
  return yield* work.pipe(
    Effect.tap(forget),
    Effect.onError(() => Effect.ignore(unlessHalf))
  )
})

/** Gives the file its new name and then takes the old one away; gives what was replaced. */
const move = Effect.fnUntraced(function* (
  context: DiskStore,
  source: Located,
  { replace, to }: RenameRequest
): Effect.fn.Return<DiskStat | undefined, StoreError> {
  let replaced: DiskStat | undefined
  // Whether the old name still stands, and whether the new one is of our making and nothing else's before.
  let both = false
  let added = false
  let old: DiskPath | undefined
  const arrive = Effect.fnUntraced(function* (exists: boolean): Effect.fn.Return<void, StoreError> {
    const there = exists ? Option.getOrUndefined(yield* statAt(context, to)) : undefined
    // Two names of one file: what a rename leaves when the power goes in its middle.
    const half = there !== undefined && fileId(there) === fileId(source.stat)
    if (there !== undefined && !half && !replace) return yield* new FileExists({ name: to })
    replaced = half ? undefined : there
    if (replaced !== undefined) old = yield* keepName(context, to)
    const how = replaced === undefined ? "beside" : old === undefined ? "at-once" : "over"
    both = half || (yield* secondName(context, source.name, to, how))
    added = both && there === undefined
    if (!both && sameFolder(source.name, to)) yield* context.names.removed(folderOf(to), baseName(source.name))
  })
  const undo = Effect.suspend(() =>
    added
      ? Effect.ignore(takeAway(context, to))
      : old === undefined
        ? Effect.void
        : Effect.ignore(putBack(context, old, to))
  )
  const leave = Effect.gen(function* () {
    if (both) {
      const stands = Effect.orElseSucceed(standsTwice(context, { from: source.name, to }), () => false)
      yield* Effect.catch(takeAway(context, source.name), (error) =>
        // Where the old name may not go, a second try would do no better.
        error._tag === "NoAccess"
          ? Effect.andThen(undo, Effect.fail(error))
          : Effect.flatMap(stands, (half) => (half ? takeAway(context, source.name) : Effect.fail(error)))
      )
    } else {
      // It has left its folder while somebody else may have held that.
      const left = folderOf(source.name)
      if (!sameFolder(source.name, to)) yield* inFolder(context, left)(context.names.forgotten(left))
      if (context.durable) yield* Effect.mapError(context.disk.syncFolder(left), failed)
      yield* prune(context, left)
    }
  })
  // With both names a change of the old one would leave two files for good: what can be undone is, and what is durable
  // is worth a second try. Whatever stands half done all the same is for the next start.
  yield* Effect.onError(place(context, to, arrive, source.name), () =>
    added ? Effect.ignore(takeAway(context, to)) : Effect.void
  ).pipe(
    Effect.andThen(leave),
    Effect.ensuring(
      Effect.suspend(() =>
        old === undefined ? Effect.void : Effect.ignore(Effect.retry(context.disk.remove(old), { times: 1 }))
      )
    )
  )
  return replaced
})

/** A second name, in the staging folder, for what is about to be replaced: undefined where there can be none. */
const keepName = Effect.fnUntraced(function* ({ disk, newStagedName }: DiskStore, name: FileName) {
  const path = [stagingFolder, yield* newStagedName]
  return yield* Effect.orElseSucceed(Effect.as(disk.link(segments(name), path), path), () => undefined)
})

/** Gives what was replaced its name back. */
const putBack = Effect.fnUntraced(function* ({ disk, durable }: DiskStore, old: DiskPath, name: FileName) {
  yield* disk.rename(old, segments(name))
  if (durable) yield* disk.syncFolder(folderOf(name))
})

/**
 * Makes the second name; false when only rename(2) could, and the first is gone.
 *
 * @param how `beside`: nothing has it; `over`: in the place of what has it; `at-once`: the same, by rename(2), as what
 * has it could not be put back
 */
const secondName = Effect.fnUntraced(function* (
  context: DiskStore,
  from: FileName,
  to: FileName,
  how: "beside" | "over" | "at-once"
) {
  const { disk } = context
  const [source, target] = [segments(from), segments(to)]
  const temporary = [stagingFolder, yield* context.newStagedName]
  const atOnce = Effect.as(disk.rename(source, target), false)
  const made =
    how === "over"
      ? Effect.andThen(
          disk.link(source, temporary),
          Effect.onError(disk.rename(temporary, target), () => Effect.ignore(disk.remove(temporary)))
        )
      : disk.link(source, target)
  const spelling = sameFolder(from, to) && segmentKey(baseName(from)) === segmentKey(baseName(to))
  const both = Effect.catch(Effect.as(made, true), (error) =>
    // A file system that takes both spellings for one says that the new one is taken.
    unlinkable.has(error.code) || (error.code === "EEXIST" && spelling) ? atOnce : Effect.fail(error)
  )
  return yield* (how === "at-once" ? atOnce : both).pipe(
    Effect.catch((error) =>
      error.code === "EEXIST" ? Effect.fail(new FileExists({ name: to })) : blocked(context, to, error)
    )
  )
})

/** A file system without links, or a file whose owner is another; `ENOENT`: the staging folder was tidied away. */
const unlinkable = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "ENOENT"])

/** Removes a name, durably, and the folders that it leaves empty. */
const takeAway = Effect.fnUntraced(function* (context: DiskStore, name: FileName) {
  const folder = folderOf(name)
  yield* inFolder(
    context,
    folder
  )(
    Effect.gen(function* () {
      yield* context.names.find(folder, segmentKey(baseName(name)))
      yield* Effect.onError(context.disk.remove(segments(name)), () => context.names.forgotten(folder))
      yield* context.names.removed(folder, baseName(name))
    }).pipe(Effect.catch((error) => blocked(context, name, error)))
  )
  if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folder), failed)
  yield* prune(context, folder)
})
