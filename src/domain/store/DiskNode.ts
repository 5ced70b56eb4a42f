/**
 * The disk layer for Node: one root folder, reached by descriptor.
 *
 * Node has no `openat`. On Linux `/proc/PID/fd/N/part` does the same: the kernel starts at the open folder N, so a
 * folder that is moved or replaced by a link meanwhile changes nothing. The root is opened once and held.
 *
 * ## What remains
 *
 * - Without /proc (other systems, a container without /proc) paths are joined, and every part is looked at
 *   before it is used. Somebody who may write in the root and swaps a folder for a link within those microseconds
 *   can lead one operation astray. The last part is still opened without following.
 * - A bind mount of the root's own file system below the root has the same device. `rename` into it fails with EXDEV
 *   by itself, so no content gets there, but an empty folder can.
 * - A process that may write in the root can always change files in place; that is what `unchanged` is for.
 */
import * as nodeFs from "node:fs"
import { dirname } from "node:path"
import process from "node:process"
import { Cause, Effect, Layer, Result, type Scope, Stream } from "effect"
import { contentBlockBytes } from "../limits.ts"
import * as Monotonic from "../Monotonic.ts"
import {
  Disk,
  type DiskEntry,
  DiskError,
  type DiskFile,
  type DiskPath,
  type FolderAccess,
  type PlaceRequest
} from "./Disk.ts"
import * as BulkNode from "./BulkNode.ts"
import * as FolderReaderNode from "./FolderReaderNode.ts"
import * as FreshFolderNode from "./FreshFolderNode.ts"
import * as SmallFilesNode from "./SmallFilesNode.ts"
import { driverless, isPart, isPathOfDescriptor, kindOf, pathOfDescriptor, toStat } from "./StatNode.ts"

const { constants } = nodeFs

// Windows lacks these; there they add nothing.
const noFollow = constants.O_NOFOLLOW ?? 0
const nonBlocking = constants.O_NONBLOCK ?? 0
const folderOnly = constants.O_DIRECTORY ?? 0

// Node sets O_CLOEXEC on every descriptor itself.
const folderFlags = constants.O_RDONLY | folderOnly | noFollow
const readFlags = constants.O_RDONLY | noFollow | nonBlocking
const writeFlags = constants.O_RDWR | noFollow | nonBlocking
const createFlags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | noFollow

/** Entries that one pull of a listing reads. */
const listBatchEntries = 128

/** The disk below `root`, which must exist. Fails when it is not a folder. */
export const layer = (root: string, options: Options = {}): Layer.Layer<Disk, DiskError> =>
  Layer.effect(Disk, make(root, options))

/** How files are made and written. */
export interface Options {
  /** `private`: only the user of the process may read and write a new file; default: as its umask says */
  readonly access?: "private"
  /**
   * Writes of a block of content and more leave the event loop, however quick the disk is: for a client that receives,
   * and has the next block to open meanwhile. On tmpfs a download of 1 GiB takes 0.96 of the time so (30 interleaved
   * rounds), one of 16 files of 64 MiB 0.94 (15); an upload, where a server wrote so, 1.07 (7).
   */
  readonly writesAside?: boolean
}

/** The same as an effect; the root's descriptor is held until the scope closes. */
export const make = Effect.fnUntraced(function* (
  root: string,
  options: Options = {}
): Effect.fn.Return<Disk["Service"], DiskError, Scope.Scope> {
  const resolved = yield* call<string>("open root", (done) => nodeFs.realpath(root, done))
  const rootFd = yield* Effect.acquireRelease(openFd("open root", resolved, folderFlags), closeFd)
  const { dev } = yield* statFd("open root", rootFd)
  const byDescriptor = yield* call<nodeFs.Stats>("open root", (done) =>
    nodeFs.stat(`${pathOfDescriptor(rootFd)}/.`, done)
  ).pipe(
    Effect.map((stats) => BigInt(stats.dev) === dev),
    Effect.orElseSucceed(() => false)
  )
  const folders = byDescriptor ? descriptorFolders(rootFd, dev) : joinedFolders(resolved, dev)
  const bulk = BulkNode.make(options.writesAside === true ? contentBlockBytes : undefined)
  return service(folders, rootFd, yield* bulk, options)
})

