import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Latch, Layer, Option, Result, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { quotaRecountMillisecondsMax, quotaRecountMillisecondsMin } from "../../../src/domain/limits.ts"
import * as Confined from "../../../src/domain/store/Confined.ts"
import { FileStore, type SmallFile, type Staging } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { Meter, type Quota } from "../../../src/domain/store/Meter.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import { StoreFailed } from "../../../src/domain/store/StoreError.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import { yields } from "../../server/world.ts"

const root = FileName.make("a")
const elsewhere = FileName.make("b/other")
const quota: Quota = { bytes: 100, files: 3 }

const metered = <E>(body: Effect.Effect<void, E, Digest | FileStore | Meter | Scope.Scope>) =>
  Effect.scoped(body).pipe(
    Effect.provide(Layer.provideMerge(Meter.layer, FileStoreMemory.layer())),
    Effect.provide(DigestNode.layer)
  )

const held = Effect.gen(function* () {
  const store = yield* FileStore
  const entries = yield* Stream.runCollect(Stream.filter(store.list(), ({ name }) => name.startsWith("a/")))
  return { bytes: entries.reduce((sum, { size }) => sum + size, 0), files: entries.length }
})

const save = Effect.fnUntraced(function* (store: FileStore["Service"], name: string, size: number) {
  const content = Fixture.bytes(size, size)
  const staging = yield* store.stage({ name: FileName.make(name), size, modified: 0 })
  yield* staging.write([content])
  yield* staging.commit({ size, digest: digestOf(yield* Digest, [content]) })
}, Effect.scoped)

const small = (digest: Digest["Service"], name: string, size: number): SmallFile => {
  const content = Fixture.bytes(size, size)
  return { name: FileName.make(name), parts: [content], modified: 0, digest: digestOf(digest, [content]) }
}

const action = Schema.Struct({
  session: Schema.Literals([0, 1, 2]),
  does: Schema.Literals(["stage", "stage", "stage", "commit", "commit", "abandon", "bundle", "remove", "rename"]),
  name: Schema.Literals(["x", "y", "Y", "z/x", "z/y", "w"]),
  to: Schema.Literals(["x", "y", "z/x", "v"]),
  size: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 70 }))
})
type Action = typeof action.Type

/** Three sessions of one account, each with at most one staging, interleaved as the actions say. */
const play = Effect.fnUntraced(function* (actions: ReadonlyArray<Action>) {
  const meter = yield* Meter
  const digest = yield* Digest
  const store = Confined.make(
    meter.storeFor(root, () => quota),
    root
  ).store
  // Somebody else's content counts for nobody here.
  yield* save(
    meter.storeFor(undefined, () => undefined),
    elsewhere,
    5_000
  )
  const open = new Map<number, { readonly staging: Staging; readonly scope: Scope.Closeable; readonly size: number }>()
  const close = Effect.fnUntraced(function* (session: number) {
    const one = open.get(session)
    open.delete(session)
    if (one !== undefined) yield* Scope.close(one.scope, Exit.void)
  })
  let committed = 0
  let refused = 0
  for (const { does, name, session, size, to } of actions) {
    const one = open.get(session)
    switch (does) {
      case "stage": {
        yield* close(session)
        const scope = yield* Scope.make()
        const request = { name: FileName.make(name), size, modified: 0 }
        const staged = yield* Effect.result(Scope.provide(store.stage(request), scope))
        if (staged._tag === "Success") open.set(session, { staging: staged.success, scope, size })
        else {
          if (staged.failure._tag === "QuotaExceeded") refused += 1
          yield* Scope.close(scope, Exit.void)
        }
        break
      }
      case "commit": {
        if (one === undefined) break
        const content = Fixture.bytes(one.size, one.size)
        yield* one.staging.write([content])
        const expected = { size: one.size, digest: digestOf(digest, [content]) }
        if ((yield* Effect.result(one.staging.commit(expected)))._tag === "Success") committed += 1
        yield* close(session)
        break
      }
      case "abandon":
        yield* close(session)
        break
      case "bundle": {
        const files = [small(digest, name, size), small(digest, to, size >> 1)]
        for (const outcome of yield* SmallFiles.placeAll(store, files, undefined)) {
          if (Result.isSuccess(outcome)) committed += 1
          else if (outcome.failure._tag === "QuotaExceeded") refused += 1
        }
        break
      }
      case "remove":
        yield* Effect.ignore(store.remove({ name: FileName.make(name) }))
        break
      case "rename":
        yield* Effect.ignore(
          store.rename({ name: FileName.make(name), to: FileName.make(to), replace: size % 2 === 0 })
        )
        break
    }
    const now = yield* held
    if (now.bytes > 100 || now.files > 3) return { kept: false, committed, refused }
  }
  for (const session of [0, 1, 2]) yield* close(session)
  const usage = yield* meter.usage(root)
  const exact =
    usage === undefined ||
    JSON.stringify([usage.used, usage.reserved]) === JSON.stringify([yield* held, { bytes: 0, files: 0 }])
  return { kept: exact, committed, refused }
})

