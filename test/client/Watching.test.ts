import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  ConnectFailed,
  ConnectionLost,
  LoginIncorrect,
  LoginRejected,
  RequestRefused,
  SourceMissing
} from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { layerMemory, type LocalWatch, MemoryWatch } from "../../src/client/LocalWatch.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import { Screen } from "../../src/client/Screen.ts"
import { type NoSession, Sessions } from "../../src/client/Sessions.ts"
import * as Watching from "../../src/client/Watching.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  fetchWatchEntriesMax,
  fetchWatchMilliseconds,
  watchAgainMilliseconds,
  watchBlindMilliseconds,
  watchQuietMilliseconds,
  watchQuietMillisecondsMax,
  watchRescanMilliseconds,
  watchRetryMilliseconds,
  watchRetryMillisecondsMax
} from "../../src/domain/limits.ts"
import type { RefusalReason } from "../../src/domain/wire/Refusal.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { withTimeOfDay } from "../settableTime.ts"
import { connect, layer as server, settle } from "../server/world.ts"

const lost = new ConnectionLost({ reason: "truncated" })
const refused = new ConnectFailed({ server: "here:1", reason: "connection-refused", code: "ECONNREFUSED" })

/** A command that watches `w`, whose passes end as the script says, and well behind its end. */
const following = (script: ReadonlyArray<boolean | NoSession | SourceMissing> = []) =>
  Effect.gen(function* () {
    let passes = 0
    const toldEach: Array<boolean> = []
    const written = { out: "", err: "" }
    const pass = Effect.flatMap(Reporter, ({ failed, tellsEach }): Effect.Effect<boolean, NoSession> => {
      const outcome = script[passes] ?? true
      passes += 1
      toldEach.push(tellsEach)
      if (outcome instanceof SourceMissing) return Effect.as(failed({ error: outcome, command: "para" }), false)
      return typeof outcome === "boolean" ? Effect.succeed(outcome) : Effect.fail(outcome)
    })
    const reporter = Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
    const fiber = yield* Effect.forkChild(Effect.provide(Watching.follow(["w"], pass), reporter))
    yield* settle
    const { say } = yield* MemoryWatch
    return {
      fiber,
      written,
      toldEach,
      passes: () => passes,
      change: Effect.andThen(say({ _tag: "Changed", path: "w/a" }), settle),
      blind: Effect.andThen(say({ _tag: "Blind", path: "w", code: "ENOSPC" }), settle),
      after: (milliseconds: number) => Effect.andThen(TestClock.adjust(milliseconds), settle)
    }
  })

const scenario = (name: string, body: () => Effect.Effect<void, never, LocalWatch | MemoryWatch>) =>
  it.effect(name, () => Effect.provide(body(), layerMemory))

const hour = 3_600_000

