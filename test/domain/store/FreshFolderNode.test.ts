import * as nodeFs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { fromUtf8 } from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import { stagedLeftoverMillisecondsMax } from "../../../src/domain/limits.ts"
import { Disk, type DiskPath, type NewFile } from "../../../src/domain/store/Disk.ts"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import { listNames } from "../../../src/domain/testing/fileStoreContract.ts"
import { temporaryFolder } from "./temporaryDisk.ts"

const inLinux = process.platform === "linux" ? it.effect : it.effect.skip

const newFile = (name: string): NewFile => ({
  temporary: `t-${name}`,
  name,
  parts: [fromUtf8(`of ${name}`)],
  modified: 5000
})

const codes = (all: ReadonlyArray<Result.Result<void, { readonly code: string }>>) =>
  all.map((one) => (Result.isFailure(one) ? one.failure.code : "placed"))

/** What is open as that; the list of what is open has one that is not any more. */
const linkOf = (fd: string): string =>
  Result.getOrElse(
    Result.try(() => nodeFs.readlinkSync(`/proc/self/fd/${fd}`)),
    () => ""
  )

/** A root with a staging folder, and what is placed there in a folder that was just made. */
const world = Effect.gen(function* () {
  const root = yield* temporaryFolder
  const disk = yield* DiskNode.make(root)
  yield* disk.makeFolder(["staging"], "private")
  const placeIn = (staging: DiskPath, folder: DiskPath, names: ReadonlyArray<string>) =>
    Effect.map(
      disk.placeAll({
        staging,
        folder,
        files: names.map(newFile),
        durable: false,
        likeReplaced: false,
        fresh: true
      }),
      codes
    )
  const inode = (path: string) => nodeFs.statSync(`${root}/${path}`).ino
  const holds = (path: string) =>
    nodeFs
      .readdirSync(`${root}/${path}`)
      .toSorted()
      .map((name) => `${name}: ${nodeFs.readFileSync(`${root}/${path}/${name}`, "utf8")}`)
  /** Whatever of ours is open that was made or filled there. */
  const open = () =>
    nodeFs
      .readdirSync("/proc/self/fd")
      .map(linkOf)
      .filter((path) => path.startsWith(`${root}/`))
  return { root, disk, placeIn, inode, holds, open }
})

describe("small files for a folder that was just made", () => {
  for (const staging of [["staging"], ["new"]]) {
    inLinux(`come with a folder that takes its place, staged in '${staging.join("/")}'`, () =>
      Effect.gen(function* () {
        const { disk, holds, inode, open, placeIn, root } = yield* world
        yield* disk.makeFolder(["new"], "shared")
        const before = inode("new")
        assert.deepStrictEqual(yield* placeIn(staging, ["new"], ["a", "..", "b"]), ["placed", "EINVAL", "placed"])
        assert.deepStrictEqual(open(), [])
        assert.notStrictEqual(inode("new"), before)
        assert.deepStrictEqual(holds("new"), ["a: of a", "b: of b"])
        assert.strictEqual(nodeFs.statSync(`${root}/new/a`).mtimeMs, 5000)
        assert.deepStrictEqual(nodeFs.readdirSync(root).toSorted(), ["new", "staging"])
        assert.deepStrictEqual(holds("staging"), [])
      })
    )

    inLinux(`go there one by one where somebody was before them, staged in '${staging.join("/")}'`, () =>
      Effect.gen(function* () {
        const { disk, holds, inode, open, placeIn, root } = yield* world
        yield* disk.makeFolder(["new"], "shared")
        nodeFs.writeFileSync(`${root}/new/other`, "somebody's")
        const before = inode("new")
        assert.deepStrictEqual(yield* placeIn(staging, ["new"], ["a", "b"]), ["placed", "placed"])
        assert.deepStrictEqual(open(), [])
        assert.strictEqual(inode("new"), before)
        assert.deepStrictEqual(holds("new"), ["a: of a", "b: of b", "other: somebody's"])
        assert.deepStrictEqual(nodeFs.readdirSync(root).toSorted(), ["new", "staging"])
        assert.deepStrictEqual(holds("staging"), [])
      })
    )
  }

  for (const staging of [["staging"], ["above", "new"]]) {
    inLinux(`come with what every folder there has, staged in '${staging.join("/")}'`, () =>
      Effect.gen(function* () {
        const { disk, inode, placeIn, root } = yield* world
        yield* disk.makeFolder(["above"], "shared")
        // Folders in it get this bit too, and nothing of it is in the staging folder.
        nodeFs.chmodSync(`${root}/above`, 0o2755)
        yield* disk.makeFolder(["above", "new"], "shared")
        const { mode } = nodeFs.statSync(`${root}/above/new`)
        assert.notStrictEqual(mode & 0o2000, 0)
        const before = inode("above/new")
        assert.deepStrictEqual(yield* placeIn(staging, ["above", "new"], ["a"]), ["placed"])
        assert.notStrictEqual(inode("above/new"), before)
        assert.strictEqual(nodeFs.statSync(`${root}/above/new`).mode, mode)
        assert.deepStrictEqual(nodeFs.readdirSync(`${root}/above`), ["new"])
        assert.deepStrictEqual(nodeFs.readdirSync(`${root}/staging`), [])
      })
    )
  }

  inLinux("leave a folder as it is that has more than another one would", () =>
    Effect.gen(function* () {
      const { disk, inode, placeIn, root } = yield* world
      yield* disk.makeFolder(["new"], "shared")
      nodeFs.chmodSync(`${root}/new`, 0o2775)
      const before = inode("new")
      assert.deepStrictEqual(yield* placeIn(["staging"], ["new"], ["a"]), ["placed"])
      assert.strictEqual(inode("new"), before)
      assert.strictEqual(nodeFs.statSync(`${root}/new`).mode & 0o7777, 0o2775)
    })
  )

  inLinux("lead nowhere when a link has taken the folder's name", () =>
    Effect.gen(function* () {
      const { disk, placeIn, root } = yield* world
      const outside = yield* temporaryFolder
      yield* disk.makeFolder(["new"], "shared")
      nodeFs.rmdirSync(`${root}/new`)
      nodeFs.symlinkSync(outside, `${root}/new`)
      const code = yield* Effect.map(Effect.flip(placeIn(["staging"], ["new"], ["a"])), (error) => error.code)
      assert.strictEqual(code, "ENOTDIR")
      assert.deepStrictEqual(nodeFs.readdirSync(outside), [])
      assert.deepStrictEqual(nodeFs.readdirSync(`${root}/staging`), [])
    })
  )

  inLinux("none of which can be written leave the folder empty", () =>
    Effect.gen(function* () {
      const { disk, inode, placeIn, root } = yield* world
      yield* disk.makeFolder(["new"], "shared")
      const before = inode("new")
      assert.deepStrictEqual(yield* placeIn(["staging"], ["new"], ["..", "."]), ["EINVAL", "EINVAL"])
      assert.strictEqual(inode("new"), before)
      assert.deepStrictEqual(nodeFs.readdirSync(`${root}/new`), [])
      assert.deepStrictEqual(nodeFs.readdirSync(`${root}/staging`), [])
    })
  )
})

