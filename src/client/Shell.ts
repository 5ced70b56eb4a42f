/**
 * The interactive shell: lines in, commands run, until `exit` or the end of input.
 *
 * Ctrl-C cancels what runs, not the shell. A session that was lost is made again by the next command that needs it.
 */
import { Cause, Effect, Exit, Fiber, Option, Schema, type Scope, Stream } from "effect"
import type { Digest } from "../domain/file/Digest.ts"
import * as Figures from "../domain/file/Figures.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { completionMillisecondsMax } from "../domain/limits.ts"
import { LocalFileFailed } from "./ClientError.ts"
import * as CommandHelp from "./CommandHelp.ts"
import * as Commands from "./Commands.ts"
import { complete } from "./Completion.ts"
import * as Glob from "./Glob.ts"
import { History } from "./History.ts"
import { LineEditor, type Lines } from "./LineEditor.ts"
import type { LocalFiles } from "./LocalFiles.ts"
import { OwnPassword } from "./PasswordCommand.ts"
import { NoPassword } from "./PasswordSource.ts"
import * as Reconnect from "./Reconnect.ts"
import { Reporter } from "./Reporter.ts"
import { Screen } from "./Screen.ts"
import * as SessionWithin from "./SessionWithin.ts"
import { type NoSession, Sessions } from "./Sessions.ts"
import * as ShellLine from "./ShellLine.ts"
import * as ShellPlace from "./ShellPlace.ts"
import { WorkingFolder } from "./WorkingFolder.ts"

const prompt = (place: ShellPlace.Place): string => (place === "" ? "paradrop> " : `paradrop:${printable(place)}> `)

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

/** A file is no place to stand in. */
class NoFolder extends Schema.TaggedError<NoFolder>()("NoFolder", {
  /** printable */
  name: Schema.String
}) {
  override get message(): string {
    return `'${this.name}' is a file on the server: cd takes folders`
  }
}

type Services = Digest | History | LineEditor | LocalFiles | Reporter | Screen | Sessions | WorkingFolder

/** Where a person stands, and whether lines can still be kept. */
interface State {
  place: ShellPlace.Place
  keeping: boolean
}

/**
 * Logs in first, then takes lines. False when a line of a script failed; a person has seen it and decided.
 *
 * @param start the server's folder to begin in, as a person names it
 */
export const run = Effect.fnUntraced(function* (
  start: string
): Effect.fn.Return<boolean, NoSession, Scope.Scope | Services> {
  const { interactive, open } = yield* LineEditor
  const sessions = yield* Sessions
  yield* sessions.session
  if (interactive) yield* (yield* Reporter).note("help shows what you can type; Ctrl-C cancels, Ctrl-D leaves")
  const lines = yield* open
  const state: State = { place: "", keeping: interactive }
  let succeeded = start === "" || (yield* changePlace(state, start)) === "done"
  const completer = yield* Effect.map(
    Effect.context<LocalFiles | Sessions>(),
    (context) => (line: string) => Effect.provideContext(complete(line, state.place), context)
  )
  while (true) {
    const line = yield* lines.line(prompt(state.place), completer)
    const outcome = yield* line === undefined ? Effect.succeed<Outcome>("leave") : act(line, lines, state)
    if (outcome === "leave") break
    succeeded &&= outcome === "done"
    if (outcome === "no-session" && !interactive) break
  }
  return interactive || succeeded
}, Effect.scoped)

type Outcome = "done" | "failed" | "no-session" | "leave"

const act = Effect.fnUntraced(function* (
  line: string,
  lines: Lines,
  state: State
): Effect.fn.Return<Outcome, never, Services> {
  const parsed = ShellLine.parse(line)
  // What is no command may be a password in the wrong place: it is never kept.
  if (parsed._tag !== "Invalid" && parsed._tag !== "Empty") yield* keep(line, state)
  switch (parsed._tag) {
    case "Empty":
      return "done"
    case "Exit":
      return "leave"
    case "Help":
      return yield* help(parsed.command)
    case "Run":
      return yield* cancellable(placed(parsed.command, state.place), lines)
    case "Passwd":
      return yield* cancellable(changePassword(parsed), lines)
    case "Cd":
      return yield* cancelled(changePlace(state, parsed.to ?? "/"), lines)
    case "Pwd":
      return yield* say(`/${printable(state.place)}`)
    case "Lcd":
    case "Lpwd":
    case "Lls":
      return yield* local(parsed)
    case "Invalid":
      return yield* Effect.as(invalid(parsed, line), "failed" as const)
  }
})

