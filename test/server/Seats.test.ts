import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Fiber, Layer, Result, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { attemptMillisecondsMax, trustedAddressesMax } from "../../src/domain/limits.ts"
import * as Peer from "../../src/server/Peer.ts"
import { type Progress, type Seat, Seats } from "../../src/server/Seats.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { seatLost } from "./seatLost.ts"

const stranger = (index: number) => Peer.fromAddress(`192.0.${index >> 8}.${index & 255}`)
const local = Peer.fromAddress("127.0.0.1")

const limits = {
  sessions: 20,
  sessionsBeforeLogin: 10,
  sessionsBeforeLoginPerAddress: 3,
  sessionsBeforeLoginFromLoopback: 6,
  sessionsPerAddress: 5
}
const seatedWith = (some: Partial<ServerLimits>) =>
  Effect.provide(Layer.provide(Seats.layer, Layer.succeed(ServerLimits, { ...defaultLimits, ...limits, ...some })))
const seated = seatedWith({})

const take = (peer: Peer.Peer) => Effect.flatMap(Seats, (seats) => seats.take(peer))
const reason = (peer: Peer.Peer) => Effect.map(Effect.flip(take(peer)), (refused) => refused.reason)
const counts = Effect.flatMap(Seats, (seats) => seats.count)

/** Takes a seat, goes so far, and waits in the background for its loss. */
const held = Effect.fnUntraced(function* (peer: Peer.Peer, progress: Progress = "silent") {
  const seat = yield* take(peer)
  yield* seat.advance(progress)
  const watched = yield* Effect.forkChild(seatLost(seat), { startImmediately: true })
  const lost = () => {
    const exit = watched.pollUnsafe()
    return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
  }
  return { ...seat, lost, peer }
})

/** Whoever has logged in from there before. */
const acquaint = (peer: Peer.Peer) => Effect.scoped(Effect.flatMap(take(peer), (seat) => seat.admit("ada")))

/** Indices of those who have lost their seats. */
const losers = (seats: ReadonlyArray<{ readonly lost: () => string | undefined }>) =>
  Effect.as(
    Effect.yieldNow,
    seats.flatMap((seat, index) => (seat.lost() === "made-room" ? [index] : []))
  )

