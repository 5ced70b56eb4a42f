/**
 * Clients that lie, several at once, and a disk that may fail: whatever they say, the server holds only whole files of
 * which somebody has told the digest, nothing is held for nobody, and whoever is honest is served.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, References, Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { type ContentDigest, Digest, digestOf } from "../../src/domain/file/Digest.ts"
import { FileName, segmentKey, stagingFolder } from "../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { everything, type Grant } from "../../src/domain/session/Grant.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import { Meter } from "../../src/domain/store/Meter.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Audit } from "../../src/server/Audit.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { pick } from "../draw.ts"
import * as LyingClient from "./lyingClient.ts"
import { connect, settle } from "./world.ts"

/** What one life is about. */
interface Life {
  readonly seed: number
  readonly random: () => number
  readonly ill: "cut" | "fails" | "full" | "sound"
  readonly grant: Grant
  readonly disk: Disk["Service"]
  readonly control: MemoryDisk.MemoryDisk["Service"]
  /** what somebody has told */
  readonly declared: Set<ContentDigest>
  /** what must never be and is */
  readonly violations: Array<string>
}

const begin = Effect.fnUntraced(function* (seed: number): Effect.fn.Return<Life> {
  const random = Fixture.seeded(seed)
  const bytes = pick(random, [100_000, 1_500_000, 3_000_000])
  const quota = random() < 0.6 && { quota: { bytes, files: pick(random, [2, 5, 100]) } }
  const root = random() < 0.3 && { root: FileName.make("home") }
  const capacityBytes = pick(random, [4_000_000, 100_000_000])
  return {
    seed,
    random,
    ill: pick(random, ["sound", "sound", "fails", "full", "cut"]),
    grant: { ...everything, ...root, ...quota },
    ...(yield* MemoryDisk.make({ seed, clones: random() < 0.5, capacityBytes })),
    declared: new Set(),
    violations: []
  }
})

/** A defect shows in the log of its connection and nowhere else. */
const logTo = ({ violations }: Life) =>
  Logger.layer([
    Logger.make(({ cause, fiber }) => {
      const outcome = fiber.getRef(References.CurrentLogAnnotations)["outcome"]
      if (outcome === "defect") violations.push(`a defect: ${String(cause)}`)
    })
  ])

const serverOf = (life: Life) => {
  const granted = Effect.flatMap(Accounts, ({ change }) =>
    Effect.forEach([Fixture.ada, Fixture.grace], ({ user }) => change(user, (one) => ({ ...one, grant: life.grant })))
  )
  return Layer.mergeAll(Server.layer, Seats.layer, Meter.layer).pipe(
    Layer.provide(Layer.effectDiscard(granted)),
    Layer.provideMerge([MemorySocket.layer, Fixture.accounts, FileStoreDisk.layer()]),
    Layer.provideMerge([Layer.succeed(Disk, life.disk), SecureRandom.layerWebCrypto, Audit.layerMemory]),
    Layer.provide(logTo(life)),
    Layer.provideMerge(quickCrypto)
  )
}

/** Runs work while time passes, slowly at first. */
const passing = <A, E, R>(work: Effect.Effect<A, E, R>, turns: number, random: () => number = () => 1) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.exit(work))
    for (let turn = 0; turn < turns && fiber.pollUnsafe() === undefined; turn += 1) {
      yield* settle
      if (turn > 200 || random() < 0.02) yield* TestClock.adjust(pick(random, [1000, 100, 5000, 30_000]))
    }
    const ended = fiber.pollUnsafe() !== undefined
    yield* Fiber.interrupt(fiber)
    return ended ? yield* Fiber.join(fiber) : undefined
  })

/** Liars of both accounts at once, until they have had enough. */
const lie = Effect.fnUntraced(function* ({ declared, random, seed, violations }: Life) {
  const lies = pick(random, [0, 0.02, 0.05, 0.1, 0.25])
  const liars = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, index) => {
    const own = Fixture.seeded(31 * seed + index)
    const liar: LyingClient.Liar = { random: own, lies, declared, left: 5 + Math.floor(own() * 100) }
    const session = Effect.exit(Effect.scoped(LyingClient.talk(liar, own() < 0.7 ? Fixture.ada : Fixture.grace)))
    return Effect.repeat(session, { while: () => liar.left > 0 })
  })
  const ended = yield* passing(Effect.all(liars, { concurrency: "unbounded" }), 4000, random)
  if (ended === undefined) violations.push("a client is stuck")
})

const isStaged = (path: string): boolean => path.startsWith(`${stagingFolder}/`)

/** Whole files alone, each name once, and no more than the quota; gives how much there is. */
const checkFiles = Effect.fnUntraced(function* (life: Life, when: string) {
  const { control, declared, grant, ill, violations } = life
  const digest = yield* Digest
  const held = [...(yield* control.files)].filter(([path]) => !isStaged(path))
  for (const [path, content] of held) {
    if (!declared.has(digestOf(digest, [content]))) violations.push(`${when}: of ${path} nobody has told the digest`)
  }
  const bytes = held.reduce((sum, [, content]) => sum + content.length, 0)
  const files = held.length
  // A rename that a disk has broken off leaves two names until the next start.
  if (ill !== "sound") return { bytes, files }
  if (new Set(held.map(([path]) => segmentKey(path))).size < files) violations.push(`${when}: a name is there twice`)
  const { bytes: bytesMax = bytes, files: filesMax = files } = grant.quota ?? {}
  if (bytes > bytesMax || files > filesMax) violations.push(`${when}: the quota does not hold`)
  return { bytes, files }
})

