/**
 * The programs of docs/examples do what they say. `.ci/smoke` runs each from the packed package, as a stranger would.
 */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Context, Effect, Exit, Layer, Logger, Option, Redacted, References, Schema, Stream, Tracer } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import type { NetAddress } from "effect/net"
import { SocketServer } from "effect/socket"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { quickCrypto } from "./crypto.ts"
import { checkStore } from "./ownLayers.ts"
import * as Check from "../docs/examples/checkStore.ts"
import * as Embed from "../docs/examples/embed.ts"
import * as Mirror from "../docs/examples/mirror.ts"
import * as Secure from "../docs/examples/secureChannel.ts"
import * as SqliteStore from "../docs/examples/sqliteStore.ts"
import * as Alone from "../docs/examples/storeAlone.ts"
import * as Client from "../src/client/Client.ts"
import * as LocalFilesMemory from "../src/client/LocalFilesMemory.ts"
import * as Bytes from "../src/domain/Bytes.ts"
import { UserName } from "../src/domain/channel/HandshakeMessage.ts"
import { Opaque } from "../src/domain/channel/Opaque.ts"
import * as DigestNode from "../src/domain/file/DigestNode.ts"
import { FileName } from "../src/domain/file/FileName.ts"
import { FileStore } from "../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../src/domain/store/FileStoreMemory.ts"
import { fileStoreContract, loadFile, saveFile } from "../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../src/domain/testing/MemorySocket.ts"
import * as Server from "../src/server/Server.ts"

const name = (text: string) => FileName.make(text)
const text = (content: string) => Bytes.fromUtf8(content)

const portOf = (address: NetAddress.SocketAddress): number => (address._tag === "UnixPathAddress" ? 0 : address.port)

