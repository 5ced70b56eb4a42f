/**
 * The client's files on the real file system.
 */
import * as nodeFs from "node:fs"
import * as nodePath from "node:path"
import { Context, Effect, Layer, Option, Result, type Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Digest } from "../domain/file/Digest.ts"
import { mayRun } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import { nameDepthMax } from "../domain/limits.ts"
import { type Disk, DiskError, modifiedOf } from "../domain/store/Disk.ts"
import * as DiskNode from "../domain/store/DiskNode.ts"
import * as SmallFilesNode from "../domain/store/SmallFilesNode.ts"
import { toStat } from "../domain/store/StatNode.ts"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { LocalFileFailed } from "./ClientError.ts"
import {
  type Declared,
  Durability,
  type Facts,
  type Leftover,
  type LocalEntry,
  LocalFiles,
  type LocalFound,
  type LocalSource,
  type LocalStaging,
  type LocalTree,
  type NewLocal
} from "./LocalFiles.ts"
import * as FolderNode from "./FolderNode.ts"
import * as LocalTreeDisk from "./LocalTreeDisk.ts"
import * as NewFoldersNode from "./NewFoldersNode.ts"
import * as SmallLocalFiles from "./SmallLocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** Files of this process's machine; relative paths are below its working folder. */
export const layer: Layer.Layer<LocalFiles, never, Digest | SecureRandom.SecureRandom> = Layer.effect(
  LocalFiles,
  Effect.gen(function* () {
    // Only these two: with the layer's whole context, its scope would take the place of the caller's.
    const services = Context.make(Digest, yield* Digest).pipe(
      Context.add(SecureRandom.SecureRandom, yield* SecureRandom.SecureRandom)
    )
    const staged: LocalFiles["Service"]["stage"] = (path, declared) =>
      Effect.provideContext(stage(path, declared), services)
    return LocalFiles.of({
      open,
      stage: staged,
      readSmall: SmallFilesNode.readWholes,
      placeSmall: (files) => Effect.provideContext(Effect.uninterruptible(placeSmall(files, staged)), services),
      leftover: (path) => Effect.provideContext(leftover(path), services),
      settle,
      tree: (folder, make) => Effect.provideContext(tree(folder, make), services),
      look,
      walk,
      isFolder,
      baseName: (path) => nodePath.basename(path),
      join: (folder, name) => nodePath.join(folder, name),
      complete
    })
  })
)

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const open = (path: string): Effect.Effect<LocalSource | undefined, LocalFileFailed, Scope.Scope> => {
  return Effect.flatMap(DiskNode.openPath(path), (file) => LocalTreeDisk.sourceOf(file, path)).pipe(
    Effect.catchIf(
      ({ code }) => code === "ENOENT" || code === "ENOTDIR",
      () => Effect.undefined
    ),
    LocalTreeDisk.orFolder(isFolder(path)),
    Effect.mapError(LocalTreeDisk.readFailed(path))
  )
}

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const stage = Effect.fnUntraced(function* (
  path: string,
  declared: Declared
): Effect.fn.Return<LocalStaging, LocalFileFailed, Digest | Scope.Scope | SecureRandom.SecureRandom> {
  const to = yield* destination(path)
  return whereMeant(to, yield* StagedFile.stage({ ...to, ...declared }))
})

const leftover = (path: string): Effect.Effect<Leftover | undefined, never, StagedFile.Services> =>
  Effect.gen(function* () {
    const to = yield* destination(path)
    const left = yield* StagedFile.leftover(to)
    return (
      left && {
        ...left,
        resume: (executable?: true) => Effect.map(left.resume(executable), (staging) => whereMeant(to, staging))
      }
    )
  }).pipe(Effect.orElseSucceed(() => undefined))

/** A staging that does not tell of a file as there when its folder was moved meanwhile: it went with the folder. */
const whereMeant = ({ disk, path }: StagedFile.Destination, staging: LocalStaging): LocalStaging => {
  const folder = nodePath.dirname(nodePath.resolve(path))
  const failed = (code: string) => new LocalFileFailed({ path: printable(path), operation: "write", code })
  const isThere = Effect.mapError(standsAt(disk, folder), ({ code }) => failed(code))
  return { ...staging, commit: (expected) => Effect.andThen(staging.commit(expected), isThere) }
}