/** Nobody is connected, and nothing is held. */
const checkQuiet = Effect.fnUntraced(function* (life: Life, server: Context.Context<FileStore | Meter | Seats>) {
  const { control, disk, grant, ill, violations } = life
  const { all } = yield* Context.get(server, Seats).count
  if (all > 0) violations.push(`${all} seats are taken by nobody`)
  const open = yield* control.openFiles
  if (open > 0) violations.push(`${open} files are open for nobody`)
  const there = yield* checkFiles(life, "when all have gone")
  const usage = yield* Context.get(server, Meter).usage(grant.root)
  if (usage !== undefined) {
    const { reserved, used } = usage
    if (reserved.bytes + reserved.files > 0) violations.push(`${JSON.stringify(reserved)} is reserved for nobody`)
    const isLess = used.bytes < there.bytes || used.files < there.files
    const isMore = used.bytes > there.bytes || used.files > there.files
    // Of what a disk has broken off too much may be counted.
    if (isLess || (isMore && ill === "sound")) {
      violations.push(`counted are ${JSON.stringify(used)}, and there is ${JSON.stringify(there)}`)
    }
  }
  for (const [path, content] of yield* control.files) {
    const isKept = path.includes("/r-") && content.length >= resumeBytesMin
    if (isStaged(path) && !isKept && ill === "sound") violations.push(`${path} is staged for nobody`)
  }
  const size = yield* Effect.orElseSucceed(disk.freeBytes, () => 0)
  const whole = Context.get(server, FileStore).stage({ name: FileName.make("probe"), size, modified: 0 })
  const probe = yield* Effect.exit(Effect.scoped(whole))
  if (Exit.isFailure(probe)) violations.push(`what is free cannot be had: ${String(probe.cause)}`)
})

/** A client that keeps to the protocol. */
const honest = Effect.fnUntraced(function* ({ declared, grant }: Life) {
  const session = yield* connect(Fixture.ada)
  yield* Stream.runDrain(session.fetch)
  for (const name of LyingClient.names) {
    yield* Effect.catchTag(session.remove(name), "RequestRefused", () => Effect.void)
  }
  if (grant.quota !== undefined) return
  const content = Uint8Array.of(1)
  declared.add(digestOf(yield* Digest, [content]))
  yield* session.upload(FileName.make("proof"), Fixture.source(content))
}, Effect.scoped)

const live = Effect.fnUntraced(function* (seed: number) {
  const life = yield* begin(seed)
  const { control, disk, ill, random, violations } = life
  const start = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const built = yield* Effect.exit(Layer.buildWithMemoMap(serverOf(life), Layer.makeMemoMapUnsafe(), scope))
    return { built, scope }
  })
  const stop = Effect.fnUntraced(function* (scope: Scope.Closeable) {
    if ((yield* passing(Scope.close(scope, Exit.void), 300)) === undefined) violations.push("the server does not stop")
  })
  const { built, scope } = yield* start
  const server = yield* built
  const at = (yield* control.operations) + 1 + Math.floor(random() ** 2 * 500)
  const codes = ill === "full" ? (["ENOSPC"] as const) : (["EIO", "EACCES", "ENOENT", "EEXIST"] as const)
  const faults = ill === "full" ? 30 : ill === "fails" ? 5 : 0
  for (let more = 0; more < faults; more += 1) yield* control.failAt(at + 2 * more, pick(random, codes))
  if (ill === "cut") yield* control.cutAt(at)
  yield* Effect.provideContext(lie(life), server)
  for (let minute = 0; minute < 20; minute += 1) yield* Effect.andThen(settle, TestClock.adjust(60_000))
  if (ill !== "cut") {
    // Faults that nothing has met are used up.
    while ((yield* control.operations) < at + 60) yield* Effect.ignore(disk.freeBytes)
    yield* Effect.provideContext(checkQuiet(life, server), server)
    const served = yield* passing(Effect.provideContext(honest(life), server), 400)
    if (served === undefined || Exit.isFailure(served)) violations.push(`an honest client: ${String(served)}`)
  }
  yield* stop(scope)
  yield* control.crash
  yield* Effect.provideContext(checkFiles(life, "behind a power cut"), server)
  const again = yield* start
  if (Exit.isFailure(again.built)) violations.push(`it does not start again: ${String(again.built.cause)}`)
  yield* Effect.provideContext(checkFiles(life, "started again"), server)
  yield* stop(again.scope)
  return violations
})

describe("clients that lie", () => {
  it.effect(
    "leave whole files alone, and nothing that is held for nobody",
    () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 40; seed += 1) assert.deepStrictEqual(yield* live(seed), [], `seed ${seed}`)
      }),
    120_000
  )
})