describe("sessions of one account, interleaved at random", () => {
  it.effect("never hold more than the quota, and when all is quiet nothing is reserved and the count is exact", () =>
    Effect.gen(function* () {
      let committed = 0
      let refused = 0
      const actions = Arbitrary.schema(Schema.Array(action).check(Schema.isMinLength(10), Schema.isMaxLength(60)))
      const result = yield* Arbitrary.checkEffect(
        actions,
        (some) =>
          Effect.scoped(play(some)).pipe(
            Effect.provide(Layer.provideMerge(Meter.layer, FileStoreMemory.layer())),
            Effect.provide(DigestNode.layer),
            Effect.map((played) => {
              committed += played.committed
              refused += played.refused
              return played.kept
            })
          ),
        { runs: 300 }
      )
      assert.strictEqual(result._tag, "Passed")
      // The property means something only when both happen.
      assert.isAbove(committed, 100)
      assert.isAbove(refused, 100)
    })
  )
})

describe("a quota", () => {
  it.effect("is reserved when a staging begins, and given back when it is abandoned", () =>
    metered(
      Effect.gen(function* () {
        const meter = yield* Meter
        const store = meter.storeFor(root, () => quota)
        const scope = yield* Scope.make()
        yield* Scope.provide(store.stage({ name: FileName.make("a/x"), size: 60, modified: 0 }), scope)
        assert.deepStrictEqual((yield* meter.usage(root))?.reserved, { bytes: 60, files: 1 })
        const refusal = yield* Effect.flip(save(store, "a/y", 41))
        assert.strictEqual(refusal._tag, "QuotaExceeded")
        assert.strictEqual(
          refusal.message,
          "the quota does not hold 'a/y' (60 of 100 bytes used, 41 more needed): " +
            "nothing was changed, remove files or ask for more"
        )
        yield* Scope.close(scope, Exit.void)
        yield* save(store, "a/y", 41)
        assert.deepStrictEqual(yield* meter.usage(root), {
          used: { bytes: 41, files: 1 },
          reserved: { bytes: 0, files: 0 }
        })
      })
    )
  )

  it.effect("takes a file in the place of another when the difference fits", () =>
    metered(
      Effect.gen(function* () {
        const store = (yield* Meter).storeFor(root, () => quota)
        yield* save(store, "a/x", 90)
        yield* save(store, "a/x", 100)
        assert.strictEqual((yield* Effect.flip(save(store, "a/x", 101)))._tag, "QuotaExceeded")
        yield* save(store, "a/x", 10)
        assert.deepStrictEqual(yield* held, { bytes: 10, files: 1 })
      })
    )
  )

  it.effect("counts what was there before, what others change through the meter, and files as well as bytes", () =>
    metered(
      Effect.gen(function* () {
        const meter = yield* Meter
        const everyone = meter.storeFor(undefined, () => undefined)
        yield* save(everyone, "a/old", 40)
        const store = meter.storeFor(root, () => quota)
        assert.strictEqual((yield* Effect.flip(save(store, "a/x", 61)))._tag, "QuotaExceeded")
        yield* save(everyone, "a/also", 50)
        assert.strictEqual((yield* Effect.flip(save(store, "a/x", 11)))._tag, "QuotaExceeded")
        yield* save(store, "a/x", 0)
        const files = yield* Effect.flip(save(store, "a/y", 0))
        assert.include(files.message, "(3 of 3 files used, 1 more needed)")
        yield* everyone.remove({ name: FileName.make("a/also") })
        yield* save(store, "a/y", 0)
      })
    )
  )

  it.effect("sees what was changed behind the meter's back: soon when it helps, later when it does not", () =>
    metered(
      Effect.gen(function* () {
        const behind = yield* FileStore
        const store = (yield* Meter).storeFor(root, () => quota)
        yield* save(store, "a/x", 90)
        yield* behind.remove({ name: FileName.make("a/x") })
        assert.strictEqual((yield* Effect.flip(save(store, "a/y", 20)))._tag, "QuotaExceeded")
        yield* TestClock.adjust(quotaRecountMillisecondsMin)
        yield* save(store, "a/y", 20)
        yield* save(behind, "a/z", 70)
        yield* TestClock.adjust(quotaRecountMillisecondsMax)
        assert.strictEqual((yield* Effect.flip(save(store, "a/w", 11)))._tag, "QuotaExceeded")
      })
    )
  )

  it.effect("lets a bundle through together when all of it fits, and tells each file apart when not", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const behind = yield* Effect.provide(FileStore.use(Effect.succeed), FileStoreMemory.layer())
      let together = 0
      const store: FileStore["Service"] = {
        ...behind,
        placeAll: (files, target) => {
          together += 1
          return SmallFiles.placeAll(behind, files, target)
        }
      }
      const meter = yield* Effect.provide(
        Meter.use(Effect.succeed),
        Layer.provide(Meter.layer, Layer.succeed(FileStore, store))
      )
      const place = (files: ReadonlyArray<SmallFile>, target?: "absent") =>
        Effect.map(
          SmallFiles.placeAll(
            meter.storeFor(root, () => quota),
            files,
            target
          ),
          (all) => all.map((one) => (Result.isSuccess(one) ? "done" : one.failure._tag))
        )
      const [x, y] = [small(digest, "a/x", 40), small(digest, "a/y", 50)]
      const usage = Effect.map(meter.usage(root), (usage) => [usage?.used, usage?.reserved, together])
      const nothing = { bytes: 0, files: 0 }
      assert.deepStrictEqual(yield* place([x, y]), ["done", "done"])
      assert.deepStrictEqual(yield* usage, [{ bytes: 90, files: 2 }, nothing, 1])
      // One replaces, one is wrong, one may not replace.
      const wrong = { ...small(digest, "a/z", 10), digest: y.digest }
      assert.deepStrictEqual(yield* place([small(digest, "a/x", 20), wrong]), ["done", "DigestMismatch"])
      assert.deepStrictEqual(yield* place([x, small(digest, "a/z", 5)], "absent"), ["FileExists", "done"])
      assert.deepStrictEqual(yield* usage, [{ bytes: 75, files: 3 }, nothing, 3])
      // Not all of it fits; and of one name twice the second adds what the first leaves.
      assert.deepStrictEqual(yield* place([small(digest, "a/x", 45), small(digest, "a/w", 1)]), [
        "done",
        "QuotaExceeded"
      ])
      assert.deepStrictEqual(yield* place([small(digest, "a/x", 40), small(digest, "a/x", 10)]), ["done", "done"])
      assert.deepStrictEqual(yield* usage, [{ bytes: 65, files: 3 }, nothing, 3])
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("that is first heard of while files without one are put in place counts them too", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      for (const together of [true, false]) {
        const behind = yield* Effect.provide(FileStore.use(Effect.succeed), FileStoreMemory.layer())
        const heard: Array<Effect.Effect<void>> = []
        const store: FileStore["Service"] = {
          ...behind,
          placeAll: (files, target) => Effect.andThen(Effect.all(heard), SmallFiles.placeAll(behind, files, target)),
          stage: (request) =>
            Effect.map(behind.stage(request), (staging) => ({
              ...staging,
              commit: (expected) =>
                Effect.andThen(Effect.all(request.name === "a/late" ? heard : []), staging.commit(expected))
            }))
        }
        const meter = yield* Effect.provide(
          Meter.use(Effect.succeed),
          Layer.provide(Meter.layer, Layer.succeed(FileStore, store))
        )
        const first = Effect.scoped(
          meter.storeFor(root, () => quota).stage({ name: FileName.make("a/x"), size: 1, modified: 0 })
        )
        heard.push(Effect.asVoid(Effect.orDie(first)))
        const everyone = meter.storeFor(undefined, () => undefined)
        if (together) yield* SmallFiles.placeAll(everyone, [small(digest, "a/late", 30)], undefined)
        else yield* save(everyone, "a/late", 30)
        assert.deepStrictEqual((yield* meter.usage(root))?.used, { bytes: 30, files: 1 }, `together: ${together}`)
      }
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("gets back what a commit took that failed, in a folder first counted after it was staged", () =>
    metered(
      Effect.gen(function* () {
        const meter = yield* Meter
        const everyone = meter.storeFor(undefined, () => undefined)
        const store = meter.storeFor(root, () => quota)
        const scope = yield* Scope.make()
        const request = { name: FileName.make("a/x"), size: 80, modified: 0 }
        const staging = yield* Scope.provide(everyone.stage(request), scope)
        yield* staging.write([Fixture.bytes(1, 80)])
        yield* save(store, "a/y", 10)
        const digest = digestOf(yield* Digest, [Fixture.bytes(2, 80)])
        const refusal = yield* Effect.flip(staging.commit({ size: 80, digest }))
        assert.strictEqual(refusal._tag, "DigestMismatch")
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* meter.usage(root), {
          used: { bytes: 10, files: 1 },
          reserved: { bytes: 0, files: 0 }
        })
        yield* save(store, "a/z", 90)
      })
    )
  )

  for (const end of ["is interrupted", "fails"] as const) {
    it.effect(`that is first heard of during a commit counts what that put in place, though it ${end}`, () =>
      Effect.gen(function* () {
        const behind = yield* FileStore
        const [reached, go] = [yield* Latch.make(), yield* Latch.make()]
        const done = end === "fails" ? Effect.fail(new StoreFailed({ operation: "sync", code: "EIO" })) : Effect.void
        const slowly = (staging: Staging): Staging => ({
          ...staging,
          commit: (expected) =>
            Effect.andThen(reached.open, Effect.andThen(go.await, staging.commit(expected))).pipe(
              Effect.tap(done),
              Effect.uninterruptible
            )
        })
        const store: FileStore["Service"] = {
          ...behind,
          stage: (request) =>
            Effect.map(behind.stage(request), (staging) => (request.name === "a/x" ? slowly(staging) : staging))
        }
        const meter = yield* Effect.provide(
          Meter.use(Effect.succeed),
          Layer.provide(Meter.layer, Layer.succeed(FileStore, store))
        )
        const everyone = meter.storeFor(undefined, () => undefined)
        const late = yield* Effect.forkChild(save(everyone, "a/x", 80))
        yield* reached.await
        yield* save(
          meter.storeFor(root, () => quota),
          "a/y",
          10
        )
        if (end === "is interrupted") late.interruptUnsafe()
        yield* go.open
        assert.isTrue(Exit.isFailure(yield* Fiber.await(late)))
        assert.deepStrictEqual(yield* held, { bytes: 90, files: 2 })
        assert.deepStrictEqual((yield* meter.usage(root))?.used, { bytes: 90, files: 2 })
      }).pipe(Effect.provide(FileStoreMemory.layer()), Effect.provide(DigestNode.layer))
    )
  }

  it.effect("is given back by a commit that is interrupted while nothing has changed: the next try fits", () =>
    Effect.gen(function* () {
      const behind = yield* FileStore
      const reading = yield* Latch.make()
      const forEver = Effect.interruptible(Effect.andThen(reading.open, Effect.never))
      const stuck: FileStore["Service"] = {
        ...behind,
        stage: (request) =>
          Effect.map(behind.stage(request), (staging) =>
            request.modified === 1 ? { ...staging, commit: () => forEver } : staging
          )
      }
      const meter = yield* Effect.provide(
        Meter.use(Effect.succeed),
        Layer.provide(Meter.layer, Layer.succeed(FileStore, stuck))
      )
      const store = meter.storeFor(root, () => quota)
      const size = 80
      const digest = digestOf(yield* Digest, [Fixture.bytes(size, size)])
      const first = Effect.gen(function* () {
        const staging = yield* store.stage({ name: FileName.make("a/x"), size, modified: 1 })
        yield* Effect.uninterruptible(staging.commit({ size, digest }))
      })
      const trying = yield* Effect.forkChild(Effect.scoped(first))
      yield* reading.await
      yield* Fiber.interrupt(trying)
      const nothing = { bytes: 0, files: 0 }
      assert.deepStrictEqual(yield* meter.usage(root), { used: nothing, reserved: nothing })
      yield* save(store, "a/x", size)
      assert.deepStrictEqual((yield* meter.usage(root))?.used, { bytes: size, files: 1 })
    }).pipe(Effect.provide(FileStoreMemory.layer()), Effect.provide(DigestNode.layer))
  )

  it.effect("is held once by two stagings of one key, of which the newer takes over", () =>
    metered(
      Effect.gen(function* () {
        const meter = yield* Meter
        const store = meter.storeFor(root, () => quota)
        const request = { name: FileName.make("a/x"), size: 80, modified: 0, resume: "0".repeat(32) }
        const [older, newer] = [yield* Scope.make(), yield* Scope.make()]
        yield* Scope.provide(store.stage(request), older)
        yield* Scope.provide(store.stage(request), newer)
        const reserved = Effect.map(meter.usage(root), (usage) => usage?.reserved)
        assert.deepStrictEqual(yield* reserved, { bytes: 80, files: 1 })
        yield* Scope.close(older, Exit.void)
        assert.deepStrictEqual(yield* reserved, { bytes: 80, files: 1 })
        assert.strictEqual((yield* Effect.flip(save(store, "a/y", 21)))._tag, "QuotaExceeded")
        yield* Scope.close(newer, Exit.void)
        assert.deepStrictEqual(yield* reserved, { bytes: 0, files: 0 })
      })
    )
  )

  it.effect("counts what a rename brought in that failed after it had happened", () =>
    Effect.gen(function* () {
      const behind = yield* FileStore
      const broken = new StoreFailed({ operation: "sync", code: "EIO" })
      const store: FileStore["Service"] = {
        ...behind,
        rename: (request) => Effect.andThen(behind.rename(request), Effect.fail(broken))
      }
      const meter = yield* Effect.provide(
        Meter.use(Effect.succeed),
        Layer.provide(Meter.layer, Layer.succeed(FileStore, store))
      )
      const everyone = meter.storeFor(undefined, () => undefined)
      const own = meter.storeFor(root, () => quota)
      yield* save(own, "a/x", 10)
      yield* save(everyone, elsewhere, 70)
      yield* Effect.flip(everyone.rename({ name: elsewhere, to: FileName.make("a/y"), replace: false }))
      assert.deepStrictEqual((yield* meter.usage(root))?.used, yield* held)
      yield* Effect.flip(save(own, "a/z", 30))
      // Within the folder it has added nothing.
      yield* Effect.flip(own.rename({ name: FileName.make("a/y"), to: FileName.make("a/w"), replace: false }))
      assert.deepStrictEqual((yield* meter.usage(root))?.used, { bytes: 80, files: 2 })
    }).pipe(Effect.provide(FileStoreMemory.layer()), Effect.provide(DigestNode.layer))
  )

  it.effect("counts what a rename moved that failed after it had happened, while a count met neither name", () =>
    Effect.gen(function* () {
      const behind = yield* FileStore
      const broken = new StoreFailed({ operation: "sync", code: "EIO" })
      const [reached, go] = [yield* Latch.make(), yield* Latch.make()]
      // The new name comes before what is looked at next, the old one is looked at behind the rename.
      const list: FileStore["Service"]["list"] = (where) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const all = yield* Stream.runCollect(behind.list(where))
            yield* Effect.andThen(reached.open, go.await)
            const still = yield* Effect.forEach(all, ({ name }) => Effect.option(behind.stat(name)))
            return Stream.fromIterable(still.flatMap((one) => (Option.isSome(one) ? [one.value] : [])))
          })
        )
      const rename: FileStore["Service"]["rename"] = (request) =>
        Effect.andThen(behind.rename(request), Effect.fail(broken))
      const meter = yield* Effect.provide(
        Meter.use(Effect.succeed),
        Layer.provide(Meter.layer, Layer.succeed(FileStore, { ...behind, list, rename }))
      )
      const own = meter.storeFor(root, () => quota)
      yield* save(behind, "a/x", 80)
      const counting = yield* Effect.forkChild(save(own, "a/y", 10))
      yield* reached.await
      yield* Effect.flip(own.rename({ name: FileName.make("a/x"), to: FileName.make("a/w"), replace: false }))
      yield* go.open
      yield* Fiber.join(counting)
      assert.deepStrictEqual((yield* meter.usage(root))?.used, { bytes: 90, files: 2 })
      assert.deepStrictEqual(yield* held, { bytes: 90, files: 2 })
    }).pipe(Effect.provide(FileStoreMemory.layer()), Effect.provide(DigestNode.layer))
  )

  it.effect("lets a bundle be interrupted while its folder is counted, before it has changed anything", () =>
    Effect.gen(function* () {
      const [behind, digest] = [yield* FileStore, yield* Digest]
      let counting = yield* Latch.make()
      let counts = 0
      // The counts of these numbers never end.
      const stuck = new Set([1, 3])
      const list: FileStore["Service"]["list"] = (where) => {
        counts += 1
        return stuck.has(counts) ? Stream.fromEffect(Effect.andThen(counting.open, Effect.never)) : behind.list(where)
      }
      const meter = yield* Effect.provide(
        Meter.use(Effect.succeed),
        Layer.provide(Meter.layer, Layer.succeed(FileStore, { ...behind, list }))
      )
      const own = meter.storeFor(root, () => quota)
      const files = [small(digest, "a/x", 60), small(digest, "a/y", 60)]
      const bundle = Effect.uninterruptible(SmallFiles.placeAll(own, files, undefined))
      // At the first count, and at the one before somebody is refused.
      for (const before of [0, 90]) {
        if (before > 0) {
          yield* save(own, "a/z", before)
          yield* TestClock.adjust(quotaRecountMillisecondsMin)
        }
        counting = yield* Latch.make()
        const placing = yield* Effect.forkDetach(bundle)
        yield* counting.await
        placing.interruptUnsafe()
        yield* yields(50)
        assert.isDefined(placing.pollUnsafe())
        assert.deepStrictEqual(yield* held, { bytes: before, files: before > 0 ? 1 : 0 })
      }
      assert.deepStrictEqual((yield* meter.usage(root))?.reserved, { bytes: 0, files: 0 })
      yield* own.remove({ name: FileName.make("a/z") })
      const outcomes = yield* bundle
      assert.deepStrictEqual(outcomes.map(Result.isSuccess), [true, false])
    }).pipe(Effect.provide(FileStoreMemory.layer()), Effect.provide(DigestNode.layer))
  )

  it.effect("that is lowered or raised holds from the next staging on", () =>
    metered(
      Effect.gen(function* () {
        let now: Quota | undefined
        const store = (yield* Meter).storeFor(root, () => now)
        yield* save(store, "a/x", 500)
        now = quota
        assert.strictEqual((yield* Effect.flip(save(store, "a/y", 1)))._tag, "QuotaExceeded")
        yield* save(store, "a/x", 400)
        now = { bytes: 1_000 }
        yield* save(store, "a/y", 600)
        assert.deepStrictEqual(yield* held, { bytes: 1_000, files: 2 })
      })
    )
  )
})
