/**
 * The audit log in files of a folder of its own, over a `Disk`: JSON lines, fsynced in batches, rotated by size.
 *
 * Files are numbered and only ever grow; the newest is written to. A power cut can tear the line that was being
 * written: at the next start what follows the last whole line is blanked, and writing goes on behind it.
 */
import { Effect, Exit, Latch, Layer, Option, Schema, Scope, Stream } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import {
  auditBatchBytesMax,
  auditDelayMilliseconds,
  auditFileBytesMax,
  auditFilesMax,
  auditRecordBytesMax,
  auditRetryMilliseconds,
  auditWaitingMax
} from "../domain/limits.ts"
import { Disk, type DiskError, type DiskFile, type DiskPath } from "../domain/store/Disk.ts"
import { fileId } from "../domain/store/DiskStore.ts"
import { systemWords } from "../domain/SystemCode.ts"
import { Audit, AuditFailed, AuditRecord, now } from "./Audit.ts"
import { log } from "./LogEvent.ts"
import * as Metrics from "./Metrics.ts"

/** How large the files of the log grow, and how many are kept. */
export interface Options {
  /** the file that is written to is left for a new one at this size, bytes. Default `auditFileBytesMax` */
  readonly fileBytes?: number
  /** files that are kept; the oldest goes first. Default `auditFilesMax` */
  readonly files?: number
}

/** The log in the root folder of the disk, which holds nothing else. */
export const layer = (options: Options = {}): Layer.Layer<Audit, AuditFailed, Disk> =>
  Layer.effect(Audit, make(options))

const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Audit["Service"], AuditFailed, Disk | Scope.Scope> {
  const disk = yield* Disk
  const { fileBytes = auditFileBytesMax, files: filesMax = auditFilesMax } = options
  const files = yield* makeFiles(disk, { fileBytes, filesMax: Math.max(1, filesMax) })
  // A batch is in one file, also where that is to be smaller.
  const batchBytes = Math.min(auditBatchBytesMax, fileBytes)
  // As text: each line as bytes would be a buffer for the collector to look after.
  const waiting: Array<string> = []
  const work = yield* Latch.make()
  const hurry = yield* Latch.make()
  const room = yield* Latch.make(true)
  // Who waits until so many lines in all are written: others may be put in line without end.
  let flushing: ReadonlyArray<{ readonly until: number; readonly done: Latch.Latch }> = []
  let written = 0
  let waitingLength = 0
  let working = true
  let lost = 0

  const put = (line: string) => {
    waiting.push(line)
    waitingLength += line.length
    work.openUnsafe()
    if (waiting.length >= auditWaitingMax) room.closeUnsafe()
    if (waitingLength >= batchBytes || waiting.length >= auditWaitingMax) hurry.openUnsafe()
  }

  /** From the one at `from` on; waits for room as often as there is none. */
  const recordFrom = (entries: ReadonlyArray<AuditRecord>, from: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      let next = from
      for (const entry of entries.slice(from, from + Math.max(0, auditWaitingMax - waiting.length))) {
        put(lineOf(entry))
        next += 1
      }
      const full = entries.length - next
      const told = next > from ? Metrics.auditWaiting.set({}, waiting.length) : Effect.void
      if (full === 0) return told
      if (working) return Effect.andThen(told, Effect.andThen(room.await, recordFrom(entries, next)))
      lost += full
      return Effect.andThen(told, Metrics.auditLost({}, full))
    })

  const flushed = (upTo: number) => {
    for (const { done, until } of flushing) if (until <= upTo) done.openUnsafe()
    flushing = flushing.filter(({ until }) => until > upTo)
  }

  const taken = (count: number) => {
    for (const line of waiting.splice(0, count)) waitingLength -= line.length
    written += count
    room.openUnsafe()
    flushed(written)
    if (waiting.length > 0) return
    hurry.closeUnsafe()
    work.closeUnsafe()
  }

  /** Writes what waits, a batch of bounded size. Uninterruptible: what is written is taken, once. */
  const batch = Effect.gen(function* () {
    const count = batchLength(waiting, batchBytes)
    yield* files.append([Bytes.fromUtf8(waiting.slice(0, count).join(""))])
    taken(count)
    yield* Metrics.auditWaiting.set({}, waiting.length)
    if (working) return
    working = true
    yield* Metrics.auditFailing.set({}, 0)
    yield* log("audit-recovered", `the audit log is written again, ${lost} records are lost`, { lost })
    put(lineOf(AuditRecord.cases.recovered.make({ time: yield* now, lost })))
    lost = 0
  }).pipe(Effect.uninterruptible)

  const failing = (error: DiskError) =>
    Effect.suspend(() => {
      const first = working
      working = false
      // Nobody waits for room that may never come, and nobody for what may never be written.
      room.openUnsafe()
      flushed(Infinity)
      if (!first) return Effect.void
      return Effect.andThen(
        Metrics.auditFailing.set({}, 1),
        log("audit-failed", `the audit log cannot be written (${error.code}): commands are refused`)
      )
    })

  const writer = Effect.gen(function* () {
    yield* work.await
    yield* Effect.timeoutOption(hurry.await, auditDelayMilliseconds)
    yield* Effect.catch(batch, (error) => Effect.andThen(failing(error), Effect.sleep(auditRetryMilliseconds)))
  }).pipe(Effect.forever)

  // Where nothing waits the disk is let be: one that has gone meanwhile has lost nothing.
  const rest: Effect.Effect<void, DiskError> = Effect.suspend(() =>
    waiting.length === 0 ? Effect.void : Effect.andThen(batch, rest)
  )
  // At the end everything that waits is written, unless the disk refuses: then somebody must hear how much is lost.
  yield* Effect.addFinalizer(() =>
    Effect.catch(rest, ({ code }) => {
      const count = lost + waiting.length
      return log("audit-lost", `${count} records of the audit log are lost: it could not be written (${code})`, {
        lost: count
      })
    })
  )
  yield* Effect.forkScoped(writer)
  return Audit.of({
    record: (entry) => recordFrom([entry], 0),
    recordAll: (entries) => recordFrom(entries, 0),
    flush: Effect.suspend(() => {
      if (waiting.length === 0 || !working) return Effect.void
      const done = Latch.makeUnsafe(false)
      flushing = [...flushing, { until: written + waiting.length, done }]
      hurry.openUnsafe()
      return done.await
    }),
    writing: Effect.sync(() => working),
    waiting: Effect.sync(() => waiting.length),
    records: files.records
  })
})

