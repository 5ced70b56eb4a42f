import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type ChunkRules,
  chunkStart,
  type ChunkState,
  gear,
  rulesFor,
  scan
} from "../../../src/domain/transfer/Chunker.ts"
import { join, periodic, random } from "./deltas.ts"

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
const Sizes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9000 }))).check(
  Schema.isMaxLength(8)
)

/** The lengths of the chunks, the last one as it is; the input comes in pieces of these sizes, in turn. */
const lengthsOf = (rules: ChunkRules, bytes: Uint8Array, sizes: ReadonlyArray<number> = []): ReadonlyArray<number> => {
  const lengths: Array<number> = []
  let state: ChunkState = chunkStart
  let length = 0
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const to = Math.min(bytes.length, at + (sizes[index % sizes.length] ?? bytes.length))
    while (at < to) {
      const found = scan(rules, state, bytes, at, to)
      at += found.taken
      length += found.taken
      state = found.state
      if (!found.ended) continue
      lengths.push(length)
      length = 0
    }
  }
  return length > 0 ? [...lengths, length] : lengths
}

const boundariesOf = (lengths: ReadonlyArray<number>, offset = 0): ReadonlyArray<number> => {
  let at = offset
  return lengths.map((length) => (at += length))
}

const rules = rulesFor(10)

/**
 * Content that never has a boundary before the largest size: a byte is taken when the hash that it gives is none. With
 * `early`, content that has one as early as a byte at each place can give.
 */
const adversarial = (length: number, early: boolean): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state: ChunkState = chunkStart
  for (let at = 0; at < length; at++) {
    for (let value = 0; value < 256; value++) {
      bytes[at] = value
      const found = scan(rules, state, bytes, at, at + 1)
      const isEnd = found.ended && state.length + 1 < rules.max
      if (isEnd === early || value === 255) {
        state = found.state
        break
      }
    }
  }
  return bytes
}

const inputs: Record<string, Uint8Array> = {
  random: random(1, 400_000),
  zeros: new Uint8Array(100_000),
  "all 255": new Uint8Array(100_000).fill(255),
  "a period of 1 KiB": periodic(random(2, 1024), 100_000),
  "a period of 37": periodic(random(3, 37), 100_000),
  "a period longer than a chunk": periodic(random(4, 3001), 100_000),
  "few values": random(5, 100_000).map((byte) => byte & 1),
  text: periodic(new TextEncoder().encode("What has a boundary where? "), 100_000),
  "no boundary on purpose": adversarial(50_000, false),
  "boundaries on purpose": adversarial(50_000, true)
}

