/**
 * The file store over a disk: names, staging, collisions, durability and the order of steps. No system call of its own.
 *
 * Content is staged in a hidden folder of the root (`stagingFolder`), so that placing it is a rename within one file
 * system. The order of a commit: size and digest are checked, the file is fsynced, missing folders are made and
 * fsynced, the name is replaced, its folder is fsynced. Until the rename the live file is untouched.
 *
 * A replaced file gets a new inode: owner, mode and further hard links of the old one are not carried over.
 */
import { Clock, Effect, Exit, Layer, Option, Schema, Scope, Semaphore, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../Bytes.ts"
import { type ContentDigest, Digest } from "../file/Digest.ts"
import type { FileEntry } from "../file/FileEntry.ts"
import { FileName, key, segmentKey, segments, stagingFolder } from "../file/FileName.ts"
import {
  durableFoldersMax,
  fileBytesMax,
  listingStatsAtOnceMax,
  nameIndexEntriesMax,
  resumeBytesMin,
  stagedLeftoverBytesMax,
  stagedLeftoverMillisecondsMax
} from "../limits.ts"
import {
  Disk,
  type DiskEntry,
  type DiskError,
  type DiskFile,
  type DiskPath,
  type DiskStat,
  modifiedOf,
  sameContent
} from "./Disk.ts"
import { type CommitRequest, FileStore, type OpenFile, type StageRequest, type Staging } from "./FileStore.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as NameIndex from "./NameIndex.ts"
import * as ReadWindow from "./ReadWindow.ts"
import {
  BaseChanged,
  DigestMismatch,
  FileExists,
  NameCollision,
  NoSpace,
  NoSuchFile,
  NotAFile,
  SizeMismatch,
  SourceChanged,
  StoreFailed,
  type StoreError,
  TakenOver
} from "./StoreError.ts"

export interface Options {
  /**
   * `full` (the default): what was committed survives a power cut. `os`: no fsync; what was committed survives the
   * end of the process, and a power cut may lose it or leave it torn.
   */
  readonly durability?: "full" | "os"
  /** Staged files that nobody goes on with are removed when older than this: at start, and when another is kept. */
  readonly stagedLeftoverMillisecondsMax?: number
  /** Staged files that are kept for a resume take at most so many bytes together; the oldest go first. */
  readonly stagedLeftoverBytesMax?: number
  /** Names that are remembered to find collisions without reading a folder again. */
  readonly nameIndexEntriesMax?: number
}

/** The store of a disk's root. Fails when the staging folder cannot be made or is not a folder of the root's own. */
export const layer = (
  options: Options = {}
): Layer.Layer<FileStore, StoreFailed, Disk | Digest | SecureRandom.SecureRandom> =>
  Layer.effect(FileStore, make(options))

/** The same as an effect. */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<FileStore["Service"], StoreFailed, Disk | Digest | SecureRandom.SecureRandom> {
  const disk = yield* Disk
  const digest = yield* Digest
  const random = yield* SecureRandom.SecureRandom
  const root = yield* Effect.mapError(disk.stat([]), failed)
  yield* prepareStaging(disk, root)
  yield* sweep(disk, options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax)
  const context: Context = {
    disk,
    digest,
    root,
    newStagedName: Effect.map(random.randomBytes(stagedNameBytes), hex),
    durable: options.durability !== "os",
    durableFolders: new Set(),
    reserved: { bytes: 0 },
    names: NameIndex.make(disk, options.nameIndexEntriesMax ?? nameIndexEntriesMax),
    resumable: new Map(),
    leftoverBytesMax: options.stagedLeftoverBytesMax ?? stagedLeftoverBytesMax,
    leftoverMillisecondsMax: options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax,
    lockResume: KeyedLock.make(),
    lockName: KeyedLock.make(),
    lockFolder: KeyedLock.make()
  }
  return FileStore.of({
    list: walk(disk, []),
    stat: (name) => Effect.map(locate(context, name), ({ name, stat }) => entryOf(name, stat)),
    open: (name) => open(context, name),
    stage: (request) => stage(context, request)
  })
})

