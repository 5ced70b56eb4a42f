/**
 * The cipher layer for Node: synchronous AES-256-GCM of node:crypto.
 *
 * A 512 KiB record takes about 150 microseconds, so it may run on the event loop; the thread pool behind Web Crypto
 * costs several times more.
 */
import { Effect, Layer, Redacted } from "effect"
import { createCipheriv, createDecipheriv, createSecretKey } from "node:crypto"
import * as Bytes from "../Bytes.ts"
import { tagBytes } from "../limits.ts"
import { Cipher, CipherFailed, type CipherKey } from "./Cipher.ts"

const algorithm = "aes-256-gcm"
const options = { authTagLength: tagBytes }

const attempt = <A>(run: () => A): Effect.Effect<A, CipherFailed> =>
  Effect.try({ try: run, catch: () => new CipherFailed() })

const nodeKey = (bytes: Uint8Array): CipherKey => {
  const key = createSecretKey(bytes)
  return {
    seal: (nonce, header, plaintext) =>
      attempt(() => {
        const cipher = createCipheriv(algorithm, key, nonce, options).setAAD(header)
        const sealed: Array<Uint8Array> = plaintext.map((part) => cipher.update(part))
        cipher.final()
        sealed.push(cipher.getAuthTag())
        return sealed
      }),
    open: (nonce, header, sealed) =>
      attempt(() => {
        const length = Bytes.lengthOf(sealed) - tagBytes
        const decipher = createDecipheriv(algorithm, key, nonce, options)
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
  importKey: (key) => attempt(() => nodeKey(Redacted.value(key)))
})
