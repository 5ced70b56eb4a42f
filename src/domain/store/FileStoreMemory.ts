/**
 * The file store in memory: for tests, and for programs that serve what they hold anyway.
 *
 * Everything is kept as whole byte arrays. "Durable" means as long as the store's own life.
 */
import { Clock, Effect, Layer, Result, type Scope, Stream } from "effect"
import * as Bytes from "../Bytes.ts"
import { Digest, digestOf } from "../file/Digest.ts"
import { type FileEntry, type FileSize, mayRun, type Milliseconds } from "../file/FileEntry.ts"
import { type FileName, segmentKey, segments } from "../file/FileName.ts"
import { fileBytesMax, resumeBytesMin, stagedLeftoverBytesMax, stagedLeftoverMillisecondsMax } from "../limits.ts"
import {
  type CommitRequest,
  FileStore,
  type OpenFile,
  type RemoveRequest,
  type Renamed,
  type RenameRequest,
  type StageRequest,
  type Staging
} from "./FileStore.ts"
import {
  BaseChanged,
  DigestMismatch,
  FileExists,
  NameCollision,
  NoSpace,
  NoSuchFile,
  NotAFile,
  SizeMismatch,
  SourceChanged,
  StoreFailed,
  type StoreError,
  TakenOver
} from "./StoreError.ts"

/** A file that is there from the start. */
export interface InitialFile {
  readonly name: FileName
  readonly content: Uint8Array
  readonly modified?: Milliseconds
  readonly executable?: true
}

/** What the store holds from the start, and how much it may hold. */
export interface Options {
  /** Files that are there from the start; of names that exclude each other the first stays. */
  readonly files?: ReadonlyArray<InitialFile>
  /** Bytes that committed and staged content may take together. Default: no bound. */
  readonly capacityBytes?: number
  /** What is kept for a resume takes at most so many bytes together; the oldest goes first. */
  readonly stagedLeftoverBytesMax?: number
}

/** A store in memory, with its digest layer's digests in every entry. */
export const layer = (options: Options = {}): Layer.Layer<FileStore, never, Digest> =>
  Layer.effect(FileStore, make(options))

/** The same as an effect; read it back through its own port. */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<FileStore["Service"], never, Digest> {
  const digest = yield* Digest
  const store: Store = {
    digest,
    root: { kind: "folder", children: new Map() },
    capacity: options.capacityBytes ?? Number.MAX_SAFE_INTEGER,
    leftoverBytesMax: options.stagedLeftoverBytesMax ?? stagedLeftoverBytesMax,
    used: 0,
    versions: 0,
    resumable: new Map()
  }
  for (const { name, content, executable, modified = 0 } of options.files ?? []) {
    const facts = { name, size: content.length, modified, ...mayRun(executable) }
    const entry = { ...facts, digest: digestOf(digest, [content]) }
    put(store, entry, Bytes.copy(content), 0)
  }
  return FileStore.of({
    list: ({ alike, folder } = {}) =>
      Stream.suspend(() =>
        Stream.fromIterable(walk(folder === undefined ? store.root : folderAt(store.root, folder), alike))
      ),
    stat: (name) => atOnce(() => Result.map(locate(store, name), ({ entry }) => entry)),
    open: (name) => atOnce(() => Result.map(locate(store, name), open)),
    stage: (request) => stage(store, request),
    remove: (request) => atOnce(() => remove(store, request)),
    rename: (request) => atOnce(() => rename(store, request))
  })
})

interface File {
  readonly kind: "file"
  readonly entry: FileEntry
  readonly content: Uint8Array
  /** counts up with every commit and renaming */
  readonly version: string
  /** when it was committed, milliseconds */
  readonly changed: number
}

interface Folder {
  readonly kind: "folder"
  /** by `segmentKey`: one spelling for each */
  readonly children: Map<string, Child>
}

interface Child {
  readonly spelling: string
  readonly node: File | Folder
}

interface Store {
  readonly digest: Digest["Service"]
  readonly root: Folder
  readonly capacity: number
  readonly leftoverBytesMax: number
  used: number
  versions: number
  /** what may be gone on with, by its key */
  readonly resumable: Map<string, Staged>
}

function* walk(folder: Folder, alike?: ReadonlySet<string>): IterableIterator<FileEntry> {
  for (const [key, { node }] of folder.children) {
    if (alike?.has(key) === false) continue
    if (node.kind === "file") yield node.entry
    else yield* walk(node)
  }
}

/** The folder of exactly that spelling, or an empty one. */
const folderAt = (root: Folder, name: FileName): Folder => {
  let folder = root
  for (const part of segments(name)) {
    const child = folder.children.get(segmentKey(part))
    if (child?.spelling !== part || child.node.kind === "file") return { kind: "folder", children: new Map() }
    folder = child.node
  }
  return folder
}

