/**
 * Updates where the new file does not fit beside the old one.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/domain/Bytes.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { clonedHeadBytesMax, versionGrainMilliseconds } from "../../src/domain/limits.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Audit } from "../../src/server/Audit.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { connect } from "./world.ts"

const mebibyte = 1024 * 1024
const older = Fixture.bytes(1, clonedHeadBytesMax + 2 * mebibyte)
const capacityBytes = older.length + clonedHeadBytesMax + mebibyte

const world = (clones: boolean) =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(Layer.orDie(Fixture.accounts)),
    Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
    Layer.provideMerge([MemoryDisk.layer({ capacityBytes, clones }), SecureRandom.layerWebCrypto, Audit.layerMemory]),
    Layer.provideMerge(quickCrypto)
  )

describe("a para for whose whole file there is no room beside the old one", () => {
  const name = FileName.make("image")
  const newer = older.with(9 * mebibyte, (older[9 * mebibyte] ?? 0) ^ 1)
  const contentOf = (content: Uint8Array): string =>
    Bytes.equals(content, newer) ? "newer" : Bytes.equals(content, older) ? "older" : "a mixture"
  const para = Effect.gen(function* () {
    const { control, session } = { control: yield* MemoryDisk.MemoryDisk, session: yield* connect() }
    yield* session.upload(name, Fixture.source(older))
    yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
    const outcome = yield* Effect.result(session.para(name, Fixture.source(newer)))
    return { outcome, holds: [...(yield* control.files)].map(([at, content]) => [at, contentOf(content)]) }
  }).pipe(Effect.scoped)

  it.effect("goes where files can be cloned", () =>
    Effect.gen(function* () {
      const { holds, outcome } = yield* para
      assert.strictEqual(outcome._tag, "Success")
      assert.deepStrictEqual(holds, [[name, "newer"]])
    }).pipe(Effect.provide(world(true)))
  )

  it.effect("is refused where they cannot, and nothing is changed", () =>
    Effect.gen(function* () {
      const { holds, outcome } = yield* para
      assert.deepInclude(outcome, { _tag: "Failure" })
      assert.deepInclude(outcome._tag === "Failure" ? outcome.failure : {}, {
        _tag: "RequestRefused",
        reason: "no-space"
      })
      assert.deepStrictEqual(holds, [[name, "older"]])
    }).pipe(Effect.provide(world(false)))
  )
})
