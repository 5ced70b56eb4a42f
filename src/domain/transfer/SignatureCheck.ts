/**
 * What a peer says about its file, checked before anything is built on it.
 *
 * A signature may lie about content, which costs bytes and is found by the digest of the whole. It may not lie about
 * shape: pieces cover what was asked without gap or overlap, and have the sizes that the rules give. So no copy leaves
 * the file, every answer brings the walk forward, and a list is never longer than its range allows.
 */
import { Result, Schema } from "effect"
import { chunkAverageLog2Max } from "../limits.ts"
import { type ChunkRules, rulesFor } from "./Chunker.ts"
import { blockRules, type Piece } from "./Signature.ts"

/** A signature, or a part of it that was asked for, does not fit together. */
export class SignatureRefused extends Schema.TaggedError<SignatureRefused>()("SignatureRefused", {
  reason: Schema.Literals(["average", "count", "cover", "piece-size"])
}) {
  override get message(): string {
    return `the peer's signature does not fit its file (${this.reason}): send the file whole, or use another peer`
  }
}

type Checked = Result.Result<void, SignatureRefused>

/** A part of a file, bytes. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** The coarse part: groups cover the file. */
export const checkCoarse = (coarse: {
  readonly size: number
  readonly averageLog2: number
  readonly groups: ReadonlyArray<Piece>
}): Checked => {
  const { averageLog2, groups, size } = coarse
  // What `rulesFor` is made for.
  if (!Number.isInteger(averageLog2) || averageLog2 < 10 || averageLog2 > chunkAverageLog2Max) return refused("average")
  return covers({ offset: 0, length: size }, groups) ? Result.void : refused("cover")
}

/** The chunks of groups, a list for each: only the last chunk of the file may be small. */
export const checkChunks = (
  coarse: { readonly size: number; readonly averageLog2: number },
  groups: ReadonlyArray<Piece>,
  lists: ReadonlyArray<ReadonlyArray<Piece>>
): Checked => checkLists(rulesFor(coarse.averageLog2), groups, lists, coarse.size)

/** The blocks of ranges, a list for each: only the last block of a range may be small. */
export const checkBlocks = (ranges: ReadonlyArray<Range>, lists: ReadonlyArray<ReadonlyArray<Piece>>): Checked =>
  checkLists(blockRules, ranges, lists, undefined)

/** @param end where a small piece may end; undefined for the end of any range */
const checkLists = (
  rules: ChunkRules,
  ranges: ReadonlyArray<Range>,
  lists: ReadonlyArray<ReadonlyArray<Piece>>,
  end: number | undefined
): Checked => {
  if (lists.length !== ranges.length) return refused("count")
  for (const [index, range] of ranges.entries()) {
    const pieces = lists[index] ?? []
    if (!covers(range, pieces)) return refused("cover")
    const smallEnd = end ?? range.offset + range.length
    const fits = ({ length, offset }: Piece) =>
      length <= rules.max && (length > rules.min || offset + length === smallEnd)
    if (!pieces.every(fits)) return refused("piece-size")
  }
  return Result.void
}

const covers = ({ length, offset }: Range, pieces: ReadonlyArray<Piece>): boolean => {
  let at = offset
  for (const piece of pieces) {
    if (piece.offset !== at || !Number.isSafeInteger(piece.length) || piece.length < 1) return false
    at += piece.length
  }
  return at === offset + length
}

const refused = (reason: SignatureRefused["reason"]): Checked => Result.fail(new SignatureRefused({ reason }))
