/**
 * Tells a client that the server is alive while work of the server's own takes long: a signature, a copy, an fsync; and
 * while a record of the client's is long on its way.
 *
 * The peer is neither blamed for the time (the watchdog does not count it) nor left to think that the server is gone.
 */
import { Effect, type Scope } from "effect"
import { keepAliveMilliseconds } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { Watchdog } from "../domain/session/Watchdog.ts"
import { connectionId } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"

/** Runs work, and sends a Pong now and then until it ends. */
export type AliveMeanwhile = <A, E>(work: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** One Pong beside what goes on, unless the last is still on its way out. */
const pong = (channel: FrameChannel): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (connection) => {
    let pending = false
    // Sent beside the work: an interrupted send would end the channel, and a commit must not wait for a slow reader.
    return Effect.suspend(() => {
      if (pending) return Effect.void
      pending = true
      const body = Message.Server.encode({ _tag: "Pong" })
      return channel
        .send({ kind: "message", id: connectionId, body })
        .pipe(
          Effect.ignore,
          Effect.ensuring(Effect.sync(() => void (pending = false))),
          Effect.forkIn(connection),
          Effect.asVoid
        )
    })
  })

/** What is to run for each part of a record that is long on its way: the client hears now and then that it comes. */
export const whileReceiving = (
  channel: FrameChannel,
  watchdog: Watchdog
): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(pong(channel), (alive) => Effect.suspend(() => (watchdog.partly() ? alive : Effect.void)))

export const make = (channel: FrameChannel, watchdog: Watchdog): Effect.Effect<AliveMeanwhile, never, Scope.Scope> =>
  Effect.map(pong(channel), (alive) => {
    const now = Effect.forever(Effect.andThen(Effect.sleep(keepAliveMilliseconds), alive))
    // The work runs where it is, so that what it dies of is known also when it is interrupted.
    return (work) =>
      watchdog.exempt(
        Effect.acquireUseRelease(
          Effect.forkChild(now),
          () => work,
          (telling) => Effect.sync(() => telling.interruptUnsafe())
        )
      )
  })
