/**
 * Whole folders over a whole server, in memory.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as nodePath from "node:path"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { ConnectionLost, LocalFileFailed, LoginIncorrect, RequestRefused } from "../../src/client/ClientError.ts"
import type { ClientSession, OnUnlisted } from "../../src/client/ClientSession.ts"
import { type LocalFound, LocalFiles } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalFilesNode from "../../src/client/LocalFilesNode.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import type { Reporter } from "../../src/client/Reporter.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import type { TreeOptions } from "../../src/client/Trees.ts"
import * as TreeSelection from "../../src/client/TreeSelection.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  filesAheadMax,
  bundleFilesMax,
  bundleFirstFilesMax,
  bundlesAheadMax,
  deltaBytesMin,
  failuresToldMax,
  unlistedNamesMax,
  unnamedFoldersMax,
  listingNamesMax
} from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { FileStore, type Unnamed } from "../../src/domain/store/FileStore.ts"
import { QuotaExceeded } from "../../src/domain/store/StoreError.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"

const text = (content: string) => new TextEncoder().encode(content)

/** Names to contents, at both ends. A time goes with each content: equal contents have equal times. */
type Files = Readonly<Record<string, string>>

const modifiedOf = (content: string) => 1000 * (content.length + 1 + (content.codePointAt(0) ?? 0))

interface WorldOptions {
  /** local folders that hold nothing */
  readonly folders?: ReadonlyArray<string>
  /** what the server has and its listing leaves out, as it does with what it may not look into */
  readonly hidden?: (name: string) => boolean
  /** of that: what it says it leaves out */
  readonly closed?: ReadonlyArray<string>
  /** what its listing leaves out because no name can mean it */
  readonly unnamed?: ReadonlyArray<Unnamed>
  /** runs before each login, told what was written until then */
  readonly asks?: (written: () => string) => Effect.Effect<void, LoginIncorrect>
  /** whether the server's quota is used up */
  readonly full?: boolean
  /** what stands between the commands and each session */
  readonly through?: (session: ClientSession) => ClientSession
  /** who tells; a script's without it */
  readonly reporter?: Layer.Layer<Reporter, never, Screen>
}

const beyondQuota = (name: FileName) => new QuotaExceeded({ name, limit: "files", quota: 9, used: 9, more: 1 })

