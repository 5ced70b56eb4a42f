/**
 * Content-defined chunks: FastCDC with normalised chunking (Xia et al., USENIX ATC 2016), a gear hash of 32 bits.
 *
 * A boundary depends on the bytes since the chunk's start alone, so equal content is cut alike wherever it stands, and
 * an insertion moves only the boundaries near it. Pure and streaming: any pieces of the input give the same chunks.
 * Work: at most one step a byte; the first `min` bytes of a chunk are skipped, so on any input it is less.
 */
import { sha256 } from "@noble/hashes/sha2.js"
import * as Bytes from "../Bytes.ts"

/** How content is cut. Sizes in bytes; masks have their bits at the top, where the hash has seen most bytes. */
export interface ChunkRules {
  /** no boundary before */
  readonly min: number
  /** before this size a boundary is rare, after it likely: sizes gather here */
  readonly normal: number
  /** a boundary at the latest here */
  readonly max: number
  readonly maskBefore: number
  readonly maskAfter: number
}

/** Bits by which a boundary is rarer before the normal size and likelier after it (the paper's level 2). */
const normalisation = 2

/**
 * The rules for chunks of about `2 ** averageLog2` bytes: at least half of that, at most twice.
 *
 * @param averageLog2 from 10 to 28
 */
export const rulesFor = (averageLog2: number): ChunkRules => {
  const average = 2 ** averageLog2
  // Half of the average is skipped: what is left to find is a boundary in about half an average.
  const bits = averageLog2 - 1
  return {
    min: average / 2,
    normal: average,
    max: average * 2,
    maskBefore: topBits(bits + normalisation),
    maskAfter: topBits(bits - normalisation)
  }
}

const topBits = (count: number): number => (-1 << (32 - count)) | 0

/**
 * The gear table: entry i is the first four bytes, big-endian, of SHA-256 of the text `paradrop gear i`.
 * Made, not copied: anyone can check it, and nobody chose it.
 */
export const gear = (): Int32Array => (made ??= makeGear())

// At its first use: 256 hashes are work that a listing should not pay for.
let made: Int32Array | undefined
const makeGear = (): Int32Array =>
  Int32Array.from({ length: 256 }, (_, index) => Bytes.readU32(sha256(Bytes.fromUtf8(`paradrop gear ${index}`)), 0) | 0)

/** Where a chunk under way stands: carry it from one piece of the input to the next. */
export interface ChunkState {
  /** bytes of the chunk so far */
  readonly length: number
  /** gear hash over its bytes since `min` */
  readonly hash: number
}

/** At the start of a chunk. */
export const chunkStart: ChunkState = { length: 0, hash: 0 }

/** What one look for a boundary found. */
export interface Scan {
  /** bytes of the piece that belong to the chunk; the whole piece when it holds no boundary */
  readonly taken: number
  /** whether the chunk ends there */
  readonly ended: boolean
  readonly state: ChunkState
}

/** Looks for the end of the chunk in `bytes[from, to)`. */
export const scan = (rules: ChunkRules, state: ChunkState, input: Uint8Array, from: number, to: number): Scan => {
  const bytes =
    input.constructor === Uint8Array ? input : new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
  const { max, maskAfter, maskBefore, min, normal } = rules
  const table = gear()
  const origin = from - state.length
  const start = Math.max(from, Math.min(to, origin + min))
  const normalEnd = Math.max(start, Math.min(to, origin + normal))
  const rare = seek(bytes, table, start, normalEnd, maskBefore, state.hash)
  if (rare > 0) return end(rare - from)
  const maxEnd = Math.max(normalEnd, Math.min(to, origin + max))
  const likely = seek(bytes, table, normalEnd, maxEnd, maskAfter, ~rare)
  if (likely > 0) return end(likely - from)
  if (maxEnd === origin + max) return end(maxEnd - from)
  return { taken: to - from, ended: false, state: { length: to - origin, hash: ~likely } }
}

/**
 * The first place behind a byte of `bytes[from, to)` where the hash has no bit of the mask. When there is none, a
 * number below 0, of which `~` gives the hash behind all of them.
 *
 * The hot path of every signature, alone in its function: with anything behind the loops the engine compiles it while
 * it runs, without having seen the rest, and throws that away at every chunk, which made it four times as slow. Bytes
 * of Node's `Buffer` are read more slowly here: hence plain views.
 */
const seek = (bytes: Uint8Array, table: Int32Array, from: number, to: number, mask: number, before: number): number => {
  let hash = before
  let at = from
  // Four a turn; an index that is out of bounds cannot be, and `?? 0` costs nothing.
  for (const last = to - 3; at < last; at += 4) {
    hash = ((hash << 1) + (table[bytes[at] ?? 0] ?? 0)) | 0
    if ((hash & mask) === 0) return at + 1
    hash = ((hash << 1) + (table[bytes[at + 1] ?? 0] ?? 0)) | 0
    if ((hash & mask) === 0) return at + 2
    hash = ((hash << 1) + (table[bytes[at + 2] ?? 0] ?? 0)) | 0
    if ((hash & mask) === 0) return at + 3
    hash = ((hash << 1) + (table[bytes[at + 3] ?? 0] ?? 0)) | 0
    if ((hash & mask) === 0) return at + 4
  }
  for (; at < to; at += 1) {
    hash = ((hash << 1) + (table[bytes[at] ?? 0] ?? 0)) | 0
    if ((hash & mask) === 0) return at + 1
  }
  return -1 - (hash >>> 0)
}

const end = (taken: number): Scan => ({ taken, ended: true, state: chunkStart })
