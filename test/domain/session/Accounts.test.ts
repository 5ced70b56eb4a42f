import { readFileSync, statSync } from "node:fs"
import { execFileSync, spawn } from "node:child_process"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer, PlatformError, Redacted, type Scope } from "effect"
import { Base64Url } from "effect/encoding"
import { TestClock } from "effect/testing"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, recordBytes, setupBytes } from "../../../src/domain/channel/Opaque.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import {
  accountsFileBytesMax,
  accountsMax,
  fileTimeGrainMilliseconds,
  stateLockWaitMillisecondsMax
} from "../../../src/domain/limits.ts"
import { Accounts, adding, putting, removing } from "../../../src/domain/session/Accounts.ts"
import * as AccountsFile from "../../../src/domain/session/AccountsFile.ts"
import { everything } from "../../../src/domain/session/Grant.ts"
import { StateLock } from "../../../src/domain/session/StateLock.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"
import { accountsContract } from "../../../src/domain/testing/accountsContract.ts"

const ada = UserName.make("ada")
const bob = UserName.make("bob")
const record = (seed: number) => Redacted.make(new Uint8Array(recordBytes).fill(seed))
const platform = Layer.mergeAll(NodeServices.layer, Opaque.layerQuick, StateLockNode.layer)

type Services = AccountsFile.AccountsFileServices | Scope.Scope
const inFolder = <A, E>(use: (folder: string) => Effect.Effect<A, E, Services>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* use(join(yield* fs.makeTempDirectoryScoped(), "state"))
  }).pipe(Effect.scoped, Effect.provide(platform))

/** Accounts of that folder, of which there is one. */
const withAda = Effect.fnUntraced(function* (folder: string) {
  const accounts = yield* AccountsFile.make(folder)
  yield* accounts.put(ada, record(1), 1)
  return { accounts, fs: yield* FileSystem.FileSystem, path: join(folder, "accounts.json") }
})

const failureOf = (folder: string) => Effect.map(Effect.flip(AccountsFile.make(folder)), ({ message }) => message)

describe("contract", () => {
  for (const { effect, name } of accountsContract) {
    it.effect(`memory: ${name}`, () =>
      Effect.provide(effect, Accounts.layerMemory(Redacted.make(new Uint8Array(setupBytes)), 1))
    )
    it.live(`files: ${name}`, () => inFolder((folder) => Effect.provide(effect, AccountsFile.layer(folder))))
  }
})

describe("as many accounts as there may be", () => {
  const one = { record: record(1), created: 0, disabled: false, grant: everything }
  const accountsOf = (length: number) =>
    new Map(Array.from({ length }, (_, index) => [UserName.make(`u${index}`), one] as const))

  it.effect("are not one more, however it comes, and the record of each may be replaced", () =>
    Effect.gen(function* () {
      for (const edit of [adding(ada, record(2), 1, everything), putting(ada, record(2), 1)]) {
        const full = accountsOf(accountsMax)
        const { message } = yield* Effect.flip(edit(full))
        assert.include(message, `at most ${accountsMax} accounts: remove one first`)
        assert.strictEqual(full.size, accountsMax)
        yield* removing(UserName.make("u0"))(full)
        yield* edit(full)
        assert.strictEqual(full.size, accountsMax)
        yield* putting(UserName.make("u1"), record(3), 1)(full)
        assert.strictEqual(full.size, accountsMax)
      }
    })
  )
})

