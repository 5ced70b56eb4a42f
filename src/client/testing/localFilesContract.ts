/**
 * What every layer of `LocalFiles` keeps to. Paths are below the folder that is given.
 */
import { Effect, Result, type Scope, Stream } from "effect"
import * as Bytes from "../../domain/Bytes.ts"
import type { LocalFileFailed } from "../ClientError.ts"
import { Durability, type LocalFound, LocalFiles, type LocalPlace, placeAt, type SmallPlaces } from "../LocalFiles.ts"
import { ContentDigest, Digest, digestOf } from "../../domain/file/Digest.ts"
import { headBytes, resumeBytesMin } from "../../domain/limits.ts"
import { shortDigest } from "../../domain/transfer/Signature.ts"
import { type ContractCase, equal, failure } from "../../domain/testing/Contract.ts"

/** Enough to be kept when it ends early. */
const large = Uint8Array.from({ length: resumeBytesMin + 300_000 }, (_, index) => (index * 11) % 249)

const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 7) % 251)

type Services = Digest | LocalFiles

/** @param folder an existing, empty folder */
export const localFilesContract = (folder: string): ReadonlyArray<ContractCase<Services>> => [
  ...wholeFiles(folder),
  ...manySmall(folder, (path) => `${folder}/${path}`, "ENOENT", LocalFiles),
  ...manySmall(
    folder,
    (path) => path,
    "placed",
    Effect.flatMap(LocalFiles, ({ tree }) => tree(folder, false))
  ).map(({ effect, name }) => ({ name: `in a tree: ${name}`, effect })),
  ...leftovers(`${folder}/a`),
  ...trees(folder),
  ...onePlace(folder),
  ...inTheWay(folder)
]

/** Many small files at once. */
const manySmall = (
  folder: string,
  pathOf: (name: string) => string,
  /** what comes of a folder that is not there */
  missing: string,
  places: Effect.Effect<SmallPlaces, LocalFileFailed, LocalFiles | Scope.Scope>
): ReadonlyArray<ContractCase<Services>> => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  const put = Effect.fnUntraced(function* (
    all: ReadonlyArray<readonly [path: string, content: string, other?: string]>
  ) {
    const digest = yield* Digest
    const files = all.map(([path, content, other = content]) => ({
      path: pathOf(path),
      modified: 5000,
      parts: [Bytes.fromUtf8(content)],
      digest: digestOf(digest, [Bytes.fromUtf8(other)])
    }))
    const placed = yield* (yield* places).placeSmall(files)
    return placed.map((one) => (Result.isFailure(one) ? one.failure.code : "placed"))
  }, Effect.scoped)
  const read = (paths: ReadonlyArray<string>, bytesMax: number) =>
    Effect.flatMap(places, ({ readSmall }) =>
      Effect.map(readSmall(paths.map(pathOf), bytesMax), (all) =>
        all.map((one) => one && `${text(one.content)} ${one.modified}`)
      )
    ).pipe(Effect.scoped)
  return [
    {
      name: "small files are placed and read at once",
      effect: Effect.gen(function* () {
        yield* equal(
          "placed",
          yield* put([
            ["a", "old"],
            ["b", ""]
          ]),
          ["placed", "placed"]
        )
        yield* equal(
          "replaced",
          yield* put([
            ["a", "new"],
            ["c", "longer"]
          ]),
          ["placed", "placed"]
        )
        const found = yield* read(["a", "b", "c", "none", "."], 5)
        yield* equal("read", found, ["new 5000", " 5000", undefined, undefined, undefined])
        const { walk } = yield* LocalFiles
        const names = (yield* Stream.runCollect(walk(folder, () => true))).map(({ name }) => name)
        yield* equal("nothing else", names, ["a", "b", "c"])
      })
    },
    {
      name: "of small files each fails by itself",
      effect: Effect.gen(function* () {
        const outcomes = yield* put([
          ["a", "x"],
          ["b", "x", "y"],
          ["none/c", "x"],
          ["", "x"],
          ["d", "x"],
          [`.d.${"a".repeat(24)}.part`, "x"]
        ])
        yield* equal(
          "outcomes",
          [outcomes[0], outcomes[1], outcomes[2], outcomes[4], outcomes[5]],
          ["placed", "digest-mismatch", missing, "placed", "temporary-name"]
        )
        yield* equal("a folder is none", outcomes[3] === "placed", false)
        yield* equal("read", yield* read(["a", "b", "d"], 5), ["x 5000", undefined, "x 5000"])
      })
    }
  ]
}

