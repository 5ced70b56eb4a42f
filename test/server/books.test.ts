/**
 * What a server writes down of its sessions, against what their clients were told and what is there in the end: of
 * several sessions with many commands, which are interrupted, cut, silent, or whose server stops at any step.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Redacted, Scheduler, Scope, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import type { Refusals } from "../../src/client/Bundles.ts"
import type { CommandError } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import type { Digest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import type { SourceShrank } from "../../src/domain/transfer/Outgoing.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { Audit } from "../../src/server/Audit.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { type Draw, drawer } from "../draw.ts"
import { layer, settle, Watch, yields } from "./world.ts"

const names = ["a", "b", "c/d", "e"].map((name) => FileName.make(name))
const sizes = [10, 3000, 300_000, 1_500_000]
const commands = ["fetch", "describe", "upload", "download", "para", "remove", "rename", "passwd"]
const passwords = [Fixture.ada.password, Redacted.make("another password"), Redacted.make("a third password")]

/** What one command is called in the books, and the content that it puts there. */
interface Asked {
  readonly key: string
  readonly after?: string
}

const command = Effect.fnUntraced(function* (
  session: ClientSession,
  { below, chance, one }: Draw
): Effect.fn.Return<Command, never, Digest> {
  const [name, to] = [one(names), one(names)]
  const content = Fixture.bytes(1 + below(5), one(sizes))
  const after = yield* Fixture.digest(content)
  const source = Fixture.source(content)
  const sink = () => Effect.succeed(Fixture.sink())
  const change = { ...Fixture.ada, current: one(passwords), next: one(passwords) }
  const together = [...new Set([name, to, one(names)])]
  const smalls = yield* Effect.forEach(together, (name, index) => smallUpload(name, content.subarray(index, 3000)))
  const bundle: Command = {
    asked: smalls.map(({ digest, name }) => ({ key: `upload ${name}`, after: digest })),
    work: session.uploadBundle(smalls)
  }
  const got: Command = {
    asked: together.map((name) => ({ key: `download ${name}` })),
    work: session.downloadBundle(together, () => Effect.void)
  }
  if (chance(0.25)) return one([bundle, got])
  const { asked, work } = one<{ readonly asked: Asked; readonly work: Effect.Effect<void, Failed, Digest | Opaque> }>([
    { asked: { key: `upload ${name}`, after }, work: Effect.asVoid(session.upload(name, source)) },
    { asked: { key: `para ${name}`, after }, work: Effect.asVoid(session.para(name, source)) },
    { asked: { key: `download ${name}` }, work: Effect.asVoid(session.download(name, sink)) },
    { asked: { key: `describe ${name}` }, work: Effect.asVoid(session.describe(name)) },
    { asked: { key: `remove ${name}` }, work: Effect.asVoid(session.remove(name)) },
    { asked: { key: `rename ${name} ${to}` }, work: Effect.asVoid(session.rename(name, to, { replace: true })) },
    { asked: { key: "fetch" }, work: Stream.runDrain(session.fetch) },
    { asked: { key: "passwd" }, work: session.changePassword(change) }
  ])
  return { asked: [asked], work: Effect.as(work, noRefusals) }
})

const noRefusals: Refusals = new Map()

const smallUpload = (name: FileName, content: Uint8Array) =>
  Effect.map(Fixture.digest(content), (digest) => ({ name, size: content.length, modified: 0, digest, content }))

const longAfter = Effect.forEach(
  Array.from({ length: 60 }),
  () => Effect.andThen(settle, TestClock.adjust("2 seconds")),
  { discard: true }
)

type Failed = CommandError | SourceShrank

/** One command, and what it is called for each file that it is about: what was refused of them is by their places. */
interface Command {
  readonly asked: ReadonlyArray<Asked>
  readonly work: Effect.Effect<Refusals, Failed, Digest | Opaque>
}

/** What the clients were told of one kind of command. */
interface Told {
  readonly done: Array<string | undefined>
  readonly refused: Array<string>
  unknown: number
}

const tally = (
  all: ReadonlyArray<{ readonly asked: ReadonlyArray<Asked>; readonly exit: Exit.Exit<Refusals, Failed> }>
) => {
  const told = new Map<string, Told>()
  const each = all.flatMap(({ asked, exit }) => asked.map((one, place) => ({ ...one, place, exit })))
  for (const { after, exit, key, place } of each) {
    const one = told.get(key) ?? { done: [], refused: [], unknown: 0 }
    told.set(key, one)
    if (Exit.isSuccess(exit)) {
      const refusal = exit.value.get(place)
      if (refusal === undefined) one.done.push(after)
      else one.refused.push(String(refusal.reason))
      continue
    }
    const [reason] = exit.cause.reasons
    if (reason?._tag === "Fail" && reason.error._tag === "RequestRefused") {
      // Whoever cannot prove the present password finds it out, and cancels.
      one.refused.push(reason.error.reason === "incorrect" ? "cancelled" : String(reason.error.reason))
    } else one.unknown += 1
  }
  return told
}

