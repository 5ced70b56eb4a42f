/**
 * The files below a folder of a store, as a listing.
 */
import { Effect, Result, Stream } from "effect"
import type { FileEntry } from "../file/FileEntry.ts"
import { baseName, type FileName, isName, segmentKey, stagingFolder } from "../file/FileName.ts"
import type { Disk, DiskEntry, DiskPath } from "./Disk.ts"
import { lookPatiently, statAt } from "./DiskLookup.ts"
import { closed, type DiskStore, entryOf, orNoAccess, sameFolder, unlistable } from "./DiskStore.ts"
import type { Unnamed, Where } from "./FileStore.ts"
import type { NoAccess, StoreFailed } from "./StoreError.ts"

/** Who hears of what is left out. */
type OnUnlisted = Where["onUnlisted"]

/** Files below a folder, depth first. Each open level holds one batch of entries. */
export const walk = (
  context: DiskStore,
  folder: DiskPath,
  where: Omit<Where, "folder"> = {}
): Stream.Stream<FileEntry, NoAccess | StoreFailed> => filesAt(context, folder, { ...where, outermost: true })

/** Fails where the root was removed: then no folder is there, and an empty listing would say that it holds nothing. */
const rootThere = ({ disk }: DiskStore) =>
  Effect.catchIf(
    Stream.runDrain(Stream.take(disk.list([]), 1)),
    ({ code }) => closed.has(code),
    () => Effect.void
  )

/** Where a walk is. */
interface Level extends Omit<Where, "folder"> {
  /** whether it began here: then there is nothing else to list */
  readonly outermost: boolean
}

const filesAt = (
  context: DiskStore,
  folder: DiskPath,
  { alike, onUnlisted, onUnnamed, outermost }: Level
): Stream.Stream<FileEntry, NoAccess | StoreFailed> =>
  Stream.suspend(() => {
    const { ended } = context.speltAnew
    const told = { ...(onUnlisted && { onUnlisted }), ...(onUnnamed && { onUnnamed }) }
    return context.disk.list(folder).pipe(
      // What vanished meanwhile, or may not be looked into, hides itself and not the rest.
      Stream.catchIf(
        ({ code }) => folder.length > 0 && unlistable.has(code) && !(outermost && closed.has(code)),
        ({ code }) => {
          const told = Effect.as(unlisted(onUnlisted, folder.join("/"), code), Stream.empty)
          return Stream.unwrap(outermost ? Effect.andThen(rootThere(context), told) : told)
        }
      ),
      Stream.mapError((error) => orNoAccess(error, folder.join("/"))),
      Stream.chunks,
      Stream.flatMap((batch) => {
        const before = folder.map((part) => `${part}/`).join("")
        const folders: Array<string> = []
        const files: Array<Listed> = []
        const unnamed: Array<DiskEntry> = []
        for (const entry of batch) {
          const { kind, name: part } = entry
          if (alike?.has(segmentKey(part)) === false) continue
          const name = `${before}${part}`
          if (!isName(name)) unnamed.push(entry)
          else if (kind === "folder") folders.push(part)
          else if (kind === "file") files.push({ name, part })
        }
        const entries = entriesOf(context, folder, files, { ended, onUnlisted })
        const here = Stream.fromArrayEffect(
          unnamed.length === 0 ? entries : Effect.andThen(tellUnnamed(onUnnamed, folder, unnamed), entries)
        )
        if (folders.length === 0) return here
        const below = Stream.flatMap(Stream.fromArray(folders), (part) =>
          filesAt(context, [...folder, part], { ...told, outermost: false })
        )
        return files.length + unnamed.length === 0 ? below : Stream.concat(here, below)
      })
    )
  })

/** A file of a listing, and the last part of its name. */
interface Listed {
  readonly name: FileName
  readonly part: string
}

/** Every volume has a `lost+found` that is closed to all but its owner: nobody wants to hear of it. */
const unlisted = (onUnlisted: OnUnlisted, name: string, code: string): Effect.Effect<void> =>
  onUnlisted === undefined || !closed.has(code) || !isName(name) || baseName(name) === "lost+found"
    ? Effect.void
    : onUnlisted(name)

/** What is no file has none to miss, and a staging folder is hidden on purpose, also one of another server below. */
const tellUnnamed = (onUnnamed: Where["onUnnamed"], folder: DiskPath, entries: ReadonlyArray<DiskEntry>) => {
  const path = folder.join("/")
  const where = isName(path) ? path : undefined
  const all = entries.flatMap(({ kind, name: part }): ReadonlyArray<Unnamed> => {
    const ours = kind === "folder" && part === stagingFolder
    return ours || (kind !== "file" && kind !== "folder") ? [] : [{ folder: where, part, kind }]
  })
  return onUnnamed === undefined ? Effect.void : Effect.forEach(all, onUnnamed, { discard: true })
}

/** @param ended how many renames to another spelling had ended before the folder was read */
const entriesOf = Effect.fnUntraced(function* (
  context: DiskStore,
  folder: DiskPath,
  files: ReadonlyArray<Listed>,
  { ended, onUnlisted }: { readonly ended: number; readonly onUnlisted: OnUnlisted }
): Effect.fn.Return<ReadonlyArray<FileEntry>, NoAccess | StoreFailed> {
  const entries: Array<FileEntry> = []
  const gone: Array<FileName> = []
  const parts = files.map(({ part }) => part)
  for (const [index, stat] of (yield* statsOf(context.disk, folder, parts, onUnlisted)).entries()) {
    if (Result.isFailure(stat) && !unlistable.has(stat.failure.code))
      return yield* orNoAccess(stat.failure, folder.join("/"))
    const file = files[index]
    if (file === undefined) continue
    if (Result.isFailure(stat) && closed.has(stat.failure.code))
      yield* unlisted(onUnlisted, file.name, stat.failure.code)
    else if (Result.isFailure(stat)) gone.push(file.name)
    // By now something else may stand there.
    else if (stat.success.kind === "file") entries.push(entryOf(file.name, stat.success))
  }
  if (gone.length === 0 || context.speltAnew.begun === ended) return entries
  return [...entries, ...(yield* nowSpelt(context, gone, new Set(entries.map(({ name }) => name))))]
})

/** Of files that were gone when they were looked at: those under another spelling now, and not yet listed. */
const nowSpelt = Effect.fnUntraced(function* (
  context: DiskStore,
  gone: ReadonlyArray<FileName>,
  listed: Set<FileName>
): Effect.fn.Return<ReadonlyArray<FileEntry>, NoAccess | StoreFailed> {
  const entries: Array<FileEntry> = []
  for (const name of gone) {
    const found = yield* Effect.result(lookPatiently(context, name, statAt))
    if (Result.isFailure(found) && found.failure._tag === "StoreFailed") return yield* found.failure
    if (Result.isFailure(found) || listed.has(found.success.name) || !sameFolder(found.success.name, name)) continue
    listed.add(found.success.name)
    entries.push(entryOf(found.success.name, found.success.there))
  }
  return entries
})

/** None when the folder has gone, or was closed, meanwhile. */
const statsOf = (disk: Disk["Service"], folder: DiskPath, names: ReadonlyArray<string>, onUnlisted: OnUnlisted) =>
  names.length === 0
    ? Effect.succeed([])
    : disk.statAll(folder, names).pipe(
        Effect.catchIf(
          ({ code }) => folder.length > 0 && unlistable.has(code),
          ({ code }) => Effect.as(unlisted(onUnlisted, folder.join("/"), code), [])
        ),
        Effect.mapError((error) => orNoAccess(error, folder.join("/")))
      )
