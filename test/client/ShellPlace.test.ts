/**
 * Places: where a person stands among the server's files and among the local ones.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { isMainThread } from "node:worker_threads"
import { quickCrypto } from "../crypto.ts"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import { CommandHelp } from "../../src/client/CommandHelp.ts"
import type { Command } from "../../src/client/Commands.ts"
import { complete } from "../../src/client/Completion.ts"
import * as Glob from "../../src/client/Glob.ts"
import { History } from "../../src/client/History.ts"
import { LineEditor } from "../../src/client/LineEditor.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import * as SessionWithin from "../../src/client/SessionWithin.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Shell from "../../src/client/Shell.ts"
import * as ShellPlace from "../../src/client/ShellPlace.ts"
import { type LocalNamed, WorkingFolder } from "../../src/client/WorkingFolder.ts"
import * as WorkingFolderNode from "../../src/client/WorkingFolderNode.ts"
import { FileName, isWithin } from "../../src/domain/file/FileName.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import { NoAccess } from "../../src/domain/store/StoreError.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"

const Part = Schema.Literals(["a", "b c", "[x]", "*", "é"])
const Step = Schema.Literals(["a", "b", "..", ".", "", "[x]"])

describe("a place", () => {
  for (const [place, text, expected] of [
    ["", "a", "a"],
    ["a", "b/", "a/b"],
    ["a/b", "..", "a"],
    ["a", "../..", ""],
    ["a/b", "/", ""],
    ["a/b", "/c", "c"],
    ["a", ".//b/.", "a/b"],
    ["a", "", "a"]
  ] as const) {
    it(`'${place}', '${text}': '${expected}'`, () => assert.strictEqual(ShellPlace.resolve(place, text), expected))
  }

  it.prop("is the same in one step or in several", [Schema.Array(Step), Schema.Array(Step)], ([first, second]) => {
    const [one, other] = [`x/${first.join("/")}`, `./${second.join("/")}`]
    assert.strictEqual(
      ShellPlace.resolve(ShellPlace.resolve("p", one), other),
      ShellPlace.resolve("p", `${one}/${other}`)
    )
  })

  it.prop("leaves names alone that stay below it", [Schema.Array(Part), Part], ([parts, name]) => {
    const place = parts.join("/")
    const command: Command = { _tag: "Download", names: [name, `a/${name}`], to: undefined }
    assert.deepStrictEqual(ShellPlace.placed(place, command), { place, command })
  })

  it("says all names from the top when one leaves it", () => {
    const from = (command: Command) => ShellPlace.placed("p/[q]", command)
    assert.deepStrictEqual(from({ _tag: "Remove", names: ["/a", "b"] }), {
      place: "",
      command: { _tag: "Remove", names: ["a", "p/[q]/b"] }
    })
    assert.deepStrictEqual(from({ _tag: "Rename", name: "x", to: "../x" }).command, {
      _tag: "Rename",
      name: "p/[q]/x",
      to: "p/x"
    })
    assert.deepStrictEqual(from({ _tag: "Verify", name: "../x", file: "/local/../x" }).command, {
      _tag: "Verify",
      name: "p/x",
      file: "/local/../x"
    })
    for (const _tag of ["Upload", "Para"] as const) {
      const command = { _tag, files: ["/local"], as: "/n" }
      assert.deepStrictEqual(from(command), { place: "", command: { ...command, as: "n" } })
      assert.strictEqual(from({ ...command, as: undefined }).place, "p/[q]")
    }
    const fetched = (pattern: string) => from({ _tag: "Fetch", pattern }).command
    assert.deepStrictEqual(fetched("/"), { _tag: "Fetch", pattern: undefined })
    assert.deepStrictEqual(fetched("./*.txt"), { _tag: "Fetch", pattern: "p/[[]q]/*.txt" })
  })

  it("leads to no file above the top, where only cd stays", () => {
    const from = (place: string, command: Command) => ShellPlace.placed(place, command).command
    const rename: Command = { _tag: "Rename", name: "x", to: "../y" }
    assert.deepStrictEqual(from("", rename), rename)
    assert.deepStrictEqual(from("p", { ...rename, to: "../../a/../y" }), { ...rename, name: "p/x", to: "../y" })
    assert.deepStrictEqual(from("p", { _tag: "Remove", names: ["/../y"] }), { _tag: "Remove", names: ["../y"] })
    assert.strictEqual(ShellPlace.resolve("p", "../.."), "")
  })

  it.prop("is no pattern, even if it looks like one", [Schema.Array(Part)], ([parts]) => {
    const place = ["r", ...parts].join("/")
    const { command } = ShellPlace.placed(place, { _tag: "Download", names: ["./*"], to: undefined })
    const [pattern = ""] = command._tag === "Download" ? command.names : []
    assert.isTrue(Glob.matches(pattern, `${place}/anything`))
    assert.isFalse(Glob.matches(pattern, `${place.replace("r", "s")}/anything`))
  })
})

// -----------------------------------------------------------------------------
// In the shell
// -----------------------------------------------------------------------------

/** The server's store, of which these may not be looked into. */
const storeWith = (closed: ReadonlyArray<string>) =>
  Layer.effect(
    FileStore,
    Effect.map(FileStore, (store) => {
      const list: typeof store.list = (where = {}) => {
        const { onUnlisted = () => Effect.void } = where
        const told = Effect.forEach(closed, (name) => onUnlisted(FileName.make(name)), { discard: true })
        const { onUnnamed = () => Effect.void } = closed.length === 0 ? {} : where
        const odd = onUnnamed({ folder: FileName.make("odd"), part: "b.", kind: "file" })
        return Stream.unwrap(Effect.as(Effect.andThen(told, odd), store.list(where)))
      }
      const open: typeof store.open = (name) =>
        isWithin(["never", ...closed], name)
          ? Effect.fail(new NoAccess({ operation: "openRead", code: "EACCES" }))
          : store.open(name)
      return { ...store, list, open }
    })
  ).pipe(Layer.provide(FileStoreMemory.layer()))

