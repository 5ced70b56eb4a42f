import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { answerTurnsMax } from "../../../src/domain/limits.ts"
import { confused } from "../../confused.ts"
import {
  flawOf,
  join,
  key,
  baseOf,
  patch,
  periodic,
  random,
  smallBaseOf,
  splice,
  walk,
  wholeOf,
  type Base
} from "./deltas.ts"

const Fraction = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
const Edit = Schema.Struct({
  kind: Schema.Literals(["insert", "delete", "overwrite", "move", "repeat", "cut", "prepend", "byte", "zeros"]),
  at: Fraction,
  to: Fraction,
  length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 }))
})
const Script = Schema.Struct({
  seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  kind: Schema.Literals(["random", "random", "random", "zeros", "periodic", "few", "empty"]),
  size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200_000 })),
  edits: Schema.Array(Edit).check(Schema.isMaxLength(8)),
  averageLog2: Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 12 })),
  groupLog2: Schema.Int.check(Schema.isBetween({ minimum: 11, maximum: 15 })),
  from: Fraction,
  unrelated: Fraction
})
type Script = typeof Script.Type

/** An answer that is there at once, soon, or after all has been walked. */
const Turns = Schema.Literals([0, 1, 400, 501, 502, 505, 510, 550, 2000])

const contentOf = ({ kind, seed, size }: Script): Uint8Array => {
  switch (kind) {
    case "empty":
      return new Uint8Array(0)
    case "zeros":
      return new Uint8Array(size)
    case "periodic":
      return periodic(random(seed, 1 + (seed % 5000)), size)
    // Chunks that come again and again, in any order.
    case "few":
      return join(...Array.from({ length: 1 + (size % 40) }, (_, i) => random((seed >>> (i % 7)) % 3, 4000)))
    case "random":
      return random(seed, size)
  }
}

const edited = (bytes: Uint8Array, { at, kind, length, to }: typeof Edit.Type, seed: number): Uint8Array => {
  const offset = Math.floor((bytes.length * at) / 1000)
  const target = Math.floor((bytes.length * to) / 1000)
  const part = bytes.subarray(offset, offset + length)
  switch (kind) {
    case "insert":
      return splice(bytes, offset, 0, random(seed, length))
    case "delete":
      return splice(bytes, offset, length, new Uint8Array(0))
    case "overwrite":
      return splice(bytes, offset, length, random(seed, part.length))
    case "move":
      return splice(splice(bytes, offset, length, new Uint8Array(0)), target, 0, part)
    case "repeat":
      return splice(bytes, target, 0, part)
    case "cut":
      return bytes.subarray(0, offset)
    case "prepend":
      return join(random(seed, length), bytes)
    case "byte":
      return splice(bytes, offset, 1, Uint8Array.of(seed))
    case "zeros":
      return splice(bytes, offset, length, new Uint8Array(length))
  }
}

const targetOf = (script: Script, base: Uint8Array): Uint8Array =>
  script.unrelated < 50
    ? random(script.seed + 1, script.size)
    : script.edits.reduce((bytes, edit, index) => edited(bytes, edit, script.seed + index + 2), base)

/** Everything that must hold of every delta. */
const checkDelta = Effect.fnUntraced(function* (base: Base, target: Uint8Array, from = 0) {
  const done = yield* walk(base, target, from)
  assert.strictEqual(done.digest, wholeOf(target))
  // Without the digests of beginnings what an earlier try has sent may lead to another cut than the base has.
  const foundOut = from === 0 || base.plain !== true || done.equal
  assert.strictEqual(done.equal, foundOut && Bytes.equals(base.content, target))
  assert.strictEqual(done.walked, target.length)
  if (done.equal) {
    assert.strictEqual(done.ops.length, 0)
    // Nor is anything asked, but in the middle of a group whose beginning is not known.
    if (from === 0 || base.plain !== true) assert.strictEqual(done.cost.chunkQuestions, 0)
  } else {
    assert.strictEqual(flawOf(done.ops, base.content.length, target.length, from), undefined)
    assert.isTrue(Bytes.equals(patch(base.content, target, done.ops, from), target))
  }
  // No group twice, and few questions.
  assert.strictEqual(new Set(done.cost.groupsAsked).size, done.cost.groupsAsked.length)
  assert.isAtMost(done.cost.chunkQuestions, 12)
  assert.isAtMost(done.cost.hashed, 8 * target.length)
  return done
})

