/**
 * What a session can know, hear and ask for: the types of the machine in Session.ts.
 */
import type { ClientHandshake, RejectReason, ServerHandshake, UserName } from "../channel/HandshakeMessage.ts"
import type { StretchingId } from "../channel/Opaque.ts"
import type { ContentDigest } from "../file/Digest.ts"
import type { FileSize, Milliseconds } from "../file/FileEntry.ts"
import type { FileName } from "../file/FileName.ts"
import type { RequestId } from "../wire/Frame.ts"
import type { ClientMessage, ServerMessage, SignatureOffer } from "../wire/Message.ts"
import type { Range } from "../file/Packed.ts"
import type { BundledFile } from "../file/PackedFiles.ts"
import type { Refusal } from "../wire/Refusal.ts"
import type { Rights, Target } from "./Grant.ts"

// -----------------------------------------------------------------------------
// States
// -----------------------------------------------------------------------------

/** Where a login stands. */
export type LoginPhase =
  | { readonly _tag: "AwaitingStart" }
  | { readonly _tag: "Answering"; readonly user: UserName }
  | { readonly _tag: "AwaitingFinish"; readonly user: UserName }
  | { readonly _tag: "Verifying"; readonly user: UserName }
  /** The proof verified, but nobody is admitted before the keys are confirmed by a first record. */
  | { readonly _tag: "AwaitingHello"; readonly user: UserName; readonly rights: Rights }

/** From the accepted connection to the login's end. */
export interface Unauthenticated {
  readonly _tag: "Unauthenticated"
  /** logins begun on this connection */
  readonly attempts: number
  readonly phase: LoginPhase
}

/** What holds for a session from its admission to its end. */
export interface Admitted {
  readonly user: UserName
  /** what the account may do now */
  readonly rights: Rights
  /** ids of requests only grow */
  readonly lastId: RequestId | 0
  /** requests that were refused while their content was still coming: the last `requestsInFlightMax`, or none */
  readonly discarding: ReadonlySet<RequestId> | undefined
  /** the client has nothing more to ask (Bye) */
  readonly saidBye: boolean
  /** the server ends it once what is under way is over */
  readonly draining: boolean
}

/** Logged in, and nothing under way. */
export interface Ready extends Admitted {
  readonly _tag: "Ready"
}

/** The one transfer that is under way. */
export type Transfer =
  | { readonly _tag: "Listing"; readonly id: RequestId }
  | { readonly _tag: "Describing"; readonly id: RequestId }
  | { readonly _tag: "Opening"; readonly id: RequestId }
  /** a name is removed or changed */
  | { readonly _tag: "Changing"; readonly id: RequestId }
  /** a file of `size` bytes and its signature are offered; the client says what it wants */
  | { readonly _tag: "Offering"; readonly id: RequestId; readonly size: FileSize }
  | { readonly _tag: "Sending"; readonly id: RequestId }
  /** a bundle comes: `declared` bytes of content, then all its files are put in place */
  | {
      readonly _tag: "Gathering"
      readonly id: RequestId
      readonly declared: number
      readonly received: number
    }
  | { readonly _tag: "Placing"; readonly id: RequestId }
  /** a change of the password: the proof of the present one is asked for, awaited, and worked on */
  | { readonly _tag: "AnsweringPassword"; readonly id: RequestId }
  | { readonly _tag: "AwaitingPassword"; readonly id: RequestId }
  | { readonly _tag: "ChangingPassword"; readonly id: RequestId }
  | (Incoming & { readonly _tag: "Staging"; readonly cancelled: boolean })
  /** `resumed` of the `received` bytes were there before; `base` is the live file that a Para may copy from */
  | (Incoming & {
      readonly _tag: "Receiving"
      readonly received: number
      readonly resumed: number
      readonly base: Base | undefined
    })
  | (Incoming & { readonly _tag: "Committing" })

/** The live file of a Para, as it was when the Para began. */
export interface Base {
  readonly size: FileSize
  readonly modified: Milliseconds
  readonly executable?: true
  readonly signature?: SignatureOffer
  /** of a small one that may be equal */
  readonly digest?: ContentDigest
}

/** A file that the client is sending: `declared` bytes. */
export interface Incoming {
  readonly id: RequestId
  readonly command: "Upload" | "Para"
  readonly declared: FileSize
}

/** A request that has to wait while another one is under way. */
export type Command = Extract<
  ClientMessage,
  {
    readonly _tag:
      | "Fetch"
      | "Describe"
      | "Upload"
      | "UploadBundle"
      | "Download"
      | "DownloadBundle"
      | "Para"
      | "Remove"
      | "Rename"
      | "PasswordStart"
  }
