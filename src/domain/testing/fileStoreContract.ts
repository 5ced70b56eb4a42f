/**
 * What every `FileStore` layer keeps. Each case runs on an empty store of its own.
 */
import { Effect, Exit, Fiber, Result, Scope, Stream } from "effect"
import { mayRun } from "../file/FileEntry.ts"
import * as Bytes from "../Bytes.ts"
import { ContentDigest, Digest, digestOf } from "../file/Digest.ts"
import { FileName, segmentKey } from "../file/FileName.ts"
import { copiedBlockBytes, keptVersionBytesMax, resumeBytesMin } from "../limits.ts"
import { FileStore, type Staging, type Where } from "../store/FileStore.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import * as SmallFiles from "../store/SmallFiles.ts"
import { type ContractCase, equal, failure } from "./Contract.ts"
import { ContractBroken } from "./ContractBroken.ts"
import { bytes as random } from "./Fixture.ts"

const text = Bytes.fromUtf8
const named = (name: string): FileName => FileName.make(name)
const modified = 1_700_000_000_123

/** Stages the parts and commits them as they are. */
export const saveFile = Effect.fnUntraced(function* (name: FileName, parts: Bytes.Parts) {
  const store = yield* FileStore
  const digest = digestOf(yield* Digest, parts)
  const size = Bytes.lengthOf(parts)
  const staging = yield* store.stage({ name, size, modified })
  for (const part of parts) yield* staging.write([part])
  return yield* staging.commit({ size, digest })
}, Effect.scoped)

/** All bytes of a committed file, read in small steps. */
export const loadFile = Effect.fnUntraced(function* (name: FileName) {
  const store = yield* FileStore
  const file = yield* store.open(name)
  const parts: Array<Uint8Array> = []
  for (let offset = 0; offset < file.entry.size; offset += 1000) parts.push(yield* file.read(offset, 1000))
  yield* file.unchanged
  return Bytes.concat(parts)
}, Effect.scoped)

/** The names of all committed files, sorted. */
export const listNames = Effect.gen(function* () {
  const store = yield* FileStore
  const entries = yield* Stream.runCollect(store.list())
  return entries.map(({ name }) => String(name)).toSorted()
})

const save = (name: string, content: string) => saveFile(named(name), [text(content)])
const load = (name: string) => loadFile(named(name))

const tag = <A, E extends { readonly _tag: string }, R>(promise: string, effect: Effect.Effect<A, E, R>) =>
  Effect.map(failure(promise, effect), (error) => error._tag)

const found = <A, E extends { readonly _tag: string }, R>(promise: string, effect: Effect.Effect<A, E, R>) =>
  Effect.map(failure(promise, effect), (error) => ("found" in error ? error.found : error._tag))

const stageFor = Effect.fnUntraced(function* (name: string, content: string) {
  const store = yield* FileStore
  const bytes = text(content)
  const staging = yield* store.stage({ name: named(name), size: bytes.length, modified })
  const expected = { size: bytes.length, digest: digestOf(yield* Digest, [bytes]) }
  return { staging, bytes, expected }
})

