import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { behind, type Part, plan, stays, wanted } from "../../src/client/Updater.ts"
import { rangeBytes } from "../../src/domain/file/Packed.ts"
import { contentBlockBytes, findingsWaitingMax, packedBytesMax } from "../../src/domain/limits.ts"
import {
  type Base,
  baseOf,
  digest,
  join,
  optionsOf,
  periodic,
  random,
  smallBaseOf,
  splice
} from "../domain/transfer/deltas.ts"

const Parts = Schema.Array(
  Schema.Struct({ local: Schema.Boolean, length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 })) })
)

describe("what is behind the beginning of a plan", () => {
  it.prop(
    "is the same bytes from the same places",
    [Parts, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))],
    ([given, from]) => {
      let at = 0
      const parts = given.map(({ length, local }): Part => {
        const offset = local ? 1000 - at : at
        at += length
        return { _tag: local ? "Local" : "Wanted", offset, length }
      })
      const bytes = (some: ReadonlyArray<Part>) =>
        some.flatMap(({ _tag, length, offset }) =>
          Array.from({ length }, (_, index) => `${_tag} ${String(offset + index)}`)
        )
      assert.deepStrictEqual(bytes(behind(parts, from)), bytes(parts).slice(from))
      assert.isTrue(behind(parts, from).every(({ length }) => length > 0))
    }
  )
})

describe("what stays where it is", () => {
  const large = contentBlockBytes + 1
  const wantedFrom = (offset: number): Part => ({ _tag: "Wanted", offset, length: 10 })
  const rows: ReadonlyArray<readonly [string, boolean, ReadonlyArray<Part>]> = [
    ["a large part in its place", true, [wantedFrom(0), { _tag: "Local", offset: 10, length: large }]],
    ["a small one", false, [wantedFrom(0), { _tag: "Local", offset: 10, length: large - 1 }]],
    ["one that moved", false, [wantedFrom(0), { _tag: "Local", offset: 9, length: large }]],
    ["what is not here", false, [{ _tag: "Wanted", offset: 0, length: large }]]
  ]
  for (const [title, is, parts] of rows) {
    it(`is${is ? "" : " not"} ${title}`, () => assert.strictEqual(stays(parts), is))
  }
})

/** The parts of a plan with a server that says the truth, having checked that they are the server's file. */
const partsFor = Effect.fnUntraced(function* (base: Base, copy: Uint8Array) {
  const { options } = optionsOf(base, copy)
  const { parts } = yield* plan(digest, options.local, options.coarse, options)
  let at = 0
  for (const { _tag, length, offset } of parts) {
    assert.isAbove(length, 0)
    if (_tag === "Wanted") assert.strictEqual(offset, at)
    else {
      const there = base.content.subarray(at, at + length)
      assert.isTrue(Buffer.compare(copy.subarray(offset, offset + length), there) === 0, `the part at ${at}`)
    }
    at += length
  }
  assert.strictEqual(at, base.content.length)
  return parts
})

const bytesOf = (parts: ReadonlyArray<{ readonly length: number }>) =>
  parts.reduce((sum, { length }) => sum + length, 0)

describe("the parts of a plan", () => {
  it.effect("are as few as can be: what goes on in both files is one", () =>
    Effect.gen(function* () {
      const content = random(3, 1_000_000)
      const copy = splice(splice(content, 300_000, 3, Uint8Array.of(1, 2, 3)), 700_000, 3, Uint8Array.of(1, 2, 3))
      const parts = yield* partsFor(baseOf(content), copy)
      assert.deepStrictEqual(
        parts.map(({ _tag }) => _tag),
        ["Local", "Wanted", "Local", "Wanted", "Local"]
      )
    })
  )

  it.effect("want no more ranges than one message holds, and for that the fewest bytes of what is here", () =>
    Effect.gen(function* () {
      const rangesMax = packedBytesMax / rangeBytes
      const base = smallBaseOf(random(6, 16_000_000), 10, 65_536)
      const chunks = base.groups.flatMap((group) => group.chunks)
      // Of each three chunks the copy lacks the first, and has the others the other way round: two parts side by side.
      // None is where it would be if those before had only been overwritten, which would be taken for that.
      const runs = Array.from({ length: rangesMax + 200 }, (_, index) => chunks.slice(3 * index + 1, 3 * index + 3))
      const here = runs.flatMap((run) => run.toReversed())
      const copy = join(...here.map(({ length, offset }) => base.content.subarray(offset, offset + length)))
      const parts = yield* partsFor(base, copy)
      assert.strictEqual(wanted(parts).length, rangesMax)
      // Behind the last run there is more to want.
      const excess = runs.length + 1 - rangesMax
      const lengths = runs.map(bytesOf).toSorted((a, b) => a - b)
      const missing = base.content.length - bytesOf(here)
      assert.strictEqual(
        bytesOf(wanted(parts)),
        missing + bytesOf(lengths.slice(0, excess).map((length) => ({ length })))
      )
    })
  )
})

