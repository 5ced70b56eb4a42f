import nodeFs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema, Stream } from "effect"
import * as FolderNode from "../../../src/client/FolderNode.ts"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"
import * as FolderReaderNode from "../../../src/domain/store/FolderReaderNode.ts"

const temporary = Effect.acquireRelease(
  Effect.sync(() => nodeFs.mkdtempSync(join(tmpdir(), "paradrop-reader-"))),
  (folder) => Effect.sync(() => nodeFs.rmSync(folder, { recursive: true }))
)

const nameOf = (index: number) => `f${String(index).padStart(3, "0")}`
const all = (count: number) => Array.from({ length: count }, (_, index) => nameOf(index))

const fill = (folder: string, count: number) => {
  for (const name of all(count)) nodeFs.writeFileSync(join(folder, name), name)
}

/** An entry as Node makes it of what it saw: of another class. */
class Seen extends nodeFs.Dirent {}

const look = (path: string, name: string): nodeFs.Dirent => {
  const stats = nodeFs.lstatSync(`${path}/${name}`)
  const entry: nodeFs.Dirent = Object.create(
    stats.isFile() && name.startsWith("told") ? nodeFs.Dirent.prototype : Seen.prototype
  )
  return Object.assign(entry, {
    name,
    isFile: () => stats.isFile(),
    isDirectory: () => stats.isDirectory(),
    isSymbolicLink: () => stats.isSymbolicLink()
  })
}

/**
 * Folders as Node reads them where the file system does not tell kinds: so many entries at a time, each looked at by
 * the path that was given, and none of those when one look fails.
 */
const kindless = (path: string, { bufferSize }: { readonly bufferSize: number }) => {
  const names = nodeFs.readdirSync(path).toSorted()
  let read = 0
  const ready: Array<nodeFs.Dirent> = []
  return {
    readSync: () => {
      if (ready.length === 0) {
        // What is not there any more cannot be read on.
        nodeFs.statSync(path)
        const some = names.slice(read, read + bufferSize)
        read += some.length
        // Those before one that has vanished are kept, those behind it are lost.
        for (const name of some) ready.push(look(path, name))
      }
      return ready.shift() ?? null
    },
    closeSync: () => undefined
  }
}

/** While it runs, no file system tells kinds. */
const withoutKinds = Effect.acquireRelease(
  Effect.sync(() => {
    const { opendirSync } = nodeFs
    Reflect.set(nodeFs, "opendirSync", kindless)
    syncBuiltinESMExports()
    return opendirSync
  }),
  (opendirSync) =>
    Effect.sync(() => {
      Reflect.set(nodeFs, "opendirSync", opendirSync)
      syncBuiltinESMExports()
    })
)

const rest = ({ next }: FolderReaderNode.FolderReader): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let entry = next(); entry !== null; entry = next()) names.push(entry.name)
  return names
}

const Some = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 39 })))

