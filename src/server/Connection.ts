/**
 * One connection: the fiber that drives the session machine over a socket.
 *
 * A straight script: read, step, act; results of actions go back in as inputs. What is legal is the machine's business,
 * what is true of bytes the channel's, what is true of files the store's.
 */
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Queue, Schema, Scope } from "effect"
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
import {
  goodbyeMillisecondsMax,
  inboxFramesMax,
  packedBytesMax,
  pingedStallsMax,
  unavailableRetryMilliseconds
} from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
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
import * as LiveWait from "./LiveWait.ts"
import { log } from "./LogEvent.ts"
import * as Login from "./Login.ts"
import type { LoginGuard } from "./LoginGuard.ts"
import { type Member, Members, type Met } from "./Members.ts"
import * as PasswordChange from "./PasswordChange.ts"
import * as Peer from "./Peer.ts"
import * as ProxyHeader from "./ProxyHeader.ts"
import { NoSeat, type Seat, Seats } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { type Look, ServerStatus } from "./ServerStatus.ts"
import * as SessionWatch from "./SessionWatch.ts"
import { SignatureMaker } from "./SignatureMaker.ts"
import type { Stopping } from "./Stopping.ts"
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
  /** when it was accepted, milliseconds since 1970 */
  readonly since: number
  /** the same, milliseconds of the clock that never goes back */
  readonly came: number
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
 * @param stopping tells when the server stops: transfers end, new requests are refused
 */
