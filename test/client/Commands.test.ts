/**
 * The commands and the shell over a whole server, in memory.
 */
import { quickCrypto } from "../crypto.ts"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import { ConnectFailed, ConnectionLost, LocalFileFailed } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import * as Commands from "../../src/client/Commands.ts"
import { complete } from "../../src/client/Completion.ts"
import { History } from "../../src/client/History.ts"
import { LineEditor } from "../../src/client/LineEditor.ts"
import { LocalFiles, type LocalFound } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import type { Progress } from "../../src/client/Progress.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterVerbose from "../../src/client/ReporterVerbose.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Shell from "../../src/client/Shell.ts"
import { WorkingFolder } from "../../src/client/WorkingFolder.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { FileEntry } from "../../src/domain/file/FileEntry.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { deltaBytesMin, eagerContentBytesMax, filesAheadMax, smallFileBytesMax } from "../../src/domain/limits.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"

const crypto = Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom)
const network = Server.layer.pipe(
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(Fixture.accounts),
  Layer.provideMerge(FileStoreMemory.layer()),
  Layer.provideMerge(crypto)
)

/** What was written, how often was dialled, and the sessions themselves. */
interface World {
  readonly written: { out: string; err: string }
  readonly dialled: Array<ClientSession>
}

const world = (options: { readonly json?: boolean; readonly verbose?: boolean; readonly colours?: boolean } = {}) => {
  const here: World = { written: { out: "", err: "" }, dialled: [] }
  const sessions = Layer.unwrap(
    Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
      Sessions.layer(
        Effect.tap(Client.connect({ server: "memory", dial, ...Fixture.ada }), (session) =>
          Effect.sync(() => here.dialled.push(session))
        )
      )
    )
  )
  const plain = (options.json === true ? ReporterJson : ReporterText).layer("paradrop: ")
  const layer = Layer.mergeAll(
    sessions,
    LocalFilesMemory.layer({ folders: ["dir"] }),
    options.verbose === true ? ReporterVerbose.layer(plain) : plain
  ).pipe(
    Layer.provideMerge(Screen.layerMemory({ written: here.written, colours: options.colours ?? false })),
    Layer.provideMerge(network)
  )
  return { here, layer }
}

const text = (content: string) => new TextEncoder().encode(content)

const place = (path: string, content: string) =>
  Effect.map(LocalFilesMemory.MemoryFiles, (files) => files.set(path, { bytes: text(content), modified: 60_000 }))

const taken = (here: World) => {
  const { err, out } = here.written
  here.written.out = here.written.err = ""
  return { out, err }
}

const upload = (files: ReadonlyArray<string>, as?: string) => Commands.run({ _tag: "Upload", files, as })
const para = (files: ReadonlyArray<string>, as?: string) => Commands.run({ _tag: "Para", files, as })
const download = (names: ReadonlyArray<string>, to?: string) => Commands.run({ _tag: "Download", names, to })
const fetch = (pattern?: string) => Commands.run({ _tag: "Fetch", pattern })

describe("a listing with digests", () => {
  const { here, layer } = world()
  it.effect("that lacks one of them says so, and has failed", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) {
        yield* place(name, "content")
        assert.isTrue(yield* upload([name]))
      }
      taken(here)
      const sessions = yield* Sessions
      const session = yield* sessions.session
      // What a server does that may not read a file.
      const fetchWith: typeof session.fetchWith = (options) =>
        Stream.map(session.fetchWith(options), ({ digest, ...entry }) =>
          digest === undefined || entry.name === "a" ? { ...entry, ...(digest && { digest }) } : entry
        )
      const without = Sessions.of({ ...sessions, session: Effect.succeed({ ...session, fetchWith }) })
      const listing = Commands.run({ _tag: "Fetch", pattern: undefined, digests: true })
      assert.isTrue(yield* listing)
      taken(here)
      assert.isFalse(yield* Effect.provideService(listing, Sessions, without))
      assert.include(
        taken(here).err,
        "no digest of 'b' and 1 more: the server may not read it, or it changes just now\n"
      )
      assert.isTrue(yield* Effect.provideService(fetch(), Sessions, without))
    }).pipe(Effect.provide(layer))
  )
})

describe("para --expect of a pattern", () => {
  const { here, layer } = world()
  it.effect("sends nothing when several files are meant, and minds the digest when it is one", () =>
    Effect.gen(function* () {
      for (const name of ["a1", "a2"]) yield* Effect.andThen(place(name, "old"), upload([name]))
      const session = yield* (yield* Sessions).session
      const { digest } = yield* session.describe(FileName.make("a1"))
      for (const name of ["a1", "a2"]) yield* place(name, `new ${name}`)
      taken(here)
      const expecting = (file: string) => Commands.run({ _tag: "Para", files: [file], as: undefined, expect: digest })
      assert.isFalse(yield* expecting("a*"))
      assert.include(taken(here).err, "--expect speaks of one file, and several are meant; nothing was sent")
      for (const name of ["a1", "a2"]) {
        assert.strictEqual((yield* session.describe(FileName.make(name))).digest, digest)
      }
      assert.isTrue(yield* expecting("*1"))
      assert.notStrictEqual((yield* session.describe(FileName.make("a1"))).digest, digest)
      assert.isFalse(yield* expecting("*1"))
    }).pipe(Effect.provide(layer))
  )
})

