import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import type { Unlisted } from "../../src/client/Unlisted.ts"
import * as SessionWithin from "../../src/client/SessionWithin.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  bundlesInFlightMax,
  contentBlockBytes,
  keepAliveMilliseconds,
  listingPageEntriesMax,
  stallMillisecondsMax,
  unnamedFoldersMax,
  unnamedNamesMax
} from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { connect, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const listing = (session: ClientSession) => Stream.runCollect(session.fetch)
const names = (session: ClientSession) =>
  Effect.map(listing(session), (entries) => entries.map((entry) => entry.name).toSorted())
const download = Effect.fnUntraced(function* (session: ClientSession, of: FileName = name) {
  const sink = Fixture.sink()
  const sent = yield* session.download(of, () => Effect.succeed(sink))
  assert.deepStrictEqual(sink.committed(), sent)
  return sink.content()
})
const nothingHeld = Effect.gen(function* () {
  yield* settle
  assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
})

describe("the four commands", () => {
  scenario("move a file up, list it, bring it down, and make it equal to another", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const [first, second] = [Fixture.bytes(1, 700_000), Fixture.bytes(2, 300_000)]
      const up = yield* session.upload(name, Fixture.source(first, 5_000))
      assert.deepStrictEqual(up, { size: first.length, digest: yield* Fixture.digest(first) })
      const [entry] = yield* listing(session)
      assert.deepStrictEqual(entry, { name, size: first.length, modified: 5_000, digest: up.digest })
      assert.deepStrictEqual(yield* download(session), first)
      assert.deepStrictEqual(yield* session.para(name, Fixture.source(second)), {
        size: second.length,
        digest: yield* Fixture.digest(second)
      })
      assert.deepStrictEqual(yield* download(session), second)
      const { lines } = yield* Watch
      assert.deepStrictEqual(
        lines.map(({ message }) => message),
        ["File 'a' uploaded successfully.", "File 'a' parallelized successfully."]
      )
      yield* nothingHeld
    })
  )

  scenario("of a bundle are logged as what they were: several files, or one", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(3, 10)
      const digest = yield* Fixture.digest(content)
      const file = (text: string) => ({ name: FileName.make(text), size: 10, modified: 1_000, digest, content })
      yield* session.uploadBundle([file("b/1"), file("b/2")])
      yield* session.uploadBundle([file("b/3"), file("B/3")])
      const { lines } = yield* Watch
      assert.deepStrictEqual(
        lines.map(({ annotations, message }) => [annotations["event"], message]),
        [
          ["files-committed", "2 files uploaded successfully, 'b/1' first."],
          ["file-committed", "File 'b/3' uploaded successfully."]
        ]
      )
    })
  )

  scenario("say what the server does not have", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      for (const missing of [
        yield* Effect.flip(download(session)),
        yield* Effect.flip(session.para(name, Fixture.source(Fixture.bytes(1, 10))))
      ]) {
        assert.strictEqual(missing._tag, "RequestRefused")
        assert.strictEqual(missing.message, "the server does not have this file")
      }
      assert.deepStrictEqual(yield* listing(session), [])
      yield* nothingHeld
    })
  )

  for (const length of [
    0,
    1,
    contentBlockBytes - 1,
    contentBlockBytes,
    contentBlockBytes + 1,
    3 * contentBlockBytes,
    5 * contentBlockBytes + 17
  ]) {
    scenario(`bring back ${length} bytes as they were`, () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const content = Fixture.bytes(length, length)
        yield* session.upload(name, Fixture.source(content))
        assert.deepStrictEqual(yield* download(session), content)
        yield* session.para(name, Fixture.source(content.toReversed()))
        assert.deepStrictEqual(yield* download(session), content.toReversed())
        yield* nothingHeld
      })
    )
  }

  scenario("take any name that the grammar takes, and give it back byte for byte", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const given = [
        "a b c",
        "ä/ö/ü",
        "e\u0301",
        "日本語.txt",
        "🗂️/x",
        "a'b\"c",
        "-rf",
        "~",
        "%2e%2e",
        ".hidden",
        "x".repeat(255)
      ]
      const parsed = given.map((text) => FileName.make(text))
      for (const [index, one] of parsed.entries()) yield* session.upload(one, Fixture.source(Uint8Array.of(index)))
      assert.deepStrictEqual(yield* names(session), parsed.toSorted())
      for (const [index, one] of parsed.entries()) {
        assert.deepStrictEqual(yield* download(session, one), Uint8Array.of(index))
      }
    })
  )

  scenario("list more files than a page holds, each once", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const expected = Array.from({ length: listingPageEntriesMax + 20 }, (_, index) => FileName.make(`d/${index}`))
      yield* Effect.forEach(expected, (one) => session.upload(one, Fixture.source(Uint8Array.of(1))), {
        concurrency: 64
      })
      assert.deepStrictEqual(yield* names(session), expected.toSorted())
    })
  )
})

