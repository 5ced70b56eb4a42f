/**
 * The shell's history: the contract, and what only a file can do.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { History } from "../../src/client/History.ts"
import * as HistoryNode from "../../src/client/HistoryNode.ts"
import { shellHistoryFileBytesMax } from "../../src/domain/limits.ts"
import { historyContract } from "../../src/client/testing/historyContract.ts"

let folder = ""
let count = 0
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "paradrop-history-"))
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))
const fresh = (): string => join(folder, String((count += 1)), "state", "shell-history")

const load = (path: string) =>
  Effect.provide(
    Effect.flatMap(History, ({ load }) => load),
    HistoryNode.layerFile(path)
  )
const keep = (path: string, line: string) =>
  Effect.provide(
    Effect.flatMap(History, ({ keep }) => keep(line)),
    HistoryNode.layerFile(path)
  )
/** Another file of the same length, with that last line. */
const replaced = (path: string, last: string): void => {
  const { size } = fs.statSync(path)
  const end = `\n${last}\n`
  fs.writeFileSync(`${path}.2`, `${"y".repeat(size - end.length)}${end}`)
  fs.renameSync(`${path}.2`, path)
}
const mode = (path: string): string => (fs.statSync(path).mode & 0o777).toString(8)

describe("History", () => {
  for (const { effect, name } of historyContract) {
    it.effect(`in memory: ${name}`, () => Effect.provide(effect, History.layerMemory([])))
    it.effect(`in a file: ${name}`, () => Effect.suspend(() => Effect.provide(effect, HistoryNode.layerFile(fresh()))))
  }
})

describe("the history's file", () => {
  it.effect("is the person's alone, also when it was not, and so is its folder", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      assert.deepStrictEqual([mode(path), mode(join(path, ".."))], ["600", "700"])
      fs.chmodSync(path, 0o644)
      yield* keep(path, "help")
      assert.strictEqual(mode(path), "600")
      assert.deepStrictEqual(yield* load(path), ["fetch", "help"])
    })
  )

  it.effect("loses a torn line and no other", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      fs.appendFileSync(path, "uplo")
      assert.deepStrictEqual(yield* load(path), ["fetch"])
      yield* keep(path, "help")
      assert.deepStrictEqual(yield* load(path), ["fetch", "help"])
    })
  )

  it.effect("joins no line to a torn one before it, nor offers that", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      // As a full disk leaves it, while a shell runs that has loaded its lines before.
      fs.appendFileSync(path, "remove a")
      yield* keep(path, "help")
      yield* keep(path, "info x")
      assert.deepStrictEqual(yield* load(path), ["fetch", "help", "info x"])
    })
  )

  it.effect("is cut to the newest lines when it has grown too much, and stays the person's alone", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      const line = `upload ${"x".repeat(1000)}`
      for (let bytes = 0, index = 0; bytes <= shellHistoryFileBytesMax; bytes += line.length + 5, index += 1) {
        fs.appendFileSync(path, `${line}${1000 + index}\n`)
      }
      const kept = yield* load(path)
      assert.notInclude(kept, "fetch")
      assert.isTrue(kept.every((one) => /^upload x{1000}\d{4}$/.test(one)))
      assert.isAtMost(fs.statSync(path).size, shellHistoryFileBytesMax)
      assert.deepStrictEqual(fs.readFileSync(path, "utf8"), kept.map((one) => `${one}\n`).join(""))
      assert.deepStrictEqual([mode(path), fs.readdirSync(join(path, ".."))], ["600", ["shell-history"]])
    })
  )

  it.effect("is cut by several shells at once as by one", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      const line = `upload ${"x".repeat(1000)}`
      for (let round = 0; round < 5; round += 1) {
        for (let bytes = 0, index = 0; bytes <= shellHistoryFileBytesMax; bytes += line.length + 5, index += 1) {
          fs.appendFileSync(path, `${line}${1000 + index}\n`)
        }
        const loaded = yield* Effect.all(
          Array.from({ length: 6 }, () => load(path)),
          { concurrency: "unbounded" }
        )
        const text = fs.readFileSync(path, "utf8")
        for (const kept of loaded) assert.strictEqual(kept.map((one) => `${one}\n`).join(""), text)
        assert.deepStrictEqual(fs.readdirSync(join(path, "..")), ["shell-history"])
      }
    })
  )

  const line = `upload ${"x".repeat(1000)}`
  for (const [title, change] of [
    ["another shell's new line", (path: string) => fs.appendFileSync(path, "help\n")],
    ["what another shell has written anew", (path: string) => replaced(path, "help")]
  ] as const) {
    it.live(`is cut only as it was read: ${title} stays`, () =>
      Effect.gen(function* () {
        const path = fresh()
        yield* keep(path, "fetch")
        fs.appendFileSync(path, `${line}\n`.repeat(Math.ceil(shellHistoryFileBytesMax / line.length)))
        const loading = yield* Effect.forkChild(load(path), { startImmediately: true })
        // What takes its place is written, synced and closed first: each is waited for.
        const begun = () => fs.readdirSync(join(path, "..")).length > 1
        while (!begun()) yield* Effect.yieldNow
        change(path)
        yield* Fiber.join(loading)
        assert.strictEqual(fs.readFileSync(path, "utf8").split("\n").at(-2), "help")
        assert.deepStrictEqual(fs.readdirSync(join(path, "..")), ["shell-history"])
      })
    )
  }

  it.effect("that somebody has filled with what a terminal would obey offers none of it", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      fs.appendFileSync(path, "a\u001b]0;x\u0007\nhelp\n\ufffd\u0000\n")
      assert.deepStrictEqual(yield* load(path), ["fetch", "help"])
    })
  )

  it.effect("is no link to another file, and a folder that cannot be written is told", () =>
    Effect.gen(function* () {
      const path = fresh()
      yield* keep(path, "fetch")
      const linked = join(path, "..", "linked")
      fs.writeFileSync(join(folder, "victim"), "mine\n")
      fs.symlinkSync(join(folder, "victim"), linked)
      const refused = yield* Effect.flip(keep(linked, "help"))
      assert.include(refused.message, "what you type is not kept for the next time")
      assert.strictEqual(fs.readFileSync(join(folder, "victim"), "utf8"), "mine\n")
      assert.deepStrictEqual(yield* load(linked), [])
      const below = yield* Effect.flip(keep(join(path, "x", "y"), "help"))
      assert.strictEqual(below.code, "ENOTDIR")
      const why = `cannot write ${join(path, "x", "y")} (a part of its path is no folder)`
      assert.strictEqual(below.message, `what you type is not kept for the next time: ${why}`)
    })
  )

  it("lies in the platform's state folder, and nowhere without a home", () => {
    const at = HistoryNode.stateFolder
    assert.strictEqual(at({ XDG_STATE_HOME: "/s", HOME: "/h" }, "linux"), "/s/paradrop")
    assert.strictEqual(at({ XDG_STATE_HOME: "relative", HOME: "/h" }, "linux"), "/h/.local/state/paradrop")
    assert.strictEqual(at({ HOME: "/h" }, "darwin"), "/h/Library/Application Support/paradrop")
    assert.strictEqual(at({ LOCALAPPDATA: "/l" }, "win32"), "/l/paradrop")
    assert.isUndefined(at({}, "linux"))
  })
})
