import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { messageBytesMax } from "../../../src/domain/limits.ts"
import {
  packDigests,
  packPieces,
  packRanges,
  partsOf,
  pieceBytes,
  pieceDigestBytes,
  pieceHeadBytes,
  rangeBytes,
  unpackDigests,
  unpackLists,
  unpackPieces,
  unpackRanges,
  type PackedPiece
} from "../../../src/domain/file/Packed.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const largest = Number.MAX_SAFE_INTEGER

const Ranges = Schema.NonEmptyArray(Schema.Struct({ offset: between(0, 2 ** 52), length: between(1, 2 ** 52 - 1) }))
const Hex = Schema.String.check(Schema.isPattern(/^[0-9a-f]{24}$/))
const Pieces = Schema.Array(Schema.Struct({ length: between(1, 2 ** 44), digest: Hex })).check(Schema.isMaxLength(20))

const laidOut = (pieces: ReadonlyArray<{ readonly length: number; readonly digest: string }>, from: number) => {
  let at = from
  return pieces.map(({ digest, length }): PackedPiece => {
    const offset = at
    at += length
    return { offset, length, digest }
  })
}

const said = <A>(result: Result.Result<A, { readonly reason: string }>): A | string =>
  Result.match(result, { onFailure: ({ reason }) => reason, onSuccess: (value) => value })

const bytesOf = (...numbers: ReadonlyArray<bigint>): Uint8Array => {
  const view = new DataView(new ArrayBuffer(numbers.length * 8))
  numbers.forEach((value, index) => view.setBigUint64(index * 8, value))
  return new Uint8Array(view.buffer)
}

const piece = (length: number): Uint8Array => packPieces([{ offset: 0, length, digest: "0".repeat(24) }])

describe("a range in parts", () => {
  it.prop(
    "is all of its bytes in order, in parts as long as they may be but for the last",
    [between(0, 2 ** 52), between(0, 300), between(1, 40)],
    ([offset, length, lengthMax]) => {
      const parts = [...partsOf({ offset, length }, lengthMax)]
      assert.strictEqual(parts.length, Math.ceil(length / lengthMax))
      let at = offset
      for (const [index, part] of parts.entries()) {
        assert.strictEqual(part.offset, at)
        assert.strictEqual(part.length, index < parts.length - 1 ? lengthMax : offset + length - at)
        at += part.length
      }
      assert.strictEqual(at, offset + length)
    }
  )
})

