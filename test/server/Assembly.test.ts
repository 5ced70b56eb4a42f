import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Scope } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import { FileSize } from "../../src/domain/file/FileEntry.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { assemblyBytesMax, assemblyPartBytes, copyRunBytesMax } from "../../src/domain/limits.ts"
import type { OpenFile, Staging } from "../../src/domain/store/FileStore.ts"
import { SourceChanged, type StoreError } from "../../src/domain/store/StoreError.ts"
import * as Assembly from "../../src/server/Assembly.ts"

const name = FileName.make("file")
const base = Uint8Array.from({ length: 64 }, (_, index) => index)

const from: OpenFile = {
  entry: { name, size: FileSize.make(base.length), modified: 0 },
  version: "1",
  changed: 0,
  read: (offset, length) => Effect.succeed(base.slice(offset, offset + length)),
  unchanged: Effect.void
}

/** A staging that takes its time: every write waits for the gate. */
const slowStaging = (gate: Effect.Effect<void> = Effect.yieldNow) => {
  const written: Array<number> = []
  const write: Staging["write"] = (parts) =>
    Effect.andThen(
      gate,
      Effect.sync(() => void written.push(...Bytes.concat(parts)))
    )
  const copy: Staging["copy"] = (file, offset, length): Effect.Effect<void, StoreError> =>
    offset + length > base.length
      ? Effect.fail(new SourceChanged({ name }))
      : Effect.flatMap(file.read(offset, length), (bytes) => write([bytes]))
  return { written, staging: { copy, write } }
}

const Part = Schema.Union([
  Schema.Uint8Array.check(Schema.isMinLength(1), Schema.isMaxLength(9)),
  Schema.Tuple([
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })),
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))
  ])
])

describe("an assembly", () => {
  it.effect("tells of a copy when it is in its place, and not when it was asked for", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const told: Array<number> = []
      const copied = (bytes: number) => void told.push(bytes)
      const assembly = yield* Assembly.make(slowStaging(Deferred.await(gate)).staging, from, copied)
      yield* assembly.copies([
        { offset: 0, length: 7 },
        { offset: 9, length: 3 }
      ])
      yield* Effect.yieldNow
      assert.deepStrictEqual(told, [])
      yield* Deferred.succeed(gate, undefined)
      yield* assembly.done
      assert.deepStrictEqual(told, [7, 3])
    })
  )

  it.effect("tells of a long copy as it goes, and copies all of it once", () =>
    Effect.gen(function* () {
      const copies: Array<readonly [offset: number, length: number]> = []
      const told: Array<number> = []
      const staging = {
        write: () => Effect.void,
        copy: (_: unknown, offset: number, length: number) => Effect.sync(() => void copies.push([offset, length]))
      }
      const assembly = yield* Assembly.make(staging, from, (bytes) => void told.push(bytes))
      yield* assembly.copies([
        { offset: 5, length: 2 * copyRunBytesMax + 1 },
        { offset: 1, length: copyRunBytesMax }
      ])
      yield* assembly.done
      const run = copyRunBytesMax
      assert.deepStrictEqual(copies, [
        [5, run],
        [5 + run, run],
        [5 + 2 * run, 1],
        [1, run]
      ])
      assert.deepStrictEqual(told, [run, run, 1, run])
    })
  )

  it.effect.prop("writes copies and content in the order in which they came", [Schema.Array(Part)], ([parts]) =>
    Effect.gen(function* () {
      const { staging, written } = slowStaging()
      const assembly = yield* Assembly.make(staging, from, () => {})
      const expected: Array<number> = []
      for (const part of parts) {
        if (part instanceof Uint8Array) {
          expected.push(...part)
          yield* assembly.content([part])
        } else {
          const [offset, length] = part
          expected.push(...base.subarray(offset, offset + length))
          yield* assembly.copies([{ offset, length }])
        }
      }
      yield* assembly.done
      assert.deepStrictEqual(written, expected)
    }).pipe(Effect.scoped)
  )

  it.effect("lets its caller go on while a copy is under way, and is done only when it is", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { staging, written } = slowStaging(Deferred.await(gate))
      const assembly = yield* Assembly.make(staging, from, () => {})
      yield* assembly.copies([{ offset: 0, length: 2 }])
      yield* assembly.content([Uint8Array.of(9)])
      const done = yield* Effect.forkChild(assembly.done, { startImmediately: true })
      yield* Effect.yieldNow
      assert.deepStrictEqual([written, done.pollUnsafe()], [[], undefined])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(done)
      assert.deepStrictEqual(written, [0, 1, 9])
    }).pipe(Effect.scoped)
  )

  it.effect("holds its caller back when too much waits: also what a small view keeps alive", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { staging, written } = slowStaging(Deferred.await(gate))
      const assembly = yield* Assembly.make(staging, from, () => {})
      const small = new Uint8Array(assemblyBytesMax).subarray(0, 1)
      yield* assembly.content([small])
      const second = yield* Effect.forkChild(assembly.content([Uint8Array.of(7)]), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(second.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(second)
      yield* assembly.done
      assert.deepStrictEqual(written, [0, 7])
    }).pipe(Effect.scoped)
  )

  it.effect("holds its caller back also when what waits is many small parts: each takes memory of its own", () =>
    Effect.gen(function* () {
      const [byte, range] = [Uint8Array.of(7), { offset: 0, length: 1 }]
      for (const [each, add] of [
        [assemblyPartBytes + 1, (assembly: Assembly.Assembly) => assembly.content([byte])],
        [assemblyPartBytes, (assembly: Assembly.Assembly) => assembly.copies([range])],
        [3 * assemblyPartBytes, (assembly: Assembly.Assembly) => assembly.copies([range, range, range])]
      ] as const) {
        const { staging } = slowStaging(Effect.never)
        const assembly = yield* Assembly.make(staging, from, () => {})
        let added = 0
        yield* Effect.forkChild(Effect.forever(Effect.map(add(assembly), () => void (added += 1))))
        for (let before = -1; before < added;) {
          before = added
          for (let turn = 0; turn < 1000; turn += 1) yield* Effect.yieldNow
        }
        assert.strictEqual(added, Math.floor(assemblyBytesMax / each))
      }
    }).pipe(Effect.scoped)
  )

  it.effect("fails every later call with the first failure, and writes nothing after it", () =>
    Effect.gen(function* () {
      const { staging, written } = slowStaging()
      const assembly = yield* Assembly.make(staging, from, () => {})
      yield* assembly.content([Uint8Array.of(1)])
      yield* assembly.copies([{ offset: 60, length: 20 }])
      yield* assembly.content([Uint8Array.of(2)])
      const expected = new SourceChanged({ name })
      assert.deepStrictEqual(yield* Effect.flip(assembly.done), expected)
      assert.deepStrictEqual(yield* Effect.flip(assembly.content([Uint8Array.of(3)])), expected)
      assert.deepStrictEqual(yield* Effect.flip(assembly.copies([{ offset: 0, length: 1 }])), expected)
      assert.deepStrictEqual(written, [1])
    }).pipe(Effect.scoped)
  )

  it.effect("ends with its scope: what waits is not written any more", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { staging, written } = slowStaging(Deferred.await(gate))
      const scope = yield* Scope.make()
      const assembly = yield* Scope.provide(
        Assembly.make(staging, from, () => {}),
        scope
      )
      yield* assembly.copies([{ offset: 0, length: 2 }])
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.yieldNow
      assert.deepStrictEqual(written, [])
    })
  )
})
