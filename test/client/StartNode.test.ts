/**
 * In which order a client starts: what it loads before it dials, before it says hello, and after.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { rolldown } from "rolldown"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { type Event, eventsIn, tracing } from "./startEvents.ts"
import configuration from "../../rolldown.config.ts"

const source = join(import.meta.dirname, "..", "..", "src", "client")
const helloBytes = preamble.length + publicKeyBytes

/** A server that says nothing, and hears what each connection says to its end. */
const listening = Effect.acquireRelease(
  Effect.promise(async () => {
    const heard: Array<Promise<number>> = []
    const server = createServer((socket) => {
      let bytes = 0
      socket.on("data", (chunk) => (bytes += chunk.length)).on("error", () => {})
      heard.push(new Promise((resolve) => socket.once("close", () => resolve(bytes))))
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    const isTcp = (address: AddressInfo | string | null): address is AddressInfo => typeof address === "object"
    const address = server.address()
    return { heard, server, port: isTcp(address) ? address.port : 0 }
  }),
  ({ server }) => Effect.sync(() => void server.close())
)

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "paradrop-start-"))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
)

/** Runs `start` of a module for a command line that is certain to dial; what happened, in order. */
const traced = Effect.fnUntraced(function* (module: string, place: string) {
  const { heard, port } = yield* listening
  const trace = join(place, "trace")
  const blank = join(place, "blank")
  fs.writeFileSync(blank, "\n")
  const args = ["--server", `127.0.0.1:${port}`, "--user", "ada", "--password-file", blank, "fetch"]
  const program = `
    const { start } = await import(${JSON.stringify(pathToFileURL(module).href)})
    await start(${JSON.stringify(args)}, process.env)
  `
  const child = spawn(
    process.execPath,
    ["--import", tracing, "--input-type=module", "-e", program, "--", "paradrop", ...args],
    {
      env: { PATH: process.env["PATH"], HOME: place, PARADROP_TRACE: trace, PARADROP_PORT: String(port) },
      stdio: ["ignore", "ignore", "pipe"]
    }
  )
  let said = ""
  child.stderr.on("data", (chunk) => (said += String(chunk)))
  yield* Effect.promise(() => once(child, "close"))
  return { events: eventsIn(trace), said, heard: yield* Effect.promise(() => Promise.all(heard)) }
})

/** The start as it is built, in a place of its own, with a program beside it that takes the connection. */
const built = Effect.fnUntraced(function* (place: string) {
  const options = configuration.find(({ input }) => input === "dist/client/StartNode.js")
  assert.isDefined(options)
  const [output] = [options.output].flat()
  const file = join(place, "StartNode.mjs")
  yield* Effect.promise(async () => {
    const input = join(source, "StartNode.ts")
    const bundle = await rolldown({ ...options, input, external: [/\/main\.ts$/] })
    await bundle.write({ ...output, file })
    await bundle.close()
  })
  const address = `{ host: "127.0.0.1", port: Number(process.env.PARADROP_PORT) }`
  const take = `const taken = dialAhead.take(${address}); process.stderr.write(String(taken !== undefined))`
  const program = `(function(require,importMeta,importModule,dialAhead){${take}; taken.connection.socket.destroy()})`
  fs.writeFileSync(join(place, "program.js"), program)
  return file
})

const loadsOf = (events: ReadonlyArray<Event>) => events.filter(([what]) => what === "load").map(([, name]) => name)

describe("a client that is certain to dial", () => {
  it.live("dials before its cryptography is loaded, and says hello before its program is", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const { events, heard, said } = yield* traced(join(source, "StartNode.ts"), place)
      assert.include(said, "has an empty first line")
      const first = (what: string) => events.findIndex(([one]) => one === what)
      const [dialled, greeted] = [first("connect"), first("write")]
      assert.deepStrictEqual(
        [loadsOf(events.slice(0, dialled)).toSorted(), events[dialled]],
        [
          ["Bytes.ts", "DialAheadNode.ts", "Protocol.ts", "ReadRing.ts", "StartNode.ts", "limits.ts"],
          ["connect", "without crypto"]
        ]
      )
      assert.deepStrictEqual(loadsOf(events.slice(dialled, greeted)), ["XWingNode.ts"])
      assert.deepStrictEqual(loadsOf(events.slice(greeted)).slice(0, 2), ["ProgramNode.ts", "main.ts"])
      // One connection and one hello: nothing else goes out before all is known.
      assert.deepStrictEqual(
        events.filter(([what]) => what !== "load"),
        [
          ["connect", "without crypto"],
          ["write", helloBytes]
        ]
      )
      assert.deepStrictEqual(heard, [helloBytes])
    }).pipe(Effect.scoped)
  )

  it.live("does so from one file once it is built", () =>
    Effect.gen(function* () {
      const place = yield* folder
      const { events, heard, said } = yield* traced(yield* built(place), place)
      assert.strictEqual(said, "true")
      assert.deepStrictEqual(events, [
        ["load", "StartNode.mjs"],
        ["connect", "without crypto"],
        ["write", helloBytes],
        ["load", "program.js"]
      ])
      assert.deepStrictEqual(heard, [helloBytes])
    }).pipe(Effect.scoped)
  )
})
