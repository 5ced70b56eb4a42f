/**
 * The local files of a test on a disk that can fail: trees are those of the product, and what looks around is as plain
 * as it can be. Paths are below the disk's root.
 */
import { Effect, Stream } from "effect"
import { LocalFileFailed } from "../../src/client/ClientError.ts"
import { type LocalEntry, type LocalFiles, type LocalFound, type LocalTree } from "../../src/client/LocalFiles.ts"
import * as LocalTreeDisk from "../../src/client/LocalTreeDisk.ts"
import * as StagedFile from "../../src/client/StagedFile.ts"
import { mayRun } from "../../src/domain/file/FileEntry.ts"
import { baseName } from "../../src/domain/file/FileName.ts"
import { type Disk, type DiskEntry, type DiskStat, modifiedOf } from "../../src/domain/store/Disk.ts"

/** The parts of a path. */
const partsOf = (path: string): ReadonlyArray<string> => path.split("/").filter((part) => part !== "" && part !== ".")

const plain = (path: string): string => partsOf(path).join("/")

const join = (folder: string, name: string): string => plain(`${folder}/${name}`)

const entryOf = (stat: DiskStat): LocalEntry => ({
  kind: stat.kind === "file" || stat.kind === "folder" ? stat.kind : "special",
  size: stat.size,
  modified: modifiedOf(stat),
  ...mayRun(stat.executable)
})

const failed = (path: string, code: string) => new LocalFileFailed({ path, operation: "read", code })

const look = (disk: Disk["Service"], path: string): Effect.Effect<LocalEntry | undefined, LocalFileFailed> =>
  disk.stat(partsOf(path)).pipe(
    Effect.map(entryOf),
    Effect.catchIf(
      ({ code }) => code === "ENOENT" || code === "ENOTDIR",
      () => Effect.undefined
    ),
    Effect.mapError(({ code }) => failed(path, code))
  )

const walk = (
  disk: Disk["Service"],
  root: string,
  enter: (name: string) => boolean
): Effect.Effect<ReadonlyArray<LocalFound>> => {
  const found = (name: string, entry: DiskEntry): Effect.Effect<ReadonlyArray<LocalFound>> => {
    if (entry.kind === "folder") return enter(name) ? below(name) : Effect.succeed([])
    if (StagedFile.isTemporary(entry.name)) return Effect.succeed([{ _tag: "Temporary", name }])
    return Effect.match(disk.stat(partsOf(join(root, name))), {
      onFailure: ({ code }): ReadonlyArray<LocalFound> => [{ _tag: "Failed", name, error: failed(name, code) }],
      onSuccess: (stat) => {
        const { executable, modified, size } = entryOf(stat)
        return [{ _tag: "File", name, size, modified, ...mayRun(executable) }]
      }
    })
  }
  const below = (folder: string): Effect.Effect<ReadonlyArray<LocalFound>> =>
    Stream.runCollect(disk.list(partsOf(join(root, folder)))).pipe(
      Effect.flatMap((entries): Effect.Effect<ReadonlyArray<LocalFound>> => {
        if (entries.length === 0 && folder !== "")
          return Effect.succeed([{ _tag: "LeftOut", name: folder, kind: "empty-folder" }])
        const inOrder = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))
        return Effect.map(
          Effect.forEach(inOrder, (entry) => found(join(folder, entry.name), entry)),
          (all) => all.flat()
        )
      }),
      Effect.catch(({ code }): Effect.Effect<ReadonlyArray<LocalFound>> =>
        Effect.succeed([{ _tag: "Failed", name: folder, error: failed(folder, code) }])
      )
    )
  return below("")
}

/** A folder of a tree as one. */
const within = (tree: LocalTree, folder: string): LocalTree => ({
  place: (name) => tree.place(join(folder, name)),
  remove: (name) => tree.remove(join(folder, name)),
  readSmall: (names, ...rest) =>
    tree.readSmall(
      names.map((name) => join(folder, name)),
      ...rest
    ),
  placeSmall: (files) => tree.placeSmall(files.map((file) => ({ ...file, path: join(folder, file.path) })))
})

/** @param services what trees need */
export const make = (disk: Disk["Service"], services: LocalTreeDisk.TreeOptions["services"]): LocalFiles["Service"] => {
  const held = new Set<string>()
  const newTree = () =>
    LocalTreeDisk.make({
      disk,
      pathOf: (name) => name,
      prepare: () => Effect.succeed(Effect.void),
      leadsToNoFile: () => Effect.succeed(false),
      held,
      services
    })
  const { place, placeSmall, readSmall } = within(newTree(), "")
  return {
    open: (path) => place(path).open,
    stage: (path, declared) => place(path).stage(declared),
    leftover: (path) => place(path).leftover,
    settle: (path, facts) => place(path).settle(facts),
    readSmall,
    placeSmall,
    tree: (folder) => Effect.sync(() => within(newTree(), folder)),
    look: (path) => look(disk, path),
    walk: (root, enter) => Stream.fromArrayEffect(walk(disk, root, enter)),
    isFolder: (path) =>
      look(disk, path).pipe(
        Effect.map((entry) => entry?.kind === "folder"),
        Effect.orElseSucceed(() => false)
      ),
    baseName,
    join,
    complete: () => Effect.succeed([])
  }
}
