/**
 * What the hot paths cost, counted instead of timed: records, writes to sockets, operations of the disk, steps of
 * effects and bytes that are copied, for each block, small file, login and name.
 *
 * Figures are slopes: what twenty more cost, by twenty. So they hold for any machine and any load, and a change that
 * doubles the work of a path is seen. Client and server are counted together, with the sockets and the disk in memory
 * that stand for the real ones. Who makes a path cheaper lowers its bound.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Scheduler, type Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Socket, SocketServer } from "effect/socket"
import { FileName } from "../../src/domain/file/FileName.ts"
import { contentBlockBytes } from "../../src/domain/limits.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as FakeCipher from "../../src/domain/testing/FakeCipher.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"
import { quickCrypto } from "../crypto.ts"
import { connect } from "./world.ts"

/** What was counted. */
interface Counts {
  /** sealed, by both ends */
  readonly records: number
  /** calls that hand bytes to a socket, of both ends */
  readonly socketWrites: number
  /** of the server's disk */
  readonly diskOperations: number
  /** steps of effects, in all fibers */
  readonly steps: number
  /** bytes that typed arrays were asked to copy */
  readonly copied: number
}

type Kind = keyof Counts
const kinds: ReadonlyArray<Kind> = ["records", "socketWrites", "diskOperations", "steps", "copied"]

class Tally extends Context.Service<Tally, { socketWrites: number; steps: number }>()("test/server/Tally") {}

const counted = (tally: Tally["Service"], socket: Socket.Socket): Socket.Socket =>
  Socket.make({
    reader: socket.reader,
    writer: Effect.map(socket.writer, ({ write, writeAll }) => ({
      write: (chunk) => Effect.suspend(() => ((tally.socketWrites += 1), write(chunk))),
      writeAll: (chunks) => Effect.suspend(() => ((tally.socketWrites += 1), writeAll(chunks)))
    }))
  })

const countedSockets = Layer.effect(
  SocketServer.SocketServer,
  Effect.gen(function* () {
    const tally = yield* Tally
    const { address, run } = yield* SocketServer.SocketServer
    return SocketServer.SocketServer.of({ address, run: (handler) => run((socket) => handler(counted(tally, socket))) })
  })
)

class CountingScheduler extends Scheduler.MixedScheduler {
  readonly tally: Tally["Service"]
  constructor(tally: Tally["Service"]) {
    super()
    this.tally = tally
  }
  override shouldYield(fiber: Parameters<Scheduler.MixedScheduler["shouldYield"]>[0]) {
    this.tally.steps += 1
    return super.shouldYield(fiber)
  }
}

const world = Server.layer.pipe(
  Layer.provide(countedSockets),
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(Layer.orDie(Fixture.accounts)),
  Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
  Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto]),
  Layer.provideMerge(FakeCipher.layerCounting),
  Layer.provideMerge(quickCrypto)
)

/** Counts bytes that are copied while the effect runs. */
const copies = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      // They are inherited: what is put before them can be taken away again.
      const { set, slice } = Uint8Array.prototype
      const count = { bytes: 0 }
      Object.assign(Uint8Array.prototype, {
        set(this: Uint8Array, source: ArrayLike<number>, offset?: number) {
          count.bytes += source.length
          return set.call(this, source, offset)
        },
        slice(this: Uint8Array, from?: number, to?: number) {
          const part = slice.call(this, from, to)
          count.bytes += part.length
          return part
        }
      })
      return count
    }),
    (count) => Effect.map(effect, () => count.bytes),
    () => Effect.sync(() => ["set", "slice"].forEach((name) => Reflect.deleteProperty(Uint8Array.prototype, name)))
  )

type World = Layer.Success<typeof world> | Tally | Scope.Scope

const connected = Effect.gen(function* () {
  const tally = yield* Tally
  return yield* connect(Fixture.ada, (socket) => counted(tally, socket))
})

type Session = Effect.Success<typeof connected>

/** A path: what is made ready, and what is done `count` times and counted. */
interface Path {
  readonly prepare?: (session: Session, count: number) => Effect.Effect<unknown, unknown, World>
  readonly run: (session: Session, count: number) => Effect.Effect<unknown, unknown, World>
  /** more than these from the start, where the first few cost something of their own */
  readonly beyond?: number
  /** at most, for each one more */
  readonly bounds: Counts
}

