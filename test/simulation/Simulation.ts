/**
 * Runs a schedule against the real server and real clients, and looks for what must never happen.
 *
 * After every step each name holds whole content that some client had sent, and nothing acknowledged is lost. At the
 * end everything has ended, nothing is held, and the world is still of use.
 */
import { quickCrypto } from "../crypto.ts"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { fromUtf8 } from "../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import { Meter } from "../../src/domain/store/Meter.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Account from "./Account.ts"
import * as Operation from "./Operation.ts"
import * as Schedule from "./Schedule.ts"
import * as VirtualMachine from "./VirtualMachine.ts"
import * as World from "./World.ts"

/** What came of a simulation. */
export interface Result {
  readonly schedule: Schedule.Schedule
  /** empty when nothing was wrong */
  readonly violations: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
  /** of the trace and of everything the disk was asked for: equal for equal runs */
  readonly hash: string
  /** virtual */
  readonly milliseconds: number
  readonly tasks: number
  /** how often what was seen */
  readonly seen: ReadonlyMap<string, number>
}

/** Made once: keys, accounts and native libraries do not change what happens. */
export const shared: Effect.Effect<World.Shared> = Effect.scoped(
  Effect.gen(function* () {
    const layer = quickCrypto
    const services = yield* Layer.build(layer)
    return { services, registered: yield* Effect.orDie(Effect.provide(Fixture.registered, services)) }
  })
)

/** A run that takes more turns than this does not end: a hundred times what honest ones take. */
const tasksMax = 30_000_000

/** A run that takes more virtual time than this hangs: every wait in it has a deadline. */
const millisecondsMax = 4 * 60 * 60_000

/** The same schedule gives the same result. */
export const run = (shared: World.Shared, schedule: Schedule.Schedule, broken: World.Broken = {}): Result => {
  let world: World.World | undefined
  let journal: ReadonlyArray<string> = []
  const { machine, outcome } = VirtualMachine.run(
    { seed: schedule.seed, choices: schedule.choices, tasksMax, millisecondsMax },
    (machine) =>
      Effect.gen(function* () {
        const made = yield* World.make(shared, schedule, machine, broken)
        world = made
        Account.register(made)
        yield* live(made)
        journal = yield* made.control.journal
      })
  )
  const violations = [...(world?.violations ?? []), ...machine.defects.map((defect) => `a defect: ${defect}`)]
  if (outcome._tag === "Stuck") violations.push(`not quiet after ${machine.elapsed()} ms: something hangs`)
  if (outcome._tag === "Endless") violations.push(`did not end within ${tasksMax} turns`)
  if (outcome._tag === "Ended" && Exit.isFailure(outcome.exit))
    violations.push(`the simulation failed: ${outcome.exit.cause}`)
  const trace = world?.trace ?? []
  const hash = digestOf(Context.get(shared.services, Digest), [
    fromUtf8([...trace, ...journal, machine.tasks(), machine.elapsed()].join("\n"))
  ])
  return {
    schedule,
    violations,
    trace,
    hash,
    milliseconds: machine.elapsed(),
    tasks: machine.tasks(),
    seen: world?.seen ?? new Map()
  }
}

// -----------------------------------------------------------------------------
// A life
// -----------------------------------------------------------------------------

/** A command under way. */
interface Begun {
  readonly id: number
  readonly fiber: Fiber.Fiber<void>
  /** virtual time, milliseconds */
  readonly since: number
  readonly what: string
}

interface Client {
  readonly person: Operation.Person
  cut: Deferred.Deferred<void>
}

interface Life {
  readonly world: World.World
  readonly clients: ReadonlyArray<Client>
  readonly begun: Array<Begun>
}

const makeClient = Effect.fnUntraced(function* (world: World.World, number: number, clean = false) {
  const client: { cut: Deferred.Deferred<void> } = { cut: yield* Deferred.make<void>() }
  const person = yield* Operation.person(world, number, () => Deferred.await(client.cut), clean)
  return Object.assign(client, { person }) satisfies Client
})

