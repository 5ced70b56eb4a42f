/**
 * The end of a server, as its connections learn of it: without a fiber of each that waits for it.
 */
import { Effect, type Scope } from "effect"

/** Tells who attends that the server stops. */
export interface Stopping {
  /** Runs the effect when the server stops, at once when it does already, unless the scope closes before. */
  readonly attend: (stop: Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>
  /** The server stops: all are told, each in a fiber of its own, and nobody is waited for. Once. */
  readonly begin: Effect.Effect<void>
}

export const make: Effect.Effect<Stopping> = Effect.sync(() => {
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
      return Effect.forEach(all, (stop) => Effect.forkDetach(stop), { discard: true })
    })
  }
})
