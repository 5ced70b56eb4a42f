/**
 * Reads and writes of large files, for Node: at once where the disk is as quick as memory, elsewhere in the pool.
 *
 * 1 GiB in pieces of 256 KiB through the pool costs 0.3 s of processor more than the same calls made at once, of about
 * 1.3 s that receiving it costs in all. The event loop has its turn after every `blockingMillisecondsMax`.
 *
 * Reads of `asideBytes` and writes of `copiedBlockBytes` or more (or of what a disk is made with) always go to the
 * pool: the way there is short beside so much, and who asks for it has something else to do meanwhile. 1 GiB that is
 * read, hashed and written in pieces of 2 MiB takes 0.84 s on one core and 0.51 s on two.
 *
 * A call to a file system that does not answer, a hung network mount, holds up the whole process.
 */
import * as nodeFs from "node:fs"
import { Effect, Result } from "effect"
import { systemCodeOf } from "../SystemCode.ts"
import * as Bytes from "../Bytes.ts"
import { asideBytes, blockingMillisecondsMax, copiedBlockBytes } from "../limits.ts"
import * as Monotonic from "../Monotonic.ts"
import { DiskError } from "./Disk.ts"
import * as Pace from "./Pace.ts"
import { turn } from "./SmallFilesNode.ts"

/** An open file, as long as it is open. */
export interface Descriptor {
  /** Undefined once it is closed. */
  readonly number: () => number | undefined
  /** Keeps it open until the effect has ended. Fails with `EBADF` when it is closed. */
  readonly use: <A>(
    operation: string,
    effect: (fd: number) => Effect.Effect<A, DiskError>
  ) => Effect.Effect<A, DiskError>
}

/** Reads and writes of the files of one disk. */
export interface Bulk {
  /** Fills the target from `offset`; gives the number of bytes, smaller only at the end of the file. */
  readonly read: (file: Descriptor, offset: number, target: Uint8Array) => Effect.Effect<number, DiskError>
  /** Writes all parts at `offset`, in order. */
  readonly write: (file: Descriptor, offset: number, parts: Bytes.Parts) => Effect.Effect<void, DiskError>
}

/**
 * Each disk has a pace of its own, and reading another than writing.
 *
 * @param writeAsideBytes writes of so many bytes always go to the pool
 */
export const make = (writeAsideBytes: number = copiedBlockBytes): Effect.Effect<Bulk> =>
  Effect.map(Monotonic.clock, (now) => {
    const reading = paced(now, asideBytes)
    const writing = paced(now, writeAsideBytes)
    return {
      read: (file, offset, target) =>
        reading(
          file,
          "read",
          target.length,
          (fd) => readNow(fd, offset, target),
          (fd) => readPooled(fd, offset, target)
        ),
      write: (file, offset, parts) =>
        writing(
          file,
          "write",
          Bytes.lengthOf(parts),
          (fd) => writeNow(fd, offset, parts),
          (fd) => writePooled(fd, offset, parts)
        )
    }
  })

type Done<A> = (error: NodeJS.ErrnoException | null, value: A) => void

/** Calls of one kind, each at once or in the pool, by its size and as the last ones went. */
const paced = (now: () => number, pooledBytesMin: number) => {
  let pace = Pace.unknown
  let turned = now()
  return <A>(
    file: Descriptor,
    operation: string,
    bytes: number,
    atOnce: (fd: number) => Result.Result<A, string>,
    pooled: (fd: number) => (done: Done<A>) => void
  ): Effect.Effect<A, DiskError> => {
    const blocking = Effect.suspend(() => {
      const fd = file.number()
      if (fd === undefined) return refused(operation, "EBADF")
      const since = now()
      const outcome = Result.flatMap(Result.try({ try: () => atOnce(fd), catch: systemCodeOf }), (done) => done)
      const after = now()
      pace = Pace.blocked(pace, after, after - since, bytes)
      return Result.isSuccess(outcome) ? Effect.succeed(outcome.success) : refused(operation, outcome.failure)
    })
    return Effect.suspend(() => {
      const time = now()
      if (bytes >= pooledBytesMin || !Pace.mayBlock(pace, time))
        return file.use(operation, (fd) => call(operation, pooled(fd)))
      if (time - turned < blockingMillisecondsMax) return blocking
      turned = time
      return Effect.andThen(turn, blocking)
    })
  }
}

const call = <A>(operation: string, register: (done: Done<A>) => void): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.callback<A, DiskError>((resume) =>
      register((error, value) => resume(error ? refused(operation, systemCodeOf(error)) : Effect.succeed(value)))
    )
  )

const refused = (operation: string, code: string): Effect.Effect<never, DiskError> =>
  Effect.fail(new DiskError({ operation, code }))

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const readNow = (fd: number, offset: number, target: Uint8Array): Result.Result<number> => {
  let filled = 0
  while (filled < target.length) {
    const count = nodeFs.readSync(fd, target, filled, target.length - filled, offset + filled)
    if (count === 0) break
    filled += count
  }
  return Result.succeed(filled)
}

const readPooled =
  (fd: number, offset: number, target: Uint8Array) =>
  (done: Done<number>): void => {
    const step = (filled: number): void => {
      if (filled === target.length) return done(null, filled)
      nodeFs.read(fd, target, filled, target.length - filled, offset + filled, (error, count) => {
        if (error !== null) return done(error, 0)
        if (count === 0) return done(null, filled)
        step(filled + count)
      })
    }
    step(0)
  }

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const writeNow = (fd: number, offset: number, parts: Bytes.Parts): Result.Result<void, string> => {
  let left = parts
  let length = Bytes.lengthOf(left)
  let position = offset
  while (length > 0) {
    const [first] = left
    const count =
      left.length === 1 && first !== undefined
        ? nodeFs.writeSync(fd, first, 0, first.length, position)
        : nodeFs.writevSync(fd, left.slice(0, writevPartsMax), position)
    // A device that takes nothing and reports nothing would keep us here for ever.
    if (count === 0) return Result.fail("EIO")
    position += count
    length -= count
    left = Bytes.slice(left, count, length)
  }
  return Result.void
}

const writePooled =
  (fd: number, offset: number, parts: Bytes.Parts) =>
  (done: Done<void>): void => {
    const step = (position: number, left: Bytes.Parts): void => {
      const length = Bytes.lengthOf(left)
      if (length === 0) return done(null)
      writeSome(fd, left, position, (error, count) => {
        if (error !== null) return done(error)
        if (count === 0) return done(noProgress())
        step(position + count, count === length ? [] : Bytes.slice(left, count, length - count))
      })
    }
    step(offset, parts)
  }

const writeSome = (fd: number, parts: Bytes.Parts, position: number, done: Done<number>): void => {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return nodeFs.write(fd, first, 0, first.length, position, done)
  nodeFs.writev(fd, parts.slice(0, writevPartsMax), position, done)
}

/** IOV_MAX of Linux. */
const writevPartsMax = 1024

const noProgress = (): NodeJS.ErrnoException => Object.assign(new Error("write made no progress"), { code: "EIO" })
