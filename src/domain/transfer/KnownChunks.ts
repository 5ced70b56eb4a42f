/**
 * What a walk knows of the other file's chunks, and how it comes to know more: few questions, and no group twice.
 */
import { Effect, Fiber, type Scope } from "effect"
import { pieceBytes } from "../file/Packed.ts"
import type { MatchOptions } from "./Match.ts"
import type { Piece, PieceDigest } from "./Signature.ts"
import { checkChunks, type SignatureRefused } from "./SignatureCheck.ts"

/** A chunk that is expected next: its group and its place in it. */
export interface Expected {
  readonly group: number
  readonly chunk: number
}

/** A chunk of the other file and its place. */
export interface KnownChunk extends Expected {
  readonly piece: Piece
}

export interface KnownChunks<E> {
  /** The chunk at a place; asks for its group, and ever more of the next ones, when it is not known yet. */
  readonly at: (place: Expected) => Effect.Effect<Piece | undefined, E, Scope.Scope>
  /** The same without asking. */
  readonly peek: (place: Expected) => Piece | undefined
  /** All chunks of a group, none when they are not known. */
  readonly of: (group: number) => ReadonlyArray<Piece>
  /** The place behind a place whose group is known; the start of the next group behind the last of one. */
  readonly after: (place: Expected) => Expected | undefined
  readonly find: (piece: Piece) => KnownChunk | undefined
  /** Asks for a group, and ever more of the next ones, and does not wait for the answer. */
  readonly ahead: (group: number) => Effect.Effect<void, never, Scope.Scope>
  /** Whether `wait` would not wait: it was answered, or failed. */
  readonly answered: (group: number) => boolean
  /** Waits for a group that was asked for. */
  readonly wait: (group: number) => Effect.Effect<void, E>
  /** Asks for the groups from there to the next that is known. */
  readonly more: () => Effect.Effect<void, E, Scope.Scope>
  /** About how many bytes the answers about all that is missing have: for less than that nobody asks. */
  readonly bytesOfMore: () => number
  /** Knows the chunks of a group that was not expected: alone the first time, and as many as there are from then on. */
  readonly around: (group: number) => Effect.Effect<void, E, Scope.Scope>
  readonly complete: () => boolean
}

/** Groups whose chunks the second question is about. */
const secondBatch = 8

export const makeKnownChunks = <E, E2, E3>(
  options: Pick<MatchOptions<E, E2, E3>, "chunksOf" | "coarse" | "from">
): KnownChunks<E2 | SignatureRefused> => {
  const { chunksOf, coarse, from } = options
  const groups = new Map<number, ReadonlyArray<Piece>>()
  const asked = new Map<number, Fiber.Fiber<void, E2 | SignatureRefused>>()
  const byDigest = new Map<PieceDigest, KnownChunk>()
  // One, eight, all: few round trips when much differs, few bytes when little does. Nobody stands still for what is
  // asked ahead: twice as many each time, so that answers about blocks need not wait behind all there is.
  let batch = 1
  // What is missing is looked for from here on: content that moved has rarely moved far.
  let near = Math.max(
    0,
    coarse.groups.findLastIndex(({ offset }) => offset <= from)
  )
  let wasAround = false

  const isMissing = (group: number): boolean => group >= 0 && group < coarse.groups.length && !asked.has(group)

  const ask = Effect.fnUntraced(function* (first: number, end: number): Effect.fn.Return<void, E2 | SignatureRefused> {
    const loaded = yield* chunksOf(first, end - first)
    yield* Effect.fromResult(checkChunks(coarse, coarse.groups.slice(first, end), loaded))
    loaded.forEach((pieces, index) => {
      groups.set(first + index, pieces)
      pieces.forEach((piece, chunk) => {
        // The first of equal chunks: which one is copied does not matter.
        if (!byDigest.has(piece.digest)) byDigest.set(piece.digest, { group: first + index, chunk, piece })
      })
    })
  })

  const start = Effect.fnUntraced(function* (first: number, end: number): Effect.fn.Return<void, never, Scope.Scope> {
    near = end
    const fiber = yield* Effect.forkScoped(ask(first, end), { startImmediately: true })
    for (let group = first; group < end; group++) asked.set(group, fiber)
  })

  const load = Effect.fnUntraced(function* (
    wanted: number,
    next: number = coarse.groups.length
  ): Effect.fn.Return<void, never, Scope.Scope> {
    let first = wanted
    let end = wanted + 1
    while (end - first < batch && isMissing(end)) end += 1
    // When most was asked for, gaps are closed whole: a walk that jumps backwards must not ask group by group.
    while (batch >= coarse.groups.length && isMissing(first - 1)) first -= 1
    batch = batch === 1 ? secondBatch : next
    yield* start(first, end)
  })

  const wait = (group: number): Effect.Effect<void, E2 | SignatureRefused> =>
    Effect.suspend(() => {
      const fiber = asked.get(group)
      return fiber === undefined || groups.has(group) ? Effect.void : Fiber.join(fiber)
    })
  const waitForAll = Effect.suspend(() => Effect.forEach(asked.keys(), wait, { discard: true }))

  return {
    at: Effect.fnUntraced(function* ({ chunk, group }) {
      if (group >= coarse.groups.length) return undefined
      near = group
      if (isMissing(group)) yield* load(group)
      yield* wait(group)
      return groups.get(group)?.[chunk]
    }),
    peek: ({ chunk, group }) => groups.get(group)?.[chunk],
    of: (group) => groups.get(group) ?? [],
    after: ({ chunk, group }) => {
      const pieces = groups.get(group)
      if (pieces !== undefined && chunk + 1 < pieces.length) return { group, chunk: chunk + 1 }
      return group + 1 < coarse.groups.length ? { group: group + 1, chunk: 0 } : undefined
    },
    find: (piece) => {
      const found = byDigest.get(piece.digest)
      return found !== undefined && found.piece.length === piece.length ? found : undefined
    },
    ahead: (group) => Effect.suspend(() => (isMissing(group) ? load(group, 2 * batch) : Effect.void)),
    answered: (group) => groups.has(group) || asked.get(group)?.pollUnsafe() !== undefined,
    wait,
    more: Effect.fnUntraced(function* () {
      const behind = coarse.groups.findIndex((_, index) => index >= near && isMissing(index))
      const missing = behind < 0 ? coarse.groups.findIndex((_, index) => isMissing(index)) : behind
      // What is new here, or has come from far, is as long as the tags of all that there is to know.
      batch = coarse.groups.length
      if (missing >= 0) yield* load(missing)
      yield* waitForAll
    }),
    bytesOfMore: () => {
      const missing = coarse.groups.reduce((sum, { length }, group) => (groups.has(group) ? sum : sum + length), 0)
      return (missing / 2 ** coarse.averageLog2) * pieceBytes
    },
    around: Effect.fnUntraced(function* (group) {
      if (isMissing(group)) {
        const isFirst = !wasAround
        wasAround = true
        if (!isFirst) batch = coarse.groups.length
        yield* isFirst ? start(group, group + 1) : load(group)
      }
      yield* wait(group)
    }),
    complete: () => groups.size === coarse.groups.length
  }
}
