/**
 * A connection of Node's as an Effect `Socket`: what `NodeSocket.fromDuplex` is, for a server that holds thousands of
 * them and for a client that reads into memory of its own. That one can become TLS and keeps a copy of the whole
 * context for it: 6 KiB of every idle session.
 */
import type * as Net from "node:net"
import { Deferred, Effect, type Exit, Layer, type Scope } from "effect"
import { Socket } from "effect/socket"
import { goodbyeMillisecondsMax, socketReadBytes } from "../limits.ts"
import { isGivenUp, Owned } from "./Transport.ts"

type Chunks = [Uint8Array, ...Array<Uint8Array>]
type Written = ReadonlyArray<string | Uint8Array>
type Resume = (effect: Effect.Effect<Chunks, Socket.SocketError>) => void

/** Where the bytes of a connection are when they have come. */
export interface Inlet {
  /** All that has come and was not taken, in the pieces in which it came. Asked for whenever somebody waits. */
  readonly take: () => ReadonlyArray<Uint8Array>
  /** Calls back whenever something has come. */
  readonly onCome: (heard: () => void) => void
}

/** A connection, and where its bytes are. */
export interface Dialled {
  readonly connection: Net.Socket
  readonly inlet: Inlet
}

/** A connection, as its reader sees it. */
interface Reading extends Dialled {
  /** why nothing will come behind what has been read */
  ended: Socket.SocketError | undefined
  /** who waits for the next bytes */
  waiting: Resume | undefined
}

const closed = (code: number) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const readOf = (connection: Net.Socket): Uint8Array | null => connection.read()

/**
 * Bytes in buffers of Node's own. It is never told to flow: once its buffer is full, the kernel's fills, and the peer
 * waits.
 */
const buffered = (connection: Net.Socket): Inlet => ({
  take: () => {
    const chunks: Array<Uint8Array> = []
    // A stream that is destroyed may still give what it had.
    if (connection.destroyed) return chunks
    for (let next = readOf(connection); next !== null; next = readOf(connection)) chunks.push(next)
    return chunks
  },
  onCome: (heard) => void connection.on("readable", heard)
})

/** Gives who waits what has come; the end comes behind it. Bytes stay where they are while nobody waits for them. */
const deliver = (reading: Reading): void => {
  const { ended, inlet, waiting } = reading
  if (waiting === undefined) return
  const [first, ...more] = inlet.take()
  if (first === undefined && ended === undefined) return
  reading.waiting = undefined
  waiting(first === undefined ? Effect.fail(ended ?? closed(1006)) : Effect.succeed([first, ...more]))
}

const end = (reading: Reading, why: Socket.SocketError): void => {
  reading.ended ??= why
  deliver(reading)
}

const open = ({ connection, inlet }: Dialled): Effect.Effect<Reading, Socket.SocketError> =>
  Effect.suspend(() => {
    if (connection.destroyed) return Effect.fail(closed(1006))
    // Of one that was dialled ahead the end may have come before anybody listened.
    const ended = connection.readableEnded ? closed(1000) : undefined
    const reading: Reading = { connection, inlet, ended, waiting: undefined }
    inlet.onCome(() => deliver(reading))
    connection
      .on("end", () => end(reading, closed(1000)))
      .on("error", (cause) => end(reading, new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })))
      .on("close", (broken) => end(reading, closed(broken ? 1006 : 1000)))
    return Effect.succeed(reading)
  })

/** What was written still goes, as long as a goodbye may take: who reads none of it would keep the rest for ever. */
const close = (reading: Reading, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { connection } = reading
    end(reading, closed(1006))
    if (isGivenUp(exit)) cut(connection)
    else connection.destroySoon()
    return connection.destroyed
      ? Effect.void
      : Effect.asVoid(Effect.forkDetach(gone(connection), { startImmediately: true }))
  })

const gone = (connection: Net.Socket): Effect.Effect<void> =>
  Effect.timeoutOrElse(
    Effect.callback<void>((resume) => {
      connection.once("close", () => resume(Effect.void))
    }),
    { duration: goodbyeMillisecondsMax, orElse: () => Effect.sync(() => cut(connection)) }
  )

/** A reset leaves nothing behind in the kernel either. Sockets of a path have none. */
const cut = (connection: Net.Socket): unknown =>
  connection.remoteFamily === undefined ? connection.destroy() : connection.resetAndDestroy()

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

/** Gives the socket all of it at once, and whether it has room for more. */
const put = (connection: Net.Socket, chunks: Written, taken?: (failed?: Error | null) => void): boolean => {
  connection.cork()
  let room = true
  for (const [index, chunk] of chunks.entries()) {
    room = connection.write(chunk, index === chunks.length - 1 ? taken : undefined)
  }
  connection.uncork()
  return room
}

/** Until the kernel has all of it, whatever room the socket has: the memory is its writer's again then. */
const given = (connection: Net.Socket, chunks: Written): Effect.Effect<void, Socket.SocketError> =>
  Effect.callback((resume) => {
    put(connection, chunks, (failed) => resume(failed ? Effect.fail(unwritten(failed)) : Effect.void))
  })

const writeAll = (connection: Net.Socket, chunks: Written): Effect.Effect<void, Socket.SocketError> =>
  Effect.suspend(() => {
    if (!connection.writable) return Effect.fail(unwritten(new Error("socket closed")))
    const bytes = chunks.reduce((total, { length }) => total + length, 0)
    if (bytes >= socketReadBytes) return given(connection, chunks)
    return put(connection, chunks) ? Effect.void : drained(connection)
  })

const readerOf = (dialled: Dialled) =>
  Effect.map(Effect.acquireRelease(open(dialled), close), (reading): Socket.Reader => ({
    pull: pull(reading),
    upgrade: Socket.SocketUpgradeError.unsupported
  }))

const writerOf = (connection: Net.Socket) =>
  Effect.acquireRelease(
    Effect.succeed<Socket.Writer>({
      write: (chunk) =>
        Socket.isCloseEvent(chunk) ? Effect.sync(() => void connection.destroy()) : writeAll(connection, [chunk]),
      writeAll: (chunks) => writeAll(connection, chunks)
    }),
    // One whose end is on its way could not be reset.
    (_, exit) => Effect.sync(() => void (connection.writableEnded || isGivenUp(exit) ? undefined : connection.end()))
  )

/**
 * Whose the memory of what crosses is, with these connections and `CipherNode`: ours. What sockets and ciphers of Node
 * give is nobody else's, and a write of so many bytes ends when the kernel has them. Whoever takes content (a receiver,
 * a store) may not look at it after it has said that it took it.
 */
export const owned: Layer.Layer<never> = Layer.succeed(Owned, { received: true, sentBytesMin: socketReadBytes })

/** The connection ends with the scope of the reader; the scope of the writer ends our direction. */
export const make = (connection: Net.Socket): Socket.Socket =>
  Socket.make({
    reader: Effect.suspend(() => readerOf({ connection, inlet: buffered(connection) })),
    writer: writerOf(connection)
  })

/** The same of a connection that is dialled when the reader is made; who writes waits for that. */
export const dialling = (dial: Effect.Effect<Dialled, Socket.SocketError, Scope.Scope>): Effect.Effect<Socket.Socket> =>
  Effect.sync(() => {
    const dialled = Deferred.makeUnsafe<Net.Socket>()
    return Socket.make({
      reader: Effect.flatMap(dial, (connected) =>
        Effect.tap(readerOf(connected), () => Deferred.succeed(dialled, connected.connection))
      ),
      writer: Effect.flatMap(Deferred.await(dialled), writerOf)
    })
  })
