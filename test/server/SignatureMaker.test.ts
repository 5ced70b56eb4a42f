import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { deltaBytesMin, versionGrainMilliseconds } from "../../src/domain/limits.ts"
import { FileStore, type OpenFile } from "../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { SignatureKeep } from "../../src/domain/transfer/SignatureKeep.ts"
import { Signatures } from "../../src/domain/transfer/Signatures.ts"
import { SignatureMaker } from "../../src/server/SignatureMaker.ts"
import { quickCrypto } from "../crypto.ts"

describe("a store that breaks while a signature is made", () => {
  it.effect("is asked for the next file all the same", () => {
    const opened: Array<FileName> = []
    const [first, second] = [FileName.make("a"), FileName.make("b")]
    const breaking = Layer.effect(
      FileStore,
      Effect.map(FileStoreMemory.make({}), (store) => ({
        ...store,
        open: (name: FileName) =>
          Effect.suspend(() => (opened.push(name) === 1 ? Effect.die("a fault of the store") : store.open(name)))
      }))
    )
    const signatures = Layer.provide(Signatures.layer, [SignatureKeep.layerMemory, Fixture.secureRandom(1)])
    return Effect.gen(function* () {
      const { committed } = yield* SignatureMaker
      yield* committed(first, deltaBytesMin)
      yield* committed(second, deltaBytesMin)
      yield* TestClock.adjust(3 * versionGrainMilliseconds)
      assert.deepStrictEqual(opened, [first, second])
    }).pipe(Effect.provide(Layer.provide(SignatureMaker.layer, [breaking, signatures])), Effect.provide(quickCrypto))
  })
})

describe("a file that is committed again before its signature is made", () => {
  const made: Array<number> = []
  const counted = Layer.effect(
    Signatures,
    Effect.map(Signatures, (signatures) => ({
      ...signatures,
      of: (file: OpenFile) =>
        Effect.tap(signatures.of(file), () => Effect.map(Clock.currentTimeMillis, (now) => made.push(now)))
    }))
  )
  const signatures = Layer.provide(Signatures.layer, [SignatureKeep.layerMemory, Fixture.secureRandom(1)])
  const world = SignatureMaker.layer.pipe(
    Layer.provideMerge(Layer.provide(counted, signatures)),
    Layer.provideMerge(Layer.effect(FileStore, FileStoreMemory.make({}))),
    Layer.provideMerge(quickCrypto)
  )

  it.effect("is read once, when it has been left alone", () =>
    Effect.gen(function* () {
      const name = FileName.make("a")
      const store = yield* FileStore
      const { committed } = yield* SignatureMaker
      const commit = Effect.fnUntraced(function* (byte: number) {
        const content = new Uint8Array(deltaBytesMin).fill(byte)
        const staging = yield* store.stage({ name, size: content.length, modified: 0 })
        yield* staging.write([content])
        yield* staging.commit({ size: content.length, digest: yield* Fixture.digest(content) })
        yield* committed(name, content.length)
      }, Effect.scoped)
      yield* commit(1)
      yield* TestClock.adjust(versionGrainMilliseconds - 1)
      yield* commit(2)
      yield* TestClock.adjust(3 * versionGrainMilliseconds)
      assert.deepStrictEqual(made, [2 * versionGrainMilliseconds])
      const kept = yield* Effect.scoped(Effect.flatMap(store.open(name), (yield* Signatures).kept))
      assert.strictEqual(kept?.size, deltaBytesMin)
    }).pipe(Effect.provide(world))
  )
})
