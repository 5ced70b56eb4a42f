/**
 * A folder of the client as a tree, over the narrow `Disk` port: that follows no link, and so neither does this.
 */
import { Effect, Option, Result, type Scope, Stream } from "effect"
import { mayRun } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { type Disk, type DiskEntry, type DiskError, type DiskFile, type DiskPath } from "../domain/store/Disk.ts"
import { clonable, modifiedOf, sameContent } from "../domain/store/Disk.ts"
import * as KeyedLock from "../domain/store/KeyedLock.ts"
import { LocalFileFailed } from "./ClientError.ts"
import {
  type Declared,
  Durability,
  type Facts,
  type LocalFiles,
  type LocalPlace,
  type LocalSmall,
  type LocalSource,
  type LocalStaging,
  type LocalTree,
  type NewLocal,
  type SmallPlaces
} from "./LocalFiles.ts"
import * as SmallLocalFiles from "./SmallLocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** The folder, and what the platform does about it. */
export interface TreeOptions {
  readonly disk: Disk["Service"]
  /** Fails when the folder is no more where it was: what is done in it is then done elsewhere. Not where none moves. */
  readonly isThere?: Effect.Effect<void, DiskError>
  /** the path of a file in it, as a person reads it */
  readonly pathOf: (name: string) => string
  /** Gives a file that is staged in a folder the permissions of the file that it will replace: see `StagedFile`. */
  readonly prepare: (replaced: DiskPath, temporary: DiskPath) => ReturnType<StagedFile.Destination["prepare"]>
  /** Whether what stands under a name is no file, or a link that leads to none: a device, a pipe or a socket. */
  readonly leadsToNoFile: (name: string) => Effect.Effect<boolean>
  readonly held: StagedFile.Destination["held"]
  readonly services: <A, E>(effect: Effect.Effect<A, E, StagedFile.Services>) => Effect.Effect<A, E, Scope.Scope>
}

/**
 * What is known of a folder that files go to: it was there before, or it was made for them and nothing of ours was
 * begun in it, or something was. In one that was made nothing is replaced.
 */
type FolderState = "begun" | "there" | "untouched"

/** The temporary files of a folder: those that were there at the first look, and those that were left since. */
interface Temporaries {
  readonly names: Set<string>
  looked: boolean
  /** what is old has gone */
  swept: boolean
}

const isOurs = (state: FolderState | undefined): boolean => state === "begun" || state === "untouched"

