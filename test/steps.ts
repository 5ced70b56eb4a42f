/**
 * Work that is interrupted at a step of its own choosing: what is left then must be what is promised.
 */
import { Effect, Fiber, Scheduler } from "effect"

/** Interrupts the work where that step begins, counted from 1 over all its fibers; false: it had ended before. */
export const interruptedAt = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>, step: number) {
  const usual = new Scheduler.MixedScheduler()
  let begun = 0
  const counting: Scheduler.Scheduler = {
    executionMode: usual.executionMode,
    shouldYield: (fiber) => {
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
