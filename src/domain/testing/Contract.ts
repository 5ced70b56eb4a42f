/**
 * What a contract suite is made of: named effects that any test runner can run, each on a fresh layer.
 */
import { Effect, Equal, Schema } from "effect"

/** One promise of a port, as an effect that fails when it is not kept. */
export interface ContractCase<R> {
  readonly name: string
  readonly effect: Effect.Effect<void, unknown, R>
}

/** A layer does not do what its port promises. */
export class ContractBroken extends Schema.TaggedError<ContractBroken>()("ContractBroken", {
  /** what should have been */
  promise: Schema.String,
  /** what was found */
  found: Schema.String
}) {
  override get message(): string {
    return `promised: ${this.promise}; found: ${this.found}`
  }
}

/** Fails unless the two are equal by value. */
export const equal = <A>(promise: string, found: A, expected: A): Effect.Effect<void, ContractBroken> =>
  Equal.equals(found, expected)
    ? Effect.void
    : Effect.fail(new ContractBroken({ promise: `${promise}: ${show(expected)}`, found: show(found) }))

/** Fails unless the effect fails, and gives its error. */
export const failure = <A, E, R>(promise: string, effect: Effect.Effect<A, E, R>): Effect.Effect<E, ContractBroken, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) => Effect.succeed(error),
    onSuccess: (value) => Effect.fail(new ContractBroken({ promise, found: `success with ${show(value)}` }))
  })

const show = (value: unknown): string =>
  value instanceof Uint8Array
    ? `${value.length} bytes [${Array.from(value.subarray(0, 16)).join(" ")}]`
    : (JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? String(value))
