/**
 * Waits whose length is a setting: a reload may make it another while somebody waits.
 */
import { Effect } from "effect"
import { reloadLookMilliseconds } from "../domain/limits.ts"

/** A part of the wait, behind which is asked again how long it is. */
export const some = (leftMilliseconds: number): Effect.Effect<void> =>
  Effect.sleep(Math.min(leftMilliseconds, reloadLookMilliseconds))

/** Waits until nothing is left. */
export const all = (leftMilliseconds: () => number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = leftMilliseconds()
    return left <= 0 ? Effect.void : Effect.andThen(some(left), all(leftMilliseconds))
  })
