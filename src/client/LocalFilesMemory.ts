/**
 * The client's files in memory, `/` between the parts of a path. For tests and for programs that keep no files.
 */
import { Clock, Context, Effect, Layer, type Scope, Stream } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { Digest } from "../domain/file/Digest.ts"
import { mayRun, type Milliseconds } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import {
  headBytes,
  nameDepthMax,
  nameSegmentBytesMax,
  resumeBytesMin,
  stagedLeftoverMillisecondsMax
} from "../domain/limits.ts"
import { shortDigest } from "../domain/transfer/Signature.ts"
import { LocalFileFailed } from "./ClientError.ts"
import { byPart } from "./Completion.ts"
import {
  type Declared,
  type Facts,
  type Leftover,
  type LocalEntry,
  LocalFiles,
  type LocalFound,
  type LocalPlace,
  type LocalStaging,
  type LocalTree
} from "./LocalFiles.ts"
import * as SmallLocalFiles from "./SmallLocalFiles.ts"
import { isTemporary } from "./StagedFile.ts"

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

/**
 * Files in memory. Folders are those named, those that were made for a tree, and those that some path goes through; one
 * of the last kind stays when its last file is removed through this layer, and not when it is taken out of the map.
 */
export const layer = (
  options: { readonly folders?: ReadonlyArray<string> } = {}
): Layer.Layer<LocalFiles | MemoryFiles, never, Digest> =>
  Layer.effectContext(
    Effect.map(Digest, (digest) => {
      const below: World["below"] = new Map()
      const files = new Files(below)
      const world: World = { files, folders: new Set(), temporary: new Set(), below, became: new WeakMap(), digest }
      for (const folder of options.folders ?? []) keepFolder(world, folder)
      return Context.make(MemoryFiles, files).pipe(Context.add(LocalFiles, make(world)))
    })
  )

const make = (world: World): LocalFiles["Service"] => {
  const open: LocalFiles["Service"]["open"] = (path) => openAt(world, path)
  const stage: LocalFiles["Service"]["stage"] = (path, declared) =>
    Effect.suspend(() => {
      // `name/` means a folder, and none is made.
      if (path.endsWith("/")) return Effect.fail(failed(path, "write", "ENOENT"))
      return stageAt(world, path, declared)
    })
  const isFolder = (path: string) => standing(world, path) === "folder"
  return LocalFiles.of({
    open,
    stage,
    ...SmallLocalFiles.make({ open, stage }),
    leftover: (path) => leftover(world, path),
    settle: (path, facts) => settle(world, path, facts),
    tree: (folder, make) =>
      Effect.suspend(() => {
        const there = standing(world, plainPath(folder))
        const refused = (code: string) => Effect.fail(failed(folder, make ? "write" : "read", code))
        if (typeof there === "object") return refused(make ? "EEXIST" : "ENOTDIR")
        if (there !== "folder" && (there !== "ENOENT" || !make)) return refused(there)
        if (there === "ENOENT" && !makeFolder(world, folder)) return refused("ENAMETOOLONG")
        return Effect.succeed(tree(world, plainPath(folder)))
      }),
    look: (path) =>
      Effect.suspend(() => {
        const there = standing(world, path)
        if (there === "ENAMETOOLONG") return Effect.fail(failed(path, "read", there))
        const found: LocalEntry | undefined =
          typeof there === "object"
            ? { kind: "file", ...factsOf(there) }
            : there === "folder"
              ? { kind: there, size: 0, modified: 0 }
              : undefined
        return Effect.succeed(found)
      }),
    walk: (folder, enter) => Stream.suspend(() => Stream.fromIterable(walk(world, folder, enter))),
    isFolder: (path) => Effect.sync(() => isFolder(path)),
    baseName: (path) => FileName.baseName(withoutEnd(path)),
    join,
    complete: (beginning) => Effect.sync(() => complete(world, beginning))
  })
}

// -----------------------------------------------------------------------------
// What stands where
// -----------------------------------------------------------------------------

/** Content on its way, or what was left of it: no file, but no folder is empty that holds it. */
interface Temporary {
  readonly path: string
  declared: Declared
  readonly parts: Array<Uint8Array>
  /** since when it waits for whoever goes on with it; undefined while somebody is at it */
  leftAt: Milliseconds | undefined
}

interface World {
  readonly files: Map<string, MemoryFile>
  /** folders that are there whether or not something is in them */
  readonly folders: Set<string>
  /** oldest first */
  readonly temporary: Set<Temporary>
  /** how many of all these are below a folder */
  readonly below: Map<string, number>
  /** what a file was settled to; the file itself once its name is another's or nobody's */
  readonly became: WeakMap<MemoryFile, MemoryFile>
  readonly digest: Digest["Service"]
}

