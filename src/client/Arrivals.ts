/**
 * What has arrived at the server of what was sent.
 *
 * The system takes megabytes before the first of them leaves, so that a send that has returned tells little on a slow
 * way. The server is asked now and then, behind the content, and answers when it has got there.
 */
import { Effect } from "effect"
import * as TokenBucket from "../domain/channel/TokenBucket.ts"
import {
  arrivalsAskedMax,
  arrivalsAskedPerSecond,
  contentBlockBytes,
  pieceBytesMin,
  systemBytesMax
} from "../domain/limits.ts"
import * as Pieces from "../domain/transfer/Pieces.ts"
import type { CommandError } from "./ClientError.ts"
import type { Request } from "./Requests.ts"

/** Of one try of one transfer. */
export interface Arrivals {
  /** Bytes that may be sent at once, so that their arrival is seen soon: fewer on a slow way. */
  readonly pieceBytes: () => number
  /** So many bytes more were sent, which began at that time: at once, and not when the effect runs. */
  readonly sent: (bytes: number, began: number) => Effect.Effect<void, CommandError>
  /** Everything was sent: `then` is called once when it has arrived, or is taken for that by `settle`. */
  readonly end: (then: () => void) => Effect.Effect<void, CommandError>
  /** The server has answered for all of it: what it was not asked about has arrived as well. */
  readonly settle: () => void
}

/** What is known of the way to the server. */
export interface Pace {
  readonly pieces: Pieces.Pieces
  /** whether the server has ever answered */
  answered: boolean
  /** questions */
  bucket: TokenBucket.TokenBucket
}

/** Of one session, for all its transfers: what is asked while nothing is known is asked once. */
export const makePace = (): Pace => ({ pieces: Pieces.byArrival(), answered: false, bucket: TokenBucket.full })

/**
 * @param size bytes of the file: a small one leaves at once, and nothing is asked
 * @param clock milliseconds, which never go back
 * @param arrived told of bytes that have arrived, all of which were sent once
 */
export const make = (
  request: Pick<Request, "whenReached">,
  size: number,
  pace: Pace,
  clock: () => number,
  arrived: (bytes: number) => void
): Arrivals => {
  const asks = size > contentBlockBytes
  const asked: Array<{ readonly bytes: number; readonly timed: number }> = []
  let [total, untold] = [0, 0]
  /** bytes of which the time is known in which they arrive: from `since` on */
  let [timed, since] = [0, 0]
  let settled = false
  let last: (() => void) | undefined

  const isDue = (now: number): boolean => {
    if (asked.length >= arrivalsAskedMax) return false
    // How quick the way is, nobody knows yet: a quick one has answered by then.
    if (!pace.answered) return untold >= total / 4
    // On a slow way about every piece, of which there are few; on a quick one so many as an eye can tell.
    if (pace.pieces.bytes() < contentBlockBytes) return true
    // Whoever is held up then sends no more, and what has arrived is to be seen.
    if (untold >= systemBytesMax) return true
    const next = TokenBucket.take(pace.bucket, arrivalsAskedPerSecond, now, 1)
    if (next.waitMilliseconds > 0) return false
    pace.bucket = next.bucket
    return true
  }
  const tell = (bytes: number): void => {
    if (bytes > 0) arrived(bytes)
  }
  const ask = Effect.suspend(() => {
    const question = { bytes: untold, timed }
    untold = 0
    timed = 0
    asked.push(question)
    return request.whenReached(() => {
      if (settled) return
      const now = clock()
      if (question.timed > 0) pace.pieces.took(question.timed, now - since)
      since = now
      pace.answered = true
      asked.shift()
      tell(question.bytes)
      if (asked.length === 0) finish()
    })
  })
  const finish = (): void => {
    const then = last
    last = undefined
    then?.()
  }
  const settle = (): void => {
    settled = true
    tell(asked.reduce((sum, { bytes }) => sum + bytes, untold))
    asked.length = 0
    untold = 0
    finish()
  }

  return {
    pieceBytes: () => {
      if (!asks) return contentBlockBytes
      const bytes = pace.pieces.bytes()
      // The first of all are small: something is to be seen soon also on a slow way.
      return pace.answered ? bytes : Math.min(bytes, Math.max(pieceBytesMin, total))
    },
    sent: (bytes, began) => {
      if (!asks || bytes === 0) {
        tell(bytes)
        return Effect.void
      }
      // While nothing is under way nothing was slow.
      if (asked.length === 0) {
        timed = 0
        since = began
      }
      timed += bytes
      untold += bytes
      total += bytes
      return isDue(clock()) ? ask : Effect.void
    },
    end: (then) =>
      Effect.suspend(() => {
        last = then
        if (asked.length === 0) timed = 0
        if (untold > 0) return ask
        if (asked.length === 0) finish()
        return Effect.void
      }),
    settle
  }
}
