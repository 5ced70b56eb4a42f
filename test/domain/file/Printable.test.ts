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
  })

  it("leaves what is safe", () => {
    for (const text of ["", "plain text", "日本語 é ß", "👩\u200d👧", "a\u200cb"])
      assert.strictEqual(printable(text), text)
  })

  it("bounds what it gives", () => {
    const long = printable("\u202e".repeat(100_000))
    assert.strictEqual(long, `${"\\u{202e}".repeat(4096)}…`)
  })

  it("no single character comes through unsafe", () => {
    for (let code = 0; code <= 0xffff; code += 1) {
      if (!isPrintable(printable(String.fromCharCode(code)))) assert.fail(`U+${code.toString(16)}`)
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
