/**
 * A local file on its way: written beside its destination, verified, made durable, and moved there in one step. What
 * ends early may be left there, and gone on with.
 *
 * It works on the narrow `Disk` port, so that tests can fill and crash the disk below it.
 */
import { bytesToHex } from "@noble/hashes/utils.js"
import { Clock, Effect, Exit, Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../domain/Bytes.ts"
import { Digest } from "../domain/file/Digest.ts"
import { mayRun, millisecondsMax } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import {
  fileBytesMax,
  headBytes,
  nameSegmentBytesMax,
  resumeBytesMin,
  stagedLeftoverMillisecondsMax,
  sweptEntriesMax,
  takenOverCheckBytes
} from "../domain/limits.ts"
import type { Disk, DiskError, DiskFile, DiskStat } from "../domain/store/Disk.ts"
import * as DiskClone from "../domain/store/DiskClone.ts"
import * as ReadWindow from "../domain/store/ReadWindow.ts"
import { isFull } from "../domain/SystemCode.ts"
import { shortDigest } from "../domain/transfer/Signature.ts"
import { LocalFileFailed } from "./ClientError.ts"
import { type Declared, Durability, type Leftover, type LocalStaging } from "./LocalFiles.ts"

/** Where a file goes. */
export interface Destination {
  /** the destination as the person named it */
  readonly path: string
  /** the destination's folder */
  readonly disk: Disk["Service"]
  /** the destination inside that folder */
  readonly name: string
  /**
   * Runs on the file before anything is written: it gets the permissions of what it replaces, and such that its owner
   * can go on with it. Gives what is to be done before it has its name.
   */
  readonly prepare: (temporary: string) => Effect.Effect<Effect.Effect<void, DiskError>, DiskError>
  /** temporary names that this process uses now: nobody else in it takes them */
  readonly held: Set<string>
  /** Whether its file system may have clones: not once it has said that it has none. */
  readonly cloning: DiskClone.Context["cloning"]
  /** Told of a temporary name that may stay: for a disk whose listing is of an earlier time. */
  readonly left?: (temporary: string) => void
}

/** Where new content goes and what it is declared to be. */
export interface StageRequest extends Destination, Declared {}

/** What staging needs. */
export type Services = Digest | Scope.Scope | SecureRandom.SecureRandom

/** Begins new content. Closing the scope without a commit removes it, or keeps it when it is resumable. */
export const stage = Effect.fnUntraced(function* (
  request: StageRequest
): Effect.fn.Return<LocalStaging, LocalFileFailed, Services> {
  const { disk, name, path, prepare, size } = request
  const failed = ({ code }: { readonly code: string }) => writeFailed(path, code)
  // It would be taken for what was left of another one, and be gone with that.
  if (isTemporary(name)) return yield* writeFailed(path, "temporary-name")
  const access = yield* Effect.mapError(checkDestination(disk, name), failed)
  if (isResumable(request)) yield* sweep(request)
  if (size > (yield* Effect.mapError(disk.freeBytes, failed))) return yield* writeFailed(path, "ENOSPC")

  const temporary = temporaryName(name, isResumable(request) ? request : undefined, yield* random)
  yield* hold(request, temporary)
  const state = newState(0)
  const file = yield* Effect.acquireRelease(Effect.mapError(disk.create([temporary], access), failed), () =>
    release(request, temporary, state)
  )
  const finish = yield* Effect.mapError(prepare(temporary), failed)
  yield* begin(request, temporary, file, state)
  return staging(request, yield* Digest, { file: state.clone?.file ?? file, temporary, state, finish })
})

/** Puts a clone of the older copy in the place of the new file, where there can be one. */
const begin = Effect.fnUntraced(function* (request: StageRequest, temporary: string, file: DiskFile, state: State) {
  const { base, cloning, disk, name, size } = request
  if (base === undefined) return
  const context = { disk, digest: yield* Digest, durable: (yield* Durability) === "full", cloning }
  // Until it is a clone that says itself how far it is, it has a name that nobody goes on with.
  const path = temporaryName(name, undefined, yield* random)
  const create = () => prepared(request, path)
  const staged = { path: [temporary], file, length: 0 }
  state.clone = yield* Effect.acquireRelease(
    DiskClone.begin({ context, size, staged, from: base, path: [path], create }),
    (clone) => {
      const cut = state.clone === undefined ? Effect.void : DiskClone.cut(context, state.clone.file, state.written)
      return Effect.andThen(cut, clone?.file.close ?? Effect.void)
    }
  )
})

/** A new file that has its permissions before it has any content. */
const prepared = Effect.fnUntraced(function* ({ disk, name, prepare }: Destination, path: string) {
  const access = yield* checkDestination(disk, name)
  const file = yield* DiskClone.opened(disk.create([path], access))
  const undone = Effect.andThen(file.close, Effect.ignore(disk.remove([path])))
  yield* Effect.onError(prepare(path), () => undone)
  return file
})

/** Takes the newest of what earlier stagings have left. */
export const leftover = Effect.fnUntraced(function* (
  destination: Destination
): Effect.fn.Return<Leftover | undefined, never, Services> {
  const { disk, name, path, prepare } = destination
  const digest = yield* Digest
  const found = yield* leftovers(disk, name)
  for (const { declared, entry, stat } of found.toSorted((a, b) => Number(b.age - a.age))) {
    if (destination.held.has(entry) || declared === undefined || !isAlone(stat) || stat.size < resumeBytesMin) continue
    const temporary = temporaryName(name, declared, yield* random)
    yield* hold(destination, temporary)
    const isClone = stat.size > declared.size
    // Of its own: a file that is removed takes its room until it is closed, and what comes instead needs that.
    const scope = yield* Scope.fork(yield* Effect.scope)
    const close = Scope.close(scope, Exit.void)
    const taking = isClone ? takeClone(destination, entry, temporary, declared) : take(disk, entry, temporary)
    // Whoever is interrupted in the middle has taken it: under its new name somebody must find it again.
    const taken = yield* Effect.uninterruptible(
      Effect.tap(Scope.provide(taking, scope), () => Effect.sync(() => destination.left?.(temporary)))
    )
    if (taken === undefined) continue
    const { file, size: from } = taken
    const head = yield* Effect.option(file.read(0, Math.min(headBytes, declared.size)))
    if (head._tag === "None") continue
    const failed = ({ code }: { readonly code: string }) => writeFailed(path, code)
    const resume = Effect.fnUntraced(function* (executable?: true) {
      const request = { ...destination, ...declared, ...mayRun(executable), resumable: true }
      const state = newState(from)
      yield* Effect.addFinalizer(() =>
        Effect.andThen(
          release(request, temporary, state),
          Effect.suspend(() => (isKept(request, state) ? Effect.void : close))
        )
      )
      yield* Effect.mapError(checkDestination(disk, name), failed)
      if (declared.size - from > (yield* Effect.mapError(disk.freeBytes, failed))) {
        return yield* writeFailed(path, "ENOSPC")
      }
      const finish = yield* Effect.mapError(prepare(temporary), failed)
      return staging(request, digest, { file, temporary, state, finish })
    })
    const drop = Effect.andThen(Effect.ignore(disk.remove([temporary])), close)
    return { ...declared, from, head: shortDigest(digest, [head.value]), resume, drop }
  }
  return undefined
})

/**
 * A file with a second name may be something else of the person's. Another user's stays his: he could read what is
 * written to it, and change it once it has been verified.
 */
const isAlone = ({ links, own }: DiskStat): boolean => links === 1 && own

const hold = ({ held }: Destination, temporary: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void held.add(temporary)),
    () => Effect.sync(() => void held.delete(temporary))
  )