// -----------------------------------------------------------------------------
// The operations
// -----------------------------------------------------------------------------

const service = (folders: Folders, rootFd: number, bulk: BulkNode.Bulk, { access }: Options): Disk["Service"] => {
  /** Runs `use` with a path for the entry that the last part names. */
  const at = <A>(
    operation: string,
    path: DiskPath,
    purpose: Purpose,
    use: (place: string) => Effect.Effect<A, DiskError>
  ): Effect.Effect<A, DiskError> => {
    const last = path.at(-1)
    if (last === undefined || !path.every(isPart)) return refused(operation, "EINVAL")
    return folders(operation, path.slice(0, -1), purpose, (folder) => use(`${folder}/${last}`))
  }
  /** Runs `use` with a path for the folder itself. */
  const inside = <A>(
    operation: string,
    path: DiskPath,
    use: (folder: string) => Effect.Effect<A, DiskError>
  ): Effect.Effect<A, DiskError> =>
    path.every(isPart) ? folders(operation, path, "read", use) : refused(operation, "EINVAL")
  /** The same for a folder in which names change. */
  const writable = <A>(
    operation: string,
    path: DiskPath,
    use: (folder: string) => Effect.Effect<A, DiskError>
  ): Effect.Effect<A, DiskError> =>
    path.every(isPart) ? folders(operation, path, "write", use) : refused(operation, "EINVAL")

  /** Runs `use` with a path for the staging folder, which may be one that is open. */
  const staged = <A>(
    staging: DiskPath,
    open: { readonly path: DiskPath; readonly folder: string },
    use: (staging: string) => Effect.Effect<A, DiskError>
  ) => (samePath(staging, open.path) ? use(open.folder) : writable("placeAll", staging, use))
  /** Where a folder's path means an open one, a new folder may be replaced as a whole. */
  const placeWhole = (request: PlaceRequest) =>
    Effect.suspend(() => {
      const [last, path] = [request.folder.at(-1), request.folder.slice(0, -1)]
      const beside = samePath(request.staging, request.folder) ? path : request.staging
      if (last === undefined || !isPart(last)) return Effect.undefined
      return writable("placeAll", path, (folder) =>
        isPathOfDescriptor(folder)
          ? staged(beside, { path, folder }, (staging) => FreshFolderNode.placeAll(staging, folder, last, request))
          : Effect.undefined
      )
    })
  const placeEach = (request: PlaceRequest) =>
    writable("placeAll", request.folder, (folder) =>
      staged(request.staging, { path: request.folder, folder }, (staging) =>
        SmallFilesNode.placeAll(staging, folder, request)
      )
    )
  return Disk.of({
    openRead: (path) => openFile(bulk, "openRead", (open) => at("openRead", path, "read", open), readFlags),
    openWrite: (path) => openFile(bulk, "openWrite", (open) => at("openWrite", path, "write", open), writeFlags),
    create: (path, wanted = access) =>
      openFile(
        bulk,
        "create",
        (open) => at("create", path, "write", open),
        createFlags,
        wanted === "private" ? 0o600 : 0o666
      ),
    stat: (path) =>
      path.length === 0
        ? Effect.map(statFd("stat", rootFd), toStat)
        : at("stat", path, "read", (place) => Effect.map(lstat("stat", place), toStat)),
    statAll: (path, names) => inside("statAll", path, (folder) => SmallFilesNode.statAll(folder, names)),
    list: (path) => listing((use) => inside("list", path, use)),
    makeFolder: (path, access) => at("makeFolder", path, "write", (place) => makeFolder(place, access)),
    rename: (from, to) =>
      at("rename", from, "write", (source) =>
        at("rename", to, "write", (target) =>
          Effect.mapError(
            call<void>("rename", (done) => nodeFs.rename(source, target, (e) => done(e))),
            // Of a folder that the file itself is in Linux says only that it is not empty.
            (error) => (to.every((part, depth) => part === from[depth]) ? inTheWay(error) : error)
          )
        )
      ),
    link: (from, to) =>
      at("link", from, "write", (source) =>
        at("link", to, "write", (target) =>
          Effect.suspend(() =>
            isStuck(source, target)
              ? refused("link", "EPERM")
              : call<void>("link", (done) => nodeFs.link(source, target, (e) => done(e)))
          )
        )
      ),
    removeFolder: (path) =>
      at("removeFolder", path, "write", (place) =>
        call<void>("removeFolder", (done) => nodeFs.rmdir(place, (e) => done(e)))
      ),
    remove: (path) =>
      at("remove", path, "write", (place) => call<void>("remove", (done) => nodeFs.unlink(place, (e) => done(e)))),
    syncFolder: (path) => inside("syncFolder", path, syncFolder),
    placeAll: (request) =>
      request.fresh === true && !request.durable
        ? Effect.flatMap(placeWhole(request), (placed) =>
            placed === undefined ? placeEach(request) : Effect.succeed(placed)
          )
        : placeEach(request),
    readAll: (path, names, bytesMax, room) =>
      inside("readAll", path, (folder) =>
        Effect.flatMap(Monotonic.clock, (now) => {
          const all = SmallFilesNode.readAll(folder, names, { bytesMax, room, now })
          // Whoever asks for the rest at once keeps nobody waiting.
          return all.length < names.length ? Effect.as(SmallFilesNode.turn, all) : Effect.succeed(all)
        })
      ),
    freeBytes: inside("freeBytes", [], freeBytes)
  })
}

