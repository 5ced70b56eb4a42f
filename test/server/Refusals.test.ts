/**
 * What the log has of a disk that fails, and who is told nothing of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { fromUtf8 } from "../../src/domain/Bytes.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as Confined from "../../src/domain/store/Confined.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import { NoAccess, NoSuchFile, StoreFailed } from "../../src/domain/store/StoreError.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { RequestId } from "../../src/domain/wire/Frame.ts"
import * as CommandWatch from "../../src/server/CommandWatch.ts"
import * as Refusals from "../../src/server/Refusals.ts"
import { quickCrypto } from "../crypto.ts"
import { connect, logTo, scenario, Watch, watchLayer } from "./world.ts"

const name = FileName.make("in/a\u200b")
const broken = new StoreFailed({ operation: "open", code: "EIO" })
const id = RequestId.make(7)

describe("what the server's user has no access to", () => {
  it.effect("is a refusal of its own, and in the log with the code and where that is", () =>
    Effect.gen(function* () {
      const files = Confined.make(yield* FileStore, FileName.make("home"))
      const commands = CommandWatch.make()
      const { refused } = Refusals.make({ files, user: () => "ada", watch: commands })
      commands.step({ _tag: "Message", id, message: { _tag: "Remove", name } }, [])
      const listing = RequestId.make(8)
      commands.step({ _tag: "Message", id: listing, message: { _tag: "Fetch" } }, [])
      const refusal = { _tag: "Refused", id, refusal: { reason: "no-access" } } as const
      const closed = new NoAccess({ operation: "openRead", code: "EACCES" })
      assert.deepStrictEqual(yield* refused(id, closed), refusal)
      yield* refused(listing, new NoAccess({ operation: "list", code: "EPERM", path: "home\u200b" }))
      yield* refused(listing, new NoAccess({ operation: "list", code: "EPERM", path: "" }))
      yield* refused(listing, new StoreFailed({ operation: "list", code: "EIO", path: "home/x" }))
      const { lines } = yield* Watch
      assert.deepStrictEqual(
        lines.map(({ annotations: { code, command, event, name } }) => [event, command, name, code]),
        [
          ["no-access", "remove", "home/in/a\\u{200b}", "EACCES"],
          ["no-access", "fetch", "home\\u{200b}", "EPERM"],
          ["no-access", "fetch", ".", "EPERM"],
          ["store-failed", "fetch", "home/x", undefined]
        ]
      )
    }).pipe(
      Effect.provide(Layer.merge(logTo, FileStoreMemory.layer({})).pipe(Layer.provideMerge([watchLayer, quickCrypto])))
    )
  )

  it.effect("of a rename is in the log with both names: either may be the one that cannot be reached", () =>
    Effect.gen(function* () {
      const files = Confined.make(yield* FileStore, FileName.make("home"))
      const commands = CommandWatch.make()
      const { refused } = Refusals.make({ files, user: () => "ada", watch: commands })
      const to = FileName.make("closed/b\u200b")
      commands.step({ _tag: "Message", id, message: { _tag: "Rename", name, to, replace: false } }, [])
      yield* refused(id, new NoAccess({ operation: "link", code: "EACCES" }))
      yield* refused(id, broken)
      const { lines } = yield* Watch
      assert.deepStrictEqual(
        lines.map(({ annotations: { event, name, to } }) => [event, name, to]),
        ["no-access", "store-failed"].map((event) => [event, "home/in/a\\u{200b}", "home/closed/b\\u{200b}"])
      )
    }).pipe(
      Effect.provide(Layer.merge(logTo, FileStoreMemory.layer({})).pipe(Layer.provideMerge([watchLayer, quickCrypto])))
    )
  )
})

describe("a disk that fails", () => {
  it.effect("is in the log with whom it failed, at what, in the server's names", () =>
    Effect.gen(function* () {
      const files = Confined.make(yield* FileStore, FileName.make("home"))
      const commands = CommandWatch.make()
      const { logged, refused, refusedTarget } = Refusals.make({ files, user: () => "ada", watch: commands })
      commands.step({ _tag: "Message", id, message: { _tag: "Describe", name } }, [])
      commands.step({ _tag: "Message", id: RequestId.make(8), message: { _tag: "Fetch" } }, [])
      const refusal = { _tag: "Refused", id, refusal: { reason: "store-failed" } } as const
      assert.deepStrictEqual(yield* refused(id, broken), refusal)
      assert.deepStrictEqual(yield* refusedTarget(id, undefined, broken), refusal)
      yield* logged(RequestId.make(8), broken, FileName.make("b"))
      yield* logged(RequestId.make(8), broken)
      // Of a command that nobody has seen there is nothing to be told.
      yield* logged(RequestId.make(9), broken)
      yield* refused(id, new NoSuchFile({ name }))
      const { lines } = yield* Watch
      assert.deepStrictEqual(
        lines.map(({ annotations: { command, name: file, user }, message }) => [message, user, command, file]),
        [
          ["describe", "home/in/a\\u{200b}"],
          ["describe", "home/in/a\\u{200b}"],
          ["fetch", "home/b"],
          ["fetch", undefined],
          [undefined, undefined]
        ].map(([command, file]) => [broken.message, "ada", command, file])
      )
    }).pipe(
      Effect.provide(Layer.merge(logTo, FileStoreMemory.layer({})).pipe(Layer.provideMerge([watchLayer, quickCrypto])))
    )
  )

  scenario(
    "is there with the file of a transfer and of a bundle",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        yield* Effect.flip(session.describe(name))
        yield* session.downloadBundle([FileName.make("ok"), name], () => Effect.void)
        const content = fromUtf8("x")
        const file = { name, size: 1, modified: 0, digest: yield* Fixture.digest(content), content }
        yield* session.uploadBundle([{ ...file, name: FileName.make("ok") }, file])
        const lines = (yield* Watch).lines.filter(({ annotations }) => annotations["event"] === "store-failed")
        assert.deepStrictEqual(
          lines.map(({ annotations: { command, name: file, user } }) => ({ command, file, user })),
          ["describe", "download", "upload"].map((command) => ({ command, file: "in/a\\u{200b}", user: "ada" }))
        )
      }),
    { broken: [name] }
  )
})
