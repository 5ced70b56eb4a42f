/**
 * One file's transfer, alone or among many: what is sent or got, how far it is, and the report of its end.
 */
import { Effect, Exit, Result, Scope } from "effect"
import { type ContentDigest, Digest, digestOf } from "../domain/file/Digest.ts"
import { mayRun } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { bundleBytesMax, bundlesAheadMax, smallFileBytesMax } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { SourceShrank } from "../domain/transfer/Outgoing.ts"
import { type Along, type Bundled, type FileError, moment, type Moved, since, type Together } from "./Batch.ts"
import type { OnCrossed, Refusals, SmallDownload, SmallUpload } from "./Bundles.ts"
import { type CommandError, type LocalFileFailed, RequestRefused, SourceMissing } from "./ClientError.ts"
import type { ClientSession, Committed } from "./ClientSession.ts"
import * as Download from "./Download.ts"
import type { LocalFiles, LocalPlace, LocalSource, SmallPlaces } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"
import * as Reconnect from "./Reconnect.ts"
import { Reporter, type TransferCommand, type Transferred } from "./Reporter.ts"
import { Sessions } from "./Sessions.ts"

/** What a transfer needs. */
export type Services = Digest | LocalFiles | Reporter | Sessions

// -----------------------------------------------------------------------------
// Sending
// -----------------------------------------------------------------------------

/** How a file is sent. */
export interface Sending {
  readonly command: "para" | "upload"
  readonly missing: SourceMissing["command"]
  /** whether it may be done once more when nobody knows how the first time ended */
  readonly again: boolean
  readonly run: (
    session: ClientSession,
    name: FileName.FileName,
    source: LocalSource,
    onProgress: OnProgress
  ) => Effect.Effect<Committed, CommandError | LocalFileFailed | SourceShrank>
}

export const uploading: Sending = {
  command: "upload",
  missing: "upload",
  again: true,
  run: (session, name, source, onProgress) => session.upload(name, source, onProgress)
}

/**
 * @param expect the digest that the server's file must have
 * @param settle whether an equal file gets another time as well
 */
export const parallelizing = (expect?: ContentDigest, settle = false): Sending => ({
  command: "para",
  missing: "parallelize",
  // The version that is expected is gone once the first try was committed.
  again: expect === undefined,
  run: (session, name, source, onProgress) => session.para(name, source, onProgress, expect, settle)
})

/**
 * The client looks first: for a file that is not there, nothing is sent and nobody is dialled.
 *
 * @param name at the server
 * @param along for one of many; without it the file has a progress of its own
 */
export const send = Effect.fnUntraced(function* (sending: Sending, place: LocalPlace, text: string, along?: Along) {
  const { command, missing } = sending
  const { again } = sending
  const source = yield* along === undefined ? openSource(place, missing) : openOfMany(place, missing)
  const name = yield* FileName.parse(text)
  return yield* timed({ command, name, along, again }, (onProgress, session) =>
    sending.run(session, name, source, onProgress)
  )
}, Effect.scoped)

/** Opens a local file that must be there. */
export const openSource = Effect.fnUntraced(function* ({ open, path }: LocalPlace, command: SourceMissing["command"]) {
  return (yield* open) ?? (yield* new SourceMissing({ path: printable(path), command }))
})

/** A small file is read at once and closed: many wait for their answers, and none of them holds a descriptor. */
const openOfMany = Effect.fnUntraced(function* (place: LocalPlace, command: SourceMissing["command"]) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const source = yield* Effect.provideService(openSource(place, command), Scope.Scope, scope)
  if (source.size > smallFileBytesMax) return source
  const bytes = yield* source.read(0, source.size)
  if (bytes.length < source.size) return yield* new SourceShrank()
  yield* source.unchanged
  yield* Scope.close(scope, Exit.void)
  return {
    size: source.size,
    modified: source.modified,
    ...mayRun(source.executable),
    read: (offset: number, length: number) => Effect.sync(() => bytes.slice(offset, offset + length)),
    unchanged: Effect.void
  } satisfies LocalSource
})

// -----------------------------------------------------------------------------
// Receiving
// -----------------------------------------------------------------------------

