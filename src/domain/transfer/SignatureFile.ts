/**
 * The bytes in which a signature is kept.
 *
 * ```
 * magic "pds4" | version length u16, version in UTF-8 | size u64 | digest of the whole (32) | key (32) | averageLog2 u8
 * | groups u16 | for each group: chunks u32, digest (12), prefix (12)
 * | pieces of all chunks (see Packed) | checksum (16)
 * ```
 *
 * The checksum is the short digest of everything before it: a torn or damaged file is no signature.
 */
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js"
import { Result, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { ContentDigest, type Digest } from "../file/Digest.ts"
import { FileSize } from "../file/FileEntry.ts"
import { signatureKeyBytes } from "../limits.ts"
import { packPieces, pieceBytes, pieceDigestBytes, unpackPieces } from "../file/Packed.ts"
import { type Group, type Piece, shortDigest, type Signature } from "./Signature.ts"

const magic = Bytes.fromUtf8("pds4")
const checksumBytes = 16
const groupBytes = 4 + 2 * pieceDigestBytes
/** Behind the version: size, digest, key, average, and how many groups. */
const factsBytes = 8 + 32 + signatureKeyBytes + 1 + 2

export const encode = (digest: Digest["Service"], version: string, signature: Signature): Uint8Array => {
  const name = Bytes.fromUtf8(version)
  const head = new Uint8Array(magic.length + 2 + name.length + factsBytes)
  const view = new DataView(head.buffer)
  head.set(magic)
  view.setUint16(4, name.length)
  head.set(name, 6)
  const at = 6 + name.length
  view.setBigUint64(at, BigInt(signature.size))
  head.set(hexToBytes(signature.digest), at + 8)
  head.set(signature.key, at + 40)
  view.setUint8(at + factsBytes - 3, signature.averageLog2)
  view.setUint16(at + factsBytes - 2, signature.groups.length)
  const groups = signature.groups.map(({ chunks, digest: own, prefix }) => {
    const bytes = new Uint8Array(groupBytes)
    Bytes.writeU32(bytes, 0, chunks.length)
    bytes.set(hexToBytes(own), 4)
    bytes.set(hexToBytes(prefix), 4 + pieceDigestBytes)
    return bytes
  })
  const body = Bytes.concat([head, ...groups, packPieces(signature.groups.flatMap(({ chunks }) => chunks))])
  return Bytes.concat([body, hexToBytes(shortDigest(digest, [body]))])
}

/** Undefined when the bytes are damaged or of another version. */
export const decode = (digest: Digest["Service"], version: string, bytes: Uint8Array): Signature | undefined => {
  const body = bytes.subarray(0, Math.max(0, bytes.length - checksumBytes))
  const name = Bytes.fromUtf8(version)
  const at = 6 + name.length
  if (body.length < at + factsBytes) return undefined
  if (shortDigest(digest, [body]) !== bytesToHex(bytes.subarray(body.length))) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!Bytes.equals(body.subarray(0, 4), magic) || view.getUint16(4) !== name.length) return undefined
  if (!Bytes.equals(body.subarray(6, at), name)) return undefined
  const size = Number(view.getBigUint64(at))
  const whole = bytesToHex(body.subarray(at + 8, at + 40))
  if (!isSize(size) || !isDigest(whole)) return undefined
  const key = body.slice(at + 40, at + 40 + signatureKeyBytes)
  const groupCount = view.getUint16(at + factsBytes - 2)
  const chunksAt = at + factsBytes + groupCount * groupBytes
  const table = body.subarray(at + factsBytes, chunksAt)
  const pieces = unpackPieces(body.subarray(chunksAt), { offset: 0, length: size })
  if (table.length !== groupCount * groupBytes || Result.isFailure(pieces)) return undefined
  const groups = groupsOf(table, pieces.success)
  return groups && { size, digest: whole, key, averageLog2: view.getUint8(at + factsBytes - 3), groups }
}

const isSize = Schema.is(FileSize)
const isDigest = Schema.is(ContentDigest)

const groupsOf = (table: Uint8Array, pieces: ReadonlyArray<Piece>): ReadonlyArray<Group> | undefined => {
  const groups: Array<Group> = []
  let next = 0
  for (let at = 0; at < table.length; at += groupBytes) {
    const chunks = pieces.slice(next, next + Bytes.readU32(table, at))
    const [first] = chunks
    if (first === undefined) return undefined
    next += chunks.length
    const length = chunks.reduce((total, chunk) => total + chunk.length, 0)
    const own = bytesToHex(table.subarray(at + 4, at + 4 + pieceDigestBytes))
    const prefix = bytesToHex(table.subarray(at + 4 + pieceDigestBytes, at + groupBytes))
    groups.push({ offset: first.offset, length, digest: own, prefix, chunks })
  }
  return next === pieces.length ? groups : undefined
}

/** The most that `encode` gives for a number of chunks, bytes: what a reader may be asked to hold. */
export const encodedBytesMax = (chunks: number, groups: number, versionBytes: number): number =>
  6 + versionBytes + factsBytes + groups * groupBytes + chunks * pieceBytes + checksumBytes
