/**
 * The store in memory does what the one on a disk does: the same steps come to the same, whether they succeed or fail.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Result, Scheduler, Schema, Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { type FileEntry, mayRun } from "../../../src/domain/file/FileEntry.ts"
import { FileName, segmentKey } from "../../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../../src/domain/limits.ts"
import {
  FileStore,
  type OpenFile,
  type Outcomes,
  type SmallContent,
  type StageRequest,
  type Staging,
  type Where
} from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import type { StoreError } from "../../../src/domain/store/StoreError.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"

const names = ["a", "b", "b/a", "b/b", "b/a/a", "A", "B/a", "b/A", "b/A/a", "b/a/A", "a/a", "n".repeat(255)] as const
const Name = Schema.Literals([...names, "a", "a", "b", "b", "b/a", "b/a"])
const Names = Schema.Array(Name).check(Schema.isMaxLength(4))
const Small = Schema.Literals([0, 1, 5, 5, 100])
const Size = Schema.Literals([...Small.literals, resumeBytesMin, resumeBytesMin + 7, 2 * resumeBytesMin])
const Seldom = Schema.Literals([false, false, false, true])
/** Which of the versions that were seen, the newest first. */
const Version = Schema.Literals(["any", "any", 0, 1])
const Key = Schema.Literals(["none", "none", "0".repeat(32), "1".repeat(32)])
const Target = Schema.Literals(["any", "any", "any", "absent", "present"])
const content = { executable: Schema.Boolean, isWrong: Seldom, target: Target }
const save = (size: typeof Size | typeof Small) =>
  Schema.Struct({ do: Schema.tag("save"), name: Name, version: Version, size, ...content })
const Remove = Schema.Struct({ do: Schema.tag("remove"), name: Name, version: Version })
const Look = Schema.Struct({ do: Schema.Literals(["stat", "open"]), name: Name })
const Rename = Schema.Struct({
  do: Schema.tag("rename"),
  name: Name,
  to: Name,
  replace: Schema.Boolean,
  version: Version
})
const placeAll = (names: Schema.Codec<ReadonlyArray<string>>) =>
  Schema.Struct({ do: Schema.tag("placeAll"), names, size: Small, ...content })
const Stage = Schema.Struct({ do: Schema.tag("stage"), name: Name, resume: Key, size: Size, ...content })

const Step = Schema.Union([
  Look,
  save(Size),
  save(Size),
  Stage,
  Stage,
  Remove,
  Rename,
  placeAll(Names),
  Schema.Struct({ do: Schema.tag("write"), length: Size }),
  Schema.Struct({ do: Schema.tag("copy"), offset: Size, length: Size }),
  Schema.Struct({ do: Schema.tag("commit"), version: Version, isWrong: Seldom, isOther: Seldom }),
  Schema.Struct({ do: Schema.Literals(["fill", "fillAndCommit", "drop", "release", "other"]) }),
  Schema.Struct({ do: Schema.Literals(["read", "unchanged", "close"]) }),
  Schema.Struct({ do: Schema.tag("list"), folder: Schema.Literals(["", "a", "b", "B", "b/a"]), alike: Name }),
  Schema.Struct({ do: Schema.tag("readAll"), names: Names, bytesMax: Size })
])
type Step = (typeof Step)["Type"]

/** What changes one name, or looks at it. */
const Single = Schema.Union([
  Look,
  save(Small),
  save(Small),
  Remove,
  Rename,
  Rename,
  placeAll(Schema.Array(Name).check(Schema.isMaxLength(1)))
])

/** Content on its way, and what was sent of it. */
interface Begun {
  readonly staging: Staging
  readonly scope: Scope.Closeable
  readonly size: number
  readonly sent: Array<Uint8Array>
}

interface Opened {
  readonly file: OpenFile
  readonly scope: Scope.Closeable
}

/** What a run has open; the first of each is the one that the steps are about. */
interface Run {
  readonly store: FileStore["Service"]
  readonly digest: Digest["Service"]
  readonly scope: Scope.Scope
  readonly begun: Array<Begun>
  readonly open: Array<Opened>
  readonly versions: Array<string>
  /** what was sent for each key */
  readonly left: Map<string, Array<Uint8Array>>
  written: number
}

const newRun = Effect.gen(function* () {
  const run: Run = {
    store: yield* FileStore,
    digest: yield* Digest,
    scope: yield* Scope.Scope,
    begun: [],
    open: [],
    versions: [],
    left: new Map(),
    written: 0
  }
  return run
})

const named = (name: string): FileName => FileName.make(name)
const modified = 5_000

/** Other bytes each time, the same in both. */
const nextBytes = (run: Run, length: number): Uint8Array => new Uint8Array(length).fill((run.written += 1))

