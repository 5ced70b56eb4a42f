import { assert, describe, it } from "@effect/vitest"
import { filled } from "./Document.ts"
import { plot } from "./Plot.ts"
import { median, parse, type Results, type Sample, slope, tables } from "./Results.ts"
import { ofResults } from "./Table.ts"

const sample = (contestant: string, round: number, seconds: number, cpu = 1): Sample => ({
  case: "bulk",
  operation: "put",
  contestant,
  round,
  seconds,
  clientCpu: cpu,
  serverCpu: cpu,
  bytes: round === 0 ? 9 : 1_500_000,
  clientMiB: round === 0 ? 70 : null,
  serverMiB: round === 0 ? 80 : null,
  foreignCores: round / 5,
  commit: "abc",
  at: "2026-01-01T00:00:00.000Z"
})

const results: Results = {
  version: 1,
  mib: 16,
  machine: "two cores",
  contestants: { paradrop: "ours", sftp: "theirs" },
  cases: { bulk: "one file <of 16 MiB>" },
  samples: [
    sample("paradrop", 0, 100),
    sample("sftp", 0, 1),
    ...[1, 2, 9].flatMap((seconds, index) => [
      sample("paradrop", index + 1, seconds),
      sample("sftp", index + 1, 2 * seconds, 4)
    ]),
    // A round that we do not have.
    sample("sftp", 4, 1000)
  ],
  figures: [],
  failures: []
}

describe("bench results", () => {
  it("the median is the middle one, or the mean of two", () => {
    assert.strictEqual(median([3, 1, 2]), 2)
    assert.strictEqual(median([4, 1, 2, 3]), 2.5)
    assert.strictEqual(median([7]), 7)
    assert.isNaN(median([]))
  })

  it("the slope is that of the line", () => {
    assert.strictEqual(
      slope([
        [1, 5],
        [2, 7],
        [3, 9]
      ]),
      2
    )
  })

  it("the first round is for memory alone, and ratios are taken within rounds", () => {
    const [table] = tables(results)
    const [ours, theirs] = table?.rows ?? []
    assert.deepStrictEqual(
      [ours?.seconds, ours?.fastest, ours?.slowest, ours?.rounds, ours?.ratio, ours?.clientMiB, ours?.bytes],
      [2, 1, 9, 3, undefined, 70, 1_500_000]
    )
    assert.deepStrictEqual([theirs?.seconds, theirs?.rounds, theirs?.ratio, theirs?.cpuRatio], [11, 4, 0.5, 0.25])
  })

  it("tables name what was measured and where", () => {
    const text = ofResults(results)
    assert.include(text, "**one file <of 16 MiB>: put** (3 to 4 rounds, others used 0.4 cores)")
    assert.include(text, "| paradrop   | 2.00    | 1.00 to 9.00    |")
    assert.include(text, "1.5 MB")
  })

  it("the picture has a bar for everybody, and escapes what it shows", () => {
    const svg = plot(results, new Set())
    assert.strictEqual(svg.match(/<rect x="130"/g)?.length, 2)
    assert.include(svg, "one file &lt;of 16 MiB&gt;: put")
    assert.include(svg, "11.00 s, ours 0.50 x")
    assert.notInclude(svg, "NaN")
  })

  it("a document gets the results between its markers, and again", () => {
    const text = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter"
    const once = filled(text, results)
    assert.match(once, /^before\n<!-- bench -->\n\nMeasured 2026-01-01 on two cores; version abc;/)
    assert.match(once, /\n\n<!-- \/bench -->\nafter$/)
    assert.notInclude(once, "old")
    assert.strictEqual(filled(once, results), once)
    assert.throws(() => filled("nothing", results), "there is no")
  })

  it("what is kept is what is read", () => {
    assert.deepStrictEqual(parse(JSON.stringify(results)), results)
    assert.throws(() => parse(JSON.stringify({ ...results, version: 2 })))
  })
})
