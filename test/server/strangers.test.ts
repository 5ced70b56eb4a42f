/**
 * Strangers who connect and say nothing, from many addresses, at a whole server: they keep nobody out.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { sessionsBeforeLoginMax } from "../../src/domain/limits.ts"
import * as Peer from "../../src/server/Peer.ts"
import { connect, dial, layer, settle, Watch } from "./world.ts"

const strangers = 400

it.effect("hundreds of silent strangers keep out neither who comes after them nor who logs in between", () => {
  let address = ""
  const peers = Layer.succeed(
    Peer.PeerAddress,
    Effect.sync(() => address)
  )
  /** One more who says nothing; each third comes from where the one before did. */
  const stranger = (index: number) =>
    Effect.gen(function* () {
      address = `10.0.${Math.floor(index / 3) >> 8}.${Math.floor(index / 3) & 255}`
      const socket = yield* dial
      yield* socket.reader
      yield* settle
    })
  return Effect.scoped(
    Effect.gen(function* () {
      const { outcomes } = yield* Watch
      for (let index = 0; index < strangers; index++) {
        yield* stranger(index)
        if (index % 100 === 99) {
          address = "192.0.2.7"
          const session = yield* connect()
          assert.deepStrictEqual(Array.from(yield* Stream.runCollect(session.fetch)), [])
          yield* session.close
          yield* settle
        }
      }
      const count = (outcome: string) => outcomes().filter((one) => one === outcome).length
      // All but those who still sit there, and one whose seat went to the last who logged in.
      assert.strictEqual(count("made-room"), strangers - sessionsBeforeLoginMax + 1)
      assert.strictEqual(count("bye"), strangers / 100)
      assert.strictEqual(outcomes().length, count("made-room") + count("bye"))
    })
  ).pipe(Effect.provide(layer().pipe(Layer.provide(peers))))
})
