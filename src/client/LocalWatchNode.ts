/**
 * Watching by the operating system: of a file its folder, for a save that renames another file over it takes the one
 * that was watched away.
 */
import { watch } from "node:fs"
import { stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Effect, Layer, Queue, Stream } from "effect"
import { type LocalChange, LocalWatch } from "./LocalWatch.ts"

type Say = (change: LocalChange) => void

/** Begins to watch; gives what ends it. */
const watchFolder = (
  folder: string,
  recursive: boolean,
  told: (name: string | null) => void,
  failed: (error: NodeJS.ErrnoException) => void
) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const watcher = watch(folder, { recursive }, (_event, name) => told(name))
        watcher.on("error", failed)
        return watcher
      },
      catch: (error) => error
    }),
    (watcher) => Effect.sync(() => watcher.close())
  )

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown"

const watchPath = (path: string, say: Say) =>
  Effect.gen(function* () {
    const isFolder = yield* Effect.promise(() =>
      stat(path).then(
        (found) => found.isDirectory(),
        () => false
      )
    )
    let blind = false
    const failed = (error: unknown) => {
      if (blind) return
      blind = true
      say({ _tag: "Blind", path, code: codeOf(error) })
    }
    const folder = dirname(path)
    const own = basename(path)
    // A folder that is replaced, or comes later, is seen from above; below it everything is seen from itself.
    const above = watchFolder(
      folder,
      false,
      (name) => {
        if (name === null || name === own) say({ _tag: "Changed", path })
      },
      failed
    )
    const below = isFolder
      ? watchFolder(
          path,
          true,
          (name) => say({ _tag: "Changed", path: name === null ? path : join(path, name) }),
          failed
        )
      : Effect.void
    // `.`, `..` and the like have no name of their own in the folder above.
    const named = own !== "" && own !== "." && own !== ".." && folder !== path
    yield* Effect.matchEffect(named ? Effect.andThen(below, above) : below, {
      onFailure: (error) => Effect.sync(() => failed(error)),
      onSuccess: () => Effect.void
    })
  })

/** Node's `fs.watch`. */
export const layer: Layer.Layer<LocalWatch> = Layer.succeed(LocalWatch, {
  changes: (paths) =>
    Stream.callback<LocalChange>((queue) => {
      const say: Say = (change) => void Queue.offerUnsafe(queue, change)
      return Effect.andThen(
        Effect.forEach(paths, (path) => watchPath(path, say), { discard: true }),
        Effect.sync(() => say({ _tag: "Ready" }))
      )
    })
})
