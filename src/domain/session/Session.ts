/**
 * The session machine: one connection of the server, without I/O.
 *
 * `step(state, input)` gives the next state and what the driver must do. The driver reads, steps, acts, and hands the
 * result of an action back as an input **before** the next thing it read; only listing, describing and sending run
 * beside reading.
 *
 * ```
 * Unauthenticated --Hello after a verified login--> Ready --command--> Transferring --its end--> Ready
 *        |                                            |                     |
 *        +---- anything else that is not legal -------+---------------------+----> Closed
 * ```
 *
 * A message that is illegal in a state ends the session and touches nothing. Before Ready no output reaches the store.
 */
import { Result } from "effect"
import { blocksAskedBytesMax, bundlesInFlightMax, loginAttemptsMax, requestsInFlightMax } from "../limits.ts"
import { mayRun } from "../file/FileEntry.ts"
import * as Grant from "./Grant.ts"
import { connectionId, type RequestId } from "../wire/Frame.ts"
import { outermostKey } from "../file/FileName.ts"
import type { ClientMessage, ServerMessage } from "../wire/Message.ts"
import { unpackRanges } from "../file/Packed.ts"
import { type BundledFile, unpackFiles, unpackNames } from "../file/PackedFiles.ts"
import type { Refusal } from "../wire/Refusal.ts"
import type {
  Admitted,
  CloseReason,
  Command,
  FromPeer,
  Ready,
  Session,
  SessionInput,
  SessionOutput,
  Transfer,
  Transferring,
  Unauthenticated
} from "./SessionState.ts"

/** Where the session stands now, and what its driver must do, in order. */
export interface Step {
  readonly state: Session
  readonly outputs: ReadonlyArray<SessionOutput>
}

/** A connection that was just accepted. */
export const initial: Session = { _tag: "Unauthenticated", attempts: 0, phase: { _tag: "AwaitingStart" } }

/** The text of the server's first message. */
const greeting = "paradrop"

/** What follows from one input. Total: an input that is not legal leads to `Closed`. */
export const step = (state: Session, input: SessionInput): Step => {
  switch (state._tag) {
    case "Unauthenticated":
      return unauthenticated(state, input)
    case "Ready":
      return ready(state, input)
    case "Transferring":
      return transferring(state, input)
    case "Closed":
      return { state, outputs: [] }
  }
}

// -----------------------------------------------------------------------------
// Unauthenticated
// -----------------------------------------------------------------------------

const unauthenticated = (state: Unauthenticated, input: SessionInput): Step => {
  if (input._tag === "Drain") return closed("draining")
  if (input._tag === "PeerEnded") return closed("ended-early")
  const { attempts, phase } = state
  switch (phase._tag) {
    case "AwaitingStart":
      if (input._tag !== "Handshake" || input.message._tag !== "LoginStart") break
      return {
        state: { ...state, attempts: attempts + 1, phase: { _tag: "Answering", user: input.message.user } },
        outputs: [{ _tag: "AnswerLogin", user: input.message.user, ke1: input.message.ke1 }]
      }

    case "Answering":
      if (input._tag === "LoginAnswered") {
        const { ke2, stretching } = input
        return {
          state: { ...state, phase: { _tag: "AwaitingFinish", user: phase.user } },
          outputs: [{ _tag: "SendHandshake", message: { _tag: "LoginResponse", stretching, ke2 } }]
        }
      }
      if (input._tag === "LoginRejected") {
        const { reason, retryAfterMilliseconds } = input
        return closed("rejected", {
          _tag: "SendHandshake",
          message: { _tag: "Reject", reason, retryAfterMilliseconds }
        })
      }
      if (input._tag === "LoginUnanswerable") return closed("opaque-rejected")
      break

    case "AwaitingFinish":
      if (input._tag !== "Handshake") break
      if (input.message._tag === "GiveUp") return incorrect(attempts)
      if (input.message._tag !== "LoginFinish") break
      return {
        state: { ...state, phase: { _tag: "Verifying", user: phase.user } },
        outputs: [{ _tag: "VerifyLogin", user: phase.user, ke3: input.message.ke3 }]
      }

    case "Verifying":
      if (input._tag === "LoginVerified") {
        const { rights } = input
        return { state: { ...state, phase: { _tag: "AwaitingHello", user: phase.user, rights } }, outputs: [] }
      }
      if (input._tag === "LoginUnverified") return closed("opaque-rejected")
      break

    case "AwaitingHello":
      if (input._tag !== "Message" || input.id !== connectionId || input.message._tag !== "Hello") break
      return {
        state: {
          _tag: "Ready",
          user: phase.user,
          rights: phase.rights,
          lastId: 0,
          discarding: undefined,
          saidBye: false,
          draining: false
        },
        outputs: [
          { _tag: "Admit", user: phase.user, client: input.message.client },
          send(connectionId, { _tag: "Correct", server: greeting })
        ]
      }
  }
  return violation
}

