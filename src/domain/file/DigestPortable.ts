/**
 * The digest layer in TypeScript, for wherever there is no native one. Apart from the port: its libraries make tables
 * when they are loaded, which takes 4 ms, and the executables never use it.
 */
import { GHASH } from "@noble/ciphers/_polyval.js"
import { ecb } from "@noble/ciphers/aes.js"
import { blake3 } from "@noble/hashes/blake3.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import { Layer } from "effect"
import * as Bytes from "../Bytes.ts"
import { tagBytes } from "../limits.ts"
import { ContentDigest, Digest, type Tagger } from "./Digest.ts"

/** About a twentieth of the native layer's speed. */
export const layer: Layer.Layer<Digest> = Layer.sync(Digest, () =>
  Digest.of({
    make: () => {
      const state = blake3.create()
      return {
        update: (bytes) => void state.update(bytes),
        sofar: () => ContentDigest.make(bytesToHex(state.clone().digest())),
        digest: () => ContentDigest.make(bytesToHex(state.digest()))
      }
    },
    tagger: (key, nonce) => {
      const encrypt = (block: Uint8Array) => ecb(key, { disablePadding: true }).encrypt(block)
      const hashKey = encrypt(new Uint8Array(tagBytes))
      const mask = encrypt(Bytes.concat([nonce, Uint8Array.of(0, 0, 0, 1)]))
      return () => portableTagger(hashKey, mask)
    }
  })
)

/** GHASH of the content and its length, under a mask. The library pads each part that it is given to whole blocks. */
const portableTagger = (hashKey: Uint8Array, mask: Uint8Array): Tagger => {
  const state = new GHASH(hashKey)
  let rest: Uint8Array = new Uint8Array(0)
  let length = 0
  return {
    update: (bytes) => {
      length += bytes.length
      const all = Bytes.concat([rest, bytes])
      const whole = all.length - (all.length % tagBytes)
      state.update(all.subarray(0, whole))
      rest = all.slice(whole)
    },
    tag: () => {
      const lengths = new Uint8Array(tagBytes)
      new DataView(lengths.buffer).setBigUint64(0, 8n * BigInt(length))
      const hash = state.update(rest).update(lengths).digest()
      return bytesToHex(hash.map((byte, index) => byte ^ (mask[index] ?? 0)))
    }
  }
}
