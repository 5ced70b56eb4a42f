/**
 * Runs an effect in virtual time, on a scheduler of its own, from start to end in one synchronous call.
 *
 * Time stands still while anything can run. When nothing can, it jumps to the next sleep; when there is none either,
 * whatever still waits waits for ever, and that is an outcome of its own. A server that looks at something once a
 * second always sleeps: an effect that has not ended by a bound of virtual time counts as waiting for ever too. Which
 * of several ready fibers goes next is decided by the seed. Nothing is left to the event loop, so equal seeds give
 * equal runs.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, Metric, Random, Scheduler } from "effect"
import * as Fixture from "../../src/domain/testing/Fixture.ts"

export interface Options {
  readonly seed: number
  /** the next task is one of so many that are ready; 1 runs them in their order */
  readonly choices: number
  /** tasks after which a run counts as one that never ends */
  readonly tasksMax: number
  /** virtual time after which a run counts as one that waits for ever */
  readonly millisecondsMax: number
}

export type Outcome<A, E> =
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<A, E> }
  /** nothing can run, and nothing sleeps or only beyond `millisecondsMax` */
  | { readonly _tag: "Stuck" }
  /** `tasksMax` was reached */
  | { readonly _tag: "Endless" }

/** What the effect may look at. */
export interface Machine {
  /** virtual time since the start, milliseconds */
  readonly elapsed: () => number
  /** fibers that have begun and not ended */
  readonly fibers: () => number
  /** causes of fibers that have ended with a defect, also of those that nobody looks at */
  readonly defects: ReadonlyArray<string>
  /** fibers that sleep */
  readonly sleeping: () => number
  /** tasks that were run */
  readonly tasks: () => number
}

interface Sleep {
  readonly until: number
  readonly wake: () => void
}

/** Any moment will do, as long as it is always the same. */
const start = 1_700_000_000_000

const makeClock = (millisecondsMax: number) => {
  let now = start
  // The next one last.
  const sleeps: Array<Sleep> = []
  const add = (sleep: Sleep): void => {
    let at = sleeps.length
    while (at > 0 && (sleeps[at - 1]?.until ?? 0) <= sleep.until) at -= 1
    sleeps.splice(at, 0, sleep)
  }
  const remove = (sleep: Sleep): void => {
    const at = sleeps.indexOf(sleep)
    if (at >= 0) sleeps.splice(at, 1)
  }
  const nanos = (): bigint => BigInt(Math.floor(now)) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => Math.floor(now),
    currentTimeMillis: Effect.sync(() => Math.floor(now)),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => {
      const milliseconds = Duration.toMillis(duration)
      if (!Number.isFinite(milliseconds)) return Effect.never
      return Effect.callback<void>((resume) => {
        const sleep = { until: now + Math.max(0, milliseconds), wake: () => resume(Effect.void) }
        add(sleep)
        return Effect.sync(() => remove(sleep))
      })
    }
  }
  /** Jumps to the next sleep and ends it; false when there is none in the time that is given. */
  const advance = (): boolean => {
    const next = sleeps.at(-1)
    if (next === undefined || next.until > start + millisecondsMax) return false
    sleeps.pop()
    now = Math.max(now, next.until)
    next.wake()
    return true
  }
  return { advance, clock, elapsed: () => now - start, sleeping: () => sleeps.length }
}

interface Task {
  readonly run: () => void
  readonly priority: number
}

const makeScheduler = (choices: number, random: () => number) => {
  const ready: Array<Task> = []
  let ran = 0
  /** Runs one task; false when there is none. */
  const runOne = (): boolean => {
    const first = ready[0]
    if (first === undefined) return false
    const range = choices > 1 && ready.length > 1 ? Math.min(choices, ready.length) : 1
    let at = range > 1 ? Math.floor(random() * range) : 0
    if (ready[at]?.priority !== first.priority) at = 0
    const [task] = ready.splice(at, 1)
    ran += 1
    task?.run()
    return true
  }
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (run, priority) => {
      let at = ready.length
      while (at > 0 && (ready[at - 1]?.priority ?? 0) > priority) at -= 1
      if (at === ready.length) ready.push({ run, priority })
      else ready.splice(at, 0, { run, priority })
    },
    flush: () => {
      while (runOne());
    }
  }
  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= 2048,
    makeDispatcher: () => dispatcher
  }
  return { ran: () => ran, runOne, scheduler }
}

/** Runs to the end, or to where nothing can go on. */
export const run = <A, E>(
  options: Options,
  effect: (machine: Machine) => Effect.Effect<A, E>
): { readonly outcome: Outcome<A, E>; readonly machine: Machine } => {
  const time = makeClock(options.millisecondsMax)
  const tasks = makeScheduler(options.choices, Fixture.seeded(options.seed))
  let fibers = 0
  const defects: Array<string> = []
  const counting: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => void (fibers += 1),
    recordFiberEnd: (_, exit) => {
      fibers -= 1
      if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) defects.push(Cause.pretty(exit.cause))
    }
  }
  const machine: Machine = {
    elapsed: time.elapsed,
    fibers: () => fibers,
    defects,
    sleeping: time.sleeping,
    tasks: tasks.ran
  }
  const context = Context.make(Clock.Clock, time.clock).pipe(
    Context.add(Scheduler.Scheduler, tasks.scheduler),
    Context.add(Metric.FiberRuntimeMetrics, counting)
  )
  let exit: Exit.Exit<A, E> | undefined
  const fiber = Effect.runForkWith(context)(Random.withSeed(effect(machine), options.seed))
  fiber.addObserver((ended) => void (exit = ended))
  const going = (): boolean => exit === undefined && tasks.ran() < options.tasksMax
  while (going() && (tasks.runOne() || time.advance()));
  if (exit !== undefined) return { outcome: { _tag: "Ended", exit }, machine }
  return { outcome: { _tag: tasks.ran() < options.tasksMax ? "Stuck" : "Endless" }, machine }
}