const world = (
  server: Files,
  {
    asks = () => Effect.void,
    closed = [],
    folders = [],
    full = false,
    hidden = () => false,
    unnamed = [],
    reporter = ReporterJson.layer(""),
    through = (session) => session
  }: WorldOptions = {}
) => {
  const written = { out: "", err: "" }
  /** the keys that listings were narrowed by, or `all` */
  const listings: Array<string> = []
  const files = Object.entries(server).map(([name, content]) => {
    return { name: FileName.make(name), content: text(content), modified: modifiedOf(content) }
  })
  const store = Layer.effect(
    FileStore,
    Effect.map(FileStore, (all) => {
      const list: typeof all.list = (where = {}) => {
        listings.push(where.alike === undefined ? "all" : Array.from(where.alike).join())
        const { onUnlisted = () => Effect.void, onUnnamed = () => Effect.void } = where
        const told = Effect.forEach(closed, (name) => onUnlisted(FileName.make(name)), { discard: true })
        const alsoTold = Effect.forEach(unnamed, onUnnamed, { discard: true })
        const shown = Stream.filter(all.list(where), ({ name }) => !hidden(name))
        return Stream.unwrap(Effect.as(Effect.andThen(told, alsoTold), shown))
      }
      const placing: Partial<typeof all> = {
        stage: ({ name }) => Effect.fail(beyondQuota(name)),
        placeAll: (files) => Effect.succeed(files.map(({ name }) => Result.fail(beyondQuota(name))))
      }
      return { ...all, list, ...(full && placing) }
    })
  ).pipe(Layer.provide(FileStoreMemory.layer({ files })))
  const network = Server.layer.pipe(
    Layer.provideMerge([MemorySocket.layer, Fixture.accounts, store]),
    Layer.provideMerge(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  )
  const sessions = Layer.unwrap(
    Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
      Sessions.layer(
        Effect.andThen(
          asks(() => written.out + written.err),
          Effect.map(Client.connect({ server: "memory", dial, ...Fixture.ada }), through)
        )
      )
    )
  )
  const layer = Layer.mergeAll(sessions, LocalFilesMemory.layer({ folders }), reporter).pipe(
    Layer.provideMerge([Screen.layerMemory({ written }), network])
  )
  /** What was told since the last time, each event as its fields, without figures that depend on time. */
  const told = () => {
    const events = written.out.split("\n").filter((line) => line !== "")
    written.out = written.err = ""
    return events.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  /** What a person was told of what stays; before `told`. */
  const notes = () => written.err.split("\n").filter((line) => /^nothing is removed|^\d+ kept|^kept at/.test(line))
  /** Lines for a person; before `told`. */
  const lines = () => written.err.split("\n").filter((line) => line !== "")
  const clear = () => void (written.out = written.err = "")
  return { layer, told, notes, lines, clear, listings }
}

const here = (files: Files) =>
  Effect.map(LocalFilesMemory.MemoryFiles, (all) => {
    all.clear()
    for (const [path, content] of Object.entries(files)) {
      all.set(path, { bytes: text(content), modified: modifiedOf(content) })
    }
  })

const locally = Effect.map(LocalFilesMemory.MemoryFiles, (all) =>
  Object.fromEntries([...all].map(([path, { bytes }]) => [path, new TextDecoder().decode(bytes)]).toSorted())
)

/** All that the server has. */
const there = Effect.gen(function* () {
  const session = yield* (yield* Sessions).session
  const listed = yield* Stream.runCollect(session.fetch)
  const contents = yield* Effect.forEach(listed, ({ name }) =>
    Effect.gen(function* () {
      const got: Array<Uint8Array> = []
      const receiver = {
        write: (parts: ReadonlyArray<Uint8Array>) =>
          Effect.sync(() => void got.push(...parts.map((part) => part.slice()))),
        commit: () => Effect.void
      }
      yield* session.download(name, () => Effect.succeed(receiver))
      return [name, got.map((part) => new TextDecoder().decode(part)).join("")] as const
    })
  )
  return Object.fromEntries(contents.toSorted())
})

const tree: TreeOptions = { dryRun: false, remove: false, checksum: false, include: [], exclude: [] }
const upload = (files: ReadonlyArray<string>, more: Partial<TreeOptions> = {}, as?: string) =>
  Commands.run({ _tag: "Upload", files, as, tree: { ...tree, ...more } })
const para = (files: ReadonlyArray<string>, more: Partial<TreeOptions> = {}, as?: string) =>
  Commands.run({ _tag: "Para", files, as, tree: { ...tree, ...more } })
const download = (names: ReadonlyArray<string>, more: Partial<TreeOptions> = {}, to?: string) =>
  Commands.run({ _tag: "Download", names, to, tree: { ...tree, ...more } })

/** The events of one kind, and what they are about. */
const about = (events: ReadonlyArray<Record<string, unknown>>, kind: string) =>
  events.filter(({ event }) => event === kind).map(({ name, path }) => name ?? path)

const summary = (events: ReadonlyArray<Record<string, unknown>>) => {
  const { equal, failed, files, removed } = events.find(({ event }) => event === "summary") ?? {}
  return { files, equal, removed, failed }
}

describe("a file of the server that is called as what is left of a download", () => {
  const left = `t/.b.2000000-1000.${"a".repeat(24)}.part`
  const { layer, told } = world({ [left]: "1", "t/b": "2" })
  it.effect("is refused, in a dry run as well: it would be taken for that, and go", () =>
    Effect.gen(function* () {
      for (const dryRun of [true, false]) {
        yield* here({ keep: "x" })
        assert.isFalse(yield* download(["t"], { dryRun }, "here"))
        const failed = told().filter(({ event }) => event === "failed")
        assert.deepStrictEqual(
          failed.map(({ error, name }) => [error, name]),
          [["LocalFileFailed", left]]
        )
        assert.deepStrictEqual(yield* locally, { keep: "x", ...(!dryRun && { "here/t/b": "2" }) })
      }
    }).pipe(Effect.provide(layer))
  )
})

describe("upload -r", () => {
  const { layer, told } = world({ old: "server's" }, { folders: ["photos/none"] })
  it.effect("keeps the path below the named folder, behind its name; /. means what is in it; --as is a folder", () =>
    Effect.gen(function* () {
      yield* here({ "photos/a": "1", "photos/sub/b": "2", "photos/notes.txt": "3", "up/deep/c": "4", single: "5" })
      assert.isTrue(yield* upload(["photos"]))
      const events = told()
      assert.deepStrictEqual(about(events, "left-out"), ["photos/none"])
      assert.deepStrictEqual(summary(events), { files: 3, equal: 0, removed: 0, failed: 0 })
      assert.isTrue(yield* upload(["photos/", "single", "photos", "single"], { exclude: ["*.txt"] }, "x/y/"))
      assert.isTrue(yield* upload(["up/deep/.", "up/deep/."], {}, "z"))
      assert.isTrue(yield* upload(["./up/d*"], {}))
      assert.deepStrictEqual(yield* there, {
        "deep/c": "4",
        old: "server's",
        "photos/a": "1",
        "photos/notes.txt": "3",
        "photos/sub/b": "2",
        "x/y/photos/a": "1",
        "x/y/photos/sub/b": "2",
        "x/y/single": "5",
        "z/c": "4"
      })
    }).pipe(Effect.provide(layer))
  )

  const written = world({})
  it.effect("a folder that is named in several ways is one, and its content is another", () =>
    Effect.gen(function* () {
      yield* here({ "photos/a": "1", "x/photos/b": "2" })
      assert.isTrue(yield* upload(["photos", "./photos", "photos//", "././photos/"]))
      assert.deepStrictEqual(summary(written.told()), { files: 1, equal: 0, removed: 0, failed: 0 })
      assert.isTrue(yield* upload(["./x", "x/.", "x"]))
      assert.deepStrictEqual(about(written.told(), "uploaded").toSorted(), ["photos/b", "x/photos/b"])
    }).pipe(Effect.provide(written.layer))
  )

  const other = world({ "photos/CASE": "server's", keep: "server's" })
  it.effect("what cannot be is told with its rule before anything is sent, what the server has is refused by it", () =>
    Effect.gen(function* () {
      yield* here({ "photos/a": "1", "photos/b\\c": "2", "photos/case": "3", "photos/x": "4", "photos/X": "5" })
      assert.isFalse(yield* upload(["photos", "nothing"]))
      const events = other.told()
      assert.deepStrictEqual(
        events.filter(({ event }) => event !== "progress").map(({ error, event }) => error ?? event),
        ["SourceMissing", "NamesCollide", "NameRefused", "NamesCollide", "uploaded", "RequestRefused", "summary"]
      )
      assert.include(events.find(({ error }) => error === "RequestRefused")?.["message"], "'photos/CASE'")
      assert.deepStrictEqual(about(events, "uploaded"), ["photos/a"])
      assert.deepStrictEqual(summary(events), { files: 1, equal: 0, removed: 0, failed: 5 })
      assert.isFalse(yield* upload(["photos"], {}, "../x"))
      assert.deepStrictEqual(about(other.told(), "failed"), [undefined])
    }).pipe(Effect.provide(other.layer))
  )
})

describe("upload -r of what the server has in another spelling", () => {
  const many = Array.from(
    { length: bundleFirstFilesMax + bundlesAheadMax * bundleFilesMax },
    (_, index) => `p/f${index}`
  )
  const { layer, listings, told } = world({ "P/a": "1", other: "1", x: "1" })
  it.effect("finds out when the first is refused, asks once, and sends no more of it", () =>
    Effect.gen(function* () {
      yield* here({ ...Object.fromEntries(many.map((name) => [name, name])), "q/b": "2" })
      assert.isFalse(yield* upload(["p", "q"]))
      const events = told()
      assert.deepStrictEqual(about(events, "uploaded"), ["q/b"])
      assert.deepStrictEqual(summary(events), { files: 1, equal: 0, removed: 0, failed: many.length })
      const errors = events.filter(({ event }) => event === "failed").map(({ error }) => error)
      const before = errors.filter((error) => error === "NamesCollide").length
      assert.strictEqual(errors.filter((error) => error === "RequestRefused").length, many.length - before)
      assert.isAtLeast(before, bundleFilesMax)
      assert.deepStrictEqual(listings, ["p,q"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("and says of a file in the place of a folder what it is", () =>
    Effect.gen(function* () {
      yield* here({ "x/b": "2" })
      assert.isFalse(yield* upload(["x"]))
      const failed = told().find(({ event }) => event === "failed")
      assert.strictEqual(
        failed?.["message"],
        "'x/b' is no file on the server, and cannot be one: " +
          "there is a file in the place of a folder of that path; use another name"
      )
    }).pipe(Effect.provide(layer))
  )
})

describe("download -r of what comes with the listing", () => {
  const { layer, told } = world({ "up/a": "x".repeat(5_000), "up/b": "y".repeat(3_000) })
  it.effect("says what it has received", () =>
    Effect.gen(function* () {
      yield* here({})
      for (const to of ["got", "again"]) {
        assert.isTrue(yield* download(["up"], {}, to))
        const { received } = told().find(({ event }) => event === "summary") ?? {}
        assert.isTrue(typeof received === "number" && received > 8_000 && received < 9_000, String(received))
      }
      assert.deepStrictEqual(Object.keys(yield* locally), ["again/up/a", "again/up/b", "got/up/a", "got/up/b"])
    }).pipe(Effect.provide(layer))
  )
})

describe("para -r of what is equal", () => {
  const files = { "t/a": "one", "t/b": "two" }
  const { layer, told } = world(files)
  it.effect("counts what comparing took from the login on", () =>
    Effect.gen(function* () {
      yield* here(files)
      for (const checksum of [false, true]) {
        assert.isTrue(yield* para(["t"], { checksum }))
        const { equal, received, sent } = told().find(({ event }) => event === "summary") ?? {}
        assert.strictEqual(equal, 2)
        assert.isAbove(Number(sent), "t".length)
        assert.isAbove(Number(received), "t/at/b".length)
      }
    }).pipe(Effect.provide(layer))
  )
})

describe("what the server is asked for", () => {
  const { layer, listings } = world({ "far/away": "1", "up/a": "1" }, { folders: ["bare"] })
  const many = Array.from({ length: listingNamesMax + 1 }, (_, index) => `m${index}`)
  it.effect("is narrowed to what may be in the way, and is everything where that is not known", () =>
    Effect.gen(function* () {
      yield* here({ "Up/a": "1", "x/y/Sub/b": "2", ...Object.fromEntries(many.map((name) => [`${name}/f`, name])) })
      const asked = <A, E, R>(command: Effect.Effect<A, E, R>) => Effect.map(command, () => listings.splice(0))
      assert.deepStrictEqual(yield* asked(upload(["x/y/Sub", "Up"])), [])
      assert.deepStrictEqual(yield* asked(upload(["bare"])), ["bare"], "only an answer proves the session")
      assert.deepStrictEqual(yield* asked(upload(["x/y/Sub", "Up"], { dryRun: true })), ["sub,up"])
      assert.deepStrictEqual(yield* asked(upload(["x/y/Sub"], { remove: true })), ["sub"])
      assert.deepStrictEqual(yield* asked(para(["x/y"], {}, "To/here")), ["to"])
      assert.deepStrictEqual(yield* asked(upload(["x/y/."], { dryRun: true })), ["all"])
      assert.deepStrictEqual(yield* asked(upload(["x/*"], { dryRun: true })), ["all"])
      assert.deepStrictEqual(yield* asked(upload(many, { dryRun: true })), ["all"])
      assert.deepStrictEqual(yield* asked(upload(many.slice(1), { dryRun: true })), [many.slice(1).join()])
      assert.deepStrictEqual(yield* asked(download(["up", "far/away"], {}, "got")), ["up,far"])
      assert.deepStrictEqual(yield* asked(download(many, {}, "got")), ["all"])
      assert.deepStrictEqual(yield* asked(download(["f*"], {}, "got")), ["all"])
      assert.deepStrictEqual(yield* asked(download(["."], {}, "got")), ["all"])
      assert.isFalse(yield* upload(["nothing"]))
      assert.deepStrictEqual(listings, [])
    }).pipe(Effect.provide(layer))
  )
})

describe("a person who is asked for a password", () => {
  const seen: Array<string> = []
  const asks = (written: () => string) =>
    Effect.sync(() => void seen.push(written())).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 200 }))
  const { layer, told } = world({}, { asks, folders: ["up/bare"] })
  it.effect("is told nothing of the folders until it is answered", () =>
    Effect.gen(function* () {
      yield* here({ "up/a": "1" })
      assert.isTrue(yield* upload(["up"]))
      assert.deepStrictEqual(new Set(seen), new Set([""]))
      assert.deepInclude(told()[0], { event: "left-out", path: "up/bare" })
    }).pipe(Effect.provide(layer))
  )
})

describe("a person who gives no password", () => {
  const asks = () => Effect.fail(new LoginIncorrect({ user: "ada", attemptsLeft: 0 }))
  const { layer, told } = world({}, { asks, folders: ["up/bare"] })
  it.effect("is told nothing of the folders either: the command is over", () =>
    Effect.gen(function* () {
      yield* here({ "up/a": "1" })
      assert.strictEqual((yield* Effect.flip(upload(["up"])))._tag, "LoginIncorrect")
      assert.deepStrictEqual(told(), [])
    }).pipe(Effect.provide(layer))
  )
})

describe("many files that fail for one reason", () => {
  const files = Object.fromEntries(Array.from({ length: failuresToldMax + 3 }, (_, index) => [`up/${index}`, "1"]))
  const person = world({}, { full: true, reporter: ReporterText.layer("") })
  const some = world({}, { full: true, reporter: ReporterText.layer("") })
  const script = world({}, { full: true })

  it.effect("are told a person one by one only at first, and then how many more there are", () =>
    Effect.gen(function* () {
      yield* here(files)
      assert.isFalse(yield* upload(["up"]))
      const lines = person.lines()
      assert.lengthOf(lines, failuresToldMax + 1)
      assert.isTrue(lines.slice(0, -1).every((line) => line.includes("your quota on the server")))
      assert.strictEqual(lines.at(-1), "3 more failed for the same reason (quota-exceeded)")
    }).pipe(Effect.provide(person.layer))
  )

  it.effect("are each told when there are no more than that", () =>
    Effect.gen(function* () {
      yield* here(Object.fromEntries(Object.entries(files).slice(3)))
      assert.isFalse(yield* upload(["up"]))
      assert.lengthOf(some.lines(), failuresToldMax)
    }).pipe(Effect.provide(some.layer))
  )

  it.effect("are told a script each", () =>
    Effect.gen(function* () {
      yield* here(files)
      assert.isFalse(yield* upload(["up"]))
      const failed = script.told().filter(({ event }) => event === "failed")
      assert.deepStrictEqual(failed.map(({ name }) => name).toSorted(), Object.keys(files).toSorted())
    }).pipe(Effect.provide(script.layer))
  )

  const spelt = world(
    { "up/A": "1", "up/B": "1", "up/C": "1", "up/D": "1", "up/E": "1", "up/F": "1" },
    { reporter: ReporterText.layer("") }
  )
  it.effect("are told so also where they are known before anything is sent", () =>
    Effect.gen(function* () {
      yield* here({ "up/a": "1", "up/b": "1", "up/c": "1", "up/d": "1", "up/e": "1", "up/f": "1" })
      assert.isFalse(yield* upload(["up"]))
      assert.lengthOf(spelt.lines(), failuresToldMax + 1)
      assert.strictEqual(spelt.lines().at(-1), "1 more failed for the same reason (name-collision)")
    }).pipe(Effect.provide(spelt.layer))
  )
})

describe("para -r", () => {
  const large = (seed: string) => seed + "x".repeat(deltaBytesMin)
  const server = { "t/same": "1", "t/less": "2", "t/big": large("a"), "t/gone": "3", "other/gone": "4", "t/log": "5" }
  const local = { "t/same": "1", "t/less": "22", "t/big": large("b"), "t/new": "6", "t/log": "55" }

  const dry = world(server)
  it.effect("a dry run tells all of it and does none of it", () =>
    Effect.gen(function* () {
      yield* here(local)
      assert.isTrue(yield* para(["t"], { dryRun: true, remove: true, exclude: ["log"] }))
      assert.deepStrictEqual(
        dry.told().map(({ action, event, name, ...rest }) => (event === "plan" ? rest : [action, name])),
        [
          ["change", "t/big"],
          ["change", "t/less"],
          ["add", "t/new"],
          ["remove", "t/gone"],
          { command: "para", add: 1, change: 2, remove: 1, equal: 1, failed: 0, size: deltaBytesMin + 4 }
        ]
      )
      assert.deepStrictEqual(yield* there, Object.fromEntries(Object.entries(server).toSorted()))
      assert.isTrue(yield* download(["t"], { dryRun: true, remove: true }, "new"))
      assert.strictEqual(dry.told().length, 6)
      assert.deepStrictEqual(Object.keys(yield* locally), Object.keys(local).toSorted())
    }).pipe(Effect.provide(dry.layer))
  )

  const sync = world(server)
  it.effect("sends what differs, as a delta where that pays, and removes below the folder alone when asked", () =>
    Effect.gen(function* () {
      yield* here(local)
      assert.isTrue(yield* para(["t"], { exclude: ["log"] }))
      const events = sync.told()
      assert.deepStrictEqual(about(events, "uploaded").toSorted(), ["t/less", "t/new"])
      assert.deepStrictEqual(about(events, "parallelized"), ["t/big"])
      assert.deepStrictEqual(summary(events), { files: 4, equal: 1, removed: 0, failed: 0 })
      assert.isTrue(yield* para(["t"], { exclude: ["log"], remove: true }))
      const again = sync.told()
      assert.deepStrictEqual(about(again, "removed"), ["t/gone"])
      assert.deepStrictEqual(summary(again), { files: 4, equal: 4, removed: 1, failed: 0 })
      const { "t/log": _, ...rest } = local
      assert.deepStrictEqual(
        yield* there,
        Object.fromEntries(Object.entries({ ...rest, "other/gone": "4", "t/log": "5" }).toSorted())
      )
    }).pipe(Effect.provide(sync.layer))
  )

  const touched = world({ "t/big": large("a"), "t/small": "1" })
  it.effect("a file of which only the time is another is settled at once, and equal from then on", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("t/big", { bytes: text(large("a")), modified: 99_000 })
      files.set("t/small", { bytes: text("1"), modified: 98_000 })
      assert.isTrue(yield* para(["t"]))
      assert.deepStrictEqual(summary(touched.told()), { files: 2, equal: 0, removed: 0, failed: 0 })
      assert.isTrue(yield* para(["t"]))
      assert.deepStrictEqual(summary(touched.told()), { files: 2, equal: 2, removed: 0, failed: 0 })
      // The other way round as well.
      files.set("t/big", { bytes: text(large("a")), modified: 1000 })
      assert.isTrue(yield* download(["t"]))
      assert.strictEqual(files.get("t/big")?.modified, 99_000)
      assert.deepStrictEqual(summary(touched.told()), { files: 2, equal: 2, removed: 0, failed: 0 })
    }).pipe(Effect.provide(touched.layer))
  )

  const tools = world({ "t/big": large("a") })
  it.effect("whether a file may be run goes along both ways, also when nothing else has changed", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      const bit = (path: string) => files.get(path)?.executable
      files.set("t/big", { bytes: text(large("a")), modified: modifiedOf(large("a")), executable: true })
      files.set("t/run", { bytes: text("1"), modified: 1000, executable: true })
      files.set("t/plain", { bytes: text("2"), modified: 1000 })
      assert.isTrue(yield* para(["t"]))
      assert.deepStrictEqual(summary(tools.told()), { files: 3, equal: 0, removed: 0, failed: 0 })
      assert.isTrue(yield* download(["t"], {}, "copy"))
      assert.deepStrictEqual(["copy/t/big", "copy/t/run", "copy/t/plain"].map(bit), [true, true, undefined])
      tools.told()
      assert.isTrue(yield* para(["t"]))
      assert.deepStrictEqual(summary(tools.told()), { files: 3, equal: 3, removed: 0, failed: 0 })
      files.set("t/big", { bytes: text(large("a")), modified: modifiedOf(large("a")) })
      assert.isTrue(yield* download(["t"]))
      assert.strictEqual(bit("t/big"), true)
      files.set("t/big", { bytes: text(large("a")), modified: modifiedOf(large("a")) })
      assert.isTrue(yield* para(["t"]))
      assert.isTrue(yield* download(["t"], {}, "copy"))
      assert.strictEqual(bit("copy/t/big"), undefined)
    }).pipe(Effect.provide(tools.layer))
  )

  const fooled = world({ "t/a": "one", "t/b": "two", "t/c": "six" })
  it.effect("equal size and time are believed, unless --checksum asks for digests, which believes no time", () =>
    Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("t/a", { bytes: text("ONE"), modified: modifiedOf("one") })
      files.set("t/b", { bytes: text("two"), modified: 1 })
      files.set("t/c", { bytes: text("six"), modified: modifiedOf("six") })
      assert.isTrue(yield* para(["t/a", "t/c"]))
      assert.deepStrictEqual(summary(fooled.told()), { files: 2, equal: 0, removed: 0, failed: 0 })
      assert.isTrue(yield* para(["t"], { checksum: true, dryRun: true }))
      assert.deepStrictEqual(about(fooled.told(), "planned"), ["t/a"])
      assert.isTrue(yield* download(["t"], { checksum: true }))
      assert.deepStrictEqual(about(fooled.told(), "downloaded"), ["t/a"])
      assert.deepStrictEqual(yield* locally, { "t/a": "one", "t/b": "two", "t/c": "six" })
    }).pipe(Effect.provide(fooled.layer))
  )

  const names = Array.from({ length: filesAheadMax + 1 }, (_, index) => `t/${index}`)
  const many = Object.fromEntries(names.map((name) => [name, name]))
  const heavy = "l".repeat(4 * names.join("").length)
  const differs = { ...many, "t/7": "T/7" }
  const emptied = Object.fromEntries([0, ...names].map((name) => [`t/heavy/${name}`, ""]))
  const wholes = [
    ["are asked for in one listing", {}, 2],
    ["are asked for one by one where others in the listing are larger", { "t/heavy": heavy }, 1],
    ["are asked for one by one where others in the listing are more", emptied, 1],
    ["are asked for in one listing also with a larger one among them", { "t/0": heavy }, 2]
  ] as const
  for (const [how, more, listings] of wholes) {
    const checked = world({ ...many, ...more })
    it.effect(`the digests of many files ${how}`, () =>
      Effect.gen(function* () {
        yield* here({ ...differs, ...("t/0" in more && more) })
        assert.isTrue(yield* para(["t"], { checksum: true, dryRun: true }))
        assert.deepStrictEqual(about(checked.told(), "planned"), ["t/7"])
        assert.strictEqual(checked.listings.splice(0).length, listings)
        assert.isTrue(yield* download(["t"], { checksum: true, exclude: ["heavy"] }))
        assert.deepStrictEqual(about(checked.told(), "downloaded"), ["t/7"])
        assert.strictEqual(checked.listings.length, listings)
        assert.strictEqual((yield* locally)["t/7"], "t/7")
      }).pipe(Effect.provide(checked.layer))
    )
  }

  const together = world(many)
  it.effect("many small files are compared by their digests, and none of them is opened by itself", () =>
    Effect.gen(function* () {
      yield* here(differs)
      const files = yield* LocalFiles
      const opened: Array<string> = []
      const watched = LocalFiles.of({
        ...files,
        tree: (folder, make) =>
          Effect.map(files.tree(folder, make), (tree) => ({
            ...tree,
            place: (name) => {
              const { among, key, leftover, open, path, settle, stage } = tree.place(name)
              const told = Effect.andThen(
                Effect.sync(() => void opened.push(name)),
                open
              )
              return { among, key, leftover, open: told, path, settle, stage }
            }
          }))
      })
      const comparing = para(["t"], { checksum: true, dryRun: true })
      assert.isTrue(yield* Effect.provideService(comparing, LocalFiles, watched))
      assert.deepStrictEqual(about(together.told(), "planned"), ["t/7"])
      assert.deepStrictEqual(opened, [])
    }).pipe(Effect.provide(together.layer))
  )

  const unreadable = world({ "t/gone": "1", "t/x/a": "2" })
  it.effect("when a folder cannot be read nothing is removed, the rest is sent, and the command has failed", () =>
    Effect.gen(function* () {
      yield* here({ "t/b": "3", "t/x/a": "2" })
      const files = yield* LocalFiles
      const error = new LocalFileFailed({ path: "t/x", operation: "read", code: "EACCES" })
      const blind = LocalFiles.of({
        ...files,
        walk: (folder, enter) =>
          Stream.map(files.walk(folder, enter), (found) =>
            found.name === "x/a" ? { _tag: "Failed", name: "x", error } : found
          )
      })
      assert.isFalse(yield* Effect.provideService(para(["t"], { remove: true }), LocalFiles, blind))
      const events = unreadable.told()
      assert.deepStrictEqual(about(events, "uploaded"), ["t/b"])
      assert.deepStrictEqual(summary(events), { files: 1, equal: 0, removed: 0, failed: 1 })
      assert.deepStrictEqual(Object.keys(yield* there), ["t/b", "t/gone", "t/x/a"])
    }).pipe(Effect.provide(unreadable.layer))
  )

  const linked = world({ "t/link/a": "1", "t/gone": "3" })
  it.effect("what stands in the place of a link here is left alone there", () =>
    Effect.gen(function* () {
      yield* here({ "t/b": "3" })
      const files = yield* LocalFiles
      const withLink = LocalFiles.of({
        ...files,
        walk: (folder, enter) =>
          Stream.concat(
            files.walk(folder, enter),
            Stream.make({ _tag: "LeftOut", name: "link", kind: "link" } as const)
          )
      })
      assert.isTrue(yield* Effect.provideService(para(["t"], { remove: true }), LocalFiles, withLink))
      assert.deepStrictEqual(about(linked.told(), "removed"), ["t/gone"])
      assert.deepStrictEqual(Object.keys(yield* there), ["t/b", "t/link/a"])
    }).pipe(Effect.provide(linked.layer))
  )

  const updated = world({ "t/big": large("a"), "t/a": "1" })
  it.effect("a file that goes at the server between the listing and its update is sent whole", () =>
    Effect.gen(function* () {
      yield* here({ "t/big": large("b"), "t/a": "1" })
      const store = yield* FileStore
      const files = yield* LocalFiles
      const gone = Effect.ignore(store.remove({ name: FileName.make("t/big") }))
      const thief = LocalFiles.of({
        ...files,
        tree: (folder, made) =>
          Effect.map(files.tree(folder, made), (all) => ({
            ...all,
            place: (name) => {
              const place = all.place(name)
              return { ...place, open: Effect.andThen(gone, place.open) }
            }
          }))
      })
      assert.isTrue(yield* Effect.provideService(para(["t"]), LocalFiles, thief))
      assert.deepStrictEqual(about(updated.told(), "uploaded"), ["t/big"])
      assert.deepStrictEqual(yield* there, { "t/a": "1", "t/big": large("b") })
    }).pipe(Effect.provide(updated.layer))
  )

  const vanishing = world({})
  it.effect("a file that goes between the look and the sending is told, and the rest goes on", () =>
    Effect.gen(function* () {
      yield* here({ "t/a": "1", "t/b": "2", "t/c": "3" })
      const files = yield* LocalFiles
      const memory = yield* LocalFilesMemory.MemoryFiles
      const thief = LocalFiles.of({
        ...files,
        walk: (folder, enter) =>
          Stream.concat(files.walk(folder, enter), Stream.fromEffectDrain(Effect.sync(() => memory.delete("t/b"))))
      })
      assert.isFalse(yield* Effect.provideService(para(["t"]), LocalFiles, thief))
      const events = vanishing.told()
      assert.deepStrictEqual(about(events, "failed"), ["t/b"])
      assert.deepStrictEqual(Object.keys(yield* there), ["t/a", "t/c"])
    }).pipe(Effect.provide(vanishing.layer))
  )
})

