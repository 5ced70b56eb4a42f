/**
 * What every `StateLock` layer keeps to within one process.
 */
import { Effect, Exit, Fiber, Scope } from "effect"
import { StateLock } from "../session/StateLock.ts"
import { type ContractCase, equal, failure } from "./Contract.ts"

/** @param path of a file in an existing folder; the cases use it and names that begin with it */
export const stateLockContract = (path: string): ReadonlyArray<ContractCase<StateLock>> => [
  {
    name: "there is one holder, and whoever else asks is told at once which lock is held",
    effect: Effect.gen(function* () {
      const lock = yield* StateLock
      yield* lock.acquire(path)
      const refused = yield* failure("a second holder", Effect.scoped(lock.acquire(path)))
      yield* equal("the error", [refused._tag, "path" in refused ? refused.path : ""], ["LockHeld", path])
      yield* failure("a third holder", Effect.scoped(lock.acquire(path)))
    }).pipe(Effect.scoped)
  },
  {
    name: "locks of different paths have nothing to do with each other",
    effect: Effect.gen(function* () {
      const lock = yield* StateLock
      yield* lock.acquire(path)
      yield* lock.acquire(`${path}-other`)
    }).pipe(Effect.scoped)
  },
  {
    name: "it ends with its scope, as often as it is taken; refused attempts do not end it",
    effect: Effect.gen(function* () {
      const lock = yield* StateLock
      for (let round = 0; round < 3; round++) {
        const scope = yield* Scope.make()
        yield* Scope.provide(lock.acquire(path), scope)
        yield* failure("while it is held", Effect.scoped(lock.acquire(path)))
        yield* failure("while it is still held", Effect.scoped(lock.acquire(path)))
        yield* Scope.close(scope, Exit.void)
      }
    })
  },
  {
    name: "an interrupted holder has let go",
    effect: Effect.gen(function* () {
      const lock = yield* StateLock
      const hold = Effect.scoped(Effect.andThen(lock.acquire(path), Effect.never))
      const holder = yield* Effect.forkChild(hold, { startImmediately: true })
      yield* failure("while it is held", Effect.scoped(lock.acquire(path)))
      yield* Fiber.interrupt(holder)
      yield* Effect.scoped(lock.acquire(path))
    })
  }
]
