/**
 * Any state and any input of the session machine, from small sets so that ids meet.
 */
import { Arbitrary, Schema } from "effect"
import { RejectReason, UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { StretchingId } from "../../../src/domain/channel/Opaque.ts"
import { ContentDigest } from "../../../src/domain/file/Digest.ts"
import type { Ready, Session, SessionInput } from "../../../src/domain/session/SessionState.ts"
import { Right, Rights, rights } from "../../../src/domain/session/Grant.ts"
import { packRanges } from "../../../src/domain/file/Packed.ts"
import { packFiles, packNames } from "../../../src/domain/file/PackedFiles.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { Refusal } from "../../../src/domain/wire/Refusal.ts"

export const idMax = 4
const id = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: idMax })).pipe(Schema.brand("RequestId"))
const size = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 }))
const name = Schema.Literals(["a", "b/c"]).pipe(Schema.brand("FileName"))
const user = Schema.Literals(["ada", "bob"]).pipe(Schema.brand("UserName"))
const digest = Schema.Literals(["0".repeat(64), "f".repeat(64)]).pipe(Schema.brand("ContentDigest"))
const bytes = Schema.Uint8Array
const text = Schema.Literals(["x", ""])
/** All of them as often as some. */
const someRights = Schema.Union([Schema.Tuple(Right.literals.map((right) => Schema.Literal(right))), Rights])

export const aDigest = ContentDigest.make("0".repeat(64))
export const otherDigest = ContentDigest.make("f".repeat(64))
export const aUser = UserName.make("ada")

/** Logged in with all rights, and nothing was asked yet. */
export const ready: Ready = {
  _tag: "Ready",
  user: aUser,
  rights,
  lastId: 0,
  discarding: undefined,
  saidBye: false,
  draining: false
}

const ranges = bytes
const signature = Schema.Struct({ digest, key: bytes, averageLog2: Schema.Literals([16]), groups: bytes })
const base = Schema.Struct({ size, modified: size, signature: Schema.optionalKey(signature) })

const clientMessages = {
  Hello: Schema.TaggedStruct("Hello", { client: text }),
  Fetch: Schema.TaggedStruct("Fetch", {}),
  Describe: Schema.TaggedStruct("Describe", { name }),
  Upload: Schema.TaggedStruct("Upload", { name, size, modified: size }),
  UploadBundle: Schema.TaggedStruct("UploadBundle", { files: bytes }),
  Download: Schema.TaggedStruct("Download", { name }),
  DownloadBundle: Schema.TaggedStruct("DownloadBundle", { names: bytes }),
  Para: Schema.TaggedStruct("Para", { name, size, modified: size }),
  Remove: Schema.TaggedStruct("Remove", { name }),
  Rename: Schema.TaggedStruct("Rename", { name, to: name, replace: Schema.optionalKey(Schema.Boolean) }),
  NeedChunks: Schema.TaggedStruct("NeedChunks", { first: size, count: size }),
  NeedBlocks: Schema.TaggedStruct("NeedBlocks", { ranges }),
  Copies: Schema.TaggedStruct("Copies", { ranges }),
  Want: Schema.TaggedStruct("Want", { ranges }),
  Commit: Schema.TaggedStruct("Commit", { size, digest }),
  Cancel: Schema.TaggedStruct("Cancel", {}),
  PasswordStart: Schema.TaggedStruct("PasswordStart", { ke1: bytes, request: bytes }),
  PasswordFinish: Schema.TaggedStruct("PasswordFinish", { ke3: bytes, record: bytes }),
  Ping: Schema.TaggedStruct("Ping", {}),
  Bye: Schema.TaggedStruct("Bye", {})
}
const clientMessage = Schema.Union(Object.values(clientMessages))
const command = Schema.Union([
  clientMessages.Fetch,
  clientMessages.Describe,
  clientMessages.Upload,
  clientMessages.UploadBundle,
  clientMessages.Download,
  clientMessages.DownloadBundle,
  clientMessages.Para,
  clientMessages.PasswordStart,
  clientMessages.Remove,
  clientMessages.Rename
])

