/**
 * Where blocks end and what differs begins: of a block with one byte changed most is still what it was. The other file
 * is asked for small pieces of what stands there (`NeedBlocks` about ranges that are too short to be cut), and they are
 * compared where they would stand if nothing had been put in or taken out before them, or behind them.
 */
import type { Digest } from "../file/Digest.ts"
import { seamBytesMax, seamPieceBytesMin } from "../limits.ts"
import type { Found, Hint } from "./Findings.ts"
import { blockHash, type Piece, pieceDigest } from "./Signature.ts"

/** A part that was not found, and what to ask about it. */
export interface Seam {
  /** bytes of the local file */
  readonly offset: number
  readonly length: number
  /** of the other file, each answered with one piece */
  readonly ranges: ReadonlyArray<Hint>
  /** what to add to a place of the other file to get where it may stand here, for each range */
  readonly shifts: ReadonlyArray<ReadonlyArray<number>>
}

/**
 * What to ask about a part that was not found; nothing when that cannot pay.
 *
 * @param left where the other file goes on behind what was found before the part, if anything was
 * @param right where that begins in the other file which was found behind the part
 * @param size of the other file, bytes
 * @param most where the neighbours have moved apart, or the part is long: what to ask about at each end, bytes
 */
export const seamOf = (
  { length, offset }: Pick<Found, "length" | "offset">,
  left: number | undefined,
  right: number | undefined,
  size: number,
  most: number
): Seam | undefined => {
  if (length < 4 * seamPieceBytesMin) return undefined
  const end = offset + length
  const between = left === undefined || right === undefined ? 0 : right - left
  // A long one that was written over: what its first and last block have in common with it is little beside it.
  if (between === length && length > seamBytesMax) return undefined
  if (left !== undefined && right !== undefined && between > 0 && Math.max(between / 2, length) <= seamBytesMax) {
    if (between <= 2 * length) {
      const ranges = grid(left, right, pieceBytesFor(length))
      const both = [...new Set([offset - left, end - right])]
      return { offset, length, ranges, shifts: ranges.map(() => both) }
    }
  }
  const edge = Math.min(length, most)
  const piece = pieceBytesFor(edge)
  const before = left === undefined ? [] : grid(left, Math.min(size, left + edge), piece)
  const behind = right === undefined ? [] : grid(Math.max(0, right - edge), right, piece)
  const ranges = [...before, ...behind]
  if (ranges.length === 0) return undefined
  const shifts = [...before.map(() => [offset - (left ?? 0)]), ...behind.map(() => [end - (right ?? 0)])]
  return { offset, length, ranges, shifts }
}

/** A piece costs about 34 bytes, and half of one at each end of what differs is sent in vain. */
const pieceBytesFor = (length: number): number => {
  if (length <= 12 * seamPieceBytesMin) return seamPieceBytesMin
  return length <= 64 * seamPieceBytesMin ? 2 * seamPieceBytesMin : 4 * seamPieceBytesMin
}

const grid = (from: number, until: number, piece: number): ReadonlyArray<Hint> =>
  Array.from({ length: Math.max(0, Math.ceil((until - from) / piece)) }, (_, index) => {
    const offset = from + index * piece
    return { offset, length: Math.min(piece, until - offset) }
  })

/**
 * The part once more, with what its pieces have found.
 *
 * @param content the part's bytes
 * @param answers the pieces of each range
 */
export const sew = (
  digest: Digest["Service"],
  { length, offset, shifts }: Seam,
  content: Uint8Array,
  answers: ReadonlyArray<ReadonlyArray<Piece>>
): ReadonlyArray<Found> => {
  const hash = blockHash(digest)
  const same = answers.flatMap((pieces, index) =>
    pieces.flatMap((piece) =>
      (shifts[index] ?? []).flatMap((shift) => {
        const at = piece.offset + shift - offset
        if (at < 0 || at + piece.length > length) return []
        const isSame = pieceDigest(hash, [content.subarray(at, at + piece.length)]) === piece.digest
        return isSame ? [{ at: at + offset, base: piece.offset, length: piece.length }] : []
      })
    )
  )
  const found: Array<Found> = []
  let done = offset
  const unknown = (until: number): void => {
    if (until > done) found.push({ _tag: "Unknown", offset: done, length: until - done, hint: undefined })
  }
  for (const { at, base, length } of same.toSorted((a, b) => a.at - b.at)) {
    if (at < done) continue
    unknown(at)
    const last = found.at(-1)
    if (at === done && last?._tag === "Same" && last.base + last.length === base) {
      found[found.length - 1] = { ...last, length: last.length + length }
    } else found.push({ _tag: "Same", offset: at, length, base })
    done = at + length
  }
  unknown(offset + length)
  return found
}
