/**
 * The command line: what each command takes, and what it does. The work itself is elsewhere.
 */
import process from "node:process"
import { Effect, Layer, Option, Schema, Stdio } from "effect"
import { Command } from "effect/cli"
import * as OpaqueNode from "../domain/channel/OpaqueNode.ts"
import * as ThrottledSocket from "../domain/channel/ThrottledSocket.ts"
import { turn } from "../domain/store/SmallFilesNode.ts"
import type { OutputEnded } from "../exitCode.ts"
import * as ClientConfig from "./ClientConfig.ts"
import * as Commands from "./Commands.ts"
import { Durability } from "./LocalFiles.ts"
import * as LocalWatchNode from "./LocalWatchNode.ts"
import { OwnPassword } from "./PasswordCommand.ts"
import * as ProfileCommands from "./ProfileCommands.ts"
import type { Failure } from "./Reporter.ts"
import * as ReporterJson from "./ReporterJson.ts"
import * as ReporterQuiet from "./ReporterQuiet.ts"
import * as ReporterText from "./ReporterText.ts"
import * as ReporterVerbose from "./ReporterVerbose.ts"
import { Screen } from "./Screen.ts"
import * as ServerAddress from "./ServerAddress.ts"
import * as SessionsNode from "./SessionsNode.ts"
import * as Shell from "./Shell.ts"
import * as Watching from "./Watching.ts"

/** Something failed and was reported: exit code 1. */
export class SomeFailed extends Schema.TaggedError<SomeFailed>()("SomeFailed", {}) {}

/** Before each line that is told of a failure. */
export const prefix = `${ClientConfig.program}: `

/** Whether what stands behind a failure is told. */
export const isVerbose = (): boolean => verbose

let verbose = (process.env["PARADROP_DEBUG"] ?? "") !== ""

const root = Command.make(ClientConfig.program).pipe(
  Command.withSharedFlags(ClientConfig.shared),
  Command.withDescription("Moves files to and from a paradrop server, encrypted."),
  Command.withExamples([
    { command: "paradrop", description: "on a terminal: the shell" },
    { command: "paradrop --server files.example --user ada fetch", description: "lists what ada sees there" },
    { command: "paradrop upload report.pdf", description: "to the server on this machine" }
  ])
)

type Flags = Effect.Success<typeof root>

/** A script is told as an event as well what ends a command; of wrong usage, which no script mends, standard error. */
const alsoAsEvent =
  (flags: Pick<Flags, "json">) =>
  <A, E extends Failure["error"], R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | OutputEnded, R | Screen> =>
    Effect.tapError(work, (error) =>
      flags.json && error._tag !== "SomeFailed" && !isUsage(error)
        ? Effect.flatMap(Screen, ({ out }) => out.write(ReporterJson.failedLine({ error })))
        : Effect.void
    )

/** Whether the command line is to blame: exit code 2. */
export const isUsage = ({ _tag }: Failure["error"]): boolean => _tag === "WrongUsage" || _tag === "ProfileNameRefused"

/** Runs with what the shared flags say; false means that something failed and was reported. */
const running = <E extends Failure["error"], R>(
  flags: Flags,
  work: Effect.Effect<boolean, E, R>,
  reportPrefix: string,
  named?: ServerAddress.Named
) => alsoAsEvent(flags)(runningWith(flags, work, reportPrefix, named))

const runningWith = Effect.fnUntraced(function* <E extends Failure["error"], R>(
  flags: Flags,
  work: Effect.Effect<boolean, E, R>,
  reportPrefix: string,
  named?: ServerAddress.Named
) {
  yield* turn
  verbose ||= flags.verbose
  const profile = yield* ClientConfig.profileOf(flags)
  const target = {
    ...(yield* ClientConfig.parseServer(flags, named, profile)),
    ...(yield* ClientConfig.parsePassword(flags)),
    profile,
    noProfile: profile === undefined ? ClientConfig.profileMeant(flags) : undefined
  }
  const rates = yield* ClientConfig.parseRates(flags, profile)
  const contentBytesMax = ThrottledSocket.contentBytesMax(rates)
  const throttled = { socket: yield* ThrottledSocket.make(rates), contentBytesMax }
  const told = (flags.json ? ReporterJson : ReporterText).layer(reportPrefix)
  const plain = flags.quiet ? ReporterQuiet.layer(told) : told
  const reporter = verbose ? ReporterVerbose.layer(plain) : plain
  const screen = yield* Screen
  const succeeded = yield* work.pipe(
    Effect.provideService(Screen, flags.json ? forEvents(screen) : screen),
    Effect.provide(Layer.provideMerge(SessionsNode.layer(target, throttled), reporter)),
    Effect.provideService(Durability, flags.durability)
  )
  if (!succeeded) return yield* new SomeFailed()
  // Loading it begins here: it is most of what a login computes with, and nothing else needs it.
}, Effect.provide(OpaqueNode.layer))

