/**
 * A store of your own: all files in one SQLite database.
 *
 *   PARADROP_PASSWORD=... node sqliteStore.ts files.db [PORT]      serves it to the user ada, on loopback
 *
 * A server needs of a store what stands in the contract of `FileStore`, and checkStore.ts holds this one to it.
 * Content is in memory while it comes and goes: right for documents, wrong for films.
 */
import { DatabaseSync } from "node:sqlite"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Effect, Layer, Result, Schema, Stream } from "effect"
import { Bytes, Digest, FileEntry, FileName, FileStore, limits, StoreError } from "paradrop"
import { DigestNode } from "paradrop/node"
import { paradrop, password, say } from "./embed.ts"

/** The most that SQLite puts into one value, bytes. */
const contentBytesMax = 1_000_000_000

/** What is left of broken uploads, for the next try: so many at once. */
const leftoversMax = 16

// A row is never changed, only replaced: its id names its content for ever, also over restarts.
const tables = `
  PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, executable INTEGER NOT NULL, digest TEXT NOT NULL, changed INTEGER NOT NULL,
    content BLOB NOT NULL)`

const Row = Schema.Struct({
  id: Schema.Int,
  ...FileEntry.FileEntry.fields,
  executable: Schema.Int,
  digest: Digest.ContentDigest,
  changed: Schema.Int
})
type Row = typeof Row.Type
const toRow = Schema.decodeUnknownSync(Row)

const entryOf = ({ digest, executable, modified, name, size }: Row): FileEntry.FileEntry => ({
  name,
  size,
  modified,
  digest,
  ...FileEntry.mayRun(executable === 1)
})
const versionOf = ({ id }: Row): string => `sqlite:${id}`

type Outcome<A> = Result.Result<A, StoreError.StoreError>

