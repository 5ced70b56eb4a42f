/**
 * Profiles in the person's own folder of configuration, one file for each: `profiles/NAME.toml`.
 *
 * One file each, so that a program that adds one never touches another, nor what a person has written there by hand.
 * Passwords that are kept lie apart, in `passwords/NAME`. Both are readable by their owner alone. Several programs may
 * change them at once, without a lock: not every file system of a home has them.
 */
import { randomUUID } from "node:crypto"
import process from "node:process"
import {
  Clock,
  Effect,
  FileSystem,
  Layer,
  Option,
  Path,
  type PlatformError,
  Redacted,
  Result,
  Schema,
  Semaphore
} from "effect"
import { Toml } from "effect/encoding"
import { printable } from "../domain/file/Printable.ts"
import { profileBytesMax, profileLeftoverMilliseconds } from "../domain/limits.ts"
import { nearest } from "../domain/Nearest.ts"
import * as StateFile from "../domain/session/StateFile.ts"
import { isFull, platformWords, systemCode, systemCodeOf } from "../domain/SystemCode.ts"
import {
  keys,
  NoSuchProfile,
  type Profile,
  ProfileExists,
  ProfileName,
  Profiles,
  ProfilesFailed,
  written
} from "./Profiles.ts"

/**
 * Where a person's configuration is on this platform: `XDG_CONFIG_HOME/paradrop` or `~/.config/paradrop`,
 * `~/Library/Application Support/paradrop` on macOS, `%APPDATA%\paradrop` on Windows. Undefined without a home.
 *
 * @param platform as Node names it
 */
export const configFolder = (
  environment: Readonly<Record<string, string | undefined>>,
  platform: string
): Effect.Effect<string | undefined, never, Path.Path> =>
  Effect.map(Path.Path, (path) => {
    const candidates: ReadonlyArray<readonly [string, ...ReadonlyArray<string>]> =
      platform === "win32"
        ? [["APPDATA"]]
        : platform === "darwin"
          ? [["HOME", "Library", "Application Support"]]
          : [["XDG_CONFIG_HOME"], ["HOME", ".config"]]
    for (const [variable, ...below] of candidates) {
      const base = environment[variable] ?? ""
      // A relative folder would be another one in each working folder.
      if (path.isAbsolute(base)) return path.join(base, ...below, "paradrop")
    }
    return undefined
  })

/**
 * @param folder an absolute path, which need not exist; undefined: there are no profiles and none can be added
 * @param options.modeless file modes mean nothing here, as on Windows
 */
export const layer = (
  folder: string | undefined,
  options: { readonly modeless?: boolean } = {}
): Layer.Layer<Profiles, never, FileSystem.FileSystem | Path.Path> => Layer.effect(Profiles, make(folder, options))

const isName = Schema.is(ProfileName)
const extension = ".toml"

