import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Layer, Result, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { fromUtf8 } from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import { nameBytesMax, renameIntentBytesMax, stagedLeftoverMillisecondsMax } from "../../../src/domain/limits.ts"
import * as Confined from "../../../src/domain/store/Confined.ts"
import { Disk, DiskError, type DiskPath } from "../../../src/domain/store/Disk.ts"
import { FileStore, type Where } from "../../../src/domain/store/FileStore.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as RenameIntent from "../../../src/domain/store/RenameIntent.ts"
import { NoAccess, NoSpace, NoSuchFile, NotAFile, StoreFailed } from "../../../src/domain/store/StoreError.ts"
import { listNames, loadFile, saveFile } from "../../../src/domain/testing/fileStoreContract.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

const content = "the content ".repeat(50)
const other = "what stood there"

/** The store as a process that starts on this disk finds it. */
const onDisk = (disk: Disk["Service"]) =>
  FileStoreDisk.layer().pipe(
    Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )

const file = (text: string): MemoryDisk.Planted => ({ kind: "file", content: fromUtf8(text) })

const newDisk = Effect.fnUntraced(function* (options: MemoryDisk.Options, taken: ReadonlyArray<string>) {
  const { control, disk } = yield* MemoryDisk.make(options)
  yield* control.plant(["from", "a"], file(content))
  yield* control.plant(["kept", "b"], file("kept"))
  for (const name of taken) yield* control.plant(name.split("/"), file(other))
  return { control, disk }
})

/** What a listing says that it leaves out. */
const leavesOut = Effect.fnUntraced(function* (store: FileStore["Service"], where: Where = {}) {
  const told: Array<string> = []
  const onUnlisted = (name: string) => Effect.sync(() => void told.push(name))
  yield* Stream.runDrain(store.list({ ...where, onUnlisted }))
  return told.toSorted()
})

const text = (name: string) =>
  loadFile(FileName.make(name)).pipe(
    Effect.map((bytes) => new TextDecoder().decode(bytes)),
    Effect.catchTag("NoSuchFile", () => Effect.succeed("absent"))
  )

interface Change {
  readonly title: string
  readonly to: string | undefined
  readonly replace: boolean
}

const changes: ReadonlyArray<Change> = [
  { title: "removing", to: undefined, replace: false },
  { title: "renaming in a folder", to: "from/c", replace: false },
  { title: "spelling a name anew", to: "from/A", replace: false },
  { title: "renaming into new folders", to: "new/folder/c", replace: false },
  { title: "replacing another file", to: "kept/c", replace: true }
]

const perform = ({ replace, to }: Change) =>
  Effect.flatMap(FileStore, (store) => {
    const name = FileName.make("from/a")
    return to === undefined
      ? Effect.asVoid(store.remove({ name }))
      : Effect.asVoid(store.rename({ name, to: FileName.make(to), replace }))
  })

const takenBy = ({ replace, to }: Change) => (replace && to !== undefined ? [to] : [])

/** Numbers of the operations of an undisturbed change, the store's start left out. */
const operationsOf = Effect.fnUntraced(function* (change: Change) {
  const { control, disk } = yield* newDisk({}, takenBy(change))
  return yield* Effect.gen(function* () {
    const first = (yield* control.operations) + 1
    yield* perform(change)
    return { first, last: yield* control.operations }
  }).pipe(Effect.provide(onDisk(disk)))
})

/** What stands under the old and the new name. */
const standing = ({ to }: Change) =>
  // The old name of a file that is spelt anew would find the new one.
  Effect.gen(function* () {
    const names = yield* listNames
    const at = (name: string | undefined) =>
      name !== undefined && names.includes(name) ? text(name) : Effect.succeed("absent")
    return [yield* at("from/a"), yield* at(to), yield* text("kept/b")]
  })

const legal = (change: Change): ReadonlyArray<ReadonlyArray<string>> => {
  if (change.to === undefined)
    return [
      [content, "absent"],
      ["absent", "absent"]
    ]
  return [
    [content, change.replace ? other : "absent"],
    ["absent", content]
  ]
}