const content: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "what is committed is read, statted and listed as it was given",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const entry = yield* saveFile(named("a.txt"), [text("one "), text(""), text("two")])
      const digest = digestOf(yield* Digest, [text("one two")])
      yield* equal("commit's entry", entry, { name: named("a.txt"), size: 7, modified, digest })
      const { digest: _, ...stat } = yield* store.stat(named("a.txt"))
      yield* equal("stat", stat, { name: named("a.txt"), size: 7, modified })
      const opened = yield* Effect.scoped(Effect.map(store.open(named("a.txt")), (file) => file.entry))
      for (const told of [opened, ...(yield* Stream.runCollect(store.list()))])
        yield* equal("open and listing", [told.name, told.size, told.modified], [named("a.txt"), 7, modified])
      yield* equal("content", yield* load("a.txt"), text("one two"))
      yield* equal("listing", yield* listNames, ["a.txt"])
    })
  },
  {
    name: "a file may be run when it was declared so, and no longer when what replaces it was not",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const put = Effect.fnUntraced(function* (executable: boolean) {
        const request = { name: named("a"), size: 3, modified, ...mayRun(executable) }
        const staging = yield* store.stage(request)
        yield* staging.write([text("one")])
        return yield* staging.commit({ size: 3, digest: digestOf(yield* Digest, [text("one")]) })
      }, Effect.scoped)
      const found = Effect.gen(function* () {
        const listed = yield* Stream.runCollect(store.list())
        const open = yield* Effect.scoped(Effect.map(store.open(listed[0]?.name ?? named("a")), ({ entry }) => entry))
        return [(yield* store.stat(open.name)).executable, open.executable, ...listed.map((one) => one.executable)]
      })
      yield* equal("commit's entry", (yield* put(true)).executable, true)
      yield* equal("everywhere", yield* found, [true, true, true])
      yield* store.rename({ name: named("a"), to: named("b/c"), replace: false })
      yield* equal("renamed", yield* found, [true, true, true])
      yield* store.rename({ name: named("b/c"), to: named("a"), replace: false })
      yield* equal("replaced", (yield* put(false)).executable, undefined)
      yield* equal("everywhere", yield* found, [undefined, undefined, undefined])
    })
  },
  {
    name: "a digest that is told of a file is that of its content, wherever it is told",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const told = Effect.gen(function* () {
        const [listed] = yield* Stream.runCollect(store.list())
        const open = yield* Effect.scoped(Effect.map(store.open(named("a")), ({ entry }) => entry))
        return [(yield* store.stat(named("a"))).digest, open.digest, listed?.digest]
      })
      // The second is as long as the first, and as old.
      for (const content of ["one", "two"]) {
        yield* save("a", content)
        const digest = digestOf(yield* Digest, [text(content)])
        // A store may say nothing of it.
        const digests = yield* told
        const expected = digests.map((one) => one && digest)
        yield* equal("of stat, open and listing", digests, expected)
      }
      const [one, two] = [digestOf(yield* Digest, [text("one")]), digestOf(yield* Digest, [text("two")])]
      yield* save("b", "one")
      const { entry, replaced } = yield* rename("a", "b", true)
      yield* equal("renamed", entry.digest, entry.digest && two)
      yield* equal("replaced", replaced?.digest, replaced?.digest && one)
      const removed = yield* remove("b")
      yield* equal("removed", removed.digest, removed.digest && two)
    })
  },
  {
    name: "content of any length is kept to its last byte",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      // Where blocks and buffers usually end, and a byte to either side.
      const lengths = Array.from({ length: 18 }, (_, power) => [2 ** power - 1, 2 ** power, 2 ** power + 1]).flat()
      for (const length of new Set(lengths)) {
        const content = random(length, length)
        yield* saveFile(named("a"), [content])
        const [listed] = yield* Stream.runCollect(store.list())
        const whole = yield* Effect.scoped(
          Effect.flatMap(store.open(named("a")), ({ entry, read }) =>
            Effect.map(read(0, length + 1), (bytes) => [entry.size, bytes.length, Bytes.equals(bytes, content)])
          )
        )
        const sizes = [(yield* store.stat(named("a"))).size, listed?.size]
        yield* equal(`${length} bytes`, [...sizes, ...whole], [length, length, length, length, true])
      }
    })
  },
  {
    name: "an empty file is a file",
    effect: Effect.gen(function* () {
      yield* saveFile(named("empty"), [])
      yield* equal("content", yield* load("empty"), text(""))
      yield* equal("listing", yield* listNames, ["empty"])
    })
  },
  {
    name: "reads are by position, short at the end only, and belong to the reader",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("a", "0123456789")
      const file = yield* store.open(named("a"))
      yield* equal("a middle", yield* file.read(3, 4), text("3456"))
      yield* equal("short at the end", yield* file.read(8, 100), text("89"))
      yield* equal("empty at the end", yield* file.read(10, 1), text(""))
      yield* equal("empty behind it", yield* file.read(1000, 1), text(""))
      const bytes = yield* file.read(0, 10)
      bytes.fill(0)
      yield* equal("unspoilt", yield* file.read(0, 10), text("0123456789"))
      yield* file.unchanged
    }).pipe(Effect.scoped)
  },
  {
    name: "a read gives all that is asked for, however much that is",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const content = random(1, 2 * copiedBlockBytes + 7)
      yield* saveFile(named("a"), [content])
      const file = yield* store.open(named("a"))
      const wanted = content.subarray(3, 3 + 2 * copiedBlockBytes)
      const whole = yield* file.read(3, wanted.length)
      yield* equal("bytes of read", whole.length, wanted.length)
      yield* equal("they are those", Bytes.equals(whole, wanted), true)
      if (file.readInto === undefined) return
      const target = new Uint8Array(wanted.length)
      yield* equal("bytes of readInto", yield* file.readInto(3, target), wanted.length)
      yield* equal("those are in the buffer", Bytes.equals(target, wanted), true)
    }).pipe(Effect.scoped)
  },
  {
    name: "the writer may change its bytes after the write",
    effect: Effect.gen(function* () {
      const { bytes, expected, staging } = yield* stageFor("a", "content")
      yield* staging.write([bytes])
      bytes.fill(0)
      yield* staging.commit(expected)
      yield* equal("content", yield* load("a"), text("content"))
    }).pipe(Effect.scoped)
  },
  {
    name: "a file that is replaced while it is open reads on as it was",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("a", "old content")
      const file = yield* store.open(named("a"))
      yield* equal("before", yield* file.read(0, 3), text("old"))
      yield* save("a", "new")
      yield* equal("after", yield* file.read(4, 100), text("content"))
      yield* file.unchanged
      yield* equal("who opens now", yield* load("a"), text("new"))
    }).pipe(Effect.scoped)
  },
  {
    name: "listing walks folders and tells every file once",
    effect: Effect.gen(function* () {
      const names = Array.from({ length: 40 }, (_, index) => `f${index % 4}/g${index % 3}/file ${index}`)
      yield* Effect.forEach(names, (name) => save(name, name), { concurrency: 4 })
      yield* save("top", "x")
      yield* equal("listing", yield* listNames, [...names, "top"].toSorted())
      const store = yield* FileStore
      yield* equal("the first page alone", (yield* Stream.runCollect(Stream.take(store.list(), 3))).length, 3)
    })
  },
  {
    name: "a listing can be narrowed to a folder, and to what is spelt alike at its outermost",
    effect: Effect.gen(function* () {
      const names = ["Docs/a", "docs2/b", "other/docs/c", "other/DOCS2", "other/x/docs/d", "x"]
      yield* Effect.forEach(names, (name) => save(name, name))
      const store = yield* FileStore
      const namesOf = (entries: ReadonlyArray<{ readonly name: string }>) =>
        entries.map(({ name }) => String(name)).toSorted()
      const alike = (...parts: ReadonlyArray<string>) => new Set(parts.map(segmentKey))
      const among = Effect.fnUntraced(function* (...parts: ReadonlyArray<string>) {
        return namesOf(yield* Stream.runCollect(store.list({ alike: alike(...parts) })))
      })
      yield* equal("alike", yield* among("dOCS", "x"), ["Docs/a", "x"])
      yield* equal("alike to nothing", yield* among("doc"), [])
      const inside = (where: Where) => Effect.map(Stream.runCollect(store.list(where)), namesOf)
      const folder = named("other")
      yield* equal("in a folder", yield* inside({ folder }), ["other/DOCS2", "other/docs/c", "other/x/docs/d"])
      yield* equal("in another spelling", yield* inside({ folder: named("Other") }), [])
      yield* equal("alike in a folder", yield* inside({ folder, alike: alike("DOCS") }), ["other/docs/c"])
    })
  }
]

