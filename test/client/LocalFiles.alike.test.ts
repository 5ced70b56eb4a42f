/**
 * The files in memory do what those of the file system do: the same steps come to the same, whether they succeed or
 * fail.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Result, Schema, Scope, Stream } from "effect"
import {
  type Declared,
  Durability,
  type Facts,
  LocalFiles,
  type LocalFound,
  type LocalSource,
  type LocalStaging,
  type LocalTree,
  type SmallPlaces
} from "../../src/client/LocalFiles.ts"
import type { LocalFileFailed } from "../../src/client/ClientError.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalFilesNode from "../../src/client/LocalFilesNode.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import * as DigestPortable from "../../src/domain/file/DigestPortable.ts"

const longest = "n".repeat(255)
const long = "n".repeat(256)
const wide = "ä".repeat(128)
const common = [
  "a",
  "b",
  "a/a",
  "a/b",
  "b/a",
  "b/b",
  "a/a/a",
  "a/b/a",
  "b/a/b",
  "a-b",
  "a.b/c",
  ".h",
  ".h/x",
  "a/.h",
  "Z"
] as const
const Name = Schema.Literals([...common, ...common, longest, `a/${longest}`, long, `a/${long}`, `${wide}/a`])
const Path = Schema.Literals([
  ...Name.literals,
  "a/",
  "./a",
  "",
  ".",
  "/",
  "a/.",
  "a/b/",
  ".h/",
  "a/..",
  "a/../b",
  "b/../b/a",
  "a/b/..",
  "a/../b/../a",
  "b/.",
  "a//b",
  `${long}/`
])
const content = {
  length: Schema.Literals([0, 3, 200]),
  modified: Schema.Literals([1_000, 5_000]),
  executable: Schema.Boolean,
  isRight: Schema.Literals([true, true, true, false])
}
const Content = Schema.Struct(content)
type Content = (typeof Content)["Type"]

const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literals(["open", "look", "walk", "complete"]), path: Path }),
  Schema.Struct({ do: Schema.Literals(["put", "begin", "settle", "hold"]), path: Path, ...content }),
  Schema.Struct({ do: Schema.Literals(["put", "begin", "settle", "hold"]), name: Name, ...content }),
  Schema.Struct({ do: Schema.tag("placeSmall"), tree: Schema.Boolean, names: Schema.Tuple([Name, Name]), ...content }),
  Schema.Struct({ do: Schema.tag("readSmall"), tree: Schema.Boolean, names: Schema.Tuple([Name, Name]) }),
  Schema.Struct({ do: Schema.Literals(["openBelow", "remove", "remove", "putAndRemove"]), name: Name, ...content }),
  Schema.Struct({ do: Schema.tag("tree"), path: Path, make: Schema.Boolean }),
  Schema.Struct({ do: Schema.Literals(["commit", "giveUp", "ask"]) })
])
type Step = (typeof Step)["Type"]

/** What a run has open, and where it is. */
interface Run {
  readonly root: string
  readonly files: LocalFiles["Service"]
  readonly tree: LocalTree
  readonly digest: Digest["Service"]
  readonly scope: Scope.Scope
  readonly begun: Array<{ readonly staging: LocalStaging; readonly what: Content; readonly scope: Scope.Closeable }>
  readonly held: Array<LocalSource>
  settled: number
}

const bytesOf = ({ length, modified }: Content) => new Uint8Array(length).fill(modified % 251)
const declared = (what: Content): Declared => ({
  size: what.length,
  modified: what.modified,
  ...(what.executable && { executable: true })
})

const commit = ({ digest }: Run, staging: LocalStaging, what: Content) =>
  Effect.gen(function* () {
    if (what.length > 0) yield* staging.write([bytesOf(what)])
    const right = what.isRight ? bytesOf(what) : new Uint8Array([9])
    yield* staging.commit({ size: what.length, digest: digestOf(digest, [right]) })
  })

const factsOf = (source: LocalSource | undefined) =>
  source &&
  Effect.map(Effect.all([source.read(0, 300), source.unchanged]), ([bytes]) => [
    [...bytes],
    source.modified,
    source.executable
  ])

