/**
 * What the parts of `FileStoreDisk` share: its disk, its locks, what it remembers, and how it speaks of names and
 * failures.
 */
import { Effect, Option } from "effect"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import { type FileName, segmentKey, segments, stagingFolder } from "../file/FileName.ts"
import { fileBytesMax } from "../limits.ts"
import { isFull } from "../SystemCode.ts"
import { type DiskError, type DiskGlance, type DiskPath, type DiskStat, modifiedOf } from "./Disk.ts"
import type { Context } from "./DiskClone.ts"
import type * as KeyedLock from "./KeyedLock.ts"
import type * as NameIndex from "./NameIndex.ts"
import { NoAccess, NoSpace, NotAFile, type StoreError, StoreFailed } from "./StoreError.ts"

/** The state of one store. One process has one for each root. */
export interface DiskStore extends Context {
  readonly root: DiskStat
  readonly newStagedName: Effect.Effect<string>
  /** folders whose own name is known to be durable: which folder the path was then */
  readonly durableFolders: Map<string, string>
  /** declared and not yet written, over all stagings */
  readonly reserved: { bytes: number }
  readonly names: NameIndex.NameIndex
  /** stagings under way that may be gone on with, by their key */
  readonly resumable: Map<string, Holder>
  /** what may be kept for a resume */
  readonly leftoverBytesMax: number
  readonly leftoverMillisecondsMax: number
  /** by that key */
  readonly lockResume: KeyedLock.KeyedLock
  /** by `FileName.key`; whoever needs two takes the lesser first */
  readonly lockName: KeyedLock.KeyedLock
  /** by `fileId`; taken inside the locks of names: the file changes its name, and its change time with it */
  readonly lockFile: KeyedLock.KeyedLock
  /** by the folded path of a folder; taken inside all others, one at a time */
  readonly lockFolder: KeyedLock.KeyedLock
  /** how many files are being put into a folder or below, by that path: such a folder is not removed */
  readonly placing: Map<string, number>
  /** what open files were when they were opened, or last renamed since, by `fileId` */
  readonly opened: Map<string, Set<{ stat: DiskStat }>>
  /** how many renames from one spelling of a name to another there were */
  readonly speltAnew: { begun: number; ended: number }
  /** how many renames of any file have ended: those who had it open were told */
  readonly followed: { count: number }
}

/** Codes of what may not be looked into. */
export const closed: ReadonlySet<string> = new Set(["EACCES", "EPERM"])

/** Codes of what vanished meanwhile, or may not be looked into. */
export const unlistable: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", ...closed])

/** A file as a listing shows it. */
export const entryOf = (name: FileName, stat: DiskGlance): FileEntry => ({
  name,
  size: Math.min(stat.size, fileBytesMax),
  modified: modifiedOf(stat),
  ...mayRun(stat.executable)
})

/** Which file it is, under whatever name. */
export const fileId = ({ device, inode }: DiskStat): string => `${device}:${inode}`

/** Which version of which file it is: another after every change. */
export const versionOf = ({ changedNanoseconds, device, inode, modifiedNanoseconds, size }: DiskStat): string =>
  `${device}:${inode}:${size}:${modifiedNanoseconds}:${changedNanoseconds}`

/** A name that is too long for this file system names nothing on it. */
export const absent = new Set(["ENOENT", "ENAMETOOLONG"])

/** What a folder holds under any spelling of a name. */
export const find = (context: DiskStore, folder: DiskPath, part: string): Effect.Effect<NameIndex.Found, DiskError> =>
  inFolder(context, folder)(context.names.find(folder, segmentKey(part)))

/** The key of a folder's lock: all spellings of its path have one. */
export const folderKey = (folder: DiskPath): string => segmentKey(folder.join("/"))

/** Runs work while nobody else changes what is in the folder. */
export const inFolder = (context: DiskStore, folder: DiskPath) => context.lockFolder(folderKey(folder))

/** Who holds a staging that may be taken over. */
export interface Holder {
  readonly takeOver: Effect.Effect<void>
}

/** One part of a name, and the folder in which it is looked for. */
export interface Step {
  readonly folder: DiskPath
  readonly part: string
  readonly kind: "folder" | "file"
}

/** The parts of a name, outermost folder first. */
export const stepsOf = (name: FileName): ReadonlyArray<Step> =>
  segments(name).map((part, depth, all) => ({
    folder: all.slice(0, depth),
    part,
    kind: depth === all.length - 1 ? "file" : "folder"
  }))

/** The folder that the file is in. */
export const folderOf = (name: FileName): DiskPath => segments(name).slice(0, -1)

/** Whether two files are in one folder, by the spelling of their names. */
export const sameFolder = (a: FileName, b: FileName): boolean => folderOf(a).join("/") === folderOf(b).join("/")

/** A failure of the disk as one of the store. */
export const failed = ({ operation, code }: DiskError): StoreFailed => new StoreFailed({ operation, code })

/** The same of the folder in which everything is staged. */
export const stagingFailed = ({ operation, code }: DiskError): StoreFailed =>
  new StoreFailed({ operation, code, path: stagingFolder })

/** The same where it is told apart that the process may not do it. */
export const orNoAccess = ({ operation, code }: DiskError, path?: string): NoAccess | StoreFailed => {
  const error = { operation, code, ...(path !== undefined && { path }) }
  return closed.has(code) ? new NoAccess(error) : new StoreFailed(error)
}

/** The same of a write for that name: a full disk is told apart. */
export const full =
  (name: FileName) =>
  (error: DiskError): NoSpace | StoreFailed =>
    isFull(error.code) ? new NoSpace({ name }) : failed(error)

/** What a code says when looking again finds nothing in the way any more. */
const foundByCode: ReadonlyMap<string, NotAFile["found"]> = new Map([
  ["ENOTDIR", "file-as-folder"],
  ["EISDIR", "folder"],
  ["ELOOP", "link"],
  ["ENOTREG", "special"],
  ["EXDEV", "mount-point"]
] as const)

/** Fails with what stands in the way of the name. */
export const blocked = Effect.fnUntraced(function* (
  { disk, root }: DiskStore,
  name: FileName,
  error: DiskError
): Effect.fn.Return<never, StoreError> {
  const byCode = foundByCode.get(error.code)
  if (byCode === undefined) return yield* Effect.fail(closed.has(error.code) ? orNoAccess(error) : full(name)(error))
  for (const { folder, part, kind } of stepsOf(name)) {
    const stat = yield* Effect.option(disk.stat([...folder, part]))
    if (Option.isNone(stat)) break
    const found = stat.value.kind
    if (error.code === "EXDEV" && stat.value.device !== root.device) break
    if (found !== kind) return yield* new NotAFile({ name, found: found === "file" ? "file-as-folder" : found })
  }
  return yield* new NotAFile({ name, found: byCode })
})