const networkWith = (closed: ReadonlyArray<string>) =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(Fixture.accounts),
    Layer.provideMerge(storeWith(closed)),
    Layer.provideMerge(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  )

const entry = (name: string, kind: LocalNamed["kind"] = "file"): LocalNamed => ({ name, kind, size: 3, modified: 0 })
const home = { "/home/ada": [entry("music", "folder"), entry("a b.txt"), entry(".hidden")], "/home/ada/music": [] }

const world = (closed: ReadonlyArray<string> = []) => {
  const written = { out: "", err: "" }
  const asked: Array<string> = []
  const sessions = Layer.unwrap(
    Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
      Sessions.layer(Client.connect({ server: "memory", dial, ...Fixture.ada }))
    )
  )
  const layer = Layer.mergeAll(
    sessions,
    LocalFilesMemory.layer(),
    ReporterText.layer(""),
    History.layerMemory(),
    WorkingFolder.layerMemory(home)
  ).pipe(Layer.provideMerge(Screen.layerMemory({ written })), Layer.provideMerge(networkWith(closed)))
  const shell = (lines: ReadonlyArray<string>, start = "") =>
    Effect.gen(function* () {
      asked.length = 0
      const succeeded = yield* Effect.provide(
        Shell.run(start),
        LineEditor.layerScripted({ lines, interactive: false, asked })
      )
      const { err, out } = written
      written.out = written.err = ""
      return { succeeded, out, err }
    })
  return { layer, shell, asked }
}

const names = (listing: string): ReadonlyArray<string> =>
  listing
    .trimEnd()
    .split("\n")
    .map((line) => line.slice(30))

