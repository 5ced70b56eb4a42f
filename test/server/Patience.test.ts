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
    let patience = Patience.whole(minimum)
    for (const { more, waited } of all) {
      patience = Patience.left(patience, minimum, waited, waited + more)
      assert.isAtLeast(patience, 0)
      assert.isAtMost(patience, Patience.whole(minimum))
    }
  })

  // Each step is looked at: of a millisecond each there would be half a million.
  const waits = Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 50_000 }))

  it.prop("ends one that is slower, in a time that is known", [waits, upTo(900)], ([waited, rate]) => {
    let patience = Patience.whole(minimum)
    let time = 0
    while (patience >= 0) {
      patience = Patience.left(patience, minimum, waited, (waited * rate) / 1000)
      time += waited
      assert.isAtMost(time, (minimum.windowMilliseconds * 1000) / (1000 - rate) + 2 * waited)
    }
    assert.isAtLeast(time, minimum.windowMilliseconds)
  })

  it("asks nothing when no minimum is set", () => {
    assert.strictEqual(Patience.left(0, { ...minimum, bytesPerSecond: 0 }, 1e9, 0), 0)
  })
})
