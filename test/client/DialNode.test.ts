/**
 * A client's socket on real connections: what comes, how it ends, and that the peer waits for who does not read.
 */
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket as Connection } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Socket } from "effect/socket"
import * as DialNode from "../../src/client/DialNode.ts"
import { readRingBytes } from "../../src/domain/limits.ts"
import { turn } from "../../src/domain/store/SmallFilesNode.ts"

const isTcp = (address: AddressInfo | string | null): address is AddressInfo => typeof address === "object"

/** A socket, and the other end of its connection. */
const connected = Effect.gen(function* () {
  const server = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer({ allowHalfOpen: true })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => void server.close())
  )
  const address = server.address()
  const came = new Promise<Connection>((resolve) => server.once("connection", resolve))
  const socket = yield* DialNode.dial({ host: "127.0.0.1", port: isTcp(address) ? address.port : 0 })
  const reader = yield* socket.reader
  const peer = yield* Effect.acquireRelease(
    Effect.promise(() => came),
    (peer) => Effect.sync(() => void peer.destroy())
  )
  peer.on("error", () => undefined)
  return { socket, reader, peer }
})

/** All that comes, checked against `byteAt` as it comes; gives the number of bytes and the end. */
const readAll = (reader: Socket.Reader, byteAt: (index: number) => number) =>
  Effect.gen(function* () {
    let bytes = 0
    const step = Effect.map(reader.pull, (chunks) => {
      for (const chunk of chunks) {
        assert.isNotString(chunk)
        for (let index = 0; index < chunk.length; index += 1013) {
          if (chunk[index] !== byteAt(bytes + index)) assert.fail(`another byte at ${bytes + index}`)
        }
        bytes += chunk.length
      }
    })
    const error = yield* Effect.flip(Effect.forever(step))
    return { bytes, reason: error.reason }
  })

const byteAt = (index: number): number => (index * 7 + (index >>> 8)) & 255

const content = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, index) => byteAt(index))

describe("a dialled socket", () => {
  it.live("gives what comes in order, many times what it reads into, and then the end", () =>
    Effect.gen(function* () {
      const { peer, reader } = yield* connected
      const bytes = 5 * readRingBytes + 4321
      peer.end(content(bytes))
      assert.deepInclude(yield* readAll(reader, byteAt), { bytes })
    }).pipe(Effect.scoped)
  )

  it.live("says of the end whether it was in order", () =>
    Effect.gen(function* () {
      const ended = yield* connected
      ended.peer.end(content(10))
      const { bytes, reason } = yield* readAll(ended.reader, byteAt)
      assert.deepStrictEqual(
        [bytes, reason._tag, reason._tag === "SocketCloseError" && reason.code],
        [10, "SocketCloseError", 1000]
      )
      const broken = yield* connected
      broken.peer.resetAndDestroy()
      assert.strictEqual((yield* readAll(broken.reader, byteAt)).reason._tag, "SocketReadError")
    }).pipe(Effect.scoped)
  )

  it.live("lets the peer wait while nobody reads, also when a wait is given up", () =>
    Effect.gen(function* () {
      const { peer, reader } = yield* connected
      const waiting = yield* Effect.forkChild(reader.pull, { startImmediately: true })
      yield* Fiber.interrupt(waiting)
      // More than it and both kernels' buffers hold.
      const bytes = 16 * readRingBytes
      let sent = false
      peer.end(content(bytes), () => (sent = true))
      // It goes round often enough for all that would come.
      for (let turns = 0; turns < 200; turns += 1) yield* turn
      assert.isFalse(sent)
      assert.deepInclude(yield* readAll(reader, byteAt), { bytes })
    }).pipe(Effect.scoped)
  )

  it.live("writes, and ends its direction alone", () =>
    Effect.gen(function* () {
      const { peer, reader, socket } = yield* connected
      const heard: Array<Uint8Array> = []
      peer.on("data", (chunk: Buffer) => heard.push(chunk))
      const over = once(peer, "end")
      yield* Effect.scoped(Effect.flatMap(socket.writer, ({ writeAll }) => writeAll([content(3), content(100_000)])))
      yield* Effect.promise(() => over)
      assert.deepStrictEqual(
        Uint8Array.from(Buffer.concat(heard)),
        Uint8Array.from([...content(3), ...content(100_000)])
      )
      peer.end(content(5))
      assert.deepInclude(yield* readAll(reader, byteAt), { bytes: 5 })
    }).pipe(Effect.scoped)
  )

  it.live("gives what has come also when the connection is gone by then", () =>
    Effect.gen(function* () {
      const { peer, reader, socket } = yield* connected
      const over = once(peer.resume(), "end")
      yield* Effect.scoped(Effect.flatMap(socket.writer, ({ write }) => write(content(3))))
      yield* Effect.promise(() => over)
      const gone = once(peer, "close")
      peer.end(content(10))
      yield* Effect.promise(() => gone)
      yield* Effect.forEach(Array.from({ length: 20 }), () => turn)
      assert.deepInclude(yield* readAll(reader, byteAt), { bytes: 10 })
    }).pipe(Effect.scoped)
  )

  it.live("fails to open where nobody listens", () =>
    Effect.gen(function* () {
      const { port } = yield* Effect.promise(async () => {
        const server = createServer().listen(0, "127.0.0.1")
        await once(server, "listening")
        const address = server.address()
        server.close()
        return { port: isTcp(address) ? address.port : 0 }
      })
      const socket = yield* DialNode.dial({ host: "127.0.0.1", port })
      const { reason } = yield* Effect.flip(socket.reader)
      assert.strictEqual(reason._tag, "SocketOpenError")
    }).pipe(Effect.scoped)
  )
})
