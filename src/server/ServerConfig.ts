/**
 * What a person says on the command line of the server.
 */
import { Effect, Option, Schema } from "effect"
import { Argument, type CliOutput, Flag } from "effect/cli"
import type { Section } from "../manual.ts"
import * as wrongUsage from "../wrongUsage.ts"
import * as Configuration from "./Configuration.ts"
import { configVariable, type Sources } from "./Configuration.ts"
import { entries, variablePrefix } from "./Settings.ts"

export const program = "paradrop-server"

/** What the manual page says beyond the help. */
export const manualSections: ReadonlyArray<Section> = [
  {
    title: "Exit status",
    items: [
      ["0", "All was done; for a server: SIGTERM or SIGINT came, and transfers could end."],
      ["1", "Something was refused or failed, which was told in one line."],
      ["2", "The command line or the configuration is wrong."],
      ["130", "Ctrl-C came at a question."]
    ]
  },
  {
    title: "Environment",
    items: [
      [configVariable, "The configuration, when --config names none."],
      [
        `${variablePrefix}*`,
        `A setting: its key in capitals, _ for . and -, as ${variablePrefix}LISTEN_PORT; an empty one says nothing.`
      ],
      ["XDG_STATE_HOME", "Where the state folder is, when none is named: paradrop; else ~/.local/state."],
      ["NO_COLOR", "Not empty: no colours."],
      ["NODE_DISABLE_COMPILE_CACHE", "1: nothing compiled is kept, in XDG_CACHE_HOME or ~/.cache."]
    ]
  }
]

/** The command line is wrong: exit code 2. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Settings that have a flag of their own. Text as it was typed: `Configuration` knows what it may be. */
const own = Object.fromEntries(
  entries.flatMap(({ facts: { flag, text } }) =>
    flag === undefined
      ? []
      : [
          [
            flag,
            Flag.String(flag).pipe(Flag.withMetavar(flag.toUpperCase()), Flag.withDescription(text), Flag.optional)
          ]
        ]
  )
)

/** What only looks as if it asked for help is refused: it is some file's name. */
export const refuseClusters = (args: ReadonlyArray<string>): Effect.Effect<void, WrongUsage> => {
  const detail = wrongUsage.askedWithin(args)
  return detail === undefined ? Effect.void : Effect.fail(new WrongUsage({ detail }))
}

/** Not `Flag.KeyValuePair`, which takes no value that is empty: an empty list is one. */
const pair = (text: string): Option.Option<readonly [string, string]> => {
  const end = text.indexOf("=")
  return end > 0 ? Option.some([text.slice(0, end), text.slice(end + 1)]) : Option.none()
}

/** Said of every command. */
export const shared = {
  config: Flag.String("config").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(`the configuration, in TOML; else ${configVariable}, else the defaults`),
    Flag.optional
  ),
  set: Flag.String("set").pipe(
    Flag.withMetavar("KEY=VALUE"),
    Flag.withDescription(
      "any setting, as in limits.sessions=64; 'config default' shows all; of one given twice the last counts"
    ),
    Flag.filterMap(pair, () => "KEY=VALUE, as in limits.sessions=64"),
    Flag.atLeast(0),
    Flag.map((pairs): Said["set"] => Object.fromEntries(pairs))
  ),
  own
}

/** What was said on the command line. */
export interface Said {
  readonly config: Option.Option<string>
  readonly set: Readonly<Record<string, string>>
  readonly own: Readonly<Record<string, Option.Option<string>>>
}

/** The configuration by what was said, the variables and the file. */
export const load = (said: Said, environment: Sources["environment"]) =>
  Effect.suspend(() => {
    // An empty variable is none; an empty flag is a script's variable that was not set, and a file was meant.
    const path = Option.getOrElse(said.config, () => environment[configVariable] || undefined)
    const flags = Object.fromEntries(
      Object.entries(said.own).flatMap(([flag, value]) => (Option.isSome(value) ? [[flag, value.value]] : []))
    )
    return Configuration.load({ path, environment, flags, set: said.set })
  })

/** Whether a script reads the answer. */
export const json = Flag.Boolean("json").pipe(
  Flag.withoutNegation,
  Flag.withDescription("one line of JSON for a script"),
  Flag.withDefault(false)
)

/** Whose bans are meant. */
export const whose = {
  user: Flag.String("user").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("of this user, as 'bans list' shows it; without --address: from everywhere"),
    Flag.optional
  ),
  address: Flag.String("address").pipe(
    Flag.withMetavar("ADDRESS"),
    Flag.withDescription("of this address; without --user: whoever tries from it"),
    Flag.optional
  ),
  all: Flag.Boolean("all").pipe(Flag.withoutNegation, Flag.withDescription("every ban"), Flag.withDefault(false))
}

/** How clients stretch passwords, by the name that people say. */
export const stretching = Argument.Literals("STRETCHING", ["full", "small", "light"]).pipe(
  Argument.withDescription(
    "Argon2id with 64 MiB and 3 passes (full), 19 MiB and 2 (small), 8 KiB and 1 (light: for random passwords alone)"
  ),
  Argument.optional
)

/** Parsed later, so that the message can say what a name is made of. */
export const userName = Argument.String("NAME").pipe(Argument.withDescription("the name of the account"))

/** How wrong usage is told. */
export const presenter = (report: (line: string) => ReturnType<CliOutput.Presenter["present"]>): CliOutput.Presenter =>
  wrongUsage.presenter(program, wrongUsage.usageText, report)
