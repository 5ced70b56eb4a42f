/**
 * The lock for Node: an exclusive transaction of SQLite on an empty database.
 *
 * Node gives no file locks of its own. SQLite takes those of the operating system, on every platform, and they end with
 * the process. Nothing is ever written: the file stays empty. Locks of a network file system are only as good as that
 * file system makes them.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  rmSync,
  statSync
} from "node:fs"
import { dirname } from "node:path"
import process from "node:process"
import { pathToFileURL } from "node:url"
import type { DatabaseSync } from "node:sqlite"
import { Effect, Layer } from "effect"
import { systemCode, systemWords } from "../SystemCode.ts"
import { LockFailed, LockHeld, StateLock } from "./StateLock.ts"

/** Locks between processes of one machine; the system gives them back when their holder dies. */
export const layer: Layer.Layer<StateLock> = Layer.succeed(
  StateLock,
  StateLock.of({
    acquire: (path) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.flatMap(library, ({ DatabaseSync }) => take(path, (place) => new DatabaseSync(existing(place)))),
          (database) => Effect.sync(() => database.close())
        )
      )
  })
)

// Imported here: only who locks pays for loading it.
const library = Effect.promise(() => import("node:sqlite"))

/** What SQLite opens and never makes: it looks for the file by its path, where a link may have come into that. */
const existing = (path: string): URL => {
  const url = pathToFileURL(path)
  url.searchParams.set("mode", "rw")
  return url
}

const take = (path: string, open: (path: string) => DatabaseSync): Effect.Effect<DatabaseSync, LockHeld | LockFailed> =>
  Effect.flatMap(
    Effect.andThen(
      ownFile(path),
      attempt(path, () => open(path))
    ),
    (database) =>
      Effect.try({
        try: () => {
          // No busy timeout: SQLite would wait with the whole process. No journal: that takes room, which may be gone.
          database.exec("PRAGMA busy_timeout=0; PRAGMA journal_mode=MEMORY")
          database.exec("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE")
          return database
        },
        catch: (error) => (errorCode(error) === busy ? new LockHeld({ path }) : failed(path, error))
      }).pipe(Effect.tapError(() => Effect.sync(() => database.close())))
  )

const attempt = <A>(path: string, call: () => A): Effect.Effect<A, LockFailed> =>
  Effect.try({ try: call, catch: (error) => failed(path, error) })

/** There is a file then, readable by its owner alone, as whatever is in the folder. SQLite would let the umask say. */
const ownFile = (path: string): Effect.Effect<void, LockFailed> =>
  Effect.flatMap(
    // A link may have been put there by somebody who wants another file changed.
    attempt(path, () => lstatSync(path, { throwIfNoEntry: false })),
    (there) => {
      if (there === undefined) return making(path)
      if (!there.isFile())
        return Effect.fail(new LockFailed({ path, detail: "it is no file; move what is there away" }))
      return (there.mode & 0o077) === 0 ? Effect.void : keepPrivate(path)
    }
  )

const making = (path: string): Effect.Effect<void, LockFailed> =>
  Effect.try({ try: () => makeFile(path), catch: (error) => error }).pipe(
    Effect.tapError(() => Effect.ignore(Effect.try(() => rmSync(unnamedOf(path), { force: true })))),
    // Another process made it between the look and the making: now it is there.
    Effect.catchIf(
      (error) => systemCode(error) === "EEXIST",
      () => Effect.void
    ),
    Effect.mapError((error) => failed(path, error))
  )

/** Closing a file drops this process's locks on it: what it has locked is private, and not opened again. */
const keepPrivate = (path: string): Effect.Effect<void, LockFailed> =>
  Effect.acquireUseRelease(
    attempt(path, () => openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))),
    (file) => attempt(path, () => fchmodSync(file, 0o600)),
    (file) => Effect.sync(() => closeSync(file))
  )

/**
 * For whoever owns the folder: an administrator may be the first to lock what is a server's. It gets its name once it
 * is its owner's: a kill in between would leave a lock that the server cannot open.
 */
const makeFile = (path: string): void => {
  const { gid, uid } = statSync(dirname(path))
  if (process.geteuid?.() !== 0 || uid === 0) return closeSync(openSync(path, "ax", 0o600))
  const unnamed = unnamedOf(path)
  const file = openSync(unnamed, "ax", 0o600)
  // Where all files are one user's, as on FAT, there are no links.
  const isTheirs = fstatSync(file).uid === uid
  if (!isTheirs) fchownSync(file, uid, gid)
  closeSync(file)
  // Never in the place of one that is there: somebody may hold it.
  if (isTheirs) closeSync(openSync(path, "ax", 0o600))
  else linkSync(unnamed, path)
  rmSync(unnamed)
}

/** What the file is called until it is its owner's. */
const unnamedOf = (path: string): string => `${path}.${process.pid}`

/** SQLITE_BUSY of SQLite's result codes. */
const busy = 5

const errorCode = (error: unknown): unknown =>
  error instanceof Error && "errcode" in error ? error.errcode : undefined

const failed = (path: string, error: unknown): LockFailed => {
  const code = systemCode(error)
  const known = sqliteWords.get(Number(errorCode(error)) & primaryBits)
  // Node gives a failure of SQLite a code as well, which says nothing.
  if (known !== undefined) return new LockFailed({ path, detail: known })
  if (code !== undefined && code !== "ERR_SQLITE_ERROR") {
    return new LockFailed({ path, detail: `${systemWords(code)}${advice.get(code) ?? ""}` })
  }
  return new LockFailed({ path, detail: error instanceof Error ? error.message : "unknown" })
}

/** What to do when the system refuses the file, behind its words. */
const advice = new Map([
  ["EACCES", "; run this as the user whose folder it is"],
  ["EPERM", "; run this as the user whose folder it is"],
  ["ENOSPC", "; make room"],
  ["EDQUOT", "; make room"],
  ["EROFS", "; the folder must be one that can be written to"]
])

/** Of a result code of SQLite, what is above says more of the same. */
const primaryBits = 0xff

/** The result codes of SQLite that come of a file and its disk. */
const sqliteWords = new Map([
  [8, "it cannot be written to; see who owns it, and whether its file system is read-only"],
  [10, "its disk reports a fault, or its file system has no locks; keep the state on a local disk"],
  [11, "it is no lock of ours, or its disk reports a fault; move it away"],
  [13, "the disk is full; make room"],
  [14, "it cannot be opened; see who may read and write it, and its folder"],
  [26, "it is no lock of ours; move it away"]
])
