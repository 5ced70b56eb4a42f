/**
 * The file store over a disk: names, staging, collisions, durability and the order of steps. No system call of its own.
 *
 * Content is staged in a hidden folder of the root (`stagingFolder`), so that placing it is a rename within one file
 * system. The order of a commit: size and digest are checked, the file is fsynced, missing folders are made and
 * fsynced, the name is replaced, its folder is fsynced. Until the rename the live file is untouched.
 *
 * A rename makes the new name durable before it takes the old one away: link(2), fsync, unlink(2), fsync. What it is
 * about to do is written down first (RenameIntent), and a store that starts finishes it. Links also never take a name
 * that is there. Where a file system has none it is rename(2), as good as that is there.
 *
 * A replaced file gets a new inode: owner, mode and further hard links of the old one are not carried over.
 */
import { Clock, Effect, Exit, Fiber, Layer, Option, Result, Scope, Semaphore, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../Bytes.ts"
import { type ContentDigest, Digest, digestOf } from "../file/Digest.ts"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import { baseName, type FileName, isName, key, segmentKey, segments, stagingFolder } from "../file/FileName.ts"
import {
  contentBlockBytes,
  copiedBlockBytes,
  copyRunBytesMax,
  durableFoldersMax,
  fileBytesMax,
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
  type DiskGlance,
  type DiskPath,
  type DiskStat,
  modifiedOf,
  sameContent
} from "./Disk.ts"
import {
  type CommitRequest,
  FileStore,
  type OpenFile,
  type Outcomes,
  type RemoveRequest,
  type Renamed,
  type RenameRequest,
  type SmallContent,
  type SmallFile,
  type StageRequest,
  type Staging
} from "./FileStore.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as NameIndex from "./NameIndex.ts"
import * as ReadWindow from "./ReadWindow.ts"
import * as RenameIntent from "./RenameIntent.ts"
import * as SmallFiles from "./SmallFiles.ts"
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

/** How durable commits are and what is kept of transfers that were cut. Bytes and milliseconds. */
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
  const durable = options.durability !== "os"
  yield* prepareStaging(disk, root, durable)
  const context: Context = {
    disk,
    digest,
    root,
    newStagedName: Effect.map(random.randomBytes(stagedNameBytes), hex),
    durable,
    durableFolders: new Map(),
    reserved: { bytes: 0 },
    names: NameIndex.make(disk, options.nameIndexEntriesMax ?? nameIndexEntriesMax),
    resumable: new Map(),
    leftoverBytesMax: options.stagedLeftoverBytesMax ?? stagedLeftoverBytesMax,
    leftoverMillisecondsMax: options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax,
    lockResume: KeyedLock.make(),
    lockName: KeyedLock.make(),
    lockFile: KeyedLock.make(),
    lockFolder: KeyedLock.make(),
    placing: new Map(),
    opened: new Map(),
    speltAnew: { begun: 0, ended: 0 }
  }
  yield* finishRenames(context)
  // Behind it: however old what was written down about a rename is, it is read first.
  yield* sweep(disk, options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax)
  return FileStore.of({
    list: walk(context, []),
    listIn: ({ alike, folder }) => walk(context, folder === undefined ? [] : segments(folder), alike),
    stat: (name) => Effect.map(lookPatiently(context, name, statAt), ({ name, there }) => entryOf(name, there)),
    open: (name) => open(context, name),
    stage: (request) => stage(context, request),
    placeAll: (files, target) => placeAll(context, files, target),
    readAll: (names, bytesMax) => readAll(context, names, bytesMax),
    present: (names) => present(context, names),
    remove: (request) => remove(context, request),
    rename: (request) => rename(context, request)
  })
})

