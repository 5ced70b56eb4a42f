/**
 * The files that a command about folders is about: those of local folders, of the server's, and what is at the
 * destination of a download.
 *
 * A file keeps its path below the named folder, behind that folder's own name; of a path that ends in `.` or `..` the
 * content alone is meant. What is no file is told and left out.
 */
import { Effect, Exit, Fiber, type Scope, Stream } from "effect"
import { type FileEntry, mayRun } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { LocalFileFailed, RequestRefused, SourceMissing, asPattern } from "./ClientError.ts"
import type { Filter } from "./Filter.ts"
import * as Glob from "./Glob.ts"
import * as InTheWay from "./InTheWay.ts"
import { type LeftOutKind, LocalFiles, type LocalFound, type LocalPlace, placeAt } from "./LocalFiles.ts"
import type { Known } from "./Plan.ts"
import { Reporter } from "./Reporter.ts"
import * as Selection from "./Selection.ts"

/** Files of one side, by the names that they will have at the other. */
export interface Selected<File> {
  readonly files: ReadonlyArray<File>
  /** the folders that were named, by the names that they will have; `""`: everything */
  readonly roots: ReadonlyArray<string>
  /** how much went wrong, which was told */
  readonly failed: number
  /** the named folders that hold no file at all, as a person reads them: nothing below them is removed */
  readonly empty: ReadonlyArray<string>
  /**
   * Whether a name at the other side is below one of the roots, and nothing here hides it or stands in its place. Never
   * below an empty folder: a disk that is not mounted, or a server that lost its files, is one.
   */
  readonly mayRemove: (name: string) => boolean
}

/** The name of a file in a folder; `""` is the outermost. */
const within = (folder: string, name: string): string =>
  folder === "" ? name : name === "" ? folder : `${folder}/${name}`

const removable =
  (roots: ReadonlyArray<string>, filter: Filter, kept: ReadonlySet<string>) =>
  (name: string): boolean => {
    const isKept =
      kept.has("") || name.split("/").some((_, depth, parts) => kept.has(parts.slice(0, depth + 1).join("/")))
    return (
      !isKept &&
      roots.some((root) => filter.takes(FileName.below(root, name) ?? "") && FileName.below(root, name) !== undefined)
    )
  }

/** A folder's name as a person writes it: `.` and `/` mean the outermost, a `/` at the end means nothing. */
export const folderName = (text: string): string => {
  const parts = text.split("/")
  const first = parts.findIndex(isSaid)
  return first < 0 ? "" : parts.slice(first, parts.findLastIndex(isSaid) + 1).join("/")
}

const isSaid = (part: string): boolean => part !== "" && part !== "."

/** Whether what is in a folder is meant, without the folder. */
export const isContent = (text: string): boolean => /(?:^|\/)\.\/*$/.test(text)

// -----------------------------------------------------------------------------
// Local folders
// -----------------------------------------------------------------------------

/** A local file, under the name that it is to have. */
export interface LocalSelected extends Known {
  readonly place: LocalPlace
}

/** Local files, and whether all that is in the folders could be seen. */
export interface LocalSelection extends Selected<LocalSelected> {
  readonly whole: boolean
}

/**
 * @param as the folder that they go into
 * @param onFolder run once the first folder is known to be one, before it is gone through; nothing is told until
 *   what it has begun is over: a person who is asked for a password must see the question
 */