const inTheWay = ({ code, operation }: DiskError): DiskError =>
  new DiskError({ operation, code: code === "ENOTEMPTY" ? "EISDIR" : code })

/**
 * Whether one of the two names could not be taken away again: in a sticky folder nobody may but who owns the file or
 * the folder. Link(2) gives the second one all the same, for good.
 */
const isStuck = (source: string, target: string): boolean => {
  const own = process.geteuid?.()
  // Windows has no sticky folders, and the administrator may take away everything.
  if (own === undefined || own === 0) return false
  const file = SmallFilesNode.attempt(() => nodeFs.lstatSync(source))
  if (Result.isFailure(file) || file.success.uid === own) return false
  const sticks = [source, target].some((place) => {
    const folder = SmallFilesNode.attempt(() => nodeFs.statSync(`${dirname(place)}/.`))
    return Result.isSuccess(folder) && (folder.success.mode & stickyBit) !== 0 && folder.success.uid !== own
  })
  // A name that is taken is told as such.
  return sticks && Result.isFailure(SmallFilesNode.attempt(() => nodeFs.lstatSync(target)))
}

const stickyBit = 0o1000

const samePath = (a: DiskPath, b: DiskPath): boolean =>
  a.length === b.length && a.every((part, index) => part === b[index])

const makeFolder = (place: string, access: FolderAccess): Effect.Effect<void, DiskError> =>
  here("makeFolder", () => nodeFs.mkdirSync(place, access === "private" ? 0o700 : 0o777))

const syncFolder = (folder: string): Effect.Effect<void, DiskError> =>
  Effect.acquireUseRelease(
    openFd("syncFolder", folder, constants.O_RDONLY | folderOnly),
    (fd) => call<void>("syncFolder", (done) => nodeFs.fsync(fd, (e) => done(e))),
    closeFd
  )

const freeBytes = (folder: string): Effect.Effect<number, DiskError> =>
  Effect.map(
    here("freeBytes", () => nodeFs.statfsSync(folder)),
    (stats) => Math.min(stats.bavail * stats.bsize, Number.MAX_SAFE_INTEGER)
  )

// -----------------------------------------------------------------------------
// Folders: from the root to the parent of what is meant
// -----------------------------------------------------------------------------

type Purpose = "read" | "write"

/** Runs `use` with a path that means the folder; the path is good until `use` has ended. */
type Folders = <A>(
  operation: string,
  path: DiskPath,
  purpose: Purpose,
  use: (folder: string) => Effect.Effect<A, DiskError>
) => Effect.Effect<A, DiskError>

// No descriptor is kept between operations: a kept one would mean the folder that was there, not the one that is.
const descriptorFolders =
  (rootFd: number, rootDevice: bigint): Folders =>
  (operation, path, purpose, use) => {
    if (path.length === 0) return Effect.uninterruptible(use(pathOfDescriptor(rootFd)))
    return Effect.acquireUseRelease(
      Effect.suspend(() =>
        Effect.fromResult(descend(operation, rootFd, path, purpose === "write" ? rootDevice : undefined))
      ),
      (fd) => use(pathOfDescriptor(fd)),
      (fd) => Effect.sync(() => closeHere(fd))
    ).pipe(Effect.uninterruptible)
  }