describe("download -r", () => {
  const server = { "p/a": "1", "p/s/b": "2", "p/log": "3", single: "4", "q.txt": "5", "q/r.txt": "6" }
  const { layer, told } = world(server)
  it.effect("writes below the destination, skips what is here, and removes there alone when asked", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/extra": "x", "to/mine": "y", "to/p/log": "z" })
      assert.isTrue(yield* download(["p/", "single"], { exclude: ["log"] }, "to"))
      assert.deepStrictEqual(about(told(), "downloaded").toSorted(), ["p/a", "p/s/b", "single"])
      assert.isTrue(yield* download(["p"], { exclude: ["log"], remove: true }, "to"))
      const events = told()
      assert.deepStrictEqual(
        events.filter(({ event }) => event === "removed"),
        [{ event: "removed", name: "to/p/extra", here: true }]
      )
      assert.deepStrictEqual(summary(events), { files: 2, equal: 2, removed: 1, failed: 0 })
      assert.deepStrictEqual(yield* locally, {
        "to/mine": "y",
        "to/p/a": "1",
        "to/p/log": "z",
        "to/p/s/b": "2",
        "to/single": "4"
      })
    }).pipe(Effect.provide(layer))
  )

  const more = world(server)
  it.effect("/. is what is in a folder, . is everything, and what fits a pattern keeps its name", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* download(["p/s/."], {}, "one"))
      assert.isTrue(yield* download(["*.txt"], {}, "two"))
      assert.isTrue(yield* download(["."], { include: ["*.txt", "/single"] }, "three"))
      assert.isFalse(yield* download(["none", "*.none"], {}, "four"))
      assert.deepStrictEqual(about(more.told(), "failed"), ["none", "*.none"])
      assert.deepStrictEqual(yield* locally, {
        "one/b": "2",
        "three/q.txt": "5",
        "three/q/r.txt": "6",
        "three/single": "4",
        "two/q.txt": "5",
        "two/q/r.txt": "6"
      })
    }).pipe(Effect.provide(more.layer))
  )
})

