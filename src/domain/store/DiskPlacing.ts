/**
 * Putting a file to its name: folders, collisions, durability, and what must stand there before.
 */
import { Effect, Option, Result } from "effect"
import { type FileName, segmentKey } from "../file/FileName.ts"
import { durableFoldersMax } from "../limits.ts"
import type { DiskError, DiskPath, DiskStat } from "./Disk.ts"
import { statAt } from "./DiskLookup.ts"
import {
  blocked,
  type DiskStore,
  failed,
  fileId,
  find,
  folderKey,
  folderOf,
  full,
  inFolder,
  type Step,
  stepsOf,
  versionOf
} from "./DiskStore.ts"
import type { StageRequest } from "./FileStore.ts"
import type * as NameIndex from "./NameIndex.ts"
import { BaseChanged, FileExists, NameCollision, NoSuchFile, NotAFile, type StoreError } from "./StoreError.ts"

/** Fails when what stands at the name is not what must. At the commit the caller holds the name's lock. */
export const checkDemanded = Effect.fnUntraced(function* (context: DiskStore, { name, target }: StageRequest) {
  if (target === undefined) return
  const live = yield* statAt(context, name)
  yield* Effect.fromResult(demanded(name, target, Option.isSome(live)))
})

/** Fails when what must be at the name is not there, or what must not is. */
export const demanded = (
  name: FileName,
  target: StageRequest["target"],
  exists: boolean
): Result.Result<void, FileExists | NoSuchFile> => {
  if (target === "absent" && exists) return Result.fail(new FileExists({ name }))
  return target === "present" && !exists ? Result.fail(new NoSuchFile({ name })) : Result.void
}

/** Fails when the live file is another than the one that the change was made for. The caller holds the name's lock. */
export const checkVersion = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName,
  version: string | undefined
) {
  if (version === undefined) return
  const live = yield* statAt(context, name)
  if (Option.isNone(live) || versionOf(live.value) !== version) return yield* new BaseChanged({ name })
})

/** Fails when the name cannot be staged as things stand. What is missing is not made yet. */
export const checkTarget = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName
): Effect.fn.Return<void, StoreError> {
  for (const step of stepsOf(name)) {
    const found = yield* find(context, step.folder, step.part).pipe(
      Effect.catchIf(
        ({ code }) => code === "ENOENT",
        () => Effect.undefined
      ),
      Effect.catch((error) => blocked(context, name, error))
    )
    if (found === undefined || !(yield* stands(context, name, step, found))) return
  }
})

/** Puts a file to its name, in one step; told whether a file has it. Its folder is locked. */
type Arrive = (exists: boolean) => Effect.Effect<void, StoreError>

/**
 * Makes the folders of the name and lets the file arrive. The caller holds the name's lock.
 *
 * @param leaving what does not count as standing in the way: the file itself under the name that it will lose
 */
export const place = (
  context: DiskStore,
  name: FileName,
  arrive: Arrive,
  leaving?: FileName
): Effect.Effect<void, StoreError> => {
  const steps = Effect.gen(function* () {
    for (const step of stepsOf(name)) {
      yield* inFolder(context, step.folder)(placeStep(context, name, step, arrive, leaving))
    }
    // The file has its name: whatever the code, this is no refusal that changes nothing.
    if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(name)), failed)
  })
  return whilePlacing(context, name, steps)
}

/** While it runs, no folder of the name is removed because it is empty. */
export const whilePlacing = <A, E>(
  context: DiskStore,
  name: FileName,
  work: Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  const folders = stepsOf(name).map(({ folder }) => folderKey(folder))
  const count = (by: number) =>
    Effect.sync(() => {
      for (const folder of folders) {
        const users = (context.placing.get(folder) ?? 0) + by
        if (users === 0) context.placing.delete(folder)
        else context.placing.set(folder, users)
      }
    })
  return Effect.acquireUseRelease(
    count(1),
    () => work,
    () => count(-1)
  )
}

