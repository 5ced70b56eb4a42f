/**
 * The executable, as a person or a script meets it: real processes, disk and TCP on loopback.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync
} from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import * as terminal from "../client/terminal.ts"
import { contentBlockBytes } from "../../src/domain/limits.ts"

const main = join(import.meta.dirname, "..", "..", "src", "server", "main.ts")

let folder = ""
const running = new Set<ChildProcess>()

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "paradrop-")))
  mkdirSync(join(folder, "files"))
})
afterEach(() => {
  for (const child of running) child.kill("SIGKILL")
  running.clear()
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** With more variables than a plain start has. */
const started =
  (...args: ReadonlyArray<string>) =>
  (environment: Readonly<Record<string, string>>) =>
    watched(
      spawn(process.execPath, [main, ...args], {
        cwd: folder,
        env: { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state"), ...environment },
        stdio: ["pipe", "pipe", "pipe"]
      })
    )

const start = (...args: ReadonlyArray<string>) => started(...args)({})

const watched = <Child extends ChildProcess>(child: Child) => {
  running.add(child)
  const output = { stdout: "", stderr: "" }
  child.stdout?.on("data", (chunk) => (output.stdout += String(chunk)))
  child.stderr?.on("data", (chunk) => (output.stderr += String(chunk)))
  const ended = once(child, "close").then(([code]): Ended => {
    running.delete(child)
    return { code: typeof code === "number" ? code : null, ...output }
  })
  return { child, ended, output }
}

/** Runs to the end, with that much on standard input. */
const run = (args: ReadonlyArray<string>, input = ""): Promise<Ended> => {
  const { child, ended } = start(...args)
  child.stdin.end(input)
  return ended
}

/** A server that is ready, and its port. */
const serve = (...args: ReadonlyArray<string>) => ready(start("--port", "0", ...args))

/** The same, and its disk is at something that never ends. */
const serveWhileDiskHangs = () => {
  const pipe = join(folder, "pipe")
  execFileSync("mkfifo", [pipe])
  const preload = pathToFileURL(join(import.meta.dirname, "hangingDisk.ts")).href
  return ready(started("--port", "0")({ NODE_OPTIONS: `--import ${preload}`, PARADROP_PIPE: pipe }))
}

const ready = async (server: ReturnType<typeof start>) => {
  while (!server.output.stdout.includes("\n")) {
    const event = await Promise.race([once(server.child.stdout, "data"), server.ended])
    if ("code" in event) throw new Error(`ended early: ${event.stderr}`)
  }
  return { ...server, port: Number(/:(\d+)\n$/.exec(server.output.stdout)?.[1]) }
}

const stop = (server: { readonly child: ChildProcess; readonly ended: Promise<Ended> }, signal: NodeJS.Signals) => {
  server.child.kill(signal)
  return server.ended
}

const crypto = Layer.mergeAll(Opaque.layer, KemNode.layer, CipherNode.layer, DigestNode.layer)

/** A session over TCP, logged in; what `use` gives, or the tag of what failed. */
const session = <A, E extends { readonly _tag: string }>(
  options: { readonly port: number; readonly user: string; readonly password: string; readonly host?: string },
  use: (client: Effect.Success<ReturnType<typeof Client.connect>>) => Effect.Effect<A, E>
): Promise<A | string> => {
  const { host = "127.0.0.1", password, port, user } = options
  return Client.connect({
    server: `${host}:${port}`,
    dial: NodeSocket.makeNet({ host, port, allowHalfOpen: true }),
    user: UserName.make(user),
    password: Redacted.make(password)
  }).pipe(
    Effect.flatMap(use),
    Effect.catch((error) => Effect.succeed(error._tag)),
    Effect.scoped,
    Effect.provide(crypto),
    Effect.runPromise
  )
}

const names = (options: Parameters<typeof session>[0]) =>
  session(options, (client) =>
    Effect.map(Stream.runCollect(client.fetch), (entries) => entries.map(({ name }) => String(name)))
  )

const oneLine = (text: string) => assert.strictEqual(text.trimEnd().split("\n").length, 1, text)

describe.skipIf(!terminal.available)("a password that is asked for", () => {
  it("is not given with Ctrl-C, and then nothing was changed", async () => {
    const person = terminal.open([process.execPath, main, "user", "add", "ada"], {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") }
    })
    await person.until("Password for 'ada' (not shown)")
    person.type("half\u0003")
    await person.until("paradrop-server: no password was given: nothing was changed")
    assert.strictEqual(await person.ended, 130)
    assert.notInclude(person.shown(), "half")
    assert.strictEqual((await run(["user", "list"])).stdout, "")
  }, 120_000)
})

describe.skipIf(!terminal.available)("a password that is made", () => {
  it("is told to a person with what it is, and to a pipe alone", async () => {
    const piped = await run(["user", "add", "ada", "--generate"])
    assert.match(piped.stdout, /^\w{5}(?:-\w{5}){3}\n$/)
    const person = terminal.open([process.execPath, main, "user", "passwd", "ada", "--generate"], {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") }
    })
    assert.strictEqual(await person.ended, 0)
    assert.match(person.shown(), /^new password of 'ada', shown this once: \w{5}(?:-\w{5}){3}\r\n/)
  })
})

describe.skipIf(!existsSync("/dev/full"))("a password that is made and cannot be written", () => {
  const environment = () => ({ PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") })

  it("becomes nobody's, for nobody would know it", async () => {
    const toFullDisk = (...args: ReadonlyArray<string>) => {
      const shell = ["-c", 'exec "$@" >/dev/full', "sh", process.execPath, main, "user", ...args, "--generate"]
      return watched(spawn("sh", shell, { cwd: folder, env: environment(), stdio: "pipe" })).ended
    }
    const full = { code: 1, stdout: "", stderr: "paradrop-server: standard output cannot be written (ENOSPC)\n" }
    assert.deepStrictEqual(await toFullDisk("add", "ada"), full)
    assert.strictEqual((await run(["user", "list"])).stdout, "")
    const added = await run(["user", "add", "ada", "--generate"])
    assert.deepStrictEqual(await toFullDisk("passwd", "ada"), full)
    const server = await serve()
    assert.deepStrictEqual(await names({ port: server.port, user: "ada", password: added.stdout.trim() }), [])
  }, 120_000)

  it("nor where the reader of a pipe has gone", async () => {
    const shell = ["-c", '"$@" | true', "sh", process.execPath, main, "user", "add", "ada"]
    const { ended } = watched(spawn("sh", [...shell, "--generate"], { cwd: folder, env: environment(), stdio: "pipe" }))
    assert.strictEqual((await ended).stderr, "paradrop-server: standard output cannot be written (EPIPE)\n")
    assert.strictEqual((await run(["user", "list"])).stdout, "")
  }, 120_000)
})

describe("a host that no name server knows now", () => {
  it("is told with what to do", async () => {
    await run(["user", "add", "ada"], "correct horse battery\n")
    const unanswered = `import dns from "node:dns"
      dns.lookup = (_host, _options, done) => done(Object.assign(new Error("later"), { code: "EAI_AGAIN" }))`
    const preload = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(unanswered)}` }
    const { code, stderr } = await started("--host", "far.example", "--port", "0")(preload).ended
    const said = "no name server says now where 'far.example' is: name an address of this machine with --host"
    assert.deepStrictEqual([code, stderr], [1, `paradrop-server: ${said}\n`])
  })
})

describe("serving", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`prints one line when ready, and ${signal} ends it with 0`, async () => {
      const server = await serve()
      const ended = await stop(server, signal)
      assert.strictEqual(ended.code, 0)
      assert.strictEqual(ended.stdout, `listening on 127.0.0.1:${server.port}\n`)
      assert.match(
        ended.stderr,
        /"level":"warn","event":"public-account",.*everybody on this machine can log in as 'default'/
      )
    })
  }

  it("shows an IPv6 address in brackets", async () => {
    const server = await serve("--host", "::1")
    assert.strictEqual(server.output.stdout, `listening on [::1]:${server.port}\n`)
    assert.deepStrictEqual(await names({ host: "::1", port: server.port, user: "default", password: "123456" }), [])
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  })

  it("lets the public account in, keeps its state outside the root, and logs each connection in one line", async () => {
    const server = await serve()
    const login = { port: server.port, user: "default", password: "123456" }
    const size = 300_000
    const content = new Uint8Array(size).fill(7)
    const uploaded = await session(login, (client) =>
      client.upload(FileName.make("a b/ü.bin"), {
        size,
        modified: 1000,
        read: (offset, length) => Effect.succeed(content.slice(offset, offset + length)),
        unchanged: Effect.void
      })
    )
    assert.notStrictEqual(uploaded, "ConnectionLost", server.output.stderr)
    assert.strictEqual(typeof uploaded === "string" ? uploaded : uploaded.size, size)
    assert.deepStrictEqual(await names(login), ["a b/ü.bin"])
    assert.strictEqual(await names({ ...login, password: "1234567" }), "LoginIncorrect")
    const { code, stderr } = await stop(server, "SIGTERM")
    assert.strictEqual(code, 0)
    const lines = stderr.split("\n").filter((line) => line.includes("connection ended"))
    assert.strictEqual(lines.length, 3)
    for (const line of lines) assert.include(line, '"peer":"127.0.0.1"')
    assert.include(stderr, "File 'a b/ü.bin' uploaded successfully.")
    assert.notInclude(stderr, "1234567")
    assert.deepStrictEqual(readdirSync(join(folder, "state", "paradrop")).length, 1)
  })

  it("keeps what is in its state folder from everybody else, also what an earlier version has left open", async () => {
    const state = join(folder, "own")
    mkdirSync(join(state, "audit"), { recursive: true, mode: 0o700 })
    chmodSync(state, 0o700)
    for (const left of ["audit/audit-00000001.jsonl", "server.lock"])
      writeFileSync(join(state, left), "", { mode: 0o644 })
    await run(["user", "add", "ada", "--state", "own"], "correct horse\n")
    const server = await serve("--state", "own", "--set", "audit.file-size=1 B")
    const login = { port: server.port, user: "ada", password: "correct horse" }
    await names(login)
    await names(login)
    await stop(server, "SIGTERM")
    const entries = readdirSync(state, { recursive: true, encoding: "utf8" }).toSorted()
    for (const name of ["accounts.json", "accounts.lock", "audit/audit-00000002.jsonl", "server.lock", "signatures"])
      assert.include(entries, name)
    // Whoever keeps copies of it is told what each thing is.
    const backup = readFileSync(join(import.meta.dirname, "../../docs/OPERATIONS.md"), "utf8").split("## Backup")[1]
    for (const name of entries.filter((entry) => !entry.includes("/"))) assert.include(backup, `\`${name}\``)
    for (const name of entries) {
      const { mode } = statSync(join(state, name))
      assert.strictEqual((mode & 0o077).toString(8), "0", name)
    }
  })

  it.skipIf(process.getuid?.() !== 0)("stays its owner's, whoever works on the accounts", async () => {
    const state = join(folder, "own")
    mkdirSync(state, { mode: 0o700 })
    chownSync(state, 65534, 65534)
    for (const name of ["ada", "bob"]) await run(["user", "add", name, "--state", "own"], "correct horse\n")
    for (const file of ["accounts.json", "accounts.lock", "server.setup"]) {
      const { gid, mode, uid } = statSync(join(state, file))
      assert.deepStrictEqual([uid, gid, mode & 0o777], [65534, 65534, 0o600], file)
    }
  })

  it.skipIf(process.platform === "win32")("says who else may read or replace what is in it", async () => {
    await run(["user", "add", "ada", "--state", "own"], "correct horse\n")
    const [state, accounts] = [join(folder, "own"), join(folder, "own", "accounts.json")]
    chmodSync(state, 0o770)
    chmodSync(accounts, 0o640)
    const { stderr } = await stop(await serve("--state", "own"), "SIGTERM")
    const warnings = stderr.split("\n").filter((line) => line.includes('"level":"warn"'))
    assert.strictEqual(warnings.length, 2, stderr)
    assert.include(warnings[0], `the group of '${state}' may replace accounts and keys: chmod 700 it`)
    assert.include(warnings[1], `others may read '${accounts}': chmod 600 it`)
  })

  it("says as an error that the accounts cannot be read, and lets in again when they can be", async () => {
    await run(["user", "add", "ada", "--state", "own"], "correct horse\n")
    const server = await serve("--state", "own", "--log-level", "error")
    const login = { port: server.port, user: "ada", password: "correct horse" }
    assert.deepStrictEqual(await names(login), [])
    const accounts = join(folder, "own", "accounts.json")
    const whole = readFileSync(accounts)
    writeFileSync(accounts, whole.subarray(0, -9))
    assert.strictEqual(await names(login), "LoginRejected")
    const { code: answered, stdout } = await run(["status", "--state", "own"])
    assert.match(stdout, /^letting nobody in: the accounts cannot be read \('user list' says why\), started /)
    assert.strictEqual(answered, 0)
    writeFileSync(accounts, whole)
    assert.deepStrictEqual(await names(login), [])
    const { code, stderr } = await stop(server, "SIGTERM")
    assert.strictEqual(code, 0)
    const lines = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    for (const { detail, time, ...line } of lines) {
      assert.deepStrictEqual(line, {
        level: "error",
        event: "accounts-failed",
        message: "accounts cannot be read"
      })
      assert.include(detail, accounts)
      assert.strictEqual(new Date(time).toISOString(), time)
    }
    assert.lengthOf(lines, 1)
  }, 120_000)

  /** Waits for it to say so on standard error. */
  const until = async (server: ReturnType<typeof start>, text: string) => {
    while (!server.output.stderr.includes(text)) await once(server.child.stderr, "data")
  }

  it("ends at once at the second signal, whatever is open and whatever the disk is at", async () => {
    const server = await serveWhileDiskHangs()
    const login = { port: server.port, user: "default", password: "123456" }
    const watcher = watch(join(folder, "files", stagingFolder))
    const staged = once(watcher, "change").finally(() => watcher.close())
    const source = Promise.withResolvers<Uint8Array>()
    const held = session(login, (client) =>
      client.upload(FileName.make("slow"), {
        size: 10,
        modified: 0,
        read: () => Effect.promise(() => source.promise),
        unchanged: Effect.void
      })
    )
    await staged
    server.child.kill("SIGTERM")
    await until(server, "stopping")
    await stop(server, "SIGTERM")
    assert.strictEqual(server.child.signalCode, "SIGTERM")
    assert.notInclude(server.output.stderr, "exiting")
    source.resolve(new Uint8Array(10))
    assert.strictEqual(await held, "ConnectionLost")
  })

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`ends at a second ${signal} also when nothing but the disk is left to wait for`, async () => {
      const server = await serveWhileDiskHangs()
      server.child.kill(signal)
      await until(server, "exiting")
      await stop(server, signal)
      assert.strictEqual(server.child.signalCode, signal)
    })
  }

  it("kill -9, and the next one starts on the same state and files", async () => {
    await run(["user", "add", "ada"], "correct horse\n")
    const first = await serve()
    assert.strictEqual((await stop(first, "SIGKILL")).code, null)
    const next = await serve()
    assert.deepStrictEqual(await names({ port: next.port, user: "ada", password: "correct horse" }), [])
    assert.strictEqual((await stop(next, "SIGTERM")).code, 0)
  })
})

