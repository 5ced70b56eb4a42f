/**
 * The file store over a disk: names, staging, collisions, durability and the order of steps. No system call of its own.
 *
 * Content is staged in a hidden folder of the root (`stagingFolder`), so that placing it is a rename within one file
 * system. The order of a commit: size and digest are checked, the file is fsynced, missing folders are made and
 * fsynced, the name is replaced, its folder is fsynced. Until the rename the live file is untouched.
 *
 * A rename makes the new name durable before it takes the old one away: link(2), fsync, unlink(2), fsync. What it is
 * about to do is written down first (RenameIntent), and a store that starts finishes it. Links also never take a name
 * that is there. Where a file system has none it is rename(2), as good as that is there.
 *
 * One store at a time serves a root: it clears away what another has staged, and finishes the renames that it finds.
 * The executable holds a lock on the root for that; a program of its own has to see to it.
 *
 * A replaced file gets a new inode: owner, mode and further hard links of the old one are not carried over.
 *
 * Its parts, each of which knows only those before it: DiskStore, DiskLookup, DiskListing, DiskPlacing, DiskLeftovers,
 * DiskStaging, DiskBundles, DiskRenaming.
 */
import { bytesToHex } from "@noble/hashes/utils.js"
import { Clock, Effect, Layer, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Digest } from "../file/Digest.ts"
import { segments, stagingFolder } from "../file/FileName.ts"
import { nameIndexEntriesMax, stagedLeftoverBytesMax, stagedLeftoverMillisecondsMax } from "../limits.ts"
import { Disk, type DiskPath } from "./Disk.ts"
import { placeAll, present, readAll } from "./DiskBundles.ts"
import { walk } from "./DiskListing.ts"
import { lookPatiently, open, statAt } from "./DiskLookup.ts"
import { finishRenames, remove, rename } from "./DiskRenaming.ts"
import { prepareStaging, rootLockName, stage } from "./DiskStaging.ts"
import { type DiskStore, entryOf, failed, stagingFailed } from "./DiskStore.ts"
import { FileStore } from "./FileStore.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as NameIndex from "./NameIndex.ts"
import type { StoreFailed } from "./StoreError.ts"

/** How durable commits are and what is kept of transfers that were cut. Bytes and milliseconds. */
export interface Options {
  /**
   * `full` (the default): what was committed survives a power cut. `os`: no fsync; what was committed survives the
   * end of the process, and a power cut may lose it or leave it torn.
   */
  readonly durability?: "full" | "os"
  /** Staged files that nobody goes on with are removed when older than this: at start, and when another is kept. */
  readonly stagedLeftoverMillisecondsMax?: number
  /** Staged files that are kept for a resume take at most so many bytes together; the oldest go first. */
  readonly stagedLeftoverBytesMax?: number
  /** Names that are remembered to find collisions without reading a folder again. */
  readonly nameIndexEntriesMax?: number
}

/** The store of a disk's root. Fails when the staging folder cannot be made or is not a folder of the root's own. */
export const layer = (
  options: Options = {}
): Layer.Layer<FileStore, StoreFailed, Disk | Digest | SecureRandom.SecureRandom> =>
  Layer.effect(FileStore, make(options))

/** The same as an effect. */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<FileStore["Service"], StoreFailed, Disk | Digest | SecureRandom.SecureRandom> {
  const disk = yield* Disk
  const digest = yield* Digest
  const random = yield* SecureRandom.SecureRandom
  const root = yield* Effect.mapError(disk.stat([]), failed)
  const durable = options.durability !== "os"
  yield* prepareStaging(disk, root, durable)
  const context: DiskStore = {
    disk,
    digest,
    root,
    newStagedName: Effect.map(random.randomBytes(stagedNameBytes), bytesToHex),
    durable,
    durableFolders: new Map(),
    reserved: { bytes: 0 },
    names: NameIndex.make(disk, options.nameIndexEntriesMax ?? nameIndexEntriesMax),
    resumable: new Map(),
    leftoverBytesMax: options.stagedLeftoverBytesMax ?? stagedLeftoverBytesMax,
    leftoverMillisecondsMax: options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax,
    lockResume: KeyedLock.make(),
    lockName: KeyedLock.make(),
    lockFile: KeyedLock.make(),
    lockFolder: KeyedLock.make(),
    placing: new Map(),
    cloning: { possible: true },
    opened: new Map(),
    speltAnew: { begun: 0, ended: 0 },
    followed: { count: 0 }
  }
  yield* finishRenames(context)
  // Behind it: however old what was written down about a rename is, it is read first.
  yield* sweep(disk, options.stagedLeftoverMillisecondsMax ?? stagedLeftoverMillisecondsMax)
  return FileStore.of({
    list: ({ folder, ...where } = {}) => walk(context, folder === undefined ? [] : segments(folder), where),
    stat: (name) => Effect.map(lookPatiently(context, name, statAt), ({ name, there }) => entryOf(name, there)),
    open: (name) => open(context, name),
    stage: (request) => stage(context, request),
    placeAll: (files, target) => placeAll(context, files, target),
    readAll: (names, bytesMax) => readAll(context, names, bytesMax),
    present: (names) => present(context, names),
    remove: (request) => remove(context, request),
    rename: (request) => rename(context, request)
  })
})

/** Removes old leftovers. Age is by change time, which the committed modification time does not touch. */
const sweep = Effect.fnUntraced(function* (disk: Disk["Service"], millisecondsMax: number) {
  const now = yield* Clock.currentTimeMillis
  // A folder is one that was to take the place of a new one, with small files in it.
  const removeWhenOld = (path: DiskPath) =>
    Effect.flatMap(disk.stat(path), (stat) => {
      if (now - Number(stat.changedNanoseconds / 1_000_000n) <= millisecondsMax) return Effect.void
      if (stat.kind !== "folder") return disk.remove(path)
      if (!freshFolderName.test(path.at(-1) ?? "")) return Effect.void
      const files = Stream.runForEach(disk.list(path), ({ name }) => disk.remove([...path, name]))
      return Effect.andThen(files, disk.removeFolder(path))
    })
  yield* disk.list([stagingFolder]).pipe(
    // Without its file a lock keeps nobody out.
    Stream.filter(({ name }) => name !== rootLockName),
    Stream.runForEach(({ name }) => Effect.ignore(removeWhenOld([stagingFolder, name]))),
    Effect.mapError(stagingFailed)
  )
})

/** What a folder is called that comes with its files. */
const freshFolderName = /^[0-9a-f]{32}-\d+$/

/** 128 bits: nobody meets another's staged file by guessing. */
const stagedNameBytes = 16
