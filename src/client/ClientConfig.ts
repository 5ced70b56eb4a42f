/**
 * What a person says on the command line of the client.
 */
import { Effect, Option, Schema } from "effect"
import { Argument, type CliError, type CliOutput, Flag } from "effect/cli"
import type { Section } from "../manual.ts"
import { passwordFlags } from "../passwordFlags.ts"
import * as wrongUsage from "../wrongUsage.ts"
import { UserName } from "../domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import type { Rates } from "../domain/channel/ThrottledSocket.ts"
import * as Figures from "../domain/file/Figures.ts"
import { fileBytesMax, throttledBytesPerSecondMin, userNameBytesMax } from "../domain/limits.ts"
import * as Glob from "./Glob.ts"
import { LocalFiles } from "./LocalFiles.ts"
import * as Location from "./Location.ts"
import { publicUser } from "./PasswordSource.ts"
import { type Profile, ProfileName, Profiles, type ProfilesFailed } from "./Profiles.ts"
import * as ServerAddress from "./ServerAddress.ts"
import type { TreeOptions } from "./Trees.ts"

export const program = "paradrop"

/** Off unless it is given; there is no --no- form. */
const given = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

/** The command line is wrong: exit code 2. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override get message(): string {
    return `${this.detail} (${program} --help shows the usage)`
  }
}

/** A URL with a password in it is refused wherever it stands: an error would repeat it. */
export const refusePasswords = (args: ReadonlyArray<string>): Effect.Effect<void, WrongUsage> =>
  args.some((arg) => ServerAddress.isUrlWithPassword(/^--[^=]+=(.*)$/s.exec(arg)?.[1] ?? arg))
    ? Effect.fail(wrong(new ServerAddress.UrlRefused({ because: "password" })))
    : Effect.void

/** What only looks as if it asked for help is refused: it is some file's name. */
export const refuseClusters = (args: ReadonlyArray<string>): Effect.Effect<void, WrongUsage> => {
  const detail = wrongUsage.askedWithin(args)
  return detail === undefined ? Effect.void : Effect.fail(new WrongUsage({ detail }))
}

/** An empty pattern is a script's variable that was not set: it does not mean everything. */
export const notEmpty = (pattern: Option.Option<string>): Effect.Effect<void, WrongUsage> =>
  Option.contains(pattern, "")
    ? Effect.fail(new WrongUsage({ detail: "fetch takes a pattern, and '' is none: without one it lists all files" }))
    : Effect.void

const defaultServer = "127.0.0.1:8080"

const rate = (name: string, does: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("N"),
    Flag.withDescription(
      `bytes each second to ${does} at most, as 500K or 5M: it leaves the rest of the link to others`
    ),
    Flag.optional
  )

/** Said of every command. */
export const shared = {
  server: Flag.String("server").pipe(
    Flag.withMetavar("HOST:PORT"),
    Flag.withDescription(
      "the server, a profile's name, USER@HOST:PORT, or a URL; HOST alone means port 8080, an IPv6 address stands in " +
        `brackets; else that of a URL among the names, else ${defaultServer}`
    ),
    Flag.optional
  ),
  user: Flag.String("user").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription(`the account to log in to; without it that of the server's URL, else '${publicUser}'`),
    Flag.optional
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withoutNegation,
    Flag.withDescription("say only what was asked for and what went wrong: no progress, no news of each file"),
    Flag.withDefault(false)
  ),
  durability: Flag.Literals("durability", ["full", "os"]).pipe(
    Flag.withDescription(
      "of files that are written here. full: each survives a power cut once it is told; os: quicker, it survives the " +
        "end of the process"
    ),
    Flag.withDefault("full")
  ),
  upRate: rate("up-rate", "send"),
  downRate: rate("down-rate", "get"),
  json: Flag.Boolean("json").pipe(
    Flag.withoutNegation,
    Flag.withDescription("one JSON object a line on standard output, progress included"),
    Flag.withDefault(false)
  ),
  passwordFile: Flag.String("password-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("a file whose first line is the password; else PARADROP_PASSWORD, or you are asked"),
    Flag.optional
  ),
  passwordCommand: Flag.String("password-command").pipe(
    Flag.withMetavar("COMMAND"),
    Flag.withDescription(
      "a command whose first line of output is the password, as in 'pass show files'; without a shell"
    ),
    Flag.optional
  ),
  verbose: Flag.Boolean("verbose").pipe(
    Flag.withoutNegation,
    Flag.withDescription(
      "tell each file of a folder, what stands behind an error, and all that is known when the program itself breaks"
    ),
    Flag.withDefault(false)
  )
}

