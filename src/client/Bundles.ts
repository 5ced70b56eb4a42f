/**
 * Many small files in one request, in either direction. Each file succeeds or is refused by itself.
 */
import { Effect, Fiber, type Scope, Semaphore } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Owned } from "../domain/channel/Transport.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileNames from "../domain/file/FileName.ts"
import type { FileName } from "../domain/file/FileName.ts"
import {
  type BundleCost,
  type BundledContent,
  type BundledFile,
  bundlesOf,
  contentsOf,
  costOfFile,
  costOfName,
  packFiles,
  packNames,
  unpackSent
} from "../domain/file/PackedFiles.ts"
import { bundleBytesMax, bundleFilesMax, bundlesAheadMax, frameHeaderBytes } from "../domain/limits.ts"
import * as Answers from "./Answers.ts"
import { type CommandError, ProtocolBroken, type RequestRefused } from "./ClientError.ts"
import type { Request, Requests } from "./Requests.ts"

/** A small file to send, whole. Its digest and size are those of its content. */
export interface SmallUpload extends BundledFile {
  readonly content: Uint8Array
}

/** A small file that came, whole. Whether it has the digest is for whoever keeps it to see. */
export interface SmallDownload extends BundledContent {
  /** which of the names that were asked for */
  readonly index: number
  readonly parts: Bytes.Parts
}

/** What the server refused, by position. */
export type Refusals = ReadonlyMap<number, RequestRefused>

/** Told of content that has crossed: bytes since the beginning of this try. */
export type OnCrossed = (bytes: number) => void

/** The two commands. What does not fit into one bundle goes in several, one after another. */
export interface Bundles {
  /**
   * Sends files; those that were not refused are committed as they were sent. `too-large`: it fits into no bundle;
   * `size-mismatch`: its content has another size.
   */
  readonly upload: (files: ReadonlyArray<SmallUpload>, onCrossed?: OnCrossed) => Effect.Effect<Refusals, CommandError>
  /**
   * Gets files. `take` is given some at a time, in their order, with content that is good until it ends; what is
   * missing in the end was refused. `too-large`: it does not fit into a bundle.
   */
  readonly download: <E>(
    names: ReadonlyArray<FileName>,
    take: (files: ReadonlyArray<SmallDownload>) => Effect.Effect<void, E>,
    onCrossed?: OnCrossed
  ) => Effect.Effect<Refusals, CommandError | E>
  /**
   * Reads what a listing with `content` is answered behind its pages, to its end: until the scope ends, downloads take
   * it from here. `first` has what is sent, `entries` are those of the pages, and `names` those that were asked for.
   */
  readonly along: (
    request: Request,
    entries: ReadonlyArray<FileEntry>,
    names: ReadonlyArray<FileName>,
    first: Uint8Array
  ) => Effect.Effect<void, ProtocolBroken, Scope.Scope>
}

/** Content that comes with a listing. */
interface Extra {
  /** what has come and was not taken */
  readonly files: Map<FileName, SmallDownload>
  /** bytes of those that have come or are on their way, by their names */
  readonly sizes: Map<FileName | undefined, number>
  /** told of the bytes that have come */
  onLength: OnCrossed
  /** waits until all of it is there, or will not come */
  readonly whole: Effect.Effect<void>
}

