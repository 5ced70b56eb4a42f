/**
 * The client's files in memory, `/` between the parts of a path. For tests and for programs that keep no files.
 */
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Digest } from "../domain/file/Digest.ts"
import { mayRun, type Milliseconds } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { headBytes, nameDepthMax, resumeBytesMin } from "../domain/limits.ts"
import { shortDigest } from "../domain/transfer/Signature.ts"
import { LocalFileFailed } from "./ClientError.ts"
import { byPart } from "./Completion.ts"
import {
  type Declared,
  type Facts,
  type Leftover,
  LocalFiles,
  type LocalFound,
  type LocalPlace,
  type LocalStaging,
  type LocalTree
} from "./LocalFiles.ts"
import * as SmallLocalFiles from "./SmallLocalFiles.ts"

/** A file and its modification time. */
export interface MemoryFile {
  readonly bytes: Uint8Array
  readonly modified: Milliseconds
  readonly executable?: true
}

/** The files themselves: path to content. What is staged is not among them. */
export class MemoryFiles extends Context.Service<MemoryFiles, Map<string, MemoryFile>>()(
  "paradrop/client/MemoryFiles"
) {}

/** Files in memory; folders are those that some path goes through, the ones named, and trees that were made. */
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
  folders: Set<string>,
  digest: Digest["Service"]
): LocalFiles["Service"] => {
  const left: Array<Left> = []
  const world = { files, digest, left }
  const isFolder = (path: string): boolean => {
    const plain = plainPath(path)
    return (
      path === "" ||
      plain === "." ||
      folders.has(plain) ||
      [...files.keys(), ...folders].some((one) => one.startsWith(`${plain}/`))
    )
  }
  const open: LocalFiles["Service"]["open"] = (path) => openAt(files, path, isFolder(path))
  const stage: LocalFiles["Service"]["stage"] = (path, declared) =>
    Effect.suspend(() => {
      if (isFolder(path)) return Effect.fail(failed(path, "write", "EISDIR"))
      if (!isFolder(FileName.folder(path))) {
        return Effect.fail(failed(path, "write", "ENOENT"))
      }
      return staging({ files, digest, left }, { path, declared, parts: [] })
    })
  return LocalFiles.of({
    open,
    stage,
    ...SmallLocalFiles.make({ open, stage }),
    leftover: (path) => leftover(world, path),
    settle: (path, facts) => settle(files, path, facts),
    tree: (folder, make) =>
      Effect.suspend(() => {
        const plain = plainPath(folder)
        if (goesThroughFile(files, `${plain}/`)) return Effect.fail(failed(folder, make ? "write" : "read", "ENOTDIR"))
        if (!isFolder(folder)) {
          if (!make) return Effect.fail(failed(folder, "read", "ENOENT"))
          folders.add(plain)
        }
        return Effect.succeed(tree(world, plain, isFolder))
      }),
    look: (path) =>
      Effect.sync(() => {
        const file = files.get(plainPath(path))
        if (file !== undefined) return { kind: "file", ...factsOf(file) }
        return isFolder(path) ? { kind: "folder", size: 0, modified: 0 } : undefined
      }),
    walk: (folder, enter) =>
      Stream.suspend(() => Stream.fromIterable(walk(files, folders, folder, isFolder(folder), enter))),
    isFolder: (path) => Effect.sync(() => isFolder(path)),
    baseName: (path) => FileName.baseName(withoutEnd(path)),
    join,
    complete: (beginning) => Effect.sync(() => byPart([...files.keys()], beginning))
  })
}

/** The same folder without what means nothing: `./` in front, `/` and `/.` at the end. */
const plainPath = (path: string): string => path.replace(/^(?:\.\/+)+(?=.)|(?:\/+\.?)+$/g, "")

/** Whether something above what the path names is a file. */
const goesThroughFile = (files: ReadonlyMap<string, MemoryFile>, path: string): boolean =>
  path.split("/").some((_, depth, parts) => depth > 0 && files.has(parts.slice(0, depth).join("/")))

const withoutEnd = (path: string): string => path.replace(/\/+$/, "")

const join = (folder: string, name: string): string =>
  folder === "." || folder === "" ? name : `${withoutEnd(folder)}/${name}`

/** What is known of a file without reading it. */
const factsOf = ({ bytes, executable, modified }: MemoryFile) => {
  return { size: bytes.length, modified, ...mayRun(executable) }
}

const settle = (files: World["files"], path: string, { executable, modified }: Facts) =>
  Effect.suspend(() => {
    const file = files.get(path)
    if (file === undefined) return Effect.fail(failed(path, "write", "ENOENT"))
    files.set(path, { bytes: file.bytes, modified, ...mayRun(executable) })
    return Effect.void
  })

/** There are no links here, and folders need no making. */
const tree = (world: World, folder: string, isFolder: (path: string) => boolean): LocalTree => {
  const { files } = world
  const among = SmallLocalFiles.make({
    open: (name) => Effect.suspend(() => place(name).open),
    stage: (name, declared) => place(name).stage(declared)
  })
  const place = (name: string): LocalPlace => {
    const path = join(folder, name)
    return {
      among,
      key: name,
      path,
      open: Effect.suspend(() => openAt(files, path, isFolder(path))),
      stage: (declared) =>
        Effect.suspend(() =>
          isFolder(path)
            ? Effect.fail(failed(path, "write", "EISDIR"))
            : goesThroughFile(files, path)
              ? Effect.fail(failed(path, "write", "ENOTDIR"))
              : staging(world, { path, declared, parts: [] })
        ),
      leftover: leftover(world, path),
      settle: (facts) => settle(files, path, facts)
    }
  }
  return {
    ...among,
    place,
    remove: (name) =>
      Effect.suspend(() =>
        files.delete(join(folder, name)) ? Effect.void : Effect.fail(failed(join(folder, name), "write", "ENOENT"))
      )
  }
}

