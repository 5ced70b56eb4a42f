/**
 * The world of a simulation: one server on a disk that can lose power, a network, and what is watched.
 */
import {
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  FileSystem,
  Layer,
  Logger,
  Path,
  References,
  Result,
  Scope,
  Stream
} from "effect"
import { SecureRandom } from "effect/crypto"
import { Socket } from "effect/socket"
import type { Cipher } from "../../src/domain/channel/Cipher.ts"
import type { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import type { Kem } from "../../src/domain/channel/Kem.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import type { ContentDigest, Digest } from "../../src/domain/file/Digest.ts"
import * as FileName from "../../src/domain/file/FileName.ts"
import { auditDelayMilliseconds } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { everything, type Grant } from "../../src/domain/session/Grant.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import { Meter, type Quota } from "../../src/domain/store/Meter.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as SignatureKeepFiles from "../../src/domain/transfer/SignatureKeepFiles.ts"
import { Audit, type AuditRecord } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import * as History from "./History.ts"
import * as MemoryFolder from "./MemoryFolder.ts"
import * as Schedule from "./Schedule.ts"
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
  readonly auditDisk?: (disk: Disk["Service"]) => Disk["Service"]
  /** what the accounts may do instead of what they should */
  readonly grant?: (grant: Grant) => Grant
  readonly accounts?: (accounts: Accounts["Service"]) => Accounts["Service"]
}

/** A change that a client has asked for, and what the audit log may and must say of it. */
export interface Order {
  /** as `recordKey` */
  readonly key: string
  readonly digests: ReadonlySet<ContentDigest>
  status: "pending" | "acknowledged" | "refused" | "unknown"
  /** when it was acknowledged, virtual milliseconds */
  at: number
  /** the power went before it had to be on disk */
  excused: boolean
}

/** A server that runs, and everything of it that ends with it. */
interface Running {
  readonly scope: Scope.Closeable
  readonly services: Context.Context<Audit | FileStore | MemorySocket.MemoryNetwork | Meter | Seats>
  /** completes when its connections break */
  readonly gone: Deferred.Deferred<void>
  /** fibers of everybody, while nobody is connected */
  readonly fibers: number
}

export interface World {
  readonly shared: Shared
  readonly schedule: Schedule.Schedule
  readonly machine: Machine
  readonly history: History.History
  readonly broken: Broken
  readonly disk: Disk["Service"]
  readonly control: MemoryDisk.MemoryDisk["Service"]
  /** where the audit log is */
  readonly auditDisk: Disk["Service"]
  readonly auditControl: MemoryDisk.MemoryDisk["Service"]
  readonly folder: MemoryFolder.MemoryFolder
  /** who may log in: outlives the server, each change durable at once */
  readonly accounts: Accounts["Service"]
  /** the passwords of accounts, as what names hold */
  readonly passwords: History.History
  /** those that were ever to be one, by number: the oldest first */
  readonly passwordsOf: Map<UserName, ReadonlyArray<number>>
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
  /** what the root of each account may hold */
  quota: Quota | undefined
  /** a rename was broken off: its file may stand under both names until the server has started again */
  doubled: boolean
  /** a rename could not be written down, for want of space: then a start cannot finish it */
  unwritten: boolean
  /** commands under way, by client */
  readonly underway: Array<Underway>
  readonly orders: Array<Order>
  /** how often what was seen */
  readonly seen: Map<string, number>
}

export const make = Effect.fnUntraced(function* (
  shared: Shared,
  schedule: Schedule.Schedule,
  machine: Machine,
  broken: Broken
): Effect.fn.Return<World> {
  const random = Fixture.seeded(schedule.seed ^ 0x5f37_59df)
  const { control, disk } = yield* MemoryDisk.make({ seed: schedule.seed, capacityBytes: schedule.capacityBytes })
  const audit = yield* MemoryDisk.make({ seed: schedule.seed ^ 0x0a0d_17 })
  const under = broken.disk?.(disk) ?? disk
  const { records, setup } = shared.registered
  const known = yield* Effect.provide(Accounts, Accounts.layerMemory(setup, 1, records))
  // Others may come between a proof and what it is for.
  const accounts = Accounts.of({
    ...known,
    change: (user, change) => Effect.andThen(Effect.yieldNow, known.change(user, change))
  })
  const world: World = {
    shared,
    schedule,
    machine,
    history: History.make(),
    broken,
    disk: {
      ...under,
      placeAll: (request) =>
        Effect.tap(under.placeAll(request), (placed) => {
          if (request.folder[0] === FileName.stagingFolder && placed.some(Result.isFailure)) world.unwritten = true
          return Effect.void
        })
    },
    control,
    auditDisk: broken.auditDisk?.(audit.disk) ?? audit.disk,
    auditControl: audit.control,
    folder: MemoryFolder.make(random),
    accounts: broken.accounts?.(accounts) ?? accounts,
    passwords: History.make(),
    passwordsOf: new Map(),
    random,
    trace: [],
    violations: [],
    server: undefined,
    dials: 0,
    faultAt: 0,
    hurt: false,
    quota: schedule.quota,
    doubled: false,
    unwritten: false,
    underway: [],
    orders: [],
    seen: new Map()
  }
  return world
})

