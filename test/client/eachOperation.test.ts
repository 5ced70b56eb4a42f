/**
 * A disk that fails at one operation, whichever it is, of the server's or of the client's. The command ends and tells
 * whose disk it was, each file is as before or whole, the session goes on, and the same command then does all of it.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { LocalFiles } from "../../src/client/LocalFiles.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { isTemporary } from "../../src/client/StagedFile.ts"
import type { TreeOptions } from "../../src/client/Trees.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import { baseName, stagingFolder } from "../../src/domain/file/FileName.ts"
import { deltaBytesMin, resumeBytesMin } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { everything } from "../../src/domain/session/Grant.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import { Meter } from "../../src/domain/store/Meter.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { settle } from "../server/world.ts"
import * as DiskFiles from "./diskFiles.ts"

// -----------------------------------------------------------------------------
// The commands
// -----------------------------------------------------------------------------

type Side = "here" | "there"
type Files = Readonly<Record<string, Uint8Array>>

interface Case {
  readonly command: Commands.Command
  readonly before: Readonly<Record<Side, Files>>
  /** what is there when all has gone well */
  readonly after: Readonly<Record<Side, Files>>
}

const small = (seed: number) => Fixture.bytes(seed, 2000)
const newer = Fixture.bytes(1, deltaBytesMin + 30_000)
const older = newer.slice().fill(7, 60_000, 60_010)
const large = Fixture.bytes(2, resumeBytesMin + 300_000)

const tree: TreeOptions = { dryRun: false, remove: true, checksum: true, include: [], exclude: [] }
const folder = (content: Uint8Array, seed: number): Files => ({
  "t/a/one": small(seed),
  "t/a/two": small(seed + 1),
  "t/b": small(seed + 2),
  "t/large": content
})
const below = (name: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([path, content]) => [`${name}/${path}`, content]))

/** A command that changes the server's files. */
const up = (command: Commands.Command, here: Files, there: Files, after: Files): Case => ({
  command,
  before: { here, there },
  after: { here, there: after }
})
/** One that changes the client's. */
const down = (command: Commands.Command, there: Files, here: Files, after: Files): Case => ({
  command,
  before: { here, there },
  after: { here: after, there }
})

const whole = folder(newer, 1)
const two = { s1: small(1), s2: small(2) }

/** Each of them is tried with every operation failing. */
const short: Readonly<Record<string, Case>> = {
  "upload of two small files": up({ _tag: "Upload", files: ["s1", "s2"], as: undefined }, two, { s1: small(9) }, two),
  "download of two small files": down(
    { _tag: "Download", names: ["s*"], to: "d" },
    two,
    { "d/s1": small(9) },
    below("d", two)
  ),
  "upload of one by itself": up({ _tag: "Upload", files: ["f"], as: undefined }, { f: newer }, {}, { f: newer }),
  "download -r --delete of a little": down(
    { _tag: "Download", names: ["t"], to: "d", tree },
    { "t/a": small(1) },
    { "d/t/a": small(2), "d/t/gone": small(3) },
    { "d/t/a": small(1) }
  ),
  "para -r --delete of a little": up(
    { _tag: "Para", files: ["t"], as: undefined, tree },
    { "t/a": small(1) },
    { "t/a": small(2), "t/gone": small(3) },
    { "t/a": small(1) }
  ),
  rename: up({ _tag: "Rename", name: "t/b", to: "u/v/b" }, {}, { "t/b": small(1) }, { "u/v/b": small(1) }),
  "rename over": up(
    { _tag: "Rename", name: "t/b", to: "u/b", replace: true },
    {},
    { "t/b": small(1), "u/b": small(2) },
    { "u/b": small(1) }
  ),
  remove: up({ _tag: "Remove", names: ["t/a", "t/b"] }, {}, { "t/a": small(1), "t/b": small(2) }, {}),
  para: up({ _tag: "Para", files: ["f"], as: undefined }, { f: newer }, { f: older }, { f: newer }),
  "download onto an older one": down(
    { _tag: "Download", names: ["f"], to: "g" },
    { f: newer },
    { g: older },
    { g: newer }
  )
}

