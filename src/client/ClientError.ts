/**
 * What can go wrong for a client, as tagged errors: what happened, why, and what to do, in one line each.
 *
 * Text that came from a server is in them only through `printable`.
 */
import { Schema } from "effect"
import { attemptPerUserMilliseconds, fetchWatchEntriesMax, listedFilesMax, nameDepthMax } from "../domain/limits.ts"
import { RejectReason } from "../domain/channel/HandshakeMessage.ts"
import { RefusalReason } from "../domain/wire/Refusal.ts"

/** No connection, or none that speaks the protocol. */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>()("ConnectFailed", {
  /** HOST:PORT as it was asked for */
  server: Schema.String,
  reason: Schema.Literals([
    "connection-refused",
    "name-not-found",
    "unreachable",
    "timeout",
    "closed-at-once",
    "not-paradrop",
    "other-version",
    "handshake-failed"
  ]),
  /** a system error code or the channel's reason */
  code: Schema.String,
  /** what the network or the channel said */
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `${connectText[this.reason](this.server)} (${this.code})`
  }
}

const connectText: Record<ConnectFailed["reason"], (server: string) => string> = {
  "connection-refused": (server) => `nothing listens at ${server}: start the server, or check host and port`,
  "name-not-found": (server) => `the host of ${server} has no address: check its spelling`,
  unreachable: (server) => `${server} cannot be reached: check the network`,
  timeout: (server) => `${server} did not answer in time: check host, port and firewall`,
  "closed-at-once": (server) =>
    `${server} closed the connection before the login was over: it is full, or no paradrop server; try again later`,
  "not-paradrop": (server) => `what listens at ${server} is no paradrop server: check host and port`,
  "other-version": (server) =>
    `the server at ${server} speaks another version of the protocol: update the older of the two`,
  "handshake-failed": (server) =>
    `no safe channel to ${server}: bytes were changed on their way or versions differ; try again from another network`
}

/** What to do where no account was named. */
export const namesAccount = "name your account with --user"

/** The password is wrong, the user unknown, or the server is not the one that knows the user. Which is not told. */
export class LoginIncorrect extends Schema.TaggedError<LoginIncorrect>()("LoginIncorrect", {
  user: Schema.String,
  /** further tries on this connection */
  attemptsLeft: Schema.Int,
  /** nobody has named an account: it is the one that is meant then */
  assumed: Schema.optionalKey(Schema.Boolean)
}) {
  override get message(): string {
    const advice = this.assumed === true ? namesAccount : "check all three"
    return `incorrect: wrong user or password for '${this.user}', or not the server that knows you: ${advice}`
  }
}

/** The server does not take a login now. */
export class LoginRejected extends Schema.TaggedError<LoginRejected>()("LoginRejected", {
  reason: RejectReason,
  retryAfterMilliseconds: Schema.Int
}) {
  override get message(): string {
    if (this.reason === "unavailable")
      return "the server cannot read its accounts: its administrator finds why in its log"
    // Whoever is on the way may have written the figure: no server asks for more than what lets an attempt grow back.
    const milliseconds = Math.min(this.retryAfterMilliseconds, attemptPerUserMilliseconds)
    const seconds = Math.max(1, Math.ceil(milliseconds / 1000))
    return `the server takes no login now (${this.reason}): try again in ${seconds} s`
  }
}

/** What helps when the two ends do not understand each other. */
const sameVersions = "update the older of client and server"

/**
 * The connection ended while something was pending. What was committed stays, and of nothing else is there a name: what
 * had come of a large file may be gone on with.
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>()("ConnectionLost", {
  /** the channel's reason, or what the server said when it closed */
  reason: Schema.String
}) {
  /** Another connection would end the same way. */
  get isFinal(): boolean {
    return this.reason.endsWith(": revoked")
  }
  /** So ends, every time, a session with a server that does not know a message: it may close without a word. */
  get mayBeOtherVersion(): boolean {
    const { reason } = this
    return reason === "truncated" || reason === "record-refused" || reason.endsWith(": protocol-violation")
  }
  override get message(): string {
    if (this.isFinal)
      return (
        "the server ended the session (revoked): " +
        "your account was disabled, removed or moved, ask its administrator"
      )
    const more = this.mayBeOtherVersion ? `; if that ends so too, ${sameVersions}` : ""
    return `the connection was lost (${this.reason}): run the same command again${more}`
  }
}

