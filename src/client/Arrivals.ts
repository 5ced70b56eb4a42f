/**
 * What has arrived at the server of what was sent.
 *
 * The system takes megabytes before the first of them leaves, so that a send that has returned tells little on a slow
 * way. The server is asked now and then, behind the content, and answers when it has got there.
 */
import { Effect } from "effect"
import * as TokenBucket from "../domain/channel/TokenBucket.ts"
import {
  arrivalsAskedAtOnce,
  arrivalsAskedMax,
  arrivalsAskedPerSecond,
  contentBlockBytes,
  firstPieceBytes
} from "../domain/limits.ts"
import type { CommandError } from "./ClientError.ts"
import type { Request } from "./Requests.ts"

/** Of one try of one transfer. */
export interface Arrivals {
  /** Bytes that may be sent at once, so that their arrival is seen soon: fewer on a slow way. */
  readonly pieceBytes: () => number
  /** So many bytes more were sent: at once, and not when the effect runs. */
  readonly sent: (bytes: number) => Effect.Effect<void, CommandError>
  /** Everything was sent: `then` is called once when it has arrived, or is taken for that by `settle`. */
  readonly end: (then: () => void) => Effect.Effect<void, CommandError>
  /** The server has answered for all of it: what it was not asked about has arrived as well. */
  readonly settle: () => void
}

/**
 * @param size bytes of the file: a small one leaves at once, and nothing is asked
 * @param clock milliseconds, which never go back
 * @param arrived told of bytes that have arrived, all of which were sent once
 */
export const make = (
  request: Pick<Request, "whenReached">,
  size: number,
  clock: () => number,
  arrived: (bytes: number) => void
): Arrivals => {
  const asks = size > contentBlockBytes
  const asked: Array<number> = []
  let [piece, total, untold] = [firstPieceBytes, 0, 0]
  let since: number | undefined
  let [answered, settled] = [false, false]
  let bucket = TokenBucket.full
  let last: (() => void) | undefined

  const isDue = (now: number): boolean => {
    if (asked.length >= arrivalsAskedMax) return false
    // How fast the way is, nobody knows yet: a fast one has answered by then.
    if (!answered) return asked.length < arrivalsAskedAtOnce || untold >= total / 2
    const next = TokenBucket.take(bucket, arrivalsAskedPerSecond, now, 1)
    if (next.waitMilliseconds > 0) return false
    bucket = next.bucket
    return true
  }
  const tell = (bytes: number): void => {
    if (bytes > 0) arrived(bytes)
  }
  const ask = Effect.suspend(() => {
    const bytes = untold
    untold = 0
    asked.push(bytes)
    since ??= clock()
    return request.whenReached(() => {
      if (settled) return
      const now = clock()
      piece = pieceAt(piece, bytes / Math.max(1, now - (since ?? now)))
      since = now
      answered = true
      asked.shift()
      tell(bytes)
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
    tell(asked.reduce((sum, bytes) => sum + bytes, untold))
    asked.length = 0
    untold = 0
    finish()
  }

  return {
    pieceBytes: () => {
      if (!asks) return contentBlockBytes
      return answered ? piece : Math.min(contentBlockBytes, Math.max(piece, total))
    },
    sent: (bytes) => {
      if (!asks || bytes === 0) {
        tell(bytes)
        return Effect.void
      }
      untold += bytes
      total += bytes
      return isDue(clock()) ? ask : Effect.void
    },
    end: (then) =>
      Effect.suspend(() => {
        last = then
        if (untold > 0) return ask
        if (asked.length === 0) finish()
        return Effect.void
      }),
    settle
  }
}

/** A piece is what takes between an eighth and half a second. One slow answer tells little: it is halved at most. */
const pieceAt = (piece: number, bytesPerMillisecond: number): number => {
  const goal = bytesPerMillisecond * 250
  if (goal >= 2 * piece) return Math.min(contentBlockBytes, 2 * piece)
  return goal < piece / 2 ? Math.max(firstPieceBytes, Math.floor(piece / 2)) : piece
}
