import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"

const user = UserName.make("ada")
const password = Redacted.make("correct horse")
const crypto = Layer.mergeAll(Opaque.layerQuick, KemNode.layer, CipherNode.layer, DigestNode.layer)
const accounts = Layer.unwrap(Effect.gen(function*() {
  const opaque = yield* Opaque
  const setup = yield* opaque.createSetup
  const record = yield* opaque.register(setup, { user, password, stretching: 1 })
  return Accounts.layerMemory(setup, 1, new Map([[user, record]]))
}))
const env = Server.layer.pipe(
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(accounts),
  Layer.provideMerge(FileStoreMemory.layer()),
  Layer.provideMerge(crypto)
)

it.effect("moves files", () => Effect.gen(function*() {
  const net = yield* MemorySocket.MemoryNetwork
  const s = yield* Client.connect({ server: "m", dial: net.dial, user, password })
  const bytes = new Uint8Array(700_000).map((_, i) => i % 251)
  const src = { size: bytes.length, modified: 1000, read: (o: number, l: number) => Effect.succeed(bytes.slice(o, o + l)), unchanged: Effect.void }
  const name = FileName.make("a/ü b.bin")
  const up = yield* s.upload(name, src)
  assert.strictEqual(up.size, bytes.length)
  const list = yield* Stream.runCollect(s.fetch)
  assert.strictEqual(list.length, 1)
  const got: Array<Uint8Array> = []
  const down = yield* s.download(name, () => Effect.succeed({ write: (p) => Effect.sync(() => void got.push(...p)), commit: () => Effect.void }))
  assert.deepStrictEqual(down, up)
  const para = yield* s.para(name, { ...src, size: 10 })
  assert.strictEqual(para.size, 10)
  const missing = yield* Effect.flip(s.para(FileName.make("nope"), src))
  assert.strictEqual(missing._tag, "RequestRefused")
  const many = yield* Effect.all(Array.from({ length: 200 }, (_, i) => s.upload(FileName.make(`m/${i}`), { ...src, size: 1000 })), { concurrency: 50 })
  assert.strictEqual(many.length, 200)
  const wrong = yield* Effect.flip(Client.connect({ server: "m", dial: net.dial, user, password: Redacted.make("no") }))
  assert.strictEqual(wrong._tag, "LoginIncorrect")
}).pipe(Effect.provide(env)))
