import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { accountsLookMilliseconds } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { everything } from "../../src/domain/session/Grant.ts"
import type { FromServer } from "../../src/domain/session/SessionState.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { Members } from "../../src/server/Members.ts"
import { quickCrypto } from "../crypto.ts"

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
