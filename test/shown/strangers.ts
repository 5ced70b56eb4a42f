/**
 * Strangers at the port of the real server: thousands of connections from many addresses of loopback that never log in,
 * while real logins from other addresses go on. `node test/shown/strangers.ts [CONNECTIONS]`, on Linux.
 */
import { connect, type Socket } from "node:net"
import { Effect } from "effect"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { quickCrypto } from "../crypto.ts"
import { claim, inFolder, peakOf, processorOf, residentOf, type ServerProcess, startServer } from "./processes.ts"
import { addQuickAccount, session } from "./quickAccount.ts"

const connections = Number(process.argv.slice(2).find((arg) => arg !== "--dist") ?? 10_000)
const addresses = 2_000
const millisecondsMax = 1_000
const growthMebibytesMax = 40

const addressOf = (index: number): string =>
  `127.${1 + (index % 200)}.${Math.floor(index / 200) % 250}.${1 + (index % 250)}`

/** Connects from an address of its own and says those words, which may be none; stays until it is sent away. */
const stranger = (port: number, localAddress: string, words: Uint8Array): Promise<Socket> =>
  new Promise((done) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress })
    socket.on("connect", () => {
      if (words.length > 0) socket.write(words)
      done(socket)
    })
    socket.on("data", () => undefined)
    socket.on("end", () => socket.destroy())
    socket.on("error", () => done(socket))
  })

/** A login from an address of its own, milliseconds. Stretching is the client's business and left out. */
const login = (port: number, localAddress: string): Promise<number> =>
  Effect.scoped(
    Effect.gen(function* () {
      const since = performance.now()
      yield* session(port, localAddress)
      return performance.now() - since
    })
  ).pipe(
    Effect.catchCause(() => Effect.succeed(Infinity)),
    Effect.provide(quickCrypto),
    Effect.runPromise
  )

const middle = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** All strangers at full speed, logins one after the other meanwhile. */
const flood = async (name: string, { pid, port }: ServerProcess, words: Uint8Array): Promise<ReadonlyArray<Socket>> => {
  const sockets: Array<Socket> = []
  let flooding = true
  const logins: Array<number> = []
  const since = performance.now()
  const [own, theirs] = [process.cpuUsage(), await processorOf(pid)]
  const people = (async () => {
    while (flooding) logins.push(await login(port, `127.250.${logins.length % 250}.7`))
  })()
  for (let index = 0; index < connections; index += 20) {
    const some = Array.from({ length: Math.min(20, connections - index) }, (_, more) =>
      stranger(port, addressOf((index + more) % addresses), words)
    )
    sockets.push(...(await Promise.all(some)))
  }
  flooding = false
  await people
  const seconds = (performance.now() - since) / 1000
  const { system, user } = process.cpuUsage(own)
  const microseconds = ((await processorOf(pid)) - theirs) * 1000
  process.stdout.write(
    `     ${(microseconds / connections).toFixed(0)} us of the processor a connection on the server, ` +
      `${((user + system) / connections).toFixed(0)} us here, logins on both sides included\n`
  )
  for (let index = 0; index < 5; index++) logins.push(await login(port, `127.251.0.${index + 1}`))
  const slowest = Math.max(...logins)
  claim(
    `${name}: ${connections} connections in ${seconds.toFixed(1)} s; ${logins.length} logins, ` +
      `${middle(logins).toFixed(0)} ms in the middle, ${slowest.toFixed(0)} ms at most`,
    slowest < millisecondsMax
  )
  return sockets
}

await inFolder(async (folder) => {
  await addQuickAccount(folder)
  const server = await startServer(folder)
  try {
    await login(server.port, "127.252.0.1")
    const before = await residentOf(server.pid)
    const silent = await flood("strangers who say nothing", server, new Uint8Array(0))
    const between = await residentOf(server.pid)
    const talking = await flood("strangers who begin to greet", server, preamble)
    const after = await residentOf(server.pid)
    // The first flood makes what a server needs for as many at once as it lets in: a second one adds nothing.
    claim(
      `memory: ${[before, between, after].map((mebibytes) => mebibytes.toFixed(0)).join(", ")} MiB ` +
        `before, after one flood, after two; at most ${(await peakOf(server.pid)).toFixed(0)} MiB`,
      server.alive() && after - between < growthMebibytesMax
    )
    for (const socket of [...silent, ...talking]) socket.destroy()
    const outcomes = new Map<string, number>()
    for (const [, outcome = ""] of server.log().matchAll(/"outcome":"([^"]+)"/g))
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    process.stdout.write(`ends: ${Array.from(outcomes, ([name, count]) => `${name} ${count}`).join(", ")}\n`)
  } finally {
    await server.stop()
  }
})
