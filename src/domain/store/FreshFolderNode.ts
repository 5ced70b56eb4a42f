/**
 * Small new files for a folder that was just made, for Linux: they are written in another one beside it, under the
 * names that they will have, and that takes its place in one step.
 *
 * rename(2) takes 5 us of the 14 that a file of 4 KiB costs on tmpfs, and here there is one for all files. It also
 * replaces an empty folder, and no other: whoever put something there first keeps it.
 */
import * as nodeFs from "node:fs"
import { Effect, Result } from "effect"
import type { DiskError, PlaceRequest } from "./Disk.ts"
import * as SmallFilesNode from "./SmallFilesNode.ts"
import { isPart, pathOfDescriptor } from "./StatNode.ts"

const { constants } = nodeFs
const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

type Placed = Result.Result<void, DiskError>

/**
 * What each file came to, in their order; undefined when nothing has changed and they must be placed one by one.
 *
 * The other one is made where the folder is, so that it has what every folder there has: a group, an access control
 * list, a label. Only then does it go where nobody looks.
 *
 * @param beside a path that means the open folder in which the other one is filled
 * @param parent the same for the folder in which the folder is
 * @param name the folder's own name
 */
export const placeAll = (
  beside: string,
  parent: string,
  name: string,
  { files }: PlaceRequest
): Effect.Effect<ReadonlyArray<Placed> | undefined> =>
  Effect.suspend(() => {
    const [first] = files
    // By the folder's own name the other one would stand for one that is missing.
    if (first === undefined || !isPart(first.temporary) || first.temporary === name) return Effect.undefined
    // Of two for one name the second one replaces the first, which only a rename does.
    if (new Set(files.map((file) => file.name)).size < files.length) return Effect.undefined
    const [target, born, path] = [`${parent}/${name}`, `${parent}/${first.temporary}`, `${beside}/${first.temporary}`]
    if (Result.isFailure(SmallFilesNode.attempt(() => nodeFs.mkdirSync(born)))) return Effect.undefined
    if (beside !== parent && Result.isFailure(replace(born, path))) return Effect.as(remove(born), undefined)
    const opened = SmallFilesNode.attempt(() => nodeFs.openSync(path, folderFlags))
    if (Result.isFailure(opened)) return Effect.as(remove(path), undefined)
    const fd = opened.success
    const folder = pathOfDescriptor(fd)
    const written = isLike(fd, target) ? SmallFilesNode.writeAll(folder, files) : Effect.succeed([])
    return Effect.flatMap(written, (all) => {
      const moved = all.some(Result.isSuccess) && Result.isSuccess(replace(path, target))
      if (!moved) for (const { name } of files) SmallFilesNode.attempt(() => nodeFs.unlinkSync(`${folder}/${name}`))
      SmallFilesNode.attempt(() => nodeFs.closeSync(fd))
      return moved ? Effect.succeed(all) : Effect.as(remove(path), undefined)
    })
  }).pipe(Effect.uninterruptible)

/** Whether the open folder has what the other one has besides its files. */
const isLike = (fd: number, target: string): boolean => {
  const own = SmallFilesNode.attempt(() => nodeFs.fstatSync(fd))
  const other = SmallFilesNode.attempt(() => nodeFs.lstatSync(target))
  if (Result.isFailure(own) || Result.isFailure(other)) return false
  const [a, b] = [own.success, other.success]
  // The mode tells a link from a folder as well.
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.dev === b.dev
}

const replace = (path: string, target: string) => SmallFilesNode.attempt(() => nodeFs.renameSync(path, target))

const remove = (path: string): Effect.Effect<void> =>
  Effect.sync(() => void SmallFilesNode.attempt(() => nodeFs.rmdirSync(path)))
