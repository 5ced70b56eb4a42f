/**
 * Many small files into a store and out of it, for any store: each by itself where the store has nothing better.
 */
import { Effect, Result } from "effect"
import * as Bytes from "../Bytes.ts"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import type { FileName } from "../file/FileName.ts"
import type { FileStore, Outcomes, SmallContent, SmallFile, StageRequest } from "./FileStore.ts"
import { SourceChanged, type StoreError } from "./StoreError.ts"

type Store = FileStore["Service"]

/** Commits all of them, as `FileStore.placeAll` promises. */
export const placeAll = (
  store: Store,
  files: ReadonlyArray<SmallFile>,
  target: StageRequest["target"]
): Effect.Effect<Outcomes<FileEntry>> =>
  store.placeAll === undefined
    ? Effect.uninterruptible(Effect.forEach(files, (file) => Effect.result(placeOne(store, file, target))))
    : store.placeAll(files, target)

/** Stages, writes and commits one. */
export const placeOne = (
  store: Pick<Store, "stage">,
  { digest, executable, modified, name, parts }: SmallFile,
  target: StageRequest["target"]
): Effect.Effect<FileEntry, StoreError> =>
  Effect.gen(function* () {
    const size = Bytes.lengthOf(parts)
    const staging = yield* store.stage({ name, size, modified, ...mayRun(executable), ...(target && { target }) })
    if (size > 0) yield* staging.write(parts)
    return yield* staging.commit({ size, digest })
  }).pipe(Effect.scoped)

/** Reads them, as `FileStore.readAll` promises. */
export const readAll = (
  store: Store,
  names: ReadonlyArray<FileName>,
  bytesMax: number
): Effect.Effect<Outcomes<SmallContent>> => {
  if (store.readAll !== undefined) return store.readAll(names, bytesMax)
  return Effect.gen(function* () {
    const all: Array<Result.Result<SmallContent, StoreError>> = []
    let room = bytesMax
    for (const name of names) {
      const one = yield* Effect.result(readOne(store, name, bytesMax, room))
      if (Result.isSuccess(one)) {
        if (one.success === undefined) break
        room -= one.success.content?.length ?? 0
        all.push(Result.succeed(one.success))
      } else all.push(Result.fail(one.failure))
    }
    return all
  })
}

/** Those of the names that may be taken, as `FileStore.present` promises. */
export const present = (store: Store, names: ReadonlyArray<FileName>): Effect.Effect<ReadonlyArray<FileName>> =>
  store.present === undefined ? Effect.succeed(names) : store.present(names)

/** Opens and reads one; undefined when there is no room for it. */
export const readOne = (
  store: Pick<Store, "open">,
  name: FileName,
  bytesMax: number,
  room: number
): Effect.Effect<SmallContent | undefined, StoreError> =>
  Effect.gen(function* () {
    const { entry, read, unchanged } = yield* store.open(name)
    if (entry.size > bytesMax) return { entry, content: undefined }
    if (entry.size > room) return undefined
    const content = yield* read(0, entry.size)
    yield* unchanged
    if (content.length !== entry.size) return yield* new SourceChanged({ name })
    // What `read` gives may be a part of a larger buffer.
    return { entry, content: content.length === content.buffer.byteLength ? content : Bytes.copy(content) }
  }).pipe(Effect.scoped)