describe("Seats", () => {
  it.effect("an address at its limit makes room in itself, and loopback has its own figure", () =>
    Effect.gen(function* () {
      const other = yield* held(stranger(2))
      const own = yield* Effect.forEach([1, 2, 3], () => held(stranger(1)))
      yield* held(stranger(1))
      assert.deepStrictEqual(yield* losers([...own, other]), [0])
      const here = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => held(local))
      assert.deepStrictEqual(yield* counts, { all: 10, beforeLogin: 10 })
      yield* held(local)
      assert.deepStrictEqual(yield* losers(here), [0])
      assert.deepStrictEqual(yield* losers([...own, other]), [0])
      assert.deepStrictEqual(yield* counts, { all: 10, beforeLogin: 10 })
    }).pipe(Effect.scoped, seated)
  )

  it.effect("who has come less far makes room first, then who has waited longest", () =>
    Effect.gen(function* () {
      const progress = ["trying", "greeted", "silent", "greeted", "silent"] as const
      const seats = yield* Effect.forEach(progress, (step, index) => held(stranger(index), step))
      const gone: Array<number> = []
      for (let index = 0; index < 4; index++) {
        // Newcomers that go further at once, so that they are not the next to go.
        yield* held(stranger(100 + index), "trying")
        const now = yield* losers(seats)
        gone.push(...now.filter((one) => !gone.includes(one)))
      }
      assert.deepStrictEqual(gone, [2, 4, 1, 3])
      // All are trying: they are let end, and the newcomer is refused.
      assert.strictEqual(yield* reason(stranger(200)), "too-many-before-login")
      yield* TestClock.adjust(attemptMillisecondsMax)
      yield* held(stranger(200))
      assert.deepStrictEqual(yield* losers(seats.slice(0, 1)), [0])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 5 }))
  )

  it.effect("the most crowded address makes room, whatever it has done; a newcomer adds to its own", () =>
    Effect.gen(function* () {
      const crowd = yield* Effect.forEach([1, 2, 3], () => held(stranger(1), "greeted"))
      const pair = yield* Effect.forEach([1, 2], () => held(stranger(2), "greeted"))
      const alone = yield* held(stranger(3))
      yield* held(stranger(4))
      assert.deepStrictEqual(yield* losers(crowd), [0])
      // Both have two now, and the second would have three.
      yield* held(stranger(2))
      assert.deepStrictEqual(yield* losers(pair), [0])
      assert.deepStrictEqual(yield* losers([...crowd, alone]), [0])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 6 }))
  )

  it.effect("spares addresses that have logged in before, and lets them in before strangers who try", () =>
    Effect.gen(function* () {
      yield* acquaint(stranger(1))
      yield* acquaint(stranger(2))
      const known = yield* held(stranger(1))
      const others = [yield* held(stranger(3), "trying"), yield* held(stranger(4), "trying")]
      assert.strictEqual(yield* reason(stranger(5)), "too-many-before-login")
      yield* held(stranger(2))
      assert.deepStrictEqual(yield* losers([known, ...others]), [1])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 3, sessions: 4 }))
  )

  it.effect("lets one who has logged in before end a try, also where another such comes", () =>
    Effect.gen(function* () {
      yield* acquaint(stranger(1))
      yield* acquaint(stranger(2))
      const known = yield* held(stranger(1), "trying")
      assert.strictEqual(yield* reason(stranger(2)), "too-many-before-login")
      yield* TestClock.adjust(attemptMillisecondsMax)
      yield* held(stranger(2))
      assert.deepStrictEqual(yield* losers([known]), [0])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 1 }))
  )

  it.effect("remembers so many addresses, and forgets the one whose last login is the longest ago", () =>
    Effect.gen(function* () {
      for (let index = 0; index < trustedAddressesMax; index++) yield* acquaint(stranger(index))
      const isSpared = (index: number) =>
        Effect.scoped(Effect.andThen(take(stranger(index)), Effect.map(Effect.exit(take(local)), Exit.isFailure)))
      assert.isTrue(yield* isSpared(0))
      yield* acquaint(stranger(0))
      assert.deepStrictEqual(yield* Effect.forEach([0, 1, 2], isSpared), [true, true, true])
      yield* acquaint(stranger(trustedAddressesMax))
      const last = [0, 1, 2, trustedAddressesMax]
      assert.deepStrictEqual(yield* Effect.forEach(last, isSpared), [true, false, true, true])
    }).pipe(seatedWith({ sessionsBeforeLogin: 1 }))
  )

  it.effect("loopback is everybody's on a machine: a login from it spares nobody", () =>
    Effect.gen(function* () {
      yield* acquaint(local)
      const here = yield* Effect.forEach([1, 2, 3], () => held(local))
      yield* held(stranger(1))
      assert.deepStrictEqual(yield* losers(here), [0])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 3, sessions: 4 }))
  )

  it.effect(
    "those who wait make room for those who come, also when all seats are taken; those logged in never do",
    () =>
      Effect.gen(function* () {
        const inside = yield* Effect.forEach([1, 2, 3], (index) => held(stranger(index)))
        for (const seat of inside) yield* seat.admit("ada")
        const silent = yield* held(stranger(4))
        const next = yield* held(stranger(5))
        assert.deepStrictEqual(yield* losers([...inside, silent]), [3])
        yield* next.admit("grace")
        assert.strictEqual(yield* reason(stranger(6)), "server-full")
        assert.deepStrictEqual(yield* losers([...inside, next]), [])
        assert.deepStrictEqual(yield* counts, { all: 4, beforeLogin: 0 })
      }).pipe(Effect.scoped, seatedWith({ sessions: 4 }))
  )

  it.effect("who has lost the seat is not admitted, and gives it back once", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(held(stranger(1)), scope)
      yield* held(stranger(2))
      assert.strictEqual((yield* Effect.flip(first.admit("ada"))).reason, "made-room")
      assert.strictEqual((yield* Effect.flip(first.move(stranger(3)))).reason, "made-room")
      assert.deepStrictEqual(yield* counts, { all: 1, beforeLogin: 1 })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* counts, { all: 1, beforeLogin: 1 })
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 1 }))
  )

  it.effect("tells at once who asks after the seat is lost", () =>
    Effect.gen(function* () {
      const seat = yield* take(stranger(1))
      yield* held(stranger(2))
      let told = 0
      seat.whenLost(() => (told += 1))
      assert.strictEqual(told, 1)
      assert.strictEqual(yield* seatLost(seat), "made-room")
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 1 }))
  )

  it.effect("who tries has come as far as that, whatever is told after it", () =>
    Effect.gen(function* () {
      const back = yield* held(stranger(1), "trying")
      yield* TestClock.adjust(attemptMillisecondsMax)
      const greeted = yield* held(stranger(2), "greeted")
      yield* back.advance("greeted")
      yield* held(stranger(3), "trying")
      assert.deepStrictEqual(yield* losers([back, greeted]), [1])
      yield* held(stranger(4))
      assert.deepStrictEqual(yield* losers([back]), [0])
    }).pipe(Effect.scoped, seatedWith({ sessionsBeforeLogin: 2 }))
  )

  it.effect("the seat of an admitted one comes back once, and leaves the address no more room before login", () =>
    Effect.gen(function* () {
      const other = yield* take(stranger(1))
      yield* other.admit("ada")
      const seat = Result.getOrThrow((yield* Seats).hold(stranger(1), 0))
      yield* seat.admit("ada")
      seat.giveBack()
      seat.giveBack()
      assert.deepStrictEqual(yield* counts, { all: 1, beforeLogin: 0 })
      const waiting = yield* Effect.forEach([1, 2, 3], () => held(stranger(1)))
      assert.deepStrictEqual(yield* losers(waiting), [])
      yield* held(stranger(1))
      assert.deepStrictEqual(yield* losers(waiting), [0])
    }).pipe(Effect.scoped, seated)
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
    }).pipe(Effect.scoped, seated)
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
    }).pipe(Effect.scoped, seatedWith({ sessionsPerAccount: 2, sessionsPerAddress: 4 }))
  )

  it.effect("connections of which a proxy has yet to tell are neither its own nor a crowd", () =>
    Effect.gen(function* () {
      const proxy = { ...stranger(1), proxy: true }
      const early = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => held(proxy))
      const own = yield* held(stranger(1))
      const others = yield* Effect.forEach([1, 2, 3], () => held(stranger(2)))
      assert.deepStrictEqual(yield* losers([...early, own]), [])
      yield* held(proxy)
      assert.deepStrictEqual(yield* losers([...early, own]), [])
      assert.deepStrictEqual(yield* losers(others), [0])
    }).pipe(seated)
  )

  it.effect("what comes of the proxy's own address makes room in itself, and in none that it has yet to tell of", () =>
    Effect.gen(function* () {
      const early = yield* Effect.forEach([1, 2], () => held({ ...stranger(1), proxy: true }))
      const own = yield* Effect.forEach([1, 2, 3], () => held(stranger(1)))
      yield* held(stranger(1))
      assert.deepStrictEqual(yield* losers([...early, ...own]), [2])
      const others = yield* Effect.forEach([2, 3, 4, 5, 6], (index) => held(stranger(index)))
      assert.deepStrictEqual(yield* losers([...early, ...own]), [2])
      yield* held(stranger(7))
      assert.deepStrictEqual(yield* losers([...early, ...own, ...others]), [2, 3])
    }).pipe(Effect.scoped, seated)
  )

  it.effect("where an address has all of its tries under way, none that a proxy has yet to tell of is lost", () =>
    Effect.gen(function* () {
      const early = yield* Effect.forEach([1, 2], () => held({ ...stranger(1), proxy: true }))
      yield* Effect.forEach([1, 2, 3], () => held(stranger(1), "trying"))
      assert.strictEqual(yield* reason(stranger(1)), "too-many-from-address")
      assert.deepStrictEqual(yield* losers(early), [])
    }).pipe(Effect.scoped, seated)
  )

  it.effect("a proxy's connections count for whom it names, and for nobody before", () =>
    Effect.gen(function* () {
      const proxy = { ...stranger(1), proxy: true }
      const seats = yield* Effect.forEach([1, 2, 3, 4, 5], () => held(proxy))
      assert.deepStrictEqual(yield* losers(seats), [])
      for (const seat of seats.slice(0, 3)) yield* seat.move(stranger(2))
      assert.deepStrictEqual(yield* counts, { all: 5, beforeLogin: 5 })
      // The fourth of that address takes the place of its first.
      yield* (seats[3]?.move ?? (() => Effect.void))(stranger(2))
      assert.deepStrictEqual(yield* losers(seats), [0])
      assert.deepStrictEqual(yield* counts, { all: 4, beforeLogin: 4 })
      for (const seat of seats.slice(1, 4)) yield* seat.advance("trying")
      assert.strictEqual(
        (yield* Effect.flip((seats[4]?.move ?? (() => Effect.void))(stranger(2)))).reason,
        "too-many-from-address"
      )
      assert.deepStrictEqual(yield* counts, { all: 3, beforeLogin: 3 })
    }).pipe(Effect.scoped, seated)
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
    }).pipe(Effect.scoped, seated)
  )

  it.effect("of ten thousand strangers who say nothing none keeps out who logs in meanwhile", () =>
    Effect.gen(function* () {
      const person = yield* held(stranger(60_000))
      yield* person.advance("greeted")
      for (let index = 0; index < 10_000; index++) {
        yield* held(stranger(index))
        assert.isAtMost((yield* counts).all, limits.sessionsBeforeLogin)
      }
      assert.strictEqual(person.lost(), undefined)
      yield* person.admit("ada")
      assert.deepStrictEqual(yield* counts, { all: 10, beforeLogin: 9 })
    }).pipe(Effect.scoped, seated)
  )
})

