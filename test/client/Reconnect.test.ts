/**
 * A connection that is lost in the middle: who goes on, how long, and what is never done twice.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ConnectFailed, ConnectionLost, LoginIncorrect, RequestRefused } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { type NoSession, Sessions } from "../../src/client/Sessions.ts"
import type { ContentDigest } from "../../src/domain/file/Digest.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  keepAliveMilliseconds,
  listingSortedEntriesMax,
  reconnectMilliseconds,
  reconnectsMax,
  reconnectTriesMax,
  settledMilliseconds,
  stallMillisecondsMax
} from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"

const lost = new ConnectionLost({ reason: "truncated" })
const refused = new ConnectFailed({ server: "s", reason: "connection-refused", code: "ECONNREFUSED" })
const stopping = new RequestRefused({ name: "a", reason: "draining", detail: "" })

/** Sessions that end when they are told to; `answers` says how each try to connect ends, the last one for ever. */
const world = (answers: ReadonlyArray<NoSession | undefined> = []) => {
  const written = { out: "", err: "" }
  const tries: Array<number> = []
  const over = new Set<number>()
  const connect = Effect.gen(function* () {
    tries.push(yield* Clock.currentTimeMillis)
    const answer = answers[Math.min(tries.length, answers.length) - 1]
    if (answer !== undefined) return yield* Effect.fail(answer)
    const number = tries.length
    return { ended: () => over.has(number), traffic: { sent: number, received: 0 } } as ClientSession
  })
  const layer = Layer.merge(Sessions.layer(connect), ReporterText.layer("")).pipe(
    Layer.provide(Screen.layerMemory({ written }))
  )
  /** Breaks the session that stands, as its work finds out. */
  const breaks = Effect.sync(() => void over.add(tries.length))
  const breaksFirst = Effect.sync(() => void over.add(1))
  const losing = (times: number) => {
    let done = 0
    return Effect.suspend(() =>
      (done += 1) > times ? Effect.succeed(done) : Effect.andThen(breaks, Effect.fail<NoSession>(lost))
    )
  }
  const run = <A, E>(work: Effect.Effect<A, E, Reporter>, persistent = true) =>
    work.pipe(Effect.provideService(Reconnect.Persistence, persistent), Effect.provide(layer))
  return { written, tries, losing, run, breaks, breaksFirst }
}

type Reporter = Layer.Success<ReturnType<typeof ReporterText.layer>> | Sessions

