/**
 * Frames: what the plaintext of a DATA record is made of.
 *
 * ```
 * frame = kind u8 | length u24 | request id u32 | body
 * kind  = 1 message (CBOR, see Message) | 2 content (raw bytes)
 * ```
 *
 * A record holds whole frames, one or many; a frame never spans records. Numbers are big-endian.
 */
import { Result, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import {
  contentBlockBytes,
  frameHeaderBytes,
  messageBytesMax,
  recordFramesMax,
  recordPlaintextBytesMax,
  requestIdMax
} from "../limits.ts"

/** Which request a frame belongs to; 0 is the connection itself. */
export const RequestId = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: requestIdMax })).pipe(
  Schema.brand("RequestId")
)
export type RequestId = typeof RequestId.Type

/** The id of messages that belong to no request: Hello, Correct, Ping, Pong, Bye, Closing. */
export const connectionId: RequestId = RequestId.make(0)

/** A control message, still encoded. */
export interface MessageFrame {
  readonly kind: "message"
  readonly id: RequestId
  readonly body: Uint8Array
}

/** Bytes of the transfer that request `id` started. */
export interface ContentFrame {
  readonly kind: "content"
  readonly id: RequestId
  readonly parts: Bytes.Parts
}

/** What one frame carries: a message that is still encoded, or content of a transfer. */
export type Frame = MessageFrame | ContentFrame

/** The plaintext of a record is not a sequence of whole frames. The session ends. */
export class FrameRefused extends Schema.TaggedError<FrameRefused>()("FrameRefused", {
  reason: Schema.Literals(["too-long", "cut-short", "unknown-kind", "message-too-long", "empty-content", "too-many"])
}) {
  override get message(): string {
    return `the peer broke the framing rules (${this.reason})`
  }
}

const messageKind = 1
const contentKind = 2

const header = (kind: number, length: number, id: RequestId): Uint8Array => {
  const bytes = new Uint8Array(frameHeaderBytes)
  bytes[0] = kind
  Bytes.writeU24(bytes, 1, length)
  Bytes.writeU32(bytes, 4, id)
  return bytes
}

/** The frame as parts; its body is not copied. */
export const encode = (frame: Frame): Bytes.Parts =>
  frame.kind === "message"
    ? [header(messageKind, frame.body.length, frame.id), frame.body]
    : [header(contentKind, Bytes.lengthOf(frame.parts), frame.id), ...frame.parts]

/** How many bytes `encode` gives. */
export const encodedLength = (frame: Frame): number =>
  frameHeaderBytes + (frame.kind === "message" ? frame.body.length : Bytes.lengthOf(frame.parts))

/**
 * How much content goes into a frame where so much is wanted, bytes. Of more than a block whoever receives it would end
 * the session, and content in pieces of nothing would never leave.
 */
export const contentBytesIn = (wanted: number): number =>
  wanted >= 1 ? Math.min(contentBlockBytes, Math.floor(wanted)) : 1

/**
 * All frames of one record's plaintext, at most `recordFramesMax` of them. The parts are walked once, so the work grows
 * with parts and frames, not with their product. Bodies are views of the parts; only a message that spans parts is
 * joined.
 */
export const decodeAll = (plaintext: Bytes.Parts): Result.Result<ReadonlyArray<Frame>, FrameRefused> => {
  const frames: Array<Frame> = []
  const total = Bytes.lengthOf(plaintext)
  if (total > recordPlaintextBytesMax) return refused("too-long")
  const take = Bytes.taker(plaintext)
  let left = total
  while (left > 0) {
    if (left < frameHeaderBytes) return refused("cut-short")
    if (frames.length === recordFramesMax) return refused("too-many")
    const head = Bytes.concat(take(frameHeaderBytes))
    const length = Bytes.readU24(head, 1)
    const id = RequestId.make(Bytes.readU32(head, 4))
    left -= frameHeaderBytes
    if (length > left) return refused("cut-short")
    const body = take(length)
    left -= length
    switch (head[0]) {
      case messageKind:
        if (length > messageBytesMax) return refused("message-too-long")
        frames.push({ kind: "message", id, body: Bytes.concat(body) })
        break
      case contentKind:
        // A frame without content would be work without progress.
        if (length === 0) return refused("empty-content")
        frames.push({ kind: "content", id, parts: body })
        break
      default:
        return refused("unknown-kind")
    }
  }
  return Result.succeed(frames)
}

const refused = (reason: FrameRefused["reason"]): Result.Result<never, FrameRefused> =>
  Result.fail(new FrameRefused({ reason }))
