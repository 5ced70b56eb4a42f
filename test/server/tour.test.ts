/**
 * A tour of one server with a real configuration: every limit is hit and refused with its own words and its own metric,
 * the server stops under load without losing a transfer, and the audit log has all of it.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { encode as encodeCbor } from "cborg"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Result, Scope, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import {
  attemptsPerUserAndAddressMax,
  frameHeaderBytes,
  goodbyeMillisecondsMax,
  loginAttemptsMax,
  messageBytesMax,
  nameSegmentBytesMax,
  requestsInFlightMax
} from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as Frame from "../../src/domain/wire/Frame.ts"
import { Audit } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { resolve } from "../../src/server/Configuration.ts"
import type { EndReason } from "../../src/server/EndReason.ts"
import * as Metrics from "../../src/server/Metrics.ts"
import * as Peer from "../../src/server/Peer.ts"
import { defaultLimits } from "../../src/server/ServerLimits.ts"
import { connect, dial, layer, settle, Watch, type World } from "./world.ts"

/** The file of a real server, read as `--config` does. */
const path = join(import.meta.dirname, "tour.toml")
const text = readFileSync(path, "utf8")
const { settings } = Result.getOrThrow(resolve({ file: { path, text }, environment: {}, flags: {}, set: {} }))
// Time is virtual here: rates are hit by a server of their own, below.
const { accountSendBytesPerSecond, minimumBytesPerSecond, sessionReceiveBytesPerSecond, ...others } = settings.limits
const [rates, unhurried] = [
  { accountSendBytesPerSecond, minimumBytesPerSecond, sessionReceiveBytesPerSecond },
  { ...others, sessionsPerAccount: 6, sessionsPerAddress: 7 }
]

const address = "192.0.2.7"
const [a, b] = [FileName.make("a"), FileName.make("b")]
const content = Fixture.bytes(1, 100_000)

/** The value of one series. */
const measured = (series: string) =>
  Effect.map(PrometheusMetrics.format(), (text) =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length + 1)
    )
  )

const refusedWith = Effect.fnUntraced(function* <A, E extends { readonly _tag: string; readonly message: string }, R>(
  reason: string,
  words: string,
  command: Effect.Effect<A, E, R>
) {
  const series = `paradrop_refusals_total{reason="${reason}"}`
  const before = yield* measured(series)
  const error = yield* Effect.flip(command)
  assert.include(error.message, words)
  assert.strictEqual(yield* measured(series), before + 1, series)
})

/** Content that waits at its end for a word. */
const gated = (size: number, gate: Deferred.Deferred<void>) => {
  const source = Fixture.source(Fixture.bytes(size, size))
  return { ...source, unchanged: Deferred.await(gate) }
}

/** A raw connection that says nothing, and how the server ended it or did not. */
const silent = Effect.gen(function* () {
  const socket = yield* dial
  yield* socket.reader
  yield* settle
})

const full = { bytes: 150_000 }

const refusals = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.change(Fixture.grace.user, (before) => ({ ...before, grant: { rights: ["list", "read"] } }))
  const ada = yield* connect()
  const grace = yield* connect(Fixture.grace)
  yield* ada.upload(a, Fixture.source(content))
  yield* refusedWith("not-permitted", "your account does not have the right", grace.upload(b, Fixture.source(content)))
  yield* refusedWith("name-collision", "'a'", ada.upload(FileName.make("A"), Fixture.source(content)))
  yield* refusedWith("no-such-file", "does not have this file", ada.describe(b))
  yield* refusedWith("no-space", "no room", ada.upload(b, Fixture.source(content)))
  yield* accounts.change(Fixture.ada.user, (before) => ({ ...before, grant: { ...before.grant, quota: full } }))
  const again = yield* connect()
  yield* refusedWith("quota-exceeded", "your quota on the server", again.upload(b, Fixture.source(content)))
  yield* accounts.change(Fixture.ada.user, (before) => ({ ...before, grant: { ...before.grant, quota: { files: 1 } } }))
  const third = yield* connect()
  yield* refusedWith("quota-exceeded", "your quota on the server", third.upload(b, Fixture.source(new Uint8Array(1))))
  yield* accounts.change(Fixture.ada.user, (before) => ({ ...before, grant: { rights: before.grant.rights } }))
})

