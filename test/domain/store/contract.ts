import { describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import type { ContractCase } from "../../../src/domain/testing/Contract.ts"

/** Runs each case on a layer of its own. */
export const runContract = <R, E>(
  title: string,
  cases: ReadonlyArray<ContractCase<R>>,
  layer: () => Layer.Layer<R, E>
): void => {
  describe(title, () => {
    for (const { effect, name } of cases) it.effect(name, () => Effect.provide(effect, layer()))
  })
}
