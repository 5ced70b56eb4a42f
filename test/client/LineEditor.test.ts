import { assert, describe, it } from "@effect/vitest"
import { shortened } from "../../src/client/LineEditor.ts"
import { completionShownMax } from "../../src/domain/limits.ts"

describe("what is offered", () => {
  const names = (count: number, beginning: string) =>
    Array.from({ length: count }, (_, index) => `${beginning}${index}`)

  it("is shown whole where a person reads it", () => {
    const offers = names(completionShownMax, "a")
    assert.deepStrictEqual(shortened({ typed: "a", offers }), { typed: "a", offers })
    assert.deepStrictEqual(shortened({ typed: "", offers: [] }), { typed: "", offers: [] })
  })

  it("of more than that is its first part and a count, and nothing that would be put into the line", () => {
    const offers = [...names(completionShownMax + 2_900, "same"), "sa"]
    const shown = shortened({ typed: "sa", offers })
    assert.deepStrictEqual(shown, { typed: "sa", offers: [...offers.slice(0, completionShownMax), "... 2901 more"] })
  })

  it("is what all of it begins with, where that is longer than what is typed, in whole characters", () => {
    const offers = names(completionShownMax + 1, "same")
    assert.deepStrictEqual(shortened({ typed: "sa", offers }), { typed: "sa", offers: ["same"] })
    const halves = [...names(completionShownMax, "x\u{1f600}"), "x\u{1f601}"]
    assert.deepStrictEqual(shortened({ typed: "", offers: halves }), { typed: "", offers: ["x"] })
  })
})
