/**
 * What a walk may cost at most, whatever the contents; and what becomes of it when the peer lies or something fails.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Result, Schema } from "effect"
import { ContentDigest, type Digest } from "../../../src/domain/file/Digest.ts"
import {
  answerTurnsMax,
  copyRunBytesMax,
  groupsPassedMax,
  hintBytesMax,
  hintRatioMax,
  seamPieceBytesMin,
  movedSearchBytesMax,
  windowBytes
} from "../../../src/domain/limits.ts"
import { seamOf } from "../../../src/domain/transfer/Seams.ts"
import { makeLook } from "../../../src/domain/transfer/CloserLook.ts"
import { type DeltaOptions, sendDelta } from "../../../src/domain/transfer/Delta.ts"
import { type Found, lookBytesMax } from "../../../src/domain/transfer/Findings.ts"
import { LocalShrank } from "../../../src/domain/transfer/LocalReader.ts"
import { match } from "../../../src/domain/transfer/Match.ts"
import { refine } from "../../../src/domain/transfer/Refine.ts"
import { rulesFor } from "../../../src/domain/transfer/Chunker.ts"
import {
  averageLog2For,
  blockHash,
  blockRules,
  chunkHash,
  makeCutter,
  type Piece
} from "../../../src/domain/transfer/Signature.ts"
import { checkBlocks, checkChunks, checkCoarse } from "../../../src/domain/transfer/SignatureCheck.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import {
  type Base,
  baseOf,
  cutAll,
  digest,
  flawOf,
  join,
  key,
  optionsOf,
  patch,
  periodic,
  random,
  smallBaseOf,
  sourceOf,
  splice,
  walk,
  wholeOf
} from "./deltas.ts"

type Options = DeltaOptions<never, never, never>

const mebibyte = 1024 * 1024
const content = random(11, 6 * mebibyte)
const base = baseOf(content)
const chunks = base.groups.flatMap((group) => group.chunks)

const bytesOf = ({ length, offset }: { readonly length: number; readonly offset: number }): Uint8Array =>
  content.subarray(offset, offset + length)

const chunk = (index: number): Uint8Array => {
  const piece = chunks[index % chunks.length]
  return piece === undefined ? new Uint8Array(0) : bytesOf(piece)
}

// The smallest chunk of all: the more hits, the more often a search begins.
const smallest = chunks.slice(0, -1).reduce((least, piece) => (piece.length < least.length ? piece : least))

const noise = (seed: number): Uint8Array => random(seed, 33_000)

const many = (count: number, part: (index: number) => Uint8Array): Uint8Array =>
  join(...Array.from({ length: count }, (_, index) => part(index)))

// A base whose chunks all are as small as the rules allow, as far as content can force it: one small chunk, repeated.
const tiny = baseOf(periodic(bytesOf(smallest), 6 * mebibyte))

const targets: Record<string, readonly [Base, Uint8Array]> = {
  "all bytes equal, more of them": [baseOf(new Uint8Array(3 * mebibyte)), new Uint8Array(5 * mebibyte + 1)],
  "all bytes equal, fewer": [baseOf(new Uint8Array(3 * mebibyte)), new Uint8Array(2 * mebibyte - 7)],
  "all bytes equal, but other ones": [baseOf(new Uint8Array(3 * mebibyte)), new Uint8Array(3 * mebibyte).fill(7)],
  "a period of one chunk": [tiny, periodic(bytesOf(smallest), 5 * mebibyte)],
  "a period of one chunk, shifted": [tiny, join(random(1, 999), periodic(bytesOf(smallest), 5 * mebibyte))],
  "a period of one chunk and noise": [tiny, many(60, (index) => join(bytesOf(smallest), noise(index)))],
  "the last chunk of every group, again and again": [
    base,
    many(80, (index) => {
      const group = base.groups[index % base.groups.length]
      const last = group?.chunks.at(-1)
      return last === undefined ? new Uint8Array(0) : bytesOf(last)
    })
  ],
  "chunks of two groups in turn": [base, many(80, (index) => chunk(index % 2 === 0 ? 3 : 60))],
  "every hit is followed by a miss": [base, many(80, (index) => join(bytesOf(smallest), noise(index)))],
  "a hit at the end of every block": [base, many(16, (index) => join(random(index, 200_000), bytesOf(smallest)))],
  backwards: [base, many(chunks.length, (index) => chunk(chunks.length - 1 - index))],
  "backwards with noise between": [
    base,
    many(chunks.length, (index) => join(chunk(chunks.length - 1 - index), noise(index)))
  ],
  "every sixth chunk differs from what is expected": [
    base,
    many(chunks.length, (index) => (index % 6 === 5 ? noise(index) : chunk(index)))
  ],
  "five of six chunks differ in place": [
    base,
    many(chunks.length, (index) => (index % 6 === 5 ? chunk(index) : random(index, chunk(index).length)))
  ],
  "one byte of every group": [
    base,
    base.groups.reduce((all, { offset }) => splice(all, offset, 1, random(offset, 1)), content)
  ],
  "nothing in common": [base, random(12, 6 * mebibyte)]
}

describe("the work of a walk", () => {
  const cases = Object.entries(targets).flatMap(([name, [other, target]]) => [
    [name, other, target] as const,
    [`${name}; answers take long`, { ...other, turns: 2000 }, target] as const,
    [`${name}; answers take a while`, { ...other, turns: answerTurnsMax + 4 }, target] as const
  ])
  for (const [name, other, target] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { cost, digest: whole, equal, ops } = yield* walk(other, target)
        assert.strictEqual(whole, wholeOf(target))
        assert.isFalse(equal)
        assert.strictEqual(flawOf(ops, other.content.length, target.length, 0), undefined)
        assert.deepStrictEqual(wholeOf(patch(other.content, target, ops)), whole)
        // The whole, a group, a chunk, what a search cuts again, and closer looks: at blocks near, at all blocks, and
        // twice at the ends of what is left: 7.3 was the most seen.
        assert.isAtMost(cost.hashed, 8 * target.length)
        assert.isAtMost(cost.read, 8 * target.length)
        assert.isAtMost(cost.chunkQuestions, 9)
        assert.isAtMost(cost.rangeBytesAsked, hintRatioMax * target.length)
        assert.strictEqual(new Set(cost.groupsAsked).size, cost.groupsAsked.length)
      })
    )
  }

  it.effect.each([1, 150, 4_000, 5_000])("a hint is no more than so many times as long as what differs: %s", (length) =>
    Effect.gen(function* () {
      const [last] = chunks.slice(-2)
      const whole = content.subarray(0, (last?.offset ?? 0) + (last?.length ?? 0))
      // Behind the last chunk, where nothing of the other file is left to be its older form.
      const { options } = optionsOf(baseOf(whole), join(whole, random(14, length)))
      const hints: Array<number | undefined> = []
      yield* match({
        ...options,
        emit: (found) => Effect.sync(() => void (found._tag === "Unknown" && hints.push(found.hint?.length)))
      })
      const hint = length + 2 ** (averageLog2For(whole.length) + 1)
      assert.deepStrictEqual(hints, [hint <= hintRatioMax * length ? hint : undefined])
    })
  )

  it.effect("a part too long for a closer look is passed on before the walk ends", () =>
    Effect.gen(function* () {
      const target = random(13, lookBytesMax + 4 * mebibyte)
      const { options } = optionsOf(base, target)
      const seen: Array<readonly [length: number, walked: number]> = []
      let walked = 0
      yield* match({
        ...options,
        walked: (bytes) => void (walked += bytes),
        emit: ({ length }) => Effect.sync(() => void seen.push([length, walked]))
      })
      assert.isAbove(seen.length, 1)
      assert.isBelow(seen[0]?.[1] ?? target.length, target.length)
    })
  )

  it.effect("new content is cut in vain so long, and not longer, before all chunks are asked for", () =>
    Effect.gen(function* () {
      // Two groups of it are longer than that.
      const half = movedSearchBytesMax / 2 + mebibyte
      const zeros = smallBaseOf(new Uint8Array(2 * half), 16, half)
      const { options } = optionsOf(zeros, Fixture.bytes(14, movedSearchBytesMax + 4 * mebibyte))
      const asked: Array<number> = []
      let walked = 0
      yield* sendDelta({
        ...options,
        walked: (bytes) => void (walked += bytes),
        chunksOf: (first, count) => {
          asked.push(walked)
          return options.chunksOf(first, count)
        }
      })
      const [, all = 0] = asked
      assert.strictEqual(asked.length, zeros.groups.length)
      assert.isAtLeast(all, movedSearchBytesMax)
      assert.isAtMost(all, movedSearchBytesMax + windowBytes)
    })
  )

  // 64 groups of some 64 chunks, as a large file has them; what differs does so in its place.
  const large = smallBaseOf(random(15, 4 * mebibyte), 10, 64 * 1024)
  const changed = (groups: ReadonlyArray<number>): Uint8Array =>
    groups.reduce((all, group) => {
      const offset = (large.groups[group]?.offset ?? 0) + 3000
      return splice(all, offset, 100, random(group, 100))
    }, large.content)

  /** A walk whose answers come when all stands still, and how far it was by then. */
  const standing = Effect.fnUntraced(function* (target: Uint8Array) {
    const { cost, ops, options, walked } = optionsOf(large, target)
    const gate = yield* Deferred.make<void>()
    const asked: Array<readonly [first: number, count: number]> = []
    const chunksOf: Options["chunksOf"] = (first, count) => {
      asked.push([first, count])
      return Effect.andThen(Deferred.await(gate), options.chunksOf(first, count))
    }
    const fiber = yield* Effect.forkChild(sendDelta({ ...options, chunksOf }))
    for (let turn = 0; turn < 5000; turn++) yield* Effect.yieldNow
    const stoodAt = walked()
    yield* Deferred.succeed(gate, undefined)
    assert.strictEqual((yield* Fiber.join(fiber)).digest, wholeOf(target))
    assert.strictEqual(flawOf(ops, large.content.length, target.length, 0), undefined)
    assert.deepStrictEqual(wholeOf(patch(large.content, target, ops)), wholeOf(target))
    return { asked, cost, stoodAt }
  })

  it.effect("goes on while answers about what differs in its place are on their way", () =>
    Effect.gen(function* () {
      const target = changed([5, 6, 20, 40, 62])
      const { asked, cost, stoodAt } = yield* standing(target)
      assert.strictEqual(stoodAt, target.length)
      assert.deepStrictEqual(asked, [
        [5, 1],
        [6, 8],
        [20, 16],
        [40, 24]
      ])
      // Nor is anything asked about what the local file does not reach.
      const shorter = target.subarray(0, large.groups[36]?.offset)
      assert.deepStrictEqual((yield* standing(shorter)).asked, [
        [5, 1],
        [6, 8],
        [20, 16]
      ])
      // The whole and its groups; again the five that differ, and little of each looked at closer.
      const five = 5 * 67_000
      assert.isAtMost(cost.hashed, 2 * target.length + five + 5 * 20_000)
    })
  )

  it.effect("stands still when so many groups in a row differ that nothing may be in its place", () =>
    Effect.gen(function* () {
      const every = changed(large.groups.map((_, index) => index))
      const limit = large.groups.at(groupsPassedMax)
      assert.isDefined(limit)
      const end = limit === undefined ? 0 : limit.offset + limit.length
      const { stoodAt } = yield* standing(every)
      assert.isAtLeast(stoodAt, end)
      assert.isBelow(stoodAt, end + windowBytes)
      // One in between that is in its place tells that the others are.
      const most = changed(large.groups.flatMap((_, index) => (index % groupsPassedMax === 9 ? [] : [index])))
      assert.strictEqual((yield* standing(most)).stoodAt, most.length)
    })
  )

  it.effect("goes back to where the place was lost, and finds what moved", () =>
    Effect.gen(function* () {
      // One byte more from the fourth group on, and one less from the seventh: what is between is not in its place.
      const [first, last] = [large.groups[3]?.offset ?? 0, large.groups[6]?.offset ?? 0]
      const longer = splice(large.content, first + 1000, 0, Uint8Array.of(1))
      const { cost } = yield* standing(splice(longer, last + 1000, 1, new Uint8Array(0)))
      assert.isAtMost(cost.hashed, 3 * longer.length)
      // By its chunks: only what the two bytes are in is looked at closer.
      assert.isAtMost(cost.rangeBytesAsked, 20_000)
    })
  )

  it.effect("no copy is held back when the sizes say that something differs", () =>
    Effect.gen(function* () {
      const long = new Uint8Array(copyRunBytesMax + 2 * mebibyte)
      const other = baseOf(long)
      const done = yield* walk(other, long.subarray(1))
      assert.isAtLeast(done.ops.length, 2)
      assert.isBelow(done.ops[0]?.length ?? long.length, copyRunBytesMax + mebibyte)
    })
  )
})

