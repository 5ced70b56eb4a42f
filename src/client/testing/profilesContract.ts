/**
 * The contract suite of the `Profiles` port, as data: any test runner can run it on any layer.
 *
 * Each case starts without profiles, and fails with `ContractBroken` (or with the layer's own failure) when the layer
 * does not keep the contract.
 */
import { Effect, Redacted } from "effect"
import { utf8Length } from "../../domain/Bytes.ts"
import { profileBytesMax } from "../../domain/limits.ts"
import { equal, failure } from "../../domain/testing/Contract.ts"
import { type Profile, ProfileName, Profiles } from "../Profiles.ts"

/** One promise of the port and the effect that checks it. */
export interface ProfilesCase {
  readonly name: string
  /** @param isKept whether there is something at the path of a kept password */
  readonly effect: (isKept: (path: string) => boolean) => Effect.Effect<void, unknown, Profiles>
}

const home = ProfileName.make("home")
const work = ProfileName.make("work-2")

const full: Profile = {
  server: "[2001:db8::1]:9000",
  user: "ada",
  upRate: "500K",
  downRate: "5m",
  passwordCommand: "pass show 'a \"b\" \\ c' \u{1f511}\u007f"
}

const givesWhatWasAdded = Effect.gen(function* () {
  const profiles = yield* Profiles
  yield* equal("an unknown profile", yield* profiles.get(home), undefined)
  yield* profiles.add(home, full)
  yield* equal("the profile", yield* profiles.get(home), full)
  yield* profiles.add(work, { server: "files.example" })
  yield* equal("a profile of a server alone", yield* profiles.get(work), { server: "files.example" })
  yield* equal("the first one still", yield* profiles.get(home), full)
})

const listsByName = Effect.gen(function* () {
  const profiles = yield* Profiles
  yield* equal("the names of none", yield* profiles.list, [])
  yield* profiles.add(work, full)
  yield* profiles.add(home, full)
  yield* equal("the names", yield* profiles.list, [home, work])
})

const replacesOnlyWhenAsked = Effect.gen(function* () {
  const profiles = yield* Profiles
  yield* profiles.add(home, full)
  const other = { server: "other.example", passwordFile: "/secret" }
  const refused = yield* failure("adding again", profiles.add(home, other))
  yield* equal("the refusal", refused._tag, "ProfileExists")
  yield* equal("the profile that stays", yield* profiles.get(home), full)
  yield* profiles.add(home, other, { replace: true })
  yield* equal("the profile that was asked for", yield* profiles.get(home), other)
})

const refusesWhatItWouldNotRead = Effect.gen(function* () {
  const profiles = yield* Profiles
  // Two bytes each; what is around them is short.
  const largest = { server: "file.example", passwordCommand: "ü".repeat((profileBytesMax - largestRest) / 2) }
  yield* profiles.add(home, largest)
  yield* equal("the largest", yield* profiles.get(home), largest)
  const larger = { ...largest, passwordCommand: `${largest.passwordCommand}x` }
  const refused = yield* failure("adding a larger one", profiles.add(home, larger, { replace: true }))
  const told = `profile 'home' would take more than ${profileBytesMax} bytes, and nothing was changed: shorten it`
  yield* equal("the refusal", refused.message, told)
  yield* equal("the profile that stays", yield* profiles.get(home), largest)
})

const largestRest = utf8Length('server = "file.example"\npassword-command = ""\n')

const removesOne = Effect.gen(function* () {
  const profiles = yield* Profiles
  yield* profiles.add(home, full)
  yield* profiles.add(work, full)
  yield* profiles.remove(home)
  yield* equal("the names that stay", yield* profiles.list, [work])
  const refused = yield* failure("removing again", profiles.remove(home))
  yield* equal("the refusal", refused._tag, "NoSuchProfile")
})

const keepsPasswords = Effect.gen(function* () {
  const profiles = yield* Profiles
  const path = yield* profiles.keepPassword(home, Redacted.make("first"))
  yield* equal("the path of the next password", yield* profiles.keepPassword(home, Redacted.make("second")), path)
  yield* equal("the names, which a password is not", yield* profiles.list, [])
  yield* profiles.add(home, { server: "files.example", passwordFile: path })
  yield* profiles.remove(home)
  yield* equal("the profile that was removed", yield* profiles.get(home), undefined)
})

const dropsPasswords = (isKept: (path: string) => boolean) =>
  Effect.gen(function* () {
    const profiles = yield* Profiles
    const server = "files.example"
    for (const next of [{}, { passwordCommand: "pass show x" }, { passwordFile: "/secret" }]) {
      const passwordFile = yield* profiles.keepPassword(home, Redacted.make("s3cret"))
      yield* profiles.add(home, { server, passwordFile }, { replace: true })
      yield* failure("adding again", profiles.add(home, { server, ...next }))
      yield* equal("whether it is kept for its profile", isKept(passwordFile), true)
      yield* profiles.add(home, { server, ...next }, { replace: true })
      yield* equal("whether it is kept for the next one", isKept(passwordFile), false)
    }
    const path = yield* profiles.keepPassword(home, Redacted.make("s3cret"))
    yield* profiles.remove(home)
    yield* equal("whether it is kept for none", isKept(path), false)
  })

/** What every `Profiles` layer promises. */
export const profilesContract: ReadonlyArray<ProfilesCase> = [
  { name: "gives what was added, every character of it", effect: () => givesWhatWasAdded },
  { name: "lists the names, sorted", effect: () => listsByName },
  { name: "replaces a profile only when asked to", effect: () => replacesOnlyWhenAsked },
  { name: "refuses to add what it would not read", effect: () => refusesWhatItWouldNotRead },
  { name: "removes one, and says when there is none", effect: () => removesOne },
  { name: "keeps a password beside it, one for each name", effect: () => keepsPasswords },
  { name: "drops a kept password with the profile that named it", effect: dropsPasswords }
]
