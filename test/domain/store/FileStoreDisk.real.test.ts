import * as nodeChild from "node:child_process"
import * as nodeFs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Result, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { fromUtf8 } from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import {
  blockingMillisecondsMax,
  bundleFilesMax,
  copiedBlockBytes,
  copyRunBytesMax,
  diskSyncsAtOnceMax
} from "../../../src/domain/limits.ts"
import { Disk } from "../../../src/domain/store/Disk.ts"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as SmallFilesNode from "../../../src/domain/store/SmallFilesNode.ts"
import { StoreFailed } from "../../../src/domain/store/StoreError.ts"
import { listNames, loadFile, saveFile } from "../../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import { temporaryFolder } from "./temporaryDisk.ts"

const onFolder = (root: string) =>
  FileStoreDisk.layer().pipe(
    Layer.provideMerge(DiskNode.layer(root)),
    Layer.provide(SecureRandom.layerWebCrypto),
    Layer.provideMerge(DigestNode.layer)
  )

/** A root and, beside it, a folder that nothing may reach: `outside/secret`. */
const rootAndOutside = Effect.map(temporaryFolder, (folder) => {
  const root = `${folder}/root`
  const outside = `${folder}/outside`
  nodeFs.mkdirSync(root)
  nodeFs.mkdirSync(outside)
  nodeFs.writeFileSync(`${outside}/secret`, "secret")
  return { root, outside }
})

const untouched = (outside: string): void => {
  assert.deepStrictEqual(nodeFs.readdirSync(outside), ["secret"])
  assert.strictEqual(nodeFs.readFileSync(`${outside}/secret`, "utf8"), "secret")
}

const blocker = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => ("found" in error ? error.found : error._tag))

const content = [fromUtf8("new")]

/** Runs as a user who owns nothing; only the administrator can. */
const asNobody = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => process.seteuid?.(65534)),
    () => work,
    () => Effect.sync(() => process.seteuid?.(0))
  )

describe("FileStoreDisk on the real disk", () => {
  it.effect.skipIf(process.getuid?.() !== 0)("gives a file no second name that it could not take away", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const root = `${folder}/root`
      nodeFs.chmodSync(folder, 0o755)
      const make = (path: string, mode: number) => {
        nodeFs.mkdirSync(path)
        nodeFs.chmodSync(path, mode)
      }
      make(root, 0o1777)
      make(`${root}/shut`, 0o755)
      make(`${root}/free`, 0o777)
      for (const path of ["theirs", "shut/theirs", "free/theirs"]) {
        nodeFs.writeFileSync(`${root}/${path}`, path)
        nodeFs.chmodSync(`${root}/${path}`, 0o666)
      }
      const renamed = Effect.fnUntraced(function* (from: string, to: string) {
        const request = { name: FileName.make(from), to: FileName.make(to), replace: false }
        return yield* Effect.result((yield* FileStore).rename(request))
      })
      const work = Effect.gen(function* () {
        yield* saveFile(FileName.make("mine"), content)
        const codes = []
        for (const [from, to] of [
          ["theirs", "moved"],
          ["theirs", "free/moved"],
          ["shut/theirs", "moved"],
          ["theirs", "mine"],
          ["free/theirs", "moved"],
          ["mine", "moved"]
        ] as const) {
          codes.push(Result.match(yield* renamed(from, to), { onSuccess: () => "done", onFailure: ({ _tag }) => _tag }))
        }
        return codes
      })
      const codes = yield* asNobody(Effect.provide(work, onFolder(root)))
      assert.deepStrictEqual(codes, ["NoAccess", "NoAccess", "NoAccess", "FileExists", "done", "FileExists"])
      const left = nodeFs.readdirSync(root, { recursive: true }).map(String).toSorted()
      assert.deepStrictEqual(left, [stagingFolder, "free", "mine", "moved", "shut", "shut/theirs", "theirs"])
    })
  )

  it.effect("a root that was removed is not an empty one", () =>
    Effect.gen(function* () {
      const { root } = yield* rootAndOutside
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        assert.deepStrictEqual(yield* listNames, [])
        nodeFs.rmSync(root, { recursive: true })
        const failed = (operation: string) => new StoreFailed({ operation, code: "ENOENT" })
        const name = FileName.make("f/a")
        for (const where of [{}, { folder: FileName.make("f") }]) {
          assert.deepStrictEqual(yield* Effect.flip(Stream.runCollect(store.list(where))), failed("list"))
        }
        const looks = [Effect.asVoid(store.stat(name)), Effect.asVoid(Effect.scoped(store.open(name)))]
        const edits = [
          Effect.asVoid(store.remove({ name })),
          Effect.asVoid(store.rename({ name, to: name, replace: false }))
        ]
        for (const asked of [...looks, ...edits]) {
          assert.deepStrictEqual(yield* Effect.flip(asked), failed("list"))
        }
        const [read] = yield* store.readAll?.([name], 10) ?? Effect.succeed([])
        assert.deepStrictEqual(read, Result.fail(failed("list")))
      }).pipe(Effect.provide(onFolder(root)))
    })
  )

  it.effect("copies of any length are right, however many blocks and parts they are made in", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const base = Fixture.bytes(1, copyRunBytesMax + copiedBlockBytes + 12_345)
      nodeFs.writeFileSync(`${root}/base`, base)
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const from = yield* store.open(FileName.make("base"))
        const ranges = [
          [1, base.length - 1],
          [3, copyRunBytesMax],
          [base.length - 5, 5],
          [7, copiedBlockBytes - 1],
          [9, 2 * copiedBlockBytes]
        ] as const
        const want = Bytes.concat(ranges.map(([offset, length]) => base.subarray(offset, offset + length)))
        const name = FileName.make("copy")
        const staging = yield* store.stage({ name, size: want.length, modified: 5 })
        for (const [offset, length] of ranges) yield* staging.copy(from, offset, length)
        yield* staging.commit({ size: want.length, digest: digestOf(yield* Digest, [want]) })
        assert.strictEqual(Buffer.compare(nodeFs.readFileSync(`${root}/copy`), want), 0)
      }).pipe(Effect.scoped, Effect.provide(onFolder(root)))
    })
  )
})

