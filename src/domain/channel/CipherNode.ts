/**
 * The cipher layer for Node: synchronous AES-256-GCM of node:crypto.
 *
 * A 256 KiB record takes about 80 microseconds, so it may run on the event loop; the thread pool behind Web Crypto
 * costs several times more.
 */
import { Effect, Layer, Redacted } from "effect"
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto"
import * as Bytes from "../Bytes.ts"
import { tagBytes } from "../limits.ts"
import { Cipher, CipherFailed, type CipherKey } from "./Cipher.ts"

const algorithm = "aes-256-gcm"
const options = { authTagLength: tagBytes }

const attempt = <A>(run: () => A): Effect.Effect<A, CipherFailed> =>
  Effect.try({ try: run, catch: () => new CipherFailed() })

/** A class: its methods are there once, and a server holds two keys for every session. */
class NodeKey implements CipherKey {
  readonly key: KeyObject

  constructor(bytes: Uint8Array) {
    this.key = createSecretKey(bytes)
  }

  seal(nonce: Uint8Array, header: Uint8Array, plaintext: Bytes.Parts) {
    return attempt(() => {
      const cipher = createCipheriv(algorithm, this.key, nonce, options).setAAD(header)
      const sealed: Array<Uint8Array> = plaintext.map((part) => cipher.update(part))
      cipher.final()
      sealed.push(cipher.getAuthTag())
      return sealed
    })
  }

  open(nonce: Uint8Array, header: Uint8Array, sealed: Bytes.Parts) {
    return attempt(() => {
      const length = Bytes.lengthOf(sealed) - tagBytes
      const decipher = createDecipheriv(algorithm, this.key, nonce, options)
        .setAAD(header)
        .setAuthTag(Bytes.concat(Bytes.slice(sealed, length, tagBytes)))
      const plaintext = Bytes.slice(sealed, 0, length).map((part) => decipher.update(part))
      // Throws unless the tag verifies: only then does the plaintext leave this function.
      decipher.final()
      return plaintext
    })
  }
}

/** AES-256-GCM by Node's own OpenSSL. */
export const layer: Layer.Layer<Cipher> = Layer.succeed(Cipher, {
  importKey: (key) => attempt(() => new NodeKey(Redacted.value(key)))
})
