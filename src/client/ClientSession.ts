/**
 * A session of a client: its commands, over one connection that is logged in.
 *
 * Every command is an effect that ends, typed, whatever the network does. Commands may run at once: they share the
 * connection in the order in which they were begun, without waiting for each other's answers. Interrupting a command
 * cancels it at the server too and leaves the session usable.
 */
import { Effect, Exit, Result, Schema, Scope, Semaphore, type Stream } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import type { Opaque } from "../domain/channel/Opaque.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { Digest } from "../domain/file/Digest.ts"
import { type FileEntry, type FileSize, mayRun, type Milliseconds } from "../domain/file/FileEntry.ts"
import * as FileNames from "../domain/file/FileName.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { Owned } from "../domain/channel/Transport.ts"
import {
  comparedBytesMax,
  contentBlockBytes,
  eagerContentBytesMax,
  frameHeaderBytes,
  resumeBytesMin
} from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { Source, SourceShrank } from "../domain/transfer/Outgoing.ts"
import { contentBytesIn } from "../domain/wire/Frame.ts"
import type { ServerMessage, SignatureOffer } from "../domain/wire/Message.ts"
import { packRanges } from "../domain/file/Packed.ts"
import * as Answers from "./Answers.ts"
import * as Arrivals from "./Arrivals.ts"
import * as Bundles from "./Bundles.ts"
import { type CommandError, ProtocolBroken, RequestRefused } from "./ClientError.ts"
import * as Listings from "./Listings.ts"
import { type Counter, counter, type OnProgress } from "./Progress.ts"
import type { Unlisted } from "./Unlisted.ts"
import * as PasswordChange from "./PasswordChange.ts"
import * as Questions from "./Questions.ts"
import type { Request, Requests } from "./Requests.ts"
import * as Sender from "./Sender.ts"
import * as Updater from "./Updater.ts"

/** Named here too: by the name of a module that can be imported your compiler writes it into your declarations. */
export type { Requests } from "./Requests.ts"

/** A file to send: its bytes and its modification time. */
export interface Sendable<E> extends Source<E> {
  readonly modified: Milliseconds
  readonly executable?: true
}

/** Where a download goes. */
export interface Receiver<E> {
  /**
   * Takes the next bytes. They may be no more after the effect has ended: what is kept is copied.
   *
   * @param from where in the copy they were read, since it was told what comes
   */
  readonly write: (parts: Bytes.Parts, from?: number) => Effect.Effect<void, E>
  /** Verifies and keeps what was written. */
  readonly commit: (expected: Committed) => Effect.Effect<void, E>
}

/** What a transfer has moved, as both ends agree. */
export interface Committed {
  /** bytes */
  readonly size: FileSize
  readonly digest: ContentDigest
}

/** What bringing a local copy up to date has come to. */
export interface Updated extends Committed {
  /** the copy was the server's file already: nothing was written */
  readonly equal: boolean
  /** the server's modification time */
  readonly modified: Milliseconds
  readonly executable?: true
}

/** What a download is, before its first byte. */
export interface Incoming {
  readonly size: FileSize
  readonly modified: Milliseconds
  readonly executable?: true
  /** the first byte that will come: behind the part that is here already */
  readonly from: FileSize
  /** much of it stands in the copy where it will stand */
  readonly stays?: boolean
}

/** The beginning of a file that an earlier download has left here. */
export interface Partial {
  /** bytes that are here */
  readonly from: FileSize
  /** size and time of the file that it is the beginning of */
  readonly size: FileSize
  readonly modified: Milliseconds
  /** piece digest of its first `headBytes` bytes */
  readonly head: string
}

/** What the server says of one file. */
export interface Described extends Committed {
  readonly modified: Milliseconds
  readonly executable?: true
}

/** Told at the end of a listing that lacks something; when it lacks several things again, of all of them. */
export type OnUnlisted = (unlisted: Unlisted) => Effect.Effect<void>

/** What is listed. */
export interface ListingOptions {
  /** each with its digest, which the server computes when it does not know it */
  readonly digests?: boolean
  /** those whose outermost part is, but for its spelling, that of one of these names: at most `listingNamesMax` */
  readonly alike?: ReadonlyArray<FileName> | undefined
  readonly onUnlisted?: OnUnlisted
}

/** How a file is renamed. */
export interface RenameOptions {
  /** whether a file that has the new name may go */
  readonly replace?: boolean
  /** the digest that the file must have */
  readonly expect?: ContentDigest | undefined
}

