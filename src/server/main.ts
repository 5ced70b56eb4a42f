/**
 * The executable `paradrop-server`: the only place of the server that knows the platform.
 */
import { createRequire } from "node:module"
import process from "node:process"
// One by one: the package as a whole would load HTTP, workers and more, for 35 MB and a third of a second.
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Fiber, Layer, Option, Path, Queue, Schema, Stdio } from "effect"
import { CliConfig, CliError, CliOutput, Command, GlobalFlag } from "effect/cli"
import type { NetAddress } from "effect/net"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { SocketServer } from "effect/socket"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { oneLine } from "../domain/file/Printable.ts"
import * as CipherNode from "../domain/channel/CipherNode.ts"
import * as KemNode from "../domain/channel/KemNode.ts"
import * as OpaqueNode from "../domain/channel/OpaqueNode.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"
import * as DigestNode from "../domain/file/DigestNode.ts"
import { goodbyeMillisecondsMax, listenBacklogMax, notifyMillisecondsMax, socketReadBytes } from "../domain/limits.ts"
import { Accounts } from "../domain/session/Accounts.ts"
import * as AccountsFile from "../domain/session/AccountsFile.ts"
import { type LockFailed, type LockHeld, StateLock } from "../domain/session/StateLock.ts"
import * as StateLockNode from "../domain/session/StateLockNode.ts"
import * as StateOwnerNode from "../domain/session/StateOwnerNode.ts"
import type { DiskError } from "../domain/store/Disk.ts"
import * as DiskNode from "../domain/store/DiskNode.ts"
import { FileStore } from "../domain/store/FileStore.ts"
import * as FileStoreDisk from "../domain/store/FileStoreDisk.ts"
import type { StoreFailed } from "../domain/store/StoreError.ts"
import { SignatureKeep } from "../domain/transfer/SignatureKeep.ts"
import * as SignatureKeepFiles from "../domain/transfer/SignatureKeepFiles.ts"
import * as ConfigCommands from "./ConfigCommands.ts"
import * as Configuration from "./Configuration.ts"
import { Control } from "./Control.ts"
import * as ControlCommands from "./ControlCommands.ts"
import * as ControlNode from "./ControlNode.ts"
import * as LiveSettings from "./LiveSettings.ts"
import { log } from "./LogEvent.ts"
import * as GrantOptions from "./GrantOptions.ts"
import * as completions from "../completions.ts"
import * as manual from "../manual.ts"
import { endBy, OutputEnded, type Signal, teardown } from "../exitCode.ts"
import { passwordFlags } from "../passwordFlags.ts"
import * as Logging from "./Logging.ts"
import * as LogStreamNode from "./LogStreamNode.ts"
import { LoginGuard } from "./LoginGuard.ts"
import * as Metrics from "./Metrics.ts"
import type { NotReady } from "./Readiness.ts"
import { auditLog, exporters, monitor } from "./ObservabilityNode.ts"
import * as Peer from "./Peer.ts"
import * as PublicAccount from "./PublicAccount.ts"
import * as Server from "./Server.ts"
import * as RootLockNode from "./RootLockNode.ts"
import * as RootWatch from "./RootWatch.ts"
import * as ServerConfig from "./ServerConfig.ts"
import { ServerLimits } from "./ServerLimits.ts"
import type { Settings } from "./Settings.ts"
import * as ServiceManager from "./ServiceManager.ts"
import { ServerStatus } from "./ServerStatus.ts"
import * as SocketServerNode from "./SocketServerNode.ts"
import * as StateFolder from "./StateFolder.ts"
import * as UserCommands from "./UserCommands.ts"

// -----------------------------------------------------------------------------
// Serving
// -----------------------------------------------------------------------------

