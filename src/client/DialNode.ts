/**
 * How a client reaches a server over TCP: by the connection that was dialled ahead, or by one of its own.
 */
import type { Socket as Connection } from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Effect, type Scope } from "effect"
import { Socket } from "effect/socket"
import * as DialAheadNode from "./DialAheadNode.ts"

/** A fresh socket for each try. */
export const dial = (address: DialAheadNode.Address): Effect.Effect<Socket.Socket> =>
  Effect.suspend(() => {
    const ahead = DialAheadNode.take(address)
    return ahead === undefined
      ? NodeSocket.makeNet({ ...address, ...DialAheadNode.socketOptions })
      : NodeSocket.fromDuplex(adopted(ahead))
  })

/** Waits for it if it is still on its way. It ends with the scope. */
const adopted = (connection: Connection): Effect.Effect<Connection, Socket.SocketError, Scope.Scope> =>
  Effect.andThen(
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (connection.connecting) connection.destroy()
        else connection.destroySoon()
      })
    ),
    Effect.callback<Connection, Socket.SocketError>((resume) => {
      if (!connection.connecting) return resume(Effect.succeed(connection))
      connection.once("connect", () => resume(Effect.succeed(connection)))
      connection.once("error", (cause) =>
        resume(Effect.fail(new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })))
      )
    })
  )
