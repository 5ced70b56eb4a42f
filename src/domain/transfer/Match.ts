/**
 * Finds which parts of a local file stand in another file of which only the signature is known.
 *
 * One walk from front to back, in gears, each used only where the one before failed:
 *
 * 0. **beginning**: both files have begun alike so far; the digest of the whole, which has to be computed anyway, is
 *    compared at the end of each group.
 * 1. **group**: the next group is expected right here; one digest over megabytes confirms it.
 * 2. **chunk**: the group differs, so its chunks are asked for; each is expected in its place, also behind a few that
 *    differ (an overwrite in place). While the answer is on its way the walk goes on with the groups behind, as if all
 *    were in place; what was found there waits, and is forgotten when it turns out that the place was lost.
 * 3. **search**: nothing is where it was expected (an insertion, a move); content is cut into chunks and each is looked
 *    up among all chunks known so far, and among the heads of all groups: where a group begins that has moved one
 *    digest confirms it, and only the chunks of the one before are asked for. The first hit goes back to the first
 *    gear.
 *
 * Work per byte is bounded on any input: a byte is hashed once for the digest of the whole, on the whole at most once
 * in the next two gears each (`groupBytes`, `chunksTried`), and in the third about three times at worst: a group that
 * may have moved counts as one in its place, and what was cut is not cut again, unless the second gear left its
 * boundaries, and for that it took at least one chunk. Questions are few: each is about more groups than the one
 * before, and no group is asked for twice.
 */
import { Effect, type Scope } from "effect"
import type { ContentDigest, Digest } from "../file/Digest.ts"
import { expectedMissesMax, movedSearchBytesMax, searchPiecesMax } from "../limits.ts"
import { type Found, makeEmitter } from "./Findings.ts"
import { type Expected, makeKnownChunks } from "./KnownChunks.ts"
import { type LocalShrank, makeAhead, makeReader } from "./LocalReader.ts"
import type { Source } from "./Outgoing.ts"
import { makePassed } from "./PassedGroups.ts"
import { chunkHash, headOfPiece, type Piece, type PieceDigest, pieceDigest } from "./Signature.ts"
import { checkCoarse, type SignatureRefused } from "./SignatureCheck.ts"

export type { Found, Hint } from "./Findings.ts"
export { LocalShrank } from "./LocalReader.ts"

/** What a walk needs to know of the other file. */
export interface Coarse {
  /** bytes */
  readonly size: number
  readonly averageLog2: number
  /** of its groups and chunks: `chunkHash` */
  readonly key: Uint8Array
  readonly groups: ReadonlyArray<Piece>
  /** for each group: of everything from the file's start to the group's end */
  readonly prefixes?: ReadonlyArray<PieceDigest> | undefined
  /** for each group: how the tag of its first chunk begins (`groupHeads`) */
  readonly heads?: ReadonlyArray<string> | undefined
  /** of the whole */
  readonly digest: ContentDigest
}

