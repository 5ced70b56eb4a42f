import { spawn } from "node:child_process"
import { once } from "node:events"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"

/** Says two things where it cannot be interrupted; whoever is to read them is gone. */
const program = `
import { NodeRuntime } from "@effect/platform-node"
import { Effect } from "effect"
import { Screen } from "./src/client/Screen.ts"
import * as ScreenNode from "./src/client/ScreenNode.ts"
Effect.gen(function* () {
  const { out } = yield* Screen
  process.stdin.resume()
  yield* Effect.callback((resume) => void process.stdin.on("end", () => resume(Effect.void)))
  yield* Effect.uninterruptible(Effect.andThen(out.write("one"), out.write("two")))
}).pipe(
  Effect.raceFirst(ScreenNode.ended),
  Effect.provide(ScreenNode.layer),
  Effect.catchTag("OutputEnded", ({ code }) => Effect.sync(() => process.stderr.write(code))),
  NodeRuntime.runMain
)`

describe("standard output that nobody reads any more", () => {
  it("ends also what cannot be interrupted, and is told", async () => {
    const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
      timeout: 30_000,
      killSignal: "SIGKILL"
    })
    let stderr = ""
    child.stderr.on("data", (text) => void (stderr += String(text)))
    child.stdout.destroy()
    child.stdin.end()
    const [code, signal] = await once(child, "close")
    assert.deepStrictEqual([stderr, code, signal], ["EPIPE", 0, null])
  }, 60_000)
})