for (const change of changes) {
  describe(`FileStoreDisk on a disk that breaks: ${change.title}`, () => {
    it.effect(
      "a power cut at any operation leaves the old state or the new one, and nothing staged; again finishes it",
      () =>
        Effect.gen(function* () {
          const { first, last } = yield* operationsOf(change)
          const seen = new Set<string>()
          for (let seed = 1; seed <= 12; seed += 1) {
            for (let cut = first; cut <= last; cut += 1) {
              const where = `seed ${seed}, cut at ${cut}`
              const { control, disk } = yield* newDisk({ seed }, takenBy(change))
              yield* Effect.exit(Effect.andThen(control.cutAt(cut), perform(change)).pipe(Effect.provide(onDisk(disk))))
              yield* control.crash
              const [from, to, kept] = yield* Effect.provide(standing(change), onDisk(disk))
              assert.strictEqual(kept, "kept", where)
              assert.isTrue(
                legal(change).some(([a, b]) => a === from && b === to),
                `${where}: ${from} and ${to}`
              )
              seen.add(`${from === content} ${to === content}`)
              // A second link in the staging folder is what replacing leaves there, until it is too old.
              const staged = [...(yield* control.files).keys()].filter((path) =>
                path.startsWith(`${stagingFolder}/renaming-`)
              )
              assert.deepStrictEqual(staged, [], where)
              yield* Effect.ignore(Effect.provide(perform(change), onDisk(disk)))
              const after = yield* Effect.provide(standing(change), onDisk(disk))
              assert.deepStrictEqual(after, ["absent", change.to === undefined ? "absent" : content, "kept"], where)
            }
          }
          const ends = change.to === undefined ? ["false false", "true false"] : ["false true", "true false"]
          assert.deepStrictEqual([...seen].toSorted(), ends)
        })
    )

    it.effect("what was done survives every power cut after it", () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 64; seed += 1) {
          const { control, disk } = yield* newDisk({ seed }, takenBy(change))
          yield* Effect.provide(perform(change), onDisk(disk))
          yield* control.crash
          const expected = ["absent", change.to === undefined ? "absent" : content, "kept"]
          assert.deepStrictEqual(yield* Effect.provide(standing(change), onDisk(disk)), expected, `seed ${seed}`)
        }
      })
    )

    for (const code of ["EIO", "ENOSPC"]) {
      it.effect(`${code} at any operation loses nothing and leaves nothing staged or open`, () =>
        Effect.gen(function* () {
          const { first, last } = yield* operationsOf(change)
          for (let nth = first; nth <= last; nth += 1) {
            const { control, disk } = yield* newDisk({ seed: nth }, takenBy(change))
            const exit = yield* Effect.exit(
              Effect.andThen(control.failAt(nth, code), perform(change)).pipe(Effect.provide(onDisk(disk)))
            )
            const where = `${code} at ${nth} (${(yield* control.journal)[nth - 1]})`
            // Also before a start finishes it: what the old name takes until then would stay for good. What has
            // replaced another file cannot go back before it is durable.
            const held = yield* control.files
            const twice = held.has("from/a") && new TextDecoder().decode(held.get(change.to ?? "")) === content
            assert.isFalse(twice && !(change.replace && where.includes("syncFolder")), where)
            const [from, to] = yield* Effect.provide(standing(change), onDisk(disk))
            assert.isTrue(
              legal(change).some(([a, b]) => a === from && b === to),
              `${where}: ${from} and ${to}`
            )
            if (Exit.isSuccess(exit)) assert.strictEqual(from, "absent", where)
            const staged = [...(yield* control.files).keys()].filter((path) => path.startsWith(stagingFolder))
            assert.deepStrictEqual(staged, [], where)
            assert.strictEqual(yield* control.openFiles, 0, where)
          }
        })
      )
    }

    it.effect("a file system without links does it too, and it survives every power cut after it", () =>
      Effect.gen(function* () {
        const expected = ["absent", change.to === undefined ? "absent" : content, "kept"]
        for (let seed = 1; seed <= 64; seed += 1) {
          const { control, disk } = yield* newDisk({ links: false, seed }, takenBy(change))
          yield* Effect.provide(perform(change), onDisk(disk))
          // A store that starts makes the names of the root durable: half of them are cut before anybody has looked.
          if (seed % 2 === 0) assert.deepStrictEqual(yield* Effect.provide(standing(change), onDisk(disk)), expected)
          // What is removed is the file, or what was written down about its rename.
          assert.strictEqual((yield* control.journal).filter((operation) => operation === "remove").length, 1)
          assert.strictEqual((yield* control.journal).includes("placeAll"), change.to !== undefined)
          yield* control.crash
          assert.deepStrictEqual(yield* Effect.provide(standing(change), onDisk(disk)), expected, `seed ${seed}`)
        }
      })
    )
  })
}