const live = Effect.fnUntraced(function* (world: World.World): Effect.fn.Return<void> {
  const fibers = world.machine.fibers()
  yield* World.start(world)
  const clients = yield* Effect.forEach(Array.from({ length: Schedule.clients }), (_, number) =>
    makeClient(world, number)
  )
  const life: Life = { world, clients, begun: [] }
  for (const [index, step] of world.schedule.steps.entries()) {
    if (world.violations.length + world.machine.defects.length > 0) return
    World.note(world, `step ${index + 1}: ${Schedule.showAction(step.action)}`)
    yield* act(life, step.action)
    yield* pause(step.pause)
    yield* checkStore(world)
  }
  yield* settle(life)
  yield* World.stop(world)
  if (world.violations.length > 0) return
  if (world.machine.fibers() > fibers) {
    World.violate(world, `everything has ended, and ${world.machine.fibers() - fibers} fibers are left`)
  }
  if (world.machine.sleeping() > 0) World.violate(world, `everything has ended, and somebody still sleeps`)
})

const pause = (pause: Schedule.Pause): Effect.Effect<void> =>
  "turns" in pause
    ? Effect.forEach(Array.from({ length: pause.turns }), () => Effect.yieldNow, { discard: true })
    : Effect.sleep(pause.milliseconds)

const begin = Effect.fnUntraced(function* (
  { begun, world }: Life,
  what: string,
  work: (id: number) => Effect.Effect<void>
) {
  const id = begun.length + 1
  const fiber = yield* Effect.forkDetach(work(id), { startImmediately: true })
  begun.push({ id, fiber, since: world.machine.elapsed(), what })
})

const act = Effect.fnUntraced(function* (life: Life, action: Schedule.Action): Effect.fn.Return<void> {
  const { begun, clients, world } = life
  const { control } = world
  switch (action._tag) {
    case "Run": {
      const client = clients[action.client]
      if (client === undefined) return
      return yield* begin(life, Schedule.showCommand(action.command), (id) =>
        Operation.run(world, client.person, action.command, id)
      )
    }
    case "Interrupt": {
      const going = begun.filter(({ fiber }) => fiber.pollUnsafe() === undefined)
      const one = going[action.which % Math.max(1, going.length)]
      if (one !== undefined) yield* Effect.forkDetach(Fiber.interrupt(one.fiber), { startImmediately: true })
      return
    }
    case "Cut": {
      const client = clients[action.client]
      if (client === undefined) return
      yield* Deferred.succeed(client.cut, undefined)
      client.cut = yield* Deferred.make<void>()
      return
    }
    case "Stranger":
      return yield* begin(life, action.kind, (id) => Operation.stranger(world, action.kind, id))
    case "Crash": {
      world.hurt = true
      yield* control.cutAt((yield* control.operations) + action.operations)
      yield* Effect.sleep(action.milliseconds)
      yield* World.crash(world)
      yield* Effect.sleep(action.down)
      yield* checkStore(world)
      return yield* startAndCheck(world)
    }
    case "Drain":
      yield* World.stop(world)
      yield* checkStore(world)
      yield* Effect.sleep(action.down)
      return yield* startAndCheck(world)
    case "DiskFault": {
      const at = (yield* control.operations) + action.operations
      world.hurt = true
      world.faultAt = Math.max(world.faultAt, at)
      return yield* control.failAt(at, action.code)
    }
  }
})

// -----------------------------------------------------------------------------
// What must be true
// -----------------------------------------------------------------------------

/** What a start is to put in order is in order when it has ended. */
const startAndCheck = (world: World.World): Effect.Effect<void> =>
  Effect.andThen(
    World.start(world),
    Effect.suspend(() => checkStore(world))
  )

const isStaged = (path: string): boolean => path.startsWith(`${stagingFolder}/`)

