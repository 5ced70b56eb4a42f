/**
 * A client: dials, makes the channel, logs in, and gives the session.
 */
import { Context, Effect, Exit, Layer, Option, Schedule, Scope } from "effect"
import type { Socket } from "effect/socket"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { Cipher } from "../domain/channel/Cipher.ts"
import { Kem, type KemKeyPair } from "../domain/channel/Kem.ts"
import type { Opaque, Password } from "../domain/channel/Opaque.ts"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import * as SecureChannel from "../domain/channel/SecureChannel.ts"
import * as Transport from "../domain/channel/Transport.ts"
import type { Digest } from "../domain/file/Digest.ts"
import {
  connectRetriesMax,
  connectRetryMilliseconds,
  dialMillisecondsMax,
  handshakeMillisecondsMax
} from "../domain/limits.ts"
import { type CommandError, ConnectFailed, type LoginError, type LoginIncorrect } from "./ClientError.ts"
import * as ClientLogin from "./ClientLogin.ts"
import * as ClientSession from "./ClientSession.ts"
import * as Requests from "./Requests.ts"

/** A connection that was dialled before anybody asked for it, with our hello on its way. */
export interface Ahead {
  readonly socket: Socket.Socket
  /** the key pair of that hello, and of no other */
  readonly keyPair: KemKeyPair
}

/** Whom to reach, and as whom. */
export interface ConnectOptions {
  /** how messages name the server: HOST:PORT */
  readonly server: string
  /** a fresh socket for each try; it dials when it is opened */
  readonly dial: Effect.Effect<Socket.Socket>
  /** asked in each try before anything is dialled: a connection that is there goes before a fresh one */
  readonly ahead?: Effect.Effect<Ahead | undefined>
  readonly user: UserName
  readonly password: Password
  /** Asked for another password after a wrong one, while the server takes more tries. */
  readonly askAgain?: (incorrect: LoginIncorrect) => Effect.Effect<Option.Option<Password>>
  /** what the server's log shows of us */
  readonly client?: string
  /**
   * Gives the session while the server's confirmation is still on its way: the first commands leave together with the
   * end of the login, a round trip earlier. Only a server that knows the account can read them. What would have failed
   * here fails there.
   */
  readonly eager?: boolean
  /** content in one record, at most; less for a slow connection, so that progress shows it */
  readonly contentBytesMax?: number
}

/** What a client is made of. */
export type ClientServices = Cipher | Digest | Kem | Opaque

/** A session, as a service. */
export class Client extends Context.Service<Client, ClientSession.ClientSession>()("paradrop/client/Client") {
  /** Connects when the layer is built, says goodbye when it is released. */
  static readonly layer = (options: ConnectOptions): Layer.Layer<Client, LoginError | CommandError, ClientServices> =>
    Layer.effect(Client, connect(options))
}

/**
 * Connects and logs in. The session ends with the scope.
 *
 * A server that closes before its first byte may just be full, and one that closes during the login may have lost
 * patience with a machine that is too busy to answer in time: both are tried again a few times.
 */
export const connect = Effect.fnUntraced(function* (
  options: ConnectOptions
): Effect.fn.Return<ClientSession.ClientSession, LoginError | CommandError, ClientServices | Scope.Scope> {
  const scope = yield* Effect.scope
  const latest = remembering(options)
  const attempt = Effect.suspend(() => {
    const now = latest()
    return Effect.flatMap(open(now, scope), ({ connection, handshake, start }) =>
      authenticate(now, handshake, now.password, start).pipe(
        Effect.map((secure) => ({ connection, secure })),
        Effect.onError((cause) => Scope.close(connection, Exit.failCause(cause)))
      )
    )
  })
  const { connection, secure } = yield* attempt.pipe(
    Effect.retry({
      while: (error) => error._tag === "ConnectFailed" && error.reason === "closed-at-once",
      schedule: Schedule.exponential(connectRetryMilliseconds),
      times: connectRetriesMax
    })
  )
  // A connection that takes nothing more may never tell a writer: saying Hello has a deadline too.
  const hello = Requests.make(secure, options.client ?? "paradrop", (givenUp) =>
    Scope.close(connection, givenUp ? Transport.givenUp : Exit.void)
  )
  // Of one that nobody has nothing stays: the scope may go on for long.
  return yield* Effect.gen(function* () {
    const requests = yield* timed(options.server, handshakeMillisecondsMax, hello)
    if (options.eager !== true) yield* timed(options.server, handshakeMillisecondsMax, requests.confirmed)
    return yield* ClientSession.make(requests, options.contentBytesMax)
  }).pipe(Effect.onError((cause) => Scope.close(connection, Exit.failCause(cause))))
})

/**
 * The options with the password that was given last: whoever took longer for another one than the server waits means
 * that one, and not the one that was wrong.
 */
const remembering = (options: ConnectOptions): (() => ConnectOptions) => {
  const { askAgain } = options
  if (askAgain === undefined) return () => options
  let { password } = options
  const asking: ConnectOptions["askAgain"] = (incorrect) =>
    Effect.tap(askAgain(incorrect), (next) =>
      Effect.sync(() => void (password = Option.getOrElse(next, () => password)))
    )
  return () => ({ ...options, password, askAgain: asking })
}

