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
import { Clock, Effect } from "effect"
import type { Digest } from "../file/Digest.ts"
import { stagingFolder } from "../file/FileName.ts"
import {
  clonedBytesMin,
  clonedHeadBytesMax,
  cloneMarkedBytes,
  copiedBlockBytes,
  versionGrainMilliseconds
} from "../limits.ts"
import { cloneMarkBytes, encode } from "./CloneMark.ts"
import type { DiskError, DiskFile, DiskPath } from "./Disk.ts"
import type { DiskStore } from "./DiskStore.ts"
import type { OpenFile } from "./FileStore.ts"

/** What a staged file is a clone of. */
export interface Clone {
  readonly from: OpenFile
  /** how many bytes it had of it */
  readonly bytes: number
  /** Told how many bytes are as they shall be, and whether some were written: writes that down now and then. */
  readonly reached: (done: number, wrote: boolean) => Effect.Effect<void, DiskError>
}

/** A staged file that is open, in a scope of its own. */
export interface Opened extends DiskFile {
  readonly close: Effect.Effect<void>
}

/** What is staged, until now in a file of its own. */
export interface Staged {
  readonly path: DiskPath
  readonly file: () => DiskFile
  /** Goes on with another file, which is at the path now; what is kept of that one is what is done, `done`. */
  readonly become: (file: Opened, done: () => number) => Effect.Effect<void>
}

/**
 * Puts a clone of `from`, with what is staged until now at its beginning, in the place of the staged file. Undefined,
 * and all is as it was, when there is none or it would not pay.
 */
export const begin = Effect.fnUntraced(function* (options: {
  readonly context: DiskStore
  /** how many bytes the staged file will have */
  readonly size: number
  readonly staged: Staged
  readonly from: OpenFile
  /** how many bytes are staged, now and later */
  readonly received: () => number
  readonly create: (path: DiskPath) => Effect.Effect<Opened, unknown>
}): Effect.fn.Return<Clone | undefined> {
  const { context, create, from, received, size, staged } = options
  const { cloneInto } = from
  const head = received()
  if (cloneInto === undefined || !context.cloning.possible) return undefined
  if (from.entry.size < clonedBytesMin || head > clonedHeadBytesMax) return undefined
  // What has just changed may change again without another time.
  if ((yield* Clock.currentTimeMillis) - from.changed < versionGrainMilliseconds) return undefined

  const path = [stagingFolder, yield* context.newStagedName]
  const end = Math.max(size, from.entry.size)
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
      yield* copyHead(staged.file(), file, head)
      // Under the name that is gone on with, a clone would pass for what was received: it is too long for that already
      // before it has its mark, which may be lost where nothing is fsynced.
      yield* file.truncate(end + cloneMarkBytes)
      yield* clone.mark(file, head)
      if (context.durable) yield* file.sync
      yield* Effect.catch(context.disk.rename(path, staged.path), (error) =>
        // It may have happened all the same: then this is what will get the name.
        Effect.flatMap(Effect.all([file.stat, context.disk.stat(staged.path)]), ([own, there]) =>
          own.device === there.device && own.inode === there.inode ? Effect.void : Effect.fail(error)
        )
      )
    })
    yield* Effect.onError(filled, () => Effect.andThen(file.close, Effect.ignore(context.disk.remove(path))))
    yield* staged.become(file, received)
    return { from, bytes: from.entry.size, reached: (done, wrote) => clone.reached(file, done, wrote) } satisfies Clone
  })
  return yield* Effect.orElseSucceed(begun, () => undefined)
})

const copyHead = Effect.fnUntraced(function* (source: DiskFile, target: DiskFile, length: number) {
  for (let offset = 0; offset < length; offset += copiedBlockBytes) {
    yield* target.write(offset, [yield* source.read(offset, Math.min(copiedBlockBytes, length - offset))])
  }
})

/** Writes down, behind the end of either file, how far the clone is. */
const marked = (
  { digest, durable }: { readonly digest: Digest["Service"]; readonly durable: boolean },
  end: number
) => {
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