const anyInput = Arbitrary.schema(
  Schema.Union([
    Schema.TaggedStruct("Handshake", {
      message: Schema.Union([
        Schema.TaggedStruct("LoginStart", { user, ke1: bytes }),
        Schema.TaggedStruct("LoginFinish", { ke3: bytes }),
        Schema.TaggedStruct("GiveUp", {})
      ])
    }),
    Schema.TaggedStruct("Message", { id, message: clientMessage }),
    Schema.TaggedStruct("Content", { id, bytes: size }),
    Schema.TaggedStruct("PeerEnded", {}),
    Schema.TaggedStruct("LoginAnswered", { ke2: bytes, stretching: StretchingId }),
    Schema.TaggedStruct("LoginRejected", {
      reason: RejectReason,
      retryAfterMilliseconds: size
    }),
    Schema.TaggedStruct("LoginUnanswerable", {}),
    Schema.TaggedStruct("LoginVerified", { rights: someRights }),
    Schema.TaggedStruct("LoginUnverified", {}),
    Schema.TaggedStruct("Staged", { id, resumed: size, base: Schema.UndefinedOr(base) }),
    Schema.TaggedStruct("Committed", { id, size, digest }),
    Schema.TaggedStruct("Opened", {
      id,
      size,
      modified: size,
      from: size,
      signature: Schema.optionalKey(signature)
    }),
    Schema.TaggedStruct("Described", { id, size, modified: size, digest }),
    Schema.TaggedStruct("PasswordAnswered", { id, ke2: bytes, response: bytes, stretching: StretchingId }),
    Schema.TaggedStruct("PasswordChanged", { id }),
    Schema.TaggedStruct("Delivered", { id, size, digest }),
    Schema.TaggedStruct("Listed", { id, count: size }),
    Schema.TaggedStruct("BundleSent", { id, count: size }),
    Schema.TaggedStruct("Placed", { id, count: size, refused: Schema.Tuple([]) }),
    Schema.TaggedStruct("Removed", { id, name }),
    Schema.TaggedStruct("Renamed", { id, name, to: name }),
    Schema.TaggedStruct("Refused", { id, refusal: Schema.Struct({ reason: Refusal.fields.reason }) }),
    Schema.TaggedStruct("Drain", {}),
    Schema.TaggedStruct("Granted", { rights: someRights }),
    Schema.TaggedStruct("Revoked", {})
  ])
)

// Random bytes are hardly ever ranges: these are within a small file, beyond its end, and none at all.
const rangesOf = (random: Uint8Array): Uint8Array =>
  [
    packRanges([{ offset: 0, length: 1 }]),
    packRanges([
      { offset: 0, length: 2 },
      { offset: 1, length: 1 }
    ]),
    packRanges([{ offset: 5, length: 9 }]),
    random
  ][random.length % 4] ?? random

// The same of bundles: without content, with some, and none at all.
const filesOf = (random: Uint8Array): Uint8Array => {
  const file = { name: FileName.make("a"), modified: 0, digest: aDigest }
  const some = [
    [{ ...file, size: 0 }],
    [
      { ...file, size: 2 },
      { ...file, size: 1 }
    ]
  ][random.length % 3]
  return some === undefined ? random : packFiles(some)
}
const namesOf = (random: Uint8Array): Uint8Array =>
  random.length % 3 === 0 ? random : packNames([FileName.make("a"), FileName.make("b/c")])

export const input: Arbitrary.Arbitrary<SessionInput> = Arbitrary.map(anyInput, (any) => {
  if (any._tag !== "Message") return any
  const { message } = any
  if ("ranges" in message) return { ...any, message: { ...message, ranges: rangesOf(message.ranges) } }
  if ("files" in message) return { ...any, message: { ...message, files: filesOf(message.files) } }
  return "names" in message ? { ...any, message: { ...message, names: namesOf(message.names) } } : any
})

const phase = Schema.Union([
  Schema.TaggedStruct("AwaitingStart", {}),
  Schema.TaggedStruct("Answering", { user }),
  Schema.TaggedStruct("AwaitingFinish", { user }),
  Schema.TaggedStruct("Verifying", { user }),
  Schema.TaggedStruct("AwaitingHello", { user, rights: someRights })
])

const admitted = {
  user,
  rights: someRights,
  lastId: id,
  discarding: Schema.UndefinedOr(Schema.ReadonlySet(id)),
  saidBye: Schema.Boolean,
  draining: Schema.Boolean
}
const incoming = { id, command: Schema.Literals(["Upload", "Para"]), declared: size }
const transfer = Schema.Union([
  Schema.TaggedStruct("Listing", { id }),
  Schema.TaggedStruct("Describing", { id }),
  Schema.TaggedStruct("Opening", { id }),
  Schema.TaggedStruct("Changing", { id }),
  Schema.TaggedStruct("Offering", { id, size }),
  Schema.TaggedStruct("Sending", { id }),
  Schema.TaggedStruct("Gathering", { id, declared: size, received: size }),
  Schema.TaggedStruct("Placing", { id }),
  Schema.TaggedStruct("AnsweringPassword", { id }),
  Schema.TaggedStruct("AwaitingPassword", { id }),
  Schema.TaggedStruct("ChangingPassword", { id }),
  Schema.TaggedStruct("Staging", { ...incoming, cancelled: Schema.Boolean }),
  Schema.TaggedStruct("Receiving", { ...incoming, received: size, resumed: size, base: Schema.UndefinedOr(base) }),
  Schema.TaggedStruct("Committing", incoming)
])

export const state: Arbitrary.Arbitrary<Session> = Arbitrary.schema(
  Schema.Union([
    Schema.TaggedStruct("Unauthenticated", {
      attempts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
      phase
    }),
    Schema.TaggedStruct("Ready", admitted),
    Schema.TaggedStruct("Transferring", {
      ...admitted,
      transfer,
      queue: Schema.Array(Schema.Struct({ id, command })).check(Schema.isMaxLength(3))
    }),
    Schema.TaggedStruct("Closed", { reason: Schema.Literals(["bye", "incorrect", "protocol-violation", "draining"]) })
  ])
)