/** Whether a disk's folder is the one at its path: it may have been moved since it was opened. */
const standsAt = Effect.fnUntraced(function* (
  disk: Disk["Service"],
  folder: string
): Effect.fn.Return<void, DiskError> {
  const own = yield* disk.stat([])
  const there = yield* Effect.option(call<nodeFs.BigIntStats>((done) => nodeFs.stat(folder, { bigint: true }, done)))
  const same = Option.exists(there, ({ dev, ino }) => dev === own.device && ino === own.inode)
  if (!same) return yield* new DiskError({ operation: "local", code: "folder-moved" })
})

// Of the whole process: two layers may work in one folder.
const held = new Set<string>()

// What is written while more comes.
const receiving: DiskNode.Options = { writesAside: true }

const destination = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<StagedFile.Destination, LocalFileFailed, Scope.Scope> {
  const failed = (code: string) => new LocalFileFailed({ path: printable(path), operation: "write", code })
  const absolute = nodePath.resolve(path)
  const [folder, name] = [nodePath.dirname(absolute), nodePath.basename(absolute)]
  // The root has no name.
  if (name === "" || endsFolder(path)) return yield* failed("ENOENT")
  if (yield* leadsToNoFile(absolute)) return yield* failed("ENOTREG")
  const disk = yield* Effect.mapError(DiskNode.make(folder, receiving), ({ code }) => failed(code))
  const prepare = (temporary: string) => takePermissions(nodePath.join(folder, name), nodePath.join(folder, temporary))
  return { path, disk, name, prepare, held, cloning: { possible: true } }
})

/**
 * Whether links lead from a path to a device, a pipe or a socket: who names `/dev/stdout` means what it leads to. What
 * cannot be followed stands in nobody's way.
 */
const leadsToNoFile = (path: string, linksMax = followedLinksMax): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const folder = yield* call<string>((done) => nodeFs.realpath(nodePath.dirname(path), done))
    if (openFilesFolder.test(folder)) return true
    const stats = yield* call<nodeFs.Stats>((done) => nodeFs.lstat(path, done))
    if (!stats.isSymbolicLink()) return !stats.isFile() && !stats.isDirectory()
    if (linksMax === 0) return false
    const target = yield* call<string>((done) => nodeFs.readlink(path, done))
    return yield* leadsToNoFile(nodePath.resolve(folder, target), linksMax - 1)
  }).pipe(Effect.orElseSucceed(() => false))

// As many as Linux follows.
const followedLinksMax = 40

/** Where a system shows what processes have open: links there lead to a file only as long as one is written to. */
const openFilesFolder = /^\/(?:proc(?=\/|$)|dev\/fd$)/

const settle = (path: string, facts: Facts): Effect.Effect<void, LocalFileFailed> =>
  Effect.scoped(Effect.flatMap(DiskNode.openPath(path), (file) => LocalTreeDisk.settle(file, facts))).pipe(
    Effect.mapError(({ code }) => new LocalFileFailed({ path: printable(path), operation: "write", code }))
  )

const tree = Effect.fnUntraced(function* (
  folder: string,
  make: boolean
): Effect.fn.Return<LocalTree, LocalFileFailed, StagedFile.Services> {
  const operation = make ? "write" : "read"
  const failed = ({ code }: DiskError) => new LocalFileFailed({ path: printable(folder), operation, code })
  const absolute = nodePath.resolve(folder)
  if (make) {
    const first = yield* Effect.mapError(
      Effect.uninterruptible(
        Effect.tryPromise({
          try: () => NewFoldersNode.make(absolute),
          catch: (error) => new DiskError({ operation: "local", code: systemCodeOf(error) })
        })
      ),
      failed
    )
    if (first !== undefined && (yield* Durability) === "full")
      yield* Effect.mapError(syncAbove(first, absolute), failed)
  }
  const services = yield* Effect.context<Digest | SecureRandom.SecureRandom>()
  const disk = yield* Effect.mapError(DiskNode.make(absolute, receiving), failed)
  return LocalTreeDisk.make({
    disk,
    isThere: standsAt(disk, absolute),
    pathOf: pathsIn(folder),
    prepare: (replaced, temporary) =>
      takePermissions(nodePath.join(absolute, ...replaced), nodePath.join(absolute, ...temporary)),
    // Of most one look tells.
    leadsToNoFile: (name) => {
      const path = nodePath.join(absolute, name)
      return isPlain(path) ? Effect.succeed(false) : leadsToNoFile(path)
    },
    held,
    services: (effect) => Effect.provideContext(effect, Context.pick(Digest, SecureRandom.SecureRandom)(services))
  })
})

