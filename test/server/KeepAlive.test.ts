/**
 * Signs of life of a server's own: how often while it works or hears a long record, and none besides.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Latch } from "effect"
import { TestClock } from "effect/testing"
import { keepAliveMilliseconds, stallMillisecondsMax } from "../../src/domain/limits.ts"
import type { FrameChannel } from "../../src/domain/session/FrameChannel.ts"
import * as Watchdog from "../../src/domain/session/Watchdog.ts"
import * as KeepAlive from "../../src/server/KeepAlive.ts"

const second = 1_000

/** A channel that takes what is sent when it may, and when each was sent. */
const world = Effect.gen(function* () {
  const watchdog = yield* Watchdog.make(stallMillisecondsMax)
  const open = Latch.makeUnsafe(true)
  const sent: Array<number> = []
  const send = Effect.flatMap(Clock.currentTimeMillis, (now) => (sent.push(now), open.await))
  const channel: FrameChannel = {
    receive: Effect.never,
    send: () => send,
    end: Effect.void,
    traffic: { sent: 0, received: 0 }
  }
  return { watchdog, channel, sent, open }
})

const every = (milliseconds: number, until: number) =>
  Array.from({ length: Math.floor(until / milliseconds) }, (_, index) => (index + 1) * milliseconds)

describe("a server that works for long", () => {
  it.effect("says so every five seconds, and nothing before or after", () =>
    Effect.gen(function* () {
      const { channel, sent, watchdog } = yield* world
      const alive = yield* KeepAlive.make(channel, watchdog)
      yield* alive(Effect.void)
      const long = 2 * stallMillisecondsMax + 1
      yield* Effect.forkChild(alive(Effect.sleep(long)), { startImmediately: true })
      yield* TestClock.adjust(2 * long)
      assert.deepStrictEqual(sent, every(keepAliveMilliseconds, long))
    }).pipe(Effect.scoped)
  )

  it.effect("does not take the peer for gone meanwhile, and does so long after it", () =>
    Effect.gen(function* () {
      const { channel, watchdog } = yield* world
      const alive = yield* KeepAlive.make(channel, watchdog)
      const watching = yield* Effect.forkChild(watchdog.watch, { startImmediately: true })
      yield* Effect.forkChild(alive(Effect.sleep(2 * stallMillisecondsMax)), { startImmediately: true })
      yield* TestClock.adjust(2 * stallMillisecondsMax)
      assert.strictEqual(watching.pollUnsafe(), undefined)
      yield* TestClock.adjust(2 * stallMillisecondsMax)
      assert.isDefined(watching.pollUnsafe())
    }).pipe(Effect.scoped)
  )

  it.effect("says nothing more until the last was taken", () =>
    Effect.gen(function* () {
      const { channel, open, sent, watchdog } = yield* world
      const alive = yield* KeepAlive.make(channel, watchdog)
      open.closeUnsafe()
      yield* Effect.forkChild(alive(Effect.never), { startImmediately: true })
      yield* TestClock.adjust(stallMillisecondsMax)
      assert.deepStrictEqual(sent, [keepAliveMilliseconds])
      yield* open.open
      yield* TestClock.adjust(keepAliveMilliseconds)
      assert.deepStrictEqual(sent, [keepAliveMilliseconds, stallMillisecondsMax + keepAliveMilliseconds])
    }).pipe(Effect.scoped)
  )
})

describe("a server to which a record is long on its way", () => {
  /** Parts that come every second; each tenth ends a record, or none does. */
  const receiving = Effect.fnUntraced(function* (seconds: number, record: number) {
    const { channel, sent, watchdog } = yield* world
    const part = yield* KeepAlive.whileReceiving(channel, watchdog)
    for (let passed = 1; passed <= seconds; passed += 1) {
      yield* TestClock.adjust(second)
      yield* part
      if (passed % record === 0) watchdog.progress()
    }
    // It is the parts that call for it: where none come there is nothing to say.
    yield* TestClock.adjust(stallMillisecondsMax)
    return sent
  })

  it.effect("says every five seconds that it comes", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* receiving(62, Infinity), every(keepAliveMilliseconds, 62 * second))
    }).pipe(Effect.scoped)
  )

  it.effect("says nothing where whole records come more often", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* receiving(62, 4), [])
    }).pipe(Effect.scoped)
  )
})
