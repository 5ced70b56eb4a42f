/**
 * The limits that one server works under: the defaults of domain/limits.ts, each of which may be set.
 */
import { Context } from "effect"
import * as limits from "../domain/limits.ts"

const defaults = {
  /** from accept to Ready */
  loginMilliseconds: limits.loginMillisecondsMax,
  /** without progress while nothing is asked */
  idleMilliseconds: limits.idleMillisecondsMax,
  /** without progress while a transfer is under way */
  stallMilliseconds: limits.stallMillisecondsMax,
  sessions: limits.sessionsMax,
  sessionsBeforeLogin: limits.sessionsBeforeLoginMax,
  sessionsBeforeLoginPerAddress: limits.sessionsBeforeLoginPerAddressMax,
  sessionsBeforeLoginFromLoopback: limits.sessionsBeforeLoginFromLoopbackMax
}

export type ServerLimits = { readonly [Name in keyof typeof defaults]: number }

/** Provide another value to change a limit: `Layer.succeed(ServerLimits, { ...defaultLimits, sessions: 8 })`. */
export const ServerLimits = Context.Reference<ServerLimits>("paradrop/server/ServerLimits", {
  defaultValue: () => defaultLimits
})

export const defaultLimits: ServerLimits = defaults
