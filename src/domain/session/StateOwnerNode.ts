/**
 * Gives files of the state to their server's user, for Node: by their descriptor, as a path in a folder of somebody
 * else's may lead elsewhere meanwhile.
 */
import { closeSync, constants, fchownSync, fstatSync, openSync } from "node:fs"
import { Effect, Layer } from "effect"
import { StateOwner } from "./StateFile.ts"

/** Only who may do everything can give a file away; for all others nothing changes. */
export const layer: Layer.Layer<never> = Layer.succeed(StateOwner, (path, made, owner) =>
  Effect.acquireUseRelease(
    Effect.try(() => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)),
    (file) =>
      Effect.try(() => {
        const { dev, ino } = fstatSync(file, { bigint: true })
        if (dev === made.dev && ino === made.ino) fchownSync(file, owner.uid, owner.gid)
      }),
    (file) => Effect.sync(() => closeSync(file))
  ).pipe(Effect.ignore)
)
