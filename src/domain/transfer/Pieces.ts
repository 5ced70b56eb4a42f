/**
 * How much content goes into one record: only a record that has come whole can be shown, and kept when the connection
 * is lost. On a slow way that is little, so that something moves a few times each second.
 */
import { Effect } from "effect"
import { contentBlockBytes, pieceBytesMin, pieceMilliseconds, systemBytesMax } from "../limits.ts"

/** Of one session, in one direction. */
export interface Pieces {
  /** bytes of the next one, at most */
  readonly bytes: () => number
  /** So many bytes took so many milliseconds. */
  readonly took: (bytes: number, milliseconds: number) => void
}

/**
 * By the time that what was sent takes to arrive. Pieces are whole until that has been long: under load answers are
 * late as well, and small pieces would be more of it.
 */
export const byArrival = (): Pieces => make(contentBlockBytes, 2 * contentBlockBytes)

/**
 * By the time that it takes to send. What the system takes at once tells nothing of the way: a piece grows and shrinks
 * by what was waited for, and by what no system holds. The first are small: how quick the way is, nobody knows yet.
 */
export const bySending = (): Pieces => make(pieceBytesMin, systemBytesMax)

/** @param enoughBytes after so many the time that they took tells something, however short it was */
const make = (first: number, enoughBytes: number): Pieces => {
  let piece = first
  let known = first === contentBlockBytes
  /** since the way was last measured */
  let [sent, took] = [0, 0]
  const measured = (goal: number): void => {
    if (goal >= 2 * piece) piece = Math.min(contentBlockBytes, 2 * piece)
    else if (goal < piece / 2) piece = Math.max(pieceBytesMin, Math.floor(goal))
  }
  return {
    bytes: () => piece,
    took: (bytes, milliseconds) => {
      sent += bytes
      took += milliseconds
      if (took >= 2 * pieceMilliseconds || sent >= enoughBytes) {
        const goal = (sent * pieceMilliseconds) / Math.max(1, took)
        // What the system took at first has not crossed: that time is short for it.
        measured(known ? goal : Math.min(goal, piece))
        known = true
        sent = 0
        took = 0
      } else if (!known) {
        piece = Math.min(contentBlockBytes, Math.max(piece, Math.floor(sent / firstPieces)))
      }
    }
  }
}

/** Before the way is known a piece takes at most about such a part of the time in which all before it have come. */
const firstPieces = 2

/**
 * Sends blocks in pieces, as small as the way is slow.
 *
 * @param clock milliseconds, which never go back
 * @param send returns when the piece is on its way, and not before there is room for more
 */
export const sendIn = <E>(
  pieces: Pieces,
  clock: () => number,
  send: (piece: Uint8Array) => Effect.Effect<void, E>
): ((block: Uint8Array) => Effect.Effect<void, E>) => {
  const sendBlock = (block: Uint8Array): Effect.Effect<void, E> =>
    Effect.suspend(() => {
      const bytes = Math.min(block.length, pieces.bytes())
      const since = clock()
      return Effect.flatMap(send(bytes < block.length ? block.subarray(0, bytes) : block), () => {
        pieces.took(bytes, clock() - since)
        return bytes < block.length ? sendBlock(block.subarray(bytes)) : Effect.void
      })
    })
  return sendBlock
}
