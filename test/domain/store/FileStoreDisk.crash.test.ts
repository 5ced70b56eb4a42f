import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Result } from "effect"
import { SecureRandom } from "effect/crypto"
import { fromUtf8 } from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import { Disk } from "../../../src/domain/store/Disk.ts"
import { rootLockName } from "../../../src/domain/store/DiskStaging.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import { StoreFailed } from "../../../src/domain/store/StoreError.ts"
import { loadFile, saveFile } from "../../../src/domain/testing/fileStoreContract.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

const before = fromUtf8("old ".repeat(100))
const after = [fromUtf8("new ".repeat(300)), fromUtf8("content ".repeat(200)), fromUtf8("end")]
const afterText = after.map((part) => new TextDecoder().decode(part)).join("")
const beforeText = new TextDecoder().decode(before)

/** The store as a process that starts on this disk finds it. */
const onDisk = (disk: Disk["Service"]) =>
  FileStoreDisk.layer().pipe(
    Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )

const readBack = (name: FileName) =>
  loadFile(name).pipe(
    Effect.map((bytes) => new TextDecoder().decode(bytes)),
    Effect.catchTag("NoSuchFile", () => Effect.succeed("absent"))
  )

interface Scenario {
  readonly title: string
  readonly name: FileName
  /** what the name holds before: content or "absent" */
  readonly old: string
}

const scenarios: ReadonlyArray<Scenario> = [
  { title: "replacing a file", name: FileName.make("kept/file"), old: beforeText },
  { title: "a new file in new folders", name: FileName.make("one/two/file"), old: "absent" }
]

const newDisk = Effect.fnUntraced(function* (seed: number) {
  const { control, disk } = yield* MemoryDisk.make({ seed })
  yield* control.plant(["kept", "file"], { kind: "file", content: before })
  return { control, disk }
})

/** Numbers of the operations of an undisturbed save, the store's start left out. */
const operationsOf = Effect.fnUntraced(function* (name: FileName) {
  const { control, disk } = yield* newDisk(1)
  return yield* Effect.gen(function* () {
    const first = (yield* control.operations) + 1
    yield* saveFile(name, after)
    return { first, last: yield* control.operations, journal: yield* control.journal }
  }).pipe(Effect.provide(onDisk(disk)))
})

for (const { name, old, title } of scenarios) {
  describe(`FileStoreDisk on a disk that breaks: ${title}`, () => {
    it.effect("a power cut at any operation leaves the whole old or the whole new file", () =>
      Effect.gen(function* () {
        const { first, last } = yield* operationsOf(name)
        const seen = new Set<string>()
        for (let seed = 1; seed <= 12; seed += 1) {
          for (let cut = first; cut <= last; cut += 1) {
            const { control, disk } = yield* newDisk(seed)
            const exit = yield* Effect.exit(
              Effect.andThen(control.cutAt(cut), saveFile(name, after)).pipe(Effect.provide(onDisk(disk)))
            )
            assert.isTrue(Exit.isFailure(exit))
            yield* control.crash
            const found = yield* Effect.provide(readBack(name), onDisk(disk))
            assert.include([old, afterText], found, `seed ${seed}, cut at ${cut}`)
            seen.add(found)
          }
        }
        // Both outcomes occur, so the cuts fall on both sides of the rename.
        assert.deepStrictEqual(seen, new Set([old, afterText]))
      })
    )

    it.effect("what was committed survives every power cut after it", () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 64; seed += 1) {
          const { control, disk } = yield* newDisk(seed)
          yield* Effect.provide(saveFile(name, after), onDisk(disk))
          yield* control.crash
          assert.strictEqual(yield* Effect.provide(readBack(name), onDisk(disk)), afterText, `seed ${seed}`)
        }
      })
    )

    for (const code of ["ENOSPC", "EDQUOT", "EIO", "EMFILE"]) {
      it.effect(`${code} at any operation changes nothing and leaves nothing staged`, () =>
        Effect.gen(function* () {
          const { first, last } = yield* operationsOf(name)
          for (let nth = first; nth <= last; nth += 1) {
            const { control, disk } = yield* newDisk(nth)
            const exit = yield* Effect.exit(
              Effect.andThen(control.failAt(nth, code), saveFile(name, after)).pipe(Effect.provide(onDisk(disk)))
            )
            const journal = yield* control.journal
            const where = `${code} at ${nth} (${journal[nth - 1]})`
            const renamedAt = journal.indexOf("rename") + 1
            const found = yield* Effect.provide(readBack(name), onDisk(disk))
            const files = yield* control.files
            assert.deepStrictEqual(
              [...files.keys()].filter((path) => path.startsWith(stagingFolder)),
              [],
              where
            )
            assert.strictEqual(yield* control.openFiles, 0, where)
            // Only the fsync of the folder stands behind the rename and can fail the commit: the documented exception.
            const broken = journal[nth - 1] === "syncFolder" && renamedAt > 0 && nth > renamedAt
            assert.strictEqual(found, Exit.isSuccess(exit) || broken ? afterText : old, where)
            // Whatever the code: that nothing was changed is not said of it.
            if (broken)
              assert.deepStrictEqual(exit, Exit.fail(new StoreFailed({ operation: "syncFolder", code })), where)
            // The one thing that a save can do without is knowing what a folder's stamp became.
            if (Exit.isSuccess(exit)) assert.strictEqual(journal[nth - 1], "stat", where)
          }
        })
      )
    }
  })
}

