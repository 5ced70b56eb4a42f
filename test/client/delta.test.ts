import { quickCrypto } from "../crypto.ts"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Predicate, Redacted, Schema } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/domain/Bytes.ts"
import * as Client from "../../src/client/Client.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import type { Progress } from "../../src/client/Progress.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { contentBlockBytes } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { confused, knownKey, knownKeys } from "../confused.ts"
import * as Server from "../../src/server/Server.ts"

const user = UserName.make("ada")
const password = Redacted.make("correct horse")
const accounts = Layer.unwrap(
  Effect.gen(function* () {
    const opaque = yield* Opaque
    const setup = yield* opaque.createSetup
    const record = yield* opaque.register(setup, { user, password, stretching: 1 })
    return Accounts.layerMemory(setup, 1, new Map([[user, record]]))
  })
)
const world = Server.layer.pipe(
  Layer.provideMerge(MemorySocket.layer),
  Layer.provideMerge(accounts),
  Layer.provideMerge(FileStoreMemory.layer()),
  Layer.provideMerge(quickCrypto)
)
const nobodys = ContentDigest.make("0".repeat(64))
/** Whose store finds so many commits wrong. */
const finding = (broken: { commits: number }) =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(accounts),
    Layer.provide(
      Layer.effect(
        FileStore,
        Effect.map(FileStore, (store) => ({
          ...store,
          stage: (asked: Parameters<typeof store.stage>[0]) =>
            Effect.map(store.stage(asked), (staging) => ({
              ...staging,
              commit: (expected: Parameters<typeof staging.commit>[0]) =>
                Effect.suspend(() => {
                  broken.commits -= 1
                  return staging.commit(broken.commits < 0 ? expected : { ...expected, digest: nobodys })
                })
            }))
        }))
      )
    ),
    Layer.provide(FileStoreMemory.layer()),
    Layer.provideMerge(quickCrypto)
  )
/** Whose signatures have a key that everybody knows. */
const guessed = Layer.provide(world, knownKeys)

/** The same bytes for the same seed: xorshift32. */
const noise = (length: number, seed: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let index = 0; index < length; index += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[index] = state
  }
  return bytes
}

const sourceOf = (bytes: Uint8Array, modified = 1_000) => ({
  size: bytes.length,
  modified,
  read: (offset: number, length: number) => Effect.succeed(bytes.slice(offset, offset + length)),
  unchanged: Effect.void
})

/** The source is gone, as for a client that is cut off. */
class Cut extends Schema.TaggedError<Cut>()("Cut", {}) {}

const collect = () => {
  const parts: Array<Uint8Array> = []
  return {
    bytes: () => Bytes.concat(parts),
    receive: () =>
      Effect.succeed({
        write: (more: Bytes.Parts) => Effect.sync(() => void parts.push(...more.map((part) => part.slice()))),
        commit: () => Effect.void
      })
  }
}

const connect = Effect.gen(function* () {
  const { dial } = yield* MemorySocket.MemoryNetwork
  return yield* Client.connect({ server: "memory", dial, user, password })
})

const name = FileName.make("base.bin")
const base = noise(6 * 1024 * 1024, 7)

const edited = (): Uint8Array => {
  const bytes = base.slice()
  bytes[3_000_000] = (bytes[3_000_000] ?? 0) ^ 1
  return Bytes.concat([noise(1_000, 9), bytes])
}