// -----------------------------------------------------------------------------
// A peer that lies
// -----------------------------------------------------------------------------

const small = smallBaseOf(random(21, 60_000), 10, 8_000)
const edited = splice(splice(small.content, 10_000, 100, random(3, 500)), 40_000, 5_000, random(4, 5_000))

const reasonOf = (options: Options) =>
  sendDelta(options).pipe(
    Effect.flip,
    Effect.map((error) => (error._tag === "SignatureRefused" ? error.reason : error._tag))
  )

const lies: Record<string, readonly [reason: string, change: (pieces: ReadonlyArray<Piece>) => ReadonlyArray<Piece>]> =
  {
    "leave one out": ["cover", (pieces) => pieces.slice(1)],
    "end early": ["cover", (pieces) => pieces.slice(0, -1)],
    "are none": ["cover", () => []],
    "go on beyond": ["cover", (pieces) => [...pieces, ...pieces.slice(-1)]],
    overlap: ["cover", (pieces) => [...pieces.slice(0, 1), ...pieces]],
    "lie elsewhere": ["cover", (pieces) => pieces.map((piece) => ({ ...piece, offset: piece.offset + 2 ** 40 }))],
    "are negative": ["cover", (pieces) => pieces.map((piece) => ({ ...piece, length: -piece.length }))],
    "are no numbers": ["cover", (pieces) => pieces.map((piece) => ({ ...piece, length: Number.NaN }))],
    "are too large": [
      "piece-size",
      ([first, ...pieces]) => [
        {
          offset: 0,
          digest: "",
          ...first,
          length: pieces.reduce((all, { length }) => all + length, first?.length ?? 0)
        }
      ]
    ],
    "are too small": [
      "piece-size",
      ([first, ...pieces]) =>
        first === undefined
          ? []
          : [{ ...first, length: 1 }, { ...first, offset: first.offset + 1, length: first.length - 1 }, ...pieces]
    ]
  }