/** Makes the names of new folders durable: of the first that was made, and of what was made below it. */
const syncAbove = (first: string, last: string): Effect.Effect<void, DiskError> =>
  Effect.gen(function* () {
    for (let folder = last; folder.length >= first.length; folder = nodePath.dirname(folder)) {
      yield* Effect.scoped(Effect.flatMap(DiskNode.make(nodePath.dirname(folder)), (disk) => disk.syncFolder([])))
    }
  })

/** The path of each name in a folder, as `join` makes it: for a name that has nothing to be made simple. */
const pathsIn = (folder: string): ((name: string) => string) => {
  const before = nodePath.join(folder, "x").slice(0, -1)
  return (name) => before + (nodePath.sep === "/" ? name : name.replaceAll("/", nodePath.sep))
}

/**
 * What is replaced keeps who may read it. Nothing is written yet, so nobody reads who may not. Until it is whole its
 * owner may read and write it all the same: otherwise nobody could go on with it. Gives what takes that away again.
 */
const takePermissions = (from: string, to: string): ReturnType<StagedFile.Destination["prepare"]> =>
  call<nodeFs.Stats>((done) => nodeFs.lstat(from, done)).pipe(
    Effect.flatMap((stats) => {
      if (!stats.isFile()) return Effect.succeed(Effect.void)
      const isWhole = (stats.mode & ownerBits) === ownerBits
      return Effect.as(setPermissions(to, stats, ownerBits), isWhole ? Effect.void : setPermissions(to, stats, 0))
    }),
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.succeed(Effect.void)
    )
  )

const ownerBits = 0o600

// By descriptor: a path could have become a link to another file.
const setPermissions = (path: string, replaced: nodeFs.Stats, more: number): Effect.Effect<void, DiskError> =>
  Effect.acquireUseRelease(
    call<number>((done) => nodeFs.open(path, nodeFs.constants.O_RDWR | (nodeFs.constants.O_NOFOLLOW ?? 0), done)),
    (fd) =>
      Effect.flatMap(Effect.fromResult(SmallFilesNode.attempt(() => SmallFilesNode.keptMode(fd, replaced))), (mode) =>
        call<void>((done) => nodeFs.fchmod(fd, mode | more, (error) => done(error)))
      ),
    (fd) => Effect.ignore(call<void>((done) => nodeFs.close(fd, (error) => done(error ?? null))))
  )

/** Files of one folder that follow one another go there together; what does not arrive so is tried by itself. */
const placeSmall = Effect.fnUntraced(function* (
  files: ReadonlyArray<NewLocal>,
  stage: LocalFiles["Service"]["stage"]
): Effect.fn.Return<ReadonlyArray<Result.Result<void, LocalFileFailed>>, never, Digest | SecureRandom.SecureRandom> {
  const outcomes: Array<Result.Result<void, LocalFileFailed>> = []
  for (let from = 0; from < files.length;) {
    const folder = nodePath.dirname(nodePath.resolve(files[from]?.path ?? ""))
    const rest = files.slice(from)
    const end = rest.findIndex(({ path }) => nodePath.dirname(nodePath.resolve(path)) !== folder)
    const run = end < 0 ? rest : rest.slice(0, end)
    const together = yield* Effect.orElseSucceed(Effect.scoped(placeTogether(folder, run)), () => [])
    for (const [index, file] of run.entries()) {
      const outcome = together[index]
      if (outcome !== undefined && Result.isSuccess(outcome)) outcomes.push(Result.void)
      else outcomes.push(...(yield* SmallLocalFiles.make({ open, stage }).placeSmall([file])))
    }
    from += run.length
  }
  return outcomes
})

