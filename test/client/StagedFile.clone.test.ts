import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Durability, type LocalSource, type LocalStaging } from "../../src/client/LocalFiles.ts"
import * as LocalTreeDisk from "../../src/client/LocalTreeDisk.ts"
import { temporaryName } from "../../src/client/StagedFile.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import {
  clonedBytesMin,
  cloneMarkedBytes,
  contentBlockBytes,
  resumeBytesMin,
  takenOverCheckBytes,
  versionGrainMilliseconds
} from "../../src/domain/limits.ts"
import * as CloneMark from "../../src/domain/store/CloneMark.ts"
import { type Disk, DiskError, type DiskFile, type DiskPath } from "../../src/domain/store/Disk.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { counting } from "../domain/store/countedDisk.ts"

const core = Layer.mergeAll(DigestNode.layer, NodeCrypto.layerSecureRandom)
const path = ["folder", "file"]
const kibibyte = 1024

const base = Fixture.bytes(1, clonedBytesMin + 300 * kibibyte)

/** A part of the server's file; `from`: where it stands in the older copy. */
interface Part {
  readonly bytes: Uint8Array
  readonly from?: number
}

const copied = (from: number, until: number): Part => ({ bytes: base.subarray(from, until), from })

/** New at the beginning, in the middle and behind the end, and once of the copy in another place. */
const head = 200 * kibibyte
const [middle, behind] = [head + 3 * 1024 * kibibyte, head + 3 * 1024 * kibibyte + 5_000]
const parts: ReadonlyArray<Part> = [
  { bytes: Fixture.bytes(2, head) },
  copied(head, middle),
  { bytes: Fixture.bytes(3, behind - middle) },
  copied(behind, base.length),
  copied(0, 300_000),
  { bytes: Fixture.bytes(4, 70_000) }
]
const wholeOf = (parts: ReadonlyArray<Part>): Uint8Array => Bytes.concat(parts.map(({ bytes }) => bytes))
const mine = wholeOf(parts)

/** What of them is behind so many bytes. */
const partsFrom = (parts: ReadonlyArray<Part>, done: number): ReadonlyArray<Part> => {
  let at = 0
  return parts.flatMap(({ bytes, from }) => {
    const skip = Math.min(bytes.length, Math.max(0, done - at))
    at += bytes.length
    if (skip === bytes.length) return []
    return [{ bytes: bytes.subarray(skip), ...(from !== undefined && { from: from + skip }) }]
  })
}

/** A process that gets files onto the disk. Every file must have its permissions before it has content. */
const processOn = (disk: Disk["Service"]) => {
  const prepared = new Map<string, number>()
  const tree = LocalTreeDisk.make({
    disk,
    pathOf: (name) => name,
    prepare: (_, temporary) =>
      Effect.map(disk.stat(temporary), ({ inode, size }) => {
        const id = String(inode)
        prepared.set(id, prepared.get(id) ?? size)
        return Effect.void
      }),
    leadsToNoFile: () => Effect.succeed(false),
    held: new Set(),
    services: (effect) => Effect.provide(effect, core)
  })
  return { prepared, place: tree.place("folder/file") }
}

type Place = ReturnType<typeof processOn>["place"]

const opened = (place: Place) => Effect.flatMap(place.open, (copy) => Effect.fromNullishOr(copy))

const begin = (place: Place, size = mine.length) =>
  Effect.gen(function* () {
    const copy = yield* opened(place)
    return { copy, staging: yield* place.stage({ size, modified: 5, resumable: true, base: copy }) }
  })

/** Takes parts; what stands in the copy is read there, in blocks. */
const take = Effect.fnUntraced(function* (staging: LocalStaging, copy: LocalSource, parts: ReadonlyArray<Part>) {
  for (const { bytes, from } of parts) {
    for (let at = 0; at < bytes.length; at += contentBlockBytes) {
      const length = Math.min(contentBlockBytes, bytes.length - at)
      if (from === undefined) yield* staging.write([bytes.subarray(at, at + length)])
      else yield* staging.write([yield* copy.read(from + at, length)], from + at)
    }
  }
})

