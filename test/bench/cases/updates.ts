/**
 * Six updates of one large file, beside rsync over ssh.
 *
 * What counts is what the update takes beyond a trivial one of a file of one byte, time, bytes and CPU alike: start and
 * login have cases of their own. Before each, the old version is put as a user would put it, from the server's side of
 * the wire, and the server has come to rest: what it keeps of a file is then as it is a moment after any transfer.
 */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case } from "../Bench.ts"
import * as Data from "../Data.ts"
import { type Edit, edits } from "../Edits.ts"
import * as Place from "../Place.ts"
import { pause, type Run, settle } from "../Processes.ts"
import { ran, rounds, type Stand, stands, timed } from "../Transfers.ts"

const target = "updated"
const tiny = "tiny"
/** The server makes what it keeps of a file one second after the last transfer at the earliest. */
const keptSecondsMax = 60
const secondsMax = 900

/** Which updates: over what, and whether they are fsynced. */
export interface Updates {
  readonly name: string
  readonly wire: Place.Wire
  readonly durable: boolean
}

interface Cost extends Run {
  readonly bytes: number
}

const update = async (place: Place.Place, stand: Stand, from: string, to: string, memory = false): Promise<Cost> => {
  const before = place.bytes()
  const command = stand.service.commands.update?.(from, to)
  const result = await ran(command, stand, { memory, secondsMax })
  return { ...result, bytes: place.bytes() - before }
}

/** Puts the old version there, and waits until the server keeps of it what it ever will. */
const bring = async (place: Place.Place, stand: Stand, base: string): Promise<void> => {
  const { commands, kept, server } = stand.service
  const put = commands.put?.(base, target)
  await ran(put && place.far(put), stand, { secondsMax })
  const end = performance.now() + keptSecondsMax * 1000
  while (kept?.(target) === false) {
    if (performance.now() > end) throw new Error("the server keeps nothing of the file that was put")
    await pause(50)
  }
  await settle(server)
}

interface Round {
  readonly bench: Bench
  readonly spec: Updates
  readonly place: Place.Place
  readonly stand: Stand
  readonly round: number
}

const one = async ({ bench, place, round, spec, stand }: Round, edit: Edit): Promise<void> => {
  const key = { case: spec.name, operation: edit.what, contestant: stand.contestant.name, round }
  if (bench.has(key)) return
  bench.check()
  const base = join(bench.data, "big")
  const [version, small] = [join(stand.client, "version"), join(stand.client, tiny)]
  rmSync(version, { force: true })
  edit.make(base, bench.scale.mib * Data.mebibyte, version)
  const trivial: Array<Cost> = []
  const result = await timed(bench, async () => {
    await bring(place, stand, base)
    trivial.push(await update(place, stand, small, tiny))
    return update(place, stand, version, target, round === 0)
  })
  if (round === 0 && !Data.same(version, join(stand.root, target))) throw new Error("the new version did not arrive")
  rmSync(version)
  const less = trivial.at(-1)
  if (less === undefined) return
  const beyond = (figure: (cost: Cost) => number): number => Math.max(0, figure(result) - figure(less))
  bench.record({
    ...key,
    seconds: beyond(({ seconds }) => seconds),
    clientCpu: beyond(({ clientCpu }) => clientCpu),
    serverCpu: beyond(({ serverCpu }) => serverCpu),
    bytes: Number.isNaN(result.bytes) ? null : beyond(({ bytes }) => bytes),
    clientMiB: round === 0 ? result.clientMiB : null,
    serverMiB: round === 0 ? result.serverMiB : null,
    foreignCores: result.foreignCores
  })
}

/** The six with that wire between. */
export const updates = (spec: Updates): Case => ({
  name: spec.name,
  about: ({ mib }) => {
    const how = `${Place.nameOf(spec.wire)}${spec.durable ? ", fsynced" : ""}`
    return `update of a file of ${mib} MiB, ${how}, beyond a trivial one`
  },
  wire: spec.wire,
  run: async (bench) => {
    const { durable, name, wire } = spec
    const folder = bench.folder(name)
    Data.file(join(bench.data, "big"), bench.scale.mib * Data.mebibyte)
    const place = await Place.open(wire, folder)
    const all = await stands(bench, name, ["paradrop", "rsync"], place, [], durable)
    for (const { client, root } of all) {
      for (const path of [join(root, tiny), join(client, tiny)]) writeFileSync(path, "x")
    }
    const steps = edits.map((edit) => ({
      label: edit.what,
      run: (stand: Stand, round: number) => one({ bench, spec, place, stand, round }, edit)
    }))
    try {
      await rounds(bench, name, all, steps)
    } finally {
      for (const { service } of all) await service.stop()
      await place.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
})
