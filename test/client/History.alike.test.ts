/**
 * The history in memory does what the one in a file does: the same steps come to the same, also when who keeps a line
 * is interrupted.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { History } from "../../src/client/History.ts"
import * as HistoryNode from "../../src/client/HistoryNode.ts"

const Line = Schema.Literals([
  "fetch",
  "fetch",
  " a",
  "a ",
  "",
  "é 日",
  "a\nb",
  "a\r",
  "\ud800",
  "x://a:b@c",
  "y".repeat(4_097)
])
const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literals(["keep", "interrupted"]), line: Line }),
  Schema.Struct({ do: Schema.tag("keepAtOnce"), lines: Schema.Array(Line).check(Schema.isMaxLength(4)) }),
  Schema.Struct({ do: Schema.tag("load") })
])
type Step = (typeof Step)["Type"]

const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const { keep, load } = yield* History
  const all: Array<unknown> = []
  for (const step of steps) {
    if (step.do === "keep") yield* keep(step.line)
    else if (step.do === "interrupted") {
      // Whether or not it was kept: when who kept it has ended nothing more of it comes, behind what is kept later.
      yield* Effect.flatMap(Effect.forkChild(keep(step.line), { startImmediately: true }), Fiber.interrupt)
      yield* keep(step.line)
    } else if (step.do === "keepAtOnce") yield* Effect.forEach(step.lines, keep, { concurrency: 4 })
    else all.push(yield* load)
  }
  all.push(yield* load)
  return all
})

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "paradrop-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)
const inFile = Layer.unwrap(
  Effect.map(temporaryFolder, (folder) => HistoryNode.layerFile(join(folder, "state", "history")))
)

describe("the history in memory", () => {
  it.live.prop(
    "does what the one in a file does",
    [Schema.Array(Step).check(Schema.isMaxLength(12))],
    ([steps]) =>
      Effect.gen(function* () {
        const there = yield* Effect.provide(outcomes(steps), inFile)
        const here = yield* Effect.provide(outcomes(steps), History.layerMemory([]))
        assert.deepStrictEqual(here, there)
      }),
    { arbitrary: { runs: 60 } }
  )
})
