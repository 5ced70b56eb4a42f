/**
 * Downloads that find something of the file here already, over a whole server in memory.
 */
import { quickCrypto } from "../crypto.ts"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { LocalFiles, type LocalSource } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { confused, knownKey, knownKeys } from "../confused.ts"
import * as Server from "../../src/server/Server.ts"

const crypto = Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom)
const world = (written: { out: string; err: string }, services = crypto) =>
  Layer.mergeAll(
    Layer.unwrap(
      Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
        Sessions.layer(Client.connect({ server: "memory", dial, ...Fixture.ada }))
      )
    ),
    LocalFilesMemory.layer({ folders: ["w"] }),
    ReporterText.layer("")
  ).pipe(
    Layer.provideMerge(Screen.layerMemory({ written })),
    Layer.provideMerge(Server.layer),
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(Fixture.accounts),
    Layer.provideMerge(FileStoreMemory.layer()),
    Layer.provideMerge(services)
  )

const name = FileName.make("big")
const content = Fixture.bytes(3, 3 * 1024 * 1024)
const begun = 2 * 1024 * 1024

const upload = (bytes: Uint8Array, modified: number, facts: { readonly executable?: true } = {}) =>
  Sessions.use(({ session }) =>
    Effect.flatMap(session, (one) => one.upload(name, { ...Fixture.source(bytes, modified), ...facts }))
  )
/** What a download leaves that ends here. */
const leave = (bytes: Uint8Array) =>
  Effect.scoped(
    Effect.gen(function* () {
      const staging = yield* (yield* LocalFiles).stage("w/big", { size: content.length, modified: 1, resumable: true })
      yield* staging.write([bytes.subarray(0, begun)])
    })
  )
const download = Commands.run({ _tag: "Download", names: ["big"], to: "w" })
const here = Effect.map(LocalFilesMemory.MemoryFiles, (files) => files.get("w/big")?.bytes)
const received = Sessions.use(({ session }) => Effect.map(session, ({ traffic }) => traffic.received))

