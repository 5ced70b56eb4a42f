/**
 * Finds which parts of a local file stand in another file of which only the signature is known.
 *
 * One walk from front to back, in three gears, each used only where the one before failed:
 *
 * 1. **group**: the next group is expected right here; one digest over megabytes confirms it.
 * 2. **chunk**: the group differs, so its chunks are asked for; each is expected in its place, also behind a few that
 *    differ (an overwrite in place).
 * 3. **search**: nothing is where it was expected (an insertion, a move); content is cut into chunks and each is looked
 *    up among all chunks known so far. The first hit goes back to the first gear.
 *
 * Work per byte is bounded on any input: a byte is hashed at most once in each gear (`groupsTried`, `chunksTried`; the
 * search never goes back behind a hit, but for at most `searchPiecesMax` pieces each of the few times that more chunks
 * are asked for), and once for the digest of the whole.
 */
import { Effect } from "effect"
import type { ContentDigest, Digest, Hasher } from "../file/Digest.ts"
import { contentBlockBytes, copyRunBytesMax, expectedMissesMax, hintBytesMax, searchPiecesMax } from "../limits.ts"
import { rulesFor } from "./Chunker.ts"
import type { Source } from "./Outgoing.ts"
import { blockRules, makeCutter, type Piece, type PieceDigest } from "./Signature.ts"

/** A part of the local file and what is known about it, in the order of the local file, without gaps. */
export type Found =
  /** the other file has the same bytes at `base` */
  | { readonly _tag: "Same"; readonly offset: number; readonly length: number; readonly base: number }
  /** not found; `hint` is the range of the other file between the neighbours, where its older form may stand */
  | {
      readonly _tag: "Unknown"
      readonly offset: number
      readonly length: number
      readonly hint: { readonly offset: number; readonly length: number } | undefined
    }

/** What a walk needs to know of the other file. */
export interface Coarse {
  /** bytes */
  readonly size: number
  readonly averageLog2: number
  readonly groups: ReadonlyArray<Piece>
}

export interface MatchOptions<E, E2, E3> {
  readonly local: Pick<Source<E>, "read" | "size">
  /** where to begin, bytes: what is before was matched earlier */
  readonly from: number
  readonly coarse: Coarse
  readonly digest: Digest["Service"]
  /** The chunks of groups `[first, first + count)`; asked at most once for each group. */
  readonly chunksOf: (first: number, count: number) => Effect.Effect<ReadonlyArray<ReadonlyArray<Piece>>, E2>
  /** Takes each finding, in order. */
  readonly emit: (found: Found) => Effect.Effect<void, E3>
  /** Told of bytes that were walked over. */
  readonly walked?: (bytes: number) => void
}

/** The local file shrank while it was walked. */
export class LocalShrank {
  readonly _tag = "LocalShrank"
}

/** A chunk that is expected next: its group and its place in it. */
interface Expected {
  readonly group: number
  readonly chunk: number
}

/**
 * Walks the local file and emits what it finds; gives the digest of the whole local file.
 *
 * Reads sequentially, re-reads a group where it differs, and holds one block and what it knows of the chunks.
 */
