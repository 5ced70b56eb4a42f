/**
 * Many files in one command: several are under way at once, so that nothing waits for an answer that is on its way; one
 * that fails is reported and the rest goes on; one progress for all, and a summary at the end.
 *
 * What is under way is bounded: `bundlesAheadMax` bundles of small files, `filesAheadMax` files that are small and by
 * themselves, which hold memory, and `largeFilesAheadMax` others, which hold a descriptor. The loss of the session ends
 * all of them.
 */
import { Effect, Exit, Result, type Scope, Semaphore } from "effect"
import { type BundleCost, bundlesOf, costOfFile, costOfName } from "../domain/file/PackedFiles.ts"
import * as FileName from "../domain/file/FileName.ts"
import { bundlesAheadMax, filesAheadMax, largeFilesAheadMax, smallFileBytesMax } from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { OnCrossed } from "./Bundles.ts"
import type { LocalFileFailed, NamesCollide, RequestRefused, SourceMissing } from "./ClientError.ts"
import * as Failures from "./Failures.ts"
import type { LocalPlace } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"
import { Reporter, type TransferCommand } from "./Reporter.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

/** What concerns one file; everything else ends the command. */
export type FileError =
  FileName.NameRefused | LocalFileFailed | NamesCollide | RequestRefused | SourceMissing | SourceShrank

export const fileErrors = [
  "NameRefused",
  "LocalFileFailed",
  "NamesCollide",
  "RequestRefused",
  "SourceMissing",
  "SourceShrank"
] as const

/** What one file of many came to. */
export interface Moved {
  /** bytes */
  readonly size: number
  /** of them: bytes that did not have to be sent */
  readonly reused: number
  /** both ends had the same content before */
  readonly equal: boolean
  /** it did not move: it went */
  readonly removed?: boolean
}

/**
 * Moves several files in one request; gives what each came to, in their order. Undefined: it was not moved so, and has
 * to be moved by itself.
 */
export type Together<R> = (
  items: ReadonlyArray<Bundled>,
  /** whether each that was moved is reported */
  told: boolean,
  onCrossed: OnCrossed,
  /** told of one that is in place before all are: it stays there although the session may be lost */
  onMoved: (file: Bundled, moved: Moved) => void
) => Effect.Effect<ReadonlyArray<Result.Result<Moved, FileError> | undefined>, Exclude<NoSession, FileError>, R>

/** What one file is given that is moved as one of many. */
export interface Along {
  /** tells the progress of all */
  readonly onProgress: OnProgress
  /** whether its end is reported: of failures `Failures` says which are */
  readonly told: boolean
}

/** One file of many. */
export interface Item<R> {
  /** what a failure is reported about */
  readonly name: string
  /** bytes, when they are known before */
  readonly size: number | undefined
  readonly run: (along: Along) => Effect.Effect<Moved, FileError | NoSession, R>
  /** what it is in a bundle, when it may be moved together with others while it is small */
  readonly bundled?: Bundled | undefined
}

/** One file of a bundle. */
export interface Bundled {
  /** its name at the server */
  readonly name: FileName.FileName
  readonly place: LocalPlace
}

/** What is known before anything runs. */
export interface Before {
  /** files that were found equal */
  readonly equal: number
  /** files that failed, which was reported */
  readonly failed: number
  /** when the work began and what had crossed by then, when that was before the run: comparing is a part of it */
  readonly began?: Moment
}

/** What a run may be given beside its files. */
export interface Options<R> {
  readonly before?: Before
  /** what goes at the end, and only when nothing has failed, before or now */
  readonly removals?: ReadonlyArray<Item<R>>
  /** moves small files */
  readonly together?: Together<R>
  /** whether the end of each file is reported, and not only what failed and the sum of all; true without it */
  readonly told?: boolean
}

/**
 * Runs all of them, one list after the other; false when one failed, before or now.
 *
 * @param summarize false leaves the summary out when all went well
 */
