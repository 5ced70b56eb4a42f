/**
 * A session of a client: the four commands, over one connection that is logged in.
 *
 * Every command is an effect that ends, typed, whatever the network does. Commands may run at once: they share the
 * connection in the order in which they were begun, without waiting for each other's answers. Interrupting a command
 * cancels it at the server too and leaves the session usable.
 */
import { Effect, Schema, type Scope, Semaphore, Stream } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import { Digest } from "../domain/file/Digest.ts"
import type { FileEntry, FileSize, Milliseconds } from "../domain/file/FileEntry.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { eagerContentBytesMax } from "../domain/limits.ts"
import { sendAll, type Source, type SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { ServerMessage } from "../domain/wire/Message.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import { type CommandError, ProtocolBroken, RequestRefused } from "./ClientError.ts"
import { counter, type OnProgress } from "./Progress.ts"
import type { Answer, Request, Requests } from "./Requests.ts"

/** A file to send: its bytes and its modification time. */
export interface Sendable<E> extends Source<E> {
  readonly modified: Milliseconds
}

/** Where a download goes. */
export interface Receiver<E> {
  readonly write: (parts: Bytes.Parts) => Effect.Effect<void, E>
  /** Verifies and keeps what was written. */
  readonly commit: (expected: Committed) => Effect.Effect<void, E>
}

/** What a transfer has moved, as both ends agree. */
export interface Committed {
  /** bytes */
  readonly size: FileSize
  readonly digest: ContentDigest
}

/** What a download is, before its first byte. */
export interface Incoming {
  readonly size: FileSize
  readonly modified: Milliseconds
}

export interface ClientSession {
  /**
   * The server's files, page by page. Pages that are not taken hold up the answers to every other command of the
   * session: take the whole listing before a command about one of its files.
   */
  readonly fetch: Stream.Stream<FileEntry, CommandError>
  readonly upload: <E>(
    name: FileName,
    source: Sendable<E>,
    onProgress?: OnProgress
  ) => Effect.Effect<Committed, CommandError | E | SourceShrank>
  readonly download: <E>(
    name: FileName,
    receive: (incoming: Incoming) => Effect.Effect<Receiver<E>, E, Scope.Scope>,
    onProgress?: OnProgress
  ) => Effect.Effect<Committed, CommandError | E>
  /** Makes the server's existing file equal to the source. Refused with `no-such-file` when it has none. */
  readonly para: <E>(
    name: FileName,
    source: Sendable<E>,
    onProgress?: OnProgress
  ) => Effect.Effect<Committed, CommandError | E | SourceShrank>
  /** Ends the session in order; what is pending fails. */
  readonly close: Effect.Effect<void>
  /** Bytes of plaintext that crossed in each direction. */
  readonly traffic: Requests["traffic"]
}

const ignoreProgress: OnProgress = () => {}

export const make = Effect.fnUntraced(function* (requests: Requests): Effect.fn.Return<ClientSession, never, Digest> {
  const digest = yield* Digest
  // Content of one request never mixes with another's: one sender at a time.
  const content = yield* Semaphore.make(1)

  const sendBody = Effect.fnUntraced(function* <E>(request: Request, source: Source<E>, onProgress: OnProgress) {
    const count = counter(source.size, onProgress)
    const sent = yield* sendAll({
      source,
      digest,
      send: Effect.fnUntraced(function* (block) {
        // Refused meanwhile: the rest would be thrown away.
        if (request.refused()) return yield* new StoppedByRefusal()
        yield* request.sendContent(block)
        count(block.length)
      })
    })
    yield* request.send({ _tag: "Commit", ...sent })
    return sent
  })

  /** The content, and then the server's last word: its own refusal counts more than our stopping for it. */
  const sendThenAnswer = <E>(
    request: Request,
    source: Source<E>,
    name: FileName,
    onProgress: OnProgress,
    last: "Uploaded" | "SuccessfullyParallelized"
  ) =>
    sendBody(request, source, onProgress).pipe(
      Effect.catchIf(
        (error): error is StoppedByRefusal => error instanceof StoppedByRefusal,
        () => Effect.undefined
      ),
      Effect.map((sent) => agreed(request, name, last, sent))
    )

  // What the server may not say ends the session: nothing after it can be believed.
  const orEnd = <A, E, R>(command: Effect.Effect<A, CommandError | E, R>): Effect.Effect<A, CommandError | E, R> =>
    Effect.catchIf(
      command,
      (error): error is Extract<CommandError | E, ProtocolBroken> => error instanceof ProtocolBroken,
      (error) => requests.abort(error)
    )

  const upload: ClientSession["upload"] = (name, source, onProgress = ignoreProgress) =>
    Effect.gen(function* () {
      const { modified, size } = source
      const answer = yield* content.withPermit(
        Effect.gen(function* () {
          const request = yield* requests.begin({ _tag: "Upload", name, size, modified })
          // Small content goes at once, unless something before it has the server's attention.
          const eager = size <= eagerContentBytesMax && request.atOnce
          if (!eager) yield* expectMessage(request, name, "Proceed")
          const answer = yield* sendThenAnswer(request, source, name, onProgress, "Uploaded")
          return eager ? Effect.andThen(expectMessage(request, name, "Proceed"), answer) : answer
        })
      )
      return yield* answer
    }).pipe(Effect.scoped, orEnd)

  const para: ClientSession["para"] = (name, source, onProgress = ignoreProgress) =>
    Effect.gen(function* () {
      const { modified, size } = source
      const answer = yield* content.withPermit(
        Effect.gen(function* () {
          const request = yield* requests.begin({ _tag: "Para", name, size, modified })
          yield* expectMessage(request, name, "SameFileHere")
          return yield* sendThenAnswer(request, source, name, onProgress, "SuccessfullyParallelized")
        })
      )
      return yield* answer
    }).pipe(Effect.scoped, orEnd)

  const download: ClientSession["download"] = (name, receive, onProgress = ignoreProgress) =>
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "Download", name })
      const { modified, size } = yield* expectMessage(request, name, "Sending")
      const receiver = yield* receive({ size, modified })
      const count = counter(size, onProgress)
      let received = 0
      while (true) {
        const answer = yield* request.next
        if (answer._tag === "Content") {
          const bytes = Bytes.lengthOf(answer.parts)
          received += bytes
          // Refused before it is written: a server cannot fill the disk beyond its word.
          if (received > size) return yield* new ProtocolBroken({ detail: "more content than was declared" })
          yield* receiver.write(answer.parts)
          count(bytes)
          continue
        }
        const last = yield* unlessRefused(answer.message, name)
        if (last._tag !== "Sent") return yield* unexpected(last._tag)
        if (last.size !== size || last.size !== received) {
          return yield* new ProtocolBroken({ detail: "content of another size than was declared" })
        }
        yield* receiver.commit(committed(last))
        return committed(last)
      }
    }).pipe(Effect.scoped, orEnd)

  return {
    fetch: Stream.unwrap(
      Effect.map(requests.begin({ _tag: "Fetch" }), (request) =>
        Stream.unfold(0, (count) => orEnd(nextPage(request, count))).pipe(Stream.flattenIterable)
      )
    ),
    upload,
    download,
    para,
    close: requests.close,
    traffic: requests.traffic
  }
})

