/**
 * Keeps a second server from a served folder, whatever its state folder and its path to it: two containers with one
 * volume have both of their own. Each would count quotas by itself, and clear away what the other has staged.
 */
import { closeSync, constants, existsSync, openSync } from "node:fs"
import process from "node:process"
import { Effect, FileSystem, Option, Path, type PlatformError, Result, type Scope } from "effect"
import { stagingFolder } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { type LockHeld, StateLock } from "../domain/session/StateLock.ts"
import { rootLockName } from "../domain/store/DiskStaging.ts"
import { pathOfDescriptor } from "../domain/store/StatNode.ts"
import { platformWords, systemCodeOf, systemWords } from "../domain/SystemCode.ts"
import { log } from "./LogEvent.ts"

/**
 * Takes the folder until the scope closes; before its store begins. A file system without locks is served all the
 * same, and the log says so; a folder that cannot be served is left to the store, which says why.
 *
 * @param root its path without links
 */
export const take = Effect.fnUntraced(function* (
  root: string
): Effect.fn.Return<void, LockHeld, FileSystem.FileSystem | Path.Path | Scope.Scope | StateLock> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const lock = yield* StateLock
  const folder = path.join(root, stagingFolder)
  const unlocked = (detail: string) =>
    log("root-unlocked", `nothing keeps another server from '${printable(root)}'`, { detail })
  const made = yield* Effect.result(fs.makeDirectory(folder, { mode: 0o700 }))
  // A link leads out of the root: the store takes no such folder.
  if (yield* Effect.isSuccess(fs.readLink(folder))) return
  const found = yield* Effect.result(fs.stat(folder))
  if (Result.isFailure(found)) {
    // Where the root is away there is nothing to keep. Else the store may make the folder yet, and serve it.
    const failure = Result.getFailure(made).pipe(
      Option.filter(isFault),
      Option.getOrElse(() => found.failure)
    )
    return isFault(failure) ? yield* unlocked(platformWords(failure)) : undefined
  }
  if (found.success.type !== "Directory") return
  const place = yield* Effect.result(placeOf(folder))
  if (Result.isFailure(place))
    return isNoFolder(place.failure) ? undefined : yield* unlocked(systemWords(place.failure))
  yield* Effect.catchTag(lock.acquire(path.join(place.success, rootLockName)), "LockFailed", ({ detail }) =>
    unlocked(detail)
  )
})

/**
 * By its descriptor: a link that takes the folder's place behind the look would lead the lock out of the root. Fails
 * with a system error code.
 */
const placeOf = Effect.fnUntraced(function* (folder: string): Effect.fn.Return<string, string, Scope.Scope> {
  const opened = yield* Effect.acquireRelease(
    Effect.sync(() => Result.try(() => openSync(folder, folderFlags))),
    (descriptor) => Effect.sync(() => Result.map(descriptor, closeSync))
  )
  // Where there is no /proc, its path is all that there is.
  if (Result.isFailure(opened)) {
    return process.platform === "linux" ? yield* Effect.fail(systemCodeOf(opened.failure)) : folder
  }
  const place = pathOfDescriptor(opened.success)
  return existsSync(place) ? place : folder
})

/** It is a folder no more: the store takes no such one either. */
const isNoFolder = (code: string): boolean => code === "ENOTDIR" || code === "ELOOP" || code === "ENOENT"

// Windows lacks these; there they add nothing.
const folderFlags = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0)

const isFault = ({ reason }: PlatformError.PlatformError): boolean =>
  reason._tag !== "NotFound" && reason._tag !== "AlreadyExists"
