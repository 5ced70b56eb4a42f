/**
 * Who lets connections in: at once, each for a seat, and each of them either served or told of once.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Metric, Schema, Scope } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import { endsToldMilliseconds, reloadLookMilliseconds } from "../../src/domain/limits.ts"
import * as Doorman from "../../src/server/Doorman.ts"
import * as Peer from "../../src/server/Peer.ts"
import { Seats } from "../../src/server/Seats.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { seatLost } from "./seatLost.ts"
import { logTo, Watch, watchLayer, yields } from "./world.ts"

class AtWork extends Context.Service<AtWork, Effect.Success<typeof Doorman.make>>()("test/server/AtWork") {}

const loginMilliseconds = 30_000

/** A doorman of a small server, and all that he tells. */
const world = Layer.effect(AtWork, Doorman.make).pipe(
  Layer.provideMerge(Layer.merge(Seats.layer, ServerStatus.layer)),
  Layer.provide(
    Layer.succeed(ServerLimits, {
      ...defaultLimits,
      loginMilliseconds,
      sessionsBeforeLogin: 3,
      sessionsBeforeLoginPerAddress: 2
    })
  ),
  Layer.provide(Layer.succeed(Peer.TrustedProxies, (address) => address === "10.9.9.9")),
  Layer.provideMerge(logTo),
  Layer.provideMerge(watchLayer),
  Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map()))
)

/** One more connection, and whether it has been dismissed. */
const call = (doorman: Doorman.Doorman, address: string) => {
  let dismissals = 0
  const guest = doorman.admit({ address, dismiss: () => void (dismissals += 1) })
  return { guest, dismissals: () => dismissals }
}

const told = Effect.gen(function* () {
  yield* TestClock.adjust(endsToldMilliseconds)
  const { lines } = yield* Watch
  return lines.splice(0).map(({ annotations }) => annotations)
})

const counts = Effect.flatMap(Seats, ({ count }) => count)
const shown = Effect.map(
  Effect.flatMap(ServerStatus, ({ sessions }) => sessions),
  (all) => all.map(({ peer }) => peer)
)
/** What the metrics say: connections before login, and those that made room. */
const measured = Effect.map(PrometheusMetrics.format(), (text) =>
  ['paradrop_sessions{state="before-login"}', 'paradrop_connections_total{outcome="made-room"}'].map((name) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.slice(name.length) ?? 0
    )
  )
)

