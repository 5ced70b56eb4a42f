/**
 * An audit log whose users and whose program are interrupted at each of their steps: what was put in line is on record
 * once and in order, and what comes later is behind it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Disk } from "../../src/domain/store/Disk.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { Audit, type AuditRecord } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { interruptedAt } from "../steps.ts"
import { readAll, recordOf } from "../../src/server/testing/auditContract.ts"

// Two records in a file, and files for all.
const options = { fileBytes: 300, files: 100 }

const numbers = (records: ReadonlyArray<AuditRecord>) =>
  records.map((record) => (record._tag === "command" ? record.bytes : record._tag))

/** The log of a program that starts on the disk. */
const onDisk = ({ disk }: Effect.Success<ReturnType<typeof MemoryDisk.make>>) =>
  Layer.provide(AuditFile.layer(options), Layer.succeed(Disk, disk))

const several = [1, 2, 3, 4, 5].map(recordOf)

describe("an audit log, wherever somebody is interrupted,", () => {
  it.live("has all or a beginning of what was put in line, and what came later", () =>
    Effect.gen(function* () {
      for (let step = 1, more = true; more; step += 1) {
        const machine = yield* MemoryDisk.make()
        yield* Effect.gen(function* () {
          const { flush, record, recordAll } = yield* Audit
          const work = Effect.andThen(
            Effect.andThen(record(recordOf(0)), flush),
            Effect.andThen(recordAll(several), flush)
          )
          more = yield* interruptedAt(work, step)
          yield* Effect.andThen(record(recordOf(9)), flush)
        }).pipe(Effect.provide(onDisk(machine)))
        const found = numbers(yield* Effect.provide(readAll, onDisk(machine)))
        const [count, end] = [found.length - 1, found.at(-1)]
        assert.deepStrictEqual([...found.slice(0, -1), end], [...[0, 1, 2, 3, 4, 5].slice(0, count), 9], String(step))
      }
    })
  )

  it.live("has what a program put in line that ended while it wrote", () =>
    Effect.gen(function* () {
      for (let step = 1, more = true; more; step += 1) {
        const machine = yield* MemoryDisk.make()
        let put = 0
        const work = Effect.gen(function* () {
          const { flush, record } = yield* Audit
          for (const one of several) {
            yield* record(one)
            put += 1
            if (put % 2 === 0) yield* flush
          }
        }).pipe(Effect.provide(onDisk(machine)))
        more = yield* interruptedAt(work, step)
        const found = numbers(yield* Effect.provide(readAll, onDisk(machine)))
        assert.deepStrictEqual(found, [1, 2, 3, 4, 5].slice(0, found.length), String(step))
        assert.isAtLeast(found.length, put, String(step))
        assert.strictEqual(yield* machine.control.openFiles, 0)
      }
    })
  )
})