const countsOf = Effect.fnUntraced(function* ({ prepare, run }: Path, count: number) {
  const tally = Tally.of({ socketWrites: 0, steps: 0 })
  return yield* Effect.gen(function* () {
    const session = yield* connected
    yield* prepare?.(session, count) ?? Effect.void
    const records = Effect.map(
      Effect.flatMap(FakeCipher.CipherCounter, ({ counts }) => counts),
      ({ seals }) => seals
    )
    const operations = Effect.flatMap(MemoryDisk.MemoryDisk, ({ operations }) => operations)
    const before = { ...tally, records: yield* records, operations: yield* operations }
    const copied = yield* copies(run(session, count))
    return {
      records: (yield* records) - before.records,
      socketWrites: tally.socketWrites - before.socketWrites,
      diskOperations: (yield* operations) - before.operations,
      steps: tally.steps - before.steps,
      copied
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(world),
    Effect.provideService(Tally, tally),
    Effect.provideService(Scheduler.Scheduler, new CountingScheduler(tally))
  )
})

const few = 4
const many = 24

const slopes = Effect.fnUntraced(function* (path: Path) {
  // What is done once, at the first use of anything, is over then.
  yield* countsOf(path, 1)
  const { beyond = 0 } = path
  const [less, more] = [yield* countsOf(path, beyond + few), yield* countsOf(path, beyond + many)]
  const slope = (kind: Kind) => Math.round(((more[kind] - less[kind]) / (many - few)) * 10) / 10
  return new Map(kinds.map((kind) => [kind, slope(kind)]))
})

const big = FileName.make("big")
const small = (index: number) => FileName.make(`small/${index}`)
const blocks = (count: number) => Fixture.source(Fixture.bytes(count, count * contentBlockBytes))
const fourKibibytes = Fixture.source(Fixture.bytes(1, 4096))
const each = <A, E, R>(count: number, run: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }).keys(), run, { concurrency: "unbounded", discard: true })

/** So many small files, which fit into one bundle. */
const bundle = Effect.fnUntraced(function* (count: number) {
  const content = Fixture.bytes(1, 4096)
  const digest = yield* Fixture.digest(content)
  return Array.from({ length: count }, (_, index) => ({
    name: small(index),
    size: content.length,
    modified: 0,
    digest,
    content
  }))
})

/** So large that places `placeBytes` apart are in chunks of their own. */
const placeBytes = 256 * 1024
const older = Fixture.bytes(1, many * placeBytes)
const newer = (places: number) => {
  const bytes = older.slice()
  for (let place = 0; place < places; place += 1) {
    const at = place * placeBytes + 100_000
    bytes[at] = 255 - (bytes[at] ?? 0)
  }
  return bytes
}

