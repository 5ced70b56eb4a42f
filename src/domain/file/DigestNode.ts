/**
 * The digest layer for Node: native BLAKE3, prebuilt for the common platforms.
 */
import { Blake3Hasher } from "@napi-rs/blake-hash"
import { Layer } from "effect"
import { hashersKeptMax } from "../limits.ts"
import { ContentDigest, Digest, type Hasher } from "./Digest.ts"

// The native code takes a Buffer; the view shares the bytes, nothing is copied.
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * Native BLAKE3: 6 GB/s on one core where SHA-256 reaches 1.8.
 *
 * A native state takes 2 KiB that the collector does not see: a signature of 3 GiB would leave 100 MiB of them behind.
 * So a state whose digest was taken is used again.
 */
export const layer: Layer.Layer<Digest> = Layer.sync(Digest, () => {
  const kept: Array<Blake3Hasher> = []
  const make = (): Hasher => {
    const state = kept.pop() ?? new Blake3Hasher()
    let over = false
    return {
      update: (bytes) => {
        if (!over) state.update(asBuffer(bytes))
      },
      digest: () => {
        const digest = ContentDigest.make(state.digest("hex"))
        if (!over && kept.length < hashersKeptMax) {
          state.reset()
          kept.push(state)
        }
        over = true
        return digest
      }
    }
  }
  return Digest.of({ make })
})
