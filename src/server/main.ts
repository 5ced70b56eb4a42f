/**
 * The executable `paradrop-server`: its command line, and the process that it runs in.
 */
import { createRequire } from "node:module"
import process from "node:process"
// One by one: the package as a whole would load HTTP, workers and more, for 35 MB and a third of a second.
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Layer, Option, Schema, Stdio } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import * as completions from "../completions.ts"
import * as CipherNode from "../domain/channel/CipherNode.ts"
import * as KemNode from "../domain/channel/KemNode.ts"
import * as OpaqueNode from "../domain/channel/OpaqueNode.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"
import * as DigestNode from "../domain/file/DigestNode.ts"
import { oneLine } from "../domain/file/Printable.ts"
import * as AccountsFile from "../domain/session/AccountsFile.ts"
import * as StateLockNode from "../domain/session/StateLockNode.ts"
import * as StateOwnerNode from "../domain/session/StateOwnerNode.ts"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { endBy, OutputEnded, type Signal, teardown } from "../exitCode.ts"
import * as manual from "../manual.ts"
import { passwordFlags } from "../passwordFlags.ts"
import { serverRuns } from "./CannotStart.ts"
import * as ConfigCommands from "./ConfigCommands.ts"
import * as Configuration from "./Configuration.ts"
import type { Control } from "./Control.ts"
import * as ControlCommands from "./ControlCommands.ts"
import * as ControlNode from "./ControlNode.ts"
import * as GrantOptions from "./GrantOptions.ts"
import * as Logging from "./Logging.ts"
import * as LogStreamNode from "./LogStreamNode.ts"
import * as ServeNode from "./ServeNode.ts"
import * as ServerConfig from "./ServerConfig.ts"
import * as StateFolder from "./StateFolder.ts"
import * as UserCommands from "./UserCommands.ts"

// -----------------------------------------------------------------------------
// The command line
// -----------------------------------------------------------------------------

const server = Command.make(ServerConfig.program).pipe(
  Command.withSharedFlags(ServerConfig.shared),
  Command.withDescription("Serves one folder over an encrypted channel to those who know a password."),
  Command.withExamples([
    {
      command: "paradrop-server --root files",
      description: "on this machine alone, with the public account while there is no other"
    },
    { command: "paradrop-server --root files --host 0.0.0.0", description: "to everybody who has an account" },
    { command: "paradrop-server --config server.toml", description: "as the file says" }
  ])
)

/** Where the configuration puts the state. */
const whereState = Effect.gen(function* () {
  const { settings } = yield* ServerConfig.load(yield* server, process.env)
  return { ...settings.store, platform: process.platform }
})

/** Runs a command on the accounts of the state folder: those that there are, or also the first. */
const onAccounts = <A, E, R>(run: Effect.Effect<A, E, R>, accounts = AccountsFile.layerThere) =>
  whereState.pipe(
    Effect.flatMap(StateFolder.ofAccounts),
    Effect.flatMap((folder) => Effect.provide(run, accounts(folder)))
  )

const named = <E, R>(
  name: string,
  run: (user: Effect.Success<ReturnType<typeof UserCommands.parseName>>) => Effect.Effect<void, E, R>,
  accounts = AccountsFile.layerThere
) => Effect.flatMap(UserCommands.parseName(name), (user) => onAccounts(run(user), accounts))

const { userName } = ServerConfig

/** Fails where it is not written, a reader that has gone included. */
const written = (text: string): Effect.Effect<void, OutputEnded> =>
  Effect.callback((resume) => {
    process.stdout.write(text, (error) =>
      resume(error ? Effect.fail(new OutputEnded({ code: systemCodeOf(error) })) : Effect.void)
    )
  })

const add = Command.make(
  "add",
  { user: userName, ...passwordFlags, ...GrantOptions.flags },
  ({ allowWeak, generate, user, ...granted }) =>
    named(user, (name) => UserCommands.add(name, { allowWeak, generate, show: written }, granted), AccountsFile.layer)
).pipe(
  Command.withDescription("Add an account; the password comes from a prompt or from standard input"),
  Command.withExamples([
    { command: "paradrop-server user add ada", description: "asks for the password" },
    {
      command: "paradrop-server user add ada --generate --folder ada --rights list,read",
      description: "with a strong one that is printed once, for a folder of her own"
    }
  ])
)

const passwd = Command.make("passwd", { user: userName, ...passwordFlags }, ({ user, ...options }) =>
  named(user, (name) => UserCommands.passwd(name, { ...options, show: written }))
).pipe(
  Command.withDescription("Change the password of an account"),
  Command.withExamples([
    { command: "paradrop-server user passwd ada", description: "asks for the new one" },
    { command: "paradrop-server user passwd ada --generate", description: "makes one and prints it once" }
  ])
)

const remove = Command.make("remove", { user: userName }, ({ user }) => named(user, UserCommands.remove)).pipe(
  Command.withDescription("Remove an account"),
  Command.withExamples([
    { command: "paradrop-server user remove ada", description: "her sessions end; her files stay" }
  ])
)

