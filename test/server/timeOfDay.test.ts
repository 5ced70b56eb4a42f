/** Whoever sets the clock of a machine changes no length of time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import { Meter } from "../../src/domain/store/Meter.ts"
import { type Frame, RequestId } from "../../src/domain/wire/Frame.ts"
import * as Monotonic from "../../src/domain/Monotonic.ts"
import * as limits from "../../src/domain/limits.ts"
import * as Watchdog from "../../src/domain/session/Watchdog.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { Bandwidth } from "../../src/server/Bandwidth.ts"
import * as Doorman from "../../src/server/Doorman.ts"
import * as Flow from "../../src/server/Flow.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as Peer from "../../src/server/Peer.ts"
import { rateMeterMilliseconds } from "../../src/server/RateMeter.ts"
import { Seats } from "../../src/server/Seats.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import * as SessionWatch from "../../src/server/SessionWatch.ts"
import { withTimeOfDay } from "../settableTime.ts"
import { layer, settle, Watch } from "./world.ts"

const hour = 3_600_000
const waitedMilliseconds = 20_000

/** A frame, whatever it says. */
const frame: Frame = { kind: "content", id: RequestId.make(1), parts: [] }

/** Puts an empty file in place. */
const save = (store: FileStore["Service"], name: string) =>
  Effect.gen(function* () {
    const staging = yield* store.stage({ name: FileName.make(name), size: 0, modified: 0 })
    yield* staging.commit({ size: 0, digest: digestOf(yield* Digest, []) })
  }).pipe(Effect.scoped)

/** What a doorman says of a connection that has waited for so long, while the time of day was set. */
const arrived = Effect.gen(function* () {
  const peer = Peer.fromAddress("192.0.2.1")
  const nothing = { move: () => Effect.void, admit: () => Effect.void, lost: Effect.never, whenLost: () => {} }
  const seat = { ...nothing, advance: () => Effect.void, giveBack: () => {} }
  return { peer, since: -waitedMilliseconds, came: (yield* Monotonic.now) - waitedMilliseconds, seat }
})

