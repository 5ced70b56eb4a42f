import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as TokenBucket from "../../../src/domain/channel/TokenBucket.ts"

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))
const takes = Schema.Array(Schema.Struct({ after: upTo(2_000), bytes: upTo(300_000) })).check(Schema.isMaxLength(50))

describe("TokenBucket", () => {
  it.prop(
    "lets no more pass than rate and burst, and keeps nobody waiting longer",
    [upTo(10_000_000), takes],
    (given) => {
      const [rate, all] = given
      let bucket = TokenBucket.full
      let now = 1_000_000
      let total = 0
      const start = now
      for (const { after, bytes } of all) {
        const taken = TokenBucket.take(bucket, rate, now, bytes)
        bucket = taken.bucket
        total += bytes
        assert.isAtLeast(taken.waitMilliseconds, 0)
        const passed = now + taken.waitMilliseconds - start
        assert.isAtMost(total, ((passed + TokenBucket.burstMilliseconds) * rate) / 1000 + 1)
        // At worst everything so far is still to be paid for.
        assert.isAtMost(taken.waitMilliseconds, (total * 1000) / rate)
        now += after
      }
    }
  )

  it.prop(
    "a flow that was silent, however long, sends one burst at once and no more",
    [upTo(10_000_000), upTo(100_000_000), upTo(10_000_000)],
    ([rate, silence, bytes]) => {
      const { bucket } = TokenBucket.take(TokenBucket.full, rate, 0, 1)
      const { waitMilliseconds } = TokenBucket.take(bucket, rate, silence, bytes)
      assert.isAtLeast(waitMilliseconds, (bytes * 1000) / rate - TokenBucket.burstMilliseconds - 0.001)
    }
  )

  it.prop("those who take at once are served one after the other", [upTo(1_000_000), takes], ([rate, all]) => {
    let bucket = TokenBucket.full
    let before = 0
    for (const { bytes } of all) {
      const taken = TokenBucket.take(bucket, rate, 5_000, bytes)
      bucket = taken.bucket
      assert.isAtLeast(taken.waitMilliseconds, before)
      before = taken.waitMilliseconds
    }
  })
})