export const files = Argument.String("FILE").pipe(
  Argument.withDescription("a local file, or a pattern such as '*.txt'; the server gets its last part as name"),
  Argument.variadic({ min: 1 })
)

export const names = Argument.String("NAME").pipe(
  Argument.withDescription("a file of the server, its URL, or a pattern such as '*.txt' as 'fetch' takes it"),
  Argument.variadic({ min: 1 })
)

/** What is removed is named outright. */
export const removed = Argument.String("NAME").pipe(
  Argument.withDescription("a file of the server, or its URL; never a pattern"),
  Argument.variadic({ min: 1 })
)

export const pattern = Argument.String("PATTERN").pipe(
  Argument.withDescription(
    "show only names that fit, as in '*.txt' or 'photos/**', with code 1 when none does; or a server's URL, with " +
      "such a pattern behind it"
  ),
  Argument.optional
)

export const place = Argument.String("FOLDER").pipe(
  Argument.withDescription("the server's folder to begin in, or its URL, or that of the server alone"),
  Argument.optional
)

export const as = Flag.String("as").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("the name at the server, folders included, or its URL; for one file. With -r: a folder to fill"),
  Flag.optional
)

export const to = Flag.String("to").pipe(
  Flag.withMetavar("PATH"),
  Flag.withDescription(
    "the file to write, in the place of a link too, or an existing folder to write into; else the working folder. " +
      "With -r: a folder, made if new"
  ),
  Flag.optional
)

export const digest = given("digest", "show the digest of each file (BLAKE3), which the server may have to compute")

export const expect = Flag.String("expect").pipe(
  Flag.withMetavar("DIGEST"),
  Flag.withDescription("refuse unless the server's file has this digest now; for one file"),
  Flag.optional
)

const patterns = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("PATTERN"), Flag.withDescription(description), Flag.atLeast(0))

/** Said of whole folders. */
export const tree = {
  recursive: given("recursive", "take folders, with all that is below them").pipe(Flag.withAlias("r")),
  dryRun: given("dry-run", "with -r: say what would be done, and do nothing"),
  remove: given("delete", "with -r: remove what the other side does not have, below the named folders alone"),
  include: patterns("include", "with -r: only files that fit one of these, as a .gitignore says it; may be repeated"),
  exclude: patterns("exclude", "with -r: not what fits one of these; '!PATTERN' brings back; may be repeated")
}

/** Said of whole folders that are compared. */
export const comparedTree = {
  ...tree,
  checksum: given("checksum", "with -r: compare digests, not modification times, of files of equal size")
}

interface TreeFlags {
  readonly recursive: boolean
  readonly dryRun: boolean
  readonly remove: boolean
  readonly checksum?: boolean
  readonly include: ReadonlyArray<string>
  readonly exclude: ReadonlyArray<string>
}

/** What is said of folders; undefined without `-r`, which everything else said of them needs. */
export const parseTree = ({
  checksum = false,
  dryRun,
  exclude,
  include,
  recursive,
  remove
}: TreeFlags): Effect.Effect<TreeOptions | undefined, WrongUsage> => {
  if (recursive) return Effect.as(noneEmpty({ include, exclude }), { dryRun, remove, checksum, include, exclude })
  const said = [
    ...(dryRun ? ["--dry-run"] : []),
    ...(remove ? ["--delete"] : []),
    ...(checksum ? ["--checksum"] : []),
    ...(include.length > 0 ? ["--include"] : []),
    ...(exclude.length > 0 ? ["--exclude"] : [])
  ]
  return said.length > 0
    ? Effect.fail(new WrongUsage({ detail: `of folders alone, which take -r: ${said.join(", ")}` }))
    : Effect.undefined
}

/** An empty pattern fits nothing: it is a variable of a script that was not set, and something was meant by it. */
const noneEmpty = (patterns: Pick<TreeFlags, "include" | "exclude">): Effect.Effect<void, WrongUsage> => {
  const empty = (["include", "exclude"] as const).find((flag) => patterns[flag].includes(""))
  return empty === undefined
    ? Effect.void
    : Effect.fail(new WrongUsage({ detail: `--${empty} takes a pattern, and '' is none` }))
}

/** Of `fetch`. */
export const watchListing = given("watch", "go on: show what is added (+), changed (~) and removed (-), until Ctrl-C")

/** Of `para`. */
export const watchFiles = given(
  "watch",
  "as -r, and go on: bring the server up to date whenever something changes here, until Ctrl-C"
)