describe("FileStoreDisk on the real disk: links lead nowhere", () => {
  for (const [title, path, target] of [
    ["the file itself", "secret", "../outside/secret"],
    ["the file itself, dangling", "new", "../outside/new"],
    ["the last folder", "f/link/secret", "../../outside"],
    ["a folder on the way", "link/f/secret", "../outside"],
    ["the first folder, by an absolute path", "abs/secret", "/"],
    ["a link to the root itself", "self/a", "."]
  ] as const) {
    it.effect(title, () =>
      Effect.gen(function* () {
        const { outside, root } = yield* rootAndOutside
        nodeFs.mkdirSync(`${root}/f`)
        nodeFs.mkdirSync(`${outside}/f`)
        nodeFs.rmdirSync(`${outside}/f`)
        nodeFs.writeFileSync(`${root}/a`, "a")
        const at = ["f/link", "link", "abs", "self"].find((prefix) => path.startsWith(`${prefix}/`)) ?? path
        nodeFs.symlinkSync(target, `${root}/${at}`)
        const name = FileName.make(path)
        yield* Effect.gen(function* () {
          const store = yield* FileStore
          assert.strictEqual(yield* blocker(store.stat(name)), "link")
          assert.strictEqual(yield* blocker(Effect.scoped(store.open(name))), "link")
          assert.strictEqual(yield* blocker(saveFile(name, content)), "link")
          assert.deepStrictEqual(yield* listNames, ["a"])
        }).pipe(Effect.provide(onFolder(root)))
        untouched(outside)
      })
    )
  }

  it.effect("a folder swapped for a link between staging and commit", () =>
    Effect.gen(function* () {
      const { outside, root } = yield* rootAndOutside
      nodeFs.mkdirSync(`${root}/f`)
      yield* Effect.gen(function* () {
        const disk = yield* Disk
        const file = yield* Effect.scoped(disk.create(["staged"]))
        assert.isDefined(file)
        nodeFs.rmdirSync(`${root}/f`)
        nodeFs.symlinkSync("../outside", `${root}/f`)
        for (const operation of [
          disk.rename(["staged"], ["f", "secret"]),
          disk.makeFolder(["f", "g"], "shared"),
          disk.remove(["f", "secret"]),
          Effect.scoped(disk.create(["f", "g"])),
          Effect.scoped(disk.openRead(["f", "secret"])),
          Effect.asVoid(disk.stat(["f", "secret"])),
          disk.syncFolder(["f"])
        ]) {
          assert.include(
            ["ENOTDIR", "ELOOP"],
            (yield* Effect.flip<unknown, { readonly code: string }, never>(operation)).code
          )
        }
      }).pipe(Effect.provide(onFolder(root)))
      untouched(outside)
    })
  )

  it.effect("a staging folder that is a link fails the start; one that becomes a link fails the upload", () =>
    Effect.gen(function* () {
      const { outside, root } = yield* rootAndOutside
      nodeFs.symlinkSync("../outside", `${root}/${stagingFolder}`)
      const error = yield* Effect.flip(Effect.provide(listNames, onFolder(root)))
      assert.strictEqual(error._tag === "StoreFailed" ? error.code : error._tag, "ENOTDIR")
      nodeFs.unlinkSync(`${root}/${stagingFolder}`)
      yield* Effect.gen(function* () {
        nodeFs.rmdirSync(`${root}/${stagingFolder}`)
        nodeFs.symlinkSync("../outside", `${root}/${stagingFolder}`)
        assert.strictEqual((yield* Effect.flip(saveFile(FileName.make("a"), content)))._tag, "StoreFailed")
        nodeFs.unlinkSync(`${root}/${stagingFolder}`)
        // Tidied away by somebody: made again.
        yield* saveFile(FileName.make("a"), content)
      }).pipe(Effect.provide(onFolder(root)))
      assert.strictEqual(nodeFs.statSync(`${root}/${stagingFolder}`).mode & 0o777, 0o700)
      untouched(outside)
    })
  )
})

