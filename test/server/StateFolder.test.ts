import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, FileSystem, Layer, PlatformError } from "effect"
import * as DigestPortable from "../../src/domain/file/DigestPortable.ts"
import * as StateFolder from "../../src/server/StateFolder.ts"

const platform = Layer.merge(NodeServices.layer, DigestPortable.layer)

interface Given {
  readonly root: string
  readonly state?: string
  readonly platform?: string
  readonly env?: Record<string, string>
}

const resolve = ({ env = {}, platform = "linux", root, state }: Given) =>
  StateFolder.resolve({ root, state, platform }).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )

/** A served folder and its surroundings. */
const at = <A, E>(
  use: (folder: string, root: string) => Effect.Effect<A, E, Effect.Services<ReturnType<typeof resolve>>>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.realPath(yield* fs.makeTempDirectoryScoped())
    const root = join(folder, "served")
    yield* fs.makeDirectory(root)
    return yield* use(folder, root)
  }).pipe(Effect.scoped, Effect.provide(platform))

describe("what is no folder", () => {
  it.live("holds no state, and neither does what is below it", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const file = join(folder, "file")
        writeFileSync(file, "")
        const { message } = yield* Effect.flip(resolve({ root, state: file }))
        assert.strictEqual(message, `'${file}' is no folder: name one for the server's state with --state`)
        const below = yield* Effect.flip(resolve({ root, state: join(file, "x") }))
        assert.strictEqual(
          below.message,
          `'${join(file, "x")}' cannot hold the server's state (a part of its path is no folder): ` +
            "name another folder with --state"
        )
      })
    )
  )
})

describe("where", () => {
  const home = "/home/ada"
  const cases: ReadonlyArray<readonly [string, Omit<Given, "root">, string]> = [
    ["XDG_STATE_HOME", { env: { HOME: home, XDG_STATE_HOME: "/var/state" } }, "/var/state/paradrop/ID"],
    ["HOME without it", { env: { HOME: home } }, "/home/ada/.local/state/paradrop/ID"],
    [
      "HOME when it is relative",
      { env: { HOME: home, XDG_STATE_HOME: "state" } },
      "/home/ada/.local/state/paradrop/ID"
    ],
    ["HOME when it is empty", { env: { HOME: home, XDG_STATE_HOME: "" } }, "/home/ada/.local/state/paradrop/ID"],
    ["macOS", { platform: "darwin", env: { HOME: home } }, "/home/ada/Library/Application Support/paradrop/ID"],
    ["--state", { state: "/srv/state", env: { HOME: home } }, "/srv/state"]
  ]
  for (const [name, given, expected] of cases) {
    it.live(name, () =>
      at((_, root) =>
        Effect.gen(function* () {
          const found = yield* resolve({ root, ...given })
          assert.strictEqual(found.root, root)
          assert.strictEqual(found.folder.replace(/\b[0-9a-f]{16}$/, "ID"), expected)
        })
      )
    )
  }

  it.live("one folder for a root, by whatever way it is reached, and another for another", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        symlinkSync(root, join(folder, "link"))
        const env = { HOME: home }
        const one = yield* resolve({ root, env })
        assert.deepStrictEqual(yield* resolve({ root: join(folder, "link"), env }), one)
        assert.notStrictEqual((yield* resolve({ root: folder, env })).folder, one.folder)
      })
    )
  )
})

describe("without the served folder", () => {
  const given = ({ env = {}, platform = "linux", root, state }: Given) => ({
    wanted: { root, state, platform },
    provide: Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  })
  const ofServer = (facts: Given) => given(facts).provide(StateFolder.ofServer(given(facts).wanted))
  const ofAccounts = (facts: Given) => given(facts).provide(StateFolder.ofAccounts(given(facts).wanted))

  it.live("the state is found where it is named, and by the path that the folder had", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const env = { XDG_STATE_HOME: join(folder, "state") }
        const named = { root, state: join(folder, "own") }
        const { folder: own } = yield* resolve({ root, env })
        mkdirSync(own, { recursive: true, mode: 0o700 })
        renameSync(root, join(folder, "away"))
        for (const find of [ofServer, ofAccounts]) {
          assert.strictEqual(yield* find(named), named.state)
          assert.strictEqual(yield* find({ root, env }), own)
        }
        // A server is asked wherever it may be; whether it is there is said by who asks it.
        assert.include(yield* ofServer({ root: join(folder, "slip"), env }), env.XDG_STATE_HOME)
        assert.strictEqual(
          (yield* Effect.flip(ofAccounts({ root: join(folder, "slip"), env }))).message,
          `there is no folder '${join(folder, "slip")}', and no account for it: ` +
            "give the server's --root, --state or --config, or make the folder"
        )
      })
    )
  )

  it.live("who may not look at the state is told to be the server's user, and who would serve to take another", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const state = join(folder, "closed", "state")
        const cause = Object.assign(new Error("denied"), { code: "EACCES" })
        const denied = { _tag: "PermissionDenied", module: "FileSystem", method: "realPath", cause } as const
        const closed: typeof fs = {
          ...fs,
          realPath: (path) => (path === state ? Effect.fail(PlatformError.systemError(denied)) : fs.realPath(path))
        }
        const isRefused = <A, R>(find: Effect.Effect<A, StateFolder.StateFolderRefused, R>, told: string) =>
          Effect.map(Effect.provideService(Effect.flip(find), FileSystem.FileSystem, closed), ({ message }) =>
            assert.strictEqual(message, `'${state}' ${told}`)
          )
        const another = "cannot be looked at (no permission): run this as the server's user, or as root"
        for (const find of [ofServer, ofAccounts]) yield* isRefused(find({ root, state }), another)
        const unfit = "cannot hold the server's state (no permission): name another folder with --state"
        yield* isRefused(resolve({ root, state }), unfit)
      })
    )
  )

  it.live("a root that cannot be looked at is in nobody's way where the state is named", () =>
    at((folder) =>
      Effect.gen(function* () {
        writeFileSync(join(folder, "file"), "")
        const root = join(folder, "file", "x")
        for (const find of [ofServer, ofAccounts]) {
          assert.strictEqual(yield* find({ root, state: join(folder, "own") }), join(folder, "own"))
          assert.strictEqual(
            (yield* Effect.flip(find({ root, env: { HOME: folder } }))).message,
            `'${root}' cannot be looked at (a part of its path is no folder): ` +
              "run this as the server's user, or name the server's state folder with --state"
          )
        }
      })
    )
  )
})

