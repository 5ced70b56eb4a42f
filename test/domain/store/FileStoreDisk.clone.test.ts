import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Option, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName, stagingFolder } from "../../../src/domain/file/FileName.ts"
import {
  clonedBytesMin,
  clonedHeadBytesMax,
  cloneMarkedBytes,
  contentBlockBytes,
  versionGrainMilliseconds
} from "../../../src/domain/limits.ts"
import { cloneMarkBytes } from "../../../src/domain/store/CloneMark.ts"
import { Disk, DiskError, type DiskFile, type DiskPath } from "../../../src/domain/store/Disk.ts"
import { FileStore, type OpenFile, type Staging } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import { loadFile } from "../../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { counting } from "./countedDisk.ts"

const name = FileName.make("folder/file")
const path = ["folder", "file"]
const resume = "0".repeat(32)
const kibibyte = 1024
const mebibyte = 1024 * kibibyte

const base = Fixture.bytes(1, clonedBytesMin + 300 * kibibyte)
/** New at the beginning, in the middle and behind the end; the rest stays where it is. */
const head = 200 * kibibyte
const middle = { offset: head + 3 * 1024 * kibibyte, length: 5_000 }
const small = { offset: middle.offset + middle.length, length: 100_000 }
/** Of the older file, but in another place: it is written. */
const moved = contentBlockBytes + 10_000
const tail = 70_000
const mine = Bytes.concat([
  Fixture.bytes(2, head),
  base.subarray(head, middle.offset),
  Fixture.bytes(3, middle.length),
  base.subarray(small.offset),
  base.subarray(0, moved),
  Fixture.bytes(4, tail)
])

interface Step {
  readonly offset: number
  readonly length: number
  /** whether it is copied of the older file */
  readonly same: boolean
  /** where it stands there: in the same place, when it does not say */
  readonly from?: number
}

/** `mine` as what a client sends of it. */
const steps: ReadonlyArray<Step> = [
  { offset: 0, length: head, same: false },
  { offset: head, length: middle.offset - head, same: true },
  { ...middle, same: false },
  { ...small, same: true },
  { offset: small.offset + small.length, length: base.length - small.offset - small.length, same: true },
  { offset: base.length, length: moved, same: true, from: 0 },
  { offset: base.length + moved, length: tail, same: false }
]

const onDisk = (disk: Disk["Service"], options: FileStoreDisk.Options = {}) =>
  FileStoreDisk.layer(options).pipe(
    Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )

const newDisk = Effect.fnUntraced(function* (options: MemoryDisk.Options = {}, content = base) {
  const made = yield* MemoryDisk.make({ clones: true, ...options })
  yield* made.control.plant(path, { kind: "file", content })
  yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
  return made
})

const stageMine = Effect.gen(function* () {
  const store = yield* FileStore
  const from = yield* store.open(name)
  return { from, staging: yield* store.stage({ name, size: mine.length, modified: 5, resume }) }
})

const take = (staging: Staging, older: OpenFile, { from, length, offset, same }: Step) =>
  same ? staging.copy(older, from ?? offset, length) : staging.write([mine.subarray(offset, offset + length)])

/** Steps from a place on, as far as they are behind it. */
const stepsFrom = (at: number): ReadonlyArray<Step> =>
  steps.flatMap((step) => {
    const skip = Math.min(step.length, Math.max(0, at - step.offset))
    if (skip === step.length) return []
    const from = step.from === undefined ? {} : { from: step.from + skip }
    return [{ ...step, ...from, offset: step.offset + skip, length: step.length - skip }]
  })

const expected = Effect.map(Digest, (digest) => ({ size: mine.length, digest: digestOf(digest, [mine]) }))

/** The update, from whatever is there on; gives where it began. */
const para = Effect.gen(function* () {
  const { from, staging } = yield* stageMine
  yield* Effect.forEach(stepsFrom(staging.resumed), (step) => take(staging, from, step))
  yield* staging.commit(yield* expected)
  return staging.resumed
}).pipe(Effect.scoped)

const nameOf = (content: Uint8Array): string =>
  Bytes.equals(content, base) ? "base" : Bytes.equals(content, mine) ? "mine" : "a mixture"

const found = Effect.map(loadFile(name), nameOf)

const staged = (files: ReadonlyMap<string, Uint8Array>) =>
  [...files].filter(([at]) => at.startsWith(`${stagingFolder}/`)).map(([, content]) => content)

