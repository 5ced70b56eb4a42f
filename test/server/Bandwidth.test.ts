/**
 * Shares of the bandwidth while rates change, and while those who wait for theirs go.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { Bandwidth, type Share } from "../../src/server/Bandwidth.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"

const join = (user: string) => Bandwidth.use((bandwidth) => bandwidth.join(user, undefined))

/** Two sessions of two accounts, and a way to set the rate at which the server sends. */
const shared = (
  body: (
    one: Share,
    other: Share,
    set: (bytesPerSecond: number) => void
  ) => Effect.Effect<void, never, Bandwidth | Scope.Scope>
) =>
  Effect.suspend(() => {
    const limits = { ...defaultLimits, sendBytesPerSecond: 1_000 }
    return Effect.gen(function* () {
      const [one, other] = [yield* join("ada"), yield* join("grace")]
      // What a silent flow may send at once is used up.
      one.take("sent", 250)
      yield* body(one, other, (bytesPerSecond) => void (limits.sendBytesPerSecond = bytesPerSecond))
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Bandwidth.layer, Layer.succeed(ServerLimits, limits))))
  })

describe("Bandwidth", () => {
  it.effect("what waited when the rate changed waits as the new one says, and so does who comes later", () =>
    shared((one, other, set) =>
      Effect.gen(function* () {
        assert.strictEqual(one.take("sent", 100_000), 100_000)
        assert.strictEqual(other.take("sent", 100_000), 200_000)
        yield* TestClock.adjust(50_000)
        assert.strictEqual(one.left("sent"), 50_000)
        set(100_000)
        assert.strictEqual(one.left("sent"), 500)
        assert.strictEqual(other.left("sent"), 1_500)
        assert.strictEqual((yield* join("grace")).take("sent", 100_000), 2_500)
        set(0)
        assert.strictEqual(one.left("sent"), 0)
        set(10_000)
        assert.strictEqual(other.left("sent"), 15_000)
      })
    )
  )

  it.effect("what is given back nobody waits for", () =>
    shared((one, other) =>
      Effect.sync(() => {
        one.take("sent", 100_000)
        assert.strictEqual(other.take("sent", 1_000), 101_000)
        one.giveBack("sent")
        one.giveBack("sent")
        assert.strictEqual(one.left("sent"), 0)
        assert.strictEqual(other.left("sent"), 1_000)
      })
    )
  )

  it.effect("what is given back in the middle moves those behind it up, and nobody before it", () =>
    shared((one, other) =>
      Effect.gen(function* () {
        const last = yield* join("eve")
        one.take("sent", 10_000)
        for (let round = 0; round < 3; round += 1) {
          assert.strictEqual(other.take("sent", 5_000), 15_000)
          assert.strictEqual(last.take("sent", 1_000), 16_000)
          other.giveBack("sent")
          assert.strictEqual(one.left("sent"), 10_000)
          assert.strictEqual(last.left("sent"), 11_000)
          last.giveBack("sent")
          assert.strictEqual(one.left("sent"), 10_000)
        }
        assert.strictEqual(last.take("sent", 1_000), 11_000)
      })
    )
  )

  it.effect("a session that has gone leaves nothing behind, and what it took is still owed", () =>
    shared((one, other) =>
      Effect.gen(function* () {
        const first = yield* Effect.scoped(
          Effect.map(join("eve"), (gone) => {
            gone.take("sent", 1_000)
            return gone
          })
        )
        other.take("sent", 2_000)
        one.take("sent", 4_000)
        other.giveBack("sent")
        assert.strictEqual(first.left("sent"), 1_000)
        assert.strictEqual(one.left("sent"), 5_000)
      })
    )
  )
})
