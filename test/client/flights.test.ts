/**
 * How often a client waits for the network: one-way trips between the first byte and the listing.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { Kem, type KemKeyPair } from "../../src/domain/channel/Kem.ts"
import { helloOf } from "../../src/domain/channel/Protocol.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { connectRetryMilliseconds } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { MemoryNetwork, pair } from "../../src/domain/testing/MemorySocket.ts"
import { layer, settle, Watch } from "../server/world.ts"

const oneWayMilliseconds = 50

/** A link that delivers what was sent `oneWayMilliseconds` later, ends included, and knows how much is on its way. */
const makeLink = () => {
  let flying = 0
  const pump = (from: Socket.Reader, to: Scope.Closeable, writer: Socket.Writer) =>
    Effect.gen(function* () {
      const sent = yield* Queue.unbounded<{ readonly at: number; readonly arrival: Effect.Effect<void> }>()
      const send = (arrival: Effect.Effect<void>) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          flying += 1
          return Queue.offer(sent, { at: now + oneWayMilliseconds, arrival })
        })
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.flatMap(from.pull, (pieces) =>
            Effect.forEach(pieces, (piece) => send(Effect.ignore(writer.write(piece))), { discard: true })
          )
        ).pipe(Effect.catchCause(() => send(Scope.close(to, Exit.void))))
      )
      const deliver = Effect.gen(function* () {
        const { arrival, at } = yield* Queue.take(sent)
        yield* Effect.sleep(Math.max(0, at - (yield* Clock.currentTimeMillis)))
        yield* arrival
        flying -= 1
      })
      yield* Effect.forkScoped(Effect.forever(deliver))
    })

  const dial = Effect.gen(function* () {
    const scope = yield* Effect.scope
    const far = yield* (yield* MemoryNetwork).dial
    const [near, middle] = yield* pair
    const between = Effect.gen(function* () {
      const [forth, back] = [yield* Scope.fork(scope), yield* Scope.fork(scope)]
      const [fromNear, fromFar] = [yield* middle.reader, yield* far.reader]
      yield* pump(fromNear, forth, yield* Scope.provide(far.writer, forth))
      yield* pump(fromFar, back, yield* Scope.provide(middle.writer, back))
    })
    yield* Effect.orDie(Scope.provide(between, scope))
    return near
  })
  return { dial, flying: () => flying }
}

type Link = ReturnType<typeof makeLink>

/** One-way trips that the work has to wait for. The clock moves only when nothing else can. */
const trips = <A, E, R>(work: (link: Link) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const link = makeLink()
    const fiber = yield* Effect.forkChild(work(link))
    let count = 0
    while (fiber.pollUnsafe() === undefined) {
      // Not all that runs meanwhile is a fiber's: on a busy machine it takes more turns.
      yield* Effect.repeat(settle, { times: 9 })
      if (link.flying() === 0 || fiber.pollUnsafe() !== undefined) continue
      yield* TestClock.adjust(oneWayMilliseconds)
      count += 1
    }
    const result = yield* Fiber.join(fiber)
    // The goodbye is still on its way.
    yield* TestClock.adjust(oneWayMilliseconds)
    yield* settle
    return { count, result }
  })

const connect = (link: Link, scope: Scope.Scope, eager: boolean) =>
  Effect.flatMap(MemoryNetwork, (network) =>
    Client.connect({
      server: "memory",
      dial: Scope.provide(Effect.provideService(link.dial, MemoryNetwork, network), scope),
      ...Fixture.ada,
      eager
    })
  )

const directly = Effect.flatMap(MemoryNetwork, ({ dial }) => Client.connect({ server: "memory", dial, ...Fixture.ada }))

/** A server, and what commands of a client have here. */
const commands = () =>
  Layer.mergeAll(LocalFilesMemory.layer(), ReporterText.layer("")).pipe(
    Layer.provideMerge(Screen.layerMemory({ written: { out: "", err: "" } })),
    Layer.provideMerge(layer())
  )

const tree = { remove: false, dryRun: false, checksum: false, include: [], exclude: [] }

const content = new TextEncoder().encode("hello")

