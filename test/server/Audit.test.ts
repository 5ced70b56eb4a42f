/**
 * The audit log: both layers by one contract, the files also by crashes, full and failing disks.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/domain/Bytes.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  auditBatchBytesMax,
  auditDelayMilliseconds,
  auditKeptInMemoryMax,
  auditRecordBytesMax,
  auditRetryMilliseconds,
  auditWaitingMax,
  nameBytesMax
} from "../../src/domain/limits.ts"
import { Disk, DiskError, type DiskFile, type DiskPath } from "../../src/domain/store/Disk.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { Audit, type AuditRecord } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { auditContract, readAll, recordOf } from "../../src/server/testing/auditContract.ts"
import { logTo, settle, Watch, watchLayer } from "./world.ts"

describe("contract", () => {
  for (const { effect, name } of auditContract) {
    it.effect(`in files: ${name}`, () =>
      Effect.provide(effect, AuditFile.layer({ fileBytes: 1024 * 1024 }).pipe(Layer.provide(MemoryDisk.layer())))
    )
    it.effect(`in memory: ${name}`, () => Effect.provide(effect, Audit.layerMemory))
  }

  /** How many cases such a log fails, which is otherwise as the one in memory. */
  const failed = (broken: (good: Audit["Service"]) => Partial<Audit["Service"]>) => {
    const layer = Layer.effect(
      Audit,
      Effect.map(Audit, (good) => Audit.of({ ...good, ...broken(good) }))
    ).pipe(Layer.provide(Audit.layerMemory))
    return Effect.map(
      Effect.forEach(auditContract, ({ effect }) => Effect.exit(Effect.provide(effect, layer, { local: true }))),
      (exits) => exits.filter(Exit.isFailure).length
    )
  }
  it.effect("a log that loses, changes or mixes up records breaks it", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* failed(() => ({})), 0)
      assert.strictEqual(yield* failed(() => ({ record: () => Effect.void })), 3)
      assert.strictEqual(
        yield* failed((good) => ({ recordAll: (all) => good.recordAll(all.slice(0, auditWaitingMax)) })),
        1
      )
      assert.strictEqual(yield* failed((good) => ({ recordAll: (all) => good.recordAll(all.toReversed()) })), 1)
      assert.strictEqual(yield* failed((good) => ({ record: (one) => good.record({ ...one, time: "" }) })), 3)
      assert.strictEqual(yield* failed(() => ({ writing: Effect.succeed(false) })), 1)
    })
  )

  it.effect("in memory: the oldest go", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      yield* Effect.forEach(Array.from({ length: auditKeptInMemoryMax + 1 }), (_, index) =>
        audit.record(recordOf(index))
      )
      const kept = yield* readAll
      assert.strictEqual(kept.length, auditKeptInMemoryMax)
      assert.deepStrictEqual(kept[0], recordOf(1))
    }).pipe(Effect.provide(Audit.layerMemory))
  )
})

type Machine = Effect.Success<ReturnType<typeof MemoryDisk.make>>

/** A log on a disk, and the way to end the program that writes it. */
const start = Effect.fnUntraced(function* ({ disk }: Machine, options: AuditFile.Options = {}) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(AuditFile.layer(options), scope).pipe(Effect.provideService(Disk, disk))
  return { audit: Context.get(context, Audit), stop: Scope.close(scope, Exit.void) }
})

const readFrom = (audit: Audit["Service"]) => Effect.provideService(readAll, Audit, audit)

const numbers = (records: ReadonlyArray<AuditRecord>) =>
  records.map((record) => (record._tag === "command" ? record.bytes : record._tag))

