import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { packFiles } from "../../src/domain/file/PackedFiles.ts"
import { signsOfLifeMillisecondsMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import type { ClientMessage } from "../../src/domain/wire/Message.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const digest = ContentDigest.make("0".repeat(64))
const hour = 3_600_000
const dayHours = signsOfLifeMillisecondsMax / hour
/** The sign behind the day counts no more: the session ends an hour after the one before it. */
const believed = dayHours + 2
/** Without a minimum rate: that ends an upload sooner. */
const limits = { minimumBytesPerSecond: 0, idleMilliseconds: hour, stallMilliseconds: hour }

const ends = Effect.map(Watch, ({ outcomes }) => outcomes())

type Sign = (session: HostileClient.HostileSession) => Effect.Effect<void, unknown>

/** Gives that sign just in time each hour, for two days or until the session ends: so many hours. */
const hoursOf = Effect.fnUntraced(function* (session: HostileClient.HostileSession, sign: Sign) {
  yield* Effect.forkScoped(session.hearAll)
  let hours = 0
  for (; hours < 2 * dayHours && !(yield* ends).includes("stalled"); hours++) {
    yield* TestClock.adjust(hour - 1)
    yield* Effect.ignore(sign(session))
    yield* settle
  }
  return hours
})

const ready = Effect.flatMap(dial, (socket) => HostileClient.login(socket, Fixture.ada))

const offered = Effect.gen(function* () {
  const owner = yield* connect(Fixture.grace)
  yield* owner.upload(name, Fixture.source(Fixture.bytes(1, 400_000)))
  yield* owner.close
  const session = yield* ready
  yield* session.say(1, { _tag: "Download", name, delta: true })
  const heard = yield* session.hear
  assert(heard?._tag === "Message" && heard.message._tag === "Sending")
  assert.strictEqual((yield* Watch).held.files, 1)
  return session
})

const asked = Effect.gen(function* () {
  const opaque = yield* Opaque
  const { password, user } = Fixture.ada
  const session = yield* ready
  const { ke1 } = yield* opaque.startLogin(user, password)
  const { request } = yield* opaque.startRegistration(user, password)
  yield* session.say(1, { _tag: "PasswordStart", ke1, request })
  const heard = yield* session.hear
  assert(heard?._tag === "Message" && heard.message._tag === "PasswordAnswer")
  return session
})

const ping: Sign = (session) => session.say(0, { _tag: "Ping" })
const signs: ReadonlyArray<Sign> = [
  ping,
  (session) => session.say(1, { _tag: "Ping" }),
  (session) => session.record(new Uint8Array()),
  (session) => session.say(9, { _tag: "Cancel" })
]

describe("a client that only says that it lives", () => {
  scenario(
    "in any way, while a file is open for it, is believed for a day and no longer",
    () =>
      Effect.gen(function* () {
        const session = yield* offered
        let id = 1
        // Another one each hour, and then it asks for something else.
        const sign: Sign = (far) =>
          signs[(id += 1) % (signs.length + 1)]?.(far) ?? far.say(id, { _tag: "Describe", name })
        assert.strictEqual(yield* hoursOf(session, sign), believed)
        yield* settle
        assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
      }),
    { limits }
  )

  const sent: Record<string, ClientMessage> = {
    "an upload": { _tag: "Upload", name, size: 2, modified: 0 },
    "a bundle": { _tag: "UploadBundle", files: packFiles([{ name, size: 2, modified: 0, digest }]) }
  }
  for (const [what, message] of Object.entries(sent)) {
    scenario(
      `and keeps back the rest of ${what}, is believed for a day and no longer`,
      () =>
        Effect.gen(function* () {
          const session = yield* ready
          yield* session.say(1, message)
          yield* session.hear
          yield* session.content(1, Uint8Array.of(1))
          yield* settle
          assert.strictEqual(yield* hoursOf(session, ping), believed)
          yield* settle
          assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
        }),
      { limits }
    )
  }

  scenario(
    "and never proves the password that it would change, is believed for a day and no longer",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* hoursOf(yield* asked, ping), believed)
      }),
    { limits }
  )

  scenario(
    "is believed for another day by each question about the file",
    () =>
      Effect.gen(function* () {
        const session = yield* offered
        let hours = 0
        const asks: Sign = () =>
          (hours += 1) % 20 === 0 ? session.say(1, { _tag: "NeedChunks", first: 0, count: 1 }) : ping(session)
        assert.strictEqual(yield* hoursOf(session, asks), 2 * dayHours)
        assert.strictEqual((yield* Watch).held.files, 1)
      }),
    { limits }
  )

  scenario(
    "may do so for ever while nothing is held for it",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* hoursOf(yield* ready, ping), 2 * dayHours)
      }),
    { limits }
  )
})