const commit = (staging: LocalStaging, content = mine) =>
  Effect.flatMap(Digest, (digest) => staging.commit({ size: content.length, digest: digestOf(digest, [content]) }))

/** The whole download. */
const download = (place: Place) =>
  Effect.gen(function* () {
    const { copy, staging } = yield* begin(place)
    yield* take(staging, copy, parts)
    yield* commit(staging)
  }).pipe(Effect.scoped, Effect.provide(core))

/** The same behind whatever is left, with the server's content: the copy may be the new file already. Gives where. */
const again = (disk: Disk["Service"]) =>
  Effect.gen(function* () {
    const { place } = processOn(disk)
    const left = yield* place.leftover
    const staging = yield* left?.resume() ?? place.stage({ size: mine.length, modified: 5, resumable: true })
    const from = left?.from ?? 0
    if (from < mine.length) yield* staging.write([mine.subarray(from)])
    yield* commit(staging)
    return from
  }).pipe(Effect.scoped, Effect.provide(core))

const newDisk = Effect.fnUntraced(function* (options: MemoryDisk.Options = {}, content = base) {
  const made = yield* MemoryDisk.make({ clones: true, ...options })
  yield* made.control.plant(path, { kind: "file", content })
  yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
  return made
})

const nameOf = (content: Uint8Array | undefined): string =>
  content === undefined
    ? "none"
    : Bytes.equals(content, base)
      ? "base"
      : Bytes.equals(content, mine)
        ? "mine"
        : "a mixture"

const there = (control: MemoryDisk.MemoryDisk["Service"]) =>
  Effect.map(control.files, (files) => nameOf(files.get("folder/file")))

const staged = (files: ReadonlyMap<string, Uint8Array>) =>
  [...files].filter(([at]) => at.startsWith("folder/.")).map(([, content]) => content)

