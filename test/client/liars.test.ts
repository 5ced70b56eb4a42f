/**
 * Whole trees against a server that lies: whatever it says, a command ends, nothing that was here is lost, what comes
 * is what was sent, and no byte of the server's reaches the terminal as it is.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { LocalFiles } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalWatch from "../../src/client/LocalWatch.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import * as ReporterVerbose from "../../src/client/ReporterVerbose.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as SessionWithin from "../../src/client/SessionWithin.ts"
import * as StagedFile from "../../src/client/StagedFile.ts"
import * as Watching from "../../src/client/Watching.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import * as FileName from "../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileServer from "../../src/domain/testing/HostileServer.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { pair } from "../../src/domain/testing/MemorySocket.ts"
import { quickCrypto } from "../crypto.ts"
import { pick } from "../draw.ts"
import { settle } from "../server/world.ts"
import * as DiskFiles from "./diskFiles.ts"
import * as Liar from "./liar.ts"

type Services = Layer.Success<typeof quickCrypto>

/** Sessions with the liar, as many as it takes. */
const sessionsWith = Effect.fnUntraced(function* (liar: ReturnType<typeof Liar.make>, dialled = () => {}) {
  const services = yield* Effect.context<Scope.Scope | Services>()
  const registered = yield* Fixture.registered
  const dial = Effect.gen(function* () {
    dialled()
    const [near, far] = yield* pair
    const greeted = Effect.flatMap(HostileServer.greet(far, registered), (session) =>
      Effect.andThen(Effect.ignore(Liar.script(liar, session)), Effect.never)
    )
    yield* Effect.forkScoped(Effect.ignore(Effect.scoped(greeted)))
    return near
  }).pipe(Effect.provideContext(services))
  return Sessions.layer(Client.connect({ server: "liar", dial, ...Fixture.ada }))
})

