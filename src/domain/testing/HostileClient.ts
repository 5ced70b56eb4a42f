/**
 * A client that keeps to the protocol exactly as far as its script wants, over any socket.
 *
 * Each step of a connection is an effect of its own, so that a script can stop, repeat or break it anywhere.
 */
import { Effect, type Scope } from "effect"
import type { Socket } from "effect/socket"
import type { ChannelFailed } from "../channel/ChannelError.ts"
import { channelFailed } from "../channel/ChannelError.ts"
import type { Cipher } from "../channel/Cipher.ts"
import type { ClientHandshake, ServerHandshake } from "../channel/HandshakeMessage.ts"
import type { Kem } from "../channel/Kem.ts"
import { Opaque, type SessionKey } from "../channel/Opaque.ts"
import * as SecureChannel from "../channel/SecureChannel.ts"
import * as Transport from "../channel/Transport.ts"
import * as Message from "../wire/Message.ts"
import type { Credentials } from "./Fixture.ts"
import * as RawSession from "./RawSession.ts"

/** A connection after the key exchange, before any login. */
export interface Met {
  readonly transport: Transport.Transport
  readonly handshake: SecureChannel.HandshakeChannel<ServerHandshake, ClientHandshake>
}

/** A client's side after the login: says what a client could say, hears what a server says. */
export type HostileSession = RawSession.RawSession<Message.ServerMessage, Message.ClientMessage>

/** Dials: nothing is sent yet. */
export const dial = (socket: Socket.Socket): Effect.Effect<Transport.Transport, ChannelFailed, Scope.Scope> =>
  Effect.mapError(Transport.open(socket), () => channelFailed("connection-lost"))

/** Dials and exchanges keys. */
export const meet = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<Met, ChannelFailed, Cipher | Kem | Scope.Scope> {
  const transport = yield* dial(socket)
  return { transport, handshake: yield* SecureChannel.connect(transport) }
})

/** Sends LoginStart and takes the answer, up to the proof, which it does not send. */
export const prove = Effect.fnUntraced(function* (
  { handshake }: Met,
  { password, user }: Credentials
): Effect.fn.Return<{ readonly ke3: Uint8Array; readonly sessionKey: SessionKey }, ChannelFailed, Opaque> {
  const opaque = yield* Opaque
  const failed = () => channelFailed("opaque-rejected")
  const { ke1, state } = yield* Effect.mapError(opaque.startLogin(user, password), failed)
  yield* handshake.send({ _tag: "LoginStart", user, ke1 })
  const answer = yield* handshake.receive
  if (answer._tag !== "LoginResponse") return yield* channelFailed("handshake-refused")
  return yield* Effect.mapError(opaque.finishLogin(state, answer.ke2, { user, password, stretching: 1 }), failed)
})

/** Gives an attempt up, as a client does whose password is wrong. Gives the attempts that are left. */
export const giveUp = Effect.fnUntraced(function* ({ handshake }: Met): Effect.fn.Return<number, ChannelFailed> {
  yield* handshake.send({ _tag: "GiveUp" })
  const answer = yield* handshake.receive
  return answer._tag === "Incorrect" ? answer.attemptsLeft : yield* channelFailed("handshake-refused")
})

/** Sends the proof: the keys are switched, and nothing has been said under them. */
export const finish = Effect.fnUntraced(function* (
  met: Met,
  { ke3, sessionKey }: Effect.Success<ReturnType<typeof prove>>
): Effect.fn.Return<HostileSession, ChannelFailed> {
  yield* met.handshake.send({ _tag: "LoginFinish", ke3 })
  return RawSession.make(met.transport, met.handshake.upgrade(sessionKey), {
    encode: Message.Client.encode,
    decode: Message.Server.decode
  })
})

/** A whole login up to the point where Hello would be said. */
export const unconfirmed = Effect.fnUntraced(function* (socket: Socket.Socket, credentials: Credentials) {
  const met = yield* meet(socket)
  return yield* finish(met, yield* prove(met, credentials))
})

/** A whole login, Hello said and Correct heard: from here on the script does what it likes. */
export const login = Effect.fnUntraced(function* (socket: Socket.Socket, credentials: Credentials) {
  const session = yield* unconfirmed(socket, credentials)
  yield* session.say(0, { _tag: "Hello", client: "hostile" })
  yield* session.hear
  return session
})