/** A folder whose places are named by text that came from elsewhere. */
const onePlace = (folder: string): ReadonlyArray<ContractCase<Services>> => {
  const put = Effect.fnUntraced(function* (place: LocalPlace, content: Uint8Array, modified: number) {
    const staging = yield* place.stage({ size: content.length, modified })
    yield* staging.write([content])
    yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
  }, Effect.scoped)
  const names = Effect.flatMap(LocalFiles, ({ walk }) =>
    Effect.map(Stream.runCollect(walk(folder, () => true)), (all) =>
      all.flatMap((one) => (one._tag === "Temporary" ? [] : [one.name]))
    )
  )
  return [
    {
      name: "a tree makes the folders of what is put into it, and takes those away that a removal leaves empty",
      effect: Effect.gen(function* () {
        const tree = yield* (yield* LocalFiles).tree(folder, true)
        yield* put(tree.place("x/y/z"), bytes, 5000)
        yield* put(tree.place("x/a"), bytes.subarray(0, 3), 6000)
        yield* put(tree.place("b"), bytes, 7000)
        yield* equal("names", yield* names, ["b", "x/a", "x/y/z"])
        const source = yield* tree.place("x/y/z").open
        yield* equal("size and time", [source?.size, source?.modified], [bytes.length, 5000])
        yield* equal("nothing", yield* tree.place("x/none").open, undefined)
        yield* tree.remove("x/y/z")
        yield* equal("the rest", yield* names, ["b", "x/a"])
        yield* tree.remove("x/a")
        yield* equal("all of it", yield* names, ["b"])
        yield* failure("removing nothing", tree.remove("x/a"))
        yield* put(tree.place("x/y/z"), bytes, 5000)
        yield* equal("folders are made again", yield* names, ["b", "x/y/z"])
      }).pipe(Effect.scoped)
    },
    {
      name: "a folder that is called as what is left of a download is a folder as others are",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const tree = yield* files.tree(folder, true)
        const left = `.f.2000000-1000.${"a".repeat(24)}.part`
        yield* put(tree.place(`${left}/x/y`), bytes, 5000)
        yield* equal("names", yield* names, [`${left}/x/y`])
        const offered = yield* files.complete(`${folder}/.f`)
        yield* equal("offered", offered, [`${folder}/${left}/`])
      }).pipe(Effect.scoped)
    },
    {
      name: "a tree that is missing is made only when it is asked for",
      effect: Effect.gen(function* () {
        const { isFolder, tree } = yield* LocalFiles
        yield* failure("missing", tree(`${folder}/none`, false))
        const made = yield* tree(`${folder}/new/er`, true)
        const there = yield* Effect.forEach(["none", "new", "new/er"], (name) => isFolder(`${folder}/${name}`))
        yield* equal("folders", there, [false, true, true])
        yield* put(made.place("f"), bytes, 5000)
        for (const make of [true, false]) {
          yield* failure("a file in the way", tree(`${folder}/new/er/f`, make))
          yield* failure("a file on the way", tree(`${folder}/new/er/f/g`, make))
        }
        yield* equal("name", yield* names, ["new/er/f"])
      }).pipe(Effect.scoped)
    },
    {
      name: "whatever comes into one new folder at once is all there",
      effect: Effect.gen(function* () {
        const digest = yield* Digest
        const tree = yield* (yield* LocalFiles).tree(folder, true)
        const small = (path: string) => ({
          path,
          modified: 5000,
          parts: [bytes.subarray(0, 9)],
          digest: digestOf(digest, [bytes.subarray(0, 9)])
        })
        const wanted: Array<string> = []
        const placing = (paths: ReadonlyArray<string>) => {
          wanted.push(...paths)
          return Effect.flatMap(tree.placeSmall(paths.map(small)), (outcomes) =>
            equal("placed", outcomes.filter(Result.isFailure), [])
          )
        }
        const staging = (path: string) => {
          wanted.push(path)
          return put(tree.place(path), bytes, 5000)
        }
        for (let index = 0; index < 8; index += 1) {
          const many = (from: number) => Array.from({ length: 40 }, (_, file) => `x${index}/${from + file}`)
          const all = [
            placing(many(0)),
            placing(many(100)),
            staging(`x${index}/large`),
            placing([`x${index}/y/1`]),
            staging(`x${index}/z/large`)
          ]
          // Each of them is first in turn.
          yield* Effect.all([...all.slice(index % 5), ...all.slice(0, index % 5)], { concurrency: "unbounded" })
        }
        yield* equal("names", (yield* names).toSorted(), wanted.toSorted())
      }).pipe(Effect.scoped, Effect.provideService(Durability, "os"))
    },
    {
      name: "a place is settled: its file has another time and the same content",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const tree = yield* files.tree(folder, true)
        yield* put(tree.place("x/f"), bytes, 5000)
        yield* tree.place("x/f").settle({ modified: 9000 })
        const look = Effect.map(files.look(`${folder}/x/f`), (found) => [found?.size, found?.modified])
        yield* equal("below a tree", yield* look, [bytes.length, 9000])
        yield* files.settle(`${folder}/x/f`, { modified: 11_000 })
        yield* equal("by its path", yield* look, [bytes.length, 11_000])
        yield* failure("nothing", files.settle(`${folder}/none`, { modified: 1 }))
        yield* failure("nothing below a tree", tree.place("none").settle({ modified: 1 }))
      }).pipe(Effect.scoped)
    },
    {
      name: "a file may be run when it is declared so or settled so, and what replaces it says so for itself",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const tree = yield* files.tree(folder, true)
        const put = Effect.fnUntraced(function* (facts: object) {
          const staging = yield* tree.place("x/f").stage({ size: 3, modified: 5000, ...facts })
          yield* staging.write([bytes.subarray(0, 3)])
          yield* staging.commit({ size: 3, digest: digestOf(yield* Digest, [bytes.subarray(0, 3)]) })
        }, Effect.scoped)
        const found = Effect.gen(function* () {
          const walked = yield* Stream.runCollect(files.walk(folder, () => true))
          const opened = yield* tree.place("x/f").open
          const looked = yield* files.look(`${folder}/x/f`)
          return [opened?.executable, looked?.executable, ...walked.map((one) => one._tag === "File" && one.executable)]
        })
        yield* put({})
        yield* equal("plain", yield* found, [undefined, undefined, undefined])
        yield* put({ executable: true })
        yield* equal("declared", yield* found, [true, true, true])
        yield* put({})
        yield* equal("replaced", yield* found, [undefined, undefined, undefined])
        yield* tree.place("x/f").settle({ modified: 5000, executable: true })
        yield* equal("settled", yield* found, [true, true, true])
        yield* files.settle(`${folder}/x/f`, { modified: 5000 })
        yield* equal("settled by its path", yield* found, [undefined, undefined, undefined])
      }).pipe(Effect.scoped)
    },
    {
      name: "what a staging below a tree leaves is gone on with, and no file of the tree",
      effect: Effect.gen(function* () {
        const begin = Effect.gen(function* () {
          const tree = yield* (yield* LocalFiles).tree(folder, true)
          const { write } = yield* tree.place("x/f").stage({ size: large.length, modified: 77, resumable: true })
          yield* write([large.subarray(0, resumeBytesMin + 5)])
        })
        yield* Effect.scoped(begin)
        yield* equal("names", yield* names, [])
        const tree = yield* (yield* LocalFiles).tree(folder, true)
        const left = yield* tree.place("x/f").leftover
        yield* equal("from", left?.from, resumeBytesMin + 5)
        yield* equal("another file has none", yield* tree.place("x/g").leftover, undefined)
        const staging = yield* left?.resume() ?? Effect.die("nothing was left")
        yield* staging.write([large.subarray(resumeBytesMin + 5)])
        yield* staging.commit({ size: large.length, digest: digestOf(yield* Digest, [large]) })
        yield* equal("names", yield* names, ["x/f"])
      }).pipe(Effect.scoped)
    },
    {
      name: "what ends early is gone on with in the same tree, again and again",
      effect: Effect.gen(function* () {
        const { leftover, stage } = (yield* (yield* LocalFiles).tree(folder, true)).place("x/f")
        const from = Effect.scoped(Effect.map(leftover, (left) => left?.from))
        yield* equal("at first", yield* from, undefined)
        const begin = Effect.gen(function* () {
          const { write } = yield* stage({ size: large.length, modified: 77, resumable: true })
          yield* write([large.subarray(0, resumeBytesMin + 5)])
          return yield* Effect.fail("the connection was lost")
        })
        yield* Effect.flip(Effect.scoped(begin))
        yield* equal("when it has ended early", yield* from, resumeBytesMin + 5)
        yield* equal("when it was looked at", yield* from, resumeBytesMin + 5)
        const resumed = Effect.flatMap(leftover, (left) => left?.resume() ?? Effect.die("nothing was left"))
        const goOn = Effect.gen(function* () {
          yield* (yield* resumed).write([large.subarray(resumeBytesMin + 5, resumeBytesMin + 15)])
          return yield* Effect.fail("the connection was lost")
        })
        yield* Effect.flip(Effect.scoped(goOn))
        yield* equal("when it has ended early again", yield* from, resumeBytesMin + 15)
        const end = Effect.gen(function* () {
          const staging = yield* resumed
          yield* staging.write([large.subarray(resumeBytesMin + 15)])
          yield* staging.commit({ size: large.length, digest: digestOf(yield* Digest, [large]) })
        })
        yield* Effect.scoped(end)
        yield* equal("at the end", yield* from, undefined)
        yield* equal("names", yield* names, ["x/f"])
      }).pipe(Effect.scoped)
    }
  ]
}

