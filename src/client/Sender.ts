/**
 * How a client sends a file: whole, from the middle, or as a delta against what the server has.
 *
 * Each gives what the Commit must say: size and digest of the whole file, whatever part of it was sent.
 */
import { Effect, Schema } from "effect"
import type { ContentDigest, Digest } from "../domain/file/Digest.ts"
import { headBytes, togetherBytesMax, togetherPartsMax } from "../domain/limits.ts"
import * as ReadWindow from "../domain/store/ReadWindow.ts"
import { type Op, sendDelta } from "../domain/transfer/Delta.ts"
import type { Coarse } from "../domain/transfer/Match.ts"
import { sendAll, sendRanges, type Source, SourceShrank } from "../domain/transfer/Outgoing.ts"
import { shortDigest } from "../domain/transfer/Signature.ts"
import { packRanges } from "../domain/file/Packed.ts"
import type { ClientMessage } from "../domain/wire/Message.ts"
import { Refusal } from "../domain/wire/Refusal.ts"
import * as Arrivals from "./Arrivals.ts"
import type { CommandError } from "./ClientError.ts"
import type { Counter } from "./Progress.ts"
import { type Questions, walkErrors } from "./Questions.ts"
import type { Request } from "./Requests.ts"

/** The server refused while content was still on its way: these are its last words. */
export class StoppedByRefusal extends Schema.TaggedError<StoppedByRefusal>()("StoppedByRefusal", {
  refusal: Refusal
}) {}

/** What is known of the whole file once it was sent. */
export interface Sent {
  readonly size: number
  readonly digest: ContentDigest
}

export type SendError<E> = CommandError | E | SourceShrank | StoppedByRefusal

export interface Sender<E> {
  /** All of it. */
  readonly whole: Effect.Effect<Sent, SendError<E>>
  /** What comes behind the bytes that the server has from an earlier try. */
  readonly rest: (from: number) => Effect.Effect<Sent, SendError<E>>
  /**
   * What the server's file does not have; nothing when the two are equal.
   *
   * @param settled false when an equal file must be made anew all the same, because its time or bit is another
   */
  readonly changes: (
    from: number,
    coarse: Coarse,
    questions: Questions,
    settled: boolean
  ) => Effect.Effect<Sent, SendError<E>>
  /** How far the server is with what was sent. */
  readonly arrivals: Pick<Arrivals.Arrivals, "end" | "settle">
}

/** The piece digest of a source's first bytes: how the server knows the source again. */
export const headOf = <E>(digest: Digest["Service"], source: Source<E>): Effect.Effect<string, E> =>
  Effect.map(source.read(0, Math.min(headBytes, source.size)), (head) => shortDigest(digest, [head]))