const bundle = [
  { name: FileName.make("kept/file"), content: "new", old: beforeText },
  { name: FileName.make("kept/other"), content: "other", old: "absent" },
  { name: FileName.make("new/folder/file"), content: "third", old: "absent" }
]

/** Commits all of them at once. */
const placeBundle = Effect.gen(function* () {
  const digest = yield* Digest
  const files = bundle.map(({ content, name }) => {
    const parts = [fromUtf8(content)]
    return { name, modified: 1000, parts, digest: digestOf(digest, parts) }
  })
  return yield* SmallFiles.placeAll(yield* FileStore, files, undefined)
})

/** The same; gives those that were said to be there. */
const saveBundle = Effect.map(placeBundle, (outcomes) =>
  bundle.filter((_, index) => outcomes[index]?._tag === "Success")
)

const bundleOperations = Effect.gen(function* () {
  const { control, disk } = yield* newDisk(1)
  return yield* Effect.gen(function* () {
    const first = (yield* control.operations) + 1
    assert.strictEqual((yield* saveBundle).length, bundle.length)
    return { first, last: yield* control.operations }
  }).pipe(Effect.provide(onDisk(disk)))
})

describe("FileStoreDisk on a disk that breaks: many small files", () => {
  it.effect("a power cut at any operation leaves each file old or new, and new those that were said to be there", () =>
    Effect.gen(function* () {
      const { first, last } = yield* bundleOperations
      const seen = new Set<string>()
      for (let seed = 1; seed <= 8; seed += 1) {
        for (let cut = first; cut <= last + 1; cut += 1) {
          const { control, disk } = yield* newDisk(seed)
          const done = yield* Effect.andThen(control.cutAt(cut), saveBundle).pipe(Effect.provide(onDisk(disk)))
          yield* control.crash
          for (const one of bundle) {
            const found = yield* Effect.provide(readBack(one.name), onDisk(disk))
            assert.include(done.includes(one) ? [one.content] : [one.old, one.content], found, `${seed}, cut at ${cut}`)
            seen.add(found)
          }
        }
      }
      assert.deepStrictEqual(seen, new Set([beforeText, "absent", ...bundle.map(({ content }) => content)]))
    })
  )

  it.effect("a file that is there though it was said to have failed stands against other spellings of its name", () =>
    Effect.gen(function* () {
      const save = Effect.fnUntraced(function* (name: string) {
        const parts = [fromUtf8(name)]
        const file = { name: FileName.make(name), modified: 1000, parts, digest: digestOf(yield* Digest, parts) }
        const outcomes = yield* SmallFiles.placeAll(yield* FileStore, [file], undefined)
        return outcomes.map((one) => (Result.isFailure(one) ? one.failure._tag : "placed"))
      })
      const run = Effect.fnUntraced(function* (failing: number | undefined) {
        const { control, disk } = yield* newDisk(1)
        return yield* Effect.gen(function* () {
          yield* save("kept/first")
          if (failing !== undefined) yield* control.failAt(failing, "EIO")
          const second = yield* save("kept/odd")
          const journal = yield* control.journal
          return { second, journal, third: yield* save("kept/ODD") }
        }).pipe(Effect.provide(onDisk(disk)))
      })
      const undisturbed = yield* run(undefined)
      assert.deepStrictEqual(undisturbed.second, ["placed"])
      const broken = yield* run(undisturbed.journal.lastIndexOf("syncFolder") + 1)
      assert.deepStrictEqual([broken.second, broken.third], [["StoreFailed"], ["NameCollision"]])
    })
  )

  for (const code of ["ENOSPC", "EDQUOT", "EIO"]) {
    it.effect(`${code} at any operation is no refusal of a file that has its name all the same`, () =>
      Effect.gen(function* () {
        const { first, last } = yield* bundleOperations
        const seen: Array<string> = []
        for (let nth = first; nth <= last; nth += 1) {
          const { control, disk } = yield* newDisk(nth)
          const outcomes = yield* Effect.andThen(control.failAt(nth, code), placeBundle).pipe(
            Effect.provide(onDisk(disk))
          )
          for (const [index, { content, name }] of bundle.entries()) {
            const outcome = outcomes[index]
            const found = yield* Effect.provide(readBack(name), onDisk(disk))
            if (outcome === undefined || Result.isSuccess(outcome) || found !== content) continue
            seen.push(name)
            assert.deepStrictEqual(outcome.failure, new StoreFailed({ operation: "syncFolder", code }))
          }
        }
        assert.deepStrictEqual(seen, ["kept/file", "kept/other", "new/folder/file"])
      })
    )

    it.effect(`${code} at any operation leaves each file whole, and nothing staged or open`, () =>
      Effect.gen(function* () {
        const { first, last } = yield* bundleOperations
        for (let nth = first; nth <= last; nth += 1) {
          const { control, disk } = yield* newDisk(nth)
          const done = yield* Effect.andThen(control.failAt(nth, code), saveBundle).pipe(Effect.provide(onDisk(disk)))
          const where = `${code} at ${nth} (${(yield* control.journal)[nth - 1]})`
          for (const one of bundle) {
            const found = yield* Effect.provide(readBack(one.name), onDisk(disk))
            assert.include(done.includes(one) ? [one.content] : [one.old, one.content], found, where)
          }
          const staged = [...(yield* control.files).keys()].filter((path) => path.startsWith(stagingFolder))
          assert.deepStrictEqual(staged, [], where)
          assert.strictEqual(yield* control.openFiles, 0, where)
        }
      })
    )
  }
})

