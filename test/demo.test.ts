/**
 * The demo is the first thing that a person runs: it leaves nothing behind, and says in one line why it cannot run.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const demo = join(import.meta.dirname, "demo", "main.ts")

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "paradrop-demo-test-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

describe.skipIf(process.platform === "win32")("the demo", () => {
  it.effect.each(["SIGHUP", "SIGINT", "SIGTERM"] as const)(
    "leaves nothing behind when %s ends it",
    (signal) =>
      Effect.gen(function* () {
        const TMPDIR = yield* temporary
        const child = spawn(process.execPath, [demo], {
          env: { ...process.env, TMPDIR },
          stdio: ["ignore", "pipe", "inherit"]
        })
        const ended = once(child, "close")
        // A chapter is told once its folder is there and holds the large file.
        yield* Effect.promise(() => once(child.stdout, "data"))
        assert.deepStrictEqual(fs.readdirSync(TMPDIR).length, 1)
        child.kill(signal)
        assert.deepStrictEqual(yield* Effect.promise(() => ended), [null, signal])
        assert.deepStrictEqual(fs.readdirSync(TMPDIR), [])
      }).pipe(Effect.scoped),
    120_000
  )

  it.effect(
    "says in one line that the folder for temporary files is not there",
    () =>
      Effect.gen(function* () {
        const TMPDIR = join(yield* temporary, "none")
        const { status, stderr, stdout } = spawnSync(process.execPath, [demo], {
          env: { ...process.env, TMPDIR },
          encoding: "utf8"
        })
        assert.deepStrictEqual([status, stdout], [1, ""])
        assert.strictEqual(
          stderr,
          `the demo failed: ENOENT: no such file or directory, mkdtemp '${join(TMPDIR, "paradrop-demo-XXXXXX")}': ` +
            "set TMPDIR\n"
        )
      }).pipe(Effect.scoped),
    120_000
  )
})
