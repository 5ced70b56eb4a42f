import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { continueWord, parse, patterns, quote, scan, suggest, words } from "../../src/client/ShellLine.ts"
import { printable } from "../../src/domain/file/Printable.ts"

const Word = Schema.String.check(Schema.isMinLength(1))

// Characters that mean something to a shell, much more often than chance would bring them.
const Nasty = Schema.Array(
  Schema.Literals(['"', "'", "\\", " ", "\t", "a", "é", "日", "\u001b", "\u202e", "u{1b}", "\\u{", "}", "\ud800", "#"])
)

describe("words", () => {
  it("puts no backslash before a picture", () => {
    const shown = ["😀 a©.txt", "👍🏽"].map((text) => continueWord(text, undefined))
    assert.deepStrictEqual(shown, ["😀\\ a©.txt", "👍🏽"])
  })

  it.prop("what is quoted comes back, whatever it is", [Schema.Array(Word)], ([all]) => {
    assert.deepStrictEqual(words(all.map(quote).join(" ")), Result.succeed(all))
  })

  it.prop(
    "so do the characters that have a meaning, and no quoted text needs escaping to be shown",
    [Nasty],
    ([parts]) => {
      const word = `x${parts.join("")}`
      assert.deepStrictEqual(words(quote(word)), Result.succeed([word]))
      assert.strictEqual(printable(quote(word)), quote(word))
    }
  )

  it.prop("any begun word can be gone on with in its quotes", [Nasty, Nasty], ([before, after]) => {
    for (const open of ["", '"', "'"]) {
      const line = `${open}x${before.filter((part) => !/["'\\\s]|u\{|\}/.test(part)).join("")}`
      const [word] = scan(line).words
      const rest = continueWord(after.join(""), word?.open)
      if (rest === undefined) continue
      assert.deepStrictEqual(words(`${line}${rest}${open}`), Result.succeed([`${word?.text}${after.join("")}`]))
    }
  })

  it("as people know them", () => {
    assert.deepStrictEqual(
      words(`upload "my file.txt"  b\\ c 'd "e' f""g`),
      Result.succeed(["upload", "my file.txt", "b c", 'd "e', "fg"])
    )
    assert.deepStrictEqual(words(`'a\\b' "\\u{41}\\"" ""`), Result.succeed(["a\\b", 'A"', ""]))
    assert.deepStrictEqual(words(" \t "), Result.succeed([]))
    assert.deepStrictEqual(words(`a "b`), Result.fail("unfinished-quote" as const))
    assert.deepStrictEqual(words("a\\"), Result.fail("unfinished-backslash" as const))
    assert.deepStrictEqual(words("\\u{110000}"), Result.fail("no-such-character" as const))
  })
})

const kinds = ["Empty", "Help", "Exit", "Passwd", "Run", "Cd", "Pwd", "Lcd", "Lpwd", "Lls", "Invalid"]