/** Standard output is for events alone: what only people read goes elsewhere. */
const forEvents = ({ err, out }: Screen["Service"]) => Screen.of({ err, out: { ...out, write: err.write } })

/** @param named the server, when a URL among the names said it */
const once = (command: Commands.Command, named?: ServerAddress.Named) =>
  Effect.flatMap(root, (flags) => running(flags, Commands.run(command), prefix, named))

const { as, digest, expect, file, files, name, names, newName, oneName, pattern, replace, to } = ClientConfig
const { parseExpected } = ClientConfig

/** A name that is meant as a server is refused, unless a URL or a flag names one. */
const checked = <A extends { readonly named: ServerAddress.Named | undefined }>(
  texts: ReadonlyArray<string>,
  parsed: Effect.Effect<A, ClientConfig.WrongUsage>
) =>
  Effect.tap(parsed, ({ named }) =>
    named === undefined ? Effect.flatMap(root, (flags) => ClientConfig.namesNoServer(flags, texts)) : Effect.void
  )

/** The server's names among arguments. */
const parseNames = (texts: ReadonlyArray<string>) => checked(texts, ClientConfig.parseNames(texts))

/** The same for one that may be left out. */
const parseName = (text: Option.Option<string>, options?: { readonly nameless: boolean }) =>
  checked(Option.toArray(text), ClientConfig.parseName(text, options))

/** Local paths, and the server's name behind `--as`. */
const parsePaths = (paths: ReadonlyArray<string>, as: Option.Option<string>) =>
  Effect.flatMap(root, (flags) => Effect.andThen(ClientConfig.pathsNoServer(flags, paths), parseName(as)))

const fetch = Command.make(
  "fetch",
  { pattern, digest, watch: ClientConfig.watchListing },
  ({ digest, pattern, watch }) =>
    Effect.flatMap(
      Effect.andThen(ClientConfig.notEmpty(pattern), parseName(pattern, { nameless: true })),
      ({ name, named }) =>
        watch
          ? Effect.flatMap(root, (flags) => running(flags, Watching.fetch(name, digest), prefix, named))
          : once({ _tag: "Fetch", pattern: name, digests: digest }, named)
    )
).pipe(
  Command.withDescription("List the server's files"),
  Command.withExamples([
    { command: "paradrop fetch", description: "all files" },
    { command: "paradrop fetch '*.pdf'", description: "those whose name ends so, in any folder" },
    { command: "paradrop fetch --watch", description: "all files, and then what happens to them" },
    { command: "paradrop fetch paradrop://ada@files.example:8080", description: "at that server, as that account" }
  ])
)

const upload = Command.make("upload", { files, as, ...ClientConfig.tree }, ({ as, files, ...flags }) =>
  Effect.gen(function* () {
    const { name, named } = yield* parsePaths(files, as)
    const tree = yield* ClientConfig.parseTree(flags)
    if (tree === undefined) yield* oneName(files, name)
    yield* once({ _tag: "Upload", files, as: name, tree }, named)
  })
).pipe(
  Command.withDescription("Send files to the server"),
  Command.withExamples([
    { command: "paradrop upload report.pdf", description: "stored as report.pdf" },
    { command: "paradrop upload '*.pdf' notes.txt", description: "several at once; each is told, then a summary" },
    { command: "paradrop upload report.pdf --as 2026/report.pdf", description: "stored in a folder" },
    { command: "paradrop upload -r photos", description: "stored as photos/..., every file of it" },
    { command: "paradrop upload -r photos --as 2026 --exclude '*.tmp'", description: "stored as 2026/photos/..." },
    { command: "paradrop upload -r photos/. --as 2026", description: "what is in it, stored as 2026/..." }
  ])
)

const download = Command.make("download", { names, to, ...ClientConfig.comparedTree }, ({ names, to, ...flags }) =>
  Effect.flatMap(parseNames(names), ({ named, names }) =>
    Effect.flatMap(ClientConfig.parseTree(flags), (tree) =>
      once({ _tag: "Download", names, to: Option.getOrUndefined(to), tree }, named)
    )
  )
).pipe(
  Command.withDescription("Get files from the server"),
  Command.withExamples([
    { command: "paradrop download 2026/report.pdf", description: "written to ./report.pdf" },
    { command: "paradrop download '2026/**' --to folder", description: "all that fit, into an existing folder" },
    { command: "paradrop download report.pdf --to old.pdf", description: "written to ./old.pdf" },
    { command: "paradrop download -r photos --to backup", description: "written to backup/photos/..., what differs" },
    { command: "paradrop download -r . --to backup", description: "everything" },
    { command: "paradrop download paradrop://ada@files.example/2026/report.pdf", description: "by its URL" }
  ])
)