describe("packed ranges", () => {
  it.prop("come back as they were, 16 bytes each", [Ranges], ([ranges]) => {
    const bytes = packRanges(ranges)
    assert.strictEqual(bytes.length, ranges.length * rangeBytes)
    assert.deepStrictEqual(said(unpackRanges(bytes, largest)), ranges)
    // From the middle of a larger buffer too.
    const around = new Uint8Array(bytes.length + 7)
    around.set(bytes, 3)
    assert.deepStrictEqual(said(unpackRanges(around.subarray(3, 3 + bytes.length), largest)), ranges)
    const end = Math.max(...ranges.map(({ length, offset }) => offset + length))
    assert.deepStrictEqual(said(unpackRanges(bytes, end)), ranges)
    assert.strictEqual(said(unpackRanges(bytes, end - 1)), "beyond-the-end")
    for (let cut = 1; cut < rangeBytes; cut++) {
      assert.strictEqual(said(unpackRanges(bytes.subarray(0, -cut), largest)), "length")
    }
  })

  it("have the layout that the documentation gives", () => {
    assert.deepStrictEqual(packRanges([{ offset: 0x01_0203_0405_0607, length: 9 }]), bytesOf(0x01_0203_0405_0607n, 9n))
    assert.deepStrictEqual(said(unpackRanges(bytesOf(BigInt(largest) - 1n, 1n), largest)), [
      { offset: largest - 1, length: 1 }
    ])
  })

  it("are refused when they are none, empty, or do not fit", () => {
    assert.strictEqual(said(unpackRanges(new Uint8Array(0), 10)), "length")
    assert.strictEqual(said(unpackRanges(bytesOf(0n, 0n), 10)), "empty-range")
    assert.strictEqual(said(unpackRanges(bytesOf(0n, 5n, 3n, 0n), 10)), "empty-range")
    assert.strictEqual(said(unpackRanges(bytesOf(0n, 11n), 10)), "beyond-the-end")
    assert.strictEqual(said(unpackRanges(bytesOf(10n, 1n), 10)), "beyond-the-end")
    assert.strictEqual(said(unpackRanges(bytesOf(0n, 1n), 0)), "beyond-the-end")
    // Numbers that only just do not fit, and such that wrap around when they are added.
    for (const [offset, length] of [
      [0n, 2n ** 53n],
      [2n ** 53n, 1n],
      [2n ** 53n - 1n, 1n],
      [2n ** 63n, 2n ** 63n],
      [2n ** 64n - 1n, 2n],
      [2n ** 64n - 1n, 2n ** 64n - 1n]
    ] as const) {
      assert.strictEqual(said(unpackRanges(bytesOf(offset, length), largest)), "beyond-the-end")
    }
  })

  it.prop(
    "of any bytes are within the size or refused",
    [Schema.Uint8Array.check(Schema.isMaxLength(64)), between(0, largest)],
    ([bytes, size]) => {
      const ranges = said(unpackRanges(bytes, size))
      if (typeof ranges === "string") return
      for (const { length, offset } of ranges) assert.isTrue(length > 0 && offset >= 0 && offset + length <= size)
      assert.deepStrictEqual(packRanges(ranges), bytes)
    }
  )
})

describe("packed pieces", () => {
  it.prop("come back as they were, 18 bytes each", [Pieces, between(0, 2 ** 52)], ([given, from]) => {
    const pieces = laidOut(given, from)
    const length = given.reduce((total, one) => total + one.length, 0)
    const bytes = packPieces(pieces)
    assert.strictEqual(bytes.length, pieces.length * pieceBytes)
    assert.deepStrictEqual(said(unpackPieces(bytes, { offset: from, length })), pieces)
    // One byte more or less is not what they cover.
    assert.strictEqual(said(unpackPieces(bytes, { offset: from, length: length + 1 })), "length")
    if (length === 0) return
    assert.strictEqual(said(unpackPieces(bytes, { offset: from, length: length - 1 })), "beyond-the-end")
    for (let cut = 1; cut < pieceBytes; cut++) {
      assert.strictEqual(said(unpackPieces(bytes.subarray(0, -cut), { offset: from, length })), "length")
    }
    assert.isString(said(unpackPieces(bytes.subarray(0, -pieceBytes), { offset: from, length })))
  })

  it("have the layout that the documentation gives", () => {
    const digest = "000102030405060708090a0b"
    assert.deepStrictEqual(
      [...packPieces([{ offset: 0, length: 0x0102_0304_0506, digest }])],
      [1, 2, 3, 4, 5, 6, ...Array.from({ length: 12 }, (_, index) => index)]
    )
  })

  it("are refused when one is empty or they go beyond", () => {
    const range = { offset: 5, length: 10 }
    assert.strictEqual(said(unpackPieces(new Uint8Array(0), range)), "length")
    assert.deepStrictEqual(said(unpackPieces(new Uint8Array(0), { offset: 5, length: 0 })), [])
    assert.strictEqual(said(unpackPieces(piece(0), range)), "empty-range")
    assert.strictEqual(said(unpackPieces(piece(11), range)), "beyond-the-end")
    assert.strictEqual(said(unpackPieces(piece(2 ** 48 - 1), range)), "beyond-the-end")
    assert.strictEqual(said(unpackPieces(piece(2 ** 48 - 1), { offset: largest - 10, length: 10 })), "beyond-the-end")
  })

  it("cost no more than their bytes: the first that does not fit ends the work", () => {
    // Refused at the first of many: what follows is not even well-formed, and nobody looked.
    const bytes = new Uint8Array(Math.floor(messageBytesMax / pieceBytes) * pieceBytes)
    let looked = 0
    const watched = new Proxy(bytes, {
      get: (target, key) => {
        if (key === "subarray") looked += 1
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === "function" ? value.bind(target) : value
      }
    })
    assert.strictEqual(said(unpackPieces(watched, { offset: 0, length: largest })), "empty-range")
    assert.strictEqual(looked, 0)
  })

  it.prop(
    "of any bytes cover their range or are refused",
    [Schema.Uint8Array.check(Schema.isMaxLength(88)), between(0, 2 ** 50), between(0, 2 ** 50)],
    ([bytes, offset, length]) => {
      const pieces = said(unpackPieces(bytes, { offset, length }))
      if (typeof pieces === "string") return
      assert.strictEqual(
        pieces.reduce((total, one) => total + one.length, 0),
        length
      )
      assert.deepStrictEqual(packPieces(pieces), bytes)
    }
  )
})