const incorrect = (attempts: number): Step => {
  const attemptsLeft = loginAttemptsMax - attempts
  const answer = { _tag: "SendHandshake", message: { _tag: "Incorrect", attemptsLeft } } as const
  return attemptsLeft === 0
    ? closed("incorrect", answer)
    : { state: { _tag: "Unauthenticated", attempts, phase: { _tag: "AwaitingStart" } }, outputs: [answer] }
}

// -----------------------------------------------------------------------------
// Ready
// -----------------------------------------------------------------------------

const ready = (state: Ready, input: SessionInput): Step => {
  switch (input._tag) {
    case "Message":
      return readyMessage(state, input.id, input.message)
    case "Content":
      return isDiscarded(state, input.id) ? stay(state) : violation
    case "PeerEnded":
      return closed("bye")
    case "Drain":
      return closed("draining")
    case "Granted":
      return stay({ ...state, rights: input.rights })
    case "Revoked":
      return closed("revoked")
    default:
      return violation
  }
}

const readyMessage = (state: Ready, id: RequestId, message: ClientMessage): Step => {
  switch (message._tag) {
    case "Fetch":
    case "Describe":
    case "Upload":
    case "UploadBundle":
    case "Download":
    case "DownloadBundle":
    case "Para":
    case "PasswordStart":
    case "Remove":
    case "Rename":
      return isNew(state, id) ? begin({ ...admitted(state), lastId: id }, [], id, message) : violation
    case "Commit":
      return isDiscarded(state, id) ? stay(forget(state, id)) : violation
    case "Cancel":
      // What it names may have ended a moment ago: that is no error.
      return stay(forget(state, id))
    case "Ping":
      return pong(state, id)
    case "NeedChunks":
    case "NeedBlocks":
    case "Copies":
      // The rest of a body that was refused.
      return isDiscarded(state, id) ? stay(state) : violation
    case "Bye":
      return id === connectionId ? closed("bye") : violation
    case "Want":
    case "Hello":
    case "PasswordFinish":
      return violation
  }
}

const isNew = (state: Admitted, id: RequestId): boolean => id > state.lastId && !state.saidBye

/** A command's turn has come. */
const begin = (session: Admitted, queue: Transferring["queue"], id: RequestId, command: Command): Step => {
  const lacking = Grant.lacking(session.rights, command)
  if (lacking !== undefined) return deny({ ...session, queue }, id, command, lacking)
  const next = (transfer: Transfer, output: SessionOutput): Step => ({
    state: { ...session, _tag: "Transferring", transfer, queue },
    outputs: [output]
  })
  switch (command._tag) {
    case "Fetch":
      return next(
        { _tag: "Listing", id },
        {
          _tag: "List",
          id,
          digest: command.digest ?? false,
          ...(command.content === true && { content: command.alike ?? [] }),
          ...(command.alike && { alike: new Set(command.alike.map(outermostKey)) })
        }
      )
    case "Describe":
      return next({ _tag: "Describing", id }, { _tag: "Describe", id, name: command.name })
    case "Download":
      return next({ _tag: "Opening", id }, { ...command, _tag: "Open", id })
    case "PasswordStart": {
      const { ke1, request } = command
      const { user } = session
      return next({ _tag: "AnsweringPassword", id }, { _tag: "AnswerPassword", id, user, ke1, request })
    }
    case "Remove":
    case "Rename":
      return next({ _tag: "Changing", id }, { ...command, id })
    case "UploadBundle":
      return Result.match(unpackFiles(command.files), {
        onFailure: () => violation,
        onSuccess: (files) => gather({ ...session, queue }, id, files)
      })
    case "DownloadBundle":
      return Result.match(unpackNames(command.names), {
        onFailure: () => violation,
        onSuccess: (names) => next({ _tag: "Sending", id }, { _tag: "SendBundle", id, names })
      })
    case "Upload":
    case "Para": {
      const target = command._tag === "Para" ? undefined : Grant.mayPlace(session.rights)
      return next(
        { _tag: "Staging", id, command: command._tag, declared: command.size, cancelled: false },
        { ...command, _tag: "Stage", id, command: command._tag, ...(target && { target }) }
      )
    }
  }
}

