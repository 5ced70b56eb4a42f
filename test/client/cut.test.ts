/**
 * Commands of several clients whose connections are cut, fall silent or meet a server that stops and starts again, at
 * any byte: all of them end in bounded time, what they tell is true of the server's files, and nothing is left.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Socket } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import { Reporter, type Transferred } from "../../src/client/Reporter.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import { stagingFolder } from "../../src/domain/file/FileName.ts"
import {
  drainMillisecondsMax,
  goodbyeMillisecondsMax,
  stagedLeftoverMillisecondsMax,
  stallMillisecondsMax
} from "../../src/domain/limits.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { type Draw, drawer } from "../draw.ts"
import * as Simulation from "../simulation/Simulation.ts"
import type * as VirtualMachine from "../simulation/VirtualMachine.ts"
import { makeServer, wrongIn } from "./restarting.ts"
import { yields } from "../server/world.ts"

type Shared = Effect.Success<typeof Simulation.shared>

const sizes = [10, 60_000, 300_000, 300_000, 1_300_000, 2_500_000]

/** After so many bytes in a direction nothing crosses any more, either way, and nobody is told. */
const silentAfter = (socket: Socket.Socket, world: Scope.Scope, limit: number, takes: boolean): Socket.Socket => {
  let crossed = 0
  const isSilent = (bytes: number) => (crossed += bytes) > limit
  return Socket.make({
    reader: Effect.map(Scope.provide(socket.reader, world), (inner) => ({
      ...inner,
      pull: Effect.flatMap(inner.pull, (chunks) =>
        isSilent(chunks.reduce((sum, chunk) => sum + chunk.length, 0)) ? Effect.never : Effect.succeed(chunks)
      )
    })),
    writer: Effect.map(Scope.provide(socket.writer, world), (inner) => {
      const lost = takes ? Effect.void : Effect.never
      return {
        write: (chunk) =>
          Socket.isCloseEvent(chunk) ? Effect.void : isSilent(chunk.length) ? lost : inner.write(chunk),
        writeAll: (chunks) =>
          isSilent(chunks.reduce((sum, chunk) => sum + chunk.length, 0)) ? lost : inner.writeAll(chunks)
      }
    })
  })
}

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

interface Heard {
  /** what was told as sent: the digest of each name */
  readonly told: Map<string, string>
  readonly notes: Array<string>
}

const listener = ({ notes, told }: Heard, isHere: (path: string, digest: string) => boolean): Reporter["Service"] => {
  const transferred = ({ digest, name, path }: Transferred): void => {
    if (path === undefined) told.set(name, digest)
    else if (!isHere(path, digest)) notes.push(`LIE: ${path} is not here`)
  }
  return {
    listed: () => Effect.void,
    listingChanged: () => Effect.void,
    follow: () => Effect.succeed(() => {}),
    tellsEach: true,
    transferred: (one) => Effect.sync(() => transferred(one)),
    transferredAll: (all) => Effect.sync(() => all.forEach(transferred)),
    changed: () => Effect.void,
    passwordMade: () => Effect.void,
    verified: () => Effect.void,
    summed: () => Effect.void,
    planned: () => Effect.void,
    leftOut: () => Effect.void,
    failed: ({ error }) => Effect.sync(() => void notes.push(`failed: ${error.message}`)),
    note: (text) => Effect.sync(() => void notes.push(text))
  }
}

const tree = { include: [], exclude: [], dryRun: false, remove: false, checksum: false }

const commandOf = (drawn: Draw, local: string, to: string): Commands.Command =>
  drawn.one<Commands.Command>([
    { _tag: "Upload", files: [local], as: undefined, tree },
    { _tag: "Upload", files: [local], as: undefined, tree },
    { _tag: "Para", files: [local], as: undefined, tree: { ...tree, remove: drawn.chance(0.3) } },
    { _tag: "Para", files: [local], as: undefined, tree: { ...tree, checksum: true } },
    { _tag: "Download", names: [local], to, tree: { ...tree, remove: drawn.chance(0.3) } },
    { _tag: "Download", names: [local], to, tree: { ...tree, checksum: true } },
    { _tag: "Upload", files: [`${local}/f1`], as: `${local}/f1` },
    { _tag: "Para", files: [`${local}/f4`], as: `${local}/f4` },
    { _tag: "Download", names: [`${local}/f4`], to: `${to}/f4` },
    { _tag: "Fetch", pattern: undefined, digests: drawn.chance(0.3) },
    { _tag: "Remove", names: [`${local}/f1`, `${local}/f2`] },
    { _tag: "Rename", name: `${local}/f3`, to: `${local}/f5`, replace: true },
    { _tag: "Rename", name: `${local}/f5`, to: `${local}/g`, replace: true }
  ])

