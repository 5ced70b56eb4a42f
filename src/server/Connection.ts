/**
 * One connection: the fiber that drives the session machine over a socket.
 *
 * A straight script: read, step, act; results of actions go back in as inputs. What is legal is the machine's business,
 * what is true of bytes the channel's, what is true of files the store's.
 */
import { type Cause, Clock, Deferred, Effect, Exit, Queue, Schema, Scope } from "effect"
import type { Socket } from "effect/socket"
import * as Bytes from "../domain/Bytes.ts"
import { type ChannelFailed, channelFailed } from "../domain/channel/ChannelError.ts"
import type { Cipher } from "../domain/channel/Cipher.ts"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import type { Kem } from "../domain/channel/Kem.ts"
import type { Opaque } from "../domain/channel/Opaque.ts"
import * as SecureChannel from "../domain/channel/SecureChannel.ts"
import * as Transport from "../domain/channel/Transport.ts"
import type { Digest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { goodbyeMillisecondsMax, inboxRecordsMax, packedBytesMax } from "../domain/limits.ts"
import type { Accounts, AccountsFailed } from "../domain/session/Accounts.ts"
import * as FrameChannel from "../domain/session/FrameChannel.ts"
import type { Grant } from "../domain/session/Grant.ts"
import * as Session from "../domain/session/Session.ts"
import type * as State from "../domain/session/SessionState.ts"
import * as Watchdog from "../domain/session/Watchdog.ts"
import * as Confined from "../domain/store/Confined.ts"
import { Meter } from "../domain/store/Meter.ts"
import type { Piece } from "../domain/transfer/Signature.ts"
import type { Signatures } from "../domain/transfer/Signatures.ts"
import { connectionId, type Frame, type FrameRefused } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"
import { packPieces, pieceBytes } from "../domain/file/Packed.ts"
import { Bandwidth } from "./Bandwidth.ts"
import { Visitor } from "./Doorman.ts"
import type { EndReason } from "./EndReason.ts"
import * as Flow from "./Flow.ts"
import * as KeepAlive from "./KeepAlive.ts"
import { log } from "./LogEvent.ts"
import * as Login from "./Login.ts"
import type { LoginGuard } from "./LoginGuard.ts"
import { type Member, Members } from "./Members.ts"
import * as PasswordChange from "./PasswordChange.ts"
import * as Peer from "./Peer.ts"
import * as ProxyHeader from "./ProxyHeader.ts"
import { type NoSeat, type Seat, Seats } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { type Look, ServerStatus } from "./ServerStatus.ts"
import * as SessionWatch from "./SessionWatch.ts"
import { SignatureMaker } from "./SignatureMaker.ts"
import * as Transfers from "./Transfers.ts"

/** Everything a connection is served with. */
export type ConnectionServices =
  | Accounts
  | Bandwidth
  | Cipher
  | Digest
  | Kem
  | LoginGuard
  | Members
  | Meter
  | Opaque
  | Seats
  | ServerStatus
  | SignatureMaker
  | Signatures

/** The session did not become Ready in time. */
class LoginTimedOut extends Schema.TaggedError<LoginTimedOut>()("LoginTimedOut", {}) {}

/** The server stops, and nobody has logged in here. */
class StoppedBeforeLogin extends Schema.TaggedError<StoppedBeforeLogin>()("StoppedBeforeLogin", {}) {}

type ConnectionError =
  | AccountsFailed
  | ChannelFailed
  | FrameRefused
  | LoginTimedOut
  | Message.MessageRefused
  | NoSeat
  | ProxyHeader.ProxyRefused
  | StoppedBeforeLogin
  | Flow.TooSlow
  | Watchdog.Stalled

/** What is known about a connection: its status while it lives, and its one log line. */
interface Story {
  /** a proxy's connection is of another once its header is here */
  peer: Peer.Peer
  readonly since: number
  user: UserName | undefined
  client: string | undefined
  attempts: number
  /** a fault of the program that the driver met, also when it was ended by something else */
  defect: Cause.Cause<unknown> | undefined
  readonly flow: Flow.Flow
}

const lookAt =
  (story: Story): Look =>
  (now) => {
    const flow = story.flow.status(now)
    const state = flow.transfer === undefined ? "idle" : "transferring"
    return {
      state: story.user === undefined ? "before-login" : state,
      peer: story.peer.address,
      since: story.since,
      ...(story.user !== undefined && { user: story.user }),
      ...(story.client !== undefined && { client: story.client }),
      ...flow
    }
  }

/**
 * Serves one connection to its end. Never fails: an end of any kind is a log line.
 *
 * @param draining completes when the server stops: transfers end, new requests are refused
 */
export const serve = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  draining: Deferred.Deferred<void>
): Effect.fn.Return<void, never, ConnectionServices> {
  const visitor = yield* Visitor
  const peer = visitor?.peer ?? (yield* peerOfSocket)
  const since = visitor?.since ?? (yield* Clock.currentTimeMillis)
  const story: Story = {
    peer,
    since,
    user: undefined,
    client: undefined,
    attempts: 0,
    defect: undefined,
    flow: yield* Flow.make
  }
  // Told also when the server interrupts what is left at its end.
  yield* watched(
    () => story.peer,
    (watch) =>
      Effect.scoped(session(socket, draining, story, watch)).pipe(
        Effect.onExit((exit) => Effect.andThen(watch.end(endOf(story, exit).outcome), logEnd(story, exit)))
      )
  )
})

