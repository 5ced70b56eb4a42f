import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer, type Server } from "node:net"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { LocalFileFailed } from "../../src/client/ClientError.ts"
import { type Declared, Durability, LocalFiles, type LocalTree } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalFilesNode from "../../src/client/LocalFilesNode.ts"
import * as LocalTreeDisk from "../../src/client/LocalTreeDisk.ts"
import * as StagedFile from "../../src/client/StagedFile.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import * as DigestPortable from "../../src/domain/file/DigestPortable.ts"
import { millisecondsMax } from "../../src/domain/file/FileEntry.ts"
import {
  clonedBytesMin,
  contentBlockBytes,
  fileBytesMax,
  nameSegmentBytesMax,
  resumeBytesMin,
  stagedLeftoverMillisecondsMax
} from "../../src/domain/limits.ts"
import { cloneMarkBytes } from "../../src/domain/store/CloneMark.ts"
import type { Disk } from "../../src/domain/store/Disk.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { localFilesContract } from "../../src/client/testing/localFilesContract.ts"

const core = Layer.mergeAll(DigestPortable.layer, NodeCrypto.layerSecureRandom)
const real = LocalFilesNode.layer.pipe(Layer.provideMerge(core))

let folder = ""
beforeEach(() => {
  folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))
  fs.mkdirSync(join(folder, "w"))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

describe("memory", () => {
  for (const { effect, name } of localFilesContract("w")) {
    it.effect(name, () =>
      Effect.provide(effect, LocalFilesMemory.layer({ folders: ["w"] }).pipe(Layer.provideMerge(DigestPortable.layer)))
    )
  }

  it.effect("what was left long ago is gone once another is staged in that folder to be gone on with", () =>
    Effect.gen(function* () {
      const { leftover, stage } = yield* LocalFiles
      const declared = { size: resumeBytesMin, modified: 0, resumable: true }
      const begun = Effect.flatMap(stage("w/a", declared), ({ write }) => write([new Uint8Array(resumeBytesMin)]))
      const from = Effect.scoped(Effect.map(leftover("w/a"), (left) => left?.from))
      yield* Effect.scoped(begun)
      yield* TestClock.adjust(stagedLeftoverMillisecondsMax)
      yield* Effect.scoped(stage("w/b", declared))
      assert.strictEqual(yield* from, resumeBytesMin)
      yield* TestClock.adjust(stagedLeftoverMillisecondsMax + 1)
      yield* Effect.scoped(stage("w/b", declared))
      assert.isUndefined(yield* from)
    }).pipe(Effect.provide(LocalFilesMemory.layer({ folders: ["w"] }).pipe(Layer.provide(DigestPortable.layer))))
  )
})

