/**
 * What every layer of `History` keeps to.
 */
import { Effect } from "effect"
import { type ContractCase, equal } from "../../domain/testing/Contract.ts"
import { History } from "../History.ts"
import { shellHistoryLineBytesMax, shellHistoryLinesMax } from "../../domain/limits.ts"

/** Each case wants a layer that has kept nothing yet. */
export const historyContract: ReadonlyArray<ContractCase<History>> = [
  {
    name: "nothing was kept at first; then lines are, oldest first",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      yield* equal("what is kept", yield* load, [])
      for (const line of ["fetch", 'upload "é 日.txt"', "fetch"]) yield* keep(line)
      yield* equal("what is kept", yield* load, ["fetch", 'upload "é 日.txt"', "fetch"])
    })
  },
  {
    name: "no line stands twice in a row",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      for (const line of ["fetch", "fetch", "help", "fetch"]) yield* keep(line)
      yield* equal("what is kept", yield* load, ["fetch", "help", "fetch"])
    })
  },
  {
    name: "what is not worth keeping, or must not be, is left out",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      const long = "x".repeat(shellHistoryLineBytesMax)
      const lines = [" fetch", "", "a\u001b[2J", "a\nb", "a\u202eb", `${long}x`, "fetch paradrop://ada:s3cret@host/x"]
      for (const line of [...lines, long]) yield* keep(line)
      yield* equal("what is kept", yield* load, [long])
    })
  },
  {
    name: "a password in a URL is left out whatever is in it, and a port is none",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      const secrets = ["ada:s3/cret@host", "ada:s3 cret@host", "ada:s3@cret@host", "ada@it:s3cret@host", ":s3cret@host"]
      for (const secret of [...secrets, "ada:12345@host", "ada:123456/7@host"]) {
        yield* keep(`fetch "paradrop://${secret}/x"`)
      }
      const others = ["ada@host:8080/a@b", "host:8080/a:b@c", "ada@host/a:b@c", "[::1]:8080/a@b"]
      const lines = others.map((other) => `fetch paradrop://${other}`)
      for (const line of lines) yield* keep(line)
      yield* equal("what is kept", yield* load, lines)
    })
  },
  {
    name: "only the newest are given",
    effect: Effect.gen(function* () {
      const { keep, load } = yield* History
      for (let number = 0; number < shellHistoryLinesMax + 5; number += 1) yield* keep(`fetch ${number}`)
      const kept = yield* load
      yield* equal(
        "how many, the first and the last",
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
      yield* equal("what is kept, sorted", (yield* load).toSorted(), lines.toSorted())
    })
  }
]
