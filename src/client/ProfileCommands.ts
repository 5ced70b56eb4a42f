/**
 * What `paradrop profile ...` does. Data goes to standard output, words for a person to standard error.
 */
import { Effect, FileSystem, Redacted, Schema } from "effect"
import type { Password } from "../domain/channel/Opaque.ts"
import { asciiJson, printable } from "../domain/file/Printable.ts"
import * as PasswordRule from "../domain/session/PasswordRule.ts"
import { asFile, NoPassword, parseCommand } from "./PasswordSource.ts"
import { NoSuchProfile, type Profile, ProfileExists, ProfileName, Profiles, type ProfilesFailed } from "./Profiles.ts"
import { failedLine } from "./ReporterJson.ts"
import { Screen } from "./Screen.ts"
import * as ServerAddress from "./ServerAddress.ts"

/** The text can be no profile's name. */
export class ProfileNameRefused extends Schema.TaggedError<ProfileNameRefused>()("ProfileNameRefused", {
  /** printable */
  text: Schema.String
}) {
  override get message(): string {
    return (
      `'${this.text}' is no name for a profile: use 1 to 64 of a-z, 0-9, '_' and '-', ` +
      "a letter or digit first, and not localhost"
    )
  }
}

/** What the shared flags and the arguments say of a new profile. */
export interface Added {
  readonly name: string
  readonly server: ServerAddress.ServerAddress
  readonly user: string
  readonly passwordFile: string | undefined
  readonly passwordCommand: string | undefined
  /** as they were said */
  readonly rates?: Pick<Profile, "upRate" | "downRate">
  /** whether one of that name may go */
  readonly replace: boolean
  /** gives a password that is to be kept; undefined: none is */
  readonly password: Effect.Effect<Password, NoPassword> | undefined
}

const parseName = (text: string): Effect.Effect<ProfileName, ProfileNameRefused> =>
  Effect.mapError(Schema.decodeEffect(ProfileName)(text), () => new ProfileNameRefused({ text: printable(text) }))

/** The password before the profile: after a crash no profile names a password that is not there. */
export const add = Effect.fnUntraced(function* (
  added: Added
): Effect.fn.Return<
  void,
  NoPassword | PasswordRule.PasswordRefused | ProfileExists | ProfileNameRefused | ProfilesFailed,
  FileSystem.FileSystem | Profiles | Screen
> {
  const profiles = yield* Profiles
  const name = yield* parseName(added.name)
  const base: Profile = { server: ServerAddress.show(added.server), user: added.user, ...added.rates }
  const { passwordCommand, replace } = added
  const isThere = (yield* profiles.list).includes(name)
  // Before a person is asked for anything.
  if (isThere && !replace) return yield* new ProfileExists({ name })
  if (added.password === undefined) {
    const source =
      added.passwordFile !== undefined
        ? { passwordFile: yield* absolute(added.passwordFile) }
        : passwordCommand === undefined
          ? {}
          : { passwordCommand: yield* Effect.as(parseCommand(passwordCommand), passwordCommand) }
    yield* profiles.add(name, { ...base, ...source }, { replace })
  } else {
    const password = yield* fitToKeep(yield* added.password)
    // Refused before a password is written beside the profile that stays.
    yield* profiles.add(name, base, { replace })
    const passwordFile = yield* profiles.keepPassword(name, password)
    yield* profiles.add(name, { ...base, passwordFile }, { replace: true })
  }
  const done = isThere ? "replaced" : "added"
  yield* (yield* Screen).err.write(`profile '${name}' ${done}: --server ${name} names it\n`)
})

/** What a file can hold in its first line, and an account can have. */
const fitToKeep = Effect.fnUntraced(function* (password: Password) {
  const text = Redacted.value(password)
  if (text === "") return yield* new NoPassword({ detail: "the password is empty: nothing was kept, give one" })
  return Redacted.make(yield* Effect.fromResult(PasswordRule.check(text, true)))
})

// As it is named now; the profile is used from other folders.
const absolute = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const missing = (cause: unknown) =>
    new NoPassword({ detail: `the password file ${printable(path)} is not there: make it first`, cause })
  const real = yield* Effect.mapError(fs.realPath(path), missing)
  const { type } = yield* Effect.mapError(fs.stat(real), missing)
  // It would be refused at each use, and in other words: a folder is never its owner's alone.
  yield* asFile(path, type)
  return real
})

/** One line for each; one that cannot be understood is told, and the rest goes on: false then. */
export const list = Effect.fnUntraced(function* (
  json: boolean
): Effect.fn.Return<boolean, ProfilesFailed, Profiles | Screen> {
  const profiles = yield* Profiles
  const { err, out } = yield* Screen
  const names = yield* profiles.list
  const width = Math.max(0, ...names.map((name) => name.length))
  let good = true
  for (const name of names) {
    yield* Effect.matchEffect(profiles.get(name), {
      onFailure: (error) => {
        good = false
        const event = json ? out.write(failedLine({ error, name })) : Effect.void
        return Effect.andThen(event, err.write(`profile '${name}': ${error.message}\n`))
      },
      onSuccess: (profile) =>
        profile === undefined
          ? Effect.void
          : out.write(json ? `${asciiJson({ name, ...profile })}\n` : `${name.padEnd(width)}  ${lineOf(profile)}\n`)
    })
  }
  if (names.length === 0) yield* err.write("no profile yet: 'profile add NAME USER@HOST:PORT' makes one\n")
  return good
})

const lineOf = ({ passwordCommand, passwordFile, server, user }: Profile): string => {
  const source = passwordFile !== undefined ? "from a file" : passwordCommand !== undefined ? "from a command" : "asked"
  return printable(`${user === undefined ? "" : `${user}@`}${server}  password ${source}`)
}

/** All that a profile says: where its password comes from, never the password. */
export const show = Effect.fnUntraced(function* (
  text: string,
  json: boolean
): Effect.fn.Return<void, NoSuchProfile | ProfileNameRefused | ProfilesFailed, Profiles | Screen> {
  const name = yield* parseName(text)
  const profile = yield* (yield* Profiles).get(name)
  if (profile === undefined) return yield* new NoSuchProfile({ name })
  const { out } = yield* Screen
  if (json) return yield* out.write(`${asciiJson({ name, ...profile })}\n`)
  const lines = [
    ["server", profile.server],
    ["user", profile.user],
    ["password-file", profile.passwordFile],
    ["password-command", profile.passwordCommand],
    ["up-rate", profile.upRate],
    ["down-rate", profile.downRate]
  ] as const
  yield* out.write(
    lines.flatMap(([key, value]) => (value === undefined ? [] : [`${key} = ${printable(value)}\n`])).join("")
  )
})

export const remove = Effect.fnUntraced(function* (
  text: string
): Effect.fn.Return<void, NoSuchProfile | ProfileNameRefused | ProfilesFailed, Profiles | Screen> {
  const name = yield* parseName(text)
  yield* (yield* Profiles).remove(name)
  yield* (yield* Screen).err.write(`profile '${name}' removed\n`)
})
