import { ml_kem768_x25519 } from "@noble/post-quantum/hybrid.js"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { createHash } from "node:crypto"
import { ciphertextBytes, Kem, publicKeyBytes } from "../../../src/domain/channel/Kem.ts"
import * as KemNode from "../../../src/domain/channel/KemNode.ts"
import { hex, toHex, xWing } from "./vectors.ts"

const sha3 = (bytes: Uint8Array): string => createHash("sha3-256").update(bytes).digest("hex")
const provided = Effect.provide(KemNode.layer)
const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
const replaced = (bytes: Uint8Array, at: number, by: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  copy.set(by, at)
  return copy
}

// X25519 inputs of small order (RFC 7748, section 6.1; the list of libsodium), the first two in non-canonical form too.
const smallOrder = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
].map((digits) => hex(digits))

describe("X-Wing", () => {
  for (const [index, vector] of xWing.entries()) {
    it.effect(`is what draft vector ${index + 1} says`, () =>
      Effect.gen(function* () {
        const keyPair = KemNode.keyPairFromSeed(vector.seed)
        assert.strictEqual(toHex(keyPair.publicKey), toHex(ml_kem768_x25519.keygen(vector.seed).publicKey))
        if (vector.pkSha3 !== undefined) assert.strictEqual(sha3(keyPair.publicKey), vector.pkSha3)
        const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(keyPair.publicKey, vector.eseed)
        if (vector.ctSha3 !== undefined) assert.strictEqual(sha3(cipherText), vector.ctSha3)
        assert.strictEqual(toHex(sharedSecret), vector.ss)
        assert.strictEqual(toHex(Redacted.value(yield* keyPair.decapsulate(cipherText))), vector.ss)
      })
    )
  }

  it.effect("agrees with the second implementation in both directions", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const mine = yield* kem.keyPair
      const theirs = ml_kem768_x25519.keygen()
      const fromThem = ml_kem768_x25519.encapsulate(mine.publicKey)
      const fromUs = yield* kem.encapsulate(theirs.publicKey)
      assert.deepStrictEqual([mine.publicKey.length, fromUs.ciphertext.length], [publicKeyBytes, ciphertextBytes])
      assert.strictEqual(
        toHex(Redacted.value(yield* mine.decapsulate(fromThem.cipherText))),
        toHex(fromThem.sharedSecret)
      )
      assert.strictEqual(
        toHex(Redacted.value(fromUs.secret)),
        toHex(ml_kem768_x25519.decapsulate(fromUs.ciphertext, theirs.secretKey))
      )
    }).pipe(provided)
  )

  it.effect("every key pair and every secret is fresh", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const [one, two] = [yield* kem.keyPair, yield* kem.keyPair]
      assert.notStrictEqual(toHex(one.publicKey), toHex(two.publicKey))
      const [first, second] = [yield* kem.encapsulate(one.publicKey), yield* kem.encapsulate(one.publicKey)]
      assert.notStrictEqual(toHex(first.ciphertext), toHex(second.ciphertext))
      assert.notStrictEqual(toHex(Redacted.value(first.secret)), toHex(Redacted.value(second.secret)))
    }).pipe(provided)
  )

  it.effect("a changed ciphertext gives another secret, never the same", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const keyPair = yield* kem.keyPair
      const { ciphertext, secret } = yield* kem.encapsulate(keyPair.publicKey)
      for (const at of [0, 500, 1087, 1088, 1118]) {
        const other = yield* keyPair.decapsulate(flip(ciphertext, at))
        assert.notStrictEqual(toHex(Redacted.value(other)), toHex(Redacted.value(secret)))
      }
    }).pipe(provided)
  )

  it.effect("X25519 keys of small order are rejected on both sides", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const keyPair = yield* kem.keyPair
      const { ciphertext } = yield* kem.encapsulate(keyPair.publicKey)
      for (const point of smallOrder) {
        const asKey = yield* Effect.flip(kem.encapsulate(replaced(keyPair.publicKey, 1184, point)))
        const asCiphertext = yield* Effect.flip(keyPair.decapsulate(replaced(ciphertext, 1088, point)))
        assert.deepStrictEqual([asKey._tag, asCiphertext._tag], ["KemRejected", "KemRejected"])
      }
    }).pipe(provided)
  )

  it.effect("ML-KEM keys with a coefficient of q or more are rejected (FIPS 203, section 7.2)", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const { publicKey } = yield* kem.keyPair
      // Two coefficients of 12 bits in three bytes, little-endian: q = 3329 = 0xd01.
      const tooLarge = [Uint8Array.of(0x01, 0x0d, 0), Uint8Array.of(0, 0x10, 0xd0), Uint8Array.of(0xff, 0xff, 0xff)]
      for (const at of [0, 600, 1149]) {
        for (const bytes of tooLarge) {
          const error = yield* Effect.flip(kem.encapsulate(replaced(publicKey, at, bytes)))
          assert.strictEqual(error._tag, "KemRejected")
        }
        yield* kem.encapsulate(replaced(publicKey, at, Uint8Array.of(0x00, 0x0d, 0xd0)))
      }
    }).pipe(provided)
  )

  it.effect("bytes of any other length are rejected, never a crash", () =>
    Effect.gen(function* () {
      const kem = yield* Kem
      const keyPair = yield* kem.keyPair
      const { ciphertext } = yield* kem.encapsulate(keyPair.publicKey)
      for (const length of [0, 1, 31, 32, 1119, 1121, 1215, 1217, 5000]) {
        const asKey = yield* Effect.flip(kem.encapsulate(new Uint8Array(length)))
        const asCiphertext = yield* Effect.flip(keyPair.decapsulate(new Uint8Array(length)))
        assert.deepStrictEqual([asKey._tag, asCiphertext._tag], ["KemRejected", "KemRejected"])
      }
      assert.strictEqual((yield* Effect.flip(keyPair.decapsulate(ciphertext.subarray(1))))._tag, "KemRejected")
      assert.strictEqual((yield* Effect.flip(kem.encapsulate(keyPair.publicKey.subarray(1))))._tag, "KemRejected")
    }).pipe(provided)
  )
})
