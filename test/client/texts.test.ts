/**
 * What the client makes of figures, names, patterns and addresses: all pure.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import * as Figures from "../../src/domain/file/Figures.ts"
import * as ClientConfig from "../../src/client/ClientConfig.ts"
import {
  LocalFileFailed,
  LoginRejected,
  NamesCollide,
  RequestRefused,
  SourceMissing,
  theListing
} from "../../src/client/ClientError.ts"
import * as Glob from "../../src/client/Glob.ts"
import * as ProgressBar from "../../src/client/ProgressBar.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import * as ServerAddress from "../../src/client/ServerAddress.ts"
import { fit, width } from "../../src/client/TextWidth.ts"

describe("while a bar stands", () => {
  const written = { out: "", err: "" }
  const screen = Screen.layerMemory({ written, columns: 80 })

  it.effect("it is cleared for each line of what was done, a removal too", () =>
    Effect.gen(function* () {
      const { changed, follow } = yield* Reporter
      yield* follow({ command: "para", name: "2 files" })
      yield* changed({ command: "remove", name: "old" })
      assert.deepStrictEqual(written, { out: "File 'old' removed.\n", err: "\r\u001b[K" })
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(ReporterText.layer(""), screen)))
  )
})

describe("a server's URL", () => {
  for (const [text, host, port, user] of [
    ["paradrop://ada@files.example:9000", "files.example", 9000, "ada"],
    ["PARADROP://files.example/", "files.example", 8080, undefined],
    ["paradrop://ada@[::1]:9000/", "::1", 9000, "ada"],
    ["files.example:9000", "files.example", 9000, undefined]
  ] as const) {
    it.effect(text, () =>
      Effect.map(ServerAddress.parseNamed(text), (found) =>
        assert.deepStrictEqual(found, { server: { host, port }, user })
      )
    )
  }

  it.effect("is refused with a password, which is not repeated, with a name, and for another scheme", () =>
    Effect.gen(function* () {
      const refused = (text: string) => Effect.map(Effect.flip(ServerAddress.parseNamed(text)), String)
      const password = yield* refused("paradrop://ada:s3cret@host:1")
      assert.include(password, "UrlRefused")
      assert.notInclude(password, "s3cret")
      assert.include(yield* refused("paradrop://host/name"), "behind the command")
      for (const text of ["http://host", "paradrop://", "paradrop://ada@", "paradrop://host:0"]) {
        assert.include(yield* refused(text), "AddressRefused", text)
      }
    })
  )
})

describe("a right that is missing", () => {
  it("is told with the file, and of a listing without one", () => {
    const missing = (name: string, detail: string) =>
      new RequestRefused({ name, reason: "not-permitted", detail }).message
    const rest = ": the server's administrator can give it"
    assert.strictEqual(missing("a", "write"), `your account does not have the right to add files ('a')${rest}`)
    assert.strictEqual(missing(theListing, "list"), `your account does not have the right to list files${rest}`)
  })
})

describe("a password that nobody can change", () => {
  it("is no right that somebody could give", () => {
    assert.strictEqual(
      new RequestRefused({ name: "default", reason: "not-permitted", detail: "password" }).message,
      "the password of 'default' cannot be changed: the public account's is everybody's, and any other is gone"
    )
  })
})

describe("a place without a name", () => {
  it("is told as one, whatever the system makes of it", () => {
    for (const code of ["EISDIR", "ENOENT"]) {
      assert.strictEqual(
        new LocalFileFailed({ path: "", operation: "write", code }).message,
        `cannot write '' (${code}): that names nothing; '.' is this folder`
      )
    }
  })
})

describe("a time to wait", () => {
  it("is a minute at most where nobody has proved to be the server", () => {
    for (const [retryAfterMilliseconds, seconds] of [
      [0, 1],
      [1_500, 2],
      [60_000, 60],
      [60_001, 60],
      [2 ** 32 - 1, 60]
    ] as const) {
      assert.strictEqual(
        new LoginRejected({ reason: "too-many-attempts", retryAfterMilliseconds }).message,
        `the server takes no login now (too-many-attempts): try again in ${seconds} s`
      )
    }
  })

  it("is told when the server says one, and no other words of it", () => {
    const told = (detail: string) => new RequestRefused({ name: "", reason: "too-many-attempts", detail }).message
    const said = "too many passwords were tried, nothing was changed: try again"
    assert.strictEqual(told("1500"), `${said} in 2 s`)
    for (const detail of ["", "soon", "1e300", "-1", "9".repeat(300)]) assert.strictEqual(told(detail), `${said} later`)
  })
})

describe("ServerAddress", () => {
  for (const [text, host, port] of [
    ["localhost", "localhost", 8080],
    ["example.org:9", "example.org", 9],
    ["127.0.0.1:65535", "127.0.0.1", 65535],
    ["[::1]:80", "::1", 80],
    ["[fe80::1%eth0]", "fe80::1%eth0", 8080],
    ["::1", "::1", 8080]
  ] as const) {
    it.effect(text, () =>
      Effect.map(ServerAddress.parse(text), (found) => assert.deepStrictEqual(found, { host, port }))
    )
  }
  for (const text of ["", ":80", "a:", "a:0", "a:65536", "a:b", "[::1", "a b", "user@a", "http://a", "a:1:2"]) {
    it.effect(`refuses '${text}'`, () =>
      Effect.map(Effect.exit(ServerAddress.parse(text)), (exit) => assert.isTrue(Exit.isFailure(exit)))
    )
  }
  it.effect.prop(
    "what is shown is parsed again",
    [Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65535 }))],
    ([port]) =>
      Effect.gen(function* () {
        for (const host of ["a.b-c", "::1", "10.0.0.1"]) {
          assert.deepStrictEqual(yield* ServerAddress.parse(ServerAddress.show({ host, port })), { host, port })
        }
      })
  )
  it("knows a password in an address, and what is none", () => {
    for (const text of [
      "u:pw@h",
      "paradrop://u:pw@h",
      "HTTP://u:p/w@h",
      "paradrop://u:123456@h",
      "x://:pw@h/a",
      "u:@h"
    ]) {
      assert.isTrue(ServerAddress.holdsPassword(text), text)
    }
    for (const text of [
      "u@h:8080",
      "paradrop://h:8080/a@b",
      "paradrop://u@h:1/c:d@e",
      "paradrop://[::1]:80/a@b",
      "a:b"
    ]) {
      assert.isFalse(ServerAddress.holdsPassword(text), text)
    }
  })
  it.effect("a password in a URL is no argument of any command", () =>
    Effect.gen(function* () {
      const refused = (...args: ReadonlyArray<string>) => Effect.isFailure(ClientConfig.refusePasswords(args))
      const url = "ssh://u:pw@h/a"
      for (const args of [
        ["download", url],
        ["verify", url, "a"],
        ["upload", `--as=${url}`],
        ["profile", "add", url]
      ]) {
        assert.isTrue(yield* refused(...args), args.join(" "))
      }
      for (const arg of ["u:pw@h", "paradrop://u@h:80/a@b", `--password-command=curl ${url}`, "a://b"]) {
        assert.isFalse(yield* refused("upload", arg), arg)
      }
    })
  )
  it("knows what can only be this machine", () => {
    const hosts = ["localhost", "127.0.0.1", "127.9.9.9", "::1", "127.0.0.1.example.org", "10.0.0.1", "example.org"]
    assert.deepStrictEqual(
      hosts.map((host) => ServerAddress.isLoopback({ host, port: 1 })),
      [true, true, true, true, false, false, false]
    )
  })
})

describe("Figures", () => {
  it("sizes", () => {
    const sizes = [0, 1, 1023, 1024, 1536, 1_048_523, 1_048_575, 1_048_576, Number.MAX_SAFE_INTEGER]
    assert.deepStrictEqual(sizes.map(Figures.size), [
      "0 B",
      "1 B",
      "1023 B",
      "1.0 KiB",
      "1.5 KiB",
      "1023.9 KiB",
      "1.0 MiB",
      "1.0 MiB",
      "8.0 PiB"
    ])
  })
  it("times, and no rate without time or bytes", () => {
    assert.deepStrictEqual(
      ["0", "1500", "64K", "10m", "2G", "1T"].map(Figures.parseSize),
      [0, 1_500, 65_536, 10_485_760, 2_147_483_648, 1_099_511_627_776]
    )
    for (const text of ["", "K", "-1", "1.5M", "1 M", "1MB", "1KK", "none", "12345678901234567"]) {
      assert.strictEqual(Figures.parseSize(text), undefined, text)
    }
    assert.deepStrictEqual([4, 1234, 63_000].map(Figures.seconds), ["0.004 s", "1.2 s", "63 s"])
    assert.deepStrictEqual([0, 4_100, 754_000, 3_723_000].map(Figures.clock), ["0:00", "0:05", "12:34", "1:02:03"])
    assert.strictEqual(Figures.moved(0, 0), "0 B in 0.000 s")
    assert.strictEqual(Figures.moved(12 * 1024 * 1024, 100), "12.0 MiB in 0.1 s, 120.0 MiB/s")
  })
})

describe("TextWidth", () => {
  it("knows wide, joined and combining characters", () => {
    assert.deepStrictEqual(["abc", "日本", "e\u0301", "👩‍👩‍👧", "한글", ""].map(width), [3, 4, 1, 2, 4, 0])
    assert.deepStrictEqual(["データ・", "㈱㌔", "︵﹏", "\u{17000}"].map(width), [8, 4, 4, 2])
  })
  it("counts what terminals give to a letter that is several", () => {
    // With a vowel sign, two that are joined, the last vowel of Thai, and marks that stand above or below.
    assert.deepStrictEqual(["का", "क्ष", "กำ", "कि", "กี่", "e\u0301\u0323"].map(width), [2, 2, 2, 2, 1, 1])
    assert.strictEqual(fit("काका", 3), "का…")
  })
  it.prop(
    "a fitted text never exceeds its columns",
    [Schema.String, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))],
    ([text, columns]) => {
      assert.isAtMost(width(fit(text, columns)), columns)
    }
  )
})

describe("Glob", () => {
  const rows: ReadonlyArray<readonly [string, string, boolean]> = [
    ["*.txt", "a.txt", true],
    ["*.txt", "dir/a.txt", true],
    ["*.txt", "a.txt.gz", false],
    ["a?c", "abc", true],
    ["a?c", "a😀c", true],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[]x", "[]x", true],
    ["dir/*", "dir/a", true],
    ["dir/*", "dir/a/b", true],
    ["dir/*.txt", "dir/a/b.txt", false],
    ["dir", "dir/a/b", true],
    ["dir/", "dir/a", true],
    ["dir/**/z", "dir/z", true],
    ["dir/**/z", "dir/x/y/z", true],
    ["**", "any/thing", true],
    ["a.b", "axb", false],
    ["A", "a", false],
    ["", "a", false],
    ["/", "a", false],
    ["a//", "dir/a", true],
    ["/a//", "a/b", true],
    ["/a", "dir/a", false]
  ]
  for (const [pattern, name, expected] of rows) {
    it(`${pattern} ${expected ? "fits" : "does not fit"} ${name}`, () =>
      assert.strictEqual(Glob.matches(pattern, name), expected))
  }
  it("takes bounded time on what makes others explode", () => {
    assert.isFalse(Glob.matches(`${"*a".repeat(200)}b`, "a".repeat(1000)))
    assert.isFalse(Glob.matches(`a${"/".repeat(100_000)}*`, "a"))
  }, 5_000)
})