const peerOfSocket = Effect.gen(function* () {
  const address = yield* yield* Peer.PeerAddress
  return { ...Peer.fromAddress(address), proxy: (yield* Peer.TrustedProxies)(address) }
})

/** Runs a connection with those who look on, in a span of its own. */
const watched = <A, E, R>(peer: () => Peer.Peer, run: (watch: SessionWatch.SessionWatch) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(SessionWatch.make(peer), run).pipe(
    Effect.ignoreCause,
    Effect.withSpan("paradrop.connection", { kind: "server", attributes: { peer: peer().address } })
  )

const session = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  draining: Deferred.Deferred<void>,
  story: Story,
  watch: SessionWatch.SessionWatch
): Effect.fn.Return<State.CloseReason, ConnectionError, ConnectionServices | Scope.Scope> {
  const visitor = yield* Visitor
  if (visitor !== undefined) yield* Effect.addFinalizer(() => Effect.sync(visitor.seat.giveBack))
  // Before a seat is looked for: the socket's scope owns the connection, and a refused one must be closed too.
  const transport = yield* Effect.mapError(Transport.open(socket), () => channelFailed("connection-lost"))
  const seat = visitor?.seat ?? (yield* (yield* Seats).take(story.peer))
  yield* (yield* ServerStatus).attend(lookAt(story))
  const limits = yield* ServerLimits
  let driver: Driver | undefined
  const authenticated = () => driver?.authenticated() === true

  const loginDeadline = Effect.andThen(
    Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sleep(limits.loginMilliseconds - (now - story.since))),
    Effect.suspend(() => (authenticated() ? Effect.never : Effect.fail(new LoginTimedOut())))
  )
  const stopping = Effect.andThen(
    Deferred.await(draining),
    Effect.suspend(() =>
      driver !== undefined && authenticated()
        ? Effect.andThen(driver.drain, Effect.never)
        : Effect.fail(new StoppedBeforeLogin())
    )
  )
  const served = Effect.gen(function* () {
    yield* begin(transport, seat, story)
    const watchdog = yield* Watchdog.make(limits.idleMilliseconds)
    driver = yield* makeDriver({ transport, seat, story, watch, watchdog })
    // Who loses a race is not heard of otherwise.
    const run = Effect.onError(driver.run, (cause) =>
      Effect.sync(() => void (story.defect = hasDefect(cause) ? cause : undefined))
    )
    return yield* Effect.raceAllFirst([run, driver.cut, watchdog.watch, story.flow.tooSlow])
  })
  // One race of all and not one in another: each fiber is memory of every idle session.
  return yield* Effect.raceAllFirst([served, seat.lost, loginDeadline, stopping])
})

type Driver = Effect.Success<ReturnType<typeof makeDriver>>

/** Waits for the first bytes: until then a connection costs next to nothing. Those of a proxy say whose it is. */
const begin = Effect.fnUntraced(function* (transport: Transport.Transport, seat: Seat, story: Story) {
  if (!story.peer.proxy) return yield* transport.ready
  const source = yield* ProxyHeader.take(transport)
  story.peer = source === undefined ? { ...story.peer, proxy: false } : Peer.proxied(source)
  yield* Effect.annotateCurrentSpan("peer", story.peer.address)
  return yield* seat.move(story.peer)
})

