/**
 * What a contract suite says of a layer that does not keep its port's contract.
 */
import { Schema } from "effect"

/** A promise of the contract, and what the layer did instead. */
export class ContractBroken extends Schema.TaggedError<ContractBroken>()("ContractBroken", {
  /** What the contract demands. */
  expected: Schema.String,
  /** What the layer did. */
  actual: Schema.String
}) {
  override get message(): string {
    return `the contract demands ${this.expected}, but the layer gave ${this.actual}`
  }
}
