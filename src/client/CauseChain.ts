/**
 * What stands behind an error, for `--verbose`: a line for each cause, from the nearest to the farthest.
 *
 * Causes come from the system, from libraries and, through them, from the network: every line is made printable. No
 * cause holds a password: those are redacted from where they enter to where they are used.
 */
import { printable } from "../domain/file/Printable.ts"
import { causesShownMax } from "../domain/limits.ts"

/** The causes of an error, without the error itself; at most `causesShownMax`. */
export const lines = (error: unknown): ReadonlyArray<string> => {
  const shown: Array<string> = []
  const waiting = behind(error)
  while (shown.length < causesShownMax) {
    const cause = waiting.shift()
    if (cause === undefined) break
    shown.push(`  caused by ${text(cause)}\n`)
    waiting.unshift(...behind(cause))
  }
  return shown
}

const behind = (error: unknown): Array<unknown> => {
  if (!(error instanceof Error)) return []
  // A host with several addresses fails with one error for each.
  const several = error instanceof AggregateError ? error.errors.slice(0, causesShownMax) : []
  // Effect's errors of the platform say the same as their reason, which has the cause.
  const inner = "reason" in error && error.reason !== error ? behind(error.reason) : []
  return error.cause === undefined ? [...inner, ...several] : [error.cause, ...several]
}

const text = (cause: unknown): string => {
  if (!(cause instanceof Error)) return printable(typeof cause === "string" ? cause : typeof cause)
  const name = cause.name.slice(cause.name.lastIndexOf("/") + 1)
  return printable(cause.message === "" ? name : `${name}: ${cause.message}`)
}