describe("in time", () => {
  it.effect("a record is durable after the delay, and not before", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const { audit } = yield* start(machine)
      yield* audit.record(recordOf(1))
      yield* TestClock.adjust(auditDelayMilliseconds - 1)
      assert.strictEqual(yield* audit.waiting, 1)
      yield* TestClock.adjust(1)
      yield* audit.flush
      yield* machine.control.crash
      assert.deepStrictEqual(numbers(yield* readFrom((yield* start(machine)).audit)), [1])
    })
  )

  it.effect("who waits for what was put in line waits for nothing that comes later, however much that is", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      let others: Audit["Service"] | undefined
      let syncs = 0
      // While anything becomes durable somebody puts another record in line.
      const busy = (file: DiskFile): DiskFile => ({
        ...file,
        sync: Effect.andThen(
          Effect.suspend(() => ((syncs += 1) <= 20 && others ? others.record(recordOf(2)) : Effect.void)),
          file.sync
        )
      })
      const create = (path: DiskPath) => Effect.map(machine.disk.create(path), busy)
      const { audit } = yield* start({ ...machine, disk: { ...machine.disk, create } })
      others = audit
      yield* audit.record(recordOf(1))
      yield* audit.flush
      assert.strictEqual(syncs, 1)
      others = undefined
      yield* audit.flush
      assert.deepStrictEqual(numbers(yield* readFrom(audit)).slice(0, 2), [1, 2])
      assert.strictEqual(yield* audit.waiting, 0)
    })
  )

  it.effect("a batch is written at once when it is large, and one fsync serves many records", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const { audit } = yield* start(machine)
      const syncs = Effect.map(machine.control.journal, (all) => all.filter((operation) => operation === "sync").length)
      const before = yield* syncs
      yield* Effect.forEach(Array.from({ length: 1000 }), (_, index) => audit.record(recordOf(index)))
      yield* audit.flush
      assert.strictEqual((yield* syncs) - before, 1)
      const line = JSON.stringify(recordOf(1000)).length
      const many = Array.from({ length: Math.ceil(auditBatchBytesMax / line) }, () => recordOf(1000))
      yield* Effect.forEach(many, audit.record)
      // No time passes: the size alone makes it write.
      for (let turn = 0; turn < 100 && (yield* audit.waiting) >= many.length; turn++) yield* Effect.yieldNow
      assert.isBelow(yield* audit.waiting, many.length)
    })
  )

  it.effect("a batch is of bounded size in whatever script, and a large one hurries none of those behind it", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const written: Array<number> = []
      const create: Disk["Service"]["create"] = (path) =>
        Effect.map(machine.disk.create(path), (file) => ({
          ...file,
          write: (offset, parts) =>
            Effect.tap(file.write(offset, parts), () => Effect.sync(() => void written.push(Bytes.lengthOf(parts))))
        }))
      const { audit } = yield* start({ ...machine, disk: { ...machine.disk, create } })
      const name = FileName.make(Array.from({ length: 4 }, () => "日".repeat(60)).join("/"))
      const wide = { ...recordOf(0), name }
      const count = Math.ceil(auditBatchBytesMax / JSON.stringify(wide).length) - 1
      yield* audit.recordAll(Array.from({ length: count }, () => wide))
      yield* audit.recordAll(Array.from({ length: count }, () => wide))
      yield* audit.flush
      assert.isAtMost(Math.max(...written), auditBatchBytesMax)
      yield* TestClock.adjust(auditDelayMilliseconds)
      yield* audit.record(recordOf(1))
      yield* settle
      assert.strictEqual(yield* audit.waiting, 1)
    })
  )

  it.effect("what waits at the end of the program is written, in whichever file", () =>
    Effect.gen(function* () {
      for (const before of [0, 1, 5, 20]) {
        const machine = yield* MemoryDisk.make()
        const { audit, stop } = yield* start(machine, { fileBytes: 500 })
        for (let index = 0; index < before; index++) {
          yield* audit.record(recordOf(index))
          yield* audit.flush
        }
        yield* audit.record(recordOf(before))
        yield* stop
        assert.strictEqual(yield* machine.control.openFiles, 0)
        yield* machine.control.crash
        const kept = numbers(yield* readFrom((yield* start(machine)).audit))
        assert.strictEqual(kept.at(-1), before)
      }
    })
  )
})

