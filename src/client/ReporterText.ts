/**
 * Tells a person: results on standard output; progress, notes and errors on standard error.
 */
import { Effect, Layer, Redacted, Schedule } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import { progressDrawMilliseconds, progressLineMilliseconds } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { LocalFileFailed, RequestRefused, SourceMissing, WatchedGone } from "./ClientError.ts"
import * as Figures from "../domain/file/Figures.ts"
import * as Glob from "./Glob.ts"
import type { OnProgress, Progress } from "./Progress.ts"
import * as ProgressBar from "./ProgressBar.ts"
import {
  type Changed,
  type Failure,
  type Planned,
  type PlanSummary,
  Reporter,
  type Summary,
  type TransferCommand,
  type Transferred,
  type Verified
} from "./Reporter.ts"
import { green, type Output, red, Screen } from "./Screen.ts"

/** @param prefix begins every error: `paradrop: `, or nothing where the person is in the program already */
export const layer = (prefix: string): Layer.Layer<Reporter, never, Screen> =>
  Layer.effect(
    Reporter,
    Effect.map(Screen, ({ err, out }) => {
      let followed = 0
      const following = Effect.acquireRelease(
        Effect.sync(() => void (followed += 1)),
        () => Effect.sync(() => void (followed -= 1))
      )
      /** A bar may stand where the next line goes. */
      const clear = Effect.suspend(() =>
        followed === 0 || err.columns() === undefined ? Effect.void : err.write(clearLine)
      )
      return Reporter.of({
        listed: (entries, { digests } = { digests: false }) =>
          out.write(entries.map((entry) => entryLine(entry, digests)).join("")),
        listingChanged: (changes, { digests } = { digests: false }) =>
          out.write(changes.map(({ entry, kind }) => `${marks[kind]} ${entryLine(entry, digests)}`).join("")),
        changed: (changed) => Effect.andThen(clear, out.write(`${green(out, changedText(changed))}\n`)),
        follow: ({ command, name }) =>
          Effect.andThen(following, (err.columns() === undefined ? lines : bar)(err, command, printable(name))),
        tellsEach: false,
        transferred: (transferred) => Effect.andThen(clear, out.write(transferredLine(out, transferred))),
        transferredAll: (all) =>
          Effect.andThen(clear, out.write(all.map((transferred) => transferredLine(out, transferred)).join(""))),
        summed: (summary) => out.write(`${summaryLine(out, summary)}\n`),
        planned: (planned, summary) => out.write([...planned.map(plannedLine), `${planText(summary)}\n`].join("")),
        leftOut: ({ kind, path }) =>
          Effect.andThen(clear, err.write(`left out: ${printable(path)} (${leftOutText[kind]})\n`)),
        passwordMade: (user, password) => {
          const label = out.columns() === undefined ? "" : `new password of '${user}', shown this once: `
          return out.write(`${label}${Redacted.value(password)}\n`)
        },
        verified: (verified) => out.write(`${verifiedLine(out, verified)}\n`),
        failed: (failure) => Effect.andThen(clear, err.write(`${red(err, `${prefix}${failureText(failure)}`)}\n`)),
        note: (text, mood) => {
          const coloured = mood === "good" ? green(err, text) : mood === "bad" ? red(err, text) : text
          // A progress line may stand there.
          return err.write(`${err.columns() === undefined ? "" : clearLine}${coloured}\n`)
        }
      })
    })
  )

const clearLine = "\r\x1b[K"

/**
 * Size, time in UTC, digest when asked for, name: columns that stay in place whatever comes, so that a listing can be
 * shown as it arrives.
 */
const entryLine = ({ digest, modified, name, size }: FileEntry, digests: boolean): string => {
  const shown = digests ? `${(digest ?? "-").padEnd(digestColumns)}  ` : ""
  return `${Figures.size(size).padStart(10)}  ${Figures.minute(modified)}  ${shown}${printable(name)}\n`
}

/** What stands before the line of a change. */
const marks = { added: "+", changed: "~", removed: "-" } as const

const digestColumns = 64

const transferredLine = (out: Output, transferred: Transferred): string =>
  `${green(out, successText(transferred))} (${figuresText(transferred)})\n`

/** A rate where all was moved; otherwise what crossed instead of it. */
const figuresText = ({ command, equal, milliseconds, received, reused, sent, size }: Transferred): string => {
  if (!equal && reused === 0) return Figures.moved(size, milliseconds)
  const [bytes, verb] = command === "download" ? [received, "received"] : [sent, "sent"]
  // Of several files at once nobody can tell which byte was whose.
  const crossed = bytes === undefined ? `${Figures.size(reused)} not sent again` : `${Figures.size(bytes)} ${verb}`
  return `${Figures.size(size)}, ${equal ? "equal already" : crossed}, ${Figures.seconds(milliseconds)}`
}

const plannedLine = ({ action, command, name, size }: Planned): string => {
  const figure = action === "remove" ? "" : Figures.size(size)
  return `${plannedText[command][action].padEnd(14)}${figure.padStart(10)}  ${printable(name)}\n`
}

const plannedText = {
  upload: { add: "would send", change: "would replace", remove: "would remove" },
  download: { add: "would get", change: "would replace", remove: "would remove" },
  para: { add: "would send", change: "would update", remove: "would remove" }
} as const

const planText = ({ add, change, command, equal, failed, remove, size }: PlanSummary): string =>
  `${command} would ${plannedText[command].add.slice(6)} ${add} new and ${change} changed of ${Figures.size(size)}, ` +
  `remove ${remove} and leave ${equal} alone${failed === 0 ? "" : `; ${failed} cannot be done`}`

const leftOutText = { "empty-folder": "an empty folder", link: "a symbolic link", special: "no regular file" } as const

