/**
 * Small helpers over `Uint8Array` and over bytes that arrive in parts.
 *
 * Content is never joined on its way: a record's plaintext stays a list of views until the disk or the socket takes it.
 */
import { givenBackBytesMin } from "./limits.ts"

/** A run of bytes held as views, in order. */
export type Parts = ReadonlyArray<Uint8Array>

const encoder = new TextEncoder()

/** UTF-8 of a well-formed string. */
export const fromUtf8 = (text: string): Uint8Array => encoder.encode(text)

/** What a socket takes or gives, as bytes. */
export const fromChunk = (chunk: Uint8Array | string): Uint8Array =>
  typeof chunk === "string" ? fromUtf8(chunk) : chunk

/** Whether the text is the same in ASCII, in UTF-8 and in any normal form. */
export const isAscii = (text: string): boolean => ascii.test(text)

const ascii = /^[\0-\x7f]*$/

/** Length of a string in UTF-8, in bytes; a lone surrogate counts as the mark that stands for it. Encodes nothing. */
export const utf8Length = (text: string): number => {
  // Of a long text the engine sees sooner than a loop that there is nothing to count.
  if (text.length > 64 && isAscii(text)) return text.length
  let length = text.length
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code >= 0x800) {
      // A pair of surrogates is two units and four bytes.
      const pair = code >= 0xd800 && code < 0xdc00 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00
      if (pair) index += 1
      length += 2
    } else if (code >= 0x80) length += 1
  }
  return length
}

/** How many bytes the parts hold together. */
export const lengthOf = (parts: Parts): number => {
  let total = 0
  for (const part of parts) total += part.length
  return total
}

/** One buffer with the bytes of all parts. A single part is returned as it is. */
export const concat = (parts: Parts): Uint8Array => {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return first
  const whole = new Uint8Array(lengthOf(parts))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** A view of the same bytes that is no `Buffer`: to cut one of those takes three times as long. */
export const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Bytes of their own. `slice()` is no copy of what Node's sockets and files give: a `Buffer` gives a view. */
export const copy = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

/** The views that cover `length` bytes from `offset`; fewer when the parts end before. */
export const slice = (parts: Parts, offset: number, length: number): Array<Uint8Array> => taker(parts, offset)(length)

/**
 * Takes views from parts, in order: each call gives those of the next `length` bytes, fewer when the parts end before.
 * However often it is called, it walks the parts once.
 *
 * @param offset bytes that are left out before the first
 */
export const taker = (parts: Parts, offset = 0): ((length: number) => Array<Uint8Array>) => {
  let index = 0
  // Of less than nothing there is nothing to leave out, and no end to look for.
  let skip = Math.max(0, offset)
  return (length) => {
    const views: Array<Uint8Array> = []
    for (let left = length; left > 0;) {
      const part = parts[index]
      if (part === undefined) break
      if (skip >= part.length) {
        skip -= part.length
        index += 1
        continue
      }
      const view = skip === 0 && part.length <= left ? part : part.subarray(skip, skip + left)
      views.push(view)
      left -= view.length
      skip += view.length
    }
    return views
  }
}

/**
 * The parts cut anew into runs of `length` bytes, the last of them shorter. In one walk, without a copy; parts that
 * follow one another in one buffer become one, and only what stays is made a view of.
 */
export const runsOf = (parts: Parts, length: number): ReadonlyArray<Parts> => {
  const runs: Array<Array<Uint8Array>> = []
  let run: Array<Uint8Array> = []
  let room = 0
  // A view that is still growing.
  let buffer: ArrayBufferLike | undefined
  let start = 0
  let end = 0
  const close = (): void => {
    if (buffer !== undefined) run.push(new Uint8Array(buffer, start, end - start))
    buffer = undefined
  }
  for (const part of parts) {
    const partEnd = part.byteOffset + part.length
    for (let from = part.byteOffset; from < partEnd;) {
      if (room === 0) {
        close()
        runs.push((run = []))
        room = length
      }
      if (part.buffer !== buffer || from !== end) {
        close()
        buffer = part.buffer
        start = from
      }
      end = Math.min(partEnd, from + room)
      room -= end - from
      from = end
    }
  }
  close()
  return runs
}

/**
 * Gives the memory of parts back at once, each of which is all that is left of its buffer: nobody may look at them, or
 * at anything before them in their buffers, again. Small ones are left to the collector.
 *
 * @param before bytes of a buffer that may come before the part and are nobody's any more
 */
export const giveBack = (parts: Parts, before = Number.POSITIVE_INFINITY): void => {
  for (const { buffer, byteLength, byteOffset } of parts) {
    if (byteOffset + byteLength !== buffer.byteLength || byteOffset > before) continue
    if (buffer.byteLength >= givenBackBytesMin && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}

/**
 * The same with all of the buffers that the parts are in, which hold nothing else: nobody may look at anything in them
 * again. Never for buffers of which others have parts, as small ones of Node's.
 */
export const giveBackBuffers = (parts: Parts): void => {
  for (const { buffer } of parts) {
    if (buffer.byteLength >= givenBackBytesMin && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}

/** Equal length and bytes. Not constant time: never for secrets. */
export const equals = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && differsAt(a, b) === a.length

const differsAt = (a: Uint8Array, b: Uint8Array): number => {
  let index = 0
  while (index < a.length && a[index] === b[index]) index += 1
  return index
}

/** Big-endian u24 at `offset`. The caller has checked the length. */
export const readU24 = (bytes: Uint8Array, offset: number): number =>
  ((bytes[offset] ?? 0) << 16) | ((bytes[offset + 1] ?? 0) << 8) | (bytes[offset + 2] ?? 0)

/** Big-endian u32 at `offset`. The caller has checked the length. */
export const readU32 = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset] ?? 0) * 0x100_0000 + readU24(bytes, offset + 1)

/** Writes a big-endian u24. */
export const writeU24 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >>> 16
  bytes[offset + 1] = value >>> 8
  bytes[offset + 2] = value
}

/** Writes a big-endian u32. */
export const writeU32 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >>> 24
  writeU24(bytes, offset + 1, value & 0xff_ffff)
}

const digits = Uint8Array.from({ length: 128 }, (_, code) =>
  Math.max(0, "0123456789abcdef".indexOf(String.fromCharCode(code).toLowerCase()))
)

/**
 * Writes what hexadecimal says where it goes: to make bytes of its own for a digest takes five times as long. The
 * caller has checked the text and its length.
 */
export const writeHex = (bytes: Uint8Array, offset: number, hex: string): void => {
  for (let at = 0; at < hex.length; at += 2) {
    bytes[offset + at / 2] = ((digits[hex.charCodeAt(at)] ?? 0) << 4) | (digits[hex.charCodeAt(at + 1)] ?? 0)
  }
}
