/**
 * The lock in memory does what the one of the system does: the same steps come to the same, also when who asks is
 * interrupted.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Scope } from "effect"
import { StateLock } from "../../../src/domain/session/StateLock.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"
import { temporaryFolder } from "../store/temporaryDisk.ts"

const path = Schema.Literals(["a", "b"])
const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literals(["take", "take", "interrupt", "two"]), path }),
  Schema.Struct({ do: Schema.tag("release") })
])
type Step = (typeof Step)["Type"]

/** What each step came to. */
const outcomes = Effect.fnUntraced(function* (folder: string, steps: ReadonlyArray<Step>) {
  const { acquire } = yield* StateLock
  const outer = yield* Scope.Scope
  const held: Array<Scope.Closeable> = []
  const take = Effect.fnUntraced(function* (path: string) {
    const scope = yield* Scope.fork(outer)
    return yield* Effect.matchEffect(Scope.provide(acquire(`${folder}/${path}`), scope), {
      onFailure: (error) => Effect.as(Scope.close(scope, Exit.void), [error._tag, error.path.slice(folder.length)]),
      onSuccess: () => Effect.sync(() => [`held ${held.push(scope)}`])
    })
  })
  const all: Array<unknown> = []
  for (const step of steps) {
    if (step.do === "release") {
      const scope = held.shift()
      if (scope !== undefined) yield* Scope.close(scope, Exit.void)
    } else if (step.do === "take") all.push(yield* take(step.path))
    else if (step.do === "two") {
      const both = yield* Effect.all([take(step.path), take(step.path)], { concurrency: 2 })
      all.push(both.map(([first]) => first).toSorted())
    } else {
      const hold = Effect.scoped(Effect.andThen(acquire(`${folder}/${step.path}`), Effect.never))
      yield* Effect.flatMap(Effect.forkChild(hold, { startImmediately: true }), Fiber.interrupt)
    }
  }
  return all
})

describe("the lock in memory", () => {
  it.live.prop(
    "does what the one of the system does",
    [Schema.Array(Step).check(Schema.isMinLength(4), Schema.isMaxLength(16))],
    ([steps]) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const there = yield* Effect.scoped(Effect.provide(outcomes(folder, steps), StateLockNode.layer))
        const here = yield* Effect.scoped(Effect.provide(outcomes(folder, steps), StateLock.layerMemory))
        assert.deepStrictEqual(here, there)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 40 } }
  )
})
