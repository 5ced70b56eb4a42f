/**
 * X-Wing over node:crypto: ML-KEM-768 (FIPS 203) and X25519 (RFC 7748) of OpenSSL, combined as
 * draft-connolly-cfrg-xwing-kem says.
 *
 * Plain functions that throw on what is not valid: `KemNode` makes a layer of them. Apart from it, because a client has
 * a key pair before its program is loaded: nothing may be imported here that takes time.
 */
import type { KeyObject } from "node:crypto"

// Not imported: what a bundle imports is loaded first of all, and this takes 10 ms.
const crypto = process.getBuiltinModule("node:crypto")
const { createHash, createPrivateKey, createPublicKey, decapsulate, diffieHellman, randomBytes } = crypto

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
const combine = (ssM: Uint8Array, ssX: Uint8Array, ctX: Uint8Array, pkX: Uint8Array): Buffer =>
  createHash("sha3-256").update(ssM).update(ssX).update(ctX).update(pkX).update(label).digest()

/** A key pair for one exchange. */
export interface KeyPair {
  /** 1216 bytes */
  readonly publicKey: Uint8Array
  /**
   * The shared secret, 32 bytes. Throws on what is not valid.
   *
   * @param ciphertext 1120 bytes
   */
  readonly decapsulate: (ciphertext: Uint8Array) => Uint8Array
}

/** What a public key is answered with. */
export interface Encapsulated {
  /** 1120 bytes */
  readonly ciphertext: Uint8Array
  /** 32 bytes */
  readonly secret: Uint8Array
}

/** The key pair of a seed of 32 bytes (X-Wing `GenerateKeyPairDerand`). Deterministic, for vectors. */
export const keyPairFromSeed = (seed: Uint8Array): KeyPair => {
  const expanded = createHash("shake256", { outputLength: 96 }).update(seed).digest()
  const skM = privateKeyOf(mlkemPkcs8Seed, expanded.subarray(0, 64))
  const skX = privateKeyOf(x25519Pkcs8, expanded.subarray(64))
  const pkX = rawPublic(skX, 32)
  return {
    publicKey: Buffer.concat([rawPublic(skM, mlkemPublicBytes), pkX]),
    decapsulate: (ciphertext) => {
      const ctX = ciphertext.subarray(mlkemCiphertextBytes)
      const ssM = decapsulate(skM, ciphertext.subarray(0, mlkemCiphertextBytes))
      const ssX = diffieHellman({ privateKey: skX, publicKey: publicKeyOf(x25519Spki, ctX) })
      return combine(ssM, ssX, ctX, pkX)
    }
  }
}

/** A key pair that nobody has had before. */
export const freshKeyPair = (): KeyPair => keyPairFromSeed(randomBytes(seedBytes))

/**
 * A fresh secret, and what tells it to who has the private key. Throws on a key that is not valid.
 *
 * @param publicKey 1216 bytes
 */
export const encapsulate = (publicKey: Uint8Array): Encapsulated => {
  const pkX = publicKey.subarray(mlkemPublicBytes)
  const mlkem = crypto.encapsulate(publicKeyOf(mlkemSpki, publicKey.subarray(0, mlkemPublicBytes)))
  const ephemeral = privateKeyOf(x25519Pkcs8, randomBytes(seedBytes))
  const ctX = rawPublic(ephemeral, 32)
  const ssX = diffieHellman({ privateKey: ephemeral, publicKey: publicKeyOf(x25519Spki, pkX) })
  return {
    ciphertext: Buffer.concat([mlkem.ciphertext, ctX]),
    secret: combine(mlkem.sharedKey, ssX, ctX, pkX)
  }
}