interface Context {
  readonly disk: Disk["Service"]
  readonly digest: Digest["Service"]
  readonly root: DiskStat
  readonly newStagedName: Effect.Effect<string>
  /** whether commits are fsynced */
  readonly durable: boolean
  /** folders whose own name is known to be durable: which folder the path was then */
  readonly durableFolders: Map<string, string>
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
  /** by `FileName.key`; whoever needs two takes the lesser first */
  readonly lockName: KeyedLock.KeyedLock
  /** by `fileId`; taken inside the locks of names: the file changes its name, and its change time with it */
  readonly lockFile: KeyedLock.KeyedLock
  /** by the folded path of a folder; taken inside all others, one at a time */
  readonly lockFolder: KeyedLock.KeyedLock
  /** how many files are being put into a folder or below, by that path: such a folder is not removed */
  readonly placing: Map<string, number>
  /** what open files were when they were opened, by `fileId` */
  readonly opened: Map<string, Set<{ stat: DiskStat }>>
  /** how many renames from one spelling of a name to another there were */
  readonly speltAnew: { begun: number; ended: number }
}

// -----------------------------------------------------------------------------
// Start
// -----------------------------------------------------------------------------

const prepareStaging = Effect.fnUntraced(function* (disk: Disk["Service"], root: DiskStat, durable: boolean) {
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
  // Whoever made it: what is kept in it for later is only as durable as its name.
  if (durable) yield* Effect.mapError(disk.syncFolder([]), failed)
})

/** What a power cut has broken off: the file stands under both names of a rename, and keeps the new one. */
const finishRenames = Effect.fnUntraced(function* (context: Context) {
  const { disk } = context
  for (const { intent, path } of yield* Effect.mapError(RenameIntent.all(disk), failed)) {
    const finish = Effect.gen(function* () {
      if (yield* standsTwice(context, intent)) yield* takeAway(context, intent.from)
      yield* disk.remove(path)
    })
    // What cannot be done now is tried at the next start: both names hold whole content.
    yield* Effect.ignore(finish)
  }
})

/** Whether one file has both names. A file system that takes two spellings for one lists one of them. */
const standsTwice = Effect.fnUntraced(function* (context: Context, { from, to }: RenameIntent.RenameIntent) {
  const [old, current] = [yield* statAt(context, from), yield* statAt(context, to)]
  if (Option.isNone(old) || Option.isNone(current) || fileId(old.value) !== fileId(current.value)) return false
  return (yield* isListed(context, from)) && (yield* isListed(context, to))
})

const isListed = (context: Context, name: FileName) =>
  Effect.map(find(context, folderOf(name), baseName(name)), ({ entries }) =>
    entries.some((entry) => entry.name === baseName(name))
  )

/** Removes old leftovers. Age is by change time, which the committed modification time does not touch. */
const sweep = Effect.fnUntraced(function* (disk: Disk["Service"], millisecondsMax: number) {
  const now = yield* Clock.currentTimeMillis
  // A folder is one that was to take the place of a new one, with small files in it.
  const removeWhenOld = (path: DiskPath) =>
    Effect.flatMap(disk.stat(path), (stat) => {
      if (now - Number(stat.changedNanoseconds / 1_000_000n) <= millisecondsMax) return Effect.void
      if (stat.kind !== "folder") return disk.remove(path)
      if (!freshFolderName.test(path.at(-1) ?? "")) return Effect.void
      const files = Stream.runForEach(disk.list(path), ({ name }) => disk.remove([...path, name]))
      return Effect.andThen(files, disk.removeFolder(path))
    })
  yield* disk.list([stagingFolder]).pipe(
    Stream.runForEach(({ name }) => Effect.ignore(removeWhenOld([stagingFolder, name]))),
    Effect.mapError(failed)
  )
})

/** What a folder is called that comes with its files. */
const freshFolderName = /^[0-9a-f]{32}-\d+$/

/** 128 bits: nobody meets another's staged file by guessing. */
const stagedNameBytes = 16

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

