/**
 * The server's transfers: what the session machine asks of the store.
 *
 * Receiving runs inside the connection's loop, so a slow disk slows the peer down. Listing and sending run beside it,
 * so that a Cancel can overtake; at most one of them at a time.
 */
import { Effect, Exit, FiberHandle, Scope } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import { Owned } from "../domain/channel/Transport.ts"
import { type ContentDigest, Digest, digestOf } from "../domain/file/Digest.ts"
import { mayRun } from "../domain/file/FileEntry.ts"
import * as FileNames from "../domain/file/FileName.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { deltaBytesMin, frameHeaderBytes, headBytes, resumeBytesMin } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, Base, SessionOutput } from "../domain/session/SessionState.ts"
import type { Watchdog } from "../domain/session/Watchdog.ts"
import type { Confined } from "../domain/store/Confined.ts"
import { type FileStore, type OpenFile, type Staging } from "../domain/store/FileStore.ts"
import { BaseChanged, type StoreError } from "../domain/store/StoreError.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { sendAll, sendRanges } from "../domain/transfer/Outgoing.ts"
import * as Pieces from "../domain/transfer/Pieces.ts"
import { offerOf, type Piece, shortDigest, type Signature } from "../domain/transfer/Signature.ts"
import { Signatures } from "../domain/transfer/Signatures.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import type { Range } from "../domain/file/Packed.ts"
import * as Assembly from "./Assembly.ts"
import * as Bundles from "./Bundles.ts"
import type { Flow } from "./Flow.ts"
import * as KeepAlive from "./KeepAlive.ts"
import * as Listing from "./Listing.ts"
import { log } from "./LogEvent.ts"
import * as Refusals from "./Refusals.ts"
import { isRefusable, type Refusable, stop, type Stopped } from "./Refusals.ts"
import type { SessionWatch } from "./SessionWatch.ts"
import { SignatureMaker } from "./SignatureMaker.ts"

type Asked<Tag extends SessionOutput["_tag"]> = Extract<SessionOutput, { readonly _tag: Tag }>

/** What an action has come to; nothing when the session just goes on. */
type Outcome = Effect.Effect<ActionResult | undefined>

export interface Transfers extends Pick<Bundles.Bundles, "gather" | "keep"> {
  readonly stage: (asked: Asked<"Stage">) => Effect.Effect<ActionResult>
  readonly write: (id: RequestId, content: Bytes.Parts) => Outcome
  readonly copy: (asked: Asked<"Copy">) => Outcome
  readonly commit: (asked: Asked<"Commit">) => Effect.Effect<ActionResult>
  readonly placeBundle: (asked: Asked<"PlaceBundle">) => Effect.Effect<ActionResult>
  /** Lets go of whatever the transfer under way holds. */
  readonly discard: Effect.Effect<void>
  /** The same, and keeps nothing of it for another try. */
  readonly drop: Effect.Effect<void>
  readonly open: (asked: Asked<"Open">) => Effect.Effect<ActionResult>
  /** The lists that a question about the open file asks for, in order. */
  readonly chunks: (asked: Asked<"SendChunks">) => ReadonlyArray<ReadonlyArray<Piece>>
  readonly blocks: (id: RequestId, ranges: ReadonlyArray<Range>) => Effect.Effect<ReadonlyArray<Piece> | ActionResult>
  /** Removes or renames. */
  readonly change: (asked: Asked<"Remove" | "Rename">) => Effect.Effect<ActionResult>
  /** Starts; the result comes through `report`. So do the next three. */
  readonly sendContent: (asked: Asked<"SendContent">) => Effect.Effect<void>
  readonly describe: (asked: Asked<"Describe">) => Effect.Effect<void>
  readonly sendBundle: (asked: Asked<"SendBundle">) => Effect.Effect<void>
  readonly list: (asked: Asked<"List">) => Effect.Effect<void>
  /** Lets the block that is being sent finish, then reports `cancelled`. */
  readonly stopSending: (id: RequestId) => Effect.Effect<void>
}

/** A resource of the transfer under way, and the scope that releases it. */
interface Held<A> {
  readonly value: A
  readonly scope: Scope.Closeable
}

