/**
 * Stores that do not keep the contract, and the promises that say so.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { ContentDigest } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import type { FileEntry } from "../../../src/domain/file/FileEntry.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { ContractBroken } from "../../../src/domain/testing/ContractBroken.ts"
import { fileStoreContract } from "../../../src/domain/testing/fileStoreContract.ts"

type Store = FileStore["Service"]

/** Fails as that promise does for a store in memory with something about it broken. */
const breaks = Effect.fnUntraced(function* (promise: string, spoil: (store: Store) => Partial<Store>) {
  const spoilt = Layer.effect(
    FileStore,
    Effect.map(FileStoreMemory.make(), (store) => FileStore.of({ ...store, ...spoil(store) }))
  )
  const { effect } = fileStoreContract.find(({ name }) => name === promise) ?? assert.fail(promise)
  return yield* Effect.flip(Effect.provide(effect, Layer.provideMerge(spoilt, DigestNode.layer)))
})

const lie = (entry: FileEntry): FileEntry => ({ ...entry, digest: ContentDigest.make("00".repeat(32)) })

describe("the contract of FileStore", () => {
  const digest = "a digest that is told of a file is that of its content, wherever it is told"
  const lies: Record<string, (store: Store) => Partial<Store>> = {
    stat: (store) => ({ stat: (name) => Effect.map(store.stat(name), lie) }),
    open: (store) => ({
      open: (name) => Effect.map(store.open(name), (file) => ({ ...file, entry: lie(file.entry) }))
    }),
    list: (store) => ({ list: (where) => Stream.map(store.list(where), lie) }),
    remove: (store) => ({ remove: (request) => Effect.map(store.remove(request), lie) }),
    rename: (store) => ({
      rename: (request) => Effect.map(store.rename(request), (all) => ({ ...all, entry: lie(all.entry) }))
    }),
    "what a rename replaces": (store) => ({
      rename: (request) =>
        Effect.map(store.rename(request), ({ replaced, ...rest }) =>
          replaced === undefined ? rest : { ...rest, replaced: lie(replaced) }
        )
    })
  }
  for (const [where, spoil] of Object.entries(lies)) {
    it.effect(`sees a wrong digest from ${where}`, () =>
      Effect.gen(function* () {
        assert.instanceOf(yield* breaks(digest, spoil), ContractBroken)
      })
    )
  }

  const older = (entry: FileEntry): FileEntry => ({ ...entry, modified: 5 })
  const given = "what is committed is read, statted and listed as it was given"
  const moved = "a rename moves a file with its size and time, between folders, and removes what it leaves empty"
  const times: ReadonlyArray<readonly [where: string, promise: string, spoil: (store: Store) => Partial<Store>]> = [
    ["list", given, (store) => ({ list: (where) => Stream.map(store.list(where), older) })],
    [
      "open",
      given,
      (store) => ({
        open: (name) => Effect.map(store.open(name), (file) => ({ ...file, entry: older(file.entry) }))
      })
    ],
    [
      "rename",
      moved,
      (store) => ({
        rename: (request) => Effect.map(store.rename(request), (all) => ({ ...all, entry: older(all.entry) }))
      })
    ]
  ]
  for (const [where, promise, spoil] of times) {
    it.effect(`sees a wrong time from ${where}`, () =>
      Effect.gen(function* () {
        assert.instanceOf(yield* breaks(promise, spoil), ContractBroken)
      })
    )
  }

  for (const length of [4_096, 65_537]) {
    it.effect(`sees that the last byte of ${length} is lost`, () =>
      Effect.gen(function* () {
        const broken = yield* breaks("content of any length is kept to its last byte", (store) => ({
          open: (name) =>
            Effect.map(store.open(name), (file) => ({
              ...file,
              read: (offset, count) =>
                Effect.map(file.read(offset, count), (bytes) =>
                  file.entry.size === length && offset + bytes.length >= length ? bytes.slice(0, -1) : bytes
                )
            }))
        }))
        assert.include(String(broken), `${length} bytes`)
      })
    )
  }
})
