/**
 * The server's part of a change of password by the account's owner.
 *
 * The present password is proved again by a login inside the session: who sits down at an open session cannot take the
 * account over. Each proof is counted by the login guard like any other try.
 */
import { Effect, Redacted, Schema } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Opaque, type RegistrationRecord } from "../domain/channel/Opaque.ts"
import { Accounts, type AccountsFailed } from "../domain/session/Accounts.ts"
import type { ActionResult, SessionOutput } from "../domain/session/SessionState.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import { log } from "./LogEvent.ts"
import { LoginGuard } from "./LoginGuard.ts"
import type { Peer } from "./Peer.ts"
import type { SessionWatch } from "./SessionWatch.ts"

type Asked<Tag extends SessionOutput["_tag"]> = Extract<SessionOutput, { readonly _tag: Tag }>

export interface PasswordChange {
  /** Answers the proof and the registration, unless the guard says no. */
  readonly answer: (asked: Asked<"AnswerPassword">) => Effect.Effect<ActionResult>
  /** Verifies the proof against the last answer, which is used up, and keeps the record. */
  readonly change: (asked: Asked<"ChangePassword">) => Effect.Effect<ActionResult>
}

/** What the last answer waits for. */
interface Pending {
  readonly state: Redacted.Redacted<string>
  /** what the proof is about: when the administrator sets another meanwhile, that one stands */
  readonly record: RegistrationRecord
  readonly ke1: Uint8Array
}

/** Another change came first. */
class Overtaken extends Schema.TaggedError<Overtaken>()("Overtaken", {}) {}

/** @param watch knows of a change that happened, whatever becomes of the session */
export const make = Effect.fnUntraced(function* (
  peer: Peer,
  watch: Pick<SessionWatch, "change">
): Effect.fn.Return<PasswordChange, never, Accounts | LoginGuard | Opaque> {
  const accounts = yield* Accounts
  const guard = yield* LoginGuard
  const opaque = yield* Opaque
  let pending: Pending | undefined

  return {
    answer: ({ id, ke1, request, user }) =>
      Effect.gen(function* () {
        // The public account is no entry: everybody's password is nobody's to change.
        const own = (yield* accounts.list).some((account) => account.user === user)
        const record = yield* accounts.find(user)
        if (!own || record === undefined) return refused(id, { reason: "not-permitted", detail: "password" })
        // Before the guard: what cannot be answered is no try.
        const setup = yield* accounts.setup
        const verdict = yield* guard.attempt(user, peer)
        if (verdict._tag === "Limited") {
          return refused(id, { reason: "too-many-attempts", detail: String(verdict.retryAfterMilliseconds) })
        }
        const { ke2, state } = yield* opaque.answerLogin(setup, user, record, ke1)
        const response = yield* opaque.answerRegistration(setup, user, request)
        pending = { state, record, ke1 }
        const { stretching } = accounts
        return { _tag: "PasswordAnswered", id, ke2, response, stretching } as const
      }).pipe(
        Effect.catchTag("OpaqueRejected", () => Effect.succeed(refused(id, { reason: "incorrect" }))),
        Effect.catchTag("AccountsFailed", (error) => accountsFailed(id, error))
      ),

    change: ({ id, ke3, record: bytes, user }) =>
      Effect.gen(function* () {
        const proved = pending
        pending = undefined
        if (proved === undefined) return refused(id, { reason: "incorrect" })
        yield* opaque.verifyLogin(proved.state, user, ke3)
        const record = Redacted.make(bytes, { label: "registration record" })
        // A record that no login can use would lock its owner out.
        yield* opaque.answerLogin(yield* accounts.setup, user, record, proved.ke1)
        let kept = false
        const keeping = accounts.change(user, (before) => {
          kept = Bytes.equals(Redacted.value(before.record), Redacted.value(proved.record))
          return kept ? { ...before, record } : before
        })
        const overtaken = Effect.suspend(() => (kept ? Effect.void : Effect.fail(new Overtaken())))
        yield* watch.change(id, Effect.andThen(keeping, overtaken))
        yield* guard.succeeded(user, peer)
        return { _tag: "PasswordChanged", id } as const
      }).pipe(
        Effect.catchTag("Overtaken", () => Effect.succeed(refused(id, { reason: "conflict" }))),
        Effect.catchTag("OpaqueRejected", () => Effect.succeed(refused(id, { reason: "incorrect" }))),
        Effect.catchTag("NoSuchAccount", () =>
          Effect.succeed(refused(id, { reason: "not-permitted", detail: "password" }))
        ),
        Effect.catchTag("AccountsFailed", (error) => accountsFailed(id, error))
      )
  }
})

const refused = (id: RequestId, refusal: Refusal): ActionResult => ({ _tag: "Refused", id, refusal })

const accountsFailed = (id: RequestId, { message }: AccountsFailed): Effect.Effect<ActionResult> =>
  Effect.as(log("store-failed", message), refused(id, { reason: "store-failed" }))
