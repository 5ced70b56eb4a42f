/**
 * An upload that is interrupted at one of its steps: what it has left may be gone on with until the file is there, and
 * is nothing from then on.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../../src/domain/limits.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { interruptedAt } from "../../steps.ts"

const core = Layer.mergeAll(DigestNode.layer, NodeCrypto.layerSecureRandom)
const inMemory = FileStoreMemory.layer().pipe(Layer.provideMerge(core))
const onDisk = FileStoreDisk.layer().pipe(Layer.provide(MemoryDisk.layer()), Layer.provideMerge(core))

const size = resumeBytesMin
const content = new Uint8Array(size)
const request = { name: FileName.make("a/b"), size, modified: 5, resume: "0".repeat(32) }

const put = Effect.gen(function* () {
  const { stage } = yield* FileStore
  const staging = yield* stage(request)
  yield* staging.write([content])
  yield* staging.commit({ size, digest: digestOf(yield* Digest, [content]) })
}).pipe(Effect.scoped)

const after = Effect.gen(function* () {
  const { stage, stat } = yield* FileStore
  const isThere = yield* Effect.isSuccess(stat(request.name))
  return { isThere, left: yield* Effect.scoped(Effect.map(stage(request), ({ resumed }) => resumed)) }
})

describe("an upload that is interrupted, wherever it is,", () => {
  for (const [title, layer, stride] of [
    ["in memory", inMemory, 1],
    ["on a disk", onDisk, 5]
  ] as const) {
    it.live(`leaves its beginning, or the file, and never both (${title})`, () =>
      Effect.gen(function* () {
        const seen = new Set<string>()
        for (let step = 1, more = true; more; step += stride) {
          const { isThere, left } = yield* Effect.provide(
            Effect.flatMap(interruptedAt(put, step), (interrupted) => {
              more = interrupted
              return after
            }),
            layer
          )
          seen.add(isThere ? `there, and ${left} left` : `${left} left`)
        }
        assert.deepStrictEqual([...seen], ["0 left", `${size} left`, "there, and 0 left"])
      })
    )
  }
})
