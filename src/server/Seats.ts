/**
 * How many connections there may be: in all and from one address, before login and after it, and of one account.
 *
 * A seat is taken before a byte is read and given back by the connection's scope, so that neither a key exchange nor
 * memory can be had for nothing. Where a limit is reached, a newcomer gets the seat of a connection that has not logged
 * in: strangers who say nothing cannot keep anybody out. Those who spend counted guesses can keep new addresses out for
 * `attemptMillisecondsMax` a guess.
 */
import { Clock, Context, Deferred, Effect, Layer, Schema, type Scope } from "effect"
import { attemptMillisecondsMax, trustedAddressesMax } from "../domain/limits.ts"
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
  /** Fails when a newcomer gets the seat; never after the login. */
  readonly lost: Effect.Effect<never, NoSeat>
}

/** Port: gives out the seats of a server. A seat is held by a scope, and looking for one and taking it is one step. */
export class Seats extends Context.Service<
  Seats,
  {
    readonly take: (peer: Peer) => Effect.Effect<Seat, NoSeat, Scope.Scope>
    /** Connections now, and those before login among them. */
    readonly count: Effect.Effect<{ readonly all: number; readonly beforeLogin: number }>
  }
>()("paradrop/server/Seats") {
  static readonly layer: Layer.Layer<Seats> = Layer.effect(Seats, Effect.map(ServerLimits, make))
}

/** A connection that has not logged in. */
interface Waiting {
  peer: Peer
  /** when it came, counted: the lower, the longer it waits */
  readonly turn: number
  /** an index of `steps` */
  step: number
  /** when it began to try, milliseconds since 1970 */
  tryingSince: number
  readonly lost: Deferred.Deferred<never, NoSeat>
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
    count(allByAddress, one.peer.key, 1)
    count(waitingByAddress, one.peer.key, 1)
    waiting.add(one)
  }

  const stopWaiting = (one: Waiting): void => {
    waiting.delete(one)
    count(waitingByAddress, one.peer.key, -1)
  }

  const leave = (one: Waiting): void => {
    if (waiting.has(one)) stopWaiting(one)
    all -= 1
    count(allByAddress, one.peer.key, -1)
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
    const crowd = ({ key }: Peer) => (waitingByAddress.get(key) ?? 0) + (key === newcomer.key ? 1 : 0)
    let victim: { readonly one: Waiting; readonly rank: Rank } | undefined
    for (const one of waiting) {
      const known = spared(one.peer)
      if (sameAddress && one.peer.key !== newcomer.key) continue
      if (known && !welcome) continue
      // A try costs its address one of few: let it end, or nobody gets in where many log in at once.
      const busy = one.step === trying && now - one.tryingSince < attemptMillisecondsMax
      if (busy && (known || !welcome)) continue
      const rank: Rank = [known ? 1 : 0, -crowd(one.peer), one.step, one.turn]
      if (victim === undefined || before(rank, victim.rank)) victim = { one, rank }
    }
    return victim?.one
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
  const makeRoom = (peer: Peer, now: number): Effect.Effect<void, NoSeat> =>
    Effect.suspend(() => {
      const limit = reached(peer)
      if (limit === undefined) return Effect.void
      const victim = victimOf(peer, limit.sameAddress, now)
      if (victim === undefined) return Effect.fail(new NoSeat({ reason: limit.reason }))
      leave(victim)
      Deferred.doneUnsafe(victim.lost, Effect.fail(new NoSeat({ reason: "made-room" })))
      // Again: a limit that was lowered meanwhile may ask for more room than one.
      return makeRoom(peer, now)
    })

  const seatOf = (one: Waiting, account: { user: string | undefined }): Seat => ({
    lost: Deferred.await(one.lost),
    move: (peer) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (!waiting.has(one)) return Effect.fail(new NoSeat({ reason: "made-room" }))
        leave(one)
        one.peer = peer
        return Effect.map(makeRoom(peer, now), () => enter(one))
      }),
    advance: (progress) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        one.step = Math.max(one.step, steps.indexOf(progress))
        if (progress === "trying") one.tryingSince = now
      }),
    admit: (user) =>
      Effect.suspend(() => {
        if (account.user !== undefined) return Effect.void
        if (!waiting.has(one)) return Effect.fail(new NoSeat({ reason: "made-room" }))
        if ((byAccount.get(user) ?? 0) >= limits.sessionsPerAccount) {
          return Effect.fail(new NoSeat({ reason: "too-many-of-account" }))
        }
        stopWaiting(one)
        count(byAccount, user, 1)
        trust(one.peer.key)
        account.user = user
        return Effect.void
      })
  })

  const take = Effect.fnUntraced(function* (peer: Peer): Effect.fn.Return<Seat, NoSeat, Scope.Scope> {
    const now = yield* Clock.currentTimeMillis
    const lost = yield* Deferred.make<never, NoSeat>()
    const one: Waiting = { peer, turn: (turns += 1), step: 0, tryingSince: 0, lost }
    const account: { user: string | undefined } = { user: undefined }
    // Looking and taking are one step: connections that come at once cannot share the last seat.
    yield* Effect.acquireRelease(
      Effect.map(makeRoom(peer, now), () => enter(one)),
      () =>
        Effect.sync(() => {
          // A seat that went to a newcomer was given back then.
          if (account.user === undefined && !waiting.has(one)) return
          leave(one)
          if (account.user !== undefined) count(byAccount, account.user, -1)
        })
    )
    return seatOf(one, account)
  })

  return { take, count: Effect.sync(() => ({ all, beforeLogin: waiting.size })) }
}

/** The lower, the sooner it makes room; the first figure that differs decides. */
type Rank = readonly [known: number, crowd: number, step: number, turn: number]

const before = (a: Rank, b: Rank): boolean => {
  for (const [index, figure] of a.entries()) {
    const other = b[index] ?? 0
    if (figure !== other) return figure < other
  }
  return false
}

/** Counts up or down, and forgets what is at zero. */
const count = (counts: Map<string, number>, key: string, change: 1 | -1): void => {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