const names: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "bytes of a name are kept as given",
    effect: Effect.gen(function* () {
      const given = ["with space and ünïcode", "e\u0301 decomposed", "日本/ファイル.txt", "…/-rf", "~", "%2e%2e"]
      yield* Effect.forEach(given, (name) => save(name, name))
      yield* equal("listing", yield* listNames, [...given].toSorted())
      yield* Effect.forEach(given, (name) => Effect.flatMap(load(name), (bytes) => equal("content", bytes, text(name))))
    })
  },
  {
    name: "reading finds the one name that is equal under NFC and case folding, part by part",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("Docs/Stra\u00dfe \u00e9.TXT", "x")
      const asked = named("DOCS/strasse E\u0301.txt")
      yield* equal(
        "stat gives the name as it is spelt",
        (yield* store.stat(asked)).name,
        named("Docs/Stra\u00dfe \u00e9.TXT")
      )
      const file = yield* store.open(asked)
      yield* equal("so does open", file.entry.name, named("Docs/Stra\u00dfe \u00e9.TXT"))
      yield* equal("its content", yield* file.read(0, 9), text("x"))
    }).pipe(Effect.scoped)
  },
  {
    name: "staging refuses a name that differs only in spelling, folders included",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("docs/a", "x")
      yield* save("B", "x")
      const stage = (name: string) => Effect.scoped(store.stage({ name: named(name), size: 0, modified }))
      const error = yield* failure("Docs/a collides", stage("Docs/a"))
      yield* equal("which", error._tag === "NameCollision" ? error.existing : error._tag, "docs")
      yield* equal("a folder's spelling", yield* tag("collision", stage("DOCS/other")), "NameCollision")
      yield* equal("a file's spelling", yield* tag("collision", stage("docs/A")), "NameCollision")
      yield* equal("a file and a folder", yield* tag("collision", stage("b/c")), "NameCollision")
      yield* stage("docs/a")
      yield* equal("nothing came of it", yield* listNames, ["B", "docs/a"])
    })
  },
  {
    name: "of two first uploads that differ only in spelling one fails at commit",
    effect: Effect.gen(function* () {
      for (const [first, second] of [
        ["a", "A"],
        ["Folder/x", "folder/y"]
      ] as const) {
        const one = yield* stageFor(first, "one")
        const two = yield* stageFor(second, "two")
        yield* one.staging.write([one.bytes])
        yield* two.staging.write([two.bytes])
        yield* one.staging.commit(one.expected)
        yield* equal("the second", yield* tag("collision", two.staging.commit(two.expected)), "NameCollision")
      }
      yield* equal("listing", yield* listNames, ["Folder/x", "a"])
    }).pipe(Effect.scoped)
  },
  {
    name: "what is not there is NoSuchFile",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("f/a", "x")
      for (const name of ["b", "f/b", "g/a", "x".repeat(255)]) {
        yield* equal("stat", yield* tag(name, store.stat(named(name))), "NoSuchFile")
        yield* equal("open", yield* tag(name, Effect.scoped(store.open(named(name)))), "NoSuchFile")
      }
    })
  },
  {
    name: "a folder is not a file, and a file is not a folder",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("f/a", "x")
      const stage = (name: string) => Effect.scoped(store.stage({ name: named(name), size: 0, modified }))
      yield* equal("stat", yield* found("folder", store.stat(named("f"))), "folder")
      yield* equal("open", yield* found("folder", Effect.scoped(store.open(named("f")))), "folder")
      yield* equal("stage", yield* found("folder", stage("f")), "folder")
      yield* equal("stat below", yield* found("file", store.stat(named("f/a/b"))), "file-as-folder")
      yield* equal("open below", yield* found("file", Effect.scoped(store.open(named("f/a/b")))), "file-as-folder")
      yield* equal("stage below", yield* found("file", stage("f/a/b")), "file-as-folder")
    })
  },
  {
    name: "a name that became a folder meanwhile fails the commit",
    effect: Effect.gen(function* () {
      const { bytes, expected, staging } = yield* stageFor("f", "late")
      yield* staging.write([bytes])
      yield* save("f/a", "first")
      yield* equal("commit", yield* found("folder", staging.commit(expected)), "folder")
      yield* equal("listing", yield* listNames, ["f/a"])
    }).pipe(Effect.scoped)
  }
]

const staging: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "staged content is invisible until the commit, and nothing is left without one",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("a", "old")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const a = yield* stageFor("a", "new")
          const b = yield* stageFor("b/c", "new")
          yield* a.staging.write([a.bytes])
          yield* b.staging.write([b.bytes])
          yield* equal("listing meanwhile", yield* listNames, ["a"])
          yield* equal("content meanwhile", yield* load("a"), text("old"))
          yield* equal("b", yield* tag("absent", store.stat(named("b/c"))), "NoSuchFile")
        })
      )
      yield* equal("listing", yield* listNames, ["a"])
      yield* equal("content", yield* load("a"), text("old"))
    })
  },
  {
    name: "more than declared is refused before it is written",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("a", "old")
      const staging = yield* store.stage({ name: named("a"), size: 5, modified })
      yield* staging.write([text("123")])
      const error = yield* failure("too much", staging.write([text("45"), text("6")]))
      yield* equal("which", error._tag === "SizeMismatch" ? [error.declared, error.received] : [], [5, 6])
      const digest = digestOf(yield* Digest, [text("123")])
      yield* failure("the staging is over", staging.write([text("45")]))
      yield* failure("the staging is over", staging.commit({ size: 3, digest }))
      yield* equal("content", yield* load("a"), text("old"))
    }).pipe(Effect.scoped)
  },
  {
    name: "commit refuses less than declared, another size and another digest, and changes nothing",
    effect: Effect.gen(function* () {
      yield* save("a", "old")
      const short = yield* stageFor("a", "12345")
      yield* short.staging.write([text("123")])
      yield* equal("short", yield* tag("size", short.staging.commit(short.expected)), "SizeMismatch")
      const other = yield* stageFor("a", "12345")
      yield* other.staging.write([other.bytes])
      yield* equal("other", yield* tag("size", other.staging.commit({ ...other.expected, size: 4 })), "SizeMismatch")
      const wrong = yield* stageFor("a", "12345")
      yield* wrong.staging.write([wrong.bytes])
      const digest = ContentDigest.make("0".repeat(64))
      yield* equal("wrong", yield* tag("digest", wrong.staging.commit({ size: 5, digest })), "DigestMismatch")
      yield* equal("content", yield* load("a"), text("old"))
      yield* equal("listing", yield* listNames, ["a"])
    }).pipe(Effect.scoped)
  },
  {
    name: "a size for which there is no space is refused at once",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const size = Number.MAX_SAFE_INTEGER
      const huge = Effect.scoped(
        Effect.andThen(
          store.stage({ name: named("a"), size: 1, modified }),
          store.stage({ name: named("b"), size, modified })
        )
      )
      yield* equal("no space", yield* tag("too much", huge), "NoSpace")
      yield* save("c", "there is space for this")
    })
  },
  {
    name: "several stagings of one name are independent; the last commit stands, whole",
    effect: Effect.gen(function* () {
      const one = yield* stageFor("f/a", "one one one")
      const two = yield* stageFor("f/a", "two")
      yield* one.staging.write([one.bytes.subarray(0, 4)])
      yield* two.staging.write([two.bytes])
      yield* two.staging.commit(two.expected)
      yield* equal("the first to commit", yield* load("f/a"), text("two"))
      yield* one.staging.write([one.bytes.subarray(4)])
      yield* one.staging.commit(one.expected)
      yield* equal("the last to commit", yield* load("f/a"), text("one one one"))
    }).pipe(Effect.scoped)
  },
  {
    name: "racing commits of one name leave one of them, whole, and readers see whole files only",
    effect: Effect.gen(function* () {
      const versions = Array.from({ length: 8 }, (_, index) => String(index).repeat(3000 + index))
      const whole = new Set(versions)
      yield* save("a", versions[0] ?? "")
      const reader = yield* load("a").pipe(
        Effect.flatMap((bytes) => {
          const seen = new TextDecoder().decode(bytes)
          return whole.has(seen)
            ? Effect.void
            : Effect.fail(new ContractBroken({ expected: "a whole file", actual: seen }))
        }),
        Effect.repeat({ times: 20 }),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.forEach(versions, (version) => save("a", version), { concurrency: "unbounded" })
      yield* Fiber.join(reader)
      const last = new TextDecoder().decode(yield* load("a"))
      yield* equal("one of them", whole.has(last), true)
      yield* equal("listing", yield* listNames, ["a"])
    })
  },
  {
    name: "an interrupted staging leaves nothing behind",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const scope = yield* Scope.make()
      const staging = yield* Scope.provide(store.stage({ name: named("a"), size: 2_000_000, modified }), scope)
      const writer = yield* staging
        .write([new Uint8Array(1000)])
        .pipe(Effect.repeat({ times: 1000 }), Effect.forkChild({ startImmediately: true }))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(writer)
      yield* Scope.close(scope, Exit.void)
      yield* failure("the staging is over", staging.write([new Uint8Array(1)]))
      yield* equal("listing", yield* listNames, [])
    })
  }
]

