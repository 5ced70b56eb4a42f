/**
 * A disk in memory that can lose power, break and fill up: for testing what stores their promises on a disk.
 *
 * It keeps two states: what programs see, and what a power cut would leave. Content becomes durable with `sync` of
 * the file, a name with `syncFolder` of its folder. At a cut, everything else is decided by the seed, as a real disk
 * would have it: each name that was not synced is as before or as after; of the writes to a file since its last sync
 * a prefix survives, the last of it possibly torn. Equal seeds and equal operations give equal outcomes.
 *
 * Every operation of the port counts as one, but of `placeAll` each step of each file; it is numbered from 1, and lets
 * other fibers run first.
 */
import { Cause, Clock, Context, Effect, Layer, Result, type Scope, Stream } from "effect"
import * as Bytes from "../Bytes.ts"
import { nameSegmentBytesMax } from "../limits.ts"
import {
  Disk,
  type DiskEntry,
  DiskError,
  type DiskFile,
  type DiskPath,
  type DiskStat,
  type NewFile,
  type PlaceRequest,
  type WholeFile
} from "../store/Disk.ts"
import * as Blocks from "./Blocks.ts"

/** How much fits, and what a crash leaves. */
export interface Options {
  /** Decides what a power cut leaves of what was not synced. Default 1. */
  readonly seed?: number
  /** Bytes of content that fit, holes left out. Default: no bound. */
  readonly capacityBytes?: number
  /** Whether a file may have several names, as link(2) makes them. Default true. */
  readonly links?: boolean
  /** Whether files may share blocks, as on XFS and Btrfs. Default false. What a clone shares takes room once. */
  readonly clones?: boolean
}

/** What stands at a path, for planting and inspecting. */
export type Planted =
  | { readonly kind: "file"; readonly content: Uint8Array }
  | { readonly kind: "folder" | "link" | "special" | "mount-point" }

/** The hand on the plug. None of these counts as an operation. */
export class MemoryDisk extends Context.Service<
  MemoryDisk,
  {
    /** How many operations were begun, since the disk was made. */
    readonly operations: Effect.Effect<number>
    /** What each operation was, in order: `rename`, `syncFolder`, ... */
    readonly journal: Effect.Effect<ReadonlyArray<string>>
    /** The operation with this number fails with the code; a failing write has written a part before. */
    readonly failAt: (operation: number, code: string) => Effect.Effect<void>
    /** The power goes when the operation with this number begins; from then on everything fails with `EIO`. */
    readonly cutAt: (operation: number) => Effect.Effect<void>
    /** The power goes now, unless it is gone, and comes back: what was not durable is lost, open files are dead. */
    readonly crash: Effect.Effect<void>
    /** Puts something there, durably, with the folders above; replaces what stood there. */
    readonly plant: (path: DiskPath, what: Planted) => Effect.Effect<void>
    /** What programs see now: path with `/` to content, folders left out, links and special files empty. */
    readonly files: Effect.Effect<ReadonlyMap<string, Uint8Array>>
    /** Files that are open. */
    readonly openFiles: Effect.Effect<number>
  }
>()("paradrop/testing/MemoryDisk") {}

/** An empty disk and the hand on its plug. */
export const layer = (options: Options = {}): Layer.Layer<Disk | MemoryDisk> =>
  Layer.effectContext(
    Effect.map(make(options), ({ control, disk }) => Context.make(Disk, disk).pipe(Context.add(MemoryDisk, control)))
  )

/** The same as two values. */
export const make = (
  options: Options = {}
): Effect.Effect<{ readonly disk: Disk["Service"]; readonly control: MemoryDisk["Service"] }> =>
  Effect.sync(() => {
    const machine = newMachine(options)
    return { disk: diskOf(machine), control: controlOf(machine) }
  })

// -----------------------------------------------------------------------------
// What the disk holds
// -----------------------------------------------------------------------------

interface FileNode {
  readonly kind: "file"
  readonly inode: bigint
  content: Content
  blocks: Blocks.Blocks
  /** what the last sync left */
  durable: Uint8Array
  durableBlocks: Blocks.Blocks
  /** writes since the last sync; without bytes: cut there, or lengthened */
  pending: Array<{ readonly offset: number; readonly bytes?: Uint8Array }>
  modified: bigint
  changed: bigint
  executable: boolean
  links: number
  handles: number
}

