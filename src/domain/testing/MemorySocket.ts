/**
 * TCP in memory: pairs of sockets and a server that accepts them, for tests without a network.
 *
 * Behaves as a TCP connection does where the protocol can tell: bytes in order, bounded buffers (a writer waits for a
 * slow reader), half-close (the other direction stays open), an orderly end that reads as close code 1000, and an abort
 * that drops what was in flight. Scheduling is the runtime's alone, so a run under the test clock is deterministic.
 */
import { Context, Effect, FiberSet, Layer, Queue } from "effect"
import { NetAddress } from "effect/net"
import { Socket, SocketServer } from "effect/socket"
import { fromUtf8 } from "../Bytes.ts"

/** Writes that fit into one direction before the writer waits. */
export const memorySocketWritesMax = 16

/** Connections that wait to be accepted. */
export const memoryBacklogMax = 1024

/** One direction of a connection: what was written and not yet read. */
type Pipe = Queue.Queue<Uint8Array, Socket.SocketError>

const closed = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const broken: Socket.SocketError = new Socket.SocketError({
  reason: new Socket.SocketWriteError({ cause: "the other end has gone" })
})

const makePipe: Effect.Effect<Pipe> = Queue.bounded<Uint8Array, Socket.SocketError>(memorySocketWritesMax)

const makeEnd = (inbound: Pipe, outbound: Pipe): Socket.Socket => {
  const write: Socket.Writer["write"] = (chunk) => {
    // It ends both directions, as one of Node's does.
    if (Socket.isCloseEvent(chunk)) {
      return Effect.andThen(Queue.fail(outbound, closed(chunk.code)), Effect.asVoid(Queue.fail(inbound, closed(1000))))
    }
    // The bytes are copied: a caller may reuse its buffer, as with a kernel socket.
    const bytes = typeof chunk === "string" ? fromUtf8(chunk) : Uint8Array.from(chunk)
    return bytes.length === 0
      ? Effect.void
      : Effect.flatMap(Queue.offer(outbound, bytes), (taken) => (taken ? Effect.void : Effect.fail(broken)))
  }
  return Socket.make({
    reader: Effect.acquireRelease(
      Effect.succeed<Socket.Reader>({
        pull: Queue.takeAll(inbound),
        upgrade: Socket.SocketUpgradeError.unsupported
      }),
      // First a pull that waits fails, then writers that wait for us are let go.
      () =>
        Queue.fail(inbound, closed(1006)).pipe(
          Effect.andThen(Queue.shutdown(inbound)),
          Effect.andThen(Queue.fail(outbound, closed(1000)))
        )
    ),
    writer: Effect.acquireRelease(
      Effect.succeed<Socket.Writer>({ write, writeAll: (chunks) => Effect.forEach(chunks, write, { discard: true }) }),
      () => Queue.fail(outbound, closed(1000))
    )
  })
}

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
     * A fresh connection to the server; its other end waits to be accepted. When the layer's scope has closed nobody
     * listens: then the socket fails as it is opened, with `ECONNREFUSED`.
     */
    readonly dial: Effect.Effect<Socket.Socket>
  }
>()("paradrop/testing/MemoryNetwork") {}

/** A `SocketServer` and the network on which it listens. */
export const layer: Layer.Layer<MemoryNetwork | SocketServer.SocketServer> = Layer.effectContext(
  Effect.gen(function* () {
    const backlog = yield* Queue.bounded<Socket.Socket>(memoryBacklogMax)
    yield* Effect.addFinalizer(() =>
      // Those that nobody has accepted end too.
      Effect.andThen(
        Effect.flatMap(Queue.clear(backlog), (waiting) => Effect.forEach(waiting, leave)),
        Queue.shutdown(backlog)
      )
    )
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
              while (true) run(Effect.ignoreCause(handler(yield* Queue.take(backlog))))
            })
          )
      })
    )
  })
)
