/**
 * Digests of content: BLAKE3 with 32 bytes of output (the BLAKE3 specification, 2021), written in hex. And tags: what
 * tells content apart for those who share a key that nobody could know when the content was made.
 */
import { Brand, Context, Schema } from "effect"

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

/** A running tag. Used once, by one owner. */
export interface Tagger {
  /** Takes the next bytes; they may be changed afterwards. */
  readonly update: (bytes: Uint8Array) => void
  /** Ends the run: 32 lower-case hex digits. No method may be called again. */
  readonly tag: () => string
}

/**
 * Port: makes running digests and tags.
 *
 * Contract (test: `digestContract`, run by every layer): `make` and `tagger` are pure and never fail; equal bytes give
 * equal digests and, under one key and nonce, equal tags, whatever the pieces; every layer computes the same functions,
 * so what they give may be stored, sent and compared between layers.
 *
 * A tag is AES-256-GMAC (NIST SP 800-38D): that of AES-256-GCM over no plaintext, with the content as what is only
 * authenticated. It takes a third of the time of BLAKE3 and is no digest: who knows the key can make two contents with
 * one tag at will. For who does not, two contents of up to n blocks of 16 bytes have one tag with probability n / 2^128
 * at most, whatever they are.
 */
export class Digest extends Context.Service<
  Digest,
  {
    readonly make: () => Hasher
    /**
     * @param key 32 bytes
     * @param nonce 12 bytes
     */
    readonly tagger: (key: Uint8Array, nonce: Uint8Array) => () => Tagger
  }
>()("paradrop/file/Digest") {}

/** Digest of bytes in memory. */
export const digestOf = (digest: Digest["Service"], parts: ReadonlyArray<Uint8Array>): ContentDigest => {
  const hasher = digest.make()
  for (const part of parts) hasher.update(part)
  return hasher.digest()
}