const found = (one: LocalFound) =>
  one._tag === "File"
    ? [one.name, one.size, one.modified, one.executable]
    : // What it is called is a layer's own.
      one._tag === "Temporary"
      ? "temporary"
      : [one._tag, one.name, one._tag === "Failed" ? one.error.code : one.kind]

/** The order of temporary files is that of their names. */
const walked = ({ files }: Run, path: string) =>
  Effect.map(Stream.runCollect(files.walk(path, () => true)), (all) => [
    ...all.map(found).filter((one) => one !== "temporary"),
    all.filter(({ _tag }) => _tag === "Temporary").length
  ])

const placed = ({ digest }: Run, places: SmallPlaces, paths: ReadonlyArray<string>, what: Content) =>
  Effect.map(
    places.placeSmall(
      paths.map((path, index) => ({
        path,
        ...declared(what),
        parts: [bytesOf(what)],
        digest: digestOf(digest, [what.isRight || index > 0 ? bytesOf(what) : new Uint8Array([9])])
      }))
    ),
    (all) => all.map((one) => (Result.isFailure(one) ? toldOf(one.failure) : "placed"))
  )

const placeOf = ({ files, root, tree }: Run, step: { readonly path: string } | { readonly name: string }) => {
  if ("name" in step) return tree.place(step.name)
  const path = `${root}/${step.path}`
  return {
    open: files.open(path),
    stage: (what: Declared) => files.stage(path, what),
    settle: (facts: Facts) => files.settle(path, facts)
  }
}

const begin = (run: Run, what: Content, stage: Effect.Effect<LocalStaging, LocalFileFailed, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(run.scope)
    run.begun.push({ scope, what, staging: yield* Scope.provide(stage, scope) })
  })

const act = (run: Run, step: Step): Effect.Effect<unknown, LocalFileFailed, Scope.Scope> | undefined => {
  const { files, root, tree } = run
  switch (step.do) {
    case "open":
      return Effect.flatMap(files.open(`${root}/${step.path}`), (source) => factsOf(source) ?? Effect.undefined)
    case "look":
      return Effect.map(files.look(`${root}/${step.path}`), (one) => (one?.kind === "file" ? one : one?.kind))
    case "walk":
      return walked(run, `${root}/${step.path}`)
    case "complete":
      return files.complete(`${root}/${step.path}`)
    case "put":
      return Effect.flatMap(placeOf(run, step).stage(declared(step)), (staging) => commit(run, staging, step))
    case "begin":
      return begin(run, step, placeOf(run, step).stage(declared(step)))
    case "settle":
      // A change that leaves all as it was shows only once the clock of the file system has gone on.
      return placeOf(run, step).settle({ ...declared(step), modified: 10_000 + (run.settled += 1) })
    case "hold":
      return Effect.map(Scope.provide(placeOf(run, step).open, run.scope), (one) => void (one && run.held.push(one)))
    case "placeSmall":
      return placed(run, step.tree ? tree : files, pathsOf(run, step), step)
    case "readSmall":
      return Effect.map((step.tree ? tree : files).readSmall(pathsOf(run, step), 100), (all) =>
        all.map((one) => one && [one.modified, one.executable, [...one.content]])
      )
    case "openBelow":
      return Effect.flatMap(tree.place(step.name).open, (source) => factsOf(source) ?? Effect.undefined)
    case "remove":
      return tree.remove(step.name)
    case "putAndRemove":
      return Effect.flatMap(tree.place(step.name).stage(declared(step)), (staging) => commit(run, staging, step)).pipe(
        Effect.scoped,
        Effect.andThen(tree.remove(step.name))
      )
    case "tree":
      return Effect.asVoid(files.tree(`${root}/${step.path}`, step.make))
    default:
      return goOn(run, step.do)
  }
}

const pathsOf = ({ root }: Run, step: { readonly tree: boolean; readonly names: ReadonlyArray<string> }) =>
  step.names.map((name) => (step.tree ? name : `${root}/${name}`))