const say = (text: string): Effect.Effect<Outcome, never, Screen> =>
  Effect.as(
    Effect.flatMap(Screen, ({ out }) => out.write(`${text}\n`)),
    "done"
  )

/** Said once when it cannot be done: the shell works without. */
const keep = Effect.fnUntraced(function* (line: string, state: State) {
  if (!state.keeping) return
  yield* Effect.catch((yield* History).keep(line), (error) => {
    state.keeping = false
    return Effect.flatMap(Reporter, ({ note }) => note(error.message))
  })
})

/** Ctrl-C interrupts the command, which cleans up before the next line is asked for. */
const cancellable = (work: Effect.Effect<boolean, NoSession, Services>, lines: Lines) =>
  cancelled(
    work.pipe(
      Effect.map((succeeded): Outcome => (succeeded ? "done" : "failed")),
      Effect.catch((error) =>
        Effect.flatMap(Reporter, (reporter) =>
          Effect.as(
            reporter.failed({ error }),
            error._tag === "ConnectionLost" ? ("failed" as const) : ("no-session" as const)
          )
        )
      )
    ),
    lines
  )

const cancelled = Effect.fnUntraced(function* (done: Effect.Effect<Outcome, never, Services>, lines: Lines) {
  const outcome = yield* Effect.raceFirst(Effect.asSome(done), Effect.as(lines.interrupt, Option.none<Outcome>()))
  if (Option.isSome(outcome)) return outcome.value
  yield* (yield* Reporter).note("cancelled", "bad")
  return "failed" as const
})

/** The present password is asked for: a shell may stand open where others can type. */
const changePassword = Effect.fnUntraced(function* ({ allowWeak, generate }: PasswordLine) {
  if (!(yield* LineEditor).interactive) {
    // One line that failed: those behind it are run, as behind every other.
    yield* (yield* Reporter).failed({ error: new NoPassword({ detail: scriptsOwn }), command: "passwd" })
    return false
  }
  const own = yield* Effect.serviceOption(OwnPassword)
  if (Option.isSome(own)) {
    // Who leaves a question with Ctrl-C leaves the command, and not the shell.
    const asking = yield* Effect.forkChild(own.value.change({ generate, allowWeak, confirm: true }))
    const exit = yield* Fiber.await(asking)
    if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) return yield* exit
    yield* (yield* Reporter).note("cancelled", "bad")
    return false
  }
  yield* (yield* Reporter).failed({ error: new InvalidCommand({ reason: "no password can be changed from here" }) })
  return false
})

const scriptsOwn =
  "the shell changes a password on a terminal alone, nothing was changed: " +
  "a script runs 'paradrop passwd' with --generate or --new-password-file"

type PasswordLine = Extract<ShellLine.Line, { readonly _tag: "Passwd" }>

// -----------------------------------------------------------------------------
// Places
// -----------------------------------------------------------------------------

/** Runs a command from where the person stands. */
const placed = (typed: Commands.Command, from: ShellPlace.Place) =>
  Effect.flatMap(Effect.flatMap(Sessions, Reconnect.ofOneCommand), (sessions) => {
    const { command, place } = ShellPlace.placed(from, typed)
    const run = Commands.run(command)
    // A listing is asked for again as a whole; of what is about files, each file is gone on with.
    return (command._tag === "Fetch" ? Reconnect.persistently(() => run) : run).pipe(
      Effect.provideService(Reconnect.Persistence, true),
      Effect.provideService(Sessions, SessionWithin.sessions(sessions, place))
    )
  })

/** A folder need not exist: the first file that is sent there makes it. That none is there yet is worth a word. */
const changePlace = Effect.fnUntraced(function* (
  state: State,
  to: string
): Effect.fn.Return<Outcome, never, Reporter | Sessions> {
  const reporter = yield* Reporter
  const place = ShellPlace.resolve(state.place, to)
  const rule = ShellPlace.refused(place)
  if (rule !== undefined) {
    yield* reporter.failed({ error: new FileName.NameRefused({ name: printable(place), rule }) })
    return "failed"
  }
  const found = place === "" ? "unknown" : yield* whatIs(place)
  if (found === "file") {
    yield* reporter.failed({ error: new NoFolder({ name: printable(place) }) })
    return "failed"
  }
  state.place = place
  if (found === "none") {
    yield* reporter.note(`the server has no file below '${printable(place)}' yet: the first upload makes the folder`)
  }
  return "done"
})