describe("cd and pwd", () => {
  const { asked, layer, shell } = world()
  it.effect("names are said and shown from there on, and anywhere else with / and ..", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("x", { bytes: new Uint8Array(3), modified: 60_000 })
      const up = ["upload x", "upload x --as a/one", "upload x --as a/b/two", "upload x --as ab/three"]
      assert.isTrue((yield* shell(up)).succeeded)

      const listed = yield* shell(["cd a", "fetch", "fetch two", "pwd"])
      assert.deepStrictEqual(names(listed.out.replace("/a\n", "")), ["b/two", "one", "b/two"])
      assert.isTrue(listed.out.endsWith("\n/a\n"))
      assert.deepStrictEqual(asked.slice(0, 2), ["paradrop> ", "paradrop:a> "])
      assert.deepStrictEqual(names((yield* shell(["cd a/b", "fetch /"])).out), ["a/b/two", "a/one", "ab/three", "x"])
      assert.deepStrictEqual(names((yield* shell(["cd a/b", "fetch ../one"])).out), ["a/one"])

      const sent = yield* shell([
        "cd a",
        "upload x --as new",
        "rename new ../renamed",
        "download b/two one",
        "cd ..",
        "pwd"
      ])
      assert.deepStrictEqual([sent.err, sent.succeeded], ["", true])
      assert.include(sent.out, "File 'new' uploaded successfully.")
      assert.include(sent.out, "File 'a/new' renamed to 'renamed'.")
      assert.isTrue(sent.out.endsWith("/\n"))
      assert.isTrue(files.has("two"))
      const removed = yield* shell(["cd /a/b", "verify two x", "para x --as two", "remove two", "remove /renamed"])
      assert.deepStrictEqual([removed.err, removed.succeeded], ["", true])
      assert.deepStrictEqual(names((yield* shell(["fetch"])).out), ["a/one", "ab/three", "x"])
      assert.deepStrictEqual(names((yield* shell(["fetch"], "/a/")).out), ["one"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("a folder without files is worth a word, one that cannot be is refused", () =>
    Effect.gen(function* () {
      const { err, out, succeeded } = yield* shell(["cd nowhere", "pwd"])
      assert.isTrue(succeeded)
      assert.strictEqual(err, "the server has no file below 'nowhere' yet: the first upload makes the folder\n")
      assert.strictEqual(out, "/nowhere\n")
      const refused = yield* shell([`cd "a\\u{1b}[2J"`, "pwd"])
      assert.isFalse(refused.succeeded)
      assert.include(refused.err, "'a\\x1b[2J' cannot be a file name (control-character)")
      assert.strictEqual(refused.out, "/\n")
      const deep = Array.from({ length: 30 }, () => "d").join("/")
      const tooDeep = yield* shell([`cd ${deep}`, "fetch a", "remove a/b/c"])
      assert.include(tooDeep.err, "there is a limit on names (too-deep)")
    }).pipe(Effect.provide(layer))
  )

  it.effect("a file is no place to stand in; what fails there is told by the names of the place", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("x", { bytes: new Uint8Array(3), modified: 60_000 })
      yield* shell(["upload x", "upload x --as a/one", "upload x --as a/b/two"])
      const refused = yield* shell(["cd a", "cd one", "pwd"])
      assert.strictEqual(refused.err, "'a/one' is a file on the server: cd takes folders\n")
      assert.deepStrictEqual([refused.succeeded, refused.out], [false, "/a\n"])
      const { err } = yield* shell(["cd a", "rename one b/two", "upload x --as ONE", "upload x --as one/y", "para x"])
      assert.deepStrictEqual(err.trimEnd().split("\n"), [
        "one: 'b/two' exists on the server already, and nothing was changed: take another name, or use --replace",
        "the server already has 'one', which is the same name as 'ONE' on some machines: use that spelling",
        "'one/y' is no file on the server, and cannot be one: " +
          "there is a file in the place of a folder of that path; use another name",
        "x: the server does not have this file: send it with 'upload' first"
      ])
      const removed = yield* shell(["cd a/b", "rename two three", "remove three"])
      assert.include(removed.out, "File 'two' renamed to 'three'.")
      assert.include(removed.out, "File 'three' removed")
      assert.notInclude(removed.out, "a/b")
    }).pipe(Effect.provide(layer))
  )

  it.effect("a refusal of a rename has both names as they are said at the place", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("x", { bytes: new Uint8Array(3), modified: 60_000 })
      yield* shell(["upload x --as site/k", "upload x --as site/sub/y"])
      const { err } = yield* shell(["cd site", "rename k sub", "rename k sub/y/z", "rename k SUB/k"])
      assert.deepStrictEqual(err.trimEnd().split("\n"), [
        "'k -> sub' cannot be done: one of the two is a folder, and only files are renamed; " +
          "the new name of one that goes into a folder is FOLDER/NAME",
        "'k -> sub/y/z' is no file on the server, and cannot be one: there is a file in the place of a folder " +
          "of that path; use another name",
        "k: the server already has 'sub', which is the same name as 'SUB/k' on some machines: use that spelling"
      ])
    }).pipe(Effect.provide(layer))
  )

  it.effect("a folder in another spelling is the same folder: what is there is listed and found", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("x", { bytes: new Uint8Array(3), modified: 60_000 })
      yield* shell(["upload x --as Größe/b/one", "upload x --as Größe/two"])
      assert.deepStrictEqual(names((yield* shell(["cd GRÖSSE", "fetch"])).out), ["b/one", "two"])
      assert.deepStrictEqual(names((yield* shell(["cd größe/B", "fetch one"])).out), ["one"])
      const found = yield* shell(["cd GRÖSSE", "verify two x", "download -r b", "remove b/one"])
      assert.deepStrictEqual([found.err, found.succeeded], ["", true])
      assert.isTrue(files.has("b/one"))
      assert.include(found.out, "File 'b/one' removed")
      const { err } = yield* shell(["cd GRÖSSE", "rename two 2", "upload x --as b", "cd /größe/TWO", "cd B"])
      assert.deepStrictEqual(err.trimEnd().split("\n"), [
        "two: the server already has '/Größe', which is the same name as '/GRÖSSE/2' on some machines: " +
          "use that spelling",
        "b: the server already has '/Größe', which is the same name as '/GRÖSSE/b' on some machines: use that spelling",
        "'größe/TWO' is a file on the server: cd takes folders",
        "the server has no file below 'GRÖSSE/B' yet: the first upload makes the folder"
      ])
    }).pipe(Effect.provide(layer))
  )

  const shut = world(["shut", "in/shut"])
  it.effect("a closed folder is told by its name, wherever one stands, and none is said to be empty", () =>
    Effect.gen(function* () {
      const lacks = (name: string) =>
        `the server may not look into '${name}': what is there is not listed; its administrator can change that`
      for (const [lines, told] of [
        [["cd shut", "fetch"], [lacks("/shut")]],
        [["cd shut/deep", "download -r x"], [lacks("/shut")]],
        [["cd in", "fetch"], [lacks("shut")]],
        [["cd IN", "fetch"], [lacks("shut")]],
        [["cd SHUT", "fetch"], [lacks("/shut")]],
        [["cd in/shut", "fetch x"], [lacks("/in/shut")]],
        [["cd lost+found"], []],
        [
          ["cd odd", "fetch b*"],
          [
            "not listed: 1 here whose names cannot be sent: 'b.' (trailing-dot-or-space); " +
              "the server's administrator can rename it"
          ]
        ]
      ] as const) {
        const { err, succeeded } = yield* shut.shell(lines)
        assert.deepStrictEqual(
          err.split("\n").filter((line) => line !== ""),
          [...told]
        )
        assert.strictEqual(succeeded, told.length === 0)
      }
      const { err } = yield* shut.shell(["cd in/shut", "download a"])
      assert.include(err, "the user that the server runs as has no access to 'a'")
    }).pipe(Effect.provide(shut.layer))
  )

  it.effect("Tab completes folders for cd, and names from where one stands", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("x", { bytes: new Uint8Array(3), modified: 60_000 })
      yield* shell(["upload x", "upload x --as a/one", "upload x --as a/b/two"])
      const offers = (line: string, place = "") =>
        Effect.flatMap(Sessions, (sessions) =>
          Effect.andThen(
            sessions.session,
            Effect.provideService(complete(line), Sessions, SessionWithin.sessions(sessions, place))
          )
        ).pipe(Effect.map(({ offers }) => offers))
      assert.deepStrictEqual(yield* offers("cd "), ["a/"])
      assert.deepStrictEqual(yield* offers("cd a/"), ["a/b/"])
      assert.deepStrictEqual(yield* offers("download ", "a"), ["b/", "one "])
      assert.deepStrictEqual(yield* offers("help ver"), ["verify "])
      assert.deepStrictEqual(yield* offers("lls "), ["x "])
    }).pipe(Effect.provide(world().layer))
  )
})

