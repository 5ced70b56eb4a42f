/**
 * `npm run demo`: a server and clients, each a process of its own, move real files over loopback.
 *
 * Everything happens in a temporary folder, which is removed at the end. Exit code 0 when all went as it should.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomFillSync } from "node:crypto"
import { once } from "node:events"
import {
  closeSync,
  cpSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"

const repository = join(import.meta.dirname, "..", "..")

/** In one line, as all else that fails. */
const madeFolder = (): string => {
  try {
    return mkdtempSync(join(tmpdir(), "paradrop-demo-"))
  } catch (error) {
    console.error(`the demo failed: ${error instanceof Error ? error.message : String(error)}: set TMPDIR`)
    return process.exit(1)
  }
}

const folder = madeFolder()
const served = join(folder, "files")
const here = join(folder, "here")
const big = "holiday.mov"
const mib = 1024 * 1024
const bigBytes = 256 * mib
const children = new Set<ChildProcess>()

const colours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
const paint = (code: number, text: string): string => (colours ? `\u001b[${code}m${text}\u001b[0m` : text)
const say = (text: string): void => console.log(text)
const chapter = (text: string): void => say(`\n${paint(1, text)}`)

// -----------------------------------------------------------------------------
// Processes
// -----------------------------------------------------------------------------

const environment = {
  ...process.env,
  XDG_STATE_HOME: join(folder, "state"),
  XDG_CONFIG_HOME: join(folder, "config"),
  XDG_DATA_HOME: join(folder, "data")
}

/** The message and the outcome of a log line; the rest is for those who run a server. */
const sayOfServer = (line: string): void => {
  const { message = line, outcome }: { message?: string; outcome?: string } = line.startsWith("{")
    ? JSON.parse(line)
    : {}
  const text = paint(2, `  server: ${message}${outcome === undefined ? "" : ` (${outcome})`}`)
  if (aClientRuns) behind.push(text)
  else say(text)
}

/** What the server says meanwhile comes behind what the client says: in its bar both would be lost. */
let aClientRuns = false
const behind: Array<string> = []

const startServer = async (): Promise<{ readonly child: ChildProcess; readonly address: string }> => {
  const child = spawn(process.execPath, [join(repository, "src/server/main.ts"), "--port", "0", "--root", served], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"]
  })
  children.add(child)
  createInterface({ input: child.stderr }).on("line", sayOfServer)
  let text = ""
  child.stdout.on("data", (chunk) => (text += String(chunk)))
  while (!text.includes("\n")) {
    await Promise.race([once(child.stdout, "data"), once(child, "close")])
    if (child.exitCode !== null) throw new Error("the server did not start")
  }
  return { child, address: text.trim().replace("listening on ", "") }
}

/** Runs the client as a person would, shows what it says, and expects an exit code. */
const client = async (
  address: string,
  args: ReadonlyArray<string>,
  options: { readonly code?: number; readonly password?: string; readonly input?: string } = {}
): Promise<void> => {
  const shown = args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)).join(" ")
  say(paint(36, `$ ${options.password === undefined ? "" : "PARADROP_PASSWORD=… "}paradrop ${shown}`))
  const child = spawn(process.execPath, [join(repository, "src/client/main.ts"), "--server", address, ...args], {
    cwd: here,
    env: options.password === undefined ? environment : { ...environment, PARADROP_PASSWORD: options.password },
    // On a terminal the client draws its progress there itself.
    stdio: [options.input === undefined ? "ignore" : "pipe", "inherit", "inherit"]
  })
  children.add(child)
  child.stdin?.end(options.input)
  aClientRuns = true
  const [code] = await once(child, "close")
  aClientRuns = false
  for (const text of behind.splice(0)) say(text)
  children.delete(child)
  if (code !== (options.code ?? 0)) throw new Error(`expected exit code ${options.code ?? 0}, got ${String(code)}`)
}

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

const makeNoise = (path: string, bytes: number): void => {
  const fd = openSync(path, "w")
  const block = new Uint8Array(4 * mib)
  for (let at = 0; at < bytes; at += block.length) writeSync(fd, randomFillSync(block), 0, block.length, at)
  closeSync(fd)
}

/** Overwrites a few places, as an edit of a large file does. */
const edit = (path: string): void => {
  const fd = openSync(path, "r+")
  for (const at of [1, 77 * mib, 200 * mib]) writeSync(fd, `edited at ${at}`, at)
  closeSync(fd)
}

const sha256 = async (path: string): Promise<string> => {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest("hex")
}

const expectEqual = async (what: string, one: string, other: string): Promise<void> => {
  const [a, b] = [await sha256(one), await sha256(other)]
  if (a !== b) throw new Error(`${what}: the files differ`)
  say(paint(32, `  ${what}: equal, sha256 ${a.slice(0, 16)}…, ${statSync(one).size} bytes`))
}

// -----------------------------------------------------------------------------
// The story
// -----------------------------------------------------------------------------

const story = async (): Promise<void> => {
  const began = performance.now()
  mkdirSync(here)
  cpSync(join(repository, "files"), served, { recursive: true })
  makeNoise(join(here, big), bigBytes)

  chapter("A server on a free port of this machine, over a copy of files/")
  const { address, child } = await startServer()
  say(`  listening on ${address}`)

  chapter("A wrong password is refused: nothing about the right one can be learnt from that")
  await client(address, ["fetch"], { password: "not the password", code: 1 })

  chapter("fetch: the list of the server's files")
  await client(address, ["fetch"])

  chapter(`upload: ${bigBytes / mib} MiB, sealed on the way, verified and durable before the answer`)
  await client(address, ["upload", big])
  await expectEqual("the server's file", join(here, big), join(served, big))

  chapter("download: the same bytes back")
  await client(address, ["download", big, "--to", "copy.mov"])
  await expectEqual("the downloaded file", join(here, big), join(here, "copy.mov"))

  chapter("para: a few bytes of the file change here; only what changed is sent")
  edit(join(here, big))
  await client(address, ["para", big])
  await expectEqual("the server's file", join(here, big), join(served, big))

  chapter("A file that the server does not have, and one that is not here")
  await client(address, ["download", "no such file.txt"], { code: 1 })
  await client(address, ["para", "not here.txt"], { code: 1 })

  chapter("The shell takes the same commands, and says what it takes when it gets another")
  await client(address, ["shell"], { input: 'fetch\nupload "copy.mov"\nuplaod copy.mov\nexit\n', code: 1 })

  chapter("The server ends in order")
  child.kill("SIGTERM")
  const [code] = await once(child, "close")
  children.delete(child)
  if (code !== 0) throw new Error(`the server ended with ${String(code)}`)
  say(paint(32, `\nAll of it worked, in ${((performance.now() - began) / 1000).toFixed(1)} s.`))
}

const cleanUp = (): void => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

// Broken off it would leave up to a gigabyte behind.
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    cleanUp()
    process.kill(process.pid, signal)
  })
}

try {
  await story()
} catch (error) {
  console.error(`\nthe demo failed: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  cleanUp()
}
