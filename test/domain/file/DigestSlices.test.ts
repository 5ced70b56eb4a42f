import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as DigestSlices from "../../../src/domain/file/DigestSlices.ts"
import { digestSliceBytes } from "../../../src/domain/limits.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

// Lengths about the slice, and others.
const Lengths = Schema.Array(Schema.Union([between(0, 3 * digestSliceBytes), between(-2, 2)])).check(
  Schema.isMaxLength(12)
)
const lengthOf = (drawn: number): number => (drawn > 2 ? drawn : digestSliceBytes + drawn)

/** What was passed on, each slice as it was then. */
const recorded = () => {
  const passed: Array<Uint8Array> = []
  return { passed, slices: DigestSlices.make((bytes) => void passed.push(bytes.slice())) }
}

const content = (length: number, from: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (from + index) % 251)

/** Gives parts one after the other, each changed once it was taken. */
const give = (slices: DigestSlices.DigestSlices, lengths: ReadonlyArray<number>): Uint8Array => {
  const all: Array<Uint8Array> = []
  let from = 0
  for (const length of lengths) {
    const part = content(length, from)
    all.push(part.slice())
    slices.update(part)
    part.fill(255)
    from += length
  }
  return Bytes.concat(all)
}

describe("DigestSlices", () => {
  it.prop(
    "what goes on is what was given, whatever the parts and whenever it is flushed",
    [Lengths, Lengths],
    ([a, b]) => {
      const { passed, slices } = recorded()
      const first = give(slices, a.map(lengthOf))
      slices.flush()
      assert.deepStrictEqual(Bytes.concat(passed), first)
      slices.flush()
      const second = give(slices, b.map(lengthOf))
      slices.flush()
      assert.deepStrictEqual(Bytes.concat(passed), Bytes.concat([first, second]))
    }
  )

  it.prop("whole slices go on as they are whole, and less than one is held back", [Lengths], ([drawn]) => {
    const { passed, slices } = recorded()
    // A first part that is shorter goes on at once.
    const lengths = [digestSliceBytes, ...drawn.map(lengthOf)]
    let given = 0
    let at = 0
    for (const length of lengths) {
      slices.update(content(length, given))
      given += length
      const gone = Bytes.lengthOf(passed)
      assert.strictEqual(gone, given - (given % digestSliceBytes))
    }
    for (const slice of passed) {
      assert.strictEqual(at % digestSliceBytes, 0)
      at += slice.length
    }
  })

  it.prop(
    "after less than a slice that went on at once, slices begin where they should again",
    [Lengths],
    ([drawn]) => {
      const { passed, slices } = recorded()
      give(slices, [5, ...drawn.map(lengthOf), 2 * digestSliceBytes])
      let at = 0
      let whole = 0
      for (const { length } of passed) {
        // What completes the first slice may come in pieces; none goes beyond it.
        if (at < digestSliceBytes) assert.isAtMost(at + length, digestSliceBytes)
        else assert.strictEqual(at % digestSliceBytes, 0)
        if (at >= digestSliceBytes) whole += length
        at += length
      }
      assert.isAtLeast(whole, digestSliceBytes)
    }
  )

  it("a file that is one part goes on as it is, in one piece", () => {
    for (const length of [1, 4096, digestSliceBytes - 1, digestSliceBytes, 4 * digestSliceBytes]) {
      const { passed, slices } = recorded()
      give(slices, [length])
      slices.flush()
      assert.deepStrictEqual(
        passed.map((slice) => slice.length),
        [length]
      )
    }
  })

  it("nothing of one content gets into the next", () => {
    const { passed, slices } = recorded()
    const slicesOf = (lengths: ReadonlyArray<number>) => {
      give(slices, [digestSliceBytes + 7])
      slices.reset()
      passed.length = 0
      const next = give(slices, lengths)
      slices.flush()
      assert.deepStrictEqual(Bytes.concat(passed), next)
      return passed.map(({ length }) => length)
    }
    assert.deepStrictEqual(slicesOf([3, digestSliceBytes, 9]), [3, digestSliceBytes - 3, 12])
    assert.deepStrictEqual(slicesOf([digestSliceBytes, digestSliceBytes - 1, 2]), [
      digestSliceBytes,
      digestSliceBytes,
      1
    ])
  })
})
