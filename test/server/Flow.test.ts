/**
 * Whole servers whose bandwidth is limited, that see slow peers, and that are full for an account.
 */
import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as ThrottledSocket from "../../src/domain/channel/ThrottledSocket.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  contentBlockBytes,
  goodbyeMillisecondsMax,
  keepAliveMilliseconds,
  receivedPartBytes,
  stallMillisecondsMax,
  throttledBytesPerSecondMin,
  transferPauseMillisecondsMax
} from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { defaultLimits } from "../../src/server/ServerLimits.ts"
import * as slowSocket from "../slowSocket.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const size = 4 * contentBlockBytes
const rate = 64 * 1024

/** Runs work while time passes in small steps; how long it took, milliseconds. */
const timed = <A, E, R>(work: Effect.Effect<A, E, R>, step = 100) =>
  Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(work)
    while (fiber.pollUnsafe() === undefined) {
      yield* settle
      yield* TestClock.adjust(step)
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

describe("a client that keeps to a rate of its own", () => {
  // What takes longest between two signs of life: the lowest rate, and a server whose answer is behind a whole record.
  const lowest = throttledBytesPerSecondMin
  const throttled = (rates: ThrottledSocket.Rates) =>
    Effect.flatMap(ThrottledSocket.make(rates), (through) => connect(Fixture.ada, through))
  const takesAsLong = (milliseconds: number): void => {
    assert.isAtLeast(milliseconds, (size * 1000) / lowest - 1_000)
    assert.isAtMost(milliseconds, (size * 1010) / lowest + 3_000)
  }

  scenario("sends at the lowest one, and is taken neither for slow nor for gone", () =>
    Effect.gen(function* () {
      const sending = Effect.flatMap(throttled({ up: lowest }), (session) =>
        session.upload(name, Fixture.source(Fixture.bytes(1, size)))
      )
      takesAsLong(yield* timed(sending, 1_000))
      assert.deepStrictEqual((yield* Watch).outcomes(), [])
    })
  )

  scenario("gets at the lowest one", () =>
    Effect.gen(function* () {
      yield* upload(name, 1)
      const sink = Fixture.sink()
      const getting = Effect.flatMap(throttled({ down: lowest }), (session) =>
        session.download(name, () => Effect.succeed(sink))
      )
      takesAsLong(yield* timed(getting, 1_000))
      assert.deepStrictEqual(sink.content(), Fixture.bytes(1, size))
      assert.deepStrictEqual((yield* Watch).outcomes(), [])
    })
  )
})

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

  scenario(
    "leaves nobody to pay for what was to be sent to a client that has gone",
    () =>
      Effect.gen(function* () {
        const cut = Effect.gen(function* () {
          const session = yield* HostileClient.login(yield* dial, Fixture.ada)
          yield* session.say(1, { _tag: "Download", name })
          yield* settle
        })
        yield* Effect.scoped(Effect.all([cut, cut, cut]))
        yield* settle
        yield* TestClock.adjust(goodbyeMillisecondsMax)
        yield* settle
        const sink = Fixture.sink()
        const session = yield* connect()
        const get = session.download(name, () => Effect.succeed(sink))
        takesItsTime(yield* timed(get), size)
      }),
    { limits: { sendBytesPerSecond: rate }, files: [{ name, content: Fixture.bytes(3, size) }] }
  )

  const raised = { ...defaultLimits, sendBytesPerSecond: 1024 }

  scenario(
    "holds nobody up by a rate that a reload has raised, whoever waits and whoever comes",
    () =>
      Effect.gen(function* () {
        const get = Effect.flatMap(connect(), (session) => session.download(name, () => Effect.succeed(Fixture.sink())))
        const waiting = yield* Effect.forkChild(get)
        yield* settle
        yield* TestClock.adjust(2_000)
        yield* settle
        raised.sendBytesPerSecond = rate
        takesItsTime(yield* timed(Effect.andThen(get, Fiber.join(waiting))), 2 * size)
      }),
    { liveLimits: raised, files: [{ name, content: Fixture.bytes(3, size) }] }
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

  const asked = { ...defaultLimits, minimumBytesPerSecond: 0 }
  scenario(
    "that a reload asks for leaves a transfer that is under way all of its patience",
    () =>
      Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        yield* session.say(1, { _tag: "Upload", name, size: 1_000_000, modified: 0 })
        yield* settle
        asked.minimumBytesPerSecond = 20 * 1024
        for (const outcomes of [[], ["too-slow"]]) {
          yield* TestClock.adjust(asked.minimumRateMilliseconds * 0.6)
          yield* session.content(1, Uint8Array.of(1))
          yield* settle
          assert.deepStrictEqual((yield* Watch).outcomes(), outcomes)
        }
      }),
    { liveLimits: asked }
  )

  const claimed = 3 * keepAliveMilliseconds

  /** Says that an upload comes, and then only that it lives, each time after so long: how often, at most 30 times. */
  const pinging = Effect.fnUntraced(function* (pause: number) {
    const session = yield* HostileClient.login(yield* dial, Fixture.ada)
    yield* session.say(1, { _tag: "Upload", name, size: 1_000_000, modified: 0 })
    // While a server cannot get its answers out, nothing is due.
    yield* Effect.forkScoped(session.hearAll)
    yield* settle
    const { outcomes } = yield* Watch
    let pings = 0
    while (outcomes().length === 0 && pings < 30) {
      yield* TestClock.adjust(pause)
      yield* session.say(0, { _tag: "Ping" })
      pings += 1
      yield* settle
    }
    return { pings, outcomes: outcomes() }
  })

  scenario("lets one that says that it works be silent for as long as a sign of life speaks for", () =>
    Effect.map(pinging(claimed), (seen) => assert.deepStrictEqual(seen, { pings: 30, outcomes: [] }))
  )

  scenario("counts what one is silent beyond that", () =>
    Effect.gen(function* () {
      const beyond = 10_000
      const pings = Math.floor(transferPauseMillisecondsMax / beyond) + 1
      assert.deepStrictEqual(yield* pinging(claimed + beyond), { pings, outcomes: ["too-slow"] })
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

describe("a slow link", () => {
  /** Nearly all of the time for which nothing may move goes by for each part that counts. */
  const pause = 0.9 * stallMillisecondsMax
  // More than the network holds: the server too waits for the client.
  const size = 16 * contentBlockBytes
  const slow = { bytes: receivedPartBytes, wait: Effect.sleep(pause) }
  const [slowUp, slowDown] = [slowSocket.writes(slow), slowSocket.reads(slow)]

  scenario("that needs long for a record is not taken for lost on the way up", () =>
    Effect.gen(function* () {
      const session = yield* connect(Fixture.ada, slowUp)
      const took = yield* timed(session.upload(name, Fixture.source(Fixture.bytes(7, size))), pause / 6)
      assert.isAbove(took, 100 * stallMillisecondsMax)
      assert.deepStrictEqual((yield* Watch).outcomes(), [])
    })
  )

  scenario(
    "nor on the way down, where the client's pings find the server busy with one record",
    () =>
      Effect.gen(function* () {
        const session = yield* connect(Fixture.ada, slowDown)
        const sink = Fixture.sink()
        const took = yield* timed(
          session.download(name, () => Effect.succeed(sink)),
          pause / 6
        )
        assert.isAbove(took, 100 * stallMillisecondsMax)
        assert.deepStrictEqual(sink.content(), Fixture.bytes(3, size))
        assert.deepStrictEqual((yield* Watch).outcomes(), [])
      }),
    // The network here gives up what it holds all at once, and then nothing for long.
    { limits: { minimumBytesPerSecond: 0 }, files: [{ name, content: Fixture.bytes(3, size) }] }
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
