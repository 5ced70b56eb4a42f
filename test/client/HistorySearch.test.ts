import { assert, describe, it } from "@effect/vitest"
import * as HistorySearch from "../../src/client/HistorySearch.ts"
import { shellHistoryLineBytesMax } from "../../src/domain/limits.ts"

const lines = ["fetch notes", "lpwd", "pwd", "fetch old"]

/** Keys: characters, `<` for Backspace, `^` for Ctrl-R. */
const after = (keys: string): HistorySearch.Search =>
  Array.from(keys).reduce((search, key) => {
    if (key === "<") return HistorySearch.back(search)
    return key === "^" ? HistorySearch.older(search, lines) : HistorySearch.typed(search, lines, key)
  }, HistorySearch.begun)
const shown = (keys: string): string => {
  const search = after(keys)
  return HistorySearch.prompt(search) + (search.at === undefined ? "" : lines[search.at])
}

describe("a search through what was typed", () => {
  it("finds the newest line that has the text anywhere, and keeps it as long as it does", () => {
    assert.strictEqual(shown(""), "search '': ")
    assert.strictEqual(shown("w"), "search 'w': lpwd")
    assert.strictEqual(shown("wd"), "search 'wd': lpwd")
    assert.strictEqual(shown("fetch"), "search 'fetch': fetch notes")
    assert.strictEqual(shown("fetch o"), "search 'fetch o': fetch old")
  })

  it("goes on to older lines, and says when there is none", () => {
    assert.strictEqual(shown("wd^"), "search 'wd': pwd")
    assert.strictEqual(shown("wd^^"), "no older line with 'wd': pwd")
    assert.strictEqual(shown("^"), "search '': fetch notes")
    assert.strictEqual(shown("^^"), "search '': lpwd")
  })

  it("keeps what was found when nothing has the longer text, and finds it again with the shorter one", () => {
    assert.strictEqual(shown("pwx"), "no older line with 'pwx': lpwd")
    assert.strictEqual(shown("zz"), "no older line with 'zz': ")
    assert.strictEqual(shown("pwx<"), "search 'pw': lpwd")
  })

  it("undoes key by key, down to the beginning and no further", () => {
    assert.strictEqual(shown("wd^^<"), "search 'wd': pwd")
    assert.strictEqual(shown("wd^<"), "search 'wd': lpwd")
    assert.deepStrictEqual(after("wd^<<<<<<"), HistorySearch.begun)
  })

  it("takes no text that is longer than any line, and shows none that a terminal would obey", () => {
    const long = "x".repeat(shellHistoryLineBytesMax)
    const most = HistorySearch.typed(HistorySearch.begun, lines, long)
    assert.strictEqual(most.text, long)
    assert.strictEqual(HistorySearch.typed(most, lines, "x"), most)
    assert.strictEqual(shown("\u001b"), "no older line with '\\x1b': ")
  })
})
