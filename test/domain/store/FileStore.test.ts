import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scheduler } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestPortable from "../../../src/domain/file/DigestPortable.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { resumeBytesMin, stagedLeftoverMillisecondsMax } from "../../../src/domain/limits.ts"
import type { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { fileStoreContract } from "../../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { runContract } from "./contract.ts"
import { temporaryDisk } from "./temporaryDisk.ts"

runContract("FileStore contract: FileStoreMemory", fileStoreContract, () =>
  FileStoreMemory.layer({ capacityBytes: 10_000_000 }).pipe(Layer.provideMerge(DigestPortable.layer))
)
runContract("FileStore contract: FileStoreDisk over MemoryDisk", fileStoreContract, () =>
  FileStoreDisk.layer().pipe(
    Layer.provide([MemoryDisk.layer({ capacityBytes: 10_000_000 }), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)
runContract("FileStore contract: FileStoreDisk over DiskNode", fileStoreContract, () =>
  FileStoreDisk.layer().pipe(
    Layer.provide([temporaryDisk(), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)
// An index that holds nothing reads folders again each time, and must find the same.
runContract("FileStore contract: FileStoreDisk without a name index or fsync", fileStoreContract, () =>
  FileStoreDisk.layer({ nameIndexEntriesMax: 0, durability: "os" }).pipe(
    Layer.provide([temporaryDisk(), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)

const name = FileName.make("a")

describe("FileStoreMemory, wherever the scheduler lets somebody else go on", () => {
  const content = Fixture.bytes(1, 100)
  const budgets = Array.from({ length: 37 }, (_, index) => index + 3)

  /** How many of the two succeed that are at work at once, at each of the budgets. */
  const succeeding = Effect.fnUntraced(function* <E, R>(
    files: FileStoreMemory.Options["files"],
    work: (store: FileStore["Service"]) => Effect.Effect<unknown, E, R>
  ) {
    return yield* Effect.forEach(budgets, (budget) =>
      Effect.gen(function* () {
        const store = yield* FileStoreMemory.make({ ...(files && { files }) })
        const both = [Effect.exit(work(store)), Effect.exit(work(store))]
        const exits = yield* Effect.provideService(
          Effect.all(both, { concurrency: 2 }),
          Scheduler.MaxOpsBeforeYield,
          budget
        )
        return exits.filter(Exit.isSuccess).length
      })
    )
  })

  it.effect("of two commits that may not replace anything, one succeeds", () =>
    Effect.gen(function* () {
      const digest = digestOf(yield* Digest, [content])
      const succeeded = yield* succeeding(undefined, (store) =>
        Effect.gen(function* () {
          const staging = yield* store.stage({ name, size: content.length, modified: 0, target: "absent" })
          yield* staging.write([content])
          yield* staging.commit({ size: content.length, digest })
        }).pipe(Effect.scoped)
      )
      assert.deepStrictEqual(
        succeeded,
        budgets.map(() => 1)
      )
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("of two removals of one file, and of two renamings, one succeeds", () =>
    Effect.gen(function* () {
      const one = budgets.map(() => 1)
      const files = [{ name, content }]
      assert.deepStrictEqual(yield* succeeding(files, (store) => store.remove({ name })), one)
      const to = FileName.make("b")
      assert.deepStrictEqual(yield* succeeding(files, (store) => store.rename({ name, to, replace: false })), one)
    }).pipe(Effect.provide(DigestNode.layer))
  )
})

describe("FileStoreMemory, when time passes", () => {
  const size = resumeBytesMin + 1
  const keys = ["0".repeat(32), "1".repeat(32), "2".repeat(32)]
  const stage = (store: FileStore["Service"], resume: string) => store.stage({ name, size, modified: 0, resume })
  const leave = (store: FileStore["Service"], resume: string) =>
    Effect.scoped(Effect.flatMap(stage(store, resume), ({ write }) => write([new Uint8Array(resumeBytesMin)])))
  const resumedOf = (store: FileStore["Service"], resume: string) =>
    Effect.map(Effect.scoped(stage(store, resume)), ({ resumed }) => resumed)

  it.effect("keeps what is left for a resume as long as a disk does", () =>
    Effect.gen(function* () {
      const store = yield* FileStoreMemory.make()
      for (const [index, key] of keys.entries()) {
        yield* TestClock.adjust([0, 1, stagedLeftoverMillisecondsMax][index] ?? 0)
        yield* leave(store, key)
      }
      const resumed = yield* Effect.forEach(keys.slice(0, 2), (key) => resumedOf(store, key))
      assert.deepStrictEqual(resumed, [0, resumeBytesMin])
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("keeps as much for a resume as it may, the oldest goes first", () =>
    Effect.gen(function* () {
      const store = yield* FileStoreMemory.make({ stagedLeftoverBytesMax: 2 * resumeBytesMin })
      for (const key of keys) yield* leave(store, key)
      const resumed = yield* Effect.forEach(keys, (key) => resumedOf(store, key))
      assert.deepStrictEqual(resumed, [0, resumeBytesMin, resumeBytesMin])
    }).pipe(Effect.provide(DigestNode.layer))
  )
})