describe("a listing that lacks something", () => {
  const closed = ["in/a", "in/a\u{301}", "out"].map((text) => FileName.make(text))
  scenario(
    "says so to each who lists, and once in a session to the log",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const heard: Array<Unlisted> = []
        const onUnlisted = (unlisted: Unlisted) => Effect.sync(() => void heard.push(unlisted))
        for (const options of [{ onUnlisted }, { onUnlisted, digests: true }, { onUnlisted, alike: [name] }]) {
          yield* Stream.runDrain(session.fetchWith(options))
        }
        yield* Effect.scoped(session.fetchToGet([name], onUnlisted))
        const all = { count: 3, names: closed, unnamed: [] }
        assert.deepStrictEqual(heard, [all, all, all, all])
        // A person in a folder hears of that folder, under the names that it has there.
        const place = SessionWithin.within(session, "in")
        yield* Stream.runDrain(place.fetchWith({ onUnlisted }))
        yield* Effect.scoped(place.fetchToGet([name], onUnlisted))
        const own = { count: 2, names: ["a", "a\u{301}"].map((text) => FileName.make(text)), unnamed: [] }
        assert.deepStrictEqual(heard.slice(4), [own, own])
        yield* Stream.runDrain(SessionWithin.within(session, "none").fetchWith({ onUnlisted }))
        assert.strictEqual(heard.length, 6)
        // And of one that is closed, or in one that is, that it cannot be listed.
        for (const closedPlace of ["out", "out/deep", "in/a"]) {
          yield* Stream.runDrain(SessionWithin.within(session, closedPlace).fetchWith({ onUnlisted }))
        }
        const itself = (name: string) => ({ count: 0, names: [], unnamed: [], itself: name })
        assert.deepStrictEqual(heard.slice(6), ["/out", "/out", "/in/a"].map(itself))
        const lines = (yield* Watch).lines.filter(({ annotations }) => annotations["event"] === "unlisted")
        assert.deepStrictEqual(
          lines.map(({ annotations: { count, name, user } }) => ({ count, name, user })),
          [{ count: 3, name: "in/a", user: "ada" }]
        )
      }),
    { closed }
  )
})

