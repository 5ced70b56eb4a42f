/**
 * Port: the client's own files.
 *
 * ## Contract (test: `localFilesContract` of `paradrop/client/testing`, run by every layer)
 *
 * - A path is what the person typed: relative or absolute, in the platform's own form. It never comes from a server.
 * - `open` takes regular files only and follows links, as a person who names one expects. `unchanged` fails when the
 *   file was written to since: the bytes read may be a mixture. Of a write that was under way before and at its end
 *   systems say nothing.
 * - `stage` writes beside the destination, under a name of its own, and replaces the destination in one step at
 *   `commit`, after size and digest were verified and the content is durable. Closing the scope without a commit leaves
 *   nothing behind and the destination untouched. Missing folders are not made. A link at the destination is replaced,
 *   not followed; a folder or special file there is refused before the first byte, and so is a link that leads to a
 *   special file. So is a name as what was left of a staging has. When its folder was moved meanwhile
 *   the file may go with it; then the commit tells `folder-moved`, or whatever else failed.
 * - The committed file may be run when it is declared `executable`, by those who may read it, and otherwise by nobody.
 *   Where the platform has no such bit, no file has it.
 * - `base` is an older copy that is open, of the same layer. Where the file system has clones, what stands in the file
 *   where it stands in that is not written, once `write` is told so. It counts as long as the copy is `unchanged`;
 *   otherwise what is staged is read whole at the commit.
 * - With `resumable`, closing the scope without a commit keeps what was written when that is at least `resumeBytesMin`
 *   and nothing was found wrong with it. It is no file of the person's: it stays hidden beside the destination, and is
 *   removed when a later resumable staging in that folder, of whatever name, finds it `stagedLeftoverMillisecondsMax`
 *   old.
 * - `leftover` takes the newest of what was kept, also by a process that was killed. Of two in one process, each gets
 *   another. Whether another process is alive cannot be seen: what it stages is taken from it in one step, and it is
 *   told `taken-over`, at the latest at its commit. What is taken and neither committed nor dropped is there again once
 *   the scope has closed. Whether its bytes are right shows at the commit: a wrong digest drops it.
 * - `readSmall` and `placeSmall` are `open` and `stage` for many small files at once, each apart from the others.
 * - `look` follows links, as `open` does. `walk` follows the path that it is given and no link below it: neither link
 *   nor special file is a file of the tree. It comes folder by folder, in the order of the names' code units, a file or
 *   folder at a time. A folder that cannot be read is a finding, and the walk goes on; so is one too deep to be named,
 *   and a folder that holds nothing. What `stage` writes and has left is `Temporary`, if it shows at all.
 * - `tree` is one folder, which is made when it is missing and asked for. What it gives for a name below it follows no
 *   link below it, also when one is swapped in meanwhile, and never leaves it: names may come from a server. Reading
 *   and staging are as above, but what is no folder on the way to a name is told, missing folders are made, and a
 *   folder is looked through for leftovers once: what the tree itself leaves later it finds all the same. `settle`
 *   gives a file that is there the modification time that is given, and the bit by which it may be run. `remove` takes
 *   a file or link, never a folder, and then the folders that it leaves empty, the tree's own excepted; nothing once
 *   the tree's folder was moved.
 */
import { Context, type Effect, type Result, type Scope, type Stream } from "effect"
import type { Parts } from "../domain/Bytes.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import type { FileSize, Milliseconds } from "../domain/file/FileEntry.ts"
import type { Clonable } from "../domain/store/Disk.ts"
import type { Source } from "../domain/transfer/Outgoing.ts"
import type { LocalFileFailed } from "./ClientError.ts"

/** A local file to send. */
export interface LocalSource extends Source<LocalFileFailed>, Partial<Clonable> {
  readonly modified: Milliseconds
  readonly executable?: true
}

/** What a staged file is declared to be. */
export interface Declared {
  readonly size: FileSize
  readonly modified: Milliseconds
  readonly executable?: true
  /** keep what is there when it ends early */
  readonly resumable?: boolean
  /** what it may begin as a clone of */
  readonly base?: LocalSource
}

/** Content on its way into a local file. */
export interface LocalStaging {
  /**
   * Appends bytes. They may be changed, or be no more, after the effect has ended.
   *
   * @param from where in `base` they were read, since this was staged
   */
  readonly write: (parts: Parts, from?: number) => Effect.Effect<void, LocalFileFailed>
  readonly commit: (expected: {
    readonly size: FileSize
    readonly digest: ContentDigest
  }) => Effect.Effect<void, LocalFileFailed>
}

/** The beginning of a file that an earlier staging has left: the caller's alone while its scope is open. */
export interface Leftover {
  /** bytes that are here */
  readonly from: FileSize
  /** what the whole file was declared to be */
  readonly size: FileSize
  readonly modified: Milliseconds
  /** piece digest of its first `headBytes` bytes */
  readonly head: string
  /** Goes on behind it; `commit` speaks of the whole file, which may be run or not as is said now. */
  readonly resume: (executable?: true) => Effect.Effect<LocalStaging, LocalFileFailed, Scope.Scope>
  /** Removes it. */
  readonly drop: Effect.Effect<void>
}

/** A small local file, whole and of one version. */
export interface LocalSmall {
  readonly modified: Milliseconds
  readonly executable?: true
  readonly content: Uint8Array
}