/** Files below a folder, depth first. Each open level holds one batch of entries. */
const walk = (context: Context, folder: DiskPath, alike?: ReadonlySet<string>): Stream.Stream<FileEntry, StoreFailed> =>
  Stream.suspend(() => {
    const { ended } = context.speltAnew
    return context.disk.list(folder).pipe(
      // What vanished meanwhile, or may not be looked into (a `lost+found`), hides itself and not the rest.
      Stream.catchIf(
        ({ code }) => folder.length > 0 && unlistable.has(code),
        () => Stream.empty
      ),
      Stream.mapError(failed),
      Stream.chunks,
      Stream.flatMap((batch) => {
        const before = folder.map((part) => `${part}/`).join("")
        const folders: Array<string> = []
        const files: Array<Listed> = []
        for (const { kind, name: part } of batch) {
          if (alike?.has(segmentKey(part)) === false) continue
          const name = `${before}${part}`
          if (!isName(name)) continue
          if (kind === "folder") folders.push(part)
          else if (kind === "file") files.push({ name, part })
        }
        const here = Stream.fromArrayEffect(entriesOf(context, folder, files, ended))
        if (folders.length === 0) return here
        const below = Stream.flatMap(Stream.fromArray(folders), (part) => walk(context, [...folder, part]))
        return files.length === 0 ? below : Stream.concat(here, below)
      })
    )
  })

const unlistable = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM"])

/** A file of a listing, and the last part of its name. */
interface Listed {
  readonly name: FileName
  readonly part: string
}

/** @param ended how many renames to another spelling had ended before the folder was read */
const entriesOf = Effect.fnUntraced(function* (
  context: Context,
  folder: DiskPath,
  files: ReadonlyArray<Listed>,
  ended: number
): Effect.fn.Return<ReadonlyArray<FileEntry>, StoreFailed> {
  const entries: Array<FileEntry> = []
  const gone: Array<FileName> = []
  const parts = files.map(({ part }) => part)
  for (const [index, stat] of (yield* statsOf(context.disk, folder, parts)).entries()) {
    if (Result.isFailure(stat) && !unlistable.has(stat.failure.code)) return yield* failed(stat.failure)
    const file = files[index]
    if (file === undefined) continue
    if (Result.isFailure(stat)) gone.push(file.name)
    // By now something else may stand there.
    else if (stat.success.kind === "file") entries.push(entryOf(file.name, stat.success))
  }
  if (gone.length === 0 || context.speltAnew.begun === ended) return entries
  return [...entries, ...(yield* nowSpelt(context, gone, new Set(entries.map(({ name }) => name))))]
})

/** Of files that were gone when they were looked at: those under another spelling now, and not yet listed. */
const nowSpelt = Effect.fnUntraced(function* (
  context: Context,
  gone: ReadonlyArray<FileName>,
  listed: Set<FileName>
): Effect.fn.Return<ReadonlyArray<FileEntry>, StoreFailed> {
  const entries: Array<FileEntry> = []
  for (const name of gone) {
    const found = yield* Effect.result(lookPatiently(context, name, statAt))
    if (Result.isFailure(found) && found.failure._tag === "StoreFailed") return yield* found.failure
    if (Result.isFailure(found) || listed.has(found.success.name) || !sameFolder(found.success.name, name)) continue
    listed.add(found.success.name)
    entries.push(entryOf(found.success.name, found.success.there))
  }
  return entries
})

/** None when the folder has gone meanwhile. */
const statsOf = (disk: Disk["Service"], folder: DiskPath, names: ReadonlyArray<string>) =>
  names.length === 0
    ? Effect.succeed([])
    : disk.statAll(folder, names).pipe(
        Effect.catchIf(
          ({ code }) => folder.length > 0 && unlistable.has(code),
          () => Effect.succeed([])
        ),
        Effect.mapError(failed)
      )

const entryOf = (name: FileName, stat: DiskGlance): FileEntry => ({
  name,
  size: Math.min(stat.size, fileBytesMax),
  modified: modifiedOf(stat),
  ...mayRun(stat.executable)
})

