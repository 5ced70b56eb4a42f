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

/** The flag. */
export const flag: GlobalFlag.Action<Option.Option<Completions.Shell>> = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      onSome: (shell) =>
        Console.log(Completions.generate(command.name, shell, withLocalFiles(Completions.fromCommand(command))))
    })
})