describe("a folder's reader", () => {
  it.effect.prop(
    "leaves out what has vanished and nothing else, where kinds are not told",
    [Some, Some, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))],
    ([before, later, atOnce]) =>
      Effect.gen(function* () {
        const folder = yield* temporary
        yield* withoutKinds
        fill(folder, 40)
        const reader = FolderReaderNode.open(folder, atOnce)
        const remove = (which: ReadonlyArray<number>) => {
          for (const index of which) nodeFs.rmSync(join(folder, nameOf(index)), { force: true })
        }
        remove(before)
        const first = reader.next()
        remove(later)
        const names = [...(first === null ? [] : [first.name]), ...rest(reader)]
        reader.close()
        const gone = new Set([...before, ...later].map(nameOf))
        const there = all(40).filter((name) => !gone.has(name) || name === first?.name)
        assert.deepStrictEqual(names, there)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 30 } }
  )

  it.effect("gives all where kinds are told, and the end again and again", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      fill(folder, 40)
      const reader = FolderReaderNode.open(folder, 7)
      assert.deepStrictEqual(rest(reader).toSorted(), all(40))
      assert.isNull(reader.next())
      reader.close()
      const empty = FolderReaderNode.open(nodeFs.mkdtempSync(join(folder, "empty-")), 7)
      assert.isNull(empty.next())
      empty.close()
    }).pipe(Effect.scoped)
  )

  for (const at of [0, 3]) {
    it.effect(`says what else is wrong with an entry, behind ${at}`, () =>
      Effect.gen(function* () {
        const folder = yield* temporary
        yield* withoutKinds
        fill(folder, 5)
        const reader = FolderReaderNode.open(folder, 1)
        for (const name of all(at)) assert.strictEqual(reader.next()?.name, name)
        const { lstatSync } = nodeFs
        const denied = Object.assign(new Error("denied"), { code: "EACCES", syscall: "lstat" })
        Reflect.set(nodeFs, "lstatSync", () => {
          throw denied
        })
        const outcome = Result.try(() => reader.next())
        Reflect.set(nodeFs, "lstatSync", lstatSync)
        assert.deepStrictEqual(outcome, Result.fail(denied))
      }).pipe(Effect.scoped)
    )
  }

  it.effect("ends where the folder itself has vanished", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporary, "sub")
      nodeFs.mkdirSync(folder)
      yield* withoutKinds
      fill(folder, 3)
      const reader = FolderReaderNode.open(folder, 1)
      assert.strictEqual(reader.next()?.name, nameOf(0))
      nodeFs.rmSync(folder, { recursive: true })
      assert.throws(() => reader.next(), /ENOENT/)
    }).pipe(Effect.scoped)
  )

  it.effect("does not take a folder that has moved away for one whose entries are gone", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const folder = join(root, "sub")
      nodeFs.mkdirSync(folder)
      yield* withoutKinds
      fill(folder, 3)
      const reader = FolderReaderNode.open(folder, 8)
      assert.strictEqual(reader.next()?.name, nameOf(0))
      nodeFs.renameSync(folder, join(root, "moved"))
      nodeFs.mkdirSync(folder)
      assert.throws(() => reader.next(), "the folder has changed while it was read")
      nodeFs.rmdirSync(folder)
      assert.throws(() => reader.next(), /ENOENT/)
    }).pipe(Effect.scoped)
  )

  it.effect("loses none in silence where some kinds are told and some are not", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      yield* withoutKinds
      for (const name of ["told", "untold-1", "untold-2", "untold-3"]) nodeFs.writeFileSync(join(folder, name), "")
      const whole = FolderReaderNode.open(folder, 8)
      assert.deepStrictEqual(rest(whole), ["told", "untold-1", "untold-2", "untold-3"])
      const reader = FolderReaderNode.open(folder, 2)
      assert.strictEqual(reader.next()?.name, "told")
      nodeFs.rmSync(join(folder, "untold-2"))
      assert.strictEqual(reader.next()?.name, "untold-1")
      assert.throws(() => reader.next(), "the folder has changed while it was read")
    }).pipe(Effect.scoped)
  )

  it.effect("reads a store's folders and a client's where kinds are not told", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const folder = join(root, "sub", "deep")
      nodeFs.mkdirSync(join(folder, "down"), { recursive: true })
      fill(folder, 3)
      yield* withoutKinds
      const disk = yield* DiskNode.make(root)
      const listed = yield* Stream.runCollect(disk.list(["sub", "deep"]))
      const files = all(3).map((name) => ({ name, kind: "file" as const }))
      assert.deepStrictEqual(listed, [{ name: "down", kind: "folder" as const }, ...files])
      const local = yield* FolderNode.entries(folder, Effect.void)
      assert.deepStrictEqual(
        local.map((entry) => [entry.name, entry.isDirectory()]),
        [["down", true], ...all(3).map((name) => [name, false])]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a name that is no Unicode is not taken for the one that it looks like", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const at = (...bytes: ReadonlyArray<number>) => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(bytes)])
      const names = Effect.gen(function* () {
        const disk = yield* DiskNode.make(folder)
        const entries = yield* Stream.runCollect(disk.list([]))
        return entries.map(({ kind, name }) => `${kind} ${name}`).toSorted()
      }).pipe(Effect.scoped)
      for (const last of [0xe9, 0xff]) nodeFs.writeFileSync(at(0x61, last), "")
      assert.deepStrictEqual(yield* names, ["file a\udfff", "file a\udfff"])
      nodeFs.mkdirSync(at(0x61, 0xef, 0xbf, 0xbd))
      const looked = yield* names
      assert.strictEqual(looked.filter((name) => name.endsWith(" a\ufffd")).length, 1)
      assert.strictEqual(looked.filter((name) => name.endsWith(" a\udfff")).length, 2)
      const disk = yield* DiskNode.make(folder)
      assert.strictEqual((yield* Effect.flip(disk.stat(["a\udfff"]))).code, "EINVAL")
    })
  )
})