describe("a download", () => {
  const rows = [
    ["goes on behind what is left, moving the rest only", content, content, "", content.length - begun],
    ["starts again when what is left is damaged", damaged(begun - 1), content, "was damaged", content.length * 2],
    ["starts again when its beginning is another", damaged(0), content, "is another than", content.length],
    ["starts again when the server's file changed", content, content.slice(1), "is another than", content.length]
  ] as const
  for (const [title, left, atServer, said, most] of rows) {
    const written = { out: "", err: "" }
    it.effect(title, () =>
      Effect.gen(function* () {
        yield* upload(atServer, 1)
        yield* leave(left)
        const before = yield* received
        assert.isTrue(yield* download)
        assert.isBelow((yield* received) - before, most + 256 * 1024)
        assert.deepStrictEqual(yield* here, atServer)
        assert.include(written.err, said)
        assert.strictEqual(written.err === "", said === "")
      }).pipe(Effect.provide(world(written)))
    )
  }

  const running = { out: "", err: "" }
  it.effect("that goes on gives the file the bit by which it may be run, as one in one go does", () =>
    Effect.gen(function* () {
      yield* upload(content, 1, { executable: true })
      const files = yield* LocalFilesMemory.MemoryFiles
      const older = content.slice()
      older.fill(7, content.length / 2)
      for (const copy of [undefined, older]) {
        if (copy === undefined) files.delete("w/big")
        else files.set("w/big", { bytes: copy, modified: 5 })
        yield* leave(content)
        assert.isTrue(yield* download)
        assert.deepStrictEqual(files.get("w/big"), { bytes: content, modified: 1, executable: true })
      }
      assert.strictEqual(running.err, "")
    }).pipe(Effect.provide(world(running)))
  )

  for (const [title, left] of [
    ["is of the whole file when chunks of the older copy were confused on purpose", undefined],
    ["so also when what is left is the beginning of another", damaged(0)]
  ] as const) {
    const confusing = { out: "", err: "" }
    it.effect(title, () =>
      Effect.gen(function* () {
        yield* upload(content, 1)
        const files = yield* LocalFilesMemory.MemoryFiles
        files.set("w/big", { bytes: confused(knownKey, content, 16), modified: 5 })
        if (left !== undefined) yield* leave(left)
        const before = yield* received
        assert.isTrue(yield* download)
        assert.isAbove((yield* received) - before, content.length)
        assert.deepStrictEqual(yield* here, content)
        assert.include(confusing.err, "the older copy at w/big led to other content: getting the file whole")
        assert.isUndefined(yield* Effect.scoped(Effect.flatMap(LocalFiles, (local) => local.leftover("w/big"))))
      }).pipe(Effect.provide(world(confusing, Layer.merge(quickCrypto, knownKeys))))
    )
  }

  for (const [title, begins, most] of [
    ["whose older copy becomes shorter meanwhile goes on without it", false, content.length],
    ["so also behind what is left", true, content.length - begun]
  ] as const) {
    const shrinking = { out: "", err: "" }
    it.effect(title, () =>
      Effect.gen(function* () {
        yield* upload(content, 1)
        const files = yield* LocalFilesMemory.MemoryFiles
        const local = yield* LocalFiles
        files.set("w/big", { bytes: content.toReversed(), modified: 5 })
        if (begins) yield* leave(content)
        const cutShort = (source: LocalSource): LocalSource => ({
          ...source,
          read: (offset, length) =>
            Effect.map(source.read(offset, length), (bytes) => bytes.subarray(0, Math.max(0, 1_000_000 - offset)))
        })
        const open = (path: string) =>
          Effect.map(local.open(path), (found) => (found === undefined ? found : cutShort(found)))
        const before = yield* received
        assert.isTrue(yield* Effect.provideService(download, LocalFiles, { ...local, open }))
        assert.isBelow((yield* received) - before, most + 256 * 1024)
        assert.deepStrictEqual(yield* here, content)
        assert.strictEqual(shrinking.err, "the older copy at w/big became shorter meanwhile: going on without it\n")
      }).pipe(Effect.provide(world(shrinking)))
    )
  }

  const goingOn = { out: "", err: "" }
  it.effect("goes on behind what an update has left, and still takes the rest from the older copy", () =>
    Effect.gen(function* () {
      yield* upload(content, 1)
      const files = yield* LocalFilesMemory.MemoryFiles
      // Changed before and behind what is left: the first place is here already, the second is asked for.
      const older = damaged(1_000_000)
      older[2_900_000] = (older[2_900_000] ?? 0) ^ 1
      files.set("w/big", { bytes: older, modified: 5 })
      yield* leave(content)
      const before = yield* received
      assert.isTrue(yield* download)
      assert.isBelow((yield* received) - before, 256 * 1024)
      assert.deepStrictEqual(yield* here, content)
      assert.strictEqual(goingOn.err, "")
      assert.isUndefined(yield* Effect.scoped(Effect.flatMap(LocalFiles, (local) => local.leftover("w/big"))))
    }).pipe(Effect.provide(world(goingOn)))
  )

  const interrupted = { out: "", err: "" }
  it.effect(
    "keeps what an interrupted update has written, wherever it was interrupted",
    () =>
      Effect.gen(function* () {
        yield* upload(content, 1)
        const files = yield* LocalFilesMemory.MemoryFiles
        const local = yield* LocalFiles
        const older = content.slice()
        older.fill(7, content.length / 2)
        let kept = 0
        for (let turns = 1; turns < 4000; turns = Math.ceil(turns * 1.2)) {
          files.set("w/big", { bytes: older, modified: 5 })
          const fiber = yield* Effect.forkChild(download, { startImmediately: true })
          for (let turn = 0; turn < turns; turn += 1) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          const now = files.get("w/big")?.bytes
          assert.isTrue(now === older || Bytes.equals(now ?? older, content))
          kept = Math.max(kept, yield* Effect.scoped(Effect.map(local.leftover("w/big"), (left) => left?.from ?? 0)))
          assert.isTrue(yield* download)
          assert.deepStrictEqual(yield* here, content)
        }
        assert.isAbove(kept, 1024 * 1024)
      }).pipe(Effect.provide(world(interrupted))),
    120_000
  )

  const written = { out: "", err: "" }
  it.effect("takes what an older copy has, and leaves an equal one alone; digests are shown and expected", () =>
    Effect.gen(function* () {
      yield* upload(content, 1)
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("w/big", { bytes: damaged(1_000_000), modified: 5 })
      assert.isTrue(yield* download)
      assert.match(written.out, /^File 'big' downloaded to w\/big \(3\.0 MiB, [\d.]+ KiB received, 0\.000 s\)\n$/)
      assert.deepStrictEqual(yield* here, content)
      const placed = files.get("w/big")
      written.out = ""
      assert.isTrue(yield* download)
      assert.strictEqual(written.out, "File 'big' is up to date already: w/big (3.0 MiB, equal already, 0.000 s)\n")
      assert.strictEqual(files.get("w/big"), placed)
      written.out = ""
      yield* Commands.run({ _tag: "Fetch", pattern: undefined, digests: true })
      const digest = yield* Fixture.digest(content)
      assert.strictEqual(written.out, `   3.0 MiB  1970-01-01 00:00  ${digest}  big\n`)
      const para = { _tag: "Para", files: ["w/big"], as: undefined } as const
      assert.isFalse(yield* Commands.run({ ...para, expect: ContentDigest.make("0".repeat(64)) }))
      assert.include(written.err, "is not the version that you expect")
      written.out = ""
      assert.isTrue(yield* Commands.run({ ...para, expect: digest }))
      assert.strictEqual(written.out, "big: the file has been parallelized (3.0 MiB, equal already, 0.000 s)\n")
    }).pipe(Effect.provide(world(written)))
  )
})

/** The content with one byte changed. */
function damaged(at: number): Uint8Array {
  const bytes = content.slice()
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}
