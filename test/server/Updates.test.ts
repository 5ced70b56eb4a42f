/**
 * Updates through a whole server whose disk can clone.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { clonedHeadBytesMax, versionGrainMilliseconds } from "../../src/domain/limits.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import { loadFile } from "../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { connect } from "./world.ts"

const mebibyte = 1024 * 1024
const name = FileName.make("file")
const live = Fixture.bytes(1, clonedHeadBytesMax + 4 * mebibyte)

/** Room for the file and what a clone takes, and not for two. */
const world = Server.layer.pipe(
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(Layer.orDie(Fixture.accounts)),
  Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
  Layer.provideMerge([
    MemoryDisk.layer({ clones: true, capacityBytes: live.length + clonedHeadBytesMax + mebibyte }),
    SecureRandom.layerWebCrypto
  ]),
  Layer.provideMerge(quickCrypto)
)

describe("a para of a file that would not fit beside itself", () => {
  it.effect("goes through where it can be a clone, and an upload does not", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* session.upload(name, Fixture.source(live))
      yield* TestClock.adjust(versionGrainMilliseconds + 1_000)
      const mine = live.slice()
      mine.set([1, 2, 3], 10 * mebibyte)
      const refused = yield* Effect.flip(session.upload(name, Fixture.source(mine)))
      assert.strictEqual(refused._tag === "RequestRefused" && refused.reason, "no-space")
      yield* session.para(name, Fixture.source(mine))
      assert.deepStrictEqual(yield* loadFile(name), mine)
    }).pipe(Effect.scoped, Effect.provide(world))
  )
})
