import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { printable } from "../../../src/domain/file/Printable.ts"
import { isPrintable } from "./isPrintable.ts"

describe("printable", () => {
  it("shows what is unsafe by its code", () => {
    assert.strictEqual(printable("\x1b[31mred\x07"), "\\x1b[31mred\\x07")
    assert.strictEqual(printable("a\r\nb\x9b"), "a\\x0d\\x0ab\\x9b")
    assert.strictEqual(printable("\u202egpj\u2066\u2028"), "\\u{202e}gpj\\u{2066}\\u{2028}")
    assert.strictEqual(printable("\ud800"), "\\u{d800}")
    assert.strictEqual(printable("\u{e0041}"), "\\u{e0041}")
    // A format character that is not default-ignorable.
    assert.strictEqual(printable("\ufff9"), "\\u{fff9}")
  })

  it("shows what is seen as nothing: two names that look alike are not alike", () => {
    for (const [text, shown] of [
      ["re\u034fport", "re\\u{34f}port"],
      ["\u3164", "\\u{3164}"],
      ["\u115f\u1160\uffa0", "\\u{115f}\\u{1160}\\u{ffa0}"],
      ["葛\u{e0100}", "葛\\u{e0100}"],
      ["a\u200cb\u200d", "a\\u{200c}b\\u{200d}"],
      ["\u200da", "\\u{200d}a"],
      ["1\ufe0f", "1\\u{fe0f}"],
      ["❤\ufe0f\ufe0f", "❤\ufe0f\\u{fe0f}"],
      ["👩\u200d", "👩\\u{200d}"],
      ["👩\u200c👧", "👩\\u{200c}👧"],
      ["👩\u200d\u200d👧", "👩\\u{200d}\\u{200d}👧"],
      ["\u094d\u200d\u200d", "\u094d\u200d\\u{200d}"]
    ] as const) {
      assert.strictEqual(printable(text), shown)
      assert.strictEqual(printable(shown), shown)
    }
  })

  it("leaves what is safe", () => {
    const joined = ["می\u200cخواهم", "क्\u200dष", "👩\u200d👧", "👩🏽\u200d🚀", "🏳\ufe0f\u200d🌈"]
    // The last takes the column of a space, and is shown as one: it is a character of Braille.
    for (const text of ["", "plain text", "日本語 é ß", ...joined, "❤\ufe0f", "©\ufe0e", "1\ufe0f\u20e3", "\u2800"])
      assert.strictEqual(printable(text), text)
  })

  it("bounds what it gives", () => {
    const long = printable("\u202e".repeat(100_000))
    assert.strictEqual(long, `${"\\u{202e}".repeat(4096)}…`)
  })

  it("no single character comes through unsafe", () => {
    for (let code = 0; code <= 0x10_ffff; code += 1) {
      if (!isPrintable(printable(String.fromCodePoint(code)))) assert.fail(`U+${code.toString(16)}`)
    }
  })

  it.prop(
    "nothing unsafe comes through",
    [Schema.Array(Schema.Union([Schema.String, Schema.Literals(["\x1b", "\ud83d", "\udc00", "\u202e"])]))],
    ([parts]) => {
      assert.isTrue(isPrintable(printable(parts.join(""))))
    },
    { arbitrary: { runs: 1000 } }
  )

  it.prop("a text cut in a surrogate pair stays safe", [Schema.Literals([4094, 4095, 4096])], ([length]) => {
    assert.isTrue(isPrintable(printable("a".repeat(length) + "😀".repeat(3))))
  })
})