/** What stands where something else is meant, and what stays where something was. */
const inTheWay = (folder: string): ReadonlyArray<ContractCase<Services>> => {
  const put = Effect.fnUntraced(function* (place: LocalPlace, content: Uint8Array) {
    const staging = yield* place.stage({ size: content.length, modified: 5000 })
    yield* staging.write([content])
    yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
  }, Effect.scoped)
  const failing = (code: string, effect: Effect.Effect<unknown, LocalFileFailed, Services | Scope.Scope>) =>
    Effect.flatMap(Effect.flip(Effect.scoped(effect)), (error) => equal("the code", error.code, code))
  const nothing = { size: 0, modified: 0 }
  return [
    {
      name: "a file on the way to a path, a folder at its end, and what is called as a leftover are told",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const tree = yield* files.tree(folder, false)
        yield* put(tree.place("f"), bytes)
        yield* put(tree.place("x/g"), bytes)
        for (const name of ["f/a", "f/a/b"]) {
          const path = `${folder}/${name}`
          for (const place of [placeAt(files, path), tree.place(name)]) {
            yield* failing("ENOTDIR", place.stage(nothing))
            yield* failing("ENOTDIR", place.settle({ modified: 1 }))
          }
          yield* failing("ENOTDIR", tree.place(name).open)
          yield* failing("ENOTDIR", tree.remove(name))
        }
        for (const place of [placeAt(files, `${folder}/x`), tree.place("x")]) {
          yield* failing("EISDIR", place.open)
          yield* failing("EISDIR", place.stage(nothing))
          yield* failing("ENOTREG", place.settle({ modified: 1 }))
        }
        yield* failing("ENOENT", files.stage(`${folder}/x/`, nothing))
        const left = `.f.2000000-1000.${"a".repeat(24)}.part`
        for (const name of [left, `x/.f.${"a".repeat(24)}.part`]) {
          yield* failing("temporary-name", files.stage(`${folder}/${name}`, nothing))
          yield* failing("temporary-name", tree.place(name).stage(nothing))
        }
        const [walked] = yield* Stream.runCollect(files.walk(`${folder}/f`, () => true))
        yield* equal("a file has nothing below it", walked?._tag === "Failed" && walked.error.code, "ENOTDIR")
      }).pipe(Effect.scoped)
    },
    {
      name: "a file that stood where a folder is meant stands in nobody's way once it is removed",
      effect: Effect.gen(function* () {
        const tree = yield* (yield* LocalFiles).tree(folder, false)
        yield* put(tree.place("f"), bytes)
        yield* failing("ENOTDIR", tree.place("f/a").stage(nothing))
        yield* tree.remove("f")
        yield* put(tree.place("f/a"), bytes)
      }).pipe(Effect.scoped)
    },
    {
      name: "a folder stays that a staging was given up in, and goes with the last that was in it",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const tree = yield* files.tree(folder, false)
        const kinds = Effect.forEach(["x", "x/y"], (name) =>
          Effect.map(files.look(`${folder}/${name}`), (found) => found?.kind)
        )
        yield* Effect.scoped(tree.place("x/y/a").stage(nothing))
        yield* equal("given up", yield* kinds, ["folder", "folder"])
        yield* failing("EISDIR", files.stage(`${folder}/x/y`, nothing))
        yield* equal("offered", yield* files.complete(`${folder}/x`), [`${folder}/x/`])
        yield* put(placeAt(files, `${folder}/x/y/b`), bytes)
        yield* Effect.scoped(
          Effect.andThen(tree.place("x/y/a").stage(nothing), Effect.andThen(tree.remove("x/y/b"), kinds)).pipe(
            Effect.flatMap((found) => equal("something is on its way", found, ["folder", "folder"]))
          )
        )
        yield* put(tree.place("x/y/b"), bytes)
        yield* tree.remove("x/y/b")
        yield* equal("the last", yield* kinds, [undefined, undefined])
        const inner = yield* files.tree(`${folder}/x`, true)
        yield* put(inner.place("y/a"), bytes)
        yield* inner.remove("y/a")
        yield* equal("the tree's own", yield* kinds, ["folder", undefined])
      }).pipe(Effect.scoped)
    },
    {
      name: "an open file is no other when its name goes to one, and is when it is settled",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const place = placeAt(files, `${folder}/f`)
        yield* put(place, bytes)
        const source = yield* Effect.fromNullishOr(yield* place.open)
        const another = source.isAnother ?? Effect.succeed(false)
        yield* put(place, bytes.subarray(5))
        yield* equal("replaced", yield* another, false)
        const settled = yield* Effect.fromNullishOr(yield* place.open)
        yield* place.settle({ modified: 9000 })
        yield* failing("source-changed", settled.unchanged)
        yield* equal("settled", yield* settled.isAnother ?? Effect.succeed(true), true)
        yield* equal("the first one", yield* another, false)
      }).pipe(Effect.scoped)
    }
  ]
}

