/**
 * Tells a client that the server is alive while work of the server's own takes long: a signature, a copy, an fsync.
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

export const make = (channel: FrameChannel, watchdog: Watchdog): Effect.Effect<AliveMeanwhile, never, Scope.Scope> =>
  Effect.map(Effect.scope, (connection) => {
    let pending = false
    // Sent beside the work: an interrupted send would end the channel, and a commit must not wait for a slow reader.
    const alive = Effect.suspend(() => {
      if (pending) return Effect.void
      pending = true
      const body = Message.Server.encode({ _tag: "Pong" })
      return channel
        .send({ kind: "message", id: connectionId, body })
        .pipe(Effect.ignore, Effect.ensuring(Effect.sync(() => void (pending = false))), Effect.forkIn(connection))
    })
    const now = Effect.forever(Effect.andThen(Effect.sleep(keepAliveMilliseconds), alive))
    return (work) => watchdog.exempt(Effect.raceFirst(work, now))
  })
