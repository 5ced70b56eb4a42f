/**
 * Quotas while several sessions of several accounts change files at once, while they are counted, interrupted at any
 * step, and told wrong things by the disk: no less is counted than is there, and nothing stays reserved.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Scheduler, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { quotaRecountMillisecondsMax } from "../../../src/domain/limits.ts"
import * as Confined from "../../../src/domain/store/Confined.ts"
import { FileStore, type SmallFile } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { Meter, type Quota } from "../../../src/domain/store/Meter.ts"
import * as SmallFiles from "../../../src/domain/store/SmallFiles.ts"
import { StoreFailed } from "../../../src/domain/store/StoreError.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import { type Draw, drawer } from "../../draw.ts"

/** Each lies within the one before. */
const roots = [undefined, FileName.make("a"), FileName.make("a/b")]
const names = ["a/b/x", "a/b/y", "a/b/Y", "a/x", "a/z", "b/x", "w"].map((name) => FileName.make(name))
const keys = ["0", "1"].map((digit) => digit.repeat(32))

type Store = FileStore["Service"]

const turns = ({ below, chance }: Draw) =>
  Effect.suspend(() => {
    const many = chance(0.5) ? 0 : below(12)
    return Effect.forEach(Array.from({ length: many }), () => Effect.yieldNow, { discard: true })
  })

const broken = new StoreFailed({ operation: "sync", code: "EIO" })

/** Takes its time for everything, lists as a folder that changes meanwhile is listed, and fails behind what it did. */
const slowly = (store: Store, drawn: Draw): Store => {
  const wait = turns(drawn)
  const perhaps = Effect.suspend(() => (drawn.chance(0.05) ? Effect.fail(broken) : Effect.void))
  const changing = <A, E>(change: Effect.Effect<A, E>) =>
    Effect.tap(Effect.andThen(wait, change), Effect.andThen(wait, perhaps))
  return {
    ...store,
    list: (where) =>
      Stream.unwrap(
        Effect.map(Stream.runCollect(store.list(where)), (all) =>
          Stream.fromIterable(all).pipe(
            Stream.mapEffect(({ name }) => Effect.andThen(wait, Effect.option(store.stat(name)))),
            Stream.filter(Option.isSome),
            Stream.map(({ value }) => value)
          )
        )
      ),
    stat: (name) => Effect.andThen(wait, store.stat(name)),
    stage: (request) =>
      Effect.map(Effect.andThen(wait, store.stage(request)), (staging) => ({
        ...staging,
        write: (parts) => Effect.andThen(wait, staging.write(parts)),
        // That of what was gone on with can be interrupted before it has changed anything, as that of a disk.
        commit: (expected) =>
          Effect.andThen(
            request.resume === undefined ? Effect.void : Effect.interruptible(wait),
            Effect.uninterruptible(changing(staging.commit(expected)))
          )
      })),
    remove: (request) => Effect.uninterruptible(changing(store.remove(request))),
    rename: (request) => Effect.uninterruptible(changing(store.rename(request)))
  }
}

const contentOf = (digest: Digest["Service"], size: number) => {
  const content = Fixture.bytes(size, size)
  return { content, expected: { size, digest: digestOf(digest, [content]) } }
}

const smallFile = (digest: Digest["Service"], name: FileName, size: number): SmallFile => {
  const { content, expected } = contentOf(digest, size)
  return { name, modified: 0, parts: [content], digest: expected.digest }
}

/** One command of a session that sees the store. */
const command = (store: Store, digest: Digest["Service"], drawn: Draw): Effect.Effect<unknown> => {
  const { below, chance, one } = drawn
  const [name, to, size] = [one(names), one(names), below(70)]
  const { content, expected } = contentOf(digest, size)
  const upload = Effect.gen(function* () {
    const resume = chance(0.4) ? { resume: one(keys) } : {}
    const staging = yield* store.stage({ name, size, modified: 0, ...resume })
    yield* staging.write([content])
    yield* turns(drawn)
    if (chance(0.2)) return
    yield* staging.commit(chance(0.1) ? { ...expected, size: size + 1 } : expected)
  })
  const bundle = SmallFiles.placeAll(
    store,
    [smallFile(digest, name, size), smallFile(digest, to, size >> 1)],
    chance(0.3) ? "absent" : undefined
  )
  return one<Effect.Effect<unknown>>([
    Effect.ignore(Effect.scoped(upload)),
    Effect.ignore(Effect.scoped(upload)),
    // A server runs these to their ends.
    Effect.uninterruptible(bundle),
    Effect.uninterruptible(Effect.ignore(store.remove({ name }))),
    Effect.uninterruptible(Effect.ignore(store.rename({ name, to, replace: chance(0.5) })))
  ])
}

