/**
 * Where a server keeps its own state: one folder for each served root, never inside it.
 */
import { Config, Effect, FileSystem, Option, Path, type PlatformError, Schema } from "effect"
import { fromUtf8 } from "../domain/Bytes.ts"
import { Digest, digestOf } from "../domain/file/Digest.ts"

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
}

/** Hex digits of the root's digest that name its folder: 64 bits. */
const idLength = 16

/**
 * @param options.root the served folder, which must exist
 * @param options.state where the person wants the state to be
 * @param options.platform as Node names it: `linux`, `darwin`, `win32`
 */
export const resolve = Effect.fnUntraced(function* (options: {
  readonly root: string
  readonly state?: string | undefined
  readonly platform: string
}): Effect.fn.Return<StateFolder, StateFolderRefused, Digest | FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const root = yield* realRoot(options.root)
  const id = digestOf(yield* Digest, [fromUtf8(root)]).slice(0, idLength)
  const wanted =
    options.state === undefined ? path.join(yield* platformFolder(options.platform), id) : path.resolve(options.state)
  const folder = yield* Effect.mapError(realTarget(wanted), (error) =>
    refused(`'${wanted}' cannot hold the server's state (${error.reason._tag}): name another folder with --state`)
  )
  const there = yield* Effect.option((yield* FileSystem.FileSystem).stat(folder))
  if (Option.isSome(there) && there.value.type !== "Directory") {
    return yield* refused(`'${folder}' is no folder: name one for the server's state with --state`)
  }
  const fromRoot = path.relative(root, folder)
  // On Windows the way to another drive is an absolute path.
  const inside = fromRoot === "" || !(/^\.\.(?=[\\/]|$)/.test(fromRoot) || path.isAbsolute(fromRoot))
  if (inside) {
    return yield* refused(`the state folder '${folder}' lies inside the served folder: name another one with --state`)
  }
  return { root, folder }
})

const realRoot = Effect.fnUntraced(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const real = yield* fs.realPath(root).pipe(
    Effect.flatMap((real) => Effect.map(fs.stat(real), ({ type }) => ({ real, type }))),
    Effect.mapError(({ reason }) =>
      refused(
        reason._tag === "NotFound"
          ? `there is no folder '${path.resolve(root)}' to serve: make it, or name another one with --root`
          : reason._tag === "PermissionDenied"
            ? `no permission for '${path.resolve(root)}': run as another user, or name another folder with --root`
            : `'${path.resolve(root)}' cannot be served (${reason._tag}): name a folder with --root`
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
