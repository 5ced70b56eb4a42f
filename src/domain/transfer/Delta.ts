/**
 * A delta: what to send so that a receiver who has another file can build the local one.
 *
 * A sequence of copies from the other file and literals of the local one, in the order of the local file, covering it
 * exactly. Made while the file is walked: the walk (`match`), a closer look where a chunk differs (`makeLook`), and
 * sending go on side by side, with bounded queues between them.
 */
import { type Cause, Effect, Queue, Stream } from "effect"
import type { ContentDigest } from "../file/Digest.ts"
import { copyRunBytesMax, findingsWaitingMax, questionsAheadMax } from "../limits.ts"
import { type LookOptions, makeLook } from "./CloserLook.ts"
import type { Found } from "./Findings.ts"
import type { LocalShrank } from "./LocalReader.ts"
import { match, type MatchOptions } from "./Match.ts"
import type { SignatureRefused } from "./SignatureCheck.ts"

/** One step of building the local file. */
export type Op =
  /** bytes of the other file */
  | { readonly _tag: "Copy"; readonly offset: number; readonly length: number }
  /** bytes of the local file */
  | { readonly _tag: "Literal"; readonly offset: number; readonly length: number }

/** The local file, what is known of the other one, how to ask for more, and where the ops go. */
export interface DeltaOptions<E, E2, E3> extends Omit<MatchOptions<E, E2, never>, "emit"> {
  readonly blocksOf: LookOptions<E, E2>["blocksOf"]
  /** Takes the ops in order. */
  readonly send: (op: Op) => Effect.Effect<void, E3>
  /** Told when no further op is at hand: what was held back to leave with others should go. */
  readonly flush?: Effect.Effect<void, E3>
}

/** What a delta has come to. */
export interface Delta {
  /** of the whole local file */
  readonly digest: ContentDigest
  /** the local file is the other file, byte for byte: nothing was sent */
  readonly equal: boolean
}

/** Walks the local file and sends its delta against the other. */
export const sendDelta = <E, E2, E3>(
  options: DeltaOptions<E, E2, E3>
): Effect.Effect<Delta, E | E2 | E3 | LocalShrank | SignatureRefused> =>
  Effect.gen(function* () {
    const findings = yield* Queue.bounded<Found, E | E2 | LocalShrank | SignatureRefused | Cause.Done>(
      findingsWaitingMax
    )
    const looked = yield* Queue.bounded<Found, E | E2 | LocalShrank | SignatureRefused | Cause.Done>(findingsWaitingMax)
    const runs = makeRuns(options)
    let digest: ContentDigest | undefined
    const walk = match({ ...options, emit: (found) => Effect.asVoid(Queue.offer(findings, found)) }).pipe(
      Effect.tap((whole) => Effect.sync(() => void (digest = whole))),
      Effect.andThen(Queue.end(findings)),
      Effect.catchCause((cause) => Queue.failCause(findings, cause))
    )
    // A batch is whatever waits: while questions are under way the findings of the next gather. More than one, for a
    // question waits behind the content that was sent before it.
    const look = Stream.fromQueue(findings).pipe(
      Stream.chunks,
      Stream.mapEffect(makeLook(options), { concurrency: questionsAheadMax }),
      Stream.runForEach((found) => Queue.offerAll(looked, found)),
      Effect.andThen(Queue.end(looked)),
      Effect.catchCause((cause) => Queue.failCause(looked, cause))
    )
    // In the scope of this call: when sending fails, the walk ends with it.
    yield* Effect.forkScoped(walk)
    // The next question is asked while what the last one found is being sent: a slow link is never idle for an answer.
    yield* Effect.forkScoped(look)
    const flush = options.flush ?? Effect.void
    yield* Stream.runForEachArray(Stream.fromQueue(looked), (batch) =>
      Effect.andThen(Effect.forEach(batch, runs.add, { discard: true }), flush)
    )
    const whole = digest ?? (yield* Effect.interrupt)
    const equal = yield* runs.end(whole)
    yield* flush
    return { digest: whole, equal }
  }).pipe(Effect.scoped)

/** Joins neighbouring findings into ops, as long as possible, and notices when the whole is one copy of the whole. */
const makeRuns = <E, E2, E3>({ coarse, from, local, send }: DeltaOptions<E, E2, E3>) => {
  const sizesEqual = local.size === coarse.size
  let run: Op | undefined
  let sent = false

  const flush = Effect.suspend(() => {
    const last = run
    run = undefined
    if (last === undefined) return Effect.void
    sent = true
    return send(last)
  })

  return {
    add: (found: Found): Effect.Effect<void, E3> =>
      Effect.suspend(() => {
        const next: Op =
          found._tag === "Same"
            ? { _tag: "Copy", offset: found.base, length: found.length }
            : { _tag: "Literal", offset: found.offset, length: found.length }
        // Content that is in its place is held back: as long as nothing differs the files may be equal.
        const mayBeEqual = sizesEqual && !sent && run?._tag === "Copy" && run.offset === from
        const joined = run !== undefined && run._tag === next._tag && run.offset + run.length === next.offset
        if (run !== undefined && joined && (mayBeEqual || run.length < copyRunBytesMax)) {
          run = { ...run, length: run.length + next.length }
          return Effect.void
        }
        return Effect.andThen(
          flush,
          Effect.sync(() => void (run = next))
        )
      }),
    end: (whole: ContentDigest): Effect.Effect<boolean, E3> =>
      Effect.suspend(() => {
        const inPlace =
          run === undefined
            ? from === coarse.size
            : run._tag === "Copy" && run.offset === from && run.length === coarse.size - from
        // Of what an earlier try has sent, and of chunks that are confused, only the digest of the whole tells.
        const equal = sizesEqual && !sent && inPlace && whole === coarse.digest
        return equal ? Effect.succeed(true) : Effect.as(flush, false)
      })
  }
}
