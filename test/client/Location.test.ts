/**
 * Names at a server, plain or by URL: what arguments mean together, and what is refused.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import * as ClientConfig from "../../src/client/ClientConfig.ts"
import * as Location from "../../src/client/Location.ts"
import * as ServerAddress from "../../src/client/ServerAddress.ts"

const files = { server: { host: "files.example", port: 8080 }, user: undefined }

const refused = (texts: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(Location.parse(texts)), ({ message }) => message)

describe("names by URL", () => {
  // A lone surrogate has no URL: encoding it is refused.
  const Name = Schema.String.check(
    Schema.isMinLength(1),
    Schema.makeFilter((text) => text.isWellFormed())
  )

  it.effect.prop("any name comes back from its URL", [Name], ([name]) =>
    Effect.map(Location.parse([`paradrop://ada@files.example:9/${encodeURIComponent(name)}`]), (found) =>
      assert.deepStrictEqual(found, {
        names: [name],
        named: { server: { host: "files.example", port: 9 }, user: "ada" }
      })
    )
  )

  it.effect("what needs no encoding stands as it is; there is no query and no fragment", () =>
    Effect.gen(function* () {
      const { named, names } = yield* Location.parse([
        "paradrop://files.example/a/b?.txt#1",
        "PARADROP://FILES.example/**"
      ])
      assert.deepStrictEqual(names, ["a/b?.txt#1", "**"])
      assert.deepStrictEqual(named, files)
    })
  )

  it.effect("plain names are as they were, whatever they hold", () =>
    Effect.gen(function* () {
      const names = ["a%2", "http://x/y", "paradrop:/x", ""]
      assert.deepStrictEqual(yield* Location.parse(names), { names, named: undefined })
    })
  )

  it.effect("a server alone is a name only where none is needed", () =>
    Effect.gen(function* () {
      for (const text of ["paradrop://files.example", "paradrop://files.example/"]) {
        assert.deepStrictEqual(yield* Location.parse([text], { nameless: true }), { names: [""], named: files })
        assert.include(yield* refused([text]), "a URL names a server and no file")
      }
    })
  )

  it.effect("one command speaks to one server as one account", () =>
    Effect.gen(function* () {
      const several = "URLs name several servers or accounts: one command speaks to one server as one account"
      assert.strictEqual(yield* refused(["paradrop://a/x", "paradrop://b/x"]), several)
      assert.strictEqual(yield* refused(["paradrop://a/x", "paradrop://a:8081/x"]), several)
      assert.strictEqual(yield* refused(["paradrop://ada@a/x", "paradrop://a/x"]), several)
      assert.strictEqual(
        yield* refused(["paradrop://a/x", "y\u001b"]),
        "'y\\x1b' is no URL, but others are: name all files by URL, or the server once with --server"
      )
    })
  )

  it.effect("the first slash ends what names the server: an '@' behind it belongs to the name", () =>
    Effect.gen(function* () {
      for (const [url, user] of [
        ["paradrop://a:80/x@host", undefined],
        ["paradrop://ada@a:80/x@host", "ada"],
        ["paradrop://a:80/x%40host", undefined]
      ] as const) {
        const { named, names } = yield* Location.parse([url])
        assert.deepStrictEqual(named, { server: { host: "a", port: 80 }, user })
        assert.deepStrictEqual(names, ["x@host"])
      }
      // No port, so it may be a password with a slash in it.
      const password = (yield* Effect.flip(Location.parse(["paradrop://ada:s3cret@a"]))).message
      for (const text of ["paradrop://a:99999/s3cret@host", "paradrop://a:0/s3cret@host", "paradrop://a:8x/s3cret@h"]) {
        assert.strictEqual(yield* refused([text]), password)
      }
      const { message } = yield* Effect.flip(ServerAddress.parseNamed("a:80/s3cret@host"))
      assert.strictEqual(
        message,
        "a server's URL is paradrop://USER@HOST:PORT: give the file's name behind the command"
      )
    })
  )

  it.effect("no message repeats what may be a password", () =>
    Effect.gen(function* () {
      for (const text of ["paradrop://ada:s3cret@a/x", "paradrop://ada@a/%s3cret", "paradrop://ada:s3cret@"]) {
        assert.notInclude(yield* refused(["paradrop://a/x", text]), "s3cret")
      }
      assert.include(yield* refused(["paradrop://a/%ff"]), "'%25' is a '%' itself")
    })
  )
})

it.effect("what other programs take as a server has a URL", () =>
  Effect.gen(function* () {
    for (const [text, url] of [
      ["ada@host:x", "paradrop://ada@host/x"],
      ["ada@host:/x/y", "paradrop://ada@host/x/y"],
      ["ada@host:a%b", "paradrop://ada@host/a%25b"],
      ["ada@host:", "paradrop://ada@host/NAME"],
      ["ada@host:8080", "paradrop://ada@host:8080/NAME"],
      ["ada@host:8080/x", "paradrop://ada@host:8080/x"],
      ["ada@host:80.txt", "paradrop://ada@host/80.txt"],
      ["ada@[::1]:9", "paradrop://ada@[::1]:9/NAME"],
      ["./ada@host:x", undefined],
      ["logo@2x.png", undefined],
      ["12:30", undefined],
      ["ada:s3cret@host:x", undefined]
    ] as const) {
      assert.strictEqual(Location.urlOfForeign(text), url)
      const named = { server: Option.some("other") }
      yield* ClientConfig.namesNoServer(named, [text])
      yield* ClientConfig.pathsNoServer(named, [text])
    }
  })
)

it.effect("an empty name is a name, where there has to be one", () =>
  Effect.gen(function* () {
    const empty = Option.some("")
    assert.strictEqual((yield* ClientConfig.parseName(empty)).name, "")
    assert.isUndefined((yield* ClientConfig.parseName(empty, { nameless: true })).name)
  })
)

describe("whom a command speaks to", () => {
  const said = (server: string | undefined, user: string | undefined, url?: string) =>
    Effect.gen(function* () {
      const { named } = yield* ClientConfig.parseName(Option.fromUndefinedOr(url), { nameless: true })
      const flags = { server: Option.fromUndefinedOr(server), user: Option.fromUndefinedOr(user) }
      const target = yield* ClientConfig.parseServer(flags, named)
      assert.strictEqual(target.assumed, target.user === "default")
      return `${target.user} ${ServerAddress.show(target.server)}`
    })

  for (const [server, user, url, expected] of [
    [undefined, undefined, undefined, "default 127.0.0.1:8080"],
    ["a", undefined, undefined, "default a:8080"],
    ["paradrop://ada@a", undefined, undefined, "ada a:8080"],
    ["paradrop://ada@a", "bob", undefined, "bob a:8080"],
    [undefined, undefined, "paradrop://ada@a:9/x", "ada a:9"],
    [undefined, "bob", "paradrop://ada@a:9/x", "bob a:9"],
    ["a:9", undefined, "paradrop://ada@A:9/x", "ada a:9"],
    ["paradrop://ada@a", undefined, "paradrop://a/x", "ada a:8080"]
  ] as const) {
    it.effect(`${server}, ${user}, ${url}: ${expected}`, () =>
      Effect.map(said(server, user, url), (found) => assert.strictEqual(found, expected))
    )
  }

  for (const [server, url] of [
    ["a", "paradrop://b/x"],
    ["a", "paradrop://a:9/x"],
    ["paradrop://bob@a", "paradrop://ada@a/x"]
  ] as const) {
    it.effect(`${server} and ${url} contradict each other`, () =>
      Effect.map(Effect.flip(said(server, undefined, url)), ({ message }) =>
        assert.include(message, "--server and a URL name different servers or accounts: give one of them")
      )
    )
  }
})