describe("files", () => {
  it.live("are for their owner alone", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const accounts = yield* AccountsFile.make(folder)
        yield* accounts.put(ada, record(1), 1)
        const modes = ["", "server.setup", "accounts.json"].map((name) => statSync(join(folder, name)).mode & 0o777)
        assert.deepStrictEqual(modes, [0o700, 0o600, 0o600])
      })
    )
  )

  it.live("hold setup and accounts for the next start", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const first = yield* AccountsFile.make(folder)
        yield* first.put(ada, record(7), 3)
        const next = yield* AccountsFile.make(folder)
        assert.deepStrictEqual(Redacted.value(yield* next.setup), Redacted.value(yield* first.setup))
        assert.deepStrictEqual(Redacted.value((yield* next.find(ada)) ?? record(0)), Redacted.value(record(7)))
        assert.deepStrictEqual(yield* next.list, [{ user: ada, created: 3, disabled: false, grant: everything }])
      })
    )
  )

  it.effect("are read again where they may have changed without a trace since they were read", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = join(folder, "accounts.json")
        const time = 1_000_000_000_000
        yield* TestClock.setTime(time + fileTimeGrainMilliseconds)
        const accounts = yield* AccountsFile.make(folder)
        yield* accounts.add(ada, record(1), 3, everything)
        yield* fs.utimes(path, time / 1000, time / 1000)
        const createdOf = Effect.map(accounts.list, (all) => all.map(({ created }) => created))
        assert.deepStrictEqual(yield* createdOf, [3])
        yield* fs.writeFileString(path, (yield* fs.readFileString(path)).replace('"created":3', '"created":4'))
        yield* fs.utimes(path, time / 1000, time / 1000)
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* createdOf, [4])
      })
    )
  )

  it.effect("are read again where another stands in their place, however long ago it was written", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = join(folder, "accounts.json")
        const time = 1_000_000_000_000
        const isOld = fs.utimes(path, time / 1000, time / 1000)
        yield* TestClock.setTime(time + fileTimeGrainMilliseconds + 1)
        const [server, tool] = [yield* AccountsFile.make(folder), yield* AccountsFile.make(folder)]
        yield* isOld
        assert.deepStrictEqual(yield* server.list, [])
        const edition = yield* server.edition
        assert.strictEqual(yield* server.edition, edition)
        yield* tool.add(ada, record(1), 3, everything)
        yield* isOld
        assert.deepStrictEqual(
          (yield* server.list).map(({ user }) => user),
          [ada]
        )
        assert.notStrictEqual(yield* server.edition, edition)
      })
    )
  )

  it.live(
    "that hold more accounts than there may be are damaged, and no fewer are",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const { accounts, fs, path } = yield* withAda(folder)
          const others = JSON.parse(yield* fs.readFileString(path))
          const [one] = others.accounts
          const holds = (count: number) => {
            const all = Array.from({ length: count }, (_, index) => ({ ...one, user: `u${index}` }))
            return fs.writeFileString(path, JSON.stringify({ ...others, accounts: all }))
          }
          yield* holds(accountsMax)
          assert.lengthOf(yield* accounts.list, accountsMax)
          yield* holds(accountsMax + 1)
          const { message } = yield* Effect.flip(accounts.list)
          assert.strictEqual(message, `'${path}' is damaged: restore it from a backup (it is left as it is)`)
        })
      ),
    60_000
  )

  it.live("say what is missing, and take no fact of an account that no version has", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { accounts, fs, path } = yield* withAda(folder)
        const document = JSON.parse(yield* fs.readFileString(path))
        const told = Effect.map(Effect.flip(accounts.list), ({ message }) => message)
        for (const more of [{ disabled: false }, { revoked: -1 }, { revoked: 1.5 }]) {
          const changed = { ...document, version: 3, accounts: [{ ...document.accounts[0], ...more }] }
          yield* fs.writeFileString(path, JSON.stringify(changed))
          assert.strictEqual(yield* told, `'${path}' is damaged: restore it from a backup (it is left as it is)`)
        }
        yield* fs.remove(path)
        assert.strictEqual(yield* told, `'${path}' is missing: restore it from a backup`)
      })
    )
  )

  it.live("that were removed and made again are others: nobody's password would be right", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const server = yield* AccountsFile.make(folder)
        const fs = yield* FileSystem.FileSystem
        yield* fs.remove(folder, { recursive: true })
        const tool = yield* AccountsFile.make(folder)
        yield* tool.add(ada, record(1), 1, everything)
        const setup = join(folder, "server.setup")
        const told = `'${setup}' is another one than at the start: restart the server, or put the old one back`
        for (const asked of [server.find(ada), server.list, server.put(bob, record(2), 1)].map(Effect.asVoid)) {
          assert.strictEqual((yield* Effect.flip(asked)).message, told)
        }
        assert.deepStrictEqual(
          (yield* tool.list).map(({ user }) => user),
          [ada]
        )
        yield* fs.remove(setup)
        assert.isDefined(yield* server.find(ada))
      })
    )
  )

  it.live("changed by another are seen at the next look, for every name", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const server = yield* AccountsFile.make(folder)
        const tool = yield* AccountsFile.make(folder)
        yield* tool.put(ada, record(1), 1)
        assert.isDefined(yield* server.find(ada))
        // Same size, same millisecond perhaps: still seen.
        yield* tool.put(ada, record(2), 1)
        assert.strictEqual(Redacted.value((yield* server.find(ada)) ?? record(0))[0], 2)
        yield* tool.remove(ada)
        assert.isUndefined(yield* server.find(ada))
      })
    )
  )

  it.live("changed by somebody who is interrupted as it is written are known as they are", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const real = yield* FileSystem.FileSystem
        let interrupt = (): unknown => undefined
        const rename: typeof real.rename = (from, to) => Effect.tap(real.rename(from, to), () => Effect.sync(interrupt))
        const accounts = yield* Effect.provideService(AccountsFile.make(folder), FileSystem.FileSystem, {
          ...real,
          rename
        })
        const changing = yield* Effect.forkChild(accounts.stretch(2))
        interrupt = () => changing.interruptUnsafe()
        yield* Fiber.await(changing)
        assert.deepStrictEqual([accounts.stretching, (yield* AccountsFile.make(folder)).stretching], [2, 2])
      })
    )
  )

  const damages: Record<string, (content: string) => string> = {
    "cut short": (content) => content.slice(0, content.length / 2),
    empty: () => "",
    "no JSON": () => "\u0000\u0000",
    "with the fields of a newer version": (content) =>
      content.replace('"version":2', '"version":1').replace('"created"', '"disabled":true,"created"'),
    "with a field that is not known": (content) => content.replace('"created"', '"locked":true,"created"'),
    "with a right that is not known": (content) => content.replace('"created"', '"grant":{"rights":["fly"]},"created"'),
    "with a root that leads out": (content) =>
      content.replace('"created"', '"grant":{"root":"../x","rights":[]},"created"'),
    "with a short record": (content) => content.replace(/"record":"..../, '"record":"'),
    "with a count of the next version": (content) => content.replace('"created"', '"revoked":1,"created"'),
    "with a time that no date can hold": (content) => content.replace(/"created":\d+/, '"created":9007199254740991'),
    "with a name twice": (content) => content.replace(/\[(\{.*\})\]/, "[$1,$1]"),
    "too large": (content) => content + " ".repeat(accountsFileBytesMax)
  }
  for (const [name, damage] of Object.entries(damages)) {
    it.live(`${name}: refused by name and left as they are`, () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const { accounts, fs, path } = yield* withAda(folder)
          const damaged = damage(yield* fs.readFileString(path))
          yield* fs.writeFileString(path, damaged)
          const text = `'${path}' is damaged: restore it from a backup (it is left as it is)`
          assert.strictEqual(yield* failureOf(folder), text)
          assert.strictEqual((yield* Effect.flip(accounts.find(bob))).message, text)
          assert.strictEqual((yield* Effect.flip(accounts.put(bob, record(2), 2))).message, text)
          assert.isTrue((yield* fs.readFileString(path)) === damaged)
        })
      )
    )
  }

  it.live(
    "are never written larger than they are read, whatever their folders are called",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const { accounts, fs, path } = yield* withAda(folder)
          // Bytes of which JSON makes two, and characters that are two bytes.
          const part = '"'.repeat(61) + "ü".repeat(97)
          const grant = { ...everything, root: FileName.make([part, part, part, part].join("/")) }
          const others = JSON.parse(yield* fs.readFileString(path))
          const [{ created, record: proof }] = others.accounts
          const one = (index: number) => ({ user: `u${index}`.padEnd(64, "x"), record: proof, created, grant })
          const room = accountsFileBytesMax - Buffer.byteLength(JSON.stringify({ ...others, accounts: [] }))
          const count = Math.floor(room / (Buffer.byteLength(JSON.stringify(one(0))) + 1))
          const full = JSON.stringify({ ...others, accounts: Array.from({ length: count }, (_, index) => one(index)) })
          assert.isBelow(count, accountsMax)
          yield* fs.writeFileString(path, full)
          const told = yield* Effect.flip(accounts.add(bob, record(2), 2, grant))
          assert.strictEqual(
            told.message,
            "the accounts would take more than 16 MiB, and nothing was changed: remove some, or shorten their folders"
          )
          assert.isTrue((yield* fs.readFileString(path)) === full)
        })
      ),
    60_000
  )

  it.live("whose setup has no keys in it: says so, and leaves it as it is", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = join(folder, "server.setup")
        yield* AccountsFile.make(folder)
        for (const byte of [0, 255]) {
          const none = Base64Url.encode(new Uint8Array(setupBytes).fill(byte))
          yield* fs.writeFileString(path, none)
          const text = `'${path}' is damaged: restore it from a backup (it is left as it is)`
          assert.strictEqual(yield* failureOf(folder), text)
          assert.isTrue((yield* fs.readFileString(path)) === none)
        }
      })
    )
  )

  it.live("of a newer version: says so, and leaves them as they are", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = join(folder, "accounts.json")
        const accounts = yield* AccountsFile.make(folder)
        const newer = (yield* fs.readFileString(path)).replace('"version":2', '"version":4,"more":[]')
        yield* fs.writeFileString(path, newer)
        const text = `'${path}' is of version 4, which this server is too old for: update it (it is left as it is)`
        assert.strictEqual(yield* failureOf(folder), text)
        assert.strictEqual((yield* Effect.flip(accounts.put(bob, record(2), 2))).message, text)
        assert.isTrue((yield* fs.readFileString(path)) === newer)
      })
    )
  )

  it.live("of version 1: every account may do everything, and the next edit writes the present version", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const path = join(folder, "accounts.json")
        // Written by the last release that knew no grants.
        const frozen = readFileSync(new URL("accounts.v1.json", import.meta.url), "utf8")
        yield* AccountsFile.make(folder)
        yield* fs.writeFileString(path, frozen)
        const accounts = yield* AccountsFile.make(folder)
        assert.deepStrictEqual(yield* accounts.list, [
          { user: ada, created: 1_700_000_000_000, disabled: false, grant: everything },
          { user: bob, created: 1_700_000_000_001, disabled: false, grant: everything }
        ])
        assert.deepStrictEqual(Redacted.value((yield* accounts.find(ada)) ?? record(0)), Redacted.value(record(1)))
        assert.isTrue((yield* fs.readFileString(path)) === frozen, "looking changes nothing")
        yield* accounts.change(bob, (before) => ({ ...before, disabled: true }))
        const written: unknown = JSON.parse(yield* fs.readFileString(path))
        const [first, second]: ReadonlyArray<object> = JSON.parse(frozen).accounts
        assert.deepStrictEqual(written, {
          version: 3,
          stretching: 1,
          accounts: [first, { ...second, revoked: 1, disabled: true }]
        })
      })
    )
  )

  it.live("are of version 2 until sessions were ended, and then count how often", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { accounts, fs, path } = yield* withAda(folder)
        yield* accounts.change(ada, (before) => ({ ...before, grant: { rights: [] } }))
        assert.include(yield* fs.readFileString(path), '"version":2')
        yield* accounts.change(ada, (before) => ({ ...before, disabled: true }))
        yield* accounts.change(ada, (before) => ({ ...before, disabled: false }))
        assert.include(yield* fs.readFileString(path), '"version":3')
        const next = yield* AccountsFile.make(folder)
        assert.deepStrictEqual(yield* next.list, [
          { user: ada, created: 1, revoked: 1, disabled: false, grant: { rights: [] } }
        ])
        yield* next.remove(ada)
        assert.include(yield* fs.readFileString(path), '"version":2')
      })
    )
  )

  it.live.skipIf(process.platform === "win32")(
    "a pipe in its place: refused, where to open it would wait for ever",
    () =>
      inFolder((folder) =>
        Effect.gen(function* () {
          const fs = yield* FileSystem.FileSystem
          for (const name of ["accounts.json", "server.setup"]) {
            const path = join(folder, name)
            const accounts = yield* AccountsFile.make(folder)
            yield* fs.rename(path, `${path}.away`)
            yield* Effect.sync(() => execFileSync("mkfifo", ["-m", "600", path]))
            assert.strictEqual(
              yield* failureOf(folder),
              `'${path}' cannot be used: it is no file: put the file back, or move what is there away`
            )
            if (name === "accounts.json") {
              assert.include((yield* Effect.flip(accounts.find(bob))).message, "it is no file: put the file back")
            }
            yield* fs.remove(path)
            yield* fs.rename(`${path}.away`, path)
          }
        })
      )
  )

  it.live("missing: says which, and makes none that would void the others", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const [setup, accounts] = [join(folder, "server.setup"), join(folder, "accounts.json")]
        yield* (yield* AccountsFile.make(folder)).put(ada, record(1), 1)
        yield* fs.rename(setup, `${setup}.away`)
        assert.include(yield* failureOf(folder), `'${setup}' is missing and no account works without it`)
        assert.isFalse(yield* fs.exists(setup))
        yield* fs.rename(`${setup}.away`, setup)
        yield* fs.rename(accounts, `${accounts}.away`)
        assert.include(yield* failureOf(folder), `'${accounts}' is missing: restore it from a backup`)
        assert.isFalse(yield* fs.exists(accounts))
      })
    )
  )

  it.effect("held by another process: waits so long and no longer, then says so", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const accounts = yield* AccountsFile.make(folder)
        yield* (yield* StateLock).acquire(join(folder, "accounts.lock"))
        const put = yield* Effect.forkChild(Effect.flip(accounts.put(ada, record(1), 1)), { startImmediately: true })
        yield* TestClock.adjust(stateLockWaitMillisecondsMax)
        const failed = yield* Fiber.join(put)
        assert.strictEqual(failed.message, "another process is changing the accounts: try again when it has finished")
      })
    )
  )
})