export const note = (world: World, text: string): void =>
  void world.trace.push(`${String(world.machine.elapsed()).padStart(9)} ms  ${text}`)

export const violate = (world: World, text: string): void => {
  world.violations.push(text)
  note(world, `VIOLATION: ${text}`)
}

/** Counts something that has happened. */
export const count = (world: World, what: string): void => void world.seen.set(what, (world.seen.get(what) ?? 0) + 1)

/** The folder that a client sees as its root. */
export const rootOf = ({ schedule }: World, client: number): string | undefined =>
  schedule.roots[Schedule.ownerOf(client)]

/** What the whole store calls a file that is that to somebody who has the root. */
export const whole = (root: string | undefined, name: string): string => (root === undefined ? name : `${root}/${name}`)

/** What runs for a client. */
interface Underway {
  readonly client: number
  readonly command: Schedule.Command
}

/** The names that a command brings content to, folded. */
const writtenBy = (world: World, { client, command }: Underway): ReadonlyArray<string> => {
  if (command._tag === "Verify") return []
  const sent = command._tag === "UploadBundle" ? command.files : [command]
  return sent.flatMap((one) =>
    "content" in one && "name" in one ? [FileName.segmentKey(whole(rootOf(world, client), one.name))] : []
  )
}

const writeOneName = (world: World, one: Underway, other: Underway): boolean =>
  writtenBy(world, one).some((name) => writtenBy(world, other).includes(name))

/** A command begins; whom it meets is counted. */
export const enter = (world: World, client: number, command: Schedule.Command): void => {
  const own = { client, command }
  const met = world.underway.filter((one) => one.client !== client && writeOneName(world, one, own))
  if (met.length > 0) count(world, "two clients write one name at once")
  if (command._tag === "Para" && met.some((one) => one.command._tag === "Para"))
    count(world, "two paras of one name at once")
  if (command._tag === "UploadBundle" && met.length > 0) count(world, "a bundle and another write one name at once")
  world.underway.push(own)
}

/** It has ended. */
export const leave = (world: World, client: number, command: Schedule.Command): void => {
  const at = world.underway.findIndex((one) => one.client === client && one.command === command)
  if (at >= 0) world.underway.splice(at, 1)
}

// -----------------------------------------------------------------------------
// What must be on record
// -----------------------------------------------------------------------------

/** What a change is called, here and in the audit log. */
export const recordKey = (user: string, command: string, ...names: ReadonlyArray<string>): string =>
  [`${user}: ${command.toLowerCase()}`, ...names.map((one) => FileName.segmentKey(one))].join(" ")

const onRecord = (record: AuditRecord): string | undefined =>
  record._tag === "command" && record.outcome === "done"
    ? recordKey(record.user, record.command, ...[record.name, record.to].filter((name) => name !== undefined))
    : undefined

const changing = new Set(["upload", "para", "passwd", "remove", "rename"])

/** Every change that was acknowledged long enough ago is on record, and nothing that did not happen. */
const checkAudit = (world: World, records: ReadonlyArray<AuditRecord>): void => {
  const counts = new Map<string, number>()
  for (const record of records) {
    const key = onRecord(record)
    if (key === undefined || record._tag !== "command" || !changing.has(record.command)) continue
    counts.set(key, (counts.get(key) ?? 0) + 1)
    const asked = world.orders.filter((order) => order.key === key)
    const { after } = record
    if (after !== undefined && !asked.some(({ digests }) => digests.size === 0 || digests.has(after))) {
      violate(world, `on record is ${key} with content that nobody has sent`)
    }
  }
  const times = records.map(({ time }) => time)
  if (times.join() !== times.toSorted().join()) violate(world, "the audit log is not in its order")
  for (const key of new Set([...counts.keys(), ...world.orders.map((order) => order.key)])) {
    const orders = world.orders.filter((order) => order.key === key)
    const due = orders.filter(({ excused, status }) => status === "acknowledged" && !excused)
    const possible = orders.filter(({ status }) => status !== "refused")
    const found = counts.get(key) ?? 0
    if (found < due.length)
      violate(world, `${key} was acknowledged ${due.length} times and is ${found} times on record`)
    if (found > possible.length) violate(world, `${key} is ${found} times on record and was not done as often`)
  }
  if (records.length > 0) count(world, "the audit log read after a start")
}

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