describe("Doorman", () => {
  it.effect("lets a guest in, who takes the seat along and is nobody's business any more", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      yield* TestClock.adjust(5)
      const { dismissals, guest } = call(doorman, "192.0.2.1")
      assert.deepStrictEqual(yield* shown, ["192.0.2.1"])
      yield* told
      assert.deepStrictEqual(yield* measured, [1, 0])
      const visitor = guest?.enter()
      assert.isDefined(visitor)
      assert.strictEqual(visitor.since, 5)
      assert.strictEqual(visitor.peer.address, "192.0.2.1")
      assert.deepStrictEqual(yield* shown, [])
      assert.deepStrictEqual(yield* counts, { all: 1, beforeLogin: 1 })
      yield* told
      assert.deepStrictEqual(yield* measured, [0, 0])
      visitor.seat.giveBack()
      visitor.seat.giveBack()
      assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
      guest?.gone("truncated")
      assert.strictEqual(guest?.enter(), undefined)
      assert.deepStrictEqual(yield* told, [])
      assert.strictEqual(dismissals(), 0)
    }).pipe(Effect.provide(world))
  )

  it.effect("sends away in the same call who makes room, and tells of all of them together", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      const first = call(doorman, "192.0.2.1")
      yield* TestClock.adjust(7)
      const others = [2, 3, 4, 5].map((last) => call(doorman, `192.0.2.${last}`))
      assert.deepStrictEqual(
        [first, ...others].map(({ dismissals }) => dismissals()),
        [1, 1, 0, 0, 0]
      )
      assert.strictEqual(first.guest?.enter(), undefined)
      assert.deepStrictEqual(yield* shown, ["192.0.2.3", "192.0.2.4", "192.0.2.5"])
      assert.deepStrictEqual((yield* Watch).lines, [])
      const line = (peer: string, milliseconds: number) => ({
        event: "connection-ended",
        peer,
        outcome: "made-room",
        milliseconds,
        received: 0,
        sent: 0
      })
      assert.deepStrictEqual(yield* told, [line("192.0.2.1", 7), line("192.0.2.2", 0)])
      assert.deepStrictEqual(yield* measured, [3, 2])
      assert.deepStrictEqual(yield* counts, { all: 3, beforeLogin: 3 })
    }).pipe(Effect.provide(world))
  )

  it.effect("an eviction between the last word and the first reader is seen by the reader", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      const { dismissals, guest } = call(doorman, "192.0.2.1")
      const visitor = guest?.enter()
      for (const last of [2, 3, 4]) call(doorman, `192.0.2.${last}`)
      assert.strictEqual(visitor && (yield* seatLost(visitor.seat)), "made-room")
      // Whoever serves it ends it, and tells of that.
      assert.strictEqual(dismissals(), 0)
      assert.deepStrictEqual(yield* told, [])
    }).pipe(Effect.provide(world))
  )

  it.effect("refuses where nobody can make room, with the reason", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      for (const last of [1, 2, 3])
        yield* call(doorman, `192.0.2.${last}`).guest?.enter()?.seat.advance("trying") ?? Effect.void
      const refused = call(doorman, "192.0.2.4")
      assert.strictEqual(refused.guest, undefined)
      assert.strictEqual(refused.dismissals(), 1)
      assert.deepStrictEqual(
        (yield* told).map(({ outcome }) => outcome),
        ["too-many-before-login"]
      )
    }).pipe(Effect.provide(world))
  )

  it.effect("ends the wait of each at its own deadline", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      const first = call(doorman, "192.0.2.1")
      yield* TestClock.adjust(1_000)
      const second = call(doorman, "192.0.2.2")
      yield* TestClock.adjust(loginMilliseconds - 1_001)
      assert.deepStrictEqual([first.dismissals(), second.dismissals()], [0, 0])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([first.dismissals(), second.dismissals()], [1, 0])
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual([first.dismissals(), second.dismissals()], [1, 1])
      assert.deepStrictEqual(
        (yield* told).map(({ milliseconds, outcome }) => [outcome, milliseconds]),
        [
          ["login-timeout", loginMilliseconds],
          ["login-timeout", loginMilliseconds]
        ]
      )
      // It waits for the next one as it did for these.
      const third = call(doorman, "192.0.2.3")
      yield* TestClock.adjust(loginMilliseconds)
      assert.strictEqual(third.dismissals(), 1)
      assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
    }).pipe(Effect.provide(world))
  )

  it.effect("takes another time for the login from a reload, for those who wait and those who come", () =>
    Effect.gen(function* () {
      const changing = { ...defaultLimits, loginMilliseconds }
      const doorman = yield* Effect.provideService(Doorman.make, ServerLimits, changing)
      const waiting = call(doorman, "192.0.2.1")
      yield* TestClock.adjust(10_000)
      Object.assign(changing, { loginMilliseconds: 3_000 })
      yield* TestClock.adjust(reloadLookMilliseconds)
      assert.strictEqual(waiting.dismissals(), 1)
      const later = call(doorman, "192.0.2.1")
      yield* TestClock.adjust(2_999)
      Object.assign(changing, { loginMilliseconds: 5_000 })
      yield* TestClock.adjust(2_000)
      assert.strictEqual(later.dismissals(), 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(later.dismissals(), 1)
    }).pipe(Effect.provide(world))
  )

  it.effect("sends everybody away when the server stops, and lets nobody in", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      const waiting = call(doorman, "192.0.2.1")
      yield* doorman.close
      const late = call(doorman, "192.0.2.2")
      assert.deepStrictEqual([waiting.dismissals(), late.dismissals()], [1, 1])
      assert.strictEqual(late.guest, undefined)
      assert.deepStrictEqual(
        (yield* told).map(({ outcome, peer }) => [peer, outcome]),
        [
          ["192.0.2.1", "draining"],
          ["192.0.2.2", "draining"]
        ]
      )
      assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
    }).pipe(Effect.provide(world))
  )

  it.effect("tells of each once, also when the server stops while many are told of", () =>
    Effect.gen(function* () {
      const { lines } = yield* Watch
      const many = 3_000
      const counted: Array<number> = []
      for (let turns = 0; turns < 12; turns += 1) {
        const scope = yield* Scope.make()
        const doorman = yield* Scope.provide(Doorman.make, scope)
        for (let index = 0; index < many; index += 1) {
          call(doorman, `192.0.${index >> 8}.${index & 255}`).guest?.gone("truncated")
        }
        // As a clock does: it wakes who sleeps, and waits for nobody.
        const waking = yield* Effect.forkChild(TestClock.adjust(endsToldMilliseconds), { startImmediately: true })
        yield* yields(turns)
        yield* doorman.close
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.interrupt(waking)
        counted.push(lines.splice(0).length)
      }
      assert.deepStrictEqual(
        counted,
        counted.map(() => many)
      )
    }).pipe(Effect.provide(world))
  )

  it.effect("waits for a whole hello, or for the first byte that is none; of a proxy for its first", () =>
    Effect.gen(function* () {
      const doorman = yield* AtWork
      const { guest } = call(doorman, "192.0.2.1")
      const hello = new Uint8Array(preamble.length + publicKeyBytes)
      hello.set(preamble)
      const enough = (...parts: ReadonlyArray<Uint8Array>) => guest?.saidEnough(parts)
      assert.strictEqual(enough(hello.subarray(0, 1)), false)
      assert.strictEqual(enough(hello.subarray(0, -1)), false)
      assert.strictEqual(enough(hello), true)
      assert.strictEqual(enough(hello.subarray(0, 3), hello.subarray(3, 9), hello.subarray(9)), true)
      assert.strictEqual(enough(preamble.map((byte, index) => (index === 4 ? 0xff : byte))), true)
      assert.strictEqual(enough(Uint8Array.of(0x47, 0x45)), false)
      const proxy = call(doorman, "10.9.9.9")
      assert.strictEqual(proxy.guest?.saidEnough([Uint8Array.of(0x0d)]), true)
      assert.strictEqual(proxy.guest?.enter()?.peer.proxy, true)
    }).pipe(Effect.provide(world))
  )
})

