/**
 * Finding a name on the disk of a store, also while its spelling changes, and reading the file that has it.
 */
import { Effect, Option, type Scope } from "effect"
import { type FileName, isName, key, segments } from "../file/FileName.ts"
import { clonable, type DiskFile, type DiskPath, type DiskStat, sameContent } from "./Disk.ts"
import {
  absent,
  blocked,
  closed,
  type DiskStore,
  entryOf,
  failed,
  fileId,
  find,
  unlistable,
  versionOf
} from "./DiskStore.ts"
import type { OpenFile } from "./FileStore.ts"
import { NoSuchFile, NotAFile, SourceChanged, type StoreError, type StoreFailed } from "./StoreError.ts"

/** Opens a file for reading, as `FileStore.open` promises. */
export const open = Effect.fnUntraced(function* (
  context: DiskStore,
  name: FileName
): Effect.fn.Return<OpenFile, StoreError, Scope.Scope> {
  const found = yield* lookPatiently(context, name, openAt)
  return yield* openFile(context, found.name, found.there)
})

const openAt = (context: DiskStore, name: FileName): Effect.Effect<Option.Option<DiskFile>, StoreError, Scope.Scope> =>
  context.disk.openRead(segments(name)).pipe(
    Effect.asSome,
    Effect.catch((error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)))
  )

const openFile = Effect.fnUntraced(function* (context: DiskStore, name: FileName, file: DiskFile) {
  const { followed } = context
  // A name that it gets while it is looked at moves its change time, and nobody could tell this reader.
  const looked: Effect.Effect<Remembered, StoreFailed> = Effect.suspend(() => {
    const { count } = followed
    return Effect.flatMap(Effect.mapError(file.stat, failed), (before) =>
      followed.count === count ? Effect.succeed({ before, seen: remember(context, fileId(before), before) }) : looked
    )
  })
  const { before, seen } = yield* Effect.acquireRelease(looked, ({ before, seen }) =>
    Effect.sync(() => forget(context, fileId(before), seen))
  )
  const id = fileId(before)
  return {
    entry: entryOf(name, before),
    version: versionOf(before),
    ...clonable(file, before),
    read: (offset, length) =>
      Effect.mapError(file.read(offset, Math.max(0, Math.min(length, before.size - offset))), failed),
    readInto: (offset, target) =>
      Effect.mapError(
        file.readInto(offset, target.subarray(0, Math.max(0, Math.min(target.length, before.size - offset)))),
        failed
      ),
    // Not while the file changes its name: its change time moves then.
    unchanged: Effect.flatMap(context.lockFile(id)(Effect.mapError(file.stat, failed)), (after) =>
      sameContent(seen.stat, after) ? Effect.void : Effect.fail(new SourceChanged({ name }))
    )
  } satisfies OpenFile
})

/** What a reader goes by, and where a rename finds it. */
interface Remembered {
  readonly before: DiskStat
  readonly seen: { stat: DiskStat }
}

const remember = ({ opened }: DiskStore, id: string, stat: DiskStat) => {
  const seen = { stat }
  opened.set(id, (opened.get(id) ?? new Set()).add(seen))
  return seen
}

const forget = ({ opened }: DiskStore, id: string, seen: { stat: DiskStat }): void => {
  const all = opened.get(id)
  all?.delete(seen)
  if (all?.size === 0) opened.delete(id)
}

/** What is done to see whether a file has exactly that name. */
type LookAt<A, R> = (context: DiskStore, name: FileName) => Effect.Effect<Option.Option<A>, StoreError, R>

/** What was found, under the name that it has. */
interface Looked<A> {
  readonly name: FileName
  readonly there: A
}

/**
 * The file of that name, otherwise the one whose name folds to the same. `unsettled`: what was there under another
 * spelling is there no more, or under several.
 */
export const look = Effect.fnUntraced(function* <A, R>(
  context: DiskStore,
  name: FileName,
  at: LookAt<A, R>
): Effect.fn.Return<Looked<A> | "absent" | "unsettled", StoreError, R> {
  const exact = yield* at(context, name)
  if (Option.isSome(exact)) return { name, there: exact.value }
  const [only, ...others] = yield* namesAlike(context, name)
  if (only === undefined) return "absent"
  // Of several none is meant.
  if (others.length > 0 || !isName(only)) return "unsettled"
  const folded = yield* at(context, only)
  return Option.isSome(folded) ? { name: only, there: folded.value } : "unsettled"
})

/**
 * The same for whoever does not hold the name's lock: a rename that spells it anew, and passes him by between two of
 * his looks, hides no file from him. It has ended when he looks a second time, and no other can begin.
 */
export const lookPatiently = Effect.fnUntraced(function* <A, R>(
  context: DiskStore,
  name: FileName,
  at: LookAt<A, R>
): Effect.fn.Return<Looked<A>, StoreError, R> {
  const first = yield* look(context, name, at)
  const found = first === "unsettled" ? yield* context.lockName(key(name))(look(context, name, at)) : first
  return typeof found === "string" ? yield* new NoSuchFile({ name }) : found
})

/** What stands at exactly that name, if it is a file. */
export const statAt = (context: DiskStore, name: FileName): Effect.Effect<Option.Option<DiskStat>, StoreError> =>
  context.disk.stat(segments(name)).pipe(
    Effect.matchEffect({
      onFailure: (error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)),
      onSuccess: (stat) =>
        stat.kind === "file" ? Effect.succeedSome(stat) : Effect.fail(new NotAFile({ name, found: stat.kind }))
    })
  )

/** The paths of all files whose name is equal under NFC and case folding. */
const namesAlike = Effect.fnUntraced(function* (context: DiskStore, name: FileName) {
  const parts = segments(name)
  let folders: ReadonlyArray<DiskPath> = [[]]
  for (const [depth, part] of parts.entries()) {
    const kind = depth === parts.length - 1 ? "file" : "folder"
    const found = yield* Effect.forEach(folders, (folder) =>
      find(context, folder, part).pipe(
        Effect.map(({ entries }) =>
          entries.filter((entry) => entry.kind === kind).map((entry) => folder.concat(entry.name))
        ),
        Effect.catchIf(
          // Where the root itself is gone nobody can say what is not there.
          ({ code }) => unlistable.has(code) && (folder.length > 0 || closed.has(code)),
          () => Effect.succeed([])
        ),
        Effect.mapError(failed)
      )
    )
    folders = found.flat()
  }
  return folders.map((path) => path.join("/"))
})