const key = (name: string): string => Bytes.fromUtf8(name).toHex().padEnd(32, "0")

/** Stages content under a key up to a place; the scope of the staging is the caller's. */
const stageKeyed = Effect.fnUntraced(function* (
  content: Uint8Array,
  id: string,
  upTo: number,
  executable: boolean = false
) {
  const store = yield* FileStore
  const request = { name: named("a"), size: content.length, modified, ...mayRun(executable) }
  const staging = yield* store.stage({ ...request, resume: key(id) })
  const { resumed } = staging
  for (let at = resumed; at < upTo; at += 300_000) {
    yield* staging.write([content.subarray(at, Math.min(at + 300_000, upTo))])
  }
  const expected = { size: content.length, digest: digestOf(yield* Digest, [content]) }
  return { staging, resumed, expected }
})

const leave = (content: Uint8Array, id: string, upTo: number) => Effect.scoped(stageKeyed(content, id, upTo))

/** What the next staging of the key would go on behind. */
const resumedOf = (content: Uint8Array, id: string) => Effect.map(leave(content, id, 0), ({ resumed }) => resumed)

const resume: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "what was staged under a key is gone on with under that key alone, when it is worth it",
    effect: Effect.gen(function* () {
      const content = random(1, resumeBytesMin + 700_001)
      yield* leave(content, "small", resumeBytesMin - 1)
      yield* equal("too small to keep", yield* resumedOf(content, "small"), 0)
      yield* leave(content, "one", resumeBytesMin)
      yield* equal("another key", yield* resumedOf(content, "two"), 0)
      yield* equal("the least that is kept", yield* resumedOf(content, "one"), resumeBytesMin)
      yield* equal("looking changes nothing", yield* resumedOf(content, "one"), resumeBytesMin)
      yield* leave(content, "one", resumeBytesMin + 123)
      yield* equal("listing", yield* listNames, [])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { expected, resumed, staging } = yield* stageKeyed(content, "one", content.length)
          yield* equal("resumed", resumed, resumeBytesMin + 123)
          const entry = yield* staging.commit(expected)
          yield* equal("the digest of all of it", entry.digest, expected.digest)
        })
      )
      yield* equal("content", yield* load("a"), content)
      yield* equal("after the commit nothing is left", yield* resumedOf(content, "one"), 0)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { staging } = yield* stageKeyed(content, "one", resumeBytesMin + 5)
          yield* staging.drop
          yield* failure("the staging is over", staging.write([new Uint8Array(1)]))
        })
      )
      yield* equal("what was dropped is not kept", yield* resumedOf(content, "one"), 0)
      yield* leave(content, "one", resumeBytesMin + 5)
      yield* Effect.scoped(Effect.flatMap(stageKeyed(content, "one", 0), ({ staging }) => staging.drop))
      yield* equal("nor what an earlier one had left", yield* resumedOf(content, "one"), 0)
    })
  },
  {
    name: "what is left is longer than the source: it is not gone on with",
    effect: Effect.gen(function* () {
      const content = random(2, resumeBytesMin + 10)
      yield* leave(content, "one", content.length)
      const shorter = content.subarray(0, resumeBytesMin)
      const { expected, resumed, staging } = yield* stageKeyed(shorter, "one", shorter.length)
      yield* equal("resumed", resumed, 0)
      yield* staging.commit(expected)
      yield* equal("content", yield* load("a"), shorter.slice())
    }).pipe(Effect.scoped)
  },
  {
    name: "of two stagings with one key the newer goes on and the older fails with TakenOver",
    effect: Effect.gen(function* () {
      const content = random(3, resumeBytesMin + 500_000)
      const older = yield* stageKeyed(content, "one", resumeBytesMin + 7)
      const whole = yield* stageKeyed(content, "two", content.length)
      const newer = yield* stageKeyed(content, "one", 0)
      yield* equal("taken over", newer.resumed, resumeBytesMin + 7)
      yield* equal("write", yield* tag("over", older.staging.write([Uint8Array.of(1)])), "TakenOver")
      yield* equal("commit", yield* tag("over", older.staging.commit(older.expected)), "TakenOver")
      const again = yield* stageKeyed(content, "two", 0)
      yield* equal("all of it", again.resumed, content.length)
      yield* equal("commit at once", yield* tag("over", whole.staging.commit(whole.expected)), "TakenOver")
      yield* equal("nothing was committed", yield* listNames, [])
      yield* newer.staging.write([content.subarray(newer.resumed)])
      yield* newer.staging.commit(newer.expected)
      yield* equal("content", yield* load("a"), content)
      yield* again.staging.commit(again.expected)
      yield* equal("content", yield* load("a"), content)
    }).pipe(Effect.scoped)
  },
  {
    name: "of many stagings with one key at once exactly one goes on",
    effect: Effect.gen(function* () {
      const content = random(4, resumeBytesMin + 300_000)
      const first = yield* stageKeyed(content, "one", resumeBytesMin)
      const others = yield* Effect.all(
        Array.from({ length: 4 }, () => stageKeyed(content, "one", 0)),
        { concurrency: "unbounded" }
      )
      for (const { resumed } of others) yield* equal("resumed", resumed, resumeBytesMin)
      const ends = yield* Effect.forEach(
        [first, ...others],
        ({ expected, staging }) =>
          staging
            .write([content.subarray(resumeBytesMin)])
            .pipe(
              Effect.andThen(staging.commit(expected)),
              Effect.match({ onFailure: (error) => error._tag, onSuccess: () => "committed" })
            ),
        { concurrency: "unbounded" }
      )
      yield* equal("ends", ends.toSorted(), ["TakenOver", "TakenOver", "TakenOver", "TakenOver", "committed"])
      yield* equal("content", yield* load("a"), content)
    }).pipe(Effect.scoped)
  },
  {
    name: "content that is wrong at the commit is dropped, what was resumed included",
    effect: Effect.gen(function* () {
      const content = random(5, resumeBytesMin + 300_000)
      const wrong = content.slice()
      wrong[17] = (content[17] ?? 0) ^ 1
      yield* save("a", "old")
      yield* leave(wrong, "one", resumeBytesMin + 5)
      const { expected, resumed, staging } = yield* stageKeyed(content, "one", content.length)
      yield* equal("the wrong beginning", resumed, resumeBytesMin + 5)
      yield* equal("found at the end", yield* tag("digest", staging.commit(expected)), "DigestMismatch")
      yield* equal("at once", yield* resumedOf(content, "one"), 0)
      yield* equal("the old content", yield* load("a"), text("old"))
    }).pipe(Effect.scoped)
  },
  {
    name: "what was to be run when its commit failed is not when it is gone on with as a file that is not",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const content = random(6, resumeBytesMin + 10)
      yield* save("a", "old")
      for (const executable of [true, false, true]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { expected, staging } = yield* stageKeyed(content, "one", content.length, !executable)
            const commit = staging.commit({ ...expected, replaces: "another" })
            yield* equal("the commit that failed", yield* tag("conflict", commit), "BaseChanged")
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { expected, resumed, staging } = yield* stageKeyed(content, "one", 0, executable)
            yield* equal("resumed", resumed, content.length)
            const entry = yield* staging.commit(expected)
            yield* equal("commit's entry", entry.executable, mayRun(executable).executable)
          })
        )
        yield* equal("found", (yield* store.stat(named("a"))).executable, mayRun(executable).executable)
      }
    })
  },
  {
    name: "a staging that ends while the next one of its key begins takes nothing from it",
    effect: Effect.gen(function* () {
      const content = random(6, resumeBytesMin + 10)
      for (let steps = 0; steps < 8; steps += 1) {
        const scope = yield* Scope.make()
        yield* Scope.provide(stageKeyed(content, "one", 10), scope)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        for (let step = 0; step < steps; step += 1) yield* Effect.yieldNow
        const next = yield* stageKeyed(content, "one", content.length)
        yield* Fiber.join(closing)
        yield* next.staging.commit(next.expected)
        yield* equal("content", yield* load("a"), content)
      }
    }).pipe(Effect.scoped)
  }
]

