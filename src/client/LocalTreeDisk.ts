/**
 * A folder of the client as a tree, over the narrow `Disk` port: that follows no link, and so neither does this.
 */
import { Effect, Option, type Scope, Stream } from "effect"
import { mayRun } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import { type Disk, type DiskEntry, type DiskError, type DiskFile, type DiskPath } from "../domain/store/Disk.ts"
import { modifiedOf, sameContent } from "../domain/store/Disk.ts"
import * as KeyedLock from "../domain/store/KeyedLock.ts"
import { LocalFileFailed } from "./ClientError.ts"
import type { Declared, Facts, LocalPlace, LocalSource, LocalTree } from "./LocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** The folder, and what the platform does about it. */
export interface TreeOptions {
  readonly disk: Disk["Service"]
  /** the path of a file in it, as a person reads it */
  readonly pathOf: (name: string) => string
  /** Gives a file that is staged in a folder the permissions of the file that it will replace. */
  readonly prepare: (replaced: DiskPath, temporary: DiskPath) => Effect.Effect<void, DiskError>
  readonly held: StagedFile.Destination["held"]
  readonly services: <A, E>(effect: Effect.Effect<A, E, StagedFile.Services>) => Effect.Effect<A, E, Scope.Scope>
}

/** A tree that is good as long as its disk. */
export const make = (options: TreeOptions): LocalTree => {
  const { disk, pathOf, services } = options
  const made = new Set<string>()
  const temporaries = new Map<string, ReadonlyArray<DiskEntry>>()
  const lockFolder = KeyedLock.make()

  /** What stands in a folder that earlier stagings may have left: looked for once. */
  const leftIn = (folder: DiskPath): Stream.Stream<DiskEntry, DiskError> => {
    const key = folder.join("/")
    const look = Effect.gen(function* () {
      const known = temporaries.get(key)
      if (known !== undefined) return known
      const found = yield* Stream.runCollect(Stream.filter(disk.list(folder), ({ name }) => name.endsWith(".part")))
      temporaries.set(key, found)
      return found
    })
    return Stream.fromArrayEffect(lockFolder(key)(look))
  }

  const makeFolders = Effect.fnUntraced(function* (folder: DiskPath): Effect.fn.Return<void, DiskError> {
    for (let depth = 1; depth <= folder.length; depth += 1) {
      const path = folder.slice(0, depth)
      if (made.has(path.join("/"))) continue
      // What else stands there shows at the next step.
      yield* Effect.catchIf(
        disk.makeFolder(path, "shared"),
        ({ code }) => code === "EEXIST",
        () => Effect.void
      )
      made.add(path.join("/"))
    }
  })

  const place = (name: string): LocalPlace => {
    const path = pathOf(name)
    const parts = name.split("/")
    const [folder, last] = [parts.slice(0, -1), parts.at(-1) ?? ""]
    const failed = writeFailed(path)
    const destination: StagedFile.Destination = {
      path,
      disk: within(disk, folder, leftIn(folder)),
      name: last,
      prepare: (temporary) => options.prepare(parts, [...folder, temporary]),
      held: options.held
    }
    return {
      path,
      open: disk.openRead(parts).pipe(
        Effect.flatMap((file) => sourceOf(file, path)),
        Effect.catchIf(
          ({ code }) => code === "ENOENT",
          () => Effect.undefined
        ),
        Effect.mapError(readFailed(path))
      ),
      stage: (declared: Declared) =>
        services(
          Effect.andThen(
            Effect.mapError(makeFolders(folder), failed),
            StagedFile.stage({ ...destination, ...declared })
          )
        ),
      leftover: services(StagedFile.leftover(destination)),
      settle: (facts) =>
        Effect.scoped(Effect.flatMap(disk.openWrite(parts), (file) => settle(file, facts))).pipe(
          Effect.mapError(failed)
        )
    }
  }

  const remove = Effect.fnUntraced(function* (name: string): Effect.fn.Return<void, LocalFileFailed> {
    const parts = name.split("/")
    yield* Effect.mapError(disk.remove(parts), writeFailed(pathOf(name)))
    for (let depth = parts.length - 1; depth > 0; depth -= 1) {
      const gone = yield* Effect.option(disk.removeFolder(parts.slice(0, depth)))
      if (Option.isNone(gone)) return
      made.delete(parts.slice(0, depth).join("/"))
    }
  })

  return { place, remove }
}

/** An open file as something to send. */
export const sourceOf = (file: DiskFile, path: string): Effect.Effect<LocalSource, DiskError> =>
  Effect.map(file.stat, (before) => {
    const failed = readFailed(path)
    return {
      size: before.size,
      modified: modifiedOf(before),
      ...mayRun(before.executable),
      read: (offset: number, length: number) => Effect.mapError(file.read(offset, length), failed),
      readInto: (offset: number, target: Uint8Array) => Effect.mapError(file.readInto(offset, target), failed),
      unchanged: Effect.flatMap(Effect.mapError(file.stat, failed), (after) =>
        sameContent(before, after) ? Effect.void : Effect.fail(failed({ code: "source-changed" }))
      )
    }
  })

/** Gives an open file what it has besides its content. */
export const settle = (file: DiskFile, { executable, modified }: Facts): Effect.Effect<void, DiskError> =>
  Effect.andThen(file.setExecutable(executable === true), file.setModified(modified))

/** A local file cannot be read, in a person's words. */
export const readFailed =
  (path: string) =>
  ({ code }: { readonly code: string }): LocalFileFailed =>
    new LocalFileFailed({ path: printable(path), operation: "read", code })

const writeFailed =
  (path: string) =>
  ({ code }: { readonly code: string }): LocalFileFailed =>
    new LocalFileFailed({ path: printable(path), operation: "write", code })

/** One folder of a disk as if it were the whole, with this listing. */
const within = (
  disk: Disk["Service"],
  folder: DiskPath,
  listing: Stream.Stream<DiskEntry, DiskError>
): Disk["Service"] => {
  const at = (path: DiskPath): DiskPath => [...folder, ...path]
  return {
    openRead: (path) => disk.openRead(at(path)),
    create: (path) => disk.create(at(path)),
    openWrite: (path) => disk.openWrite(at(path)),
    stat: (path) => disk.stat(at(path)),
    list: () => listing,
    makeFolder: (path, access) => disk.makeFolder(at(path), access),
    rename: (from, to) => disk.rename(at(from), at(to)),
    link: (from, to) => disk.link(at(from), at(to)),
    remove: (path) => disk.remove(at(path)),
    removeFolder: (path) => disk.removeFolder(at(path)),
    syncFolder: (path) => disk.syncFolder(at(path)),
    freeBytes: disk.freeBytes
  }
}