const change = Command.make("change", { user: userName, ...GrantOptions.flags }, ({ user, ...options }) =>
  named(user, (name) => UserCommands.change(name, options))
).pipe(
  Command.withDescription("Change what an account may do: its folder, rights, quota and rates"),
  Command.withExamples([
    {
      command: "paradrop-server user change ada --quota-bytes 10G --up-rate 5M",
      description: "within a second, without a restart"
    }
  ])
)

const disable = Command.make("disable", { user: userName }, ({ user }) =>
  named(user, (name) => UserCommands.setDisabled(name, true))
).pipe(
  Command.withDescription("Keep an account and let nobody in with it; its sessions end"),
  Command.withExamples([{ command: "paradrop-server user disable ada", description: "until it is enabled again" }])
)

const enable = Command.make("enable", { user: userName }, ({ user }) =>
  named(user, (name) => UserCommands.setDisabled(name, false))
).pipe(
  Command.withDescription("Let a disabled account in again"),
  Command.withExamples([{ command: "paradrop-server user enable ada", description: "with the password that it had" }])
)

const list = Command.make("list", {}, () => onAccounts(UserCommands.list)).pipe(
  Command.withDescription("List the accounts: the day each was made, whether it is enabled, and what it may do"),
  Command.withExamples([
    {
      command: "paradrop-server user list --root files",
      description: "those who may log in to what is served from there"
    }
  ])
)

/** A server that runs has told its clients what it has found at its start. */
const stretching = Command.make("stretching", { wanted: ServerConfig.stretching }, ({ wanted }) =>
  Effect.gen(function* () {
    const folder = yield* StateFolder.ofAccounts(yield* whereState)
    const alone = Effect.mapError(ServeNode.lockState(folder), serverRuns)
    yield* Effect.provide(
      Effect.andThen(
        Option.isSome(wanted) ? alone : Effect.void,
        UserCommands.stretching(Option.getOrUndefined(wanted))
      ),
      // Choosing makes the folder, where this is the first that is done.
      Option.isSome(wanted) ? AccountsFile.layer(folder) : AccountsFile.layerThere(folder)
    )
  }).pipe(Effect.scoped)
).pipe(
  Command.withDescription("Say how clients stretch passwords, or choose it before there is an account"),
  Command.withExamples([{ command: "paradrop-server user stretching", description: "what holds for all accounts" }])
)

const user = Command.make("user").pipe(
  Command.withDescription("Accounts: who may log in"),
  Command.withSubcommands([add, change, disable, enable, list, passwd, remove, stretching])
)

const check = Command.make("check", {}, () =>
  Effect.flatMap(server, (said) => ServerConfig.load(said, process.env)).pipe(
    Effect.andThen(say("the configuration is good")),
    // All that is wrong, where a server that starts says the first.
    Effect.catchTag("BadConfiguration", ({ problems }) =>
      Effect.andThen(
        Effect.forEach(problems.slice(0, -1), say, { discard: true }),
        new Configuration.BadConfiguration({ problems: problems.slice(-1) })
      )
    )
  )
).pipe(
  Command.withDescription("Say whether the configuration is good, and else all that is wrong with it"),
  Command.withExamples([
    { command: "paradrop-server config check --config server.toml", description: "code 2 when something is wrong" }
  ])
)

const show = Command.make("show", {}, () =>
  Effect.flatMap(server, (said) => ServerConfig.load(said, process.env)).pipe(
    Effect.flatMap((configuration) => Console.log(ConfigCommands.showText(configuration)))
  )
).pipe(
  Command.withDescription("Print every setting as it is, and where its value comes from"),
  Command.withExamples([
    {
      command: "paradrop-server config show --config server.toml",
      description: "with what variables and flags say as well"
    }
  ])
)

const defaults = Command.make("default", {}, () => Console.log(ConfigCommands.defaultText())).pipe(
  Command.withDescription("Print every setting with its meaning and default: a file to begin with"),
  Command.withExamples([
    { command: "paradrop-server config default > server.toml", description: "every setting, commented out" }
  ])
)

const config = Command.make("config").pipe(
  Command.withDescription("The configuration: flags before variables before the file before the defaults"),
  Command.withSubcommands([check, show, defaults])
)

/** Asks the server that runs on the state folder. */
const asked = <A, E>(run: Effect.Effect<A, E, Control>) =>
  whereState.pipe(
    Effect.flatMap(StateFolder.ofServer),
    Effect.flatMap((folder) => Effect.provide(run, ControlNode.layer(folder)))
  )

const { json, whose } = ServerConfig

const status = Command.make("status", { json }, ({ json }) => asked(ControlCommands.status(json))).pipe(
  Command.withDescription("Say what the running server does: sessions, transfers, rates, and who is banned"),
  Command.withExamples([
    { command: "paradrop-server status --root files", description: "of the server that serves this folder" },
    { command: "paradrop-server status --json", description: "for a program" }
  ])
)

