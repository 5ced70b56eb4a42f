/**
 * The encrypted channel, both ends: key exchange, login inside it, then records.
 *
 * ```
 * C -> S  M1 preamble | X-Wing public key
 * S -> C  M2 preamble | X-Wing ciphertext            from here on everything is sealed
 * C -> S  LoginStart                                 S -> C  LoginResponse | Reject (and close)
 * C -> S  LoginFinish, and in the same flight the first data record
 *         or GiveUp                                  S -> C  Incorrect, and LoginStart again
 * S -> C  the first data record                      now the client knows the server
 * ```
 *
 * Neither end believes the other before the other's first data record verified: only then are the keys confirmed.
 */
import { Cause, Effect, Redacted, type Result, Semaphore } from "effect"
import * as Bytes from "../Bytes.ts"
import { recordHeaderBytes, recordsPerKeyMax, tagBytes } from "../limits.ts"
import { type ChannelFailed, channelFailed } from "./ChannelError.ts"
import { Cipher } from "./Cipher.ts"
import {
  type ClientHandshake,
  clientLengths,
  decodeClient,
  decodeServer,
  encodeClient,
  encodeServer,
  type ServerHandshake,
  serverLengths
} from "./HandshakeMessage.ts"
import { ciphertextBytes, Kem, type KemKeyPair, publicKeyBytes, type SharedSecret } from "./Kem.ts"
import {
  applicationSecrets,
  extendTranscript,
  handshakeSecrets,
  type Secret,
  transcriptOfHellos
} from "./KeySchedule.ts"
import type { SessionKey } from "./Opaque.ts"
import { family, helloOf, preamble } from "./Protocol.ts"
import { decodeHeader, makeOpener, makeSealer, type Opener, type RecordHeader, type Sealer } from "./Record.ts"
import type { Transport } from "./Transport.ts"

/** What a channel delivers: the plaintext of a data record, or the proved end of the peer's stream. */
export type Received = { readonly _tag: "Data"; readonly plaintext: Bytes.Parts } | { readonly _tag: "End" }

/** A channel with application keys. */
export interface SecureChannel {
  /**
   * The next record. One caller at a time; interrupted while it waits for bytes, it loses nothing.
   * After any failure, and after `End`, the channel delivers nothing more.
   */
  readonly receive: Effect.Effect<Received, ChannelFailed>
  /** Seals and writes one data record of at most 512 KiB. Callers queue: records leave in their order. */
  readonly send: (plaintext: Bytes.Parts) => Effect.Effect<void, ChannelFailed>
  /** Proves the end of our stream. Nothing can be sent afterwards. */
  readonly end: Effect.Effect<void, ChannelFailed>
  /** As that of the transport: tells of a record that is long on its way, before it can be verified. */
  readonly follow: Transport["follow"]
  /** 32 bytes that only the two ends know: to bind something else to this channel (as RFC 8446, section 7.5). */
  readonly exporter: Secret
}

/** A channel whose keys come from the key exchange alone: private, but nobody has proved anything. */
export interface HandshakeChannel<In, Out> {
  readonly receive: Effect.Effect<In, ChannelFailed>
  readonly send: (message: Out) => Effect.Effect<void, ChannelFailed>
  /** Switches both directions to keys that need the login's session key too. The handshake channel is used up. */
  readonly upgrade: (sessionKey: SessionKey) => SecureChannel
}

/** What both ends of a channel must be told alike. */
export interface ChannelOptions {
  /** Records under one key; both ends must agree. Tests make it small. */
  readonly recordsPerKey?: number
}

/** A client's hello that was made before there was a channel. */
export interface Hello {
  /** fresh, for one channel only */
  readonly keyPair: KemKeyPair
  /** whether the transport has it already */
  readonly said: boolean
}

/** What a client may bring along. */
export interface ConnectOptions extends ChannelOptions {
  readonly hello?: Hello
}

/** The client's side of the key exchange: says hello, waits for the server's. */
export const connect = Effect.fnUntraced(function* (
  transport: Transport,
  options: ConnectOptions = {}
): Effect.fn.Return<HandshakeChannel<ServerHandshake, ClientHandshake>, ChannelFailed, Kem | Cipher> {
  const { keyPair, said } = options.hello ?? { keyPair: yield* (yield* Kem).keyPair, said: false }
  const hello = helloOf(keyPair.publicKey)
  if (!said) yield* transport.write([hello])
  const answer = yield* takeHello(transport, ciphertextBytes)
  const secret = yield* Effect.mapError(keyPair.decapsulate(answer.subarray(preamble.length)), () =>
    channelFailed("kem-rejected")
  )
  return handshakeChannel(yield* Cipher, transport, client, secret, hello, answer, options)
})

