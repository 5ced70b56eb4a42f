/**
 * A tour of one server with a real configuration: every limit is hit and refused with its own words and its own metric,
 * the server stops under load without losing a transfer, and the audit log has all of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Result, Scope, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { attemptsPerUserAndAddressMax } from "../../src/domain/limits.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { Audit } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { resolve } from "../../src/server/Configuration.ts"
import * as Metrics from "../../src/server/Metrics.ts"
import * as Peer from "../../src/server/Peer.ts"
import { connect, dial, layer, settle, Watch } from "./world.ts"

const configuration = `
[limits]
sessions = 6
sessions-before-login = 2
login-time = "5 seconds"
drain-time = "20 seconds"

[audit]
file-size = "1 KiB"
files = 1000
`

const { settings } = Result.getOrThrow(
  resolve({ file: { path: "server.toml", text: configuration }, environment: {}, flags: {}, set: {} })
)

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
        layer({ limits: settings.limits, audit, noSpaceAtWrite: 2 }).pipe(
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
          ...[300_000, 400_000, 500_000].map((size) => by("ada", `upload load/${size} done ${size}`))
        ].toSorted()
      )
      // Two for the refusals, six for the seats, one after the guard, three under load; none for the guesses.
      assert.strictEqual(told.filter((line) => line === "login").length, 12)
      assert.isAbove((yield* Stream.runCollect(disk.list([]))).length, 1)
    })
  )
})
