/**
 * What a person says on the command line of the client.
 */
import { Effect, Option, Schema } from "effect"
import { Argument, CliOutput, Flag } from "effect/cli"
import type { Section } from "../manual.ts"
import { passwordFlags } from "../passwordFlags.ts"
import { UserName } from "../domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { userNameBytesMax } from "../domain/limits.ts"
import * as Location from "./Location.ts"
import { publicUser } from "./PasswordSource.ts"
import * as ServerAddress from "./ServerAddress.ts"

export const program = "paradrop"

/** The command line is wrong: exit code 2. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override get message(): string {
    return `${this.detail} (${program} --help shows the usage)`
  }
}

const defaultServer = "127.0.0.1:8080"

/** Said of every command. */
export const shared = {
  server: Flag.String("server").pipe(
    Flag.withMetavar("HOST:PORT"),
    Flag.withDescription(
      "the server, or paradrop://USER@HOST:PORT; HOST alone means port 8080, an IPv6 address stands in brackets; " +
        `else that of a URL among the names, else ${defaultServer}`
    ),
    Flag.optional
  ),
  user: Flag.String("user").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription(`the account to log in to; without it that of the server's URL, else '${publicUser}'`),
    Flag.optional
  ),
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
  verbose: Flag.Boolean("verbose").pipe(
    Flag.withoutNegation,
    Flag.withDescription("show what stands behind an error, and all that is known when the program itself breaks"),
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

export const pattern = Argument.String("PATTERN").pipe(
  Argument.withDescription(
    "show only names that fit, as in '*.txt' or 'photos/**'; or a server's URL, with such a pattern behind it"
  ),
  Argument.optional
)

export const place = Argument.String("FOLDER").pipe(
  Argument.withDescription("the server's folder to begin in, or its URL, or that of the server alone"),
  Argument.optional
)

export const as = Flag.String("as").pipe(
  Flag.withMetavar("NAME"),
  Flag.withDescription("the name at the server, folders included, or its URL; for one file"),
  Flag.optional
)

export const to = Flag.String("to").pipe(
  Flag.withMetavar("PATH"),
  Flag.withDescription("the file to write, or an existing folder to write into; else the working folder"),
  Flag.optional
)

export const digest = Flag.Boolean("digest").pipe(
  Flag.withoutNegation,
  Flag.withDescription("show the digest of each file (BLAKE3), which the server may have to compute"),
  Flag.withDefault(false)
)

export const expect = Flag.String("expect").pipe(
  Flag.withMetavar("DIGEST"),
  Flag.withDescription("refuse unless the server's file has this digest now; for one file"),
  Flag.optional
)

/** Said of `passwd`. */
export const newPassword = {
  ...passwordFlags,
  newPasswordFile: Flag.String("new-password-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("a file whose first line is the new password; else you are asked"),
    Flag.optional
  )
}

export const replace = Flag.Boolean("replace").pipe(
  Flag.withoutNegation,
  Flag.withDescription("replace a file that has the new name; without it such a file is left alone"),
  Flag.withDefault(false)
)

export const newName = Argument.String("NEW").pipe(Argument.withDescription("its new name, folders included"))

export const name = Argument.String("NAME").pipe(Argument.withDescription("a file of the server, or its URL"))

export const file = Argument.String("FILE").pipe(Argument.withDescription("the local file to compare it with"))

const parseUser = (text: string): Effect.Effect<UserName, WrongUsage> =>
  Effect.mapError(
    Schema.decodeEffect(UserName)(text),
    () =>
      new WrongUsage({
        detail: `'${printable(text)}' is no user name: use 1 to ${userNameBytesMax} of a-z, 0-9, '.', '_' and '-'`
      })
  )

/** Whom a command speaks to: `named` by a URL among its names, or by `--server`. `--user` counts more than either's. */
export const parseServer = Effect.fnUntraced(function* (
  flags: { readonly server: Option.Option<string>; readonly user: Option.Option<string> },
  named?: ServerAddress.Named
): Effect.fn.Return<{ readonly server: ServerAddress.ServerAddress; readonly user: UserName }, WrongUsage> {
  const text = Option.getOrUndefined(flags.server)
  const said =
    text === undefined && named !== undefined
      ? named
      : yield* Effect.mapError(ServerAddress.parseNamed(text ?? defaultServer), wrong)
  if (named !== undefined && !Location.agree(said, named)) {
    return yield* new WrongUsage({ detail: "--server and a URL name different servers or accounts: give one of them" })
  }
  const user = yield* parseUser(Option.getOrUndefined(flags.user) ?? named?.user ?? said.user ?? publicUser)
  return { server: said.server, user }
})

const wrong = ({ message }: { readonly message: string }) => new WrongUsage({ detail: message })

/** The server's names among arguments, and the server that URLs among them name. */
export const parseNames = (
  texts: ReadonlyArray<string>,
  options?: { readonly nameless: boolean }
): Effect.Effect<Location.Located, WrongUsage> => Effect.mapError(Location.parse(texts, options), wrong)

/** The same for one that may be left out: then it is undefined. */
export const parseName = (
  text: Option.Option<string>,
  options?: { readonly nameless: boolean }
): Effect.Effect<{ readonly name: string | undefined; readonly named: Location.Located["named"] }, WrongUsage> =>
  Effect.map(parseNames(Option.toArray(text), options), ({ named, names: [name] }) => ({
    name: name === "" ? undefined : name,
    named
  }))

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
      ["129, 130, 143", "SIGHUP, SIGINT or SIGTERM ended it."],
      ["141", "Nobody reads its output any more."]
    ]
  },
  {
    title: "Environment",
    items: [
      ["PARADROP_PASSWORD", "The password, when no file is named for it."],
      ["NO_COLOR", "Not empty: no colours."]
    ]
  }
]

/** Help as usual; wrong usage in one line: the first error, the others mostly follow from it. */
export const presenter = (report: (line: string) => Effect.Effect<void>): CliOutput.Presenter => ({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? report(`${oneLine(event.errors[0]?.message ?? "wrong usage")} (${program} --help shows the usage)`)
      : CliOutput.defaultPresenter.present(event)
})

/** Text in one line, safe for a terminal. */
export const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, " "))
