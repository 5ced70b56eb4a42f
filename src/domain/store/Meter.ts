/**
 * Quotas: how much the folders hold whose owners have one, and what is reserved for uploads under way.
 *
 * ## Contract
 *
 * - What a folder holds is counted once, when an upload first asks, by listing it; from then on every change that goes
 *   through a metered store of this meter is added. Nothing is written down: a restart counts again.
 * - A staging reserves what it would add: its size less that of the file it replaces, and a file when there is none.
 *   The end of its scope gives back what no commit has used. A commit looks again at what it replaces, and fails with
 *   `QuotaExceeded` when the change does not fit any more. So a folder that only metered stores change never holds more
 *   than the quota under which they change it.
 * - What others change below the served root is seen by a new count: at most every `quotaRecountMillisecondsMin` when
 *   an upload would be refused, and at the latest after `quotaRecountMillisecondsMax`. A commit during a count, and one
 *   that was interrupted, may be counted twice until the next one; never not at all.
 */
import { type Cause, Context, Effect, Exit, Layer, Option, Result, type Scope, Semaphore, Stream } from "effect"
import { type FileName, key } from "../file/FileName.ts"
import { fileBytesMax, quotaRecountMillisecondsMax, quotaRecountMillisecondsMin } from "../limits.ts"
import type { FileEntry } from "../file/FileEntry.ts"
import * as Bytes from "../Bytes.ts"
import * as Monotonic from "../Monotonic.ts"
import {
  FileStore,
  type Outcomes,
  type RemoveRequest,
  type RenameRequest,
  type Renamed,
  type SmallFile,
  type StageRequest,
  type Staging
} from "./FileStore.ts"
import * as KeyedLock from "./KeyedLock.ts"
import * as SmallFiles from "./SmallFiles.ts"
import { QuotaExceeded, type StoreError } from "./StoreError.ts"

/** What a folder may hold; what is absent is not limited. */
export interface Quota {
  readonly bytes?: number
  readonly files?: number
}

/** Bytes and files. */
export interface Amount {
  readonly bytes: number
  readonly files: number
}

/** What a folder holds, and what is reserved on top of that. */
export interface Usage {
  readonly used: Amount
  readonly reserved: Amount
}

export class Meter extends Context.Service<
  Meter,
  {
    /**
     * The store, with its changes counted. Names are those of the whole store.
     *
     * @param root the folder whose content counts against the quota; undefined: everything
     * @param quota what holds now; undefined: no quota, and nothing is counted for it
     */
    readonly storeFor: (root: FileName | undefined, quota: () => Quota | undefined) => FileStore["Service"]
    /** What is known of a folder; undefined when nobody with a quota has uploaded to it since the start. */
    readonly usage: (root: FileName | undefined) => Effect.Effect<Usage | undefined>
  }
>()("paradrop/store/Meter") {
  static readonly layer: Layer.Layer<Meter, never, FileStore> = Layer.effect(
    Meter,
    Effect.map(FileStore, (store) => {
      const meter: State = { store, folders: new Map(), resuming: new Map(), lockName: KeyedLock.make() }
      return Meter.of({
        storeFor: (root, quota) => ({
          ...store,
          stage: (request) => stage(meter, root, quota, request),
          placeAll: (files, target) => placeAll(meter, root, quota, files, target),
          remove: (request) => remove(meter, request),
          rename: (request) => rename(meter, request)
        }),
        usage: (root) => Effect.sync(() => usageOf(meter.folders.get(root ?? "")))
      })
    })
  )
}

interface Folder {
  /** undefined: the whole store */
  readonly root: FileName | undefined
  used: { bytes: number; files: number }
  reserved: { bytes: number; files: number }
  /** what commits have added since the last count began */
  grown: { bytes: number; files: number }
  /** when the last count ended, milliseconds of the clock that never goes back; undefined before the first */
  counted: number | undefined
  /** goes up when a count begins and when it ends */
  counts: number
  readonly counting: Semaphore.Semaphore
}

interface State {
  readonly store: FileStore["Service"]
  /** those whose owners have a quota, by root: at most one for each account */
  readonly folders: Map<string, Folder>
  /** what is held by the newest staging of each `resume` key */
  readonly resuming: Map<string, Holding>
  /** a change of a name and what is counted for it go together */
  readonly lockName: KeyedLock.KeyedLock
}

