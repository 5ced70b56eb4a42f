/**
 * One connection: the fiber that drives the session machine over a socket, from its first byte to its end.
 *
 * A straight script: read, step, act; results of actions go back in as inputs. What is legal is the machine's business,
 * what is true of bytes the channel's, what is true of files the store's.
 */
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Queue, type Scope } from "effect"
import type { Socket } from "effect/socket"
import { channelFailed, type ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { Cipher } from "../domain/channel/Cipher.ts"
import type { Kem } from "../domain/channel/Kem.ts"
import * as SecureChannel from "../domain/channel/SecureChannel.ts"
import * as Transport from "../domain/channel/Transport.ts"
import { unavailableRetryMilliseconds } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { AccountsFailed } from "../domain/session/Accounts.ts"
import type * as State from "../domain/session/SessionState.ts"
import {
  type ConnectionError,
  endOf,
  hasDefect,
  logEnd,
  LoginTimedOut,
  lookAt,
  StoppedBeforeLogin,
  type Story
} from "./ConnectionStory.ts"
import * as Conversation from "./Conversation.ts"
import { closeReason, type Cut, type Driver, handle, item, makeDriver } from "./Driver.ts"
import { Visitor } from "./Doorman.ts"
import * as Flow from "./Flow.ts"
import { linger } from "./Goodbye.ts"
import * as LiveWait from "./LiveWait.ts"
import type { LoginGuard } from "./LoginGuard.ts"
import { Members } from "./Members.ts"
import * as Peer from "./Peer.ts"
import * as ProxyHeader from "./ProxyHeader.ts"
import { NoSeat, type Seat, Seats } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { ServerStatus } from "./ServerStatus.ts"
import * as SessionWatch from "./SessionWatch.ts"
import type { Stopping } from "./Stopping.ts"

/** Everything a connection is served with. */
export type ConnectionServices = Cipher | Conversation.Services | Kem | LoginGuard | Seats | ServerStatus

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
        Effect.onExit((exit) =>
          Effect.flatMap(Effect.exit(watch.end(endOf(story, exit).outcome)), (told) =>
            // An audit log that dies hides no end.
            logEnd(story, Exit.isFailure(told) && hasDefect(told.cause) ? Exit.failCause(told.cause) : exit)
          )
        )
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

/** Waits for the first bytes: until then a connection costs next to nothing. Those of a proxy say whose it is. */
const begin = Effect.fnUntraced(function* (transport: Transport.Transport, seat: Seat, story: Story) {
  if (!story.peer.proxy) return yield* transport.ready
  const source = yield* ProxyHeader.take(transport)
  story.peer = source === undefined ? { ...story.peer, proxy: false } : Peer.proxied(source)
  yield* Effect.annotateCurrentSpan("peer", story.peer.address)
  return yield* seat.move(story.peer)
})

const run = (driver: Driver) =>
  Effect.flatMap(greet(driver), (channel) =>
    channel === undefined ? leaveUnauthenticated(driver) : Conversation.hold(driver, channel)
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

type ClientMessageOfLogin = Extract<State.FromPeer, { readonly _tag: "Handshake" }>["message"]
type ServerMessageOfLogin = Extract<State.SessionOutput, { readonly _tag: "SendHandshake" }>["message"]