/** Opens each folder from the one before it, on that device where one is named; gives the descriptor of the last. */
const descend = (
  operation: string,
  rootFd: number,
  path: DiskPath,
  device: bigint | undefined
): Result.Result<number, DiskError> => {
  let fd = rootFd
  for (const part of path) {
    const below = enter(operation, fd, part, device)
    if (fd !== rootFd) closeHere(fd)
    if (Result.isFailure(below)) return Result.fail(below.failure)
    fd = below.success
  }
  return Result.succeed(fd)
}

const enter = (
  operation: string,
  above: number,
  part: string,
  device: bigint | undefined
): Result.Result<number, DiskError> =>
  Result.flatMap(
    SmallFilesNode.attempt(() => nodeFs.openSync(`${pathOfDescriptor(above)}/${part}`, folderFlags), operation),
    (fd) => {
      if (device === undefined) return Result.succeed(fd)
      const stats = SmallFilesNode.attempt(() => nodeFs.fstatSync(fd, { bigint: true }), operation)
      if (Result.isSuccess(stats) && stats.success.dev === device) return Result.succeed(fd)
      closeHere(fd)
      return Result.flatMap(stats, () => Result.fail(new DiskError({ operation, code: "EXDEV" })))
    }
  )

const joinedFolders =
  (root: string, rootDevice: bigint): Folders =>
  (operation, path, purpose, use) =>
    Effect.gen(function* () {
      let folder = root
      for (const part of path) {
        folder = `${folder}/${part}`
        const stats = yield* lstat(operation, folder)
        if (!stats.isDirectory()) return yield* refused(operation, "ENOTDIR")
        if (purpose === "write" && stats.dev !== rootDevice) return yield* refused(operation, "EXDEV")
      }
      return yield* use(folder)
    }).pipe(Effect.uninterruptible)

// -----------------------------------------------------------------------------
// Open files
// -----------------------------------------------------------------------------

const openFile = (
  bulk: BulkNode.Bulk,
  operation: string,
  resolve: (open: (place: string) => Effect.Effect<number, DiskError>) => Effect.Effect<number, DiskError>,
  flags: number,
  mode?: number
): Effect.Effect<DiskFile, DiskError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.flatMap(
      // A folder that is opened to be written to says so before anybody can look at what it is.
      Effect.mapError(
        resolve((place) => openFd(operation, place, flags, mode)),
        (error) =>
          error.code === "EISDIR" || error.code === driverless ? new DiskError({ operation, code: "ENOTREG" }) : error
      ),
      (fd) =>
        statFd(operation, fd).pipe(
          Effect.filterOrFail(
            (stats) => stats.isFile(),
            () => new DiskError({ operation, code: "ENOTREG" })
          ),
          Effect.onError(() => closeFd(fd)),
          Effect.map(() => sharedDescriptor(fd))
        )
    ),
    (descriptor) => descriptor.release
  ).pipe(Effect.map((descriptor) => diskFile(descriptor, bulk)))

/** A regular file at a path of this machine's own, links followed. Never for a name that came from a peer. */
export const openPath = (path: string): Effect.Effect<DiskFile, DiskError, Scope.Scope> =>
  Effect.flatMap(BulkNode.make(), (bulk) =>
    openFile(bulk, "openRead", (open) => open(path), constants.O_RDONLY | nonBlocking)
  )

/** A descriptor that closes once, after its last use: a number that is closed too early may mean another file. */
interface SharedDescriptor extends BulkNode.Descriptor {
  readonly release: Effect.Effect<void>
}

const sharedDescriptor = (fd: number): SharedDescriptor => {
  // The scope is the first user.
  let users = 1
  let open = true
  const leave = Effect.suspend(() => {
    users -= 1
    return users === 0 ? closeFd(fd) : Effect.void
  })
  return {
    number: () => (open ? fd : undefined),
    use: (operation, effect) =>
      Effect.suspend(() => {
        if (!open) return refused(operation, "EBADF")
        users += 1
        return Effect.ensuring(effect(fd), leave)
      }).pipe(Effect.uninterruptible),
    release: Effect.suspend(() => {
      open = false
      return leave
    })
  }
}