describe("a download onto an older copy where files can be cloned", () => {
  it.effect("writes what is new, and nothing of what stays where it was", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      const { counted, disk: watched } = counting(disk)
      const { place, prepared } = processOn(watched)
      yield* download(place)
      assert.strictEqual(yield* there(control), "mine")
      assert.strictEqual(counted.written, head + (behind - middle) + 300_000 + 70_000 + CloneMark.cloneMarkBytes)
      assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"])
      assert.strictEqual(yield* control.openFiles, 0)
      assert.deepStrictEqual([...prepared.values()], [0, 0])
      assert.strictEqual((yield* disk.stat(path)).modified, 5)
    })
  )

  const Lengths = Schema.Array(
    Schema.Struct({
      kind: Schema.Literals(["kept", "moved", "new"]),
      length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 700_000 }))
    })
  ).check(Schema.isMinLength(1), Schema.isMaxLength(12))

  it.effect.prop(
    "is the server's file, whatever stays, moves and comes, and wherever it is cut",
    [Lengths, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))],
    ([lengths, count]) =>
      Effect.gen(function* () {
        let at = 0
        const parts = lengths.map(({ kind, length }, index): Part => {
          const from = kind === "kept" ? at : (at * 7 + 1) % base.length
          const part = kind === "new" ? { bytes: Fixture.bytes(index, length) } : copied(from, from + length)
          at += part.bytes.length
          return part
        })
        const content = wholeOf(parts)
        const { control, disk } = yield* newDisk()
        const { place } = processOn(disk)
        const before = parts.slice(0, count)
        yield* Effect.scoped(
          Effect.flatMap(begin(place, content.length), ({ copy, staging }) => take(staging, copy, before))
        )
        const done = wholeOf(before).length
        assert.deepStrictEqual(
          staged(yield* control.files).map((left) => Bytes.equals(left, content.subarray(0, done))),
          done < resumeBytesMin ? [] : [true]
        )
        yield* Effect.gen(function* () {
          const left = yield* place.leftover
          const { copy, staging } =
            left === undefined
              ? yield* begin(place, content.length)
              : { copy: yield* opened(place), staging: yield* left.resume() }
          yield* take(staging, copy, partsFrom(parts, left?.from ?? 0))
          yield* commit(staging, content)
        }).pipe(Effect.scoped)
        assert.isTrue(Bytes.equals((yield* control.files).get("folder/file") ?? base, content))
        assert.strictEqual((yield* control.files).size, 1)
        assert.strictEqual(yield* control.openFiles, 0)
      }).pipe(Effect.provide(core)),
    { arbitrary: { runs: 25 } }
  )

  it.effect("makes a file that is shorter than the older one", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      const { place } = processOn(disk)
      const shorter = base.subarray(0, 500_000)
      yield* Effect.gen(function* () {
        const { copy, staging } = yield* begin(place, shorter.length)
        yield* take(staging, copy, [copied(0, shorter.length)])
        yield* commit(staging, shorter)
      }).pipe(Effect.scoped, Effect.provide(core))
      assert.isTrue(Bytes.equals((yield* control.files).get("folder/file") ?? base, shorter))
      assert.include(yield* control.journal, "cloneFrom")
    })
  )

  it.effect("says how far it is before it has the name that is gone on with", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk()
      yield* download(processOn(disk).place)
      const journal = yield* control.journal
      const begun = journal.indexOf("cloneFrom")
      assert.deepStrictEqual(journal.slice(begun - 3, journal.indexOf("rename") + 1), [
        "create",
        // What gives it its permissions looks at it here.
        "stat",
        "sync",
        "cloneFrom",
        "truncate",
        "write",
        "sync",
        "rename"
      ])
    })
  )

  it.effect(
    "is written whole where there are no clones, which is asked once, and of a copy that has just changed",
    () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk({ clones: false })
        const { place } = processOn(disk)
        for (const modified of [1, 2]) {
          yield* control.plant(path, { kind: "file", content: base })
          yield* TestClock.adjust(versionGrainMilliseconds + modified)
          yield* download(place)
          assert.strictEqual(yield* there(control), "mine")
        }
        assert.lengthOf(
          (yield* control.journal).filter((operation) => operation === "cloneFrom"),
          1
        )
        assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"])

        const young = yield* newDisk()
        yield* Effect.scoped(Effect.flatMap(young.disk.openWrite(path), ({ write }) => write(0, [base.subarray(0, 1)])))
        yield* download(processOn(young.disk).place)
        assert.strictEqual(yield* there(young.control), "mine")
        assert.notInclude(yield* young.control.journal, "cloneFrom")

        const small = yield* newDisk({}, base.subarray(0, clonedBytesMin - 1))
        yield* Effect.scoped(Effect.provide(begin(processOn(small.disk).place), core))
        assert.notInclude(yield* small.control.journal, "cloneFrom")
      })
  )

  describe("that somebody else writes to meanwhile", () => {
    const overwrite = (disk: Disk["Service"], offset: number, bytes: Uint8Array) =>
      Effect.scoped(Effect.flatMap(disk.openWrite(path), ({ write }) => write(offset, [bytes])))
    const last = base.length - 10

    it.effect("commits what it is told to, once the staged file itself has it", () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk()
        yield* Effect.gen(function* () {
          const { copy, staging } = yield* begin(processOn(disk).place)
          yield* take(staging, copy, parts.slice(0, 3))
          // Behind the clone: what is read of the copy from now on is not what is staged.
          yield* overwrite(disk, last, new Uint8Array(10))
          yield* take(staging, copy, parts.slice(3))
          yield* commit(staging)
        }).pipe(Effect.scoped, Effect.provide(core))
        assert.strictEqual(yield* there(control), "mine")
      })
    )

    it.effect("never commits what was cloned of it, though what was read is right", () =>
      Effect.gen(function* () {
        const { control, disk } = yield* newDisk()
        const error = yield* Effect.gen(function* () {
          const { place } = processOn(disk)
          const copy = yield* opened(place)
          yield* overwrite(disk, last, new Uint8Array(10))
          yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
          const staging = yield* place.stage({ size: mine.length, modified: 5, resumable: true, base: copy })
          yield* take(staging, copy, parts.slice(0, 3))
          yield* overwrite(disk, last, base.subarray(last))
          yield* take(staging, copy, parts.slice(3))
          return yield* Effect.flip(commit(staging))
        }).pipe(Effect.scoped, Effect.provide(core))
        assert.strictEqual(error.code, "digest-mismatch")
        assert.include(yield* control.journal, "cloneFrom")
        assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"])
        assert.strictEqual(yield* there(control), "base")
      })
    )
  })
})

