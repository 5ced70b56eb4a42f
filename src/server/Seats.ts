/**
 * How many connections there may be: in all and from one address, before login and after it, and of one account.
 *
 * A seat is taken before a byte is read and given back by the connection's scope, so that neither a key exchange nor
 * memory can be had for nothing.
 */
import { Context, Effect, Layer, Random, Schema, type Scope } from "effect"
import { trustedAddressesMax } from "../domain/limits.ts"
import type { Peer } from "./Peer.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** There is no seat. The connection is closed without an answer. */
export class NoSeat extends Schema.TaggedError<NoSeat>()("NoSeat", {
  reason: Schema.Literals([
    "server-full",
    "too-many-before-login",
    "too-many-from-address",
    "too-many-of-address",
    "too-many-of-account",
    "dropped-early"
  ])
}) {
  override get message(): string {
    return `no seat: ${this.reason}`
  }
}

/** A place of one connection among those that the server serves at once. */
export interface Seat {
  /**
   * The login succeeded: the seat no longer counts as one before login, and the address is remembered. Fails when the
   * account has as many sessions as it may. Once for each seat.
   */
  readonly admit: (user: string) => Effect.Effect<void, NoSeat>
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
  static readonly layer: Layer.Layer<Seats> = Layer.effect(
    Seats,
    Effect.gen(function* () {
      const limits = yield* ServerLimits
      const beforeLoginByAddress = new Map<string, number>()
      const allByAddress = new Map<string, number>()
      const byAccount = new Map<string, number>()
      // In the order of their last login: the oldest is forgotten first.
      const trusted = new Set<string>()
      let all = 0
      let beforeLogin = 0

      const add = (key: string, change: 1 | -1): void => {
        beforeLogin += change
        count(beforeLoginByAddress, key, change)
      }

      const refusal = (peer: Peer, luck: number): NoSeat["reason"] | undefined => {
        const perAddress = peer.loopback ? limits.sessionsBeforeLoginFromLoopback : limits.sessionsBeforeLoginPerAddress
        if (all >= limits.sessions) return "server-full"
        if (beforeLogin >= limits.sessionsBeforeLogin) return "too-many-before-login"
        if ((beforeLoginByAddress.get(peer.key) ?? 0) >= perAddress) return "too-many-from-address"
        // Everyone on this machine shares loopback.
        if (!peer.loopback && (allByAddress.get(peer.key) ?? 0) >= limits.sessionsPerAddress)
          return "too-many-of-address"
        if (peer.loopback || trusted.has(peer.key)) return undefined
        // From half full on, strangers are dropped at random, ever more often: a flood cannot take every seat.
        const half = limits.sessionsBeforeLogin / 2
        return luck < (beforeLogin - half) / half ? "dropped-early" : undefined
      }

      const trust = (key: string): void => {
        trusted.delete(key)
        trusted.add(key)
        for (const oldest of trusted) {
          if (trusted.size <= trustedAddressesMax) break
          trusted.delete(oldest)
        }
      }

      const take = Effect.fnUntraced(function* (peer: Peer): Effect.fn.Return<Seat, NoSeat, Scope.Scope> {
        const luck = yield* Random.next
        let waiting = true
        let account: string | undefined
        // Looking and taking are one step: connections that come at once cannot share the last seat.
        yield* Effect.acquireRelease(
          Effect.suspend(() => {
            const reason = refusal(peer, luck)
            if (reason !== undefined) return Effect.fail(new NoSeat({ reason }))
            all += 1
            count(allByAddress, peer.key, 1)
            add(peer.key, 1)
            return Effect.void
          }),
          () =>
            Effect.sync(() => {
              all -= 1
              count(allByAddress, peer.key, -1)
              if (waiting) add(peer.key, -1)
              if (account !== undefined) count(byAccount, account, -1)
            })
        )
        const admit: Seat["admit"] = (user) =>
          Effect.suspend(() => {
            if (!waiting) return Effect.void
            if ((byAccount.get(user) ?? 0) >= limits.sessionsPerAccount) {
              return Effect.fail(new NoSeat({ reason: "too-many-of-account" }))
            }
            waiting = false
            account = user
            count(byAccount, user, 1)
            add(peer.key, -1)
            trust(peer.key)
            return Effect.void
          })
        return { admit }
      })
      return Seats.of({ take, count: Effect.sync(() => ({ all, beforeLogin })) })
    })
  )
}

/** Counts up or down, and forgets what is at zero. */
const count = (counts: Map<string, number>, key: string, change: 1 | -1): void => {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