// -----------------------------------------------------------------------------
// Finding and reading
// -----------------------------------------------------------------------------

const open = Effect.fnUntraced(function* (
  context: Context,
  name: FileName
): Effect.fn.Return<OpenFile, StoreError, Scope.Scope> {
  const found = yield* lookPatiently(context, name, openAt)
  return yield* openFile(context, found.name, found.there)
})

const openAt = (context: Context, name: FileName): Effect.Effect<Option.Option<DiskFile>, StoreError, Scope.Scope> =>
  context.disk.openRead(segments(name)).pipe(
    Effect.asSome,
    Effect.catch((error) => (absent.has(error.code) ? Effect.succeedNone : blocked(context, name, error)))
  )

const openFile = Effect.fnUntraced(function* (context: Context, name: FileName, file: DiskFile) {
  const before = yield* Effect.mapError(file.stat, failed)
  const id = fileId(before)
  const seen = yield* Effect.acquireRelease(
    Effect.sync(() => remember(context, id, before)),
    (seen) => Effect.sync(() => forget(context, id, seen))
  )
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
    // Not while the file changes its name: its change time moves then.
    unchanged: Effect.flatMap(context.lockFile(id)(Effect.mapError(file.stat, failed)), (after) =>
      sameContent(seen.stat, after) ? Effect.void : Effect.fail(new SourceChanged({ name }))
    )
  } satisfies OpenFile
})

const remember = ({ opened }: Context, id: string, stat: DiskStat) => {
  const seen = { stat }
  opened.set(id, (opened.get(id) ?? new Set()).add(seen))
  return seen
}

const forget = ({ opened }: Context, id: string, seen: { stat: DiskStat }): void => {
  const all = opened.get(id)
  all?.delete(seen)
  if (all?.size === 0) opened.delete(id)
}

const fileId = ({ device, inode }: DiskStat): string => `${device}:${inode}`

const versionOf = ({ changedNanoseconds, device, inode, modifiedNanoseconds, size }: DiskStat): string =>
  `${device}:${inode}:${size}:${modifiedNanoseconds}:${changedNanoseconds}`

// Whoever sets the modification time back cannot set the change time.
const changedOf = ({ changedNanoseconds, modified }: DiskStat): number =>
  Math.max(modified, Number(changedNanoseconds / 1_000_000n))

/** What is done to see whether a file has exactly that name. */
type LookAt<A, R> = (context: Context, name: FileName) => Effect.Effect<Option.Option<A>, StoreError, R>

/** What was found, under the name that it has. */
interface Looked<A> {
  readonly name: FileName
  readonly there: A
}

/**
 * The file of that name, otherwise the one whose name folds to the same. `unsettled`: what was there under another
 * spelling is there no more, or under several.
 */