interface FolderNode {
  readonly kind: "folder"
  readonly inode: bigint
  readonly device: bigint
  readonly entries: Map<string, Node>
  readonly durable: Map<string, Node>
  modified: bigint
}

interface OtherNode {
  readonly kind: "link" | "special"
  readonly inode: bigint
  links: number
}

type Node = FileNode | FolderNode | OtherNode

/** Bytes in a buffer that grows by doubling. */
interface Content {
  buffer: Uint8Array
  length: number
}

interface Machine {
  root: FolderNode
  readonly capacity: number
  readonly links: boolean
  readonly clones: boolean
  /** files that are open, by the names that they have for `cloneFrom` */
  readonly named: Map<string, FileNode>
  readonly random: () => number
  readonly journal: Array<string>
  readonly faults: Map<number, string>
  cutAt: number
  powered: boolean
  /** how often the power went: a file opened before is dead */
  boots: number
  openFiles: number
  /** what is open takes its room without a name too */
  readonly opened: Set<FileNode>
  inodes: bigint
  /** makes every moment different from the one before */
  ticks: bigint
}

const rootDevice = 1n
const otherDevice = 2n

const newMachine = (options: Options): Machine => ({
  root: { kind: "folder", inode: 1n, device: rootDevice, entries: new Map(), durable: new Map(), modified: 0n },
  capacity: options.capacityBytes ?? Number.MAX_SAFE_INTEGER,
  links: options.links ?? true,
  clones: options.clones ?? false,
  named: new Map(),
  random: generator(options.seed ?? 1),
  journal: [],
  faults: new Map(),
  cutAt: Number.POSITIVE_INFINITY,
  powered: true,
  boots: 0,
  openFiles: 0,
  opened: new Set(),
  inodes: 1n,
  ticks: 0n
})