/** The database, with the two questions that every command asks it. */
const openDatabase = (path: string) => {
  const database = new DatabaseSync(path)
  database.exec(tables)
  const columns = "id, name, size, modified, executable, digest, changed"
  const byKey = database.prepare(`SELECT ${columns} FROM files WHERE key = ?`)
  // '0' follows '/': everything in a folder, and nothing else.
  const inFolder = database.prepare(`SELECT ${columns} FROM files WHERE key >= ? || '/' AND key < ? || '0' LIMIT 1`)
  const find = (name: string): Row | undefined => {
    const row = byKey.get(FileName.segmentKey(name))
    return row && toRow(row)
  }
  const findBelow = (folder: string): Row | undefined => {
    const key = FileName.segmentKey(folder)
    const row = inFolder.get(key, key)
    return row && toRow(row)
  }
  return {
    all: () =>
      database
        .prepare(`SELECT ${columns} FROM files`)
        .all()
        .map((row) => entryOf(toRow(row))),
    content: database.prepare("SELECT content FROM files WHERE id = ?"),
    insert: database.prepare(
      `INSERT INTO files (key, name, size, modified, executable, digest, changed, content)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
    ),
    move: database.prepare("UPDATE files SET key = ?, name = ? WHERE id = ?"),
    drop: database.prepare("DELETE FROM files WHERE id = ?"),
    close: Effect.sync(() => database.close()),
    find,
    findBelow,
    /** All of it or nothing, durable when it succeeds; whatever SQLite throws is a `StoreFailed`. */
    atomically: <A>(operation: string, work: () => Outcome<A>): Effect.Effect<A, StoreError.StoreError> =>
      Effect.try({
        try: () => {
          database.exec("BEGIN IMMEDIATE")
          try {
            const outcome = work()
            if (Result.isSuccess(outcome)) database.exec("COMMIT")
            return outcome
          } finally {
            if (database.isTransaction) database.exec("ROLLBACK")
          }
        },
        catch: () => new StoreError.StoreFailed({ operation, code: "EIO" })
      }).pipe(Effect.flatMap(Effect.fromResult))
  }
}
type Database = ReturnType<typeof openDatabase>

// -----------------------------------------------------------------------------
// The rules of names
// -----------------------------------------------------------------------------

/** A name and the folders above it, the outermost first. */
const paths = (name: FileName.FileName): ReadonlyArray<string> =>
  FileName.segments(name).map((_, index, parts) => parts.slice(0, index + 1).join("/"))

/** The file that a reader means: of that very name, or of one that some machines take for it. */
const located = (database: Database, name: FileName.FileName): Outcome<Row> => {
  const row = database.find(name)
  if (row !== undefined) return Result.succeed(row)
  if (database.findBelow(name)?.name.startsWith(`${name}/`) === true)
    return Result.fail(new StoreError.NotAFile({ name, found: "folder" }))
  const above = paths(name).some((path) => database.find(path)?.name === path)
  return Result.fail(
    above ? new StoreError.NotAFile({ name, found: "file-as-folder" }) : new StoreError.NoSuchFile({ name })
  )
}

/** What a writer would replace; fails when the name cannot stand beside what is there. `leaving` makes room for its own name. */
const standing = (database: Database, name: FileName.FileName, leaving?: string): Outcome<Row | undefined> => {
  for (const [index, path] of paths(name).entries()) {
    const file = database.find(path)
    const there = file ?? database.findBelow(path)
    if (there === undefined) return Result.succeed(undefined)
    const existing = paths(there.name)[index] ?? path
    if (existing !== path)
      return existing === leaving && path === name
        ? Result.succeed(undefined)
        : Result.fail(new StoreError.NameCollision({ name, existing }))
    if (file !== undefined && path !== name)
      return Result.fail(new StoreError.NotAFile({ name, found: "file-as-folder" }))
    if (path === name)
      return file ? Result.succeed(file) : Result.fail(new StoreError.NotAFile({ name, found: "folder" }))
  }
  return Result.succeed(undefined)
}

const demanded = (database: Database, { name, target }: FileStore.StageRequest): Outcome<Row | undefined> =>
  Result.flatMap(standing(database, name), (row): Outcome<Row | undefined> => {
    if (target === "absent" && row !== undefined) return Result.fail(new StoreError.FileExists({ name }))
    if (target === "present" && row === undefined) return Result.fail(new StoreError.NoSuchFile({ name }))
    return Result.succeed(row)
  })

const inVersion = (database: Database, { name, version }: FileStore.RemoveRequest): Outcome<Row> =>
  Result.flatMap(located(database, name), (row) =>
    version === undefined || version === versionOf(row)
      ? Result.succeed(row)
      : Result.fail(new StoreError.BaseChanged({ name }))
  )

// -----------------------------------------------------------------------------
// Content on its way
// -----------------------------------------------------------------------------

interface Staged {
  state: "open" | "over" | "taken-over"
  parts: Array<Uint8Array>
}

const usable = ({ state }: Staged, name: FileName.FileName): Outcome<void> => {
  if (state === "taken-over") return Result.fail(new StoreError.TakenOver({ name }))
  if (state === "open") return Result.void
  return Result.fail(new StoreError.StoreFailed({ operation: "use of an ended staging", code: "EBADF" }))
}

const stage = Effect.fnUntraced(function* (
  database: Database,
  digest: Digest.Digest["Service"],
  kept: Map<string, Staged>,
  request: FileStore.StageRequest
) {
  const { executable, modified, name, resume, size } = request
  yield* database.atomically("stage", () => demanded(database, request))
  if (size > contentBytesMax) return yield* new StoreError.NoSpace({ name })
  const before = resume === undefined ? undefined : kept.get(resume)
  for (const [key, { state }] of kept) if (kept.size >= leftoversMax && state === "over") kept.delete(key)
  const parts = before !== undefined && Bytes.lengthOf(before.parts) <= size ? [...before.parts] : []
  const staged: Staged = { state: "open", parts }
  if (before?.state === "open") before.state = "taken-over"
  if (resume !== undefined) kept.set(resume, staged)

  /** Ends it; what is worth going on with stays under its key. */
  const release = (worth: boolean) =>
    Effect.sync(() => {
      if (staged.state !== "open") return
      staged.state = "over"
      const keeps = worth && Bytes.lengthOf(staged.parts) >= limits.resumeBytesMin
      if (!keeps && resume !== undefined && kept.get(resume) === staged) kept.delete(resume)
    })
  yield* Effect.addFinalizer(() => release(true))

  const write = Effect.fnUntraced(function* (more: Bytes.Parts) {
    yield* Effect.fromResult(usable(staged, name))
    const received = Bytes.lengthOf(staged.parts) + Bytes.lengthOf(more)
    if (received > size) return yield* new StoreError.SizeMismatch({ name, declared: size, received })
    // Copied: they are the caller's again when this has ended.
    staged.parts.push(...more.map((part) => part.slice()))
  })

  const commit = Effect.fnUntraced(function* (expected: FileStore.CommitRequest) {
    yield* Effect.fromResult(usable(staged, name))
    const content = Bytes.concat(staged.parts)
    const received = content.length
    const declared = expected.size === received ? size : expected.size
    if (declared !== received) return yield* new StoreError.SizeMismatch({ name, declared, received })
    const found = Digest.digestOf(digest, [content])
    if (found !== expected.digest) {
      yield* release(false)
      return yield* new StoreError.DigestMismatch({ name, declared: expected.digest, received: found })
    }
    const changed = yield* Clock.currentTimeMillis
    yield* database.atomically("commit", () =>
      Result.flatMap(demanded(database, request), (row) => {
        if (expected.replaces !== undefined && expected.replaces !== (row && versionOf(row)))
          return Result.fail(new StoreError.BaseChanged({ name }))
        if (row !== undefined) database.drop.run(row.id)
        database.insert.run(FileName.key(name), name, size, modified, executable ? 1 : 0, found, changed, content)
        return Result.void
      })
    )
    yield* release(false)
    return { name, size, modified, digest: found, ...FileEntry.mayRun(executable) }
  })

  return {
    resumed: Bytes.lengthOf(parts),
    write: (more) => Effect.onError(write(more), () => release(true)),
    copy: (from, offset, length) =>
      Effect.flatMap(from.read(offset, length), (block) =>
        block.length === length ? write([block]) : Effect.fail(new StoreError.SourceChanged({ name }))
      ).pipe(Effect.onError(() => release(true))),
    drop: release(false),
    commit: (expected) => Effect.onError(commit(expected), () => release(true))
  } satisfies FileStore.Staging
})

// -----------------------------------------------------------------------------
// The store
// -----------------------------------------------------------------------------

const open = (database: Database, name: FileName.FileName) =>
  database.atomically("open", () =>
    Result.map(located(database, name), (row): FileStore.OpenFile => {
      const { content } = toContent(database.content.get(row.id))
      return {
        entry: entryOf(row),
        version: versionOf(row),
        changed: row.changed,
        read: (offset, length) => Effect.sync(() => content.slice(offset, offset + length)),
        unchanged: Effect.void
      }
    })
  )
const toContent = Schema.decodeUnknownSync(Schema.Struct({ content: Schema.Uint8Array }))

const rename = (database: Database, { replace, to, ...request }: FileStore.RenameRequest) =>
  database.atomically("rename", () =>
    Result.gen(function* () {
      const row = yield* inVersion(database, request)
      const from = row.name
      const renamed = { from, entry: { ...entryOf(row), name: to } }
      if (from === to) return renamed
      const there = yield* standing(database, to, from)
      if (there !== undefined && !replace) return yield* Result.fail(new StoreError.FileExists({ name: to }))
      if (there !== undefined) database.drop.run(there.id)
      database.move.run(FileName.key(to), to, row.id)
      return there === undefined ? renamed : { ...renamed, replaced: entryOf(there) }
    })
  )

/** All files in the database at that path, or in memory at `:memory:`. */
export const layer = (path: string): Layer.Layer<FileStore.FileStore, never, Digest.Digest> =>
  Layer.effect(
    FileStore.FileStore,
    Effect.gen(function* () {
      const digest = yield* Digest.Digest
      const opened = Effect.sync(() => openDatabase(path))
      const database = yield* Effect.acquireRelease(opened, ({ close }) => close)
      const kept = new Map<string, Staged>()
      return FileStore.FileStore.of({
        list: (where) =>
          FileStore.listed(
            Stream.suspend(() => Stream.fromIterable(database.all())),
            where
          ),
        stat: (name) => database.atomically("stat", () => Result.map(located(database, name), entryOf)),
        open: (name) => open(database, name),
        stage: (request) => stage(database, digest, kept, request),
        remove: (request) =>
          database.atomically("remove", () =>
            Result.map(inVersion(database, request), (row) => {
              database.drop.run(row.id)
              return entryOf(row)
            })
          ),
        rename: (request) => rename(database, request)
      })
    })
  )

if (import.meta.main) {
  const [path = "files.db", port = "8080"] = process.argv.slice(2)
  const application = Layer.unwrap(
    Effect.map(password, (secret) =>
      say().pipe(
        Layer.provide(paradrop(Number(port), secret)),
        Layer.provide(Layer.provide(layer(path), DigestNode.layer))
      )
    )
  )
  NodeRuntime.runMain(Layer.launch(application))
}
