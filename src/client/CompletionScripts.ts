/**
 * `--completions`: the scripts that complete this program's commands and flags in bash, zsh, fish and PowerShell.
 *
 * Effect writes them from the command tree, in which every path is plain text, because a path must reach the commands
 * as it was typed. What names a local file is marked here, so that shells offer files for it.
 */
import { Console, Effect, Option } from "effect"
import { Completions, GlobalFlag } from "effect/cli"

const localFile = { _tag: "Path", pathType: "either" } as const

/** Arguments and flags whose values are local paths. */
const isLocalArgument = (name: string): boolean => name === "FILE"
const isLocalFlag = (name: string): boolean => name === "to" || name.endsWith("-file")

/** The same commands, with local paths marked. */
export const withLocalFiles = (command: Completions.CommandDescriptor): Completions.CommandDescriptor => ({
  ...command,
  flags: command.flags.map((flag) => (isLocalFlag(flag.name) ? { ...flag, type: localFile } : flag)),
  arguments: command.arguments.map((one) => (isLocalArgument(one.name) ? { ...one, type: localFile } : one)),
  subcommands: command.subcommands.map(withLocalFiles)
})

/** The script for one shell. */
const scriptOf = (shell: Completions.Shell, command: Completions.CommandDescriptor): string => {
  const script = Completions.generate(command.name, shell, withLocalFiles(command))
  return shell === "fish" ? pastValues(command, script) : script
}

/** Fish takes the value of a flag for a command, as `home` of `--server home`, and would offer no command behind it. */
const pastValues = ({ flags, name }: Completions.CommandDescriptor, script: string): string => {
  const valued = flags.filter(({ optionalValue, type }) => type._tag !== "Boolean" && optionalValue !== true)
  const alone = `__${name.replaceAll("-", "_")}_needs_command`
  return `function ${alone}
  set -l value no
  for word in (commandline -poc)[2..-1]
    if test $value = yes
      set value no
    else if contains -- $word ${valued.map((flag) => `--${flag.name}`).join(" ")}
      set value yes
    else if not string match -q -- '-*' $word
      return 1
    end
  end
end

${script.replaceAll("__fish_use_subcommand", alone)}`
}

/** The flag. */
export const flag: GlobalFlag.Action<Option.Option<Completions.Shell>> = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      onSome: (shell) => Console.log(scriptOf(shell, Completions.fromCommand(command)))
    })
})
