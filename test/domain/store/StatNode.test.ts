import * as nodeFs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as SmallFilesNode from "../../../src/domain/store/SmallFilesNode.ts"
import { isOneVersion, isPathOfDescriptor, pathOfDescriptor, toStat } from "../../../src/domain/store/StatNode.ts"
import { temporaryFolder } from "./temporaryDisk.ts"

const seconds = Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 4_000_000_000 }))
const halves = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1999 }))
const nanoseconds = Schema.Int.check(Schema.isBetween({ minimum: -400, maximum: 400 }))

const asked = (looked: ReturnType<typeof SmallFilesNode.glance>) =>
  Result.map(looked, ({ executable, kind, modified, size }) => ({ executable, kind, modified, size }))

describe("a glance at a file", () => {
  it.effect.prop(
    "says what a look says of it, however near the middle of two milliseconds its time is",
    { seconds, halves, nanoseconds },
    ({ halves, nanoseconds, seconds }) =>
      Effect.gen(function* () {
        const path = `${yield* temporaryFolder}/a`
        nodeFs.writeFileSync(path, "content")
        nodeFs.chmodSync(path, halves % 2 === 0 ? 0o755 : 0o644)
        const time = seconds + halves / 2000 + nanoseconds / 1e9
        nodeFs.utimesSync(path, time, time)
        assert.deepStrictEqual(asked(SmallFilesNode.glance(path)), asked(SmallFilesNode.lstat(path)))
      })
  )

  it.effect("tells kinds, and what is not there", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      nodeFs.symlinkSync("none", `${folder}/link`)
      for (const path of [folder, `${folder}/link`, `${folder}/none`, "/dev/null"]) {
        assert.deepStrictEqual(asked(SmallFilesNode.glance(path)), asked(SmallFilesNode.lstat(path)))
      }
      const kinds = [folder, `${folder}/link`, "/dev/null"].map((path) =>
        Result.getOrThrow(Result.map(SmallFilesNode.glance(path), ({ kind }) => kind))
      )
      assert.deepStrictEqual(kinds, ["folder", "link", "special"])
    })
  )
})

describe("a look at a file", () => {
  it.effect("says each fact that Node says, and by the owner's bit alone whether it may be run", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/a`
      nodeFs.writeFileSync(path, "content")
      nodeFs.linkSync(path, `${path}b`)
      nodeFs.utimesSync(path, 1_000, 1_000)
      for (const mode of [0o600, 0o611, 0o655, 0o700, 0o744]) {
        nodeFs.chmodSync(path, mode)
        const stats = nodeFs.statSync(path, { bigint: true })
        const executable = mode >= 0o700
        assert.deepStrictEqual(toStat(stats), {
          kind: "file",
          size: 7,
          modified: 1_000_000,
          executable,
          modifiedNanoseconds: stats.mtimeNs,
          changedNanoseconds: stats.ctimeNs,
          device: stats.dev,
          inode: stats.ino,
          links: 2,
          own: true
        })
        assert.notStrictEqual(stats.mtimeNs, stats.ctimeNs)
        const seen = Result.getOrThrow(SmallFilesNode.glance(path))
        assert.deepStrictEqual([seen.kind, seen.executable], ["file", executable])
      }
      const other = Object.assign(nodeFs.statSync(path, { bigint: true }), {
        uid: BigInt(process.geteuid?.() ?? 0) + 1n
      })
      assert.strictEqual(toStat(other).own, process.geteuid === undefined)
    })
  )

  it("takes for an open file's path what is one, and not what has one within", () => {
    assert.isTrue(isPathOfDescriptor(`${pathOfDescriptor(7)}/a`))
    assert.isFalse(isPathOfDescriptor(`/srv${pathOfDescriptor(7)}`))
  })
})

describe("two looks at an open file", () => {
  it.effect("are of one version unless its size or one of its times is another, if only by a microsecond", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/a`
      nodeFs.writeFileSync(path, "content")
      const stats = () => nodeFs.statSync(path)
      assert.isTrue(isOneVersion(stats(), stats()))
      const before = stats()
      for (const change of [
        { size: before.size + 1 },
        { mtimeMs: before.mtimeMs + 0.001 },
        { ctimeMs: before.ctimeMs + 0.001 }
      ]) {
        assert.isFalse(isOneVersion(before, Object.assign(stats(), change)))
      }
    })
  )

  it.effect("differ once it was written to, also where its size and modification time are put back", () =>
    Effect.gen(function* () {
      const path = `${yield* temporaryFolder}/a`
      nodeFs.writeFileSync(path, "content")
      nodeFs.utimesSync(path, 1_700_000_000, 1_700_000_000)
      const before = nodeFs.statSync(path)
      let after = before
      // The clock of a file system has its grain.
      while (after.ctimeMs === before.ctimeMs) {
        nodeFs.writeFileSync(path, "CONTENT")
        nodeFs.utimesSync(path, 1_700_000_000, 1_700_000_000)
        after = nodeFs.statSync(path)
      }
      assert.deepStrictEqual([after.size, after.mtimeMs], [before.size, before.mtimeMs])
      assert.isFalse(isOneVersion(before, after))
    })
  )
})
