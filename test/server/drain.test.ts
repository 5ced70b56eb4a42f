/**
 * A whole server that is told to stop under load: what can end in time ends, the rest is interrupted, and nothing that
 * was told to a client or staged for one is lost.
 */
import { quickCrypto } from "../crypto.ts"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import type { ClientSession, Incoming, Partial } from "../../src/client/ClientSession.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import { Digest } from "../../src/domain/file/Digest.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import { contentBlockBytes, drainMillisecondsMax, headBytes, resumeBytesMin } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import { saveFile } from "../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { shortDigest } from "../../src/domain/transfer/Signature.ts"
import * as Server from "../../src/server/Server.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { connect, logTo, settle, Watch, watchLayer } from "./world.ts"

/** What outlives a server: the disk and the accounts. */
const machine = Layer.orDie(Fixture.accounts).pipe(
  Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
  Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto, watchLayer]),
  Layer.provideMerge(quickCrypto)
)

/** A server on that machine, and how to come to it; stop it by closing its scope. */
const startWith = Effect.fnUntraced(function* (limits: ServerLimits) {
  const scope = yield* Scope.make()
  const server = Server.layer.pipe(
    Layer.provide([logTo, Layer.succeed(ServerLimits, limits)]),
    Layer.provideMerge(MemorySocket.layer)
  )
  const network = Context.get(yield* Layer.buildWithScope(Layer.fresh(server), scope), MemorySocket.MemoryNetwork)
  const enter = Effect.provideService(connect(), MemorySocket.MemoryNetwork, network)
  return { enter, stop: Scope.close(scope, Exit.void) }
})
const start = startWith(defaultLimits)

const begun = 3_000
const original = Fixture.bytes(1, 5_000_000)
const large = Fixture.bytes(2, 14_000_000)
const overhead = 32 * 1024

/** One client's transfer, which takes so long for each of its blocks. */
interface Transfer {
  readonly kind: "upload" | "para" | "download"
  readonly name: FileName
  readonly content: Uint8Array
  readonly blockMilliseconds: number
  /** what a download has here, and of which version */
  readonly here: Array<Uint8Array>
  readonly version: { modified: number }
}

const transfers = (seed: number, count: number): ReadonlyArray<Transfer> => {
  const random = Fixture.seeded(seed)
  return Array.from({ length: count }, (_, index) => {
    const kind = (["upload", "para", "download"] as const)[index % 3] ?? "upload"
    const content = kind === "download" ? large : Fixture.bytes(seed * 1000 + index, 5_000_000)
    const blocks = content.length / contentBlockBytes
    // In all between a third and three times what the deadline allows.
    const whole = (begun + drainMillisecondsMax) * 3 ** (2 * random() - 1)
    const blockMilliseconds = Math.round(whole / blocks)
    return {
      kind,
      name: FileName.make(`${kind}/${index}`),
      content,
      blockMilliseconds,
      here: [],
      version: { modified: 0 }
    }
  })
}

const partial = (content: Uint8Array, here: Uint8Array, modified: number) =>
  Effect.map(Digest, (digest): Partial => ({
    from: here.length,
    size: content.length,
    modified,
    head: shortDigest(digest, [content.subarray(0, Math.min(headBytes, content.length))])
  }))

const run = (session: ClientSession, { blockMilliseconds, content, here, kind, name, version }: Transfer) => {
  // However much is read or written at once.
  const slow = (length: number) =>
    blockMilliseconds === 0 ? Effect.void : Effect.sleep(Math.ceil((blockMilliseconds * length) / contentBlockBytes))
  const source = Fixture.source(content, 5)
  const read = (offset: number, length: number) =>
    // The head is read at once: it belongs to the question.
    offset === 0 && length === headBytes
      ? source.read(offset, length)
      : Effect.andThen(slow(length), source.read(offset, length))
  if (kind !== "download") return session[kind](name, { ...source, read })
  return Effect.gen(function* () {
    const kept = Bytes.concat([...here, new Uint8Array(0)])
    const write = (parts: Bytes.Parts) =>
      Effect.andThen(
        slow(Bytes.lengthOf(parts)),
        Effect.sync(() => void here.push(...parts.map((part) => part.slice())))
      )
    const receive = ({ from, modified }: Incoming) =>
      Effect.sync(() => {
        version.modified = modified
        here.length = 0
        here.push(kept.slice(0, from))
        return { write, commit: () => Effect.void }
      })
    const left = kept.length >= resumeBytesMin ? yield* partial(content, kept, version.modified) : undefined
    return yield* session.download(name, receive, undefined, left)
  })
}

const staged = Effect.flatMap(MemoryDisk.MemoryDisk, ({ files }) =>
  Effect.map(files, (all) => [...all].filter(([path]) => path.startsWith(stagingFolder)))
)

const fileAt = (name: FileName) =>
  Effect.gen(function* () {
    const file = yield* (yield* FileStore).open(name)
    return yield* file.read(0, file.entry.size)
  }).pipe(Effect.scoped, Effect.option)

