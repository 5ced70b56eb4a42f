/** Commands over requests that a test answers, in orders that a network rarely has. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Queue } from "effect"
import * as ClientSession from "../../src/client/ClientSession.ts"
import type { CommandError } from "../../src/client/ClientError.ts"
import type { Answer, Request, Requests } from "../../src/client/Requests.ts"
import { Digest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { packPieces, unpackRanges } from "../../src/domain/file/Packed.ts"
import { offerOf } from "../../src/domain/transfer/Signature.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { lookBytesMax } from "../../src/domain/transfer/Findings.ts"
import { RequestId } from "../../src/domain/wire/Frame.ts"
import type { ClientMessage, ServerMessage } from "../../src/domain/wire/Message.ts"
import type { Refusal } from "../../src/domain/wire/Refusal.ts"
import { baseOf, digest, key, optionsOf, splice, wholeOf } from "../domain/transfer/deltas.ts"

const name = FileName.make("a")
const content = Fixture.bytes(1, 3_000_000)
const base = baseOf(content)

/**
 * A server that answers questions, but lets the fifth for blocks wait until content has come, and then refuses: four
 * are about the first difference.
 */
const refusing = Effect.fnUntraced(function* () {
  const answers = yield* Queue.unbounded<ServerMessage>()
  const taken = yield* Deferred.make<void>()
  let refusal: Refusal | undefined
  let questions = 0
  const { options } = optionsOf(base, content)
  const say = (message: ServerMessage) => Effect.asVoid(Queue.offer(answers, message))
  const pieces = (lists: Effect.Effect<ReadonlyArray<ReadonlyArray<Parameters<typeof packPieces>[0][number]>>>) =>
    Effect.flatMap(lists, (all) => say({ _tag: "Pieces", pieces: packPieces(all.flat()), last: true }))
  const hear = (message: ClientMessage): Effect.Effect<void> => {
    switch (message._tag) {
      case "NeedChunks":
        return pieces(options.chunksOf(message.first, message.count))
      case "NeedBlocks":
        questions += 1
        return questions > 4
          ? Effect.void
          : pieces(
              Effect.flatMap(Effect.orDie(Effect.fromResult(unpackRanges(message.ranges, content.length))), (ranges) =>
                options.blocksOf(ranges)
              )
            )
      default:
        return Effect.void
    }
  }
  /** Content has come: it is refused, and the one answer is taken before more is sent. */
  const refuse = Effect.suspend(() => {
    if (refusal !== undefined) return Effect.void
    refusal = { reason: "no-space" }
    return Effect.andThen(say({ _tag: "Refused", ...refusal }), Deferred.await(taken))
  })
  const next = Effect.flatMap(Queue.take(answers), (message): Effect.Effect<Answer, CommandError> =>
    Effect.as(message._tag === "Refused" ? Deferred.succeed(taken, undefined) : Effect.void, {
      _tag: "Message",
      message
    })
  )
  const request: Request = {
    id: RequestId.make(1),
    atOnce: true,
    next,
    nextJoined: () => next,
    refused: () => refusal,
    sendContent: () => refuse,
    sendParts: () => refuse,
    send: hear,
    sendTogether: () => Effect.void,
    whenReached: (reached) => Effect.sync(reached),
    drop: Effect.void
  }
  const offer = offerOf({ ...base, digest: wholeOf(content), key })
  yield* say({ _tag: "SameFileHere", size: content.length, modified: 0, from: 0, signature: offer })
  const requests: Requests = {
    confirmed: Effect.void,
    begin: () => Effect.succeed(request),
    working: (work) => work,
    apart: (work) => work,
    unlessOver: (work) => work,
    abort: Effect.fail,
    close: Effect.void,
    ended: () => false,
    traffic: { received: 0, sent: 0 }
  }
  return yield* ClientSession.make(requests).pipe(Effect.provideService(Digest, digest))
})

describe("a refusal in the middle of a delta", () => {
  it.effect("is heard also when a question has taken it for its answer", () =>
    Effect.gen(function* () {
      const session = yield* refusing()
      // The first difference is too large for a closer look: while it is sent the second is asked about.
      const large = Fixture.bytes(2, 2 * lookBytesMax)
      const changed = Fixture.source(splice(splice(content, 2_990_000, 100, Uint8Array.of(1)), 100_000, 0, large))
      const others = Effect.repeat(Effect.yieldNow, { times: 1000 })
      const source = {
        ...changed,
        read: (offset: number, length: number) => Effect.andThen(others, changed.read(offset, length))
      }
      const failed = yield* Effect.flip(session.para(name, source))
      assert.strictEqual(failed._tag === "RequestRefused" ? failed.reason : failed._tag, "no-space")
    })
  )
})