/** A tree that is good as long as its disk. */
export const make = (options: TreeOptions): LocalTree => {
  const { disk, isThere = Effect.void, leadsToNoFile, pathOf, services } = options
  const folders = new Map<string, FolderState>()
  /** made here, with a name that is not yet durable */
  const unsynced = new Set<string>()
  const temporaries = new Map<string, Temporaries>()
  const lockFolder = KeyedLock.make()
  const cloning = { possible: true }

  const temporariesOf = (key: string): Temporaries => {
    const known = temporaries.get(key) ?? { names: new Set(), looked: false, swept: false }
    temporaries.set(key, known)
    return known
  }

  /** What earlier stagings may have left in a folder: looked for once. */
  const leftIn = (folder: DiskPath): Stream.Stream<DiskEntry, DiskError> => {
    const key = folder.join("/")
    const look = Effect.gen(function* () {
      const known = temporariesOf(key)
      if (!known.looked) {
        yield* Stream.runForEach(disk.list(folder), ({ kind, name }) =>
          Effect.sync(() => void (kind === "file" && name.endsWith(".part") && known.names.add(name)))
        )
        known.looked = true
      }
      return Array.from(known.names, (name): DiskEntry => ({ name, kind: "file" }))
    })
    return Stream.fromArrayEffect(lockFolder(key)(look))
  }

  /** What was there before may hold what small files have left. */
  const sweepOnce = (folder: DiskPath): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = temporariesOf(folder.join("/"))
      if (known.swept) return Effect.void
      known.swept = true
      return StagedFile.sweep({ disk: within(disk, folder, disk.list(folder)), held: options.held })
    })

  /** From now on something is in the folder; tells whether it is the first. */
  const begin = (key: string): boolean => {
    const first = folders.get(key) === "untouched"
    if (first) folders.set(key, "begun")
    return first
  }

  /** Something else is about to be in the folder; waits for files that go there with the folder as a whole. */
  const touch = (folder: DiskPath): Effect.Effect<void> =>
    Effect.suspend(() => {
      const key = folder.join("/")
      return isOurs(folders.get(key)) ? lockFolder(key)(Effect.sync(() => void begin(key))) : Effect.void
    })

  /** Makes one folder, unless it is there. Alone: until it is known whether it is new, nobody goes on with it. */
  const makeFolder = Effect.fnUntraced(function* (path: DiskPath, key: string): Effect.fn.Return<void, DiskError> {
    if (folders.has(key)) return
    yield* touch(path.slice(0, -1))
    // What else stands there shows at the next step.
    const isNew = yield* disk.makeFolder(path, "shared").pipe(
      Effect.as(true),
      Effect.catchIf(
        ({ code }) => code === "EEXIST",
        () => Effect.succeed(false)
      )
    )
    if (isNew) unsynced.add(key)
    // A file is lost with the folder that holds it: what could not be done for one is done for the next.
    if (unsynced.has(key) && (yield* Durability) === "full") yield* disk.syncFolder(path.slice(0, -1))
    unsynced.delete(key)
    folders.set(key, isNew ? "untouched" : "there")
  })

  const makeFolders = Effect.fnUntraced(function* (folder: DiskPath): Effect.fn.Return<void, DiskError> {
    for (let depth = 1; depth <= folder.length; depth += 1) {
      const path = folder.slice(0, depth)
      const key = path.join("/")
      if (!folders.has(key)) yield* lockFolder(key)(makeFolder(path, key))
    }
  })

  const destination = (name: string): StagedFile.Destination => {
    const parts = name.split("/")
    const folder = parts.slice(0, -1)
    return {
      path: pathOf(name),
      disk: within(disk, folder, leftIn(folder)),
      name: parts.at(-1) ?? "",
      prepare: (temporary) => options.prepare(parts, [...folder, temporary]),
      held: options.held,
      cloning,
      left: (temporary) => void temporariesOf(folder.join("/")).names.add(temporary)
    }
  }

  const open: TreeFiles["open"] = (name) =>
    disk.openRead(name.split("/")).pipe(
      Effect.flatMap((file) => sourceOf(file, pathOf(name))),
      Effect.catchIf(
        ({ code }) => code === "ENOENT",
        () => Effect.undefined
      ),
      orFolder(isFolder(name)),
      Effect.mapError((error) => readFailed(pathOf(name))(error))
    )
  const isFolder = (name: string): Effect.Effect<boolean> =>
    disk.stat(name.split("/")).pipe(
      Effect.map(({ kind }) => kind === "folder"),
      Effect.orElseSucceed(() => false)
    )
  const stage: TreeFiles["stage"] = (name, declared) => {
    const folder = name.split("/").slice(0, -1)
    return services(
      Effect.mapError(makeFolders(folder), writeFailed(pathOf(name))).pipe(
        Effect.andThen(
          Effect.suspend(() => (isOurs(folders.get(folder.join("/"))) ? Effect.succeed(false) : leadsToNoFile(name)))
        ),
        Effect.flatMap((refused) => (refused ? writeFailed(pathOf(name))({ code: "ENOTREG" }) : touch(folder))),
        Effect.andThen(StagedFile.stage({ ...destination(name), ...declared })),
        // The tree's own folder was there, and those in it were made.
        Effect.mapError((error) =>
          error.code === "ENOENT" ? writeFailed(pathOf(name))({ code: "folder-moved" }) : error
        ),
        Effect.map((staging) => whereMeant(name, staging))
      )
    )
  }
  /** A file that has gone elsewhere with the tree's folder is not told as there. */
  const whereMeant = (name: string, staging: LocalStaging): LocalStaging => ({
    ...staging,
    commit: (expected) => Effect.andThen(staging.commit(expected), Effect.mapError(isThere, writeFailed(pathOf(name))))
  })
  const leftover: TreeFiles["leftover"] = (name) =>
    Effect.map(
      services(StagedFile.leftover(destination(name))),
      (left) =>
        left && {
          ...left,
          resume: (executable?: true) => Effect.map(left.resume(executable), (staging) => whereMeant(name, staging))
        }
    )
  const settleIn: TreeFiles["settle"] = (name, facts) =>
    Effect.scoped(Effect.flatMap(disk.openRead(name.split("/")), (file) => settle(file, facts))).pipe(
      Effect.mapError(writeFailed(pathOf(name)))
    )

  const remove = Effect.fnUntraced(function* (name: string): Effect.fn.Return<void, LocalFileFailed> {
    const parts = name.split("/")
    yield* Effect.mapError(Effect.andThen(isThere, disk.remove(parts)), writeFailed(pathOf(name)))
    // It may have stood where a folder was to be made.
    folders.delete(name)
    for (let depth = parts.length - 1; depth > 0; depth -= 1) {
      const gone = yield* Effect.option(disk.removeFolder(parts.slice(0, depth)))
      if (Option.isNone(gone)) return
      folders.delete(parts.slice(0, depth).join("/"))
    }
  })

  const alone = SmallLocalFiles.make({
    open,
    stage
  })

  /** Files of one folder that follow one another go there together. */
  const placeTogether = Effect.fnUntraced(function* (folder: DiskPath, run: ReadonlyArray<NewLocal>) {
    const key = folder.join("/")
    yield* makeFolders(folder)
    const replaces = !isOurs(folders.get(key))
    if (replaces) yield* sweepOnce(folder)
    // Who stages one by itself says what is wrong.
    const refused = replaces ? yield* Effect.filter(run, ({ path }) => leadsToNoFile(path)) : []
    const paths = new Set(refused.map(({ path }) => path))
    const together = Effect.suspend(() =>
      SmallLocalFiles.placeTogether({
        disk,
        folder,
        run,
        replaces: !isOurs(folders.get(key)),
        fresh: begin(key),
        nameOf: (path) => (paths.has(path) ? undefined : FileName.baseName(path))
      })
    )
    return yield* lockFolder(key)(together)
  })

  /** What does not arrive with the others is tried by itself, and says what it is. */
  const placeRun = Effect.fnUntraced(function* (folder: DiskPath, run: ReadonlyArray<NewLocal>) {
    const together = Effect.scoped(services(placeTogether(folder, run)))
    const placed = yield* Effect.orElseSucceed(together, () => [])
    const outcomes: Array<Result.Result<void, LocalFileFailed>> = []
    for (const [index, file] of run.entries()) {
      const outcome = placed[index]
      if (outcome !== undefined && Result.isSuccess(outcome)) outcomes.push(Result.void)
      else outcomes.push(...(yield* alone.placeSmall([file])))
    }
    return outcomes
  })

  const among: SmallPlaces = {
    readSmall: Effect.fnUntraced(function* (names, bytesMax, room) {
      const all: Array<LocalSmall | undefined> = []
      const state = { room }
      for (const { folder, run } of runsOf(names, (name) => name)) {
        yield* readRun(disk, folder, run, { bytesMax, state, all })
      }
      return all
    }),
    placeSmall: Effect.fnUntraced(function* (files) {
      const outcomes: Array<Result.Result<void, LocalFileFailed>> = []
      for (const { folder, run } of runsOf(files, ({ path }) => path)) {
        outcomes.push(...(yield* Effect.uninterruptible(placeRun(folder, run))))
      }
      const there = yield* Effect.result(isThere)
      if (Result.isFailure(there)) {
        const elsewhere = (path: string) => Result.fail(writeFailed(pathOf(path))(there.failure))
        return outcomes.map((outcome, index) => Result.flatMap(outcome, () => elsewhere(files[index]?.path ?? "")))
      }
      return outcomes
    })
  }

  const files: TreeFiles = { among, pathOf, open, stage, leftover, settle: settleIn }
  return { place: (name) => new TreePlace(files, name), remove, ...among }
}