describe("a listing that lacks what no name can mean", () => {
  const some = Array.from({ length: unnamedNamesMax + 2 }, (_, index) => {
    return { folder: FileName.make("in/f"), part: `${index}.`, kind: "file" } as const
  })
  const folders = Array.from({ length: unnamedFoldersMax }, (_, index) => {
    return { folder: FileName.make(`o/${index}`), part: "a\udfff", kind: "file" } as const
  })
  const unnamed = [{ folder: undefined, part: "x\ny ", kind: "folder" } as const, ...some, ...folders]
  scenario(
    "says so to each who lists, in few words, and once in a session to the log, escaped",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const heard: Array<Unlisted> = []
        const onUnlisted = (unlisted: Unlisted) => Effect.sync(() => void heard.push(unlisted))
        const listed = Effect.fnUntraced(function* (session: ClientSession) {
          yield* Stream.runDrain(session.fetchWith({ onUnlisted }))
          return heard.at(-1)?.unnamed ?? []
        })
        const all = yield* listed(session)
        assert.deepStrictEqual(all.slice(0, 3), [
          { folder: "", count: 1, names: ["x\ny /"] },
          { folder: "in/f", count: some.length, names: some.slice(0, unnamedNamesMax).map(({ part }) => part) },
          { folder: "o/0", count: 1, names: ["a\ufffd"] }
        ])
        const others = { folder: "", count: 2, names: [] }
        assert.deepStrictEqual(all.slice(unnamedFoldersMax), [others])
        // A person in a folder hears of what is there, and of what may be.
        const inside = { folder: "f", count: some.length, names: all[1]?.names ?? [] }
        assert.deepStrictEqual(yield* listed(SessionWithin.within(session, "in")), [inside, others])
        assert.deepStrictEqual(yield* listed(SessionWithin.within(session, "in/f")), [
          { ...inside, folder: "" },
          others
        ])
        assert.deepStrictEqual(yield* listed(SessionWithin.within(session, "in/f/g")), [others])
        const lines = (yield* Watch).lines.filter(({ annotations }) => annotations["event"] === "unnamed")
        assert.deepStrictEqual(
          lines.map(({ annotations: { count, name, user } }) => ({ count, name, user })),
          [{ count: unnamed.length, name: "x\\x0ay ", user: "ada" }]
        )
      }),
    { unnamed }
  )
})

describe("commands at once", () => {
  scenario("list by names as often as anybody asks", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* session.upload(name, Fixture.source(Uint8Array.of(1)))
      const listings = Array.from({ length: 3 * bundlesInFlightMax }, () => session.fetchWith({ alike: [name] }))
      const all = yield* Effect.forEach(listings, Stream.runCollect, { concurrency: "unbounded" })
      assert.isTrue(all.every(([entry]) => entry?.name === name))
    })
  )

  scenario("answer hundreds that were sent without waiting", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const contents = Array.from({ length: 400 }, (_, index) => Fixture.bytes(index, index * 7))
      const of = (index: number) => FileName.make(`many/${index}`)
      yield* Effect.forEach(contents, (content, index) => session.upload(of(index), Fixture.source(content)), {
        concurrency: "unbounded"
      })
      const back = yield* Effect.forEach(contents, (_, index) => download(session, of(index)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(back, contents)
      yield* nothingHeld
    })
  )

  scenario("of every kind, mixed, disturb one another in nothing", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(9, 2 * contentBlockBytes + 3)
      yield* session.upload(name, Fixture.source(content))
      const mixed = Array.from({ length: 120 }, (_, index) => {
        switch (index % 5) {
          case 0:
            return Effect.map(download(session), (got) => Bytes.equals(got, content))
          case 1:
            return Effect.map(listing(session), (entries) => entries.some((entry) => entry.name === name))
          case 2:
            return Effect.map(
              session.upload(FileName.make(`u${index}`), Fixture.source(Fixture.bytes(index, 1_000))),
              ({ size }) => size === 1_000
            )
          case 3:
            return Effect.map(session.para(name, Fixture.source(content)), ({ size }) => size === content.length)
          default:
            return Effect.map(
              Effect.flip(download(session, FileName.make("none"))),
              ({ _tag }) => _tag === "RequestRefused"
            )
        }
      })
      assert.deepStrictEqual(
        yield* Effect.all(mixed, { concurrency: "unbounded" }),
        mixed.map(() => true)
      )
      yield* nothingHeld
    })
  )

  scenario("of several clients on one name leave one whole file", () =>
    Effect.gen(function* () {
      const contents = Array.from({ length: 6 }, (_, index) => Fixture.bytes(index, 3 * contentBlockBytes + index))
      yield* Effect.forEach(
        contents,
        (content) =>
          Effect.scoped(Effect.flatMap(connect(), (session) => session.upload(name, Fixture.source(content)))),
        { concurrency: "unbounded" }
      )
      const session = yield* connect(Fixture.grace)
      const winner = yield* download(session)
      assert.strictEqual(contents.filter((content) => Bytes.equals(content, winner)).length, 1)
      assert.deepStrictEqual(yield* names(session), [name])
      yield* nothingHeld
    })
  )
})

