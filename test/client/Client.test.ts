/**
 * A server that hangs up before its first byte may just be full: who dials tries again, and not for ever.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Redacted, Stream } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import { connectRetriesMax, connectRetryMilliseconds, loginMillisecondsMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { layer } from "../server/world.ts"

/** A connection that breaks while it is dialled, with that code of the system. */
const breaking = (code: string) => {
  const cause = Object.assign(new Error(code), { code })
  const failed = Effect.fail(new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) }))
  return Socket.make({ reader: failed, writer: Effect.never })
}

/** Dials until all waiting is over: the session's listing or the error, and when it dialled. */
const dialling = Effect.fnUntraced(function* (code: string, times: number) {
  const { dial } = yield* MemoryNetwork
  const tries: Array<number> = []
  const next = Effect.gen(function* () {
    tries.push(yield* Clock.currentTimeMillis)
    return tries.length > times ? yield* dial : breaking(code)
  })
  const connecting = Client.connect({ server: "memory", dial: next, ...Fixture.ada }).pipe(
    Effect.flatMap((session) => Stream.runCollect(session.fetch)),
    Effect.scoped,
    Effect.catchTag("ConnectFailed", ({ code, reason }) => Effect.succeed({ code, reason }))
  )
  const fiber = yield* Effect.forkChild(connecting)
  yield* TestClock.adjust(connectRetryMilliseconds * 2 ** connectRetriesMax)
  return { result: yield* Fiber.join(fiber), tries }
})

/** When the first tries are made: each pause is twice as long as the one before. */
const pauses = (tries: number) =>
  Array.from({ length: tries }, (_, index) => connectRetryMilliseconds * (2 ** index - 1))

describe("a server that resets the connection while it is dialled", () => {
  it.effect("is dialled again, since it may just be full", () =>
    Effect.gen(function* () {
      const tries = pauses(2)
      assert.deepStrictEqual(yield* dialling("ECONNRESET", 1), { result: [], tries })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("is given up after so many tries, as one that closed at once", () =>
    Effect.gen(function* () {
      const result = { code: "ECONNRESET", reason: "closed-at-once" } as const
      const tries = pauses(connectRetriesMax + 1)
      assert.deepStrictEqual(yield* dialling("ECONNRESET", Infinity), { result, tries })
    }).pipe(Effect.provide(layer()))
  )

  it.effect("is not one that is not there: that is told at once", () =>
    Effect.gen(function* () {
      const result = { code: "ECONNREFUSED", reason: "connection-refused" } as const
      assert.deepStrictEqual(yield* dialling("ECONNREFUSED", 1), { result, tries: [0] })
    }).pipe(Effect.provide(layer()))
  )
})

describe("a person who takes longer for another password than the server waits", () => {
  for (const wrongBefore of [0, 1]) {
    it.effect(`is not told that it is wrong for the one before it: ${wrongBefore} wrong ones between`, () =>
      Effect.gen(function* () {
        const { dial } = yield* MemoryNetwork
        let [asked, dialled] = [0, 0]
        const wrong = (text: string) => Redacted.make(`not ${Fixture.ada.user}'s, ${text}`)
        const connecting = Client.connect({
          server: "memory",
          dial: Effect.tap(dial, () => Effect.sync(() => void (dialled += 1))),
          user: Fixture.ada.user,
          password: wrong("at first"),
          askAgain: () =>
            Effect.suspend(() => {
              asked += 1
              const next = asked > wrongBefore ? Fixture.ada.password : wrong("again")
              return Effect.delay(Effect.succeedSome(next), loginMillisecondsMax + 1)
            })
        }).pipe(
          Effect.flatMap((session) => Stream.runCollect(session.fetch)),
          Effect.scoped
        )
        const fiber = yield* Effect.forkChild(connecting)
        // Each answer comes too late, and the connection after it begins with it.
        yield* TestClock.adjust(2 * (wrongBefore + 1) * loginMillisecondsMax)
        assert.deepStrictEqual(yield* Fiber.join(fiber), [])
        assert.deepStrictEqual([asked, dialled], [wrongBefore + 1, wrongBefore + 2])
      }).pipe(Effect.provide(layer()))
    )
  }
})
