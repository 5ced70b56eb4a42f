/**
 * Failures of one command about many files: a person is told the first few of each reason, and at the end how many more
 * there were. Whoever hears of each file hears of each failure.
 */
import { Effect } from "effect"
import { failuresToldMax } from "../domain/limits.ts"
import type { FileError } from "./Batch.ts"
import type { NotListed, NotNameable } from "./ClientError.ts"
import type { Reporter, TransferCommand } from "./Reporter.ts"

export interface Failures {
  /** Tells it, or counts it. */
  readonly tell: (name: string, error: FileError | NotListed | NotNameable) => Effect.Effect<void>
  /** Tells what was only counted. Once, at the end. */
  readonly rest: Effect.Effect<void>
}

/** Of one command. */
export const make = (reporter: Reporter["Service"], command: TransferCommand | "fetch"): Failures => {
  const counts = new Map<string, number>()
  return {
    tell: (name, error) =>
      Effect.suspend(() => {
        const reason = reasonOf(error)
        const count = (counts.get(reason) ?? 0) + 1
        counts.set(reason, count)
        return reporter.tellsEach || count <= failuresToldMax ? reporter.failed({ error, command, name }) : Effect.void
      }),
    rest: Effect.suspend(() =>
      Effect.forEach(
        reporter.tellsEach ? [] : Array.from(counts).filter(([, count]) => count > failuresToldMax),
        ([reason, count]) =>
          reporter.note(`${count - failuresToldMax} more failed for the same reason (${reason})`, "bad"),
        { discard: true }
      )
    )
  }
}

/** What two failures have in common for which the same is to be done. */
const reasonOf = (error: FileError | NotListed | NotNameable): string => {
  switch (error._tag) {
    case "RequestRefused":
      return error.reason
    case "NameRefused":
      return error.rule
    case "LocalFileFailed":
      return error.code
    case "NamesCollide":
      return "name-collision"
    case "NotListed":
      return "not-listed"
    case "NotNameable":
      return "not-nameable"
    case "SourceMissing":
      return "missing"
    case "SourceShrank":
      return "source-changed"
  }
}
