/**
 * Groups that differ where they were expected, until their chunks are known, and what was found behind them.
 */
import { Effect } from "effect"
import { answerTurnsMax, expectedMissesMax, groupsPassedMax } from "../limits.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import type { Emitter } from "./Findings.ts"
import type { KnownChunks } from "./KnownChunks.ts"
import { LocalShrank } from "./LocalReader.ts"
import type { MatchOptions } from "./Match.ts"
import type { PieceDigest, PieceHash } from "./Signature.ts"
import type { SignatureRefused } from "./SignatureCheck.ts"

/** What waits: a group that differs at a place of the local file, or a finding behind one. */
type Passed =
  | { readonly _tag: "Differs"; readonly at: number; readonly group: number }
  | { readonly _tag: "Same"; readonly offset: number; readonly length: number; readonly base: number }

interface PassedOptions<E, E2, E3> extends MatchOptions<E, E2, E3> {
  readonly hash: PieceHash
  readonly known: KnownChunks<E2 | SignatureRefused>
  readonly out: Emitter<E3>
}

/** Of one walk. */
export const makePassed = <E, E2, E3>({ coarse, hash, known, local, out }: PassedOptions<E, E2, E3>) => {
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
