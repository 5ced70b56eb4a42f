/**
 * The configuration: who wins, what is refused and where it says so, and that what is printed is a good file again.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Toml } from "effect/encoding"
import { defaultText, showText } from "../../src/server/ConfigCommands.ts"
import { type Configuration, resolve, type Sources } from "../../src/server/Configuration.ts"
import * as LiveSettings from "../../src/server/LiveSettings.ts"
import * as Setting from "../../src/server/Setting.ts"
import { defaultSettings, entries } from "../../src/server/Settings.ts"
import { tableOf } from "../tables.ts"

const nothing: Sources = { file: undefined, environment: {}, flags: {}, set: {} }
const file = (text: string): Partial<Sources> => ({ file: { path: "server.toml", text } })

const good = (sources: Partial<Sources>): Configuration => Result.getOrThrow(resolve({ ...nothing, ...sources }))
const problems = (sources: Partial<Sources>): ReadonlyArray<string> =>
  Result.match(resolve({ ...nothing, ...sources }), { onSuccess: () => [], onFailure: (error) => error.problems })

describe("precedence", () => {
  const said = {
    flags: { port: "4" },
    set: { "listen.port": "3" },
    environment: { PARADROP_SERVER_LISTEN_PORT: "2" },
    ...file("[listen]\nport = 1")
  }

  it("is flags, --set, variables, the file, defaults; and each origin is known", () => {
    const origins = [undefined, "line 2 of server.toml", "PARADROP_SERVER_LISTEN_PORT", "--set", "--port"]
    const weaker = [
      {},
      file("[listen]\nport = 1"),
      { ...file("[listen]\nport = 1"), environment: said.environment },
      { ...said, flags: {} },
      said
    ]
    for (const [index, sources] of weaker.entries()) {
      const { origins: found, settings } = good(sources)
      assert.strictEqual(settings.listen.port, index === 0 ? 8080 : index)
      assert.strictEqual(found.get("listen.port"), origins[index])
    }
  })

  it("of a list may be none over some, by a flag too", () => {
    const proxies = file('[listen]\nproxies = ["10.0.0.7"]')
    for (const said of ["", " "]) {
      const { origins, settings } = good({ ...proxies, set: { "listen.proxies": said } })
      assert.deepStrictEqual(settings.listen.proxies, [])
      assert.strictEqual(origins.get("listen.proxies"), "--set")
    }
    assert.deepStrictEqual(good({ set: { "listen.proxies": "10.0.0.7, ::1" } }).settings.listen.proxies, [
      "10.0.0.7",
      "::1"
    ])
  })

  it("takes nothing from an empty variable, and nothing from other programs' variables", () => {
    const environment = { PARADROP_SERVER_LISTEN_PORT: "", PARADROP_PASSWORD: "x", PARADROP_SERVER_CONFIG: "a.toml" }
    assert.deepStrictEqual(good({ environment }).settings, defaultSettings)
  })
})

describe("what is wrong", () => {
  it("is named with its place and with what was probably meant", () => {
    const text = [
      "port = 1",
      "[listen]",
      'host = ""',
      "prt = 4",
      "[limts]",
      "sessions = 4",
      "[limits]",
      "sessions = [",
      "  1]",
      'login-time = "half an hour"',
      "[frobnicate]"
    ].join("\n")
    assert.deepStrictEqual(
      problems({ ...file(text), environment: { PARADROP_SERVER_LISTEN_PRT: "9" }, set: { "store.rot": "x" } }),
      [
        "'port' is no setting (line 1 of server.toml): did you mean 'listen.port'?",
        "'listen.prt' is no setting (line 4 of server.toml): did you mean 'listen.port'?",
        "'limts.sessions' is no setting (line 6 of server.toml): did you mean 'limits.sessions'?",
        "'frobnicate' is no setting (line 11 of server.toml): 'config default' shows what there is",
        "'PARADROP_SERVER_LISTEN_PRT' is no setting (the environment): did you mean 'PARADROP_SERVER_LISTEN_PORT'?",
        "'store.rot' is no setting (--set): did you mean 'store.root'?",
        `'listen.host' takes a text of 1 to 4096 characters, not "" (line 3 of server.toml)`,
        `'limits.login-time' takes a time from 1 milli to 24 days, as in "30 seconds" or "5 minutes", ` +
          `not "half an hour" (line 10 of server.toml)`,
        "'limits.sessions' takes a whole number from 1 to 1000000000, not [1] (line 9 of server.toml)"
      ]
    )
  })

  it("is a variable that is like none but for what all begin with", () => {
    assert.deepStrictEqual(problems({ environment: { PARADROP_SERVER_FOO: "1", PARADROP_SERVER_VERSION: "2" } }), [
      "'PARADROP_SERVER_FOO' is no setting (the environment): 'config default' shows what there is",
      "'PARADROP_SERVER_VERSION' is no setting (the environment): 'config default' shows what there is"
    ])
  })

  it("is text that is no number where one is meant, also where that may be 0", () => {
    for (const text of ["", " ", "0x50", "1e3", "8080.0", "-1", "80 80"]) {
      assert.deepStrictEqual(problems({ set: { "listen.port": text } }), [
        `'listen.port' takes a whole number from 0 to 65535, not "${text}" (--set)`
      ])
    }
    assert.strictEqual(good({ set: { "listen.port": "9000" } }).settings.listen.port, 9000)
  })

  it("is an amount of bytes that no whole number holds: what it takes at most is told", () => {
    const takes = (min: string) => `takes an amount of bytes from ${min} to less than 8192 TiB, as in "64 MiB"`
    assert.deepStrictEqual(
      problems({
        set: { "audit.file-size": "9 PiB", "limits.send-bytes-per-second": "9007199254740992 B" }
      }),
      [
        `'audit.file-size' ${takes("1 B")}, not "9 PiB" (--set)`,
        `'limits.send-bytes-per-second' ${takes("0 B")}, not "9007199254740992 B" (--set)`
      ]
    )
    const { limits } = good({ set: { "limits.send-bytes-per-second": "9007199254740991 B" } }).settings
    assert.strictEqual(limits.sendBytesPerSecond, Number.MAX_SAFE_INTEGER)
  })

  it("is an address of the monitor, or of a collector, at which a server would not start", () => {
    const takes = 'a port of loopback, as in "127.0.0.1:9464"'
    for (const address of ["0.0.0.0:9464", "127.0.0.1", "127.0.0.1:65536", "localhost:"]) {
      assert.deepStrictEqual(problems({ set: { "monitor.address": address } }), [
        `'monitor.address' takes ${takes}, not "${address}" (--set)`
      ])
    }
    for (const otlp of ["ftp://127.0.0.1", "127.0.0.1:4318", "http://", "http://["]) {
      assert.deepStrictEqual(problems({ set: { "monitor.otlp": otlp } }), [
        `'monitor.otlp' takes a URL, as in "http://127.0.0.1:4318", not "${otlp}" (--set)`
      ])
    }
    for (const address of ["127.0.0.1:65535", "localhost:0", "[::1]:9464"]) {
      assert.strictEqual(good({ set: { "monitor.address": address } }).settings.monitor.address, address)
    }
    const otlp = "https://collector.example/base"
    assert.strictEqual(good({ set: { "monitor.otlp": otlp } }).settings.monitor.otlp, otlp)
  })

  it("is named with its line when the file is no TOML, without the value, which may be a secret", () => {
    assert.deepStrictEqual(problems(file("a = 1\nb = hunter2")), [
      "server.toml is no TOML: Invalid value at line 2, column 12"
    ])
  })

  it("is a key that is nested as deep as a file can say it", () => {
    const [first = ""] = problems(file(`a${".a".repeat(30_000)} = 1`))
    assert.match(first, /^'a[.a]*' is no setting \(line 1 of server.toml\)/)
  })

  it("is found among as many lines as a file has, in the time for one walk over them", () => {
    const lines = ["[limits]", ...Array.from({ length: 30_000 }, () => "#"), 'text = """', "# no end", '"""', "x = 1"]
    const last = lines.length
    assert.deepStrictEqual(problems(file(lines.join("\n"))), [
      `'limits.text' is no setting (line ${last - 1} of server.toml): 'config default' shows what there is`,
      `'limits.x' is no setting (line ${last} of server.toml): 'config default' shows what there is`
    ])
  }, 10_000)

  it("is shown without a byte that could steer a terminal", () => {
    const [first = ""] = problems(file('[listen]\n"\\u001b[31m" = 1'))
    assert.match(first, /^[\x20-\x7e]+$/)
  })

  it.prop("is a list of problems or a configuration, whatever the file says", [Schema.String], ([text]) => {
    const result = resolve({ ...nothing, ...file(text) })
    if (Result.isFailure(result)) assert.isAbove(result.failure.problems.length, 0)
  })
})

describe("what is printed", () => {
  it("by default is all comments, and with these taken away the defaults", () => {
    assert.deepStrictEqual(good(file(defaultText())).origins.size, 0)
    const optional = new Set(["store.state", "monitor.address", "monitor.otlp"])
    const told = good(file(defaultText().replaceAll(/^#(?! )/gm, "")))
    assert.deepStrictEqual(told.settings, defaultSettings)
    assert.strictEqual(told.origins.size, entries.filter(({ key }) => !optional.has(key)).length)
  })

  it("of what is set is a file that says the same, and who said each", () => {
    const set = {
      "listen.host": 'a"\\\u007f',
      "limits.idle-time": "90 minutes",
      "store.state": "s",
      "log.level": "warn"
    }
    const { settings } = good({ set })
    const text = showText(good({ set }))
    assert.deepStrictEqual(good(file(text)).settings, settings)
    assert.include(text, 'idle-time = "90 minutes" # --set')
    assert.include(text, "port = 8080 # default")
    assert.strictEqual(settings.limits.idleMilliseconds, 90 * 60_000)
  })
})

describe("settings", () => {
  it("have keys, variables and flags of their own", () => {
    for (const names of [
      entries.map(({ key }) => key),
      entries.map(({ variable }) => variable),
      entries.flatMap(({ facts }) => facts.flag ?? [])
    ]) {
      assert.deepStrictEqual(names, [...new Set(names)])
    }
    assert.strictEqual(entries.find(({ property }) => property === "loginMilliseconds")?.key, "limits.login-time")
  })

  it("are what OPERATIONS.md lists: key, default, meaning, and what a change takes", () => {
    const shown = Result.getOrThrow(Toml.parse(showText(good({}))))
    const expected = entries.map(({ facts, key, name, section }) => {
      const value = new Map(Object.entries(shown[section] ?? {})).get(name)
      return [
        key,
        value === undefined ? "not set" : JSON.stringify(value),
        facts.text,
        facts.live ? "reload" : "restart"
      ]
    })
    assert.deepStrictEqual(tableOf("docs/OPERATIONS.md", "setting"), expected)
  })
})

describe("a kind of setting", () => {
  const fields = Schema.Struct({
    time: Setting.time(1000, "t"),
    bytes: Setting.bytes(1024, "b", { max: 1024 ** 2 }),
    flag: Setting.flag(false, "f"),
    list: Setting.list([], "l"),
    choice: Setting.choice(["a", "b"], "a", "c")
  })
  const decode = Schema.decodeUnknownResult(fields)
  const encode = Schema.encodeSync(fields)

  it("takes what a file says and what a variable says", () => {
    const told = decode({ time: "1.5 seconds", bytes: "64 KiB", flag: "true", list: "a, b" })
    assert.deepStrictEqual(Result.getOrThrow(told), {
      time: 1500,
      bytes: 65_536,
      flag: true,
      list: ["a", "b"],
      choice: "a"
    })
    assert.deepStrictEqual(Result.getOrThrow(decode({ flag: true, list: ["a"] })).list, ["a"])
  })

  it("refuses everything else", () => {
    for (const wrong of [
      { time: "1 fortnight" },
      { time: 30 },
      { time: "0 seconds" },
      { time: "25 days" },
      { bytes: "2 MiB" },
      { bytes: "1.0001 KiB" },
      { bytes: "-1 B" },
      { flag: "yes" },
      { list: "a,,b" },
      { choice: "c" }
    ]) {
      assert.isTrue(Result.isFailure(decode(wrong)), JSON.stringify(wrong))
    }
  })

  it.prop(
    "is written so that it is read as the same",
    [Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1024 ** 2 }))],
    ([number]) => {
      const value = { time: number, bytes: number, flag: true, list: ["x"], choice: "b" as const }
      assert.deepStrictEqual(Result.getOrThrow(decode(encode(value))), value)
    }
  )
})

describe("a reload", () => {
  const next = good({ set: { "limits.sessions": "8", "log.level": "debug", "listen.port": "9" } })

  it.effect("changes what can change, in place, and names the rest", () =>
    Effect.gen(function* () {
      const live = LiveSettings.make(defaultSettings)
      const { limits, log } = live.settings
      assert.deepStrictEqual(yield* live.change(next.settings), {
        taken: ["log.level", "limits.sessions"],
        waiting: ["listen.port"]
      })
      assert.strictEqual(limits.sessions, 8)
      assert.strictEqual(log.level, "debug")
      assert.strictEqual(live.settings.listen.port, 8080)
      assert.deepStrictEqual(yield* live.change(defaultSettings), {
        taken: ["log.level", "limits.sessions"],
        waiting: []
      })
      assert.deepStrictEqual(live.settings, defaultSettings)
      assert.deepStrictEqual(yield* live.change(defaultSettings), { taken: [], waiting: [] })
    })
  )
})