const placeTogether = Effect.fnUntraced(function* (folder: string, run: ReadonlyArray<NewLocal>) {
  const disk = yield* DiskNode.make(folder)
  return yield* SmallLocalFiles.placeTogether({
    disk,
    folder: [],
    run,
    replaces: true,
    // A link may lead to no file: who stages looks where it leads.
    nameOf: (path) => (endsFolder(path) || isLink(path) ? undefined : nodePath.basename(nodePath.resolve(path)))
  })
})

const isLink = (path: string): boolean =>
  Result.match(SmallFilesNode.glance(path), { onFailure: () => false, onSuccess: ({ kind }) => kind === "link" })

/** Whether there is nothing, a file or a folder. */
const isPlain = (path: string): boolean =>
  Result.match(SmallFilesNode.glance(path), {
    onFailure: () => true,
    onSuccess: ({ kind }) => kind === "file" || kind === "folder"
  })

/** `name/` means a folder. */
const endsFolder = (path: string): boolean => /[/\\]$/.test(path)

// -----------------------------------------------------------------------------
// Looking
// -----------------------------------------------------------------------------

const isFolder = (path: string): Effect.Effect<boolean> =>
  look(path).pipe(
    Effect.map((entry) => entry?.kind === "folder"),
    Effect.orElseSucceed(() => false)
  )

const look = (path: string): Effect.Effect<LocalEntry | undefined, LocalFileFailed> =>
  call<nodeFs.BigIntStats>((done) => nodeFs.stat(path, { bigint: true }, done)).pipe(
    Effect.map((stats) => {
      const { kind, ...stat } = toStat(stats)
      const facts = { size: stat.size, modified: modifiedOf(stat), ...mayRun(stat.executable) }
      return { kind: kind === "link" ? "special" : kind, ...facts }
    }),
    Effect.catchIf(
      ({ code }) => code === "ENOENT" || code === "ENOTDIR",
      () => Effect.undefined
    ),
    Effect.mapError(({ code }) => new LocalFileFailed({ path: printable(path), operation: "read", code }))
  )

/** What is left of a walk: a folder to go into, or what was found between two folders. */
type Ahead = { readonly folder: string; readonly depth: number } | { readonly run: ReadonlyArray<LocalFound> }

/**
 * Folder by folder, with what is between two folders in one piece. Of a tree no more is known than what is in the
 * folders above. Files are looked at with blocking calls, with a turn of the event loop in between: by way of the
 * thread pool each took twenty times as long.
 */
const walk: LocalFiles["Service"]["walk"] = (root, enter) =>
  Stream.unwrap(
    Effect.map(SmallFilesNode.pace, (turn) => {
      // The next one is the last.
      const ahead: Array<Ahead> = []
      const read = (folder: string, depth: number): Effect.Effect<ReadonlyArray<LocalFound>> =>
        Effect.map(Effect.andThen(turn, entriesOf(root, folder, depth, turn)), (found) => {
          let run: Array<LocalFound> = []
          const runs: Array<Ahead> = [{ run }]
          for (const one of found) {
            if (one._tag !== "Folder") run.push(one)
            else runs.push({ folder: one.name, depth: depth + 1 }, { run: (run = []) })
          }
          const [first, ...others] = runs
          // One by one: a call has no room for as many arguments as a folder may have folders.
          for (const other of others.toReversed()) ahead.push(other)
          return first !== undefined && "run" in first ? first.run : []
        })
      const next = Effect.suspend(() => {
        const one = ahead.pop()
        if (one === undefined) return Effect.succeed([])
        if ("run" in one) return Effect.succeed(one.run)
        return enter(one.folder) ? read(one.folder, one.depth) : Effect.succeed([])
      })
      const page = (found: ReadonlyArray<LocalFound>) =>
        [found, ahead.length === 0 ? Option.none() : Option.some(false)] as const
      return Stream.paginate(true, (first) => Effect.map(first ? read("", 1) : next, page))
    })
  )