/** An input for the machine, and the content that came with it. */
interface Item {
  readonly input: State.SessionInput
  readonly content: Bytes.Parts
}

/** Content that came while the last was written is written at once: what a step costs does not depend on its bytes. */
const joined = (items: ReadonlyArray<Item>): ReadonlyArray<Item> => {
  const all: Array<Item> = []
  for (const next of items) {
    const last = all.at(-1)
    const [before, { input }] = [last?.input, next]
    if (last !== undefined && before?._tag === "Content" && input._tag === "Content" && before.id === input.id) {
      const bytes = before.bytes + input.bytes
      all[all.length - 1] = item({ ...before, bytes }, [...last.content, ...next.content])
    } else all.push(next)
  }
  return all
}

type InboxError = ChannelFailed | FrameRefused | Message.MessageRefused

const nothing: Bytes.Parts = []
const item = (input: State.SessionInput, content: Bytes.Parts = nothing): Item => ({ input, content })

const makeDriver = Effect.fnUntraced(function* (options: {
  readonly transport: Transport.Transport
  readonly seat: Seat
  readonly story: Story
  readonly watch: SessionWatch.SessionWatch
  readonly watchdog: Watchdog.Watchdog
}) {
  const { seat, story, transport, watch, watchdog } = options
  const limits = yield* ServerLimits
  const login = yield* Login.make(story.peer)
  const bandwidth = yield* Bandwidth
  const [members, passwords] = [yield* Members, yield* PasswordChange.make(story.peer, watch)]
  const scope = yield* Effect.scope
  const inbox = yield* Queue.bounded<Item, InboxError>(inboxRecordsMax)
  const cut = yield* Deferred.make<never, InboxError>()
  let state: State.Session = Session.initial
  let lost: Cause.Cause<InboxError> | undefined
  let answering = false
  let grant: Grant = { rights: [] }
  let member: Member | undefined

  const run = Effect.gen(function* () {
    const handshake = yield* SecureChannel.accept(transport)
    yield* seat.advance("greeted")
    const channel = yield* authenticate(handshake)
    return yield* channel === undefined ? leaveUnauthenticated : converse(channel)
  })

  /** Steps the machine and acts, until its outputs and the results of its actions are used up. */
  const handle = Effect.fnUntraced(function* <E, R>(
    first: State.SessionInput,
    act: (output: State.SessionOutput) => Effect.Effect<State.ActionResult | undefined, E, R>
  ) {
    let input: State.SessionInput | undefined = first
    while (input !== undefined) {
      const next: Session.Step = Session.step(state, input)
      state = next.state
      story.flow.step({ input, ...next })
      yield* watch.step(input, next.outputs)
      input = undefined
      // An output whose action has a result is always a step's last.
      for (const output of next.outputs) input = yield* act(output)
    }
  })

  /** The login: undefined when it ended without one. */
  const authenticate = Effect.fnUntraced(function* (
    handshake: SecureChannel.HandshakeChannel<ClientMessageOfLogin, ServerMessageOfLogin>
  ) {
    let channel: SecureChannel.SecureChannel | undefined
    const act = Effect.fnUntraced(function* (
      output: State.SessionOutput
    ): Effect.fn.Return<State.ActionResult | undefined, AccountsFailed | ChannelFailed> {
      switch (output._tag) {
        case "AnswerLogin": {
          story.attempts += 1
          const answered = yield* login.answer(output.user, output.ke1)
          if (answered._tag === "LoginAnswered") yield* seat.advance("trying")
          return answered
        }
        case "VerifyLogin": {
          const verified = yield* login.verify(output.user, output.ke3)
          if (verified === undefined) return { _tag: "LoginUnverified" }
          grant = verified.grant
          channel = handshake.upgrade(verified.sessionKey)
          return { _tag: "LoginVerified", rights: verified.grant.rights }
        }
        case "SendHandshake":
          return void (yield* handshake.send(output.message))
        default:
          return undefined
      }
    })
    while (state._tag === "Unauthenticated" && channel === undefined) {
      yield* handle({ _tag: "Handshake", message: yield* handshake.receive }, act)
    }
    return channel
  })

  const leaveUnauthenticated = Effect.suspend(() => Effect.as(linger, closeReason(state)))

  const converse = Effect.fnUntraced(function* (secure: SecureChannel.SecureChannel) {
    const plain = watch.counted(FrameChannel.make(secure, watchdog))
    const channel = story.flow.through(plain, yield* KeepAlive.make(plain, watchdog))
    const { root } = grant
    const files = (yield* Meter).storeFor(root, () => (member?.grant() ?? grant).quota)
    const transfers = yield* Transfers.make({
      channel,
      watch,
      files: Confined.make(files, root),
      watchdog,
      user: () => story.user ?? "",
      report: (outcome) =>
        Exit.isSuccess(outcome)
          ? Effect.asVoid(Queue.offer(inbox, item(outcome.value)))
          : Effect.asVoid(Queue.failCause(inbox, outcome.cause))
    })
    yield* Effect.forkIn(Effect.catchCause(receiveInto(channel, inbox), lose), scope)
    let content = nothing
    const maker = yield* SignatureMaker
    let transferring = false
    const told = (now: boolean) => {
      const change = Number(now) - Number(transferring)
      transferring = now
      return change === 0 ? Effect.void : maker.transferring(change > 0 ? 1 : -1)
    }
    yield* Effect.addFinalizer(() => told(false))
    const act = actions(channel, transfers, () => content)
    const isOver = () => state._tag === "Closed"
    while (state._tag !== "Closed") {
      for (const next of joined(yield* story.flow.awaited(state, Queue.takeAll(inbox)))) {
        content = next.content
        yield* handle(next.input, act)
        if (isOver()) break
      }
      const busy = state._tag === "Transferring"
      yield* told(busy)
      watchdog.expect(busy ? limits.stallMilliseconds : limits.idleMilliseconds)
    }
    const { reason } = state
    yield* goodbye(channel, reason === "bye" ? undefined : message(connectionId, { _tag: "Closing", reason }))
    return reason
  })

  /** From now on changes of the account reach the session, in their turn and without making anybody wait. */
  const join = (user: UserName) =>
    Scope.provide(
      members.join(user, grant, (change) => Effect.asVoid(Effect.forkIn(Queue.offer(inbox, item(change)), scope))),
      scope
    )

  // What came before is still worked on. An answer that is being written may never return: a socket need not tell a
  // writer that its peer has gone.
  const lose = (cause: Cause.Cause<InboxError>) =>
    Effect.suspend(() => {
      lost = cause
      return Effect.andThen(Queue.failCause(inbox, cause), answering ? Deferred.failCause(cut, cause) : Effect.void)
    })

  const answer = (channel: FrameChannel.FrameChannel, frame: Frame): Effect.Effect<void, InboxError> =>
    Effect.suspend((): Effect.Effect<void, InboxError> => {
      if (lost !== undefined) return Effect.failCause(lost)
      answering = true
      return channel.send(frame)
    }).pipe(Effect.ensuring(Effect.sync(() => (answering = false))))

  /** Sends an answer list by list, in as few messages as it needs; `end` sends the last one. */
  const answerIn = (channel: FrameChannel.FrameChannel, id: Frame["id"]) => {
    let waiting: ReadonlyArray<Piece> = []
    const send = (pieces: ReadonlyArray<Piece>, last: boolean) =>
      answer(channel, message(id, { _tag: "Pieces", pieces: packPieces(pieces), last }))
    return {
      add: Effect.fnUntraced(function* (pieces: ReadonlyArray<Piece>): Effect.fn.Return<void, InboxError> {
        waiting = [...waiting, ...pieces]
        for (; waiting.length > piecesInPart; waiting = waiting.slice(piecesInPart)) {
          yield* send(waiting.slice(0, piecesInPart), false)
        }
      }),
      end: Effect.suspend(() => send(waiting, true))
    }
  }

  const sendChunks = Effect.fnUntraced(function* (
    channel: FrameChannel.FrameChannel,
    transfers: Transfers.Transfers,
    asked: Extract<State.SessionOutput, { readonly _tag: "SendChunks" }>
  ): Effect.fn.Return<void, InboxError> {
    const answers = answerIn(channel, asked.id)
    for (const pieces of transfers.chunks(asked)) yield* answers.add(pieces)
    yield* answers.end
  })

  const sendBlocks = Effect.fnUntraced(function* (
    channel: FrameChannel.FrameChannel,
    transfers: Transfers.Transfers,
    { id, ranges }: Extract<State.SessionOutput, { readonly _tag: "SendBlocks" }>
  ): Effect.fn.Return<State.ActionResult | undefined, InboxError> {
    const answers = answerIn(channel, id)
    for (const range of ranges) {
      const blocks = yield* transfers.blocks(id, range)
      if ("_tag" in blocks) return blocks
      yield* answers.add(blocks)
    }
    yield* answers.end
    return undefined
  })

  /** The password is proved. Whoever finds no seat now is told why. */
  const admit = Effect.fnUntraced(function* (
    channel: FrameChannel.FrameChannel,
    { client, user }: Extract<State.SessionOutput, { readonly _tag: "Admit" }>
  ): Effect.fn.Return<void, InboxError | NoSeat> {
    story.user = user
    story.client = printable(client)
    yield* login.succeeded(user)
    yield* Effect.tapError(seat.admit(user), ({ reason }) =>
      goodbye(channel, message(connectionId, { _tag: "Closing", reason }))
    )
    member = yield* join(user)
    story.flow.share(yield* Scope.provide(bandwidth.join(user, grant.bytesPerSecond), scope))
  })

  const actions = (channel: FrameChannel.FrameChannel, transfers: Transfers.Transfers, content: () => Bytes.Parts) =>
    Effect.fnUntraced(function* (
      output: State.SessionOutput
    ): Effect.fn.Return<State.ActionResult | undefined, InboxError | NoSeat> {
      const refusal = yield* watch.refusal(output)
      if (refusal !== undefined) {
        // What was gathered goes nowhere.
        if (output._tag === "PlaceBundle") yield* transfers.discard
        return refusal
      }
      switch (output._tag) {
        case "Send":
          return void (yield* answer(channel, message(output.id, output.message)))
        case "Write":
          return yield* transfers.write(output.id, content())
        case "Stage":
          return yield* transfers.stage(output)
        case "Gather":
          return void (yield* transfers.gather(output))
        case "Keep":
          return void (yield* transfers.keep(content()))
        case "PlaceBundle":
          return yield* transfers.placeBundle(output)
        case "SendBundle":
          return void (yield* transfers.sendBundle(output))
        case "Copy":
          return yield* transfers.copy(output)
        case "SendChunks":
          return void (yield* sendChunks(channel, transfers, output))
        case "SendBlocks":
          return yield* sendBlocks(channel, transfers, output)
        case "Commit":
          return yield* transfers.commit(output)
        case "Discard":
          return void (yield* transfers.discard)
        case "AnswerPassword":
          return yield* passwords.answer(output)
        case "ChangePassword":
          return yield* passwords.change(output)
        case "Open":
          return yield* transfers.open(output)
        case "SendContent":
          return void (yield* transfers.sendContent(output))
        case "List":
          return void (yield* transfers.list(output))
        case "Remove":
        case "Rename":
          return yield* transfers.change(output)
        case "Describe":
          return void (yield* transfers.describe(output))
        case "StopSending":
          return void (yield* transfers.stopSending(output.id))
        case "Admit":
          return void (yield* admit(channel, output))
        case "AnswerLogin":
        case "VerifyLogin":
        case "SendHandshake":
        case "Close":
          return undefined
      }
    })

  const goodbye = (channel: FrameChannel.FrameChannel, last: Frame | undefined) =>
    Effect.gen(function* () {
      if (last !== undefined) yield* channel.send(last)
      yield* channel.end
      yield* linger
    }).pipe(Effect.timeoutOption(goodbyeMillisecondsMax), Effect.ignore)

  // Closing while the peer still sends would make the network drop our last words: read on for a moment.
  const linger = Effect.andThen(transport.finish, transport.drain).pipe(
    Effect.timeoutOption(goodbyeMillisecondsMax),
    Effect.asVoid
  )

  return {
    run,
    /** Fails when the connection is lost while an answer is being written. */
    cut: Deferred.await(cut),
    authenticated: () => state._tag !== "Unauthenticated",
    drain: Effect.asVoid(Queue.offer(inbox, item({ _tag: "Drain" })))
  }
})

