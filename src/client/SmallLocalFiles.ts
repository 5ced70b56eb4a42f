/**
 * Small local files: many in one folder together, and one by one for what has nothing better.
 */
import { Effect } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Digest, digestOf } from "../domain/file/Digest.ts"
import { mayRun } from "../domain/file/FileEntry.ts"
import type { Disk, DiskPath } from "../domain/store/Disk.ts"
import { Durability, type LocalFiles, type NewLocal, type SmallPlaces } from "./LocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** Small files for one folder. */
export interface Together {
  readonly disk: Disk["Service"]
  readonly folder: DiskPath
  readonly run: ReadonlyArray<NewLocal>
  /** whether some of them may be there already */
  readonly replaces: boolean
  /** whether the folder was just made, and nobody else of us uses it meanwhile */
  readonly fresh?: boolean
  /** what the file at a path is called in the folder */
  readonly nameOf: (path: string) => string | undefined
}

/**
 * Files of one folder in one step of the disk, each written beside its name first. Gives what each came to, in their
 * order; undefined: it was not placed so, as its content is not what was declared or it has no name there.
 */
export const placeTogether = Effect.fnUntraced(function* ({ disk, folder, fresh, nameOf, replaces, run }: Together) {
  const digest = yield* Digest
  const random = yield* StagedFile.random
  const files = run.map(({ digest: declared, executable, modified, parts, path }) => {
    const name = nameOf(path)
    if (name === undefined || StagedFile.isTemporary(name) || digestOf(digest, parts) !== declared) return undefined
    return { temporary: StagedFile.temporaryName(name, undefined, random), name, parts, modified, executable }
  })
  const placed = yield* disk.placeAll({
    staging: folder,
    folder,
    durable: (yield* Durability) === "full",
    likeReplaced: replaces,
    ...(fresh && { fresh }),
    files: files.filter((file) => file !== undefined)
  })
  const next = placed.values()
  return files.map((file) => file && next.next().value)
})

/** Opens and reads each, stages, writes and commits each. */
export const make = ({ open, stage }: Pick<LocalFiles["Service"], "open" | "stage">): SmallPlaces => ({
  readSmall: (names, bytesMax) =>
    Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const source = yield* open(name)
        if (source === undefined || source.size > bytesMax) return undefined
        const content = yield* source.read(0, source.size)
        yield* source.unchanged
        return content.length === source.size
          ? { modified: source.modified, content, ...mayRun(source.executable) }
          : undefined
      }).pipe(
        Effect.scoped,
        Effect.orElseSucceed(() => undefined)
      )
    ),
  placeSmall: (files) =>
    Effect.forEach(files, ({ digest, executable, modified, parts, path }) =>
      Effect.gen(function* () {
        const size = Bytes.lengthOf(parts)
        const staging = yield* stage(path, { size, modified, ...mayRun(executable) })
        if (size > 0) yield* staging.write(parts)
        yield* staging.commit({ size, digest })
      }).pipe(Effect.scoped, Effect.result)
    )
})
