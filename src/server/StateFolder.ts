/**
 * Where a server keeps its own state: one folder for each served root, never inside it.
 */
import { Config, Effect, FileSystem, Option, Path, type PlatformError, Schema } from "effect"
import { fromUtf8 } from "../domain/Bytes.ts"
import { Digest, digestOf } from "../domain/file/Digest.ts"
import { secretFiles } from "../domain/session/AccountsFile.ts"
import { platformWords } from "../domain/SystemCode.ts"

/** The folder of the state cannot be told or must not be used. The message says what to do. */
export class StateFolderRefused extends Schema.TaggedError<StateFolderRefused>()("StateFolderRefused", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** Where a server keeps its accounts, secrets and signatures, apart from what it serves. */
export interface StateFolder {
  /** the served root: absolute, without links */
  readonly root: string
  /** absolute; it need not exist yet */
  readonly folder: string
  /** whether its group may write into it, as a umask of 002 or a container's volume has it */
  readonly shared: boolean
  /** its files of accounts and keys that others than its user may read: paths */
  readonly readable: ReadonlyArray<string>
}

/** Hex digits of the root's digest that name its folder: 64 bits. */
const idLength = 16

/** Where the state is to be. */
export interface Wanted {
  /** the served folder */
  readonly root: string
  /** where the person wants the state to be */
  readonly state?: string | undefined
  /** as Node names it: `linux`, `darwin`, `win32` */
  readonly platform: string
}

type Services = Digest | FileSystem.FileSystem | Path.Path

/** For who serves: the served folder must exist. */
export const resolve = Effect.fnUntraced(function* (
  wanted: Wanted
): Effect.fn.Return<StateFolder, StateFolderRefused, Services> {
  const root = yield* realRoot(wanted.root)
  const folder = yield* folderFor(root, wanted, false)
  const { readable, shared } = yield* usable(folder, wanted)
  yield* outside(root, folder)
  return { root, folder, shared, readable }
})

/** For who works on the accounts: the served folder may be away, but where it names the state, that must be there. */
export const ofAccounts = Effect.fnUntraced(function* (
  wanted: Wanted
): Effect.fn.Return<string, StateFolderRefused, Services> {
  const fs = yield* FileSystem.FileSystem
  const root = yield* servedPath(wanted)
  const folder = yield* folderFor(root ?? "", wanted, true)
  const there = (path: string) => Effect.orElseSucceed(fs.exists(path), () => false)
  // A root with a slip in its name would otherwise get accounts of its own, which nobody uses.
  if (wanted.state === undefined && !(yield* there(root ?? "")) && !(yield* there(folder))) {
    return yield* refused(
      `there is no folder '${root}', and no account for it: ` +
        "give the server's --root, --state or --config, or make the folder"
    )
  }
  yield* usable(folder, wanted)
  if (root !== undefined && (yield* there(root))) yield* outside(root, folder)
  return folder
})

/** For who asks a server that runs: nothing needs to be there. */
export const ofServer = Effect.fnUntraced(function* (
  wanted: Wanted
): Effect.fn.Return<string, StateFolderRefused, Services> {
  return yield* folderFor((yield* servedPath(wanted)) ?? "", wanted, true)
})

/** @param isServers whether it is the folder of a server that was started: to its user it is open */
const folderFor = Effect.fnUntraced(function* (root: string, { platform, state }: Wanted, isServers: boolean) {
  const path = yield* Path.Path
  const id = digestOf(yield* Digest, [fromUtf8(root)]).slice(0, idLength)
  const wanted = state === undefined ? path.join(yield* platformFolder(platform), id) : path.resolve(state)
  return yield* Effect.mapError(realTarget(wanted), (error) =>
    refused(
      isServers && error.reason._tag === "PermissionDenied"
        ? `'${wanted}' cannot be looked at (${platformWords(error)}): run this as the server's user, or as root`
        : `'${wanted}' cannot hold the server's state (${platformWords(error)}): name another folder with --state`
    )
  )
})

/** The served folder's path without links. Undefined: it cannot be told, and the state is named by itself. */
const servedPath = Effect.fnUntraced(function* ({ root, state }: Wanted) {
  const path = (yield* Path.Path).resolve(root)
  return yield* realTarget(path).pipe(
    Effect.catch((error) =>
      state === undefined
        ? refused(
            `'${path}' cannot be looked at (${platformWords(error)}): ` +
              "run this as the server's user, or name the server's state folder with --state"
          )
        : Effect.undefined
    )
  )
})

/**
 * Whoever may write into the folder, or into a file in it, can put other accounts in the place of those that are there.
 * Gives whether the folder's group may, and what others may read: they may be nobody else, and it cannot always be
 * helped.
 */
const usable = Effect.fnUntraced(function* (folder: string, { platform }: Wanted) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const found = yield* Effect.option(fs.stat(folder))
  if (Option.isNone(found)) return { shared: false, readable: [] }
  const { mode, type } = found.value
  if (type !== "Directory") {
    return yield* refused(`'${folder}' is no folder: name one for the server's state with --state`)
  }
  // Modes mean nothing on Windows.
  if (platform === "win32") return { shared: false, readable: [] }
  if ((mode & all.writes) !== 0) {
    return yield* refused(
      `everybody may write into the state folder '${folder}' (mode ${(mode & 0o7777).toString(8)}), ` +
        `and so replace accounts and keys: run chmod 700 '${folder}', and see whether all in it is the server's own; ` +
        "where its mode cannot be changed, name a folder below it with --state, which the server makes"
    )
  }
  const readable: Array<string> = []
  // Who may not pass the folder does not come to what is in it.
  const passing = [group, all].filter(({ passes }) => (mode & passes) !== 0)
  for (const file of secretFiles.map((name) => path.join(folder, name))) {
    const own = yield* Effect.match(fs.stat(file), { onSuccess: ({ mode }) => mode, onFailure: () => 0 })
    if (passing.includes(all) && (own & all.writes) !== 0) {
      return yield* refused(
        `everybody may write into '${file}' (mode ${(own & 0o7777).toString(8)}), and so replace accounts and keys: ` +
          `run chmod 600 '${file}', and see whether it is as the server left it`
      )
    }
    if (passing.some(({ reads, writes }) => (own & (reads | writes)) !== 0)) readable.push(file)
  }
  return { shared: (mode & group.writes) !== 0, readable }
})

