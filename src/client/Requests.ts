/**
 * Requests and their answers over one session: ids, order, cancellation, and the end of everything when it breaks.
 *
 * One fiber reads and hands each frame to the request that it belongs to. When the connection fails or stalls, every
 * pending request fails with a typed error, and so does every later one: nothing waits for ever.
 */
import { Cause, Deferred, Effect, Exit, Fiber, FiberSet, Option, Queue, type Scope, Semaphore } from "effect"
import { lengthOf, type Parts } from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { SecureChannel } from "../domain/channel/SecureChannel.ts"
import { printable } from "../domain/file/Printable.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import {
  goodbyeMillisecondsMax,
  idleMillisecondsMax,
  keepAliveMilliseconds,
  requestsInFlightMax,
  signsOfLifeMillisecondsMax,
  stallMillisecondsMax
} from "../domain/limits.ts"
import * as FrameChannel from "../domain/session/FrameChannel.ts"
import * as Watchdog from "../domain/session/Watchdog.ts"
import { connectionId, type Frame, type FrameRefused, RequestId } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import { type CommandError, ConnectionLost, ProtocolBroken } from "./ClientError.ts"

/** What the server sends for one request. */
export type Answer =
  | { readonly _tag: "Message"; readonly message: Message.ServerMessage }
  | { readonly _tag: "Content"; readonly parts: Parts }

/** Answers that wait for the request's owner, who may have as many; beyond it backpressure holds the server. */
const answersWaitingMax = 4

/** One request that was sent. Closing its scope before the last answer cancels it. */
export interface Request {
  readonly id: RequestId
  /** True when no request but uploads was in flight as this one left: its content may follow at once. */
  readonly atOnce: boolean
  /** The next answer, in order. */
  readonly next: Effect.Effect<Answer, CommandError>
  /** The same; content that has come behind it is joined with it, to at most so many bytes. */
  readonly nextJoined: (bytesMax: number) => Effect.Effect<Answer, CommandError>
  /** The server's refusal as soon as it has arrived, also while content is still being sent. */
  readonly refused: () => Refusal | undefined
  /** Sends content of this request: at most one frame's worth. */
  readonly sendContent: (block: Uint8Array) => Effect.Effect<void, CommandError>
  /** The same of content in parts. */
  readonly sendParts: (parts: Parts) => Effect.Effect<void, CommandError>
  /** Sends a further message of this request. */
  readonly send: (message: Message.ClientMessage) => Effect.Effect<void, CommandError>
  /** Sends content and messages together, in order: all of them in one record. */
  readonly sendTogether: (parts: ReadonlyArray<Message.ClientMessage | Uint8Array>) => Effect.Effect<void, CommandError>
  /**
   * Has the server asked, behind all that was sent of this request, whether it has got there. `reached` is called, and
   * must not fail, when it says so; never once the request is over.
   */
  readonly whenReached: (reached: () => void) => Effect.Effect<void, CommandError>
  /** Nobody will go on with what the server has of it: when it is given up, nothing of it is kept there. */
  readonly drop: Effect.Effect<void>
}

export interface Requests {
  /** Succeeds once the server has answered Hello: it knows the password's record. Fails as every request would. */
  readonly confirmed: Effect.Effect<void, CommandError>
  /** Sends a command and gives its request. At most `requestsInFlightMax` at once; more wait. */
  readonly begin: (command: Message.ClientMessage) => Effect.Effect<Request, CommandError, Scope.Scope>
  /**
   * Runs work of our own within a request, such as comparing a file: the server hears now and then that it goes on. It
   * may ask the server and wait for its answers.
   */
  readonly working: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The same of work that takes no answers: they may pile up, so that the server's silence tells nothing. */
  readonly apart: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Gives up work that is of no use once the session is over: what is read and compared for it, not what is written.
   * Without this a long comparison would learn of it at its end.
   */
  readonly unlessOver: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CommandError, R>
  /** Ends the session because of what the server said: this and every other request fails with the error. */
  readonly abort: (error: CommandError) => Effect.Effect<never, CommandError>
  /** Says goodbye: proves the end of our stream, waits a moment for the server's, and fails what is pending. */
  readonly close: Effect.Effect<void>
  /** True once no request can succeed any more. */
  readonly ended: () => boolean
  readonly traffic: Readonly<FrameChannel.Traffic>
}

