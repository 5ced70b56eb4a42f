/**
 * The manual page of a program, from the same command tree that `--help` and the completions come from.
 *
 * `--man` prints it as roff for man(1). There is no second text to keep: what is in the page is in the help.
 */
import { Console, Effect, Option } from "effect"
import { CliOutput, Flag, GlobalFlag } from "effect/cli"
import type { HelpDoc } from "effect/cli"

/** The help of a command and of the commands below it. */
export interface Manual {
  readonly help: HelpDoc.HelpDoc
  readonly below: ReadonlyArray<Manual>
}

/** What a page says that no help does: a heading, and terms with their meaning. */
export interface Section {
  readonly title: string
  readonly items: ReadonlyArray<readonly [term: string, meaning: string]>
}

/** The help of the command at a path; undefined when the program says none. */
export const help = (
  context: GlobalFlag.HandlerContext,
  commandPath: ReadonlyArray<string>
): Effect.Effect<HelpDoc.HelpDoc | undefined> =>
  Effect.suspend(() => {
    let found: HelpDoc.HelpDoc | undefined
    const presenter: CliOutput.Presenter = {
      present: (event) => Effect.sync(() => void (found = event._tag === "Help" ? event.helpDoc : found))
    }
    return GlobalFlag.Help.run(true, { ...context, commandPath }).pipe(
      Effect.provideService(CliOutput.Presenter, presenter),
      Effect.map(() => found)
    )
  })

/** The help of a command and of all below it. */
export const read = Effect.fnUntraced(function* (
  context: GlobalFlag.HandlerContext,
  commandPath: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Manual>> {
  const own = yield* help(context, commandPath)
  if (own === undefined) return []
  const names = (own.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
  const below = yield* Effect.forEach(names, (name) => read(context, [...commandPath, name]))
  return [{ help: own, below: below.flat() }]
})

/** A command, as far as its name and those below it. */
interface Named {
  readonly name: string
  readonly subcommands: ReadonlyArray<{ readonly commands: ReadonlyArray<Named> }>
}

/** `help COMMAND` means `COMMAND --help`, as people try it; of what is no command it is said that it is none. */
export const helpAsFlag = (command: Named, args: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (args[0] !== "help") return args
  const asked = args.filter((arg) => arg !== "help")
  let below: ReadonlyArray<Named> = [command]
  // What stands behind a flag may be its value, and what has one might run.
  const words = asked.some((arg) => arg.startsWith("-")) ? [] : asked
  for (const word of [command.name, ...words]) {
    const found = below.find(({ name }) => name === word)
    // With the flag nothing but help would be said: this way the word is refused.
    if (found === undefined) return below.length === 0 ? [...asked, "--help"] : asked
    below = found.subcommands.flatMap(({ commands }) => commands)
  }
  return [...asked, "--help"]
}

/** The arguments as they are meant: `help` may stand behind flags of the program, and those behind a value. */
export const meant = Effect.fnUntraced(function* (
  context: Omit<GlobalFlag.HandlerContext, "commandPath">,
  args: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<string>> {
  const { command } = context
  if (args[0]?.startsWith("-") !== true || !args.includes("help")) return helpAsFlag(command, args)
  const doc = yield* help({ ...context, commandPath: [] }, [command.name])
  const all = [...(doc?.flags ?? []), ...(doc?.globalFlags ?? [])].filter(({ type }) => type !== "boolean")
  const valued = new Set(all.flatMap(({ aliases, name }) => aliases.concat(`--${name}`)))
  const isFlag = (arg = "--") => arg.startsWith("-") && arg !== "--"
  let at = 0
  while (isFlag(args[at])) at += valued.has(args[at] ?? "") ? 2 : 1
  return [...args.slice(0, at), ...helpAsFlag(command, args.slice(at))]
})

/** `--man`: prints the manual page of the whole program. */
export const flag = (sections: ReadonlyArray<Section>): GlobalFlag.Action<boolean> =>
  GlobalFlag.Action({
    flag: Flag.Boolean("man").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Print the manual page (roff), as in: --man | man -l -"),
      Flag.withDefault(false)
    ),
    run: Effect.fnUntraced(function* (_, context) {
      const { name } = context.command
      const manuals = yield* read(context, [name])
      for (const manual of manuals) yield* Console.log(page({ name, version: context.version, manual, sections }))
    })
  })

/** The page as roff, for any man(1). */
export const page = (of: {
  readonly name: string
  readonly version: string
  readonly manual: Manual
  readonly sections: ReadonlyArray<Section>
}): string => {
  const { help } = of.manual
  return [
    `.TH "${escaped(of.name.toUpperCase())}" 1 "" "${escaped(`${of.name} ${of.version}`)}" "Paradrop"`,
    ".SH NAME",
    `${escaped(of.name)} \\- ${escaped(help.description.replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    `.B ${text(help.usage)}`,
    ...titled(".SH OPTIONS", flags([...help.flags, ...(help.globalFlags ?? [])])),
    ...titled(".SH COMMANDS", of.manual.below.flatMap(command)),
    ...titled(".SH EXAMPLES", examples(help)),
    ...of.sections.flatMap(({ items, title }) =>
      titled(
        `.SH ${text(title.toUpperCase())}`,
        items.flatMap(([term, meaning]) => item(term, meaning))
      )
    )
  ].join("\n")
}

/** A command that only leads to others is in their usage already. */
const command = ({ below, help }: Manual): ReadonlyArray<string> =>
  below.length > 0
    ? below.flatMap(command)
    : [
        `.SS "${escaped((help.commandPath ?? []).slice(1).join(" "))}"`,
        `.B ${text(help.usage)}`,
        ".PP",
        text(sentence(help.description)),
        ...(help.args ?? []).flatMap(({ description, name, variadic }) =>
          item(
            `${name}${variadic ? "..." : ""}`,
            Option.getOrElse(description, () => "")
          )
        ),
        ...flags(help.flags),
        ...titled(".PP", examples(help))
      ]

const flags = (all: ReadonlyArray<HelpDoc.FlagDoc>): ReadonlyArray<string> =>
  all.flatMap(({ aliases, description, name, type }) =>
    item(
      `${[`--${name}`, ...aliases].join(", ")}${type === "boolean" ? "" : ` ${type}`}`,
      Option.getOrElse(description, () => "")
    )
  )

const examples = ({ examples = [] }: HelpDoc.HelpDoc): ReadonlyArray<string> =>
  examples.flatMap(({ command, description = "" }, index) => [
    ...(index === 0 ? [] : [".PP"]),
    ...(description === "" ? [] : [text(`${sentence(description).replace(/(?<!\.)\.$/, "")}:`)]),
    ".PP",
    ".RS 4",
    ".nf",
    text(command),
    ".fi",
    ".RE"
  ])

const item = (term: string, meaning: string): ReadonlyArray<string> => [".TP", `.B ${text(term)}`, text(meaning)]

const titled = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length === 0 ? [] : [title, ...lines]

const sentence = (phrase: string): string =>
  `${phrase.slice(0, 1).toUpperCase()}${phrase.slice(1)}${/[.!?]$/.test(phrase) ? "" : "."}`

/** One line of text: a dot or an apostrophe at its beginning would be a request to roff. */
const text = (line: string): string => escaped(line.replace(/\s*\n\s*/g, " ")).replace(/^(?=[.'])/, "\\&")

// A bare `-` would become a hyphen, which nobody can paste.
const escaped = (line: string): string =>
  line.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replaceAll('"', "\\(dq")