const summaryLine = (out: Output, summary: Summary): string => {
  const { command, equal, failed, files, milliseconds, removed, size, ...moved } = summary
  const crossed =
    command === "download" ? `${Figures.size(moved.received)} received` : `${Figures.size(moved.sent)} sent`
  const equals = equal === 0 ? "" : `, ${equal} equal already`
  const gone = removed === 0 ? "" : `, ${removed} removed`
  const failures = failed === 0 ? "" : `, ${failed} failed`
  const text = `${command}: ${files} ${files === 1 ? "file" : "files"}${equals}${gone}${failures}`
  const figures = `(${Figures.size(size)}, ${crossed}, ${Figures.seconds(milliseconds)})`
  return `${failed === 0 ? green(out, text) : red(out, text)} ${figures}`
}

const successText = ({ command, equal, name, path = "" }: Transferred): string => {
  switch (command) {
    case "upload":
      return `File '${printable(name)}' uploaded successfully.`
    case "download":
      return equal
        ? `File '${printable(name)}' is up to date already: ${printable(path)}`
        : `File '${printable(name)}' downloaded to ${printable(path)}`
    case "para":
      return `${printable(name)}: the file has been parallelized`
  }
}

const changedText = (changed: Changed): string =>
  changed.command === "remove"
    ? `File '${printable(changed.name)}' removed${changed.here === true ? " here" : ""}.`
    : `File '${printable(changed.name)}' renamed to '${printable(changed.to)}'.`

const verifiedLine = (out: Output, { equal, local, name, path, server }: Verified): string => {
  const [here, there] = [printable(path), printable(name)]
  if (equal) return green(out, `${here} is equal to the server's ${there} (${Figures.size(server.size)})`)
  const why =
    local.size === server.size ? "equal size, other content" : `${local.size} B here, ${server.size} B on the server`
  return red(out, `${here} differs from the server's ${there} (${why})`)
}

/** What failed and why, in one line; whose name the message has is not named again. */
export const failureText = ({ command, error, name }: Failure): string => {
  const shown = name === undefined || name === "" || namesItself(error, printable(name)) ? "" : `${printable(name)}: `
  const missing = error instanceof RequestRefused && error.reason === "no-such-file"
  return `${shown}${error.message}${missing && command !== undefined ? adviceFor(command, name) : ""}`
}

/** Who has typed a pattern where none is taken looks for a file of that name in vain. */
const adviceFor = (command: string, name = ""): string =>
  (command === "remove" || command === "rename") && Glob.isPattern(name)
    ? `: '${command}' takes names and never a pattern; 'fetch' shows what fits one`
    : (missingAdvice[command] ?? "")

/** Whether the message names the file, of a rename with its new name. A short one may stand in any of its words. */
const namesItself = (error: Failure["error"], name: string): boolean =>
  error.message.includes(`'${name}'`) ||
  error.message.includes(`'${name} -> `) ||
  ((error instanceof LocalFileFailed || error instanceof SourceMissing || error instanceof WatchedGone) &&
    error.path.includes(name))

const missingAdvice: Readonly<Record<string, string>> = {
  fetch: ": 'fetch' alone shows what it has",
  para: ": send it with 'upload' first",
  download: ": 'fetch' shows what it has",
  verify: ": 'fetch' shows what it has",
  remove: ": 'fetch' shows what it has",
  rename: ": 'fetch' shows what it has"
}

// -----------------------------------------------------------------------------
// Progress
// -----------------------------------------------------------------------------

/**
 * The last column: some terminals break the line there. And what a terminal shows of Ctrl-C, which would break it too:
 * then half of it stayed behind.
 */
const freeColumns = 1 + "^C".length

/** A line that is drawn again and again, and gone when the transfer is over. */
const bar = Effect.fnUntraced(function* (err: Output, command: TransferCommand, name: string) {
  let state = ProgressBar.start(yield* Monotonic.now)
  let latest: Progress | undefined
  let drawn = false
  const draw = Effect.gen(function* () {
    if (latest === undefined) return
    state = ProgressBar.look(state, yield* Monotonic.now, latest)
    drawn = true
    const line = ProgressBar.render(state, command, name, Math.max(1, (err.columns() ?? 80) - freeColumns))
    yield* err.write(`\r${line}\x1b[K`)
  })
  // What ends sooner than the first drawing needs no bar.
  yield* Effect.addFinalizer(() => (drawn ? Effect.andThen(draw, err.write("\r\x1b[K")) : Effect.void))
  yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep(progressDrawMilliseconds), draw).pipe(Effect.repeat(Schedule.forever))
  )
  return ((progress) => void (latest = progress)) satisfies OnProgress
})

/** A line now and then: enough to see in a log that something moves. */
const lines = Effect.fnUntraced(function* (err: Output, command: TransferCommand, name: string) {
  let state = ProgressBar.start(yield* Monotonic.now)
  let latest: Progress | undefined
  const say = Effect.gen(function* () {
    if (latest === undefined) return
    state = ProgressBar.look(state, yield* Monotonic.now, latest)
    const { done, reused, total } = state.progress
    const again = reused === 0 ? "" : `, ${Figures.size(reused)} reused`
    const share = `${ProgressBar.percent(state.progress)} %, ${Figures.size(done)} of ${Figures.size(total)}`
    const now = ProgressBar.waiting(state.progress) ?? Figures.rate(ProgressBar.rateOf(state))
    const what = ProgressBar.label(command, name, state.progress)
    yield* err.write(`${what}: ${share}, ${now}${again}\n`)
  })
  yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep(progressLineMilliseconds), say).pipe(Effect.repeat(Schedule.forever))
  )
  return ((progress) => void (latest = progress)) satisfies OnProgress
})