describe("a download in a clone that ends early", () => {
  // So long that something is written down on the way.
  const block = Fixture.bytes(6, 1024 * kibibyte)
  const long = Bytes.concat(Array.from({ length: cloneMarkedBytes / block.length + 20 }, () => block))
  const beyond = cloneMarkedBytes + 2 * contentBlockBytes
  const keep = (staging: LocalStaging, from: number, until: number) =>
    Effect.gen(function* () {
      for (let at = from; at < until; at += contentBlockBytes) {
        yield* staging.write([long.subarray(at, Math.min(until, at + contentBlockBytes))], at)
      }
    })
  const isLong = (control: MemoryDisk.MemoryDisk["Service"]) =>
    Effect.map(control.files, (files) => Bytes.equals(files.get("folder/file") ?? base, long))

  it.effect("of a killed process goes on from what was written down last, in a file of its own", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, long)
      const dead = yield* Scope.make()
      const older = yield* Scope.provide(begin(processOn(disk).place, long.length), dead)
      yield* keep(older.staging, 0, beyond)
      // No scope is closed when a process is killed.
      const { place, prepared } = processOn(disk)
      yield* Effect.gen(function* () {
        const left = yield* Effect.fromNullishOr(yield* place.leftover)
        assert.isAtLeast(left.from, cloneMarkedBytes)
        assert.isBelow(left.from, beyond)
        const staging = yield* left.resume()
        // It was alive: what it still does must not be seen in what is gone on with.
        yield* older.staging.write([new Uint8Array(takenOverCheckBytes)])
        const error = yield* Effect.flip(older.staging.write([new Uint8Array(1)]))
        assert.strictEqual(error.code, "taken-over")
        yield* staging.write([long.subarray(left.from)])
        yield* commit(staging, long)
        yield* Scope.close(dead, Exit.void)
        assert.isTrue(yield* isLong(control))
      }).pipe(Effect.scoped)
      assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"])
      assert.deepStrictEqual([...prepared.values()], [0])
      assert.strictEqual(yield* control.openFiles, 0)
    }).pipe(Effect.provide(core))
  )

  it.effect("stays for later when too little of it was done, or nobody can say how much", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({}, long)
      const dead = yield* Scope.make()
      const { staging } = yield* Scope.provide(begin(processOn(disk).place, long.length), dead)
      const from = Effect.scoped(Effect.map(processOn(disk).place.leftover, (left) => left?.from))
      yield* keep(staging, 0, resumeBytesMin)
      assert.isUndefined(yield* from)
      yield* keep(staging, resumeBytesMin, beyond)
      const entry = [...(yield* control.files).keys()].find((at) => at.startsWith("folder/.")) ?? ""
      yield* Effect.scoped(
        Effect.flatMap(disk.openWrite(entry.split("/")), ({ write }) => write(long.length + 20, [Uint8Array.of(1)]))
      )
      assert.isUndefined(yield* from)
      assert.include([...(yield* control.files).keys()], entry)
      // Nobody has it: it ends as it would have.
      yield* keep(staging, beyond, long.length)
      yield* commit(staging, long)
      yield* Scope.close(dead, Exit.void)
      assert.isTrue(yield* isLong(control))
    }).pipe(Effect.provide(core))
  )
})

