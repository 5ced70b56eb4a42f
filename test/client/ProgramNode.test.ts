/**
 * What is kept of a program between its runs: what has run, of that text alone, and never half of it.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Script } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as ProgramNode from "../../src/client/ProgramNode.ts"

const loop = "for (let at = 0; at < 9; at += 1) total += at * given;"
const late = `function (given) { let total = 0; ${loop.repeat(30)} return total / 30 }`
const text = `(function () { return { late: ${late} } })`
const bytesOf = (ascii: string) => Buffer.from(ascii, "latin1")

const place = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(join(tmpdir(), "paradrop-program-"))
    const path = join(folder, "program.js")
    fs.writeFileSync(path, text)
    return { folder, path, keptAt: join(folder, "kept") }
  }),
  ({ folder }) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

type Place = Effect.Success<typeof place>

/** One run from its start to its end; whether the engine took what was kept. */
const run = ({ keptAt, path }: Pick<Place, "keptAt" | "path">, use: (script: Script) => void = () => undefined) =>
  Effect.gen(function* () {
    const last: Array<() => void> = []
    const script = yield* Effect.promise(() =>
      ProgramNode.load({ path, keptAt, atEnd: (action) => void last.push(action) })
    )
    use(script)
    for (const action of last) action()
    return script.cachedDataRejected === false
  })

const callsLate = (script: Script) => assert.strictEqual(script.runInThisContext()().late(2), 72)

const keptOf = ({ keptAt }: Place) => ProgramNode.decode(bytesOf(text), fs.readFileSync(keptAt))

describe("what is kept of a program", () => {
  it.effect("is there for the next run, with the functions that have run in any before", () =>
    Effect.gen(function* () {
      const here = yield* place
      assert.isFalse(yield* run(here))
      const first = keptOf(here)
      assert.isTrue(yield* run(here, callsLate))
      const second = keptOf(here)
      assert.isTrue(yield* run(here))
      const third = keptOf(here)
      assert.deepStrictEqual([first?.runs, second?.runs, third?.runs], [1, 2, 3])
      const [without = 0, called = 0, still = 0] = [first, second, third].map((kept) => kept?.code.length)
      assert.isAbove(called, without + 1000)
      assert.isAbove(still, without + 1000)
      assert.strictEqual(fs.statSync(here.keptAt).mode & 0o777, 0o600)
      assert.deepStrictEqual(fs.readdirSync(here.folder).toSorted(), ["kept", "program.js"])
    }).pipe(Effect.scoped)
  )

  it.effect("is written in the first eight runs, and then stays as it is", () =>
    Effect.gen(function* () {
      const here = yield* place
      for (let runs = 1; runs <= 8; runs += 1) {
        yield* run(here)
        assert.strictEqual(keptOf(here)?.runs, runs)
      }
      const before = fs.readFileSync(here.keptAt)
      assert.isTrue(yield* run(here, callsLate))
      assert.deepStrictEqual(fs.readFileSync(here.keptAt), before)
    }).pipe(Effect.scoped)
  )

  it.effect("is made anew for another text of the same length, for what is damaged, and for what is none", () =>
    Effect.gen(function* () {
      const here = yield* place
      yield* run(here)
      const kept = fs.readFileSync(here.keptAt)
      fs.writeFileSync(here.path, text.replaceAll("total += at", "total -= at"))
      assert.isFalse(yield* run(here, (script) => assert.strictEqual(script.runInThisContext()().late(2), -72)))
      fs.writeFileSync(here.path, text)
      for (const bytes of [kept.subarray(0, 40), kept.subarray(0, -1), new Uint8Array(0), new Uint8Array(90)]) {
        fs.writeFileSync(here.keptAt, bytes)
        assert.isFalse(yield* run(here, callsLate))
        assert.strictEqual(keptOf(here)?.runs, 1)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("is what the engine takes, or it is made anew", () =>
    Effect.gen(function* () {
      const here = yield* place
      fs.writeFileSync(here.keptAt, ProgramNode.encode(bytesOf(text), { runs: 8, code: Buffer.alloc(100, 7) }))
      assert.isFalse(yield* run(here, callsLate))
      assert.strictEqual(keptOf(here)?.runs, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("is nothing where it cannot be written, or where no place for it is named", () =>
    Effect.gen(function* () {
      const here = yield* place
      const keptAt = join(here.folder, "none", "kept")
      assert.isFalse(yield* run({ ...here, keptAt }, callsLate))
      const script = yield* Effect.promise(() =>
        ProgramNode.load({ path: here.path, keptAt: undefined, atEnd: () => assert.fail("nothing is to be done") })
      )
      callsLate(script)
      assert.deepStrictEqual(fs.readdirSync(here.folder), ["program.js"])
    }).pipe(Effect.scoped)
  )

  it.effect.prop(
    "is refused with any bit of it changed",
    [
      Schema.Uint8Array.check(Schema.isMaxLength(40)),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))
    ],
    ([code, runs, where]) =>
      Effect.sync(() => {
        const bytes = ProgramNode.encode(bytesOf(text), { runs, code: Buffer.from(code) })
        assert.deepStrictEqual(ProgramNode.decode(bytesOf(text), bytes), { runs, code: Buffer.from(code) })
        const bit = where % (bytes.length * 8)
        const byte = bytes[bit >>> 3] ?? 0
        bytes[bit >>> 3] = byte ^ (1 << (bit & 7))
        assert.isUndefined(ProgramNode.decode(bytesOf(text), bytes))
      })
  )
})
