/**
 * Says of what another reporter says only what was asked for and what went wrong: no progress and no news.
 */
import { Effect, Layer } from "effect"
import { Reporter } from "./Reporter.ts"

/** The same reporter for `--quiet`. Listings, comparisons, dry runs and failures are told as ever. */
export const layer = <E, R>(inner: Layer.Layer<Reporter, E, R>): Layer.Layer<Reporter, E, R> =>
  Layer.effect(
    Reporter,
    Effect.map(Reporter, (reporter) =>
      Reporter.of({
        ...reporter,
        tellsEach: false,
        follow: () => Effect.succeed(() => {}),
        transferred: () => Effect.void,
        transferredAll: () => Effect.void,
        changed: () => Effect.void,
        summed: () => Effect.void,
        leftOut: () => Effect.void,
        note: (text, mood) => (mood === "bad" ? reporter.note(text, mood) : Effect.void)
      })
    )
  ).pipe(Layer.provide(inner))