describe("commands", () => {
  const { here, layer } = world()
  it.effect("all four, with the messages that were promised", () =>
    Effect.gen(function* () {
      yield* place("dir/a b.txt", "first")
      assert.isTrue(yield* upload(["dir/a b.txt"]))
      assert.deepStrictEqual(taken(here), {
        out: "File 'a b.txt' uploaded successfully. (5 B in 0.000 s)\n",
        err: ""
      })
      assert.isTrue(yield* upload(["dir/a b.txt"], "x/y.txt"))
      taken(here)
      assert.isTrue(yield* fetch())
      assert.deepStrictEqual(
        taken(here).out,
        "       5 B  1970-01-01 00:01  a b.txt\n       5 B  1970-01-01 00:01  x/y.txt\n"
      )
      assert.isTrue(yield* fetch("y*"))
      assert.deepStrictEqual(taken(here).out, "       5 B  1970-01-01 00:01  x/y.txt\n")

      yield* place("dir/a b.txt", "second")
      assert.isTrue(yield* para(["dir/a b.txt"]))
      assert.strictEqual(taken(here).out, "a b.txt: the file has been parallelized (6 B in 0.000 s)\n")
      assert.isFalse(yield* para(["dir/a b.txt"], "none"))
      assert.strictEqual(
        taken(here).err,
        "paradrop: none: the server does not have this file: send it with 'upload' first\n"
      )

      const files = yield* LocalFilesMemory.MemoryFiles
      assert.isTrue(yield* download(["a b.txt", "x/y.txt"], "dir"))
      assert.strictEqual(
        taken(here).out,
        [
          "File 'a b.txt' downloaded to dir/a b.txt (6 B in 0.000 s)\n",
          "File 'x/y.txt' downloaded to dir/y.txt (5 B in 0.000 s)\n"
        ].join("")
      )
      assert.isTrue(yield* download(["x/y.txt"]))
      assert.isTrue(yield* download(["x/y.txt"], "other"))
      assert.deepStrictEqual([...files.keys()], ["dir/a b.txt", "dir/y.txt", "y.txt", "other"])
      assert.strictEqual(here.dialled.length, 1)
    }).pipe(Effect.provide(layer))
  )

  const other = world()
  it.effect("the client looks first: for a file that is missing, nobody is dialled", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* upload(["none"]))
      assert.isFalse(yield* para(["none"]))
      assert.isFalse(yield* upload(["dir"]))
      assert.deepStrictEqual(taken(other.here), {
        out: "",
        err: [
          "paradrop: could not find the file in clientSide to upload: none",
          "paradrop: could not find the file in clientSide to parallelize: none",
          "paradrop: cannot read dir (EISDIR): it is a folder; upload and para take those with -r",
          ""
        ].join("\n")
      })
      assert.strictEqual(other.here.dialled.length, 0)
    }).pipe(Effect.provide(other.layer))
  )

  const several = world()
  it.effect("one file that fails does not stop the others, and is told with its reason", () =>
    Effect.gen(function* () {
      yield* place("a", "1")
      yield* place("b\u202e", "2")
      yield* place("c", "3")
      assert.isFalse(yield* upload(["a", "none", "b\u202e", "c"]))
      const { err, out } = taken(several.here)
      assert.strictEqual(out.split("\n").length, 4)
      assert.match(out, /\nupload: 2 files, 2 failed \(2 B, \d+ B sent, 0\.000 s\)\n$/)
      assert.include(err, "could not find the file in clientSide to upload: none\n")
      assert.include(err, "'b\\u{202e}' cannot be a file name (bidi-control)")
      assert.isFalse(yield* download(["a", "zz", "c"], "dir"))
      assert.strictEqual(
        taken(several.here).err,
        "paradrop: zz: the server does not have this file: 'fetch' shows what it has\n"
      )
      assert.isFalse(yield* download(["a", "c"], "no folder"))
      assert.include(taken(several.here).err, "several files need an existing folder")
      const files = yield* LocalFiles
      const error = new LocalFileFailed({ path: "dir", operation: "read", code: "EIO" })
      const broken = LocalFiles.of({ ...files, look: () => Effect.fail(error) })
      assert.isFalse(yield* Effect.provideService(download(["a", "c"], "dir"), LocalFiles, broken))
      assert.strictEqual(
        taken(several.here).err,
        "paradrop: cannot write dir (EIO): the disk reports a fault; look at it before you run it again\n"
      )
    }).pipe(Effect.provide(several.layer))
  )

  const changing = world()
  it.effect("names are removed and changed, each is told, and nothing is replaced unasked", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b", "c"]) yield* place(name, name)
      yield* upload(["a", "b", "c"])
      taken(changing.here)
      assert.isTrue(yield* Commands.run({ _tag: "Rename", name: "a", to: "x/y" }))
      assert.isFalse(yield* Commands.run({ _tag: "Rename", name: "b", to: "c" }))
      assert.isFalse(yield* Commands.run({ _tag: "Rename", name: "b", to: "/c" }))
      const renamed = taken(changing.here)
      assert.strictEqual(renamed.out, "File 'a' renamed to 'x/y'.\n")
      assert.include(renamed.err, "paradrop: b: 'c' exists on the server already, and nothing was changed")
      assert.include(renamed.err, "'/c' cannot be a file name (absolute)")
      // Advice that is for these two, where others take a folder with -r.
      assert.isFalse(yield* Commands.run({ _tag: "Rename", name: "b", to: "x" }))
      assert.isFalse(yield* Commands.run({ _tag: "Remove", names: ["x"] }))
      assert.deepStrictEqual(taken(changing.here).err.trimEnd().split("\n"), [
        "paradrop: 'b -> x' cannot be done: one of the two is a folder, and only files are renamed; " +
          "the new name of one that goes into a folder is FOLDER/NAME",
        "paradrop: 'x' is no file on the server but a folder: only files are removed, " +
          "and a folder goes with its last one"
      ])
      assert.isTrue(yield* Commands.run({ _tag: "Rename", name: "b", to: "c", replace: true }))
      taken(changing.here)
      assert.isFalse(yield* Commands.run({ _tag: "Remove", names: ["X/Y", "none", "c"] }))
      assert.deepStrictEqual(taken(changing.here), {
        out: "File 'x/y' removed.\nFile 'c' removed.\n",
        err: "paradrop: none: the server does not have this file: 'fetch' shows what it has\n"
      })
      assert.isTrue(yield* fetch())
      assert.strictEqual(taken(changing.here).out, "")
      yield* upload(["a"])
      taken(changing.here)
      // What goes is named outright, and a name may look like a pattern.
      assert.isFalse(yield* Commands.run({ _tag: "Remove", names: ["*"] }))
      assert.strictEqual(
        taken(changing.here).err,
        "paradrop: *: the server does not have this file: 'remove' takes names and never a pattern; " +
          "'fetch' shows what fits one\n"
      )
    }).pipe(Effect.provide(changing.layer))
  )

  const changes = world({ json: true })
  it.effect("a script is told of names by events", () =>
    Effect.gen(function* () {
      yield* place("a", "a")
      yield* upload(["a"])
      taken(changes.here)
      yield* Commands.run({ _tag: "Rename", name: "a", to: "\u00fc" })
      yield* Commands.run({ _tag: "Remove", names: ["\u00fc"] })
      assert.strictEqual(
        taken(changes.here).out,
        '{"event":"renamed","name":"a","to":"\\u00fc"}\n{"event":"removed","name":"\\u00fc"}\n'
      )
    }).pipe(Effect.provide(changes.layer))
  )

  const empty = world()
  it.effect("an empty server has nothing to list, and nothing that fits a pattern", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* fetch())
      assert.deepStrictEqual(taken(empty.here), { out: "", err: "" })
      assert.isFalse(yield* fetch("*"))
    }).pipe(Effect.provide(empty.layer))
  )

  const patterned = world()
  it.effect("patterns mean the files that fit, on both sides, and end with a summary", () =>
    Effect.gen(function* () {
      yield* place("dir/a.txt", "1")
      yield* place("dir/b.txt", "22")
      yield* place("dir/.hidden.txt", "no")
      yield* place("dir/deep/c.txt", "333")
      yield* place("dir/d.bin", "4")
      assert.isTrue(yield* upload(["dir/*.txt"]))
      assert.match(taken(patterned.here).out, /\nupload: 2 files \(3 B, \d+ B sent, 0\.000 s\)\n$/)
      assert.isTrue(yield* upload(["dir/**/c.txt"]))
      assert.isTrue(yield* para(["dir/?.txt"]))
      taken(patterned.here)
      yield* fetch()
      assert.deepStrictEqual(taken(patterned.here).out.match(/\S+$/gm), ["a.txt", "b.txt", "c.txt"])

      assert.isFalse(yield* fetch("*.none"))
      assert.deepStrictEqual(taken(patterned.here), {
        out: "",
        err: "paradrop: *.none: the server does not have a file that fits: 'fetch' alone shows what it has\n"
      })
      assert.isFalse(yield* upload(["dir/*.none"]))
      assert.include(taken(patterned.here).err, "could not find the file in clientSide to upload: dir/*.none")

      const files = yield* LocalFilesMemory.MemoryFiles
      files.clear()
      assert.isTrue(yield* download(["[ab].txt", "c.txt"], "dir"))
      assert.deepStrictEqual([...files.keys()].toSorted(), ["dir/a.txt", "dir/b.txt", "dir/c.txt"])
      assert.isFalse(yield* download(["*.none", "a.txt"], "dir"))
      const { err, out } = taken(patterned.here)
      assert.include(err, "*.none: the server does not have a file that fits")
      assert.match(out, /\ndownload: 1 file, 1 failed \(/)
    }).pipe(Effect.provide(patterned.layer))
  )

  const unreadable = world()
  it.effect("what fits a pattern and cannot be had is told, and what does not fit is nobody's matter", () =>
    Effect.gen(function* () {
      yield* place("dir/good.txt", "1")
      const files = yield* LocalFiles
      const failed = (name: string, code: string) => {
        const error = new LocalFileFailed({ path: `dir/${name}`, operation: "read", code })
        return { _tag: "Failed", name, error } as const
      }
      const found: ReadonlyArray<LocalFound> = [
        failed("bad\u{fffd}.txt", "ENOENT"),
        failed("sub", "EACCES"),
        { _tag: "LeftOut", name: "link.txt", kind: "link" }
      ]
      const partly = LocalFiles.of({
        ...files,
        walk: (folder, enter) =>
          Stream.concat(
            files.walk(folder, enter),
            Stream.suspend(() =>
              Stream.fromIterable(found.filter(({ name }) => folder === "dir" && (name !== "sub" || enter(name))))
            )
          )
      })
      const told = (path: string, command = upload) =>
        Effect.map(Effect.provideService(command([path]), LocalFiles, partly), (succeeded) => {
          return [succeeded, ...taken(unreadable.here).err.split("\n")].slice(0, -1)
        })
      const name = "paradrop: cannot read dir/bad\u{fffd}.txt (ENOENT): its name is not UTF-8; rename it"
      const link = "left out: dir/link.txt (a symbolic link)"
      const folder = "paradrop: cannot read dir/sub (EACCES): permission denied; see who may do that there"
      assert.deepStrictEqual(yield* told("dir/*.txt"), [false, name, link])
      assert.deepStrictEqual(yield* told("dir/*.txt", para), [false, name, link])
      assert.deepStrictEqual(yield* told("dir/**"), [false, name, folder, link])
      assert.deepStrictEqual(yield* told("dir/bad*"), [false, name])
      assert.deepStrictEqual(yield* told("dir/good*"), [true])
      const missing = "paradrop: could not find the file in clientSide to upload:"
      assert.deepStrictEqual(yield* told("dir/g*/*"), [false, `${missing} dir/g*/*`])
      assert.deepStrictEqual(yield* told("dir/link*"), [false, link, `${missing} dir/link*`])
      assert.deepStrictEqual(yield* told("none/*"), [false, `${missing} none/*`])
    }).pipe(Effect.provide(unreadable.layer))
  )

  const colliding = world()
  it.effect("files that would be one name are found before anything is sent, and the rest goes on", () =>
    Effect.gen(function* () {
      yield* place("dir/a", "1")
      yield* place("x/A", "2")
      yield* place("x/b", "3")
      assert.isFalse(yield* upload(["dir/a", "x/A", "x/b"]))
      const { err, out } = taken(colliding.here)
      assert.include(err, "'a' and 'A' would be the same name on some machines")
      assert.match(out, /^File 'b' uploaded successfully\..*\nupload: 1 file, 2 failed /)
      assert.isFalse(yield* upload(["x/*"], "one"))
      assert.include(taken(colliding.here).err, "two files would be 'one'")
      yield* fetch()
      assert.deepStrictEqual(taken(colliding.here).out.match(/\S+$/gm), ["b"])
    }).pipe(Effect.provide(colliding.layer))
  )

  const twice = world()
  it.effect("what is named twice is meant once, and a pattern that nothing fits is told once", () =>
    Effect.gen(function* () {
      yield* place("dir/a", "1")
      yield* place("dir/b", "2")
      assert.isTrue(yield* upload(["dir/a", "./dir//a", "dir/./a"]))
      assert.match(taken(twice.here).out, /^File 'a' uploaded successfully\.[^\n]*\n$/)
      assert.isTrue(yield* upload(["dir/*", "dir/b"]))
      assert.deepStrictEqual(taken(twice.here).out.match(/^File '.'/gm), ["File 'a'", "File 'b'"])
      assert.isFalse(yield* upload(["z*", "z*"]))
      const missing = "paradrop: could not find the file in clientSide to upload: z*\n"
      assert.strictEqual(taken(twice.here).err, missing)
      assert.isFalse(yield* download(["z*", "z*"]))
      const none = "paradrop: z*: the server does not have a file that fits: 'fetch' shows what it has\n"
      assert.strictEqual(taken(twice.here).err, none)
      assert.isFalse(yield* Commands.run({ _tag: "Verify", name: "a", file: "dir" }))
      const folder = "it is a folder, and one file is compared with one; name the file in it"
      assert.strictEqual(taken(twice.here).err, `paradrop: a: cannot read dir (a-folder): ${folder}\n`)
    }).pipe(Effect.provide(twice.layer))
  )

  const updated = world()
  it.effect("several files are brought up to date together, by the rules of one", () =>
    Effect.gen(function* () {
      const { here } = updated
      const files = yield* LocalFilesMemory.MemoryFiles
      const put = (name: string, content: string, modified: number, executable = false) =>
        files.set(`w/${name}`, { bytes: text(content), modified, ...(executable && { executable: true }) })
      for (const name of ["changed", "equal", "run"]) put(name, "as it was", 60_000)
      assert.isTrue(yield* upload(["w/*"]))
      taken(here)
      put("changed", "another", 120_000)
      put("equal", "as it was", 120_000)
      put("run", "as it was", 120_000, true)
      put("new", "not there", 120_000)
      assert.isFalse(yield* para(["w/changed", "w/equal", "w/run", "w/new", "w/none"]))
      const { err, out } = taken(here)
      assert.deepStrictEqual(err.trimEnd().split("\n").toSorted(), [
        "paradrop: could not find the file in clientSide to parallelize: w/none",
        "paradrop: w/new: the server does not have this file: send it with 'upload' first"
      ])
      assert.deepStrictEqual(out.split("\n").slice(0, 3), [
        "changed: the file has been parallelized (7 B in 0.000 s)",
        "equal: the file has been parallelized (9 B, equal already, 0.000 s)",
        "run: the file has been parallelized (9 B in 0.000 s)"
      ])
      assert.match(out, /\npara: 3 files, 1 equal already, 2 failed \(/)
      const session = yield* (yield* Sessions).session
      const listed = yield* Stream.runCollect(session.fetch)
      assert.deepStrictEqual(
        listed.map(({ executable, modified, name, size }) => `${name} ${size} ${modified} ${executable}`).toSorted(),
        ["changed 7 120000 undefined", "equal 9 60000 undefined", "run 9 120000 true"]
      )
    }).pipe(Effect.provide(updated.layer))
  )

  const alone = world({ json: true })
  it.effect("a small file that is equal keeps its time at the server when it is brought up to date alone, too", () =>
    Effect.gen(function* () {
      const { here } = alone
      const files = yield* LocalFilesMemory.MemoryFiles
      const contents = { small: "as it was", next: "y".repeat(deltaBytesMin - 1), large: "x".repeat(deltaBytesMin) }
      for (const [name, content] of Object.entries(contents)) {
        yield* place(name, content)
        assert.isTrue(yield* upload([name]))
        files.set(name, { bytes: text(content), modified: 120_000 })
        taken(here)
        assert.isTrue(yield* para([name]))
        assert.include(taken(here).out, `"reused":${content.length},"equal":true`, name)
      }
      const session = yield* (yield* Sessions).session
      const modified = Effect.map(Stream.runCollect(session.fetch), (all) => all.map((file) => file.modified))
      assert.deepStrictEqual(yield* modified, [60_000, 60_000, 60_000])
      // One that may be run is another file, and so is one of equal size.
      files.set("next", { bytes: text(contents.next), modified: 120_000, executable: true })
      files.set("small", { bytes: text("as it is!"), modified: 120_000 })
      for (const name of ["next", "small"]) assert.isTrue(yield* para([name]))
      assert.notInclude(taken(here).out, `"equal":true`)
      assert.deepStrictEqual((yield* modified).toSorted(), [120_000, 120_000, 60_000])
    }).pipe(Effect.provide(alone.layer))
  )

  const followed = world()
  it.effect("the progress of many never falls, moves within a bundle, and ends with what did not fail", () =>
    Effect.gen(function* () {
      const all: Array<Progress> = []
      const reporter = yield* Reporter
      const listening = { ...reporter, follow: () => Effect.succeed((progress: Progress) => void all.push(progress)) }
      const told = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Reporter, listening)
      const content = "x".repeat(60_000)
      for (let index = 0; index < 60; index += 1) yield* place(`p/${index}`, `${content}${index}`)
      // There a file stands where this one needs a folder.
      yield* place("f", "1")
      yield* upload(["f"])
      yield* place("p/f/g", "1")
      const tree = { dryRun: false, remove: false, checksum: false, include: [], exclude: [] }
      const check = (files: number, steps: number) => {
        const last = all.at(-1)
        assert.deepStrictEqual([last?.phase, last?.files], ["done", { done: files, total: files }])
        assert.strictEqual(last?.done, last?.total)
        for (const [index, { done, files, total }] of all.entries()) {
          assert.isAtLeast(done, all[index - 1]?.done ?? 0)
          assert.isAtLeast(files?.done ?? 0, all[index - 1]?.files?.done ?? 0)
          assert.isAtMost(done, total)
        }
        assert.isAtLeast(new Set(all.map(({ done }) => done)).size, steps)
        all.length = 0
      }
      assert.isFalse(yield* told(Commands.run({ _tag: "Upload", files: ["p/."], as: undefined, tree })))
      // Four bundles of two whole frames.
      check(60, 6)
      const numbers = Array.from({ length: 60 }, (_, index) => String(index))
      assert.isTrue(
        yield* told(
          download(
            numbers.map((name) => `[${name[0]}]${name.slice(1)}`),
            "dir"
          )
        )
      )
      // One, in as many pieces as the network brings.
      check(60, 3)
    }).pipe(Effect.provide(followed.layer))
  )

  const many = world()
  it.effect("many files of all sizes, up, changed and down again", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      const sizes = [0, 1, smallFileBytesMax, smallFileBytesMax + 1, eagerContentBytesMax, eagerContentBytesMax + 1]
      const paths = Array.from({ length: filesAheadMax + 60 }, (_, index) => `x/${String(index).padStart(4, "0")}`)
      const contents = paths.map((_, index) => {
        const length = index % 60 < sizes.length ? (sizes[index % 60] ?? 0) : 10
        return Uint8Array.from({ length }, (_, at) => (at * 7 + index) % 251)
      })
      paths.forEach((path, index) => files.set(path, { bytes: contents[index] ?? new Uint8Array(), modified: index }))
      assert.isTrue(yield* upload(["x/*"]))
      assert.isTrue(yield* para(["x/*"]))
      assert.include(taken(many.here).out, `para: ${paths.length} files`)
      files.clear()
      assert.isTrue(yield* download(["*"], "dir"))
      for (const [index, path] of paths.entries()) {
        const file = files.get(path.replace("x/", "dir/"))
        assert.isTrue(file !== undefined && Bytes.equals(file.bytes, contents[index] ?? new Uint8Array()), path)
        assert.strictEqual(file?.modified, index)
      }
      assert.strictEqual(many.here.dialled.length, 1)
    }).pipe(Effect.provide(many.layer))
  )

  for (const verbose of [false, true]) {
    const folders = world({ verbose })
    const each = verbose ? "each file, when that is asked for" : "what has gone and the sum, and not each file"
    it.effect(`a person hears of a whole folder ${each}`, () =>
      Effect.gen(function* () {
        const tree = { dryRun: false, remove: true, checksum: false, include: [], exclude: [] }
        const lines = () =>
          taken(folders.here)
            .out.replaceAll(/ \(.*\)$/gm, "")
            .trimEnd()
            .split("\n")
        const told = (texts: ReadonlyArray<string>) => (verbose ? texts : [])
        yield* place("f/small", "1")
        yield* place("f/large", "x".repeat(smallFileBytesMax + 1))
        const small = told(["File 'f/small' uploaded successfully."])
        const large = told(["File 'f/large' uploaded successfully."])
        yield* Commands.run({ _tag: "Upload", files: ["f"], as: undefined, tree })
        assert.deepStrictEqual(lines().toSorted(), [...large, ...small, "upload: 2 files"])
        yield* place("f/small", "22")
        yield* Effect.map(LocalFilesMemory.MemoryFiles, (files) => files.delete("f/large"))
        yield* Commands.run({ _tag: "Para", files: ["f"], as: undefined, tree })
        assert.deepStrictEqual(lines(), [...small, "File 'f/large' removed.", "para: 1 file, 1 removed"])
        yield* Commands.run({ _tag: "Download", names: ["f"], to: "got", tree })
        const got = told(["File 'f/small' downloaded to got/f/small"])
        assert.deepStrictEqual(lines(), [...got, "download: 1 file"])
      }).pipe(Effect.provide(folders.layer))
    )
  }

  const json = world({ json: true })
  it.effect("a script gets one object a line, in ASCII, and nothing else on its output", () =>
    Effect.gen(function* () {
      yield* place("ü\u200b.bin", "12345")
      yield* upload(["ü\u200b.bin", "none"])
      yield* fetch()
      const { out } = taken(json.here)
      assert.match(out, /^[\n -~]*$/)
      const all = out
        .trimEnd()
        .split("\n")
        .map((line): unknown => JSON.parse(line))
      const isProgress = (line: unknown) => typeof line === "object" && line !== null && "phase" in line
      // How often it is told is a matter of time; the last one is not.
      const lines = [...all.filter(isProgress).slice(-1), ...all.filter((line) => !isProgress(line))]
      const name = "ü\u200b.bin"
      const digest = lines.flatMap((line) =>
        typeof line === "object" && line !== null && "digest" in line ? [line.digest] : []
      )[0]
      assert.deepStrictEqual(lines, [
        {
          event: "progress",
          command: "upload",
          name: "2 files",
          phase: "done",
          done: 5,
          total: 5,
          reused: 0,
          files: { done: 1, total: 1 }
        },
        {
          event: "failed",
          command: "upload",
          name: "none",
          error: "SourceMissing",
          message: "could not find the file in clientSide to upload: none"
        },
        { event: "uploaded", name, reused: 0, equal: false, size: 5, digest, milliseconds: 0 },
        {
          event: "summary",
          removed: 0,
          command: "upload",
          files: 1,
          equal: 0,
          failed: 1,
          size: 5,
          reused: 0,
          sent: 136,
          received: 98,
          milliseconds: 0
        },
        { name, size: 5, modified: "1970-01-01T00:01:00.000Z", digest }
      ])
    }).pipe(Effect.provide(json.layer))
  )
})

