/**
 * What `paradrop-server user ...` does. Data goes to standard output, words for a person to standard error.
 */
import type { FileSystem, Path, Terminal } from "effect"
import { Clock, Console, Effect, Redacted, Schema, Stdio, Stream } from "effect"
import { Prompt } from "effect/cli"
import type { SecureRandom } from "effect/crypto"
import type { PlatformError } from "effect/PlatformError"
import { concat, equals } from "../domain/Bytes.ts"
import { UserName } from "../domain/channel/HandshakeMessage.ts"
import { Opaque, type OpaqueRejected, type Password, type RegistrationRecord } from "../domain/channel/Opaque.ts"
import { printable } from "../domain/file/Printable.ts"
import { passwordBytesMax, userNameBytesMax } from "../domain/limits.ts"
import {
  AccountExists,
  Accounts,
  type AccountsFailed,
  NoSuchAccount,
  type StretchingFixed
} from "../domain/session/Accounts.ts"
import { everything } from "../domain/session/Grant.ts"
import * as PasswordRule from "../domain/session/PasswordRule.ts"
import type { OutputEnded } from "../exitCode.ts"
import * as GrantOptions from "./GrantOptions.ts"
import { WrongUsage } from "./ServerConfig.ts"

/** No password was given. */
export class NoPassword extends Schema.TaggedError<NoPassword>()("NoPassword", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Whoever was asked for a password has gone: Ctrl-C or Ctrl-D. */
export class Declined extends Schema.TaggedError<Declined>()("Declined", {}) {
  override get message(): string {
    return "no password was given: nothing was changed"
  }
}

/** How the password comes. */
export interface PasswordOptions {
  readonly generate: boolean
  readonly allowWeak: boolean
  /** writes to standard output what was made, and fails where it cannot be written */
  readonly show: (text: string) => Effect.Effect<void, OutputEnded>
}

type AskServices = FileSystem.FileSystem | Path.Path | SecureRandom.SecureRandom | Stdio.Stdio | Terminal.Terminal
type AskError = Declined | NoPassword | PasswordRule.PasswordRefused | PlatformError
type SetError = AccountsFailed | AskError | OpaqueRejected | OutputEnded

/** A user's name as typed, or what is wrong with it. */
export const parseName = (name: string): Effect.Effect<UserName, WrongUsage> =>
  Effect.mapError(
    Schema.decodeEffect(UserName)(name),
    () =>
      new WrongUsage({
        detail: `'${printable(name)}' is no user name: use 1 to ${userNameBytesMax} of a-z, 0-9, '.', '_' and '-'`
      })
  )

export const add = (
  user: UserName,
  options: PasswordOptions,
  granted: GrantOptions.GrantOptions
): Effect.Effect<void, AccountExists | SetError | WrongUsage, Accounts | AskServices | Opaque> =>
  Effect.gen(function* () {
    const restrict = yield* GrantOptions.parse(granted)
    const grant = GrantOptions.isEmpty(granted) ? everything : restrict(everything)
    // Before the password is asked for; whether it still holds is looked at again when the account is added.
    if (yield* exists(user)) return yield* new AccountExists({ user })
    const accounts = yield* Accounts
    yield* setPassword(user, options, (record) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => accounts.add(user, record, now, grant))
    )
    yield* Console.error(`account '${user}' added`)
  })

export const passwd = (
  user: UserName,
  options: PasswordOptions
): Effect.Effect<void, NoSuchAccount | SetError, Accounts | AskServices | Opaque> =>
  Effect.gen(function* () {
    if (!(yield* exists(user))) return yield* new NoSuchAccount({ user })
    const accounts = yield* Accounts
    yield* setPassword(user, options, (record) => accounts.change(user, (before) => ({ ...before, record })))
    yield* Console.error(`the password of '${user}' is changed; sessions that are open stay open`)
  })

/** Gives the account other rights, another root, quota or rates. */
export const change = (
  user: UserName,
  options: GrantOptions.GrantOptions
): Effect.Effect<void, AccountsFailed | NoSuchAccount | WrongUsage, Accounts> =>
  Effect.gen(function* () {
    if (GrantOptions.isEmpty(options)) return yield* new WrongUsage({ detail: "say what to change: --help shows it" })
    const edit = yield* GrantOptions.parse(options)
    yield* (yield* Accounts).change(user, (before) => ({ ...before, grant: edit(before.grant) }))
    yield* Console.error(`account '${user}' changed; a running server takes it up within a second`)
  })

/** A disabled account cannot log in, and a running server ends its sessions. */
export const setDisabled = (
  user: UserName,
  disabled: boolean
): Effect.Effect<void, AccountsFailed | NoSuchAccount, Accounts> =>
  Effect.gen(function* () {
    yield* (yield* Accounts).change(user, (before) => ({ ...before, disabled }))
    yield* Console.error(
      disabled
        ? `account '${user}' disabled; a running server ends its sessions within a second`
        : `account '${user}' enabled`
    )
  })

export const remove = (user: UserName): Effect.Effect<void, AccountsFailed | NoSuchAccount, Accounts> =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    yield* accounts.remove(user)
    yield* Console.error(`account '${user}' removed; a running server ends its sessions within a second`)
    if ((yield* accounts.list).length > 0) return
    yield* Console.error("no account is left: on loopback the public one ('default', 123456) works again")
  })

