/**
 * Published test vectors: JSON files of hex strings, each with its source.
 */
import { Schema } from "effect"
import { readFileSync } from "node:fs"

const Hex = Schema.Uint8ArrayFromHex

/** Bytes of hex digits. */
export const hex = Schema.decodeSync(Hex)

/** Hex digits of bytes. */
export const toHex = Schema.encodeSync(Hex)

const load = <S extends Schema.Constraint & { readonly DecodingServices: never }>(name: string, schema: S): S["Type"] =>
  Schema.decodeUnknownSync(Schema.fromJsonString(schema))(
    readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8")
  )

/** X-Wing: `pk` and `ct` by their digests. */
export const xWing = load(
  "x-wing",
  Schema.Struct({
    vectors: Schema.Array(
      Schema.Struct({
        seed: Hex,
        eseed: Hex,
        ss: Schema.String,
        /** SHA3-256, in hex */
        pkSha3: Schema.optionalKey(Schema.String),
        ctSha3: Schema.optionalKey(Schema.String)
      })
    )
  })
).vectors

export const hkdfSha256 = load(
  "hkdf-sha256",
  Schema.Struct({
    vectors: Schema.Array(Schema.Struct({ name: Schema.String, ikm: Hex, salt: Hex, info: Hex, okm: Schema.String }))
  })
).vectors

export const aes256Gcm = load(
  "aes-256-gcm",
  Schema.Struct({
    vectors: Schema.Array(
      Schema.Struct({
        tcId: Schema.String,
        comment: Schema.String,
        key: Hex,
        iv: Hex,
        aad: Hex,
        msg: Schema.String,
        ct: Schema.String,
        tag: Schema.String,
        result: Schema.Literals(["valid", "invalid"])
      })
    )
  })
).vectors

const Identities = {
  clientIdentity: Schema.optionalKey(Hex),
  serverIdentity: Schema.optionalKey(Hex)
}

/** OPAQUE-3DH: inputs as bytes, what must come out as hex. */
export const opaque3dh = load(
  "opaque-3dh",
  Schema.Struct({
    context: Hex,
    real: Schema.Array(
      Schema.Struct({
        ...Identities,
        oprfSeed: Hex,
        credentialIdentifier: Hex,
        password: Hex,
        envelopeNonce: Hex,
        maskingNonce: Hex,
        serverPrivateKey: Hex,
        serverPublicKey: Hex,
        serverNonce: Hex,
        clientNonce: Hex,
        clientKeyshareSeed: Hex,
        serverKeyshareSeed: Hex,
        blindRegistration: Hex,
        blindLogin: Hex,
        registrationRequest: Schema.String,
        registrationResponse: Schema.String,
        registrationUpload: Schema.String,
        ke1: Schema.String,
        ke2: Schema.String,
        ke3: Schema.String,
        exportKey: Schema.String,
        sessionKey: Schema.String
      })
    ),
    fake: Schema.Array(
      Schema.Struct({
        ...Identities,
        oprfSeed: Hex,
        credentialIdentifier: Hex,
        maskingNonce: Hex,
        clientPublicKey: Hex,
        serverPrivateKey: Hex,
        serverPublicKey: Hex,
        serverNonce: Hex,
        serverKeyshareSeed: Hex,
        maskingKey: Hex,
        ke1: Hex,
        ke2: Schema.String
      })
    )
  })
)
