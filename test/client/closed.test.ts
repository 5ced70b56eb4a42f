/**
 * One session with many commands at once: each may be interrupted, the session closed, its network cut or silent, or
 * its server stopped, at any step. All of them end, none is ended by another's interruption, and nothing is left.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, type Fiber, Layer, Redacted, Scheduler, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { type CommandError, ConnectionLost } from "../../src/client/ClientError.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import type { Digest } from "../../src/domain/file/Digest.ts"
import type { SourceShrank } from "../../src/domain/transfer/Outgoing.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { type Draw, drawer } from "../draw.ts"
import { layer, settle, Watch, yields } from "../server/world.ts"

const sizes = [10, 3000, 300_000, 1_500_000]
const names = ["a", "b", "c/d", "e"].map((name) => FileName.make(name))

const sink = () => Effect.succeed(Fixture.sink())

const passwords = [Fixture.ada.password, Redacted.make("another password"), Redacted.make("a third password")]

const smallOnes = ({ below, one }: Pick<Draw, "below" | "one">) =>
  Effect.forEach(names, (name) => {
    const content = Fixture.bytes(1 + below(5), one([0, 10, 3000, 30_000]))
    return Effect.map(Fixture.digest(content), (digest) => ({
      name,
      content,
      size: content.length,
      modified: 1000,
      digest
    }))
  })

const command = (session: ClientSession, { below, one }: Draw) => {
  const name = one(names)
  const source = Fixture.source(Fixture.bytes(1 + below(5), one(sizes)))
  const take = () => Effect.void
  const all = {
    upload: Effect.asVoid(session.upload(name, source)),
    download: Effect.asVoid(session.download(name, sink)),
    update: Effect.asVoid(session.update(name, source, sink)),
    para: Effect.asVoid(session.para(name, source)),
    fetch: Stream.runDrain(session.fetch),
    "fetch alike": Stream.runDrain(session.fetchWith({ alike: names, digests: true })),
    "fetch to get": Effect.scoped(Effect.andThen(session.fetchToGet(names), session.downloadBundle(names, take))),
    "upload together": Effect.asVoid(Effect.flatMap(smallOnes({ below, one }), (files) => session.uploadBundle(files))),
    "change the password": session.changePassword({ ...Fixture.ada, current: one(passwords), next: one(passwords) }),
    "download together": Effect.asVoid(session.downloadBundle(names, take)),
    describe: Effect.asVoid(session.describe(name)),
    remove: Effect.asVoid(session.remove(name)),
    rename: Effect.asVoid(session.rename(name, one(names), { replace: true }))
  }
  const [what, work] = one(Object.entries<Work>(all))
  return { what, work }
}

type Failed = CommandError | SourceShrank

type Work = Effect.Effect<void, Failed, Digest | Opaque>

interface Running {
  readonly what: string
  readonly fiber: Fiber.Fiber<void, Failed>
  interrupted: boolean
}

/** What may come over all commands in their middle. */
const events = [
  "nothing",
  "the scope is closed",
  "the server stops",
  "closed",
  "closed, and the scope",
  "the network is cut",
  "the network falls silent"
] as const

const happening = (
  event: (typeof events)[number],
  session: ClientSession,
  scope: Scope.Closeable,
  world: Scope.Closeable,
  network: Network
) => {
  const closeScope = Scope.close(scope, Exit.void)
  switch (event) {
    case "nothing":
      return Effect.void
    case "the scope is closed":
      return closeScope
    case "the server stops":
      return Scope.close(world, Exit.void)
    case "the network is cut":
      return Effect.asVoid(Deferred.succeed(network.cut, undefined))
    case "the network falls silent":
      return Effect.sync(() => void (network.silent = true))
    case "closed":
      return session.close
    case "closed, and the scope":
      return Effect.andThen(session.close, closeScope)
  }
}

/** What happens to the connection. */
interface Network {
  readonly cut: Deferred.Deferred<void>
  silent: boolean
}