/** Ends that only a client of another making can cause. */
const brokenBy = new Set<unknown>(["protocol-violation", "frame-refused", "message-refused", "handshake-refused"])

/** No account here is ever disabled or moved; a new password ends no session. */
const revoked = "revoked"

/** A defect shows in the log of its connection and nowhere else. */
const logTo = (world: World) =>
  Logger.layer([
    Logger.make(({ cause, fiber, message }) => {
      const annotations = fiber.getRef(References.CurrentLogAnnotations)
      const outcome = annotations["outcome"]
      note(world, `server: ${[message].flat().map(String).join(" ")}${outcome === undefined ? "" : ` (${outcome})`}`)
      if (outcome === "defect") violate(world, `a defect in a connection: ${Cause.pretty(cause)}`)
      if (brokenBy.has(outcome)) violate(world, `a client broke the protocol: ${String(outcome)}`)
      if (outcome === revoked) violate(world, "a session was ended whose account may go on")
    })
  ])

/** Gives the accounts what they may do from now on. */
const grantAll = ({ accounts, broken, quota, schedule, shared }: World) =>
  Effect.forEach(
    shared.registered.records.keys(),
    (user) => {
      const root = schedule.roots[user === Fixture.ada.user ? "ada" : "grace"]
      const grant: Grant = {
        ...everything,
        ...(root !== undefined && { root: FileName.FileName.make(root) }),
        ...(quota && { quota })
      }
      return accounts.change(user, (one) => ({ ...one, grant: broken.grant?.(grant) ?? grant }))
    },
    { discard: true }
  )

const serverLayer = (world: World) => {
  const { auditDisk, broken, disk, folder, random, shared } = world
  const accounts = Layer.effectDiscard(grantAll(world)).pipe(
    Layer.provideMerge(Layer.succeed(Accounts, world.accounts)),
    Layer.orDie
  )
  const store = FileStoreDisk.layer().pipe(
    (layer) =>
      Layer.effect(
        FileStore,
        Effect.map(FileStore, (made) => broken.store?.(made) ?? made)
      ).pipe(Layer.provide(layer)),
    Layer.provide(Layer.succeed(Disk, disk))
  )
  const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => Math.floor(random() * 256))
  // Seats and meter are those of the server: one layer is built once.
  return Layer.mergeAll(Server.layer, Seats.layer, Meter.layer).pipe(
    Layer.provideMerge(Layer.provide(AuditFile.layer(), Layer.succeed(Disk, auditDisk))),
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
    const before = yield* world.control.operations
    const scope = yield* Scope.make()
    const built = yield* Effect.exit(Layer.buildWithMemoMap(serverLayer(world), Layer.makeMemoMapUnsafe(), scope))
    if (Exit.isSuccess(built)) {
      // A fault that the start itself has met may leave a rename for the next one.
      if (world.faultAt <= before || world.faultAt > (yield* world.control.operations)) world.doubled = world.unwritten
      // Whatever the start has begun ends before anybody is counted.
      for (let turn = 0; turn < 50; turn += 1) yield* Effect.yieldNow
      const gone = yield* Deferred.make<void>()
      world.server = { scope, services: built.value, gone, fibers: world.machine.fibers() }
      yield* readAudit(world, built.value)
      return note(world, "the server has started")
    }
    yield* Scope.close(scope, Exit.void)
    note(world, "the server could not start")
    if (!world.hurt || attempt === startsMax) violate(world, "the server does not start")
  }
})

const readAudit = Effect.fnUntraced(function* (world: World, services: Context.Context<Audit>) {
  const records = yield* Effect.exit(Stream.runCollect(Context.get(services, Audit).records))
  if (Exit.isSuccess(records)) checkAudit(world, records.value)
  else violate(world, `the audit log cannot be read: ${Cause.pretty(records.cause)}`)
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
  world.passwords.serverStopped()
  const open = (yield* world.control.openFiles) + (yield* world.auditControl.openFiles)
  if (open > 0) violate(world, `the server has stopped and left ${open} files open`)
})

/** The power goes: nothing reaches the disk any more, every connection breaks, and what was not synced is lost. */
export const crash = Effect.fnUntraced(function* (world: World): Effect.fn.Return<void> {
  note(world, "the power goes")
  world.hurt = true
  yield* world.control.cutAt((yield* world.control.operations) + 1)
  yield* world.auditControl.cutAt((yield* world.auditControl.operations) + 1)
  const now = world.machine.elapsed()
  for (const order of world.orders) {
    if (order.status === "pending" || order.at + auditDelayMilliseconds >= now) order.excused = true
  }
  if (world.server !== undefined) yield* Deferred.succeed(world.server.gone, undefined)
  yield* stop(world)
  yield* world.control.crash
  yield* world.auditControl.crash
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