/** The server cannot start; the message says why and what to do. */
class CannotStart extends Schema.TaggedError<CannotStart>()("CannotStart", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

type Listen = Settings["listen"]

const serve = Effect.fnUntraced(function* (said: ServerConfig.Said) {
  const load = ServerConfig.load(said, process.env)
  const live = LiveSettings.make((yield* load).settings)
  const { limits, log } = live.settings
  yield* stopOnSignals
  const reload = manager.reloading(LiveSettings.reload(live, load))
  yield* Effect.andThen(reloadOnSignal(reload), run(live.settings)).pipe(
    Effect.scoped,
    Effect.provideService(ServerLimits, limits),
    Effect.provideService(Logging.Level, log)
  )
})

/** What the server listens on when it is not its own to say: nobody knows how far that can be reached. */
const givenHost = "a socket of the service manager"

const run = Effect.fnUntraced(function* (settings: Settings) {
  const { host } = settings.listen
  const given = yield* socketGiven
  const { folder, readable, root, shared } = yield* StateFolder.resolve({
    ...settings.store,
    platform: process.platform
  })
  const store = FileStoreDisk.layer({ durability: settings.store.durability }).pipe(
    Layer.provide(DiskNode.layer(root)),
    Layer.catchTag(["DiskError", "StoreFailed"], (error) =>
      Layer.effect(FileStore, Effect.fail(cannotServe(root, error)))
    )
  )
  // One after the other: what is asked of the person first is what is wrong first.
  const services = Layer.mergeAll(store, keptSignatures(folder)).pipe(
    Layer.provideMerge(accounts({ ...settings.listen, ...(given !== undefined && { host: givenHost }) }, folder)),
    Layer.provideMerge(Layer.effectDiscard(Effect.andThen(lockState(folder, root), lockRoot(root)))),
    Layer.provideMerge(AccountsFile.layer(folder))
  )
  let telling: Fiber.Fiber<void> | undefined
  yield* Effect.addFinalizer(() => Effect.suspend(() => (telling === undefined ? Effect.void : Fiber.join(telling))))
  yield* Effect.gen(function* () {
    const { address } = yield* SocketServer.SocketServer
    if (given === undefined) yield* onlyLoopback(host, address)
    yield* Metrics.register
    let phase: NotReady | undefined = "starting"
    const moved = yield* RootWatch.make(root)
    const read = Effect.isSuccess((yield* Accounts).list)
    const phaseNow = Effect.gen(function* () {
      if (phase !== undefined) return phase
      if (yield* moved) return "root-moved" as const
      return (yield* read) ? undefined : ("accounts-failed" as const)
    })
    const watched = Layer.provideMerge(
      Layer.merge(monitor(settings.monitor, phaseNow), control(folder, phaseNow)),
      auditLog(settings.audit, folder)
    )
    yield* Layer.build(Layer.provide(Server.layer, [proxies(settings.listen), watched, exporters(settings.monitor)]))
    yield* PublicAccount.warn
    if (shared) yield* log("state-shared", `the group of '${folder}' may replace accounts and keys: chmod 700 it`)
    for (const file of readable) yield* log("state-readable", `others may read '${file}': chmod 600 it`)
    yield* log("serving", `serving ${root}`, { state: folder })
    // Last, and once it can be used: whoever waits for this line may connect now, and has seen the warning.
    yield* Console.log(`listening on ${addressText(address)}`)
    phase = undefined
    // A manager that is slow to hear must not keep a stop from being told.
    return yield* Effect.andThen(manager.ready, Effect.andThen(manager.beat, Effect.never)).pipe(
      Effect.onInterrupt(() => {
        phase = "stopping"
        return Effect.andThen(
          log("stopping", "stopping: transfers may end, a second signal ends them at once"),
          // Beside the drain, which waits for no manager.
          Effect.map(
            Effect.forkDetach(manager.stopping(() => settings.limits.drainMilliseconds + goodbyeMillisecondsMax)),
            (fiber) => void (telling = fiber)
          )
        )
      })
    )
  }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(listen(settings.listen, given), services)))
})

/**
 * Those who run the server may ask it while it lives, also while it drains. It holds the guard and the status that the
 * server holds: layers are made once.
 */
const control = (folder: string, phase: Effect.Effect<NotReady | undefined>) =>
  ControlNode.listen(folder).pipe(
    Layer.provide(Control.layer(phase)),
    Layer.provide([LoginGuard.layer, ServerStatus.layer]),
    Layer.catchTag("ControlFailed", ({ detail }) =>
      Layer.effectDiscard(log("control-failed", "nobody can ask this server", { detail }))
    )
  )