const look = Effect.fnUntraced(function* <A, R>(
  context: Context,
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
const lookPatiently = Effect.fnUntraced(function* <A, R>(
  context: Context,
  name: FileName,
  at: LookAt<A, R>
): Effect.fn.Return<Looked<A>, StoreError, R> {
  const first = yield* look(context, name, at)
  const found = first === "unsettled" ? yield* context.lockName(key(name))(look(context, name, at)) : first
  return typeof found === "string" ? yield* new NoSuchFile({ name }) : found
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

/** The paths of all files whose name is equal under NFC and case folding. */
const namesAlike = Effect.fnUntraced(function* (context: Context, name: FileName) {
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
  return folders.map((path) => path.join("/"))
})

const find = (context: Context, folder: DiskPath, part: string): Effect.Effect<NameIndex.Found, DiskError> =>
  inFolder(context, folder)(context.names.find(folder, segmentKey(part)))

const folderKey = (folder: DiskPath): string => segmentKey(folder.join("/"))

const inFolder = (context: Context, folder: DiskPath) => context.lockFolder(folderKey(folder))

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
      () => Effect.andThen(Effect.ignore(prepareStaging(context.disk, context.root, context.durable)), create)
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

  const append = Effect.fnUntraced(function* (parts: Bytes.Parts): Effect.fn.Return<void, StoreError> {
    yield* usable
    const length = Bytes.lengthOf(parts)
    yield* fits(length)
    hash(parts, length)
    yield* Effect.mapError(staged.file.write(received, parts), full(name))
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

  // Small copies are near each other: one pair of buffers for all from one file, and another for large ones.
  let nearby: { readonly from: OpenFile; readonly window: ReadWindow.ReadWindow<StoreFailed> } | undefined
  const buffers: Array<Uint8Array> = []
  let turn = 0
  const bufferFor = (length: number): Uint8Array => {
    turn = 1 - turn
    return (buffers[turn] ??= new Uint8Array(Math.min(size, copiedBlockBytes))).subarray(0, length)
  }

  /** While one block is written by another thread this one hashes it and reads the next. */
  const appendFrom = Effect.fnUntraced(function* (
    from: OpenFile,
    offset: number,
    length: number
  ): Effect.fn.Return<void, StoreError> {
    yield* usable
    yield* fits(length)
    let writing: Fiber.Fiber<void, DiskError> | undefined
    const written = Effect.suspend(() => (writing === undefined ? Effect.void : Fiber.join(writing)))
    const blocks = Effect.gen(function* () {
      for (let done = 0; done < length;) {
        const target = bufferFor(Math.min(copiedBlockBytes, length - done))
        const block = yield* ReadWindow.fill(from, offset + done, target)
        yield* Effect.mapError(written, full(name))
        if (block.length < target.length) return yield* new SourceChanged({ name })
        writing = yield* Effect.forkChild(staged.file.write(received, [block]), { startImmediately: true })
        hash([block], block.length)
        received += block.length
        reservation.wrote(block.length)
        done += block.length
      }
    })
    // Nobody goes on with the file while something is still being written to it.
    yield* Effect.ensuring(blocks, Effect.exit(written))
    yield* Effect.mapError(written, full(name))
  })

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
    // A staged file may not be run until it is whole.
    if (request.executable === true) yield* Effect.mapError(staged.file.setExecutable(true), full(name))
    yield* Effect.mapError(staged.file.setModified(request.modified), full(name))
    if (context.durable) yield* Effect.mapError(staged.file.sync, full(name))
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
        if (length <= contentBlockBytes) {
          nearby = from === nearby?.from ? nearby : { from, window: ReadWindow.make(from, from.entry.size) }
          const done = yield* ReadWindow.forEachBlock(nearby.window, { offset, length }, (block) => write([block]))
          return done < length ? yield* new SourceChanged({ name }) : undefined
        }
        // In parts: between them a transfer can be ended, and another one take over.
        for (let done = 0; done < length; done += copyRunBytesMax) {
          const part = appendFrom(from, offset + done, Math.min(copyRunBytesMax, length - done))
          yield* Effect.uninterruptible(staged.exclusively(part))
        }
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
  yield* Effect.fromResult(demanded(name, target, Option.isSome(live)))
})

const demanded = (
  name: FileName,
  target: StageRequest["target"],
  exists: boolean
): Result.Result<void, FileExists | NoSuchFile> => {
  if (target === "absent" && exists) return Result.fail(new FileExists({ name }))
  return target === "present" && !exists ? Result.fail(new NoSuchFile({ name })) : Result.void
}

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

/** Puts a file to its name, in one step; told whether a file has it. Its folder is locked. */
type Arrive = (exists: boolean) => Effect.Effect<void, StoreError>

/**
 * Makes the folders of the name and lets the file arrive. The caller holds the name's lock.
 *
 * @param leaving what does not count as standing in the way: the file itself under the name that it will lose
 */
const place = (
  context: Context,
  name: FileName,
  arrive: Arrive,
  leaving?: FileName
): Effect.Effect<void, StoreError> => {
  const steps = Effect.gen(function* () {
    for (const step of stepsOf(name)) {
      yield* inFolder(context, step.folder)(placeStep(context, name, step, arrive, leaving))
    }
    if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(name)), full(name))
  })
  return whilePlacing(context, name, steps)
}

/** While it runs, no folder of the name is removed because it is empty. */
const whilePlacing = <A, E>(context: Context, name: FileName, work: Effect.Effect<A, E>): Effect.Effect<A, E> => {
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

const placeStep = Effect.fnUntraced(function* (
  context: Context,
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
    yield* arrive(exists)
    yield* context.names.added(folder, { name: part, kind: "file" })
  } else if (!exists) {
    context.durableFolders.delete(path.join("/"))
    return yield* orBlocked(context.disk.makeFolder(path, "shared")).pipe(
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
const stands = (context: Context, name: FileName, step: Step, found: NameIndex.Found) =>
  Effect.fromResult(standing(context, name, step, found))

const standing = (
  { root }: Context,
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
const makeDurable = Effect.fnUntraced(function* (context: Context, name: FileName, folder: DiskPath, stat: DiskStat) {
  if (!context.durable || folder.length === 0) return
  const path = folder.join("/")
  if (context.durableFolders.get(path) === fileId(stat)) return
  yield* Effect.mapError(context.disk.syncFolder(folder.slice(0, -1)), full(name))
  if (context.durableFolders.size >= durableFoldersMax) context.durableFolders.clear()
  context.durableFolders.set(path, fileId(stat))
})

// -----------------------------------------------------------------------------
// Many small files
// -----------------------------------------------------------------------------

/** Runs of files that follow one another, lie in one folder and have different names. */
const runsOf = <A>(all: ReadonlyArray<A>, nameOf: (one: A) => FileName): ReadonlyArray<ReadonlyArray<A>> => {
  const runs: Array<Array<A>> = []
  let folder: string | undefined
  let keys = new Set<string>()
  for (const one of all) {
    const name = nameOf(one)
    const slash = name.lastIndexOf("/")
    const last = segmentKey(name.slice(slash + 1))
    const run = runs.at(-1)
    const own = name.slice(0, Math.max(0, slash))
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

const placeAll = Effect.fnUntraced(function* (
  context: Context,
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

const placeAlone = (context: Context, file: SmallFile, target: StageRequest["target"]) =>
  SmallFiles.placeOne({ stage: (request) => stage(context, request) }, file, target)

/** How a run is placed. */
interface Placing {
  readonly target: StageRequest["target"]
  /** what each file of the run is called while it is staged */
  readonly temporary: (index: number) => string
}

/** The whole run in one step of the disk. Fails, having changed nothing, when that is not how it can be done. */
const placeRun = (
  context: Context,
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

const placeTogether = (context: Context, run: ReadonlyArray<SmallFile>, how: Placing) => {
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
  context: Context,
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
      outcomes.push(Result.fail(yield* Effect.flip(blocked(context, name, outcome.failure))))
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
): Result.Result<void, FileExists | NoSuchFile | StoreFailed> => {
  if (target === undefined || live === undefined) return Result.void
  if (Result.isFailure(live) && !absent.has(live.failure.code)) return Result.fail(failed(live.failure))
  return demanded(name, target, Result.isSuccess(live))
}

/** By what the folders hold now, without a look at any file. */
const present = Effect.fnUntraced(function* (
  context: Context,
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

const readAll = Effect.fnUntraced(function* (
  context: Context,
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

// -----------------------------------------------------------------------------
// Removing and renaming
// -----------------------------------------------------------------------------

const remove = (context: Context, { name, version }: RemoveRequest): Effect.Effect<FileEntry, StoreError> =>
  Effect.gen(function* () {
    const source = yield* locateWritable(context, name, version)
    yield* takeAway(context, source.name)
    return entryOf(source.name, source.stat)
  }).pipe(Effect.uninterruptible, context.lockName(key(name)))

const rename = (context: Context, request: RenameRequest): Effect.Effect<Renamed, StoreError> => {
  const work = Effect.gen(function* () {
    const source = yield* locateWritable(context, request.name, request.version)
    const entry = entryOf(request.to, source.stat)
    if (source.name === request.to) return { from: source.name, entry }
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
const spellingAnew = <A, E>({ speltAnew }: Context, work: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    speltAnew.begun += 1
    return Effect.ensuring(
      work,
      Effect.sync(() => void (speltAnew.ended += 1))
    )
  })

/** The file of that name, where names may be changed. The caller holds the name's lock. */
const locateWritable = Effect.fnUntraced(function* (
  context: Context,
  name: FileName,
  version: string | undefined
): Effect.fn.Return<Located, StoreError> {
  const found = yield* look(context, name, statAt)
  if (typeof found === "string") return yield* new NoSuchFile({ name })
  const source = { name: found.name, stat: found.there }
  const folder = yield* Effect.mapError(context.disk.stat(folderOf(source.name)), failed)
  if (folder.device !== context.root.device) {
    return yield* new NotAFile({ name: source.name, found: "mount-point" })
  }
  if (version !== undefined && versionOf(source.stat) !== version) return yield* new BaseChanged({ name: source.name })
  return source
})

/** Whoever has the file open goes on with it: a new name is no change of its content. */
const following = <A, E>(context: Context, source: Located, to: FileName, work: Effect.Effect<A, E>) => {
  const id = fileId(source.stat)
  const follow = Effect.gen(function* () {
    const now = yield* context.disk.stat(segments(to))
    const same = fileId(now) === id && now.size === source.stat.size
    if (!same || now.modifiedNanoseconds !== source.stat.modifiedNanoseconds) return
    for (const seen of context.opened.get(id) ?? []) if (sameContent(seen.stat, source.stat)) seen.stat = now
  })
  return context.lockFile(id)(Effect.ensuring(work, Effect.ignore(follow)))
}

/** Writes down what is about to be done. What is broken off half way stays on record, for the next start to finish. */
const intending = Effect.fnUntraced(function* <A>(
  context: Context,
  from: FileName,
  to: FileName,
  work: Effect.Effect<A, StoreError>
) {
  const { disk, durable, newStagedName } = context
  const written = yield* RenameIntent.begin(disk, yield* newStagedName, durable, { from, to }).pipe(
    Effect.asSome,
    // A full disk may be what the rename is to help with, and without a staging folder nothing is written down. Then
    // a power cut in the middle leaves both names, as it would without an intent.
    Effect.catchIf(
      ({ code }) => intentless.has(code),
      () => Effect.succeedNone
    ),
    Effect.mapError(failed)
  )
  if (Option.isNone(written)) return yield* work
  const forget = Effect.ignore(disk.remove(written.value))
  const unlessHalf = Effect.flatMap(standsTwice(context, { from, to }), (half) => (half ? Effect.void : forget))
  return yield* work.pipe(
    Effect.tap(forget),
    Effect.onError(() => Effect.ignore(unlessHalf))
  )
})

const intentless = new Set(["ENOSPC", "EDQUOT", "ENOENT"])

/** Gives the file its new name and then takes the old one away; gives what was replaced. */
const move = Effect.fnUntraced(function* (
  context: Context,
  source: Located,
  { replace, to }: RenameRequest
): Effect.fn.Return<DiskStat | undefined, StoreError> {
  let replaced: DiskStat | undefined
  // Whether the old name still stands, and whether the new one is of our making and nothing else's before.
  let both = false
  let added = false
  const arrive = Effect.fnUntraced(function* (exists: boolean): Effect.fn.Return<void, StoreError> {
    const there = exists ? Option.getOrUndefined(yield* statAt(context, to)) : undefined
    // Two names of one file: what a rename leaves when the power goes in its middle.
    const half = there !== undefined && fileId(there) === fileId(source.stat)
    if (there !== undefined && !half && !replace) return yield* new FileExists({ name: to })
    replaced = half ? undefined : there
    both = half || (yield* secondName(context, source.name, to, there !== undefined))
    added = both && there === undefined
    if (!both && sameFolder(source.name, to)) yield* context.names.removed(folderOf(to), baseName(source.name))
  })
  // With both names a change of the old one would leave two files for good: what can be undone is, and what is durable
  // is worth a second try. Whatever stands half done all the same is for the next start.
  yield* Effect.onError(place(context, to, arrive, source.name), () =>
    added ? Effect.ignore(takeAway(context, to)) : Effect.void
  )
  if (both) {
    const stands = Effect.orElseSucceed(standsTwice(context, { from: source.name, to }), () => false)
    yield* Effect.catch(takeAway(context, source.name), (error) =>
      Effect.flatMap(stands, (half) => (half ? takeAway(context, source.name) : Effect.fail(error)))
    )
  } else {
    if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(source.name)), failed)
    yield* prune(context, folderOf(source.name))
  }
  return replaced
})

/** Makes the second name; false when only rename(2) could, and the first is gone. */
const secondName = Effect.fnUntraced(function* (context: Context, from: FileName, to: FileName, replace: boolean) {
  const { disk } = context
  const [source, target] = [segments(from), segments(to)]
  const temporary = [stagingFolder, yield* context.newStagedName]
  const made = replace
    ? Effect.andThen(
        disk.link(source, temporary),
        Effect.onError(disk.rename(temporary, target), () => Effect.ignore(disk.remove(temporary)))
      )
    : disk.link(source, target)
  const spelling = sameFolder(from, to) && segmentKey(baseName(from)) === segmentKey(baseName(to))
  return yield* made.pipe(
    Effect.as(true),
    Effect.catch((error) => {
      // A file system that takes both spellings for one says that the new one is taken.
      if (unlinkable.has(error.code) || (error.code === "EEXIST" && spelling)) {
        return Effect.as(disk.rename(source, target), false)
      }
      return Effect.fail(error)
    }),
    Effect.catch((error) =>
      error.code === "EEXIST" ? Effect.fail(new FileExists({ name: to })) : blocked(context, to, error)
    )
  )
})

/** A file system without links, or a file whose owner is another; `ENOENT`: the staging folder was tidied away. */
const unlinkable = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "ENOENT"])

/** Removes a name, durably, and the folders that it leaves empty. */
const takeAway = Effect.fnUntraced(function* (context: Context, name: FileName) {
  const folder = folderOf(name)
  yield* inFolder(
    context,
    folder
  )(
    Effect.gen(function* () {
      yield* context.names.find(folder, segmentKey(baseName(name)))
      yield* context.disk.remove(segments(name))
      yield* context.names.removed(folder, baseName(name))
    }).pipe(Effect.catch((error) => blocked(context, name, error)))
  )
  if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folder), failed)
  yield* prune(context, folder)
})

/** Removes a folder and those above it while they are empty and nobody puts a file there. Never fails. */
const prune = Effect.fnUntraced(
  function* (context: Context, folder: DiskPath) {
    for (let depth = folder.length; depth > 0; depth -= 1) {
      const empty = folder.slice(0, depth)
      const parent = folder.slice(0, depth - 1)
      const last = empty.at(-1) ?? ""
      const took = Effect.gen(function* () {
        if (context.placing.has(folderKey(empty))) return false
        yield* context.names.find(parent, segmentKey(last))
        yield* context.disk.removeFolder(empty)
        context.durableFolders.delete(empty.join("/"))
        yield* context.names.removed(parent, last)
        return true
      })
      if (!(yield* inFolder(context, parent)(took))) return
    }
  },
  (pruned) => Effect.ignore(pruned)
)

const folderOf = (name: FileName): DiskPath => segments(name).slice(0, -1)

const sameFolder = (a: FileName, b: FileName): boolean => folderOf(a).join("/") === folderOf(b).join("/")

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
