/**
 * The memory that a client's socket reads into: nothing is written over while somebody may look at it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as ReadRing from "../../src/client/ReadRing.ts"
import { readRingBytes, socketReadBytes } from "../../src/domain/limits.ts"

const sizes = { whole: 64, step: 8, kept: 20 }

/** Bytes of a stream, from one place to another. */
const stream = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => (from + index) % 251)

const Steps = Schema.Array(
  Schema.Union([
    // so many bytes come, if reads are possible and their place is as large
    Schema.Struct({ come: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: sizes.step })) }),
    Schema.Literal("take")
  ])
).check(Schema.isMaxLength(200))

describe("a ring", () => {
  it.prop("gives what came in order, and keeps the last of what was taken", [Steps], ([steps]) => {
    const ring = ReadRing.make(sizes)
    let place = ring.next()
    let [came, taken, reading] = [0, 0, true]
    let looked: Array<Uint8Array> = []
    for (const step of steps) {
      if (step === "take") {
        const views = ring.take()
        looked.push(...views)
        for (const view of views) {
          assert.deepStrictEqual([...view], stream(taken, taken + view.length))
          taken += view.length
        }
        assert.strictEqual(taken, came)
        reading ||= ring.hasRoom()
      } else if (reading) {
        place.set(stream(came, came + step.come))
        came += step.come
        reading = ring.came(step.come)
        place = ring.next()
      }
      // A transport that waits for more may still look at the last bytes that it took.
      const all = looked.flatMap((view) => [...view]).slice(-sizes.kept)
      assert.deepStrictEqual(all, stream(taken - all.length, taken))
      looked = looked.slice(-sizes.kept)
    }
    ring.take()
    assert.isTrue(ring.hasRoom())
  })

  it("stops reads before what was not taken is written over, and goes on when it was", () => {
    const ring = ReadRing.make(sizes)
    let came = 0
    do came += ring.next().length
    while (ring.came(sizes.step))
    assert.strictEqual(came, 56)
    assert.isFalse(ring.hasRoom())
    assert.deepStrictEqual(
      ring.take().map(({ length }) => length),
      [56]
    )
    ring.take()
    assert.isTrue(ring.hasRoom())
  })

  it("gives what followed one another as one piece, and none that is all of its buffer", () => {
    const ring = ReadRing.make(sizes)
    for (const bytes of [3, 8, 1]) {
      ring.next()
      ring.came(bytes)
    }
    const views = ring.take()
    assert.deepStrictEqual(
      views.map(({ byteOffset, length }) => [byteOffset, length]),
      [[0, 12]]
    )
    assert.deepStrictEqual(ring.take(), [])
    assert.strictEqual(views[0]?.buffer.byteLength, sizes.whole + 1)
  })

  it("of a client has a place of the usual size", () => {
    const place = ReadRing.make().next()
    assert.strictEqual(place.length, socketReadBytes)
    assert.strictEqual(place.buffer.byteLength, readRingBytes + 1)
  })
})
