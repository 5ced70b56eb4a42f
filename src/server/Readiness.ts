/**
 * Whether clients should be sent to this server now, and why not.
 */
import { Effect, Option, Schema } from "effect"
import type { Audit } from "./Audit.ts"

/** Why clients should not be sent here now. */
export const NotReady = Schema.Literals(["starting", "stopping", "audit-failed", "accounts-failed", "root-moved"])
export type NotReady = typeof NotReady.Type

/**
 * What keeps clients away at this moment; undefined: nothing.
 *
 * @param phase what the server itself is about, undefined while it serves: it counts more than the audit log
 */
export const notReady = (
  audit: Option.Option<Audit["Service"]>,
  phase: Effect.Effect<NotReady | undefined>
): Effect.Effect<NotReady | undefined> =>
  Effect.gen(function* () {
    const writing = Option.isNone(audit) || (yield* audit.value.writing)
    return (yield* phase) ?? (writing ? undefined : "audit-failed")
  })