// -----------------------------------------------------------------------------
// Crashes
// -----------------------------------------------------------------------------

/** A file system that stops, for good, before its n-th change; a write that stops has written half. */
const stopsAt = (fs: FileSystem.FileSystem, allowed: number) => {
  let left = allowed
  const gone = PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: "stopped" })
  const step = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | PlatformError.PlatformError, R> => (left-- > 0 ? work : Effect.fail(gone)))
  return FileSystem.make({
    ...fs,
    makeDirectory: (path, options) => step(fs.makeDirectory(path, options)),
    remove: (path, options) => step(fs.remove(path, options)),
    rename: (from, to) => step(fs.rename(from, to)),
    open: (path, options) =>
      Effect.map(options?.flag === "wx" ? step(fs.open(path, options)) : fs.open(path, options), (file) => ({
        [FileSystem.FileTypeId]: FileSystem.FileTypeId,
        stat: file.stat,
        seek: (offset, from) => file.seek(offset, from),
        read: (buffer, options) => file.read(buffer, options),
        readAlloc: (size, options) => file.readAlloc(size, options),
        truncate: (length) => file.truncate(length),
        write: (buffer) => file.write(buffer),
        sync: step(file.sync),
        writeAll: (bytes: Uint8Array) =>
          Effect.suspend(() =>
            left > 0
              ? step(file.writeAll(bytes))
              : Effect.andThen(file.writeAll(bytes.subarray(0, bytes.length / 2)), step(Effect.void))
          )
      }))
  })
}