/** What follows local files speaks of folders as `-r` does, and of no single moment. */
export const parseWatched = (
  flags: TreeFlags,
  expect: Option.Option<string>,
  paths: ReadonlyArray<string>
): Effect.Effect<TreeOptions, WrongUsage, LocalFiles> =>
  Effect.gen(function* () {
    const { dryRun, recursive: _, remove, checksum = false, include, exclude } = flags
    yield* noneEmpty(flags)
    if (dryRun) return yield* new WrongUsage({ detail: "--dry-run moves nothing, and --watch goes on: give one" })
    if (Option.isSome(expect)) {
      return yield* new WrongUsage({ detail: "--expect speaks of one version, and --watch of all that come" })
    }
    const files = yield* LocalFiles
    for (const path of paths.filter(Glob.isPattern)) {
      // A name may look like a pattern.
      if ((yield* Effect.orElseSucceed(files.look(path), () => undefined)) !== undefined) continue
      return yield* new WrongUsage({
        detail: `--watch takes paths, and '${printable(path)}' is a pattern: let the shell expand it`
      })
    }
    return { dryRun, remove, checksum, include, exclude }
  })

/** Said of `passwd`. */
export const newPassword = {
  ...passwordFlags,
  newPasswordFile: Flag.String("new-password-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("a file whose first line is the new password; else you are asked"),
    Flag.optional
  )
}

export const replace = given("replace", "replace a file that has the new name; without it such a file is left alone")

export const newName = Argument.String("NEW").pipe(Argument.withDescription("its new name, folders included"))

export const name = Argument.String("NAME").pipe(Argument.withDescription("a file of the server, or its URL"))

export const file = Argument.String("FILE").pipe(Argument.withDescription("the local file to compare it with"))

export const profileName = Argument.String("NAME").pipe(Argument.withDescription("the name of the profile"))

export const profileServer = Argument.String("SERVER").pipe(
  Argument.withDescription("the server and the account: USER@HOST:PORT, HOST, or paradrop://USER@HOST:PORT")
)

export const keepPassword = given("keep-password", "ask for the password and keep it in a file that only you can read")

export const replaceProfile = given("replace", "write over a profile that has the name")

const isProfileName = Schema.is(ProfileName)

/** The name that `--server` has when it may be a profile's. A host of the same name is reached as HOST:PORT. */
export const profileMeant = (flags: Pick<Said, "server">): ProfileName | undefined => {
  const text = Option.getOrUndefined(flags.server)
  return text !== undefined && isProfileName(text) ? text : undefined
}

/** The profile that `--server` names. */
export const profileOf = Effect.fnUntraced(function* (
  flags: Pick<Said, "server">
): Effect.fn.Return<Profile | undefined, ProfilesFailed, Profiles> {
  const name = profileMeant(flags)
  return name === undefined ? undefined : yield* (yield* Profiles).get(name)
})

/** What was said of the server and the account. */
export interface Said {
  readonly server: Option.Option<string>
  readonly user: Option.Option<string>
}

const parseUser = (text: string): Effect.Effect<UserName, WrongUsage> =>
  Effect.mapError(Schema.decodeEffect(UserName)(text), () => {
    // What is behind a colon may be meant as a password.
    const [name = ""] = text.split(":")
    const shown = name === text ? printable(text) : `${printable(name)}:...`
    return new WrongUsage({
      detail: `'${shown}' is no user name: use 1 to ${userNameBytesMax} of a-z, 0-9, '.', '_' and '-'`
    })
  })

/** Whom a command speaks to, and as whom. */
export interface Whom {
  readonly server: ServerAddress.ServerAddress
  readonly user: UserName
  /** nobody has named the account */
  readonly assumed: boolean
}

/** Whom a command speaks to: `named` by a URL among its names, or by `--server`. `--user` counts more than either's. */
export const parseServer = Effect.fnUntraced(function* (
  flags: Said,
  named?: ServerAddress.Named,
  profile?: Profile
): Effect.fn.Return<Whom, WrongUsage> {
  const text = profile?.server ?? Option.getOrUndefined(flags.server)
  const said =
    text === undefined && named !== undefined
      ? named
      : yield* Effect.mapError(ServerAddress.parseNamed(text ?? defaultServer), wrong)
  if (named !== undefined && !Location.agree(said, named)) {
    return yield* new WrongUsage({ detail: "--server and a URL name different servers or accounts: give one of them" })
  }
  const spoken = Option.getOrUndefined(flags.user) ?? named?.user ?? profile?.user ?? said.user
  return { server: said.server, user: yield* parseUser(spoken ?? publicUser), assumed: spoken === undefined }
})