const versions: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "a copy appends a range of an open file, as it was opened",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const base = random(7, 3_000_000)
      yield* saveFile(named("base"), [base])
      const from = yield* store.open(named("base"))
      yield* save("base", "replaced meanwhile")
      const want = Bytes.concat([
        base.subarray(2_000_000),
        text("new"),
        base.subarray(5, 1_200_005),
        base.subarray(0, 1)
      ])
      const staging = yield* store.stage({ name: named("a"), size: want.length, modified })
      yield* staging.copy(from, 2_000_000, 1_000_000)
      yield* staging.write([text("new")])
      yield* staging.copy(from, 5, 1_200_000)
      yield* staging.copy(from, 0, 1)
      yield* staging.commit({ size: want.length, digest: digestOf(yield* Digest, [want]) })
      yield* equal("content", yield* load("a"), want)
    }).pipe(Effect.scoped)
  },
  {
    name: "a copy of any length appends just that range, and tells where the file ends before it",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const base = random(11, copiedBlockBytes + 12_345)
      yield* saveFile(named("base"), [base])
      const from = yield* store.open(named("base"))
      const ranges = [
        [7, base.length - 7],
        [12_345, copiedBlockBytes]
      ] as const
      const want = Bytes.concat(ranges.map(([offset, length]) => base.subarray(offset, offset + length)))
      const staging = yield* store.stage({ name: named("a"), size: want.length, modified })
      for (const [offset, length] of ranges) yield* staging.copy(from, offset, length)
      yield* staging.commit({ size: want.length, digest: digestOf(yield* Digest, [want]) })
      yield* equal("content", yield* load("a"), want)
      for (const offset of [8, base.length - 1, base.length]) {
        const beyond = yield* store.stage({ name: named("b"), size: base.length, modified })
        yield* equal(`from ${offset}`, yield* tag("copy", beyond.copy(from, offset, base.length)), "SourceChanged")
      }
      const small = yield* store.stage({ name: named("b"), size: copiedBlockBytes, modified })
      yield* equal("too much", yield* tag("copy", small.copy(from, 0, copiedBlockBytes + 1)), "SizeMismatch")
    }).pipe(Effect.scoped)
  },
  {
    name: "a copy of what is not there is SourceChanged, and one beyond the declared size SizeMismatch",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("base", "0123456789")
      const from = yield* store.open(named("base"))
      const stage = store.stage({ name: named("a"), size: 5, modified })
      const digest = digestOf(yield* Digest, [text("0123")])
      for (const [offset, length, expected] of [
        [8, 3, "SourceChanged"],
        [11, 1, "SourceChanged"],
        [0, 6, "SizeMismatch"]
      ] as const) {
        const staging = yield* stage
        yield* equal(`${offset}+${length}`, yield* tag("copy", staging.copy(from, offset, length)), expected)
        yield* failure("the staging is over", staging.commit({ size: 4, digest }))
      }
      yield* equal("listing", yield* listNames, ["base"])
    }).pipe(Effect.scoped)
  },
  {
    name: "a commit that names the version it replaces fails with BaseChanged when the file is another",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const versionOf = Effect.map(Effect.scoped(store.open(named("a"))), ({ version }) => version)
      yield* save("a", "one")
      const first = yield* versionOf
      const replace = Effect.fnUntraced(function* (name: string, replaces: string) {
        const { bytes, expected, staging } = yield* stageFor(name, "mine")
        yield* staging.write([bytes])
        return yield* staging.commit({ ...expected, replaces })
      }, Effect.scoped)
      yield* save("a", "two")
      yield* equal("changed", yield* tag("base", replace("a", first)), "BaseChanged")
      yield* equal("absent", yield* tag("base", replace("b", first)), "BaseChanged")
      yield* equal("content", yield* load("a"), text("two"))
      yield* equal("listing", yield* listNames, ["a"])
      yield* replace("a", yield* versionOf)
      yield* equal("content", yield* load("a"), text("mine"))
    })
  },
  {
    name: "a staging that demands an absent or a present file fails, at start and at commit, when that is not so",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const mine = text("mine")
      const digest = digestOf(yield* Digest, [mine])
      const size = mine.length
      const begin = (name: string, target: "absent" | "present") =>
        store.stage({ name: named(name), size, modified: 0, target })
      const finish = Effect.fnUntraced(function* (staging: Staging) {
        yield* staging.write([mine])
        yield* staging.commit({ size, digest })
      })
      yield* save("there", "old")
      yield* equal("absent, at the start", yield* tag("stage", Effect.scoped(begin("there", "absent"))), "FileExists")
      yield* equal("present, at the start", yield* tag("stage", Effect.scoped(begin("new", "present"))), "NoSuchFile")
      // Of two that both found nothing, one makes the file.
      const [first, second] = [yield* begin("new", "absent"), yield* begin("new", "absent")]
      yield* finish(first)
      yield* equal("absent, at the commit", yield* tag("commit", finish(second)), "FileExists")
      yield* equal("content", yield* load("new"), mine)
      yield* finish(yield* begin("there", "present"))
      yield* equal("content", yield* load("there"), mine)
      yield* equal("listing", yield* listNames, ["new", "there"])
    }).pipe(Effect.scoped)
  },
  {
    name: "every commit makes another version, and an open file keeps its own",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const seen = new Set<string>()
      for (let round = 0; round < 4; round += 1) {
        yield* save("a", "the same")
        const file = yield* store.open(named("a"))
        yield* equal("while it stands", (yield* store.open(named("a"))).version, file.version)
        yield* equal("text", Bytes.fromUtf8(file.version).length <= keptVersionBytesMax, true)
        seen.add(file.version)
      }
      yield* equal("versions", seen.size, 4)
    }).pipe(Effect.scoped)
  },
  {
    name: "reading into a buffer gives what reading gives",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const content = random(8, 5_000)
      yield* saveFile(named("a"), [content])
      const file = yield* store.open(named("a"))
      for (const [offset, length] of [
        [0, 5_000],
        [17, 100],
        [4_990, 100],
        [5_000, 10],
        [9_000, 10],
        [3, 0]
      ] as const) {
        const target = new Uint8Array(length)
        const got = yield* ReadWindow.fill(file, offset, target)
        yield* equal(`${offset}+${length}`, got.slice(), yield* file.read(offset, length))
      }
    }).pipe(Effect.scoped)
  }
]

