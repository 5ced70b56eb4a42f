/**
 * The content of a bundle on its way: the same bytes however they come, in no more memory than was promised.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import { frameHeaderBytes, gatheredBlockBytes, givenBackBytesMin } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as Gathering from "../../src/server/Gathering.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A piece of a record: so many bytes of a buffer that has others before and behind. */
const Piece = Schema.Struct({
  length: Schema.Union([between(0, 50), between(givenBackBytesMin - 2, 3 * gatheredBlockBytes)]),
  before: between(0, 20),
  behind: Schema.Union([between(0, 20), between(0, gatheredBlockBytes)])
})
const Pieces = Schema.Array(Piece).check(Schema.isMaxLength(12))

const made = (pieces: typeof Pieces.Type) =>
  pieces.map(({ before, behind, length }, index) =>
    Fixture.bytes(index + 1, before + length + behind).subarray(before, before + length)
  )

const buffersOf = (parts: Bytes.Parts) => [...new Set(parts.map(({ buffer }) => buffer))]

describe("the content of a bundle", () => {
  it.prop("is what has come, and takes at most twice as much and a block", [Pieces], ([pieces]) => {
    const parts = made(pieces)
    const total = Bytes.lengthOf(parts)
    const content = Gathering.make(total, false)
    for (const part of parts) content.keep([part])
    const whole = (some: Bytes.Parts) => Bytes.concat([...some, new Uint8Array(0)])
    assert.isTrue(Bytes.equals(whole(content.parts()), whole(parts)))
    const taken = buffersOf(content.parts()).reduce((sum, { byteLength }) => sum + byteLength, 0)
    assert.isAtMost(taken, 2 * total + gatheredBlockBytes)
  })

  it("that comes byte by byte is held in few pieces", () => {
    const whole = Fixture.bytes(1, 3 * gatheredBlockBytes)
    const content = Gathering.make(whole.length, false)
    for (let at = 0; at < whole.length; at += 1) content.keep([whole.subarray(at, at + 1)])
    assert.lengthOf(content.parts(), 3)
    assert.isTrue(Bytes.equals(Bytes.concat(content.parts()), whole))
  })

  it("is held in few pieces and little memory also where each byte, or a third of each buffer, comes by itself", () => {
    const total = 3 * gatheredBlockBytes
    const bytewise = Gathering.make(total, false)
    for (let at = 0; at < total; at += 1) bytewise.keep([Uint8Array.of(at)])
    assert.lengthOf(bytewise.parts(), 3)
    const thirds = Gathering.make(12 * givenBackBytesMin, false)
    for (let at = 0; at < 12; at += 1)
      thirds.keep([new Uint8Array(3 * givenBackBytesMin).subarray(givenBackBytesMin, 2 * givenBackBytesMin)])
    const taken = buffersOf(thirds.parts()).reduce((sum, { byteLength }) => sum + byteLength, 0)
    assert.isAtMost(taken, 12 * givenBackBytesMin + gatheredBlockBytes)
  })

  it("that is more than was said is held all the same", () => {
    const whole = Fixture.bytes(1, 100)
    const content = Gathering.make(3, false)
    for (const [from, to] of [
      [0, 2],
      [2, 10],
      [10, 11],
      [11, 100]
    ] as const) {
      content.keep([whole.subarray(from, to)])
    }
    assert.deepStrictEqual(Bytes.concat(content.parts()), whole)
    assert.lengthOf(content.parts(), 3)
  })

  it("gives memory back that is its own, and no other", () => {
    const left = [true, false].map((ours) => {
      const large = Fixture.bytes(1, frameHeaderBytes + gatheredBlockBytes)
      // Something else is in the same buffer.
      const shared = Fixture.bytes(2, 100 + gatheredBlockBytes)
      const content = Gathering.make(2 * gatheredBlockBytes, ours)
      content.keep([large.subarray(frameHeaderBytes), shared.subarray(100)])
      content.giveBack()
      return [large.buffer.byteLength, shared.buffer.byteLength]
    })
    const [shared, all] = [100 + gatheredBlockBytes, frameHeaderBytes + gatheredBlockBytes]
    assert.deepStrictEqual(left, [
      [0, shared],
      [all, shared]
    ])
  })
})
