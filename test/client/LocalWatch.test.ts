import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Queue, Stream } from "effect"
import { type LocalChange, layerMemory, LocalWatch, MemoryWatch, saying } from "../../src/client/LocalWatch.ts"
import * as LocalWatchNode from "../../src/client/LocalWatchNode.ts"
import { localChangesMax } from "../../src/domain/limits.ts"
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

describe("who is slow to hear", () => {
  it.effect("hears of the watched paths instead of very many changes, and of no path twice for that", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<LocalChange>()
      const say = saying(queue, 2)
      const changed = (path: string) => ({ _tag: "Changed", path }) as const
      const first = Array.from({ length: localChangesMax + 2 }, (_, index) => changed(`a/${index}`))
      for (const change of first) say("a", change)
      say("b", { _tag: "Blind", path: "b", code: "EACCES" })
      for (let index = 0; index < 5; index += 1) {
        say("b", changed(`b/${index}`))
        say("a", changed(`a/x${index}`))
      }
      const blind: LocalChange = { _tag: "Blind", path: "b", code: "EACCES" }
      assert.deepStrictEqual(Array.from(yield* Queue.takeAll(queue)), [...first, blind, changed("b"), changed("a")])
      // All was heard: each is said again.
      say("a", changed("a/later"))
      assert.deepStrictEqual(yield* Queue.takeAll(queue), [changed("a/later")])
    })
  )

  it.effect("hears of a path again that was heard meanwhile", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<LocalChange>()
      const say = saying(queue, 1)
      const more = () => say("a", { _tag: "Changed", path: "a/more" })
      for (let index = 0; index <= localChangesMax + 1; index += 1) more()
      const last = (yield* Queue.takeAll(queue)).at(-1)
      assert.deepStrictEqual(last, { _tag: "Changed", path: "a" })
      for (let index = 0; index <= localChangesMax + 1; index += 1) more()
      assert.deepStrictEqual((yield* Queue.takeAll(queue)).at(-1), { _tag: "Changed", path: "a" })
    })
  )
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

  /** What is said of the folder; nothing of it is blind. */
  const sayings = Effect.gen(function* () {
    const changes = yield* Queue.unbounded<LocalChange>()
    const { changes: stream } = yield* LocalWatch
    yield* Effect.forkScoped(Stream.runForEach(stream([folder]), (change) => Queue.offer(changes, change)))
    assert.deepStrictEqual(yield* Queue.take(changes), { _tag: "Ready" })
    const until = (path: string): Effect.Effect<void> =>
      Effect.flatMap(Queue.take(changes), (change) => {
        assert.strictEqual(change._tag, "Changed")
        return change._tag === "Changed" && change.path === path ? Effect.void : until(path)
      })
    return { until }
  })

  it.live("goes on when what it was told of lies below a file by now", () =>
    Effect.gen(function* () {
      yield* write(`${folder}/a/b/old`)
      const { until } = yield* sayings
      // All at once: what is told of the folder comes when its place has a file.
      fs.writeFileSync(`${folder}/a/b/new`, "")
      fs.renameSync(`${folder}/a/b`, `${folder}/elsewhere`)
      fs.writeFileSync(`${folder}/a/b`, "")
      yield* until(`${folder}/elsewhere`)
      yield* write(`${folder}/elsewhere/old`)
      yield* until(`${folder}/elsewhere/old`)
    }).pipe(Effect.scoped, Effect.provide(LocalWatchNode.layer))
  )

  it.live("follows no link, also none that leads in a circle", () =>
    Effect.gen(function* () {
      fs.symlinkSync("circle", `${folder}/circle`)
      const { until } = yield* sayings
      fs.symlinkSync("later", `${folder}/later`)
      yield* until(`${folder}/later`)
      fs.unlinkSync(`${folder}/later`)
      yield* until(`${folder}/later`)
    }).pipe(Effect.scoped, Effect.provide(LocalWatchNode.layer))
  )

  it.live("watches a folder anew that another has taken the place of", () =>
    Effect.gen(function* () {
      yield* write(`${folder}/a/b/old`)
      yield* write(`${folder}/new/b/old`)
      const { until } = yield* sayings
      fs.renameSync(`${folder}/a`, `${folder}/gone`)
      fs.renameSync(`${folder}/new`, `${folder}/a`)
      yield* until(`${folder}/a`)
      yield* until(`${folder}/a`)
      for (const path of [`${folder}/a/b/old`, `${folder}/gone/b/old`]) {
        yield* write(path)
        yield* until(path)
      }
    }).pipe(Effect.scoped, Effect.provide(LocalWatchNode.layer))
  )

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
