import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { deltaBytesMin, versionGrainMilliseconds } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
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