/** The server's side of the key exchange: waits for the client's hello, answers. */
export const accept = Effect.fnUntraced(function* (
  transport: Transport,
  options: ChannelOptions = {}
): Effect.fn.Return<HandshakeChannel<ClientHandshake, ServerHandshake>, ChannelFailed, Kem | Cipher> {
  const kem = yield* Kem
  const hello = yield* Effect.tapError(takeHello(transport, publicKeyBytes), ({ reason }) =>
    // So that the client can say what is wrong. Nothing depends on it: it is neither sealed nor proved.
    reason === "other-version" ? Effect.ignore(transport.write([preamble])) : Effect.void
  )
  const { ciphertext, secret } = yield* Effect.mapError(kem.encapsulate(hello.subarray(preamble.length)), () =>
    channelFailed("kem-rejected")
  )
  const answer = helloOf(ciphertext)
  yield* transport.write([answer])
  return handshakeChannel(yield* Cipher, transport, server, secret, hello, answer, options)
})

/**
 * Whether `accept` would go on at once with what has come so far: a whole hello, or what can only be refused. Who waits
 * for that first holds bytes instead of a fiber.
 */
export const greeted = (start: Bytes.Parts): boolean => {
  const length = Bytes.lengthOf(start)
  if (length < preamble.length) return false
  if (length >= preamble.length + publicKeyBytes) return true
  return !Bytes.equals(Bytes.concat(Bytes.slice(start, 0, preamble.length)), preamble)
}

// The preamble is judged before anything else is waited for: another protocol is turned away at its fifth byte.
const takeHello = Effect.fnUntraced(function* (transport: Transport, length: number) {
  const start = Bytes.copy(Bytes.concat(yield* transport.take(preamble.length)))
  if (!Bytes.equals(start, preamble)) {
    const related = Bytes.equals(start.subarray(0, family.length), family)
    return yield* channelFailed(related ? "other-version" : "bad-hello")
  }
  return Bytes.concat([start, ...(yield* transport.take(length))])
})

/** What differs between the two ends. */
interface Role<In, Out> {
  readonly sends: "client" | "server"
  readonly receives: "client" | "server"
  readonly encode: (message: Out) => Uint8Array
  readonly decode: (bytes: Uint8Array) => Result.Result<In, ChannelFailed>
  /** plaintext lengths that the peer's handshake records may have */
  readonly lengths: ReadonlySet<number>
}

const client: Role<ServerHandshake, ClientHandshake> = {
  sends: "client",
  receives: "server",
  encode: encodeClient,
  decode: decodeServer,
  lengths: serverLengths
}

const server: Role<ClientHandshake, ServerHandshake> = {
  sends: "server",
  receives: "client",
  encode: encodeServer,
  decode: decodeClient,
  lengths: clientLengths
}

const handshakeChannel = <In, Out>(
  cipher: Cipher["Service"],
  transport: Transport,
  role: Role<In, Out>,
  secret: SharedSecret,
  clientHello: Uint8Array,
  serverHello: Uint8Array,
  { recordsPerKey = recordsPerKeyMax }: ChannelOptions
): HandshakeChannel<In, Out> => {
  let transcript = transcriptOfHellos(clientHello, serverHello)
  const secrets = handshakeSecrets(secret, transcript)
  const sealer = makeSealer(cipher, secrets[role.sends], recordsPerKey)
  const opener = makeOpener(cipher, secrets[role.receives], recordsPerKey)
  return {
    receive: Effect.gen(function* () {
      const header = yield* takeHeader(transport)
      // Exact lengths: before a login nobody makes us hold more than a login needs.
      if (header.type !== "handshake" || !role.lengths.has(header.length - tagBytes)) {
        return yield* channelFailed("record-refused")
      }
      const plaintext = Bytes.concat(yield* opener.open(header, yield* transport.take(header.length)))
      transcript = extendTranscript(transcript, header.bytes, plaintext)
      return yield* Effect.fromResult(role.decode(plaintext))
    }),
    send: Effect.fnUntraced(function* (message) {
      const plaintext = role.encode(message)
      const record = yield* sealer.seal("handshake", [plaintext])
      const [header = plaintext] = record
      transcript = extendTranscript(transcript, header, plaintext)
      yield* transport.write(record)
    }),
    upgrade: (sessionKey) => {
      const application = applicationSecrets(sessionKey, secrets.chain, transcript)
      Redacted.wipeUnsafe(sessionKey)
      return secureChannel(
        transport,
        makeSealer(cipher, application[role.sends], recordsPerKey),
        makeOpener(cipher, application[role.receives], recordsPerKey),
        application.exporter
      )
    }
  }
}

