/**
 * How a connection is left, so that the last words arrive.
 */
import { Effect } from "effect"
import type * as Transport from "../domain/channel/Transport.ts"
import { goodbyeMillisecondsMax } from "../domain/limits.ts"
import type * as FrameChannel from "../domain/session/FrameChannel.ts"
import type { Frame } from "../domain/wire/Frame.ts"

/** Says the last word, when there is one, and closes. Never fails, and waits for the peer for a moment only. */
export const goodbye = (transport: Transport.Transport, channel: FrameChannel.FrameChannel, last: Frame | undefined) =>
  Effect.gen(function* () {
    if (last !== undefined) yield* channel.send(last)
    yield* channel.end
    yield* linger(transport)
  }).pipe(Effect.timeoutOption(goodbyeMillisecondsMax), Effect.ignore)

/** Closing while the peer still sends would make the network drop our last words: reads on for a moment. */
export const linger = (transport: Transport.Transport) =>
  Effect.andThen(transport.finish, transport.drain).pipe(Effect.timeoutOption(goodbyeMillisecondsMax), Effect.asVoid)