const heldIn = Effect.fnUntraced(function* (store: Store, root: FileName | undefined) {
  const all = yield* Stream.runCollect(store.list(root === undefined ? {} : { folder: root }))
  return { bytes: all.reduce((sum, { size }) => sum + size, 0), files: all.length }
})

const run = Effect.fnUntraced(function* (seed: number) {
  const drawn = drawer(seed)
  const { below, chance, one } = drawn
  const behind = yield* FileStore
  const digest = yield* Digest
  const meter = yield* Effect.provide(
    Meter.use(Effect.succeed),
    Layer.provide(Meter.layer, Layer.succeed(FileStore, slowly(behind, drawn)))
  )
  const quotas: Array<Quota | undefined> = roots.map(() => (chance(0.7) ? { bytes: 30 + below(300) } : undefined))
  const stores = roots.map(
    (root, index) =>
      Confined.make(
        meter.storeFor(root, () => quotas[index]),
        root
      ).store
  )
  // Now and then one account alone, whose quota stays.
  const alone = chance(0.3) && quotas[1] !== undefined
  const running: Array<Fiber.Fiber<unknown>> = []
  for (let left = 5 + below(25); left > 0; left--) {
    const store = alone ? stores[1] : chance(0.4) ? one(stores) : stores[0]
    if (store === undefined) continue
    const inTurns = Effect.provideService(command(store, digest, drawn), Scheduler.MaxOpsBeforeYield, 3 + below(60))
    running.push(yield* Effect.forkDetach(inTurns))
    yield* turns(drawn)
    if (chance(0.2)) one(running).interruptUnsafe()
    if (!alone && chance(0.1))
      quotas[below(roots.length)] = chance(0.7) ? { bytes: below(300), files: below(6) } : undefined
    // So that all is counted again with the next upload.
    if (chance(0.2)) yield* TestClock.adjust(quotaRecountMillisecondsMax)
  }
  yield* Effect.forEach(running, Fiber.await, { discard: true })
  const wrong: Array<unknown> = []
  for (const [index, root] of roots.entries()) {
    const usage = yield* meter.usage(root)
    const held = yield* heldIn(behind, root)
    if (usage === undefined) continue
    if (alone && held.bytes > (quotas[1]?.bytes ?? 0)) wrong.push({ root, held, quota: quotas[1] })
    const { reserved, used } = usage
    if (reserved.bytes !== 0 || reserved.files !== 0) wrong.push({ root, reserved })
    if (used.bytes < held.bytes || used.files < held.files) wrong.push({ root, used, held })
    yield* TestClock.adjust(quotaRecountMillisecondsMax)
    quotas[index] = {}
    yield* Effect.scoped(
      meter.storeFor(root, () => ({})).stage({ name: FileName.make(`${root ?? "q"}/q`), size: 0, modified: 0 })
    )
    const again = yield* meter.usage(root)
    if (again?.used.bytes !== held.bytes || again.used.files !== held.files) wrong.push({ root, again, held })
  }
  assert.deepStrictEqual(wrong, [], `seed ${seed}`)
})

describe("quotas of accounts whose roots lie within each other", () => {
  it.effect(
    "count at least what is there and reserve nothing once all is quiet, and count again exactly",
    () =>
      Effect.forEach(
        Array.from({ length: 700 }, (_, seed) => seed),
        (seed) => Effect.provide(run(seed), Layer.provideMerge(Layer.fresh(FileStoreMemory.layer()), DigestNode.layer)),
        { discard: true }
      ),
    120_000
  )
})
