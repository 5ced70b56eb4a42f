import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import * as Questions from "../../src/client/Questions.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { type PackedPiece, packPieces, packRanges, rangeBytes } from "../../src/domain/file/Packed.ts"
import { blocksAskedBytesMax, packedBytesMax, signatureKeyBytes } from "../../src/domain/limits.ts"
import type { ClientMessage, ServerMessage } from "../../src/domain/wire/Message.ts"

const ranges = [
  { offset: 0, length: 5000 },
  { offset: 70_000, length: 3000 }
]
const digest = "0".repeat(24)
const pieces = (...all: ReadonlyArray<readonly [offset: number, length: number]>) =>
  all.map(([offset, length]): PackedPiece => ({ offset, length, digest }))
const first = pieces([0, 2500], [2500, 2500])
const second = pieces([70_000, 3000])
const part = (all: ReadonlyArray<PackedPiece>, last: boolean): ServerMessage => ({
  _tag: "Pieces",
  pieces: packPieces(all),
  last
})

/** What comes of asking about both ranges, or others, when the server says that and then falls silent. */
const asked = Effect.fnUntraced(function* (answers: ReadonlyArray<ServerMessage>, about = ranges) {
  const said: Array<ClientMessage> = []
  const queue = yield* Queue.unbounded<ServerMessage>()
  yield* Queue.offerAll(queue, answers)
  const key = new Uint8Array(signatureKeyBytes)
  const coarse = { size: 100_000, averageLog2: 16, key, groups: [], digest: ContentDigest.make("0".repeat(64)) }
  const send = (message: ClientMessage) => Effect.sync(() => void said.push(message))
  const { blocksOf } = Questions.make({ send }, coarse, Queue.take(queue))
  return { lists: yield* blocksOf(about), said }
})

const brokenBy = (answers: ReadonlyArray<ServerMessage>) =>
  Effect.map(Effect.flip(asked(answers)), (error) => [error._tag, error.message] as const)

describe("questions about a signature", () => {
  it.effect("are asked once, and answered in one part or in several, cut anywhere", () =>
    Effect.gen(function* () {
      const all = [...first, ...second]
      for (const answers of [
        [part(all, true)],
        [part(all.slice(0, 1), false), part(all.slice(1), true)],
        [part(all.slice(0, 2), false), part(all.slice(2), false), part([], true)]
      ]) {
        const { lists, said } = yield* asked(answers)
        assert.deepStrictEqual(lists, [first, second])
        assert.deepStrictEqual(said, [{ _tag: "NeedBlocks", ranges: packRanges(ranges) }])
      }
    })
  )

  it.effect("are about no more ranges than one message holds", () =>
    Effect.gen(function* () {
      const most = Math.floor(packedBytesMax / rangeBytes)
      const many = Array.from({ length: most + 1 }, (_, index) => ({ offset: 512 * index, length: 512 }))
      const pieces = many.map((range) => ({ ...range, digest }))
      const answers = [part(pieces.slice(0, most), true), part(pieces.slice(most), true)]
      const { said } = yield* asked(answers, many)
      assert.deepStrictEqual(said, [
        { _tag: "NeedBlocks", ranges: packRanges(many.slice(0, most)) },
        { _tag: "NeedBlocks", ranges: packRanges(many.slice(most)) }
      ])
    })
  )

  it.effect("are as few as a server answers: each about no more than a message may make it read", () =>
    Effect.gen(function* () {
      const half = blocksAskedBytesMax / 2
      const [one, other, third] = [0, half, 2 * half].map((offset) => ({ offset, length: half }))
      assert.isDefined(one)
      assert.isDefined(other)
      assert.isDefined(third)
      const large = ({ length, offset }: { readonly length: number; readonly offset: number }) => [
        { offset, length, digest }
      ]
      const answers = [part([...large(one), ...large(other)], true), part(large(third), true)]
      const { lists, said } = yield* asked(answers, [one, other, third])
      assert.deepStrictEqual(lists, [large(one), large(other), large(third)])
      assert.deepStrictEqual(said, [
        { _tag: "NeedBlocks", ranges: packRanges([one, other]) },
        { _tag: "NeedBlocks", ranges: packRanges([third]) }
      ])
    })
  )

  it.effect("an answer that is another, does not fit, or never ends breaks the session", () =>
    Effect.gen(function* () {
      const tooMany = Array.from({ length: 9 }, () => part(first.slice(0, 1), false))
      for (const [answers, says] of [
        [[{ _tag: "SameFileNotHere" }], "SameFileNotHere instead of what was asked for"],
        [[part([], false)], "no pieces"],
        [tooMany, "too many pieces"],
        [[part(first, true)], ""],
        [[part([...first, ...second, ...second], true)], ""],
        [[part(pieces([0, 6000], [6000, 2000]), true)], ""]
      ] as const) {
        const [tag, message] = yield* brokenBy(answers)
        assert.strictEqual(tag, "ProtocolBroken")
        assert.include(message, says)
      }
    })
  )
})