describe("an update where files can be cloned", () => {
  it.effect("writes what is new, and nothing of what stays where it was", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      const { counted, disk: watched } = counting(disk)
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* para, 0)
        assert.strictEqual(yield* found, "mine")
      }).pipe(Effect.provide(onDisk(watched)))
      // The beginning is written twice: once before it was known that a clone would pay.
      assert.strictEqual(counted.written, 2 * head + middle.length + moved + tail + cloneMarkBytes)
      assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"])
      assert.strictEqual(yield* control.openFiles, 0)
    })
  )

  it.effect("makes a file that is shorter than the older one", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      const shorter = base.subarray(0, clonedBytesMin)
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const from = yield* store.open(name)
        const staging = yield* store.stage({ name, size: shorter.length, modified: 5, resume })
        yield* staging.copy(from, 0, shorter.length)
        yield* staging.commit({ size: shorter.length, digest: digestOf(yield* Digest, [shorter]) })
      }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
      assert.isTrue(Bytes.equals((yield* control.files).get("folder/file") ?? new Uint8Array(), shorter))
      assert.include(yield* control.journal, "cloneFrom")
    })
  )

  const cloned = Effect.fnUntraced(function* (
    options: MemoryDisk.Options,
    content: Uint8Array,
    work: (from: OpenFile, staging: Staging) => Effect.Effect<void, unknown, FileStore>
  ) {
    const { control, disk } = yield* newDisk(options, content)
    yield* Effect.gen(function* () {
      const { from, staging } = yield* stageMine
      yield* work(from, staging)
    }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
    return (yield* control.journal).includes("cloneFrom")
  })
  const inPlace = (from: OpenFile, staging: Staging) => staging.copy(from, 0, contentBlockBytes + 1)

  it.effect("is copied where a clone would not help", () =>
    Effect.gen(function* () {
      const long = Fixture.bytes(5, clonedHeadBytesMax + 2 * contentBlockBytes)
      assert.isTrue(yield* cloned({}, base, inPlace))
      assert.isFalse(yield* cloned({}, base.subarray(0, clonedBytesMin - 1), inPlace), "a small file")
      assert.isFalse(
        yield* cloned({}, base, (from, staging) => staging.copy(from, 1, contentBlockBytes + 1)),
        "content that moved"
      )
      assert.isFalse(
        yield* cloned({}, base, (from, staging) => staging.copy(from, 0, contentBlockBytes)),
        "a small part"
      )
      assert.isFalse(
        yield* cloned({}, long, (from, staging) =>
          Effect.andThen(
            Effect.flatMap(FileStore, (store) =>
              Effect.flatMap(store.stage({ name, size: long.length, modified: 5 }), (own) =>
                Effect.andThen(
                  own.write([long.subarray(0, clonedHeadBytesMax + 1)]),
                  own.copy(from, clonedHeadBytesMax + 1, contentBlockBytes + 1)
                )
              )
            ).pipe(Effect.scoped),
            staging.write([new Uint8Array(1)])
          )
        ),
        "much that is new before it"
      )
    })
  )

  it.effect("is copied where files cannot be cloned, and of a file that has just changed", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({ clones: false })
      yield* Effect.gen(function* () {
        yield* para
        assert.strictEqual(yield* found, "mine")
        yield* control.plant(path, { kind: "file", content: base })
        yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
        yield* para
        assert.strictEqual(yield* found, "mine")
      }).pipe(Effect.provide(onDisk(disk)))
      // A file system that has no clones is asked once.
      assert.lengthOf(
        (yield* control.journal).filter((operation) => operation === "cloneFrom"),
        1
      )

      const young = yield* newDisk()
      yield* Effect.gen(function* () {
        const file = yield* young.disk.openWrite(path)
        yield* file.write(0, [base.subarray(0, 1)])
      }).pipe(Effect.scoped)
      yield* Effect.provide(para, onDisk(young.disk))
      assert.strictEqual(yield* Effect.provide(found, onDisk(young.disk)), "mine")
      assert.notInclude(yield* young.control.journal, "cloneFrom")
    })
  )

  it.effect("has its whole length, and room for its mark, before it gets the name that is gone on with", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      yield* Effect.provide(para, onDisk(disk))
      const journal = yield* control.journal
      const begun = journal.indexOf("cloneFrom")
      assert.deepStrictEqual(journal.slice(begun, journal.indexOf("rename") + 1), [
        "cloneFrom",
        "read",
        "write",
        "truncate",
        "write",
        "sync",
        "rename"
      ])
      // What is dirty of the older file is written out beside its readers.
      assert.strictEqual(journal[begun - 1], "sync")
    })
  )

  it.effect("gets its name although the rename of the clone says that it failed, once that has happened", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      const error = new DiskError({ operation: "rename", code: "EIO" })
      const lying: Disk["Service"] = {
        ...disk,
        rename: (from, to) =>
          to[0] === stagingFolder ? Effect.andThen(disk.rename(from, to), Effect.fail(error)) : disk.rename(from, to)
      }
      yield* Effect.provide(para, onDisk(lying))
      const files = yield* control.files
      assert.deepStrictEqual([...files.keys()], ["folder/file"])
      assert.strictEqual(nameOf(files.get("folder/file") ?? base), "mine")
      assert.include(yield* control.journal, "cloneFrom")
      assert.strictEqual(yield* control.openFiles, 0)
    })
  )

  describe("of a file that somebody else writes to meanwhile", () => {
    const overwrite = Effect.fnUntraced(function* (disk: Disk["Service"], offset: number, bytes: Uint8Array) {
      const file = yield* disk.openWrite(path)
      yield* file.write(offset, [bytes])
    }, Effect.scoped)
    const last = base.length - 10

    it.effect("commits what it is told to, once the staged file itself has it", () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk()
        yield* Effect.gen(function* () {
          const { from, staging } = yield* stageMine
          for (const step of steps.slice(0, 3)) yield* take(staging, from, step)
          // Behind the clone: what is read of the older file from now on is not what is staged.
          yield* overwrite(disk, last, new Uint8Array(10))
          for (const step of steps.slice(3)) yield* take(staging, from, step)
          yield* staging.commit(yield* expected)
        }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
        assert.strictEqual(nameOf((yield* control.files).get("folder/file") ?? base), "mine")
      })
    )

    it.effect("never counts for the clone what was read before it, whatever the times of the file say", () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk()
        // As a program that has the file mapped writes to it: no time moves.
        const place = head + 700_000
        const byte = [0xff ^ (base[place] ?? 0)]
        let isWritten = false
        const seen = (offset: number, target: Uint8Array): void => {
          if (isWritten && place >= offset && place < offset + target.length) target.set(byte, place - offset)
        }
        const mapped = (file: DiskFile): DiskFile => ({
          ...file,
          read: (offset, length) =>
            Effect.tap(file.read(offset, length), (bytes) => Effect.sync(() => seen(offset, bytes))),
          readInto: (offset, target) =>
            Effect.tap(file.readInto(offset, target), () => Effect.sync(() => seen(offset, target)))
        })
        const clonedWith = (file: DiskFile): DiskFile => ({
          ...file,
          cloneFrom: (source) =>
            Effect.andThen(
              file.cloneFrom(source),
              Effect.suspend(() => {
                isWritten = true
                return file.write(place, [Uint8Array.from(byte)])
              })
            )
        })
        const shared = {
          ...disk,
          openRead: (at: DiskPath) => Effect.map(disk.openRead(at), mapped),
          create: (at: DiskPath) => Effect.map(disk.create(at), clonedWith)
        }
        const error = yield* Effect.gen(function* () {
          const { from, staging } = yield* stageMine
          yield* staging.write([mine.subarray(0, head)])
          // So that what is near by is at hand.
          yield* staging.copy(from, head, 1_000)
          yield* staging.copy(from, head + 1_000, contentBlockBytes + 1)
          const at = head + 1_000 + contentBlockBytes + 1
          yield* staging.copy(from, at, place - at + 10)
          yield* staging.copy(from, place + 10, middle.offset - place - 10)
          for (const step of steps.slice(2)) yield* take(staging, from, step)
          return yield* Effect.flip(staging.commit(yield* expected))
        }).pipe(Effect.scoped, Effect.provide(onDisk(shared)))
        assert.strictEqual(error._tag, "DigestMismatch")
        assert.strictEqual(nameOf((yield* control.files).get("folder/file") ?? mine), "base")
      })
    )

    it.effect("never commits what was cloned of it, though what was read is right", () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk()
        const error = yield* Effect.gen(function* () {
          const { from, staging } = yield* stageMine
          yield* overwrite(disk, last, new Uint8Array(10))
          yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
          for (const step of steps.slice(0, 3)) yield* take(staging, from, step)
          yield* overwrite(disk, last, base.subarray(last))
          for (const step of steps.slice(3)) yield* take(staging, from, step)
          return yield* Effect.flip(staging.commit(yield* expected))
        }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
        assert.strictEqual(error._tag, "DigestMismatch")
        assert.include(yield* control.journal, "cloneFrom")
        const files = yield* control.files
        assert.deepStrictEqual([...files.keys()], ["folder/file"])
        assert.strictEqual(nameOf(files.get("folder/file") ?? mine), "base")
      })
    )
  })
})

