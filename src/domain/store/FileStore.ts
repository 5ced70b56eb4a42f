/**
 * The port behind which all committed content lives.
 *
 * ## Contract (test: `fileStoreContract`, run by every layer)
 *
 * - **Names** are parsed `FileName`s; a store never builds a path from anything else. Bytes are kept as given. Reading
 *   finds the exact name first, otherwise the one file whose name is equal under NFC and case folding, also while that
 *   is renamed to another spelling, which it may have to wait for. Staging a name that differs from an existing one
 *   only in that way fails with `NameCollision`.
 * - **Listing** shows committed regular files only: never staged content, folders, links or special files, nor a file
 *   whose name the grammar refuses. It is streamed, in no promised order, and holds a bounded part in memory. A file
 *   that is renamed meanwhile to another spelling of its name is in it at least once.
 *   What the store may not look into is left out of it, which whoever lists is told, and is not gone for
 *   that: asked for by its name it fails with another error than `NoSuchFile`. Only when that is all there is to list
 *   the listing fails.
 * - **Reading** is positional and sees one version: `unchanged` fails with `SourceChanged` when the bytes read may be
 *   a mixture. A file that is replaced while it is open reads on as it was.
 * - **Staging** is invisible until `commit`. `write` appends; what would exceed the declared size fails with
 *   `SizeMismatch` before it is written. After a write has failed the staging is over: it holds no space, and whatever
 *   is called next fails. A declared size for which there is no space fails with `NoSpace` at once; with a
 *   `base` it may do so only once it is known that the file is no clone of that, which needs less.
 *   Several stagings of one name are independent.
 * - **Commit** verifies size and digest, makes the content durable, and replaces the name in one step, under a lock of
 *   that name: whoever reads finds the whole old or the whole new file, a crash at any moment included. It fails
 *   without having changed anything, with one exception: when the disk breaks at the very last step, the fsync of the
 *   folder, the new file stands there whole, but whether it would survive a power cut is unknown. After commit
 *   succeeded the new content survives a power cut. Folders of the name are made as needed; a commit that fails may
 *   leave them, empty, where no listing shows them. Within `Effect.uninterruptible` one that ends as interrupted
 *   all the same has changed nothing.
 * - **Resume**: a staging with a `resume` key is kept when its scope closes without a commit, if it holds at least
 *   `resumeBytesMin`; the next staging with the same key goes on behind what is there (`resumed`). Of two at once the
 *   newer takes over and the older fails with `TakenOver`. Content that turns out wrong at commit, or that is dropped,
 *   is not kept. What is kept expires by age and by total size, and gives way when room is needed.
 * - **Remove** takes the file that reading would find, in one step, and durably as a commit; folders that it leaves
 *   empty go too. **Rename** gives that file another name. It replaces a file there only when asked to, otherwise it
 *   fails with `FileExists`; another spelling of the own name is no collision. A crash at any moment leaves the
 *   file under the old name, the new one, or both: never under none, never a mixture. Both fail without having
 *   changed anything, except when the disk breaks behind the change itself. Renames, removals and commits that
 *   share a name run one after the other: content that was staged before a removal and is committed after it stands.
 *   A file that is removed or renamed while it is open reads on as it was.
 * - **Many small files**: `placeAll` is a staging, a write and a commit of each file, in the order given, each with an
 *   outcome of its own; it runs to its end even when it is interrupted. `readAll` finds and reads as `open` does.
 * - **Release**: closing the scope of `stage` without a commit and without a `resume` key leaves
 *   nothing behind. Closing the scope of `open` closes the file. Interruption is a release.
 */
import { Context, type Effect, type Result, type Scope, Stream } from "effect"
import type { Parts } from "../Bytes.ts"
import type { ContentDigest } from "../file/Digest.ts"
import type { FileEntry, FileSize, Milliseconds } from "../file/FileEntry.ts"
import { below, type FileName, outermost, segmentKey } from "../file/FileName.ts"
import type { Clonable } from "./Disk.ts"
import type { SourceChanged, StoreError, StoreFailed } from "./StoreError.ts"

/** A committed file, open for reading. */
export interface OpenFile {
  readonly entry: FileEntry
  /**
   * Names this content: equal versions have equal bytes, once the clock has moved on from `changed`
   * (`versionGrainMilliseconds`). At most `keptVersionBytesMax` bytes of text.
   */
  readonly version: string
  /** when the content was last changed as far as the store can tell, milliseconds */
  readonly changed: number
  /**
   * Up to `length` bytes from `offset` (bytes). Shorter only at the end of the file; empty at or beyond it.
   * The result belongs to the caller.
   */
  readonly read: (offset: number, length: number) => Effect.Effect<Uint8Array, StoreFailed>
  /** The same into a buffer of the caller's; gives the number of bytes. Where it is missing, `read` does. */
  readonly readInto?: (offset: number, target: Uint8Array) => Effect.Effect<number, StoreFailed>
  readonly cloneInto?: Clonable["cloneInto"]
  /** Succeeds when everything read so far is of one version. */
  readonly unchanged: Effect.Effect<void, SourceChanged | StoreFailed>
}

/** What a new file is declared to be. */
export interface StageRequest {
  readonly name: FileName
  /** bytes */
  readonly size: FileSize
  /** the modification time that the committed file will have */
  readonly modified: Milliseconds
  /** whether the committed file may be run */
  readonly executable?: true
  /** 32 hex digits that name account, file and source content: what was staged under it before is gone on with */
  readonly resume?: string
  /** what must be at the name, now and at the commit: `absent` fails with `FileExists`, `present` with `NoSuchFile` */
  readonly target?: "absent" | "present"
  /** bytes of the live file, when ranges of it will be copied */
  readonly base?: FileSize
}