interface Entry {
  readonly answers: Queue.Queue<Answer, CommandError>
  readonly upload: boolean
  readonly listing: boolean
  refused: Refusal | undefined
  /** nobody waits any more: answers are dropped until the last one */
  abandoned: boolean
  /** what the server has of it is of no use */
  dropped: boolean
  /** the last answer has come */
  finished: boolean
  /** nothing of it is to move any more */
  left: boolean
}

/** Messages after which a request gets no more answers. */
const isLast = Message.ServerMessage.isAnyOf([
  "Listed",
  "Described",
  "Uploaded",
  "Sent",
  "BundleDone",
  "SameFileNotHere",
  "SuccessfullyParallelized",
  "PasswordChanged",
  "Removed",
  "Renamed",
  "Refused"
])

/**
 * Says Hello and starts to read. Requests may be begun at once: they leave in the same flight as Hello, and nobody but
 * a server that knows the password's record can read them. The first answer comes behind `confirmed`.
 *
 * @param client what the server's log shows of us
 * @param cut closes the connection: what is still being written then fails instead of waiting for ever. Given up:
 *   nothing that is on its way may arrive any more, for it would undo what is done after it
 */
export const make = Effect.fnUntraced(function* (
  secure: SecureChannel,
  client: string,
  cut: (givenUp: boolean) => Effect.Effect<void>
): Effect.fn.Return<Requests, CommandError, Scope.Scope> {
  const [confirmed, ended] = [yield* Deferred.make<void, CommandError>(), yield* Deferred.make<never, CommandError>()]
  const watchdog = yield* Watchdog.make(stallMillisecondsMax)
  const channel = FrameChannel.make(secure, watchdog, watchdog.alive)
  const [entries, asked] = [new Map<RequestId, Entry>(), makeAsked()]
  const [inFlight, ordering] = [yield* Semaphore.make(requestsInFlightMax), yield* Semaphore.make(1)]
  let lastId = 0
  /** requests of which something is to move still; those whose last answer content may not run ahead of */
  let [active, blocking] = [0, 0]
  let over: CommandError | undefined
  const parting = makeParting()

  // A record that is half out would end the session: an interrupted caller leaves, its record does not. What is stuck
  // in a dead connection ends with the session, since a socket may never tell a writer that its peer has gone.
  const sends = yield* FiberSet.make<void, ChannelFailed>()
  const starting = (record: Effect.Effect<void, ChannelFailed>) =>
    // What it gives waits until the record has left.
    Effect.suspend((): Effect.Effect<Effect.Effect<void, CommandError>> => {
      if (over !== undefined) return Effect.succeed(Effect.fail(over))
      return Effect.map(FiberSet.run(sends, record, { startImmediately: true }), (fiber) =>
        // A send that ends the session as it begins was not in the set when that was cleared.
        over === undefined
          ? Effect.flatMap(Fiber.await(fiber), sent)
          : Effect.andThen(Fiber.interrupt(fiber), Effect.fail(over))
      )
    })
  const send = (frame: Frame): Effect.Effect<void, CommandError> => Effect.flatten(starting(channel.send(frame)))
  // The server's last words may still be on their way, but whoever begins anew on this session would lose it again.
  let unsent: ConnectionLost | undefined
  const sent = (exit: Exit.Exit<void, ChannelFailed>): Effect.Effect<void, CommandError> => {
    if (Exit.isSuccess(exit)) return Effect.void
    const reason = Option.match(Cause.findErrorOption(exit.cause), {
      onNone: () => "connection-lost",
      onSome: (error) => error.reason
    })
    return Effect.fail(over ?? (unsent ??= lost(reason)))
  }
  /** Without waiting: who gives up a request must not hang on a connection that is stuck. */
  const post = (id: RequestId, content: Message.ClientMessage): Effect.Effect<void> =>
    Effect.asVoid(
      // At once: what is begun after this must not overtake it.
      FiberSet.run(sends, channel.send({ kind: "message", id, body: Message.Client.encode(content) }), {
        startImmediately: true
      })
    )
  const pings = makePings(channel.sign, sends, () => over !== undefined, yield* Monotonic.clock)
  // A server whose record is long on its way hears now and then that it comes.
  secure.follow(pings.when(watchdog.partly))
  const working = yield* makeWorking(pings.when(watchdog.silent))
  const sendMessage = (id: RequestId, content: Message.ClientMessage) =>
    send({ kind: "message", id, body: Message.Client.encode(content) })

  // Who hears of it first may close the session, and so interrupt whoever tells: all are told all the same, and what is
  // still being written ends with the connection.
  const fail = (error: CommandError) =>
    Effect.suspend(() => {
      // Whatever the server says to our end, the end was ours.
      const reason = (over ??= parting.closed ? closedHere : error)
      return Effect.forEach(entries.values(), ({ answers }) => Queue.fail(answers, reason), { discard: true }).pipe(
        Effect.andThen(Deferred.fail(confirmed, reason)),
        Effect.andThen(Deferred.fail(ended, reason)),
        Effect.andThen(FiberSet.clear(sends)),
        Effect.andThen(Effect.suspend(() => cut(parting.givenUp)))
      )
    }).pipe(Effect.uninterruptible)

  const leave = (entry: Entry): void => {
    if (!entry.left) active -= 1
    entry.left = true
    if (active === 0) watchdog.expect(unaskedMilliseconds)
  }
  /** Somebody waits for it: a server may not hold us by anything else for ever. */
  const isAwaited = ({ id }: Frame): boolean => entries.get(id)?.abandoned === false
  const deliver = Effect.fnUntraced(function* (frame: Frame) {
    const answer = yield* answerOf(frame)
    if (frame.id === connectionId) return yield* ofConnection(answer)
    if (answer._tag === "Message" && answer.message._tag === "Pong" && asked.answered(frame.id)) return
    const entry = entries.get(frame.id)
    if (entry === undefined || entry.finished) return yield* new ProtocolBroken({ detail: "an answer to no request" })
    if (answer._tag === "Message" && isLast(answer.message)) {
      entry.finished = true
      asked.over(frame.id)
      // Whoever has a listing may hold it for long, and nothing moves for it any more.
      if (entry.listing) leave(entry)
      if (!entry.upload) blocking -= 1
      if (answer.message._tag === "Refused") entry.refused = answer.message
    }
    if (!entry.abandoned) yield* Queue.offer(entry.answers, answer)
    else if (entry.finished) entries.delete(frame.id)
  })

  const read = Effect.gen(function* () {
    yield* correct(channel)
    if (active === 0) watchdog.expect(unaskedMilliseconds)
    yield* Deferred.succeed(confirmed, undefined)
    while (true) {
      const frames = yield* channel.receive
      if (frames === undefined) return yield* lost(serverEnded)
      const awaited = frames.some(isAwaited)
      if (awaited) watchdog.progress()
      // What the server's system holds for a slow way may take long: it hears that it comes.
      if (awaited && pings.isLongAgo()) yield* pings.when(() => true)
      for (const frame of frames) yield* deliver(frame)
    }
  }).pipe(Effect.raceFirst(Effect.tapError(watchdog.watch, parting.giveUp)), Effect.mapError(endOf))

  yield* sendMessage(connectionId, { _tag: "Hello", client })
  const reader = yield* Effect.forkScoped(
    Effect.catchCause(read, (cause) => fail(Option.getOrElse(Cause.findErrorOption(cause), () => lost("a defect"))))
  )
  // What is still to come would be answered with a reset, which may overtake our end. Where nothing is, the server's
  // end tells nothing: not to wait for it saves a round trip.
  const quiet = Effect.map(Deferred.isDone(confirmed), (done) => done && entries.values().every((one) => one.finished))
  // Our end first, then the server's: its log then tells of an orderly goodbye.
  const close = Effect.suspend(() => {
    if (over !== undefined || unsent !== undefined) return unsent === undefined ? Effect.void : fail(unsent)
    return Effect.andThen(
      Effect.andThen(parting.close, channel.end),
      Effect.flatMap(quiet, (nothing) => (nothing ? Effect.void : Fiber.await(reader)))
    ).pipe(
      Effect.timeoutOrElse({ duration: goodbyeMillisecondsMax, orElse: parting.giveUp }),
      Effect.ignore,
      // Also for who waits no longer: nothing can be said behind our end.
      Effect.ensuring(fail(closedHere))
    )
  })
  yield* Effect.addFinalizer(() => close)

  const release = (id: RequestId, entry: Entry) =>
    Effect.suspend(() => {
      const done = entry.finished || over !== undefined
      if (done) entries.delete(id)
      else entry.abandoned = true
      leave(entry)
      asked.over(id)
      // What still waits in the queue would hold up the reader.
      const cancel: Message.ClientMessage = { _tag: "Cancel", ...(entry.dropped && { drop: true }) }
      return Effect.andThen(Queue.shutdown(entry.answers), done ? Effect.void : post(id, cancel))
    })

  const begin = Effect.fnUntraced(function* (
    command: Message.ClientMessage
  ): Effect.fn.Return<Request, CommandError, Scope.Scope> {
    // What no message can hold is not begun: nothing would leave, and no answer would ever end it.
    const body = Message.Client.encode(command)
    yield* inFlight.takeScoped(1)
    if (over !== undefined) return yield* Effect.fail(over)
    const answers = yield* Queue.bounded<Answer, CommandError>(answersWaitingMax)
    const entry: Entry = {
      answers,
      upload: command._tag === "Upload" || command._tag === "UploadBundle",
      listing: command._tag === "Fetch",
      refused: undefined,
      abandoned: false,
      dropped: false,
      finished: false,
      left: false
    }
    // Ids grow in the order in which commands leave.
    const { atOnce, id } = yield* ordering.withPermit(
      Effect.gen(function* () {
        const id = RequestId.make((lastId += 1))
        const atOnce = blocking === 0
        // In one step: who is cancelled has left, since it will be answered.
        const leaving = yield* Effect.acquireRelease(
          Effect.suspend(() => {
            if (active === 0) watchdog.progress()
            watchdog.expect(stallMillisecondsMax)
            entries.set(id, entry)
            active += 1
            if (!entry.upload) blocking += 1
            return starting(channel.send({ kind: "message", id, body }))
          }),
          () => release(id, entry)
        )
        yield* leaving
        return { atOnce, id }
      })
    )
    return {
      id,
      atOnce,
      ...inOrder(answers),
      refused: () => entry.refused,
      sendContent: (block) => send({ kind: "content", id, parts: [block] }),
      sendParts: (parts) => send({ kind: "content", id, parts }),
      send: (message) => sendMessage(id, message),
      whenReached: (reached) =>
        Effect.suspend(() => {
          asked.ask(id, reached)
          return sendMessage(id, { _tag: "Ping" })
        }),
      drop: Effect.sync(() => void (entry.dropped = true)),
      sendTogether: (parts) => Effect.flatten(starting(channel.sendTogether(parts.map((part) => frameOf(id, part)))))
    }
  })

  return {
    confirmed: Deferred.await(confirmed),
    begin,
    working,
    apart: (work) => watchdog.exempt(working(work)),
    unlessOver: (work) => Effect.raceFirst(work, Deferred.await(ended)),
    abort: (error) =>
      Effect.andThen(
        fail(error),
        Effect.suspend(() => Effect.fail(over ?? error))
      ),
    close,
    ended: () => over !== undefined || unsent !== undefined,
    traffic: channel.traffic
  }
})