/** Content on its way in. */
interface Incoming extends Held<Staging> {
  readonly command: Asked<"Stage">["command"]
  /** the version that the live file must still have */
  readonly replaces: string | undefined
  readonly target: Asked<"Stage">["target"]
  /** puts copies and content together when there is a file to copy from */
  readonly assembly: Assembly.Assembly | undefined
}

/** The file that a Para copies from or that a Download sends. */
interface Opened extends Held<OpenFile> {
  readonly signature: Signature | undefined
}

/** The digest of a file that is too small for a signature, where it may be equal to one of that size. */
const smallDigest = (digest: Digest["Service"], file: OpenFile, size: number) =>
  file.entry.size === size && size > 0 && size < deltaBytesMin
    ? // Else it is sent, and what is wrong with the file is told by what needs it.
      Effect.orElseSucceed(readDigest(digest, file), () => undefined)
    : Effect.undefined

/** The digest of a file that is small enough to be read at once. */
const readDigest = (digest: Digest["Service"], file: OpenFile) =>
  file.read(0, file.entry.size).pipe(
    Effect.tap(file.unchanged),
    Effect.map((content) => digestOf(digest, [content]))
  )

/** How long the disk takes is no silence of the client's. */
const readIn = (aliveMeanwhile: KeepAlive.AliveMeanwhile, { read, readInto }: OpenFile) => ({
  read: (offset: number, length: number) => aliveMeanwhile(read(offset, length)),
  ...(readInto && { readInto: (offset: number, target: Uint8Array) => aliveMeanwhile(readInto(offset, target)) })
})

