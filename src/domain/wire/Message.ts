/**
 * Control messages: what the two ends say once the channel stands and the password is proved.
 *
 * Each is a tagged struct, carried as deterministic CBOR (RFC 8949, section 4.2) and parsed by Schema at the edge.
 * Content never travels in a message.
 */
import { decode as decodeCbor, encode as encodeCbor } from "cborg"
import { Effect, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { ContentDigest } from "../file/Digest.ts"
import { Executable, FileSize, Milliseconds } from "../file/FileEntry.ts"
import { FileName } from "../file/FileName.ts"
import {
  bundleFilesMax,
  chunkAverageLog2Max,
  chunkAverageLog2Min,
  groupsAskedMax,
  listingNamesMax,
  messageBytesMax,
  messageDepthMax,
  packedBytesMax,
  signatureKeyBytes,
  unnamedNamesMax
} from "../limits.ts"
import * as Canonical from "./Canonical.ts"
import { PeerText, Refusal } from "./Refusal.ts"

/** A message of the password exchange, of the length that RFC 9807 gives it for this suite; a key. */
const exactly = (length: number) =>
  Schema.Uint8Array.check(Schema.makeFilter((bytes: Uint8Array) => bytes.length === length || `${length} bytes`))

/** Ranges, pieces or files, packed (see Packed and PackedFiles). */
const PackedBytes = Schema.Uint8Array.check(
  Schema.makeFilter((bytes: Uint8Array) => bytes.length <= packedBytesMax || `at most ${packedBytesMax} bytes`)
)

/** Names by which a listing is narrowed. */
const Alike = Schema.Array(FileName).check(Schema.isMinLength(1), Schema.isMaxLength(listingNamesMax))

/** The digest of a source's head: the first 16 bytes of BLAKE3, in hex. */
const HeadDigest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/))

/** What is sent, and how it will be known again: `head` is the digest of the source's first `headBytes` bytes. */
const outgoing = {
  name: FileName,
  size: FileSize,
  modified: Milliseconds,
  executable: Executable,
  /** asks to go on with what an earlier try has left */
  head: Schema.optionalKey(HeadDigest)
}

/** The coarse half of a signature. */
const SignatureOffer = Schema.Struct({
  digest: ContentDigest,
  /** of groups and chunks: `chunkHash` of transfer/Signature */
  key: exactly(signatureKeyBytes),
  averageLog2: Schema.Int.check(Schema.isBetween({ minimum: chunkAverageLog2Min, maximum: chunkAverageLog2Max })),
  /** pieces that cover the file */
  groups: PackedBytes,
  /** the digest of everything up to the end of each group: with them a file that begins alike is hashed once */
  prefixes: Schema.optionalKey(PackedBytes),
  /** how the tag of the first chunk of each group begins: with them moved content is found before chunks are known */
  heads: Schema.optionalKey(PackedBytes)
})
export type SignatureOffer = typeof SignatureOffer.Type