/** Gets a file, with a progress of its own. */
export const download = Effect.fnUntraced(function* (text: string, placeOf: (base: string) => LocalPlace) {
  const name = yield* FileName.parse(text)
  const place = placeOf(FileName.baseName(name))
  yield* timed({ command: "download", name, path: place.path, along: undefined, again: true }, (onProgress, session) =>
    Download.download({ session, name, place, onProgress })
  )
})

/** A file to get among others. */
export interface OneOfMany {
  readonly name: FileName.FileName
  /** where it goes */
  readonly place: LocalPlace
  /** bytes, as the server's listing says, if it was asked for */
  readonly size: number | undefined
}

/** Gets a file among others. */
export const downloadOfMany = Effect.fnUntraced(function* ({ name, place, size }: OneOfMany, along: Along) {
  return yield* timed({ command: "download", name, path: place.path, along, again: true }, (onProgress, session) =>
    Download.download({ session, name, place, size, onProgress })
  )
})

// -----------------------------------------------------------------------------
// Bundles
// -----------------------------------------------------------------------------

/** Sends small files in one request. What is not small and whole any more is left to be sent alone. */
export const sendTogether: Together<Services> = (items, told, onCrossed) =>
  withRoom((room) =>
    Effect.gen(function* () {
      const began = yield* Monotonic.now
      const found = yield* readTogether(items, room)
      const outcomes = items.map((): Outcome => undefined)
      yield* settleAll(outcomes, found, yield* uploadAll(found, onCrossed))
      if (told) yield* tellAll("upload", found, outcomes, began)
      return outcomes
    })
  )

/**
 * Makes the server's small files equal to ours, in as many round trips as one file takes: it is asked about all of
 * them, and gets those in which they differ in one request. What it cannot say is left to be done alone.
 *
 * A file that is removed between question and request is sent as a new one.
 */
export const paraTogether: Together<Services> = (items, told, onCrossed) =>
  withRoom((room) =>
    Effect.gen(function* () {
      const began = yield* Monotonic.now
      const found = yield* readTogether(items, room)
      const outcomes = items.map((): Outcome => undefined)
      const asked = Reconnect.persistently((session) =>
        Effect.forEach(found, ({ name }) => versionOf(session, name), { concurrency: "unbounded" })
      )
      const there = yield* Effect.catchTag(asked, "RequestRefused", () => Effect.succeed([]))
      const differing: Array<Small> = []
      for (const [position, small] of found.entries()) {
        const version = there[position]
        if (version === undefined) continue
        if (version instanceof RequestRefused) outcomes[small.index] = Result.fail(version)
        else if (version.digest !== small.digest || version.executable !== small.executable) differing.push(small)
        else outcomes[small.index] = Result.succeed({ size: small.size, reused: small.size, equal: true })
      }
      yield* settleAll(outcomes, differing, yield* uploadAll(differing, onCrossed))
      if (told) yield* tellAll("para", found, outcomes, began)
      return outcomes
    })
  )

/** The server's version of a file, or that it has none; undefined when it does not say. */
const versionOf = (session: ClientSession, name: FileName.FileName) =>
  Effect.catchTag(session.describe(name), "RequestRefused", (error) =>
    Effect.succeed(error.reason === "no-such-file" ? error : undefined)
  )

/** What a file of a bundle came to; undefined: it has to be moved by itself. */
type Outcome = Result.Result<Moved, FileError> | undefined

/** A small file as it was read, and which of the bundle's it is. */
interface Small extends SmallUpload {
  readonly index: number
}

const withRoom = Effect.fnUntraced(function* <A, E, R>(use: (room: Uint8Array) => Effect.Effect<A, E, R>) {
  const room = roomsKept.pop() ?? new Uint8Array(bundleBytesMax)
  const outcome = yield* use(room)
  // Only now: of an interrupted request something may still be on its way out.
  if (roomsKept.length < bundlesAheadMax) roomsKept.push(room)
  return outcome
})

/** Where content of bundles lies until it is sent: to make memory anew each time costs more than to read into it. */
const roomsKept: Array<Uint8Array> = []