/** A channel that is open, as it stands. State and few closures: a server holds one for every session. */
interface Opened {
  readonly transport: Transport
  readonly sealer: Sealer
  readonly opener: Opener
  state: "unconfirmed" | "open" | "over"
  /** nothing more can be sent */
  ended: boolean
  /** The header whose body is still awaited: an interrupted `receive` loses nothing. */
  pending: RecordHeader | undefined
  opening: boolean
}

const open = (channel: Opened, header: RecordHeader, sealed: Bytes.Parts) =>
  channel.opener.open(header, sealed).pipe(
    // The first record confirms the peer's keys; that it fails has a name of its own.
    Effect.mapError((error) => (channel.state === "unconfirmed" ? channelFailed("confirmation-failed") : error))
  )

const deliver = (
  channel: Opened,
  { type }: RecordHeader,
  plaintext: Bytes.Parts
): Effect.Effect<Received, ChannelFailed> => {
  channel.opening = false
  channel.state = "open"
  if (type === "data") return Effect.succeed({ _tag: "Data", plaintext })
  if (Bytes.lengthOf(plaintext) > 0) return Effect.fail(channelFailed("record-refused"))
  channel.state = "over"
  return Effect.succeed({ _tag: "End" })
}

const bodyOf = (channel: Opened, header: RecordHeader): Effect.Effect<Received, ChannelFailed> => {
  channel.pending = header
  if (header.type === "handshake") return Effect.fail(channelFailed("record-refused"))
  return Effect.flatMap(channel.transport.take(header.length), (sealed) => {
    channel.pending = undefined
    channel.opening = true
    return Effect.flatMap(open(channel, header, sealed), (plaintext) => deliver(channel, header, plaintext))
  })
}

const receive = (channel: Opened): Effect.Effect<Received, ChannelFailed> => {
  if (channel.state === "over") return Effect.fail(channelFailed("truncated"))
  const { pending, transport } = channel
  const next =
    pending === undefined
      ? Effect.flatMap(takeHeader(transport), (header) => bodyOf(channel, header))
      : bodyOf(channel, pending)
  // A record that was taken and not delivered would be a hole in the stream: nothing can follow it.
  return Effect.onError(next, (cause) =>
    Effect.sync(() => {
      if (channel.opening || !Cause.hasInterruptsOnly(cause)) channel.state = "over"
    })
  )
}

// A record whose writing failed or was interrupted may be half out: nothing can follow it.
const write = (channel: Opened, type: "data" | "end", plaintext: Bytes.Parts) =>
  Effect.flatMap(channel.sealer.seal(type, plaintext), channel.transport.write).pipe(
    Effect.onError(() => Effect.sync(() => (channel.ended = true)))
  )

const end = (channel: Opened) => {
  if (channel.ended) return Effect.void
  channel.ended = true
  return write(channel, "end", [])
}

const secureChannel = (transport: Transport, sealer: Sealer, opener: Opener, exporter: Secret): SecureChannel => {
  // Sealing and writing are one critical section: otherwise records would leave out of order and not verify.
  const sending = Semaphore.makeUnsafe(1)
  const channel: Opened = {
    transport,
    sealer,
    opener,
    state: "unconfirmed",
    ended: false,
    pending: undefined,
    opening: false
  }
  return {
    exporter,
    follow: transport.follow,
    receive: Effect.suspend(() => receive(channel)),
    send: (plaintext) =>
      sending.withPermit(
        Effect.suspend(() =>
          channel.ended ? Effect.fail(channelFailed("connection-lost")) : write(channel, "data", plaintext)
        )
      ),
    end: Effect.suspend(() => sending.withPermit(Effect.suspend(() => end(channel))))
  }
}

const takeHeader = (transport: Transport): Effect.Effect<RecordHeader, ChannelFailed> =>
  Effect.flatMap(transport.take(recordHeaderBytes), (parts) => {
    // Its own copy: it is still needed when the body has been taken.
    const header = decodeHeader(Bytes.copy(Bytes.concat(parts)))
    return header === undefined ? Effect.fail(channelFailed("record-refused")) : Effect.succeed(header)
  })