describe("in bounds", () => {
  it("the longest name fits a line", () => {
    const escaped = JSON.stringify({ ...recordOf(1), name: '"'.repeat(nameBytesMax), digest: "x".repeat(200) })
    assert.isBelow(escaped.length, auditRecordBytesMax)
  })

  it.effect("a file that goes while the records are read takes only its own from the reader", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const { audit } = yield* start(machine, { fileBytes: 100, files: 3 })
      const keep = (number: number) => Effect.andThen(audit.record(recordOf(number)), audit.flush)
      for (const number of [0, 1, 2]) yield* keep(number)
      // Each record is a file, and while the first is looked at two new ones take the place of the others.
      const kept = yield* audit.records.pipe(
        Stream.mapEffect((record) =>
          Effect.as(numbers([record])[0] === 0 ? Effect.andThen(keep(3), keep(4)) : Effect.void, record)
        ),
        Stream.runCollect
      )
      assert.deepStrictEqual(numbers(kept), [0, 2])
    })
  )

  it.effect("files are of a size also where many records are written at once, and a batch could be larger", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const { audit } = yield* start(machine, { fileBytes: 1000, files: 100 })
      yield* audit.recordAll(Array.from({ length: 50 }, (_, index) => recordOf(index)))
      yield* audit.flush
      for (const content of (yield* machine.control.files).values()) assert.isAtMost(content.length, 1000)
      assert.deepStrictEqual(
        numbers(yield* readFrom(audit)),
        Array.from({ length: 50 }, (_, index) => index)
      )
    })
  )

  it.effect("files are of a size and a number, and the newest records stay", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const { audit, stop } = yield* start(machine, { fileBytes: 1000, files: 3 })
      for (let index = 0; index < 100; index++) {
        yield* audit.record(recordOf(index))
        yield* audit.flush
      }
      const files = yield* machine.control.files
      assert.strictEqual(files.size, 3)
      for (const content of files.values()) assert.isAtMost(content.length, 1000)
      const kept = numbers(yield* readFrom(audit))
      assert.isAbove(kept.length, 10)
      assert.deepStrictEqual(
        kept,
        Array.from({ length: kept.length }, (_, index) => 100 - kept.length + index)
      )
      // Another start goes on in the same file.
      yield* stop
      const again = (yield* start(machine, { fileBytes: 100_000, files: 3 })).audit
      yield* again.record(recordOf(100))
      yield* again.flush
      assert.strictEqual((yield* machine.control.files).size, 3)
      assert.deepStrictEqual(numbers(yield* readFrom(again)), [...kept, 100])
    })
  )
})

describe("a power cut", () => {
  it.effect("at any operation loses nothing that was durable and leaves a log that goes on", () =>
    Effect.gen(function* () {
      let cuts = 0
      for (let seed = 1; seed <= 4; seed++) {
        for (let operation = 1; ; operation++) {
          const machine = yield* MemoryDisk.make({ seed })
          yield* machine.control.cutAt(operation)
          let durable = 0
          const begun = yield* Effect.exit(start(machine, { fileBytes: 400, files: 100 }))
          if (Exit.isSuccess(begun)) {
            const { audit } = begun.value
            for (let index = 0; index < 8; index++) {
              yield* audit.record(recordOf(index))
              yield* audit.flush
              if (!(yield* audit.writing)) break
              durable = index + 1
            }
          }
          const cut = (yield* machine.control.operations) >= operation
          yield* machine.control.crash
          const { audit } = yield* start(machine, { fileBytes: 400, files: 100 })
          const kept = numbers(yield* readFrom(audit))
          assert.isAtLeast(kept.length, durable, `seed ${seed}, operation ${operation}`)
          assert.deepStrictEqual(
            kept,
            kept.map((_, index) => index)
          )
          yield* audit.record(recordOf(99))
          yield* audit.flush
          assert.deepStrictEqual(numbers(yield* readFrom(audit)), [...kept, 99])
          if (!cut) break
          cuts += 1
        }
      }
      assert.isAbove(cuts, 100)
    })
  )
})