const seats = Effect.gen(function* () {
  const { outcomes } = yield* Watch
  const all = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => connect())
  assert.strictEqual(yield* measured('paradrop_sessions{state="logged-in"}'), 6)
  yield* silent
  assert.strictEqual(outcomes().at(-1), "server-full")
  yield* Effect.forEach(all.slice(2), ({ close }) => close)
  yield* settle
  yield* silent
  yield* silent
  yield* silent
  assert.strictEqual(outcomes().at(-1), "made-room")
  yield* TestClock.adjust(settings.limits.loginMilliseconds)
  yield* settle
  assert.deepStrictEqual(outcomes().slice(-2), ["login-timeout", "login-timeout"])
  for (const [outcome, count] of [
    ["server-full", 1],
    ["made-room", 1],
    ["login-timeout", 2]
  ] as const) {
    assert.strictEqual(yield* measured(`paradrop_connections_total{outcome="${outcome}"}`), count)
  }
})

const guard = Effect.gen(function* () {
  const guess = Effect.scoped(connect({ ...Fixture.grace, password: Fixture.ada.password }))
  for (let attempt = 0; attempt < attemptsPerUserAndAddressMax; attempt++) {
    assert.strictEqual((yield* Effect.flip(guess))._tag, "LoginIncorrect")
  }
  const limited = yield* Effect.forkChild(Effect.flip(guess))
  yield* settle
  assert.strictEqual(yield* measured('paradrop_logins_total{outcome="limited"}'), 1)
  assert.strictEqual(yield* measured('paradrop_bans_total{of="user-at-address"}'), 1)
  yield* Fiber.interrupt(limited)
  // Another name at the same address is not locked out.
  yield* Effect.scoped(connect())
})

describe("a server", () => {
  it.effect("refuses at each limit, stops without losing a transfer, and has all of it on record", () =>
    Effect.gen(function* () {
      const { disk } = yield* MemoryDisk.make()
      const { fileSize: fileBytes, files } = settings.audit
      const audit = AuditFile.layer({ fileBytes, files }).pipe(Layer.provide(Layer.succeed(Disk, disk)), Layer.orDie)
      const running = yield* Scope.make()
      const server = yield* Layer.buildWithScope(
        layer({ limits: unhurried, audit, noSpaceAtWrite: 2 }).pipe(
          Layer.provide(Layer.succeed(Peer.PeerAddress, Effect.succeed(address)))
        ),
        running
      )
      yield* Effect.gen(function* () {
        yield* Metrics.register
        yield* Effect.scoped(refusals)
        yield* settle
        yield* Effect.scoped(seats)
        yield* settle
        yield* guard
        yield* settle
        const gate = yield* Deferred.make<void>()
        const sizes = [300_000, 400_000, 500_000]
        const clients = yield* Effect.forEach(sizes, (size) =>
          Effect.map(connect(), ({ upload }) => ({ size, upload }))
        )
        const uploads = yield* Effect.forEach(clients, ({ size, upload }) =>
          Effect.forkChild(upload(FileName.make(`load/${size}`), gated(size, gate)))
        )
        yield* settle
        assert.strictEqual(yield* measured("paradrop_staging_bytes"), 1_200_000)
        const stopping = yield* Effect.forkChild(Scope.close(running, Exit.void))
        yield* settle
        yield* Deferred.succeed(gate, undefined)
        for (const [index, fiber] of uploads.entries()) {
          assert.strictEqual((yield* Fiber.join(fiber)).size, sizes[index])
        }
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(stopping)
        for (const gauge of ["paradrop_staging_bytes", "paradrop_commands_open"]) {
          assert.strictEqual(yield* measured(gauge), 0)
        }
      }).pipe(Effect.scoped, Effect.provideContext(server))

      const records = yield* Effect.flatMap(Audit, (log) => Stream.runCollect(log.records)).pipe(Effect.provide(audit))
      const told = records.map((record) =>
        record._tag === "command"
          ? `${record.user} ${record.peer} ${record.command} ${record.name} ${record.outcome} ${record.bytes}`
          : record._tag
      )
      const by = (user: string, rest: string) => `${user} ${address} ${rest}`
      assert.deepStrictEqual(
        told.filter((line) => line !== "login").toSorted(),
        [
          by("ada", "upload a done 100000"),
          by("grace", "upload b not-permitted 0"),
          by("ada", "upload A name-collision 0"),
          by("ada", "describe b no-such-file 0"),
          by("ada", "upload b no-space 100000"),
          by("ada", "upload b quota-exceeded 0"),
          by("ada", "upload b quota-exceeded 0"),
          ...[300_000, 400_000, 500_000].map((size) => by("ada", `upload load/${size} done ${size}`))
        ].toSorted()
      )
      // Four for the refusals, six for the seats, one after the guard, three under load; none for the guesses.
      assert.strictEqual(told.filter((line) => line === "login").length, 14)
      assert.isAbove((yield* Stream.runCollect(disk.list([]))).length, 1)
    })
  )
})

