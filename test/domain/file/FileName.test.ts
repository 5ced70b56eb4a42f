import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { utf8Length } from "../../../src/domain/Bytes.ts"
import * as FileName from "../../../src/domain/file/FileName.ts"
import { isPrintable } from "./isPrintable.ts"

const refused: Record<FileName.NameRule, ReadonlyArray<string>> = {
  empty: [""],
  "ill-formed-unicode": ["\ud800", "a\udc00b", "f/\udfff"],
  "too-long": ["a/".repeat(512) + "a", "\u20ac".repeat(342), "a".repeat(100_000)],
  "control-character": ["\0", "a\0b", "\x1b[31m", "a\nb", "a\rb", "tab\t", "\x7f", "\x9b31m", "\u2028", "\u2029"],
  "bidi-control": ["\u202egpj.exe", "\u2066a", "\u200f", "\u061c"],
  backslash: ["a\\b", "..\\x", "C:\\x", "\\\\host\\share"],
  absolute: ["/", "/etc/passwd", "//x", "/../x"],
  "empty-segment": ["a//b", "a/", "a/b/"],
  "dot-segment": [".", "..", "../x", "a/../b", "a/./b", "./a", "a/..", "../../.ssh/authorized_keys", "x/../../y"],
  "segment-too-long": ["a".repeat(256), `f/${"\u20ac".repeat(86)}`],
  "too-deep": ["a/".repeat(32) + "a"],
  "trailing-dot-or-space": ["a.", "a ", "...", "a./b", "a /b", " ", "a/.. "],
  reserved: [".paradrop", ".paradrop/x", ".PARADROP", ".ParaDrop/x/y", "f/.paradrop"].concat(
    // With what some file systems do not see.
    [".paradrop\u200c", "\u200d.paradrop/x", "f/.para\u00addrop", ".\ufeffPARA\u2060DROP/x", "\u{e0001}.paradrop\ufe0f"]
  )
}

const accepted = [
  "a",
  "a b",
  " a",
  ".hidden",
  "..a",
  "a..b",
  "f/g/h.txt",
  "-rf",
  "--",
  "~",
  "$HOME",
  "`id`",
  "%2e%2e%2fx",
  "C:",
  "con",
  "日本語",
  "e\u0301",
  "👩\u200d👩\u200d👧",
  "paradrop",
  ".paradrop2",
  ".paradrop\u200c2",
  "a\u200c",
  "a".repeat(255),
  "\u20ac".repeat(85),
  "a/".repeat(31) + "a"
]

