/**
 * The disk in memory does what the real one does: the same steps come to the same, whether they succeed or fail.
 */
import * as nodeChild from "node:child_process"
import * as nodeFs from "node:fs"
import * as nodeNet from "node:net"
import { assert, layer } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Fiber, Layer, Result, Schema, Scope, Stream } from "effect"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"
import { Disk, DiskError, type DiskFile, type DiskGlance, type DiskPath } from "../../../src/domain/store/Disk.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { temporaryFolder } from "./temporaryDisk.ts"

const Part = Schema.Literals([
  "a",
  "b",
  "c",
  "a",
  "b",
  "n".repeat(255),
  "n".repeat(256),
  "ä".repeat(128),
  "..",
  "\ud800",
  "link",
  "pipe",
  "socket"
])
const Path = Schema.Array(Part).check(Schema.isMaxLength(3))
const Count = Schema.Literals([0, 1, 5, 17, 100])
const paths = (name: "rename" | "link") => Schema.Struct({ do: Schema.tag(name), from: Path, to: Path })

const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literals(["create", "openRead", "openWrite"]), path: Path }),
  Schema.Struct({ do: Schema.Literals(["makeFolder", "remove", "removeFolder", "stat", "list"]), path: Path }),
  paths("rename"),
  paths("link"),
  Schema.Struct({ do: Schema.Literals(["statAll", "readAll"]), path: Path, names: Schema.Array(Part) }),
  Schema.Struct({
    do: Schema.tag("placeAll"),
    staging: Path,
    folder: Path,
    names: Schema.Array(Part).check(Schema.isMaxLength(3)),
    temporary: Schema.Array(Schema.Literals(["t", "u", "v", "a", ".."])).check(Schema.isMinLength(3)),
    executable: Schema.Boolean,
    durable: Schema.Boolean,
    likeReplaced: Schema.Boolean,
    fresh: Schema.Boolean
  }),
  Schema.Struct({ do: Schema.tag("write"), offset: Count, bytes: Schema.Array(Count).check(Schema.isMaxLength(3)) }),
  Schema.Struct({ do: Schema.tag("read"), offset: Count, length: Count }),
  Schema.Struct({ do: Schema.tag("truncate"), length: Count }),
  Schema.Struct({ do: Schema.tag("settle"), modified: Schema.Literals([0, 1_000]), executable: Schema.Boolean }),
  Schema.Struct({ do: Schema.Literals(["look", "other", "close", "clone", "sync"]) })
])
type Step = (typeof Step)["Type"]

/** The clocks of the two differ, and so does what a folder has besides its kind. */
const glanced = ({ executable, kind, modified, size }: DiskGlance) =>
  kind === "file" ? [size, executable, modified > 1_000 && modified !== 5_000 ? "now" : modified] : kind

const each = <A>(all: ReadonlyArray<Result.Result<A, DiskError>>, show: (one: A) => unknown) =>
  all.map((one) => (Result.isSuccess(one) ? show(one.success) : one.failure.code))

const listed = (disk: Disk["Service"], path: DiskPath) =>
  Effect.map(Stream.runCollect(disk.list(path)), (all) => all.map(({ kind, name }) => `${kind} ${name}`).toSorted())

/** What is done to the disk itself. */
const doThere = (disk: Disk["Service"], step: Step): Effect.Effect<unknown, DiskError> | undefined => {
  switch (step.do) {
    case "makeFolder":
      return disk.makeFolder(step.path, "shared")
    case "remove":
    case "removeFolder":
      return disk[step.do](step.path)
    case "stat":
      return Effect.map(disk.stat(step.path), glanced)
    case "list":
      return listed(disk, step.path)
    case "rename":
    case "link":
      return disk[step.do](step.from, step.to)
    case "statAll":
      return Effect.map(disk.statAll(step.path, step.names), (all) => each(all, glanced))
    case "readAll":
      return Effect.map(disk.readAll(step.path, step.names, 20), (all) =>
        each(all, ({ content, stat }) => [glanced(stat), content && [...content]])
      )
    case "placeAll": {
      const { durable, executable, folder, fresh, likeReplaced, names, staging, temporary } = step
      const files = names.map((name, index) => ({
        name,
        // Files that are synced are there at once.
        temporary: durable && index > 0 ? `w${index}` : (temporary[index] ?? "w"),
        parts: [new Uint8Array([7, index])],
        modified: 5_000,
        executable: executable || undefined
      }))
      const placed = Effect.map(disk.placeAll({ staging, folder, files, durable, fresh, likeReplaced }), (all) =>
        each(all, () => "placed")
      )
      // Of two folders that cannot be used either may be told.
      return fresh ? Effect.mapError(placed, ({ operation }) => new DiskError({ operation, code: "unusable" })) : placed
    }
    default:
      return undefined
  }
}

const settling = (file: DiskFile, { executable, modified }: Extract<Step, { readonly do: "settle" }>) => [
  file.setExecutable(executable),
  file.setModified(modified)
]

/** What is done to a file that is open. */
const doToFile = (file: DiskFile, step: Step): Effect.Effect<unknown, DiskError> => {
  switch (step.do) {
    case "write":
      return file.write(step.offset, [new Uint8Array(step.bytes)])
    case "read":
      return Effect.map(file.read(step.offset, step.length), (bytes) => [...bytes])
    case "truncate":
      return file.truncate(step.length)
    case "settle":
      return Effect.all(settling(file, step))
    case "sync":
      return file.sync
    default:
      return Effect.map(file.stat, (stat) => [glanced(stat), stat.links])
  }
}

