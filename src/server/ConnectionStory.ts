/**
 * What is known about a connection: its status while it lives, and the one log line of its end, of whatever kind.
 */
import { type Cause, Effect, Exit, Schema } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { AccountsFailed } from "../domain/session/Accounts.ts"
import type * as State from "../domain/session/SessionState.ts"
import type * as Watchdog from "../domain/session/Watchdog.ts"
import type { FrameRefused } from "../domain/wire/Frame.ts"
import type * as Message from "../domain/wire/Message.ts"
import type { EndReason } from "./EndReason.ts"
import type * as Flow from "./Flow.ts"
import { log } from "./LogEvent.ts"
import type * as Peer from "./Peer.ts"
import type * as ProxyHeader from "./ProxyHeader.ts"
import type { NoSeat } from "./Seats.ts"
import type { Look } from "./ServerStatus.ts"

/** The session did not become Ready in time. */
export class LoginTimedOut extends Schema.TaggedError<LoginTimedOut>()("LoginTimedOut", {}) {}

/** The server stops, and nobody has logged in here. */
export class StoppedBeforeLogin extends Schema.TaggedError<StoppedBeforeLogin>()("StoppedBeforeLogin", {}) {}

export type ConnectionError =
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
export interface Story {
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

export const lookAt =
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

export const logEnd = Effect.fnUntraced(function* (story: Story, exit: Exit.Exit<State.CloseReason, ConnectionError>) {
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

export interface End {
  readonly outcome: EndReason
  /** more of it, in words of ours */
  readonly detail?: string
}

export const hasDefect = (cause: Cause.Cause<unknown>): boolean => cause.reasons.some((reason) => reason._tag === "Die")

export const endOf = (story: Story, exit: Exit.Exit<State.CloseReason, ConnectionError>): End =>
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
