/**
 * The account that everybody knows: `default` with the password 123456, for a first try on one machine.
 *
 * It exists only while the server listens on loopback and no real account exists. It is no entry of the accounts: it
 * cannot be listed or removed, and adding an account of any name, `default` included, ends it at once.
 */
import { Effect, type FileSystem, Layer, Option, type Path, Redacted, Schema } from "effect"
import { fromUtf8 } from "../domain/Bytes.ts"
import { UserName } from "../domain/channel/HandshakeMessage.ts"
import {
  Opaque,
  recordBytes,
  type RegistrationRecord,
  type ServerSetup,
  StretchingId
} from "../domain/channel/Opaque.ts"
import { ContentDigest, Digest, digestOf } from "../domain/file/Digest.ts"
import { Accounts, type AccountsFailed } from "../domain/session/Accounts.ts"
import { everything } from "../domain/session/Grant.ts"
import * as StateFile from "../domain/session/StateFile.ts"
import { log } from "./LogEvent.ts"

/** The account that everybody knows. */
export const publicUser: UserName = UserName.make("default")

/** Its password, printed in the README: it keeps nobody out. */
export const publicPassword: Redacted.Redacted<string> = Redacted.make("123456", { label: "public password" })

/** A server that others can reach has no account: anybody could log in with the public one. */
export class NoAccount extends Schema.TaggedError<NoAccount>()("NoAccount", {
  /** where it would have listened */
  host: Schema.String
}) {
  override get message(): string {
    const advice = "'paradrop-server user add NAME' makes one, with the same --root, --state or --config"
    return `others can reach '${this.host}', and there is no account: ${advice}`
  }
}

/** Keeps the record of the public account between starts, because making it costs 64 MiB and a fifth of a second. */
export interface Keep {
  readonly get: Effect.Effect<RegistrationRecord | undefined>
  readonly set: (record: RegistrationRecord) => Effect.Effect<void>
}

const keepNothing: Keep = { get: Effect.undefined, set: () => Effect.void }

/**
 * Accounts with the public one among them, while it exists.
 *
 * @param options.loopback whether the server listens where only this machine can reach it, and no proxy leads to it
 * @param options.host what it listens on, for the message
 */
export const layer = (options: {
  readonly loopback: boolean
  readonly host: string
  readonly keep?: Keep
}): Layer.Layer<Accounts, AccountsFailed | NoAccount, Accounts | Opaque> =>
  Layer.effect(
    Accounts,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      if (!options.loopback) {
        return (yield* accounts.list).length === 0 ? yield* new NoAccount({ host: options.host }) : accounts
      }
      const record = yield* registered(accounts, options.keep ?? keepNothing)
      return Accounts.of({
        ...accounts,
        find: (user) =>
          Effect.gen(function* () {
            // Both for every name, so that the time tells nothing.
            const found = yield* accounts.find(user)
            const { length } = yield* accounts.list
            return found ?? (length === 0 && user === publicUser ? record : undefined)
          }),
        grants: Effect.gen(function* () {
          const grants = yield* accounts.grants
          const { length } = yield* accounts.list
          return (user) => grants(user) ?? (length === 0 && user === publicUser ? everything : undefined)
        })
      })
    })
  )

/** Says at start that the public account exists, if it does. For a server on loopback. */
export const warn: Effect.Effect<void, AccountsFailed, Accounts> = Effect.gen(function* () {
  if ((yield* (yield* Accounts).list).length > 0) return
  yield* log(
    "public-account",
    `no account yet: everybody on this machine can log in as '${publicUser}' with the public password ` +
      `${Redacted.value(publicPassword)} until 'user add NAME' makes a real account`
  )
})

const registered = Effect.fnUntraced(function* (accounts: Accounts["Service"], keep: Keep) {
  const kept = yield* keep.get
  if (kept !== undefined) return kept
  const opaque = yield* Opaque
  const record = yield* Effect.orDie(
    opaque.register(yield* accounts.setup, {
      user: publicUser,
      password: publicPassword,
      stretching: accounts.stretching
    })
  )
  yield* keep.set(record)
  return record
})

// -----------------------------------------------------------------------------
// Keeping the record in a file
// -----------------------------------------------------------------------------

const Kept = Schema.fromJsonString(
  Schema.Struct({
    /** digest of the setup that the record was made with: with another one it is useless */
    setup: ContentDigest,
    stretching: StretchingId,
    record: Schema.Uint8ArrayFromBase64Url.check(Schema.makeFilter((bytes) => bytes.length === recordBytes))
  })
)

const keptBytesMax = 4096

/** A file that may be missing, stale or damaged at any time: the record is then made again. */
export const keepInFile = Effect.fnUntraced(function* (
  path: string,
  made: { readonly setup: ServerSetup; readonly stretching: StretchingId }
): Effect.fn.Return<Keep, never, Digest | FileSystem.FileSystem | Path.Path> {
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const setup = digestOf(yield* Digest, [fromUtf8("public account"), Redacted.value(made.setup)])
  return {
    get: StateFile.read(path, keptBytesMax).pipe(
      Effect.flatMap(({ text }) => Schema.decodeEffect(Kept)(text)),
      Effect.map((kept) =>
        kept.setup === setup && kept.stretching === made.stretching
          ? Redacted.make(kept.record, { label: "registration record" })
          : undefined
      ),
      Effect.option,
      Effect.map(Option.getOrUndefined),
      Effect.provideContext(context)
    ),
    set: (record) =>
      Schema.encodeEffect(Kept)({ setup, stretching: made.stretching, record: Redacted.value(record) }).pipe(
        Effect.flatMap((text) => StateFile.replace(path, `${text}\n`)),
        Effect.ignore,
        Effect.provideContext(context)
      )
  }
})
