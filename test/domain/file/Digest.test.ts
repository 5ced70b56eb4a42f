import { createRequire } from "node:module"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Schema } from "effect"
import { ContentDigest, Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { digestContract } from "../../../src/domain/testing/digestContract.ts"
import { runContract } from "../store/contract.ts"

const layers: ReadonlyArray<readonly [string, Layer.Layer<Digest>]> = [
  ["DigestNode", DigestNode.layer],
  ["Digest.layerPortable", Digest.layerPortable]
]

for (const [title, layer] of layers) runContract(`Digest contract: ${title}`, digestContract, () => layer)

describe("the Digest contract is a contract", () => {
  it.effect("hashers that share their state, and a function that is not BLAKE3, break it", () =>
    Effect.gen(function* () {
      const native = yield* Effect.provide(Digest, DigestNode.layer)
      let shared = native.make()
      const sharing = Digest.of({
        make: () => (shared = native.make()) && { ...shared, update: (b) => shared.update(b) }
      })
      const zero = () => ContentDigest.make("0".repeat(64))
      const none = Digest.of({ make: () => ({ update: () => {}, sofar: zero, digest: zero }) })
      const ending = Digest.of({
        make: () => {
          const hasher = native.make()
          return { ...hasher, sofar: hasher.digest }
        }
      })
      const broken = (layer: Digest["Service"]) =>
        Effect.map(
          Effect.forEach(digestContract, ({ effect }) => Effect.exit(Effect.provideService(effect, Digest, layer))),
          (exits) => exits.map(({ _tag }) => _tag)
        )
      assert.deepStrictEqual(yield* broken(sharing), ["Success", "Success", "Success", "Failure"])
      assert.deepStrictEqual(yield* broken(none), ["Failure", "Success", "Failure", "Failure"])
      assert.deepStrictEqual(yield* broken(ending), ["Success", "Success", "Failure", "Success"])
    })
  )
})

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

describe("DigestNode", () => {
  it.effect("loads its library without a look at the network, which may take a resolver's patience", () =>
    Effect.gen(function* () {
      const require = createRequire(import.meta.url)
      delete require.cache[require.resolve("@napi-rs/blake-hash")]
      const { getReport } = process.report
      const withoutNetwork: Array<boolean> = []
      process.report.getReport = (error) => {
        withoutNetwork.push(process.report.excludeNetwork)
        return getReport(error)
      }
      const { make } = yield* Effect.provide(Digest, DigestNode.layer)
      make().digest()
      process.report.getReport = getReport
      assert.deepStrictEqual(withoutNetwork, process.platform === "linux" ? [true] : [])
      assert.isFalse(process.report.excludeNetwork, "as it was before")
    })
  )
})
