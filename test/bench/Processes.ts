/**
 * Processes and what they cost: time on the clock, CPU seconds with all children, peak memory. Linux's /proc is the
 * source; elsewhere only times are told.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs"

/** A program with its arguments, as a contestant would be started by hand. */
export interface Command {
  readonly argv: readonly [program: string, ...args: ReadonlyArray<string>]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** a file for standard input */
  readonly input?: string
  /** Runs before the clock does: what the other end needs for this one transfer. */
  readonly before?: () => Promise<void>
}

/** Ticks of the kernel's clock in /proc: 100 a second on every Linux that Node runs on. */
const ticksPerSecond = 100

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

interface Process {
  readonly pid: number
  readonly parent: number
  /** seconds of this process and of those children that it has waited for */
  readonly cpu: number
}

const processOf = (pid: number): Process | undefined => {
  const text = textOf(`/proc/${pid}/stat`)
  // The name may hold anything, parentheses too.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  if (fields.length < 16) return undefined
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return { pid, parent: Number(fields[1]), cpu: ticks / ticksPerSecond }
}

/** The processes of these ids and all that descend from them. */
const treeOf = (roots: ReadonlyArray<number>): ReadonlyArray<Process> => {
  const all = readFolder("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => processOf(Number(name)) ?? [])
  const wanted = new Set(roots)
  for (let before = -1; before !== wanted.size;) {
    before = wanted.size
    for (const { parent, pid } of all) if (wanted.has(parent)) wanted.add(pid)
  }
  return all.filter(({ pid }) => wanted.has(pid))
}

const readFolder = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** CPU seconds of those processes, and of their children that live or were waited for. */
export const cpuOf = (roots: ReadonlyArray<number>): number =>
  roots.length === 0 ? 0 : treeOf(roots).reduce((sum, { cpu }) => sum + cpu, 0)

/** CPU seconds of children of this process that have ended. */
const cpuOfEnded = (): number => {
  const text = textOf("/proc/self/stat")
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) / ticksPerSecond
}

const field = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / 1024

/** MiB that those processes and their children hold now; memory that they share is counted once. */
export const memoryOf = (roots: ReadonlyArray<number>): number =>
  treeOf(roots).reduce((sum, { pid }) => sum + field(textOf(`/proc/${pid}/smaps_rollup`), "Pss"), 0)

/** How many processes those are, with all that descend from them. */
export const countOf = (roots: ReadonlyArray<number>): number => treeOf(roots).length

/** CPU seconds that the machine has worked; interrupts are left out, they are mostly our own network's. */
const busySeconds = (): number => {
  const [, user, nice, system, , , , , steal] = (textOf("/proc/stat").split("\n", 1)[0] ?? "").split(/\s+/)
  return [user, nice, system, steal].reduce((sum, ticks) => sum + Number(ticks ?? 0), 0) / ticksPerSecond
}

/** Starts to watch how many cores others use; the result tells, from then until it is called. */
export const watchOthers = (): (() => number) => {
  const own = () => cpuOf([process.pid])
  const before = { busy: busySeconds(), own: own(), at: performance.now() }
  return () => {
    const seconds = Math.max((performance.now() - before.at) / 1000, 0.05)
    return Math.max(0, (busySeconds() - before.busy - (own() - before.own)) / seconds)
  }
}

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })

/** Cores that others may use while something is timed. */
const quietCores = 0.2

/** Waits until others use few cores, at most so long; tells how many they use. */
export const quiet = async (secondsMax: number): Promise<number> => {
  const end = performance.now() + secondsMax * 1000
  while (true) {
    const others = watchOthers()
    await pause(400)
    const cores = others()
    if (cores < quietCores || performance.now() > end) return cores
  }
}

/** What one run came to. Seconds, bytes, MiB. */
export interface Run {
  readonly code: number | null
  readonly seconds: number
  /** from the start until all that was looked for had been printed */
  readonly printed: number | undefined
  readonly clientCpu: number
  readonly serverCpu: number
  readonly foreignCores: number
  readonly output: string
  readonly errors: string
  /** peaks, when they were asked for */
  readonly clientMiB: number
  readonly serverMiB: number
}

export interface RunOptions {
  /** processes of the server */
  readonly server: ReadonlyArray<number>
  /** words of which the last one printed is timed */
  readonly wanted?: ReadonlyArray<string>
  /** Look at the memory every so often: costs time. */
  readonly memory?: boolean
  readonly secondsMax: number
}

/** Those that we started and that have not ended. */
const children = new Set<ChildProcess>()