/** New content of a small local file, whole. */
export interface NewLocal {
  /** its path, or its name in a tree */
  readonly path: string
  readonly modified: Milliseconds
  readonly executable?: true
  readonly parts: Parts
  /** what the content must have */
  readonly digest: ContentDigest
}

/** How durable what is written here must be before it counts: `full` survives a power cut, `os` the process's end. */
export const Durability = Context.Reference<"full" | "os">("paradrop/client/Durability", {
  defaultValue: () => "full"
})

/** What stands at a path. */
export interface LocalEntry {
  readonly kind: "file" | "folder" | "special"
  readonly size: FileSize
  readonly modified: Milliseconds
  readonly executable?: true
}

/** Why something in a folder is no file to move. */
export type LeftOutKind = "empty-folder" | "link" | "special"

/** Many small files at once, each by what it is called there. */
export interface SmallPlaces {
  /**
   * Reads files of at most `bytesMax` each; undefined for what cannot be had so: `open` says why. Contents may lie in
   * the room, one behind the other: they are good until the caller uses it again.
   */
  readonly readSmall: (
    names: ReadonlyArray<string>,
    bytesMax: number,
    room?: Uint8Array
  ) => Effect.Effect<ReadonlyArray<LocalSmall | undefined>>
  /** Puts whole files to their places. */
  readonly placeSmall: (
    files: ReadonlyArray<NewLocal>
  ) => Effect.Effect<ReadonlyArray<Result.Result<void, LocalFileFailed>>>
}

/** The place of one file. */
export interface LocalPlace {
  /** the files among which it can be read and written together with others, and what it is called there */
  readonly among: SmallPlaces
  readonly key: string
  /** as a person reads it; not yet printable */
  readonly path: string
  readonly open: Effect.Effect<LocalSource | undefined, LocalFileFailed, Scope.Scope>
  readonly stage: (declared: Declared) => Effect.Effect<LocalStaging, LocalFileFailed, Scope.Scope>
  readonly leftover: Effect.Effect<Leftover | undefined, never, Scope.Scope>
  readonly settle: (facts: Facts) => Effect.Effect<void, LocalFileFailed>
}

/** What a file has besides its content. */
export interface Facts {
  readonly modified: Milliseconds
  readonly executable?: true
}

/** A folder, and places below it. Names have `/` between their parts. */
export interface LocalTree extends SmallPlaces {
  readonly place: (name: string) => LocalPlace
  readonly remove: (name: string) => Effect.Effect<void, LocalFileFailed>
}

/** What a walk has found. `name` is the path below the root, `/` between its parts. */
export type LocalFound =
  | {
      readonly _tag: "File"
      readonly name: string
      readonly size: FileSize
      readonly modified: Milliseconds
      readonly executable?: true
    }
  /** left out: neither file nor folder, or a folder that holds nothing */
  | { readonly _tag: "LeftOut"; readonly name: string; readonly kind: LeftOutKind }
  /** what a download has left, or is at: it is not sent, and no news */
  | { readonly _tag: "Temporary"; readonly name: string }
  | { readonly _tag: "Failed"; readonly name: string; readonly error: LocalFileFailed }

export class LocalFiles extends Context.Service<
  LocalFiles,
  SmallPlaces & {
    /** Opens a file for sending; undefined when there is none of that path. */
    readonly open: (path: string) => Effect.Effect<LocalSource | undefined, LocalFileFailed, Scope.Scope>
    /** Begins new content for a path. */
    readonly stage: (path: string, declared: Declared) => Effect.Effect<LocalStaging, LocalFileFailed, Scope.Scope>
    /** Takes what an earlier staging of the path has left; undefined when there is none that can be used. */
    readonly leftover: (path: string) => Effect.Effect<Leftover | undefined, never, Scope.Scope>
    /** Gives the file at a path, links followed, what it has besides its content. */
    readonly settle: (path: string, facts: Facts) => Effect.Effect<void, LocalFileFailed>
    /**
     * A folder as a tree, for as long as the scope is open.
     *
     * @param make whether it may be made when it is missing
     */
    readonly tree: (folder: string, make: boolean) => Effect.Effect<LocalTree, LocalFileFailed, Scope.Scope>
    /** What stands at a path, links followed; undefined when nothing does. */
    readonly look: (path: string) => Effect.Effect<LocalEntry | undefined, LocalFileFailed>
    /**
     * The files below a folder. `enter` says of each folder, by its name below the root, whether it is gone into.
     */
    readonly walk: (folder: string, enter: (name: string) => boolean) => Stream.Stream<LocalFound>
    /** Whether a folder stands at the path, links followed. */
    readonly isFolder: (path: string) => Effect.Effect<boolean>
    /** The path's last part. */
    readonly baseName: (path: string) => string
    /** The path of a file in a folder. */
    readonly join: (folder: string, name: string) => string
    /**
     * Paths that begin like this one, in order, folders with a separator at their end; none when it cannot be read.
     * What `stage` writes and has left is not among them.
     */
    readonly complete: (beginning: string) => Effect.Effect<ReadonlyArray<string>>
  }
>()("paradrop/client/LocalFiles") {}

/** The place of a path that a person named. */
export const placeAt = (files: LocalFiles["Service"], path: string): LocalPlace => ({
  among: files,
  key: path,
  path,
  open: files.open(path),
  stage: (declared) => files.stage(path, declared),
  leftover: files.leftover(path),
  settle: (facts) => files.settle(path, facts)
})