/** Numbers below 1 from a seed: Marsaglia's xorshift32 (Journal of Statistical Software 8, 2003). */
const generator = (seed: number): (() => number) => {
  // Mixed, because neighbouring seeds of a shift register begin alike; never zero, its only fixed point.
  let state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

// -----------------------------------------------------------------------------
// The port
// -----------------------------------------------------------------------------

const diskOf = (machine: Machine): Disk["Service"] => {
  const run = <A>(
    operation: string,
    act: (now: bigint) => A | DiskError,
    partly?: (now: bigint) => void
  ): Effect.Effect<A, DiskError> => perform(machine, operation, act, partly)

  const openExisting = (operation: "openRead" | "openWrite", path: DiskPath) =>
    handle(machine, operation, () => {
      const place = operation === "openRead" ? path : placeOf(machine, operation, path)
      if (isError(place)) return place
      const node = path.length === 0 ? fault(operation, "EINVAL") : resolve(machine, operation, path)
      if (isError(node)) return node
      if (node.kind === "link") return fault(operation, "ELOOP")
      return node.kind === "file" ? node : fault(operation, "ENOTREG")
    })

  return Disk.of({
    openRead: (path) => openExisting("openRead", path),
    openWrite: (path) => openExisting("openWrite", path),
    create: (path) =>
      handle(machine, "create", (now) => {
        const place = freePlace(machine, "create", path)
        if (isError(place)) return place
        const file = newFile(machine, now)
        return link(place, file, now)
      }),
    stat: (path) =>
      run("stat", () => {
        const node = resolve(machine, "stat", path)
        return isError(node) ? node : statOf(node)
      }),
    statAll: (folder, names) =>
      run("statAll", () => {
        const found = resolveFolder(machine, "statAll", folder)
        if (isError(found)) return found
        return names.map((name) => {
          const node = isPart(name) ? entryIn(found, "statAll", name) : fault("statAll", "EINVAL")
          if (node === undefined) return Result.fail(fault("statAll", "ENOENT"))
          return isError(node) ? Result.fail(node) : Result.succeed(statOf(node))
        })
      }),
    list: (path) => listing(run, machine, path),
    makeFolder: (path) =>
      run("makeFolder", (now) => {
        const place = freePlace(machine, "makeFolder", path)
        return isError(place) ? place : void link(place, newFolder(machine, rootDevice, now), now)
      }),
    rename: (from, to) => run("rename", (now) => rename(machine, from, to, now)),
    link: (from, to) => run("link", (now) => addName(machine, from, to, now)),
    remove: (path) => run("remove", (now) => remove(machine, path, now)),
    removeFolder: (path) => run("removeFolder", (now) => removeFolder(machine, path, now)),
    syncFolder: (path) =>
      run("syncFolder", () => {
        const folder = resolveFolder(machine, "syncFolder", path)
        return isError(folder) ? folder : syncNames(folder)
      }),
    placeAll: (request) => placeAll(machine, run, request),
    readAll: (folder, names, bytesMax, room) =>
      run("readAll", () => {
        const found = resolveFolder(machine, "readAll", folder)
        return isError(found) ? found : readAll(found, names, bytesMax, room?.length ?? bytesMax)
      }),
    freeBytes: run("freeBytes", () => Math.max(0, machine.capacity - used(machine)))
  })
}

type Run = <A>(
  operation: string,
  act: (now: bigint) => A | DiskError,
  partly?: (now: bigint) => void
) => Effect.Effect<A, DiskError>

/** Each step of each file is an operation of its own: the power may go, and the disk fail, at any of them. */
const placeAll = (
  machine: Machine,
  run: Run,
  { durable, files, folder, likeReplaced, staging }: PlaceRequest
): Effect.Effect<ReadonlyArray<Result.Result<void, DiskError>>, DiskError> => {
  const usable = (path: DiskPath) =>
    run("placeAll", () => {
      // The name does not matter: whether the folder may be written to does.
      const place = placeOf(machine, "placeAll", [...path, "-"])
      return isError(place) ? place : undefined
    })
  const orRemoved =
    ({ temporary }: NewFile) =>
    (steps: Effect.Effect<void, DiskError>) => {
      const from = [...staging, temporary]
      return Effect.tapError(steps, () => Effect.ignore(run("remove", (now) => remove(machine, from, now))))
    }
  const stage = Effect.fnUntraced(function* (file: NewFile) {
    const { executable, modified, name, parts, temporary } = file
    const from = [...staging, temporary]
    if (!isPart(name)) return yield* fault("placeAll", "EINVAL")
    // What has the name already is somebody else's, and stays.
    const { made, there } = yield* run("create", (now) => {
      const place = freePlace(machine, "create", from)
      if (isError(place)) return place
      const there = resolve(machine, "create", [...folder, name])
      return { made: link(place, newFile(machine, now), now), there: isError(there) ? undefined : there.kind }
    })
    const fill = Effect.gen(function* () {
      if (likeReplaced && there === "folder") return yield* fault("placeAll", "EISDIR")
      if (likeReplaced && there === "special") return yield* fault("placeAll", "ENOTREG")
      const whole = Bytes.concat(parts)
      yield* run(
        "write",
        (now) => write(machine, made, 0, whole, now),
        (now) => write(machine, made, 0, whole.subarray(0, whole.length >> 1), now)
      )
      yield* run("setModified", (now) => setModified(made, modified, now))
      if (executable === true) yield* run("setExecutable", () => void (made.executable = true))
      if (durable) yield* run("sync", () => sync(made))
    })
    return yield* orRemoved(file)(fill)
  })
  const arrive = (file: NewFile) =>
    orRemoved(file)(run("rename", (now) => rename(machine, [...staging, file.temporary], [...folder, file.name], now)))
  return Effect.gen(function* () {
    yield* usable(folder)
    yield* usable(staging)
    // What is not synced arrives before the next one is begun.
    if (!durable)
      return yield* Effect.forEach(files, (file) => Effect.result(Effect.andThen(stage(file), arrive(file))))
    const staged = yield* Effect.forEach(files, (file) => Effect.result(stage(file)))
    const placed = yield* Effect.forEach(files, (file, index) => {
      const before = staged[index] ?? Result.void
      return Result.isFailure(before) ? Effect.succeed(before) : Effect.result(arrive(file))
    })
    const synced = yield* Effect.result(
      run("syncFolder", () => {
        const found = resolveFolder(machine, "syncFolder", folder)
        return isError(found) ? found : syncNames(found)
      })
    )
    return placed.map((one) => Result.flatMap(one, () => synced))
  }).pipe(Effect.uninterruptible)
}

const readAll = (
  folder: FolderNode,
  names: ReadonlyArray<string>,
  bytesMax: number,
  bytesTogetherMax: number
): ReadonlyArray<Result.Result<WholeFile, DiskError>> => {
  const all: Array<Result.Result<WholeFile, DiskError>> = []
  let room = bytesTogetherMax
  for (const name of names) {
    const node = isPart(name) ? entryIn(folder, "readAll", name) : fault("readAll", "EINVAL")
    if (isError(node)) all.push(Result.fail(node))
    else if (node === undefined) all.push(Result.fail(fault("readAll", "ENOENT")))
    else if (node.kind === "link") all.push(Result.fail(fault("readAll", "ELOOP")))
    else if (node.kind !== "file") all.push(Result.fail(fault("readAll", "ENOTREG")))
    else {
      const small = node.content.length <= bytesMax
      if (small && node.content.length > room) break
      room -= small ? node.content.length : 0
      all.push(Result.succeed({ stat: statOf(node), content: small ? contentOf(node) : undefined }))
    }
  }
  return all
}

/** Counts the operation, lets others run, and then does it in one step or fails as planned. */
const perform = <A>(
  machine: Machine,
  operation: string,
  act: (now: bigint) => A | DiskError,
  partly?: (now: bigint) => void
): Effect.Effect<A, DiskError> =>
  Effect.gen(function* () {
    yield* Effect.yieldNow
    const now = BigInt(yield* Clock.currentTimeMillis) * 1_000_000n
    machine.ticks += 1n
    if (!machine.powered) return yield* fault(operation, "EIO")
    machine.journal.push(operation)
    const moment = now + machine.ticks
    if (machine.journal.length >= machine.cutAt) {
      // What was under way when the power went may have happened.
      if (machine.random() < 0.5) act(moment)
      machine.powered = false
      return yield* fault(operation, "EIO")
    }
    const code = machine.faults.get(machine.journal.length)
    if (code !== undefined) {
      partly?.(moment)
      return yield* fault(operation, code)
    }
    const outcome = act(moment)
    return isError(outcome) ? yield* outcome : outcome
  }).pipe(Effect.uninterruptible)

const listing = (
  run: <A>(operation: string, act: (now: bigint) => A | DiskError) => Effect.Effect<A, DiskError>,
  machine: Machine,
  path: DiskPath
): Stream.Stream<DiskEntry, DiskError> =>
  Stream.fromPull(
    Effect.map(
      run("list", () => {
        const folder = resolveFolder(machine, "list", path)
        return isError(folder) ? folder : Array.from(folder.entries, ([name, { kind }]) => ({ name, kind }))
      }),
      (entries) =>
        Effect.suspend(() => {
          const [first, ...rest] = entries.splice(0, listBatchEntries)
          return first === undefined ? Cause.done() : Effect.succeed([first, ...rest] as const)
        })
    )
  )

/** Small, so that a short test sees several batches. */
const listBatchEntries = 16

// -----------------------------------------------------------------------------
// Open files
// -----------------------------------------------------------------------------

const handle = (
  machine: Machine,
  operation: string,
  open: (now: bigint) => FileNode | DiskError
): Effect.Effect<DiskFile, DiskError, Scope.Scope> =>
  Effect.acquireRelease(
    // Counted once it is given: a file whose opening the power cut short is nobody's.
    Effect.map(perform(machine, operation, open), (node) => {
      node.handles += 1
      machine.openFiles += 1
      machine.opened.add(node)
      return { node, boot: machine.boots, writable: operation !== "openRead", open: true }
    }),
    (state) =>
      Effect.sync(() => {
        state.open = false
        state.node.handles -= 1
        machine.openFiles -= 1
        if (state.node.handles === 0) machine.opened.delete(state.node)
      })
  ).pipe(Effect.map((state) => diskFile(machine, state)))

const diskFile = (
  machine: Machine,
  state: { readonly node: FileNode; readonly boot: number; readonly writable: boolean; open: boolean }
): DiskFile => {
  const { node, writable } = state
  const run = <A>(operation: string, act: (now: bigint) => A | DiskError, partly?: (now: bigint) => void) => {
    const usable = (): DiskError | undefined =>
      !state.open ? fault(operation, "EBADF") : state.boot === machine.boots ? undefined : fault(operation, "EIO")
    return perform(
      machine,
      operation,
      (now) => usable() ?? act(now),
      (now) => {
        if (usable() === undefined) partly?.(now)
      }
    )
  }
  return {
    stat: run("statFile", () => statOf(node)),
    read: (offset, length) =>
      run("read", () => node.content.buffer.slice(offset, Math.min(offset + length, node.content.length))),
    readInto: (offset, target) =>
      run("read", () => {
        const bytes = node.content.buffer.subarray(offset, Math.min(offset + target.length, node.content.length))
        target.set(bytes)
        return bytes.length
      }),
    write: (offset, parts) => {
      const put = (bytes: Uint8Array, now: bigint) =>
        writable || bytes.length === 0 ? write(machine, node, offset, bytes, now) : fault("write", "EBADF")
      return run(
        "write",
        (now) => put(Bytes.concat(parts), now),
        (now) => put(Bytes.concat(Bytes.slice(parts, 0, Bytes.lengthOf(parts) >> 1)), now)
      )
    },
    truncate: (length) =>
      run("truncate", (now) => (writable ? truncate(node, length, now) : fault("truncate", "EINVAL"))),
    cloneFrom: (source) => source.named((name) => run("cloneFrom", (now) => clone(machine, name, node, now))),
    named: (use) =>
      Effect.suspend(() => {
        if (!state.open) return Effect.fail(fault("named", "EBADF"))
        machine.ticks += 1n
        const name = `${node.inode}:${machine.ticks}`
        machine.named.set(name, node)
        return Effect.ensuring(
          use(name),
          Effect.sync(() => machine.named.delete(name))
        )
      }),
    setModified: (milliseconds) => run("setModified", (now) => setModified(node, milliseconds, now)),
    setExecutable: (executable) =>
      run("setExecutable", (now) => {
        if (node.executable === executable) return
        node.executable = executable
        node.changed = now
      }),
    sync: run("sync", () => sync(node))
  }
}

const write = (
  machine: Machine,
  node: FileNode,
  offset: number,
  bytes: Uint8Array,
  now: bigint
): DiskError | undefined => {
  const fitting = bytes.subarray(0, fittingBytes(machine, node, offset, bytes.length))
  // Nothing written lengthens nothing, wherever it was written.
  if (fitting.length === 0) return bytes.length === 0 ? undefined : fault("write", "ENOSPC")
  put(node.content, offset, fitting)
  node.blocks = Blocks.write(node.blocks, offset, fitting.length)
  node.pending.push({ offset, bytes: fitting.slice() })
  node.modified = now
  node.changed = now
  return fitting.length < bytes.length ? fault("write", "ENOSPC") : undefined
}

/** How many of so many bytes there is room for: those that take the place of a file's own need none. */
const fittingBytes = (machine: Machine, node: FileNode, offset: number, length: number): number => {
  if (machine.capacity === Number.MAX_SAFE_INTEGER) return length
  const others = [...filesOf(machine)].filter((file) => file !== node).map(({ blocks }) => blocks)
  const fits = (bytes: number) =>
    Blocks.bytesOf([...others, Blocks.written(node.blocks, offset, bytes)]) <= machine.capacity
  if (fits(length)) return length
  let [low, high] = [0, length]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (fits(middle)) low = middle
    else high = middle
  }
  return low
}

