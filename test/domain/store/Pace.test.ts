import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  diskBlockingMillisecondsMax,
  diskPooledMilliseconds,
  diskQuickBytes,
  diskQuickMillisecondsMax
} from "../../../src/domain/limits.ts"
import * as Pace from "../../../src/domain/store/Pace.ts"

const slow = diskQuickMillisecondsMax * 2
const quick = diskQuickMillisecondsMax
const after = (calls: ReadonlyArray<number>, now = 0, bytes = 0): Pace.Pace =>
  calls.reduce((pace, milliseconds) => Pace.blocked(pace, now, milliseconds, bytes), Pace.unknown)

const Quick = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: diskQuickMillisecondsMax }))
const Time = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))

describe("the pace of a disk", () => {
  it.prop("lets calls block as long as they are quick", [Schema.Array(Quick), Time], ([calls, now]) => {
    assert.isTrue(Pace.mayBlock(after(calls, now), now))
  })

  it("lets them block when one in sixteen lost the processor to others", () => {
    const calls = Array.from({ length: 1_000 }, (_, index) => (index % 16 === 0 ? slow : quick))
    assert.isTrue(Pace.mayBlock(after(calls), 0))
  })

  it("sends them to the pool after five slow ones in a row, and not before", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5].map((count) => Pace.mayBlock(after(Array.from({ length: count }, () => slow)), 0)),
      [true, true, true, true, false]
    )
  })

  it("expects no more of a larger call than of as many smaller ones", () => {
    const calls = Array.from({ length: 16 }, () => 4 * quick)
    assert.isTrue(Pace.mayBlock(after(calls, 0, 4 * diskQuickBytes), 0))
    assert.isFalse(Pace.mayBlock(after(calls, 0, 3 * diskQuickBytes), 0))
  })

  it("sends them there after a single one that held up everybody", () => {
    assert.isTrue(Pace.mayBlock(after([diskBlockingMillisecondsMax]), 0))
    assert.isFalse(Pace.mayBlock(after([diskBlockingMillisecondsMax + 1]), 0))
  })

  it.prop("tries again after a while, knowing nothing", [Time], ([now]) => {
    const pace = after([diskBlockingMillisecondsMax + 1], now)
    assert.isFalse(Pace.mayBlock(pace, now + diskPooledMilliseconds - 1))
    assert.isTrue(Pace.mayBlock(pace, now + diskPooledMilliseconds))
    assert.strictEqual(pace.slow, 0)
  })
})