export const serve = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  stopping: Stopping
): Effect.fn.Return<void, never, ConnectionServices> {
  const visitor = yield* Visitor
  const peer = visitor?.peer ?? (yield* peerOfSocket)
  const since = visitor?.since ?? (yield* Clock.currentTimeMillis)
  const story: Story = {
    peer,
    since,
    came: visitor?.came ?? (yield* Monotonic.now),
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
      Effect.scoped(session(socket, stopping, story, watch)).pipe(
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
  stopping: Stopping,
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
  // Whatever ends it ends it here: a race would be a fiber for each that may, and memory of every idle session.
  const over = yield* Deferred.make<State.CloseReason, ConnectionError>()
  const cut: Cut = (cause) => void Deferred.doneUnsafe(over, Exit.failCause(cause))
  const cutWith = (error: ConnectionError): void => cut(Cause.fail(error))
  let driver: Driver | undefined
  const authenticated = () => driver !== undefined && driver.state._tag !== "Unauthenticated"

  seat.whenLost(() => cutWith(new NoSeat({ reason: "made-room" })))
  story.flow.whenTooSlow(cutWith)
  yield* stopping.attend(
    Effect.suspend(() =>
      driver !== undefined && authenticated()
        ? Effect.asVoid(Queue.offer(driver.inbox, item({ _tag: "Drain" })))
        : Effect.sync(() => cutWith(new StoppedBeforeLogin()))
    )
  )
  const deadline = yield* loginTimeOver(story, limits).pipe(
    Effect.map(() => (authenticated() ? undefined : cutWith(new LoginTimedOut()))),
    Effect.forkChild
  )
  const served = Effect.suspend(() => begin(transport, seat, story)).pipe(
    Effect.andThen(
      makeDriver({
        transport,
        seat,
        story,
        watch,
        cut,
        revoke: () => void Deferred.doneUnsafe(over, Exit.succeed("revoked")),
        inTime: () => deadline.interruptUnsafe()
      })
    ),
    Effect.flatMap((made) => run((driver = made))),
    // What comes behind another end is not heard of otherwise.
    Effect.onError((cause) => Effect.sync(() => void (story.defect = hasDefect(cause) ? cause : undefined)))
  )
  const serving = yield* Effect.forkChild(served)
  serving.addObserver((exit) => void Deferred.doneUnsafe(over, exit))
  return yield* Effect.ensuring(Deferred.await(over), Fiber.interrupt(serving))
})

/** Waits until the time for the login is over. A reload may change it meanwhile. */
const loginTimeOver = (story: Story, limits: ServerLimits): Effect.Effect<void> =>
  Effect.flatMap(Monotonic.clock, (time) => LiveWait.all(() => story.came + limits.loginMilliseconds - time()))

/** Ends the connection, whatever it is about. The first end counts. */
type Cut = (cause: Cause.Cause<ConnectionError>) => void

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

/**
 * A connection that has begun to speak, as it stands: the machine's state and what drives it. The functions below are
 * there once; closures and generators of each connection's own were a third of what an idle session took.
 */
interface Driver {
  readonly transport: Transport.Transport
  readonly seat: Seat
  readonly story: Story
  readonly watch: SessionWatch.SessionWatch
  readonly cut: Cut
  /** Ends it without a word, as that of an account that is none any more. */
  readonly revoke: () => void
  /** Nobody waits for the login any more. */
  readonly inTime: () => void
  readonly watchdog: Watchdog.Watchdog
  readonly limits: ServerLimits
  readonly login: Login.Login
  readonly passwords: PasswordChange.PasswordChange
  readonly inbox: Queue.Queue<Item, InboxError>
  readonly scope: Scope.Scope
  state: State.Session
  /** why nothing more will come */
  lost: Cause.Cause<InboxError> | undefined
  /** an answer is being written */
  answering: boolean
  grant: Grant
  /** whose password is being proved */
  met: Met
  member: Member | undefined
}

const makeDriver = Effect.fnUntraced(function* (
  options: Pick<Driver, "cut" | "inTime" | "revoke" | "seat" | "story" | "transport" | "watch">
) {
  const { cut, story, watch } = options
  const limits = yield* ServerLimits
  const watchdog = yield* Watchdog.make(() => limits.idleMilliseconds)
  yield* Effect.forkChild(Effect.catchCause(watchdog.watch, (cause) => Effect.sync(() => cut(cause))))
  const driver: Driver = {
    ...options,
    limits,
    watchdog,
    login: yield* Login.make(story.peer),
    passwords: yield* PasswordChange.make(story.peer, watch),
    inbox: yield* Queue.bounded<Item, InboxError>(inboxFramesMax),
    scope: yield* Effect.scope,
    state: Session.initial,
    lost: undefined,
    answering: false,
    grant: { rights: [] },
    met: undefined,
    member: undefined
  }
  return driver
})

const run = (driver: Driver) =>
  Effect.flatMap(greet(driver), (channel) =>
    channel === undefined ? leaveUnauthenticated(driver) : converse(driver, channel)
  )

/** The key exchange and the login; undefined when it ended without one. What both took is let go of with it. */
const greet = Effect.fnUntraced(function* (driver: Driver) {
  const handshake = yield* SecureChannel.accept(driver.transport)
  yield* driver.seat.advance("greeted")
  const opened: Opened = { handshake, channel: undefined }
  const act = (output: State.SessionOutput) => actBeforeLogin(driver, opened, output)
  while (driver.state._tag === "Unauthenticated" && opened.channel === undefined) {
    yield* handle(driver, { _tag: "Handshake", message: yield* handshake.receive }, act)
  }
  return opened.channel
})

/** A login under way, and the channel that comes of it. */
interface Opened {
  readonly handshake: SecureChannel.HandshakeChannel<ClientMessageOfLogin, ServerMessageOfLogin>
  channel: SecureChannel.SecureChannel | undefined
}

/** Steps the machine and acts, until its outputs and the results of its actions are used up. */
const handle = Effect.fnUntraced(function* <E, R>(
  driver: Driver,
  first: State.SessionInput,
  act: (output: State.SessionOutput) => Effect.Effect<State.ActionResult | undefined, E, R>
) {
  let input: State.SessionInput | undefined = first
  while (input !== undefined) {
    const next: Session.Step = Session.step(driver.state, input)
    driver.state = next.state
    driver.story.flow.step({ input, ...next })
    yield* driver.watch.step(input, next.outputs)
    input = undefined
    // An output whose action has a result is always a step's last.
    for (const output of next.outputs) input = yield* act(output)
  }
})

const actBeforeLogin = Effect.fnUntraced(function* (
  driver: Driver,
  opened: Opened,
  output: State.SessionOutput
): Effect.fn.Return<State.ActionResult | undefined, AccountsFailed | ChannelFailed, Members> {
  const { login, seat, story } = driver
  switch (output._tag) {
    case "AnswerLogin": {
      story.attempts += 1
      driver.met = yield* (yield* Members).meet(output.user)
      const answered = yield* Effect.catch(login.answer(output.user, output.ke1), (error) =>
        Effect.andThen(sayUnavailable(driver.transport, opened), Effect.fail(error))
      )
      if (answered._tag === "LoginAnswered") yield* seat.advance("trying")
      return answered
    }
    case "VerifyLogin": {
      const verified = yield* login.verify(output.user, output.ke3)
      if (verified === undefined) return { _tag: "LoginUnverified" }
      driver.grant = verified.grant
      opened.channel = opened.handshake.upgrade(verified.sessionKey)
      return { _tag: "LoginVerified", rights: verified.grant.rights }
    }
    case "SendHandshake":
      return void (yield* opened.handshake.send(output.message))
    default:
      return undefined
  }
})

/** The last word to a client that cannot be answered. */
const sayUnavailable = (transport: Transport.Transport, { handshake }: Opened) => {
  const retryAfterMilliseconds = unavailableRetryMilliseconds
  return Effect.andThen(
    handshake.send({ _tag: "Reject", reason: "unavailable", retryAfterMilliseconds }),
    linger(transport)
  )
}

const leaveUnauthenticated = (driver: Driver) => Effect.map(linger(driver.transport), () => closeReason(driver.state))

/** A session that is logged in, as it stands. */
interface Conversation {
  readonly driver: Driver
  readonly channel: FrameChannel.FrameChannel
  /** made at the first command: who only waits needs none */
  transfers: Transfers.Transfers | undefined
  /** of the input that is acted on */
  content: Bytes.Parts
  transferring: boolean
  /** answers to Pings that wait for what is being sent */
  pongsOwed: number
  /** since when, or since the last of them got out, milliseconds */
  owedSince: number
}

const converse = Effect.fnUntraced(function* (driver: Driver, secure: SecureChannel.SecureChannel) {
  const { inbox, limits, story, watch, watchdog } = driver
  const plain = watch.counted(FrameChannel.make(secure, { ...watchdog, progress: () => moved(driver) }))
  const channel = story.flow.through(plain, yield* KeepAlive.make(plain, watchdog))
  secure.follow(yield* KeepAlive.whileReceiving(plain, watchdog))
  const it: Conversation = {
    driver,
    channel,
    transfers: undefined,
    content: nothing,
    transferring: false,
    pongsOwed: 0,
    owedSince: 0
  }
  yield* Effect.forkChild(Effect.catchCause(receiveInto(it, inbox), (cause) => lose(driver, cause)))
  yield* Effect.addFinalizer(() => told(it, false))
  const act = (output: State.SessionOutput) => actOn(it, output)
  const [idle, stall] = [() => limits.idleMilliseconds, () => limits.stallMilliseconds]
  const isOver = () => driver.state._tag === "Closed"
  while (driver.state._tag !== "Closed") {
    for (const next of joined(yield* story.flow.awaited(driver.state, Queue.takeAll(inbox)))) {
      it.content = next.content
      yield* handle(driver, next.input, act)
      if (isOver()) break
    }
    const busy = driver.state._tag === "Transferring"
    yield* told(it, busy)
    watchdog.expect(busy ? stall : idle)
  }
  const { reason } = driver.state
  const last = reason === "bye" ? undefined : message(connectionId, { _tag: "Closing", reason })
  yield* goodbye(driver.transport, channel, last)
  return reason
})

/** The request that waits for the client's content, choice or proof: until that comes something is held for it. */
const owed = ({ state }: Driver): Frame["id"] | undefined => {
  if (state._tag !== "Transferring") return undefined
  switch (state.transfer._tag) {
    case "AwaitingPassword":
    case "Gathering":
    case "Offering":
    case "Receiving":
      return state.transfer.id
    default:
      return undefined
  }
}

/** A record has moved. While the client owes us a word only that word is more than a sign of life. */
const moved = (driver: Driver): void =>
  owed(driver) === undefined ? driver.watchdog.progress() : driver.watchdog.alive()

/** Tells those who make signatures whether transfers go before them. */
const told = (it: Conversation, now: boolean): Effect.Effect<void, never, SignatureMaker> =>
  Effect.suspend(() => {
    const change = Number(now) - Number(it.transferring)
    it.transferring = now
    return change === 0
      ? Effect.void
      : Effect.flatMap(SignatureMaker, (maker) => maker.transferring(change > 0 ? 1 : -1))
  }).pipe(Effect.uninterruptible)

const makeTransfers = Effect.fnUntraced(function* (it: Conversation) {
  const { channel, driver } = it
  const { inbox, story, watch, watchdog } = driver
  const { root } = driver.grant
  const files = (yield* Meter).storeFor(root, () => (driver.member?.grant() ?? driver.grant).quota)
  it.transfers = yield* Transfers.make({
    channel,
    watch,
    files: Confined.make(files, root),
    watchdog,
    copied: story.flow.copied,
    user: () => story.user ?? "",
    report: (outcome) =>
      Exit.isSuccess(outcome)
        ? Effect.asVoid(Queue.offer(inbox, item(outcome.value)))
        : Effect.asVoid(Queue.failCause(inbox, outcome.cause))
  })
  return it.transfers
}, Effect.uninterruptible)

/** From now on changes of the account reach the session, in their turn and without making anybody wait. */
const join = Effect.fnUntraced(function* (driver: Driver, user: UserName) {
  const { grant, met, scope } = driver
  const members = yield* Members
  return yield* Scope.provide(
    members.join(user, grant, (change) => Effect.asVoid(Effect.forkIn(tell(driver, change), scope)), met),
    scope
  )
})

/** The end of an account waits for no client that does not take its answers. */
const tell = (driver: Driver, change: State.FromServer): Effect.Effect<unknown> => {
  const inTurn = Queue.offer(driver.inbox, item(change))
  if (change._tag !== "Revoked") return inTurn
  const notTaken = Effect.repeat(Effect.sleep(goodbyeMillisecondsMax), { while: () => !driver.answering })
  const atLast = Effect.map(notTaken, () => driver.revoke())
  return Effect.all([inTurn, atLast], { concurrency: 2, discard: true })
}

// What came before is still worked on. An answer that is being written may never return: a socket need not tell a
// writer that its peer has gone.
const lose = (driver: Driver, cause: Cause.Cause<InboxError>) =>
  Effect.suspend(() => {
    driver.lost = cause
    if (driver.answering) driver.cut(cause)
    return Queue.failCause(driver.inbox, cause)
  })

const answer = ({ channel, driver }: Conversation, frame: Frame): Effect.Effect<void, InboxError> =>
  Effect.suspend((): Effect.Effect<void, InboxError> => {
    if (driver.lost !== undefined) return Effect.failCause(driver.lost)
    driver.answering = true
    return channel.send(frame)
  }).pipe(Effect.ensuring(Effect.sync(() => (driver.answering = false))))

/**
 * Answers a Ping while the driver itself is held up by an answer: a client pings while a record of ours takes long to
 * reach it, and the next Ping must find somebody who listens. A Ping says that the client lives, not that it reads: a
 * record must get out in time all the same.
 */
const owePong = (it: Conversation): Effect.Effect<void> =>
  Effect.flatMap(Monotonic.now, (now) => {
    const milliseconds = Math.round(now - it.owedSince)
    if (it.pongsOwed > 0 && milliseconds > pingedStallsMax * it.driver.limits.stallMilliseconds) {
      return Effect.sync(() => it.driver.cut(Cause.fail(new Watchdog.Stalled({ milliseconds }))))
    }
    it.pongsOwed += 1
    if (it.pongsOwed > 1) return Effect.void
    it.owedSince = now
    const sent = it.channel.send(message(connectionId, { _tag: "Pong" }))
    const next = Effect.andThen(sent, Monotonic.now)
    return next.pipe(
      Effect.map((time) => void (it.owedSince = time)),
      Effect.repeat({ while: () => (it.pongsOwed -= 1) > 0 }),
      Effect.ignore,
      Effect.forkIn(it.driver.scope, { startImmediately: true }),
      Effect.asVoid
    )
  })

/** Sends an answer list by list, in as few messages as it needs; `end` sends the last one. */
const answerIn = (it: Conversation, id: Frame["id"]) => {
  let waiting: ReadonlyArray<Piece> = []
  const send = (pieces: ReadonlyArray<Piece>, last: boolean) =>
    answer(it, message(id, { _tag: "Pieces", pieces: packPieces(pieces), last }))
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
  it: Conversation,
  transfers: Transfers.Transfers,
  asked: Extract<State.SessionOutput, { readonly _tag: "SendChunks" }>
): Effect.fn.Return<void, InboxError> {
  const answers = answerIn(it, asked.id)
  for (const pieces of transfers.chunks(asked)) yield* answers.add(pieces)
  yield* answers.end
})

