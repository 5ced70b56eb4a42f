/**
 * Names that cannot stand side by side.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { collisions } from "../../src/client/Collisions.ts"
import { segmentKey } from "../../src/domain/file/FileName.ts"

const shown = (names: ReadonlyArray<string>) => [...collisions(names)].map(([index, other]) => [names[index], other])

describe("collisions", () => {
  it("the same name, other spellings, folders spelt in two ways, and a file where a folder is", () => {
    assert.deepStrictEqual(shown(["a", "b/a", "b/c"]), [])
    assert.deepStrictEqual(shown(["a", "a"]), [
      ["a", "a"],
      ["a", "a"]
    ])
    assert.deepStrictEqual(shown(["straße", "STRASSE", "x"]), [
      ["straße", "STRASSE"],
      ["STRASSE", "straße"]
    ])
    assert.deepStrictEqual(shown(["e\u0301", "\u00e9"]), [
      ["e\u0301", "\u00e9"],
      ["\u00e9", "e\u0301"]
    ])
    assert.deepStrictEqual(shown(["D/a", "D/b", "d/c"]), [
      ["D/a", "d"],
      ["D/b", "d"],
      ["d/c", "D"]
    ])
    assert.deepStrictEqual(shown(["a", "a/b", "c"]), [
      ["a", "a"],
      ["a/b", "a"]
    ])
  })

  const part = Schema.Literals(["a", "A", "b", "é", "e\u0301", "É", "ß", "ss"])
  it.prop(
    "finds the pairs that comparing all with all finds",
    [Schema.Array(Schema.Union([part, Schema.TemplateLiteral([part, "/", part])])).check(Schema.isMaxLength(8))],
    ([names]) => {
      const prefixes = (name: string) => name.split("/").map((_, index, all) => all.slice(0, index + 1).join("/"))
      const against = (one: string, other: string) =>
        segmentKey(one) === segmentKey(other) ||
        prefixes(one).some((a) =>
          prefixes(other).some((b) => segmentKey(a) === segmentKey(b) && (a !== b || (a === one) !== (b === other)))
        )
      const expected = names.flatMap((one, index) =>
        names.some((other, at) => at !== index && against(one, other)) ? [index] : []
      )
      assert.deepStrictEqual([...collisions(names).keys()], expected)
    }
  )
})
