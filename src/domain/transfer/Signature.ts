/**
 * The signature of a file: what someone must know to see which parts of it they already have.
 *
 * Two levels. **Groups** are coarse: at most `signatureGroupsMax`, whatever the size, each a run of chunks with a
 * digest of its content; a few kilobytes tell whether and roughly where two files differ. Each also has the digest of
 * everything from the file's start to its end: as long as two files begin alike, the digest of the whole is all that
 * has to be computed. **Chunks** are fine, and
 * sent only for groups that differ. A third, finer cut of small ranges is made on demand and never kept
 * (`blockRules`).
 *
 * Digests are the first 12 bytes of BLAKE3: no accident confuses two chunks. Two that were made to be confused (2^48
 * tries) cost a refused commit, never content: the digest of the whole decides.
 */
import type * as Bytes from "../Bytes.ts"
import type { ContentDigest, Digest, Hasher } from "../file/Digest.ts"
import type { FileSize } from "../file/FileEntry.ts"
import { pieceDigestBytes } from "../file/Packed.ts"
import { chunkAverageLog2Max, chunkAverageLog2Min, chunksPerSignatureMax, signatureGroupsMax } from "../limits.ts"
import { type ChunkRules, chunkStart, type ChunkState, rulesFor, scan } from "./Chunker.ts"

/** First 12 bytes of BLAKE3 of a piece of content, in hex: 24 digits. */
export type PieceDigest = string

/** A run of content that has a digest of its own. */
export interface Piece {
  /** bytes from the start of the file */
  readonly offset: number
  /** bytes */
  readonly length: number
  readonly digest: PieceDigest
}

/** A run of chunks. */
export interface Group extends Piece {
  /** of the file's bytes from its start to this group's end */
  readonly prefix: PieceDigest
  readonly chunks: ReadonlyArray<Piece>
}

/** What a file is made of: digests of its chunks, in groups. Sizes in bytes. */
export interface Signature {
  readonly size: FileSize
  /** of the whole */
  readonly digest: ContentDigest
  /** how chunks were cut: `rulesFor(averageLog2)` */
  readonly averageLog2: number
  readonly groups: ReadonlyArray<Group>
}

/** Chunks grow with the file, so that a signature has a stated bound: `chunksPerSignatureMax`, up to files of 2 TiB. */
export const averageLog2For = (size: number): number =>
  Math.min(
    chunkAverageLog2Max,
    Math.max(chunkAverageLog2Min, Math.ceil(Math.log2(Math.max(1, size) / (chunksPerSignatureMax / 2))))
  )

/** How small ranges are cut when a chunk differs: about 4 KiB. */
export const blockRules: ChunkRules = rulesFor(12)

/** The piece digest of bytes. */
export const pieceDigest = (digest: Digest["Service"], parts: Bytes.Parts): PieceDigest =>
  shorten(hashed(digest, parts))

/** First 16 bytes of BLAKE3 of what identifies something (a source's head, a version, a file of ours), in hex. */
export const shortDigest = (digest: Digest["Service"], parts: Bytes.Parts): string =>
  hashed(digest, parts).digest().slice(0, 32)

const hashed = (digest: Digest["Service"], parts: Bytes.Parts): Hasher => {
  const hasher = digest.make()
  for (const part of parts) hasher.update(part)
  return hasher
}

/** The piece digest of what a hasher has taken. */
export const shorten = (hasher: Hasher): PieceDigest => short(hasher.digest())

/** The same of what it has taken until now: it goes on. */
export const shortenSofar = (hasher: Hasher): PieceDigest => short(hasher.sofar())

const short = (digest: ContentDigest): PieceDigest => digest.slice(0, 2 * pieceDigestBytes)

/** Cuts a stream of bytes into pieces. One owner; `push` in order, then `end` once. */
export interface Cutter {
  /** The pieces that ended within these bytes. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Piece>
  /** The last piece, if bytes are left. */
  readonly end: () => Piece | undefined
}

/** @param start offset of the first byte that will be pushed */
export const makeCutter = (digest: Digest["Service"], rules: ChunkRules, start = 0): Cutter => {
  let state: ChunkState = chunkStart
  let hasher = digest.make()
  let offset = start
  let length = 0
  const finish = (): Piece => {
    const piece = { offset, length, digest: shorten(hasher) }
    hasher = digest.make()
    offset += length
    length = 0
    return piece
  }
  return {
    push: (bytes) => {
      const pieces: Array<Piece> = []
      let at = 0
      while (at < bytes.length) {
        const found = scan(rules, state, bytes, at, bytes.length)
        hasher.update(bytes.subarray(at, at + found.taken))
        length += found.taken
        at += found.taken
        state = found.state
        if (found.ended) pieces.push(finish())
      }
      return pieces
    },
    end: () => (length === 0 ? undefined : finish())
  }
}

/** Makes the signature of content whose size is known before. One owner; `push` in order, then `end` once. */
export interface Builder {
  readonly push: (bytes: Uint8Array) => void
  readonly end: () => Signature
}

/** A builder for content of `size` bytes. `end` is right only after exactly so many were pushed. */
export const makeBuilder = (digest: Digest["Service"], size: FileSize): Builder => {
  const averageLog2 = averageLog2For(size)
  const cutter = makeCutter(digest, rulesFor(averageLog2))
  const whole = digest.make()
  const groupBytes = Math.max(2 ** averageLog2, Math.ceil(size / signatureGroupsMax))
  const groups: Array<Group> = []
  let hasher = digest.make()
  let chunks: Array<Piece> = []
  let offset = 0
  let length = 0
  // Bytes that both have taken so far.
  let hashed = 0

  const endGroup = (): void => {
    groups.push({ offset, length, digest: shorten(hasher), prefix: shortenSofar(whole), chunks })
    hasher = digest.make()
    chunks = []
    offset += length
    length = 0
  }
  const addChunk = (chunk: Piece): void => {
    chunks.push(chunk)
    length += chunk.length
    if (length >= groupBytes) endGroup()
  }

  const take = (bytes: Uint8Array): void => {
    whole.update(bytes)
    hasher.update(bytes)
    hashed += bytes.length
  }

  return {
    push: (bytes) => {
      // Both digests take the bytes chunk by chunk, so that a group ends where its last chunk does.
      let at = 0
      for (const chunk of cutter.push(bytes)) {
        const until = at + chunk.offset + chunk.length - hashed
        take(bytes.subarray(at, until))
        at = until
        addChunk(chunk)
      }
      take(bytes.subarray(at))
    },
    end: () => {
      const last = cutter.end()
      if (last !== undefined) addChunk(last)
      if (length > 0) endGroup()
      return { size, digest: whole.digest(), averageLog2, groups }
    }
  }
}