type ShellOptions = Parameters<typeof LineEditor.layerScripted>[0] & { readonly kept?: Array<string> }

describe("the shell", () => {
  const shell = (lines: ReadonlyArray<string>, options: ShellOptions = {}) =>
    Shell.run("").pipe(
      Effect.provide(LineEditor.layerScripted({ lines, interactive: false, ...options })),
      Effect.provide([History.layerMemory(options.kept), WorkingFolder.layerMemory({ "/home/ada": [] })])
    )

  const { here, layer } = world({ colours: true })
  it.effect("green for success, red for failure; a script fails when a line does, a person has seen it", () =>
    Effect.gen(function* () {
      yield* place("my file.txt", "x")
      assert.isTrue(yield* shell([`upload "my file.txt"`, "", "# note", "fetch", "exit", "nonsense"]))
      const first = taken(here)
      assert.include(first.out, "\u001b[32mFile 'my file.txt' uploaded successfully.\u001b[39m (1 B")
      assert.strictEqual(first.err, "")
      assert.isFalse(yield* shell(["uplaod x", "fetch"]))
      const second = taken(here)
      assert.include(
        second.err,
        "\u001b[31mparadrop: invalid command: the client must pay attention to acceptable input patterns\u001b[39m\n"
      )
      assert.include(second.err, "  upload [-r] FILE... [--as NAME]                  send files to the server\n")
      assert.include(second.err, "did you mean 'upload'?\n")
      assert.include(second.out, "my file.txt")
      assert.isFalse(yield* shell(["upload", 'rename "a']))
      const wrong = "\u001b[31mparadrop: invalid command: the client must pay attention to acceptable input patterns"
      assert.strictEqual(
        taken(here).err,
        `${wrong} (upload needs a file)\u001b[39m\n` +
          "  upload [-r] FILE... [--as NAME]  (help upload shows more)\n" +
          `${wrong} (a quote is not closed)\u001b[39m\n` +
          "  rename NAME NEW [--replace] [--expect DIGEST]  (help rename shows more)\n"
      )
      assert.isFalse(yield* shell(['rename "my file.txt" ../y', 'download "../my file.txt"']))
      const above = taken(here)
      assert.strictEqual(above.out, "")
      assert.match(above.err, /'..\/y' cannot be a file name .*\n.*'..\/my file.txt' cannot be a file name/)
      assert.isTrue(yield* shell(["nonsense"], { interactive: true }))
      assert.isTrue(yield* shell(["help"]))
      assert.include(taken(here).out, "download [-r] NAME... [--to PATH]")
    }).pipe(Effect.provide(layer))
  )

  const lost = world()
  it.effect("dials again for the command after the session was lost", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* shell(["fetch"]))
      yield* Effect.forEach(lost.here.dialled, ({ close }) => close)
      assert.isTrue(yield* shell(["fetch", "fetch"]))
      assert.strictEqual(lost.here.dialled.length, 2)
    }).pipe(Effect.provide(lost.layer))
  )

  const between = world()
  it.effect("tries with patience to dial again within a command that has begun", () =>
    Effect.gen(function* () {
      yield* place("a", "x")
      const sessions = yield* Sessions
      let asked = 0
      const refused = new ConnectFailed({ server: "s", reason: "connection-refused", code: "ECONNREFUSED" })
      // The login, and the first request of the command; any other may find none that stands.
      const session = Effect.suspend(() => ((asked += 1) > 2 ? Effect.fail(refused) : sessions.session))
      const run = Effect.provideService(shell(["upload a"]), Sessions, { ...sessions, session })
      assert.isTrue(yield* run)
      assert.strictEqual(taken(between.here).err, "")
    }).pipe(Effect.provide(between.layer))
  )

  it.effect("Ctrl-C cancels the command and not the shell, after the command has cleaned up", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const pressed = yield* Deferred.make<void>()
      let cleaned = 0
      const fetch = Stream.fromEffect(
        Effect.onInterrupt(Effect.andThen(Deferred.succeed(pressed, undefined), Effect.never), () =>
          Effect.sync(() => void (cleaned += 1))
        )
      )
      const run = shell(["fetch", "help"], { interactive: true, interrupt: Deferred.await(pressed) })
      assert.isTrue(yield* Effect.provide(run, fake({ fetch }, written)))
      assert.strictEqual(cleaned, 1)
      assert.include(written.err, "cancelled\n")
      assert.include(written.out, "list the server's files")
    })
  )

  it.effect("a session that breaks in a command is told in one line, and the shell goes on", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const fetch = Stream.fail(new ConnectionLost({ reason: "truncated" }))
      assert.isFalse(yield* Effect.provide(shell(["fetch", "help"]), fake({ fetch }, written)))
      assert.strictEqual(
        written.err,
        "the connection was lost (truncated): run the same command again; " +
          "if that ends so too, update the older of client and server\n"
      )
      assert.include(written.out, "list the server's files")
    })
  )
})