/** A bundle's turn has come: its content is asked for, unless there is none. */
const gather = (session: Waiting, id: RequestId, files: ReadonlyArray<BundledFile>): Step => {
  const target = Grant.mayPlace(session.rights)
  const declared = files.reduce((total, { size }) => total + size, 0)
  const outputs: ReadonlyArray<SessionOutput> = [
    { _tag: "Gather", id, files, ...(target && { target }) },
    send(id, { _tag: "Proceed", from: 0 })
  ]
  return declared === 0
    ? placing(session, id, outputs)
    : {
        state: { ...session, _tag: "Transferring", transfer: { _tag: "Gathering", id, declared, received: 0 } },
        outputs
      }
}

const placing = (session: Waiting, id: RequestId, outputs: ReadonlyArray<SessionOutput>): Step => ({
  state: { ...session, _tag: "Transferring", transfer: { _tag: "Placing", id } },
  outputs: [...outputs, { _tag: "PlaceBundle", id }]
})

const placed = (state: Transferring, input: Extract<SessionInput, { readonly _tag: "Placed" }>): Step => {
  const { count, id, refused } = input
  if (state.transfer._tag !== "Placing" || state.transfer.id !== id) return violation
  return finish(state, [
    ...refused.map(({ index, refusal }) => send(id, { _tag: "FileRefused", index, ...refusal })),
    send(id, { _tag: "BundleDone", count })
  ])
}

/** The account lacks a right: nothing is asked of the store. */
const deny = (session: Waiting, id: RequestId, { _tag }: Command, right: Grant.Right): Step =>
  // An upload's content may already be on its way; other commands wait for an answer.
  finish(_tag === "Upload" || _tag === "UploadBundle" ? discard(session, id) : session, [
    send(id, { _tag: "Refused", reason: "not-permitted", detail: right })
  ])

// -----------------------------------------------------------------------------
// Transferring
// -----------------------------------------------------------------------------

const transferring = (state: Transferring, input: SessionInput): Step => {
  switch (input._tag) {
    case "Message":
      return transferringMessage(state, input.id, input.message)
    case "Content":
      return content(state, input)
    case "PeerEnded":
      return peerEnded(state)
    case "Drain":
      return stay({ ...state, draining: true })
    case "Granted":
      return stay({ ...state, rights: input.rights })
    case "Revoked":
      return closed("revoked", { _tag: "Discard", id: state.transfer.id })
    case "Staged":
      return staged(state, input)
    case "Opened":
      return opened(state, input)
    case "Committed":
      return committed(state, input)
    case "Delivered":
      return state.transfer._tag === "Sending" && state.transfer.id === input.id
        ? finish(state, [send(input.id, { _tag: "Sent", size: input.size, digest: input.digest })])
        : violation
    case "Placed":
      return placed(state, input)
    case "BundleSent":
      return state.transfer._tag === "Sending" && state.transfer.id === input.id
        ? finish(state, [send(input.id, { _tag: "BundleDone", count: input.count })])
        : violation
    case "Removed": {
      const { id, name } = input
      return isChanging(state, id) ? finish(state, [send(id, { _tag: "Removed", name })]) : violation
    }
    case "Renamed": {
      const { id, name, to } = input
      return isChanging(state, id) ? finish(state, [send(id, { _tag: "Renamed", name, to })]) : violation
    }
    case "Described": {
      const { digest, executable, id, modified, size } = input
      return state.transfer._tag === "Describing" && state.transfer.id === id
        ? finish(state, [send(id, { _tag: "Described", size, modified, digest, ...mayRun(executable) })])
        : violation
    }
    case "Listed":
      return state.transfer._tag === "Listing" && state.transfer.id === input.id
        ? finish(state, [send(input.id, { _tag: "Listed", count: input.count })])
        : violation
    case "PasswordAnswered":
      return passwordAnswered(state, input)
    case "PasswordChanged":
      return state.transfer._tag === "ChangingPassword" && state.transfer.id === input.id
        ? finish(state, [send(input.id, { _tag: "PasswordChanged" })])
        : violation
    case "Refused":
      return state.transfer.id === input.id ? refuse(state, input.refusal) : violation
    default:
      return violation
  }
}

