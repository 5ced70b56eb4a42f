/**
 * A folder that is watched with all below it, on Linux: each folder by itself, as the kernel has it.
 *
 * Node's own way to do that looks at what is told of with calls that throw where nobody can catch it: of a name whose
 * folder is a file by now, of a link in a circle, when the system allows no more watches. And a folder that was made
 * again before it looked it takes for the old one, and hears nothing more of it.
 */
import { type FSWatcher, lstatSync, readdirSync, statSync, watch } from "node:fs"
import { basename, join } from "node:path"
import { Effect, Result, type Scope } from "effect"
import { systemCodeOf } from "../domain/SystemCode.ts"
import type { DiskError } from "../domain/store/Disk.ts"
import { attempt } from "../domain/store/SmallFilesNode.ts"

/** Where a watch by folders works: elsewhere no names are told. */
export const isPossible = process.platform === "linux"

/** A folder that is watched, and the folders in it. */
interface Watched {
  readonly watcher: FSWatcher
  /** which folder it is */
  readonly id: string
  readonly folders: Map<string, Watched>
}

/** Who is told. */
interface Listener {
  /** of a path at which something has changed */
  readonly told: (path: string) => void
  /** of what cannot be watched, once all has begun: the rest goes on */
  readonly failed: (error: unknown) => void
}

/** Watches until the scope closes. What becomes of the folder itself is for others to see. */
export const watchTree = (root: string, listener: Listener): Effect.Effect<void, DiskError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => Effect.fromResult(begin(root, undefined, listener))),
    (watched) => Effect.sync(() => close(watched))
  )

const close = ({ folders, watcher }: Watched): void => {
  watcher.close()
  for (const folder of folders.values()) close(folder)
}

/** @param again what is done when that folder itself has gone or moved */
const begin = (path: string, again: (() => void) | undefined, listener: Listener): Result.Result<Watched, DiskError> =>
  // What takes its place between the two is another than the one that is noted down, and so is looked at again.
  Result.flatMap(idOf(path), (id) =>
    Result.map(
      attempt(() => watch(path)),
      (watcher) => {
        const watched: Watched = { watcher, id, folders: new Map() }
        watcher.on("error", listener.failed)
        watcher.on("change", (event, name) => {
          if (typeof name !== "string" || noNames.has(name)) return listener.told(path)
          // First watched, then told: whoever looks then sees what was there before.
          look(watched, path, name, listener)
          listener.told(join(path, name))
          // Of itself it tells under its own name. Another may have its number by now.
          if (event === "rename" && name === basename(path)) again?.()
        })
        const entries = attempt(() => readdirSync(path, { withFileTypes: true }))
        if (Result.isFailure(entries)) unlessGone(entries.failure, listener)
        else for (const entry of entries.success) if (entry.isDirectory()) look(watched, path, entry.name, listener)
        return watched
      }
    )
  )

// What a folder is called of which the path ends so.
const noNames: ReadonlySet<string> = new Set(["", ".", ".."])

const idOf = (path: string): Result.Result<string, DiskError> =>
  Result.map(
    attempt(() => statSync(path, { bigint: true })),
    ({ dev, ino }) => `${dev}:${ino}`
  )

/** Watches what is in a folder under that name, if it is a folder and another than the one that is watched. */
const look = (above: Watched, folder: string, name: string, listener: Listener, anew = false): void => {
  const path = join(folder, name)
  const known = above.folders.get(name)
  const stats = attempt(() => lstatSync(path, { bigint: true }))
  const isFolder = Result.isSuccess(stats) && stats.success.isDirectory()
  if (known !== undefined) {
    if (!anew && isFolder && `${stats.success.dev}:${stats.success.ino}` === known.id) return
    close(known)
    above.folders.delete(name)
  }
  if (!isFolder) return
  const begun = begin(path, () => look(above, folder, name, listener, true), listener)
  if (Result.isFailure(begun)) unlessGone(begun.failure, listener)
  else above.folders.set(name, begun.success)
}

/** What has gone meanwhile is told of from above. */
const unlessGone = (error: DiskError, { failed }: Listener): void => {
  if (!isGone(systemCodeOf(error))) failed(error)
}

/** Whether there is nothing any more. */
export const isGone = (code: string): boolean => code === "ENOENT" || code === "ENOTDIR"
