import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Random, Scope } from "effect"
import * as Peer from "../../src/server/Peer.ts"
import { Seats } from "../../src/server/Seats.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"

const stranger = (index: number) => Peer.fromAddress(`192.0.${index >> 8}.${index & 255}`)
const local = Peer.fromAddress("127.0.0.1")

const limits = {
  sessions: 20,
  sessionsBeforeLogin: 10,
  sessionsBeforeLoginPerAddress: 3,
  sessionsBeforeLoginFromLoopback: 6
}
const seated = Seats.layer.pipe(Layer.provide(Layer.succeed(ServerLimits, { ...defaultLimits, ...limits })))

const take = (peer: Peer.Peer) => Effect.flatMap(Seats, (seats) => seats.take(peer))
const reason = (peer: Peer.Peer) => Effect.map(Effect.flip(take(peer)), (refused) => refused.reason)
const counts = Effect.flatMap(Seats, (seats) => seats.count)

describe("Seats", () => {
  it.effect("limits an address, and loopback by its own figure", () =>
    Effect.gen(function* () {
      for (let index = 0; index < 3; index++) yield* take(stranger(1))
      assert.strictEqual(yield* reason(stranger(1)), "too-many-from-address")
      for (let index = 0; index < 6; index++) yield* take(local)
      assert.strictEqual(yield* reason(local), "too-many-from-address")
      assert.deepStrictEqual(yield* counts, { all: 9, beforeLogin: 9 })
    }).pipe(Effect.scoped, Effect.provide(seated))
  )

  it.effect("limits those before login, and those in all", () =>
    Effect.gen(function* () {
      for (let index = 0; index < 6; index++) yield* take(local)
      // Trusted addresses are not dropped early, so that the limit itself shows.
      for (let index = 0; index < 4; index++) {
        yield* Effect.scoped(Effect.flatMap(take(stranger(index)), (seat) => seat.admit("ada"))).pipe(
          Effect.retry({ times: 1000 })
        )
        yield* take(stranger(index))
      }
      assert.strictEqual(yield* reason(stranger(99)), "too-many-before-login")
      assert.deepStrictEqual(yield* counts, { all: 10, beforeLogin: 10 })
    }).pipe(Effect.scoped, Effect.provide(seated))
  )

  it.effect("an admitted one makes room before login, not in all", () =>
    Effect.gen(function* () {
      for (let index = 0; index < limits.sessions; index++) {
        const seat = yield* take(local)
        yield* seat.admit("ada")
        yield* seat.admit("ada")
      }
      assert.deepStrictEqual(yield* counts, { all: 20, beforeLogin: 0 })
      assert.strictEqual(yield* reason(local), "server-full")
    }).pipe(Effect.scoped, Effect.provide(seated))
  )

  it.effect("limits the sessions of an account, and those of an address before and after login", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(take(local), scope)
      yield* first.admit("ada")
      yield* (yield* take(local)).admit("ada")
      const third = yield* take(local)
      assert.strictEqual((yield* Effect.flip(third.admit("ada"))).reason, "too-many-of-account")
      yield* third.admit("grace")
      yield* Scope.close(scope, Exit.void)
      yield* (yield* take(local)).admit("ada")
      for (let index = 0; index < 4; index++) yield* (yield* take(stranger(7))).admit(`user${index}`)
      assert.strictEqual(yield* reason(stranger(7)), "too-many-of-address")
      yield* take(stranger(8))
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.provide(
          Seats.layer,
          Layer.succeed(ServerLimits, { ...defaultLimits, sessionsPerAccount: 2, sessionsPerAddress: 4 })
        )
      )
    )
  )

  it.effect("gives seats back with the scope, admitted or not", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.provide(take(local), scope)
      const seat = yield* Scope.provide(take(local), scope)
      yield* seat.admit("ada")
      assert.deepStrictEqual(yield* counts, { all: 2, beforeLogin: 1 })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
      for (let index = 0; index < 6; index++) yield* take(local)
    }).pipe(Effect.scoped, Effect.provide(seated))
  )

  it.effect("drops strangers ever more often from half full on, and spares those who logged in before", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(take(stranger(1)), (seat) => seat.admit("ada")))
      const tries = 200
      const dropped = (peer: (index: number) => Peer.Peer) =>
        Effect.gen(function* () {
          let count = 0
          for (let index = 0; index < tries; index++) {
            const exit = yield* Effect.exit(Effect.scoped(take(peer(index))))
            if (Exit.isFailure(exit)) count += 1
          }
          return count
        })
      for (let index = 0; index < 5; index++) yield* take(local)
      // Exactly half full: nobody is dropped.
      assert.strictEqual(yield* dropped((index) => stranger(index + 100)), 0)
      const scope = yield* Scope.make()
      yield* Scope.provide(Effect.retry(take(stranger(2)), { times: 1000 }), scope)
      yield* Scope.provide(Effect.retry(take(stranger(3)), { times: 1000 }), scope)
      yield* Scope.provide(Effect.retry(take(stranger(4)), { times: 1000 }), scope)
      // Eight of ten: three fifths are dropped.
      const some = yield* dropped((index) => stranger(index + 100))
      assert.isAbove(some, tries * 0.45)
      assert.isBelow(some, tries * 0.75)
      assert.strictEqual(yield* dropped(() => stranger(1)), 0)
      assert.strictEqual(yield* dropped(() => local), 0)
    }).pipe(Effect.scoped, Random.withSeed("seats"), Effect.provide(seated))
  )
})
