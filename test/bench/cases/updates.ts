/**
 * Six updates of one large file, beside rsync over ssh.
 *
 * What counts is what the update takes beyond a trivial one of a file of one byte, time, bytes and CPU alike: start and
 * login have cases of their own. Before each, the server's file is the old version again, and everything has come to
 * rest: what a server keeps of a file is then as it is a moment after any transfer.
 */
import { copyFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case } from "../Bench.ts"
import * as Data from "../Data.ts"
import { type Edit, edits } from "../Edits.ts"
import * as Place from "../Place.ts"
import { run, type Run, settle } from "../Processes.ts"
import { rounds, type Stand, stands, timed } from "../Transfers.ts"

const target = "updated"
const tiny = "tiny"

interface Cost extends Run {
  readonly bytes: number
}

const update = async (
  place: Place.Place,
  { service }: Stand,
  from: string,
  to: string,
  memory = false
): Promise<Cost> => {
  const command = service.commands.update?.(from, to)
  if (command === undefined) throw new Error("has no updates")
  const before = place.bytes()
  const result = await run(command, { server: service.server, memory, secondsMax: 900 })
  if (result.code !== 0) throw new Error(`ended with ${String(result.code)}: ${result.errors.slice(-300)}`)
  return { ...result, bytes: place.bytes() - before }
}

const one = async (bench: Bench, name: string, place: Place.Place, stand: Stand, edit: Edit, round: number) => {
  const key = { case: name, operation: edit.what, contestant: stand.contestant.name, round }
  if (bench.has(key)) return
  bench.check()
  const base = join(bench.data, "big")
  const [version, small] = [join(stand.client, "version"), join(stand.client, tiny)]
  rmSync(version, { force: true })
  edit.make(base, bench.scale.mib * Data.mebibyte, version)
  const trivial: Array<Cost> = []
  const result = await timed(bench, async () => {
    await update(place, stand, base, target)
    await settle(stand.service.server)
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
export const updates = (name: string, wire: Place.Wire): Case => ({
  name,
  about: ({ mib }) => `update of a file of ${mib} MiB, ${Place.nameOf(wire)}, beyond a trivial one`,
  wire,
  run: async (bench) => {
    const folder = bench.folder(name)
    Data.file(join(bench.data, "big"), bench.scale.mib * Data.mebibyte)
    const place = await Place.open(wire, folder)
    const all = await stands(bench, name, ["paradrop", "rsync"], place, [])
    for (const { client, root } of all) {
      copyFileSync(join(bench.data, "big"), join(root, target))
      for (const path of [join(root, tiny), join(client, tiny)]) writeFileSync(path, "x")
    }
    const steps = edits.map((edit) => ({
      label: edit.what,
      run: (stand: Stand, round: number) => one(bench, name, place, stand, edit, round)
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