const versioned = <const K extends "replaces" | "version">(run: Run, key: K, which: "any" | 0 | 1) => {
  const seen = which === "any" ? undefined : run.versions.at(-1 - which)
  return seen === undefined ? {} : { [key]: seen }
}

/** The digest is there where the store knows it without a look. */
const shown = ({ executable, modified, name, size }: FileEntry) => [name, size, modified, executable]
const shownContent = ({ content, entry }: SmallContent) => [shown(entry), content && [content.length, content.at(-1)]]

/** What a disk calls its work is its own. */
const told = (error: StoreError) =>
  error._tag === "StoreFailed" || error._tag === "NoAccess"
    ? [error._tag, error.code]
    : { ...error, message: undefined }
const matched = { onFailure: (error: StoreError): unknown => told(error), onSuccess: (value: unknown) => value }

const each = <A>(all: Outcomes<A>, show: (one: A) => unknown) =>
  all.map((one) => (Result.isSuccess(one) ? show(one.success) : told(one.failure)))

const targetOf = ({ target }: { readonly target: (typeof Target)["Type"] }) => (target === "any" ? undefined : target)

const requestOf = (step: Extract<Step, { do: "save" | "stage" }>): StageRequest => {
  const target = targetOf(step)
  return { name: named(step.name), size: step.size, modified, ...mayRun(step.executable), ...(target && { target }) }
}

const digestFor = ({ digest }: Run, parts: ReadonlyArray<Uint8Array>, isWrong: boolean) =>
  digestOf(digest, isWrong ? [new Uint8Array([255])] : parts)

const open = Effect.fnUntraced(function* (run: Run, name: string) {
  const scope = yield* Scope.fork(run.scope)
  const file = yield* Scope.provide(run.store.open(named(name)), scope)
  run.versions.push(file.version)
  run.open.unshift({ file, scope })
  return shown(file.entry)
})

const stage = Effect.fnUntraced(function* (run: Run, step: Extract<Step, { do: "stage" }>) {
  const { resume, size } = step
  const scope = yield* Scope.fork(run.scope)
  const keyed = resume === "none" ? {} : { resume }
  const staging = yield* Scope.provide(run.store.stage({ ...requestOf(step), ...keyed }), scope)
  const sent = [Bytes.concat(run.left.get(resume) ?? []).subarray(0, staging.resumed)]
  if (resume !== "none") run.left.set(resume, sent)
  run.begun.unshift({ staging, scope, size, sent })
  return staging.resumed
})

const saved = Effect.fnUntraced(function* (run: Run, step: Extract<Step, { do: "save" }>) {
  const { isWrong, size, version } = step
  const parts = [nextBytes(run, size)]
  const staging = yield* run.store.stage(requestOf(step))
  yield* staging.write(parts)
  const expected = { size, digest: digestFor(run, parts, isWrong), ...versioned(run, "replaces", version) }
  return shown(yield* staging.commit(expected))
}, Effect.scoped)

const send = (run: Run, { sent, staging }: Begun, length: number) => {
  const bytes = nextBytes(run, length)
  return Effect.tap(staging.write([bytes]), () => Effect.sync(() => void sent.push(bytes)))
}

const fill = (run: Run, begun: Begun) => send(run, begun, Math.max(0, begun.size - Bytes.lengthOf(begun.sent)))

/** A range that is there: of another the stores may have taken a part. */
const copy = Effect.fnUntraced(function* ({ sent, staging }: Begun, { file }: Opened, offset: number, length: number) {
  const bytes = yield* file.read(offset, length)
  if (bytes.length < length) return
  yield* staging.copy(file, offset, length)
  sent.push(bytes)
})

const right = { isOther: false, isWrong: false, version: "any" } as const
type Committing = Omit<Extract<Step, { do: "commit" }>, "do"> | typeof right

const commit = (run: Run, { scope, sent, size, staging }: Begun, { isOther, isWrong, version }: Committing) =>
  Effect.suspend(() => {
    run.begun.shift()
    const digest = digestFor(run, sent, isWrong)
    const expected = { size: size + (isOther ? 1 : 0), digest, ...versioned(run, "replaces", version) }
    return Effect.ensuring(Effect.map(staging.commit(expected), shown), Scope.close(scope, Exit.void))
  })

/** With content on its way. */
const goOn = (run: Run, begun: Begun, step: Step): Effect.Effect<unknown, StoreError> | undefined => {
  const [opened] = run.open
  switch (step.do) {
    case "write":
      return send(run, begun, step.length)
    case "copy":
      return opened && copy(begun, opened, step.offset, step.length)
    case "fill":
      return fill(run, begun)
    case "fillAndCommit":
      return Effect.andThen(fill(run, begun), commit(run, begun, right))
    case "commit":
      return commit(run, begun, step)
    case "drop":
      return begun.staging.drop
    case "release":
      run.begun.shift()
      return Scope.close(begun.scope, Exit.void)
    default:
      return undefined
  }
}

