/**
 * A server that knows its accounts and logs a client in, and then answers as its script wants, over any socket.
 */
import { Effect, type Scope } from "effect"
import type { Socket } from "effect/socket"
import { type ChannelFailed, channelFailed } from "../channel/ChannelError.ts"
import type { Cipher } from "../channel/Cipher.ts"
import type { Kem } from "../channel/Kem.ts"
import { Opaque } from "../channel/Opaque.ts"
import * as SecureChannel from "../channel/SecureChannel.ts"
import * as Transport from "../channel/Transport.ts"
import type * as Frame from "../wire/Frame.ts"
import * as Message from "../wire/Message.ts"
import type { Registered } from "./Fixture.ts"
import * as RawSession from "./RawSession.ts"

/** A server's side after the login: says what a server could say, hears what a client says. */
export type HostileSession = RawSession.RawSession<Message.ClientMessage, Message.ServerMessage>

/** One login, up to the verified proof. Hello was not heard, and Correct not said. */
export const accept = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  { records, setup }: Registered
): Effect.fn.Return<HostileSession, ChannelFailed, Cipher | Kem | Opaque | Scope.Scope> {
  const opaque = yield* Opaque
  const failed = () => channelFailed("opaque-rejected")
  const transport = yield* Effect.mapError(Transport.open(socket), () => channelFailed("connection-lost"))
  const handshake = yield* SecureChannel.accept(transport)
  const start = yield* handshake.receive
  if (start._tag !== "LoginStart") return yield* channelFailed("handshake-refused")
  const { ke2, state } = yield* Effect.mapError(
    opaque.answerLogin(setup, start.user, records.get(start.user), start.ke1),
    failed
  )
  yield* handshake.send({ _tag: "LoginResponse", stretching: 1, ke2 })
  const proof = yield* handshake.receive
  if (proof._tag !== "LoginFinish") return yield* failed()
  const sessionKey = yield* Effect.mapError(opaque.verifyLogin(state, start.user, proof.ke3), failed)
  return RawSession.make(transport, handshake.upgrade(sessionKey), {
    encode: Message.Server.encode,
    decode: Message.Client.decode
  })
})

/** The same, and the greeting: the client believes that it has a session. */
export const greet = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  registered: Registered
): Effect.fn.Return<
  HostileSession,
  ChannelFailed | Frame.FrameRefused | Message.MessageRefused,
  Cipher | Kem | Opaque | Scope.Scope
> {
  const session = yield* accept(socket, registered)
  yield* session.hear
  yield* session.say(0, { _tag: "Correct", server: "hostile" })
  return session
})
