/**
 * What flows through one session: measured, kept to its share of the bandwidth, and held to a minimum rate.
 */
import { Effect, Schema } from "effect"
import { lengthOf } from "../domain/Bytes.ts"
import { keepAliveMilliseconds, ownWorkBytesPerSecondMin } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { FrameChannel, Traffic } from "../domain/session/FrameChannel.ts"
import type { Session } from "../domain/session/SessionState.ts"
import { connectionId, type Frame } from "../domain/wire/Frame.ts"
import type { Direction, Share } from "./Bandwidth.ts"
import type { AliveMeanwhile } from "./KeepAlive.ts"
import * as LiveWait from "./LiveWait.ts"
import * as Patience from "./Patience.ts"
import * as RateMeter from "./RateMeter.ts"
import { ServerLimits } from "./ServerLimits.ts"
import type { SessionStatus } from "./ServerStatus.ts"
import * as TransferProgress from "./TransferProgress.ts"

/** A transfer was slower than the minimum for too long. What has come of it is kept. */
export class TooSlow extends Schema.TaggedError<TooSlow>()("TooSlow", {}) {}

export interface Flow {
  /** What a status shows of it. */
  readonly status: (
    now: number
  ) => Pick<SessionStatus, "received" | "receivedPerSecond" | "sent" | "sentPerSecond" | "transfer">
  readonly traffic: () => Readonly<Traffic>
  /** Follows the machine. */
  readonly step: (step: TransferProgress.Step) => void
  /** So many bytes of the live file are now in the new one. */
  readonly copied: (bytes: number) => void
  /** The channel, with this flow; its bytes wait for the share that is joined. */
  readonly through: (channel: FrameChannel, aliveMeanwhile: AliveMeanwhile) => FrameChannel
  readonly share: (share: Share) => void
  /** Takes the peer's next message; in a state in which content is due the time counts against the peer. */
  readonly awaited: <A, E>(state: Session, next: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Tells that a transfer was too slow; the first time counts. */
  readonly whenTooSlow: (tell: (error: TooSlow) => void) => void
}

const contentOf = (frames: ReadonlyArray<Frame>): number =>
  frames.reduce((total, frame) => total + (frame.kind === "content" ? lengthOf(frame.parts) : 0), 0)

/** Whether these say that the peer lives, and nothing else: all that a client may say of the connection is Ping. */
const isSignOfLife = (frames: ReadonlyArray<Frame>): boolean =>
  frames.length > 0 && frames.every(({ id, kind }) => kind === "message" && id === connectionId)

const nothing: Readonly<Traffic> = { received: 0, sent: 0 }

const waited = (share: Share, direction: Direction): Effect.Effect<void> =>
  LiveWait.all(() => {
    const left = share.left(direction)
    return left < 1 ? 0 : left
  })

export const make: Effect.Effect<Flow> = Effect.gen(function* () {
  const limits = yield* ServerLimits
  const time = yield* Monotonic.clock
  let tell: (error: TooSlow) => void = () => {}
  let traffic = nothing
  let progress: TransferProgress.Progress | undefined
  let received = RateMeter.silent
  let sent = RateMeter.silent
  let share: Share | undefined
  let patience = Patience.whole
  // Since when content of the peer is due; undefined while it is not.
  let dueSince: number | undefined
  // The peer's last sign of life, what it may still claim for work of its own, and what it has claimed: milliseconds.
  let signAt = 0
  let claimable: number | undefined
  let claimed = 0

  const minimum = (): Patience.Minimum => ({
    bytesPerSecond: limits.minimumBytesPerSecond,
    windowMilliseconds: limits.minimumRateMilliseconds
  })

  /** So many bytes of a file moved, and the peer was waited for. */
  const settle = (milliseconds: number, bytes: number): void => {
    patience = Patience.used(patience, minimum(), milliseconds, bytes)
    if (Patience.isOver(patience, minimum())) tell(new TooSlow())
  }

  /** For as long as to read its file at the lowest rate, and the time for which a session may be idle. */
  const claimableFor = (size: number): number => limits.idleMilliseconds + (size * 1000) / ownWorkBytesPerSecondMin

  /** A peer that compares or copies files of its own is silent but for its signs of life: that does not count. */
  const claim = (): void => {
    const now = time()
    // One that comes late speaks for no more than three.
    const milliseconds = Math.min(now - signAt, 3 * keepAliveMilliseconds, claimable ?? 0)
    signAt = now
    if (claimable !== undefined) claimable -= milliseconds
    claimed += milliseconds
  }

  /** Takes bytes of the share: what is to be waited for first, undefined where nothing is. */
  const pause = (direction: Direction, bytes: number): Effect.Effect<void> | undefined =>
    share === undefined || share.take(direction, bytes) < 1 ? undefined : waited(share, direction)

  const through: Flow["through"] = (channel, aliveMeanwhile) => {
    traffic = channel.traffic
    let { received: receivedBefore, sent: sentBefore } = channel.traffic
    const sending = (frame: Frame, content: number) =>
      Effect.suspend(() => {
        const [since, claimedBefore] = [time(), claimed]
        return Effect.map(channel.send(frame), () => {
          sent = RateMeter.add(sent, time(), channel.traffic.sent - sentBefore)
          sentBefore = channel.traffic.sent
          if (content === 0) return
          progress = TransferProgress.moved(progress, content)
          settle(Math.max(0, time() - since - (claimed - claimedBefore)), content)
        })
      })
    return {
      ...channel,
      receive: Effect.suspend(() => {
        const [since, claimedBefore] = [time(), claimed]
        return Effect.flatMap(channel.receive, (frames) => {
          if (frames !== undefined && isSignOfLife(frames)) claim()
          else signAt = time()
          if (dueSince !== undefined) {
            const waited = time() - Math.max(since, dueSince) - (claimed - claimedBefore)
            settle(Math.max(0, waited), contentOf(frames ?? []))
          }
          const bytes = channel.traffic.received - receivedBefore
          receivedBefore = channel.traffic.received
          received = RateMeter.add(received, time(), bytes)
          // Whoever does not read on makes the peer wait: the network holds no more than its buffers.
          const wait = pause("received", bytes)
          return wait === undefined ? Effect.succeed(frames) : Effect.as(aliveMeanwhile(wait), frames)
        })
      }),
      send: (frame) =>
        Effect.suspend(() => {
          const content = frame.kind === "content" ? lengthOf(frame.parts) : 0
          const wait = content > 0 ? pause("sent", content) : undefined
          if (wait === undefined) return sending(frame, content)
          const unsent = Effect.sync(() => share?.giveBack("sent"))
          return Effect.andThen(
            Effect.onInterrupt(aliveMeanwhile(wait), () => unsent),
            sending(frame, content)
          )
        })
    }
  }

  return {
    status: (now) => ({
      received: traffic.received,
      sent: traffic.sent,
      receivedPerSecond: RateMeter.read(received, now),
      sentPerSecond: RateMeter.read(sent, now),
      ...(progress !== undefined && { transfer: progress })
    }),
    traffic: () => traffic,
    step: (step) => {
      progress = TransferProgress.step(progress, step)
      if (step.outputs.some(TransferProgress.begins)) {
        patience = Patience.whole
        signAt = time()
        claimable = undefined
      } else settle(0, TransferProgress.copiedBy(step.outputs))
      if (progress?.size !== undefined) claimable ??= claimableFor(progress.size)
    },
    copied: (bytes) => void (progress = TransferProgress.moved(progress, bytes)),
    through,
    share: (joined) => void (share = joined),
    awaited: (state, next) =>
      state._tag !== "Transferring" || !(state.transfer._tag === "Receiving" || state.transfer._tag === "Gathering")
        ? next
        : Effect.suspend(() => {
            dueSince = time()
            return next
          }).pipe(Effect.ensuring(Effect.sync(() => (dueSince = undefined)))),
    whenTooSlow: (told) => void (tell = told)
  }
})