const make = Effect.fnUntraced(function* (folder: string | undefined, { modeless = false }: { modeless?: boolean }) {
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  // Two at once would take each other's temporary file; one that is broken off would leave a password of nobody's.
  const oneAtATime = yield* Semaphore.make(1)
  const change = <A, E>(work: Effect.Effect<A, E>) => oneAtATime.withPermit(Effect.uninterruptible(work))
  const inFolder = (kind: "passwords" | "profiles", name: string) => path.join(folder ?? "", kind, name)
  const fileOf = (name: ProfileName) => inFolder("profiles", `${name}${extension}`)
  const passwordOf = (name: ProfileName) => inFolder("passwords", name)

  /** Gives whether it was written: without `replace` not over one that is there. */
  const write = (file: string, text: string, replace: boolean) =>
    folder === undefined
      ? Effect.fail(failed("this user has no home folder for profiles: set XDG_CONFIG_HOME"))
      : Effect.gen(function* () {
          yield* StateFile.makeFolder(path.dirname(file))
          yield* dropLeftovers(file)
          yield* StateFile.place(file, text, { temporary: `${file}.${randomUUID()}.new`, replace })
          return true
        }).pipe(
          Effect.catchIf(
            ({ reason }) => reason._tag === "AlreadyExists" && !replace,
            () => Effect.succeed(false)
          ),
          Effect.mapError(unusable(file)),
          Effect.provideContext(context)
        )

  /** Gives whether there was one: another program may be the first. */
  const drop = (file: string) =>
    Effect.as(fs.remove(file), true).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed(false)),
      Effect.mapError(unusable(file))
    )

  const dropPassword = (name: ProfileName) => drop(passwordOf(name))

  const exists = (file: string) =>
    fs.exists(file).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed(false)),
      Effect.mapError(unusable(file))
    )

  return Profiles.of({
    get: Effect.fnUntraced(function* (name) {
      const file = fileOf(name)
      if (folder === undefined) return undefined
      const content = yield* StateFile.read(file, profileBytesMax).pipe(
        Effect.catchTag("StateFileTooLarge", () =>
          Effect.fail(failed(`${printable(file)} is too large for a profile`))
        ),
        // Also when another program has just removed it.
        Effect.catchTag("PlatformError", (error) =>
          isMissing(error) ? Effect.undefined : Effect.fail(unusable(file)(error))
        ),
        Effect.provideContext(context)
      )
      if (content === undefined) return undefined
      const found = yield* Effect.fromResult(
        Result.mapError(parse(content.text, printable(file), path.isAbsolute), failed)
      )
      if (found.passwordCommand !== undefined && !modeless) yield* writtenByOwner(file)
      return found
    }, Effect.provideContext(context)),
    list: Effect.gen(function* () {
      const profiles = path.join(folder ?? "", "profiles")
      if (folder === undefined || !(yield* exists(profiles))) return []
      const entries = yield* Effect.mapError(fs.readDirectory(profiles), unusable(profiles))
      return entries
        .filter((entry) => entry.endsWith(extension))
        .map((entry) => entry.slice(0, -extension.length))
        .filter((name) => isName(name))
        .toSorted()
    }),
    add: Effect.fnUntraced(function* (name, profile, { replace = false } = {}) {
      const file = fileOf(name)
      if (!replace && (yield* exists(file))) return yield* new ProfileExists({ name })
      const text = yield* Effect.fromResult(written(name, profile))
      // Another program may have added one meanwhile.
      if (!(yield* write(file, text, replace))) return yield* new ProfileExists({ name })
      // The one that was kept for the profile before it.
      if (profile.passwordFile === undefined || path.resolve(profile.passwordFile) !== passwordOf(name)) {
        yield* dropPassword(name)
      }
    }, change),
    remove: Effect.fnUntraced(function* (name) {
      // The profile first: after a crash none is left that names a password that is gone.
      const there = folder !== undefined && (yield* drop(fileOf(name)))
      if (folder !== undefined) yield* dropPassword(name)
      if (!there) return yield* new NoSuchProfile({ name })
    }, change),
    keepPassword: (name, password) =>
      Effect.as(change(write(passwordOf(name), `${Redacted.value(password)}\n`, true)), passwordOf(name))
  })
})

/** What a crash has left of the file. What is young may be another program's that is just writing it. */
const dropLeftovers = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.dirname(file)
  const now = yield* Clock.currentTimeMillis
  const entries = yield* Effect.orElseSucceed(fs.readDirectory(folder), () => [])
  const left = entries.filter((entry) => entry.startsWith(`${path.basename(file)}.`) && entry.endsWith(".new"))
  const drop = Effect.fnUntraced(function* (leftover: string) {
    const { mtime } = yield* fs.stat(leftover)
    const isOld = Option.exists(mtime, (date) => now - date.getTime() > profileLeftoverMilliseconds)
    if (isOld) yield* fs.remove(leftover, { force: true })
  })
  yield* Effect.forEach(left, (entry) => Effect.ignore(drop(path.join(folder, entry))), { discard: true })
})

