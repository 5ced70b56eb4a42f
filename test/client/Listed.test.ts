import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Stream } from "effect"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { FileEntry } from "../../src/domain/file/FileEntry.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { listedFilesMax, listingPageEntriesMax } from "../../src/domain/limits.ts"
import * as Listed from "../../src/client/Listed.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import * as Selection from "../../src/client/Selection.ts"
import { Sessions } from "../../src/client/Sessions.ts"

const entry = FileEntry.make({ name: FileName.make("a"), size: 0, modified: 0 })

/** Pages of the same entry, and then the failure of whoever asks for more. */
const listing = (entries: number) =>
  Stream.fromArrays(
    ...Array.from({ length: Math.floor(entries / listingPageEntriesMax) }, () =>
      Array.from({ length: listingPageEntriesMax }, () => entry)
    ),
    Array.from({ length: entries % listingPageEntriesMax }, () => entry)
  )

describe("what is put together of a listing", () => {
  it.effect("is all of it, up to the limit", () =>
    Effect.gen(function* () {
      for (const entries of [0, 1, 3 * listingPageEntriesMax + 1, listedFilesMax]) {
        assert.strictEqual((yield* Listed.all(listing(entries))).length, entries)
      }
    })
  )

  it.effect("is refused beyond it, and nothing more is asked for", () =>
    Effect.gen(function* () {
      const endless = Stream.concat(listing(listedFilesMax + 1), Stream.die("asked for more"))
      const result = yield* Effect.result(Listed.all(endless))
      assert.strictEqual(
        Result.isFailure(result) ? result.failure.message : undefined,
        "the server lists more than 2000000 files: name folders of it, one after the other"
      )
    })
  )

  it.effect("is refused beyond it for patterns as well, also when one name comes again and again", () =>
    Effect.gen(function* () {
      const endless = Stream.concat(listing(listedFilesMax + 1), Stream.die("asked for more"))
      const session = { ended: () => false, traffic: { sent: 0, received: 0 }, fetchWith: () => endless }
      const services = Layer.merge(
        Sessions.layer(Effect.succeed(session as Partial<ClientSession> as ClientSession)),
        Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: { out: "", err: "" } }))
      )
      const failed = yield* Effect.flip(Effect.provide(Selection.remote(["*"]), services))
      assert.strictEqual(failed._tag, "TooManyListed")
    })
  )
})
