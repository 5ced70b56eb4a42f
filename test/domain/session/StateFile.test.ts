/**
 * Folders of the server's own. Reading and replacing are tested where they matter: Accounts.
 */
import { chownSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, type Path, PlatformError } from "effect"
import * as StateFile from "../../../src/domain/session/StateFile.ts"
import * as StateLock from "../../../src/domain/session/StateLock.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"
import * as StateOwnerNode from "../../../src/domain/session/StateOwnerNode.ts"
import { auditLog } from "../../../src/server/ObservabilityNode.ts"

const at = <A, E>(use: (folder: string) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeServices.layer)
  )

const reasonOf = <R>(work: Effect.Effect<void, PlatformError.PlatformError, R>) =>
  Effect.map(Effect.flip(work), ({ reason }) => reason._tag)

describe("a folder", () => {
  it.live("is made with those above it, for its owner alone, and may be there", () =>
    at((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "there"), { mode: 0o755 })
        const wanted = join(folder, "there", "a", "b")
        yield* StateFile.makeFolder(wanted)
        yield* StateFile.makeFolder(wanted)
        const modes = [wanted, dirname(wanted), join(folder, "there")].map((path) => statSync(path).mode & 0o777)
        if (process.platform !== "win32") assert.deepStrictEqual(modes, [0o700, 0o700, 0o755])
      })
    )
  )

  it.live("has a durable name before anything is put in it, as has that of the audit log", () =>
    at((folder) =>
      Effect.gen(function* () {
        const done: Array<string> = []
        const fs = yield* FileSystem.FileSystem
        const noted = (what: string, path: string) => Effect.sync(() => void done.push(`${what} ${basename(path)}`))
        const watched: FileSystem.FileSystem = {
          ...fs,
          makeDirectory: (path, options) => Effect.tap(fs.makeDirectory(path, options), () => noted("make", path)),
          open: (path, options) =>
            Effect.map(fs.open(path, options), (file) => ({
              ...file,
              sync: Effect.andThen(file.sync, noted("sync", path))
            }))
        }
        yield* StateFile.makeFolder(join(folder, "a", "b")).pipe(
          Effect.andThen(Layer.build(auditLog({ enabled: true, fileSize: 1024, files: 1 }, join(folder, "a", "b")))),
          Effect.scoped,
          Effect.provideService(FileSystem.FileSystem, watched)
        )
        const order = ["make a", `sync ${basename(folder)}`, "make b", "sync a", "make audit", "sync b"]
        assert.deepStrictEqual(done, order)
      })
    )
  )

  it.live("of the audit log is used, though something in it is not the server's to change", () =>
    at((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "audit"), { mode: 0o700 })
        symlinkSync("nowhere", join(folder, "audit", "copy"))
        yield* Effect.scoped(Layer.build(auditLog({ enabled: true, fileSize: 1024, files: 1 }, folder)))
        assert.isTrue(existsSync(join(folder, "audit", "audit-00000001.jsonl")))
      })
    )
  )

  it.live("of the audit log is named when something in it is in the way", () =>
    at((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "audit", "audit-00000001.jsonl"), { recursive: true, mode: 0o700 })
        const opened = Layer.build(auditLog({ enabled: true, fileSize: 1024, files: 1 }, folder))
        const failed = yield* Effect.flip(Effect.scoped(opened))
        const detail = `'${join(folder, "audit")}' (openWrite: ENOTREG); see what is there, and who owns it`
        assert.strictEqual(failed.message, `the audit log cannot be used: ${detail}`)
      })
    )
  )

  it.live("cannot be where a file is, nor below one", () =>
    at((folder) =>
      Effect.gen(function* () {
        writeFileSync(join(folder, "file"), "")
        assert.strictEqual(yield* reasonOf(StateFile.makeFolder(join(folder, "file"))), "BadResource")
        assert.strictEqual(typeof (yield* reasonOf(StateFile.makeFolder(join(folder, "file", "x")))), "string")
      })
    )
  )

  it.live("that the system does not make is tried for once, and those above it too", () =>
    Effect.gen(function* () {
      const tried: Array<string> = []
      // As below /proc: what is there is there, and nothing else can be.
      const makeDirectory: FileSystem.FileSystem["makeDirectory"] = (path) =>
        Effect.suspend(() => {
          tried.push(path)
          const _tag = path === "/" ? "AlreadyExists" : "NotFound"
          return Effect.fail(PlatformError.systemError({ _tag, module: "test", method: "makeDirectory" }))
        })
      const fs = { ...(yield* FileSystem.FileSystem), makeDirectory }
      const work = Effect.provideService(StateFile.makeFolder("/none/a"), FileSystem.FileSystem, fs)
      assert.strictEqual(yield* reasonOf(work), "NotFound")
      assert.deepStrictEqual(tried, ["/none/a", "/none", "/", "/none"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("a file that somebody else replaces", () => {
  const servers = 65534

  /** Owner and group of what a work leaves in a folder of the server's user. */
  const ownersAfter = <E>(
    names: ReadonlyArray<string>,
    work: (folder: string) => Effect.Effect<void, E, FileSystem.FileSystem | Path.Path>
  ) =>
    at((folder) =>
      Effect.gen(function* () {
        chownSync(folder, servers, servers)
        yield* work(folder)
        const stats = names.map((name) => statSync(join(folder, name)))
        return stats.map(({ gid, uid }) => [uid, gid])
      })
    )

  const asRoot = it.live.skipIf(process.getuid?.() !== 0)

  asRoot("stays with its owner, and a new one is the folder's owner's", () =>
    Effect.gen(function* () {
      const owners = yield* ownersAfter(["mine", "theirs", "new"], (folder) =>
        Effect.gen(function* () {
          writeFileSync(join(folder, "mine"), "")
          writeFileSync(join(folder, "theirs"), "")
          chownSync(join(folder, "theirs"), 65533, 65533)
          for (const name of ["mine", "theirs", "new"]) yield* StateFile.replace(join(folder, name), "text")
        })
      )
      const theirs = [65533, 65533]
      assert.deepStrictEqual(owners, [[0, 0], theirs, [servers, servers]])
    }).pipe(Effect.provide(StateOwnerNode.layer))
  )

  asRoot("is not given away when another took its place meanwhile", () =>
    Effect.gen(function* () {
      const owners = yield* ownersAfter(["roots"], (folder) =>
        Effect.gen(function* () {
          writeFileSync(join(folder, "roots"), "")
          const give = yield* StateFile.StateOwner
          yield* give(join(folder, "roots"), { dev: 0n, ino: 0n }, { uid: servers, gid: servers })
        })
      )
      assert.deepStrictEqual(owners, [[0, 0]])
    }).pipe(Effect.provide(StateOwnerNode.layer))
  )

  asRoot("is locked by a file of the folder's owner's", () =>
    Effect.gen(function* () {
      const owners = yield* ownersAfter(["lock"], (folder) =>
        Effect.scoped(Effect.flatMap(StateLock.StateLock, (lock) => lock.acquire(join(folder, "lock")))).pipe(
          Effect.provide(StateLockNode.layer)
        )
      )
      assert.deepStrictEqual(owners, [[servers, servers]])
    })
  )
})
