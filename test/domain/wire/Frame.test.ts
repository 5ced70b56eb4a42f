import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import {
  contentBlockBytes,
  messageBytesMax,
  recordFramesMax,
  recordPlaintextBytesMax,
  togetherPartsMax
} from "../../../src/domain/limits.ts"
import {
  connectionId,
  decodeAll,
  encode,
  encodedLength,
  type Frame,
  RequestId
} from "../../../src/domain/wire/Frame.ts"

const Body = Schema.Uint8Array.check(Schema.isMaxLength(64))
const AnyFrame = Schema.Struct({ content: Schema.Boolean, id: RequestId, body: Body })
const Frames = Schema.Array(AnyFrame).check(Schema.isMaxLength(6))
const Sizes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })))

const frameOf = ({ body, content, id }: typeof AnyFrame.Type): Frame =>
  // Empty content is no frame.
  content && body.length > 0 ? { kind: "content", id, parts: [body] } : { kind: "message", id, body }

/** What a frame says, however its body is held. */
const said = (frame: Frame) => [
  frame.kind,
  frame.id,
  frame.kind === "message" ? [...frame.body] : frame.parts.flatMap((part) => [...part])
]

const whole = (parts: Bytes.Parts): Uint8Array => Bytes.concat([...parts, new Uint8Array(0)])

const split = (bytes: Uint8Array, sizes: ReadonlyArray<number>): Bytes.Parts => {
  const parts: Array<Uint8Array> = []
  for (let offset = 0, index = 0; offset < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? bytes.length
    parts.push(bytes.subarray(offset, (offset += size)))
  }
  return parts
}

const decoded = (parts: Bytes.Parts): ReadonlyArray<Frame> | string =>
  Result.match(decodeAll(parts), { onFailure: (error) => error.reason, onSuccess: (frames) => frames })

const header = (kind: number, length: number, id = 1): Uint8Array =>
  Uint8Array.of(kind, length >>> 16, length >>> 8, length, 0, 0, 0, id)

describe("frames", () => {
  it.prop("come back as they were, however the plaintext is split", [Frames, Sizes], ([generated, sizes]) => {
    const frames = generated.map(frameOf)
    const bytes = whole(frames.flatMap((frame) => encode(frame)))
    assert.strictEqual(
      bytes.length,
      frames.reduce((total, frame) => total + encodedLength(frame), 0)
    )
    const result = decoded(split(bytes, sizes))
    assert.deepStrictEqual(typeof result === "string" ? result : result.map(said), frames.map(said))
  })

  it.prop("cut anywhere else than between two, they are refused", [Frames], ([generated]) => {
    const frames = generated.map(frameOf)
    const bytes = whole(frames.flatMap((frame) => encode(frame)))
    const ends = new Map([[0, 0]])
    let end = 0
    for (const [index, frame] of frames.entries()) ends.set((end += encodedLength(frame)), index + 1)
    for (let length = 0; length <= bytes.length; length++) {
      const result = decoded([bytes.subarray(0, length)])
      const count = ends.get(length)
      assert.deepStrictEqual(typeof result === "string" ? result : result.length, count ?? "cut-short")
    }
  })

  it.prop(
    "any bytes give frames or a reason, and frames that encode to the same bytes",
    [Schema.Uint8Array.check(Schema.isMaxLength(200)), Sizes],
    ([bytes, sizes]) => {
      const result = decoded(split(bytes, sizes))
      if (typeof result !== "string") {
        assert.deepStrictEqual(whole(result.flatMap((frame) => encode(frame))), bytes)
      }
    }
  )

  it("have a fixed layout", () => {
    const id = RequestId.make(0x01020304)
    assert.deepStrictEqual(
      [...whole(encode({ kind: "message", id, body: Uint8Array.of(9, 8) }))],
      [1, 0, 0, 2, 1, 2, 3, 4, 9, 8]
    )
    assert.deepStrictEqual(
      [...whole(encode({ kind: "content", id: connectionId, parts: [Uint8Array.of(7)] }))],
      [2, 0, 0, 1, 0, 0, 0, 0, 7]
    )
  })

  it("are refused with a reason", () => {
    const refusals = [0, 3, 4, 255].map((kind) => [header(kind, 0), "unknown-kind"] as const)
    for (const [bytes, reason] of [
      ...refusals,
      [header(2, 0), "empty-content"] as const,
      [header(1, 1), "cut-short"] as const,
      [header(2, 0xff_ffff), "cut-short"] as const,
      [header(1, 0).subarray(0, 7), "cut-short"] as const,
      [Bytes.concat([header(1, messageBytesMax + 1), new Uint8Array(messageBytesMax + 1)]), "message-too-long"] as const
    ]) {
      assert.strictEqual(decoded([bytes]), reason)
    }
    assert.lengthOf(decoded([header(1, messageBytesMax), new Uint8Array(messageBytesMax)]), 1)
  })

  it("a block of content fills a record exactly", () => {
    const frame: Frame = { kind: "content", id: RequestId.make(1), parts: [new Uint8Array(contentBlockBytes)] }
    assert.strictEqual(encodedLength(frame), recordPlaintextBytesMax)
    assert.lengthOf(decoded(encode(frame)), 1)
  })

  it("more than a record can hold is refused, not read in part", () => {
    const full = whole(encode({ kind: "content", id: connectionId, parts: [new Uint8Array(contentBlockBytes)] }))
    assert.strictEqual(decoded([full, header(1, 0)]), "too-long")
    assert.strictEqual(decoded([header(2, contentBlockBytes + 1), new Uint8Array(contentBlockBytes + 1)]), "too-long")
  })

  it("a record has so many, many times what a client puts together, and not one more", () => {
    const parts = Array.from({ length: recordFramesMax }, () => header(1, 0))
    assert.lengthOf(decoded([whole(parts)]), recordFramesMax)
    assert.strictEqual(decoded([whole([...parts, header(1, 0)])]), "too-many")
    assert.isAtLeast(recordFramesMax, 16 * togetherPartsMax)
  })

  it("are cut in one walk over the parts, however many there are of both", () => {
    const frames = 1000
    const bytes = whole(Array.from({ length: frames }, () => [header(2, 1), Uint8Array.of(7)]).flat())
    const parts = split(bytes, [7])
    let reads = 0
    const counting = new Proxy(parts, {
      get: (target, key) => {
        reads += 1
        return Reflect.get(target, key)
      }
    })
    assert.lengthOf(decoded(counting), frames)
    // Each part to know the length and then to cut it, and each of the two runs of a frame where it ends and begins.
    assert.isAtMost(reads, 4 * parts.length + 4 * frames)
  })

  it.prop(
    "give the same views of any parts, empty ones among them, as of the whole in one",
    [Schema.Uint8Array.check(Schema.isMaxLength(120)), Frames, Sizes],
    ([rest, generated, sizes]) => {
      const bytes = whole([...generated.flatMap((frame) => encode(frameOf(frame))), rest])
      const shown = (parts: Bytes.Parts) => {
        const result = decoded(parts)
        return typeof result === "string" ? result : result.map(said)
      }
      const parts = split(bytes, sizes).flatMap((part) => [new Uint8Array(0), part, new Uint8Array(0)])
      assert.deepStrictEqual(shown(parts), shown([bytes]))
      const result = decoded(parts)
      if (typeof result === "string") return
      const views = result.flatMap((frame) => (frame.kind === "content" ? frame.parts : []))
      assert.isTrue(views.every((view) => view.length > 0 && view.buffer === bytes.buffer))
    }
  )
})
