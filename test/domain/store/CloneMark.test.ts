import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Digest } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { fileBytesMax } from "../../../src/domain/limits.ts"
import { cloneMarkBytes, decode, encode } from "../../../src/domain/store/CloneMark.ts"

const counts = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: fileBytesMax }))
const places = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: cloneMarkBytes * 8 - 1 }))

describe("the mark behind a clone", () => {
  it.effect("says how much is done, and with any bit of it changed, or cut, it is none", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Schema.Struct({ done: counts, place: places })),
        ({ done, place }) =>
          Effect.sync(() => {
            const mark = encode(digest, done)
            const torn = mark.slice()
            torn[place >> 3] = (torn[place >> 3] ?? 0) ^ (1 << (place & 7))
            return (
              mark.length === cloneMarkBytes &&
              decode(digest, mark) === done &&
              decode(digest, torn) === undefined &&
              decode(digest, mark.subarray(0, place >> 3)) === undefined
            )
          })
      )
      assert.strictEqual(result._tag, "Passed")
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("of zeros, and of more bytes than a file has, is none", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      assert.strictEqual(decode(digest, new Uint8Array(cloneMarkBytes)), undefined)
      assert.strictEqual(decode(digest, encode(digest, fileBytesMax)), fileBytesMax)
      assert.strictEqual(decode(digest, encode(digest, fileBytesMax + 1)), undefined)
    }).pipe(Effect.provide(DigestNode.layer))
  )
})