const isChanging = ({ transfer }: Transferring, id: RequestId): boolean =>
  transfer._tag === "Changing" && transfer.id === id

/** What was promised will not come: content, a choice, a proof. What is being sent may still be wanted. */
const peerEnded = (state: Transferring): Step => {
  const { transfer } = state
  if (transfer._tag === "Receiving" || transfer._tag === "Offering" || transfer._tag === "Gathering") {
    return closed("ended-early", { _tag: "Discard", id: transfer.id })
  }
  if (transfer._tag === "AwaitingPassword") return closed("ended-early")
  const hopeless = state.queue.filter(({ command }) => needsMore(command))
  return {
    state: {
      ...state,
      saidBye: true,
      transfer: transfer._tag === "Staging" ? { ...transfer, cancelled: true } : transfer,
      queue: state.queue.filter(({ command }) => !needsMore(command))
    },
    outputs: hopeless.map(({ id }) => send(id, { _tag: "Refused", reason: "cancelled" }))
  }
}

/** Whether the client has more to say before it is done: content, what it wants of an offer, a proof. */
const needsMore = (command: Command): boolean =>
  command._tag === "Upload" ||
  command._tag === "UploadBundle" ||
  command._tag === "Para" ||
  command._tag === "PasswordStart" ||
  (command._tag === "Download" && command.delta === true)

const transferringMessage = (state: Transferring, id: RequestId, message: ClientMessage): Step => {
  switch (message._tag) {
    case "Fetch":
    case "Describe":
    case "Upload":
    case "UploadBundle":
    case "Download":
    case "DownloadBundle":
    case "Para":
    case "PasswordStart":
    case "Remove":
    case "Rename":
      if (!isNew(state, id) || !hasRoom(state.queue, message)) return violation
      return stay({ ...state, lastId: id, queue: [...state.queue, { id, command: message }] })
    case "NeedChunks":
    case "NeedBlocks":
      return isDiscarded(state, id) ? stay(state) : question(state, id, message)
    case "Copies":
      return isDiscarded(state, id) ? stay(state) : copies(state, id, message.ranges)
    case "Want":
      return want(state, id, message.ranges)
    case "PasswordFinish":
      return passwordFinish(state, id, message)
    case "Commit":
      return isDiscarded(state, id) ? stay(forget(state, id)) : commit(state, id, message)
    case "Cancel":
      return cancel(state, id, message.drop)
    case "Ping":
      return pong(state, id)
    case "Bye":
      return id === connectionId ? stay({ ...state, saidBye: true }) : violation
    case "Hello":
      return violation
  }
}

/** Some commands are large: fewer of them may wait. */
const hasRoom = (queue: Transferring["queue"], command: Command): boolean =>
  queue.length < requestsInFlightMax &&
  (!isLarge(command) || queue.filter((waiting) => isLarge(waiting.command)).length < bundlesInFlightMax)

/** Bundles, and listings that are narrowed by names: others hold two names at most. */
const isLarge = (command: Command): boolean =>
  command._tag === "UploadBundle" ||
  command._tag === "DownloadBundle" ||
  (command._tag === "Fetch" && command.alike !== undefined)

