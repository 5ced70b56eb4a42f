/**
 * The client's files on the real file system.
 */
import * as nodeFs from "node:fs"
import * as nodePath from "node:path"
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Digest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { listingStatsAtOnceMax, nameDepthMax } from "../domain/limits.ts"
import { DiskError, modifiedOf, sameContent } from "../domain/store/Disk.ts"
import * as DiskNode from "../domain/store/DiskNode.ts"
import { LocalFileFailed } from "./ClientError.ts"
import {
  type Declared,
  type Leftover,
  type LocalEntry,
  LocalFiles,
  type LocalFound,
  type LocalSource,
  type LocalStaging
} from "./LocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** Files of this process's machine; relative paths are below its working folder. */
export const layer: Layer.Layer<LocalFiles, never, Digest | SecureRandom.SecureRandom> = Layer.effect(
  LocalFiles,
  Effect.gen(function* () {
    // Only these two: with the layer's whole context, its scope would take the place of the caller's.
    const services = Context.make(Digest, yield* Digest).pipe(
      Context.add(SecureRandom.SecureRandom, yield* SecureRandom.SecureRandom)
    )
    return LocalFiles.of({
      open,
      stage: (path, declared) => Effect.provideContext(stage(path, declared), services),
      leftover: (path) => Effect.provideContext(leftover(path), services),
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
  const failed = ({ code }: { readonly code: string }) =>
    new LocalFileFailed({ path: printable(path), operation: "read", code })
  return Effect.gen(function* () {
    const file = yield* DiskNode.openPath(path)
    const before = yield* file.stat
    return {
      size: before.size,
      modified: modifiedOf(before),
      read: (offset: number, length: number) => Effect.mapError(file.read(offset, length), failed),
      readInto: (offset: number, target: Uint8Array) => Effect.mapError(file.readInto(offset, target), failed),
      unchanged: Effect.flatMap(Effect.mapError(file.stat, failed), (after) =>
        sameContent(before, after) ? Effect.void : Effect.fail(failed({ code: "source-changed" }))
      )
    }
  }).pipe(
    Effect.catchIf(
      ({ code }) => code === "ENOENT" || code === "ENOTDIR",
      () => Effect.undefined
    ),
    // A folder opens and is then no file; "is a folder" says more.
    Effect.catchIf(
      ({ code }) => code === "ENOTREG",
      (error) =>
        Effect.flatMap(isFolder(path), (folder) =>
          Effect.fail(folder ? new DiskError({ operation: "openRead", code: "EISDIR" }) : error)
        )
    ),
    Effect.mapError(failed)
  )
}

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const stage = Effect.fnUntraced(function* (
  path: string,
  declared: Declared
): Effect.fn.Return<LocalStaging, LocalFileFailed, Digest | Scope.Scope | SecureRandom.SecureRandom> {
  return yield* StagedFile.stage({ ...(yield* destination(path)), ...declared })
})

const leftover = (path: string): Effect.Effect<Leftover | undefined, never, StagedFile.Services> =>
  Effect.flatMap(destination(path), StagedFile.leftover).pipe(Effect.orElseSucceed(() => undefined))

// Of the whole process: two layers may work in one folder.
const held = new Set<string>()

const destination = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<StagedFile.Destination, LocalFileFailed, Scope.Scope> {
  const failed = (code: string) => new LocalFileFailed({ path: printable(path), operation: "write", code })
  const absolute = nodePath.resolve(path)
  const [folder, name] = [nodePath.dirname(absolute), nodePath.basename(absolute)]
  // `name/` means a folder, and the root has no name.
  if (name === "" || /[/\\]$/.test(path)) return yield* failed("ENOENT")
  const disk = yield* Effect.mapError(DiskNode.make(folder), ({ code }) => failed(code))
  const prepare = (temporary: string) => takePermissions(nodePath.join(folder, name), nodePath.join(folder, temporary))
  return { path, disk, name, prepare, held }
})

/** What is replaced keeps who may read it. Nothing is written yet, so nobody reads who may not. */
const takePermissions = (from: string, to: string): Effect.Effect<void, DiskError> =>
  call<nodeFs.Stats>((done) => nodeFs.lstat(from, done)).pipe(
    Effect.flatMap((stats) => (stats.isFile() ? setPermissions(to, stats.mode & permissionBits) : Effect.void)),
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.void
    )
  )

// Not set-user-id and its kin: the content comes from elsewhere.
const permissionBits = 0o777

// By descriptor: a path could have become a link to another file.
const setPermissions = (path: string, mode: number): Effect.Effect<void, DiskError> =>
  Effect.acquireUseRelease(
    call<number>((done) => nodeFs.open(path, nodeFs.constants.O_RDWR | (nodeFs.constants.O_NOFOLLOW ?? 0), done)),
    (fd) => call<void>((done) => nodeFs.fchmod(fd, mode, (error) => done(error))),
    (fd) => Effect.ignore(call<void>((done) => nodeFs.close(fd, (error) => done(error ?? null))))
  )

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
      const { kind, ...stat } = DiskNode.toStat(stats)
      return { kind: kind === "link" ? "special" : kind, size: stat.size, modified: modifiedOf({ kind, ...stat }) }
    }),
    Effect.catchIf(
      ({ code }) => code === "ENOENT" || code === "ENOTDIR",
      () => Effect.undefined
    ),
    Effect.mapError(({ code }) => new LocalFileFailed({ path: printable(path), operation: "read", code }))
  )