const remove = (name: string, version?: string) =>
  Effect.flatMap(FileStore, (store) => store.remove({ name: named(name), ...(version !== undefined && { version }) }))

const rename = (name: string, to: string, replace = false) =>
  Effect.flatMap(FileStore, (store) => store.rename({ name: named(name), to: named(to), replace }))

const versionOf = (name: string) =>
  Effect.flatMap(FileStore, (store) => Effect.map(Effect.scoped(store.open(named(name))), (file) => file.version))

const changes: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "a file that is removed is gone, and so are the folders that it leaves empty",
    effect: Effect.gen(function* () {
      yield* save("f/g/h/a", "one")
      yield* save("f/b", "two")
      const gone = yield* remove("f/g/h/a")
      yield* equal("what it was", [gone.name, gone.size], [named("f/g/h/a"), 3])
      yield* equal("listing", yield* listNames, ["f/b"])
      yield* equal("read", yield* tag("gone", load("f/g/h/a")), "NoSuchFile")
      yield* equal("again", yield* tag("gone", remove("f/g/h/a")), "NoSuchFile")
      // Only where no folder stands can a file have its name.
      yield* save("f/g", "a file now")
      yield* remove("f/b")
      yield* remove("f/g")
      yield* save("F", "another spelling of a folder that is gone")
      yield* equal("listing", yield* listNames, ["F"])
    })
  },
  {
    name: "remove finds what reading finds, and only files",
    effect: Effect.gen(function* () {
      yield* save("Docs/Stra\u00dfe", "x")
      yield* save("Docs/other", "x")
      yield* equal("a folder", yield* found("a folder", remove("Docs")), "folder")
      yield* equal("below a file", yield* found("a file", remove("Docs/other/x")), "file-as-folder")
      yield* equal("as it is spelt", (yield* remove("DOCS/strasse")).name, named("Docs/Stra\u00dfe"))
      yield* equal("listing", yield* listNames, ["Docs/other"])
    })
  },
  {
    name: "remove and rename of another version are BaseChanged",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("a", "one")
      const version = yield* versionOf("a")
      yield* save("a", "two")
      yield* equal("remove", yield* tag("changed", remove("a", version)), "BaseChanged")
      const moved = store.rename({ name: named("a"), to: named("b"), replace: true, version })
      yield* equal("rename", yield* tag("changed", moved), "BaseChanged")
      yield* equal("content", yield* load("a"), text("two"))
      yield* remove("a", yield* versionOf("a"))
      yield* equal("listing", yield* listNames, [])
    })
  },
  {
    name: "a file that is removed or renamed while it is open reads on as it was",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("f/a", "first content")
      yield* save("b", "second content")
      const one = yield* store.open(named("f/a"))
      const two = yield* store.open(named("b"))
      yield* rename("f/a", "g/c")
      yield* rename("g/c", "d")
      yield* remove("b")
      const three = yield* store.open(named("d"))
      yield* rename("d", "D")
      yield* save("e", "in the way")
      yield* rename("D", "e", true)
      yield* equal("renamed", yield* one.read(6, 100), text("content"))
      yield* one.unchanged
      yield* equal("opened between two renames", yield* three.read(0, 5), text("first"))
      yield* three.unchanged
      yield* equal("removed", yield* two.read(7, 100), text("content"))
      yield* two.unchanged
    }).pipe(Effect.scoped)
  },
  {
    name: "a rename moves a file with its size and time, between folders, and removes what it leaves empty",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      yield* save("f/g/a", "content")
      const moved = yield* rename("f/g/a", "x/y/b")
      yield* equal("from", moved.from, named("f/g/a"))
      const { entry } = moved
      yield* equal("entry", [entry.name, entry.size, entry.modified], [named("x/y/b"), 7, modified])
      const { digest: _, ...stat } = yield* store.stat(named("x/y/b"))
      yield* equal("stat", stat, { name: named("x/y/b"), size: 7, modified })
      yield* equal("content", yield* load("x/y/b"), text("content"))
      yield* equal("listing", yield* listNames, ["x/y/b"])
      yield* save("f", "a file where the folder was")
      yield* equal("nothing", yield* tag("absent", rename("gone", "z")), "NoSuchFile")
      yield* equal("to itself", (yield* rename("f", "f")).entry.name, named("f"))
      yield* equal("listing", yield* listNames, ["f", "x/y/b"])
    })
  },
  {
    name: "a rename takes a name that is there only when it is asked to",
    effect: Effect.gen(function* () {
      yield* save("a", "one")
      yield* save("f/b", "another")
      yield* equal("taken", yield* tag("taken", rename("a", "f/b")), "FileExists")
      yield* equal("both stand", [yield* load("a"), yield* load("f/b")], [text("one"), text("another")])
      const { replaced } = yield* rename("a", "f/b", true)
      yield* equal("replaced", [replaced?.name, replaced?.size], [named("f/b"), 7])
      yield* equal("content", yield* load("f/b"), text("one"))
      yield* equal("listing", yield* listNames, ["f/b"])
    })
  },
  {
    name: "a rename keeps to the rules of names, and may change a file's own spelling",
    effect: Effect.gen(function* () {
      yield* save("docs/a", "a")
      yield* save("docs/b", "b")
      yield* save("top", "t")
      const collides = yield* failure("spelling of a folder", rename("top", "Docs/c", true))
      yield* equal("which", collides._tag === "NameCollision" ? collides.existing : collides._tag, "docs")
      yield* equal("of another file", yield* tag("collision", rename("top", "docs/A", true)), "NameCollision")
      yield* equal("of a folder", yield* tag("collision", rename("top", "DOCS", true)), "NameCollision")
      yield* equal("to a folder", yield* found("folder", rename("top", "docs", true)), "folder")
      yield* equal("below a file", yield* found("file", rename("docs/a", "top/a", true)), "file-as-folder")
      yield* equal("below itself", yield* found("file", rename("top", "top/a", true)), "file-as-folder")
      yield* equal("spelt anew", (yield* rename("docs/a", "docs/A")).from, named("docs/a"))
      yield* equal("found by another spelling", (yield* rename("TOP", "c")).from, named("top"))
      yield* equal("listing", yield* listNames, ["c", "docs/A", "docs/b"])
      yield* equal("content", yield* load("docs/A"), text("a"))
    })
  },
  {
    name: "a rename below the file's own name in another spelling collides with it, at any depth",
    effect: Effect.gen(function* () {
      yield* save("a", "one")
      yield* save("b/c", "two")
      for (const [from, to] of [
        ["a", "A/b"],
        ["b/c", "b/C/d"]
      ] as const) {
        for (const replace of [false, true]) {
          const collides = yield* failure(to, rename(from, to, replace))
          yield* equal(to, collides._tag === "NameCollision" ? collides.existing : collides._tag, from)
        }
      }
      yield* equal("listing", yield* listNames, ["a", "b/c"])
      yield* equal("content", yield* load("b/c"), text("two"))
    })
  },
  {
    name: "content that was staged before a removal and is committed after it stands",
    effect: Effect.gen(function* () {
      yield* save("f/a", "old")
      const { bytes, expected, staging } = yield* stageFor("f/a", "new")
      yield* staging.write([bytes])
      const bound = yield* stageFor("f/a", "bound to what was there")
      yield* bound.staging.write([bound.bytes])
      const replaces = yield* versionOf("f/a")
      yield* remove("f/a")
      const commit = bound.staging.commit({ ...bound.expected, replaces })
      yield* equal("the version is gone", yield* tag("changed", commit), "BaseChanged")
      yield* staging.commit(expected)
      yield* equal("content", yield* load("f/a"), text("new"))
    }).pipe(Effect.scoped)
  },
  {
    name: "renames, removals and commits at once end, lose nothing and mix nothing",
    effect: Effect.gen(function* () {
      const count = 6
      for (let index = 0; index < count; index += 1) yield* save(`f${index % 2}/${index}`, `content ${index}`)
      const quiet = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.ignore(work)
      // Every file goes round a ring of names, in both directions, while others come and go in the same folders.
      const ring = (step: number) =>
        Array.from({ length: count }, (_, index) => {
          const next = (index + step + count) % count
          return quiet(rename(`f${index % 2}/${index}`, `f${next % 2}/${next}`))
        })
      const comeAndGo = Array.from({ length: count }, (_, index) =>
        quiet(Effect.andThen(save(`g/h/${index}`, "x"), remove(`g/h/${index}`)))
      )
      const free = [quiet(rename("f0/0", "free")), quiet(rename("free", "g/h/0/below"))]
      yield* Effect.all([...ring(1), ...comeAndGo, ...free, ...ring(-1)], { concurrency: "unbounded" })
      const left = yield* Effect.forEach(yield* listNames, load)
      yield* equal(
        "contents",
        left.map((bytes) => new TextDecoder().decode(bytes)).toSorted(),
        Array.from({ length: count }, (_, index) => `content ${index}`)
      )
    })
  },
  {
    name: "a commit into a folder that a removal leaves empty at the same time succeeds",
    effect: Effect.gen(function* () {
      for (let round = 0; round < 12; round += 1) {
        yield* save("f/g/old", "x")
        const { bytes, expected, staging } = yield* stageFor("f/g/new", `round ${round}`)
        yield* staging.write([bytes])
        const removing = Array.from({ length: round }, () => Effect.yieldNow)
        yield* Effect.all([staging.commit(expected), Effect.andThen(Effect.all(removing), remove("f/g/old"))], {
          concurrency: "unbounded"
        })
        yield* equal("content", yield* load("f/g/new"), text(`round ${round}`))
        yield* remove("f/g/new")
        yield* equal("listing", yield* listNames, [])
      }
    }).pipe(Effect.scoped)
  }
]