describe("following local files", () => {
  scenario("a pass at the start, and one when a change is over", () =>
    Effect.gen(function* () {
      const { after, change, passes } = yield* following()
      assert.strictEqual(passes(), 1)
      yield* change
      yield* after(watchQuietMilliseconds - 1)
      assert.strictEqual(passes(), 1)
      yield* after(1)
      assert.strictEqual(passes(), 2)
      yield* after(watchRescanMilliseconds / 2)
      assert.strictEqual(passes(), 2)
    })
  )

  scenario("what follows a change is told file by file, and the first pass only as a sum", () =>
    Effect.gen(function* () {
      const { after, change, toldEach } = yield* following()
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.deepStrictEqual(toldEach, [false, true])
    })
  )

  scenario("many changes in a row are one pass, and one that never ends is sent nevertheless", () =>
    Effect.gen(function* () {
      const { after, change, passes } = yield* following()
      for (let step = 0; step < 4; step += 1) {
        yield* change
        yield* after(watchQuietMilliseconds - 1)
      }
      assert.strictEqual(passes(), 1)
      yield* after(1)
      assert.strictEqual(passes(), 2)
      const step = watchQuietMilliseconds / 2
      for (let waited = 0; waited < watchQuietMillisecondsMax; waited += step) {
        assert.strictEqual(passes(), 2)
        yield* change
        yield* after(step)
      }
      assert.strictEqual(passes(), 3)
    })
  )

  scenario("a change that never ends is sent no later when somebody sets the clock back", () =>
    withTimeOfDay((set) =>
      Effect.gen(function* () {
        const { after, change, passes } = yield* following()
        yield* change
        set(-hour)
        const step = watchQuietMilliseconds / 2
        for (let waited = 0; waited < watchQuietMillisecondsMax; waited += step) {
          assert.strictEqual(passes(), 1)
          yield* change
          yield* after(step)
        }
        assert.strictEqual(passes(), 2)
      })
    )
  )

  scenario("looks by itself now and then, and more often where changes cannot be told", () =>
    Effect.gen(function* () {
      const { after, blind, change, passes, written } = yield* following()
      yield* after(watchRescanMilliseconds)
      assert.strictEqual(passes(), 2)
      yield* blind
      assert.include(written.err, "w cannot be watched (ENOSPC): it is looked at every 10 s")
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 3)
      yield* after(watchBlindMilliseconds)
      assert.strictEqual(passes(), 4)
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 5)
    })
  )

  scenario("what failed at first is tried once more, and so is what fails at another change meanwhile", () =>
    Effect.gen(function* () {
      const { after, change, passes } = yield* following([false, false, false])
      assert.strictEqual(passes(), 1)
      yield* after(watchAgainMilliseconds)
      assert.strictEqual(passes(), 2)
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 3)
      yield* after(watchAgainMilliseconds)
      assert.strictEqual(passes(), 4)
      yield* after(10 * watchAgainMilliseconds)
      assert.strictEqual(passes(), 4)
    })
  )

  scenario("what failed is tried once more, and then when something changes", () =>
    Effect.gen(function* () {
      const { after, change, passes } = yield* following([true, false, false, true])
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 2)
      yield* after(watchAgainMilliseconds)
      assert.strictEqual(passes(), 3)
      yield* after(10 * watchAgainMilliseconds)
      assert.strictEqual(passes(), 3)
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 4)
    })
  )

  scenario("what has gone since is told as that, and at the start as what was never there", () =>
    Effect.gen(function* () {
      const gone = new SourceMissing({ path: "w", command: "parallelize" })
      const { after, change, written } = yield* following([gone, gone, gone, true, gone])
      assert.strictEqual(
        written.err,
        "could not find the file in clientSide to parallelize: w\nwatching w: Ctrl-C ends it\n"
      )
      const told = "w is not here: the server keeps what copy it has, and it is followed once it is there\n"
      const times = () => written.err.split(told).length - 1
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(times(), 1)
      yield* after(watchAgainMilliseconds)
      assert.strictEqual(times(), 1)
      // It was back, and has gone again.
      for (const _ of [1, 2]) {
        yield* change
        yield* after(watchQuietMilliseconds)
      }
      assert.strictEqual(times(), 2)
    })
  )

  scenario(
    "a file of a folder that goes during a pass is not told as kept: with --delete the next look removes it",
    () =>
      Effect.gen(function* () {
        const gone = new SourceMissing({ path: "w/a", command: "parallelize" })
        const { after, change, passes, written } = yield* following([true, gone, true])
        yield* change
        yield* after(watchQuietMilliseconds)
        assert.strictEqual(
          written.err,
          "watching w: Ctrl-C ends it\nw/a has gone before it was sent: what is there now is looked at again\n"
        )
        yield* after(watchAgainMilliseconds)
        assert.strictEqual(passes(), 3)
      })
  )

  scenario("what was back while something else failed is told when it has gone again", () =>
    Effect.gen(function* () {
      const gone = new SourceMissing({ path: "w", command: "parallelize" })
      const { after, change, written } = yield* following([true, gone, gone, false, gone])
      const told = "w is not here: the server keeps what copy it has, and it is followed once it is there\n"
      for (const times of [1, 1, 1, 2]) {
        yield* change
        yield* after(watchQuietMilliseconds)
        assert.strictEqual(written.err.split(told).length - 1, times)
      }
    })
  )

  scenario("what stays is told once, and again when a pass has not found it meanwhile", () =>
    Effect.gen(function* () {
      const pass = Effect.gen(function* () {
        const { leftOut, note } = yield* Reporter
        const outcome = stays.shift()
        if (outcome !== undefined)
          yield* Effect.andThen(leftOut({ command: "para", path: "w/e", kind: "link" }), outcome)
        if (outcome !== undefined) yield* note("kept", "bad")
        return true
      })
      const stays = [Effect.void, Effect.void, Effect.fail(lost), Effect.void, undefined, Effect.void]
      const written = { out: "", err: "" }
      const reporter = Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
      yield* Effect.forkChild(Effect.provide(Watching.follow(["w"], pass), reporter))
      yield* settle
      const { say } = yield* MemoryWatch
      const toldBy = Effect.gen(function* () {
        written.err = ""
        yield* Effect.andThen(say({ _tag: "Changed", path: "w/a" }), settle)
        yield* Effect.andThen(TestClock.adjust(watchQuietMilliseconds), settle)
        yield* Effect.andThen(TestClock.adjust(watchRetryMilliseconds), settle)
        return written.err.split("\n").filter((line) => /^left out|^kept/.test(line))
      })
      const both = ["left out: w/e (a symbolic link)", "kept"]
      assert.strictEqual(written.err, [...both, "watching w: Ctrl-C ends it", ""].join("\n"))
      assert.deepStrictEqual(yield* toldBy, [])
      // Lost in between, and done by the next try.
      assert.deepStrictEqual(yield* toldBy, [])
      assert.deepStrictEqual(yield* toldBy, [])
      assert.deepStrictEqual(yield* toldBy, both)
    })
  )

  scenario("a loss of the network is waited out, longer each time up to a minute", () =>
    Effect.gen(function* () {
      const losses = Array.from({ length: 8 }, (_, index) => (index === 0 ? lost : refused))
      const { after, change, passes, written } = yield* following([true, ...losses, true, lost])
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 2)
      assert.include(written.err, "the connection was lost (truncated): the next try is in 1 s")
      let pause = watchRetryMilliseconds
      for (let tries = 3; tries <= 10; tries += 1) {
        yield* after(pause - 1)
        assert.strictEqual(passes(), tries - 1)
        yield* after(1)
        assert.strictEqual(passes(), tries)
        pause = Math.min(pause * 2, watchRetryMillisecondsMax)
      }
      const back = "the server is there again, and all that has changed meanwhile is seen\n"
      assert.isTrue(written.err.endsWith(back))
      // The next loss begins with a short pause again.
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.strictEqual(passes(), 11)
      yield* after(watchRetryMilliseconds)
      assert.strictEqual(passes(), 12)
      assert.lengthOf(written.err.split(back), 3)
    })
  )

  scenario("a session that ends without a word again and again is told as one that versions may end", () =>
    Effect.gen(function* () {
      const { after, change, written } = yield* following([true, lost, lost, true, lost])
      const told = () => written.err.split("\n").filter((line) => line.includes("the connection was lost"))
      yield* change
      yield* after(watchQuietMilliseconds)
      yield* after(watchRetryMilliseconds)
      const once = "the connection was lost (truncated): the next try is in 1 s"
      const again = "the connection was lost (truncated), and versions may differ: the next try is in 2 s"
      assert.deepStrictEqual(told(), [once, again])
      yield* after(watchRetryMilliseconds * 2)
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.deepStrictEqual(told(), [once, again, once])
    })
  )

  scenario("a server that asks for more patience gets it", () =>
    Effect.gen(function* () {
      const busy = new LoginRejected({ reason: "too-many-attempts", retryAfterMilliseconds: 7_000 })
      const { after, change, passes } = yield* following([true, busy])
      yield* change
      yield* after(watchQuietMilliseconds)
      yield* after(6_999)
      assert.strictEqual(passes(), 2)
      yield* after(1)
      assert.strictEqual(passes(), 3)
    })
  )

  scenario("who asks for more than a minute has not proved to be the server, and gets a minute", () =>
    Effect.gen(function* () {
      const busy = new LoginRejected({ reason: "too-many-attempts", retryAfterMilliseconds: 2 ** 32 - 1 })
      const { after, change, passes, written } = yield* following([true, busy])
      yield* change
      yield* after(watchQuietMilliseconds)
      assert.include(written.err, "the next try is in 60 s")
      yield* after(watchRetryMillisecondsMax - 1)
      assert.strictEqual(passes(), 2)
      yield* after(1)
      assert.strictEqual(passes(), 3)
    })
  )

  scenario("what fails at the start, or for good, ends the command", () =>
    Effect.gen(function* () {
      for (const first of [refused, lost]) {
        const { fiber } = yield* following([first])
        assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), first)
      }
      const revoked = new ConnectionLost({ reason: "the server closed the session: revoked" })
      const other = new ConnectFailed({ server: "here:1", reason: "other-version", code: "other-version" })
      const { user } = Fixture.ada
      for (const last of [revoked, other, new LoginIncorrect({ user, attemptsLeft: 0 })]) {
        const { after, change, fiber } = yield* following([true, last])
        yield* change
        yield* after(watchQuietMilliseconds)
        assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), last)
      }
      assert.strictEqual((yield* MemoryWatch).watching(), 0)
    })
  )

  scenario("tells the summary of a pass that did something, and of the first", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const idle = {
        command: "para",
        files: 3,
        equal: 3,
        failed: 0,
        removed: 0,
        size: 1,
        reused: 1,
        sent: 1,
        received: 1
      } as const
      let passes = 0
      const pass = Effect.gen(function* () {
        passes += 1
        const { summed } = yield* Reporter
        yield* summed({ ...idle, equal: passes === 3 ? 2 : 3, milliseconds: passes })
        return true
      })
      const reporter = Layer.provide(ReporterJson.layer(""), Screen.layerMemory({ written }))
      yield* Effect.forkChild(Effect.provide(Watching.follow(["w"], pass), reporter))
      yield* settle
      for (const _ of [2, 3, 4]) {
        yield* (yield* MemoryWatch).say({ _tag: "Changed", path: "w" })
        yield* settle
        yield* TestClock.adjust(watchQuietMilliseconds)
        yield* settle
      }
      assert.deepStrictEqual(
        written.out.match(/"milliseconds":\d/g),
        ["1", "3"].map((pass) => `"milliseconds":${pass}`)
      )
    })
  )
})