const usageOf = (folder: Folder | undefined): Usage | undefined =>
  folder?.counted === undefined ? undefined : { used: { ...folder.used }, reserved: { ...folder.reserved } }

const folderOf = ({ folders }: State, root: FileName | undefined): Folder => {
  const known = folders.get(root ?? "")
  if (known !== undefined) return known
  const nothing = () => ({ bytes: 0, files: 0 })
  const made: Folder = {
    root,
    used: nothing(),
    reserved: nothing(),
    grown: nothing(),
    counted: undefined,
    counts: 0,
    counting: Semaphore.makeUnsafe(1)
  }
  folders.set(root ?? "", made)
  return made
}

/** The folders that the name is in. */
const around = ({ folders }: State, name: FileName): ReadonlyArray<Folder> =>
  Array.from(folders.values()).filter(({ root }) => root === undefined || name.startsWith(`${root}/`))

const add = (to: { bytes: number; files: number }, { bytes, files }: Amount): void => {
  to.bytes += bytes
  to.files += files
}

const negated = ({ bytes, files }: Amount): Amount => ({ bytes: -bytes, files: -files })

// -----------------------------------------------------------------------------
// Counting
// -----------------------------------------------------------------------------

/** Counts the folder, unless that was done in the last `age` milliseconds. */
const count = (meter: State, folder: Folder, age: number): Effect.Effect<void, StoreError> =>
  folder.counting.withPermits(1)(
    Effect.gen(function* () {
      const now = yield* Monotonic.now
      if (folder.counted !== undefined && now - folder.counted < age) return
      folder.grown = { bytes: 0, files: 0 }
      folder.counts += 1
      const there = yield* Stream.runFold(
        meter.store.list(folder.root === undefined ? {} : { folder: folder.root }),
        () => ({ bytes: 0, files: 0 }),
        (sum, { size }) => ({ bytes: sum.bytes + size, files: sum.files + 1 })
      )
      // Whether the listing has met what came meanwhile is not known: too much is safe, too little is not.
      folder.used = { bytes: there.bytes + folder.grown.bytes, files: there.files + folder.grown.files }
      folder.counts += 1
      folder.counted = yield* Monotonic.now
    })
  )

/** Of a large folder it takes long, and nothing has changed yet: it can be interrupted where what follows cannot. */
const countBefore = (meter: State, folder: Folder, age: number): Effect.Effect<void, StoreError> =>
  Effect.interruptible(count(meter, folder, age))

/** Why the amount does not fit, or undefined. */
const excess = (folder: Folder, quota: Quota, name: FileName, more: Amount): QuotaExceeded | undefined => {
  for (const limit of ["bytes", "files"] as const) {
    const allowed = quota[limit]
    const used = folder.used[limit] + folder.reserved[limit]
    // What makes a folder smaller always fits, also one that is beyond a quota that was lowered.
    if (allowed === undefined || more[limit] <= 0 || used + more[limit] <= allowed) continue
    return new QuotaExceeded({ name, limit, quota: allowed, used: Math.min(used, fileBytesMax), more: more[limit] })
  }
  return undefined
}

// -----------------------------------------------------------------------------
// Staging
// -----------------------------------------------------------------------------

/** What a file of `size` bytes at the name would add to what is there. */
const growth = (meter: State, name: FileName, size: number): Effect.Effect<Amount, StoreError> =>
  meter.store.stat(name).pipe(
    // Found under another spelling it is not the file that will be replaced: the store refuses that.
    Effect.map((live) => (live.name === name ? { bytes: size - live.size, files: 0 } : { bytes: size, files: 1 })),
    Effect.catchTag("NoSuchFile", () => Effect.succeed({ bytes: size, files: 1 }))
  )

const stage = Effect.fnUntraced(function* (
  meter: State,
  root: FileName | undefined,
  quota: () => Quota | undefined,
  request: StageRequest
): Effect.fn.Return<Staging, StoreError, Scope.Scope> {
  const { name, size } = request
  const held = yield* reserve(meter, root, quota, request)
  const staging = yield* meter.store.stage(request)
  const commit: Staging["commit"] = (expected) =>
    Effect.gen(function* () {
      if (around(meter, name).length === 0) {
        return yield* Effect.onExit(staging.commit(expected), (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit) || mayBeCommitted(exit.cause)) {
              changed(meter, name, { bytes: size, files: 1 }, undefined)
            }
          })
        ).pipe(Effect.uninterruptible)
      }
      const change = yield* growth(meter, name, size)
      const counts = countsOf(meter, name)
      yield* held.change(change)
      return yield* staging.commit(expected).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) held.use(change, counts)
            // It may have happened all the same: too much is counted then, and not too little.
            else if (mayBeCommitted(exit.cause)) held.use(change, undefined)
          })
        ),
        Effect.uninterruptible
      )
    }).pipe(meter.lockName(key(name)))
  return { ...staging, commit }
})

