/**
 * A closer look at a part of the local file that was not found: most of its older form may still be in it.
 */
import type { Digest } from "../file/Digest.ts"
import type { Found } from "./Findings.ts"
import { blockHash, blockRules, makeCutter, type Piece, type PieceDigest } from "./Signature.ts"

/**
 * Looks closer at a part that was not found: both sides are cut into blocks of about 4 KiB.
 *
 * @param blocks the blocks of the other file's range that the hint named
 * @param content the part's bytes
 * @param others blocks that stand elsewhere in it, for what has moved
 */
export const refine = (
  digest: Digest["Service"],
  offset: number,
  content: Uint8Array,
  blocks: ReadonlyArray<Piece>,
  others: ReadonlyMap<PieceDigest, Piece> = new Map()
): ReadonlyArray<Found> => {
  // The first of equal ones.
  const byDigest = new Map(blocks.toReversed().map((block, index) => [block.digest, blocks.length - 1 - index]))
  let next = 0
  const cutter = makeCutter(blockHash(digest), blockRules, offset)
  const last = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
    const end = cutter.end()
    return end === undefined ? pieces : [...pieces, end]
  }
  const found: Array<Found> = []
  for (const { digest, length, offset } of last(cutter.push(content))) {
    // Of equal blocks the one that goes on: a run of zeros is one copy, and not one for each block.
    const index = blocks[next]?.digest === digest ? next : byDigest.get(digest)
    const block = index === undefined ? others.get(digest) : blocks[index]
    if (index !== undefined) next = index + 1
    const before = found.at(-1)
    const base = block?.length === length ? block.offset : undefined
    // Neighbours that stand in order on both sides are one finding.
    const goesOn =
      before?._tag === "Same" ? before.base + before.length === base : before !== undefined && base === undefined
    if (before !== undefined && goesOn) found[found.length - 1] = { ...before, length: before.length + length }
    else if (base === undefined) found.push({ _tag: "Unknown", offset, length, hint: undefined })
    else found.push({ _tag: "Same", offset, length, base })
  }
  return found
}