describe("a closer look", () => {
  const pieces = Array.from({ length: 16 }, () => 2 * seamPieceBytesMin)
  it.effect("is for no part that is longer than what is held in memory for it", () =>
    Effect.gen(function* () {
      for (const [length, looks] of [
        [lookBytesMax, true],
        [lookBytesMax + 1, false]
      ] as const) {
        const [asked, read]: [Array<number>, Array<number>] = [[], []]
        const found = { _tag: "Unknown", offset: 3, length, hint: { offset: 0, length: 10 } } as const
        const looking = {
          digest,
          coarse: { size: 8 * (length + 1) },
          local: {
            size: length + 3,
            read: (_: number, bytes: number) =>
              Effect.sync(() => new Uint8Array(Math.min(bytes, read.push(bytes) * length)))
          },
          blocksOf: (ranges: ReadonlyArray<{ readonly offset: number; readonly length: number }>) =>
            Effect.sync(() => {
              asked.push(...ranges.map((range) => range.length))
              return ranges.map((range) => [{ ...range, digest: "0".repeat(24) }])
            })
        }
        const given = yield* makeLook(looking)([found])
        // At blocks first, and then at pieces at each end.
        assert.deepStrictEqual(
          [asked, read],
          looks
            ? [
                [10, ...pieces, 10],
                [length, length]
              ]
            : [[], []]
        )
        assert.deepStrictEqual(given, [looks ? { ...found, hint: undefined } : found])
      }
    })
  )
})

