/**
 * Questions about the signature of the server's file, within one request.
 */
import { Deferred, Effect, Result, Semaphore } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { blocksAskedBytesMax, groupsAskedMax, packedBytesMax } from "../domain/limits.ts"
import { rulesFor } from "../domain/transfer/Chunker.ts"
import { LocalShrank } from "../domain/transfer/LocalReader.ts"
import type { Coarse } from "../domain/transfer/Match.ts"
import { SourceShrank } from "../domain/transfer/Outgoing.ts"
import { averageLog2For, blockRules, type Piece } from "../domain/transfer/Signature.ts"
import { SignatureRefused } from "../domain/transfer/SignatureCheck.ts"
import type { ClientMessage, ServerMessage, SignatureOffer } from "../domain/wire/Message.ts"
import {
  type PackedRefused,
  packRanges,
  pieceBytes,
  pieceDigestBytes,
  pieceHeadBytes,
  type Range,
  rangeBytes,
  unpackDigests,
  unpackLists,
  unpackPieces
} from "../domain/file/Packed.ts"
import { type CommandError, ProtocolBroken } from "./ClientError.ts"
import type { Request } from "./Requests.ts"

export interface Questions {
  readonly chunksOf: (first: number, count: number) => Effect.Effect<ReadonlyArray<ReadonlyArray<Piece>>, CommandError>
  readonly blocksOf: (ranges: ReadonlyArray<Range>) => Effect.Effect<ReadonlyArray<ReadonlyArray<Piece>>, CommandError>
}

/** What the server offers, checked: its groups cover its file. */
export const coarseOf = Effect.fnUntraced(function* (
  { averageLog2, digest, groups: packed, heads, key, prefixes }: SignatureOffer,
  size: number
): Effect.fn.Return<Coarse, ProtocolBroken> {
  // Chunks smaller than the size gives would be more than a signature has: memory of ours for a lie.
  if (averageLog2 !== averageLog2For(size)) {
    return yield* new ProtocolBroken({ detail: "a signature whose chunks are not those of its file's size" })
  }
  const groups = yield* fits(unpackPieces(packed, { offset: 0, length: size }))
  if (groups.length > groupsAskedMax) {
    return yield* new ProtocolBroken({ detail: "a signature with too many groups" })
  }
  const digests = (bytes: Uint8Array, each: number) => fits(unpackDigests(bytes, groups.length, each))
  const beginnings = prefixes === undefined ? {} : { prefixes: yield* digests(prefixes, pieceDigestBytes) }
  const starts = heads === undefined ? {} : { heads: yield* digests(heads, pieceHeadBytes) }
  return { size, averageLog2, digest, key, groups, ...beginnings, ...starts }
})

/**
 * @param next the next message of the request; refusals come through its error
 */
export const make = (
  request: Pick<Request, "send">,
  coarse: Coarse,
  next: Effect.Effect<ServerMessage, CommandError>
): Questions => {
  // Answers carry no question's name, and come in the order of the questions: each waits for the ones before.
  const asking = Semaphore.makeUnsafe(1)
  let before: Deferred.Deferred<void> | undefined

  const ask = Effect.fnUntraced(function* (
    message: ClientMessage,
    ranges: ReadonlyArray<Range>,
    pieceBytesMin: number
  ): Effect.fn.Return<ReadonlyArray<ReadonlyArray<Piece>>, CommandError> {
    const answered = Deferred.makeUnsafe<void>()
    const turn = yield* asking.withPermit(
      Effect.suspend(() => {
        const earlier = before
        before = answered
        return Effect.as(
          Effect.tapCause(request.send(message), () => Deferred.succeed(answered, undefined)),
          earlier
        )
      })
    )
    const answers = Effect.gen(function* () {
      if (turn !== undefined) yield* Deferred.await(turn)
      return yield* listsOf(next, ranges, pieceBytesMin)
    })
    return yield* Effect.ensuring(answers, Deferred.succeed(answered, undefined))
  })

  return {
    chunksOf: (first, count) =>
      ask(
        { _tag: "NeedChunks", first, count },
        coarse.groups.slice(first, first + count),
        rulesFor(coarse.averageLog2).min
      ),
    blocksOf: (ranges) =>
      Effect.map(
        Effect.forEach(questionsOf(ranges), (some) =>
          ask({ _tag: "NeedBlocks", ranges: packRanges(some) }, some, blockRules.min)
        ),
        (answers) => answers.flat()
      )
  }
}

/** So many ranges fit into one message. */
const rangesAskedMax = Math.floor(packedBytesMax / rangeBytes)

/** As few questions as a server answers: each about a bounded part of its file. */
const questionsOf = (ranges: ReadonlyArray<Range>): ReadonlyArray<ReadonlyArray<Range>> => {
  const questions: Array<Array<Range>> = []
  let bytes = Number.POSITIVE_INFINITY
  for (const range of ranges) {
    const last = questions.at(-1)
    if (last !== undefined && last.length < rangesAskedMax && bytes + range.length <= blocksAskedBytesMax) {
      last.push(range)
      bytes += range.length
    } else {
      questions.push([range])
      bytes = range.length
    }
  }
  return questions
}

/** The lists of an answer, part by part; never more pieces than the ranges can have. */
const listsOf = Effect.fnUntraced(function* (
  next: Effect.Effect<ServerMessage, CommandError>,
  ranges: ReadonlyArray<Range>,
  pieceBytesMin: number
): Effect.fn.Return<ReadonlyArray<ReadonlyArray<Piece>>, CommandError> {
  const piecesMax = ranges.reduce((total, { length }) => total + Math.ceil(length / pieceBytesMin) + 1, 0)
  const parts: Array<Uint8Array> = []
  while (true) {
    const message = yield* next
    if (message._tag !== "Pieces") {
      return yield* new ProtocolBroken({ detail: `${message._tag} instead of what was asked for` })
    }
    // Parts without pieces could go on for ever.
    if (message.pieces.length === 0 && !message.last) return yield* new ProtocolBroken({ detail: "no pieces" })
    parts.push(message.pieces)
    if (Bytes.lengthOf(parts) > piecesMax * pieceBytes) return yield* new ProtocolBroken({ detail: "too many pieces" })
    if (message.last) return yield* fits(unpackLists(Bytes.concat(parts), ranges))
  }
})

const fits = <A>(unpacked: Result.Result<A, PackedRefused>): Effect.Effect<A, ProtocolBroken> =>
  Result.match(unpacked, {
    onFailure: (error) => Effect.fail(new ProtocolBroken({ detail: error.message })),
    onSuccess: Effect.succeed
  })

/** What a walk can fail with, in a client's words. */
export const walkErrors = <A, E, R>(
  walk: Effect.Effect<A, E | LocalShrank | SignatureRefused, R>
): Effect.Effect<A, E | ProtocolBroken | SourceShrank, R> =>
  Effect.catch(walk, (error): Effect.Effect<never, E | ProtocolBroken | SourceShrank> => {
    if (error instanceof LocalShrank) return Effect.fail(new SourceShrank())
    if (error instanceof SignatureRefused) return Effect.fail(new ProtocolBroken({ detail: error.message }))
    return Effect.fail(error)
  })
