/**
 * A connection whose peer takes what it is sent until it is told to take no more: a writer then waits for ever.
 */
import { Effect } from "effect"
import { Socket } from "effect/socket"

export interface TakingNothing {
  readonly through: (socket: Socket.Socket) => Socket.Socket
  /** From now on nothing is taken. */
  readonly begin: () => void
}

export const make = (): TakingNothing => {
  let takes = true
  const taking = Effect.suspend(() => (takes ? Effect.void : Effect.never))
  return {
    begin: () => void (takes = false),
    through: ({ reader, writer }) =>
      Socket.make({
        reader,
        writer: Effect.map(writer, ({ write, writeAll }) => ({
          write: (chunk) => Effect.andThen(taking, write(chunk)),
          writeAll: (chunks) => Effect.andThen(taking, writeAll(chunks))
        }))
      })
  }
}
