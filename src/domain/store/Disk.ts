/**
 * The narrow port to one folder of a file system: just what a safe replace and a safe read need.
 *
 * It exists so that the store's logic (FileStoreDisk) runs unchanged on a real disk and on one that a test crashes.
 *
 * ## Contract (test: `diskContract`)
 *
 * - A `DiskPath` is a list of single path parts below the root, none empty, `.`, `..` or with a separator. The
 *   caller guarantees that; every layer checks it again and fails with code `EINVAL`.
 * - **No link is ever followed**, at any part of the path, also when one is swapped in meanwhile: where the platform
 *   allows it, each part is opened from its parent's descriptor. What a link would hide fails with `ELOOP` or
 *   `ENOTDIR`.
 * - Opening never blocks on a FIFO or device: what is not a regular file fails with code `ENOTREG`.
 * - Errors are `DiskError` with the system's code (`ENOENT`, `EEXIST`, `ENOSPC`, `EIO`, ...).
 * - Nothing is created, renamed or removed behind a mount point below the root: `EXDEV`. Reading there is allowed.
 * - An operation that was started is finished even when its fiber is interrupted; handles close with their scope.
 * - Durability: bytes are durable after `sync` of the file; names are durable after `syncFolder` of the folder.
 */
import { Context, Effect, type Result, Schema, type Scope, type Stream } from "effect"
import type { Parts } from "../Bytes.ts"
import { millisecondsMax } from "../file/FileEntry.ts"

/** Parts of a path below the root; the empty list is the root itself. */
export type DiskPath = ReadonlyArray<string>

/** A disk operation failed. */
export class DiskError extends Schema.TaggedError<DiskError>()("DiskError", {
  /** the operation of this port */
  operation: Schema.String,
  /** a system error code; or `ENOTREG`, not a regular file */
  code: Schema.String
}) {
  override get message(): string {
    return `${this.operation} failed: ${this.code}`
  }
}

/** What there is to see of an entry at a glance: no more of it counts, though a layer may give more. */
export interface DiskGlance {
  readonly kind: "file" | "folder" | "link" | "special"
  /** bytes */
  readonly size: number
  /** modification time, milliseconds */
  readonly modified: number
  /** whether its owner may run it */
  readonly executable: boolean
}

/** What stands at a path, the last part not followed. */
export interface DiskStat extends DiskGlance {
  /** modification and change time in nanoseconds: a file's content is unchanged when identity and both are */
  readonly modifiedNanoseconds: bigint
  readonly changedNanoseconds: bigint
  /** device and inode: which file it is */
  readonly device: bigint
  readonly inode: bigint
  /** how many names the file has; 0 once it is removed or replaced and only open */
  readonly links: number
  /** whether it is of this process's user: true where files have no owners */
  readonly own: boolean
}

/** An entry of a folder. */
export interface DiskEntry {
  /** ill-formed where the system's name is no Unicode: no path can mean such an entry */
  readonly name: string
  readonly kind: DiskGlance["kind"]
}

/** Who may look into a new folder: its owner alone (mode 0700), or whom the process's umask allows. */
export type FolderAccess = "private" | "shared"

/** An open regular file. Reads may run at once; writes are one at a time. */
export interface DiskFile {
  readonly stat: Effect.Effect<DiskStat, DiskError>
  /** Up to `length` bytes at `offset`; shorter only at the end. The result belongs to the caller. */
  readonly read: (offset: number, length: number) => Effect.Effect<Uint8Array, DiskError>
  /** Fills a buffer of the caller's from `offset`; gives the number of bytes, smaller only at the end. */
  readonly readInto: (offset: number, target: Uint8Array) => Effect.Effect<number, DiskError>
  /** Writes all parts at `offset`, in order. */
  readonly write: (offset: number, parts: Parts) => Effect.Effect<void, DiskError>
  /** Cuts the file to that many bytes; what is missing to them is zeros. */
  readonly truncate: (length: number) => Effect.Effect<void, DiskError>
  /**
   * In the place of what the file holds: all that another open file of the same layer holds, whose blocks both share
   * until one of them is written to (a clone). Times and permissions are not cloned. `ENOTSUP` where the system or the
   * file system has no such thing; after a failure the file may be empty.
   */
  readonly cloneFrom: (source: DiskFile) => Effect.Effect<void, DiskError>
  /** For `cloneFrom` of the same layer: runs `use` with what the file is called while it is open, if anything. */
  readonly named: <A>(use: (name: string | undefined) => Effect.Effect<A, DiskError>) => Effect.Effect<A, DiskError>
  /** Sets the modification time, milliseconds. */
  readonly setModified: (milliseconds: number) => Effect.Effect<void, DiskError>
  /** Lets those run it who may read it, or nobody. A system without such a bit takes no notice. */
  readonly setExecutable: (executable: boolean) => Effect.Effect<void, DiskError>
  /** fsync: content and size are durable. */
  readonly sync: Effect.Effect<void, DiskError>
}

/** What a file that may be cloned is known by. */
export interface Clonable {
  /** when the content was last changed as far as anybody can tell, milliseconds */
  readonly changed: number
  /**
   * For the layer that opened it: makes a new file of its disk share all of this content (`DiskFile.cloneFrom`). Where
   * it is missing, or fails, content is copied.
   */
  readonly cloneInto: (file: DiskFile) => Effect.Effect<void, DiskError>
}

/** A small new file for `placeAll`. */
export interface NewFile {
  /** what it is called while it is written */
  readonly temporary: string
  readonly name: string
  readonly parts: Parts
  /** modification time, milliseconds */
  readonly modified: number
  /** whether those may run it who may read it; otherwise nobody may */
  readonly executable?: true | undefined
}