const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 }))
const Operation = Schema.Union([
  Schema.Struct({ do: Schema.tag("take"), address: small }),
  Schema.Struct({ do: Schema.tag("advance"), which: small, to: Schema.Literals(["greeted", "trying"]) }),
  Schema.Struct({ do: Schema.tag("admit"), which: small }),
  Schema.Struct({ do: Schema.tag("leave"), which: small }),
  Schema.Struct({ do: Schema.tag("wait"), milliseconds: Schema.Literals([1_000, 5_000]) })
])

interface Holder {
  readonly seat: Seat
  readonly key: string
  readonly scope: Scope.Closeable
  readonly watched: Fiber.Fiber<unknown>
  admitted: boolean
}

describe("Seats, whatever comes", () => {
  it.effect.prop(
    "keep to every limit, never take the seat of who is logged in, and come back whole",
    [Schema.Array(Operation).check(Schema.isMaxLength(60))],
    ([operations]) =>
      Effect.gen(function* () {
        let holders: Array<Holder> = []
        for (const operation of operations) {
          if (operation.do === "wait") yield* TestClock.adjust(operation.milliseconds)
          else if (operation.do === "take") {
            const peer = stranger(operation.address)
            const scope = yield* Scope.make()
            const seat = yield* Effect.result(Scope.provide(take(peer), scope))
            if (Result.isSuccess(seat)) {
              const watched = yield* Effect.forkChild(seatLost(seat.success), { startImmediately: true })
              holders.push({ seat: seat.success, key: peer.key, scope, watched, admitted: false })
            }
          } else {
            const one = holders[operation.which % Math.max(1, holders.length)]
            if (one === undefined) continue
            if (operation.do === "advance") yield* one.seat.advance(operation.to)
            if (operation.do === "admit") one.admitted = Exit.isSuccess(yield* Effect.exit(one.seat.admit("ada")))
            if (operation.do === "leave") {
              yield* Scope.close(one.scope, Exit.void)
              holders = holders.filter((holder) => holder !== one)
            }
          }
          yield* Effect.yieldNow
          const lost = holders.filter(({ watched }) => watched.pollUnsafe() !== undefined)
          assert.isFalse(lost.some(({ admitted }) => admitted))
          for (const { scope } of lost) yield* Scope.close(scope, Exit.void)
          holders = holders.filter((holder) => !lost.includes(holder))
          const waiting = holders.filter(({ admitted }) => !admitted)
          assert.deepStrictEqual(yield* counts, { all: holders.length, beforeLogin: waiting.length })
          assert.isAtMost(holders.length, 6)
          assert.isAtMost(waiting.length, 4)
          for (const { key } of holders) {
            assert.isAtMost(waiting.filter((holder) => holder.key === key).length, 2)
            assert.isAtMost(holders.filter((holder) => holder.key === key).length, 3)
          }
        }
        for (const { scope } of holders) yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* counts, { all: 0, beforeLogin: 0 })
      }).pipe(
        Effect.scoped,
        seatedWith({ sessions: 6, sessionsBeforeLogin: 4, sessionsBeforeLoginPerAddress: 2, sessionsPerAddress: 3 })
      )
  )
})