describe("what a block has besides what differs", () => {
  const older = random(61, 2 * mebibyte)
  const base = baseOf(older)
  const literalsOf = (target: Uint8Array) => Effect.map(walk(base, target), ({ literals }) => literals)
  const places = Array.from({ length: 20 }, (_, index) => 50_000 + 97_531 * index)

  it.effect("is copied in pieces around bytes that changed, were put in or were taken out", () =>
    Effect.gen(function* () {
      for (const [drop, put] of [
        [1, 1],
        [0, 60],
        [60, 0]
      ] as const) {
        const target = places.toReversed().reduce((all, at) => splice(all, at, drop, random(at, put)), older)
        // One piece each, or two and what was put in.
        const most = places.length * (put + (drop === put ? 1 : 2) * 2 * seamPieceBytesMin)
        assert.isAtMost(yield* literalsOf(target), most, `${drop} ${put}`)
      }
    })
  )

  it.effect("is followed where halves were swapped, and where large blocks stand in any order", () =>
    Effect.gen(function* () {
      assert.isAtMost(yield* literalsOf(join(older.subarray(mebibyte), older.subarray(0, mebibyte))), 3 * 1024)
      const size = 64 * 1024
      const backwards = Array.from({ length: 32 }, (_, index) =>
        older.subarray(size * (31 - index), size * (32 - index))
      )
      assert.isAtMost(yield* literalsOf(join(...backwards)), 32 * 4096)
    })
  )

  it("is found by pieces that cover no more than what was asked about", () => {
    const part = { offset: 1000, length: 5000 }
    assert.isUndefined(seamOf({ offset: 0, length: 4 * seamPieceBytesMin - 1 }, 0, 9, 9, 100))
    assert.isUndefined(seamOf(part, undefined, undefined, 9000, 100))
    assert.isUndefined(seamOf(part, 9000, 0, 9000, 100))
    const inPlace = seamOf(part, 1000, 6000, 9000, 100)
    assert.deepStrictEqual(
      [inPlace?.ranges.length, inPlace?.ranges.at(-1), inPlace?.shifts[0]],
      [10, { offset: 5608, length: 392 }, [0]]
    )
    assert.deepStrictEqual(seamOf(part, 1000, 6010, 9000, 100)?.shifts[0], [0, -10])
    assert.deepStrictEqual(seamOf(part, 8950, 40, 9000, 100), {
      ...part,
      ranges: [
        { offset: 8950, length: 50 },
        { offset: 0, length: 40 }
      ],
      shifts: [[-7950], [5960]]
    })
  })
})