interface Context {
  readonly disk: Disk["Service"]
  readonly digest: Digest["Service"]
  readonly root: DiskStat
  readonly newStagedName: Effect.Effect<string>
  /** whether commits are fsynced */
  readonly durable: boolean
  /** folders whose own name is known to be durable */
  readonly durableFolders: Set<string>
  /** declared and not yet written, over all stagings */
  readonly reserved: { bytes: number }
  readonly names: NameIndex.NameIndex
  /** stagings under way that may be gone on with, by their key */
  readonly resumable: Map<string, Holder>
  /** what may be kept for a resume */
  readonly leftoverBytesMax: number
  readonly leftoverMillisecondsMax: number
  /** by that key */
  readonly lockResume: KeyedLock.KeyedLock
  /** by `FileName.key` */
  readonly lockName: KeyedLock.KeyedLock
  /** by the folded path of a folder; taken inside the lock of a name, one at a time */
  readonly lockFolder: KeyedLock.KeyedLock
}

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

const prepareStaging = Effect.fnUntraced(function* (disk: Disk["Service"], root: DiskStat) {
  yield* disk.makeFolder([stagingFolder], "private").pipe(
    Effect.catchIf(
      ({ code }) => code === "EEXIST",
      () => Effect.void
    ),
    Effect.mapError(failed)
  )
  const stat = yield* Effect.mapError(disk.stat([stagingFolder]), failed)
  const operation = `use '${stagingFolder}' as staging folder`
  if (stat.kind !== "folder") return yield* new StoreFailed({ operation, code: "ENOTDIR" })
  if (stat.device !== root.device) return yield* new StoreFailed({ operation, code: "EXDEV" })
})

/** Removes old leftovers. Age is by change time, which the committed modification time does not touch. */
const sweep = Effect.fnUntraced(function* (disk: Disk["Service"], millisecondsMax: number) {
  const now = yield* Clock.currentTimeMillis
  const removeWhenOld = (path: DiskPath) =>
    Effect.flatMap(disk.stat(path), (stat) =>
      stat.kind !== "folder" && now - Number(stat.changedNanoseconds / 1_000_000n) > millisecondsMax
        ? disk.remove(path)
        : Effect.void
    )
  yield* disk.list([stagingFolder]).pipe(
    Stream.runForEach(({ name }) => Effect.ignore(removeWhenOld([stagingFolder, name]))),
    Effect.mapError(failed)
  )
})

/** 128 bits: nobody meets another's staged file by guessing. */
const stagedNameBytes = 16

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

const isFileName = Schema.is(FileName)

/** Files below a folder, depth first. Each open level holds one batch of entries. */
const walk = (disk: Disk["Service"], folder: DiskPath): Stream.Stream<FileEntry, StoreFailed> =>
  disk.list(folder).pipe(
    // What vanished meanwhile, or may not be looked into (a `lost+found`), hides itself and not the rest.
    Stream.catchIf(
      ({ code }) => folder.length > 0 && unlistable.has(code),
      () => Stream.empty
    ),
    Stream.mapError(failed),
    Stream.chunks,
    Stream.flatMap((batch) => {
      const named = batch.filter(({ name }) => isFileName([...folder, name].join("/")))
      const folders = named.filter(({ kind }) => kind === "folder")
      return Stream.concat(
        Stream.fromArrayEffect(entriesOf(disk, folder, named)),
        Stream.flatMap(Stream.fromArray(folders), ({ name }) => walk(disk, [...folder, name]))
      )
    })
  )

const unlistable = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM"])

const entriesOf = Effect.fnUntraced(function* (
  disk: Disk["Service"],
  folder: DiskPath,
  batch: ReadonlyArray<DiskEntry>
) {
  const files = batch.filter(({ kind }) => kind === "file")
  const entries = yield* Effect.forEach(files, (file) => entryAt(disk, [...folder, file.name]), {
    concurrency: listingStatsAtOnceMax
  })
  return entries.flatMap(Option.toArray)
})

const entryAt = (disk: Disk["Service"], path: DiskPath): Effect.Effect<Option.Option<FileEntry>, StoreFailed> => {
  const name = path.join("/")
  return disk.stat(path).pipe(
    Effect.map((stat) => (stat.kind === "file" && isFileName(name) ? Option.some(entryOf(name, stat)) : Option.none())),
    Effect.catchIf(
      ({ code }) => unlistable.has(code),
      () => Effect.succeedNone
    ),
    Effect.mapError(failed)
  )
}

const entryOf = (name: FileName, stat: DiskStat): FileEntry => ({
  name,
  size: Math.min(stat.size, fileBytesMax),
  modified: modifiedOf(stat)
})

// -----------------------------------------------------------------------------
// Finding and reading
// -----------------------------------------------------------------------------

