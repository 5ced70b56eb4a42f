/**
 * Port: who may log in.
 *
 * ## Contract (test: `accountsContract`)
 *
 * - Holds no password: only registration records (OPAQUE), which are worth guessing only together with the setup.
 * - `find` does the same work for every name, known or not, so that its time tells nothing. A disabled account is
 *   like one that does not exist: `find` and `grants` know neither. `list` shows it.
 * - Edits (`add`, `put`, `change`, `remove`) are durable and atomic: after a crash the old or the new set of accounts
 *   is there, whole. Edits by several processes are not lost: each sees what the one before has made. A running server
 *   sees an edit at its next `find` or `grants`.
 * - An edit that fails has changed nothing, but where making it safe from a power cut has failed: then it is seen.
 * - `put` and `change` of one thing leave the others of the account as they are.
 * - A `change` that disables an account, or gives it another root, raises `revoked`: who has looked before and after
 *   knows of it, also when it was taken back meanwhile.
 * - The `edition` is another after each edit, and the same while there is none.
 * - `stretch` fails while there is an account, disabled ones included, and changes nothing then.
 * - The setup is made once and never changes: changing it would void every record.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import type { UserName } from "../channel/HandshakeMessage.ts"
import {
  Opaque,
  type OpaqueRejected,
  type Password,
  recordBytes,
  type RegistrationRecord,
  type ServerSetup,
  type StretchingId
} from "../channel/Opaque.ts"
import { accountsMax } from "../limits.ts"
import { everything, Grant } from "./Grant.ts"

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
    return `there is no account '${this.user}': 'user list' shows those that there are`
  }
}

/** `add` never replaces. */
export class AccountExists extends Schema.TaggedError<AccountExists>()("AccountExists", { user: Schema.String }) {
  override get message(): string {
    return `there is an account '${this.user}' already: 'user passwd ${this.user}' changes its password`
  }
}

/** Every record was made with one stretching, so it can change only while there is none. */
export class StretchingFixed extends Schema.TaggedError<StretchingFixed>()("StretchingFixed", {}) {
  override get message(): string {
    return (
      "the stretching cannot change while there are accounts, whose passwords were stretched as it is now: " +
      "remove them, choose it, and add them anew"
    )
  }
}

/** What may be changed of an account. */
export interface AccountState {
  readonly record: RegistrationRecord
  readonly disabled: boolean
  readonly grant: Grant
}

/** One account. */
export interface Account extends AccountState {
  /** milliseconds since 1970 */
  readonly created: number
  /** how often its sessions were ended, by disabling it or by another root; absent: never */
  readonly revoked?: number
}

/** One account, without its secrets. */
export interface AccountSummary extends Omit<Account, "record"> {
  readonly user: UserName
}

/** What an account may do now; undefined for unknown and disabled ones. */
export type Grants = (user: UserName) => Grant | undefined

export class Accounts extends Context.Service<
  Accounts,
  {
    /** The server's long-term secrets. */
    readonly setup: Effect.Effect<ServerSetup, AccountsFailed>
    /** How clients of this server stretch passwords. */
    readonly stretching: StretchingId
    /** Changes that. For a server that does not run: it tells its clients what it has found at its start. */
    readonly stretch: (stretching: StretchingId) => Effect.Effect<void, StretchingFixed | AccountsFailed>
    /** The record of that user, or undefined for unknown and disabled ones. */
    readonly find: (user: UserName) => Effect.Effect<RegistrationRecord | undefined, AccountsFailed>
    /** What the accounts may do, all as of one moment: one look, however many are asked for. */
    readonly grants: Effect.Effect<Grants, AccountsFailed>
    /** All accounts, by name. */
    readonly list: Effect.Effect<ReadonlyArray<AccountSummary>, AccountsFailed>
    /** Tells whether there was an edit between two looks, also one that was taken back. */
    readonly edition: Effect.Effect<string, AccountsFailed>
    /** Adds an account; `now` is in milliseconds since 1970. */
    readonly add: (
      user: UserName,
      record: RegistrationRecord,
      now: number,
      grant: Grant
    ) => Effect.Effect<void, AccountExists | AccountsFailed>
    /** Adds an account that may do everything, or replaces the record of the one that is there. */
    readonly put: (user: UserName, record: RegistrationRecord, now: number) => Effect.Effect<void, AccountsFailed>
    /** Changes an account that is there, as it is at that moment. */
    readonly change: (
      user: UserName,
      change: (before: AccountState) => AccountState
    ) => Effect.Effect<void, NoSuchAccount | AccountsFailed>
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
      let accounts = new Map<UserName, Account>()
      for (const [user, record] of initial) accounts.set(user, newAccount(record, 0, everything))
      let edits = 0
      // In one step: whoever sees an edit sees another edition.
      const edit = <E>(apply: Edit<E>) =>
        Effect.suspend(() => {
          const next = new Map(accounts)
          return Effect.map(apply(next), () => {
            accounts = next
            edits += 1
          })
        })
      let stretched = stretching
      return Accounts.of({
        setup: Effect.succeed(setup),
        get stretching() {
          return stretched
        },
        stretch: (next) =>
          Effect.suspend(() => {
            if (accounts.size > 0) return Effect.fail(new StretchingFixed())
            stretched = next
            edits += 1
            return Effect.void
          }),
        find: (user) => Effect.sync(() => enabled(accounts.get(user))?.record),
        grants: Effect.sync(() => {
          const now = accounts
          return (user) => enabled(now.get(user))?.grant
        }),
        list: Effect.sync(() => summariesOf(accounts)),
        edition: Effect.sync(() => String(edits)),
        add: (user, record, now, grant) => edit(adding(user, record, now, grant)),
        put: (user, record, now) => edit(putting(user, record, now)),
        change: (user, change) => edit(changing(user, change)),
        remove: (user) => edit(removing(user))
      })
    })

  /**
   * Accounts in memory that may do everything, registered when the layer is built, with secrets of the server that are
   * new each time: for programs that know the passwords anyway.
   */
  static readonly layerPasswords = (
    accounts: ReadonlyArray<{ readonly user: UserName; readonly password: Password }>,
    stretching: StretchingId = 1
  ): Layer.Layer<Accounts, OpaqueRejected, Opaque> =>
    Layer.unwrap(
      Effect.gen(function* () {
        const opaque = yield* Opaque
        const setup = yield* opaque.createSetup
        const records = yield* Effect.forEach(accounts, ({ password, user }) =>
          Effect.map(opaque.register(setup, { user, password, stretching }), (record) => [user, record] as const)
        )
        return Accounts.layerMemory(setup, stretching, new Map(records))
      })
    )
}

