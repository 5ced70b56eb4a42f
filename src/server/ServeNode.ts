/**
 * Serves a folder until it is told to stop: the locks, the state, the layers of a server, and what its manager hears.
 */
import process from "node:process"
// One by one: the package as a whole would load HTTP, workers and more, for 35 MB and a third of a second.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Fiber, Layer, Path, Queue } from "effect"
import type { NetAddress } from "effect/net"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { SocketServer } from "effect/socket"
import { goodbyeMillisecondsMax, listenBacklogMax, notifyMillisecondsMax, socketReadBytes } from "../domain/limits.ts"
import { Accounts } from "../domain/session/Accounts.ts"
import * as AccountsFile from "../domain/session/AccountsFile.ts"
import { type LockFailed, type LockHeld, StateLock } from "../domain/session/StateLock.ts"
import * as DiskNode from "../domain/store/DiskNode.ts"
import { FileStore } from "../domain/store/FileStore.ts"
import * as FileStoreDisk from "../domain/store/FileStoreDisk.ts"
import { SignatureKeep } from "../domain/transfer/SignatureKeep.ts"
import * as SignatureKeepFiles from "../domain/transfer/SignatureKeepFiles.ts"
import {
  cannotListen,
  cannotListenThere,
  cannotServe,
  CannotStart,
  notLoopback,
  servedAlready,
  severalSockets,
  stateTaken
} from "./CannotStart.ts"
import { Control } from "./Control.ts"
import * as ControlNode from "./ControlNode.ts"
import * as LiveSettings from "./LiveSettings.ts"
import { log } from "./LogEvent.ts"
import * as Logging from "./Logging.ts"
import { LoginGuard } from "./LoginGuard.ts"
import * as Metrics from "./Metrics.ts"
import { auditLog, exporters, monitor } from "./ObservabilityNode.ts"
import * as Peer from "./Peer.ts"
import * as PublicAccount from "./PublicAccount.ts"
import type { NotReady } from "./Readiness.ts"
import * as RootLockNode from "./RootLockNode.ts"
import * as RootWatch from "./RootWatch.ts"
import * as Server from "./Server.ts"
import * as ServerConfig from "./ServerConfig.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { ServerStatus } from "./ServerStatus.ts"
import * as ServiceManager from "./ServiceManager.ts"
import type { Settings } from "./Settings.ts"
import * as SocketServerNode from "./SocketServerNode.ts"
import * as StateFolder from "./StateFolder.ts"

type Listen = Settings["listen"]

/** @param begun runs once the settings are good: from then on whoever ends it tells a server to stop */
export const serve = Effect.fnUntraced(function* (said: ServerConfig.Said, begun: Effect.Effect<void>) {
  const load = ServerConfig.load(said, process.env)
  const live = LiveSettings.make((yield* load).settings)
  const { limits, log } = live.settings
  yield* begun
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
    Layer.provideMerge(Layer.effectDiscard(lockBoth(folder, root))),
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

/** The root is asked for also where the state is taken: whose server that is decides what helps. */
const lockBoth = Effect.fnUntraced(function* (folder: string, root: string) {
  yield* Effect.catchTag(lockState(folder), "LockHeld", () =>
    Effect.andThen(lockRoot(root), Effect.fail(stateTaken(folder)))
  )
  yield* lockRoot(root)
})

/** Whoever changes accounts or serves them is alone with the state. */
export const lockState = Effect.fnUntraced(function* (folder: string) {
  const path = (yield* Path.Path).join(folder, "server.lock")
  yield* Effect.mapError((yield* StateLock).acquire(path), (error: LockHeld | LockFailed) =>
    error._tag === "LockFailed" ? new CannotStart({ detail: error.message }) : error
  )
})

const lockRoot = (root: string) => Effect.mapError(RootLockNode.take(root), () => servedAlready(root))

// -----------------------------------------------------------------------------
// Listening
// -----------------------------------------------------------------------------

const listen = ({ host, port }: Pick<Listen, "host" | "port">, given: number | undefined) =>
  SocketServerNode.layer({ host, port, fd: given, backlog: listenBacklogMax, highWaterMark: socketReadBytes }).pipe(
    Layer.catchTag("SocketServerError", ({ reason }) => {
      const code = codeOf(reason.cause)
      const why = given === undefined ? cannotListen({ host, port }, code) : cannotListenThere(code)
      return Layer.effect(SocketServer.SocketServer, Effect.fail(why))
    })
  )

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

/** A name that is taken for loopback may mean something else to the resolver of this machine. */
const onlyLoopback = (host: string, address: NetAddress.SocketAddress) =>
  Peer.isLoopback(host) && !Peer.isLoopback(hostOf(address))
    ? Effect.fail(notLoopback(host, hostOf(address)))
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
// The process that serves
// -----------------------------------------------------------------------------

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
  return others.length === 0 ? Effect.succeed(socket) : Effect.fail(severalSockets())
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