>

/** Logged in, with one transfer under way and others waiting. */
export interface Transferring extends Admitted {
  readonly _tag: "Transferring"
  readonly transfer: Transfer
  /** commands that wait for their turn, oldest first; at most `requestsInFlightMax` */
  readonly queue: ReadonlyArray<{ readonly id: RequestId; readonly command: Command }>
}

/** Why a session ended: the vocabulary of its last log line. */
export type CloseReason =
  "bye" | "incorrect" | "rejected" | "opaque-rejected" | "protocol-violation" | "ended-early" | "draining" | "revoked"

/** The end: no input leads away from here. */
export interface Closed {
  readonly _tag: "Closed"
  readonly reason: CloseReason
}

/** A session, wherever it stands. */
export type Session = Unauthenticated | Ready | Transferring | Closed

// -----------------------------------------------------------------------------
// Inputs: what the peer said, how an action ended, what the server orders
// -----------------------------------------------------------------------------

/** What the peer said, parsed. */
export type FromPeer =
  | { readonly _tag: "Handshake"; readonly message: ClientHandshake }
  | { readonly _tag: "Message"; readonly id: RequestId; readonly message: ClientMessage }
  /** `bytes` of content; the driver holds them until the outputs of this step are done */
  | { readonly _tag: "Content"; readonly id: RequestId; readonly bytes: number }
  /** the proved end of the peer's stream */
  | { readonly _tag: "PeerEnded" }

/** How an action of the driver ended. Sizes in bytes, times in milliseconds. */
export type ActionResult =
  | { readonly _tag: "LoginAnswered"; readonly ke2: Uint8Array; readonly stretching: StretchingId }
  | { readonly _tag: "LoginRejected"; readonly reason: RejectReason; readonly retryAfterMilliseconds: number }
  | { readonly _tag: "LoginUnanswerable" }
  /** `rights` are those of the account at this moment */
  | { readonly _tag: "LoginVerified"; readonly rights: Rights }
  | { readonly _tag: "LoginUnverified" }
  /** `resumed` bytes are staged from an earlier try */
  | { readonly _tag: "Staged"; readonly id: RequestId; readonly resumed: FileSize; readonly base: Base | undefined }
  | { readonly _tag: "Committed"; readonly id: RequestId; readonly size: FileSize; readonly digest: ContentDigest }
  /** the file will be sent from byte `from` on; with a signature, what the client asks for */
  | {
      readonly _tag: "Opened"
      readonly id: RequestId
      readonly size: FileSize
      readonly modified: Milliseconds
      readonly executable?: true
      readonly from: FileSize
      readonly signature?: SignatureOffer
    }
  | {
      readonly _tag: "Described"
      readonly id: RequestId
      readonly size: FileSize
      readonly modified: Milliseconds
      readonly executable?: true
      readonly digest: ContentDigest
    }
  | {
      readonly _tag: "PasswordAnswered"
      readonly id: RequestId
      readonly ke2: Uint8Array
      readonly response: Uint8Array
      readonly stretching: StretchingId
    }
  | { readonly _tag: "PasswordChanged"; readonly id: RequestId }
  | { readonly _tag: "Delivered"; readonly id: RequestId; readonly size: FileSize; readonly digest: ContentDigest }
  | { readonly _tag: "Listed"; readonly id: RequestId; readonly count: number }
  /** `count` files of a bundle are in place; the others were refused */
  | {
      readonly _tag: "Placed"
      readonly id: RequestId
      readonly count: number
      readonly refused: ReadonlyArray<FileRefusal>
    }
  /** `count` files of a bundle were sent */
  | { readonly _tag: "BundleSent"; readonly id: RequestId; readonly count: number }
  /** `name` as it was spelt */
  | { readonly _tag: "Removed"; readonly id: RequestId; readonly name: FileName }
  | { readonly _tag: "Renamed"; readonly id: RequestId; readonly name: FileName; readonly to: FileName }
  /** the store refused, or sending was stopped */
  | { readonly _tag: "Refused"; readonly id: RequestId; readonly refusal: Refusal }

/** Of a bundle one file was refused. */
export interface FileRefusal {
  readonly index: number
  readonly refusal: Refusal
}

/** What the server orders, whatever the peer does. */
export type FromServer =
  | { readonly _tag: "Drain" }
  /** the account's rights were changed: commands that begin from now on have these */
  | { readonly _tag: "Granted"; readonly rights: Rights }
  /** the account was disabled, removed or moved: the session ends */
  | { readonly _tag: "Revoked" }

/** Everything that makes a session step. */
export type SessionInput = FromPeer | ActionResult | FromServer