export const run = Effect.fnUntraced(function* <R>(
  command: TransferCommand,
  lists: ReadonlyArray<ReadonlyArray<Item<R>>>,
  summarize: boolean,
  { before = { equal: 0, failed: 0 }, removals = [], together, told = true }: Options<R> = {}
): Effect.fn.Return<boolean, Exclude<NoSession, FileError>, R | Reporter | Sessions> {
  const reporter = yield* Reporter
  const began = before.began ?? (yield* moment)
  const total = { files: before.equal, equal: before.equal, failed: before.failed, removed: 0, size: 0, reused: 0 }
  const failures = Failures.make(reporter, command)
  const large = yield* Semaphore.make(largeFilesAheadMax)
  const count = ({ equal, removed, reused, size }: Moved): void => {
    if (removed === true) total.removed += 1
    else {
      total.files += 1
      total.equal += equal ? 1 : 0
      total.size += size
      total.reused += reused
    }
  }
  const moving = Effect.fnUntraced(function* (progress: OfAll) {
    const failed = ({ name }: Item<R>, error: FileError) => {
      total.failed += 1
      return failures.tell(name, error)
    }
    const alone = (item: Item<R>) => {
      const part = progress.part(item.size)
      const counted = item.run({ onProgress: part.onProgress, told }).pipe(
        Effect.map((moved) => {
          count(moved)
          part.ended()
        }),
        Effect.catchTag(fileErrors, (error) => {
          part.gaveUp()
          return failed(item, error)
        })
      )
      return (item.size ?? smallFileBytesMax + 1) > smallFileBytesMax ? large.withPermit(counted) : counted
    }
    const bundled = (move: Together<R>) =>
      Effect.fnUntraced(function* (bundle: ReadonlyArray<Item<R>>) {
        const part = progress.bundle()
        const counted = new Set<Bundled | undefined>()
        const countOnce = (file: Bundled | undefined, moved: Moved): void => {
          if (!counted.has(file)) count(moved)
          counted.add(file)
        }
        const outcomes = yield* move(
          bundle.flatMap((item) => item.bundled ?? []),
          told,
          part.onCrossed,
          countOnce
        )
        const others: Array<readonly [Item<R>, FileError | undefined]> = []
        bundle.forEach((item, index) => {
          const outcome = outcomes[index]
          if (outcome === undefined) others.push([item, undefined])
          else if (Result.isFailure(outcome)) others.push([item, outcome.failure])
          else {
            countOnce(item.bundled, outcome.success)
            part.moved(item.size, outcome.success)
          }
        })
        // What has crossed belongs first to those that are in place.
        for (const [item, error] of others) if (error !== undefined) part.gaveUp(item.size)
        part.ended()
        for (const [item, error] of others) yield* error === undefined ? alone(item) : failed(item, error)
      })
    const list = (all: ReadonlyArray<Item<R>>) => {
      const small = together === undefined ? [] : all.filter(isSmall)
      const others = small.length === 0 ? all : small.length === all.length ? [] : all.filter((item) => !isSmall(item))
      const inBundles =
        together === undefined
          ? Effect.void
          : forEachAsked(bundlesOf(small, costOf(command)), bundled(together), bundlesAheadMax)
      return Effect.all([inBundles, Effect.forEach(others, alone, { concurrency: filesAheadMax, discard: true })], {
        concurrency: 2,
        discard: true
      })
    }
    yield* Effect.forEach(lists, list, { discard: true })
    yield* removals.length > 0 && total.failed > 0 ? reporter.note(nothingRemoved, "bad") : list(removals)
  })
  const all = [...lists.flat(), ...removals]
  const outcome = yield* Effect.flatMap(progressOfAll(command, all), moving).pipe(Effect.scoped, Effect.exit)
  yield* failures.rest
  if (summarize || total.failed > 0 || Exit.isFailure(outcome)) {
    yield* reporter.summed({ command, ...total, ...(yield* since(began)) })
  }
  yield* outcome
  return total.failed === 0
})

/** What is said where removals were asked for and something has failed. */
export const nothingRemoved = "nothing is removed: something of the same command has failed"

/** One after the other, so many at once; the next is asked for when its turn has come. */
const forEachAsked = <A, E, R>(
  all: Iterator<A, void>,
  run: (one: A) => Effect.Effect<void, E, R>,
  atOnce: number
): Effect.Effect<void, E, R> => {
  const inTurn: Effect.Effect<void, E, R> = Effect.suspend(() => {
    const next = all.next()
    return next.done === true ? Effect.void : Effect.andThen(run(next.value), inTurn)
  })
  return Effect.all(
    Array.from({ length: atOnce }, () => inTurn),
    { concurrency: "unbounded", discard: true }
  )
}

