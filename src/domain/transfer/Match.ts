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
import { Effect, Schema, type Scope } from "effect"
import type { ContentDigest, Digest, Hasher } from "../file/Digest.ts"
import {
  answerTurnsMax,
  asideBytes,
  contentBlockBytes,
  copyRunBytesMax,
  expectedMissesMax,
  groupsPassedMax,
  hashSliceBytes,
  hintBytesMax,
  hintRatioMax,
  movedSearchBytesMax,
  searchPiecesMax
} from "../limits.ts"
import { rulesFor } from "./Chunker.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import type { Source } from "./Outgoing.ts"
import {
  blockHash,
  blockRules,
  chunkHash,
  headOfPiece,
  makeCutter,
  type Piece,
  type PieceDigest,
  pieceDigest,
  type PieceHash,
  shortenSofar
} from "./Signature.ts"
import { checkCoarse, type SignatureRefused } from "./SignatureCheck.ts"
import { type Expected, type KnownChunks, makeKnownChunks } from "./KnownChunks.ts"

/** A part of the local file and what is known about it, in the order of the local file, without gaps. */
export type Found =
  /** the other file has the same bytes at `base` */
  | { readonly _tag: "Same"; readonly offset: number; readonly length: number; readonly base: number }
  /** not found; `hint` is the range of the other file between the neighbours, where its older form may stand */
  | {
      readonly _tag: "Unknown"
      readonly offset: number
      readonly length: number
      readonly hint: Hint | undefined
    }

/** A range of the other file, bytes. */
export interface Hint {
  readonly offset: number
  readonly length: number
}

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

