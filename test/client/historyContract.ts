/**
 * What every layer of `History` keeps to.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { History } from "../../src/client/History.ts"
import { shellHistoryLineBytesMax, shellHistoryLinesMax } from "../../src/domain/limits.ts"

/** Each case wants a layer that has kept nothing yet. */
export const historyContract: ReadonlyArray<{
  readonly name: string
  readonly effect: Effect.Effect<void, unknown, History>
}> = [
  {
    name: "nothing was kept at first; then lines are, oldest first",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      assert.deepStrictEqual(yield* load, [])
      for (const line of ["fetch", 'upload "é 日.txt"', "fetch"]) yield* keep(line)
      assert.deepStrictEqual(yield* load, ["fetch", 'upload "é 日.txt"', "fetch"])
    })
  },
  {
    name: "no line stands twice in a row",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      for (const line of ["fetch", "fetch", "help", "fetch"]) yield* keep(line)
      assert.deepStrictEqual(yield* load, ["fetch", "help", "fetch"])
    })
  },
  {
    name: "what is not worth keeping, or must not be, is left out",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      const long = "x".repeat(shellHistoryLineBytesMax)
      const lines = [" fetch", "", "a\u001b[2J", "a\nb", "a\u202eb", `${long}x`, "fetch paradrop://ada:s3cret@host/x"]
      for (const line of [...lines, long]) yield* keep(line)
      assert.deepStrictEqual(yield* load, [long])
    })
  },
  {
    name: "only the newest are given",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      for (let number = 0; number < shellHistoryLinesMax + 5; number += 1) yield* keep(`fetch ${number}`)
      const kept = yield* load
      assert.deepStrictEqual(
        [kept.length, kept[0], kept.at(-1)],
        [shellHistoryLinesMax, "fetch 5", `fetch ${shellHistoryLinesMax + 4}`]
      )
    })
  },
  {
    name: "lines that are kept at once are all there, whole",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      const lines = Array.from({ length: 50 }, (_, index) => `upload ${"x".repeat(index)} ${index}`)
      yield* Effect.forEach(lines, keep, { concurrency: "unbounded", discard: true })
      assert.deepStrictEqual((yield* load).toSorted(), lines.toSorted())
    })
  }
]
