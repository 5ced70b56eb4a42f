/**
 * The audit log in memory does what the one in files does, as long as its bounds are not reached: the same steps come
 * to the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { Audit, AuditRecord } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"

const name = Schema.Literals(["a", "ä/\u{1f600}", '"é', "x".repeat(200)])
const record = Schema.Struct({
  peer: Schema.Literals(["192.0.2.1", "\u0000\n\r\u001b\u2028"]),
  outcome: Schema.Literals(["done", "interrupted", "no-such-file"]),
  command: Schema.Literals(["upload", "rename", "fetch"]),
  name: Schema.optionalKey(name),
  to: Schema.optionalKey(name),
  before: Schema.optionalKey(Schema.Boolean),
  bytes: Schema.Literals([0, 1, 2 ** 40])
})
const Step = Schema.Union([
  Schema.Struct({ do: Schema.tag("record"), record }),
  Schema.Struct({ do: Schema.tag("recordAll"), records: Schema.Array(record).check(Schema.isMaxLength(5)) }),
  Schema.Struct({ do: Schema.Literals(["login", "read"]) })
])
type Step = (typeof Step)["Type"]

const time = "2026-01-02T03:04:05.678Z"
const user = UserName.make("ada")

const recordOf = ({ before, name, to, ...rest }: (typeof record)["Type"]): AuditRecord =>
  AuditRecord.cases.command.make({
    time,
    user,
    ...rest,
    ...(name !== undefined && { name: FileName.make(name) }),
    ...(to !== undefined && { to: FileName.make(to) }),
    ...(before === true && { before: ContentDigest.make("0f".repeat(32)) })
  })

/** What is read back whenever that is asked, and at the end. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const { flush, record, recordAll, records, waiting, writing } = yield* Audit
  const read = Effect.andThen(flush, Effect.all([Stream.runCollect(records), waiting, writing]))
  const all: Array<unknown> = []
  for (const step of steps) {
    if (step.do === "record") yield* record(recordOf(step.record))
    else if (step.do === "recordAll") yield* recordAll(step.records.map(recordOf))
    else if (step.do === "login") yield* record(AuditRecord.cases.login.make({ time, user, peer: "192.0.2.1" }))
    else all.push(yield* read)
  }
  all.push(yield* read)
  return all
})

describe("the audit log in memory", () => {
  it.effect.prop(
    "does what the one in files does",
    [Schema.Array(Step).check(Schema.isMaxLength(25)), Schema.Literals([300, 2_000, 1_000_000])],
    ([steps, fileBytes]) =>
      Effect.gen(function* () {
        const files = AuditFile.layer({ fileBytes, files: 1_000 }).pipe(Layer.provide(MemoryDisk.layer()))
        const there = yield* Effect.provide(outcomes(steps), files)
        const here = yield* Effect.provide(outcomes(steps), Audit.layerMemory)
        assert.deepStrictEqual(here, there)
      }),
    { arbitrary: { runs: 100 } }
  )
})