/** Where the password of this run comes from, when that was said. */
export const parsePassword = (flags: {
  readonly passwordFile: Option.Option<string>
  readonly passwordCommand: Option.Option<string>
}): Effect.Effect<
  { readonly passwordFile: string | undefined; readonly passwordCommand: string | undefined },
  WrongUsage
> => {
  const passwordFile = Option.getOrUndefined(flags.passwordFile)
  const passwordCommand = Option.getOrUndefined(flags.passwordCommand)
  const refused = (detail: string) => Effect.fail(new WrongUsage({ detail }))
  if (passwordFile !== undefined && passwordCommand !== undefined) {
    return refused("--password-file and --password-command exclude each other")
  }
  // A variable of a script that was not set; a profile would note down the working folder.
  if (passwordFile === "") return refused("--password-file takes a path, and '' is none")
  if (passwordCommand === "") return refused("--password-command takes a command, and '' is none")
  return Effect.succeed({ passwordFile, passwordCommand })
}

/** What was said of how quick a run may be. */
interface RateFlags {
  readonly upRate: Option.Option<string>
  readonly downRate: Option.Option<string>
}

/** The rates of a run: what is said now counts more than what a profile says. */
export const parseRates = Effect.fnUntraced(function* (
  flags: RateFlags,
  profile?: Profile
): Effect.fn.Return<Rates, WrongUsage> {
  const parse = (name: string, flag: Option.Option<string>, noted: string | undefined) =>
    Option.isSome(flag)
      ? parseRate(`--${name}`, flag.value)
      : noted === undefined
        ? Effect.undefined
        : parseRate(`${name} of the profile`, noted)
  return {
    up: yield* parse("up-rate", flags.upRate, profile?.upRate),
    down: yield* parse("down-rate", flags.downRate, profile?.downRate)
  }
})

/** The same as they were said, for a profile: they can be understood. */
export const saidRates = ({ downRate, upRate }: RateFlags): Effect.Effect<ProfileRates, WrongUsage> =>
  Effect.as(parseRates({ upRate, downRate }), {
    ...(Option.isSome(upRate) && { upRate: upRate.value }),
    ...(Option.isSome(downRate) && { downRate: downRate.value })
  })

type ProfileRates = Pick<Profile, "upRate" | "downRate">

const parseRate = (what: string, text: string): Effect.Effect<number, WrongUsage> => {
  const value = Figures.parseSize(text)
  if (value !== undefined && value >= throttledBytesPerSecondMin && value <= fileBytesMax) return Effect.succeed(value)
  const detail = `${what} is bytes each second, ${throttledBytesPerSecondMin} or more, as 500K or 5M`
  return Effect.fail(new WrongUsage({ detail: `${detail}; not '${printable(text)}'` }))
}

const wrong = ({ message }: { readonly message: string }) => new WrongUsage({ detail: message })

/** The server's names among arguments, and the server that URLs among them name. */
export const parseNames = (
  texts: ReadonlyArray<string>,
  options?: { readonly nameless: boolean }
): Effect.Effect<Location.Located, WrongUsage> => Effect.mapError(Location.parse(texts, options), wrong)

/** The same for one that may be left out: then it is undefined, and so is an empty one that may be `nameless`. */
export const parseName = (
  text: Option.Option<string>,
  options?: { readonly nameless: boolean }
): Effect.Effect<{ readonly name: string | undefined; readonly named: Location.Located["named"] }, WrongUsage> =>
  Effect.map(parseNames(Option.toArray(text), options), ({ named, names: [name] }) => ({
    name: name === "" && options?.nameless === true ? undefined : name,
    named
  }))

/** What is meant as a server, as scp, rsync and ssh take one, while none was named; undefined: nothing is. */
const foreignAmong = ({ server }: Pick<Said, "server">, texts: ReadonlyArray<string>) => {
  for (const text of Option.isNone(server) ? texts : []) {
    const url = Location.urlOfForeign(text)
    if (url !== undefined) return { text: printable(text), url: printable(url) }
  }
  return undefined
}

/**
 * No name is meant as a server while none was named: it would be asked of this machine's. A file of such a name is
 * reached with `--server`.
 */
