/**
 * What is kept of a program between its runs: what has run, of that text alone, and never half of it.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Script } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as DialAheadNode from "../../src/client/DialAheadNode.ts"
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
const run = ({ keptAt, path }: Pick<Place, "keptAt" | "path">, kind = 0, use: (script: Script) => void = () => {}) =>
  Effect.gen(function* () {
    const last: Array<() => void> = []
    const script = yield* Effect.promise(() =>
      ProgramNode.load({ path, keptAt, kind, atEnd: (action) => void last.push(action) })
    )
    use(script)
    for (const action of last) action()
    return script.cachedDataRejected === false
  })

const callsLate = (script: Script) => assert.strictEqual(script.runInThisContext()().late(2), 72)

const keptOf = ({ keptAt }: Place) => ProgramNode.decode(bytesOf(text), fs.readFileSync(keptAt))

/** Runs of the first kinds. */
const runsOf = (here: Place) => Array.from(keptOf(here)?.runs.subarray(0, 3) ?? [])

describe("what is kept of a program", () => {
  it.effect("is there for the next run, with the functions that have run in any before", () =>
    Effect.gen(function* () {
      const here = yield* place
      assert.isFalse(yield* run(here))
      const first = keptOf(here)
      assert.isTrue(yield* run(here, 0, callsLate))
      const second = keptOf(here)
      assert.isTrue(yield* run(here))
      const third = keptOf(here)
      const [without = 0, called = 0, still = 0] = [first, second, third].map((kept) => kept?.code.length)
      assert.isAbove(called, without + 1000)
      assert.isAbove(still, without + 1000)
      assert.strictEqual(fs.statSync(here.keptAt).mode & 0o777, 0o600)
      assert.deepStrictEqual(fs.readdirSync(here.folder).toSorted(), ["kept", "program.js"])
    }).pipe(Effect.scoped)
  )

  it.effect("is added to by three runs of each kind, and then stays as it is", () =>
    Effect.gen(function* () {
      const here = yield* place
      const steps: ReadonlyArray<readonly [number, Array<number>]> = [
        [0, [1, 0, 0]],
        [0, [2, 0, 0]],
        [0, [3, 0, 0]],
        [0, [3, 0, 0]],
        [2, [3, 0, 1]],
        [15, [3, 0, 1]]
      ]
      for (const [kind, runs] of steps) {
        yield* run(here, kind)
        assert.deepStrictEqual(runsOf(here), runs)
      }
      const before = fs.readFileSync(here.keptAt)
      assert.isTrue(yield* run(here, 0, callsLate))
      assert.isTrue(yield* run(here, DialAheadNode.kindsMax, callsLate))
      assert.deepStrictEqual(fs.readFileSync(here.keptAt), before)
    }).pipe(Effect.scoped)
  )

  it.effect("is whole at any time: who reads it while it is written has what was there before", () =>
    Effect.gen(function* () {
      const here = yield* place
      yield* run(here)
      const before = fs.readFileSync(here.keptAt)
      const reading = fs.openSync(here.keptAt, "r")
      yield* run(here, 0, callsLate)
      assert.notDeepEqual(fs.readFileSync(here.keptAt), before)
      assert.deepStrictEqual(fs.readFileSync(reading), before)
      fs.closeSync(reading)
    }).pipe(Effect.scoped)
  )

  it.effect("is made anew for another text of the same length, for what is damaged, and for what is none", () =>
    Effect.gen(function* () {
      const here = yield* place
      yield* run(here)
      const kept = fs.readFileSync(here.keptAt)
      fs.writeFileSync(here.path, text.replaceAll("total += at", "total -= at"))
      assert.isFalse(yield* run(here, 0, (script) => assert.strictEqual(script.runInThisContext()().late(2), -72)))
      fs.writeFileSync(here.path, text)
      for (const bytes of [kept.subarray(0, 40), kept.subarray(0, -1), new Uint8Array(0), new Uint8Array(90)]) {
        fs.writeFileSync(here.keptAt, bytes)
        assert.isFalse(yield* run(here, 0, callsLate))
        assert.deepStrictEqual(runsOf(here), [1, 0, 0])
      }
    }).pipe(Effect.scoped)
  )

  // By itself: a text that the engine has compiled under the same path it takes from memory, whatever is kept.
  it.effect("is what the engine takes, or it is made anew", () =>
    Effect.gen(function* () {
      const here = yield* place
      const foreign = { runs: new Uint8Array(DialAheadNode.kindsMax).fill(255), code: Buffer.alloc(100, 7) }
      fs.writeFileSync(here.keptAt, ProgramNode.encode(bytesOf(text), foreign))
      assert.isFalse(yield* run(here, 0, callsLate))
      assert.deepStrictEqual(runsOf(here), [1, 0, 0])
    }).pipe(Effect.scoped)
  )

  it.effect("leaves nothing behind where it cannot be written, or where no place for it is named", () =>
    Effect.gen(function* () {
      const here = yield* place
      const keptAt = join(here.folder, "none", "kept")
      assert.isFalse(yield* run({ ...here, keptAt }, 0, callsLate))
      fs.mkdirSync(here.keptAt)
      assert.isFalse(yield* run(here, 0, callsLate))
      fs.rmdirSync(here.keptAt)
      const script = yield* Effect.promise(() =>
        ProgramNode.load({
          path: here.path,
          keptAt: undefined,
          kind: 0,
          atEnd: () => assert.fail("nothing is to be done")
        })
      )
      callsLate(script)
      assert.deepStrictEqual(fs.readdirSync(here.folder), ["program.js"])
    }).pipe(Effect.scoped)
  )

  it.effect.prop(
    "is refused with any bit of it changed",
    [Schema.Uint8Array.check(Schema.isMaxLength(40)), Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e5 }))],
    ([code, where]) =>
      Effect.sync(() => {
        const runs = Uint8Array.from({ length: DialAheadNode.kindsMax }, (_, kind) => (where * kind) & 255)
        const bytes = ProgramNode.encode(bytesOf(text), { runs, code })
        const kept = ProgramNode.decode(bytesOf(text), bytes)
        assert.deepStrictEqual([...(kept?.runs ?? []), ...(kept?.code ?? [])], [...runs, ...code])
        const bit = where % (bytes.length * 8)
        const byte = bytes[bit >>> 3] ?? 0
        bytes[bit >>> 3] = byte ^ (1 << (bit & 7))
        assert.isUndefined(ProgramNode.decode(bytesOf(text), bytes))
      })
  )
})

describe("kinds of commands", () => {
  it("are told apart where they run different parts, and are as many as there is room for", () => {
    const commands = ["fetch", "upload", "para", "download", "verify", "remove", "rename"]
    const lines = commands.flatMap((command) => [[command], [command, "-r"]])
    const kinds = [...lines, ["--version"]].map((line) =>
      DialAheadNode.kindOf(["--server", "upload", ...line, "fetch"])
    )
    assert.strictEqual(new Set(kinds.slice(0, -1)).size, lines.length)
    assert.isTrue(kinds.every((kind) => kind >= 0 && kind < DialAheadNode.kindsMax))
    assert.strictEqual(
      DialAheadNode.kindOf(["upload", "--recursive", "a"]),
      DialAheadNode.kindOf(["-r", "upload", "a"])
    )
    assert.strictEqual(DialAheadNode.kindOf(["shell", "upload"]), DialAheadNode.kindOf([]))
  })
})
