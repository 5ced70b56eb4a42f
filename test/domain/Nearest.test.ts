import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { distance, nearest } from "../../src/domain/Nearest.ts"

const Short = Schema.String.check(Schema.isMaxLength(12))

describe("the nearest word", () => {
  it.prop("a distance is symmetric, 0 for equals, and at most the longer length", [Short, Short], ([a, b]) => {
    assert.strictEqual(distance(a, b), distance(b, a))
    assert.strictEqual(distance(a, a), 0)
    assert.isAtMost(distance(a, b), Math.max(a.length, b.length))
    assert.isAtLeast(distance(a, b), Math.abs(a.length - b.length))
  })

  it("allows one slip in three characters", () => {
    assert.strictEqual(nearest("sesions", ["session", "sessions", "seats"]), "sessions")
    assert.strictEqual(nearest("seta", ["seats"]), undefined)
    assert.strictEqual(nearest("x".repeat(100_000), ["seats"]), undefined)
  })
})