type ClientMessageOfLogin = Extract<State.FromPeer, { readonly _tag: "Handshake" }>["message"]
type ServerMessageOfLogin = Extract<State.SessionOutput, { readonly _tag: "SendHandshake" }>["message"]

const message = (id: Frame["id"], content: Message.ServerMessage): Frame => ({
  kind: "message",
  id,
  body: Message.Server.encode(content)
})

/** Reads ahead of the session, as far as the inbox holds. */
const receiveInto = (channel: FrameChannel.FrameChannel, inbox: Queue.Queue<Item, InboxError>) =>
  Effect.gen(function* () {
    while (true) {
      const frames = yield* channel.receive
      if (frames === undefined) return yield* Queue.offer(inbox, item({ _tag: "PeerEnded" }))
      for (const frame of frames) yield* Queue.offer(inbox, yield* itemOf(frame))
    }
  })

const itemOf = (frame: Frame): Effect.Effect<Item, Message.MessageRefused> =>
  frame.kind === "content"
    ? Effect.succeed(item({ _tag: "Content", id: frame.id, bytes: Bytes.lengthOf(frame.parts) }, frame.parts))
    : Effect.map(Message.Client.decode(frame.body), (decoded) =>
        item({ _tag: "Message", id: frame.id, message: decoded })
      )