// -----------------------------------------------------------------------------
// Limits that end a connection: each with its outcome, in the log and as a metric
// -----------------------------------------------------------------------------

/** Ends one connection by a limit; `from` says where the next ones come from. */
type Breach = (from: (address: string) => void) => Effect.Effect<unknown, unknown, World | Scope.Scope>

const hostile = Effect.flatMap(dial, (socket) => HostileClient.login(socket, Fixture.ada))
const waiting = (milliseconds: number) => Effect.andThen(TestClock.adjust(milliseconds + 1), settle)
const longName = "n".repeat(nameSegmentBytesMax + 1)
const wrong = { ...Fixture.grace, password: Fixture.ada.password }

/** A connection that has begun to try, and goes no further. */
const trying = Effect.gen(function* () {
  yield* HostileClient.prove(yield* HostileClient.meet(yield* dial), Fixture.ada)
  yield* settle
})

/** A message of that length, which is announced and does not come. */
const announced = (length: number): Uint8Array => {
  const header = new Uint8Array(frameHeaderBytes)
  header.set([1, length >>> 16, length >>> 8, length, 0, 0, 0, 1])
  return header
}

const breaches: Partial<Record<EndReason, Breach>> = {
  "login-timeout": () => Effect.andThen(silent, waiting(settings.limits.loginMilliseconds)),
  stalled: () => Effect.andThen(hostile, waiting(settings.limits.idleMilliseconds)),
  "too-slow": () =>
    Effect.gen(function* () {
      const session = yield* hostile
      yield* session.say(1, { _tag: "Upload", name: a, size: 10_000_000, modified: 0 })
      for (let drops = 0; drops < 8; drops++) {
        yield* Effect.ignore(session.content(1, Uint8Array.of(drops)))
        yield* settle
        yield* waiting(settings.limits.stallMilliseconds / 4)
      }
    }),
  incorrect: () =>
    Effect.gen(function* () {
      const met = yield* HostileClient.meet(yield* dial)
      for (let attempt = 0; attempt < loginAttemptsMax; attempt++) {
        yield* Effect.ignore(HostileClient.prove(met, wrong))
        yield* HostileClient.giveUp(met)
      }
      // The server lets the last answer arrive before it cuts.
      yield* waiting(goodbyeMillisecondsMax)
    }),
  "too-many-of-account": () =>
    Effect.gen(function* () {
      for (let index = 0; index < settings.limits.sessionsPerAccount; index++) yield* connect()
      const error = yield* Effect.flip(connect())
      assert.include(error.message, "too-many-of-account")
    }),
  "too-many-of-address": (from) =>
    Effect.gen(function* () {
      from("192.0.2.9")
      for (const who of [Fixture.ada, Fixture.ada, Fixture.ada, Fixture.grace, Fixture.grace]) yield* connect(who)
      yield* silent
    }),
  "too-many-from-address": () => Effect.andThen(Effect.andThen(trying, trying), silent),
  "too-many-before-login": (from) =>
    Effect.gen(function* () {
      yield* trying
      from("192.0.2.10")
      yield* trying
      from("192.0.2.11")
      yield* silent
    }),
  "made-room": () => Effect.forEach([1, 2, 3], () => silent),
  "server-full": (from) =>
    Effect.gen(function* () {
      for (const [index, who] of [Fixture.ada, Fixture.grace].flatMap((one) => [one, one, one]).entries()) {
        from(`192.0.2.${20 + index}`)
        yield* connect(who)
      }
      yield* silent
    }),
  "frame-refused": () =>
    Effect.gen(function* () {
      yield* (yield* hostile).record(announced(messageBytesMax + 1))
    }),
  "message-refused": () =>
    Effect.gen(function* () {
      const session = yield* hostile
      const body = encodeCbor({ _tag: "Upload", name: longName, size: 1, modified: 0 })
      yield* session.record(Bytes.concat(Frame.encode({ kind: "message", id: Frame.RequestId.make(1), body })))
    }),
  "protocol-violation": () =>
    Effect.gen(function* () {
      const session = yield* hostile
      // The first waits for its content, the others for the first.
      for (let id = 1; id <= requestsInFlightMax + 2; id++) {
        yield* session.say(id, { _tag: "Upload", name: a, size: 1_000_000, modified: 0 })
      }
      yield* settle
      yield* waiting(goodbyeMillisecondsMax)
    })
}

