/**
 * The messages of the login, each with a fixed layout and length (docs/PROTOCOL.md, "Handshake").
 *
 * ```
 * 01 LoginStart     user length u8 | user padded with zeros to 64 | KE1 (96)
 * 02 LoginResponse  stretching id u8 | KE2 (320)
 * 03 LoginFinish    KE3 (64)
 * 04 Reject         code u8 | retry after, milliseconds u32
 * 05 GiveUp
 * 06 Incorrect      attempts left u8
 * ```
 */
import { Result, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { userNameBytesMax } from "../limits.ts"
import { type ChannelFailed, channelFailed } from "./ChannelError.ts"
import { ke1Bytes, ke2Bytes, ke3Bytes } from "./Opaque.ts"

/** A user's name: what an account is called. */
export const UserName = Schema.String.check(Schema.isPattern(/^[a-z0-9._-]{1,64}$/)).pipe(Schema.brand("UserName"))
export type UserName = typeof UserName.Type

/** Why a login is not even tried. */
export const RejectReason = Schema.Literals(["too-many-attempts", "server-full", "unavailable"])
export type RejectReason = typeof RejectReason.Type

/** What a client says before it is logged in. `ke1` is 96 bytes and `ke3` 64, of OPAQUE (RFC 9807). */
export type ClientHandshake =
  | { readonly _tag: "LoginStart"; readonly user: UserName; readonly ke1: Uint8Array }
  | { readonly _tag: "LoginFinish"; readonly ke3: Uint8Array }
  | { readonly _tag: "GiveUp" }

/** What a server says before the login is done. `ke2` is 320 bytes of OPAQUE (RFC 9807), times are milliseconds. */
export type ServerHandshake =
  | { readonly _tag: "LoginResponse"; readonly stretching: number; readonly ke2: Uint8Array }
  | { readonly _tag: "Reject"; readonly reason: RejectReason; readonly retryAfterMilliseconds: number }
  | { readonly _tag: "Incorrect"; readonly attemptsLeft: number }

const rejectCodes: Record<RejectReason, number> = { "too-many-attempts": 1, "server-full": 2, unavailable: 3 }

/** Plaintext lengths that a client's handshake record may have, in bytes. */
export const clientLengths: ReadonlySet<number> = new Set([2 + userNameBytesMax + ke1Bytes, 1 + ke3Bytes, 1])

/** Plaintext lengths that a server's handshake record may have, in bytes. */
export const serverLengths: ReadonlySet<number> = new Set([2 + ke2Bytes, 6, 2])

/** One of `clientLengths` bytes, always the same for one kind of message: its length tells nothing. */
export const encodeClient = (message: ClientHandshake): Uint8Array => {
  switch (message._tag) {
    case "LoginStart": {
      const bytes = new Uint8Array(2 + userNameBytesMax + ke1Bytes)
      const user = Bytes.fromUtf8(message.user)
      bytes.set([1, user.length])
      bytes.set(user, 2)
      bytes.set(message.ke1, 2 + userNameBytesMax)
      return bytes
    }
    case "LoginFinish":
      return Bytes.concat([Uint8Array.of(3), message.ke3])
    case "GiveUp":
      return Uint8Array.of(5)
  }
}

/** One of `serverLengths` bytes. */
export const encodeServer = (message: ServerHandshake): Uint8Array => {
  switch (message._tag) {
    case "LoginResponse":
      return Bytes.concat([Uint8Array.of(2, message.stretching), message.ke2])
    case "Reject": {
      const bytes = Uint8Array.of(4, rejectCodes[message.reason], 0, 0, 0, 0)
      Bytes.writeU32(bytes, 2, message.retryAfterMilliseconds)
      return bytes
    }
    case "Incorrect":
      return Uint8Array.of(6, message.attemptsLeft)
  }
}

type Decoded<A> = Result.Result<A, ChannelFailed>
const refused = Result.fail(channelFailed("handshake-refused"))

const isUserName = Schema.is(UserName)
const loginStart = (bytes: Uint8Array): Decoded<ClientHandshake> => {
  const length = bytes[1] ?? 0
  const padded = bytes.subarray(2, 2 + userNameBytesMax)
  const user = String.fromCharCode(...padded.subarray(0, length))
  // Padding is checked, so that every message has one encoding and no hidden channel.
  if (length > userNameBytesMax || !isUserName(user) || padded.subarray(length).some((byte) => byte !== 0)) {
    return refused
  }
  return Result.succeed({ _tag: "LoginStart", user, ke1: bytes.subarray(2 + userNameBytesMax) })
}

/** Reads exactly what `encodeClient` writes; anything else is `handshake-refused`. */
export const decodeClient = (bytes: Uint8Array): Decoded<ClientHandshake> => {
  switch (bytes[0]) {
    case 1:
      return bytes.length === 2 + userNameBytesMax + ke1Bytes ? loginStart(bytes) : refused
    case 3:
      return bytes.length === 1 + ke3Bytes ? Result.succeed({ _tag: "LoginFinish", ke3: bytes.subarray(1) }) : refused
    case 5:
      return bytes.length === 1 ? Result.succeed({ _tag: "GiveUp" }) : refused
    default:
      return refused
  }
}

/** Reads exactly what `encodeServer` writes; anything else is `handshake-refused`. */
export const decodeServer = (bytes: Uint8Array): Decoded<ServerHandshake> => {
  const code = bytes[1] ?? 0
  switch (bytes[0]) {
    case 2:
      return bytes.length === 2 + ke2Bytes
        ? Result.succeed({ _tag: "LoginResponse", stretching: code, ke2: bytes.subarray(2) })
        : refused
    case 4: {
      const reason = RejectReason.literals.find((candidate) => rejectCodes[candidate] === code)
      return bytes.length === 6 && reason !== undefined
        ? Result.succeed({ _tag: "Reject", reason, retryAfterMilliseconds: Bytes.readU32(bytes, 2) })
        : refused
    }
    case 6:
      return bytes.length === 2 ? Result.succeed({ _tag: "Incorrect", attemptsLeft: code }) : refused
    default:
      return refused
  }
}
