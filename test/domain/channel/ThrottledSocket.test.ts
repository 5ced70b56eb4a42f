/**
 * A throttled socket carries every byte in order, at the rate and no slower, and several share one rate.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { burstMilliseconds } from "../../../src/domain/channel/TokenBucket.ts"
import * as ThrottledSocket from "../../../src/domain/channel/ThrottledSocket.ts"
import { contentBlockBytes, throttledPieceBytesMax, throttledPiecesPerSecond } from "../../../src/domain/limits.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../../src/domain/testing/MemorySocket.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))
const sizes = Schema.Array(upTo(40_000)).check(Schema.isMinLength(1), Schema.isMaxLength(8))
const rates = Schema.Int.check(Schema.isBetween({ minimum: 100_000, maximum: 50_000_000 }))

/** Writes all of it, then ends in order. */
const send = Effect.fnUntraced(function* (socket: Socket.Socket, chunks: ReadonlyArray<Uint8Array>) {
  yield* socket.reader
  const scope = yield* Scope.make()
  const { writeAll } = yield* Scope.provide(socket.writer, scope)
  const [first, ...rest] = chunks
  if (first !== undefined) yield* writeAll([first, ...rest])
  yield* Scope.close(scope, Exit.void)
  return yield* Clock.currentTimeMillis
})

/** Everything until the end, and the size of each piece. */
const receive = Effect.fnUntraced(function* (socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const pieces: Array<Uint8Array> = []
  while (true) {
    const pulled = yield* Effect.exit(pull)
    if (Exit.isFailure(pulled)) break
    for (const piece of pulled.value) pieces.push(Bytes.fromChunk(piece))
  }
  return { bytes: Bytes.concat([new Uint8Array(0), ...pieces]), largest: Math.max(0, ...pieces.map((p) => p.length)) }
})

const step = 20

/** Runs it while time passes; how long it took, milliseconds. */
const timed = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>) {
  const since = yield* Clock.currentTimeMillis
  const fiber = yield* Effect.forkChild(work, { startImmediately: true })
  while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(step)
  return { value: yield* Fiber.join(fiber), milliseconds: (yield* Clock.currentTimeMillis) - since }
})

const chunksOf = (lengths: ReadonlyArray<number>) => lengths.map((length, index) => Fixture.bytes(index, length))

const takes = (milliseconds: number, bytes: number, rate: number): void => {
  const paid = (bytes * 1000) / rate
  assert.isAtLeast(milliseconds, paid - burstMilliseconds - 1)
  assert.isAtMost(milliseconds, paid + 2 * step)
}

const pieceMax = (rate: number): number => Math.min(throttledPieceBytesMax, Math.floor(rate / throttledPiecesPerSecond))

