import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { digestOf } from "../../../src/domain/file/Digest.ts"
import {
  chunkAverageLog2Max,
  chunkAverageLog2Min,
  chunksPerSignatureMax,
  fileBytesMax,
  signatureGroupsMax
} from "../../../src/domain/limits.ts"
import { packPieces } from "../../../src/domain/file/Packed.ts"
import { rulesFor } from "../../../src/domain/transfer/Chunker.ts"
import {
  averageLog2For,
  blockHash,
  chunkHash,
  makeBuilder,
  makeCutter,
  offerOf,
  pieceDigest,
  shortDigest,
  type Signature
} from "../../../src/domain/transfer/Signature.ts"
import { checkChunks, checkCoarse } from "../../../src/domain/transfer/SignatureCheck.ts"
import { cutAll, digest, key, random } from "./deltas.ts"

const Sizes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 300, maximum: 400_000 }))).check(
  Schema.isMaxLength(6)
)
const Length = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000_000 }))

const signatureOf = (bytes: Uint8Array, sizes: ReadonlyArray<number> = []): Signature => {
  const builder = makeBuilder(digest, key, bytes.length)
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? bytes.length
    builder.push(bytes.subarray(at, at + size))
    at += size
  }
  return builder.end()
}

const check = (bytes: Uint8Array, signature: Signature): void => {
  const { groups } = signature
  const pieces = groups.flatMap(({ chunks }) => chunks)
  assert.strictEqual(signature.size, bytes.length)
  assert.strictEqual(signature.digest, digestOf(digest, [bytes]))
  assert.strictEqual(signature.averageLog2, averageLog2For(bytes.length))
  assert.isAtMost(groups.length, signatureGroupsMax)
  for (const { length } of groups.slice(0, -1)) assert.isAtLeast(length, 2 ** signature.averageLog2)
  // Exactly what a reader asks for: groups cover the file, chunks their groups, sizes as the rules say.
  assert.isTrue(Result.isSuccess(checkCoarse(signature)))
  const lists = groups.map(({ chunks }) => chunks)
  assert.isTrue(Result.isSuccess(checkChunks(signature, groups, lists)))
  assert.deepStrictEqual(pieces, cutAll(bytes, makeCutter(chunkHash(digest, key), rulesFor(signature.averageLog2))))
  for (const { digest: own, length, offset } of [...groups, ...pieces]) {
    assert.strictEqual(own, pieceDigest(chunkHash(digest, key), [bytes.subarray(offset, offset + length)]))
  }
  for (const { length, offset, prefix } of groups) {
    assert.strictEqual(prefix, pieceDigest(blockHash(digest), [bytes.subarray(0, offset + length)]))
  }
}

describe("a signature", () => {
  it.prop(
    "covers its content exactly, and is the same however the content comes",
    [Schema.Int, Length, Sizes],
    ([seed, length, sizes]) => {
      const bytes = random(seed, length)
      const signature = signatureOf(bytes, sizes)
      check(bytes, signature)
      assert.deepStrictEqual(signature, signatureOf(bytes))
    },
    { arbitrary: { runs: 40 } }
  )

  it("of content that no rule cuts, and of more content than groups can hold a chunk each", () => {
    for (const bytes of [
      new Uint8Array(5_000_000),
      new Uint8Array(9_999_999).fill(1),
      // A group more would be needed if one could be a byte shorter.
      new Uint8Array(signatureGroupsMax * 2 ** 17 + 1),
      random(1, signatureGroupsMax * 2 ** 16 * 3 + 1)
    ]) {
      check(bytes, signatureOf(bytes, [262_136]))
    }
  })

  it("of nothing is nothing", () => {
    assert.deepStrictEqual(signatureOf(new Uint8Array(0)), {
      size: 0,
      digest: digestOf(digest, []),
      key,
      averageLog2: chunkAverageLog2Min,
      groups: []
    })
  })

  it("of a byte is a chunk", () => {
    const bytes = Uint8Array.of(7)
    const piece = { offset: 0, length: 1, digest: pieceDigest(chunkHash(digest, key), [bytes]) }
    assert.deepStrictEqual(signatureOf(bytes).groups, [
      { ...piece, prefix: pieceDigest(blockHash(digest), [bytes]), chunks: [piece] }
    ])
  })
})

describe("the coarse half of a signature", () => {
  it("has for each group its place and tag, the digest up to its end, and how its first chunk's tag begins", () => {
    const bytes = random(1, 1_000_000)
    const { groups, ...rest } = signatureOf(bytes)
    const joined = (digests: ReadonlyArray<string>) => Uint8Array.fromHex(digests.join(""))
    assert.deepStrictEqual(offerOf({ ...rest, groups }), {
      digest: rest.digest,
      key,
      averageLog2: rest.averageLog2,
      groups: packPieces(groups),
      prefixes: joined(groups.map(({ prefix }) => prefix)),
      heads: joined(groups.map(({ chunks }) => (chunks[0]?.digest ?? "").slice(0, 8)))
    })
    assert.isAbove(groups.length, 3)
  })

  it("names what it is of by the first half of a digest", () => {
    const bytes = random(2, 100)
    assert.strictEqual(shortDigest(digest, [bytes]), digestOf(digest, [bytes]).slice(0, 32))
  })
})

describe("the size of chunks", () => {
  it("grows with the file, one step at a time", () => {
    const largestAt16 = (chunksPerSignatureMax / 2) * 2 ** 16
    assert.deepStrictEqual(
      [
        0,
        1,
        largestAt16,
        largestAt16 + 1,
        2 * largestAt16,
        2 * largestAt16 + 1,
        2 ** 41,
        2 ** 41 + 1,
        fileBytesMax
      ].map(averageLog2For),
      [16, 16, 16, 17, 17, 18, 28, 28, 28]
    )
  })

  it.prop(
    "is such that no file up to 2 TiB has more chunks than allowed",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 41 }))],
    ([size]) => {
      for (const near of [size, 2 ** Math.floor(Math.log2(size + 1)), 2 ** Math.floor(Math.log2(size + 1)) + 1]) {
        const averageLog2 = averageLog2For(near)
        assert.isTrue(averageLog2 >= chunkAverageLog2Min && averageLog2 <= chunkAverageLog2Max)
        // All chunks but the last are longer than `min`.
        const most = Math.floor(near / (rulesFor(averageLog2).min + 1)) + 1
        if (near <= 2 ** 41) assert.isAtMost(most, chunksPerSignatureMax)
      }
    }
  )
})