/** Signatures in the state folder; where that cannot be, they live as long as the server. */
const keptSignatures = (folder: string) =>
  Layer.unwrap(
    Effect.map(Path.Path, (path) =>
      SignatureKeepFiles.layer(path.join(folder, "signatures")).pipe(Layer.catch(() => SignatureKeep.layerMemory))
    )
  )

/** The accounts of the state folder, and the public one while it exists. */
const accounts = ({ host, proxies }: Pick<Listen, "host" | "proxies">, folder: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { setup, stretching } = yield* Accounts
      const path = (yield* Path.Path).join(folder, "public.record")
      const keep = yield* PublicAccount.keepInFile(path, { setup: yield* setup, stretching })
      const proxied = proxies.length > 0
      return PublicAccount.layer({
        loopback: !proxied && Peer.isLoopback(host),
        host: proxied ? `${host} behind a proxy` : host,
        keep
      })
    })
  )

/** The root is asked for only where the state is taken: whose server that is decides what helps. */
const lockState = Effect.fnUntraced(function* (folder: string, root: string) {
  yield* Effect.catchTag(lockStateAlone(folder), "LockHeld", () =>
    Effect.andThen(lockRoot(root), Effect.fail(stateTaken(folder)))
  )
})

const lockStateAlone = Effect.fnUntraced(function* (folder: string) {
  const path = (yield* Path.Path).join(folder, "server.lock")
  yield* Effect.mapError((yield* StateLock).acquire(path), (error: LockHeld | LockFailed) =>
    error._tag === "LockFailed" ? new CannotStart({ detail: error.message }) : error
  )
})

const stateTaken = (folder: string): CannotStart =>
  new CannotStart({
    detail:
      `a server that serves another folder has the state folder '${folder}': ` +
      "each needs one of its own, name another with --state"
  })

const lockRoot = (root: string) => Effect.mapError(RootLockNode.take(root), () => servedAlready(root))

const servedAlready = (root: string): CannotStart =>
  new CannotStart({ detail: `another server serves '${root}' already: stop it, or serve another folder with --root` })

/** What is wrong with the folder for what is on its way is said of that: the root may be as it should be. */
const cannotServe = (root: string, { code, ...error }: DiskError | StoreFailed): CannotStart => {
  const where = "path" in error && error.path !== undefined ? `${root}/${error.path}` : root
  const staged = "the server keeps there what is on its way"
  const anotherRoot = "serve another folder with --root"
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new CannotStart({ detail: `no permission to write in '${where}': change that, or ${anotherRoot}` })
  }
  if (where === root) return new CannotStart({ detail: `'${root}' cannot be served (${code}): ${anotherRoot}` })
  const texts: Record<string, string> = {
    ENOTDIR: `'${where}' is no folder, and ${staged}: move it away, or ${anotherRoot}`,
    EXDEV: `'${where}' is on another file system, and ${staged}: unmount it, or ${anotherRoot}`
  }
  return new CannotStart({ detail: texts[code] ?? `'${where}' cannot be used (${code}): ${anotherRoot}` })
}

// -----------------------------------------------------------------------------
// Listening
// -----------------------------------------------------------------------------

const listen = ({ host, port }: Pick<Listen, "host" | "port">, given: number | undefined) =>
  SocketServerNode.layer({ host, port, fd: given, backlog: listenBacklogMax, highWaterMark: socketReadBytes }).pipe(
    Layer.catchTag("SocketServerError", ({ reason }) =>
      Layer.effect(SocketServer.SocketServer, Effect.fail(cannotListen({ host, port }, codeOf(reason.cause))))
    )
  )

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