describe("a limit that ends a connection", () => {
  for (const [outcome, breach] of Object.entries(breaches)) {
    it.effect(outcome, () => {
      let peer = address
      const peers = Layer.succeed(
        Peer.PeerAddress,
        Effect.sync(() => peer)
      )
      return Effect.gen(function* () {
        yield* Metrics.register
        yield* breach((next) => (peer = next))
        yield* settle
        assert.deepStrictEqual((yield* Watch).outcomes(), [outcome])
        assert.strictEqual(yield* measured(`paradrop_connections_total{outcome="${outcome}"}`), 1)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          layer({ limits: { ...settings.limits, sessionReceiveBytesPerSecond: 0 } }).pipe(Layer.provide(peers))
        )
      )
    })
  }
})

describe("a rate", () => {
  const size = 500 * 1024
  const source = Fixture.bytes(9, size)

  /** Virtual time that passes until it is done, milliseconds. */
  const taking = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const since = yield* Clock.currentTimeMillis
      const fiber = yield* Effect.forkChild(work)
      while (fiber.pollUnsafe() === undefined) {
        yield* settle
        if (fiber.pollUnsafe() === undefined) yield* TestClock.adjust(100)
      }
      yield* Fiber.join(fiber)
      return (yield* Clock.currentTimeMillis) - since
    })

  it.effect("of a session holds for what it sends, one of an account for what it gets", () =>
    Effect.gen(function* () {
      const session = yield* connect()
      const up = yield* taking(session.upload(a, Fixture.source(source)))
      const down = yield* taking(session.download(a, () => Effect.succeed(Fixture.sink())))
      // A burst of a second's worth is free.
      const least = (rate: number) => (size / rate - 1) * 1000
      for (const [took, rate] of [
        [up, rates.sessionReceiveBytesPerSecond],
        [down, rates.accountSendBytesPerSecond]
      ] as const) {
        assert.isAtLeast(took, least(rate) * 0.9)
        assert.isAtMost(took, least(rate) + 2_000)
      }
    }).pipe(Effect.scoped, Effect.provide(layer({ limits: { ...defaultLimits, ...rates } })))
  )
})