/** Whoever may write a command there has it run by who uses the profile. A group is often the owner's own. */
const writtenByOwner = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = (yield* Path.Path).dirname(file)
  const { mode, uid } = yield* Effect.mapError(fs.stat(file), unusable(file))
  const above = yield* Effect.mapError(fs.stat(folder), unusable(folder))
  const shown = printable(file)
  // What the administrator writes there is no worse than what they may do anyway.
  if (Option.exists(uid, (owner) => owner !== 0 && owner !== process.geteuid?.())) {
    return yield* failed(`${shown}, which names a command to run, is another user's: look at it, and make it yours`)
  }
  if ((above.mode & 0o1002) === 0o002) {
    const place = printable(folder)
    return yield* failed(`others may replace ${shown}, which names a command to run: 'chmod o-w ${place}', and look`)
  }
  if ((mode & 0o002) === 0) return
  return yield* failed(`others may write ${shown}, which names a command to run: 'chmod o-w ${shown}', and look at it`)
})

const failed = (detail: string): ProfilesFailed => new ProfilesFailed({ detail })

/** Below a file there is nothing: as with a home of `/dev/null`, which people have who are none. */
const isMissing = (error: PlatformError.PlatformError): boolean =>
  error.reason._tag === "NotFound" || isBelowFile(error)
const isBelowFile = ({ reason }: PlatformError.PlatformError): boolean => systemCode(reason.cause) === "ENOTDIR"

const unusable =
  (file: string) =>
  (error: PlatformError.PlatformError): ProfilesFailed =>
    failed(
      isBelowFile(error)
        ? `${printable(file)} cannot be there, for a part of its path is no folder: set XDG_CONFIG_HOME to one`
        : error.reason._tag === "BadResource"
          ? `${printable(file)} is no file: put one there, or move it away`
          : `${printable(file)} cannot be used (${platformWords(error)}): ${advice(systemCodeOf(error.reason.cause))}`
    )

const advice = (code: string): string => (isFull(code) ? "make room" : "check who may read and write it")

// -----------------------------------------------------------------------------
// The text of one profile
// -----------------------------------------------------------------------------

/** A profile, or what is wrong with the text and where; no value is repeated, for it may be a password. */
const parse = (text: string, file: string, isAbsolute: Path.Path["isAbsolute"]): Result.Result<Profile, string> => {
  const parsed = Toml.parse(text)
  if (Result.isFailure(parsed)) return Result.fail(`${file} is no TOML: write KEY = "VALUE" in each line`)
  const found: { -readonly [field in keyof Profile]: Profile[field] } = { server: "" }
  for (const [key, value] of Object.entries(parsed.success)) {
    const place = placeOf(text, key, file)
    const field = keys.get(key)
    if (field === undefined) return Result.fail(`${place}: ${unknown(key)}`)
    if (typeof value !== "string" || value === "") return Result.fail(`${place}: '${key}' must be a text in quotes`)
    // The profile is used from other folders.
    if (key === "password-file" && !isAbsolute(value)) {
      return Result.fail(`${place}: '${key}' must be an absolute path`)
    }
    found[field] = value
  }
  if (found.server === "") return Result.fail(`${file}: 'server' is missing`)
  if (found.passwordFile !== undefined && found.passwordCommand !== undefined) {
    return Result.fail(`${file}: 'password-file' and 'password-command' exclude each other`)
  }
  return Result.succeed(found)
}

const unknown = (key: string): string => {
  if (key === "password") return "a password has no place here: name a 'password-file' or a 'password-command'"
  const meant = nearest(key, [...keys.keys()])
  const known = meant === undefined ? `it may be ${[...keys.keys()].join(", ")}` : `did you mean '${meant}'?`
  return `unknown key '${printable(key)}': ${known}`
}

const placeOf = (text: string, key: string, file: string): string => {
  const index = text.split("\n").findIndex((line) => line.trimStart().replace(/^["']/, "").startsWith(key))
  return index < 0 ? file : `line ${index + 1} of ${file}`
}
