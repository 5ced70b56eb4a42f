import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { DiskPath } from "../../../src/domain/store/Disk.ts"
import * as NameIndex from "../../../src/domain/store/NameIndex.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

/** An index of at most four, and whether a question about a folder makes it read that folder. */
const indexed = Effect.gen(function* () {
  const { control, disk } = yield* MemoryDisk.make()
  const index = NameIndex.make(disk, 4)
  const reads = Effect.fnUntraced(function* (folder: DiskPath) {
    const before = (yield* control.journal).length
    yield* index.find(folder, "x")
    return (yield* control.journal).slice(before).includes("list")
  })
  return { disk, reads }
})

describe("what the index keeps", () => {
  it.effect("of folders without a name is bounded too: those that were used last", () =>
    Effect.gen(function* () {
      const { disk, reads } = yield* indexed
      const folders = Array.from({ length: 6 }, (_, number) => [`f${number}`])
      for (const folder of folders) {
        yield* disk.makeFolder(folder, "shared")
        assert.isTrue(yield* reads(folder))
      }
      const [first, , ...last] = folders
      for (const folder of last) assert.isFalse(yield* reads(folder))
      assert.isTrue(yield* reads(first ?? []))
    })
  )

  it.effect("of a folder of more names than it may keep is nothing", () =>
    Effect.gen(function* () {
      const { disk, reads } = yield* indexed
      yield* disk.makeFolder(["f"], "shared")
      for (const name of ["a", "b", "c"]) yield* disk.makeFolder(["f", name], "shared")
      assert.deepStrictEqual([yield* reads(["f"]), yield* reads(["f"])], [true, false])
      yield* disk.makeFolder(["f", "d"], "shared")
      assert.deepStrictEqual([yield* reads(["f"]), yield* reads(["f"])], [true, true])
    })
  )

  it.effect("is not touched by a change that is only described, as its folder is not yet held", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      const index = NameIndex.make(disk, 4)
      const names = (key: string) => Effect.map(index.find([], key), ({ entries }) => entries.map(({ name }) => name))
      assert.deepStrictEqual(yield* names("a"), [])
      const restamped = index.addedAll([], [])
      yield* disk.makeFolder(["a"], "shared")
      yield* index.added([], { name: "a", kind: "folder" })
      // Had it looked before, what came in between would now be missing from what is taken for whole.
      yield* restamped
      const before = (yield* control.journal).length
      assert.deepStrictEqual(yield* names("a"), ["a"])
      assert.notInclude((yield* control.journal).slice(before), "list")
    })
  )

  it.effect("is told as it is spelt, whether it is spelt like its key or not", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      const index = NameIndex.make(disk, 4)
      yield* disk.makeFolder(["plain"], "shared")
      yield* disk.makeFolder(["Mixed"], "shared")
      const known = (key: string) => Effect.map(index.find([], key), ({ entries }) => entries)
      yield* known("x")
      const before = (yield* control.journal).length
      assert.deepStrictEqual(yield* known("plain"), [{ name: "plain", kind: "folder" }])
      assert.deepStrictEqual(yield* known("mixed"), [{ name: "Mixed", kind: "folder" }])
      yield* index.added([], { name: "PLAIN", kind: "file" })
      const both = [
        { name: "plain", kind: "folder" },
        { name: "PLAIN", kind: "file" }
      ] as const
      assert.deepStrictEqual(yield* known("plain"), both)
      yield* index.removed([], "PLAIN")
      assert.deepStrictEqual(yield* known("plain"), [{ name: "plain", kind: "folder" }])
      yield* index.removed([], "plain")
      assert.deepStrictEqual(yield* known("plain"), [])
      assert.notInclude((yield* control.journal).slice(before), "list")
    })
  )
})
