/** A clock whose time of day somebody sets, as an administrator or a time server does. */
import { Clock, Effect } from "effect"

/** Runs with the test clock, whose time of day may be set: milliseconds from what it would be. */
export const withTimeOfDay = <A, E, R>(body: (set: (by: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Clock.Clock, (clock) => {
    let by = 0
    const millis = () => clock.currentTimeMillisUnsafe() + by
    return Effect.provideService(
      body((milliseconds) => void (by = milliseconds)),
      Clock.Clock,
      {
        ...clock,
        sleep: (duration) => clock.sleep(duration),
        currentTimeMillisUnsafe: millis,
        currentTimeMillis: Effect.sync(millis)
      }
    )
  })
