/**
 * A session that is logged in: requests come in, the machine says what they lead to, and that is done.
 */
import { Cause, Effect, Exit, Queue, Scope } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import type { Opaque } from "../domain/channel/Opaque.ts"
import type * as SecureChannel from "../domain/channel/SecureChannel.ts"
import type { Digest } from "../domain/file/Digest.ts"
import { packPieces, pieceBytes, type Range } from "../domain/file/Packed.ts"
import { printable } from "../domain/file/Printable.ts"
import { goodbyeMillisecondsMax, packedBytesMax, pingedStallsMax, togetherBytesMax } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { Accounts } from "../domain/session/Accounts.ts"
import * as FrameChannel from "../domain/session/FrameChannel.ts"
import type * as State from "../domain/session/SessionState.ts"
import * as Watchdog from "../domain/session/Watchdog.ts"
import * as Confined from "../domain/store/Confined.ts"
import { Meter } from "../domain/store/Meter.ts"
import type { Piece } from "../domain/transfer/Signature.ts"
import type { Signatures } from "../domain/transfer/Signatures.ts"
import { connectionId, type Frame } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"
import { Bandwidth } from "./Bandwidth.ts"
import { type Driver, handle, type InboxError, type Item, item, nothing } from "./Driver.ts"
import { goodbye } from "./Goodbye.ts"
import * as KeepAlive from "./KeepAlive.ts"
import { Members } from "./Members.ts"
import type { NoSeat } from "./Seats.ts"
import { SignatureMaker } from "./SignatureMaker.ts"
import * as Transfers from "./Transfers.ts"

/** Everything a session is served with once it is logged in. */
export type Services = Accounts | Bandwidth | Digest | Members | Meter | Opaque | SignatureMaker | Signatures

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

/** From the login to the end; the reason for the end. */
export const hold = Effect.fnUntraced(function* (driver: Driver, secure: SecureChannel.SecureChannel) {
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
  for (const run of runsOf(ranges)) {
    const blocks = yield* transfers.blocks(id, run)
    if ("_tag" in blocks) return blocks
    yield* answers.add(blocks)
  }
  yield* answers.end
  return undefined
})

/** Ranges that follow on each other, as far as they are small: each by itself would be a read of its own. */
const runsOf = (ranges: ReadonlyArray<Range>): ReadonlyArray<ReadonlyArray<Range>> => {
  const runs: Array<Array<Range>> = []
  let [end, room] = [Number.NaN, 0]
  for (const range of ranges) {
    room -= range.length
    if (range.offset === end && room >= 0) runs.at(-1)?.push(range)
    else {
      runs.push([range])
      room = togetherBytesMax - range.length
    }
    end = range.offset + range.length
  }
  return runs
}

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
): Effect.fn.Return<State.ActionResult | undefined, InboxError | NoSeat, Services | Scope.Scope> {
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

/** Pieces of one message. */
const piecesInPart = Math.floor(packedBytesMax / pieceBytes)