/** Together, where all of it fits; otherwise one by one, so that each is told for itself. */
const placeAll = (
  meter: State,
  root: FileName | undefined,
  quota: () => Quota | undefined,
  files: ReadonlyArray<SmallFile>,
  target: StageRequest["target"]
): Effect.Effect<Outcomes<FileEntry>> =>
  Effect.suspend(() => {
    const counted = quota() !== undefined || files.some(({ name }) => around(meter, name).length > 0)
    if (!counted) return Effect.tap(SmallFiles.placeAll(meter.store, files, target), begunMeanwhile(meter, files))
    const { placeAll: _, ...store } = meter.store
    const alone = Effect.suspend(() =>
      SmallFiles.placeAll({ ...store, stage: (request) => stage(meter, root, quota, request) }, files, target)
    )
    // Once now, so that no file waits for it: perhaps there is room again.
    const again = Effect.suspend(() =>
      quota() === undefined ? Effect.void : countBefore(meter, folderOf(meter, root), quotaRecountMillisecondsMin)
    )
    const together = Effect.orElseSucceed(placeTogether(meter, root, quota, files, target), () => undefined)
    return Effect.flatMap(together, (outcomes) =>
      outcomes === undefined ? Effect.andThen(Effect.ignore(again), alone) : Effect.succeed(outcomes)
    )
  }).pipe(Effect.uninterruptible)

/** Undefined, or fails, having changed nothing, when not all of it fits, or one changes what another adds. */
const placeTogether = Effect.fnUntraced(function* (
  meter: State,
  root: FileName | undefined,
  quota: () => Quota | undefined,
  files: ReadonlyArray<SmallFile>,
  target: StageRequest["target"]
): Effect.fn.Return<Outcomes<FileEntry> | undefined, StoreError> {
  const keys = new Set(files.map(({ name }) => key(name)))
  if (keys.size < files.length) return undefined
  const own = quota() === undefined ? undefined : folderOf(meter, root)
  if (own !== undefined) yield* countBefore(meter, own, quotaRecountMillisecondsMax)
  const placed = Effect.gen(function* () {
    const changes = yield* growths(meter, files)
    const held = reserveAll(meter, own, quota(), files, changes)
    if (held === undefined) return undefined
    const counts = files.map(({ name }) => countsOf(meter, name))
    return yield* SmallFiles.placeAll(meter.store, files, target).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          held.giveBack()
          for (const [index, { name }] of files.entries()) {
            const change = changes[index]
            const outcome = Exit.isSuccess(exit) ? exit.value[index] : undefined
            if (change === undefined) continue
            if (outcome !== undefined && Result.isSuccess(outcome)) changed(meter, name, change, counts[index])
            // It may have happened all the same: too much is counted then, and not too little.
            else if (outcome === undefined || isUnsure(outcome.failure)) {
              changed(meter, name, change, undefined)
            }
          }
        })
      )
    )
  })
  return yield* meter.lockName.all(keys)(placed)
})

/** What each would add to what is there. */
const growths = Effect.fnUntraced(function* (meter: State, files: ReadonlyArray<SmallFile>) {
  const names = files.map(({ name }) => name)
  const there = new Set(yield* SmallFiles.present(meter.store, names))
  return yield* Effect.forEach(files, ({ name, parts }) => {
    const size = Bytes.lengthOf(parts)
    return there.has(name) ? growth(meter, name, size) : Effect.succeed<Amount>({ bytes: size, files: 1 })
  })
})