/** Where time does not pass, reading ends nothing early; a busy machine takes longer for one file than it may last. */
const timeless = Effect.updateService(Clock.Clock, (clock) => ({ ...clock, monotonicTimeNanosUnsafe: () => 0n }))

/** What each step came to on an empty disk, and what stands there at the end. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>, how: "whole" | "interrupted") {
  const disk = yield* Disk
  const outer = yield* Scope.Scope
  const open: Array<DiskFile> = []
  const scopes = new Map<DiskFile, Scope.Closeable>()
  const opened = (file: Effect.Effect<DiskFile, DiskError, Scope.Scope>) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(outer)
      const one = yield* Scope.provide(file, scope)
      open.unshift(one)
      scopes.set(one, scope)
    })
  const all: Array<unknown> = []
  for (const step of steps) {
    const [first, second] = open
    // Another of those that are open is the one that the next steps are about.
    if (step.do === "other") open.push(...open.splice(0, 1))
    else if (step.do === "close") {
      const scope = first && scopes.get(first)
      if (scope) yield* Scope.close(scope, Exit.void)
    } else if (step.do === "clone") {
      if (how === "whole" && first && second) {
        all.push(yield* outcome(first.cloneFrom(second)))
        // What it failed with may have emptied it.
        all.push(yield* outcome(Effect.andThen(first.truncate(0), first.setModified(1_000))))
      }
    } else if (step.do === "create" || step.do === "openRead" || step.do === "openWrite") {
      all.push(yield* outcome(opened(disk[step.do](step.path))))
    } else {
      const there = doThere(disk, step) ?? (first && doToFile(first, step))
      if (there === undefined) continue
      if (how === "whole") all.push(yield* outcome(there))
      // What has begun is finished all the same; of two operations only the first has begun.
      else {
        for (const one of first !== undefined && step.do === "settle" ? settling(first, step) : [there]) {
          yield* Effect.flatMap(Effect.forkChild(one, { startImmediately: true }), Fiber.interrupt)
        }
      }
    }
  }
  for (const file of open) all.push(yield* outcome(Effect.all([file.stat, file.read(0, 200)]).pipe(Effect.map(whole))))
  all.push(yield* standing(disk, []))
  return all
})

const whole = ([stat, content]: readonly [DiskGlance, Uint8Array]) => [glanced(stat), [...content]]

const outcome = (step: Effect.Effect<unknown, DiskError>) =>
  Effect.map(Effect.exit(Effect.mapError(step, ({ code }) => code)), (exit) =>
    Exit.isSuccess(exit) ? { done: exit.value } : exit.cause.reasons.map((reason) => String(Object.values(reason)))
  )

const standing = (disk: Disk["Service"], path: DiskPath): Effect.Effect<unknown, DiskError> =>
  Effect.flatMap(Stream.runCollect(disk.list(path)), (all) =>
    Effect.forEach(
      all.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      ({ kind, name }) => {
        const at = [...path, name]
        const inside = kind === "folder" ? standing(disk, at) : Effect.map(disk.stat(at), glanced)
        return Effect.map(inside, (below) => [name, below])
      }
    )
  )

/** A pipe and a socket, of which each disk on this machine gets another name: to make one takes a program. */
const special = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  nodeChild.execFileSync("mkfifo", [`${folder}/pipe`])
  yield* Effect.acquireRelease(
    Effect.callback<nodeNet.Server>((resume) => {
      const server = nodeNet.createServer().listen(`${folder}/socket`, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => void server.close())
  )
  return folder
})

/** The real disk with a link, a pipe and a socket. */
const realDisk = (others: string) =>
  Layer.unwrap(
    Effect.map(temporaryFolder, (folder) => {
      nodeFs.symlinkSync("a", `${folder}/link`)
      for (const name of ["pipe", "socket"]) nodeFs.linkSync(`${others}/${name}`, `${folder}/${name}`)
      return DiskNode.layer(folder)
    })
  )

/** The one in memory with the same. */
const memoryDisk = Layer.effect(
  Disk,
  Effect.gen(function* () {
    const { control, disk } = yield* MemoryDisk.make()
    yield* control.plant(["link"], { kind: "link" })
    for (const name of ["pipe", "socket"]) yield* control.plant([name], { kind: "special" })
    return disk
  })
)

class Special extends Context.Service<Special, string>()("test/Special") {}

layer(Layer.effect(Special, special), { excludeTestServices: true })("the disk in memory", (it) => {
  it.effect.prop(
    "does what the real one does",
    [Schema.Array(Step).check(Schema.isMinLength(10), Schema.isMaxLength(40))],
    ([steps]) =>
      Effect.gen(function* () {
        const there = realDisk(yield* Special)
        const real = yield* outcomes(steps, "whole").pipe(Effect.scoped, Effect.provide(there), timeless)
        const fake = yield* outcomes(steps, "whole").pipe(Effect.scoped, Effect.provide(memoryDisk))
        assert.deepStrictEqual(fake, real)
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "finishes what it has begun and what is interrupted, as the real one does",
    [Schema.Array(Step).check(Schema.isMinLength(10), Schema.isMaxLength(40))],
    ([steps]) =>
      Effect.gen(function* () {
        const whole = yield* Effect.scoped(Effect.provide(outcomes(steps, "whole"), memoryDisk))
        for (const layer of [realDisk(yield* Special), memoryDisk]) {
          const interrupted = yield* Effect.scoped(Effect.provide(outcomes(steps, "interrupted"), layer))
          assert.deepStrictEqual(interrupted.at(-1), whole.at(-1))
        }
      }),
    { arbitrary: { runs: 60 } }
  )
})
