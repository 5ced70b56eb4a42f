/**
 * Port: who may log in.
 *
 * ## Contract (test: `accountsContract`)
 *
 * - Holds no password: only registration records (OPAQUE), which are worth guessing only together with the setup.
 * - `find` does the same work for every name, known or not, so that its time tells nothing.
 * - `put` and `remove` are durable and atomic: after a crash the old or the new set of accounts is there, whole.
 *   Edits by several processes are not lost. A running server sees an edit at its next `find`.
 * - The setup is made once and never changes: changing it would void every record.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import type { UserName } from "../channel/HandshakeMessage.ts"
import type { RegistrationRecord, ServerSetup, StretchingId } from "../channel/Opaque.ts"
import { accountsMax } from "../limits.ts"

/** The accounts could not be read or written. */
export class AccountsFailed extends Schema.TaggedError<AccountsFailed>()("AccountsFailed", {
  /** what failed and what to do; names files of the server's own, never a secret */
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** There is no account of that name. */
export class NoSuchAccount extends Schema.TaggedError<NoSuchAccount>()("NoSuchAccount", { user: Schema.String }) {
  override get message(): string {
    return `there is no account '${this.user}'`
  }
}

/** One account, without its secrets. */
export interface AccountSummary {
  readonly user: UserName
  /** milliseconds since 1970 */
  readonly created: number
}

export class Accounts extends Context.Service<
  Accounts,
  {
    /** The server's long-term secrets. */
    readonly setup: Effect.Effect<ServerSetup, AccountsFailed>
    /** How clients of this server stretch passwords. */
    readonly stretching: StretchingId
    /** The record of that user, or undefined for unknown names. */
    readonly find: (user: UserName) => Effect.Effect<RegistrationRecord | undefined, AccountsFailed>
    /** All accounts, by name. */
    readonly list: Effect.Effect<ReadonlyArray<AccountSummary>, AccountsFailed>
    /** Adds an account or replaces its record. */
    readonly put: (user: UserName, record: RegistrationRecord, now: number) => Effect.Effect<void, AccountsFailed>
    readonly remove: (user: UserName) => Effect.Effect<void, NoSuchAccount | AccountsFailed>
  }
>()("paradrop/session/Accounts") {
  /** Accounts in memory: gone with the layer. */
  static readonly layerMemory = (
    setup: ServerSetup,
    stretching: StretchingId,
    initial: ReadonlyMap<UserName, RegistrationRecord> = new Map()
  ): Layer.Layer<Accounts> =>
    Layer.sync(Accounts, () => {
      const accounts = new Map<UserName, { readonly record: RegistrationRecord; readonly created: number }>()
      for (const [user, record] of initial) accounts.set(user, { record, created: 0 })
      return Accounts.of({
        setup: Effect.succeed(setup),
        stretching,
        find: (user) => Effect.sync(() => accounts.get(user)?.record),
        list: Effect.sync(() =>
          Array.from(accounts, ([user, { created }]) => ({ user, created })).toSorted((a, b) =>
            a.user < b.user ? -1 : 1
          )
        ),
        put: (user, record, now) =>
          Effect.suspend(() => {
            const known = accounts.get(user)
            if (known === undefined && accounts.size >= accountsMax) return Effect.fail(tooManyAccounts)
            accounts.set(user, { record: copy(record), created: known?.created ?? now })
            return Effect.void
          }),
        remove: (user) =>
          Effect.suspend(() => (accounts.delete(user) ? Effect.void : Effect.fail(new NoSuchAccount({ user }))))
      })
    })
}

/** The limit of `accountsMax` is reached. */
export const tooManyAccounts: AccountsFailed = new AccountsFailed({
  detail: `a server has at most ${accountsMax} accounts: remove one first`
})

// A record belongs to the store of accounts: what its giver does with the bytes later must not matter.
const copy = (record: RegistrationRecord): RegistrationRecord =>
  Redacted.make(Uint8Array.from(Redacted.value(record)), { label: "registration record" })
