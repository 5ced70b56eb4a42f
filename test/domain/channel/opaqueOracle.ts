/**
 * A second OPAQUE-3DH (RFC 9807) with ristretto255-SHA512, over noble: slow, short, and close to the RFC's text.
 *
 * It takes every random value as an input, so it runs the RFC's vectors and repeats any exchange byte for byte. Serves
 * tests only: it is not constant time.
 */
import { ristretto255, ristretto255_hasher, ristretto255_oprf } from "@noble/curves/ed25519.js"
import { expand, extract } from "@noble/hashes/hkdf.js"
import { hmac } from "@noble/hashes/hmac.js"
import { sha512 } from "@noble/hashes/sha2.js"
import { argon2Sync } from "node:crypto"
import * as Bytes from "../../../src/domain/Bytes.ts"

const { oprf } = ristretto255_oprf
const { Point } = ristretto255
const { Fn } = Point

const text = Bytes.fromUtf8
const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Bytes.concat([...parts, new Uint8Array(0)])
const none = new Uint8Array(0)
const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, index) => byte ^ (b[index] ?? 0))
const withLength = (bytes: Uint8Array): Uint8Array => join(Uint8Array.of(bytes.length >>> 8, bytes.length), bytes)

/** Slices of the given lengths, in order. */
const cut = (bytes: Uint8Array, ...lengths: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  let offset = 0
  return lengths.map((length) => bytes.subarray(offset, (offset += length)))
}

const kdf = (secret: Uint8Array, label: Uint8Array, length: number): Uint8Array => expand(sha512, secret, label, length)
const mac = (key: Uint8Array, message: Uint8Array): Uint8Array => hmac(sha512, key, message)

/** How the OPRF's output is stretched. */
export type Stretch = (output: Uint8Array) => Uint8Array
export const identityStretch: Stretch = (output) => output

/** Argon2id as the login's library runs it: salt of 16 zeros, 64 bytes out. Memory in KiB. */
export const argon2id =
  (passes: number, memory: number, parallelism: number): Stretch =>
  (message) =>
    argon2Sync("argon2id", { message, nonce: new Uint8Array(16), passes, memory, parallelism, tagLength: 64 })

export interface Suite {
  readonly context: Uint8Array
  readonly stretch: Stretch
}

/** Absent identities are the public keys (RFC 9807, section 4). */
export interface Identities {
  readonly client?: Uint8Array | undefined
  readonly server?: Uint8Array | undefined
}

export interface ServerKeys {
  readonly oprfSeed: Uint8Array
  readonly privateKey: Uint8Array
}

interface KeyPair {
  readonly secretKey: Uint8Array
  readonly publicKey: Uint8Array
}

const diffieHellmanKeys = (seed: Uint8Array): KeyPair =>
  oprf.deriveKeyPair(seed, text("OPAQUE-DeriveDiffieHellmanKeyPair"))
export const publicKeyOf = (privateKey: Uint8Array): Uint8Array =>
  Point.BASE.multiply(Fn.fromBytes(privateKey)).toBytes()
