/**
 * Stretching in a worker: what becomes of one that ends before it is asked.
 */
import process from "node:process"
import type { Worker } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted } from "effect"
import { Opaque } from "../../../src/domain/channel/Opaque.ts"
import * as OpaqueNode from "../../../src/domain/channel/OpaqueNode.ts"

const real = import.meta.resolve("@serenity-kit/opaque")
const broken = "data:text/javascript,throw new Error()"
/** never there, with a worker that would stay */
const endless = "data:text/javascript,setInterval(() => {}, 1000); await new Promise(() => {})"

/** Waits for the next worker. */
const nextStarts = () => new Promise<Worker>((resolve) => process.once("worker", (worker: Worker) => resolve(worker)))

const endOf = (worker: Worker) => new Promise<void>((resolve) => worker.once("exit", () => resolve()))

const nextEnds = () => nextStarts().then(endOf)

describe("a worker that was started ahead", () => {
  it.live("and ends before it is asked harms nobody, and another is started for the question", () => {
    const addresses = [broken, real]
    return Effect.gen(function* () {
      const opaque = yield* Opaque
      const setup = yield* opaque.createSetup
      const ended = nextEnds()
      yield* opaque.prepare
      yield* Effect.promise(() => ended)
      const credentials = { user: "ada", password: Redacted.make("123456"), stretching: 2 } as const
      yield* opaque.register(setup, credentials)
      assert.deepStrictEqual(addresses, [])
    }).pipe(Effect.provide(OpaqueNode.layerFrom(() => addresses.shift() ?? real)))
  })

  it.live("and cannot work refuses the question instead of leaving it open", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const setup = yield* opaque.createSetup
      const asked = opaque.register(setup, { user: "ada", password: Redacted.make("123456"), stretching: 2 })
      assert.strictEqual((yield* Effect.flip(asked))._tag, "OpaqueRejected")
    }).pipe(Effect.provide(OpaqueNode.layerFrom(() => broken)))
  )

  it.live("and is not asked ends itself, as one does that has answered", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const setup = yield* opaque.createSetup
      const register = (stretching: 2 | 3) =>
        opaque.register(setup, { user: "ada", password: Redacted.make("123456"), stretching })
      for (const stretching of [3, 2] as const) {
        const ended = nextEnds()
        yield* opaque.prepare
        yield* register(stretching)
        yield* Effect.promise(() => ended)
        // The first would not be started again otherwise.
        yield* register(2)
      }
    }).pipe(Effect.provide(OpaqueNode.layerFrom(() => real)))
  )

  it.live("is stopped when nobody waits for its answer any more", () =>
    Effect.gen(function* () {
      const opaque = yield* Opaque
      const setup = yield* opaque.createSetup
      const started = nextStarts()
      const asking = yield* Effect.forkChild(
        opaque.register(setup, { user: "ada", password: Redacted.make("123456"), stretching: 2 })
      )
      const ended = endOf(yield* Effect.promise(() => started))
      yield* Fiber.interrupt(asking)
      yield* Effect.promise(() => ended)
    }).pipe(Effect.provide(OpaqueNode.layerFrom(() => endless)))
  )

  it.live("is one only where the last password had to be stretched", () => {
    const starts: Array<string> = []
    const address = () => {
      starts.push("a worker")
      return real
    }
    return Effect.gen(function* () {
      const opaque = yield* Opaque
      const setup = yield* opaque.createSetup
      const register = (stretching: 2 | 3) =>
        opaque.register(setup, { user: "ada", password: Redacted.make("123456"), stretching })
      yield* opaque.prepare
      assert.strictEqual(starts.length, 1, "nothing is known yet")
      yield* register(3)
      yield* opaque.prepare
      assert.strictEqual(starts.length, 1, "the last one cost nothing")
      yield* register(2)
      assert.strictEqual(starts.length, 2, "this one costs something")
      yield* opaque.prepare
      assert.strictEqual(starts.length, 3, "and so may the next")
    }).pipe(Effect.provide(OpaqueNode.layerFrom(address)))
  })
})
