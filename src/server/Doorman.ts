/**
 * Lets connections in: each has its seat from the moment in which it is accepted, and is served from its first words.
 *
 * Strangers come by the thousand, and one must cost next to nothing. Until it has said what can be answered, a
 * connection is a socket, a seat and a line of the status: no fiber, no scope, nobody who looks on. It is seated, sent
 * away for a newcomer, or refused at once and outside of any effect; what the log and the metrics say of those who
 * never said enough, they say of many together, `endsToldMilliseconds` later.
 */
import { Clock, Context, Effect, Latch, Result, type Scope } from "effect"
import type { Parts } from "../domain/Bytes.ts"
import * as SecureChannel from "../domain/channel/SecureChannel.ts"
import { endsToldMilliseconds } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { EndReason } from "./EndReason.ts"
import * as LiveWait from "./LiveWait.ts"
import { log } from "./LogEvent.ts"
import * as Metrics from "./Metrics.ts"
import * as Peer from "./Peer.ts"
import { type HeldSeat, Seats } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { ServerStatus } from "./ServerStatus.ts"

/** A connection that the network has just handed over. */
export interface Caller {
  /** an IP address; undefined where there is none */
  readonly address: string | undefined
  /** Ends it without a word, whatever is under way. Called once at most. */
  readonly dismiss: () => void
}

/** What a connection brings along that was let in. */
export interface Arrived {
  readonly peer: Peer.Peer
  /** when it was accepted, milliseconds since 1970 */
  readonly since: number
  /** the same, milliseconds of the clock that never goes back: its deadlines go by that */
  readonly came: number
  /** whoever serves it gives this back */
  readonly seat: HeldSeat
}

/** A caller that has a seat and has not said enough. */
export interface Guest {
  /** Whether it can be served with what it has said so far, all of it. */
  readonly saidEnough: (start: Parts) => boolean
  /** It is served from now on; undefined when it has lost its seat meanwhile. */
  readonly enter: () => Arrived | undefined
  /** It has gone of its own accord. */
  readonly gone: (outcome: "connection-lost" | "truncated") => void
}

/** Whom a `SocketServer` may ask about each connection that it accepts, before it makes anything for it. */
export interface Doorman {
  /** Undefined: it found no seat and was dismissed. */
  readonly admit: (caller: Caller) => Guest | undefined
}

/**
 * The doorman of the server that runs. A `SocketServer` that asks it calls the handler of `run` with `Visitor` in the
 * context, once a guest has said enough; what was said is still to be read then. Nobody needs to ask: a connection that
 * comes without `Visitor` gets its seat from the handler.
 */
export const Doorman = Context.Reference<Doorman | undefined>("paradrop/server/Doorman", {
  defaultValue: () => undefined
})

/** The connection that is being served, when a doorman has let it in. */
export const Visitor = Context.Reference<Arrived | undefined>("paradrop/server/Doorman/Visitor", {
  defaultValue: () => undefined
})

interface Waiting {
  readonly peer: Peer.Peer
  /** when it came, milliseconds of the clock that never goes back */
  readonly came: number
  readonly seat: HeldSeat
  readonly dismiss: () => void
  readonly hide: () => void
}

interface Ended {
  readonly peer: Peer.Peer
  readonly outcome: EndReason
  readonly milliseconds: number
}

/** A doorman, and the end of its work: all who still wait are sent away. */
export const make: Effect.Effect<
  Doorman & { readonly close: Effect.Effect<void> },
  never,
  Scope.Scope | Seats | ServerStatus
> = Effect.gen(function* () {
  const [seats, status, limits] = [yield* Seats, yield* ServerStatus, yield* ServerLimits]
  const trusted = yield* Peer.TrustedProxies
  const clock = yield* Clock.Clock
  const time = yield* Monotonic.clock
  // In the order in which they came, which is that of their deadlines.
  const waiting = new Set<Waiting>()
  const told = yield* teller(() => waiting.size)
  const come = Latch.makeUnsafe(false)
  let closed = false

  const leave = (one: Waiting, outcome: EndReason): boolean => {
    const here = waiting.delete(one)
    if (here) {
      one.hide()
      one.seat.giveBack()
      told.end({ peer: one.peer, outcome, milliseconds: Math.round(time() - one.came) })
    }
    return here
  }

  const expel = (one: Waiting, outcome: EndReason): void => {
    if (leave(one, outcome)) one.dismiss()
  }

  const refuse = (peer: Peer.Peer, outcome: EndReason, { dismiss }: Caller): undefined => {
    told.end({ peer, outcome, milliseconds: 0 })
    dismiss()
  }

  const admit = (caller: Caller): Guest | undefined => {
    const peer = { ...Peer.fromAddress(caller.address), proxy: trusted(caller.address) }
    if (closed) return refuse(peer, "draining", caller)
    const [since, came] = [clock.currentTimeMillisUnsafe(), time()]
    const seat = seats.hold(peer, came)
    if (Result.isFailure(seat)) return refuse(peer, seat.failure, caller)
    const hide = status.show(() => ({ state: "before-login", peer: peer.address, since, ...noTraffic }))
    const one: Waiting = { peer, came, seat: seat.success, dismiss: caller.dismiss, hide }
    one.seat.whenLost(() => expel(one, "made-room"))
    waiting.add(one)
    told.changed()
    come.openUnsafe()
    return {
      // A proxy's header is short, and says whose connection it is.
      saidEnough: (start) => (peer.proxy ? start.length > 0 : SecureChannel.greeted(start)),
      enter: () => {
        if (!waiting.delete(one)) return undefined
        hide()
        told.changed()
        return { peer, since, came: one.came, seat: one.seat }
      },
      gone: (outcome) => void leave(one, outcome)
    }
  }

  const deadlines = Effect.gen(function* () {
    while (true) {
      const [oldest] = waiting
      if (oldest === undefined) {
        come.closeUnsafe()
        yield* come.await
        continue
      }
      const left = oldest.came + limits.loginMilliseconds - time()
      if (left > 0) yield* LiveWait.some(left)
      else expel(oldest, "login-timeout")
    }
  })
  yield* Effect.forkScoped(deadlines)

  const close = Effect.suspend(() => {
    closed = true
    for (const one of waiting) expel(one, "draining")
    return told.all
  })
  return { admit, close }
})

const noTraffic = { received: 0, sent: 0, receivedPerSecond: 0, sentPerSecond: 0 }

/** Tells the log and the metrics what has become of those who never said enough, many at once. */
const teller = Effect.fnUntraced(function* (waiting: () => number) {
  const news = Latch.makeUnsafe(false)
  let ended: Array<Ended> = []
  let counted = 0

  const all = Effect.gen(function* () {
    const some = ended
    ended = []
    const change = waiting() - counted
    counted += change
    yield* Metrics.sessions.change({ state: "before-login" }, change)
    for (const { milliseconds, outcome, peer } of some) {
      yield* Metrics.connectionEnded({ outcome })
      yield* log("connection-ended", "connection ended", {
        peer: peer.address,
        outcome,
        milliseconds,
        received: 0,
        sent: 0
      })
    }
  })
  const soon = Effect.sleep(endsToldMilliseconds)
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.andThen(
        news.await,
        Effect.andThen(soon, Effect.uninterruptible(Effect.suspend(() => (news.closeUnsafe(), all))))
      )
    )
  )
  return {
    end: (one: Ended): void => {
      ended.push(one)
      news.openUnsafe()
    },
    changed: (): void => void news.openUnsafe(),
    all: Effect.uninterruptible(all)
  }
})