describe("not starting", () => {
  it("another folder with the state of one that is served, and says so", async () => {
    const state = join(folder, "state-of-one")
    await serve("--state", state)
    mkdirSync(join(folder, "other"))
    const { code, stderr } = await run(["--port", "0", "--root", "other", "--state", state])
    const taken = `a server that serves another folder has the state folder '${state}'`
    assert.strictEqual(stderr, `paradrop-server: ${taken}: each needs one of its own, name another with --state\n`)
    assert.strictEqual(code, 1)
  })

  const refused = async (args: ReadonlyArray<string>, code: number, text: string) => {
    const ended = await run(args)
    assert.strictEqual(ended.stderr, `paradrop-server: ${text}\n`)
    assert.strictEqual(ended.code, code)
    assert.strictEqual(ended.stdout, "")
  }

  it("a second server on the same root, and a port that is taken", async () => {
    const server = await serve()
    const root = join(folder, "files")
    await refused(
      ["--port", "0"],
      1,
      `another server serves '${root}' already: stop it, or serve another folder with --root`
    )
    await refused(
      ["--port", "0", "--state", "state-of-another"],
      1,
      `another server serves '${root}' already: stop it, or serve another folder with --root`
    )
    mkdirSync(join(folder, "other"))
    const advice = "stop the other program, or take another with --port (0 picks a free one)"
    await refused(
      ["--root", "other", "--port", String(server.port)],
      1,
      `port ${server.port} on 127.0.0.1 is taken: ${advice}`
    )
  })

  it("a root that is missing", () =>
    refused(
      ["--root", "none"],
      1,
      `there is no folder '${join(folder, "none")}' to serve: make it, or name another one with --root`
    ))

  it("a root in which something else has the name of the staging folder", () => {
    const staging = join(folder, "files", stagingFolder)
    writeFileSync(staging, "")
    const kept = "is no folder, and the server keeps there what is on its way"
    return refused(["--port", "0"], 1, `'${staging}' ${kept}: move it away, or serve another folder with --root`)
  })

  it("beyond loopback without an account; with one it does", async () => {
    await refused(
      ["--host", "0.0.0.0", "--port", "0"],
      1,
      "others can reach '0.0.0.0', and there is no account: " +
        "'paradrop-server user add NAME' makes one, with the same --root, --state or --config"
    )
    const added = await run(["user", "add", "ada", "--generate"])
    const server = await serve("--host", "0.0.0.0")
    assert.strictEqual(server.output.stdout, `listening on 0.0.0.0:${server.port}\n`)
    assert.deepStrictEqual(await names({ port: server.port, user: "ada", password: added.stdout.trim() }), [])
    const login = { port: server.port, user: "default", password: "123456" }
    assert.strictEqual(await names(login), "LoginIncorrect")
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  }, 120_000)

  it("behind a proxy without an account; with one it takes connections for whom the proxy names", async () => {
    await refused(
      ["--set", "listen.proxies=127.0.0.1", "--port", "0"],
      1,
      "others can reach '127.0.0.1 behind a proxy', and there is no account: " +
        "'paradrop-server user add NAME' makes one, with the same --root, --state or --config"
    )
    const nonsense = await run(["--set", "listen.proxies=10.0.0.7,here"])
    assert.strictEqual(nonsense.code, 2)
    assert.include(nonsense.stderr, "listen.proxies")
    assert.include(nonsense.stderr, "a list of addresses and networks")
    await run(["user", "add", "ada", "--generate"])
    const server = await serve("--set", "listen.proxies=127.0.0.1")
    const header = "0d0a0d0a000d0a515549540a2111000cc0000201c6336402303901bb"
    const socket = connect(server.port, "127.0.0.1", () =>
      socket.end(Buffer.from(`${header}${"00".repeat(64)}`, "hex"))
    )
    socket.resume()
    await once(socket, "close")
    const { code, stderr } = await stop(server, "SIGTERM")
    assert.strictEqual(code, 0)
    assert.match(stderr, /"peer":"192\.0\.2\.1","outcome":"bad-hello"/)
  }, 120_000)

  it("wrong usage is one line and code 2", async () => {
    const wrong = [
      ["--nonsense"],
      ["--port", "99999"],
      ["--port", "x"],
      ["user", "add"],
      ["user", "add", "Ada!"],
      ["user"],
      ["user", "list", "--bad"],
      // The h in it would ask for help, with code 0.
      ["user", "add", "-bach"],
      ["usr"]
    ]
    const ended = await Promise.all(wrong.map((args) => run(args)))
    for (const { code, stderr, stdout } of ended) {
      assert.strictEqual(code, 2)
      assert.strictEqual(stdout, "")
      oneLine(stderr)
    }
    assert.strictEqual(
      ended.at(-1)?.stderr,
      "paradrop-server: 'usr' is no command: did you mean 'user'? (paradrop-server --help shows the usage)\n"
    )
  }, 120_000)

  it("--help and --version are no errors", async () => {
    const help = await run(["--help"])
    assert.strictEqual(help.code, 0)
    assert.deepStrictEqual(await run(["help"]), help)
    assert.deepStrictEqual(await run(["help", "user", "add"]), await run(["user", "add", "--help"]))
    for (const word of ["--config", "--set", "--host", "--port", "--root", "--state", "user"])
      assert.include(help.stdout, word)
    assert.strictEqual((await run(["--version"])).code, 0)
  })
})

