/**
 * A view of a store: one folder of it as if it were the whole.
 *
 * A name of the view is the folder's name and that name, joined once, here: what the rights were checked for and what
 * the store is asked for are the same parsed value. The store may find a file under another spelling of its name; one
 * whose folder is spelt otherwise belongs to somebody else and is not there.
 */
import { Effect, Result, Stream } from "effect"
import type { FileEntry } from "../file/FileEntry.ts"
import { type FileName, isName, segments } from "../file/FileName.ts"
import type { FileStore, OpenFile, SmallContent, Staging, Unnamed } from "./FileStore.ts"
import * as SmallFiles from "./SmallFiles.ts"
import {
  BaseChanged,
  DigestMismatch,
  FileExists,
  NameCollision,
  NoSpace,
  NoSuchFile,
  NotAFile,
  QuotaExceeded,
  SizeMismatch,
  SourceChanged,
  type StoreError,
  StoreFailed,
  TakenOver
} from "./StoreError.ts"

type Store = FileStore["Service"]

/** The view, and what its names are in the store below. */
export interface Confined {
  readonly store: Store
  /** The name in the store below; as it is when that store cannot have one as long as that, which the view refuses. */
  readonly whole: (name: FileName) => FileName
  /** the folder; undefined for the whole store */
  readonly root: FileName | undefined
}

const parsed = (name: string): FileName | undefined => (isName(name) ? name : undefined)

/** The whole store, or one folder of it, which need not exist yet. */
export const make = (store: Store, root: FileName | undefined): Confined =>
  root === undefined ? { store, root, whole: (name) => name } : below(store, root)