/** Every name holds whole content that was sent under it, and no acknowledged name is missing. */
const checkStore = Effect.fnUntraced(function* (world: World.World): Effect.fn.Return<void> {
  const { control, history, shared } = world
  const digest = Context.get(shared.services, Digest)
  const found = new Map<string, string>()
  const digests = new Map<string, string>()
  const held: Array<Held> = []
  const now = history.now()
  for (const [path, bytes] of yield* control.files) {
    if (isStaged(path)) continue
    const key = Operation.keyOf(path)
    const other = found.get(key)
    // Of a rename that was broken off both names stand until the server starts.
    if (other !== undefined && world.server !== undefined && !renaming(world))
      World.violate(world, `${other} and ${path} are the same name`)
    found.set(key, path)
    const own = digestOf(digest, [bytes])
    digests.set(key, own)
    held.push({ key, bytes: bytes.length })
    if (history.contents(key, now, history.now()).some((held) => held.digest === own)) continue
    const sent = history.contents(key, 0, history.now()).some((held) => held.digest === own)
    const why = sent ? "that were replaced by what was acknowledged" : "that no client had sent"
    World.violate(world, `${path} holds ${bytes.length} bytes ${why}`)
  }
  for (const key of history.keys()) {
    if (history.mustExist(key, now, now) && !found.has(key)) World.violate(world, `${key} was acknowledged and is gone`)
  }
  for (const { content, from, to } of history.moves()) {
    if (digests.get(from) === content.digest || digests.get(to) === content.digest) continue
    World.violate(world, `what was renamed from ${from} to ${to} is under neither name`)
  }
  checkQuota(world, held)
})

/** Whether a file may stand under two names: for as long as a rename takes, or a start has not finished it. */
const renaming = ({ doubled, underway }: World.World): boolean =>
  doubled || underway.some(({ command }) => command._tag === "Rename")

/** A file of the store. */
interface Held {
  readonly key: string
  readonly bytes: number
}

/** The roots of the accounts, each once. */
const rootsOf = ({ schedule: { roots } }: World.World): ReadonlyArray<string | undefined> => [
  ...new Set([roots.ada, roots.grace])
]

/**
 * No root holds more than the quota. Where one is inside the other, each account keeps to its own: what both have
 * brought may be there together.
 */
const checkQuota = (world: World.World, held: ReadonlyArray<Held>): void => {
  const { quota } = world
  if (quota === undefined || renaming(world)) return
  const roots = rootsOf(world)
  const nested = roots.length > 1 && roots.includes(undefined)
  for (const root of nested ? [undefined] : roots) {
    const own = root === undefined ? held : held.filter(({ key }) => key.startsWith(`${Operation.keyOf(root)}/`))
    const bytes = own.reduce((total, one) => total + one.bytes, 0)
    const factor = nested ? 2 : 1
    const { bytes: bytesMax = Number.POSITIVE_INFINITY, files: filesMax = Number.POSITIVE_INFINITY } = quota
    if (bytes > factor * bytesMax) World.violate(world, `${bytes} bytes are held, and the quota is ${bytesMax}`)
    if (own.length > factor * filesMax)
      World.violate(world, `${own.length} files are held, and the quota is ${filesMax}`)
  }
}

/** Longer than any command may take: dialling with its retries, and a transfer that moves now and then. */
const commandMillisecondsMax = 30 * 60_000

/** Longer than what is idle may stay. */
const idleMilliseconds = 11 * 60_000

const awaitAll = Effect.fnUntraced(function* ({ begun, world }: Life): Effect.fn.Return<void> {
  for (const { fiber, id, since, what } of begun) {
    const left = Math.max(1, since + commandMillisecondsMax - world.machine.elapsed())
    const ended = yield* Effect.timeoutOption(Fiber.await(fiber), left)
    if (Option.isNone(ended)) World.violate(world, `#${id} did not end within ${commandMillisecondsMax} ms: ${what}`)
  }
})

const leave = Effect.fnUntraced(function* (world: World.World, { person }: Client): Effect.fn.Return<void> {
  const left = yield* Effect.timeoutOption(Scope.close(person.scope, Exit.void), 60_000)
  if (Option.isNone(left)) World.violate(world, `client ${person.number} could not leave`)
})

/** All commands end, all clients leave, and then nothing is held; after a last power cut everything still works. */
const settle = Effect.fnUntraced(function* (life: Life): Effect.fn.Return<void> {
  const { clients, world } = life
  if (world.violations.length > 0) return
  World.note(world, "the end of the schedule")
  yield* awaitAll(life)
  yield* Effect.forEach(clients, (client) => leave(world, client), { discard: true })
  yield* Effect.sleep(idleMilliseconds)
  // Faults that nothing has met are used up: from here on the disk is sound.
  while ((yield* world.control.operations) < world.faultAt) yield* Effect.ignore(world.disk.freeBytes)
  yield* checkQuiet(world)
  yield* checkStore(world)
  yield* World.crash(world)
  yield* checkStore(world)
  // The last client is to find room.
  world.quota = undefined
  yield* World.start(world)
  yield* checkUse(life)
  yield* checkStore(world)
})