/** Goes on until it is interrupted, or until the server wants no more of it. */
const followed = (command: Extract<Commands.Command, { readonly _tag: "Para" }>, named?: ServerAddress.Named) =>
  Effect.flatMap(root, (flags) =>
    running(flags, Watching.follow(command.files, Commands.run(command)), prefix, named)
  ).pipe(Effect.provide(LocalWatchNode.layer))

const paraFlags = { files, as, expect, ...ClientConfig.comparedTree, watch: ClientConfig.watchFiles }
const para = Command.make("para", paraFlags, ({ as, expect, files, watch, ...flags }) =>
  Effect.gen(function* () {
    const { name, named } = yield* parsePaths(files, as)
    if (watch) {
      const tree = yield* ClientConfig.parseWatched(flags, expect, files)
      return yield* followed({ _tag: "Para", files, as: name, tree }, named)
    }
    const tree = yield* ClientConfig.parseTree(flags)
    if (tree === undefined) yield* oneName(files, name)
    else if (Option.isSome(expect)) {
      return yield* new ClientConfig.WrongUsage({ detail: "--expect speaks of one file, and -r of folders" })
    }
    const expected = yield* parseExpected(files, Option.getOrUndefined(expect))
    yield* once({ _tag: "Para", files, as: name, expect: expected, tree }, named)
  })
).pipe(
  Command.withDescription("Make the server's files equal to yours, sending what changed"),
  Command.withExamples([
    { command: "paradrop para report.pdf", description: "the server must have report.pdf" },
    { command: "paradrop para report.pdf --as 2026/report.pdf", description: "under that name there" },
    { command: "paradrop para -r site", description: "the server's site/... becomes yours: what is new or differs" },
    { command: "paradrop para -r site --delete --dry-run", description: "what would be sent, and what would go" },
    { command: "paradrop para --watch site", description: "the server's site/... follows yours, until Ctrl-C" }
  ])
)

const interactive = (flags: Flags, start = "", named?: ServerAddress.Named) =>
  running(flags, Shell.run(start), "", named)

const verify = Command.make("verify", { name, file }, ({ file, name }) =>
  Effect.flatMap(parseNames([name]), ({ named, names: [parsed = name] }) =>
    once({ _tag: "Verify", name: parsed, file }, named)
  )
).pipe(
  Command.withDescription("Compare a server's file with yours, moving neither; code 1 when they differ"),
  Command.withExamples([{ command: "paradrop verify 2026/report.pdf report.pdf", description: "by size and digest" }])
)

const passwd = Command.make("passwd", ClientConfig.newPassword, ({ newPasswordFile, ...options }) =>
  Effect.flatMap(root, (flags) => {
    const newFile = Option.getOrUndefined(newPasswordFile)
    const change = Effect.flatMap(OwnPassword, (own) => own.change({ ...options, newFile, confirm: false }))
    const refused = (detail: string) => Effect.fail(new ClientConfig.WrongUsage({ detail }))
    if (newFile === "") return refused("--new-password-file takes a path, and '' is none")
    return newFile !== undefined && options.generate
      ? refused("--generate makes a password, and --new-password-file has one: give one")
      : running(flags, change, prefix)
  })
).pipe(
  Command.withDescription("Change the password of your own account at the server"),
  Command.withExamples([
    { command: "paradrop passwd", description: "asks for the present and the new password" },
    { command: "paradrop passwd --generate", description: "makes a strong one and prints it once" }
  ])
)

const remove = Command.make("remove", { names: ClientConfig.removed, expect }, ({ expect, names }) =>
  Effect.flatMap(parseExpected(names, Option.getOrUndefined(expect)), (expected) =>
    Effect.flatMap(parseNames(names), ({ named, names }) => once({ _tag: "Remove", names, expect: expected }, named))
  )
).pipe(
  Command.withDescription("Remove files of the server, and folders that they leave empty"),
  Command.withExamples([
    { command: "paradrop remove old.pdf 2025/report.pdf", description: "each is told; code 1 when one was not there" },
    { command: "paradrop remove old.pdf --expect DIGEST", description: "only that version" }
  ])
)

const rename = Command.make("rename", { name, newName, replace, expect }, ({ expect, name, newName, replace }) =>
  Effect.flatMap(parseExpected([name], Option.getOrUndefined(expect)), (expected) =>
    // The new name needs no server: it is at the same one.
    Effect.flatMap(parseNames(ServerAddress.isUrl(newName) ? [name, newName] : [name]), ({ named, names }) =>
      once({ _tag: "Rename", name: names[0] ?? name, to: names[1] ?? newName, replace, expect: expected }, named)
    )
  )
).pipe(
  Command.withDescription("Give a file of the server another name"),
  Command.withExamples([
    { command: "paradrop rename draft.pdf 2026/report.pdf", description: "into a folder, which is made" },
    { command: "paradrop rename draft.pdf report.pdf --replace", description: "over the file that has the name" }
  ])
)