describe("the file system", () => {
  localFilesContract("").forEach(({ name }, index) =>
    it.effect(name, () =>
      Effect.suspend(() => localFilesContract(join(folder, "w"))[index]?.effect ?? Effect.die("no such case")).pipe(
        Effect.provide(real)
      )
    )
  )

  const content = new TextEncoder().encode("content")
  const put = (path: string) =>
    Effect.gen(function* () {
      const staging = yield* (yield* LocalFiles).stage(path, { size: content.length, modified: 5000 })
      yield* staging.write([content])
      yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
    }).pipe(Effect.scoped, Effect.provide(real))
  const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
    Effect.map(Effect.flip(effect), ({ code }) => code)

  it.effect("reads through links, and refuses what is no file without blocking", () =>
    Effect.gen(function* () {
      fs.writeFileSync(join(folder, "a"), content)
      fs.symlinkSync("a", join(folder, "link"))
      execFileSync("mkfifo", [join(folder, "fifo")])
      const { open } = yield* LocalFiles
      assert.strictEqual((yield* open(join(folder, "link")))?.size, content.length)
      assert.strictEqual(yield* codeOf(open(join(folder, "fifo"))), "ENOTREG")
      assert.strictEqual(yield* codeOf(open("/dev/null")), "ENOTREG")
      fs.symlinkSync("circle", join(folder, "circle"))
      const { message } = yield* Effect.flip(open(join(folder, "circle")))
      assert.match(message, /^cannot read .* \(ELOOP\): a part of the path is .*, or leads in a circle$/)
      // Elsewhere a socket is answered otherwise.
      if (process.platform !== "linux") return
      yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const server = createServer().listen(join(folder, "socket"), () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const socket = yield* Effect.flip(open(join(folder, "socket")))
      assert.match(socket.message, /^cannot read .* \(\w+\): it is no regular file$/)
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("notices a write in place, also one whose time was set back", () =>
    Effect.gen(function* () {
      const path = join(folder, "a")
      fs.writeFileSync(path, content)
      fs.utimesSync(path, 1, 1)
      const source = yield* (yield* LocalFiles).open(path)
      yield* Effect.forEach([source], (one) => one?.unchanged ?? Effect.die("no file"))
      fs.writeFileSync(path, "CONTENT")
      fs.utimesSync(path, 1, 1)
      assert.strictEqual(yield* codeOf(source?.unchanged ?? Effect.die("no file")), "source-changed")
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("keeps the permissions of what it replaces, from the first byte on", () =>
    Effect.gen(function* () {
      const path = join(folder, "a")
      fs.writeFileSync(path, "old")
      fs.chmodSync(path, 0o4600)
      const staging = yield* (yield* LocalFiles).stage(path, { size: content.length, modified: 0 })
      const temporary = fs.readdirSync(folder).find((name) => name.endsWith(".part")) ?? ""
      assert.match(temporary, /^\.a\.[0-9a-f]{24}\.part$/)
      assert.strictEqual(fs.statSync(join(folder, temporary)).mode & 0o7777, 0o600)
      yield* staging.write([content])
      yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
      assert.strictEqual(fs.statSync(path).mode & 0o7777, 0o600)
      assert.strictEqual(fs.readFileSync(path, "utf8"), "content")
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect.skipIf(process.platform !== "linux")(
    "tells when the folder was moved, in a first try and in a later one",
    () =>
      Effect.gen(function* () {
        const large = new Uint8Array(resumeBytesMin + 10).fill(7)
        const declared = { size: large.length, modified: 0, resumable: true }
        const expected = { size: large.length, digest: digestOf(yield* Digest, [large]) }
        const { leftover, stage } = yield* LocalFiles
        const path = join(folder, "w", "a")
        const moves = [() => {}, () => fs.mkdirSync(join(folder, "w"))]
        for (const [index, move] of moves.entries()) {
          const staged = yield* stage(path, declared)
          yield* Effect.scoped(Effect.flatMap(stage(path, declared), ({ write }) => write([large.subarray(1)])))
          const left = yield* leftover(path)
          const resumed = yield* left?.resume() ?? Effect.die("nothing was left")
          fs.renameSync(join(folder, "w"), join(folder, `v${index}`))
          move()
          yield* staged.write([large])
          assert.strictEqual(yield* codeOf(staged.commit(expected)), "folder-moved")
          fs.rmSync(join(folder, `v${index}`, "a"))
          yield* resumed.write([large.subarray(large.length - 1)])
          assert.strictEqual(yield* codeOf(resumed.commit(expected)), "folder-moved")
          assert.strictEqual(fs.statSync(join(folder, `v${index}`, "a")).size, large.length)
          fs.mkdirSync(join(folder, "w"), { recursive: true })
        }
      }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("a tree whose folder was removed does not ask for one to be made: the next run makes it", () =>
    Effect.gen(function* () {
      const digest = digestOf(yield* Digest, [])
      for (const gone of ["w", "w/x"]) {
        const tree = yield* (yield* LocalFiles).tree(join(folder, "w"), true)
        yield* Effect.scoped(tree.place("x/a").stage({ size: 0, modified: 0 }))
        fs.rmSync(join(folder, gone), { recursive: true })
        const outcomes = yield* tree.placeSmall([{ path: "x/b", modified: 0, parts: [], digest }])
        const codes = outcomes.map((one) => (Result.isFailure(one) ? one.failure.code : "there"))
        assert.deepStrictEqual(codes, ["folder-moved"])
        assert.strictEqual(yield* codeOf(tree.place("x/a").stage({ size: 0, modified: 0 })), "folder-moved")
      }
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect.skipIf(process.platform !== "linux")(
    "a tree tells when its folder was moved, of large and of small files, and then removes nothing",
    () =>
      Effect.gen(function* () {
        const large = new Uint8Array(resumeBytesMin + 10).fill(7)
        const declared = { size: large.length, modified: 0, resumable: true }
        const digest = digestOf(yield* Digest, [large])
        const expected = { size: large.length, digest }
        const moves = [() => {}, () => fs.mkdirSync(join(folder, "w")), () => fs.symlinkSync("v1", join(folder, "w"))]
        for (const [index, move] of moves.entries()) {
          const tree = yield* (yield* LocalFiles).tree(join(folder, "w"), true)
          const place = tree.place("x/a")
          const staged = yield* place.stage(declared)
          yield* Effect.scoped(Effect.flatMap(place.stage(declared), ({ write }) => write([large.subarray(1)])))
          const resumed = yield* (yield* place.leftover)?.resume() ?? Effect.die("nothing was left")
          fs.writeFileSync(join(folder, "w", "old"), "old")
          fs.renameSync(join(folder, "w"), join(folder, `v${index}`))
          move()
          yield* staged.write([large])
          assert.strictEqual(yield* codeOf(staged.commit(expected)), "folder-moved")
          yield* resumed.write([large.subarray(large.length - 1)])
          assert.strictEqual(yield* codeOf(resumed.commit(expected)), "folder-moved")
          const small = ["x/b", "c"].map((path) => ({ path, modified: 0, parts: [large], digest }))
          const outcomes = yield* tree.placeSmall(small)
          assert.deepStrictEqual(
            outcomes.map((one) => (Result.isFailure(one) ? one.failure.path + one.failure.code : "there")),
            small.map(({ path }) => `${join(folder, "w", path)}folder-moved`)
          )
          assert.strictEqual(yield* codeOf(tree.remove("old")), "folder-moved")
          assert.isTrue(fs.existsSync(join(folder, `v${index}`, "old")))
          fs.rmSync(join(folder, "w"), { recursive: true, force: true })
        }
      }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect(
    "what replaces a file that its owner may not write to can be gone on with, and is in the end as that was",
    () =>
      Effect.gen(function* () {
        const large = new Uint8Array(resumeBytesMin + 10).fill(7)
        const declared = { size: large.length, modified: 0, resumable: true }
        const { leftover, stage, tree } = yield* LocalFiles
        const below = (yield* tree(folder, false)).place("b")
        for (const [name, place] of [
          ["a", { leftover: leftover(join(folder, "a")), stage: (facts: Declared) => stage(join(folder, "a"), facts) }],
          ["b", below]
        ] as const) {
          fs.writeFileSync(join(folder, name), "old")
          fs.chmodSync(join(folder, name), 0o444)
          const modeOf = () => {
            const found = fs.readdirSync(folder).find((entry) => entry.startsWith(`.${name}.`)) ?? "none"
            return fs.statSync(join(folder, found)).mode & 0o777
          }
          yield* Effect.scoped(
            Effect.flatMap(place.stage(declared), ({ write }) => write([large.subarray(0, resumeBytesMin)]))
          )
          assert.strictEqual(modeOf(), 0o644)
          const left = yield* place.leftover
          const staging = yield* left?.resume() ?? Effect.die("nothing was left")
          assert.strictEqual(modeOf(), 0o644)
          yield* staging.write([large.subarray(resumeBytesMin)])
          yield* staging.commit({ size: large.length, digest: digestOf(yield* Digest, [large]) })
          const { mode, size } = fs.statSync(join(folder, name))
          assert.deepStrictEqual([mode & 0o777, size], [0o444, large.length])
        }
      }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("takes nothing for left of a download that is of a size or time that no file has", () =>
    Effect.gen(function* () {
      const { leftover } = yield* LocalFiles
      const path = join(folder, "w", "a")
      const from = Effect.scoped(Effect.map(leftover(path), (left) => left?.from))
      for (const [version, expected] of [
        [`${fileBytesMax}-${millisecondsMax}`, resumeBytesMin],
        [`${fileBytesMax + 1}-0`, undefined],
        [`${resumeBytesMin}-${millisecondsMax + 1}`, undefined]
      ] as const) {
        const left = join(folder, "w", `.a.${version}.${"0".repeat(24)}.part`)
        fs.writeFileSync(left, new Uint8Array(resumeBytesMin))
        assert.strictEqual(yield* from, expected)
        for (const name of fs.readdirSync(join(folder, "w"))) fs.rmSync(join(folder, "w", name))
      }
    }).pipe(Effect.provide(real))
  )

  it.effect.skipIf(process.getuid?.() !== 0)(
    "takes nothing for left of a download that is another user's, who could read and change what is written to it",
    () =>
      Effect.gen(function* () {
        const { leftover, stage, tree } = yield* LocalFiles
        const path = join(folder, "a")
        const declared = { size: resumeBytesMin + 1, modified: 0, resumable: true }
        const content = new Uint8Array(resumeBytesMin)
        yield* Effect.scoped(Effect.flatMap(stage(path, declared), ({ write }) => write([content])))
        const left = () => fs.readdirSync(folder).filter((name) => name.endsWith(".part"))
        const give = (owner: number) => left().forEach((name) => fs.chownSync(join(folder, name), owner, 0))
        const inTree = Effect.flatMap(tree(folder, false), (all) => all.place("a").leftover)
        const found = Effect.forEach([leftover(path), inTree], (taken) =>
          Effect.scoped(Effect.map(taken, (one) => one?.from))
        )
        give(65_534)
        const names = left()
        assert.deepStrictEqual(yield* found, [undefined, undefined])
        assert.deepStrictEqual(left(), names)
        give(0)
        assert.deepStrictEqual(yield* found, [resumeBytesMin, resumeBytesMin])
      }).pipe(Effect.provide(real))
  )

  it.effect.skipIf(process.platform === "win32")(
    "what is left of a commit that failed may be run only when that is said as it is gone on with",
    () =>
      Effect.gen(function* () {
        const large = new Uint8Array(resumeBytesMin).fill(7)
        const { leftover, stage } = yield* LocalFiles
        const path = join(folder, "a")
        yield* Effect.scoped(
          Effect.flatMap(stage(path, { size: large.length, modified: 0, resumable: true }), ({ write }) =>
            write([large])
          )
        )
        for (const name of fs.readdirSync(folder)) fs.chmodSync(join(folder, name), 0o755)
        const left = yield* Effect.fromNullishOr(yield* leftover(path))
        const staging = yield* left.resume()
        yield* staging.commit({ size: large.length, digest: digestOf(yield* Digest, [large]) })
        assert.strictEqual(fs.statSync(path).mode & 0o777, 0o644)
      }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("nobody can open what will be another's to read before it has the permissions of what it replaces", () =>
    Effect.gen(function* () {
      const { placeSmall, stage, tree } = yield* LocalFiles
      const digest = digestOf(yield* Digest, [content])
      const declared = { size: content.length, modified: 0 }
      const small = (path: string) => ({ path, ...declared, digest, parts: [content] })
      const paths = ["a", "b", "w/c", "w/d"].map((name) => join(folder, name))
      for (const path of paths) {
        fs.writeFileSync(path, "old")
        fs.chmodSync(path, 0o600)
      }
      const modes = yield* modesAtBirth
      const [a = "", b = ""] = paths
      yield* Effect.scoped(stage(a, declared))
      assert.deepStrictEqual(yield* placeSmall([small(b)]), [Result.void])
      const { place, placeSmall: placeIn } = yield* tree(join(folder, "w"), false)
      yield* Effect.scoped(place("c").stage(declared))
      assert.deepStrictEqual(yield* placeIn([small("d")]), [Result.void])
      assert.deepStrictEqual(modes, [0o600, 0o600, 0o600, 0o600])
      assert.deepStrictEqual(
        paths.map((path) => fs.statSync(path).mode & 0o777),
        modes
      )
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  // Only who may do everything can give a file any group, and have one taken from it.
  const isRoot = process.geteuid?.() === 0
  it.effect.skipIf(!isRoot)("keeps the group whose permissions it keeps, or gives it to no other group", () =>
    Effect.gen(function* () {
      const { placeSmall, stage } = yield* LocalFiles
      const digest = digestOf(yield* Digest, [content])
      const declared = { size: content.length, modified: 0 }
      const replaced = (mode: number) =>
        Effect.gen(function* () {
          const [a, b] = [join(folder, "a"), join(folder, "b")]
          for (const path of [a, b]) {
            fs.writeFileSync(path, "old")
            fs.chownSync(path, 0, 4242)
            fs.chmodSync(path, mode)
          }
          yield* Effect.scoped(
            Effect.gen(function* () {
              const staging = yield* stage(a, declared)
              yield* staging.write([content])
              yield* staging.commit({ size: content.length, digest })
            })
          )
          assert.deepStrictEqual(yield* placeSmall([{ path: b, ...declared, digest, parts: [content] }]), [Result.void])
          return [a, b].map((path) => {
            const { gid, mode } = fs.statSync(path)
            assert.strictEqual(fs.readFileSync(path, "utf8"), "content")
            return [gid, mode & 0o777]
          })
        })
      const both = (gid: number, mode: number) => [
        [gid, mode],
        [gid, mode]
      ]
      assert.deepStrictEqual(yield* replaced(0o640), both(4242, 0o640))
      yield* withoutGroups
      assert.deepStrictEqual(yield* replaced(0o640), both(0, 0o600))
      assert.deepStrictEqual(yield* replaced(0o664), both(0, 0o644))
      assert.deepStrictEqual(yield* replaced(0o466), both(0, 0o466))
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("begins as a clone of an older copy where there are clones, with the permissions of what it replaces", () =>
    Effect.gen(function* () {
      const path = join(folder, "a")
      const older = Fixture.bytes(1, clonedBytesMin)
      fs.writeFileSync(path, older)
      fs.chmodSync(path, 0o750)
      const clone = Effect.try(() =>
        fs.copyFileSync(path, join(folder, "b"), fs.constants.COPYFILE_FICLONE | fs.constants.COPYFILE_FICLONE_FORCE)
      )
      const isCloned = yield* Effect.isSuccess(clone)
      // A file that has just changed is none to clone.
      yield* TestClock.setTime(fs.statSync(path).ctimeMs + 10_000)
      const { leftover, open, stage } = yield* LocalFiles
      const base = yield* Effect.fromNullishOr(yield* open(path))
      const declared = { size: older.length, modified: 0, resumable: true, base }
      const kept = contentBlockBytes * 8
      const temporary = () => {
        const found = fs.readdirSync(folder).filter((name) => name.endsWith(".part"))
        assert.lengthOf(found, 1)
        const { mode, size } = fs.statSync(join(folder, found[0] ?? ""))
        return [mode & 0o7777, size]
      }
      yield* Effect.gen(function* () {
        const staging = yield* stage(path, declared)
        assert.deepStrictEqual(temporary(), [0o640, isCloned ? older.length + cloneMarkBytes : 0])
        yield* staging.write([older.subarray(0, kept)], 0)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(temporary(), [0o640, kept])
      const left = yield* Effect.fromNullishOr(yield* leftover(path))
      const staging = yield* left.resume()
      yield* staging.write([older.subarray(kept)])
      yield* staging.commit({ size: older.length, digest: digestOf(yield* Digest, [older]) })
      assert.isTrue(Buffer.compare(fs.readFileSync(path), older) === 0)
      assert.strictEqual(fs.statSync(path).mode & 0o7777, 0o640)
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("replaces a link, never what it leads to, and never a device", () =>
    Effect.gen(function* () {
      fs.writeFileSync(join(folder, "precious"), "old")
      fs.symlinkSync("precious", join(folder, "link"))
      yield* put(join(folder, "link"))
      assert.strictEqual(fs.readFileSync(join(folder, "precious"), "utf8"), "old")
      assert.isFalse(fs.lstatSync(join(folder, "link")).isSymbolicLink())
      execFileSync("mkfifo", [join(folder, "fifo")])
      assert.strictEqual(yield* codeOf(put(join(folder, "fifo"))), "ENOTREG")
      assert.strictEqual(yield* codeOf(put(`${folder}/new/`)), "ENOENT")
    })
  )

  it.effect("leaves a link that leads to no file, in one step or more, in a small file as in a large one", () =>
    Effect.gen(function* () {
      execFileSync("mkfifo", [join(folder, "fifo")])
      fs.mkdirSync(join(folder, "deep"))
      fs.symlinkSync("../fifo", join(folder, "deep", "pipe"))
      // From the folder that the link leads to, not from where the link is.
      fs.symlinkSync("deep", join(folder, "way"))
      const open = process.platform === "linux" ? { output: "/proc/self/fd/1", fds: "/dev/fd/1" } : {}
      const links = { device: "/dev/null", pipe: "fifo", far: "way/pipe", ...open }
      const { placeSmall } = yield* LocalFiles
      const small = { parts: [content], modified: 0, digest: digestOf(yield* Digest, [content]) }
      for (const [name, target] of Object.entries(links)) {
        const path = join(folder, name)
        fs.symlinkSync(target, path)
        const error = yield* Effect.flip(put(path))
        assert.strictEqual(
          error.message,
          `cannot write ${path} (ENOTREG): ` +
            "it is no regular file, or a link to what is none; download to a file, and pass that on"
        )
        assert.deepStrictEqual(yield* placeSmall([{ ...small, path }]), [Result.fail(error)])
        assert.strictEqual(fs.readlinkSync(path), target)
      }
      assert.strictEqual(yield* codeOf(put("/dev/fd/1")), "ENOTREG")
      // What leads nowhere, or to itself, is a link as any other.
      fs.symlinkSync("nothing", join(folder, "dangling"))
      fs.symlinkSync("loop", join(folder, "loop"))
      yield* put(join(folder, "dangling"))
      yield* put(join(folder, "loop"))
      assert.isTrue(fs.lstatSync(join(folder, "loop")).isFile())
    }).pipe(Effect.provide(real))
  )

  it.effect("a tree leaves such a link as well, and a pipe, and has its other files", () =>
    Effect.gen(function* () {
      const { tree } = yield* LocalFiles
      const to = join(folder, "w")
      execFileSync("mkfifo", [join(to, "fifo")])
      fs.symlinkSync("/dev/null", join(to, "device"))
      fs.symlinkSync("fifo", join(to, "pipe"))
      fs.symlinkSync("nothing", join(to, "dangling"))
      const small = { parts: [content], modified: 0, digest: digestOf(yield* Digest, [content]) }
      const smallAt = (path: string) => ({ ...small, path })
      const whole = yield* tree(to, true)
      const placed = yield* whole.placeSmall(["a", "device", "pipe", "fifo", "dangling"].map(smallAt))
      assert.deepStrictEqual(
        placed.map((one) => (Result.isFailure(one) ? one.failure.code : "placed")),
        ["placed", "ENOTREG", "ENOTREG", "ENOTREG", "placed"]
      )
      const large = whole.place("device").stage({ size: content.length, modified: 0 })
      assert.strictEqual(yield* codeOf(Effect.scoped(large)), "ENOTREG")
      assert.strictEqual(fs.readlinkSync(join(to, "device")), "/dev/null")
      assert.isTrue(fs.lstatSync(join(to, "fifo")).isFIFO())
      assert.deepStrictEqual(
        ["a", "dangling"].map((name) => fs.lstatSync(join(to, name)).isFile()),
        [true, true]
      )
    }).pipe(Effect.provide(real))
  )

  it.effect("settles what a link leads to, and leaves the link", () =>
    Effect.gen(function* () {
      const path = join(folder, "a")
      fs.writeFileSync(path, content)
      fs.symlinkSync("a", join(folder, "link"))
      yield* (yield* LocalFiles).settle(join(folder, "link"), { modified: 5000, executable: true })
      assert.isTrue(fs.lstatSync(join(folder, "link")).isSymbolicLink())
      const { mode, mtimeMs } = fs.lstatSync(path)
      assert.deepStrictEqual([mtimeMs, (mode & 0o111) !== 0], [5000, true])
    }).pipe(Effect.provide(real))
  )

  it.effect("small files of several folders come one behind the other into the room that is given for them", () =>
    Effect.gen(function* () {
      const names = ["a/one", "b/two", "three"]
      for (const name of ["a", "b"]) fs.mkdirSync(join(folder, "w", name))
      for (const name of names) fs.writeFileSync(join(folder, "w", name), name)
      const tree = yield* (yield* LocalFiles).tree(join(folder, "w"), false)
      const read = yield* tree.readSmall(names, 100, new Uint8Array(1_000))
      assert.deepStrictEqual(
        read.map((one) => one && Buffer.from(one.content).toString()),
        names
      )
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("a tree follows no link below it: nothing outside is read, written or removed", () =>
    Effect.gen(function* () {
      fs.mkdirSync(join(folder, "outside"))
      fs.writeFileSync(join(folder, "outside", "precious"), "old")
      fs.symlinkSync(join(folder, "outside"), join(folder, "w", "way"))
      fs.symlinkSync(join(folder, "outside", "precious"), join(folder, "w", "file"))
      const tree = yield* (yield* LocalFiles).tree(join(folder, "w"), false)
      const declared = { size: content.length, modified: 5000 }
      for (const name of ["way/precious", "way/new"]) {
        assert.include(["ELOOP", "ENOTDIR"], yield* codeOf(tree.place(name).stage(declared)))
        assert.include(["ELOOP", "ENOTDIR"], yield* codeOf(tree.place(name).open))
        assert.include(["ELOOP", "ENOTDIR"], yield* codeOf(tree.place(name).settle({ modified: 1 })))
        assert.include(["ELOOP", "ENOTDIR"], yield* codeOf(tree.remove(name)))
      }
      assert.strictEqual(yield* codeOf(tree.place("file").open), "ELOOP")
      for (const name of ["../outside/precious", "/etc/passwd", "a/../../outside/precious", ""]) {
        assert.strictEqual(yield* codeOf(tree.remove(name)), "EINVAL")
        assert.strictEqual(yield* codeOf(tree.place(name).open), "EINVAL")
      }
      // A link is replaced and removed as what it is.
      const staging = yield* tree.place("file").stage(declared)
      yield* staging.write([content])
      yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
      yield* tree.remove("way")
      assert.deepStrictEqual(fs.readdirSync(join(folder, "w")), ["file"])
      assert.deepStrictEqual(fs.readdirSync(join(folder, "outside")), ["precious"])
      assert.strictEqual(fs.readFileSync(join(folder, "outside", "precious"), "utf8"), "old")
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  /** The folder reads as one of these folders: to make so many on a disk takes a minute where others use it. */
  const withFolders = (path: string, names: ReadonlyArray<string>) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        fs.mkdirSync(join(path, "one"))
        const [one] = fs.readdirSync(path, { withFileTypes: true })
        const builtin = process.getBuiltinModule("node:fs")
        const { opendirSync } = builtin
        builtin.opendirSync = (opened, options) => {
          const real = opendirSync(opened, options)
          if (opened !== path) return real
          let next = 0
          real.readSync = () => {
            const name = names[next++]
            return name === undefined ? null : Object.assign(Object.create(fs.Dirent.prototype), one, { name })
          }
          return real
        }
        syncBuiltinESMExports()
        return () => {
          builtin.opendirSync = opendirSync
          syncBuiltinESMExports()
        }
      }),
      Effect.sync
    )

  it.effect("a walk goes through a folder of very many folders", () =>
    Effect.gen(function* () {
      const root = join(folder, "w")
      const names = Array.from({ length: 70_000 }, (_, index) => String(index))
      yield* withFolders(root, names)
      const entered: Array<string> = []
      const enter = (name: string) => entered.push(name) < 0
      assert.deepStrictEqual(yield* Stream.runCollect((yield* LocalFiles).walk(root, enter)), [])
      assert.deepStrictEqual(entered, names.toSorted())
    }).pipe(Effect.scoped, Effect.provide(real))
  )

  it.effect("a walk tells what it leaves out, and goes on where it may not look", () =>
    Effect.gen(function* () {
      const root = join(folder, "w")
      fs.mkdirSync(join(root, "empty"))
      fs.mkdirSync(join(root, "full"))
      fs.writeFileSync(join(root, "full", "a"), "a")
      fs.symlinkSync("full", join(root, "link"))
      execFileSync("mkfifo", [join(root, "pipe")])
      fs.writeFileSync(join(root, `.a.${"0".repeat(24)}.part`), "left")
      const found = yield* Stream.runCollect((yield* LocalFiles).walk(root, () => true))
      assert.deepStrictEqual(
        found.map((one) => [one.name, one._tag === "LeftOut" ? one.kind : one._tag]),
        [
          [`.a.${"0".repeat(24)}.part`, "Temporary"],
          ["empty", "empty-folder"],
          ["full/a", "File"],
          ["link", "link"],
          ["pipe", "special"]
        ]
      )
    }).pipe(Effect.provide(real))
  )

  it.effect("what small files have left long ago goes with the next file for the folder, and nothing else does", () =>
    Effect.gen(function* () {
      const hex = "0".repeat(24)
      const left = [`.b.${hex}.part`, `.b.9-9.${hex}.part`]
      const kept = ["b.part", `.b.${hex.slice(1)}.part`, `b.${hex}.part`]
      const digest = digestOf(yield* Digest, [content])
      const small = { name: "w/a", path: "w/a", size: content.length, modified: 5000, digest, parts: [content] }
      const placers: Record<string, Effect.Effect<unknown, LocalFileFailed, LocalFiles | Scope.Scope>> = {
        "a large one": Effect.flatMap(LocalFiles, ({ stage }) =>
          stage(join(folder, "w", "a"), { size: resumeBytesMin, modified: 5000, resumable: true })
        ),
        "in a tree": Effect.flatMap(LocalFiles, ({ tree }) =>
          Effect.flatMap(tree(folder, true), (whole) => whole.placeSmall([small]))
        )
      }
      for (const [how, place] of Object.entries(placers)) {
        for (const name of ["a", ...left, ...kept]) fs.writeFileSync(join(folder, "w", name), "left")
        fs.mkdirSync(join(folder, "w", `.d.${hex}.part`), { recursive: true })
        const { ctimeMs } = fs.statSync(join(folder, "w", left[0] ?? ""))
        const all = ["a", ...kept, `.d.${hex}.part`]
        for (const [after, expected] of [
          [-1000, [...all, ...left]],
          [1000, all]
        ] as const) {
          yield* TestClock.setTime(Math.floor(ctimeMs) + stagedLeftoverMillisecondsMax + after)
          yield* Effect.scoped(place)
          assert.deepStrictEqual(fs.readdirSync(join(folder, "w")).toSorted(), expected.toSorted(), `${how} ${after}`)
        }
      }
    }).pipe(Effect.provide(real))
  )

  it.effect("takes the longest names", () =>
    Effect.gen(function* () {
      const name = "é".repeat(127)
      yield* put(join(folder, name))
      assert.deepStrictEqual(fs.readdirSync(folder).toSorted(), ["w", name])
    })
  )

  it.effect("takes nothing for left of a download that another long name has left which begins like it", () =>
    Effect.gen(function* () {
      const { leftover, stage } = yield* LocalFiles
      const [one, other] = ["1", "2"].map((end) => join(folder, "w", "é".repeat(127) + end))
      const size = 2 * resumeBytesMin
      const staged = Effect.gen(function* () {
        const staging = yield* stage(one ?? "", { size, modified: 5, resumable: true })
        yield* staging.write([new Uint8Array(resumeBytesMin)])
      })
      yield* Effect.scoped(staged)
      const from = (path = "") => Effect.scoped(Effect.map(leftover(path), (left) => left?.from))
      assert.strictEqual(yield* from(other), undefined)
      assert.strictEqual(yield* from(one), resumeBytesMin)
      const [left = ""] = fs.readdirSync(join(folder, "w"))
      assert.isAtMost(Buffer.byteLength(left), nameSegmentBytesMax)
      assert.isTrue(StagedFile.isTemporary(left))
    }).pipe(Effect.provide(real))
  )
})

/** The modes of temporary files as they are made: whoever opens one then reads all that is written to it. */
const modesAtBirth = Effect.acquireRelease(
  Effect.sync(() => {
    const modes: Array<number> = []
    const builtin = process.getBuiltinModule("node:fs")
    const { open, openSync } = builtin
    const born = (path: unknown, flags: unknown, fd: number) => {
      const makes = (Number(flags) & fs.constants.O_CREAT) !== 0
      if (makes && String(path).endsWith(".part")) modes.push(fs.fstatSync(fd).mode & 0o777)
      return fd
    }
    Reflect.set(builtin, "openSync", (path: string, flags: number, mode: number) =>
      born(path, flags, openSync(path, flags, mode))
    )
    Reflect.set(
      builtin,
      "open",
      (path: string, flags: number, mode: number, done: (error: Error | null, fd: number) => void) =>
        open(path, flags, mode, (error, fd) => done(error, error ? fd : born(path, flags, fd)))
    )
    syncBuiltinESMExports()
    return { modes, restore: () => Object.assign(builtin, { open, openSync }) }
  }),
  ({ restore }) =>
    Effect.sync(() => {
      restore()
      syncBuiltinESMExports()
    })
).pipe(Effect.map(({ modes }) => modes))

/** As for somebody who is not in the group of a file. */
const withoutGroups = Effect.acquireRelease(
  Effect.sync(() => {
    const builtin = process.getBuiltinModule("node:fs")
    const { fchownSync } = builtin
    builtin.fchownSync = () => {
      throw Object.assign(new Error("not permitted"), { code: "EPERM" })
    }
    syncBuiltinESMExports()
    return () => void (builtin.fchownSync = fchownSync)
  }),
  (restore) =>
    Effect.sync(() => {
      restore()
      syncBuiltinESMExports()
    })
)

/** A tree of that disk, whose files take no permissions from others. */
const treeOn = (
  disk: Disk["Service"],
  leadsToNoFile: LocalTreeDisk.TreeOptions["leadsToNoFile"] = () => Effect.succeed(false)
) =>
  LocalTreeDisk.make({
    disk,
    pathOf: (name) => name,
    prepare: () => Effect.succeed(Effect.void),
    leadsToNoFile,
    held: new Set(),
    services: (effect) => Effect.provide(effect, core)
  })

describe("files that come with their folder", () => {
  it.effect("are alone in it meanwhile, and only the first of it come so", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const { disk } = yield* MemoryDisk.make()
      const parts = [new TextEncoder().encode("x")]
      const [alone, seen] = [new Set<string>(), [] as Array<string>]
      /** Who may be in a folder while another one takes its place? Nobody. */
      const into = <A, E, R>(what: string, folder: ReadonlyArray<string>, run: Effect.Effect<A, E, R>) =>
        Effect.suspend(() => {
          if (alone.has(folder.join("/"))) seen.push(`${what} in ${folder.join("/")}`)
          return run
        })
      const waits = (turns: number) => Effect.forEach(Array.from({ length: turns }), () => Effect.yieldNow)
      const watched: Disk["Service"] = {
        ...disk,
        create: (path) => into("create", path.slice(0, -1), disk.create(path)),
        // Who finds it there is quicker than who has made it.
        makeFolder: (path, access) =>
          into(
            "folder",
            path.slice(0, -1),
            Effect.tap(disk.makeFolder(path, access), () => waits(3))
          ),
        placeAll: (request) => {
          const folder = request.folder.join("/")
          if (request.fresh !== true) return into("files", request.folder, disk.placeAll(request))
          const first = Effect.suspend(() => {
            seen.push(`fresh ${folder}`)
            alone.add(folder)
            return Effect.andThen(waits(50), disk.placeAll(request))
          })
          return Effect.ensuring(
            into("files", request.folder, first),
            Effect.sync(() => alone.delete(folder))
          )
        }
      }
      const tree = treeOn(watched)
      const placing = (...paths: ReadonlyArray<string>) =>
        Effect.flatMap(
          tree.placeSmall(paths.map((path) => ({ path, modified: 0, parts, digest: digestOf(digest, parts) }))),
          (placed) => Effect.sync(() => assert.isTrue(placed.every(Result.isSuccess)))
        )
      const staging = Effect.fnUntraced(function* (path: string) {
        const staged = yield* tree.place(path).stage({ size: 1, modified: 0 })
        yield* staged.write(parts)
        yield* staged.commit({ size: 1, digest: digestOf(digest, parts) })
      }, Effect.scoped)
      const all = [
        placing("a/1", "a/2"),
        placing("a/3"),
        staging("a/large"),
        placing("a/b/1"),
        staging("a/c/large"),
        placing("d/1"),
        placing("d/2")
      ]
      yield* Effect.all(all, { concurrency: "unbounded" })
      assert.deepStrictEqual(seen.toSorted(), ["fresh a", "fresh a/b", "fresh d"])
      // Where something else was first, there is nothing to be gained.
      yield* staging("e/large")
      yield* placing("e/1", "f/g/1")
      yield* placing("f/1")
      assert.deepStrictEqual(seen.slice(3), ["fresh f/g"])
      const names = yield* Stream.runCollect(disk.list(["a"]))
      assert.deepStrictEqual(names.map(({ name }) => name).toSorted(), ["1", "2", "3", "b", "c", "large"])
    }).pipe(Effect.scoped, Effect.provide(core), Effect.provideService(Durability, "os"))
  )
})

describe("a file for a folder that was made for the tree", () => {
  const one = new TextEncoder().encode("x")
  const put = Effect.fnUntraced(function* (staging: ReturnType<ReturnType<LocalTree["place"]>["stage"]>) {
    const staged = yield* staging
    yield* staged.write([one])
    yield* staged.commit({ size: one.length, digest: digestOf(yield* Digest, [one]) })
  }, Effect.scoped)
  const declared = { size: one.length, modified: 0 }

  it.effect("replaces nothing, the first as little as those after it: nobody looks what it leads to", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* control.plant(["there", "a"], { kind: "file", content: one })
      const looked: Array<string> = []
      const tree = treeOn(disk, (name) => Effect.sync(() => (looked.push(name), false)))
      for (const name of ["new/a", "new/b", "new/deep/c", "there/a"]) yield* put(tree.place(name).stage(declared))
      assert.deepStrictEqual(looked, ["there/a"])
    }).pipe(Effect.provide(core))
  )

  it.effect("is looked at when the folder is another one by the time that the file comes", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      const tree = treeOn(disk, (name) => Effect.succeed(name === "x/device"))
      yield* put(tree.place("x/a").stage(declared))
      const later = tree.place("x/device").stage(declared)
      // The last file takes its folder along, and somebody else makes one of that name.
      yield* tree.remove("x/a")
      yield* control.plant(["x", "device"], { kind: "link" })
      const refused = yield* Effect.flip(put(later))
      assert.strictEqual(refused._tag === "LocalFileFailed" ? refused.code : refused._tag, "ENOTREG")
    }).pipe(Effect.provide(core))
  )
})

describe("a file of a tree that is settled", () => {
  it.effect("is opened for reading: its owner may set its time also where nobody may write to it", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* control.plant(["a"], { kind: "file", content: Uint8Array.of(1) })
      const tree = treeOn(disk)
      yield* tree.place("a").settle({ modified: 5000, executable: true })
      assert.deepStrictEqual(yield* control.journal, ["openRead", "setExecutable", "setModified"])
      const { executable, modified } = yield* disk.stat(["a"])
      assert.deepStrictEqual([executable, modified], [true, 5000])
    })
  )
})

describe("how durable what is written is", () => {
  const text = (content: string) => new TextEncoder().encode(content)
  const download = (disk: Disk["Service"]) =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const tree = treeOn(disk)
      const small = ["a/b/1", "a/b/2", "c"].map((path) => {
        return { path, modified: 0, parts: [text(path)], digest: digestOf(digest, [text(path)]) }
      })
      const placed = yield* tree.placeSmall(small)
      assert.isTrue(placed.every(Result.isSuccess))
      const staging = yield* tree.place("d/large").stage({ size: 1, modified: 0 })
      yield* staging.write([text("x")])
      yield* staging.commit({ size: 1, digest: digestOf(digest, [text("x")]) })
    }).pipe(Effect.scoped, Effect.provide(core))

  it.effect("by itself all of it is there after a power cut, with the folders that were made for it", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* download(disk)
      yield* control.crash
      assert.deepStrictEqual([...(yield* control.files).keys()].toSorted(), ["a/b/1", "a/b/2", "c", "d/large"])
    })
  )

  it.effect("what is told as placed is there after a power cut, whatever failed before", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const [first, second] = ["a/b/1", "a/b/2"].map((path) => {
        const parts = [text(path)]
        return { path, modified: 0, parts, digest: digestOf(digest, parts) }
      })
      if (first === undefined || second === undefined) return
      /** What was told as placed. */
      const placed = Effect.fnUntraced(function* (disk: Disk["Service"]) {
        const tree = treeOn(disk)
        const outcomes = [...(yield* tree.placeSmall([first])), ...(yield* tree.placeSmall([second]))]
        return [first, second].flatMap(({ path }, index) => {
          const outcome = outcomes[index]
          return outcome !== undefined && Result.isSuccess(outcome) ? [path] : []
        })
      })
      const counting = yield* MemoryDisk.make()
      yield* placed(counting.disk)
      const operations = (yield* counting.control.journal).length
      for (let number = 1; number <= operations; number += 1) {
        for (let seed = 1; seed <= 16; seed += 1) {
          const { control, disk } = yield* MemoryDisk.make({ seed })
          yield* control.failAt(number, "EIO")
          const told = yield* placed(disk)
          yield* control.crash
          const files = yield* control.files
          assert.deepStrictEqual(
            told.filter((name) => !files.has(name)),
            [],
            `operation ${number}, seed ${seed}`
          )
        }
      }
    }).pipe(Effect.scoped, Effect.provide(core))
  )

  it.effect("with 'os' nothing is fsynced", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* Effect.provideService(download(disk), Durability, "os")
      assert.deepStrictEqual([...(yield* control.files).keys()].toSorted(), ["a/b/1", "a/b/2", "c", "d/large"])
      assert.deepStrictEqual(
        (yield* control.journal).filter((operation) => operation.includes("sync")),
        []
      )
    })
  )

  for (const durability of ["full", "os"] as const) {
    it.effect(
      `the folder that a tree is made in is ${durability === "full" ? "" : "not "}fsynced with '${durability}'`,
      () =>
        Effect.gen(function* () {
          const synced: Array<string> = []
          const builtin = process.getBuiltinModule("node:fs")
          const { fsync } = builtin
          builtin.fsync = Object.assign(
            (fd: number, done: fs.NoParamCallback) => {
              synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`))
              fsync(fd, done)
            },
            { __promisify__: fsync.__promisify__ }
          )
          syncBuiltinESMExports()
          yield* (yield* LocalFiles).tree(join(folder, "w/x/y"), true)
          builtin.fsync = fsync
          syncBuiltinESMExports()
          assert.deepStrictEqual(synced, durability === "full" ? [join(folder, "w/x"), join(folder, "w")] : [])
        }).pipe(Effect.scoped, Effect.provide(real), Effect.provideService(Durability, durability))
    )
  }
})

describe("StagedFile on a disk that breaks", () => {
  const content = new Uint8Array(1000).fill(7)
  const stage = (disk: Disk["Service"]) =>
    Effect.gen(function* () {
      const declared = { size: content.length, modified: 0 }
      const request = {
        ...declared,
        path: "a",
        disk,
        name: "a",
        prepare: () => Effect.succeed(Effect.void),
        leadsToNoFile: () => Effect.succeed(false),
        held: new Set<string>(),
        cloning: { possible: true }
      }
      const staging = yield* StagedFile.stage(request)
      yield* staging.write([content])
      yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
    }).pipe(Effect.scoped, Effect.provide(core))

  it.effect("a full disk is told before the first byte", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make({ capacityBytes: 10 })
      assert.include((yield* Effect.flip(stage(disk))).message, "the disk is full")
      assert.strictEqual((yield* control.files).size, 0)
    })
  )

  for (const [code, advice] of [
    ["EFBIG", "choose another place"],
    ["ENAMETOOLONG", "make it shorter"],
    ["EBUSY", "end that and run it again"],
    ["EIO", "look at it before you run it again"],
    ["EMFILE", "raise the limit of open files and run it again"],
    ["EDQUOT", "make room and run it again"]
  ] as const) {
    it.effect(`a write that fails with ${code} says what to do`, () =>
      Effect.gen(function* () {
        const counting = yield* MemoryDisk.make()
        yield* stage(counting.disk)
        const write = (yield* counting.control.journal).indexOf("write") + 1
        const { control, disk } = yield* MemoryDisk.make()
        yield* control.failAt(write, code)
        const { message } = yield* Effect.flip(stage(disk))
        assert.match(message, new RegExp(`^cannot write a \\(${code}\\): .*${advice}$`))
      })
    )
  }

  it.effect("whatever fails, the old file stays or the new one is whole, and no temporary file is left", () =>
    Effect.gen(function* () {
      const counting = yield* MemoryDisk.make()
      yield* stage(counting.disk)
      const operations = yield* counting.control.operations
      assert.isAbove(operations, 6)
      for (let number = 1; number <= operations; number += 1) {
        const { control, disk } = yield* MemoryDisk.make()
        const old = Uint8Array.of(1)
        yield* control.plant(["a"], { kind: "file", content: old })
        yield* control.failAt(number, "ENOSPC")
        const exit = yield* Effect.exit(stage(disk))
        const files = yield* control.files
        assert.deepStrictEqual([...files.keys()], ["a"], `operation ${number}`)
        if (exit._tag === "Success") assert.deepStrictEqual(files.get("a"), content)
        else assert.include([1, content.length], files.get("a")?.length)
        assert.strictEqual(yield* control.openFiles, 0)
      }
    })
  )

  for (const end of ["dropped", "found wrong at the commit"] as const) {
    it.effect(`what an earlier try has left takes no room once it is ${end}`, () =>
      Effect.gen(function* () {
        const size = 2 * resumeBytesMin
        const { control, disk } = yield* MemoryDisk.make({ capacityBytes: size })
        const declared = { size, modified: 0, resumable: true }
        const prepare = () => Effect.succeed(Effect.void)
        const to = { path: "a", disk, name: "a", prepare, held: new Set<string>(), cloning: { possible: true } }
        const begun = Effect.flatMap(StagedFile.stage({ ...to, ...declared }), ({ write }) =>
          write([new Uint8Array(resumeBytesMin)])
        )
        yield* Effect.scoped(begun)
        const left = yield* Effect.fromNullishOr(yield* StagedFile.leftover(to))
        assert.strictEqual(left.from, resumeBytesMin)
        if (end === "dropped") yield* left.drop
        else {
          const digest = digestOf(yield* Digest, [content])
          const wrong = Effect.gen(function* () {
            const { commit, write } = yield* left.resume()
            yield* write([new Uint8Array(resumeBytesMin)])
            yield* commit({ size, digest })
          }).pipe(Effect.scoped, Effect.flip)
          assert.strictEqual((yield* wrong).code, "digest-mismatch")
        }
        assert.deepStrictEqual([yield* control.openFiles, yield* disk.freeBytes], [0, size])
        yield* Effect.scoped(StagedFile.stage({ ...to, ...declared }))
      }).pipe(Effect.scoped, Effect.provide(core))
    )
  }

  it.effect("a power cut at any moment leaves the old or the new file, and after success the new one", () =>
    Effect.gen(function* () {
      for (let number = 1; number <= 12; number += 1) {
        const { control, disk } = yield* MemoryDisk.make({ seed: number })
        yield* control.plant(["a"], { kind: "file", content: Uint8Array.of(1) })
        yield* control.cutAt(number)
        const exit = yield* Effect.exit(stage(disk))
        yield* control.crash
        const left = (yield* control.files).get("a")
        if (exit._tag === "Success") assert.deepStrictEqual(left, content)
        else assert.isTrue(left?.length === 1 || left?.length === content.length, `operation ${number}`)
      }
    })
  )
})
