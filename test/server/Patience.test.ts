import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Patience from "../../src/server/Patience.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

describe("Patience", () => {
  const minimum = { bytesPerSecond: 1000, windowMilliseconds: 60_000 }
  const steps = Schema.Array(Schema.Struct({ waited: upTo(50_000), more: Schema.Natural })).check(
    Schema.isMaxLength(50)
  )

  it.prop("never ends a transfer that keeps the rate", [steps], ([all]) => {
    let patience = Patience.whole
    for (const { more, waited } of all) {
      patience = Patience.used(patience, minimum, waited, waited + more)
      assert.strictEqual(patience, Patience.whole)
      assert.isFalse(Patience.isOver(patience, minimum))
    }
  })

  // Each step is looked at: of a millisecond each there would be half a million.
  const waits = Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 50_000 }))

  it.prop("ends one that is slower, in a time that is known", [waits, upTo(900)], ([waited, rate]) => {
    let patience = Patience.whole
    let time = 0
    while (!Patience.isOver(patience, minimum)) {
      patience = Patience.used(patience, minimum, waited, (waited * rate) / 1000)
      time += waited
      assert.isAtMost(time, (minimum.windowMilliseconds * 1000) / (1000 - rate) + 2 * waited)
    }
    assert.isAtLeast(time, minimum.windowMilliseconds)
  })

  it("asks nothing when no minimum is set", () => {
    assert.strictEqual(Patience.used(0, { ...minimum, bytesPerSecond: 0 }, 1e9, 0), 0)
  })

  it("is as long as a minimum says that came meanwhile, whatever the one before was", () => {
    for (const before of [
      { bytesPerSecond: 0, windowMilliseconds: 60_000 },
      { bytesPerSecond: 1, windowMilliseconds: 1_000 }
    ]) {
      const patience = Patience.used(Patience.used(Patience.whole, before, 500, 0), before, 0, 1_000)
      const paused = Patience.used(patience, minimum, 60_000, 0)
      assert.isFalse(Patience.isOver(paused, minimum))
      assert.isTrue(Patience.isOver(Patience.used(paused, minimum, 1, 0), minimum))
    }
  })
})