/** A session that a test makes up, which may break every rule. */
const fake = (session: Partial<ClientSession>, written: { out: string; err: string }) =>
  Layer.mergeAll(
    Sessions.layer(Effect.succeed({ ended: () => false, fetchWith: () => session.fetch, ...session } as ClientSession)),
    LocalFilesMemory.layer({ folders: ["dir"] }),
    ReporterText.layer("")
  ).pipe(Layer.provideMerge(Screen.layerMemory({ written })), Layer.provideMerge(crypto))

describe("names that a server chose", () => {
  const evil = ["\u001b[2J\u001b]0;x\u0007", "a\u202etxt.exe", "b\u200bc", "new\nline", "c\u009b1m"]
  const entries = evil.map((name) => ({ name, size: 1, modified: 0 }) as FileEntry)
  const harmless = /^[\n\u0020-\u007e]*$/

  it.effect("reach neither the listing nor completion unescaped", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      yield* Effect.gen(function* () {
        yield* Sessions.use(({ session }) => session)
        yield* Commands.run({ _tag: "Fetch", pattern: undefined })
        assert.match(written.out, harmless)
        assert.include(written.out, "\\x1b[2J")
        assert.strictEqual(written.out.split("\n").length, evil.length + 1)
        for (const line of ["download ", 'download "', "download '", "fetch "]) {
          const { offers } = yield* complete(line)
          assert.isAbove(offers.length + (line.endsWith("'") ? 1 : 0), 0)
          for (const offer of offers) assert.match(offer, harmless)
        }
      }).pipe(Effect.provide(fake({ fetch: Stream.fromIterable(entries) }, written)))
    })
  )
})

