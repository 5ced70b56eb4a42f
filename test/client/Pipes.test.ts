/**
 * Named pipes: what is read of them, that nobody waits in vain for a writer, and who takes one for a file.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { History } from "../../src/client/History.ts"
import * as HistoryNode from "../../src/client/HistoryNode.ts"
import * as PasswordSource from "../../src/client/PasswordSource.ts"
import { Pipes } from "../../src/client/Pipes.ts"
import * as PipesNode from "../../src/client/PipesNode.ts"

let folder = ""
let pipe = ""
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "paradrop-pipes-"))
  pipe = join(folder, "pipe")
  spawnSync("mkfifo", ["-m", "600", pipe])
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const layer = Layer.merge(NodeServices.layer, PipesNode.layer)

const forWriting = fs.constants.O_WRONLY | fs.constants.O_NONBLOCK

/** What another program writes, once somebody reads. */
const writing = (script: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("sh", ["-c", script, "sh", pipe])),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe.skipIf(process.platform === "win32")("a named pipe", () => {
  it.live("is read to the end of its first line, also when its writer goes on", () =>
    Effect.gen(function* () {
      yield* writing('{ printf "a sec"; sleep 0.2; printf "ret\\nmore"; exec sleep 60; } > "$1"')
      assert.strictEqual(Redacted.value(yield* PasswordSource.fromFile(pipe)), "a secret")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("or to its own, and no further than was asked for", () =>
    Effect.gen(function* () {
      const { head } = yield* Pipes
      yield* writing('printf "a secret" > "$1"')
      assert.strictEqual(new TextDecoder().decode(yield* head(pipe, 1000)), "a secret")
      yield* writing('head -c 1000000 /dev/zero > "$1"')
      assert.isBelow((yield* head(pipe, 1000)).length, 1_000_000)
      assert.strictEqual((yield* Effect.flip(head(join(folder, "none"), 1000))).code, "ENOENT")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("without a writer is waited for until the wait is given up", () =>
    Effect.gen(function* () {
      const reading = yield* Effect.forkChild(PasswordSource.fromFile(pipe))
      yield* Effect.sleep(200)
      yield* Fiber.interrupt(reading)
      // A thread that waited would wait on: the writer finds nobody.
      const code = nodeCode(() => fs.openSync(pipe, forWriting))
      assert.strictEqual(code, "ENXIO")
    }).pipe(Effect.provide(layer))
  )

  it("is waited for by the program until Ctrl-C", async () => {
    const main = join(import.meta.dirname, "..", "..", "src", "client", "main.ts")
    const child = spawn(process.execPath, [main, "--password-file", pipe, "fetch"], {
      env: { PATH: process.env["PATH"], HOME: folder },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const ended = once(child, "close")
    let writer = -1
    // There is somebody to write to once somebody reads.
    while (nodeCode(() => (writer = fs.openSync(pipe, forWriting))) !== "") {
      await setTimeout(20)
    }
    child.kill("SIGINT")
    assert.deepStrictEqual(await ended, [null, "SIGINT"])
    fs.closeSync(writer)
  })

  it.live("in the place of a shell's history is no history", () =>
    Effect.gen(function* () {
      const history = yield* History
      assert.deepStrictEqual(yield* history.load, [])
      const { message } = yield* Effect.flip(history.keep("fetch"))
      const advice = "it is no regular file; move it away"
      assert.strictEqual(
        message,
        `what you type is not kept for the next time: cannot write ${pipe} (ENOTREG): ${advice}`
      )
      const reader = fs.openSync(pipe, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
      assert.include((yield* Effect.flip(history.keep("fetch"))).message, `(ENOTREG): ${advice}`)
      fs.closeSync(reader)
    }).pipe(Effect.provide(Layer.unwrap(Effect.sync(() => HistoryNode.layerFile(pipe)))))
  )

  it.live("is the only thing beside files that passwords come from", () =>
    Effect.gen(function* () {
      for (const path of [folder, "/dev/zero"]) {
        const { message } = yield* Effect.flip(PasswordSource.fromFile(path))
        assert.strictEqual(message, `the password file ${path} is no file: name one whose first line is the password`)
      }
    }).pipe(Effect.provide(layer))
  )
})

/** The code that a call fails with; empty when it does not. */
const nodeCode = (call: () => unknown): string => {
  try {
    call()
    return ""
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "unknown"
  }
}
