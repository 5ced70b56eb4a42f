/**
 * What names this protocol and its version, everywhere a key or a hash is made.
 */
import * as Bytes from "../Bytes.ts"

/** Protocol and version. A change of the wire is a change of this name. */
export const protocolName = "pd/1"

/** The one cipher suite of version 1: X-Wing, HKDF-SHA-256, AES-256-GCM, OPAQUE-3DH ristretto255-SHA512. */
const suite = 0x01

/** What both ends send first: protocol name and suite, 5 bytes. */
export const preamble: Uint8Array = Bytes.concat([Bytes.fromUtf8(protocolName), Uint8Array.of(suite)])

/** What the preambles of all versions begin with. */
export const family: Uint8Array = Bytes.fromUtf8("pd/")

/** What an end says first: the preamble, and its public key or ciphertext. */
export const helloOf = (key: Uint8Array): Uint8Array => Bytes.concat([preamble, key])