const Step = Schema.Union([
  Schema.Struct({ do: Schema.tag("call"), from: Schema.Literals([1, 2, 3, 4, 5]) }),
  Schema.Struct({
    do: Schema.Literals(["enter", "gone", "end"]),
    which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
  }),
  Schema.Struct({ do: Schema.tag("wait"), milliseconds: Schema.Literals([1, 10_000, 30_000]) })
])

describe("Doorman, whatever comes", () => {
  it.effect.prop(
    "each connection is served or told of, once, and every seat comes back",
    [Schema.Array(Step).check(Schema.isMaxLength(50))],
    ([script]) =>
      Effect.gen(function* () {
        const doorman = yield* AtWork
        const callers: Array<ReturnType<typeof call>> = []
        const served: Array<Doorman.Arrived> = []
        for (const step of script) {
          const one = step.do === "enter" || step.do === "gone" ? callers[step.which % callers.length] : undefined
          if (step.do === "wait") yield* TestClock.adjust(step.milliseconds)
          if (step.do === "call") callers.push(call(doorman, `192.0.2.${step.from}`))
          if (step.do === "end") served[step.which % served.length]?.seat.giveBack()
          if (step.do === "gone") one?.guest?.gone("truncated")
          if (step.do === "enter") {
            const visitor = one?.guest?.enter()
            if (visitor !== undefined) served.push(visitor)
          }
          assert.isAtMost((yield* counts).all, 3)
        }
        yield* doorman.close
        for (const { seat } of served) seat.giveBack()
        const lines = yield* told
        assert.isTrue(callers.every(({ dismissals }) => dismissals() <= 1))
        assert.strictEqual(lines.length + served.length, callers.length)
        const dismissed = callers.filter(({ dismissals }) => dismissals() === 1).length
        assert.strictEqual(lines.filter(({ outcome }) => outcome !== "truncated").length, dismissed)
        assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
        assert.deepStrictEqual(yield* shown, [])
      }).pipe(Effect.provide(world))
  )
})
