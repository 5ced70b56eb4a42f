/**
 * The sessions of accounts, so that a change of an account reaches those that are open.
 *
 * One look at the accounts each `accountsLookMilliseconds`, however many sessions there are. An account that is
 * disabled, removed or given another root ends its sessions, also when that is taken back before the look; other
 * rights and quotas hold from the next command on. A new password ends nothing: who had logged in had proved the old
 * one. One that was removed and added again is another account, as is one that took the public one's name.
 */
import { Context, Effect, Equal, Layer, type Scope } from "effect"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import { accountsLookMilliseconds } from "../domain/limits.ts"
import { Accounts, type AccountSummary, type Grants } from "../domain/session/Accounts.ts"
import type { Grant } from "../domain/session/Grant.ts"
import { publicUser } from "./PublicAccount.ts"
import type { FromServer } from "../domain/session/SessionState.ts"

/** One session of an account. */
export interface Member {
  /** what the account may do now */
  readonly grant: () => Grant
}

/** Which life of an account; undefined where the accounts cannot be read. */
export type Met = { readonly life: string | undefined } | undefined

/** Port: who is logged in. A member is one until its scope closes. */
export class Members extends Context.Service<
  Members,
  {
    /** Which account it is now. Asked before the password is proved: another may have the name when that is done. */
    readonly meet: (user: UserName) => Effect.Effect<Met>
    /**
     * @param grant what the account could do when the session logged in
     * @param told takes what the session must know; it never waits
     * @param met which account has proved its password; where it is not said, the one that is there now
     */
    readonly join: (
      user: UserName,
      grant: Grant,
      told: (change: FromServer) => Effect.Effect<void>,
      met?: Met
    ) => Effect.Effect<Member, never, Scope.Scope>
  }
>()("paradrop/server/Members") {
  static readonly layer: Layer.Layer<Members, never, Accounts> = Layer.effect(
    Members,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const joined = new Set<Joined>()
      // Of the same list once: there may be thousands of accounts, and one look for each login.
      let last: { readonly of: ReadonlyArray<AccountSummary>; readonly made: Made } = { of: [], made: new Map() }
      const made = Effect.gen(function* () {
        const all = yield* accounts.list
        // Without accounts there is the public one: what was between two looks was another life of it.
        if (all.length === 0) return new Map([[publicUser, yield* accounts.edition]])
        if (last.of !== all) last = { of: all, made: new Map(all.map((one) => [one.user, lifeOf(one)])) }
        return last.made
      })
      const look = Effect.gen(function* () {
        const grants = yield* accounts.grants
        const since = yield* made
        yield* Effect.forEach(joined, (one) => follow(joined, one, grants, since), { discard: true })
      })
      yield* Effect.sleep(accountsLookMilliseconds).pipe(
        Effect.andThen(Effect.suspend(() => (joined.size === 0 ? Effect.void : look))),
        // Accounts that cannot be read now change nobody: the next login says so, and the next look may succeed.
        // A fault of their source ends no looks either: nobody would be told any more that an account is gone.
        Effect.ignoreCause,
        Effect.forever,
        Effect.forkScoped
      )
      return Members.of({
        meet: (user) =>
          Effect.map(made, (since) => ({ life: since.get(user) })).pipe(Effect.catchCause(() => Effect.undefined)),
        join: (user, grant, told, met) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const one: Joined = { user, told, grant, made: met }
              joined.add(one)
              return one
            }),
            (one) => Effect.sync(() => void joined.delete(one))
          ).pipe(
            // Where they cannot be read now, the first look that can says which account it is.
            Effect.tap((one) => Effect.ignoreCause(Effect.map(made, (since) => madeOf(one, since)))),
            Effect.map((one) => ({ grant: () => one.grant }))
          )
      })
    })
  )
}

interface Joined {
  readonly user: UserName
  readonly told: (change: FromServer) => Effect.Effect<void>
  grant: Grant
  /** which life of its account it belongs to, as it was first seen */
  made: Met
}

/** Goes by when an account was made and how often its sessions were ended since. */
type Made = ReadonlyMap<UserName, string>

const lifeOf = ({ created, revoked = 0 }: AccountSummary): string => `${created}:${revoked}`

const madeOf = (one: Joined, since: Made) => (one.made ??= { life: since.get(one.user) })

const follow = (joined: Set<Joined>, one: Joined, grants: Grants, since: Made): Effect.Effect<void> => {
  const now = grants(one.user)
  const isOther = madeOf(one, since).life !== since.get(one.user)
  if (now === undefined || now.root !== one.grant.root || isOther) {
    joined.delete(one)
    return one.told({ _tag: "Revoked" })
  }
  if (Equal.equals(now, one.grant)) return Effect.void
  one.grant = now
  return one.told({ _tag: "Granted", rights: now.rights })
}
