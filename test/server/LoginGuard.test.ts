import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as limits from "../../src/domain/limits.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as Peer from "../../src/server/Peer.ts"

const peer = (last: number) => Peer.fromAddress(`192.0.2.${last}`)
const local = Peer.fromAddress("127.0.0.1")

const attempt = (user: string, from: Peer.Peer) => Effect.flatMap(LoginGuard, (guard) => guard.attempt(user, from))

/** Attempts that are allowed in a row, at most `most`. */
const allowed = (user: string, from: Peer.Peer, most = 10_000) =>
  Effect.gen(function* () {
    let count = 0
    while (count < most && (yield* attempt(user, from))._tag === "Allowed") count += 1
    return count
  })

describe("LoginGuard", () => {
  it.effect("allows a burst for a user at an address, then one at a time", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
      const retryAfterMilliseconds = limits.attemptPerUserAndAddressMilliseconds
      assert.deepStrictEqual(yield* attempt("ada", peer(1)), { _tag: "Limited", retryAfterMilliseconds })
      yield* TestClock.adjust(retryAfterMilliseconds - 1)
      assert.deepStrictEqual(yield* attempt("ada", peer(1)), { _tag: "Limited", retryAfterMilliseconds: 1 })
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* allowed("ada", peer(1)), 1)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("allows a burst for an address, whoever it claims to be", () =>
    Effect.gen(function* () {
      let count = 0
      while ((yield* attempt(`user${count}`, peer(1)))._tag === "Allowed") count += 1
      assert.strictEqual(count, limits.attemptsPerAddressMax)
      assert.strictEqual((yield* attempt("someone", peer(2)))._tag, "Allowed")
      yield* TestClock.adjust(limits.attemptPerAddressMilliseconds * 3)
      count = 0
      while ((yield* attempt(`again${count}`, peer(1)))._tag === "Allowed") count += 1
      assert.strictEqual(count, 3)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("allows a burst for a user, wherever from, and the user's own machine apart", () =>
    Effect.gen(function* () {
      let count = 0
      for (let last = 1; last <= 200; last++) count += yield* allowed("ada", peer(last), 1)
      assert.strictEqual(count, limits.attemptsPerUserMax)
      assert.strictEqual((yield* attempt("ada", local))._tag, "Allowed")
      assert.strictEqual((yield* attempt("bob", peer(201)))._tag, "Allowed")
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("keeps nobody out of an address where they logged in, however many others try their name", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      yield* attempt("ada", peer(1))
      yield* guard.succeeded("ada", peer(1))
      let count = 0
      for (let last = 2; last <= 200; last++) count += yield* allowed("ada", peer(last), 1)
      assert.strictEqual(count, limits.attemptsPerUserMax)
      // Neither another user there nor the same one elsewhere, and what is tried there is still counted.
      assert.strictEqual((yield* attempt("ada", peer(201)))._tag, "Limited")
      for (let last = 2; last <= 200; last++) yield* allowed("bob", peer(last), 1)
      assert.strictEqual((yield* attempt("bob", peer(1)))._tag, "Limited")
      // A success there gives nothing back of what others have used up.
      for (let index = 0; index < 200; index++) {
        assert.strictEqual((yield* attempt("ada", peer(1)))._tag, "Allowed")
        yield* guard.succeeded("ada", peer(1))
      }
      assert.strictEqual((yield* attempt("ada", peer(202)))._tag, "Limited")
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("several logins at once that succeed give back what each has counted, also the first from an address", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (let last = 1; last <= 20; last++) {
        // Each connection has a peer of its own.
        const connections = Array.from({ length: 5 }, () => peer(last))
        yield* Effect.forEach(connections, (from) => attempt("ada", from))
        yield* Effect.forEach(connections, (from) => guard.succeeded("ada", from))
      }
      let count = 0
      for (let last = 100; last <= 250; last++) count += yield* allowed("ada", peer(last), 1)
      assert.strictEqual(count, limits.attemptsPerUserMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("an attempt that nobody could answer is given back, and lets nobody be known", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (let index = 0; index < 200; index++) {
        assert.strictEqual((yield* attempt("ada", peer(1)))._tag, "Allowed")
        yield* guard.unanswered("ada", peer(1))
      }
      for (let last = 2; last <= 200; last++) yield* allowed("ada", peer(last), 1)
      assert.strictEqual((yield* attempt("ada", peer(1)))._tag, "Limited")
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("knows a bounded number of users at addresses, and forgets the one that came longest ago", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      yield* guard.succeeded("ada", peer(1))
      yield* guard.succeeded("ada", peer(2))
      for (let index = 0; index < limits.guardKnownMax - 2; index++) yield* guard.succeeded(`user${index}`, peer(3))
      yield* guard.succeeded("ada", peer(1))
      yield* guard.succeeded("grace", peer(3))
      for (let last = 4; last <= 200; last++) yield* allowed("ada", peer(last), 1)
      assert.strictEqual((yield* attempt("ada", peer(1)))._tag, "Allowed")
      assert.strictEqual((yield* attempt("ada", peer(2)))._tag, "Limited")
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("never holds more than a full bucket, however long it waits", () =>
    Effect.gen(function* () {
      yield* allowed("ada", peer(1))
      yield* TestClock.adjust("30 days")
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("a success gives back what its attempt had counted, and no more", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (let index = 0; index < 1000; index++) {
        assert.strictEqual((yield* guard.attempt("ada", peer(1)))._tag, "Allowed")
        yield* guard.succeeded("ada", peer(1))
      }
      yield* guard.succeeded("ada", peer(1))
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("a success after failed attempts leaves those counted, for the user, the address and both", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (let index = 0; index < 4; index++) yield* attempt("ada", peer(1))
      yield* guard.succeeded("ada", peer(1))
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax - 3)
      let others = 0
      while ((yield* attempt(`user${others}`, peer(1)))._tag === "Allowed") others += 1
      assert.strictEqual(others, limits.attemptsPerAddressMax - limits.attemptsPerUserAndAddressMax)
      let elsewhere = 0
      for (let last = 2; last <= 250; last++) elsewhere += yield* allowed("ada", peer(last), 1)
      // Those that came after it, where the user is known now, count for the user no more.
      assert.strictEqual(elsewhere, limits.attemptsPerUserMax - 3)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("an attempt that is refused counts nothing", () =>
    Effect.gen(function* () {
      yield* allowed("ada", peer(1))
      for (let index = 0; index < 100; index++) yield* attempt("ada", peer(1))
      yield* TestClock.adjust(limits.attemptPerUserAndAddressMilliseconds)
      assert.strictEqual(yield* allowed("ada", peer(1)), 1)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("allows loopback more, by its factor", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* allowed("ada", local),
        limits.attemptsPerUserAndAddressMax * limits.loopbackAttemptsFactor
      )
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("remembers a bounded number, and forgets the one unused for longest", () =>
    Effect.gen(function* () {
      yield* allowed("ada", peer(1))
      const address = (index: number) => Peer.fromAddress(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`)
      // Three buckets for each attempt.
      const others = Math.ceil(limits.guardBucketsMax / 3)
      for (let index = 0; index < others - 10; index++) yield* attempt(`user${index}`, address(index))
      assert.strictEqual(yield* allowed("ada", peer(1)), 0)
      for (let index = 0; index <= others; index++) yield* attempt(`more${index}`, address(index + others))
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("lists who may not try, the longest first, by user and address, address, and user", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      yield* attempt("ada", peer(1))
      assert.deepStrictEqual(yield* guard.list, [])
      yield* allowed("ada", peer(1))
      for (let index = 0; index < limits.attemptsPerAddressMax; index++) yield* attempt(`user${index}`, peer(2))
      for (let last = 3; last <= 250; last++) yield* allowed("grace", peer(last), 1)
      assert.deepStrictEqual(yield* guard.list, [
        { user: "grace", loopback: false, retryAfterMilliseconds: limits.attemptPerUserMilliseconds },
        {
          user: "ada",
          address: "192.0.2.1",
          loopback: false,
          retryAfterMilliseconds: limits.attemptPerUserAndAddressMilliseconds
        },
        { address: "192.0.2.2", loopback: false, retryAfterMilliseconds: limits.attemptPerAddressMilliseconds }
      ])
      yield* TestClock.adjust(limits.attemptPerUserAndAddressMilliseconds)
      assert.deepStrictEqual(
        (yield* guard.list).map(({ retryAfterMilliseconds }) => retryAfterMilliseconds),
        [limits.attemptPerUserMilliseconds - limits.attemptPerUserAndAddressMilliseconds]
      )
    }).pipe(Effect.provide(LoginGuard.layer))
  )

  it.effect("lifts what is meant, gives all attempts back, and counts those who might not try", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      yield* allowed("ada", peer(1))
      yield* allowed("grace", local)
      assert.strictEqual(yield* guard.lift(({ loopback }) => loopback), 1)
      assert.strictEqual(yield* guard.lift(({ user }) => user === "grace"), 0)
      assert.strictEqual(yield* allowed("ada", peer(1)), 0)
      assert.strictEqual(yield* guard.lift(() => true), 1)
      assert.strictEqual(yield* allowed("ada", peer(1)), limits.attemptsPerUserAndAddressMax)
    }).pipe(Effect.provide(LoginGuard.layer))
  )
})
