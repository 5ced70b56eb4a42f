/**
 * Content-defined chunks: FastCDC with normalised chunking (Xia et al., USENIX ATC 2016), a gear hash of 32 bits.
 *
 * A boundary depends on the bytes since the chunk's start alone, so equal content is cut alike wherever it stands, and
 * an insertion moves only the boundaries near it. Pure and streaming: any pieces of the input give the same chunks.
 * Work: at most one step a byte; the first `min` bytes of a chunk are skipped, so on any input it is less.
 */
import { hexToBytes } from "@noble/hashes/utils.js"
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
 * Anyone can make it (a test does), and nobody chose it. Written down: 256 hashes in a fresh process take 10 ms.
 */
export const gear = (): Int32Array => (read ??= readGear())

let read: Int32Array | undefined
const readGear = (): Int32Array => {
  const bytes = hexToBytes(gearHex)
  return Int32Array.from({ length: 256 }, (_, index) => Bytes.readU32(bytes, 4 * index) | 0)
}

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

const gearHex =
  "1bcd94e57925394a5ce87ee9875f0dbf95c529ec058c1f9a3fc4e129eee1105f3989ee81a03dd13c9fce7afa3c5bfe21" +
  "637b197d500a93d25694a6544fe33c447ea8929c6b31a42b3d38aafc736df1a5d9200cf64ff955466e312359fcb45442" +
  "4ef0febe95f8a4a6e4a1b52d767fbdad067ad8d6147b3c44dddfca0a8e3954fd26d248efc9074a116493d91caef23ce5" +
  "d98aec8e4315c595c40c656389a8c1a07ae17a3aee96c3571c0c3bd54242e9de6d89778842bda51a2af65027755d45f4" +
  "097eb0fb1411e4a67e4a53f495c59db199ec6cd41c370f0a4cdecdf88bfd75d76159440bc0a9b09c8fa6ae9fa68a4e66" +
  "af3d04a0b57a47ab6f77c4f843804c707713d2684e19ef2af17e1c2d6b2ab28cb62ab075c78bd28d2f44c22a6744b8a6" +
  "9fcd66e461033860d309509ac25d23845a17065d9ff22d5822de5c758460b20d81be5f6342f2ec4393718357511c3c8b" +
  "d8f316a995af5226cd00ae5d64c7a58db82c84eec6e3a700098a6caaaea72ee7b4707220940dcfd353a6fd48be1c3fd4" +
  "5b3615ebc1c63b013e848c3b2f379e04f8b79778a283dfefb82486100fb3d2b3cad35e7bf5c281b90b27482f01a59909" +
  "14b37352c3fced57242be62ba4a8eabdccc29192dbc992830a15ede0ea83126a8bdadc23dd705f3e9d544ba3d76e5950" +
  "bccb6b3526ee8b12ae53b41299a4028463b7bc20f85c4c9c8ebef95c2ca613ddb9a51ee22505dbc41ead0c84bc4d919c" +
  "248946779eee9f73f120eaa6af5eb465c7840b903048970ba781f087a3ff76ee86d8d803b962e8a3e061acac85e10998" +
  "68f0b3e1f146c69ecd2ffc2dd2c9f3a7ef85559d086b986a284b5218df6861d0835b328863828e7e393214a3935693ce" +
  "e4c99e4d990e64426d77e82de96adf48ca48a297a193aedf3a3e5d2620a2dcde949821321e74bd4e4a81d634a3e560d4" +
  "233f3e1fa402c4154c92014c7dbcb00e21aaa920227455225dd462479079e4d67f221d4dd759cb763931cb3360eae288" +
  "5c33889cea0781b86bba77b3de945fc400ea8e531f32972f38752fe1f1e79bc7a58486f8a58d55d291756089d30989a3" +
  "0dca449c887b3fb9c421dcb4a61dfe220c1928655c6d84fe57e3facbe4df71abe2cb929ea4b29eb52e7b225186ba1a66" +
  "30c1ee6042ad369740677f2e4ff831719595e93821b40efff26adf1e1b7b009f89fe854e0580adb06a125925dbe439d5" +
  "16a46efeb3297d46dc37038719d7468da9ffd7330bd9bdc1a951c14ab4798d2f58999509b85d2fe63023b9df10aa1567" +
  "b2828df2695917bf5d08cbaae257b3b8676e2aafda61454416f611156478f39b9594bab3a642b57c5c07c9ef93e76b37" +
  "3271bdb97b54e9a9bcc7e54878ca9c96f4ef234e7996b75a649fa04a678e685e07e78ff7aff83b3665761e9dc86329b9" +
  "9d3129973eacdd1a28e0411a36297efc"
