/**
 * `--completions`: the scripts that complete an executable's commands and flags in bash, zsh, fish and PowerShell.
 *
 * Effect writes them from the command tree, in which every path is plain text, because a path must reach the commands
 * as it was typed. What names a local file is marked here, so that shells offer files for it, and what Effect's scripts
 * get wrong at a keyboard is mended.
 */
import { Console, Effect, Option } from "effect"
import { Completions, GlobalFlag } from "effect/cli"

const localFile = { _tag: "Path", pathType: "either" } as const

/** Arguments and flags whose values are local paths. */
const isLocalArgument = (name: string): boolean => name === "FILE"
const isLocalFlag = (name: string): boolean => /^(?:to|config|root|state)$/.test(name) || name.endsWith("-file")

/** Flags that may be given again; the command tree does not say it of them. */
const repeated = "include|exclude|set"

/** Flags that take one of a few words. The command tree has plain text of some, for words of their own on others. */
const choices: Readonly<Record<string, ReadonlyArray<string>>> = {
  durability: ["full", "os"],
  "log-level": ["debug", "info", "warn", "error"]
}

const marked = (flag: Completions.FlagDescriptor): Completions.FlagDescriptor => {
  const values = choices[flag.name]
  if (values !== undefined) return { ...flag, type: { _tag: "Choice", values } }
  return isLocalFlag(flag.name) ? { ...flag, type: localFile } : flag
}

/** The same commands, with local paths and choices marked. */
export const withLocalFiles = (command: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...command,
  flags: command.flags.map(marked),
  arguments: command.arguments.map((one) => (isLocalArgument(one.name) ? { ...one, type: localFile } : one)),
  subcommands: command.subcommands.map(withLocalFiles)
})

const switchOf = (name: string, description: string): Completions.FlagDescriptor => ({
  name,
  aliases: [],
  description,
  type: { _tag: "Boolean" },
  negation: false
})

/** The same commands with what every one answers, which the command tree does not have. */
const withHelp = (command: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...command,
  flags: [...command.flags, switchOf("help", "Show help information")],
  subcommands: command.subcommands.map(withHelp)
})

/** What only the program itself answers. */
const ofProgram: ReadonlyArray<Completions.FlagDescriptor> = [
  switchOf("version", "Show version information"),
  switchOf("man", "Print the manual page"),
  {
    name: "completions",
    aliases: [],
    description: "Print shell completion script",
    type: { _tag: "Choice", values: ["bash", "zsh", "fish", "powershell"] }
  }
]

/** The script for one shell. */
const scriptOf = (shell: Completions.Shell, command: Completions.CommandDescriptor): string => {
  const all = withHelp(withLocalFiles(command))
  const marked = { ...all, flags: [...all.flags, ...ofProgram] }
  const script = Completions.generate(command.name, shell, marked)
  const valued = [...new Set(valuedFlags(marked))]
  switch (shell) {
    case "bash":
      return inBash(script, valued)
    case "zsh":
      return inZsh(script, valued)
    case "fish":
      return inFish(script, valued, `__${command.name.replaceAll("-", "_")}_command`)
    case "powershell":
      return script
  }
}

/** The flags that take a value, of this command and of those below it. */
const valuedFlags = ({ flags, subcommands }: Completions.CommandDescriptor): ReadonlyArray<string> => [
  ...flags
    .filter(({ optionalValue, type }) => type._tag !== "Boolean" && optionalValue !== true)
    .map(({ name }) => name),
  ...subcommands.flatMap(valuedFlags)
]

/** A value is completed behind `=` too, no command stands in its place, and a folder is gone on with. */
const inBash = (script: string, valued: ReadonlyArray<string>): string =>
  script
    .replaceAll(/^ {2}case "\$prev" in$/gm, `  [[ "$cur" == --*=* ]] && prev="\${cur%%=*}" cur="\${cur#*=}"\n$&`)
    .replaceAll(
      /^ {2}local _used_0=/gm,
      `  case "$prev" in ${valued.map((name) => `--${name}`).join("|")}) return ;; esac\n$&`
    )
    .replace(`while IFS= read -r _path; do\n`, `$&    [[ -d "\${_path/#\\~\\//$HOME/}" ]] && _path+=/\n`)
    .replace(
      `COMPREPLY[_i]="$_typed\${COMPREPLY[_i]}"\n  done\n`,
      `$&  if [[ \${#COMPREPLY[@]} == 1 && "$COMPREPLY" == */ ]]; then compopt -o nospace 2>/dev/null; fi\n`
    )
    .replaceAll(new RegExp(`^ *--(?:${repeated})\\) _used_\\d+=1 ;;\\n`, "gm"), "")

/** A value may stand behind `=`, and flags behind a command are its own: taken here, they would end what it offers. */
const inZsh = (script: string, valued: ReadonlyArray<string>): string =>
  script
    .replaceAll(new RegExp(`^( *'\\([^)]*\\)--(?:${valued.join("|")}))\\[`, "gm"), "$1=[")
    .replaceAll("_arguments -C ", "_arguments -C -A '-*' ")
    .replaceAll(new RegExp(`^( *')\\([^)]*\\)(?=--(?:${repeated})=)`, "gm"), "$1*")

/**
 * Fish asks whether a command is among the words, wherever: `home` of `--server home` would be none that it knows, and
 * of `profile remove` and `upload fetch` both would be.
 */
const inFish = (script: string, valued: ReadonlyArray<string>, command: string): string =>
  `function ${command}
  set -l place 0
  set -l value no
  for word in (commandline -poc)[2..-1]
    if test $value = yes
      set value no
    else if contains -- $word ${valued.map((name) => `--${name}`).join(" ")}
      set value yes
    else if not string match -q -- '-*' $word
      set place (math $place + 1)
      test $place = $argv[1]; or continue
      test (count $argv) = 1; or contains -- $word $argv[2..-1]
      return
    end
  end
  return 1
end

` +
  script
    .replaceAll("__fish_use_subcommand", `not ${command} 1`)
    .replaceAll(/(?<=-n ')__fish_seen_subcommand_from/g, `${command} 1`)
    .replaceAll("__fish_seen_subcommand_from", `${command} 2`)
    .replaceAll(new RegExp(`; and not __fish_contains_opt (?:${repeated})(?=[;'])`, "g"), "")
    .replaceAll(
      new RegExp(`; and begin; not __fish_contains_opt (?:${repeated}); or contains -- .*? --\\w+; end`, "g"),
      ""
    )

/** The flag. */
export const flag: GlobalFlag.Action<Option.Option<Completions.Shell>> = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      onSome: (shell) => Console.log(scriptOf(shell, Completions.fromCommand(command)))
    })
})
