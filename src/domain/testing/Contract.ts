/**
 * What a contract suite is made of: named effects that any test runner can run, each on a fresh layer.
 */
import { Effect, Equal } from "effect"
import { ContractBroken } from "./ContractBroken.ts"

/** One promise of a port, as an effect that fails when it is not kept. */
export interface ContractCase<R> {
  readonly name: string
  readonly effect: Effect.Effect<void, unknown, R>
}

/** Fails unless the two are equal by value. */
export const equal = <A>(promise: string, found: A, expected: A): Effect.Effect<void, ContractBroken> =>
  Equal.equals(found, expected)
    ? Effect.void
    : Effect.fail(new ContractBroken({ expected: `${promise}: ${show(expected)}`, actual: show(found) }))

/** Fails unless the effect fails, and gives its error. */
export const failure = <A, E, R>(
  promise: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<E, ContractBroken, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) => Effect.succeed(error),
    onSuccess: (value) =>
      Effect.fail(new ContractBroken({ expected: `a failure (${promise})`, actual: `success with ${show(value)}` }))
  })

const show = (value: unknown): string =>
  value instanceof Uint8Array
    ? `${value.length} bytes [${Array.from(value.subarray(0, 16)).join(" ")}]`
    : (JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? String(value))
