import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { nameBytesMax } from "../../../src/domain/limits.ts"
import * as Confined from "../../../src/domain/store/Confined.ts"
import { FileStore, listed, type Where } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import type { StoreError } from "../../../src/domain/store/StoreError.ts"
import { fileStoreContract } from "../../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"

const name = (text: string) => FileName.make(text)
const content = Fixture.bytes(1, 10)
const memory = (files: ReadonlyArray<string>) =>
  FileStoreMemory.layer({ files: files.map((file) => ({ name: name(file), content })) })
const confined = (root: string) =>
  Layer.effect(
    FileStore,
    Effect.map(FileStore, (store) => Confined.make(store, name(root)).store)
  )

describe("contract", () => {
  for (const { effect, name: title } of fileStoreContract) {
    it.effect(title, () =>
      Effect.scoped(effect).pipe(
        Effect.provide(Layer.provide(confined("team/ada"), memory(["other/x", "team/x", "team/adas"]))),
        Effect.provide(DigestNode.layer)
      )
    )
  }
})

const within = <E>(
  root: string,
  files: ReadonlyArray<string>,
  body: (view: FileStore["Service"], whole: FileStore["Service"]) => Effect.Effect<void, E, Digest>
) =>
  Effect.gen(function* () {
    const whole = yield* FileStore
    yield* body(Confined.make(whole, name(root)).store, whole)
  }).pipe(Effect.provide(memory(files)), Effect.provide(DigestNode.layer))

const put = Effect.fnUntraced(function* (store: FileStore["Service"], file: FileName) {
  const staging = yield* store.stage({ name: file, size: content.length, modified: 0 })
  yield* staging.write([content])
  return yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
}, Effect.scoped)

describe("what belongs to others", () => {
  // Names that are the same when folded: the store alone would find each under the other's name.
  for (const [root, other] of [
    ["ada", "Ada/x"],
    ["ada", "ADA/x"],
    ["stra\u00dfe", "STRASSE/x"],
    ["\u00e9", "e\u0301/x"]
  ] as const) {
    it.effect(`'${other}' is not there for the root '${root}', whatever is done with it`, () =>
      within(root, [other], (view, whole) =>
        Effect.gen(function* () {
          const x = name("x")
          assert.strictEqual((yield* whole.stat(name(`${root}/x`))).name, name(other))
          const attempts: ReadonlyArray<Effect.Effect<unknown, StoreError>> = [
            view.stat(x),
            Effect.scoped(view.open(x)),
            view.remove({ name: x }),
            view.rename({ name: x, to: name("y"), replace: true })
          ]
          for (const attempt of attempts) {
            assert.strictEqual((yield* Effect.flip(attempt))._tag, "NoSuchFile")
          }
          assert.deepStrictEqual(yield* Stream.runCollect(view.list()), [])
          // That the root is spelt otherwise is for the administrator; its owner learns no name.
          const refusal = yield* Effect.flip(put(view, x))
          assert.strictEqual(refusal._tag, "StoreFailed")
          assert.strictEqual((yield* Stream.runCollect(whole.list())).length, 1)
        })
      )
    )
  }

  it.effect("is not named in a refusal, nor is the root", () =>
    within("team/ada", ["team/ada/f/Name"], (view) =>
      Effect.gen(function* () {
        const refusal = yield* Effect.flip(put(view, name("f/name")))
        assert.include(refusal, { _tag: "NameCollision", name: name("f/name"), existing: "f/Name" })
        const missing = yield* Effect.flip(view.stat(name("x")))
        assert.strictEqual(missing.message, "there is no file 'x'")
      })
    )
  )

  it.effect("is not reached by a name that only begins like the root", () =>
    within("ada", ["ada2/x", "adas", "ada-too/x", "b/ada/x"], (view, store) =>
      Effect.gen(function* () {
        const listsAll = { ...store, list: (where: Where = {}) => listed(store.list(), where) }
        const other = Confined.make(listsAll, name("ada")).store
        for (const { list } of [view, other]) assert.deepStrictEqual(yield* Stream.runCollect(list()), [])
      })
    )
  )
})

describe("a name that is too long with its root", () => {
  const root = "a".repeat(200)
  const long = name(Array.from({ length: 5 }, () => "b".repeat(180)).join("/"))
  it.effect("is not there, and cannot be made", () =>
    within(root, [], (view) =>
      Effect.gen(function* () {
        assert.isAbove(root.length + long.length, nameBytesMax)
        assert.strictEqual((yield* Effect.flip(view.stat(long)))._tag, "NoSuchFile")
        assert.include(yield* Effect.flip(put(view, long)), { _tag: "StoreFailed", code: "ENAMETOOLONG" })
      })
    )
  )
})