describe("round trips", () => {
  const listing = (eager: boolean) =>
    Effect.flatMap(Effect.scope, (scope) =>
      trips((link) =>
        Effect.scoped(Effect.flatMap(connect(link, scope, eager), (session) => Stream.runCollect(session.fetch)))
      )
    )

  it.effect("three to a listing and to a goodbye: the key exchange, the login, and the command with its end", () =>
    Effect.gen(function* () {
      const { count, result } = yield* listing(true)
      assert.deepStrictEqual(result, [])
      assert.strictEqual(count, 6)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("four for who waits to be confirmed", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* listing(false)).count, 8)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("three to an upload: the content leaves with the end of the login", () =>
    Effect.gen(function* () {
      const name = FileName.make("note.txt")
      const scope = yield* Effect.scope
      const { count, result } = yield* trips((link) =>
        Effect.scoped(
          Effect.flatMap(connect(link, scope, true), (session) => session.upload(name, Fixture.source(content)))
        )
      )
      assert.strictEqual(result.size, content.length)
      assert.strictEqual(count, 6)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("three to a folder that is sent: nobody lists first what may be in its way", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const files = yield* LocalFilesMemory.MemoryFiles
      for (const name of ["a", "b/c", "b/d"]) files.set(`tree/${name}`, { bytes: content, modified: 0 })
      const { count, result } = yield* trips((link) =>
        Commands.run({ _tag: "Upload", files: ["tree"], as: undefined, tree }).pipe(
          Effect.provide(Sessions.layer(connect(link, scope, true)))
        )
      )
      assert.deepStrictEqual([result, count], [true, 6])
    }).pipe(Effect.provide(commands()))
  )

  it.effect("three to a folder that comes: what is small among the first comes behind the listing", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      yield* Effect.scoped(
        Effect.flatMap(directly, (session) =>
          Effect.forEach(["some/tree/a", "some/tree/b/c", "some/other"], (name) =>
            session.upload(FileName.make(name), Fixture.source(content))
          )
        )
      )
      const downloading = trips((link) =>
        Commands.run({ _tag: "Download", names: ["some/tree"], to: "got", tree }).pipe(
          Effect.provide(Sessions.layer(connect(link, scope, true)))
        )
      )
      assert.deepStrictEqual(yield* downloading, { count: 6, result: true })
      const files = yield* LocalFilesMemory.MemoryFiles
      assert.deepStrictEqual(Array.from(files.keys()).toSorted(), ["got/tree/a", "got/tree/b/c"])
      // Of what is here already nothing is sent before it is asked for.
      files.delete("got/tree/a")
      assert.deepStrictEqual(yield* downloading, { count: 8, result: true })
      assert.strictEqual(files.size, 2)
    }).pipe(Effect.provide(commands()))
  )

  it.effect("many small files are brought up to date in as many as three", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const updating = (count: number) =>
        Effect.gen(function* () {
          const names = Array.from({ length: count }, (_, index) => `f${index}`)
          const files = yield* LocalFilesMemory.MemoryFiles
          const run = (command: "Para" | "Upload", text: string) =>
            trips((link) => {
              for (const name of names)
                files.set(name, { bytes: new TextEncoder().encode(`${text} ${name}`), modified: 0 })
              return Commands.run({ _tag: command, files: names, as: undefined }).pipe(
                Effect.provide(Sessions.layer(connect(link, scope, true)))
              )
            })
          yield* run("Upload", "old")
          const { count: waited, result } = yield* run("Para", "new")
          assert.isTrue(result)
          return waited
        })
      assert.strictEqual(yield* updating(3), yield* updating(100))
    }).pipe(Effect.provide(commands()))
  )

  it.effect("none to the goodbye, which the server takes for one", () =>
    Effect.gen(function* () {
      yield* listing(true)
      assert.deepStrictEqual((yield* Watch).outcomes(), ["bye"])
    }).pipe(Effect.provide(layer()))
  )

  /** The connection, with the hello of a key pair in front of what is written. */
  const greeted = (socket: Socket.Socket, { publicKey }: KemKeyPair): Socket.Socket =>
    Socket.make({
      reader: socket.reader,
      writer: Effect.tap(socket.writer, (writer) => Effect.ignore(writer.write(helloOf(publicKey))))
    })

  it.effect("as many over a connection that was dialled ahead, whose hello is not said again", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const keyPair = yield* (yield* Kem).keyPair
      const network = yield* MemoryNetwork
      const dialled: Array<string> = []
      const { count, result } = yield* trips((link) => {
        const dial = Scope.provide(Effect.provideService(link.dial, MemoryNetwork, network), scope)
        const connected = Client.connect({
          server: "memory",
          ahead: Effect.map(dial, (socket) => ({ socket: greeted(socket, keyPair), keyPair })),
          dial: Effect.suspend(() => (dialled.push("again"), dial)),
          ...Fixture.ada,
          eager: true
        })
        return Effect.scoped(Effect.flatMap(connected, (session) => Stream.runCollect(session.fetch)))
      })
      assert.deepStrictEqual([result, count, dialled], [[], 6, []])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("a connection that was dialled ahead and is closed at once is not the last", () =>
    Effect.gen(function* () {
      const network = yield* MemoryNetwork
      const kem = yield* Kem
      let pairs = 0
      let ahead = 0
      const closed = Effect.gen(function* () {
        const [near, far] = yield* pair
        const keyPair = yield* kem.keyPair
        // The server had no seat.
        yield* Effect.scoped(Effect.flatMap(far.reader, () => far.writer))
        return { socket: greeted(near, keyPair), keyPair }
      })
      const connecting = Client.connect({
        server: "memory",
        ahead: Effect.suspend(() => ((ahead += 1) === 1 ? Effect.orDie(closed) : Effect.undefined)),
        dial: network.dial,
        ...Fixture.ada
      }).pipe(Effect.provideService(Kem, { ...kem, keyPair: Effect.map(kem.keyPair, (pair) => ((pairs += 1), pair)) }))
      const fiber = yield* Effect.forkChild(connecting)
      yield* settle
      yield* TestClock.adjust(connectRetryMilliseconds)
      const session = yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* Stream.runCollect(session.fetch), [])
      assert.deepStrictEqual([ahead, pairs], [2, 1])
    }).pipe(Effect.scoped, Effect.provide(layer()))
  )
})
