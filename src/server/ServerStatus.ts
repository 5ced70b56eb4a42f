/**
 * What the server does at this moment: its live sessions, for the administrator and for metrics.
 *
 * A session is looked at when somebody asks, and costs nothing otherwise.
 */
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import * as Monotonic from "../domain/Monotonic.ts"

/** The command under way. */
export const TransferStatus = Schema.Struct({
  command: Schema.Literals(["describe", "download", "fetch", "para", "passwd", "remove", "rename", "upload"]),
  /** the file's; a peer's text: print it through `printable` */
  name: Schema.optionalKey(Schema.String),
  /** of the whole file, bytes */
  size: Schema.optionalKey(Schema.Number),
  /** of it that have come or gone, bytes */
  bytes: Schema.Number
})
export type TransferStatus = typeof TransferStatus.Type

/** One connection. Times in milliseconds, amounts in bytes of content and framing after the login. */
export const SessionStatus = Schema.Struct({
  /** counted from 1 since the server started; who begins to speak gets another */
  id: Schema.Int,
  state: Schema.Literals(["before-login", "idle", "transferring"]),
  /** the address, escaped */
  peer: Schema.String,
  /** when it was accepted, since 1970 */
  since: Schema.Number,
  /** who logged in */
  user: Schema.optionalKey(Schema.String),
  /** what the client calls itself, escaped */
  client: Schema.optionalKey(Schema.String),
  received: Schema.Number,
  sent: Schema.Number,
  receivedPerSecond: Schema.Number,
  sentPerSecond: Schema.Number,
  transfer: Schema.optionalKey(TransferStatus)
})
export type SessionStatus = typeof SessionStatus.Type

/** Shows a session as it is at that time, of the clock that never goes back. Called often or never: cheap. */
export type Look = (now: number) => Omit<SessionStatus, "id">

/** Port: the live sessions of a server, in the order of their numbers. As many as there are seats, and no more. */
export class ServerStatus extends Context.Service<
  ServerStatus,
  {
    /** Shows a session until the scope closes. */
    readonly attend: (look: Look) => Effect.Effect<void, never, Scope.Scope>
    /** The same at once and outside of any effect, until the function that it gives is called. */
    readonly show: (look: Look) => () => void
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>>
  }
>()("paradrop/server/ServerStatus") {
  static readonly layer: Layer.Layer<ServerStatus> = Layer.sync(ServerStatus, () => {
    const live = new Map<number, Look>()
    let last = 0
    const show = (look: Look) => {
      const id = (last += 1)
      live.set(id, look)
      return () => void live.delete(id)
    }
    return ServerStatus.of({
      show,
      attend: (look) =>
        Effect.asVoid(
          Effect.acquireRelease(
            Effect.sync(() => show(look)),
            (hide) => Effect.sync(hide)
          )
        ),
      sessions: Effect.map(Monotonic.now, (now) => Array.from(live, ([id, look]) => ({ id, ...look(now) })))
    })
  })
}