/** Of these a few, drawn by seed. */
const long: Readonly<Record<string, Case>> = {
  "upload of a large one": up({ _tag: "Upload", files: ["l"], as: undefined }, { l: large }, {}, { l: large }),
  "download of a large one": down({ _tag: "Download", names: ["l"], to: "l" }, { l: large }, {}, { l: large }),
  "upload -r": up(
    { _tag: "Upload", files: ["t"], as: undefined, tree: { ...tree, remove: false } },
    whole,
    { "t/a/two": small(50) },
    whole
  ),
  "para -r --delete": up(
    { _tag: "Para", files: ["t"], as: undefined, tree },
    whole,
    { ...folder(older, 10), "t/gone": small(77), "t/c/gone": small(78) },
    whole
  ),
  "download -r --delete": down(
    { _tag: "Download", names: ["t"], to: "d", tree },
    whole,
    below("d", { "t/large": older, "t/gone": small(4), "t/c/gone": small(5), "t/a/one": small(60) }),
    below("d", whole)
  ),
  verify: up({ _tag: "Verify", name: "f", file: "f" }, { f: newer }, { f: newer }, { f: newer }),
  fetch: up({ _tag: "Fetch", pattern: undefined, digests: true }, {}, whole, whole)
}

// -----------------------------------------------------------------------------
// Both ends
// -----------------------------------------------------------------------------

const quota = { bytes: 20_000_000, files: 50 }

const serverOn = (disk: Disk["Service"]) =>
  Layer.mergeAll(Server.layer, Seats.layer, Meter.layer).pipe(
    Layer.provide(
      Layer.effectDiscard(
        Effect.flatMap(Accounts, ({ change }) =>
          change(Fixture.ada.user, (one) => ({ ...one, grant: { ...everything, quota } }))
        )
      )
    ),
    Layer.provideMerge([MemorySocket.layer, Fixture.accounts, FileStoreDisk.layer()]),
    Layer.provideMerge([Layer.succeed(Disk, disk), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(quickCrypto)
  )

/** Two disks with the files of the case, and the hands on their plugs. */
const disksOf = Effect.fnUntraced(function* ({ before }: Case, clones: boolean) {
  const make = Effect.fnUntraced(function* (files: Files) {
    const made = yield* MemoryDisk.make({ clones })
    for (const [path, content] of Object.entries(files)) {
      yield* made.control.plant(path.split("/"), { kind: "file", content })
    }
    return made
  })
  return { here: yield* make(before.here), there: yield* make(before.there) }
})

/** Ends when the command does, or undefined: time goes on once nothing moves without it. */
const ended = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.exit(work))
    for (let turn = 0; turn < 400 && fiber.pollUnsafe() === undefined; turn += 1) {
      yield* settle
      if (turn > 60) yield* TestClock.adjust(1000)
    }
    if (fiber.pollUnsafe() !== undefined) return yield* Fiber.join(fiber)
    yield* Fiber.interrupt(fiber)
    return undefined
  })

/** What a script is told of a failure. */
const Failure = Schema.Struct({
  event: Schema.Literal("failed"),
  name: Schema.optionalKey(Schema.String),
  error: Schema.String,
  message: Schema.String
})
const isFailure = Schema.is(Failure)

const failuresIn = (out: string) =>
  out
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line))
    .filter(isFailure)

// -----------------------------------------------------------------------------
// One fault
// -----------------------------------------------------------------------------

interface Fault {
  readonly side: Side
  /** counted from the command's first operation, which is 1 */
  readonly nth: number
  readonly code: string
}

const sides = ["here", "there"] as const

const isKept = (path: string) => !path.startsWith(stagingFolder) && !isTemporary(baseName(path))

/** What a rename has written down does no harm, and goes at the next start. */
const isLeft = (path: string) => !isKept(path) && !path.startsWith(`${stagingFolder}/renaming-`)