const truncate = (node: FileNode, length: number, now: bigint): void => {
  cut(node.content, length)
  node.blocks = Blocks.until(node.blocks, length)
  node.pending.push({ offset: length })
  node.modified = now
  node.changed = now
}

/** Zeros fill what is missing. */
const cut = (content: Content, length: number): void => {
  const kept = Math.min(content.length, length)
  const buffer = new Uint8Array(length)
  buffer.set(content.buffer.subarray(0, kept))
  content.buffer = buffer
  content.length = length
}

const clone = (machine: Machine, name: string | undefined, node: FileNode, now: bigint): DiskError | undefined => {
  const source = machine.named.get(name ?? "")
  if (!machine.clones || source === undefined) return fault("cloneFrom", "ENOTSUP")
  const content = source.content.buffer.slice(0, source.content.length)
  const { blocks } = source
  truncate(node, 0, now)
  put(node.content, 0, content)
  node.pending.push({ offset: 0, bytes: content })
  node.blocks = blocks
  return undefined
}

const setModified = (node: FileNode, milliseconds: number, now: bigint): void => {
  node.modified = BigInt(milliseconds) * 1_000_000n
  node.changed = now
}

const sync = (node: FileNode): void => {
  node.durable = node.content.buffer.slice(0, node.content.length)
  node.durableBlocks = node.blocks
  node.pending = []
}

