/**
 * Whether the served folder is still where the administrator put it. The server holds the folder that it has opened:
 * when that is moved, or another takes its place, uploads go where nobody looks for them, and somebody must hear of it.
 */
import { Effect, FileSystem, Option, type Scope } from "effect"
import { printable } from "../domain/file/Printable.ts"
import { rootLookMilliseconds } from "../domain/limits.ts"
import { log } from "./LogEvent.ts"

/**
 * Looks every `rootLookMilliseconds`, until the scope closes, and logs each change.
 *
 * @param root its path without links; the folder that stands there now is the one that is served
 * @returns whether another, or none, stands there
 */
export const make = Effect.fnUntraced(function* (
  root: string
): Effect.fn.Return<Effect.Effect<boolean>, never, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const there = fs.stat(root).pipe(
    Effect.map(({ dev, ino }) => `${dev}:${Option.getOrUndefined(ino)}`),
    Effect.orElseSucceed(() => "nothing")
  )
  const served = yield* there
  let moved = false
  const look = Effect.gen(function* () {
    const now = (yield* there) !== served
    if (now === moved) return
    moved = now
    const name = printable(root)
    yield* now
      ? log("root-moved", `'${name}' is another folder now, or none: what was opened is served until a restart`)
      : log("root-back", `'${name}' is the served folder again`)
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(look, rootLookMilliseconds)))
  return Effect.sync(() => moved)
})
