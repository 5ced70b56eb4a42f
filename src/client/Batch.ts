/**
 * Many files in one command: several are under way at once, so that nothing waits for an answer that is on its way; one
 * that fails is reported and the rest goes on; one progress for all, and a summary at the end.
 *
 * What is under way is bounded: `bundlesAheadMax` bundles of small files, `filesAheadMax` files that are small and by
 * themselves, which hold memory, and `largeFilesAheadMax` others, which hold a descriptor. The loss of the session ends
 * all of them.
 */
import { Clock, Effect, Exit, Result, type Scope, Semaphore } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { bundledBytes, bundledNameBytes, bundlesOf } from "../domain/file/PackedFiles.ts"
import type * as FileName from "../domain/file/FileName.ts"
import { bundlesAheadMax, filesAheadMax, largeFilesAheadMax, smallFileBytesMax } from "../domain/limits.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { LocalFileFailed, NamesCollide, RequestRefused, SourceMissing } from "./ClientError.ts"
import type { LocalPlace } from "./LocalFiles.ts"
import type { OnProgress, Progress } from "./Progress.ts"
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
  items: ReadonlyArray<Bundled>
) => Effect.Effect<ReadonlyArray<Result.Result<Moved, FileError> | undefined>, Exclude<NoSession, FileError>, R>

/** One file of many. */
export interface Item<R> {
  /** what a failure is reported about */
  readonly name: string
  /** bytes, when they are known before */
  readonly size: number | undefined
  readonly run: (onProgress: OnProgress) => Effect.Effect<Moved, FileError | NoSession, R>
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
}

/** What a run may be given beside its files. */
export interface Options<R> {
  readonly before?: Before
  /** what goes at the end, and only when nothing has failed, before or now */
  readonly removals?: ReadonlyArray<Item<R>>
  /** moves small files */
  readonly together?: Together<R>
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
  { before = { equal: 0, failed: 0 }, removals = [], together }: Options<R> = {}
): Effect.fn.Return<boolean, Exclude<NoSession, FileError>, R | Reporter | Sessions> {
  const reporter = yield* Reporter
  const crossedBefore = yield* traffic
  const began = yield* Clock.currentTimeMillis
  const total = { files: before.equal, equal: before.equal, failed: before.failed, removed: 0, size: 0, reused: 0 }
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
  const failed = ({ item: { name }, part }: Followed<R>, error: FileError) => {
    total.failed += 1
    part.gaveUp()
    return reporter.failed({ error, command, name })
  }
  const alone = (followed: Followed<R>) => {
    const { item, part } = followed
    const counted = item.run(part.onProgress).pipe(
      Effect.map(count),
      Effect.catchTag(fileErrors, (error) => failed(followed, error))
    )
    return (item.size ?? smallFileBytesMax + 1) > smallFileBytesMax ? large.withPermit(counted) : counted
  }
  const bundled = (move: Together<R>) =>
    Effect.fnUntraced(function* (bundle: ReadonlyArray<Followed<R>>) {
      const outcomes = yield* move(bundle.flatMap(({ item }) => item.bundled ?? []))
      for (const [index, followed] of bundle.entries()) {
        const outcome = outcomes[index]
        if (outcome === undefined) yield* alone(followed)
        else if (Result.isFailure(outcome)) yield* failed(followed, outcome.failure)
        else {
          count(outcome.success)
          followed.part.moved(outcome.success.size)
        }
      }
    })
  const list = (all: ReadonlyArray<Followed<R>>) => {
    const small = together === undefined ? [] : all.filter(({ item }) => isSmall(item))
    const others = small.length === 0 ? all : all.filter(({ item }) => !isSmall(item))
    const inBundles =
      together === undefined
        ? Effect.void
        : Effect.forEach(bundlesOf(small, costOf(command)), bundled(together), {
            concurrency: bundlesAheadMax,
            discard: true
          })
    return Effect.all([inBundles, Effect.forEach(others, alone, { concurrency: filesAheadMax, discard: true })], {
      concurrency: 2,
      discard: true
    })
  }
  const outcome = yield* Effect.flatMap(progressOfAll(command, [...lists.flat(), ...removals]), (part) => {
    let index = 0
    const follow = (items: ReadonlyArray<Item<R>>) => items.map((item): Followed<R> => ({ item, part: part(index++) }))
    const moves = lists.map(follow)
    const last = follow(removals)
    const removing = Effect.suspend(() =>
      last.length > 0 && total.failed > 0 ? reporter.note(nothingRemoved, "bad") : list(last)
    )
    return Effect.andThen(Effect.forEach(moves, list, { discard: true }), removing)
  }).pipe(Effect.scoped, Effect.exit)
  if (summarize || total.failed > 0 || Exit.isFailure(outcome)) {
    const milliseconds = (yield* Clock.currentTimeMillis) - began
    const { received, sent } = yield* traffic
    const crossed = { sent: sent - crossedBefore.sent, received: received - crossedBefore.received }
    yield* reporter.summed({ command, ...total, ...crossed, milliseconds })
  }
  yield* outcome
  return total.failed === 0
})

/** What is said where removals were asked for and something has failed. */
export const nothingRemoved = "nothing is removed: something of the same command has failed"

/** One file, and its part of the progress. */
interface Followed<R> {
  readonly item: Item<R>
  readonly part: Part
}

const isSmall = <R>({ bundled, size }: Item<R>): boolean =>
  bundled !== undefined && size !== undefined && size <= smallFileBytesMax

/** What the server sends is cut by the server. */
const costOf =
  (command: TransferCommand) =>
  <R>({ item: { bundled, size = 0 } }: Followed<R>) => {
    const name = Bytes.utf8Length(bundled?.name ?? "")
    return command === "download"
      ? { packed: name + bundledNameBytes, content: 0 }
      : { packed: name + bundledBytes, content: size }
  }

const traffic = Effect.map(Sessions, (sessions) => sessions.traffic())

/** What one file tells the progress of all. */
interface Part {
  readonly onProgress: OnProgress
  /** All of it is in place, so many bytes. */
  readonly moved: (size: number) => void
  /** It has failed: what it lacked does not belong to the whole any more. */
  readonly gaveUp: () => void
}

/** One progress over all files; those of unknown size are added once their size is known. */
const progressOfAll = Effect.fnUntraced(function* <R>(
  command: TransferCommand,
  items: ReadonlyArray<Item<R>>
): Effect.fn.Return<(index: number) => Part, never, Reporter | Scope.Scope> {
  const follow = yield* (yield* Reporter).follow({ command, name: `${items.length} files` })
  let all: Progress = {
    phase: "moving",
    done: 0,
    total: items.reduce((sum, { size = 0 }) => sum + size, 0),
    reused: 0
  }
  const tell = (done: number, total: number, reused: number) => {
    all = { ...all, done: all.done + done, total: all.total + total, reused: all.reused + reused }
    follow({ ...all, phase: all.done >= all.total ? "done" : "moving" })
  }
  return (index) => {
    let known = { done: 0, total: items[index]?.size ?? 0, reused: 0 }
    const onProgress = ({ done, reused, total }: Omit<Progress, "phase">): void => {
      const next = { done: Math.max(done, known.done), total, reused: Math.max(reused, known.reused) }
      tell(next.done - known.done, next.total - known.total, next.reused - known.reused)
      known = next
    }
    return {
      onProgress,
      moved: (size) => onProgress({ done: size, total: size, reused: 0 }),
      gaveUp: () => tell(0, known.done - known.total, 0)
    }
  }
})
