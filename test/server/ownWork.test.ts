/** Clients that read, compare and keep files of their own for longer than a connection may be silent. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type { Sendable } from "../../src/client/ClientSession.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  contentBlockBytes,
  idleMillisecondsMax,
  keepAliveMilliseconds,
  ownWorkBytesPerSecondMin,
  stallMillisecondsMax,
  transferPauseMillisecondsMax
} from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { connect, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const long = 9 * stallMillisecondsMax

/** The source, which takes so long when it is read at that place or behind it for the first time. */
const slowAt = (source: Sendable<never>, place: number, milliseconds: number): Sendable<never> => {
  let slow = true
  return {
    ...source,
    read: (offset, length) =>
      Effect.suspend(() => {
        const read = source.read(offset, length)
        if (!slow || offset + length <= place) return read
        slow = false
        return Effect.andThen(Effect.sleep(milliseconds), read)
      })
  }
}

/** Runs work while so much time passes, in steps that a timer sees. */
const during = Effect.fnUntraced(function* <A, E, R>(milliseconds: number, work: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(work)
  yield* settle
  for (let passed = 0; passed < milliseconds; passed += keepAliveMilliseconds) {
    yield* TestClock.adjust(keepAliveMilliseconds)
    yield* settle
  }
  return yield* Fiber.join(fiber)
})

describe("a client that is at work for long keeps both ends patient", () => {
  scenario("while it compares a file that is equal", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(1, 400_000)
      const { digest, size } = yield* session.upload(name, Fixture.source(content))
      const source = slowAt(Fixture.source(content), 300_000, long)
      assert.deepStrictEqual(yield* during(long, session.para(name, source)), { digest, size })
    })
  )

  scenario("while it reads a file that it sends", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(1, 5 * contentBlockBytes)
      const source = slowAt(Fixture.source(content), 4 * contentBlockBytes, long)
      const sent = yield* during(long, session.upload(name, source))
      assert.deepStrictEqual(sent, { size: content.length, digest: yield* Fixture.digest(content) })
    })
  )

  scenario("while it compares a copy, takes from it, and keeps what came", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(1, 400_000)
      const older = content.slice()
      older.fill(7, 200_000, 200_010)
      yield* session.upload(name, Fixture.source(content))
      const sink = Fixture.sink()
      let reads = 0
      // Each time that it is read from the start: to be compared, and to be taken from.
      const copy: Sendable<never> = {
        ...Fixture.source(older),
        read: (offset, length) =>
          Effect.suspend(() => {
            if (offset === 0) reads += 1
            const read = Effect.sync(() => older.slice(offset, offset + length))
            return offset === 0 ? Effect.andThen(Effect.sleep(long), read) : read
          })
      }
      const receiver = {
        ...sink,
        commit: (expected: Parameters<typeof sink.commit>[0]) =>
          Effect.andThen(Effect.sleep(long), sink.commit(expected))
      }
      const update = session.update(name, copy, () => Effect.succeed(receiver))
      const updated = yield* during(4 * long, update)
      assert.strictEqual(updated.digest, yield* Fixture.digest(content))
      assert.deepStrictEqual(sink.content(), content)
      assert.isAtLeast(reads, 2)
    })
  )

  scenario("while it takes from a copy, and what comes piles up behind that", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const kept = 2 * contentBlockBytes
      // More than a client lets wait: until it has taken its own part it hears nothing, not even that the server lives.
      const content = Fixture.bytes(1, kept + 12 * contentBlockBytes)
      const older = content.slice(0, kept)
      yield* session.upload(name, Fixture.source(content))
      const sink = Fixture.sink()
      let compared = false
      const copy: Sendable<never> = {
        ...Fixture.source(older),
        read: (offset, length) =>
          Effect.suspend(() => {
            const read = Effect.sync(() => older.slice(offset, offset + length))
            if (offset > 0 || !compared) return Effect.tap(read, () => Effect.sync(() => (compared = true)))
            return Effect.andThen(Effect.sleep(long), read)
          })
      }
      const update = session.update(name, copy, () => Effect.succeed(sink))
      const { digest } = yield* during(long + keepAliveMilliseconds, update)
      assert.strictEqual(digest, yield* Fixture.digest(content))
      assert.deepStrictEqual(sink.content(), content)
    })
  )

  scenario("and no longer than its file can explain", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const content = Fixture.bytes(1, 5 * contentBlockBytes)
      const longest = idleMillisecondsMax + (content.length * 1000) / ownWorkBytesPerSecondMin
      const tooLong = longest + transferPauseMillisecondsMax + 3 * keepAliveMilliseconds
      const source = slowAt(Fixture.source(content), 4 * contentBlockBytes, tooLong)
      const failed = yield* during(tooLong, Effect.flip(session.upload(name, source)))
      assert.strictEqual(failed._tag, "ConnectionLost")
      yield* settle
      assert.deepStrictEqual((yield* Watch).outcomes(), ["too-slow"])
    })
  )
})
