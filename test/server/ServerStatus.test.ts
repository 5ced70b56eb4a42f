import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import { contentBlockBytes, pieceBytesMin } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const sessions = Effect.flatMap(ServerStatus, (status) => status.sessions)
const name = FileName.make("a")
// What comes while one is written is written at once: so many blocks are more than two writes.
const size = 20 * contentBlockBytes

/** Lets two writes of a file through, then waits. */
const afterTwo = () => {
  const gate = Deferred.makeUnsafe<void>()
  let writes = 0
  return {
    open: Deferred.succeed(gate, undefined),
    beforeWrite: Effect.suspend(() => (++writes > 2 ? Deferred.await(gate) : Effect.void))
  }
}

describe("ServerStatus", () => {
  scenario("shows a connection before its login, then who it is, and forgets it", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(5_000)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* (yield* dial).reader
          yield* settle
          const [stranger, ...others] = yield* sessions
          assert.deepStrictEqual(others, [])
          assert.deepInclude(stranger, { id: 1, state: "before-login", peer: "local", since: 5_000, received: 0 })
          assert.notProperty(stranger, "user")
          yield* connect()
          const known = (yield* sessions)[1]
          assert.deepInclude(known, { id: 2, state: "idle", user: "ada" })
          assert.notProperty(known, "transfer")
        })
      )
      yield* settle
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* sessions, [])
    })
  )

  scenario("shows and logs what a client calls itself with nothing in it that a terminal would obey", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
          yield* session.say(0, { _tag: "Hello", client: "\u001b[2J\n\u202efriend" })
          yield* session.hear
          const [known] = yield* sessions
          assert.strictEqual(known?.client, "\\x1b[2J\\x0a\\u{202e}friend")
        })
      )
      yield* settle
      yield* TestClock.adjust("10 seconds")
      const logged = (yield* Watch).lines.map(({ annotations }) => annotations["client"])
      assert.deepStrictEqual(logged, ["\\x1b[2J\\x0a\\u{202e}friend"])
    })
  )

  const gate = afterTwo()
  scenario(
    "shows how far an upload has come, and that bytes flow",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(1_000)
        const session = yield* connect()
        const upload = yield* Effect.forkChild(session.upload(name, Fixture.source(Fixture.bytes(1, size))))
        yield* settle
        const [during] = yield* sessions
        assert.strictEqual(during?.state, "transferring")
        const { bytes = 0, ...transfer } = during?.transfer ?? {}
        assert.deepStrictEqual(transfer, { command: "upload", name, size })
        assert.isAtLeast(bytes, 2 * pieceBytesMin)
        assert.isBelow(bytes, size)
        assert.isAbove(during?.receivedPerSecond ?? 0, 0)
        yield* gate.open
        yield* Fiber.join(upload)
        const [after] = yield* sessions
        assert.strictEqual(after?.state, "idle")
        assert.notProperty(after, "transfer")
        assert.isAtLeast(after?.received ?? 0, size)
      }),
    { beforeWrite: gate.beforeWrite }
  )

  scenario(
    "shows how far a download has come",
    () =>
      Effect.gen(function* () {
        const session = yield* connect()
        const gate = yield* Deferred.make<void>()
        const sink = Fixture.sink()
        const download = yield* Effect.forkChild(
          session.download(name, () =>
            Effect.succeed({
              ...sink,
              write: (parts: ReadonlyArray<Uint8Array>) => Effect.andThen(Deferred.await(gate), sink.write(parts))
            })
          )
        )
        yield* settle
        const [during] = yield* sessions
        const { bytes = 0, ...transfer } = during?.transfer ?? {}
        assert.deepStrictEqual(transfer, { command: "download", name, size: 60 * contentBlockBytes })
        assert.isAbove(bytes, 0)
        assert.isBelow(bytes, 60 * contentBlockBytes)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(download)
      }),
    { files: [{ name, content: Fixture.bytes(2, 60 * contentBlockBytes) }] }
  )
})
