/**
 * The file store over a disk: names, staging, collisions, durability and the order of steps. No system call of its own.
 *
 * Content is staged in a hidden folder of the root (`stagingFolder`), so that placing it is a rename within one file
 * system. The order of a commit: size and digest are checked, the file is fsynced, missing folders are made and
 * fsynced, the name is replaced, its folder is fsynced. Until the rename the live file is untouched.
 *
 * A replaced file gets a new inode: owner, mode and further hard links of the old one are not carried over.
 */
import { Clock, Effect, Exit, Layer, Option, Schema, Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../Bytes.ts"
import { Digest } from "../file/Digest.ts"
import type { FileEntry } from "../file/FileEntry.ts"
import { FileName, key, segmentKey, segments, stagingFolder } from "../file/FileName.ts"
import {
  durableFoldersMax,
  fileBytesMax,
  listingStatsAtOnceMax,
  nameIndexEntriesMax,
  stagedLeftoverMillisecondsMax
} from "../limits.ts"
import { Disk, type DiskEntry, type DiskError, type DiskFile, type DiskPath, type DiskStat } from "./Disk.ts"
import { FileStore, type OpenFile, type StageRequest, type Staging } from "./FileStore.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as NameIndex from "./NameIndex.ts"
import {
  DigestMismatch,
  NameCollision,
  NoSpace,
  NoSuchFile,
  NotAFile,
  SizeMismatch,
  SourceChanged,
  StoreFailed,
  type StoreError
} from "./StoreError.ts"

export interface Options {
  /**
   * `full` (the default): what was committed survives a power cut. `os`: no fsync; what was committed survives the
   * end of the process, and a power cut may lose it or leave it torn.
   */
  readonly durability?: "full" | "os"
  /** Staged files left by an earlier process are removed at start when older than this. */
  readonly stagedLeftoverMillisecondsMax?: number
  /** Names that are remembered to find collisions without reading a folder again. */
  readonly nameIndexEntriesMax?: number
}

/** The store of a disk's root. Fails when the staging folder cannot be made or is not a folder of the root's own. */
export const layer = (options: Options = {}): Layer.Layer<FileStore, StoreFailed, Disk | Digest | SecureRandom.SecureRandom> =>
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
    Effect.catchIf(({ code }) => code === "EEXIST", () => Effect.void),
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
    Stream.catchIf(({ code }) => folder.length > 0 && unlistable.has(code), () => Stream.empty),
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

const entriesOf = Effect.fnUntraced(function* (disk: Disk["Service"], folder: DiskPath, batch: ReadonlyArray<DiskEntry>) {
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
    Effect.catchIf(({ code }) => unlistable.has(code), () => Effect.succeedNone),
    Effect.mapError(failed)
  )
}

const entryOf = (name: FileName, stat: DiskStat): FileEntry => ({
  name,
  size: Math.min(stat.size, fileBytesMax),
  modified: Math.min(Math.max(stat.modified, 0), modifiedMax)
})

/** The end of the year 9999: what `Milliseconds` holds. */
const modifiedMax = 253_402_300_799_999

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

const openAt = (
  context: Context,
  name: FileName
): Effect.Effect<Option.Option<DiskFile>, StoreError, Scope.Scope> =>
  context.disk.openRead(segments(name)).pipe(
    Effect.asSome,
    Effect.catch((error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)))
  )

const openFile = Effect.fnUntraced(function* (name: FileName, file: DiskFile) {
  const before = yield* Effect.mapError(file.stat, failed)
  return {
    entry: entryOf(name, before),
    read: (offset, length) =>
      Effect.mapError(file.read(offset, Math.max(0, Math.min(length, before.size - offset))), failed),
    unchanged: Effect.flatMap(Effect.mapError(file.stat, failed), (after) =>
      sameContent(before, after) ? Effect.void : Effect.fail(new SourceChanged({ name }))
    )
  } satisfies OpenFile
})

/**
 * Both stats are of one descriptor, so identity is given. Size and modification time tell an ordinary write. The
 * change time also tells a write whose modification time was set back; but it moves too when the file loses a name,
 * which is what a replacement does to the old file. So it may differ when, and only when, a name was lost.
 */
const sameContent = (before: DiskStat, after: DiskStat): boolean =>
  before.size === after.size &&
  before.modifiedNanoseconds === after.modifiedNanoseconds &&
  (before.changedNanoseconds === after.changedNanoseconds || after.links < before.links)

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
        Effect.map(({ entries }) => entries.filter((entry) => entry.kind === kind).map((entry) => [...folder, entry.name])),
        Effect.catchIf(({ code }) => unlistable.has(code), () => Effect.succeed([])),
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
  const reservation = yield* Effect.acquireRelease(reserve(context, request), ({ release }) => release)
  const staged = yield* Effect.acquireRelease(createStaged(context, request.name), (staged) => staged.discard)
  return staging(context, request, staged, reservation)
})

