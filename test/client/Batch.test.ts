/**
 * Many files in one command: how many are under way at once, and what is told of them together.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import * as Batch from "../../src/client/Batch.ts"
import { RequestRefused, SourceMissing } from "../../src/client/ClientError.ts"
import { LocalFiles, placeAt } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import type { OnProgress } from "../../src/client/Progress.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { filesAheadMax, largeFilesAheadMax, smallFileBytesMax } from "../../src/domain/limits.ts"
import { quickCrypto } from "../crypto.ts"

const sessions = Sessions.layer(Effect.die("nobody asks the server"))
const layer = Layer.mergeAll(sessions, LocalFilesMemory.layer(), ReporterText.layer("")).pipe(
  Layer.provide([Screen.layerMemory({ written: { out: "", err: "" } }), quickCrypto])
)

const moved = (size: number): Batch.Moved => ({ size, reused: 0, equal: false })

/** What is told of all of them: done, total, files done and files, and the phase. */
const follow = <R>(items: ReadonlyArray<Batch.Item<R>>, options: Batch.Options<R> = {}) =>
  Effect.gen(function* () {
    const reporter = yield* Reporter
    const told: Array<ReadonlyArray<number | string | undefined>> = []
    const heard: OnProgress = ({ done, files, phase, total }) =>
      void told.push([done, total, files?.done, files?.total, phase])
    const listening = Reporter.of({ ...reporter, follow: () => Effect.succeed(heard) })
    const ended = yield* Effect.provideService(Batch.run("upload", [items], true, options), Reporter, listening)
    return { told, ended }
  })

describe("many files at once", () => {
  for (const [what, size, most] of [
    ["large", smallFileBytesMax + 1, largeFilesAheadMax],
    ["of unknown size", undefined, largeFilesAheadMax],
    ["small", smallFileBytesMax, filesAheadMax]
  ] as const) {
    it.effect(`are no more than ${most} when they are ${what}`, () =>
      Effect.gen(function* () {
        let now = 0
        let seen = 0
        const run = () =>
          Effect.gen(function* () {
            now += 1
            seen = Math.max(seen, now)
            yield* Effect.yieldNow
            now -= 1
            return moved(1)
          })
        const items = Array.from({ length: most * 2 }, (_, index) => ({ name: String(index), size, run }))
        assert.isTrue(yield* Batch.run("upload", [items], true))
        assert.strictEqual(seen, most)
      }).pipe(Effect.provide(layer))
    )
  }
})

describe("the progress of many files", () => {
  it.effect("never falls when one begins anew, and ends without what has failed", () =>
    Effect.gen(function* () {
      const tells = (total: number, all: ReadonlyArray<number>, onProgress: OnProgress) =>
        Effect.sync(() => {
          for (const done of all) onProgress({ phase: "moving", done, total, reused: 0 })
        })
      const { ended, told } = yield* follow([
        { name: "a", size: 10, run: ({ onProgress }) => Effect.as(tells(10, [4, 0, 10], onProgress), moved(10)) },
        {
          name: "b",
          size: 20,
          run: ({ onProgress }) =>
            Effect.andThen(tells(20, [5], onProgress), Effect.fail(new SourceMissing({ path: "b", command: "upload" })))
        }
      ])
      assert.isFalse(ended)
      assert.deepStrictEqual(told, [
        [4, 30, 0, 2, "moving"],
        [4, 30, 0, 2, "moving"],
        [10, 30, 0, 2, "moving"],
        [10, 30, 1, 2, "moving"],
        [15, 30, 1, 2, "moving"],
        [15, 15, 1, 1, "done"]
      ])
    }).pipe(Effect.provide(layer))
  )

  it.effect("shows nothing twice of a bundle that is sent again, and ends without what was refused", () =>
    Effect.gen(function* () {
      const files = yield* LocalFiles
      const small = (name: string, size: number): Batch.Item<never> => ({
        name,
        size,
        run: () => Effect.die("moved by itself"),
        bundled: { name: FileName.make(name), place: placeAt(files, name) }
      })
      const refused = new RequestRefused({ name: "b", reason: "no-space", detail: "" })
      const { ended, told } = yield* follow([small("a", 10), small("b", smallFileBytesMax)], {
        together: (_items, _told, onCrossed) =>
          Effect.sync(() => {
            for (const bytes of [10, 4, 12]) onCrossed(bytes)
            return [Result.succeed(moved(10)), Result.fail(refused)]
          })
      })
      assert.isFalse(ended)
      const total = 10 + smallFileBytesMax
      assert.deepStrictEqual(told, [
        [10, total, 0, 2, "moving"],
        [10, total, 0, 2, "moving"],
        [12, total, 0, 2, "moving"],
        [12, 12, 1, 1, "done"]
      ])
    }).pipe(Effect.provide(layer))
  )
})