/** Signs of life, one at a time. Nobody waits for one. */
const makePings = (
  sign: (frame: Frame) => Effect.Effect<void, ChannelFailed>,
  sends: FiberSet.FiberSet<void, ChannelFailed>,
  isOver: () => boolean,
  clock: () => number
) => {
  let [pinging, since] = [false, clock()]
  return {
    when: (isDue: () => boolean): Effect.Effect<void> =>
      Effect.suspend(() => {
        const due = isDue()
        if (pinging || !due || isOver()) return Effect.void
        pinging = true
        since = clock()
        const body = Message.Client.encode({ _tag: "Ping" })
        const pinged = Effect.ensuring(
          sign({ kind: "message", id: connectionId, body }),
          Effect.sync(() => void (pinging = false))
        )
        return Effect.asVoid(FiberSet.run(sends, pinged, { startImmediately: true }))
      }),
    /** Whether the last one left as long ago as one is sent. */
    isLongAgo: () => clock() - since >= keepAliveMilliseconds
  }
}

/** Runs work, and something now and then while any goes on: one fiber for all of it, which ends when there is none. */
const makeWorking = Effect.fnUntraced(function* (
  alive: Effect.Effect<void>
): Effect.fn.Return<Requests["working"], never, Scope.Scope> {
  const session = yield* Effect.scope
  let works = 0
  let watched = false
  const watch = Effect.sleep(keepAliveMilliseconds).pipe(
    Effect.andThen(Effect.suspend(() => (works > 0 ? alive : Effect.void))),
    Effect.repeat({ while: () => (watched = works > 0) }),
    Effect.forkIn(session)
  )
  const begun = Effect.suspend(() => {
    works += 1
    if (watched) return Effect.void
    watched = true
    return watch
  })
  return (work) =>
    Effect.acquireUseRelease(
      begun,
      () => work,
      () => Effect.sync(() => void (works -= 1))
    )
})

