/**
 * An accepted connection of Node's as an Effect `Socket`: what `NodeSocket.fromDuplex` is, for a server that holds
 * thousands of them. That one can become TLS and keeps a copy of the whole context for it: 6 KiB of every idle session.
 */
import type * as Net from "node:net"
import { Effect } from "effect"
import { Socket } from "effect/socket"

type Chunks = [Uint8Array, ...Array<Uint8Array>]
type Resume = (effect: Effect.Effect<Chunks, Socket.SocketError>) => void

/** A connection, as its reader sees it. */
interface Reading {
  readonly connection: Net.Socket
  /** why nothing will come behind what has been read */
  ended: Socket.SocketError | undefined
  /** who waits for the next bytes */
  waiting: Resume | undefined
}

const closed = (code: number) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const readOf = (connection: Net.Socket): Uint8Array | null => connection.read()

/** All that has come, in the chunks in which it came. */
const available = (connection: Net.Socket): Chunks | undefined => {
  const first = readOf(connection)
  if (first === null) return undefined
  const chunks: Chunks = [first]
  for (let next = readOf(connection); next !== null; next = readOf(connection)) chunks.push(next)
  return chunks
}

/** Gives who waits what has come; the end comes behind it. Bytes stay with Node while nobody waits for them. */
const deliver = (reading: Reading): void => {
  const { connection, waiting } = reading
  if (waiting === undefined) return
  const chunks = connection.destroyed ? undefined : available(connection)
  const { ended } = reading
  if (chunks === undefined && ended === undefined) return
  reading.waiting = undefined
  waiting(chunks === undefined ? Effect.fail(ended ?? closed(1006)) : Effect.succeed(chunks))
}

const end = (reading: Reading, why: Socket.SocketError): void => {
  reading.ended ??= why
  deliver(reading)
}

const open = (connection: Net.Socket): Effect.Effect<Reading, Socket.SocketError> =>
  Effect.suspend(() => {
    if (connection.destroyed) return Effect.fail(closed(1006))
    const reading: Reading = { connection, ended: undefined, waiting: undefined }
    // It is never told to flow: once its buffer is full, the kernel's fills, and the peer waits.
    connection
      .on("readable", () => deliver(reading))
      .on("end", () => end(reading, closed(1000)))
      .on("error", (cause) => end(reading, new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })))
      .on("close", (broken) => end(reading, closed(broken ? 1006 : 1000)))
    return Effect.succeed(reading)
  })

const close = (reading: Reading): void => {
  end(reading, closed(1006))
  reading.connection.destroySoon()
}

const pull = (reading: Reading): Effect.Effect<Chunks, Socket.SocketError> =>
  Effect.callback((resume) => {
    reading.waiting = resume
    deliver(reading)
    if (reading.waiting !== resume) return undefined
    return Effect.sync(() => {
      if (reading.waiting === resume) reading.waiting = undefined
    })
  })

/** Until the socket has given what it holds to the kernel. */
const drained = (connection: Net.Socket): Effect.Effect<void, Socket.SocketError> =>
  Effect.callback((resume) => {
    const onDrain = (): void => settle(Effect.void)
    const onClose = (): void => settle(Effect.fail(unwritten(new Error("socket closed"))))
    const settle = (result: Effect.Effect<void, Socket.SocketError>): void => {
      connection.off("drain", onDrain).off("close", onClose)
      resume(result)
    }
    connection.on("drain", onDrain).on("close", onClose)
    return Effect.sync(() => void connection.off("drain", onDrain).off("close", onClose))
  })

const unwritten = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })

const writeAll = (connection: Net.Socket, chunks: ReadonlyArray<string | Uint8Array>) =>
  Effect.suspend(() => {
    if (!connection.writable) return Effect.fail(unwritten(new Error("socket closed")))
    connection.cork()
    let room = true
    for (const chunk of chunks) room = connection.write(chunk)
    connection.uncork()
    return room ? Effect.void : drained(connection)
  })

/** The connection ends with the scope of the reader; the scope of the writer ends our direction. */
export const make = (connection: Net.Socket): Socket.Socket =>
  Socket.make({
    reader: Effect.map(
      Effect.acquireRelease(open(connection), (reading) => Effect.sync(() => close(reading))),
      (reading) => ({ pull: pull(reading), upgrade: Socket.SocketUpgradeError.unsupported })
    ),
    writer: Effect.acquireRelease(
      Effect.succeed<Socket.Writer>({
        write: (chunk) =>
          Socket.isCloseEvent(chunk) ? Effect.sync(() => void connection.destroy()) : writeAll(connection, [chunk]),
        writeAll: (chunks) => writeAll(connection, chunks)
      }),
      () => Effect.sync(() => void (connection.writableEnded ? undefined : connection.end()))
    )
  })