describe("a time of day that is set", () => {
  for (const by of [-hour, hour]) {
    it.effect(`ends no session, and keeps none that is lost: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const { watch } = yield* Watchdog.make(limits.stallMillisecondsMax)
          const fiber = yield* Effect.forkChild(Effect.flip(watch), { startImmediately: true })
          yield* TestClock.adjust(limits.stallMillisecondsMax / 2)
          set(by)
          yield* TestClock.adjust(limits.stallMillisecondsMax / 2 - 1)
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.strictEqual((yield* Fiber.join(fiber)).milliseconds, limits.stallMillisecondsMax)
        })
      )
    )

    it.effect(`neither bans longer nor forgives sooner: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const guard = yield* LoginGuard
          const attempt = guard.attempt("ada", Peer.fromAddress("192.0.2.1"))
          while ((yield* attempt)._tag === "Allowed");
          set(by)
          yield* TestClock.adjust(limits.attemptPerUserAndAddressMilliseconds - 1)
          assert.deepStrictEqual(yield* attempt, { _tag: "Limited", retryAfterMilliseconds: 1 })
          yield* TestClock.adjust(1)
          assert.strictEqual((yield* attempt)._tag, "Allowed")
        }).pipe(Effect.provide(LoginGuard.layer))
      )
    )

    it.effect(`gives a login that was waiting at the door what is left of its time: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const { outcomes, lines } = yield* Watch
          const { dial } = yield* MemoryNetwork
          set(by)
          yield* HostileClient.dial(yield* dial)
          yield* settle
          yield* TestClock.adjust(limits.loginMillisecondsMax - waitedMilliseconds - 1)
          yield* settle
          assert.deepStrictEqual(outcomes(), [])
          yield* TestClock.adjust(1)
          yield* settle
          assert.deepStrictEqual(outcomes(), ["login-timeout"])
          assert.strictEqual(lines.at(-1)?.annotations["milliseconds"], limits.loginMillisecondsMax)
        }).pipe(Effect.scoped, Effect.provide(layer({ arrived })))
      )
    )

    it.effect(`lets nobody wait longer at the door, and sends nobody away sooner: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const doorman = yield* Doorman.make
          let dismissed = false
          doorman.admit({ address: "192.0.2.1", dismiss: () => void (dismissed = true) })
          set(by)
          yield* TestClock.adjust(limits.loginMillisecondsMax - 1)
          assert.isFalse(dismissed)
          yield* TestClock.adjust(1)
          assert.isTrue(dismissed)
        }).pipe(Effect.scoped, Effect.provide([Seats.layer, ServerStatus.layer]))
      )
    )

    it.effect(`holds up no bytes, and lets no more through: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const share = yield* (yield* Bandwidth).join("ada", undefined)
          // What a silent flow may send at once is used up, and a second is owed.
          share.take("received", 250)
          const owed = share.take("received", 1000)
          set(by)
          assert.strictEqual(share.take("received", 1000) - owed, 1000)
        }).pipe(
          Effect.scoped,
          Effect.provide(
            Bandwidth.layer.pipe(
              Layer.provide(Layer.succeed(ServerLimits, { ...defaultLimits, receiveBytesPerSecond: 1000 }))
            )
          ),
          Effect.provide(Layer.succeed(ServerLimits, { ...defaultLimits, receiveBytesPerSecond: 1000 }))
        )
      )
    )

    it.effect(`neither prolongs nor ends the time in which a login that is tried keeps its seat: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const seats = yield* Seats
          yield* (yield* seats.take(Peer.fromAddress("192.0.2.1"))).advance("trying")
          const newcomer = seats.take(Peer.fromAddress("192.0.2.2"))
          set(by)
          yield* TestClock.adjust(limits.attemptMillisecondsMax - 1)
          assert.strictEqual((yield* Effect.flip(newcomer)).reason, "too-many-before-login")
          yield* TestClock.adjust(1)
          yield* newcomer
        }).pipe(
          Effect.scoped,
          Effect.provide(Seats.layer),
          Effect.provide(Layer.succeed(ServerLimits, { ...defaultLimits, sessionsBeforeLogin: 1 }))
        )
      )
    )

    it.effect(`keeps nobody from a quota's room that there is again, and counts no sooner: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const behind = yield* FileStore
          const store = (yield* Meter).storeFor(undefined, () => ({ files: 1 }))
          yield* save(store, "x")
          yield* behind.remove({ name: FileName.make("x") })
          set(by)
          yield* TestClock.adjust(limits.quotaRecountMillisecondsMin - 1)
          assert.strictEqual((yield* Effect.flip(save(store, "y")))._tag, "QuotaExceeded")
          yield* TestClock.adjust(1)
          yield* save(store, "y")
        }).pipe(
          Effect.provide(Layer.provideMerge(Meter.layer, FileStoreMemory.layer())),
          Effect.provide(DigestNode.layer)
        )
      )
    )

    it.effect(`leaves the rates that are shown as they are: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const status = yield* ServerStatus
          const flow = yield* Flow.make
          const traffic = { received: 0, sent: 0 }
          const { send } = flow.through(
            {
              traffic,
              receive: Effect.never,
              end: Effect.void,
              send: () => Effect.sync(() => void (traffic.sent += rateMeterMilliseconds))
            },
            (wait) => wait
          )
          status.show((now) => ({ state: "idle", peer: "192.0.2.1", since: 0, ...flow.status(now) }))
          const rates = Effect.map(status.sessions, ([session]) => Math.round(session?.sentPerSecond ?? 0))
          yield* send(frame)
          assert.strictEqual(yield* rates, 1000)
          set(by)
          yield* TestClock.adjust(rateMeterMilliseconds)
          assert.strictEqual(yield* rates, Math.round(1000 / Math.E))
          yield* send(frame)
          assert.strictEqual(yield* rates, Math.round(1000 / Math.E + 1000))
        }).pipe(Effect.provide(ServerStatus.layer))
      )
    )

    it.effect(`is no time that a commit took: ${by} ms`, () =>
      withTimeOfDay((set) =>
        Effect.gen(function* () {
          const watch = yield* SessionWatch.make(() => Peer.fromAddress("192.0.2.1"))
          yield* watch.place(
            RequestId.make(1),
            Effect.sync(() => set(by))
          )
          assert.include((yield* PrometheusMetrics.format()).split("\n"), "paradrop_commit_seconds_sum 0")
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
      )
    )
  }
})
