/**
 * The client's side of a login, over a channel whose key exchange is done.
 */
import { Effect } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import { channelFailed } from "../domain/channel/ChannelError.ts"
import type { ClientHandshake, ServerHandshake, UserName } from "../domain/channel/HandshakeMessage.ts"
import { Opaque, type Password, StretchingId } from "../domain/channel/Opaque.ts"
import type { HandshakeChannel, SecureChannel } from "../domain/channel/SecureChannel.ts"
import { Schema } from "effect"
import { LoginIncorrect, LoginRejected } from "./ClientError.ts"

export interface Credentials {
  readonly user: UserName
  readonly password: Password
}

const isStretchingId = Schema.is(StretchingId)

/**
 * One attempt. After `LoginIncorrect` with attempts left the same channel takes another.
 *
 * The channel that comes back is not yet confirmed: the server is known only once its first record opens.
 */
export const login = Effect.fnUntraced(function* (
  channel: HandshakeChannel<ServerHandshake, ClientHandshake>,
  { password, user }: Credentials
): Effect.fn.Return<SecureChannel, ChannelFailed | LoginIncorrect | LoginRejected, Opaque> {
  const opaque = yield* Opaque
  const rejected = () => channelFailed("opaque-rejected")
  const { ke1, state } = yield* Effect.mapError(opaque.startLogin(user, password), rejected)
  yield* channel.send({ _tag: "LoginStart", user, ke1 })

  const answer = yield* channel.receive
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