describe("completion", () => {
  const names = ["a b.txt", "ab.txt", "docs/one", "docs/two", "it's"].map(
    (name) => ({ name, size: 1, modified: 0 }) as FileEntry
  )
  const rows: ReadonlyArray<readonly [line: string, typed: string, offers: ReadonlyArray<string>]> = [
    [
      "",
      "",
      [
        "fetch ",
        "upload ",
        "download ",
        "para ",
        "verify ",
        "passwd ",
        "remove ",
        "rename ",
        "cd ",
        "pwd ",
        "lcd ",
        "lpwd ",
        "lls ",
        "help ",
        "exit "
      ]
    ],
    ["do", "do", ["download "]],
    ["download a", "a", ["a\\ b.txt ", "ab.txt "]],
    ['download "a ', '"a ', ['"a b.txt" ']],
    ["download d", "d", ["docs/"]],
    ["download docs/t", "docs/t", ["docs/two "]],
    ["download it", "it", ["it\\'s "]],
    ["download 'it", "'it", []],
    ["download x --to l", "l", ["local\\ file "]],
    ["upload l", "l", ["local\\ file "]],
    ["upload local\\ f", "local\\ f", ["local\\ file "]],
    ["upload x --", "--", ["--as ", "--recursive ", "--dry-run ", "--delete ", "--include ", "--exclude "]],
    ["para x --e", "--e", ["--expect ", "--exclude "]],
    ["fetch --", "--", ["--digest "]],
    ["verify d", "d", ["docs/"]],
    ["verify docs/one l", "l", ["local\\ file "]],
    ["rem", "rem", ["remove "]],
    ["remove docs/o", "docs/o", ["docs/one "]],
    ["rename a\\ b.txt d", "d", ["docs/"]],
    ["rename x y --", "--", ["--replace ", "--expect "]],
    ["remove x --expect d", "d", []],
    ["nonsense a", "a", []]
  ]
  for (const [line, typed, offers] of rows) {
    it.effect(`'${line}'`, () =>
      Effect.gen(function* () {
        yield* place("local file", "x")
        yield* Sessions.use(({ session }) => session)
        assert.deepStrictEqual(yield* complete(line), { typed, offers })
      }).pipe(Effect.provide(fake({ fetch: Stream.fromIterable(names) }, { out: "", err: "" })))
    )
  }

  const placed: ReadonlyArray<readonly [place: string, line: string, typed: string, offers: ReadonlyArray<string>]> = [
    ["", "download /d", "/d", ["/docs/"]],
    ["", "download /docs/t", "/docs/t", ["/docs/two "]],
    ["", "fetch ./a", "./a", ["./a\\ b.txt ", "./ab.txt "]],
    ["", "fetch ../d", "../d", []],
    ["", "cd ..", "..", []],
    ["docs", "download o", "o", ["one "]],
    ["docs", "download /", "/", ["/a\\ b.txt ", "/ab.txt ", "/docs/", "/it\\'s "]],
    ["docs", "download ..", "..", ["../"]],
    ["docs", "cd ../d", "../d", ["../docs/"]],
    ["docs", "download '../a", "'../a", ["'../a b.txt' ", "'../ab.txt' "]],
    ["docs", "fetch ../docs/../docs/o", "../docs/../docs/o", ["../docs/../docs/one "]],
    ["docs", "fetch ../../a", "../../a", []]
  ]
  for (const [place, line, typed, offers] of placed) {
    it.effect(`'${line}' in '/${place}'`, () =>
      Effect.gen(function* () {
        yield* Sessions.use(({ session }) => session)
        assert.deepStrictEqual(yield* complete(line, place), { typed, offers })
      }).pipe(Effect.provide(fake({ fetch: Stream.fromIterable(names) }, { out: "", err: "" })))
    )
  }
})
