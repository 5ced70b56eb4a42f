/**
 * The real server behind a real port of loopback: strangers who say nothing, little or too little, and who is let in.
 */
import { connect, type Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { NodeSocket } from "@effect/platform-node"
import { Effect, Fiber, Layer, Metric, Stream } from "effect"
import { SocketServer } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import { Kem } from "../../src/domain/channel/Kem.ts"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { endsToldMilliseconds, listenBacklogMax, socketReadBytes } from "../../src/domain/limits.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as Doorman from "../../src/server/Doorman.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import * as SocketServerNode from "../../src/server/SocketServerNode.ts"
import { quickCrypto } from "../crypto.ts"
import { logTo, Watch, watchLayer } from "./world.ts"

const limits = { ...defaultLimits, sessionsBeforeLogin: 4, loginMilliseconds: 60_000 }

const listening = SocketServerNode.layer({
  host: "127.0.0.1",
  port: 0,
  fd: undefined,
  backlog: listenBacklogMax,
  highWaterMark: socketReadBytes
})

const world = Server.layer.pipe(
  Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map())),
  Layer.provide(Layer.succeed(ServerLimits, limits)),
  Layer.provide(Layer.orDie(Fixture.accounts)),
  Layer.provide(FileStoreMemory.layer()),
  Layer.provideMerge(Layer.orDie(listening)),
  Layer.provideMerge(logTo),
  Layer.provideMerge(watchLayer),
  Layer.provideMerge(quickCrypto)
)

const portNow = Effect.map(SocketServer.SocketServer, ({ address }) =>
  address._tag === "UnixPathAddress" ? 0 : address.port
)

/** A connection of a stranger, what has come to it, and how it ended. */
interface Stranger {
  readonly socket: Socket
  readonly heard: () => Buffer
  readonly ended: Promise<"end" | "reset">
}

const stranger = (port: number, localAddress = "127.0.0.1"): Effect.Effect<Stranger> =>
  Effect.promise(
    () =>
      new Promise((done) => {
        const socket = connect({ port, host: "127.0.0.1", localAddress, allowHalfOpen: true, noDelay: true })
        const parts: Array<Buffer> = []
        const ended = new Promise<"end" | "reset">((told) => {
          socket.on("end", () => told("end"))
          socket.on("error", () => told("reset"))
        })
        socket.on("data", (part: Buffer) => parts.push(part))
        socket.on("connect", () => done({ socket, heard: () => Buffer.concat(parts), ended }))
      })
  )

const ended = (one: Stranger) => Effect.promise(() => one.ended)

/** Until it holds: what it waits for comes from the kernel, in its own time. */
const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.andThen(Effect.sleep(2), until(holds))))

const login = (port: number) =>
  Client.connect({
    ...Fixture.ada,
    server: `127.0.0.1:${port}`,
    dial: NodeSocket.makeNet({ host: "127.0.0.1", port, localAddress: "127.3.3.3", noDelay: true, allowHalfOpen: true })
  })

describe("SocketServerNode", () => {
  it.live("sends the silent away with a reset for those who come, one line each, and who logs in gets in", () =>
    Effect.gen(function* () {
      const port = yield* portNow
      const { outcomes } = yield* Watch
      const strangers: Array<Stranger> = []
      for (let index = 0; index < 40; index++) strangers.push(yield* stranger(port, `127.1.1.${index + 1}`))
      const session = yield* login(port)
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(session.fetch)), [])
      yield* session.close
      // Three sit there still: the fourth seat went to who logged in.
      const gone = strangers.slice(0, -3)
      for (const one of gone) assert.strictEqual(yield* ended(one), "reset")
      yield* until(() => outcomes().length === gone.length + 1)
      assert.strictEqual(outcomes().filter((one) => one === "made-room").length, gone.length)
      assert.strictEqual(outcomes().filter((one) => one === "bye").length, 1)
      for (const { socket } of strangers) socket.destroy()
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.live("serves a hello that comes in pieces once it is whole, with nothing of it lost", () =>
    Effect.gen(function* () {
      const one = yield* stranger(yield* portNow)
      const { publicKey } = yield* (yield* Kem).keyPair
      const hello = Buffer.concat([preamble, publicKey])
      for (const [from, to] of [
        [0, 2],
        [2, 5],
        [5, 700],
        [700, hello.length - 1]
      ] as const) {
        one.socket.write(hello.subarray(from, to))
        yield* Effect.sleep(5)
      }
      assert.strictEqual(one.heard().length, 0)
      one.socket.write(hello.subarray(-1))
      yield* until(() => one.heard().length >= preamble.length)
      assert.deepStrictEqual(one.heard().subarray(0, preamble.length), Buffer.from(preamble))
      one.socket.destroy()
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.live("closes who is let in after it has stopped to serve, and holds no seat for it", () =>
    Effect.gen(function* () {
      const server = yield* SocketServer.SocketServer
      const doorman = yield* Doorman.make
      const seats = yield* Seats
      const fiber = yield* Effect.forkScoped(
        Effect.provideService(
          server.run(() => Effect.never),
          Doorman.Doorman,
          doorman
        )
      )
      const one = yield* stranger(yield* portNow)
      const { publicKey } = yield* (yield* Kem).keyPair
      one.socket.write(preamble)
      while ((yield* seats.count).all === 0) yield* Effect.sleep(2)
      yield* Fiber.interrupt(fiber)
      one.socket.write(publicKey)
      yield* ended(one)
      assert.deepStrictEqual(yield* seats.count, { all: 0, beforeLogin: 0 })
    }).pipe(
      Effect.scoped,
      Effect.provide([Seats.layer, ServerStatus.layer]),
      Effect.provide(Layer.orDie(listening)),
      Effect.provide(quickCrypto)
    )
  )

  it.live("tells other protocols at once, and those who leave before they have said enough", () =>
    Effect.gen(function* () {
      const port = yield* portNow
      const { outcomes } = yield* Watch
      const browser = yield* stranger(port)
      browser.socket.write("GET / HTTP/1.1\r\n\r\n")
      yield* ended(browser)
      yield* until(() => outcomes().length === 1)
      const shy = yield* stranger(port)
      shy.socket.end(preamble.subarray(0, 3))
      assert.strictEqual(yield* ended(shy), "end")
      yield* until(() => outcomes().length === 2)
      const broken = yield* stranger(port)
      // So that it has been accepted: the kernel tells nothing of those that were reset before.
      yield* Effect.sleep(5)
      broken.socket.resetAndDestroy()
      yield* until(() => outcomes().length === 3)
      assert.deepStrictEqual(outcomes(), ["bad-hello", "truncated", "connection-lost"])
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.live("sends those who wait away when the server stops, and nobody is accepted any more", () =>
    Effect.gen(function* () {
      const [port, one] = yield* Effect.gen(function* () {
        const port = yield* portNow
        const one = yield* stranger(port)
        yield* Effect.sleep(endsToldMilliseconds)
        return [port, one] as const
      }).pipe(Effect.provide(world))
      assert.strictEqual(yield* ended(one), "reset")
      const refused = connect({ port, host: "127.0.0.1" })
      const code = yield* Effect.promise(
        () =>
          new Promise<string>((told) => refused.on("error", (error) => told("code" in error ? String(error.code) : "")))
      )
      assert.strictEqual(code, "ECONNREFUSED")
    })
  )
})