const seats = ({ server }: World.World): Effect.Effect<number> =>
  server === undefined ? Effect.succeed(0) : Effect.map(Context.get(server.services, Seats).count, ({ all }) => all)

/** Nobody is connected and nothing is under way. */
const checkQuiet = Effect.fnUntraced(function* (world: World.World): Effect.fn.Return<void> {
  const { control, machine, server } = world
  if (server === undefined) return
  const taken = yield* seats(world)
  if (taken > 0) World.violate(world, `${taken} seats are taken by nobody`)
  const open = yield* control.openFiles
  if (open > 0) World.violate(world, `${open} files are open for nobody`)
  if (machine.fibers() > server.fibers) {
    World.violate(world, `${machine.fibers() - server.fibers} fibers run for nobody`)
  }
  for (const [path, bytes] of yield* control.files) {
    // What a broken disk or a power cut has left is swept by a later start.
    if (!isStaged(path) || world.hurt) continue
    if (!path.includes("/r-")) World.violate(world, `${path} is staged for nobody`)
    if (bytes.length < resumeBytesMin) World.violate(world, `${path} is not worth keeping`)
  }
  const live = Array.from(yield* control.files).filter(([path]) => !isStaged(path))
  for (const root of rootsOf(world)) {
    const usage = yield* Context.get(server.services, Meter).usage(root === undefined ? root : FileName.make(root))
    if (usage === undefined) continue
    const { reserved, used } = usage
    if (reserved.bytes + reserved.files > 0) {
      World.violate(world, `${JSON.stringify(reserved)} of the quota are reserved for nobody`)
    }
    const held = live.filter(([path]) => root === undefined || path.startsWith(`${root}/`))
    const bytes = held.reduce((sum, [, content]) => sum + content.length, 0)
    if (used.bytes < bytes || used.files < held.length) {
      World.violate(world, `${JSON.stringify(used)} are counted, but ${held.length} files of ${bytes} bytes are there`)
    }
  }
  // All that is free can be had: nothing is reserved any more.
  const store = Context.get(server.services, FileStore)
  const size = yield* Effect.orElseSucceed(world.disk.freeBytes, () => 0)
  const probe = yield* Effect.exit(Effect.scoped(store.stage({ name: FileName.make("probe"), size, modified: 0 })))
  if (Exit.isFailure(probe)) World.violate(world, `free space cannot be used: ${probe.cause}`)
})

/** A last client, with a network without faults, can do everything. */
const checkUse = Effect.fnUntraced(function* (life: Life): Effect.fn.Return<void> {
  const { world } = life
  const last = yield* makeClient(world, 1, true)
  const again = { ...life, begun: [] as Array<Begun> }
  const does = (command: Schedule.Command) =>
    begin(again, Schedule.showCommand(command), (id) => Operation.run(world, last.person, command, 1_000 + id))
  yield* does({ _tag: "Fetch", digests: true })
  yield* does({ _tag: "FetchAlike", names: ["FOLDER"] })
  for (const name of Schedule.names.slice(0, 3)) yield* does({ _tag: "Download", name })
  yield* awaitAll(again)
  if ((yield* seats(world)) !== 1) World.violate(world, "the last client has no seat of its own")
  const files = yield* world.control.files
  const { root } = last.person
  for (const name of Schedule.names.slice(0, 3)) {
    const key = Operation.keyOf(World.whole(root, name))
    const path = [...files.keys()].find((path) => !isStaged(path) && Operation.keyOf(path) === key)
    const spelling = path === undefined || root === undefined ? (path ?? name) : path.slice(root.length + 1)
    const content = { lineage: 7, version: 1, size: 100, grows: false, modified: 1 }
    yield* does({ _tag: "Upload", name: spelling, content })
    yield* awaitAll(again)
    if (!world.history.mustExist(key, world.history.now(), world.history.now()))
      World.violate(world, `${name} can no longer be uploaded`)
  }
  yield* leave(world, last)
})
