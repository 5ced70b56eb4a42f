/**
 * The working folder in memory does what the one of the process does: the same steps come to the same.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { LocalFileFailed } from "../../src/client/ClientError.ts"
import { type LocalNamed, WorkingFolder } from "../../src/client/WorkingFolder.ts"
import * as WorkingFolderNode from "../../src/client/WorkingFolderNode.ts"

const Part = Schema.Literals(["a", "b", "f", "é", "..", "..", ".", "", "n".repeat(255), "n".repeat(256), "no"])
const Path = Schema.Array(Part).check(Schema.isMinLength(1), Schema.isMaxLength(4))
const Step = Schema.Struct({ do: Schema.Literals(["enter", "list"]), absolute: Schema.Boolean, parts: Path })
type Step = (typeof Step)["Type"]

const folder = (name: string): LocalNamed => ({ name, kind: "folder", size: 0, modified: 0 })
const file = (name: string, size: number): LocalNamed => ({ name, kind: "file", size, modified: 5_000 })

/** What stands below the root of a run. */
const world: Readonly<Record<string, ReadonlyArray<LocalNamed>>> = {
  "": [folder("b"), folder("a"), file("f", 3), file("é", 0), file("Z", 1)],
  "/a": [folder("b"), file("f", 2)],
  "/a/b": [],
  "/b": [file("a", 1)]
}

const toldOf = ({ code, operation, path }: LocalFileFailed) => [operation, code, path]

/** Only what a folder has besides its kind is its own. */
const shown = (all: ReadonlyArray<LocalNamed>) =>
  all.map(({ kind, modified, name, size }) => (kind === "file" ? [name, size, modified] : [name, kind]))

const outcomes = Effect.fnUntraced(function* (root: string, steps: ReadonlyArray<Step>) {
  const { enter, list, path } = yield* WorkingFolder
  yield* enter(root)
  const all: Array<unknown> = []
  for (const { absolute, do: what, parts } of steps) {
    const to = (absolute ? `${root}/` : "") + parts.join("/")
    // What is above the root is another in each.
    const at = resolve(yield* path, to)
    if (at !== root && !at.startsWith(`${root}/`)) continue
    const acting = what === "enter" ? enter(to) : Effect.map(list(to), shown)
    all.push(yield* Effect.match(acting, { onFailure: toldOf, onSuccess: (value) => ["done", value] }))
    all.push(yield* path)
  }
  return JSON.stringify(all).replaceAll(root, "ROOT")
})

const temporaryWorld = Effect.acquireRelease(
  Effect.sync(() => {
    const root = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))
    for (const [path, held] of Object.entries(world)) {
      fs.mkdirSync(`${root}${path}`, { recursive: true })
      for (const { kind, name, size } of held) {
        if (kind !== "file") continue
        fs.writeFileSync(`${root}${path}/${name}`, "x".repeat(size))
        fs.utimesSync(`${root}${path}/${name}`, 5, 5)
      }
    }
    return { root, before: process.cwd() }
  }),
  ({ before, root }) =>
    Effect.sync(() => {
      process.chdir(before)
      fs.rmSync(root, { recursive: true, force: true })
    })
)

describe("the working folder in memory", () => {
  it.live.prop(
    "does what the one of the process does",
    [Schema.Array(Step).check(Schema.isMinLength(3), Schema.isMaxLength(10))],
    ([steps]) =>
      Effect.gen(function* () {
        const { root } = yield* temporaryWorld
        const there = yield* Effect.provide(outcomes(root, steps), WorkingFolderNode.layer)
        const below = Object.fromEntries(Object.entries(world).map(([path, held]) => [`${root}${path}`, held]))
        const here = yield* Effect.provide(outcomes(root, steps), WorkingFolder.layerMemory(below))
        assert.deepStrictEqual(JSON.parse(here), JSON.parse(there))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 150 } }
  )
})