describe("a disk that fails", () => {
  it.effect("at any operation: the log says so, and has every record once and for good when the disk is well", () =>
    Effect.gen(function* () {
      const of = (records: ReadonlyArray<number | string>) => records.filter((one) => typeof one === "number")
      for (const [code, fileBytes] of [
        ["ENOSPC", 300],
        ["EIO", 300],
        ["EIO", 500],
        ["EIO", 900]
      ] as const) {
        for (let after = 1; ; after++) {
          const machine = yield* MemoryDisk.make({ seed: after })
          const { audit } = yield* start(machine, { fileBytes })
          const at = (yield* machine.control.operations) + after
          yield* machine.control.failAt(at, code)
          for (let index = 0; index < 6; index++) {
            yield* audit.record(recordOf(index))
            yield* audit.flush
          }
          if ((yield* machine.control.operations) < at) {
            assert.isAbove(after, 18)
            break
          }
          const failed = !(yield* audit.writing)
          yield* TestClock.adjust(auditRetryMilliseconds + auditDelayMilliseconds)
          yield* audit.flush
          assert.isTrue(yield* audit.writing)
          const kept = numbers(yield* readFrom(audit))
          assert.deepStrictEqual(of(kept), [0, 1, 2, 3, 4, 5], `${code} ${after}`)
          assert.strictEqual(kept.filter((one) => one === "recovered").length, failed ? 1 : 0)
          yield* machine.control.crash
          const then = numbers(yield* readFrom((yield* start(machine)).audit))
          assert.deepStrictEqual(of(then), [0, 1, 2, 3, 4, 5], `${code} ${fileBytes} ${after}, then a power cut`)
        }
      }
    })
  )

  it.effect("as a file is opened anew: that file is closed", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      let failing = false
      const unlessFailing = <A>(operation: string, work: Effect.Effect<A, DiskError>) =>
        Effect.suspend(() => (failing ? Effect.fail(new DiskError({ operation, code: "EIO" })) : work))
      const failingFile = (file: DiskFile): DiskFile => ({
        ...file,
        stat: unlessFailing("stat", file.stat),
        sync: unlessFailing("sync", file.sync)
      })
      const disk: Disk["Service"] = {
        ...machine.disk,
        openWrite: (path) => Effect.map(machine.disk.openWrite(path), failingFile),
        create: (path) => Effect.map(machine.disk.create(path), failingFile)
      }
      const { audit } = yield* start({ ...machine, disk })
      yield* audit.record(recordOf(0))
      yield* audit.flush
      assert.strictEqual(yield* machine.control.openFiles, 1)
      failing = true
      yield* audit.record(recordOf(1))
      yield* audit.flush
      const again = auditRetryMilliseconds + auditDelayMilliseconds
      yield* TestClock.adjust(again)
      yield* audit.flush
      assert.isFalse(yield* audit.writing)
      assert.strictEqual(yield* machine.control.openFiles, 0)
      failing = false
      yield* TestClock.adjust(again)
      yield* audit.flush
      assert.deepStrictEqual(numbers(yield* readFrom(audit)), [0, 1, "recovered"])
    })
  )

  it.effect("for long: nobody waits, what finds no room is counted, and the count is on record", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make({ capacityBytes: 0 })
      const { audit } = yield* start(machine)
      yield* Effect.forEach(Array.from({ length: auditWaitingMax + 7 }), (_, index) => audit.record(recordOf(index)))
      assert.isFalse(yield* audit.writing)
      assert.strictEqual(yield* audit.waiting, auditWaitingMax)
    })
  )

  it.effect("again: what was lost before is not counted a second time", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      let failing = false
      const unlessFailing = (file: DiskFile): DiskFile => ({
        ...file,
        sync: Effect.suspend(() =>
          failing ? Effect.fail(new DiskError({ operation: "sync", code: "EIO" })) : file.sync
        )
      })
      const create: Disk["Service"]["create"] = (path) => Effect.map(machine.disk.create(path), unlessFailing)
      const openWrite: Disk["Service"]["openWrite"] = (path) => Effect.map(machine.disk.openWrite(path), unlessFailing)
      const { audit } = yield* start({ ...machine, disk: { ...machine.disk, create, openWrite } })
      for (const lost of [7, 2]) {
        failing = true
        yield* audit.record(recordOf(0))
        yield* audit.flush
        const more = Array.from({ length: auditWaitingMax - 1 + lost }, (_, index) => recordOf(index + 1))
        yield* audit.recordAll(more)
        failing = false
        yield* TestClock.adjust(auditRetryMilliseconds + auditDelayMilliseconds)
        yield* audit.flush
      }
      const records = yield* readFrom(audit)
      const told = records.flatMap((record) => (record._tag === "recovered" ? [record.lost] : []))
      assert.deepStrictEqual(told, [7, 2])
      assert.strictEqual(records.length, 2 * auditWaitingMax + 2)
    })
  )

  it.effect("to remove one of its files: nobody is refused, and those behind it go all the same", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const stays: DiskPath = ["audit-00000001.jsonl"]
      const remove: Disk["Service"]["remove"] = (path) =>
        path[0] === stays[0]
          ? Effect.fail(new DiskError({ operation: "remove", code: "EPERM" }))
          : machine.disk.remove(path)
      const { audit } = yield* start({ ...machine, disk: { ...machine.disk, remove } }, { fileBytes: 1000, files: 3 })
      for (let index = 0; index < 100; index++) {
        yield* audit.record(recordOf(index))
        yield* audit.flush
        assert.isTrue(yield* audit.writing)
      }
      assert.strictEqual((yield* machine.control.files).size, 4)
      assert.strictEqual(numbers(yield* readFrom(audit)).at(-1), 99)
    })
  )

  it.effect("from the start: the server does not start", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      yield* machine.control.failAt(1, "EACCES")
      const error = yield* Effect.flip(start(machine))
      assert.strictEqual(error.message, "the audit log cannot be used: list: no permission")
    })
  )
})