/** With what is open. */
const goOn = (run: Run, what: "commit" | "giveUp" | "ask") => {
  if (what === "ask") {
    const ask = ({ isAnother, unchanged }: LocalSource) =>
      Effect.all([Effect.isSuccess(unchanged), isAnother ?? Effect.undefined])
    return Effect.forEach(run.held, ask)
  }
  const begun = run.begun.shift()
  if (begun === undefined) return undefined
  const end = Scope.close(begun.scope, Exit.void)
  return what === "giveUp" ? end : Effect.ensuring(commit(run, begun.staging, begun.what), end)
}

const toldOf = ({ code, operation, path }: LocalFileFailed) => [operation, code, path]
const matched = { onFailure: (error: LocalFileFailed): unknown => toldOf(error), onSuccess: (value: unknown) => value }

/** What each step came to in an empty folder, and what stands there at the end. */
const outcomes = Effect.fnUntraced(function* (root: string, steps: ReadonlyArray<Step>) {
  const files = yield* LocalFiles
  const scope = yield* Scope.Scope
  const tree = yield* files.tree(root, true)
  const run: Run = { root, files, tree, scope, digest: yield* Digest, begun: [], held: [], settled: 0 }
  const all: Array<unknown> = []
  for (const step of steps) {
    const acted = act(run, step)
    if (acted !== undefined) all.push([step.do, yield* Effect.scoped(Effect.match(acted, matched))])
  }
  all.push(yield* walked(run, root))
  // The folder's own path is another in each.
  return JSON.stringify(all).replaceAll(root, "ROOT")
})

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const core = Layer.mergeAll(DigestPortable.layer, NodeCrypto.layerSecureRandom)
const real = LocalFilesNode.layer.pipe(Layer.provideMerge(core))
const memory = LocalFilesMemory.layer().pipe(Layer.provideMerge(core))

describe("the local files in memory", () => {
  it.live.prop(
    "do what those of the file system do",
    [Schema.Array(Step).check(Schema.isMinLength(10), Schema.isMaxLength(40))],
    ([steps]) =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const there = yield* outcomes(folder, steps).pipe(Effect.scoped, Effect.provide(real))
        const here = yield* outcomes("/r", steps).pipe(Effect.scoped, Effect.provide(memory))
        assert.deepStrictEqual(JSON.parse(here), JSON.parse(there))
      }).pipe(Effect.scoped, Effect.provideService(Durability, "os")),
    { arbitrary: { runs: 120 } }
  )

  it.live("take the folder above one that is there, and no other", () =>
    Effect.gen(function* () {
      const files = yield* LocalFiles
      yield* files.tree("/r/a", true)
      const staging = yield* files.stage("/r/a/../b", { size: 0, modified: 1 })
      yield* staging.commit({ size: 0, digest: digestOf(yield* Digest, []) })
      const look = (path: string) => Effect.map(files.look(path), (found) => found?.kind)
      const paths = ["/r/b", "/r/a/../b", "/r/a/..", "/../r/b", "/r/none/../b", "/r/b/../b"]
      const kinds = ["file", "file", "folder", "file", undefined, undefined]
      assert.deepStrictEqual(yield* Effect.forEach(paths, look), kinds)
      assert.deepStrictEqual(yield* files.complete("/r/none/../"), [])
    }).pipe(Effect.scoped, Effect.provide(memory))
  )

  it.live("place and find the files of a large tree without looking at all of it for each", () =>
    Effect.gen(function* () {
      const files = yield* LocalFiles
      const digest = yield* Digest
      const tree = yield* files.tree("/r", true)
      const all = yield* LocalFilesMemory.MemoryFiles
      const keys = all.keys.bind(all)
      let looks = 0
      all.keys = () => ((looks += 1), keys())
      const count = 200
      for (let index = 0; index < count; index += 1) {
        const staging = yield* Effect.scoped(tree.place(`${index % 100}/${index}/a`).stage({ size: 0, modified: 1 }))
        yield* staging.commit({ size: 0, digest: digestOf(digest, []) })
      }
      const found = yield* Stream.runCollect(files.walk("/r", () => true))
      assert.deepStrictEqual([found.length, looks], [count, 0])
    }).pipe(Effect.provide(memory))
  )
})
