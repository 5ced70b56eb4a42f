/**
 * Many small files at once, for Node: plain loops of blocking calls.
 *
 * A call that goes through the thread pool costs about ten times what the kernel does for it: to write, close and
 * rename a file of 4 KiB takes 13 us so, and took 1.4 ms with a hop for each call. The event loop has its turn after
 * every `blockingMillisecondsMax`. An fsync waits for the device and stays in the pool, `diskSyncsAtOnceMax` at a time.
 * No more descriptors than that are open.
 *
 * A call to a file system that does not answer, a hung network mount, holds up the whole process.
 */
import * as nodeFs from "node:fs"
import { Effect, Result } from "effect"
import { systemCodeOf } from "../SystemCode.ts"
import * as Bytes from "../Bytes.ts"
import { mayRun } from "../file/FileEntry.ts"
import { blockingMillisecondsMax, contentBlockBytes, diskSyncsAtOnceMax } from "../limits.ts"
import * as Monotonic from "../Monotonic.ts"
import {
  DiskError,
  type DiskGlance,
  type DiskStat,
  modifiedOf,
  type NewFile,
  type PlaceRequest,
  type WholeFile
} from "./Disk.ts"
import { driverless, glanceOf, isOneVersion, isPart, toStat } from "./StatNode.ts"

const { constants } = nodeFs

// Windows lacks these; there they add nothing.
const noFollow = constants.O_NOFOLLOW ?? 0
const nonBlocking = constants.O_NONBLOCK ?? 0
const readFlags = constants.O_RDONLY | noFollow | nonBlocking
const createFlags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | noFollow

type Placed = Result.Result<void, DiskError>

/** `Disk.placeAll` between two folders that are open, by paths that mean them. */
export const placeAll = (
  staging: string,
  folder: string,
  request: PlaceRequest
): Effect.Effect<ReadonlyArray<Placed>, DiskError> => {
  const { durable, files } = request
  const write = (file: NewFile) => create(staging, folder, request, file)
  const moveTo = (file: NewFile, written: Placed): Placed =>
    Result.isFailure(written) ? written : orRemove(move(staging, folder, file), `${staging}/${file.temporary}`)
  const unsynced = inTurns(files, (file) => moveTo(file, closed(staging, file, write(file), Result.void)))
  if (!durable) return Effect.uninterruptible(unsynced)
  return Effect.gen(function* () {
    const staged = yield* Effect.forEach(
      files,
      (file) =>
        Effect.suspend(() => {
          const written = write(file)
          if (Result.isFailure(written)) return Effect.succeed<Placed>(Result.fail(written.failure))
          return Effect.map(syncFd(written.success), (synced) => closed(staging, file, written, synced))
        }),
      { concurrency: diskSyncsAtOnceMax }
    )
    const placed = yield* inTurns(files, (file, index) => moveTo(file, staged[index] ?? failed("EIO")))
    const synced = yield* syncFolder(folder)
    return Result.isSuccess(synced) ? placed : placed.map((one) => Result.flatMap(one, () => synced))
  }).pipe(Effect.uninterruptible)
}

/** Writes new files under their names, in a folder in which there is nothing else. */
export const writeAll = (folder: string, files: ReadonlyArray<NewFile>): Effect.Effect<ReadonlyArray<Placed>> =>
  inTurns(files, (file) => {
    const named = { ...file, temporary: file.name }
    return closed(folder, named, create(folder, folder, { likeReplaced: false }, named), Result.void)
  })

/** Blocking work on each, in order, with a turn of the event loop whenever `blockingMillisecondsMax` have gone by. */
export const inTurns = Effect.fnUntraced(function* <A, B>(
  all: ReadonlyArray<A>,
  run: (one: A, index: number) => B
): Effect.fn.Return<ReadonlyArray<B>> {
  const done: Array<B> = []
  const now = yield* Monotonic.clock
  let until = now() + blockingMillisecondsMax
  for (const one of all) {
    if (now() >= until) {
      yield* turn
      until = now() + blockingMillisecondsMax
    }
    done.push(run(one, done.length))
  }
  return done
})

/** Lets everything else run that waits for the event loop: with another scheduler a yield among fibers need not. */
// oxlint-disable-next-line no-restricted-globals
export const turn: Effect.Effect<void> = Effect.callback((resume) => void setImmediate(() => resume(Effect.void)))