describe("transfers that send what changed", () => {
  it.effect("para sends a few kilobytes for small changes, and the file is then the client's", () =>
    Effect.gen(function* () {
      const session = yield* connect
      yield* session.upload(name, sourceOf(base))
      const before = session.traffic.sent
      const target = edited()
      const seen: Array<Progress> = []
      const committed = yield* session.para(name, sourceOf(target), (progress) => seen.push(progress))
      const sent = session.traffic.sent - before
      assert.isBelow(sent, 160 * 1024)
      assert.strictEqual(committed.size, target.length)
      const got = collect()
      assert.deepStrictEqual(yield* session.download(name, got.receive), committed)
      assert.isTrue(Bytes.equals(got.bytes(), target))
      const last = seen.at(-1)
      assert.deepStrictEqual({ phase: last?.phase, done: last?.done }, { phase: "done", done: target.length })
      assert.isTrue(seen.every(({ done }, index) => done >= (seen[index - 1]?.done ?? 0)))
    }).pipe(Effect.provide(world))
  )

  it.effect("records are no larger than a session takes, and no smaller than a byte, whatever is asked for", () =>
    Effect.gen(function* () {
      const { dial } = yield* MemorySocket.MemoryNetwork
      const steps = Effect.fnUntraced(function* (length: number, contentBytesMax: number) {
        const content = noise(length, 4)
        const file = { name, content, size: length, modified: 0, digest: yield* Fixture.digest(content) }
        const session = yield* Client.connect({ server: "memory", dial, user, password, contentBytesMax })
        const crossed: Array<number> = []
        assert.deepStrictEqual([...(yield* session.uploadBundle([file], (bytes) => crossed.push(bytes)))], [])
        return crossed
      }, Effect.scoped)
      assert.deepStrictEqual(yield* steps(600_000, Number.POSITIVE_INFINITY), [contentBlockBytes, 600_000])
      assert.deepStrictEqual(yield* steps(15, 9.5), [9, 15])
      for (const none of [0.5, 0, -1, Number.NaN]) assert.deepStrictEqual(yield* steps(3, none), [1, 2, 3])
    }).pipe(Effect.provide(world))
  )

  it.effect("where records are to be small, each of them is progress: of a file, of changes, of files together", () =>
    Effect.gen(function* () {
      const network = yield* MemorySocket.MemoryNetwork
      const contentBytesMax = 100_000
      // Records are to be small where they take long.
      const passing = TestClock.adjust(250)
      const dial = Effect.map(network.dial, (socket) =>
        Socket.make({
          reader: socket.reader,
          writer: Effect.map(socket.writer, ({ write, writeAll }) => ({
            write: (chunk) => Effect.andThen(passing, write(chunk)),
            writeAll: (chunks) => Effect.andThen(passing, writeAll(chunks))
          }))
        })
      )
      const session = yield* Client.connect({ server: "memory", dial, user, password, contentBytesMax })
      const steps = (seen: ReadonlyArray<number>) => seen.map((done, index) => done - (seen[index - 1] ?? 0))
      const [whole, changed, crossed]: [Array<number>, Array<number>, Array<number>] = [[], [], []]
      yield* session.upload(name, sourceOf(base), ({ done }) => whole.push(done))
      assert.isAtMost(Math.max(...steps(whole)), contentBytesMax)
      const other = Bytes.concat([base, noise(1_000_000, 9)])
      yield* session.para(name, sourceOf(other), ({ done, reused }) => changed.push(done - reused))
      assert.isAtMost(Math.max(...steps(changed)), contentBytesMax)
      const content = noise(60_000, 3)
      const digest = yield* Fixture.digest(content)
      const small = ["a", "b", "c"].map((text) => {
        return { name: FileName.make(text), content, size: content.length, modified: 0, digest }
      })
      yield* session.uploadBundle(small, (bytes) => crossed.push(bytes))
      assert.deepStrictEqual(crossed, [100_000, 180_000])
    }).pipe(Effect.provide(world))
  )

  it.effect("para of an equal file ends after one exchange below 4 KiB", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const uploaded = yield* session.upload(name, sourceOf(base))
      const { received, sent } = session.traffic
      assert.deepStrictEqual(yield* session.para(name, sourceOf(base)), uploaded)
      assert.isBelow(session.traffic.sent - sent + session.traffic.received - received, 4096)
    }).pipe(Effect.provide(world))
  )

  it.effect("para of an equal file ends at once also when an earlier try has left something, even all of it", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const uploaded = yield* session.upload(name, sourceOf(base, 1_000))
      for (const [modified, most] of [
        [2_000, base.length / 2],
        [3_000, base.length]
      ] as const) {
        const whole = sourceOf(base, modified)
        const cut = (offset: number, length: number) =>
          offset + length <= most ? whole.read(offset, length) : Effect.fail(new Cut())
        const changes = { ...whole, read: cut, unchanged: Effect.fail(new Cut()) }
        assert.strictEqual((yield* Effect.flip(session.upload(name, changes)))._tag, "Cut")
        const seen: Array<Progress> = []
        const { sent } = session.traffic
        assert.deepStrictEqual(yield* session.para(name, whole, (progress) => seen.push(progress)), uploaded)
        // It did go on from there, and wrote nothing: the file has its old time.
        assert.isTrue(seen.some(({ phase, reused }) => phase === "comparing" && reused > 0))
        assert.isBelow(session.traffic.sent - sent, 1024)
        assert.strictEqual((yield* session.describe(name)).modified, 1_000)
      }
    }).pipe(Effect.provide(world))
  )

  it.effect("para gives an equal file its bit and its time also when an earlier try has left all of it", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const { digest } = yield* session.upload(name, sourceOf(base, 1_000))
      for (const [modified, executable] of [
        [2_000, true],
        [3_000, true],
        [4_000, false]
      ] as const) {
        const source = { ...sourceOf(base, modified), ...(executable && { executable }) }
        const changes = { ...source, unchanged: Effect.fail(new Cut()) }
        assert.strictEqual((yield* Effect.flip(session.upload(name, changes)))._tag, "Cut")
        const seen: Array<Progress> = []
        yield* session.para(name, source, (progress) => seen.push(progress), undefined, true)
        assert.deepStrictEqual(yield* session.describe(name), {
          digest,
          modified,
          size: base.length,
          ...(executable && { executable })
        })
        const [last] = seen.slice(-1)
        assert.deepStrictEqual(last, { phase: "done", done: base.length, total: base.length, reused: base.length })
      }
    }).pipe(Effect.provide(world))
  )

  it.effect("says how far the comparison of two equal files is, either way", () =>
    Effect.gen(function* () {
      const session = yield* connect
      yield* session.upload(name, sourceOf(base))
      const seen: Array<Progress> = []
      yield* session.para(name, sourceOf(base), (progress) => seen.push(progress))
      const together = seen.splice(0)
      const receive = () => Effect.succeed(Fixture.sink())
      yield* session.update(name, sourceOf(base), receive, (progress) => seen.push(progress))
      for (const all of [together, seen]) {
        const looks = all.flatMap(({ compared }) => (compared === undefined ? [] : [compared]))
        assert.isAbove(looks.length, 1)
        assert.isTrue(looks.every(({ done }, index) => done > (looks[index - 1]?.done ?? 0)))
        assert.deepStrictEqual(looks.at(-1), { done: base.length, total: base.length })
        assert.isTrue(all.every(({ compared, phase }) => compared === undefined || phase === "comparing"))
      }
    }).pipe(Effect.provide(world))
  )

  it.effect("para with an expected digest is refused when the server has another version", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const uploaded = yield* session.upload(name, sourceOf(base))
      const other = ContentDigest.make("0".repeat(64))
      const refused = yield* Effect.flip(session.para(name, sourceOf(edited()), undefined, other))
      assert.deepStrictEqual(refused._tag === "RequestRefused" && refused.reason, "conflict")
      const committed = yield* session.para(name, sourceOf(edited()), undefined, uploaded.digest)
      assert.strictEqual(committed.size, edited().length)
    }).pipe(Effect.provide(world))
  )

  it.effect("para sends all of it when chunks were confused on purpose, and it is then the client's", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const target = confused(knownKey, base, 16)
      const { digest } = yield* session.upload(name, sourceOf(base))
      const { sent } = session.traffic
      const seen: Array<Progress> = []
      const committed = yield* session.para(name, sourceOf(target), (progress) => seen.push(progress), digest)
      const got = collect()
      assert.deepStrictEqual(yield* session.download(name, got.receive), committed)
      assert.isTrue(Bytes.equals(got.bytes(), target))
      assert.isTrue(seen.some(({ phase }) => phase === "restarting"))
      // Once, and not more.
      assert.isAbove(session.traffic.sent - sent, target.length)
      assert.isBelow(session.traffic.sent - sent, 1.1 * target.length)
    }).pipe(Effect.provide(guessed))
  )

  it.effect("to whom does not know the key such content is as any other", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const target = confused(knownKey, base, 16)
      yield* session.upload(name, sourceOf(base))
      const { sent } = session.traffic
      const seen: Array<Progress> = []
      yield* session.para(name, sourceOf(target), (progress) => seen.push(progress))
      assert.isFalse(seen.some(({ phase }) => phase === "restarting"))
      assert.isBelow(session.traffic.sent - sent, 160 * 1024)
    }).pipe(Effect.provide(world))
  )

  const broken = { commits: 0 }
  it.effect("what the server finds wrong each time is tried once by the signature, once whole, and then told", () =>
    Effect.gen(function* () {
      const session = yield* connect
      yield* session.upload(name, sourceOf(base))
      const { sent } = session.traffic
      broken.commits = Number.POSITIVE_INFINITY
      const refused = yield* Effect.flip(session.para(name, sourceOf(edited())))
      assert.strictEqual(refused._tag === "RequestRefused" && refused.reason, "digest-mismatch")
      assert.isAbove(session.traffic.sent - sent, base.length)
      assert.isBelow(session.traffic.sent - sent, 1.1 * base.length)
      // The session goes on.
      broken.commits = 1
      assert.strictEqual((yield* session.para(name, sourceOf(edited()))).size, edited().length)
    }).pipe(Effect.provide(finding(broken)))
  )

  it.effect("update takes from the local copy what it has, and asks for the rest", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const target = edited()
      const uploaded = yield* session.upload(name, sourceOf(target))
      const before = session.traffic.received
      const got = collect()
      const updated = yield* session.update(name, sourceOf(base), got.receive)
      assert.deepStrictEqual(updated, { ...uploaded, equal: false, modified: sourceOf(base).modified })
      assert.isTrue(Bytes.equals(got.bytes(), target))
      assert.isBelow(session.traffic.received - before, 160 * 1024)
    }).pipe(Effect.provide(world))
  )

  it.effect("update says what stays in its place, and of what it takes from the copy where it stood", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const target = base.slice()
      target[3_000_000] = (target[3_000_000] ?? 0) ^ 1
      yield* session.upload(name, sourceOf(target))
      const found = { stays: false, kept: 0, rest: 0 }
      yield* session.update(name, sourceOf(base), ({ stays }) =>
        Effect.succeed({
          write: (parts: Bytes.Parts, from?: number) =>
            Effect.sync(() => {
              found.stays = stays === true
              const [at, length] = [found.kept + found.rest, Bytes.lengthOf(parts)]
              if (from === undefined) found.rest += length
              else found.kept += length
              assert.strictEqual(from ?? at, at)
              assert.isTrue(Bytes.equals(Bytes.concat(parts), target.subarray(at, at + length)))
            }),
          commit: () => Effect.void
        })
      )
      assert.isTrue(found.stays)
      assert.strictEqual(found.kept + found.rest, target.length)
      assert.isBelow(found.rest, 160 * 1024)
    }).pipe(Effect.provide(world))
  )

  it.effect("update of an equal copy moves nothing", () =>
    Effect.gen(function* () {
      const session = yield* connect
      const uploaded = yield* session.upload(name, sourceOf(base))
      const got = collect()
      const updated = yield* session.update(name, sourceOf(base), got.receive)
      assert.deepStrictEqual(updated, { ...uploaded, equal: true, modified: sourceOf(base).modified })
      assert.strictEqual(got.bytes().length, 0)
      // The session goes on: the offer was given back.
      assert.deepStrictEqual((yield* session.describe(name)).digest, uploaded.digest)
    }).pipe(Effect.provide(world))
  )

  it.effect("an upload that was cut goes on where it ended", () =>
    Effect.gen(function* () {
      const session = yield* connect
      yield* Effect.flip(session.upload(name, { ...sourceOf(base), read: failingAfter(base, 4 * 1024 * 1024) }))
      const before = session.traffic.sent
      const seen: Array<Progress> = []
      yield* session.upload(name, sourceOf(base), (progress) => seen.push(progress))
      assert.isBelow(session.traffic.sent - before, 3.5 * 1024 * 1024)
      assert.isAbove(seen.at(-1)?.reused ?? 0, 2 * 1024 * 1024)
      const got = collect()
      yield* session.download(name, got.receive)
      assert.isTrue(Bytes.equals(got.bytes(), base))
    }).pipe(Effect.provide(world))
  )

  /** A source whose disk hangs when much of it was read; nothing else tells of the session's end meanwhile. */
  const hanging = Effect.gen(function* () {
    const reached = yield* Deferred.make<void>()
    const hang = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
    const read = (offset: number, length: number) =>
      offset + length > 4 * 1024 * 1024 ? hang : Effect.succeed(base.slice(offset, offset + length))
    return { source: { ...sourceOf(base), read }, reached: Deferred.await(reached) }
  })

  const endsWithTheSession = <A, E, R>(
    transfer: (session: ClientSession, source: Effect.Success<typeof hanging>["source"]) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function* () {
      const session = yield* connect
      yield* session.upload(name, sourceOf(base))
      const { reached, source } = yield* hanging
      const fiber = yield* Effect.forkChild(Effect.flip(transfer(session, source)))
      yield* reached
      yield* session.close
      const error = yield* Fiber.join(fiber)
      assert.isTrue(Predicate.isTagged(error, "ConnectionLost"), String(error))
    }).pipe(Effect.scoped, Effect.provide(world))

  it.effect("a comparison for a para is given up when the session is over", () =>
    endsWithTheSession((session, source) => session.para(name, source))
  )

  it.effect("a comparison for an update is given up when the session is over", () =>
    endsWithTheSession((session, source) => session.update(name, source, collect().receive))
  )

  it.effect("the beginning of a resumed upload is not read on when the session is over", () =>
    endsWithTheSession((session, source) =>
      Effect.andThen(
        Effect.flip(session.upload(name, { ...source, modified: 2_000, read: failingAfter(base, 5 * 1024 * 1024) })),
        session.upload(name, { ...source, modified: 2_000 })
      )
    )
  )
})

/** Reads that fail from a place on: a source that vanishes while it is sent. */
const failingAfter = (bytes: Uint8Array, end: number) => (offset: number, length: number) =>
  offset + length > end ? Effect.fail("gone") : Effect.succeed(bytes.slice(offset, offset + length))
