/**
 * What the server says to a service manager, and what it takes from one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as ServiceManager from "../../src/server/ServiceManager.ts"

const talk = (environment: Record<string, string>, fails = false) => {
  const said: Array<string> = []
  const manager = ServiceManager.make({
    environment,
    pid: 7,
    monotonic: Effect.succeed(42n),
    send: (assignments) =>
      fails ? Effect.fail("no such program") : Effect.sync(() => void said.push(assignments.join(" ")))
  })
  return { manager, said }
}

const all = ({ ready, reloading, stopping }: ServiceManager.ServiceManager) =>
  Effect.all([ready, reloading(Effect.void), stopping(() => 10_000)], { discard: true })

describe("messages", () => {
  it.effect("are those of sd_notify", () =>
    Effect.gen(function* () {
      const { manager, said } = talk({ NOTIFY_SOCKET: "/run/x" })
      yield* all(manager)
      assert.deepStrictEqual(said, [
        "READY=1",
        "RELOADING=1 MONOTONIC_USEC=42",
        "READY=1",
        "STOPPING=1 EXTEND_TIMEOUT_USEC=10000000"
      ])
    })
  )

  it.effect(
    "of a reload are not sent before the server is ready, and not when it stops: they would say that it is",
    () =>
      Effect.gen(function* () {
        const { manager, said } = talk({ NOTIFY_SOCKET: "/run/x" })
        let reloads = 0
        const reload = manager.reloading(Effect.sync(() => void (reloads += 1)))
        yield* reload
        assert.deepStrictEqual(said, [])
        yield* manager.ready
        let milliseconds = 1
        yield* manager.reloading(manager.stopping(() => milliseconds))
        milliseconds = 2
        yield* reload
        assert.deepStrictEqual(said, [
          "READY=1",
          "RELOADING=1 MONOTONIC_USEC=42",
          "STOPPING=1 EXTEND_TIMEOUT_USEC=1000",
          "STOPPING=1 EXTEND_TIMEOUT_USEC=2000"
        ])
        assert.strictEqual(reloads, 2)
      })
  )

  it.effect("are not sent when nobody listens, and stop nothing when they cannot be sent", () =>
    Effect.gen(function* () {
      const quiet = talk({ WATCHDOG_USEC: "1000" })
      yield* all(quiet.manager)
      yield* Effect.scoped(quiet.manager.beat)
      assert.deepStrictEqual(quiet.said, [])
      yield* all(talk({ NOTIFY_SOCKET: "/run/x" }, true).manager)
    })
  )
})

describe("the watchdog", () => {
  const beats = Effect.fnUntraced(function* (environment: Record<string, string>) {
    const { manager, said } = talk({ NOTIFY_SOCKET: "/run/x", ...environment })
    const scope = yield* Scope.make()
    yield* Scope.provide(manager.beat, scope)
    yield* TestClock.adjust(95_000)
    yield* Scope.close(scope, Exit.void)
    const count = said.length
    yield* TestClock.adjust(95_000)
    assert.strictEqual(said.length, count, "it ends with its scope")
    assert.isTrue(said.every((line) => line === "WATCHDOG=1"))
    return count
  })

  it.effect("is fed twice in each time that the manager waits", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* beats({ WATCHDOG_USEC: "60000000" }), 4)
      assert.strictEqual(yield* beats({ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "7" }), 4)
      assert.strictEqual(yield* beats({ WATCHDOG_USEC: "60000000", WATCHDOG_PID: "8" }), 0)
      assert.strictEqual(yield* beats({}), 0)
      assert.strictEqual(yield* beats({ WATCHDOG_USEC: "x" }), 0)
    })
  )
})

describe("sockets that were opened before", () => {
  it("are taken when they are for this process", () => {
    const given = (environment: Record<string, string>) => ServiceManager.socketsGiven({ environment, pid: 7 })
    assert.deepStrictEqual(given({ LISTEN_PID: "7", LISTEN_FDS: "1" }), [3])
    assert.deepStrictEqual(given({ LISTEN_PID: "7", LISTEN_FDS: "2" }), [3, 4])
    assert.deepStrictEqual(given({ LISTEN_PID: "8", LISTEN_FDS: "1" }), [])
    assert.deepStrictEqual(given({ LISTEN_FDS: "1" }), [])
    for (const LISTEN_FDS of ["0", "-1", "1.5", "x"]) assert.deepStrictEqual(given({ LISTEN_PID: "7", LISTEN_FDS }), [])
  })
})
