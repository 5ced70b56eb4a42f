/**
 * One file on its way into a store: staged, written, verified and committed.
 */
import { Effect, Fiber, Result, type Scope, Semaphore } from "effect"
import * as Bytes from "../Bytes.ts"
import type { ContentDigest } from "../file/Digest.ts"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import { type FileName, key, segments, stagingFolder } from "../file/FileName.ts"
import { partsOf } from "../file/Packed.ts"
import {
  clonedBytesMin,
  clonedHeadBytesMax,
  contentBlockBytes,
  copiedBlockBytes,
  copyRunBytesMax,
  fileBytesMax,
  resumeBytesMin
} from "../limits.ts"
import type { Disk, DiskError, DiskFile, DiskPath, DiskStat } from "./Disk.ts"
import * as DiskClone from "./DiskClone.ts"
import type { Clone, Opened } from "./DiskClone.ts"
import { giveWay, resumablePrefix, trimLeftovers } from "./DiskLeftovers.ts"
import { checkDemanded, checkTarget, checkVersion, place } from "./DiskPlacing.ts"
import { blocked, type DiskStore, failed, full, type Holder } from "./DiskStore.ts"
import type { CommitRequest, OpenFile, StageRequest, Staging } from "./FileStore.ts"
import * as ReadWindow from "./ReadWindow.ts"
import {
  DigestMismatch,
  NoSpace,
  SizeMismatch,
  SourceChanged,
  type StoreError,
  StoreFailed,
  TakenOver
} from "./StoreError.ts"

/** The file in the staging folder that a server locks while it serves the root. */
export const rootLockName = "server.lock"

/** Makes the staging folder, or makes sure that what is there is one. */
export const prepareStaging = Effect.fnUntraced(function* (disk: Disk["Service"], root: DiskStat, durable: boolean) {
  yield* disk.makeFolder([stagingFolder], "private").pipe(
    Effect.catchIf(
      ({ code }) => code === "EEXIST",
      () => Effect.void
    ),
    Effect.mapError(failed)
  )
  const stat = yield* Effect.mapError(disk.stat([stagingFolder]), failed)
  const operation = `use '${stagingFolder}' as staging folder`
  const path = stagingFolder
  if (stat.kind !== "folder") return yield* new StoreFailed({ operation, code: "ENOTDIR", path })
  if (stat.device !== root.device) return yield* new StoreFailed({ operation, code: "EXDEV", path })
  // Whoever made it: what is kept in it for later is only as durable as its name.
  if (durable) yield* Effect.mapError(disk.syncFolder([]), failed)
})

/** Begins new content for a name, as `FileStore.stage` promises. */
export const stage = Effect.fnUntraced(function* (
  context: DiskStore,
  request: StageRequest
): Effect.fn.Return<Staging, StoreError, Scope.Scope> {
  yield* checkTarget(context, request.name)
  yield* checkDemanded(context, request)
  // Of several at once with one key each waits for the one before it to be known as holder.
  const open = context.lockResume(request.resume ?? (yield* context.newStagedName))(openStaged(context, request))
  const opened = Effect.acquireRelease(open, ({ staged }) => staged.release)
  const { staged, resumed } = yield* Effect.catchTag(opened, "NoSpace", (error) =>
    Effect.flatMap(giveRoomForFile(context), (gone) => (gone ? opened : Effect.fail(error)))
  )
  const held = Effect.acquireRelease(reserve(context, request, resumed), ({ release }) => release)
  return yield* Effect.matchEffect(held, {
    onSuccess: (reservation) =>
      Effect.as(staged.holding(reservation.release), staging(context, request, staged, resumed, reservation)),
    // From the beginning it may be a clone, which needs less. What is staged is not dropped for a mere perhaps.
    onFailure: (error) =>
      resumed > clonedHeadBytesMax && isClonable(context, request) && context.cloning.proven === true
        ? Effect.andThen(staged.discard, stage(context, request))
        : Effect.fail(error)
  })
})

/** A disk may be too full for a file of no bytes: what is only kept for a resume gives way for that, too. */
const giveRoomForFile = (context: DiskStore): Effect.Effect<boolean> =>
  giveWay(
    context,
    1,
    Effect.map(Effect.mapError(context.disk.freeBytes, failed), (free) => free >= resumeBytesMin)
  )