/** Questions about a file that the client may copy from, or that it is being offered. */
const question = (
  state: Transferring,
  id: RequestId,
  message: Extract<ClientMessage, { readonly _tag: "NeedChunks" | "NeedBlocks" }>
): Step => {
  const size = sizeInQuestion(state.transfer)
  if (state.transfer.id !== id || size === undefined) return violation
  if (message._tag === "NeedChunks") {
    const { count, first } = message
    return { state, outputs: [{ _tag: "SendChunks", id, first, count }] }
  }
  return Result.match(unpackRanges(message.ranges, size), {
    onFailure: () => violation,
    onSuccess: (ranges) =>
      ranges.reduce((total, { length }) => total + length, 0) > blocksAskedBytesMax
        ? violation
        : { state, outputs: [{ _tag: "SendBlocks", id, ranges }] }
  })
}

const sizeInQuestion = (transfer: Transfer): number | undefined => {
  if (transfer._tag === "Receiving") return transfer.base?.size
  return transfer._tag === "Offering" ? transfer.size : undefined
}

const copies = (state: Transferring, id: RequestId, packed: Uint8Array): Step => {
  const { transfer } = state
  if (transfer._tag !== "Receiving" || transfer.id !== id || transfer.base === undefined) return violation
  return Result.match(unpackRanges(packed, transfer.base.size), {
    onFailure: () => violation,
    onSuccess: (ranges) => {
      const received = transfer.received + ranges.reduce((total, { length }) => total + length, 0)
      if (received > transfer.declared) return abandon(state, { reason: "size-mismatch" }, id)
      return { state: { ...state, transfer: { ...transfer, received } }, outputs: [{ _tag: "Copy", id, ranges }] }
    }
  })
}

const want = (state: Transferring, id: RequestId, packed: Uint8Array): Step => {
  const { transfer } = state
  if (transfer._tag !== "Offering" || transfer.id !== id) return violation
  return Result.match(unpackRanges(packed, transfer.size), {
    onFailure: () => violation,
    onSuccess: (ranges) => ({
      state: { ...state, transfer: { _tag: "Sending", id } },
      outputs: [{ _tag: "SendContent", id, ranges }]
    })
  })
}

const passwordAnswered = (
  state: Transferring,
  { id, ke2, response, stretching }: Extract<SessionInput, { readonly _tag: "PasswordAnswered" }>
): Step =>
  state.transfer._tag === "AnsweringPassword" && state.transfer.id === id
    ? {
        state: { ...state, transfer: { _tag: "AwaitingPassword", id } },
        outputs: [send(id, { _tag: "PasswordAnswer", stretching, ke2, response })]
      }
    : violation

const passwordFinish = (
  state: Transferring,
  id: RequestId,
  { ke3, record }: Extract<ClientMessage, { readonly _tag: "PasswordFinish" }>
): Step =>
  state.transfer._tag === "AwaitingPassword" && state.transfer.id === id
    ? {
        state: { ...state, transfer: { _tag: "ChangingPassword", id } },
        outputs: [{ _tag: "ChangePassword", id, user: state.user, ke3, record }]
      }
    : violation

const commit = (
  state: Transferring,
  id: RequestId,
  { digest, size }: Extract<ClientMessage, { readonly _tag: "Commit" }>
): Step => {
  const { transfer } = state
  if (transfer._tag !== "Receiving" || transfer.id !== id) return violation
  const { base, declared, received, resumed } = transfer
  // Equal already: nothing was sent, nothing has to be written, and nobody goes on with what an earlier try has left.
  if (
    received === resumed &&
    size === declared &&
    size === base?.size &&
    digest === (base.signature?.digest ?? base.digest)
  ) {
    const drop = { _tag: "Discard", id, drop: true } as const
    return finish(state, [drop, send(id, { _tag: "SuccessfullyParallelized", size, digest })])
  }
  if (size !== received || size !== declared) return abandon(state, { reason: "size-mismatch" }, undefined)
  return {
    state: { ...state, transfer: { _tag: "Committing", ...incoming(transfer) } },
    outputs: [{ _tag: "Commit", id, size, digest }]
  }
}

const content = (state: Transferring, input: Extract<FromPeer, { readonly _tag: "Content" }>): Step => {
  const { transfer } = state
  if (isDiscarded(state, input.id)) return stay(state)
  if (transfer._tag === "Gathering" && transfer.id === input.id) return bundled(state, transfer, input.bytes)
  if (transfer._tag !== "Receiving" || transfer.id !== input.id) return violation
  const received = transfer.received + input.bytes
  // Refused before it is written: a peer cannot fill the disk beyond its word.
  if (received > transfer.declared) return abandon(state, { reason: "size-mismatch" }, input.id)
  return { state: { ...state, transfer: { ...transfer, received } }, outputs: [{ _tag: "Write", id: input.id }] }
}

