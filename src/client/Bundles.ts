/**
 * Many small files in one request, in either direction. Each file succeeds or is refused by itself.
 */
import { Effect, type Scope, Semaphore } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Owned } from "../domain/channel/Transport.ts"
import type { FileName } from "../domain/file/FileName.ts"
import {
  type BundledContent,
  type BundledFile,
  contentsOf,
  packFiles,
  packNames,
  unpackSent
} from "../domain/file/PackedFiles.ts"
import { bundleBytesMax, bundlesAheadMax, contentBlockBytes, frameHeaderBytes } from "../domain/limits.ts"
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

/** The two commands. What goes into one call must fit into a bundle: see `bundlesOf`. */
export interface Bundles {
  /** Sends files; those that were not refused are committed as they were sent. */
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
}

/** @param inTurn runs what sends content: one at a time */
export const make = Effect.fnUntraced(function* (
  requests: Requests,
  inTurn: <A, E, R>(attempt: Effect.Effect<A, E, R | Scope.Scope>) => Effect.Effect<A, E, R | Scope.Scope>
): Effect.fn.Return<Bundles> {
  const ahead = yield* Semaphore.make(bundlesAheadMax)
  const { received: ours } = yield* Owned
  /** Where content lies until it is taken: memory that is made anew each time costs more than to fill it. */
  const roomsKept: Array<Uint8Array> = []

  const upload: Bundles["upload"] = (files, onCrossed = () => {}) =>
    Effect.gen(function* () {
      let crossed = 0
      const names = files.map(({ name }) => name)
      const rest = yield* inTurn(
        Effect.gen(function* () {
          const request = yield* requests.begin({ _tag: "UploadBundle", files: packFiles(files) })
          const proceed = Effect.flatMap(Answers.next(request, label(names)), (message) =>
            Answers.expect(message, "Proceed")
          )
          if (!request.atOnce) yield* proceed
          const frames = Bytes.runsOf(
            files.map(({ content }) => content),
            contentBlockBytes
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

  const download: Bundles["download"] = (names, take, onCrossed = () => {}) =>
    Effect.gen(function* () {
      let crossed = 0
      const request = yield* requests.begin({ _tag: "DownloadBundle", names: packNames(names) })
      let from = 0
      return yield* answers(request, names, (packed) =>
        Effect.gen(function* () {
          const files = yield* Effect.mapError(
            Effect.fromResult(unpackSent(packed, from, names.length)),
            ({ message }) => new ProtocolBroken({ detail: message })
          )
          from = (files.at(-1)?.index ?? 0) + 1
          const total = files.reduce((sum, { size }) => sum + size, 0)
          // However small the pieces are in which it comes, what is kept of it is one.
          const room = roomsKept.pop() ?? new Uint8Array(bundleBytesMax)
          let length = 0
          const keep = (parts: Bytes.Parts) =>
            Effect.sync(() => {
              for (const part of parts) {
                room.set(part, length)
                length += part.length
              }
              onCrossed((crossed += Bytes.lengthOf(parts)))
              if (ours) Bytes.giveBack(parts, frameHeaderBytes)
            })
          yield* Answers.content(request, label(names), total, keep)
          const contents = contentsOf(files, [room.subarray(0, total)])
          yield* take(files.map((file, index) => Object.assign(file, { parts: contents[index] ?? [] })))
          if (roomsKept.length < bundlesAheadMax) roomsKept.push(room)
          return files.map(({ index }) => index)
        })
      )
    }).pipe(Effect.scoped, ahead.withPermit)

  return { upload, download }
})

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
        if (name === undefined || refusals.has(index) || sent.has(index)) {
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