const sendBlocks = Effect.fnUntraced(function* (
  it: Conversation,
  transfers: Transfers.Transfers,
  { id, ranges }: Extract<State.SessionOutput, { readonly _tag: "SendBlocks" }>
): Effect.fn.Return<State.ActionResult | undefined, InboxError> {
  const answers = answerIn(it, id)
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
  { channel, driver }: Conversation,
  { client, user }: Extract<State.SessionOutput, { readonly _tag: "Admit" }>
): Effect.fn.Return<void, InboxError | NoSeat, Bandwidth | Members> {
  const { grant, login, scope, seat, story, transport } = driver
  story.user = user
  story.client = printable(client)
  yield* login.succeeded(user)
  yield* Effect.tapError(seat.admit(user), ({ reason }) =>
    goodbye(transport, channel, message(connectionId, { _tag: "Closing", reason }))
  )
  driver.inTime()
  driver.member = yield* join(driver, user)
  story.flow.share(yield* Scope.provide((yield* Bandwidth).join(user, grant.bytesPerSecond), scope))
})

const actOn = Effect.fnUntraced(function* (
  it: Conversation,
  output: State.SessionOutput
): Effect.fn.Return<State.ActionResult | undefined, InboxError | NoSeat, ConnectionServices | Scope.Scope> {
  const { passwords, watch } = it.driver
  const refusal = yield* watch.refusal(output)
  if (refusal !== undefined) {
    // What was gathered goes nowhere.
    if (output._tag === "PlaceBundle") yield* it.transfers?.discard ?? Effect.void
    return refusal
  }
  switch (output._tag) {
    case "Send":
      return void (yield* answer(it, message(output.id, output.message)))
    case "AnswerPassword":
      return yield* passwords.answer(output)
    case "ChangePassword":
      return yield* passwords.change(output)
    case "Admit":
      return void (yield* admit(it, output))
    case "AnswerLogin":
    case "VerifyLogin":
    case "SendHandshake":
    case "Close":
      return undefined
    case "Discard":
      return void (yield* (output.drop ? it.transfers?.drop : it.transfers?.discard) ?? Effect.void)
    default:
      return yield* transferred(it, it.transfers ?? (yield* makeTransfers(it)), output)
  }
})

