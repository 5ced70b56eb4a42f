/**
 * What stands in the way of files that are sent without a look at what the server has.
 *
 * Nothing is asked as long as the server refuses no file for what it has. Then it is asked once, and of the other files
 * those that cannot be placed are told instead of sent in vain.
 */
import { Effect, Result } from "effect"
import type { FileError, Moved, Together } from "./Batch.ts"
import type { NoSession } from "./Sessions.ts"

/** Errors that are no single file's. */
type OfAll = Exclude<NoSession, FileError>

/** What cannot be placed, and why: by its name at the server. */
type Known = ReadonlyMap<string, FileError>

export interface Obstacles<R> {
  /** Sends small files together, but for those that are known not to find a place. */
  readonly together: (send: Together<R>) => Together<R>
  /** Sends one file, unless it is known not to find a place. */
  readonly alone: (
    name: string,
    send: Effect.Effect<Moved, FileError | NoSession, R>
  ) => Effect.Effect<Moved, FileError | NoSession, R>
}

const nothing: Known = new Map()

/** Whether the server has something else in the file's place: so it may have in those of others. */
const isInTheWay = (error: FileError | NoSession): boolean =>
  error._tag === "RequestRefused" && (error.reason === "name-collision" || error.reason === "not-a-file")

/** @param ask asks the server what is in whose way: once at most */
export const make = Effect.fnUntraced(function* <R>(
  ask: Effect.Effect<Known, OfAll, R>
): Effect.fn.Return<Obstacles<R>> {
  const asked = yield* Effect.cached(ask)
  let isSuspected = false
  const known = Effect.suspend(() => (isSuspected ? asked : Effect.succeed(nothing)))
  const heard = (error: FileError | NoSession): void => {
    isSuspected ||= isInTheWay(error)
  }
  return {
    together: (send) =>
      Effect.fnUntraced(function* (items, told, onCrossed, onMoved) {
        const hopeless = yield* known
        const going = items.filter(({ name }) => !hopeless.has(name))
        const sent = (going.length > 0 ? yield* send(going, told, onCrossed, onMoved) : []).values()
        return items.map(({ name }) => {
          const why = hopeless.get(name)
          const outcome = why === undefined ? sent.next().value : Result.fail(why)
          if (outcome !== undefined && Result.isFailure(outcome)) heard(outcome.failure)
          return outcome
        })
      }),
    alone: (name, send) =>
      Effect.flatMap(known, (hopeless) => {
        const why = hopeless.get(name)
        return why === undefined ? Effect.tapError(send, (error) => Effect.sync(() => heard(error))) : Effect.fail(why)
      })
  }
})
