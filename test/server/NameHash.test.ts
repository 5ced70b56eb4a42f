import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { nameHashBytes } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as NameHash from "../../src/server/NameHash.ts"
import * as PublicAccount from "../../src/server/PublicAccount.ts"

const setup = (byte: number) => Redacted.make(new Uint8Array(128).fill(byte))
const accounts = Layer.provideMerge(Fixture.accounts, Opaque.layerQuick)
const noAccounts = Layer.unwrap(
  Effect.map(
    Opaque.use((opaque) => opaque.createSetup),
    (setup) => Accounts.layerMemory(setup, 1)
  )
)
const publicAccount = PublicAccount.layer({ loopback: true, host: "127.0.0.1" }).pipe(
  Layer.provide(noAccounts),
  Layer.provideMerge(Opaque.layerQuick)
)

describe("NameHash", () => {
  it.prop("is HMAC-SHA-256 under a key of the setup, cut, and no user name", [UserName], ([user]) => {
    const key = createHmac("sha256", Redacted.value(setup(1)))
      .update("paradrop name hash")
      .digest()
    const whole = createHmac("sha256", key).update(user).digest("hex")
    const hash = NameHash.make(setup(1))(user)
    assert.strictEqual(hash, `unknown:${whole.slice(0, 2 * nameHashBytes)}`)
    assert.isFalse(Schema.is(UserName)(hash))
    assert.notStrictEqual(NameHash.make(setup(2))(user), hash)
  })

  it.effect("shows names of accounts, disabled ones too, and hashes others", () =>
    Effect.gen(function* () {
      const { change, setup } = yield* Accounts
      yield* change(Fixture.grace.user, (before) => ({ ...before, disabled: true }))
      const shown = yield* NameHash.shown
      assert.deepStrictEqual(["ada", "grace"].map(shown), ["ada", "grace"])
      const hash = NameHash.make(yield* setup)
      for (const name of ["hunter2", PublicAccount.publicUser]) assert.strictEqual(shown(name), hash(name))
    }).pipe(Effect.provide(accounts))
  )

  it.effect("shows the public account while it exists", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const { add, setup } = yield* Accounts
      assert.strictEqual((yield* NameHash.shown)("default"), "default")
      const { password, user } = Fixture.ada
      const record = yield* opaque.register(yield* setup, { user, password, stretching: 1 })
      yield* add(user, record, 0, { rights: [] })
      assert.match((yield* NameHash.shown)("default"), /^unknown:[0-9a-f]{16}$/)
    }).pipe(Effect.provide(publicAccount))
  )
})
