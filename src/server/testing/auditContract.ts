/**
 * What every `Audit` layer keeps. Each case runs on an empty log of its own.
 */
import { Effect, Stream } from "effect"
import { UserName } from "../../domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../../domain/file/Digest.ts"
import { FileName } from "../../domain/file/FileName.ts"
import { auditWaitingMax } from "../../domain/limits.ts"
import { type ContractCase, equal } from "../../domain/testing/Contract.ts"
import { Audit, type AuditRecord } from "../Audit.ts"

const time = "2026-01-02T03:04:05.678Z"

/** A record that differs by number. */
export const recordOf = (number: number): AuditRecord => ({
  _tag: "command",
  time,
  user: UserName.make("ada"),
  peer: "192.0.2.1",
  command: "upload",
  outcome: "done",
  bytes: number
})

/** All that is on record. */
export const readAll = Effect.flatMap(Audit, ({ records }) => Stream.runCollect(records))

/** What every `Audit` layer promises. */
export const auditContract: ReadonlyArray<ContractCase<Audit>> = [
  {
    name: "an empty log has no records, can be written, and has nothing to flush",
    effect: Effect.gen(function* () {
      const audit = yield* Audit
      yield* audit.flush
      yield* equal("records", yield* readAll, [])
      yield* equal("writing", yield* audit.writing, true)
      yield* equal("waiting", yield* audit.waiting, 0)
    })
  },
  {
    name: "what was flushed is read back as it was, in order, whatever the names",
    effect: Effect.gen(function* () {
      const audit = yield* Audit
      const digest = ContentDigest.make("ab".repeat(32))
      const records: ReadonlyArray<AuditRecord> = [
        { _tag: "login", time, user: UserName.make("ada"), peer: "::1" },
        recordOf(1),
        {
          ...recordOf(2),
          _tag: "command",
          user: UserName.make("ada"),
          peer: "local",
          command: "para",
          outcome: "no-space",
          bytes: Number.MAX_SAFE_INTEGER,
          name: FileName.make('a "b"/ü/日本語\\'.replace("\\", "🗂️")),
          before: digest,
          after: digest
        },
        { _tag: "recovered", time, lost: 3 },
        recordOf(3)
      ]
      yield* Effect.forEach(records, audit.record)
      yield* audit.flush
      yield* equal("records", yield* readAll, records)
      yield* equal("waiting", yield* audit.waiting, 0)
    })
  },
  {
    name: "several at once are in line as if they came one by one",
    effect: Effect.gen(function* () {
      const audit = yield* Audit
      const [first, rest] = [
        recordOf(0),
        Array.from({ length: auditWaitingMax + 100 }, (_, index) => recordOf(index + 1))
      ]
      yield* audit.record(first)
      yield* audit.recordAll(rest)
      yield* audit.recordAll([])
      yield* audit.flush
      yield* equal("records", yield* readAll, [first, ...rest])
    })
  },
  {
    name: "more than may wait is put in line as room comes, and nothing is lost or out of order",
    effect: Effect.gen(function* () {
      const audit = yield* Audit
      const records = Array.from({ length: auditWaitingMax + 100 }, (_, index) => recordOf(index))
      yield* Effect.forEach(records, audit.record)
      yield* audit.flush
      yield* equal("records", yield* readAll, records)
    })
  }
]
