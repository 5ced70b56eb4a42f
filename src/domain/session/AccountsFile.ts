/**
 * The accounts of a server, kept in its state folder.
 *
 * ```
 * server.setup    the server's long-term secrets (128 bytes, base64url)
 * accounts.json   version, stretching, and for each account its name, record, creation time, grant, and how often its
 *                 sessions were ended
 * accounts.lock   held while one process edits
 * ```
 *
 * The two are apart so that the setup may be kept elsewhere in a backup: records alone are useless for guessing.
 * A file that is damaged or missing is never overwritten: what cannot be read now may still be restored. A file of an
 * older version is read as it is, and written by the next edit as the oldest from 2 on that can hold what is in it.
 */
import { Effect, FileSystem, Layer, Option, Path, type PlatformError, Redacted, Schema, Semaphore } from "effect"
import { Base64Url } from "effect/encoding"
import * as Bytes from "../Bytes.ts"
import { UserName } from "../channel/HandshakeMessage.ts"
import { Opaque, recordBytes, type ServerSetup, setupBytes, StretchingId } from "../channel/Opaque.ts"
import { platformWords } from "../SystemCode.ts"
import { accountsFileBytesMax, accountsMax, stateLockWaitMillisecondsMax } from "../limits.ts"
import {
  type Account,
  Accounts,
  AccountsFailed,
  type AccountSummary,
  adding,
  changing,
  type Edit,
  enabled,
  Moment,
  putting,
  removing,
  revokedOf,
  StretchingFixed,
  summariesOf
} from "./Accounts.ts"
import { everything, Grant } from "./Grant.ts"
import * as StateFile from "./StateFile.ts"
import { acquireWithin, type LockFailed, type LockHeld, type StateLock } from "./StateLock.ts"

/** What a layer over files needs. */
export type AccountsFileServices = FileSystem.FileSystem | Opaque | Path.Path | StateLock

/**
 * The accounts of a state folder. The first use makes the folder, the setup and an empty set of accounts.
 *
 * @param folder an absolute path
 */
export const layer = (folder: string): Layer.Layer<Accounts, AccountsFailed, AccountsFileServices> =>
  Layer.effect(Accounts, make(folder))

/**
 * The same for who only asks for accounts, or changes those that there are: of a folder that never held any nothing is
 * made, in which a server that is started later, perhaps as another user, would have no part.
 */
export const layerThere = (folder: string): Layer.Layer<Accounts, AccountsFailed, AccountsFileServices> =>
  Layer.unwrap(
    Effect.gen(function* (): Effect.fn.Return<
      Layer.Layer<Accounts, AccountsFailed, AccountsFileServices>,
      never,
      AccountsFileServices
    > {
      const fs = yield* FileSystem.FileSystem
      const { accounts, setup } = yield* filesIn(folder)
      // What cannot be looked at is for the layer itself to tell.
      const there = (path: string) => Effect.orElseSucceed(fs.exists(path), () => true)
      if ((yield* there(accounts)) || (yield* there(setup))) return layer(folder)
      return Accounts.layerMemory(yield* (yield* Opaque).createSetup, defaultStretching)
    })
  )

