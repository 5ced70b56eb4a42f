import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { ke3Bytes, Opaque } from "../../src/domain/channel/Opaque.ts"
import * as limits from "../../src/domain/limits.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import { rights } from "../../src/domain/session/Grant.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as Login from "../../src/server/Login.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as Peer from "../../src/server/Peer.ts"

const { ada } = Fixture
const eve = UserName.make("eve")

const login = Login.make(Peer.fromAddress("203.0.113.1"))

/** What a server makes of a first message, and the proof that a client with the right password answers with. */
const proofOf = Effect.fnUntraced(function* (server: Login.Login, { password, user }: Fixture.Credentials) {
  const opaque = yield* Opaque
  const { ke1, state } = yield* opaque.startLogin(user, password)
  const answer = yield* server.answer(user, ke1)
  assert(answer._tag === "LoginAnswered")
  const { ke3, sessionKey } = yield* opaque.finishLogin(state, answer.ke2, { user, password, stretching: 1 })
  return { ke3, sessionKey }
})

/** Answers to one try after the other, without any proof. */
const tries = Effect.fnUntraced(function* (server: Login.Login, user: UserName, count: number) {
  const { ke1 } = yield* (yield* Opaque).startLogin(user, ada.password)
  return yield* Effect.forEach(Array.from({ length: count }), () =>
    Effect.map(server.answer(user, ke1), (answer) =>
      answer._tag === "LoginRejected" ? answer.retryAfterMilliseconds : answer._tag
    )
  )
})

const services = Layer.merge(Layer.orDie(Fixture.accounts), LoginGuard.layer).pipe(
  Layer.provideMerge(Opaque.layerQuick)
)
const scenario = <E>(name: string, body: Effect.Effect<void, E, Accounts | LoginGuard | Opaque>) =>
  it.effect(name, () => Effect.provide(body, services))

describe("a login", () => {
  scenario(
    "gives the key of both ends and what the account may do, once for each answer",
    Effect.gen(function* () {
      const server = yield* login
      const { ke3, sessionKey } = yield* proofOf(server, ada)
      const verified = yield* server.verify(ada.user, ke3)
      assert.deepStrictEqual(verified && Redacted.value(verified.sessionKey), Redacted.value(sessionKey))
      assert.deepStrictEqual(verified?.grant, { rights })
      assert.isUndefined(yield* server.verify(ada.user, ke3))
    })
  )

  scenario(
    "does not verify with any bit of the proof changed, nor with none",
    Effect.gen(function* () {
      const server = yield* login
      for (let bit = 0; bit < ke3Bytes * 8; bit += 37) {
        const { ke3 } = yield* proofOf(server, ada)
        const wrong = ke3.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
        assert.isUndefined(yield* server.verify(ada.user, wrong), `bit ${bit}`)
        // It has used its answer up: the right proof comes too late.
        assert.isUndefined(yield* server.verify(ada.user, ke3))
        yield* server.succeeded(ada.user)
      }
      assert.isUndefined(yield* server.verify(ada.user, new Uint8Array(ke3Bytes)))
    })
  )

  scenario(
    "of one user does not verify for another",
    Effect.gen(function* () {
      const server = yield* login
      const { ke3 } = yield* proofOf(server, ada)
      assert.isUndefined(yield* server.verify(Fixture.grace.user, ke3))
    })
  )

  for (const [what, edit] of [
    ["disabled", (accounts: Accounts["Service"]) => accounts.change(ada.user, (one) => ({ ...one, disabled: true }))],
    ["removed", (accounts: Accounts["Service"]) => accounts.remove(ada.user)]
  ] as const) {
    scenario(
      `into an account that is ${what} between the answer and the proof does not get in`,
      Effect.gen(function* () {
        const server = yield* login
        const { ke3 } = yield* proofOf(server, ada)
        yield* edit(yield* Accounts)
        assert.isUndefined(yield* server.verify(ada.user, ke3))
      })
    )
  }

  scenario(
    "at a name that no account has is answered as often as at one that has, and then told to wait as long",
    Effect.gen(function* () {
      const server = yield* login
      const count = limits.attemptsPerUserAndAddressMax + 2
      const wait = limits.attemptPerUserAndAddressMilliseconds
      const expected = Array.from({ length: count }, (_, index) => (index < count - 2 ? "LoginAnswered" : wait))
      assert.deepStrictEqual(yield* tries(server, eve, count), expected)
      assert.deepStrictEqual(yield* tries(server, ada.user, count), expected)
    })
  )
})

describe("accounts that cannot be read", () => {
  scenario(
    "cost nobody an attempt",
    Effect.gen(function* () {
      const accounts = yield* Accounts
      let broken = true
      const find: Accounts["Service"]["find"] = (user) =>
        Effect.suspend(() => (broken ? Effect.fail(new AccountsFailed({ detail: "in pieces" })) : accounts.find(user)))
      const server = yield* Effect.provideService(login, Accounts, { ...accounts, find })
      const { ke1 } = yield* (yield* Opaque).startLogin(ada.user, ada.password)
      for (let index = 0; index < 2 * limits.attemptsPerUserAndAddressMax; index += 1) {
        assert.strictEqual((yield* Effect.flip(server.answer(ada.user, ke1))).detail, "in pieces")
      }
      broken = false
      // Nor do they prove who somebody is: tries from elsewhere count.
      const guard = yield* LoginGuard
      const tried = limits.attemptsPerUserMax - 1
      for (let n = 1; n <= tried; n += 1) yield* guard.attempt(ada.user, Peer.fromAddress(`192.0.2.${n}`))
      assert.isDefined(yield* server.verify(ada.user, (yield* proofOf(server, ada)).ke3))
      assert.strictEqual((yield* server.answer(ada.user, ke1))._tag, "LoginRejected")
    })
  )
})
