/**
 * Files of a server's listing that a command puts together: so many and no more, whatever the server says.
 */
import { Effect, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import { listedFilesMax } from "../domain/limits.ts"
import { TooManyListed } from "./ClientError.ts"

/** Adds a page to what is put together. */
export const add = (entries: Array<FileEntry>, page: ReadonlyArray<FileEntry>): Effect.Effect<void, TooManyListed> =>
  Effect.suspend(() => {
    if (entries.length + page.length > listedFilesMax) return Effect.fail(new TooManyListed())
    for (const entry of page) entries.push(entry)
    return Effect.void
  })

/** Takes a listing page by page. */
export const each = <E, R>(
  listing: Stream.Stream<FileEntry, E, R>,
  take: (page: ReadonlyArray<FileEntry>) => void
): Effect.Effect<void, E | TooManyListed, R> =>
  Effect.suspend(() => {
    let count = 0
    return Stream.runForEachArray(listing, (page) =>
      Effect.suspend(() => {
        count += page.length
        return count > listedFilesMax ? Effect.fail(new TooManyListed()) : Effect.sync(() => take(page))
      })
    )
  })

/** All of a listing. */
export const all = <E, R>(
  listing: Stream.Stream<FileEntry, E, R>
): Effect.Effect<ReadonlyArray<FileEntry>, E | TooManyListed, R> =>
  Effect.suspend(() => {
    const entries: Array<FileEntry> = []
    const take = (page: ReadonlyArray<FileEntry>): void => {
      for (const entry of page) entries.push(entry)
    }
    return Effect.as(each(listing, take), entries)
  })
