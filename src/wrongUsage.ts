/**
 * What a person is told of wrong usage, in one line.
 */
import { Effect } from "effect"
import { type CliError, CliOutput, TerminalCapabilities } from "effect/cli"
import { oneLine } from "./domain/file/Printable.ts"

/**
 * Help as usual; wrong usage in one line, which `report` takes. A command that others are below is none by itself.
 *
 * @param words what is said of an error
 */
export const presenter = (
  program: string,
  words: (error: CliError.CliError | undefined) => string,
  report: (line: string) => ReturnType<CliOutput.Presenter["present"]>
): CliOutput.Presenter => ({
  present: (event) => {
    const text = event._tag === "InvalidInvocation" ? words(event.errors[0]) : undefined
    const said = event._tag === "Help" && event.reason === "Implicit" ? missingCommand(event) : text
    return said === undefined
      ? Effect.flatMap(TerminalCapabilities.TerminalCapabilities, ({ canColor }) =>
          Effect.provideService(CliOutput.defaultPresenter.present(event), CliOutput.Formatter, formatter(canColor))
        )
      : report(`${oneLine(said)} (${program} --help shows the usage)`)
  }
})

/** Effect's, whose table of commands runs into the examples. */
const formatter = (colors: boolean): CliOutput.Formatter => {
  const effects = CliOutput.defaultFormatter({ colors })
  return {
    ...effects,
    formatHelpDoc: (help) =>
      // oxlint-disable-next-line no-control-regex
      effects.formatHelpDoc(help).replace(/(?<!\n)\n(?=(?:\u001b\[1m)?EXAMPLES)/, "\n\n")
  }
}

/** What is said of wrong usage: its first error, for the others mostly follow from it. */
export const usageText = (error: CliError.CliError | undefined): string => {
  if (error?._tag === "UnknownSubcommand") return unknownCommand(error)
  if (error?._tag === "InvalidValue" && error.kind === "flag") return timesGiven(error) ?? error.message
  return error?._tag === "UnrecognizedOption" ? unknownFlag(error) : (error?.message ?? "wrong usage")
}

/** Of a flag that was given more than once: the parser puts how often in the place of the value. */
const timesGiven = ({ expected, option, value }: CliError.InvalidValue): string | undefined => {
  const [, times] = expected === "at most 1 value" ? (/^(\d+) occurrences$/.exec(value) ?? []) : []
  return times === undefined ? undefined : `'--${option}' was given ${times} times: give it once`
}

const unknownCommand = ({ parent = [], subcommand, suggestions }: CliError.UnknownSubcommand): string => {
  const of = parent.length > 1 ? ` of '${parent.slice(1).join(" ")}'` : ""
  return `'${subcommand}' is no command${of}${guess(suggestions)}`
}

const unknownFlag = ({ command = [], option, suggestions }: CliError.UnrecognizedOption): string => {
  const of = command.length > 1 ? ` of '${command.slice(1).join(" ")}'` : ""
  return `'${option}' is no flag${of}${guess(suggestions)}`
}

const guess = ([first]: ReadonlyArray<string>): string => (first === undefined ? "" : `: did you mean '${first}'?`)

/** What is said where a command stands alone that has others below it. */
const missingCommand = ({ commandPath, helpDoc }: CliOutput.Presenter.Help): string => {
  const below = (helpDoc.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
  return `say what to do: ${commandPath.slice(1).join(" ")} ${below.join(", ")}`
}

/**
 * What is said of `-dash`, which the parser takes letter by letter: an `h` or `v` in it would ask for help or for the
 * version, the command would not be run, and its code would be 0. Undefined where no argument is so.
 */
export const askedWithin = (args: ReadonlyArray<string>): string | undefined => {
  const end = args.indexOf("--")
  const found = args.slice(0, end < 0 ? args.length : end).find((arg) => /^-(?!-)[^=]*[hv]/.test(arg) && arg.length > 2)
  return found === undefined
    ? undefined
    : `'${oneLine(found)}' is no flag: a name that begins with '-' stands behind '--', or behind a flag and '='`
}
