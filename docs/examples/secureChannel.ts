/**
 * The secure channel alone: two programs that share a password talk over any socket, with a protocol of their own.
 *
 *   node secureChannel.ts          both ends in one process, over loopback
 *
 * The keys are those of a hybrid key exchange (X25519 and ML-KEM-768) and of the password, which neither end sends. An
 * end that does not know it, or somebody between the two, gets as far as `finishLogin` or `verifyLogin` and no further.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Console, Effect, Layer, Redacted } from "effect"
import { type Socket, SocketServer } from "effect/socket"
import { Bytes, ChannelError, HandshakeMessage, Opaque, SecureChannel, Transport } from "paradrop"
import { CipherNode, KemNode } from "paradrop/node"

const user = HandshakeMessage.UserName.make("machines")
const stretching = 1
const refused = ChannelError.channelFailed("handshake-refused")

// [channel
/** The end that dials. */
export const dialled = Effect.fnUntraced(function* (socket: Socket.Socket, password: Opaque.Password) {
  const opaque = yield* Opaque.Opaque
  const handshake = yield* SecureChannel.connect(yield* Transport.open(socket))
  const { ke1, state } = yield* opaque.startLogin(user, password)
  yield* handshake.send({ _tag: "LoginStart", user, ke1 })
  const answer = yield* handshake.receive
  if (answer._tag !== "LoginResponse") return yield* refused
  const { ke3, sessionKey } = yield* opaque.finishLogin(state, answer.ke2, { user, password, stretching })
  yield* handshake.send({ _tag: "LoginFinish", ke3 })
  return handshake.upgrade(sessionKey)
})

/** The end that accepts: it keeps `setup` and `record`, from which the password cannot be read. */
export const accepted = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  setup: Opaque.ServerSetup,
  record: Opaque.RegistrationRecord
) {
  const opaque = yield* Opaque.Opaque
  const handshake = yield* SecureChannel.accept(yield* Transport.open(socket))
  const start = yield* handshake.receive
  if (start._tag !== "LoginStart" || start.user !== user) return yield* refused
  const { ke2, state } = yield* opaque.answerLogin(setup, user, record, start.ke1)
  yield* handshake.send({ _tag: "LoginResponse", stretching, ke2 })
  const proof = yield* handshake.receive
  if (proof._tag !== "LoginFinish") return yield* refused
  return handshake.upgrade(yield* opaque.verifyLogin(state, user, proof.ke3))
})
// channel]

/** Answers every message in capitals, until the other end proves that it has said all. */
export const echo = Effect.fnUntraced(function* (channel: SecureChannel.SecureChannel) {
  while (true) {
    const received = yield* channel.receive
    if (received._tag === "End") return yield* channel.end
    const text = new TextDecoder().decode(Bytes.concat(received.plaintext))
    yield* channel.send([Bytes.fromUtf8(text.toUpperCase())])
  }
})

/** Says something, and gives the answer. */
export const ask = Effect.fnUntraced(function* (channel: SecureChannel.SecureChannel, text: string) {
  yield* channel.send([Bytes.fromUtf8(text)])
  const received = yield* channel.receive
  return received._tag === "End" ? undefined : new TextDecoder().decode(Bytes.concat(received.plaintext))
})

/** Proves that we have said all, and waits for the other end to do so: nothing was cut off. */
export const leave = (channel: SecureChannel.SecureChannel) => Effect.andThen(channel.end, channel.receive)

if (import.meta.main) {
  const password = Redacted.make("a password that both programs know")
  const program = Effect.gen(function* () {
    const opaque = yield* Opaque.Opaque
    const setup = yield* opaque.createSetup
    const record = yield* opaque.register(setup, { user, password, stretching })
    const server = yield* SocketServer.SocketServer
    const serve = (socket: Socket.Socket) => Effect.scoped(Effect.flatMap(accepted(socket, setup, record), echo))
    yield* Effect.forkScoped(server.run((socket) => Effect.ignore(serve(socket))))
    if (server.address._tag === "UnixPathAddress") return
    const socket = yield* NodeSocket.makeNet({ host: "127.0.0.1", port: server.address.port })
    const channel = yield* dialled(socket, password)
    yield* Console.log(yield* ask(channel, "hello over there"))
    yield* leave(channel)
  }).pipe(Effect.scoped)
  const tcp = NodeSocketServer.layer({ host: "127.0.0.1", port: 0, noDelay: true, allowHalfOpen: true })
  const services = Layer.mergeAll(tcp, CipherNode.layer, KemNode.layer, Opaque.Opaque.layer)
  NodeRuntime.runMain(Effect.provide(program, Layer.provideMerge(services, NodeCrypto.layerSecureRandom)))
}
