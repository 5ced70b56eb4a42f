/**
 * Bundles of small files through a whole server: what is on record of each, and what they ask of the disk.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { bundleBytesMax, bundleFilesMax, smallFileBytesMax } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as SmallFiles from "../../src/domain/store/SmallFiles.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Audit } from "../../src/server/Audit.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { connect, settle } from "./world.ts"

const world = Server.layer.pipe(
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(Layer.orDie(Fixture.accounts)),
  Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
  Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto, Audit.layerMemory]),
  Layer.provideMerge(quickCrypto)
)

const small = Effect.fnUntraced(function* (name: string, seed: number) {
  const content = Fixture.bytes(seed, 100 + seed)
  const digest = yield* Fixture.digest(content)
  return { name: FileName.make(name), size: content.length, modified: 1000, digest, content }
})

/** What is on record of uploads: name, outcome, and which of the contents were there before and after. */
const uploads = Effect.fnUntraced(function* (seeds: ReadonlyArray<number>) {
  const known = new Map<string | undefined, number>()
  for (const seed of seeds) known.set((yield* small("any", seed)).digest, seed)
  const records = yield* Stream.runCollect((yield* Audit).records)
  return records.flatMap((one) =>
    one._tag === "command" && one.command === "upload"
      ? [[one.name, one.outcome, one.bytes, known.get(one.before), known.get(one.after)]]
      : []
  )
})

