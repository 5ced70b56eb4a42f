/**
 * Child processes of the shown scripts: the real executables, their memory, and how they ended.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { createReadStream, createWriteStream } from "node:fs"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { pipeline } from "node:stream/promises"
import { Readable } from "node:stream"

// What people install is the build (`npm run build`); `--dist` measures that, otherwise the sources run as they are.
const repository = resolve(import.meta.dirname, "../..")
const program = (name: "client" | "server"): string =>
  process.argv.includes("--dist") ? join(repository, "dist", name, "bin.js") : join(repository, "src", name, "main.ts")
const mebibyte = 1024 * 1024

/** A folder that is gone at the end, whatever happens. */
export const inFolder = async (run: (folder: string) => Promise<void>): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), "paradrop-shown-"))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The peak of a process's resident memory so far, in MiB. */
export const peakOf = async (pid: number): Promise<number> => memoryOf(pid, "VmHWM")

/** Resident memory now, in MiB. */
export const residentOf = async (pid: number): Promise<number> => memoryOf(pid, "VmRSS")

/** The processor's time that a process has used so far, its own and the kernel's for it, in milliseconds. */
export const processorOf = async (pid: number): Promise<number> => {
  const [, figures = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")
  const [own = 0, kernel = 0] = figures.split(" ").slice(11, 13).map(Number)
  // Linux counts in hundredths of a second here, whatever the machine.
  return (own + kernel) * 10
}

const memoryOf = async (pid: number, field: string): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024
}

export interface ServerProcess {
  readonly pid: number
  readonly port: number
  readonly root: string
  /** everything it has logged */
  readonly log: () => string
  readonly alive: () => boolean
  readonly stop: () => Promise<void>
}

/** The real server on a free port of loopback; `more` are arguments. */
export const startServer = async (folder: string, ...more: ReadonlyArray<string>): Promise<ServerProcess> => {
  const root = join(folder, "root")
  await mkdir(root, { recursive: true })
  const args = [program("server"), "--port", "0", "--root", root, "--state", join(folder, "state"), ...more]
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] })
  let log = ""
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()))
  const port = await new Promise<number>((found, failed) => {
    child.on("exit", (code) => failed(new Error(`the server ended with ${code}: ${log}`)))
    let out = ""
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString()
      const match = /listening on .*:(\d+)\n/.exec(out)
      if (match !== null) found(Number(match[1]))
    })
  })
  const ended = new Promise<void>((done) => child.on("exit", () => done()))
  return {
    pid: child.pid ?? 0,
    port,
    root,
    log: () => log,
    alive: () => child.exitCode === null && child.signalCode === null,
    stop: async () => {
      child.kill("SIGTERM")
      await ended
    }
  }
}

export interface ClientProcess {
  readonly child: ChildProcess
  /** exit code, text of both streams, and the peak of its memory in MiB */
  readonly ended: Promise<{ readonly code: number | null; readonly text: string; readonly peak: number }>
}

/** The real client with one command. */
export const startClient = (server: { readonly port: number }, args: ReadonlyArray<string>): ClientProcess => {
  const child = spawn(process.execPath, [program("client"), "--server", `127.0.0.1:${server.port}`, ...args], {
    env: { ...process.env, PARADROP_PASSWORD: "123456", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let text = ""
  let peak = 0
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()))
  const watch = setInterval(() => {
    void peakOf(child.pid ?? 0).then(
      (now) => (peak = Math.max(peak, now)),
      () => undefined
    )
  }, 50)
  const ended = new Promise<{ code: number | null; text: string; peak: number }>((done) => {
    child.on("close", (code) => {
      clearInterval(watch)
      done({ code, text, peak })
    })
  })
  return { child, ended }
}

/** Random content of that size; its SHA-256 in hex. */
export const makeFile = async (path: string, bytes: number): Promise<string> => {
  const hash = createHash("sha256")
  const blocks = function* () {
    const block = randomBytes(mebibyte)
    for (let left = bytes, index = 0; left > 0; left -= mebibyte, index++) {
      block.writeUInt32LE(index, 0)
      const part = Buffer.from(block.subarray(0, Math.min(left, mebibyte)))
      hash.update(part)
      yield part
    }
  }
  await pipeline(Readable.from(blocks()), createWriteStream(path))
  return hash.digest("hex")
}

export const digestOfFile = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path, { highWaterMark: mebibyte })) hash.update(chunk)
  return hash.digest("hex")
}

/** Says what was found; the script fails when one of its claims is false. */
export const claim = (what: string, holds: boolean): void => {
  process.stdout.write(`${holds ? "ok  " : "FAIL"} ${what}\n`)
  if (!holds) process.exitCode = 1
}