export const make = <E>(
  digest: Digest["Service"],
  request: Request,
  local: Source<E>,
  counter: Counter,
  pace: Arrivals.Pace,
  clock: () => number,
  contentBytesMax: number
): Sender<E> => {
  // What the server has of a file that is another now would be kept for nobody.
  const dropAnother = Effect.flatMap(local.isAnother ?? Effect.succeed(false), (another) =>
    another ? request.drop : Effect.void
  )
  const source = { ...local, unchanged: Effect.tapError(local.unchanged, () => dropAnother) }
  const unlessShrunk = <A>(sending: Effect.Effect<A, SendError<E>>) =>
    Effect.tapError(sending, (error) => (error instanceof SourceShrank ? request.drop : Effect.void))
  const going = Effect.suspend(() => {
    const refusal = request.refused()
    return refusal === undefined ? Effect.void : Effect.fail(new StoppedByRefusal({ refusal }))
  })
  const arrivals = Arrivals.make(request, local.size, pace, clock, counter.moved)
  const sendPiece = (piece: Uint8Array, began: number): Effect.Effect<void, CommandError | StoppedByRefusal> =>
    Effect.andThen(
      going,
      Effect.flatMap(request.sendContent(piece), () => arrivals.sent(piece.length, began))
    )
  const send = (block: Uint8Array): Effect.Effect<void, CommandError | StoppedByRefusal> =>
    Effect.suspend(() => {
      const most = Math.min(contentBytesMax, arrivals.pieceBytes())
      const began = clock()
      if (block.length <= most) return sendPiece(block, began)
      return Effect.andThen(
        sendPiece(block.subarray(0, most), began),
        Effect.suspend(() => send(block.subarray(most)))
      )
    })

  const { flush, perform } = ops(source, counter, arrivals, clock, {
    send,
    sendTogether: (parts) => Effect.andThen(going, request.sendTogether(parts))
  })

  return {
    arrivals,
    whole: unlessShrunk(sendAll({ source, digest, send })),

    rest: Effect.fnUntraced(function* (from: number) {
      counter.reused(from)
      const ranges = source.size > from ? [{ offset: from, length: source.size - from }] : []
      // New bytes leave at once; what the server has is hashed meanwhile.
      const [whole] = yield* Effect.all([digestOf(digest, source), sendRanges({ source, ranges, send })], {
        concurrency: 2
      })
      yield* source.unchanged
      return { size: source.size, digest: whole }
    }, unlessShrunk),

    changes: Effect.fnUntraced(function* (
      from: number,
      coarse: Coarse,
      { blocksOf, chunksOf }: Questions,
      settled: boolean
    ) {
      counter.phase("comparing")
      counter.reused(from)
      const delta = yield* walkErrors(
        sendDelta({
          local: source,
          from,
          coarse,
          digest,
          chunksOf,
          blocksOf,
          send: perform,
          flush,
          walked: (bytes) => counter.compared(bytes, source.size)
        })
      )
      yield* source.unchanged
      if (delta.equal && !settled && source.size > from) {
        yield* perform({ _tag: "Copy", offset: from, length: source.size - from })
        yield* flush
      }
      return { size: source.size, digest: delta.digest }
    }, unlessShrunk)
  }
}

/**
 * Sends the ops of a delta. Small ones wait for each other: what little differs costs a record now and then, and not
 * one for each copy and each piece of content.
 */
const ops = <E>(
  source: Source<E>,
  counter: Counter,
  arrivals: Arrivals.Arrivals,
  clock: () => number,
  {
    send,
    sendTogether
  }: {
    readonly send: (block: Uint8Array) => Effect.Effect<void, CommandError | StoppedByRefusal>
    readonly sendTogether: (
      parts: ReadonlyArray<ClientMessage | Uint8Array>
    ) => Effect.Effect<void, CommandError | StoppedByRefusal>
  }
) => {
  let waiting: Array<ClientMessage | Uint8Array> = []
  let content = 0
  let copied = 0
  const flush = Effect.suspend(() => {
    if (waiting.length === 0) return Effect.void
    const [parts, moved, reused, began] = [waiting, content, copied, clock()]
    waiting = []
    content = 0
    copied = 0
    return Effect.flatMap(sendTogether(parts), () => {
      counter.reused(reused)
      return arrivals.sent(moved, began)
    })
  })
  const perform = Effect.fnUntraced(function* ({ _tag, length, offset }: Op): Effect.fn.Return<void, SendError<E>> {
    const ranges = [{ offset, length }]
    const large = _tag === "Literal" && length > togetherBytesMax
    const bytes = _tag === "Literal" ? length : 0
    if (large || waiting.length >= togetherPartsMax || content + bytes > togetherBytesMax) yield* flush
    if (large) return yield* sendRanges({ source, ranges, send })
    if (_tag === "Copy") {
      waiting.push({ _tag: "Copies", ranges: packRanges(ranges) })
      copied += length
      return
    }
    const block = yield* source.read(offset, length)
    if (block.length < length) return yield* new SourceShrank()
    waiting.push(block)
    content += length
  })
  return { perform, flush }
}

/** The digest of a whole source. */
export const digestOf = Effect.fnUntraced(function* <E>(
  digest: Digest["Service"],
  source: Source<E>
): Effect.fn.Return<ContentDigest, E | SourceShrank> {
  const hasher = digest.make()
  const all = { offset: 0, length: source.size }
  const done = yield* ReadWindow.forEachBlock(ReadWindow.make(source, source.size), all, (block) =>
    Effect.sync(() => hasher.update(block))
  )
  if (done < source.size) return yield* new SourceShrank()
  return hasher.digest()
})
