/**
 * Sessions as the command line asks for them: with which server, as whom, by which password and at which rate.
 */
import process from "node:process"
import { Config, Effect, Layer, Option } from "effect"
import type { Password } from "../domain/channel/Opaque.ts"
import type * as ThrottledSocket from "../domain/channel/ThrottledSocket.ts"
import * as Client from "./Client.ts"
import * as ClientConfig from "./ClientConfig.ts"
import { LoginIncorrect } from "./ClientError.ts"
import * as DialNode from "./DialNode.ts"
import { OwnPassword } from "./PasswordCommand.ts"
import * as PasswordSource from "./PasswordSource.ts"
import type { Profile } from "./Profiles.ts"
import { Reporter } from "./Reporter.ts"
import * as ServerAddress from "./ServerAddress.ts"
import { Sessions } from "./Sessions.ts"
import { version } from "./VersionNode.ts"

/** Whether file modes mean nothing here. */
export const modeless = process.platform === "win32"

export interface Target extends ClientConfig.Whom, Pick<PasswordSource.Asked, "kept" | "noProfile"> {
  readonly passwordFile: string | undefined
  readonly passwordCommand: string | undefined
  readonly profile: Profile | undefined
}

/** The password for a target, from where flags, environment and profile say. */
export const passwordFor = ({ passwordCommand: command, passwordFile: file, ...target }: Target) =>
  Effect.flatMap(Config.option(Config.Redacted("PARADROP_PASSWORD")), (environment) =>
    PasswordSource.password({
      ...target,
      file,
      command,
      environment: Option.getOrUndefined(environment),
      modeless
    })
  )

/** A connection at the rate that the person has set. */
export interface Throttled {
  readonly socket: Effect.Success<ReturnType<typeof ThrottledSocket.make>>
  readonly contentBytesMax: number
}

/** Sessions with the target. A password that was right is kept for the next one. */
export const layer = (target: Target, throttled: Throttled) => {
  const { user } = target
  let known: Password | undefined
  const connect = Effect.gen(function* () {
    const given = known === undefined ? yield* passwordFor(target) : { password: known, typed: false }
    const entered = yield* logIn(target, throttled, given)
    known = entered.password
    if (entered.typed) yield* (yield* Reporter).note("correct", "good")
    return entered.session
  })
  const credentials = { user, current: () => known, changed: (next: Password) => void (known = next) }
  return OwnPassword.layer(credentials).pipe(
    Layer.provideMerge(Sessions.layer(Effect.catchTag(connect, "ConfigError", Effect.die)))
  )
}

/** Connects; a person who needed long for another password is dialled for again. */
const logIn = Effect.fnUntraced(function* (
  { assumed, server, user }: ClientConfig.Whom,
  throttled: Throttled,
  given: PasswordSource.Given
) {
  let { password, typed } = given
  const context = yield* Effect.context<Effect.Services<ReturnType<typeof PasswordSource.again>>>()
  const told = ({ attemptsLeft, user }: LoginIncorrect) => new LoginIncorrect({ user, attemptsLeft, assumed })
  const askAgain = (incorrect: LoginIncorrect) =>
    Effect.map(Effect.provideContext(PasswordSource.again(told(incorrect)), context), (next) => {
      if (next === undefined) return Option.none()
      typed = true
      password = next
      return Option.some(next)
    })
  while (true) {
    const tried = password
    const connected = yield* Client.connect({
      server: ServerAddress.show(server),
      dial: Effect.map(DialNode.dial(server), throttled.socket),
      ahead: Effect.map(DialNode.ahead(server), (it) => it && { ...it, socket: throttled.socket(it.socket) }),
      contentBytesMax: throttled.contentBytesMax,
      user,
      password,
      askAgain,
      // A person is told that the password was right before anything else.
      eager: !typed,
      client: `${ClientConfig.program} ${version}`
    }).pipe(
      Effect.catchTag("ConnectFailed", (error) => (password === tried ? Effect.fail(error) : Effect.undefined)),
      Effect.catchTag("LoginIncorrect", (incorrect) => Effect.fail(told(incorrect)))
    )
    if (connected !== undefined) return { session: connected, password, typed }
  }
})