describe("lines", () => {
  it.prop("any string is a line of some kind", [Schema.String], ([line]) => {
    assert.include(kinds, parse(line)._tag)
  })
  it.prop(
    "so is any mixture of what the parser looks at",
    [Nasty, Schema.Literals(patterns.map(({ name }) => name))],
    ([parts, name]) => {
      assert.include(kinds, parse(`${name} ${parts.join("")}`)._tag)
    }
  )

  const run = (command: object) => ({ _tag: "Run", command })
  const invalid = (reason: string | undefined, suggestion?: string) => ({ _tag: "Invalid", reason, suggestion })
  const cases: ReadonlyArray<readonly [string, object]> = [
    ["", { _tag: "Empty" }],
    ["  # a comment", { _tag: "Empty" }],
    ["help", { _tag: "Help", command: undefined }],
    ["help cd", { _tag: "Help", command: "cd" }],
    ["cd", { _tag: "Cd", to: undefined }],
    ['cd "a b"', { _tag: "Cd", to: "a b" }],
    ["cd a b", invalid("it takes one word; one with spaces stands in quotes")],
    ["cd -- -x", { _tag: "Cd", to: "-x" }],
    ["pwd", { _tag: "Pwd" }],
    ["lcd ..", { _tag: "Lcd", path: ".." }],
    ["lpwd", { _tag: "Lpwd" }],
    ["lls", { _tag: "Lls", path: undefined }],
    ["exit", { _tag: "Exit" }],
    ["exit now", invalid("it stands alone")],
    ["fetch", run({ _tag: "Fetch", pattern: undefined })],
    ["fetch *.txt", run({ _tag: "Fetch", pattern: "*.txt" })],
    ["fetch a b", invalid("fetch takes one pattern")],
    ["upload a 'b c'", run({ _tag: "Upload", files: ["a", "b c"], as: undefined })],
    ["upload --as x/y a", run({ _tag: "Upload", files: ["a"], as: "x/y" })],
    ["upload a --as=", run({ _tag: "Upload", files: ["a"], as: "" })],
    ["upload a b --as c", invalid("--as names one file: give one")],
    ["upload", invalid("upload needs a file")],
    ["upload a --dry-run", invalid("--dry-run speaks of folders: add -r")],
    ["upload -r a --exclude ''", invalid("--include and --exclude take a pattern, and '' is none")],
    ["upload a --as", invalid("--as needs a value")],
    ["upload -- -a --as", run({ _tag: "Upload", files: ["-a", "--as"], as: undefined })],
    ["upload -x", invalid("there is no option '-x' here; a name that starts with '-' goes behind '--'")],
    ["fetch --digest", run({ _tag: "Fetch", pattern: undefined, digests: true })],
    ["fetch --digest=1", invalid("there is no option '--digest=1' here; a name that starts with '-' goes behind '--'")],
    ["verify a 'b c'", run({ _tag: "Verify", name: "a", file: "b c" })],
    ["verify a", invalid("verify needs the server's name and a local file")],
    ["verify a b c", invalid("verify needs the server's name and a local file")],
    ["para a=b --as x=y", run({ _tag: "Para", files: ["a=b"], as: "x=y" })],
    [`para a --expect ${"0a".repeat(32)}`, run({ _tag: "Para", files: ["a"], as: undefined, expect: "0a".repeat(32) })],
    ["para a --expect 0a", invalid("--expect takes a digest, 64 hex digits: 'fetch --digest' shows it")],
    ["para a b --expect 0a", invalid("--expect speaks of one file: give one")],
    ["para a", run({ _tag: "Para", files: ["a"], as: undefined })],
    ["download a b --to d", run({ _tag: "Download", names: ["a", "b"], to: "d" })],
    ["download a --as d", invalid("there is no option '--as' here; a name that starts with '-' goes behind '--'")],
    ["remove a 'b c'", run({ _tag: "Remove", names: ["a", "b c"] })],
    ["remove", invalid("remove needs a name")],
    [`remove a --expect ${"0a".repeat(32)}`, run({ _tag: "Remove", names: ["a"], expect: "0a".repeat(32) })],
    ["remove a b --expect 0a", invalid("--expect speaks of one file: give one")],
    ["remove -r a", invalid("there is no option '-r' here; a name that starts with '-' goes behind '--'")],
    ["rename a 'b c'", run({ _tag: "Rename", name: "a", to: "b c" })],
    ["rename a b --replace", run({ _tag: "Rename", name: "a", to: "b", replace: true })],
    ["rename a", invalid("rename needs the server's name and the new one")],
    ["rename a b c", invalid("rename needs the server's name and the new one")],
    ["rename a b --expect 0a", invalid("--expect takes a digest, 64 hex digits: 'fetch --digest' shows it")],
    ["fetch paradrop://a:b@c", invalid("a password has no place in a URL: leave it out")],
    ...["fetch paradrop://a@c/f", "upload f --as PARADROP://c/f", "rename f paradrop://c/g"].map(
      (line) =>
        [
          line,
          invalid("a URL has its place in a call of its own: the shell is at one server, and takes names alone")
        ] as const
    ),
    ["uplaod a", invalid(undefined, "upload")],
    ["constructor", invalid(undefined)],
    ["__proto__", invalid(undefined)]
  ]
  for (const [line, expected] of cases) {
    it(`'${line}'`, () => assert.deepStrictEqual<object>(parse(line), expected))
  }
})

describe("did you mean", () => {
  for (const [typed, meant] of [
    ["uplaod", "upload"],
    ["UPLOAD", "upload"],
    ["feth", "fetch"],
    ["down", "download"],
    ["pra", "para"],
    ["ls", "fetch"],
    ["rm", "remove"],
    ["mv", "rename"],
    ["renmae", "rename"],
    ["quit", "exit"],
    ["frobnicate", undefined],
    ["x", undefined],
    ["", undefined],
    ["u".repeat(100_000), undefined]
  ] as const) {
    it(`${typed.slice(0, 20)}: ${meant}`, () => assert.strictEqual(suggest(typed), meant))
  }
})