/** From the moment on when it is silent nothing crosses, and nobody is told. */
const through = (socket: Socket.Socket, network: Network): Socket.Socket =>
  Socket.make({
    reader: Effect.map(socket.reader, (inner) => ({
      ...inner,
      pull: Effect.flatMap(inner.pull, (chunks) => (network.silent ? Effect.never : Effect.succeed(chunks)))
    })),
    writer: Effect.map(socket.writer, (inner) => ({
      write: (chunk) => (network.silent ? Effect.never : inner.write(chunk)),
      writeAll: (chunks) => (network.silent ? Effect.never : inner.writeAll(chunks))
    }))
  })

/** Two minutes, which is longer than anybody waits for anything. */
const longAfter = Effect.forEach(
  Array.from({ length: 60 }),
  () => Effect.andThen(settle, TestClock.adjust("2 seconds")),
  { discard: true }
)

const begin = Effect.fnUntraced(function* (session: ClientSession, drawn: Draw) {
  const running: Array<Running> = []
  for (let left = 1 + drawn.below(12); left > 0; left--) {
    const { what, work } = command(session, drawn)
    // How many steps a fiber takes before others have their turn: so they meet at other places with each seed.
    const inTurns = Effect.provideService(work, Scheduler.MaxOpsBeforeYield, 3 + drawn.below(60))
    running.push({ what, fiber: yield* Effect.forkDetach(inTurns), interrupted: false })
    yield* yields(drawn.below(4))
  }
  return running
})

/** Whether this may be the end of a command. */
const isSound = (event: (typeof events)[number], { fiber, interrupted }: Running): boolean => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return false
  if (Exit.isSuccess(exit)) return true
  return exit.cause.reasons.every((reason) => {
    if (reason._tag === "Interrupt") return interrupted
    if (reason._tag === "Die") return false
    const { error } = reason
    if (event !== "nothing") return error._tag !== "ProtocolBroken"
    return error._tag === "RequestRefused" && error.reason !== "draining"
  })
}

const run = Effect.fnUntraced(function* (seed: number) {
  const drawn = drawer(seed)
  const world = yield* Scope.make()
  const scope = yield* Scope.make()
  const files = names.map((name, index) => ({ name, content: Fixture.bytes(9, sizes[index] ?? 0) }))
  const context = yield* Layer.buildWithScope(layer({ files }), world)
  yield* Effect.gen(function* () {
    const { held } = yield* Watch
    const { dial } = yield* MemoryNetwork
    const eager = drawn.chance(0.5)
    const network: Network = { cut: yield* Deferred.make<void>(), silent: false }
    const faults = { seed, cutWhen: Deferred.await(network.cut), hangWhenCut: drawn.chance(0.5) }
    const faulty = Effect.map(dial, (socket) => FaultySocket.wrap(through(socket, network), faults))
    const connecting = Client.connect({ server: "memory", dial: faulty, ...Fixture.ada, eager })
    const session = yield* Effect.provideService(connecting, Scope.Scope, scope)
    const running = yield* begin(session, drawn)
    const event = drawn.one(events)
    let ending: Fiber.Fiber<void> | undefined
    for (let step = 0; step < 30; step++) {
      yield* yields(drawn.below(30))
      const one = drawn.chance(0.3) ? running[drawn.below(running.length)] : undefined
      if (one !== undefined) {
        one.interrupted = true
        one.fiber.interruptUnsafe()
      }
      if (step === 15) ending = yield* Effect.forkDetach(happening(event, session, scope, world, network))
    }
    yield* longAfter
    const wrong = running.filter((one) => !isSound(event, one))
    assert.deepStrictEqual(
      wrong.map(({ fiber, what }) => [what, fiber.pollUnsafe()]),
      [],
      `seed ${seed}: ${event}`
    )
    assert.isDefined(ending?.pollUnsafe(), `seed ${seed}: ${event}`)
    if (event === "nothing") {
      // Interruptions alone leave it as good as it was.
      const after = yield* Effect.forkDetach(
        Effect.forEach(names, (name) => session.upload(name, Fixture.source(Fixture.bytes(3, 200_000))), {
          concurrency: names.length,
          discard: true
        })
      )
      yield* longAfter
      assert.deepStrictEqual(after.pollUnsafe(), Exit.void, `seed ${seed}`)
    }
    const over = Effect.andThen(Scope.close(scope, Exit.void), Scope.close(world, Exit.void))
    const end = yield* Effect.forkDetach(over)
    yield* longAfter
    assert.deepStrictEqual(end.pollUnsafe(), Exit.void, `seed ${seed}: ${event}`)
    assert.deepStrictEqual(held, { stagings: 0, files: 0 }, `seed ${seed}: ${event}`)
  }).pipe(Effect.provideContext(context), Effect.provideService(Scheduler.MaxOpsBeforeYield, 3 + drawn.below(60)))
})

