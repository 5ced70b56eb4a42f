/**
 * The server's transfers: what the session machine asks of the store.
 *
 * Receiving runs inside the connection's loop, so a slow disk slows the peer down. Listing and sending run beside it,
 * so that a Cancel can overtake; at most one of them at a time.
 */
import { Effect, Exit, FiberHandle, Scope, Stream } from "effect"
import type * as Bytes from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import { Digest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { keepAliveMilliseconds, listingPageEntriesMax } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, SessionOutput } from "../domain/session/SessionState.ts"
import type { Watchdog } from "../domain/session/Watchdog.ts"
import { FileStore, type OpenFile, type Staging } from "../domain/store/FileStore.ts"
import { sendAll, type SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { StoreError } from "../domain/store/StoreError.ts"
import { connectionId, type RequestId } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"

type Asked<Tag extends SessionOutput["_tag"]> = Extract<SessionOutput, { readonly _tag: Tag }>

export interface Transfers {
  readonly stage: (asked: Asked<"Stage">) => Effect.Effect<ActionResult>
  readonly write: (id: RequestId, content: Bytes.Parts) => Effect.Effect<ActionResult | undefined>
  readonly commit: (asked: Asked<"Commit">) => Effect.Effect<ActionResult>
  readonly discard: Effect.Effect<void>
  readonly open: (asked: Asked<"Open">) => Effect.Effect<ActionResult>
  /** Starts; the result comes through `report`. */
  readonly sendContent: (id: RequestId) => Effect.Effect<void>
  /** Starts; the result comes through `report`. */
  readonly list: (id: RequestId) => Effect.Effect<void>
  /** Lets the block that is being sent finish, then reports `cancelled`. */
  readonly stopSending: (id: RequestId) => Effect.Effect<void>
}

/** A resource of the transfer under way, and the scope that releases it. */
interface Held<A> {
  readonly value: A
  readonly scope: Scope.Closeable
}

export const make = Effect.fnUntraced(function*(options: {
  readonly channel: FrameChannel
  readonly watchdog: Watchdog
  /** Takes what a transfer that runs beside the loop has come to. */
  readonly report: (outcome: Exit.Exit<ActionResult, ChannelFailed>) => Effect.Effect<void>
}): Effect.fn.Return<Transfers, never, FileStore | Digest | Scope.Scope> {
  const { channel, report, watchdog } = options
  const store = yield* FileStore
  const digest = yield* Digest
  const connection = yield* Effect.scope
  const sending = yield* FiberHandle.make<void, never>()
  let incoming: (Held<Staging> & { readonly command: Asked<"Stage">["command"] }) | undefined
  let outgoing: Held<OpenFile> | undefined
  let stopped: RequestId | undefined
  let alivePending = false

  const hold = <A>(resource: Effect.Effect<A, StoreError, Scope.Scope>): Effect.Effect<Held<A>, StoreError> =>
    Effect.flatMap(Scope.fork(connection), (scope) =>
      Scope.provide(resource, scope).pipe(
        Effect.map((value) => ({ value, scope })),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      ))

  const release = (held: Held<unknown> | undefined): Effect.Effect<void> =>
    held === undefined ? Effect.void : Scope.close(held.scope, Exit.void)

  const discard = Effect.suspend(() => {
    const held = incoming
    incoming = undefined
    return release(held)
  })

  const stage = (asked: Asked<"Stage">): Effect.Effect<ActionResult> =>
    Effect.gen(function*() {
      const { id, modified, size } = asked
      const base = asked.command === "Para" ? yield* store.stat(asked.name) : undefined
      const held = yield* hold(store.stage({ name: base?.name ?? asked.name, size, modified }))
      incoming = { ...held, command: asked.command }
      return { _tag: "Staged", id, base: base && { size: base.size, modified: base.modified } } as const
    }).pipe(Effect.catch((error) => refused(asked.id, error)))

  const write = (id: RequestId, content: Bytes.Parts): Effect.Effect<ActionResult | undefined> =>
    Effect.suspend(() => (incoming === undefined ? Effect.undefined : incoming.value.write(content))).pipe(
      Effect.as(undefined),
      Effect.catch((error) => refused(id, error))
    )

  const commit = ({ digest: expected, id, size }: Asked<"Commit">): Effect.Effect<ActionResult> =>
    Effect.suspend((): Effect.Effect<ActionResult, StoreError> => {
      if (incoming === undefined) return Effect.succeed({ _tag: "Refused", id, refusal: { reason: "store-failed" } })
      const { command, value } = incoming
      return aliveMeanwhile(value.commit({ size, digest: expected })).pipe(
        Effect.tap((entry) => Effect.logInfo(committedText[command](printable(entry.name)))),
        Effect.map((entry) => ({ _tag: "Committed", id, size: entry.size, digest: expected }))
      )
    }).pipe(
      Effect.catch((error) => refused(id, error)),
      Effect.ensuring(discard)
    )

  // A long fsync is our own doing: the peer must neither be blamed for it nor left to think that we are gone.
  const aliveMeanwhile = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    watchdog.exempt(Effect.raceFirst(work, Effect.forever(Effect.andThen(Effect.sleep(keepAliveMilliseconds), alive))))
  // Sent beside the commit: an interrupted send would end the channel, and the commit must not wait for a slow reader.
  const alive = Effect.suspend(() => {
    if (alivePending) return Effect.void
    alivePending = true
    const body = Message.Server.encode({ _tag: "Pong" })
    return channel.send({ kind: "message", id: connectionId, body }).pipe(
      Effect.ignore,
      Effect.ensuring(Effect.sync(() => void (alivePending = false))),
      Effect.forkIn(connection)
    )
  })

  const open = ({ id, name }: Asked<"Open">): Effect.Effect<ActionResult> =>
    hold(store.open(name)).pipe(
      Effect.map((held): ActionResult => {
        outgoing = held
        return { _tag: "Opened", id, size: held.value.entry.size, modified: held.value.entry.modified }
      }),
      Effect.catch((error) => refused(id, error))
    )

  const beside = (id: RequestId, work: Effect.Effect<ActionResult, Stopped | StoreError | SourceShrank | ChannelFailed>) =>
    work.pipe(
      Effect.catchIf(isRefusable, (error) => refused(id, error)),
      Effect.exit,
      Effect.flatMap((exit) => Exit.hasInterrupts(exit) ? Effect.void : report(exit)),
      (run) => FiberHandle.run(sending, run),
      Effect.asVoid
    )

  const unlessStopped = <A, E>(id: RequestId, work: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> =>
    Effect.suspend((): Effect.Effect<A, E | Stopped> => (stopped === id ? Effect.fail(stop) : work))

  const sendContent = (id: RequestId): Effect.Effect<void> =>
    Effect.suspend(() => {
      const held = outgoing
      outgoing = undefined
      if (held === undefined) return Effect.void
      const { entry, read, unchanged } = held.value
      const send = (block: Uint8Array) => unlessStopped(id, channel.send({ kind: "content", id, parts: [block] }))
      const work = sendAll({ source: { size: entry.size, read, unchanged }, digest, send })
      return beside(id, work.pipe(
        Effect.map((sent): ActionResult => ({ _tag: "Delivered", id, ...sent })),
        Effect.ensuring(release(held))
      ))
    })

  const list = (id: RequestId): Effect.Effect<void> =>
    beside(id, Effect.suspend(() => {
      let count = 0
      return Stream.runForEachArray(Stream.rechunk(store.list, listingPageEntriesMax), (entries) => {
        count += entries.length
        const body = Message.Server.encode({ _tag: "Page", entries })
        return unlessStopped(id, channel.send({ kind: "message", id, body }))
      }).pipe(Effect.map((): ActionResult => ({ _tag: "Listed", id, count })))
    }))

  return {
    stage,
    write,
    commit,
    discard,
    open,
    sendContent,
    list,
    stopSending: (id) => Effect.sync(() => void (stopped = id))
  }
})

const committedText = {
  Upload: (name: string) => `File '${name}' uploaded successfully.`,
  Para: (name: string) => `File '${name}' parallelized successfully.`
}

/** The peer cancelled what was being sent. */
interface Stopped {
  readonly _tag: "Stopped"
}
const stop: Stopped = { _tag: "Stopped" }

type Refusable = Stopped | StoreError | SourceShrank

const isRefusable = (error: Refusable | ChannelFailed): error is Refusable => error._tag !== "ChannelFailed"

const refused = (id: RequestId, error: Refusable): Effect.Effect<ActionResult> => {
  const result: ActionResult = { _tag: "Refused", id, refusal: refusalOf(error) }
  // Only what the administrator must look into is logged; a refusal is the client's to mend.
  return error._tag === "StoreFailed" ? Effect.as(Effect.logError(error.message), result) : Effect.succeed(result)
}

/** What a client may know of an error of the store. */
const refusalOf = (error: Refusable): Refusal => {
  switch (error._tag) {
    case "Stopped":
      return { reason: "cancelled" }
    case "NoSuchFile":
      return { reason: "no-such-file" }
    case "NameCollision":
      return { reason: "name-collision", detail: error.existing }
    case "NotAFile":
      return { reason: "not-a-file", detail: error.found }
    case "NoSpace":
      return { reason: "no-space" }
    case "SizeMismatch":
      return { reason: "size-mismatch" }
    case "DigestMismatch":
      return { reason: "digest-mismatch" }
    case "SourceChanged":
    case "SourceShrank":
      return { reason: "source-changed" }
    case "BaseChanged":
      return { reason: "conflict" }
    case "TakenOver":
      return { reason: "taken-over" }
    case "StoreFailed":
      return { reason: "store-failed" }
  }
}