/** Answers one by one, or content that has come meanwhile at once: what a step costs does not depend on its bytes. */
const inOrder = (answers: Queue.Queue<Answer, CommandError>): Pick<Request, "next" | "nextJoined"> => {
  let here: Array<Answer> = []
  const next = Effect.suspend(() => {
    const first = here.shift()
    if (first !== undefined) return Effect.succeed(first)
    return Effect.map(Queue.takeAll(answers), ([first, ...rest]) => {
      here = rest
      return first
    })
  })
  const joined = (first: Answer, bytesMax: number): Answer => {
    if (first._tag === "Message") return first
    const parts = [...first.parts]
    let bytes = lengthOf(parts)
    for (let more = here[0]; more?._tag === "Content"; more = here[0]) {
      bytes += lengthOf(more.parts)
      if (bytes > bytesMax) break
      parts.push(...more.parts)
      here.shift()
    }
    return { _tag: "Content", parts }
  }
  return { next, nextJoined: (bytesMax) => Effect.map(next, (first) => joined(first, bytesMax)) }
}

/**
 * Who asked how far the server has got, by request: each Ping of a request has a Pong of its own, in order. A request
 * that was refused is over before the last of them has come.
 */
const makeAsked = () => {
  const asked = new Map<RequestId, Array<() => void>>()
  return {
    ask: (id: RequestId, reached: () => void): void => {
      const waiting = asked.get(id)
      if (waiting === undefined) asked.set(id, [reached])
      else waiting.push(reached)
    },
    over: (id: RequestId): void => void asked.get(id)?.fill(() => {}),
    /** False when nobody has asked. */
    answered: (id: RequestId): boolean => {
      const waiting = asked.get(id)
      const reached = waiting?.shift()
      if (waiting?.length === 0) asked.delete(id)
      reached?.()
      return reached !== undefined
    }
  }
}