describe("an update on a disk that has no room for a second file", () => {
  const long = Fixture.bytes(7, clonedHeadBytesMax + 8 * mebibyte)
  /** What is new takes a little; the file beside itself would not fit. */
  const tight = { capacityBytes: long.length + clonedHeadBytesMax + mebibyte }
  const request = { name, size: long.length, modified: 5, resume, base: long.length }
  const part = 2 * mebibyte
  const changed = Fixture.bytes(8, part)
  const target = Bytes.concat([long.subarray(0, part), changed, long.subarray(2 * part)])

  const within = <A, E>(options: MemoryDisk.Options, update: Effect.Effect<A, E, FileStore | Digest | Scope.Scope>) =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({ ...tight, ...options }, long)
      const exit = yield* Effect.exit(Effect.provide(Effect.scoped(update), onDisk(disk)))
      const content = (yield* control.files).get(path.join("/")) ?? new Uint8Array(0)
      return { exit, content, staged: staged(yield* control.files) }
    })

  const refusal = (exit: Exit.Exit<unknown, { readonly _tag: string }>) =>
    Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause))?._tag : undefined

  const inPlace = Effect.gen(function* () {
    const store = yield* FileStore
    const from = yield* store.open(name)
    const staging = yield* store.stage(request)
    yield* staging.copy(from, 0, part)
    for (let at = 0; at < part; at += contentBlockBytes) {
      yield* staging.write([changed.subarray(at, at + contentBlockBytes)])
    }
    yield* staging.copy(from, 2 * part, long.length - 2 * part)
    yield* staging.commit({ size: long.length, digest: digestOf(yield* Digest, [target]) })
  })

  it.effect("is made in a clone", () =>
    Effect.gen(function* () {
      const { content, exit } = yield* within({}, inPlace)
      assert.isTrue(Exit.isSuccess(exit))
      assert.isTrue(Bytes.equals(content, target))
    })
  )

  it.effect("is made in a clone of a file that has just changed, once that is one that has not", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* MemoryDisk.make({ ...tight, clones: true })
      yield* control.plant(path, { kind: "file", content: long })
      const update = yield* Effect.forkChild(Effect.provide(Effect.scoped(inPlace), onDisk(disk)))
      yield* TestClock.adjust(versionGrainMilliseconds)
      yield* Fiber.join(update)
      assert.include(yield* control.journal, "cloneFrom")
      assert.isTrue(Bytes.equals((yield* control.files).get(path.join("/")) ?? long, target))
    })
  )

  it.effect("is refused as soon as it is no clone, and leaves nothing", () =>
    Effect.gen(function* () {
      const { content, exit, staged } = yield* within({ clones: false }, inPlace)
      assert.strictEqual(refusal(exit), "NoSpace")
      assert.isTrue(Bytes.equals(content, long))
      assert.deepStrictEqual(staged, [])
    })
  )

  it.effect("is refused once more is new than would go into a clone", () =>
    Effect.gen(function* () {
      let written = 0
      const { content, exit } = yield* within(
        {},
        Effect.gen(function* () {
          const staging = yield* (yield* FileStore).stage(request)
          for (; written < long.length; written += contentBlockBytes) {
            yield* staging.write([long.subarray(written, written + contentBlockBytes)])
          }
        })
      )
      assert.strictEqual(refusal(exit), "NoSpace")
      assert.strictEqual(written, clonedHeadBytesMax - (clonedHeadBytesMax % contentBlockBytes))
      assert.isTrue(Bytes.equals(content, long))
    })
  )

  it.effect("takes nothing that is promised to another, and fills no disk", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk(tight, long)
      const [first, second] = [FileName.make("first"), FileName.make("second")]
      const free = tight.capacityBytes - long.length
      // What is free behind it is what a clone needs at its beginning, and little more.
      const promised = 500 * kibibyte
      const written = Effect.gen(function* () {
        const store = yield* FileStore
        const from = yield* store.open(name)
        const other = yield* store.stage({ name: first, size: promised, modified: 5 })
        const update = yield* store.stage(request)
        yield* update.copy(from, 0, contentBlockBytes + 1)
        let count = 0
        const fill = Effect.forever(
          Effect.map(update.write([new Uint8Array(contentBlockBytes)]), () => void (count += 1))
        )
        assert.strictEqual((yield* Effect.flip(fill))._tag, "NoSpace")
        // Of the update nothing is left, and all that it held is free, though its scope is open.
        assert.deepStrictEqual(
          Array.from(staged(yield* control.files), ({ length }) => length),
          [0]
        )
        yield* Effect.scoped(store.stage({ name: second, size: free - promised, modified: 5 }))
        yield* other.write([new Uint8Array(promised)])
        return count
      })
      const count = yield* Effect.provide(Effect.scoped(written), onDisk(disk))
      assert.strictEqual(count, Math.floor(clonedHeadBytesMax / contentBlockBytes))
      assert.deepStrictEqual(staged(yield* control.files), [])
    })
  )

  it.effect("is refused at once where nothing is cloned", () =>
    Effect.gen(function* () {
      const small = Effect.flatMap(FileStore, (store) => store.stage({ ...request, base: clonedBytesMin - 1 }))
      const whole = Effect.flatMap(FileStore, (store) => store.stage({ name, size: long.length, modified: 5 }))
      assert.strictEqual(refusal((yield* within({}, small)).exit), "NoSpace")
      assert.strictEqual(refusal((yield* within({}, whole)).exit), "NoSpace")
    })
  )

  it.effect("begins again where what is left of it is too much for a clone", () =>
    Effect.gen(function* () {
      // What is missing of it takes more than a clone would.
      const size = 2 * clonedHeadBytesMax + 3 * part
      const begin = Effect.flatMap(FileStore, (store) => store.stage({ ...request, size }))
      const begun = Effect.gen(function* () {
        const from = yield* (yield* FileStore).open(name)
        yield* (yield* begin).copy(from, 0, clonedHeadBytesMax + part)
      })
      const resume = Effect.map(Effect.scoped(begin), ({ resumed }) => resumed)
      const on = (free: number) => newDisk({ capacityBytes: size + free }, new Uint8Array(size))
      const resumed = Effect.fnUntraced(function* (free: number) {
        const { disk } = yield* on(free)
        return yield* Effect.provide(Effect.andThen(Effect.scoped(begun), resume), onDisk(disk))
      })
      assert.strictEqual(yield* resumed(clonedHeadBytesMax + 2 * part), clonedHeadBytesMax + part)
      assert.strictEqual(yield* resumed(clonedHeadBytesMax + part), 0)
      // After a start nobody knows yet whether there are clones: what is left stays until there is room.
      const { control, disk } = yield* on(clonedHeadBytesMax + part)
      yield* Effect.provide(Effect.scoped(begun), onDisk(disk))
      assert.strictEqual((yield* Effect.flip(Effect.provide(resume, onDisk(disk))))._tag, "NoSpace")
      assert.deepStrictEqual(
        staged(yield* control.files).map(({ length }) => length),
        [clonedHeadBytesMax + part]
      )
    })
  )
})

