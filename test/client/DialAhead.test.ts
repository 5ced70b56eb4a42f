/**
 * The connection that is dialled while the program is loaded: for whom, and what becomes of it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DialAheadNode from "../../src/client/DialAheadNode.ts"
import * as DialNode from "../../src/client/DialNode.ts"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import { helloOf, preamble } from "../../src/domain/channel/Protocol.ts"

/** bytes of M1 */
const helloBytes = preamble.length + publicKeyBytes

const here: DialAheadNode.Surroundings = {
  isThere: (path) => path === "a" || path === "b",
  isFilled: () => false,
  password: true
}
const whom = (line: string, surroundings = here) => DialAheadNode.whom(line.split(" "), surroundings)

describe("a command line is certain to dial", () => {
  const server = { host: "files.example", port: 80 }
  const certain = [
    "--server files.example:80 fetch",
    "fetch --server=files.example:80 *.pdf",
    "--server ada@files.example:80 --json fetch --digest",
    "--server paradrop://ada@files.example:80 remove a b c",
    "--server paradrop://files.example:80/ --user ada rename x y --replace",
    "--server files.example:80 upload a b",
    "--server files.example:80 upload -r a --exclude *.tmp --exclude *.o --as x",
    "--server files.example:80 para a --expect 00",
    "--server files.example:80 download x --to y",
    "--server files.example:80 verify x a"
  ]
  for (const line of certain) it(line, () => assert.deepStrictEqual(whom(line), server))

  it("and to an IPv6 address", () =>
    assert.deepStrictEqual(whom("--server [::1]:8080 fetch"), { host: "::1", port: 8080 }))

  it("when a password file has something in it, whatever the environment says", () => {
    const line = "--server files.example:80 --password-file p fetch"
    assert.deepStrictEqual(whom(line, { ...here, password: false, isFilled: (path) => path === "p" }), server)
    assert.strictEqual(whom(line), undefined)
  })
})

describe("a command line is not certain to dial", () => {
  const uncertain = {
    "nothing is asked": "--server files.example:80",
    "the default server, which is near": "fetch",
    "a profile": "--server home fetch",
    "a host that may be a profile": "--server files.example fetch",
    "no port": "--server files.example:0 fetch",
    "a port too high": "--server files.example:65536 fetch",
    "a password in a URL": "--server paradrop://ada:x@files.example:80 fetch",
    "a URL with a name behind it": "--server paradrop://files.example:80/a fetch",
    "a URL among the names": "--server files.example:80 download paradrop://other.example/x",
    "a local file that is not there": "--server files.example:80 upload a c",
    "a pattern": "--server files.example:80 upload *",
    "the local file of verify": "--server files.example:80 verify a c",
    "too few words": "--server files.example:80 rename a",
    "too many words": "--server files.example:80 fetch a b",
    "a flag of another command": "--server files.example:80 fetch --as x",
    "a flag that is not known": "--server files.example:80 fetch --bogus",
    "a flag without its value": "fetch --server",
    "a value that a flag does not take": "--server files.example:80 fetch --digest=yes",
    "a server said twice": "--server files.example:80 --server files.example:81 fetch",
    help: "--server files.example:80 fetch --help",
    "what goes on": "--server files.example:80 para --watch a",
    "what may only be tried": "--server files.example:80 upload -r --dry-run a",
    "a shell": "--server files.example:80 shell",
    "a rate, which may be none": "--server files.example:80 --up-rate 5M fetch",
    "a password that a command gives": "--server files.example:80 --password-command p fetch"
  }
  for (const [why, line] of Object.entries(uncertain)) {
    it(`${why}: ${line}`, () => assert.strictEqual(whom(line), undefined))
  }

  it("a password that is asked for", () =>
    assert.strictEqual(whom("--server files.example:80 fetch", { ...here, password: false }), undefined))
})