describe("configuration", () => {
  const write = (text: string) => writeFileSync(join(folder, "server.toml"), text)

  it("takes an empty list from --set over one in a file, the last of two, and refuses what is no pair", async () => {
    write('[listen]\nproxies = ["10.0.0.7"]\n')
    const empty = await run(["config", "show", "--config", "server.toml", "--set", "listen.proxies="])
    assert.include(empty.stdout, "proxies = [] # --set\n", empty.stderr)
    const twice = await run(["config", "show", "--set", "store.root=a", "--set=store.root=b=c"])
    assert.include(twice.stdout, 'root = "b=c" # --set\n')
    const takes = `'limits.sessions' takes a whole number from 1 to 1000000000, not "" (--set)`
    for (const [text, told] of [
      ["limits.sessions=", takes],
      ["limits.sessions", '"limits.sessions". Expected: KEY=VALUE, as in limits.sessions=64'],
      ["=64", '"=64". Expected: KEY=VALUE, as in limits.sessions=64']
    ] as const) {
      const { code, stderr } = await run(["config", "check", "--set", text])
      assert.strictEqual(code, 2)
      assert.include(stderr, told)
      oneLine(stderr)
    }
  }, 120_000)

  it("comes from a file, is shown with its origin, and is checked as a whole", async () => {
    write("[limits]\nsessions = 8\n")
    const shown = await run(["config", "show", "--config", "server.toml", "--port", "0"])
    assert.strictEqual(shown.code, 0)
    assert.include(shown.stdout, "sessions = 8 # line 2 of server.toml\n")
    assert.include(shown.stdout, "port = 0 # --port\n")
    assert.strictEqual((await run(["config", "check", "--config", "server.toml"])).stderr, good)
    write((await run(["config", "default"])).stdout)
    assert.strictEqual((await run(["config", "check", "--config", "server.toml"])).stderr, good)
    write("[limits]\nsesions = 8\n[listen]\nport = -1\n")
    const checked = await run(["config", "check", "--config", "server.toml"])
    assert.strictEqual(checked.code, 2)
    assert.include((await run(["config", "check", "--help"])).stdout, "code 2 when something is wrong")
    assert.strictEqual(checked.stdout, "")
    assert.strictEqual(
      checked.stderr,
      "paradrop-server: 'limits.sesions' is no setting (line 2 of server.toml): did you mean 'limits.sessions'?\n" +
        "paradrop-server: 'listen.port' takes a whole number from 0 to 65535, not -1 (line 4 of server.toml)\n"
    )
    for (const args of [
      ["--config", "server.toml"],
      ["user", "list", "--config", "server.toml"]
    ]) {
      const started = await run(args)
      assert.strictEqual(started.code, 2)
      oneLine(started.stderr)
    }
  }, 120_000)

  const good = "paradrop-server: the configuration is good\n"

  it("that cannot be read is refused in one line", async () => {
    write("x".repeat(65 * 1024))
    // Nobody ever writes into it.
    execFileSync("mkfifo", [join(folder, "pipe")])
    writeFileSync(join(folder, "latin1.toml"), Buffer.from('[store]\nstate = "d\u00e9p\u00f4t"\n', "latin1"))
    for (const [path, why] of [
      ["server.toml", "larger than 65536 bytes"],
      ["files", "is a folder"],
      ["pipe", "is a pipe"],
      ["latin1.toml", "'latin1.toml' is no text in UTF-8: save it as that"],
      ["none.toml", "cannot be read (it is not there)"],
      ["", "'' cannot be read (it is not there)"]
    ] as const) {
      const { code, stderr } = await run(["config", "check", "--config", path])
      assert.strictEqual(code, 2)
      assert.include(stderr, why)
      oneLine(stderr)
    }
  }, 120_000)

  it("is read again at SIGHUP, without ending a session", async () => {
    write('[limits]\nsessions = 8\n[log]\nlevel = "warn"\n')
    const server = await serve("--config", "server.toml")
    const reloaded = (text: string, line: string) => async () => {
      write(text)
      server.child.kill("SIGHUP")
      while (!server.output.stderr.includes(line)) await once(server.child.stderr, "data")
    }
    const more = reloaded('[limits]\nsessions = 1\n[listen]\nhost = "::1"\n', '"changed":"log.level limits.sessions"')
    const less = reloaded("[limits]\nsessions = 0\n", '"event":"reload-refused"')
    const login = { port: server.port, user: "default", password: "123456" }
    const seen = await session(login, (client) =>
      Effect.gen(function* () {
        yield* Effect.promise(more)
        yield* Effect.promise(less)
        const second = yield* Effect.promise(() => names(login))
        return { entries: yield* Stream.runCollect(client.fetch), second }
      })
    )
    assert.deepStrictEqual(seen, { entries: [], second: "ConnectFailed" })
    const { code, stderr } = await stop(server, "SIGTERM")
    assert.strictEqual(code, 0)
    assert.include(stderr, '"event":"restart-needed"')
    assert.include(stderr, '"settings":"listen.host"')
    assert.include(stderr, "configuration not reloaded: 'limits.sessions' takes a whole number from 1")
    assert.notInclude(stderr, '"event":"serving"')
    assert.include(stderr, '"outcome":"server-full"')
  })
})