/** What a place is at the server, as far as a short look can tell. */
const whatIs = (place: ShellPlace.Place): Effect.Effect<"file" | "none" | "some" | "unknown", never, Sessions> =>
  Effect.gen(function* () {
    const session = yield* (yield* Sessions).standing
    // Of what is in a folder of that name no listing says whether there is anything.
    if (session === undefined || !FileName.isName(place)) return "unknown"
    let lacks = place.split("/").includes("lost+found")
    const onUnlisted = SessionWithin.unlistedWithin(place, () => Effect.sync(() => void (lacks = true)))
    const all = Stream.map(session.fetchWith({ alike: [place], onUnlisted }), ({ name }) =>
      SessionWithin.standsAt(place, name)
    )
    const found = yield* Stream.runHead(Stream.filter(all, (what) => what !== undefined))
    return Option.getOrElse(found, () => (lacks ? "unknown" : "none"))
  }).pipe(
    Effect.timeout(completionMillisecondsMax),
    Effect.orElseSucceed(() => "unknown" as const)
  )

type LocalLine = Extract<ShellLine.Line, { readonly _tag: "Lcd" | "Lls" | "Lpwd" }>

const local = (line: LocalLine): Effect.Effect<Outcome, never, Reporter | Screen | WorkingFolder> =>
  Effect.gen(function* () {
    const folder = yield* WorkingFolder
    switch (line._tag) {
      case "Lcd":
        return yield* Effect.as(folder.enter(line.path ?? (yield* folder.home)), "done" as const)
      case "Lpwd":
        return yield* say(printable(yield* folder.path))
      case "Lls":
        return yield* list(line.path ?? ".")
    }
  }).pipe(
    Effect.catch((error) =>
      Effect.flatMap(Reporter, (reporter) => Effect.as(reporter.failed({ error }), "failed" as const))
    )
  )

/** Hidden names are shown only when the pattern speaks of them. */
const list = Effect.fnUntraced(function* (path: string) {
  const folder = yield* WorkingFolder
  const cut = path.lastIndexOf("/") + 1
  const [above, last] = [path.slice(0, cut), path.slice(cut)]
  const found = Glob.isPattern(last)
    ? (yield* folder.list(above === "" ? "." : above)).filter(({ name }) => Glob.matchesPath(last, name))
    : (yield* folder.list(path)).filter(({ name }) => name === path || !name.startsWith("."))
  if (found.length === 0 && Glob.isPattern(last)) {
    return yield* new LocalFileFailed({ path: printable(path), operation: "read", code: "ENOENT" })
  }
  const rows = found.map(({ kind, modified, name, size }) => {
    const [shown, end] = kind === "folder" ? ["-", "/"] : [Figures.size(size), ""]
    return `${shown.padStart(10)}  ${Figures.minute(modified)}  ${printable(name)}${end}\n`
  })
  yield* (yield* Screen).out.write(rows.join(""))
  return "done" as const
})

// -----------------------------------------------------------------------------
// Help
// -----------------------------------------------------------------------------

const formsWidth = Math.max(...ShellLine.patterns.map(({ form }) => form.length))

const patternLines = ShellLine.patterns.map(({ does, form }) => `  ${form.padEnd(formsWidth)}  ${does}`)

const help = Effect.fnUntraced(function* (name: string | undefined): Effect.fn.Return<Outcome, never, Services> {
  if (name === undefined) return yield* say([...patternLines, ...quoting].join("\n"))
  const known = ShellLine.patterns.find((pattern) => pattern.name === name)
  if (known !== undefined) {
    return yield* say(
      (yield* CommandHelp.lines(name, { ...known, options: ShellLine.optionsOf[name] ?? [] })).join("\n")
    )
  }
  const reason = `there is no command '${printable(name)}'`
  yield* invalid({ _tag: "Invalid", reason, suggestion: ShellLine.suggest(name) })
  return "failed"
})

const quoting = [
  "",
  'A name with spaces stands in quotes: upload "my file.txt". Tab completes commands and names.',
  "PATTERN takes *, ?, [a-z] and **; without a / it speaks of the last part of a name.",
  "A name of the server begins at cd's folder, or with a / at the top; .. is one folder up."
]

/** Of a command that is known only its own form is shown: the others would bury it. */
const invalid = Effect.fnUntraced(function* (
  { reason, suggestion }: Extract<ShellLine.Line, { _tag: "Invalid" }>,
  line: string = ""
) {
  const reporter = yield* Reporter
  const typed = ShellLine.scan(line).words[0]?.text
  const known = ShellLine.patterns.find(({ name }) => name === typed)
  yield* reporter.failed({ error: new InvalidCommand({ reason: reason ?? "" }) })
  yield* reporter.note(
    known === undefined ? patternLines.join("\n") : `  ${known.form}  (help ${known.name} shows more)`
  )
  if (suggestion !== undefined) yield* reporter.note(`did you mean '${suggestion}'?`)
})
