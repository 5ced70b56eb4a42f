/**
 * A setting of the monitoring endpoint or of the exporters that cannot be followed.
 */
import { Schema } from "effect"

/** The message says what is wrong and what to do. */
export class ObservabilityFailed extends Schema.TaggedError<ObservabilityFailed>()("ObservabilityFailed", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}
