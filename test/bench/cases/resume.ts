/**
 * A large file whose client is killed half-way, and the same command again: what crosses twice, and how soon new
 * content does.
 *
 * The bytes that cross are looked at every few milliseconds, so "half-way" is that and what came meanwhile.
 */
import { once } from "node:events"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case } from "../Bench.ts"
import * as Data from "../Data.ts"
import * as Place from "../Place.ts"
import { type Command, pause, type Run, settle, start } from "../Processes.ts"
import { clean, ran, rounds, served, type Stand, stands, timed } from "../Transfers.ts"

const name = "resume"
const item = "big"
const tiny = "tiny"
const lookMilliseconds = 2
/** So much of the file must have crossed again to be new content, and not what both ends compare before. */
const movingShare = 1 / 128

interface Round {
  readonly bench: Bench
  readonly place: Place.Place
  readonly stand: Stand
  readonly round: number
}

/** Starts a program, and kills it when so many bytes have crossed. */
const cutAt = async (command: Command, place: Place.Place, bytes: number): Promise<void> => {
  const end = place.bytes() + bytes
  await command.before?.()
  const child = start(command, "ignore")
  child.stderr?.resume()
  const ended = once(child, "close")
  while (place.bytes() < end && child.exitCode === null) await pause(lookMilliseconds)
  if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} before it was cut`)
  child.kill("SIGKILL")
  await ended
}

/** Seconds from now until so many bytes have crossed; undefined while they have not. */
const watch = (place: Place.Place, bytes: number): (() => number | undefined) => {
  const [began, end] = [performance.now(), place.bytes() + bytes]
  let seconds: number | undefined
  const timer = setInterval(() => {
    if (place.bytes() < end) return
    seconds = (performance.now() - began) / 1000
    clearInterval(timer)
  }, lookMilliseconds)
  return () => {
    clearInterval(timer)
    return seconds
  }
}

interface Again extends Run {
  /** crossed in the second run, and in both */
  readonly bytes: number
  readonly together: number
  /** what came before new content, without what a trivial transfer takes */
  readonly pause: number | undefined
}

const again = async ({ bench, place, stand }: Round, operation: "get" | "put"): Promise<Again> => {
  const { commands, server } = stand.service
  const size = bench.scale.mib * Data.mebibyte
  clean(stand)
  const small = join(stand.client, tiny)
  writeFileSync(small, "x")
  const trivial = await ran(commands.put?.(small, tiny), stand)
  const [from, to] =
    operation === "put" ? [join(bench.data, item), item] : [join(served, item), join(stand.client, item)]
  const [first, second] = [commands[operation]?.(from, to), commands[`${operation}Again`]?.(from, to)]
  if (first === undefined) throw new Error("has no such command")
  const before = place.bytes()
  await cutAt(first, place, size / 2)
  await settle(server)
  const between = place.bytes()
  const moving = watch(place, size * movingShare)
  const result = await ran(second, stand)
  const seconds = moving()
  const end = place.bytes()
  if (!Data.same(join(bench.data, item), operation === "put" ? join(stand.root, item) : to)) {
    throw new Error("what arrived is not what was sent")
  }
  return {
    ...result,
    bytes: end - between,
    together: end - before,
    pause: seconds === undefined ? undefined : Math.max(0, seconds - trivial.seconds)
  }
}

const one = async (at: Round, operation: "get" | "put"): Promise<void> => {
  const { bench, place, round, stand } = at
  const contestant = stand.contestant.name
  const key = { case: name, operation: `${operation}, again`, contestant, round }
  if (stand.service.commands[`${operation}Again`] === undefined || bench.has(key)) return
  if (Number.isNaN(place.bytes())) throw new Error("needs Linux and root: bytes that cross cannot be counted here")
  bench.check()
  const result = await timed(bench, () => again(at, operation))
  const { bytes, clientCpu, foreignCores, seconds, serverCpu } = result
  bench.record({ ...key, bytes, clientCpu, foreignCores, seconds, serverCpu, clientMiB: null, serverMiB: null })
  if (round === 0) return
  const figure = { case: name, contestant, round }
  const twice = (result.together / (bench.scale.mib * Data.mebibyte) - 1) * 100
  bench.recordFigure({ ...figure, name: `${operation}: crossed twice, headers with it`, unit: "% of it", value: twice })
  if (result.pause === undefined) return
  const moves = { name: `${operation}: until new content moves`, unit: "s beyond start and login" }
  bench.recordFigure({ ...figure, ...moves, value: result.pause })
}

/** Whoever can go on. */
export const resume: Case = {
  name,
  about: ({ mib }) => `one file of ${mib} MiB, again after its client was killed half-way, loopback`,
  wire: Place.loopback,
  run: async (bench) => {
    const folder = bench.folder(name)
    Data.file(join(bench.data, item), bench.scale.mib * Data.mebibyte)
    const place = await Place.open(Place.loopback, folder)
    const all = await stands(bench, name, ["paradrop", "sftp", "rsync", "curl"], place, [item])
    const turns = (["put", "get"] as const).map((operation) => ({
      label: operation,
      run: (stand: Stand, round: number) => one({ bench, place, stand, round }, operation)
    }))
    try {
      await rounds(bench, name, all, turns)
    } finally {
      for (const { service } of all) await service.stop()
      await place.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
