import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import type { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, recordBytes } from "../../src/domain/channel/Opaque.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { accountsLookMilliseconds } from "../../src/domain/limits.ts"
import { Accounts, type AccountState } from "../../src/domain/session/Accounts.ts"
import { everything } from "../../src/domain/session/Grant.ts"
import type { FromServer } from "../../src/domain/session/SessionState.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { Members, type Met } from "../../src/server/Members.ts"
import * as PublicAccount from "../../src/server/PublicAccount.ts"
import { quickCrypto } from "../crypto.ts"

const record = Redacted.make(new Uint8Array(recordBytes))

describe("another account of the same name", () => {
  const noAccounts = Layer.unwrap(
    Effect.flatMap(Opaque, ({ createSetup }) => Effect.map(createSetup, (setup) => Accounts.layerMemory(setup, 1)))
  )

  const withPublicAccount = Members.layer.pipe(
    Layer.provideMerge(PublicAccount.layer({ loopback: true, host: "127.0.0.1" })),
    Layer.provide(Layer.orDie(noAccounts)),
    Layer.provideMerge(quickCrypto)
  )

  /** What a session of that user is told, when the accounts change between two looks. */
  const toldAfter = <E>(user: UserName, change: (accounts: Accounts["Service"]) => Effect.Effect<unknown, E>) =>
    Effect.gen(function* () {
      const told: Array<FromServer> = []
      yield* (yield* Members).join(user, everything, (change) => Effect.sync(() => void told.push(change)))
      yield* TestClock.adjust(accountsLookMilliseconds)
      assert.deepStrictEqual(told, [])
      yield* change(yield* Accounts)
      yield* TestClock.adjust(accountsLookMilliseconds)
      return told
    }).pipe(Effect.scoped)

  it.effect("gets no session of the one that was removed", () =>
    Effect.gen(function* () {
      const { user } = Fixture.ada
      const told = yield* toldAfter(user, (accounts) =>
        Effect.andThen(accounts.remove(user), accounts.add(user, record, 1_000, everything))
      )
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(
      Effect.provide(Layer.provideMerge(Members.layer, Layer.orDie(Fixture.accounts))),
      Effect.provide(quickCrypto)
    )
  )

  const takenBack = {
    disabling: (state: AccountState) => ({ ...state, disabled: true }),
    "another root": (state: AccountState) => ({ ...state, grant: { ...state.grant, root: FileName.make("away") } })
  }
  for (const [what, change] of Object.entries(takenBack)) {
    it.effect(`${what} that is taken back before the next look ends the sessions all the same`, () =>
      Effect.gen(function* () {
        const { user } = Fixture.ada
        const told = yield* toldAfter(user, (accounts) =>
          Effect.gen(function* () {
            let before: AccountState | undefined
            yield* accounts.change(user, (state) => change((before = state)))
            yield* accounts.change(user, (state) => before ?? state)
          })
        )
        assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
      }).pipe(
        Effect.provide(Layer.provideMerge(Members.layer, Layer.orDie(Fixture.accounts))),
        Effect.provide(quickCrypto)
      )
    )
  }

  it.effect("that comes and goes between two looks ends the sessions of the public one", () =>
    Effect.gen(function* () {
      const { user } = Fixture.ada
      const told = yield* toldAfter(PublicAccount.publicUser, (accounts) =>
        Effect.andThen(accounts.add(user, record, 1_000, everything), accounts.remove(user))
      )
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(Effect.provide(withPublicAccount))
  )

  it.effect("gets no session of the public one", () =>
    Effect.gen(function* () {
      const user = PublicAccount.publicUser
      const told = yield* toldAfter(user, (accounts) => accounts.add(user, record, 1_000, everything))
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(Effect.provide(withPublicAccount))
  )
})

describe("what a session is told", () => {
  const { user } = Fixture.ada
  const withAccounts = Layer.provideMerge(Members.layer, Layer.orDie(Fixture.accounts))
  const watched = Effect.fnUntraced(function* (met?: Met) {
    const told: Array<FromServer> = []
    const tell = (change: FromServer) => Effect.sync(() => void told.push(change))
    const member = yield* (yield* Members).join(user, everything, tell, met)
    return { told, member }
  })

  it.effect("is each change once: of its rights, and that it is over", () =>
    Effect.gen(function* () {
      const { member, told } = yield* watched()
      const accounts = yield* Accounts
      yield* TestClock.adjust(accountsLookMilliseconds)
      yield* accounts.change(user, (state) => ({ ...state, grant: { rights: ["read"] } }))
      yield* TestClock.adjust(3 * accountsLookMilliseconds)
      const granted = { _tag: "Granted", rights: ["read"] } as const
      assert.deepStrictEqual(told, [granted])
      assert.deepStrictEqual(member.grant(), { rights: ["read"] })
      yield* accounts.remove(user)
      yield* TestClock.adjust(3 * accountsLookMilliseconds)
      assert.deepStrictEqual(told, [granted, { _tag: "Revoked" }])
    }).pipe(Effect.scoped, Effect.provide(withAccounts), Effect.provide(quickCrypto))
  )

  it.effect("is that it is over, where the account it met before its login is another one by now", () =>
    Effect.gen(function* () {
      const met = yield* (yield* Members).meet(user)
      const accounts = yield* Accounts
      yield* accounts.remove(user)
      yield* accounts.add(user, record, 1_000, everything)
      const { told } = yield* watched(met)
      yield* TestClock.adjust(accountsLookMilliseconds)
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(Effect.scoped, Effect.provide(withAccounts), Effect.provide(quickCrypto))
  )

  it.effect("is that it is over, where a source gives another root and says nothing of it", () => {
    let moved = false
    const moving = Layer.effect(
      Accounts,
      Effect.map(Accounts, (accounts) => ({
        ...accounts,
        grants: Effect.sync(() => () => (moved ? { ...everything, root: FileName.make("away") } : everything))
      }))
    ).pipe(Layer.provide(Layer.orDie(Fixture.accounts)))
    return Effect.gen(function* () {
      const { told } = yield* watched()
      yield* TestClock.adjust(accountsLookMilliseconds)
      assert.deepStrictEqual(told, [])
      moved = true
      yield* TestClock.adjust(accountsLookMilliseconds)
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Members.layer, moving)), Effect.provide(quickCrypto))
  })

  it.effect("is nothing of an account that could not be looked up when it was met", () => {
    const broken = Layer.effect(
      Accounts,
      Effect.map(Accounts, (accounts) => ({ ...accounts, list: Effect.die("a fault of the source") }))
    ).pipe(Layer.provide(Layer.orDie(Fixture.accounts)))
    return Effect.gen(function* () {
      assert.strictEqual(yield* (yield* Members).meet(user), undefined)
    }).pipe(Effect.provide(Layer.provideMerge(Members.layer, broken)), Effect.provide(quickCrypto))
  })
})

describe("an account source that breaks while sessions are open", () => {
  it.effect("is looked at again, and who was removed meanwhile is told", () => {
    let looks = 0
    const breaking = Layer.effect(
      Accounts,
      Effect.map(Accounts, (accounts) => ({
        ...accounts,
        grants: Effect.suspend(() => ((looks += 1) === 1 ? Effect.die("a fault of the source") : accounts.grants))
      }))
    ).pipe(Layer.provide(Layer.orDie(Fixture.accounts)))
    return Effect.gen(function* () {
      const told: Array<FromServer> = []
      const { user } = Fixture.ada
      yield* (yield* Members).join(user, everything, (change) => Effect.sync(() => void told.push(change)))
      yield* TestClock.adjust(accountsLookMilliseconds)
      yield* (yield* Accounts).remove(user)
      yield* TestClock.adjust(accountsLookMilliseconds)
      assert.strictEqual(looks, 2)
      assert.deepStrictEqual(told, [{ _tag: "Revoked" }])
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Members.layer, breaking)), Effect.provide(quickCrypto))
  })
})
