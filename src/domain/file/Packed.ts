/**
 * Lists that are too long for a structure per entry: ranges, and the pieces of a signature, as packed bytes in a
 * message.
 *
 * ```
 * range = offset u64 | length u64          both exact in 53 bits, length at least 1
 * piece = length u48 | digest (12)         offsets follow from the lengths, length at least 1
 * digest (12)                              one after the other, for pieces that are named elsewhere
 * head (4)                                 the same, of the first bytes of their digests
 * ```
 *
 * Numbers are big-endian. What does not fit exactly is refused before anything is built from it.
 */
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import { Result, Schema } from "effect"
import * as Bytes from "../Bytes.ts"

/** A run of bytes of a file. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** The same bytes in parts of `lengthMax` and a last one of what is left, in order. */
export function* partsOf({ length, offset }: Range, lengthMax: number): IterableIterator<Range> {
  for (let done = 0; done < length; done += lengthMax) {
    yield { offset: offset + done, length: Math.min(lengthMax, length - done) }
  }
}

/** A run of bytes and its piece digest (see `PieceDigest`): 12 bytes, in hex. */
export interface PackedPiece extends Range {
  readonly digest: string
}

/** Packed bytes are not what they should be. The session ends. */
export class PackedRefused extends Schema.TaggedError<PackedRefused>()("PackedRefused", {
  reason: Schema.Literals(["length", "empty-range", "beyond-the-end"])
}) {
  override get message(): string {
    return `the peer sent a list that makes no sense (${this.reason})`
  }
}

/** A packed range, in bytes. */
export const rangeBytes = 16

/** The digest of a piece, in bytes. */
export const pieceDigestBytes = 12

/** How the digest of a piece begins, in bytes: what does not begin so is another piece. */
export const pieceHeadBytes = 4

/** A packed piece, in bytes. */
export const pieceBytes = 6 + pieceDigestBytes

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** `rangeBytes` bytes for each range, in order. */
export const packRanges = (ranges: ReadonlyArray<Range>): Uint8Array => {
  const bytes = new Uint8Array(ranges.length * rangeBytes)
  const view = viewOf(bytes)
  ranges.forEach(({ length, offset }, index) => {
    view.setBigUint64(index * rangeBytes, BigInt(offset))
    view.setBigUint64(index * rangeBytes + 8, BigInt(length))
  })
  return bytes
}

/** @param size every range must lie within it, bytes */
export const unpackRanges = (bytes: Uint8Array, size: number): Result.Result<ReadonlyArray<Range>, PackedRefused> => {
  if (bytes.length === 0 || bytes.length % rangeBytes !== 0) return refused("length")
  const view = viewOf(bytes)
  const ranges: Array<Range> = []
  for (let at = 0; at < bytes.length; at += rangeBytes) {
    const offset = view.getBigUint64(at)
    const length = view.getBigUint64(at + 8)
    if (length === 0n) return refused("empty-range")
    if (offset + length > BigInt(size)) return refused("beyond-the-end")
    ranges.push({ offset: Number(offset), length: Number(length) })
  }
  return Result.succeed(ranges)
}

/** `pieceBytes` bytes for each piece, in order; offsets are left out, the pieces must follow one another. */
export const packPieces = (pieces: ReadonlyArray<PackedPiece>): Uint8Array => {
  const bytes = new Uint8Array(pieces.length * pieceBytes)
  const view = viewOf(bytes)
  pieces.forEach(({ digest, length }, index) => {
    const at = index * pieceBytes
    view.setUint16(at, Math.floor(length / 2 ** 32))
    view.setUint32(at + 2, length % 2 ** 32)
    Bytes.writeHex(bytes, at + 6, digest)
  })
  return bytes
}

/** @param range what the pieces must cover exactly */
export const unpackPieces = (
  bytes: Uint8Array,
  range: Range
): Result.Result<ReadonlyArray<PackedPiece>, PackedRefused> => {
  if (bytes.length % pieceBytes !== 0) return refused("length")
  const view = viewOf(bytes)
  const pieces: Array<PackedPiece> = []
  const end = range.offset + range.length
  let offset = range.offset
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const length = lengthAt(view, at)
    if (length === 0) return refused("empty-range")
    if (offset + length > end) return refused("beyond-the-end")
    pieces.push({ offset, length, digest: bytesToHex(bytes.subarray(at + 6, at + 6 + pieceDigestBytes)) })
    offset += length
  }
  return offset === end ? Result.succeed(pieces) : refused("length")
}

/**
 * The pieces of several ranges, one range after another: a list for each.
 *
 * @param ranges none of them empty; what the pieces must cover exactly
 */
export const unpackLists = (
  bytes: Uint8Array,
  ranges: ReadonlyArray<Range>
): Result.Result<ReadonlyArray<ReadonlyArray<PackedPiece>>, PackedRefused> => {
  if (bytes.length % pieceBytes !== 0) return refused("length")
  const lists: Array<ReadonlyArray<PackedPiece>> = []
  const view = viewOf(bytes)
  let at = 0
  for (const range of ranges) {
    const from = at
    for (let length = 0; length < range.length && at < bytes.length; at += pieceBytes) length += lengthAt(view, at)
    const list = unpackPieces(bytes.subarray(from, at), range)
    if (Result.isFailure(list)) return Result.fail(list.failure)
    lists.push(list.success)
  }
  return at === bytes.length ? Result.succeed(lists) : refused("length")
}

const lengthAt = (view: DataView, at: number): number => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2)

/** `pieceDigestBytes` bytes for each digest, in order; or `pieceHeadBytes` for each head. */
export const packDigests = (digests: ReadonlyArray<string>): Uint8Array =>
  Bytes.concat(digests.map((digest) => hexToBytes(digest)))

/**
 * @param count how many there must be
 * @param each bytes of one
 */
export const unpackDigests = (
  bytes: Uint8Array,
  count: number,
  each: number = pieceDigestBytes
): Result.Result<ReadonlyArray<string>, PackedRefused> =>
  bytes.length === count * each
    ? Result.succeed(
        Array.from({ length: count }, (_, index) => bytesToHex(bytes.subarray(index * each, (index + 1) * each)))
      )
    : refused("length")

const refused = (reason: PackedRefused["reason"]): Result.Result<never, PackedRefused> =>
  Result.fail(new PackedRefused({ reason }))