// A committed file is never changed, only replaced: who has it open keeps what it was.
const open = ({ changed, content, entry, version }: File): OpenFile => ({
  entry,
  version,
  changed,
  read: (offset, length) => Effect.sync(() => content.slice(offset, offset + Math.max(0, length))),
  unchanged: Effect.void
})

/** To look and to change is one step: between two even this store may be changed by somebody else. */
const atOnce = <A, E>(step: () => Result.Result<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => Effect.fromResult(step()))

/** The file of that name or of one that folds to the same. */
const locate = (store: Store, name: FileName): Result.Result<File, NoSuchFile | NotAFile> => {
  let node: File | Folder = store.root
  let exact = true
  for (const part of segments(name)) {
    // Something else in the way is worth telling only when it has the very name that was asked for.
    if (node.kind === "file")
      return Result.fail(exact ? new NotAFile({ name, found: "file-as-folder" }) : new NoSuchFile({ name }))
    const child: Child | undefined = node.children.get(segmentKey(part))
    if (child === undefined) return Result.fail(new NoSuchFile({ name }))
    exact &&= child.spelling === part
    node = child.node
  }
  if (node.kind === "file") return Result.succeed(node)
  return Result.fail(exact ? new NotAFile({ name, found: "folder" }) : new NoSuchFile({ name }))
}

/** Fails when the name cannot be put beside what is there, or that is not as demanded. */
const target = (
  store: Store,
  name: FileName,
  what: StageRequest["target"]
): Result.Result<void, FileExists | NameCollision | NoSuchFile | NotAFile> =>
  Result.flatMap(standing(store, name), (live) => demanded(name, what, live))

const demanded = (
  name: FileName,
  target: StageRequest["target"],
  live: File | undefined
): Result.Result<void, FileExists | NoSuchFile> => {
  if (target === "absent" && live !== undefined) return Result.fail(new FileExists({ name }))
  return target === "present" && live === undefined ? Result.fail(new NoSuchFile({ name })) : Result.void
}

/** The file, unless it is another version than was meant. */
const expected = (store: Store, { name, version }: RemoveRequest): Result.Result<File, StoreError> =>
  Result.flatMap(locate(store, name), (file) =>
    version === undefined || version === file.version
      ? Result.succeed(file)
      : Result.fail(new BaseChanged({ name: file.entry.name }))
  )

const remove = (store: Store, request: RemoveRequest): Result.Result<FileEntry, StoreError> =>
  Result.map(expected(store, request), ({ content, entry }) => {
    take(store.root, segments(entry.name))
    store.used -= content.length
    return entry
  })

/** Takes a name away, and folders that it leaves empty. */
const take = (folder: Folder, [part = "", ...rest]: ReadonlyArray<string>): void => {
  const child = folder.children.get(segmentKey(part))?.node
  if (rest.length > 0 && child?.kind === "folder") take(child, rest)
  if (rest.length === 0 || (child?.kind === "folder" && child.children.size === 0)) {
    folder.children.delete(segmentKey(part))
  }
}

const rename = (store: Store, request: RenameRequest): Result.Result<Renamed, StoreError> =>
  Result.flatMap(expected(store, request), (file): Result.Result<Renamed, StoreError> => {
    const { name: from } = file.entry
    const { replace, to } = request
    const entry = { ...file.entry, name: to }
    if (from === to) return Result.succeed({ from, entry })
    return Result.flatMap(standing(store, to, from), (replaced): Result.Result<Renamed, FileExists> => {
      if (replaced !== undefined && !replace) return Result.fail(new FileExists({ name: to }))
      take(store.root, segments(from))
      // As on a disk: who knew it under its old name has not seen this one.
      settle(store, { ...file, entry, version: nextVersion(store) })
      store.used -= replaced?.content.length ?? 0
      return Result.succeed({ from, entry, ...(replaced && { replaced: replaced.entry }) })
    })
  })

/**
 * What stands at the name now; fails when the name cannot be put beside what is there. A file that is about to lose
 * the name `leaving` is not in its own way, unless as a folder.
 */
const standing = (
  store: Store,
  name: FileName,
  leaving?: FileName
): Result.Result<File | undefined, NameCollision | NotAFile> => {
  let node: File | Folder = store.root
  const [parts, walked] = [segments(name), new Array<string>()]
  for (const part of parts) {
    if (node.kind === "file") return Result.fail(new NotAFile({ name, found: "file-as-folder" }))
    const child: Child | undefined = node.children.get(segmentKey(part))
    if (child === undefined) return Result.succeed(undefined)
    walked.push(child.spelling)
    if (child.spelling !== part) {
      const existing = walked.join("/")
      const own = existing === leaving && walked.length === parts.length
      return own ? Result.succeed(undefined) : Result.fail(new NameCollision({ name, existing }))
    }
    node = child.node
  }
  return node.kind === "file" ? Result.succeed(node) : Result.fail(new NotAFile({ name, found: "folder" }))
}

