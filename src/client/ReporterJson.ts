/**
 * Tells a script: one JSON object a line on standard output, and nothing else there. Errors are said on standard error
 * too, as everywhere.
 *
 * A listing gives `{"name", "size", "modified"}` for each file, with `executable` when it may be run and `digest` when
 * it is known. Everything else has an `event`; docs/CLIENT.md has the schema. Sizes are bytes, times ISO 8601 in UTC.
 * The text is ASCII: every other character is escaped, so names are exact and harmless on a terminal.
 */
import { Effect, Layer, Redacted, Schedule } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import { asciiJson } from "../domain/file/Printable.ts"
import { progressEventMilliseconds } from "../domain/limits.ts"
import type { OnProgress, Progress } from "./Progress.ts"
import { type Failure, Reporter, type TransferCommand, type Transferred } from "./Reporter.ts"
import { failureText } from "./ReporterText.ts"
import { type Output, Screen } from "./Screen.ts"

/** Events and listings as lines; `prefix` stands before what is said on standard error. */
export const layer = (prefix: string): Layer.Layer<Reporter, never, Screen> =>
  Layer.effect(
    Reporter,
    Effect.map(Screen, ({ err, out }) =>
      Reporter.of({
        listed: (entries) => out.write(entries.map((entry) => line(entryObject(entry))).join("")),
        listingChanged: (changes) =>
          out.write(changes.map(({ entry, kind }) => line({ event: kind, ...entryObject(entry) })).join("")),
        follow: ({ command, name }) => follow(out, command, name),
        tellsEach: true,
        transferred: (transferred) => out.write(line(transferredObject(transferred))),
        transferredAll: (all) => out.write(all.map((transferred) => line(transferredObject(transferred))).join("")),
        changed: ({ command, ...names }) => out.write(line({ event: `${command}d`, ...names })),
        summed: (summary) => out.write(line({ event: "summary", ...summary })),
        planned: (planned, summary) =>
          out.write(
            [...planned.map((one) => line({ event: "planned", ...one })), line({ event: "plan", ...summary })].join("")
          ),
        leftOut: (leftOut) => out.write(line({ event: "left-out", ...leftOut })),
        passwordMade: (user, password) =>
          out.write(line({ event: "password-made", user, password: Redacted.value(password) })),
        verified: (verified) => out.write(line({ event: "verified", ...verified })),
        failed: (failure) =>
          Effect.andThen(out.write(failedLine(failure)), err.write(`${prefix}${failureText(failure)}\n`)),
        note: (text) => err.write(`${text}\n`)
      })
    )
  )

const line = (value: Readonly<Record<string, unknown>>): string => `${asciiJson(value)}\n`

const entryObject = ({ digest, executable, modified, name, size }: FileEntry) => ({
  name,
  size,
  modified: new Date(modified).toISOString(),
  ...(executable === true && { executable }),
  ...(digest !== undefined && { digest })
})

const events = { upload: "uploaded", download: "downloaded", para: "parallelized" } as const

const transferredObject = ({ command, ...rest }: Transferred) => ({ event: events[command], ...rest })

/** What went wrong, as a line of its own. */
export const failedLine = ({ command, error, name }: Failure): string =>
  line({
    event: "failed",
    ...(command !== undefined && { command }),
    ...(name !== undefined && { name }),
    error: error._tag,
    message: error.message
  })

/** The first, then what has changed, then the last. */
const follow = Effect.fnUntraced(function* (out: Output, command: TransferCommand, name: string) {
  let latest: Progress | undefined
  let said: Progress | undefined
  const say = Effect.suspend(() => {
    if (latest === undefined || latest === said) return Effect.void
    said = latest
    return out.write(line({ event: "progress", command, name, ...latest }))
  })
  yield* Effect.addFinalizer(() => say)
  yield* Effect.forkScoped(
    Effect.andThen(say, Effect.sleep(progressEventMilliseconds)).pipe(Effect.repeat(Schedule.forever))
  )
  return ((progress) => void (latest = progress)) satisfies OnProgress
})