const smallFile = Effect.fnUntraced(function* (name: string, content: string, declared: string = content) {
  const digest = digestOf(yield* Digest, [text(declared)])
  return { name: named(name), modified, parts: content === "" ? [] : [text(content)], digest }
})

const placed = Effect.fnUntraced(function* (
  files: ReadonlyArray<readonly [name: string, content: string, declared?: string]>,
  target?: "absent" | "present"
) {
  const all = yield* Effect.forEach(files, ([name, content, declared]) => smallFile(name, content, declared))
  const outcomes = yield* SmallFiles.placeAll(yield* FileStore, all, target)
  return outcomes.map((one) =>
    Result.isFailure(one) ? one.failure._tag : `${one.success.name} ${one.success.size} ${one.success.modified}`
  )
})

const gotten = Effect.fnUntraced(function* (names: ReadonlyArray<string>, bytesMax: number) {
  const outcomes = yield* SmallFiles.readAll(yield* FileStore, names.map(named), bytesMax)
  return outcomes.map((one) => {
    if (Result.isFailure(one)) return one.failure._tag
    const { content, entry } = one.success
    return `${entry.name} ${content === undefined ? entry.size : new TextDecoder().decode(content)}`
  })
})

const manySmall: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  {
    name: "small files are committed at once, in folders old and new, each as it would be by itself",
    effect: Effect.gen(function* () {
      yield* save("old/kept", "before")
      const outcomes = yield* placed([
        ["a", "one"],
        ["old/kept", "after"],
        ["old/new", ""],
        ["new/deep/b", "two"],
        ["c", "three"]
      ])
      yield* equal("outcomes", outcomes, [
        `a 3 ${modified}`,
        `old/kept 5 ${modified}`,
        `old/new 0 ${modified}`,
        `new/deep/b 3 ${modified}`,
        `c 5 ${modified}`
      ])
      yield* equal("listing", yield* listNames, ["a", "c", "new/deep/b", "old/kept", "old/new"])
      yield* equal("content", yield* load("old/kept"), text("after"))
      yield* equal("read", yield* gotten(["c", "new/deep/b", "old/new"], 100), [
        "c three",
        "new/deep/b two",
        "old/new "
      ])
    })
  },
  {
    name: "of small files each fails by itself: wrong content, spellings, folders and files in the way",
    effect: Effect.gen(function* () {
      yield* save("dir/file", "x")
      yield* save("Name", "kept")
      const outcomes = yield* placed([
        ["ok", "1"],
        ["wrong", "2", "other"],
        ["name", "3"],
        ["dir", "4"],
        ["dir/file/below", "5"],
        ["DIR/x", "6"],
        ["ok", "again"],
        ["OK", "7"],
        ["both", "8"],
        ["BOTH", "9"],
        ["last", "8"]
      ])
      yield* equal("outcomes", outcomes, [
        `ok 1 ${modified}`,
        "DigestMismatch",
        "NameCollision",
        "NotAFile",
        "NotAFile",
        "NameCollision",
        `ok 5 ${modified}`,
        "NameCollision",
        `both 1 ${modified}`,
        "NameCollision",
        `last 1 ${modified}`
      ])
      yield* equal("listing", yield* listNames, ["Name", "both", "dir/file", "last", "ok"])
      yield* equal("the later of two", yield* load("ok"), text("again"))
    })
  },
  {
    name: "small files of wrong content leave no folder",
    effect: Effect.gen(function* () {
      yield* equal("wrong", yield* placed([["B/one", "1", "other"]]), ["DigestMismatch"])
      yield* equal("another spelling", yield* placed([["b/two", "2"]]), [`b/two 1 ${modified}`])
    })
  },
  {
    name: "small files keep to what must be at their names",
    effect: Effect.gen(function* () {
      yield* save("there", "x")
      const both: ReadonlyArray<readonly [string, string]> = [
        ["there", "new"],
        ["not", "new"]
      ]
      yield* equal("absent", yield* placed(both, "absent"), ["FileExists", `not 3 ${modified}`])
      yield* remove("not")
      yield* equal("present", yield* placed(both, "present"), [`there 3 ${modified}`, "NoSuchFile"])
    })
  },
  {
    name: "names that are taken are told from those that would be new",
    effect: Effect.gen(function* () {
      const store = yield* FileStore
      const present = (all: ReadonlyArray<string>) => SmallFiles.present(store, all.map(named))
      yield* save("a", "x")
      yield* save("f/b", "x")
      const asked = ["f/b", "none", "a", "f/none", "nowhere/a", "f/b"]
      const there = yield* present(asked)
      yield* equal(
        "taken",
        asked.filter((one) => one === "a" || one === "f/b").every((one) => there.includes(named(one))),
        true
      )
      // A store that does not know says that any may be.
      const told = store.present === undefined ? asked : ["f/b", "a", "f/b"]
      yield* equal("told", there, told.map(named))
      yield* remove("a")
      yield* equal("removed", (yield* present(["a"])).length, store.present === undefined ? 1 : 0)
    })
  },
  {
    name: "small files are read under the name that reading finds, as far as they fit",
    effect: Effect.gen(function* () {
      yield* save("Name", "12345")
      yield* save("f/a", "67890")
      yield* save("large", "0123456789abcdef")
      yield* equal("found", yield* gotten(["name", "none", "f", "large", "f/a"], 12), [
        "Name 12345",
        "NoSuchFile",
        "NotAFile",
        "large 16",
        "f/a 67890"
      ])
      yield* equal("as far as they fit", yield* gotten(["Name", "f/a", "Name"], 12), ["Name 12345", "f/a 67890"])
      yield* save("b", "abcde")
      yield* save("c", "fghij")
      yield* equal("one found by another spelling takes room", yield* gotten(["name", "b", "c", "f/a"], 12), [
        "Name 12345",
        "b abcde"
      ])
      yield* equal("the first fits", yield* gotten(["Name"], 5), ["Name 12345"])
    })
  }
]

/** Every promise of `FileStore`: run each case on an empty store of its own. */
export const fileStoreContract: ReadonlyArray<ContractCase<FileStore | Digest>> = [
  ...content,
  ...names,
  ...staging,
  ...resume,
  ...versions,
  ...changes,
  ...manySmall
]
