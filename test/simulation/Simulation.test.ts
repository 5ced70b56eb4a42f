import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Result, Scope, Stream } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { Disk } from "../../src/domain/store/Disk.ts"
import type { FileStore } from "../../src/domain/store/FileStore.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import type { Accounts } from "../../src/domain/session/Accounts.ts"
import type { Grant } from "../../src/domain/session/Grant.ts"
import * as Schedule from "./Schedule.ts"
import * as Shrink from "./Shrink.ts"
import * as Simulation from "./Simulation.ts"
import type * as World from "./World.ts"

let shared: World.Shared

beforeAll(async () => {
  shared = await Effect.runPromise(Simulation.shared)
})

/** The seeds of every test run: of the first 150 those that meet most of what is rare, each twice where they can. */
const seeds = [
  9, 18, 26, 28, 31, 36, 44, 45, 46, 49, 59, 71, 73, 77, 85, 104, 113, 119, 125, 127, 128, 131, 132, 136, 148
]

const results = new Map<number, Simulation.Result>()

/** What comes of a seed, run once. */
const resultOf = (seed: number): Simulation.Result => {
  const result = results.get(seed) ?? Simulation.run(shared, Schedule.fromSeed(seed))
  results.set(seed, result)
  return result
}

/** The first of the fixed seeds that fails with a broken layer. */
const firstFailure = (broken: World.Broken): Simulation.Result | undefined => {
  for (const seed of seeds) {
    const result = Simulation.run(shared, Schedule.fromSeed(seed), broken)
    if (result.violations.length > 0) return result
  }
  return undefined
}

const noFileSync = (disk: Disk["Service"]): Disk["Service"] => ({
  ...disk,
  create: (path) => Effect.map(disk.create(path), (file) => ({ ...file, sync: Effect.void }))
})

/** Small files get their names before they are durable. */
const noBundleSync = (disk: Disk["Service"]): Disk["Service"] => ({
  ...disk,
  placeAll: (request) => disk.placeAll({ ...request, durable: request.durable && request.folder[0] === stagingFolder })
})

/** Says of a whole bundle that it is there, and leaves the last file out. */
const bundleSaid = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  placeAll: Effect.fnUntraced(function* (files, target) {
    const placed = yield* (store.placeAll ?? (() => Effect.succeed([])))(files.slice(0, -1), target)
    const left = files.slice(-1).map(({ digest, modified, name, parts }) => {
      return Result.succeed({ name, size: Bytes.lengthOf(parts), modified, digest })
    })
    return [...placed, ...left]
  })
})

const noFolderSync = (disk: Disk["Service"]): Disk["Service"] => ({ ...disk, syncFolder: () => Effect.void })

/** Acknowledges first, and takes a moment for the rest. */
const earlyAnswer = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  stage: Effect.fnUntraced(function* (request) {
    const scope = yield* Scope.make()
    const staging = yield* Scope.provide(store.stage(request), scope)
    return {
      ...staging,
      commit: ({ digest, size }) =>
        Effect.as(Effect.forkDetach(Effect.andThen(Effect.sleep(5), Effect.ignore(staging.commit({ digest, size })))), {
          name: request.name,
          size,
          modified: request.modified,
          digest
        })
    }
  })
})

/** Reads of a file never end in order: the file stays open. */
const leakedFile = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  open: (name) => Effect.flatMap(Scope.make(), (scope) => Scope.provide(store.open(name), scope))
})

/** The last byte that is read from a large file is another one. */
const wrongByte = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  open: (name) =>
    Effect.map(store.open(name), (file) => ({
      entry: file.entry,
      version: file.version,
      changed: file.changed,
      unchanged: file.unchanged,
      read: (offset, length) =>
        Effect.map(file.read(offset, length), (bytes) => {
          const last = bytes.length - 1
          return bytes.length < 1_000 ? bytes : bytes.with(last, (bytes[last] ?? 0) ^ 1)
        })
    }))
})

/** A commit that waits for something that never comes. */
const hangs = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  stage: (request) => Effect.map(store.stage(request), (staging) => ({ ...staging, commit: () => Effect.never }))
})

/** A commit that fails as no commit may. */
const defect = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  stage: (request) =>
    Effect.map(store.stage(request), (staging) => ({ ...staging, commit: () => Effect.die("broken on purpose") }))
})