const put = (content: Content, offset: number, bytes: Uint8Array): void => {
  const end = offset + bytes.length
  if (end > content.buffer.length) {
    const grown = new Uint8Array(Math.max(end, content.buffer.length * 2))
    grown.set(content.buffer.subarray(0, content.length))
    content.buffer = grown
  }
  content.buffer.set(bytes, offset)
  content.length = Math.max(content.length, end)
}

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

const isPart = (part: string): boolean =>
  part !== "" && part !== "." && part !== ".." && !/[/\0]/.test(part) && part.isWellFormed()

/** What has the name in a folder; a name that is too long for any says so. */
const entryIn = (folder: FolderNode, operation: string, name: string): Node | DiskError | undefined =>
  Bytes.utf8Length(name) > nameSegmentBytesMax ? fault(operation, "ENAMETOOLONG") : folder.entries.get(name)

const resolve = (machine: Machine, operation: string, path: DiskPath): Node | DiskError => {
  if (!path.every(isPart)) return fault(operation, "EINVAL")
  let node: Node = machine.root
  for (const part of path) {
    if (node.kind !== "folder") return fault(operation, "ENOTDIR")
    const next: Node | DiskError | undefined = entryIn(node, operation, part)
    if (next === undefined || isError(next)) return next ?? fault(operation, "ENOENT")
    node = next
  }
  return node
}

