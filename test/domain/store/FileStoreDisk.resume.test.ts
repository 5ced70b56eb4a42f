import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import { copiedBlockBytes, resumeBytesMin, stagedLeftoverMillisecondsMax } from "../../../src/domain/limits.ts"
import { Disk, DiskError, type DiskFile, type DiskPath } from "../../../src/domain/store/Disk.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import { type StoreError, StoreFailed } from "../../../src/domain/store/StoreError.ts"
import { listNames, loadFile, saveFile } from "../../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { withTimeOfDay } from "../../settableTime.ts"

const name = FileName.make("folder/file")
// A copy of it is made in several blocks.
const old = Fixture.bytes(1, 2 * copiedBlockBytes + resumeBytesMin + 50_000)
const mine = Bytes.concat([Fixture.bytes(2, 200_000), old.subarray(100_000), Fixture.bytes(3, 1_000)])
const resume = "0".repeat(32)

type Control = MemoryDisk.MemoryDisk["Service"]
type Work = Effect.Effect<unknown, StoreError, FileStore | Digest>

/** The store as a process that starts on this disk finds it. */
const onDisk = (disk: Disk["Service"], options: FileStoreDisk.Options = {}) =>
  FileStoreDisk.layer(options).pipe(
    Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )

const stageMine = Effect.gen(function* () {
  const store = yield* FileStore
  return yield* store.stage({ name, size: mine.length, modified: 5, resume })
})

const blockBytes = 600_000

const writeOn = Effect.fnUntraced(function* (from: number, upTo: number, write: (part: Uint8Array) => Work) {
  for (let at = from; at < upTo; at += blockBytes) yield* write(mine.subarray(at, Math.min(at + blockBytes, upTo)))
})

const finish = Effect.fnUntraced(function* () {
  const expected = { size: mine.length, digest: digestOf(yield* Digest, [mine]) }
  return expected
})

/** All of it, behind whatever is there. */
const upload: Work = Effect.scoped(
  Effect.gen(function* () {
    const staging = yield* stageMine
    yield* writeOn(staging.resumed, mine.length, (part) => staging.write([part]))
    yield* staging.commit(yield* finish())
  })
)

/** The same from the live file and what it lacks. */
const para: Work = Effect.scoped(
  Effect.gen(function* () {
    const store = yield* FileStore
    const from = yield* store.open(name)
    const staging = yield* stageMine
    if (staging.resumed > 0) yield* writeOn(staging.resumed, mine.length, (part) => staging.write([part]))
    else {
      yield* staging.write([mine.subarray(0, 200_000)])
      yield* staging.copy(from, 100_000, old.length - 100_000)
      yield* staging.write([mine.subarray(mine.length - 1_000)])
    }
    yield* staging.commit(yield* finish())
  })
)

/** What a client does: wrong leftovers are found at the end and dropped, and the second try starts at nothing. */
const uploadAgain: Work = Effect.catchTag(upload, "DigestMismatch", () => upload)

const leave = (upTo: number): Work =>
  Effect.scoped(Effect.flatMap(stageMine, (staging) => writeOn(0, upTo, (part) => staging.write([part]))))

interface Scenario {
  readonly title: string
  readonly options?: FileStoreDisk.Options
  /** what happens before the disk breaks */
  readonly before: Work
  readonly work: Work
}

/** Kept under another key, to be trimmed. */
const leaveOther: Work = Effect.scoped(
  Effect.gen(function* () {
    const store = yield* FileStore
    const size = resumeBytesMin + 5
    const staging = yield* store.stage({ name: FileName.make("other"), size, modified: 5, resume: "1".repeat(32) })
    yield* staging.write([new Uint8Array(size)])
  })
)

const scenarios: ReadonlyArray<Scenario> = [
  { title: "an upload that may be resumed", before: Effect.void, work: upload },
  { title: "an upload that is left in the middle", before: Effect.void, work: leave(resumeBytesMin + 9) },
  { title: "the resume of a kept staging", before: leave(resumeBytesMin + 9), work: upload },
  { title: "a para", before: Effect.void, work: para },
  {
    title: "a trim",
    options: { stagedLeftoverBytesMax: resumeBytesMin + 100_000 },
    before: leaveOther,
    work: leave(resumeBytesMin + 9)
  }
]

const newDisk = Effect.fnUntraced(function* (seed: number, { before, options }: Scenario) {
  const { control, disk } = yield* MemoryDisk.make({ seed })
  yield* control.plant(["folder", "file"], { kind: "file", content: old })
  yield* Effect.provide(before, onDisk(disk, options))
  return { control, disk }
})

/** The store starts, sweeping what is there, and works. */
const run = (scenario: Scenario, disk: Disk["Service"]): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Effect.exit(Effect.provide(scenario.work, onDisk(disk, scenario.options)))