/** What a rename has done: names as the server spells them. */
export interface Renamed {
  readonly name: FileName
  readonly to: FileName
}

/** The commands of one session. Sizes are bytes; every one may run beside the others. */
export interface ClientSession {
  /**
   * The server's files, page by page. Pages that are not taken hold up the answers to every other command of the
   * session, and end it when nothing moves for `stallMillisecondsMax`: take the whole listing before a command about
   * one of its files.
   */
  readonly fetch: Stream.Stream<FileEntry, CommandError>
  /** Some of them, or with more about each, and what is not among them. */
  readonly fetchWith: (options: ListingOptions) => Stream.Stream<FileEntry, CommandError>
  /**
   * Those that `alike` means, all of them. What is small among the first that are one of these names, or below one as
   * it is spelt, the server sends right behind, and `downloadBundle` takes it from here until the scope ends: for
   * whoever is certain to ask for it.
   */
  readonly fetchToGet: (
    names: ReadonlyArray<FileName>,
    onUnlisted?: OnUnlisted
  ) => Effect.Effect<ReadonlyArray<FileEntry>, CommandError, Scope.Scope>
  /** Size, time and digest of one file, without moving its content. */
  readonly describe: (name: FileName) => Effect.Effect<Described, CommandError>
  /** Goes on with what an earlier try of the same source has left at the server. */
  readonly upload: <E>(
    name: FileName,
    source: Sendable<E>,
    onProgress?: OnProgress
  ) => Effect.Effect<Committed, CommandError | E | SourceShrank>
  /** Goes on behind `partial` when the server's file is still the one it belongs to: `Incoming.from` says so. */
  readonly download: <E>(
    name: FileName,
    receive: (incoming: Incoming) => Effect.Effect<Receiver<E>, E, Scope.Scope>,
    onProgress?: OnProgress,
    partial?: Partial
  ) => Effect.Effect<Committed, CommandError | E>
  /**
   * A download that takes from an older local copy what that has; `equal` when it was the server's file already. Goes
   * on behind `partial` as a download does.
   */
  readonly update: <E>(
    name: FileName,
    copy: Source<E>,
    receive: (incoming: Incoming) => Effect.Effect<Receiver<E>, E, Scope.Scope>,
    onProgress?: OnProgress,
    partial?: Partial
  ) => Effect.Effect<Updated, CommandError | E | SourceShrank>
  /**
   * Makes the server's existing file equal to the source, sending what it lacks. Refused with `no-such-file` when it
   * has none, and with `conflict` when `expect` is given and not the digest that it has.
   *
   * An equal file is left alone, unless one may be run and the other not. With `settle` it is made anew, out of itself,
   * also when only its time is another.
   */
  readonly para: <E>(
    name: FileName,
    source: Sendable<E>,
    onProgress?: OnProgress,
    expect?: ContentDigest,
    settle?: boolean
  ) => Effect.Effect<Committed, CommandError | E | SourceShrank>
  /**
   * Sends small files together, in as few requests as take them: those that are not among the refusals are committed as
   * they were sent. A file of more than `bundleBytesMax` is one that is uploaded alone.
   */
  readonly uploadBundle: Bundles.Bundles["upload"]
  /** Gets small files together, some at a time; those among the refusals did not come. */
  readonly downloadBundle: Bundles.Bundles["download"]
  /** Changes the account's own password, which is proved again for that. The session goes on. */
  readonly changePassword: (change: PasswordChange.Change) => Effect.Effect<void, CommandError, Opaque>
  /**
   * Removes a file; gives its name as it was spelt there. Refused with `no-such-file`, and with `conflict` when
   * `expect` is not the digest that it has.
   */
  readonly remove: (name: FileName, expect?: ContentDigest) => Effect.Effect<FileName, CommandError>
  /** Gives a file another name. Refused with `already-exists` when one has it and is not to be replaced. */
  readonly rename: (name: FileName, to: FileName, options?: RenameOptions) => Effect.Effect<Renamed, CommandError>
  /** Ends the session in order; what is pending fails. */
  readonly close: Effect.Effect<void>
  /** True once the session is over, for whatever reason: every later command would fail. */
  readonly ended: () => boolean
  /** Bytes of plaintext that crossed in each direction. */
  readonly traffic: Requests["traffic"]
}

const ignoreProgress: OnProgress = () => {}

