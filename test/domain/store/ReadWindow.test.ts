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
})