describe("equal blocks", () => {
  it("are one copy as long as they go on in both files, and the first of them otherwise", () => {
    const zeros = new Uint8Array(20 * blockRules.max)
    const older = join(random(51, 30_000), zeros, random(52, 30_000), zeros)
    const blocks = cutAll(older, makeCutter(blockHash(digest), blockRules))
    // What is left of the zeros where blocks of their own begin.
    const target = zeros.subarray(0, 18 * blockRules.max)
    const first = blocks.findIndex(({ digest }, index) => digest === blocks[index + 1]?.digest)
    assert.deepStrictEqual(refine(digest, 7, target, blocks), [
      { _tag: "Same", offset: 7, length: target.length, base: blocks[first]?.offset ?? -1 }
    ])
  })
})

describe("a long part that is new", () => {
  it.effect("stands behind what was found before it", () =>
    Effect.gen(function* () {
      const target = join(content.subarray(0, mebibyte), random(13, lookBytesMax + 4 * mebibyte))
      const { ops } = yield* walk(base, target, 0)
      assert.strictEqual(flawOf(ops, content.length, target.length, 0), undefined)
      assert.strictEqual(wholeOf(patch(content, target, ops)), wholeOf(target))
    })
  )

  it.effect("is looked for in no longer range than may be asked about", () =>
    Effect.gen(function* () {
      const older = random(41, 3 * hintBytesMax)
      const part = Math.ceil(hintBytesMax / hintRatioMax) + mebibyte
      const end = older.subarray(older.length - 2 * mebibyte)
      const target = join(older.subarray(0, older.length - 2 * mebibyte - hintBytesMax - 100), random(42, part), end)
      const hints: Array<number> = []
      const { options } = optionsOf(baseOf(older), target)
      const emit = (found: Found) =>
        Effect.sync(() => void (found._tag === "Unknown" && hints.push(found.hint?.length ?? 0)))
      yield* Effect.scoped(match({ ...options, emit }))
      assert.isNotEmpty(hints)
      for (const length of hints) assert.isAtMost(length, hintBytesMax)
    })
  )
})

