/**
 * What Node says of files, as the `Disk` port says it, which words can be a part of a path, and paths that mean what is
 * open.
 */
import * as nodeFs from "node:fs"
import { Result } from "effect"
import type { DiskGlance, DiskStat } from "./Disk.ts"

// `:` and `\` would mean more than a name on Windows.
const unfitPart = process.platform === "win32" ? /[/\\:\0]/ : /[/\0]/

/** Whether a word names an entry of a folder and nothing else. Node would make another word of an ill-formed one. */
export const isPart = (part: string): boolean =>
  part !== "" && part !== "." && part !== ".." && !unfitPart.test(part) && part.isWellFormed()

// `self` is a link of its own: a fifth of what a look at a file takes. Where /proc is another's, it alone is right.
const self = Result.getOrUndefined(Result.try(() => nodeFs.readlinkSync("/proc/self")))
const descriptors = `/proc/${self === String(process.pid) ? self : "self"}/fd/`

/** On Linux: a path that means an open file or folder, whatever has become of its name. */
export const pathOfDescriptor = (fd: number): string => `${descriptors}${fd}`

/** Whether a path is one of those. */
export const isPathOfDescriptor = (path: string): boolean => path.startsWith(descriptors)

/** What open(2) says of a socket, and of a device without a driver: neither is a regular file. */
export const driverless = "ENXIO"

/** The kind of an entry or of a file, by what Node says of either. */
export const kindOf = (stats: {
  readonly isFile: () => boolean
  readonly isDirectory: () => boolean
  readonly isSymbolicLink: () => boolean
}): DiskGlance["kind"] =>
  stats.isFile() ? "file" : stats.isDirectory() ? "folder" : stats.isSymbolicLink() ? "link" : "special"

/** What Node says of a file. */
export const toStat = (stats: nodeFs.BigIntStats): DiskStat => ({
  kind: kindOf(stats),
  size: Number(stats.size),
  // Rounded: a time set in milliseconds may be stored a few nanoseconds short.
  modified: Number((stats.mtimeNs + 500_000n) / 1_000_000n),
  executable: stats.isFile() && (stats.mode & ownerExecuteBit) !== 0n,
  modifiedNanoseconds: stats.mtimeNs,
  changedNanoseconds: stats.ctimeNs,
  device: stats.dev,
  inode: stats.ino,
  links: Number(stats.nlink),
  own: isOwn(stats.uid)
})

const isOwn = (owner: bigint): boolean => {
  const user = process.geteuid?.()
  return user === undefined || Number(owner) === user
}

/**
 * The same as `toStat` says, without its large integers; undefined when it takes them to know which millisecond it was:
 * near the middle of two, and before 1970.
 */
export const glanceOf = (stats: nodeFs.Stats): DiskGlance | undefined => {
  const modified = Math.round(stats.mtimeMs)
  if (stats.mtimeMs < 0 || Math.abs(stats.mtimeMs - modified) > 0.499) return undefined
  const kind = kindOf(stats)
  return { kind, size: stats.size, modified, executable: kind === "file" && (stats.mode & 0o100) !== 0 }
}

/**
 * Whether an open file was not changed between two looks. A number of milliseconds tells times a quarter of a
 * microsecond apart, from 2039 on half of one, which is less than a look takes.
 */
export const isOneVersion = (before: nodeFs.Stats, after: nodeFs.Stats): boolean =>
  before.size === after.size && before.mtimeMs === after.mtimeMs && before.ctimeMs === after.ctimeMs

const ownerExecuteBit = 0o100n
