/**
 * Reads what is in a folder, for Node, entry by entry, with the kind of each.
 *
 * Some file systems do not tell kinds in a listing. There Node looks at each entry itself, by the path that was given,
 * as it reads many at a time, and gives up those behind one that has vanished meanwhile. So there they are read one by
 * one, and what vanished is left out. The first entry decides whether kinds are told.
 */
import * as nodeFs from "node:fs"
import { Result } from "effect"

export interface FolderReader {
  /** The next entry; null at the end. Throws what the system says. */
  readonly next: () => nodeFs.Dirent | null
  /** Throws what the system says. */
  readonly close: () => void
}

/**
 * Opens a folder. Throws what the system says.
 *
 * @param path good until it is closed
 * @param entriesAtOnce how many are read with one call of the system
 */
export const open = (path: string, entriesAtOnce: number): FolderReader => {
  let folder = nodeFs.opendirSync(path, { bufferSize: entriesAtOnce })
  let tellsKinds: boolean | undefined
  const read = () => Result.try(() => folder.readSync())
  const next = (): nodeFs.Dirent | null => {
    if (tellsKinds === true) return folder.readSync()
    let entry = read()
    if (tellsKinds === undefined) {
      tellsKinds = !isLookedAt(entry)
      if (tellsKinds) return Result.getOrThrow(entry)
      folder.closeSync()
      folder = nodeFs.opendirSync(path, { bufferSize: 1 })
      entry = read()
    }
    while (isGone(entry)) entry = read()
    return Result.getOrThrow(entry)
  }
  return { next, close: () => folder.closeSync() }
}

type Read = Result.Result<nodeFs.Dirent | null, unknown>

/** Whether Node has looked at the entry itself: then what it gives is made of what it saw. */
const isLookedAt = (entry: Read): boolean =>
  Result.isFailure(entry) ? isGone(entry) : entry.success !== null && entry.success.constructor !== nodeFs.Dirent

/** Of the folder itself another call says so, unless it was renamed: then its entries look as if they were gone. */
const isGone = (entry: Read): boolean =>
  Result.isFailure(entry) &&
  entry.failure instanceof Error &&
  "code" in entry.failure &&
  entry.failure.code === "ENOENT" &&
  "syscall" in entry.failure &&
  entry.failure.syscall === "lstat"
