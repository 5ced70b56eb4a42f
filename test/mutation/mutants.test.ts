/**
 * Each way to break the system still fits the source: an edit that fits nowhere would break nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { mutants } from "./mutants.ts"

const source = join(import.meta.dirname, "../../src")

describe("mutants", () => {
  it("each fits its source exactly once, and has a name of its own", () => {
    const fits = mutants.map(({ file, find, name }) => [
      name,
      readFileSync(join(source, file), "utf8").split(find).length - 1
    ])
    assert.deepStrictEqual(
      fits.filter(([, times]) => times !== 1),
      []
    )
    assert.strictEqual(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  })
})