const diskFile = (descriptor: SharedDescriptor, bulk: BulkNode.Bulk): DiskFile => ({
  stat: descriptor.use("stat", (fd) => Effect.map(statFd("stat", fd), toStat)),
  read: (offset, length) => readFully(descriptor, bulk, offset, length),
  readInto: (offset, target) => bulk.read(descriptor, offset, target),
  write: (offset, parts) => bulk.write(descriptor, offset, parts),
  truncate: (length) =>
    descriptor.use("truncate", (fd) => call<void>("truncate", (done) => nodeFs.ftruncate(fd, length, (e) => done(e)))),
  cloneFrom: (source) => source.named((name) => descriptor.use("cloneFrom", (fd) => clone(name, fd))),
  named: (use) => descriptor.use("named", (fd) => use(hasDescriptorPaths ? pathOfDescriptor(fd) : undefined)),
  setModified: (milliseconds) =>
    descriptor.use("setModified", (fd) =>
      call<void>("setModified", (done) => nodeFs.futimes(fd, milliseconds / 1000, milliseconds / 1000, (e) => done(e)))
    ),
  setExecutable: (executable) => descriptor.use("setExecutable", (fd) => setExecutable(fd, executable)),
  sync: descriptor.use("sync", (fd) => call<void>("sync", (done) => nodeFs.fsync(fd, (e) => done(e))))
})

// FICLONE of Linux, by the one way to it that Node has. It takes paths, so both files are named by their descriptors,
// and it also gives the clone the permissions of the other, which are taken back.
const clone = (source: string | undefined, fd: number): Effect.Effect<void, DiskError> =>
  source === undefined
    ? refused("cloneFrom", "ENOTSUP")
    : Effect.flatMap(statFd("cloneFrom", fd), ({ mode }) =>
        call<void>("cloneFrom", (done) =>
          nodeFs.copyFile(source, pathOfDescriptor(fd), constants.COPYFILE_FICLONE_FORCE, (e) => done(e))
        ).pipe(
          Effect.ensuring(
            Effect.ignore(call<void>("cloneFrom", (done) => nodeFs.fchmod(fd, Number(mode) & 0o777, (e) => done(e))))
          )
        )
      )

// Elsewhere such a path would be a file's name like any other.
const hasDescriptorPaths = process.platform === "linux"

const setExecutable = (fd: number, executable: boolean): Effect.Effect<void, DiskError> =>
  Effect.flatMap(statFd("setExecutable", fd), (stats) => {
    const now = Number(stats.mode) & 0o777
    const plain = now & ~executeBits
    const wanted = executable ? plain | ((plain & readBits) >> 2) : plain
    return wanted === now
      ? Effect.void
      : call<void>("setExecutable", (done) => nodeFs.fchmod(fd, wanted, (e) => done(e)))
  })

const executeBits = 0o111
const readBits = 0o444

const readFully = (
  descriptor: SharedDescriptor,
  bulk: BulkNode.Bulk,
  offset: number,
  length: number
): Effect.Effect<Uint8Array, DiskError> =>
  Effect.suspend(() => {
    // Not from Node's pool: the bytes belong to the caller.
    const buffer = Buffer.allocUnsafeSlow(length)
    return Effect.map(bulk.read(descriptor, offset, buffer), (count) => view(buffer, count))
  })

const view = (buffer: Buffer, length: number): Uint8Array => new Uint8Array(buffer.buffer, buffer.byteOffset, length)

// -----------------------------------------------------------------------------
// Listing
// -----------------------------------------------------------------------------

const listing = (
  resolve: (use: (folder: string) => Effect.Effect<Opened, DiskError>) => Effect.Effect<Opened, DiskError>
): Stream.Stream<DiskEntry, DiskError> =>
  Stream.fromPull(
    Effect.map(Effect.acquireRelease(resolve(openListing), closeListing), (opened) =>
      Effect.flatMap(Effect.andThen(opened.pace, readBatch(opened)), (batch) => {
        const [first, ...rest] = batch
        return first === undefined ? Cause.done() : Effect.succeed([first, ...rest] as const)
      })
    )
  ).pipe(Stream.scoped)

