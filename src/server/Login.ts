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
  let pending: { readonly user: UserName; readonly state: Redacted.Redacted<string> } | undefined

  return {
    answer: Effect.fnUntraced(function* (user, ke1): Effect.fn.Return<ActionResult, AccountsFailed> {
      const verdict = yield* guard.attempt(user, peer)
      if (verdict._tag === "Limited") {
        const { retryAfterMilliseconds } = verdict
        return { _tag: "LoginRejected", reason: "too-many-attempts", retryAfterMilliseconds }
      }
      const setup = yield* accounts.setup
      const record = yield* accounts.find(user)
      return yield* opaque.answerLogin(setup, user, record, ke1).pipe(
        Effect.map(({ ke2, state }): ActionResult => {
          pending = { user, state }
          return { _tag: "LoginAnswered", ke2, stretching: accounts.stretching }
        }),
        Effect.catch(() => Effect.succeed<ActionResult>({ _tag: "LoginUnanswerable" }))
      )
    }),

    verify: Effect.fnUntraced(function* (user, ke3): Effect.fn.Return<Verified | undefined, AccountsFailed> {
      const answered = pending
      pending = undefined
      // OPAQUE's last step takes any name: the proof is only about the one that was answered.
      if (answered?.user !== user) return undefined
      const { state } = answered
      const sessionKey = yield* Effect.catch(opaque.verifyLogin(state, user, ke3), () => Effect.undefined)
      const grant = (yield* accounts.grants)(user)
      return sessionKey === undefined || grant === undefined ? undefined : { sessionKey, grant }
    }),

    succeeded: (user) => guard.succeeded(user, peer)
  }
})
