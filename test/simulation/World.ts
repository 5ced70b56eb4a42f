/**
 * The world of a simulation: one server on a disk that can lose power, a network, and what is watched.
 */
import { Cause, Context, Deferred, Effect, Exit, FileSystem, Layer, Logger, Path, References, Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { Socket } from "effect/socket"
import type { Cipher } from "../../src/domain/channel/Cipher.ts"
import type { Kem } from "../../src/domain/channel/Kem.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import type { Digest } from "../../src/domain/file/Digest.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as SignatureKeepFiles from "../../src/domain/transfer/SignatureKeepFiles.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import * as History from "./History.ts"
import * as MemoryFolder from "./MemoryFolder.ts"
import type { Schedule } from "./Schedule.ts"
import type { Machine } from "./VirtualMachine.ts"

/** What is the same in every simulation and costs time to make. */
export interface Shared {
  readonly services: Context.Context<Cipher | Digest | Kem | Opaque>
  readonly registered: Fixture.Registered
}

/** Layers that a test breaks on purpose. */
export interface Broken {
  readonly disk?: (disk: Disk["Service"]) => Disk["Service"]
  readonly store?: (store: FileStore["Service"]) => FileStore["Service"]
}

/** A server that runs, and everything of it that ends with it. */
interface Running {
  readonly scope: Scope.Closeable
  readonly services: Context.Context<FileStore | MemorySocket.MemoryNetwork | Seats>
  /** completes when its connections break */
  readonly gone: Deferred.Deferred<void>
  /** fibers of everybody, while nobody is connected */
  readonly fibers: number
}

export interface World {
  readonly shared: Shared
  readonly schedule: Schedule
  readonly machine: Machine
  readonly history: History.History
  readonly broken: Broken
  readonly disk: Disk["Service"]
  readonly control: MemoryDisk.MemoryDisk["Service"]
  readonly folder: MemoryFolder.MemoryFolder
  readonly random: () => number
  readonly trace: Array<string>
  /** what must never happen and has */
  readonly violations: Array<string>
  server: Running | undefined
  dials: number
  /** the last disk operation that was told to fail */
  faultAt: number
  /** the disk has failed, was cut or filled up: a store may say so */
  hurt: boolean
}

export const make = Effect.fnUntraced(function* (
  shared: Shared,
  schedule: Schedule,
  machine: Machine,
  broken: Broken
): Effect.fn.Return<World> {
  const random = Fixture.seeded(schedule.seed ^ 0x5f37_59df)
  const { control, disk } = yield* MemoryDisk.make({ seed: schedule.seed, capacityBytes: schedule.capacityBytes })
  return {
    shared,
    schedule,
    machine,
    history: History.make(),
    broken,
    disk: broken.disk?.(disk) ?? disk,
    control,
    folder: MemoryFolder.make(random),
    random,
    trace: [],
    violations: [],
    server: undefined,
    dials: 0,
    faultAt: 0,
    hurt: false
  }
})

export const note = (world: World, text: string): void =>
  void world.trace.push(`${String(world.machine.elapsed()).padStart(9)} ms  ${text}`)

export const violate = (world: World, text: string): void => {
  world.violations.push(text)
  note(world, `VIOLATION: ${text}`)
}

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

/** Ends that only a client of another making can cause. */
const brokenBy = new Set<unknown>(["protocol-violation", "frame-refused", "message-refused", "handshake-refused"])

/** A defect shows in the log of its connection and nowhere else. */
const logTo = (world: World) =>
  Logger.layer([
    Logger.make(({ cause, fiber, message }) => {
      const annotations = fiber.getRef(References.CurrentLogAnnotations)
      const outcome = annotations["outcome"]
      note(world, `server: ${[message].flat().map(String).join(" ")}${outcome === undefined ? "" : ` (${outcome})`}`)
      if (outcome === "defect") violate(world, `a defect in a connection: ${Cause.pretty(cause)}`)
      if (brokenBy.has(outcome)) violate(world, `a client broke the protocol: ${String(outcome)}`)
    })
  ])

const serverLayer = (world: World) => {
  const { broken, disk, folder, random, shared } = world
  const { records, setup } = shared.registered
  const accounts = Accounts.layerMemory(setup, 1, records)
  const store = FileStoreDisk.layer().pipe(
    (layer) =>
      Layer.effect(
        FileStore,
        Effect.map(FileStore, (made) => broken.store?.(made) ?? made)
      ).pipe(Layer.provide(layer)),
    Layer.provide(Layer.succeed(Disk, disk))
  )
  const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => Math.floor(random() * 256))
  // The seats are those of the server: one layer is built once.
  return Layer.merge(Server.layer, Seats.layer).pipe(
    Layer.provide(SignatureKeepFiles.layer("/signatures")),
    Layer.provideMerge([store, MemorySocket.layer, accounts]),
    Layer.provide([Layer.succeed(FileSystem.FileSystem, folder.fileSystem), Path.layer]),
    Layer.provide(Layer.succeed(SecureRandom.SecureRandom, SecureRandom.make(bytes))),
    Layer.provide(Layer.succeedContext(shared.services)),
    Layer.provideMerge(logTo(world))
  )
}