/** The disk of a process that is killed before its `last` operation: from then on it does nothing. */
const killedAt = (disk: Disk["Service"], last: number) => {
  let count = 0
  const alive = <A, R>(effect: Effect.Effect<A, DiskError, R>): Effect.Effect<A, DiskError, R> =>
    Effect.suspend(() => {
      count += 1
      return count < last ? effect : Effect.fail(new DiskError({ operation: "killed", code: "EIO" }))
    })
  const fileOf = (file: DiskFile): DiskFile => ({
    stat: alive(file.stat),
    read: (offset, length) => alive(file.read(offset, length)),
    readInto: (offset, target) => alive(file.readInto(offset, target)),
    write: (offset, parts) => alive(file.write(offset, parts)),
    truncate: (length) => alive(file.truncate(length)),
    cloneFrom: (source) => alive(file.cloneFrom(source)),
    named: file.named,
    setModified: (milliseconds) => alive(file.setModified(milliseconds)),
    setExecutable: (executable) => alive(file.setExecutable(executable)),
    sync: alive(file.sync)
  })
  return {
    ...disk,
    openRead: (at: DiskPath) => alive(Effect.map(disk.openRead(at), fileOf)),
    openWrite: (at: DiskPath) => alive(Effect.map(disk.openWrite(at), fileOf)),
    create: (at: DiskPath) => alive(Effect.map(disk.create(at), fileOf)),
    stat: (at: DiskPath) => alive(disk.stat(at)),
    rename: (from: DiskPath, to: DiskPath) => alive(disk.rename(from, to)),
    remove: (at: DiskPath) => alive(disk.remove(at)),
    syncFolder: (at: DiskPath) => alive(disk.syncFolder(at))
  }
}

