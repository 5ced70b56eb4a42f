/**
 * A small file of the server's own: read whole and bounded, replaced whole and durably.
 *
 * Whoever replaces holds a lock, so that two never share the temporary name; who has none places, under a name of his
 * own. After a crash the old or the new content is there. What a crash leaves of a replacement is removed by the next
 * one; under a name of his own it stays until he removes it.
 */
import { Clock, Context, Data, Effect, FileSystem, Option, Path, PlatformError } from "effect"
import { fromUtf8 } from "../Bytes.ts"
import { fileTimeGrainMilliseconds } from "../limits.ts"

/** The file is larger than anything that was ever written to it. */
export class StateFileTooLarge extends Data.TaggedError("StateFileTooLarge")<{ readonly path: string }> {}

/** The new content is in its place, but a power cut may bring the old one back: its folder could not be synced. */
export class StateFileUnsynced extends Data.TaggedError("StateFileUnsynced")<{
  readonly cause: PlatformError.PlatformError
}> {}

/** What tells one content of a file from the next. */
export interface Stamp {
  readonly identity: string
  /** false: changed so recently that the next change may leave the stamp as it is */
  readonly settled: boolean
}

export interface Content {
  readonly text: string
  readonly stamp: Stamp
}

/** The stamp of the file now, without reading it. */
export const stamp = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Stamp, PlatformError.PlatformError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return stampOf(yield* fs.stat(path), yield* Clock.currentTimeMillis)
})

/** The whole file; fails before reading when it has more than `bytesMax` bytes. */
export const read = (
  path: string,
  bytesMax: number
): Effect.Effect<Content, PlatformError.PlatformError | StateFileTooLarge, FileSystem.FileSystem> =>
  Effect.scoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      // Whoever opens a pipe waits for its writer, and holds up everything of the disk meanwhile.
      if ((yield* fs.stat(path)).type !== "File") return yield* noFile(path)
      const file = yield* fs.open(path)
      const info = yield* file.stat
      if (info.size > BigInt(bytesMax)) return yield* new StateFileTooLarge({ path })
      const bytes = new Uint8Array(Number(info.size))
      let filled = 0
      while (filled < bytes.length) {
        const count = yield* file.read(bytes.subarray(filled), { position: BigInt(filled) })
        if (count === 0) break
        filled += count
      }
      const text = new TextDecoder().decode(bytes.subarray(0, filled))
      return { text, stamp: stampOf(info, yield* Clock.currentTimeMillis) }
    })
  )

/** Something else stands there than what is to be. */
const notOf = (path: string, method: string, description: string) =>
  PlatformError.systemError({ _tag: "BadResource", module: "StateFile", method, description, pathOrDescriptor: path })

const noFile = (path: string) => notOf(path, "read", "it is no file: put the file back, or move what is there away")

const noFolder = (path: string) => notOf(path, "makeFolder", "it is no folder")

/** Which file it is. */
interface Made {
  readonly dev: bigint
  readonly ino: bigint
}

/** Gives the file at the path to another user, if it still is the one that was made. Best effort. */
export const StateOwner = Context.Reference<
  (path: string, made: Made, owner: { readonly uid: number; readonly gid: number }) => Effect.Effect<void>
>("paradrop/session/StateFile/StateOwner", { defaultValue: () => () => Effect.void })

/** Whoever has the file that is replaced, or else the folder, gets the new one: an administrator works for others. */
const giveToOwner = Effect.fnUntraced(function* (
  file: FileSystem.File,
  at: { readonly temporary: string; readonly path: string; readonly folder: string }
) {
  const fs = yield* FileSystem.FileSystem
  const like = yield* Effect.catch(fs.stat(at.path), () => fs.stat(at.folder))
  const { dev, ino, uid: own } = yield* file.stat
  const owner = Option.all({ ino, own, uid: like.uid, gid: like.gid })
  if (Option.isNone(owner) || owner.value.own === owner.value.uid) return
  yield* (yield* StateOwner)(at.temporary, { dev, ino: owner.value.ino }, owner.value)
})