/** Folders are only what paths go through: each is asked about once, before what is in it. */
const walk = (
  files: ReadonlyMap<string, MemoryFile>,
  folders: ReadonlySet<string>,
  folder: string,
  exists: boolean,
  enter: (name: string) => boolean
): ReadonlyArray<LocalFound> => {
  if (!exists) return [{ _tag: "Failed", name: "", error: failed(folder, "read", "ENOENT") }]
  const plain = plainPath(folder)
  const root = plain === "." || plain === "" ? "" : `${plain}/`
  const entered = new Map<string, "entered" | "passed" | "too-deep">()
  const found: Array<LocalFound> = []
  const holdsAny = (path: string): boolean =>
    [...files.keys(), ...folders].some((other) => other.startsWith(`${path}/`))
  const empty = [...folders].filter((path) => !holdsAny(path)).map((path) => [path, undefined] as const)
  const names = [...files, ...empty].flatMap(([path, file]) =>
    path.startsWith(root) ? [[path.slice(root.length).split("/"), file] as const] : []
  )
  for (const [parts, file] of names.toSorted(([a], [b]) => compareParts(a, b))) {
    const folderCount = file === undefined ? parts.length : parts.length - 1
    const stopped = parts.slice(0, folderCount).some((_, index) => {
      const name = parts.slice(0, index + 1).join("/")
      const known = entered.get(name)
      const now = known ?? (enter(name) ? (index + 1 >= nameDepthMax ? "too-deep" : "entered") : "passed")
      entered.set(name, now)
      if (known === undefined && now === "too-deep") {
        found.push({ _tag: "Failed", name, error: failed(`${root}${name}`, "read", "too-deep") })
      }
      return now !== "entered"
    })
    const name = parts.join("/")
    if (stopped) continue
    if (file === undefined) found.push({ _tag: "LeftOut", name, kind: "empty-folder" })
    else found.push({ _tag: "File", name, ...factsOf(file) })
  }
  return found
}

/** Part by part: a folder stands where its own name does. */
const compareParts = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): number => {
  for (const [index, part] of a.entries()) {
    const other = b[index]
    if (other === undefined) return 1
    if (part !== other) return part < other ? -1 : 1
  }
  return -1
}

const failed = (path: string, operation: "read" | "write", code: string): LocalFileFailed =>
  new LocalFileFailed({ path: printable(path), operation, code })

const openAt = (files: ReadonlyMap<string, MemoryFile>, path: string, folder: boolean) =>
  Effect.suspend(() => {
    const file = files.get(path)
    if (file === undefined) return folder ? Effect.fail(failed(path, "read", "EISDIR")) : Effect.undefined
    return Effect.succeed({
      ...factsOf(file),
      read: (offset: number, length: number) => Effect.sync(() => file.bytes.slice(offset, offset + length)),
      // A file that was replaced reads on as it was; one that was written in place is another map entry too, so this
      // layer cannot tell them apart and takes both for a change, which the contract allows.
      unchanged: Effect.suspend(() =>
        files.get(path) === file ? Effect.void : Effect.fail(failed(path, "read", "source-changed"))
      ),
      isAnother: Effect.sync(() => {
        const now = files.get(path)
        return now === undefined || now.bytes.length !== file.bytes.length || now.modified !== file.modified
      })
    })
  })

/** What a staging has left. */
interface Left {
  readonly path: string
  readonly declared: Declared
  readonly parts: ReadonlyArray<Uint8Array>
}

interface World {
  readonly files: Map<string, MemoryFile>
  readonly digest: Digest["Service"]
  /** oldest first; whoever goes on with one takes it out */
  readonly left: Array<Left>
}

const leftover = (
  { digest, files, left }: World,
  path: string
): Effect.Effect<Leftover | undefined, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mine = { files, digest, left }
    const found = left.findLast((one) => one.path === path)
    if (found === undefined) return undefined
    left.splice(left.indexOf(found), 1)
    let ended = false
    const end = Effect.sync(() => void (ended = true))
    yield* Effect.addFinalizer(() => Effect.sync(() => void (ended || left.push(found))))
    return {
      ...found.declared,
      from: Bytes.lengthOf(found.parts),
      head: shortDigest(digest, Bytes.slice(found.parts, 0, headBytes)),
      resume: Effect.andThen(end, staging(mine, found)),
      drop: end
    }
  })

const staging = Effect.fnUntraced(function* ({ digest, files, left }: World, begun: Left) {
  const { declared, path } = begun
  const { executable, modified, resumable = false, size } = declared
  const parts = [...begun.parts]
  const hasher = digest.make()
  for (const part of parts) hasher.update(part)
  let ended = false
  const broken = (code: string) => {
    ended = true
    return Effect.fail(failed(path, "write", code))
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if (!ended && resumable && Bytes.lengthOf(parts) >= resumeBytesMin) left.push({ ...begun, parts })
    })
  )
  return {
    write: (more) =>
      Effect.suspend(() => {
        if (Bytes.lengthOf(parts) + Bytes.lengthOf(more) > size) return broken("size-mismatch")
        for (const part of more) {
          hasher.update(part)
          parts.push(Bytes.copy(part))
        }
        return Effect.void
      }),
    commit: (expected) =>
      Effect.suspend(() => {
        const bytes = Bytes.concat(parts)
        if (bytes.length !== expected.size || bytes.length !== size) return broken("size-mismatch")
        if (hasher.digest() !== expected.digest) return broken("digest-mismatch")
        ended = true
        files.set(path, { bytes, modified, ...mayRun(executable) })
        return Effect.void
      })
  } satisfies LocalStaging
})
