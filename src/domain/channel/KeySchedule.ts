/**
 * From shared secrets to record keys: pure functions, a translation of docs/PROTOCOL.md, "Key schedule".
 *
 * ```
 * th0     = SHA-256(M1 || M2)
 * hs      = kdf(kem secret,  salt th0,   "pd/1 hs", 96)        = client(32) || server(32) || chain(32)
 * th'     = SHA-256(th || record header || plaintext)          for every handshake record, in order
 * ap      = kdf(session key, salt chain, "pd/1 ap" || th, 96)  = client(32) || server(32) || exporter(32)
 * record  = kdf(secret, no salt, "pd/1 key", 44)               = key(32) || iv(12)
 * secret' = kdf(secret, no salt, "pd/1 upd", 32)
 * kdf     = HKDF-SHA-256, extract and expand (RFC 5869)
 * ```
 */
import { hkdf } from "@noble/hashes/hkdf.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { Redacted } from "effect"
import * as Bytes from "../Bytes.ts"
import { protocolName } from "./Protocol.ts"

/** A secret of 32 bytes from which one direction's record keys are made. */
export type Secret = Redacted.Redacted<Uint8Array>

/** Hash of everything that was said so far: 32 bytes. */
export type Transcript = Uint8Array

/** One secret for each direction. */
export interface DirectionSecrets {
  readonly client: Secret
  readonly server: Secret
}

const info = (name: string): Uint8Array => Bytes.fromUtf8(`${protocolName} ${name}`)

const kdf = (secret: Secret, salt: Uint8Array, label: Uint8Array, length: number): Uint8Array =>
  hkdf(sha256, Redacted.value(secret), salt, label, length)

const none = new Uint8Array(0)

const part = (bytes: Uint8Array, index: number): Secret =>
  Redacted.make(bytes.slice(index * 32, (index + 1) * 32), { label: "channel secret" })

/** th0: both hellos. */
export const transcriptOfHellos = (clientHello: Uint8Array, serverHello: Uint8Array): Transcript =>
  sha256(Bytes.concat([clientHello, serverHello]))

/** The transcript after one more handshake record. */
export const extendTranscript = (transcript: Transcript, header: Uint8Array, plaintext: Uint8Array): Transcript =>
  sha256(Bytes.concat([transcript, header, plaintext]))

/** Secrets of the handshake records, and the chain secret that the login is mixed into. */
export const handshakeSecrets = (
  kemSecret: Secret,
  transcript: Transcript
): DirectionSecrets & { readonly chain: Secret } => {
  const bytes = kdf(kemSecret, transcript, info("hs"), 96)
  return { client: part(bytes, 0), server: part(bytes, 1), chain: part(bytes, 2) }
}

/**
 * Secrets of the application records. They need both the channel's chain secret and the login's session key: who relays
 * a login between two channels knows neither end's.
 */
export const applicationSecrets = (
  sessionKey: Secret,
  chain: Secret,
  transcript: Transcript
): DirectionSecrets & { readonly exporter: Secret } => {
  const bytes = kdf(sessionKey, Redacted.value(chain), Bytes.concat([info("ap"), transcript]), 96)
  return { client: part(bytes, 0), server: part(bytes, 1), exporter: part(bytes, 2) }
}

/** AEAD key (32 bytes) and nonce base (12 bytes) of a direction. */
export const recordKey = (secret: Secret): { readonly key: Redacted.Redacted<Uint8Array>; readonly iv: Uint8Array } => {
  const bytes = kdf(secret, none, info("key"), 44)
  return { key: Redacted.make(bytes.slice(0, 32), { label: "record key" }), iv: bytes.slice(32) }
}

/** The secret after a rekey; the old one cannot be computed from it. */
export const nextSecret = (secret: Secret): Secret => part(kdf(secret, none, info("upd"), 32), 0)
