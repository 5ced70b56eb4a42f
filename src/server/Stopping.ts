/**
 * The end of a server, as its connections learn of it: without a fiber of each that waits for it.
 */
import { Effect, FiberSet, type Scope } from "effect"

/** Tells who attends that the server stops. */
export interface Stopping {
  /** Runs the effect when the server stops, at once when it does already, unless the scope closes before. */
  readonly attend: (stop: Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
  /** The server stops: all are told, each in a fiber of its own, and nobody is waited for. Once. */
  readonly begin: Effect.Effect<void>
}

/** What has not told its connection when the scope closes ends then: it may wait for one that takes nothing more. */
export const make: Effect.Effect<Stopping, never, Scope.Scope> = Effect.gen(function* () {
  const telling = yield* FiberSet.make<void>()
  const all = new Set<Effect.Effect<void>>()
  let begun = false
  return {
    attend: (stop) =>
      Effect.acquireRelease(
        Effect.suspend(() => (all.add(stop), begun ? stop : Effect.void)),
        () => Effect.sync(() => void all.delete(stop))
      ),
    begin: Effect.suspend(() => {
      begun = true
      return Effect.forEach(all, (stop) => FiberSet.run(telling, stop), { discard: true })
    })
  }
})