/** @param inTurn runs what sends content: one at a time */
export const make = Effect.fnUntraced(function* (
  requests: Requests,
  inTurn: <A, E, R>(attempt: Effect.Effect<A, E, R | Scope.Scope>) => Effect.Effect<A, E, R | Scope.Scope>,
  contentBytesMax: number
): Effect.fn.Return<Bundles> {
  const ahead = yield* Semaphore.make(bundlesAheadMax)
  const { received: ours } = yield* Owned
  /** Where content lies until it is taken: memory that is made anew each time costs more than to fill it. */
  const roomsKept: Array<Uint8Array> = []

  const uploadOne = (files: ReadonlyArray<SmallUpload>, onCrossed: OnCrossed) =>
    Effect.gen(function* () {
      let crossed = 0
      const names = files.map(({ name }) => name)
      const rest = yield* inTurn(
        Effect.gen(function* () {
          const request = yield* requests.begin({ _tag: "UploadBundle", files: packFiles(files) })
          const proceed = Effect.gen(function* () {
            const { from } = yield* Answers.expect(yield* Answers.next(request, label(names)), "Proceed")
            yield* Answers.staged(from, 0)
          })
          if (!request.atOnce) yield* proceed
          const frames = Bytes.runsOf(
            files.map(({ content }) => content),
            contentBytesMax
          )
          for (const parts of frames) {
            // What was refused meanwhile is told by the answer.
            if (request.refused() !== undefined) break
            yield* request.sendParts(parts)
            onCrossed((crossed += Bytes.lengthOf(parts)))
          }
          const last = answers(request, names)
          return request.atOnce ? Effect.andThen(proceed, last) : last
        })
      )
      return yield* rest
    }).pipe(Effect.scoped, ahead.withPermit)

  /** What has come with a listing and was not taken. */
  let extra: Extra | undefined

  const along: Bundles["along"] = Effect.fnUntraced(function* (request, entries, among, first) {
    const names: Array<FileName> = []
    for (const { name } of entries) {
      if (names.length === bundleFilesMax) break
      if (FileNames.isWithin(among, name)) names.push(name)
    }
    const some = yield* sentIn(first, 0, names.length)
    const sizes = new Map(some.map(({ index, size }) => [names[index], size]))
    const mine: Omit<Extra, "whole"> = { files: new Map(), sizes, onLength: () => {} }
    const reading = Effect.gen(function* () {
      const room = new Uint8Array(some.reduce((sum, { size }) => sum + size, 0))
      yield* gathered(request, names, room, (length) => mine.onLength(length))
      const contents = contentsOf(some, [room])
      for (const [at, file] of some.entries()) {
        const name = names[file.index]
        if (name !== undefined) mine.files.set(name, { ...file, parts: contents[at] ?? [] })
      }
      const { count } = yield* Effect.flatMap(Answers.next(request, label(names)), (message) =>
        Answers.expect(message, "Listed")
      )
      if (count !== entries.length) return yield* new ProtocolBroken({ detail: "a listing with another count" })
    })
    const broken = (error: CommandError | ProtocolBroken) =>
      error instanceof ProtocolBroken ? requests.abort(error) : Effect.fail(error)
    // Before it is there: who is interrupted leaves nothing that a later download would take for the server's.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (extra === mine) extra = undefined
      })
    )
    // Whoever asks for a file that did not come asks the server.
    const fiber = yield* Effect.forkScoped(Effect.ignore(Effect.catch(reading, broken)))
    const whole = Effect.asVoid(Fiber.await(fiber))
    extra = Object.assign(mine, { whole })
  })

  /** Content that fills the room: however small the pieces are in which it comes, what is kept of it is one. */
  const gathered = (
    request: Request,
    names: ReadonlyArray<FileName>,
    room: Uint8Array,
    onLength: OnCrossed = () => {}
  ) => {
    let length = 0
    return Answers.content(request, label(names), room.length, (parts) =>
      Effect.sync(() => {
        for (const part of parts) {
          room.set(part, length)
          length += part.length
        }
        onLength(length)
        if (ours) Bytes.giveBack(parts, frameHeaderBytes)
      })
    )
  }

  const downloadOne: Ask = Effect.fnUntraced(function* (names, take, onCrossed) {
    if (extra === undefined || !names.some((name) => extra?.sizes.has(name))) return yield* ask(names, take, onCrossed)
    const coming = names.reduce((sum, name) => sum + (extra?.sizes.get(name) ?? 0), 0)
    extra.onLength = (length) => onCrossed(Math.min(length, coming))
    yield* extra.whole
    const here: Array<SmallDownload> = []
    const missing: Array<{ readonly index: number; readonly name: FileName }> = []
    for (const [index, name] of names.entries()) {
      const file = extra?.files.get(name)
      extra?.files.delete(name)
      extra?.sizes.delete(name)
      if (file === undefined) missing.push({ index, name })
      else here.push({ ...file, index })
    }
    const had = here.reduce((total, { size }) => total + size, 0)
    if (here.length > 0) {
      onCrossed(had)
      yield* requests.apart(take(here))
    }
    const of = (position: number): number => missing[position]?.index ?? position
    const refusals = yield* ask(
      missing.map(({ name }) => name),
      (some) => take(some.map((file) => ({ ...file, index: of(file.index) }))),
      (bytes) => onCrossed(had + bytes)
    )
    return new Map(Array.from(refusals, ([position, refusal]) => [of(position), refusal]))
  })

  const ask: Ask = (names, take, onCrossed) =>
    Effect.gen(function* () {
      if (names.length === 0) return new Map<number, RequestRefused>()
      let crossed = 0
      const request = yield* requests.begin({ _tag: "DownloadBundle", names: packNames(names) })
      let from = 0
      return yield* answers(request, names, (packed) =>
        Effect.gen(function* () {
          const files = yield* sentIn(packed, from, names.length)
          from = (files.at(-1)?.index ?? 0) + 1
          const total = files.reduce((sum, { size }) => sum + size, 0)
          const room = roomsKept.pop() ?? new Uint8Array(bundleBytesMax)
          const filled = room.subarray(0, total)
          yield* gathered(request, names, filled, (length) => onCrossed(crossed + length))
          crossed += total
          const contents = contentsOf(files, [filled])
          // How long it takes is no silence of the server's.
          yield* requests.apart(take(files.map((file, index) => Object.assign(file, { parts: contents[index] ?? [] }))))
          if (roomsKept.length < bundlesAheadMax) roomsKept.push(room)
          return files.map(({ index }) => index)
        })
      )
    }).pipe(Effect.scoped, ahead.withPermit)

  const upload: Bundles["upload"] = (files, onCrossed = () => {}) =>
    Effect.suspend(() => {
      const refusals = new Map<number, RequestRefused>()
      for (const [position, { content, name, size }] of files.entries()) {
        const reason =
          content.length > bundleBytesMax ? "too-large" : size === content.length ? undefined : "size-mismatch"
        if (reason !== undefined) refusals.set(position, Answers.refused(name, { reason }))
      }
      return inBundles(files, refusals, ({ content, name }) => costOfFile(name, content.length), onCrossed, uploadOne)
    })

  const download: Bundles["download"] = (names, take, onCrossed = () => {}) =>
    inBundles(names, new Map<number, RequestRefused>(), costOfName, onCrossed, (some, onCrossed, placeOf) =>
      downloadOne(some, (files) => take(files.map((file) => ({ ...file, index: placeOf(file.index) }))), onCrossed)
    )

  return { upload, download, along }
})