describe("download -r over what no file can replace", () => {
  const names = ["empty", "full", "links", "link/a", "file/b", "fifo", "pipe/in", "null", "fine", "s/x/y/deep"]
  const { layer, told } = world(Object.fromEntries(names.map((name) => [`t/${name}`, "1"])))
  const hopeless = ["empty", "fifo", "file/b", "full", "link/a", "links", "null", "pipe/in", "s/x/y/deep"].map(
    (name) => `t/${name}`
  )
  const onDisk = LocalFilesNode.layer.pipe(Layer.provide(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom)))
  const folder = Effect.acquireRelease(
    Effect.sync(() => fs.realpathSync(fs.mkdtempSync(nodePath.join(tmpdir(), "paradrop-")))),
    (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
  )
  const fill = (at: string) => {
    for (const path of ["t/empty", "t/full/other", "t/links", "t/s"]) {
      fs.mkdirSync(nodePath.join(at, path), { recursive: true })
    }
    for (const path of ["t/full/other/f", "t/links/gone", "t/file", "t/extra", "here"]) {
      fs.writeFileSync(nodePath.join(at, path), "2")
    }
    fs.symlinkSync("/tmp", nodePath.join(at, "t/links/link"))
    for (const path of ["t/link", "t/s/x"]) fs.symlinkSync("/tmp", nodePath.join(at, path))
    fs.symlinkSync("/dev/null", nodePath.join(at, "t/null"))
    fs.symlinkSync("fine", nodePath.join(at, "t/fine"))
    execFileSync("mkfifo", [nodePath.join(at, "t/fifo"), nodePath.join(at, "t/pipe")])
  }

  for (const more of [{}, { remove: true, exclude: ["full/", "/file"] }]) {
    it.effect(`a dry run fails where the real one does: ${JSON.stringify(more)}`, () =>
      Effect.gen(function* () {
        const at = yield* folder
        fill(at)
        const expected = hopeless.filter((name) => !("exclude" in more) || name !== "t/file/b")
        for (const dryRun of [true, false]) {
          assert.isFalse(yield* download(["t"], { ...more, dryRun }, at))
          const events = told()
          assert.deepStrictEqual(about(events, "failed").toSorted(), expected)
          assert.deepStrictEqual(about(events, dryRun ? "planned" : "downloaded"), ["t/fine"])
        }
        assert.isTrue(fs.existsSync(nodePath.join(at, "t/links/gone")), "nothing went for a file that cannot come")
        fs.renameSync(nodePath.join(at, "t"), nodePath.join(at, "elsewhere"))
        fs.symlinkSync("elsewhere", nodePath.join(at, "t"))
        for (const dryRun of [true, false]) {
          assert.isFalse(yield* download(["t"], { dryRun, include: ["s/**"] }, at))
          assert.deepStrictEqual(about(told(), "failed"), ["t/s/x/y/deep"])
          assert.isFalse(yield* download(["t"], { dryRun }, nodePath.join(at, "here")))
          assert.deepStrictEqual(about(told(), "failed"), [undefined])
        }
      }).pipe(Effect.scoped, Effect.provide(onDisk), Effect.provide(layer))
    )
  }

  const linked = world({ "t/fine": "1" })
  for (const dryRun of [true, false]) {
    it.effect(`nothing goes where the folder itself is a link here, which is told: a dry run ${dryRun}`, () =>
      Effect.gen(function* () {
        const at = yield* folder
        fs.mkdirSync(nodePath.join(at, "elsewhere"))
        yield* download(["t/."], {}, nodePath.join(at, "elsewhere"))
        for (const name of ["extra", "other"]) fs.writeFileSync(nodePath.join(at, "elsewhere", name), "2")
        fs.symlinkSync("elsewhere", nodePath.join(at, "t"))
        linked.clear()
        assert.isTrue(yield* download(["t"], { remove: true, dryRun }, at))
        const extra = nodePath.join(at, "t/extra")
        assert.deepStrictEqual(linked.notes(), [
          `2 kept behind a link, through which nothing is removed: ${extra}, ...`
        ])
        assert.deepInclude(linked.told().at(-1), dryRun ? { remove: 0, equal: 1 } : { removed: 0, equal: 1 })
        assert.isTrue(fs.existsSync(extra))
      }).pipe(Effect.scoped, Effect.provide(onDisk), Effect.provide(linked.layer))
    )
  }
})

