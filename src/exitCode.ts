/**
 * The code that a process ends with, for both executables.
 */
import { Cause, Exit } from "effect"

/** What the program has given, `interruptedCode` when it was interrupted, and 1 for a defect, which was reported. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>, interruptedCode: number): number => {
  if (Exit.isSuccess(exit)) return typeof exit.value === "number" ? exit.value : 0
  return Cause.hasInterruptsOnly(exit.cause) ? interruptedCode : 1
}
