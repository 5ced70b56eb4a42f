/**
 * Port: says when something at a path of the person's may have changed.
 *
 * ## Contract (test: `localWatchContract`)
 *
 * - `changes` of paths first gives `Ready`: from then on a change at or below one of them is said, whoever makes it.
 *   A path is a file or a folder with all below it; a file counts as changed too when another is renamed over it, and
 *   when it comes, goes, or comes back. So does a folder, and what is below the new one is said from then on. Systems
 *   lose some now and then: who must be sure also looks without being told.
 * - More may be said than has happened, and several changes may be said once: whoever listens looks for himself.
 * - What cannot be watched is `Blind`, once, in place of its changes; the stream goes on for the others, and never
 *   ends or fails.
 * - Closing the scope of the stream ends the watching.
 */
import { Context, Effect, Layer, Queue, Stream } from "effect"

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
    const streams = new Set<{ readonly paths: ReadonlyArray<string>; readonly tell: (change: LocalChange) => void }>()
    const isBelow = (folder: string, path: string) =>
      path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)
    return Context.empty().pipe(
      Context.add(LocalWatch, {
        changes: (paths) =>
          Stream.callback<LocalChange>((queue) =>
            Effect.acquireRelease(
              Effect.sync(() => {
                const stream = { paths, tell: (change: LocalChange) => void Queue.offerUnsafe(queue, change) }
                streams.add(stream)
                stream.tell({ _tag: "Ready" })
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
              if (paths.some((path) => isBelow(path, change.path))) tell(change)
            }
          }),
        watching: () => streams.size
      })
    )
  })
)