// -----------------------------------------------------------------------------
// One staging
// -----------------------------------------------------------------------------

/** How far a staging is. */
interface State {
  written: number
  /** as which it began, until it is whole */
  clone: DiskClone.Clone | undefined
  /** It has its name, and is nothing temporary any more. */
  moved: boolean
  /** Something was wrong with it: not worth going on with. */
  broken: boolean
}

const newState = (written: number): State => ({ written, clone: undefined, moved: false, broken: false })

const isResumable = ({ resumable = false, size }: Declared): boolean => resumable && size >= resumeBytesMin

const isKept = (request: StageRequest, state: State): boolean =>
  state.moved || (isResumable(request) && !state.broken && state.written >= resumeBytesMin)

const release = (request: StageRequest, temporary: string, state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!isKept(request, state)) return Effect.ignore(request.disk.remove([temporary]))
    if (!state.moved) request.left?.(temporary)
    return Effect.void
  })

interface Opened {
  readonly file: DiskFile
  readonly temporary: string
  readonly state: State
  /** what `prepare` has left to be done */
  readonly finish: Effect.Effect<void, DiskError>
}

const staging = (
  request: StageRequest,
  digest: Digest["Service"],
  { file, finish, state, temporary }: Opened
): LocalStaging => {
  const { disk, modified, name, path, size } = request
  const executable = request.executable === true
  const isResumed = state.written > 0
  const failed = ({ code }: { readonly code: string }) => writeFailed(path, code)
  const spoils = <A>(effect: Effect.Effect<A, LocalFileFailed>): Effect.Effect<A, LocalFileFailed> =>
    Effect.tapError(effect, ({ code }) =>
      // A disk that was full has taken a beginning, and what is written from there on is the rest of it.
      Effect.sync(() => void (state.broken ||= !isFull(code)))
    )
  let hasher = digest.make()
  // What an earlier staging has left is hashed at the end, so that new bytes may come at once.
  let hashed = 0
  let checked = state.written

  /** Whoever goes on with it has given it another name. */
  const ours = Effect.suspend(() => {
    if (!isResumable(request) || state.written - checked < takenOverCheckBytes) return Effect.void
    checked = state.written
    return Effect.asVoid(disk.stat([temporary]))
  }).pipe(Effect.mapError(takenOver(path)))

  const write = Effect.fnUntraced(function* (
    parts: Bytes.Parts,
    from?: number
  ): Effect.fn.Return<void, LocalFileFailed> {
    const { clone } = state
    const length = Bytes.lengthOf(parts)
    if (length > size - state.written) return yield* spoils(writeFailed(path, "size-mismatch"))
    yield* ours
    // A write that fails ends the staging, and its digest with it.
    if (hashed === state.written) {
      for (const part of parts) hasher.update(part)
      hashed += length
    }
    const kept = clone !== undefined && from === state.written && from + length <= clone.from.size
    if (!kept) yield* spoils(Effect.mapError(file.write(state.written, parts), failed))
    state.written += length
    if (clone !== undefined) yield* spoils(Effect.mapError(clone.reached(state.written, !kept), failed))
  }, Effect.uninterruptible)

  const catchUp = Effect.gen(function* () {
    const range = { offset: hashed, length: state.written - hashed }
    hashed += yield* ReadWindow.forEachBlock(ReadWindow.make(file, state.written), range, (block) =>
      Effect.sync(() => hasher.update(block))
    )
    if (hashed < state.written) return yield* writeFailed(path, "EIO")
  })

  const verify = Effect.fnUntraced(function* (expected: Parameters<LocalStaging["commit"]>[0]) {
    const { written } = state
    if (written !== expected.size || written !== size) return yield* writeFailed(path, "size-mismatch")
    // What was hashed was read of the older copy: it counts for the clone as long as that is what was cloned.
    if (state.clone !== undefined && !(yield* Effect.isSuccess(state.clone.from.unchanged))) {
      hasher = digest.make()
      hashed = 0
    }
    yield* Effect.mapError(catchUp, failed)
    if (hasher.digest() !== expected.digest) return yield* writeFailed(path, "digest-mismatch")
  })

  const place = Effect.gen(function* () {
    yield* Effect.mapError(disk.rename([temporary], [name]), takenOver(path))
    state.moved = true
    if ((yield* Durability) === "full") yield* Effect.mapError(disk.syncFolder([]), failed)
  }).pipe(Effect.uninterruptible)

  return {
    write,
    commit: Effect.fnUntraced(function* (expected) {
      yield* spoils(verify(expected))
      if (state.clone !== undefined) yield* Effect.mapError(file.truncate(size), failed)
      state.clone = undefined
      yield* Effect.mapError(finish, takenOver(path))
      // What it replaces has given it no such bit, but a commit that failed may have.
      if (executable || isResumed) yield* Effect.mapError(file.setExecutable(executable), failed)
      yield* Effect.mapError(file.setModified(modified), failed)
      if ((yield* Durability) === "full") yield* Effect.mapError(file.sync, failed)
      yield* place
    })
  }
}