/** Reserves all of it in one step, in every folder that some of it is in; undefined when it does not fit. */
const reserveAll = (
  meter: State,
  own: Folder | undefined,
  quota: Quota | undefined,
  files: ReadonlyArray<SmallFile>,
  changes: ReadonlyArray<Amount>
): { readonly giveBack: () => void } | undefined => {
  const amounts = new Map<Folder, { bytes: number; files: number }>()
  for (const [index, { name }] of files.entries()) {
    const { bytes, files } = changes[index] ?? { bytes: 0, files: 0 }
    for (const folder of around(meter, name)) {
      const amount = amounts.get(folder) ?? { bytes: 0, files: 0 }
      // What becomes smaller makes room only once it has.
      add(amount, { bytes: Math.max(0, bytes), files: Math.max(0, files) })
      amounts.set(folder, amount)
    }
  }
  const [first] = files
  const more = own && amounts.get(own)
  if (own && more && first && excess(own, quota ?? {}, first.name, more) !== undefined) return undefined
  for (const [folder, amount] of amounts) add(folder.reserved, amount)
  return {
    giveBack: () => {
      for (const [folder, amount] of amounts) add(folder.reserved, negated(amount))
    }
  }
}

/** A count that has begun since may not have met what came: too much is safe, too little is not. */
const begunMeanwhile =
  (meter: State, files: ReadonlyArray<SmallFile>) =>
  (outcomes: Outcomes<FileEntry>): Effect.Effect<void> =>
    Effect.sync(() => {
      if (meter.folders.size === 0) return
      for (const [index, { name, parts }] of files.entries()) {
        const outcome = outcomes[index]
        // It may have happened all the same.
        if (outcome !== undefined && Result.isFailure(outcome) && !isUnsure(outcome.failure)) continue
        changed(meter, name, { bytes: Bytes.lengthOf(parts), files: 1 }, undefined)
      }
    })

const remove = (meter: State, request: RemoveRequest): Effect.Effect<FileEntry, StoreError> =>
  Effect.suspend(() => {
    const counts = countsOf(meter, request.name)
    return Effect.map(meter.store.remove(request), (entry) => {
      changed(meter, entry.name, { bytes: -entry.size, files: -1 }, counts)
      return entry
    })
  }).pipe(meter.lockName(key(request.name)))

/** A rename within a folder adds nothing to it; one between two takes from the one and adds to the other. */
const rename = (meter: State, request: RenameRequest): Effect.Effect<Renamed, StoreError> =>
  Effect.gen(function* () {
    const { name, to } = request
    const counts = new Map([...countsOf(meter, name), ...countsOf(meter, to)])
    const entering = around(meter, to).some(({ root }) => root !== undefined && !name.startsWith(`${root}/`))
    const moving = entering ? yield* Effect.option(meter.store.stat(name)) : Option.none()
    return yield* Effect.onExit(meter.store.rename(request), (exit) =>
      Effect.gen(function* () {
        if (Exit.isSuccess(exit)) {
          const { entry, from, replaced } = exit.value
          changed(meter, from, { bytes: -entry.size, files: -1 }, counts)
          changed(meter, entry.name, { bytes: entry.size, files: 1 }, counts)
          if (replaced !== undefined) changed(meter, entry.name, { bytes: -replaced.size, files: -1 }, counts)
        } else if (around(meter, to).length > 0 && mayHaveHappened(exit.cause)) {
          const moved = Option.isSome(moving) ? moving : yield* Effect.option(meter.store.stat(to))
          if (Option.isSome(moved)) perhapsMoved(meter, request, moved.value.size, counts)
        }
      })
    )
  }).pipe(lockBoth(meter, key(request.name), key(request.to)))

/** Too much is counted then, and not too little. */
const perhapsMoved = (meter: State, { name, to }: RenameRequest, size: number, counts: Counts): void => {
  const from = new Set(around(meter, name))
  for (const folder of around(meter, to)) {
    const more = { bytes: size, files: 1 }
    // What stayed in a folder added nothing to it, but a count may have met neither name.
    if (!from.has(folder) || counts.get(folder) !== folder.counts) add(folder.used, more)
    add(folder.grown, more)
  }
}

/** Always in the same order, so that two never wait for each other. */
const lockBoth = ({ lockName }: State, one: string, other: string): ReturnType<KeyedLock.KeyedLock> =>
  one === other
    ? lockName(one)
    : (effect) => lockName(one < other ? one : other)(lockName(one < other ? other : one)(effect))

