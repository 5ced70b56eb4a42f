/**
 * How a client brings an older local copy up to date: what the copy already has is found by the server's signature, and
 * only the rest is asked for.
 */
import { Effect } from "effect"
import type { ContentDigest, Digest } from "../domain/file/Digest.ts"
import {
  contentBlockBytes,
  findingsWaitingMax,
  hintBytesMax,
  hintRatioMax,
  packedBytesMax,
  wantedShare
} from "../domain/limits.ts"
import * as ReadWindow from "../domain/store/ReadWindow.ts"
import type { Readable } from "../domain/store/ReadWindow.ts"
import type { Found } from "../domain/transfer/Findings.ts"
import { type Coarse, match } from "../domain/transfer/Match.ts"
import { makeLook } from "../domain/transfer/CloserLook.ts"
import { SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { Piece, PieceDigest } from "../domain/transfer/Signature.ts"
import { type Range, rangeBytes } from "../domain/file/Packed.ts"
import type { CommandError } from "./ClientError.ts"
import { type Questions, walkErrors } from "./Questions.ts"

/** Where a part of the server's file comes from, in its order, without gaps. */
export type Part =
  | { readonly _tag: "Local"; readonly offset: number; readonly length: number }
  | { readonly _tag: "Wanted"; readonly offset: number; readonly length: number }

export interface Plan {
  /** of the local copy as a whole */
  readonly digest: ContentDigest
  readonly parts: ReadonlyArray<Part>
}

/** A part of the server's file that stands in the local copy. */
interface Have {
  readonly target: number
  readonly local: number
  readonly length: number
}

/**
 * Finds what the local copy has of the server's file.
 *
 * @param walked told of bytes of the copy that were compared
 */
export const plan = Effect.fnUntraced(function* <E>(
  digest: Digest["Service"],
  copy: Readable<E> & { readonly size: number },
  coarse: Coarse,
  questions: Questions,
  walked: (bytes: number) => void = () => {}
): Effect.fn.Return<Plan, CommandError | E | SourceShrank> {
  const have: Array<Have> = []
  const unknown: Array<Found> = []
  const keep = (found: Found): void => {
    if (found._tag === "Same") have.push({ target: found.base, local: found.offset, length: found.length })
    else unknown.push(found)
  }
  const add = (found: Found) => Effect.sync(() => keep(found))
  const told: Array<Piece> = []
  const { blocksOf, chunksOf } = listening(questions, told)
  const whole = yield* walkErrors(match({ local: copy, from: 0, coarse, digest, chunksOf, emit: add, walked }))

  for (const one of repeats(have, told.splice(0))) have.push(one)
  const missed = unknown.splice(0)
  const look = makeLook({ blocksOf, coarse, digest, local: copy })
  for (let at = 0; at < missed.length; at += findingsWaitingMax) {
    const before = have.length
    for (const found of yield* walkErrors(look(missed.slice(at, at + findingsWaitingMax)))) keep(found)
    // Of one look alone: blocks are too many to be held for all of them.
    for (const one of repeats(have.slice(before), told.splice(0))) have.push(one)
  }
  const again = replaced(partsOf(have, coarse.size), missed, copy.size)
  for (let at = 0; at < again.length; at += findingsWaitingMax) {
    const before = have.length
    for (const found of yield* walkErrors(look(again.slice(at, at + findingsWaitingMax)))) {
      if (found._tag === "Same") keep(found)
    }
    for (const one of repeats(have.slice(before), told.splice(0))) have.push(one)
  }
  if (isMuch(wanted(partsOf(have, coarse.size)), coarse)) {
    yield* chunksOf(0, coarse.groups.length)
    for (const one of repeats(have, told.splice(0))) have.push(one)
  }
  return { digest: whole, parts: partsOf(have, coarse.size) }
})

/**
 * What is wanted though nobody has asked about it, and what the copy has behind what is before it: that was found, but
 * as another place of the server's file, as where zeros of a disk image were written over.
 */
const replaced = (parts: ReadonlyArray<Part>, missed: ReadonlyArray<Found>, size: number): ReadonlyArray<Found> => {
  const again: Array<Found> = []
  const asked = missed
    .flatMap((one) => (one._tag === "Unknown" && one.hint !== undefined ? [one.hint] : []))
    .toSorted((a, b) => a.offset - b.offset)
  let [target, next, askedTo] = [0, 0, 0]
  for (const [index, { _tag, length }] of parts.entries()) {
    const hint = { offset: target, length }
    target += length
    for (let one = asked[next]; one !== undefined && one.offset < target; one = asked[++next]) {
      askedTo = Math.max(askedTo, one.offset + one.length)
    }
    const before = parts[index - 1]
    const offset = before === undefined ? 0 : before.offset + before.length
    const here = Math.min(length, size - offset)
    if (_tag === "Local" || here <= 0 || length > Math.min(hintBytesMax, hintRatioMax * here)) continue
    if (askedTo <= hint.offset) again.push({ _tag: "Unknown", offset, length: here, hint })
  }
  return again
}

/** Whether so much is wanted that all tags cost little beside it: it may be here, and was found as something else. */
const isMuch = (ranges: ReadonlyArray<Range>, { size }: Coarse): boolean =>
  ranges.reduce((sum, { length }) => sum + length, 0) * wantedShare > size

/** The same questions; what they tell of the server's file is put down. */
const listening = ({ blocksOf, chunksOf }: Questions, told: Array<Piece>): Questions => {
  const put = (lists: ReadonlyArray<ReadonlyArray<Piece>>) =>
    Effect.sync(() => {
      for (const pieces of lists) for (const piece of pieces) told.push(piece)
    })
  return {
    chunksOf: (first, count) => Effect.tap(chunksOf(first, count), put),
    blocksOf: (ranges) => Effect.tap(blocksOf(ranges), put)
  }
}

/**
 * Content that the server's file has again and again, as zeros of a disk image: what is found of the copy names one
 * place of it, and the others are made of the same bytes.
 */
const repeats = (have: ReadonlyArray<Have>, pieces: ReadonlyArray<Piece>): ReadonlyArray<Have> => {
  const runs = have.toSorted((a, b) => a.target - b.target)
  const found = new Map<PieceDigest, Have>()
  const missing: Array<Piece> = []
  let next = 0
  let longest: Have | undefined
  for (const piece of pieces.toSorted((a, b) => a.offset - b.offset)) {
    for (let run = runs[next]; run !== undefined && run.target <= piece.offset; run = runs[++next]) {
      if (longest === undefined || endOf(run) >= endOf(longest)) longest = run
    }
    if (longest === undefined || endOf(longest) < piece.offset + piece.length) missing.push(piece)
    else if (!found.has(piece.digest)) {
      const local = longest.local + piece.offset - longest.target
      found.set(piece.digest, { target: piece.offset, local, length: piece.length })
    }
  }
  return missing.flatMap(({ digest, length, offset }) => {
    const same = found.get(digest)
    return same?.length === length ? [{ ...same, target: offset }] : []
  })
}

const endOf = ({ length, target }: Have): number => target + length

/** What of the parts is behind the first `from` bytes of the server's file, which are here already. */
export const behind = (parts: ReadonlyArray<Part>, from: number): ReadonlyArray<Part> => {
  const left: Array<Part> = []
  let at = 0
  for (const part of parts) {
    const skip = Math.min(part.length, Math.max(0, from - at))
    at += part.length
    if (skip < part.length) left.push({ ...part, offset: part.offset + skip, length: part.length - skip })
  }
  return left
}

/** Whether a large one stands in the local copy where it does in the server's file: a clone of the copy has it then. */
export const stays = (parts: ReadonlyArray<Part>): boolean => {
  let at = 0
  return parts.some(({ _tag, length, offset }) => {
    const inPlace = _tag === "Local" && offset === at
    at += length
    return inPlace && length > contentBlockBytes
  })
}

/** The ranges to ask for: all that a plan wants, in order. */
export const wanted = (parts: ReadonlyArray<Part>): ReadonlyArray<Range> =>
  parts.flatMap(({ _tag, length, offset }) => (_tag === "Wanted" ? [{ offset, length }] : []))

/** The bytes of local parts, block by block, good until the next. */
export const localParts = <E>(copy: Readable<E> & { readonly size: number }) => {
  const window = ReadWindow.make(copy, copy.size)
  return Effect.fnUntraced(function* <E2>(
    part: Part,
    take: (block: Uint8Array) => Effect.Effect<void, E2>
  ): Effect.fn.Return<void, E | E2 | SourceShrank> {
    if ((yield* ReadWindow.forEachBlock(window, part, take)) < part.length) return yield* new SourceShrank()
  })
}

/** More ranges than one message holds are not worth naming: the shortest runs of local parts are fetched as well. */
const rangesMax = Math.floor(packedBytesMax / rangeBytes)

const partsOf = (have: ReadonlyArray<Have>, size: number): ReadonlyArray<Part> => {
  const parts: Array<Part> = []
  let at = 0
  const want = (until: number): void => {
    if (until > at) parts.push({ _tag: "Wanted", offset: at, length: until - at })
    at = Math.max(at, until)
  }
  for (const { length, local, target } of have.toSorted((a, b) => a.target - b.target)) {
    // Two local parts may be the same part of the file: the second only helps where it goes on.
    const skip = Math.max(0, at - target)
    if (skip >= length) continue
    want(target + skip)
    const last = parts.at(-1)
    const part: Part = { _tag: "Local", offset: local + skip, length: length - skip }
    // What goes on in both files is one part, though it was found in two.
    if (last?._tag === "Local" && last.offset + last.length === part.offset)
      parts[parts.length - 1] = { ...last, length: last.length + part.length }
    else parts.push(part)
    at = target + length
  }
  want(size)
  return fewer(parts)
}

const fewer = (parts: ReadonlyArray<Part>): ReadonlyArray<Part> => {
  const places = parts.flatMap(({ _tag }, index) => (_tag === "Wanted" ? [index] : []))
  const excess = places.length - rangesMax
  if (excess <= 0) return parts
  // Two ranges become one when all that is between them is fetched.
  const runs = places.slice(1).map((end, index) => parts.slice((places[index] ?? 0) + 1, end))
  const dropped = new Set(
    runs
      .toSorted((a, b) => lengthOf(a) - lengthOf(b))
      .slice(0, excess)
      .flat()
  )
  const joined: Array<Part> = []
  let at = 0
  for (const part of parts) {
    const last = joined.at(-1)
    if (part._tag === "Local" && !dropped.has(part)) joined.push(part)
    else if (last?._tag === "Wanted") joined[joined.length - 1] = { ...last, length: last.length + part.length }
    else joined.push({ _tag: "Wanted", offset: at, length: part.length })
    at += part.length
  }
  return joined
}

const lengthOf = (parts: ReadonlyArray<Part>): number => parts.reduce((sum, { length }) => sum + length, 0)