const resolveFolder = (machine: Machine, operation: string, path: DiskPath): FolderNode | DiskError => {
  const node = resolve(machine, operation, path)
  return isError(node) || node.kind === "folder" ? node : fault(operation, "ENOTDIR")
}

/** A name in a folder that may be written to. */
interface Place {
  readonly folder: FolderNode
  readonly name: string
}

const placeOf = (machine: Machine, operation: string, path: DiskPath): Place | DiskError => {
  const name = path.at(-1)
  if (name === undefined || !path.every(isPart)) return fault(operation, "EINVAL")
  for (let depth = 0; depth < path.length; depth += 1) {
    const folder = resolveFolder(machine, operation, path.slice(0, depth))
    if (isError(folder)) return folder
    if (folder.device !== rootDevice) return fault(operation, "EXDEV")
    if (depth === path.length - 1) return { folder, name }
  }
  return fault(operation, "EINVAL")
}

const freePlace = (machine: Machine, operation: string, path: DiskPath): Place | DiskError => {
  const place = placeOf(machine, operation, path)
  return isError(place) ? place : unlessTaken(place, operation)
}

const unlessTaken = (place: Place, operation: string): Place | DiskError => {
  const there = entryIn(place.folder, operation, place.name)
  return there === undefined ? place : isError(there) ? there : fault(operation, "EEXIST")
}

/** What has the name, which must be there. */
const nodeAt = ({ folder, name }: Place, operation: string): Node | DiskError =>
  entryIn(folder, operation, name) ?? fault(operation, "ENOENT")

const link = <N extends Node>({ folder, name }: Place, node: N, now: bigint): N => {
  folder.entries.set(name, node)
  folder.modified = now
  if (node.kind !== "folder") node.links += 1
  return node
}

const unlink = ({ folder, name }: Place, now: bigint): void => {
  const node = folder.entries.get(name)
  folder.entries.delete(name)
  folder.modified = now
  if (node === undefined || node.kind === "folder") return
  node.links -= 1
  if (node.kind === "file") node.changed = now
}

const rename = (machine: Machine, from: DiskPath, to: DiskPath, now: bigint): DiskError | undefined => {
  const source = placeOf(machine, "rename", from)
  if (isError(source)) return source
  const target = placeOf(machine, "rename", to)
  if (isError(target)) return target
  const node = nodeAt(source, "rename")
  if (isError(node)) return node
  const there = entryIn(target.folder, "rename", target.name)
  if (isError(there)) return there
  // Two names of one file both stay, as rename(2) has it.
  if (there === node) return undefined
  if (node.kind === "folder") {
    if (from.every((part, depth) => part === to[depth])) return fault("rename", "EINVAL")
    if (there !== undefined && there.kind !== "folder") return fault("rename", "ENOTDIR")
    if (there !== undefined && there.entries.size > 0) return fault("rename", "ENOTEMPTY")
  } else if (there?.kind === "folder") return fault("rename", "EISDIR")
  unlink(target, now)
  unlink(source, now)
  link(target, node, now)
  return undefined
}

