import { mkdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { TestClock } from "effect/testing"
import { rootLookMilliseconds } from "../../src/domain/limits.ts"
import * as RootWatch from "../../src/server/RootWatch.ts"
import { logTo, settle, Watch, watchLayer } from "./world.ts"

describe("a served folder", () => {
  it.effect("that is moved, replaced and moved back is told once each time, and asked for at its pace", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const [root, away] = [join(folder, "root"), join(folder, "away")]
      mkdirSync(root)
      let looks = 0
      // The clock of the test does not wait for the disk.
      let looked = () => {}
      const counted: FileSystem.FileSystem = {
        ...fs,
        stat: (path) =>
          Effect.ensuring(
            fs.stat(path),
            Effect.sync(() => ((looks += 1), looked()))
          )
      }
      const moved = yield* Effect.provideService(RootWatch.make(root), FileSystem.FileSystem, counted)
      const { lines } = yield* Watch
      const after = Effect.fnUntraced(function* (change: () => void) {
        change()
        const before = yield* moved
        yield* TestClock.adjust(rootLookMilliseconds - 1)
        assert.strictEqual(yield* moved, before)
        const next = new Promise<void>((resolve) => void (looked = resolve))
        yield* TestClock.adjust(1)
        yield* Effect.promise(() => next)
        yield* settle
        return [yield* moved, lines.splice(0).map(({ annotations }) => annotations["event"])]
      })
      assert.deepStrictEqual(yield* after(() => {}), [false, []])
      assert.deepStrictEqual(yield* after(() => renameSync(root, away)), [true, ["root-moved"]])
      assert.deepStrictEqual(yield* after(() => mkdirSync(root)), [true, []])
      const back = () => {
        rmSync(root, { recursive: true })
        renameSync(away, root)
      }
      assert.deepStrictEqual(yield* after(back), [false, ["root-back"]])
      assert.strictEqual(looks, 5)
    }).pipe(Effect.provide(Layer.mergeAll(NodeServices.layer, logTo.pipe(Layer.provideMerge(watchLayer)))))
  )
})