/** Content of a few units in any order, as an image of a disk with zeros has it: much of it comes again. */
const repetitive = (seed: number, units: ReadonlyArray<number>): Uint8Array =>
  join(
    ...units.map((unit) => {
      if (unit < 4) return new Uint8Array(3_000 + 500 * unit)
      return unit < 8 ? periodic(random(seed + unit, 7 * unit), 6_000) : random(seed + (unit % 3), 5_000)
    })
  )

const Units = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))).check(
  Schema.isMaxLength(30)
)

describe("content that comes again and again", () => {
  const mebibyte = 1024 * 1024
  const zeros = new Uint8Array(6 * mebibyte)
  const marked = [1_000_000, 2_222_222, 3_700_000, 5_555_555].reduce<Uint8Array>(
    (all, at) => splice(all, at, 1, Uint8Array.of(1)),
    zeros
  )

  it.effect("is wanted nowhere when the copy has it somewhere", () =>
    Effect.gen(function* () {
      const parts = yield* partsFor(baseOf(zeros), marked)
      assert.deepStrictEqual(wanted(parts), [])
    })
  )

  it.effect("is wanted where it differs, and a block around that", () =>
    Effect.gen(function* () {
      const parts = yield* partsFor(baseOf(marked), zeros)
      assert.isAtMost(bytesOf(wanted(parts)), 4 * 2 * 8192)
    })
  )

  it.effect("is wanted nowhere but at the seam when the file has the copy twice", () =>
    Effect.gen(function* () {
      const copy = random(12, 2 * mebibyte)
      const parts = yield* partsFor(baseOf(join(copy, copy)), copy)
      // The chunks that hold the seam, and the last, which ends where the file does.
      assert.isAtMost(bytesOf(wanted(parts)), 200 * 1024)
    })
  )

  it.effect("is wanted only where it was written over, though the copy's zeros were found elsewhere", () =>
    Effect.gen(function* () {
      const file = new Uint8Array(2 * mebibyte)
      const places = Array.from({ length: 10 }, (_, index) => 110_000 + 190_000 * index)
      for (const at of places) file.set(random(at, 20_000), at)
      const parts = yield* partsFor(baseOf(file), new Uint8Array(2 * mebibyte))
      assert.isAtMost(bytesOf(wanted(parts)), places.length * 30_000)
    })
  )

  it.effect("is looked for by blocks also where more differs than one look takes", () =>
    Effect.gen(function* () {
      const places = Array.from({ length: findingsWaitingMax + 20 }, (_, index) => index * 60_000 + 17)
      const copy = places.reduce<Uint8Array>(
        (all, at) => all.fill(0, at, at + 40_000),
        random(9, 60_000 * places.length)
      )
      const marks = places.reduce<Uint8Array>((all, at) => all.fill(1, at + 30_000, at + 30_001), copy.slice())
      const parts = yield* partsFor(smallBaseOf(marks, 14, 2 * mebibyte), copy)
      assert.isAtMost(bytesOf(wanted(parts)), places.length * 8192)
    })
  )

  it.effect(
    "is no more than the server's file has of it, though the tag of its last chunk be that of a longer one",
    () =>
      Effect.gen(function* () {
        const base = smallBaseOf(random(4, 200_001), 12, 32_768)
        const [first, last] = [base.groups[0]?.chunks[0], base.groups.at(-1)?.chunks.at(-1)]
        const copy = base.groups.reduce(
          (all, { chunks, length, offset }) => splice(all, offset + length - 1, 1, random(chunks.length, 1)),
          base.content
        )
        const { options } = optionsOf(base, copy)
        const chunksOf = (from: number, count: number) =>
          Effect.map(options.chunksOf(from, count), (lists) =>
            lists.map((chunks) => chunks.map((one) => (one === last ? { ...one, digest: first?.digest ?? "" } : one)))
          )
        const { parts } = yield* plan(digest, options.local, options.coarse, { ...options, chunksOf })
        assert.isBelow(last?.length ?? 0, first?.length ?? 0)
        assert.strictEqual(bytesOf(parts), base.content.length)
      })
  )

  it.effect.prop("gives the server's file", [Units, Units, Schema.Literals([10, 11, 12])], ([here, there, log]) =>
    partsFor(smallBaseOf(repetitive(3, there), log, 3 * 2 ** log), repetitive(3, here))
  )
})