/** Says that a file is gone, and keeps it. */
const removalSaid = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  remove: ({ name }) => store.stat(name)
})

/** Takes the old name away and never gives the new one. */
const renameForgets = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  rename: ({ name, to }) =>
    Effect.map(store.remove({ name }), (entry) => ({ from: entry.name, entry: { ...entry, name: to } }))
})

const unlimited = (grant: Grant): Grant => ({ ...grant, quota: {} })

/** One account sees what another has. */
const sameRoot = (grant: Grant): Grant =>
  grant.root === undefined ? grant : { ...grant, root: FileName.make(`${Schedule.rootMark}/ada`) }

/** What may be in the way of a name is everything. */
const listsAll = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  list: ({ folder } = {}) => store.list({ ...(folder && { folder }) })
})

/** Folders in capital letters are other folders. */
const listsOneSpelling = (store: FileStore["Service"]): FileStore["Service"] => ({
  ...store,
  list: (where = {}) =>
    Stream.filter(store.list(where), ({ name }) => where.alike === undefined || name.toLowerCase() === name)
})

/** Says that a password is another, and keeps the one before. */
const forgetsPasswords = (accounts: Accounts["Service"]): Accounts["Service"] => ({
  ...accounts,
  change: (user, change) => accounts.change(user, (before) => ({ ...change(before), record: before.record }))
})

/** Whoever had logged in with the password before is thrown out. */
const endsSessions = (accounts: Accounts["Service"]): Accounts["Service"] => {
  const changed = new Set<string>()
  return {
    ...accounts,
    change: (user, change) =>
      accounts.change(user, (before) => {
        const after = change(before)
        if (after.record !== before.record) changed.add(user)
        return after
      }),
    grants: Effect.map(accounts.grants, (known) => (user) => (changed.delete(user) ? undefined : known(user)))
  }
}