describe("what a listing lacks", () => {
  const files = { "p/a": "1", "p/s/b": "2", "q/c": "3", top: "4" }
  const hidden = (name: string) => name.startsWith("p/s/")
  const some = world(files, { hidden, closed: ["p/s"] })
  it.effect("is told where it may hold what was asked for, which has failed then", () =>
    Effect.gen(function* () {
      const rows: ReadonlyArray<
        readonly [good: boolean, run: Effect.Effect<boolean, unknown, Effect.Services<ReturnType<typeof download>>>]
      > = [
        [false, download(["."], {}, "1")],
        [false, download(["p"], {}, "2")],
        [false, download(["p/s"], {}, "3")],
        [false, download(["p/s/b"], {}, "4")],
        [false, download(["p/*/b"], {}, "5")],
        [false, download(["b*"], {}, "6")],
        [true, download(["q"], {}, "7")],
        [true, download(["q/*"], {}, "8")],
        [false, Commands.run({ _tag: "Fetch", pattern: undefined })],
        [false, Commands.run({ _tag: "Fetch", pattern: "p" })],
        [false, Commands.run({ _tag: "Fetch", pattern: "*.txt" })],
        [true, Commands.run({ _tag: "Fetch", pattern: "q/*" })],
        [false, Commands.run({ _tag: "Download", names: ["p/**"], to: undefined })],
        [true, Commands.run({ _tag: "Download", names: ["q/*"], to: undefined })]
      ]
      for (const [index, [good, run]] of rows.entries()) {
        assert.strictEqual(yield* run, good, `${index}`)
        const failed = some.told().filter(({ event }) => event === "failed")
        const told = failed.map(({ error, name }) => [error, name])
        assert.deepStrictEqual(told, good ? [] : [["NotListed", "p/s"]], `${index}`)
      }
    }).pipe(Effect.provide(some.layer))
  )

  it.effect("keeps local files, as all that was not read whole does", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/s/b": "2", "to/p/gone": "3" })
      assert.isFalse(yield* download(["p"], { remove: true }, "to"))
      assert.deepStrictEqual(some.notes(), [notWhole])
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/p/a", "to/p/gone", "to/p/s/b"])
      some.told()
    }).pipe(Effect.provide(some.layer))
  )

  const odd = world({ "x/a[1]/v": "1" }, { closed: ["x/a[1]/closed"] })
  it.effect("is told of a folder whose name looks like a pattern, and not of one that is excluded", () =>
    Effect.gen(function* () {
      for (const [index, names] of [["x/a[1]"], ["x"], ["."], ["x/a[1]/."]].entries()) {
        assert.isFalse(yield* download(names, {}, `${index}`))
        assert.deepStrictEqual(about(odd.told(), "failed"), ["x/a[1]/closed"])
      }
      for (const [names, exclude] of [
        [["x/a[1]"], ["closed"]],
        [["x/a[1]"], ["/closed"]],
        [["x"], ["/a*/closed/"]],
        [["."], ["/x/a*/closed"]],
        [["."], ["clos*"]]
      ] as const) {
        assert.isTrue(yield* download(names, { exclude, remove: true }, "with"), `${exclude}`)
        assert.deepStrictEqual(about(odd.told(), "failed"), [])
      }
      assert.isFalse(yield* download(["x/a[1]"], { exclude: ["/x"], remove: true }, "with"))
    }).pipe(Effect.provide(odd.layer))
  )

  const many = Array.from({ length: unlistedNamesMax + 7 }, (_, index) => `p/${index}`)
  const plenty = world(files, { hidden, closed: many, reporter: ReporterText.layer("") })
  it.effect("is told in few lines, however much it is", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* download(["p"], {}, "x"))
      const lines = plenty.lines()
      assert.strictEqual(lines.filter((line) => line.includes("may not look into 'p/")).length, failuresToldMax)
      assert.include(lines, `${unlistedNamesMax - failuresToldMax} more failed for the same reason (not-listed)`)
      assert.include(lines, "7 more that the server may not look into")
      plenty.clear()
    }).pipe(Effect.provide(plenty.layer))
  )

  it.effect("so much that not all of it is named may hold anything that is asked for", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* Commands.run({ _tag: "Fetch", pattern: "z/*" }))
      assert.deepStrictEqual(plenty.lines(), ["7 more that the server may not look into"])
      plenty.clear()
      assert.isFalse(yield* download(["z"], {}, "y"))
      assert.deepStrictEqual(plenty.lines(), ["7 more that the server may not look into"])
    }).pipe(Effect.provide(plenty.layer))
  )

  const each = world(files, { hidden, closed: many })
  it.effect("is told to a script one by one, as far as there are names, and counted", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* download(["p"], {}, "x"))
      const events = each.told()
      assert.deepStrictEqual(about(events, "failed"), many.slice(0, unlistedNamesMax))
      assert.deepStrictEqual(summary(events), { files: 1, equal: 0, removed: 0, failed: many.length })
    }).pipe(Effect.provide(each.layer))
  )
})

