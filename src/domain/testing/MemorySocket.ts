/**
 * TCP in memory: pairs of sockets and a server that accepts them, for tests without a network.
 *
 * Behaves as a TCP connection does where the protocol can tell: bytes in order, bounded buffers (a writer waits for a
 * slow reader), half-close (the other direction stays open), an orderly end that reads as close code 1000, and an abort
 * that drops what was in flight. Scheduling is the runtime's alone, so a run under the test clock is deterministic.
 */
import { Context, Effect, FiberSet, Latch, Layer, Queue } from "effect"
import { NetAddress } from "effect/net"
import { Socket, SocketServer } from "effect/socket"
import * as Bytes from "../Bytes.ts"

/** Bytes that one direction holds before the writer waits. */
export const memorySocketBytesMax = 4 * 1024 * 1024

/** Connections that wait to be accepted. */
export const memoryBacklogMax = 1024

type Chunks = [Uint8Array, ...Array<Uint8Array>]

/** One direction of a connection. */
interface Pipe {
  /** what was written and not yet read, and how many bytes that is */
  chunks: Array<Uint8Array>
  bytes: number
  /** why nothing comes behind that */
  ended: Socket.SocketError | undefined
  /** whether nobody reads any more */
  unread: boolean
  /** open while there is something to tell a reader */
  readonly come: Latch.Latch
  /** open while there is room, or nobody to wait for */
  readonly room: Latch.Latch
}

const closed = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const broken: Socket.SocketError = new Socket.SocketError({
  reason: new Socket.SocketWriteError({ cause: "the other end has gone" })
})

const makePipe: Effect.Effect<Pipe> = Effect.sync(() => ({
  chunks: [],
  bytes: 0,
  ended: undefined,
  unread: false,
  come: Latch.makeUnsafe(),
  room: Latch.makeUnsafe(true)
}))

/** Nothing comes behind what was written. */
const end = (pipe: Pipe, code: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    pipe.ended ??= closed(code)
    return Effect.asVoid(pipe.come.open)
  })

/** Nobody reads what was written: who waits for room is let go. */
const drop = (pipe: Pipe, code: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    pipe.chunks = []
    pipe.bytes = 0
    pipe.unread = true
    return Effect.andThen(end(pipe, code), Effect.asVoid(pipe.room.open))
  })

/** What has come is taken in one step: a reader who is interrupted while he waits has taken nothing. */
const pull = (pipe: Pipe): Effect.Effect<Chunks, Socket.SocketError> =>
  Effect.suspend(() => {
    const [first, ...rest] = pipe.chunks
    if (first !== undefined) {
      pipe.chunks = []
      pipe.bytes = 0
      return Effect.as(pipe.room.open, [first, ...rest] satisfies Chunks)
    }
    if (pipe.ended !== undefined) return Effect.fail(pipe.ended)
    pipe.come.closeUnsafe()
    return Effect.andThen(pipe.come.await, pull(pipe))
  })

/** All is on its way at once, as in the buffer of Node's: who is interrupted while he waits for room has written it. */
const send = (pipe: Pipe, chunks: ReadonlyArray<string | Uint8Array>): Effect.Effect<void, Socket.SocketError> =>
  Effect.suspend(() => {
    if (pipe.ended !== undefined) return Effect.fail(broken)
    for (const chunk of chunks) {
      // The bytes are copied: a caller may reuse its buffer, as with a kernel socket.
      const bytes = Bytes.fromChunk(chunk).slice()
      if (bytes.length === 0) continue
      pipe.chunks.push(bytes)
      pipe.bytes += bytes.length
    }
    const wait = pipe.bytes > memorySocketBytesMax
    if (wait) pipe.room.closeUnsafe()
    return Effect.as(pipe.bytes > 0 ? pipe.come.open : Effect.void, wait)
  }).pipe(
    Effect.uninterruptible,
    Effect.flatMap((wait) => (wait ? roomIn(pipe) : Effect.void))
  )