const open = Effect.fnUntraced(function* (
  context: Context,
  name: FileName
): Effect.fn.Return<OpenFile, StoreError, Scope.Scope> {
  const exact = yield* openAt(context, name)
  if (Option.isSome(exact)) return yield* openFile(name, exact.value)
  const existing = yield* locateFolded(context, name)
  const folded = yield* openAt(context, existing)
  if (Option.isSome(folded)) return yield* openFile(existing, folded.value)
  return yield* new NoSuchFile({ name })
})

const openAt = (context: Context, name: FileName): Effect.Effect<Option.Option<DiskFile>, StoreError, Scope.Scope> =>
  context.disk.openRead(segments(name)).pipe(
    Effect.asSome,
    Effect.catch((error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)))
  )

const openFile = Effect.fnUntraced(function* (name: FileName, file: DiskFile) {
  const before = yield* Effect.mapError(file.stat, failed)
  return {
    entry: entryOf(name, before),
    version: versionOf(before),
    changed: changedOf(before),
    read: (offset, length) =>
      Effect.mapError(file.read(offset, Math.max(0, Math.min(length, before.size - offset))), failed),
    readInto: (offset, target) =>
      Effect.mapError(
        file.readInto(offset, target.subarray(0, Math.max(0, Math.min(target.length, before.size - offset)))),
        failed
      ),
    unchanged: Effect.flatMap(Effect.mapError(file.stat, failed), (after) =>
      sameContent(before, after) ? Effect.void : Effect.fail(new SourceChanged({ name }))
    )
  } satisfies OpenFile
})

const versionOf = ({ changedNanoseconds, device, inode, modifiedNanoseconds, size }: DiskStat): string =>
  `${device}:${inode}:${size}:${modifiedNanoseconds}:${changedNanoseconds}`

// Whoever sets the modification time back cannot set the change time.
const changedOf = ({ changedNanoseconds, modified }: DiskStat): number =>
  Math.max(modified, Number(changedNanoseconds / 1_000_000n))

interface Located {
  readonly name: FileName
  readonly stat: DiskStat
}

const locate = Effect.fnUntraced(function* (context: Context, name: FileName): Effect.fn.Return<Located, StoreError> {
  const exact = yield* statAt(context, name)
  if (Option.isSome(exact)) return { name, stat: exact.value }
  const existing = yield* locateFolded(context, name)
  const folded = yield* statAt(context, existing)
  if (Option.isSome(folded)) return { name: existing, stat: folded.value }
  return yield* new NoSuchFile({ name })
})

const statAt = (context: Context, name: FileName): Effect.Effect<Option.Option<DiskStat>, StoreError> =>
  context.disk.stat(segments(name)).pipe(
    Effect.matchEffect({
      onFailure: (error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)),
      onSuccess: (stat) =>
        stat.kind === "file" ? Effect.succeedSome(stat) : Effect.fail(new NotAFile({ name, found: stat.kind }))
    })
  )

/** A name that is too long for this file system names nothing on it. */
const absent = new Set(["ENOENT", "ENAMETOOLONG"])

/** The one file whose name is equal under NFC and case folding; several are as good as none. */
const locateFolded = Effect.fnUntraced(function* (context: Context, name: FileName) {
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
          ({ code }) => unlistable.has(code),
          () => Effect.succeed([])
        ),
        Effect.mapError(failed)
      )
    )
    folders = found.flat()
  }
  const [only, ...others] = folders.map((path) => path.join("/"))
  return only !== undefined && others.length === 0 && isFileName(only) ? only : yield* new NoSuchFile({ name })
})

const find = (context: Context, folder: DiskPath, part: string): Effect.Effect<NameIndex.Found, DiskError> =>
  inFolder(context, folder)(context.names.find(folder, segmentKey(part)))

const inFolder = (context: Context, folder: DiskPath) => context.lockFolder(segmentKey(folder.join("/")))

// -----------------------------------------------------------------------------
// Staging
// -----------------------------------------------------------------------------

const stage = Effect.fnUntraced(function* (
  context: Context,
  request: StageRequest
): Effect.fn.Return<Staging, StoreError, Scope.Scope> {
  yield* checkTarget(context, request.name)
  yield* checkDemanded(context, request)
  // Of several at once with one key each waits for the one before it to be known as holder.
  const open = context.lockResume(request.resume ?? (yield* context.newStagedName))(openStaged(context, request))
  const { staged, resumed } = yield* Effect.acquireRelease(open, ({ staged }) => staged.release)
  const reservation = yield* Effect.acquireRelease(reserve(context, request, resumed), ({ release }) => release)
  return staging(context, request, staged, resumed, reservation)
})

