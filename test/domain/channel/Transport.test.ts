import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { Socket } from "effect/socket"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as Transport from "../../../src/domain/channel/Transport.ts"
import { givenBackBytesMin, receivedPartBytes, receivedPiecesMax } from "../../../src/domain/limits.ts"

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

describe("bytes that come one by one", () => {
  const bytes = Uint8Array.from({ length: 40 * receivedPiecesMax }, (_, index) => index % 251)
  const single = (): ReadonlyArray<Uint8Array> => Array.from(bytes, (byte) => Uint8Array.of(byte))

  it.effect("are all there, and are not held each by itself", () =>
    Effect.gen(function* () {
      const transport = yield* opened(single())
      let taken = 0
      for (const length of [1, 10 * receivedPiecesMax + 1, 29 * receivedPiecesMax]) {
        const parts = yield* transport.take(length)
        assert.deepStrictEqual(Bytes.concat(parts), bytes.subarray(taken, taken + length))
        assert.isAtMost(parts.length, receivedPiecesMax)
        taken += length
      }
    })
  )

  it.effect("are given back as what came in one piece", () =>
    Effect.gen(function* () {
      const transport = yield* opened(single())
      const [first] = yield* transport.take(39 * receivedPiecesMax)
      assert.isAtLeast(first?.length ?? 0, whole)
      yield* transport.take(1)
      assert.deepStrictEqual(gone(first === undefined ? [] : [first]), [true])
    }).pipe(ours)
  )

  it.effect("are as many as they were when they are few", () =>
    Effect.gen(function* () {
      const transport = yield* opened(single())
      assert.lengthOf(yield* transport.take(receivedPiecesMax), receivedPiecesMax)
    })
  )
})

describe("who follows", () => {
  it.effect("is told of each part of what is still waited for, and not of what is whole", () =>
    Effect.gen(function* () {
      const part = receivedPartBytes
      const transport = yield* opened([part - 1, 1, 2 * part, part, part, part].map((length) => chunkOf(length, 1)))
      let told = 0
      transport.follow(Effect.sync(() => void (told += 1)))
      yield* transport.take(part - 1)
      yield* transport.take(1)
      assert.strictEqual(told, 0)
      yield* transport.take(2 * part)
      assert.strictEqual(told, 0)
      yield* transport.take(3 * part)
      assert.strictEqual(told, 2)
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
