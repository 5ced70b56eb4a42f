/**
 * Makes the signatures of files that were just committed, so that the next `para` finds them.
 *
 * One file at a time, and while nothing is transferred: an upload does not wait for it, and it costs no transfer speed
 * or memory. A file is looked at only once its version is older than the clock's grain, since only then can what was
 * made be kept.
 */
import { Clock, Context, Effect, Layer, Queue } from "effect"
import type { FileName } from "../domain/file/FileName.ts"
import {
  deltaBytesMin,
  signaturePostponedMillisecondsMax,
  signaturesWaitingMax,
  versionGrainMilliseconds
} from "../domain/limits.ts"
import { FileStore } from "../domain/store/FileStore.ts"
import { Signatures } from "../domain/transfer/Signatures.ts"

/** Port: told of every commit, it makes signatures in the background. Never fails and never waits. */
export class SignatureMaker extends Context.Service<
  SignatureMaker,
  {
    /** Remembers a file that was committed with `size` bytes. Never waits. */
    readonly committed: (name: FileName, size: number) => Effect.Effect<void>
    /** A session begins or ends to transfer: signatures give way to transfers, up to a limit. */
    readonly transferring: (change: 1 | -1) => Effect.Effect<void>
  }
>()("paradrop/server/SignatureMaker") {
  static readonly layer: Layer.Layer<SignatureMaker, never, FileStore | Signatures> = Layer.effect(
    SignatureMaker,
    Effect.gen(function* () {
      const store = yield* FileStore
      const signatures = yield* Signatures
      const names = yield* Queue.sliding<FileName>(signaturesWaitingMax)
      let transfers = 0
      const quiet = Effect.sleep(versionGrainMilliseconds).pipe(
        Effect.repeat({ until: () => transfers === 0 }),
        Effect.timeoutOption(signaturePostponedMillisecondsMax)
      )
      const make = Effect.fnUntraced(function* (name: FileName) {
        const file = yield* store.open(name)
        // It has changed again meanwhile: what is made now could not be kept, and would be made again in a moment.
        if ((yield* Clock.currentTimeMillis) - file.changed < versionGrainMilliseconds) return
        yield* signatures.of(file)
      }, Effect.scoped)
      yield* Queue.take(names).pipe(
        Effect.tap(() => quiet),
        // A file that is gone or changes again is another commit's business, and a fault that one meets is no other's.
        Effect.flatMap((name) => Effect.ignoreCause(make(name))),
        Effect.forever,
        Effect.forkScoped
      )
      return SignatureMaker.of({
        committed: (name, size) => (size < deltaBytesMin ? Effect.void : Effect.asVoid(Queue.offer(names, name))),
        transferring: (change) => Effect.sync(() => void (transfers += change))
      })
    })
  )
}