/** A staged file of its own, or the one that an earlier staging of the same key has left. */
const openStaged = Effect.fnUntraced(function* (context: DiskStore, request: StageRequest) {
  const { name, resume, size } = request
  if (resume === undefined) {
    const path = [stagingFolder, yield* context.newStagedName]
    return { staged: makeStaged(context, path, yield* createStaged(context, path, name), undefined), resumed: 0 }
  }
  // The newer takes over: the older finishes the write it is in, and fails at its next.
  yield* context.resumable.get(resume)?.takeOver ?? Effect.void
  const path = [stagingFolder, `${resumablePrefix}${resume}`]
  const left = yield* openLeft(context, path, size)
  const opened = left ?? { file: yield* createStaged(context, path, name), length: 0 }
  return { staged: makeStaged(context, path, opened.file, resume), resumed: opened.length }
})

const openLeft = Effect.fnUntraced(function* (context: DiskStore, path: DiskPath, size: number) {
  const opened = yield* Effect.result(DiskClone.opened(context.disk.openWrite(path)))
  if (Result.isFailure(opened)) {
    const { code } = opened.failure
    if (code === "ENOENT") return undefined
    // That passes, and what is there is of use then.
    if (outOfReach.has(code)) return yield* Effect.fail(failed(opened.failure))
  } else {
    const file = opened.success
    const length = yield* Effect.orElseSucceed(lengthLeft(context, file, size), () => undefined)
    if (length !== undefined) return { file, length }
    yield* file.close
  }
  // What cannot be opened, or is not what the key promises, is in the way.
  yield* Effect.ignore(context.disk.remove(path))
  return undefined
})

/** Codes of what says nothing of the file itself. */
const outOfReach: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"])

/** How much of what was left is as it shall be, and now all that is there; undefined when that cannot be told. */
const lengthLeft = Effect.fnUntraced(function* (context: DiskStore, file: DiskFile, size: number) {
  const stat = yield* file.stat
  if (stat.size <= size) return stat.size
  const done = yield* DiskClone.doneOf(context.digest, file, stat.size, size)
  if (done !== undefined) yield* file.truncate(done)
  return done
})

/** A part of the free space that is promised to one staging. */
interface Reservation {
  /** Has held what so many bytes more need, where the declared size is not held yet. */
  readonly more: (count: number) => Effect.Effect<void, NoSpace | StoreFailed>
  /** Whether less than the declared size is held. */
  readonly isShort: () => boolean
  /** `count` bytes of it are now in the file, and take room there unless they were there. */
  readonly wrote: (count: number, kept: boolean) => void
  /** Gives back what was not written. Only the first call counts. */
  readonly release: Effect.Effect<void>
}

/** Whether what is staged may become a clone of the live file. */
const isClonable = ({ cloning }: DiskStore, { base }: StageRequest): boolean =>
  cloning.possible && base !== undefined && base >= clonedBytesMin

/**
 * Holds the declared size against the free space until it is written or given up. Where that is not free, of what may
 * become a clone only as much as is written before it is one.
 */
const reserve = Effect.fnUntraced(function* (context: DiskStore, request: StageRequest, resumed: number) {
  const { disk, reserved } = context
  let owed = request.size - resumed
  let left = 0
  const take = (count: number): void => {
    left -= count
    reserved.bytes -= count
  }
  const missing = (count: number) =>
    Effect.map(Effect.mapError(disk.freeBytes, failed), (free) => count - (free - reserved.bytes))
  // Seen and taken in one step: two at once never get the same bytes. Gives what is missing.
  const tryHold = (count: number) =>
    Effect.map(missing(count), (lacking) => {
      if (lacking > 0) return lacking
      reserved.bytes += count
      left += count
      owed -= count
      return 0
    })
  const hold = Effect.fnUntraced(function* (count: number) {
    const lacking = yield* tryHold(count)
    if (lacking === 0) return
    // What is only kept for a resume gives way.
    yield* giveWay(
      context,
      lacking,
      Effect.map(missing(count), (now) => now <= 0)
    )
    if ((yield* tryHold(count)) > 0) return yield* new NoSpace({ name: request.name })
  })
  if (resumed <= clonedHeadBytesMax && isClonable(context, request)) {
    if ((yield* tryHold(owed)) > 0) yield* hold(Math.min(owed, clonedHeadBytesMax))
  } else {
    yield* hold(owed)
  }
  return {
    more: (count) =>
      count <= left || owed === 0 ? Effect.void : hold(Math.min(owed, Math.max(count - left, clonedHeadBytesMax))),
    isShort: () => owed > 0,
    wrote: (count, kept) => {
      // What a clone has takes nothing of what is held, as long as more is to be held.
      const spared = kept ? Math.min(owed, count) : 0
      owed -= spared
      take(Math.min(left, count - spared))
    },
    release: Effect.sync(() => take(left))
  } satisfies Reservation
})

