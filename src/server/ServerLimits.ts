/**
 * The limits that one server works under, each of which may be set: `[limits]` of the configuration.
 */
import { Context, Schema } from "effect"
import * as limits from "../domain/limits.ts"
import * as Setting from "./Setting.ts"

const live = { live: true }
const orNone = { live: true, min: 0 }
const rate = (text: string) => Setting.bytes(0, `${text}, bytes per second; 0: no limit`, orNone)

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
  ),
  sessionsPerAddress: Setting.count(
    limits.sessionsPerAddressMax,
    "connections at once from one address, logged in or not; this machine is not limited",
    live
  ),
  sessionsPerAccount: Setting.count(limits.sessionsPerAccountMax, "sessions at once of one account", live),
  receiveBytesPerSecond: rate("what the server receives in all"),
  sendBytesPerSecond: rate("what the server sends in all"),
  accountReceiveBytesPerSecond: rate("what is received of one account, unless the account says otherwise"),
  accountSendBytesPerSecond: rate("what is sent to one account, unless the account says otherwise"),
  sessionReceiveBytesPerSecond: rate("what is received of one session"),
  sessionSendBytesPerSecond: rate("what is sent to one session"),
  minimumBytesPerSecond: Setting.bytes(
    limits.transferBytesPerSecondMin,
    "a transfer that is slower on average is ended, bytes per second; 0: none is",
    orNone
  ),
  minimumRateMilliseconds: Setting.time(limits.transferPauseMillisecondsMax, "so long a quick transfer may pause", live)
})

/** Read a limit when it is needed, and keep no copy: the owner of a running server may change it (`LiveSettings`). */
export type ServerLimits = typeof Limits.Type

/** The limits of `domain/limits.ts`. */
export const defaultLimits: ServerLimits = Schema.decodeSync(Limits)({})

/** Provide another value to change a limit: `Layer.succeed(ServerLimits, { ...defaultLimits, sessions: 8 })`. */
export const ServerLimits = Context.Reference<ServerLimits>("paradrop/server/ServerLimits", {
  defaultValue: () => defaultLimits
})
