/**
 * `passwd`: changes the password of one's own account. No password is ever an argument.
 */
import { Cause, Context, Effect, type FileSystem, Layer, Option, Redacted, Schema } from "effect"
import type { SecureRandom } from "effect/crypto"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import type { Opaque, Password } from "../domain/channel/Opaque.ts"
import * as PasswordRule from "../domain/session/PasswordRule.ts"
import { type CommandError, RequestRefused } from "./ClientError.ts"
import type { LineEditor } from "./LineEditor.ts"
import * as PasswordSource from "./PasswordSource.ts"
import type { Pipes } from "./Pipes.ts"
import { Reporter } from "./Reporter.ts"
import { Screen } from "./Screen.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

/** As whom this program logs in. */
export interface Credentials {
  readonly user: UserName
  /** the password of the last login; undefined before the first */
  readonly current: () => Password | undefined
  /** The next login needs this one. */
  readonly changed: (next: Password) => void
}

/** Port: changes the password that this program logs in with. False when that was refused and has been reported. */
export class OwnPassword extends Context.Service<
  OwnPassword,
  { readonly change: (options: PasswordOptions) => Effect.Effect<boolean, NoSession> }
>()("paradrop/client/OwnPassword") {
  static readonly layer = (credentials: Credentials): Layer.Layer<OwnPassword, never, Services> =>
    Layer.effect(
      OwnPassword,
      Effect.map(Effect.context<Services>(), (context) => ({
        change: (options) => Effect.provideContext(run(credentials, options), context)
      }))
    )
}

export interface PasswordOptions {
  readonly generate: boolean
  readonly allowWeak: boolean
  /** a file whose first line is the new password */
  readonly newFile?: string | undefined
  /** ask for the present password although it is known: a person is in the shell, and may have left it */
  readonly confirm: boolean
}

type Services =
  FileSystem.FileSystem | LineEditor | Opaque | Pipes | Reporter | Screen | SecureRandom.SecureRandom | Sessions

/** The two entries differ. */
class PasswordsDiffer extends Schema.TaggedError<PasswordsDiffer>()("PasswordsDiffer", {}) {
  override get message(): string {
    return "the two passwords differ: nothing was changed, try again"
  }
}

/** Nobody would know the new one. */
class PasswordUnseen extends Schema.TaggedError<PasswordUnseen>()("PasswordUnseen", {}) {
  override get message(): string {
    return "nothing keeps standard output, and nobody would see the new password: nothing was changed, do not close it"
  }
}

/** Logs in, asks, changes. False when it was refused, which has then been reported. */
const run = (credentials: Credentials, options: PasswordOptions): Effect.Effect<boolean, NoSession, Services> =>
  change(credentials, options).pipe(
    Effect.as(true),
    Effect.catchIf(
      (error) => error instanceof RequestRefused || isRefused(error),
      (error) => Effect.flatMap(Reporter, (reporter) => Effect.as(reporter.failed({ error, command: "passwd" }), false))
    )
  )

type Refused = PasswordRule.PasswordRefused | PasswordsDiffer | PasswordUnseen

const isRefused = (error: NoSession | Refused): error is Refused =>
  error._tag === "PasswordRefused" || error._tag === "PasswordsDiffer" || error._tag === "PasswordUnseen"

const change = Effect.fnUntraced(function* (credentials: Credentials, options: PasswordOptions) {
  const { user } = credentials
  const sessions = yield* Sessions
  yield* sessions.session
  const known = credentials.current()
  const asks = known === undefined || options.confirm
  const present = asks ? yield* ask(`Present password of '${user}': `) : known
  const next = yield* newPassword(user, options)
  // Whoever answers takes their time: the session may have ended meanwhile, and the next may need another password.
  const session = yield* sessions.session
  const current = asks ? present : (credentials.current() ?? present)
  const { note } = yield* Reporter
  const shower = yield* showing
  let show: Effect.Effect<void> | undefined
  // What is refused before, as by the public account, was never to be anybody's password.
  const finishing = Effect.suspend(() => (options.generate ? shower(user, next) : Effect.succeed(Effect.void))).pipe(
    Effect.map((then) => void (show = then))
  )
  const changing = session.changePassword({ user, current, next, finishing })
  yield* Effect.onError(changing, (cause) => (show === undefined ? Effect.void : unlessRefused(show)(cause)))
  credentials.changed(next)
  yield* note("the password is changed", "good")
  if (show !== undefined) yield* show
})

/** The server may have changed it and not said so: then nobody could log in who has not seen it, or tries the old. */
const unlessRefused = (show: Effect.Effect<void>) => (cause: Cause.Cause<CommandError>) =>
  Effect.flatMap(Reporter, ({ note }) =>
    Option.exists(Cause.findErrorOption(cause), (error) => error instanceof RequestRefused && changedNothing(error))
      ? Effect.void
      : Effect.andThen(note("whether the password is changed is not known: try the new one as well", "bad"), show)
  )

/** A disk that fails behind the change leaves it done. */
const changedNothing = ({ reason }: RequestRefused): boolean => reason !== "store-failed"

/** What is to be done once it works: a password that a person is shown without a word of doubt is one that does. */
const showing = Effect.map(
  Effect.all([Reporter, Screen]),
  ([{ note, passwordMade }, { out }]) =>
    (user: UserName, password: Password): Effect.Effect<Effect.Effect<void>> =>
      out.columns() !== undefined
        ? Effect.succeed(passwordMade(user, password))
        : // A file or a pipe has it before: what cannot be written there must not become it, nobody would know it.
          // Whatever reads standard output in the place of a person gets nothing beside the password.
          Effect.as(
            passwordMade(user, password),
            note(`new password of '${user}', shown this once, is on standard output`)
          )
)

const newPassword = Effect.fnUntraced(function* (user: UserName, options: PasswordOptions) {
  const { allowWeak, generate, newFile } = options
  if (generate && (yield* Screen).out.isLost?.() === true) return yield* new PasswordUnseen()
  if (generate) return yield* PasswordRule.generated
  if (newFile !== undefined) return yield* checked(yield* PasswordSource.fromFile(newFile), allowWeak)
  const next = yield* checked(yield* ask(`New password of '${user}': `), allowWeak)
  const again = yield* checked(yield* ask("The same again: "), true)
  return Redacted.value(next) === Redacted.value(again) ? next : yield* new PasswordsDiffer()
})

const checked = (password: Password, allowWeak: boolean) =>
  Effect.map(Effect.fromResult(PasswordRule.check(Redacted.value(password), allowWeak)), (text) => Redacted.make(text))

const ask = (question: string) =>
  PasswordSource.typed(
    question,
    "no new password: --generate one, name a file with --new-password-file, or run on a terminal"
  )