describe("Glob of paths", () => {
  const Part = Schema.Literals(["a", "b", ".a", "**", "*", "?", ".*", "[a]"])
  const Path = Schema.Array(Part).check(Schema.isMinLength(1), Schema.isMaxLength(5))
  it.prop("looks into every folder of a path that fits", [Path, Path], ([pattern, parts]) => {
    const wanted = pattern.join("/")
    if (!Glob.matchesPath(wanted, parts.join("/"))) return
    parts.forEach((_, depth) => {
      if (depth > 0) assert.isTrue(Glob.mayFitBelow(wanted, parts.slice(0, depth).join("/")))
    })
  })
  it("and into no other that it can tell from one", () => {
    const into = (pattern: string, folder: string) => Glob.mayFitBelow(pattern, folder)
    assert.deepStrictEqual(
      [into("*.txt", "a"), into("a*/x", "ab"), into("a*/x", "b"), into("a*/x", "ab/c"), into("a/**", "a/b/c")],
      [false, true, false, false, true]
    )
    assert.deepStrictEqual([into("**", ".git"), into("b/**", "a/b"), into(".*/x", ".git")], [false, false, true])
  })
})

describe("a failure", () => {
  it.effect("names the file once, a short name too, to a person as beside JSON", () =>
    Effect.gen(function* () {
      const missing = new RequestRefused({ name: "h", reason: "no-such-file", detail: "" })
      const exists = new RequestRefused({ name: "h", reason: "already-exists", detail: "h" })
      for (const layer of [ReporterText.layer("paradrop: "), ReporterJson.layer("paradrop: ")]) {
        const written = { out: "", err: "" }
        const { failed } = yield* Effect.provide(Reporter, Layer.provide(layer, Screen.layerMemory({ written })))
        yield* failed({ error: missing, command: "download", name: "h" })
        yield* failed({ error: exists, command: "upload", name: "h" })
        yield* failed({ error: new SourceMissing({ path: "h", command: "upload" }), command: "upload", name: "h" })
        const closed = new RequestRefused({ name: "h -> b/y", reason: "no-access", detail: "" })
        yield* failed({ error: closed, command: "rename", name: "h" })
        assert.deepStrictEqual(written.err.split("\n"), [
          "paradrop: h: the server does not have this file: 'fetch' shows what it has",
          "paradrop: 'h' exists on the server already, and nothing was changed: take another name, or use --replace",
          "paradrop: could not find the file in clientSide to upload: h",
          "paradrop: the user that the server runs as has no access to 'h -> b/y': nothing was changed, and only " +
            "the server's administrator can give it access",
          ""
        ])
      }
    })
  )
})

