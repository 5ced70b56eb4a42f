import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { LoginRejected } from "../../src/client/ClientError.ts"
import { Opaque, recordBytes } from "../../src/domain/channel/Opaque.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { unavailableRetryMilliseconds } from "../../src/domain/limits.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { RequestId } from "../../src/domain/wire/Frame.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as PasswordChange from "../../src/server/PasswordChange.ts"
import * as Peer from "../../src/server/Peer.ts"
import type { SessionWatch } from "../../src/server/SessionWatch.ts"
import { connect, scenario, settle, Watch } from "./world.ts"

const { password: current, user } = Fixture.ada
const unwatched: Pick<SessionWatch, "change"> = { change: (_, run) => run }
const next = Redacted.make("another horse entirely")
const record = Effect.gen(function* () {
  const found = yield* (yield* Accounts).find(user)
  return found === undefined ? undefined : Redacted.value(found).join()
})

describe("a password that its owner changes", () => {
  scenario("is the one that the next login needs; the session goes on, and rights stay", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      yield* accounts.change(user, (before) => ({ ...before, grant: { rights: ["write"] } }))
      const session = yield* connect()
      yield* session.changePassword({ user, current, next })
      yield* session.upload(FileName.make("a"), Fixture.source(Fixture.bytes(1, 10)))
      assert.strictEqual((yield* Effect.flip(Effect.scoped(connect())))._tag, "LoginIncorrect")
      const again = yield* connect({ user, password: next })
      assert.deepStrictEqual((yield* accounts.grants)(user), { rights: ["write"] })
      yield* again.changePassword({ user, current: next, next: current })
      yield* connect()
    })
  )

  scenario("needs the present one, however long the session has been open", () =>
    Effect.gen(function* () {
      const before = yield* record
      const session = yield* connect()
      const refusal = yield* Effect.flip(session.changePassword({ user, current: next, next }))
      assert.strictEqual(refusal.message, "incorrect: that is not your present password, nothing was changed")
      assert.strictEqual(yield* record, before)
      // The refusal has ended the request and not the session.
      yield* session.changePassword({ user, current, next })
      assert.notStrictEqual(yield* record, before)
    })
  )

  it.effect("is kept when the proof is wrong in any part, and then takes a new answer", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const change = yield* PasswordChange.make(Peer.fromAddress("203.0.113.1"), unwatched)
      const before = yield* record
      const id = RequestId.make(1)
      const stretching = 1
      /** Everything as an honest client does it, up to the proof and the record. */
      const ready = Effect.gen(function* () {
        const proof = yield* opaque.startLogin(user, current)
        const registration = yield* opaque.startRegistration(user, next)
        const { ke1 } = proof
        const { request } = registration
        const answer = yield* change.answer({ _tag: "AnswerPassword", id, user, ke1, request })
        assert(answer._tag === "PasswordAnswered")
        const { ke3 } = yield* opaque.finishLogin(proof.state, answer.ke2, { user, password: current, stretching })
        const wanted = { user, password: next, stretching } as const
        const made = yield* opaque.finishRegistration(registration.state, answer.response, wanted)
        return { _tag: "ChangePassword", id, user, ke3, record: Redacted.value(made) } as const
      })
      const incorrect = { _tag: "Refused", id, refusal: { reason: "incorrect" } } as const
      for (const at of [0, 31, 63]) {
        const right = yield* ready
        const ke3 = right.ke3.map((byte, index) => (index === at ? byte ^ 1 : byte))
        assert.deepStrictEqual(yield* change.change({ ...right, ke3 }), incorrect)
        // The answer is used up, also for the right proof.
        assert.deepStrictEqual(yield* change.change(right), incorrect)
        assert.strictEqual(yield* record, before)
      }
      assert.deepStrictEqual(yield* change.change(yield* ready), { _tag: "PasswordChanged", id })
      assert.notStrictEqual(yield* record, before)
    }).pipe(
      Effect.provide(Layer.mergeAll(Layer.orDie(Fixture.accounts), LoginGuard.layer)),
      Effect.provide(Opaque.layerQuick)
    )
  )

  it.effect("is guessed at no quicker than at the login", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const change = yield* PasswordChange.make(Peer.fromAddress("203.0.113.1"), unwatched)
      const { ke1 } = yield* opaque.startLogin(user, next)
      const { request } = yield* opaque.startRegistration(user, next)
      const id = RequestId.make(1)
      const answers: Array<string> = []
      while (answers.length < 50) {
        const answer = yield* change.answer({ _tag: "AnswerPassword", id, user, ke1, request })
        answers.push(answer._tag === "Refused" ? answer.refusal.reason : answer._tag)
      }
      const limited = answers.indexOf("too-many-attempts")
      assert.isAbove(limited, 0)
      assert.isBelow(limited, 20)
      assert.deepStrictEqual(new Set(answers.slice(limited)), new Set(["too-many-attempts"]))
      // What was answered and never proved is used up by the first try to do so.
      const finish = { _tag: "ChangePassword", id, user, ke3: new Uint8Array(64), record: new Uint8Array(192) } as const
      const wrong = yield* change.change(finish)
      assert.deepStrictEqual(wrong, { _tag: "Refused", id, refusal: { reason: "incorrect" } })
      assert.isDefined(yield* record)
    }).pipe(
      Effect.provide(Layer.mergeAll(Layer.orDie(Fixture.accounts), LoginGuard.layer)),
      Effect.provide(Opaque.layerQuick)
    )
  )

  it.effect("is no try while the server cannot answer", () =>
    Effect.gen(function* () {
      const [opaque, accounts] = [yield* Opaque, yield* Accounts]
      let unreadable = true
      const setup = Effect.suspend(() =>
        unreadable ? Effect.fail(new AccountsFailed({ detail: "unreadable" })) : accounts.setup
      )
      const change = yield* PasswordChange.make(Peer.fromAddress("203.0.113.1"), unwatched).pipe(
        Effect.provideService(Accounts, { ...accounts, setup })
      )
      const { ke1 } = yield* opaque.startLogin(user, current)
      const { request } = yield* opaque.startRegistration(user, next)
      const ask = change.answer({ _tag: "AnswerPassword", id: RequestId.make(1), user, ke1, request })
      for (let tries = 0; tries < 50; tries += 1) assert.strictEqual((yield* ask)._tag, "Refused")
      unreadable = false
      assert.strictEqual((yield* ask)._tag, "PasswordAnswered")
    }).pipe(
      Effect.provide(Layer.mergeAll(Layer.orDie(Fixture.accounts), LoginGuard.layer)),
      Effect.provide(Opaque.layerQuick)
    )
  )

  scenario("gives way to one that the administrator sets meanwhile, and removed accounts stay removed", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const opaque = yield* Opaque
      const session = yield* connect()
      const set = Redacted.make(new Uint8Array(recordBytes).fill(7))
      yield* accounts.change(user, (before) => ({ ...before, record: set }))
      const other = yield* Effect.flip(session.changePassword({ user, current, next }))
      assert.include(other, { _tag: "RequestRefused", reason: "incorrect" })
      const good = yield* opaque.register(yield* accounts.setup, { user, password: current, stretching: 1 })
      yield* accounts.change(user, (before) => ({ ...before, record: good }))
      yield* accounts.remove(user)
      const gone = yield* Effect.flip(session.changePassword({ user, current, next }))
      assert.include(gone, { _tag: "RequestRefused", reason: "not-permitted", detail: "password" })
      assert.isUndefined(yield* record)
    })
  )
})

describe("accounts that cannot be read", () => {
  let broken = true
  scenario(
    "are said to be, to who would log in; the log says why, and once they can be the server goes on",
    () =>
      Effect.gen(function* () {
        const refused = yield* Effect.flip(connect())
        assert.deepStrictEqual(
          refused,
          new LoginRejected({ reason: "unavailable", retryAfterMilliseconds: unavailableRetryMilliseconds })
        )
        assert.strictEqual(
          refused.message,
          "the server cannot read its accounts: its administrator finds why in its log"
        )
        yield* settle
        const lines = (yield* Watch).lines.map(({ annotations: { detail, event, outcome } }) => [
          event,
          outcome,
          detail
        ])
        assert.deepStrictEqual(lines, [
          ["accounts-failed", undefined, "in pieces"],
          ["connection-ended", "accounts-failed", "in pieces"]
        ])
        broken = false
        yield* connect()
      }),
    { unreadable: () => broken }
  )
})
