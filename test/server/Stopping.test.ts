/** Who is told that the server stops: everybody who is there, and who comes after it, at once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Stopping from "../../src/server/Stopping.ts"

describe("a server that stops", () => {
  it.effect("tells who is there, nobody who has left, and at once who comes after that", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const tell = (name: string) => Effect.sync(() => void told.push(name))
      const stopping = yield* Stopping.make
      yield* stopping.attend(tell("here"))
      yield* Effect.scoped(stopping.attend(tell("left")))
      assert.deepStrictEqual(told, [])
      yield* stopping.begin
      yield* Effect.yieldNow
      assert.deepStrictEqual(told, ["here"])
      yield* stopping.attend(tell("late"))
      assert.deepStrictEqual(told, ["here", "late"])
    }).pipe(Effect.scoped)
  )
})