export const namesNoServer = (
  said: Pick<Said, "server">,
  texts: ReadonlyArray<string>
): Effect.Effect<void, WrongUsage> => {
  const found = foreignAmong(said, texts)
  if (found === undefined) return Effect.void
  const { text, url } = found
  return Effect.fail(
    new WrongUsage({ detail: `'${text}' reads as a server: write ${url}, or name the server with --server` })
  )
}

/** The same of local paths: what is sent goes to a place that stands behind `--as`. */
export const pathsNoServer = (
  said: Pick<Said, "server">,
  paths: ReadonlyArray<string>
): Effect.Effect<void, WrongUsage> => {
  const url = paths.find(ServerAddress.isUrl)
  if (url !== undefined) {
    // What it holds may be a password.
    return Effect.flatMap(parseNames([url], { nameless: true }), () =>
      Effect.fail(new WrongUsage({ detail: "a URL names a file of the server, and these are local: say '--as URL'" }))
    )
  }
  const found = foreignAmong(said, paths)
  if (found === undefined) return Effect.void
  const own = `a local file of that name is './${found.text}'`
  return Effect.fail(
    new WrongUsage({ detail: `'${found.text}' reads as a server's file: say '--as ${found.url}'; ${own}` })
  )
}

/** And of the shell's folder, where ssh and sftp take a server. */
export const placeNoServer = ({ server }: Pick<Said, "server">, place: Option.Option<string>) =>
  Option.isSome(place) && Option.isNone(server) && /^[\w.-]+@[^\s/@]+$/.test(place.value)
    ? Effect.fail(
        new WrongUsage({
          detail: `'${place.value}' is a server and no folder: 'paradrop --server ${place.value} shell'`
        })
      )
    : Effect.void

/** `--expect` speaks of one version of one file. */
export const parseExpected = (
  files: ReadonlyArray<string>,
  text: string | undefined
): Effect.Effect<ContentDigest | undefined, WrongUsage> => {
  if (text === undefined) return Effect.undefined
  if (files.length > 1) return Effect.fail(new WrongUsage({ detail: "--expect speaks of one file: give one" }))
  return Effect.mapError(
    Schema.decodeEffect(ContentDigest)(text),
    () => new WrongUsage({ detail: "--expect takes a digest, 64 hex digits: 'fetch --digest' shows it" })
  )
}

/** `--as` names one file. */
export const oneName = (files: ReadonlyArray<string>, as: string | undefined): Effect.Effect<void, WrongUsage> =>
  as !== undefined && files.length > 1
    ? Effect.fail(new WrongUsage({ detail: "--as names one file: give one" }))
    : Effect.void

/** What the manual page says beyond the help. */
export const manualSections: ReadonlyArray<Section> = [
  {
    title: "Exit status",
    items: [
      ["0", "All was done."],
      ["1", "Something was refused or failed; each failure was told in one line."],
      ["2", "The command line is wrong."],
      ["129, 130, 143", "SIGHUP, SIGINT or SIGTERM ended it, as a shell tells it."],
      ["141", "Nobody reads its output any more."]
    ]
  },
  {
    title: "Environment",
    items: [
      ["PARADROP_PASSWORD", "The password, when neither a file nor a command is named for it."],
      ["PARADROP_DEBUG", "Not empty: as --verbose, also for what goes wrong before the flags are read."],
      ["NO_COLOR", "Not empty: no colours."],
      ["XDG_CONFIG_HOME", "Where paradrop/profiles and paradrop/passwords are; else ~/.config."],
      ["XDG_STATE_HOME", "Where the history of the shell is, paradrop/shell-history; else ~/.local/state."],
      ["XDG_CACHE_HOME", "Where what was compiled is kept, paradrop/compiled; else ~/.cache."],
      ["NODE_DISABLE_COMPILE_CACHE", "1: nothing compiled is kept."]
    ]
  }
]

/** How wrong usage is told. */
export const presenter = (report: (line: string) => Effect.Effect<void>): CliOutput.Presenter =>
  wrongUsage.presenter(program, wordsOf, report)

/** What stands in the place of a command may be an address with a password, which is not repeated. */
const wordsOf = (error: CliError.CliError | undefined): string => {
  if (error?._tag !== "UnknownSubcommand") return wrongUsage.usageText(error)
  const { subcommand } = error
  if (ServerAddress.holdsPassword(subcommand)) return new ServerAddress.UrlRefused({ because: "password" }).message
  return ServerAddress.isUrl(subcommand) || subcommand.includes("@")
    ? `'${subcommand}' is a server and no command: say '--server ${subcommand}', and then a command`
    : wrongUsage.usageText(error)
}