/** Those that are small and whole. */
const readTogether = Effect.fnUntraced(function* (items: ReadonlyArray<Bundled>, room: Uint8Array) {
  const digest = yield* Digest
  let free = room
  const read = yield* perPlaces(
    items,
    ({ place }) => place,
    (among, some) =>
      Effect.map(
        Effect.suspend(() =>
          among.readSmall(
            some.map(({ place }) => place.key),
            smallFileBytesMax,
            free
          )
        ),
        (read) => {
          free = free.subarray(read.reduce((sum, small) => sum + (small?.content.length ?? 0), 0))
          return read
        }
      )
  )
  let left = bundleBytesMax
  return items.flatMap(({ name }, index): ReadonlyArray<Small> => {
    const small = read[index]
    if (small === undefined || small.content.length > left) return []
    const { content, executable, modified } = small
    left -= content.length
    const facts = { modified, size: content.length, ...mayRun(executable) }
    return [{ index, name, content, ...facts, digest: digestOf(digest, [content]) }]
  })
})

/** The digests of files of one bundle, in their order; undefined for one that has to be read by itself. */
export const digestsTogether = (items: ReadonlyArray<Bundled>) =>
  withRoom((room) =>
    Effect.map(readTogether(items, room), (found) => {
      const digests = items.map((): ContentDigest | undefined => undefined)
      for (const { digest, index } of found) digests[index] = digest
      return digests
    })
  )

const uploadAll = (files: ReadonlyArray<Small>, onCrossed: OnCrossed) =>
  files.length === 0
    ? Effect.succeed<Refusals>(new Map())
    : bundle(files, (session) => session.uploadBundle(files, onCrossed))

const settleAll = (outcomes: Array<Outcome>, sent: ReadonlyArray<Small>, refusals: Refusals) =>
  Effect.sync(() => {
    sent.forEach(({ index, size }, position) => {
      const refusal = refusals.get(position)
      outcomes[index] = refusal === undefined ? Result.succeed(whole(size)) : Result.fail(refusal)
    })
  })

/** Reports those that went well. */
const tellAll = Effect.fnUntraced(function* (
  command: Sending["command"],
  files: ReadonlyArray<Small>,
  outcomes: ReadonlyArray<Outcome>,
  began: number
) {
  const milliseconds = Math.round((yield* Monotonic.now) - began)
  const well = files.flatMap(({ digest, index, name }): ReadonlyArray<Transferred> => {
    const outcome = outcomes[index]
    if (outcome === undefined || Result.isFailure(outcome)) return []
    const { equal, reused, size } = outcome.success
    return [{ command, name, size, reused, equal, digest, milliseconds }]
  })
  if (well.length > 0) yield* (yield* Reporter).transferredAll(well)
})