/** What a client may say. The order of requests is the order of answers. */
export const ClientMessage = Schema.TaggedUnion({
  /** First of all, in the first record: confirms the keys. */
  Hello: { client: PeerText },
  /**
   * With `digest` every entry has one, computed when it is not known. With `alike` only files whose outermost part is,
   * but for its spelling, that of one of these names. With `content` what is small among the first entries that
   * are one of these names, or below one as it is spelt, is sent behind them; without `alike` among the first of all.
   */
  Fetch: {
    digest: Schema.optionalKey(Schema.Boolean),
    alike: Schema.optionalKey(Alike),
    content: Schema.optionalKey(Schema.Boolean)
  },
  /** Content frames and a Commit follow; without `head` they may follow at once. */
  Upload: outgoing,
  /** Several small files at once: packed files; content frames follow as those of an Upload, file behind file. */
  UploadBundle: { files: PackedBytes },
  /** Asks for several small files: packed names. */
  DownloadBundle: { names: PackedBytes },
  /** The server's version of a file, without its content. */
  Describe: { name: FileName },
  /** With `delta` the server offers a signature and waits for questions and `Want`. */
  Download: {
    name: FileName,
    delta: Schema.optionalKey(Schema.Boolean),
    /** what an earlier try has left here, and of which version: the server may go on behind it */
    partial: Schema.optionalKey(
      Schema.Struct({ from: FileSize, size: FileSize, modified: Milliseconds, head: HeadDigest })
    )
  },
  /** Content frames, copies and a Commit follow, but only after `SameFileHere`. */
  Para: {
    ...outgoing,
    /** the digest that the server's file must have now */
    expect: Schema.optionalKey(ContentDigest)
  },
  /** Makes a file go. */
  Remove: {
    name: FileName,
    /** the digest that the file must have now */
    expect: Schema.optionalKey(ContentDigest)
  },
  /** Gives a file another name; one that is taken only with `replace`. */
  Rename: {
    name: FileName,
    to: FileName,
    replace: Schema.optionalKey(Schema.Boolean),
    /** the digest that the file `name` must have now */
    expect: Schema.optionalKey(ContentDigest)
  },
  /** Asks for the chunks of groups of the offered signature: answered by `Pieces`, those of each group in order. */
  NeedChunks: {
    first: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: groupsAskedMax })),
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: groupsAskedMax }))
  },
  /** Asks for the blocks of ranges of the server's file: answered by `Pieces`, those of each range in order. */
  NeedBlocks: { ranges: PackedBytes },
  /** Content of a Para that the server has: ranges of its file, to be appended in this order. */
  Copies: { ranges: PackedBytes },
  /** Content of a Download with `delta` that is missing here: ranges, to be sent in this order. */
  Want: { ranges: PackedBytes },
  /** Ends the content of an Upload or Para: the whole file, as it must be now. */
  Commit: { size: FileSize, digest: ContentDigest },
  /**
   * Gives up the request with this frame's id; it may overtake requests that wait. With `drop` what was staged for it
   * is not kept: its source is no more what it was, and nobody will go on with it.
   */
  Cancel: { drop: Schema.optionalKey(Schema.Literal(true)) },
  /** Begins to change the account's password: a login with the present one, and the registration of the next. */
  PasswordStart: { ke1: exactly(96), request: exactly(32) },
  /** The proof of the present password, and the record of the next. */
  PasswordFinish: { ke3: exactly(64), record: exactly(192) },
  Ping: {},
  /** The client is done; the server finishes what was asked and closes. */
  Bye: {}
})
export type ClientMessage = typeof ClientMessage.Type