describe("a throttled socket", () => {
  for (const direction of ["up", "down"] as const) {
    it.effect.prop(`carries all bytes in order and at the rate: ${direction}`, [rates, sizes], ([rate, lengths]) =>
      Effect.gen(function* () {
        const [near, far] = yield* MemorySocket.pair
        const throttled = (yield* ThrottledSocket.make({ [direction]: rate }))(direction === "up" ? near : far)
        const [from, to] = direction === "up" ? [throttled, far] : [near, throttled]
        const chunks = chunksOf(lengths)
        const { milliseconds, value } = yield* timed(
          Effect.all([send(from, chunks), receive(to)], { concurrency: "unbounded" })
        )
        const [, { bytes, largest }] = value
        assert.deepStrictEqual(bytes, Bytes.concat(chunks))
        assert.isAtMost(largest, pieceMax(rate))
        takes(milliseconds, bytes.length, rate)
      }).pipe(Effect.scoped)
    )
  }

  it("content is to leave four times a second, and in whole blocks where that is quick enough", () => {
    const most = [{ up: 100_000 }, { up: 4_096 }, { up: 1 }, { up: 100_000_000 }, { down: 4_096 }, {}].map((rates) =>
      ThrottledSocket.contentBytesMax(rates)
    )
    assert.deepStrictEqual(most, [25_000, 1_024, 1, contentBlockBytes, contentBlockBytes, contentBlockBytes])
  })

  it.effect("the other direction, and a socket without a rate, is as quick as it can be", () =>
    Effect.gen(function* () {
      const chunks = chunksOf([3_000_000])
      for (const rates of [{}, { down: 4_096 }]) {
        const [near, far] = yield* MemorySocket.pair
        const throttled = (yield* ThrottledSocket.make(rates))(near)
        const { milliseconds, value } = yield* timed(
          Effect.all([send(throttled, chunks), receive(far)], { concurrency: "unbounded" })
        )
        assert.deepStrictEqual([value[1].bytes.length, milliseconds], [3_000_000, 0])
      }
    }).pipe(Effect.scoped)
  )

  it.effect("shares its rate with the others of the same program", () =>
    Effect.gen(function* () {
      const throttled = yield* ThrottledSocket.make({ up: 100_000 })
      const one = Effect.gen(function* () {
        const [near, far] = yield* MemorySocket.pair
        const both = Effect.all([send(throttled(near), chunksOf([200_000])), receive(far)], {
          concurrency: "unbounded"
        })
        return (yield* both)[1].bytes.length
      })
      const { milliseconds, value } = yield* timed(Effect.all([one, one, one], { concurrency: "unbounded" }))
      assert.deepStrictEqual(value, [200_000, 200_000, 200_000])
      takes(milliseconds, 600_000, 100_000)
    }).pipe(Effect.scoped)
  )

  it.effect("loses nothing of what it had read when who waited for it was interrupted", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair
      const content = Fixture.bytes(1, 50_000)
      yield* Effect.forkChild(send(near, [content]), { startImmediately: true })
      const { pull } = yield* (yield* ThrottledSocket.make({ down: 10_000 }))(far).reader
      const got: Array<Uint8Array> = []
      const reading = Effect.forever(
        Effect.map(pull, (chunks) => void got.push(...chunks.map((chunk) => Bytes.copy(Bytes.fromChunk(chunk)))))
      )
      let rounds = 0
      while (Bytes.lengthOf(got) < content.length) {
        const fiber = yield* Effect.forkChild(reading, { startImmediately: true })
        yield* TestClock.adjust(70)
        yield* Fiber.interrupt(fiber)
        rounds += 1
        assert.isBelow(rounds, 200)
      }
      assert.deepStrictEqual(Bytes.concat(got), content)
      assert.isAtLeast(rounds * 70, 5_000 - burstMilliseconds - 70)
    }).pipe(Effect.scoped)
  )

  it.effect("keeps nothing of what it was given, and gives nothing of what is read into again", () =>
    Effect.gen(function* () {
      const written: Array<Uint8Array> = []
      const memory = new Uint8Array(10_000).fill(1)
      const reused = Socket.make({
        reader: Effect.succeed({ pull: Effect.sync(() => [memory] as const), upgrade: () => Effect.void }),
        writer: Effect.succeed({
          write: () => Effect.void,
          writeAll: (chunks) => Effect.sync(() => void written.push(...chunks.map(Bytes.fromChunk)))
        })
      })
      const throttled = (yield* ThrottledSocket.make({ up: 200_000, down: 200_000 }))(reused)
      const [{ pull }, { writeAll }] = [yield* throttled.reader, yield* throttled.writer]
      const [piece] = yield* pull
      memory.fill(2)
      assert.deepStrictEqual(piece, new Uint8Array(10_000).fill(1))
      const given = new Uint8Array(10_000).fill(3)
      yield* writeAll([given])
      given.fill(4)
      assert.deepStrictEqual(Bytes.concat(written), new Uint8Array(10_000).fill(3))
    }).pipe(Effect.scoped)
  )
})
