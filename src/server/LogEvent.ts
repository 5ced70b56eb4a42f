/**
 * Every line that the server's log can have: a closed list, so that whoever collects the log can rely on it.
 *
 * `docs/OPERATIONS.md` says what each means; a test compares the two. Nothing else in the server writes to the log.
 */
import { type Cause, Effect } from "effect"

/** For whom a line is: nobody needs to act on `Debug` and `Info`, somebody should on `Warn`, must on `Error`. */
export type LogLevel = "Debug" | "Info" | "Warn" | "Error"

interface Event {
  readonly level: LogLevel
  /** for the administrator */
  readonly meaning: string
}

/** Every event of the log by its name: its level, and what it means to those who run the server. */
export const logEvents = {
  serving: { level: "Info", meaning: "the server is ready; `state` is the folder of its accounts and keys" },
  "state-shared": {
    level: "Warn",
    meaning: "the group of the state folder may write into it: whoever is in it can replace accounts and keys"
  },
  "state-readable": {
    level: "Warn",
    meaning: "others than the server's user may read its accounts or its keys: with both, passwords can be guessed at"
  },
  "public-account": { level: "Warn", meaning: "no account exists: everybody on this machine can log in" },
  "root-moved": {
    level: "Error",
    meaning: "the served folder was moved or replaced: the server goes on with the one that it opened; restart it"
  },
  "root-unlocked": {
    level: "Warn",
    meaning: "the served folder cannot be locked, `detail` says why: see to it that no second server serves it"
  },
  "root-back": { level: "Info", meaning: "the served folder is at its path again" },
  reloaded: { level: "Info", meaning: "SIGHUP came; `changed` names the settings that have new values" },
  "restart-needed": { level: "Warn", meaning: "the configuration has new values for `settings` that take a restart" },
  "reload-refused": { level: "Error", meaning: "the configuration is wrong, and nothing of it was taken" },
  monitoring: { level: "Info", meaning: "metrics, healthz and readyz are served at `address`" },
  "otlp-failed": {
    level: "Debug",
    meaning: "the OTLP collector took nothing, `cause` says why: what is for it is dropped for a minute"
  },
  "control-failed": {
    level: "Warn",
    meaning: "`status` and `bans` cannot ask this server: `detail` says why; it serves all the same"
  },
  "service-manager-unheard": {
    level: "Warn",
    meaning: "systemd asked to be told, and `systemd-notify` could not: `detail` says why"
  },
  stopping: { level: "Info", meaning: "a signal came: transfers may end, a second signal ends them at once" },
  "connection-ended": { level: "Info", meaning: "a connection is over; `outcome` says why" },
  "connection-defect": {
    level: "Error",
    meaning: "a connection was ended by a fault of the program: report the cause"
  },
  "accounts-failed": { level: "Error", meaning: "the accounts cannot be read: nobody can log in; `detail` says why" },
  "file-committed": { level: "Info", meaning: "a file has new content, which is on disk" },
  "files-committed": { level: "Info", meaning: "several small files have new content, which is on disk" },
  "file-removed": { level: "Info", meaning: "a file was removed" },
  "file-renamed": { level: "Info", meaning: "a file has another name; one that had it before is gone" },
  unlisted: {
    level: "Warn",
    meaning: "a listing lacks `count` folders or files that the server may not look into: `name` is the first"
  },
  unnamed: {
    level: "Warn",
    meaning: "a listing lacks `count` files or folders whose names cannot be sent: `name` is the first; rename them"
  },
  "no-access": {
    level: "Warn",
    meaning:
      "`command` of `user` was refused: the server's user has no access (`code`) to `name`, `to` or a folder above"
  },
  "store-failed": {
    level: "Error",
    meaning: "the disk failed `command` of `user`, at `name` where that is known; the client was told `store-failed`"
  },
  "audit-failed": { level: "Error", meaning: "the audit log cannot be written: commands are refused until it can be" },
  "audit-lost": {
    level: "Error",
    meaning: "the server stops while the audit log cannot be written: `lost` records are in none of its files"
  },
  "audit-moved": {
    level: "Warn",
    meaning: "somebody removed, moved or changed the file of the audit log while it was written to: a new one is begun"
  },
  "audit-recovered": { level: "Warn", meaning: "the audit log is written again; `lost` records are missing in it" }
} as const satisfies Record<string, Event>

/** The name of an event. */
export type LogEvent = keyof typeof logEvents

/** What a line holds beside its text: the server's own words and numbers, or a peer's through `printable`. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** Writes one line. With a cause, which is shown for defects alone, it may take more on a terminal. */
export const log = (
  event: LogEvent,
  text: string,
  fields: LogFields = {},
  cause?: Cause.Cause<unknown>
): Effect.Effect<void> => {
  const { level } = logEvents[event]
  const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  const line = cause === undefined ? Effect.logWithLevel(level)(text) : Effect.logWithLevel(level)(text, cause)
  return Effect.annotateLogs(line, { event, ...known })
}