type Handshake = Effect.Success<ReturnType<typeof SecureChannel.connect>>

/**
 * One connection with its key exchange done, in a scope of its own: a failed try closes at once.
 *
 * What needs no answer is made while one is on its way: the key pair during the dialling, the login's beginning during
 * the key exchange.
 */
const open = Effect.fnUntraced(function* (
  options: ConnectOptions,
  parent: Scope.Scope
): Effect.fn.Return<
  { readonly connection: Scope.Closeable; readonly handshake: Handshake; readonly start: ClientLogin.Start },
  ConnectFailed,
  Cipher | Kem | Opaque
> {
  const connection = yield* Scope.fork(parent)
  const { handshake, start } = yield* Effect.gen(function* () {
    const ahead = yield* options.ahead ?? Effect.undefined
    const socket = ahead?.socket ?? (yield* options.dial)
    const dialling = Effect.mapError(timed(options.server, dialMillisecondsMax, Transport.open(socket)), (error) =>
      error._tag === "ConnectFailed" ? error : dialFailed(options.server, error)
    )
    const fresh = ahead === undefined ? (yield* Kem).keyPair : Effect.succeed(ahead.keyPair)
    const [transport, keyPair] = yield* Effect.all([dialling, fresh], { concurrency: 2 })
    const hello = { keyPair, said: ahead !== undefined }
    const exchange = Effect.all(
      { handshake: SecureChannel.connect(transport, { hello }), start: ClientLogin.start(options) },
      { concurrency: 2 }
    )
    return yield* timed(options.server, handshakeMillisecondsMax, exchange).pipe(
      Effect.mapError((error) => (error._tag === "ConnectFailed" ? error : channelBroke(options.server, error)))
    )
  }).pipe(
    Scope.provide(connection),
    Effect.onError((cause) => Scope.close(connection, Exit.failCause(cause)))
  )
  return { connection, handshake, start }
})

const authenticate = (
  options: ConnectOptions,
  handshake: Handshake,
  password: Password,
  start: ClientLogin.Start
): Effect.Effect<SecureChannel.SecureChannel, LoginError, Digest | Opaque> =>
  timed(
    options.server,
    handshakeMillisecondsMax,
    ClientLogin.login(handshake, { user: options.user, password }, start)
  ).pipe(
    Effect.catchTag("ChannelFailed", (error) => Effect.fail(channelBroke(options.server, error))),
    Effect.catchTag("LoginIncorrect", (incorrect) =>
      Effect.flatMap(
        options.askAgain !== undefined && incorrect.attemptsLeft > 0 ? options.askAgain(incorrect) : Effect.succeedNone,
        Option.match({
          onNone: () => Effect.fail(incorrect),
          onSome: (next) =>
            Effect.flatMap(
              Effect.mapError(ClientLogin.start({ user: options.user, password: next }), (error) =>
                channelBroke(options.server, error)
              ),
              (again) => authenticate(options, handshake, next, again)
            )
        })
      )
    )
  )

const timed = <A, E, R>(
  server: string,
  milliseconds: number,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | ConnectFailed, R> =>
  Effect.timeoutOrElse(work, {
    duration: milliseconds,
    orElse: () => Effect.fail(new ConnectFailed({ server, reason: "timeout", code: "ETIMEDOUT" }))
  })

const dialReasons = new Map<string, ConnectFailed["reason"]>([
  ["ECONNREFUSED", "connection-refused"],
  ["ENOTFOUND", "name-not-found"],
  ["EAI_AGAIN", "name-not-found"],
  ["EAI_NODATA", "name-not-found"],
  ["EAI_NONAME", "name-not-found"],
  ["ETIMEDOUT", "timeout"],
  // It was accepted, and closed while our hello was on its way.
  ["ECONNRESET", "closed-at-once"]
])

const dialFailed = (server: string, error: Socket.SocketError): ConnectFailed => {
  const code = codeOf(error.reason._tag === "SocketOpenError" ? error.reason.cause : undefined)
  return new ConnectFailed({ server, reason: dialReasons.get(code) ?? "unreachable", code, cause: error })
}

// A host with several addresses fails with one error for each: the first tells enough.
const codeOf = (cause: unknown): string => {
  if (cause instanceof AggregateError) return codeOf(cause.errors[0])
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"
}

const channelReasons = new Map<string, ConnectFailed["reason"]>([
  ["bad-hello", "not-paradrop"],
  ["other-version", "other-version"],
  ["unknown-stretching", "other-version"],
  ["truncated", "closed-at-once"],
  // A server that closes while bytes of ours are on their way resets the connection.
  ["connection-lost", "closed-at-once"]
])

const channelBroke = (server: string, error: ChannelFailed): ConnectFailed =>
  new ConnectFailed({
    server,
    reason: channelReasons.get(error.reason) ?? "handshake-failed",
    code: error.reason,
    cause: error
  })