describe("a server that stops while its log cannot be written", () => {
  it.effect("says how many records are lost", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make({ capacityBytes: 0 })
      const { audit, stop } = yield* start(machine)
      yield* Effect.forEach([1, 2, 3], (index) => audit.record(recordOf(index)))
      yield* audit.flush
      yield* settle
      yield* stop
      const lines = (yield* Watch).lines.map(({ annotations }) => [annotations["event"], annotations["lost"]])
      assert.deepStrictEqual(lines, [
        ["audit-failed", undefined],
        ["audit-lost", 3]
      ])
    }).pipe(Effect.provide(logTo.pipe(Layer.provideMerge(watchLayer))))
  )
})

describe("a file that has the last number of eight digits", () => {
  it.effect("longer ones begin with no zero: what does is somebody's own file", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      yield* machine.control.plant(["audit-000000007.jsonl"], { kind: "file", content: new Uint8Array(100) })
      const { audit } = yield* start(machine, { fileBytes: 1, files: 2 })
      yield* Effect.andThen(audit.record(recordOf(0)), audit.flush)
      assert.deepStrictEqual(numbers(yield* readFrom(audit)), [0])
      const names = Array.from(yield* Stream.runCollect(machine.disk.list([])), ({ name }) => name)
      assert.deepStrictEqual(names.toSorted(), ["audit-000000007.jsonl", "audit-00000001.jsonl"])
    })
  )

  it.effect("makes the numbers longer: files behind it are read, go on, and go in their turn", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      yield* machine.control.plant(["audit-99999999.jsonl"], { kind: "file", content: new Uint8Array(100) })
      const options = { fileBytes: 1, files: 2 }
      const { audit, stop } = yield* start(machine, options)
      for (const index of [0, 1, 2]) yield* Effect.andThen(audit.record(recordOf(index)), audit.flush)
      yield* stop
      const again = (yield* start(machine, options)).audit
      yield* Effect.andThen(again.record(recordOf(3)), again.flush)
      assert.deepStrictEqual(numbers(yield* readFrom(again)), [2, 3])
      const names = Array.from(yield* Stream.runCollect(machine.disk.list([])), ({ name }) => name)
      assert.deepStrictEqual(names.toSorted(), ["audit-100000002.jsonl", "audit-100000003.jsonl"])
    })
  )
})

