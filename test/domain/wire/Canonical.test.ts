import { assert, describe, it } from "@effect/vitest"
import { encode, rfc8949EncodeOptions } from "cborg"
import { Effect, Schema } from "effect"
import * as Canonical from "../../../src/domain/wire/Canonical.ts"
import { decodeCarefully } from "../../../src/domain/wire/Message.ts"

const encoded = (value: unknown) => encode(value, rfc8949EncodeOptions)

/** Has one encoding, which is this; and the general decoder, which loses a byte order mark, reads it as well. */
const check = (bytes: Uint8Array, read: unknown) =>
  Effect.gen(function* () {
    assert.deepStrictEqual([...encoded(read)], [...bytes])
    if (/\ufeff/.test(JSON.stringify(read))) return
    assert.deepStrictEqual(read, yield* decodeCarefully(bytes))
  })

const Leaf = Schema.Union([
  Schema.Int,
  Schema.Literals([0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, -1, -24, -25]),
  Schema.Boolean,
  Schema.Null,
  Schema.Literals(["", "name", "\u00fc", "\ufeffa", "a\ufeff", "\u{1f600}", "x".repeat(300), "__proto__"]),
  Schema.String,
  Schema.Uint8Array
])
const Key = Schema.Union([Schema.Literals(["a", "b", "aa", "name", "size", "\u00fc", "constructor"]), Schema.String])
const Flat = Schema.Union([Leaf, Schema.Array(Leaf), Schema.Record(Key, Leaf)])
const Value = Schema.Union([Flat, Schema.Array(Flat), Schema.Record(Key, Flat)])

const hasLoneSurrogate = (value: unknown): boolean => {
  if (typeof value === "string") return !value.isWellFormed()
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false
  return Object.entries(value).some(([key, one]) => !key.isWellFormed() || hasLoneSurrogate(one))
}

describe("Canonical", () => {
  it.effect.prop(
    "reads what was encoded, but for what no message has",
    [Value],
    ([value]) =>
      Effect.gen(function* () {
        if (hasLoneSurrogate(value)) return
        const bytes = encoded(value)
        const read = Canonical.decode(bytes)
        if (read === undefined) assert.match(JSON.stringify(value), /__proto__|\d{16}/)
        else yield* check(bytes, read)
      }),
    { arbitrary: { runs: 2000 } }
  )

  // Bytes that begin items, so that random strings of them are sometimes one.
  const Byte = Schema.Union([
    Schema.Literals([0, 0x17, 0x18, 0x19, 0x1b, 0x20, 0x40, 0x41, 0x60, 0x61, 0x62, 0x78, 0x80, 0x81, 0x82, 0xa0]),
    Schema.Literals([0xa1, 0xa2, 0xc1, 0xf4, 0xf5, 0xf6, 0xf7, 0xf9, 0xfb, 0xff, 0x9f, 0xbf, 0x7f, 0x63, 0xef, 0xbb]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
  ])

  it.effect.prop(
    "takes nothing that is not deterministic",
    [Schema.Array(Byte).check(Schema.isMaxLength(12))],
    ([all]) =>
      Effect.gen(function* () {
        const bytes = Uint8Array.from(all)
        const read = Canonical.decode(bytes)
        if (read !== undefined) yield* check(bytes, read)
      }),
    { arbitrary: { runs: 20_000 } }
  )

  it.effect("nor a message of which any one byte is another", () =>
    Effect.gen(function* () {
      const entries = [
        { name: "a/b", size: 70_000, modified: 1_700_000_000_000 },
        { name: "\u00fc", size: 0, modified: 5, executable: true }
      ]
      const bytes = encoded({ _tag: "Page", entries })
      assert.deepStrictEqual(Canonical.decode(bytes), { _tag: "Page", entries })
      let taken = 0
      for (const at of bytes.keys()) {
        for (let change = 1; change < 256; change += 1) {
          const other = bytes.slice()
          other[at] = (other[at] ?? 0) ^ change
          const read = Canonical.decode(other)
          if (read === undefined) continue
          taken += 1
          yield* check(other, read)
        }
      }
      assert.isAbove(taken, 1000)
    })
  )

  it("takes no key that does not come behind the one before it", () => {
    const map = (...keys: ReadonlyArray<string>) =>
      Uint8Array.of(0xa0 + keys.length, ...keys.flatMap((key) => [0x61, key.charCodeAt(0), 0]))
    assert.deepStrictEqual(Canonical.decode(map("a", "b", "c")), { a: 0, b: 0, c: 0 })
    for (const keys of [
      ["a", "b", "b"],
      ["a", "c", "b"],
      ["b", "a", "c"]
    ]) {
      assert.strictEqual(Canonical.decode(map(...keys)), undefined)
    }
  })

  it("gives bytes of their own, which stay when the memory they came in is used again", () => {
    const bytes = encoded(Uint8Array.of(1, 2, 3))
    const read = Canonical.decode(bytes)
    bytes.fill(9)
    assert.deepStrictEqual(read, Uint8Array.of(1, 2, 3))
  })

  it("goes no deeper than messages do", () => {
    assert.strictEqual(Canonical.decode(new Uint8Array(60_000).fill(0x81)), undefined)
  })
})
