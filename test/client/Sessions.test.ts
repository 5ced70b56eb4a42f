import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scheduler } from "effect"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { Sessions } from "../../src/client/Sessions.ts"

/** A session of which only its end is asked for. */
const session = (ended: boolean) =>
  ({ ended: () => ended, traffic: { sent: 1, received: 2 } }) as Pick<
    ClientSession,
    "ended" | "traffic"
  > as ClientSession

describe("a session that is made while somebody waits", () => {
  for (const ended of [false, true]) {
    it.effect(
      `is the one that stands, or none is left open, when they are interrupted (${ended ? "over" : "on"})`,
      () =>
        Effect.gen(function* () {
          let open = 0
          const connect = Effect.acquireRelease(
            Effect.sync(() => {
              open += 1
              return session(ended)
            }),
            () => Effect.sync(() => void (open -= 1))
          )
          const use = Effect.gen(function* () {
            const sessions = yield* Sessions
            // Whoever begins at this budget is interrupted where it first lets others go on.
            for (let budget = 3; budget < 150; budget += 1) {
              const asking = yield* Effect.forkChild(
                Effect.provideService(sessions.session, Scheduler.MaxOpsBeforeYield, budget),
                { startImmediately: true }
              )
              yield* Fiber.interrupt(asking)
              const stands = (yield* sessions.standing) !== undefined
              assert.isAtMost(open, 1)
              if (!ended) assert.strictEqual(open, stands ? 1 : 0, `budget ${budget}`)
            }
            yield* sessions.session
            assert.strictEqual(open, 1)
          })
          yield* Effect.provide(use, Sessions.layer(connect))
          assert.strictEqual(open, 0)
        })
    )
  }
})