/** What is broken on purpose, and how the simulation says it. */
const mutants: ReadonlyArray<readonly [title: string, broken: World.Broken, says: RegExp]> = [
  ["a rename before the fsync of the content", { disk: noFileSync }, /that no client had sent/],
  ["a rename whose folder is never fsynced", { disk: noFolderSync }, /was acknowledged and is gone|were replaced by/],
  ["a bundle whose names come before the fsync", { disk: noBundleSync }, /no client had sent|acknowledged and is gone/],
  ["a bundle of which one file is only said to be there", { store: bundleSaid }, /acknowledged|replaced before/],
  ["an answer before the commit", { store: earlyAnswer }, /was acknowledged and is gone/],
  ["a file that is never closed", { store: leakedFile }, /files are open for nobody|left \d+ files open/],
  ["a byte that is read wrong", { store: wrongByte }, /which no client had sent/],
  ["a commit that never ends", { store: hangs }, /something hangs/],
  ["a defect in a commit", { store: defect }, /a defect/],
  ["a removal that is only said", { store: removalSaid }, /that were replaced by what was acknowledged/],
  ["a rename that loses the file", { store: renameForgets }, /is under neither name|is gone|were replaced by/],
  ["a quota that holds for nobody", { grant: unlimited }, /are held, and the quota is/],
  ["a folder that is everybody's root", { grant: sameRoot }, /no client had sent|which no client|is gone|without/],
  ["a listing of what is in nobody's way", { store: listsAll }, /which is in nobody's way/],
  ["a listing that knows one spelling", { store: listsOneSpelling }, /listed the files without/],
  ["a password that is only said to be another", { accounts: forgetsPasswords }, /which (does not hold|holds)/],
  ["a session that a new password ends", { accounts: endsSessions }, /a session was ended whose account may go on/],
  ["an audit log that is never fsynced", { auditDisk: noFileSync }, /times on record|the audit log cannot be read/]
]

const content = { lineage: 0, version: 7, size: 1_473_741, grows: false, modified: 1_000 }

const spellingCutAt = (operations: number): Schedule.Schedule => ({
  seed: 1,
  choices: 1,
  capacityBytes: 64_000_000,
  quota: undefined,
  roots: {},
  steps: [
    {
      action: { _tag: "Run", client: 0, command: { _tag: "Upload", name: "A", content } },
      pause: { milliseconds: 2_000 }
    },
    {
      action: { _tag: "Run", client: 0, command: { _tag: "Rename", name: "A", to: "a", replace: false } },
      pause: { turns: 0 }
    },
    { action: { _tag: "Crash", operations, milliseconds: 1_000, down: 10 }, pause: { turns: 0 } }
  ],
  links: [{ reads: {}, writes: {}, hangWhenCut: false }]
})

const small = (version: number, grows: boolean, modified: number) => ({
  lineage: 4,
  version,
  size: 598,
  grows,
  modified
})

const brokenRename: ReadonlyArray<Schedule.Action> = [
  { _tag: "Run", client: 0, command: { _tag: "Upload", name: "A", content: small(1, true, 1_000) } },
  { _tag: "Run", client: 2, command: { _tag: "Download", name: "A" } },
  { _tag: "DiskFault", operations: 32, code: "ENOSPC" },
  {
    _tag: "Run",
    client: 0,
    command: { _tag: "UploadBundle", files: [{ name: "A", content: small(9, false, 2_000) }] }
  },
  { _tag: "Run", client: 0, command: { _tag: "Rename", name: "A", to: "a", replace: true } }
]

const sameName = (operations: number): ReadonlyArray<Schedule.Action> => [
  { _tag: "Run", client: 1, command: { _tag: "Upload", name: "folder/b", content: small(1, false, 2_000) } },
  { _tag: "DiskFault", operations, code: "EIO" },
  {
    _tag: "Run",
    client: 2,
    command: { _tag: "UploadBundle", files: [{ name: "a", content: small(4, false, 2_000) }] }
  },
  { _tag: "Run", client: 1, command: { _tag: "Rename", name: "a", to: "a", replace: true } }
]

const spelt = (version: number, modified: number) => ({ lineage: 3, version, size: 2_157, grows: false, modified })

const speltMeanwhile: Schedule.Schedule["steps"] = [
  {
    action: { _tag: "Run", client: 0, command: { _tag: "Upload", name: "A", content: spelt(2, 1_000) } },
    pause: { turns: 0 }
  },
  {
    action: { _tag: "Run", client: 1, command: { _tag: "Rename", name: "a", to: "A", replace: true } },
    pause: { turns: 35 }
  },
  { action: { _tag: "Crash", operations: 8, milliseconds: 262, down: 31 }, pause: { turns: 0 } },
  {
    action: {
      _tag: "Run",
      client: 1,
      command: { _tag: "DownloadBundle", names: ["a", "folder/b", "folder/deep/c", "A", "folder/b"] }
    },
    pause: { turns: 0 }
  },
  {
    action: {
      _tag: "Run",
      client: 1,
      command: {
        _tag: "Upload",
        name: "a",
        content: { lineage: 1, version: 10, size: 20, grows: true, modified: 2_000 }
      }
    },
    pause: { milliseconds: 36 }
  },
  {
    action: {
      _tag: "Run",
      client: 0,
      command: { _tag: "Para", name: "a", content: spelt(3, 2_000), expect: undefined }
    },
    pause: { turns: 150 }
  },
  {
    action: { _tag: "Run", client: 0, command: { _tag: "Rename", name: "a", to: "a", replace: true } },
    pause: { turns: 0 }
  },
  { action: { _tag: "Run", client: 2, command: { _tag: "Download", name: "a" } }, pause: { turns: 2 } }
]

/** What the simulation has found wrong with the product, as small as it made it. */
const regressions: Record<string, Schedule.Schedule> = {
  "a client that waits for ever to say Hello, on a connection that takes nothing more": {
    seed: 1_460_294_847,
    choices: 1,
    capacityBytes: 64_000_000,
    quota: undefined,
    roots: {},
    steps: [
      { action: { _tag: "Run", client: 2, command: { _tag: "Upload", name: "a", content } }, pause: { turns: 0 } }
    ],
    links: [{ reads: {}, writes: { fragmentBytesMax: 125_674, cutAfterBytes: 1_465 }, hangWhenCut: true }]
  },
  "a client that waits for a record of which the connection has ended, and which was not yet among those to give up": {
    seed: 427_588_500,
    choices: 1,
    capacityBytes: 64_000_000,
    quota: undefined,
    roots: {},
    steps: [
      {
        action: { _tag: "Run", client: 0, command: { _tag: "Upload", name: "a", content } },
        pause: { turns: 0 }
      }
    ],
    links: [{ reads: {}, writes: { cutAfterBytes: 7_487 }, hangWhenCut: true }]
  },
  "two spellings of one name, when the disk is full as a rename takes the first away and that name is written again": {
    seed: 1_148_653_008,
    choices: 1,
    capacityBytes: 64_000_000,
    quota: { bytes: 332_155, files: 2 },
    roots: {},
    steps: brokenRename.map((action) => ({ action, pause: { turns: 0 } })),
    links: []
  },
  "a file that is not there while another session spells its name anew": {
    seed: 1_148_653_077,
    choices: 2,
    capacityBytes: 64_000_000,
    quota: undefined,
    roots: {},
    steps: speltMeanwhile,
    links: []
  },
  // One of them fails the fsync of the folder.
  ...Object.fromEntries(
    [10, 11, 12].map((operations) => [
      `a file that is renamed to its own name, when the disk failed at operation ${operations} as it came`,
      {
        seed: 1_368_020_124,
        choices: 1,
        capacityBytes: 64_000_000,
        quota: undefined,
        roots: {},
        steps: sameName(operations).map((action) => ({ action, pause: { milliseconds: 3_000 } })),
        links: []
      }
    ])
  ),
  // Four operations of the disk long, from the second name to the end of the first.
  ...Object.fromEntries(
    [14, 15, 16, 17].map((operations) => [
      `two spellings of one name, when the power goes at operation ${operations} of a rename from one to the other`,
      spellingCutAt(operations)
    ])
  )
}

describe("the simulation", () => {
  for (const seed of seeds) {
    it(`finds nothing wrong with seed ${seed}`, () => {
      const result = resultOf(seed)
      assert.deepStrictEqual(result.violations, [], result.trace.join("\n"))
    })
  }

  for (const [title, schedule] of Object.entries(regressions)) {
    it(`no longer finds ${title}`, () => {
      const result = Simulation.run(shared, schedule)
      assert.deepStrictEqual(result.violations, [], result.trace.join("\n"))
    })
  }

  it("meets with these seeds what it is for", () => {
    const seen = new Set(seeds.flatMap((seed) => Array.from(resultOf(seed).seen.keys())))
    assert.includeMembers(Array.from(seen), [
      "Remove, done",
      "Rename, done",
      "Upload, resumed",
      "Para, with copies",
      "taken-over",
      "two paras of one name at once",
      "quota-exceeded",
      "already-exists",
      "UploadBundle, done",
      "UploadBundle, a file name-collision",
      "UploadBundle, a file quota-exceeded",
      "DownloadBundle, done",
      "DownloadBundle, a file no-such-file",
      "a bundle and another write one name at once",
      "store-failed",
      "connection-lost",
      "the audit log read after a start",
      "FetchAlike, done",
      "FetchAlike, another spelling",
      "Passwd, done",
      "a password that was replaced is refused",
      "a login with what another session has set",
      "a session goes on when another has set its password"
    ])
  })

  it("does the same again with the same seed, and something else with another", () => {
    const hashes = () => [1, 2].map((seed) => Simulation.run(shared, Schedule.fromSeed(seed)).hash)
    const once = hashes()
    assert.deepStrictEqual(hashes(), once)
    assert.strictEqual(new Set(once).size, 2)
  })

  for (const [title, broken, says] of mutants) {
    it(`finds ${title}`, () => {
      const found = firstFailure(broken)
      assert.match(found?.violations.join("\n") ?? "nothing", says)
    })
  }

  it("makes a failing schedule small", () => {
    const broken = { disk: noFolderSync }
    const found = firstFailure(broken)
    assert.isDefined(found)
    if (found === undefined) return
    const fails = (schedule: Schedule.Schedule) => Simulation.run(shared, schedule, broken).violations.length > 0
    const { schedule } = Shrink.shrink(found.schedule, fails, 40)
    assert.isTrue(fails(schedule))
    assert.isAtMost(schedule.steps.length, 3, Schedule.show(schedule))
    assert.deepStrictEqual(schedule.links, [])
  })
})
