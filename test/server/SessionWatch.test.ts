/**
 * Who looks on at a whole server: the audit log and the metrics tell what was done, and nothing is done unseen.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Latch, Layer, Option, Redacted, Scope, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { auditRetryMilliseconds, auditDelayMilliseconds, auditWaitingMax } from "../../src/domain/limits.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { Audit, type AuditRecord } from "../../src/server/Audit.ts"
import * as AuditFile from "../../src/server/AuditFile.ts"
import { recordOf } from "../../src/server/testing/auditContract.ts"
import { connect, dial, layer, scenario, settle, Watch } from "./world.ts"

const [name, other, missing] = [FileName.make("a"), FileName.make("b"), FileName.make("missing")]
const [first, second] = [Fixture.bytes(1, 300_000), Fixture.bytes(2, 40_000)]

const audited = Effect.flatMap(Effect.serviceOption(Audit), (audit) =>
  Option.isNone(audit) ? Effect.succeed([]) : Stream.runCollect(audit.value.records)
)

/** The lines of a metric that are not zero. */
const measured = (metric: string) =>
  Effect.map(PrometheusMetrics.format(), (text) =>
    text
      .split("\n")
      .filter((line) => line.startsWith(metric) && !line.endsWith(" 0"))
      .toSorted()
  )

const short = (record: AuditRecord) =>
  record._tag === "command" ? `${record.user} ${record.command} ${record.outcome}` : record._tag

describe("a session", () => {
  scenario(
    "is on record command by command, with what was there before and after",
    () =>
      Effect.gen(function* () {
        const [one, two] = [yield* Fixture.digest(first), yield* Fixture.digest(second)]
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* connect()
            yield* session.upload(name, Fixture.source(second))
            yield* session.upload(name, Fixture.source(first))
            yield* session.upload(other, Fixture.source(first))
            yield* session.download(name, () => Effect.succeed(Fixture.sink()))
            yield* Effect.flip(session.para(missing, Fixture.source(first)))
            yield* Stream.runDrain(session.fetch)
          })
        )
        yield* settle
        const time = "1970-01-01T00:00:00.000Z"
        const common = { _tag: "command", time, user: Fixture.ada.user, peer: "local" } as const
        const [login, ...commands] = yield* audited
        assert.deepStrictEqual(login, { ...common, _tag: "login" })
        assert.deepStrictEqual(commands, [
          { ...common, command: "upload", outcome: "done", bytes: 40_000, name, after: two },
          { ...common, command: "upload", outcome: "done", bytes: 300_000, name, before: two, after: one },
          { ...common, command: "upload", outcome: "done", bytes: 300_000, name: other, after: one },
          { ...common, command: "download", outcome: "done", bytes: 300_000, name, after: one },
          { ...common, command: "para", outcome: "no-such-file", bytes: 0, name: missing },
          { ...common, command: "fetch", outcome: "done", bytes: 0 }
        ])
      }),
    { audit: Audit.layerMemory }
  )

  scenario("is measured: logins, commands, bytes, commits, and nothing is left open", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* connect()
          assert.deepStrictEqual(yield* measured("paradrop_sessions"), ['paradrop_sessions{state="logged-in"} 1'])
          yield* session.upload(name, Fixture.source(first))
          yield* Effect.flip(session.describe(missing))
        })
      )
      yield* Effect.flip(Effect.scoped(connect({ ...Fixture.ada, password: Fixture.grace.password })))
      yield* settle
      assert.deepStrictEqual(yield* measured("paradrop_logins"), [
        'paradrop_logins_total{outcome="done"} 1',
        'paradrop_logins_total{outcome="failed"} 1'
      ])
      assert.deepStrictEqual(yield* measured("paradrop_commands_total"), [
        'paradrop_commands_total{command="describe",outcome="refused"} 1',
        'paradrop_commands_total{command="upload",outcome="done"} 1'
      ])
      assert.deepStrictEqual(yield* measured("paradrop_refusals"), ['paradrop_refusals_total{reason="no-such-file"} 1'])
      assert.deepStrictEqual(yield* measured("paradrop_commit_seconds_count"), ["paradrop_commit_seconds_count 1"])
      assert.include((yield* measured("paradrop_connections")).join(), 'outcome="abandoned"')
      for (const gauge of ["paradrop_sessions", "paradrop_commands_open", "paradrop_staging"]) {
        assert.deepStrictEqual(yield* measured(gauge), [])
      }
      const [line = ""] = yield* measured("paradrop_received_bytes_total")
      const received = Number(line.split(" ")[1])
      assert.isAbove(received, first.length)
      assert.isBelow(received, first.length + 1000)
    })
  )

  scenario(
    "that gives up in the middle leaves a cancelled command and no gauge behind",
    () =>
      Effect.gen(function* () {
        const session = yield* Effect.forkChild(
          Effect.scoped(
            Effect.gen(function* () {
              const { upload } = yield* connect()
              const source = Fixture.source(new Uint8Array(5_000_000))
              let reads = 0
              // The first read is for the head; content never comes.
              const read = (offset: number, length: number) =>
                (reads += 1) === 1 ? source.read(offset, length) : Effect.never
              yield* upload(name, { ...source, read })
            })
          )
        )
        yield* settle
        assert.deepStrictEqual(yield* measured("paradrop_staging"), ["paradrop_staging_bytes 5000000"])
        yield* Fiber.interrupt(session)
        yield* settle
        assert.deepStrictEqual((yield* audited).map(short), ["login", "ada upload cancelled"])
        assert.deepStrictEqual(yield* measured("paradrop_staging"), [])
      }),
    { audit: Audit.layerMemory }
  )

  scenario(
    "that breaks in the middle of a command has it on record as interrupted",
    () =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* HostileClient.login(yield* dial, Fixture.ada)
            yield* session.say(1, { _tag: "Upload", name, size: 100, modified: 0 })
            yield* session.hear
            yield* session.content(1, new Uint8Array(30))
            yield* settle
          })
        )
        yield* settle
        const [login, command, ...others] = yield* audited
        assert.strictEqual(login?._tag, "login")
        assert.deepInclude(command, { command: "upload", outcome: "interrupted", name, bytes: 30 })
        assert.deepStrictEqual(others, [])
      }),
    { audit: Audit.layerMemory }
  )
})

