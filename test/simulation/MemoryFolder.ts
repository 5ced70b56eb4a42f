/**
 * As much of a file system, in memory, as kept signatures need, with a plug to pull.
 *
 * Nothing there is ever fsynced, so a power cut may take each file, leave a part of it, or leave it whole.
 */
import { ByteSize, Effect, FileSystem, Option, PlatformError } from "effect"

/** The file system, and what happens to it. */
export interface MemoryFolder {
  readonly fileSystem: FileSystem.FileSystem
  /** The power goes and comes back. */
  readonly crash: () => void
  readonly files: ReadonlyMap<string, Uint8Array>
}

export const make = (random: () => number): MemoryFolder => {
  const files = new Map<string, Uint8Array>()
  const absent = (method: string, path: string) =>
    Effect.fail(PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method, pathOrDescriptor: path }))
  const at = <A>(method: string, path: string, use: (bytes: Uint8Array) => A) =>
    Effect.andThen(
      Effect.yieldNow,
      Effect.suspend(() => {
        const bytes = files.get(path)
        return bytes === undefined ? absent(method, path) : Effect.succeed(use(bytes))
      })
    )
  const info = (bytes: Uint8Array): FileSystem.File.Info => ({
    type: "File",
    mtime: Option.none(),
    atime: Option.none(),
    birthtime: Option.none(),
    dev: 1n,
    ino: Option.none(),
    mode: 0o600,
    nlink: Option.none(),
    uid: Option.none(),
    gid: Option.none(),
    rdev: Option.none(),
    size: ByteSize.bytes(bytes.length),
    blksize: Option.none(),
    blocks: Option.none()
  })
  const fileSystem = FileSystem.makeNoop({
    makeDirectory: () => Effect.void,
    readDirectory: (folder) =>
      Effect.sync(() =>
        Array.from(files.keys()).flatMap((path) =>
          path.startsWith(`${folder}/`) ? [path.slice(folder.length + 1)] : []
        )
      ),
    stat: (path) => at("stat", path, info),
    readFile: (path) => at("readFile", path, (bytes) => bytes.slice()),
    writeFile: (path, bytes) =>
      Effect.andThen(
        Effect.yieldNow,
        Effect.sync(() => void files.set(path, bytes.slice()))
      ),
    rename: (from, to) =>
      at("rename", from, (bytes) => {
        files.delete(from)
        files.set(to, bytes)
      }),
    remove: (path) => Effect.sync(() => void files.delete(path))
  })
  const crash = (): void => {
    for (const [path, bytes] of files) {
      const fate = random()
      if (fate < 0.3) files.delete(path)
      else if (fate < 0.6) files.set(path, bytes.slice(0, Math.floor(random() * bytes.length)))
    }
  }
  return { fileSystem, crash, files }
}