const isSmall = <R>({ bundled, size }: Item<R>): boolean =>
  bundled !== undefined && size !== undefined && size <= smallFileBytesMax

/** What the server sends is cut by the server. */
const costOf =
  (command: TransferCommand) =>
  <R>({ bundled, size = 0 }: Item<R>): BundleCost => {
    const name = bundled?.name ?? ""
    const cost = command === "download" ? costOfName(name) : costOfFile(name, size)
    return { ...cost, folder: FileName.folder(name) }
  }

/** A moment of a command. */
interface Moment extends ReturnType<Sessions["Service"]["traffic"]> {
  /** milliseconds, of the monotonic clock */
  readonly at: number
}

/** What it is now, and what has crossed so far. */
export const moment: Effect.Effect<Moment, never, Sessions> = Effect.gen(function* () {
  return { ...(yield* Sessions).traffic(), at: yield* Monotonic.now }
})

/** What has crossed since, and how long that took. */
export const since = ({ at, received, sent }: Moment) =>
  Effect.map(moment, (now) => ({
    sent: now.sent - sent,
    received: now.received - received,
    milliseconds: Math.round(now.at - at)
  }))

/** What one file that moves by itself tells the progress of all. */
interface Part {
  readonly onProgress: OnProgress
  /** It is over, and went well. */
  readonly ended: () => void
  /** It has failed: what it lacked does not belong to the whole any more. */
  readonly gaveUp: () => void
}

/** One progress over all files. Sizes are those that were known before: undefined, and what turns out is added then. */
interface OfAll {
  readonly part: (size: number | undefined) => Part
  readonly bundle: () => OfBundle
}

/** What a bundle tells the progress of all: its content crosses first, then each of its files is in place or not. */
interface OfBundle {
  readonly onCrossed: OnCrossed
  readonly moved: (size: number | undefined, moved: Moved) => void
  readonly gaveUp: (size: number | undefined) => void
  /** Shows what has become of its files. */
  readonly ended: () => void
}

const progressOfAll = Effect.fnUntraced(function* <R>(
  command: TransferCommand,
  items: ReadonlyArray<Item<R>>
): Effect.fn.Return<OfAll, never, Reporter | Scope.Scope> {
  const follow = yield* (yield* Reporter).follow({ command, name: `${items.length} files` })
  const all = {
    done: 0,
    total: items.reduce((sum, { size = 0 }) => sum + size, 0),
    reused: 0
  }
  const files = { done: 0, total: items.length }
  const tell = () =>
    follow({
      ...all,
      phase: all.done >= all.total && files.done >= files.total ? "done" : "moving",
      files: { ...files }
    })
  const add = (done: number, total: number, reused: number) => {
    all.done += done
    all.total += total
    all.reused += reused
  }
  const part = (size = 0): Part => {
    let known = { done: 0, total: size, reused: 0 }
    return {
      onProgress: ({ done, reused, total }) => {
        const next = { done: Math.max(done, known.done), total, reused: Math.max(reused, known.reused) }
        add(next.done - known.done, next.total - known.total, next.reused - known.reused)
        known = next
        tell()
      },
      ended: () => {
        files.done += 1
        tell()
      },
      gaveUp: () => {
        add(0, known.done - known.total, 0)
        files.total -= 1
        tell()
      }
    }
  }
  const bundle = (): OfBundle => {
    // What is shown before it is known whose it was. A second try shows nothing new until it has come further.
    let ahead = 0
    const taken = (most: number): number => {
      const had = Math.min(ahead, most)
      ahead -= had
      return had
    }
    return {
      onCrossed: (bytes) => {
        const more = Math.max(0, bytes - ahead)
        ahead += more
        add(more, 0, 0)
        tell()
      },
      moved: (known = 0, { reused, size }) => {
        add(size - taken(size), size - known, reused)
        files.done += 1
      },
      gaveUp: (known = 0) => {
        add(0, taken(known) - known, 0)
        files.total -= 1
      },
      ended: tell
    }
  }
  return { part, bundle }
})
