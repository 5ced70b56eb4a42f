/**
 * A session that ends while the server is silent: what is on its way to that may not arrive later: it would undo what
 * another session has done since.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Transport from "../../src/domain/channel/Transport.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { goodbyeMillisecondsMax, stallMillisecondsMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { layer, settle } from "../server/world.ts"

/** A session over a network that may fall silent, and whether each of its connections was given up. */
const begin = Effect.gen(function* () {
  const { dial } = yield* MemoryNetwork
  const ends: Array<boolean> = []
  const network = { silent: false }
  const watched = Effect.map(dial, (socket) =>
    Socket.make({
      reader: Effect.gen(function* () {
        yield* Effect.addFinalizer((exit) => Effect.sync(() => void ends.push(Transport.isGivenUp(exit))))
        const inner = yield* socket.reader
        const pull = Effect.flatMap(inner.pull, (chunks) => (network.silent ? Effect.never : Effect.succeed(chunks)))
        return { ...inner, pull }
      }),
      writer: socket.writer
    })
  )
  const scope = yield* Scope.make()
  const connecting = Client.connect({ server: "memory", dial: watched, ...Fixture.ada })
  const session = yield* Effect.provideService(connecting, Scope.Scope, scope)
  const upload = session.upload(FileName.make("a"), Fixture.source(Fixture.bytes(1, 500)))
  return { ends, network, scope, session, upload }
})

const after = (milliseconds: number) => Effect.andThen(TestClock.adjust(milliseconds), settle)

describe("a session that ends", () => {
  it.effect("in order gives nothing up", () =>
    Effect.gen(function* () {
      const { ends, scope, upload } = yield* begin
      yield* upload
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(ends, [false])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("because the server was silent for too long gives up what is on its way", () =>
    Effect.gen(function* () {
      const { ends, network, scope, upload } = yield* begin
      network.silent = true
      const lost = yield* Effect.forkChild(Effect.flip(upload))
      yield* after(2 * stallMillisecondsMax)
      assert.strictEqual((yield* Fiber.join(lost))._tag, "ConnectionLost")
      assert.deepStrictEqual(ends, [true])
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("by an interruption, with a goodbye that nobody answers, gives up what is on its way", () =>
    Effect.gen(function* () {
      const { ends, network, scope, upload } = yield* begin
      network.silent = true
      const sending = yield* Effect.forkChild(upload)
      yield* settle
      yield* Fiber.interrupt(sending)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* settle
      yield* after(goodbyeMillisecondsMax - 1)
      assert.deepStrictEqual(ends, [])
      yield* after(1)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(ends, [true])
    }).pipe(Effect.provide(layer()))
  )
})