/** What a session's files are asked for. */
type OfFiles = Exclude<
  State.SessionOutput,
  {
    readonly _tag:
      | "Admit"
      | "AnswerLogin"
      | "AnswerPassword"
      | "ChangePassword"
      | "Close"
      | "Discard"
      | "Send"
      | "SendHandshake"
      | "VerifyLogin"
  }
>

const transferred = Effect.fnUntraced(function* (
  it: Conversation,
  transfers: Transfers.Transfers,
  output: OfFiles
): Effect.fn.Return<State.ActionResult | undefined, InboxError> {
  switch (output._tag) {
    case "Write":
      return yield* transfers.write(output.id, it.content)
    case "Stage":
      return yield* transfers.stage(output)
    case "Gather":
      return void (yield* transfers.gather(output))
    case "Keep":
      return void (yield* transfers.keep(it.content))
    case "PlaceBundle":
      return yield* transfers.placeBundle(output)
    case "SendBundle":
      return void (yield* transfers.sendBundle(output))
    case "Copy":
      return yield* transfers.copy(output)
    case "SendChunks":
      return void (yield* sendChunks(it, transfers, output))
    case "SendBlocks":
      return yield* sendBlocks(it, transfers, output)
    case "Commit":
      return yield* transfers.commit(output)
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
  }
})

