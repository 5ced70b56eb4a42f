/**
 * The errors that may cross the wire: a fixed vocabulary, so that nothing of the server's inside leaks out.
 */
import { Schema } from "effect"
import { peerTextCharactersMax } from "../limits.ts"

/** The sender's text: well-formed, so that it comes back from UTF-8 as it was. Print it through `printable` only. */
export const PeerText = Schema.String.check(
  Schema.isMaxLength(peerTextCharactersMax),
  Schema.makeFilter((text: string) => text.isWellFormed())
)

/** Why a request was refused. docs/PROTOCOL.md lists them with what a client should do. */
export const RefusalReason = Schema.Literals([
  /** there is no committed file of that name */
  "no-such-file",
  /** a file or folder differs from a part of the name only by case or Unicode normalisation; `detail` names it */
  "name-collision",
  /** a file has the new name already, and the request does not say to replace it; `detail` is that name */
  "already-exists",
  /** a folder has the name, or a file that of one of its folders, or it is a link, a mount point or a special file */
  "not-a-file",
  /** the account lacks the right */
  "not-permitted",
  /** a file does not fit into a bundle */
  "too-large",
  /** no room on the server's disk */
  "no-space",
  /** the account's quota does not hold it; `detail` has the figures */
  "quota-exceeded",
  /** the content's length is not what was declared */
  "size-mismatch",
  /** the content's digest is not what was declared */
  "digest-mismatch",
  /** the file changed while it was read */
  "source-changed",
  /** the file is not the version that the client expects; nothing was changed */
  "conflict",
  /** another session of the account goes on with the same upload */
  "taken-over",
  /** the present password was not proved */
  "incorrect",
  /** too many passwords were tried; `detail` is the milliseconds to wait */
  "too-many-attempts",
  /** the client cancelled the request */
  "cancelled",
  /** the server is about to stop and takes no new requests */
  "draining",
  /** the user that the server runs as may not do it there: only its administrator can change that */
  "no-access",
  /** the server could not do it; its log says why */
  "store-failed"
])
export type RefusalReason = typeof RefusalReason.Type

/** One refused request. */
export const Refusal = Schema.Struct({
  reason: RefusalReason,
  detail: Schema.optionalKey(PeerText)
})
export type Refusal = typeof Refusal.Type