/** Makes what gives the event loop its turn whenever `blockingMillisecondsMax` have gone by since the last one. */
export const pace: Effect.Effect<Effect.Effect<void>> = Effect.suspend(() =>
  Effect.map(Monotonic.clock, (now) => {
    let until = now() + blockingMillisecondsMax
    const taken = Effect.map(turn, () => void (until = now() + blockingMillisecondsMax))
    return Effect.suspend(() => (now() < until ? Effect.void : taken))
  })
)

/** Closes what was written; a failure of that is one of the write. Nothing is left of a file that failed. */
const closed = (
  staging: string,
  { temporary }: NewFile,
  written: Result.Result<number, DiskError>,
  synced: Placed
): Placed => {
  if (Result.isFailure(written)) return Result.fail(written.failure)
  const done = close(written.success)
  return orRemove(Result.isFailure(synced) ? synced : done, `${staging}/${temporary}`)
}

/** The descriptor is gone whatever it says. */
const close = (fd: number, operation = "placeAll"): Placed => attempt(() => nodeFs.closeSync(fd), operation)

/** A written file, open. Nothing is left of one that fails. */
const create = (
  staging: string,
  folder: string,
  { likeReplaced }: Pick<PlaceRequest, "likeReplaced">,
  file: NewFile
): Result.Result<number, DiskError> => {
  if (!isPart(file.name) || !isPart(file.temporary)) return failed("EINVAL")
  const path = `${staging}/${file.temporary}`
  const looked = attempt(() => (likeReplaced ? standing(`${folder}/${file.name}`) : undefined))
  if (Result.isFailure(looked)) return Result.fail(looked.failure)
  const replaced = looked.success
  // Whoever opens it before it has the permissions of what it replaces would read on with that.
  const opened = attempt(() => nodeFs.openSync(path, createFlags, replaced === undefined ? 0o666 : 0o600))
  if (Result.isFailure(opened)) return opened
  const written = attempt(() => fillNew(opened.success, file, replaced))
  if (Result.isSuccess(written) && written.success === undefined) return opened
  close(opened.success)
  return orRemove(Result.isSuccess(written) ? failed(written.success ?? "EIO") : Result.fail(written.failure), path)
}

/** A code that no call has failed with, but that is as bad; undefined when all is well. */
type Code = string | undefined

/** Gives a new file its permissions, content and time. Throws what the system says. */
const fillNew = (fd: number, { executable, modified, parts }: NewFile, replaced: nodeFs.Stats | undefined): Code => {
  const refused = setMode(fd, replaced, executable === true)
  if (refused !== undefined) return refused
  const [first] = parts
  const whole = parts.length === 1 && first !== undefined ? first : Bytes.concat(parts)
  for (let position = 0; position < whole.length;) {
    const wrote = nodeFs.writeSync(fd, whole, position, whole.length - position, position)
    // A device that takes nothing and reports nothing would keep us here for ever.
    if (wrote === 0) return "EIO"
    position += wrote
  }
  nodeFs.futimesSync(fd, modified / 1000, modified / 1000)
  return undefined
}

/** What is replaced under a name. A link that is replaced says nothing. Throws what the system says. */
const standing = (path: string): nodeFs.Stats | undefined => {
  const stats = nodeFs.lstatSync(path, { throwIfNoEntry: false })
  return stats?.isSymbolicLink() === true ? undefined : stats
}

/**
 * What is replaced keeps who may read and write it; whether those may run it who may read it is declared. Throws what
 * the system says.
 */
const setMode = (fd: number, before: nodeFs.Stats | undefined, executable: boolean): Code => {
  if (before?.isDirectory() === true) return "EISDIR"
  if (before?.isFile() === false) return "ENOTREG"
  if (before === undefined && !executable) return undefined
  const plain = before === undefined ? nodeFs.fstatSync(fd).mode & permissionBits : keptMode(fd, before)
  nodeFs.fchmodSync(fd, executable ? plain | ((plain & 0o444) >> 2) : plain)
  return undefined
}

// Not set-user-id and its kin: the content comes from elsewhere, and whether it may be run as well.
const permissionBits = 0o666

