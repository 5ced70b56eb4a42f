/** Cases that move the same files with every contestant, round by round, one after the other. */
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case, Scale } from "./Bench.ts"
import type { Contestant, Operation, Service } from "./Contestant.ts"
import { type Command, output, quiet, run, type Run, runAll, type RunOptions } from "./Processes.ts"
import * as Data from "./Data.ts"
import * as Place from "./Place.ts"

/** A timing is taken again when others used more cores than that. */
const foreignCoresMax = 0.3
const triesMax = 3
/** Longer ones are not taken again. */
const againSecondsMax = 20
const secondsMax = 600
/** Timings longer than that are taken twice. */
const longSeconds = 30

/** A contestant that is ready, with its folders. */
export interface Stand {
  readonly contestant: Contestant
  readonly service: Service
  /** the folder that is served */
  readonly root: string
  /** the client's folder for what it gets */
  readonly client: string
}

export interface Step {
  readonly operation: Operation
  /** what it is called in tables, when an operation comes more than once */
  readonly as?: string
  /** name of the file or folder that is moved, made by `data` */
  readonly item: string
  /** words that the listing must print: the last of them ends the time */
  readonly wanted?: ReadonlyArray<string>
  /** so many at once, each under a name of its own */
  readonly times?: number
}

export interface Transfers extends Omit<Case, "run"> {
  /** no more rounds than that, however many are asked for */
  readonly roundsMax?: number
  /** those that take part, if they are here */
  readonly contestants: ReadonlyArray<string>
  /** Makes what is moved in the folder of data. */
  readonly data: (bench: Bench) => void
  readonly steps: (scale: Scale) => ReadonlyArray<Step>
}

/** What uploads are called at the server: told apart from what is there to be downloaded. */
const uploaded = "up"
export const served = "down"

/** Starts a contestant's server; what is downloaded lies in its root as further names of the files of `data`. */
export const stand = async (
  bench: Bench,
  name: string,
  contestant: Contestant,
  place: Place.Place,
  items: ReadonlyArray<string>,
  durable = false
): Promise<Stand> => {
  const folder = bench.folder(join(name, contestant.name))
  const [root, client, own] = [join(folder, "root"), join(folder, "client"), join(folder, "own")]
  for (const path of [root, client, own, join(root, served)]) mkdirSync(path)
  for (const item of items) await output("cp", "-al", join(bench.data, item), join(root, served, item))
  const service = await contestant.start({ folder: own, root, place, durable })
  return { contestant, service, root, client }
}

/** Takes away what was moved. */
export const clean = ({ client, root }: Stand): void => {
  for (const name of readdirSync(root)) {
    if (name !== served && !name.startsWith(".")) rmSync(join(root, name), { recursive: true })
  }
  rmSync(client, { recursive: true })
  mkdirSync(client)
}

interface Paths {
  readonly from: string
  readonly to: string
  /** what is to be equal */
  readonly source: string
  readonly target: string
}

const pathsOf = (bench: Bench, { client, root }: Stand, { item, operation }: Step): Paths => {
  const source = join(bench.data, item)
  if (operation === "get" || operation === "getTree") {
    const target = join(client, item)
    return { from: join(served, item), to: target, source, target }
  }
  // A folder keeps its name: not everybody can give it another.
  const to = operation === "putTree" ? item : uploaded
  return { from: operation === "list" ? join(served, item) : source, to, source, target: join(root, to) }
}

const arrived = ({ operation, times }: Step, { source, target }: Paths, first: boolean): boolean => {
  if (operation === "list") return true
  const look = first ? Data.same : Data.alike
  if (times !== undefined) return [...numbers(times)].every((index) => look(source, `${target}-${index}`))
  return look(source, target)
}

const numbers = (count: number) => Array.from({ length: count }).keys()

/** The programs of a step; none when the contestant cannot do it. */
const commandsOf = ({ service }: Stand, { operation, times }: Step, { from, to }: Paths): ReadonlyArray<Command> => {
  if (times !== undefined && service.putMany !== undefined) return [service.putMany(from, to, times)]
  const command = service.commands[operation]
  if (command === undefined) return []
  return times === undefined
    ? [command(from, to)]
    : Array.from(numbers(times), (index) => command(from, `${to}-${index}`))
}

/** Runs one program of a stand to its end; fails when it does. */
export const ran = async (
  command: Command | undefined,
  { service }: Stand,
  options: Omit<RunOptions, "server"> = { secondsMax }
): Promise<Run> => {
  if (command === undefined) throw new Error("has no such command")
  const result = await run(command, { ...options, server: service.server })
  if (result.code !== 0) throw new Error(`ended with ${String(result.code)}: ${result.errors.slice(-300)}`)
  return result
}

const can = ({ service }: Stand, { operation, times }: Step): boolean =>
  service.commands[operation] !== undefined || (times !== undefined && service.putMany !== undefined)