/** With nothing asked for the server ends what is idle, by a limit of its own that may be longer than ours. */
const unaskedMilliseconds = idleMillisecondsMax * 1_000

const serverEnded = "the server ended the session"

/** How we leave; a server that is silent may still get what we have sent. */
const makeParting = () => {
  const parting = {
    closed: false,
    close: Effect.sync(() => void (parting.closed = true)),
    givenUp: false,
    giveUp: () => Effect.sync(() => void (parting.givenUp = true))
  }
  return parting
}

const lost = (reason: string): ConnectionLost => new ConnectionLost({ reason })

const closedHere = lost("the session was closed")

const closedBy = (reason: string): ConnectionLost => lost(`the server closed the session: ${printable(reason)}`)

/** Why a session is over, in a client's words. */
const endOf = (
  error: ChannelFailed | CommandError | FrameRefused | Message.MessageRefused | Watchdog.Stalled
): CommandError => {
  switch (error._tag) {
    case "ChannelFailed":
      return lost(error.reason)
    case "Stalled":
      // Another connection would be held by the same.
      return error.milliseconds < signsOfLifeMillisecondsMax
        ? lost(error.message)
        : new ProtocolBroken({ detail: `nothing but signs of life for ${Math.round(error.milliseconds / 1000)} s` })
    case "FrameRefused":
    case "MessageRefused":
      return new ProtocolBroken({ detail: error.message })
    default:
      return error
  }
}

