/**
 * What a walk has found, in the order of the local file: neighbours become one, and what was not found gets a hint.
 */
import { Effect } from "effect"
import { copyRunBytesMax, hintBytesMax, hintRatioMax } from "../limits.ts"
import type { Coarse, MatchOptions } from "./Match.ts"

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

/** Takes findings as the walk makes them, and emits them. */
export interface Emitter<E> {
  readonly same: (offset: number, length: number, at: number) => Effect.Effect<void, E>
  readonly pass: (until: number) => Effect.Effect<void, E>
  readonly end: (size: number) => Effect.Effect<void, E>
}

export const makeEmitter = <E, E2, E3>({ coarse, emit, from }: MatchOptions<E, E2, E3>): Emitter<E3> => {
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
