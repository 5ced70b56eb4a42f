/**
 * Time that passes, and not the time of day: nobody sets it, so that it neither stands still nor jumps.
 */
import { Clock, Effect } from "effect"

/** Milliseconds of a clock that never goes back, for one that is asked often. */
export const clock: Effect.Effect<() => number> = Clock.clockWith((clock) => Effect.succeed(() => read(clock)))

/** Milliseconds of a clock that never goes back, now. */
export const now: Effect.Effect<number> = Clock.clockWith((clock) => Effect.sync(() => read(clock)))

const read = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
