/**
 * Port: the OPAQUE password-authenticated key exchange (RFC 9807), OPAQUE-3DH with ristretto255-SHA512.
 *
 * The server keeps a record from which the password cannot be read; a login proves both sides to each other and gives
 * both the same session key. All byte strings have the RFC's layouts and lengths.
 *
 * ## Contract
 *
 * - A record that is absent gives an answer that cannot be told from a real one (RFC 9807, section 10.9).
 * - Everything that a peer sends may be hostile: what does not parse or verify is `OpaqueRejected`, never a crash.
 * - The identity of both ends is bound: user name and protocol name are in the envelope, the transcript and the
 *   password input, so a record or an answer for another name never verifies.
 */
import type * as library from "@serenity-kit/opaque"
import { Context, Effect, Layer, Redacted, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { protocolName } from "./Protocol.ts"

/** The peer's message is invalid, or the password does not match. Which of the two is not told. */
export class OpaqueRejected extends Schema.TaggedError<OpaqueRejected>()("OpaqueRejected", {}) {
  override get message(): string {
    return "the password exchange failed"
  }
}

/** The client's first message (RFC 9807), bytes; so are the lengths below. */
export const ke1Bytes = 96

/** The server's answer: credential response and its side of the key exchange, bytes. */
export const ke2Bytes = 320

/** The client's proof, bytes. */
export const ke3Bytes = 64

/** A registration record, bytes. */
export const recordBytes = 192

/** The client's half of a registration, bytes. */
export const registrationRequestBytes = 32

/** The server's half of a registration, bytes. */
export const registrationResponseBytes = 64

/** The server's long-term secrets, bytes. */
export const setupBytes = 128

/**
 * How the client stretches the password: one value for a whole server, so that it tells nothing about which names
 * exist.
 * 1: Argon2id, 3 passes, 64 MiB, 4 lanes (RFC 9106, second recommendation). 2: Argon2id, 2 passes, 19 MiB, 1 lane.
 * 3: Argon2id, 1 pass, 8 KiB, 1 lane: costs a thief of the server's files nothing, so for passwords alone that nobody
 * can guess. A client accepts no other. None makes a login easier for who has not got those files.
 */
export const StretchingId = Schema.Literals([1, 2, 3])
export type StretchingId = typeof StretchingId.Type

/** A password as it was typed, kept out of logs. */
export type Password = Redacted.Redacted<string>
/** 64 bytes */
export type SessionKey = Redacted.Redacted<Uint8Array>
/** 128 bytes: the server's long-term secrets. Whoever has it can impersonate the server. */
export type ServerSetup = Redacted.Redacted<Uint8Array>
/** 192 bytes: what the server keeps of one password. */
export type RegistrationRecord = Redacted.Redacted<Uint8Array>

/** Who registers, and how the password is stretched. */
export interface Credentials {
  readonly user: string
  readonly password: Password
  readonly stretching: StretchingId
}

export class Opaque extends Context.Service<
  Opaque,
  {
    /** Fresh long-term secrets of a server. */
    readonly createSetup: Effect.Effect<ServerSetup>
    /** Both halves of a registration in one place: for the administrator of the server. */
    readonly register: (
      setup: ServerSetup,
      credentials: Credentials
    ) => Effect.Effect<RegistrationRecord, OpaqueRejected>
    /** Client: the first half of a registration (32 bytes), and the state to keep. */
    readonly startRegistration: (
      user: string,
      password: Password
    ) => Effect.Effect<{ readonly request: Uint8Array; readonly state: Redacted.Redacted<string> }, OpaqueRejected>
    /** Server: its part of a registration (64 bytes). */
    readonly answerRegistration: (
      setup: ServerSetup,
      user: string,
      request: Uint8Array
    ) => Effect.Effect<Uint8Array, OpaqueRejected>
    /** Client: the record for the server to keep. */
    readonly finishRegistration: (
      state: Redacted.Redacted<string>,
      response: Uint8Array,
      credentials: Credentials
    ) => Effect.Effect<RegistrationRecord, OpaqueRejected>
    /** Client: a password will have to be stretched soon. What takes time to be ready for that begins. */
    readonly prepare: Effect.Effect<void>
    /** Client, first message (KE1, 96 bytes), and the state to keep. */
    readonly startLogin: (
      user: string,
      password: Password
    ) => Effect.Effect<{ readonly ke1: Uint8Array; readonly state: Redacted.Redacted<string> }, OpaqueRejected>
    /** Server: the answer to KE1 (KE2, 320 bytes), and the state to keep. `record` is undefined for unknown users. */
    readonly answerLogin: (
      setup: ServerSetup,
      user: string,
      record: RegistrationRecord | undefined,
      ke1: Uint8Array
    ) => Effect.Effect<{ readonly ke2: Uint8Array; readonly state: Redacted.Redacted<string> }, OpaqueRejected>
    /** Client: proof of the password (KE3, 64 bytes) and the session key. Fails when the server does not know it. */
    readonly finishLogin: (
      state: Redacted.Redacted<string>,
      ke2: Uint8Array,
      credentials: Credentials
    ) => Effect.Effect<{ readonly ke3: Uint8Array; readonly sessionKey: SessionKey }, OpaqueRejected>
    /** Server: verifies KE3 and gives the session key. The state must not be used again. */
    readonly verifyLogin: (
      state: Redacted.Redacted<string>,
      user: string,
      ke3: Uint8Array
    ) => Effect.Effect<SessionKey, OpaqueRejected>
  }
>()("paradrop/channel/Opaque") {
  /** The audited `opaque-ke` in WebAssembly: for Node and browsers. */
  static readonly layer: Layer.Layer<Opaque> = Layer.unwrap(Effect.sync(() => layerWith(stretchings)))

  /** As `layer`, with stretching that costs next to nothing. For tests: a thief could guess quickly. */
  static readonly layerQuick: Layer.Layer<Opaque> = Layer.unwrap(Effect.sync(() => layerWith(quickStretchings)))
}

/** The library's own functions. */
export type Library = typeof library
/** A stretching as the library is told of it. */
export type Stretching = NonNullable<Parameters<Library["client"]["finishLogin"]>[0]["keyStretching"]>

const quick = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } }

const stretchings: Record<StretchingId, Stretching> = {
  1: "memory-constrained",
  2: { "argon2id-custom": { iterations: 2, memory: 19 * 1024, parallelism: 1 } },
  3: quick
}

const quickStretchings: Record<StretchingId, Stretching> = { 1: quick, 2: quick, 3: quick }

/** Whether a stretching costs next to nothing, so that no platform need spend it elsewhere. */
export const isQuick = (stretching: Stretching | undefined): boolean => stretching === quick

type FinishLogin = Library["client"]["finishLogin"]
type FinishRegistration = Library["client"]["finishRegistration"]

/** The two steps that stretch a password: a fifth of a second and 64 MiB each, which a platform may spend elsewhere. */
export interface Stretcher {
  /** A step will be needed soon. */
  readonly prepare: Effect.Effect<void>
  readonly finishLogin: (params: Parameters<FinishLogin>[0]) => Effect.Effect<ReturnType<FinishLogin>, OpaqueRejected>
  readonly finishRegistration: (
    params: Parameters<FinishRegistration>[0]
  ) => Effect.Effect<ReturnType<FinishRegistration>, OpaqueRejected>
}

/** Stretches where it is asked. */
export const inPlace = (library: Effect.Effect<Library>): Stretcher => ({
  prepare: Effect.void,
  finishLogin: (params) => attempt(library, ({ client }) => client.finishLogin(params)),
  finishRegistration: (params) => attempt(library, ({ client }) => client.finishRegistration(params))
})

const layerWith = (stretching: Record<StretchingId, Stretching>): Layer.Layer<Opaque> =>
  Layer.effect(
    Opaque,
    Effect.map(Effect.promise(load), (loaded) => {
      const library = Effect.succeed(loaded)
      return Opaque.of(make(library, stretching, inPlace(library)))
    })
  )

/**
 * As `Opaque.layer`, with the stretching done by another; `library` is what that may use besides. The library is loaded
 * while whoever builds the layer goes on: the first operation waits for it.
 */
export const layerStretchedBy = (stretcher: (library: Effect.Effect<Library>) => Stretcher): Layer.Layer<Opaque> =>
  Layer.sync(Opaque, () => {
    // Settled whatever happens: who asks for it is told what went wrong, and nobody may ask.
    const loading = Promise.allSettled([load()])
    const library = Effect.flatMap(
      Effect.promise(() => loading),
      ([loaded]) => (loaded.status === "fulfilled" ? Effect.succeed(loaded.value) : Effect.die(loaded.reason))
    )
    return Opaque.of(make(library, stretchings, stretcher(library)))
  })

// Imported here: compiling the WebAssembly is work that only a login should pay for.
const load = async (): Promise<Library> => {
  const library = await import("@serenity-kit/opaque")
  await library.ready
  return library
}

