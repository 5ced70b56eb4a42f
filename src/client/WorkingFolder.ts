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
import { Context, Effect, Layer, Result } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { printable } from "../domain/file/Printable.ts"
import { nameSegmentBytesMax } from "../domain/limits.ts"
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
      const isFolder = (path: string): boolean =>
        Object.keys(folders).some((folder) => `${folder}/`.startsWith(path === "/" ? path : `${path}/`))
      /** The absolute path; or the code of what is not there, or no folder, in front of a part of it. */
      const resolved = (path: string): Result.Result<string, string> => {
        if (path === "") return Result.fail("ENOENT")
        let at = path.startsWith("/") ? "/" : here
        for (const part of path.split("/")) {
          if (!isFolder(at)) return Result.fail(found(at) === undefined ? "ENOENT" : "ENOTDIR")
          if (Bytes.utf8Length(part) > nameSegmentBytesMax) return Result.fail("ENAMETOOLONG")
          if (part === "..") at = at.slice(0, at.lastIndexOf("/")) || "/"
          else if (part !== "" && part !== ".") at = at === "/" ? `/${part}` : `${at}/${part}`
        }
        return Result.succeed(at)
      }
      const found = (at: string): LocalNamed | undefined => {
        const cut = at.lastIndexOf("/")
        return folders[at.slice(0, cut) || "/"]?.find(({ name }) => name === at.slice(cut + 1))
      }
      const refused = (path: string, code: string) =>
        Effect.fail(new LocalFileFailed({ path: printable(path), operation: "read", code }))
      return WorkingFolder.of({
        path: Effect.sync(() => here),
        home: Effect.sync(() => Object.keys(folders)[0] ?? "/"),
        enter: (path) =>
          Effect.suspend(() => {
            const at = resolved(path)
            if (Result.isFailure(at)) return refused(path, at.failure)
            if (folders[at.success] === undefined) {
              return refused(path, found(at.success) === undefined ? "ENOENT" : "ENOTDIR")
            }
            here = at.success
            return Effect.void
          }),
        list: (path) =>
          Effect.suspend(() => {
            const at = resolved(path)
            if (Result.isFailure(at)) return refused(path, at.failure)
            const held = folders[at.success]
            if (held !== undefined) return Effect.succeed(held.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
            const file = found(at.success)
            return file === undefined ? refused(path, "ENOENT") : Effect.succeed([{ ...file, name: path }])
          })
      })
    })
}
