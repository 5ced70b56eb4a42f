import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Schema } from "effect"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"

// Input of the published vectors (BLAKE3 team, test_vectors.json): bytes that count up to 250 and start again.
const input = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index % 251)

const vectors: ReadonlyArray<readonly [length: number, digest: string]> = [
  [0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],
  [1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"],
  [1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"],
  [1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"],
  [1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"]
]

const layers: ReadonlyArray<readonly [string, Layer.Layer<Digest>]> = [
  ["DigestNode", DigestNode.layer],
  ["Digest.layerPortable", Digest.layerPortable]
]

for (const [title, layer] of layers) {
  describe(title, () => {
    it.effect("gives the published digests", () =>
      Effect.gen(function* () {
        const digest = yield* Digest
        for (const [length, expected] of vectors) assert.strictEqual(digestOf(digest, [input(length)]), expected)
      }).pipe(Effect.provide(layer))
    )

    it.effect("takes bytes in any pieces, views included, and lets them be changed afterwards", () =>
      Effect.gen(function* () {
        const digest = yield* Digest
        const bytes = input(5000)
        const whole = digestOf(digest, [bytes])
        const hasher = digest.make()
        for (let offset = 0; offset < bytes.length; offset += 777) {
          const piece = bytes.slice(offset, offset + 777)
          hasher.update(piece)
          piece.fill(0)
        }
        assert.strictEqual(hasher.digest(), whole)
        assert.strictEqual(digestOf(digest, [bytes.subarray(0, 3), bytes.subarray(3, 3), bytes.subarray(3)]), whole)
      }).pipe(Effect.provide(layer))
    )
  })
}

describe("Digest", () => {
  it.effect.prop(
    "both layers are the same function",
    [Schema.Array(Schema.Uint8Array)],
    ([parts]) =>
      Effect.gen(function* () {
        const native = yield* Effect.provide(Digest, DigestNode.layer)
        const portable = yield* Effect.provide(Digest, Digest.layerPortable)
        assert.strictEqual(digestOf(native, parts), digestOf(portable, parts))
      }),
    { arbitrary: { runs: 200 } }
  )
})