describe("a bundle that goes up", () => {
  it.effect("may be any list of files, none too, and comes down as one", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const files = yield* Effect.forEach(Array.from({ length: bundleFilesMax + 2 }), (_, index) =>
        small(`f/${index}`, index)
      )
      const names = [...files.map(({ name }) => name), FileName.make("f/none")]
      const [sent, received]: [Array<number>, Array<number>] = [[], []]
      assert.strictEqual((yield* session.uploadBundle([])).size, 0)
      assert.strictEqual((yield* session.uploadBundle(files, (bytes) => sent.push(bytes))).size, 0)
      const got: Array<readonly [number, Uint8Array]> = []
      const take = (some: ReadonlyArray<{ readonly index: number; readonly parts: Bytes.Parts }>) =>
        Effect.sync(
          () => void got.push(...some.map(({ index, parts }) => [index, Bytes.copy(Bytes.concat(parts))] as const))
        )
      const missing = yield* session.downloadBundle(names, take, (bytes) => received.push(bytes))
      assert.deepStrictEqual(
        Array.from(missing, ([place, { reason }]) => [place, reason]),
        [[files.length, "no-such-file"]]
      )
      assert.deepStrictEqual(
        got,
        files.map(({ content }, place) => [place, content])
      )
      const total = files.reduce((sum, { content }) => sum + content.length, 0)
      for (const crossed of [sent, received]) {
        assert.strictEqual(crossed.at(-1), total)
        assert.deepStrictEqual(
          crossed,
          crossed.toSorted((one, other) => one - other)
        )
      }
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.effect("leaves out what goes into none, and what is not as long as it says", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = new Uint8Array(bundleBytesMax + 1)
      const [a, b, c, d] = [yield* small("a", 1), yield* small("b", 2), yield* small("c", 3), yield* small("d", 4)]
      const files = [a, { ...b, size: b.size + 1 }, { ...c, content, size: content.length }, { ...d, size: 0 }]
      const largest = content.subarray(1)
      const e = { ...(yield* small("e", 5)), content: largest, size: largest.length }
      const refused = yield* session.uploadBundle([...files, { ...e, digest: yield* Fixture.digest(largest) }])
      assert.deepStrictEqual(
        Array.from(refused, ([place, { name, reason }]) => [place, name, reason]),
        [
          [1, "b", "size-mismatch"],
          [2, "c", "too-large"],
          [3, "d", "size-mismatch"]
        ]
      )
      const names = Array.from(yield* Stream.runCollect(session.fetch), ({ name }) => name)
      assert.deepStrictEqual(names, [FileName.make("a"), FileName.make("e")])
      assert.deepStrictEqual(yield* session.fetchToGet([]), [])
      assert.strictEqual((yield* Stream.runCollect(session.fetchWith({ alike: [] }))).length, 0)
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.effect("is on record file by file, each with what it has replaced", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          yield* session.uploadBundle([yield* small("f/a", 1), yield* small("f/b", 2)])
          const spoilt = { ...(yield* small("f/b", 5)), content: new Uint8Array(105) }
          const refused = yield* session.uploadBundle([
            yield* small("f/new", 3),
            yield* small("f/a", 4),
            spoilt,
            yield* small("f/A", 6),
            yield* small("g/new", 7)
          ])
          assert.deepStrictEqual(
            Array.from(refused, ([index, { reason }]) => [index, reason]),
            [
              [2, "digest-mismatch"],
              [3, "name-collision"]
            ]
          )
        })
      )
      yield* settle
      assert.deepStrictEqual(yield* uploads([1, 2, 3, 4, 5, 6, 7]), [
        ["f/a", "done", 101, undefined, 1],
        ["f/b", "done", 102, undefined, 2],
        ["f/new", "done", 103, undefined, 3],
        ["f/a", "done", 104, 1, 4],
        ["f/b", "digest-mismatch", 105, 2, undefined],
        ["f/A", "name-collision", 106, 1, undefined],
        ["g/new", "done", 107, undefined, 7]
      ])
    }).pipe(Effect.provide(world))
  )

  it.effect("that names a file twice is on record with what the first has put there", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          const spoilt = { ...(yield* small("a", 2)), content: new Uint8Array(102) }
          yield* session.uploadBundle([yield* small("a", 1), spoilt, yield* small("a", 3), yield* small("a", 4)])
        })
      )
      yield* settle
      assert.deepStrictEqual(yield* uploads([1, 2, 3, 4]), [
        ["a", "done", 101, undefined, 1],
        ["a", "digest-mismatch", 102, 1, undefined],
        ["a", "done", 103, 1, 3],
        ["a", "done", 104, 3, 4]
      ])
    }).pipe(Effect.provide(world))
  )

  it.effect("is on record with what it has replaced, also where that was more than a bundle holds", () =>
    Effect.gen(function* () {
      const places = [1, 2, 3, 4]
      const size = Math.floor(bundleBytesMax / 2) + 1
      const before = places.map((place) => Fixture.bytes(place, size))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          for (const [index, content] of before.entries()) {
            yield* session.upload(FileName.make(`f/${index}`), Fixture.source(content))
          }
          const after = yield* Effect.forEach(places, (place) => small(`f/${place - 1}`, place))
          assert.strictEqual((yield* session.uploadBundle(after)).size, 0)
        })
      )
      yield* settle
      const records = yield* Stream.runCollect((yield* Audit).records)
      assert.deepStrictEqual(
        records.flatMap((one) => (one._tag === "command" && one.before !== undefined ? [one.before] : [])),
        yield* Effect.forEach(before, Fixture.digest)
      )
    }).pipe(Effect.provide(world))
  )

  it.effect("of who may not replace goes to new names in as few steps, and to no other", () =>
    Effect.gen(function* () {
      const [disk, store] = [yield* MemoryDisk.MemoryDisk, yield* FileStore]
      const put = (names: ReadonlyArray<string>, target: "absent" | "present") =>
        Effect.gen(function* () {
          const files = yield* Effect.forEach(names, (name, index) => small(name, index + 1))
          const all = files.map(({ content, digest, modified, name }) => ({ name, modified, digest, parts: [content] }))
          const outcomes = yield* SmallFiles.placeAll(store, all, target)
          return outcomes.map((one) => (Result.isSuccess(one) ? one.success.name : one.failure._tag))
        })
      assert.deepStrictEqual(yield* put(["f/a", "f/b"], "absent"), ["f/a", "f/b"])
      const before = (yield* disk.journal).length
      assert.deepStrictEqual(yield* put(["f/c", "f/a", "f/d"], "absent"), ["f/c", "FileExists", "f/d"])
      assert.deepStrictEqual(yield* put(["f/c", "f/e"], "present"), ["f/c", "NoSuchFile"])
      const count = (operation: string, all: ReadonlyArray<string>) => all.filter((one) => one === operation).length
      const operations = (yield* disk.journal).slice(before)
      assert.deepStrictEqual([count("create", operations), count("statAll", operations)], [3, 2])
      assert.isAtMost(count("stat", operations), 8)
    }).pipe(Effect.provide(world))
  )

  it.effect("of new files looks at no file before it puts them in place", () =>
    Effect.gen(function* () {
      const disk = yield* MemoryDisk.MemoryDisk
      const operations = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          yield* session.uploadBundle([yield* small("f/a", 1)])
          const before = (yield* disk.journal).length
          yield* session.uploadBundle([yield* small("f/b", 2), yield* small("f/c", 3)])
          return (yield* disk.journal).slice(before)
        })
      )
      const each = ["create", "write", "setModified", "sync", "rename"]
      const looks = operations.filter((one) => !each.includes(one))
      assert.notInclude(looks, "readAll")
      assert.notInclude(looks, "openRead")
      assert.strictEqual(operations.length - looks.length, 2 * each.length)
      assert.isAtMost(looks.length, 10, looks.join())
    }).pipe(Effect.provide(world))
  )
})