/** A live listing remembers every file, and there are more than it may. */
export class TooManyToWatch extends Schema.TaggedError<TooManyToWatch>()("TooManyToWatch", {}) {
  override get message(): string {
    return `more than ${fetchWatchEntriesMax} files are too many to watch: give a pattern, such as 'photos/**'`
  }
}

/** A command puts together every file of a listing, and there are more than it may. */
export class TooManyListed extends Schema.TaggedError<TooManyListed>()("TooManyListed", {}) {
  override get message(): string {
    return `the server lists more than ${listedFilesMax} files: name folders of it, one after the other`
  }
}

/** What a refused listing is about. */
export const theListing = "the listing"

/** The server refused a request. */
export class RequestRefused extends Schema.TaggedError<RequestRefused>()("RequestRefused", {
  name: Schema.String,
  reason: RefusalReason,
  /** printable */
  detail: Schema.String
}) {
  override get message(): string {
    return refusedText[this.reason](this.name, this.detail)
  }
}

const rightText = new Map([
  ["list", "list files"],
  ["read", "read files"],
  ["write", "add files"],
  ["replace", "replace files"],
  ["remove", "remove files"],
  ["rename", "rename files"]
])

const foundText = (detail: string): string => {
  switch (detail) {
    case "folder":
      return "there is a folder of that name; upload, download and para take those with -r, a file needs another name"
    case "file-as-folder":
      return "there is a file in the place of a folder of that path; use another name"
    case "special":
      return "there is a device, pipe or socket of that name; use another one"
    default:
      return `there is a ${detail}; use another name`
  }
}

/** The details of a `not-a-file` of commands that take no folder, where one was found: `-r` is no way out. */
const folderText = {
  "folder-of-remove": (name: string) =>
    `'${name}' is no file on the server but a folder: only files are removed, and a folder goes with its last one`,
  "folder-of-rename": (name: string) =>
    `'${name}' cannot be done: one of the two is a folder, and only files are renamed; ` +
    "the new name of one that goes into a folder is FOLDER/NAME"
}

/** The same refusal with what that command can do about a folder. */
export const foundFolder =
  (detail: keyof typeof folderText) =>
  <E>(error: E): E | RequestRefused =>
    error instanceof RequestRefused && error.reason === "not-a-file" && error.detail === "folder"
      ? new RequestRefused({ name: error.name, reason: error.reason, detail })
      : error

/** The detail of a `no-such-file` of a pattern; a name that only looks like one is a name to most commands. */
export const asPattern = "pattern"

/** The detail is the server's word: what is no number of milliseconds says nothing. */
const waitText = (detail: string): string =>
  /^\d{1,10}$/.test(detail) ? `in ${Math.ceil(Number(detail) / 1000)} s` : "later"