/**
 * The permissions of what an open new file will replace, whose group it gets: they would be another group's otherwise.
 * Of a group that cannot be given only that is left which all others have too. Throws what the system says.
 */
export const keptMode = (fd: number, replaced: Pick<nodeFs.Stats, "gid" | "mode">): number => {
  const { gid, uid } = nodeFs.fstatSync(fd)
  const mode = replaced.mode & permissionBits
  const isTheirs = gid === replaced.gid || Result.isSuccess(attempt(() => nodeFs.fchownSync(fd, uid, replaced.gid)))
  return isTheirs ? mode : mode & (0o606 | ((mode & 0o006) << 3))
}

const move = (staging: string, folder: string, { name, temporary }: NewFile): Placed =>
  attempt(() => nodeFs.renameSync(`${staging}/${temporary}`, `${folder}/${name}`))

const orRemove = <A>(outcome: Result.Result<A, DiskError>, path: string): Result.Result<A, DiskError> => {
  if (Result.isFailure(outcome)) Result.getOrUndefined(attempt(() => nodeFs.unlinkSync(path)))
  return outcome
}

const syncFd = (fd: number, operation?: string): Effect.Effect<Placed> =>
  Effect.callback((resume) =>
    nodeFs.fsync(fd, (error) =>
      resume(Effect.succeed(error === null ? Result.void : Result.fail(toError(error, operation))))
    )
  )

const syncFolder = (folder: string): Effect.Effect<Placed> =>
  Effect.suspend(() => {
    const opened = attempt(() => nodeFs.openSync(folder, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0)))
    if (Result.isFailure(opened)) return Effect.succeed(failed(opened.failure.code, "syncFolder"))
    return Effect.map(syncFd(opened.success, "syncFolder"), (synced) => {
      close(opened.success)
      return synced
    })
  })

/** How `readAll` reads. */
export interface Reading {
  readonly bytesMax: number
  /** where content goes: as much as it holds; without it as much as `bytesMax` */
  readonly room?: Uint8Array | undefined
  /** milliseconds of a clock that never goes back; reading ends with the file at which its time is over */
  readonly now: () => number
}

/** `Disk.readAll` in a folder that is open. */
export const readAll = (
  folder: string,
  names: ReadonlyArray<string>,
  { bytesMax, now, room }: Reading
): ReadonlyArray<Result.Result<WholeFile, DiskError>> => {
  const all: Array<Result.Result<WholeFile, DiskError>> = []
  const togetherMax = room?.length ?? bytesMax
  let used = 0
  // A buffer for many of them: making one costs as much as opening a file.
  const free: Room = { buffer: room ?? new Uint8Array(0), from: 0 }
  const roomFor = (size: number): Room | undefined => {
    if (size > togetherMax - used) return undefined
    if (size > free.buffer.length - free.from) {
      free.buffer = new Uint8Array(Math.max(size, Math.min(togetherMax - used, contentBlockBytes)))
      free.from = 0
    }
    return free
  }
  const until = now() + blockingMillisecondsMax
  for (const name of names) {
    if (all.length > 0 && now() >= until) break
    const one = isPart(name) ? readPath(`${folder}/${name}`, readFlags, bytesMax, roomFor) : failed("EINVAL", "readAll")
    if (Result.isFailure(one)) all.push(Result.fail(one.failure))
    else if (one.success === undefined) break
    else {
      const length = one.success.content?.length ?? 0
      free.from += length
      used += length
      all.push(Result.succeed(one.success))
    }
  }
  return all
}

/** What stands at a path, the last part not followed. */
export const lstat = (path: string, operation = "stat"): Result.Result<DiskStat, DiskError> =>
  attempt(() => toStat(nodeFs.lstatSync(path, { bigint: true })), operation)

/** The same without what tells two versions apart: in a fresh process in two thirds of the time. */
export const glance = (path: string, operation = "stat"): Result.Result<DiskGlance, DiskError> => {
  const looked = attempt(() => nodeFs.lstatSync(path), operation)
  if (Result.isFailure(looked)) return Result.fail(looked.failure)
  const seen = glanceOf(looked.success)
  return seen === undefined ? lstat(path, operation) : Result.succeed(seen)
}