/** The local file became shorter while it was walked. */
export class LocalShrank extends Schema.TaggedError<LocalShrank>()("LocalShrank", {}) {
  override get message(): string {
    return "the file became shorter while it was compared: send it again"
  }
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

// -----------------------------------------------------------------------------
// Groups that were passed
// -----------------------------------------------------------------------------

/** What waits: a group that differs at a place of the local file, or a finding behind one. */
type Passed =
  | { readonly _tag: "Differs"; readonly at: number; readonly group: number }
  | { readonly _tag: "Same"; readonly offset: number; readonly length: number; readonly base: number }

interface PassedOptions<E, E2, E3> extends MatchOptions<E, E2, E3> {
  readonly hash: PieceHash
  readonly known: KnownChunks<E2 | SignatureRefused>
  readonly out: Emitter<E3>
}

/** Groups that differ where they were expected, until their chunks are known, and what was found behind them. */
const makePassed = <E, E2, E3>({ coarse, hash, known, local, out }: PassedOptions<E, E2, E3>) => {
  let waiting: Array<Passed> = []
  // Groups in a row of which nobody knows whether they are in place.
  let unsure = 0
  // Up to where chunks were hashed, up to where all is settled, and chunks that differ in a row from there on.
  let triedTo = 0
  let settledTo = 0
  let misses = 0
  const window = ReadWindow.make(local, local.size)

  const digestOf = Effect.fnUntraced(function* (
    offset: number,
    length: number
  ): Effect.fn.Return<PieceDigest, E | LocalShrank> {
    const hasher = hash()
    const take = (block: Uint8Array) => Effect.sync(() => hasher.update(block))
    if ((yield* ReadWindow.forEachBlock(window, { offset, length }, take)) < length) return yield* new LocalShrank()
    return hasher.end()
  })

  const same = Effect.fnUntraced(function* (offset: number, length: number, base: number): Effect.fn.Return<void, E3> {
    yield* out.same(offset, length, base)
    settledTo = offset + length
    misses = 0
  })

  /** True when so many chunks in a row differ that nothing is in its place any more. */
  const lost = Effect.fnUntraced(function* (
    at: number,
    group: number
  ): Effect.fn.Return<boolean, E | E2 | E3 | LocalShrank | SignatureRefused> {
    const start = coarse.groups[group]?.offset ?? 0
    for (const { digest, length, offset } of known.of(group)) {
      const place = at + offset - start
      triedTo = place + length
      if ((yield* digestOf(place, length)) === digest) yield* same(place, length, offset)
      else if ((misses += 1) > expectedMissesMax) return true
    }
    return false
  })

  return {
    some: () => waiting.length > 0,
    isFull: () => unsure >= groupsPassedMax,
    triedTo: () => triedTo,
    same: (offset: number, length: number, base: number) =>
      Effect.suspend(() => {
        unsure = 0
        if (waiting.length === 0) return out.same(offset, length, base)
        waiting.push({ _tag: "Same", offset, length, base })
        return Effect.void
      }),
    /** Asks for its chunks; false when they are known at once. */
    differs: Effect.fnUntraced(function* (at: number, group: number) {
      yield* known.ahead(group)
      // From near an answer comes at once: what differs need not be read again then.
      for (let turn = 0; turn < answerTurnsMax && waiting.length === 0 && !known.answered(group); turn++) {
        yield* Effect.yieldNow
      }
      if (known.answered(group)) return false
      if (waiting.length === 0) settledTo = at
      waiting.push({ _tag: "Differs", at, group })
      unsure += 1
      return true
    }),
    /** Where the place was lost, if it was: then nothing waits. Without `wait` only what is known is settled. */
    settle: Effect.fnUntraced(function* (
      wait: boolean
    ): Effect.fn.Return<number | undefined, E | E2 | E3 | LocalShrank | SignatureRefused> {
      // Answers come in between.
      yield* Effect.yieldNow
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        if (next._tag === "Differs" && !wait && !known.answered(next.group)) return undefined
        waiting.shift()
        if (next._tag === "Same") {
          yield* same(next.offset, next.length, next.base)
          continue
        }
        yield* known.wait(next.group)
        if (!(yield* lost(next.at, next.group))) continue
        for (const behind of waiting) if (behind._tag === "Differs") yield* known.wait(behind.group)
        waiting = []
        unsure = 0
        misses = 0
        return settledTo
      }
      unsure = 0
      misses = 0
      return undefined
    })
  }
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

// -----------------------------------------------------------------------------
// Reading and hashing
// -----------------------------------------------------------------------------

/** From 1 to `lengthMax` bytes from `offset`, good until the next call. */
type Read<E> = (offset: number, lengthMax: number) => Effect.Effect<Uint8Array, E | LocalShrank>

const makeReader = <E, E2, E3>({ digest, local, walked }: MatchOptions<E, E2, E3>, hash: PieceHash) => {
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
const makeAhead = <E, E2, E3>({ coarse, local }: MatchOptions<E, E2, E3>, hash: PieceHash, read: Read<E>) => {
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

// -----------------------------------------------------------------------------
// Findings
// -----------------------------------------------------------------------------

interface Emitter<E> {
  readonly same: (offset: number, length: number, at: number) => Effect.Effect<void, E>
  readonly pass: (until: number) => Effect.Effect<void, E>
  readonly end: (size: number) => Effect.Effect<void, E>
}

const makeEmitter = <E, E2, E3>({ coarse, emit, from }: MatchOptions<E, E2, E3>): Emitter<E3> => {
  let done = from
  // Where the other file goes on behind the last finding; unknown at the start of a walk in the middle.
  let base = from === 0 ? 0 : undefined
  let run: Extract<Found, { readonly _tag: "Same" }> | undefined

  const flush = Effect.suspend(() => {
    const last = run
    run = undefined
    return last === undefined ? Effect.void : emit(last)
  })

  const unknown = Effect.fnUntraced(function* (
    until: number,
    hint: (length: number) => Hint | undefined
  ): Effect.fn.Return<void, E3> {
    if (until === done) return
    yield* flush
    const length = until - done
    yield* emit({ _tag: "Unknown", offset: done, length, hint: hint(length) })
    done = until
  })

  return {
    /** Neighbours that stand in order in both files become one finding. */
    same: Effect.fnUntraced(function* (offset: number, length: number, at: number): Effect.fn.Return<void, E3> {
      yield* unknown(offset, (gap) => hintBetween(coarse, gap, base, at))
      if (run !== undefined && (run.base + run.length !== at || run.length >= copyRunBytesMax)) yield* flush
      run = run === undefined ? { _tag: "Same", offset, length, base: at } : { ...run, length: run.length + length }
      done = offset + length
      base = at + length
    }),
    /** Nothing before `until` will be found: what is too long for a closer look need not wait for the next hit. */
    pass: Effect.fnUntraced(function* (until: number): Effect.fn.Return<void, E3> {
      if (until - done <= lookBytesMax) return
      yield* flush
      yield* emit({ _tag: "Unknown", offset: done, length: until - done, hint: undefined })
      done = until
    }),
    end: (size: number) =>
      Effect.andThen(
        unknown(size, (gap) => hintAfter(coarse, gap, base) ?? hintBetween(coarse, gap, base, coarse.size)),
        flush
      )
  }
}

/** The longest part that is looked at closer, bytes: it is held in memory for that. */
export const lookBytesMax = 2 * hintBytesMax

/**
 * Where the other file may have an older form of a part that was not found: between its neighbours when they stand in
 * order and near each other, otherwise just before what follows. Never so much more than the part itself that asking
 * would cost more than it can save.
 */
const hintBetween = (coarse: Coarse, length: number, base: number | undefined, baseUntil: number): Hint | undefined => {
  const between = base === undefined ? 0 : baseUntil - base
  if (base !== undefined && between > 0 && between <= longestHint(length)) return { offset: base, length: between }
  const window = Math.min(baseUntil, windowFor(coarse, length))
  return window > 0 && window <= longestHint(length) ? { offset: baseUntil - window, length: window } : undefined
}

/** The same for the end of the local file, where the other one goes on: what was found last most likely goes on too. */
const hintAfter = (coarse: Coarse, length: number, base: number | undefined): Hint | undefined => {
  const window = windowFor(coarse, length)
  const isLonger = base !== undefined && coarse.size - base > window
  return isLonger && window <= longestHint(length) ? { offset: base, length: window } : undefined
}

/** Of a part of that length, bytes. */
const longestHint = (length: number): number => Math.min(hintBytesMax, hintRatioMax * length)

/** As long as the part itself, and a chunk on each side. */
const windowFor = ({ averageLog2 }: Coarse, length: number): number => length + 2 ** (averageLog2 + 1)

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
  const cutter = makeCutter(blockHash(digest), blockRules, offset)
  const last = (pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => {
    const end = cutter.end()
    return end === undefined ? pieces : [...pieces, end]
  }
  const found: Array<Found> = []
  for (const { digest, length, offset } of last(cutter.push(content))) {
    const block = byDigest.get(digest)
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