// -----------------------------------------------------------------------------
// Outputs: what the driver does next, in order
// -----------------------------------------------------------------------------

/** Everything that a session asks of its driver. Sizes in bytes, times in milliseconds. */
export type SessionOutput =
  | { readonly _tag: "AnswerLogin"; readonly user: UserName; readonly ke1: Uint8Array }
  | { readonly _tag: "VerifyLogin"; readonly user: UserName; readonly ke3: Uint8Array }
  | { readonly _tag: "SendHandshake"; readonly message: ServerHandshake }
  /** the keys are confirmed: this is the user */
  | { readonly _tag: "Admit"; readonly user: UserName; readonly client: string }
  | { readonly _tag: "Send"; readonly id: RequestId; readonly message: ServerMessage }
  | {
      readonly _tag: "Stage"
      readonly id: RequestId
      readonly command: "Upload" | "Para"
      readonly name: FileName
      readonly size: FileSize
      readonly modified: Milliseconds
      readonly executable?: true
      readonly head?: string
      readonly expect?: ContentDigest
      /** what must be at the name, when the account may not do both */
      readonly target?: Target
    }
  /** the content of the present input goes into the staging */
  | { readonly _tag: "Write"; readonly id: RequestId }
  /** a bundle begins: the content of its files will come */
  | {
      readonly _tag: "Gather"
      readonly id: RequestId
      readonly files: ReadonlyArray<BundledFile>
      readonly target?: Target
    }
  /** the content of the present input belongs to the bundle */
  | { readonly _tag: "Keep"; readonly id: RequestId }
  /** all content of the bundle is there: its files go to their names */
  | { readonly _tag: "PlaceBundle"; readonly id: RequestId }
  /** files are read and sent */
  | { readonly _tag: "SendBundle"; readonly id: RequestId; readonly names: ReadonlyArray<FileName> }
  /** ranges of the live file go into the staging */
  | { readonly _tag: "Copy"; readonly id: RequestId; readonly ranges: ReadonlyArray<Range> }
  | { readonly _tag: "SendChunks"; readonly id: RequestId; readonly first: number; readonly count: number }
  | { readonly _tag: "SendBlocks"; readonly id: RequestId; readonly ranges: ReadonlyArray<Range> }
  | { readonly _tag: "Commit"; readonly id: RequestId; readonly size: FileSize; readonly digest: ContentDigest }
  /** what is held for the transfer goes; with `drop` what was staged is not kept for another try either */
  | { readonly _tag: "Discard"; readonly id: RequestId; readonly drop?: true }
  | {
      readonly _tag: "List"
      readonly id: RequestId
      readonly digest: boolean
      /** what is small among the first that are one of these names or below one is sent behind them; of none: of all */
      readonly content?: ReadonlyArray<FileName>
      /** only names whose outermost part has one of these keys */
      readonly alike?: ReadonlySet<string>
    }
  | { readonly _tag: "Describe"; readonly id: RequestId; readonly name: FileName }
  | ({ readonly _tag: "Open"; readonly id: RequestId } & Omit<Extract<Command, { readonly _tag: "Download" }>, "_tag">)
  | ({ readonly _tag: "Remove"; readonly id: RequestId } & Omit<Extract<Command, { readonly _tag: "Remove" }>, "_tag">)
  | ({ readonly _tag: "Rename"; readonly id: RequestId } & Omit<Extract<Command, { readonly _tag: "Rename" }>, "_tag">)
  | { readonly _tag: "SendContent"; readonly id: RequestId; readonly ranges: ReadonlyArray<Range> }
  | {
      readonly _tag: "AnswerPassword"
      readonly id: RequestId
      readonly user: UserName
      readonly ke1: Uint8Array
      readonly request: Uint8Array
    }
  | {
      readonly _tag: "ChangePassword"
      readonly id: RequestId
      readonly user: UserName
      readonly ke3: Uint8Array
      readonly record: Uint8Array
    }
  | { readonly _tag: "StopSending"; readonly id: RequestId }
  | { readonly _tag: "Close"; readonly reason: CloseReason }

/** Outputs that touch the store. Before Ready none of them can come out: a property test says so. */
export const storeOutputs: ReadonlySet<SessionOutput["_tag"]> = new Set<SessionOutput["_tag"]>([
  "Stage",
  "Gather",
  "Keep",
  "PlaceBundle",
  "SendBundle",
  "Write",
  "Copy",
  "SendChunks",
  "SendBlocks",
  "Commit",
  "Discard",
  "List",
  "Describe",
  "Open",
  "SendContent",
  "Remove",
  "Rename"
])