const operationsOf = Effect.fnUntraced(function* (scenario: Scenario) {
  const { control, disk } = yield* newDisk(1, scenario)
  const first = (yield* control.operations) + 1
  assert.isTrue(Exit.isSuccess(yield* run(scenario, disk)))
  return { first, last: yield* control.operations }
})

const staged = (files: ReadonlyMap<string, Uint8Array>): ReadonlyArray<readonly [string, Uint8Array]> =>
  [...files].filter(([path]) => path.startsWith(stagingFolder))

const nameOf = (content: Uint8Array): string =>
  Bytes.equals(content, old) ? "old" : Bytes.equals(content, mine) ? "mine" : "a mixture"

/** The name holds one of the two, the listing that name alone; the same command again ends right, nothing staged. */
const checkAfter = Effect.fnUntraced(function* (control: Control, disk: Disk["Service"], where: string) {
  const store = onDisk(disk)
  assert.strictEqual(yield* control.openFiles, 0, where)
  const found = yield* Effect.provide(loadFile(name), store)
  assert.include(["old", "mine"], nameOf(found), where)
  assert.deepStrictEqual(yield* Effect.provide(listNames, store), [name], where)
  yield* Effect.provide(uploadAgain, store)
  assert.strictEqual(nameOf(yield* Effect.provide(loadFile(name), store)), "mine", where)
  assert.strictEqual(yield* control.openFiles, 0, where)
  const left = staged(yield* control.files).filter(([path]) => path.endsWith(`r-${resume}`))
  assert.deepStrictEqual(left, [], where)
  return nameOf(found)
})

for (const scenario of scenarios) {
  describe(`a disk that breaks during ${scenario.title}`, () => {
    it.effect("a power cut at any operation leaves old or new, and whatever is left is gone on with or dropped", () =>
      Effect.gen(function* () {
        const { first, last } = yield* operationsOf(scenario)
        for (let cut = first; cut <= last; cut += 1) {
          const { control, disk } = yield* newDisk(cut, scenario)
          yield* control.cutAt(cut)
          yield* run(scenario, disk)
          yield* control.crash
          yield* checkAfter(control, disk, `cut at ${cut}`)
        }
      })
    )

    for (const code of scenario.work === upload ? ["ENOSPC", "EIO"] : ["EIO"]) {
      it.effect(`${code} at any operation leaves old or new, and nothing staged that is not worth it`, () =>
        Effect.gen(function* () {
          const { first, last } = yield* operationsOf(scenario)
          for (let nth = first; nth <= last; nth += 1) {
            const { control, disk } = yield* newDisk(nth, scenario)
            yield* control.failAt(nth, code)
            yield* run(scenario, disk)
            const operation = (yield* control.journal)[nth - 1]
            const where = `${code} at ${nth} (${operation})`
            // What cannot be looked at or removed is swept by age.
            if (operation !== "remove") {
              for (const [path, bytes] of staged(yield* control.files))
                assert.isAtLeast(bytes.length, resumeBytesMin, path + where)
            }
            yield* checkAfter(control, disk, where)
          }
        })
      )
    }
  })
}