describe("a delta", () => {
  it.effect.prop(
    "applied to the base gives the target, whatever was edited",
    [Script, Schema.Boolean, Turns],
    ([script, plain, turns]) => {
      const content = contentOf(script)
      const base = { ...smallBaseOf(content, script.averageLog2, 2 ** script.groupLog2), plain, turns }
      return checkDelta(base, targetOf(script, content))
    },
    { arbitrary: { runs: 400 } }
  )

  it.effect.prop(
    "goes on in the middle",
    [Script, Schema.Boolean, Turns],
    ([script, plain, turns]) => {
      const content = contentOf(script)
      const base = { ...smallBaseOf(content, script.averageLog2, 2 ** script.groupLog2), plain, turns }
      const target = targetOf(script, content)
      return checkDelta(base, target, Math.floor((target.length * script.from) / 1000))
    },
    { arbitrary: { runs: 200 } }
  )

  it.effect("goes on where a group begins, also in a file that ends within it and has begun otherwise", () =>
    Effect.gen(function* () {
      const content = random(3, 100_000)
      const base = { ...smallBaseOf(content, 10, 10_000), turns: 2 * answerTurnsMax }
      for (const { length, offset } of base.groups.slice(1)) {
        const begun = splice(content, 100, 1, Uint8Array.of((content[100] ?? 0) ^ 1))
        for (const end of [1, length - 1, length]) yield* checkDelta(base, begun.subarray(0, offset + end), offset)
      }
    })
  )

  // Few, but long enough for many chunks of the product's size.
  it.effect.prop(
    "applied to the base gives the target, with chunks of 64 KiB",
    [Script, Schema.Boolean, Turns],
    ([script, resumed, turns]) => {
      const content = join(random(script.seed, 700_000), contentOf(script), random(script.seed + 9, 900_000))
      const target = targetOf(script, content)
      return checkDelta(
        { ...baseOf(content), turns },
        target,
        resumed ? Math.floor((target.length * script.from) / 1000) : 0
      )
    },
    { arbitrary: { runs: 60 } }
  )
})

const mebibyte = 1024 * 1024
const four = random(1, 4 * mebibyte)
const fourBase = baseOf(four)