/** One timing, again when it was disturbed. */
export const timed = async <A extends Run>(bench: Bench, once: () => Promise<A>): Promise<A> => {
  let best: A | undefined
  for (let tries = 0; tries < triesMax; tries += 1) {
    await quiet(bench.options.patience)
    const result = await once()
    if (best === undefined || result.foreignCores < best.foreignCores) best = result
    if (best.foreignCores <= foreignCoresMax || best.seconds > againSecondsMax) break
    if (bench.options.patience === 0) break
  }
  if (best === undefined) throw new Error("nothing was timed")
  return best
}

const one = async (bench: Bench, spec: Transfers, place: Place.Place, stand: Stand, step: Step, round: number) => {
  const { contestant, service } = stand
  const key = { case: spec.name, operation: step.as ?? step.operation, contestant: contestant.name, round }
  if (!can(stand, step) || bench.has(key)) return
  // What takes so long is not taken often.
  if (round > 2 && (bench.secondsOf({ ...key, round: 2 }) ?? 0) > longSeconds) return
  bench.check()
  const paths = pathsOf(bench, stand, step)
  let crossed = 0
  const result = await timed(bench, async () => {
    clean(stand)
    const ready = commandsOf(stand, step, paths)
    const before = place.bytes()
    const options = { server: service.server, memory: round === 0, secondsMax }
    const result = await runAll(ready, step.wanted === undefined ? options : { ...options, wanted: step.wanted })
    crossed = place.bytes() - before
    return result
  })
  const missed = step.wanted !== undefined && result.printed === undefined
  if (result.code !== 0 || missed) {
    const said = result.errors.trim() === "" ? result.output : result.errors
    throw new Error(`ended with ${String(result.code)}: ${said.trim().slice(-300)}`)
  }
  if (!arrived(step, paths, round === 0)) throw new Error("what arrived is not what was sent")
  bench.record({
    ...key,
    seconds: result.printed ?? result.seconds,
    clientCpu: result.clientCpu,
    serverCpu: result.serverCpu,
    bytes: Number.isNaN(crossed) ? null : crossed,
    clientMiB: round === 0 ? result.clientMiB : null,
    serverMiB: round === 0 ? result.serverMiB : null,
    foreignCores: result.foreignCores
  })
}

/** Starts all that take part; those that do not start are told and left out. */
export const stands = async (
  bench: Bench,
  name: string,
  names: ReadonlyArray<string>,
  place: Place.Place,
  items: ReadonlyArray<string>,
  durable = false
): Promise<ReadonlyArray<Stand>> => {
  const all: Array<Stand> = []
  for (const contestant of bench.contestants.filter((one) => names.includes(one.name))) {
    try {
      all.push(await stand(bench, name, contestant, place, items, durable))
    } catch (error) {
      bench.failed({ case: name, operation: "start", contestant: contestant.name, detail: String(error) })
    }
  }
  return all
}

/** In each round another one begins. */
export const turned = <A>(all: ReadonlyArray<A>, round: number): ReadonlyArray<A> => {
  const first = round % Math.max(1, all.length)
  return [...all.slice(first), ...all.slice(0, first)]
}

/** One thing that is done with everybody in each round. */
export interface Turn {
  readonly label: string
  readonly run: (stand: Stand, round: number) => Promise<void>
}

/** All of them with everybody, round by round; who fails at one is told and does it no more. */
export const rounds = async (
  bench: Bench,
  name: string,
  all: ReadonlyArray<Stand>,
  turns: ReadonlyArray<Turn>,
  roundsMax = Number.POSITIVE_INFINITY
): Promise<void> => {
  const out = new Set<string>()
  for (let round = 0; round <= Math.min(bench.options.rounds, roundsMax); round += 1) {
    for (const { label, run } of turns) {
      for (const stand of turned(all, round)) {
        const contestant = stand.contestant.name
        if (out.has(`${contestant} ${label}`)) continue
        try {
          await run(stand, round)
        } catch (error) {
          if (!(error instanceof Error) || error.name === "TimeOver") throw error
          out.add(`${contestant} ${label}`)
          bench.failed({ case: name, operation: label, contestant, detail: error.message })
        }
      }
    }
  }
}

/** Rounds of all steps with all contestants. */
export const transfers = (spec: Transfers): Case => ({
  ...spec,
  run: async (bench) => {
    const folder = bench.folder(spec.name)
    spec.data(bench)
    const place = await Place.open(spec.wire, folder)
    const steps = spec.steps(bench.scale)
    const items = [...new Set(steps.map(({ item }) => item))]
    const all = await stands(bench, spec.name, spec.contestants, place, items)
    const turns = steps.map((step) => ({
      label: step.as ?? step.operation,
      run: (stand: Stand, round: number) => one(bench, spec, place, stand, step, round)
    }))
    try {
      await rounds(bench, spec.name, all, turns, spec.roundsMax)
    } finally {
      for (const { service } of all) await service.stop()
      await place.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
})