/** A source may take its time, or for ever: what is sent of it is given up with the session. */
const unlessOver = <A, E, R>(requests: Requests, request: Request, sending: Effect.Effect<A, E, R>) =>
  Effect.mapError(requests.unlessOver(sending), (error) => {
    const refusal = requests.ended() ? request.refused() : undefined
    return refusal === undefined ? error : new Sender.StoppedByRefusal({ refusal })
  })

/** The commands over requests that are made already; `Client.connect` does both. */
export const make = Effect.fnUntraced(function* (
  requests: Requests,
  wantedBytesMax: number = contentBlockBytes
): Effect.fn.Return<ClientSession, never, Digest> {
  const digest = yield* Digest
  const { received: ours } = yield* Owned
  const [clock, pace] = [yield* Monotonic.clock, Arrivals.makePace()]
  const contentBytesMax = contentBytesIn(wantedBytesMax)
  // Content of one request never mixes with another's: one sender at a time.
  const content = yield* Semaphore.make(1)
  /** A transfer that fails is cancelled before the next one begins: content is legal only for the one that is on. */
  const inTurn = <A, E, R>(attempt: Effect.Effect<A, E, R | Scope.Scope>) =>
    content.withPermit(
      Effect.gen(function* () {
        const scope = yield* Scope.fork(yield* Effect.scope)
        return yield* attempt.pipe(
          Effect.provideService(Scope.Scope, scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
      })
    )

  const bundles = yield* Bundles.make(requests, inTurn, contentBytesMax)

  /** The content, and then the server's last word: its own refusal counts more than our stopping for it. */
  const thenAnswer = <E>(
    request: Request,
    name: FileName,
    last: "Uploaded" | "SuccessfullyParallelized",
    count: Counter,
    { arrivals }: Pick<Sender.Sender<E>, "arrivals">,
    sending: Effect.Effect<Sender.Sent, Sender.SendError<E>>
  ) =>
    Effect.tap(requests.working(unlessOver(requests, request, sending)), (sent) =>
      Effect.andThen(
        arrivals.end(() => count.phase("committing")),
        request.send({ _tag: "Commit", ...sent })
      )
    ).pipe(
      Effect.map((sent) =>
        Effect.tap(agreed(request, name, last, sent), () =>
          Effect.sync(() => {
            arrivals.settle()
            count.finish()
          })
        )
      ),
      // Whoever waited for an answer may have taken the refusal as one.
      Effect.catchIf(
        (error): error is Sender.StoppedByRefusal => error instanceof Sender.StoppedByRefusal,
        ({ refusal }) => Effect.succeed(Effect.fail(Answers.refused(name, refusal)))
      )
    )

  /**
   * Two ends that are honest may still differ over what was put together. Content that an earlier try has left at the
   * server may be wrong: the server has dropped it. And chunks may have been confused, when someone who knew the key of
   * the signature meant them to be: then all of it is sent.
   *
   * @param attempt a try that goes by the signature, or not
   */
  const againWhenWrong = <E>(attempt: (bySignature: boolean) => Attempt<E>, count: Counter) => {
    // The next try begins when this one's request is given back: those of all others may be waiting for one too.
    const tries = (bySignature: boolean, left: number): Effect.Effect<Committed, TryError<E>> =>
      Effect.flatMap(attempt(bySignature), ({ answer, confused, from }) =>
        Effect.map(Effect.result(answer), (outcome) => {
          const isWrong = Result.isFailure(outcome) && (from > 0 || confused) && isMismatch(outcome.failure)
          return isWrong && left > 0 ? again(bySignature && from > 0, left - 1) : Effect.fromResult(outcome)
        })
      ).pipe(Effect.scoped, Effect.flatten)
    const again = (bySignature: boolean, left: number): Effect.Effect<Committed, TryError<E>> =>
      Effect.suspend(() => {
        count.phase("restarting")
        return tries(bySignature, left)
      })
    return tries(true, triesMax - 1)
  }

  // What the server may not say ends the session: nothing after it can be believed.
  const orEnd = <A, E, R>(command: Effect.Effect<A, CommandError | E, R>): Effect.Effect<A, CommandError | E, R> =>
    Effect.catchIf(
      command,
      (error): error is Extract<CommandError | E, ProtocolBroken> => error instanceof ProtocolBroken,
      (error) => requests.abort(error)
    )

  const upload: ClientSession["upload"] = (name, source, onProgress = ignoreProgress) =>
    Effect.suspend(() => {
      const { executable, modified, size } = source
      const count = counter(size, onProgress)
      const attempt = Effect.gen(function* () {
        const head = size >= resumeBytesMin ? { head: yield* requests.unlessOver(Sender.headOf(digest, source)) } : {}
        const request = yield* requests.begin({ _tag: "Upload", name, size, modified, ...mayRun(executable), ...head })
        const sender = Sender.make(digest, request, source, count, pace, clock, contentBytesMax)
        const proceed = Effect.flatMap(expectMessage(request, name, "Proceed"), ({ from }) =>
          Answers.staged(from, head.head === undefined ? 0 : size)
        )
        // Small content goes at once, unless something before it has the server's attention.
        if (size <= eagerContentBytesMax && head.head === undefined && request.atOnce) {
          const answer = yield* thenAnswer(request, name, "Uploaded", count, sender, sender.whole)
          return { from: 0, confused: false, answer: Effect.andThen(proceed, answer) }
        }
        const from = yield* proceed
        const sending = from > 0 ? sender.rest(from) : sender.whole
        return { from, confused: false, answer: yield* thenAnswer(request, name, "Uploaded", count, sender, sending) }
      })
      return againWhenWrong(() => inTurn(attempt), count)
    }).pipe(orEnd)

  const para: ClientSession["para"] = (name, source, onProgress = ignoreProgress, expect, settle = false) =>
    Effect.suspend(() => {
      const { executable, modified, size } = source
      const count = counter(size, onProgress)
      const attempt = Effect.fnUntraced(function* (bySignature: boolean) {
        const head = size >= resumeBytesMin ? { head: yield* requests.unlessOver(Sender.headOf(digest, source)) } : {}
        const facts = { name, size, modified, ...mayRun(executable) }
        const command = { ...facts, ...head, ...(expect !== undefined && { expect }) }
        const request = yield* requests.begin({ _tag: "Para", ...command })
        const base = yield* expectMessage(request, name, "SameFileHere")
        const { from, size: baseSize } = base
        const signature = bySignature && baseSize <= comparedBytesMax ? base.signature : undefined
        yield* Answers.staged(from, head.head === undefined ? 0 : size)
        const sender = Sender.make(digest, request, source, count, pace, clock, contentBytesMax)
        const isSettled = base.executable === executable && (!settle || base.modified === modified)
        const ownDigest = requests.working(requests.unlessOver(Sender.digestOf(digest, source)))
        const isEqual = base.digest !== undefined && isSettled && (yield* ownDigest) === base.digest
        const sending = isEqual
          ? Effect.as(source.unchanged, { size, digest: base.digest })
          : signature === undefined
            ? from > 0
              ? sender.rest(from)
              : sender.whole
            : Effect.flatMap(Questions.coarseOf(signature, baseSize), (coarse) => {
                const questions = Questions.make(request, coarse, nextMessage(request, name))
                return sender.changes(from, coarse, questions, isSettled)
              })
        // All of it is staged: a Commit without content would say that the file is to stay as it is.
        const unlessKept = Effect.filterOrElse(
          sending,
          (sent) => isSettled || from < size || sent.digest !== base.signature?.digest,
          () => Effect.andThen(request.drop, new KeptAsIs())
        )
        const answer = yield* thenAnswer(request, name, "SuccessfullyParallelized", count, sender, unlessKept)
        return { from, confused: signature !== undefined, answer }
      })
      const anew = (bySignature: boolean) =>
        Effect.catchTag(inTurn(attempt(bySignature)), "KeptAsIs", () => {
          count.phase("restarting")
          return inTurn(attempt(bySignature))
        })
      return againWhenWrong((bySignature) => Effect.catchTag(anew(bySignature), "KeptAsIs", notDropped), count)
    }).pipe(orEnd)

  const describe: ClientSession["describe"] = (name) =>
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "Describe", name })
      const { digest, executable, modified, size } = yield* expectMessage(request, name, "Described")
      return { digest, modified, size, ...mayRun(executable) }
    }).pipe(Effect.scoped, orEnd)

  const remove: ClientSession["remove"] = (name, expect) =>
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "Remove", name, ...(expect !== undefined && { expect }) })
      return yield* spelt(name, (yield* expectMessage(request, name, "Removed")).name)
    }).pipe(Effect.scoped, orEnd)

  const rename: ClientSession["rename"] = (name, to, { expect, replace = false } = {}) =>
    Effect.gen(function* () {
      const options = { ...(replace && { replace }), ...(expect !== undefined && { expect }) }
      const request = yield* requests.begin({ _tag: "Rename", name, to, ...options })
      // A refusal may be about either name; what another name stands in the way of is the new one.
      const answer = yield* Effect.mapError(expectMessage(request, `${name} -> ${to}`, "Renamed"), (error) =>
        error._tag === "RequestRefused" && error.reason === "name-collision"
          ? new RequestRefused({ name: printable(to), reason: error.reason, detail: error.detail })
          : error
      )
      if (answer.to !== to) return yield* notAskedFor()
      return { name: yield* spelt(name, answer.name), to }
    }).pipe(Effect.scoped, orEnd)

  const receiveRun = <E>(
    request: Request,
    name: FileName,
    length: number,
    take: (parts: Bytes.Parts) => Effect.Effect<void, E>
  ) =>
    Answers.content(request, name, length, (parts) =>
      // How long it takes is no silence of the server's.
      requests.apart(
        // A receiver of a smaller file may hold it in memory whole.
        ours && length >= resumeBytesMin
          ? Effect.map(take(parts), () => Bytes.giveBack(parts, frameHeaderBytes))
          : take(parts)
      )
    )

  const sentAll = Effect.fnUntraced(function* (request: Request, name: FileName, size: number) {
    const last = yield* nextMessage(request, name)
    if (last._tag !== "Sent") return yield* Answers.unexpected(last._tag)
    if (last.size !== size) return yield* new ProtocolBroken({ detail: "content of another size than was declared" })
    return committed(last)
  })

  const sendingFrom = Effect.fnUntraced(function* (request: Request, name: FileName, partial: Partial | undefined) {
    const sending = yield* expectMessage(request, name, "Sending")
    if (sending.from > sending.size || (sending.from > 0 && sending.from !== partial?.from)) {
      return yield* new ProtocolBroken({ detail: "content from another place than was asked for" })
    }
    // What is here already would be joined with content of another version.
    if (sending.from > 0 && (sending.size !== partial?.size || sending.modified !== partial.modified)) {
      return yield* new ProtocolBroken({ detail: "content of another version than was asked for" })
    }
    return sending
  })

  const download: ClientSession["download"] = (name, receive, onProgress = ignoreProgress, partial) =>
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "Download", name, ...(partial && { partial }) })
      const { executable, from, modified, signature, size } = yield* sendingFrom(request, name, partial)
      // Behind an offer the server would wait for what we want, and we for content.
      if (signature !== undefined) return yield* new ProtocolBroken({ detail: "an offer that nobody asked for" })
      const receiver = yield* requests.apart(receive({ size, modified, from, ...mayRun(executable) }))
      const count = counter(size, onProgress)
      count.reused(from)
      yield* receiveRun(request, name, size - from, (parts) =>
        Effect.map(receiver.write(parts), () => count.moved(Bytes.lengthOf(parts)))
      )
      const sent = yield* sentAll(request, name, size)
      count.phase("committing")
      yield* requests.working(receiver.commit(sent))
      count.finish()
      return sent
    }).pipe(Effect.scoped, orEnd)

  const update: ClientSession["update"] = (name, copy, receive, onProgress = ignoreProgress, partial) =>
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "Download", name, delta: true, ...(partial && { partial }) })
      const { executable, from, modified, signature, size } = yield* sendingFrom(request, name, partial)
      const facts = { modified, ...mayRun(executable) }
      const count = counter(size, onProgress)
      const found = yield* planFor(request, name, copy, size, signature, count)
      if (found.equal !== undefined) {
        count.finish()
        return { ...found.equal, equal: true, ...facts }
      }
      const receiver = yield* requests.apart(receive({ size, from, ...facts, stays: Updater.stays(found.parts) }))
      count.reused(from)
      const parts = Updater.behind(found.parts, from)
      const ranges = Updater.wanted(parts)
      if (signature !== undefined && ranges.length > 0) {
        yield* request.send({ _tag: "Want", ranges: packRanges(ranges) })
      }
      const local = Updater.localParts(copy)
      for (const part of parts) {
        let at = part.offset
        const keep = (block: Uint8Array) =>
          Effect.map(receiver.write([block], at), () => {
            at += block.length
            count.reused(block.length)
          })
        const take = (parts: Bytes.Parts) => Effect.map(receiver.write(parts), () => count.moved(Bytes.lengthOf(parts)))
        yield* part._tag === "Local" ? requests.apart(local(part, keep)) : receiveRun(request, name, part.length, take)
      }
      // With nothing to ask for, the server's word is the digest of its offer.
      const sent =
        signature !== undefined && ranges.length === 0
          ? { size, digest: signature.digest }
          : yield* sentAll(request, name, size)
      count.phase("committing")
      yield* requests.working(receiver.commit(sent))
      count.finish()
      return { ...sent, equal: false, ...facts }
    }).pipe(Effect.scoped, orEnd)

  /** What to take from the copy and what to ask for; `equal` when the copy is the server's file already. */
  const planFor = Effect.fnUntraced(function* <E>(
    request: Request,
    name: FileName,
    copy: Source<E>,
    size: number,
    signature: SignatureOffer | undefined,
    count: Counter
  ) {
    const all: ReadonlyArray<Updater.Part> = size > 0 ? [{ _tag: "Wanted", offset: 0, length: size }] : []
    // Too small for a signature: the content follows by itself. Of one that is too large all is asked for.
    if (signature === undefined || size > comparedBytesMax) return { parts: all, equal: undefined }
    count.phase("comparing")
    const coarse = yield* Questions.coarseOf(signature, size)
    const questions = Questions.make(request, coarse, nextMessage(request, name))
    const planned = Updater.plan(digest, copy, coarse, questions, (bytes) => count.compared(bytes, copy.size))
    const { digest: own, parts } = yield* requests.working(requests.unlessOver(planned))
    const equal = own === signature.digest && copy.size === size ? { size, digest: own } : undefined
    return { parts, equal }
  })

  return {
    ...(yield* Listings.make(requests, bundles, orEnd)),
    describe,
    upload,
    download,
    update,
    para,
    uploadBundle: (files, onCrossed) => orEnd(bundles.upload(files, onCrossed)),
    downloadBundle: (names, take, onCrossed) => orEnd(bundles.download(names, take, onCrossed)),
    changePassword: (change) => orEnd(PasswordChange.change(requests, change)),
    remove,
    rename,
    close: requests.close,
    ended: requests.ended,
    traffic: requests.traffic
  }
})

