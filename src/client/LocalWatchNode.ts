/**
 * Watching by the operating system: of a file its folder, for a save that renames another file over it takes the one
 * that was watched away. A folder is watched from above too, and anew when it was made again. The folder that holds a
 * path is not, nor are `.` and `..`, which have no name there: when those are made again, the next look finds out.
 */
import { watch } from "node:fs"
import * as nodeFs from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Deferred, Effect, Layer, Queue, type Scope, Stream } from "effect"
import { systemCodeOf } from "../domain/SystemCode.ts"
import * as FolderWatchNode from "./FolderWatchNode.ts"
import { type LocalChange, LocalWatch, saying } from "./LocalWatch.ts"

type Say = (change: LocalChange) => void

/** Begins to watch; gives what ends it. */
const watchFolder = (
  folder: string,
  recursive: boolean,
  told: (event: string, name: string | null) => void,
  failed: (error: NodeJS.ErrnoException) => void
) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const watcher = watch(folder, { recursive }, told)
        watcher.on("error", failed)
        return watcher
      },
      catch: (error) => error
    }),
    (watcher) => Effect.sync(() => watcher.close())
  )

const isFolder = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() =>
    nodeFs.stat(path).then(
      (found) => found.isDirectory(),
      () => false
    )
  )

const watchPath = (path: string, say: Say) =>
  Effect.gen(function* () {
    const folder = dirname(path)
    const own = basename(path)
    // `.`, `..` and the like have no name of their own in the folder above.
    const named = own !== "" && own !== "." && own !== ".." && folder !== path
    let blind = false
    const failed = (error: unknown) => {
      if (blind) return
      blind = true
      say({ _tag: "Blind", path, code: systemCodeOf(error) })
    }
    const replaced = yield* Queue.sliding<void>(1)
    // A folder that is replaced, or comes later, is seen from above; below it everything is seen from itself.
    const above = watchFolder(
      folder,
      false,
      (event, name) => {
        if (name !== null && name !== own) return
        if (event === "rename" || name === null) Queue.offerUnsafe(replaced, undefined)
        else say({ _tag: "Changed", path })
      },
      failed
    )
    const failedBelow = (error: unknown) => {
      // Whoever is above tells of it.
      if (!named || !FolderWatchNode.isGone(systemCodeOf(error))) failed(error)
    }
    const told = (changed: string) => say({ _tag: "Changed", path: changed })
    const below: Effect.Effect<unknown, unknown, Scope.Scope> = FolderWatchNode.isPossible
      ? FolderWatchNode.watchTree(path, { told, failed: failedBelow })
      : watchFolder(path, true, (_event, name) => told(name === null ? path : join(path, name)), failedBelow)
    const begin = <E>(watching: Effect.Effect<unknown, E, Scope.Scope>, failed: (error: E) => void) =>
      Effect.matchEffect(watching, {
        onFailure: (error) => Effect.sync(() => failed(error)),
        onSuccess: () => Effect.void
      })
    // What was watched is gone with what was there: what is there now is watched anew, and then looked at.
    const round = (begun: Effect.Effect<unknown>) =>
      Effect.gen(function* () {
        if (yield* isFolder(path)) yield* begin(below, failedBelow)
        yield* begun
        yield* Queue.take(replaced)
      }).pipe(Effect.scoped)
    if (named) yield* begin(above, failed)
    const first = yield* Deferred.make<void>()
    const again = Effect.forever(round(Effect.sync(() => say({ _tag: "Changed", path }))))
    yield* Effect.forkScoped(Effect.andThen(round(Deferred.succeed(first, undefined)), again))
    yield* Deferred.await(first)
  })

/** Node's `fs.watch`. */
export const layer: Layer.Layer<LocalWatch> = Layer.succeed(LocalWatch, {
  changes: (paths) =>
    Stream.callback<LocalChange>((queue) => {
      const say = saying(queue, paths.length)
      return Effect.andThen(
        Effect.forEach(paths, (path) => watchPath(path, (change) => say(path, change)), { discard: true }),
        Queue.offer(queue, { _tag: "Ready" })
      )
    })
})
