/**
 * What someone can do who knows the key of a signature: other content whose chunks have the same tags.
 */
import { ghash } from "@noble/ciphers/_polyval.js"
import { ecb } from "@noble/ciphers/aes.js"
import { Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { signatureKeyBytes } from "../src/domain/limits.ts"

/** The key of every signature of a server that runs with `knownKeys`. */
export const knownKey: Uint8Array = Uint8Array.from({ length: signatureKeyBytes }, (_, index) => 3 * index + 5)

/** Randomness that everybody knows. */
export const knownKeys: Layer.Layer<SecureRandom.SecureRandom> = Layer.sync(SecureRandom.SecureRandom, () => {
  let drawn = 0
  // Names of temporary files are drawn too, and must differ.
  return SecureRandom.make((size) =>
    size === signatureKeyBytes ? knownKey.slice() : Uint8Array.from({ length: size }, () => (drawn += 1))
  )
})

/**
 * The content with two blocks of 16 bytes changed, so that no piece that holds both has another tag: GHASH is linear,
 * and takes the first change times the hash key for what the second one takes back.
 *
 * @param at a multiple of 16 from the start of each such piece
 */
export const confused = (key: Uint8Array, content: Uint8Array, at: number): Uint8Array => {
  const hashKey = ecb(key, { disablePadding: true }).encrypt(new Uint8Array(16))
  const change = new Uint8Array(16).fill(1)
  const changes = [...change, ...ghash(change, hashKey)]
  return content.map((byte, index) => byte ^ (changes[index - at] ?? 0))
}
