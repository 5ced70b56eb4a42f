import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as Transport from "../../../src/domain/channel/Transport.ts"
import { givenBackBytesMin, writtenPortionBytes, writtenQuicklyMillisecondsMax } from "../../../src/domain/limits.ts"

const chunkOf = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)

/** A socket that delivers chunks one by one, and takes what is written. */
const opened = Effect.fnUntraced(function* (chunks: ReadonlyArray<Uint8Array>, fails = false) {
  const waiting = yield* Queue.unbounded<Uint8Array>()
  yield* Queue.offerAll(waiting, chunks)
  const write = fails
    ? Effect.fail(new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: "cut" }) }))
    : Effect.void
  const socket = Socket.make({
    reader: Effect.succeed({
      pull: Effect.map(Queue.take(waiting), (chunk) => [chunk] as const),
      upgrade: () => Effect.die("no upgrade")
    }),
    writer: Effect.succeed({ write: () => write, writeAll: () => write })
  })
  return yield* Transport.open(socket)
})

const whole = givenBackBytesMin

/** Which of the chunks' memory is gone. */
const gone = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<boolean> =>
  chunks.map(({ buffer }) => buffer.byteLength === 0)

const ours = Effect.provideService(Transport.Owned, { received: true, sentBytesMin: 2 * whole })

describe("memory of what crosses", () => {
  it.effect("is left alone when nobody has said whose it is", () =>
    Effect.gen(function* () {
      const chunks = [chunkOf(whole, 1), chunkOf(whole, 2)]
      const transport = yield* opened(chunks)
      yield* transport.take(whole)
      yield* transport.take(whole)
      yield* transport.write(chunks)
      assert.deepStrictEqual(gone(chunks), [false, false])
    })
  )

  it.effect("is given back when a chunk was taken to its end and the next bytes are asked for, not before", () =>
    Effect.gen(function* () {
      const chunks = [chunkOf(whole, 1), chunkOf(whole, 2), chunkOf(whole, 3)]
      const transport = yield* opened(chunks)
      const first = yield* transport.take(whole + 10)
      assert.deepStrictEqual(Bytes.lengthOf(first), whole + 10)
      assert.deepStrictEqual(gone(chunks), [false, false, false])
      const second = yield* transport.take(whole - 10)
      assert.deepStrictEqual(gone(chunks), [true, false, false])
      assert.isTrue(second.every((part) => part.every((byte) => byte === 2)))
      yield* transport.take(1)
      assert.deepStrictEqual(gone(chunks), [true, true, false])
    }).pipe(ours)
  )

  it.effect("is left to the collector when it is little, or a view of more", () =>
    Effect.gen(function* () {
      const chunks = [chunkOf(whole - 1, 1), chunkOf(2 * whole, 2).subarray(whole), chunkOf(1, 3)]
      const transport = yield* opened(chunks)
      for (const { length } of chunks) yield* transport.take(length)
      assert.deepStrictEqual(gone(chunks), [false, false, false])
    }).pipe(ours)
  )

  it.effect("is given back when a write that fills the socket has ended well", () =>
    Effect.gen(function* () {
      const filling = [chunkOf(whole, 1), chunkOf(whole, 2)]
      const little = [chunkOf(2 * whole - 1, 3)]
      const transport = yield* opened([])
      yield* transport.write(filling)
      yield* transport.write(little)
      assert.deepStrictEqual(gone([...filling, ...little]), [true, true, false])
      const cut = [chunkOf(2 * whole, 4)]
      const failed = yield* Effect.flip((yield* opened([], true)).write(cut))
      assert.strictEqual(failed.reason, "connection-lost")
      assert.deepStrictEqual(gone(cut), [false])
    }).pipe(ours)
  )
})

describe("who follows", () => {
  it.effect("is told of each chunk that comes and of each write, and of nothing that has failed", () =>
    Effect.gen(function* () {
      const chunks = [chunkOf(10, 1), chunkOf(10, 2), chunkOf(10, 3)]
      const transport = yield* opened(chunks)
      let told = 0
      transport.follow(() => (told += 1))
      yield* transport.take(25)
      assert.strictEqual(told, 3)
      yield* transport.write([chunkOf(1, 1)])
      assert.strictEqual(told, 4)
      const cut = yield* opened([], true)
      cut.follow(() => assert.fail("told of a write that failed"))
      for (const length of [1, 3 * writtenPortionBytes]) yield* Effect.flip(cut.write([chunkOf(length, 1)]))
    })
  )

  it.effect("sees a record leave in portions as long as the link is not known to be quick, all of it in order", () =>
    Effect.gen(function* () {
      let takes = 0
      let told = 0
      let written: Array<Uint8Array> = []
      const sizes: Array<ReadonlyArray<number>> = []
      const writeAll: Socket.Writer["writeAll"] = (chunks) =>
        Effect.andThen(
          Effect.sync(() => {
            sizes.push(chunks.map(({ length }) => length))
            for (const chunk of chunks) if (typeof chunk !== "string") written.push(chunk)
          }),
          Effect.suspend(() => TestClock.adjust(takes))
        )
      const socket = Socket.make({
        reader: Effect.succeed({ pull: Effect.never, upgrade: () => Effect.die("no upgrade") }),
        writer: Effect.succeed({ write: () => Effect.die("not asked for"), writeAll })
      })
      const transport = yield* Transport.open(socket)
      transport.follow(() => (told += 1))
      const record = [chunkOf(4, 1), chunkOf(2 * writtenPortionBytes, 2), chunkOf(16, 3)]
      const whole = [record.map(({ length }) => length)]
      const portions = [
        [4, writtenPortionBytes - 4],
        [writtenPortionBytes + 4, 16]
      ]
      const writes = Effect.fnUntraced(function* (milliseconds: number, want: ReadonlyArray<ReadonlyArray<number>>) {
        takes = milliseconds
        yield* transport.write(record)
        assert.deepStrictEqual(sizes.splice(0), want)
        assert.isTrue(Bytes.equals(Bytes.concat(written), Bytes.concat(record)))
        assert.strictEqual(told, want.length)
        written = []
        told = 0
      })
      yield* writes(writtenQuicklyMillisecondsMax / 2, portions)
      yield* writes(writtenQuicklyMillisecondsMax, whole)
      yield* writes(writtenQuicklyMillisecondsMax + 1, whole)
      yield* writes(0, portions)
      yield* writes(0, whole)
    })
  )
})

describe("giving back", () => {
  it("needs the end of a buffer, and little before that is nobody's", () => {
    const tail = chunkOf(2 * whole, 1).subarray(8)
    const middle = chunkOf(2 * whole, 1).subarray(0, whole)
    const late = chunkOf(2 * whole, 1).subarray(9)
    Bytes.giveBack([tail, middle, late], 8)
    assert.deepStrictEqual(gone([tail, middle, late]), [true, false, false])
    Bytes.giveBack([late])
    assert.deepStrictEqual(gone([late]), [true])
  })
})