const faultsOf = (drawn: Draw): FaultySocket.Faults => {
  const place = drawn.chance(0.5) ? 1500 + drawn.below(200_000) : 1500 + drawn.below(3_000_000)
  return drawn.one<FaultySocket.Faults>([
    {},
    { cutAfterBytes: place },
    { cutAfterBytes: 1200 + drawn.upTo(20_000) },
    { halfCloseAfterBytes: place },
    { halfCloseAfterBytes: 1200 + drawn.upTo(20_000) },
    { delayMillisecondsMax: 20 + drawn.upTo(2000) }
  ])
}

interface Person extends Heard {
  readonly number: number
  readonly works: Array<{ what: string; fiber: Fiber.Fiber<void, unknown>; interrupted: boolean }>
  readonly scope: Scope.Closeable
  readonly files: Map<string, LocalFilesMemory.MemoryFile>
}

const numbers = [0, 1, 2]

const folderOf = (mixed: boolean, person: number, at: number): string => (mixed ? `s-${at}` : `p${person}-${at}`)

const largeOne = (drawn: Draw) => Fixture.bytes(1 + drawn.below(6), drawn.one(sizes))

const smallOne = (drawn: Draw) => Fixture.bytes(1 + drawn.below(200), drawn.upTo(20_000))

/** The first of all has a sound connection, and the others have one after some that were not. */
const spoiling = ({ drawn, silent }: World, number: number) => {
  let dials = 0
  return (socket: Socket.Socket): Socket.Socket => {
    dials += 1
    if (number === 0 || dials > 12) return socket
    const place = drawn.chance(0.3) ? drawn.upTo(2_000_000) : 1500 + drawn.below(1_500_000)
    if (drawn.chance(0.25)) return silentAfter(socket, silent, place, drawn.chance(0.5))
    const hangWhenCut = drawn.chance(0.3)
    const faults = { reads: faultsOf(drawn), writes: drawn.chance(0.5) ? faultsOf(drawn) : {} }
    return FaultySocket.wrap(socket, { seed: drawn.below(1e9), hangWhenCut, ...faults })
  }
}

const fill = (world: World, number: number, files: Person["files"]): void => {
  const { drawn, mixed, sent } = world
  for (const at of numbers) {
    const folder = folderOf(mixed, number, at)
    const put = (name: string, bytes: Uint8Array) => {
      sent.add(hash(world, bytes))
      files.set(`${folder}/${name}`, { bytes, modified: 1000 * drawn.below(1e6) })
    }
    for (let index = drawn.one([2, 5, 12]); index > 0; index -= 1) put(`f${index}`, smallOne(drawn))
    put("f4", largeOne(drawn))
  }
}

/** One command after the other, as the shell runs them or as the program does. */
const inOrder = (commands: ReadonlyArray<Commands.Command>, asShell: boolean, { notes }: Heard) =>
  Effect.forEach(
    commands,
    Effect.fnUntraced(function* (command) {
      const sessions = asShell ? yield* Reconnect.ofOneCommand(yield* Sessions) : yield* Sessions
      const ran = Effect.provideService(Effect.scoped(Commands.run(command)), Sessions, sessions)
      yield* Effect.catch(ran, (error) => Effect.sync(() => void notes.push(`ended: ${error.message}`)))
    }),
    { discard: true }
  )

