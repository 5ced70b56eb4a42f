/**
 * A socket that keeps to a rate, in each direction apart: what a person leaves free of a narrow link for others.
 *
 * Everything counts that crosses the socket. What is read late waits in the kernel, which lets the peer wait in turn.
 */
import { Effect } from "effect"
import { Socket } from "effect/socket"
import * as Bytes from "../Bytes.ts"
import { throttledPieceBytesMax, throttledPiecesPerSecond, throttledRecordsPerSecond } from "../limits.ts"
import * as Monotonic from "../Monotonic.ts"
import { contentBytesIn } from "../wire/Frame.ts"
import * as TokenBucket from "./TokenBucket.ts"

/** Bytes each second, at least 1; without one a direction is as quick as it can be. */
export interface Rates {
  /** of what is written */
  readonly up?: number | undefined
  /** of what is read */
  readonly down?: number | undefined
}

/** What sockets of one program share: together they keep to the rates. */
export const make = (rates: Rates): Effect.Effect<(socket: Socket.Socket) => Socket.Socket> =>
  Effect.map(Monotonic.clock, (now) => {
    const [up, down] = [lineOf(rates.up, now), lineOf(rates.down, now)]
    return (socket) =>
      Socket.make({
        reader: down === undefined ? socket.reader : Effect.map(socket.reader, (reader) => readingAt(down, reader)),
        writer: up === undefined ? socket.writer : Effect.map(socket.writer, (writer) => writingAt(up, writer))
      })
  })

/** How much content a record holds at most at that rate: only a record that has left is progress. */
export const contentBytesMax = ({ up = Number.POSITIVE_INFINITY }: Rates): number =>
  contentBytesIn(up / throttledRecordsPerSecond)

/** One direction of all sockets. */
interface Line {
  /** so many bytes go at once at most: a peer that waits for a large record sees that it comes */
  readonly pieceBytes: number
  /** Waits until so many more bytes may pass. */
  readonly pass: (bytes: number) => Effect.Effect<void>
}

const lineOf = (bytesPerSecond: number | undefined, now: () => number): Line | undefined => {
  if (bytesPerSecond === undefined) return undefined
  let line = TokenBucket.full
  return {
    pieceBytes: Math.max(1, Math.min(throttledPieceBytesMax, Math.floor(bytesPerSecond / throttledPiecesPerSecond))),
    pass: (bytes) =>
      Effect.suspend(() => {
        const { bucket, waitMilliseconds } = TokenBucket.take(line, bytesPerSecond, now(), bytes)
        line = bucket
        return waitMilliseconds < 1 ? Effect.void : Effect.sleep(waitMilliseconds)
      })
  }
}

/** Whoever is interrupted while it waits loses nothing: what was read and not given is given next. */
const readingAt = ({ pass, pieceBytes }: Line, { pull, upgrade }: Socket.Reader): Socket.Reader => {
  let waiting: ReadonlyArray<Uint8Array> = []
  let paid = false
  return {
    upgrade,
    pull: Effect.gen(function* () {
      // Where a socket reads to may be written anew while they wait.
      if (waiting.length === 0) waiting = (yield* pull).map((chunk) => Bytes.fromChunk(chunk).slice())
      const [first = new Uint8Array(0), ...rest] = waiting
      const piece = first.subarray(0, pieceBytes)
      const wait = paid ? Effect.void : pass(piece.length)
      paid = true
      yield* wait
      paid = false
      waiting = piece.length < first.length ? [first.subarray(pieceBytes), ...rest] : rest
      return [piece]
    })
  }
}

const writingAt = ({ pass, pieceBytes }: Line, { write, writeAll }: Socket.Writer): Socket.Writer => {
  const writePieces = Effect.fnUntraced(function* (chunks: ReadonlyArray<Uint8Array | string>) {
    for (const chunk of chunks) {
      const bytes = Bytes.fromChunk(chunk)
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        // A small write may stay with the socket, and the memory of a large one be given back behind it.
        const piece = bytes.slice(at, at + pieceBytes)
        yield* pass(piece.length)
        yield* writeAll([piece])
      }
    }
  })
  return {
    write: (chunk) => (Socket.isCloseEvent(chunk) ? write(chunk) : writePieces([chunk])),
    writeAll: writePieces
  }
}