/** Small new files for one folder. */
export interface PlaceRequest {
  /** where they are written first */
  readonly staging: DiskPath
  readonly folder: DiskPath
  readonly files: ReadonlyArray<NewFile>
  /** fsync: each file before it gets its name, and the folder at the end */
  readonly durable: boolean
  /** each gets the permission bits of the file that it replaces; what is neither file nor link is not replaced */
  readonly likeReplaced: boolean
  /**
   * The folder was just made by whoever asks, who lets nobody else use it meanwhile: as long as it is empty, another
   * one with the files in it may take its place, with the same owner and permissions.
   */
  readonly fresh?: boolean
}

/** A whole small file. */
export interface WholeFile {
  readonly stat: DiskGlance
  /** undefined when it is larger than was asked for, or changed while it was read */
  readonly content: Uint8Array | undefined
}

export class Disk extends Context.Service<
  Disk,
  {
    /** Opens a regular file for reading. Its time and bit may be set as well, for that no right to write is needed. */
    readonly openRead: (path: DiskPath) => Effect.Effect<DiskFile, DiskError, Scope.Scope>
    /** Creates a new file for writing; `EEXIST` when anything has the name. `private`: for its owner alone, at once. */
    readonly create: (path: DiskPath, access?: "private") => Effect.Effect<DiskFile, DiskError, Scope.Scope>
    /** Opens an existing regular file for reading and writing. */
    readonly openWrite: (path: DiskPath) => Effect.Effect<DiskFile, DiskError, Scope.Scope>
    /** What stands at the path; the last part is not followed. */
    readonly stat: (path: DiskPath) => Effect.Effect<DiskStat, DiskError>
    /** What stands at names of a folder, in the order given, in one go: for each a glance. */
    readonly statAll: (
      folder: DiskPath,
      names: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyArray<Result.Result<DiskGlance, DiskError>>, DiskError>
    /** What a folder holds, name and kind, in no order; read bit by bit. */
    readonly list: (path: DiskPath) => Stream.Stream<DiskEntry, DiskError>
    /** Makes one folder; `EEXIST` when anything has the name. */
    readonly makeFolder: (path: DiskPath, access: FolderAccess) => Effect.Effect<void, DiskError>
    /** rename(2) of a file: replaces a file or link at `to` in one step; `EISDIR` when a folder stands there. */
    readonly rename: (from: DiskPath, to: DiskPath) => Effect.Effect<void, DiskError>
    /**
     * link(2): a second name for a file; `EEXIST` when anything has it, `EPERM` when the file system has no such links,
     * when it is a folder, or when one of the names could not be taken away again, as in a sticky folder.
     */
    readonly link: (from: DiskPath, to: DiskPath) => Effect.Effect<void, DiskError>
    /** Removes a file or link; never a folder. */
    readonly remove: (path: DiskPath) => Effect.Effect<void, DiskError>
    /** rmdir(2): removes an empty folder; `ENOTEMPTY` when it holds anything, `ENOTDIR` when it is none. */
    readonly removeFolder: (path: DiskPath) => Effect.Effect<void, DiskError>
    /** fsync of a folder: the names in it are durable. */
    readonly syncFolder: (path: DiskPath) => Effect.Effect<void, DiskError>
    /**
     * Puts small new files into a folder in one go: what `create`, `write`, `setModified`, `sync`, `rename` and one
     * `syncFolder` would do, for each apart: one that fails is told so, and leaves nothing behind where that can be
     * helped. Fails as a whole, having done nothing, when one of the folders cannot be used. What has its name, and is
     * not durable there, is told with the operation `syncFolder`.
     */
    readonly placeAll: (
      request: PlaceRequest
    ) => Effect.Effect<ReadonlyArray<Result.Result<void, DiskError>>, DiskError>
    /**
     * Reads small files of a folder in one go, in the order given, each of at most `bytesMax` and of one version. Ends
     * before the first whose content would make more than `room` together, `bytesMax` without one, and may end sooner,
     * with at least one, where reading takes long. Contents may lie in the room, one behind the other.
     */
    readonly readAll: (
      folder: DiskPath,
      names: ReadonlyArray<string>,
      bytesMax: number,
      room?: Uint8Array
    ) => Effect.Effect<ReadonlyArray<Result.Result<WholeFile, DiskError>>, DiskError>
    /** Bytes that a file may still take here. */
    readonly freeBytes: Effect.Effect<number, DiskError>
  }
>()("paradrop/store/Disk") {}

/**
 * Both stats are of one descriptor, so identity is given. Size and modification time tell an ordinary write. The
 * change time also tells a write whose modification time was set back; but it moves too when the file loses a name,
 * which is what a replacement does to the old file. So it may differ when, and only when, a name was lost.
 */
export const sameContent = (before: DiskStat, after: DiskStat): boolean =>
  before.size === after.size &&
  before.modifiedNanoseconds === after.modifiedNanoseconds &&
  (before.changedNanoseconds === after.changedNanoseconds || after.links < before.links)

/** What is known of an open file that may be cloned. */
export const clonable = (file: DiskFile, stat: DiskStat): Clonable => ({
  // Whoever sets the modification time back cannot set the change time.
  changed: Math.max(stat.modified, Number(stat.changedNanoseconds / 1_000_000n)),
  // A clone flushes what is not on the disk yet, and nobody can read meanwhile: an fsync before it holds up nobody.
  cloneInto: (target) => Effect.andThen(file.sync, target.cloneFrom(file))
})

/** The modification time as `Milliseconds` can hold it; a file system may hold more. */
export const modifiedOf = ({ modified }: { readonly modified: number }): number =>
  Math.min(Math.max(modified, 0), millisecondsMax)