describe("files that come with a listing", () => {
  const large = { name: FileName.make("f/b"), content: Fixture.bytes(9, smallFileBytesMax + 1) }
  const folder = FileName.make("f")
  const get = Effect.fnUntraced(function* (session: ClientSession, names: ReadonlyArray<FileName>) {
    const got: Array<readonly [FileName | undefined, Uint8Array]> = []
    const crossed: Array<number> = []
    const before = session.traffic.sent
    const refusals = yield* session.downloadBundle(
      names,
      (files) =>
        Effect.sync(() => {
          for (const { index, parts } of files) got.push([names[index], Bytes.copy(Bytes.concat(parts))])
        }),
      (bytes) => crossed.push(bytes)
    )
    const asked = session.traffic.sent > before
    return { got, refusals: Array.from(refusals.keys()), asked, crossed: crossed.at(-1) }
  })

  it.effect("are taken from there, once, and on record as downloads; the others are asked for", () =>
    Effect.gen(function* () {
      const [a, c, d] = [yield* small("f/a", 1), yield* small("f/c", 2), yield* small("f/d", 3)]
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          yield* session.uploadBundle([a, c, d])
          yield* session.upload(large.name, Fixture.source(large.content))
          yield* Effect.scoped(
            Effect.gen(function* () {
              const entries = yield* session.fetchToGet([folder])
              assert.deepStrictEqual(entries.map(({ name }) => name).toSorted(), [a.name, large.name, c.name, d.name])
              const first = yield* get(session, [c.name, a.name])
              assert.deepStrictEqual(first.got, [
                [c.name, c.content],
                [a.name, a.content]
              ])
              assert.deepStrictEqual([first.refusals, first.asked, first.crossed], [[], false, c.size + a.size])
              const missing = FileName.make("f/x")
              const second = yield* get(session, [d.name, missing, a.name, large.name])
              assert.deepStrictEqual(second.got, [
                [d.name, d.content],
                [a.name, a.content],
                [large.name, large.content]
              ])
              assert.deepStrictEqual([second.refusals, second.asked], [[1], true])
            })
          )
          const listing = Effect.gen(function* () {
            const entries = yield* session.fetchToGet([folder])
            assert.isFalse((yield* get(session, [c.name])).asked, "all of it has come")
            return entries
          })
          assert.strictEqual((yield* Effect.scoped(listing)).length, 4)
          assert.isTrue((yield* get(session, [a.name])).asked, "what nobody took is gone with the scope")
        })
      )
      yield* settle
      const records = yield* Stream.runCollect((yield* Audit).records)
      const kinds = records.flatMap((one) => (one._tag === "command" ? [[one.command, one.name, one.bytes]] : []))
      assert.deepStrictEqual(kinds.slice(4, 8), [
        ["fetch", undefined, a.size + c.size + d.size],
        ["download", a.name, a.size],
        ["download", c.name, c.size],
        ["download", d.name, d.size]
      ])
    }).pipe(Effect.provide(world))
  )

  it.effect("are those of the folders that were named, as they are spelt, of all that the listing has", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const [a, b, c, d] = [
        yield* small("f/g/a", 1),
        yield* small("f/g2/b", 2),
        yield* small("f/h", 3),
        yield* small("f/e/d", 4)
      ]
      // What does not come stands between what does.
      yield* session.uploadBundle([d, a, b, c])
      const names = ["f/g", "f/h", "f/E"].map((name) => FileName.make(name))
      const entries = yield* session.fetchToGet(names)
      assert.deepStrictEqual(
        entries.map(({ name }) => name),
        [c.name, d.name, a.name, b.name]
      )
      const come = yield* get(session, [c.name, a.name])
      assert.deepStrictEqual(come.got, [
        [c.name, c.content],
        [a.name, a.content]
      ])
      assert.isFalse(come.asked)
      for (const { name } of [b, d]) assert.isTrue((yield* get(session, [name])).asked, name)
    }).pipe(Effect.scoped, Effect.provide(world))
  )

  it.effect("are no more than a bundle holds", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const size = smallFileBytesMax
      const count = Math.floor(bundleBytesMax / size) + 2
      const files = yield* Effect.forEach(Array.from({ length: count }), (_, index) =>
        Effect.gen(function* () {
          const content = Fixture.bytes(index, size)
          return {
            name: FileName.make(`f/${index}`),
            size,
            modified: 0,
            digest: yield* Fixture.digest(content),
            content
          }
        })
      )
      for (const file of files) yield* session.upload(file.name, Fixture.source(file.content))
      const entries = yield* session.fetchToGet([FileName.make("f")])
      assert.strictEqual(entries.length, count)
      const before = session.traffic.received
      const { got } = yield* get(
        session,
        entries.slice(0, count - 2).map(({ name }) => name)
      )
      assert.strictEqual(got.length, count - 2)
      const rest = yield* get(
        session,
        entries.slice(count - 2).map(({ name }) => name)
      )
      assert.isTrue(rest.asked)
      assert.isAbove(session.traffic.received - before, 2 * size)
      const again = yield* get(
        session,
        entries.map(({ name }) => name)
      )
      assert.deepStrictEqual([again.got.length, again.crossed], [count, count * size], "in two parts")
    }).pipe(Effect.scoped, Effect.provide(world))
  )
})

