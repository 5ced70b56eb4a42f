/**
 * Where the password comes from: a file or a command, the environment, what a profile names, the public default on
 * loopback, or a person.
 *
 * Never the command line: everybody on the machine can read that.
 */
import { Deferred, Effect, FileSystem, Redacted, Schema, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { concat, utf8Length } from "../domain/Bytes.ts"
import type { Password } from "../domain/channel/Opaque.ts"
import { printable } from "../domain/file/Printable.ts"
import { passwordBytesMax } from "../domain/limits.ts"
import { type LoginIncorrect, namesAccount } from "./ClientError.ts"
import { Pipes } from "./Pipes.ts"
import type { Profile } from "./Profiles.ts"
import * as ShellLine from "./ShellLine.ts"
import { LineEditor } from "./LineEditor.ts"
import { Reporter } from "./Reporter.ts"
import * as ServerAddress from "./ServerAddress.ts"

/** No password was given. */
export class NoPassword extends Schema.TaggedError<NoPassword>()("NoPassword", {
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return this.detail
  }
}

/** For whom a password is asked, and where it may come from. */
export interface Asked {
  readonly server: ServerAddress.ServerAddress
  readonly user: string
  /** --password-file */
  readonly file: string | undefined
  /** --password-command */
  readonly command?: string | undefined
  /** PARADROP_PASSWORD */
  readonly environment: Redacted.Redacted<string> | undefined
  /** where the profile says that it comes from; what is said for this run counts more */
  readonly profile?: Pick<Profile, "passwordCommand" | "passwordFile"> | undefined
  /** the word that could be a profile's name, when there is no such profile: it is taken for a host */
  readonly noProfile?: string | undefined
  /** whether file modes mean nothing here, as on Windows */
  readonly modeless?: boolean
  /** whether it is to be kept: nobody keeps a password that everybody knows, and a person is asked for theirs */
  readonly kept?: boolean
}

/** The account that every server without accounts has, on loopback. Its password is public: it proves nothing. */
export const publicUser = "default"
const publicPassword = "123456"

/** A password, and whether a person has typed it just now. */
export interface Given {
  readonly password: Password
  readonly typed: boolean
}

/** The first source that there is. Asked for before anything is dialled. */
export const password = Effect.fnUntraced(function* (
  asked: Asked
): Effect.fn.Return<
  Given,
  NoPassword,
  ChildProcessSpawner.ChildProcessSpawner | FileSystem.FileSystem | LineEditor | Pipes | Reporter
> {
  const { command, environment, file, profile, server, user } = asked
  if (file !== undefined) return { password: yield* fromFile(file), typed: false }
  if (command !== undefined) return { password: yield* fromCommand(command), typed: false }
  if (environment !== undefined && Redacted.value(environment) !== "") {
    const text = Redacted.value(environment)
    if (/[\r\n]/.test(text)) return yield* fromEnvironment("a line break, which no password has: leave it out")
    return { password: yield* bounded(text, fromEnvironment), typed: false }
  }
  if (profile?.passwordFile !== undefined) {
    if (asked.modeless !== true) yield* ownersAlone(profile.passwordFile)
    return { password: yield* fromFile(profile.passwordFile), typed: false }
  }
  if (profile?.passwordCommand !== undefined) {
    return { password: yield* fromCommand(profile.passwordCommand), typed: false }
  }
  if (asked.kept !== true && user === publicUser && ServerAddress.isLoopback(server)) {
    yield* (yield* Reporter).note(
      `note: logging in as '${publicUser}' with the public default password, which works on this machine only`
    )
    return { password: Redacted.make(publicPassword), typed: false }
  }
  if (asked.noProfile !== undefined) {
    // Before a person types a password for nobody.
    const next = "it is taken for a host; 'profile list' shows what there is"
    yield* (yield* Reporter).note(`note: there is no profile '${asked.noProfile}': ${next}`)
  }
  return { password: yield* typed(`Password of '${user}' at ${ServerAddress.show(server)}: `), typed: true }
})

/** Another one, after a wrong one; undefined when nobody can be asked or the person declines. */
export const again = Effect.fnUntraced(function* ({
  assumed,
  attemptsLeft,
  user
}: LoginIncorrect): Effect.fn.Return<Password | undefined, never, LineEditor | Reporter> {
  const editor = yield* LineEditor
  if (!editor.interactive) return undefined
  yield* (yield* Reporter).note(assumed === true ? `incorrect: ${namesAccount}, or try again` : "incorrect", "bad")
  const tries = attemptsLeft === 1 ? "one try is left" : `${attemptsLeft} tries are left`
  return yield* Effect.scoped(
    Effect.flatMap(editor.open, (lines) => lines.secret(`Password of '${user}' (${tries}): `))
  )
})

/** A person's answer; `otherwise` says what to do where nobody can be asked. */
export const typed = Effect.fnUntraced(function* (
  question: string,
  otherwise: string = "no password: set PARADROP_PASSWORD, name a file with --password-file or a command with " +
    "--password-command, or run on a terminal"
) {
  const editor = yield* LineEditor
  if (!editor.interactive) {
    return yield* new NoPassword({ detail: otherwise })
  }
  const secret = yield* Effect.scoped(Effect.flatMap(editor.open, (lines) => lines.secret(question)))
  // Ctrl-C or Ctrl-D at the question: the person has gone, as with any other program.
  return secret ?? (yield* Effect.interrupt)
})

/** What is longer than any password is another thing by mistake, and none of the server's business. */
const bounded = (line: string, refused: (why: string) => NoPassword): Effect.Effect<Password, NoPassword> =>
  utf8Length(line) > passwordBytesMax
    ? Effect.fail(refused(`more than ${passwordBytesMax} bytes, which no password has: put the password alone there`))
    : Effect.succeed(Redacted.make(line))

const fromEnvironment = (why: string): NoPassword => new NoPassword({ detail: `PARADROP_PASSWORD has ${why}` })

/** A password that lies there for good must be its owner's alone: others could read it at any time. */
const ownersAlone = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  // A file that is not there is told by the reading.
  const mode = yield* Effect.orElseSucceed(
    Effect.map(fs.stat(path), (info) => info.mode),
    () => 0
  )
  if ((mode & 0o077) === 0) return
  const shown = printable(path)
  return yield* new NoPassword({ detail: `others can read the password file ${shown}: chmod 600 makes it yours alone` })
})