export const match = Effect.fnUntraced(function*<E, E2, E3>(
  options: MatchOptions<E, E2, E3>
): Effect.fn.Return<ContentDigest, E | E2 | E3 | LocalShrank> {
  const { coarse, digest, local } = options
  const reader = makeReader(options)
  const known = makeKnownChunks(options)
  const out = makeEmitter(options)
  let at = options.from
  let expected: Expected | undefined = expectedAt(coarse, at)
  let groupsTried = at
  let chunksTried = at

  /** Gear 1. */
  const tryGroup = Effect.fnUntraced(function*(next: Expected) {
    const group = coarse.groups[next.group]
    if (group === undefined || next.chunk !== 0 || at < groupsTried || local.size - at < group.length) return false
    groupsTried = at + group.length
    if ((yield* reader.digestOf(at, group.length)) !== group.digest) return false
    yield* out.same(at, group.length, group.offset)
    at += group.length
    expected = { group: next.group + 1, chunk: 0 }
    return true
  })

  /** Gear 2: the expected chunk, or one of the next few in its place. */
  const tryChunks = Effect.fnUntraced(function*(next: Expected) {
    let place = at
    let candidate: Expected | undefined = next
    for (let misses = 0; misses <= expectedMissesMax && candidate !== undefined; misses += 1) {
      const chunk: Piece | undefined = yield* known.at(candidate)
      if (chunk === undefined || local.size - place < chunk.length) return false
      if (place >= chunksTried) {
        chunksTried = place + chunk.length
        if ((yield* reader.digestOf(place, chunk.length)) === chunk.digest) {
          yield* out.same(place, chunk.length, chunk.offset)
          at = place + chunk.length
          expected = known.after(candidate)
          return true
        }
      }
      place += chunk.length
      candidate = known.after(candidate)
    }
    return false
  })

  /** Gear 3: cuts and looks up until a hit or the end. */
  const search = Effect.fnUntraced(function*() {
    const cutter = makeCutter(digest, rulesFor(coarse.averageLog2), at)
    let pieces: ReadonlyArray<Piece> = []
    let position = at
    while (position < local.size) {
      const block = yield* reader.read(position, Math.min(contentBlockBytes, local.size - position))
      position += block.length
      const last = position < local.size ? undefined : cutter.end
      const cut = [...cutter.push(block), ...(last === undefined ? [] : [last()].filter((piece) => piece !== undefined))]
      if (yield* landed(cut)) return
      // Once everything is known, what was not found will not be.
      pieces = known.complete() ? [] : [...pieces, ...cut]
      if (pieces.length >= searchPiecesMax && !known.complete()) {
        yield* known.more()
        if (yield* landed(pieces)) return
      }
    }
    while (!known.complete()) {
      yield* known.more()
      if (yield* landed(pieces)) return
    }
    at = local.size
  })

  /** Takes the first known piece and those behind it; true when there was one. */
  const landed = Effect.fnUntraced(function*(pieces: ReadonlyArray<Piece>) {
    const first = pieces.findIndex((piece) => known.find(piece) !== undefined)
    if (first < 0) return false
    for (const piece of pieces.slice(first)) {
      const base = known.find(piece)
      if (base === undefined) break
      yield* out.same(piece.offset, piece.length, base.piece.offset)
      at = piece.offset + piece.length
      expected = known.after(base)
    }
    return true
  })

  yield* reader.catchUp(at)
  while (at < local.size) {
    const next: Expected | undefined = expected
    if (next !== undefined && ((yield* tryGroup(next)) || (yield* tryChunks(next)))) continue
    expected = undefined
    yield* search()
  }
  yield* out.end(local.size)
  return reader.whole.digest()
})

/** At the very start the first group is expected, and later whichever group starts there. */
const expectedAt = (coarse: Coarse, at: number): Expected | undefined => {
  const group = coarse.groups.findIndex(({ offset }) => offset === at)
  return group < 0 ? undefined : { group, chunk: 0 }
}

// -----------------------------------------------------------------------------
// Reading and hashing
// -----------------------------------------------------------------------------

const makeReader = <E, E2, E3>({ digest, local, walked }: MatchOptions<E, E2, E3>) => {
  const whole: Hasher = digest.make()
  let wholeAt = 0

  /** Every byte passes here at least once, in order: the digest of the whole takes it the first time. */
  const read = (offset: number, length: number): Effect.Effect<Uint8Array, E | LocalShrank> =>
    Effect.flatMap(local.read(offset, length), (block) => {
      if (block.length < length) return Effect.fail(new LocalShrank())
      if (offset + length > wholeAt) {
        whole.update(block.subarray(wholeAt - offset))
        walked?.(offset + length - wholeAt)
        wholeAt = offset + length
      }
      return Effect.succeed(block)
    })

  const digestOf = Effect.fnUntraced(function*(
    offset: number,
    length: number
  ): Effect.fn.Return<PieceDigest, E | LocalShrank> {
    const hasher = digest.make()
    for (let done = 0; done < length; ) {
      const block = yield* read(offset + done, Math.min(contentBlockBytes, length - done))
      hasher.update(block)
      done += block.length
    }
    return hasher.digest().slice(0, 32)
  })

  const catchUp = Effect.fnUntraced(function*(to: number) {
    while (wholeAt < to) yield* read(wholeAt, Math.min(contentBlockBytes, to - wholeAt))
  })

  return { whole, read, digestOf, catchUp }
}

// -----------------------------------------------------------------------------
// Chunks that were asked for
// -----------------------------------------------------------------------------

/** A chunk of the other file and its place. */
interface KnownChunk extends Expected {
  readonly piece: Piece
}

interface KnownChunks<E> {
  /** The chunk at a place; asks for its group, and ever more of the next ones, when it is not known yet. */
  readonly at: (place: Expected) => Effect.Effect<Piece | undefined, E>
  /** The place behind a place whose group is known; the start of the next group behind the last of one. */
  readonly after: (place: Expected) => Expected | undefined
  readonly find: (piece: Piece) => KnownChunk | undefined
  /** Asks for further groups. */
  readonly more: () => Effect.Effect<void, E>
  readonly complete: () => boolean
}