/** The same as an effect. */
export const make = Effect.fnUntraced(function* (
  folder: string
): Effect.fn.Return<Accounts["Service"], AccountsFailed, AccountsFileServices> {
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path | StateLock>()
  const files = yield* filesIn(folder)
  yield* prepare(files)
  const setup = yield* readSetup(files.setup)
  const oneAtATime = yield* Semaphore.make(1)
  let known = yield* load(files.accounts)

  // Records of another setup than the one in memory prove nobody's password.
  const loaded = Effect.andThen(sameSetup(files.setup, setup), load(files.accounts))

  const current = Effect.gen(function* () {
    const { identity, settled } = yield* fileProblem(files.accounts, StateFile.stamp(files.accounts))
    if (!known.stamp.settled || !settled || identity !== known.stamp.identity) known = yield* loaded
    return known
  })

  const replace = <E>(next: (latest: Loaded) => Effect.Effect<Pick<Loaded, "accounts" | "stretching">, E>) =>
    Effect.gen(function* () {
      yield* lock(files)
      const changed = yield* next(yield* loaded)
      // Whoever is interrupted meanwhile has changed it, and must know.
      yield* Effect.uninterruptible(
        Effect.andThen(
          save(files.accounts, changed),
          // What cannot be read back now has been changed all the same: it is read at the next look.
          Effect.ignore(Effect.map(load(files.accounts), (now) => void (known = now)))
        )
      )
    }).pipe(Effect.scoped, oneAtATime.withPermits(1), Effect.provideContext(context))

  const edit = <E>(change: Edit<E>) =>
    replace((latest) => {
      const accounts = new Map(latest.accounts)
      return Effect.as(change(accounts), { ...latest, accounts })
    })

  return Accounts.of({
    setup: Effect.succeed(setup),
    get stretching() {
      return known.stretching
    },
    stretch: (stretching) =>
      replace((latest) =>
        latest.accounts.size > 0 ? Effect.fail(new StretchingFixed()) : Effect.succeed({ ...latest, stretching })
      ),
    find: (user) =>
      Effect.map(current, ({ accounts }) => enabled(accounts.get(user))?.record).pipe(Effect.provideContext(context)),
    grants: Effect.map(
      current,
      ({ accounts }) =>
        (user: UserName) =>
          enabled(accounts.get(user))?.grant
    ).pipe(Effect.provideContext(context)),
    list: Effect.map(current, ({ summaries }) => summaries).pipe(Effect.provideContext(context)),
    // Each edit puts another file in the place of the one before.
    edition: Effect.map(current, ({ stamp }) => stamp.identity).pipe(Effect.provideContext(context)),
    add: (user, record, now, grant) => edit(adding(user, record, now, grant)),
    put: (user, record, now) => edit(putting(user, record, now)),
    change: (user, change) => edit(changing(user, change)),
    remove: (user) => edit(removing(user))
  })
})

interface Loaded {
  readonly stretching: StretchingId
  readonly accounts: ReadonlyMap<UserName, Account>
  readonly summaries: ReadonlyArray<AccountSummary>
  readonly stamp: StateFile.Stamp
}

// -----------------------------------------------------------------------------
// First use
// -----------------------------------------------------------------------------

interface Files {
  readonly folder: string
  readonly setup: string
  readonly accounts: string
  readonly lock: string
}

const setupName = "server.setup"
const accountsName = "accounts.json"

/** Argon2id with 64 MiB, as long as nobody has chosen another. */
const defaultStretching: StretchingId = 1

/** What nobody but the server's user may read, by its name in the folder: with both, passwords can be guessed at. */
export const secretFiles: ReadonlyArray<string> = [setupName, accountsName]

const filesIn = (folder: string): Effect.Effect<Files, never, Path.Path> =>
  Effect.map(Path.Path, (path) => ({
    folder,
    setup: path.join(folder, setupName),
    accounts: path.join(folder, accountsName),
    lock: path.join(folder, "accounts.lock")
  }))

const prepare = (files: Files): Effect.Effect<void, AccountsFailed, AccountsFileServices> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* Effect.mapError(StateFile.makeFolder(files.folder), folderProblem(files.folder))
    yield* lock(files)
    const hasSetup = yield* fileProblem(files.setup, fs.exists(files.setup))
    const hasAccounts = yield* fileProblem(files.accounts, fs.exists(files.accounts))
    if (hasSetup && !hasAccounts) {
      return yield* failed(
        `'${files.accounts}' is missing: restore it from a backup, ` +
          `or remove '${files.setup}' too and start without accounts`
      )
    }
    // The accounts come first: without a setup only an empty set can be one that was never used.
    if (!hasAccounts) yield* save(files.accounts, { stretching: defaultStretching, accounts: new Map() })
    if (hasSetup) return
    if ((yield* load(files.accounts)).accounts.size > 0) {
      return yield* failed(
        `'${files.setup}' is missing and no account works without it: restore it from a backup, ` +
          `or remove '${files.accounts}' and add the accounts again`
      )
    }
    const setup = yield* (yield* Opaque).createSetup
    yield* fileProblem(files.setup, StateFile.replace(files.setup, `${Base64Url.encode(Redacted.value(setup))}\n`))
  }).pipe(Effect.scoped)