const addName = (machine: Machine, from: DiskPath, to: DiskPath, now: bigint): DiskError | undefined => {
  const source = placeOf(machine, "link", from)
  if (isError(source)) return source
  const place = placeOf(machine, "link", to)
  if (isError(place)) return place
  const node = nodeAt(source, "link")
  if (isError(node)) return node
  const target = unlessTaken(place, "link")
  if (isError(target)) return target
  if (!machine.links || node.kind === "folder") return fault("link", "EPERM")
  link(target, node, now)
  if (node.kind === "file") node.changed = now
  return undefined
}

const removeFolder = (machine: Machine, path: DiskPath, now: bigint): DiskError | undefined => {
  const place = placeOf(machine, "removeFolder", path)
  if (isError(place)) return place
  const node = nodeAt(place, "removeFolder")
  if (isError(node)) return node
  if (node.kind !== "folder") return fault("removeFolder", "ENOTDIR")
  if (node.device !== rootDevice) return fault("removeFolder", "EBUSY")
  if (node.entries.size > 0) return fault("removeFolder", "ENOTEMPTY")
  unlink(place, now)
  return undefined
}

const remove = (machine: Machine, path: DiskPath, now: bigint): DiskError | undefined => {
  const place = placeOf(machine, "remove", path)
  if (isError(place)) return place
  const node = nodeAt(place, "remove")
  if (isError(node)) return node
  if (node.kind === "folder") return fault("remove", "EISDIR")
  unlink(place, now)
  return undefined
}

const syncNames = (folder: FolderNode): void => {
  folder.durable.clear()
  for (const [name, node] of folder.entries) folder.durable.set(name, node)
}

const newFile = (machine: Machine, now: bigint): FileNode => ({
  kind: "file",
  inode: (machine.inodes += 1n),
  content: { buffer: new Uint8Array(0), length: 0 },
  blocks: Blocks.none,
  durable: new Uint8Array(0),
  durableBlocks: Blocks.none,
  pending: [],
  modified: now,
  executable: false,
  changed: now,
  links: 0,
  handles: 0
})

const newFolder = (machine: Machine, device: bigint, now: bigint): FolderNode => ({
  kind: "folder",
  inode: (machine.inodes += 1n),
  device,
  entries: new Map(),
  durable: new Map(),
  modified: now
})

const statOf = (node: Node): DiskStat => {
  const modified = node.kind === "file" || node.kind === "folder" ? node.modified : 0n
  return {
    kind: node.kind,
    size: node.kind === "file" ? node.content.length : 0,
    modified: Number(modified / 1_000_000n),
    executable: node.kind === "file" && node.executable,
    modifiedNanoseconds: modified,
    changedNanoseconds: node.kind === "file" ? node.changed : modified,
    device: node.kind === "folder" ? node.device : rootDevice,
    inode: node.inode,
    links: node.kind === "folder" ? 1 : node.links,
    own: true
  }
}

/** Bytes that all files hold which have a name or are open. */
const used = (machine: Machine): number =>
  Blocks.bytesOf(Array.from(filesOf(machine).union(machine.opened), ({ blocks }) => blocks))

/** Each once, however many names it has. */
const filesOf = (machine: Machine): Set<FileNode> =>
  new Set(Array.from(entriesBelow(machine.root, "")).flatMap(([, node]) => (node.kind === "file" ? [node] : [])))

function* entriesBelow(folder: FolderNode, prefix: string): IterableIterator<readonly [string, Node]> {
  for (const [name, node] of folder.entries) {
    yield [`${prefix}${name}`, node]
    if (node.kind === "folder") yield* entriesBelow(node, `${prefix}${name}/`)
  }
}

// -----------------------------------------------------------------------------
// The plug
// -----------------------------------------------------------------------------

