/**
 * A duplex byte stream as the channel uses it: exact reads, whole writes, over any Effect `Socket`.
 */
import { Cause, Context, Effect, Exit, Option, Schema, Scope } from "effect"
import type { Socket } from "effect/socket"
import * as Bytes from "../Bytes.ts"
import { receivedPartBytes, receivedPiecesMax } from "../limits.ts"
import { type ChannelFailed, channelFailed } from "./ChannelError.ts"

/** The peer is silent, and its end of the connection may not know that it is over. */
class GivenUp extends Schema.TaggedError<GivenUp>()("GivenUp", {}) {}

/**
 * Closes the scope of a connection of which nothing that is on its way may arrive any more: a system goes on to send
 * what was written, also long after the end, and what was told as lost would undo what was done since.
 */
export const givenUp: Exit.Exit<never, unknown> = Exit.fail(new GivenUp())

/** Whether a scope was closed so. */
export const isGivenUp = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Option.getOrUndefined(Cause.findErrorOption(exit.cause)) instanceof GivenUp

/** A byte stream in both directions, with exact reads and the two ends closed apart from each other. */
export interface Transport {
  /**
   * Exactly `length` bytes, in the pieces in which they came: nothing is joined but many small ones. They are good
   * until the next call.
   * Fails with `truncated` when the stream ends before, with `connection-lost` when it breaks.
   * One caller at a time; an interrupted `take` loses nothing.
   */
  readonly take: (length: number) => Effect.Effect<Bytes.Parts, ChannelFailed>
  /** Waits until there is something to take; fails as `take` does. One caller at a time, of both. */
  readonly ready: Effect.Effect<void, ChannelFailed>
  /** From now on this runs whenever a `take` that is still waiting has got `receivedPartBytes` more. */
  readonly follow: (moved: Effect.Effect<void>) => void
  /** Writes all parts; returns when the socket has taken them (backpressure). One caller at a time. */
  readonly write: (parts: Bytes.Parts) => Effect.Effect<void, ChannelFailed>
  /** Closes our direction: the peer sees the end of the stream. */
  readonly finish: Effect.Effect<void>
  /** Reads and drops until the peer has closed its direction too. */
  readonly drain: Effect.Effect<void>
}

/** Whose the memory of what crosses is. */
export interface Ownership {
  /**
   * What was received is ours, and so are the buffers in which a store gives the contents of small files
   * (`FileStore.readAll`): they may be given back when they were looked at for the last time.
   */
  readonly received: boolean
  /** A write of at least so many bytes leaves nothing with the socket when it ends, and what was written is ours. */
  readonly sentBytesMin: number
}

/**
 * Whose the memory of what crosses is: ours is given back at once.
 *
 * The collector is told of each buffer outside its heap, and looks through the whole heap for every 64 MiB of them:
 * that costs several times what moving the bytes costs. Nothing is assumed by default. Received memory is ours only
 * where a socket's chunks are nobody else's, as Node's are, and a cipher's results share no memory with what it was
 * given, as those of `CipherNode`. Sent memory is ours with such a cipher, and from the size on from which a socket's
 * write ends only when the kernel has all of it.
 */
export const Owned = Context.Reference<Ownership>("paradrop/channel/Transport/Owned", {
  defaultValue: () => ({ received: false, sentBytesMin: Number.POSITIVE_INFINITY })
})

/** Opens the socket: dials it or adopts the accepted one. The connection closes with the scope. */
export const open = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<Transport, Socket.SocketError, Scope.Scope> {
  // The reader owns the connection: it comes first, also when nothing will be read.
  const reader = yield* socket.reader
  const writerScope = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writerScope)
  const { received: ours, sentBytesMin } = yield* Owned
  let held: Array<Uint8Array> = []
  let heldBytes = 0
  // What has come since the last whole `take`, or since it was told.
  let untold = 0
  let moved: Effect.Effect<void> = Effect.void
  // Buffers that are one chunk and nothing else, while a part of it is held; and chunks whose last part was taken.
  const whole = new Set<ArrayBufferLike>()
  let spent: Bytes.Parts = []

  const pull = Effect.map(reader.pull, (chunks) => {
    for (const chunk of chunks) {
      const bytes = Bytes.fromChunk(chunk)
      held.push(bytes)
      heldBytes += bytes.length
      untold += bytes.length
      if (ours && bytes.byteLength === bytes.buffer.byteLength) whole.add(bytes.buffer)
    }
    if (held.length <= receivedPiecesMax) return
    // Whoever sends byte by byte would make us hold a buffer for each.
    const together = Bytes.concat(held)
    held = [together]
    whole.clear()
    if (ours) whole.add(together.buffer)
  }).pipe(Effect.mapError(failure))

  const split = (length: number): Bytes.Parts => {
    const taken = Bytes.slice(held, 0, length)
    held = Bytes.slice(held, length, heldBytes - length)
    heldBytes -= length
    untold = 0
    if (ours) spent = taken.filter(({ buffer }) => buffer !== held[0]?.buffer && whole.delete(buffer))
    return taken
  }

  const until = (length: number): Effect.Effect<void, ChannelFailed> =>
    Effect.flatMap(pull, () => {
      if (heldBytes >= length) return Effect.void
      if (untold < receivedPartBytes) return until(length)
      untold = 0
      return Effect.andThen(moved, until(length))
    })

  const take: Transport["take"] = (length) =>
    Effect.suspend(() => {
      Bytes.giveBack(spent)
      spent = []
      return heldBytes < length ? Effect.map(until(length), () => split(length)) : Effect.succeed(split(length))
    })

  return {
    take,
    follow: (told) => void (moved = told),
    ready: Effect.suspend(() => (heldBytes > 0 ? Effect.void : pull)),
    write: (parts) => {
      const [first, ...rest] = parts
      if (first === undefined) return Effect.void
      const written = Effect.mapError(writer.writeAll([first, ...rest]), (error) =>
        channelFailed("connection-lost", error)
      )
      return Bytes.lengthOf(parts) < sentBytesMin ? written : Effect.map(written, () => Bytes.giveBack(parts))
    },
    finish: Scope.close(writerScope, Exit.void),
    drain: Effect.ignore(Effect.forever(Effect.map(pull, () => void split(heldBytes))))
  }
})

// A peer that closes its direction ends the stream; whether that end is proved is the record layer's question.
const failure = (error: Socket.SocketError): ChannelFailed =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000
    ? channelFailed("truncated")
    : channelFailed("connection-lost", error)
