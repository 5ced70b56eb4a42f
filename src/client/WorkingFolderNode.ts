/**
 * The working folder of this process.
 */
import * as nodeFs from "node:fs/promises"
import { homedir } from "node:os"
import * as nodePath from "node:path"
import process from "node:process"
import { Effect, Layer } from "effect"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { printable } from "../domain/file/Printable.ts"
import { listingStatsAtOnceMax } from "../domain/limits.ts"
import { modifiedOf } from "../domain/store/Disk.ts"
import { toStat } from "../domain/store/StatNode.ts"
import { LocalFileFailed } from "./ClientError.ts"
import { type LocalNamed, WorkingFolder } from "./WorkingFolder.ts"

/** The process's own: every relative path of the program begins there. */
export const layer: Layer.Layer<WorkingFolder> = Layer.sync(WorkingFolder, () =>
  WorkingFolder.of({
    path: Effect.sync(() => process.cwd()),
    home: Effect.sync(() => homedir()),
    enter: (path) => attempt(path, async () => process.chdir(path)),
    list: (path) =>
      Effect.flatMap(look(path, path), (here) => (here.kind === "folder" ? held(path) : Effect.succeed([here])))
  })
)

const attempt = <A>(path: string, work: () => Promise<A>): Effect.Effect<A, LocalFileFailed> =>
  Effect.tryPromise({
    try: work,
    catch: (error) => {
      const code = systemCodeOf(error)
      return new LocalFileFailed({ path: printable(path), operation: "read", code })
    }
  })

const look = (path: string, name: string): Effect.Effect<LocalNamed, LocalFileFailed> =>
  attempt(path, async () => {
    const { kind, ...stat } = toStat(await nodeFs.stat(path, { bigint: true }))
    return { name, kind: kind === "link" ? "special" : kind, size: stat.size, modified: modifiedOf(stat) }
  })

const held = Effect.fnUntraced(function* (folder: string) {
  const names = yield* attempt(folder, () => nodeFs.readdir(folder))
  const found = yield* Effect.forEach(
    names.toSorted((a, b) => (a < b ? -1 : 1)),
    (name) => Effect.option(look(nodePath.join(folder, name), name)),
    { concurrency: listingStatsAtOnceMax }
  )
  return found.flatMap((one) => (one._tag === "Some" ? [one.value] : []))
})