describe("a live listing", () => {
  const name = (text: string) => FileName.make(text)
  const content = (text: string) => Fixture.source(new TextEncoder().encode(text))

  it.effect("tells what was there, and then what is added, changed and removed", () =>
    Effect.gen(function* () {
      const other = yield* connect(Fixture.grace)
      yield* other.upload(name("b.txt"), content("one"))
      const written = { out: "", err: "" }
      const services = Layer.mergeAll(
        Sessions.layer(connect()),
        Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
      )
      yield* Effect.forkChild(Effect.provide(Watching.fetch("*.txt", false), services))
      const wait = Effect.gen(function* () {
        yield* settle
        yield* settle
        yield* TestClock.adjust(fetchWatchMilliseconds)
        yield* settle
        yield* settle
      })
      yield* wait
      yield* other.upload(name("a.txt"), content("new"))
      yield* other.upload(name("hidden.pdf"), content("new"))
      yield* other.para(name("b.txt"), content("longer"))
      yield* wait
      yield* wait
      yield* other.remove(name("a.txt"))
      yield* wait
      yield* wait
      const marks = written.out.split("\n").map((line) => `${line.slice(0, 2)}${line.split("  ").at(-1) ?? ""}`)
      assert.deepStrictEqual(marks, ["  b.txt", "+ a.txt", "~ b.txt", "- a.txt", ""])
    }).pipe(Effect.scoped, Effect.provide(server()))
  )

  it.effect("asks again for a listing that is refused in passing, and ends with what will not pass", () =>
    Effect.gen(function* () {
      const refusal = (reason: RefusalReason) => new RequestRefused({ name: "the listing", reason, detail: "" })
      const [failing, stopping, last] = [refusal("store-failed"), refusal("draining"), refusal("not-permitted")]
      const answers = [undefined, failing, stopping, undefined, last]
      let asked = 0
      const fetchWith: ClientSession["fetchWith"] = () =>
        Stream.suspend(() => {
          const answer = answers[asked]
          asked += 1
          return answer === undefined ? Stream.empty : Stream.fail(answer)
        })
      const session = { ended: () => false, traffic: { sent: 0, received: 0 }, fetchWith } as ClientSession
      const written = { out: "", err: "" }
      const services = Layer.mergeAll(
        Sessions.layer(Effect.succeed(session)),
        Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
      )
      const fiber = yield* Effect.forkChild(Effect.provide(Watching.fetch(undefined, false), services))
      yield* settle
      for (const wait of [fetchWatchMilliseconds, watchRetryMilliseconds, 2 * watchRetryMilliseconds]) {
        yield* TestClock.adjust(wait)
        yield* settle
      }
      assert.strictEqual(asked, 4)
      assert.deepStrictEqual(written.err.trimEnd().split("\n").slice(1), [
        "the server's storage failed for 'the listing': its log says why: the next try is in 1 s",
        "the server is about to stop: try again later: the next try is in 2 s",
        "the server is there again, and all that has changed meanwhile is seen"
      ])
      yield* TestClock.adjust(fetchWatchMilliseconds)
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), last)
      answers.splice(0, answers.length, failing)
      asked = 0
      const first = Effect.provide(Watching.fetch(undefined, false), services)
      assert.strictEqual(yield* Effect.flip(first), failing)
    })
  )

  it.effect("looks again as soon when somebody sets the clock forward while it looks", () =>
    withTimeOfDay((set) =>
      Effect.gen(function* () {
        let looks = 0
        const fetchWith: ClientSession["fetchWith"] = () =>
          Stream.suspend(() => {
            looks += 1
            set(looks * hour)
            return Stream.empty
          })
        const session = { ended: () => false, traffic: { sent: 0, received: 0 }, fetchWith } as ClientSession
        const services = Layer.mergeAll(
          Sessions.layer(Effect.succeed(session)),
          Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: { out: "", err: "" } }))
        )
        yield* Effect.forkChild(Effect.provide(Watching.fetch(undefined, false), services))
        yield* settle
        assert.strictEqual(looks, 1)
        yield* TestClock.adjust(fetchWatchMilliseconds)
        yield* settle
        assert.strictEqual(looks, 2)
      })
    )
  )

  it.effect("ends with one that tells more than can be remembered, also when that is one name again and again", () =>
    Effect.gen(function* () {
      const page = Array.from({ length: 1_000 }, () => ({ name: name("a"), size: 1, modified: 0 }))
      const pages = Stream.repeat(Stream.fromIterable(page), Schedule.recurs(fetchWatchEntriesMax / page.length))
      const fetchWith: ClientSession["fetchWith"] = () => pages
      const session = { ended: () => false, traffic: { sent: 0, received: 0 }, fetchWith } as ClientSession
      const services = Layer.mergeAll(
        Sessions.layer(Effect.succeed(session)),
        Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: { out: "", err: "" } }))
      )
      const failed = yield* Effect.flip(Effect.provide(Watching.fetch(undefined, false), services))
      assert.strictEqual(failed._tag, "TooManyToWatch")
    })
  )

  it.effect("ends also when what is listed no more may still be there, and is more than can be remembered", () =>
    Effect.gen(function* () {
      let listings = 0
      const fetchWith: ClientSession["fetchWith"] = ({ onUnlisted } = {}) =>
        Stream.unwrap(
          Effect.sync(() => {
            listings += 1
            const each = Array.from({ length: fetchWatchEntriesMax / 2 }, (_, index) => index)
            const pages = each.map((index) => ({ name: name(`${listings}-${index}`), size: 1, modified: 0 }))
            // One that is not named may hold any of them.
            const lacks = onUnlisted?.({ count: 1, names: [], unnamed: [] }) ?? Effect.void
            return Stream.concat(Stream.fromIterable(pages), Stream.fromEffectDrain(lacks))
          })
        )
      const session = { ended: () => false, traffic: { sent: 0, received: 0 }, fetchWith } as ClientSession
      const quiet = Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: { out: "", err: "" } }))
      const told = Layer.effect(
        Reporter,
        Effect.map(Reporter, (reporter) => ({
          ...reporter,
          listed: () => Effect.void,
          listingChanged: () => Effect.void
        }))
      ).pipe(Layer.provide(quiet))
      const services = Layer.mergeAll(Sessions.layer(Effect.succeed(session)), told)
      const watching = yield* Effect.forkChild(Effect.exit(Effect.provide(Watching.fetch(undefined, false), services)))
      for (let pass = 0; pass < 4; pass += 1) {
        yield* settle
        yield* TestClock.adjust(hour)
      }
      yield* settle
      assert.strictEqual(listings, 3)
      assert.isDefined(watching.pollUnsafe())
      const failed = yield* Effect.flip(Effect.flatten(Fiber.join(watching)))
      assert.strictEqual(failed._tag, "TooManyToWatch")
    })
  )

  it.effect("says that a folder may not be looked into any more, and not that its files are gone", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const entry = (text: string) => ({ name: name(text), size: 1, modified: 0 })
      let lists = [entry("b"), entry("docs/a"), entry("x")]
      let closed = false
      const session = Effect.map(connect(), (session): ClientSession => ({
        ...session,
        fetchWith: ({ onUnlisted } = {}) =>
          Stream.unwrap(
            Effect.as(
              closed && onUnlisted !== undefined
                ? onUnlisted({ count: 1, names: [name("docs")], unnamed: [] })
                : Effect.void,
              Stream.fromIterable(lists)
            )
          )
      }))
      const services = Layer.mergeAll(
        Sessions.layer(session),
        Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written }))
      )
      yield* Effect.forkChild(Effect.provide(Watching.fetch(undefined, false), services))
      const next = Effect.gen(function* () {
        yield* settle
        yield* settle
        yield* TestClock.adjust(fetchWatchMilliseconds)
        yield* settle
        const told = written.out.split("\n").map((line) => `${line.slice(0, 2)}${line.split("  ").at(-1) ?? ""}`)
        const notes = written.err.split("\n").filter((line) => line.includes("may not look into")).length
        Object.assign(written, { out: "", err: "" })
        return { told: told.slice(0, -1), notes }
      })
      yield* next
      closed = true
      lists = [entry("b")]
      assert.deepStrictEqual(yield* next, { told: ["- x"], notes: 1 })
      // Once, and what was there is still known when it may be looked into again.
      assert.deepStrictEqual(yield* next, { told: [], notes: 0 })
      closed = false
      lists = [entry("b"), entry("docs/a")]
      assert.deepStrictEqual(yield* next, { told: [], notes: 0 })
      lists = [entry("b")]
      assert.deepStrictEqual(yield* next, { told: ["- docs/a"], notes: 0 })
    }).pipe(Effect.scoped, Effect.provide(server()))
  )
})