const roomIn = (pipe: Pipe): Effect.Effect<void, Socket.SocketError> =>
  Effect.flatMap(pipe.room.await, () => (pipe.unread ? Effect.fail(broken) : Effect.void))

const makeEnd = (inbound: Pipe, outbound: Pipe): Socket.Socket =>
  Socket.make({
    reader: Effect.acquireRelease(
      Effect.succeed<Socket.Reader>({ pull: pull(inbound), upgrade: Socket.SocketUpgradeError.unsupported }),
      // First a pull that waits fails, then writers that wait for us are let go.
      () => Effect.andThen(drop(inbound, 1006), end(outbound, 1000))
    ),
    writer: Effect.acquireRelease(
      Effect.succeed<Socket.Writer>({
        write: (chunk) =>
          // It ends both directions, as one of Node's does.
          Socket.isCloseEvent(chunk)
            ? Effect.uninterruptible(Effect.andThen(end(outbound, chunk.code), drop(inbound, 1000)))
            : send(outbound, [chunk]),
        writeAll: (chunks) => send(outbound, chunks)
      }),
      () => end(outbound, 1000)
    )
  })

/** Both ends of one connection. */
export const pair: Effect.Effect<readonly [Socket.Socket, Socket.Socket]> = Effect.gen(function* () {
  const forth = yield* makePipe
  const back = yield* makePipe
  return [makeEnd(back, forth), makeEnd(forth, back)] as const
})

const nobodyListens: Socket.SocketError = new Socket.SocketError({
  reason: new Socket.SocketOpenError({
    kind: "Unknown",
    cause: Object.assign(new Error("nobody listens"), { code: "ECONNREFUSED" })
  })
})

/** A connection to where nobody listens. */
const refused: Socket.Socket = Socket.make({
  reader: Effect.fail(nobodyListens),
  writer: Effect.succeed({ write: () => Effect.fail(nobodyListens), writeAll: () => Effect.fail(nobodyListens) })
})

/** Goes without a word, as the end of a connection that nobody has accepted. */
const leave = (end: Socket.Socket): Effect.Effect<void> => Effect.ignore(Effect.scoped(end.reader))

/** A place to dial: what a client needs to reach a `SocketServer` of the same process. */
export class MemoryNetwork extends Context.Service<
  MemoryNetwork,
  {
    /**
     * A fresh connection to the server; its other end waits to be accepted. When `run` has ended or the layer's scope
     * has closed nobody listens: then the socket fails as it is opened, with `ECONNREFUSED`.
     */
    readonly dial: Effect.Effect<Socket.Socket>
  }
>()("paradrop/testing/MemoryNetwork") {}

/** A `SocketServer`, which may run once, and the network on which it listens until then. */
export const layer: Layer.Layer<MemoryNetwork | SocketServer.SocketServer> = Layer.effectContext(
  Effect.gen(function* () {
    const backlog = yield* Queue.bounded<Socket.Socket>(memoryBacklogMax)
    let listening = true
    // Those that nobody has accepted end too.
    const stop = Effect.suspend(() => {
      if (!listening) return Effect.void
      listening = false
      return Effect.flatMap(Queue.clear(backlog), (waiting) => Effect.forEach(waiting, leave)).pipe(
        Effect.andThen(Queue.shutdown(backlog))
      )
    })
    yield* Effect.addFinalizer(() => stop)
    return Context.empty().pipe(
      Context.add(MemoryNetwork, {
        dial: Effect.flatMap(pair, ([near, far]) =>
          Effect.map(Queue.offer(backlog, far), (taken) => (taken ? near : refused))
        )
      }),
      Context.add(SocketServer.SocketServer, {
        address: NetAddress.unixPathAddress("memory"),
        run: (handler) =>
          Effect.scoped(
            Effect.gen(function* () {
              const run = yield* FiberSet.makeRuntime<Effect.Services<ReturnType<typeof handler>>, unknown, unknown>()
              yield* Effect.addFinalizer(() => stop)
              while (true) run(Effect.ignoreCause(handler(yield* Queue.take(backlog))))
            })
          )
      })
    )
  })
)