describe("what no name can mean", () => {
  const inFolder = (folder: string, part: string, kind: "file" | "folder" = "file") => {
    return { folder: folder === "" ? undefined : FileName.make(folder), part, kind }
  }
  const files = { "p/a": "1", "p/s/b": "2", "q/c": "3", top: "4" }
  const some = world(files, { unnamed: [inFolder("p/s", "x\\y.md"), inFolder("p/t", "dir ", "folder")] })
  it.effect("is told where it may be what was asked for, which has failed then, and nowhere else", () =>
    Effect.gen(function* () {
      const [md, dir] = ["p/s", "p/t"]
      const fetch = (pattern: string | undefined) => Commands.run({ _tag: "Fetch", pattern })
      const rows: ReadonlyArray<
        readonly [
          told: ReadonlyArray<string>,
          Effect.Effect<boolean, unknown, Effect.Services<ReturnType<typeof download>>>
        ]
      > = [
        [[md, dir], download(["."], {}, "1")],
        [[md, dir], download(["p"], {}, "2")],
        [[md], download(["p/s"], {}, "3")],
        [[], download(["p/s/b"], {}, "4")],
        [[], download(["q"], {}, "5")],
        [[md, dir], download(["*.md"], {}, "6")],
        [[dir], download(["p"], { exclude: ["*.md"] }, "7")],
        [[md], download(["p"], { exclude: ["dir*"] }, "8")],
        [[], download(["p"], { exclude: ["/s/", "/t"] }, "9")],
        [[md, dir], fetch(undefined)],
        [[md, dir], fetch("p")],
        [[dir], fetch("q")],
        [[], fetch("q/*")],
        [[md], fetch("p/s/*")],
        [[md], Commands.run({ _tag: "Download", names: ["p/s/*"], to: undefined })]
      ]
      for (const [index, [told, run]] of rows.entries()) {
        assert.strictEqual(yield* run, told.length === 0, `${index}`)
        const failed = some.told().filter(({ event }) => event === "failed")
        assert.deepStrictEqual(
          failed.map(({ error, name }) => [error, name]),
          told.map((folder) => ["NotNameable", folder]),
          `${index}`
        )
      }
    }).pipe(Effect.provide(some.layer))
  )

  it.effect("keeps local files, and stays where a folder here takes the place of the server's, which is told", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/gone": "3" })
      assert.isFalse(yield* download(["p"], { remove: true }, "to"))
      assert.deepStrictEqual(some.notes(), [notWhole])
      some.told()
      yield* here({ "p/a": "1" })
      assert.isTrue(yield* para(["p"], { remove: true, exclude: ["/t"] }))
      assert.deepStrictEqual(some.notes(), [
        "kept at the server: 1 in 'p/s' whose names cannot be sent: 'x\\y.md' (backslash)"
      ])
      assert.deepStrictEqual(about(some.told(), "removed"), ["p/s/b"])
      assert.isTrue(yield* para(["p"], {}))
      assert.deepStrictEqual(some.notes(), [])
    }).pipe(Effect.provide(some.layer))
  )

  const several = world(files, {
    reporter: ReporterText.layer(""),
    unnamed: [...["1.", "2.", "3.", "a."].map((part) => inFolder("p", part)), inFolder("p/s", "d".repeat(3), "folder")]
  })
  it.effect("is told with those first that were asked for, and what is wrong with it as far as can be told", () =>
    Effect.gen(function* () {
      const told = () => {
        const found = several
          .lines()
          .flatMap((line) => /^(?:not listed|kept at the server): ([^;]*)/.exec(line)?.[1] ?? [])
        several.clear()
        return found
      }
      const rule = "(trailing-dot-or-space)"
      const first = `4 in 'p' whose names cannot be sent: 'a.' ${rule}, '1.' ${rule}, '2.' ${rule}, ...`
      assert.isFalse(yield* Commands.run({ _tag: "Fetch", pattern: "p/a*" }))
      assert.deepStrictEqual(told(), [first])
      const deep = "1 in 'p/s' whose names cannot be sent: 'ddd/' (too-long or too-deep)"
      assert.isFalse(yield* download(["p/s"], {}, "x"))
      assert.deepStrictEqual(told(), [deep])
      yield* here({ "p/a": "1" })
      assert.isTrue(yield* para(["p"], { remove: true, exclude: ["[1-3].", "s/"] }))
      assert.deepStrictEqual(told(), [first])
    }).pipe(Effect.provide(several.layer))
  )

  const shut = world(files, { closed: ["p/shut", "q/shut"] })
  it.effect("neither goes what the server may not look into, which is told", () =>
    Effect.gen(function* () {
      yield* here({ "p/a": "1" })
      assert.isTrue(yield* upload(["p"], { remove: true }))
      assert.deepStrictEqual(shut.notes(), ["kept at the server: 1 that it may not look into"])
      shut.clear()
      assert.isTrue(yield* upload(["p"], { remove: true, exclude: ["shut/"] }))
      assert.deepStrictEqual(shut.notes(), [])
    }).pipe(Effect.provide(shut.layer))
  )

  const plenty = world(files, {
    reporter: ReporterText.layer(""),
    unnamed: [
      ...Array.from({ length: 40 }, (_, index) => inFolder("p", `\u001b${index}.`)),
      ...Array.from({ length: unnamedFoldersMax + 1 }, (_, index) => inFolder(`x/${index}`, "a\udfff"))
    ]
  })
  it.effect("is told in few lines, with what is wrong with some, however much it is", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* download(["p"], {}, "x"))
      const names = [0, 1, 2].map((index) => `'\\x1b${index}.' (control-character)`).join(", ")
      const advice = "; the server's administrator can rename them"
      assert.deepStrictEqual(
        plenty.lines().filter((line) => line.startsWith("not listed")),
        [
          `not listed: 40 in 'p' whose names cannot be sent: ${names}, ...${advice}`,
          `not listed: 2 in other folders whose names cannot be sent${advice}`
        ]
      )
      plenty.clear()
      assert.isFalse(yield* Commands.run({ _tag: "Fetch", pattern: undefined }))
      assert.strictEqual(plenty.lines().filter((line) => line.startsWith("not listed")).length, failuresToldMax)
      const more = unnamedFoldersMax + 1 - failuresToldMax
      assert.include(plenty.lines(), `${more} more failed for the same reason (not-nameable)`)
      assert.include(plenty.lines().join("\n"), "'a\ufffd' (ill-formed-unicode)")
      plenty.clear()
      // More than is named may be called anything, in its folder alone.
      assert.isFalse(yield* Commands.run({ _tag: "Fetch", pattern: "p/*.md" }))
      assert.include(plenty.lines()[0], "40 in 'p'")
      assert.isFalse(yield* download(["q"], {}, "y"))
    }).pipe(Effect.provide(plenty.layer))
  )
})

/** Local files of which the walk is another than the memory's. */
const walking = (walk: (found: Stream.Stream<LocalFound>) => Stream.Stream<LocalFound>) =>
  Effect.map(LocalFiles, (files) =>
    LocalFiles.of({ ...files, walk: (folder, enter) => walk(files.walk(folder, enter)) })
  )

describe("a folder's name as a person writes it", () => {
  const written = {
    "": "",
    ".": "",
    "/": "",
    "./.": "",
    ".//.": "",
    "/./": "",
    "./a/b/.//": "a/b",
    "..": "..",
    ".a/b.": ".a/b."
  }
  it("says nothing with . and / around it", () => {
    for (const [text, name] of Object.entries(written)) assert.strictEqual(TreeSelection.folderName(text), name, text)
  })

  it("is read in a moment, however many / are in it", () => {
    const long = `a${"/".repeat(1000)}b`
    assert.strictEqual(TreeSelection.folderName(`./${long}/`), long)
  })
})

const notWhole = "nothing is removed: not all of what was asked for could be read"
const someFailed = "nothing is removed: something of the same command has failed"

describe("--delete, to the server", () => {
  const unfinished = world({ "t/a": "1", "t/.b.part": "2", "t/gone": "3" })
  it.effect("what is called as a download's own here stays there: it is not sent, and not gone", () =>
    Effect.gen(function* () {
      yield* here({ "t/a": "1" })
      const files = yield* walking(Stream.concat(Stream.make<[LocalFound]>({ _tag: "Temporary", name: ".b.part" })))
      assert.isTrue(yield* Effect.provideService(para(["t"], { remove: true }), LocalFiles, files))
      assert.deepStrictEqual(unfinished.notes(), [])
      assert.deepStrictEqual(about(unfinished.told(), "removed"), ["t/gone"])
      assert.deepStrictEqual(Object.keys(yield* there), ["t/.b.part", "t/a"])
    }).pipe(Effect.provide(unfinished.layer))
  )

  const empty = world({ "disk/a": "1", "disk/s/b": "2", "t/gone": "3" }, { folders: ["disk", "bare", "bare/none"] })
  it.effect("an empty folder here, as of a disk that is not mounted, empties nothing there, and is told", () =>
    Effect.gen(function* () {
      yield* here({ "t/x": "1" })
      assert.isTrue(yield* para(["disk", "t"], { remove: true }))
      assert.deepStrictEqual(empty.notes(), ["nothing is removed below disk: it is empty here"])
      assert.deepStrictEqual(about(empty.told(), "removed"), ["t/gone"])
      // Nor as the content of a place there, nor beside another argument that goes there.
      assert.isTrue(yield* para(["disk/."], { remove: true }))
      assert.isTrue(yield* para(["disk", "t/."], { remove: true, dryRun: true }))
      assert.isTrue(yield* para(["bare/."], { remove: true }, "disk"))
      assert.deepStrictEqual(Object.keys(yield* there), ["disk/a", "disk/s/b", "t/x"])
    }).pipe(Effect.provide(empty.layer))
  )

  const hiding = world({ "t/log/a": "1", "t/gone": "2" })
  it.effect("a folder in which a pattern hides everything is not empty", () =>
    Effect.gen(function* () {
      yield* here({ "t/log/a": "1" })
      assert.isTrue(yield* para(["t"], { remove: true, exclude: ["log/"] }))
      assert.deepStrictEqual(hiding.notes(), [])
      assert.deepStrictEqual(about(hiding.told(), "removed"), ["t/gone"])
    }).pipe(Effect.provide(hiding.layer))
  )

  const linked = world({ "t/link/a.md": "1", "t/gone.md": "2" })
  it.effect("what a link here stands for is left alone there, also when no pattern fits the link itself", () =>
    Effect.gen(function* () {
      yield* here({ "t/b.md": "3" })
      const link = { _tag: "LeftOut", name: "link", kind: "link" } as const
      const files = yield* walking((found) => Stream.concat(found, Stream.make(link)))
      const done = para(["t"], { remove: true, include: ["*.md"] })
      assert.isTrue(yield* Effect.provideService(done, LocalFiles, files))
      assert.deepStrictEqual(about(linked.told(), "removed"), ["t/gone.md"])
    }).pipe(Effect.provide(linked.layer))
  )

  const partly = world({ "t/gone": "1" })
  it.effect("nothing goes when a file could not be sent, whether that shows before or on the way", () =>
    Effect.gen(function* () {
      yield* here({ "t/a": "1", "t/b\\c": "2" })
      assert.isFalse(yield* para(["t"], { remove: true, dryRun: true }))
      assert.deepStrictEqual(partly.notes(), [someFailed])
      assert.deepStrictEqual(
        partly.told().map(({ action }) => action),
        [undefined, "add", undefined]
      )
      assert.isFalse(yield* para(["t"], { remove: true }))
      assert.deepStrictEqual(partly.notes(), [someFailed])
      partly.told()
      yield* here({ "t/a": "1", "t/b": "2" })
      const memory = yield* LocalFilesMemory.MemoryFiles
      const thief = yield* walking((found) =>
        Stream.concat(found, Stream.fromEffectDrain(Effect.sync(() => memory.delete("t/b"))))
      )
      assert.isFalse(yield* Effect.provideService(para(["t"], { remove: true }), LocalFiles, thief))
      assert.deepStrictEqual(partly.notes(), [someFailed])
      assert.deepStrictEqual(Object.keys(yield* there), ["t/a", "t/gone"])
    }).pipe(Effect.provide(partly.layer))
  )

  const pattern = world({ "t/gone": "1" })
  it.effect("a folder that could not be read while a pattern was looked for has failed, and nothing goes", () =>
    Effect.gen(function* () {
      yield* here({ "t/b": "1" })
      const error = new LocalFileFailed({ path: "t-secret", operation: "read", code: "EACCES" })
      const files = yield* LocalFiles
      const blind = LocalFiles.of({
        ...files,
        walk: (folder, enter) =>
          folder === "."
            ? Stream.concat(
                files.walk(folder, enter),
                Stream.make({ _tag: "Failed", name: "t-secret", error } as const)
              )
            : files.walk(folder, enter)
      })
      assert.isFalse(yield* Effect.provideService(para(["t*"], { remove: true }), LocalFiles, blind))
      assert.deepStrictEqual(pattern.notes(), [notWhole])
      assert.deepStrictEqual(about(pattern.told(), "failed"), ["t-secret"])
      assert.deepStrictEqual(Object.keys(yield* there), ["t/b", "t/gone"])
    }).pipe(Effect.provide(pattern.layer))
  )
})

