/**
 * The contract suite of the `LocalWatch` port, as data: any test runner can run it on any layer.
 *
 * Nothing in it waits for time: each case ends when what must be said was said.
 */
import { Effect, Queue, type Scope, Stream } from "effect"
import { equal } from "../../domain/testing/Contract.ts"
import { type LocalChange, LocalWatch } from "../LocalWatch.ts"

/** What makes the changes: files of the layer's world, by path. */
export interface LocalWatchWorld {
  /** a folder that is there and empty */
  readonly folder: string
  /** Makes a file, or changes the one that is there, and the folders above it. */
  readonly write: (path: string) => Effect.Effect<void>
  /** Renames a new file over the one of that path, as careful editors do. */
  readonly replace: (path: string) => Effect.Effect<void>
  /** a file, or a folder with all below it */
  readonly remove: (path: string) => Effect.Effect<void>
}

/** One promise of the port and the effect that checks it. */
export interface LocalWatchCase {
  readonly name: string
  readonly effect: (world: LocalWatchWorld) => Effect.Effect<void, unknown, LocalWatch>
}

/** What is said of a path, once it is watched. */
const watched = (
  paths: ReadonlyArray<string>
): Effect.Effect<Queue.Queue<LocalChange>, unknown, LocalWatch | Scope.Scope> =>
  Effect.gen(function* () {
    const said = yield* Queue.unbounded<LocalChange>()
    const { changes } = yield* LocalWatch
    yield* Effect.forkScoped(Stream.runForEach(changes(paths), (change) => Queue.offer(said, change)))
    yield* equal("what is said first", (yield* Queue.take(said))._tag, "Ready")
    return said
  })

/** Waits until a change is said of the path, and drops what else is said. */
const until = (said: Queue.Queue<LocalChange>, path: string): Effect.Effect<void> =>
  Effect.flatMap(Queue.take(said), (change) =>
    change._tag === "Changed" && change.path === path ? Effect.void : until(said, path)
  )

/** Changes the file again and again until it is said: when the watching has caught up nobody is told. */
const heard = (said: Queue.Queue<LocalChange>, { write }: LocalWatchWorld, path: string): Effect.Effect<void> =>
  Effect.raceFirst(until(said, path), Effect.forever(Effect.andThen(write(path), Effect.yieldNow)))

/** What every `LocalWatch` layer promises. */
export const localWatchContract: ReadonlyArray<LocalWatchCase> = [
  {
    name: "a file that changes, also when another is renamed over it, again and again",
    effect: ({ folder, replace, write }) =>
      Effect.gen(function* () {
        const path = `${folder}/note.txt`
        yield* write(path)
        const said = yield* watched([path])
        yield* write(path)
        yield* until(said, path)
        for (const _ of [1, 2, 3]) {
          yield* replace(path)
          yield* until(said, path)
        }
        yield* write(path)
        yield* until(said, path)
      }).pipe(Effect.scoped)
  },
  {
    name: "a folder that is named with its end",
    effect: (world) =>
      Effect.gen(function* () {
        const said = yield* watched([`${world.folder}/`])
        yield* heard(said, world, `${world.folder}/note.txt`)
      }).pipe(Effect.scoped)
  },
  {
    name: "a file that goes and comes back",
    effect: ({ folder, remove, write }) =>
      Effect.gen(function* () {
        const path = `${folder}/note.txt`
        yield* write(path)
        const said = yield* watched([path])
        yield* remove(path)
        yield* until(said, path)
        yield* write(path)
        yield* until(said, path)
      }).pipe(Effect.scoped)
  },
  {
    name: "a file that is not there yet",
    effect: ({ folder, write }) =>
      Effect.gen(function* () {
        const path = `${folder}/later.txt`
        const said = yield* watched([path])
        yield* write(path)
        yield* until(said, path)
      }).pipe(Effect.scoped)
  },
  {
    name: "files below a folder, in folders that were there before",
    effect: ({ folder, remove, replace, write }) =>
      Effect.gen(function* () {
        yield* write(`${folder}/a/b/deep.txt`)
        const said = yield* watched([folder])
        yield* write(`${folder}/new.txt`)
        yield* until(said, `${folder}/new.txt`)
        yield* replace(`${folder}/a/b/deep.txt`)
        yield* until(said, `${folder}/a/b/deep.txt`)
        yield* remove(`${folder}/a/b/deep.txt`)
        yield* until(said, `${folder}/a/b/deep.txt`)
      }).pipe(Effect.scoped)
  },
  {
    name: "files below a folder that goes and comes back, again and again",
    effect: (world) =>
      Effect.gen(function* () {
        const path = `${world.folder}/dist`
        yield* world.write(`${path}/old.txt`)
        const said = yield* watched([path])
        for (const name of ["one", "two"]) {
          yield* world.remove(path)
          yield* until(said, path)
          yield* heard(said, world, `${path}/${name}/deep.txt`)
        }
      }).pipe(Effect.scoped)
  },
  {
    name: "files below a folder in a folder that is made again at once",
    effect: (world) =>
      Effect.gen(function* () {
        const path = `${world.folder}/dist/sub`
        yield* world.write(`${path}/old.txt`)
        const said = yield* watched([world.folder])
        for (const name of ["one", "two"]) {
          yield* world.remove(path)
          yield* world.write(`${path}/first.txt`)
          yield* until(said, path)
          yield* heard(said, world, `${path}/${name}.txt`)
          yield* heard(said, world, `${path}/${name}/deep.txt`)
        }
      }).pipe(Effect.scoped)
  },
  {
    name: "files below a folder that comes later, or in place of a file",
    effect: (world) =>
      Effect.gen(function* () {
        const [later, file] = [`${world.folder}/later`, `${world.folder}/file`]
        yield* world.write(file)
        const said = yield* watched([later, file])
        yield* heard(said, world, `${later}/sub/deep.txt`)
        yield* world.remove(file)
        yield* until(said, file)
        yield* heard(said, world, `${file}/deep.txt`)
      }).pipe(Effect.scoped)
  },
  {
    name: "several paths at once",
    effect: ({ folder, write }) =>
      Effect.gen(function* () {
        const [one, other] = [`${folder}/one`, `${folder}/other`]
        const said = yield* watched([one, other])
        yield* write(other)
        yield* until(said, other)
        yield* write(one)
        yield* until(said, one)
      }).pipe(Effect.scoped)
  }
]
