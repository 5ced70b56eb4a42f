/**
 * Port: the lines that a person has typed into the shell, kept from one run to the next.
 *
 * ## Contract (test: `historyContract` of `paradrop/client/testing`, run by every layer)
 *
 * - `load` gives the lines that are kept, oldest first, at most `shellHistoryLinesMax`: the newest. Without a place to
 *   keep any, and when that cannot be read, there are none. Every line is printable, and none stands twice in a row.
 * - `keep` adds a line that is `worthKeeping`, and leaves others out. What was kept when it has ended is there after a
 *   crash; a crash in the middle loses that line and no other. Several programs may keep lines at once.
 * - Nobody else can read what is kept.
 */
import { Context, Effect, Layer, Schema } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { printable } from "../domain/file/Printable.ts"
import { systemWords } from "../domain/SystemCode.ts"
import { shellHistoryLineBytesMax, shellHistoryLinesMax } from "../domain/limits.ts"

/** A line could not be kept. */
export class HistoryFailed extends Schema.TaggedError<HistoryFailed>()("HistoryFailed", {
  /** printable */
  path: Schema.String,
  /** a system error code */
  code: Schema.String
}) {
  override get message(): string {
    // A pipe that nobody reads is told by the system in its own way.
    const advice = this.code === "ENOTREG" || this.code === "ENXIO" ? ": it is no regular file; move it away" : ""
    return `what you type is not kept for the next time: cannot write ${this.path} (${systemWords(this.code)})${advice}`
  }
}

export class History extends Context.Service<
  History,
  {
    readonly load: Effect.Effect<ReadonlyArray<string>>
    readonly keep: (line: string) => Effect.Effect<void, HistoryFailed>
  }
>()("paradrop/client/History") {
  /** Kept as long as the array. */
  static readonly layerMemory = (kept: Array<string> = []): Layer.Layer<History> =>
    Layer.succeed(
      History,
      History.of({
        load: Effect.sync(() => tidied(kept)),
        keep: (line) => Effect.sync(() => void (worthKeeping(line) && kept.push(line)))
      })
    )
}

/**
 * Whether a line may be kept: it can be shown, is not too long, and has no password in a URL. As in other shells, who
 * types a space first does not want it kept.
 */
export const worthKeeping = (line: string): boolean =>
  /^\S/.test(line) &&
  printable(line) === line &&
  !urlWithPassword.test(line) &&
  Bytes.utf8Length(line) <= shellHistoryLineBytesMax

// Also what no URL has as it is, a slash or a space: who types such a password means one. A port is none, and what
// follows it is a path.
const urlWithPassword = /:\/\/[^/\s:[]*:(?!\d{1,5}(?:[/\s"']|$)).*@/

/** The newest of the lines that are worth it, none twice in a row. */
export const tidied = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines
    .filter(worthKeeping)
    .filter((line, index, all) => line !== all[index - 1])
    .slice(-shellHistoryLinesMax)