describe("FileStoreDisk, renames that were written down", () => {
  const intent = (from: string, to: string) => file(JSON.stringify({ from, to }))
  const stagedOn = (control: MemoryDisk.MemoryDisk["Service"]) =>
    Effect.map(control.files, (files) => [...files.keys()].filter((path) => path.startsWith(`${stagingFolder}/`)))

  it.effect("a start takes the old name away only from the same file, and forgets what was written down", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant([stagingFolder, "renaming-1"], intent("from/a", "kept/b"))
      yield* control.plant([stagingFolder, "renaming-2"], intent("from/a", "gone"))
      yield* control.plant([stagingFolder, "renaming-3"], intent("gone", "from/a"))
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "kept/b"])
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("a start takes nothing away where a file system takes two spellings for one", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant([stagingFolder, "renaming-1"], intent("from/a", "from/A"))
      const folding: Disk["Service"] = { ...disk, stat: (path) => disk.stat(path.map((part) => part.toLowerCase())) }
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(folding)), ["from/a", "kept/b"])
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("a start finishes a rename however long ago it was broken off", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* disk.link(["from", "a"], ["from", "c"])
      yield* control.plant([stagingFolder, "renaming-1"], intent("from/a", "from/c"))
      yield* TestClock.adjust(2 * stagedLeftoverMillisecondsMax)
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/c", "kept/b"])
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("what is no rename is left alone, until it is too old", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* disk.link(["from", "a"], ["from", "c"])
      const torn = JSON.stringify({ from: "from/a", to: "from/c" }).slice(0, -1)
      yield* control.plant([stagingFolder, "renaming-1"], file(torn))
      yield* control.plant([stagingFolder, "renaming-2"], intent("../a", "from/c"))
      yield* control.plant([stagingFolder, "renaming-3"], { kind: "link" })
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "from/c", "kept/b"])
      assert.strictEqual((yield* stagedOn(control)).length, 3)
    })
  )

  it.effect("a start that meets a broken disk leaves it to the next", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* disk.link(["from", "a"], ["from", "c"])
      yield* control.plant([stagingFolder, "renaming-1"], intent("from/a", "from/c"))
      const error = new DiskError({ operation: "remove", code: "EIO" })
      const broken: Disk["Service"] = { ...disk, remove: () => Effect.fail(error) }
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(broken)), ["from/a", "from/c", "kept/b"])
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/c", "kept/b"])
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("a rename that is refused leaves nothing written down", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      const error = yield* Effect.flip(
        Effect.provide(perform({ title: "", to: "kept/b", replace: false }), onDisk(disk))
      )
      assert.strictEqual(error._tag, "FileExists")
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("nor does one whose new name, or a folder of it, is no file and none can be", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant(["link"], { kind: "link" })
      for (const to of ["kept", "link", "link/c", "kept/b/c", "from/a/c"]) {
        for (const replace of [false, true]) {
          const error = yield* Effect.flip(Effect.provide(perform({ title: "", to, replace }), onDisk(disk)))
          assert.strictEqual(error._tag, "NotAFile", to)
          assert.deepStrictEqual(yield* stagedOn(control), [], to)
        }
      }
    })
  )

  it.effect("a start forgets a rename that cannot be half done, for what has one of its names is no file", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant([stagingFolder, "renaming-1"], intent("from/a", "kept"))
      yield* control.plant([stagingFolder, "renaming-2"], intent("kept/b/c", "from/a"))
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "kept/b"])
      assert.deepStrictEqual(yield* stagedOn(control), [])
    })
  )

  it.effect("on a disk that has no room to write it down none begins: nobody could finish it after a power cut", () =>
    Effect.gen(function* () {
      for (const code of ["ENOSPC", "EDQUOT"]) {
        const { control, disk } = yield* newDisk({}, [])
        const full: Disk["Service"] = {
          ...disk,
          placeAll: ({ files }) =>
            Effect.succeed(files.map(() => Result.fail(new DiskError({ operation: "write", code }))))
        }
        for (const to of ["from/A", "from/c", "kept/c"]) {
          const error = yield* Effect.flip(Effect.provide(perform({ title: "", to, replace: false }), onDisk(full)))
          assert.deepStrictEqual(error, new NoSpace({ name: FileName.make(to) }))
          assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "kept/b"])
          assert.deepStrictEqual(yield* stagedOn(control), [])
        }
      }
    })
  )

  it.effect("the two longest names fit into what is written down", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const long = (last: string) =>
        FileName.make(`${Array.from({ length: 4 }, () => '"'.repeat(250)).join("/")}/${'"'.repeat(19)}${last}`)
      const intent = { from: long("a"), to: long("b") }
      assert.strictEqual(intent.from.length, nameBytesMax)
      yield* disk.makeFolder([stagingFolder], "private")
      const path = yield* RenameIntent.begin(disk, "x", true, intent)
      assert.deepStrictEqual(yield* RenameIntent.all(disk), [{ path, intent }])
      assert.isAtMost((yield* disk.stat(path)).size, renameIntentBytesMax)
    })
  )
})