describe("what goes wrong on the way", () => {
  scenario(
    "a disk that fills up in the middle of an upload refuses it, and the session goes on",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const big = Fixture.source(Fixture.bytes(1, 12 * contentBlockBytes))
        const refused = yield* Effect.flip(session.upload(name, big))
        assert.strictEqual(refused._tag === "RequestRefused" ? refused.reason : refused._tag, "no-space")
        yield* nothingHeld
        const small = Fixture.bytes(2, 100)
        yield* session.upload(name, Fixture.source(small))
        assert.deepStrictEqual(yield* download(session), small)
        const { lines } = yield* Watch
        assert.strictEqual(lines.length, 1)
      }),
    { noSpaceAtWrite: 3 }
  )

  scenario(
    "content sent at once that is refused is thrown away, and the session goes on",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const source = Fixture.source(Fixture.bytes(1, 3 * contentBlockBytes))
        const refused = yield* Effect.flip(session.upload(name, source))
        assert.strictEqual(refused._tag, "RequestRefused")
        yield* Effect.forEach([1, 2, 3], (index) => session.upload(FileName.make(`${index}`), source))
        assert.deepStrictEqual(yield* names(session), ["1", "2", "3"])
      }),
    { noSpaceAtWrite: 1 }
  )

  scenario("a file that collides with another by case is refused by that name", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* session.upload(FileName.make("Straße"), Fixture.source(Uint8Array.of(1)))
      const refused = yield* Effect.flip(session.upload(FileName.make("STRASSE"), Fixture.source(Uint8Array.of(2))))
      assert.include(refused.message, "'Straße'")
      assert.deepStrictEqual(yield* names(session), ["Straße"])
    })
  )

  class Gone extends Schema.TaggedError<Gone>()("Gone", {}) {}

  for (const [what, spoiled] of [
    ["changes", { unchanged: Effect.fail(new Gone()) }],
    [
      "vanishes",
      {
        read: (offset: number) =>
          offset === 0 ? Effect.succeed(new Uint8Array(contentBlockBytes)) : Effect.fail(new Gone())
      }
    ]
  ] as const) {
    scenario(`a source that ${what} while it is sent commits nothing, and the session goes on`, () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const source = { ...Fixture.source(Fixture.bytes(1, 2 * contentBlockBytes)), ...spoiled }
        const failed = yield* Effect.flip(session.upload(name, source))
        assert.strictEqual(failed._tag, "Gone")
        assert.deepStrictEqual(yield* listing(session), [])
        yield* nothingHeld
      })
    )
  }

  scenario("a source that shrinks is said to have, and commits nothing", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const source = { ...Fixture.source(Fixture.bytes(1, 1_000)), size: 2_000 }
      assert.strictEqual((yield* Effect.flip(session.upload(name, source)))._tag, "SourceShrank")
      assert.deepStrictEqual(yield* listing(session), [])
      yield* nothingHeld
    })
  )

  scenario("a download reads on as the file was when it is replaced meanwhile", () =>
    Effect.gen(function* () {
      const [before, after] = [Fixture.bytes(1, 40 * contentBlockBytes), Fixture.bytes(2, 50)]
      const [reading, writing] = [yield* connect(), yield* connect(Fixture.grace)]
      yield* reading.upload(name, Fixture.source(before))
      const begun = yield* Deferred.make<void>()
      const replaced = yield* Deferred.make<void>()
      const sink = Fixture.sink()
      const receiver = {
        ...sink,
        write: (parts: Bytes.Parts) =>
          Effect.andThen(
            Deferred.succeed(begun, undefined),
            Effect.andThen(Deferred.await(replaced), sink.write(parts))
          )
      }
      const fiber = yield* Effect.forkChild(reading.download(name, () => Effect.succeed(receiver)))
      yield* Deferred.await(begun)
      yield* writing.upload(name, Fixture.source(after))
      yield* Deferred.succeed(replaced, undefined)
      yield* Fiber.join(fiber)
      assert.isTrue(Bytes.equals(sink.content(), before))
      assert.deepStrictEqual(yield* download(writing), after)
    })
  )
})