describe("a failure's advice", () => {
  it.effect("is that a pattern is none where names are taken alone", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const layer = Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
      const { failed } = yield* Effect.provide(Reporter, layer)
      const error = new RequestRefused({ name: "*.md", reason: "no-such-file", detail: "" })
      for (const command of ["remove", "rename"] as const) yield* failed({ error, command, name: "*.md" })
      const advice = (command: string) =>
        `*.md: the server does not have this file: '${command}' takes names and never a pattern; 'fetch' shows ` +
        "what fits one"
      assert.strictEqual(written.err, `${advice("remove")}\n${advice("rename")}\n`)
    })
  )

  it("is another name for a file where another has its folder, which no spelling mends", () => {
    const empty = new SourceMissing({ path: "", command: "upload" })
    assert.strictEqual(empty.message, "could not find the file in clientSide to upload: ''")
    const said = (name: string, other: string) => new NamesCollide({ name, other }).message
    assert.strictEqual(said("a/b", "a"), "'a/b' needs a folder where 'a' is a file: give one of them another name")
    assert.strictEqual(said("a", "a"), "two files would be 'a', or a file and a folder: give one of them another name")
    assert.strictEqual(
      said("ab", "aB"),
      "'ab' and 'aB' would be the same name on some machines: rename one of them first"
    )
  })

  it("says of a file in a folder's place what it is", () => {
    const error = new LocalFileFailed({ path: "a.txt", operation: "write", code: "EEXIST" })
    assert.strictEqual(error.message, "cannot write a.txt (EEXIST): it is a file, where a folder is needed")
  })
})