// Of a scope that is made before what sends, so closed behind it: nobody reads what the session's end has closed.
const holdIn =
  (session: Scope.Scope) =>
  <A>(resource: Effect.Effect<A, StoreError, Scope.Scope>): Effect.Effect<Held<A>, StoreError> =>
    Effect.flatMap(Scope.fork(session), (scope) =>
      Scope.provide(resource, scope).pipe(
        Effect.map((value) => ({ value, scope })),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    )

const release = (held: Held<unknown> | undefined): Effect.Effect<void> =>
  held === undefined ? Effect.void : Scope.close(held.scope, Exit.void)

interface Options extends Pick<Flow, "copied"> {
  readonly channel: FrameChannel
  readonly watch: SessionWatch
  readonly watchdog: Watchdog
  /** whose session it is */
  readonly user: () => string
  /** the part of the store that the account sees, and what its names are in the whole */
  readonly files: Confined
  /** Takes what a transfer that runs beside the loop has come to. */
  readonly report: (outcome: Exit.Exit<ActionResult, ChannelFailed>) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Transfers, never, Digest | Scope.Scope | SignatureMaker | Signatures> {
  const { channel, copied, files, report, user, watch, watchdog } = options
  const { store } = files
  const [digest, signatures, maker] = [yield* Digest, yield* Signatures, yield* SignatureMaker]
  const { received: ours } = yield* Owned
  const [clock, pieces] = [yield* Monotonic.clock, Pieces.bySending()]
  const [connection, aliveMeanwhile] = [yield* Effect.scope, yield* KeepAlive.make(channel, watchdog)]
  const hold = holdIn(yield* Scope.fork(connection))
  const sending = yield* FiberHandle.make<void, never>()
  let incoming: Incoming | undefined
  let [opened, stopped]: [Opened?, RequestId?] = []
  const known = (name: FileName) => knownDigest({ store, signatures, digest }, name)
  const refusals = Refusals.make({ files, user, watch })
  const { refused, refusedTarget } = refusals
  const bundles = Bundles.make({ channel, digest, files, known, maker, ours, refusals, user, watch, aliveMeanwhile })

  const discard: Effect.Effect<void> = Effect.suspend(() => {
    const ended = incoming
    const base = opened
    incoming = undefined
    opened = undefined
    bundles.discard()
    // The last use of a file that was replaced gives its blocks back, which takes long: nobody waits for that.
    return Effect.andThen(
      release(ended),
      base === undefined ? Effect.void : Effect.asVoid(Effect.forkIn(release(base), connection))
    )
  })

  /** Opens a file and makes its signature, or finds it. */
  const openSigned = Effect.fnUntraced(function* (name: FileName, wanted: boolean) {
    opened = { ...(yield* hold(store.open(name))), signature: undefined }
    const file = opened.value
    if (wanted && file.entry.size >= deltaBytesMin) {
      opened = { ...opened, signature: yield* aliveMeanwhile(signatures.of(file)) }
    }
    return opened
  })

  const stage = (asked: Asked<"Stage">): Effect.Effect<ActionResult> =>
    Effect.gen(function* () {
      const { command, executable, expect, id, modified, size, target } = asked
      const base = command === "Para" ? yield* openSigned(asked.name, true) : undefined
      const name = base?.value.entry.name ?? asked.name
      const small = base && (yield* smallDigest(digest, base.value, size))
      if (base !== undefined && expect !== undefined) {
        const now = base.signature?.digest ?? (yield* signatures.of(base.value)).digest
        if (now !== expect) return yield* new BaseChanged({ name })
      }
      const resume =
        asked.head === undefined
          ? {}
          : { resume: resumeKey(digest, user(), files.whole(asked.name), asked, asked.head) }
      if (watch.audited) {
        const before = base?.signature?.digest ?? small ?? (yield* known(name))
        if (before !== undefined) watch.had(id, before)
      }
      // Taking over from an older session may wait for what that is doing.
      const staging = yield* aliveMeanwhile(
        hold(
          store.stage({
            name,
            size,
            modified,
            ...mayRun(executable),
            ...resume,
            ...(target && { target }),
            ...(base?.signature && { base: base.value.entry.size })
          })
        )
      )
      const value = ours && size >= resumeBytesMin ? givingBack(staging.value) : staging.value
      incoming = {
        ...staging,
        value,
        command,
        target,
        replaces: expect === undefined ? undefined : base?.value.version,
        assembly: base && (yield* Scope.provide(Assembly.make(value, base.value, copied), staging.scope))
      }
      return { _tag: "Staged", id, resumed: staging.value.resumed, base: base && baseOf(base, small) } as const
    }).pipe(
      Effect.onError(() => discard),
      Effect.catch((error) => refusedTarget(asked.id, asked.target, error))
    )

  const write = (id: RequestId, content: Bytes.Parts): Outcome =>
    Effect.suspend(() => {
      if (incoming === undefined) return Effect.undefined
      const { assembly, value } = incoming
      return aliveMeanwhile(assembly === undefined ? value.write(content) : assembly.content(content))
    }).pipe(
      Effect.as(undefined),
      Effect.catch((error) => refused(id, error))
    )

  const copy = ({ id, ranges }: Asked<"Copy">): Outcome =>
    Effect.suspend(() => {
      const assembly = incoming?.assembly
      return assembly === undefined ? Effect.undefined : aliveMeanwhile(assembly.copies(ranges))
    }).pipe(
      Effect.as(undefined),
      Effect.catch((error) => refused(id, error))
    )

  const commit = ({ digest: expected, id, size }: Asked<"Commit">): Effect.Effect<ActionResult> =>
    Effect.suspend((): Effect.Effect<ActionResult> => {
      if (incoming === undefined) return Effect.succeed({ _tag: "Refused", id, refusal: { reason: "store-failed" } })
      const { assembly, command, replaces, target, value } = incoming
      const request = { size, digest: expected, ...(replaces !== undefined && { replaces }) }
      const assembled = assembly?.done ?? Effect.void
      // Only the commit itself must not be interrupted: copies may be.
      return aliveMeanwhile(Effect.andThen(assembled, watch.commit(id, expected, value.commit(request)))).pipe(
        Effect.tap((entry) =>
          log("file-committed", committedText[command](printable(files.whole(entry.name))), { user: user() })
        ),
        Effect.tap((entry) => maker.committed(files.whole(entry.name), entry.size)),
        Effect.map((entry): ActionResult => ({ _tag: "Committed", id, size: entry.size, digest: expected })),
        Effect.catch((error) => refusedTarget(id, target, error))
      )
    }).pipe(Effect.ensuring(discard))

  const open = ({ delta, id, name, partial }: Asked<"Open">): Effect.Effect<ActionResult> =>
    Effect.gen(function* () {
      const { signature, value } = yield* openSigned(name, delta === true)
      const { executable, modified, size } = value.entry
      const same =
        partial !== undefined && partial.size === size && partial.modified === modified && partial.from <= size
      const head = same ? shortDigest(digest, [yield* value.read(0, Math.min(headBytes, size))]) : undefined
      const from = partial !== undefined && head === partial.head ? partial.from : 0
      const offer = signature && { signature: offerOf(signature) }
      return { _tag: "Opened", id, size, modified, from, ...mayRun(executable), ...offer } as const
    }).pipe(
      Effect.onError(() => discard),
      Effect.catch((error) => refused(id, error))
    )

  const beside = (id: RequestId, work: Effect.Effect<ActionResult, Refusable | ChannelFailed>) =>
    work.pipe(
      Effect.catchIf(isRefusable, (error) => refused(id, error)),
      Effect.exit,
      Effect.flatMap((exit) => (Exit.hasInterrupts(exit) ? Effect.void : report(exit))),
      (run) => FiberHandle.run(sending, run),
      Effect.asVoid
    )

  const unlessStopped = <A, E>(id: RequestId, work: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> =>
    Effect.suspend((): Effect.Effect<A, E | Stopped> => (stopped === id ? Effect.fail(stop) : work))

  const sendContent = ({ id, ranges }: Asked<"SendContent">): Effect.Effect<void> =>
    Effect.suspend(() => {
      const held = opened
      opened = undefined
      if (held === undefined) return Effect.void
      const { entry, unchanged } = held.value
      const source = { ...held.value, ...readIn(aliveMeanwhile, held.value), size: entry.size }
      const send = Pieces.sendIn(pieces, clock, (piece) =>
        unlessStopped(id, channel.send({ kind: "content", id, parts: [piece] }))
      )
      // A part of the file proves nothing by itself: the digest of the whole comes from its signature.
      const sendPart = Effect.gen(function* () {
        yield* sendRanges({ source, ranges, send })
        const signature = held.signature ?? (yield* aliveMeanwhile(signatures.of(held.value)))
        yield* unchanged
        return { size: entry.size, digest: signature.digest }
      })
      const work = coversAll(ranges, entry.size) ? sendAll({ source, digest, send }) : sendPart
      return beside(
        id,
        work.pipe(
          Effect.map((sent): ActionResult => ({ _tag: "Delivered", id, ...sent })),
          Effect.ensuring(release(held))
        )
      )
    })

  const describe = ({ id, name }: Asked<"Describe">): Effect.Effect<void> =>
    beside(
      id,
      Effect.scoped(
        Effect.gen(function* () {
          const file = yield* store.open(name)
          const { executable, modified, size } = file.entry
          const signature = yield* aliveMeanwhile(signatures.of(file))
          return yield* unlessStopped(
            id,
            Effect.succeed<ActionResult>({
              _tag: "Described",
              id,
              size,
              modified,
              digest: signature.digest,
              ...mayRun(executable)
            })
          )
        })
      )
    )

  const listing = Listing.make({ channel, files, signatures, bundles, user, unlessStopped, aliveMeanwhile })

  return {
    ...bundles,
    stage,
    write,
    copy,
    commit,
    placeBundle: ({ id }) => aliveMeanwhile(bundles.place(id)),
    sendBundle: (asked) => beside(asked.id, bundles.send(asked, unlessStopped)),
    discard,
    drop: Effect.suspend(() => Effect.andThen(incoming?.value.drop ?? Effect.void, discard)),
    open,
    change: changer({ files, signatures, maker, watch, user, refusals, aliveMeanwhile }),
    chunks: ({ count, first }) =>
      Array.from({ length: count }, (_, index) => opened?.signature?.groups[first + index]?.chunks ?? []),
    blocks: (id, ranges) =>
      Effect.suspend(() =>
        opened === undefined ? Effect.succeed([]) : aliveMeanwhile(signatures.blocksOf(opened.value, ranges))
      ).pipe(Effect.catch((error) => refused(id, error))),
    sendContent,
    describe,
    list: (asked) => beside(asked.id, listing(asked)),
    stopSending: (id) => Effect.sync(() => void (stopped = id))
  }
})

interface Known {
  readonly store: FileStore["Service"]
  readonly signatures: Signatures["Service"]
  readonly digest: Digest["Service"]
}

/** The digest of a committed file, where knowing it costs no reading of much. */
const knownDigest = ({ digest, signatures, store }: Known, name: FileName) =>
  Effect.gen(function* () {
    const file = yield* store.open(name)
    const { size } = file.entry
    if (size >= deltaBytesMin) return (yield* signatures.kept(file))?.digest
    return yield* readDigest(digest, file)
  }).pipe(
    Effect.scoped,
    Effect.catch(() => Effect.undefined)
  )

/** Removes and renames. */
const changer = (options: {
  readonly files: Confined
  readonly signatures: Signatures["Service"]
  readonly maker: SignatureMaker["Service"]
  readonly watch: SessionWatch
  readonly user: () => string
  readonly refusals: Refusals.Refusals
  readonly aliveMeanwhile: Effect.Success<ReturnType<typeof KeepAlive.make>>
}): Transfers["change"] => {
  const { aliveMeanwhile, files, maker, refusals, signatures, user, watch } = options
  const { store } = files
  const shown = (name: FileName) => printable(files.whole(name))
  /** The version of a file that has the digest. */
  const versionWith = Effect.fnUntraced(function* (name: FileName, expect: string) {
    const file = yield* store.open(name)
    const { digest: now } = yield* signatures.of(file)
    return now === expect ? file.version : yield* new BaseChanged({ name: file.entry.name })
  }, Effect.scoped)

  return (asked) =>
    Effect.gen(function* (): Effect.fn.Return<ActionResult, StoreError> {
      const { expect, id, name } = asked
      const request = expect === undefined ? { name } : { name, version: yield* versionWith(name, expect) }
      if (asked._tag === "Remove") {
        const removed = yield* watch.change(id, store.remove(request))
        yield* log("file-removed", `File '${shown(removed.name)}' removed.`, { user: user() })
        return { _tag: "Removed", id, name: removed.name }
      }
      const renaming = store.rename({ ...request, to: asked.to, replace: asked.replace === true })
      const { entry, from } = yield* watch.change(id, renaming)
      const text = `File '${shown(from)}' renamed to '${shown(entry.name)}'.`
      yield* log("file-renamed", text, { user: user() })
      // A new name is a new version: what is known of the old one is found no more.
      yield* maker.committed(files.whole(entry.name), entry.size)
      return { _tag: "Renamed", id, name: from, to: entry.name }
    }).pipe(
      aliveMeanwhile,
      Effect.catchTag("FileExists", ({ name }) =>
        Effect.succeed<ActionResult>({
          _tag: "Refused",
          id: asked.id,
          refusal: { reason: "already-exists", detail: name }
        })
      ),
      Effect.catch((error) => refusals.refused(asked.id, error))
    )
}

/** Content whose memory is given back once it is written: of files that nobody holds in memory whole. */
const givingBack = (staging: Staging): Staging => ({
  ...staging,
  write: (content) =>
    Effect.tap(staging.write(content), () => Effect.sync(() => Bytes.giveBack(content, frameHeaderBytes)))
})

const baseOf = ({ signature, value }: Opened, digest: ContentDigest | undefined): Base => ({
  size: value.entry.size,
  modified: value.entry.modified,
  ...mayRun(value.entry.executable),
  ...(signature && { signature: offerOf(signature) }),
  ...(digest && { digest })
})

/** Names whose content this is: what was staged is gone on with for the same source and user alone. */
const resumeKey = (
  digest: Digest["Service"],
  user: string,
  name: FileName,
  asked: Asked<"Stage">,
  head: string
): string =>
  shortDigest(digest, [Bytes.fromUtf8(JSON.stringify([user, FileNames.key(name), asked.size, asked.modified, head]))])

const coversAll = (ranges: ReadonlyArray<Range>, size: number): boolean => {
  const [only] = ranges
  return size === 0 ? only === undefined : ranges.length === 1 && only?.offset === 0 && only.length === size
}

const committedText = {
  Upload: Bundles.uploadedText,
  Para: (name: string) => `File '${name}' parallelized successfully.`
}