/** What the server has at the name of an upload or a para is what it was before or what the client has sent. */
const expectWhole = Effect.fnUntraced(function* ({ content, kind, name }: Transfer, done: boolean) {
  const found = yield* fileAt(name)
  if (done) return assert.isTrue(found._tag === "Some" && Bytes.equals(found.value, content), name)
  if (kind === "upload") return assert.strictEqual(found._tag, "None", name)
  return assert.isTrue(found._tag === "Some" && Bytes.equals(found.value, original), name)
})

describe("a server that stops under load", () => {
  for (const seed of [1, 2]) {
    it.effect(`loses no transfer (seed ${seed})`, () =>
      Effect.gen(function* () {
        const all = transfers(seed, 12)
        for (const { content, kind, name } of all) {
          if (kind === "para") yield* saveFile(name, [original])
          if (kind === "download") yield* saveFile(name, [content])
        }
        const first = yield* start
        const idle = yield* first.enter
        const running = yield* Effect.forEach(all, (transfer) =>
          Effect.gen(function* () {
            const session = yield* first.enter
            return { session, fiber: yield* Effect.forkChild(Effect.exit(run(session, transfer))) }
          })
        )
        yield* settle
        yield* TestClock.adjust(begun)

        // It stops: idle sessions go, and nothing new begins.
        const stopping = yield* Effect.forkChild(first.stop)
        yield* settle
        yield* TestClock.adjust(1)
        yield* settle
        assert.isTrue(idle.ended())
        assert.isUndefined(stopping.pollUnsafe())
        yield* TestClock.adjust(drainMillisecondsMax)
        yield* Fiber.join(stopping)
        // A slow client has still to look at what came before the end.
        yield* TestClock.adjust(6 * drainMillisecondsMax)
        const ends = yield* Effect.forEach(running, ({ fiber }) => Fiber.join(fiber))

        // Whatever a client was told is so, and nothing is half there.
        const ended = ends.map((exit) => Exit.isSuccess(exit))
        let done = 0
        for (const [index, transfer] of all.entries()) {
          const success = ended[index] === true
          done += Number(success)
          if (transfer.kind !== "download") yield* expectWhole(transfer, success)
          else if (success) assert.isTrue(Bytes.equals(Bytes.concat(transfer.here), transfer.content))
        }
        assert.isAbove(done, 2)
        assert.isBelow(done, all.length - 2)
        const outcomes = (yield* Watch).outcomes()
        assert.strictEqual(outcomes.length, all.length + 1)
        // A client may find in its buffer what the server sent just before it was stopped.
        const stopped = outcomes.filter((outcome) => outcome === "stopped").length
        assert.isAtLeast(stopped, all.length - done)
        assert.strictEqual(stopped + outcomes.filter((outcome) => outcome === "draining").length, all.length + 1)

        // The next one: what was interrupted goes on, and sends what was not there.
        const kept = (yield* staged).reduce((total, [, bytes]) => total + bytes.length, 0)
        assert.isAbove(kept, resumeBytesMin)
        const second = yield* start
        let [sent, needed] = [0, 0]
        for (const [index, transfer] of all.entries()) {
          if (ended[index] === true) continue
          const session = yield* second.enter
          const quick = { ...transfer, blockMilliseconds: 0 }
          const before = { ...session.traffic }
          const had = Bytes.lengthOf(transfer.here)
          yield* run(session, quick)
          if (transfer.kind === "download") {
            assert.isTrue(Bytes.equals(Bytes.concat(transfer.here), transfer.content))
            const rest = transfer.content.length - (had >= resumeBytesMin ? had : 0)
            assert.isBelow(session.traffic.received - before.received, rest + overhead)
          } else {
            yield* expectWhole(transfer, true)
            sent += session.traffic.sent - before.sent
            needed += transfer.content.length + contentBlockBytes + overhead
          }
          yield* session.close
        }
        assert.isBelow(sent, needed - kept)
        assert.deepStrictEqual(yield* staged, [])
        yield* second.stop
      }).pipe(Effect.scoped, Effect.provide(machine))
    )
  }

  for (const [word, drainMilliseconds] of [
    ["less", 4_000],
    ["more", 20_000]
  ] as const) {
    it.effect(`gives a transfer ${word} time when a reload says so meanwhile`, () =>
      Effect.gen(function* () {
        const limits = { ...defaultLimits }
        const { enter, stop } = yield* startWith(limits)
        const session = yield* enter
        const [transfer] = transfers(1, 1)
        assert.isDefined(transfer)
        yield* Effect.forkChild(Effect.exit(run(session, { ...transfer, blockMilliseconds: 10_000 })))
        yield* settle
        const stopping = yield* Effect.forkChild(stop)
        const after = Effect.fnUntraced(function* (milliseconds: number) {
          yield* settle
          yield* TestClock.adjust(milliseconds)
          yield* settle
          return (yield* Watch).outcomes()
        })
        assert.deepStrictEqual(yield* after(1_000), [])
        Object.assign(limits, { drainMilliseconds })
        assert.deepStrictEqual(yield* after(drainMilliseconds - 1_001), [])
        assert.deepStrictEqual(yield* after(1), ["stopped"])
        yield* Fiber.join(stopping)
      }).pipe(Effect.scoped, Effect.provide(machine))
    )
  }
})
