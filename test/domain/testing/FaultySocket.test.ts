/**
 * Every fault happens where it is told to, in either direction, and again for the same seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Socket } from "effect/socket"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as FaultySocket from "../../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../../src/domain/testing/MemorySocket.ts"

const content = Fixture.bytes(1, 100)
const chunks = [content.subarray(0, 10), content.subarray(10, 70), content.subarray(70)] as const

/** What one end got of what the other wrote. */
interface Arrived {
  readonly pieces: ReadonlyArray<{ readonly length: number; readonly at: number }>
  readonly bytes: Uint8Array
  /** how it ended */
  readonly end: string
}

const receive = Effect.fnUntraced(function* (socket: Socket.Socket) {
  const { pull } = yield* socket.reader
  const pieces: Array<{ length: number; at: number }> = []
  const parts: Array<Uint8Array> = []
  while (true) {
    const pulled = yield* Effect.result(pull)
    if (pulled._tag === "Failure") {
      const { reason } = pulled.failure
      const end = reason._tag === "SocketCloseError" ? `close ${reason.code}` : reason._tag
      return { pieces, bytes: Bytes.concat(parts.length === 0 ? [new Uint8Array(0)] : parts), end } satisfies Arrived
    }
    const at = yield* Clock.currentTimeMillis
    for (const piece of pulled.success) {
      const bytes = Bytes.fromChunk(piece)
      parts.push(bytes)
      pieces.push({ length: bytes.length, at })
    }
  }
})

/** Writes the chunks all at once, or one after the other, and ends in order; gives what arrives. */
const carry = Effect.fnUntraced(
  function* (faults: FaultySocket.Faults, options: { seed?: number; through: "reads" | "writes"; together?: boolean }) {
    const [near, far] = yield* MemorySocket.pair
    const { seed = 1, through } = options
    const from = through === "writes" ? FaultySocket.wrap(near, { seed, writes: faults }) : near
    const to = through === "reads" ? FaultySocket.wrap(far, { seed, reads: faults }) : far
    const arriving = yield* Effect.forkChild(receive(to), { startImmediately: true })
    const sending = Effect.gen(function* () {
      yield* from.reader
      const scope = yield* Scope.make()
      const writer = yield* Scope.provide(from.writer, scope)
      const write = options.together
        ? writer.writeAll(chunks)
        : Effect.forEach(chunks, (chunk) => writer.write(chunk), { discard: true })
      const written = yield* Effect.exit(write)
      yield* Scope.close(scope, Exit.void)
      return Exit.isSuccess(written)
    })
    const sent = yield* Effect.forkChild(sending, { startImmediately: true })
    yield* TestClock.adjust(3_600_000)
    return { ...(yield* Fiber.join(arriving)), sent: yield* Fiber.join(sent) }
  },
  Effect.scoped,
  Effect.provide(TestClock.layer())
)

const lengths = ({ pieces }: Arrived) => pieces.map(({ length }) => length)
const times = ({ pieces }: Arrived) => pieces.map(({ at }) => at)

