/**
 * Port: the local folder that relative paths begin in, for `lcd`, `lpwd` and `lls`.
 *
 * ## Contract
 *
 * - `path` is the folder, absolute. `enter` makes another one it, which must be a folder that this user can enter; when
 *   it fails, nothing has changed. From then on every relative path of the program begins there.
 * - `list` gives what a folder holds, in the order of the names' code units, links as what they lead to; what cannot be
 *   looked at is left out. A file is listed as itself.
 */
import { Context, Effect, Layer } from "effect"
import { printable } from "../domain/file/Printable.ts"
import { LocalFileFailed } from "./ClientError.ts"
import type { LocalEntry } from "./LocalFiles.ts"

/** What stands in a folder. */
export interface LocalNamed extends LocalEntry {
  readonly name: string
}

export class WorkingFolder extends Context.Service<
  WorkingFolder,
  {
    readonly path: Effect.Effect<string>
    /** the person's own folder */
    readonly home: Effect.Effect<string>
    readonly enter: (path: string) => Effect.Effect<void, LocalFileFailed>
    readonly list: (path: string) => Effect.Effect<ReadonlyArray<LocalNamed>, LocalFileFailed>
  }
>()("paradrop/client/WorkingFolder") {
  /**
   * Folders that are only looked at.
   *
   * @param folders what each holds, by its absolute path, `/` between the parts; where it begins is the first of them
   */
  static readonly layerMemory = (
    folders: Readonly<Record<string, ReadonlyArray<LocalNamed>>>
  ): Layer.Layer<WorkingFolder> =>
    Layer.sync(WorkingFolder, () => {
      let [here = "/"] = Object.keys(folders)
      const resolve = (path: string): string => {
        const parts: Array<string> = []
        for (const part of (path.startsWith("/") ? path : `${here}/${path}`).split("/")) {
          if (part === "..") parts.pop()
          else if (part !== "" && part !== ".") parts.push(part)
        }
        return `/${parts.join("/")}`
      }
      const found = (path: string): LocalNamed | undefined => {
        const absolute = resolve(path)
        const cut = absolute.lastIndexOf("/")
        return folders[absolute.slice(0, cut) || "/"]?.find(({ name }) => name === absolute.slice(cut + 1))
      }
      const missing = (path: string) =>
        new LocalFileFailed({
          path: printable(path),
          operation: "read",
          code: found(path) === undefined ? "ENOENT" : "ENOTDIR"
        })
      return WorkingFolder.of({
        path: Effect.sync(() => here),
        home: Effect.sync(() => Object.keys(folders)[0] ?? "/"),
        enter: (path) =>
          Effect.suspend(() => {
            if (folders[resolve(path)] === undefined) return Effect.fail(missing(path))
            here = resolve(path)
            return Effect.void
          }),
        list: (path) =>
          Effect.suspend(() => {
            const held = folders[resolve(path)]
            const file = found(path)
            if (held !== undefined) return Effect.succeed(held.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
            return file === undefined ? Effect.fail(missing(path)) : Effect.succeed([{ ...file, name: path }])
          })
      })
    })
}