const controlOf = (machine: Machine): MemoryDisk["Service"] =>
  MemoryDisk.of({
    operations: Effect.sync(() => machine.journal.length),
    journal: Effect.sync(() => machine.journal.slice()),
    failAt: (operation, code) => Effect.sync(() => void machine.faults.set(operation, code)),
    cutAt: (operation) => Effect.sync(() => void (machine.cutAt = operation)),
    crash: Effect.sync(() => {
      loseNames(machine, machine.root)
      countNames(machine)
      machine.boots += 1
      machine.cutAt = Number.POSITIVE_INFINITY
      machine.powered = true
    }),
    plant: (path, what) => Effect.sync(() => plant(machine, path, what)),
    files: Effect.sync(
      () =>
        new Map(
          Array.from(entriesBelow(machine.root, "")).flatMap(([path, node]) =>
            node.kind === "folder" ? [] : [[path, contentOf(node)] as const]
          )
        )
    ),
    openFiles: Effect.sync(() => machine.openFiles)
  })

const contentOf = (node: FileNode | OtherNode): Uint8Array =>
  node.kind === "file" ? node.content.buffer.slice(0, node.content.length) : new Uint8Array(0)

/** Settles each name that was not synced as before or as after, and then what is in the files that are left. */
const loseNames = (machine: Machine, folder: FolderNode): void => {
  for (const name of new Set([...folder.entries.keys(), ...folder.durable.keys()])) {
    const before = folder.durable.get(name)
    const after = folder.entries.get(name)
    const left = before === after || machine.random() < 0.5 ? after : before
    if (left === undefined) folder.entries.delete(name)
    else folder.entries.set(name, left)
  }
  folder.durable.clear()
  for (const [name, node] of folder.entries) {
    folder.durable.set(name, node)
    if (node.kind === "folder") loseNames(machine, node)
    if (node.kind === "file") loseContent(machine, node)
  }
}

/** How many names a file has is what is left of them. */
const countNames = (machine: Machine): void => {
  const named = Array.from(entriesBelow(machine.root, ""), ([, node]) => node)
  for (const node of named) if (node.kind !== "folder") node.links = 0
  for (const node of named) if (node.kind !== "folder") node.links += 1
}

const loseContent = (machine: Machine, node: FileNode): void => {
  const content: Content = { buffer: node.durable.slice(), length: node.durable.length }
  let blocks = node.durableBlocks
  const whole = Math.floor(machine.random() * (node.pending.length + 1))
  for (const [index, { bytes, offset }] of node.pending.entries()) {
    if (index > whole) break
    if (bytes === undefined) {
      if (index < whole) {
        cut(content, offset)
        blocks = Blocks.until(blocks, offset)
      }
      continue
    }
    const left = index < whole ? bytes : bytes.subarray(0, Math.floor(machine.random() * bytes.length))
    put(content, offset, left)
    blocks = Blocks.write(blocks, offset, left.length)
  }
  node.content = content
  node.blocks = blocks
  node.durableBlocks = blocks
  node.durable = content.buffer.slice(0, content.length)
  node.pending = []
}

const plant = (machine: Machine, path: DiskPath, what: Planted): void => {
  machine.ticks += 1n
  let folder = machine.root
  for (const part of path.slice(0, -1)) {
    const next = folder.entries.get(part)
    folder =
      next?.kind === "folder" ? next : plantIn(machine, folder, part, newFolder(machine, folder.device, machine.ticks))
  }
  plantIn(machine, folder, path.at(-1) ?? "", nodeOf(machine, what))
}

const plantIn = <N extends Node>(machine: Machine, folder: FolderNode, name: string, node: N): N => {
  unlink({ folder, name }, machine.ticks)
  folder.durable.set(name, node)
  return link({ folder, name }, node, machine.ticks)
}

const nodeOf = (machine: Machine, what: Planted): Node => {
  switch (what.kind) {
    case "file": {
      const file = newFile(machine, machine.ticks)
      put(file.content, 0, what.content)
      file.blocks = Blocks.write(Blocks.none, 0, what.content.length)
      file.durable = what.content.slice()
      file.durableBlocks = file.blocks
      return file
    }
    case "folder":
      return newFolder(machine, rootDevice, machine.ticks)
    case "mount-point":
      return newFolder(machine, otherDevice, machine.ticks)
    case "link":
    case "special":
      return { kind: what.kind, inode: (machine.inodes += 1n), links: 0 }
  }
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const fault = (operation: string, code: string): DiskError => new DiskError({ operation, code })

const isError = (value: unknown): value is DiskError => value instanceof DiskError
