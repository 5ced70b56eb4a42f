/**
 * Which names a folder holds, by what they fold to: finds collisions without reading the folder again for each upload.
 *
 * A folder's names are kept together with its stamp (identity, modification and change time in nanoseconds) and are
 * read again when the stamp differs. The store's own changes are entered with the new stamp.
 *
 * The caller holds the folder's lock for every call, so that own changes never race with reading.
 *
 * What a change from outside can do at worst: one that falls between an own change and the stat after it (in the folder
 * above a new one that comes with its files: while they are written), or within the same tick of the file system's
 * clock, stays unseen until the folder changes again. Then a file may be committed beside a differently spelt one that
 * came from outside at that moment, or such a file is not found by its folded name. Exact names never go through the
 * index for reading, and no content is ever lost or mixed by it.
 */
import { Effect, Option, Stream } from "effect"
import { segmentKey } from "../file/FileName.ts"
import type { Disk, DiskEntry, DiskError, DiskPath, DiskStat } from "./Disk.ts"

/** What a folder says about one folded name. */
export interface Found {
  /** everything there with that key; more than one only when somebody else put it there */
  readonly entries: ReadonlyArray<DiskEntry>
  /** the folder itself */
  readonly folder: DiskStat
}

/** What a folder says about several folded names. */
export interface FoundAll {
  readonly entriesOf: (key: string) => ReadonlyArray<DiskEntry>
  readonly folder: DiskStat
}

export interface NameIndex {
  /** All entries of the folder whose name has the key. Fails as `Disk.stat` and `Disk.list` do. */
  readonly find: (folder: DiskPath, key: string) => Effect.Effect<Found, DiskError>
  /**
   * The same for several keys, in one look.
   *
   * @param made what a look at the folder gave right after it was made by us: with the same stamp it is still empty
   */
  readonly findAll: (folder: DiskPath, keys: ReadonlySet<string>, made?: DiskStat) => Effect.Effect<FoundAll, DiskError>
  /**
   * Own changes: the entries are now in the folder. Comes as `added` does.
   *
   * @param anew it was empty, and may have become another one
   */
  readonly addedAll: (folder: DiskPath, entries: ReadonlyArray<DiskEntry>, anew?: boolean) => Effect.Effect<void>
  /** Nobody can tell what is in the folder now: it is read again at the next question. */
  readonly forgotten: (folder: DiskPath) => Effect.Effect<void>
  /** An own change: the entry is now in the folder. Comes right after `find`, in the same hold of the lock. */
  readonly added: (folder: DiskPath, entry: DiskEntry) => Effect.Effect<void>
  /** An own change: nothing has that very name any more. Comes as `added` does. */
  readonly removed: (folder: DiskPath, name: string) => Effect.Effect<void>
}

/** What has a key. Mostly one entry that is spelt like it: then its kind is all that is kept, for there are many. */
type Place = DiskEntry["kind"] | ReadonlyArray<DiskEntry>

interface Names {
  stamp: DiskStat
  readonly byKey: Map<string, Place>
  count: number
}