/** With a file that is open. */
const lookOn = (run: Run, { file, scope }: Opened, step: Step): Effect.Effect<unknown, StoreError> | undefined => {
  switch (step.do) {
    case "read":
      return Effect.map(file.read(1, 1000), (bytes) => [bytes.length, bytes.at(-1)])
    case "unchanged":
      return file.unchanged
    case "close":
      run.open.shift()
      return Scope.close(scope, Exit.void)
    default:
      return undefined
  }
}

const act = (run: Run, step: Step): Effect.Effect<unknown, StoreError> | undefined => {
  const { store } = run
  switch (step.do) {
    case "stat":
      return Effect.map(store.stat(named(step.name)), shown)
    case "open":
      return open(run, step.name)
    case "save":
      return saved(run, step)
    case "stage":
      return stage(run, step)
    case "remove":
      return Effect.map(store.remove({ name: named(step.name), ...versioned(run, "version", step.version) }), shown)
    case "rename": {
      const { name, replace, to, version } = step
      const request = { name: named(name), to: named(to), replace, ...versioned(run, "version", version) }
      const renamed = store.rename(request)
      return Effect.map(renamed, ({ entry, from, replaced }) => [from, shown(entry), replaced && shown(replaced)])
    }
    case "list":
      return listed(store, {
        ...(step.folder !== "" && { folder: named(step.folder) }),
        alike: new Set([segmentKey(step.alike)])
      })
    case "placeAll": {
      const files = step.names.map((name, index) => {
        const parts = [nextBytes(run, step.size)]
        const digest = digestFor(run, parts, step.isWrong && index === 0)
        return { name: named(name), modified, ...mayRun(step.executable), parts, digest }
      })
      return Effect.map(SmallFiles.placeAll(store, files, targetOf(step)), (all) => each(all, shown))
    }
    case "readAll":
      return readAll(store, step.names.map(named), step.bytesMax)
    case "other":
      run.begun.push(...run.begun.splice(0, 1))
      run.open.push(...run.open.splice(0, 1))
      return undefined
    default: {
      const [begun] = run.begun
      const [opened] = run.open
      return (begun && goOn(run, begun, step)) ?? (opened && lookOn(run, opened, step))
    }
  }
}

const listed = (store: FileStore["Service"], where: Where = {}) =>
  Effect.map(Stream.runCollect(store.list(where)), (all) => all.map((entry) => JSON.stringify(shown(entry))).toSorted())

const readAll = (store: FileStore["Service"], names: ReadonlyArray<FileName>, bytesMax: number) =>
  Effect.map(SmallFiles.readAll(store, names, bytesMax), (all) => each(all, shownContent))

/** What stands there: names, and what small ones hold. */
const standing = Effect.fnUntraced(function* (store: FileStore["Service"]) {
  const names = (yield* Stream.runCollect(store.list())).map(({ name }) => name).toSorted()
  return yield* Effect.forEach(names, (name) => readAll(store, [name], 1_000))
})

const outcome = (run: Run, step: Step) => Effect.match(act(run, step) ?? Effect.void, matched)

/** What each step came to in an empty store, and what stands there at the end. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const run = yield* newRun
  const all = yield* Effect.forEach(steps, (step) => outcome(run, step))
  return JSON.parse(JSON.stringify([...all, ...(yield* standing(run.store))]))
}, Effect.scoped)

/** Two of the steps at once or one after the other, behind others. */
const outcomesOfTwo = Effect.fnUntraced(function* (
  before: ReadonlyArray<Step>,
  [first, second]: readonly [Step, Step],
  order: "at-once" | "in-order" | "reversed"
) {
  const run = yield* newRun
  yield* Effect.forEach(before, (step) => outcome(run, step))
  const one = outcome({ ...run, versions: run.versions.slice(), written: 100 }, first)
  const two = outcome({ ...run, versions: run.versions.slice(), written: 200 }, second)
  const both =
    order === "reversed"
      ? (yield* Effect.all([two, one])).toReversed()
      : yield* Effect.all([one, two], { concurrency: order === "at-once" ? 2 : 1 })
  return JSON.stringify([both, yield* standing(run.store)])
}, Effect.scoped)

