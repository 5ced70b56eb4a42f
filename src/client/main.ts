/**
 * The executable `paradrop`: the process around the command line, its signals, exit codes and the platform.
 */
import process from "node:process"
import { isatty } from "node:tty"
// One by one: the package as a whole would load HTTP, workers and more.
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import { Cause, Effect, Layer, Scope, Stdio, Terminal } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import { oneLine } from "../domain/file/Printable.ts"
import * as CipherNode from "../domain/channel/CipherNode.ts"
import * as KemNode from "../domain/channel/KemNode.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"
import * as DigestNode from "../domain/file/DigestNode.ts"
import { turn } from "../domain/store/SmallFilesNode.ts"
import * as completions from "../completions.ts"
import * as manual from "../manual.ts"
import { endBy, OutputEnded, type Signal, teardown } from "../exitCode.ts"
import * as CauseChain from "./CauseChain.ts"
import * as ClientConfig from "./ClientConfig.ts"
import { command, isUsage, isVerbose, prefix } from "./CommandLineNode.ts"
import { CommandHelp } from "./CommandHelp.ts"
import * as HistoryNode from "./HistoryNode.ts"
import * as LineEditorNode from "./LineEditorNode.ts"
import * as LocalFilesNode from "./LocalFilesNode.ts"
import * as PipesNode from "./PipesNode.ts"
import * as ProfilesNode from "./ProfilesNode.ts"
import { red, Screen } from "./Screen.ts"
import * as ScreenNode from "./ScreenNode.ts"
import { modeless } from "./SessionsNode.ts"
import { version } from "./VersionNode.ts"
import * as WorkingFolderNode from "./WorkingFolderNode.ts"

// The OPAQUE library asks whether there are any, and Node would load its HTTP client for the answer: 20 ms for nothing.
Reflect.deleteProperty(globalThis, "Request")
Reflect.deleteProperty(globalThis, "Response")

// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 128 and the signal's number when one ended it.

const signals = ["SIGHUP", "SIGINT", "SIGTERM"] as const

/** What `head` leaves behind: 128 + SIGPIPE, as any other program in a pipe. */
const brokenPipeCode = 141

let signalled: Signal | undefined

/** A question may be left without a signal: by Ctrl-C, or by a terminal that has gone, whose signal is on its way. */
const interruptedBy = (): Signal => signalled ?? (isatty(0) ? "SIGINT" : "SIGHUP")

/** The runtime interrupts at the first signal; a second one does not wait for the cleaning up. */
const watchSignals = Effect.callback<never>((resume) => {
  for (const signal of signals) {
    process.on(signal, () => {
      if (signalled !== undefined) endBy(signal)
      signalled = signal
      resume(Effect.interrupt)
    })
  }
})

const say = (line: string): Effect.Effect<void, never, Screen> =>
  Effect.flatMap(Screen, ({ err }) => err.write(`${red(err, `${prefix}${oneLine(line)}`)}\n`))

const sayCauses = (error: unknown) => Effect.flatMap(Screen, ({ err }) => err.write(CauseChain.lines(error).join("")))

const codeFor = (error: { readonly _tag: string; readonly message: string }) => {
  if (error._tag === "SomeFailed") return Effect.succeed(1)
  // The presenter has said it already.
  if (CliError.isCliError(error)) return Effect.succeed(2)
  if (error instanceof OutputEnded && error.code === "EPIPE") return Effect.succeed(brokenPipeCode)
  const said = Effect.andThen(say(error.message), isVerbose() ? sayCauses(error) : Effect.void)
  return Effect.as(said, isUsage(error) ? 2 : 1)
}

const sayDefect = (cause: Cause.Cause<never>) => {
  if (Cause.hasInterruptsOnly(cause)) return say("interrupted")
  const defect = Cause.squash(cause)
  const text = defect instanceof Error ? defect.message : String(defect)
  return isVerbose()
    ? Effect.flatMap(Screen, ({ err }) => err.write(`${Cause.pretty(cause)}\n`))
    : say(`a defect of the program: ${text} (--verbose shows more)`)
}

const builtIns = [GlobalFlag.Help, GlobalFlag.Version, completions.flag, manual.flag(ClientConfig.manualSections)]

const context = { command, version, builtIns }

const commandHelp = Layer.succeed(CommandHelp, {
  of: (name) =>
    // Of what is no command the program's own help would come.
    command.subcommands.some(({ commands }) => commands.some((one) => one.name === name))
      ? manual.help({ ...context, commandPath: [] }, [ClientConfig.program, name])
      : Effect.succeed(undefined)
})

const presenter = Layer.unwrap(
  Effect.map(Screen, (screen) =>
    CliOutput.layerPresenter(ClientConfig.presenter((line) => Effect.provideService(say(line), Screen, screen)))
  )
)

/** For questions of the command line itself, of which there are none: made at the first, since it takes 4 ms. */
const terminal = Layer.effect(
  Terminal.Terminal,
  Effect.gen(function* () {
    const made = yield* Effect.cached(Effect.provideService(NodeTerminal.make(), Scope.Scope, yield* Effect.scope))
    return Terminal.make({
      columns: Effect.flatMap(made, ({ columns }) => columns),
      rows: Effect.flatMap(made, ({ rows }) => rows),
      size: Effect.flatMap(made, ({ size }) => size),
      readInput: Effect.flatMap(made, ({ readInput }) => readInput),
      readLine: Effect.flatMap(made, ({ readLine }) => readLine),
      display: (text) => Effect.flatMap(made, ({ display }) => display(text))
    })
  })
)

/** What `NodeServices` has. */
const nodeServices = Layer.provideMerge(
  NodeChildProcessSpawner.layer,
  Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeStdio.layer, terminal)
)

const profiles = Layer.unwrap(
  Effect.map(ProfilesNode.configFolder(process.env, process.platform), (folder) =>
    ProfilesNode.layer(folder, { modeless })
  )
).pipe(Layer.provide(nodeServices))

const platform = Layer.mergeAll(
  CipherNode.layer,
  SocketNode.owned,
  KemNode.layer,
  nodeServices,
  Layer.provideMerge(LineEditorNode.layer, HistoryNode.layer),
  LocalFilesNode.layer,
  PipesNode.layer,
  profiles,
  WorkingFolderNode.layer,
  commandHelp,
  CliConfig.layer({ builtIns }),
  presenter
).pipe(
  Layer.provideMerge(Layer.mergeAll(DigestNode.layer, NodeCrypto.layerSecureRandom)),
  Layer.provideMerge(ScreenNode.layer)
)

// What waited for the program to be loaded goes first: the hello of a connection that was dialled ahead.
turn.pipe(
  Effect.andThen(Effect.flatMap(Stdio.Stdio, ({ args }) => args)),
  Effect.tap(ClientConfig.refusePasswords),
  Effect.tap(ClientConfig.refuseClusters),
  Effect.flatMap((args) => manual.meant(context, args)),
  Effect.flatMap(Command.runWith(command, { version })),
  // What could not be written is told a turn later.
  Effect.tap(Effect.yieldNow),
  Effect.as(0),
  Effect.raceFirst(ScreenNode.ended),
  Effect.raceFirst(watchSignals),
  Effect.catch(codeFor),
  Effect.onError(sayDefect),
  Effect.provide(platform),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: teardown(signals, interruptedBy)
  })
)
