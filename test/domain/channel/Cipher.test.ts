import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Cipher } from "../../../src/domain/channel/Cipher.ts"
import * as CipherNode from "../../../src/domain/channel/CipherNode.ts"
import { cipherContract } from "../../../src/domain/testing/cipherContract.ts"
import {
  CipherCounter,
  layerCorrupting,
  layerCounting,
  layerTransparent
} from "../../../src/domain/testing/FakeCipher.ts"
import { aes256Gcm, hex, toHex } from "./vectors.ts"

const real = { CipherNode: CipherNode.layer, "Cipher.layerWebCrypto": Cipher.layerWebCrypto }

const importKey = (layer: Layer.Layer<Cipher>, key: Uint8Array) =>
  Effect.flatMap(Cipher, (cipher) => cipher.importKey(Redacted.make(key))).pipe(Effect.provide(layer))

const layers: Readonly<Record<string, Layer.Layer<Cipher>>> = {
  ...real,
  layerTransparent,
  "layerCorrupting, of a record that never comes": layerCorrupting({ record: 1e9, bit: 0 }).pipe(
    Layer.provide(CipherNode.layer)
  )
}

for (const [name, layer] of Object.entries(layers)) {
  describe(`contract: ${name}`, () => {
    for (const one of cipherContract) it.effect(one.name, () => Effect.provide(one.effect, layer))
  })
}

describe("the contract is a contract", () => {
  const broken = (layer: Layer.Layer<Cipher>) =>
    Effect.gen(function* () {
      const failed: Array<string> = []
      for (const { effect, name } of cipherContract) {
        const exit = yield* Effect.exit(Effect.provide(effect, layer))
        if (exit._tag === "Failure") failed.push(name)
      }
      return failed.length
    })

  it.effect("a cipher that verifies nothing breaks it", () =>
    Effect.gen(function* () {
      const careless = Layer.succeed(Cipher, {
        importKey: () =>
          Effect.succeed({
            seal: (_nonce, _header, plaintext) => Effect.succeed([...plaintext, new Uint8Array(16)]),
            open: (_nonce, _header, sealed) =>
              Effect.succeed(Bytes.slice(sealed, 0, Math.max(0, Bytes.lengthOf(sealed) - 16)))
          })
      })
      assert.strictEqual(yield* broken(careless), 4)
    })
  )

  it.effect("a cipher that gives the same memory again breaks it", () =>
    Effect.gen(function* () {
      const again = (parts: Bytes.Parts, room: Uint8Array): Bytes.Parts => {
        const bytes = Bytes.concat([...parts, new Uint8Array(0)])
        room.set(bytes)
        return [room.subarray(0, bytes.length)]
      }
      const reusing = (which: "open" | "seal") =>
        Layer.effect(
          Cipher,
          Cipher.useSync(({ importKey: imported }) => ({
            importKey: (raw) =>
              Effect.map(imported(raw), (key) => {
                const room = new Uint8Array(8192)
                const reused: typeof key.seal = (...record) =>
                  Effect.map(key[which](...record), (parts) => again(parts, room))
                return { ...key, [which]: reused }
              })
          }))
        ).pipe(Layer.provide(CipherNode.layer))
      assert.strictEqual(yield* broken(reusing("seal")), 1)
      assert.strictEqual(yield* broken(reusing("open")), 1)
    })
  )

  it.effect("a cipher that corrupts breaks it", () =>
    Effect.gen(function* () {
      const corrupting = layerCorrupting({ record: 0, bit: 77 }).pipe(Layer.provide(CipherNode.layer))
      assert.isAtLeast(yield* broken(corrupting), 3)
    })
  )
})

describe("AES-256-GCM: published vectors", () => {
  for (const [name, layer] of Object.entries(real)) {
    for (const { aad, comment, ct, iv, key, msg, result, tag, tcId } of aes256Gcm) {
      it.effect(`${name}: ${tcId} ${comment}`, () =>
        Effect.gen(function* () {
          const cipher = yield* importKey(layer, key)
          const sealed = Bytes.concat(yield* cipher.seal(iv, aad, [hex(msg)]))
          const opened = yield* Effect.result(cipher.open(iv, aad, [hex(ct), hex(tag)]))
          if (result === "valid") {
            assert.strictEqual(toHex(sealed), ct + tag)
            assert.strictEqual(opened._tag === "Success" ? toHex(Bytes.concat(opened.success)) : "failed", msg)
          } else {
            assert.notStrictEqual(toHex(sealed), ct + tag)
            assert.strictEqual(opened._tag === "Failure" ? opened.failure._tag : "opened", "CipherFailed")
          }
        })
      )
    }
  }
})

