/**
 * The client's side of a login, over a channel whose key exchange is done.
 */
import { Effect, Fiber, Schema } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import { channelFailed } from "../domain/channel/ChannelError.ts"
import type { ClientHandshake, ServerHandshake, UserName } from "../domain/channel/HandshakeMessage.ts"
import { Opaque, type Password, StretchingId } from "../domain/channel/Opaque.ts"
import type { HandshakeChannel, SecureChannel } from "../domain/channel/SecureChannel.ts"
import { Digest } from "../domain/file/Digest.ts"
import { stretchAheadMilliseconds } from "../domain/limits.ts"
import { LoginIncorrect, LoginRejected } from "./ClientError.ts"

export interface Credentials {
  readonly user: UserName
  readonly password: Password
}

const isStretchingId = Schema.is(StretchingId)

/** The beginning of one attempt: what can be made before there is a channel. */
export type Start = Effect.Success<ReturnType<typeof start>>

/** Begins an attempt. The start is for one attempt only. */
export const start = Effect.fnUntraced(function* ({ password, user }: Credentials) {
  const opaque = yield* Opaque
  return yield* Effect.mapError(opaque.startLogin(user, password), () => channelFailed("opaque-rejected"))
})

/**
 * One attempt. After `LoginIncorrect` with attempts left the same channel takes another.
 *
 * The channel that comes back is not yet confirmed: the server is known only once its first record opens.
 */
export const login = Effect.fnUntraced(function* (
  channel: HandshakeChannel<ServerHandshake, ClientHandshake>,
  { password, user }: Credentials,
  { ke1, state }: Start
): Effect.fn.Return<SecureChannel, ChannelFailed | LoginIncorrect | LoginRejected, Digest | Opaque> {
  const opaque = yield* Opaque
  const digest = yield* Digest
  yield* channel.send({ _tag: "LoginStart", user, ke1 })

  // A server that is near may want no stretching worth the preparation: it will have said so before. One that is far
  // leaves time to load what the first digest loads: 20 ms that a transfer would stand still for.
  const ahead = Effect.andThen(
    opaque.prepare,
    Effect.sync(() => void digest.make().digest())
  )
  const preparing = yield* Effect.forkChild(Effect.delay(ahead, stretchAheadMilliseconds))
  const answer = yield* Effect.ensuring(channel.receive, Fiber.interrupt(preparing))
  if (answer._tag === "Reject") {
    const { reason, retryAfterMilliseconds } = answer
    return yield* new LoginRejected({ reason, retryAfterMilliseconds })
  }
  if (answer._tag !== "LoginResponse") return yield* channelFailed("handshake-refused")
  const { ke2, stretching } = answer
  if (!isStretchingId(stretching)) return yield* channelFailed("unknown-stretching")

  const finish = yield* Effect.option(opaque.finishLogin(state, ke2, { user, password, stretching }))
  if (finish._tag === "None") {
    yield* channel.send({ _tag: "GiveUp" })
    const verdict = yield* channel.receive
    if (verdict._tag !== "Incorrect") return yield* channelFailed("handshake-refused")
    return yield* new LoginIncorrect({ user, attemptsLeft: verdict.attemptsLeft })
  }
  yield* channel.send({ _tag: "LoginFinish", ke3: finish.value.ke3 })
  return channel.upgrade(finish.value.sessionKey)
})
