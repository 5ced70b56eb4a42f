import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Socket, SocketServer } from "effect/socket"
import { quickCrypto } from "../../crypto.ts"
import * as Client from "../../../src/client/Client.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../../src/domain/testing/MemorySocket.ts"

describe("a network in memory whose server has gone", () => {
  const begun = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const network = yield* Layer.buildWithScope(MemorySocket.layer, scope)
    const { run } = Context.get(network, SocketServer.SocketServer)
    return { dial: Context.get(network, MemorySocket.MemoryNetwork).dial, gone: Scope.close(scope, Exit.void), run }
  })

  it.live("refuses who dials, at once", () =>
    Effect.gen(function* () {
      const { dial, gone } = yield* begun
      yield* gone
      const error = yield* Effect.flip(Client.connect({ server: "it", dial, ...Fixture.ada }))
      assert.containSubset(error, { _tag: "ConnectFailed", reason: "connection-refused" })
    }).pipe(Effect.timeout(5_000), Effect.scoped, Effect.provide(quickCrypto))
  )

  it.live("refuses who dials when it has only ended to run, as TCP does", () =>
    Effect.gen(function* () {
      const { dial, gone, run } = yield* begun
      const running = yield* Effect.forkChild(
        run(() => Effect.never),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(running)
      const error = yield* Effect.flip(Client.connect({ server: "it", dial, ...Fixture.ada }))
      assert.containSubset(error, { _tag: "ConnectFailed", reason: "connection-refused" })
      yield* gone
    }).pipe(Effect.timeout(5_000), Effect.scoped, Effect.provide(quickCrypto))
  )

  it.live("ends the connections that it has not accepted", () =>
    Effect.gen(function* () {
      const { dial, gone } = yield* begun
      const near = yield* dial
      const { pull } = yield* near.reader
      const reading = yield* Effect.forkChild(Effect.flip(pull))
      yield* Effect.yieldNow
      yield* gone
      assert.strictEqual((yield* Fiber.join(reading)).reason._tag, "SocketCloseError")
      const { write } = yield* near.writer
      assert.strictEqual((yield* Effect.flip(write("more"))).reason._tag, "SocketWriteError")
    }).pipe(Effect.timeout(5_000), Effect.scoped)
  )
})

describe("a connection in memory", () => {
  it.live("ends in both directions when it is told to close, as one of Node's does", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair
      const { pull } = yield* near.reader
      const { write } = yield* near.writer
      yield* write(new Socket.CloseEvent(1000))
      const ends = [yield* Effect.flip(pull), yield* Effect.flip((yield* far.reader).pull)]
      assert.deepStrictEqual(
        ends.map(({ reason }) => reason._tag),
        ["SocketCloseError", "SocketCloseError"]
      )
    }).pipe(Effect.timeout(5_000), Effect.scoped)
  )
})
