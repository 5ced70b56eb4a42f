/**
 * The limits that one server works under, each of which may be set: `[limits]` of the configuration.
 */
import { Context, Schema } from "effect"
import * as limits from "../domain/limits.ts"
import * as Setting from "./Setting.ts"

const live = { live: true }

/** A line here is all that a limit needs: file, variables, flags, `config` and docs/OPERATIONS.md follow from it. */
export const Limits = Schema.Struct({
  loginMilliseconds: Setting.time(limits.loginMillisecondsMax, "from accept to the end of the login", live),
  idleMilliseconds: Setting.time(limits.idleMillisecondsMax, "without progress while nothing is asked", live),
  stallMilliseconds: Setting.time(limits.stallMillisecondsMax, "without progress while a transfer is under way", live),
  drainMilliseconds: Setting.time(limits.drainMillisecondsMax, "for transfers to end when the server stops", live),
  sessions: Setting.count(limits.sessionsMax, "connections at once, logged in or not", live),
  sessionsBeforeLogin: Setting.count(limits.sessionsBeforeLoginMax, "connections at once before login", live),
  sessionsBeforeLoginPerAddress: Setting.count(
    limits.sessionsBeforeLoginPerAddressMax,
    "the same from one address; an IPv6 /64 counts as one",
    live
  ),
  sessionsBeforeLoginFromLoopback: Setting.count(
    limits.sessionsBeforeLoginFromLoopbackMax,
    "the same from this machine",
    live
  )
})

/** Read a limit when it is needed, and keep no copy: the owner of a running server may change it (`LiveSettings`). */
export type ServerLimits = typeof Limits.Type

/** The limits of `domain/limits.ts`. */
export const defaultLimits: ServerLimits = Schema.decodeSync(Limits)({})

/** Provide another value to change a limit: `Layer.succeed(ServerLimits, { ...defaultLimits, sessions: 8 })`. */
export const ServerLimits = Context.Reference<ServerLimits>("paradrop/server/ServerLimits", {
  defaultValue: () => defaultLimits
})
