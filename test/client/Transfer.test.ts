/**
 * Small files that are got together while the connection is lost.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import * as Batch from "../../src/client/Batch.ts"
import type { SmallDownload } from "../../src/client/Bundles.ts"
import { ConnectionLost, RequestRefused } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { LocalFiles, placeAt } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Transfer from "../../src/client/Transfer.ts"
import { digestOf } from "../../src/domain/file/Digest.ts"
import * as DigestPortable from "../../src/domain/file/DigestPortable.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { digest } from "../domain/transfer/deltas.ts"
import { withTimeOfDay } from "../settableTime.ts"

/** What a server does about one request: positions that it sends, positions that it refuses, and then it is gone. */
interface Answer {
  readonly sends: ReadonlyArray<number>
  readonly refuses?: ReadonlyArray<number>
  readonly lost?: boolean
}

const contentOf = (name: string) => new TextEncoder().encode(`content of ${name}`)

/** Sessions that answer one request each, and what a client is made of beside them. */
const world = (answers: ReadonlyArray<Answer>, meanwhile: Effect.Effect<void> = Effect.void) => {
  const written = { out: "", err: "" }
  const asked: Array<ReadonlyArray<string>> = []
  const connect = Effect.sync(() => {
    const answer = answers[asked.length] ?? { sends: [] }
    let ended = false
    const downloadBundle: ClientSession["downloadBundle"] = (names, take, onCrossed = () => {}) =>
      Effect.gen(function* () {
        asked.push(names)
        yield* meanwhile
        const files = answer.sends.map((index): SmallDownload => {
          const content = contentOf(names[index] ?? "")
          return { index, modified: 0, size: content.length, digest: digestOf(digest, [content]), parts: [content] }
        })
        onCrossed(files.reduce((sum, { size }) => sum + size, 0))
        yield* take(files)
        ended = answer.lost === true
        if (ended) return yield* new ConnectionLost({ reason: "truncated" })
        const refusal = (index: number) =>
          new RequestRefused({ name: names[index] ?? "", reason: "no-such-file", detail: "" })
        return new Map((answer.refuses ?? []).map((index) => [index, refusal(index)]))
      })
    return { ended: () => ended, traffic: { sent: 0, received: 0 }, downloadBundle } as ClientSession
  })
  const layer = Layer.mergeAll(Sessions.layer(connect), ReporterJson.layer(""), LocalFilesMemory.layer()).pipe(
    Layer.provideMerge(DigestPortable.layer),
    Layer.provide(Screen.layerMemory({ written }))
  )
  return { asked, layer, written }
}

const fourFiles = Effect.map(LocalFiles, (files) =>
  ["a", "b", "c", "d"].map((name) => ({ name: FileName.make(name), place: placeAt(files, name) }))
)

/** A download of files `a` to `d`, each request answered by the next session. */
const downloaded = (answers: ReadonlyArray<Answer>, meanwhile?: Effect.Effect<void>) => {
  const { asked, layer, written } = world(answers, meanwhile)
  const crossed: Array<number> = []
  return Effect.gen(function* () {
    const outcomes = yield* Transfer.getTogether(
      yield* fourFiles,
      true,
      (bytes) => void crossed.push(bytes),
      () => {}
    )
    const told = written.out.split("\n").flatMap((line) => /"event":"downloaded".*"name":"(.)"/.exec(line)?.[1] ?? [])
    const came = outcomes.map((one) => (one === undefined ? "alone" : Result.isSuccess(one) ? "got" : one.failure._tag))
    const took = written.out.match(/"milliseconds":[^,}]*/g)
    return { asked, crossed, told, came, took }
  }).pipe(Effect.provideService(Reconnect.Persistence, true), Effect.provide(layer))
}

const bytesOf = (names: string) => [...names].reduce((sum, name) => sum + contentOf(name).length, 0)

describe("files that are got together while the connection is lost", () => {
  it.effect("are asked for and told once each, and what is refused is still the right one", () =>
    Effect.gen(function* () {
      const { took: _, ...done } = yield* downloaded([
        { sends: [0, 1], lost: true },
        { sends: [1], refuses: [0] }
      ])
      assert.deepStrictEqual(done, {
        asked: [
          ["a", "b", "c", "d"],
          ["c", "d"]
        ],
        crossed: [bytesOf("ab"), bytesOf("abd")],
        told: ["a", "b", "d"],
        came: ["got", "got", "RequestRefused", "got"]
      })
    })
  )

  it.effect("are not asked for again when all of them had come", () =>
    Effect.gen(function* () {
      const { took: _, ...done } = yield* downloaded([{ sends: [0, 1, 2, 3], lost: true }])
      assert.deepStrictEqual(done, {
        asked: [["a", "b", "c", "d"]],
        crossed: [bytesOf("abcd")],
        told: ["a", "b", "c", "d"],
        came: ["got", "got", "got", "got"]
      })
    })
  )

  for (const [what, answers, files, expected] of [
    ["with those that had come before the session was lost", [{ sends: [0, 1], lost: true }], 2, "ConnectionLost"],
    ["each once when all have come", [{ sends: [0, 1, 2, 3] }], 4, "all"]
  ] as const) {
    it.effect(`are counted in the sum, ${what}`, () => {
      const { layer, written } = world(answers)
      return Effect.gen(function* () {
        const items = (yield* fourFiles).map((bundled) => ({
          name: bundled.name,
          size: contentOf(bundled.name).length,
          run: () => Effect.die("moved by itself"),
          bundled
        }))
        const end = yield* Batch.run("download", [items], true, { together: Transfer.getTogether }).pipe(
          Effect.match({ onFailure: ({ _tag }) => _tag, onSuccess: () => "all" })
        )
        assert.strictEqual(end, expected)
        const sum = /"event":"summary","command":"download","files":(\d+).*"size":(\d+)/.exec(written.out)
        assert.deepStrictEqual(sum?.slice(1), [String(files), String(bytesOf("abcd".slice(0, files)))])
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("took as long as they took, however somebody sets the clock", () =>
    withTimeOfDay((set) =>
      Effect.gen(function* () {
        const meanwhile = Effect.andThen(
          TestClock.adjust(20),
          Effect.sync(() => set(-3_600_000))
        )
        const { took } = yield* downloaded([{ sends: [0, 1, 2, 3] }], meanwhile)
        assert.deepStrictEqual(
          took,
          Array.from({ length: 4 }, () => `"milliseconds":20`)
        )
      })
    )
  )
})