/** Gives what files there were and are here. */
const lied = Effect.fnUntraced(function* (
  random: () => number,
  liar: ReturnType<typeof Liar.make>,
  command: Commands.Command
) {
  const written = { out: "", err: "" }
  const reporter = pick(random, [ReporterJson.layer(""), ReporterText.layer("")])
  const layer = Layer.mergeAll(yield* sessionsWith(liar), LocalFilesMemory.layer(), reporter).pipe(
    Layer.provideMerge(Screen.layerMemory({ written })),
    Layer.provideMerge(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  )
  return yield* Effect.gen(function* () {
    const files = yield* LocalFilesMemory.MemoryFiles
    const put = (path: string, index: number) => {
      const bytes = Liar.contents[index] ?? new Uint8Array()
      files.set(path, { bytes, modified: 1000 + bytes.length })
    }
    for (const path of ["here/docs/a", "here/docs/old", "here/keep", "elsewhere", "docs/a"]) {
      put(path, Math.floor(random() * 7))
    }
    put("here/docs/big", 7)
    for (let index = 0; index < 7; index += 1) put(`docs/sub/f${index}`, index)
    const before = new Map(files)
    const isShell = random() < 0.5
    const sessions = isShell ? yield* Reconnect.ofOneCommand(yield* Sessions) : yield* Sessions
    const run = Effect.scoped(Commands.run(command)).pipe(
      Effect.provideService(Reconnect.Persistence, isShell),
      Effect.provideService(Sessions, sessions)
    )
    const fiber = yield* Effect.forkChild(Effect.exit(run))
    // A day is how long one is believed that only lives.
    for (let step = 0; fiber.pollUnsafe() === undefined && step < 3000; step += 1) {
      yield* settle
      if (step > 600) yield* TestClock.adjust(50_000)
      else if (step % 5 === 0) yield* TestClock.adjust(1000)
    }
    const ended = fiber.pollUnsafe() !== undefined
    yield* Fiber.interrupt(fiber)
    const outcome = ended ? yield* Fiber.join(fiber) : Exit.succeed(false)
    return { ended, outcome, before, after: new Map(files), shown: written.out + written.err }
  }).pipe(Effect.provide(layer))
}, Effect.scoped)

const commandOf = (random: () => number): Commands.Command => {
  const tree = { include: [], exclude: [], dryRun: random() < 0.1, remove: random() < 0.5, checksum: random() < 0.5 }
  const download = { _tag: "Download", to: "here", tree } as const
  return pick<Commands.Command>(random, [
    { ...download, names: ["docs"] },
    { ...download, names: ["docs", "a"] },
    { ...download, names: ["docs/.", "docs"] },
    { ...download, names: ["docs/*"] },
    { ...download, names: ["docs/sub", "other"] },
    { _tag: "Upload", files: ["docs"], as: undefined, tree },
    { _tag: "Para", files: ["docs"], as: undefined, tree },
    { _tag: "Verify", name: "docs/sub/f1", file: "docs/sub/f1" },
    { _tag: "Fetch", pattern: pick(random, [undefined, "docs/**"]), digests: random() < 0.5 }
  ])
}

// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e]/

const isDefect = (outcome: Exit.Exit<boolean, unknown>): boolean =>
  Exit.isFailure(outcome) && !outcome.cause.reasons.every(Cause.isFailReason)

/** What is wrong with what has come of it. */
const wrong = (
  { after, before, ended, outcome, shown }: Effect.Success<ReturnType<typeof lied>>,
  { sent }: ReturnType<typeof Liar.make>,
  removes: boolean
): ReadonlyArray<string> => [
  ...(ended ? [] : ["it does not end"]),
  ...(isDefect(outcome) ? [String(outcome)] : []),
  ...(unsafe.test(shown) ? [`shown as it is: ${JSON.stringify(shown)}`] : []),
  ...Array.from(before.keys())
    .filter((path) => !after.has(path) && !(removes && path.startsWith("here/")))
    .map((path) => `${path} is lost`),
  ...Array.from(after)
    .filter(([path, { bytes }]) => {
      if (before.get(path)?.bytes === bytes) return false
      const name = path.slice("here/".length)
      const wasSent = [name, `docs/${name}`].some((one) => sent.has(Liar.noted(one, bytes)))
      return !path.startsWith("here/") || !wasSent
    })
    .map(([path]) => `${path} is not what was sent`)
]

describe("a tree against a liar", () => {
  it.effect(
    "ends, loses nothing, and takes only what was sent",
    () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 240; seed += 1) {
          const random = Fixture.seeded(seed)
          const liar = Liar.make(random, pick(random, [0, 0.02, 0.05, 0.1, 0.25]))
          const command = commandOf(random)
          const removes = command._tag === "Download" && command.tree?.remove === true
          const faults = wrong(yield* lied(random, liar, command), liar, removes)
          assert.deepStrictEqual(faults, [], `seed ${seed}: ${JSON.stringify(command)}`)
        }
      }).pipe(Effect.provide(quickCrypto)),
    120_000
  )
})

// -----------------------------------------------------------------------------
// On a disk that fails
// -----------------------------------------------------------------------------

/** What is done here, and whether it goes on for ever. */
interface Work {
  readonly command: Commands.Command
  readonly watches: boolean
}

const workOf = (random: () => number): Work => {
  if (random() < 0.5) return { command: commandOf(random), watches: false }
  const tree = { include: [], exclude: [], dryRun: false, remove: random() < 0.5, checksum: random() < 0.5 }
  const big = { command: { _tag: "Download", names: ["docs/big"], to: "here/docs/big" }, watches: false } as const
  return pick<Work>(random, [
    big,
    big,
    { command: { _tag: "Download", names: ["docs/*"], to: "here/docs" }, watches: false },
    { command: { _tag: "Para", files: ["docs/big"], as: "docs/big" }, watches: false },
    { command: { _tag: "Para", files: ["docs"], as: undefined, tree }, watches: true },
    {
      command: { _tag: "Fetch", pattern: pick(random, [undefined, "docs/**"]), digests: random() < 0.5 },
      watches: true
    }
  ])
}

