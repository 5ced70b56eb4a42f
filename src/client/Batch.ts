/**
 * Many files in one command: several are under way at once, so that nothing waits for an answer that is on its way; one
 * that fails is reported and the rest goes on; one progress for all, and a summary at the end.
 *
 * What is under way is bounded: `filesAheadMax` small files, which hold memory, and `largeFilesAheadMax` others, which
 * hold a descriptor. The loss of the session ends all of them.
 */
import { Clock, Effect, Exit, type Scope, Semaphore } from "effect"
import type * as FileName from "../domain/file/FileName.ts"
import { filesAheadMax, largeFilesAheadMax, smallFileBytesMax } from "../domain/limits.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { LocalFileFailed, NamesCollide, RequestRefused, SourceMissing } from "./ClientError.ts"
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

/** One file of many. */
export interface Item<R> {
  /** what a failure is reported about */
  readonly name: string
  /** bytes, when they are known before */
  readonly size: number | undefined
  readonly run: (onProgress: OnProgress) => Effect.Effect<Moved, FileError | NoSession, R>
}

/** What is known before anything runs. */
export interface Before {
  /** files that were found equal */
  readonly equal: number
  /** files that failed, which was reported */
  readonly failed: number
}

/**
 * Runs all of them, one list after the other; false when one failed, before or now.
 *
 * @param summarize false leaves the summary out when all went well
 * @param removals what goes at the end, and only when nothing has failed, before or now
 */
export const run = Effect.fnUntraced(function* <R>(
  command: TransferCommand,
  lists: ReadonlyArray<ReadonlyArray<Item<R>>>,
  summarize: boolean,
  before: Before = { equal: 0, failed: 0 },
  removals: ReadonlyArray<Item<R>> = []
): Effect.fn.Return<boolean, Exclude<NoSession, FileError>, R | Reporter | Sessions> {
  const reporter = yield* Reporter
  const crossedBefore = yield* traffic
  const began = yield* Clock.currentTimeMillis
  const total = { files: before.equal, equal: before.equal, failed: before.failed, removed: 0, size: 0, reused: 0 }
  const large = yield* Semaphore.make(largeFilesAheadMax)
  const one = (item: Item<R>, follow: Part) => {
    const counted = item.run(follow.onProgress).pipe(
      Effect.map(({ equal, removed, reused, size }) => {
        if (removed === true) total.removed += 1
        else {
          total.files += 1
          total.equal += equal ? 1 : 0
          total.size += size
          total.reused += reused
        }
      }),
      Effect.catchTag(fileErrors, (error) => {
        total.failed += 1
        follow.gaveUp()
        return reporter.failed({ error, command, name: item.name })
      })
    )
    return (item.size ?? smallFileBytesMax + 1) > smallFileBytesMax ? large.withPermit(counted) : counted
  }
  const all = [...lists.flat(), ...removals]
  const outcome = yield* Effect.flatMap(progressOfAll(command, all), (part) => {
    let index = 0
    const inTurn = (items: ReadonlyArray<Item<R>>) => {
      const first = index
      index += items.length
      const ahead = { concurrency: filesAheadMax, discard: true } as const
      return Effect.forEach(items, (item, at) => one(item, part(first + at)), ahead)
    }
    const last = Effect.suspend(() =>
      removals.length > 0 && total.failed > 0 ? reporter.note(nothingRemoved, "bad") : inTurn(removals)
    )
    return Effect.andThen(Effect.forEach(lists, inTurn, { discard: true }), last)
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

const traffic = Effect.map(Sessions, (sessions) => sessions.traffic())

/** What one file tells the progress of all. */
interface Part {
  readonly onProgress: OnProgress
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
    return {
      onProgress: ({ done, reused, total }) => {
        const next = { done: Math.max(done, known.done), total, reused: Math.max(reused, known.reused) }
        tell(next.done - known.done, next.total - known.total, next.reused - known.reused)
        known = next
      },
      gaveUp: () => tell(0, known.done - known.total, 0)
    }
  }
})