/** A staged file: open, and then given up, kept or moved to its name. Each closes it, and only the first counts. */
interface Staged {
  readonly path: DiskPath
  readonly file: () => DiskFile
  /** Goes on with another file, which is at the path now; what is kept of that one is what is done, `done`. */
  readonly become: (file: Opened, done: () => number) => Effect.Effect<void>
  readonly isOpen: () => boolean
  readonly wasTakenOver: () => boolean
  /** Told what it holds, which a take-over gives back: whoever takes over holds the same again. */
  readonly holding: (giveBack: Effect.Effect<void>) => Effect.Effect<void>
  /** Runs one operation on the file; a take-over waits for it. */
  readonly exclusively: <A, E>(operation: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Removes it. */
  readonly discard: Effect.Effect<void>
  /** Keeps it when it may be gone on with and is worth it, otherwise removes it. */
  readonly release: Effect.Effect<void>
  readonly moved: Effect.Effect<void>
}

const createStaged = (
  context: DiskStore,
  path: DiskPath,
  name: FileName
): Effect.Effect<Opened, NoSpace | StoreFailed> => {
  const create = DiskClone.opened(context.disk.create(path))
  return create.pipe(
    // The staging folder may have been tidied away while the server runs.
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.andThen(Effect.ignore(prepareStaging(context.disk, context.root, context.durable)), create)
    ),
    Effect.mapError(full(name))
  )
}

const makeStaged = (context: DiskStore, path: DiskPath, first: Opened, resume: string | undefined): Staged => {
  let file = first
  let done: (() => number) | undefined
  const using = Semaphore.makeUnsafe(1)
  const ending = Semaphore.makeUnsafe(1)
  let open = true
  let takenOver = false
  let held: Effect.Effect<void> = Effect.void
  // Held until the file is closed or gone: whoever comes next with the key must not find it half removed.
  const end = (last: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (!open) return Effect.void
      open = false
      return Effect.andThen(
        Effect.andThen(
          last,
          Effect.suspend(() => file.close)
        ),
        forget
      )
    }).pipe(ending.withPermit, Effect.uninterruptible)
  const forget = Effect.sync(() => {
    if (resume !== undefined && context.resumable.get(resume) === holder) context.resumable.delete(resume)
  })
  const kept = end(Effect.suspend(() => (done === undefined ? Effect.void : DiskClone.cut(context, file, done()))))
  const holder: Holder = {
    takeOver: using.withPermit(
      Effect.suspend(() => {
        takenOver = open
        return Effect.andThen(kept, held)
      })
    )
  }
  if (resume !== undefined) context.resumable.set(resume, holder)
  // What cannot be removed now is swept at a later start.
  const discard = end(Effect.ignore(context.disk.remove(path)))
  const worthKeeping = Effect.suspend(() =>
    done === undefined
      ? Effect.orElseSucceed(
          Effect.map(file.stat, ({ size }) => size),
          () => 0
        )
      : Effect.succeed(done())
  ).pipe(Effect.map((length) => length >= resumeBytesMin))
  return {
    path,
    file: () => file,
    become: (next, nextDone) =>
      Effect.suspend(() => {
        const before = file
        file = next
        done = nextDone
        return before.close
      }),
    isOpen: () => open,
    wasTakenOver: () => takenOver,
    holding: (giveBack) =>
      Effect.andThen(
        Effect.sync(() => void (held = giveBack)),
        Effect.suspend(() => (takenOver ? giveBack : Effect.void))
      ),
    exclusively: using.withPermit,
    discard,
    release:
      resume === undefined
        ? discard
        : Effect.flatMap(worthKeeping, (worth) =>
            worth && open ? Effect.andThen(kept, trimLeftovers(context)) : open ? discard : Effect.void
          ),
    moved: end(Effect.void)
  }
}

