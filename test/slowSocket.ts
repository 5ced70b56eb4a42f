/**
 * A link that takes its time for each part of what it carries.
 */
import { Effect } from "effect"
import { Socket } from "effect/socket"
import { fromChunk } from "../src/domain/Bytes.ts"

/** How a link carries what it is given. */
export interface Slowness {
  /** parts of so many bytes, the last of each piece shorter */
  readonly bytes: number
  /** runs whenever so many more have gone through */
  readonly wait: Effect.Effect<void>
}

const partsOf = (chunk: string | Uint8Array, bytes: number): ReadonlyArray<Uint8Array> => {
  const all = fromChunk(chunk)
  return Array.from({ length: Math.ceil(all.length / bytes) }, (_, part) =>
    all.subarray(part * bytes, (part + 1) * bytes)
  )
}

const waiter = ({ bytes, wait }: Slowness) => {
  let passed = 0
  return (part: Uint8Array): Effect.Effect<void> =>
    Effect.suspend(() => {
      passed += part.length
      if (passed < bytes) return Effect.void
      passed -= bytes
      return wait
    })
}

/** What is written goes out in parts. */
export const writes =
  (slowness: Slowness) =>
  (socket: Socket.Socket): Socket.Socket =>
    Socket.make({
      reader: socket.reader,
      writer: Effect.map(socket.writer, (writer) => {
        const waitFor = waiter(slowness)
        return {
          ...writer,
          writeAll: (chunks) =>
            Effect.forEach(
              chunks.flatMap((chunk) => partsOf(chunk, slowness.bytes)),
              (part) => Effect.andThen(waitFor(part), writer.write(part)),
              { discard: true }
            )
        }
      })
    })

/** What is read comes in parts. */
export const reads =
  (slowness: Slowness) =>
  (socket: Socket.Socket): Socket.Socket =>
    Socket.make({
      writer: socket.writer,
      reader: Effect.map(socket.reader, (reader) => {
        const waitFor = waiter(slowness)
        let waiting: ReadonlyArray<Uint8Array> = []
        const pull: Socket.Reader["pull"] = Effect.suspend(() => {
          const [first, ...rest] = waiting
          waiting = rest
          if (first !== undefined) return Effect.as(waitFor(first), [first])
          return Effect.flatMap(reader.pull, (chunks) => {
            waiting = chunks.flatMap((chunk) => partsOf(chunk, slowness.bytes))
            return pull
          })
        })
        return { ...reader, pull }
      })
    })