/** Trees are made of what was staged: in folders that the layer made itself. */
const trees = (folder: string): ReadonlyArray<ContractCase<Services>> => {
  const put = Effect.fnUntraced(function* (path: string, content: Uint8Array, modified: number) {
    const staging = yield* (yield* LocalFiles).stage(path, { size: content.length, modified })
    yield* staging.write([content])
    yield* staging.commit({ size: content.length, digest: digestOf(yield* Digest, [content]) })
  }, Effect.scoped)
  const found = (enter: (name: string) => boolean, root = folder) =>
    Effect.flatMap(LocalFiles, ({ walk }) => Stream.runCollect(walk(root, enter)))
  const shown = (all: ReadonlyArray<LocalFound>) =>
    all.map((one) => `${one._tag} ${one.name}${one._tag === "File" ? ` ${one.size} ${one.modified}` : ""}`)
  return [
    {
      name: "what stands at a path",
      effect: Effect.gen(function* () {
        const { look } = yield* LocalFiles
        yield* put(`${folder}/f`, bytes, 5000)
        const file = yield* look(`${folder}/f`)
        yield* equal("file", [file?.kind, file?.size, file?.modified].join(" "), `file ${bytes.length} 5000`)
        yield* equal("folder", (yield* look(folder))?.kind, "folder")
        yield* equal("nothing", yield* look(`${folder}/none`), undefined)
        yield* equal("below a file", yield* look(`${folder}/f/none`), undefined)
      })
    },
    {
      name: "a walk gives the files in the order of their names",
      effect: Effect.gen(function* () {
        yield* put(`${folder}/b`, bytes, 5000)
        yield* put(`${folder}/a.txt`, bytes.subarray(0, 3), 7000)
        yield* put(`${folder}/B`, bytes.subarray(0, 0), 9000)
        yield* equal("all", shown(yield* found(() => true)), [
          "File B 0 9000",
          "File a.txt 3 7000",
          `File b ${bytes.length} 5000`
        ])
      })
    },
    {
      name: "a walk of a folder that is not there is one finding",
      effect: Effect.gen(function* () {
        yield* equal("finding", shown(yield* found(() => true, `${folder}/none`)), ["Failed "])
      })
    }
  ]
}

