/**
 * Where an executable may keep what was compiled: only where nobody else decides what that is.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

const launcher = pathToFileURL(join(import.meta.dirname, "..", "src", "launch.ts")).href
const program = `
  const { launch } = await import(${JSON.stringify(launcher)})
  const { getCompileCacheDir } = process.getBuiltinModule("node:module")
  await launch("paradrop", async () => console.log(getCompileCacheDir() ?? "nowhere"))
`

/** Where a program finds that Node keeps what it compiles, in an environment of so many variables. */
const told = (env: NodeJS.ProcessEnv): string => {
  const { status, stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    env: { PATH: process.env["PATH"], ...env },
    encoding: "utf8"
  })
  assert.deepStrictEqual([status, stderr], [0, ""])
  // Below it each version of Node has a folder of its own.
  return stdout.trim().replace(/\/v\d[^/]*$/, "")
}

const home = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(join(tmpdir(), "paradrop-launch-"))
    fs.mkdirSync(join(folder, ".cache"), { mode: 0o755 })
    fs.mkdirSync(join(folder, "open"))
    fs.chmodSync(join(folder, "open"), 0o777)
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

describe.skipIf(process.platform !== "linux")("what was compiled", () => {
  it.effect("is kept in the user's own folder, which nobody else can look into", () =>
    Effect.gen(function* () {
      const HOME = yield* home
      const kept = join(HOME, ".cache", "paradrop", "compiled")
      assert.strictEqual(told({ HOME }), kept)
      assert.strictEqual(fs.statSync(kept).mode & 0o777, 0o700)
      assert.strictEqual(told({ HOME, XDG_CACHE_HOME: "relative" }), kept)
      const own = join(HOME, ".cache", "own")
      assert.strictEqual(told({ HOME, XDG_CACHE_HOME: own }), join(own, "paradrop", "compiled"))
      assert.strictEqual(fs.statSync(own).mode & 0o777, 0o700)
      // Where a home has little room.
      fs.renameSync(join(HOME, ".cache"), join(HOME, "roomy"))
      fs.symlinkSync("roomy", join(HOME, ".cache"))
      assert.strictEqual(told({ HOME }), kept)
    }).pipe(Effect.scoped)
  )

  it.effect("is kept nowhere where others can write, where there is no folder, and where Node is to keep nothing", () =>
    Effect.gen(function* () {
      const HOME = yield* home
      assert.strictEqual(told({ HOME, XDG_CACHE_HOME: join(HOME, "open") }), "nowhere")
      assert.strictEqual(told({ HOME, XDG_CACHE_HOME: join(HOME, "none", "none") }), "nowhere")
      // Whoever can write there can put another folder in the place of ours.
      fs.chmodSync(join(HOME, ".cache"), 0o777)
      assert.strictEqual(told({ HOME }), "nowhere")
      fs.chmodSync(join(HOME, ".cache"), 0o755)
      assert.strictEqual(told({}), "nowhere")
      // Nothing can be made there, by nobody; Node would try for ever to make several.
      if (process.geteuid?.() === 0) assert.strictEqual(told({ HOME: "/proc" }), "nowhere")
      assert.strictEqual(told({ HOME, NODE_DISABLE_COMPILE_CACHE: "1" }), "nowhere")
      // What Node makes below it has the modes that the umask gives.
      fs.chmodSync(join(HOME, ".cache", "paradrop", "compiled"), 0o755)
      assert.strictEqual(told({ HOME }), "nowhere")
      fs.rmdirSync(join(HOME, ".cache", "paradrop", "compiled"))
      fs.symlinkSync(join(HOME, "open"), join(HOME, ".cache", "paradrop", "compiled"))
      assert.strictEqual(told({ HOME }), "nowhere")
    }).pipe(Effect.scoped)
  )
})