/** What is in a folder, in order of names; what cannot be read is in it as that. */
const entriesOf = (
  root: string,
  folder: string,
  depth: number,
  turn: Effect.Effect<void>
): Effect.Effect<ReadonlyArray<FolderFound | LocalFound>> =>
  Effect.suspend(() => {
    const path = folder === "" ? root : nodePath.join(root, folder)
    const failed = (code: string): Effect.Effect<ReadonlyArray<LocalFound>> => {
      const error = new LocalFileFailed({ path: printable(path), operation: "read", code })
      return Effect.succeed([{ _tag: "Failed", name: folder, error }])
    }
    if (depth > nameDepthMax) return failed("too-deep")
    const before = folder === "" ? "" : `${folder}/`
    return Effect.matchEffect(FolderNode.entries(path, turn), {
      onFailure: ({ code }) => failed(code),
      onSuccess: (all): Effect.Effect<ReadonlyArray<FolderFound | LocalFound>> => {
        if (all.length === 0 && folder !== "")
          return Effect.succeed([{ _tag: "LeftOut", name: folder, kind: "empty-folder" }])
        return SmallFilesNode.inTurns(all, (entry) => kindOf(before + entry.name, path, entry))
      }
    })
  })

/** A folder to go into. */
interface FolderFound {
  readonly _tag: "Folder"
  readonly name: string
}

/** The link itself is looked at, not what it leads to. */
const kindOf = (name: string, folder: string, entry: nodeFs.Dirent): FolderFound | LocalFound => {
  // A folder of such a name is no file that was left.
  if (entry.isDirectory()) return { _tag: "Folder", name }
  if (StagedFile.isTemporary(entry.name)) return { _tag: "Temporary", name }
  const looked = SmallFilesNode.glance(`${folder}/${entry.name}`)
  if (Result.isFailure(looked)) {
    const path = printable(nodePath.join(folder, entry.name))
    return {
      _tag: "Failed",
      name,
      error: new LocalFileFailed({ path, operation: "read", code: looked.failure.code })
    }
  }
  const stat = looked.success
  if (stat.kind === "folder") return { _tag: "Folder", name }
  if (stat.kind !== "file") return { _tag: "LeftOut", name, kind: stat.kind }
  return { _tag: "File", name, size: stat.size, modified: modifiedOf(stat), ...mayRun(stat.executable) }
}

const complete = (beginning: string): Effect.Effect<ReadonlyArray<string>> => {
  const cut = beginning.lastIndexOf(nodePath.sep) + 1
  const [folder, start] = [beginning.slice(0, cut), beginning.slice(cut)]
  return call<ReadonlyArray<nodeFs.Dirent>>((done) =>
    nodeFs.readdir(folder === "" ? "." : folder, { withFileTypes: true }, done)
  ).pipe(
    Effect.map((entries) =>
      entries.filter(
        (entry) =>
          // Hidden files are offered to whoever types the dot.
          entry.name.startsWith(start) &&
          (start !== "" || !entry.name.startsWith(".")) &&
          (entry.isDirectory() || !StagedFile.isTemporary(entry.name))
      )
    ),
    Effect.flatMap(
      Effect.forEach((entry) =>
        Effect.map(
          entry.isSymbolicLink() ? isFolder(folder + entry.name) : Effect.succeed(entry.isDirectory()),
          (is) => `${folder}${entry.name}${is ? nodePath.sep : ""}`
        )
      )
    ),
    Effect.map((paths) => paths.toSorted()),
    Effect.orElseSucceed(() => [])
  )
}

/** One call of node:fs; it cannot be called back, so interruption waits for its end. */
const call = <A>(
  register: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, DiskError> =>
  Effect.uninterruptible(
    Effect.callback<A, DiskError>((resume) =>
      register((error, value) =>
        resume(
          error
            ? Effect.fail(new DiskError({ operation: "local", code: error.code ?? "EUNKNOWN" }))
            : Effect.succeed(value)
        )
      )
    )
  )