/** What is below each folder is counted: whoever asks a large tree about each of its folders does not look at all. */
class Files extends Map<string, MemoryFile> {
  readonly below: World["below"]
  constructor(below: World["below"]) {
    super()
    this.below = below
  }
  override set(path: string, file: MemoryFile) {
    if (!this.has(path)) count(this.below, path, 1)
    return super.set(path, file)
  }
  override delete(path: string) {
    if (this.has(path)) count(this.below, path, -1)
    return super.delete(path)
  }
  override clear() {
    for (const path of this.keys()) count(this.below, path, -1)
    super.clear()
  }
}

const count = (below: World["below"], path: string, by: 1 | -1): void => {
  for (const folder of foldersOf(path)) {
    const now = (below.get(folder) ?? 0) + by
    if (now === 0) below.delete(folder)
    else below.set(folder, now)
  }
}

const addTemporary = ({ below, temporary }: World, one: Temporary): void => {
  temporary.add(one)
  count(below, one.path, 1)
}

/** Whether it was there. */
const dropTemporary = ({ below, temporary }: World, one: Temporary): boolean => {
  const wasThere = temporary.delete(one)
  if (wasThere) count(below, one.path, -1)
  return wasThere
}

/** The same path without what means nothing; `..` means the folder above, and nothing is above `/`. */
const plainPath = (path: string): string => {
  const parts: Array<string> = []
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue
    const isUp = part === ".." && (path.startsWith("/") || (parts.length > 0 && parts.at(-1) !== ".."))
    if (isUp) parts.pop()
    else parts.push(part)
  }
  return `${path.startsWith("/") ? "/" : ""}${parts.join("/")}`
}

/** What the paths of all begin with that is in a folder. */
const inside = (folder: string): string => (folder === "" || folder === "/" ? folder : `${folder}/`)

const withoutEnd = (path: string): string => path.replace(/\/+$/, "")

const join = (folder: string, name: string): string =>
  folder === "." || folder === "" ? name : `${withoutEnd(folder)}/${name}`

/** The folders that a path goes through, the deepest first. */
const foldersOf = (path: string): ReadonlyArray<string> => {
  const folder = FileName.folder(path)
  return folder === "" ? [] : [folder, ...foldersOf(folder)]
}

/** What stands at a path, or why nothing does. */
const standing = (world: World, path: string): MemoryFile | "folder" | "ENOENT" | "ENOTDIR" | "ENAMETOOLONG" => {
  const plain = plainPath(path)
  // Only a folder that is there has one above it.
  const up = path.endsWith("/..") || path.includes("/../") ? beforeUp(world, path) : "folder"
  if (up !== "folder") return up
  const file = world.files.get(plain)
  if (file !== undefined) return /\/\.?$/.test(path) ? "ENOTDIR" : file
  if (isFolderAt(world, plain)) return "folder"
  // As a system looks: part by part, until one is not there or can be no name.
  for (const at of [...foldersOf(plain).toReversed(), plain]) {
    if (world.files.has(at)) return "ENOTDIR"
    if (isFolderAt(world, at)) continue
    return isTooLong(at) ? "ENAMETOOLONG" : "ENOENT"
  }
  return "ENOENT"
}

/** What stands before the last `..` of a path, as far as it is no folder. */
const beforeUp = (world: World, path: string): "folder" | "ENOENT" | "ENOTDIR" | "ENAMETOOLONG" => {
  const end = path.endsWith("/..") ? path.length - 3 : path.lastIndexOf("/../")
  const there = standing(world, path.slice(0, end))
  return typeof there === "object" ? "ENOTDIR" : there
}

const isFolderAt = (world: World, plain: string): boolean =>
  plain === "" || plain === "/" || world.folders.has(plain) || holdsAny(world, plain)

const holdsAny = ({ below }: World, folder: string): boolean => below.has(folder)

/** From now on the folder is there for itself, with those above. */
const keepFolder = ({ below, folders }: World, folder: string): void => {
  const plain = plainPath(folder)
  for (const one of [plain, ...foldersOf(plain)]) {
    if (one === "" || one === "/" || folders.has(one)) continue
    folders.add(one)
    count(below, one, 1)
  }
}

/** Makes a folder and those above it, up to one that can have no such name: false then. */
const makeFolder = (world: World, folder: string): boolean => {
  const plain = plainPath(folder)
  const path = [...foldersOf(plain).toReversed(), plain]
  const end = path.findIndex(isTooLong)
  keepFolder(world, (end === -1 ? plain : path[end - 1]) ?? "")
  return end === -1
}

const isTooLong = (path: string): boolean => Bytes.utf8Length(FileName.baseName(path)) > nameSegmentBytesMax

/** A file, opened before, as it is now: what a staging put in its place is another. */
const asItIs = (world: World, path: string, file: MemoryFile): MemoryFile => {
  const next = world.became.get(file)
  if (next === undefined) return world.files.get(path) ?? file
  return next === file ? file : asItIs(world, path, next)
}

