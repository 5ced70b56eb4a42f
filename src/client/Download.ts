/**
 * One download: what changed since an older local copy, what is missing behind the beginning that an earlier try has
 * left, or all of it.
 */
import { Effect } from "effect"
import { mayRun } from "../domain/file/FileEntry.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { deltaBytesMin, resumeBytesMin } from "../domain/limits.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import { LocalFileFailed, type TransferError } from "./ClientError.ts"
import type { ClientSession, Committed, Incoming, Updated } from "./ClientSession.ts"
import type { Leftover, LocalPlace, LocalSource } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"
import { Reporter } from "./Reporter.ts"

/** What a download is asked for. */
export interface DownloadRequest {
  readonly session: ClientSession
  readonly name: FileName
  /** where it goes */
  readonly place: LocalPlace
  /** bytes, when a listing has said so */
  readonly size?: number | undefined
  readonly onProgress: OnProgress
}

/** A download that has ended well; `equal` when the local file was the server's already and was left alone. */
export interface Downloaded extends Committed {
  readonly equal: boolean
}

type Downloading = Effect.Effect<Downloaded, SourceShrank | TransferError, Reporter>

/** Chooses the way that moves least. Says so when it has to start again. */
export const download = (request: DownloadRequest): Downloading =>
  Effect.suspend(() => {
    const latest = { ...request, onProgress: floor(request.onProgress) }
    return Effect.catchTag(attempt(latest, true), "SourceShrank", () => withoutCopy(latest))
  })

/** The older copy is no more what it was. What was made with it may be gone on with. */
const withoutCopy = (request: DownloadRequest): Downloading =>
  Effect.gen(function* () {
    const { note } = yield* Reporter
    yield* note(`the older copy at ${printable(request.place.path)} became shorter meanwhile: going on without it`)
    return yield* attempt(request, false)
  })

/** @param byCopy whether an older copy is looked for */
const attempt = (request: DownloadRequest, byCopy: boolean): Downloading =>
  Effect.gen(function* () {
    const { name, onProgress, place, session, size } = request
    // Of a file below that nothing is ever left: it need not be looked for.
    const left = size !== undefined && size < resumeBytesMin ? undefined : yield* place.leftover
    // What cannot be read as a copy may still be written, or says why not.
    const found = byCopy ? yield* Effect.orElseSucceed(place.open, () => undefined) : undefined
    const copy = found !== undefined && found.size >= deltaBytesMin ? found : undefined
    if (left !== undefined) return yield* behind(request, left, copy)
    if (copy === undefined) return yield* whole(request)
    const latest = floor(onProgress)
    return yield* session.update(name, copy, stagedAt(place, copy), latest).pipe(
      Effect.flatMap((updated) => settled(request, copy, updated)),
      Effect.catchIf(isMismatch, () => afterCopy({ ...request, onProgress: latest }))
    )
  }).pipe(Effect.scoped)

const isMismatch = (error: SourceShrank | TransferError): error is LocalFileFailed =>
  error instanceof LocalFileFailed && error.code === "digest-mismatch"

/** Chunks of the copy were confused with some of the server's file, by someone who knew the signature of that. */
const afterCopy = (request: DownloadRequest): Downloading =>
  Effect.gen(function* () {
    const { note } = yield* Reporter
    yield* note(`the older copy at ${printable(request.place.path)} led to other content: getting the file whole`)
    return yield* whole(request)
  })

/** An equal file was left alone: only its time may be another. */
const settled = (
  { place }: DownloadRequest,
  copy: LocalSource,
  updated: Updated
): Effect.Effect<Downloaded, LocalFileFailed> => {
  const { equal, executable, modified } = updated
  const differs = modified !== copy.modified || executable !== copy.executable
  const settle = equal && differs ? place.settle({ modified, ...mayRun(executable) }) : Effect.void
  return Effect.as(settle, updated)
}

/** Begins the file anew, as a clone of the copy where much stays, so that what ends early can be gone on with. */
const stagedAt = (place: LocalPlace, copy?: LocalSource) => (incoming: Incoming) =>
  place.stage({ ...incoming, resumable: true, ...(incoming.stays && copy && { base: copy }) })

const whole = ({ name, onProgress, place, session }: DownloadRequest): Downloading =>
  Effect.map(session.download(name, stagedAt(place), onProgress), (committed) => ({ ...committed, equal: false }))

/**
 * Goes on with a leftover when the server's file is still the one that it is the beginning of; what is behind it may
 * still come from an older copy.
 */
const behind = (request: DownloadRequest, left: Leftover, copy: LocalSource | undefined): Downloading =>
  Effect.gen(function* () {
    const { name, onProgress, place, session } = request
    const { note } = yield* Reporter
    const anew = stagedAt(place, copy)
    const shown = printable(place.path)
    let resumed = false
    const receive = (incoming: Incoming) => {
      resumed = incoming.from > 0
      if (resumed) return left.resume(incoming.executable)
      return Effect.andThen(
        Effect.andThen(
          note(`the server's file is another than the one that was begun at ${shown}: starting again`),
          left.drop
        ),
        anew(incoming)
      )
    }
    const { from, head, modified, size } = left
    const latest = floor(onProgress)
    const partial = { from, head, modified, size }
    const going: Effect.Effect<Downloaded, SourceShrank | TransferError> =
      copy === undefined
        ? Effect.map(session.download(name, receive, latest, partial), (sent) => ({ ...sent, equal: false }))
        : Effect.flatMap(session.update(name, copy, receive, latest, partial), (done) => settled(request, copy, done))
    return yield* going.pipe(
      // The copy was brought up to date by other means: nothing is left to go on with.
      Effect.tap(({ equal }) => (equal ? left.drop : Effect.void)),
      Effect.catchIf(
        (error) => (resumed || copy !== undefined) && isMismatch(error),
        () =>
          resumed
            ? Effect.andThen(
                note(`what an earlier try had left for ${shown} was damaged: starting again`),
                whole({ ...request, onProgress: latest })
              )
            : afterCopy({ ...request, onProgress: latest })
      )
    )
  })

/** What is shown waits until a second try has caught up with the first. */
export const floor = (onProgress: OnProgress): OnProgress => {
  let shown = 0
  return (progress) => {
    shown = Math.min(progress.total, Math.max(shown, progress.done))
    onProgress({ ...progress, done: shown })
  }
}