describe("both real layers", () => {
  const Inputs: [typeof Schema.Uint8Array, typeof Schema.Uint8Array, typeof Schema.Uint8Array] = [
    Schema.Uint8Array,
    Schema.Uint8Array,
    Schema.Uint8Array
  ]

  it.effect.prop("give the same bytes, and open each other's", Inputs, ([seed, header, plaintext]) =>
    Effect.gen(function* () {
      const filled = (length: number) => Uint8Array.from({ length }, (_, index) => (seed[index] ?? 0) ^ index)
      const [key, nonce] = [filled(32), filled(12)]
      const [node, web] = [yield* importKey(CipherNode.layer, key), yield* importKey(Cipher.layerWebCrypto, key)]
      const sealed = Bytes.concat(yield* node.seal(nonce, header, [plaintext]))
      assert.deepStrictEqual(Bytes.concat(yield* web.seal(nonce, header, [plaintext])), sealed)
      assert.deepStrictEqual(Bytes.concat(yield* web.open(nonce, header, [sealed])), plaintext)
      assert.deepStrictEqual(Uint8Array.from(Bytes.concat(yield* node.open(nonce, header, [sealed]))), plaintext)
    })
  )

  it.effect("refuse a key that is not 256 bits", () =>
    Effect.gen(function* () {
      for (const layer of Object.values(real)) {
        for (const length of [0, 31, 33]) {
          const refused = Effect.gen(function* () {
            const key = yield* importKey(layer, new Uint8Array(length))
            return yield* key.seal(new Uint8Array(12), new Uint8Array(4), [])
          })
          assert.strictEqual((yield* Effect.flip(refused))._tag, "CipherFailed")
        }
      }
    })
  )
})

describe("fakes", () => {
  const nonce = new Uint8Array(12)
  const header = Uint8Array.of(2, 0, 0, 20)

  it.effect("the transparent cipher shows its plaintext", () =>
    Effect.gen(function* () {
      const key = yield* importKey(layerTransparent, new Uint8Array(32))
      const sealed = Bytes.concat(yield* key.seal(nonce, header, [hex("01020304")]))
      assert.strictEqual(toHex(sealed.subarray(0, 4)), "01020304")
      assert.strictEqual(sealed.length, 20)
    })
  )

  it.effect("the counting cipher refuses a nonce twice under a key, and only that", () =>
    Effect.gen(function* () {
      const cipher = yield* Cipher
      const counter = yield* CipherCounter
      const one = yield* cipher.importKey(Redacted.make(new Uint8Array(32)))
      const again = yield* cipher.importKey(Redacted.make(new Uint8Array(32)))
      const other = yield* cipher.importKey(Redacted.make(new Uint8Array(32).fill(1)))
      const sealed = yield* one.seal(nonce, header, [])
      yield* one.open(nonce, header, sealed)
      yield* other.seal(nonce, header, [])
      assert.strictEqual((yield* Effect.flip(again.seal(nonce, header, [])))._tag, "CipherFailed")
      assert.deepStrictEqual(yield* counter.counts, { keys: 2, seals: 2, opens: 1, repeats: 1 })
    }).pipe(Effect.provide(layerCounting.pipe(Layer.provide(CipherNode.layer))))
  )

  it.effect("the corrupting cipher flips one bit of one record", () =>
    Effect.gen(function* () {
      const corrupting = layerCorrupting({ record: 1, bit: 9 }).pipe(Layer.provide(layerTransparent))
      const key = yield* importKey(corrupting, new Uint8Array(32))
      const seal = Effect.map(key.seal(nonce, header, [new Uint8Array(2)]), (sealed) => toHex(Bytes.concat(sealed)))
      const [first, second, third] = [yield* seal, yield* seal, yield* seal]
      assert.strictEqual(first.slice(0, 4), "0000")
      assert.strictEqual(second, `0002${first.slice(4)}`)
      assert.strictEqual(third, first)
    })
  )
})