describe("FileStoreDisk on a disk that breaks", () => {
  it.effect("a folder that another commit made is made durable too", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 32; seed += 1) {
        const { control, disk } = yield* newDisk(seed)
        // Made by somebody else and never synced.
        yield* disk.makeFolder(["loose"], "shared")
        yield* disk.makeFolder(["loose", "inner"], "shared")
        const name = FileName.make("loose/inner/file")
        yield* Effect.provide(saveFile(name, after), onDisk(disk))
        yield* control.crash
        assert.strictEqual(yield* Effect.provide(readBack(name), onDisk(disk)), afterText)
      }
    })
  )

  it.effect("without fsync a power cut can tear a file: the disk is able to find the fault", () =>
    Effect.gen(function* () {
      const name = FileName.make("kept/file")
      const seen = new Set<boolean>()
      for (let seed = 1; seed <= 64; seed += 1) {
        const { control, disk } = yield* newDisk(seed)
        const careless = FileStoreDisk.layer({ durability: "os" }).pipe(
          Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
          Layer.provideMerge(DigestNode.layer)
        )
        yield* Effect.provide(saveFile(name, after), careless)
        yield* control.crash
        seen.add([beforeText, afterText].includes(yield* Effect.provide(readBack(name), onDisk(disk))))
      }
      assert.isTrue(seen.has(false))
    })
  )

  it.effect("a full disk refuses what does not fit, before it is written, and keeps what stood there", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make({ capacityBytes: 1000 })
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const small = FileName.make("small")
        yield* saveFile(small, [new Uint8Array(600)])
        const operations = yield* control.operations
        const error = yield* Effect.flip(saveFile(FileName.make("big"), [new Uint8Array(401)]))
        assert.strictEqual(error._tag, "NoSpace")
        assert.notInclude((yield* control.journal).slice(operations), "write")
        // What is promised to one staging is not promised again.
        yield* store.stage({ name: FileName.make("a"), size: 300, modified: 0 })
        const second = yield* Effect.flip(store.stage({ name: FileName.make("b"), size: 101, modified: 0 }))
        assert.strictEqual(second._tag, "NoSpace")
        yield* store.stage({ name: FileName.make("c"), size: 100, modified: 0 })
      }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
      yield* Effect.provide(saveFile(FileName.make("later"), [new Uint8Array(400)]), onDisk(disk))
      assert.deepStrictEqual([...(yield* control.files).keys()].toSorted(), ["later", "small"])
    })
  )

  it.effect("small files take no room that is promised to another, and theirs only until they are in place", () =>
    Effect.gen(function* () {
      const { disk } = yield* MemoryDisk.make({ capacityBytes: 1000 })
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        yield* store.stage({ name: FileName.make("a"), size: 600, modified: 0 })
        const put = Effect.fnUntraced(function* (size: number) {
          const parts = [new Uint8Array(size)]
          const file = { name: FileName.make("small"), modified: 0, parts, digest: digestOf(yield* Digest, parts) }
          const [outcome] = yield* SmallFiles.placeAll(store, [file], undefined)
          return outcome !== undefined && Result.isFailure(outcome) ? outcome.failure._tag : "placed"
        })
        assert.strictEqual(yield* put(401), "NoSpace")
        for (let round = 0; round < 5; round += 1) assert.strictEqual(yield* put(100), "placed")
      }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
    })
  )

  it.effect("a mount point is read from and never written to", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* control.plant(["mnt"], { kind: "mount-point" })
      yield* control.plant(["mnt", "there"], { kind: "file", content: before })
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* readBack(FileName.make("mnt/there")), beforeText)
        for (const name of ["mnt/there", "mnt/new", "mnt/f/new"]) {
          const error = yield* Effect.flip(saveFile(FileName.make(name), after))
          assert.strictEqual(error._tag === "NotAFile" ? error.found : error._tag, "mount-point")
        }
      }).pipe(Effect.provide(onDisk(disk)))
    })
  )

  it.effect("leftovers are swept by age, and only from the staging folder", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* control.plant([stagingFolder, "leftover"], { kind: "file", content: before })
      // However old: another server would not find it locked.
      yield* control.plant([stagingFolder, rootLockName], { kind: "file", content: new Uint8Array() })
      yield* control.plant(["file"], { kind: "file", content: before })
      const start = (stagedLeftoverMillisecondsMax: number) =>
        Effect.provide(
          Effect.asVoid(Digest),
          FileStoreDisk.layer({ stagedLeftoverMillisecondsMax }).pipe(
            Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
            Layer.provideMerge(DigestNode.layer)
          )
        )
      yield* start(0)
      const [leftover, lock] = [`${stagingFolder}/leftover`, `${stagingFolder}/${rootLockName}`]
      assert.deepStrictEqual([...(yield* control.files).keys()], [leftover, lock, "file"])
      yield* start(-1)
      assert.deepStrictEqual([...(yield* control.files).keys()], [lock, "file"])
    })
  )
})
