/**
 * The process's own outputs.
 */
import process from "node:process"
import { Effect, Layer, Schema } from "effect"
import { type Output, Screen } from "./Screen.ts"

const output = (stream: NodeJS.WriteStream): Output => ({
  write: (text) =>
    Effect.callback<void>((resume) => {
      // A failed write is told by the stream's own error event.
      stream.write(text, () => resume(Effect.void))
    }),
  // Node honours NO_COLOR, FORCE_COLOR and TERM here.
  colours: stream.isTTY && stream.hasColors(),
  columns: () => (stream.isTTY ? stream.columns : undefined)
})

/** This process's standard output and standard error. */
export const layer: Layer.Layer<Screen> = Layer.sync(Screen, () =>
  Screen.of({ out: output(process.stdout), err: output(process.stderr) })
)

/** Standard output takes nothing more. `EPIPE`: its reader has gone, as `head` does; that is no error. */
export class OutputEnded extends Schema.TaggedError<OutputEnded>()("OutputEnded", { code: Schema.String }) {
  override get message(): string {
    return `standard output cannot be written (${this.code})`
  }
}

/** Fails when standard output ends. What cannot be said on standard error is lost without harm. */
export const ended: Effect.Effect<never, OutputEnded> = Effect.callback((resume) => {
  process.stderr.on("error", () => {})
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    resume(Effect.fail(new OutputEnded({ code: error.code ?? "unknown" })))
  )
})
