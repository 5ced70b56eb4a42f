/**
 * What an administrator asks of a server that runs: what it does, who is banned, and to let somebody try again.
 *
 * ## Contract (test: `controlContract` of `paradrop/server/testing`, run by every layer)
 *
 * - An answer is of one moment, and of at most `controlAnswerBytesMax` bytes as JSON: lists are cut, and say by how
 *   much.
 * - A user's name is in the clear when an account has it, else a keyed hash (`NameHash`); while the accounts cannot be
 *   read, of a ban it is always the hash. A peer's text is escaped.
 * - `lift` lets those try again who match all that is said, and counts the bans that were. A name may be given as it
 *   is shown.
 * - Asking changes nothing, and what fails leaves the server as it was.
 */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { utf8Length } from "../domain/Bytes.ts"
import { printable } from "../domain/file/Printable.ts"
import { controlListBytesMax, controlTextCharactersMax } from "../domain/limits.ts"
import { Accounts, type AccountsFailed } from "../domain/session/Accounts.ts"
import { Audit } from "./Audit.ts"
import * as LoginGuard from "./LoginGuard.ts"
import * as NameHash from "./NameHash.ts"
import * as Peer from "./Peer.ts"
import { NotReady, notReady } from "./Readiness.ts"
import { ServerStatus, SessionStatus } from "./ServerStatus.ts"

/** The server could not be asked, or could not answer. */
export class ControlFailed extends Schema.TaggedError<ControlFailed>()("ControlFailed", {
  /** what failed and what to do */
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** A user, an address or both for which the guard lets nobody try now. Times in milliseconds. */
export const Ban = Schema.Struct({
  /** of whom; missing: whoever tries from the address */
  user: Schema.optionalKey(Schema.String),
  /** from where, an IPv4 address or the /64 of an IPv6 address; missing: from everywhere */
  address: Schema.optionalKey(Schema.String),
  /** true: from this machine; false: from others */
  loopback: Schema.Boolean,
  retryAfterMilliseconds: Schema.Number
})
export type Ban = typeof Ban.Type

/** Bans, the longest first. */
export const Bans = Schema.Struct({
  bans: Schema.Array(Ban),
  /** bans that are not shown for want of room */
  bansLeftOut: Schema.Int
})
export type Bans = typeof Bans.Type

/** What the server does at this moment. Times in milliseconds since 1970, rates in bytes each second. */
export const Status = Schema.Struct({
  time: Schema.Number,
  /** when the server started */
  since: Schema.Number,
  /** missing: the server serves */
  notReady: Schema.optionalKey(NotReady),
  /** all sessions together */
  receivedPerSecond: Schema.Number,
  sentPerSecond: Schema.Number,
  /** in the order of their numbers */
  sessions: Schema.Array(SessionStatus),
  /** sessions that are not shown for want of room; their rates count */
  sessionsLeftOut: Schema.Int,
  ...Bans.fields
})
export type Status = typeof Status.Type

/** Whose bans: those of a user, of an address, or of that user at that address; of neither means all. */
export const Which = Schema.Struct({
  user: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(controlTextCharactersMax))),
  address: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(controlTextCharactersMax)))
})
export type Which = typeof Which.Type

/** Port: what an administrator asks of a server. */
export class Control extends Context.Service<
  Control,
  {
    readonly status: Effect.Effect<Status, ControlFailed>
    readonly bans: Effect.Effect<Bans, ControlFailed>
    readonly lift: (which: Which) => Effect.Effect<number, ControlFailed>
  }
>()("paradrop/server/Control") {
  /**
   * The server of this process, asked directly.
   *
   * @param phase what the server is about, undefined while it serves
   */
  static readonly layer = (
    phase: Effect.Effect<NotReady | undefined>
  ): Layer.Layer<Control, never, Accounts | LoginGuard.LoginGuard | ServerStatus> =>
    Layer.effect(
      Control,
      Effect.gen(function* () {
        const guard = yield* LoginGuard.LoginGuard
        const server = yield* ServerStatus
        const accounts = yield* Accounts
        const known = Effect.provideService(NameHash.shown, Accounts, accounts)
        const hidden = Effect.provideService(NameHash.hidden, Accounts, accounts)
        // Who mends damaged accounts wants to see what the server does.
        const shown = Effect.catch(known, () => hidden).pipe(Effect.mapError(failed))
        const audit = yield* Effect.serviceOption(Audit)
        const since = yield* Clock.currentTimeMillis
        const bans = Effect.gen(function* () {
          return bansOf(yield* guard.list, yield* shown)
        })
        return Control.of({
          status: Effect.gen(function* () {
            const reason = yield* notReady(audit, phase)
            const time = yield* Clock.currentTimeMillis
            return {
              time,
              since,
              ...(reason !== undefined && { notReady: reason }),
              ...sessionsOf(yield* server.sessions),
              ...(yield* bans)
            }
          }),
          bans,
          lift: (which) => Effect.flatMap(shown, (name) => guard.lift(matches(which, name)))
        })
      })
    )
}

const failed = ({ message }: AccountsFailed): ControlFailed => new ControlFailed({ detail: message })

/** Sessions as they are told, and their rates together. */
const sessionsOf = (
  sessions: ReadonlyArray<SessionStatus>
): Pick<Status, "receivedPerSecond" | "sentPerSecond" | "sessions" | "sessionsLeftOut"> => {
  const { leftOut, rows } = fit(sessions, ({ transfer, ...session }) => ({
    ...session,
    ...(transfer !== undefined && {
      transfer: { ...transfer, ...(transfer.name !== undefined && { name: printable(transfer.name) }) }
    })
  }))
  const sum = (of: (session: SessionStatus) => number) => sessions.reduce((total, one) => total + of(one), 0)
  return {
    receivedPerSecond: sum((session) => session.receivedPerSecond),
    sentPerSecond: sum((session) => session.sentPerSecond),
    sessions: rows,
    sessionsLeftOut: leftOut
  }
}

/** Bans as they are told. */
const bansOf = (bans: ReadonlyArray<LoginGuard.Ban>, shown: (user: string) => string): Bans => {
  const { leftOut, rows } = fit(bans, ({ user, ...ban }) => ({
    ...ban,
    ...(user !== undefined && { user: shown(user) })
  }))
  return { bans: rows, bansLeftOut: leftOut }
}

/** As many as have room together, as JSON. */
const fit = <A, B>(
  all: ReadonlyArray<A>,
  show: (one: A) => B
): { readonly rows: Array<B>; readonly leftOut: number } => {
  const rows: Array<B> = []
  let bytes = 0
  for (const one of all) {
    const row = show(one)
    // The comma behind it counts.
    bytes += utf8Length(JSON.stringify(row)) + 1
    if (bytes > controlListBytesMax) break
    rows.push(row)
  }
  return { rows, leftOut: all.length - rows.length }
}

/** An address as people write it, or what a list shows in its place. */
const fromWhere = (address: string | undefined): ((one: LoginGuard.Subject) => boolean) => {
  if (address === undefined) return () => true
  if (address === "loopback") return ({ loopback }) => loopback
  const { key } = Peer.fromAddress(address)
  return (one) => one.address === key || one.address === address
}

const matches = ({ address, user }: Which, shown: (user: string) => string) => {
  const isFrom = fromWhere(address)
  // Hashing costs; a name that is given in the clear is compared in the clear.
  const hashed = user?.startsWith(NameHash.unknownPrefix) === true
  return (one: LoginGuard.Subject): boolean =>
    isFrom(one) &&
    (user === undefined || one.user === user || (hashed && one.user !== undefined && shown(one.user) === user))
}
