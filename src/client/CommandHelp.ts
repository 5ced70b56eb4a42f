/**
 * Port: the help of the commands, as `--help` has it; the shell shows it for `help COMMAND`.
 *
 * Contract: `of` gives the help of a command by its name, and undefined for what is none. It never fails.
 */
import { Context, Effect, Option } from "effect"
import type { HelpDoc } from "effect/cli"

/** Port: what `--help` knows of a command. Undefined for what is no command; never fails. */
export class CommandHelp extends Context.Service<
  CommandHelp,
  { readonly of: (command: string) => Effect.Effect<HelpDoc.HelpDoc | undefined> }
>()("paradrop/client/CommandHelp") {}

/** What the shell itself knows of a command. */
interface Known {
  readonly form: string
  readonly does: string
  /** the options that its lines take */
  readonly options: ReadonlyArray<string>
}

// What --help says of URLs: the shell is at one server, and takes names alone.
const ofUrls = /[,;] (?:or )?(?:a server's URL, with such a pattern behind it|its URL)/

/** How a command is used in the shell: its form, its options and examples that can be typed there. */
export const lines = Effect.fnUntraced(function* (
  name: string,
  { does, form, options }: Known
): Effect.fn.Return<ReadonlyArray<string>> {
  const help = Option.getOrUndefined(yield* Effect.serviceOption(CommandHelp))
  const doc = help === undefined ? undefined : yield* help.of(name)
  const described = (text: Option.Option<string>) => Option.getOrElse(text, () => "").replace(ofUrls, "")
  const items: ReadonlyArray<readonly [string, string]> = [
    ...(doc?.args ?? []).map((one) => [one.name, described(one.description)] as const),
    ...(doc?.flags ?? [])
      .filter((flag) => options.includes(`--${flag.name}`))
      .map(({ aliases, description, name, type }) => {
        const forms = [`--${name}`, ...aliases].join(", ")
        return [`${forms}${type === "boolean" ? "" : ` ${type}`}`, described(description)] as const
      })
  ]
  const examples = (doc?.examples ?? []).flatMap(({ command, description = "" }) => {
    // A URL names another server than the shell's, and what goes through a pipe is for other shells.
    const typed = /^paradrop (?!.*(?::\/\/| [<>|] ))(.+)$/.exec(command)?.[1]
    // Nor may it have an option that only a call of its own takes.
    const taken = new Set(["-r", ...options])
    const fits = typed?.split(" ").every((word) => !word.startsWith("-") || taken.has(word)) === true
    return fits ? [[typed, description] as const] : []
  })
  return [form, `  ${does}`, ...columns(items), ...(examples.length > 0 ? ["examples:"] : []), ...columns(examples)]
})

const columns = (items: ReadonlyArray<readonly [string, string]>): ReadonlyArray<string> => {
  const width = Math.max(0, ...items.map(([term]) => term.length))
  return items.map(([term, meaning]) => `  ${term.padEnd(width)}  ${meaning}`.trimEnd())
}