const isOneOf = (found: Uint8Array | undefined, all: ReadonlyArray<Uint8Array | undefined>) =>
  all.some((one) => (one === undefined || found === undefined ? one === found : Bytes.equals(one, found)))

/** Which files are neither as before nor as after; when all went well, not as after. */
const wrongFiles = (one: Case, side: Side, found: ReadonlyMap<string, Uint8Array>, ok: boolean) => {
  const [before, after] = [one.before[side], one.after[side]]
  return Array.from(new Set([...Object.keys(before), ...Object.keys(after), ...found.keys()]))
    .filter(isKept)
    .filter((path) => !isOneOf(found.get(path), ok ? [after[path]] : [before[path], after[path]]))
}

/** Runs the command with one fault, and then again; gives what was wrong, and the operations of both disks. */
const tried = Effect.fnUntraced(function* (one: Case, clones: boolean, fault?: Fault) {
  const faults: Array<string> = []
  const wrong = (is: boolean, what: string) => void (is && faults.push(what))
  const disks = yield* disksOf(one, clones)
  const server = yield* Layer.buildWithMemoMap(
    serverOn(disks.there.disk),
    Layer.makeMemoMapUnsafe(),
    yield* Effect.scope
  )
  const crypto = yield* Layer.build(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  const written = { out: "", err: "" }
  const { dial } = Context.get(server, MemorySocket.MemoryNetwork)
  const client = Layer.mergeAll(
    Sessions.layer(Client.connect({ server: "memory", dial, ...Fixture.ada })),
    Layer.succeed(LocalFiles, DiskFiles.make(disks.here.disk, Effect.provideContext(crypto))),
    ReporterJson.layer("")
  ).pipe(Layer.provideMerge([Screen.layerMemory({ written }), Layer.succeedContext(crypto)]))
  const counts = Effect.all({ here: disks.here.control.operations, there: disks.there.control.operations })

  const run = Effect.fnUntraced(function* (again: boolean) {
    const session = yield* (yield* Sessions).session
    written.out = written.err = ""
    // What no file of the command is to blame for is told by whoever runs it.
    const command = Effect.catchTag(Commands.run(one.command), "RequestRefused", (error) =>
      Effect.flatMap(Reporter, ({ failed }) => Effect.as(failed({ error }), false))
    )
    const exit = yield* ended(command)
    yield* settle
    const ok = exit !== undefined && Exit.isSuccess(exit) && exit.value
    const failures = failuresIn(written.out)
    wrong(exit === undefined, "it does not end")
    wrong(exit !== undefined && Exit.isFailure(exit), "it ended the session")
    wrong((yield* (yield* Sessions).session) !== session, "another session")
    wrong(!ok && written.err === "", "nothing was told")
    for (const side of sides) {
      const found = yield* disks[side].control.files
      for (const path of wrongFiles(one, side, found, ok || again)) wrong(true, `${side} ${path} is wrong, ok=${ok}`)
      for (const { message, name = "" } of side === "there" ? failures : []) {
        const isChanged = !isOneOf(found.get(name), [one.before.there[name]])
        wrong(/nothing was changed/.test(message) && isChanged, `${name} was changed, and told: ${message}`)
      }
    }
    return { ok, failures }
  })

  const operations = yield* Effect.gen(function* () {
    yield* (yield* Sessions).session
    yield* settle
    const first = yield* counts
    if (fault) yield* disks[fault.side].control.failAt(first[fault.side] + fault.nth, fault.code)
    const { failures, ok } = yield* run(false)
    const last = yield* counts
    wrong(fault === undefined && !ok, "it fails without a fault")
    const other = fault?.side === "here" ? "RequestRefused" : "LocalFileFailed"
    wrong(
      failures.some(({ error }) => error === other),
      `told of the other end: ${written.err}`
    )

    // What goes on beside a command may do less this time: then nothing has failed yet.
    if (fault && last[fault.side] < first[fault.side] + fault.nth) return { first, last }
    const again = yield* run(true)
    // What happened although it was told as failed cannot happen twice.
    const isOver = again.failures.some(({ message }) => /does not have this file/.test(message))
    wrong(!again.ok && !isOver, `again: ${written.err}`)
    const left = yield* Effect.forEach(sides, (side) => disks[side].control.files)
    const stray = left.flatMap((files) => [...files.keys()].filter(isLeft))
    wrong(stray.length > 0, `left behind: ${stray.join()}`)
    const there = [...(yield* disks.there.control.files).values()]
    const usage = yield* Context.get(server, Meter).usage(undefined)
    wrong(usage !== undefined && usage.reserved.bytes + usage.reserved.files > 0, "reserved for nobody")
    // Too much is counted where it is not known whether something has changed.
    wrong(usage !== undefined && usage.used.bytes < Bytes.lengthOf(there), "a quota counts too little")
    return { first, last }
  }).pipe(Effect.provide(client), Effect.scoped)
  yield* settle
  yield* TestClock.adjust(10_000)
  yield* settle
  for (const side of sides) wrong((yield* disks[side].control.openFiles) > 0, `left open ${side}`)
  const journals = { here: yield* disks.here.control.journal, there: yield* disks.there.control.journal }
  const operationOf = ({ nth, side }: Fault) => journals[side][operations.first[side] + nth - 1] ?? ""
  return { faults, ...operations, operationOf }
}, Effect.scoped)

/** Every fault that there is: so many operations it takes without one. */
const faultsOf = Effect.fnUntraced(function* (one: Case, clones: boolean, codes: ReadonlyArray<string>) {
  const sound = yield* tried(one, clones)
  assert.deepStrictEqual(sound.faults, [])
  return sides
    .flatMap((side) =>
      Array.from({ length: sound.last[side] - sound.first[side] }, (_, index) => index + 1).flatMap((nth) =>
        codes.map((code): Fault => ({ side, nth, code }))
      )
    )
    .filter((fault) => !isClosed(fault.code) || !looksAround.has(sound.operationOf(fault)))
})

/** What may not be looked into, or has just gone, is in no listing: that is no failure. */
const isClosed = (code: string) => code === "EACCES" || code === "ENOENT"
const looksAround: ReadonlySet<string> = new Set(["list", "stat", "statAll"])

const holds = (one: Case, clones: boolean, faults: ReadonlyArray<Fault>) =>
  Effect.gen(function* () {
    const found: Array<string> = []
    for (const fault of faults) {
      const run = yield* tried(one, clones, fault)
      const where = `${fault.side} ${fault.code} at ${fault.nth}, ${run.operationOf(fault)}, clones=${clones}`
      for (const what of run.faults) found.push(`${where}: ${what}`)
    }
    assert.deepStrictEqual(found, [])
  })

/** So many of them, drawn by seed. */
const some = (faults: ReadonlyArray<Fault>, count: number, seed: number) => {
  const random = Fixture.seeded(seed)
  return faults
    .map((fault) => ({ fault, rank: random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .slice(0, count)
    .map(({ fault }) => fault)
}

describe("a disk that fails at one operation", () => {
  for (const [title, one] of Object.entries(short)) {
    it.effect(
      `${title}: at each`,
      () =>
        Effect.gen(function* () {
          yield* holds(one, false, yield* faultsOf(one, false, ["EIO", "ENOSPC"]))
        }).pipe(Effect.provide(quickCrypto)),
      120_000
    )
  }

  for (const [index, [title, one]] of Object.entries(long).entries()) {
    it.effect(
      `${title}: at some, with any code`,
      () =>
        Effect.gen(function* () {
          for (const clones of [false, true]) {
            const all = yield* faultsOf(one, clones, ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "ENOENT", "EMFILE"])
            yield* holds(one, clones, some(all, 10, index))
          }
        }).pipe(Effect.provide(quickCrypto)),
      120_000
    )
  }
})