describe("what is held back to leave with others", () => {
  it.effect("leaves while the walk waits for its file", () =>
    Effect.gen(function* () {
      const target = splice(content, 1_000_000, 1, random(5, 1))
      const { options } = optionsOf(base, target)
      const events: Array<string> = []
      const read: Options["local"]["read"] = (offset, length) =>
        offset + length > 4 * mebibyte ? Effect.never : options.local.read(offset, length)
      const { readInto: _, ...local } = options.local
      const sending = sendDelta({
        ...options,
        local: { ...local, read },
        send: () => Effect.sync(() => void events.push("op")),
        flush: Effect.sync(() => void events.push("flush"))
      })
      const fiber = yield* Effect.forkChild(sending)
      for (let turn = 0; turn < 2_000; turn += 1) yield* Effect.yieldNow
      assert.include(events, "op")
      assert.strictEqual(events.at(-1), "flush")
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("leaves at the end", () =>
    Effect.gen(function* () {
      const { options } = optionsOf(base, splice(content, 1_000_000, 1, random(5, 1)))
      const events: Array<string> = []
      const send = () => Effect.sync(() => void events.push("op"))
      yield* sendDelta({ ...options, send, flush: Effect.sync(() => void events.push("flush")) })
      assert.deepStrictEqual([events.includes("op"), events.at(-1)], [true, "flush"])
    })
  )
})

describe("a peer that lies", () => {
  for (const [name, [reason, change]] of Object.entries(lies)) {
    it.effect(`is refused when chunks ${name}`, () =>
      Effect.gen(function* () {
        const { options, ops } = optionsOf(small, edited)
        const chunksOf: Options["chunksOf"] = (first, count) =>
          Effect.map(options.chunksOf(first, count), (lists) => lists.map(change))
        assert.strictEqual(yield* reasonOf({ ...options, chunksOf }), reason)
        for (const op of ops) if (op._tag === "Copy") assert.isAtMost(op.offset + op.length, small.content.length)
      })
    )
    it.effect(`is refused when blocks ${name}`, () =>
      Effect.gen(function* () {
        // Of a chunk of 64 KiB there are many blocks.
        const { options } = optionsOf(base, splice(content, 1_000_000, 1, random(5, 1)))
        const blocksOf: Options["blocksOf"] = (ranges) =>
          Effect.map(options.blocksOf(ranges), (lists) => lists.map(change))
        assert.strictEqual(yield* reasonOf({ ...options, blocksOf }), reason)
      })
    )
  }

  it.effect("is refused when the lists are fewer or more", () =>
    Effect.gen(function* () {
      const { options } = optionsOf(small, edited)
      for (const change of [
        (lists: ReadonlyArray<ReadonlyArray<Piece>>) => lists.slice(1),
        (lists: ReadonlyArray<ReadonlyArray<Piece>>) => [...lists, ...lists],
        () => []
      ]) {
        const chunksOf: Options["chunksOf"] = (first, count) => Effect.map(options.chunksOf(first, count), change)
        assert.strictEqual(yield* reasonOf({ ...options, chunksOf }), "count")
        const blocksOf: Options["blocksOf"] = (ranges) => Effect.map(options.blocksOf(ranges), change)
        assert.strictEqual(yield* reasonOf({ ...options, blocksOf }), "count")
      }
    })
  )

  it.effect("about the length of what is here gets no copy that leaves its file", () =>
    Effect.gen(function* () {
      // The last chunk of its file is short, and has the tag of a longer one of ours.
      const rules = rulesFor(10)
      const target = random(22, 20_000)
      const [ours] = makeCutter(chunkHash(digest, key), rules).push(target)
      const end = cutAll(random(21, 60_000), makeCutter(chunkHash(digest, key), rules)).at(-2)
      const short = smallBaseOf(random(21, 60_000).subarray(0, (end?.offset ?? 0) + 100), 10, 8_000)
      const { ops, options } = optionsOf({ ...short, plain: true }, target)
      const chunksOf: Options["chunksOf"] = (first, count) =>
        Effect.map(options.chunksOf(first, count), (lists) =>
          lists.map((list) =>
            list.map((piece) => (piece.length === 100 ? { ...piece, digest: ours?.digest ?? "" } : piece))
          )
        )
      yield* sendDelta({ ...options, chunksOf })
      assert.strictEqual(flawOf(ops, short.content.length, target.length, 0), undefined)
      assert.deepStrictEqual(wholeOf(patch(short.content, target, ops)), wholeOf(target))
    })
  )

  it("about the length of a block gets no copy of it", () => {
    const local = random(23, 30_000)
    const blocks = cutAll(local, makeCutter(blockHash(digest), blockRules))
    const shorter = blocks.map((block) => ({ ...block, length: block.length - 1 }))
    assert.deepStrictEqual(refine(digest, 5, local, shorter), [
      { _tag: "Unknown", offset: 5, length: local.length, hint: undefined }
    ])
    assert.deepStrictEqual(refine(digest, 5, local, blocks), [
      { _tag: "Same", offset: 5, length: local.length, base: 0 }
    ])
  })

  it("about the sizes of pieces is refused at the first byte, and what the rules give never is", () => {
    const { max, min } = rulesFor(10)
    const pieces = (offset: number, lengths: ReadonlyArray<number>): ReadonlyArray<Piece> =>
      lengths.map((length, index) => {
        const before = lengths.slice(0, index).reduce((total, one) => total + one, offset)
        return { offset: before, length, digest: "0".repeat(24) }
      })
    const verdict = (checked: ReturnType<typeof checkCoarse>): string =>
      Result.match(checked, { onSuccess: () => "taken", onFailure: ({ reason }) => reason })
    // Two groups of chunks: only the last chunk of the file may be small, and no chunk ends within `min`.
    const chunksOf = (first: ReadonlyArray<number>, second: ReadonlyArray<number>): string => {
      const groups = pieces(
        0,
        [first, second].map((lengths) => lengths.reduce((total, one) => total + one, 0))
      )
      const lists = [first, second].map((lengths, index) => pieces(groups[index]?.offset ?? 0, lengths))
      const size = [...first, ...second].reduce((total, one) => total + one, 0)
      return verdict(checkChunks({ size, averageLog2: 10 }, groups, lists))
    }
    const some = [min + 1, max]
    assert.deepStrictEqual(
      [chunksOf(some, some), chunksOf(some, [...some, 1]), chunksOf(some, [max + 1]), chunksOf([max + 1], some)],
      ["taken", "taken", "piece-size", "piece-size"]
    )
    assert.deepStrictEqual(
      [chunksOf([min], some), chunksOf([...some, 1], some), chunksOf([...some, min], some), chunksOf(some, [1, max])],
      ["piece-size", "piece-size", "piece-size", "piece-size"]
    )
    // Blocks: the last of each range.
    const blocksOf = (lengths: ReadonlyArray<number>): string => {
      const range = { offset: 7, length: lengths.reduce((total, one) => total + one, 0) }
      return verdict(checkBlocks([range, range], [pieces(7, lengths), pieces(7, lengths)]))
    }
    const [shortest, longest] = [blockRules.min + 1, blockRules.max]
    assert.deepStrictEqual(
      [[shortest, longest, 1], [longest, shortest], [longest + 1], [shortest - 1, longest], [1, 1]].map(blocksOf),
      ["taken", "taken", "piece-size", "piece-size", "piece-size"]
    )
  })

  it("may speak of any file that has a size", () => {
    for (const size of [1, 2 ** 36, 2 ** 36 + 1, 2 ** 40, 2 ** 41 + 1, Number.MAX_SAFE_INTEGER]) {
      const groups = [{ offset: 0, length: size, digest: "0".repeat(24) }]
      assert.isTrue(Result.isSuccess(checkCoarse({ size, averageLog2: averageLog2For(size), groups })), String(size))
    }
  })

  it.effect("is refused when the groups do not cover the file, or the average is none", () =>
    Effect.gen(function* () {
      const { options } = optionsOf(small, edited)
      const { coarse } = options
      const zero = { offset: 0, length: 0, digest: coarse.groups[0]?.digest ?? "" }
      const refusedFor = (change: Partial<typeof coarse>) => reasonOf({ ...options, coarse: { ...coarse, ...change } })
      assert.strictEqual(yield* refusedFor({ groups: coarse.groups.slice(1) }), "cover")
      assert.strictEqual(yield* refusedFor({ groups: [zero, ...coarse.groups] }), "cover")
      assert.strictEqual(yield* refusedFor({ groups: [] }), "cover")
      assert.strictEqual(yield* refusedFor({ size: coarse.size + 1 }), "cover")
      for (const averageLog2 of [-1, 0, 9, 29, 40, 10.5, Number.NaN]) {
        assert.strictEqual(yield* refusedFor({ averageLog2 }), "average")
      }
    })
  )

  it.effect.prop(
    "about content costs bytes and never leaves the file",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })), Schema.Literals([1, 2, 16])],
    ([seed, values]) =>
      Effect.gen(function* () {
        // Digests that collide all the time.
        const weak: Digest["Service"] = {
          make: () => {
            const hasher = digest.make()
            const weaker = (strong: () => ContentDigest) => () =>
              ContentDigest.make((Number.parseInt(strong().slice(0, 8), 16) % values).toString(16).padStart(64, "0"))
            return { update: hasher.update, sofar: weaker(hasher.sofar), digest: weaker(hasher.digest) }
          },
          tagger: (key, nonce) => {
            const make = digest.tagger(key, nonce)
            return () => {
              const { tag, update } = make()
              return {
                update,
                tag: () => (Number.parseInt(tag().slice(0, 8), 16) % values).toString(16).padStart(24, "0")
              }
            }
          }
        }
        const liar: Base = {
          ...small,
          groups: small.groups.map((group) => ({
            ...group,
            digest: "0".repeat(24),
            prefix: "0".repeat(24),
            chunks: group.chunks.map((piece, index) => ({
              ...piece,
              digest: (index % values).toString(16).padStart(24, "0")
            }))
          }))
        }
        const target = splice(edited, seed % edited.length, 3_000, random(seed, seed % 9_000))
        const done = yield* walk(liar, target, 0, weak)
        if (!done.equal) assert.strictEqual(flawOf(done.ops, liar.content.length, target.length, 0), undefined)
      }),
    { arbitrary: { runs: 60 } }
  )
})

