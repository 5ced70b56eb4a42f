/**
 * Locks by key: effects with equal keys run one after the other, others do not wait.
 *
 * A key costs memory only while somebody holds it or waits for it.
 */
import { Effect, Semaphore } from "effect"

/** Runs an effect while holding the lock of a key. Waiting can be interrupted. Not reentrant. */
export type KeyedLock = (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export const make = (): KeyedLock => {
  const held = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()
  return (key) => (effect) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const lock = held.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
        lock.users += 1
        held.set(key, lock)
        return lock
      }),
      (lock) => lock.semaphore.withPermits(1)(effect),
      (lock) =>
        Effect.sync(() => {
          lock.users -= 1
          if (lock.users === 0) held.delete(key)
        })
    )
}

/** Holds the locks of several keys, always taken in one order, so that no two ever wait for each other. */
export const all =
  (lock: KeyedLock, keys: Iterable<string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Array.from(new Set(keys))
      .toSorted()
      .reduceRight((inner, key) => lock(key)(inner), effect)
