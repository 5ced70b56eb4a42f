import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { behind, type Part } from "../../src/client/Updater.ts"

const Parts = Schema.Array(
  Schema.Struct({ local: Schema.Boolean, length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 })) })
)

describe("what is behind the beginning of a plan", () => {
  it.prop(
    "is the same bytes from the same places",
    [Parts, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))],
    ([given, from]) => {
      let at = 0
      const parts = given.map(({ length, local }): Part => {
        const offset = local ? 1000 - at : at
        at += length
        return { _tag: local ? "Local" : "Wanted", offset, length }
      })
      const bytes = (some: ReadonlyArray<Part>) =>
        some.flatMap(({ _tag, length, offset }) =>
          Array.from({ length }, (_, index) => `${_tag} ${String(offset + index)}`)
        )
      assert.deepStrictEqual(bytes(behind(parts, from)), bytes(parts).slice(from))
      assert.isTrue(behind(parts, from).every(({ length }) => length > 0))
    }
  )
})
