/**
 * The interactive shell: lines in, commands run, until `exit` or the end of input.
 *
 * Ctrl-C cancels what runs, not the shell. A session that was lost is made again by the next command that needs it.
 */
import { Effect, Option, Schema } from "effect"
import type { Digest } from "../domain/file/Digest.ts"
import * as Commands from "./Commands.ts"
import { complete } from "./Completion.ts"
import { LineEditor, type Lines } from "./LineEditor.ts"
import type { LocalFiles } from "./LocalFiles.ts"
import { OwnPassword } from "./PasswordCommand.ts"
import { Reporter } from "./Reporter.ts"
import { Screen } from "./Screen.ts"
import { type NoSession, Sessions } from "./Sessions.ts"
import * as ShellLine from "./ShellLine.ts"

const prompt = "paradrop> "

/** The line is no command. */
export class InvalidCommand extends Schema.TaggedError<InvalidCommand>()("InvalidCommand", {
  /** printable; empty when the first word says it all */
  reason: Schema.String
}) {
  override get message(): string {
    const text = "invalid command: the client must pay attention to acceptable input patterns"
    return this.reason === "" ? text : `${text} (${this.reason})`
  }
}

type Services = Digest | LineEditor | LocalFiles | Reporter | Screen | Sessions

/** Logs in first, then takes lines. False when a line of a script failed; a person has seen it and decided. */
export const run: Effect.Effect<boolean, NoSession, Services> = Effect.gen(function* () {
  const { interactive, open } = yield* LineEditor
  yield* (yield* Sessions).session
  if (interactive) yield* (yield* Reporter).note("help shows what you can type; Ctrl-C cancels, Ctrl-D leaves")
  const lines = yield* open
  const completer = yield* Effect.map(
    Effect.context<LocalFiles | Sessions>(),
    (context) => (line: string) => Effect.provideContext(complete(line), context)
  )
  let succeeded = true
  while (true) {
    const line = yield* lines.line(prompt, completer)
    const outcome = yield* line === undefined ? Effect.succeed<Outcome>("leave") : act(line, lines)
    if (outcome === "leave") break
    succeeded &&= outcome === "done"
    if (outcome === "no-session" && !interactive) break
  }
  return interactive || succeeded
}).pipe(Effect.scoped)

type Outcome = "done" | "failed" | "no-session" | "leave"

const act = (line: string, lines: Lines): Effect.Effect<Outcome, never, Services> => {
  const parsed = ShellLine.parse(line)
  switch (parsed._tag) {
    case "Empty":
      return Effect.succeed("done")
    case "Exit":
      return Effect.succeed("leave")
    case "Help":
      return Effect.as(help, "done")
    case "Run":
      return cancellable(Commands.run(parsed.command), lines)
    case "Passwd":
      return cancellable(changePassword(parsed), lines)
    case "Invalid":
      return Effect.as(invalid(parsed), "failed")
  }
}

/** Ctrl-C interrupts the command, which cleans up before the next line is asked for. */
const cancellable = Effect.fnUntraced(function* (work: Effect.Effect<boolean, NoSession, Services>, lines: Lines) {
  const reporter = yield* Reporter
  const done = work.pipe(
    Effect.map((succeeded): Outcome => (succeeded ? "done" : "failed")),
    Effect.catch((error) =>
      Effect.as(
        reporter.failed({ error }),
        error._tag === "ConnectionLost" ? ("failed" as const) : ("no-session" as const)
      )
    )
  )
  const outcome = yield* Effect.raceFirst(Effect.asSome(done), Effect.as(lines.interrupt, Option.none<Outcome>()))
  if (Option.isSome(outcome)) return outcome.value
  yield* reporter.note("cancelled", "bad")
  return "failed"
})

/** The present password is asked for: a shell may stand open where others can type. */
const changePassword = Effect.fnUntraced(function* ({ allowWeak, generate }: PasswordLine) {
  const own = yield* Effect.serviceOption(OwnPassword)
  if (Option.isSome(own)) return yield* own.value.change({ generate, allowWeak, confirm: true })
  yield* (yield* Reporter).failed({ error: new InvalidCommand({ reason: "no password can be changed from here" }) })
  return false
})

type PasswordLine = Extract<ShellLine.Line, { readonly _tag: "Passwd" }>

const formsWidth = Math.max(...ShellLine.patterns.map(({ form }) => form.length))

const patternLines = ShellLine.patterns.map(({ does, form }) => `  ${form.padEnd(formsWidth)}  ${does}`)

const help = Effect.flatMap(Screen, ({ out }) => out.write(`${[...patternLines, ...quoting].join("\n")}\n`))

const quoting = [
  "",
  'A name with spaces stands in quotes: upload "my file.txt". Tab completes commands and names.',
  "PATTERN takes *, ?, [a-z] and **; without a / it speaks of the last part of a name."
]

const invalid = Effect.fnUntraced(function* ({ reason, suggestion }: Extract<ShellLine.Line, { _tag: "Invalid" }>) {
  const reporter = yield* Reporter
  yield* reporter.failed({ error: new InvalidCommand({ reason: reason ?? "" }) })
  yield* reporter.note(patternLines.join("\n"))
  if (suggestion !== undefined) yield* reporter.note(`did you mean '${suggestion}'?`)
})
