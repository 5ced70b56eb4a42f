/**
 * Bytes in parts: cut anew, they are the same bytes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"

const Parts = Schema.Array(Schema.Uint8Array).check(Schema.isMaxLength(8))
const length = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))

describe("parts that are cut anew", () => {
  it.prop(
    "are the same bytes, in runs of one length and a last one that is not longer",
    [Parts, length],
    ([parts, length]) => {
      const runs = Bytes.runsOf(parts, length)
      assert.isTrue(Bytes.equals(Bytes.concat(runs.flat()), Bytes.concat([...parts, new Uint8Array(0)])))
      assert.deepStrictEqual(
        runs.slice(0, -1).map(Bytes.lengthOf),
        runs.slice(0, -1).map(() => length)
      )
      const last = runs.at(-1)
      if (last !== undefined) assert.isAtMost(Bytes.lengthOf(last), length)
      assert.isTrue(runs.flat().every((part) => part.length > 0))
    }
  )

  it("are never one view of two buffers, where the second begins at the place at which the first has ended", () => {
    const [one, other] = [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8)]
    const runs = Bytes.runsOf([one.subarray(0, 2), other.subarray(2), one.subarray(2), new Uint8Array(0)], 9)
    assert.deepStrictEqual(
      runs.map((run) => run.map((part) => Array.from(part))),
      [
        [
          [1, 2],
          [7, 8],
          [3, 4]
        ]
      ]
    )
  })

  it("are views of what they were, and one view of neighbours", () => {
    const whole = Uint8Array.of(1, 2, 3, 4, 5)
    const apart = [whole.subarray(0, 1), whole.subarray(1, 4), whole.subarray(4), whole.subarray(1, 2)]
    const runs = Bytes.runsOf(apart, 3)
    assert.deepStrictEqual(
      runs.map((run) => run.map((part) => [part.byteOffset, part.length])),
      [
        [[0, 3]],
        [
          [3, 2],
          [1, 1]
        ]
      ]
    )
    assert.isTrue(runs.flat().every(({ buffer }) => buffer === whole.buffer))
  })
})

describe("views that are taken one after another", () => {
  it.prop("are those that are cut anew each time, from any byte on", [Parts, Schema.Array(length), length], (all) => {
    const [parts, lengths, from] = all
    const take = Bytes.taker(parts, from)
    const whole = Bytes.concat([...parts, new Uint8Array(0)])
    let offset = from
    for (const length of [...lengths, 0, whole.length, 1]) {
      const views = take(length)
      assert.deepStrictEqual(views, Bytes.slice(parts, offset, length))
      assert.isTrue(Bytes.equals(Bytes.concat([...views, new Uint8Array(0)]), whole.subarray(offset, offset + length)))
      offset += length
    }
  })

  it("begin at the first byte where less than nothing is left out", () => {
    const parts = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3)]
    assert.deepStrictEqual(Bytes.concat(Bytes.slice(parts, -5, 3)), Uint8Array.of(1, 2, 3))
    assert.deepStrictEqual(Bytes.slice(parts, -16, -13), [])
  })
})

describe("a plain view", () => {
  it("is of the same bytes, wherever they lie in their buffer, and gives views that are plain as well", () => {
    const buffer = Buffer.from([1, 2, 3, 4]).subarray(1, 3)
    const view = Bytes.plain(buffer)
    assert.deepStrictEqual([view.buffer, view.byteOffset, view.length], [buffer.buffer, buffer.byteOffset, 2])
    assert.isFalse(Buffer.isBuffer(view) || Buffer.isBuffer(view.subarray(1)))
  })
})

describe("hexadecimal", () => {
  it.prop("is written where it goes, and nowhere else", [Schema.Uint8Array, length], ([bytes, before]) => {
    const whole = new Uint8Array(before + bytes.length + 2).fill(0xa5)
    Bytes.writeHex(whole, before, Buffer.from(bytes).toString("hex"))
    const around = [new Uint8Array(before).fill(0xa5), bytes, new Uint8Array(2).fill(0xa5)]
    assert.deepStrictEqual(whole, Bytes.concat(around))
  })
})