const writeFailed = (path: string, code: string): LocalFileFailed =>
  new LocalFileFailed({ path: printable(path), operation: "write", code })

const takenOver =
  (path: string) =>
  ({ code }: DiskError): LocalFileFailed =>
    writeFailed(path, code === "ENOENT" ? "taken-over" : code)

/**
 * Only a file or a link may be replaced: a rename would also replace a device. Gives whose the new file is until it has
 * the permissions of the one that it replaces: whoever opened it before would read on with that.
 */
const checkDestination = (
  disk: Disk["Service"],
  name: string
): Effect.Effect<"private" | undefined, { readonly code: string }> =>
  disk.stat([name]).pipe(
    Effect.flatMap(({ kind }) =>
      kind === "folder"
        ? Effect.fail({ code: "EISDIR" })
        : kind === "special"
          ? Effect.fail({ code: "ENOTREG" })
          : Effect.succeed(kind === "file" ? ("private" as const) : undefined)
    ),
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.undefined
    )
  )

// -----------------------------------------------------------------------------
// What earlier stagings have left
// -----------------------------------------------------------------------------

interface Found {
  readonly entry: string
  readonly declared: Version | undefined
  readonly stat: DiskStat
  /** nanoseconds: when it last changed, which nobody can set back */
  readonly age: bigint
}

