/**
 * Which grants there are: what a file or an option may say of an account, at each bound.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { fileBytesMax, quotaFilesMax } from "../../../src/domain/limits.ts"
import { Grant, rights } from "../../../src/domain/session/Grant.ts"

const isGrant = Schema.is(Grant)

describe("a grant", () => {
  it("has rights, each at most once", () => {
    for (const all of [[], ["list"], ["rename", "list"], rights]) assert.isTrue(isGrant({ rights: all }), all.join(" "))
    for (const all of [["list", "list"], [...rights, "read"], ["look"], [""]]) {
      assert.isFalse(isGrant({ rights: all }), all.join(" "))
    }
    assert.isFalse(isGrant({}))
  })

  it("sees a folder that has a name within the served root, and no other", () => {
    for (const root of ["a", "a/b"]) assert.isTrue(isGrant({ rights, root }), root)
    for (const root of ["", "..", "/a", "a/../b", "a//b"]) assert.isFalse(isGrant({ rights, root }), root)
  })

  it("may hold nothing, and as much as there may be", () => {
    for (const [bytes, files] of [
      [0, 0],
      [fileBytesMax, quotaFilesMax]
    ] as const) {
      assert.isTrue(isGrant({ rights, quota: { bytes, files } }))
    }
    for (const bytes of [-1, 0.5, fileBytesMax + 1]) assert.isFalse(isGrant({ rights, quota: { bytes } }), `${bytes}`)
    for (const files of [-1, 0.5, quotaFilesMax + 1]) assert.isFalse(isGrant({ rights, quota: { files } }), `${files}`)
  })

  // 0 is no rate: it would limit nothing.
  it("has rates of at least a byte in a second", () => {
    for (const direction of ["up", "down"]) {
      const withRate = (rate: number) => isGrant({ rights, bytesPerSecond: { [direction]: rate } })
      assert.deepStrictEqual([1, fileBytesMax].map(withRate), [true, true])
      assert.deepStrictEqual([0, -1, 1.5, fileBytesMax + 1].map(withRate), [false, false, false, false])
    }
  })
})
