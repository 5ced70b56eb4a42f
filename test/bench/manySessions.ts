/**
 * Many sessions of one process: what a program that has our client inside does to a server.
 *
 * `upload HOST:PORT PASSWORD_FILE COUNT FILE`: as many sessions, each sends the file, all at once.
 * `hold HOST:PORT PASSWORD_FILE COUNT`: opens as many, says `open`, and keeps them until it is ended.
 * `login HOST:PORT PASSWORD_FILE COUNT`: one after the other, each ends before the next begins.
 *
 * The bench makes one file of it (`bundle` in Sessions.ts), as people do with the client.
 */
import { readFileSync } from "node:fs"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Effect, Layer, Redacted, Semaphore } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as DialNode from "../../src/client/DialNode.ts"
import { LocalFiles } from "../../src/client/LocalFiles.ts"
import * as LocalFilesNode from "../../src/client/LocalFilesNode.ts"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import * as OpaqueNode from "../../src/domain/channel/OpaqueNode.ts"
import * as SocketNode from "../../src/domain/channel/SocketNode.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"

const [mode = "", server = "", passwordFile = "", countText = "", file = ""] = process.argv.slice(2)
const count = Number(countText)
const [host = "", port] = server.split(":")
const password = Redacted.make(readFileSync(passwordFile, "utf8").trim())

const connect = Client.connect({
  server,
  dial: DialNode.dial({ host, port: Number(port) }),
  user: UserName.make("bench"),
  password
})

/** So many logins at once: more would only wait for each other, and the server's patience is bounded. */
const loginsAtOnce = 16
const logins = Semaphore.makeUnsafe(loginsAtOnce)

const upload = (index: number) =>
  Effect.gen(function* () {
    const session = yield* logins.withPermit(connect)
    const source = yield* (yield* LocalFiles).open(file)
    if (source === undefined) return yield* Effect.die(`there is no '${file}'`)
    yield* session.upload(FileName.make(`up-${index}`), source)
  }).pipe(Effect.scoped)

const numbers = Array.from({ length: count }).keys()

const modes: Record<string, Effect.Effect<unknown, unknown, Layer.Success<typeof services>>> = {
  upload: Effect.suspend(() => Effect.forEach(numbers, upload, { concurrency: "unbounded", discard: true })),
  hold: Effect.gen(function* () {
    yield* Effect.forEach(numbers, () => connect, { concurrency: loginsAtOnce, discard: true })
    console.log("open")
    return yield* Effect.never
  }).pipe(Effect.scoped),
  login: Effect.suspend(() => Effect.forEach(numbers, () => Effect.scoped(connect), { discard: true }))
}

const services = Layer.mergeAll(
  Layer.provide(LocalFilesNode.layer, DigestNode.layer),
  Layer.mergeAll(OpaqueNode.layer, KemNode.layer, CipherNode.layer, SocketNode.owned, DigestNode.layer)
).pipe(Layer.provide(NodeCrypto.layerSecureRandom))

const chosen = modes[mode]
if (chosen === undefined) throw new Error("upload, hold or login")
await Effect.runPromise(Effect.provide(chosen, services))
// What is left of sockets must not keep it.
process.exit()
