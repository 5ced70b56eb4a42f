/**
 * One upload, timed from the moment the login is done: a process of its own, that ends with its connection.
 *
 * Arguments: PORT FILE NAME. Prints one line of JSON: seconds, seconds until the first new content left, bytes of TCP
 * payload that were sent.
 */
import { open, stat } from "node:fs/promises"
import { connect } from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Effect, Layer, Redacted } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import * as SocketNode from "../../src/domain/channel/SocketNode.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { socketReadBytes } from "../../src/domain/limits.ts"

const [port = "", file = "", name = ""] = process.argv.slice(2)
const host = "127.0.0.1"
const { mtimeMs, size } = await stat(file)
const handle = await open(file)

const options = { port: Number(port), host, noDelay: true, allowHalfOpen: true, highWaterMark: socketReadBytes }
const socket = connect(options)
const dial = NodeSocket.fromDuplex(Effect.sync(() => socket))

const source = {
  size,
  modified: Math.floor(mtimeMs),
  read: (offset: number, length: number) =>
    Effect.promise(async () => {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, offset)
      return buffer.subarray(0, bytesRead)
    }),
  readInto: (offset: number, target: Uint8Array) =>
    Effect.promise(async () => (await handle.read(target, 0, target.length, offset)).bytesRead),
  unchanged: Effect.void
}

const run = Effect.gen(function* () {
  const session = yield* Client.connect({
    server: `${host}:${port}`,
    dial,
    user: UserName.make("default"),
    password: Redacted.make("123456")
  })
  const sentBefore = socket.bytesWritten
  const began = performance.now()
  let first = Number.NaN
  yield* session.upload(FileName.make(name), source, ({ done, reused }) => {
    if (Number.isNaN(first) && done > reused) first = performance.now()
  })
  return {
    seconds: (performance.now() - began) / 1000,
    firstMoved: (first - began) / 1000,
    sent: socket.bytesWritten - sentBefore
  }
}).pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(SocketNode.owned, Opaque.layer, KemNode.layer, CipherNode.layer, DigestNode.layer))
)

console.log(JSON.stringify(await Effect.runPromise(run)))
await handle.close()