describe("a server that stops when all of its log is written", () => {
  for (const [what, happens] of [
    [
      "its disk fails",
      ({ control }: Machine) => Effect.flatMap(control.operations, (n) => control.failAt(n + 1, "EIO"))
    ],
    ["its file was taken away", ({ disk }: Machine) => disk.remove(["audit-00000001.jsonl"])]
  ] as const) {
    it.effect(`says nothing and begins nothing, though ${what}`, () =>
      Effect.gen(function* () {
        const machine = yield* MemoryDisk.make()
        const { audit, stop } = yield* start(machine)
        yield* Effect.andThen(audit.record(recordOf(1)), audit.flush)
        yield* happens(machine)
        const before = yield* machine.control.files
        yield* stop
        assert.deepStrictEqual((yield* Watch).lines, [])
        assert.deepStrictEqual(yield* machine.control.files, before)
      }).pipe(Effect.provide(logTo.pipe(Layer.provideMerge(watchLayer))))
    )
  }
})

describe("a file that somebody takes away", () => {
  const first: DiskPath = ["audit-00000001.jsonl"]
  const deeds: Record<string, (machine: Machine) => Effect.Effect<unknown, DiskError>> = {
    removed: ({ disk }) => disk.remove(first),
    moved: ({ disk }) => disk.rename(first, ["elsewhere"]),
    "replaced by another": ({ control, disk }) =>
      Effect.andThen(disk.remove(first), control.plant(first, { kind: "file", content: new Uint8Array(5_000) }))
  }
  for (const [deed, does] of Object.entries(deeds)) {
    it.effect(`${deed}: the next record is in a new one, and so are those after it`, () =>
      Effect.gen(function* () {
        const machine = yield* MemoryDisk.make()
        const { audit } = yield* start(machine)
        const put = (index: number) => Effect.andThen(audit.record(recordOf(index)), audit.flush)
        yield* put(0)
        yield* does(machine)
        yield* put(1)
        yield* put(2)
        assert.isTrue(yield* audit.writing)
        assert.deepStrictEqual(numbers(yield* readFrom(audit)), [1, 2])
        const names = Array.from(yield* Stream.runCollect(machine.disk.list([])), ({ name }) => name)
        assert.include(names, "audit-00000002.jsonl")
        // A start finds them as well.
        assert.deepStrictEqual(numbers(yield* readFrom((yield* start(machine)).audit)), [1, 2])
      })
    )
  }

  it.effect("or cuts: nothing is written where it ended", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      let cut = false
      const stat: Disk["Service"]["stat"] = (path) =>
        Effect.map(machine.disk.stat(path), (there) => (cut ? { ...there, size: there.size - 1 } : there))
      const { audit } = yield* start({ ...machine, disk: { ...machine.disk, stat } })
      for (const index of [0, 1, 2]) {
        yield* audit.record(recordOf(index))
        yield* audit.flush
        cut = index === 0
      }
      assert.deepStrictEqual(numbers(yield* readFrom(audit)), [0, 1, 2])
      const sizes = yield* Effect.forEach([first, ["audit-00000002.jsonl"]], (path) =>
        Effect.map(machine.disk.stat(path), ({ size }) => size)
      )
      const [line = 0] = sizes
      assert.deepStrictEqual(sizes, [line, 2 * line])
    })
  )

  it.effect("or writes to as well: what is written stays, and the next record is in a new one", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      const logs = [(yield* start(machine)).audit, (yield* start(machine)).audit]
      for (const index of [0, 1, 2, 3]) {
        yield* Effect.forEach(logs, (audit, log) =>
          Effect.andThen(audit.record(recordOf(10 * log + index)), audit.flush)
        )
      }
      for (const audit of logs) {
        assert.deepStrictEqual(numbers(yield* readFrom(audit)), [0, 1, 2, 3, 10, 11, 12, 13])
      }
      const names = Array.from(yield* Stream.runCollect(machine.disk.list([])), ({ name }) => name)
      assert.deepStrictEqual(names.toSorted(), ["audit-00000001.jsonl", "audit-00000002.jsonl"])
    })
  )

  it.effect("and that cannot be made anew: commands are refused until it can", () =>
    Effect.gen(function* () {
      const machine = yield* MemoryDisk.make()
      let gone = false
      const unlessGone = <A, R>(work: Effect.Effect<A, DiskError, R>) =>
        Effect.suspend(() => (gone ? Effect.fail(new DiskError({ operation: "any", code: "ENOENT" })) : work))
      const disk: Disk["Service"] = {
        ...machine.disk,
        stat: (path) => unlessGone(machine.disk.stat(path)),
        create: (path) => unlessGone(machine.disk.create(path)),
        openWrite: (path) => unlessGone(machine.disk.openWrite(path))
      }
      const { audit } = yield* start({ ...machine, disk })
      gone = true
      yield* audit.record(recordOf(1))
      yield* audit.flush
      assert.isFalse(yield* audit.writing)
      gone = false
      yield* TestClock.adjust(auditRetryMilliseconds + auditDelayMilliseconds)
      yield* audit.flush
      assert.isTrue(yield* audit.writing)
      assert.deepStrictEqual(numbers(yield* readFrom(audit)), [1, "recovered"])
    })
  )
})

