/**
 * Reads the local file for a walk: every byte goes into the digest of the whole once, in order, and into those of
 * pieces and of groups as they are asked for.
 */
import { Effect, Schema } from "effect"
import type { Hasher } from "../file/Digest.ts"
import { asideBytes, contentBlockBytes, hashSliceBytes, searchPiecesMax } from "../limits.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import { rulesFor } from "./Chunker.ts"
import type { MatchOptions } from "./Match.ts"
import { makeCutter, type Piece, type PieceDigest, type PieceHash, shortenSofar } from "./Signature.ts"

/** The local file became shorter while it was walked. */
export class LocalShrank extends Schema.TaggedError<LocalShrank>()("LocalShrank", {}) {
  override get message(): string {
    return "the file became shorter while it was compared: send it again"
  }
}

/** From 1 to `lengthMax` bytes from `offset`, good until the next call. */
type Read<E> = (offset: number, lengthMax: number) => Effect.Effect<Uint8Array, E | LocalShrank>

export const makeReader = <E, E2, E3>({ digest, local, walked }: MatchOptions<E, E2, E3>, hash: PieceHash) => {
  const whole: Hasher = digest.make()
  // As long as nothing differs the other end waits, and its processor may read for this one.
  let window = ReadWindow.make(local, local.size, local.size, asideBytes)
  let wholeAt = 0

  const take = (bytes: Uint8Array): void => {
    whole.update(bytes)
    walked?.(bytes.length)
    wholeAt += bytes.length
  }

  /**
   * The digest of the whole takes what is at hand up to there, and beyond it to the end of the slice: pieces end
   * anywhere, and BLAKE3 takes an eighth longer for bytes that are given to it in such parts.
   */
  const takeTo = (end: number): void => {
    while (wholeAt < end) {
      const left = hashSliceBytes - (wholeAt % hashSliceBytes)
      const bytes = window.heldFrom(wholeAt, left)
      if (bytes.length === 0) return
      take(bytes)
    }
  }

  const readNext = (offset: number, lengthMax: number): Effect.Effect<Uint8Array, E | LocalShrank> =>
    Effect.flatMap(window.read(offset, lengthMax), (block) =>
      block.length === 0 ? Effect.fail(new LocalShrank()) : Effect.succeed(block)
    )

  const catchUp = Effect.fnUntraced(function* (to: number) {
    while (wholeAt < to) {
      take(yield* readNext(wholeAt, to - wholeAt))
    }
  })

  // Every byte passes here at least once, in order: the digest of the whole takes it the first time, also when the walk
  // looks behind a chunk that it has not read.
  const read: Read<E> = (offset, length) =>
    Effect.tap(Effect.andThen(catchUp(offset), readNext(offset, length)), (block) =>
      Effect.sync(() => takeTo(offset + block.length))
    )

  const digestOf = Effect.fnUntraced(function* (
    offset: number,
    length: number
  ): Effect.fn.Return<PieceDigest, E | LocalShrank> {
    const hasher = hash()
    yield* catchUp(offset)
    for (let at = offset; at < offset + length;) {
      const block = yield* readNext(at, offset + length - at)
      // Hashed twice while the processor has it at hand.
      for (let slice = 0; slice < block.length; slice += hashSliceBytes) {
        const bytes = block.subarray(slice, slice + hashSliceBytes)
        takeTo(at + slice + bytes.length)
        hasher.update(bytes)
      }
      at += block.length
    }
    return hasher.end()
  })

  /** Bytes at hand, taken by the digest of the whole, good until the next read. */
  const held = (offset: number, length: number): Uint8Array | undefined => {
    const bytes = offset <= wholeAt ? window.held(offset, length) : undefined
    if (bytes !== undefined) takeTo(offset + length)
    return bytes
  }

  /** From here on both ends are at work. */
  const turned = (): void => {
    window = ReadWindow.make(local, local.size)
  }

  return { whole, sofar: () => shortenSofar(whole), read, held, digestOf, catchUp, turned }
}

/** Cuts the local file ahead of the walk, and remembers what the walk has not passed. */
export const makeAhead = <E, E2, E3>({ coarse, local }: MatchOptions<E, E2, E3>, hash: PieceHash, read: Read<E>) => {
  const rules = rulesFor(coarse.averageLog2)
  const blockBytes = Math.min(contentBlockBytes, searchPiecesMax * 2 ** coarse.averageLog2)
  let cutter = makeCutter(hash, rules)
  let pieces: ReadonlyArray<Piece> = []
  // The end of the last piece that was cut, and of what was read.
  let cutTo = 0
  let readTo = 0

  return {
    /** Goes to a boundary, and gives the pieces behind it that are cut already; anywhere else the cut begins anew. */
    from: (at: number): ReadonlyArray<Piece> => {
      pieces = pieces.filter(({ offset }) => offset >= at)
      if ((pieces[0]?.offset ?? cutTo) !== at) {
        cutter = makeCutter(hash, rules, at)
        pieces = []
        cutTo = at
        readTo = at
      }
      return pieces
    },
    /** Cuts one more block: the pieces that end in it. */
    next: Effect.fnUntraced(function* (keep: boolean): Effect.fn.Return<ReadonlyArray<Piece>, E | LocalShrank> {
      const block = yield* read(readTo, Math.min(blockBytes, local.size - readTo))
      readTo += block.length
      const last = cutter.push(block)
      const end = readTo < local.size ? undefined : cutter.end()
      const fresh = end === undefined ? last : [...last, end]
      for (const { length } of fresh) cutTo += length
      pieces = keep ? [...pieces, ...fresh] : fresh
      return fresh
    }),
    cutTo: () => cutTo,
    ended: () => readTo >= local.size
  }
}
