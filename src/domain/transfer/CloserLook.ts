/**
 * A closer look at what a walk did not find: in blocks of about 4 KiB, and in pieces of them where those differ.
 */
import { Effect, Semaphore } from "effect"
import type { Digest } from "../file/Digest.ts"
import { blocksAskedBytesMax, blocksKnownMax, lostShare, seamEdgeBytes, seamFurtherBytes } from "../limits.ts"
import { type Found, type Hint, lookBytesMax } from "./Findings.ts"
import { LocalShrank } from "./LocalReader.ts"
import type { MatchOptions } from "./Match.ts"
import { refine } from "./Refine.ts"
import { type Seam, seamOf, sew } from "./Seams.ts"
import type { Piece, PieceDigest } from "./Signature.ts"
import { checkBlocks, type SignatureRefused } from "./SignatureCheck.ts"

/** The local file, the size of the other one, and how to ask about it. */
export interface LookOptions<E, E2> {
  readonly local: Pick<MatchOptions<E, E2, never>["local"], "read">
  readonly coarse: { readonly size: number }
  readonly digest: Digest["Service"]
  /** The blocks (`blockRules`) of ranges of the other file, a list for each range. */
  readonly blocksOf: (ranges: ReadonlyArray<Hint>) => Effect.Effect<ReadonlyArray<ReadonlyArray<Piece>>, E2>
}

/** Looks closer at a batch of findings, at most `findingsWaitingMax`: gives them back, the closer ones in place. */
export type Look<E, E2> = (
  batch: ReadonlyArray<Found>
) => Effect.Effect<ReadonlyArray<Found>, E | E2 | LocalShrank | SignatureRefused>

type Unknown = Extract<Found, { readonly _tag: "Unknown" }>

/** Of one transfer: what is told about one part helps the others, for content may have moved. */
export const makeLook = <E, E2>({ blocksOf, coarse, digest, local }: LookOptions<E, E2>): Look<E, E2> => {
  const known = new Map<PieceDigest, Piece>()
  // Bytes that were not found in blocks, and whether all blocks were asked for because of them.
  let lost = 0
  let all = false
  // The content of one part is in memory at a time.
  const reading = Semaphore.makeUnsafe(1)

  const ask = Effect.fnUntraced(function* (ranges: ReadonlyArray<Hint>) {
    if (ranges.length === 0) return []
    const answers = yield* blocksOf(ranges)
    yield* Effect.fromResult(checkBlocks(ranges, answers))
    return answers
  })

  const remember = (blocks: ReadonlyArray<Piece>): void => {
    for (const block of blocks) {
      if (known.size >= blocksKnownMax) return
      if (!known.has(block.digest)) known.set(block.digest, block)
    }
  }

  const withContent = <A>({ length, offset }: Pick<Found, "length" | "offset">, use: (content: Uint8Array) => A) =>
    Effect.flatMap(local.read(offset, length), (content) =>
      content.length < length ? Effect.fail(new LocalShrank()) : Effect.sync(() => use(content))
    ).pipe(reading.withPermit)

  const inBlocks = (part: Unknown, blocks: ReadonlyArray<Piece>) =>
    withContent(part, (content) => refine(digest, part.offset, content, blocks, known))

  /** First in the ranges that hints name, and, where too much has come from elsewhere, in all of the other file. */
  const blocks = Effect.fnUntraced(function* (batch: ReadonlyArray<Found>) {
    const worth = batch.filter(isWorthALook)
    const answers = yield* ask(worth.map(({ hint }) => hint))
    answers.forEach(remember)
    const near = new Map(worth.map((found, index) => [found.offset, answers[index] ?? []]))
    const looked = yield* Effect.forEach(batch, (found) => {
      const blocks = near.get(found.offset)
      return found._tag === "Same" || blocks === undefined ? Effect.succeed([found]) : inBlocks(found, blocks)
    })
    const found = looked.flat()
    lost += found.reduce((sum, { _tag, length }) => (_tag === "Unknown" ? sum + length : sum), 0)
    if (!all) {
      if (coarse.size > blocksAskedBytesMax || lost * lostShare < coarse.size) return found
      all = true
      const [blocks = []] = yield* ask([{ offset: 0, length: coarse.size }])
      remember(blocks)
    }
    const again = yield* Effect.forEach(found, (one) =>
      one._tag === "Same" || one.length > lookBytesMax ? Effect.succeed([one]) : inBlocks(one, [])
    )
    return again.flat()
  })

  /** What is left, where it meets what was found; what was found to its end is followed further. */
  const seams = Effect.fnUntraced(function* (found: ReadonlyArray<Found>, anchors: Anchors, edge: number) {
    const asked = found.map((one, index): Seam | undefined => {
      if (one._tag === "Same" || one.length > lookBytesMax) return undefined
      const [left, right] = anchors(found, index)
      return seamOf(one, left, right, coarse.size, edge)
    })
    const answers = yield* ask(asked.flatMap((seam) => seam?.ranges ?? []))
    const goesOn = new Set<number>()
    let at = 0
    const sewn = yield* Effect.forEach(found, (one, index) => {
      const seam = asked[index]
      if (seam === undefined) return Effect.succeed([one])
      const own = answers.slice(at, (at += seam.ranges.length))
      return Effect.map(
        withContent(one, (content) => sew(digest, seam, content, own)),
        (parts) => {
          for (const part of [parts[0], parts.at(-1)]) {
            if (part?._tag === "Same" && part.length >= edge) goesOn.add(part.offset).add(part.offset + part.length)
          }
          return parts
        }
      )
    })
    return { found: sewn.flat(), goesOn }
  })

  return Effect.fnUntraced(function* (batch: ReadonlyArray<Found>) {
    const hints = new Map(batch.flatMap((one) => ends(one)))
    const hinted: Anchors = (found, index) => {
      const { length, offset } = found[index] ?? nothing
      const [left, right] = neighbours(found, index)
      return [left ?? hints.get(`< ${offset}`), right ?? hints.get(`> ${offset + length}`)]
    }
    const first = yield* seams(yield* blocks(batch), hinted, seamEdgeBytes)
    if (first.goesOn.size === 0) return first.found
    const further: Anchors = (found, index) => {
      const { length, offset } = found[index] ?? nothing
      const [left, right] = neighbours(found, index)
      const has = first.goesOn
      return [has.has(offset) ? left : undefined, has.has(offset + length) ? right : undefined]
    }
    return (yield* seams(first.found, further, seamFurtherBytes)).found
  })
}

/** Where the other file goes on behind what is before a part that was not found, and what is behind it begins there. */
type Anchors = (
  found: ReadonlyArray<Found>,
  index: number
) => readonly [left: number | undefined, right: number | undefined]

const neighbours: Anchors = (found, index) => {
  const [before, behind] = [found[index - 1], found[index + 1]]
  return [
    before?._tag === "Same" ? before.base + before.length : undefined,
    behind?._tag === "Same" ? behind.base : undefined
  ]
}

const nothing = { offset: 0, length: 0 }

/** Where a hint says that the other file goes on, by the ends of what was not found. */
const ends = (one: Found): ReadonlyArray<readonly [string, number]> =>
  one._tag === "Same" || one.hint === undefined
    ? []
    : [
        [`< ${one.offset}`, one.hint.offset],
        [`> ${one.offset + one.length}`, one.hint.offset + one.hint.length]
      ]

const isWorthALook = (found: Found): found is Unknown & { readonly hint: Hint } =>
  found._tag === "Unknown" && found.hint !== undefined && found.length <= lookBytesMax
