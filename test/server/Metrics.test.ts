/**
 * What the server measures: what the document lists, in the text that Prometheus reads.
 */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import * as Metrics from "../../src/server/Metrics.ts"
import { tableOf } from "../tables.ts"

/** As the server shows them: all at zero. */
const fresh = Metrics.register.pipe(
  Effect.andThen(PrometheusMetrics.format()),
  Effect.provideService(Metric.MetricRegistry, new Map())
)

describe("metrics", () => {
  it("are what OPERATIONS.md lists", () => {
    const expected = Metrics.allMetrics.map(({ labels, meaning, name, type }) => [
      name,
      type,
      labels.length === 0 ? "" : labels.map((label) => `\`${label}\``).join(", "),
      meaning
    ])
    const found = tableOf("docs/OPERATIONS.md", "metric").map((row) => row)
    assert.deepStrictEqual(
      found.map(([name, type, labels = "", meaning]) => [
        name,
        type,
        labels.replaceAll("`", "") === "" ? "" : labels.includes("`") ? labels : `\`${labels}\``,
        meaning
      ]),
      expected
    )
  })

  it.effect("are named, typed and explained as Prometheus asks, and their series are bounded", () =>
    Effect.gen(function* () {
      const text = yield* fresh
      for (const { meaning, name, type } of Metrics.allMetrics) {
        assert.match(name, /^paradrop_[a-z]+(_[a-z]+)*$/)
        assert.strictEqual(type === "counter", name.endsWith("_total"), name)
        assert.include(text, `# HELP ${name} ${meaning}\n# TYPE ${name} ${type}\n${name}`)
      }
      for (const line of text
        .trimEnd()
        .split("\n")
        .filter((one) => !one.startsWith("#"))) {
        assert.match(line, /^[a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? [0-9.]+$/)
      }
      assert.isBelow(text.split("\n").length, 250)
    })
  )

  it.effect("count, and a histogram's buckets add up", () =>
    Effect.gen(function* () {
      yield* Metrics.register
      yield* Metrics.commandEnded({ command: "upload", outcome: "done" })
      yield* Metrics.commandEnded({ outcome: "done", command: "upload" })
      for (const seconds of [0.0005, 0.02, 0.02, 99]) yield* Metrics.commitSeconds(seconds)
      yield* Metrics.sessions.change({ state: "logged-in" }, 3)
      yield* Metrics.sessions.change({ state: "logged-in" }, -1)
      const lines = (yield* PrometheusMetrics.format()).split("\n")
      for (const line of [
        'paradrop_commands_total{command="upload",outcome="done"} 2',
        'paradrop_commands_total{command="para",outcome="done"} 0',
        'paradrop_sessions{state="logged-in"} 2',
        'paradrop_commit_seconds_bucket{le="0.001"} 1',
        'paradrop_commit_seconds_bucket{le="0.025"} 3',
        'paradrop_commit_seconds_bucket{le="10"} 3',
        'paradrop_commit_seconds_bucket{le="+Inf"} 4',
        "paradrop_commit_seconds_count 4"
      ]) {
        assert.include(lines, line)
      }
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  const promtool = spawnSync("promtool", ["--version"])
  it.effect.skipIf(promtool.status !== 0)("pass promtool", () =>
    Effect.gen(function* () {
      const { status, stderr, stdout } = spawnSync("promtool", ["check", "metrics"], {
        input: yield* fresh,
        encoding: "utf8"
      })
      assert.strictEqual(status, 0, stdout + stderr)
      assert.strictEqual(stdout + stderr, "")
    })
  )
})