describe("what is kept for a resume", () => {
  const keep = Effect.fnUntraced(function* (file: string, size: number, key: string) {
    const store = yield* FileStore
    const staging = yield* store.stage({ name: FileName.make(file), size, modified: 5, resume: key.repeat(32) })
    if (staging.resumed === 0) yield* staging.write([new Uint8Array(size)])
    return staging.resumed
  }, Effect.scoped)

  const keys = (files: ReadonlyMap<string, Uint8Array>) =>
    staged(files)
      .map(([path]) => path.at(-1))
      .toSorted()
  const size = 1_500_000
  const yearMilliseconds = 365 * 24 * 60 * 60_000

  const withDisk = <E>(
    disk: MemoryDisk.Options,
    options: FileStoreDisk.Options,
    body: (control: Control) => Effect.Effect<void, E, FileStore | Digest | Scope.Scope>
  ) =>
    Effect.flatMap(MemoryDisk.make(disk), (made) =>
      Effect.scoped(body(made.control)).pipe(Effect.provide(onDisk(made.disk, options)))
    )

  it.effect("is bounded by its total size: the oldest goes first", () =>
    withDisk({}, { stagedLeftoverBytesMax: 2 * size }, (control) =>
      Effect.gen(function* () {
        for (const key of ["a", "b", "c"]) yield* keep("file", size, key)
        assert.deepStrictEqual(keys(yield* control.files), ["b", "c"])
      })
    )
  )

  it.effect("expires by age while the store runs, and at its start", () =>
    withDisk({}, { stagedLeftoverMillisecondsMax: 1_000 }, (control) =>
      Effect.gen(function* () {
        yield* keep("file", size, "a")
        yield* TestClock.adjust(2_000)
        yield* keep("file", size, "b")
        assert.deepStrictEqual(keys(yield* control.files), ["b"])
      })
    )
  )

  it.effect("goes first, and not before there is need, when the clock was set back since", () =>
    withTimeOfDay((set) =>
      withDisk({ capacityBytes: 5 * size }, { stagedLeftoverBytesMax: 3 * size }, (control) =>
        Effect.gen(function* () {
          set(yearMilliseconds)
          for (const key of ["a", "b"]) yield* keep("file", size, key)
          set(0)
          yield* keep("file", size, "c")
          assert.deepStrictEqual(keys(yield* control.files), ["a", "b", "c"])
          yield* keep("file", size, "d")
          assert.deepStrictEqual(keys(yield* control.files), ["b", "c", "d"])
          yield* saveFile(FileName.make("other"), [new Uint8Array(3 * size)])
          assert.deepStrictEqual(keys(yield* control.files), ["c", "d"])
        })
      )
    )
  )

  it.effect("expires by age also where something was left before the clock was set back", () =>
    withTimeOfDay((set) =>
      withDisk({}, {}, (control) =>
        Effect.gen(function* () {
          set(yearMilliseconds)
          yield* keep("file", size, "a")
          set(0)
          yield* keep("file", size, "b")
          yield* TestClock.adjust(stagedLeftoverMillisecondsMax + 1)
          yield* keep("file", size, "c")
          assert.deepStrictEqual(keys(yield* control.files), ["a", "c"])
        })
      )
    )
  )

  it.effect("stays when no file can be opened now, and goes when it alone cannot be", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* Effect.provide(keep("file", size, "a"), onDisk(disk))
      const withCode = (code: string): Disk["Service"] => ({
        ...disk,
        openWrite: () => Effect.fail(new DiskError({ operation: "openWrite", code }))
      })
      for (const code of ["EMFILE", "ENFILE", "ENOMEM"]) {
        const error = yield* Effect.flip(Effect.provide(keep("file", size, "a"), onDisk(withCode(code))))
        assert.deepStrictEqual(error, new StoreFailed({ operation: "openWrite", code }))
      }
      assert.strictEqual(yield* Effect.provide(keep("file", size, "a"), onDisk(disk)), size)
      assert.strictEqual(yield* Effect.provide(keep("file", size, "a"), onDisk(withCode("EACCES"))), 0)
      assert.strictEqual(yield* control.openFiles, 0)
    })
  )

  it.effect("gives way to what is declared, no more of it than is needed", () =>
    withDisk({ capacityBytes: 4 * size }, {}, (control) =>
      Effect.gen(function* () {
        for (const key of ["a", "b", "c"]) yield* keep("file", size, key)
        yield* saveFile(FileName.make("other"), [new Uint8Array(size + 1)])
        assert.deepStrictEqual(keys(yield* control.files), ["b", "c"])
      })
    )
  )

  it.effect(
    "gives way until the disk says that it is enough: what is shared with another file gives nothing back",
    () =>
      Effect.gen(function* () {
        const { control, disk } = yield* MemoryDisk.make()
        const shared = `r-${"a".repeat(32)}`
        const freeBytes = Effect.map(control.files, (files) => {
          const taken = staged(files).filter(([path]) => !path.endsWith(shared))
          return 4 * size - taken.reduce((total, [, bytes]) => total + bytes.length, 0)
        })
        yield* Effect.gen(function* () {
          for (const key of ["a", "b", "c"]) yield* keep("file", size, key)
          yield* saveFile(FileName.make("other"), [new Uint8Array(2 * size + 1)])
          assert.deepStrictEqual(keys(yield* control.files), ["c"])
        }).pipe(Effect.provide(onDisk({ ...disk, freeBytes })))
      })
  )

  it.effect("gives way to a file that the disk has no room to make", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make({ capacityBytes: 2 * size })
      const full = new DiskError({ operation: "create", code: "ENOSPC" })
      const create = (path: DiskPath) =>
        Effect.flatMap(disk.freeBytes, (free) => (free < size ? Effect.fail(full) : disk.create(path)))
      yield* Effect.gen(function* () {
        for (const key of ["a", "b"]) yield* keep("file", size, key)
        yield* saveFile(FileName.make("other"), [new Uint8Array(5)])
        assert.deepStrictEqual(keys(yield* control.files), ["b"])
        // What must stay keeps the disk full.
        yield* saveFile(FileName.make("more"), [new Uint8Array(size)])
        const refused = yield* Effect.flip(saveFile(FileName.make("last"), [new Uint8Array(5)]))
        assert.strictEqual(refused._tag, "NoSpace")
      }).pipe(Effect.provide(onDisk({ ...disk, create, placeAll: () => Effect.fail(full) })))
    })
  )

  it.effect("stays when even all of it would not be enough, and the refused staging leaves nothing", () =>
    withDisk({ capacityBytes: 4 * size }, {}, (control) =>
      Effect.gen(function* () {
        for (const key of ["a", "b"]) yield* keep("file", size, key)
        for (const key of [undefined, "c".repeat(32)]) {
          const store = yield* FileStore
          const request = { name, size: 4 * size + 1, modified: 5, ...(key !== undefined && { resume: key }) }
          const error = yield* Effect.flip(Effect.scoped(store.stage(request)))
          assert.strictEqual(error._tag, "NoSpace")
        }
        assert.deepStrictEqual(keys(yield* control.files), ["a", "b"])
        assert.strictEqual(yield* control.openFiles, 0)
        // What was promised to the refused ones is free again.
        yield* saveFile(name, [new Uint8Array(2 * size)])
      })
    )
  )

  it.effect("a staging that is refused for want of space keeps what it would have gone on with", () =>
    withDisk({ capacityBytes: 3 * size }, {}, (control) =>
      Effect.gen(function* () {
        yield* keep("file", size, "a")
        const store = yield* FileStore
        const request = { name, size: 3 * size + 1, modified: 5, resume: "a".repeat(32) }
        assert.strictEqual((yield* Effect.flip(Effect.scoped(store.stage(request))))._tag, "NoSpace")
        assert.deepStrictEqual(keys(yield* control.files), ["a"])
        assert.strictEqual(yield* keep("file", size, "a"), size)
      })
    )
  )

  it.effect("a staging that takes over needs no room for what the older one was still to write", () =>
    withDisk({ capacityBytes: 3 * size }, {}, () =>
      Effect.gen(function* () {
        const store = yield* FileStore
        const request = { name, size: 2 * size + 2, modified: 5, resume }
        const older = yield* store.stage(request)
        yield* older.write([new Uint8Array(size)])
        assert.strictEqual((yield* store.stage(request)).resumed, size)
        // And what it has given back it does not give back again.
        assert.strictEqual((yield* Effect.flip(older.write([new Uint8Array(1)])))._tag, "TakenOver")
        const more = store.stage({ name: FileName.make("other"), size, modified: 5 })
        assert.strictEqual((yield* Effect.flip(more))._tag, "NoSpace")
      }).pipe(Effect.scoped)
    )
  )

  for (const what of ["that ends too small", "that is trimmed"] as const) {
    it.effect(`a staging ${what} is gone before the next one of its key begins`, () =>
      Effect.gen(function* () {
        const { disk } = yield* MemoryDisk.make()
        const gate = yield* Deferred.make<void>()
        const reached = yield* Deferred.make<void>()
        const slow = {
          ...disk,
          remove: (path: DiskPath) =>
            Deferred.succeed(reached, undefined).pipe(
              Effect.andThen(Deferred.await(gate)),
              Effect.andThen(disk.remove(path))
            )
        }
        const options = { stagedLeftoverBytesMax: resumeBytesMin + 150_000 }
        yield* Effect.gen(function* () {
          if (what === "that is trimmed") yield* leave(resumeBytesMin)
          const ending = yield* Effect.forkChild(what === "that is trimmed" ? keep("file", size, "a") : leave(10))
          yield* Deferred.await(reached)
          const next = yield* Effect.forkChild(upload)
          yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.yieldNow, { discard: true })
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(ending)
          yield* Fiber.join(next)
          assert.strictEqual(nameOf(yield* loadFile(name)), "mine")
        }).pipe(Effect.provide(onDisk(slow, options)))
      })
    )
  }

  it.effect("a commit may be interrupted while it reads what an earlier try has left, and that is kept", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make()
      yield* Effect.provide(leave(mine.length), onDisk(disk))
      const [gate, reached] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const atGate = Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(gate))
      const slowly = (file: DiskFile): DiskFile => ({
        ...file,
        readInto: (offset, target) => Effect.andThen(atGate, file.readInto(offset, target))
      })
      const slow = { ...disk, openWrite: (path: DiskPath) => Effect.map(disk.openWrite(path), slowly) }
      // As a server has it: what was done must be on record.
      const committing = Effect.uninterruptible(upload).pipe(Effect.provide(onDisk(slow)))
      const fiber = yield* Effect.forkChild(committing)
      yield* Deferred.await(reached)
      fiber.interruptUnsafe()
      for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
      const exit = fiber.pollUnsafe()
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(exit !== undefined && Exit.hasInterrupts(exit))
      assert.deepStrictEqual(
        Array.from(yield* control.files, ([path, { length }]) => [path, length]),
        [[`${stagingFolder}/r-${resume}`, mine.length]]
      )
      yield* Effect.provide(upload, onDisk(disk))
      assert.strictEqual(yield* control.openFiles, 0)
    })
  )
})