// -----------------------------------------------------------------------------
// What fails on the way
// -----------------------------------------------------------------------------

class Broken extends Schema.TaggedError<Broken>()("Broken", { where: Schema.String }) {}

describe("a walk that fails", () => {
  const walks = { "of a small change": edited, "of other content": random(31, 3 * mebibyte) }

  for (const [name, target] of Object.entries(walks)) {
    it.effect(`${name} says so wherever reading fails`, () =>
      Effect.gen(function* () {
        const { options } = optionsOf(small, target)
        let reads = 0
        const read = (offset: number, length: number) =>
          Effect.sync(() => (reads++, target.subarray(offset, offset + length)))
        yield* sendDelta({ ...options, local: { size: target.length, read } })
        const total = reads
        for (let failing = 0; failing < total; failing += Math.ceil(total / 40)) {
          reads = 0
          const breaks = (offset: number, length: number) =>
            // A read ahead that fails once is done again; one that goes on failing is told.
            reads++ >= failing ? Effect.fail(new Broken({ where: "read" })) : sourceOf(target).read(offset, length)
          const error = yield* Effect.flip(sendDelta({ ...options, local: { size: target.length, read: breaks } }))
          assert.strictEqual(error._tag, "Broken")
          reads = 0
          const shrinks = (offset: number, length: number) =>
            sourceOf(target).read(offset, reads++ >= failing ? length - 1 : length)
          const shrank = yield* Effect.flip(sendDelta({ ...options, local: { size: target.length, read: shrinks } }))
          assert.instanceOf(shrank, LocalShrank)
        }
      })
    )
  }

  it.effect("says so when a question fails", () =>
    Effect.gen(function* () {
      const fail = (where: string) => () => Effect.fail(new Broken({ where }))
      const { options } = optionsOf(small, edited)
      const chunkError = yield* Effect.flip(sendDelta({ ...options, chunksOf: fail("chunks") }))
      assert.deepStrictEqual(chunkError, new Broken({ where: "chunks" }))
      const blockError = yield* Effect.flip(sendDelta({ ...options, blocksOf: fail("blocks") }))
      assert.deepStrictEqual(blockError, new Broken({ where: "blocks" }))
    })
  )

  // More findings than the queue holds, so that the walk is waiting when the other side ends.
  const busy = smallBaseOf(random(41, 2 * mebibyte), 10, 20_000)
  const backwardsOf = ({ content, groups }: Base): Uint8Array =>
    join(
      ...groups
        .flatMap((group) => group.chunks)
        .map(({ length, offset }) => content.subarray(offset, offset + length))
        .toReversed()
    )

  // One change where the chunks are answered, one where the answer never comes.
  const stuck = splice(splice(busy.content, 9_000, 1, random(6, 1)), 1_500_000, 1, random(7, 1))

  /** A walk that waits for ever, and whether it still does. */
  const waiting = Effect.gen(function* () {
    const { options } = optionsOf(busy, stuck)
    const reached = yield* Deferred.make<void>()
    const state = { walks: 0 }
    const chunksOf: Options["chunksOf"] = (first, count) =>
      first === 0
        ? options.chunksOf(first, count)
        : Effect.acquireUseRelease(
            Effect.andThen(
              Effect.sync(() => void (state.walks += 1)),
              Deferred.succeed(reached, undefined)
            ),
            () => Effect.never,
            () => Effect.sync(() => void (state.walks -= 1))
          )
    return { options: { ...options, chunksOf }, reached: Deferred.await(reached), state }
  })

  it.effect("leaves no walk behind when sending fails", () =>
    Effect.gen(function* () {
      const { options, reached, state } = yield* waiting
      const seen: Array<number> = []
      const send = () =>
        Effect.andThen(
          reached,
          Effect.suspend(() => (seen.push(state.walks), Effect.fail(new Broken({ where: "send" }))))
        )
      assert.deepStrictEqual(yield* Effect.flip(sendDelta({ ...options, send })), new Broken({ where: "send" }))
      assert.deepStrictEqual([seen, state.walks], [[1], 0])
    })
  )

  it.effect("leaves no walk behind when it is interrupted", () =>
    Effect.gen(function* () {
      const { options, reached, state } = yield* waiting
      const fiber = yield* Effect.forkChild(sendDelta(options))
      yield* reached
      assert.strictEqual(state.walks, 1)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual(state.walks, 0)
    })
  )

  it.effect("waits for a slow receiver instead of piling up findings", () =>
    Effect.gen(function* () {
      // Every chunk is a finding of its own, and there are more of them than the queues and all questions hold.
      const many = smallBaseOf(random(42, 4 * mebibyte), 10, 20_000)
      const swapped = backwardsOf(many)
      const { options, walked } = optionsOf(many, swapped)
      const gate = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(sendDelta({ ...options, send: () => Deferred.await(gate) }))
      for (let before = -1; before !== walked();) {
        before = walked()
        for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
      }
      assert.isBelow(walked(), swapped.length)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(fiber)).digest, wholeOf(swapped))
      assert.strictEqual(walked(), swapped.length)
    })
  )
})