describe("a delta sends little", () => {
  it.effect("of equal contents nothing, and asks nothing", () =>
    Effect.gen(function* () {
      const done = yield* checkDelta(fourBase, four)
      assert.isTrue(done.equal)
      assert.deepStrictEqual([done.cost.chunkQuestions, done.cost.blockQuestions], [0, 0])
      assert.strictEqual(done.cost.hashed, four.length)
      assert.strictEqual(done.cost.read, four.length)
    })
  )

  it.effect("of equal contents nothing without the digests of beginnings either, but hashes each group as well", () =>
    Effect.gen(function* () {
      const done = yield* checkDelta({ ...fourBase, plain: true }, four)
      assert.isTrue(done.equal)
      assert.strictEqual(done.cost.hashed, 2 * four.length)
      assert.strictEqual(done.cost.read, four.length)
    })
  )

  it.effect("of content with the tags of the base, made by someone who knew the key, is never taken for the base", () =>
    Effect.gen(function* () {
      const other = confused(key, four, 16)
      for (const plain of [true, false]) {
        const { digest: whole, equal, ops } = yield* walk({ ...fourBase, plain }, other)
        // Every tag says that it is the base: the digest of the whole is right, and no copy of the base has it.
        assert.isFalse(equal)
        assert.strictEqual(whole, wholeOf(other))
        assert.isTrue(Bytes.equals(patch(four, other, ops), four))
      }
      const elsewhere = yield* checkDelta(
        fourBase,
        confused(
          key.map((byte) => byte ^ 1),
          four,
          16
        )
      )
      assert.isAbove(elsewhere.literals, 0)
    })
  )

  it.effect("of equal contents nothing when an earlier try has left some", () =>
    Effect.gen(function* () {
      for (const from of [1, 1_000_000, four.length - 1, four.length]) {
        const done = yield* checkDelta(fourBase, four, from)
        assert.isTrue(done.equal)
        assert.strictEqual(done.cost.hashed, four.length)
      }
    })
  )

  it.effect("of a beginning that is equal hashes once", () =>
    Effect.gen(function* () {
      const { cost } = yield* checkDelta(fourBase, join(four, random(2, 1000)))
      // The rest is hashed for the whole, cut, and looked at closer.
      assert.isAtMost(cost.hashed, four.length + 3 * 1000)
    })
  )

  it.effect("of nothing nothing, and of something for nothing all", () =>
    Effect.gen(function* () {
      const nothing = baseOf(new Uint8Array(0))
      assert.isTrue((yield* checkDelta(nothing, new Uint8Array(0))).equal)
      assert.strictEqual((yield* checkDelta(nothing, four)).literals, four.length)
      assert.deepStrictEqual((yield* checkDelta(fourBase, new Uint8Array(0))).ops, [])
    })
  )

  it.effect("after one byte has changed", () =>
    Effect.gen(function* () {
      for (const at of [0, 1_000_000, four.length - 1]) {
        const done = yield* checkDelta(fourBase, splice(four, at, 1, Uint8Array.of((four[at] ?? 0) ^ 1)))
        assert.isAtMost(done.literals, 24 * 1024)
        assert.isAtMost(done.cost.rangeBytesAsked, 128 * 1024)
      }
    })
  )

  it.effect("after an insertion at the start, in the middle, at the end", () =>
    Effect.gen(function* () {
      for (const at of [0, 2_000_000, four.length]) {
        const done = yield* checkDelta(fourBase, splice(four, at, 0, random(2, 1000)))
        assert.isAtMost(done.literals, 24 * 1024)
      }
    })
  )

  it.effect("after a deletion", () =>
    Effect.gen(function* () {
      for (const [at, length] of [
        [0, 1000],
        [1_500_000, 300_000],
        [four.length - 1000, 1000]
      ] as const) {
        const done = yield* checkDelta(fourBase, splice(four, at, length, new Uint8Array(0)))
        assert.isAtMost(done.literals, 24 * 1024)
      }
    })
  )

  it.effect("when the halves were swapped", () =>
    Effect.gen(function* () {
      const half = four.length / 2
      const done = yield* checkDelta(fourBase, join(four.subarray(half), four.subarray(0, half)))
      // Blocks of the chunk that the cut goes through, and of the last one, which the end had cut.
      assert.isAtMost(done.literals, 32 * 1024)
    })
  )

  it.effect("of content that has moved asks for the chunks of two groups, where it knows how groups begin", () =>
    Effect.gen(function* () {
      // 64 groups of some 64 chunks, as a large file has them.
      const content = random(8, 4 * mebibyte)
      const base = smallBaseOf(content, 10, 64 * 1024)
      const [third, half] = [Math.floor(content.length / 3), content.length / 2]
      const swapped = join(content.subarray(half), content.subarray(0, half))
      const added = join(random(9, 5000), content)
      const targets: ReadonlyArray<readonly [target: Uint8Array, own: number]> = [
        [swapped, 0],
        [added, 5000],
        [content.subarray(third), 0],
        [join(content.subarray(third), random(9, 100_000), content.subarray(0, third)), 100_000]
      ]
      for (const [target, own] of targets) {
        const { cost, literals } = yield* checkDelta(base, target)
        assert.isAtMost(literals, own + 8 * 1024)
        assert.isAtMost(cost.groupsAsked.length, 2)
      }
      // Where they are not known all chunks are.
      const { cost } = yield* checkDelta({ ...base, plain: true }, swapped)
      assert.strictEqual(cost.groupsAsked.length, base.groups.length)
    })
  )

  it.effect("when more was appended, and nothing but that", () =>
    Effect.gen(function* () {
      const done = yield* checkDelta(fourBase, join(four, random(3, mebibyte)))
      assert.isAtMost(done.literals, mebibyte + 8192)
    })
  )

  it.effect("scattered overwrites cost themselves and a block on each side", () =>
    Effect.gen(function* () {
      const places = [100_000, 900_000, 1_700_000, 2_500_000, 3_900_000]
      const target = places.reduce((bytes, at) => splice(bytes, at, 20_000, random(at, 20_000)), four)
      const done = yield* checkDelta(fourBase, target)
      assert.isAtMost(done.literals, places.length * (20_000 + 2 * 8192))
    })
  )
})