const onDisk = (options: MemoryDisk.Options = {}) =>
  FileStoreDisk.layer().pipe(
    Layer.provide([MemoryDisk.layer(options), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
const inMemory = (options: FileStoreMemory.Options = {}) =>
  FileStoreMemory.layer(options).pipe(Layer.provideMerge(DigestNode.layer))

const isAlike = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  // Room for some of it.
  const options = { capacityBytes: 3.3 * resumeBytesMin }
  const there = yield* Effect.provide(outcomes(steps), onDisk(options))
  const here = yield* Effect.provide(outcomes(steps), inMemory(options))
  assert.deepStrictEqual(here, there)
})

const plain = { executable: false, isWrong: false, target: "any", version: "any" } as const
const save5 = (name: (typeof Name)["Type"]): Step => ({ do: "save", name, size: 5, ...plain })
const begin = (
  name: (typeof Name)["Type"],
  size: (typeof Size)["Type"],
  resume: (typeof Key)["Type"] = "none",
  target: (typeof Target)["Type"] = "any"
): Step => ({ do: "stage", name, size, resume, executable: false, isWrong: false, target })
const [key, otherKey] = ["0".repeat(32), "1".repeat(32)]
const large = 2 * resumeBytesMin
const keep = (name: (typeof Name)["Type"], resume: string): ReadonlyArray<Step> => [
  begin(name, large, resume),
  { do: "write", length: resumeBytesMin + 7 },
  { do: "release" }
]
const goneOn: ReadonlyArray<Step> = [begin("a", large, key), { do: "release" }, begin("b", large, otherKey)]

/** What chance seldom comes to. */
const rare: ReadonlyArray<readonly [title: string, steps: ReadonlyArray<Step>]> = [
  [
    "what is left stays when there is no room to go on with it",
    [
      ...keep("a", key),
      { do: "save", name: "b", size: large, ...plain },
      begin("a", large, key),
      { do: "remove", name: "b", version: "any" },
      begin("a", large, key),
      { do: "fillAndCommit" }
    ]
  ],
  [
    "what is taken over stays when there is no room to go on with it",
    [
      begin("a", large, key),
      { do: "write", length: resumeBytesMin + 7 },
      begin("a", 2 * large, key),
      { do: "write", length: 5 },
      begin("a", large, key)
    ]
  ],
  [
    "of what is left the oldest gives way, and no more than has to",
    [...keep("a", key), ...keep("b", otherKey), begin("b/a", large), { do: "release" }, ...goneOn]
  ],
  [
    "nothing that is left gives way when that would not do",
    [...keep("a", key), ...keep("b", otherKey), begin("b/a", 2 * large), ...goneOn]
  ],
  [
    "at the commit what was demanded is of the very name",
    [
      save5("a"),
      begin("a", 5, "none", "present"),
      { do: "rename", name: "a", to: "A", replace: false, version: "any" },
      { do: "fillAndCommit" }
    ]
  ],
  [
    "at the commit the version is that of the very name",
    [
      save5("a"),
      { do: "open", name: "a" },
      begin("a", 5),
      { do: "fill" },
      { do: "rename", name: "a", to: "A", replace: false, version: "any" },
      { do: "commit", isOther: false, isWrong: false, version: 0 }
    ]
  ],
  [
    "a file that is renamed is another version",
    [
      save5("a"),
      { do: "open", name: "a" },
      { do: "rename", name: "a", to: "b", replace: false, version: 0 },
      { do: "unchanged" },
      { do: "remove", name: "b", version: 0 }
    ]
  ],
  [
    "a copy beyond what was declared takes nothing, and one to what is over fails",
    [
      { do: "save", name: "a", size: large, ...plain },
      { do: "open", name: "a" },
      begin("b", 5, key),
      { do: "copy", offset: 1, length: resumeBytesMin },
      { do: "copy", offset: 0, length: 0 }
    ]
  ]
]

describe("the store in memory", () => {
  it.live.prop(
    "does what the one on a disk does",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(60))],
    ([steps]) => isAlike(steps),
    { arbitrary: { runs: 40 } }
  )

  for (const [title, steps] of rare) it.live(title, () => isAlike(steps))
})

describe("the store on a disk", () => {
  const budgets = Schema.Literals([3, 4, 5, 7, 9, 11, 13, 17, 23, 31, 47, 64, 100, 2048])

  it.live.prop(
    "does two things at once as if one came after the other",
    [Schema.Array(Single).check(Schema.isMinLength(4), Schema.isMaxLength(10)), Single, Single, budgets],
    ([before, first, second, budget]) =>
      Effect.gen(function* () {
        const atOnce = yield* outcomesOfTwo(before, [first, second], "at-once").pipe(
          Effect.provide(onDisk()),
          Effect.provideService(Scheduler.MaxOpsBeforeYield, budget)
        )
        const inOrder = Effect.forEach(["in-order", "reversed"] as const, (order) =>
          Effect.provide(outcomesOfTwo(before, [first, second], order), inMemory())
        )
        assert.include(yield* inOrder, atOnce)
      }),
    { arbitrary: { runs: 150 } }
  )
})