describe("a download in a clone that breaks at any moment", () => {
  const undisturbed = Effect.gen(function* () {
    const { control, disk } = yield* newDisk()
    yield* download(processOn(disk).place)
    return yield* control.journal
  })

  /** The name holds one of the two, and the same command ends right, whatever was left: without a second try. */
  const checkAfter = Effect.fnUntraced(function* (control: MemoryDisk.MemoryDisk["Service"], disk: Disk["Service"]) {
    assert.strictEqual(yield* control.openFiles, 0)
    assert.include(["base", "mine"], yield* there(control))
    const from = yield* again(disk)
    assert.strictEqual(yield* there(control), "mine")
    assert.strictEqual(yield* control.openFiles, 0)
    return from
  })

  for (const durability of ["full", "os"] as const) {
    it.effect(`killed at any operation, with '${durability}', it leaves old or new, and the new one's beginning`, () =>
      Effect.gen(function* () {
        const { length } = yield* undisturbed
        const resumed = new Set<boolean>()
        for (let last = 1; last <= length; last += 1) {
          const { control, disk } = yield* newDisk()
          yield* Effect.exit(download(processOn(killedAt(disk, last)).place))
          resumed.add((yield* checkAfter(control, disk)) > 0)
        }
        // What is left may be whole, and only lack its name.
        assert.deepStrictEqual(resumed, new Set([false, true]))
      }).pipe(Effect.provideService(Durability, durability))
    )
  }

  it.effect("a power cut at any operation leaves old or new, and what is left is the beginning of the new one", () =>
    Effect.gen(function* () {
      const { length } = yield* undisturbed
      for (let cut = 1; cut <= length; cut += 1) {
        const { control, disk } = yield* newDisk({ seed: cut })
        yield* control.cutAt(cut)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(download(processOn(disk).place))))
        yield* control.crash
        yield* checkAfter(control, disk)
      }
    })
  )

  it.effect("a failure of any operation leaves old or new, and nothing in the way", () =>
    Effect.gen(function* () {
      for (const [index, operation] of (yield* undisturbed).entries()) {
        const takesRoom = ["create", "cloneFrom", "write"].includes(operation)
        const { control, disk } = yield* newDisk({ seed: index + 1 })
        yield* control.failAt(index + 1, takesRoom ? "ENOSPC" : "EIO")
        yield* Effect.exit(download(processOn(disk).place))
        yield* checkAfter(control, disk)
        assert.deepStrictEqual([...(yield* control.files).keys()], ["folder/file"], operation)
      }
    })
  )

  for (const clones of [true, false]) {
    it.effect(`a full disk leaves the beginning to go on with, ${clones ? "with" : "without"} clones`, () =>
      Effect.gen(function* () {
        const { control: before, disk } = yield* newDisk({ clones })
        yield* download(processOn(disk).place)
        const kept: Record<string, number> = {}
        for (const [index, operation] of (yield* before.journal).entries()) {
          if (operation !== "write") continue
          for (const code of ["ENOSPC", "EDQUOT", "EIO"]) {
            const { control, disk } = yield* newDisk({ clones, seed: index + 1 })
            yield* control.failAt(index + 1, code)
            yield* Effect.exit(download(processOn(disk).place))
            for (const left of staged(yield* control.files)) {
              kept[code] = (kept[code] ?? 0) + 1
              assert.isTrue(Bytes.equals(left, mine.subarray(0, left.length)), `${code} at ${index + 1}`)
            }
            yield* checkAfter(control, disk)
          }
        }
        assert.deepStrictEqual(Object.keys(kept), ["ENOSPC", "EDQUOT"])
      })
    )
  }

  it.effect("what a full disk has taken of one write is gone on with, once there is room", () =>
    Effect.gen(function* () {
      const { control, disk } = yield* newDisk({ capacityBytes: base.length + mine.length })
      const { place } = processOn(disk)
      const first = 2 * resumeBytesMin
      yield* Effect.gen(function* () {
        const staging = yield* place.stage({ size: mine.length, modified: 5, resumable: true })
        yield* staging.write([mine.subarray(0, first)])
        yield* control.plant(["folder", "other"], { kind: "file", content: new Uint8Array(first) })
        assert.strictEqual((yield* Effect.flip(staging.write([mine.subarray(first)]))).code, "ENOSPC")
      }).pipe(Effect.scoped)
      const [left] = staged(yield* control.files)
      assert.isTrue(left !== undefined && Bytes.equals(left, mine.subarray(0, left.length)))
      yield* disk.remove(["folder", "other"])
      assert.strictEqual(yield* again(disk), left?.length)
      assert.strictEqual(yield* there(control), "mine")
    }).pipe(Effect.provide(core))
  )

  it.effect("so does going on with what a killed one has left, which is there again until it is gone on with", () =>
    Effect.gen(function* () {
      const done = 2 * resumeBytesMin
      const mark = CloneMark.encode(yield* Digest, done)
      const content = Bytes.concat([mine.subarray(0, done), base.subarray(done), new Uint8Array(500_000), mark])
      const name = temporaryName("file", { size: mine.length, modified: 5 }, "0".repeat(24))
      const leftDisk = Effect.gen(function* () {
        const made = yield* newDisk()
        yield* made.control.plant(["folder", name], { kind: "file", content })
        return made
      })
      const whole = yield* leftDisk
      assert.strictEqual(yield* checkAfter(whole.control, whole.disk), done)
      const journal = yield* whole.control.journal
      const gone = journal.indexOf("rename") + 1
      for (let nth = 1; nth <= journal.length; nth += 1) {
        const killed = yield* leftDisk
        yield* Effect.exit(again(killedAt(killed.disk, nth)))
        // Until it has a file of its own it has changed nothing.
        const from = yield* checkAfter(killed.control, killed.disk)
        if (nth <= gone + 1) assert.strictEqual(from, done, journal[nth - 1])

        const { control, disk } = yield* leftDisk
        yield* control.failAt(nth, "EIO")
        yield* Effect.exit(again(disk))
        yield* checkAfter(control, disk)
      }
    }).pipe(Effect.provide(core))
  )
})