/** What a commit must find true. */
export interface CommitRequest {
  readonly size: FileSize
  readonly digest: ContentDigest
  /** the `OpenFile.version` that the live file must still have */
  readonly replaces?: string
}

/** Which file is to go. */
export interface RemoveRequest {
  readonly name: FileName
  /** the `OpenFile.version` that the file must still have */
  readonly version?: string
}

/** Which file gets which name. */
export interface RenameRequest extends RemoveRequest {
  readonly to: FileName
  /** whether a file that has the name may go */
  readonly replace: boolean
}

/** What a rename has done. */
export interface Renamed {
  /** the old name, as it was spelt */
  readonly from: FileName
  /** the file under its new name */
  readonly entry: FileEntry
  /** what had the name before */
  readonly replaced?: FileEntry
}

/** A whole small file, to be committed. */
export interface SmallFile {
  readonly name: FileName
  /** the modification time that the committed file will have */
  readonly modified: Milliseconds
  /** whether the committed file may be run */
  readonly executable?: true
  readonly parts: Parts
  /** what the content must have */
  readonly digest: ContentDigest
}

/** A committed file that was read. */
export interface SmallContent {
  readonly entry: FileEntry
  /** undefined when it is larger than was asked for; belongs to the caller, with nothing of others in its buffer */
  readonly content: Uint8Array | undefined
}

/** What several files came to, in their order. */
export type Outcomes<A> = ReadonlyArray<Result.Result<A, StoreError>>

/** Content on its way into the store. One owner; calls one at a time. */
export interface Staging {
  /** bytes that an earlier staging has left here: `write` goes on behind them */
  readonly resumed: number
  /** Appends bytes. They may be changed, or be no more, after the effect has ended. */
  readonly write: (parts: Parts) => Effect.Effect<void, StoreError>
  /** Appends a range of an open file of the same store. Fails with `SourceChanged` when the range is not there. */
  readonly copy: (from: OpenFile, offset: number, length: number) => Effect.Effect<void, StoreError>
  /** Gives it up and keeps nothing, not for its `resume` key either: nobody will go on with it. Called last. */
  readonly drop: Effect.Effect<void>
  /** Verifies, makes durable, replaces. Called at most once, last. */
  readonly commit: (expected: CommitRequest) => Effect.Effect<FileEntry, StoreError>
}

/** Which files are listed, and who hears of others. */
export interface Where {
  /** those below one folder, of exactly that spelling: none when there is no such folder */
  readonly folder?: FileName
  /** of these the ones whose first part, below the folder, has one of these keys (`FileName.segmentKey`) */
  readonly alike?: ReadonlySet<string>
  /** told of what is left out because the store may not look into it: a folder, or a file of one */
  readonly onUnlisted?: (name: FileName) => Effect.Effect<void>
  /** told of what is left out because no name can mean it */
  readonly onUnnamed?: (unnamed: Unnamed) => Effect.Effect<void>
}

/** A file or a folder that is called what no name can have. */
export interface Unnamed {
  /** where it is; undefined for the outermost folder */
  readonly folder: FileName | undefined
  /** the last part of its path, as the store has it: for a person to read */
  readonly part: string
  readonly kind: "file" | "folder"
}

/** Of all files those that are meant: for a store that can only list all. */
export const listed = <E, R>(all: Stream.Stream<FileEntry, E, R>, { alike, folder }: Where = {}) =>
  Stream.filter(all, ({ name }) => {
    const own = below(folder ?? "", name)
    return own !== undefined && (alike === undefined || alike.has(segmentKey(outermost(own))))
  })

export class FileStore extends Context.Service<
  FileStore,
  {
    /** Committed files: all of them, or some without a look at the others. */
    readonly list: (where?: Where) => Stream.Stream<FileEntry, StoreError>
    /** The committed file of that name. */
    readonly stat: (name: FileName) => Effect.Effect<FileEntry, StoreError>
    /** Opens the committed file of that name for reading. */
    readonly open: (name: FileName) => Effect.Effect<OpenFile, StoreError, Scope.Scope>
    /** Begins new content for a name. */
    readonly stage: (request: StageRequest) => Effect.Effect<Staging, StoreError, Scope.Scope>
    /**
     * Commits small files; their bytes may be changed, or be no more, afterwards. Where it is missing, each is staged:
     * SmallFiles.
     */
    readonly placeAll?: (
      files: ReadonlyArray<SmallFile>,
      target: StageRequest["target"]
    ) => Effect.Effect<Outcomes<FileEntry>>
    /**
     * Reads small files of at most `bytesMax`, in the order given; ends before the first whose content would make more
     * than that together. The contents belong to the caller, and share their buffers with nothing but one another.
     * Where it is missing, each is opened.
     */
    readonly readAll?: (names: ReadonlyArray<FileName>, bytesMax: number) => Effect.Effect<Outcomes<SmallContent>>
    /**
     * Those of the names that a commit would find taken, in the order given: what is left out would be new. Cheaper
     * than a look at each. Where it is missing, any of them may be.
     */
    readonly present?: (names: ReadonlyArray<FileName>) => Effect.Effect<ReadonlyArray<FileName>>
    /** Removes a committed file; gives what it was. */
    readonly remove: (request: RemoveRequest) => Effect.Effect<FileEntry, StoreError>
    /** Gives a committed file another name. */
    readonly rename: (request: RenameRequest) => Effect.Effect<Renamed, StoreError>
  }
>()("paradrop/store/FileStore") {}
