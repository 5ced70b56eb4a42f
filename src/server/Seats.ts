/**
 * How many connections there may be: in all and from one address, before login and after it, and of one account.
 *
 * A seat is taken before a byte is read and given back by the connection's scope, so that neither a key exchange nor
 * memory can be had for nothing. Where a limit is reached, a newcomer gets the seat of a connection that has not logged
 * in: strangers who say nothing cannot keep anybody out. Those who spend counted guesses can keep new addresses out for
 * `attemptMillisecondsMax` a guess.
 */
import { Context, Effect, Layer, Result, Schema, type Scope } from "effect"
import { attemptMillisecondsMax, trustedAddressesMax } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** There is no seat, or no longer. The connection is closed without an answer. */
export class NoSeat extends Schema.TaggedError<NoSeat>()("NoSeat", {
  reason: Schema.Literals([
    "server-full",
    "too-many-before-login",
    "too-many-from-address",
    "too-many-of-address",
    "too-many-of-account",
    "made-room"
  ])
}) {
  override get message(): string {
    return `no seat: ${this.reason}`
  }
}

const steps = ["silent", "greeted", "trying"] as const
/** How far a connection has come before login, each step dearer than the one before: nothing, keys, a counted try. */
export type Progress = (typeof steps)[number]

/** A place of one connection among those that the server serves at once. */
export interface Seat {
  /** The connection has come so far: those who have not give up their seats before it. Never back. */
  readonly advance: (progress: Progress) => Effect.Effect<void>
  /**
   * It is of another peer than it seemed: a proxy has said so. Fails when that one finds no seat, or this one is gone.
   */
  readonly move: (peer: Peer) => Effect.Effect<void, NoSeat>
  /**
   * The login succeeded: the seat no longer counts as one before login, and the address is remembered. Fails when the
   * account has as many sessions as it may, or the seat is gone. Once for each seat.
   */
  readonly admit: (user: string) => Effect.Effect<void, NoSeat>
  /**
   * Tells when a newcomer gets the seat, at once when one has it, and never after the login; instead of whoever was to
   * be told before.
   */
  readonly whenLost: (tell: () => void) => void
}

/** A seat that nothing gives back but its holder. */
export interface HeldSeat extends Seat {
  /** Once or more: the seat is somebody else's afterwards. */
  readonly giveBack: () => void
}

/** Port: gives out the seats of a server. Looking for a seat and taking it is one step. */
export class Seats extends Context.Service<
  Seats,
  {
    /** A seat that the scope gives back. */
    readonly take: (peer: Peer) => Effect.Effect<Seat, NoSeat, Scope.Scope>
    /**
     * A seat at once and outside of any effect: thousands of strangers a second must cost next to nothing.
     *
     * @param now milliseconds of the clock that never goes back
     */
    readonly hold: (peer: Peer, now: number) => Result.Result<HeldSeat, NoSeat["reason"]>
    /** Connections now, and those before login among them. */
    readonly count: Effect.Effect<{ readonly all: number; readonly beforeLogin: number }>
  }
>()("paradrop/server/Seats") {
  static readonly layer: Layer.Layer<Seats> = Layer.effect(Seats, Effect.map(ServerLimits, make))
}

/** A connection that has not logged in; after that it only keeps its seat. */
interface Waiting {
  peer: Peer
  /** when it came, counted: the lower, the longer it waits */
  readonly turn: number
  /** an index of `steps` */
  step: number
  /** when it began to try, milliseconds of the clock that never goes back */
  tryingSince: number
  /** the account, once it is no longer waiting */
  user: string | undefined
  /** who is told that the seat is lost */
  tell: () => void
}

const trying = steps.indexOf("trying")

