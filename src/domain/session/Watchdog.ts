/**
 * Ends what makes no progress: one watcher for a whole session, instead of a timer for each operation.
 *
 * Progress in either direction resets it. Work of our own (a long fsync) does not count against the peer.
 */
import { Effect, type Fiber, Schema } from "effect"
import { idleLookMilliseconds, keepAliveMilliseconds, signsOfLifeMillisecondsMax } from "../limits.ts"
import * as Monotonic from "../Monotonic.ts"

/** Nothing moved for too long. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", {
  /** how long nothing moved, milliseconds */
  milliseconds: Schema.Int
}) {
  override get message(): string {
    return `no progress for ${Math.round(this.milliseconds / 1000)} s: the connection is taken for lost`
  }
}

/** How long nothing may move, milliseconds; as a function, one that may be another each time it is asked for. */
export type Limit = number | (() => number)

/** One watch over one session. */
export interface Watchdog {
  /** Something moved. Cheap: called for every record. */
  readonly progress: () => void
  /**
   * The peer says that it lives: progress too, but alone for no longer than `signsOfLifeMillisecondsMax`. So are parts
   * of a record.
   */
  readonly alive: () => void
  /**
   * A part of a record has come, which is progress too. True when no whole one has moved in either direction, and
   * this was not true, for `keepAliveMilliseconds`: then the peer, who sees nothing move, is to hear of it.
   */
  readonly partly: () => boolean
  /**
   * The same when nothing has come, for half of that time: silence is no progress, and who asks every
   * `keepAliveMilliseconds` is told yes each time, also where the answer to the last sign of life took long.
   */
  readonly silent: () => boolean
  /** The limit changes with what the session does; counts from the last progress. */
  readonly expect: (limit: Limit) => void
  /** Runs work of our own: its time does not count. */
  readonly exempt: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Never succeeds; fails when nothing moved for the limit. Race the session against it. */
  readonly watch: Effect.Effect<never, Stalled>
}

const millisecondsOf = (limit: Limit): number => (typeof limit === "number" ? limit : limit())

/** @param first the first limit */
export const make = Effect.fnUntraced(function* (first: Limit): Effect.fn.Return<Watchdog> {
  const now = yield* Monotonic.clock
  const run = Effect.runForkWith(yield* Effect.context<never>())
  let limit = first
  let exempted = 0
  let exemptedAt = 0
  // Whether the watcher has looked while it could see nothing.
  let missed = false
  let last = now()
  let heard = last
  let moved = last
  // Looks again at once, when somebody watches.
  let again = (): void => {}
  const progress = (): void => {
    last = now()
    heard = last
    moved = last
  }
  const live = (): void => {
    const time = now()
    if (time - moved < signsOfLifeMillisecondsMax) last = time
  }
  const alive = (): void => {
    live()
    heard = now()
  }
  const unheard = (milliseconds: number): boolean => {
    const time = now()
    if (time - heard < milliseconds) return false
    heard = time
    return true
  }
  /**
   * Work of our own has ended: its time does not count. What came meanwhile moved things on as it does without; signs
   * of life in great number make us work too, and it is no more than another of them.
   */
  const worked = (): void => {
    const time = now()
    const took = time - exemptedAt
    moved = Math.min(time, moved + took)
    last = Math.min(time, last + took)
    alive()
    if (missed) again()
  }
  const silent = (): boolean => unheard(keepAliveMilliseconds / 2)
  const partly = (): boolean => {
    live()
    return unheard(keepAliveMilliseconds)
  }
  /** Signs of life have counted: after too many of them the truth is that nothing else has come. */
  const silentFor = (waited: number): number => {
    const still = now() - moved
    return Math.round(still < signsOfLifeMillisecondsMax ? waited : still)
  }
  const watch = Effect.callback<never, Stalled>((resume) => {
    let sleeping: Fiber.Fiber<void> | undefined
    const look = (): void => {
      const [waited, allowed] = [now() - last, millisecondsOf(limit)]
      missed = exempted > 0
      if (!missed && waited >= allowed) return giveUp(silentFor(waited))
      const left = Math.max(1, missed ? allowed : allowed - waited)
      const pause = typeof limit === "number" ? left : Math.min(left, idleLookMilliseconds)
      sleeping = run(Effect.map(Effect.sleep(pause), look))
    }
    const giveUp = (milliseconds: number): void => {
      // It watches no more: who changes the limit after this would wake it to a sleep that nobody ends.
      again = () => {}
      resume(Effect.fail(new Stalled({ milliseconds })))
    }
    const wake = (): void => sleeping?.interruptUnsafe()
    again = () => {
      wake()
      look()
    }
    look()
    return Effect.sync(() => {
      again = () => {}
      wake()
    })
  })
  return {
    progress,
    alive,
    partly,
    silent,
    expect: (next) => {
      const shrinks = millisecondsOf(next) < millisecondsOf(limit)
      limit = next
      // The watcher looks at once: the new limit must stand before.
      if (shrinks) again()
    },
    exempt: (work) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          if (exempted === 0) exemptedAt = now()
          exempted += 1
        }),
        () => work,
        () =>
          Effect.sync(() => {
            exempted -= 1
            if (exempted === 0) worked()
          })
      ),
    watch
  }
})