/** Runs those that lie among the same files together; gives their outcomes in their order. */
const perPlaces = Effect.fnUntraced(function* <A, B>(
  all: ReadonlyArray<A>,
  placeOf: (one: A) => LocalPlace,
  run: (among: SmallPlaces, some: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>>
): Effect.fn.Return<ReadonlyArray<B | undefined>> {
  const [first, ...others] = new Set(all.map((one) => placeOf(one).among))
  if (first === undefined) return []
  if (others.length === 0) return yield* run(first, all)
  const outcomes = all.map((): B | undefined => undefined)
  for (const among of [first, ...others]) {
    const positions = all.flatMap((one, position) => (placeOf(one).among === among ? [{ one, position }] : []))
    const some = yield* run(
      among,
      positions.map(({ one }) => one)
    )
    for (const [index, { position }] of positions.entries()) outcomes[position] = some[index]
  }
  return outcomes
})

/** Gets small files in one request. What is not small any more is left to be got alone. */
export const getTogether: Together<Services> = Effect.fnUntraced(function* (items, told, onCrossed, onMoved) {
  const reporter = yield* Reporter
  const began = yield* Monotonic.now
  const outcomes = items.map((): Result.Result<Moved, FileError> | undefined => undefined)
  let arrived = 0
  const take = Effect.fnUntraced(function* (asked: ReadonlyArray<Asked>, some: ReadonlyArray<SmallDownload>) {
    const files = some.flatMap(({ index: position, ...file }) => {
      const one = asked[position]
      return one === undefined ? [] : [{ ...file, ...one }]
    })
    const placed = yield* perPlaces(
      files,
      ({ item }) => item.place,
      (among, some) =>
        among.placeSmall(
          some.map(({ digest, executable, item, modified, parts }) => ({
            path: item.place.key,
            digest,
            modified,
            parts,
            ...mayRun(executable)
          }))
        )
    )
    for (const [position, { index, item, size }] of files.entries()) {
      arrived += size
      const outcome = placed[position]
      outcomes[index] = outcome && Result.map(outcome, () => whole(size))
      if (outcome !== undefined && Result.isSuccess(outcome)) onMoved(item, whole(size))
    }
    const got = told ? files.filter((_, position) => placed[position] && Result.isSuccess(placed[position])) : []
    if (got.length === 0) return
    const milliseconds = Math.round((yield* Monotonic.now) - began)
    yield* reporter.transferredAll(
      got.map(({ digest, item: { name, place }, size }) => ({
        command: "download",
        name,
        path: place.path,
        size,
        reused: 0,
        equal: false,
        digest,
        milliseconds
      }))
    )
  })
  /** What has arrived before the connection was lost is not asked for again. */
  const ask = (session: ClientSession) =>
    Effect.suspend(() => {
      const asked = items.flatMap((item, index): ReadonlyArray<Asked> =>
        outcomes[index] === undefined ? [{ item, index }] : []
      )
      if (asked.length === 0) return Effect.succeed<Refusals>(new Map())
      const names = asked.map(({ item }) => item.name)
      const before = arrived
      return Effect.map(
        session.downloadBundle(
          names,
          (some) => take(asked, some),
          (bytes) => onCrossed(before + bytes)
        ),
        (refusals): Refusals => new Map(asked.flatMap(({ index }, position) => entryOf(index, refusals.get(position))))
      )
    })
  for (const [index, refusal] of yield* bundle(items, ask)) {
    if (refusal.reason !== "too-large") outcomes[index] ??= Result.fail(refusal)
  }
  return outcomes
})

/** A file of a bundle that is asked for, and which of the bundle's it is. */
interface Asked {
  readonly item: Bundled
  readonly index: number
}

const entryOf = <A>(index: number, one: A | undefined): ReadonlyArray<readonly [number, A]> =>
  one === undefined ? [] : [[index, one]]

/** Runs a bundle; the refusal of the whole is that of each of its files. */
const bundle = (
  files: ReadonlyArray<{ readonly name: string }>,
  move: (session: ClientSession) => Effect.Effect<Refusals, CommandError>
) =>
  Effect.gen(function* () {
    return yield* Reconnect.persistently(move)
  }).pipe(
    Effect.catchTag("RequestRefused", ({ detail, reason }) =>
      Effect.succeed<Refusals>(
        new Map(files.map(({ name }, index) => [index, new RequestRefused({ name: printable(name), reason, detail })]))
      )
    )
  )

const whole = (size: number): Moved => ({ size, reused: 0, equal: false })

// -----------------------------------------------------------------------------
// Its end
// -----------------------------------------------------------------------------

/** What is transferred. */
interface Transferring {
  readonly command: TransferCommand
  readonly name: string
  readonly path?: string
  /** what it is given as one of many */
  readonly along: Along | undefined
  /** whether it may be done once more when the connection is lost */
  readonly again: boolean
}

/** Follows a transfer and reports its end. */
const timed = Effect.fnUntraced(function* <E, R>(
  transferring: Transferring,
  transfer: (
    onProgress: OnProgress,
    session: ClientSession
  ) => Effect.Effect<Committed & { readonly equal?: boolean }, E, R>
) {
  const { again, along, command, name, path } = transferring
  // The login is no part of it.
  yield* (yield* Sessions).session
  const reporter = yield* Reporter
  const began = yield* moment
  let reused = 0
  let equal = false
  const followed = along === undefined ? reporter.follow({ command, name }) : Effect.succeed(along.onProgress)
  const committed = yield* Effect.scoped(
    Effect.flatMap(followed, (follow) => {
      const shown = again ? Download.floor(follow) : follow
      const onProgress: OnProgress = (progress) => {
        reused = progress.reused
        // At the commit nothing had to be put in place: what is to be there was there.
        if (progress.phase === "committing") equal = progress.done === 0 && progress.total > 0
        shown(progress)
      }
      return Reconnect.persistently((session) => transfer(onProgress, session), again)
    })
  )
  const { milliseconds, received, sent } = yield* since(began)
  const where = path === undefined ? {} : { path }
  const crossed = along === undefined ? { sent, received } : {}
  const { digest, size } = committed
  const ended = { size, digest, reused, equal: committed.equal ?? equal, milliseconds }
  if (along?.told !== false) yield* reporter.transferred({ command, name, ...where, ...crossed, ...ended })
  return ended satisfies Moved
})