/** Content of a bundle; with the last of it the files go to their names. */
const bundled = (
  state: Transferring,
  transfer: Extract<Transfer, { readonly _tag: "Gathering" }>,
  bytes: number
): Step => {
  const { declared, id } = transfer
  const received = transfer.received + bytes
  if (received > declared) return abandon(state, { reason: "size-mismatch" }, id)
  const outputs: ReadonlyArray<SessionOutput> = [{ _tag: "Keep", id }]
  return received === declared
    ? placing({ ...admitted(state), queue: state.queue }, id, outputs)
    : { state: { ...state, transfer: { ...transfer, received } }, outputs }
}

const cancel = (state: Transferring, id: RequestId, drop: true | undefined): Step => {
  const { transfer } = state
  if (isDiscarded(state, id)) return stay(forget(state, id))
  if (id !== transfer.id) {
    const queue = state.queue.filter((waiting) => waiting.id !== id)
    return queue.length === state.queue.length
      ? stay(state)
      : { state: { ...state, queue }, outputs: [send(id, { _tag: "Refused", reason: "cancelled" })] }
  }
  switch (transfer._tag) {
    case "Receiving":
    case "Gathering":
      return abandon(state, { reason: "cancelled" }, undefined, drop)
    case "Staging":
      return stay({ ...state, transfer: { ...transfer, cancelled: true } })
    case "Listing":
    case "Describing":
    case "Sending":
      return { state, outputs: [{ _tag: "StopSending", id }] }
    case "Offering":
      return finish(state, [{ _tag: "Discard", id }, send(id, { _tag: "Refused", reason: "cancelled" })])
    case "AwaitingPassword":
      return finish(state, [send(id, { _tag: "Refused", reason: "cancelled" })])
    case "AnsweringPassword":
    case "ChangingPassword":
    case "Opening":
    case "Changing":
    case "Committing":
    case "Placing":
      // Too late, or too early by a moment: the answer is on its way.
      return stay(state)
  }
}

const staged = (state: Transferring, input: Extract<SessionInput, { readonly _tag: "Staged" }>): Step => {
  const { transfer } = state
  if (transfer._tag !== "Staging" || transfer.id !== input.id) return violation
  const { base, id, resumed } = input
  const receiving: Transferring = {
    ...state,
    transfer: { _tag: "Receiving", ...incoming(transfer), received: resumed, resumed, base }
  }
  if (transfer.cancelled) return abandon(receiving, { reason: "cancelled" }, undefined)
  const answer: ServerMessage =
    base === undefined ? { _tag: "Proceed", from: resumed } : { ...base, _tag: "SameFileHere", from: resumed }
  return { state: receiving, outputs: [send(id, answer)] }
}

const opened = (state: Transferring, input: Extract<SessionInput, { readonly _tag: "Opened" }>): Step => {
  const { id, size } = input
  if (state.transfer._tag !== "Opening" || state.transfer.id !== id) return violation
  const { executable, from, modified, signature } = input
  const facts = { size, modified, from, ...mayRun(executable), ...(signature && { signature }) }
  const offer = send(id, { _tag: "Sending", ...facts })
  if (signature !== undefined) {
    return { state: { ...state, transfer: { _tag: "Offering", id, size } }, outputs: [offer] }
  }
  const ranges = size > from ? [{ offset: from, length: size - from }] : []
  return {
    state: { ...state, transfer: { _tag: "Sending", id } },
    outputs: [offer, { _tag: "SendContent", id, ranges }]
  }
}

const committed = (state: Transferring, input: Extract<SessionInput, { readonly _tag: "Committed" }>): Step => {
  const { digest, id, size } = input
  if (state.transfer._tag !== "Committing" || state.transfer.id !== id) return violation
  const _tag = state.transfer.command === "Upload" ? "Uploaded" : "SuccessfullyParallelized"
  return finish(state, [send(id, { _tag, size, digest })])
}