/** All files beside the destination that carry its name as temporary ones do. What cannot be read is not there. */
const leftovers = (disk: Disk["Service"], name: string): Effect.Effect<ReadonlyArray<Found>> =>
  disk.list([]).pipe(
    Stream.filter(({ kind }) => kind === "file"),
    Stream.map((entry) => ({ entry: entry.name, parsed: parseTemporary(name, entry.name) })),
    Stream.filter(({ parsed }) => parsed !== undefined),
    Stream.runCollect,
    Effect.flatMap(
      Effect.forEach(({ entry, parsed }) =>
        Effect.option(
          Effect.map(disk.stat([entry]), (stat) => ({
            entry,
            declared: parsed?.declared,
            stat,
            age: stat.changedNanoseconds
          }))
        )
      )
    ),
    Effect.map((all) => all.flatMap((one) => (one._tag === "Some" ? [one.value] : []))),
    Effect.orElseSucceed(() => [])
  )

/**
 * Removes what stagings have left in the folder long ago, of whatever name: a small file is not gone on with, and the
 * next try of another may be one of another name. Of a large folder it looks at a part: nobody waits for it.
 */
export const sweep = Effect.fnUntraced(function* ({ disk, held }: Pick<Destination, "disk" | "held">) {
  const found = yield* disk.list([]).pipe(
    Stream.take(sweptEntriesMax),
    Stream.filter(({ kind, name }) => kind === "file" && isTemporary(name) && !held.has(name)),
    Stream.runCollect,
    Effect.orElseSucceed(() => [])
  )
  if (found.length === 0) return
  const oldest = BigInt((yield* Clock.currentTimeMillis) - stagedLeftoverMillisecondsMax) * nanosecondsPerMillisecond
  for (const { name } of found) {
    const stat = yield* Effect.option(disk.stat([name]))
    if (stat._tag === "Some" && stat.value.changedNanoseconds < oldest) yield* Effect.ignore(disk.remove([name]))
  }
})

const nanosecondsPerMillisecond = 1_000_000n

/**
 * What is left of a clone is gone on with in a clone of it: whoever is still alive and has that one open may write
 * behind its end, or cut it.
 */
