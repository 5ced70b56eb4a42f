import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Result, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { fromUtf8 } from "../../../src/domain/Bytes.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, key } from "../../../src/domain/file/FileName.ts"
import { Disk, type DiskError } from "../../../src/domain/store/Disk.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import type { StoreError } from "../../../src/domain/store/StoreError.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

const content = fromUtf8("the content")
const old = FileName.make("from/ab")
const anew = FileName.make("from/AB")

/** For whom the disk works: the one who looks for the file, or the one who renames it. */
const Who = Context.Reference<"reader" | "renamer" | "nobody">("test/Who", { defaultValue: () => "nobody" })

/** Turns that one of the two waits for the other at most: he may be kept from coming by a lock. */
const turnsMax = 40

/** The reader's operation `reader` begins when the renamer has done `renamer` of his, who then lets him go on alone. */
interface Meeting {
  readonly reader: number
  readonly renamer: number
}

/** A disk on which the two meet, and how many operations each of them has begun. */
const meetingOn = (disk: Disk["Service"], meeting: Meeting) => {
  const begun = { reader: 0, renamer: 0, nobody: 0 }
  const waitFor = Effect.fnUntraced(function* (met: () => boolean) {
    for (let turn = 0; turn < turnsMax && !met(); turn += 1) yield* Effect.yieldNow
  })
  const first = Effect.gen(function* () {
    const who = yield* Who
    begun[who] += 1
    if (who === "reader" && begun.reader === meeting.reader) yield* waitFor(() => begun.renamer > meeting.renamer)
    if (who === "renamer" && begun.renamer === meeting.renamer + 1) {
      yield* waitFor(() => begun.reader >= meeting.reader)
      yield* waitFor(() => false)
    }
  })
  const met: Disk["Service"] = {
    ...disk,
    stat: (path) => Effect.andThen(first, disk.stat(path)),
    statAll: (folder, all) => Effect.andThen(first, disk.statAll(folder, all)),
    list: (path) => Stream.unwrap(Effect.as(first, disk.list(path))),
    openRead: (path) => Effect.andThen(first, disk.openRead(path)),
    readAll: (folder, all, bytesMax, room) => Effect.andThen(first, disk.readAll(folder, all, bytesMax, room)),
    placeAll: (request) => Effect.andThen(first, disk.placeAll(request)),
    link: (from, to) => Effect.andThen(first, disk.link(from, to)),
    rename: (from, to) => Effect.andThen(first, disk.rename(from, to)),
    remove: (path) => Effect.andThen(first, disk.remove(path)),
    syncFolder: (path) => Effect.andThen(first, disk.syncFolder(path))
  }
  return { begun, met }
}

const onDisk = (disk: Disk["Service"]) =>
  FileStoreDisk.layer().pipe(
    Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provide(DigestNode.layer)
  )

type Look = (store: FileStore["Service"], name: FileName) => Effect.Effect<string | undefined, StoreError | DiskError>

/** Each gives the name under which the file was found. */
const looks: Record<string, Look> = {
  open: (store, name) =>
    Effect.scoped(
      Effect.gen(function* () {
        const file = yield* store.open(name)
        assert.deepStrictEqual(yield* file.read(0, content.length), content)
        return file.entry.name
      })
    ),
  stat: (store, name) => Effect.map(store.stat(name), (entry) => entry.name),
  readAll: (store, name) =>
    Effect.gen(function* () {
      const [one = Result.succeed(undefined)] = yield* store.readAll?.([name], 1_000) ?? Effect.succeed([])
      const read = yield* Effect.fromResult(one)
      assert.deepStrictEqual(read?.content, content)
      return read?.entry.name
    }),
  list: (store) =>
    Effect.map(Stream.runCollect(store.list()), (all) => all.find(({ name }) => key(name) === key(old))?.name)
}

/** One rename of the file from one spelling to the other, and one look for it that meets the rename. */
const lookDuring = (look: Look, name: FileName, links: boolean, meeting: Meeting) =>
  Effect.gen(function* () {
    const { control, disk } = yield* MemoryDisk.make({ links })
    yield* control.plant(["from", "ab"], { kind: "file", content })
    yield* control.plant(["from", "beside"], { kind: "file", content })
    const { begun, met } = meetingOn(disk, meeting)
    return yield* Effect.gen(function* () {
      const store = yield* FileStore
      const rename = store.rename({ name: old, to: anew, replace: false })
      const renaming = yield* Effect.forkChild(Effect.provideService(rename, Who, "renamer"))
      const found = yield* Effect.exit(Effect.provideService(look(store, name), Who, "reader"))
      const renamed = yield* Fiber.await(renaming)
      return { begun, found, renamed }
    }).pipe(Effect.provide(onDisk(met)))
  })

describe("FileStoreDisk, a file that is spelt anew while somebody looks for it", () => {
  for (const [what, look] of Object.entries(looks)) {
    for (const links of [true, false]) {
      it.effect(`${what} finds it under one of the two, ${links ? "with" : "without"} links, whenever they meet`, () =>
        Effect.gen(function* () {
          const seen = new Set<string | undefined>()
          for (const name of [old, anew, FileName.make("from/Ab")]) {
            // As far as either of them has operations.
            let [readerMax, renamerMax] = [1, 1]
            for (let reader = 1; reader <= readerMax; reader += 1) {
              for (let renamer = 0; renamer <= renamerMax; renamer += 1) {
                const { begun, found, renamed } = yield* lookDuring(look, name, links, { reader, renamer })
                readerMax = Math.max(readerMax, begun.reader)
                renamerMax = Math.max(renamerMax, begun.renamer)
                const where = `${name}: operation ${reader} after ${renamer} of the rename`
                assert.isTrue(Exit.isSuccess(renamed), where)
                assert.isTrue(Exit.isSuccess(found) && found.value !== undefined, `${where}: ${String(found)}`)
                if (Exit.isSuccess(found)) seen.add(found.value)
              }
            }
            assert.isAbove(readerMax, 1)
            assert.isAbove(renamerMax, 4)
          }
          for (const name of seen) assert.strictEqual(key(FileName.make(name ?? "nothing")), key(old))
          assert.strictEqual(seen.size, 2)
        })
      )
    }
  }
})
