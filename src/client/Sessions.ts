/**
 * Port: the session that commands run on.
 *
 * Contract: `session` gives the one that stands, and makes one when there is none or it has ended. It ends with the
 * layer. Two callers at once get the same. `renewed` is the same for who wants to say how one is made: of several
 * callers at once the first does it, and the others wait for what it makes. `traffic` counts all sessions together.
 */
import { Context, Effect, Exit, Layer, Scope, Semaphore } from "effect"
import type { CommandError, LoginError } from "./ClientError.ts"
import type { ClientSession } from "./ClientSession.ts"
import type { NoPassword } from "./PasswordSource.ts"

/** Why there is no session. */
export type NoSession = LoginError | CommandError | NoPassword

/** Port: a session when one is needed, dialled once and again when it was lost. */
export class Sessions extends Context.Service<
  Sessions,
  {
    readonly session: Effect.Effect<ClientSession, NoSession>
    /** The session that stands, without making one. */
    readonly standing: Effect.Effect<ClientSession | undefined>
    /** The session that stands, or what `make` does with one try to connect. */
    readonly renewed: <E, R>(
      make: (connect: Effect.Effect<ClientSession, NoSession>) => Effect.Effect<ClientSession, E, R>
    ) => Effect.Effect<ClientSession, E, R>
    /** Bytes of plaintext that crossed in each direction, in every session so far. */
    readonly traffic: () => { readonly sent: number; readonly received: number }
  }
>()("paradrop/client/Sessions") {
  /** Sessions that are made by `connect`, each in a scope of its own. */
  static readonly layer = <R>(
    connect: Effect.Effect<ClientSession, NoSession, R | Scope.Scope>
  ): Layer.Layer<Sessions, never, Exclude<R, Scope.Scope>> => Layer.effect(Sessions, make(connect))
}

const make = Effect.fnUntraced(function* <R>(connect: Effect.Effect<ClientSession, NoSession, R | Scope.Scope>) {
  const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
  const parent = yield* Effect.scope
  const one = yield* Semaphore.make(1)
  let current: { readonly session: ClientSession; readonly scope: Scope.Closeable } | undefined

  let past = { sent: 0, received: 0 }
  const traffic = () => ({
    sent: past.sent + (current?.session.traffic.sent ?? 0),
    received: past.received + (current?.session.traffic.received ?? 0)
  })
  const standing = Effect.sync(() => (current?.session.ended() === false ? current.session : undefined))
  // Whoever is interrupted leaves either no connection or the one that stands.
  const renew = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      if (current !== undefined) yield* Scope.close(current.scope, Exit.void)
      past = traffic()
      current = undefined
      const scope = yield* Scope.fork(parent)
      const session = yield* restore(connect).pipe(
        Effect.provideService(Scope.Scope, scope),
        Effect.provideContext(context),
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
      current = { session, scope }
      return session
    })
  )
  const renewed: Sessions["Service"]["renewed"] = (make) =>
    one.withPermit(Effect.flatMap(standing, (session) => (session ? Effect.succeed(session) : make(renew))))
  return Sessions.of({ standing, session: renewed((connect) => connect), renewed, traffic })
})