const below = (store: Store, root: FileName): Confined => {
  const depth = segments(root).length
  const absolute = (name: FileName): FileName | undefined => parsed(`${root}/${name}`)
  /** The name in the view, or undefined for one outside. */
  const relative = (name: string): FileName | undefined =>
    name.startsWith(`${root}/`) ? parsed(name.slice(root.length + 1)) : undefined

  const readable = (name: FileName): Effect.Effect<FileName, NoSuchFile> => {
    const full = absolute(name)
    return full === undefined ? Effect.fail(new NoSuchFile({ name })) : Effect.succeed(full)
  }

  /** Errors of the store below speak of its names; the view's owner must see its own. */
  const inView =
    (name: FileName) =>
    <A, R>(work: Effect.Effect<A, StoreError, R>): Effect.Effect<A, StoreError, R> =>
      Effect.mapError(work, (error) => renamed(error, name, depth))

  const entryOf = <E extends { readonly name: FileName }>(name: FileName, entry: E): Effect.Effect<E, NoSuchFile> => {
    const own = relative(entry.name)
    return own === undefined ? Effect.fail(new NoSuchFile({ name })) : Effect.succeed({ ...entry, name: own })
  }

  /** The file as it is now: whoever changes it names that version, so that no other spelling can take its place. */
  const own = (name: FileName) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { entry, version } = yield* inView(name)(store.open(yield* readable(name)))
        yield* entryOf(name, entry)
        return { entry, version }
      })
    )

  const inOwnNames = (all: Stream.Stream<FileEntry, StoreError>): Stream.Stream<FileEntry, StoreError> =>
    all.pipe(
      Stream.map((entry) => ({ ...entry, name: relative(entry.name) })),
      Stream.filter(isOwn)
    )

  const list: Store["list"] = ({ folder, onUnlisted, onUnnamed, ...where } = {}) => {
    const full = folder === undefined ? root : absolute(folder)
    const told = (name: FileName) => {
      const own = relative(name)
      return own === undefined || onUnlisted === undefined ? Effect.void : onUnlisted(own)
    }
    const toldUnnamed = (unnamed: Unnamed) => {
      const own = unnamed.folder === root ? undefined : relative(unnamed.folder ?? "")
      const isOwn = unnamed.folder === root || own !== undefined
      return isOwn && onUnnamed !== undefined ? onUnnamed({ ...unnamed, folder: own }) : Effect.void
    }
    const all = {
      ...where,
      ...(onUnlisted && { onUnlisted: told }),
      ...(onUnnamed && { onUnnamed: toldUnnamed })
    }
    return full === undefined ? Stream.empty : inOwnNames(store.list({ ...all, folder: full }))
  }

  /** Those that have a name in the store below go there together; the others fail as `without` says. */
  const together = <A, B>(
    all: ReadonlyArray<A>,
    full: (one: A) => A | undefined,
    run: (inside: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<Result.Result<B, StoreError>>>,
    back: (one: A, outcome: Result.Result<B, StoreError>) => Result.Result<B, StoreError>,
    without: (one: A) => StoreError
  ): Effect.Effect<ReadonlyArray<Result.Result<B, StoreError>>> => {
    const inside = all.map(full)
    return Effect.map(run(inside.filter((one) => one !== undefined)), (outcomes) => {
      const done: Array<Result.Result<B, StoreError>> = []
      let next = 0
      for (const [index, one] of all.entries()) {
        if (inside[index] === undefined) {
          done.push(Result.fail(without(one)))
          continue
        }
        const outcome = outcomes[next]
        if (outcome === undefined) break
        next += 1
        done.push(back(one, outcome))
      }
      return done
    })
  }

  const presentIn =
    (present: NonNullable<Store["present"]>): NonNullable<Store["present"]> =>
    (names) => {
      const full = names.map(absolute)
      return Effect.map(present(full.filter((name) => name !== undefined)), (all) => {
        const there = new Set<FileName | undefined>(all)
        return names.filter((_, index) => there.has(full[index]))
      })
    }

  return {
    root,
    whole: (name) => absolute(name) ?? name,
    store: {
      list,
      stat: Effect.fnUntraced(function* (name) {
        return yield* entryOf(name, yield* inView(name)(store.stat(yield* readable(name))))
      }),
      open: Effect.fnUntraced(function* (name) {
        const file = yield* inView(name)(store.open(yield* readable(name)))
        const unchanged = Effect.catchTag(file.unchanged, "SourceChanged", () =>
          Effect.fail(new SourceChanged({ name }))
        )
        const view: OpenFile = { ...file, entry: yield* entryOf(name, file.entry), unchanged }
        return view
      }),
      stage: Effect.fnUntraced(function* (request) {
        const { name } = request
        const full = absolute(name)
        if (full === undefined) return yield* new StoreFailed({ operation: "stage", code: "ENAMETOOLONG" })
        const staging = yield* inView(name)(store.stage({ ...request, name: full }))
        const view: Staging = {
          resumed: staging.resumed,
          write: (parts) => inView(name)(staging.write(parts)),
          copy: (from, offset, length) => inView(name)(staging.copy(from, offset, length)),
          drop: staging.drop,
          commit: (expected) => Effect.map(inView(name)(staging.commit(expected)), (entry) => ({ ...entry, name }))
        }
        return view
      }),
      placeAll: (files, target) =>
        together(
          files,
          (file) => {
            const full = absolute(file.name)
            return full === undefined ? undefined : { ...file, name: full }
          },
          (inside) => SmallFiles.placeAll(store, inside, target),
          ({ name }, outcome) =>
            Result.mapBoth(outcome, {
              onFailure: (error) => renamed(error, name, depth),
              onSuccess: (entry) => ({ ...entry, name })
            }),
          () => new StoreFailed({ operation: "stage", code: "ENAMETOOLONG" })
        ),
      readAll: (names, bytesMax) =>
        together<FileName, SmallContent>(
          names,
          absolute,
          (inside) => SmallFiles.readAll(store, inside, bytesMax),
          (name, outcome) =>
            Result.flatMap(
              Result.mapError(outcome, (error) => renamed(error, name, depth)),
              ({ content, entry }) => {
                const own = relative(entry.name)
                return own === undefined
                  ? Result.fail(new NoSuchFile({ name }))
                  : Result.succeed({ content, entry: { ...entry, name: own } })
              }
            ),
          (name) => new NoSuchFile({ name })
        ),
      ...(store.present && { present: presentIn(store.present) }),
      remove: Effect.fnUntraced(function* ({ name, version }) {
        const live = yield* own(name)
        const request = { name: live.entry.name, version: version ?? live.version }
        return yield* entryOf(name, yield* inView(name)(store.remove(request)))
      }),
      rename: Effect.fnUntraced(function* ({ name, replace, to, version }) {
        const live = yield* own(name)
        const full = absolute(to)
        if (full === undefined) return yield* new StoreFailed({ operation: "rename", code: "ENAMETOOLONG" })
        const request = { name: live.entry.name, to: full, replace, version: version ?? live.version }
        const { entry, from, replaced } = yield* Effect.mapError(store.rename(request), (error) =>
          renamed(error, error._tag === "FileExists" || error._tag === "NameCollision" ? to : name, depth)
        )
        return {
          from: relative(from) ?? name,
          entry: yield* entryOf(to, entry),
          ...(replaced && { replaced: yield* entryOf(to, replaced) })
        }
      })
    }
  }
}

const isOwn = <E extends Omit<FileEntry, "name"> & { readonly name: FileName | undefined }>(
  entry: E
): entry is E & { readonly name: FileName } => entry.name !== undefined

/** The error as it is about `name` in a view whose root is `depth` parts deep. */
const renamed = (error: StoreError, name: FileName, depth: number): StoreError => {
  switch (error._tag) {
    case "NoSuchFile":
      return new NoSuchFile({ name })
    case "FileExists":
      return new FileExists({ name })
    case "NameCollision": {
      const existing = error.existing.split("/").slice(depth).join("/")
      // Not a name of this view: the root itself is spelt otherwise, which only the administrator can mend.
      if (existing === "") return new StoreFailed({ operation: `use of '${error.existing}' as root`, code: "EEXIST" })
      return new NameCollision({ name, existing })
    }
    case "NotAFile":
      return new NotAFile({ name, found: error.found })
    case "NoSpace":
      return new NoSpace({ name })
    case "QuotaExceeded":
      return new QuotaExceeded({ name, limit: error.limit, quota: error.quota, used: error.used, more: error.more })
    case "SizeMismatch":
      return new SizeMismatch({ name, declared: error.declared, received: error.received })
    case "DigestMismatch":
      return new DigestMismatch({ name, declared: error.declared, received: error.received })
    case "SourceChanged":
      return new SourceChanged({ name })
    case "TakenOver":
      return new TakenOver({ name })
    case "BaseChanged":
      return new BaseChanged({ name })
    case "NoAccess":
    case "StoreFailed":
      return error
  }
}