/** What can be done with the files of a tree, by their names. */
interface TreeFiles extends Pick<LocalFiles["Service"], "leftover" | "open" | "settle" | "stage"> {
  readonly among: SmallPlaces
  readonly pathOf: TreeOptions["pathOf"]
}

/** A place that is a name and no more until something is done there: a tree has as many as files. */
class TreePlace implements LocalPlace {
  readonly #files: TreeFiles
  readonly key: string
  constructor(files: TreeFiles, key: string) {
    this.#files = files
    this.key = key
  }
  get among() {
    return this.#files.among
  }
  get path() {
    return this.#files.pathOf(this.key)
  }
  get open() {
    return this.#files.open(this.key)
  }
  get stage() {
    return (declared: Declared) => this.#files.stage(this.key, declared)
  }
  get leftover() {
    return this.#files.leftover(this.key)
  }
  get settle() {
    return (facts: Facts) => this.#files.settle(this.key, facts)
  }
}

/** What follows one another in one folder. */
const runsOf = <A>(all: ReadonlyArray<A>, nameOf: (one: A) => string) => {
  const runs: Array<{ readonly folder: DiskPath; readonly run: Array<A> }> = []
  let last: string | undefined
  let run: Array<A> = []
  for (const one of all) {
    const name = nameOf(one)
    const folder = FileName.folder(name)
    if (folder !== last) {
      run = []
      runs.push({ folder: folder === "" ? [] : folder.split("/"), run })
      last = folder
    }
    run.push(one)
  }
  return runs
}