const makePerson = Effect.fnUntraced(function* (world: World, number: number): Effect.fn.Return<Person> {
  const { drawn, mixed, server, shared } = world
  const scope = yield* Scope.make()
  const who = number === 2 ? Fixture.grace : Fixture.ada
  const dial = Effect.map(server.dial, spoiling(world, number))
  const connect = Client.connect({ server: "memory", dial, ...who, eager: drawn.chance(0.7) })
  const layer = Layer.mergeAll(Sessions.layer(connect), LocalFilesMemory.layer()).pipe(
    Layer.provideMerge(Layer.succeedContext(shared.services))
  )
  const services = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
  const files = Context.get(services, LocalFilesMemory.MemoryFiles)
  fill(world, number, files)
  const heard: Heard = { told: new Map(), notes: [] }
  const isHere = (path: string, digest: string): boolean => {
    const file = files.get(path)
    return file !== undefined && hash(world, file.bytes) === digest
  }
  const asShell = drawn.chance(0.7)
  const works: Person["works"] = []
  for (const at of numbers.slice(drawn.below(numbers.length))) {
    const commands = Array.from({ length: 1 + drawn.below(3) }, () => {
      return commandOf(drawn, folderOf(mixed, number, at), `here${at}`)
    })
    const work = inOrder(commands, asShell, heard).pipe(
      Effect.provideService(Reconnect.Persistence, asShell),
      Effect.provideService(Reporter, listener(heard, isHere)),
      Effect.provideContext(services)
    )
    works.push({ what: JSON.stringify(commands), fiber: yield* Effect.forkDetach(work), interrupted: false })
  }
  return { number, ...heard, works, scope, files }
})

// -----------------------------------------------------------------------------
// What must be true
// -----------------------------------------------------------------------------

interface World {
  readonly shared: Shared
  readonly drawn: Draw
  readonly machine: VirtualMachine.Machine
  /** whether all people send under the same names */
  readonly mixed: boolean
  /** what anybody has ever sent */
  readonly sent: Set<string>
  readonly control: MemoryDisk.MemoryDisk["Service"]
  readonly server: Effect.Success<ReturnType<typeof makeServer>>
  /** connections that fell silent end with it */
  readonly silent: Scope.Closeable
  readonly wrong: Array<string>
}

const hash = ({ shared }: Pick<World, "shared">, bytes: Uint8Array): string =>
  digestOf(Context.get(shared.services, Digest), [bytes])

const plantAll = Effect.fnUntraced(function* (world: World) {
  const { control, drawn, mixed, sent } = world
  for (const person of numbers) {
    for (const at of numbers) {
      for (const index of [1, 2, 3, 4, 7]) {
        if (drawn.chance(0.4)) continue
        const content = index === 4 ? largeOne(drawn) : smallOne(drawn)
        sent.add(hash(world, content))
        yield* control.plant([folderOf(mixed, person, at), `f${index}`], { kind: "file", content })
      }
    }
  }
})

/** Stops the server, or interrupts somebody, at a moment of the seed's; gives the fiber in which it starts again. */
const disturb = Effect.fnUntraced(function* (world: World, people: ReadonlyArray<Person>) {
  const { drawn, machine, server, wrong } = world
  const pause = Effect.suspend(() => (drawn.chance(0.5) ? yields(drawn.below(3000)) : Effect.sleep(drawn.upTo(20_000))))
  const down = drawn.upTo(60_000)
  const restarting = Effect.gen(function* () {
    const began = machine.elapsed()
    yield* server.stop
    const took = machine.elapsed() - began
    if (took > drainMillisecondsMax + 2 * goodbyeMillisecondsMax) wrong.push(`the server took ${took} ms to stop`)
    yield* Effect.sleep(down)
    yield* server.start
  })
  const restarts = drawn.chance(0.5)
  if (restarts) yield* pause
  const restart = yield* Effect.forkDetach(restarts ? restarting : Effect.void)
  if (!drawn.chance(0.4)) return { restart, restarts }
  yield* pause
  const one = people[drawn.below(people.length)]?.works[0]
  if (one === undefined) return { restart, restarts }
  one.interrupted = true
  one.fiber.interruptUnsafe()
  return { restart, restarts }
})