/** `readWhole` for each, with a turn of the event loop in between; contents lie in the room as far as it reaches. */
export const readWholes = (
  paths: ReadonlyArray<string>,
  bytesMax: number,
  room: Uint8Array = new Uint8Array(0)
): Effect.Effect<ReadonlyArray<ReturnType<typeof readWhole>>> =>
  Effect.suspend(() => {
    const free: Room = { buffer: room, from: 0 }
    const roomFor = (size: number): Room =>
      room.length - free.from < size ? { buffer: new Uint8Array(size), from: 0 } : free
    return inTurns(paths, (path) => {
      const file = readWhole(path, bytesMax, roomFor)
      if (file?.content.buffer === room.buffer) free.from += file.content.length
      return file
    })
  })

/** `Disk.statAll` in a folder that is open. */
export const statAll = (
  folder: string,
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Result.Result<DiskGlance, DiskError>>> =>
  inTurns(names, (name) => (isPart(name) ? glance(`${folder}/${name}`, "statAll") : failed("EINVAL", "statAll")))

/** A buffer, and from where on it may be filled. */
interface Room {
  buffer: Uint8Array
  from: number
}

/** A buffer with room for at least that many bytes; undefined when there is none. */
type RoomFor = (size: number) => Room | undefined

/**
 * A file of at most `bytesMax` at a path of this machine's own, links followed; undefined for whatever cannot be had
 * so. Never for a name that came from a peer.
 */
export const readWhole = (
  path: string,
  bytesMax: number,
  roomFor: (size: number) => Room = (size) => ({ buffer: new Uint8Array(size), from: 0 })
): { readonly modified: number; readonly executable?: true; readonly content: Uint8Array } | undefined => {
  const file = Result.getOrUndefined(readPath(path, constants.O_RDONLY | nonBlocking, bytesMax, roomFor))
  return file?.content && { modified: modifiedOf(file.stat), content: file.content, ...mayRun(file.stat.executable) }
}

/** Of one version. Undefined when it fits into `bytesMax` and not into the room. */
const readPath = (
  path: string,
  flags: number,
  bytesMax: number,
  roomFor: RoomFor
): Result.Result<WholeFile | undefined, DiskError> => {
  const opened = attempt(() => nodeFs.openSync(path, flags), "readAll")
  if (Result.isFailure(opened))
    return opened.failure.code === driverless ? failed("ENOTREG", "readAll") : Result.fail(opened.failure)
  const fd = opened.success
  const read = attempt(() => readOpen(fd, bytesMax, roomFor), "readAll")
  close(fd, "readAll")
  if (Result.isFailure(read)) return Result.fail(read.failure)
  return read.success === "no-file" ? failed("ENOTREG", "readAll") : Result.succeed(read.success)
}

/** Throws what the system says. */
const readOpen = (fd: number, bytesMax: number, roomFor: RoomFor): WholeFile | "no-file" | undefined => {
  const before = nodeFs.fstatSync(fd)
  if (!before.isFile()) return "no-file"
  const stat = glanceOf(before) ?? toStat(nodeFs.fstatSync(fd, { bigint: true }))
  if (stat.size > bytesMax) return { stat, content: undefined }
  const room = roomFor(stat.size)
  if (room === undefined) return undefined
  const content = fill(fd, room, stat.size)
  // A second look: what was read must be of one version.
  const same = isOneVersion(before, nodeFs.fstatSync(fd))
  return { stat, content: same && content.length === stat.size ? content : undefined }
}

const fill = (fd: number, { buffer, from }: Room, size: number): Uint8Array => {
  let filled = 0
  for (let count = 1; count > 0 && filled < size; filled += count) {
    count = nodeFs.readSync(fd, buffer, from + filled, size - filled, filled)
  }
  return buffer.subarray(from, from + filled)
}

/** What a blocking call gives, or its failure. */
export const attempt = <A>(call: () => A, operation = "placeAll"): Result.Result<A, DiskError> =>
  Result.try({ try: call, catch: (error) => toError(error, operation) })

const toError = (error: unknown, operation = "placeAll"): DiskError =>
  new DiskError({
    operation,
    code: systemCodeOf(error)
  })

const failed = (code: string, operation = "placeAll"): Result.Result<never, DiskError> =>
  Result.fail(new DiskError({ operation, code }))