/** One try of a transfer: where it went on, whether chunks may have been confused, and the server's last word. */
type Attempt<E> = Effect.Effect<
  { readonly from: number; readonly confused: boolean; readonly answer: Effect.Effect<Committed, CommandError> },
  TryError<E>,
  Scope.Scope
>

type TryError<E> = CommandError | E | SourceShrank

/** One that goes on with what is staged and by the signature, one by the signature alone, and one that sends all. */
const triesMax = 3

/** The server has all of a file that is equal to its own: it would leave that as it is, with its time and bit. */
class KeptAsIs extends Schema.TaggedError<KeptAsIs>()("KeptAsIs", {}) {}

const notDropped = () => Effect.fail(new ProtocolBroken({ detail: "what was dropped is staged again" }))

const isMismatch = (error: CommandError): boolean =>
  error._tag === "RequestRefused" && error.reason === "digest-mismatch"

const committed = ({ digest, size }: Committed): Committed => ({ size, digest })

const notAskedFor = () => new ProtocolBroken({ detail: "a name that was not asked for" })

/** A name as the server spells it, which must mean the file that was asked for. */
const spelt = (asked: FileName, told: FileName): Effect.Effect<FileName, ProtocolBroken> =>
  FileNames.key(told) === FileNames.key(asked) ? Effect.succeed(told) : Effect.fail(notAskedFor())

const expectMessage = Effect.fnUntraced(function* <Tag extends ServerMessage["_tag"]>(
  request: Request,
  name: string,
  tag: Tag
): Effect.fn.Return<Extract<ServerMessage, { readonly _tag: Tag }>, CommandError> {
  return yield* Answers.expect(yield* nextMessage(request, name), tag)
})

/** The server's last word, which must be about what was sent. */
const agreed = Effect.fnUntraced(function* (
  request: Request,
  name: FileName,
  tag: "Uploaded" | "SuccessfullyParallelized",
  sent: Committed
): Effect.fn.Return<Committed, CommandError> {
  const last = yield* expectMessage(request, name, tag)
  if (last.size !== sent.size || last.digest !== sent.digest) {
    return yield* new ProtocolBroken({ detail: `${tag} with content that was not sent` })
  }
  return sent
})

/** The next message; that there is no such file is a refusal too. */
const nextMessage = (request: Request, name: string): Effect.Effect<ServerMessage, CommandError> =>
  Effect.flatMap(Answers.next(request, name), (message) => Answers.unlessMissing(message, name))