describe("FileStoreDisk on the real disk", () => {
  it.effect("a FIFO and a name that the grammar refuses are not listed; opening a FIFO does not wait", () =>
    Effect.gen(function* () {
      const { root } = yield* rootAndOutside
      nodeChild.execFileSync("mkfifo", [`${root}/fifo`])
      for (const name of ["file", "trailing.", "back\\slash", "esc\x1b[31m", "rtl\u202e"]) {
        nodeFs.writeFileSync(`${root}/${name}`, "x")
      }
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const fifo = FileName.make("fifo")
        assert.strictEqual(yield* blocker(Effect.scoped(store.open(fifo))), "special")
        assert.strictEqual(yield* blocker(store.stat(fifo)), "special")
        assert.strictEqual(yield* blocker(saveFile(fifo, content)), "special")
        assert.deepStrictEqual(yield* listNames, ["file"])
      }).pipe(Effect.provide(onFolder(root)))
    })
  )

  it.effect("a file changed in place while it is read is SourceChanged, also with its time set back", () =>
    Effect.gen(function* () {
      const { root } = yield* rootAndOutside
      const name = FileName.make("file")
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const changes: ReadonlyArray<() => void> = [
          () => nodeFs.appendFileSync(`${root}/file`, "more"),
          () => {
            nodeFs.writeFileSync(`${root}/file`, "two")
            nodeFs.utimesSync(`${root}/file`, 1_700_000_000.123, 1_700_000_000.123)
          }
        ]
        for (const change of changes) {
          yield* saveFile(name, [fromUtf8("one")])
          yield* Effect.scoped(
            Effect.gen(function* () {
              const file = yield* store.open(name)
              yield* file.unchanged
              change()
              assert.strictEqual((yield* Effect.flip(file.unchanged))._tag, "SourceChanged")
            })
          )
        }
      }).pipe(Effect.provide(onFolder(root)))
    })
  )

  it.effect("files that come from outside are found and collide, though the index knew the folder before", () =>
    Effect.gen(function* () {
      const { root } = yield* rootAndOutside
      yield* Effect.gen(function* () {
        yield* saveFile(FileName.make("f/one"), content)
        nodeFs.writeFileSync(`${root}/f/Two`, "outside")
        assert.deepStrictEqual(yield* loadFile(FileName.make("F/TWO")), fromUtf8("outside"))
        assert.strictEqual((yield* Effect.flip(saveFile(FileName.make("f/two"), content)))._tag, "NameCollision")
        // Two files that fold alike: neither is the one.
        nodeFs.writeFileSync(`${root}/f/tWO`, "outside")
        assert.strictEqual((yield* Effect.flip(loadFile(FileName.make("f/two"))))._tag, "NoSuchFile")
        assert.deepStrictEqual(yield* loadFile(FileName.make("f/tWO")), fromUtf8("outside"))
      }).pipe(Effect.provide(onFolder(root)))
    })
  )

  it.live("no descriptor and no staged file is left by saves, reads and listings interrupted anywhere", () =>
    Effect.gen(function* () {
      const { root } = yield* rootAndOutside
      const descriptors = () => nodeFs.readdirSync("/proc/self/fd").length
      const before = descriptors()
      yield* Effect.gen(function* () {
        const big = [new Uint8Array(300_000), new Uint8Array(300_000)]
        for (let round = 0; round < 60; round += 1) {
          const name = FileName.make(`f${round % 3}/file`)
          const work = Effect.all([saveFile(name, big), Effect.ignore(loadFile(name)), listNames], {
            concurrency: "unbounded"
          })
          const fiber = yield* Effect.forkChild(work, { startImmediately: true })
          // Each round is let go on a little further than the one before.
          for (let step = 0; step < round; step += 1) yield* Effect.promise(() => nodeFs.promises.stat(root))
          yield* Fiber.interrupt(fiber)
        }
        assert.deepStrictEqual(nodeFs.readdirSync(`${root}/${stagingFolder}`), [])
      }).pipe(Effect.provide(onFolder(root)))
      assert.strictEqual(descriptors(), before)
    }).pipe(Effect.scoped)
  )
})