/** A part of the free space that is promised to one staging. */
interface Reservation {
  /** `count` bytes of it are now in the file. */
  readonly wrote: (count: number) => void
  /** Gives back what was not written. Only the first call counts. */
  readonly release: Effect.Effect<void>
}

/** Holds the declared size against the free space until it is written or given up. */
const reserve = Effect.fnUntraced(function* ({ disk, reserved }: Context, { name, size }: StageRequest) {
  const free = yield* Effect.mapError(disk.freeBytes, failed)
  if (size > free - reserved.bytes) return yield* new NoSpace({ name })
  let left = size
  const take = (count: number): void => {
    left -= count
    reserved.bytes -= count
  }
  reserved.bytes += size
  return { wrote: take, release: Effect.sync(() => take(left)) } satisfies Reservation
})

/** A staged file: open, and then either discarded or moved to its name. Both close it, and only the first counts. */
interface Staged {
  readonly path: DiskPath
  readonly file: DiskFile
  readonly isOpen: () => boolean
  readonly discard: Effect.Effect<void>
  readonly moved: Effect.Effect<void>
}

const createStaged = Effect.fnUntraced(function* (context: Context, name: FileName) {
  const path = [stagingFolder, yield* context.newStagedName]
  const scope = yield* Scope.make()
  const create = context.disk.create(path)
  const file = yield* create.pipe(
    // The staging folder may have been tidied away while the server runs.
    Effect.catchIf(({ code }) => code === "ENOENT", () =>
      Effect.andThen(Effect.ignore(prepareStaging(context.disk, context.root)), create)
    ),
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
    Effect.mapError(full(name))
  )
  let open = true
  const end = (last: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (!open) return Effect.void
      open = false
      return Effect.andThen(Scope.close(scope, Exit.void), last)
    }).pipe(Effect.uninterruptible)
  return {
    path,
    file,
    isOpen: () => open,
    // What cannot be removed now is swept at a later start.
    discard: end(Effect.ignore(context.disk.remove(path))),
    moved: end(Effect.void)
  } satisfies Staged
})

const staging = (context: Context, request: StageRequest, staged: Staged, reservation: Reservation): Staging => {
  const discard = Effect.andThen(staged.discard, reservation.release)
  const { name, size } = request
  const hasher = context.digest.make()
  let received = 0
  const usable = Effect.suspend(() =>
    staged.isOpen() ? Effect.void : Effect.fail(new StoreFailed({ operation: "use of an ended staging", code: "EBADF" }))
  )
  return {
    write: Effect.fnUntraced(
      function* (parts) {
        yield* usable
        const length = Bytes.lengthOf(parts)
        if (length > size - received) {
          return yield* new SizeMismatch({ name, declared: size, received: Math.min(received + length, fileBytesMax) })
        }
        yield* Effect.mapError(staged.file.write(received, parts), full(name))
        for (const part of parts) hasher.update(part)
        received += length
        reservation.wrote(length)
      },
      Effect.onError(() => discard),
      // Bytes on disk, digest and count go together.
      Effect.uninterruptible
    ),
    commit: Effect.fnUntraced(
      function* (expected) {
        yield* usable
        const declared = expected.size === received ? size : expected.size
        if (declared !== received) return yield* new SizeMismatch({ name, declared, received })
        const digest = hasher.digest()
        if (digest !== expected.digest) {
          return yield* new DigestMismatch({ name, declared: expected.digest, received: digest })
        }
        yield* Effect.mapError(staged.file.setModified(request.modified), full(name))
        if (context.durable) yield* Effect.mapError(staged.file.sync, full(name))
        yield* context.lockName(key(name))(Effect.uninterruptible(place(context, name, staged)))
        return { name, size, modified: request.modified, digest }
      },
      Effect.onError(() => discard)
    )
  }
}

// -----------------------------------------------------------------------------
// Placing: folders, collisions, rename
// -----------------------------------------------------------------------------

/** Fails when the name cannot be staged as things stand. What is missing is not made yet. */
const checkTarget = Effect.fnUntraced(function* (context: Context, name: FileName): Effect.fn.Return<void, StoreError> {
  for (const step of stepsOf(name)) {
    const found = yield* find(context, step.folder, step.part).pipe(
      Effect.catchIf(({ code }) => code === "ENOENT", () => Effect.undefined),
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
      Effect.catchIf((error) => error._tag === "StoreFailed" && error.code === "EEXIST", () => Effect.void)
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
