/**
 * Port: servers by short names, as a person has noted them down.
 *
 * ## Contract (test: `profilesContract`)
 *
 * - A profile holds no password, only where one comes from.
 * - `add` without `replace` never changes a profile that is there, nor one that another program adds meanwhile. After a
 *   crash it is there whole or not at all.
 * - `get` gives what was added last, undefined for a name without a profile, and fails for one that cannot be
 *   understood: it is never taken for absent.
 * - `add` of more than `profileBytesMax` fails and changes nothing.
 * - `keepPassword` keeps a password where nobody else can read it, and gives the path for `passwordFile`. `remove`
 *   drops that too, and so does an `add` of a profile of that name with another `passwordFile` or none.
 */
import { Context, Effect, Layer, Redacted, Result, Schema } from "effect"
import { utf8Length } from "../domain/Bytes.ts"
import type { Password } from "../domain/channel/Opaque.ts"
import { profileBytesMax } from "../domain/limits.ts"

/**
 * A profile's name: a word without dots and colons, so that no address of the network looks like one, nor an option;
 * `localhost` is the only address without them that everybody has.
 */
export const ProfileName = Schema.String.check(Schema.isPattern(/^(?!localhost$)[a-z0-9][a-z0-9_-]{0,63}$/)).pipe(
  Schema.brand("ProfileName")
)
export type ProfileName = typeof ProfileName.Type

/** What a profile says. */
export interface Profile {
  /** as `--server` takes it, without an account */
  readonly server: string
  readonly user?: string
  /** a file whose first line is the password */
  readonly passwordFile?: string
  /** a command line that prints the password */
  readonly passwordCommand?: string
  /** bytes each second to send at most, as `--up-rate` takes them */
  readonly upRate?: string
  /** bytes each second to get at most */
  readonly downRate?: string
}

/** The profiles cannot be read or written. */
export class ProfilesFailed extends Schema.TaggedError<ProfilesFailed>()("ProfilesFailed", {
  /** printable: what is wrong, where, and what to do; never a value */
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** `add` replaces only when asked to. */
export class ProfileExists extends Schema.TaggedError<ProfileExists>()("ProfileExists", { name: Schema.String }) {
  override get message(): string {
    return `there is a profile '${this.name}' already: --replace writes over it`
  }
}

/** There is no profile of that name. */
export class NoSuchProfile extends Schema.TaggedError<NoSuchProfile>()("NoSuchProfile", { name: Schema.String }) {
  override get message(): string {
    return `there is no profile '${this.name}': 'profile list' shows what there is`
  }
}

/** What each field is called in a profile's text. */
export const keys: ReadonlyMap<string, keyof Profile> = new Map<string, keyof Profile>([
  ["server", "server"],
  ["user", "user"],
  ["password-file", "passwordFile"],
  ["password-command", "passwordCommand"],
  ["up-rate", "upRate"],
  ["down-rate", "downRate"]
])

/** JSON's strings are TOML's too, but for one control character. */
const textOf = (profile: Profile): string =>
  Array.from(keys, ([key, field]) => [key, profile[field]] as const)
    .flatMap(([key, value]) =>
      value === undefined ? [] : [`${key} = ${JSON.stringify(value).replaceAll("\x7f", "\\u007f")}\n`]
    )
    .join("")

/** The text of a profile, unless it would be larger than what is read. */
export const written = (name: ProfileName, profile: Profile): Result.Result<string, ProfilesFailed> => {
  const text = textOf(profile)
  if (utf8Length(text) <= profileBytesMax) return Result.succeed(text)
  const detail = `profile '${name}' would take more than ${profileBytesMax} bytes, and nothing was changed: shorten it`
  return Result.fail(new ProfilesFailed({ detail }))
}

/** Port: the profiles of the person who runs the client. */
export class Profiles extends Context.Service<
  Profiles,
  {
    readonly get: (name: ProfileName) => Effect.Effect<Profile | undefined, ProfilesFailed>
    /** Names, sorted. */
    readonly list: Effect.Effect<ReadonlyArray<ProfileName>, ProfilesFailed>
    readonly add: (
      name: ProfileName,
      profile: Profile,
      options?: { readonly replace?: boolean }
    ) => Effect.Effect<void, ProfileExists | ProfilesFailed>
    readonly remove: (name: ProfileName) => Effect.Effect<void, NoSuchProfile | ProfilesFailed>
    /** Keeps a password for the profile of that name, which need not be there yet; gives the file's path. */
    readonly keepPassword: (name: ProfileName, password: Password) => Effect.Effect<string, ProfilesFailed>
  }
>()("paradrop/client/Profiles") {
  /** Profiles in memory: gone with the layer. `passwords` shows what was kept, by path. */
  static readonly layerMemory = (passwords: Map<string, string> = new Map()): Layer.Layer<Profiles> =>
    Layer.sync(Profiles, () => {
      const profiles = new Map<ProfileName, Profile>()
      const pathOf = (name: ProfileName) => `/passwords/${name}`
      return Profiles.of({
        get: (name) => Effect.sync(() => profiles.get(name)),
        list: Effect.sync(() => [...profiles.keys()].toSorted()),
        add: (name, profile, { replace = false } = {}) =>
          Effect.suspend((): Effect.Effect<void, ProfileExists | ProfilesFailed> => {
            if (profiles.has(name) && !replace) return Effect.fail(new ProfileExists({ name }))
            const text = written(name, profile)
            if (Result.isFailure(text)) return Effect.fail(text.failure)
            profiles.set(name, profile)
            if (profile.passwordFile !== pathOf(name)) passwords.delete(pathOf(name))
            return Effect.void
          }),
        remove: (name) =>
          Effect.suspend(() => {
            passwords.delete(pathOf(name))
            return profiles.delete(name) ? Effect.void : Effect.fail(new NoSuchProfile({ name }))
          }),
        keepPassword: (name, password) =>
          Effect.sync(() => {
            passwords.set(pathOf(name), `${Redacted.value(password)}\n`)
            return pathOf(name)
          })
      })
    })
}