/** The store lets nobody interrupt a commit but where it has changed nothing yet. */
const mayBeCommitted = (cause: Cause.Cause<StoreError>): boolean =>
  cause.reasons.some((reason) => (reason._tag === "Fail" ? isUnsure(reason.error) : reason._tag === "Die"))

const mayHaveHappened = (cause: Cause.Cause<StoreError>): boolean =>
  cause.reasons.some((reason) => reason._tag !== "Fail" || isUnsure(reason.error))

/** Whether something may have changed all the same. */
const isUnsure = ({ _tag }: StoreError): boolean => _tag === "StoreFailed" || _tag === "NoAccess"

/** What is reserved, and where. */
interface Holding {
  amount: Amount
  folders: ReadonlyArray<Folder>
}

/** What one staging has reserved in the folders around its name. */
interface Held {
  /** Makes the reservation what the change really is; fails when that does not fit. */
  readonly change: (to: Amount) => Effect.Effect<void, QuotaExceeded>
  /** The change has happened. `counts` are from before it; undefined: they are not to be relied on. */
  readonly use: (change: Amount, counts: Counts | undefined) => void
}

/** How often each folder was counted; another number means that a count may have met the change. */
type Counts = ReadonlyMap<Folder, number>

/** Counts a change in every folder that it is in. */
const changed = (meter: State, name: FileName, change: Amount, counts: Counts | undefined): void => {
  const grown = { bytes: Math.max(0, change.bytes), files: Math.max(0, change.files) }
  for (const folder of around(meter, name)) {
    add(folder.used, counts?.get(folder) === folder.counts ? change : grown)
    add(folder.grown, grown)
  }
}

const countsOf = (meter: State, name: FileName): Counts =>
  new Map(around(meter, name).map((folder) => [folder, folder.counts]))

/** Who takes over from an older staging of the key goes on with what that holds: it is the same file. */
const takeOver = ({ resuming }: State, resume: string, holding: Holding) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const older = resuming.get(resume)
      resuming.set(resume, holding)
      if (older === undefined) return
      Object.assign(holding, older)
      Object.assign(older, { amount: { bytes: 0, files: 0 }, folders: [] })
    }),
    () => Effect.sync(() => resuming.get(resume) === holding && resuming.delete(resume))
  )

const reserve = Effect.fnUntraced(function* (
  meter: State,
  root: FileName | undefined,
  quota: () => Quota | undefined,
  { name, resume, size }: StageRequest
): Effect.fn.Return<Held, StoreError, Scope.Scope> {
  // A quota that comes later holds for the stagings that come later.
  const own = quota() === undefined ? undefined : folderOf(meter, root)
  const holding: Holding = { amount: { bytes: 0, files: 0 }, folders: [] }
  const giveBack = (): void => {
    for (const folder of holding.folders) add(folder.reserved, negated(holding.amount))
    Object.assign(holding, { amount: { bytes: 0, files: 0 }, folders: [] })
  }

  const change = (to: Amount): Effect.Effect<void, QuotaExceeded> =>
    // Looking and taking are one step: uploads that begin at once cannot share the last byte.
    Effect.suspend(() => {
      const more = { bytes: to.bytes - holding.amount.bytes, files: to.files - holding.amount.files }
      const problem = own && excess(own, quota() ?? {}, name, more)
      if (problem !== undefined) return Effect.fail(problem)
      giveBack()
      // What becomes smaller makes room only once it has.
      holding.amount = { bytes: Math.max(0, to.bytes), files: Math.max(0, to.files) }
      holding.folders = around(meter, name)
      for (const folder of holding.folders) add(folder.reserved, holding.amount)
      return Effect.void
    })

  // Also what a commit takes in a folder that is first counted after this.
  yield* Effect.addFinalizer(() => Effect.sync(giveBack))
  if (own !== undefined) yield* count(meter, own, quotaRecountMillisecondsMax)
  if (resume !== undefined) yield* takeOver(meter, resume, holding)
  if (around(meter, name).length > 0) {
    const first = change(yield* growth(meter, name, size))
    // Before somebody is refused: perhaps there is room again.
    const again = own === undefined ? first : Effect.andThen(count(meter, own, quotaRecountMillisecondsMin), first)
    yield* Effect.catchTag(first, "QuotaExceeded", () => again)
  }
  return {
    change,
    use: (used, counts) => {
      giveBack()
      changed(meter, name, used, counts)
    }
  }
})
