/**
 * Locks by key: effects with equal keys run one after the other, others do not wait.
 *
 * A key costs memory only while somebody holds it or waits for it.
 */
import { Effect, Semaphore } from "effect"

/** Runs an effect while holding something. Waiting can be interrupted. Not reentrant. */
type Holding = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Holds the lock of a key. */
export interface KeyedLock {
  (key: string): Holding
  /** Holds the locks of several keys. No two ever wait for each other. */
  readonly all: (keys: Iterable<string>) => Holding
}

/** Of one key, while somebody holds it or waits for it. */
interface Lock {
  /** undefined: held together with others, and nobody waits */
  semaphore: Semaphore.Semaphore | undefined
  users: number
}

export const make = (): KeyedLock => {
  const held = new Map<string, Lock>()

  const enter = (key: string): Semaphore.Semaphore => {
    const lock = held.get(key) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
    lock.users += 1
    held.set(key, lock)
    // No permit: whoever holds it together with others gives one when he leaves.
    return (lock.semaphore ??= Semaphore.makeUnsafe(0))
  }
  const leave = (key: string): Lock | undefined => {
    const lock = held.get(key)
    if (lock === undefined) return undefined
    lock.users -= 1
    if (lock.users === 0) held.delete(key)
    return lock
  }

  const one =
    (key: string): Holding =>
    (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => enter(key)),
        (semaphore) => semaphore.withPermits(1)(effect),
        () => Effect.sync(() => void leave(key))
      )

  /** In one step, which is what many locks that nobody else wants cost. False: somebody has one of them. */
  const takeFree = (keys: ReadonlyArray<string>): boolean => {
    if (keys.some((key) => held.has(key))) return false
    for (const key of keys) held.set(key, { semaphore: undefined, users: 1 })
    return true
  }
  const giveBack = (keys: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const awaited = keys.flatMap((key) => leave(key)?.semaphore ?? [])
      return Effect.forEach(awaited, (semaphore) => semaphore.resize(1), { discard: true })
    })
  const all =
    (keys: Iterable<string>): Holding =>
    (effect) => {
      const own = Array.from(new Set(keys))
      return Effect.acquireUseRelease(
        Effect.sync(() => takeFree(own)),
        // One by one always in one order.
        (taken) => (taken ? effect : own.toSorted().reduceRight((inner, key) => one(key)(inner), effect)),
        (taken) => (taken ? giveBack(own) : Effect.void)
      )
    }

  return Object.assign(one, { all })
}