/** Puts the file in the place of its name, in one step. */
const put = (
  store: Store,
  entry: FileEntry,
  content: Uint8Array,
  changed: number,
  demands: Pick<StageRequest, "target"> & Pick<CommitRequest, "replaces"> = {}
): Result.Result<void, BaseChanged | FileExists | NameCollision | NoSuchFile | NotAFile> =>
  Result.flatMap(
    Result.andThen(meetsDemands(store, entry.name, demands), () => standing(store, entry.name)),
    (live) => {
      settle(store, { kind: "file", entry, content, changed, version: nextVersion(store) })
      store.used += content.length - (live?.content.length ?? 0)
      return Result.void
    }
  )

/** What was demanded is of the very name: another spelling of it is not what was meant. */
const meetsDemands = (
  store: Store,
  name: FileName,
  { replaces, target }: Pick<StageRequest, "target"> & Pick<CommitRequest, "replaces">
): Result.Result<void, BaseChanged | FileExists | NoSuchFile | NotAFile> => {
  if (target === undefined && replaces === undefined) return Result.void
  const located = locate(store, name)
  if (Result.isFailure(located) && located.failure._tag === "NotAFile") return Result.fail(located.failure)
  const live = Result.isSuccess(located) && located.success.entry.name === name ? located.success : undefined
  return Result.flatMap(demanded(name, target, live), () =>
    replaces === undefined || live?.version === replaces ? Result.void : Result.fail(new BaseChanged({ name }))
  )
}

const nextVersion = (store: Store): string => {
  store.versions += 1
  return `memory:${store.versions}`
}

/** Enters the file under its name, with the folders that it needs. */
const settle = (store: Store, file: File): void => {
  const parts = segments(file.entry.name)
  let folder = store.root
  for (const part of parts.slice(0, -1)) {
    const child = folder.children.get(segmentKey(part))?.node
    const next: Folder = child?.kind === "folder" ? child : { kind: "folder", children: new Map() }
    folder.children.set(segmentKey(part), { spelling: part, node: next })
    folder = next
  }
  const last = parts.at(-1) ?? ""
  folder.children.set(segmentKey(last), { spelling: last, node: file })
}

/** Content on its way; `held` is what counts against the capacity. */
interface Staged {
  state: "open" | "over" | "taken-over"
  held: number
  received: number
  parts: Array<Uint8Array>
  /** when it was left for a resume, milliseconds */
  kept: number
}

const stage = Effect.fnUntraced(function* (
  store: Store,
  request: StageRequest
): Effect.fn.Return<Staging, StoreError, Scope.Scope> {
  yield* atOnce(() => target(store, request.name, request.target))
  const staged = yield* Effect.acquireRelease(hold(store, request), (staged) => release(store, request, staged))
  const resumed = staged.received
  const giveUp = release(store, request, staged)
  const append = (parts: Bytes.Parts) => Effect.onError(write(request, staged, parts), () => giveUp)
  return {
    resumed,
    write: append,
    copy: (from, offset, length) =>
      fits(request, staged, length).pipe(
        Effect.andThen(from.read(offset, length)),
        Effect.flatMap((block): Effect.Effect<void, StoreError> =>
          block.length === length ? append([block]) : Effect.fail(new SourceChanged({ name: request.name }))
        ),
        Effect.onError(() => giveUp)
      ),
    drop: Effect.sync(() => {
      if (staged.state !== "open") return
      staged.state = "over"
      forget(store, staged)
    }),
    commit: (expected) => Effect.onError(commit(store, request, staged, expected), () => giveUp)
  }
})

const hold = (store: Store, { name, resume, size }: StageRequest): Effect.Effect<Staged, NoSpace> =>
  Effect.suspend(() => {
    const left = resume === undefined ? undefined : store.resumable.get(resume)
    // The newer takes over, whether the older still runs or has left its content behind.
    if (left?.state === "open") {
      left.state = "taken-over"
      giveBackRest(store, left)
    }
    const before = left !== undefined && left.received <= size ? left : undefined
    if (left !== before) forget(store, left)
    if (!makeRoom(store, size - (before?.received ?? 0), before)) {
      // What was left may be gone on with once there is room.
      if (before !== undefined && before.received < resumeBytesMin) forget(store, before)
      return Effect.fail(new NoSpace({ name }))
    }
    const parts = [...(before?.parts ?? [])]
    forget(store, before)
    store.used += size
    const staged: Staged = { state: "open", held: size, received: Bytes.lengthOf(parts), parts, kept: 0 }
    if (resume !== undefined) store.resumable.set(resume, staged)
    return Effect.succeed(staged)
  })

