/**
 * What is in one local folder, in order of names: read, sorted and put together piece by piece, so that nothing else
 * waits for a very large one.
 */
import type * as nodeFs from "node:fs"
import { Effect, Result } from "effect"
import { folderPieceEntries } from "../domain/limits.ts"
import type { DiskError } from "../domain/store/Disk.ts"
import * as FolderReaderNode from "../domain/store/FolderReaderNode.ts"
import * as SmallFilesNode from "../domain/store/SmallFilesNode.ts"

/** One call of the system for so many: what is set aside for them costs more in a small folder than a second call. */
const bufferedEntries = 128

type Entries = ReadonlyArray<nodeFs.Dirent>

/**
 * All of them.
 *
 * @param turn run between two pieces, to let others run when it is time
 */
export const entries = (path: string, turn: Effect.Effect<void>): Effect.Effect<Entries, DiskError> =>
  Effect.acquireUseRelease(
    Effect.suspend(() => attempt(() => FolderReaderNode.open(path, bufferedEntries))),
    (folder) => Effect.flatMap(pieces(folder, turn), (all) => merged(all, turn)),
    (folder) => Effect.sync(() => void SmallFilesNode.attempt(() => folder.close(), "local"))
  )

const attempt = <A>(call: () => A): Effect.Effect<A, DiskError> =>
  Effect.fromResult(SmallFilesNode.attempt(call, "local"))

/** Pieces of a folder, each in order. */
const pieces = Effect.fnUntraced(function* (
  folder: FolderReaderNode.FolderReader,
  turn: Effect.Effect<void>
): Effect.fn.Return<ReadonlyArray<Entries>, DiskError> {
  const all: Array<Entries> = []
  while (true) {
    const piece = SmallFilesNode.attempt(() => readPiece(folder), "local")
    if (Result.isFailure(piece)) return yield* Effect.fail(piece.failure)
    all.push(piece.success.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    if (piece.success.length < folderPieceEntries) return all
    yield* turn
  }
})

/** Fewer than `folderPieceEntries` at the end. */
const readPiece = (folder: FolderReaderNode.FolderReader): Entries => {
  const piece: Array<nodeFs.Dirent> = []
  while (piece.length < folderPieceEntries) {
    const entry = folder.next()
    if (entry === null) break
    piece.push(entry)
  }
  return piece
}

/** All of them in order: two and two, until one is left. */
const merged = Effect.fnUntraced(function* (
  all: ReadonlyArray<Entries>,
  turn: Effect.Effect<void>
): Effect.fn.Return<Entries> {
  let left = all
  while (left.length > 1) {
    const next: Array<Entries> = []
    for (let at = 0; at < left.length; at += 2) next.push(yield* both(left[at] ?? [], left[at + 1] ?? [], turn))
    left = next
  }
  return left[0] ?? []
})

const both = Effect.fnUntraced(function* (
  one: Entries,
  other: Entries,
  turn: Effect.Effect<void>
): Effect.fn.Return<Entries> {
  const together: Array<nodeFs.Dirent> = []
  let [a, b] = [0, 0]
  while (together.length < one.length + other.length) {
    const [first, second] = [one[a], other[b]]
    const takesFirst = second === undefined || (first !== undefined && first.name < second.name)
    const next = takesFirst ? first : second
    if (next !== undefined) together.push(next)
    if (takesFirst) a += 1
    else b += 1
    if (together.length % folderPieceEntries === 0) yield* turn
  }
  return together
})
