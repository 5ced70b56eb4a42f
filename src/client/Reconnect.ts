/**
 * Going on after a connection was lost: the session is made again, with patience, and the work is done once more.
 *
 * For work that may be done twice: transfers, which go on where they stopped, and questions. Whoever runs several at
 * once shares one new connection, and one patience.
 */
import { Context, Effect, Result, Schedule } from "effect"
import { reconnectMilliseconds, reconnectsMax, reconnectTriesMax, settledMilliseconds } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { ConnectionLost, RequestRefused } from "./ClientError.ts"
import type { ClientSession } from "./ClientSession.ts"
import { Reporter } from "./Reporter.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

/** Whether lost connections are made again by themselves: in the shell. One call says so and ends, for its caller. */
export class Persistence extends Context.Reference<boolean>("paradrop/client/Persistence", {
  defaultValue: () => false
}) {}

/** Whether another connection might do better. */
const isPassing = (error: NoSession): boolean => {
  switch (error._tag) {
    case "ConnectionLost":
      return !error.isFinal
    case "ConnectFailed":
      return error.reason !== "not-paradrop" && error.reason !== "other-version"
    case "LoginRejected":
      return true
    default:
      return false
  }
}

/** Why the session is of no more use, if it is not: a server that stops refuses what waits, and then closes. */
const lossOf = (error: unknown): ConnectionLost | undefined => {
  if (error instanceof ConnectionLost) return isPassing(error) ? error : undefined
  const stops = error instanceof RequestRefused && error.reason === "draining"
  return stops ? new ConnectionLost({ reason: "the server is about to stop" }) : undefined
}

/**
 * Does the work on the session that stands. When the connection is lost meanwhile it does it again on the next one, at
 * most `reconnectsMax` times; a connection that has held for `settledMilliseconds` starts the count anew.
 *
 * @param again false for work that may not be done twice: it is done again only when the server that stops has refused
 *   it, and so done nothing of it
 */
export const persistently = Effect.fnUntraced(function* <A, E, R>(
  work: (session: ClientSession) => Effect.Effect<A, E, R>,
  again: boolean = true
): Effect.fn.Return<A, E | NoSession, R | Reporter | Sessions> {
  const sessions = yield* Sessions
  let session = yield* sessions.session
  if (!(yield* Persistence)) return yield* work(session)
  let losses = 0
  while (true) {
    const began = yield* Monotonic.now
    const outcome = yield* Effect.result(work(session))
    if (Result.isSuccess(outcome)) return outcome.success
    const error = outcome.failure
    const lost = lossOf(error)
    // Of what was on its way when the connection was lost nobody knows whether it was done.
    if (lost === undefined || (!again && lost === error)) return yield* Effect.fail(error)
    losses = (yield* Monotonic.now) - began > settledMilliseconds ? 1 : losses + 1
    if (losses > reconnectsMax) return yield* Effect.fail(error)
    session = yield* nextAfter(lost)
  }
})

/**
 * The sessions of one command. One that was lost since the first, and that no request has found lost, is made again
 * with the same patience: as while a command reads a large folder here.
 */
export const ofOneCommand = Effect.fnUntraced(function* (
  all: Sessions["Service"]
): Effect.fn.Return<Sessions["Service"], never, Reporter> {
  const { note } = yield* Reporter
  let begun = false
  const first = Effect.tap(all.session, () => Effect.sync(() => void (begun = true)))
  const next = all.renewed((connect) => patiently(connect, note, "the connection was lost"))
  return { ...all, session: Effect.suspend(() => (begun ? next : first)) }
})

/** The next session: the one that another has made meanwhile, or a new one, tried for again and again. */
const nextAfter = Effect.fnUntraced(function* (
  lost: ConnectionLost
): Effect.fn.Return<ClientSession, NoSession, Reporter | Sessions> {
  const sessions = yield* Sessions
  const { note } = yield* Reporter
  return yield* sessions.renewed((connect) => patiently(connect, note, `the connection was lost (${lost.reason})`))
})

const patiently = Effect.fnUntraced(function* (
  connect: Effect.Effect<ClientSession, NoSession>,
  note: Reporter["Service"]["note"],
  why: string
): Effect.fn.Return<ClientSession, NoSession> {
  yield* note(`${why}: connecting again`, "bad")
  const session = yield* Effect.retry(connect, {
    while: isPassing,
    schedule: Schedule.exponential(reconnectMilliseconds),
    times: reconnectTriesMax - 1
  })
  yield* note("connected again: going on", "good")
  return session
})
