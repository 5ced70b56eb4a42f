/**
 * X-Wing by Node's own ML-KEM-768 and X25519 (`XWingNode`), as a layer.
 */
import { Effect, Layer, Redacted } from "effect"
import { ciphertextBytes, Kem, type KemKeyPair, KemRejected, publicKeyBytes, type SharedSecret } from "./Kem.ts"
import * as XWingNode from "./XWingNode.ts"

/** Named here too, for the declarations of whoever passes `keyPairOf` on. */
export type { KeyPair } from "./XWingNode.ts"

const secretOf = (bytes: Uint8Array): SharedSecret => Redacted.make(bytes, { label: "kem secret" })

/** The length is checked first; the rest of what is wrong the primitives find. */
const attemptOn = <A>(bytes: Uint8Array, length: number, run: () => A): Effect.Effect<A, KemRejected> =>
  bytes.length === length ? Effect.try({ try: run, catch: () => new KemRejected() }) : Effect.fail(new KemRejected())

/** The same key pair, as the port has it. */
export const keyPairOf = ({ decapsulate, publicKey }: XWingNode.KeyPair): KemKeyPair => ({
  publicKey,
  decapsulate: (ciphertext) => attemptOn(ciphertext, ciphertextBytes, () => secretOf(decapsulate(ciphertext)))
})

/** The key pair of a seed of 32 bytes (X-Wing `GenerateKeyPairDerand`). Deterministic, for vectors. */
export const keyPairFromSeed = (seed: Uint8Array): KemKeyPair => keyPairOf(XWingNode.keyPairFromSeed(seed))

/** X-Wing by Node's own ML-KEM-768 and X25519. */
export const layer: Layer.Layer<Kem> = Layer.succeed(Kem, {
  keyPair: Effect.sync(() => keyPairOf(XWingNode.freshKeyPair())),
  encapsulate: (publicKey) =>
    attemptOn(publicKey, publicKeyBytes, () => {
      const { ciphertext, secret } = XWingNode.encapsulate(publicKey)
      return { ciphertext, secret: secretOf(secret) }
    })
})