describe("a session with many commands", () => {
  for (const from of [0, 1000]) {
    it.effect(
      `that ends or is used on at any step leaves none of them waiting: seeds from ${from}`,
      () =>
        Effect.forEach(
          Array.from({ length: 40 }, (_, index) => from + index),
          run,
          { discard: true }
        ),
      120_000
    )
  }
})

/** Reads as a source of those bytes until it gives nothing more, from the read of that number on. */
const stuck = (size: number, reads: number) => {
  const source = Fixture.source(Fixture.bytes(9, size))
  let left = reads
  return {
    ...source,
    read: (offset: number, length: number) =>
      Effect.suspend(() => (left-- > 0 ? source.read(offset, length) : Effect.never))
  }
}

describe("a source that gives nothing more", () => {
  const [small, large] = [3000, 5_000_000]
  const files = [
    { name: FileName.make("small"), content: Fixture.bytes(9, small) },
    { name: FileName.make("large"), content: Fixture.bytes(8, large) }
  ]
  const cases: Record<string, (session: ClientSession) => Work> = {
    "of a small file": ({ upload }) => Effect.asVoid(upload(FileName.make("new"), stuck(small, 0))),
    "at the head of a file": ({ upload }) => Effect.asVoid(upload(FileName.make("new"), stuck(large, 0))),
    "in the middle of a file": ({ upload }) => Effect.asVoid(upload(FileName.make("new"), stuck(large, 4))),
    "of an equal file": ({ para }) => Effect.asVoid(para(FileName.make("small"), stuck(small, 0))),
    "at the head of an update": ({ para }) => Effect.asVoid(para(FileName.make("large"), stuck(large, 0))),
    "in the middle of an update": ({ para }) => Effect.asVoid(para(FileName.make("large"), stuck(large, 2)))
  }
  for (const [where, work] of Object.entries(cases)) {
    it.effect(`${where} keeps no command waiting when the session is over`, () =>
      Effect.gen(function* () {
        const { dial } = yield* MemoryNetwork
        const cut = yield* Deferred.make<void>()
        const faulty = Effect.map(dial, (socket) =>
          FaultySocket.wrap(socket, { seed: 1, cutWhen: Deferred.await(cut) })
        )
        const session = yield* Client.connect({ server: "memory", dial: faulty, ...Fixture.ada })
        const running = yield* Effect.forkChild(Effect.flip(work(session)))
        yield* settle
        assert.isUndefined(running.pollUnsafe())
        yield* Deferred.succeed(cut, undefined)
        yield* longAfter
        const exit = running.pollUnsafe() ?? assert.fail("it waits on")
        assert.strictEqual((yield* exit)._tag, "ConnectionLost")
      }).pipe(Effect.scoped, Effect.provide(layer({ files })))
    )

    it.effect(`${where} ends with the session that is closed here, which is what its command is told`, () =>
      Effect.gen(function* () {
        const { dial } = yield* MemoryNetwork
        const session = yield* Client.connect({ server: "memory", dial, ...Fixture.ada })
        const running = yield* Effect.forkChild(Effect.flip(work(session)))
        yield* settle
        assert.isUndefined(running.pollUnsafe())
        yield* Effect.forkChild(session.close)
        yield* longAfter
        const exit = running.pollUnsafe() ?? assert.fail("it waits on")
        const told = new ConnectionLost({ reason: "the session was closed" })
        assert.deepStrictEqual(yield* exit, told)
        assert.deepStrictEqual(yield* Effect.flip(session.describe(FileName.make("small"))), told)
      }).pipe(Effect.scoped, Effect.provide(layer({ files })))
    )
  }
})
