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
  // Where kinds are not told: which folder it is, by its path.
  let folderNow = ""
  const read = () => Result.try(() => folder.readSync())
  const lookAtEach = (): void => {
    folderNow = identityOf(path)
    const anew = nodeFs.opendirSync(path, { bufferSize: 1 })
    folder.closeSync()
    folder = anew
  }
  const next = (): nodeFs.Dirent | null => {
    let entry = read()
    if (tellsKinds === undefined) {
      tellsKinds = !isLookedAt(entry)
      if (!tellsKinds) {
        lookAtEach()
        entry = read()
      }
    }
    while (isGone(entry)) {
      // Of a folder that is elsewhere all entries look as if they were gone; of many read at once others are lost too.
      if (tellsKinds || identityOf(path) !== folderNow) return Result.getOrThrow(unread)
      entry = read()
    }
    return Result.getOrThrow(entry)
  }
  return { next, close: () => folder.closeSync() }
}

/**
 * Tells names that are no Unicode from those that are, for one reading of a folder. Node puts U+FFFD for each byte that
 * it cannot read, so that such a name looks like one that has that character: in its place a lone surrogate is put,
 * which no name can have. Of several that look alike at most one is what it looks like.
 */
export const unicode = (path: string): ((name: string) => string) => {
  const real = new Set<string>()
  return (name) => {
    if (!name.includes(replacement)) return name
    const there = Result.try(() => nodeFs.lstatSync(`${path}/${name}`, { throwIfNoEntry: false }))
    const isReal = !real.has(name) && (Result.isFailure(there) || there.success !== undefined)
    if (isReal) real.add(name)
    return isReal ? name : name.replaceAll(replacement, "\udfff")
  }
}

const replacement = "\ufffd"

/** That a folder has not been read to its end: not that it is not there. */
const unread = Result.fail(Object.assign(new Error("the folder has changed while it was read"), { code: "EAGAIN" }))

const identityOf = (path: string): string => {
  const { dev, ino } = nodeFs.statSync(path, { bigint: true })
  return `${dev}:${ino}`
}

type Read = Result.Result<nodeFs.Dirent | null, unknown>

/** Whether Node has looked at the entry itself: then what it gives is made of what it saw. */
const isLookedAt = (entry: Read): boolean =>
  Result.isFailure(entry) ? isGone(entry) : entry.success !== null && entry.success.constructor !== nodeFs.Dirent

/** Whether an entry was not there any more when Node looked at it. Of the folder itself another call says so. */
const isGone = (entry: Read): boolean =>
  Result.isFailure(entry) &&
  entry.failure instanceof Error &&
  "code" in entry.failure &&
  entry.failure.code === "ENOENT" &&
  "syscall" in entry.failure &&
  entry.failure.syscall === "lstat"