describe("work on a connection that is lost", () => {
  it.effect("is done again on the next one, which is told", () =>
    Effect.gen(function* () {
      const { losing, run, tries, written } = world()
      const work = losing(2)
      assert.strictEqual(yield* run(Reconnect.persistently(() => work)), 3)
      assert.strictEqual(tries.length, 3)
      const told = "the connection was lost (truncated): connecting again\nconnected again: going on\n"
      assert.strictEqual(written.err, told + told)
    })
  )

  it.effect("is done again when the server that stops refused it, and no more often than after other losses", () =>
    Effect.gen(function* () {
      const { breaks, run, tries, written } = world()
      let done = 0
      const once = Effect.suspend(() =>
        (done += 1) > 1 ? Effect.succeed(done) : Effect.andThen(breaks, Effect.fail(stopping))
      )
      assert.strictEqual(yield* run(Reconnect.persistently(() => once)), 2)
      assert.strictEqual(tries.length, 2)
      const told = "the connection was lost (the server is about to stop): connecting again\n"
      assert.strictEqual(written.err, `${told}connected again: going on\n`)
      const staying = world()
      let asked = 0
      const always = Effect.suspend(() => ((asked += 1), Effect.fail(stopping)))
      assert.strictEqual(yield* Effect.flip(staying.run(Reconnect.persistently(() => always))), stopping)
      assert.deepStrictEqual([asked, staying.tries.length], [reconnectsMax + 1, 1])
      const other = new RequestRefused({ name: "a", reason: "store-failed", detail: "" })
      assert.strictEqual(yield* Effect.flip(staying.run(Reconnect.persistently(() => Effect.fail(other)))), other)
    })
  )

  it.effect("is told of a listing that was shown in part, for all of it is shown again", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const all = Array.from({ length: listingSortedEntriesMax + 1 }, (_, index) => {
        return { name: FileName.make(`${index}`), size: 1, modified: 0 }
      })
      let asked = 0
      const listed = Stream.suspend(() =>
        (asked += 1) === 1 ? Stream.concat(Stream.fromIterable(all), Stream.fail(lost)) : Stream.fromIterable(all)
      )
      const session = { ended: () => asked === 1, traffic: { sent: 0, received: 0 }, fetchWith: () => listed }
      const layer = Layer.mergeAll(
        Sessions.layer(Effect.succeed(session as Partial<ClientSession> as ClientSession)),
        ReporterText.layer(""),
        LocalFilesMemory.layer()
      ).pipe(Layer.provideMerge(Layer.merge(Screen.layerMemory({ written }), DigestNode.layer)))
      const fetching = Reconnect.persistently(() => Commands.run({ _tag: "Fetch", pattern: undefined }))
      const shell = Effect.provideService(fetching, Reconnect.Persistence, true)
      assert.isTrue(yield* Effect.provide(shell, layer))
      assert.lengthOf(written.out.trimEnd().split("\n"), 2 * all.length)
      const [first] = written.err.split("\n")
      assert.strictEqual(first, "the listing above is not whole")
    })
  )

  it.effect("ends when nobody persists, and when it may not be done twice", () =>
    Effect.gen(function* () {
      const one = world()
      const call = one.losing(1)
      assert.strictEqual(
        yield* Effect.flip(
          one.run(
            Reconnect.persistently(() => call),
            false
          )
        ),
        lost
      )
      const other = world()
      const once = other.losing(1)
      assert.strictEqual(yield* Effect.flip(other.run(Reconnect.persistently(() => once, false))), lost)
      assert.deepStrictEqual([one.tries.length, other.tries.length], [1, 1])
    })
  )

  /** A folder with three files at the server, of which one is here, equal. */
  const refusing = Effect.fnUntraced(function* (
    /** what comes of each request on the first session */
    first: ConnectionLost | RequestRefused,
    command: Commands.Command
  ) {
    const asked: Array<string> = []
    const content = new Uint8Array(1)
    const digest = yield* Effect.provide(Fixture.digest(content), DigestNode.layer)
    let dialled = 0
    let over = 0
    const connect = Effect.sync(() => {
      const number = (dialled += 1)
      const answered = <A>(text: string, answer: A) =>
        Effect.gen(function* () {
          asked.push(`${number} ${text}`)
          // All of a command are on their way before the first of them is answered.
          for (let turn = 0; turn < 10; turn += 1) yield* Effect.yieldNow
          if (number > 1) return answer
          over = 1
          return yield* Effect.fail(first)
        })
      const listed = ["w/a", "w/b", "w/c"].map((name) => ({ name: FileName.make(name), size: 1, modified: 0 }))
      const session: Partial<ClientSession> = {
        ended: () => number <= over,
        traffic: { sent: 0, received: 0 },
        fetchWith: () => Stream.fromIterable(listed),
        describe: (name) => answered(`describe ${name}`, { size: 1, modified: 0, digest }),
        remove: (name) => answered(`remove ${name}`, name),
        rename: (name, to) => answered(`rename ${name}`, { name, to }),
        para: (name) => answered(`para ${name}`, { size: 1, digest })
      }
      return session as ClientSession
    })
    const layer = Layer.mergeAll(
      Sessions.layer(connect),
      ReporterText.layer(""),
      Layer.provide(LocalFilesMemory.layer(), DigestNode.layer)
    ).pipe(Layer.provideMerge(Layer.merge(Screen.layerMemory({ written: { out: "", err: "" } }), DigestNode.layer)))
    const ran = Effect.gen(function* () {
      const files = yield* LocalFilesMemory.MemoryFiles
      files.set("w/a", { bytes: content, modified: 0 })
      return yield* Effect.result(Commands.run(command))
    })
    const outcome = yield* ran.pipe(Effect.provideService(Reconnect.Persistence, true), Effect.provide(layer))
    return { asked, outcome }
  })

  const name = FileName.make("w/b")
  const once: ReadonlyArray<readonly [string, (expect: ContentDigest) => Commands.Command]> = [
    ["remove", () => ({ _tag: "Remove", names: [name] })],
    ["rename", () => ({ _tag: "Rename", name, to: "w/d" })],
    ["para", (expect) => ({ _tag: "Para", files: ["w/a"], as: name, expect })]
  ]
  it.effect.each(once)("does %s again only when the server that stops has done nothing of it", ([what, commandOf]) =>
    Effect.gen(function* () {
      const expected = yield* Effect.provide(Fixture.digest(new Uint8Array(2)), DigestNode.layer)
      const refused = yield* refusing(stopping, commandOf(expected))
      assert.deepStrictEqual(refused, { asked: [`1 ${what} w/b`, `2 ${what} w/b`], outcome: Result.succeed(true) })
      const unknown = yield* refusing(lost, commandOf(expected))
      assert.deepStrictEqual(unknown, { asked: [`1 ${what} w/b`], outcome: Result.fail(lost) })
    })
  )

  it.effect.each([stopping, lost])("asks a verify again: %s", (first) =>
    Effect.gen(function* () {
      const { asked, outcome } = yield* refusing(first, { _tag: "Verify", name: "w/a", file: "w/a" })
      assert.deepStrictEqual(asked, ["1 describe w/a", "2 describe w/a"])
      assert.deepStrictEqual(outcome, Result.succeed(true))
    })
  )

  it.effect.each([stopping, lost])("removes what a folder here has not any more all the same: %s", (first) =>
    Effect.gen(function* () {
      const tree = { include: [], exclude: [], dryRun: false, remove: true, checksum: false }
      const { asked, outcome } = yield* refusing(first, { _tag: "Para", files: ["w"], as: undefined, tree })
      assert.deepStrictEqual(asked, ["1 remove w/b", "1 remove w/c", "2 remove w/b", "2 remove w/c"])
      assert.deepStrictEqual(outcome, Result.succeed(true))
    })
  )

  it.effect("waits longer from try to try, and gives up with the last error", () =>
    Effect.gen(function* () {
      const { losing, run, tries } = world([undefined, refused])
      const work = losing(1)
      const fiber = yield* Effect.forkChild(Effect.flip(run(Reconnect.persistently(() => work))))
      yield* TestClock.adjust(reconnectMilliseconds * 2 ** reconnectTriesMax)
      assert.strictEqual(yield* Fiber.join(fiber), refused)
      const waits = tries.slice(1).map((at, index, all) => at - (all[index - 1] ?? 0))
      assert.deepStrictEqual(
        waits,
        Array.from({ length: reconnectTriesMax }, (_, index) =>
          index === 0 ? 0 : reconnectMilliseconds * 2 ** (index - 1)
        )
      )
    })
  )

  it.effect("is given up at once when another connection would end the same way", () =>
    Effect.gen(function* () {
      const revoked = world()
      const gone = new ConnectionLost({ reason: "the server closed the session: revoked" })
      const work = Effect.andThen(revoked.breaks, Effect.fail(gone))
      assert.strictEqual(yield* Effect.flip(revoked.run(Reconnect.persistently(() => work))), gone)
      assert.strictEqual(revoked.tries.length, 1)
      for (const error of [
        new LoginIncorrect({ user: "ada", attemptsLeft: 0 }),
        new ConnectFailed({ server: "s", reason: "other-version", code: "" }),
        new ConnectFailed({ server: "s", reason: "not-paradrop", code: "" })
      ]) {
        const changed = world([undefined, error])
        const once = changed.losing(1)
        const fiber = yield* Effect.forkChild(Effect.flip(changed.run(Reconnect.persistently(() => once))))
        yield* TestClock.adjust(reconnectMilliseconds * 2 ** reconnectTriesMax)
        assert.strictEqual(yield* Fiber.join(fiber), error)
        assert.strictEqual(changed.tries.length, 2)
      }
    })
  )

  it.effect("does not go on for ever with a server that drops it each time, but does when it holds between", () =>
    Effect.gen(function* () {
      const dropping = world()
      const never = dropping.losing(Number.POSITIVE_INFINITY)
      assert.strictEqual(yield* Effect.flip(dropping.run(Reconnect.persistently(() => never))), lost)
      assert.strictEqual(dropping.tries.length, reconnectsMax + 1)
      // That a first one has held makes no difference to how often those after it may not.
      const once = world()
      const always = once.losing(Number.POSITIVE_INFINITY)
      const heldOnce = Effect.andThen(
        Effect.suspend(() => (once.tries.length === 1 ? Effect.sleep(settledMilliseconds + 1) : Effect.void)),
        always
      )
      const ended = yield* Effect.forkChild(Effect.flip(once.run(Reconnect.persistently(() => heldOnce))))
      yield* TestClock.adjust(settledMilliseconds + 1)
      assert.strictEqual(yield* Fiber.join(ended), lost)
      assert.strictEqual(once.tries.length, reconnectsMax + 1)
      // Nor has one held that was silent, until it was given up for that.
      const silent = world()
      const stalling = Effect.andThen(
        Effect.sleep(stallMillisecondsMax + keepAliveMilliseconds),
        silent.losing(Number.POSITIVE_INFINITY)
      )
      const given = yield* Effect.forkChild(Effect.flip(silent.run(Reconnect.persistently(() => stalling))))
      yield* TestClock.adjust(2 * reconnectsMax * stallMillisecondsMax)
      assert.strictEqual(yield* Fiber.join(given), lost)
      assert.strictEqual(silent.tries.length, reconnectsMax + 1)
      const holding = world()
      const losing = holding.losing(3 * reconnectsMax)
      const long = Effect.andThen(Effect.sleep(settledMilliseconds + 1), losing)
      const fiber = yield* Effect.forkChild(holding.run(Reconnect.persistently(() => long)))
      yield* TestClock.adjust((3 * reconnectsMax + 1) * (settledMilliseconds + 1))
      assert.strictEqual(yield* Fiber.join(fiber), 3 * reconnectsMax + 1)
    })
  )

  it.effect("shares one new connection and one word about it with all that ran at once", () =>
    Effect.gen(function* () {
      const { breaksFirst, run, tries, written } = world()
      const works = Array.from({ length: 20 }, (_, index) => {
        let done = false
        return Effect.suspend(() => {
          if (done) return Effect.succeed(index)
          done = true
          return Effect.andThen(Effect.andThen(Effect.yieldNow, breaksFirst), Effect.fail(lost))
        })
      })
      const all = Effect.forEach(works, (work) => Reconnect.persistently(() => work), { concurrency: "unbounded" })
      assert.lengthOf(yield* run(all), 20)
      assert.strictEqual(tries.length, 2)
      assert.strictEqual(written.err.split("connecting again").length, 2)
    })
  )

  it.effect("is waited for by a command that finds it lost before its next request, and not by the first", () =>
    Effect.gen(function* () {
      const { breaksFirst, run, tries, written } = world([undefined, refused, undefined])
      const command = Effect.gen(function* () {
        const sessions = yield* Reconnect.ofOneCommand(yield* Sessions)
        const work = Reconnect.persistently((session) => Effect.succeed(session.traffic.sent)).pipe(
          Effect.provideService(Sessions, sessions)
        )
        return [yield* work, yield* Effect.andThen(breaksFirst, work)]
      })
      const fiber = yield* Effect.forkChild(run(command))
      yield* TestClock.adjust(reconnectMilliseconds)
      assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 3])
      assert.deepStrictEqual(tries, [0, 0, reconnectMilliseconds])
      assert.strictEqual(written.err, "the connection was lost: connecting again\nconnected again: going on\n")
      const none = world([refused])
      const begin = Effect.flatMap(Effect.flatMap(Sessions, Reconnect.ofOneCommand), ({ session }) => session)
      assert.strictEqual(yield* Effect.flip(none.run(begin)), refused)
      assert.deepStrictEqual(none.tries.length, 1)
    })
  )

  it.effect("counts what crossed in all sessions together", () =>
    Effect.gen(function* () {
      const { losing, run } = world()
      const work = losing(2)
      const both = Effect.andThen(
        Reconnect.persistently(() => work),
        Effect.map(Sessions, (sessions) => sessions.traffic())
      )
      assert.deepStrictEqual(yield* run(both), { sent: 1 + 2 + 3, received: 0 })
    })
  )
})
