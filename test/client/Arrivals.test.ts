/**
 * How far an upload is: what has arrived at the server, and not what the system here has taken.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Arrivals from "../../src/client/Arrivals.ts"
import type { Progress } from "../../src/client/Progress.ts"
import * as ThrottledSocket from "../../src/domain/channel/ThrottledSocket.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  arrivalsAskedMax,
  arrivalsAskedPerSecond,
  contentBlockBytes,
  pieceBytesMin,
  systemBytesMax
} from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { drawer } from "../draw.ts"
import { connect, layer, settle } from "../server/world.ts"

const name = FileName.make("report.pdf")

describe("Arrivals", () => {
  it("tells of what the server has answered for, all of it once, and of the end behind it", () => {
    let pace = Arrivals.makePace()
    for (let seed = 0; seed < 500; seed += 1) {
      const draw = drawer(seed)
      const size = draw.chance(0.1) ? draw.below(contentBlockBytes + 1) : contentBlockBytes + 1 + draw.upTo(64_000_000)
      let [now, told, sent, ends] = [0, 0, 0, 0]
      /** what each question that is under way stands behind */
      const asked: Array<{ readonly behind: number; readonly reached: () => void }> = []
      let reached = 0
      // Every other transfer knows the way from the one before.
      if (seed % 2 === 0) pace = Arrivals.makePace()
      const answer = () => {
        const first = asked.shift()
        if (first === undefined) return
        reached = first.behind
        first.reached()
      }
      const arrivals = Arrivals.make(
        {
          whenReached: (then) =>
            Effect.sync(() => {
              asked.push({ behind: sent, reached: then })
              assert.isAtMost(asked.length, arrivalsAskedMax + 1)
            })
        },
        size,
        pace,
        () => now,
        (bytes) => {
          told += bytes
          assert.isAtMost(told, size > contentBlockBytes ? reached : sent, `seed ${seed}`)
        }
      )
      let questions = 0
      const began = now
      while (sent < size) {
        const piece = arrivals.pieceBytes()
        assert.isTrue(piece >= pieceBytesMin && piece <= contentBlockBytes, `a piece of ${piece}, seed ${seed}`)
        const bytes = Math.min(size - sent, draw.chance(0.2) ? draw.upTo(piece) : piece)
        sent += bytes
        const before = asked.length
        Effect.runSync(arrivals.sent(bytes, now))
        questions += asked.length - before
        now += draw.upTo(1_000)
        while (draw.chance(0.6) && asked.length > 0) answer()
      }
      const perSecond = ((now - began) / 1_000) * arrivalsAskedPerSecond
      assert.isAtMost(questions, perSecond + arrivalsAskedMax, `seed ${seed}`)
      Effect.runSync(arrivals.end(() => (ends += 1)))
      if (draw.chance(0.3)) {
        reached = sent
        arrivals.settle()
      }
      while (asked.length > 0) {
        assert.isTrue(ends === 0 || told === size, `seed ${seed}`)
        answer()
      }
      assert.deepStrictEqual({ told, ends }, { told: size, ends: 1 }, `seed ${seed}`)
      arrivals.settle()
      assert.deepStrictEqual({ told, ends }, { told: size, ends: 1 }, `seed ${seed}`)
    }
  })

  it("time in which nothing is sent, as while a file is compared, makes no piece smaller", () => {
    for (let seed = 0; seed < 100; seed += 1) {
      const draw = drawer(seed)
      const asked: Array<() => void> = []
      let now = 0
      const arrivals = Arrivals.make(
        { whenReached: (then) => Effect.sync(() => void asked.push(then)) },
        1_000_000_000,
        Arrivals.makePace(),
        () => now,
        () => {}
      )
      const answer = () => asked.shift()?.()
      const send = () => {
        const [bytes, began] = [arrivals.pieceBytes(), now]
        now += draw.upTo(10) / 10
        Effect.runSync(arrivals.sent(bytes, began))
      }
      for (let sent = 0; sent < 2 * systemBytesMax; sent += arrivals.pieceBytes()) {
        send()
        now += 1
        answer()
      }
      for (let times = 0; times < 100; times += 1) {
        assert.strictEqual(arrivals.pieceBytes(), contentBlockBytes, `seed ${seed}`)
        while (asked.length > 0) answer()
        now += draw.upTo(20_000)
        for (let left = draw.upTo(5); left > 0; left -= 1) send()
        now += draw.upTo(20)
        answer()
      }
      while (asked.length > 0) answer()
      now += 20_000
      Effect.runSync(arrivals.end(() => {}))
      answer()
      assert.strictEqual(arrivals.pieceBytes(), contentBlockBytes, `seed ${seed}`)
    }
  })

  it("nothing is asked about a small file: it leaves at once", () => {
    let told = 0
    const arrivals = Arrivals.make(
      { whenReached: () => Effect.die("asked") },
      contentBlockBytes,
      Arrivals.makePace(),
      () => 0,
      (bytes) => (told += bytes)
    )
    Effect.runSync(arrivals.sent(contentBlockBytes, 0))
    let ended = false
    Effect.runSync(arrivals.end(() => (ended = true)))
    assert.deepStrictEqual({ told, ended }, { told: contentBlockBytes, ended: true })
  })

  const bytesPerSecond = 100_000
  const size = 3_000_000

  interface Seen extends Progress {
    readonly second: number
  }

  /** Runs it, second by second, and gives what it told of its progress. */
  const seconds = Effect.fnUntraced(function* <A, E, R>(
    transfer: (onProgress: (progress: Progress) => void) => Effect.Effect<A, E, R>
  ) {
    const seen: Array<Seen> = []
    let second = 0
    const running = yield* Effect.forkChild(transfer((progress) => seen.push({ ...progress, second })))
    for (; running.pollUnsafe() === undefined && second < 60; second += 1) {
      yield* TestClock.adjust(1_000)
      yield* settle
    }
    yield* Fiber.join(running)
    return seen
  })

  /** How many seconds it stood still at most. */
  const longestPause = (seen: ReadonlyArray<Seen>): number =>
    Math.max(...seen.slice(1).map((progress, index) => progress.second - (seen[index]?.second ?? 0)))

  /** The server's end, in which so many bytes cross each second; counts what the server reads. */
  const slow = (rates: ThrottledSocket.Rates, read = { bytes: 0 }) =>
    Effect.map(ThrottledSocket.make(rates), (throttled) => (socket: Socket.Socket) => {
      const { reader, writer } = throttled(socket)
      return Socket.make({
        writer,
        reader: Effect.map(reader, (reader) => ({
          ...reader,
          pull: Effect.tap(reader.pull, (chunks) =>
            Effect.sync(() => void (read.bytes += chunks.reduce((sum, chunk) => sum + chunk.length, 0)))
          )
        }))
      })
    })

  it.effect("an upload on a slow way is as far as the server has read, and committing once that is all", () =>
    Effect.gen(function* () {
      const read = { bytes: 0 }
      const through = yield* slow({ down: bytesPerSecond }, read)
      yield* Effect.gen(function* () {
        const session = yield* connect()
        const before = read.bytes
        const seen = yield* seconds((onProgress) =>
          session.upload(name, Fixture.source(Fixture.bytes(1, size)), (progress) => {
            assert.isAtMost(progress.done, read.bytes - before)
            onProgress(progress)
          })
        )
        assert.deepStrictEqual(
          seen.filter(({ phase }) => phase !== "moving").map(({ done, phase }) => ({ done, phase })),
          [
            { done: size, phase: "committing" },
            { done: size, phase: "done" }
          ]
        )
        // Never for longer than two of the largest pieces take, while the way is not known.
        assert.isAtMost(longestPause(seen), 1 + (2 * contentBlockBytes) / bytesPerSecond)
      }).pipe(Effect.scoped, Effect.provide(layer({ through })))
    })
  )

  it.effect("a download from a server that may send little comes in small pieces", () =>
    Effect.gen(function* () {
      const through = yield* slow({ up: bytesPerSecond })
      yield* Effect.gen(function* () {
        const session = yield* connect()
        yield* session.upload(name, Fixture.source(Fixture.bytes(1, size)))
        const into = { write: () => Effect.void, commit: () => Effect.void }
        const seen = yield* seconds((onProgress) => session.download(name, () => Effect.succeed(into), onProgress))
        assert.isAtMost(longestPause(seen), 1)
      }).pipe(Effect.scoped, Effect.provide(layer({ through })))
    })
  )
})