const answerOf = (frame: Frame): Effect.Effect<Answer, Message.MessageRefused> =>
  frame.kind === "content"
    ? Effect.succeed({ _tag: "Content", parts: frame.parts })
    : Effect.map(Message.Server.decode(frame.body), (message): Answer => ({ _tag: "Message", message }))

/** What concerns the session and no request. */
const ofConnection = (answer: Answer): Effect.Effect<void, CommandError> => {
  if (answer._tag === "Content") return Effect.fail(new ProtocolBroken({ detail: "content of no request" }))
  switch (answer.message._tag) {
    case "Pong":
      return Effect.void
    case "Closing":
      return Effect.fail(closedBy(answer.message.reason))
    default:
      return Effect.fail(new ProtocolBroken({ detail: `unexpected ${answer.message._tag}` }))
  }
}

/** Of a first record that does not verify what it may mean is said: of the others the reason is enough. */
const reasonOf = (error: ChannelFailed | FrameRefused): string =>
  error._tag === "ChannelFailed" && error.reason !== "confirmation-failed" ? error.reason : error.message

/** The server's first record: it proves that the server knows the password's record. */
const correct = (channel: FrameChannel.FrameChannel): Effect.Effect<void, CommandError> =>
  channel.receive.pipe(
    Effect.mapError((error): CommandError => lost(reasonOf(error))),
    Effect.flatMap((frames): Effect.Effect<void, CommandError> => {
      // The record has verified: whatever it says, nobody stands between.
      if (frames === undefined) return Effect.fail(lost(serverEnded))
      const [first, ...more] = frames
      if (first === undefined || more.length > 0 || first.kind !== "message" || first.id !== connectionId) {
        return Effect.fail(new ProtocolBroken({ detail: "not Correct alone" }))
      }
      return Effect.flatMap(
        Effect.mapError(Message.Server.decode(first.body), (error) => new ProtocolBroken({ detail: error.message })),
        (message): Effect.Effect<void, CommandError> =>
          message._tag === "Correct"
            ? Effect.void
            : message._tag === "Closing"
              ? Effect.fail(closedBy(message.reason))
              : Effect.fail(new ProtocolBroken({ detail: `${message._tag} instead of Correct` }))
      )
    })
  )

const frameOf = (id: RequestId, part: Message.ClientMessage | Uint8Array): Frame =>
  part instanceof Uint8Array
    ? { kind: "content", id, parts: [part] }
    : { kind: "message", id, body: Message.Client.encode(part) }