/** Who has it open reads on. */
const loseName = ({ became, files }: World, path: string): void => {
  const file = files.get(path)
  if (file !== undefined) became.set(file, file)
}

/** What is known of a file without reading it. */
const factsOf = ({ bytes, executable, modified }: MemoryFile) => {
  return { size: bytes.length, modified, ...mayRun(executable) }
}

const failed = (path: string, operation: "read" | "write", code: string): LocalFileFailed =>
  new LocalFileFailed({ path: printable(path), operation, code })

// -----------------------------------------------------------------------------
// Trees
// -----------------------------------------------------------------------------

/** There are no links here. A file on the way to a name is told, as a link would be. */
const tree = (world: World, folder: string): LocalTree => {
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
      open: Effect.suspend(() =>
        standing(world, path) === "ENOTDIR" ? Effect.fail(failed(path, "read", "ENOTDIR")) : openAt(world, path)
      ),
      stage: (declared) =>
        Effect.suspend(() => {
          const there = standing(world, folder) === "folder" ? standing(world, path) : "ENOTDIR"
          if (there === "ENOENT" && !makeFolder(world, FileName.folder(plainPath(path)))) {
            return Effect.fail(failed(path, "write", "ENAMETOOLONG"))
          }
          return stageAt(world, path, declared)
        }),
      leftover: leftover(world, path),
      settle: (facts) => settle(world, path, facts)
    }
  }
  return { ...among, place, remove: (name) => remove(world, folder, join(folder, name)) }
}

const remove = (world: World, root: string, path: string) =>
  Effect.suspend(() => {
    const there = standing(world, path)
    const plain = plainPath(path)
    if (typeof there === "string") return Effect.fail(failed(path, "write", there === "folder" ? "EISDIR" : there))
    keepFolder(world, FileName.folder(plain))
    loseName(world, plain)
    world.files.delete(plain)
    for (const folder of foldersOf(plain)) {
      if (folder === root || holdsAny(world, folder)) break
      if (world.folders.delete(folder)) count(world.below, folder, -1)
    }
    return Effect.void
  })

const settle = (world: World, path: string, { executable, modified }: Facts) =>
  Effect.suspend(() => {
    const file = standing(world, path)
    if (typeof file === "string") return Effect.fail(failed(path, "write", file === "folder" ? "ENOTREG" : file))
    const settled = { bytes: file.bytes, modified, ...mayRun(executable) }
    world.became.set(file, settled)
    world.files.set(plainPath(path), settled)
    return Effect.void
  })

// -----------------------------------------------------------------------------
// Looking
// -----------------------------------------------------------------------------

/** Each folder is asked about once, before what is in it. */
const walk = (world: World, folder: string, enter: (name: string) => boolean): ReadonlyArray<LocalFound> => {
  const there = standing(world, folder)
  if (there !== "folder") {
    const code = typeof there === "object" ? "ENOTDIR" : there
    return [{ _tag: "Failed", name: "", error: failed(folder, "read", code) }]
  }
  const root = inside(plainPath(folder))
  const entered = new Map<string, "entered" | "passed" | "too-deep">()
  const found: Array<LocalFound> = []
  const names = standingNames(world).flatMap(([path, what]) =>
    path.startsWith(root) ? [[path.slice(root.length).split("/"), what] as const] : []
  )
  for (const [parts, what] of names.toSorted(([a], [b]) => compareParts(a, b))) {
    const folderCount = what === "empty-folder" ? parts.length : parts.length - 1
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
    if (what === "empty-folder") found.push({ _tag: "LeftOut", name, kind: what })
    else if (what === "temporary") found.push({ _tag: "Temporary", name })
    else found.push({ _tag: "File", name, ...factsOf(what) })
  }
  return found
}

/** All that has a name, but for folders that hold something. */
const standingNames = (
  world: World
): ReadonlyArray<readonly [path: string, what: MemoryFile | "empty-folder" | "temporary"]> => [
  ...world.files,
  ...[...world.folders].filter((path) => !holdsAny(world, path)).map((path) => [path, "empty-folder"] as const),
  ...[...world.temporary].map(({ path }) => {
    const folder = FileName.folder(path)
    return [`${inside(folder)}.${FileName.baseName(path)}.part`, "temporary"] as const
  })
]

