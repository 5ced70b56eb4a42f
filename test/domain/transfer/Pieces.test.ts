import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { contentBlockBytes, pieceBytesMin, pieceMilliseconds, systemBytesMax } from "../../../src/domain/limits.ts"
import * as Pieces from "../../../src/domain/transfer/Pieces.ts"
import { drawer } from "../../draw.ts"
import { join, random } from "./deltas.ts"

describe("pieces of content", () => {
  it("take about half a second on a way of any rate, within their bounds, also when it changes", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const draw = drawer(seed)
      const pieces = Pieces.bySending()
      assert.strictEqual(pieces.bytes(), pieceBytesMin)
      for (let change = 0; change < 4; change += 1) {
        const bytesPerMillisecond = draw.upTo(1_000_000) / 10
        const milliseconds = () => pieces.bytes() / bytesPerMillisecond
        // Five times as much as is needed to know the way: a second, or what no system holds.
        for (let [sent, took, times] = [0, 0, 0]; times < 5;) {
          sent += pieces.bytes()
          took += milliseconds()
          pieces.took(pieces.bytes(), milliseconds())
          assert.isTrue(pieces.bytes() >= pieceBytesMin && pieces.bytes() <= contentBlockBytes, `seed ${seed}`)
          if (took < 2 * pieceMilliseconds && sent < systemBytesMax) continue
          times += 1
          sent = 0
          took = 0
        }
        if (pieces.bytes() > pieceBytesMin) assert.isAtMost(milliseconds(), 2 * pieceMilliseconds, `seed ${seed}`)
        // Less than a millisecond nobody measures.
        const quick = Math.max(1, milliseconds())
        if (pieces.bytes() < contentBlockBytes) assert.isAtLeast(quick, pieceMilliseconds / 2, `seed ${seed}`)
      }
    }
  })

  it("are known within some answers, where what has arrived is told", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const draw = drawer(seed)
      const pieces = Pieces.byArrival()
      assert.strictEqual(pieces.bytes(), contentBlockBytes)
      for (let change = 0; change < 4; change += 1) {
        const bytesPerMillisecond = draw.upTo(1_000_000) / 10
        const milliseconds = () => pieces.bytes() / bytesPerMillisecond
        for (let answers = 0; answers < 200; answers += 1) {
          pieces.took(pieces.bytes(), milliseconds())
          assert.isTrue(pieces.bytes() >= pieceBytesMin && pieces.bytes() <= contentBlockBytes, `seed ${seed}`)
        }
        const settled = pieces.bytes()
        if (settled > pieceBytesMin) assert.isAtMost(milliseconds(), 2 * pieceMilliseconds, `seed ${seed}`)
        if (settled < contentBlockBytes) {
          assert.isAtLeast(Math.max(1, milliseconds()), pieceMilliseconds / 2, `seed ${seed}`)
        }
      }
    }
  })

  it("stay small where the system takes much at once and lets wait for long", () => {
    for (let seed = 0; seed < 100; seed += 1) {
      const draw = drawer(seed)
      const pieces = Pieces.bySending()
      const [bytesPerMillisecond, holds] = [10 + draw.upTo(500), 200_000 + draw.upTo(4_000_000)]
      // A writer is woken once a third is free.
      let [now, held, sent] = [0, 0, 0]
      const drained = (milliseconds: number): void => {
        now += milliseconds
        held = Math.max(0, held - milliseconds * bytesPerMillisecond)
      }
      while (sent < holds + 60_000 * bytesPerMillisecond) {
        const bytes = pieces.bytes()
        const before = now
        // At first a piece is half of what has gone before; then about what takes half a second.
        const most = Math.max(pieceBytesMin, sent < 2 * holds ? sent / 2 : 3 * pieceMilliseconds * bytesPerMillisecond)
        assert.isAtMost(bytes, most, `seed ${seed}, behind ${sent} bytes`)
        if (held + bytes > holds) drained((held - Math.min(holds - bytes, (2 * holds) / 3)) / bytesPerMillisecond)
        held += bytes
        sent += bytes
        drained(0.1)
        pieces.took(bytes, now - before)
      }
    }
  })

  it("a quick way is known by what no system holds: what little was sent, or rarely, makes them no smaller", () => {
    const pieces = Pieces.bySending()
    for (let sent = 0; sent < systemBytesMax; sent += pieces.bytes()) pieces.took(pieces.bytes(), 0.2)
    assert.strictEqual(pieces.bytes(), contentBlockBytes)
    for (let times = 0; times < 1000; times += 1) {
      pieces.took(times % 2 === 0 ? 10 : pieces.bytes(), 0.2)
      assert.strictEqual(pieces.bytes(), contentBlockBytes)
    }
  })

  it.effect("are all of a block, in order, none of them empty", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 100; seed += 1) {
        const draw = drawer(seed)
        let now = 0
        const sent: Array<Uint8Array> = []
        const send = Pieces.sendIn(
          Pieces.bySending(),
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
        Pieces.bySending(),
        () => 0,
        () => Effect.suspend(() => ((sent += 1) === 2 ? Effect.fail("gone") : Effect.void))
      )
      assert.strictEqual(yield* Effect.flip(send(random(1, contentBlockBytes))), "gone")
      assert.strictEqual(sent, 2)
    })
  )
})
