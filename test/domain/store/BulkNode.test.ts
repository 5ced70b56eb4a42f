import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import {
  asideBytes,
  blockingMillisecondsMax,
  contentBlockBytes,
  copiedBlockBytes,
  diskBlockingMillisecondsMax
} from "../../../src/domain/limits.ts"
import { Disk } from "../../../src/domain/store/Disk.ts"
import type { Options } from "../../../src/domain/store/DiskNode.ts"
import { diskContract } from "../../../src/domain/testing/diskContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import { runContract } from "./contract.ts"
import { temporaryDisk } from "./temporaryDisk.ts"

/** A clock on which so much time passes between two looks. */
const ticking = (milliseconds: number) =>
  Layer.effect(
    Clock.Clock,
    Effect.map(Clock.Clock, (clock) => {
      let nanoseconds = 0n
      return { ...clock, monotonicTimeNanosUnsafe: () => (nanoseconds += BigInt(milliseconds * 1e6)) }
    })
  )

/** A disk on which every call seems to take so long. */
const diskAtPace = (milliseconds: number, options: Options = {}) =>
  temporaryDisk(options).pipe(Layer.provideMerge(ticking(milliseconds)))

const paces = {
  "at once": 0,
  "at once, with turns of the event loop between": blockingMillisecondsMax,
  "in the pool": diskBlockingMillisecondsMax + 1
}

// Small files are read by other means, and not all of them when time flies.
const ofLargeFiles = diskContract.filter(({ name }) => !name.startsWith("small files"))

for (const [name, milliseconds] of Object.entries(paces)) {
  runContract(`Disk contract: DiskNode, ${name}`, ofLargeFiles, () => diskAtPace(milliseconds))
}

const file = Effect.flatMap(Disk, (disk) => disk.create(["a"]))
const content = Bytes.fromUtf8("content")

/** Whether a call ended before anything else had its turn. */
const endsAtOnce = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    const ended = fiber.pollUnsafe() !== undefined
    yield* Fiber.join(fiber)
    return ended
  })

/** Of some writes one after the other, and as many reads. */
const ended = Effect.gen(function* () {
  const { readInto, write } = yield* file
  const writes = yield* Effect.forEach(times, () => endsAtOnce(write(0, [content])))
  const reads = yield* Effect.forEach(times, () => endsAtOnce(readInto(0, new Uint8Array(content.length))))
  return { writes, reads }
})
const times = [1, 2, 3, 4]
const all = times.map(() => true)
const none = times.map(() => false)

describe("large files on the real disk", () => {
  it.effect("are read and written at once where the disk is quick", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ended, { writes: all, reads: all })
    }).pipe(Effect.provide(diskAtPace(0)))
  )

  it.effect("go to the pool when they are large, so that time passes in two places", () =>
    Effect.gen(function* () {
      const { readInto, write } = yield* file
      const reads = (length: number) => endsAtOnce(readInto(0, new Uint8Array(length)))
      const writes = (length: number) => endsAtOnce(write(0, [new Uint8Array(length)]))
      assert.deepStrictEqual([yield* writes(copiedBlockBytes - 1), yield* writes(copiedBlockBytes)], [true, false])
      assert.deepStrictEqual([yield* reads(asideBytes - 1), yield* reads(asideBytes)], [true, false])
    }).pipe(Effect.provide(diskAtPace(0)))
  )

  it.effect("go to the pool from a block of content on, for who wants that", () =>
    Effect.gen(function* () {
      const { readInto, write } = yield* file
      const writes = (length: number) => endsAtOnce(write(0, [new Uint8Array(7), new Uint8Array(length - 7)]))
      assert.deepStrictEqual([yield* writes(contentBlockBytes - 1), yield* writes(contentBlockBytes)], [true, false])
      assert.isTrue(yield* endsAtOnce(readInto(0, new Uint8Array(contentBlockBytes))))
    }).pipe(Effect.provide(diskAtPace(0, { writesAside: true })))
  )

  it.effect("leave the event loop its turn", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ended, { writes: none, reads: none })
    }).pipe(Effect.provide(diskAtPace(blockingMillisecondsMax)))
  )

  it.effect("go to the pool once the disk was slow, reading and writing apart", () =>
    Effect.gen(function* () {
      const { reads, writes } = yield* ended
      assert.deepStrictEqual(writes.slice(1), none.slice(1))
      assert.deepStrictEqual(reads.slice(1), none.slice(1))
    }).pipe(Effect.provide(diskAtPace(diskBlockingMillisecondsMax + 1)))
  )

  it.effect("are written to the end when they are closed, or the writer is interrupted, meanwhile", () =>
    Effect.gen(function* () {
      const disk = yield* Disk
      const whole = Fixture.bytes(1, 16 * contentBlockBytes)
      const opened = yield* Scope.make()
      const { write } = yield* Scope.provide(disk.create(["b"]), opened)
      const writing = yield* Effect.forkChild(write(0, [whole]), { startImmediately: true })
      assert.isUndefined(writing.pollUnsafe())
      yield* Fiber.interrupt(writing)
      assert.strictEqual((yield* disk.stat(["b"])).size, whole.length, "whoever interrupts waits for the end")
      const again = yield* Effect.forkChild(write(0, [whole]), { startImmediately: true })
      yield* Scope.close(opened, Exit.void)
      // Takes the descriptor, if that is free already.
      const other = yield* disk.create(["c"])
      yield* Fiber.join(again)
      assert.strictEqual((yield* other.stat).size, 0)
      const { read } = yield* disk.openRead(["b"])
      assert.isTrue(Bytes.equals(yield* read(0, whole.length + 1), whole))
      assert.strictEqual((yield* Effect.flip(write(0, [content]))).code, "EBADF")
    }).pipe(Effect.provide(diskAtPace(0, { writesAside: true })))
  )

  for (const [name, milliseconds] of Object.entries(paces)) {
    it.effect(`cannot be used any more once they are closed, ${name}`, () =>
      Effect.gen(function* () {
        const { readInto, write } = yield* Effect.scoped(Effect.tap(file, ({ write }) => write(0, [content])))
        const codes = [yield* Effect.flip(write(0, [content])), yield* Effect.flip(readInto(0, new Uint8Array(1)))]
        assert.deepStrictEqual(
          codes.map(({ code }) => code),
          ["EBADF", "EBADF"]
        )
      }).pipe(Effect.provide(diskAtPace(milliseconds)))
    )
  }
})