/** The store said no to the transfer under way. */
const refuse = (state: Transferring, refusal: Refusal): Step => {
  const { transfer } = state
  switch (transfer._tag) {
    case "Staging":
      // An upload's content may already be on its way; a `para` sends none before it was told to.
      return transfer.command === "Para"
        ? finish(state, [
            send(transfer.id, refusal.reason === "no-such-file" ? { _tag: "SameFileNotHere" } : refusedMessage(refusal))
          ])
        : finish(transfer.cancelled ? state : discard(state, transfer.id), [send(transfer.id, refusedMessage(refusal))])
    case "Receiving":
    case "Gathering":
      return abandon(state, refusal, transfer.id)
    case "Offering":
      return finish(state, [{ _tag: "Discard", id: transfer.id }, send(transfer.id, refusedMessage(refusal))])
    case "AnsweringPassword":
    case "AwaitingPassword":
    case "ChangingPassword":
    case "Changing":
    case "Committing":
    case "Describing":
    case "Listing":
    case "Opening":
    case "Placing":
    case "Sending":
      return finish(state, [send(transfer.id, refusedMessage(refusal))])
  }
}

/** Ends an incoming transfer without a commit. `discarding` names it while more of its content may come. */
const abandon = (state: Transferring, refusal: Refusal, discarding: RequestId | undefined, drop?: true): Step =>
  finish(discarding === undefined ? state : discard(state, discarding), [
    { _tag: "Discard", id: state.transfer.id, ...(drop && { drop }) },
    send(state.transfer.id, refusedMessage(refusal))
  ])

const isDiscarded = ({ discarding }: Admitted, id: RequestId): boolean => discarding?.has(id) === true

/** A client need not say that a body is over: beyond the bound the oldest is forgotten. */
const discard = <State extends Admitted>(state: State, id: RequestId): State => ({
  ...state,
  discarding: new Set([...(state.discarding ?? []), id].slice(-requestsInFlightMax))
})

/** The body of a refused request is over. */
const forget = <State extends Admitted>(state: State, id: RequestId): State => {
  if (!isDiscarded(state, id)) return state
  const rest = Array.from(state.discarding ?? []).filter((other) => other !== id)
  return { ...state, discarding: rest.length === 0 ? undefined : new Set(rest) }
}

/** A session between two commands. */
type Waiting = Admitted & Pick<Transferring, "queue">

/** The transfer is over: the next command's turn, or none. */
const finish = (state: Waiting, outputs: ReadonlyArray<SessionOutput>): Step => {
  const [next, ...queue] = state.queue
  if (state.draining) {
    const refusals = state.queue.map(({ id }) => send(id, { _tag: "Refused", reason: "draining" }))
    return closed("draining", ...outputs, ...refusals)
  }
  if (next !== undefined) return prepend(outputs, begin(admitted(state), queue, next.id, next.command))
  if (state.saidBye) return closed("bye", ...outputs)
  return { state: { ...admitted(state), _tag: "Ready" }, outputs }
}

// -----------------------------------------------------------------------------
// Small parts
// -----------------------------------------------------------------------------

const stay = (state: Session): Step => ({ state, outputs: [] })

const send = (id: RequestId, message: ServerMessage): SessionOutput => ({ _tag: "Send", id, message })

const refusedMessage = (refusal: Refusal): ServerMessage => ({ _tag: "Refused", ...refusal })

const pong = (state: Session, id: RequestId): Step => ({ state, outputs: [send(id, { _tag: "Pong" })] })

const admitted = ({ discarding, draining, lastId, rights, saidBye, user }: Admitted): Admitted => ({
  user,
  rights,
  lastId,
  discarding,
  saidBye,
  draining
})

const incoming = ({ command, declared, id }: Extract<Transfer, { readonly command: unknown }>) => ({
  id,
  command,
  declared
})

const prepend = (outputs: ReadonlyArray<SessionOutput>, { outputs: more, state }: Step): Step => ({
  state,
  outputs: [...outputs, ...more]
})

const closed = (reason: CloseReason, ...outputs: ReadonlyArray<SessionOutput>): Step => ({
  state: { _tag: "Closed", reason },
  outputs: [...outputs, { _tag: "Close", reason }]
})

const violation: Step = closed("protocol-violation")
