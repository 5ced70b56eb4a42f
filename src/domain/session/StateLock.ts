/**
 * Port: an exclusive lock on a path, between processes and within one.
 *
 * ## Contract (test: `stateLockContract`, run by every layer; processes that are killed: `StateLock.test`)
 *
 * - At most one holder at a time, whoever asks: another process, or another fiber of the same one.
 * - The lock ends with the scope, and with the process however it ends: a kill leaves no stale lock behind.
 * - The path is a file of the lock's own in an existing folder. It is made when missing and stays when the lock ends.
 */
import { Context, Effect, Layer, Schedule, Schema, type Scope } from "effect"
import { stateLockRetryMilliseconds } from "../limits.ts"

/** Somebody else holds the lock. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", { path: Schema.String }) {
  override get message(): string {
    return `the lock '${this.path}' is held by another process or elsewhere in this one: end its holder or wait`
  }
}

/** The lock could not be tried: the folder is missing, read-only or on a file system without locks. */
export class LockFailed extends Schema.TaggedError<LockFailed>()("LockFailed", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot lock '${this.path}': ${this.detail}`
  }
}

export class StateLock extends Context.Service<
  StateLock,
  {
    /** Takes the lock at once or not at all; it is held until the scope closes. */
    readonly acquire: (path: string) => Effect.Effect<void, LockHeld | LockFailed, Scope.Scope>
  }
>()("paradrop/session/StateLock") {
  /** Locks that hold within the layer only. */
  static readonly layerMemory: Layer.Layer<StateLock> = Layer.sync(StateLock, () => {
    const held = new Set<string>()
    const take = (path: string): Effect.Effect<void, LockHeld> =>
      Effect.suspend(() => {
        if (held.has(path)) return Effect.fail(new LockHeld({ path }))
        held.add(path)
        return Effect.void
      })
    return StateLock.of({
      acquire: (path) => Effect.acquireRelease(take(path), () => Effect.sync(() => held.delete(path)))
    })
  })
}

/** Takes the lock, waiting for its holder at most so long. */
export const acquireWithin = (
  path: string,
  milliseconds: number
): Effect.Effect<void, LockHeld | LockFailed, StateLock | Scope.Scope> =>
  Effect.flatMap(StateLock, (lock) =>
    Effect.retry(lock.acquire(path), {
      while: (error) => error._tag === "LockHeld",
      schedule: Schedule.spaced(stateLockRetryMilliseconds),
      times: Math.ceil(milliseconds / stateLockRetryMilliseconds)
    })
  )
