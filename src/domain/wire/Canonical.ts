/**
 * Reads deterministic CBOR (RFC 8949, section 4.2) as far as messages are made of it: maps with text keys, arrays,
 * text, bytes, integers, booleans and null, each in its one encoding.
 *
 * A page of a listing is read and checked in one walk: to decode it, and to encode it again for the check, took four
 * times as long.
 */
import { Result } from "effect"
import { messageDepthMax } from "../limits.ts"

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Longer text is no key and mostly no name: then the platform's decoder is quicker. */
const shortTextBytesMax = 96

/**
 * The value, when the bytes are its deterministic encoding. Undefined: they are not, or they hold something that no
 * message has; it says nothing about which.
 */
export const decode = (bytes: Uint8Array): unknown => {
  let at = 0

  /** What the five low bits of an item's first byte say, in its shortest form; undefined for any other. */
  const argument = (info: number): number | undefined => {
    if (info < 24) return info
    if (info > 27) return undefined
    const end = at + 2 ** (info - 24)
    if (end > bytes.length) return undefined
    let value = 0
    while (at < end) value = value * 256 + (bytes[at++] ?? 0)
    const least = info === 24 ? 24 : 2 ** (8 * 2 ** (info - 25))
    return value >= least && value <= Number.MAX_SAFE_INTEGER ? value : undefined
  }

  const text = (length: number): string | undefined => {
    const part = bytes.subarray(at, at + length)
    if (part.length < length) return undefined
    at += length
    if (length <= shortTextBytesMax && part.every((byte) => byte < 0x80)) return String.fromCharCode(...part)
    return Result.getOrUndefined(Result.try({ try: () => decoder.decode(part), catch: () => undefined }))
  }

  const blob = (length: number): Uint8Array | undefined => {
    if (length > bytes.length - at) return undefined
    at += length
    return bytes.slice(at - length, at)
  }

  const list = (length: number, depth: number): ReadonlyArray<unknown> | undefined => {
    const all: Array<unknown> = []
    for (let count = 0; count < length; count += 1) {
      const one = item(depth + 1)
      if (one === undefined) return undefined
      all.push(one)
    }
    return all
  }

  const map = (length: number, depth: number): Record<string, unknown> | undefined => {
    const all: Record<string, unknown> = {}
    let before = at
    for (let count = 0; count < length; count += 1) {
      const start = at
      const major = (bytes[at++] ?? 0) >> 5
      const size = major === 3 ? argument((bytes[start] ?? 0) & 31) : undefined
      const key = size === undefined ? undefined : text(size)
      if (key === undefined || key === "__proto__" || (count > 0 && !isBefore(bytes, before, start, at)))
        return undefined
      before = start
      const value = item(depth + 1)
      if (value === undefined) return undefined
      all[key] = value
    }
    return all
  }

  const item = (depth: number): unknown => {
    const first = bytes[at++]
    if (first === undefined || depth > messageDepthMax) return undefined
    const info = first & 31
    if (first >> 5 === 7) return info === 20 ? false : info === 21 ? true : info === 22 ? null : undefined
    const value = argument(info)
    if (value === undefined) return undefined
    switch (first >> 5) {
      case 0:
        return value
      case 1:
        return value < Number.MAX_SAFE_INTEGER ? -1 - value : undefined
      case 2:
        return blob(value)
      case 3:
        return text(value)
      case 4:
        return list(value, depth)
      case 5:
        return map(value, depth)
      default:
        return undefined
    }
  }

  const value = item(0)
  return at === bytes.length ? value : undefined
}

/** Whether the encoded key at `one` sorts before the one that lies between `other` and `end`, byte by byte. */
const isBefore = (bytes: Uint8Array, one: number, other: number, end: number): boolean => {
  for (let index = 0; other + index < end; index += 1) {
    const difference = (bytes[one + index] ?? 0) - (bytes[other + index] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