/** A folder that goes with the scope. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "paradrop-examples-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

describe("embed.ts", () => {
  it.live("shows in the browser what came over Paradrop, in the application's own store, log and trace", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const spans: Array<string> = []
      const logger = Logger.make(({ fiber }) => lines.push(fiber.getRef(References.CurrentLogAnnotations)["event"]))
      const tracer = Tracer.make({
        span: (options) => {
          spans.push(options.name)
          return new Tracer.NativeSpan(options)
        }
      })
      const password = Redacted.make("quite a long password")
      const application = Embed.paradrop(0, password).pipe(
        Layer.merge(HttpRouter.serve(Embed.web, { disableLogger: true, disableListenLog: true })),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
        Layer.provideMerge(FileStoreMemory.layer().pipe(Layer.provide(DigestNode.layer))),
        Layer.provide([Logger.layer([logger]), Layer.succeed(Tracer.Tracer, tracer)])
      )
      const context = yield* Layer.build(application)
      const port = portOf(Context.get(context, SocketServer.SocketServer).address)
      const site = `http://127.0.0.1:${portOf(Context.get(context, HttpServer.HttpServer).address)}`
      const content = Fixture.bytes(1, 200_000)
      const odd = ["100%.txt", "a%41.txt"]
      yield* Effect.scoped(
        Effect.gen(function* () {
          const dial = NodeSocket.makeNet({ host: "127.0.0.1", port, noDelay: true })
          const session = yield* Client.connect({ server: "it", dial, user: UserName.make("ada"), password })
          yield* session.upload(name("notes/a b.txt"), Fixture.source(content, 1_000))
          for (const one of odd) yield* session.upload(name(`odd/${one}`), Fixture.source(text(one), 1_000))
        }).pipe(Effect.provide(Layer.merge(quickCrypto, Opaque.layer)))
      )
      const get = (path: string) => Effect.promise(() => fetch(`${site}${path}`))
      const listed = yield* get("/")
      const digest = yield* Fixture.digest(content)
      const entry = { name: "notes/a b.txt", size: content.length, modified: 1_000, digest }
      assert.deepInclude(yield* Effect.promise(() => listed.json()), entry)
      const shown = yield* get("/files/notes/a%20b.txt")
      assert.deepStrictEqual(new Uint8Array(yield* Effect.promise(() => shown.arrayBuffer())), content)
      for (const one of odd) {
        const there = yield* get(`/files/odd/${encodeURIComponent(one)}`)
        assert.deepStrictEqual([there.status, yield* Effect.promise(() => there.text())], [200, one])
      }
      for (const none of ["nothing", "notes", "notes/a%20b.txt/c"])
        assert.strictEqual((yield* get(`/files/${none}`)).status, 404)
      assert.strictEqual((yield* get("/files/..%2Fetc")).status, 404)
      assert.deepStrictEqual(lines, [...Array.from({ length: 3 }, () => "file-committed"), "connection-ended"])
      assert.includeMembers(spans, ["paradrop.connection", "paradrop.login", "paradrop.upload", "paradrop.commit"])
    }).pipe(Effect.scoped, Effect.provide(DigestNode.layer))
  )

  it.live("is two servers in a program that has two, each with its own password", () =>
    Effect.gen(function* () {
      const ports = new Map<number, number>()
      const password = (index: number) => Redacted.make(`quite a long password ${index}`)
      const served = (index: number) =>
        Layer.provide(
          Layer.effectDiscard(
            SocketServer.SocketServer.useSync(({ address }) => void ports.set(index, portOf(address)))
          ),
          Embed.paradrop(0, password(index))
        )
      yield* Layer.build(Layer.provide(Layer.merge(served(0), served(1)), FileStoreMemory.layer()))
      for (const [index, port] of ports) {
        const dial = NodeSocket.makeNet({ host: "127.0.0.1", port, noDelay: true })
        const who = { user: UserName.make("ada"), password: password(index) }
        const session = yield* Client.connect({ server: "it", dial, ...who })
        yield* session.upload(name(`${index}`), Fixture.source(text("x")))
      }
      assert.strictEqual(ports.size, 2)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(quickCrypto, Opaque.layer)))
  )
})

describe("sqliteStore.ts", () => {
  for (const { effect, name: promise } of fileStoreContract) {
    it.effect(promise, () =>
      Effect.provide(effect, Layer.provideMerge(SqliteStore.layer(":memory:"), DigestNode.layer))
    )
  }

  it.effect("holds what was committed when it is opened again, under versions that never come again", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "files.db")
      const opened = Effect.provide(Layer.provideMerge(SqliteStore.layer(path), DigestNode.layer), { local: true })
      const version = Effect.scoped(
        Effect.flatMap(FileStore, (store) => Effect.map(store.open(name("a/b")), (file) => file.version))
      )
      const first = yield* opened(Effect.andThen(saveFile(name("a/b"), [text("one")]), version))
      yield* opened(Effect.flatMap(FileStore, (store) => store.remove({ name: name("a/b") })))
      const second = yield* opened(Effect.andThen(saveFile(name("a/b"), [text("two")]), version))
      assert.notStrictEqual(second, first)
      assert.deepStrictEqual(yield* opened(loadFile(name("a/b"))), text("two"))
    }).pipe(Effect.scoped)
  )
})

describe("checkStore.ts", () => {
  it.effect("finds every promise kept and every session right", () =>
    Effect.gen(function* () {
      const store = SqliteStore.layer(":memory:")
      assert.strictEqual(yield* Check.sessions(store, { runs: 5 }), 5)
      assert.strictEqual(yield* checkStore(store), 20)
    })
  )

  it.effect("finds the store that is broken on purpose, by contract and by session", () =>
    Effect.gen(function* () {
      const kept = yield* Check.contract(Check.broken)
      assert.isBelow(kept, fileStoreContract.length)
      const { message } = yield* Effect.flip(Check.sessions(Check.broken, { runs: 200, seed: 5, maxShrinks: 20 }))
      assert.match(message, /Remove [^]*replay: {3}/)
    })
  )
})

describe("mirror.ts", () => {
  const world = Server.layer.pipe(
    Layer.provideMerge([MemorySocket.layer, FileStoreMemory.layer()]),
    Layer.provide(Fixture.accounts),
    Layer.provideMerge(LocalFilesMemory.layer({ folders: ["here"] })),
    Layer.provideMerge(quickCrypto)
  )
  const session = Layer.unwrap(
    Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
      Client.Client.layer({ server: "memory", dial, ...Fixture.ada })
    )
  )
  const stored = Effect.flatMap(FileStore, (store) =>
    Effect.map(Stream.runCollect(store.list()), (entries) =>
      Object.fromEntries(entries.map(({ digest, modified, name: key }) => [key, [modified, digest]]))
    )
  )

  it.effect("sends what is new, updates what has changed, removes what is gone, and leaves the rest alone", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      yield* saveFile(name("other/theirs"), [text("not ours")])
      const large = Fixture.bytes(1, 100_000)
      files.set("here/a", { bytes: text("one"), modified: 1_000 })
      files.set("here/deep/b", { bytes: large, modified: 1_000 })
      const lines = Effect.map(Mirror.mirror("here", "mine"), (all) => all.toSorted())
      assert.deepStrictEqual(yield* lines, ["mine/a sent", "mine/deep/b sent"])
      assert.deepStrictEqual(yield* lines, [])
      files.set("here/deep/b", { bytes: large.with(500, 1), modified: 2_000 })
      files.delete("here/a")
      assert.deepStrictEqual(yield* lines, ["mine/a removed", "mine/deep/b updated"])
      assert.deepStrictEqual(Object.keys(yield* stored), ["other/theirs", "mine/deep/b"])
      assert.deepStrictEqual(yield* loadFile(name("mine/deep/b")), large.with(500, 1))
    }).pipe(Effect.provide(Layer.provideMerge(session, world)))
  )

  it.effect("removes nothing when the folder cannot be read", () =>
    Effect.gen(function* () {
      yield* saveFile(name("mine/a"), [text("one")])
      const { message } = yield* Effect.flip(Mirror.mirror("nowhere", "mine"))
      assert.strictEqual(message, "cannot read nowhere (ENOENT): there is no such folder or file")
      assert.deepStrictEqual(Object.keys(yield* stored), ["mine/a"])
    }).pipe(Effect.provide(Layer.provideMerge(session, world)))
  )

  const Names = Schema.Literals(["a", "b", "d/a", "d/e/c"])
  const Folder = Schema.ReadonlyMap(
    Names,
    Schema.Struct({ seed: Schema.Literals([1, 2]), modified: Schema.Literals([1, 2]) })
  )
  it.effect.prop(
    "whatever was there before, the server has exactly the folder",
    [Schema.Array(Folder)],
    ([rounds]) =>
      Effect.gen(function* () {
        const files = yield* LocalFilesMemory.MemoryFiles
        for (const round of rounds) {
          files.clear()
          const expected: Record<string, unknown> = {}
          for (const [key, { modified, seed }] of round) {
            // Content that changes has another time or size: that is what a mirror of this kind goes by.
            const bytes = Fixture.bytes(seed, 10 * seed + modified)
            files.set(`here/${key}`, { bytes, modified })
            expected[`mine/${key}`] = [modified, yield* Fixture.digest(bytes)]
          }
          yield* Mirror.mirror("here", "mine")
          assert.deepStrictEqual(yield* stored, expected)
        }
      }).pipe(Effect.provide(Layer.provideMerge(session, world))),
    { arbitrary: { runs: 20 } }
  )
})

describe("secureChannel.ts", () => {
  const password = Redacted.make("only they know")
  /** How each end of one conversation ends when the one that dials says that password. */
  const meet = Effect.fnUntraced(function* (said: Redacted.Redacted<string>) {
    const opaque = yield* Opaque
    const setup = yield* opaque.createSetup
    const record = yield* opaque.register(setup, { user: UserName.make("machines"), password, stretching: 1 })
    const [near, far] = yield* MemorySocket.pair
    const serve = Effect.exit(Effect.scoped(Effect.flatMap(Secure.accepted(far, setup, record), Secure.echo)))
    const asks = Effect.gen(function* () {
      const channel = yield* Secure.dialled(near, said)
      const answer = yield* Secure.ask(channel, "hello")
      assert.deepStrictEqual(yield* Secure.leave(channel), { _tag: "End" })
      return answer
    })
    return yield* Effect.all([Effect.exit(Effect.scoped(asks)), serve], { concurrency: 2 })
  })

  it.effect("carries a protocol of one's own between two that know the password", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* meet(password), [Exit.succeed("HELLO"), Exit.void])
    }).pipe(Effect.provide(quickCrypto))
  )

  it.effect("carries nothing for who does not know it", () =>
    Effect.gen(function* () {
      const ends = yield* meet(Redacted.make("a guess"))
      const errors = ends.map((exit) => Option.getOrUndefined(Exit.findErrorOption<unknown, unknown>(exit)))
      assert.containSubset(errors, [{ _tag: "OpaqueRejected" }, { _tag: "ChannelFailed", reason: "truncated" }])
    }).pipe(Effect.provide(quickCrypto))
  )
})

describe("storeAlone.ts", () => {
  it.effect("replaces a file whole", () =>
    Effect.gen(function* () {
      yield* Alone.save(name("a"), text("old"))
      const { digest, size } = yield* Alone.save(name("a"), text("new and longer"))
      assert.deepStrictEqual(yield* loadFile(name("a")), text("new and longer"))
      assert.deepStrictEqual([size, digest], [14, yield* Fixture.digest(text("new and longer"))])
    }).pipe(Effect.provide(Layer.provideMerge(FileStoreMemory.layer(), DigestNode.layer)))
  )
})

it("every example runs from the packed package too", () => {
  const root = join(import.meta.dirname, "..")
  const smoke = readFileSync(join(root, ".ci/smoke"), "utf8")
  const guide = readFileSync(join(root, "docs/EMBEDDING.md"), "utf8")
  for (const example of readdirSync(join(root, "docs/examples"))) {
    assert.include(smoke, example)
    assert.include(guide, `](examples/${example})`)
  }
})