const shell = Command.make("shell", { place: ClientConfig.place }, ({ place }) =>
  Effect.gen(function* () {
    const flags = yield* root
    yield* ClientConfig.placeNoServer(flags, place)
    const { name = "", named } = yield* parseName(place, { nameless: true })
    yield* interactive(flags, name, named)
  })
).pipe(
  Command.withDescription("Take commands line by line, typed or from standard input"),
  Command.withExamples([
    {
      command: "paradrop --server files.example --user ada shell",
      description: "asks for the password, then for lines"
    },
    { command: "paradrop shell paradrop://ada@files.example/photos", description: "the same, from that folder on" },
    { command: "paradrop shell < script", description: "runs the lines of a file; code 1 when one of them failed" }
  ])
)

const addProfile = Command.make(
  "add",
  {
    name: ClientConfig.profileName,
    server: ClientConfig.profileServer,
    keepPassword: ClientConfig.keepPassword,
    replace: ClientConfig.replaceProfile
  },
  ({ keepPassword, name, replace, server }) =>
    Effect.gen(function* () {
      const flags = yield* root
      const sources = yield* ClientConfig.parsePassword(flags)
      const rates = yield* ClientConfig.saidRates(flags)
      const target = yield* ClientConfig.parseServer({ server: Option.some(server), user: flags.user })
      const context = yield* Effect.context<Effect.Services<ReturnType<typeof SessionsNode.passwordFor>>>()
      const asked = Effect.catchTag(
        SessionsNode.passwordFor({ ...target, ...sources, profile: undefined, kept: true }),
        "ConfigError",
        Effect.die
      )
      const password = Effect.provideContext(
        Effect.map(asked, (given) => given.password),
        context
      )
      yield* alsoAsEvent(flags)(
        ProfileCommands.add({
          name,
          ...target,
          ...sources,
          rates,
          replace,
          password: keepPassword ? password : undefined
        })
      )
    }).pipe(Effect.provide(ReporterText.layer(prefix)))
).pipe(
  Command.withDescription("Note down a server, and where its password comes from, under a short name"),
  Command.withExamples([
    { command: "paradrop profile add home ada@files.example:8080", description: "the password is asked for each time" },
    {
      command: "paradrop --password-command 'pass show files' profile add home ada@files.example",
      description: "it comes from a password manager"
    },
    { command: "paradrop profile add home ada@files.example --keep-password", description: "it is asked for now, once" }
  ])
)

const listProfiles = Command.make("list", {}, () =>
  Effect.flatMap(root, (flags) =>
    alsoAsEvent(flags)(
      Effect.flatMap(ProfileCommands.list(flags.json), (good) => (good ? Effect.void : new SomeFailed()))
    )
  )
).pipe(
  Command.withDescription("List the profiles: server, account, and where the password comes from"),
  Command.withExamples([{ command: "paradrop profile list", description: "one a line" }])
)

const showProfile = Command.make("show", { name: ClientConfig.profileName }, ({ name }) =>
  Effect.flatMap(root, (flags) => alsoAsEvent(flags)(ProfileCommands.show(name, flags.json)))
).pipe(
  Command.withDescription("Show what a profile says; never a password"),
  Command.withExamples([
    { command: "paradrop profile show home", description: "its server, account and source of the password" }
  ])
)

const removeProfile = Command.make("remove", { name: ClientConfig.profileName }, ({ name }) =>
  Effect.flatMap(root, (flags) => alsoAsEvent(flags)(ProfileCommands.remove(name)))
).pipe(
  Command.withDescription("Remove a profile, and the password that was kept for it"),
  Command.withExamples([{ command: "paradrop profile remove home", description: "the server is not told" }])
)

const profile = Command.make("profile").pipe(
  Command.withDescription("Servers under short names, for --server"),
  Command.withExamples([
    { command: "paradrop profile add home ada@files.example:8080", description: "once" },
    { command: "paradrop --server home fetch", description: "from then on" }
  ]),
  Command.withSubcommands([addProfile, listProfiles, showProfile, removeProfile])
)

/** Without a command: the shell for a person, and a word of help for a script. */
const bare = Effect.fnUntraced(function* (flags: Flags) {
  if (yield* (yield* Stdio.Stdio).stdinIsTerminal) return yield* interactive(flags)
  return yield* new ClientConfig.WrongUsage({
    detail: "say what to do: fetch, upload, download, para, verify, remove, rename, passwd, profile or shell"
  })
})

/** The whole of it. */
export const command = root.pipe(
  Command.withHandler(bare),
  Command.withSubcommands([fetch, upload, download, para, verify, remove, rename, passwd, profile, shell])
)
