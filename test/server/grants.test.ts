import { assert, describe } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { recordBytes } from "../../src/domain/channel/Opaque.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { accountsLookMilliseconds, goodbyeMillisecondsMax } from "../../src/domain/limits.ts"
import { Accounts, type AccountState } from "../../src/domain/session/Accounts.ts"
import { everything, type Grant, rights } from "../../src/domain/session/Grant.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as TakingNothing from "./takingNothing.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const name = (text: string) => FileName.make(text)
const files = ["ada/x", "grace/x", "x"].map((text, index) => ({
  name: name(text),
  content: Fixture.bytes(index, 100)
}))
const { user } = Fixture.ada

const change = (edit: (before: AccountState) => AccountState) =>
  Effect.flatMap(Accounts, (accounts) => accounts.change(user, edit))
const grant = (given: Grant) => change((before) => ({ ...before, grant: given }))
const names = (session: ClientSession) =>
  Effect.map(Stream.runCollect(session.fetch), (entries) => entries.map((entry) => entry.name))
const upload = (session: ClientSession, to: string, size: number) =>
  session.upload(name(to), Fixture.source(Fixture.bytes(9, size)))
const look = Effect.andThen(TestClock.adjust(accountsLookMilliseconds), settle)
const outcomes = Effect.map(Watch, (watch) => watch.outcomes())

describe("an account with a root", () => {
  scenario(
    "sees that folder as the whole, and what it makes is in there",
    () =>
      Effect.gen(function* () {
        yield* grant({ rights, root: name("ada") })
        const session = yield* connect()
        assert.deepStrictEqual(yield* names(session), [name("x")])
        assert.strictEqual((yield* session.describe(name("x"))).digest, yield* Fixture.digest(Fixture.bytes(0, 100)))
        yield* upload(session, "deep/new", 5)
        yield* session.para(name("x"), Fixture.source(Fixture.bytes(7, 50)))
        assert.strictEqual((yield* Effect.flip(session.describe(name("grace/x"))))._tag, "RequestRefused")
        const other = yield* connect(Fixture.grace)
        assert.deepStrictEqual((yield* names(other)).toSorted(), ["ada/deep/new", "ada/x", "grace/x", "x"].map(name))
        const { lines } = yield* Watch
        assert.isTrue(lines.some(({ message }) => message === "File 'ada/deep/new' uploaded successfully."))
      }),
    { files }
  )
})

describe("an account with a quota", () => {
  scenario(
    "is refused with the figures, and goes on with what fits",
    () =>
      Effect.gen(function* () {
        yield* grant({ rights, root: name("ada"), quota: { bytes: 250, files: 3 } })
        const session = yield* connect()
        const refusal = yield* Effect.flip(upload(session, "y", 151))
        assert.strictEqual(
          refusal.message,
          "your quota on the server does not hold 'y' (100 of 250 bytes used, 151 more needed): " +
            "nothing was changed, remove files or ask for more"
        )
        yield* upload(session, "y", 150)
        const para = session.para(name("x"), Fixture.source(Fixture.bytes(3, 101)))
        assert.include(yield* Effect.flip(para), { _tag: "RequestRefused", reason: "quota-exceeded" })
        yield* settle
        assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
      }),
    { files }
  )

  scenario(
    "that is lowered while it is logged in holds from the next command on",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        yield* upload(session, "y", 1_000)
        yield* grant({ rights, quota: { bytes: 1_300 } })
        yield* look
        assert.include(yield* Effect.flip(upload(session, "z", 1)), { reason: "quota-exceeded" })
      }),
    { files }
  )
})

