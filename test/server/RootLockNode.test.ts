import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, PlatformError } from "effect"
import { stagingFolder } from "../../src/domain/file/FileName.ts"
import { LockFailed, StateLock } from "../../src/domain/session/StateLock.ts"
import * as StateLockNode from "../../src/domain/session/StateLockNode.ts"
import { rootLockName } from "../../src/domain/store/DiskStaging.ts"
import * as RootLockNode from "../../src/server/RootLockNode.ts"
import { logTo, Watch, watchLayer } from "./world.ts"

const services = Layer.mergeAll(NodeServices.layer, StateLockNode.layer, logTo.pipe(Layer.provideMerge(watchLayer)))

const folders = Effect.gen(function* () {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const [root, other] = [join(folder, "root"), join(folder, "other")]
  mkdirSync(root)
  mkdirSync(other)
  return { root, other, staging: join(root, stagingFolder) }
})

const events = Effect.map(Watch, ({ lines }) => lines.map(({ annotations }) => annotations["event"]))

describe("a served folder", () => {
  it.effect("is taken by one, and by the next when that one ends", () =>
    Effect.gen(function* () {
      const { root, staging } = yield* folders
      const tag = Effect.match(RootLockNode.take(root), { onFailure: ({ _tag }) => _tag, onSuccess: () => "taken" })
      assert.deepStrictEqual(yield* Effect.scoped(Effect.all([tag, Effect.scoped(tag)])), ["taken", "LockHeld"])
      assert.strictEqual(yield* Effect.scoped(tag), "taken")
      assert.deepStrictEqual(readdirSync(staging), [rootLockName])
      assert.deepStrictEqual(yield* events, [])
    }).pipe(Effect.provide(services))
  )

  it.effect("is not followed out of itself", () =>
    Effect.gen(function* () {
      const { other, root, staging } = yield* folders
      symlinkSync(other, staging)
      yield* RootLockNode.take(root)
      assert.deepStrictEqual(readdirSync(other), [])
    }).pipe(Effect.provide(services))
  )

  it.effect.skipIf(process.platform !== "linux")("is not followed out of itself by a link that comes meanwhile", () =>
    Effect.gen(function* () {
      const { other, root, staging } = yield* folders
      const lock = yield* StateLock
      const swapped = StateLock.of({
        acquire: (path) => {
          renameSync(staging, `${staging}.moved`)
          symlinkSync(other, staging)
          return lock.acquire(path)
        }
      })
      yield* Effect.provideService(RootLockNode.take(root), StateLock, swapped)
      assert.deepStrictEqual(readdirSync(other), [])
      assert.deepStrictEqual(readdirSync(`${staging}.moved`), [rootLockName])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.effect("in which something else has the name of the staging folder is left to the store", () =>
    Effect.gen(function* () {
      const { root, staging } = yield* folders
      writeFileSync(staging, "")
      yield* RootLockNode.take(root)
      assert.deepStrictEqual(yield* events, [])
    }).pipe(Effect.provide(services))
  )

  it.effect("that is not there is left alone", () =>
    Effect.gen(function* () {
      const { root } = yield* folders
      yield* RootLockNode.take(join(root, "none"))
      assert.isFalse(existsSync(join(root, "none")))
      assert.deepStrictEqual(yield* events, [])
    }).pipe(Effect.provide(services))
  )

  it.effect("on a file system without locks is served all the same, and the log says so", () =>
    Effect.gen(function* () {
      const { root } = yield* folders
      const without = StateLock.of({ acquire: (path) => Effect.fail(new LockFailed({ path, detail: "no locks" })) })
      yield* Effect.provideService(RootLockNode.take(root), StateLock, without)
      assert.deepStrictEqual(yield* events, ["root-unlocked"])
    }).pipe(Effect.provide(services))
  )

  it.effect("whose staging folder cannot be made or looked at is unlocked, and the log says so", () =>
    Effect.gen(function* () {
      const { root, staging } = yield* folders
      const fs = yield* FileSystem.FileSystem
      const fault = (method: string) =>
        PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method, description: "a fault" })
      const stat = () => Effect.fail(fault("stat"))
      const makeDirectory = () => Effect.fail(fault("makeDirectory"))
      const take = RootLockNode.take(root)
      yield* Effect.provideService(take, FileSystem.FileSystem, FileSystem.make({ ...fs, makeDirectory }))
      assert.isFalse(existsSync(staging))
      yield* Effect.provideService(take, FileSystem.FileSystem, FileSystem.make({ ...fs, stat }))
      const { lines } = yield* Watch
      const said = { event: "root-unlocked", detail: "a fault" }
      assert.deepStrictEqual(
        lines.map(({ annotations: { detail, event } }) => ({ event, detail })),
        [said, said]
      )
    }).pipe(Effect.provide(services))
  )
})
