import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Metric, Schedule, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import { idleLookMilliseconds, keepAliveMilliseconds, signsOfLifeMillisecondsMax } from "../../../src/domain/limits.ts"
import * as Watchdog from "../../../src/domain/session/Watchdog.ts"

const second = 1_000
const hour = 3_600 * second

/** A watchdog and the fiber that watches it. */
const watched = Effect.fnUntraced(function* (limit: Watchdog.Limit) {
  const watchdog = yield* Watchdog.make(limit)
  const fiber = yield* Effect.forkChild(Effect.flip(watchdog.watch), { startImmediately: true })
  const ended = Effect.sync(() => fiber.pollUnsafe() !== undefined)
  return { watchdog, ended, stalled: Fiber.join(fiber) }
})

describe("Watchdog", () => {
  it.effect("ends what makes no progress, at its limit and not before", () =>
    Effect.gen(function* () {
      const { ended, stalled } = yield* watched(60 * second)
      yield* TestClock.adjust(60 * second - 1)
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* stalled, new Watchdog.Stalled({ milliseconds: 60 * second }))
    })
  )

  it.effect("counts from the last progress", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      for (let minute = 0; minute < 100; minute++) {
        yield* TestClock.adjust(59 * second)
        watchdog.progress()
      }
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(60 * second)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
    })
  )

  it.effect("takes a part of a record for progress, and says now and then that the peer is to hear of it", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      const after = (milliseconds: number) => Effect.map(TestClock.adjust(milliseconds), () => watchdog.partly())
      assert.isFalse(watchdog.partly())
      assert.isFalse(yield* after(keepAliveMilliseconds - 1))
      assert.isTrue(yield* after(1))
      assert.isFalse(yield* after(keepAliveMilliseconds - 1))
      // A whole record tells the peer as much.
      watchdog.progress()
      assert.isFalse(yield* after(keepAliveMilliseconds - 1))
      for (let minute = 0; minute < 100; minute++) assert.isTrue(yield* after(59 * second))
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(60 * second)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
    })
  )

  it.effect("takes signs of life and parts of records for progress, alone for a day and no longer", () =>
    Effect.gen(function* () {
      for (const sign of ["alive", "partly"] as const) {
        const { ended, stalled, watchdog } = yield* watched(hour)
        for (let passed = 0; passed < 23; passed += 1) {
          yield* TestClock.adjust(hour - 1)
          watchdog[sign]()
        }
        watchdog.progress()
        // A day anew.
        for (let passed = 0; passed < 24; passed += 1) {
          yield* TestClock.adjust(hour - 1)
          watchdog[sign]()
        }
        // Within the day, the last of these is heard still.
        yield* TestClock.adjust(hour - 1)
        assert.isFalse(yield* ended)
        watchdog[sign]()
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* stalled, new Watchdog.Stalled({ milliseconds: 25 * (hour - 1) + 1 }))
      }
    })
  )

  it.effect("follows a limit that shrinks while it sleeps towards a long one", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(24 * 3600 * second)
      yield* TestClock.adjust(3600 * second)
      watchdog.progress()
      watchdog.expect(60 * second)
      yield* TestClock.adjust(60 * second - 1)
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
    })
  )

  it.effect("watches no more once it has ended, whatever limit it is given then", () =>
    Effect.gen(function* () {
      let fibers = 0
      const counting: Metric.FiberRuntimeMetricsService = {
        recordFiberStart: () => void (fibers += 1),
        recordFiberEnd: () => void (fibers -= 1)
      }
      const begun = watched(60 * second).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, counting))
      const { stalled, watchdog } = yield* begun
      yield* TestClock.adjust(60 * second)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
      watchdog.progress()
      watchdog.expect(30 * second)
      assert.strictEqual(fibers, 0)
    })
  )

  it.effect("follows a limit that grows", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      watchdog.expect(600 * second)
      yield* TestClock.adjust(599 * second)
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(second)
      assert.strictEqual((yield* stalled).milliseconds, 600 * second)
    })
  )

  it.effect("follows a limit that somebody else changes while nothing moves, either way", () =>
    Effect.gen(function* () {
      let limit = 60 * second
      const { ended, stalled } = yield* watched(() => limit)
      yield* TestClock.adjust(59 * second)
      limit = 600 * second
      yield* TestClock.adjust(31 * second)
      assert.isFalse(yield* ended)
      limit = 70 * second
      yield* TestClock.adjust(idleLookMilliseconds)
      assert.isTrue(yield* ended)
      assert.isAtMost((yield* stalled).milliseconds, 90 * second + idleLookMilliseconds)
    })
  )

  it.effect("does not count work of our own, and counts again from its end", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      const work = yield* Effect.forkChild(watchdog.exempt(Effect.sleep(1000 * second)), { startImmediately: true })
      yield* TestClock.adjust(1000 * second)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(work)))
      yield* TestClock.adjust(59 * second)
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(second)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
    })
  )

  it.effect("does not take our own work, of which signs of life make much, for more than they are", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      const work = watchdog.exempt(Effect.sleep(30 * second))
      const both = Effect.gen(function* () {
        yield* Effect.sleep(30 * second)
        watchdog.alive()
        // Two at once take no longer than one.
        yield* Effect.all([work, work], { concurrency: 2 })
        watchdog.alive()
      })
      const minutes = signsOfLifeMillisecondsMax / (30 * second)
      const busy = yield* Effect.forkChild(Effect.repeat(both, Schedule.recurs(2 * minutes)), {
        startImmediately: true
      })
      for (let passed = 0; passed < minutes; passed += 1) yield* TestClock.adjust(60 * second)
      assert.isFalse(yield* ended)
      for (let passed = 0; passed < 2; passed += 1) yield* TestClock.adjust(60 * second)
      assert.isTrue(yield* ended)
      assert.isAtLeast((yield* stalled).milliseconds, signsOfLifeMillisecondsMax)
      yield* Fiber.interrupt(busy)
    })
  )

  it.effect("counts again after work that was interrupted", () =>
    Effect.gen(function* () {
      const { ended, watchdog } = yield* watched(60 * second)
      const work = yield* Effect.forkChild(watchdog.exempt(Effect.never), { startImmediately: true })
      yield* TestClock.adjust(500 * second)
      yield* Fiber.interrupt(work)
      yield* TestClock.adjust(59 * second)
      assert.isFalse(yield* ended)
      yield* TestClock.adjust(second)
      assert.isTrue(yield* ended)
    })
  )

  it.effect("does not count the rest of it where some was interrupted, wherever that was", () =>
    Effect.gen(function* () {
      const { ended, stalled, watchdog } = yield* watched(60 * second)
      for (let budget = 3; budget < 40; budget += 1) {
        const cut = Effect.provideService(watchdog.exempt(Effect.never), Scheduler.MaxOpsBeforeYield, budget)
        yield* Fiber.interrupt(yield* Effect.forkChild(cut, { startImmediately: true }))
      }
      const work = yield* Effect.forkChild(watchdog.exempt(Effect.sleep(1000 * second)), { startImmediately: true })
      yield* TestClock.adjust(1000 * second)
      assert.isFalse(yield* ended)
      yield* Fiber.join(work)
      yield* TestClock.adjust(60 * second)
      assert.strictEqual((yield* stalled).milliseconds, 60 * second)
    })
  )
})
