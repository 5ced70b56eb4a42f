/**
 * Signatures kept in memory are found as those in files are, while all have room: the same steps come to the same, also
 * when who puts one is interrupted.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { signatureOf } from "../../../src/domain/testing/signatureKeepContract.ts"
import { SignatureKeep } from "../../../src/domain/transfer/SignatureKeep.ts"
import * as SignatureKeepFiles from "../../../src/domain/transfer/SignatureKeepFiles.ts"
import { temporaryFolder } from "../store/temporaryDisk.ts"

const version = Schema.Literals(["1:2:3", "1:2:4", "", "../a\0", "ü".repeat(128)])
const signature = { seed: Schema.Literals([1, 2]), length: Schema.Literals([0, 1_000, 200_000]) }
const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literals(["put", "put", "interrupted"]), version, ...signature }),
  Schema.Struct({ do: Schema.tag("twice"), version, other: version, ...signature }),
  Schema.Struct({ do: Schema.tag("get"), version })
])
type Step = (typeof Step)["Type"]

/** What was found whenever that was asked, and at the end. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const { get, put } = yield* SignatureKeep
  const all: Array<unknown> = []
  for (const step of steps) {
    if (step.do === "get") {
      all.push(yield* get(step.version))
      continue
    }
    const putting = put(step.version, yield* signatureOf(step.seed, step.length))
    if (step.do === "put") yield* putting
    else if (step.do === "twice") {
      yield* Effect.all([putting, put(step.other, yield* signatureOf(3, 500))], { concurrency: 2 })
      // Of two at once either may be the last.
      yield* putting
    } else {
      // Whether or not it was kept: what is there is whole, and can be put again.
      yield* Effect.flatMap(Effect.forkChild(putting, { startImmediately: true }), Fiber.interrupt)
      yield* putting
    }
  }
  for (const one of version.literals) all.push(yield* get(one))
  return all
})

const inFiles = Layer.unwrap(Effect.map(temporaryFolder, (folder) => SignatureKeepFiles.layer(`${folder}/kept`))).pipe(
  Layer.provide([NodeServices.layer, SecureRandom.layerWebCrypto])
)

describe("signatures kept in memory", () => {
  it.live.prop(
    "are found as those in files are",
    [Schema.Array(Step).check(Schema.isMinLength(3), Schema.isMaxLength(12))],
    ([steps]) =>
      Effect.gen(function* () {
        const there = yield* Effect.provide(outcomes(steps), inFiles)
        const here = yield* Effect.provide(outcomes(steps), SignatureKeep.layerMemory)
        assert.deepStrictEqual(here, there)
      }).pipe(Effect.provide(DigestNode.layer)),
    { arbitrary: { runs: 25 } }
  )
})
