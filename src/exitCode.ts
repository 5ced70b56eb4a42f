/**
 * How a process ends, for both executables: with which code, by which signal, and without its output. A disk that hangs
 * holds up no signal.
 */
import process from "node:process"
import { Cause, Exit, Schema } from "effect"

/** What the program has given, `interruptedCode` when it was interrupted, and 1 for a defect, which was reported. */
const exitCode = (exit: Exit.Exit<unknown, unknown>, interruptedCode: number): number => {
  if (Exit.isSuccess(exit)) return typeof exit.value === "number" ? exit.value : 0
  return Cause.hasInterruptsOnly(exit.cause) ? interruptedCode : 1
}

/** As if nobody had listened: to exit would wait for what the disk is at, which may hang. */
export const endBy = (signal: string): void => {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

/** The last of the runtime: from then on each of these signals ends the process, which hears nothing any more. */
export const teardown =
  (signals: ReadonlyArray<string>, interruptedCode: () => number) =>
  (exit: Exit.Exit<unknown, unknown>, onExit: (code: number) => void): void => {
    // It waits for what the disk is at, and a signal that is listened to would wait with it.
    for (const signal of signals) process.removeAllListeners(signal)
    onExit(exitCode(exit, interruptedCode()))
  }

/** Standard output takes nothing more. `EPIPE`: its reader has gone, as `head` does; that is no error. */
export class OutputEnded extends Schema.TaggedError<OutputEnded>()("OutputEnded", { code: Schema.String }) {
  override get message(): string {
    return `standard output cannot be written (${this.code})`
  }
}