const makeKnownChunks = <E, E2, E3>({ chunksOf, coarse }: MatchOptions<E, E2, E3>): KnownChunks<E2> => {
  const groups = new Map<number, ReadonlyArray<Piece>>()
  const byDigest = new Map<PieceDigest, KnownChunk>()
  // Twice as many at each request: few round trips when much differs, few bytes when little does.
  let batch = 1

  const load = Effect.fnUntraced(function*(first: number): Effect.fn.Return<void, E2> {
    let count = 0
    while (count < batch && first + count < coarse.groups.length && !groups.has(first + count)) count += 1
    batch *= 2
    const loaded = yield* chunksOf(first, count)
    loaded.forEach((pieces, index) => {
      groups.set(first + index, pieces)
      pieces.forEach((piece, chunk) => {
        // The first of equal chunks: which one is copied does not matter.
        if (!byDigest.has(piece.digest)) byDigest.set(piece.digest, { group: first + index, chunk, piece })
      })
    })
  })

  return {
    at: Effect.fnUntraced(function*({ chunk, group }) {
      if (group >= coarse.groups.length) return undefined
      if (!groups.has(group)) yield* load(group)
      return groups.get(group)?.[chunk]
    }),
    after: ({ chunk, group }) => {
      const pieces = groups.get(group)
      if (pieces !== undefined && chunk + 1 < pieces.length) return { group, chunk: chunk + 1 }
      return group + 1 < coarse.groups.length ? { group: group + 1, chunk: 0 } : undefined
    },
    find: (piece) => {
      const found = byDigest.get(piece.digest)
      return found !== undefined && found.piece.length === piece.length ? found : undefined
    },
    more: () =>
      Effect.suspend(() => {
        const missing = coarse.groups.findIndex((_, index) => !groups.has(index))
        return missing < 0 ? Effect.void : load(missing)
      }),
    complete: () => groups.size === coarse.groups.length
  }
}

// -----------------------------------------------------------------------------
// Findings
// -----------------------------------------------------------------------------

const makeEmitter = <E, E2, E3>({ coarse, emit, from }: MatchOptions<E, E2, E3>) => {
  let done = from
  // Where the other file goes on behind the last finding; unknown at the start of a walk in the middle.
  let base = from === 0 ? 0 : undefined
  let run: Extract<Found, { readonly _tag: "Same" }> | undefined

  const flush = Effect.suspend(() => {
    const last = run
    run = undefined
    return last === undefined ? Effect.void : emit(last)
  })

  const unknown = Effect.fnUntraced(function*(until: number, baseUntil: number): Effect.fn.Return<void, E3> {
    if (until === done) return
    yield* flush
    const length = until - done
    yield* emit({ _tag: "Unknown", offset: done, length, hint: hintFor(coarse, length, base, baseUntil) })
    done = until
  })

  return {
    /** Neighbours that stand in order in both files become one finding. */
    same: Effect.fnUntraced(function*(offset: number, length: number, at: number): Effect.fn.Return<void, E3> {
      yield* unknown(offset, at)
      if (run !== undefined && (run.base + run.length !== at || run.length >= copyRunBytesMax)) yield* flush
      run = run === undefined
        ? { _tag: "Same", offset, length, base: at }
        : { ...run, length: run.length + length }
      done = offset + length
      base = at + length
    }),
    end: (size: number) => Effect.andThen(unknown(size, coarse.size), flush)
  }
}

/**
 * Where the other file may have an older form of a part that was not found: between its neighbours when they stand in
 * order and near each other, otherwise just before what follows.
 */
const hintFor = (coarse: Coarse, length: number, base: number | undefined, baseUntil: number) => {
  const between = base === undefined ? 0 : baseUntil - base
  if (base !== undefined && between > 0 && between <= hintBytesMax) return { offset: base, length: between }
  const window = Math.min(baseUntil, length + 2 ** (coarse.averageLog2 + 1))
  return window > 0 && window <= hintBytesMax ? { offset: baseUntil - window, length: window } : undefined
}

/**
 * Looks closer at a part that was not found: both sides are cut into blocks of about 4 KiB.
 *
 * @param blocks the blocks of the other file's range that the hint named
 * @param content the part's bytes
 */
export const refine = (
  digest: Digest["Service"],
  offset: number,
  content: Uint8Array,
  blocks: ReadonlyArray<Piece>
): ReadonlyArray<Found> => {
  const byDigest = new Map(blocks.map((block) => [block.digest, block]))
  const cutter = makeCutter(digest, blockRules, offset)
  const last = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
    const end = cutter.end()
    return end === undefined ? pieces : [...pieces, end]
  }
  return last(cutter.push(content)).map((piece) => {
    const block = byDigest.get(piece.digest)
    const { length } = piece
    return block !== undefined && block.length === length
      ? { _tag: "Same", offset: piece.offset, length, base: block.offset }
      : { _tag: "Unknown", offset: piece.offset, length, hint: undefined }
  })
}
