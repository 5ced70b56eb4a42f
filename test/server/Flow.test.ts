/**
 * Whole servers whose bandwidth is limited, that see slow peers, and that are full for an account.
 */
import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { contentBlockBytes, goodbyeMillisecondsMax, stallMillisecondsMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const size = 4 * contentBlockBytes
const rate = 64 * 1024

/** Runs work while time passes in small steps; how long it took, milliseconds. */
const timed = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(work)
    while (fiber.pollUnsafe() === undefined) {
      yield* settle
      yield* TestClock.adjust(100)
    }
    yield* Fiber.join(fiber)
    return (yield* Clock.currentTimeMillis) - since
  })

const upload = (of: FileName, seed: number) =>
  Effect.flatMap(connect(), (session) => session.upload(of, Fixture.source(Fixture.bytes(seed, size))))

const paid = (bytes: number): number => (bytes * 1000) / rate

const takesItsTime = (milliseconds: number, bytes: number): void => {
  assert.isAtLeast(milliseconds, paid(bytes) - 1_000)
  assert.isAtMost(milliseconds, paid(bytes) + 3_000)
}

describe("bandwidth", () => {
  scenario(
    "one session keeps to its rate when it sends",
    () => Effect.map(timed(upload(name, 1)), (took) => takesItsTime(took, size)),
    {
      limits: { sessionReceiveBytesPerSecond: rate }
    }
  )

  scenario(
    "all sessions of an account share its rate",
    () =>
      Effect.map(timed(Effect.all([upload(name, 1), upload(FileName.make("b"), 2)], { concurrency: 2 })), (took) =>
        takesItsTime(took, 2 * size)
      ),
    { limits: { accountReceiveBytesPerSecond: rate } }
  )

  scenario(
    "what the server sends keeps to its rate",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const sink = Fixture.sink()
        takesItsTime(yield* timed(session.download(name, () => Effect.succeed(sink))), size)
        assert.deepStrictEqual(sink.content(), Fixture.bytes(3, size))
      }),
    { limits: { sendBytesPerSecond: rate }, files: [{ name, content: Fixture.bytes(3, size) }] }
  )

  scenario("costs no time when it is off", () =>
    Effect.map(timed(upload(name, 1)), (took) => assert.isAtMost(took, 1_000))
  )
})

describe("a minimum rate", () => {
  scenario("ends a transfer that drips, for that reason", () =>
    Effect.gen(function* () {
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Upload", name, size: 1_000_000, modified: 0 })
      const outcomes = (yield* Watch).outcomes
      // Never silent long enough for the stall to end it.
      for (let drops = 0; outcomes().length === 0 && drops < 20; drops++) {
        yield* session.content(1, Uint8Array.of(drops))
        yield* settle
        yield* TestClock.adjust(stallMillisecondsMax / 4)
        yield* settle
      }
      assert.deepStrictEqual(outcomes(), ["too-slow"])
    })
  )

  scenario(
    "never counts the time in which the server itself does not read",
    () =>
      Effect.gen(function* () {
        yield* timed(upload(name, 1))
        assert.notInclude((yield* Watch).outcomes(), "too-slow")
      }),
    { limits: { sessionReceiveBytesPerSecond: 8 * 1024, minimumBytesPerSecond: 1024 * 1024 } }
  )
})

describe("sessions of an account", () => {
  scenario(
    "are limited, and the one too many is told",
    () =>
      Effect.gen(function* () {
        yield* connect()
        const error = yield* Effect.flip(connect())
        assert.include(error.message, "too-many-of-account")
        yield* connect(Fixture.grace)
        yield* settle
        yield* TestClock.adjust(2 * goodbyeMillisecondsMax)
        yield* settle
        assert.deepStrictEqual((yield* Watch).outcomes(), ["too-many-of-account"])
      }),
    { limits: { sessionsPerAccount: 1 } }
  )
})