/** Makes a folder of the name, or lets the file arrive in its own. Gives the folder when this made it. */
export const placeStep = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName,
  step: Step,
  arrive: Arrive,
  leaving: FileName | undefined
): Effect.fn.Return<DiskStat | undefined, StoreError> {
  const { folder, part } = step
  const path = [...folder, part]
  const orBlocked = Effect.catch((error: DiskError) => blocked(context, name, error))
  const found = yield* orBlocked(context.names.find(folder, segmentKey(part)))
  const others = found.entries.filter((entry) => [...folder, entry.name].join("/") !== leaving)
  const exists = yield* stands(context, name, step, step.kind === "file" ? { ...found, entries: others } : found)
  yield* makeDurable(context, name, folder, found.folder)
  if (step.kind === "file") {
    // What failed half way may have changed the folder.
    yield* Effect.onError(arrive(exists), () => context.names.forgotten(folder))
    yield* context.names.added(folder, { name: part, kind: "file" })
  } else if (!exists) {
    context.durableFolders.delete(path.join("/"))
    return yield* orBlocked(context.disk.makeFolder(path, "shared")).pipe(
      Effect.onError(() => context.names.forgotten(folder)),
      Effect.andThen(context.names.added(folder, { name: part, kind: "folder" })),
      Effect.andThen(Effect.orElseSucceed(context.disk.stat(path), () => undefined)),
      // Somebody else made it just now; the next step finds out what it is.
      Effect.catchIf(
        (error) => error._tag === "StoreFailed" && error.code === "EEXIST",
        () => Effect.undefined
      )
    )
  }
  return undefined
})

/** Whether the part stands there, fit for its use. Fails when something else is in the way. */
const stands = (context: DiskStore, name: FileName, step: Step, found: NameIndex.Found) =>
  Effect.fromResult(standing(context, name, step, found))

/** Whether the part of a name stands there, fit for its use; or what is in the way. */
export const standing = (
  { root }: DiskStore,
  name: FileName,
  { folder, part, kind }: Step,
  found: NameIndex.Found
): Result.Result<boolean, NotAFile | NameCollision> => {
  if (found.folder.device !== root.device) return Result.fail(new NotAFile({ name, found: "mount-point" }))
  const exact = found.entries.find((entry) => entry.name === part)
  const [other] = found.entries
  if (exact === undefined) {
    return other === undefined
      ? Result.succeed(false)
      : Result.fail(new NameCollision({ name, existing: [...folder, other.name].join("/") }))
  }
  if (exact.kind === kind) return Result.succeed(true)
  return Result.fail(new NotAFile({ name, found: exact.kind === "file" ? "file-as-folder" : exact.kind }))
}

/**
 * A file is only as durable as the names of its folders. Each folder's name is fsynced once by this store, whoever
 * made it: another commit may have made it and not have come to its fsync, or another process may have died before.
 */
export const makeDurable = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName,
  folder: DiskPath,
  stat: DiskStat
) {
  if (!context.durable || folder.length === 0) return
  const path = folder.join("/")
  if (context.durableFolders.get(path) === fileId(stat)) return
  yield* Effect.mapError(context.disk.syncFolder(folder.slice(0, -1)), full(name))
  if (context.durableFolders.size >= durableFoldersMax) context.durableFolders.clear()
  context.durableFolders.set(path, fileId(stat))
})

/** Removes a folder and those above it while they are empty and nobody puts a file there. Never fails. */
export const prune = Effect.fnUntraced(
  function* (context: DiskStore, folder: DiskPath) {
    for (let depth = folder.length; depth > 0; depth -= 1) {
      const empty = folder.slice(0, depth)
      const parent = folder.slice(0, depth - 1)
      const last = empty.at(-1) ?? ""
      const took = Effect.gen(function* () {
        if (context.placing.has(folderKey(empty))) return false
        yield* context.names.find(parent, segmentKey(last))
        yield* Effect.onError(context.disk.removeFolder(empty), () => context.names.forgotten(parent))
        context.durableFolders.delete(empty.join("/"))
        yield* context.names.removed(parent, last)
        return true
      })
      if (!(yield* inFolder(context, parent)(took))) return
    }
  },
  (pruned) => Effect.ignore(pruned)
)