/** What is left of a staging, and how it is gone on with. */
const leftovers = (path: string): ReadonlyArray<ContractCase<Services>> => {
  const kept = resumeBytesMin + 5
  const declared = { size: large.length, modified: 77, resumable: true }
  const begin = (length: number, more: object = {}) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { write } = yield* (yield* LocalFiles).stage(path, { ...declared, ...more })
        yield* write([large.subarray(0, length)])
      })
    )
  const taken = Effect.flatMap(LocalFiles, ({ leftover }) => leftover(path))
  const resumedAs = (executable?: true) =>
    Effect.flatMap(taken, (left) => left?.resume(executable) ?? Effect.die("nothing was left"))
  const resumed = resumedAs()
  const from = Effect.scoped(Effect.map(taken, (left) => left?.from))
  const finish = Effect.fnUntraced(function* (rest: Uint8Array, executable?: true) {
    const staging = yield* resumedAs(executable)
    yield* staging.write([rest])
    yield* staging.commit({ size: large.length, digest: digestOf(yield* Digest, [large]) })
  }, Effect.scoped)
  const content = Effect.gen(function* () {
    const source = yield* (yield* LocalFiles).open(path)
    return yield* source?.read(0, source.size) ?? Effect.undefined
  }).pipe(Effect.scoped)

  return [
    {
      name: "what a resumable staging has left is gone on with, and is then the whole file",
      effect: Effect.gen(function* () {
        yield* begin(kept)
        yield* equal("no file yet", yield* content, undefined)
        const left = yield* Effect.scoped(taken)
        const head = shortDigest(yield* Digest, [large.subarray(0, headBytes)])
        const told = [left?.from, left?.modified, left?.size, left?.head].join(" ")
        yield* equal("what it is", told, [kept, 77, large.length, head].join(" "))
        yield* finish(large.subarray(kept))
        yield* equal("content", yield* content, large)
        yield* equal("nothing left", yield* from, undefined)
      })
    },
    {
      name: "it may be run when that is said as it is gone on with, whatever was said before",
      effect: Effect.gen(function* () {
        const mayBeRun = Effect.map(
          Effect.flatMap(LocalFiles, ({ look }) => look(path)),
          (there) => there?.executable
        )
        yield* begin(kept)
        yield* finish(large.subarray(kept), true)
        yield* equal("said now", yield* mayBeRun, true)
        yield* begin(kept, { executable: true })
        yield* finish(large.subarray(kept))
        yield* equal("said before alone", yield* mayBeRun, undefined)
      })
    },
    {
      name: "it grows with each try, and is there again when it was only looked at",
      effect: Effect.gen(function* () {
        yield* begin(kept)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const staging = yield* resumed
            yield* staging.write([large.subarray(kept, kept + 10)])
          })
        )
        yield* equal("first look", yield* from, kept + 10)
        yield* equal("second look", yield* from, kept + 10)
        yield* finish(large.subarray(kept + 10))
        yield* equal("content", yield* content, large)
      })
    },
    {
      name: "too little, too small a file, and what is not resumable leave nothing",
      effect: Effect.gen(function* () {
        yield* begin(resumeBytesMin - 1)
        yield* begin(10, { size: 10 })
        yield* begin(kept, { resumable: false })
        yield* equal("left", yield* from, undefined)
      })
    },
    {
      name: "wrong content is dropped at the commit, and so is what is dropped",
      effect: Effect.gen(function* () {
        yield* begin(kept)
        const error = yield* Effect.flip(finish(large.subarray(kept).map((byte) => byte ^ 1)))
        yield* equal("the code", "code" in error ? error.code : "", "digest-mismatch")
        yield* equal("left", yield* from, undefined)
        yield* begin(kept)
        yield* Effect.scoped(Effect.flatMap(taken, (left) => left?.drop ?? Effect.die("nothing was left")))
        yield* equal("left", yield* from, undefined)
      })
    },
    {
      name: "two never have the same leftover; the newest comes first",
      effect: Effect.gen(function* () {
        yield* begin(kept)
        yield* begin(kept + 1)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const both = yield* Effect.all([taken, taken])
            const found = both.map((left) => left?.from)
            yield* equal("both", JSON.stringify(found), JSON.stringify([kept + 1, kept]))
            yield* equal("no third", yield* from, undefined)
          })
        )
      })
    }
  ]
}

