/**
 * What every `Disk` layer keeps. Each case runs on an empty root of its own.
 */
import { Effect, Exit, Result, Scope, Stream } from "effect"
import * as Bytes from "../Bytes.ts"
import { contentBlockBytes } from "../limits.ts"
import { Disk, type DiskError, type DiskPath, type NewFile, type PlaceRequest, type WholeFile } from "../store/Disk.ts"
import { type ContractCase, equal, failure } from "./Contract.ts"

const text = Bytes.fromUtf8

const save = Effect.fnUntraced(function* (path: DiskPath, content: string) {
  const disk = yield* Disk
  const file = yield* disk.create(path)
  yield* file.write(0, [text(content)])
}, Effect.scoped)

const load = Effect.fnUntraced(function* (path: DiskPath) {
  const disk = yield* Disk
  const file = yield* disk.openRead(path)
  return yield* file.read(0, 1000)
}, Effect.scoped)

const code = <A, R>(promise: string, effect: Effect.Effect<A, DiskError, R>) =>
  Effect.map(failure(promise, effect), (error) => error.code)

const namesIn = Effect.fnUntraced(function* (path: DiskPath) {
  const disk = yield* Disk
  const entries = yield* Stream.runCollect(disk.list(path))
  return entries.map(({ kind, name }) => `${kind} ${name}`).toSorted()
})

const newFile = (name: string, content: string, parts: ReadonlyArray<string> = [content]): NewFile => ({
  temporary: `t-${name.replaceAll(".", "-")}`,
  name,
  parts: parts.map(text),
  modified: 5000
})

const place = (folder: DiskPath, files: ReadonlyArray<NewFile>, options: Partial<PlaceRequest> = {}): PlaceRequest => ({
  staging: ["staging"],
  folder,
  files,
  durable: false,
  likeReplaced: false,
  ...options
})

const codes = (all: ReadonlyArray<Result.Result<void, DiskError>>) =>
  all.map((one) => (Result.isFailure(one) ? one.failure.code : "placed"))

const contents = (all: ReadonlyArray<Result.Result<WholeFile, DiskError>>) =>
  all.map((one) => {
    if (Result.isFailure(one)) return one.failure.code
    const { content, stat } = one.success
    return content === undefined ? `${stat.size} bytes` : new TextDecoder().decode(content)
  })

