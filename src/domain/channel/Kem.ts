/**
 * Port: the X-Wing key encapsulation mechanism (X25519 with ML-KEM-768).
 *
 * Source: draft-connolly-cfrg-xwing-kem, IANA HPKE KEM 0x647a; the same function as MLKEM768-X25519 of
 * draft-irtf-cfrg-concrete-hybrid-kems. It is secret as long as either part stands.
 *
 * ## Contract
 *
 * - `keyPair` is fresh for every connection: forward secrecy rests on that.
 * - What a peer sends is checked for length and validity (FIPS 203, section 7; all-zero X25519 results):
 *   anything else is `KemRejected`, never a crash.
 */
import { Context, type Effect, type Redacted, Schema } from "effect"

/** The peer's key or ciphertext is not valid. Fatal for the connection. */
export class KemRejected extends Schema.TaggedError<KemRejected>()("KemRejected", {}) {
  override get message(): string {
    return "the peer's key exchange message is not valid"
  }
}

/** Bytes of a public key: ML-KEM-768 (1184), then X25519 (32). */
export const publicKeyBytes = 1216

/** Bytes of a ciphertext: ML-KEM-768 (1088), then X25519 (32). */
export const ciphertextBytes = 1120

/** A secret that both ends share: 32 bytes. */
export type SharedSecret = Redacted.Redacted<Uint8Array>

/** A key pair for one exchange: the public half as bytes, the secret half only as what can be done with it. */
export interface KemKeyPair {
  /** 1216 bytes */
  readonly publicKey: Uint8Array
  /** @param ciphertext 1120 bytes */
  readonly decapsulate: (ciphertext: Uint8Array) => Effect.Effect<SharedSecret, KemRejected>
}

export class Kem extends Context.Service<
  Kem,
  {
    readonly keyPair: Effect.Effect<KemKeyPair>
    /** @param publicKey 1216 bytes */
    readonly encapsulate: (
      publicKey: Uint8Array
    ) => Effect.Effect<{ readonly ciphertext: Uint8Array; readonly secret: SharedSecret }, KemRejected>
  }
>()("paradrop/channel/Kem") {}