const make = (
  library: Effect.Effect<Library>,
  stretching: Record<StretchingId, Stretching>,
  stretcher: Stretcher
): Opaque["Service"] => ({
  prepare: stretcher.prepare,

  createSetup: Effect.map(library, ({ server }) => secretBytes(server.createSetup(), "server setup")),

  register: Effect.fnUntraced(function* (setup, { password, stretching: id, user }) {
    const input = passwordInput(user, password)
    const params = yield* attempt(library, ({ client, server }) => {
      const start = client.startRegistration({ password: input })
      const { registrationResponse } = server.createRegistrationResponse({
        serverSetup: text(Redacted.value(setup)),
        userIdentifier: user,
        registrationRequest: start.registrationRequest
      })
      return {
        password: input,
        registrationResponse,
        clientRegistrationState: start.clientRegistrationState,
        identifiers: identifiers(user),
        keyStretching: stretching[id]
      }
    })
    const { registrationRecord } = yield* stretcher.finishRegistration(params)
    return yield* attempt(library, () => secretBytes(registrationRecord, "registration record"))
  }),

  startRegistration: (user, password) =>
    attempt(library, ({ client }) => {
      const start = client.startRegistration({ password: passwordInput(user, password) })
      return {
        request: bytes(start.registrationRequest),
        state: secret(start.clientRegistrationState, "client registration state")
      }
    }),

  answerRegistration: (setup, user, request) =>
    attemptOn(library, request, registrationRequestBytes, ({ server }) =>
      bytes(
        server.createRegistrationResponse({
          serverSetup: text(Redacted.value(setup)),
          userIdentifier: user,
          registrationRequest: text(request)
        }).registrationResponse
      )
    ),

  finishRegistration: Effect.fnUntraced(function* (state, response, { password, stretching: id, user }) {
    const params = yield* attemptOn(library, response, registrationResponseBytes, () => ({
      password: passwordInput(user, password),
      registrationResponse: text(response),
      clientRegistrationState: Redacted.value(state),
      identifiers: identifiers(user),
      keyStretching: stretching[id]
    }))
    const { registrationRecord } = yield* stretcher.finishRegistration(params)
    return yield* attempt(library, () => secretBytes(registrationRecord, "registration record"))
  }),

  startLogin: (user, password) =>
    attempt(library, ({ client }) => {
      const start = client.startLogin({ password: passwordInput(user, password) })
      return { ke1: bytes(start.startLoginRequest), state: secret(start.clientLoginState, "client login state") }
    }),

  answerLogin: (setup, user, record, ke1) =>
    attemptOn(library, ke1, ke1Bytes, ({ server }) => {
      const answer = server.startLogin({
        serverSetup: text(Redacted.value(setup)),
        userIdentifier: user,
        registrationRecord: record === undefined ? null : text(Redacted.value(record)),
        startLoginRequest: text(ke1),
        identifiers: identifiers(user)
      })
      return { ke2: bytes(answer.loginResponse), state: secret(answer.serverLoginState, "server login state") }
    }),

  finishLogin: Effect.fnUntraced(function* (state, ke2, { password, stretching: id, user }) {
    const params = yield* attemptOn(library, ke2, ke2Bytes, () => ({
      clientLoginState: Redacted.value(state),
      loginResponse: text(ke2),
      password: passwordInput(user, password),
      identifiers: identifiers(user),
      keyStretching: stretching[id]
    }))
    const finish = yield* stretcher.finishLogin(params)
    if (finish === undefined) return yield* new OpaqueRejected()
    return yield* attempt(library, () => ({
      ke3: bytes(finish.finishLoginRequest),
      sessionKey: secretBytes(finish.sessionKey, "session key")
    }))
  }),

  verifyLogin: (state, user, ke3) =>
    attemptOn(library, ke3, ke3Bytes, ({ server }) => {
      const finish = server.finishLogin({
        serverLoginState: Redacted.value(state),
        finishLoginRequest: text(ke3),
        identifiers: identifiers(user)
      })
      return secretBytes(finish.sessionKey, "session key")
    })
})

const attempt = <A>(library: Effect.Effect<Library>, run: (library: Library) => A): Effect.Effect<A, OpaqueRejected> =>
  Effect.flatMap(library, (loaded) => Effect.try({ try: () => run(loaded), catch: () => new OpaqueRejected() }))

// The library ignores what follows a message; here a message has one encoding.
const attemptOn = <A>(
  library: Effect.Effect<Library>,
  message: Uint8Array,
  length: number,
  run: (library: Library) => A
): Effect.Effect<A, OpaqueRejected> =>
  message.length === length ? attempt(library, run) : Effect.fail(new OpaqueRejected())

const identifiers = (user: string) => ({ client: user, server: protocolName })

/** Identities belong into the OPRF input too (RFC 9807, section 9.1): they separate users and protocols. */
const passwordInput = (user: string, password: Password): string =>
  JSON.stringify([protocolName, user, Redacted.value(password).normalize("NFC")])

const text = (raw: Uint8Array): string => Base64Url.encode(raw)

/** What the library gives is base64url; anything else ends the attempt that asked for it. */
const bytes = (encoded: string): Uint8Array => Result.getOrThrow(Base64Url.decode(encoded))

const secret = (value: string, label: string): Redacted.Redacted<string> => Redacted.make(value, { label })
const secretBytes = (encoded: string, label: string): Redacted.Redacted<Uint8Array> =>
  Redacted.make(bytes(encoded), { label })
