/**
 * A staged file that begins as a clone of the older file, where the file system has such a thing (XFS, Btrfs, ZFS).
 *
 * Most of an update usually stays where it was. In a clone that is there from the beginning, without a byte written:
 * what is new is written over it, and the rest is only read and hashed. It takes no room on the disk, and no fsync has
 * to wait for it.
 *
 * What is read is the older file, which the system has at hand more often than the clone, where it would have to come
 * from the disk a second time. So before the commit the older file must be unchanged since before it was cloned;
 * otherwise what is staged is read whole.
 */
import { Clock, Effect, Exit, Scope } from "effect"
import type { Digest } from "../file/Digest.ts"
import {
  clonedBytesMin,
  clonedHeadBytesMax,
  cloneMarkedBytes,
  copiedBlockBytes,
  versionGrainMilliseconds
} from "../limits.ts"
import { cloneMarkBytes, decode, encode } from "./CloneMark.ts"
import type { Clonable, Disk, DiskError, DiskFile, DiskPath } from "./Disk.ts"

/** Where files are staged. */
export interface Context {
  readonly disk: Disk["Service"]
  readonly digest: Digest["Service"]
  /** whether commits are fsynced */
  readonly durable: boolean
  /** whether the file system may have clones: not once it has said that it has none; proven once there was one */
  readonly cloning: { possible: boolean; proven?: boolean }
}

/** A staged file that is a clone. */
export interface Clone {
  readonly file: Opened
  /** what it is a clone of */
  readonly from: Older
  /** Told how many bytes are as they shall be, and whether some were written: writes that down now and then. */
  readonly reached: (done: number, wrote: boolean) => Effect.Effect<void, DiskError>
}

/** The older file, open. */
export interface Older extends Partial<Clonable> {
  readonly size: number
  /** Succeeds when everything read so far is of one version. */
  readonly unchanged: Effect.Effect<void, unknown>
}

/** A staged file that is open, in a scope of its own. */
export interface Opened extends DiskFile {
  readonly close: Effect.Effect<void>
}

/** Opens a file in a scope of its own. */
export const opened = Effect.fnUntraced(function* (open: Effect.Effect<DiskFile, DiskError, Scope.Scope>) {
  const scope = yield* Scope.make()
  const file = yield* open.pipe(
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  return { ...file, close: Scope.close(scope, Exit.void) } satisfies Opened
})

/**
 * Puts a clone of `from`, with what is staged until now at its beginning, in the place of the staged file. Undefined,
 * and all is as it was, when there is none or it would not pay.
 */
export const begin = Effect.fnUntraced(function* (options: {
  readonly context: Context
  /** how many bytes the staged file will have */
  readonly size: number
  /** what is staged, and how many bytes of it */
  readonly staged: { readonly path: DiskPath; readonly file: DiskFile; readonly length: number }
  readonly from: Older
  /** a name that nobody goes on with */
  readonly path: DiskPath
  /** there is no room for anything else: worth to wait until a file that has just changed is one that has not */
  readonly needed?: boolean
  /** a file to put the clone into, with the permissions that it shall have */
  readonly create: (path: DiskPath) => Effect.Effect<Opened, unknown>
}): Effect.fn.Return<Clone | undefined> {
  const { context, create, from, needed = false, path, size, staged } = options
  const { changed, cloneInto } = from
  if (cloneInto === undefined || changed === undefined || !context.cloning.possible) return undefined
  if (from.size < clonedBytesMin || staged.length > clonedHeadBytesMax) return undefined
  // What has just changed may change again without another time.
  const age = (yield* Clock.currentTimeMillis) - changed
  if (age < versionGrainMilliseconds) {
    if (!needed || age < 0) return undefined
    yield* Effect.sleep(versionGrainMilliseconds - age)
  }

  const end = Math.max(size, from.size)
  const clone = marked(context, end)
  const begun = Effect.gen(function* () {
    const file = yield* create(path)
    const filled = Effect.gen(function* () {
      yield* Effect.tapError(cloneInto(file), ({ code }) =>
        Effect.sync(() => {
          // One file system holds all of the store, and will say so again.
          if (code === "ENOTSUP") context.cloning.possible = false
        })
      )
      context.cloning.proven = true
      yield* copyHead(staged.file, file, staged.length)
      // Under the name that is gone on with, a clone would pass for what was received: it is too long for that already
      // before it has its mark, which may be lost where nothing is fsynced.
      yield* file.truncate(end + cloneMarkBytes)
      yield* clone.mark(file, staged.length)
      if (context.durable) yield* file.sync
      yield* Effect.catch(context.disk.rename(path, staged.path), (error) =>
        // It may have happened all the same: then this is what will get the name.
        Effect.flatMap(Effect.all([file.stat, context.disk.stat(staged.path)]), ([own, there]) =>
          own.device === there.device && own.inode === there.inode ? Effect.void : Effect.fail(error)
        )
      )
    })
    yield* Effect.onError(filled, () => Effect.andThen(file.close, Effect.ignore(context.disk.remove(path))))
    return { file, from, reached: (done, wrote) => clone.reached(file, done, wrote) } satisfies Clone
  })
  return yield* Effect.orElseSucceed(begun, () => undefined)
})

const copyHead = Effect.fnUntraced(function* (source: DiskFile, target: DiskFile, length: number) {
  for (let offset = 0; offset < length; offset += copiedBlockBytes) {
    yield* target.write(offset, [yield* source.read(offset, Math.min(copiedBlockBytes, length - offset))])
  }
})

/** What is left of a clone is cut to what is done: its length must not say more. Otherwise its mark still says it. */
export const cut = ({ durable }: Pick<Context, "durable">, file: DiskFile, done: number): Effect.Effect<void> =>
  Effect.ignore(Effect.andThen(durable ? file.sync : Effect.void, file.truncate(done)))

/**
 * How much of a file of this length, which is longer than the `size` that it shall have, its mark says is done.
 * Undefined when it has none: only what began as a clone is so long.
 */
export const doneOf = Effect.fnUntraced(function* (
  digest: Digest["Service"],
  file: DiskFile,
  length: number,
  size: number
): Effect.fn.Return<number | undefined, DiskError> {
  const done = decode(digest, yield* file.read(Math.max(0, length - cloneMarkBytes), cloneMarkBytes))
  return done !== undefined && done <= size ? done : undefined
})

/** Writes down, behind the end of either file, how far the clone is. */
const marked = ({ digest, durable }: Context, end: number) => {
  let markedAt = 0
  let unsynced = true
  const mark = (file: DiskFile, done: number) =>
    Effect.suspend(() => {
      markedAt = done
      return file.write(end, [encode(digest, done)])
    })
  return {
    mark,
    reached: Effect.fnUntraced(function* (file: DiskFile, done: number, wrote: boolean) {
      unsynced ||= wrote
      if (done - markedAt < cloneMarkedBytes) return
      // A mark that outlives a power cut must not say more than what was written does.
      if (durable && unsynced) yield* file.sync
      unsynced = false
      // For it nothing is reserved, and nobody needs it unless this process is killed.
      yield* Effect.ignore(mark(file, done))
    })
  }
}