describe("a crash", () => {
  it.live("at any step of an edit leaves the old or the new accounts, whole, and the next edit works", () =>
    Effect.gen(function* () {
      const outcomes: Array<string> = []
      for (let steps = 0; steps < 20; steps++) {
        const outcome = yield* inFolder((folder) =>
          Effect.gen(function* () {
            const fs = yield* FileSystem.FileSystem
            yield* (yield* AccountsFile.make(folder)).put(ada, record(1), 1)
            const edit = Effect.gen(function* () {
              const accounts = yield* AccountsFile.make(folder)
              yield* accounts.put(ada, record(2), 1)
            })
            const exit = yield* Effect.exit(Effect.provideService(edit, FileSystem.FileSystem, stopsAt(fs, steps)))
            const after = yield* AccountsFile.make(folder)
            const found = Redacted.value((yield* after.find(ada)) ?? record(0))[0]
            yield* after.put(bob, record(3), 2)
            assert.deepStrictEqual(
              (yield* after.list).map(({ user }) => user),
              [ada, bob]
            )
            return `${exit._tag} ${found}`
          })
        )
        outcomes.push(outcome)
      }
      // Makes the folder; clears, opens, writes, syncs, renames, syncs the folder.
      const failures = ["Failure 1", "Failure 1", "Failure 1", "Failure 1", "Failure 1", "Failure 1", "Failure 2"]
      assert.deepStrictEqual(outcomes.slice(0, 8), [...failures, "Success 2"])
      assert.deepStrictEqual(new Set(outcomes.slice(8)), new Set(["Success 2"]))
    })
  )

  it.live("at any step of the first use leaves a folder that the next start takes", () =>
    Effect.gen(function* () {
      const exits: Array<string> = []
      for (let steps = 0; steps < 17; steps++) {
        const exit = yield* inFolder((folder) =>
          Effect.gen(function* () {
            const fs = yield* FileSystem.FileSystem
            const first = Effect.provideService(AccountsFile.make(folder), FileSystem.FileSystem, stopsAt(fs, steps))
            const exit = yield* Effect.exit(first)
            const next = yield* AccountsFile.make(folder)
            assert.deepStrictEqual(yield* next.list, [])
            assert.strictEqual(Redacted.value(yield* next.setup).length, setupBytes)
            return exit._tag
          })
        )
        exits.push(exit)
      }
      assert.deepStrictEqual(
        exits.slice(0, 14),
        Array.from({ length: 14 }, () => "Failure")
      )
      assert.deepStrictEqual(exits.slice(14), ["Success", "Success", "Success"])
    })
  )
})