describe("refused", () => {
  const refusal = (given: Given) => Effect.map(Effect.flip(resolve(given)), ({ message }) => message)

  it.live("a folder that everybody may write into, but on Windows, and not to ask a server", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const state = join(folder, "own")
        mkdirSync(state)
        for (const mode of [0o777, 0o1777, 0o702]) {
          chmodSync(state, mode)
          const text =
            `everybody may write into the state folder '${state}' (mode ${mode.toString(8)}), ` +
            `and so replace accounts and keys: run chmod 700 '${state}', ` +
            "and see whether all in it is the server's own; " +
            "where its mode cannot be changed, name a folder below it with --state, which the server makes"
          assert.strictEqual(yield* refusal({ root, state }), text)
          const wanted = { root, state, platform: "linux" }
          assert.strictEqual((yield* Effect.flip(StateFolder.ofAccounts(wanted))).message, text)
          assert.strictEqual(yield* StateFolder.ofServer(wanted), state)
          assert.strictEqual((yield* resolve({ root, state, platform: "win32" })).folder, state)
        }
        for (const mode of [0o700, 0o750, 0o755, 0o770, 0o775]) {
          chmodSync(state, mode)
          const { folder, shared } = yield* resolve({ root, state })
          assert.deepStrictEqual([folder, shared], [state, mode === 0o770 || mode === 0o775])
        }
      })
    )
  )

  it.live("files of accounts and keys that everybody may write to; those that others may read are told", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const state = join(folder, "own")
        mkdirSync(state)
        const [setup, accounts] = [join(state, "server.setup"), join(state, "accounts.json")]
        writeFileSync(accounts, "{}")
        // Mode of the folder, of the file, and whether it is told.
        const cases = [
          [0o700, 0o666, false],
          [0o755, 0o600, false],
          [0o755, 0o644, true],
          [0o755, 0o640, true],
          [0o750, 0o604, false],
          [0o750, 0o660, true],
          [0o711, 0o620, true],
          [0o701, 0o060, false]
        ] as const
        for (const [mode, own, told] of cases) {
          chmodSync(state, mode)
          chmodSync(accounts, own)
          const { readable } = yield* resolve({ root, state })
          assert.deepStrictEqual(readable, told ? [accounts] : [], `${mode.toString(8)} ${own.toString(8)}`)
          assert.deepStrictEqual((yield* resolve({ root, state, platform: "win32" })).readable, [])
        }
        chmodSync(state, 0o755)
        writeFileSync(setup, "", { mode: 0o644 })
        assert.deepStrictEqual((yield* resolve({ root, state })).readable, [setup, accounts])
        chmodSync(accounts, 0o602)
        const text =
          `everybody may write into '${accounts}' (mode 602), and so replace accounts and keys: ` +
          `run chmod 600 '${accounts}', and see whether it is as the server left it`
        assert.strictEqual(yield* refusal({ root, state }), text)
        const wanted = { root, state, platform: "linux" }
        assert.strictEqual((yield* Effect.flip(StateFolder.ofAccounts(wanted))).message, text)
        assert.strictEqual((yield* resolve({ root, state, platform: "win32" })).folder, state)
      })
    )
  )

  it.live("inside the root, directly, through a link or not yet there; beside it is fine", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        symlinkSync(root, join(folder, "link"))
        const inside = (path: string) =>
          `the state folder '${path}' lies inside the served folder: name another one with --state`
        assert.strictEqual(yield* refusal({ root, state: root }), inside(root))
        assert.strictEqual(yield* refusal({ root, state: join(root, "a", "b") }), inside(join(root, "a", "b")))
        assert.strictEqual(yield* refusal({ root, state: join(folder, "link", "x") }), inside(join(root, "x")))
        assert.strictEqual(yield* refusal({ root, state: join(root, "..state") }), inside(join(root, "..state")))
        const home = { HOME: root }
        assert.include(yield* refusal({ root, env: home }), "lies inside the served folder")
        const beside = `${root}-state`
        assert.strictEqual((yield* resolve({ root, state: beside })).folder, beside)
        assert.strictEqual((yield* resolve({ root, state: join(root, "..", "x") })).folder, join(folder, "x"))
      })
    )
  )

  it.live("a root that is missing or no folder, and a user without a home", () =>
    at((folder, root) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const [none, file] = [join(folder, "none"), join(folder, "file")]
        yield* fs.writeFileString(file, "")
        const missing = `there is no folder '${none}' to serve: make it, or name another one with --root`
        assert.strictEqual(yield* refusal({ root: none }), missing)
        assert.strictEqual(yield* refusal({ root: file }), `'${file}' is no folder: name one with --root`)
        const homeless = "this user has no home folder: name a folder for the server's state with --state"
        assert.strictEqual(yield* refusal({ root }), homeless)
      })
    )
  )
})
