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
 * What tells groups and chunks apart is the first 12 bytes of their AES-GMAC under a key that is drawn for each
 * signature when it is made: a third of the time of BLAKE3. Who made the file could not know it, so for everybody but
 * those who have read this very signature two chunks of up to n blocks of 16 bytes are confused with probability
 * n / 2^96 at most. Blocks and prefixes are the first 12 bytes of BLAKE3: a cipher for each 4 KiB would cost more than
 * it saves, and a prefix comes with the digest of the whole. Whoever knows the key can make chunks that are confused;
 * they cost a refused commit and a second try without the signature, never content: the digest of the whole decides.
 */
import type * as Bytes from "../Bytes.ts"
import { type ContentDigest, type Digest, digestOf, type Hasher, type Tagger } from "../file/Digest.ts"
import type { FileSize } from "../file/FileEntry.ts"
import { packDigests, packPieces, pieceDigestBytes, pieceHeadBytes } from "../file/Packed.ts"
import { chunkAverageLog2Max, chunkAverageLog2Min, chunksPerSignatureMax, signatureGroupsMax } from "../limits.ts"
import { type ChunkRules, chunkStart, type ChunkState, rulesFor, scan } from "./Chunker.ts"

/** 12 bytes that tell a piece of content from others of its kind (see `PieceHash`), in hex: 24 digits. */
export type PieceDigest = string

/** Makes running digests of pieces of one kind. */
export type PieceHash = () => PieceHasher

/** The running digest of a piece. Used once, by one owner. */
export interface PieceHasher {
  readonly update: (bytes: Uint8Array) => void
  readonly end: () => PieceDigest
}

/** Of blocks and prefixes: the first 12 bytes of BLAKE3. */
export const blockHash =
  (digest: Digest["Service"]): PieceHash =>
  () => {
    const hasher = digest.make()
    return { update: hasher.update, end: () => short(hasher.digest()) }
  }

/** Of groups and chunks: the first 12 bytes of AES-GMAC under the signature's key. */
export const chunkHash = (digest: Digest["Service"], key: Uint8Array): PieceHash => {
  const make = digest.tagger(key, noNonce)
  return () => {
    const tagger: Tagger = make()
    return { update: tagger.update, end: () => short(tagger.tag()) }
  }
}

/** One nonce for all that has one key: tags are compared, and hide nothing. */
const noNonce = new Uint8Array(12)

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
  /** of groups and chunks: `chunkHash`; `signatureKeyBytes` that were drawn when it was made */
  readonly key: Uint8Array
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
export const pieceDigest = (hash: PieceHash, parts: Bytes.Parts): PieceDigest => {
  const hasher = hash()
  for (const part of parts) hasher.update(part)
  return hasher.end()
}

/** First 16 bytes of BLAKE3 of what identifies something (a source's head, a version, a file of ours), in hex. */
export const shortDigest = (digest: Digest["Service"], parts: Bytes.Parts): string =>
  digestOf(digest, parts).slice(0, 32)

/** The piece digest of what a hasher has taken until now: it goes on. */
export const shortenSofar = (hasher: Hasher): PieceDigest => short(hasher.sofar())

const short = (digest: string): PieceDigest => digest.slice(0, 2 * pieceDigestBytes)

/** How the digest of a piece begins: the first `pieceHeadBytes` bytes, 8 hex digits. */
export const headOfPiece = (digest: PieceDigest): string => digest.slice(0, 2 * pieceHeadBytes)

/** How the tag of each group's first chunk begins: content that has moved is found by it without asking for chunks. */
export const groupHeads = ({ groups }: Pick<Signature, "groups">): ReadonlyArray<string> =>
  groups.map(({ chunks: [first] }) => headOfPiece(first?.digest ?? noDigest))

// No group is empty.
const noDigest: PieceDigest = "00".repeat(pieceDigestBytes)

/** The coarse half, as it is offered: all but the chunks, packed. */
export const offerOf = ({ averageLog2, digest, groups, key }: Omit<Signature, "size">) => ({
  digest,
  key,
  averageLog2,
  groups: packPieces(groups),
  prefixes: packDigests(groups.map(({ prefix }) => prefix)),
  heads: packDigests(groupHeads({ groups }))
})

/** Cuts a stream of bytes into pieces. One owner; `push` in order, then `end` once. */
export interface Cutter {
  /** The pieces that ended within these bytes. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Piece>
  /** The last piece, if bytes are left. */
  readonly end: () => Piece | undefined
}

/** @param start offset of the first byte that will be pushed */
export const makeCutter = (hash: PieceHash, rules: ChunkRules, start = 0): Cutter => {
  let state: ChunkState = chunkStart
  let hasher = hash()
  let offset = start
  let length = 0
  const finish = (): Piece => {
    const piece = { offset, length, digest: hasher.end() }
    hasher = hash()
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

/**
 * A builder for content of `size` bytes. `end` is right only after exactly so many were pushed.
 *
 * @param key `signatureKeyBytes` that nobody could know when the content was made
 */
export const makeBuilder = (digest: Digest["Service"], key: Uint8Array, size: FileSize): Builder => {
  const averageLog2 = averageLog2For(size)
  const hash = chunkHash(digest, key)
  const cutter = makeCutter(hash, rulesFor(averageLog2))
  const whole = digest.make()
  const groupBytes = Math.max(2 ** averageLog2, Math.ceil(size / signatureGroupsMax))
  const groups: Array<Group> = []
  let hasher = hash()
  let chunks: Array<Piece> = []
  let offset = 0
  let length = 0
  // Bytes that both have taken so far.
  let hashed = 0

  const endGroup = (): void => {
    groups.push({ offset, length, digest: hasher.end(), prefix: shortenSofar(whole), chunks })
    hasher = hash()
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
      return { size, digest: whole.digest(), key, averageLog2, groups }
    }
  }
}
