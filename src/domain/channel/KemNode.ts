/**
 * X-Wing over node:crypto: ML-KEM-768 (FIPS 203) and X25519 (RFC 7748) of OpenSSL, combined as the draft says.
 */
import { Effect, Layer, Redacted } from "effect"
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  type KeyObject,
  randomBytes
} from "node:crypto"
import * as Bytes from "../Bytes.ts"
import { ciphertextBytes, Kem, type KemKeyPair, KemRejected, publicKeyBytes } from "./Kem.ts"

const seedBytes = 32
const mlkemPublicBytes = 1184
const mlkemCiphertextBytes = 1088

// Raw keys in their standard wrappings (RFC 8410, RFC 9935): what comes before the key never varies.
const mlkemSpki = Buffer.from("308204b2300b0609608648016503040402038204a100", "hex")
const mlkemPkcs8Seed = Buffer.from("3054020100300b060960864801650304040204428040", "hex")
const x25519Spki = Buffer.from("302a300506032b656e032100", "hex")
const x25519Pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex")

const publicKeyOf = (wrapping: Buffer, raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([wrapping, raw]), format: "der", type: "spki" })

const privateKeyOf = (wrapping: Buffer, raw: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([wrapping, raw]), format: "der", type: "pkcs8" })

const rawPublic = (privateKey: KeyObject, length: number): Uint8Array =>
  createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-length)

// X-Wing combiner: SHA3-256(ssM || ssX || ctX || pkX || label), label = `\.//^\`.
const label = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)
const combine = (ssM: Uint8Array, ssX: Uint8Array, ctX: Uint8Array, pkX: Uint8Array): Redacted.Redacted<Uint8Array> =>
  Redacted.make(createHash("sha3-256").update(ssM).update(ssX).update(ctX).update(pkX).update(label).digest(), {
    label: "kem secret"
  })

const attempt = <A>(run: () => A): Effect.Effect<A, KemRejected> =>
  Effect.try({ try: run, catch: () => new KemRejected() })

/** The length is checked first; the rest of what is wrong the primitives find. */
const attemptOn = <A>(bytes: Uint8Array, length: number, run: () => A): Effect.Effect<A, KemRejected> =>
  bytes.length === length ? attempt(run) : Effect.fail(new KemRejected())

/** The key pair of a seed of 32 bytes (X-Wing `GenerateKeyPairDerand`). Deterministic, for vectors. */
export const keyPairFromSeed = (seed: Uint8Array): KemKeyPair => {
  const expanded = createHash("shake256", { outputLength: 96 }).update(seed).digest()
  const skM = privateKeyOf(mlkemPkcs8Seed, expanded.subarray(0, 64))
  const skX = privateKeyOf(x25519Pkcs8, expanded.subarray(64))
  const pkX = rawPublic(skX, 32)
  return {
    publicKey: Bytes.concat([rawPublic(skM, mlkemPublicBytes), pkX]),
    decapsulate: (ciphertext) =>
      attemptOn(ciphertext, ciphertextBytes, () => {
        const ctX = ciphertext.subarray(mlkemCiphertextBytes)
        const ssM = decapsulate(skM, ciphertext.subarray(0, mlkemCiphertextBytes))
        const ssX = diffieHellman({ privateKey: skX, publicKey: publicKeyOf(x25519Spki, ctX) })
        return combine(ssM, ssX, ctX, pkX)
      })
  }
}

/** X-Wing by Node's own ML-KEM-768 and X25519. */
export const layer: Layer.Layer<Kem> = Layer.succeed(Kem, {
  keyPair: Effect.sync(() => keyPairFromSeed(randomBytes(seedBytes))),
  encapsulate: (publicKey) =>
    attemptOn(publicKey, publicKeyBytes, () => {
      const pkX = publicKey.subarray(mlkemPublicBytes)
      const mlkem = encapsulate(publicKeyOf(mlkemSpki, publicKey.subarray(0, mlkemPublicBytes)))
      const ephemeral = privateKeyOf(x25519Pkcs8, randomBytes(seedBytes))
      const ctX = rawPublic(ephemeral, 32)
      const ssX = diffieHellman({ privateKey: ephemeral, publicKey: publicKeyOf(x25519Spki, pkX) })
      return {
        ciphertext: Bytes.concat([mlkem.ciphertext, ctX]),
        secret: combine(mlkem.sharedKey, ssX, ctX, pkX)
      }
    })
})