// -----------------------------------------------------------------------------
// Clients and what comes over them
// -----------------------------------------------------------------------------

interface Running {
  readonly asked: ReadonlyArray<Asked>
  readonly fiber: Fiber.Fiber<Refusals, Failed>
}

/** Sessions of one account, whose networks may be cut. */
const connected = Effect.fnUntraced(function* (seed: number, { below, chance }: Draw) {
  const { dial } = yield* MemoryNetwork
  return yield* Effect.forEach(Array.from({ length: 1 + below(3) }), (_, index) =>
    Effect.gen(function* () {
      const cut = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const faults = { seed: seed + index, cutWhen: Deferred.await(cut), hangWhenCut: chance(0.3) }
      const faulty = Effect.map(dial, (socket) => FaultySocket.wrap(socket, faults))
      const connecting = Client.connect({ server: "memory", dial: faulty, ...Fixture.ada })
      return { cut, scope, session: yield* Effect.provideService(connecting, Scope.Scope, scope) }
    })
  )
})

const commanded = Effect.fnUntraced(function* (sessions: ReadonlyArray<ClientSession>, drawn: Draw) {
  const running: Array<Running> = []
  for (let left = 3 + drawn.below(20); left > 0; left--) {
    const { asked, work } = yield* command(drawn.one(sessions), drawn)
    const inTurns = Effect.provideService(work, Scheduler.MaxOpsBeforeYield, 3 + drawn.below(60))
    running.push({ asked, fiber: yield* Effect.forkDetach(inTurns) })
    yield* yields(drawn.below(4))
  }
  return running
})

const run = Effect.fnUntraced(function* (seed: number) {
  const drawn = drawer(seed)
  const world = yield* Scope.make()
  const files = names.map((name, index) => ({ name, content: Fixture.bytes(9, sizes[index] ?? 0) }))
  const audit = yield* Effect.provide(Audit, Audit.layerMemory)
  const full = drawn.chance(0.3) ? { noSpaceAtWrite: 1 + drawn.below(12) } : {}
  // What is done takes its time, so that a session may end meanwhile.
  const slowly = Effect.suspend(() => yields(drawn.below(1500)))
  const options = { files, audit: Layer.succeed(Audit, audit), beforeCommit: slowly, afterChange: slowly, ...full }
  const context = yield* Layer.buildWithScope(layer(options), world)
  yield* Effect.gen(function* () {
    const clients = yield* connected(seed, drawn)
    const running = yield* commanded(
      clients.map(({ session }) => session),
      drawn
    )
    const accounts = yield* Accounts
    const disabling = Effect.ignore(accounts.change(Fixture.ada.user, (before) => ({ ...before, disabled: true })))
    // Some of them never.
    const [cuts, stops, disables] = [drawn.below(40), drawn.below(120), drawn.below(120)]
    for (let step = 0; step < 30; step++) {
      yield* yields(drawn.below(60))
      if (drawn.chance(0.15)) drawn.one(running).fiber.interruptUnsafe()
      if (step === disables) yield* Effect.andThen(disabling, TestClock.adjust("1 second"))
      if (step === cuts) yield* Deferred.succeed(drawn.one(clients).cut, undefined)
      if (step === stops) yield* Effect.forkDetach(Scope.close(world, Exit.void))
    }
    yield* longAfter
    const exits = yield* Effect.forEach(running, ({ asked, fiber }) =>
      Effect.map(Fiber.await(fiber), (exit) => ({ asked, exit }))
    )
    yield* Effect.forEach(clients, ({ scope }) => Effect.forkDetach(Scope.close(scope, Exit.void)), { discard: true })
    yield* longAfter
    const initial = yield* Effect.forEach(files, ({ content }) => Fixture.digest(content))
    const books = [yield* onRecord(tally(exits), initial), yield* counted, yield* left]
    assert.deepStrictEqual(books, [[], [], []], `seed ${seed}`)
  }).pipe(
    Effect.provideContext(context),
    Effect.provideService(Audit, audit),
    Effect.provideService(Scheduler.MaxOpsBeforeYield, 3 + drawn.below(60))
  )
  yield* Scope.close(world, Exit.void)
})

// -----------------------------------------------------------------------------
// The books
// -----------------------------------------------------------------------------

