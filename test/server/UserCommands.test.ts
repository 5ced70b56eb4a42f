/**
 * Passwords that are made, where the disk of the accounts fails.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stdio } from "effect"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as UserCommands from "../../src/server/UserCommands.ts"

const { user } = Fixture.ada
const services = Layer.mergeAll(
  NodeServices.layer,
  NodeCrypto.layerSecureRandom,
  Stdio.layerTest({ stdoutIsTerminal: Effect.succeed(true) })
)
const failure = new AccountsFailed({ detail: "a fault" })

/** What a person is shown of a new password of ada's, and whether it is another one then. */
const shown = (
  change: (work: Effect.Effect<void, AccountsFailed>) => Effect.Effect<void, AccountsFailed>,
  disabled = false
) =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const setDisabled = (to: boolean) => accounts.change(user, (account) => ({ ...account, disabled: to }))
    const record = Effect.map(accounts.find(user), (found) => found && Redacted.value(found).join())
    const before = yield* record
    yield* setDisabled(disabled)
    let text = ""
    const show = (more: string) => Effect.sync(() => void (text += more))
    const failing = Accounts.of({
      ...accounts,
      setup: accounts.setup,
      stretching: accounts.stretching,
      change: (...args) => change(Effect.orDie(accounts.change(...args)))
    })
    const told = yield* UserCommands.passwd(user, { generate: true, allowWeak: false, show }).pipe(
      Effect.provideService(Accounts, failing),
      Effect.flip
    )
    assert.strictEqual(told, failure)
    assert.strictEqual((yield* accounts.list).find((account) => account.user === user)?.disabled, disabled)
    yield* setDisabled(false)
    return { text, changed: (yield* record) !== before }
  }).pipe(Effect.provide([services, Fixture.accounts]), Effect.provide(Opaque.layerQuick))

describe("a password that is made, where the disk fails", () => {
  it.effect("behind the change, is shown: nobody else knows the one that works now", () =>
    Effect.gen(function* () {
      const { changed, text } = yield* shown((work) => Effect.andThen(work, Effect.fail(failure)))
      assert.match(text, /^new password of 'ada', shown this once: \w{5}(?:-\w{5}){3}\n$/)
      assert.isTrue(changed)
    })
  )

  it.effect("behind that of a disabled account, is shown too: it works once that is enabled", () =>
    Effect.gen(function* () {
      const { changed, text } = yield* shown((work) => Effect.andThen(work, Effect.fail(failure)), true)
      assert.match(text, /^new password of 'ada', shown this once: \w{5}(?:-\w{5}){3}\n$/)
      assert.isTrue(changed)
    })
  )

  it.effect("before it, is not: it works nowhere", () =>
    Effect.gen(function* () {
      const nothing = { text: "", changed: false }
      assert.deepStrictEqual(yield* shown(() => Effect.fail(failure)), nothing)
      assert.deepStrictEqual(yield* shown(() => Effect.fail(failure), true), nothing)
    })
  )
})