/** As many lines as a batch of so many bytes may hold, and at least one. */
const batchLength = (lines: ReadonlyArray<string>, bytesMax: number): number => {
  // A unit of a string takes at most three bytes.
  if (lines.reduce((units, { length }) => units + length, 0) * 3 <= bytesMax) return lines.length
  let bytes = 0
  const end = lines.findIndex((line, index) => (bytes += Bytes.utf8Length(line)) > bytesMax && index > 0)
  return end === -1 ? lines.length : end
}

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(AuditRecord))

// A record is its own encoding: no field takes another form.
const lineOf = (record: AuditRecord): string => `${JSON.stringify(record)}\n`

// -----------------------------------------------------------------------------
// The files
// -----------------------------------------------------------------------------

interface Files {
  /** Appends lines and makes them durable. After a failure: the same lines again, then others. */
  readonly append: (lines: Bytes.Parts) => Effect.Effect<void, DiskError>
  readonly records: Stream.Stream<AuditRecord, AuditFailed>
}

/** The file that is written to. */
interface Current {
  readonly number: number
  readonly file: DiskFile
  readonly scope: Scope.Closeable
  /** which file it is */
  readonly id: string
  /** behind what is durable, bytes */
  end: number
}

const makeFiles = Effect.fnUntraced(function* (
  disk: Disk["Service"],
  { fileBytes, filesMax }: { readonly fileBytes: number; readonly filesMax: number }
): Effect.fn.Return<Files, AuditFailed, Scope.Scope> {
  // A scope of its own: a file that is opened late outlives the last batch too.
  const owner = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  let current: Current | undefined
  // Where a write failed: the same lines are written there again, over what it has left.
  let failedAt: { readonly number: number; readonly end: number } | undefined

  const hold = Effect.fnUntraced(function* (number: number, open: Effect.Effect<DiskFile, DiskError, Scope.Scope>) {
    const scope = yield* Scope.fork(owner)
    const { file, stat } = yield* Scope.provide(open, scope).pipe(
      Effect.flatMap((file) => Effect.map(file.stat, (stat) => ({ file, stat }))),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    return { number, file, scope, id: fileId(stat), end: stat.size } satisfies Current
  })

  const letGo = Effect.suspend(() => {
    const held = current
    current = undefined
    return held === undefined ? Effect.void : Scope.close(held.scope, Exit.void)
  })

  /** Leaves the present file for a new one, and forgets the oldest. */
  const rotate = Effect.gen(function* () {
    const left = current?.number ?? failedAt?.number ?? 0
    yield* letGo
    const numbers = yield* numbersOf(disk)
    const number = Math.max(numbers.at(-1) ?? 0, left) + 1
    const next = yield* hold(number, disk.create(pathOf(number)))
    current = next
    yield* disk.syncFolder([])
    const old = numbers.slice(0, Math.max(0, numbers.length + 1 - filesMax))
    // One that cannot be removed keeps nobody from writing, and no other from going.
    yield* Effect.forEach(old, (oldest) => Effect.ignore(disk.remove(pathOf(oldest))), { discard: true })
    return next
  })

  const resume = Effect.gen(function* () {
    const newest = (yield* numbersOf(disk)).at(-1)
    if (newest === undefined) return yield* rotate
    const held: Current = yield* hold(newest, disk.openWrite(pathOf(newest)))
    current = held
    // Whoever made it may have ended before its folder was synced.
    yield* disk.syncFolder([])
    const end = failedAt?.number === newest ? failedAt.end : undefined
    // Somebody may have cut it meanwhile.
    if (end !== undefined && end <= held.end) held.end = end
    else yield* blankTorn(held)
    return held
  })

  /**
   * The file that is open; another when somebody has taken it away, or cut it: nobody would find what is written. So
   * when somebody else writes to it, as a second log of the same folder: one would write over what the other has.
   */
  const present = Effect.gen(function* () {
    if (current === undefined) return yield* resume
    const { end, id, number } = current
    const there = yield* Effect.catchIf(
      disk.stat(pathOf(number)),
      ({ code }) => code === "ENOENT",
      () => Effect.undefined
    )
    if (there !== undefined && fileId(there) === id && there.size === end) return current
    yield* log("audit-moved", "the file of the audit log was removed, moved or changed: a new one is begun")
    return yield* rotate
  })

  const append = (lines: Bytes.Parts): Effect.Effect<void, DiskError> =>
    Effect.gen(function* () {
      let target = yield* present
      const full = target.end > 0 && target.end + Bytes.lengthOf(lines) > fileBytes
      // What a failed write has left is written over before the file is left.
      if (full && failedAt === undefined) target = yield* rotate
      yield* target.file.write(target.end, lines)
      yield* target.file.sync
      target.end += Bytes.lengthOf(lines)
      failedAt = undefined
    }).pipe(
      Effect.onError(() => {
        failedAt = current ?? failedAt
        return letGo
      })
    )

  yield* Effect.mapError(resume, unusable)
  return { append, records: recordsOf(disk) }
})

const unusable = ({ code, operation }: DiskError): AuditFailed =>
  new AuditFailed({ detail: `${operation}: ${systemWords(code)}` })

const digits = 8
const pathOf = (number: number): DiskPath => [`audit-${String(number).padStart(digits, "0")}.jsonl`]
// Behind the last number of eight digits, which somebody's own file may have, is one of nine.
const pattern = /^audit-(\d{8}|[1-9]\d{8,14})\.jsonl$/

/** The numbers of the files that there are, oldest first. */
const numbersOf = (disk: Disk["Service"]): Effect.Effect<ReadonlyArray<number>, DiskError> =>
  Stream.runCollect(disk.list([])).pipe(
    Effect.map((entries) =>
      entries
        .flatMap(({ name }) => {
          const number = pattern.exec(name)?.[1]
          return number === undefined ? [] : [Number(number)]
        })
        .toSorted((a, b) => a - b)
    )
  )

const lineFeed = 10
const blank = 32

/** Blanks what follows the last whole line. */
const blankTorn = Effect.fnUntraced(function* ({ end, file }: Current): Effect.fn.Return<void, DiskError> {
  let start = end
  // A batch may be torn anywhere, but no line is longer than this.
  while (start > 0) {
    const from = Math.max(0, start - auditRecordBytesMax)
    const tail = yield* file.read(from, start - from)
    const last = tail.lastIndexOf(lineFeed)
    start = last === -1 ? from : from + last + 1
    if (last !== -1) break
  }
  if (start === end) return
  const blanks = new Uint8Array(end - start).fill(blank)
  blanks[blanks.length - 1] = lineFeed
  yield* file.write(start, [blanks])
  yield* file.sync
})

/**
 * Line by line; what is no record is passed over: a blanked line, or one of a later version. So is a file that went to
 * make room since it was found.
 */
const recordsOf = (disk: Disk["Service"]): Stream.Stream<AuditRecord, AuditFailed> =>
  Stream.unwrap(Effect.map(numbersOf(disk), Stream.fromIterable)).pipe(
    Stream.flatMap((number) => contentOf(disk, number).pipe(Stream.decodeText(), Stream.splitLines)),
    Stream.map((line) => decode(line)),
    Stream.filter(Option.isSome),
    Stream.map(({ value }) => value),
    Stream.mapError(unusable)
  )

const contentOf = (disk: Disk["Service"], number: number): Stream.Stream<Uint8Array, DiskError> =>
  Stream.unwrap(
    Effect.map(disk.openRead(pathOf(number)), (file) =>
      Stream.paginate(0, (offset: number) =>
        Effect.map(file.read(offset, auditBatchBytesMax), (bytes) => [
          [bytes],
          bytes.length === 0 ? Option.none() : Option.some(offset + bytes.length)
        ])
      )
    ).pipe(
      Effect.catchIf(
        ({ code }) => code === "ENOENT",
        () => Effect.succeed(Stream.empty)
      )
    )
  )
