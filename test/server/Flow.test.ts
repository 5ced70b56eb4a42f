/**
 * Whole servers whose bandwidth is limited, that see slow peers, and that are full for an account.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as ThrottledSocket from "../../src/domain/channel/ThrottledSocket.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { packRanges } from "../../src/domain/file/Packed.ts"
import { packFiles, packNames } from "../../src/domain/file/PackedFiles.ts"
import {
  contentBlockBytes,
  goodbyeMillisecondsMax,
  keepAliveMilliseconds,
  ownWorkBytesPerSecondMin,
  receivedPartBytes,
  stallMillisecondsMax,
  throttledBytesPerSecondMin,
  transferPauseMillisecondsMax
} from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as Session from "../../src/domain/session/Session.ts"
import type { Session as State, SessionInput } from "../../src/domain/session/SessionState.ts"
import { connectionId, encodedLength, type Frame, RequestId } from "../../src/domain/wire/Frame.ts"
import * as Message from "../../src/domain/wire/Message.ts"
import * as Flow from "../../src/server/Flow.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { aDigest, ready } from "../domain/session/arbitraries.ts"
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

  const slow = 2 * 1024
  scenario(
    "a client hears that the server is alive while what it waits for waits for its share",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const sink = Fixture.sink()
        const took = yield* timed(
          session.download(name, () => Effect.succeed(sink)),
          1_000
        )
        assert.isAtLeast(took, 2 * stallMillisecondsMax)
        assert.deepStrictEqual(sink.content(), Fixture.bytes(3, contentBlockBytes))
        assert.deepStrictEqual((yield* Watch).outcomes(), [])
      }),
    { limits: { sendBytesPerSecond: slow }, files: [{ name, content: Fixture.bytes(3, contentBlockBytes) }] }
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

describe("the patience with a session", () => {
  const window = 10_000
  const id = RequestId.make(1)
  const body = (length: number): Frame => ({ kind: "content", id, parts: [new Uint8Array(length)] })
  const ping: Frame = { kind: "message", id: connectionId, body: Message.Client.encode({ _tag: "Ping" }) }
  const download: SessionInput = { _tag: "Message", id, message: { _tag: "Download", name } }
  const opened: SessionInput = { _tag: "Opened", id, size, modified: 0, from: 0 }
  const upload: SessionInput = { _tag: "Message", id, message: { _tag: "Upload", name, size, modified: 0 } }
  const cancel: SessionInput = { _tag: "Message", id, message: { _tag: "Cancel" } }
  const staged: SessionInput = { _tag: "Staged", id, resumed: 0, base: undefined }

  /** A flow whose peer lets time pass as it is told, and how often it was found too slow. */
  const watched = Effect.gen(function* () {
    const flow = yield* Flow.make
    let [state, tooSlow]: [State, number] = [ready, 0]
    flow.whenTooSlow(() => (tooSlow += 1))
    let receiving: Effect.Effect<ReadonlyArray<Frame>> = Effect.succeed([])
    let sending: Effect.Effect<unknown> = Effect.void
    const network = {
      receives: (now: typeof receiving): void => void (receiving = now),
      sends: (now: typeof sending): void => void (sending = now)
    }
    const traffic = { received: 0, sent: 0 }
    const channel = flow.through(
      {
        receive: Effect.suspend(() => receiving),
        send: (frame) => Effect.map(sending, () => void (traffic.sent += encodedLength(frame))),
        end: Effect.void,
        traffic
      },
      (work) => work
    )
    const steps = (...inputs: ReadonlyArray<SessionInput>): void => {
      for (const input of inputs) {
        const next = Session.step(state, input)
        state = next.state
        flow.step({ input, ...next })
      }
    }
    const awaiting = Effect.suspend(() =>
      Effect.forkChild(flow.awaited(state, Effect.never), { startImmediately: true })
    )
    return { awaiting, channel, flow, network, steps, tooSlow: () => tooSlow }
  }).pipe(
    Effect.provideService(ServerLimits, {
      ...defaultLimits,
      minimumBytesPerSecond: 1_000,
      minimumRateMilliseconds: window
    })
  )

  it.effect("counts what a client takes to let content go, and begins anew with each request", () =>
    Effect.gen(function* () {
      const { channel, network, steps, tooSlow } = yield* watched
      network.sends(TestClock.adjust(window))
      for (const next of [1, 2]) {
        const of = { id: RequestId.make(next) }
        steps({ ...download, ...of }, { ...opened, ...of })
        yield* channel.send(body(1))
        assert.strictEqual(tooSlow(), 0)
        steps({ _tag: "Delivered", ...of, size, digest: aDigest })
      }
      steps({ ...download, id: RequestId.make(3) })
      yield* channel.send(body(1))
      yield* channel.send(body(1))
      assert.strictEqual(tooSlow(), 1)
    })
  )

  it.effect("does not count what a client was at work meanwhile, as it says, when it takes content", () =>
    Effect.gen(function* () {
      const { channel, network, steps, tooSlow } = yield* watched
      yield* TestClock.adjust(2 * window)
      steps(download, opened)
      network.receives(Effect.succeed([ping]))
      network.sends(Effect.andThen(TestClock.adjust(2 * window), Effect.orDie(channel.receive)))
      yield* channel.send(body(1))
      assert.strictEqual(tooSlow(), 0)
    })
  )

  it.effect("counts from when content is due, and not from the last word before it", () =>
    Effect.gen(function* () {
      const { awaiting, channel, network, steps, tooSlow } = yield* watched
      network.receives(
        Effect.gen(function* () {
          yield* TestClock.adjust(2 * window)
          steps(upload, staged)
          yield* awaiting
          yield* TestClock.adjust(window)
          return [body(1)]
        })
      )
      yield* channel.receive
      assert.strictEqual(tooSlow(), 0)
    })
  )

  it.effect("counts what an upload or a bundle is silent, and takes nothing for a sign of life but what is one", () =>
    Effect.gen(function* () {
      const files = packFiles([{ name, size: 2, modified: 0, digest: aDigest }])
      const bundle: SessionInput = { _tag: "Message", id, message: { _tag: "UploadBundle", files } }
      for (const [inputs, frames, counts] of [
        [[upload, staged], [ping], 0],
        [[bundle], [ping], 0],
        [[upload, staged], [], 1],
        [[upload, staged], [body(1)], 1],
        [[bundle], [body(1)], 1],
        [[upload, staged], [ping, body(1)], 1],
        [[upload, staged], [{ ...ping, id }], 1]
      ] as const) {
        const { awaiting, channel, network, steps, tooSlow } = yield* watched
        steps(...inputs)
        yield* awaiting
        network.receives(Effect.as(TestClock.adjust(window + 2), frames))
        yield* channel.receive
        assert.strictEqual(tooSlow(), counts)
      }
    })
  )

  it.effect("counts nothing once what was due is there", () =>
    Effect.gen(function* () {
      const { awaiting, channel, network, steps, tooSlow } = yield* watched
      steps(upload, staged)
      yield* Fiber.interrupt(yield* awaiting)
      network.receives(Effect.as(TestClock.adjust(2 * window), [body(1)]))
      yield* channel.receive
      assert.strictEqual(tooSlow(), 0)
    })
  )

  it.effect("takes what a client has copied here for what it would have sent", () =>
    Effect.gen(function* () {
      const { awaiting, channel, network, steps, tooSlow } = yield* watched
      const base = { size, modified: 0 }
      steps({ _tag: "Message", id, message: { _tag: "Para", name, size, modified: 0 } }, { ...staged, base })
      yield* awaiting
      const ranges = packRanges([{ offset: 0, length: window }])
      for (const _ of [1, 2, 3]) {
        network.receives(Effect.as(TestClock.adjust(window), [{ ...ping, id }]))
        yield* channel.receive
        steps({ _tag: "Message", id, message: { _tag: "Copies", ranges } })
      }
      assert.strictEqual(tooSlow(), 0)
    })
  )

  it.effect("counts no time of what is no content, and each byte that is sent once", () =>
    Effect.gen(function* () {
      const { channel, flow, network, steps, tooSlow } = yield* watched
      steps(download, opened)
      network.sends(TestClock.adjust(2 * window))
      yield* channel.send(ping)
      assert.strictEqual(tooSlow(), 0)
      network.sends(Effect.void)
      const other = yield* watched
      yield* other.channel.send(ping)
      const whole = encodedLength(body(1_000)) + encodedLength(body(2_000))
      yield* other.channel.send(body(whole - encodedLength(body(0))))
      yield* channel.send(body(1_000))
      yield* channel.send(body(2_000))
      yield* TestClock.adjust(1_000)
      const now = 2 * window + 1_000
      const [one, two] = [flow.status(now).sentPerSecond, other.flow.status(now).sentPerSecond]
      assert.isAbove(one, 0)
      assert.strictEqual(one, two)
    })
  )

  it.effect("believes so many signs of life for each request anew", () =>
    Effect.gen(function* () {
      const { awaiting, channel, network, steps, tooSlow } = yield* watched
      steps(upload, staged)
      const longest = defaultLimits.idleMilliseconds + (size * 1000) / ownWorkBytesPerSecondMin
      network.receives(Effect.as(TestClock.adjust(window), [ping]))
      for (let passed = 0; passed < longest; passed += window) yield* channel.receive
      const of = { id: RequestId.make(2) }
      steps({ ...cancel, id }, { ...upload, ...of }, { ...staged, ...of })
      yield* awaiting
      for (const _ of [1, 2]) yield* channel.receive
      assert.strictEqual(tooSlow(), 0)
    })
  )

  it.effect("lets nobody claim the time before a request by a sign of life in it", () =>
    Effect.gen(function* () {
      const { channel, network, steps, tooSlow } = yield* watched
      yield* TestClock.adjust(3 * window)
      steps(download, opened)
      network.receives(Effect.succeed([ping]))
      network.sends(Effect.andThen(Effect.orDie(channel.receive), TestClock.adjust(window + 2)))
      yield* channel.send(body(1))
      assert.strictEqual(tooSlow(), 1)
    })
  )

  it.effect("believes signs of life for no longer than the file can explain, whatever comes of it meanwhile", () =>
    Effect.gen(function* () {
      const { awaiting, channel, network, steps, tooSlow } = yield* watched
      steps({
        _tag: "Message",
        id,
        message: { _tag: "Upload", name, size: 45 * ownWorkBytesPerSecondMin, modified: 0 }
      })
      steps(staged)
      yield* awaiting
      const longest = defaultLimits.idleMilliseconds + 45_000
      network.receives(Effect.as(TestClock.adjust(window), [ping]))
      for (let passed = 0; passed < longest; passed += window) {
        yield* channel.receive
        steps({ _tag: "Content", id, bytes: 1 })
        assert.strictEqual(tooSlow(), 0)
      }
      yield* channel.receive
      assert.strictEqual(tooSlow(), 1)
    })
  )

  it.effect("believes a sign of life of no time but what has gone by since the word before it", () =>
    Effect.gen(function* () {
      const word: Frame = { ...ping, id }
      for (const [said, behind, counts] of [
        [[ping], window - 1, 0],
        [[ping, ping], window - 1, 0],
        [[ping, ping], window + 3, 1],
        [[word, ping], window - 1, 1]
      ] as const) {
        const { channel, network, steps, tooSlow } = yield* watched
        steps(download, opened)
        const hear = Effect.forEach(said, (frame) => {
          network.receives(Effect.succeed([frame]))
          return Effect.orDie(channel.receive)
        })
        // What is said tells of the time before it.
        const taking = [TestClock.adjust(window - 1), hear, TestClock.adjust(behind)]
        network.sends(Effect.all(taking, { discard: true }))
        yield* channel.send(body(1))
        assert.strictEqual(tooSlow(), counts)
      }
    })
  )

  it.effect("believes no sign of life where nobody has said how large what comes is", () =>
    Effect.gen(function* () {
      const { channel, network, steps, tooSlow } = yield* watched
      steps({ _tag: "Message", id, message: { _tag: "DownloadBundle", names: packNames([name]) } })
      network.receives(Effect.succeed([ping]))
      network.sends(Effect.andThen(TestClock.adjust(window + 2), Effect.orDie(channel.receive)))
      yield* channel.send(body(1))
      assert.strictEqual(tooSlow(), 1)
    })
  )

  it.effect("goes with a status that counts what was sent and what was copied, of content alone", () =>
    Effect.gen(function* () {
      const { channel, flow, steps } = yield* watched
      steps(download, opened)
      const transfer = { command: "download", name, size, bytes: 0 } as const
      assert.deepStrictEqual(flow.status(0).transfer, transfer)
      yield* channel.send(ping)
      yield* channel.send(body(1_000))
      yield* channel.send(body(7))
      assert.deepStrictEqual(flow.status(0).transfer, { ...transfer, bytes: 1_007 })
      flow.copied(500)
      assert.deepStrictEqual(flow.status(0).transfer, { ...transfer, bytes: 1_507 })
    })
  )
})