describe("a file that is cut or taken away while it cannot be written", () => {
  const first: DiskPath = ["audit-00000001.jsonl"]
  for (const deed of ["cut", "moved"] as const) {
    it.effect(`${deed}: what waits is written behind what is left, and no number comes twice`, () =>
      Effect.gen(function* () {
        const machine = yield* MemoryDisk.make()
        let full = false
        const filling = (file: DiskFile): DiskFile => ({
          ...file,
          write: (...args) =>
            full ? Effect.fail(new DiskError({ operation: "write", code: "ENOSPC" })) : file.write(...args)
        })
        const disk: Disk["Service"] = {
          ...machine.disk,
          openWrite: (path) => Effect.map(machine.disk.openWrite(path), filling),
          create: (path) => Effect.map(machine.disk.create(path), filling)
        }
        const { audit } = yield* start({ ...machine, disk })
        for (const index of [0, 1]) {
          yield* audit.record(recordOf(index))
          yield* audit.flush
        }
        full = true
        yield* audit.record(recordOf(2))
        yield* audit.flush
        assert.isFalse(yield* audit.writing)
        if (deed === "moved") yield* machine.disk.rename(first, ["elsewhere"])
        else yield* machine.control.plant(first, { kind: "file", content: new Uint8Array(0) })
        full = false
        yield* TestClock.adjust(auditRetryMilliseconds + auditDelayMilliseconds)
        yield* audit.flush
        assert.deepStrictEqual(numbers(yield* readFrom(audit)), [2, "recovered"])
        const names = Array.from(yield* Stream.runCollect(machine.disk.list([])), ({ name }) => name)
        const next = deed === "moved" ? ["audit-00000002.jsonl", "elsewhere"] : first
        assert.deepStrictEqual(names.toSorted(), next)
      })
    )
  }
})

describe("what a power cut has torn", () => {
  it.effect("is blanked, also when it is long or the whole file", () =>
    Effect.gen(function* () {
      const line = new TextEncoder().encode(`${JSON.stringify(recordOf(1))}\n`)
      for (const torn of [1, 100, auditRecordBytesMax, 3 * auditRecordBytesMax + 1]) {
        for (const whole of [0, 1]) {
          const machine = yield* MemoryDisk.make()
          const content = new Uint8Array(whole * line.length + torn).fill(120)
          if (whole === 1) content.set(line)
          yield* machine.control.plant(["audit-00000001.jsonl"], { kind: "file", content })
          const { audit } = yield* start(machine)
          yield* audit.record(recordOf(2))
          yield* audit.flush
          assert.deepStrictEqual(numbers(yield* readFrom(audit)), whole === 1 ? [1, 2] : [2])
        }
      }
    })
  )
})