describe("a store that reads parts of larger buffers", () => {
  it.effect("has the rest of them still: what is given back is a copy", () =>
    Effect.gen(function* () {
      const pool = Fixture.bytes(1, 100_000)
      const before = Bytes.copy(pool)
      const name = FileName.make("a")
      const open: FileStore["Service"]["open"] = () =>
        Effect.succeed({
          entry: { name, size: 40_000, modified: 0 },
          version: "1",
          changed: 0,
          read: (offset, length) => Effect.succeed(pool.subarray(offset, Math.min(40_000, offset + length))),
          unchanged: Effect.void
        })
      const one = yield* SmallFiles.readOne({ open }, name, 64_000, 64_000)
      const content = one?.content ?? new Uint8Array(0)
      assert.deepStrictEqual(content, before.subarray(0, 40_000))
      Bytes.giveBackBuffers([content])
      assert.strictEqual(content.length, 0)
      assert.deepStrictEqual(pool, before)
    })
  )
})

describe("a store that says nothing of files", () => {
  it.effect("has them refused, each once, and the session goes on", () =>
    Effect.gen(function* () {
      const silent = Layer.effect(
        FileStore,
        Effect.map(FileStore, (store) => ({ ...store, readAll: () => Effect.succeed([]) }))
      ).pipe(Layer.provide(Layer.orDie(FileStoreDisk.layer())))
      const world = Server.layer.pipe(
        Layer.provideMerge(MemorySocket.layer),
        Layer.provideMerge(Layer.orDie(Fixture.accounts)),
        Layer.provideMerge(silent),
        Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto]),
        Layer.provideMerge(quickCrypto)
      )
      yield* Effect.gen(function* () {
        const session = yield* connect()
        const names = ["a", "b", "c"].map((name) => FileName.make(name))
        const refused = yield* session.downloadBundle(names, () => Effect.void)
        assert.deepStrictEqual(
          Array.from(refused, ([index, { reason }]) => [index, reason]),
          names.map((_, index) => [index, "store-failed"])
        )
        assert.isFalse(session.ended())
      }).pipe(Effect.scoped, Effect.provide(world))
    })
  )
})

describe("a store that keeps the contents that it gives", () => {
  it.effect("has them still after a download and a replacement: nothing is given back that nobody called ours", () =>
    Effect.gen(function* () {
      const kept = Fixture.bytes(1, 40_000)
      const keeping = Layer.effect(
        FileStore,
        Effect.map(FileStore, (store) => ({
          ...store,
          readAll: (names: ReadonlyArray<FileName>) =>
            Effect.succeed(
              names.map((name) => Result.succeed({ entry: { name, size: kept.length, modified: 0 }, content: kept }))
            )
        }))
      ).pipe(Layer.provide(Layer.orDie(FileStoreDisk.layer())))
      const world = Server.layer.pipe(
        Layer.provideMerge(MemorySocket.layer),
        Layer.provideMerge(Layer.orDie(Fixture.accounts)),
        Layer.provideMerge(keeping),
        Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto, Audit.layerMemory]),
        Layer.provideMerge(quickCrypto)
      )
      yield* Effect.gen(function* () {
        const session = yield* connect()
        const file = yield* small("a", 2)
        for (let round = 1; round <= 2; round += 1) {
          yield* session.uploadBundle([file])
          const taken: Array<number> = []
          yield* session.downloadBundle([file.name], (files) =>
            Effect.sync(() => void taken.push(...files.map(({ size }) => size)))
          )
          assert.deepStrictEqual(taken, [kept.length], `round ${round}`)
          assert.strictEqual(kept.length, 40_000)
        }
      }).pipe(Effect.scoped, Effect.provide(world))
    })
  )
})