const records = Effect.gen(function* () {
  const all = yield* Stream.runCollect((yield* Audit).records)
  return all.flatMap((one) => (one._tag === "command" ? [one] : []))
})

type Recorded = Effect.Success<typeof records>[number]

const keyOf = ({ command, name, to }: Recorded) => [command, name, to].filter((part) => part !== undefined).join(" ")

/** What is wrong with the records of one kind of command. */
const kindOnRecord = (own: ReadonlyArray<Recorded>, { done, refused, unknown }: Told): ReadonlyArray<string> => {
  const count = (outcome: string, after?: string) =>
    own.filter((one) => one.outcome === outcome && (after === undefined || one.after === after)).length
  const heardOf = (reason: string) => refused.filter((one) => one === reason).length
  const wrong: Array<string> = []
  const check = (what: string, found: number, least: number, most: number) => {
    if (found < least || found > most) wrong.push(`${what}: ${found}, not ${least} to ${most}`)
  }
  check("all", own.length, 0, done.length + refused.length + unknown)
  check("done", count("done"), done.length, done.length + unknown)
  for (const reason of new Set([...refused, ...own.map(({ outcome }) => outcome)])) {
    if (reason === "done" || reason === "interrupted") continue
    // That somebody cancels may be lost with the connection.
    const lost = reason === "cancelled" ? count("interrupted") : 0
    check(reason, count(reason), heardOf(reason) - lost, heardOf(reason) + unknown)
  }
  for (const after of new Set(done)) {
    if (after === undefined) continue
    check(after, count("done", after), done.filter((one) => one === after).length, own.length)
  }
  wrong.push(...own.flatMap(({ after, outcome }) => (outcome !== "done" && after ? [`${outcome} with ${after}`] : [])))
  return wrong
}

/** The digests of all files that are there. */
const there = Effect.gen(function* () {
  const store = yield* FileStore
  const digests = yield* Effect.forEach(names, (name) =>
    store.open(name).pipe(
      Effect.flatMap((file) => file.read(0, Math.max(...sizes))),
      Effect.flatMap(Fixture.digest),
      Effect.catchTag("NoSuchFile", () => Effect.undefined),
      Effect.scoped
    )
  )
  return digests.filter((digest) => digest !== undefined)
})

/** What is on record and not what the clients were told, or of content that was never there. */
const onRecord = Effect.fnUntraced(function* (told: ReadonlyMap<string, Told>, initial: ReadonlyArray<string>) {
  const all = yield* records
  const nothing: Told = { done: [], refused: [], unknown: 0 }
  const wrong = Array.from(new Set([...told.keys(), ...all.map(keyOf)])).flatMap((key) =>
    kindOnRecord(
      all.filter((one) => keyOf(one) === key),
      told.get(key) ?? nothing
    ).map((text) => `${key}: ${text}`)
  )
  const places = (one: Recorded) => one.outcome === "done" && ["upload", "para"].includes(one.command)
  const placed = new Set([...initial, ...all.flatMap((one) => (places(one) && one.after ? [one.after] : []))])
  const claimed = all.flatMap(({ after, before }) => [before, after].filter((digest) => digest !== undefined))
  return [...wrong, ...[...claimed, ...(yield* there)].filter((digest) => !placed.has(digest))]
})

/** What the metrics say and the records do not. */
const counted = Effect.gen(function* () {
  const all = yield* records
  const metrics = (yield* PrometheusMetrics.format()).split("\n")
  const gauge = /^paradrop_(sessions|commands_open|staging_bytes)\b[^ ]* [^0]/
  const wrong = metrics.filter((line) => gauge.test(line))
  for (const command of commands) {
    for (const outcome of ["done", "interrupted"]) {
      const count = all.filter((one) => one.command === command && one.outcome === outcome).length
      const line = `paradrop_commands_total{command="${command}",outcome="${outcome}"} `
      const found = metrics.find((one) => one.startsWith(line)) ?? `${line}0`
      if (found !== `${line}${count}`) wrong.push(`${found}, not ${count}`)
    }
  }
  return wrong
})

/** What a session has left when it was over. */
const left = Effect.gen(function* () {
  const { held } = yield* Watch
  const shown = yield* (yield* ServerStatus).sessions
  return [...shown.map(({ id }) => `session ${id} is shown`), ...(held.files + held.stagings > 0 ? ["held"] : [])]
})

describe("the books of a server", () => {
  it.effect(
    "agree with what its clients were told, and with what was there",
    () =>
      Effect.forEach(
        Array.from({ length: 40 }, (_, seed) => seed),
        run,
        { discard: true }
      ),
    120_000
  )
})