/** How the work of one has come to its end. */
const judgeEnds = ({ wrong }: World, restarts: boolean, person: Person): void => {
  const { notes, number, works } = person
  for (const { fiber, interrupted, what } of works) {
    const exit = fiber.pollUnsafe()
    if (exit === undefined) wrong.push(`${number} does not end: ${what}`)
    else if (Exit.isFailure(exit) && !(interrupted && Cause.hasInterruptsOnly(exit.cause)))
      wrong.push(`${number}: ${what}: ${Cause.pretty(exit.cause)}`)
  }
  const isSound = number === 0 && !restarts && works.every(({ interrupted }) => !interrupted)
  for (const line of notes) {
    if (/LIE|protocol|did not arrive whole/.test(line)) wrong.push(`${number}: ${line}`)
    if (isSound && /^ended|connection was lost/.test(line)) wrong.push(`${number} was disturbed by another: ${line}`)
  }
}

/** Whole files everywhere, and what was told as sent is there. */
const judgeFiles = (world: World, people: ReadonlyArray<Person>, files: ReadonlyMap<string, Uint8Array>): void => {
  const { mixed, sent, wrong } = world
  for (const [path, bytes] of files) {
    if (!path.startsWith(`${stagingFolder}/`) && !sent.has(hash(world, bytes))) wrong.push(`${path} is a mixture`)
  }
  for (const { files: local, number, told, works } of people) {
    for (const [path, { bytes }] of local) {
      if (!sent.has(hash(world, bytes))) wrong.push(`${number}: ${path} here is a mixture`)
    }
    // Of names that are moved, removed or shared nobody knows what they hold at the end.
    if (mixed || works.some(({ what }) => /Rename|"Remove"|"remove":true/.test(what))) continue
    for (const [name, said] of told) {
      const there = files.get(name)
      if (there === undefined || hash(world, there) !== said) wrong.push(`${number}: ${name} was told and is not there`)
    }
  }
}

/** The longest that anybody here waits with patience for one command after the other, and more. */
const patienceSteps = 1800

const live = Effect.fnUntraced(function* (world: World) {
  const { control, machine, server, silent, wrong } = world
  const fibers = machine.fibers()
  yield* plantAll(world)
  yield* server.start
  const people = yield* Effect.forEach(numbers, (number) => makePerson(world, number))
  const { restart, restarts } = yield* disturb(world, people)
  const isOver = () => people.every(({ works }) => works.every(({ fiber }) => fiber.pollUnsafe() !== undefined))
  for (let step = 0; !isOver() && step < patienceSteps; step += 1) yield* Effect.sleep(2000)
  yield* Fiber.await(restart)
  for (const person of people) judgeEnds(world, restarts, person)
  for (const { scope } of people) yield* Scope.close(scope, Exit.void)
  yield* Scope.close(silent, Exit.void)
  // What is silent here is found so at the other end too.
  yield* Effect.sleep(2 * stallMillisecondsMax)
  yield* server.stop
  judgeFiles(world, people, yield* control.files)
  const isLeft = Effect.map(control.files, (all) => all.keys().some((path) => path.startsWith(`${stagingFolder}/`)))
  // The next start sweeps what is old.
  yield* Effect.sleep(stagedLeftoverMillisecondsMax + 60_000)
  yield* server.start
  yield* Effect.sleep(60_000)
  yield* server.stop
  if (yield* isLeft) wrong.push("something is staged that nobody sweeps")
  if ((yield* control.openFiles) > 0) wrong.push("files are open for nobody")
  if (machine.fibers() > fibers) wrong.push(`${machine.fibers() - fibers} fibers are left`)
})

const run = (shared: Shared, seed: number): ReadonlyArray<string> =>
  wrongIn(seed, (machine, wrong) =>
    Effect.gen(function* () {
      const drawn = drawer(seed)
      const made = yield* MemoryDisk.make({ seed, clones: drawn.chance(0.5) })
      const server = yield* makeServer(shared, made, seed)
      const silent = yield* Scope.make()
      const rest = { mixed: seed % 2 === 1, sent: new Set<string>(), control: made.control, server, silent, wrong }
      yield* live({ shared, drawn, machine, ...rest })
    })
  )

describe("clients whose connections are cut, and whose server starts again", () => {
  it.effect(
    "end, tell the truth and leave nothing",
    () =>
      Effect.gen(function* () {
        const shared = yield* Simulation.shared
        for (let seed = 0; seed < 25; seed += 1) assert.deepStrictEqual(run(shared, seed), [], `seed ${seed}`)
      }),
    120_000
  )
})