/** How a run is read. */
interface RunReading {
  readonly bytesMax: number
  /** what is left of the caller's room, if there is one */
  readonly state: { room: Uint8Array | undefined }
  /** what was read */
  readonly all: Array<LocalSmall | undefined>
}

/** As many at once as fit, and then the next; what cannot be had is undefined. */
const readRun = Effect.fnUntraced(function* (
  disk: Disk["Service"],
  folder: DiskPath,
  names: ReadonlyArray<string>,
  { all, bytesMax, state }: RunReading
): Effect.fn.Return<void> {
  const parts = names.map(FileName.baseName)
  for (let from = 0; from < parts.length;) {
    const rest = from === 0 ? parts : parts.slice(from)
    const read = yield* Effect.orElseSucceed(disk.readAll(folder, rest, bytesMax, state.room), () => [])
    for (const one of read) {
      const file = Result.isSuccess(one) ? one.success : undefined
      state.room = state.room?.subarray(file?.content?.length ?? 0)
      all.push(
        file?.content && { modified: modifiedOf(file.stat), content: file.content, ...mayRun(file.stat.executable) }
      )
    }
    // A folder that cannot be read, or no room.
    if (read.length === 0) all.push(undefined)
    from += Math.max(1, read.length)
  }
})

/** An open file as something to send. */
export const sourceOf = (file: DiskFile, path: string): Effect.Effect<LocalSource, DiskError> =>
  Effect.map(file.stat, (before) => {
    const failed = readFailed(path)
    return {
      size: before.size,
      modified: modifiedOf(before),
      ...mayRun(before.executable),
      ...clonable(file, before),
      read: (offset: number, length: number) => Effect.mapError(file.read(offset, length), failed),
      readInto: (offset: number, target: Uint8Array) => Effect.mapError(file.readInto(offset, target), failed),
      unchanged: Effect.flatMap(Effect.mapError(file.stat, failed), (after) =>
        sameContent(before, after) ? Effect.void : Effect.fail(failed({ code: "source-changed" }))
      ),
      isAnother: Effect.orElseSucceed(
        Effect.map(file.stat, (after) => after.size !== before.size || modifiedOf(after) !== modifiedOf(before)),
        () => false
      )
    }
  })

/** Gives an open file what it has besides its content: its owner may, also where nobody may write to it. */
export const settle = (file: DiskFile, { executable, modified }: Facts): Effect.Effect<void, DiskError> =>
  Effect.andThen(file.setExecutable(executable === true), file.setModified(modified))

/** A folder opens and is then no file; "is a folder" says more. */
export const orFolder =
  <R2>(isFolder: Effect.Effect<boolean, never, R2>) =>
  <A, E extends { readonly code: string }, R>(
    opening: Effect.Effect<A, E, R>
  ): Effect.Effect<A, { readonly code: string }, R | R2> =>
    Effect.catch(opening, (error) =>
      error.code === "ENOTREG"
        ? Effect.flatMap(isFolder, (folder) => Effect.fail(folder ? { code: "EISDIR" } : error))
        : Effect.fail(error)
    )

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
    create: (path, access) => disk.create(at(path), access),
    openWrite: (path) => disk.openWrite(at(path)),
    stat: (path) => disk.stat(at(path)),
    statAll: (path, names) => disk.statAll(at(path), names),
    list: () => listing,
    makeFolder: (path, access) => disk.makeFolder(at(path), access),
    rename: (from, to) => disk.rename(at(from), at(to)),
    link: (from, to) => disk.link(at(from), at(to)),
    remove: (path) => disk.remove(at(path)),
    removeFolder: (path) => disk.removeFolder(at(path)),
    syncFolder: (path) => disk.syncFolder(at(path)),
    placeAll: (request) => disk.placeAll({ ...request, staging: at(request.staging), folder: at(request.folder) }),
    readAll: (path, ...rest) => disk.readAll(at(path), ...rest),
    freeBytes: disk.freeBytes
  }
}
