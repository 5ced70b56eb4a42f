/**
 * Work that is interrupted at a step of its own choosing: what is left then must be what is promised.
 */
import { Effect, Fiber, Scheduler } from "effect"

/** A fiber that is started at once comes so far before anybody else: its first steps are one with what started it. */
const firstSteps = 16

/** Interrupts the work where that step begins, counted from 1 over all its fibers; false: it had ended before. */
export const interruptedAt = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>, step: number) {
  const usual = new Scheduler.MixedScheduler()
  let begun = 0
  let first: object | undefined
  const ages = new WeakMap<object, number>()
  const counting: Scheduler.Scheduler = {
    executionMode: usual.executionMode,
    shouldYield: (fiber) => {
      first ??= fiber
      const age = (ages.get(fiber) ?? 0) + 1
      ages.set(fiber, age)
      if (fiber !== first && age <= firstSteps) return usual.shouldYield(fiber)
      begun += 1
      if (begun !== step) return usual.shouldYield(fiber)
      // Once it has let others go on.
      queueMicrotask(() => running.interruptUnsafe())
      return true
    },
    makeDispatcher: () => usual.makeDispatcher()
  }
  const running = yield* Effect.forkChild(Effect.provideService(work, Scheduler.Scheduler, counting))
  yield* Fiber.await(running)
  return begun >= step
})