describe("packed pieces of several ranges", () => {
  const Lists = Schema.Array(Pieces.check(Schema.isMinLength(1))).check(Schema.isMaxLength(5))
  const lengthOf = (pieces: ReadonlyArray<{ readonly length: number }>) =>
    pieces.reduce((total, one) => total + one.length, 0)

  it.prop("come back list by list", [Lists, between(0, 2 ** 50)], ([given, from]) => {
    const lists = given.map((list) => laidOut(list, from))
    const ranges = given.map((list) => ({ offset: from, length: lengthOf(list) }))
    const bytes = packPieces(lists.flat())
    assert.deepStrictEqual(said(unpackLists(bytes, ranges)), lists)
    if (lists.length === 0) return
    // One piece more or less, and half of one.
    assert.strictEqual(
      said(unpackLists(packPieces([...lists.flat(), ...laidOut([{ length: 1, digest: "0".repeat(24) }], 0)]), ranges)),
      "length"
    )
    assert.strictEqual(said(unpackLists(bytes.subarray(0, -pieceBytes), ranges)), "length")
    assert.strictEqual(said(unpackLists(bytes.subarray(0, -1), ranges)), "length")
  })

  it("are refused when a piece reaches into the next range, or is empty", () => {
    const ranges = [
      { offset: 0, length: 10 },
      { offset: 50, length: 10 }
    ]
    assert.strictEqual(said(unpackLists(Buffer.concat([piece(11), piece(9)]), ranges)), "beyond-the-end")
    assert.strictEqual(said(unpackLists(Buffer.concat([piece(10), piece(0), piece(10)]), ranges)), "empty-range")
    assert.strictEqual(said(unpackLists(new Uint8Array(0), ranges)), "length")
  })
})

describe("packed digests and heads", () => {
  const Digests = Schema.Array(Hex).check(Schema.isMaxLength(20))
  it.prop(
    "come back as they were, when there are as many as there must be",
    [Digests, between(0, 20)],
    ([digests, other]) => {
      const heads = digests.map((digest) => digest.slice(0, 8))
      const [all, short] = [packDigests(digests), packDigests(heads)]
      assert.deepStrictEqual(
        [all.length, short.length],
        [digests.length * pieceDigestBytes, digests.length * pieceHeadBytes]
      )
      assert.deepStrictEqual(said(unpackDigests(all, digests.length)), digests)
      assert.deepStrictEqual(said(unpackDigests(short, digests.length, pieceHeadBytes)), heads)
      if (other === digests.length) return
      assert.strictEqual(said(unpackDigests(all, other)), "length")
      assert.strictEqual(said(unpackDigests(short, other, pieceHeadBytes)), "length")
    }
  )
})