// What comes while the disk is busy is written at once. The disk in memory joins its parts: most of what is copied.
// A digest holds what does not fill a slice: 16 KiB of a block or less (`DigestSlices`).
const paths: Record<string, Path> = {
  // The client asks how far the server is: often while it begins, and then behind every 8 MiB, on a clock that stands.
  "a block of an upload": {
    beyond: 32,
    run: (session, count) => session.upload(big, blocks(count)),
    bounds: { records: 1.1, socketWrites: 1.1, diskOperations: 0.4, steps: 124, copied: 3_400_000 }
  },
  "a block of a download": {
    prepare: (session, count) => session.upload(big, blocks(count)),
    run: (session) => session.download(big, () => Effect.succeed(Fixture.sink())),
    beyond: 8,
    bounds: { records: 1, socketWrites: 1, diskOperations: 0.5, steps: 122, copied: 545_000 }
  },
  "a byte that differs in a file of which there is an older one": {
    prepare: (session) => session.upload(big, Fixture.source(older)),
    run: (session, count) => session.para(big, Fixture.source(newer(count))),
    // Its chunk, its block, and the block in pieces: each is one read.
    bounds: { records: 0.2, socketWrites: 0.2, diskOperations: 4, steps: 1160, copied: 38_000 }
  },
  "a small file of many that go up at once": {
    run: (session, count) => each(count, (index) => session.upload(small(index), fourKibibytes)),
    bounds: { records: 5, socketWrites: 5, diskOperations: 12, steps: 1400, copied: 13_500 }
  },
  "a small file of many that come down at once": {
    prepare: (session, count) => each(count, (index) => session.upload(small(index), fourKibibytes)),
    run: (session, count) =>
      each(count, (index) => session.download(small(index), () => Effect.succeed(Fixture.sink()))),
    bounds: { records: 4, socketWrites: 4, diskOperations: 4, steps: 760, copied: 4700 }
  },
  "a small file of a bundle that goes up": {
    run: (session, count) => Effect.flatMap(bundle(count), session.uploadBundle),
    bounds: { records: 0, socketWrites: 0, diskOperations: 5, steps: 55, copied: 17_000 }
  },
  "a small file of a bundle that comes down": {
    prepare: (session, count) => Effect.flatMap(bundle(count), session.uploadBundle),
    run: (session, count) =>
      session.downloadBundle(
        Array.from({ length: count }, (_, index) => small(index)),
        () => Effect.void
      ),
    bounds: { records: 0, socketWrites: 0, diskOperations: 0, steps: 0.5, copied: 13_500 }
  },
  "a name of a listing": {
    prepare: (session, count) => each(count, (index) => session.upload(small(index), fourKibibytes)),
    run: (session) => Stream.runDrain(session.fetch),
    bounds: { records: 0.1, socketWrites: 0.1, diskOperations: 0.1, steps: 5, copied: 0 }
  },
  "a small file's digest in a listing": {
    prepare: (session, count) => each(count, (index) => session.upload(small(index), fourKibibytes)),
    run: (session) => Stream.runDrain(session.fetchWith({ digests: true })),
    bounds: { records: 0.1, socketWrites: 0.1, diskOperations: 0.2, steps: 5, copied: 4700 }
  },
  "a login": {
    run: (_session, count) => Effect.forEach(Array.from({ length: count }), () => Effect.scoped(connected)),
    bounds: { records: 7, socketWrites: 9, diskOperations: 0, steps: 1750, copied: 20_500 }
  }
}

/** Counts that are above their bound, and bounds that are so far above that they bound nothing any more. */
const wrong = (found: ReadonlyMap<Kind, number>, bounds: Counts): ReadonlyArray<string> =>
  kinds.flatMap((kind) => {
    const [count, bound] = [found.get(kind) ?? Number.NaN, bounds[kind]]
    if (!(count <= bound)) return [`${kind}: ${count}, at most ${bound}`]
    return bound >= 1 && count < slack * bound ? [`${kind}: ${count}, and the bound is ${bound}: lower it`] : []
  })

/** A bound that is more than twice what it bounds would not see the work doubled. */
const slack = 0.4

describe("hot paths", () => {
  for (const [name, path] of Object.entries(paths)) {
    it.effect(`${name} costs no more than it did`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(wrong(yield* slopes(path), path.bounds), [])
      })
    )
  }

  it.effect("work that is done twice is seen, in every count", () =>
    Effect.gen(function* () {
      const path = paths["a small file of many that come down at once"]
      assert.isDefined(path)
      const twice = { ...path, run: (session: Session, count: number) => path.run(session, 2 * count) }
      const found = yield* slopes({
        ...twice,
        prepare: (session, count) => path.prepare?.(session, 2 * count) ?? Effect.void
      })
      assert.deepStrictEqual(
        kinds.filter((kind) => (found.get(kind) ?? 0) <= path.bounds[kind]),
        []
      )
    })
  )

  it("a bound that has become slack is told", () => {
    const bounds = { records: 10, socketWrites: 10, diskOperations: 10, steps: 10, copied: 10 }
    const found = new Map(kinds.map((kind) => [kind, kind === "steps" ? 3.9 : kind === "copied" ? 10.1 : 4]))
    assert.deepStrictEqual(wrong(found, bounds), [
      "steps: 3.9, and the bound is 10: lower it",
      "copied: 10.1, at most 10"
    ])
  })
})
