/**
 * How a client reaches a server over TCP: by a connection of its own, or by the one that was dialled ahead.
 */
import { Effect, type Scope } from "effect"
import { Socket } from "effect/socket"
import * as KemNode from "../domain/channel/KemNode.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"
import type * as Client from "./Client.ts"
import * as DialAheadNode from "./DialAheadNode.ts"

/** Where a server is. Named here too, for the declarations of whoever passes `dial` on. */
export type { Address } from "./DialAheadNode.ts"

/**
 * A fresh socket for each try. What it reads is good until so many bytes as a record has were read behind it, as a
 * `Transport` needs it (`ReadRing`).
 */
export const dial = (address: DialAheadNode.Address): Effect.Effect<Socket.Socket> =>
  SocketNode.dialling(Effect.suspend(() => connected(DialAheadNode.dial(address))))

/** The connection that was dialled ahead, if there is one that goes there: for one try only. */
export const ahead = (address: DialAheadNode.Address): Effect.Effect<Client.Ahead | undefined> =>
  Effect.suspend(() => {
    const greeted = DialAheadNode.take(address)
    if (greeted === undefined) return Effect.undefined
    const { connection, keyPair } = greeted
    return Effect.map(SocketNode.dialling(connected(connection)), (socket) => ({
      socket,
      keyPair: KemNode.keyPairOf(keyPair)
    }))
  })

/** Waits for it if it is still on its way. It ends with the scope. */
const connected = ({
  onCome,
  ring,
  socket
}: DialAheadNode.Connection): Effect.Effect<SocketNode.Dialled, Socket.SocketError, Scope.Scope> => {
  const inlet: SocketNode.Inlet = {
    take: () => {
      const all = ring.take()
      // It may have been full.
      if (ring.hasRoom()) socket.resume()
      return all
    },
    onCome
  }
  const dialled = Effect.succeed({ connection: socket, inlet })
  return Effect.andThen(
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (socket.connecting) socket.destroy()
        else socket.destroySoon()
      })
    ),
    Effect.callback<SocketNode.Dialled, Socket.SocketError>((resume) => {
      if (!socket.connecting) return resume(dialled)
      socket.once("connect", () => resume(dialled))
      socket.once("error", (cause) =>
        resume(Effect.fail(new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })))
      )
    })
  )
}