for (const through of ["writes", "reads"] as const) {
  describe(`of ${through}`, () => {
    it.effect("none: everything arrives as it was written", () =>
      Effect.gen(function* () {
        const arrived = yield* carry({}, { through })
        assert.deepStrictEqual(lengths(arrived), [10, 60, 30])
        assert.deepStrictEqual([arrived.bytes, arrived.end, arrived.sent], [content, "close 1000", true])
      })
    )

    it.effect("fragments: small pieces, the same by seed", () =>
      Effect.gen(function* () {
        const fragments = (seed: number) => carry({ fragmentBytesMax: 7 }, { seed, through })
        const arrived = yield* fragments(1)
        assert.deepStrictEqual(arrived.bytes, content)
        assert.isAtLeast(lengths(arrived).length, 15)
        assert.isAtMost(Math.max(...lengths(arrived)), 7)
        assert.deepStrictEqual(yield* fragments(1), arrived)
        assert.notDeepEqual(lengths(yield* fragments(2)), lengths(arrived))
      })
    )

    it.effect("delays: each piece waits, as long as its seed says", () =>
      Effect.gen(function* () {
        const delays = (seed: number) => carry({ delayMillisecondsMax: 1_000 }, { seed, through })
        const arrived = yield* delays(1)
        assert.deepStrictEqual(arrived.bytes, content)
        assert.isAbove(Math.max(...times(arrived)), 0)
        assert.isBelow(Math.max(...times(arrived)), 3_000)
        assert.deepStrictEqual(yield* delays(1), arrived)
        assert.notDeepEqual(times(yield* delays(2)), times(arrived))
      })
    )

    it.effect("throttles: bytes come at the rate that was said", () =>
      Effect.gen(function* () {
        const arrived = yield* carry({ throttleBytesPerSecond: 10, fragmentBytesMax: 1 }, { through })
        assert.deepStrictEqual(arrived.bytes, content)
        assert.strictEqual(times(arrived).at(-1), 10_000)
      })
    )

    it.effect("cuts: what was before may arrive, nothing behind it does, and no end is proved", () =>
      Effect.gen(function* () {
        const arrived = yield* carry({ cutAfterBytes: 42 }, { through })
        assert.deepStrictEqual(arrived.bytes, content.subarray(0, arrived.bytes.length))
        assert.isAtMost(arrived.bytes.length, 42)
        assert.strictEqual(arrived.sent, through === "reads")
      })
    )

    it.effect("half-closes: an orderly end in the middle", () =>
      Effect.gen(function* () {
        const arrived = yield* carry({ halfCloseAfterBytes: 42 }, { through })
        assert.deepStrictEqual(arrived.bytes, content.subarray(0, 42))
        assert.deepStrictEqual([arrived.end, arrived.sent], ["close 1000", true])
      })
    )

    it.effect("corrupts: one bit of one byte, the same by seed", () =>
      Effect.gen(function* () {
        const corrupt = (seed: number) => carry({ corruptAt: 42 }, { seed, through })
        const { bytes } = yield* corrupt(1)
        const changed = Array.from(bytes, (byte, index) => byte ^ (content[index] ?? 0))
        assert.deepStrictEqual(
          changed.flatMap((bits, index) => (bits === 0 ? [] : [index])),
          [42]
        )
        assert.include([1, 2, 4, 8, 16, 32, 64, 128], changed[42])
        assert.deepStrictEqual((yield* corrupt(1)).bytes, bytes)
        const others = yield* Effect.forEach([2, 3, 4, 5], corrupt)
        assert.isTrue(others.some((other) => !Bytes.equals(other.bytes, bytes)))
      })
    )

    it.effect("duplicates: one byte comes twice", () =>
      Effect.gen(function* () {
        const { bytes } = yield* carry({ duplicateAt: 42 }, { through })
        assert.deepStrictEqual(bytes, Bytes.concat([content.subarray(0, 43), content.subarray(42)]))
      })
    )
  })
}

describe("of a whole connection", () => {
  it.effect("coalesces what is written at once, and nothing else", () =>
    Effect.gen(function* () {
      const together = yield* carry({ coalesce: true }, { through: "writes", together: true })
      assert.deepStrictEqual(lengths(together), [100])
      assert.deepStrictEqual(lengths(yield* carry({ coalesce: true }, { through: "writes" })), [10, 60, 30])
    })
  )

  it.effect("is cut in both directions; then writes fail, or hang where that is asked for, the one that cuts too", () =>
    Effect.gen(function* () {
      for (const hangWhenCut of [false, true]) {
        const [near, far] = yield* MemorySocket.pair
        const cut = FaultySocket.wrap(near, { seed: 1, writes: { cutAfterBytes: 5 }, hangWhenCut })
        const { pull } = yield* cut.reader
        const { write } = yield* cut.writer
        const other = yield* far.reader
        const cutting = yield* Effect.forkChild(write(content), { startImmediately: true })
        assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
        const heard = yield* Effect.forEach([1, 2], () => Effect.exit(other.pull))
        assert.isTrue(heard.some(Exit.isFailure))
        const again = yield* Effect.forkChild(Effect.exit(write(content)), { startImmediately: true })
        yield* TestClock.adjust(3_600_000)
        for (const one of [cutting, again]) assert.strictEqual(one.pollUnsafe() === undefined, hangWhenCut)
        yield* Fiber.interruptAll([cutting, again])
      }
    }).pipe(Effect.scoped)
  )

  it.effect("faults of one direction do not depend on what the other carries", () =>
    Effect.gen(function* () {
      const pieces = (before: number) =>
        Effect.gen(function* () {
          const [near, far] = yield* MemorySocket.pair
          const faults = { fragmentBytesMax: 9 }
          const faulty = FaultySocket.wrap(near, { seed: 1, reads: faults, writes: faults })
          const writer = yield* faulty.writer
          const reader = yield* faulty.reader
          const back = yield* far.writer
          const other = yield* Effect.forkChild(receive(far), { startImmediately: true })
          for (let count = 0; count < before; count++) yield* writer.write(content)
          yield* back.write(content)
          const found = (yield* reader.pull).map(({ length }) => length)
          yield* Fiber.interrupt(other)
          return found
        }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* pieces(0), yield* pieces(2))
    })
  )
})
