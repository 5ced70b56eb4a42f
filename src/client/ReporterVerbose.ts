/**
 * Adds to what another reporter says: each file of a folder, and of a failure what stands behind it.
 */
import { Effect, Layer } from "effect"
import * as CauseChain from "./CauseChain.ts"
import { Reporter } from "./Reporter.ts"
import { Screen } from "./Screen.ts"

/** The same reporter, with the causes of each failure as lines of their own on standard error. */
export const layer = <E, R>(inner: Layer.Layer<Reporter, E, R>): Layer.Layer<Reporter, E, R | Screen> =>
  Layer.effect(
    Reporter,
    Effect.gen(function* () {
      const reporter = yield* Reporter
      const { err } = yield* Screen
      return Reporter.of({
        ...reporter,
        tellsEach: true,
        failed: (failure) =>
          Effect.andThen(reporter.failed(failure), err.write(CauseChain.lines(failure.error).join("")))
      })
    })
  ).pipe(Layer.provide(inner))
