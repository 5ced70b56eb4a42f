/**
 * Both sides of a login over a handshake channel, as short as the protocol allows.
 */
import { Effect, Redacted, Schema } from "effect"
import { type ChannelFailed, channelFailed } from "../../../src/domain/channel/ChannelError.ts"
import { type ClientHandshake, type ServerHandshake, UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, type RegistrationRecord, type ServerSetup, StretchingId } from "../../../src/domain/channel/Opaque.ts"
import type { HandshakeChannel, SecureChannel } from "../../../src/domain/channel/SecureChannel.ts"

export interface Accounts {
  readonly setup: ServerSetup
  readonly records: ReadonlyMap<string, RegistrationRecord>
}

export const user = UserName.make("default")
export const rightPassword = "123456"

/** A server that knows one account. */
export const accounts: Effect.Effect<Accounts, unknown, Opaque> = Effect.gen(function* () {
  const opaque = yield* Opaque
  const setup = yield* opaque.createSetup
  const password = Redacted.make(rightPassword)
  const record = yield* opaque.register(setup, { user, password, stretching: 1 })
  return { setup, records: new Map([[user, record]]) }
})

/** What a client tries; and how its attempts ended. */
export interface Attempt {
  readonly user: UserName
  readonly password: string
}
export type ClientOutcome =
  | { readonly _tag: "In"; readonly channel: SecureChannel; readonly incorrect: ReadonlyArray<number> }
  | { readonly _tag: "Out"; readonly incorrect: ReadonlyArray<number> }

const refused = Effect.fail(channelFailed("handshake-refused"))
const isStretching = Schema.is(StretchingId)

/** Tries each in turn, with the first application record in the same flight; believes the server after its first. */
export const clientLogin = Effect.fnUntraced(function* (
  channel: HandshakeChannel<ServerHandshake, ClientHandshake>,
  attempts: ReadonlyArray<Attempt>
): Effect.fn.Return<ClientOutcome, ChannelFailed, Opaque> {
  const opaque = yield* Opaque
  const incorrect: Array<number> = []
  for (const { password: typed, user } of attempts) {
    const password = Redacted.make(typed)
    const { ke1, state } = yield* Effect.orDie(opaque.startLogin(user, password))
    yield* channel.send({ _tag: "LoginStart", user, ke1 })
    const answer = yield* channel.receive
    if (answer._tag !== "LoginResponse") return yield* refused
    if (!isStretching(answer.stretching)) return yield* channelFailed("unknown-stretching")
    const finish = yield* Effect.result(
      opaque.finishLogin(state, answer.ke2, { user, password, stretching: answer.stretching })
    )
    if (finish._tag === "Success") {
      yield* channel.send({ _tag: "LoginFinish", ke3: finish.success.ke3 })
      const secure = channel.upgrade(finish.success.sessionKey)
      yield* secure.send([Uint8Array.of(1)])
      yield* secure.receive
      return { _tag: "In", channel: secure, incorrect }
    }
    yield* channel.send({ _tag: "GiveUp" })
    const verdict = yield* channel.receive
    if (verdict._tag !== "Incorrect") return yield* refused
    incorrect.push(verdict.attemptsLeft)
  }
  return { _tag: "Out", incorrect }
})

/** Answers until someone is in: and that is only after the first application record. */
export const serverLogin = Effect.fnUntraced(function* (
  channel: HandshakeChannel<ClientHandshake, ServerHandshake>,
  { records, setup }: Accounts,
  options: { readonly stretching?: number; readonly attempts?: number } = {}
): Effect.fn.Return<SecureChannel, ChannelFailed, Opaque> {
  const opaque = yield* Opaque
  for (let left = (options.attempts ?? 3) - 1; left >= 0; left--) {
    const start = yield* channel.receive
    if (start._tag !== "LoginStart") return yield* refused
    const { ke2, state } = yield* opaque
      .answerLogin(setup, start.user, records.get(start.user), start.ke1)
      .pipe(Effect.mapError(() => channelFailed("opaque-rejected")))
    yield* channel.send({ _tag: "LoginResponse", stretching: options.stretching ?? 1, ke2 })
    const proof = yield* channel.receive
    if (proof._tag === "LoginStart") return yield* refused
    if (proof._tag === "LoginFinish") {
      const sessionKey = yield* opaque
        .verifyLogin(state, start.user, proof.ke3)
        .pipe(Effect.mapError(() => channelFailed("opaque-rejected")))
      const secure = channel.upgrade(sessionKey)
      yield* secure.receive
      yield* secure.send([Uint8Array.of(2)])
      return secure
    }
    yield* channel.send({ _tag: "Incorrect", attemptsLeft: left })
  }
  return yield* channelFailed("opaque-rejected")
})
