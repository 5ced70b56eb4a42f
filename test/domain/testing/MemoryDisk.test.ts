/**
 * What a disk in memory does when it fails, and that it does it again for the same seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Disk } from "../../../src/domain/store/Disk.ts"
import * as DiskClone from "../../../src/domain/store/DiskClone.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

const content = Fixture.bytes(1, 4_096)

/** Three files: synced with its name, synced without it, and not synced; then the power goes. */
const crashed = (seed: number) =>
  Effect.gen(function* () {
    const { control, disk } = yield* MemoryDisk.make({ seed })
    const save = (name: string, sync: boolean) =>
      Effect.scoped(
        Effect.gen(function* () {
          const file = yield* disk.create([name])
          yield* file.write(0, [content.subarray(0, 1_024)])
          yield* file.write(1_024, [content.subarray(1_024)])
          if (sync) yield* file.sync
        })
      )
    yield* save("whole", true)
    yield* disk.syncFolder([])
    yield* save("nameless", true)
    yield* save("lost", false)
    yield* control.crash
    return yield* control.files
  })

describe("a crash", () => {
  it.effect("keeps what was synced, loses what was not, and tears the last write", () =>
    Effect.gen(function* () {
      const lengths = new Set<number | undefined>()
      const names = new Set<boolean>()
      for (let seed = 1; seed <= 100; seed++) {
        const files = yield* crashed(seed)
        assert.deepStrictEqual(files.get("whole"), content)
        names.add(files.has("nameless"))
        if (files.has("nameless")) assert.deepStrictEqual(files.get("nameless"), content)
        const lost = files.get("lost")
        lengths.add(lost?.length)
        if (lost !== undefined) assert.isTrue(Bytes.equals(lost, content.subarray(0, lost.length)))
      }
      assert.deepStrictEqual(names, new Set([true, false]))
      // Gone, all there, torn in the first write, torn in the second.
      const torn = Array.from(lengths, (length = 0) => (length < 1_024 ? 1 : 2))
      assert.includeMembers([...lengths], [undefined, content.length])
      assert.includeMembers(torn, [1, 2])
      assert.isAbove(lengths.size, 20)
    })
  )

  it.effect("leaves a file as many names as there are of it", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 20; seed++) {
        const { control, disk } = yield* MemoryDisk.make({ seed })
        yield* control.plant(["a"], { kind: "file", content })
        yield* disk.link(["a"], ["b"])
        yield* disk.remove(["a"])
        yield* control.crash
        const files = yield* control.files
        for (const name of files.keys()) assert.strictEqual((yield* disk.stat([name])).links, files.size)
      }
    })
  )

  it.effect("leaves the same for the same seed", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 20; seed++) assert.deepStrictEqual(yield* crashed(seed), yield* crashed(seed))
    })
  )
})

describe("faults on demand", () => {
  for (const code of ["ENOSPC", "EIO", "EMFILE"]) {
    it.effect(`${code} at the operation that was named, and at no other; a write has written a part`, () =>
      Effect.gen(function* () {
        const { control, disk } = yield* MemoryDisk.make()
        yield* control.failAt(1, code)
        yield* control.failAt(3, code)
        assert.strictEqual((yield* Effect.flip(Effect.scoped(disk.create(["a"])))).code, code)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const file = yield* disk.create(["a"])
            assert.strictEqual((yield* Effect.flip(file.write(0, [content]))).code, code)
            const { length } = yield* file.read(0, 10_000)
            assert.strictEqual(length, content.length / 2)
            yield* file.write(0, [content])
          })
        )
        assert.deepStrictEqual((yield* control.files).get("a"), content)
        assert.strictEqual(yield* control.openFiles, 0)
      })
    )
  }

  it.effect("ENOSPC when it is full, after what fitted", () =>
    Effect.gen(function* () {
      const { disk } = yield* MemoryDisk.make({ capacityBytes: 1_000 })
      const file = yield* disk.create(["a"])
      assert.strictEqual((yield* Effect.flip(file.write(0, [content]))).code, "ENOSPC")
      assert.strictEqual((yield* file.read(0, 10_000)).length, 1_000)
    }).pipe(Effect.scoped)
  )
})

describe("the room that is left", () => {
  const free = Effect.flatMap(Disk, ({ freeBytes }) => freeBytes)
  const room = MemoryDisk.layer({ capacityBytes: 1_000, clones: true })

  it.effect("is not taken by holes, until they are written to", () =>
    Effect.gen(function* () {
      const file = yield* (yield* Disk).create(["sparse"])
      yield* file.truncate(5_000)
      assert.strictEqual(yield* free, 1_000)
      yield* file.write(100_000, [new Uint8Array(10)])
      assert.strictEqual(yield* free, 990)
      yield* file.write(4_000, [new Uint8Array(500)])
      yield* file.write(4_100, [new Uint8Array(500)])
      assert.strictEqual(yield* free, 390)
      assert.strictEqual((yield* Effect.flip(file.write(4_590, [new Uint8Array(401)]))).code, "ENOSPC")
      assert.strictEqual(yield* free, 0)
      yield* file.truncate(4_100)
      assert.strictEqual(yield* free, 900)
    }).pipe(Effect.scoped, Effect.provide(room))
  )

  it.effect("is taken once by what clones share, also when what they were cloned from is gone", () =>
    Effect.gen(function* () {
      const disk = yield* Disk
      const from = yield* DiskClone.opened(disk.create(["from"]))
      yield* from.write(0, [new Uint8Array(600)])
      const one = yield* DiskClone.opened(disk.create(["one"]))
      const two = yield* DiskClone.opened(disk.create(["two"]))
      yield* one.cloneFrom(from)
      yield* two.cloneFrom(one)
      assert.strictEqual(yield* free, 400)
      yield* Effect.andThen(disk.remove(["from"]), from.close)
      assert.strictEqual(yield* free, 400)
      yield* Effect.andThen(disk.remove(["one"]), one.close)
      assert.strictEqual(yield* free, 400)
      yield* two.write(100, [new Uint8Array(200)])
      assert.strictEqual(yield* free, 400)
      yield* disk.remove(["two"])
      // It has no name, and takes its room until it is closed.
      assert.strictEqual(yield* free, 400)
      yield* two.close
      assert.strictEqual(yield* free, 1_000)
    }).pipe(Effect.scoped, Effect.provide(room))
  )
})

describe("seeded randomness", () => {
  it.effect("gives the same bytes for the same seed, and others for another", () =>
    Effect.gen(function* () {
      const draw = (seed: number) =>
        Effect.flatMap(SecureRandom.SecureRandom, ({ randomBytes }) =>
          Effect.all([randomBytes(16), randomBytes(16)])
        ).pipe(Effect.provide(Fixture.secureRandom(seed)))
      const [first, second] = yield* draw(1)
      assert.deepStrictEqual(yield* draw(1), [first, second])
      assert.notDeepEqual(first, second)
      assert.notDeepEqual(yield* draw(2), [first, second])
    })
  )
})
