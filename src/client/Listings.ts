/**
 * The listings of one session: page by page, what each lacks beside it, and small files along with their entries.
 */
import { Effect, type Result, Semaphore, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { unpackEntries, unpackNames } from "../domain/file/PackedFiles.ts"
import { bundlesAheadMax, bundlesInFlightMax, unlistedNamesMax, unnamedFoldersMax } from "../domain/limits.ts"
import type { ClientMessage, ServerMessage } from "../domain/wire/Message.ts"
import * as Answers from "./Answers.ts"
import type * as Bundles from "./Bundles.ts"
import { type CommandError, ProtocolBroken, theListing } from "./ClientError.ts"
import type { ListingOptions, OnUnlisted } from "./ClientSession.ts"
import * as Listed from "./Listed.ts"
import type { Answer, Requests } from "./Requests.ts"
import { nothing, type Unlisted } from "./Unlisted.ts"

/** @param orEnd ends the session where the server breaks the protocol */
export const make = Effect.fnUntraced(function* (
  requests: Requests,
  bundles: Bundles.Bundles,
  orEnd: <A, R>(page: Effect.Effect<A, CommandError, R>) => Effect.Effect<A, CommandError, R>
) {
  const listing = (command: Extract<ClientMessage, { readonly _tag: "Fetch" }>, onUnlisted?: OnUnlisted) =>
    Stream.unwrap(
      Effect.map(requests.begin(command), (request) =>
        Stream.unfold(pagesOf(onUnlisted), (pageOf) =>
          orEnd(
            Effect.map(Effect.flatMap(request.next, pageOf), (page) => (page === undefined ? page : [page, pageOf]))
          )
        ).pipe(Stream.flattenIterable)
      )
    )
  // Names take room at the server while they wait: no more than so many at once, and others after them.
  const narrowed = yield* Semaphore.make(bundlesInFlightMax - bundlesAheadMax)
  const inTurn = narrowed.takeScoped(1)
  const fetchWith = ({ alike, digests, onUnlisted }: ListingOptions) => {
    // No name is like none.
    if (alike?.length === 0) return Stream.empty
    const pages = listing({ _tag: "Fetch", ...(digests && { digest: true }), ...(alike && { alike }) }, onUnlisted)
    return alike === undefined ? pages : Stream.unwrap(Effect.as(inTurn, pages))
  }
  const toGet = Effect.fnUntraced(function* (names: ReadonlyArray<FileName>, onUnlisted?: OnUnlisted) {
    if (names.length === 0) return []
    yield* inTurn
    const request = yield* requests.begin({ _tag: "Fetch", alike: names, content: true })
    const [entries, pageOf] = [new Array<FileEntry>(), pagesOf(onUnlisted)]
    while (true) {
      const answer = yield* request.next
      if (answer._tag === "Message" && answer.message._tag === "BundleSending") {
        yield* bundles.along(request, entries, names, answer.message.files)
        return entries
      }
      const page = yield* pageOf(answer)
      if (page === undefined) return entries
      yield* Listed.add(entries, page)
    }
  })
  return {
    fetch: listing({ _tag: "Fetch" }),
    fetchWith,
    fetchToGet: (names: ReadonlyArray<FileName>, onUnlisted?: OnUnlisted) => orEnd(toGet(names, onUnlisted))
  }
})

/** What the answers to one listing say: a page of it each, and undefined at its end. */
const pagesOf = (onUnlisted?: OnUnlisted) => {
  let count = 0
  let lacks = nothing
  return Effect.fnUntraced(function* (
    answer: Answer
  ): Effect.fn.Return<ReadonlyArray<FileEntry> | undefined, CommandError> {
    const message = yield* Answers.messageOf(answer)
    switch (message._tag) {
      case "Page": {
        const entries = yield* unpacked(unpackEntries(message.entries))
        if (lacks !== nothing) return yield* new ProtocolBroken({ detail: "a page behind what a listing lacks" })
        count += entries.length
        return entries
      }
      case "Unlisted":
      case "Unnamed": {
        lacks = yield* message._tag === "Unlisted" ? withUnlisted(lacks, message) : withUnnamed(lacks, message)
        yield* onUnlisted?.(lacks) ?? Effect.void
        return []
      }
      case "Listed":
        if (message.count === count) return undefined
        return yield* new ProtocolBroken({ detail: "a listing with another count" })
      default:
        yield* Answers.unlessMissing(yield* Answers.unlessRefused(message, theListing), theListing)
        return yield* Answers.unexpected(message._tag)
    }
  })
}

type Said<Tag> = Extract<ServerMessage, { readonly _tag: Tag }>

/** Once, and first. */
const withUnlisted = Effect.fnUntraced(function* (
  lacks: Unlisted,
  { count, names: packed }: Said<"Unlisted">
): Effect.fn.Return<Unlisted, ProtocolBroken> {
  const names = yield* unpacked(unpackNames(packed))
  const sound = lacks === nothing && names.length <= Math.min(count, unlistedNamesMax)
  if (!sound) return yield* new ProtocolBroken({ detail: "a listing that lacks something twice" })
  return { ...lacks, count, names }
})

/** Each folder once; others last, together. */
const withUnnamed = Effect.fnUntraced(function* (
  lacks: Unlisted,
  { count, folder: said, names }: Said<"Unnamed">
): Effect.fn.Return<Unlisted, ProtocolBroken> {
  const { unnamed } = lacks
  const folder: string = said ?? ""
  const isTold = unnamed.some((one) => one.names.length === 0 || one.folder === folder)
  const isNext = names.length === 0 ? folder === "" : !isTold && unnamed.length < unnamedFoldersMax
  const sound = isNext && unnamed.at(-1)?.names.length !== 0 && count >= Math.max(1, names.length)
  if (!sound || !names.every(isPart)) {
    return yield* new ProtocolBroken({ detail: "a listing that lacks something twice" })
  }
  return { ...lacks, unnamed: [...unnamed, { folder, count, names }] }
})

/** One part of a path; a `/` ends what is a folder. */
const isPart = (name: string): boolean => /^[^/]+\/?$/.test(name)

const unpacked = <A>(result: Result.Result<A, { readonly message: string }>): Effect.Effect<A, ProtocolBroken> =>
  Effect.mapError(Effect.fromResult(result), ({ message }) => new ProtocolBroken({ detail: message }))