describe("a store whose new folders are replaced with what comes into them", () => {
  /** The store on the real disk, and how often a folder was read. */
  const store = (root: string, read: Array<string>) =>
    FileStoreDisk.layer({ durability: "os" }).pipe(
      Layer.provide(
        Layer.effect(
          Disk,
          Effect.map(DiskNode.make(root), (disk) => ({
            ...disk,
            list: (path: DiskPath) =>
              Stream.suspend(() => {
                read.push(path.join("/"))
                return disk.list(path)
              })
          }))
        )
      ),
      Layer.provide(SecureRandom.layerWebCrypto),
      Layer.provideMerge(DigestNode.layer)
    )
  const place = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
    const digest = yield* Digest
    const files = names.map((name) => {
      const parts = [fromUtf8(`of ${name}`)]
      return { name: FileName.make(name), modified: 5000, digest: digestOf(digest, parts), parts }
    })
    const outcomes = yield* SmallFiles.placeAll(yield* FileStore, files, undefined)
    return outcomes.map((one) => (Result.isFailure(one) ? one.failure._tag : "placed"))
  })

  inLinux("still finds what collides, and reads no folder again", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const read: Array<string> = []
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* place(["top/one/a", "top/one/b"]), ["placed", "placed"])
        const first = read.length
        assert.deepStrictEqual(yield* place(["top/one/c", "top/two/a", "top/three/a"]), ["placed", "placed", "placed"])
        assert.strictEqual(read.length, first)
        assert.deepStrictEqual(yield* place(["top/one/A", "top/ONE/d", "top/one/a"]), [
          "NameCollision",
          "NameCollision",
          "placed"
        ])
        assert.deepStrictEqual((yield* listNames).toSorted(), [
          "top/one/a",
          "top/one/b",
          "top/one/c",
          "top/three/a",
          "top/two/a"
        ])
        assert.deepStrictEqual(nodeFs.readdirSync(`${root}/${stagingFolder}`), [])
      }).pipe(Effect.provide(store(root, read)))
    })
  )

  inLinux("sweeps an old folder of them that a crash has left in staging", () =>
    Effect.gen(function* () {
      const root = yield* temporaryFolder
      const left = `${root}/${stagingFolder}/${"0f".repeat(16)}-0`
      nodeFs.mkdirSync(left, { recursive: true })
      nodeFs.writeFileSync(`${left}/a`, "half")
      // Nobody's of ours.
      nodeFs.mkdirSync(`${root}/${stagingFolder}/other`)
      const since = nodeFs.statSync(left).ctimeMs
      for (const [after, names] of [
        [stagedLeftoverMillisecondsMax - 1000, [`${"0f".repeat(16)}-0`, "other"]],
        [stagedLeftoverMillisecondsMax + 1000, ["other"]]
      ] as const) {
        yield* TestClock.setTime(since + after)
        yield* Effect.void.pipe(Effect.provide(store(root, [])))
        assert.deepStrictEqual(nodeFs.readdirSync(`${root}/${stagingFolder}`).toSorted(), [...names])
      }
    })
  )
})
