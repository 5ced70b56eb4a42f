/**
 * TCP on Node, for a server whom strangers visit by the thousand: asks its `Doorman` about each connection in the very
 * call in which Node hands it over, and makes what serves it once it has said enough.
 *
 * A connection that is sent away costs some 60 µs so, of which 40 are Node's and the kernel's; served from its first
 * moment on, each took 0.9 ms. Accepting is all that happens in that call, and the event loop has its turn after each:
 * who is inside is not kept waiting by those who come.
 */
import { Buffer } from "node:buffer"
import * as Net from "node:net"
import { Effect, FiberSet, Layer, type Scope } from "effect"
import { NetAddress } from "effect/net"
import { type Socket, SocketServer } from "effect/socket"
import { type Arrived, Doorman, Visitor } from "./Doorman.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"

/** Where to listen, and how: a descriptor that was given goes before host and port. */
export interface Options {
  readonly host: string
  readonly port: number
  readonly fd: number | undefined
  /** connections that the kernel holds; it may hold fewer */
  readonly backlog: number
  /** what a socket reads ahead, bytes */
  readonly highWaterMark: number
}

/** Listens while the layer lives, or until `run`, which may run once, ends: then the kernel refuses newcomers. */
export const layer = (options: Options): Layer.Layer<SocketServer.SocketServer, SocketServer.SocketServerError> =>
  Layer.effect(SocketServer.SocketServer, make(options))

const failed = (cause: unknown) =>
  new SocketServer.SocketServerError({ reason: new SocketServer.SocketServerOpenError({ cause }) })

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<SocketServer.SocketServer["Service"], SocketServer.SocketServerError, Scope.Scope> {
  const early = new Set<Net.Socket>()
  let receive = (connection: Net.Socket): void => {
    early.add(connection)
    connection.once("close", () => early.delete(connection))
  }
  const server = Net.createServer({ allowHalfOpen: true, highWaterMark: options.highWaterMark }, (connection) => {
    // What goes wrong is told by the close that follows. Without a listener it would end the process.
    connection.on("error", ignore)
    receive(connection)
  })
  const close = Effect.callback<void>((resume) => {
    for (const connection of early) connection.destroy()
    server.close(() => resume(Effect.void))
  })
  yield* Effect.acquireRelease(listen(server, options), () => close)
  const address = yield* addressOf(server)

  const run = <R, E, A>(handler: (socket: Socket.Socket) => Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const serve = yield* FiberSet.makeRuntime<R, void, never>()
      const doorman = yield* Doorman
      let over = false
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          receive = (connection) => {
            if (doorman === undefined) return void serve(handled(connection, handler))
            welcome(connection, doorman, (visitor) => {
              if (!over) return void serve(Effect.provideService(handled(connection, handler), Visitor, visitor))
              // It was let in as the last thing before the doorman closes: nobody serves it any more.
              visitor.seat.giveBack()
              connection.destroy()
            })
          }
          for (const connection of early) receive(connection)
          early.clear()
        }),
        // Who has come to the kernel and not to us finds whoever listens next.
        () =>
          Effect.sync(() => {
            over = true
            server.close()
          })
      )
      return yield* Effect.never
    }).pipe(Effect.scoped)
  return SocketServer.SocketServer.of({ address, run })
})

const ignore = (): void => {}

const listen = (server: Net.Server, { backlog, fd, host, port }: Options) =>
  Effect.callback<void, SocketServer.SocketServerError>((resume) => {
    // Later ones are of single connections, or of descriptors that have run out for a moment.
    server.on("error", (cause) => resume(Effect.fail(failed(cause))))
    server.listen(fd === undefined ? { host, port, backlog } : { fd, backlog }, () => resume(Effect.void))
  })

const addressOf = (server: Net.Server) => {
  const address = server.address()
  if (address === null) return Effect.fail(failed("closed"))
  return typeof address === "string"
    ? Effect.succeed(NetAddress.unixPathAddress(address))
    : Effect.mapError(Effect.fromResult(NetAddress.inetAddressFromIpString(address.address, address.port)), (cause) =>
        failed(cause)
      )
}

/** A connection as the handler has it; it ends with the scope of its reader. */
const handled = <R, E, A>(
  connection: Net.Socket,
  handler: (socket: Socket.Socket) => Effect.Effect<A, E, R>
): Effect.Effect<void, never, R> => {
  // Strangers need neither: they are two calls of the kernel less.
  connection.setNoDelay(true)
  connection.setKeepAlive(true)
  return Effect.ignoreCause(handler(SocketNode.make(connection)))
}

/** Asks for a guest's seat, holds what it says until that is enough, and puts it back for whoever reads then. */
const welcome = (connection: Net.Socket, doorman: Doorman, enter: (visitor: Arrived) => void): void => {
  const guest = doorman.admit({
    address: connection.remoteAddress,
    // A reset leaves nothing behind, here or in the kernel. Sockets of a path have none.
    dismiss: () => (connection.remoteFamily === undefined ? connection.destroy() : connection.resetAndDestroy())
  })
  if (guest === undefined) return
  const said: Array<Buffer> = []
  const hear = (): void => {
    for (let some = readOf(connection); some !== null; some = readOf(connection)) said.push(some)
    if (said.length === 0 || !guest.saidEnough(said)) return
    connection.off("readable", hear).off("end", end).off("close", close)
    const visitor = guest.enter()
    if (visitor === undefined) return
    connection.unshift(Buffer.concat(said))
    enter(visitor)
  }
  const end = (): void => {
    guest.gone("truncated")
    connection.destroy()
  }
  const close = (broken: boolean): void => guest.gone(broken ? "connection-lost" : "truncated")
  connection.on("readable", hear).on("end", end).on("close", close)
}

const readOf = (connection: Net.Socket): Buffer | null => connection.read()
