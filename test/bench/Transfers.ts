/** Cases that move the same files with every contestant, round by round, one after the other. */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case } from "./Bench.ts"
import type { Contestant, Operation, Service } from "./Contestant.ts"
import * as Data from "./Data.ts"
import * as Place from "./Place.ts"
import { output, quiet, run, type Run } from "./Processes.ts"

/** A timing is taken again when others used more cores than that. */
const foreignCoresMax = 0.3
const triesMax = 3
/** Longer ones are not taken again. */
const againSecondsMax = 20
const secondsMax = 600

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
}

export interface Transfers extends Omit<Case, "run"> {
  /** Makes what is moved in the folder of data. */
  readonly data: (bench: Bench) => void
  readonly steps: ReadonlyArray<Step>
}

/** What uploads are called at the server: told apart from what is there to be downloaded. */
const uploaded = "up"
const served = "down"

/** Starts a contestant's server; what is downloaded lies in its root as further names of the files of `data`. */
export const stand = async (
  bench: Bench,
  name: string,
  contestant: Contestant,
  place: Place.Place,
  items: ReadonlyArray<string>
): Promise<Stand> => {
  const folder = bench.folder(join(name, contestant.name))
  const [root, client, own] = [join(folder, "root"), join(folder, "client"), join(folder, "own")]
  for (const path of [root, client, own, join(root, served)]) mkdirSync(path)
  for (const item of items) await output("cp", "-al", join(bench.data, item), join(root, served, item))
  const service = await contestant.start({ folder: own, root, place })
  return { contestant, service, root, client }
}

/** Takes away what was moved. */
const clean = ({ client, root }: Stand): void => {
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
  const target = join(root, uploaded)
  // A contestant that cannot name the folder of a tree puts its files into the root.
  return { from: operation === "list" ? join(served, item) : source, to: uploaded, source, target }
}

const arrived = (stand: Stand, { operation }: Step, { source, target }: Paths, first: boolean): boolean => {
  if (operation === "list") return true
  const look = first ? Data.same : Data.alike
  const flat = operation === "putTree" && !existsSync(target)
  return flat ? look(source, stand.root, join(stand.root, served)) : look(source, target)
}

/** One timing, again when it was disturbed. */
export const timed = async (bench: Bench, once: () => Promise<Run>): Promise<Run> => {
  let best: Run | undefined
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
  const command = service.commands[step.operation]
  if (command === undefined || bench.has(key)) return
  bench.check()
  const paths = pathsOf(bench, stand, step)
  let crossed = 0
  const result = await timed(bench, async () => {
    clean(stand)
    const ready = command(paths.from, paths.to)
    const before = place.bytes()
    const options = { server: service.server, memory: round === 0, secondsMax }
    const result = await run(ready, step.wanted === undefined ? options : { ...options, wanted: step.wanted })
    crossed = place.bytes() - before
    return result
  })
  const missed = step.wanted !== undefined && result.printed === undefined
  if (result.code !== 0 || missed) {
    throw new Error(`ended with ${String(result.code)}: ${`${result.errors}\n${result.output}`.trim().slice(-300)}`)
  }
  if (!arrived(stand, step, paths, round === 0)) throw new Error("what arrived is not what was sent")
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
  items: ReadonlyArray<string>
): Promise<ReadonlyArray<Stand>> => {
  const all: Array<Stand> = []
  for (const contestant of bench.contestants.filter((one) => names.includes(one.name))) {
    try {
      all.push(await stand(bench, name, contestant, place, items))
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

/** Rounds of all steps with all contestants. */
export const transfers = (spec: Transfers): Case => ({
  ...spec,
  run: async (bench) => {
    const folder = bench.folder(spec.name)
    spec.data(bench)
    const place = await Place.open(spec.wire, folder)
    const items = [...new Set(spec.steps.map(({ item }) => item))]
    const all = await stands(bench, spec.name, spec.contestants, place, items)
    try {
      const out = new Set<string>()
      for (let round = 0; round <= bench.options.rounds; round += 1) {
        for (const step of spec.steps) {
          for (const stand of turned(all, round)) {
            const label = `${stand.contestant.name} ${step.as ?? step.operation}`
            if (out.has(label)) continue
            try {
              await one(bench, spec, place, stand, step, round)
            } catch (error) {
              if (!(error instanceof Error) || error.name === "TimeOver") throw error
              out.add(label)
              const operation = step.as ?? step.operation
              bench.failed({ case: spec.name, operation, contestant: stand.contestant.name, detail: error.message })
            }
          }
        }
      }
    } finally {
      for (const { service } of all) await service.stop()
      await place.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
})