describe("under a service manager", () => {
  it("tells it when it is ready, reloads and stops, and that it is alive", async () => {
    const log = join(folder, "told")
    writeFileSync(join(folder, "systemd-notify"), `#!/bin/sh\necho "$@" >> '${log}'\n`, { mode: 0o755 })
    const told = () => (existsSync(log) ? readFileSync(log, "utf8") : "")
    const environment = {
      PATH: `${folder}:${process.env["PATH"]}`,
      NOTIFY_SOCKET: "/run/none",
      WATCHDOG_USEC: "60000000"
    }
    const server = started("--port", "0")(environment)
    const hears = async (what: string) => {
      while (!told().includes(what)) await once(watch(folder), "change")
    }
    await hears("WATCHDOG=1")
    server.child.kill("SIGHUP")
    await hears("RELOADING=1 MONOTONIC_USEC=")
    const ended = await stop(server, "SIGTERM")
    assert.strictEqual(ended.code, 0)
    assert.match(
      told(),
      /^READY=1\nWATCHDOG=1\nRELOADING=1 MONOTONIC_USEC=\d+\n(READY=1\n)?STOPPING=1 EXTEND_TIMEOUT_USEC=12000000\n/
    )
    assert.notInclude(ended.stderr, "service-manager-unheard")
  })

  it("says that it stops also while the manager is told that it is ready", async () => {
    const log = join(folder, "told")
    // One that hangs and hears no signal that asks it to end.
    const slow = `#!/bin/sh\ntrap '' TERM\necho "$@" >> '${log}'\n[ "$1" = READY=1 ] && exec sleep 600\n`
    writeFileSync(join(folder, "systemd-notify"), slow, { mode: 0o755 })
    const server = started("--port", "0")({ PATH: `${folder}:${process.env["PATH"]}`, NOTIFY_SOCKET: "/run/none" })
    const changes = watch(folder)
    while (!existsSync(log) || readFileSync(log, "utf8") === "") await once(changes, "change")
    changes.close()
    const ended = await stop(server, "SIGTERM")
    assert.strictEqual(ended.code, 0)
    assert.include(ended.stderr, '"event":"stopping"')
    assert.match(readFileSync(log, "utf8"), /^READY=1\nSTOPPING=1 /)
  })

  it("lets sessions go at once also while the manager is told that it stops", async () => {
    const heard = join(folder, "heard")
    const slow = `#!/bin/sh\n[ "$1" = STOPPING=1 ] || exit 0\nuntil [ -e '${heard}' ]; do sleep 0.05; done\n`
    writeFileSync(join(folder, "systemd-notify"), slow, { mode: 0o755 })
    const environment = { PATH: `${folder}:${process.env["PATH"]}`, NOTIFY_SOCKET: "/run/none" }
    const server = await ready(started("--port", "0")(environment))
    const stranger = connect(server.port, "127.0.0.1")
    await once(stranger, "connect")
    // It may be told by a reset.
    stranger.on("error", () => {})
    const over = new Promise((resolve) => stranger.once("close", resolve))
    server.child.kill("SIGTERM")
    stranger.resume()
    await over
    // Only now the manager has heard of it.
    writeFileSync(heard, "")
    const { code, stderr } = await server.ended
    assert.strictEqual(code, 0)
    assert.include(stderr, '"event":"stopping"')
    assert.notInclude(stderr, "service-manager-unheard")
  })

  it("serves on the socket that it is given, to accounts alone", async () => {
    const listener = createServer().listen(0, "127.0.0.1")
    await once(listener, "listening")
    const address = listener.address()
    const port = address !== null && typeof address === "object" ? address.port : 0
    const { fd } = Reflect.get(listener, "_handle")
    const shell = ["-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", process.execPath, main]
    const activated = () => {
      const child = spawn("sh", shell, {
        cwd: folder,
        env: { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") },
        stdio: ["pipe", "pipe", "pipe", fd]
      })
      return watched(child)
    }
    const refused = await activated().ended
    assert.strictEqual(refused.code, 1)
    assert.include(refused.stderr, "there is no account")
    const added = await run(["user", "add", "ada", "--generate"])
    const server = activated()
    await once(server.child.stdout ?? server.child, "data")
    assert.strictEqual(server.output.stdout, `listening on 127.0.0.1:${port}\n`)
    listener.close()
    assert.deepStrictEqual(await names({ port, user: "ada", password: added.stdout.trim() }), [])
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  })

  it("refuses one that it cannot listen on in words of the unit, not of its own host and port", async () => {
    await run(["user", "add", "ada", "--generate"])
    const listener = createServer()
    listener.listen(join(folder, "unix.sock"))
    await once(listener, "listening")
    const { fd } = Reflect.get(listener, "_handle")
    const given = ["-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", process.execPath, main]
    const child = spawn("sh", given, {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") },
      stdio: ["pipe", "pipe", "pipe", fd]
    })
    const refused = await watched(child).ended
    listener.close()
    assert.strictEqual(refused.code, 1)
    assert.strictEqual(
      refused.stderr,
      "paradrop-server: cannot listen on the socket that the service manager gives (unknown): " +
        "name one of TCP in the unit, as ListenStream=0.0.0.0:8080\n"
    )
  })
})

describe("user", () => {
  it("add, list, passwd and remove, seen by a server that runs", async () => {
    const server = await serve()
    const login = { port: server.port, user: "ada", password: "correct horse" }
    assert.deepStrictEqual(await run(["user", "add", "ada"], "correct horse\r\nmore\n"), {
      code: 0,
      stdout: "",
      stderr: "account 'ada' added\n"
    })
    assert.deepStrictEqual(await names(login), [])
    assert.strictEqual(await names({ ...login, user: "default", password: "123456" }), "LoginIncorrect")
    const listed = await run(["user", "list"])
    assert.match(listed.stdout, /^ada {2}\d{4}-\d\d-\d\d {2}enabled {2}all {2}\/\n$/)
    assert.strictEqual((await run(["user", "passwd", "ada"], "battery staple")).code, 0)
    assert.strictEqual(await names(login), "LoginIncorrect")
    const known = { ...login, password: "battery staple" }
    assert.deepStrictEqual(await names(known), [])
    assert.strictEqual((await run(["user", "remove", "ada"])).code, 0)
    assert.strictEqual(await names(known), "LoginIncorrect")
    assert.deepStrictEqual(await names({ ...login, user: "default", password: "123456" }), [])
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  }, 120_000)

  it("disable, enable and change, seen by a server that runs", async () => {
    assert.strictEqual((await run(["user", "add", "ada"], "correct horse")).code, 0)
    const server = await serve()
    const login = { port: server.port, user: "ada", password: "correct horse" }
    assert.strictEqual((await run(["user", "disable", "ada"])).code, 0)
    assert.strictEqual(await names(login), "LoginIncorrect")
    assert.strictEqual((await run(["user", "enable", "ada"])).code, 0)
    assert.strictEqual((await run(["user", "change", "ada", "--rights", "read,write", "--quota-files", "1"])).code, 0)
    assert.strictEqual(await names(login), "RequestRefused")
    assert.match((await run(["user", "list"])).stdout, / {2}enabled {2}read,write {2}\/ {2}quota-files=1\n$/)
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  }, 120_000)

  it("makes nothing of a folder without accounts for who only asks, or means one that is not there", async () => {
    const state = ["--state", "typo"]
    const none = "paradrop-server: there is no account 'ada': 'user list' shows those that there are\n"
    assert.deepStrictEqual(await run(["user", "list", ...state]), {
      code: 0,
      stdout: "",
      stderr: "no account yet: 'user add NAME' makes one\n"
    })
    assert.strictEqual((await run(["user", "stretching", ...state])).stdout, "full\n")
    for (const command of ["disable", "remove", "passwd"]) {
      assert.deepStrictEqual(await run(["user", command, "ada", ...state], "correct horse"), {
        code: 1,
        stdout: "",
        stderr: none
      })
    }
    assert.isFalse(existsSync(join(folder, "typo")))
    // An empty folder stays one.
    mkdirSync(join(folder, "typo"), { mode: 0o700 })
    assert.strictEqual((await run(["user", "list", ...state])).code, 0)
    assert.deepStrictEqual(readdirSync(join(folder, "typo")), [])
  })

  it("refuses what it should, in one line, and changes nothing", async () => {
    assert.strictEqual((await run(["user", "add", "ada", "--state", "own"], "correct horse")).code, 0)
    const state = ["--state", "own"]
    const refusals: ReadonlyArray<readonly [ReadonlyArray<string>, string, RegExp]> = [
      [["user", "add", "ada"], "battery staple", /there is an account 'ada' already/],
      [["user", "add", "bob"], "123456", /at least 8 characters/],
      [["user", "add", "bob"], "password1", /one of the first passwords/],
      [["user", "add", "bob"], "", /no password on standard input/],
      [
        ["user", "passwd", "bob"],
        "battery staple",
        /there is no account 'bob': 'user list' shows those that there are\n$/
      ],
      [["user", "remove", "bob"], "", /there is no account 'bob'/],
      [["user", "disable", "bob"], "", /there is no account 'bob'/],
      [["user", "change", "bob", "--rights", "all"], "", /there is no account 'bob'/]
    ]
    const refused = await Promise.all(refusals.map(([args, input]) => run([...args, ...state], input)))
    for (const [index, { code, stderr }] of refused.entries()) {
      assert.strictEqual(code, 1)
      assert.match(stderr, refusals[index]?.[2] ?? /^$/)
      oneLine(stderr)
    }
    assert.match((await run(["user", "list", ...state])).stdout, /^ada {2}\S+ {2}enabled {2}all {2}\/\n$/)
    assert.strictEqual((await run(["user", "add", "bob", "--allow-weak", ...state], "123456")).code, 0)
    assert.isFalse(existsSync(join(folder, "state")))
  }, 120_000)
})

describe("a log that cannot be written", () => {
  const login = { user: "default", password: "123456" }

  it("ends no session when whoever reads it has gone", async () => {
    const server = await serve()
    const closed = once(server.child.stderr, "close")
    server.child.stderr.destroy()
    await closed
    for (const _ of [1, 2]) assert.deepStrictEqual(await names({ port: server.port, ...login }), [])
    assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
  }, 120_000)

  it.skipIf(!existsSync("/dev/full"))(
    "ends no session when its disk is full",
    async () => {
      const environment = { PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") }
      const shell = ["-c", 'exec "$@" 2>/dev/full', "sh", process.execPath, main, "--port", "0"]
      const server = await ready(watched(spawn("sh", shell, { cwd: folder, env: environment, stdio: "pipe" })))
      for (const _ of [1, 2]) assert.deepStrictEqual(await names({ port: server.port, ...login }), [])
      assert.strictEqual((await stop(server, "SIGTERM")).code, 0)
    },
    120_000
  )
})

describe("a server that runs", () => {
  it("is asked what it does, until it has stopped, by its own state folder alone", async () => {
    const server = await serve("--state", "own")
    const nobody = await run(["status"])
    assert.match(
      nobody.stderr,
      /^paradrop-server: no server runs on the state folder '.*': give the server's --root, --state or --config\n$/
    )
    assert.strictEqual(nobody.code, 1)
    const quiet = await run(["bans", "list", "--state", "own"])
    assert.deepStrictEqual(quiet, { code: 0, stdout: "", stderr: "nobody is banned\n" })
    const usage = await run(["bans", "lift", "--state", "own"])
    assert.strictEqual(usage.code, 2)
    oneLine(usage.stderr)
    const unset = await run(["bans", "lift", "--user", "", "--state", "own"])
    assert.deepStrictEqual(unset, {
      code: 2,
      stdout: "",
      stderr: "paradrop-server: --user takes a name, and '' is none\n"
    })
    const nowhere = await run(["bans", "lift", "--address", "bogus", "--state", "own"])
    assert.strictEqual(nowhere.code, 2)
    assert.include(nowhere.stderr, "'bogus' is no address: give one as 'bans list' shows it")
    const lifted = await run(["bans", "lift", "--user", "ada", "--address", "192.0.2.1", "--state", "own"])
    const none = "0 bans lifted: 'bans list' shows who is banned, and from where\n"
    assert.deepStrictEqual(lifted, { code: 0, stdout: "", stderr: none })

    // The transfer holds the stopping server, which still answers.
    const source = Promise.withResolvers<Uint8Array>()
    const block = new Uint8Array(contentBlockBytes)
    const held = session({ port: server.port, user: "default", password: "123456" }, (client) =>
      client.upload(FileName.make("held"), {
        size: 2 * block.length,
        modified: 0,
        read: (offset) => (offset === 0 ? Effect.succeed(block) : Effect.promise(() => source.promise)),
        unchanged: Effect.void
      })
    )
    let status = ""
    while (!status.includes("upload held 50 % of 1.0 MiB")) {
      status = (await run(["status", "--state", "own"])).stdout
    }
    assert.match(status, /^serving, started .*; 1 session, 1 transfer; /)
    // What is asked of the server, or said of an account, needs nothing of the served folder.
    renameSync(join(folder, "files"), join(folder, "away"))
    const unmoved = await run(["user", "list", "--state", "own"])
    assert.deepStrictEqual(unmoved, { code: 0, stdout: "", stderr: "no account yet: 'user add NAME' makes one\n" })
    assert.match((await run(["status", "--state", "own"])).stdout, /^serving/)
    server.child.kill("SIGTERM")
    while (!server.output.stderr.includes('"event":"stopping"')) await once(server.child.stderr, "data")
    const { stdout } = await run(["status", "--json", "--state", "own"])
    oneLine(stdout)
    assert.include(stdout, '"notReady":"stopping"')
    assert.include(stdout, '"user":"default"')
    source.resolve(block)
    assert.isNotString(await held)
    assert.strictEqual((await server.ended).code, 0)
    assert.strictEqual((await run(["status", "--state", "own"])).code, 1)
  }, 120_000)

  it("serves all the same when it cannot be asked, and says so", async () => {
    mkdirSync(join(folder, "own", "control", "socket"), { recursive: true, mode: 0o700 })
    const server = await serve("--state", "own")
    assert.deepStrictEqual(await names({ port: server.port, user: "default", password: "123456" }), [])
    const { stderr } = await stop(server, "SIGTERM")
    assert.match(stderr, /"level":"warn","event":"control-failed",.*cannot listen on/)
  })
})

describe("strangers", () => {
  it("who talk nonsense are cut off, and the server goes on", async () => {
    const server = await serve()
    const socket = connect(server.port, "127.0.0.1")
    socket.on("error", () => undefined)
    socket.write("GET / HTTP/1.1\r\n\r\n".repeat(1000))
    socket.resume()
    await once(socket, "close")
    assert.deepStrictEqual(await names({ port: server.port, user: "default", password: "123456" }), [])
    const { stderr } = await stop(server, "SIGTERM")
    assert.include(stderr, '"outcome":"bad-hello"')
  })
})