describe("interrupting", () => {
  const big = Fixture.bytes(3, 24 * contentBlockBytes)

  scenario("an upload leaves nothing in the listing, and the session usable", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const halfway = yield* Deferred.make<void>()
      const source = Fixture.source(big)
      const slow = {
        ...source,
        read: (offset: number, length: number) =>
          offset < 20 * contentBlockBytes
            ? source.read(offset, length)
            : Effect.andThen(Deferred.succeed(halfway, undefined), Effect.never)
      }
      const fiber = yield* Effect.forkChild(session.upload(name, slow))
      yield* Deferred.await(halfway)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* listing(session), [])
      yield* nothingHeld
      yield* session.upload(name, Fixture.source(big))
      assert.isTrue(Bytes.equals(yield* download(session), big))
    })
  )

  scenario("a download stops the server's reading, and leaves the session usable", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* session.upload(name, Fixture.source(big))
      const begun = yield* Deferred.make<void>()
      const stuck = {
        write: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never),
        commit: () => Effect.void
      }
      const fiber = yield* Effect.forkChild(session.download(name, () => Effect.succeed(stuck)))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* names(session), [name])
      yield* nothingHeld
      assert.isTrue(Bytes.equals(yield* download(session), big))
    })
  )

  scenario("a listing leaves the session usable", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const many = Array.from({ length: 200 }, (_, index) => FileName.make(`f/${index}`))
      yield* Effect.forEach(many, (one) => session.upload(one, Fixture.source(Uint8Array.of(1))), { concurrency: 50 })
      assert.strictEqual((yield* Stream.runCollect(Stream.take(session.fetch, 3))).length, 3)
      assert.strictEqual((yield* listing(session)).length, 200)
      yield* nothingHeld
    })
  )

  scenario("commands that wait takes them out, and the others are answered", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      yield* session.upload(name, Fixture.source(big))
      const downloads = yield* Effect.forEach(Array.from({ length: 24 }), () => Effect.forkChild(download(session)))
      yield* settle
      yield* Effect.forEach(
        downloads.filter((_, index) => index % 3 > 0),
        (fiber) => Fiber.interrupt(fiber)
      )
      for (const [index, fiber] of downloads.entries()) {
        if (index % 3 === 0) assert.isTrue(Bytes.equals(yield* Fiber.join(fiber), big))
      }
      yield* nothingHeld
    })
  )
})

describe("slowness", () => {
  scenario("a client that does not read stops the server's reading from its store", () =>
    Effect.gen(function* () {
      const [slow, other] = [yield* connect(), yield* connect(Fixture.grace)]
      const big = Fixture.bytes(4, 100 * contentBlockBytes)
      yield* slow.upload(name, Fixture.source(big))
      const { calls } = yield* Watch
      const before = calls.read
      const stuck = { write: () => Effect.never, commit: () => Effect.void }
      const fiber = yield* Effect.forkChild(slow.download(name, () => Effect.succeed(stuck)))
      yield* settle
      yield* settle
      const read = calls.read - before
      yield* settle
      assert.strictEqual(calls.read - before, read)
      assert.isAtMost(read, 40)
      assert.strictEqual((yield* names(other)).length, 1)
      yield* Fiber.interrupt(fiber)
    })
  )

  const slow: ReadonlyArray<readonly [string, Parameters<typeof scenario>[2]]> = [
    ["commit", { beforeCommit: Effect.sleep(9 * stallMillisecondsMax) }],
    ["write", { beforeWrite: Effect.sleep(9 * stallMillisecondsMax) }]
  ]
  for (const [what, options] of slow) {
    scenario(
      `a ${what} that takes long keeps both ends patient`,
      () =>
        Effect.gen(function* () {
          const session = yield* connect()
          const fiber = yield* Effect.forkChild(session.upload(name, Fixture.source(Fixture.bytes(1, 10))))
          yield* settle
          yield* Effect.forEach(Array.from({ length: (10 * stallMillisecondsMax) / keepAliveMilliseconds }), () =>
            TestClock.adjust(keepAliveMilliseconds)
          )
          assert.strictEqual((yield* Fiber.join(fiber)).size, 10)
        }),
      options
    )
  }
})