/** An index that keeps at most `entriesMax` folders and names together; larger folders are read for each question. */
export const make = (disk: Disk["Service"], entriesMax: number): NameIndex => {
  // Insertion order is the order of last use.
  const folders = new Map<string, Names>()
  let total = 0

  // A folder counts as well as its names: of empty ones, and of those that are gone, there may be any number.
  const cost = (names: Names | undefined): number => (names === undefined ? 0 : names.count + 1)
  const forget = (id: string): void => {
    total -= cost(folders.get(id))
    folders.delete(id)
  }
  const keep = (id: string, names: Names): void => {
    forget(id)
    if (cost(names) > entriesMax) return
    folders.set(id, names)
    total += cost(names)
    // Even to begin a walk takes long where many were taken out at the front.
    if (total <= entriesMax) return
    for (const oldest of folders.keys()) {
      if (total <= entriesMax) break
      forget(oldest)
    }
  }

  const read = Effect.fnUntraced(function* (folder: DiskPath, stamp: DiskStat, keys: ReadonlySet<string>) {
    const names: Names = { stamp, byKey: new Map(), count: 0 }
    const matching = new Map<string, Array<DiskEntry>>()
    yield* Stream.runForEachArray(disk.list(folder), (batch) =>
      Effect.sync(() => {
        for (const entry of batch) {
          const entryKey = segmentKey(entry.name)
          if (keys.has(entryKey)) matching.set(entryKey, [...(matching.get(entryKey) ?? []), entry])
          if (names.count <= entriesMax) put(names, entryKey, entry)
          else names.byKey.clear()
        }
      })
    )
    keep(idOf(folder), names)
    return matching
  })

  // Nothing is looked at before it runs: only then the caller has the folder's lock.
  const change = Effect.fnUntraced(function* (folder: DiskPath, enter: (names: Names) => void, anew: boolean = false) {
    const id = idOf(folder)
    const known = folders.get(id)
    if (known === undefined) return
    forget(id)
    // When the stamp cannot be had, the folder is read again at the next question.
    const stamp = yield* Effect.option(disk.stat(folder))
    if (Option.isNone(stamp)) return
    if (!sameFolder(stamp.value, known.stamp) && !(anew && known.count === 0)) return
    enter(known)
    known.stamp = stamp.value
    keep(id, known)
  })

  const findAll: NameIndex["findAll"] = Effect.fnUntraced(function* (folder, keys, made) {
    const stamp = yield* disk.stat(folder)
    const before = folders.get(idOf(folder))
    // Whoever of us has put something there since has left its names here.
    const untouched = before === undefined || !sameFolder(before.stamp, stamp)
    if (made !== undefined && untouched && sameStamp(made, stamp)) {
      keep(idOf(folder), { stamp, byKey: new Map(), count: 0 })
    }
    const known = folders.get(idOf(folder))
    if (known === undefined || !sameStamp(known.stamp, stamp)) {
      const matching = yield* read(folder, stamp, keys)
      return { entriesOf: (key) => matching.get(key) ?? [], folder: stamp }
    }
    folders.delete(idOf(folder))
    folders.set(idOf(folder), known)
    return { entriesOf: (key) => entriesAt(known, key), folder: stamp }
  })

  return {
    find: (folder, key) =>
      Effect.map(findAll(folder, new Set([key])), (found) => ({
        entries: found.entriesOf(key),
        folder: found.folder
      })),
    findAll,
    addedAll: (folder, entries, anew) =>
      change(
        folder,
        (names) => {
          for (const entry of entries) put(names, segmentKey(entry.name), entry)
        },
        anew
      ),
    forgotten: (folder) => Effect.sync(() => forget(idOf(folder))),
    added: (folder, entry) => change(folder, (names) => put(names, segmentKey(entry.name), entry)),
    removed: (folder, name) => change(folder, (names) => drop(names, segmentKey(name), name))
  }
}

/** No part of a path holds a separator, so no two folders share an id. */
const idOf = (folder: DiskPath): string => folder.join("/")

const entriesAt = ({ byKey }: Names, key: string): ReadonlyArray<DiskEntry> => {
  const place = byKey.get(key)
  return typeof place === "string" ? [{ name: key, kind: place }] : (place ?? [])
}

const setAt = ({ byKey }: Names, key: string, entries: ReadonlyArray<DiskEntry>): void => {
  const [first] = entries
  if (first === undefined) byKey.delete(key)
  else if (entries.length === 1 && first.name === key) byKey.set(key, first.kind)
  else byKey.set(key, entries)
}

const put = (names: Names, key: string, entry: DiskEntry): void => {
  const same = entriesAt(names, key)
  const others = same.filter(({ name }) => name !== entry.name)
  // What is spread into an array has room for more, which of so many is most of it.
  setAt(names, key, others.length === 0 ? [entry] : [...others, entry])
  names.count += others.length + 1 - same.length
}

const drop = (names: Names, key: string, name: string): void => {
  const same = entriesAt(names, key)
  const others = same.filter((entry) => entry.name !== name)
  setAt(names, key, others)
  names.count += others.length - same.length
}

const sameFolder = (a: DiskStat, b: DiskStat): boolean => a.device === b.device && a.inode === b.inode

const sameStamp = (a: DiskStat, b: DiskStat): boolean =>
  sameFolder(a, b) && a.modifiedNanoseconds === b.modifiedNanoseconds && a.changedNanoseconds === b.changedNanoseconds