const started = ({ command, watches }: Work) => {
  if (!watches) return Commands.run(command)
  if (command._tag === "Fetch") return Watching.fetch(command.pattern, command.digests === true)
  return Watching.follow(["docs"], Commands.run(command))
}

type Ill = "cut" | "fails" | "full" | "sound"

/** From some operation on. */
const makeIll = Effect.fnUntraced(function* (random: () => number, { cutAt, failAt, operations }: Control, ill: Ill) {
  const at = (yield* operations) + 1 + Math.floor(random() ** 2 * 400)
  if (ill === "cut") yield* cutAt(at)
  if (ill === "fails") yield* failAt(at, pick(random, ["EIO", "EACCES", "ENOENT"]))
  if (ill === "full") for (let more = 0; more < 30; more += 1) yield* failAt(at + more, "ENOSPC")
})
type Control = MemoryDisk.MemoryDisk["Service"]

const plantAll = Effect.fnUntraced(function* (random: () => number, { plant }: Control) {
  const put = (path: string, index: number) =>
    plant(path.split("/"), { kind: "file", content: Liar.contents[index] ?? new Uint8Array() })
  for (const path of ["here/docs/a", "here/docs/old", "here/keep", "elsewhere", "docs/a"]) {
    yield* put(path, Math.floor(random() * 7))
  }
  // One is an older copy of another.
  for (const path of ["here/docs/big", "docs/big"]) yield* put(path, 7 + Math.floor(random() * 3))
  for (let index = 0; index < 7; index += 1) yield* put(`docs/sub/f${index}`, index)
})

/** Until it has ended, or for as long as one looks at what does not end. */
const lookAt = Effect.fnUntraced(function* (random: () => number, work: Work, fiber: Fiber.Fiber<unknown>) {
  const { say } = yield* LocalWatch.MemoryWatch
  const patient = work.watches ? 300 : 600
  for (let step = 0; fiber.pollUnsafe() === undefined && step < (work.watches ? patient : 3000); step += 1) {
    yield* settle
    if (work.watches && random() < 0.05) yield* say({ _tag: "Changed", path: "docs/a" })
    if (step > patient) yield* TestClock.adjust(50_000)
    else if (step % 5 === 0) yield* TestClock.adjust(1000)
  }
  const ended = fiber.pollUnsafe() !== undefined
  yield* Fiber.interrupt(fiber)
  yield* settle
  return ended
})