/** What a server may say. */
export const ServerMessage = Schema.TaggedUnion({
  /** First of all, in the first record: the password is proved on both sides. */
  Correct: { server: PeerText },
  /** A page of the listing, packed; `Listed` ends it. */
  Page: { entries: PackedBytes },
  /** What is not in the pages because the server may not look into it: so many, and the names of the first. */
  Unlisted: { names: PackedBytes, count: Schema.Natural },
  /**
   * What is not in the pages because no name can mean it, of one folder, which is the outermost without `folder`: so
   * much, and the first of it as it is called there; a `/` ends what is a folder. Without `names`: what other folders
   * have, together.
   */
  Unnamed: {
    count: Schema.Natural,
    names: Schema.Array(PeerText).check(Schema.isMaxLength(unnamedNamesMax)),
    folder: Schema.optionalKey(FileName)
  },
  Listed: { count: Schema.Natural },
  /** The server is ready for an upload's content, from this byte on. */
  Proceed: { from: FileSize },
  /** The upload is committed. */
  Uploaded: { size: FileSize, digest: ContentDigest },
  /** Of a bundle the file at `index` was refused; the others go on. */
  FileRefused: {
    index: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: bundleFilesMax })),
    ...Refusal.fields
  },
  /** Files of a DownloadBundle or of a listing: packed; their content follows, file behind file. */
  BundleSending: { files: PackedBytes },
  /** A bundle is done: so many of its files are committed, or were sent. */
  BundleDone: { count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: bundleFilesMax })) },
  /** The answer to `Describe`. */
  Described: { size: FileSize, modified: Milliseconds, executable: Executable, digest: ContentDigest },
  /** Content frames from this byte on, and `Sent`, follow; with a signature only after `Want`. */
  Sending: {
    size: FileSize,
    modified: Milliseconds,
    executable: Executable,
    from: FileSize,
    signature: Schema.optionalKey(SignatureOffer)
  },
  /** Ends the content of a download: the whole file, as it is. */
  Sent: { size: FileSize, digest: ContentDigest },
  /** The server has the file that `para` names: content may follow, from this byte on. */
  SameFileHere: {
    size: FileSize,
    modified: Milliseconds,
    executable: Executable,
    from: FileSize,
    signature: Schema.optionalKey(SignatureOffer),
    /** of a file that is too small for an offer, and as long as the client's */
    digest: Schema.optionalKey(ContentDigest)
  },
  SameFileNotHere: {},
  /** A part of an answer to `NeedChunks` or `NeedBlocks`: the pieces of all that was asked for, one after another. */
  Pieces: { pieces: PackedBytes, last: Schema.Boolean },
  /** The file of that name is now equal to the client's. */
  SuccessfullyParallelized: { size: FileSize, digest: ContentDigest },
  /** The answer to `PasswordStart`; `PasswordFinish` or `Cancel` follows. */
  PasswordAnswer: {
    stretching: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })),
    ke2: exactly(320),
    response: exactly(64)
  },
  /** The next login needs the new password. */
  PasswordChanged: {},
  /** The file is gone; `name` as it was spelt. */
  Removed: { name: FileName },
  /** The file has its new name; `name` as it was spelt. */
  Renamed: { name: FileName, to: FileName },
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

// Our maps have text for keys: of those the library's own order, the shorter first, is that of RFC 8949, and it takes a
// third of the time of the general one.
const encodeValue = (value: unknown): Uint8Array => encodeCbor(value)

// One encoding of each value: what encodes again to other bytes (map keys out of order) is refused.
const isDeterministic = (body: Uint8Array, value: unknown): boolean => Bytes.equals(encodeValue(value), body)

// To encode a value that is nested deeply takes more stack than to decode it, and the square of the time.
const isShallow = (value: unknown, deeper = messageDepthMax): boolean =>
  typeof value !== "object" ||
  value === null ||
  value instanceof Uint8Array ||
  Object.values(value).every((one) => deeper > 0 && isShallow(one, deeper - 1))

/** Says what is wrong with what `Canonical` does not read, and takes the rest of what is deterministic. */
export const decodeCarefully = (body: Uint8Array): Effect.Effect<unknown, MessageRefused> =>
  Effect.try({
    try: (): unknown => decodeCbor(body, decodeOptions),
    catch: () => new MessageRefused({ detail: "not CBOR" })
  }).pipe(
    Effect.filterOrFail(
      (value) => isShallow(value),
      () => new MessageRefused({ detail: "nested too deeply" })
    ),
    Effect.filterOrFail(
      (value) => isDeterministic(body, value),
      () => new MessageRefused({ detail: "not deterministic CBOR" })
    )
  )

const codec = <A extends { readonly _tag: string }, I>(schema: Schema.Codec<A, I>) => {
  const parse = Schema.decodeUnknownEffect(schema)
  const encoded = Schema.encodeSync(schema)
  return {
    encode: (message: A): Uint8Array => encodeValue(encoded(message)),
    decode: (body: Uint8Array): Effect.Effect<A, MessageRefused> =>
      body.length > messageBytesMax
        ? Effect.fail(new MessageRefused({ detail: "too long" }))
        : Effect.suspend(() => {
            const value = Canonical.decode(body)
            return value === undefined ? decodeCarefully(body) : Effect.succeed(value)
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
