/**
 * Why a connection ended: the closed vocabulary of `outcome` in its last log line, and of the metric that counts ends.
 *
 * `docs/OPERATIONS.md` says what each means; a test compares the two.
 */
import type { ChannelFailure } from "../domain/channel/ChannelError.ts"
import type { CloseReason } from "../domain/session/SessionState.ts"
import type { NoSeat } from "./Seats.ts"

/** Why a connection ended. */
export type EndReason =
  | CloseReason
  // The one that only a client can meet is left out.
  | Exclude<ChannelFailure, "unknown-stretching">
  | NoSeat["reason"]
  | "abandoned"
  | "accounts-failed"
  | "defect"
  | "frame-refused"
  | "login-timeout"
  | "message-refused"
  | "proxy-refused"
  | "stalled"
  | "stopped"
  | "too-slow"

/** What each means, for the administrator. */
export const endReasons = {
  bye: "the client said goodbye",
  "ended-early": "the client ended the session in the middle of a transfer",
  draining: "the server stops, and the session had nothing under way",
  revoked: "the account was disabled, removed or moved to another root",
  stopped: "the server stopped and the time for transfers was over",
  incorrect: "the last of the allowed attempts had a wrong user or password",
  abandoned: "the client left during the login, as one does whose password is wrong",
  rejected: "the guard refused the attempt: too many of this user or address",
  "login-timeout": "nobody had logged in within the time for it",
  "opaque-rejected": "the password exchange did not verify: a broken client, or an attack",
  "confirmation-failed": "the first record after the login did not verify: possibly a man in the middle",
  "bad-hello": "the first bytes are not of this protocol: a scanner, or another program",
  "other-version": "the client speaks another version of the protocol, and was told so",
  "kem-rejected": "the key exchange is not valid",
  "handshake-refused": "a message of the login made no sense at that point",
  "record-refused": "a record's type or length was not allowed",
  "record-auth-failed": "a record did not verify: bytes were changed on their way",
  "frame-refused": "the client broke the framing rules; `detail` says which",
  "message-refused": "the client sent a message that the protocol does not have; `detail` says why",
  "protocol-violation": "the client sent a message that was not legal at that point",
  truncated: "the connection was closed without a goodbye",
  "connection-lost": "the network failed",
  stalled: "nothing moved for too long",
  "too-slow": "a transfer was slower than the minimum rate for too long; what has come of it is kept",
  "server-full": "all seats were taken",
  "too-many-before-login": "too many connections had not logged in",
  "too-many-from-address": "too many connections of one address had not logged in",
  "too-many-of-address": "too many sessions of one address",
  "too-many-of-account": "too many sessions of one account; the client was told",
  "made-room": "it had not logged in, and its seat went to a newcomer because there was no other",
  "proxy-refused":
    "a proxy that is trusted did not say with PROXY v2 whose connection it is; `detail` says what it did",
  "accounts-failed": "the accounts could not be read; `detail` says why",
  defect: "a fault of the program: the line `connection-defect` has its cause"
} as const satisfies Record<EndReason, string>

const isEndReason = (name: string): name is EndReason => name in endReasons

/** All of them. */
export const endReasonNames: ReadonlyArray<EndReason> = Object.keys(endReasons).filter(isEndReason)
