/**
 * What drives one connection's session machine, as it stands: the machine's state, and all that acts for it.
 */
import { type Cause, Effect, Queue, type Scope } from "effect"
import type * as Bytes from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type * as Transport from "../domain/channel/Transport.ts"
import { inboxFramesMax } from "../domain/limits.ts"
import type { Grant } from "../domain/session/Grant.ts"
import * as Session from "../domain/session/Session.ts"
import type * as State from "../domain/session/SessionState.ts"
import * as Watchdog from "../domain/session/Watchdog.ts"
import type { FrameRefused } from "../domain/wire/Frame.ts"
import type * as Message from "../domain/wire/Message.ts"
import type { ConnectionError, Story } from "./ConnectionStory.ts"
import * as Login from "./Login.ts"
import type { Member, Met } from "./Members.ts"
import * as PasswordChange from "./PasswordChange.ts"
import type { Seat } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import type * as SessionWatch from "./SessionWatch.ts"

/** Ends the connection, whatever it is about. The first end counts. */
export type Cut = (cause: Cause.Cause<ConnectionError>) => void

/** An input for the machine, and the content that came with it. */
export interface Item {
  readonly input: State.SessionInput
  readonly content: Bytes.Parts
}

/** Of an input that came with no content. */
export const nothing: Bytes.Parts = []

export const item = (input: State.SessionInput, content: Bytes.Parts = nothing): Item => ({ input, content })

/** Why nothing more comes in. */
export type InboxError = ChannelFailed | FrameRefused | Message.MessageRefused

/**
 * A connection that has begun to speak, as it stands: the machine's state and what drives it. The functions that take
 * one are there once; closures and generators of each connection's own were a third of what an idle session took.
 */
export interface Driver {
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

export const makeDriver = Effect.fnUntraced(function* (
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

/** Steps the machine and acts, until its outputs and the results of its actions are used up. */
export const handle = Effect.fnUntraced(function* <E, R>(
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

export const closeReason = (state: State.Session): State.CloseReason =>
  state._tag === "Closed" ? state.reason : "ended-early"
