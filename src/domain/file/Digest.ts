/**
 * Digests of content: BLAKE3 with 32 bytes of output (the BLAKE3 specification, 2021), written in hex.
 */
import { blake3 } from "@noble/hashes/blake3.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import { Brand, Context, Layer, Schema } from "effect"

/** BLAKE3-256 of a whole file, 64 lower-case hex digits. */
export const ContentDigest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)).pipe(Schema.brand("ContentDigest"))
export type ContentDigest = typeof ContentDigest.Type

/** What is a digest by its making: to check that of each small file would cost as much as to take it. */
export const digestAsMade = Brand.nominal<ContentDigest>()

/** A running digest. Used once, by one owner: not safe to share. */
export interface Hasher {
  /** Takes the next bytes; they may be changed afterwards. */
  readonly update: (bytes: Uint8Array) => void
  /** The digest of what was taken until now. The run goes on: it costs no second one to know a file's beginning. */
  readonly sofar: () => ContentDigest
  /** Ends the run. No method may be called again. */
  readonly digest: () => ContentDigest
}

/**
 * Port: makes running digests.
 *
 * Contract (test: `digestContract`, run by every layer): `make` is pure and never fails; equal bytes give equal digests
 * whatever the pieces; every layer computes the same function, so a digest may be stored, sent and compared between
 * layers.
 */
export class Digest extends Context.Service<
  Digest,
  {
    readonly make: () => Hasher
  }
>()("paradrop/file/Digest") {
  /** Portable layer in TypeScript: about a twentieth of the native layer's speed. */
  static readonly layerPortable: Layer.Layer<Digest> = Layer.sync(Digest, () =>
    Digest.of({
      make: () => {
        const state = blake3.create()
        return {
          update: (bytes) => void state.update(bytes),
          sofar: () => ContentDigest.make(bytesToHex(state.clone().digest())),
          digest: () => ContentDigest.make(bytesToHex(state.digest()))
        }
      }
    })
  )
}

/** Digest of bytes in memory. */
export const digestOf = (digest: Digest["Service"], parts: ReadonlyArray<Uint8Array>): ContentDigest => {
  const hasher = digest.make()
  for (const part of parts) hasher.update(part)
  return hasher.digest()
}