const liedOnDisk = Effect.fnUntraced(function* (seed: number, liar: ReturnType<typeof Liar.make>, work: Work) {
  const { random } = liar
  const { control, disk } = yield* MemoryDisk.make({ seed, clones: random() < 0.5 })
  yield* plantAll(random, control)
  const before = yield* control.files
  const ill = pick<Ill>(random, ["sound", "fails", "full", "cut"])
  const crypto = yield* Layer.build(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  const files = DiskFiles.make(disk, Effect.provideContext(crypto))
  yield* makeIll(random, control, ill)
  const written = { out: "", err: "" }
  const isJson = random() < 0.5
  let dials = 0
  const layer = Layer.mergeAll(
    yield* sessionsWith(liar, () => void (dials += 1)),
    Layer.succeed(LocalFiles, files),
    LocalWatch.layerMemory,
    isJson ? ReporterJson.layer("") : ReporterVerbose.layer(ReporterText.layer(""))
  ).pipe(Layer.provideMerge([Screen.layerMemory({ written }), Layer.succeedContext(crypto)]))
  return yield* Effect.gen(function* () {
    const isShell = !work.watches && random() < 0.5
    const all = isShell ? yield* Reconnect.ofOneCommand(yield* Sessions) : yield* Sessions
    const sessions = SessionWithin.sessions(all, isShell && random() < 0.5 ? "docs" : "")
    const run = Effect.scoped(started(work)).pipe(
      Effect.provideService(Reconnect.Persistence, isShell),
      Effect.provideService(Sessions, sessions)
    )
    const fiber = yield* Effect.forkChild(Effect.exit(run))
    const ended = yield* lookAt(random, work, fiber)
    const outcome: Exit.Exit<boolean, unknown> = ended ? yield* Fiber.join(fiber) : Exit.succeed(work.watches)
    const seen = yield* control.files
    const open = yield* control.openFiles
    if (ill === "cut" || random() < 0.5) yield* control.crash
    const shown = written.out + written.err
    const told = isJson ? written.out.split("\n").filter((line) => line !== "") : []
    return { ended, outcome, before, seen, after: yield* control.files, open, ill, dials, shown, told }
  }).pipe(Effect.provide(layer))
}, Effect.scoped)

/** Under how many names is content what was sent: a pattern or a place leaves a part of a name out. */
const wasSent = ({ sent }: ReturnType<typeof Liar.make>, base: string, bytes: Uint8Array): boolean =>
  sent.values().some((one) => one === Liar.noted(base, bytes) || one.endsWith(`/${Liar.noted(base, bytes)}`))

/** What was told as here and is not. */
const untrue = (told: ReadonlyArray<string>, after: ReadonlyMap<string, Uint8Array>): ReadonlyArray<string> =>
  told.filter((line) => {
    const { equal, event, path, size } = Schema.decodeUnknownSync(Told)(JSON.parse(line))
    return event === "downloaded" && equal !== true && after.get(path ?? "")?.length !== size
  })
const Told = Schema.Struct({
  event: Schema.optionalKey(Schema.String),
  equal: Schema.optionalKey(Schema.Unknown),
  path: Schema.optionalKey(Schema.String),
  size: Schema.optionalKey(Schema.Number)
})

const wrongOnDisk = (
  { after, before, dials, ended, ill, open, outcome, seen, shown, told }: Effect.Success<ReturnType<typeof liedOnDisk>>,
  liar: ReturnType<typeof Liar.make>,
  { watches }: Work,
  removes: boolean
): ReadonlyArray<string> => [
  ...(ended || watches ? [] : ["it does not end"]),
  ...(isDefect(outcome) ? [String(outcome)] : []),
  ...(unsafe.test(shown) ? [`shown as it is: ${JSON.stringify(shown)}`] : []),
  ...(open > 0 ? [`${open} files are open for nobody`] : []),
  ...(dials > 60 ? [`${dials} connections were made`] : []),
  ...(removes ? [] : untrue(told, after).map((line) => `told, and not here: ${line}`)),
  ...[seen, after].flatMap((files) =>
    Array.from(before.keys())
      .filter((path) => !files.has(path) && !(removes && path.startsWith("here/")))
      .map((path) => `${path} is lost`)
  ),
  ...[seen, after].flatMap((files) =>
    Array.from(files)
      .filter(([path, bytes]) => {
        const [old, base] = [before.get(path), FileName.baseName(path)]
        if (old !== undefined && Bytes.equals(old, bytes)) return false
        if (!StagedFile.isTemporary(base)) return !path.startsWith("here/") || !wasSent(liar, base, bytes)
        return ill === "sound" && files === seen && bytes.length < resumeBytesMin
      })
      .map(([path]) => `${path} is not what was sent`)
  )
]

describe("a liar, and a disk that fails", () => {
  it.effect(
    "have whole files here or none, and what is watched goes on or ends",
    () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 80; seed += 1) {
          const random = Fixture.seeded(seed)
          const liar = Liar.make(random, pick(random, [0, 0.02, 0.05, 0.1, 0.25]))
          const work = workOf(random)
          const removes = work.command._tag === "Download" && work.command.tree?.remove === true
          const faults = wrongOnDisk(yield* liedOnDisk(seed, liar, work), liar, work, removes)
          assert.deepStrictEqual(faults, [], `seed ${seed}: ${JSON.stringify(work)}`)
        }
      }).pipe(Effect.provide(quickCrypto)),
    120_000
  )
})
