/** What is made of an open file that changes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { deltaBytesMin } from "../../../src/domain/limits.ts"
import type { OpenFile } from "../../../src/domain/store/FileStore.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import { SignatureKeep } from "../../../src/domain/transfer/SignatureKeep.ts"
import { Signatures } from "../../../src/domain/transfer/Signatures.ts"
import { quickCrypto } from "../../crypto.ts"

const layerWith = (keep: Layer.Layer<SignatureKeep>) =>
  Signatures.layer.pipe(Layer.provide([keep, SecureRandom.layerWebCrypto]), Layer.provide(quickCrypto))

const layer = layerWith(SignatureKeep.layerMemory)

describe("a signature", () => {
  it.effect("of a file too small for a delta is neither looked for nor kept: to read the file again is cheaper", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const note = (what: string) => Effect.sync(() => void asked.push(what))
      const keep = SignatureKeep.of({
        get: (version) => Effect.as(note(`get ${version}`), undefined),
        put: (version) => note(`put ${version}`)
      })
      const shown = (version: string, size: number): OpenFile => ({
        entry: { name: FileName.make("a"), size, modified: 0 },
        version,
        changed: -60_000,
        read: (offset, most) => Effect.succeed(Fixture.bytes(1, size).slice(offset, offset + most)),
        unchanged: Effect.void
      })
      const made = Effect.gen(function* () {
        const { kept, of } = yield* Signatures
        const small = shown("small", deltaBytesMin - 1)
        assert.isUndefined(yield* kept(small))
        assert.strictEqual((yield* of(small)).size, deltaBytesMin - 1)
        assert.strictEqual((yield* of(shown("large", deltaBytesMin))).size, deltaBytesMin)
      })
      yield* made.pipe(Effect.provide(layerWith(Layer.succeed(SignatureKeep, keep))))
      assert.deepStrictEqual(asked, ["get large", "put large"])
    })
  )
})

describe("the blocks of a file that became shorter", () => {
  it.effect("are none: fewer than were asked for would make no sense to who asks", () =>
    Effect.gen(function* () {
      const content = Fixture.bytes(1, 300_000)
      const shown = (length: number): OpenFile => ({
        entry: { name: FileName.make("a"), size: content.length, modified: 0 },
        version: "1",
        changed: 0,
        read: (offset, most) => Effect.succeed(content.slice(offset, Math.min(length, offset + most))),
        unchanged: Effect.void
      })
      const { blocksOf } = yield* Signatures
      const range = { offset: 100_000, length: 150_000 }
      const blocks = yield* blocksOf(shown(content.length), [range])
      assert.strictEqual(
        blocks.reduce((sum, { length }) => sum + length, 0),
        range.length
      )
      const short = [10, 4000, 20_000, 1].map((length, index, all) => ({
        offset: 70_000 + all.slice(0, index).reduce((sum, one) => sum + one, 0),
        length
      }))
      const apart = yield* Effect.forEach(short, (one) => blocksOf(shown(content.length), [one]))
      assert.deepStrictEqual(yield* blocksOf(shown(content.length), short), apart.flat())
      for (const length of [249_999, 100_000, 5]) {
        assert.strictEqual((yield* Effect.flip(blocksOf(shown(length), [range])))._tag, "SourceChanged")
      }
    }).pipe(Effect.provide(layer))
  )
})
