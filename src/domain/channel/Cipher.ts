/**
 * The seam of the channel: authenticated encryption of one record, with the key and nonce given.
 *
 * ## Contract (test: `cipherContract`)
 *
 * - AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag; every real layer gives the same bytes.
 * - `seal` takes the plaintext in parts and gives the ciphertext in parts, the tag last. The two share no memory: the
 *   caller uses its buffers again.
 * - `open` takes ciphertext and tag in any parts. **No plaintext is released before the tag has verified**; any
 *   difference of key, nonce, header, bytes or tag fails with `CipherFailed`, which says nothing else. What it gives
 *   shares no memory with what it was given.
 * - What either gives stays as it is when the key is used again: records wait to be sent.
 * - The caller never uses a nonce twice with one key: the record layer owns that.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { tagBytes } from "../limits.ts"

/** The record is not what the peer sealed. Fatal for the connection. */
export class CipherFailed extends Schema.TaggedError<CipherFailed>()("CipherFailed", {}) {
  override get message(): string {
    return "a record did not verify: it was changed on its way, or the peer has other keys"
  }
}

/** An imported key: 256 bits. */
export interface CipherKey {
  /**
   * @param nonce 12 bytes
   * @param header authenticated, not encrypted (additional data)
   * @returns ciphertext as long as the plaintext, then a tag of 16 bytes
   */
  readonly seal: (
    nonce: Uint8Array,
    header: Uint8Array,
    plaintext: Bytes.Parts
  ) => Effect.Effect<Bytes.Parts, CipherFailed>
  /** The plaintext of what `seal` gave. */
  readonly open: (
    nonce: Uint8Array,
    header: Uint8Array,
    sealed: Bytes.Parts
  ) => Effect.Effect<Bytes.Parts, CipherFailed>
}

export class Cipher extends Context.Service<
  Cipher,
  {
    /** @param key 32 bytes; the caller may wipe them afterwards */
    readonly importKey: (key: Redacted.Redacted<Uint8Array>) => Effect.Effect<CipherKey, CipherFailed>
  }
>()("paradrop/channel/Cipher") {
  /** Portable layer over Web Crypto: for browsers and other runtimes. Several times slower than `CipherNode`. */
  static readonly layerWebCrypto: Layer.Layer<Cipher> = Layer.succeed(Cipher, {
    importKey: (key) =>
      attempt(() =>
        crypto.subtle.importKey("raw", owned(Redacted.value(key)), "AES-GCM", false, ["encrypt", "decrypt"])
      ).pipe(Effect.map(webKey))
  })
}

const webKey = (key: CryptoKey): CipherKey => {
  const algorithm = (nonce: Uint8Array, header: Uint8Array) => ({
    name: "AES-GCM",
    iv: owned(nonce),
    additionalData: owned(header),
    tagLength: tagBytes * 8
  })
  return {
    seal: (nonce, header, plaintext) =>
      attempt(() => crypto.subtle.encrypt(algorithm(nonce, header), key, owned(Bytes.concat(plaintext)))).pipe(
        Effect.map((sealed) => [new Uint8Array(sealed)])
      ),
    open: (nonce, header, sealed) =>
      attempt(() => crypto.subtle.decrypt(algorithm(nonce, header), key, owned(Bytes.concat(sealed)))).pipe(
        Effect.map((plaintext) => [new Uint8Array(plaintext)])
      )
  }
}

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, CipherFailed> =>
  Effect.tryPromise({ try: run, catch: () => new CipherFailed() })

// Web Crypto wants bytes that no other thread can change; a plain copy is one.
const owned = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)