describe("chunks", () => {
  it("are cut by the rules that the documentation gives", () => {
    assert.deepStrictEqual(rulesFor(16), {
      min: 32_768,
      normal: 65_536,
      max: 131_072,
      // 15 bits find half an average; 2 more before the normal size, 2 less behind it.
      maskBefore: 0xffff_8000 | 0,
      maskAfter: 0xfff8_0000 | 0
    })
    for (let averageLog2 = 10; averageLog2 <= 23; averageLog2++) {
      const { maskAfter, maskBefore, max, min, normal } = rulesFor(averageLog2)
      const bits = (mask: number) => (mask >>> 0).toString(2).replaceAll("0", "").length
      assert.deepStrictEqual([min * 2, normal, max / 2], [2 ** averageLog2, 2 ** averageLog2, 2 ** averageLog2])
      assert.deepStrictEqual([bits(maskBefore), bits(maskAfter)], [averageLog2 + 1, averageLog2 - 3])
    }
  })

  it("use the gear table that anyone can make", () => {
    const expected = Array.from({ length: 256 }, (_, index) =>
      createHash("sha256").update(`paradrop gear ${index}`).digest().readInt32BE(0)
    )
    assert.deepStrictEqual([...gear()], expected)
  })

  it("keep their boundaries: both ends and every kept signature depend on them", () => {
    assert.deepStrictEqual(
      boundariesOf(lengthsOf(rules, random(1, 16_384))),
      [1055, 1642, 2732, 3925, 5001, 6145, 7369, 8614, 9260, 10_294, 11_332, 12_276, 13_372, 14_535, 15_792, 16_384]
    )
  })

  it.prop("are as the plain definition says", [Seed], ([seed]) => {
    const bytes = random(seed, 5000 + (seed % 9000))
    assert.deepStrictEqual(lengthsOf(rules, bytes), slowLengthsOf(rules, bytes))
  })

  it.prop("are the same however the input is split", [Seed, Sizes], ([seed, sizes]) => {
    const bytes = random(seed, 30_000)
    assert.deepStrictEqual(lengthsOf(rules, bytes, sizes), lengthsOf(rules, bytes))
  })

  it("are the same byte by byte, and from a Buffer", () => {
    for (const bytes of Object.values(inputs)) {
      const start = bytes.subarray(0, 40_000)
      assert.deepStrictEqual(lengthsOf(rules, start, [1]), lengthsOf(rules, start))
      assert.deepStrictEqual(lengthsOf(rules, Buffer.from(start)), lengthsOf(rules, start))
    }
  })

  it.prop("depend on content alone: elsewhere it is cut alike", [Seed], ([seed]) => {
    const content = random(seed, 250_000)
    const shift = 1 + (seed % 5000)
    const there = new Set(boundariesOf(lengthsOf(rules, join(random(seed + 1, shift), content))))
    const here = boundariesOf(lengthsOf(rules, content)).map((at) => at + shift)
    const first = here.findIndex((at) => there.has(at))
    // From the first common boundary on all are common, and it comes soon.
    assert.isAtLeast(first, 0)
    assert.isAtMost((here[first] ?? 0) - shift, 200_000)
    assert.isTrue(here.slice(first).every((at) => there.has(at)))
  })

  for (const [name, bytes] of Object.entries(inputs)) {
    it(`keep their sizes, and cost a step a byte at most: ${name}`, () => {
      let steps = 0
      // Counts each byte that is looked at.
      const watched = new Proxy(bytes, {
        get: (target, key) => {
          if (typeof key === "string" && /^\d+$/.test(key)) steps += 1
          return Reflect.get(target, key, target)
        }
      })
      const lengths = lengthsOf(rules, watched, [7777])
      assert.deepStrictEqual(lengths, lengthsOf(rules, bytes))
      for (const length of lengths.slice(0, -1)) {
        assert.isAbove(length, rules.min)
        assert.isAtMost(length, rules.max)
      }
      assert.isAtMost(lengths.at(-1) ?? 0, rules.max)
      // The first `min` bytes of a chunk are not looked at.
      const expected = lengths.reduce((total, length) => total + Math.max(0, length - rules.min), 0)
      assert.strictEqual(steps, expected)
    })
  }

  it("have about the average size on random bytes", () => {
    for (const averageLog2 of [10, 12, 14]) {
      const lengths = lengthsOf(rulesFor(averageLog2), random(averageLog2, 2 ** (averageLog2 + 9)))
      assert.isAtLeast(lengths.length, 2 ** 9 / 1.25)
      assert.isAtMost(lengths.length, 2 ** 9 * 1.25)
    }
  })
})

/** The definition, a byte at a time. */
const slowLengthsOf = (rules: ChunkRules, bytes: Uint8Array): ReadonlyArray<number> => {
  const lengths: Array<number> = []
  let length = 0
  let hash = 0
  for (const byte of bytes) {
    length += 1
    if (length > rules.min) {
      hash = (Math.imul(hash, 2) + (gear()[byte] ?? 0)) | 0
      const mask = length > rules.normal ? rules.maskAfter : rules.maskBefore
      if ((hash & mask) !== 0 && length < rules.max) continue
      lengths.push(length)
      length = 0
      hash = 0
    }
  }
  return length > 0 ? [...lengths, length] : lengths
}