const goodbye = (transport: Transport.Transport, channel: FrameChannel.FrameChannel, last: Frame | undefined) =>
  Effect.gen(function* () {
    if (last !== undefined) yield* channel.send(last)
    yield* channel.end
    yield* linger(transport)
  }).pipe(Effect.timeoutOption(goodbyeMillisecondsMax), Effect.ignore)

// Closing while the peer still sends would make the network drop our last words: read on for a moment.
const linger = (transport: Transport.Transport) =>
  Effect.andThen(transport.finish, transport.drain).pipe(Effect.timeoutOption(goodbyeMillisecondsMax), Effect.asVoid)

type ClientMessageOfLogin = Extract<State.FromPeer, { readonly _tag: "Handshake" }>["message"]
type ServerMessageOfLogin = Extract<State.SessionOutput, { readonly _tag: "SendHandshake" }>["message"]

const message = (id: Frame["id"], content: Message.ServerMessage): Frame => ({
  kind: "message",
  id,
  body: Message.Server.encode(content)
})

/** Reads ahead of the session, as far as the inbox holds. */
const receiveInto = (it: Conversation, inbox: Queue.Queue<Item, InboxError>) =>
  Effect.gen(function* () {
    while (true) {
      const frames = yield* it.channel.receive
      if (frames === undefined) return yield* Queue.offer(inbox, item({ _tag: "PeerEnded" }))
      for (const frame of frames) {
        const next = yield* itemOf(frame)
        if (frame.id === owed(it.driver) && !isPing(next)) it.driver.watchdog.progress()
        yield* it.driver.answering && isPing(next) && frame.id === connectionId ? owePong(it) : Queue.offer(inbox, next)
      }
    }
  })

const isPing = ({ input }: Item): boolean => input._tag === "Message" && input.message._tag === "Ping"

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
  const milliseconds = Math.round((yield* Monotonic.now) - story.came)
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
  if (outcome === "accounts-failed") yield* log("accounts-failed", "accounts cannot be read", { detail })
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
      // A client that learns that its password is wrong just goes: it looks like one that was cut off.
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
