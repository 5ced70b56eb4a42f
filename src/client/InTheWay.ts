/**
 * What stands at the destination of a download and stays there, so that no file can be where it is: known before
 * anything moves, for a dry run tells it, and nothing is removed in vain to make room.
 */
import { Effect, Option, type Scope } from "effect"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { LocalFileFailed } from "./ClientError.ts"
import type { LocalFiles } from "./LocalFiles.ts"
import * as StagedFile from "./StagedFile.ts"

/** `shut`: a link, or what is no folder: nothing can be below it, but a file may replace it. */
type Kind = "folder" | "shut" | "special"

export interface InTheWay {
  /** A folder stays, and so do those that it is in. */
  readonly folder: (name: string) => void
  /** What is no folder stays, and the folders that it is in. */
  readonly other: (name: string, kind: "shut" | "special") => void
  /** Why a file cannot be written under the name, if it cannot. */
  readonly refuses: (name: string) => LocalFileFailed | undefined
}

/** @param pathOf the path of a name at the destination */
export const make = (pathOf: (name: string) => string): InTheWay => {
  const kinds = new Map<string, Kind>()
  const folder = (name: string): void => {
    for (let at = name; at !== "" && !kinds.has(at); at = FileName.folder(at)) kinds.set(at, "folder")
  }
  const codeOf = (name: string): string | undefined => {
    const own = kinds.get(name)
    if (own === "folder") return "EISDIR"
    if (own === "special") return "ENOTREG"
    for (let at = FileName.folder(name); at !== ""; at = FileName.folder(at)) {
      const above = kinds.get(at)
      if (above !== undefined && above !== "folder") return "ENOTDIR"
    }
    return undefined
  }
  return {
    folder,
    other: (name, kind) => {
      folder(FileName.folder(name))
      kinds.set(name, kind)
    },
    refuses: (name) => {
      const isTaken = StagedFile.isTemporary(FileName.baseName(name))
      const code = isTaken ? "temporary-name" : kinds.size === 0 ? undefined : codeOf(name)
      return code === undefined
        ? code
        : new LocalFileFailed({ path: printable(pathOf(name)), operation: "write", code })
    }
  }
}

/** Whether what stands at a root is a link, which is followed nowhere below the destination, or no folder. */
export const isShut = (
  files: LocalFiles["Service"],
  folder: string,
  root: string
): Effect.Effect<boolean, never, Scope.Scope> =>
  files.tree(folder, false).pipe(
    Effect.flatMap((tree) => Effect.flip(tree.place(`${root}/${root}`).open)),
    Effect.map(({ code }) => code === "ENOTDIR" || code === "ELOOP"),
    Effect.option,
    Effect.map(Option.getOrElse(() => false))
  )
