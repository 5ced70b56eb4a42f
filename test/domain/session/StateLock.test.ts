import { spawn, spawnSync } from "node:child_process"
import { chownSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { acquireWithin, LockHeld, StateLock } from "../../../src/domain/session/StateLock.ts"
import { stateLockContract } from "../../../src/domain/testing/stateLockContract.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"

const layers = { memory: StateLock.layerMemory, node: StateLockNode.layer }

/** How Node is told to run the holder, with that much of its file system replaced. */
const holding = (path: string, replaced = "") => {
  const program = `import fs from "node:fs"; ${replaced}; (await import("node:module")).syncBuiltinESMExports()`
  const preload = `data:text/javascript,${encodeURIComponent(program)}`
  return ["--import", preload, join(import.meta.dirname, "lockHolder.ts"), path]
}

/** A process that takes the lock, says so, and holds it until it is killed. */
const holder = (path: string, replaced?: string) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof spawn>>((resume) => {
      const child = spawn(process.execPath, holding(path, replaced), {
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.once("data", () => resume(Effect.succeed(child)))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const killed = (child: ReturnType<typeof spawn>) =>
  Effect.callback<void>((resume) => {
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
  })

for (const [name, layer] of Object.entries(layers)) {
  describe(name, () => {
    const inFolder = <A, E>(use: (path: string) => Effect.Effect<A, E, StateLock | Scope.Scope>) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        return yield* use(join(yield* fs.makeTempDirectoryScoped(), "lock"))
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, layer)))

    for (const [index, { name }] of stateLockContract("").entries()) {
      it.effect(name, () => inFolder((path) => stateLockContract(path)[index]?.effect ?? Effect.die("no such case")))
    }

    it.effect("accuses no other process of what this one holds", () =>
      inFolder((path) =>
        Effect.gen(function* () {
          const lock = yield* StateLock
          yield* lock.acquire(path)
          const { message } = yield* Effect.flip(lock.acquire(path))
          const held = `the lock '${path}' is held by another process or elsewhere in this one`
          assert.strictEqual(message, `${held}: end its holder or wait`)
        })
      )
    )

    it.effect("is waited for as long as said", () =>
      inFolder((path) =>
        Effect.gen(function* () {
          const lock = yield* StateLock
          const scope = yield* Scope.make()
          yield* Scope.provide(lock.acquire(path), scope)
          const late = yield* Effect.forkChild(Effect.flip(acquireWithin(path, 1000)), { startImmediately: true })
          const lucky = yield* Effect.forkChild(acquireWithin(path, 3000), { startImmediately: true })
          yield* TestClock.adjust(1000)
          assert.strictEqual((yield* Fiber.join(late))._tag, "LockHeld")
          yield* Scope.close(scope, yield* Effect.exit(Effect.void))
          yield* TestClock.adjust(1000)
          yield* Fiber.join(lucky)
        })
      )
    )
  })
}

describe("the StateLock contract is a contract", () => {
  const broken = (lock: StateLock["Service"]) =>
    Effect.map(
      Effect.forEach(stateLockContract("lock"), ({ effect }) =>
        Effect.exit(Effect.provideService(effect, StateLock, lock))
      ),
      (exits) => exits.map(({ _tag }) => _tag)
    )

  it.effect("a lock that refuses nobody, and one that never ends, break it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken({ acquire: () => Effect.void }), [
        "Failure",
        "Success",
        "Failure",
        "Failure"
      ])
      const held = new Set<string>()
      const acquire = (path: string) =>
        Effect.suspend(() => (held.has(path) ? Effect.fail(new LockHeld({ path })) : Effect.sync(() => held.add(path))))
      assert.deepStrictEqual(yield* broken({ acquire: (path) => Effect.asVoid(acquire(path)) }), [
        "Success",
        "Failure",
        "Failure",
        "Failure"
      ])
    })
  )
})