const takeClone = Effect.fnUntraced(
  function* (destination: Destination, entry: string, temporary: string, declared: Version) {
    const { disk, name } = destination
    const left = yield* disk.openRead([entry])
    const done = yield* DiskClone.doneOf(yield* Digest, left, (yield* left.stat).size, declared.size)
    if (done === undefined || done < resumeBytesMin) return undefined
    const path = temporaryName(name, undefined, yield* random)
    const file = yield* Effect.acquireRelease(prepared(destination, path), ({ close }) => close)
    yield* Effect.gen(function* () {
      yield* file.cloneFrom(left)
      yield* file.truncate(done)
      yield* disk.rename([entry], [temporary])
      yield* disk.rename([path], [temporary])
    }).pipe(Effect.onError(() => Effect.ignore(disk.remove([path]))))
    return { file, size: done }
  },
  Effect.orElseSucceed(() => undefined)
)

/** Another name makes it ours: of two renames of one file one finds nothing. */
const take = (disk: Disk["Service"], entry: string, temporary: string) =>
  Effect.gen(function* () {
    yield* disk.rename([entry], [temporary])
    const file = yield* disk.openWrite([temporary])
    const stat = yield* file.stat
    // Another one may have come into its place since it was looked at.
    return isAlone(stat) ? { file, size: stat.size } : undefined
  }).pipe(Effect.orElseSucceed(() => undefined))

// -----------------------------------------------------------------------------
// Temporary names
// -----------------------------------------------------------------------------

/** What a name says of what is staged. */
export interface Version {
  readonly size: number
  readonly modified: number
}

/** What makes a temporary name another than all others: 24 hex digits. */
export const random = Effect.flatMap(SecureRandom.SecureRandom, ({ randomBytes }) =>
  Effect.map(randomBytes(temporaryRandomBytes), bytesToHex)
)

// 96 bits: two never meet.
const temporaryRandomBytes = 12

/** `.NAME.RANDOM.part`, hidden; between them what it is the beginning of, when it may be gone on with. */
export const temporaryName = (name: string, version: Version | undefined, random: string): string => {
  const end = `${version === undefined ? "" : `.${version.size}-${version.modified}`}.${random}.part`
  return `.${fitting(name, nameSegmentBytesMax - end.length - 1)}${end}`
}

const temporaryPattern = /^\.(.+?)((?:\.(\d{1,16})-(\d{1,16}))?\.[0-9a-f]{24}\.part)$/su

/** Whether a file may be one of ours on its way, or what was left of one: no file of the person's. */
export const isTemporary = (entry: string): boolean => temporaryPattern.test(entry)

/** Undefined for what is no temporary name of this destination. */
const parseTemporary = (name: string, entry: string): { readonly declared: Version | undefined } | undefined => {
  const [, kept = "", end = "", size, modified] = temporaryPattern.exec(entry) ?? []
  if (kept === "" || kept !== fitting(name, nameSegmentBytesMax - end.length - 1)) return undefined
  const declared = { size: Number(size), modified: Number(modified) }
  // Names come from elsewhere as well: no file has such a size or time, and no server can be asked for it.
  return { declared: declared.size <= fileBytesMax && declared.modified <= millisecondsMax ? declared : undefined }
}

/**
 * A name in so many bytes. Of one that would be too long for a file system it is the beginning, and what tells it from
 * others that begin like it: a download of one must not take what is another's.
 */
const fitting = (name: string, bytesMax: number): string => {
  if (Bytes.utf8Length(name) <= bytesMax) return name
  const mark = `~${markOf(name)}`
  return cut(name, bytesMax - mark.length) + mark
}

/** FNV-1a of 64 bits, in hex: who makes two names alike in it on purpose loses only what is left of his downloads. */
const markOf = (name: string): string =>
  Bytes.fromUtf8(name)
    .reduce((hash, byte) => BigInt.asUintN(64, (hash ^ BigInt(byte)) * fnvPrime), fnvOffset)
    .toString(16)
    .padStart(16, "0")

const fnvOffset = 0xcbf29ce484222325n
const fnvPrime = 0x100000001b3n

/** The beginning of a name that fits into so many bytes. */
const cut = (name: string, bytesMax: number): string => {
  let room = bytesMax
  let kept = ""
  for (const character of name) {
    room -= Bytes.utf8Length(character)
    if (room < 0) break
    kept += character
  }
  return kept
}