/** Whether there is room. What is kept for a resume gives way, the oldest first, and none when that is too little. */
const makeRoom = (store: Store, bytes: number, own: Staged | undefined): boolean => {
  const missing = () => bytes - (store.capacity - store.used)
  const leftovers = leftoversOf(store).filter((one) => one !== own)
  if (missing() > heldBy(leftovers)) return false
  for (const oldest of leftovers) if (missing() > 0) forget(store, oldest)
  return true
}

/** What is kept for a resume and nobody holds, the oldest first. */
const leftoversOf = (store: Store): ReadonlyArray<Staged> =>
  [...store.resumable.values()].filter(({ state }) => state !== "open")

const heldBy = (all: ReadonlyArray<Staged>): number => all.reduce((total, { held }) => total + held, 0)

const forget = (store: Store, staged: Staged | undefined): void => {
  if (staged === undefined) return
  store.used -= staged.held
  staged.held = 0
  staged.parts = []
  for (const [key, value] of store.resumable) if (value === staged) store.resumable.delete(key)
}

/** Only what is there counts on; the rest of the declared size is given back. */
const giveBackRest = (store: Store, staged: Staged): void => {
  store.used -= staged.held - staged.received
  staged.held = staged.received
}

const release = (store: Store, { resume }: StageRequest, staged: Staged): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    if (staged.state !== "open") return
    staged.state = "over"
    if (resume === undefined || staged.received < resumeBytesMin) return forget(store, staged)
    giveBackRest(store, staged)
    staged.kept = now
    // Behind all that was kept before.
    store.resumable.delete(resume)
    store.resumable.set(resume, staged)
    const leftovers = leftoversOf(store)
    let bytes = heldBy(leftovers)
    for (const leftover of leftovers) {
      if (bytes <= store.leftoverBytesMax && now - leftover.kept <= stagedLeftoverMillisecondsMax) return
      bytes -= leftover.held
      forget(store, leftover)
    }
  })

const usable = (staged: Staged, name: FileName): Effect.Effect<void, StoreFailed | TakenOver> => {
  switch (staged.state) {
    case "open":
      return Effect.void
    case "taken-over":
      return Effect.fail(new TakenOver({ name }))
    case "over":
      return Effect.fail(new StoreFailed({ operation: "use of an ended staging", code: "EBADF" }))
  }
}

/** Fails when the staging is over, or so many bytes more are more than was declared. */
const fits = (
  { name, size }: StageRequest,
  staged: Staged,
  length: number
): Effect.Effect<void, SizeMismatch | StoreFailed | TakenOver> => {
  const received: FileSize = staged.received + length
  const tooMany = () => new SizeMismatch({ name, declared: size, received: Math.min(received, fileBytesMax) })
  return Effect.andThen(
    usable(staged, name),
    Effect.suspend(() => (received > size ? Effect.fail(tooMany()) : Effect.void))
  )
}

const write = Effect.fnUntraced(function* (
  request: StageRequest,
  staged: Staged,
  parts: Bytes.Parts
): Effect.fn.Return<void, StoreError> {
  const length = Bytes.lengthOf(parts)
  yield* fits(request, staged, length)
  // Copied: the caller may change its bytes afterwards.
  staged.parts.push(...parts.map(Bytes.copy))
  staged.received += length
})

const commit = Effect.fnUntraced(function* (
  store: Store,
  { executable, modified, name, size, target }: StageRequest,
  staged: Staged,
  expected: CommitRequest
): Effect.fn.Return<FileEntry, StoreError> {
  yield* usable(staged, name)
  const { received } = staged
  const declared = expected.size === received ? size : expected.size
  if (declared !== received) return yield* new SizeMismatch({ name, declared, received })
  const content = Bytes.concat(staged.parts)
  const digest = digestOf(store.digest, [content])
  if (digest !== expected.digest) {
    // Wrong content is never gone on with.
    staged.state = "over"
    forget(store, staged)
    return yield* new DigestMismatch({ name, declared: expected.digest, received: digest })
  }
  const entry: FileEntry = { name, size, modified, digest, ...mayRun(executable) }
  const now = yield* Clock.currentTimeMillis
  const demands = {
    ...(target && { target }),
    ...(expected.replaces !== undefined && { replaces: expected.replaces })
  }
  return yield* atOnce(() =>
    Result.map(put(store, entry, content, now, demands), () => {
      // The content has changed hands: it counts as committed, no longer as staged.
      staged.state = "over"
      forget(store, staged)
      return entry
    })
  )
})