describe("FileStoreDisk, names that others hold", () => {
  const rename = (to: string, replace = false) => perform({ title: "", to, replace })

  it.effect("a name that somebody takes at the last moment is not replaced", () =>
    Effect.gen(function* () {
      const { first } = yield* operationsOf({ title: "", to: "from/c", replace: false })
      const { control, disk } = yield* newDisk({}, [])
      yield* Effect.gen(function* () {
        const before = yield* control.operations
        const linking: Disk["Service"] = {
          ...disk,
          link: (from, to) => Effect.andThen(control.plant(to, file(other)), disk.link(from, to))
        }
        const error = yield* Effect.flip(Effect.provide(rename("from/c"), onDisk(linking)))
        assert.strictEqual(error._tag, "FileExists")
        assert.isAbove(yield* control.operations, before)
        assert.isAbove(first, 0)
        assert.strictEqual(yield* text("from/a"), content)
        assert.strictEqual(yield* text("from/c"), other)
      }).pipe(Effect.provide(onDisk(disk)))
    })
  )

  it.effect("a file system that takes two spellings for one changes the spelling by rename", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      const folding: Disk["Service"] = {
        ...disk,
        link: () => Effect.fail(new DiskError({ operation: "link", code: "EEXIST" }))
      }
      yield* Effect.provide(rename("from/A"), onDisk(folding))
      assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/A", "kept/b"])
      const removals = (yield* control.journal).filter((operation) => operation === "remove")
      assert.strictEqual(removals.length, 1, "what was written down about the rename")
      const error = yield* Effect.flip(
        Effect.provide(
          Effect.flatMap(FileStore, (store) =>
            store.rename({ name: FileName.make("from/A"), to: FileName.make("from/c"), replace: false })
          ),
          onDisk(folding)
        )
      )
      assert.strictEqual(error._tag, "FileExists")
    })
  )

  it.effect("a start that may not look into its staging folder says that it is that one", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const error = new DiskError({ operation: "open", code: "EACCES" })
      const closed: Disk["Service"] = {
        ...disk,
        list: (path) => (path[0] === stagingFolder ? Stream.fail(error) : disk.list(path))
      }
      const failed = yield* Effect.flip(Effect.provideService(FileStoreDisk.make(), Disk, closed))
      assert.deepStrictEqual(failed, new StoreFailed({ operation: "open", code: "EACCES", path: stagingFolder }))
    }).pipe(Effect.provide([DigestNode.layer, SecureRandom.layerWebCrypto]))
  )

  it.effect("what a listing leaves out, because it may not be looked into, is not said to be gone", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      for (const code of ["EACCES", "EPERM", "ELOOP"]) {
        const error = new DiskError({ operation: "open", code })
        const closed: Disk["Service"] = {
          ...disk,
          list: (path) => (path[0] === "from" ? Stream.fail(error) : disk.list(path)),
          stat: (path) => (path[0] === "from" && path.length > 1 ? Effect.fail(error) : disk.stat(path)),
          openRead: (path) => (path[0] === "from" ? Effect.fail(error) : disk.openRead(path))
        }
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* listNames, ["kept/b"])
          const store = yield* FileStore
          const unlisted = yield* leavesOut(store)
          assert.deepStrictEqual(unlisted, code === "ELOOP" ? [] : ["from"])
          assert.deepStrictEqual(yield* leavesOut(Confined.make(store, FileName.make("kept")).store), [])
          const open = Effect.flip(Effect.scoped(store.open(FileName.make("from/a"))))
          assert.strictEqual((yield* open)._tag, code === "ELOOP" ? "NotAFile" : "NoAccess")
        }).pipe(Effect.provide(onDisk(closed)))
      }
    })
  )

  it.effect("what may not be looked into is told by its name, in the account's own names", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      for (const folder of ["shut", "no-search", "lost+found", "other/deep/shut", "other/lost+found"]) {
        yield* control.plant([...folder.split("/"), "a"], file(other))
      }
      const denied = new DiskError({ operation: "list", code: "EACCES" })
      const isShut = (path: DiskPath) => ["shut", "lost+found"].includes(path.at(-1) ?? "")
      const closed: Disk["Service"] = {
        ...disk,
        list: (path) => (isShut(path) ? Stream.fail(denied) : disk.list(path)),
        statAll: (path, names) =>
          path.at(-1) === "no-search" ? Effect.succeed(names.map(() => Result.fail(denied))) : disk.statAll(path, names)
      }
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        assert.deepStrictEqual(yield* leavesOut(store), ["no-search/a", "other/deep/shut", "shut"])
        assert.deepStrictEqual(yield* leavesOut(store, { alike: new Set(["other"]) }), ["other/deep/shut"])
        const view = (root: string) => Confined.make(store, FileName.make(root)).store
        assert.deepStrictEqual(yield* leavesOut(view("other")), ["deep/shut"])
        // There is nothing else to be listed.
        const error = yield* Effect.flip(leavesOut(view("other/deep/shut")))
        const refusal = new NoAccess({ operation: "list", code: "EACCES", path: "other/deep/shut" })
        assert.deepStrictEqual(error, refusal)
        assert.deepStrictEqual(yield* leavesOut(view("none")), [])
      }).pipe(Effect.provide(onDisk(closed)))
    })
  )

  it.effect("what no name can mean is told with its folder, but for what is ours or no file", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, ["acc/a", "acc/b.", "acc/deep/c\\d", "acc/deep/e\ud800"])
      for (const folder of ["gone ", "acc/.Paradrop"]) {
        yield* control.plant([...folder.split("/"), "f"], file(other))
      }
      yield* control.plant(["acc", stagingFolder, "g"], file(other))
      yield* control.plant(["acc", "link."], { kind: "link" })
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const unnamed = Effect.fnUntraced(function* (store: FileStore["Service"], where: Where = {}) {
          const told: Array<string> = []
          const onUnnamed: Where["onUnnamed"] = ({ folder, kind, part }) =>
            Effect.sync(() => void told.push(`${kind} ${folder ?? "-"} ${part}`))
          yield* Stream.runDrain(store.list({ ...where, onUnnamed }))
          return told.toSorted()
        })
        const inside = ["file acc b.", "file acc/deep c\\d", "file acc/deep e\ud800", "folder acc .Paradrop"]
        assert.deepStrictEqual(yield* unnamed(store), [...inside, "folder - gone "].toSorted())
        assert.deepStrictEqual(yield* unnamed(store, { alike: new Set(["acc"]) }), inside)
        const own = ["file - b.", "file deep c\\d", "file deep e\ud800", "folder - .Paradrop"]
        assert.deepStrictEqual(yield* unnamed(Confined.make(store, FileName.make("acc")).store), own)
        assert.deepStrictEqual(yield* listNames, ["acc/a", "from/a", "kept/b"])
      }).pipe(Effect.provide(onDisk(disk)))
    })
  )

  // It would be in the way of whoever spells it otherwise, and stay when the process dies before it is taken back.
  it.effect("a bundle of files that must be there makes no folder for one that is not", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const before = (yield* control.journal).filter((one) => one === "makeFolder").length
        const digest = digestOf(yield* Digest, [fromUtf8("y")])
        const small = { name: FileName.make("B/a"), modified: 1, parts: [fromUtf8("y")], digest }
        const placed = yield* SmallFiles.placeAll(store, [small], "present")
        assert.deepStrictEqual(placed, [Result.fail(new NoSuchFile({ name: small.name }))])
        assert.strictEqual((yield* control.journal).filter((one) => one === "makeFolder").length, before)
      }).pipe(Effect.provide(onDisk(disk)))
    })
  )

  /** Places a small file in a folder of its own, with a deed of somebody else between the look and the change. */
  const bundleAround = Effect.fnUntraced(function* (
    store: FileStore["Service"],
    meanwhile: Array<Effect.Effect<void>>,
    deed: Effect.Effect<unknown, unknown, FileStore | Digest>
  ) {
    meanwhile.push(Effect.provide(Effect.ignore(deed), yield* Effect.context<FileStore | Digest>()))
    const digest = digestOf(yield* Digest, [fromUtf8("y")])
    const small = { name: FileName.make("new/b"), modified: 1, parts: [fromUtf8("y")], digest }
    const [placed] = yield* SmallFiles.placeAll(store, [small], undefined)
    assert.isTrue(placed !== undefined && Result.isSuccess(placed))
  })

  /** A disk on which the change fails, and has happened; and what else is done before a bundle is placed. */
  const lyingAbout = (disk: Disk["Service"], operation: "rename" | "removeFolder", of: string) => {
    const meanwhile: Array<Effect.Effect<void>> = []
    const failed = Effect.fail(new DiskError({ operation, code: "EIO" }))
    const lie = (path: DiskPath, change: Effect.Effect<void, DiskError>, told: typeof operation) =>
      told === operation && path[0] === of ? Effect.andThen(change, failed) : change
    const lying: Disk["Service"] = {
      ...disk,
      rename: (from, to) => lie(to, disk.rename(from, to), "rename"),
      removeFolder: (path) => lie(path, disk.removeFolder(path), "removeFolder"),
      placeAll: (request) => Effect.andThen(Effect.all(meanwhile), disk.placeAll(request))
    }
    return { lying, meanwhile }
  }

  it.effect("a commit that fails, and has happened, while a bundle fills its new folder is not forgotten", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const { lying, meanwhile } = lyingAbout(disk, "rename", "A")
      yield* Effect.gen(function* () {
        yield* bundleAround(yield* FileStore, meanwhile, saveFile(FileName.make("A"), [fromUtf8("x")]))
        const refused = yield* Effect.flip(saveFile(FileName.make("a"), [fromUtf8("z")]))
        assert.strictEqual(refused._tag, "NameCollision")
        assert.deepStrictEqual(yield* listNames, ["A", "from/a", "kept/b", "new/b"])
      }).pipe(Effect.provide(onDisk(lying)))
    })
  )

  it.effect("a folder whose removal fails, and has happened, while a bundle fills a new one is not in the way", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const { lying, meanwhile } = lyingAbout(disk, "removeFolder", "from")
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        yield* bundleAround(store, meanwhile, store.remove({ name: FileName.make("from/a") }))
        assert.deepStrictEqual(yield* listNames, ["kept/b", "new/b"])
        yield* saveFile(FileName.make("From/a"), [fromUtf8("z")])
        assert.deepStrictEqual(yield* listNames, ["From/a", "kept/b", "new/b"])
      }).pipe(Effect.provide(onDisk(lying)))
    })
  )

  it.effect("what a bundle brings while the older file of its name is removed comes after, and stays", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const meanwhile: Array<Effect.Effect<void>> = []
      const watched: Disk["Service"] = {
        ...disk,
        // Whoever removes a file has looked at it by then.
        stat: (path) =>
          Effect.tap(disk.stat(path), () => (path.join("/") === "from" ? Effect.all(meanwhile.splice(0)) : Effect.void))
      }
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const parts = [fromUtf8("new")]
        const name = FileName.make("from/a")
        const bundle = [{ name, parts, modified: 0, digest: digestOf(yield* Digest, parts) }]
        const begun = yield* Latch.make()
        const placed = yield* Effect.forkChild(
          Effect.andThen(begun.await, SmallFiles.placeAll(store, bundle, undefined))
        )
        // Far more than a bundle needs that waits for nothing.
        meanwhile.push(Effect.andThen(begun.open, Effect.repeat(Effect.yieldNow, { times: 1000 })))
        yield* store.remove({ name })
        assert.deepStrictEqual((yield* Fiber.join(placed)).map(Result.isSuccess), [true])
        assert.strictEqual(yield* text("from/a"), "new")
      }).pipe(Effect.provide(onDisk(watched)))
    })
  )

  it.effect("a name that a rename without links takes out of a folder while a file arrives there is free", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({ links: false }, [])
      const arriving: Array<Effect.Effect<void>> = []
      const watched: Disk["Service"] = {
        ...disk,
        // Whoever places it has looked at the folder and holds it.
        rename: (from, to) =>
          Effect.andThen(to.join("/") === "from/new" ? Effect.all(arriving) : Effect.void, disk.rename(from, to))
      }
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const begun = yield* Latch.make()
        const moved = Effect.map(control.files, (files) => files.has("kept/a"))
        const renamed = yield* Effect.forkChild(
          Effect.andThen(
            begun.await,
            store.rename({ name: FileName.make("from/a"), to: FileName.make("kept/a"), replace: false })
          )
        )
        arriving.push(
          Effect.andThen(begun.open, Effect.repeat(Effect.andThen(Effect.yieldNow, moved), { until: (it) => it }))
        )
        yield* saveFile(FileName.make("from/new"), [fromUtf8("new")])
        yield* Fiber.join(renamed)
        assert.deepStrictEqual(yield* listNames, ["from/new", "kept/a", "kept/b"])
        yield* saveFile(FileName.make("from/A"), [fromUtf8("A")])
        assert.deepStrictEqual(yield* listNames, ["from/A", "from/new", "kept/a", "kept/b"])
      }).pipe(Effect.provide(onDisk(watched)))
    })
  )

  it.effect("a file that gets another name while it is opened goes on being read", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const meanwhile: Array<Effect.Effect<void>> = []
      const watched: Disk["Service"] = {
        ...disk,
        openRead: (path) =>
          Effect.map(disk.openRead(path), (opened) => ({
            ...opened,
            stat: Effect.tap(opened.stat, () => Effect.all(meanwhile.splice(0)))
          }))
      }
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const to = FileName.make("from/c")
        meanwhile.push(Effect.asVoid(Effect.orDie(store.rename({ name: FileName.make("from/a"), to, replace: false }))))
        const opened = yield* store.open(FileName.make("from/a"))
        assert.deepStrictEqual(yield* listNames, ["from/c", "kept/b"])
        yield* opened.unchanged
        assert.strictEqual(new TextDecoder().decode(yield* opened.read(0, content.length)), content)
      }).pipe(Effect.scoped, Effect.provide(onDisk(watched)))
    })
  )

  it.effect("what may not be done to one file is refused as that, and a disk that fails is not", () =>
    Effect.gen(function* () {
      for (const [code, tag] of [
        ["EACCES", "NoAccess"],
        ["EPERM", "NoAccess"],
        ["EIO", "StoreFailed"]
      ] as const) {
        const { disk } = yield* newDisk({}, [])
        const error = new DiskError({ operation: "of the disk", code })
        const fails = (path: DiskPath) => path[0] === "from" && path.length > 1
        const closed: Disk["Service"] = {
          ...disk,
          list: (path) => (path[0] === "from" ? Stream.fail(error) : disk.list(path)),
          stat: (path) => (fails(path) ? Effect.fail(error) : disk.stat(path)),
          openRead: (path) => (fails(path) ? Effect.fail(error) : disk.openRead(path))
        }
        yield* Effect.gen(function* () {
          const store = yield* FileStore
          const [name, to] = [FileName.make("from/a"), FileName.make("to")]
          const small = {
            name: FileName.make("from/b"),
            modified: 1,
            parts: [fromUtf8("x")],
            digest: digestOf(yield* Digest, [fromUtf8("x")])
          }
          const tries: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }, FileStore | Digest>> = [
            store.stat(name),
            Effect.scoped(store.open(name)),
            saveFile(FileName.make("from/b"), [fromUtf8("x")]),
            store.remove({ name }),
            store.rename({ name, to, replace: false }),
            store.rename({ name: FileName.make("kept/b"), to: name, replace: true }),
            Effect.flatMap(SmallFiles.placeAll(store, [small], undefined), Effect.forEach(Effect.fromResult)),
            Effect.flatMap(SmallFiles.readAll(store, [name], 100), Effect.forEach(Effect.fromResult))
          ]
          for (const [index, one] of tries.entries()) {
            assert.strictEqual((yield* Effect.flip(one))._tag, tag, `${code} ${index}`)
          }
        }).pipe(Effect.provide(onDisk(closed)))
        assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "kept/b"])
      }
    })
  )

  for (const [to, replace] of [
    ["new/c", false],
    ["new/c", true],
    ["kept/b", true]
  ] as const) {
    it.effect(`a rename to ${to} out of a folder that names may not leave is undone, replacing ${replace}`, () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk({}, [])
        const files = Effect.map(control.files, (all) => [...all].filter(([path]) => !path.startsWith(stagingFolder)))
        const before = yield* files
        const remove: Disk["Service"]["remove"] = (path) =>
          path[0] === "from" ? Effect.fail(new DiskError({ operation: "remove", code: "EACCES" })) : disk.remove(path)
        const renamed = Effect.flatMap(FileStore, (store) =>
          store.rename({ name: FileName.make("from/a"), to: FileName.make(to), replace })
        )
        const error = yield* Effect.flip(Effect.provide(renamed, onDisk({ ...disk, remove })))
        assert.strictEqual(error._tag, "NoAccess")
        // Durably, and with nothing left that a later start would finish.
        yield* control.crash
        assert.deepStrictEqual(yield* Effect.provide(listNames, onDisk(disk)), ["from/a", "kept/b"])
        assert.deepStrictEqual(yield* files, before)
      })
    )
  }

  it.effect("what could not be put back is replaced in one step", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      const link: Disk["Service"]["link"] = (from, to) =>
        from[0] === "kept" ? Effect.fail(new DiskError({ operation: "link", code: "EPERM" })) : disk.link(from, to)
      const content = (yield* control.files).get("from/a") ?? new Uint8Array()
      yield* Effect.flatMap(FileStore, (store) =>
        store.rename({ name: FileName.make("from/a"), to: FileName.make("kept/b"), replace: true })
      ).pipe(Effect.provide(onDisk({ ...disk, link })))
      assert.deepStrictEqual(yield* control.files, new Map([["kept/b", content]]))
      assert.notInclude(yield* control.journal, "link")
    })
  )

  it.effect("a folder that is closed between the looks at it is told as one", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant(["shut", "a"], file(other))
      const denied = new DiskError({ operation: "stat", code: "EPERM" })
      const statAll: Disk["Service"]["statAll"] = (path, names) =>
        path[0] === "shut" ? Effect.fail(denied) : disk.statAll(path, names)
      const told = yield* Effect.flatMap(FileStore, leavesOut).pipe(Effect.provide(onDisk({ ...disk, statAll })))
      assert.deepStrictEqual(told, ["shut"])
    })
  )

  it.effect("behind a mount point nothing is removed or renamed", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant(["mnt"], { kind: "mount-point" })
      yield* control.plant(["mnt", "a"], file(other))
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const name = FileName.make("mnt/a")
        for (const [refused, about] of [
          [Effect.asVoid(store.remove({ name })), "mnt/a"],
          [Effect.asVoid(store.rename({ name, to: FileName.make("x"), replace: false })), "mnt/a"],
          [
            Effect.asVoid(store.rename({ name: FileName.make("from/a"), to: FileName.make("mnt/x"), replace: false })),
            "mnt/x"
          ]
        ] as const) {
          const error = yield* Effect.flip(refused)
          assert.deepStrictEqual(error, new NotAFile({ name: FileName.make(about), found: "mount-point" }))
        }
        assert.strictEqual(yield* text("mnt/a"), other)
      }).pipe(Effect.provide(onDisk(disk)))
    })
  )

  it.effect("a folder that holds what no listing shows is not removed", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, [])
      yield* control.plant(["from", "link"], { kind: "link" })
      yield* Effect.provide(perform({ title: "", to: undefined, replace: false }), onDisk(disk))
      assert.isTrue((yield* control.files).has("from/link"))
    })
  )

  it.effect("a folder that somebody else makes at the last moment takes the file", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk({}, [])
      const early: Disk["Service"] = {
        ...disk,
        makeFolder: (path, access) =>
          Effect.andThen(
            path.join("/") === "new" ? disk.makeFolder(path, access) : Effect.void,
            disk.makeFolder(path, access)
          )
      }
      yield* Effect.gen(function* () {
        yield* saveFile(FileName.make("new/a"), [fromUtf8("a")])
        assert.strictEqual(yield* text("new/a"), "a")
      }).pipe(Effect.provide(onDisk(early)))
    })
  )

  it.effect("a folder that was removed and made again is made durable again", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 32; seed += 1) {
        const { control, disk } = yield* newDisk({ seed }, [])
        const name = FileName.make("x/y/file")
        yield* Effect.gen(function* () {
          yield* saveFile(name, [fromUtf8("one")])
          yield* (yield* FileStore).remove({ name })
          yield* saveFile(name, [fromUtf8("two")])
        }).pipe(Effect.provide(onDisk(disk)))
        yield* control.crash
        assert.strictEqual(yield* Effect.provide(text("x/y/file"), onDisk(disk)), "two", `seed ${seed}`)
      }
    })
  )
})