describe("lcd, lpwd and lls", () => {
  const { layer, shell } = world()
  it.effect("work among the local files", () =>
    Effect.gen(function* () {
      const { err, out } = yield* shell([
        "lpwd",
        "lls",
        "lls *.txt",
        "lls .h*",
        "lcd music",
        "lpwd",
        "lls",
        "lcd",
        "lpwd"
      ])
      assert.deepStrictEqual(
        [err, out.split("\n")],
        [
          "",
          [
            "/home/ada",
            "       3 B  1970-01-01 00:00  a b.txt",
            "         -  1970-01-01 00:00  music/",
            "       3 B  1970-01-01 00:00  a b.txt",
            "       3 B  1970-01-01 00:00  .hidden",
            "/home/ada/music",
            "/home/ada",
            ""
          ]
        ]
      )
      const refused = yield* shell(["lcd none", "lls none", "lls z*", "lcd 'a b.txt'", "lpwd"])
      assert.isFalse(refused.succeeded)
      assert.strictEqual(
        refused.err,
        [
          "cannot read none (ENOENT): there is no such folder or file",
          "cannot read none (ENOENT): there is no such folder or file",
          "cannot read z* (ENOENT): there is no such folder or file",
          "cannot read a b.txt (ENOTDIR): a part of the path is no folder",
          ""
        ].join("\n")
      )
      assert.strictEqual(refused.out, "/home/ada\n")
    }).pipe(Effect.provide(layer))
  )
})

