import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { contentBlockBytes } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { connect, scenario, Watch } from "./world.ts"

const named = (name: string) => FileName.make(name)
const content = Fixture.bytes(1, 100_000)
const files = [
  { name: named("Docs/a"), content },
  { name: named("b"), content: Fixture.bytes(2, 10) }
]
const wrong = ContentDigest.make("0".repeat(64))

const names = (session: ClientSession) =>
  Effect.map(Stream.runCollect(session.fetch), (entries) => entries.map(({ name }) => String(name)).toSorted())

const download = Effect.fnUntraced(function* (session: ClientSession, name: string) {
  const sink = Fixture.sink()
  yield* session.download(named(name), () => Effect.succeed(sink))
  return sink.content()
})

/** Why the server refused it, and the detail. */
const refusal = <A, E extends { readonly _tag: string }, R>(work: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(work), (error) =>
    "reason" in error && "detail" in error ? [error.reason, error.detail] : [error._tag]
  )

describe("remove and rename", () => {
  scenario(
    "take the file that was meant, and tell its name as it is spelt",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const renamed = yield* session.rename(named("docs/A"), named("new/folder/a"))
        assert.deepStrictEqual(renamed, { name: named("Docs/a"), to: named("new/folder/a") })
        assert.deepStrictEqual(yield* names(session), ["b", "new/folder/a"])
        assert.isTrue(Bytes.equals(yield* download(session, "new/folder/a"), content))
        assert.strictEqual(yield* session.remove(named("B")), named("b"))
        assert.deepStrictEqual(yield* names(session), ["new/folder/a"])
        const { lines } = yield* Watch
        assert.deepStrictEqual(
          lines.filter(({ message }) => message.startsWith("File")).map(({ message }) => message),
          ["File 'Docs/a' renamed to 'new/folder/a'.", "File 'b' removed."]
        )
      }),
    { files }
  )

  scenario(
    "are refused with the reason, change nothing then, and leave the session usable",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const rename = (name: string, to: string) => session.rename(named(name), named(to))
        assert.deepStrictEqual(yield* refusal(session.remove(named("none"))), ["no-such-file", ""])
        assert.deepStrictEqual(yield* refusal(rename("none", "c")), ["no-such-file", ""])
        assert.deepStrictEqual(yield* refusal(session.remove(named("Docs"))), ["not-a-file", "folder"])
        assert.deepStrictEqual(yield* refusal(rename("b", "Docs/a")), ["already-exists", "Docs/a"])
        assert.deepStrictEqual(yield* refusal(rename("b", "docs/c")), ["name-collision", "Docs"])
        assert.deepStrictEqual(yield* refusal(rename("b", "Docs/a/c")), ["not-a-file", "file-as-folder"])
        assert.deepStrictEqual(yield* names(session), ["Docs/a", "b"])
        yield* session.rename(named("b"), named("Docs/a"), { replace: true })
        assert.deepStrictEqual(yield* names(session), ["Docs/a"])
        assert.strictEqual((yield* download(session, "Docs/a")).length, 10)
      }),
    { files }
  )

  scenario(
    "of the version that is expected, and of no other",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const { digest } = yield* session.describe(named("Docs/a"))
        assert.deepStrictEqual(yield* refusal(session.remove(named("Docs/a"), wrong)), ["conflict", ""])
        const moved = session.rename(named("Docs/a"), named("c"), { expect: wrong })
        assert.deepStrictEqual(yield* refusal(moved), ["conflict", ""])
        yield* session.rename(named("Docs/a"), named("c"), { expect: digest })
        yield* session.remove(named("c"), digest)
        assert.deepStrictEqual(yield* names(session), ["b"])
      }),
    { files }
  )

  for (const change of ["remove", "rename"] as const) {
    scenario(`a download under way reads on when another session asks to ${change} its file`, () =>
      Effect.gen(function* () {
        const big = Fixture.bytes(3, 40 * contentBlockBytes)
        const [reading, writing] = [yield* connect(), yield* connect(Fixture.grace)]
        yield* reading.upload(named("big"), Fixture.source(big))
        const begun = yield* Deferred.make<void>()
        const changed = yield* Deferred.make<void>()
        const sink = Fixture.sink()
        const write = (parts: Bytes.Parts) =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(changed)),
            Effect.andThen(sink.write(parts))
          )
        const fiber = yield* Effect.forkChild(reading.download(named("big"), () => Effect.succeed({ ...sink, write })))
        yield* Deferred.await(begun)
        yield* change === "remove"
          ? writing.remove(named("big"))
          : Effect.asVoid(writing.rename(named("big"), named("other")))
        yield* Deferred.succeed(changed, undefined)
        yield* Fiber.join(fiber)
        assert.isTrue(Bytes.equals(sink.content(), big))
      })
    )
  }

  const [begun, removed] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
  scenario(
    "an upload that goes on after the removal stands",
    () =>
      Effect.gen(function* () {
        const [sending, removing] = [yield* connect(), yield* connect(Fixture.grace)]
        const fiber = yield* Effect.forkChild(sending.upload(named("b"), Fixture.source(content)))
        yield* Deferred.await(begun)
        yield* removing.remove(named("b"))
        assert.deepStrictEqual(yield* names(removing), ["Docs/a"])
        yield* Deferred.succeed(removed, undefined)
        yield* Fiber.join(fiber)
        assert.isTrue(Bytes.equals(yield* download(sending, "b"), content))
      }),
    { files, beforeWrite: Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(removed)) }
  )

  scenario("many at once, without waiting for answers, are done in order", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const steps = Array.from({ length: 30 }, (_, index) => index)
      yield* Effect.all(
        [
          session.upload(named("0"), Fixture.source(content)),
          ...steps.map((step) => session.rename(named(`${step}`), named(`${step + 1}`))),
          session.rename(named("30"), named("f/g/last")),
          session.upload(named("0"), Fixture.source(content)),
          session.remove(named("0"))
        ],
        { concurrency: "unbounded", discard: true }
      )
      assert.deepStrictEqual(yield* names(session), ["f/g/last"])
    })
  )
})