// Its arguments are left out: somebody may have put a secret there.
const commandFailed = (program: string) => (why: string, cause?: unknown) =>
  new NoPassword({
    detail: `the password command '${printable(program)}' ${why}`,
    ...(cause !== undefined && { cause })
  })

/** A command's words, which there must be. */
export const parseCommand = (
  line: string
): Effect.Effect<{ readonly program: string; readonly args: ReadonlyArray<string> }, NoPassword> => {
  const { refused, words } = ShellLine.scan(line)
  const [program, ...args] = words.map(({ text }) => text)
  return program === undefined || refused !== undefined
    ? Effect.fail(commandFailed(program ?? "")("has no words, or an open quote"))
    : Effect.succeed({ program, args })
}

/**
 * The first line that a command prints. It runs without a shell, with this program's standard input and error, so that
 * it may ask; its words are quoted as in our own shell.
 */
export const fromCommand = Effect.fnUntraced(function* (line: string) {
  const { args, program } = yield* parseCommand(line)
  const failed = commandFailed(program)
  const command = ChildProcess.make(program, args, { stdin: "inherit", stderr: "inherit" })
  const { code, text } = yield* Effect.scoped(
    Effect.gen(function* () {
      const running = yield* command
      // It ran: who reads that it cannot looks in the wrong place.
      const ended = Effect.mapError(running.exitCode, (error) =>
        failed("was ended by a signal: run it by hand to see why", error)
      )
      const begun = yield* Deferred.make<void>()
      const line = makeFirstLine()
      const read = Stream.runForEach(running.stdout, (part) =>
        Effect.suspend(() => (line.add(part) ? Deferred.succeed(begun, undefined) : Effect.void))
      )
      // What it leaves behind may hold its output open for ever, and ends with it; a line without end is no password.
      const enough = Effect.andThen(Deferred.await(begun), () => (line.isTooLong() ? Effect.succeed(0) : ended))
      // Read to its end all the same, so that the command can finish.
      const code = yield* Effect.raceFirst(Effect.andThen(read, ended), enough)
      return { code, text: line.text() }
    })
  ).pipe(
    Effect.mapError((error) =>
      error._tag === "NoPassword" ? error : failed("cannot be run: check its name and who may run it", error)
    )
  )
  if (code !== 0) return yield* failed(`failed with code ${code}`)
  const [first = ""] = text.split(/\r?\n/)
  if (first === "") return yield* failed("printed no password in its first line")
  return yield* bounded(first, (why) => failed(`printed a first line of ${why}`))
})

/** Of what is printed the first line, kept only as far as a password goes. */
const makeFirstLine = () => {
  const parts: Array<Uint8Array> = []
  let bytes = 0
  let whole = false
  return {
    /** True when nothing that may still come changes it, or that it is too long. */
    add: (part: Uint8Array): boolean => {
      if (bytes <= passwordBytesMax + lineEndBytes) parts.push(part)
      bytes += part.length
      whole ||= part.includes(lineFeed)
      return whole || bytes > passwordBytesMax + lineEndBytes
    },
    isTooLong: () => !whole && bytes > passwordBytesMax + lineEndBytes,
    text: () => new TextDecoder().decode(concat(parts))
  }
}

const lineFeed = 10
/** A line feed, and a carriage return before it. */
const lineEndBytes = 2

const fileRefused = (path: string) => (why: string, cause?: unknown) =>
  new NoPassword({
    detail: `the password file ${path === "" ? "''" : printable(path)} ${why}`,
    ...(cause !== undefined && { cause })
  })

/** Refuses what has no first line, as a folder. */
export const asFile = (path: string, type: FileSystem.File.Type): Effect.Effect<void, NoPassword> =>
  type === "File" || type === "FIFO"
    ? Effect.void
    : Effect.fail(fileRefused(path)("is no file: name one whose first line is the password"))

/** The first line of a file, or of what comes through a pipe, as `<(pass show files)` gives one. */
export const fromFile = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const refused = fileRefused(path)
  const unreadable = (error: unknown) => refused("cannot be read: check its path and who may read it", error)
  const { type } = yield* Effect.mapError(fs.stat(path), unreadable)
  yield* asFile(path, type)
  const bytesMax = passwordBytesMax + 2
  const bytes = yield* type === "FIFO"
    ? Effect.mapError((yield* Pipes).head(path, bytesMax), unreadable)
    : fs
        .stream(path, { bytesToRead: bytesMax })
        .pipe(Stream.runCollect, Effect.mapBoth({ onSuccess: concat, onFailure: unreadable }))
  const [line = ""] = new TextDecoder().decode(bytes).split(/\r?\n/)
  if (line === "") return yield* refused("has an empty first line: put the password there")
  return yield* bounded(line, (why) => refused(`has a first line of ${why}`))
})