/** `Bundles.download` of what fits into one. */
type Ask = <E>(
  names: ReadonlyArray<FileName>,
  take: (files: ReadonlyArray<SmallDownload>) => Effect.Effect<void, E>,
  onCrossed: OnCrossed
) => Effect.Effect<Refusals, CommandError | E>

/**
 * Runs a list in as many bundles as it takes. Refusals are those by place in the list.
 *
 * @param refusals of what goes into none
 * @param run told what it is given and where each of that stands in the list
 */
const inBundles = Effect.fnUntraced(function* <A, E>(
  all: ReadonlyArray<A>,
  refusals: Map<number, RequestRefused>,
  cost: (one: A) => BundleCost,
  onCrossed: OnCrossed,
  run: (some: ReadonlyArray<A>, onCrossed: OnCrossed, placeOf: (index: number) => number) => Effect.Effect<Refusals, E>
): Effect.fn.Return<Refusals, E> {
  const placed = Array.from(all, (one, place) => ({ one, place })).filter(({ place }) => !refusals.has(place))
  let before = 0
  for (const some of bundlesOf(placed, ({ one }) => cost(one))) {
    const placeOf = (index: number): number => some[index]?.place ?? index
    let crossed = 0
    const told = (bytes: number) => onCrossed(before + (crossed = bytes))
    const refused = yield* run(
      some.map(({ one }) => one),
      told,
      placeOf
    )
    for (const [index, refusal] of refused) refusals.set(placeOf(index), refusal)
    before += crossed
  }
  return refusals
})

const sentIn = (packed: Uint8Array, from: number, count: number) =>
  Effect.mapError(
    Effect.fromResult(unpackSent(packed, from, count)),
    ({ message }) => new ProtocolBroken({ detail: message })
  )

const label = ([first, ...others]: ReadonlyArray<string>): string =>
  others.length === 0 ? (first ?? "") : `${first} and ${others.length} more`

/**
 * Reads what a bundle is answered, to its end: each file must be accounted for once.
 *
 * @param sending takes packed files that the server sends, and gives their positions; undefined where it sends none
 */
const answers = Effect.fnUntraced(function* <E = never>(
  request: Request,
  names: ReadonlyArray<FileName>,
  sending?: (packed: Uint8Array) => Effect.Effect<ReadonlyArray<number>, CommandError | E>
): Effect.fn.Return<Refusals, CommandError | E> {
  const refusals = new Map<number, RequestRefused>()
  const sent = new Set<number>()
  while (true) {
    const message = yield* Answers.next(request, label(names))
    switch (message._tag) {
      case "FileRefused": {
        const { index } = message
        const name = names[index]
        if (name === undefined || refusals.has(index)) {
          return yield* new ProtocolBroken({ detail: "a refusal of no file" })
        }
        refusals.set(index, Answers.refused(name, message))
        break
      }
      case "BundleSending":
        if (sending === undefined) return yield* Answers.unexpected(message._tag)
        for (const index of yield* sending(message.files)) sent.add(index)
        break
      case "BundleDone": {
        const { count } = message
        const other = Array.from(sent).some((index) => refusals.has(index))
        if (other || (sending !== undefined && sent.size !== count) || count + refusals.size !== names.length) {
          return yield* new ProtocolBroken({ detail: "a bundle with another count" })
        }
        return refusals
      }
      default:
        return yield* Answers.unexpected(message._tag)
    }
  }
})