/** Starts a program that ends with this one at the latest. */
export const start = (command: Command, stdio: "pipe" | "ignore" = "pipe"): ChildProcess => {
  const { argv, cwd, env, input } = command
  const [program, ...args] = argv
  const stdin = input === undefined ? undefined : openSync(input, "r")
  const child = spawn(program, args, {
    stdio: [stdin ?? "ignore", stdio, "pipe"],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd })
  })
  if (stdin !== undefined) closeSync(stdin)
  children.add(child)
  child.on("exit", () => children.delete(child))
  // A program that is not there: `exitCode` is negative then, and `close` comes.
  child.on("error", () => children.delete(child))
  return child
}

/** Ends a program: gently, then by force. */
export const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = once(child, "exit")
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000)
  await ended
  clearTimeout(timer)
}

/** Ends whatever is left. */
export const stopAll = async (): Promise<void> => {
  await Promise.all([...children].map(stop))
}

/** Waits until a program has printed that. */
export const said = async (child: ChildProcess, wanted: RegExp): Promise<RegExpExecArray> => {
  let text = ""
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (text += String(chunk)))
  while (true) {
    const found = wanted.exec(text)
    if (found !== null) return found
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new Error(`${child.spawnfile} ended early: ${text.slice(-400)}`)
    }
    await pause(10)
  }
}

const watchMemory = (pids: ReadonlyArray<number>): (() => number) => {
  let peak = memoryOf(pids)
  const timer = setInterval(() => (peak = Math.max(peak, memoryOf(pids))), 30)
  return () => {
    clearInterval(timer)
    return peak
  }
}

/** Runs a program to its end and tells what it took. */
export const run = (command: Command, options: RunOptions): Promise<Run> => runAll([command], options)

interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** Runs programs at once, from the start of the first to the end of the last. */
export const runAll = async (commands: ReadonlyArray<Command>, options: RunOptions): Promise<Run> => {
  for (const command of commands) await command.before?.()
  const others = watchOthers()
  const processes = countOf(options.server)
  const cpu = { client: cpuOfEnded(), server: cpuOf(options.server) }
  const began = performance.now()
  const all = commands.map((command) => start(command))
  const pids = all.map(({ pid }) => pid ?? 0)
  const memory =
    options.memory === true ? { client: watchMemory(pids), server: watchMemory(options.server) } : undefined
  let printed: number | undefined
  const look = (output: string): void => {
    if (printed !== undefined || options.wanted === undefined) return
    if (options.wanted.every((word) => output.includes(word))) printed = (performance.now() - began) / 1000
  }
  const timer = setTimeout(() => all.forEach((child) => child.kill("SIGKILL")), options.secondsMax * 1000)
  const closed = all.map((child) => endOf(child, look))
  await Promise.all(all.map(exitOf))
  const seconds = (performance.now() - began) / 1000
  clearTimeout(timer)
  const foreignCores = others()
  const ended = await Promise.all(closed)
  // A server's process for this client counts when it has been waited for.
  for (let tries = 0; tries < 100 && countOf(options.server) > processes; tries += 1) await pause(10)
  return {
    code: ended.find(({ code }) => code !== 0)?.code ?? 0,
    seconds,
    printed,
    clientCpu: cpuOfEnded() - cpu.client,
    serverCpu: cpuOf(options.server) - cpu.server,
    foreignCores,
    output: ended.map(({ output }) => output).join(""),
    errors: ended.map(({ errors }) => errors).join(""),
    clientMiB: memory?.client() ?? 0,
    serverMiB: memory?.server() ?? 0
  }
}

const exitOf = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.on("exit", () => resolve())
    child.on("error", reject)
  })

/** Its code and what it has printed; a signal's end is code -1. */
const endOf = async (child: ChildProcess, look: (output: string) => void): Promise<Ended> => {
  let output = ""
  let errors = ""
  child.stdout?.on("data", (chunk) => {
    output += String(chunk)
    look(output)
  })
  child.stderr?.on("data", (chunk) => (errors += String(chunk)))
  const [code] = await once(child, "close")
  return { code: code ?? -1, output, errors }
}

/** Waits until those processes have nothing to do, for a minute at most. */
export const settle = async (pids: ReadonlyArray<number>): Promise<void> => {
  for (let calm = 0, tries = 0; calm < 5 && tries < 600; tries += 1) {
    const before = cpuOf(pids)
    await pause(100)
    calm = cpuOf(pids) - before < 0.005 ? calm + 1 : 0
  }
}

/** Runs a small program whose cost is nobody's concern; its output. */
export const output = async (...argv: Command["argv"]): Promise<string> => {
  const child = start({ argv })
  let text = ""
  let errors = ""
  child.stdout?.on("data", (chunk) => (text += String(chunk)))
  child.stderr?.on("data", (chunk) => (errors += String(chunk)))
  const [code] = await once(child, "close")
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${String(code)}: ${errors.slice(-400)}`)
  return text
}