/** One folder at a time, and a few of its files at once: what is known of a tree is never more than one folder. */
const walk: LocalFiles["Service"]["walk"] = (root, enter) => {
  const below = (name: string, depth: number): Stream.Stream<LocalFound> => {
    const path = name === "" ? root : nodePath.join(root, name)
    const failed = (code: string): LocalFound => ({
      _tag: "Failed",
      name,
      error: new LocalFileFailed({ path: printable(path), operation: "read", code })
    })
    if (depth > nameDepthMax) return Stream.make(failed("too-deep"))
    return Stream.unwrap(
      call<ReadonlyArray<nodeFs.Dirent>>((done) => nodeFs.readdir(path, { withFileTypes: true }, done)).pipe(
        Effect.map((entries) =>
          Stream.fromIterable(entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))).pipe(
            Stream.mapEffect((entry) => kindOf(name === "" ? entry.name : `${name}/${entry.name}`, path, entry), {
              concurrency: listingStatsAtOnceMax
            }),
            Stream.flatMap((found) => {
              if (found._tag !== "Folder") return Stream.make(found)
              return enter(found.name) ? below(found.name, depth + 1) : Stream.empty
            })
          )
        ),
        Effect.catch(({ code }) => Effect.succeed(Stream.make(failed(code))))
      )
    )
  }
  return below("", 1)
}

/** The link itself is looked at, not what it leads to. */
const kindOf = (
  name: string,
  folder: string,
  entry: nodeFs.Dirent
): Effect.Effect<LocalFound | { readonly _tag: "Folder"; readonly name: string }> => {
  const path = nodePath.join(folder, entry.name)
  return call<nodeFs.BigIntStats>((done) => nodeFs.lstat(path, { bigint: true }, done)).pipe(
    Effect.map((stats): LocalFound | { readonly _tag: "Folder"; readonly name: string } => {
      const stat = DiskNode.toStat(stats)
      if (stat.kind === "folder") return { _tag: "Folder", name }
      if (stat.kind !== "file") return { _tag: "LeftOut", name, kind: stat.kind }
      return { _tag: "File", name, size: stat.size, modified: modifiedOf(stat) }
    }),
    Effect.catch(({ code }) =>
      Effect.succeed({
        _tag: "Failed" as const,
        name,
        error: new LocalFileFailed({ path: printable(path), operation: "read", code })
      })
    )
  )
}

const complete = (beginning: string): Effect.Effect<ReadonlyArray<string>> => {
  const cut = beginning.lastIndexOf(nodePath.sep) + 1
  const [folder, start] = [beginning.slice(0, cut), beginning.slice(cut)]
  return call<ReadonlyArray<nodeFs.Dirent>>((done) =>
    nodeFs.readdir(folder === "" ? "." : folder, { withFileTypes: true }, done)
  ).pipe(
    // Hidden files are offered to whoever types the dot.
    Effect.map((entries) =>
      entries.filter(({ name }) => name.startsWith(start) && (start !== "" || !name.startsWith(".")))
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
