/**
 * Folders of the server's own. Reading and replacing are tested where they matter: Accounts.
 */
import { mkdirSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, type Path, PlatformError } from "effect"
import * as StateFile from "../../../src/domain/session/StateFile.ts"

const at = <A, E>(use: (folder: string) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path>) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), use)).pipe(
    Effect.scoped,
    Effect.provide(NodeServices.layer)
  )

const reasonOf = <R>(work: Effect.Effect<void, PlatformError.PlatformError, R>) =>
  Effect.map(Effect.flip(work), ({ reason }) => reason._tag)

describe("a folder", () => {
  it.live("is made with those above it, for its owner alone, and may be there", () =>
    at((folder) =>
      Effect.gen(function* () {
        mkdirSync(join(folder, "there"), { mode: 0o755 })
        const wanted = join(folder, "there", "a", "b")
        yield* StateFile.makeFolder(wanted)
        yield* StateFile.makeFolder(wanted)
        const modes = [wanted, dirname(wanted), join(folder, "there")].map((path) => statSync(path).mode & 0o777)
        if (process.platform !== "win32") assert.deepStrictEqual(modes, [0o700, 0o700, 0o755])
      })
    )
  )

  it.live("cannot be where a file is, nor below one", () =>
    at((folder) =>
      Effect.gen(function* () {
        writeFileSync(join(folder, "file"), "")
        assert.strictEqual(yield* reasonOf(StateFile.makeFolder(join(folder, "file"))), "BadResource")
        assert.strictEqual(typeof (yield* reasonOf(StateFile.makeFolder(join(folder, "file", "x")))), "string")
      })
    )
  )

  it.live("that the system does not make is tried for once, and those above it too", () =>
    Effect.gen(function* () {
      const tried: Array<string> = []
      // As below /proc: what is there is there, and nothing else can be.
      const makeDirectory: FileSystem.FileSystem["makeDirectory"] = (path) =>
        Effect.suspend(() => {
          tried.push(path)
          const _tag = path === "/" ? "AlreadyExists" : "NotFound"
          return Effect.fail(PlatformError.systemError({ _tag, module: "test", method: "makeDirectory" }))
        })
      const fs = { ...(yield* FileSystem.FileSystem), makeDirectory }
      const work = Effect.provideService(StateFile.makeFolder("/none/a"), FileSystem.FileSystem, fs)
      assert.strictEqual(yield* reasonOf(work), "NotFound")
      assert.deepStrictEqual(tried, ["/none/a", "/none", "/", "/none"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
