import * as nodeFs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as SmallFilesNode from "../../../src/domain/store/SmallFilesNode.ts"
import { temporaryFolder } from "./temporaryDisk.ts"

const seconds = Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 4_000_000_000 }))
const halves = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1999 }))
const nanoseconds = Schema.Int.check(Schema.isBetween({ minimum: -400, maximum: 400 }))

const asked = (looked: ReturnType<typeof SmallFilesNode.glance>) =>
  Result.map(looked, ({ executable, kind, modified, size }) => ({ executable, kind, modified, size }))

describe("a glance at a file", () => {
  it.effect.prop(
    "says what a look says of it, however near the middle of two milliseconds its time is",
    { seconds, halves, nanoseconds },
    ({ halves, nanoseconds, seconds }) =>
      Effect.gen(function* () {
        const path = `${yield* temporaryFolder}/a`
        nodeFs.writeFileSync(path, "content")
        nodeFs.chmodSync(path, halves % 2 === 0 ? 0o755 : 0o644)
        const time = seconds + halves / 2000 + nanoseconds / 1e9
        nodeFs.utimesSync(path, time, time)
        assert.deepStrictEqual(asked(SmallFilesNode.glance(path)), asked(SmallFilesNode.lstat(path)))
      })
  )

  it.effect("tells kinds, and what is not there", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      nodeFs.symlinkSync("none", `${folder}/link`)
      for (const path of [folder, `${folder}/link`, `${folder}/none`, "/dev/null"]) {
        assert.deepStrictEqual(asked(SmallFilesNode.glance(path)), asked(SmallFilesNode.lstat(path)))
      }
      const kinds = [folder, `${folder}/link`, "/dev/null"].map((path) =>
        Result.getOrThrow(Result.map(SmallFilesNode.glance(path), ({ kind }) => kind))
      )
      assert.deepStrictEqual(kinds, ["folder", "link", "special"])
    })
  )
})