function make(limits: ServerLimits): Seats["Service"] {
  const waiting = new Set<Waiting>()
  const waitingByAddress = new Map<string, number>()
  const allByAddress = new Map<string, number>()
  const byAccount = new Map<string, number>()
  // In the order of their last login: the oldest is forgotten first.
  const trusted = new Set<string>()
  let all = 0
  let turns = 0

  const enter = (one: Waiting): void => {
    all += 1
    countPeer(allByAddress, one.peer, 1)
    countPeer(waitingByAddress, one.peer, 1)
    waiting.add(one)
  }

  const stopWaiting = (one: Waiting): void => {
    waiting.delete(one)
    countPeer(waitingByAddress, one.peer, -1)
  }

  const leave = (one: Waiting): void => {
    if (waiting.has(one)) stopWaiting(one)
    all -= 1
    countPeer(allByAddress, one.peer, -1)
  }

  // Everyone on a machine shares its loopback: one of them that has logged in says nothing about another.
  const spared = (peer: Peer): boolean => !peer.loopback && trusted.has(peer.key)

  /** Connections of its address: before login, and in all. Everyone on this machine shares loopback. */
  const addressLimits = (peer: Peer): readonly [number, number] => {
    // Its connections are counted by address once it has said whose they are.
    if (peer.proxy) return [Infinity, Infinity]
    return peer.loopback
      ? [limits.sessionsBeforeLoginFromLoopback, Infinity]
      : [limits.sessionsBeforeLoginPerAddress, limits.sessionsPerAddress]
  }

  /** The limit that one more of this peer would break, and of whom there are too many. */
  const reached = (peer: Peer): { reason: NoSeat["reason"]; sameAddress: boolean } | undefined => {
    const [before, inAll] = addressLimits(peer)
    if ((waitingByAddress.get(peer.key) ?? 0) >= before) return { reason: "too-many-from-address", sameAddress: true }
    if ((allByAddress.get(peer.key) ?? 0) >= inAll) return { reason: "too-many-of-address", sameAddress: true }
    if (all >= limits.sessions) return { reason: "server-full", sameAddress: false }
    if (waiting.size >= limits.sessionsBeforeLogin) return { reason: "too-many-before-login", sameAddress: false }
    return undefined
  }

  /** Who makes room: not who has logged in before, of the most crowded address, who has come least far, the oldest. */
  const victimOf = (newcomer: Peer, sameAddress: boolean, now: number): Waiting | undefined => {
    const welcome = spared(newcomer)
    let victim: Waiting | undefined
    let least: Rank | undefined
    for (const one of waiting) {
      const { key, proxy } = one.peer
      if (sameAddress && (proxy || key !== newcomer.key)) continue
      const known = spared(one.peer)
      if (known && !welcome) continue
      // A try costs its address one of few: let it end, or nobody gets in where many log in at once.
      const busy = one.step === trying && now - one.tryingSince < attemptMillisecondsMax
      if (busy && (known || !welcome)) continue
      // Of whom a proxy has yet to tell, nobody knows a crowd.
      const crowd = proxy ? 1 : (waitingByAddress.get(key) ?? 0) + (key === newcomer.key ? 1 : 0)
      if (least !== undefined && !before(known, crowd, one, least)) continue
      victim = one
      least = { known, crowd, step: one.step, turn: one.turn }
    }
    return victim
  }

  const trust = (key: string): void => {
    trusted.delete(key)
    trusted.add(key)
    for (const oldest of trusted) {
      if (trusted.size <= trustedAddressesMax) break
      trusted.delete(oldest)
    }
  }

  /** Makes room for one more, or says why there is none. */
  const makeRoom = (peer: Peer, now: number): NoSeat["reason"] | undefined => {
    // Again and again: a limit that was lowered meanwhile may ask for more room than one.
    for (let limit = reached(peer); limit !== undefined; limit = reached(peer)) {
      const victim = victimOf(peer, limit.sameAddress, now)
      if (victim === undefined) return limit.reason
      leave(victim)
      victim.tell()
    }
    return undefined
  }

  const move = (one: Waiting, peer: Peer, now: number): NoSeat["reason"] | undefined => {
    if (!waiting.has(one)) return "made-room"
    leave(one)
    one.peer = peer
    const none = makeRoom(peer, now)
    if (none === undefined) enter(one)
    return none
  }

  const admit = (one: Waiting, user: string): NoSeat["reason"] | undefined => {
    if (one.user !== undefined) return undefined
    if (!waiting.has(one)) return "made-room"
    if ((byAccount.get(user) ?? 0) >= limits.sessionsPerAccount) return "too-many-of-account"
    stopWaiting(one)
    count(byAccount, user, 1)
    trust(one.peer.key)
    one.user = user
    return undefined
  }

  /** A seat that went to a newcomer was given back then. */
  const giveBack = (one: Waiting): void => {
    if (one.user === undefined && !waiting.has(one)) return
    leave(one)
    if (one.user !== undefined) count(byAccount, one.user, -1)
    one.user = undefined
  }

  const whenLost = (one: Waiting, tell: Waiting["tell"]): void => {
    if (one.user === undefined && !waiting.has(one)) tell()
    else one.tell = tell
  }

  const seatOf = (one: Waiting): HeldSeat => ({
    whenLost: (tell) => whenLost(one, tell),
    move: (peer) => Effect.flatMap(Monotonic.now, (now) => orFail(move(one, peer, now))),
    advance: (progress) =>
      Effect.map(Monotonic.now, (now) => {
        one.step = Math.max(one.step, steps.indexOf(progress))
        if (progress === "trying") one.tryingSince = now
      }),
    admit: (user) => Effect.suspend(() => orFail(admit(one, user))),
    giveBack: () => giveBack(one)
  })

  const hold = (peer: Peer, now: number): Result.Result<HeldSeat, NoSeat["reason"]> => {
    const none = makeRoom(peer, now)
    if (none !== undefined) return Result.fail(none)
    const one: Waiting = { peer, turn: (turns += 1), step: 0, tryingSince: 0, user: undefined, tell: () => {} }
    enter(one)
    return Result.succeed(seatOf(one))
  }

  const take = (peer: Peer): Effect.Effect<Seat, NoSeat, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.flatMap(Monotonic.now, (now) =>
        Effect.mapError(Effect.fromResult(hold(peer, now)), (reason) => new NoSeat({ reason }))
      ),
      ({ giveBack: back }) => Effect.sync(back)
    )

  return { take, hold, count: Effect.sync(() => ({ all, beforeLogin: waiting.size })) }
}

const orFail = (none: NoSeat["reason"] | undefined): Effect.Effect<void, NoSeat> =>
  none === undefined ? Effect.void : Effect.fail(new NoSeat({ reason: none }))

/** The first figure that differs decides who makes room: not who is known, then the largest crowd, then the lowest. */
interface Rank {
  readonly known: boolean
  readonly crowd: number
  readonly step: number
  readonly turn: number
}

/** Figures one by one: a rank for each that is looked at would cost more than the look. */
const before = (known: boolean, crowd: number, { step, turn }: Waiting, other: Rank): boolean => {
  if (known !== other.known) return other.known
  if (crowd !== other.crowd) return crowd > other.crowd
  return step === other.step ? turn < other.turn : step < other.step
}

/** By address; a proxy's connection is of none until its header is here. */
const countPeer = (counts: Map<string, number>, { key, proxy }: Peer, change: 1 | -1): void => {
  if (!proxy) count(counts, key, change)
}

/** Counts up or down, and forgets what is at zero. */
const count = (counts: Map<string, number>, key: string, change: 1 | -1): void => {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
