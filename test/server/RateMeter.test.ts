import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RateMeter from "../../src/server/RateMeter.ts"

const rate = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
const step = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

/** A steady flow of `rate` bytes in each millisecond, told every `step` milliseconds, until `end`. */
const steady = (bytesPerMillisecond: number, every: number, end: number): RateMeter.RateMeter => {
  let meter = RateMeter.silent
  for (let now = every; now <= end; now += every) meter = RateMeter.add(meter, now, bytesPerMillisecond * every)
  return meter
}

describe("RateMeter", () => {
  it.prop("comes to the rate of a steady flow, however it is cut", [rate, step], ([bytes, every]) => {
    const end = 20 * RateMeter.rateMeterMilliseconds
    const shown = RateMeter.read(steady(bytes, every, end), end)
    assert.closeTo(shown / (bytes * 1000), 1, 0.02)
  })

  it.prop("falls when nothing comes any more, and never below nothing", [rate, step], ([bytes, every]) => {
    const end = RateMeter.rateMeterMilliseconds
    const meter = steady(bytes, every, end)
    const later = [0, 1, 1000, 10 * end, 1000 * end].map((more) => RateMeter.read(meter, end + more))
    assert.deepStrictEqual(
      later,
      later.toSorted((a, b) => b - a)
    )
    assert.isAtLeast(later[4] ?? -1, 0)
    assert.isBelow(later[3] ?? 0, bytes)
  })

  it.prop("a clock that goes back changes nothing but the order", [rate, step], ([bytes, back]) => {
    const meter = RateMeter.add(RateMeter.silent, 1000, bytes)
    assert.strictEqual(RateMeter.read(meter, 1000 - back), RateMeter.read(meter, 1000))
    assert.strictEqual(RateMeter.add(meter, 1000 - back, 0).at, 1000)
  })
})
