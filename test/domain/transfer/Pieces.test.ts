import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { contentBlockBytes, pieceBytesMin, pieceMilliseconds } from "../../../src/domain/limits.ts"
import * as Pieces from "../../../src/domain/transfer/Pieces.ts"
import { drawer } from "../../draw.ts"
import { join, random } from "./deltas.ts"

describe("pieces of content", () => {
  it("take about a quarter of a second on a way of any rate, within their bounds, also when it changes", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const draw = drawer(seed)
      const pieces = Pieces.make()
      assert.strictEqual(pieces.bytes(), pieceBytesMin)
      for (let change = 0; change < 4; change += 1) {
        const bytesPerMillisecond = draw.upTo(1_000_000) / 10
        const milliseconds = () => pieces.bytes() / bytesPerMillisecond
        for (let sent = 0; sent < 8; sent += 1) {
          pieces.took(pieces.bytes(), milliseconds())
          assert.isTrue(pieces.bytes() >= pieceBytesMin && pieces.bytes() <= contentBlockBytes, `seed ${seed}`)
        }
        if (pieces.bytes() > pieceBytesMin) assert.isAtMost(milliseconds(), 2 * pieceMilliseconds, `seed ${seed}`)
        // Less than a millisecond nobody measures.
        const quick = Math.max(1, milliseconds())
        if (pieces.bytes() < contentBlockBytes) assert.isAtLeast(quick, pieceMilliseconds / 2, `seed ${seed}`)
      }
    }
  })

  it.effect("are all of a block, in order, none of them empty", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 100; seed += 1) {
        const draw = drawer(seed)
        let now = 0
        const sent: Array<Uint8Array> = []
        const send = Pieces.sendIn(
          Pieces.make(),
          () => now,
          (piece) =>
            Effect.sync(() => {
              now += draw.upTo(5_000)
              sent.push(piece)
            })
        )
        const blocks = Array.from({ length: 1 + draw.below(4) }, (_, index) =>
          random(index, 1 + draw.upTo(contentBlockBytes))
        )
        for (const block of blocks) yield* send(block)
        assert.deepStrictEqual(join(...sent), join(...blocks), `seed ${seed}`)
        assert.isTrue(sent.every(({ length }) => length > 0))
      }
    })
  )

  it.effect("no more is sent when one of them fails", () =>
    Effect.gen(function* () {
      let sent = 0
      const send = Pieces.sendIn(
        Pieces.make(),
        () => 0,
        () => Effect.suspend(() => ((sent += 1) === 2 ? Effect.fail("gone") : Effect.void))
      )
      assert.strictEqual(yield* Effect.flip(send(random(1, contentBlockBytes))), "gone")
      assert.strictEqual(sent, 2)
    })
  )
})
