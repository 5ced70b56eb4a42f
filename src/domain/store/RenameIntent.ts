/**
 * What a rename is about to do, written down in the staging folder before it begins.
 *
 * A rename is two changes of folders, and the power may go between them: then the file stands under both names. A store
 * that starts reads what was written down and takes the old name away, so that a rename is done or not done. It takes a
 * name away only where the same file stands under the other one, so an intent that outlives its rename (its removal is
 * not fsynced) does no harm.
 */
import { Clock, Effect, Option, Result, Schema, Stream } from "effect"
import { fromUtf8 } from "../Bytes.ts"
import { FileName, stagingFolder } from "../file/FileName.ts"
import { renameIntentBytesMax } from "../limits.ts"
import { type Disk, DiskError, type DiskPath } from "./Disk.ts"

/** The names of a rename that may be half done. */
export interface RenameIntent {
  readonly from: FileName
  readonly to: FileName
}

/** JSON, so that half of one is none. */
const Written = Schema.fromJsonString(Schema.Struct({ from: FileName, to: FileName }))

const encode = Schema.encodeEffect(Written)
const decode = Schema.decodeUnknownOption(Written)

const prefix = "renaming-"

/**
 * Writes an intent down; gives where. Fails as the disk does, and then nothing is left.
 *
 * @param unique part of a name that nothing in the staging folder has
 * @param durable fsync: the intent survives what happens to the rename
 */
export const begin = Effect.fnUntraced(function* (
  disk: Disk["Service"],
  unique: string,
  durable: boolean,
  intent: RenameIntent
): Effect.fn.Return<DiskPath, DiskError> {
  const name = `${prefix}${unique}`
  const text = yield* Effect.orDie(encode(intent))
  const modified = yield* Clock.currentTimeMillis
  const files = [{ temporary: unique, name, parts: [fromUtf8(text)], modified }]
  const folder = [stagingFolder]
  const [placed] = yield* disk.placeAll({ staging: folder, folder, files, durable, likeReplaced: false })
  const path = [...folder, name]
  return yield* Effect.fromResult(placed ?? Result.fail(new DiskError({ operation: "placeAll", code: "EIO" }))).pipe(
    Effect.as(path),
    // It may be there though its folder could not be made durable.
    Effect.onError(() => Effect.ignore(disk.remove(path)))
  )
})

/** Every intent that the disk holds, and where. What cannot be read, or was torn, is left out: both names stay then. */
export const all = (
  disk: Disk["Service"]
): Effect.Effect<ReadonlyArray<{ readonly path: DiskPath; readonly intent: RenameIntent }>, DiskError> =>
  Effect.gen(function* () {
    const entries = yield* Stream.runCollect(disk.list([stagingFolder]))
    const found = yield* Effect.forEach(
      entries.filter(({ name }) => name.startsWith(prefix)),
      ({ name }) => Effect.option(read(disk, name))
    )
    return found.flatMap(Option.toArray)
  })

const read = Effect.fnUntraced(function* (disk: Disk["Service"], name: string) {
  const [file] = yield* disk.readAll([stagingFolder], [name], renameIntentBytesMax)
  const content = file !== undefined && Result.isSuccess(file) ? file.success.content : undefined
  const intent = yield* Effect.fromOption(decode(new TextDecoder().decode(content)))
  return { path: [stagingFolder, name], intent }
})
