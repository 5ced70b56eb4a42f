/**
 * Frames over a secure channel: what both ends of a session speak once the login is done.
 */
import { Effect } from "effect"
import * as Bytes from "../Bytes.ts"
import type { ChannelFailed } from "../channel/ChannelError.ts"
import type { SecureChannel } from "../channel/SecureChannel.ts"
import * as Frame from "../wire/Frame.ts"
import type { Watchdog } from "./Watchdog.ts"

/** Running totals of content and framing, in bytes of plaintext. */
export interface Traffic {
  received: number
  sent: number
}

/** One end's frames over its secure channel. */
export interface FrameChannel {
  /** The frames of the next record, or undefined at the proved end of the peer's stream. One caller at a time. */
  readonly receive: Effect.Effect<ReadonlyArray<Frame.Frame> | undefined, ChannelFailed | Frame.FrameRefused>
  /** Sends one frame in a record of its own; returns when the transport has taken it. */
  readonly send: (frame: Frame.Frame) => Effect.Effect<void, ChannelFailed>
  /** Proves the end of our stream. */
  readonly end: Effect.Effect<void, ChannelFailed>
  readonly traffic: Readonly<Traffic>
}

/** The same before anybody watches or counts what is sent. */
export interface BareFrameChannel extends FrameChannel {
  /** Sends frames in one record: together at most `recordPlaintextBytesMax` bytes and `recordFramesMax` frames. */
  readonly sendTogether: (frames: ReadonlyArray<Frame.Frame>) => Effect.Effect<void, ChannelFailed>
  /** Sends a sign of life: that a socket takes it tells nothing of the peer, so it is no progress. */
  readonly sign: (frame: Frame.Frame) => Effect.Effect<void, ChannelFailed>
}

/**
 * Frames over that channel; every record that moves tells the watchdog, but for signs of life of our own.
 *
 * @param heard told that a record has come
 */
export const make = (channel: SecureChannel, watchdog: Watchdog, heard = watchdog.progress): BareFrameChannel => {
  const traffic: Traffic = { received: 0, sent: 0 }
  const sendTogether = (frames: ReadonlyArray<Frame.Frame>): Effect.Effect<void, ChannelFailed> =>
    Effect.map(channel.send(frames.flatMap(Frame.encode)), () => {
      watchdog.progress()
      for (const frame of frames) traffic.sent += Frame.encodedLength(frame)
    })
  const sign = (frame: Frame.Frame): Effect.Effect<void, ChannelFailed> =>
    Effect.map(channel.send(Frame.encode(frame)), () => void (traffic.sent += Frame.encodedLength(frame)))
  return {
    traffic,
    sendTogether,
    sign,
    receive: Effect.flatMap(channel.receive, (received) => {
      heard()
      if (received._tag === "End") return Effect.undefined
      traffic.received += Bytes.lengthOf(received.plaintext)
      return Effect.fromResult(Frame.decodeAll(received.plaintext))
    }),
    send: (frame) => Effect.map(sign(frame), watchdog.progress),
    end: channel.end
  }
}