/** Needs a folder at the layer's working folder that holds `music` with nothing in it, and `a b.txt` of 3 bytes. */
const workingFolderContract = Effect.gen(function* () {
  const { enter, list, path } = yield* WorkingFolder
  const begin = yield* path
  assert.deepStrictEqual(
    (yield* list(".")).filter(({ name }) => !name.startsWith(".")).map(({ kind, name }) => `${kind} ${name}`),
    ["file a b.txt", "folder music"]
  )
  assert.deepStrictEqual(
    (yield* list("a b.txt")).map(({ name, size }) => [name, size]),
    [["a b.txt", 3]]
  )
  for (const [missing, code] of [
    ["none", "ENOENT"],
    ["a b.txt", "ENOTDIR"]
  ] as const) {
    assert.strictEqual((yield* Effect.flip(enter(missing))).code, code)
  }
  for (const [missing, code] of [
    ["", "ENOENT"],
    ["none/..", "ENOENT"],
    ["a b.txt/..", "ENOTDIR"],
    ["a b.txt/", "ENOTDIR"]
  ] as const) {
    const { code: entered } = yield* Effect.flip(enter(missing))
    const { code: listed } = yield* Effect.flip(list(missing))
    assert.deepStrictEqual([missing, entered, listed], [missing, code, code])
  }
  assert.strictEqual(yield* path, begin)
  yield* enter("music")
  assert.strictEqual(yield* path, `${begin}/music`)
  assert.deepStrictEqual(yield* list("."), [])
  yield* enter("..")
  assert.strictEqual(yield* path, begin)
})

describe("WorkingFolder", () => {
  it.effect("in memory", () => Effect.provide(workingFolderContract, WorkingFolder.layerMemory(home)))

  // A worker may not change its folder.
  it.effect.skipIf(!isMainThread)("of the process", () =>
    Effect.gen(function* () {
      const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-working-")))
      fs.mkdirSync(join(folder, "music"))
      fs.writeFileSync(join(folder, "a b.txt"), "abc")
      fs.symlinkSync("nowhere", join(folder, "dangling"))
      const before = process.cwd()
      process.chdir(folder)
      yield* Effect.provide(workingFolderContract, WorkingFolderNode.layer).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            process.chdir(before)
            fs.rmSync(folder, { recursive: true })
          })
        )
      )
    })
  )
})

describe("a pattern that is said from the top", () => {
  const { layer, shell } = world(["z"])
  it.effect("fits there, and not wherever a name ends like that", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.clear()
      files.set("one", { bytes: new Uint8Array(3), modified: 60_000 })
      assert.isTrue((yield* shell(["one", "a/one", "a/b/one"].map((name) => `upload one --as ${name}`))).succeeded)
      const fetched = (place: string, pattern: string) =>
        Effect.map(shell([`cd ${place}`, `fetch ${pattern}`]), ({ err, out, succeeded }) => [
          succeeded,
          err,
          names(out)
        ])
      const [all, top] = [["a/b/one", "a/one", "one"], ["one"]]
      for (const pattern of ["/on*", "/one", "../on?"]) {
        assert.deepStrictEqual(yield* fetched("a", pattern), [true, "", top], pattern)
      }
      assert.deepStrictEqual(yield* fetched("/", "./on*"), [true, "", top])
      assert.deepStrictEqual(yield* fetched("a/b", "../on*"), [true, "", ["a/one"]])
      assert.deepStrictEqual(yield* fetched("a", "/a*"), [true, "", ["a/b/one", "a/one"]])
      // What is closed may hold what a pattern means that speaks of every folder.
      const [, , everywhere] = yield* fetched("/", "on*")
      assert.deepStrictEqual(everywhere, all)
      const none = yield* shell(["cd a", "download /x*"])
      assert.deepStrictEqual(none.err, "/x*: the server does not have a file that fits: 'fetch' shows what it has\n")
      const got = yield* shell(["cd a", "download /on*"])
      assert.deepStrictEqual([got.succeeded, got.err], [true, ""])
    }).pipe(Effect.provide(layer))
  )

  it.effect("is a name where there is a file that is called so", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      for (const [place, text] of [
        ["/", "./r[1]"],
        ["/", "/r[1]"],
        ["a", "../r[1]"]
      ]) {
        files.clear()
        files.set("one", { bytes: Uint8Array.of(7), modified: 60_000 })
        yield* shell(["upload one --as a/x", "upload one --as r[1]"])
        const got = yield* shell([`cd ${place}`, `download ${text}`])
        assert.deepStrictEqual([got.succeeded, got.err], [true, ""], text)
        assert.deepStrictEqual(files.get("r[1]")?.bytes, Uint8Array.of(7), text)
      }
    }).pipe(Effect.provide(layer))
  )
})