describe("an account that may only replace files, or only add some", () => {
  for (const [right, place, lacking] of [
    ["replace", 1, "write"],
    ["write", 0, "replace"]
  ] as const) {
    scenario(
      `hears of a bundle that it lacks the right to ${lacking}, and the rest of it is kept: ${right}`,
      () =>
        Effect.gen(function* () {
          yield* grant({ rights: [right] })
          const session = yield* connect()
          const content = Fixture.bytes(9, 10)
          const digest = yield* Fixture.digest(content)
          const bundled = (text: string) => ({ name: name(text), size: content.length, modified: 0, digest, content })
          const refused = yield* session.uploadBundle([bundled("x"), bundled("new")])
          assert.deepStrictEqual(
            Array.from(refused, ([index, { detail, reason }]) => [index, reason, detail]),
            [[place, "not-permitted", lacking]]
          )
        }),
      { files }
    )
  }
})

describe("an account that is changed while it is logged in", () => {
  scenario("has other rights from the next command on, in the session that it has", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* upload(session, "x", 10)
      yield* grant({ rights: ["list"] })
      yield* look
      assert.include(yield* Effect.flip(upload(session, "x", 10)), { reason: "not-permitted", detail: "write" })
      assert.deepStrictEqual(yield* names(session), [name("x")])
      yield* grant({ rights })
      yield* look
      yield* upload(session, "x", 10)
    })
  )

  const ends: Record<string, Effect.Effect<void, unknown, Accounts>> = {
    disabled: change((before) => ({ ...before, disabled: true })),
    removed: Effect.flatMap(Accounts, (accounts) => accounts.remove(user)),
    moved: grant({ rights, root: name("elsewhere") })
  }
  for (const [what, edit] of Object.entries(ends)) {
    scenario(`${what}: its sessions end with the reason, and those of others stay`, () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const other = yield* connect(Fixture.grace)
        yield* Effect.orDie(edit)
        yield* look
        const lost = yield* Effect.flip(names(session))
        assert.strictEqual(
          lost.message,
          "the server ended the session (revoked): your account was disabled, removed or moved, ask its administrator"
        )
        yield* TestClock.adjust(2_000)
        yield* settle
        assert.deepStrictEqual(yield* outcomes, ["revoked"])
        yield* upload(other, "y", 1)
      })
    )
  }

  const peer = TakingNothing.make()
  scenario(
    "disabled while its client takes no answer: the session ends all the same",
    () =>
      Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        peer.begin()
        yield* session.say(1, { _tag: "Ping" })
        yield* change((before) => ({ ...before, disabled: true }))
        yield* look
        assert.deepStrictEqual(yield* outcomes, [])
        yield* TestClock.adjust(goodbyeMillisecondsMax)
        yield* settle
        assert.deepStrictEqual(yield* outcomes, ["revoked"])
      }),
    peer
  )

  scenario("made anew while somebody logs in with the old password: it is not theirs", () =>
    Effect.gen(function* () {
      const session = yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
      const accounts = yield* Accounts
      yield* accounts.remove(user)
      yield* accounts.add(user, Redacted.make(new Uint8Array(recordBytes)), 1_000, everything)
      yield* session.say(0, { _tag: "Hello", client: "late" })
      yield* settle
      yield* look
      yield* TestClock.adjust(2_000)
      yield* settle
      assert.deepStrictEqual(yield* outcomes, ["revoked"])
    })
  )

  scenario("disabled or unknown: a login says the same, and the log too", () =>
    Effect.gen(function* () {
      yield* change((before) => ({ ...before, disabled: true }))
      const disabled = yield* Effect.flip(Effect.scoped(connect()))
      yield* Effect.flatMap(Accounts, (accounts) => accounts.remove(user))
      const unknown = yield* Effect.flip(Effect.scoped(connect()))
      assert.deepStrictEqual(disabled, unknown)
      yield* settle
      const [first, second, ...more] = (yield* Watch).lines.map(({ annotations, message }) =>
        JSON.stringify([message, annotations], (key, value: unknown) => (key === "milliseconds" ? 0 : value))
      )
      assert.deepStrictEqual(first, second)
      assert.deepStrictEqual(more, [])
    })
  )
})