const refusedText: Record<RefusalReason, (name: string, detail: string) => string> = {
  "no-such-file": (_, detail) => `the server does not have ${detail === asPattern ? "a file that fits" : "this file"}`,
  "name-collision": (name, detail) =>
    `the server already has '${detail}', which is the same name as '${name}' on some machines: use that spelling`,
  "already-exists": (_, detail) =>
    `'${detail}' exists on the server already, and nothing was changed: take another name, or use --replace`,
  "not-a-file": (name, detail) =>
    detail === "folder-of-remove" || detail === "folder-of-rename"
      ? folderText[detail](name)
      : `'${name}' is no file on the server, and cannot be one: ${foundText(detail)}`,
  "not-permitted": (name, right) =>
    right === "password"
      ? `the password of '${name}' cannot be changed: the public account's is everybody's, and any other is gone`
      : `your account does not have the right to ${rightText.get(right) ?? "do this"}` +
        `${name === theListing ? "" : ` ('${name}')`}: ` +
        "the server's administrator can give it",
  "too-large": (name) => `the server does not take files as large as '${name}'`,
  "no-space": (name) => `the server has no room for '${name}'; nothing was changed there`,
  "quota-exceeded": (name, detail) =>
    `your quota on the server does not hold '${name}' (${detail}): nothing was changed, remove files or ask for more`,
  "size-mismatch": (name) => `'${name}' changed while it was sent; nothing was changed on the server: send it again`,
  "digest-mismatch": (name) => `'${name}' did not arrive whole; nothing was changed on the server: send it again`,
  "source-changed": (name) => `'${name}' changed on the server while it was read: try again`,
  conflict: (name) => `'${name}' on the server is not the version that you expect; nothing was changed there`,
  "taken-over": (name) => `another session goes on with '${name}'; this one has ended`,
  incorrect: () => "incorrect: that is not your present password, nothing was changed",
  "too-many-attempts": (_, detail) =>
    `too many passwords were tried, nothing was changed: try again ${waitText(detail)}`,
  cancelled: (name) => `the transfer of '${name}' was cancelled`,
  draining: () => "the server is about to stop: try again later",
  "no-access": (name) =>
    `the user that the server runs as has no access to ${name === theListing ? "your folder" : `'${name}'`}: ` +
    "nothing was changed, and only the server's administrator can give it access",
  "store-failed": (name) => `the server's storage failed for '${name}': its log says why`
}

/** The server said something that the protocol does not allow at this point. The session is over. */
export class ProtocolBroken extends Schema.TaggedError<ProtocolBroken>()("ProtocolBroken", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the server broke the protocol (${this.detail}): versions may differ, ${sameVersions}`
  }
}

/** A local file that should be sent is not there. */
export class SourceMissing extends Schema.TaggedError<SourceMissing>()("SourceMissing", {
  /** printable */
  path: Schema.String,
  command: Schema.Literals(["upload", "parallelize", "verify"])
}) {
  override get message(): string {
    return `could not find the file in clientSide to ${this.command}: ${this.path === "" ? "''" : this.path}`
  }
}

/** A local file or folder that is watched has gone. */
export class WatchedGone extends Schema.TaggedError<WatchedGone>()("WatchedGone", {
  /** printable */
  path: Schema.String,
  /** whether it is what was named, and not a file in it */
  isNamed: Schema.Boolean
}) {
  override get message(): string {
    // Of a file in a folder the next look may remove the server's copy.
    if (!this.isNamed) return `${this.path} has gone before it was sent: what is there now is looked at again`
    return `${this.path} is not here: the server keeps what copy it has, and it is followed once it is there`
  }
}

/** Two files of one command would get the same name at the other end, or on some machines. Neither was sent. */
export class NamesCollide extends Schema.TaggedError<NamesCollide>()("NamesCollide", {
  /** printable: what the file would be called, and the name that stands against it */
  name: Schema.String,
  other: Schema.String
}) {
  override get message(): string {
    const { name, other } = this
    if (name === other) return `two files would be '${name}', or a file and a folder: give one of them another name`
    return name.startsWith(`${other}/`)
      ? `'${name}' needs a folder where '${other}' is a file: give one of them another name`
      : `'${name}' and '${other}' would be the same name on some machines: rename one of them first`
  }
}

/** A folder of the server, or a file, that its listing lacks: nobody knows what is in it. */
export class NotListed extends Schema.TaggedError<NotListed>()("NotListed", {
  /** printable */
  name: Schema.String
}) {
  override get message(): string {
    return `the server may not look into '${this.name}': what is there is not listed; its administrator can change that`
  }
}

/** What a folder of the server holds under names that the protocol does not have. */
export class NotNameable extends Schema.TaggedError<NotNameable>()("NotNameable", {
  /** printable; empty: the one where a person stands, or several when there are no names */
  folder: Schema.String,
  count: Schema.Int,
  /** printable: some of them, the most wanted first, and what is wrong with each */
  names: Schema.Array(Schema.String)
}) {
  /** What it is, for a person. */
  get what(): string {
    const { count, folder, names } = this
    const where = names.length === 0 ? "in other folders" : folder === "" ? "here" : `in '${folder}'`
    const some = names.slice(0, namesToldMax).join(", ")
    const more = count > namesToldMax ? ", ..." : ""
    return `${count} ${where} whose names cannot be sent${some === "" ? "" : `: ${some}${more}`}`
  }

  override get message(): string {
    return `not listed: ${this.what}; the server's administrator can rename ${this.count === 1 ? "it" : "them"}`
  }
}