describe("--delete, from the server", () => {
  const hidden = world({ "p/a": "1", "p/s/b": "2" }, { hidden: (name) => name.startsWith("p/s/") })
  it.effect("what the server has and does not list stays here, and is told; what it calls gone goes", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/a": "1", "to/p/s/b": "good copy", "to/p/gone": "x", "to/p/c\\d": "y" })
      assert.isTrue(yield* download(["p"], { remove: true }, "to"))
      assert.deepStrictEqual(hidden.notes(), [
        "1 kept whose names no server can have: to/p/c\\d",
        "1 kept that the server does not list and does not call gone: to/p/s/b"
      ])
      assert.deepStrictEqual(about(hidden.told(), "removed"), ["to/p/gone"])
      yield* here({ "to/a": "1", "to/s/b": "good copy", "to/gone": "x" })
      assert.isTrue(yield* download(["p/."], { remove: true, dryRun: true }, "to"))
      assert.deepStrictEqual(
        hidden.told().flatMap(({ action, name }) => (action === "remove" ? [name] : [])),
        ["gone"]
      )
    }).pipe(Effect.provide(hidden.layer))
  )

  const unread = world({ "t/a": "1", "t/b": "2" }, { hidden: (name) => name === "t/b" })
  it.effect("what the server does not list and will not speak of stays here", () =>
    Effect.gen(function* () {
      yield* here({ "got/t/a": "1", "got/t/b": "2" })
      const { change } = yield* Accounts
      yield* change(Fixture.ada.user, (before) => ({ ...before, grant: { rights: ["list"] } }))
      yield* download(["t"], { remove: true }, "got")
      assert.deepStrictEqual(unread.notes(), ["1 kept that the server does not list and does not call gone: got/t/b"])
      assert.deepStrictEqual(Object.keys(yield* locally), ["got/t/a", "got/t/b"])
    }).pipe(Effect.provide(unread.layer))
  )

  let broken = false
  const storeFails = (name: FileName) => new RequestRefused({ name, reason: "store-failed", detail: "" })
  const unsound = world(
    { "t/a": "1" },
    {
      through: (session) => ({
        ...session,
        describe: (name) => (broken && name === "t/gone" ? Effect.fail(storeFails(name)) : session.describe(name))
      })
    }
  )
  it.effect("that the server's disk failed when it was asked is a failure, and nothing goes", () =>
    Effect.gen(function* () {
      yield* here({ "to/t/a": "1", "to/t/gone": "x", "to/t/other": "y" })
      for (const dryRun of [true, false]) {
        broken = true
        assert.isFalse(yield* download(["t"], { remove: true, dryRun }, "to"))
        assert.deepStrictEqual(unsound.notes(), [
          "1 kept that the server does not list and does not call gone: to/t/gone",
          "nothing is removed: something of the same command has failed"
        ])
        assert.deepStrictEqual(about(unsound.told(), "failed"), ["t/gone"])
        assert.deepStrictEqual(Object.keys(yield* locally), ["to/t/a", "to/t/gone", "to/t/other"])
      }
      broken = false
      assert.isTrue(yield* download(["t"], { remove: true }, "to"))
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/t/a"])
    }).pipe(Effect.provide(unsound.layer))
  )

  const blind = world({ "t/a": "1" })
  it.effect("a folder here that cannot be looked at has failed where something of it may have to go", () =>
    Effect.gen(function* () {
      yield* here({ "to/t/a": "1", "to/t/gone": "x" })
      const files = yield* LocalFiles
      const error = new LocalFileFailed({ path: "to/t", operation: "read", code: "EIO" })
      const look: typeof files.look = (path) => (path === "to/t" ? Effect.fail(error) : files.look(path))
      const blinded = Effect.provideService(LocalFiles, LocalFiles.of({ ...files, look }))
      assert.isFalse(yield* blinded(download(["t"], { remove: true }, "to")))
      assert.deepStrictEqual(blind.notes(), [notWhole])
      assert.deepStrictEqual(about(blind.told(), "failed"), ["to/t"])
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/t/a", "to/t/gone"])
      assert.isTrue(yield* blinded(download(["t"], {}, "to")))
    }).pipe(Effect.provide(blind.layer))
  )

  const either = world({ "p/a": "1", "q/b": "2", "q/c": "3" }, { hidden: (name) => name === "q/c" })
  it.effect("of several folders in one what any of them has and does not list stays here", () =>
    Effect.gen(function* () {
      yield* here({ "to/a": "1", "to/b": "2", "to/c": "good copy", "to/gone": "x" })
      assert.isTrue(yield* download(["p/.", "q/."], { remove: true }, "to"))
      assert.deepStrictEqual(either.notes(), ["1 kept that the server does not list and does not call gone: to/c"])
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/a", "to/b", "to/c"])
    }).pipe(Effect.provide(either.layer))
  )

  const twice = world({ "p/a": "1", "p/in": "2" })
  it.effect("what somebody else removes here meanwhile is gone as well", () =>
    Effect.gen(function* () {
      const files = yield* LocalFiles
      const tree: typeof files.tree = (folder, make) =>
        Effect.map(files.tree(folder, make), (all) => ({
          ...all,
          remove: (name) => Effect.andThen(all.remove(name), name.endsWith("mine") ? Effect.void : all.remove(name))
        }))
      yield* here({ "to/p/a": "1", "to/p/gone": "x", "to/p/mine": "y", "to/p/in/the/way": "z" })
      const run = download(["p"], { remove: true }, "to")
      assert.isTrue(yield* Effect.provideService(run, LocalFiles, { ...files, tree }))
      assert.deepStrictEqual(about(twice.told(), "removed"), ["to/p/mine"])
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/p/a", "to/p/in"])
    }).pipe(Effect.provide(twice.layer))
  )

  let meanwhile = () => {}
  const edited = world(
    { "p/a": "1", "p/in": "2" },
    {
      through: (session) => ({
        ...session,
        describe: (name) =>
          Effect.andThen(
            Effect.sync(() => meanwhile()),
            session.describe(name)
          )
      })
    }
  )
  it.effect("what was changed here since it was looked at stays, which has failed, and goes the next time", () =>
    Effect.gen(function* () {
      const memory = yield* LocalFilesMemory.MemoryFiles
      const change = (path: string, content: string) => {
        meanwhile = () => void memory.set(path, { bytes: text(content), modified: modifiedOf(content) })
      }
      yield* here({ "to/p/a": "1", "to/p/in": "2", "to/p/gone": "x", "to/p/mine": "y" })
      for (const [content, isWell] of [
        ["yy", false],
        ["zz", false],
        ["zz", true]
      ] as const) {
        change("to/p/mine", content)
        assert.strictEqual(yield* download(["p"], { remove: true }, "to"), isWell)
        assert.deepStrictEqual(about(edited.told(), "failed"), isWell ? [] : ["p/mine"])
        assert.deepStrictEqual(Object.keys(yield* locally), ["to/p/a", "to/p/in", ...(isWell ? [] : ["to/p/mine"])])
      }
    }).pipe(Effect.provide(edited.layer))
  )

  const none = world({})
  it.effect("a server without any file, and an argument that is empty, remove nothing here", () =>
    Effect.gen(function* () {
      const mine = { "to/a": "1", "to/s/b": "2" }
      yield* here(mine)
      assert.isTrue(yield* download(["."], { remove: true }, "to"))
      assert.deepStrictEqual(none.notes(), ["nothing is removed below .: the server has no file there"])
      none.told()
      assert.isFalse(yield* download([""], { remove: true }, "to"))
      assert.deepStrictEqual(none.notes(), [notWhole])
      assert.deepStrictEqual(
        none.told().map(({ error, event }) => error ?? event),
        ["NameRefused", "summary"]
      )
      assert.deepStrictEqual(yield* locally, mine)
    }).pipe(Effect.provide(none.layer))
  )

  const full = world({ "p/a": "1" })
  it.effect("an empty argument does not mean everything", () =>
    Effect.gen(function* () {
      yield* here({ "to/mine": "1" })
      assert.isFalse(yield* download([""], { remove: true }, "to"))
      assert.deepStrictEqual(yield* locally, { "to/mine": "1" })
    }).pipe(Effect.provide(full.layer))
  )

  const unset = world({ "p/a": "1", "q/b": "2" })
  it.effect("an empty name of the folder to fill does not mean everything either", () =>
    Effect.gen(function* () {
      yield* here({ "p/a": "3", mine: "1" })
      const changes = { remove: true, exclude: [] }
      assert.isFalse(yield* para(["p/."], changes, ""))
      assert.isFalse(yield* upload(["p"], changes, ""))
      assert.isFalse(yield* download(["p/."], changes, ""))
      assert.deepStrictEqual(
        unset.told().map(({ command, error }) => [command, error]),
        [
          ["para", "NameRefused"],
          ["upload", "NameRefused"],
          ["download", "LocalFileFailed"]
        ]
      )
      assert.deepStrictEqual(yield* locally, { "p/a": "3", mine: "1" })
      yield* download(["."], {}, "got")
      assert.deepInclude(yield* locally, { "got/p/a": "1", "got/q/b": "2" })
    }).pipe(Effect.provide(unset.layer))
  )

  const failing = world({ "p/a": "1", "p/dir": "2" })
  it.effect("nothing goes when an argument is not there, or a file did not come", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/a": "1", "to/p/gone": "x" })
      assert.isFalse(yield* download(["p", "none"], { remove: true }, "to"))
      assert.deepStrictEqual(failing.notes(), [notWhole])
      failing.told()
      // What is to be a file is a folder with something in it that a pattern hides.
      yield* here({ "to/p/a": "1", "to/p/gone": "x", "to/p/dir/log": "y" })
      assert.isFalse(yield* download(["p"], { remove: true, exclude: ["log"] }, "to"))
      assert.deepStrictEqual(about(failing.told(), "removed"), [])
      assert.deepStrictEqual(Object.keys(yield* locally), ["to/p/a", "to/p/dir/log", "to/p/gone"])
    }).pipe(Effect.provide(failing.layer))
  )
})