/** Replaces the file, or makes it: readable and writable by its owner alone, who stays the one that it had. */
export const replace = (
  path: string,
  text: string
): Effect.Effect<void, PlatformError.PlatformError | StateFileUnsynced, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const temporary = `${path}.new`
    yield* fs.remove(temporary, { force: true })
    yield* write(path, text, temporary)
    yield* fs.rename(temporary, path)
    const synced = syncFolder((yield* Path.Path).dirname(path))
    yield* Effect.mapError(synced, (cause) => new StateFileUnsynced({ cause }))
    // A file operation cannot be called back: an interrupted one would go on behind our back.
  }).pipe(Effect.uninterruptible)

/** How a file is placed by one of several who hold no lock. */
export interface Unlocked {
  /** where it is until it is whole: a name beside it that nobody else has */
  readonly temporary: string
  /** false: fails with `AlreadyExists` when there is one, and leaves it as it is */
  readonly replace: boolean
}

/** As `replace`, for whoever holds no lock: of several at once each places a whole file. */
export const place = (
  path: string,
  text: string,
  { replace, temporary }: Unlocked
): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const taking = replace ? fs.rename(temporary, path) : takeFree(fs, temporary, path)
    // A second name of the file is left by a link, the only one by a failure.
    yield* Effect.andThen(write(path, text, temporary), taking).pipe(
      Effect.ensuring(Effect.ignore(fs.remove(temporary, { force: true })))
    )
    yield* syncFolder((yield* Path.Path).dirname(path))
  }).pipe(Effect.uninterruptible)

/** A link is made only where nothing is: a look and a rename behind it could come between another's. */
const takeFree = (fs: FileSystem.FileSystem, temporary: string, path: string) =>
  Effect.catchIf(
    fs.link(temporary, path),
    ({ reason }) => reason._tag !== "AlreadyExists",
    // Where there are no links, as on FAT, a look must do.
    () => Effect.flatMap(fs.exists(path), (there) => (there ? taken(path) : fs.rename(temporary, path)))
  )

const taken = (pathOrDescriptor: string) =>
  Effect.fail(
    PlatformError.systemError({ _tag: "AlreadyExists", module: "StateFile", method: "place", pathOrDescriptor })
  )

/** Writes what is to be at the path under a temporary name, durably. */
const write = Effect.fnUntraced(function* (path: string, text: string, temporary: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = (yield* Path.Path).dirname(path)
  const file = yield* fs.open(temporary, { flag: "wx", mode: 0o600, noFollow: true })
  yield* giveToOwner(file, { temporary, path, folder })
  yield* file.writeAll(fromUtf8(text))
  yield* file.sync
}, Effect.scoped)

/**
 * Makes a folder for its owner alone, and those above it. One at a time: Node makes them all at once, and never ends
 * where the system has no such folder although the one above it is there, as below `/proc` or an automounted `/home`.
 */
export const makeFolder = (
  folder: string
): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const parent = (yield* Path.Path).dirname(folder)
    // What becomes durable in it is only as durable as its name.
    const make = Effect.andThen(fs.makeDirectory(folder, { mode: 0o700 }), syncFolder(parent))
    yield* Effect.catchIf(
      make,
      ({ reason }) => reason._tag === "NotFound" && parent !== folder,
      () => Effect.andThen(makeFolder(parent), make)
    )
  }).pipe(
    Effect.catchIf(
      ({ reason }) => reason._tag === "AlreadyExists",
      () => folderAt(folder)
    )
  )

const folderAt = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  if ((yield* fs.stat(path)).type !== "Directory") return yield* noFolder(path)
})

const syncFolder = (folder: string): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.scoped(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const opened = yield* fs.open(folder).pipe(
        Effect.asSome,
        // Where folders cannot be opened, a rename is as durable as it gets.
        Effect.catchIf(
          ({ reason }) => unopenable.has(reason._tag),
          () => Effect.succeedNone
        )
      )
      if (Option.isSome(opened)) yield* opened.value.sync
    })
  )

const unopenable = new Set<string>(["BadResource", "PermissionDenied"])

const stampOf = (info: FileSystem.File.Info, now: number): Stamp => {
  const modified = Option.match(info.mtime, { onNone: () => undefined, onSome: (date) => date.getTime() })
  const inode = Option.getOrUndefined(info.ino)
  return {
    identity: `${info.dev} ${inode} ${info.size} ${modified}`,
    settled: modified !== undefined && now - modified > fileTimeGrainMilliseconds
  }
}