/** A staged file of its own, or the one that an earlier staging of the same key has left. */
const openStaged = Effect.fnUntraced(function* (context: Context, request: StageRequest) {
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

/** Staged files that a later staging may go on with. */
const resumablePrefix = "r-"

/** A staged file that is open, in a scope of its own. */
interface OpenStaged extends DiskFile {
  readonly close: Effect.Effect<void>
}

const openLeft = Effect.fnUntraced(function* (context: Context, path: DiskPath, size: number) {
  const opened = yield* Effect.option(scopedFile(context.disk.openWrite(path)))
  if (Option.isNone(opened)) return undefined
  const file = opened.value
  const stat = yield* Effect.option(file.stat)
  if (Option.isSome(stat) && stat.value.size <= size) return { file, length: stat.value.size }
  // Longer than the source: not what the key promises.
  yield* file.close
  yield* Effect.ignore(context.disk.remove(path))
  return undefined
})

const scopedFile = Effect.fnUntraced(function* (open: Effect.Effect<DiskFile, DiskError, Scope.Scope>) {
  const scope = yield* Scope.make()
  const file = yield* open.pipe(
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  return { ...file, close: Scope.close(scope, Exit.void) } satisfies OpenStaged
})

/** A part of the free space that is promised to one staging. */
interface Reservation {
  /** `count` bytes of it are now in the file. */
  readonly wrote: (count: number) => void
  /** Gives back what was not written. Only the first call counts. */
  readonly release: Effect.Effect<void>
}

/** Holds the declared size against the free space until it is written or given up. */
const reserve = Effect.fnUntraced(function* (context: Context, { name, size }: StageRequest, resumed: number) {
  const { disk, reserved } = context
  let left = size - resumed
  const take = (count: number): void => {
    left -= count
    reserved.bytes -= count
  }
  // Seen and taken in one step: two at once never get the same bytes. Gives what is missing.
  const tryTake = Effect.map(Effect.mapError(disk.freeBytes, failed), (free) => {
    const missing = left - (free - reserved.bytes)
    if (missing <= 0) reserved.bytes += left
    return missing
  })
  const missing = yield* tryTake
  if (missing > 0) {
    // What is only kept for a resume gives way.
    yield* giveWay(context, missing)
    if ((yield* tryTake) > 0) return yield* new NoSpace({ name })
  }
  return { wrote: take, release: Effect.sync(() => take(left)) } satisfies Reservation
})

/** A staged file: open, and then given up, kept or moved to its name. Each closes it, and only the first counts. */
interface Staged {
  readonly path: DiskPath
  readonly file: DiskFile
  readonly isOpen: () => boolean
  readonly wasTakenOver: () => boolean
  /** Runs one operation on the file; a take-over waits for it. */
  readonly exclusively: <A, E>(operation: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Removes it. */
  readonly discard: Effect.Effect<void>
  /** Keeps it when it may be gone on with and is worth it, otherwise removes it. */
  readonly release: Effect.Effect<void>
  readonly moved: Effect.Effect<void>
}

const createStaged = (
  context: Context,
  path: DiskPath,
  name: FileName
): Effect.Effect<OpenStaged, NoSpace | StoreFailed> => {
  const create = scopedFile(context.disk.create(path))
  return create.pipe(
    // The staging folder may have been tidied away while the server runs.
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.andThen(Effect.ignore(prepareStaging(context.disk, context.root)), create)
    ),
    Effect.mapError(full(name))
  )
}

const makeStaged = (context: Context, path: DiskPath, file: OpenStaged, resume: string | undefined): Staged => {
  const using = Semaphore.makeUnsafe(1)
  const ending = Semaphore.makeUnsafe(1)
  let open = true
  let takenOver = false
  // Held until the file is closed or gone: whoever comes next with the key must not find it half removed.
  const end = (last: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (!open) return Effect.void
      open = false
      return Effect.andThen(Effect.andThen(last, file.close), forget)
    }).pipe(ending.withPermit, Effect.uninterruptible)
  const forget = Effect.sync(() => {
    if (resume !== undefined && context.resumable.get(resume) === holder) context.resumable.delete(resume)
  })
  const kept = end(Effect.void)
  const holder: Holder = {
    takeOver: using.withPermit(
      Effect.andThen(
        Effect.sync(() => void (takenOver = open)),
        kept
      )
    )
  }
  if (resume !== undefined) context.resumable.set(resume, holder)
  // What cannot be removed now is swept at a later start.
  const discard = end(Effect.ignore(context.disk.remove(path)))
  const worthKeeping = Effect.map(
    Effect.option(file.stat),
    (stat) => Option.isSome(stat) && stat.value.size >= resumeBytesMin
  )
  return {
    path,
    file,
    isOpen: () => open,
    wasTakenOver: () => takenOver,
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

/** Who holds a staging that may be taken over. */
interface Holder {
  readonly takeOver: Effect.Effect<void>
}

/** A kept staged file that nobody holds. */
interface Leftover {
  readonly name: string
  readonly stat: DiskStat
}

/** All of them, the oldest first. */
const leftovers = Effect.fnUntraced(function* ({ disk, resumable }: Context) {
  const names = yield* disk.list([stagingFolder]).pipe(
    Stream.filter(({ name }) => name.startsWith(resumablePrefix) && !resumable.has(keyOf(name))),
    Stream.runCollect
  )
  const found = yield* Effect.forEach(names, ({ name }) =>
    Effect.option(Effect.map(disk.stat([stagingFolder, name]), (stat): Leftover => ({ name, stat })))
  )
  return found
    .flatMap(Option.toArray)
    .toSorted((a, b) => (a.stat.changedNanoseconds < b.stat.changedNanoseconds ? -1 : 1))
})

const keyOf = (stagedName: string): string => stagedName.slice(resumablePrefix.length)

const totalOf = (all: ReadonlyArray<Leftover>): number => all.reduce((total, { stat }) => total + stat.size, 0)

/** Removes one, unless somebody has taken it up meanwhile. */
const removeLeftover = ({ disk, lockResume, resumable }: Context, { name }: Leftover): Effect.Effect<void> =>
  lockResume(keyOf(name))(
    Effect.suspend(() => (resumable.has(keyOf(name)) ? Effect.void : Effect.ignore(disk.remove([stagingFolder, name]))))
  )

/** Removes what is too old, and then the oldest until the rest takes at most the bytes that may be kept. */
const trimLeftovers = Effect.fnUntraced(
  function* (context: Context) {
    const now = yield* Clock.currentTimeMillis
    const all = yield* leftovers(context)
    let bytes = totalOf(all)
    for (const leftover of all) {
      const age = now - Number(leftover.stat.changedNanoseconds / 1_000_000n)
      if (bytes <= context.leftoverBytesMax && age <= context.leftoverMillisecondsMax) return
      yield* removeLeftover(context, leftover)
      bytes -= leftover.stat.size
    }
  },
  (trimmed) => Effect.ignore(trimmed)
)

/** Removes the oldest until so many bytes are free; none when all of them would not be enough. */
const giveWay = Effect.fnUntraced(
  function* (context: Context, missing: number) {
    const all = yield* leftovers(context)
    if (totalOf(all) < missing) return
    let bytes = 0
    for (const leftover of all) {
      if (bytes >= missing) return
      yield* removeLeftover(context, leftover)
      bytes += leftover.stat.size
    }
  },
  (gone) => Effect.ignore(gone)
)

const staging = (
  context: Context,
  request: StageRequest,
  staged: Staged,
  resumed: number,
  reservation: Reservation
): Staging => {
  const { name, size } = request
  const hasher = context.digest.make()
  let received = resumed
  // What an earlier staging has left is hashed at the end, so that new bytes may come at once.
  let hashed = 0
  // One pair of buffers for all copies from one file.
  let copied: { readonly from: OpenFile; readonly window: ReadWindow.ReadWindow<StoreFailed> } | undefined
  const giveUp = Effect.andThen(staged.release, reservation.release)
  const usable = Effect.suspend((): Effect.Effect<void, StoreError> => {
    if (staged.isOpen()) return Effect.void
    return staged.wasTakenOver()
      ? Effect.fail(new TakenOver({ name }))
      : Effect.fail(new StoreFailed({ operation: "use of an ended staging", code: "EBADF" }))
  })

  const append = Effect.fnUntraced(function* (parts: Bytes.Parts): Effect.fn.Return<void, StoreError> {
    yield* usable
    const length = Bytes.lengthOf(parts)
    if (length > size - received) {
      return yield* new SizeMismatch({ name, declared: size, received: Math.min(received + length, fileBytesMax) })
    }
    yield* Effect.mapError(staged.file.write(received, parts), full(name))
    if (hashed === received) {
      for (const part of parts) hasher.update(part)
      hashed += length
    }
    received += length
    reservation.wrote(length)
  })

  const write = Effect.fnUntraced(
    function* (parts: Bytes.Parts) {
      yield* staged.exclusively(append(parts))
    },
    Effect.onError(() => giveUp),
    // Bytes on disk, digest and count go together.
    Effect.uninterruptible
  )

  const catchUp = Effect.gen(function* () {
    const readable = {
      read: (offset: number, length: number) => Effect.mapError(staged.file.read(offset, length), failed),
      readInto: (offset: number, target: Uint8Array) => Effect.mapError(staged.file.readInto(offset, target), failed)
    }
    const range = { offset: hashed, length: received - hashed }
    const done = yield* ReadWindow.forEachBlock(ReadWindow.make(readable, received), range, (block) =>
      Effect.sync(() => hasher.update(block))
    )
    if (done < range.length) return yield* new StoreFailed({ operation: "read of staged content", code: "EIO" })
    hashed = received
  })

  const verify = Effect.fnUntraced(function* (expected: CommitRequest): Effect.fn.Return<ContentDigest, StoreError> {
    const declared = expected.size === received ? size : expected.size
    if (declared !== received) return yield* new SizeMismatch({ name, declared, received })
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
    yield* Effect.mapError(staged.file.setModified(request.modified), full(name))
    if (context.durable) yield* Effect.mapError(staged.file.sync, full(name))
    const replace = Effect.gen(function* () {
      yield* checkDemanded(context, request)
      yield* checkVersion(context, name, expected.replaces)
      yield* place(context, name, staged)
    })
    yield* context.lockName(key(name))(Effect.uninterruptible(replace))
    return { name, size, modified: request.modified, digest }
  })

  return {
    resumed,
    write,
    copy: Effect.fnUntraced(
      function* (from, offset, length) {
        const window = from === copied?.from ? copied.window : ReadWindow.make(from, from.entry.size)
        copied = { from, window }
        const done = yield* ReadWindow.forEachBlock(window, { offset, length }, (block) => write([block]))
        if (done < length) return yield* new SourceChanged({ name })
      },
      Effect.onError(() => giveUp)
    ),
    commit: (expected) => Effect.onError(staged.exclusively(commit(expected)), () => giveUp)
  }
}

/** Fails when what stands at the name is not what must. At the commit the caller holds the name's lock. */
const checkDemanded = Effect.fnUntraced(function* (context: Context, { name, target }: StageRequest) {
  if (target === undefined) return
  const live = yield* statAt(context, name)
  if (target === "absent" && Option.isSome(live)) return yield* new FileExists({ name })
  if (target === "present" && Option.isNone(live)) return yield* new NoSuchFile({ name })
})

/** Fails when the live file is another than the one that the change was made for. The caller holds the name's lock. */
const checkVersion = Effect.fnUntraced(function* (context: Context, name: FileName, version: string | undefined) {
  if (version === undefined) return
  const live = yield* statAt(context, name)
  if (Option.isNone(live) || versionOf(live.value) !== version) return yield* new BaseChanged({ name })
})

// -----------------------------------------------------------------------------
// Placing: folders, collisions, rename
// -----------------------------------------------------------------------------

/** Fails when the name cannot be staged as things stand. What is missing is not made yet. */
const checkTarget = Effect.fnUntraced(function* (context: Context, name: FileName): Effect.fn.Return<void, StoreError> {
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

/** Makes the folders of the name and moves the staged file to it. The caller holds the name's lock. */
const place = Effect.fnUntraced(function* (
  context: Context,
  name: FileName,
  staged: Staged
): Effect.fn.Return<void, StoreError> {
  for (const step of stepsOf(name)) {
    yield* inFolder(context, step.folder)(placeStep(context, name, step, staged))
  }
  if (context.durable) yield* Effect.mapError(context.disk.syncFolder(segments(name).slice(0, -1)), full(name))
})

const placeStep = Effect.fnUntraced(function* (context: Context, name: FileName, step: Step, staged: Staged) {
  const { folder, part } = step
  const path = [...folder, part]
  const orBlocked = Effect.catch((error: DiskError) => blocked(context, name, error))
  const found = yield* orBlocked(context.names.find(folder, segmentKey(part)))
  const exists = yield* stands(context, name, step, found)
  yield* makeDurable(context, name, folder, found.folder)
  if (step.kind === "file") {
    yield* orBlocked(context.disk.rename(staged.path, path))
    yield* staged.moved
    yield* context.names.added(folder, { name: part, kind: "file" })
  } else if (!exists) {
    yield* orBlocked(context.disk.makeFolder(path, "shared")).pipe(
      Effect.andThen(context.names.added(folder, { name: part, kind: "folder" })),
      // Somebody else made it just now; the next step finds out what it is.
      Effect.catchIf(
        (error) => error._tag === "StoreFailed" && error.code === "EEXIST",
        () => Effect.void
      )
    )
  }
})

/** One part of a name, and the folder in which it is looked for. */
interface Step {
  readonly folder: DiskPath
  readonly part: string
  readonly kind: "folder" | "file"
}

const stepsOf = (name: FileName): ReadonlyArray<Step> =>
  segments(name).map((part, depth, all) => ({
    folder: all.slice(0, depth),
    part,
    kind: depth === all.length - 1 ? "file" : "folder"
  }))

/** Whether the part stands there, fit for its use. Fails when something else is in the way. */
const stands = (
  { root }: Context,
  name: FileName,
  { folder, part, kind }: Step,
  found: NameIndex.Found
): Effect.Effect<boolean, NotAFile | NameCollision> => {
  if (found.folder.device !== root.device) return Effect.fail(new NotAFile({ name, found: "mount-point" }))
  const exact = found.entries.find((entry) => entry.name === part)
  const [other] = found.entries
  if (exact === undefined) {
    return other === undefined
      ? Effect.succeed(false)
      : Effect.fail(new NameCollision({ name, existing: [...folder, other.name].join("/") }))
  }
  if (exact.kind === kind) return Effect.succeed(true)
  return Effect.fail(new NotAFile({ name, found: exact.kind === "file" ? "file-as-folder" : exact.kind }))
}

/**
 * A file is only as durable as the names of its folders. Each folder's name is fsynced once by this store, whoever
 * made it: another commit may have made it and not have come to its fsync, or another process may have died before.
 */
const makeDurable = Effect.fnUntraced(function* (context: Context, name: FileName, folder: DiskPath, stat: DiskStat) {
  if (!context.durable || folder.length === 0) return
  const id = `${stat.device}:${stat.inode}:${folder.join("/")}`
  if (context.durableFolders.has(id)) return
  yield* Effect.mapError(context.disk.syncFolder(folder.slice(0, -1)), full(name))
  if (context.durableFolders.size >= durableFoldersMax) context.durableFolders.clear()
  context.durableFolders.add(id)
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const failed = ({ operation, code }: DiskError): StoreFailed => new StoreFailed({ operation, code })

const full =
  (name: FileName) =>
  (error: DiskError): NoSpace | StoreFailed =>
    error.code === "ENOSPC" || error.code === "EDQUOT" ? new NoSpace({ name }) : failed(error)

/** What a code says when looking again finds nothing in the way any more. */
const foundByCode: ReadonlyMap<string, NotAFile["found"]> = new Map([
  ["ENOTDIR", "file-as-folder"],
  ["EISDIR", "folder"],
  ["ELOOP", "link"],
  ["ENOTREG", "special"],
  // What open(2) says of a socket, and of a device without a driver.
  ["ENXIO", "special"],
  ["EXDEV", "mount-point"]
] as const)

/** Fails with what stands in the way of the name. */
const blocked = Effect.fnUntraced(function* (
  { disk, root }: Context,
  name: FileName,
  error: DiskError
): Effect.fn.Return<never, StoreError> {
  const byCode = foundByCode.get(error.code)
  if (byCode === undefined) return yield* Effect.fail(full(name)(error))
  for (const { folder, part, kind } of stepsOf(name)) {
    const stat = yield* Effect.option(disk.stat([...folder, part]))
    if (Option.isNone(stat)) break
    const found = stat.value.kind
    if (error.code === "EXDEV" && stat.value.device !== root.device) break
    if (found !== kind) return yield* new NotAFile({ name, found: found === "file" ? "file-as-folder" : found })
  }
  return yield* new NotAFile({ name, found: byCode })
})