describe("a disk that takes long to read", () => {
  const [small, large] = [FileName.make("small"), FileName.make("large")]
  const files = [
    { name: small, content: Fixture.bytes(1, 3), modified: 0 },
    { name: large, content: Fixture.bytes(1, 3_000_000), modified: 0 }
  ]
  const older = Fixture.source(Fixture.bytes(2, 3_000_000))
  const to = () => Effect.succeed(Fixture.sink())
  const ways: ReadonlyArray<readonly [string, (session: ClientSession) => Effect.Effect<unknown, unknown>]> = [
    ["a small download", (session) => session.download(small, to)],
    ["a large download", (session) => session.download(large, to)],
    ["an update", (session) => session.update(large, older, to)],
    ["a bundle", (session) => session.downloadBundle([small], () => Effect.void)],
    ["a listing with content", (session) => Effect.scoped(session.fetchToGet([small]))]
  ]
  for (const [what, way] of ways) {
    scenario(
      `${what}: keeps both ends patient`,
      () =>
        Effect.gen(function* () {
          const session = yield* connect()
          const fiber = yield* Effect.forkChild(way(session))
          while (fiber.pollUnsafe() === undefined) {
            yield* settle
            yield* TestClock.adjust(keepAliveMilliseconds)
          }
          yield* Fiber.join(fiber)
          yield* nothingHeld
        }),
      { files, beforeRead: Effect.sleep(3 * stallMillisecondsMax) }
    )
  }
})

describe("whoever takes long with what has come", () => {
  const many = Array.from({ length: 1_000 }, (_, index) => FileName.make(`many/${index}`))
  const contents = many.map((name) => ({ name, content: Fixture.bytes(1, 2_000), modified: 0 }))
  const files = [{ name, content: Fixture.bytes(1, 3_000_000), modified: 0 }, ...contents]
  const long = Effect.sleep(3 * stallMillisecondsMax)
  /** Takes long over the first two. */
  const slowly = () => {
    let taken = 0
    return () => Effect.suspend(() => (taken++ < 2 ? long : Effect.void))
  }
  const receiver = (write: () => Effect.Effect<void>) => Effect.succeed({ write, commit: () => Effect.void })
  const older = Fixture.source(Fixture.bytes(2, 3_000_000))
  const ways: ReadonlyArray<readonly [string, (session: ClientSession) => Effect.Effect<unknown, unknown>]> = [
    ["content of a download", (session) => session.download(name, () => receiver(slowly()))],
    ["the place of a download", (session) => session.download(name, () => Effect.andThen(long, receiver(slowly())))],
    ["content of an update", (session) => session.update(name, older, () => receiver(slowly()))],
    ["the place of an update", (session) => session.update(name, older, () => Effect.as(long, Fixture.sink()))],
    ["files of a bundle", (session) => session.downloadBundle(many, slowly())],
    [
      "a listing with content",
      (session) =>
        session.fetchToGet([FileName.make("many")]).pipe(
          Effect.tap(long),
          Effect.flatMap((entries) =>
            session.downloadBundle(
              entries.map(({ name }) => name),
              slowly()
            )
          ),
          Effect.scoped
        )
    ]
  ]
  for (const [what, way] of ways) {
    scenario(
      `${what}: is not told that the connection was lost`,
      () =>
        Effect.gen(function* () {
          const session = yield* connect()
          const fiber = yield* Effect.forkChild(way(session))
          for (let passed = 0; passed < 12 * stallMillisecondsMax; passed += keepAliveMilliseconds) {
            yield* settle
            yield* TestClock.adjust(keepAliveMilliseconds)
          }
          yield* Fiber.join(fiber)
          yield* session.describe(name)
          yield* nothingHeld
        }),
      { files }
    )
  }
})

describe("the store behind the server", () => {
  scenario("is the one that others see", () =>
    Effect.gen(function* () {
      const store = yield* FileStore
      const session = yield* connect()
      yield* session.upload(name, Fixture.source(Fixture.bytes(1, 3)))
      assert.strictEqual((yield* store.stat(name)).size, 3)
    })
  )
})