export const local = Effect.fnUntraced(function* <R = never>(
  command: "para" | "upload",
  paths: ReadonlyArray<string>,
  as: string | undefined,
  filter: Filter,
  onFolder: Effect.Effect<Fiber.Fiber<unknown, unknown> | undefined, never, R> = Effect.undefined
): Effect.fn.Return<LocalSelection, never, LocalFiles | R | Reporter | Scope.Scope> {
  const files = yield* LocalFiles
  const reporter = yield* Reporter
  const into = folderName(as ?? "")
  // Everything is `.`; an empty text is a variable of a script that was not set.
  const rule = into === "" && as !== "" ? undefined : FileName.brokenRule(into)
  if (rule !== undefined) {
    yield* reporter.failed({ error: new FileName.NameRefused({ name: printable(into), rule }), command })
    return { files: [], roots: [], empty: [], failed: 1, whole: false, mayRemove: () => false }
  }
  const found: Array<LocalSelected> = []
  const roots: Array<string> = []
  const empty: Array<string> = []
  const kept = new Set<string>()
  let failed = 0
  let asking: Fiber.Fiber<unknown, unknown> | undefined
  // Where nothing came of it the command is over, and what is in the folders does not matter.
  const told = (event: Effect.Effect<void>) =>
    Effect.suspend(() =>
      asking === undefined
        ? event
        : Effect.flatMap(Fiber.await(asking), (exit) => (Exit.isSuccess(exit) ? event : Effect.void))
    )
  const fail = (name: string, error: LocalFileFailed | SourceMissing) => {
    failed += 1
    return told(reporter.failed({ error, command, name }))
  }

  const folder = Effect.fnUntraced(function* (path: string) {
    const root = within(into, ownName(files.baseName(path)))
    const tree = yield* files.tree(path, false)
    if (roots.length === 0) asking = yield* onFolder
    roots.push(root)
    // What a pattern hides shows as well that the folder is what it was.
    let holds = false
    const enter = (name: string) => {
      const enters = filter.enters(name)
      holds ||= !enters
      return enters
    }
    /** What there is to say of one, if anything: most are files that are meant. */
    const take = (one: LocalFound): Effect.Effect<void> | undefined => {
      if (one._tag === "Failed") {
        holds = true
        return fail(files.join(path, one.name), one.error)
      }
      if (one._tag === "File") {
        holds = true
        if (!filter.takes(one.name)) return undefined
        const { executable, modified, name, size } = one
        const file = { name: within(root, name), size, modified, place: tree.place(name) }
        found.push(executable === true ? { ...file, executable } : file)
        return undefined
      }
      if (one._tag === "Temporary") {
        // The server may have a file of such a name from somebody else.
        kept.add(within(root, one.name))
        return undefined
      }
      const { kind, name } = one
      const bare = kind === "empty-folder"
      holds ||= !bare
      // Also where a pattern hides it: it may fit files behind the link.
      if (!bare) kept.add(within(root, name))
      return bare || filter.takes(name)
        ? told(reporter.leftOut({ command, path: files.join(path, name), kind }))
        : undefined
    }
    yield* Stream.runForEachArray(files.walk(path, enter), (all) => {
      const events = all.flatMap((one) => take(one) ?? [])
      return events.length === 0 ? Effect.void : Effect.forEach(events, (event) => event, { discard: true })
    })
    if (holds) return
    empty.push(path)
    kept.add(root)
  })

  const one = Effect.fnUntraced(function* (path: string) {
    const here = yield* files.look(path)
    if (here === undefined) return yield* new SourceMissing({ path: printable(path), command: missing[command] })
    if (here.kind === "folder") return yield* folder(path)
    if (here.kind === "special") {
      return yield* new LocalFileFailed({ path: printable(path), operation: "read", code: "ENOTREG" })
    }
    const name = files.baseName(path)
    if (!filter.takes(name)) return
    const { executable, modified, size } = here
    const facts = { size, modified, ...mayRun(executable) }
    found.push({ name: within(into, name), ...facts, place: placeAt(files, path) })
  })

  // What is named twice is meant once.
  const seen = new Set<string>()
  for (const text of paths) {
    const { failed: unread, files: named, leftOut } = yield* Selection.meant(text, true)
    for (const { error, path } of unread) yield* fail(path, error)
    for (const { kind, path } of leftOut) yield* told(reporter.leftOut({ command, path, kind }))
    for (const { path } of named) {
      const plain = Selection.spelt(path).replace(/(?<=.)\/+$/, "")
      if (!seen.has(plain)) yield* Effect.catch(one(path), (error) => fail(path, error))
      seen.add(plain)
    }
  }
  return { files: found, roots, empty, failed, whole: failed === 0, mayRemove: removable(roots, filter, kept) }
})