/** Bits of a mode. */
const group = { reads: 0o040, writes: 0o020, passes: 0o010 }
const all = { reads: 0o004, writes: 0o002, passes: 0o001 }

const outside = Effect.fnUntraced(function* (root: string, folder: string) {
  const path = yield* Path.Path
  const fromRoot = path.relative(root, folder)
  // On Windows the way to another drive is an absolute path.
  const inside = fromRoot === "" || !(/^\.\.(?=[\\/]|$)/.test(fromRoot) || path.isAbsolute(fromRoot))
  if (!inside) return
  return yield* refused(`the state folder '${folder}' lies inside the served folder: name another one with --state`)
})

const realRoot = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const real = yield* fs.realPath(root).pipe(
    Effect.flatMap((real) => Effect.map(fs.stat(real), ({ type }) => ({ real, type }))),
    Effect.mapError((error) =>
      refused(
        error.reason._tag === "NotFound"
          ? `there is no folder '${path.resolve(root)}' to serve: make it, or name another one with --root`
          : error.reason._tag === "PermissionDenied"
            ? `no permission for '${path.resolve(root)}': run as another user, or name another folder with --root`
            : `'${path.resolve(root)}' cannot be served (${platformWords(error)}): name a folder with --root`
      )
    )
  )
  if (real.type !== "Directory") return yield* refused(`'${real.real}' is no folder: name one with --root`)
  return real.real
})

/** The path without links, as far as it exists. */
const realTarget = (
  target: string
): Effect.Effect<string, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    return yield* Effect.catchIf(
      fs.realPath(target),
      ({ reason }) => reason._tag === "NotFound" && path.dirname(target) !== target,
      () => Effect.map(realTarget(path.dirname(target)), (parent) => path.join(parent, path.basename(target)))
    )
  })

const environment = (name: string): Effect.Effect<Option.Option<string>> =>
  Config.option(Config.String(name)).pipe(
    Effect.map(Option.filter((value) => value !== "")),
    Effect.orElseSucceed(() => Option.none())
  )

const platformFolder = Effect.fnUntraced(function* (
  platform: string
): Effect.fn.Return<string, StateFolderRefused, Path.Path> {
  const path = yield* Path.Path
  const under = (variable: string, ...parts: ReadonlyArray<string>) =>
    Effect.map(
      environment(variable),
      Option.map((folder) => path.join(folder, ...parts))
    )
  const candidates =
    platform === "win32"
      ? [under("LOCALAPPDATA", "paradrop")]
      : platform === "darwin"
        ? [under("HOME", "Library", "Application Support", "paradrop")]
        : [under("XDG_STATE_HOME", "paradrop"), under("HOME", ".local", "state", "paradrop")]
  for (const candidate of candidates) {
    const folder = yield* candidate
    // A relative folder in the environment would mean another one in each working folder (XDG base directories).
    if (Option.isSome(folder) && path.isAbsolute(folder.value)) return folder.value
  }
  return yield* refused("this user has no home folder: name a folder for the server's state with --state")
})

const refused = (detail: string): StateFolderRefused => new StateFolderRefused({ detail })