// -----------------------------------------------------------------------------
// Reading and writing
// -----------------------------------------------------------------------------

const lock = (files: Files) =>
  Effect.mapError(acquireWithin(files.lock, stateLockWaitMillisecondsMax), (error: LockHeld | LockFailed) =>
    failed(
      error._tag === "LockHeld"
        ? "another process is changing the accounts: try again when it has finished"
        : error.message
    )
  )

const bytesOf = (length: number) =>
  Schema.Uint8ArrayFromBase64Url.check(Schema.makeFilter((bytes) => bytes.length === length))

/** What every version has of an account. */
const entry = {
  user: UserName,
  record: bytesOf(recordBytes),
  created: Moment
}

const entriesOf = <A extends { readonly user: string }, I>(account: Schema.Codec<A, I>) =>
  Schema.Array(account).check(
    Schema.isMaxLength(accountsMax),
    Schema.makeFilter((accounts) => new Set(accounts.map(({ user }) => user)).size === accounts.length)
  )

/** Until grants came: every account may do everything. */
const Version1 = Schema.Struct({
  version: Schema.Literal(1),
  stretching: StretchingId,
  accounts: entriesOf(Schema.Struct(entry))
})

const granted = {
  ...entry,
  disabled: Schema.optionalKey(Schema.Literal(true)),
  /** absent: everything */
  grant: Schema.optionalKey(Grant)
}

/** Until sessions that were ended were counted. Still written while there is nothing to count. */
const Version2 = Schema.Struct({
  version: Schema.Literal(2),
  stretching: StretchingId,
  accounts: entriesOf(Schema.Struct(granted))
})

const Version3 = Schema.Struct({
  version: Schema.Literal(3),
  stretching: StretchingId,
  accounts: entriesOf(
    Schema.Struct({
      ...granted,
      /** absent: 0 */
      revoked: Schema.optionalKey(Schema.Natural)
    })
  )
})

/** Says first which version it is: one from the future is whole, and must not be called damaged. */
const Versioned = Schema.fromJsonString(Schema.Struct({ version: Schema.Natural }))

const decodeVersion = Schema.decodeEffect(Versioned)
const decode = Schema.decodeEffect(Schema.fromJsonString(Schema.Union([Version1, Version2, Version3])))
const encode = Schema.encodeEffect(Schema.fromJsonString(Schema.Union([Version2, Version3])))
const decodeSetup = Schema.decodeEffect(bytesOf(setupBytes))

const load = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Loaded, AccountsFailed, FileSystem.FileSystem> {
  const { stamp, text } = yield* readWhole(path)
  const { version } = yield* Effect.mapError(decodeVersion(text), () => damaged(path))
  if (version > 3) return yield* newer(path, version)
  // What is not understood is an error and not dropped: the next edit would lose it.
  const document = yield* Effect.mapError(decode(text, { onExcessProperty: "error" }), () => damaged(path))
  const accounts = new Map<UserName, Account>()
  for (const stored of document.accounts) {
    accounts.set(stored.user, {
      record: Redacted.make(stored.record, { label: "registration record" }),
      created: stored.created,
      ...("revoked" in stored && revokedOf(stored)),
      disabled: "disabled" in stored,
      grant: "grant" in stored && stored.grant !== undefined ? stored.grant : everything
    })
  }
  return { stretching: document.stretching, accounts, summaries: summariesOf(accounts), stamp }
})

