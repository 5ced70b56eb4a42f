/**
 * Port: what comes through a named pipe, as `<(COMMAND)` of a shell is one.
 *
 * ## Contract (test: test/client/Pipes.test.ts)
 *
 * - `head` waits for a writer as long as it takes, holds up nothing else meanwhile, and is over at once when it is
 *   interrupted.
 * - It gives what was written up to the end of the first line, and may give more; to the end where there is no such
 *   line, and no more than it has read when that is `bytesMax` bytes.
 */
import { Context, type Effect, Schema } from "effect"

/** A pipe could not be read. */
export class PipeFailed extends Schema.TaggedError<PipeFailed>()("PipeFailed", {
  /** a system error code */
  code: Schema.String
}) {
  override get message(): string {
    return `the pipe cannot be read (${this.code})`
  }
}

/** Port: reads named pipes without waiting in a call of the system, which nobody could call back. */
export class Pipes extends Context.Service<
  Pipes,
  { readonly head: (path: string, bytesMax: number) => Effect.Effect<Uint8Array, PipeFailed> }
>()("paradrop/client/Pipes") {}
