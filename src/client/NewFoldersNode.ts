/**
 * Makes a folder and those above it, one at a time: Node's own way to make them all never ends where a folder that is
 * there says that what is to be made in it is missing, as `/proc` and an automounted `/home` do.
 */
import * as nodeFs from "node:fs/promises"
import * as nodePath from "node:path"
import { systemCodeOf } from "../domain/SystemCode.ts"

/**
 * Gives the outermost one that was made, undefined when all were there.
 *
 * @param mode of those that are made
 */
export const make = async (folder: string, mode?: number): Promise<string | undefined> => {
  const above = nodePath.dirname(folder)
  return makeOne(folder, mode).catch(async (error: unknown) => {
    if (systemCodeOf(error) !== "ENOENT" || above === folder) return there(folder, error)
    const first = await make(above, mode)
    // Another program may have made it meanwhile.
    const made = await makeOne(folder, mode).catch((again: unknown) => there(folder, again))
    return first ?? made
  })
}

const makeOne = (folder: string, mode?: number): Promise<string> =>
  nodeFs.mkdir(folder, mode === undefined ? {} : { mode }).then(() => folder)

/** Of a folder that is there systems say different things: that it is there, or that nothing can be made. */
const there = async (folder: string, error: unknown): Promise<undefined> => {
  const isFolder = await nodeFs.stat(folder).then(
    (stats) => stats.isDirectory(),
    () => false
  )
  return isFolder ? undefined : Promise.reject(error)
}