describe("many small files on the real disk", () => {
  it.effect("are synced with few descriptors, and the event loop has its turns meanwhile", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      nodeFs.mkdirSync(`${root}/staging`)
      const disk = yield* DiskNode.make(root)
      // Each file takes a millisecond.
      let milliseconds = 0n
      const clock = { ...(yield* Clock.Clock), monotonicTimeNanosUnsafe: () => (milliseconds += 1n) * 1_000_000n }
      for (const durable of [true, false]) {
        const files = Array.from({ length: bundleFilesMax }, (_, index) => ({
          temporary: `t-${index}`,
          name: `${durable}-${index}`,
          parts: content,
          modified: 1000
        }))
        let most = 0
        const seen = new Set<number>()
        const look = Effect.sync(() => {
          seen.add(nodeFs.readdirSync(root).filter((name) => name.startsWith(`${durable}-`)).length)
          const open = nodeFs.readdirSync("/proc/self/fd").filter((fd) => linkOf(fd).startsWith(`${root}/staging/`))
          most = Math.max(most, open.length)
        })
        const looking = yield* Effect.forkChild(Effect.forever(Effect.andThen(SmallFilesNode.turn, look)))
        const placed = yield* disk
          .placeAll({ staging: ["staging"], folder: [], files, durable, likeReplaced: false })
          .pipe(Effect.provideService(Clock.Clock, clock))
        yield* Fiber.interrupt(looking)
        assert.isTrue(placed.every(Result.isSuccess))
        assert.isAtMost(most, diskSyncsAtOnceMax)
        // Who looks on has a turn of his own between two of them.
        assert.isAtLeast(seen.size, bundleFilesMax / blockingMillisecondsMax / 3)
      }
      assert.strictEqual(nodeFs.readdirSync(root).length, 2 * bundleFilesMax + 1)
    })
  )

  it.effect("are read for a few milliseconds at a time, at least one of them", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const names = ["a", "b", "c", "d"]
      for (const name of names) nodeFs.writeFileSync(`${root}/${name}`, name)
      const after = (milliseconds: number) => {
        let time = 0
        const all = SmallFilesNode.readAll(root, names, { bytesMax: 100, now: () => (time += milliseconds) })
        return all.length
      }
      assert.deepStrictEqual([0, blockingMillisecondsMax / 2, blockingMillisecondsMax].map(after), [names.length, 2, 1])
    })
  )
})

const linkOf = (fd: string): string => {
  try {
    return nodeFs.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ""
  }
}
