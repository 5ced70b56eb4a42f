import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { windowBytes } from "../../../src/domain/limits.ts"
import * as ReadWindow from "../../../src/domain/store/ReadWindow.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"

const size = 3 * windowBytes + 12_345
const content = Fixture.bytes(1, size)

const Step = Schema.Struct({
  /** where, unless it goes on behind the last */
  place: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: size + 10 })),
  near: Schema.Boolean,
  length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 * windowBytes })),
  outcome: Schema.Literals(["reads", "reads", "fails", "is interrupted"])
})
const Steps = Schema.Array(Step).check(Schema.isMaxLength(12))

const check = (got: Uint8Array, offset: number, length: number): void => {
  assert.isAtMost(got.length, length)
  if (offset >= size) return assert.strictEqual(got.length, 0)
  assert.isAbove(got.length, 0)
  assert.strictEqual(
    Buffer.compare(got, content.subarray(offset, offset + got.length)),
    0,
    `${got.length} at ${offset}`
  )
}

describe("a read window", () => {
  for (const into of [true, false]) {
    it.effect.prop(
      `gives the right bytes, whatever was read, failed or interrupted before ${into ? "into buffers" : "by copies"}`,
      [Steps],
      ([steps]) =>
        Effect.gen(function* () {
          let spoil: "reads" | "fails" | "is interrupted" = "reads"
          const readInto = (offset: number, target: Uint8Array) =>
            Effect.gen(function* () {
              yield* Effect.yieldNow
              const part = content.subarray(offset, offset + target.length)
              if (spoil === "reads") {
                target.set(part)
                return part.length
              }
              // What does not come to its end has written something else before.
              target.fill(0x55, 0, part.length >> 1)
              return yield* spoil === "fails" ? Effect.fail("broken") : Effect.never
            })
          const read = (offset: number, length: number) =>
            Effect.flatMap(
              Effect.sync(() => new Uint8Array(length)),
              (target) => Effect.map(readInto(offset, target), (count) => target.subarray(0, count))
            )
          const window = ReadWindow.make(into ? { read, readInto } : { read }, size)
          let next = 0
          for (const { length, near, outcome, place } of steps) {
            const offset = near ? next : place
            spoil = outcome
            if (outcome === "reads") {
              // What was read ahead may still hang or have failed: it is waited for, or read again.
              const got = yield* window.read(offset, length)
              check(got, offset, length)
              for (let turn = 0; turn < 5; turn += 1) yield* Effect.yieldNow
              // What is read ahead meanwhile never touches what was given.
              check(got, offset, length)
              next = offset + got.length
            } else {
              const fiber = yield* Effect.forkChild(Effect.exit(window.read(offset, length)))
              for (let turn = 0; turn < 5; turn += 1) yield* Effect.yieldNow
              yield* Fiber.interrupt(fiber)
            }
          }
        }),
      { arbitrary: { runs: 40 } }
    )
  }

  it.effect("forgets what was in a buffer that a failed read has written to", () =>
    Effect.gen(function* () {
      let broken = false
      const window = ReadWindow.make(
        {
          read: () => Effect.succeed(new Uint8Array(0)),
          readInto: (offset: number, target: Uint8Array) =>
            Effect.suspend(() => {
              if (broken)
                return Effect.andThen(
                  Effect.sync(() => target.fill(0x55)),
                  Effect.fail("broken")
                )
              target.set(content.subarray(offset, offset + target.length))
              return Effect.succeed(target.length)
            })
        },
        size
      )
      check(yield* window.read(0, 100), 0, 100)
      broken = true
      yield* Effect.flip(window.read(2 * windowBytes, 100))
      broken = false
      check(yield* window.read(5, 100), 5, 100)
    })
  )

  it.effect("has at hand what the last read left, and nothing before or behind it", () =>
    Effect.gen(function* () {
      const window = ReadWindow.make(
        { read: (offset, length) => Effect.succeed(content.slice(offset, offset + length)) },
        size
      )
      assert.isUndefined(window.held(0, 1))
      const from = windowBytes + 100
      check(yield* window.read(from, 10), from, 10)
      const end = from + windowBytes
      assert.deepStrictEqual(window.held(from, windowBytes), content.subarray(from, end))
      assert.deepStrictEqual(window.held(end - 7, 7), content.subarray(end - 7, end))
      assert.deepStrictEqual(window.heldFrom(end - 7, 8), content.subarray(end - 7, end))
      for (const [offset, length] of [
        [from - 1, 2],
        [from - 1, 1],
        [end - 7, 8],
        [end, 1]
      ] as const) {
        assert.isUndefined(window.held(offset, length))
      }
      for (const offset of [from - 1, from - 50, 0, end, end + 1]) assert.lengthOf(window.heldFrom(offset, 20), 0)
    })
  )

  it.effect("asks for each byte once, and for nothing behind the last", () =>
    Effect.gen(function* () {
      const asked: Array<readonly [offset: number, length: number]> = []
      const read = (offset: number, length: number) =>
        Effect.sync(() => {
          asked.push([offset, length])
          return content.slice(offset, offset + length)
        })
      const window = ReadWindow.make({ read }, 2 * windowBytes)
      const taken: Array<Uint8Array> = []
      const whole = { offset: 0, length: 3 * windowBytes }
      const take = (block: Uint8Array) => Effect.sync(() => void taken.push(block))
      assert.strictEqual(yield* ReadWindow.forEachBlock(window, whole, take), 2 * windowBytes)
      assert.deepStrictEqual(
        taken.map(({ length }) => length),
        [windowBytes, windowBytes]
      )
      assert.lengthOf(yield* window.read(2 * windowBytes, 1), 0)
      assert.deepStrictEqual(asked, [
        [0, windowBytes],
        [windowBytes, windowBytes]
      ])
    })
  )

  it.effect("takes a range no further than its file goes, where that has become shorter", () =>
    Effect.gen(function* () {
      const left = content.subarray(0, windowBytes + 5)
      const window = ReadWindow.make(
        { read: (offset, length) => Effect.succeed(left.slice(offset, offset + length)) },
        size
      )
      let taken = 0
      const take = ({ length }: Uint8Array) => Effect.sync(() => void (taken += length))
      const done = yield* ReadWindow.forEachBlock(window, { offset: 3, length: size - 3 }, take)
      assert.deepStrictEqual([done, taken], [left.length - 3, left.length - 3])
    })
  )
})