describe("what was done and nobody heard of", () => {
  const gate = Latch.makeUnsafe()
  scenario(
    "a removal and a renaming that their sessions did not live to see are on record as done",
    () =>
      Effect.gen(function* () {
        const broken = (message: Parameters<HostileClient.HostileSession["say"]>[1]) =>
          Effect.scoped(
            Effect.gen(function* () {
              const session = yield* HostileClient.login(yield* dial, Fixture.ada)
              yield* session.say(1, message)
              yield* settle
            })
          )
        yield* broken({ _tag: "Remove", name })
        yield* broken({ _tag: "Rename", name: other, to: missing })
        yield* settle
        assert.deepStrictEqual((yield* audited).map(short), ["login", "login"])
        yield* gate.open
        yield* settle
        assert.deepStrictEqual((yield* audited).map(short).slice(2), ["ada remove done", "ada rename done"])
      }),
    {
      audit: Audit.layerMemory,
      files: [
        { name, content: first },
        { name: other, content: second }
      ],
      afterChange: gate.await
    }
  )

  scenario(
    "a change of password is on record, done or refused, and never the password",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const { password: current, user } = Fixture.ada
        const next = Redacted.make("a horse of another colour")
        yield* Effect.flip(session.changePassword({ user, current: next, next }))
        yield* session.changePassword({ user, current, next })
        yield* settle
        const records = yield* audited
        // A client finds out by itself that the present one is wrong.
        assert.deepStrictEqual(records.map(short), ["login", "ada passwd cancelled", "ada passwd done"])
        assert.notInclude(JSON.stringify(records), Redacted.value(next))
        assert.deepStrictEqual(yield* measured("paradrop_commands_total"), [
          'paradrop_commands_total{command="passwd",outcome="done"} 1',
          'paradrop_commands_total{command="passwd",outcome="refused"} 1'
        ])
      }),
    { audit: Audit.layerMemory }
  )

  scenario(
    "ends with a line in the log and no gauge behind it, also when the audit log dies of its last command",
    () =>
      Effect.gen(function* () {
        yield* Effect.scoped(connect())
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* HostileClient.login(yield* dial, Fixture.ada)
            yield* session.say(1, { _tag: "Upload", name, size: 100, modified: 0 })
            yield* session.hear
          })
        )
        yield* settle
        assert.deepStrictEqual((yield* Watch).outcomes(), ["bye", "defect"])
        for (const gauge of ["paradrop_sessions", "paradrop_commands_open", "paradrop_staging"]) {
          assert.deepStrictEqual(yield* measured(gauge), [])
        }
      }),
    { audit: dying }
  )

  it.effect("a fault of the program that meets the end of the server is on record as one", () =>
    Effect.gen(function* () {
      const running = yield* Scope.make()
      const beforeWrite = Effect.onInterrupt(Effect.never, () => Effect.die("boom"))
      const server = yield* Layer.buildWithScope(layer({ beforeWrite, limits: { drainMilliseconds: 1_000 } }), running)
      const outcomes = yield* Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        yield* session.say(1, { _tag: "Upload", name, size: 100, modified: 0 })
        yield* session.hear
        yield* session.content(1, new Uint8Array(30))
        yield* settle
        const stopping = yield* Effect.forkChild(Scope.close(running, Exit.void))
        yield* settle
        yield* TestClock.adjust(1_000)
        yield* Fiber.join(stopping)
        return (yield* Watch).outcomes()
      }).pipe(Effect.scoped, Effect.provideContext(server))
      assert.deepStrictEqual(outcomes, ["defect"])
    })
  )
})