/** A server that says nothing, counts who comes and what they send, and hangs up when they do. */
const listening = Effect.acquireRelease(
  Effect.promise(async () => {
    const seen = { connections: 0, bytes: 0 }
    const gone: Array<Promise<unknown>> = []
    const server = createServer((socket) => {
      seen.connections += 1
      socket.on("data", (chunk) => (seen.bytes += chunk.length))
      socket.on("error", () => {})
      gone.push(new Promise((resolve) => socket.once("close", resolve)))
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    return { seen, gone, server, address: { host: "127.0.0.1", port: portOf(server) } }
  }),
  ({ server }) => Effect.sync(() => void server.close())
)

const isTcp = (address: AddressInfo | string | null): address is AddressInfo => typeof address === "object"
const portOf = (server: Server): number => {
  const address = server.address()
  return isTcp(address) ? address.port : 0
}

const begin = ({ host, port }: DialAheadNode.Address) =>
  Effect.promise(() =>
    DialAheadNode.begin(["--server", `${host}:${port}`, "fetch"], { PARADROP_PASSWORD: "correct horse battery" })
  )

describe("the connection that was dialled ahead", () => {
  it.live("is taken once, by who goes there", () =>
    Effect.gen(function* () {
      const { address, seen, server } = yield* listening
      const came = new Promise<Socket>((resolve) => server.once("connection", resolve))
      yield* begin(address)
      const peer = yield* Effect.promise(() => came)
      const hello = yield* Effect.promise(() => once(peer, "data"))
      const taken = DialAheadNode.take(address)
      assert.isDefined(taken)
      const { connection, keyPair } = taken
      assert.strictEqual(connection.socket.remotePort, address.port)
      assert.isTrue(connection.socket.allowHalfOpen)
      assert.strictEqual(DialAheadNode.take(address), undefined)
      connection.socket.destroy()
      // The hello of that key pair, and nothing else.
      assert.deepStrictEqual(hello, [Buffer.from(helloOf(keyPair.publicKey))])
      assert.deepStrictEqual(seen, { connections: 1, bytes: helloBytes })
    }).pipe(Effect.scoped)
  )

  it.live("has another key pair each time", () =>
    Effect.gen(function* () {
      const { address } = yield* listening
      const publicKeys: Array<string> = []
      for (let round = 0; round < 2; round += 1) {
        yield* begin(address)
        const taken = DialAheadNode.take(address)
        taken?.connection.socket.destroy()
        publicKeys.push(Buffer.from(taken?.keyPair.publicKey ?? []).toString("hex"))
      }
      assert.deepStrictEqual(
        publicKeys.map(({ length }) => length),
        [2 * publicKeyBytes, 2 * publicKeyBytes]
      )
      assert.notStrictEqual(publicKeys[0], publicKeys[1])
    }).pipe(Effect.scoped)
  )

  it.live("is closed when somebody else is dialled", () =>
    Effect.gen(function* () {
      const { address, server } = yield* listening
      const came = new Promise<Socket>((resolve) => server.once("connection", resolve))
      yield* begin(address)
      const socket = yield* Effect.promise(() => came)
      const closed = once(socket.resume(), "close")
      assert.strictEqual(DialAheadNode.take({ ...address, port: address.port + 1 }), undefined)
      assert.strictEqual(DialAheadNode.take(address), undefined)
      yield* Effect.promise(() => closed)
    }).pipe(Effect.scoped)
  )

  it.live("tells who takes it of an end that came before", () =>
    Effect.gen(function* () {
      const { address, server } = yield* listening
      server.on("connection", (socket) => void socket.end())
      const came = once(server, "connection")
      yield* begin(address)
      yield* Effect.promise(() => came)
      // Another one has seen its end: so has this.
      yield* Effect.promise(() => once(connect(address.port, address.host).resume(), "close"))
      const ahead = yield* DialNode.ahead(address)
      assert.isDefined(ahead)
      const reader = yield* ahead.socket.reader
      const { reason } = yield* Effect.flip(reader.pull)
      assert.deepStrictEqual(
        [reason._tag, reason._tag === "SocketCloseError" && reason.code],
        ["SocketCloseError", 1000]
      )
    }).pipe(Effect.scoped)
  )

  it.live("is not taken when it has failed: who dials again hears why", () =>
    Effect.gen(function* () {
      const { address } = yield* Effect.scoped(listening)
      yield* begin(address)
      // It is refused like another one behind it.
      yield* Effect.promise(
        () =>
          new Promise((resolve) =>
            connect(address.port, address.host)
              .once("error", () => {})
              .once("close", resolve)
          )
      )
      assert.strictEqual(DialAheadNode.take(address), undefined)
    })
  )
})

describe("the executable", () => {
  let folder = ""
  beforeAll(() => {
    folder = fs.mkdtempSync(join(tmpdir(), "paradrop-"))
    fs.writeFileSync(join(folder, "a"), "a")
    fs.writeFileSync(join(folder, "blank"), "\n")
  })
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  const bin = join(import.meta.dirname, "..", "..", "src", "client", "bin.ts")

  /** What a server that never answers sees of a client, and how that ends. */
  const run = (...args: ReadonlyArray<string>) => Effect.scoped(ran(args))
  const ran = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
    const { address, gone, seen } = yield* listening
    const child = spawn(process.execPath, [bin, "--server", `127.0.0.1:${address.port}`, "--user", "ada", ...args], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"], HOME: folder }
    })
    let said = ""
    child.stderr.on("data", (chunk) => (said += String(chunk)))
    const [code] = yield* Effect.promise(() => once(child, "close"))
    yield* Effect.promise(() => Promise.all(gone))
    return { code: Number(code), said, seen }
  })

  it.live(
    "says hello before it knows all, and nothing else until it does",
    () =>
      Effect.gen(function* () {
        const { code, said, seen } = yield* run("--password-file", "blank", "upload", "a")
        assert.strictEqual(code, 1)
        assert.include(said, "has an empty first line")
        assert.deepStrictEqual(seen, { connections: 1, bytes: helloBytes })
      }),
    60_000
  )

  it.live(
    "dials nobody for a file that is not there",
    () =>
      Effect.gen(function* () {
        const { code, said, seen } = yield* run("--password-file", "blank", "upload", "b")
        assert.strictEqual(code, 1)
        assert.include(said, "could not find the file in clientSide to upload")
        assert.deepStrictEqual(seen, { connections: 0, bytes: 0 })
      }),
    60_000
  )
})