const noName = "'' cannot be a file name (empty): a name has at least one character"

describe("folders from a folder", () => {
  const { layer, shell } = world()
  it.effect("whole folders go to and come from where a person stands; . is that folder without its name", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      for (const path of ["t/a", "t/s/b"]) files.set(path, { bytes: new Uint8Array(3), modified: 60_000 })
      assert.isTrue((yield* shell(["cd x", "upload -r t", "upload -r t/. --as /y"])).succeeded)
      assert.deepStrictEqual(names((yield* shell(["fetch"])).out), ["x/t/a", "x/t/s/b", "y/a", "y/s/b"])
      const lines = ["cd x/t", "download -r s --to 1", "download -r . --to 2", "download -r /y --to 3", "cd ..", "pwd"]
      assert.isTrue((yield* shell(lines)).succeeded)
      assert.deepStrictEqual([...files.keys()], ["t/a", "t/s/b", "1/s/b", "2/a", "2/s/b", "3/y/a", "3/y/s/b"])
      assert.isTrue((yield* shell(["cd x", "para -r t --exclude s --delete"])).succeeded)
      files.delete("t/a")
      assert.isTrue((yield* shell(["cd x", "para -r t --exclude=s --delete"])).succeeded)
      assert.deepStrictEqual(names((yield* shell(["fetch"])).out), ["x/t/s/b", "y/a", "y/s/b"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("the top is everything, however it is said, and an empty text is nothing, wherever a person stands", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.clear()
      files.set("t/a", { bytes: new Uint8Array(3), modified: 60_000 })
      const tops = [
        ["upload -r t --as .", "download -r . --to 1"],
        ["cd p", "para -r t --as /", "download -r / --to 2"],
        ["cd p", "upload -r t --as ..", "download -r .. --to 3"]
      ]
      for (const lines of tops) assert.isTrue((yield* shell(lines)).succeeded)
      assert.deepStrictEqual([...files.keys()], ["t/a", "1/t/a", "2/t/a", "3/t/a"])
      for (const line of ["upload -r t --as ''", "download -r '' /t --to 4", "rename /t/a ''", "remove '' /b"]) {
        const { err, succeeded } = yield* shell(["cd t", line])
        assert.deepStrictEqual([succeeded, err.split("\n")[0]?.endsWith(noName)], [false, true], line)
      }
      assert.deepStrictEqual(names((yield* shell(["fetch"])).out), ["t/a"])
    }).pipe(Effect.provide(layer))
  )
})

describe("help COMMAND", () => {
  const { layer, shell } = world()
  const doc = Layer.succeed(CommandHelp, {
    of: (name) =>
      Effect.succeed(
        name !== "upload"
          ? undefined
          : {
              description: "",
              usage: "",
              annotations: Context.empty(),
              args: [
                { name: "FILE", type: "string", description: Option.some("a file"), required: true, variadic: true }
              ],
              flags: ["as", "recursive", "elsewhere"].map((flag) => ({
                name: flag,
                aliases: flag === "recursive" ? ["-r"] : [],
                type: flag === "recursive" ? "boolean" : "NAME",
                description: Option.some("a name"),
                required: false
              })),
              examples: [
                { command: "paradrop upload x", description: "as x" },
                { command: "paradrop upload x --as paradrop://host/y", description: "elsewhere" }
              ]
            }
      )
  })
  it.effect("says how a command is used, in what the shell can take", () =>
    Effect.gen(function* () {
      const { err, out } = yield* Effect.provide(shell(["help upload", "help cd", "help uplaod"]), doc)
      assert.strictEqual(
        out,
        [
          "upload [-r] FILE... [--as NAME]",
          "  send files to the server",
          "  FILE             a file",
          "  --as NAME        a name",
          "  --recursive, -r  a name",
          "examples:",
          "  upload x  as x",
          "cd [FOLDER]",
          "  stand in a folder of the server; alone: at the top",
          ""
        ].join("\n")
      )
      assert.include(err, "(there is no command 'uplaod')")
      assert.include(err, "did you mean 'upload'?")
    }).pipe(Effect.provide(layer))
  )
})