/** A log of somebody else's, that takes logins and dies of every other call, also of one with nothing in it. */
const dying = Layer.effect(
  Audit,
  Effect.map(Audit, (inner) =>
    Audit.of({
      ...inner,
      recordAll: (records) => (records[0]?._tag === "login" ? inner.recordAll(records) : Effect.die("no log"))
    })
  )
).pipe(Layer.provide(Audit.layerMemory))

/** A log on a disk that is full for the first record. */
const breaking = Layer.unwrap(
  Effect.gen(function* () {
    const { control, disk } = yield* MemoryDisk.make()
    const log = yield* Layer.build(Layer.provide(AuditFile.layer(), Layer.succeed(Disk, disk)))
    yield* control.failAt((yield* control.operations) + 1, "ENOSPC")
    return Layer.succeedContext(log)
  })
).pipe(Layer.orDie)

describe("an audit log that cannot be written", () => {
  scenario(
    "stops new commands until it can be, and has all that was done",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        yield* TestClock.adjust(auditDelayMilliseconds)
        const refused = yield* Effect.flip(session.upload(name, Fixture.source(first)))
        assert.strictEqual(refused._tag === "RequestRefused" && refused.reason, "store-failed")
        const kept = yield* Effect.flip(session.remove(name))
        assert.strictEqual(kept._tag === "RequestRefused" && kept.reason, "store-failed")
        const stays = yield* Effect.flip(session.rename(name, FileName.make("other")))
        assert.strictEqual(stays._tag === "RequestRefused" && stays.reason, "store-failed")
        const { password: current, user } = Fixture.ada
        const same = yield* Effect.flip(session.changePassword({ user, current, next: Fixture.grace.password }))
        assert.strictEqual(same._tag === "RequestRefused" && same.reason, "store-failed")
        assert.deepStrictEqual(yield* measured("paradrop_audit_failing"), ["paradrop_audit_failing 1"])
        yield* TestClock.adjust(auditRetryMilliseconds + auditDelayMilliseconds)
        yield* settle
        assert.deepStrictEqual(yield* measured("paradrop_audit_failing"), [])
        yield* session.upload(name, Fixture.source(first))
        yield* TestClock.adjust(auditDelayMilliseconds)
        yield* settle
        assert.deepStrictEqual((yield* audited).map(short), [
          "login",
          "ada upload store-failed",
          "ada remove store-failed",
          "ada rename store-failed",
          "ada passwd store-failed",
          "recovered",
          "ada upload done"
        ])
      }),
    { audit: breaking }
  )
})

describe("an audit log that has no room for the moment", () => {
  it.effect("has what was done, also when the session that waits for room is ended meanwhile", () =>
    Effect.gen(function* () {
      const { disk } = yield* MemoryDisk.make()
      const quick = Latch.makeUnsafe(true)
      const slow: Disk["Service"] = {
        ...disk,
        create: (path) =>
          Effect.map(disk.create(path), (file) => ({ ...file, sync: Effect.andThen(quick.await, file.sync) }))
      }
      const log = yield* Layer.build(Layer.provide(AuditFile.layer(), Layer.succeed(Disk, slow)))
      const { flush, recordAll, records } = Context.get(log, Audit)
      const running = yield* Scope.make()
      const limits = { drainMilliseconds: 1_000 }
      const server = yield* Layer.buildWithScope(layer({ audit: Layer.succeedContext(log), limits }), running)
      const client = yield* Effect.forkChild(
        Effect.gen(function* () {
          const session = yield* connect()
          yield* flush
          quick.closeUnsafe()
          yield* recordAll(Array.from({ length: auditWaitingMax }, (_, index) => recordOf(index)))
          yield* session.upload(name, Fixture.source(second))
        }).pipe(Effect.scoped, Effect.provideContext(server))
      )
      yield* settle
      yield* settle
      assert.strictEqual((yield* Context.get(server, FileStore).stat(name)).size, second.length)
      const stopping = yield* Effect.forkChild(Scope.close(running, Exit.void))
      yield* settle
      yield* TestClock.adjust(1_000)
      yield* quick.open
      yield* Fiber.join(stopping)
      yield* Fiber.interrupt(client)
      yield* flush
      const last = (yield* Stream.runCollect(records)).at(-1)
      assert.deepInclude(last, { command: "upload", outcome: "done", name, bytes: second.length })
    }).pipe(Effect.scoped)
  )
})
