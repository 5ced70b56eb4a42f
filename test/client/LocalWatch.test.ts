import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Queue, Stream } from "effect"
import { type LocalChange, layerMemory, LocalWatch, MemoryWatch } from "../../src/client/LocalWatch.ts"
import * as LocalWatchNode from "../../src/client/LocalWatchNode.ts"
import { localWatchContract } from "../../src/client/testing/localWatchContract.ts"

describe("memory", () => {
  const said = (path: string) => Effect.flatMap(MemoryWatch, ({ say }) => say({ _tag: "Changed", path }))
  for (const { effect, name } of localWatchContract) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const context = yield* Effect.context<MemoryWatch>()
        const say = (path: string) => Effect.provideContext(said(path), context)
        yield* effect({ folder: "w", write: say, replace: say, remove: say })
        assert.strictEqual((yield* MemoryWatch).watching(), 0)
      }).pipe(Effect.provide(layerMemory))
    )
  }
})

describe("the file system", () => {
  let folder = ""
  beforeEach(() => {
    folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))
  })
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

  const write = (path: string) =>
    Effect.sync(() => {
      fs.mkdirSync(dirname(path), { recursive: true })
      fs.appendFileSync(path, "more\n")
    })
  const replace = (path: string) =>
    Effect.sync(() => {
      fs.writeFileSync(`${path}~`, "another\n")
      fs.renameSync(`${path}~`, path)
    })
  const remove = (path: string) => Effect.sync(() => fs.rmSync(path, { recursive: true }))

  for (const { effect, name } of localWatchContract) {
    it.live(name, () =>
      Effect.suspend(() => effect({ folder, write, replace, remove })).pipe(Effect.provide(LocalWatchNode.layer))
    )
  }

  it.live("says of what cannot be watched that it is blind, and goes on with the rest", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<LocalChange>()
      const seen = `${folder}/seen`
      const { changes: stream } = yield* LocalWatch
      yield* Effect.forkScoped(
        Stream.runForEach(stream([`${folder}/none/at/all`, seen]), (change) => Queue.offer(changes, change))
      )
      const first = yield* Queue.take(changes)
      assert.deepStrictEqual(first, { _tag: "Blind", path: `${folder}/none/at/all`, code: "ENOENT" })
      assert.deepStrictEqual(yield* Queue.take(changes), { _tag: "Ready" })
      yield* write(seen)
      assert.deepStrictEqual(yield* Queue.take(changes), { _tag: "Changed", path: seen })
    }).pipe(Effect.scoped, Effect.provide(LocalWatchNode.layer))
  )
})