describe("--delete, of two spellings of one name, which some disks keep apart", () => {
  const { layer, notes } = world(
    { "p/a": "1", "p/b": "2" },
    {
      through: (session) => ({
        ...session,
        fetchWith: (where) =>
          Stream.concat(
            session.fetchWith(where),
            Stream.fromEffectDrain(Effect.ignore(session.remove(FileName.make("p/b"))))
          )
      })
    }
  )
  it.effect("takes neither before what moves, and so none when that fails", () =>
    Effect.gen(function* () {
      yield* here({ "to/p/gone": "x", "to/p/Gone": "y" })
      assert.isFalse(yield* download(["p"], { remove: true }, "to"))
      assert.deepStrictEqual(notes(), [someFailed])
      assert.deepStrictEqual(yield* locally, { "to/p/a": "1", "to/p/gone": "x", "to/p/Gone": "y" })
    }).pipe(Effect.provide(layer))
  )
})

describe("any tree", () => {
  const part = Schema.Literals(["a", "b", "é", "x y"])
  const name = Schema.Union([part, Schema.TemplateLiteral([part, "/", part, "-f"])])
  const trees = Schema.Record(name, Schema.Literals(["1", "22", "3".repeat(100)]))
  it.effect.prop(
    "para -r --delete and download -r --delete make the two sides equal, and a second time nothing moves",
    [trees, trees],
    ([mine, theirs]) => {
      const beside = (files: Files) =>
        Object.fromEntries(
          Object.entries(files).filter(([path]) => !Object.keys(files).some((one) => one.startsWith(`${path}/`)))
        )
      const below = (files: Files) =>
        Object.fromEntries(
          Object.entries(beside(files))
            .map(([path, one]) => [`t/${path}`, one])
            .toSorted()
        )
      const { layer, told } = world({ ...below(theirs), out: "side" })
      return Effect.gen(function* () {
        yield* here({ ...below(mine), out: "here" })
        const isThere = Object.keys(mine).length > 0
        if (!isThere) return
        assert.isTrue(yield* para(["t"], { remove: true }))
        assert.deepStrictEqual(yield* there, { out: "side", ...below(mine) })
        told()
        assert.isTrue(yield* para(["t"], { remove: true }))
        const again = told()
        assert.deepStrictEqual([about(again, "uploaded"), about(again, "removed")], [[], []])
        yield* here({ ...below(theirs), out: "here" })
        assert.isTrue(yield* download(["t"], { remove: true }))
        assert.deepStrictEqual(yield* locally, { out: "here", ...below(mine) })
        told()
        assert.isTrue(yield* download(["t"], { remove: true }))
        const last = told()
        assert.deepStrictEqual([about(last, "downloaded"), about(last, "removed")], [[], []])
      }).pipe(Effect.provide(layer))
    },
    { arbitrary: { runs: 20 } }
  )
})

describe("a connection that is lost while the server is asked", () => {
  const lost = new ConnectionLost({ reason: "truncated" })
  type Asking = "describe" | "digests" | "fetchToGet" | "fetchWith"
  /** Loses the first session at the first question of that kind. */
  const losing = (asking: Asking) => {
    let losses = 0
    return (session: ClientSession): ClientSession => {
      let over = false
      const loses = (which: Asking) => {
        if (which !== asking || losses > 0) return false
        losses += 1
        return (over = true)
      }
      const failed = Effect.fail(lost)
      // The next listing lacks nothing.
      const lacking = (tell?: OnUnlisted) => tell?.({ count: 1, names: [], unnamed: [] }) ?? Effect.void
      return {
        ...session,
        ended: () => over || session.ended(),
        describe: (name) => Effect.suspend(() => (loses("describe") ? failed : session.describe(name))),
        fetchToGet: (names, onUnlisted) =>
          Effect.suspend(() =>
            loses("fetchToGet") ? Effect.andThen(lacking(onUnlisted), failed) : session.fetchToGet(names, onUnlisted)
          ),
        fetchWith: (options) =>
          Stream.suspend(() => {
            if (!loses(options.digests === true ? "digests" : "fetchWith")) return session.fetchWith(options)
            const cut = Stream.fromEffectDrain(Effect.andThen(lacking(options.onUnlisted), failed))
            return Stream.concat(Stream.take(session.fetchWith(options), 1), cut)
          })
      }
    }
  }
  const many = Object.fromEntries(Array.from({ length: filesAheadMax + 1 }, (_, index) => [`d/${index}`, `${index}`]))
  const others = Object.fromEntries(Object.keys(many).map((name) => [name, many[name]?.replace(/./g, "x") ?? ""]))
  const three = { "d/a": "1", "d/b": "2", "d/c": "3" }
  for (const [what, asking, server, local, command] of [
    ["what is to be got", "fetchToGet", three, {}, download(["d"])],
    ["what there is", "fetchWith", three, { "d/a": "1" }, download(["d"])],
    [
      "what fits a pattern",
      "fetchWith",
      { a: "1", b: "2" },
      {},
      Commands.run({ _tag: "Download", names: ["*"], to: "." })
    ],
    ["many digests", "digests", many, others, download(["d"], { checksum: true })],
    ["a digest", "describe", three, { "d/a": "x" }, download(["d"], { checksum: true })],
    ["what is gone", "describe", { "d/a": "1" }, { "d/a": "1", "d/b": "2" }, download(["d"], { remove: true })]
  ] as const) {
    const { layer, lines } = world(server, { through: losing(asking), reporter: ReporterText.layer("") })
    it.effect(`for ${what} is made again, and the question asked again`, () =>
      Effect.gen(function* () {
        yield* here(local)
        assert.isTrue(yield* Effect.provideService(command, Reconnect.Persistence, true))
        assert.deepStrictEqual(yield* locally, server)
        const again = lines().slice(0, 2)
        assert.deepStrictEqual(again, [
          "the connection was lost (truncated): connecting again",
          "connected again: going on"
        ])
      }).pipe(Effect.provide(layer))
    )
  }
})