/** Pieces of one message. */
const piecesInPart = Math.floor(packedBytesMax / pieceBytes)

const closeReason = (state: State.Session): State.CloseReason =>
  state._tag === "Closed" ? state.reason : "ended-early"

const logEnd = Effect.fnUntraced(function* (story: Story, exit: Exit.Exit<State.CloseReason, ConnectionError>) {
  const milliseconds = (yield* Clock.currentTimeMillis) - story.since
  const { detail, outcome } = endOf(story, exit)
  const fields = {
    peer: story.peer.address,
    outcome,
    detail,
    milliseconds,
    ...story.flow.traffic(),
    attempts: story.attempts > 0 ? story.attempts : undefined,
    user: story.user,
    client: story.client
  }
  // A defect is ours to mend: the only end that shows a cause.
  yield* outcome === "defect" && Exit.isFailure(exit)
    ? log("connection-defect", "connection ended", fields, story.defect ?? exit.cause)
    : log("connection-ended", "connection ended", fields)
})

interface End {
  readonly outcome: EndReason
  /** more of it, in words of ours */
  readonly detail?: string
}

const hasDefect = (cause: Cause.Cause<unknown>): boolean => cause.reasons.some((reason) => reason._tag === "Die")

const endOf = (story: Story, exit: Exit.Exit<State.CloseReason, ConnectionError>): End =>
  Exit.match(exit, {
    onSuccess: (outcome) => ({ outcome }),
    onFailure: (cause): End => {
      // Whatever else came to it: a fault of the program is never hidden behind the end that it met.
      if (hasDefect(cause) || story.defect !== undefined) return { outcome: "defect" }
      const failure = cause.reasons.find((reason) => reason._tag === "Fail")
      return failure === undefined ? { outcome: "stopped" } : endOfFailure(failure.error, story)
    }
  })

const endOfFailure = (error: ConnectionError, { attempts, user }: Story): End => {
  switch (error._tag) {
    case "ChannelFailed": {
      // Only a client can fail so.
      if (error.reason === "unknown-stretching") return { outcome: "defect" }
      // A client that learns that its password is wrong just goes.
      const gone = error.reason === "truncated" && attempts > 0 && user === undefined
      return { outcome: gone ? "abandoned" : error.reason }
    }
    case "NoSeat":
      return { outcome: error.reason }
    case "ProxyRefused":
      return { outcome: "proxy-refused", detail: error.detail }
    case "FrameRefused":
      return { outcome: "frame-refused", detail: error.reason }
    case "MessageRefused":
      return { outcome: "message-refused", detail: error.detail }
    case "AccountsFailed":
      return { outcome: "accounts-failed", detail: error.detail }
    case "LoginTimedOut":
      return { outcome: "login-timeout" }
    case "StoppedBeforeLogin":
      return { outcome: "draining" }
    case "Stalled":
      return { outcome: "stalled" }
    case "TooSlow":
      return { outcome: "too-slow" }
  }
}