const diffieHellman = (secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array =>
  Point.fromBytes(publicKey).multiply(Fn.fromBytes(secretKey)).toBytes()

/** Section 5.1.1 and 6.3.1.1: the password, blinded. */
export const blind = (password: Uint8Array, scalar: Uint8Array): Uint8Array =>
  ristretto255_hasher
    .hashToCurve(password, { DST: join(text("HashToGroup-OPRFV1-"), Uint8Array.of(0), text("-ristretto255-SHA512")) })
    .multiply(Fn.fromBytes(scalar))
    .toBytes()

/** Section 5.1.2: the blinded password under the key of one account. */
export const evaluate = (oprfSeed: Uint8Array, credentialIdentifier: Uint8Array, blinded: Uint8Array): Uint8Array => {
  const seed = kdf(oprfSeed, join(credentialIdentifier, text("OprfKey")), 32)
  return oprf.blindEvaluate(oprf.deriveKeyPair(seed, text("OPAQUE-DeriveKeyPair")).secretKey, blinded)
}

const randomizedPassword = (
  suite: Suite,
  password: Uint8Array,
  scalar: Uint8Array,
  evaluated: Uint8Array
): Uint8Array => {
  const output = oprf.finalize(password, scalar, evaluated)
  return extract(sha512, join(output, suite.stretch(output)), none)
}

const cleartext = (serverPublicKey: Uint8Array, clientPublicKey: Uint8Array, identities: Identities): Uint8Array =>
  join(
    serverPublicKey,
    withLength(identities.server ?? serverPublicKey),
    withLength(identities.client ?? clientPublicKey)
  )

/** Section 4.1: what follows from the randomized password and the envelope's nonce. */
const envelopeOf = (randomized: Uint8Array, nonce: Uint8Array, serverPublicKey: Uint8Array, identities: Identities) => {
  const derive = (label: string, length: number): Uint8Array => kdf(randomized, join(nonce, text(label)), length)
  const client = diffieHellmanKeys(derive("PrivateKey", 32))
  const tag = mac(derive("AuthKey", 64), join(nonce, cleartext(serverPublicKey, client.publicKey, identities)))
  return { client, envelope: join(nonce, tag), exportKey: derive("ExportKey", 64) }
}

/** Section 5.2: the record, 192 bytes, from the server's answer (evaluated element and public key). */
export const finishRegistration = (
  suite: Suite,
  input: {
    readonly password: Uint8Array
    readonly blind: Uint8Array
    readonly response: Uint8Array
    readonly envelopeNonce: Uint8Array
    readonly identities: Identities
  }
) => {
  const [evaluated = none, serverPublicKey = none] = cut(input.response, 32, 32)
  const randomized = randomizedPassword(suite, input.password, input.blind, evaluated)
  const { client, envelope, exportKey } = envelopeOf(randomized, input.envelopeNonce, serverPublicKey, input.identities)
  return { record: join(client.publicKey, kdf(randomized, text("MaskingKey"), 64), envelope), exportKey }
}

export interface ClientStart {
  readonly password: Uint8Array
  readonly blind: Uint8Array
  readonly nonce: Uint8Array
  readonly keyshareSeed: Uint8Array
}

/** KE1, 96 bytes. */
export const startLogin = (start: ClientStart): Uint8Array =>
  join(blind(start.password, start.blind), start.nonce, diffieHellmanKeys(start.keyshareSeed).publicKey)

const expandLabel = (secret: Uint8Array, name: string, context: Uint8Array): Uint8Array => {
  const label = text(`OPAQUE-${name}`)
  return kdf(
    secret,
    join(Uint8Array.of(0, 64), Uint8Array.of(label.length), label, Uint8Array.of(context.length), context),
    64
  )
}

/** Section 6.4: both MACs and the session key from the three Diffie-Hellman results and the transcript. */
const keySchedule = (ikm: Uint8Array, preamble: Uint8Array) => {
  const prk = extract(sha512, ikm, none)
  const hash = sha512(preamble)
  const handshake = expandLabel(prk, "HandshakeSecret", hash)
  const serverMac = mac(expandLabel(handshake, "ServerMAC", none), hash)
  return {
    serverMac,
    clientMac: mac(expandLabel(handshake, "ClientMAC", none), sha512(join(preamble, serverMac))),
    sessionKey: expandLabel(prk, "SessionKey", hash)
  }
}

const preambleOf = (
  suite: Suite,
  ke1: Uint8Array,
  ke2Inner: Uint8Array,
  client: Uint8Array,
  server: Uint8Array
): Uint8Array =>
  join(text("OPAQUEv1-"), withLength(suite.context), withLength(client), ke1, withLength(server), ke2Inner)

/** KE2, 320 bytes, and what the server expects and gets. A record of a fake account has zeros for an envelope. */
export const answerLogin = (
  suite: Suite,
  keys: ServerKeys,
  input: {
    readonly record: Uint8Array
    readonly credentialIdentifier: Uint8Array
    readonly identities: Identities
    readonly ke1: Uint8Array
    readonly maskingNonce: Uint8Array
    readonly nonce: Uint8Array
    readonly keyshareSeed: Uint8Array
  }
) => {
  const [clientPublicKey = none, maskingKey = none, envelope = none] = cut(input.record, 32, 64, 96)
  const [blinded = none, , clientKeyshare = none] = cut(input.ke1, 32, 32, 32)
  const serverPublicKey = publicKeyOf(keys.privateKey)
  const keyshare = diffieHellmanKeys(input.keyshareSeed)
  const pad = kdf(maskingKey, join(input.maskingNonce, text("CredentialResponsePad")), 128)
  const inner = join(
    evaluate(keys.oprfSeed, input.credentialIdentifier, blinded),
    input.maskingNonce,
    xor(pad, join(serverPublicKey, envelope)),
    input.nonce,
    keyshare.publicKey
  )
  const { client = clientPublicKey, server = serverPublicKey } = input.identities
  const { clientMac, serverMac, sessionKey } = keySchedule(
    join(
      diffieHellman(keyshare.secretKey, clientKeyshare),
      diffieHellman(keys.privateKey, clientKeyshare),
      diffieHellman(keyshare.secretKey, clientPublicKey)
    ),
    preambleOf(suite, input.ke1, inner, client, server)
  )
  return { ke2: join(inner, serverMac), expectedKe3: clientMac, sessionKey }
}

/** KE3, 64 bytes, and the keys; undefined when envelope or MAC do not verify. */
export const finishLogin = (suite: Suite, start: ClientStart, ke2: Uint8Array, identities: Identities) => {
  const [evaluated = none, maskingNonce = none, masked = none, , serverKeyshare = none, serverMac = none] = cut(
    ke2,
    32,
    32,
    128,
    32,
    32,
    64
  )
  const randomized = randomizedPassword(suite, start.password, start.blind, evaluated)
  const pad = kdf(kdf(randomized, text("MaskingKey"), 64), join(maskingNonce, text("CredentialResponsePad")), 128)
  const [serverPublicKey = none, envelope = none] = cut(xor(masked, pad), 32, 96)
  const opened = envelopeOf(randomized, envelope.subarray(0, 32), serverPublicKey, identities)
  if (!Bytes.equals(opened.envelope, envelope)) return undefined
  const keyshare = diffieHellmanKeys(start.keyshareSeed)
  const { client = opened.client.publicKey, server = serverPublicKey } = identities
  const keys = keySchedule(
    join(
      diffieHellman(keyshare.secretKey, serverKeyshare),
      diffieHellman(keyshare.secretKey, serverPublicKey),
      diffieHellman(opened.client.secretKey, serverKeyshare)
    ),
    preambleOf(suite, startLogin(start), ke2.subarray(0, 256), client, server)
  )
  return Bytes.equals(keys.serverMac, serverMac)
    ? { ke3: keys.clientMac, sessionKey: keys.sessionKey, exportKey: opened.exportKey }
    : undefined
}