/** A file system of which one operation fails: that before which so many are left. */
const failsOnce = (fs: FileSystem.FileSystem, fault: { left: number }) => {
  const told = { _tag: "Unknown", module: "FileSystem", method: "fails", description: "a fault" } as const
  const step = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | PlatformError.PlatformError, R> =>
      fault.left-- === 0 ? Effect.fail(PlatformError.systemError(told)) : work
    )
  return FileSystem.make({
    ...fs,
    remove: (path, options) => step(fs.remove(path, options)),
    rename: (from, to) => step(fs.rename(from, to)),
    stat: (path) => step(fs.stat(path)),
    open: (path, options) =>
      Effect.map(step(fs.open(path, options)), (file) => ({
        [FileSystem.FileTypeId]: FileSystem.FileTypeId,
        stat: step(file.stat),
        seek: (offset, from) => file.seek(offset, from),
        read: (buffer, options) => step(file.read(buffer, options)),
        readAlloc: (size, options) => file.readAlloc(size, options),
        truncate: (length) => file.truncate(length),
        write: (buffer) => file.write(buffer),
        sync: step(file.sync),
        writeAll: (bytes) => step(file.writeAll(bytes))
      }))
  })
}

describe("a disk that fails once", () => {
  const unsafe = "is written, but a power cut may undo it (a fault): see to the disk of the state folder"

  it.live("at any step of an edit: what is told is what was done, and the next edit works", () =>
    Effect.gen(function* () {
      const outcomes: Array<string> = []
      for (let nth = 0; nth < 22; nth++) {
        const outcome = yield* inFolder((folder) =>
          Effect.gen(function* () {
            const { accounts, fs, path } = yield* withAda(folder)
            const fault = { left: Infinity }
            const failing = AccountsFile.make(folder)
            const own = yield* Effect.provideService(failing, FileSystem.FileSystem, failsOnce(fs, fault))
            fault.left = nth
            const told = yield* Effect.match(own.put(ada, record(2), 1), {
              onSuccess: () => "done",
              onFailure: ({ message }) => (message === `'${path}' ${unsafe}` ? "unsafe" : "failed")
            })
            fault.left = Infinity
            const seen = yield* Effect.forEach([own, accounts], (each) => each.find(ada))
            const seeds = seen.map((found) => Redacted.value(found ?? record(0))[0])
            yield* own.put(bob, record(3), 2)
            assert.strictEqual((yield* accounts.list).length, 2)
            return `${told} ${seeds.join(" ")}`
          })
        )
        outcomes.push(outcome)
      }
      const times = (count: number, outcome: string) => Array.from({ length: count }, () => outcome)
      // Looks at the setup, which may be away; reads the accounts, and begins to write them. Whose they are the folder
      // tells as well. Then the rest of the writing, the sync of the folder, and the reading back.
      assert.deepStrictEqual(outcomes, [
        ...times(4, "done 2 2"),
        ...times(6, "failed 1 1"),
        "done 2 2",
        ...times(4, "failed 1 1"),
        ...times(2, "unsafe 2 2"),
        ...times(5, "done 2 2")
      ])
    })
  )
})

// -----------------------------------------------------------------------------
// Processes
// -----------------------------------------------------------------------------

const editor = join(import.meta.dirname, "accountsEditor.ts")

const runEditor = (...args: ReadonlyArray<string>) =>
  Effect.callback<number | null>((resume) => {
    const child = spawn(process.execPath, [editor, ...args], { stdio: "inherit" })
    child.on("exit", (code) => resume(Effect.succeed(code)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("two processes", () => {
  it.live("edit at once, and nothing is lost", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const codes = yield* Effect.all([runEditor(folder, "a", "10"), runEditor(folder, "b", "10")], {
          concurrency: 2
        })
        assert.deepStrictEqual(codes, [0, 0])
        const users = (yield* (yield* AccountsFile.make(folder)).list).map(({ user }) => String(user))
        const expected = ["a", "b"].flatMap((name) => Array.from({ length: 10 }, (_, index) => `${name}${index}`))
        assert.deepStrictEqual(users, expected)
      })
    )
  )
})
