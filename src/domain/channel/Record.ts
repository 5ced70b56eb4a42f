/**
 * The record layer: one direction of a channel, sealed record by record.
 *
 * ```
 * record = header(4) | ciphertext | tag(16)       header = type u8 | length u24 of ciphertext and tag, authenticated
 * nonce  = iv XOR (0^4 | sequence number u64)     counted from 0 for each key, never sent
 * rekey  : after `recordsPerKeyMax` records the next secret, key and iv; implicit on both ends
 * ```
 *
 * The sequence number is in the nonce, so a record that was dropped, repeated, moved or reflected does not verify.
 */
import { Effect, type Redacted } from "effect"
import * as Bytes from "../Bytes.ts"
import { recordHeaderBytes, recordPlaintextBytesMax, recordsPerKeyMax, tagBytes } from "../limits.ts"
import { type ChannelFailed, channelFailed } from "./ChannelError.ts"
import type { Cipher, CipherKey } from "./Cipher.ts"
import { nextSecret, recordKey } from "./KeySchedule.ts"

/** What a record carries. */
export type RecordType = "handshake" | "data" | "end"

const typeCodes: Record<RecordType, number> = { handshake: 1, data: 2, end: 3 }
const typeOfCode = new Map<number, RecordType>([
  [1, "handshake"],
  [2, "data"],
  [3, "end"]
])

/** A parsed header: `length` counts ciphertext and tag, in bytes. */
export interface RecordHeader {
  readonly type: RecordType
  readonly length: number
  readonly bytes: Uint8Array
}

/** The header of a record of `plaintextLength` bytes; it is the associated data of the AEAD too. */
export const encodeHeader = (type: RecordType, plaintextLength: number): Uint8Array => {
  const bytes = new Uint8Array(recordHeaderBytes)
  bytes[0] = typeCodes[type]
  Bytes.writeU24(bytes, 1, plaintextLength + tagBytes)
  return bytes
}

/** Undefined when the type is unknown or the length impossible: before anything of the body is read. */
export const decodeHeader = (bytes: Uint8Array): RecordHeader | undefined => {
  const type = typeOfCode.get(bytes[0] ?? 0)
  const length = Bytes.readU24(bytes, 1)
  return type === undefined || length < tagBytes || length > recordPlaintextBytesMax + tagBytes
    ? undefined
    : { type, length, bytes }
}

/** The nonce of record number `sequence` under a key. */
export const nonceOf = (iv: Uint8Array, sequence: number): Uint8Array => {
  const nonce = Bytes.copy(iv)
  const view = new DataView(nonce.buffer)
  view.setUint32(4, view.getUint32(4) ^ Math.floor(sequence / 2 ** 32))
  view.setUint32(8, view.getUint32(8) ^ (sequence >>> 0))
  return nonce
}

/** The sending half. One caller at a time: sealing and writing are one step. */
export interface Sealer {
  /** The whole record, header first, ready for the transport. */
  readonly seal: (type: RecordType, plaintext: Bytes.Parts) => Effect.Effect<Bytes.Parts, ChannelFailed>
}

/** The receiving half. One caller at a time, in the order of the stream. */
export interface Opener {
  readonly open: (header: RecordHeader, sealed: Bytes.Parts) => Effect.Effect<Bytes.Parts, ChannelFailed>
}

interface Key {
  readonly cipher: CipherKey
  readonly nonce: Uint8Array
}

/** One direction of a channel. State and no closures: a server holds two of them for every session. */
interface Direction {
  readonly service: Cipher["Service"]
  readonly recordsPerKey: number
  secret: Redacted.Redacted<Uint8Array>
  current: { readonly cipher: CipherKey; readonly iv: Uint8Array } | undefined
  sequence: number
}

const directionOf = (
  service: Cipher["Service"],
  secret: Redacted.Redacted<Uint8Array>,
  recordsPerKey: number
): Direction => ({ service, recordsPerKey, secret, current: undefined, sequence: 0 })

const notVerified = (): ChannelFailed => channelFailed("record-auth-failed")

const importCurrent = (direction: Direction) =>
  Effect.suspend(() => {
    const { iv, key } = recordKey(direction.secret)
    return Effect.map(direction.service.importKey(key), (cipher) => (direction.current = { cipher, iv }))
  }).pipe(Effect.mapError(notVerified))

/** The key of the next record: the only place where a sequence number advances. */
const nextKey = (direction: Direction): Effect.Effect<Key, ChannelFailed> =>
  Effect.suspend(() => {
    if (direction.sequence === direction.recordsPerKey) {
      direction.secret = nextSecret(direction.secret)
      direction.current = undefined
      direction.sequence = 0
    }
    const take = ({ cipher, iv }: { readonly cipher: CipherKey; readonly iv: Uint8Array }): Key => ({
      cipher,
      nonce: nonceOf(iv, direction.sequence++)
    })
    const { current } = direction
    return current === undefined ? Effect.map(importCurrent(direction), take) : Effect.succeed(take(current))
  })

/**
 * @param recordsPerKey both ends must use the same; tests make it small
 */
export const makeSealer = (
  cipher: Cipher["Service"],
  secret: Redacted.Redacted<Uint8Array>,
  recordsPerKey: number = recordsPerKeyMax
): Sealer => {
  const direction = directionOf(cipher, secret, recordsPerKey)
  return {
    seal: (type, plaintext) =>
      Effect.suspend(() => {
        const length = Bytes.lengthOf(plaintext)
        if (length > recordPlaintextBytesMax) return Effect.fail(channelFailed("record-refused"))
        const header = encodeHeader(type, length)
        return Effect.flatMap(nextKey(direction), ({ cipher: key, nonce }) =>
          Effect.mapBoth(key.seal(nonce, header, plaintext), {
            onSuccess: (sealed) => [header, ...sealed],
            onFailure: notVerified
          })
        )
      })
  }
}

/** @param recordsPerKey as the sealer's */
export const makeOpener = (
  cipher: Cipher["Service"],
  secret: Redacted.Redacted<Uint8Array>,
  recordsPerKey: number = recordsPerKeyMax
): Opener => {
  const direction = directionOf(cipher, secret, recordsPerKey)
  return {
    open: (header, sealed) =>
      Effect.flatMap(nextKey(direction), ({ cipher: key, nonce }) =>
        Effect.mapError(key.open(nonce, header.bytes, sealed), notVerified)
      )
  }
}
