/**
 * A change of one's own password, over a session that stands: a login with the present one inside of it, and the
 * registration of the next. Neither password leaves this machine, not even in hashed form.
 */
import { Effect, Redacted, Schema } from "effect"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import { Opaque, type Password, StretchingId } from "../domain/channel/Opaque.ts"
import * as Answers from "./Answers.ts"
import { type CommandError, ProtocolBroken } from "./ClientError.ts"
import type { Requests } from "./Requests.ts"

/** Whose password, and from which to which. */
export interface Change {
  readonly user: UserName
  readonly current: Password
  readonly next: Password
  /** Run when the server would change it, right before it is asked to: by then nothing has changed. */
  readonly finishing?: Effect.Effect<void>
}

const isStretchingId = Schema.is(StretchingId)

/** Changes it; `RequestRefused` with `incorrect` when the present one is another. Weakness is not asked. */
export const change = Effect.fnUntraced(function* (
  requests: Requests,
  { current, finishing, next, user }: Change
): Effect.fn.Return<void, CommandError, Opaque> {
  const opaque = yield* Opaque
  const incorrect = () => Answers.refused(user, { reason: "incorrect" })
  const { ke1, state } = yield* Effect.mapError(opaque.startLogin(user, current), incorrect)
  const registration = yield* Effect.mapError(opaque.startRegistration(user, next), incorrect)
  yield* Effect.scoped(
    Effect.gen(function* () {
      const request = yield* requests.begin({ _tag: "PasswordStart", ke1, request: registration.request })
      const answer = yield* Answers.expect(yield* Answers.next(request, user), "PasswordAnswer")
      const { ke2, response, stretching } = answer
      if (!isStretchingId(stretching)) return yield* new ProtocolBroken({ detail: "unknown stretching" })
      // Closing the request's scope cancels it: a wrong password tells the server nothing more.
      const { ke3 } = yield* Effect.mapError(
        opaque.finishLogin(state, ke2, { user, password: current, stretching }),
        incorrect
      )
      const record = yield* Effect.mapError(
        opaque.finishRegistration(registration.state, response, { user, password: next, stretching }),
        incorrect
      )
      if (finishing !== undefined) yield* finishing
      yield* request.send({ _tag: "PasswordFinish", ke3, record: Redacted.value(record) })
      yield* Answers.expect(yield* Answers.next(request, user), "PasswordChanged")
    })
  )
})
