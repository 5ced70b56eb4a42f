/**
 * Local files that are interrupted at each of their steps: nothing is lost of what was left, and nothing else stays.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { LocalFiles, type LocalTree } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalTreeDisk from "../../src/client/LocalTreeDisk.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { interruptedAt } from "../steps.ts"

const core = Layer.mergeAll(DigestNode.layer, NodeCrypto.layerSecureRandom)
const memory = LocalFilesMemory.layer().pipe(Layer.provideMerge(core))

const inMemory = Effect.gen(function* () {
  return yield* (yield* LocalFiles).tree("/r", true)
}).pipe(Effect.provide(memory))

const onDisk = Effect.map(MemoryDisk.make(), ({ disk }) =>
  LocalTreeDisk.make({
    disk,
    pathOf: (name) => name,
    prepare: () => Effect.succeed(Effect.void),
    leadsToNoFile: () => Effect.succeed(false),
    held: new Set(),
    services: (effect) => Effect.provide(effect, core)
  })
)

const size = resumeBytesMin + 1

/** Begins a file, and ends there. */
const begin = (tree: LocalTree, name: string, bytes: number) =>
  Effect.gen(function* () {
    const staging = yield* tree.place(name).stage({ size, modified: 5, resumable: true })
    yield* staging.write([new Uint8Array(bytes)])
  }).pipe(Effect.scoped)

/** How much of it is left for the next. */
const left = (tree: LocalTree, name: string) =>
  Effect.scoped(Effect.map(tree.place(name).leftover, (found) => found?.from))

describe("a tree whose work is interrupted, wherever it is,", () => {
  for (const [title, make] of [
    ["in memory", inMemory],
    ["on a disk", onDisk]
  ] as const) {
    it.live(`has what was left for whoever comes next (${title})`, () =>
      Effect.gen(function* () {
        for (let step = 1, more = true; more; step += 1) {
          const tree = yield* make
          yield* begin(tree, "a", resumeBytesMin)
          more = yield* interruptedAt(left(tree, "a"), step)
          assert.strictEqual(yield* left(tree, "a"), resumeBytesMin, String(step))
        }
      }).pipe(Effect.scoped)
    )
  }

  it.live("leaves nothing beside what it was to replace (in memory)", () =>
    Effect.gen(function* () {
      const files = yield* LocalFiles
      const tree = yield* files.tree("/r", true)
      for (let step = 1, more = true; more; step += 1) {
        more = yield* interruptedAt(begin(tree, "a", 1), step)
        assert.deepStrictEqual(yield* Stream.runCollect(files.walk("/r", () => true)), [], String(step))
      }
    }).pipe(Effect.scoped, Effect.provide(memory))
  )
})