const complete = (world: World, beginning: string): ReadonlyArray<string> => {
  const { files, folders } = world
  const typed = beginning.slice(0, beginning.lastIndexOf("/") + 1)
  if (standing(world, typed) !== "folder") return []
  const [folder, start] = [inside(plainPath(typed)), beginning.slice(typed.length)]
  return (
    byPart([...files.keys(), ...Array.from(folders, (path) => `${path}/`)], folder + start)
      .map((path) => path.slice(folder.length))
      // Hidden files are offered to whoever types the dot.
      .filter((name) => name !== "" && (start !== "" || !name.startsWith(".")))
      .map((name) => typed + name)
  )
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

// -----------------------------------------------------------------------------
// Reading and writing
// -----------------------------------------------------------------------------

const openAt = (world: World, path: string) =>
  Effect.suspend(() => {
    const file = standing(world, path)
    if (file === "folder") return Effect.fail(failed(path, "read", "EISDIR"))
    if (file === "ENAMETOOLONG") return Effect.fail(failed(path, "read", file))
    if (typeof file === "string") return Effect.undefined
    // Another entry in the map that this layer has not put there is a write in place.
    const now = () => asItIs(world, plainPath(path), file)
    return Effect.succeed({
      ...factsOf(file),
      read: (offset: number, length: number) => Effect.sync(() => file.bytes.slice(offset, offset + length)),
      unchanged: Effect.suspend(() =>
        now() === file ? Effect.void : Effect.fail(failed(path, "read", "source-changed"))
      ),
      isAnother: Effect.sync(() => now().bytes.length !== file.bytes.length || now().modified !== file.modified)
    })
  })

const leftover = (world: World, path: string): Effect.Effect<Leftover | undefined, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { digest, temporary } = world
    const plain = plainPath(path)
    const take = () => {
      const newest = [...temporary].findLast((one) => one.path === plain && one.leftAt !== undefined)
      if (newest !== undefined) newest.leftAt = undefined
      return newest
    }
    const found = yield* Effect.acquireRelease(Effect.sync(take), (taken) =>
      taken === undefined ? Effect.void : leave(world, taken)
    )
    if (found === undefined) return undefined
    return {
      size: found.declared.size,
      modified: found.declared.modified,
      from: Bytes.lengthOf(found.parts),
      head: shortDigest(digest, Bytes.slice(found.parts, 0, headBytes)),
      resume: (executable) =>
        Effect.suspend(() => {
          const code = refusal(world, plain)
          if (code !== undefined) return Effect.fail(failed(path, "write", code))
          const { modified, size } = found.declared
          found.declared = { size, modified, ...mayRun(executable), resumable: true }
          return Effect.succeed(staging(world, found, path))
        }),
      drop: Effect.sync(() => void dropTemporary(world, found))
    }
  })

/** Whoever was at it has ended: what may be gone on with is the newest of all, and nothing else is left. */
const leave = (world: World, one: Temporary): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const isThere = dropTemporary(world, one)
    if (!isThere || one.declared.resumable !== true || Bytes.lengthOf(one.parts) < resumeBytesMin) return
    one.leftAt = now
    addTemporary(world, one)
  })

/** Why a path can be no file's, if it cannot. */
const refusal = (world: World, path: string): string | undefined => {
  const there = standing(world, path)
  if (there === "folder") return "EISDIR"
  if (typeof there === "object") return undefined
  return there === "ENOENT" && standing(world, FileName.folder(path)) === "folder" ? undefined : there
}

const stageAt = Effect.fnUntraced(function* (
  world: World,
  path: string,
  declared: Declared
): Effect.fn.Return<LocalStaging, LocalFileFailed, Scope.Scope> {
  const plain = plainPath(path)
  const code = isTemporary(FileName.baseName(plain)) ? "temporary-name" : refusal(world, plain)
  if (code !== undefined) return yield* failed(path, "write", code)
  if (declared.resumable === true && declared.size >= resumeBytesMin) yield* sweep(world, FileName.folder(plain))
  const begun: Temporary = { path: plain, declared, parts: [], leftAt: undefined }
  yield* Effect.acquireRelease(
    Effect.sync(() => addTemporary(world, begun)),
    () => leave(world, begun)
  )
  return staging(world, begun, path)
})

/** Removes what was left in a folder long ago. */
const sweep = (world: World, folder: string): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    for (const one of world.temporary) {
      const isOld = one.leftAt !== undefined && one.leftAt < now - stagedLeftoverMillisecondsMax
      if (isOld && FileName.folder(one.path) === folder) dropTemporary(world, one)
    }
  })

/** Whoever calls leaves it when the scope closes. */
const staging = (world: World, begun: Temporary, named: string): LocalStaging => {
  const { declared, parts, path } = begun
  const { executable, modified, size } = declared
  const hasher = world.digest.make()
  for (const part of parts) hasher.update(part)
  const broken = (code: string) => {
    dropTemporary(world, begun)
    return Effect.fail(failed(named, "write", code))
  }
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
        const code = refusal(world, path)
        if (code !== undefined) return Effect.fail(failed(named, "write", code))
        dropTemporary(world, begun)
        loseName(world, path)
        world.files.set(path, { bytes, modified, ...mayRun(executable) })
        return Effect.void
      })
  }
}