/** The local file, the coarse half of the other one's signature, and how to ask for the rest. */
export interface MatchOptions<E, E2, E3> {
  readonly local: Pick<Source<E>, "read" | "readInto" | "size">
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

/**
 * Walks the local file and emits what it finds; gives the digest of the whole local file.
 *
 * Reads sequentially, re-reads a group where it differs, and holds a few blocks and what it knows of the chunks.
 */
export const match = Effect.fnUntraced(function* <E, E2, E3>(
  options: MatchOptions<E, E2, E3>
): Effect.fn.Return<ContentDigest, E | E2 | E3 | LocalShrank | SignatureRefused, Scope.Scope> {
  const { coarse, digest, local } = options
  yield* Effect.fromResult(checkCoarse(coarse))
  const hash = chunkHash(digest, coarse.key)
  const reader = makeReader(options, hash)
  const ahead = makeAhead(options, hash, reader.read)
  const known = makeKnownChunks(options)
  const out = makeEmitter(options)
  let at = options.from
  let expected: Expected | undefined
  let [groupsTried, chunksTried, movedTried] = [at, at, at]
  // All that was hashed as groups, in place or moved: no more than lies before where it ends.
  let groupBytes = 0
  const mayHash = (end: number, length: number): boolean => groupBytes + length <= end
  const moves = makeMoves(coarse)
  // Where the expected group was found to differ.
  let differsAt: number | undefined
  const passed = makePassed({ ...options, hash, known, out })

  /** Gear 0: at the end `at` is where the files have begun to differ, or where the walk begins. */
  const begin = Effect.fnUntraced(function* () {
    for (const [index, group] of coarse.groups.entries()) {
      const end = group.offset + group.length
      const prefix = coarse.prefixes?.[index]
      if (prefix === undefined || end > local.size) break
      yield* reader.catchUp(end)
      if (reader.sofar() !== prefix) {
        // What differs is no group in its place either.
        groupsTried = Math.max(at, end)
        // Unless it lies before: of the group that begins here nothing is known then, nor whether it fits.
        if (end > at) differsAt = at
        break
      }
      if (end <= at) continue
      yield* out.same(at, end - at, at)
      at = end
    }
    yield* reader.catchUp(at)
    reader.turned()
    expected = expectedAt(coarse, at)
  })

  /** Gear 1. */
  const tryGroup = Effect.fnUntraced(function* (next: Expected) {
    const group = coarse.groups[next.group]
    if (group === undefined || next.chunk !== 0 || at < groupsTried || local.size - at < group.length) return false
    // Its chunks tell the same, and where it differs nothing is hashed twice.
    if (known.peek(next) !== undefined) return false
    if (!mayHash(at + group.length, group.length)) return false
    groupsTried = at + group.length
    groupBytes += group.length
    if ((yield* reader.digestOf(at, group.length)) !== group.digest) {
      differsAt = at
      return false
    }
    yield* passed.same(at, group.length, group.offset)
    at += group.length
    expected = { group: next.group + 1, chunk: 0 }
    return true
  })

  /** Gear 2 while its chunks are on their way: goes on behind a group that differs. */
  const tryBehind = Effect.fnUntraced(function* (next: Expected) {
    const group = coarse.groups[next.group]
    if (group === undefined || next.chunk !== 0 || differsAt !== at || passed.isFull()) return false
    if (!(yield* passed.differs(at, next.group))) return false
    at += group.length
    expected = { group: next.group + 1, chunk: 0 }
    return true
  })

  /** What has become known of groups that were passed; goes back when the place was lost there. */
  const settle = Effect.fnUntraced(function* (wait: boolean) {
    const lostAt = yield* passed.settle(wait)
    // Nothing is hashed twice as a chunk.
    chunksTried = Math.max(chunksTried, passed.triedTo())
    if (lostAt === undefined) return
    at = lostAt
    expected = undefined
  })

  /** Gear 2 where chunks are known and bytes at hand: one finding for all that match, no effect between them. */
  const tryRun = (next: Expected) => {
    let length = 0
    let place: Expected | undefined = next
    while (place !== undefined) {
      const chunk = known.peek(place)
      const bytes = chunk && reader.held(at + length, chunk.length)
      if (chunk === undefined || bytes === undefined || at + length < chunksTried) break
      chunksTried = at + length + chunk.length
      if (pieceDigest(hash, [bytes]) !== chunk.digest) break
      length += chunk.length
      place = known.after(place)
    }
    return { length, place }
  }

  /** Gear 2: the expected chunks, or one of the next few in its place. */
  const tryChunks = Effect.fnUntraced(function* (next: Expected) {
    const run = tryRun(next)
    if (run.length > 0) {
      yield* out.same(at, run.length, known.peek(next)?.offset ?? 0)
      at += run.length
      expected = run.place
      return true
    }
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
  const search = Effect.fnUntraced(function* () {
    let fresh = ahead.from(at)
    let missed: ReadonlyArray<Piece> = []
    while (true) {
      if ((yield* landed(fresh)) || (yield* moved(missed, fresh))) return
      // Once everything is known, what was not found will not be.
      if (known.complete()) {
        missed = []
        yield* out.pass(ahead.cutTo())
        if (ahead.ended()) break
      } else {
        missed = [...missed, ...fresh]
        const cut = ahead.cutTo() - at
        // A short end is sent for less than all that could be asked about it.
        if (ahead.ended() && cut <= known.bytesOfMore()) break
        if (ahead.ended() || moves.isFar(missed.length, cut)) {
          yield* known.more()
          if (yield* landed(missed)) return
        }
      }
      fresh = ahead.ended() ? [] : yield* ahead.next(!known.complete())
    }
    at = local.size
  })

  /** Takes the first known piece and those behind it; true when there was one. */
  const landed = Effect.fnUntraced(function* (pieces: ReadonlyArray<Piece>) {
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

  /** Goes on behind the first of these pieces that begins a group which is here as a whole; true when there was one. */
  const moved = Effect.fnUntraced(function* (missed: ReadonlyArray<Piece>, fresh: ReadonlyArray<Piece>) {
    if (known.complete()) return false
    for (const [index, piece] of fresh.entries()) {
      const group = moves.groupAt(piece)
      const target = group === undefined ? undefined : coarse.groups[group]
      if (group === undefined || target === undefined || piece.offset < movedTried) continue
      const end = piece.offset + target.length
      if (end > local.size || !mayHash(end, target.length)) continue
      movedTried = end
      groupBytes += target.length
      if ((yield* reader.digestOf(piece.offset, target.length)) !== target.digest) continue
      yield* explain([...missed, ...fresh.slice(0, index)], group - 1)
      yield* out.same(piece.offset, target.length, target.offset)
      at = end
      // The next one is expected here, whatever else was tried.
      groupsTried = end
      expected = { group: group + 1, chunk: 0 }
      return true
    }
    return false
  })

  /** What comes before a group that has moved is most likely the end of the group before it. */
  const explain = Effect.fnUntraced(function* (pieces: ReadonlyArray<Piece>, group: number) {
    if (pieces.length === 0 || group < 0) return
    yield* known.around(group)
    for (const piece of pieces) {
      const base = known.find(piece)
      if (base !== undefined) yield* out.same(piece.offset, piece.length, base.piece.offset)
    }
  })

  yield* begin()
  while (at < local.size || passed.some()) {
    if (passed.some()) {
      yield* settle(at >= local.size)
      if (at >= local.size) continue
    }
    const next: Expected | undefined = expected
    if (next !== undefined && ((yield* tryGroup(next)) || (yield* tryBehind(next)))) continue
    if (passed.some()) {
      yield* settle(true)
      continue
    }
    if (next !== undefined && (yield* tryChunks(next))) continue
    expected = undefined
    yield* search()
  }
  yield* out.end(local.size)
  return reader.whole.digest()
}, Effect.scoped)

/** At the very start the first group is expected, and later whichever group starts there. */
const expectedAt = (coarse: Coarse, at: number): Expected | undefined => {
  const group = coarse.groups.findIndex(({ offset }) => offset === at)
  return group < 0 ? undefined : { group, chunk: 0 }
}

/** Where groups begin, for content that is not where it was. */
const makeMoves = ({ groups, heads }: Coarse) => {
  const byHead = new Map<string, number>()
  // The first of equal ones: which one is copied does not matter.
  for (const [group, head] of heads?.entries() ?? []) if (!byHead.has(head)) byHead.set(head, group)
  const longest = groups.reduce((most, { length }) => Math.max(most, length), 0)
  // A run of two groups that has moved has the beginning of one, and all of it.
  const reach = heads === undefined ? 0 : Math.min(movedSearchBytesMax, 2 * longest)
  return {
    groupAt: ({ digest }: Piece): number | undefined => byHead.get(headOfPiece(digest)),
    /** Whether a search that has cut so much in vain should know all chunks. */
    isFar: (pieces: number, bytes: number): boolean => pieces >= searchPiecesMax && bytes >= reach
  }
}
