/**
 * The server's log: a closed list of lines, which the document lists too, in a shape that programs can read.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer } from "effect"
import { endReasons } from "../../src/server/EndReason.ts"
import { log, logEvents } from "../../src/server/LogEvent.ts"
import * as Logging from "../../src/server/Logging.ts"
import { tableOf } from "../tables.ts"

const source = join(import.meta.dirname, "..", "..", "src", "server")

describe("the log's vocabulary", () => {
  it("is what OPERATIONS.md lists: each event with its level and meaning", () => {
    const expected = Object.entries(logEvents).map(([event, { level, meaning }]) => [event, level, meaning])
    assert.deepStrictEqual(tableOf("docs/OPERATIONS.md", "event"), expected)
  })

  it("is what OPERATIONS.md lists: each reason for which a connection ends", () => {
    assert.deepStrictEqual(tableOf("docs/OPERATIONS.md", "outcome"), Object.entries(endReasons))
  })

  it("is closed: the server logs through LogEvent alone", () => {
    const others = readdirSync(source, { encoding: "utf8", recursive: true }).filter(
      (file) =>
        file.endsWith(".ts") &&
        file !== "LogEvent.ts" &&
        /Effect\.log\w*\(/.test(readFileSync(join(source, file), "utf8"))
    )
    assert.deepStrictEqual(others, [], "log a line with `log` of LogEvent.ts, and list its event there")
  })
})

const peerText = "a\u001b[31m\nb\u202e"

describe("the log's shape", () => {
  let texts: Array<string> = []
  const style = (terminal: boolean) =>
    Layer.suspend(() => {
      texts = []
      return Logging.layer({ terminal, colours: false, write: (text) => void texts.push(text) })
    })
  const [program, person] = [style(false), style(true)]

  it.effect("is one JSON object in a line for a program, with nothing in it that could steer a terminal", () =>
    Effect.gen(function* () {
      yield* log("connection-ended", `x ${peerText}`, { peer: peerText, received: 5, user: undefined }).pipe(
        Effect.provide(program)
      )
      const [line = "", ...more] = texts
      assert.deepStrictEqual(more, [])
      assert.match(line, /^[\x20-\x7e]+\n$/)
      assert.deepStrictEqual(Object.keys(JSON.parse(line)), ["time", "level", "event", "message", "peer", "received"])
      const { message, peer, ...rest } = JSON.parse(line)
      assert.deepStrictEqual(rest, {
        time: "1970-01-01T00:00:00.000Z",
        level: "info",
        event: "connection-ended",
        received: 5
      })
      assert.notInclude(message + peer, "\u001b")
    })
  )

  it.effect("has the level of the event, and a cause where there is one", () =>
    Effect.gen(function* () {
      yield* log("connection-defect", "ended", {}, Cause.die("boom")).pipe(Effect.provide(program))
      const { cause, level } = JSON.parse(String(texts[0]))
      assert.strictEqual(level, "error")
      assert.include(cause, "boom")
    })
  )

  it.effect("is a line of words for a person", () =>
    Effect.gen(function* () {
      yield* log("public-account", `careful ${peerText}`, { peer: "::1" }).pipe(Effect.provide(person))
      const [line = ""] = texts
      assert.match(line, /^\d\d:\d\d:\d\d warning: careful .* peer=::1\n$/)
      assert.notInclude(line, "\u001b")
      assert.notInclude(line, "\u202e")
    })
  )
})
