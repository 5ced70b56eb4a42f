import { createRequire } from "node:module"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Result, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { ContentDigest, Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestPortable from "../../../src/domain/file/DigestPortable.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { digestContract } from "../../../src/domain/testing/digestContract.ts"
import { runContract } from "../store/contract.ts"

const layers: ReadonlyArray<readonly [string, Layer.Layer<Digest>]> = [
  ["DigestNode", DigestNode.layer],
  ["DigestPortable", DigestPortable.layer]
]

for (const [title, layer] of layers) runContract(`Digest contract: ${title}`, digestContract, () => layer)

describe("the Digest contract is a contract", () => {
  it.effect("hashers that share their state, and a function that is not BLAKE3, break it", () =>
    Effect.gen(function* () {
      const native = yield* Effect.provide(Digest, DigestNode.layer)
      let shared = native.make()
      const sharing = Digest.of({
        ...native,
        make: () => (shared = native.make()) && { ...shared, update: (b) => shared.update(b) }
      })
      const zero = () => ContentDigest.make("0".repeat(64))
      const none = Digest.of({ ...native, make: () => ({ update: () => {}, sofar: zero, digest: zero }) })
      const ending = Digest.of({
        ...native,
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
      const [well, badly] = ["Success", "Failure"]
      assert.deepStrictEqual(yield* broken(sharing), [well, well, well, badly, well, well])
      assert.deepStrictEqual(yield* broken(none), [badly, badly, badly, badly, badly, well])
      assert.deepStrictEqual(yield* broken(ending), [well, well, badly, well, well, well])
    })
  )
})

describe("the Digest contract is a contract for tags", () => {
  it.effect("taggers that share their state, that pad each part, and that are another function, break it", () =>
    Effect.gen(function* () {
      const native = yield* Effect.provide(Digest, DigestNode.layer)
      const sharing = Digest.of({
        ...native,
        tagger: (key, nonce) => {
          const make = native.tagger(key, nonce)
          let shared = make()
          return () => (shared = make()) && { tag: () => shared.tag(), update: (b) => shared.update(b) }
        }
      })
      const padding = Digest.of({
        ...native,
        tagger: (key, nonce) => () => {
          const tagger = native.tagger(key, nonce)()
          return { ...tagger, update: (b) => tagger.update(Bytes.concat([b, new Uint8Array(-b.length & 15)])) }
        }
      })
      const keyless = Digest.of({ ...native, tagger: (key) => native.tagger(key, new Uint8Array(12)) })
      const hash = Digest.of({
        ...native,
        tagger: () => () => {
          const { digest, update } = native.make()
          return { update, tag: () => digest().slice(0, 32) }
        }
      })
      const tags = digestContract.slice(4)
      const broken = (layer: Digest["Service"]) =>
        Effect.map(
          Effect.forEach(tags, ({ effect }) => Effect.exit(Effect.provideService(effect, Digest, layer))),
          (exits) => exits.map(({ _tag }) => _tag)
        )
      assert.deepStrictEqual(yield* broken(native), ["Success", "Success"])
      assert.deepStrictEqual(yield* broken(sharing), ["Success", "Failure"])
      assert.deepStrictEqual(yield* broken(padding), ["Failure", "Failure"])
      assert.deepStrictEqual(yield* broken(keyless), ["Failure", "Failure"])
      assert.deepStrictEqual(yield* broken(hash), ["Failure", "Failure"])
    })
  )
})

describe("Digest", () => {
  it.effect.prop(
    "both layers are the same functions",
    [Schema.Array(Schema.Uint8Array), Schema.Uint8Array],
    ([parts, seed]) =>
      Effect.gen(function* () {
        const native = yield* Effect.provide(Digest, DigestNode.layer)
        const portable = yield* Effect.provide(Digest, DigestPortable.layer)
        assert.strictEqual(digestOf(native, parts), digestOf(portable, parts))
        const key = Uint8Array.fromHex(digestOf(native, [seed]))
        const tags = [native, portable].map(({ tagger }) => {
          const { tag, update } = tagger(key, key.subarray(0, 12))()
          for (const part of parts) update(part)
          return tag()
        })
        assert.strictEqual(tags[0], tags[1])
      }),
    { arbitrary: { runs: 200 } }
  )
})

// The BLAKE3 test vectors, input_len 0.
const emptyDigest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

describe("DigestNode", () => {
  /** Loads the library anew, and gives of each report that it asks for whether that was without network. */
  const reportsOf = Effect.gen(function* () {
    const { getReport } = process.report
    const withoutNetwork: Array<boolean> = []
    process.report.getReport = (error) => {
      withoutNetwork.push(process.report.excludeNetwork)
      return getReport(error)
    }
    const { make } = yield* Effect.provide(Digest, DigestNode.layer)
    const hasher = make()
    hasher.update(new Uint8Array(0))
    assert.strictEqual(hasher.digest(), emptyDigest)
    process.report.getReport = getReport
    assert.isFalse(process.report.excludeNetwork, "as it was before")
    return withoutNetwork
  })
  const require = createRequire(import.meta.url)
  const usual = `@napi-rs/blake-hash-linux-${process.arch}-gnu`
  const usualIsThere = Result.isSuccess(Result.try(() => require.resolve(usual)))

  it.effect("asks no report which library to load where it is the usual one", () =>
    Effect.gen(function* () {
      delete require.cache[require.resolve("@napi-rs/blake-hash")]
      const reports = yield* reportsOf
      if (usualIsThere) assert.deepStrictEqual(reports, [])
      else assert.isTrue(reports.every(Boolean))
    })
  )

  it.effect("asks without a look at the network, which may take a resolver's patience", () =>
    Effect.gen(function* () {
      if (!usualIsThere) return
      delete require.cache[require.resolve("@napi-rs/blake-hash")]
      const native: unknown = require(usual)
      const entry = require.cache[require.resolve(usual)]
      assert.exists(entry)
      // It cannot be loaded the first time.
      let tried = 0
      Object.defineProperty(entry, "exports", {
        configurable: true,
        get: () => {
          tried += 1
          assert.isAbove(tried, 1, "another C library")
          return native
        }
      })
      const reports = yield* reportsOf
      Object.defineProperty(entry, "exports", { configurable: true, writable: true, value: native })
      assert.deepStrictEqual([reports, tried], [[true], 2])
    })
  )
})