interface Opened {
  readonly reader: FolderReaderNode.FolderReader
  /** a name as the port has it */
  readonly nameOf: (name: string) => string
  /** gives the event loop its turn now and then, with whatever is done between two batches */
  readonly pace: Effect.Effect<void>
  /** keeps the folder's path good */
  readonly fd: number
}

const openListing = (folder: string): Effect.Effect<Opened, DiskError> =>
  Effect.flatMap(
    here("list", () => nodeFs.openSync(folder, constants.O_RDONLY | folderOnly)),
    (fd) =>
      Effect.suspend(() => {
        const path = isPathOfDescriptor(folder) ? pathOfDescriptor(fd) : folder
        const nameOf = FolderReaderNode.unicode(path)
        return Effect.zipWith(
          here("list", () => FolderReaderNode.open(path, listBatchEntries)),
          SmallFilesNode.pace,
          (reader, pace) => ({ reader, nameOf, pace, fd })
        )
      }).pipe(Effect.onError(() => Effect.sync(() => closeHere(fd))))
  )

const closeListing = ({ fd, reader }: Opened): Effect.Effect<void> =>
  Effect.sync(() => {
    SmallFilesNode.attempt(() => reader.close())
    closeHere(fd)
  })

/** The next entries; none at the end. */
const readBatch = ({ fd, nameOf, reader }: Opened): Effect.Effect<ReadonlyArray<DiskEntry>, DiskError> =>
  here("list", () => {
    const batch: Array<DiskEntry> = []
    for (let entry = reader.next(); entry !== null; entry = reader.next()) {
      batch.push({ name: nameOf(entry.name), kind: kindOf(entry) })
      if (batch.length === listBatchEntries) break
    }
    return batch.length === 0 && nodeFs.fstatSync(fd).nlink === 0 ? Result.getOrThrow(removed) : batch
  })

/** The system reads a folder that is removed while it is open as an empty one. */
const removed = Result.fail(Object.assign(new Error("the folder was removed"), { code: "ENOENT" }))

// -----------------------------------------------------------------------------
// Calls
// -----------------------------------------------------------------------------

/** One call of node:fs. It cannot be called back, so interruption waits for its end and nothing it opened is lost. */
const call = <A>(
  operation: string,
  register: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.callback<A, DiskError>((resume) =>
      register((error, value) => resume(error ? refused(operation, error.code ?? "EUNKNOWN") : Effect.succeed(value)))
    )
  )

const refused = (operation: string, code: string): Effect.Effect<never, DiskError> =>
  Effect.fail(new DiskError({ operation, code }))

const openFd = (operation: string, path: string, flags: number, mode = 0o666): Effect.Effect<number, DiskError> =>
  call(operation, (done) => nodeFs.open(path, flags, mode, done))

// close(2) frees the number whatever it reports, and what had to be durable was synced before.
const closeFd = (fd: number): Effect.Effect<void> =>
  Effect.ignore(call<void>("close", (done) => nodeFs.close(fd, (e) => done(e ?? null))))

/**
 * One call on this thread, for those that only look at what the kernel nearly always has at hand: 2 us, where the way
 * to the thread pool and back takes 30. Like small files (SmallFilesNode), they wait for a file system that does not
 * answer.
 */
const here = <A>(operation: string, act: () => A): Effect.Effect<A, DiskError> =>
  Effect.suspend(() => Effect.fromResult(SmallFilesNode.attempt(act, operation)))

// close(2) frees the number whatever it reports. Only for folders: the last close of a file may give back its blocks.
const closeHere = (fd: number): void => void SmallFilesNode.attempt(() => nodeFs.closeSync(fd))

const statFd = (operation: string, fd: number): Effect.Effect<nodeFs.BigIntStats, DiskError> =>
  here(operation, () => nodeFs.fstatSync(fd, { bigint: true }))

const lstat = (operation: string, path: string): Effect.Effect<nodeFs.BigIntStats, DiskError> =>
  here(operation, () => nodeFs.lstatSync(path, { bigint: true }))