/** A start may meet a disk that fails just then. It is tried again as whoever runs a server would. */
const startsMax = 5

/** Starts on what the disk holds. */
export const start = Effect.fnUntraced(function* (world: World): Effect.fn.Return<void> {
  for (let attempt = 1; attempt <= startsMax; attempt += 1) {
    const scope = yield* Scope.make()
    const built = yield* Effect.exit(Layer.buildWithMemoMap(serverLayer(world), Layer.makeMemoMapUnsafe(), scope))
    if (Exit.isSuccess(built)) {
      // Whatever the start has begun ends before anybody is counted.
      for (let turn = 0; turn < 50; turn += 1) yield* Effect.yieldNow
      const gone = yield* Deferred.make<void>()
      world.server = { scope, services: built.value, gone, fibers: world.machine.fibers() }
      return note(world, "the server has started")
    }
    yield* Scope.close(scope, Exit.void)
    note(world, "the server could not start")
    if (!world.hurt || attempt === startsMax) violate(world, "the server does not start")
  }
})

/** Longer than a drain may take, with what is said at its end. */
const stopMillisecondsMax = 30_000

/** Tells the server to stop and waits for it. */
export const stop = Effect.fnUntraced(function* (world: World): Effect.fn.Return<void> {
  const { server } = world
  if (server === undefined) return
  world.server = undefined
  note(world, "the server is told to stop")
  const stopped = yield* Effect.timeoutOption(Scope.close(server.scope, Exit.void), stopMillisecondsMax)
  if (stopped._tag === "None") violate(world, `the server did not stop within ${stopMillisecondsMax} ms`)
  yield* Deferred.succeed(server.gone, undefined)
  world.history.serverStopped()
  const open = yield* world.control.openFiles
  if (open > 0) violate(world, `the server has stopped and left ${open} files open`)
})

/** The power goes: nothing reaches the disk any more, every connection breaks, and what was not synced is lost. */
export const crash = Effect.fnUntraced(function* (world: World): Effect.fn.Return<void> {
  note(world, "the power goes")
  world.hurt = true
  yield* world.control.cutAt((yield* world.control.operations) + 1)
  if (world.server !== undefined) yield* Deferred.succeed(world.server.gone, undefined)
  yield* stop(world)
  yield* world.control.crash
  world.folder.crash()
})

// -----------------------------------------------------------------------------
// The network
// -----------------------------------------------------------------------------

const refused = new Socket.SocketError({
  reason: new Socket.SocketOpenError({
    kind: "Unknown",
    cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
  })
})

const nobody = Socket.make({ reader: Effect.fail(refused), writer: Effect.never })

/**
 * A connection to the server with the faults that are due; nobody answers while there is none.
 *
 * @param cut breaks it
 */
export const dial = (world: World, cut: Effect.Effect<void>, clean = false): Effect.Effect<Socket.Socket> =>
  Effect.suspend(() => {
    const { schedule, server } = world
    if (server === undefined) return Effect.succeed(nobody)
    const number = world.dials
    world.dials += 1
    const link = clean ? undefined : schedule.links[number % Math.max(1, schedule.links.length)]
    const cutWhen = Effect.raceFirst(Deferred.await(server.gone), cut)
    return Effect.map(Context.get(server.services, MemorySocket.MemoryNetwork).dial, (socket) =>
      FaultySocket.wrap(socket, { ...link, seed: schedule.seed + number, cutWhen })
    )
  })
