/**
 * Control messages: what the two ends say once the channel stands and the password is proved.
 *
 * Each is a tagged struct, carried as deterministic CBOR (RFC 8949, section 4.2) and parsed by Schema at the edge.
 * Content never travels in a message.
 */
import { decode as decodeCbor, encode as encodeCbor, rfc8949EncodeOptions } from "cborg"
import { Effect, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { ContentDigest } from "../file/Digest.ts"
import { FileEntry, FileSize, Milliseconds } from "../file/FileEntry.ts"
import { FileName } from "../file/FileName.ts"
import { listingPageEntriesMax, messageBytesMax } from "../limits.ts"
import { PeerText, Refusal } from "./Refusal.ts"

/** What a client may say. The order of requests is the order of answers. */
export const ClientMessage = Schema.TaggedUnion({
  /** First of all, in the first record: confirms the keys. */
  Hello: { client: PeerText },
  Fetch: {},
  /** Content frames and a Commit follow; they may follow at once. */
  Upload: { name: FileName, size: FileSize, modified: Milliseconds },
  Download: { name: FileName },
  /** Content frames and a Commit follow, but only after `SameFileHere`. */
  Para: { name: FileName, size: FileSize, modified: Milliseconds },
  /** Ends the content of an Upload or Para: what was sent, in full. */
  Commit: { size: FileSize, digest: ContentDigest },
  /** Gives up the request with this frame's id; it may overtake requests that wait. */
  Cancel: {},
  Ping: {},
  /** The client is done; the server finishes what was asked and closes. */
  Bye: {}
})
export type ClientMessage = typeof ClientMessage.Type

/** What a server may say. */
export const ServerMessage = Schema.TaggedUnion({
  /** First of all, in the first record: the password is proved on both sides. */
  Correct: { server: PeerText },
  /** A page of the listing; `Listed` ends it. */
  Page: { entries: Schema.Array(FileEntry).check(Schema.isMaxLength(listingPageEntriesMax)) },
  Listed: { count: Schema.Natural },
  /** The server is ready for an upload's content. */
  Proceed: {},
  /** The upload is committed. */
  Uploaded: { size: FileSize, digest: ContentDigest },
  /** Content frames and `Sent` follow. */
  Sending: { size: FileSize, modified: Milliseconds },
  /** Ends the content of a download: what was sent, in full. */
  Sent: { size: FileSize, digest: ContentDigest },
  /** The server has the file that `para` names: content may follow. */
  SameFileHere: { size: FileSize, modified: Milliseconds },
  SameFileNotHere: {},
  /** The file of that name is now equal to the client's. */
  SuccessfullyParallelized: { size: FileSize, digest: ContentDigest },
  Refused: Refusal.fields,
  Pong: {},
  /** The server ends the session in a moment, and why. */
  Closing: { reason: PeerText }
})
export type ServerMessage = typeof ServerMessage.Type

/** A message's body is not what the protocol allows. The session ends. */
export class MessageRefused extends Schema.TaggedError<MessageRefused>()("MessageRefused", {
  /** For our own log: names fields of the protocol, never a value. */
  detail: Schema.String
}) {
  override get message(): string {
    return `the peer sent a message that the protocol does not have (${this.detail})`
  }
}

// Strict: shortest integers and lengths, nothing indefinite, nothing after the value.
const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true
} as const

// One encoding of each value: what encodes again to other bytes (map keys out of order) is refused.
const deterministic = (body: Uint8Array, value: unknown): unknown => {
  if (!Bytes.equals(encodeCbor(value, rfc8949EncodeOptions), body)) throw new Error("not deterministic")
  return value
}

const codec = <A extends { readonly _tag: string }, I>(schema: Schema.Codec<A, I>) => {
  const parse = Schema.decodeUnknownEffect(schema)
  const encoded = Schema.encodeSync(schema)
  return {
    encode: (message: A): Uint8Array => encodeCbor(encoded(message), rfc8949EncodeOptions),
    decode: (body: Uint8Array): Effect.Effect<A, MessageRefused> =>
      body.length > messageBytesMax
        ? Effect.fail(new MessageRefused({ detail: "too long" }))
        : Effect.try({
            try: (): unknown => deterministic(body, decodeCbor(body, decodeOptions)),
            catch: () => new MessageRefused({ detail: "not deterministic CBOR" })
          }).pipe(
            Effect.flatMap((value) =>
              Effect.mapError(
                parse(value, { onExcessProperty: "error" }),
                () => new MessageRefused({ detail: "unknown message or field out of range" })
              )
            )
          )
  }
}

/** Bytes of client messages and back. `encode` takes parsed messages only and cannot fail. */
export const Client = codec(ClientMessage)

/** Bytes of server messages and back. */
export const Server = codec(ServerMessage)
