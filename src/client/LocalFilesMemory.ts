/**
 * The client's files in memory, `/` between the parts of a path. For tests and for programs that keep no files.
 */
import { Context, Effect, Layer } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Digest } from "../domain/file/Digest.ts"
import type { Milliseconds } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import { LocalFileFailed } from "./ClientError.ts"
import { byPart } from "./Completion.ts"
import { type Declared, LocalFiles, type LocalStaging } from "./LocalFiles.ts"

export interface MemoryFile {
  readonly bytes: Uint8Array
  readonly modified: Milliseconds
}

/** The files themselves: path to content. What is staged is not among them. */
export class MemoryFiles extends Context.Service<MemoryFiles, Map<string, MemoryFile>>()(
  "paradrop/client/MemoryFiles"
) {}

/** Files in memory; folders are those that some path goes through, and the ones named. */
export const layer = (
  options: { readonly folders?: ReadonlyArray<string> } = {}
): Layer.Layer<LocalFiles | MemoryFiles, never, Digest> =>
  Layer.effectContext(
    Effect.map(Digest, (digest) => {
      const files = new Map<string, MemoryFile>()
      return Context.make(MemoryFiles, files).pipe(
        Context.add(LocalFiles, make(files, new Set(options.folders ?? []), digest))
      )
    })
  )

const make = (
  files: Map<string, MemoryFile>,
  folders: ReadonlySet<string>,
  digest: Digest["Service"]
): LocalFiles["Service"] => {
  const isFolder = (path: string): boolean => {
    const plain = path.replace(/\/+$/, "")
    return (
      path === "" || plain === "." || folders.has(plain) || [...files.keys()].some((one) => one.startsWith(`${plain}/`))
    )
  }
  return LocalFiles.of({
    open: (path) => openAt(files, path, isFolder(path)),
    stage: (path, declared) =>
      Effect.suspend(() => {
        if (isFolder(path)) return Effect.fail(failed(path, "write", "EISDIR"))
        if (!isFolder(path.slice(0, Math.max(0, path.lastIndexOf("/"))))) {
          return Effect.fail(failed(path, "write", "ENOENT"))
        }
        return Effect.succeed(staging(files, digest, path, declared))
      }),
    isFolder: (path) => Effect.sync(() => isFolder(path)),
    baseName: (path) => path.slice(path.lastIndexOf("/") + 1),
    join: (folder, name) => `${folder.replace(/\/+$/, "")}/${name}`,
    complete: (beginning) => Effect.sync(() => byPart([...files.keys()], beginning))
  })
}

const failed = (path: string, operation: "read" | "write", code: string): LocalFileFailed =>
  new LocalFileFailed({ path: printable(path), operation, code })

const openAt = (files: ReadonlyMap<string, MemoryFile>, path: string, folder: boolean) =>
  Effect.suspend(() => {
    const file = files.get(path)
    if (file === undefined) return folder ? Effect.fail(failed(path, "read", "EISDIR")) : Effect.undefined
    return Effect.succeed({
      size: file.bytes.length,
      modified: file.modified,
      read: (offset: number, length: number) => Effect.sync(() => file.bytes.slice(offset, offset + length)),
      // A file that was replaced reads on as it was; one that was written in place is another map entry too, so this
      // layer cannot tell them apart and takes both for a change, which the contract allows.
      unchanged: Effect.suspend(() =>
        files.get(path) === file ? Effect.void : Effect.fail(failed(path, "read", "source-changed"))
      )
    })
  })

const staging = (
  files: Map<string, MemoryFile>,
  digest: Digest["Service"],
  path: string,
  { modified, size }: Declared
): LocalStaging => {
  const parts: Array<Uint8Array> = []
  const hasher = digest.make()
  const check = (code: string, holds: boolean) => (holds ? Effect.void : Effect.fail(failed(path, "write", code)))
  return {
    write: (more) =>
      Effect.suspend(() => {
        if (Bytes.lengthOf(parts) + Bytes.lengthOf(more) > size) return check("size-mismatch", false)
        for (const part of more) {
          hasher.update(part)
          parts.push(part.slice())
        }
        return Effect.void
      }),
    commit: (expected) =>
      Effect.gen(function* () {
        const bytes = Bytes.concat(parts)
        yield* check("size-mismatch", bytes.length === expected.size && bytes.length === size)
        yield* check("digest-mismatch", hasher.digest() === expected.digest)
        files.set(path, { bytes, modified })
      })
  }
}