export const list: Effect.Effect<void, AccountsFailed, Accounts> = Effect.gen(function* () {
  const accounts = yield* (yield* Accounts).list
  if (accounts.length === 0) return yield* Console.error("no account yet: 'user add NAME' makes one")
  const width = Math.max(...accounts.map(({ user }) => user.length))
  for (const account of accounts) {
    yield* Console.log(`${account.user.padEnd(width)}  ${GrantOptions.describe(account)}`)
  }
  return undefined
})

/** What people call the stretchings. */
const stretchings = { full: 1, small: 2, light: 3 } as const

/** Says how clients stretch passwords, or changes it before the first account. */
export const stretching = (
  wanted: keyof typeof stretchings | undefined
): Effect.Effect<void, AccountsFailed | StretchingFixed, Accounts> =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    if (wanted !== undefined) yield* accounts.stretch(stretchings[wanted])
    const [name] = Object.entries(stretchings).find(([, id]) => id === accounts.stretching) ?? []
    yield* Console.log(name)
    if (wanted !== "light") return
    yield* Console.error(
      "warning: whoever steals this server's state can guess every password that is not random: " +
        "let 'user add NAME --generate' make them"
    )
  })

const exists = (user: UserName): Effect.Effect<boolean, AccountsFailed, Accounts> =>
  Effect.gen(function* () {
    const accounts = yield* (yield* Accounts).list
    return accounts.some((account) => account.user === user)
  })

const setPassword = Effect.fnUntraced(function* <E>(
  user: UserName,
  options: PasswordOptions,
  keep: (record: RegistrationRecord) => Effect.Effect<void, E>
): Effect.fn.Return<void, E | SetError, Accounts | AskServices | Opaque> {
  const accounts = yield* Accounts
  const opaque = yield* Opaque
  const password = yield* options.generate ? PasswordRule.generated : asked(user, options.allowWeak)
  const record = yield* opaque.register(yield* accounts.setup, { user, password, stretching: accounts.stretching })
  if (!options.generate) return yield* keep(record)
  const text = Redacted.value(password)
  // A file or a pipe has it before, and nothing beside it: what cannot be written there must not become the password.
  if (!(yield* (yield* Stdio.Stdio).stdoutIsTerminal))
    return yield* Effect.andThen(options.show(`${text}\n`), keep(record))
  const show = options.show(`new password of '${user}', shown this once: ${text}\n`)
  // A person is shown only what works, which it may also where it is not safe from a power cut.
  yield* Effect.tapError(keep(record), () =>
    Effect.flatMap(isKept(user, record), (kept) => (kept ? show : Effect.void))
  )
  return yield* show
})

const isKept = Effect.fnUntraced(function* (user: UserName, record: RegistrationRecord) {
  const accounts = yield* Accounts
  const isThis = (found: RegistrationRecord) => equals(Redacted.value(found), Redacted.value(record))
  const found = yield* Effect.orElseSucceed(accounts.find(user), () => undefined)
  if (found !== undefined) return isThis(found)
  // A disabled account is found by nobody. A change sees it, and this one leaves it as it is.
  let kept = false
  const look = accounts.change(user, (before) => {
    kept = isThis(before.record)
    return before
  })
  yield* Effect.ignore(look)
  return kept
})

const asked = (user: UserName, allowWeak: boolean): Effect.Effect<Password, AskError, AskServices> =>
  Effect.gen(function* () {
    const stdio = yield* Stdio.Stdio
    const password = yield* (yield* stdio.stdinIsTerminal) ? prompted(user, allowWeak) : firstLine
    return Redacted.make(yield* Effect.fromResult(PasswordRule.check(Redacted.value(password), allowWeak)))
  })

const prompted = (user: UserName, allowWeak: boolean) =>
  Effect.gen(function* () {
    const validate = (text: string) =>
      Effect.mapError(Effect.fromResult(PasswordRule.check(text, allowWeak)), ({ message }) => message)
    const first = yield* Prompt.run(Prompt.Hidden({ message: `Password for '${user}' (not shown)`, validate }))
    const second = yield* Prompt.run(Prompt.Hidden({ message: "The same again" }))
    if (Redacted.value(first) === Redacted.value(second)) return first
    return yield* new NoPassword({ detail: "the two passwords differ: nothing was changed, try again" })
  }).pipe(Effect.catchTag("QuitError", () => new Declined()))

/** One line of standard input, without its end. */
const firstLine: Effect.Effect<Password, NoPassword | PlatformError, Stdio.Stdio> = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  const parts: Array<Uint8Array> = []
  let bytes = 0
  yield* Stream.runForEachWhile(stdio.stdin, (part) =>
    Effect.sync(() => {
      parts.push(part)
      bytes += part.length
      return !part.includes(lineFeed) && bytes <= passwordBytesMax + 2
    })
  )
  const [line = ""] = new TextDecoder().decode(concat(parts)).split(/\r?\n/)
  if (line !== "") return Redacted.make(line)
  return yield* new NoPassword({ detail: "no password on standard input: give one in the first line, or --generate" })
})

const lineFeed = 10
