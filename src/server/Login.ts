/**
 * The server's part of a login: what the session machine asks for while nobody is authenticated.
 */
import { Effect, type Redacted } from "effect"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import { Opaque, type SessionKey } from "../domain/channel/Opaque.ts"
import { Accounts, type AccountsFailed } from "../domain/session/Accounts.ts"
import type { Grant } from "../domain/session/Grant.ts"
import type { ActionResult } from "../domain/session/SessionState.ts"
import { LoginGuard } from "./LoginGuard.ts"
import type { Peer } from "./Peer.ts"

/** Who has proved the password, and what the account may do at this moment. */
export interface Verified {
  readonly sessionKey: SessionKey
  readonly grant: Grant
}

export interface Login {
  /** Answers KE1, for a name that exists or not, unless the guard says no. */
  readonly answer: (user: UserName, ke1: Uint8Array) => Effect.Effect<ActionResult, AccountsFailed>
  /**
   * Verifies KE3 against the last answer, which is used up. Undefined: it does not verify, the answer was another
   * user's, or the account was disabled since then.
   */
  readonly verify: (user: UserName, ke3: Uint8Array) => Effect.Effect<Verified | undefined, AccountsFailed>
  /** The keys are confirmed. */
  readonly succeeded: (user: UserName) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (
  peer: Peer
): Effect.fn.Return<Login, never, Accounts | LoginGuard | Opaque> {
  const accounts = yield* Accounts
  const guard = yield* LoginGuard
  const opaque = yield* Opaque
  const trying: Trying = { accounts, guard, opaque, peer, pending: undefined }
  return {
    answer: (user, ke1) => answer(trying, user, ke1),
    verify: (user, ke3) => verify(trying, user, ke3),
    succeeded: (user) => guard.succeeded(user, peer)
  }
})

/** One connection's login, as it stands. */
interface Trying {
  readonly accounts: Accounts["Service"]
  readonly guard: LoginGuard["Service"]
  readonly opaque: Opaque["Service"]
  readonly peer: Peer
  pending: { readonly user: UserName; readonly state: Redacted.Redacted<string> } | undefined
}

const answer = Effect.fnUntraced(function* (
  trying: Trying,
  user: UserName,
  ke1: Uint8Array
): Effect.fn.Return<ActionResult, AccountsFailed> {
  const { accounts, guard, opaque, peer } = trying
  const verdict = yield* guard.attempt(user, peer)
  if (verdict._tag === "Limited") {
    const { retryAfterMilliseconds } = verdict
    return { _tag: "LoginRejected", reason: "too-many-attempts", retryAfterMilliseconds }
  }
  // An attempt that nobody could answer is none: whoever tries again while the accounts are mended is let in then.
  const known = Effect.all([accounts.setup, accounts.find(user)])
  const [setup, record] = yield* Effect.tapError(known, () => guard.unanswered(user, peer))
  return yield* opaque.answerLogin(setup, user, record, ke1).pipe(
    Effect.map(({ ke2, state }): ActionResult => {
      trying.pending = { user, state }
      return { _tag: "LoginAnswered", ke2, stretching: accounts.stretching }
    }),
    Effect.catch(() => Effect.succeed<ActionResult>({ _tag: "LoginUnanswerable" }))
  )
})

const verify = Effect.fnUntraced(function* (
  trying: Trying,
  user: UserName,
  ke3: Uint8Array
): Effect.fn.Return<Verified | undefined, AccountsFailed> {
  const { accounts, opaque, pending } = trying
  trying.pending = undefined
  // OPAQUE's last step takes any name: the proof is only about the one that was answered.
  if (pending?.user !== user) return undefined
  const sessionKey = yield* Effect.catch(opaque.verifyLogin(pending.state, user, ke3), () => Effect.undefined)
  const grant = (yield* accounts.grants)(user)
  return sessionKey === undefined || grant === undefined ? undefined : { sessionKey, grant }
})
