import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Redacted } from "effect"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, type Password, recordBytes, type RegistrationRecord } from "../../src/domain/channel/Opaque.ts"
import * as DigestPortable from "../../src/domain/file/DigestPortable.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { everything } from "../../src/domain/session/Grant.ts"
import * as PublicAccount from "../../src/server/PublicAccount.ts"

const ada = UserName.make("ada")
const record = Redacted.make(new Uint8Array(recordBytes).fill(9))

const base = Layer.unwrap(
  Effect.gen(function* () {
    const opaque = yield* Opaque
    return Accounts.layerMemory(yield* opaque.createSetup, 1)
  })
)
const quick = Layer.provideMerge(base, Opaque.layerQuick)
const onLoopback = Layer.provideMerge(PublicAccount.layer({ loopback: true, host: "127.0.0.1" }), quick)

/** A whole login against what `find` gives. */
const logsIn = Effect.fnUntraced(function* (user: UserName, password: Password) {
  const accounts = yield* Accounts
  const opaque = yield* Opaque
  const { ke1, state } = yield* opaque.startLogin(user, password)
  const answer = yield* opaque.answerLogin(yield* accounts.setup, user, yield* accounts.find(user), ke1)
  const credentials = { user, password, stretching: accounts.stretching }
  const finish = yield* Effect.option(opaque.finishLogin(state, answer.ke2, credentials))
  return finish._tag === "Some"
})

describe("on loopback", () => {
  it.effect("the public account logs in while there is no other, and with no other password", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* logsIn(PublicAccount.publicUser, PublicAccount.publicPassword))
      assert.isFalse(yield* logsIn(PublicAccount.publicUser, Redacted.make("1234567")))
      assert.isFalse(yield* logsIn(ada, PublicAccount.publicPassword))
    }).pipe(Effect.provide(onLoopback))
  )

  it.effect("it may do everything until there is a real account, and is nobody's but its own", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const granted = Effect.map(accounts.grants, (grants) => [PublicAccount.publicUser, ada].map(grants))
      assert.deepStrictEqual(yield* granted, [everything, undefined])
      assert.isUndefined(yield* accounts.find(ada))
      yield* accounts.put(ada, record, 1)
      assert.deepStrictEqual(yield* granted, [undefined, everything])
    }).pipe(Effect.provide(onLoopback))
  )

  it.effect("its record is kept where it is made, and not made again where it was kept", () =>
    Effect.gen(function* () {
      let kept: RegistrationRecord | undefined
      let made = 0
      const keep = {
        get: Effect.sync(() => kept),
        set: (now: RegistrationRecord) => Effect.sync(() => ((kept = now), void (made += 1)))
      }
      const layer = PublicAccount.layer({ loopback: true, host: "127.0.0.1", keep })
      const found = Effect.flatMap(Accounts, (accounts) => accounts.find(PublicAccount.publicUser))
      for (let start = 0; start < 2; start++) {
        const seen = yield* Effect.provide(found, layer)
        assert.isDefined(seen)
        assert.strictEqual(seen, kept)
      }
      assert.strictEqual(made, 1)
    }).pipe(Effect.provide(quick))
  )

  it.effect("it is no entry: not listed, not removed", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      assert.deepStrictEqual(yield* accounts.list, [])
      assert.strictEqual((yield* Effect.flip(accounts.remove(PublicAccount.publicUser)))._tag, "NoSuchAccount")
    }).pipe(Effect.provide(onLoopback))
  )

  it.effect("any real account ends it at once, and the last one's removal brings it back", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      yield* accounts.put(ada, record, 1)
      assert.isUndefined(yield* accounts.find(PublicAccount.publicUser))
      assert.isFalse(yield* logsIn(PublicAccount.publicUser, PublicAccount.publicPassword))
      yield* accounts.remove(ada)
      assert.isTrue(yield* logsIn(PublicAccount.publicUser, PublicAccount.publicPassword))
    }).pipe(Effect.provide(onLoopback))
  )

  it.effect("a real account of its name has its real password alone", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const user = PublicAccount.publicUser
      const password = Redacted.make("correct horse")
      const opaque = yield* Opaque
      const real = yield* opaque.register(yield* accounts.setup, { user, password, stretching: 1 })
      yield* accounts.put(user, real, 1)
      assert.isTrue(yield* logsIn(user, password))
      assert.isFalse(yield* logsIn(user, PublicAccount.publicPassword))
    }).pipe(Effect.provide(onLoopback))
  )
})

