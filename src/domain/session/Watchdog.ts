/**
 * Ends what makes no progress: one watcher for a whole session, instead of a timer for each operation.
 *
 * Progress in either direction resets it. Work of our own (a long fsync) does not count against the peer.
 */
import { Clock, Context, Effect, type Fiber, Schema } from "effect"
import { keepAliveMilliseconds } from "../limits.ts"

/** Nothing moved for too long. */
export class Stalled extends Schema.TaggedError<Stalled>()("Stalled", {
  /** how long nothing moved, milliseconds */
  milliseconds: Schema.Int
}) {
  override get message(): string {
    return `no progress for ${Math.round(this.milliseconds / 1000)} s: the connection is taken for lost`
  }
}

/** One watch over one session. */
export interface Watchdog {
  /** Something moved. Cheap: called for every record. */
  readonly progress: () => void
  /**
   * A part of a record has come, which is progress too. True when no whole one has moved in either direction, and
   * this was not true, for `keepAliveMilliseconds`: then the peer, who sees nothing move, is to hear of it.
   */
  readonly partly: () => boolean
  /** The limit changes with what the session does; counts from the last progress. */
  readonly expect: (milliseconds: number) => void
  /** Runs work of our own: its time does not count. */
  readonly exempt: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Never succeeds; fails when nothing moved for the limit. Race the session against it. */
  readonly watch: Effect.Effect<never, Stalled>
}

/** @param milliseconds the first limit */
export const make = (milliseconds: number): Effect.Effect<Watchdog> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const clock = Context.get(context, Clock.Clock)
    const run = Effect.runForkWith(context)
    let limit = milliseconds
    let exempted = 0
    let last = clock.currentTimeMillisUnsafe()
    let heard = last
    // Looks again at once, when somebody watches.
    let again = (): void => {}
    const progress = (): void => {
      last = clock.currentTimeMillisUnsafe()
      heard = last
    }
    const partly = (): boolean => {
      last = clock.currentTimeMillisUnsafe()
      if (last - heard < keepAliveMilliseconds) return false
      heard = last
      return true
    }
    const watch = Effect.callback<never, Stalled>((resume) => {
      let sleeping: Fiber.Fiber<void> | undefined
      const look = (): void => {
        const waited = clock.currentTimeMillisUnsafe() - last
        if (exempted > 0) progress()
        else if (waited >= limit) return resume(Effect.fail(new Stalled({ milliseconds: waited })))
        const left = exempted > 0 ? limit : limit - waited
        sleeping = run(Effect.map(Effect.sleep(Math.max(1, left)), look))
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
    return Effect.succeed({
      progress,
      partly,
      expect: (next) => {
        const shrinks = next < limit
        limit = next
        // The watcher looks at once: the new limit must stand before.
        if (shrinks) again()
      },
      exempt: (work) =>
        Effect.suspend(() => {
          exempted += 1
          return work
        }).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              exempted -= 1
              progress()
            })
          )
        ),
      watch
    })
  })
