/**
 * Ciphers for tests: one that hides nothing, one that counts, one that corrupts.
 *
 * None of them protects anything. They take the place of a real `Cipher` layer to make records readable, to prove
 * that no nonce is used twice, and to damage one chosen record.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { Context, Effect, Layer, Redacted } from "effect"
import * as Bytes from "../Bytes.ts"
import { Cipher, CipherFailed, type CipherKey } from "../channel/Cipher.ts"
import { tagBytes } from "../limits.ts"

// A hash of everything that a tag depends on. Each part is preceded by its length, so that nothing can move between.
const checksum = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const hash = sha256.create()
  for (const part of parts) {
    const length = new Uint8Array(4)
    Bytes.writeU32(length, 0, part.length)
    hash.update(length).update(part)
  }
  return hash.digest().subarray(0, tagBytes)
}

const transparentKey = (key: Uint8Array): CipherKey => ({
  seal: (nonce, header, plaintext) =>
    Effect.sync(() => [...plaintext.map(Bytes.copy), checksum([key, nonce, header, Bytes.concat(plaintext)])]),
  open: (nonce, header, sealed) => {
    const length = Bytes.lengthOf(sealed) - tagBytes
    if (length < 0) return Effect.fail(new CipherFailed())
    const plaintext = Bytes.slice(sealed, 0, length)
    const tag = Bytes.concat(Bytes.slice(sealed, length, tagBytes))
    return Bytes.equals(tag, checksum([key, nonce, header, Bytes.concat(plaintext)]))
      ? Effect.succeed(plaintext.map(Bytes.copy))
      : Effect.fail(new CipherFailed())
  }
})

/**
 * Sealed bytes are the plaintext and a checksum of 16 bytes over key, nonce, header and plaintext: a trace of the
 * connection can be read, and every change is still detected. Passes `cipherContract` but for secrecy.
 */
export const layerTransparent: Layer.Layer<Cipher> = Layer.succeed(Cipher, {
  importKey: (key) => Effect.sync(() => transparentKey(Uint8Array.from(Redacted.value(key))))
})

/** What a counting cipher has seen, over all keys. */
export interface CipherCounts {
  readonly keys: number
  readonly seals: number
  readonly opens: number
  /** How often a nonce was used for sealing a second time under one key. Must stay 0. */
  readonly repeats: number
}

/** Reads what the counting cipher has seen. */
export class CipherCounter extends Context.Service<
  CipherCounter,
  {
    readonly counts: Effect.Effect<CipherCounts>
  }
>()("paradrop/testing/CipherCounter") {}

const idOf = (bytes: Uint8Array): string => bytes.join(",")

/**
 * The cipher below it, counted. Sealing twice with one key and nonce fails, also across imports of an equal key, and is
 * counted as a repeat.
 */
export const layerCounting: Layer.Layer<Cipher | CipherCounter, never, Cipher> = Layer.effectContext(
  Effect.gen(function* () {
    const cipher = yield* Cipher
    const noncesOfKey = new Map<string, Set<string>>()
    let counts: CipherCounts = { keys: 0, seals: 0, opens: 0, repeats: 0 }
    const counted = (imported: CipherKey, used: Set<string>): CipherKey => ({
      seal: (nonce, header, plaintext) =>
        Effect.suspend(() => {
          const id = idOf(nonce)
          if (used.has(id)) {
            counts = { ...counts, repeats: counts.repeats + 1 }
            return Effect.fail(new CipherFailed())
          }
          used.add(id)
          counts = { ...counts, seals: counts.seals + 1 }
          return imported.seal(nonce, header, plaintext)
        }),
      open: (nonce, header, sealed) =>
        Effect.suspend(() => {
          counts = { ...counts, opens: counts.opens + 1 }
          return imported.open(nonce, header, sealed)
        })
    })
    return Context.make(CipherCounter, { counts: Effect.sync(() => counts) }).pipe(
      Context.add(Cipher, {
        importKey: (key) =>
          Effect.suspend(() => {
            const id = idOf(Redacted.value(key))
            const used = noncesOfKey.get(id) ?? new Set<string>()
            noncesOfKey.set(id, used)
            counts = { ...counts, keys: noncesOfKey.size }
            return Effect.map(cipher.importKey(key), (imported) => counted(imported, used))
          })
      })
    )
  })
)

/** Which sealed record to damage. */
export interface Corruption {
  /** Counted over all keys of the layer, from 0. */
  readonly record: number
  /** Which bit of the sealed bytes, from 0; taken modulo their length. */
  readonly bit: number
}

/** The cipher below it, but one bit of one sealed record is flipped. Everything else passes unchanged. */
export const layerCorrupting = ({ bit, record }: Corruption): Layer.Layer<Cipher, never, Cipher> =>
  Layer.effect(
    Cipher,
    Effect.map(Cipher, (cipher) => {
      let sealed = 0
      const damaged = (parts: Bytes.Parts): Bytes.Parts => {
        if (sealed++ !== record) return parts
        const bytes = Uint8Array.from(Bytes.concat(parts))
        const at = bit % (bytes.length * 8)
        bytes[at >>> 3] = (bytes[at >>> 3] ?? 0) ^ (1 << (at & 7))
        return [bytes]
      }
      return Cipher.of({
        importKey: (key) =>
          Effect.map(cipher.importKey(key), (imported) => ({
            seal: (nonce, header, plaintext) => Effect.map(imported.seal(nonce, header, plaintext), damaged),
            open: imported.open
          }))
      })
    })
  )