const missing = { upload: "upload", para: "parallelize" } as const

/** Of a path that names no part of its own the content is meant. */
export const ownName = (base: string): string => (base === "." || base === ".." ? "" : base)

// -----------------------------------------------------------------------------
// The server's folders
// -----------------------------------------------------------------------------

/** A file of the server, under the name that it is to have below the destination. */
export interface RemoteSelected extends Known {
  readonly remote: FileName.FileName
}

/** Files of the server, and where it has what is below the destination. */
export interface RemoteSelection extends Selected<RemoteSelected> {
  /** The names at the server that a name below the destination stands for; several when folders share a root. */
  readonly remoteNames: (name: string) => ReadonlyArray<string>
}

/**
 * What the arguments mean in a listing: a folder, a file, or a pattern as `fetch` takes it. What fits a pattern keeps
 * its whole name. An empty argument is refused: it is a script's unset variable, and does not mean everything.
 *
 * @param isUnknown whether the listing may lack what is called that: then it is not said to be missing
 */
export const remote = Effect.fnUntraced(function* (
  texts: ReadonlyArray<string>,
  listed: ReadonlyArray<FileEntry>,
  filter: Filter,
  isUnknown: (folder: string) => boolean
): Effect.fn.Return<RemoteSelection, never, Reporter> {
  const reporter = yield* Reporter
  const found: Array<RemoteSelected> = []
  /** what several arguments may mean both */
  const taken = new Set<string>()
  const folders: Array<{ readonly root: string; readonly folder: string }> = []
  const empty: Array<string> = []
  let failed = 0
  const fail = (name: string, error: FileName.NameRefused | RequestRefused) => {
    failed += 1
    return reporter.failed({ error, command: "download", name })
  }
  const add = (name: string, { executable, modified, name: remote, size }: FileEntry, path: string) => {
    if (!filter.takes(path)) return
    if (texts.length > 1) {
      const both = `${name}\n${remote}`
      if (taken.has(both)) return
      taken.add(both)
    }
    found.push({ name, remote, size, modified, ...mayRun(executable) })
  }
  for (const text of new Set(texts)) {
    if (text === "") {
      yield* fail(text, new FileName.NameRefused({ name: text, rule: "empty" }))
      continue
    }
    const folder = folderName(text)
    const root = isContent(text) ? "" : (folder.split("/").at(-1) ?? "")
    const inside: Array<{ readonly entry: FileEntry; readonly path: string }> = []
    for (const entry of listed) {
      const path = FileName.below(folder, entry.name)
      if (path !== undefined) inside.push({ entry, path })
    }
    const same = folder === "" ? undefined : listed.find(({ name }) => name === folder)
    if (same !== undefined) add(FileName.baseName(same.name), same, FileName.baseName(same.name))
    else if (inside.length > 0 || folder === "") {
      folders.push({ root, folder })
      if (inside.length === 0) empty.push(text)
      for (const { entry, path } of inside) add(within(root, path), entry, path)
    } else {
      const fitting = Glob.isPattern(text) ? listed.filter(({ name }) => Glob.matches(text, name)) : []
      for (const entry of fitting) add(entry.name, entry, entry.name)
      if (fitting.length > 0 || isUnknown(folder)) continue
      const detail = Glob.isPattern(text) ? asPattern : ""
      yield* fail(text, new RequestRefused({ name: printable(text), reason: "no-such-file", detail }))
    }
  }
  const roots = folders.map(({ root }) => root)
  const remoteNames = (name: string) =>
    folders.flatMap(({ folder, root }) => {
      const path = FileName.below(root, name)
      return path === undefined ? [] : [within(folder, path)]
    })
  // Only the outermost folder can be there and hold nothing.
  const mayRemove = removable(roots, filter, new Set(empty.map(() => "")))
  return { files: found, roots, empty, failed, mayRemove, remoteNames }
})