const bansList = Command.make("list", { json }, ({ json }) => asked(ControlCommands.bansList(json))).pipe(
  Command.withDescription("List who may not try to log in now, and for how long"),
  Command.withExamples([
    { command: "paradrop-server bans list", description: "users, addresses, and users at addresses" }
  ])
)

const bansLift = Command.make("lift", whose, ({ address, all, user }) =>
  asked(
    ControlCommands.bansLift({
      all,
      ...(Option.isSome(user) && { user: user.value }),
      ...(Option.isSome(address) && { address: address.value })
    })
  )
).pipe(
  Command.withDescription("Let somebody try again at once"),
  Command.withExamples([
    { command: "paradrop-server bans lift --user ada", description: "from everywhere" },
    { command: "paradrop-server bans lift --all", description: "everybody" }
  ])
)

const bans = Command.make("bans").pipe(
  Command.withDescription("Who is kept from logging in for a while, after too many attempts"),
  Command.withSubcommands([bansList, bansLift])
)

const command = server.pipe(
  Command.withHandler((said) => ServeNode.serve(said, stopOnSignals)),
  Command.withSubcommands([bans, config, status, user])
)

// -----------------------------------------------------------------------------
// The process
// -----------------------------------------------------------------------------

// Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

/** Interrupted at a prompt. */
const declinedCode = 130

let interruptedBy: Signal | undefined = "SIGINT"

const stopSignals = ["SIGINT", "SIGTERM"] as const

const stopOnSignals = Effect.sync(() => {
  // A server that is told to stop has done its work; the runtime interrupts it at the first signal.
  interruptedBy = undefined
  let signals = 0
  for (const signal of stopSignals) {
    process.on(signal, () => {
      signals += 1
      if (signals > 1) endBy(signal)
    })
  }
})

const say = (line: string): Effect.Effect<void> => Console.error(`${ServerConfig.program}: ${line}`)

const codeFor = (error: { readonly _tag: string; readonly message: string }): Effect.Effect<number> => {
  // The presenter has said it already.
  if (CliError.isCliError(error)) return Effect.succeed(2)
  // Ctrl-C leaves the cursor behind the question.
  if (error instanceof UserCommands.Declined) {
    return Effect.as(Effect.andThen(Console.error(""), say(error.message)), declinedCode)
  }
  return Effect.as(say(oneLine(error.message)), ["WrongUsage", "BadConfiguration"].includes(error._tag) ? 2 : 1)
}

const { version } = Schema.decodeUnknownSync(Schema.Struct({ version: Schema.String }))(
  createRequire(import.meta.url)("../../package.json")
)

// Whatever the command is: what it says of itself goes there too.
const writeLog = LogStreamNode.make(process.stderr)

// The least that is logged is a setting of ours, which a reload may change.
const builtIns = [GlobalFlag.Help, GlobalFlag.Version, completions.flag, manual.flag(ServerConfig.manualSections)]

const colours = process.stderr.isTTY && process.stderr.hasColors()
const platform = Layer.mergeAll(
  CipherNode.layer,
  SocketNode.owned,
  DigestNode.layer,
  KemNode.layer,
  NodeCrypto.layerSecureRandom,
  NodeServices.layer,
  OpaqueNode.layer,
  StateLockNode.layer,
  StateOwnerNode.layer,
  CliConfig.layer({ builtIns }),
  CliOutput.layerPresenter(ServerConfig.presenter(say)),
  Logging.layer({ terminal: process.stderr.isTTY, colours, write: writeLog })
)

/** Why standard output takes nothing more. A server that serves goes on without. */
let outputFailed: string | undefined
process.stdout.on("error", ({ code = "unknown" }: NodeJS.ErrnoException) => (outputFailed ??= code))

/** What could not be written is told a turn later. A reader that has gone, as `head` does, is no failure. */
const unlessUnwritten = Effect.andThen(
  Effect.yieldNow,
  Effect.suspend(() =>
    outputFailed === undefined || outputFailed === "EPIPE"
      ? Effect.void
      : Effect.fail(new OutputEnded({ code: outputFailed }))
  )
)

Effect.flatMap(Stdio.Stdio, ({ args }) => args).pipe(
  Effect.tap(ServerConfig.refuseClusters),
  Effect.flatMap((args) => manual.meant({ command, version, builtIns }, args)),
  Effect.flatMap(Command.runWith(command, { version })),
  Effect.andThen(unlessUnwritten),
  Effect.as(0),
  Effect.catch(codeFor),
  // Behind what a terminal shows of Ctrl-C.
  Effect.onInterrupt(() => (interruptedBy === undefined ? Effect.void : Console.error(""))),
  Effect.tapCause((cause) =>
    Cause.hasInterruptsOnly(cause) ? Effect.void : say(`a defect of the program: ${Cause.pretty(cause)}`)
  ),
  Effect.provide(platform),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: teardown(stopSignals, () => interruptedBy)
  })
)