const save = Effect.fnUntraced(function* (
  path: string,
  { accounts, stretching }: Pick<Loaded, "accounts" | "stretching">
): Effect.fn.Return<void, AccountsFailed, FileSystem.FileSystem | Path.Path> {
  const entries = Array.from(accounts, ([user, { created, disabled, grant, record, revoked }]) => ({
    user,
    record: Redacted.value(record),
    created,
    ...revokedOf({ revoked }),
    ...(disabled && { disabled }),
    ...(grant !== everything && { grant })
  }))
  const version = entries.some(({ revoked }) => revoked !== undefined) ? 3 : 2
  const text = yield* Effect.mapError(encode({ version, stretching, accounts: entries }), () =>
    failed("an account does not have the form of one: nothing was changed")
  )
  // With its end of line, as it is read.
  if (Bytes.utf8Length(text) >= accountsFileBytesMax) return yield* tooLarge
  yield* fileProblem(path, StateFile.replace(path, `${text}\n`))
})

const readSetup = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<ServerSetup, AccountsFailed, FileSystem.FileSystem | Opaque> {
  const { text } = yield* readWhole(path)
  const bytes = yield* Effect.mapError(decodeSetup(text.trim()), () => damaged(path))
  const setup = Redacted.make(bytes, { label: "server setup" })
  // Not all bytes are keys, and with these no password could be set or proved.
  const opaque = yield* Opaque
  const tried = Effect.flatMap(opaque.startRegistration(anybody, Redacted.make("")), ({ request }) =>
    opaque.answerRegistration(setup, anybody, request)
  )
  yield* Effect.mapError(tried, () => damaged(path))
  return setup
})

const anybody = "a"

/** Fails where another setup has taken the place of the one that was read: the folder was removed and made again. */
const sameSetup = Effect.fnUntraced(function* (
  path: string,
  setup: ServerSetup
): Effect.fn.Return<void, AccountsFailed, FileSystem.FileSystem> {
  // One that is away, or damaged, is told at the next start: until then the one in memory is as good.
  const now = yield* Effect.option(Effect.flatMap(readWhole(path), ({ text }) => decodeSetup(text.trim())))
  if (Option.isNone(now) || Bytes.equals(now.value, Redacted.value(setup))) return
  return yield* failed(`'${path}' is another one than at the start: restart the server, or put the old one back`)
})

const readWhole = (path: string) => fileProblem(path, StateFile.read(path, accountsFileBytesMax))

const failed = (detail: string): AccountsFailed => new AccountsFailed({ detail })

const tooLarge = failed(
  `the accounts would take more than ${accountsFileBytesMax / 1024 / 1024} MiB, and nothing was changed: ` +
    "remove some, or shorten their folders"
)

// The reason is left out: it would quote the content.
const damaged = (path: string): AccountsFailed =>
  failed(`'${path}' is damaged: restore it from a backup (it is left as it is)`)

const newer = (path: string, version: number): AccountsFailed =>
  failed(`'${path}' is of version ${version}, which this server is too old for: update it (it is left as it is)`)

const unsynced = (path: string, error: PlatformError.PlatformError): AccountsFailed =>
  failed(
    `'${path}' is written, but a power cut may undo it (${platformWords(error)}): ` +
      "see to the disk of the state folder"
  )

const fileProblem = <A, R>(
  path: string,
  work: Effect.Effect<A, PlatformError.PlatformError | StateFile.StateFileTooLarge | StateFile.StateFileUnsynced, R>
): Effect.Effect<A, AccountsFailed, R> =>
  Effect.mapError(work, (error) => {
    if (error._tag === "StateFileTooLarge") return damaged(path)
    if (error._tag === "StateFileUnsynced") return unsynced(path, error.cause)
    return failed(texts.get(error.reason._tag)?.(path) ?? `'${path}' cannot be used: ${platformWords(error)}`)
  })

const folderProblem =
  (folder: string) =>
  (error: PlatformError.PlatformError): AccountsFailed =>
    failed(`'${folder}' cannot hold the server's state (${platformWords(error)}): name another folder with --state`)

const texts = new Map<string, (path: string) => string>([
  ["NotFound", (path) => `'${path}' is missing: restore it from a backup`],
  [
    "PermissionDenied",
    (path) => `no permission for '${path}': it must be the server's user's (chown), and this must be run as that user`
  ]
])