/** Every promise of `Disk`: run each case on an empty disk of its own. */
export const diskContract: ReadonlyArray<ContractCase<Disk>> = [
  {
    name: "what is written in parts and pieces is read back, by position",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      yield* file.write(0, [text("on"), text(""), text("e "), text("two")])
      yield* file.write(7, [text(" three")])
      yield* equal("all bytes", yield* file.read(0, 100), text("one two three"))
      const again = yield* disk.openRead(["a"])
      yield* equal("a middle", yield* again.read(4, 3), text("two"))
      yield* equal("the end comes short", yield* again.read(10, 100), text("ree"))
      yield* equal("nothing behind the end", yield* again.read(13, 5), text(""))
      yield* equal("nothing far behind the end", yield* again.read(1000, 5), text(""))
      yield* equal("zero bytes are zero bytes", yield* again.read(0, 0), text(""))
    }).pipe(Effect.scoped)
  },
  {
    name: "a write of more parts than one system call takes is whole",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      const parts = Array.from({ length: 2500 }, (_, index) => Uint8Array.of(index & 0xff, index >> 8))
      yield* file.write(0, parts)
      yield* equal("all parts in order", yield* file.read(0, 6000), Bytes.concat(parts))
    }).pipe(Effect.scoped)
  },
  {
    name: "the bytes read belong to the reader, the bytes written to the writer",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      const mine = text("mine")
      yield* file.write(0, [mine])
      mine.fill(0)
      const first = yield* file.read(0, 4)
      first.fill(0)
      yield* equal("the file's own bytes", yield* file.read(0, 4), text("mine"))
    }).pipe(Effect.scoped)
  },
  {
    name: "stat tells kind, size, identity and links",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "four")
      yield* disk.makeFolder(["f"], "shared")
      const root = yield* disk.stat([])
      const folder = yield* disk.stat(["f"])
      const file = yield* disk.stat(["a"])
      yield* equal("kinds", [root.kind, folder.kind, file.kind], ["folder", "folder", "file"])
      yield* equal("size and links", [file.size, file.links], [4, 1])
      yield* equal("one device", [folder.device, file.device], [root.device, root.device])
      yield* equal("inodes differ", new Set([root.inode, folder.inode, file.inode]).size, 3)
      const open = yield* disk.openRead(["a"])
      yield* equal("an open file's stat is the same", yield* open.stat, file)
    }).pipe(Effect.scoped)
  },
  {
    name: "what stands at many names of a folder is told at once, for each by itself",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["f"], "shared")
      yield* disk.makeFolder(["f", "sub"], "shared")
      yield* save(["f", "a"], "four")
      const all = yield* disk.statAll(["f"], ["sub", "none", "a", "..", "a"])
      yield* equal(
        "codes",
        all.map((one) => (Result.isFailure(one) ? one.failure.code : one.success.kind)),
        ["folder", "ENOENT", "file", "EINVAL", "file"]
      )
      const [, , first] = all
      const seen = first && Result.getOrUndefined(first)
      const { executable, kind, modified, size } = yield* disk.stat(["f", "a"])
      const glance = seen && [seen.kind, seen.size, seen.modified, seen.executable]
      yield* equal("as a single look", glance, [kind, size, modified, executable])
      yield* equal("no such folder", yield* code("none", disk.statAll(["none"], ["a"])), "ENOENT")
      yield* equal("a file as folder", yield* code("file", disk.statAll(["f", "a"], ["b"])), "ENOTDIR")
      yield* equal("nothing asked", yield* disk.statAll([], []), [])
    }).pipe(Effect.scoped)
  },
  {
    name: "the modification time is set to the millisecond, and the change time moves by itself",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      for (const milliseconds of [0, 1, 1_234_567_890_123, 1_999_999_999_999]) {
        yield* file.setModified(milliseconds)
        yield* equal("modified", (yield* file.stat).modified, milliseconds)
      }
      yield* file.sync
      yield* equal("stat by name agrees", (yield* disk.stat(["a"])).modified, 1_999_999_999_999)
    }).pipe(Effect.scoped)
  },
  {
    name: "whether a file may be run is set and cleared, and goes along with a rename",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      const { changedNanoseconds, executable } = yield* file.stat
      yield* equal("a new file", executable, false)
      yield* file.setExecutable(false)
      yield* equal("as it was", (yield* file.stat).changedNanoseconds, changedNanoseconds)
      yield* file.setExecutable(true)
      yield* equal("set", [(yield* file.stat).executable, (yield* disk.stat(["a"])).executable], [true, true])
      yield* disk.rename(["a"], ["b"])
      yield* equal("under another name", (yield* disk.stat(["b"])).executable, true)
      yield* file.setExecutable(false)
      yield* equal("cleared", (yield* disk.stat(["b"])).executable, false)
      yield* disk.makeFolder(["f"], "shared")
      yield* equal("a folder is no such file", (yield* disk.stat(["f"])).executable, false)
    }).pipe(Effect.scoped)
  },
  {
    name: "a file is cut, and lengthened by zeros",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      yield* file.write(0, [text("content")])
      yield* file.truncate(4)
      yield* equal("cut", yield* load(["a"]), text("cont"))
      yield* file.truncate(6)
      yield* equal("lengthened", yield* load(["a"]), text("cont\0\0"))
      yield* file.truncate(0)
      yield* file.write(0, [text("new")])
      yield* file.sync
      yield* equal("from the beginning", yield* load(["a"]), text("new"))
    }).pipe(Effect.scoped)
  },
  {
    name: "a clone has all that the other file has and nothing else of it, or there are none here",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "the older file")
      const older = yield* disk.openRead(["a"])
      yield* older.setExecutable(true)
      yield* older.setModified(5000)
      const file = yield* disk.create(["b"])
      yield* file.write(0, [text("something that is longer than the older file")])
      const cloned = yield* Effect.result(file.cloneFrom(older))
      if (Result.isFailure(cloned)) return yield* equal("the code", cloned.failure.code, "ENOTSUP")
      yield* equal("content", yield* load(["b"]), text("the older file"))
      const { executable, modified } = yield* file.stat
      yield* equal("its own bit and time", [executable, modified === 5000], [false, false])
      yield* file.write(4, [text("newer")])
      yield* file.write(14, [text("!")])
      yield* file.sync
      yield* equal("written to", yield* load(["b"]), text("the newer file!"))
      yield* equal("the other", yield* load(["a"]), text("the older file"))
      yield* Effect.scoped(Effect.flatMap(disk.openWrite(["a"]), (other) => other.write(0, [text("THE")])))
      yield* equal("when the other is written to", yield* load(["b"]), text("the newer file!"))
    }).pipe(Effect.scoped)
  },
  {
    name: "time and bit are set by a file that was opened for reading, too",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* Effect.scoped(disk.create(["a"]))
      const file = yield* disk.openRead(["a"])
      yield* file.setExecutable(true)
      yield* file.setModified(5000)
      const { executable, modified } = yield* disk.stat(["a"])
      yield* equal("both", [executable, modified], [true, 5000])
    }).pipe(Effect.scoped)
  },
  {
    name: "a file that was opened for reading is not written to",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "kept")
      const file = yield* disk.openRead(["a"])
      yield* failure("a write", file.write(0, [text("new")]))
      yield* failure("a cut", file.truncate(1))
      yield* equal("content", yield* load(["a"]), text("kept"))
    }).pipe(Effect.scoped)
  },
  {
    name: "a write of nothing changes nothing, wherever it is",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const file = yield* disk.create(["a"])
      yield* file.setModified(5000)
      for (const parts of [[], [text("")]]) yield* file.write(7, parts)
      const { modified, size } = yield* file.stat
      yield* equal("size and time", [size, modified], [0, 5000])
    }).pipe(Effect.scoped)
  },
  {
    name: "create never takes a name that is there",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "kept")
      yield* disk.makeFolder(["f"], "private")
      yield* equal("a file", yield* code("EEXIST", Effect.scoped(disk.create(["a"]))), "EEXIST")
      yield* equal("a folder", yield* code("EEXIST", Effect.scoped(disk.create(["f"]))), "EEXIST")
      yield* equal("a second folder", yield* code("EEXIST", disk.makeFolder(["f"], "shared")), "EEXIST")
      yield* equal("a folder over a file", yield* code("EEXIST", disk.makeFolder(["a"], "shared")), "EEXIST")
      yield* equal("the file", yield* load(["a"]), text("kept"))
    })
  },
  {
    name: "what is not there is ENOENT, a file on the way ENOTDIR, a folder opened as a file ENOTREG",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "x")
      yield* disk.makeFolder(["f"], "shared")
      yield* equal("open", yield* code("absent", Effect.scoped(disk.openRead(["no"]))), "ENOENT")
      yield* equal("stat", yield* code("absent", disk.stat(["f", "no"])), "ENOENT")
      yield* equal("list", yield* code("absent", Stream.runDrain(disk.list(["no"]))), "ENOENT")
      yield* equal("remove", yield* code("absent", disk.remove(["no"])), "ENOENT")
      yield* equal("rename", yield* code("absent", disk.rename(["no"], ["b"])), "ENOENT")
      yield* equal("create", yield* code("absent", Effect.scoped(disk.create(["no", "b"]))), "ENOENT")
      yield* equal("below a file", yield* code("file as folder", disk.stat(["a", "b"])), "ENOTDIR")
      yield* equal("in a file", yield* code("file as folder", Effect.scoped(disk.create(["a", "b"]))), "ENOTDIR")
      yield* equal("list a file", yield* code("file as folder", Stream.runDrain(disk.list(["a"]))), "ENOTDIR")
      yield* equal("open a folder", yield* code("not a file", Effect.scoped(disk.openRead(["f"]))), "ENOTREG")
      yield* equal("to write", yield* code("not a file", Effect.scoped(disk.openWrite(["f"]))), "ENOTREG")
    })
  },
  {
    name: "parts that are no parts are refused",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      for (const path of [["."], [".."], [""], ["a/b"], ["..", "x"], ["a\0b"], ["f", ".."], ["\ud800"]]) {
        yield* equal("open", yield* code("EINVAL", Effect.scoped(disk.openRead(path))), "EINVAL")
        yield* equal("to write", yield* code("EINVAL", Effect.scoped(disk.openWrite(path))), "EINVAL")
        yield* equal("create", yield* code("EINVAL", Effect.scoped(disk.create(path))), "EINVAL")
        yield* equal("stat", yield* code("EINVAL", disk.stat(path)), "EINVAL")
        yield* equal("list", yield* code("EINVAL", Stream.runDrain(disk.list(path))), "EINVAL")
        yield* equal("makeFolder", yield* code("EINVAL", disk.makeFolder(path, "shared")), "EINVAL")
        yield* equal("rename from", yield* code("EINVAL", disk.rename(path, ["b"])), "EINVAL")
        yield* equal("remove", yield* code("EINVAL", disk.remove(path)), "EINVAL")
        yield* equal("syncFolder", yield* code("EINVAL", disk.syncFolder(path)), "EINVAL")
      }
      yield* equal("the root is no file", yield* code("EINVAL", Effect.scoped(disk.create([]))), "EINVAL")
      yield* equal("nor one to read", yield* code("EINVAL", Effect.scoped(disk.openRead([]))), "EINVAL")
    })
  },
  {
    name: "rename replaces a file in one step, between folders too, never a folder",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["f"], "shared")
      yield* save(["a"], "new")
      yield* save(["f", "b"], "old")
      const old = yield* disk.openRead(["f", "b"])
      yield* disk.rename(["a"], ["f", "b"])
      yield* disk.syncFolder(["f"])
      yield* disk.syncFolder([])
      yield* equal("the new content", yield* load(["f", "b"]), text("new"))
      yield* equal("an open file reads on as it was", yield* old.read(0, 10), text("old"))
      yield* equal("it has no name any more", (yield* old.stat).links, 0)
      yield* equal("the root", yield* namesIn([]), ["folder f"])
      yield* save(["c"], "kept")
      yield* equal("a folder in the way", yield* code("EISDIR", disk.rename(["c"], ["f"])), "EISDIR")
      yield* equal("the source stays", yield* load(["c"]), text("kept"))
      const own = yield* code("its own folder in the way", disk.rename(["f", "b"], ["f"]))
      yield* equal("its own folder in the way", own, "EISDIR")
    }).pipe(Effect.scoped)
  },
  {
    name: "remove takes files only",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "x")
      yield* disk.makeFolder(["f"], "shared")
      yield* disk.remove(["a"])
      yield* failure("a folder is never removed", disk.remove(["f"]))
      yield* equal("what is left", yield* namesIn([]), ["folder f"])
    })
  },
  {
    name: "link gives a file a second name, never one that is taken, and a folder none",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "one file")
      yield* disk.makeFolder(["f"], "shared")
      yield* save(["taken"], "kept")
      yield* disk.link(["a"], ["f", "b"])
      const [one, other] = [yield* disk.stat(["a"]), yield* disk.stat(["f", "b"])]
      yield* equal("one file", [other.inode, other.links], [one.inode, 2])
      yield* equal("a taken name", yield* code("EEXIST", disk.link(["a"], ["taken"])), "EEXIST")
      yield* equal("a folder's name", yield* code("EEXIST", disk.link(["a"], ["f"])), "EEXIST")
      yield* equal("a folder", yield* code("EPERM", disk.link(["f"], ["g"])), "EPERM")
      yield* equal("nothing", yield* code("ENOENT", disk.link(["no"], ["g"])), "ENOENT")
      yield* equal("no part", yield* code("EINVAL", disk.link(["a"], ["f", ".."])), "EINVAL")
      yield* disk.rename(["a"], ["f", "b"])
      yield* equal("both names, when it is given one that it has", (yield* disk.stat(["a"])).links, 2)
      yield* disk.remove(["a"])
      yield* equal("the other name stays", yield* load(["f", "b"]), text("one file"))
      yield* equal("what had the name", yield* load(["taken"]), text("kept"))
    })
  },
  {
    name: "removeFolder takes empty folders only",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["f"], "shared")
      yield* disk.makeFolder(["f", "g"], "shared")
      yield* save(["a"], "x")
      const full = yield* code("full", disk.removeFolder(["f"]))
      yield* equal("full", full === "ENOTEMPTY" || full === "EEXIST", true)
      yield* equal("a file", yield* code("ENOTDIR", disk.removeFolder(["a"])), "ENOTDIR")
      yield* equal("nothing", yield* code("ENOENT", disk.removeFolder(["no"])), "ENOENT")
      yield* equal("the root", yield* code("EINVAL", disk.removeFolder([])), "EINVAL")
      yield* disk.removeFolder(["f", "g"])
      yield* disk.removeFolder(["f"])
      yield* equal("what is left", yield* namesIn([]), ["file a"])
    })
  },
  {
    name: "list gives every entry once, with its kind",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["f"], "shared")
      yield* disk.makeFolder(["f", "g"], "shared")
      const names = Array.from({ length: 300 }, (_, index) => `file ${index}`)
      yield* Effect.forEach(names, (name) => save(["f", name], ""), { concurrency: 8 })
      yield* equal("entries", yield* namesIn(["f"]), [...names.map((name) => `file ${name}`), "folder g"].toSorted())
      yield* equal("the first of many", (yield* Stream.runCollect(Stream.take(disk.list(["f"]), 1))).length, 1)
      yield* equal("an empty folder", yield* namesIn(["f", "g"]), [])
    })
  },
  {
    name: "a file is closed with its scope, and only then",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* save(["a"], "x")
      const scope = yield* Scope.make()
      const file = yield* Scope.provide(disk.openRead(["a"]), scope)
      yield* equal("open", yield* file.read(0, 1), text("x"))
      yield* Scope.close(scope, Exit.void)
      yield* equal("read", yield* code("closed", file.read(0, 1)), "EBADF")
      yield* equal("stat", yield* code("closed", file.stat), "EBADF")
      const clone = yield* code("closed", Effect.scoped(Effect.flatMap(disk.create(["b"]), (b) => b.cloneFrom(file))))
      yield* equal("clone", clone, "EBADF")
    })
  },
  {
    name: "small files are placed at once, over files and links of the name, and read back at once",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["f"], "shared")
      yield* disk.makeFolder(["staging"], "private")
      yield* save(["f", "b"], "old and longer")
      const all = [newFile("a", "one"), newFile("b", "two", ["tw", "", "o"]), newFile("c", "")]
      for (const durable of [true, false]) {
        yield* equal("outcomes", codes(yield* disk.placeAll(place(["f"], all, { durable }))), [
          "placed",
          "placed",
          "placed"
        ])
        yield* equal("staging", yield* namesIn(["staging"]), [])
        const read = yield* disk.readAll(["f"], ["c", "b", "a", "none"], 100)
        yield* equal("contents", contents(read), ["", "two", "one", "ENOENT"])
        const [c] = read
        yield* equal("time", c !== undefined && Result.isSuccess(c) ? c.success.stat.modified : undefined, 5000)
      }
    })
  },
  {
    name: "small files for a new folder are placed, and nothing goes that somebody else has put there",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["staging"], "private")
      for (const [index, staging] of [["staging"], ["f1"]].entries()) {
        const folder = [`f${index}`]
        yield* disk.makeFolder(folder, "shared")
        const first = place(folder, [newFile("a", "one"), newFile("b", "two")], { staging, fresh: true })
        yield* equal("first", codes(yield* disk.placeAll(first)), ["placed", "placed"])
        // By now it is not, whatever the caller believes.
        const second = place(folder, [newFile("b", "three"), newFile("c", "four")], { staging, fresh: true })
        yield* equal("second", codes(yield* disk.placeAll(second)), ["placed", "placed"])
        yield* equal("contents", contents(yield* disk.readAll(folder, ["a", "b", "c"], 100)), ["one", "three", "four"])
        yield* equal("staging", yield* namesIn(["staging"]), [])
        yield* equal("folder", yield* namesIn(folder), ["file a", "file b", "file c"])
      }
      yield* equal("all", yield* namesIn([]), ["folder f0", "folder f1", "folder staging"])
    })
  },
  {
    name: "of small files for one name the last one has it, also in a new folder",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      for (const fresh of [true, false]) {
        const folder = [`f ${fresh}`]
        yield* disk.makeFolder(folder, "shared")
        const all = [newFile("a", "one"), { ...newFile("a", "two"), temporary: "t-other" }]
        const outcomes = yield* disk.placeAll(place(folder, all, { staging: [], fresh }))
        yield* equal("outcomes", codes(outcomes), ["placed", "placed"])
        yield* equal("content", contents(yield* disk.readAll(folder, ["a"], 100)), ["two"])
      }
      const missing = place(["f"], [{ ...newFile("a", "one"), temporary: "f" }], { staging: [], fresh: true })
      yield* equal("a new folder that is missing", yield* code("missing", disk.placeAll(missing)), "ENOENT")
      yield* equal("all", yield* namesIn([]), ["folder f false", "folder f true"])
    })
  },
  {
    name: "a small file may come in as many parts as it has bytes",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["staging"], "private")
      const content = text("0123456789abcdef".repeat(Math.floor(contentBlockBytes / 16)))
      const parts = Array.from(content, (_, index) => content.subarray(index, index + 1))
      const file = { ...newFile("pieces", ""), parts }
      yield* equal("outcome", codes(yield* disk.placeAll(place([], [file]))), ["placed"])
      const read = contents(yield* disk.readAll([], ["pieces"], contentBlockBytes))
      yield* equal("content", read, [new TextDecoder().decode(content)])
    })
  },
  {
    name: "of small files that are placed each fails by itself and leaves nothing",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["staging"], "private")
      yield* disk.makeFolder(["folder"], "shared")
      yield* save(["staging", "t-taken"], "somebody's")
      const nameless = { ...newFile("..", "z"), temporary: "t-taken" }
      const all = [newFile("folder", "x"), newFile("ok", "y"), nameless, newFile("taken", "w")]
      for (const likeReplaced of [true, false]) {
        const outcomes = yield* disk.placeAll(place([], all, { likeReplaced }))
        yield* equal("outcomes", codes(outcomes), ["EISDIR", "placed", "EINVAL", "EEXIST"])
      }
      yield* equal("all", yield* namesIn([]), ["file ok", "folder folder", "folder staging"])
      yield* equal("staging", yield* namesIn(["staging"]), ["file t-taken"])
      const nowhere = yield* code("no such folder", disk.placeAll(place(["none"], all)))
      yield* equal("the whole", nowhere, "ENOENT")
      yield* equal("a file as folder", yield* code("file", disk.placeAll(place(["ok"], all))), "ENOTDIR")
      yield* equal("reading", yield* code("no such folder", disk.readAll(["none"], ["a"], 9)), "ENOENT")
    })
  },
  {
    name: "small files are read as far as they fit together; a larger one is only looked at",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      yield* disk.makeFolder(["d"], "shared")
      for (const name of ["a", "b", "c"]) yield* save([name], "12345")
      yield* save(["large"], "1234567890 and more")
      const read = (names: ReadonlyArray<string>) => Effect.map(disk.readAll([], names, 12), contents)
      yield* equal("two fit", yield* read(["a", "large", "b", "c"]), ["12345", "19 bytes", "12345"])
      const into = (room: number) =>
        Effect.map(disk.readAll([], ["a", "b", "large"], 12, new Uint8Array(room)), contents)
      yield* equal("one has room", yield* into(9), ["12345"])
      yield* equal("all have room", yield* into(20), ["12345", "12345", "19 bytes"])
      yield* equal("none has room", yield* into(4), [])
      yield* equal("others", yield* read(["d", "..", "c"]), ["ENOTREG", "EINVAL", "12345"])
      yield* equal("none", yield* read([]), [])
    })
  },
  {
    name: "free space is a number of bytes",
    effect: Effect.gen(function* () {
      const disk = yield* Disk
      const free = yield* disk.freeBytes
      yield* equal("a safe integer, not negative", Number.isSafeInteger(free) && free >= 0, true)
    })
  }
]