describe("elsewhere", () => {
  const elsewhere = PublicAccount.layer({ loopback: false, host: "0.0.0.0" })

  it.effect("a server without accounts does not start, and says what to do", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(Effect.scoped(Layer.build(elsewhere)))
      const advice = "'paradrop-server user add NAME' makes one, with the same --root, --state or --config"
      assert.strictEqual(failed.message, `others can reach '0.0.0.0', and there is no account: ${advice}`)
      // Two lines of a terminal, with the name of the program.
      assert.isAtMost(`paradrop-server: ${failed.message}`.length, 160)
    }).pipe(Effect.provide(quick))
  )

  it.effect("the public account never exists, not even after the last account has gone", () =>
    Effect.gen(function* () {
      yield* (yield* Accounts).put(ada, record, 1)
      yield* Effect.gen(function* () {
        const accounts = yield* Accounts
        assert.isUndefined(yield* accounts.find(PublicAccount.publicUser))
        assert.isDefined(yield* accounts.find(ada))
        yield* accounts.remove(ada)
        assert.isUndefined(yield* accounts.find(PublicAccount.publicUser))
      }).pipe(Effect.provide(elsewhere))
    }).pipe(Effect.provide(quick))
  )
})

describe("keeping the record", () => {
  const kept = <A, E>(use: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem | Accounts | Opaque>) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      return yield* use(join(yield* fs.makeTempDirectoryScoped(), "public.record"))
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeServices.layer, quick)))

  const keepAt = (path: string) =>
    Effect.gen(function* () {
      const { setup, stretching } = yield* Accounts
      const made = { setup: yield* setup, stretching }
      return yield* PublicAccount.keepInFile(path, made).pipe(
        Effect.provide(Layer.merge(NodeServices.layer, DigestPortable.layer))
      )
    })

  it.live("gives back what was kept", () =>
    kept((path) =>
      Effect.gen(function* () {
        const keep = yield* keepAt(path)
        assert.isUndefined(yield* keep.get)
        yield* keep.set(record)
        assert.deepStrictEqual(
          Redacted.value((yield* keep.get) ?? Redacted.make(new Uint8Array())),
          Redacted.value(record)
        )
      })
    )
  )

  it.live("gives nothing for another stretching, for a record of another length, or for a file that is too long", () =>
    kept((path) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const keep = yield* keepAt(path)
        yield* keep.set(record)
        const setup = yield* (yield* Accounts).setup
        const other = Accounts.layerMemory(setup, 2)
        assert.isUndefined(yield* (yield* Effect.provide(keepAt(path), other)).get)
        const text = yield* fs.readFileString(path)
        yield* fs.writeFileString(path, text.padEnd(4096))
        assert.isDefined(yield* keep.get)
        yield* fs.writeFileString(path, text.padEnd(4097))
        assert.isUndefined(yield* keep.get)
        yield* keep.set(Redacted.make(new Uint8Array(recordBytes + 3).fill(9)))
        assert.isUndefined(yield* keep.get)
      })
    )
  )

  it.live("gives nothing for another setup, or when the file is damaged", () =>
    kept((path) =>
      Effect.gen(function* () {
        yield* (yield* keepAt(path)).set(record)
        const other = Accounts.layerMemory(yield* (yield* Opaque).createSetup, 1)
        assert.isUndefined(yield* (yield* Effect.provide(keepAt(path), other)).get)
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(path, (yield* fs.readFileString(path)).slice(0, 100))
        assert.isUndefined(yield* (yield* keepAt(path)).get)
      })
    )
  )
})