describe("an update in a clone that is cut", () => {
  it.effect("is gone on with exactly where it was", () =>
    Effect.gen(function* () {
      for (let count = 1; count <= steps.length; count += 1) {
        const { control, disk } = yield* newDisk()
        const left = yield* Effect.gen(function* () {
          const { from, staging } = yield* stageMine
          yield* Effect.forEach(steps.slice(0, count), (step) => take(staging, from, step))
        }).pipe(Effect.scoped, Effect.provide(onDisk(disk)), Effect.andThen(control.files), Effect.map(staged))
        const done = steps.slice(0, count).reduce((total, { length }) => total + length, 0)
        // The first step alone is not worth keeping.
        assert.deepStrictEqual(
          left.map((content) => Bytes.equals(content, mine.subarray(0, done))),
          count === 1 ? [] : [true]
        )
        assert.strictEqual(yield* Effect.provide(para, onDisk(disk)), count === 1 ? 0 : done)
        assert.strictEqual(yield* Effect.provide(found, onDisk(disk)), "mine")
      }
    })
  )

  it.effect("is taken over by a newer one, which goes on where the older was last written down", () =>
    Effect.gen(function* () {
      const { disk } = yield* newDisk()
      yield* Effect.gen(function* () {
        const older = yield* stageMine
        for (const step of steps.slice(0, 3)) yield* take(older.staging, older.from, step)
        assert.strictEqual(yield* para, middle.offset + middle.length)
        assert.strictEqual((yield* Effect.flip(older.staging.write([mine.subarray(0, 1)])))._tag, "TakenOver")
        assert.strictEqual(yield* found, "mine")
      }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
    })
  )

  it.effect("of a killed process goes on from what was written down last", () =>
    Effect.gen(function* () {
      // So long that something is written down on the way.
      const large = Fixture.bytes(6, 1024 * kibibyte)
      const content = Bytes.concat(Array.from({ length: cloneMarkedBytes / large.length + 2 }, () => large))
      const { control, disk } = yield* newDisk({}, content)
      const size = content.length
      yield* Effect.gen(function* () {
        const store = yield* FileStore
        const from = yield* store.open(name)
        const request = { name, size, modified: 5, resume }
        const staging = yield* store.stage(request)
        yield* staging.copy(from, 0, cloneMarkedBytes + 2 * contentBlockBytes)
        yield* staging.write([new Uint8Array(10)])
        // No scope is closed when a process is killed.
        const next = FileStoreDisk.layer().pipe(
          Layer.provide([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
          Layer.provide(DigestNode.layer)
        )
        const resumed = yield* Effect.gen(function* () {
          const store = yield* FileStore
          return (yield* store.stage(request)).resumed
        }).pipe(Effect.scoped, Effect.provide(next, { local: true }))
        assert.isAtLeast(resumed, cloneMarkedBytes)
        assert.isBelow(resumed, cloneMarkedBytes + 2 * contentBlockBytes)
        const [left = new Uint8Array()] = staged(yield* control.files)
        assert.isTrue(Bytes.equals(left, content.subarray(0, resumed)))
      }).pipe(Effect.scoped, Effect.provide(onDisk(disk)))
    })
  )
})

describe("a disk that breaks during an update in a clone", () => {
  const undisturbed = Effect.gen(function* () {
    const { control, disk } = yield* newDisk()
    yield* Effect.provide(para, onDisk(disk))
    const journal = yield* control.journal
    // What a store does at its start, and before it creates a file, is broken elsewhere.
    return { first: journal.indexOf("create") + 1, last: journal.length, journal }
  })

  /** The name holds one of the two, and the same command ends right, whatever was left: without a second try. */
  const checkAfter = Effect.fnUntraced(function* (control: MemoryDisk.MemoryDisk["Service"], disk: Disk["Service"]) {
    assert.strictEqual(yield* control.openFiles, 0)
    assert.include(["base", "mine"], yield* Effect.provide(found, onDisk(disk)))
    const resumed = yield* Effect.provide(again, onDisk(disk))
    assert.strictEqual(yield* Effect.provide(found, onDisk(disk)), "mine")
    assert.strictEqual(yield* control.openFiles, 0)
    return resumed
  })

  /** Content in the place of copies, as the live file may be the new one already. */
  const again = Effect.gen(function* () {
    const { staging } = yield* stageMine
    for (const { length, offset } of stepsFrom(staging.resumed)) {
      yield* staging.write([mine.subarray(offset, offset + length)])
    }
    yield* staging.commit(yield* expected)
    return staging.resumed
  }).pipe(Effect.scoped)

  it.effect("a power cut at any operation leaves old or new, and what is left is the beginning of the new one", () =>
    Effect.gen(function* () {
      const { first, last } = yield* undisturbed
      // The seed decides what of it survives.
      const resumed = new Set<boolean>()
      for (let cut = first; cut <= last; cut += 1) {
        const { control, disk } = yield* newDisk({ seed: cut })
        yield* control.cutAt(cut)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.provide(para, onDisk(disk)))))
        yield* control.crash
        resumed.add((yield* checkAfter(control, disk)) > 0)
      }
      assert.deepStrictEqual(resumed, new Set([false, true]))
    })
  )

  it.effect("a failure of any operation leaves old or new, and nothing in the way", () =>
    Effect.gen(function* () {
      const { first, journal, last } = yield* undisturbed
      for (let nth = first; nth <= last; nth += 1) {
        const takesRoom = ["create", "cloneFrom", "write"].includes(journal[nth - 1] ?? "")
        const { control, disk } = yield* newDisk({ seed: nth })
        yield* control.failAt(nth, takesRoom ? "ENOSPC" : "EIO")
        yield* Effect.exit(Effect.provide(para, onDisk(disk)))
        yield* checkAfter(control, disk)
      }
    })
  )
})
