/** Whoever sets the clock of a machine changes no length of time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Monotonic from "../../src/domain/Monotonic.ts"
import * as limits from "../../src/domain/limits.ts"
import * as Watchdog from "../../src/domain/session/Watchdog.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { Bandwidth } from "../../src/server/Bandwidth.ts"
import * as Doorman from "../../src/server/Doorman.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as Peer from "../../src/server/Peer.ts"
import { Seats } from "../../src/server/Seats.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { layer, settle, Watch } from "./world.ts"

/** Runs with the test clock, whose time of day may be set: milliseconds from what it would be. */
const withTimeOfDay = <A, E, R>(body: (set: (by: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Clock.Clock, (clock) => {
    let by = 0
    const millis = () => clock.currentTimeMillisUnsafe() + by
    return Effect.provideService(
      body((milliseconds) => void (by = milliseconds)),
      Clock.Clock,
      {
        ...clock,
        sleep: (duration) => clock.sleep(duration),
        currentTimeMillisUnsafe: millis,
        currentTimeMillis: Effect.sync(millis)
      }
    )
  })

const hour = 3_600_000
const waitedMilliseconds = 20_000

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
  }
})
