/**
 * A file that is put together from copies and content, in a fiber beside the session's loop.
 *
 * Copies take long and need nothing of the client. Beside the loop they cost no time: the client's questions are
 * answered, and its content is received, while earlier parts are still being copied. Order is kept, and what waits is
 * bounded: `assemblyBytesMax` of content and ranges, each with what runs it.
 */
import { Deferred, Effect, Queue, type Scope, Semaphore } from "effect"
import type * as Bytes from "../domain/Bytes.ts"
import { partsOf, type Range } from "../domain/file/Packed.ts"
import { assemblyBytesMax, assemblyPartBytes, copyRunBytesMax } from "../domain/limits.ts"
import type { OpenFile, Staging } from "../domain/store/FileStore.ts"
import type { StoreError } from "../domain/store/StoreError.ts"

/** Takes parts in order. Each call fails with what an earlier part failed with; nothing is written after that. */
export interface Assembly {
  /** Content of the client's. Waits while too much waits. */
  readonly content: (parts: Bytes.Parts) => Effect.Effect<void, StoreError>
  /** Ranges of the file that is copied from. Waits while too much waits. */
  readonly copies: (ranges: ReadonlyArray<Range>) => Effect.Effect<void, StoreError>
  /** Waits until every part is in its place. */
  readonly done: Effect.Effect<void, StoreError>
}

/**
 * Ends with the scope, after the write that is under way.
 *
 * @param copied told of each range, or part of a long one, when it is in its place
 */
export const make = Effect.fnUntraced(function* (
  staging: Pick<Staging, "copy" | "write">,
  from: OpenFile,
  copied: (bytes: number) => void
): Effect.fn.Return<Assembly, never, Scope.Scope> {
  const room = yield* Semaphore.make(assemblyBytesMax)
  const waiting = yield* Queue.unbounded<Effect.Effect<void, StoreError>>()
  const failed = yield* Deferred.make<never, StoreError>()
  yield* Queue.take(waiting).pipe(
    Effect.flatten,
    Effect.forever({ disableYield: true }),
    Effect.catchCause((cause) => Deferred.failCause(failed, cause)),
    Effect.forkScoped
  )
  const unlessFailed = <A, E>(work: Effect.Effect<A, E>) => Effect.raceFirst(Deferred.await(failed), work)

  const add = (bytes: number, work: Effect.Effect<void, StoreError>) => {
    const cost = Math.min(bytes, assemblyBytesMax)
    return unlessFailed(room.take(cost)).pipe(
      Effect.andThen(Queue.offer(waiting, Effect.andThen(work, room.release(cost)))),
      Effect.asVoid
    )
  }

  const copyAll = Effect.fnUntraced(function* (ranges: ReadonlyArray<Range>): Effect.fn.Return<void, StoreError> {
    for (const range of ranges) {
      // One of gigabytes is told of as it goes.
      for (const { length, offset } of partsOf(range, copyRunBytesMax)) {
        yield* staging.copy(from, offset, length)
        copied(length)
      }
    }
  })

  return {
    content: (parts) => add(heldBytes(parts) + assemblyPartBytes, staging.write(parts)),
    copies: (ranges) => add(ranges.length * assemblyPartBytes, copyAll(ranges)),
    done: Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      yield* Queue.offer(waiting, Effect.asVoid(Deferred.succeed(reached, undefined)))
      yield* unlessFailed(Deferred.await(reached))
    })
  }
})

/** A view keeps all that it is a view of. */
const heldBytes = (parts: Bytes.Parts): number => parts.reduce((total, part) => total + part.buffer.byteLength, 0)