describe("ProgressBar", () => {
  const Steps = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 2000 })))
  const Amount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
  const Columns = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 250 }))
  it.prop(
    "never falls, never exceeds the total, and fits every terminal",
    [Steps, Columns, Schema.String, Schema.Boolean, Schema.Literals([0, 7])],
    ([steps, columns, name, many, reused]) => {
      const total = 1000
      let bar = ProgressBar.start(0)
      let [at, shown] = [0, 0]
      for (const done of [...steps, total, 2000]) {
        at += 100
        const files = { done: Math.max(0, done), total: 2000 }
        bar = ProgressBar.look(bar, at, { phase: "moving", done, total, reused, ...(many && { files }) })
        assert.isAtLeast(bar.progress.done, shown)
        assert.isAtMost(bar.progress.done, total)
        shown = bar.progress.done
        assert.isAtMost(width(ProgressBar.render(bar, "upload", name, columns)), columns)
      }
      assert.strictEqual(ProgressBar.percent(bar.progress), 100)
    }
  )
  it("takes the rate of blocks that come seconds apart from block to block, and tells one that does not come", () => {
    const block = 512 * 1024
    let bar = ProgressBar.start(0)
    const until = (seconds: number, blocksUntil: number) => {
      for (let at = (bar.looks.at(-1)?.at ?? 0) + 100; at <= seconds * 1000; at += 100) {
        const done = Math.min(blocksUntil, Math.floor(at / 5000)) * block
        bar = ProgressBar.look(bar, at, { phase: "moving", done, total: 100 * block, reused: 0 })
      }
      return ProgressBar.rateOf(bar)
    }
    assert.deepStrictEqual(
      [until(4.9, 9), until(5, 9), until(9.9, 9), until(12, 9)],
      Array.from([0, 1, 1, 1], (one) => (one * block) / 5)
    )
    assert.strictEqual(until(29, 9), block / 5)
    assert.isBelow(until(44, 6), block / 5)
    assert.strictEqual(until(60, 6), 0)
  })

  it("cuts no name of usual length for a longer bar", () => {
    const progress = { phase: "moving", done: 1, total: 4, reused: 0 } as const
    const bar = ProgressBar.look(ProgressBar.start(0), 1000, progress)
    for (let columns = 80; columns < 200; columns += 1) {
      assert.match(ProgressBar.render(bar, "download", "keynote-2.pdf", columns), /^download keynote-2\.pdf +\[/)
    }
  })

  it("shows name, bar and figures where there is room, and less where there is not", () => {
    const bar = ProgressBar.look(ProgressBar.start(0), 2000, {
      phase: "moving",
      done: 50 * 1024,
      total: 100 * 1024,
      reused: 0
    })
    assert.strictEqual(
      ProgressBar.render(bar, "upload", "日本.bin", 90),
      "upload 日本.bin [##############..............]  50 %   50.0 KiB   25.0 KiB/s 0:02 left    "
    )
    assert.strictEqual(ProgressBar.render(bar, "upload", "a", 18), "upload a      50 %")
    assert.strictEqual(ProgressBar.percent({ phase: "moving", done: 999_999, total: 1_000_000, reused: 0 }), 99)
    assert.strictEqual(ProgressBar.percent({ phase: "done", done: 0, total: 0, reused: 0 }), 100)
  })

  it.prop(
    "counts in its rates what crosses, whatever was there before, and when",
    [Schema.Array(Schema.Struct({ moved: Amount, reused: Amount })), Amount],
    ([steps, resumed]) => {
      let [at, moved, reused] = [0, 0, resumed]
      let bar = ProgressBar.start(0)
      const seen = () => {
        at += 100
        bar = ProgressBar.look(bar, at, { phase: "moving", done: moved + reused, total: 1_000_000, reused })
      }
      seen()
      let from = resumed > 0 ? at : 0
      assert.deepStrictEqual([ProgressBar.rateOf(bar), ProgressBar.paceOf(bar)], [0, 0])
      // As many as the rate is taken over.
      for (const step of steps.slice(0, 28)) {
        moved += step.moved
        reused += step.reused
        seen()
        if (moved === 0 && step.reused > 0) from = at
      }
      assert.closeTo(ProgressBar.rateOf(bar), at === from ? 0 : (moved * 1000) / (at - from), 0.001)
      assert.closeTo(ProgressBar.averageOf(bar), (moved * 1000) / at, 0.001)
      assert.isAtLeast(ProgressBar.paceOf(bar), ProgressBar.rateOf(bar))
    }
  )

  it("of a transfer that is gone on with, says from the first figures on how long the rest takes", () => {
    const mebibyte = 1024 * 1024
    const of = (done: number) => ({ phase: "moving", done, total: 100 * mebibyte, reused: 50 * mebibyte }) as const
    const begun = ProgressBar.look(ProgressBar.start(0), 100, of(50 * mebibyte))
    assert.match(ProgressBar.render(begun, "upload", "a", 90), / 0 B\/s +50\.0 MiB reused --:-- left/)
    const later = ProgressBar.look(begun, 1100, of(60 * mebibyte))
    assert.match(ProgressBar.render(later, "upload", "a", 90), / 10\.0 MiB\/s +50\.0 MiB reused 0:04 left/)
    // A second try that begins anew shows nothing until it has caught up, and no leap then.
    const anew = ProgressBar.look(later, 2100, { ...of(60 * mebibyte), reused: 0 })
    assert.strictEqual(ProgressBar.rateOf(anew), 5 * mebibyte)
  })

  it("waits for the other end's first word", () => {
    const bar = ProgressBar.look(ProgressBar.start(0), 100, { phase: "moving", done: 0, total: 5, reused: 0 })
    assert.include(ProgressBar.render(bar, "para", "a", 60), "     waiting")
    assert.notInclude(ProgressBar.render(bar, "para", "a", 60), "left")
    assert.isUndefined(ProgressBar.waiting({ phase: "moving", done: 0, total: 0, reused: 0 }))
  })

  it("says how far a comparison is, while nothing moves", () => {
    const none = { phase: "comparing", done: 0, total: 200, reused: 0 } as const
    const of = (done: number, total: number) => ProgressBar.waiting({ ...none, compared: { done, total } })
    assert.strictEqual(ProgressBar.waiting(none), "comparing")
    assert.deepStrictEqual(
      [of(0, 200), of(63, 200), of(200, 200), of(0, 0)],
      ["comparing  0 %", "comparing 31 %", "comparing 100 %", "comparing 100 %"]
    )
    const bar = ProgressBar.look(ProgressBar.start(0), 2000, { ...none, compared: { done: 63, total: 200 } })
    assert.include(ProgressBar.render(bar, "para", "a", 79), "comparing 31 %")
    assert.isAtMost(ProgressBar.render(bar, "para", "a", 30).length, 30)
  })

  it("of several files it counts those that are over, and says what did not have to be sent", () => {
    const of = (done: number, reused: number) =>
      ProgressBar.look(
        ProgressBar.look(ProgressBar.start(0), 4000, { phase: "moving", done: 0, total: 1, reused: 0 }),
        8000,
        {
          phase: "moving",
          done: done * 1024,
          total: 4000 * 1024,
          reused: reused * 1024,
          files: { done: done / 4, total: 1000 }
        }
      )
    const shown = (columns: number, reused = 0) => ProgressBar.render(of(1000, reused), "upload", "1000 files", columns)
    assert.deepStrictEqual(
      [107, 79, 39, 20].map((columns) => shown(columns)),
      [
        "upload  250/1000 files [#####................]  25 % 1000.0 KiB  125.0 KiB/s  avg 125.0 KiB/s 0:24 left    ",
        "upload  250/1000 files [##........]  25 % 1000.0 KiB  125.0 KiB/s 0:24 left    ",
        "upload  250/1000 files [##......]  25 %",
        "upload  250/1…  25 %"
      ]
    )
    assert.deepStrictEqual(
      [140, 79, 60].map((columns) => shown(columns, 500)),
      [
        "upload  250/1000 files         [#######.....................]  25 % 1000.0 KiB   62.5 KiB/s   avg 62.5 KiB/s" +
          "  500.0 KiB reused 0:24 left    ",
        "upload  250/1000 files        25 %   62.5 KiB/s  500.0 KiB reused 0:24 left    ",
        "upload  250/1000 files   25 %   62.5 KiB/s  500.0 KiB reused"
      ]
    )
  })

  it("tells no time by small files when larger ones are left", () => {
    const mebibyte = 1024 * 1024
    const at = (bar: ProgressBar.Bar, milliseconds: number, done: number, over: number) =>
      ProgressBar.look(bar, milliseconds, {
        phase: "moving",
        done,
        total: 30 * mebibyte,
        reused: 0,
        files: { done: over, total: 301 }
      })
    const shown = (bar: ProgressBar.Bar) => ProgressBar.render(bar, "upload", "301 files", 80).trimEnd()
    const small = at(ProgressBar.start(0), 100, 1024, 172)
    assert.match(shown(small), /10\.0 KiB\/s --:-- left$/)
    // The large one has come so far that it counts for more.
    assert.match(shown(at(small, 300, 24 * mebibyte, 300)), /80\.0 MiB\/s 0:01 left$/)
    // Small ones that are like those to come tell of them.
    assert.match(shown(at(ProgressBar.start(0), 1000, 3 * mebibyte, 30)), /3\.0 MiB\/s 0:09 left$/)
  })

  it("is not at 100 % before the last of several files is over", () => {
    const all = { phase: "moving", done: 10, total: 10, reused: 0 } as const
    assert.strictEqual(ProgressBar.percent({ ...all, files: { done: 1, total: 2 } }), 99)
    assert.strictEqual(ProgressBar.percent({ ...all, files: { done: 2, total: 2 } }), 100)
    const empty = { phase: "moving", done: 0, total: 0, reused: 0 } as const
    assert.strictEqual(ProgressBar.percent({ ...empty, files: { done: 1, total: 2 } }), 50)
  })
})
