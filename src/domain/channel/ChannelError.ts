/**
 * How a channel can fail. Every failure is final: the connection ends and no further byte is believed.
 */
import { Schema } from "effect"

/** The vocabulary of ends, for logs and for people. */
export const ChannelFailure = Schema.Literals([
  /** the first bytes are not of this protocol */
  "bad-hello",
  /** the first bytes are of another version of this protocol */
  "other-version",
  /** the key exchange message is invalid */
  "kem-rejected",
  /** a record's type or length is not allowed at this point */
  "record-refused",
  /** a record did not verify: changed, reordered, replayed, or sealed with other keys */
  "record-auth-failed",
  /** a handshake message makes no sense at this point */
  "handshake-refused",
  /** the password exchange did not verify */
  "opaque-rejected",
  /** the first application record did not verify: possibly a man in the middle */
  "confirmation-failed",
  /** the server asks for password stretching that this client does not know */
  "unknown-stretching",
  /** the connection closed without the record that ends a stream */
  "truncated",
  /** the transport failed */
  "connection-lost"
])
export type ChannelFailure = typeof ChannelFailure.Type

const explanation: Record<ChannelFailure, string> = {
  "bad-hello": "the other end does not speak this protocol: check host and port",
  "other-version": "the other end speaks another version of this protocol: update the older of the two",
  "kem-rejected": "the other end's key exchange is not valid: its bytes were changed, or it is another program",
  "record-refused": "the other end broke the record rules",
  "record-auth-failed": "bytes were changed on their way: the connection was ended, nothing was used",
  "handshake-refused": "the other end broke the handshake rules",
  "opaque-rejected": "the password exchange did not verify",
  "confirmation-failed": "the two ends do not share keys: someone may stand between them",
  "unknown-stretching": "the server asks for password stretching that this version does not know: update the client",
  truncated: "the connection was cut in the middle",
  "connection-lost": "the connection was lost"
}

/** The secure channel has ended, for this one reason. Nothing more can be sent or received on it. */
export class ChannelFailed extends Schema.TaggedError<ChannelFailed>()("ChannelFailed", {
  reason: ChannelFailure,
  /** what the transport said, for whoever looks into it */
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return explanation[this.reason]
  }
}

/** Shorthand for the one error of this folder. */
export const channelFailed = (reason: ChannelFailure, cause?: unknown): ChannelFailed =>
  new ChannelFailed({ reason, ...(cause !== undefined && { cause }) })