const cannotListen = ({ host, port }: Pick<Listen, "host" | "port">, code: string): CannotStart => {
  const anotherPort = "take another with --port (0 picks a free one)"
  const texts: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is taken: stop the other program, or ${anotherPort}`,
    EACCES: `no permission to listen on port ${port}: take one above 1023 with --port`,
    EADDRNOTAVAIL: `this machine has no address '${host}': name one of its own with --host`,
    EAI_AGAIN: `no name server says now where '${host}' is: name an address of this machine with --host`,
    ENOTFOUND: `there is no host '${host}': name an address of this machine with --host`
  }
  return new CannotStart({
    detail: texts[code] ?? `cannot listen on ${host} port ${port} (${code}): try another --host or --port`
  })
}

/** A name that is taken for loopback may mean something else to the resolver of this machine. */
const onlyLoopback = (host: string, address: NetAddress.SocketAddress) =>
  Peer.isLoopback(host) && !Peer.isLoopback(hostOf(address))
    ? Effect.fail(
        new CannotStart({
          detail: `'${host}' means ${hostOf(address)} here, which is not loopback: give --host 127.0.0.1`
        })
      )
    : Effect.void

const hostOf = (address: NetAddress.SocketAddress): string =>
  address._tag === "UnixPathAddress" ? address.path : address.address.toString()

const addressText = (address: NetAddress.SocketAddress): string => {
  if (address._tag === "UnixPathAddress") return address.path
  const host = hostOf(address)
  return `${host.includes(":") ? `[${host}]` : host}:${address.port}`
}

const proxies = (listen: Listen) => Layer.succeed(Peer.TrustedProxies, Peer.trusting(listen.proxies))

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

/** Runs a command on the accounts of the state folder. */
const onAccounts = <A, E, R>(run: Effect.Effect<A, E, R>) =>
  whereState.pipe(
    Effect.flatMap(StateFolder.ofAccounts),
    Effect.flatMap((folder) => Effect.provide(run, AccountsFile.layer(folder)))
  )

const named = <E, R>(
  name: string,
  run: (user: Effect.Success<ReturnType<typeof UserCommands.parseName>>) => Effect.Effect<void, E, R>
) => Effect.flatMap(UserCommands.parseName(name), (user) => onAccounts(run(user)))

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
    named(user, (name) => UserCommands.add(name, { allowWeak, generate, show: written }, granted))
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
    const alone = Effect.mapError(
      lockStateAlone(folder),
      () => new CannotStart({ detail: "the server runs, or its state cannot be locked: stop the server first" })
    )
    yield* Effect.provide(
      Effect.andThen(
        Option.isSome(wanted) ? alone : Effect.void,
        UserCommands.stretching(Option.getOrUndefined(wanted))
      ),
      // Makes the folder, where this is the first that is done.
      AccountsFile.layer(folder)
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

const command = server.pipe(Command.withHandler(serve), Command.withSubcommands([bans, config, status, user]))

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

/** One that hangs may ask for no other end. */
const killed = { killSignal: "SIGKILL" } as const

/** Runs it so that who gives it up does not wait for its end: a program that is killed may take its time. */
const letGo = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const fiber = Effect.runFork(work)
    fiber.addObserver(resume)
    return Effect.sync(() => fiber.interruptUnsafe())
  })

/** The service manager, told through its own program; that needs `NotifyAccess=all`. */
const manager = ServiceManager.make({
  environment: process.env,
  pid: process.pid,
  monotonic: Effect.sync(() => process.hrtime.bigint() / 1000n),
  send: (assignments) =>
    ChildProcessSpawner.ChildProcessSpawner.pipe(
      Effect.flatMap((spawner) => spawner.exitCode(ChildProcess.make("systemd-notify", assignments, killed))),
      Effect.mapError(({ reason }) => `systemd-notify: ${reason._tag}`),
      Effect.flatMap((code) => (code === 0 ? Effect.void : Effect.fail(`systemd-notify ended with ${code}`))),
      Effect.provide(NodeServices.layer),
      letGo,
      Effect.timeoutOrElse({
        duration: notifyMillisecondsMax,
        orElse: () => Effect.fail("systemd-notify takes too long")
      })
    )
})

/** The socket that the service manager has opened for this server, if it has: a descriptor. */
const socketGiven = Effect.suspend(() => {
  const [socket, ...others] = ServiceManager.socketsGiven({ environment: process.env, pid: process.pid })
  return others.length === 0
    ? Effect.succeed(socket)
    : Effect.fail(new CannotStart({ detail: "the service manager gives more than one socket: name one in the unit" }))
})

/** SIGHUP, as often as it comes; two that come while one is worked on are one. */
const reloadOnSignal = <R>(reload: Effect.Effect<void, never, R>) =>
  Effect.gen(function* () {
    const signals = yield* Queue.sliding<void>(1)
    const listener = () => void Queue.offerUnsafe(signals, undefined)
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("SIGHUP", listener)),
      () => Effect.sync(() => process.off("SIGHUP", listener))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Queue.take(signals), reload)))
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
