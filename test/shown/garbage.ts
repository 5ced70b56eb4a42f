/**
 * Garbage at the port of the real server: 10 MB of random bytes, a valid hello cut at every byte, valid starts with
 * garbage behind them, and authentic records of garbage after a login. `node test/shown/garbage.ts`
 */
import { randomBytes } from "node:crypto"
import { connect } from "node:net"
import { NodeSocket } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { claim, inFolder, residentOf, startClient, startServer } from "./processes.ts"

const growthMebibytesMax = 40
const logins = 10
const account = { user: UserName.make("default"), password: Redacted.make("123456") }

/** One connection that writes and leaves; whatever the server answers is no matter. */
const send = (port: number, bytes: Uint8Array): Promise<void> =>
  new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(bytes))
    socket.on("data", () => undefined)
    socket.on("error", () => undefined)
    socket.on("close", () => done())
  })

const authentic = (port: number, seed: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* NodeSocket.makeNet({ host: "127.0.0.1", port })
      const session = yield* HostileClient.login(socket, account)
      yield* session.record(randomBytes(1 + seed * 1_000))
      yield* session.hearAll
    })
  ).pipe(
    Effect.ignore,
    Effect.provide(Layer.mergeAll(Opaque.layer, KemNode.layer, CipherNode.layer)),
    Effect.runPromise
  )

await inFolder(async (folder) => {
  const server = await startServer(folder)
  try {
    const hello = Buffer.concat([preamble, randomBytes(publicKeyBytes)])
    const lines = (): number =>
      server
        .log()
        .split("\n")
        .filter((line) => line.includes("connection ended")).length
    let connections = 0
    const attack = async (bytes: Uint8Array): Promise<void> => {
      connections += 1
      await send(server.port, bytes)
    }
    const round = async (): Promise<number> => {
      for (let index = 0; index < 160; index++) await attack(randomBytes(64 * 1024))
      for (let length = 1; length < hello.length; length++) await attack(hello.subarray(0, length))
      for (let index = 0; index < 100; index++) await attack(Buffer.concat([hello, randomBytes(index * 100)]))
      for (let seed = 0; seed < logins; seed++) await authentic(server.port, seed)
      connections += logins
      return residentOf(server.pid)
    }
    // The first round warms up what a server keeps once and for all: what the second adds would be a leak.
    const before = await round()
    const after = await round()
    await new Promise((done) => setTimeout(done, 3_000))
    claim(`the server is up after ${connections} connections`, server.alive())
    claim(`${lines()} lines in the log for ${connections} connections`, lines() === connections)
    claim(
      `memory: ${before.toFixed(0)} MiB after one round, ${after.toFixed(0)} MiB after two`,
      after - before < growthMebibytesMax
    )
    claim("the next client works", (await startClient(server, ["fetch"]).ended).code === 0)
  } finally {
    await server.stop()
  }
})
