/**
 * Port: says when something at a path of the person's may have changed.
 *
 * ## Contract (test: `localWatchContract`)
 *
 * - `changes` of paths first gives `Ready`: from then on a change at or below one of them is said, whoever makes it.
 *   A path is a file or a folder with all below it; a file counts as changed too when another is renamed over it, and
 *   when it comes, goes, or comes back. So does a folder, and what is below the new one is said from then on. Systems
 *   lose some now and then: who must be sure also looks without being told.
 * - More may be said than has happened, and several changes may be said once: whoever listens looks for himself. When
 *   `localChangesMax` wait to be heard, the watched path itself is said to have changed, for all that come behind.
 * - What cannot be watched is `Blind`, once, in place of its changes; the stream goes on for the others, and never
 *   ends or fails.
 * - Closing the scope of the stream ends the watching.
 */
import { Context, Effect, Layer, Queue, Stream } from "effect"
import { localChangesMax } from "../domain/limits.ts"

/** What is said of the paths. */
export type LocalChange =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Changed"; readonly path: string }
  /** nothing more will be said of it; `code` is the platform's */
  | { readonly _tag: "Blind"; readonly path: string; readonly code: string }

/** Port: watches local files and folders. */
export class LocalWatch extends Context.Service<
  LocalWatch,
  {
    /** Paths are as the person typed them. */
    readonly changes: (paths: ReadonlyArray<string>) => Stream.Stream<LocalChange>
  }
>()("paradrop/client/LocalWatch") {}

/**
 * Says changes to one who may be slow to hear them.
 *
 * @param paths how many are watched: each may be said beyond the limit
 * @returns takes the watched path, and what is said of it or of something below it
 */
export const saying = <E>(queue: Queue.Queue<LocalChange, E>, paths: number) => {
  const changesMax = localChangesMax + paths
  /** Said since the queue is full, and so still in it: behind them are others of their kind alone. */
  const whole = new Set<string>()
  return (watched: string, change: LocalChange): void => {
    if (change._tag !== "Changed") return void Queue.offerUnsafe(queue, change)
    if (Queue.sizeUnsafe(queue) < changesMax) {
      whole.clear()
      return void Queue.offerUnsafe(queue, change)
    }
    if (whole.has(watched)) return
    whole.add(watched)
    Queue.offerUnsafe(queue, { _tag: "Changed", path: watched })
  }
}

/** What a test does to the watching in memory. */
export class MemoryWatch extends Context.Service<
  MemoryWatch,
  {
    /** Says it to everybody who watches that path or a folder above it. */
    readonly say: (change: Exclude<LocalChange, { readonly _tag: "Ready" }>) => Effect.Effect<void>
    /** how many streams are open */
    readonly watching: () => number
  }
>()("paradrop/client/MemoryWatch") {}

/** Watching in memory: changes are what a test says. */
export const layerMemory: Layer.Layer<LocalWatch | MemoryWatch> = Layer.effectContext(
  Effect.sync(() => {
    const streams = new Set<{ readonly paths: ReadonlyArray<string>; readonly tell: ReturnType<typeof saying> }>()
    const isBelow = (folder: string, path: string) =>
      path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)
    return Context.empty().pipe(
      Context.add(LocalWatch, {
        changes: (paths) =>
          Stream.callback<LocalChange>((queue) =>
            Effect.acquireRelease(
              Effect.sync(() => {
                const stream = { paths, tell: saying(queue, paths.length) }
                streams.add(stream)
                Queue.offerUnsafe(queue, { _tag: "Ready" })
                return stream
              }),
              (stream) => Effect.sync(() => streams.delete(stream))
            )
          )
      }),
      Context.add(MemoryWatch, {
        say: (change) =>
          Effect.sync(() => {
            for (const { paths, tell } of streams) {
              const watched = paths.find((path) => isBelow(path, change.path))
              if (watched !== undefined) tell(watched, change)
            }
          }),
        watching: () => streams.size
      })
    )
  })
)