const staging = (
  context: DiskStore,
  request: StageRequest,
  staged: Staged,
  resumed: number,
  reservation: Reservation
): Staging => {
  const { name, size } = request
  let hasher = context.digest.make()
  let received = resumed
  // What an earlier staging has left is hashed at the end, so that new bytes may come at once.
  let hashed = 0
  let clone: Clone | undefined
  let older: OpenFile | undefined
  const giveUp = Effect.andThen(staged.release, reservation.release)
  const usable = Effect.suspend((): Effect.Effect<void, StoreError> => {
    if (staged.isOpen()) return Effect.void
    return staged.wasTakenOver()
      ? Effect.fail(new TakenOver({ name }))
      : Effect.fail(new StoreFailed({ operation: "use of an ended staging", code: "EBADF" }))
  })

  const fits = (length: number): Effect.Effect<void, StoreError> =>
    length > size - received
      ? Effect.fail(new SizeMismatch({ name, declared: size, received: Math.min(received + length, fileBytesMax) }))
      : Effect.void

  // A write that fails ends the staging, and its digest with it.
  const hash = (parts: Bytes.Parts, length: number): void => {
    if (hashed !== received) return
    for (const part of parts) hasher.update(part)
    hashed += length
  }

  /** What is no clone, and can be none any more, takes all the room that was declared. */
  const roomFor = (length: number, kept: boolean): Effect.Effect<void, StoreError> => {
    const isPlain = clone === undefined && (older !== undefined || received + length > clonedHeadBytesMax)
    const room = kept && !isPlain ? Effect.void : reservation.more(isPlain ? size : length)
    // What is there would only fill the disk: with as little room it ends here again.
    return Effect.tapError(room, () => staged.discard)
  }

  /** Whether a range of that file is in its place already: it stays where it is, and the file began as a clone. */
  const isKept = (from: OpenFile, offset: number, length: number): boolean =>
    clone !== undefined && from === older && offset === received && offset + length <= clone.from.size

  const append = Effect.fnUntraced(function* (parts: Bytes.Parts, kept: boolean): Effect.fn.Return<void, StoreError> {
    yield* usable
    const length = Bytes.lengthOf(parts)
    yield* fits(length)
    yield* roomFor(length, kept)
    hash(parts, length)
    if (!kept) yield* Effect.mapError(staged.file().write(received, parts), full(name))
    received += length
    reservation.wrote(length, kept)
    if (clone !== undefined) yield* Effect.mapError(clone.reached(received, !kept), full(name))
  })

  const write = Effect.fnUntraced(
    function* (parts: Bytes.Parts, kept: boolean = false) {
      yield* staged.exclusively(append(parts, kept))
    },
    Effect.onError(() => giveUp),
    // Bytes on disk, digest and count go together.
    Effect.uninterruptible
  )

  // Small copies are near each other: one pair of buffers for all from one file, and another for large ones.
  let nearby: { readonly from: OpenFile; readonly window: ReadWindow.ReadWindow<StoreFailed> } | undefined
  const buffers: Array<Uint8Array> = []
  let turn = 0
  const bufferFor = (length: number): Uint8Array => {
    turn = 1 - turn
    return (buffers[turn] ??= new Uint8Array(Math.min(size, copiedBlockBytes))).subarray(0, length)
  }

  /** Goes on with a clone of that file, once what is copied of it stays where it is. */
  const cloneWhenFit = Effect.fnUntraced(function* (from: OpenFile, offset: number) {
    if (older !== undefined || offset !== received || !staged.isOpen()) return
    older = from
    // What was read before the clone is not known to be in it.
    nearby = undefined
    clone = yield* DiskClone.begin({
      context,
      size,
      staged: { path: staged.path, file: staged.file(), length: received },
      from: { ...from, size: from.entry.size },
      path: [stagingFolder, yield* context.newStagedName],
      needed: reservation.isShort(),
      create: (path) => createStaged(context, path, name)
    })
    if (clone !== undefined) yield* staged.become(clone.file, () => received)
  })

  /** While one block is written by another thread this one hashes it and reads the next. */
  const appendFrom = Effect.fnUntraced(function* (
    from: OpenFile,
    offset: number,
    length: number
  ): Effect.fn.Return<void, StoreError> {
    yield* usable
    yield* fits(length)
    const kept = isKept(from, offset, length)
    yield* roomFor(length, kept)
    let writing: Fiber.Fiber<void, DiskError> | undefined
    let before = received
    const written = Effect.suspend(() => (writing === undefined ? Effect.void : Fiber.join(writing))).pipe(
      // What could not be written is not there, though a clone is long enough for it.
      Effect.tapError(() => Effect.sync(() => void (received = before)))
    )
    const blocks = Effect.gen(function* () {
      for (let done = 0; done < length;) {
        const target = bufferFor(Math.min(copiedBlockBytes, length - done))
        const block = yield* ReadWindow.fill(from, offset + done, target)
        yield* Effect.mapError(written, full(name))
        if (block.length < target.length) return yield* new SourceChanged({ name })
        before = received
        if (!kept) writing = yield* Effect.forkChild(staged.file().write(received, [block]), { startImmediately: true })
        hash([block], block.length)
        received += block.length
        reservation.wrote(block.length, kept)
        done += block.length
      }
    })
    // Nobody goes on with the file while something is still being written to it.
    yield* Effect.ensuring(blocks, Effect.exit(written))
    yield* Effect.mapError(written, full(name))
    if (clone !== undefined) yield* Effect.mapError(clone.reached(received, !kept), full(name))
  })

  const catchUp = Effect.gen(function* () {
    const readable = {
      read: (offset: number, length: number) => Effect.mapError(staged.file().read(offset, length), failed),
      readInto: (offset: number, target: Uint8Array) => Effect.mapError(staged.file().readInto(offset, target), failed)
    }
    const range = { offset: hashed, length: received - hashed }
    if (range.length === 0) return
    const reading = ReadWindow.forEachBlock(ReadWindow.make(readable, received), range, (block) =>
      Effect.sync(() => hasher.update(block))
    )
    // It may be terabytes, and changes nothing: it can be interrupted where the commit behind it cannot.
    const done = yield* Effect.interruptible(reading)
    if (done < range.length) return yield* new StoreFailed({ operation: "read of staged content", code: "EIO" })
    hashed = received
  })

  const verify = Effect.fnUntraced(function* (expected: CommitRequest): Effect.fn.Return<ContentDigest, StoreError> {
    const declared = expected.size === received ? size : expected.size
    if (declared !== received) return yield* new SizeMismatch({ name, declared, received })
    // What was hashed was read of the other file: it counts for the clone as long as that file is what was cloned.
    if (clone !== undefined && !(yield* Effect.isSuccess(clone.from.unchanged))) {
      hasher = context.digest.make()
      hashed = 0
    }
    yield* catchUp
    const digest = hasher.digest()
    // Wrong content is never gone on with.
    if (digest !== expected.digest) yield* staged.discard
    return digest === expected.digest
      ? digest
      : yield* new DigestMismatch({ name, declared: expected.digest, received: digest })
  })

  const commit = Effect.fnUntraced(function* (expected: CommitRequest): Effect.fn.Return<FileEntry, StoreError> {
    yield* usable
    const digest = yield* verify(expected)
    if (clone !== undefined) yield* Effect.mapError(staged.file().truncate(size), full(name))
    // A staged file may not be run until it is whole. What is gone on with may be, when an earlier commit has failed.
    const executable = request.executable === true
    if (executable || resumed > 0) yield* Effect.mapError(staged.file().setExecutable(executable), full(name))
    yield* Effect.mapError(staged.file().setModified(request.modified), full(name))
    if (context.durable) yield* Effect.mapError(staged.file().sync, full(name))
    const move = Effect.andThen(context.disk.rename(staged.path, segments(name)), staged.moved).pipe(
      Effect.catch((error) => blocked(context, name, error))
    )
    const replace = Effect.gen(function* () {
      yield* checkDemanded(context, request)
      yield* checkVersion(context, name, expected.replaces)
      yield* place(context, name, () => move)
    })
    yield* context.lockName(key(name))(Effect.uninterruptible(replace))
    return { name, size, modified: request.modified, digest, ...mayRun(request.executable) }
  })

  return {
    resumed,
    write,
    copy: Effect.fnUntraced(
      function* (from, offset, length) {
        // All of it, before a part is written.
        yield* Effect.andThen(usable, fits(length))
        if (length <= contentBlockBytes) {
          nearby = from === nearby?.from ? nearby : { from, window: ReadWindow.make(from, from.entry.size) }
          const kept = isKept(from, offset, length)
          const done = yield* ReadWindow.forEachBlock(nearby.window, { offset, length }, (block) =>
            write([block], kept)
          )
          return done < length ? yield* new SourceChanged({ name }) : undefined
        }
        yield* Effect.uninterruptible(staged.exclusively(cloneWhenFit(from, offset)))
        // In parts: between them a transfer can be ended, and another one take over.
        for (const part of partsOf({ offset, length }, copyRunBytesMax)) {
          yield* Effect.uninterruptible(staged.exclusively(appendFrom(from, part.offset, part.length)))
        }
      },
      Effect.onError(() => giveUp)
    ),
    drop: staged.exclusively(Effect.andThen(staged.discard, reservation.release)),
    commit: (expected) => Effect.onError(staged.exclusively(commit(expected)), () => giveUp)
  }
}