/** The server refused while content was still on its way. Never leaves this file. */
class StoppedByRefusal extends Schema.TaggedError<StoppedByRefusal>()("StoppedByRefusal", {}) {}

const committed = ({ digest, size }: Committed): Committed => ({ size, digest })

const nextPage = Effect.fnUntraced(function* (request: Request, count: number) {
  const answer = yield* request.next
  const message = yield* messageOf(answer)
  switch (message._tag) {
    case "Page":
      // A page without entries would be an answer without progress.
      if (message.entries.length === 0) return yield* new ProtocolBroken({ detail: "an empty page" })
      return [message.entries, count + message.entries.length] as const
    case "Listed":
      return message.count === count ? undefined : yield* new ProtocolBroken({ detail: "a listing with another count" })
    default:
      yield* unlessRefused(message, "the listing")
      return yield* unexpected(message._tag)
  }
})

const expectMessage = Effect.fnUntraced(function* <Tag extends ServerMessage["_tag"]>(
  request: Request,
  name: FileName,
  tag: Tag
): Effect.fn.Return<Extract<ServerMessage, { readonly _tag: Tag }>, CommandError> {
  const message = yield* unlessRefused(yield* messageOf(yield* request.next), name)
  return hasTag(message, tag) ? message : yield* unexpected(message._tag)
})

const hasTag = <Tag extends ServerMessage["_tag"]>(
  message: ServerMessage,
  tag: Tag
): message is Extract<ServerMessage, { readonly _tag: Tag }> => message._tag === tag

/** The server's last word, which must be about what was sent. */
const agreed = Effect.fnUntraced(function* (
  request: Request,
  name: FileName,
  tag: "Uploaded" | "SuccessfullyParallelized",
  sent: Committed | undefined
): Effect.fn.Return<Committed, CommandError> {
  const last = yield* expectMessage(request, name, tag)
  if (sent === undefined || last.size !== sent.size || last.digest !== sent.digest) {
    return yield* new ProtocolBroken({ detail: `${tag} with content that was not sent` })
  }
  return sent
})

const messageOf = (answer: Answer): Effect.Effect<ServerMessage, ProtocolBroken> =>
  answer._tag === "Message" ? Effect.succeed(answer.message) : Effect.fail(new ProtocolBroken({ detail: "content" }))

const unlessRefused = (message: ServerMessage, name: string): Effect.Effect<ServerMessage, RequestRefused> => {
  switch (message._tag) {
    case "Refused":
      return Effect.fail(refusedError(name, message))
    case "SameFileNotHere":
      return Effect.fail(refusedError(name, { reason: "no-such-file" }))
    default:
      return Effect.succeed(message)
  }
}

const refusedError = (name: string, { detail = "", reason }: Refusal): RequestRefused =>
  new RequestRefused({ name: printable(name), reason, detail: printable(detail) })

const unexpected = (tag: string): ProtocolBroken => new ProtocolBroken({ detail: `unexpected ${tag}` })
