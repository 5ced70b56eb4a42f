/** What a server pays for those who are connected: memory of idle sessions, and CPU of logins. */
import type { ChildProcess } from "node:child_process"
import { rmSync } from "node:fs"
import type { Bench, Case } from "../Bench.ts"
import * as Place from "../Place.ts"
import { cpuOf, memoryOf, run, said, settle, start, stop } from "../Processes.ts"
import { slope } from "../Results.ts"
import { rounds, type Stand, stands } from "../Transfers.ts"

const withStands =
  (
    name: string,
    names: ReadonlyArray<string>,
    label: string,
    roundsMax: number,
    step: (bench: Bench, stand: Stand, round: number) => Promise<void>
  ) =>
  async (bench: Bench): Promise<void> => {
    const folder = bench.folder(name)
    const place = await Place.open(Place.loopback, folder)
    const all = await stands(bench, name, names, place, [])
    try {
      await rounds(bench, name, all, [{ label, run: (stand, round) => step(bench, stand, round) }], roundsMax)
    } finally {
      for (const { service } of all) await service.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }

const steps = 4

/** Sessions are opened in four steps: what the first cost once is not counted, the slope is. */
const idleOf = async (bench: Bench, stand: Stand, round: number): Promise<void> => {
  const { contestant, service } = stand
  const key = { case: "idle", contestant: contestant.name, name: "memory of an idle session", round }
  if (service.hold === undefined || bench.hasFigure(key)) return
  bench.check()
  // A few hundred kilobytes of a small run would drown in what a heap does by itself.
  const share = round === 0 ? 0.1 : Math.max(0.1, Math.min(1, bench.scale.mib / 1024))
  const count = Math.max(1, Math.round((service.hold.many * share) / steps))
  const holders: Array<ChildProcess> = []
  const points: Array<readonly [number, number]> = []
  try {
    for (let step = 1; step <= steps; step += 1) {
      for (const command of service.hold.commands(count)) {
        const child = start(command)
        holders.push(child)
        if (service.hold.says !== undefined) await said(child, service.hold.says)
      }
      await settle(service.server)
      points.push([step * count, memoryOf(service.server) * 1024])
    }
    if (round > 0) bench.recordFigure({ ...key, unit: `KiB (slope over ${steps * count})`, value: slope(points) })
  } finally {
    await Promise.all(holders.map(stop))
    await settle(service.server)
  }
}

export const idle: Case = {
  name: "idle",
  about: () => "memory of a server for each idle session",
  wire: Place.loopback,
  run: withStands("idle", ["paradrop-sessions", "sftp"], "hold", 2, idleOf)
}

const loginOf = async (bench: Bench, stand: Stand, round: number): Promise<void> => {
  const { contestant, service } = stand
  const key = { case: "login", contestant: contestant.name, name: "server CPU of a login", round }
  if (service.logins === undefined || bench.hasFigure(key)) return
  bench.check()
  const count = Math.max(5, Math.min(100, bench.scale.of(service.logins.many)))
  const before = cpuOf(service.server)
  for (const command of service.logins.commands(count)) {
    const { code, errors } = await run(command, { server: service.server, secondsMax: 300 })
    if (code !== 0) throw new Error(`ended with ${String(code)}: ${errors.slice(-300)}`)
  }
  await settle(service.server)
  const milliseconds = ((cpuOf(service.server) - before) * 1000) / count
  if (round > 0) bench.recordFigure({ ...key, unit: `ms (mean of ${count})`, value: milliseconds })
}

export const login: Case = {
  name: "login",
  about: () => "CPU of a server for each login, one after the other",
  wire: Place.loopback,
  run: withStands("login", ["paradrop-sessions", "sftp"], "login", 5, loginOf)
}