/** @param folder an existing, empty folder */
const wholeFiles = (folder: string): ReadonlyArray<ContractCase<Services>> => {
  const at = (name: string): string => `${folder}/${name}`
  const put = Effect.fnUntraced(function* (
    name: string,
    content: Uint8Array,
    told?: { size?: number; digest?: ContentDigest }
  ) {
    const files = yield* LocalFiles
    const digest = digestOf(yield* Digest, [content])
    yield* Effect.scoped(
      Effect.gen(function* () {
        const staging = yield* files.stage(at(name), {
          size: told?.size ?? content.length,
          modified: 1_700_000_000_123
        })
        yield* staging.write([content.subarray(0, 10), content.subarray(10)])
        yield* staging.commit({ size: told?.size ?? content.length, digest: told?.digest ?? digest })
      })
    )
  })
  const get = Effect.fnUntraced(function* (name: string) {
    const files = yield* LocalFiles
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const source = yield* files.open(at(name))
        if (source === undefined) return undefined
        const content = yield* source.read(0, source.size + 10)
        yield* source.unchanged
        return { content, modified: source.modified }
      })
    )
  })
  const names = Effect.flatMap(LocalFiles, ({ walk }) =>
    Effect.map(Stream.runCollect(walk(folder, () => true)), (all) => all.map(({ name }) => name))
  )
  const failing = <A, E extends { readonly _tag: string }>(code: string, effect: Effect.Effect<A, E, Services>) =>
    Effect.flatMap(failure(code, effect), (error) =>
      equal("the code", "code" in error ? String(error.code) : error._tag, code)
    )

  return [
    {
      name: "what is committed is read again, with its time",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        const found = yield* get("a")
        yield* equal("content", found?.content, bytes)
        yield* equal("modified", found?.modified, 1_700_000_000_123)
        yield* equal("nothing else", yield* names, ["a"])
      })
    },
    {
      name: "what stands in an older copy where it will stand is there, and what does not",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        const files = yield* LocalFiles
        const base = yield* files.open(at("a"))
        if (base === undefined) return yield* Effect.die("no file")
        const mine = Bytes.concat([bytes.subarray(0, 1_000), bytes.subarray(500, 600), bytes.subarray(1_100, 2_000)])
        const declared = { size: mine.length, modified: 5, resumable: true }
        const staging = yield* files.stage(at("a"), { ...declared, base })
        for (const [from, until] of [
          [0, 1_000],
          [500, 600],
          [1_100, 2_000]
        ] as const) {
          yield* staging.write([yield* base.read(from, until - from)], from)
        }
        yield* staging.commit({ size: mine.length, digest: digestOf(yield* Digest, [mine]) })
        yield* equal("content", (yield* get("a"))?.content, mine)
      }).pipe(Effect.scoped)
    },
    {
      name: "an empty file is a file",
      effect: Effect.gen(function* () {
        yield* put("empty", new Uint8Array(0))
        yield* equal("size", (yield* get("empty"))?.content.length, 0)
      })
    },
    {
      name: "a missing file is undefined, also behind a file or a missing folder",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        for (const name of ["b", "a/b", "none/b"]) yield* equal(name, yield* get(name), undefined)
      })
    },
    {
      name: "a folder is no file",
      effect: failing(
        "EISDIR",
        Effect.flatMap(LocalFiles, ({ open }) => Effect.scoped(open(folder)))
      )
    },
    {
      name: "positional reads end at the file's end",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        const source = yield* (yield* LocalFiles).open(at("a"))
        yield* equal("middle", yield* source?.read(50, 10) ?? Effect.undefined, bytes.slice(50, 60))
        yield* equal("end", (yield* source?.read(99_999, 10) ?? Effect.undefined)?.length, 1)
      }).pipe(Effect.scoped)
    },
    {
      name: "a file that is replaced while it is read is noticed or read as it was",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        const source = yield* (yield* LocalFiles).open(at("a"))
        yield* put("a", bytes.slice(5))
        const read = yield* source?.read(0, bytes.length) ?? Effect.undefined
        yield* equal("old content", read, bytes)
      }).pipe(Effect.scoped)
    },
    {
      name: "wrong digest, wrong size and too much content leave the old file and nothing else",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        yield* failing("digest-mismatch", put("a", bytes.slice(1), { digest: ContentDigest.make("0".repeat(64)) }))
        yield* failing("size-mismatch", put("a", bytes, { size: bytes.length - 1 }))
        yield* failing("size-mismatch", put("a", bytes, { size: bytes.length + 1 }))
        yield* equal("content", (yield* get("a"))?.content, bytes)
        yield* equal("files", yield* names, ["a"])
      })
    },
    {
      name: "a staging that is given up leaves nothing, one that is interrupted too",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        const begin = Effect.flatMap(files.stage(at("a"), { size: bytes.length, modified: 0 }), ({ write }) =>
          write([bytes])
        )
        yield* Effect.scoped(begin)
        yield* Effect.scoped(Effect.andThen(begin, Effect.never)).pipe(Effect.raceFirst(Effect.scoped(begin)))
        yield* equal("files", yield* names, [])
      })
    },
    {
      name: "nothing shows before the commit, and the old file stays until then",
      effect: Effect.gen(function* () {
        yield* put("a", bytes)
        const staging = yield* (yield* LocalFiles).stage(at("a"), { size: 3, modified: 0 })
        yield* staging.write([bytes.subarray(0, 3)])
        yield* equal("content", (yield* get("a"))?.content, bytes)
        yield* staging.commit({ size: 3, digest: digestOf(yield* Digest, [bytes.subarray(0, 3)]) })
        yield* equal("content", (yield* get("a"))?.content.length, 3)
      }).pipe(Effect.scoped)
    },
    {
      name: "a folder as destination and a missing folder are refused",
      effect: Effect.gen(function* () {
        const stage = (path: string) =>
          Effect.flatMap(LocalFiles, (files) => Effect.scoped(files.stage(path, { size: 0, modified: 0 })))
        yield* failing("EISDIR", stage(folder))
        yield* failing("ENOENT", stage(at("none/a")))
      })
    },
    {
      name: "folders, last parts and completions",
      effect: Effect.gen(function* () {
        const files = yield* LocalFiles
        yield* put("ab", bytes)
        yield* put("ac d", bytes)
        yield* equal("folder", yield* files.isFolder(folder), true)
        yield* equal("file", yield* files.isFolder(at("ab")), false)
        yield* equal("last part", files.baseName(at("ac d")), "ac d")
        yield* equal("joined", files.join(folder, "x"), at("x"))
        yield* equal("both", yield* files.complete(at("a")), [at("ab"), at("ac d")])
        yield* equal("one", yield* files.complete(at("ac")), [at("ac d")])
        yield* equal("folder", yield* files.complete(folder.slice(0, -1)), [`${folder}/`])
        yield* equal("none", yield* files.complete(at("none/")), [])
        yield* put(".b", bytes)
        yield* Effect.scoped(
          files.stage(at("c"), { size: 1, modified: 0 }).pipe(
            Effect.andThen(Effect.all([files.complete(at("")), files.complete(at("."))])),
            Effect.flatMap((found) => equal("on its way", found, [[at("ab"), at("ac d")], [at(".b")]]))
          )
        )
      })
    }
  ]
}