// -----------------------------------------------------------------------------
// Edits: what every layer does to its accounts
// -----------------------------------------------------------------------------

/** A change of a set of accounts; when it fails the set is as it was. */
export type Edit<E> = (accounts: Map<UserName, Account>) => Effect.Effect<void, E>

/** The edit of `add`. */
export const adding =
  (user: UserName, record: RegistrationRecord, now: number, grant: Grant): Edit<AccountExists | AccountsFailed> =>
  (accounts) => {
    if (accounts.has(user)) return Effect.fail(new AccountExists({ user }))
    if (accounts.size >= accountsMax) return Effect.fail(tooManyAccounts)
    return setting(accounts, user, newAccount(record, now, grant))
  }

/** The edit of `put`. */
export const putting =
  (user: UserName, record: RegistrationRecord, now: number): Edit<AccountsFailed> =>
  (accounts) => {
    const known = accounts.get(user)
    if (known === undefined && accounts.size >= accountsMax) return Effect.fail(tooManyAccounts)
    const next = known === undefined ? newAccount(record, now, everything) : { ...known, record: copy(record) }
    return setting(accounts, user, next)
  }

/** The edit of `change`. */
export const changing =
  (user: UserName, change: (before: AccountState) => AccountState): Edit<NoSuchAccount | AccountsFailed> =>
  (accounts) => {
    const known = accounts.get(user)
    if (known === undefined) return Effect.fail(new NoSuchAccount({ user }))
    const { disabled, grant, record } = change(known)
    const ends = (disabled && !known.disabled) || grant.root !== known.grant.root
    return setting(accounts, user, {
      created: known.created,
      ...revokedOf({ revoked: (known.revoked ?? 0) + Number(ends) }),
      disabled,
      grant,
      record: copy(record)
    })
  }

/** The edit of `remove`. */
export const removing =
  (user: UserName): Edit<NoSuchAccount> =>
  (accounts) =>
    accounts.delete(user) ? Effect.void : Effect.fail(new NoSuchAccount({ user }))

/** What has not the form of an account is none: no layer could read it again. */
const setting = (
  accounts: Map<UserName, Account>,
  user: UserName,
  account: Account
): Effect.Effect<void, AccountsFailed> => {
  const { created, grant, record } = account
  if (!isMoment(created) || !isGrant(grant) || Redacted.value(record).length !== recordBytes) {
    return Effect.fail(formless)
  }
  accounts.set(user, account)
  return Effect.void
}

/** A moment that a date can hold, milliseconds since 1970. */
export const Moment = Schema.Natural.check(Schema.isLessThanOrEqualTo(8.64e15))

const isMoment = Schema.is(Moment)
const isGrant = Schema.is(Grant)

const formless = new AccountsFailed({ detail: "an account does not have the form of one: nothing was changed" })

/** The account, unless it is disabled: nobody may learn the difference to none. */
export const enabled = (account: Account | undefined): Account | undefined =>
  account?.disabled === true ? undefined : account

/** All accounts without their secrets, by name. */
export const summariesOf = (accounts: ReadonlyMap<UserName, Account>): ReadonlyArray<AccountSummary> =>
  Array.from(accounts, ([user, { created, disabled, grant, revoked }]) => ({
    user,
    created,
    ...revokedOf({ revoked }),
    disabled,
    grant
  })).toSorted((a, b) => (a.user < b.user ? -1 : 1))

/** How often sessions were ended, where it was. */
export const revokedOf = ({ revoked }: { readonly revoked?: number | undefined }): Pick<Account, "revoked"> =>
  revoked === undefined || revoked === 0 ? {} : { revoked }

const newAccount = (record: RegistrationRecord, created: number, grant: Grant): Account => ({
  record: copy(record),
  created,
  disabled: false,
  grant
})

/** The limit of `accountsMax` is reached. */
const tooManyAccounts: AccountsFailed = new AccountsFailed({
  detail: `a server has at most ${accountsMax} accounts: remove one first`
})

// A record belongs to the store of accounts: what its giver does with the bytes later must not matter.
const copy = (record: RegistrationRecord): RegistrationRecord =>
  Redacted.make(Uint8Array.from(Redacted.value(record)), { label: "registration record" })