/** All folders that some of the files are below, at any depth; `""` is the outermost. */
const foldersOf = (files: ReadonlyArray<Known>): ReadonlySet<string> => {
  const folders = new Set([""])
  for (const { name } of files) {
    let slash = name.lastIndexOf("/")
    while (slash > 0) {
      const folder = name.slice(0, slash)
      if (folders.has(folder)) break
      folders.add(folder)
      slash = folder.lastIndexOf("/")
    }
  }
  return folders
}

/** What is at the destination of a download. */
export interface Destination {
  readonly files: ReadonlyArray<Known>
  readonly failed: number
  readonly inTheWay: InTheWay.InTheWay
}

/** What is at the places that a download would write to, and below the roots when it may remove. */
export const destination = Effect.fnUntraced(function* (
  folder: string,
  { files: source, roots }: Selected<RemoteSelected>,
  filter: Filter,
  removes: boolean
): Effect.fn.Return<Destination, never, LocalFiles | Reporter | Scope.Scope> {
  const files = yield* LocalFiles
  const reporter = yield* Reporter
  const found: Array<Known> = []
  let failed = 0
  let folders: ReadonlySet<string> | undefined
  // Of a tree that is not there yet nobody asks.
  const wants = (name: string) => (folders ??= foldersOf(source)).has(name)
  const seen = new Set<string>()
  const add = (known: Known) => {
    if (!seen.has(known.name)) found.push(known)
    seen.add(known.name)
  }
  const look = (name: string) => Effect.orElseSucceed(files.look(files.join(folder, name)), () => undefined)
  // What cannot be read may hold what is to go.
  const unread = (path: string, error: LocalFileFailed) => {
    if (!removes) return Effect.void
    failed += 1
    return reporter.failed({ error, command: "download", name: path })
  }
  const inTheWay = InTheWay.make((name) => files.join(folder, name))
  const takesPlace = new Set(source.map(({ name }) => name))
  const leave = Effect.fnUntraced(function* (name: string, kind: LeftOutKind) {
    if (kind === "empty-folder") return inTheWay.folder(name)
    // A link to a device is written to as little as the device.
    const leads = kind === "link" && takesPlace.has(name) ? yield* look(name) : undefined
    inTheWay.other(name, kind === "special" || leads?.kind === "special" ? "special" : "shut")
  })
  for (const root of roots) {
    const path = root === "" ? folder : files.join(folder, root)
    if (root !== "" && (yield* InTheWay.isShut(files, folder, root))) inTheWay.other(root, "shut")
    const here = yield* Effect.catch(files.look(path), (error) => Effect.as(unread(path, error), undefined))
    if (here?.kind !== "folder") continue
    const enter = (name: string) => {
      const enters = removes ? filter.enters(name) : wants(within(root, name))
      if (!enters) inTheWay.folder(within(root, name))
      return enters
    }
    yield* Stream.runForEach(files.walk(path, enter), (one) => {
      if (one._tag === "File") return Effect.sync(() => add({ ...one, name: within(root, one.name) }))
      if (one._tag === "LeftOut") return leave(within(root, one.name), one.kind)
      if (one._tag === "Temporary") return Effect.sync(() => inTheWay.folder(FileName.folder(within(root, one.name))))
      return one._tag === "Failed" ? unread(files.join(path, one.name), one.error) : Effect.void
    })
  }
  for (const { name } of source.filter(({ name }) => !roots.some((root) => FileName.isBelow(root, name)))) {
    const here = yield* look(name)
    if (here?.kind === "file") add({ ...here, name })
    else if (here?.kind === "folder") inTheWay.folder(name)
    else if (here?.kind === "special") inTheWay.other(name, "special")
  }
  return { files: found, failed, inTheWay }
})