describe("node", () => {
  it.live("ends with its process, also when that is killed", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = join(yield* fs.makeTempDirectoryScoped(), "lock")
      const lock = yield* StateLock
      const child = yield* holder(path)
      assert.strictEqual((yield* Effect.flip(lock.acquire(path)))._tag, "LockHeld")
      yield* killed(child)
      yield* lock.acquire(path)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, StateLockNode.layer)))
  )

  it.live("takes no room, so that it can be had on a full disk, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      yield* (yield* StateLock).acquire(join(folder, "lock"))
      assert.deepStrictEqual(yield* fs.readDirectory(folder), ["lock"])
      assert.strictEqual((yield* fs.stat(join(folder, "lock"))).size, 0n)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, StateLockNode.layer)))
  )

  it.live("is taken, though another process makes the file first", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = join(yield* fs.makeTempDirectoryScoped(), "lock")
      const looked = "const { lstatSync } = fs; let looks = 0; fs.lstatSync = (path, ...rest) =>"
      const made = "path === process.argv[2] && looks++ === 0 ? fs.writeFileSync(path, '') : lstatSync(path, ...rest)"
      yield* holder(path, `${looked} ${made}`)
      assert.strictEqual((yield* Effect.flip((yield* StateLock).acquire(path)))._tag, "LockHeld")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, StateLockNode.layer)))
  )

  it.live.skipIf(process.getuid?.() !== 0)("is never an administrator's, who is killed while it is made", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      chownSync(folder, 65534, 65534)
      const path = join(folder, "lock")
      const replaced = "fs.fchownSync = () => process.kill(process.pid, 'SIGKILL')"
      assert.strictEqual(spawnSync(process.execPath, holding(path, replaced)).signal, "SIGKILL")
      assert.isFalse(yield* fs.exists(path))
      yield* (yield* StateLock).acquire(path)
      const names = yield* fs.readDirectory(folder)
      assert.deepStrictEqual(
        names.filter((name) => name.startsWith(`lock.${process.pid}`)),
        []
      )
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, StateLockNode.layer)))
  )

  it.live("says what is in its place: a folder, a link, or another file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const why = Effect.fnUntraced(function* (name: string) {
        return (yield* Effect.flip((yield* StateLock).acquire(join(folder, name)))).message.replace(folder, "")
      })
      yield* fs.makeDirectory(join(folder, "taken"), { mode: 0o755 })
      assert.strictEqual(yield* why("taken"), "cannot lock '/taken': it is no file; move what is there away")
      // It is left as it is.
      assert.strictEqual((yield* fs.stat(join(folder, "taken"))).mode & 0o777, 0o755)
      yield* fs.writeFileString(join(folder, "other"), "x".repeat(4096))
      assert.strictEqual(yield* why("other"), "cannot lock '/other': it is no lock of ours; move it away")
      const base = new DatabaseSync(join(folder, "base"))
      base.exec("CREATE TABLE a (b)")
      base.close()
      yield* fs.truncate(join(folder, "base"), 600)
      const torn = "it is no lock of ours, or its disk reports a fault; move it away"
      assert.strictEqual(yield* why("base"), `cannot lock '/base': ${torn}`)
      // What a link leads to stays as it is.
      yield* fs.writeFileString(join(folder, "elsewhere"), "", { mode: 0o644 })
      yield* fs.symlink("elsewhere", join(folder, "link"))
      assert.strictEqual(yield* why("link"), "cannot lock '/link': it is no file; move what is there away")
      assert.strictEqual((yield* fs.stat(join(folder, "elsewhere"))).mode & 0o777, 0o644)
      yield* fs.writeFileString(join(folder, "loose"), "", { mode: 0o644 })
      yield* (yield* StateLock).acquire(join(folder, "loose"))
      assert.strictEqual((yield* fs.stat(join(folder, "loose"))).mode & 0o777, 0o600)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, StateLockNode.layer)))
  )

  it.effect.skipIf(process.platform !== "linux")("says what to do where it may not be made", () =>
    Effect.gen(function* () {
      // Nobody may make a file there, root neither; in a container nobody may write there at all.
      const failed = yield* Effect.flip((yield* StateLock).acquire("/sys/lock"))
      const denied = "no permission; run this as the user whose folder it is"
      const readOnly = "the file system is read-only; the folder must be one that can be written to"
      const why = failed.message.replace("cannot lock '/sys/lock': ", "")
      assert.include([denied, readOnly], why)
    }).pipe(Effect.scoped, Effect.provide(StateLockNode.layer))
  )

  it.effect("says when there is no folder for it", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip((yield* StateLock).acquire(join(import.meta.dirname, "none", "lock")))
      assert.strictEqual(failed.message, `cannot lock '${join(import.meta.dirname, "none", "lock")}': it is not there`)
    }).pipe(Effect.scoped, Effect.provide(StateLockNode.layer))
  )
})
