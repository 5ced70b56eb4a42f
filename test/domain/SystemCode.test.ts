import { assert, describe, it } from "@effect/vitest"
import { PlatformError } from "effect"
import { platformWords, systemWords } from "../../src/domain/SystemCode.ts"

const error = (code: string) => Object.assign(new Error("of the system"), { code })
const failed = (more: { readonly description?: string; readonly cause?: unknown }) =>
  PlatformError.systemError({ _tag: "BadResource", module: "FileSystem", method: "open", ...more })

describe("why the system refuses", () => {
  it("is said in words, and by its code where that is rare", () => {
    assert.strictEqual(systemWords("ENOSPC"), "the disk is full")
    assert.strictEqual(systemWords("ESTALE"), "ESTALE")
  })

  it("is what an error says of itself, else its code, else the kind of it", () => {
    assert.strictEqual(platformWords(failed({ description: "it is no file", cause: error("EIO") })), "it is no file")
    assert.strictEqual(platformWords(failed({ cause: error("ENOTDIR") })), "a part of its path is no folder")
    assert.strictEqual(platformWords(failed({})), "BadResource")
  })
})
