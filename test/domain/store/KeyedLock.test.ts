/**
 * Locks by key: who shares a key waits, whoever holds one or several, and nobody waits for ever.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import * as KeyedLock from "../../../src/domain/store/KeyedLock.ts"

const Keys = Schema.Array(Schema.Literals(["a", "b", "c", "d"])).check(Schema.isMaxLength(4))
const Users = Schema.Array(Keys).check(Schema.isMaxLength(8))

/** Runs one user for each list of keys, all at once; gives the most that ever shared a key. */
const most = Effect.fnUntraced(function* (lock: KeyedLock.KeyedLock, users: ReadonlyArray<ReadonlyArray<string>>) {
  const inside = new Map<string, number>()
  let most = 0
  let done = 0
  const enter = (keys: ReadonlyArray<string>, by: number) =>
    Effect.sync(() => {
      for (const key of new Set(keys)) {
        const count = (inside.get(key) ?? 0) + by
        inside.set(key, count)
        most = Math.max(most, count)
      }
    })
  const use = (keys: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      yield* enter(keys, 1)
      for (let turn = 0; turn < 3; turn += 1) yield* Effect.yieldNow
      yield* enter(keys, -1)
      done += 1
    })
  const held = (keys: ReadonlyArray<string>) => {
    const [first, ...others] = keys
    // Those of one key come by the other door.
    return first !== undefined && others.length === 0 ? lock(first)(use(keys)) : lock.all(keys)(use(keys))
  }
  yield* Effect.forEach(users, held, { concurrency: "unbounded", discard: true })
  return { most, done }
})

describe("locks by key", () => {
  it.effect.prop("keep apart whoever shares a key, and let everybody through", [Users], ([users]) =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      // Twice: what the first round has left behind must not change the second.
      for (const round of [1, 2]) {
        const found = yield* most(lock, users)
        assert.strictEqual(found.done, users.length, `round ${round}`)
        assert.strictEqual(found.most, users.some((keys) => keys.length > 0) ? 1 : 0)
      }
    })
  )

  it.effect("keep nobody waiting whose keys are free", () =>
    Effect.gen(function* () {
      const lock = KeyedLock.make()
      const go = yield* Deferred.make<void>()
      const holder = yield* Effect.forkChild(lock.all(["a", "b"])(Deferred.await(go)), { startImmediately: true })
      yield* lock.all(["c", "d"])(Effect.void)
      yield* lock("e")(Effect.void)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(holder)
    })
  )

  it.effect("go on to the next when one who waits or one who holds is interrupted", () =>
    Effect.gen(function* () {
      for (const both of [true, false]) {
        const lock = KeyedLock.make()
        const take = both ? lock.all(["b", "c"]) : lock("b")
        const holder = yield* Effect.forkChild(take(Effect.never), { startImmediately: true })
        const waiting = yield* Effect.forkChild(lock.all(["a", "b"])(Effect.never), { startImmediately: true })
        const last = yield* Effect.forkChild(lock("b")(Effect.succeed("in")), { startImmediately: true })
        yield* Fiber.interrupt(waiting)
        // What he held while he waited is free again.
        yield* lock("a")(Effect.void)
        assert.isUndefined(last.pollUnsafe())
        yield* Fiber.interrupt(holder)
        assert.strictEqual(yield* Fiber.join(last), "in")
      }
    })
  )
})