describe("FileName", () => {
  for (const rule of FileName.NameRule.literals) {
    it.effect(`refuses by '${rule}'`, () =>
      Effect.gen(function* () {
        for (const text of refused[rule]) {
          const error = yield* Effect.flip(FileName.parse(text))
          assert.strictEqual(error.rule, rule, JSON.stringify(text.slice(0, 40)))
          assert.isTrue(isPrintable(error.message))
        }
      })
    )
  }

  it.effect("names the first rule that is broken, in the order of the list", () =>
    Effect.gen(function* () {
      const rules = FileName.NameRule.literals
      const deep = "a/".repeat(32)
      for (const [text, ...broken] of [
        [`${deep}a.`, "trailing-dot-or-space", "too-deep"],
        [`${deep}.paradrop`, "reserved", "too-deep"],
        [`${deep}..`, "dot-segment", "too-deep"],
        [`${"a".repeat(255)}.`, "segment-too-long", "trailing-dot-or-space"],
        ["/\\", "backslash", "absolute"]
      ] as const) {
        const places = broken.map((rule) => rules.indexOf(rule))
        assert.deepStrictEqual(
          places,
          places.toSorted((a, b) => a - b)
        )
        assert.strictEqual((yield* Effect.flip(FileName.parse(text))).rule, broken[0])
      }
    })
  )

  it.effect("accepts what a file may be called, byte for byte", () =>
    Effect.gen(function* () {
      for (const text of accepted) assert.strictEqual(yield* FileName.parse(text), text)
    })
  )

  // Pieces that make up hostile and ordinary names, so that random joins meet every rule.
  const Piece = Schema.Union([
    Schema.Literals([
      "/",
      "//",
      "..",
      ".",
      "\\",
      "\0",
      "\x1b",
      " ",
      "\u202e",
      "\ud800",
      ".paradrop",
      "ß",
      "E\u0301",
      "a"
    ]),
    Schema.String.check(Schema.isMaxLength(8))
  ])
  const Text = Schema.Array(Piece).check(Schema.isMaxLength(8))

  it.effect.prop(
    "parses exactly what breaks no rule, and nothing parsed leaves its folder",
    [Text],
    ([pieces]) =>
      Effect.gen(function* () {
        const text = pieces.join("")
        const exit = yield* Effect.exit(FileName.parse(text))
        assert.strictEqual(Exit.isSuccess(exit), FileName.brokenRule(text) === undefined)
        if (Exit.isFailure(exit)) return
        const parts = FileName.segments(exit.value)
        assert.strictEqual(parts.join("/"), text)
        assert.isFalse(parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\\")))
        assert.isTrue(parts.every((part) => utf8Length(part) <= 255))
        assert.isFalse(parts.some((part) => part.toLowerCase() === FileName.stagingFolder))
      }),
    { arbitrary: { runs: 2000 } }
  )

  const PlainPiece = Schema.Literals([
    "a",
    "Z9",
    "_",
    "-",
    ".",
    " ",
    "/",
    "/x",
    ".paradrop",
    "a/".repeat(30),
    "b".repeat(99)
  ])

  it.prop(
    "a name of plain characters is judged by the same rules",
    [Schema.Array(PlainPiece).check(Schema.isMaxLength(12))],
    ([pieces]) => {
      const text = pieces.join("")
      const parts = text.split("/")
      const good = (part: string) =>
        part !== "" && part.length <= 255 && !/[. ]$/.test(part) && part.toLowerCase() !== ".paradrop"
      const isName = text.length <= 1024 && parts.length <= 32 && parts.every(good)
      assert.strictEqual(FileName.isName(text), isName, text)
    },
    { arbitrary: { runs: 5000 } }
  )

  it.prop(
    "folding a part again changes nothing, and case and normalisation do not count",
    [Schema.String],
    ([text]) => {
      const once = FileName.segmentKey(text)
      assert.strictEqual(FileName.segmentKey(once), once)
      assert.strictEqual(FileName.segmentKey(text.normalize("NFD")), once)
      assert.strictEqual(FileName.segmentKey(text.normalize("NFC")), once)
    },
    { arbitrary: { runs: 2000 } }
  )

  it("folding is idempotent and blind to case for every character", () => {
    for (let code = 0; code <= 0x10_ffff; code += 1) {
      if (code >= 0xd800 && code <= 0xdfff) continue
      const character = String.fromCodePoint(code)
      const key = FileName.segmentKey(character)
      if (FileName.segmentKey(key) !== key) assert.fail(`not idempotent: U+${code.toString(16)}`)
      if (FileName.segmentKey(character.toUpperCase()) !== key)
        assert.fail(`upper case differs: U+${code.toString(16)}`)
      if (FileName.segmentKey(character.normalize("NFD")) !== key) assert.fail(`NFD differs: U+${code.toString(16)}`)
    }
  })

  it("joins spellings that no single change of case joins", () => {
    for (const group of [
      ["ß", "ẞ", "ss", "SS"],
      ["σ", "ς", "Σ"],
      ["k", "K", "\u212a"],
      ["é", "E\u0301"],
      ["ﬁ", "FI"]
    ]) {
      assert.strictEqual(new Set(group.map(FileName.segmentKey)).size, 1, group.join(" "))
    }
    assert.notStrictEqual(FileName.segmentKey("e"), FileName.segmentKey("é"))
    assert.notStrictEqual(FileName.segmentKey("ı"), FileName.segmentKey("l"))
  })

  it("tells base name and parts", () => {
    const name = FileName.FileName.make("f/g/h.txt")
    assert.strictEqual(FileName.baseName(name), "h.txt")
    assert.deepStrictEqual(FileName.segments(name), ["f", "g", "h.txt"])
    assert.strictEqual(FileName.baseName(FileName.FileName.make("h")), "h")
  })
})