/** A few show what is meant. */
const namesToldMax = 3

/** A local file could not be read or written. */
export class LocalFileFailed extends Schema.TaggedError<LocalFileFailed>()("LocalFileFailed", {
  /** printable */
  path: Schema.String,
  operation: Schema.Literals(["read", "write"]),
  /** a system error code, or why it cannot be used */
  code: Schema.String
}) {
  override get message(): string {
    const what = this.operation === "read" ? "cannot read" : "cannot write"
    return `${what} ${this.path === "" ? "''" : this.path} (${this.code})${adviceOf(this)}`
  }
}

const adviceOf = ({ code, operation, path }: LocalFileFailed): string => {
  if (path === "") return ": that names nothing; '.' is this folder"
  if (code === "EISDIR" && operation === "read") return ": it is a folder; upload and para take those with -r"
  if (code === "ENOTREG" && operation === "write") {
    return ": it is no regular file, or a link to what is none; download to a file, and pass that on"
  }
  if (code === "ENOENT" && operation === "write") return ": its folder is not there; make that first"
  // What is no character of any encoding was put there in reading the name.
  if (code === "ENOENT" && path.includes("\u{fffd}")) return ": its name is not UTF-8; rename it"
  return localAdvice[code] ?? ""
}

const localAdvice: Record<string, string> = {
  ENOSPC: ": the disk is full; make room and run it again",
  EDQUOT: ": your disk quota is used up; make room and run it again",
  EFBIG: ": the file system or a limit of this process takes no file that large; choose another place",
  EIO: ": the disk reports a fault; look at it before you run it again",
  ENAMETOOLONG: ": its name or its path is longer than the system takes; make it shorter",
  EBUSY: ": something uses it, as a mount does; end that and run it again",
  EMFILE: ": too many files are open here; raise the limit of open files and run it again",
  EACCES: ": permission denied; see who may do that there",
  EPERM: ": not permitted",
  EROFS: ": the file system is read-only",
  ENOENT: ": there is no such folder or file",
  EAGAIN: ": it changed while it was read; run it again",
  EISDIR: ": it is a folder",
  EEXIST: ": it is a file, where a folder is needed",
  ENOTREG: ": it is no regular file",
  // What opening a socket is answered.
  ENXIO: ": it is no regular file",
  ELOOP: ": a part of the path is a symbolic link that is not followed here, or leads in a circle",
  ENOTDIR: ": a part of the path is no folder",
  EXDEV: ": it lies on another file system than its folder",
  "size-mismatch": ": what arrived is not what the server declared; run it again",
  "too-deep": `: a name has at most ${nameDepthMax} parts`,
  "temporary-name": ": an unfinished download is called so, and goes; give it another name at the server",
  "taken-over": ": what it had received is gone: another download goes on with it, or its folder was removed",
  "folder-moved":
    ": its folder was moved or removed meanwhile, and what had come went with it; look for it, and run it again",
  "a-folder": ": it is a folder, and one file is compared with one; name the file in it",
  "one-file": ": --expect speaks of one file, and several are meant; nothing was sent",
  "several-files": ": several files need an existing folder to go to",
  "source-changed": ": it changed while it was sent; send it again",
  "changed-meanwhile": ": it was to be removed, and changed since it was looked at; it stays until the next time",
  "digest-mismatch": ": what arrived is not what the server sent; run it again"
}

/** Everything that a login may fail with. */
export type LoginError = ConnectFailed | LoginIncorrect | LoginRejected

/** Everything that a command may fail with once the session stands. */
export type CommandError = ConnectionLost | RequestRefused | ProtocolBroken | TooManyListed

/** Everything that moves content may fail with. */
export type TransferError = CommandError | LocalFileFailed
