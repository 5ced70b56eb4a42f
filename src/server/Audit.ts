/**
 * The audit log: who did what to which file, from where, and what came of it.
 *
 * ## Contract (test: `auditContract` of `paradrop/server/testing`, run by every layer)
 *
 * - **Append only**: a record that was written is never changed; the oldest go when the bounds are reached.
 * - **Order**: records are read back in the order in which they were made.
 * - **Durable in batches**: a record is on disk at the latest `auditDelayMilliseconds` after it was made, or when
 *   `flush` returns. A power cut loses at most that much, and never what was durable.
 * - **Bounded**: at most `auditWaitingMax` records wait. While there is no room and the log can be written, `record`
 *   waits, and with it the session that made the record: a slow disk slows sessions down, and no record is lost.
 * - **Failing**: when the log cannot be written, `writing` is false until it can be written again. A server then
 *   refuses new commands: nothing is done that would not be on record. What was under way ends; what finds no room is
 *   lost, and counted in the record that is written when the log works again.
 *
 * Only those who have logged in are on record: a stranger can make nothing be forgotten by making noise.
 */
import { Clock, Context, Effect, Layer, Schema, Stream } from "effect"
import { UserName } from "../domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../domain/file/Digest.ts"
import { FileSize } from "../domain/file/FileEntry.ts"
import { FileName } from "../domain/file/FileName.ts"
import { auditKeptInMemoryMax } from "../domain/limits.ts"
import { RefusalReason } from "../domain/wire/Refusal.ts"
import { commandNames } from "./CommandWatch.ts"

/** The log cannot be opened or read. */
export class AuditFailed extends Schema.TaggedError<AuditFailed>()("AuditFailed", {
  /** what was tried, and a system error code */
  detail: Schema.String
}) {
  override get message(): string {
    return `the audit log cannot be used: ${this.detail}`
  }
}

const AuditOutcome = Schema.Union([
  RefusalReason,
  Schema.Literals([
    "done",
    /** the session ended before the command did; nothing was changed */
    "interrupted"
  ])
])

/** How a command ended. */
export type AuditOutcome = typeof AuditOutcome.Type

/** One line of the log. */
export const AuditRecord = Schema.TaggedUnion({
  /** Somebody has proved the password: also where no seat is found for the session then. */
  login: { time: Schema.String, user: UserName, peer: Schema.String },
  /** A command came to its end. */
  command: {
    /** when it ended: UTC, ISO 8601 */
    time: Schema.String,
    user: UserName,
    /** the address of the client */
    peer: Schema.String,
    command: Schema.Literals(commandNames),
    outcome: AuditOutcome,
    name: Schema.optionalKey(FileName),
    /** of a rename: the new name */
    to: Schema.optionalKey(FileName),
    /** bytes of content that crossed */
    bytes: FileSize,
    /** the digest of the file as it was when the command began, where the server knew it without reading it all */
    before: Schema.optionalKey(ContentDigest),
    /** the digest of the file that was committed, sent or described; of what was not done there is none */
    after: Schema.optionalKey(ContentDigest)
  },
  /** The log could not be written for a time; so many records of it are lost. */
  recovered: { time: Schema.String, lost: Schema.Natural }
})
export type AuditRecord = typeof AuditRecord.Type

/** Port: the audit log. See above for the contract. */
export class Audit extends Context.Service<
  Audit,
  {
    /** Puts a record in line. Waits only for room. */
    readonly record: (record: AuditRecord) => Effect.Effect<void>
    /** The same for several, in their order. */
    readonly recordAll: (records: ReadonlyArray<AuditRecord>) => Effect.Effect<void>
    /** Waits until what was put in line is durable, or cannot be. */
    readonly flush: Effect.Effect<void>
    /** Whether the log can be written, as far as the last try tells. */
    readonly writing: Effect.Effect<boolean>
    /** Records that wait to be written. */
    readonly waiting: Effect.Effect<number>
    /** All records that are kept, oldest first. */
    readonly records: Stream.Stream<AuditRecord, AuditFailed>
  }
>()("paradrop/server/Audit") {
  /** The newest `auditKeptInMemoryMax` records, for as long as the layer lives. */
  static readonly layerMemory: Layer.Layer<Audit> = Layer.sync(Audit, () => {
    const kept: Array<AuditRecord> = []
    const recordAll = (records: ReadonlyArray<AuditRecord>) =>
      Effect.sync(() => {
        kept.push(...records)
        kept.splice(0, kept.length - auditKeptInMemoryMax)
      })
    return Audit.of({
      record: (record) => recordAll([record]),
      recordAll,
      flush: Effect.void,
      writing: Effect.succeed(true),
      waiting: Effect.succeed(0),
      records: Stream.suspend(() => Stream.fromIterable(kept.slice()))
    })
  })
}

/** The moment, as records hold it. */
export const now: Effect.Effect<string> = Effect.map(Clock.currentTimeMillis, (milliseconds) =>
  new Date(milliseconds).toISOString()
)
