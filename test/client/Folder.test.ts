import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as FolderNode from "../../src/client/FolderNode.ts"
import { folderPieceEntries } from "../../src/domain/limits.ts"

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "paradrop-folder-"))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true }))
)

/** Names in no order, and how often others had their turn while they were read. */
const read = Effect.fnUntraced(function* (count: number) {
  const path = yield* scratch
  const names = Array.from({ length: count }, (_, index) => `${(index * 7_919) % count}.x`)
  for (const name of names) fs.mkdirSync(join(path, name))
  let turns = 0
  const entries = yield* FolderNode.entries(
    path,
    Effect.sync(() => void (turns += 1))
  )
  assert.deepStrictEqual(
    entries.map(({ name }) => name),
    names.toSorted()
  )
  return turns
}, Effect.scoped)

describe("a local folder", () => {
  it.effect("is read at once when it is small, and in order of names", () =>
    Effect.gen(function* () {
      for (const count of [0, 1, folderPieceEntries - 1]) assert.strictEqual(yield* read(count), 0)
    })
  )

  it.effect("lets others have their turn between its pieces, while they are read and while they are put together", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* read(folderPieceEntries), 1 + 1)
      assert.strictEqual(yield* read(3 * folderPieceEntries + 1), 3 + 2 + 1 + 3)
    })
  )

  it.effect("that is none says why", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(FolderNode.entries("/nowhere/at/all", Effect.void))
      assert.strictEqual(error.code, "ENOENT")
    })
  )
})
