/**
 * The shell's history in a file of the person's own: a line for each, added at the end.
 */
import { randomUUID } from "node:crypto"
import * as nodeFs from "node:fs/promises"
import { constants } from "node:fs"
import * as nodePath from "node:path"
import process from "node:process"
import { Effect, Layer, Semaphore } from "effect"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { printable } from "../domain/file/Printable.ts"
import { shellHistoryFileBytesMax } from "../domain/limits.ts"
import { History, HistoryFailed, tidied, worthKeeping } from "./History.ts"
import * as NewFoldersNode from "./NewFoldersNode.ts"

/** In the platform's state folder; nothing is kept for a user who has none. */
export const layer: Layer.Layer<History> = Layer.unwrap(
  Effect.sync(() => {
    const folder = stateFolder(process.env, process.platform)
    return folder === undefined ? History.layerMemory() : layerFile(nodePath.join(folder, "shell-history"))
  })
)

/** Where this user's programs keep what they remember, for us; undefined without a home. */
export const stateFolder = (
  environment: Readonly<Record<string, string | undefined>>,
  platform: string
): string | undefined => {
  const under = (variable: string, ...parts: ReadonlyArray<string>) => {
    const folder = environment[variable] ?? ""
    // A relative one would be another folder in each working folder (XDG base directories).
    return nodePath.isAbsolute(folder) ? nodePath.join(folder, ...parts, "paradrop") : undefined
  }
  if (platform === "win32") return under("LOCALAPPDATA")
  if (platform === "darwin") return under("HOME", "Library", "Application Support")
  return under("XDG_STATE_HOME") ?? under("HOME", ".local", "state")
}

/** In this file, which is made when there is something to keep. */
export const layerFile = (path: string): Layer.Layer<History> =>
  Layer.effect(
    History,
    Effect.map(Semaphore.make(1), (one) =>
      History.of({
        load: one.withPermit(
          Effect.orElseSucceed(
            attempt(path, () => load(path)),
            () => []
          )
        ),
        keep: (line) => (worthKeeping(line) ? one.withPermit(attempt(path, () => append(path, line))) : Effect.void)
      })
    )
  )

const attempt = <A>(path: string, work: () => Promise<A>): Effect.Effect<A, HistoryFailed> =>
  Effect.tryPromise({
    try: work,
    catch: (error) => new HistoryFailed({ path: printable(path), code: systemCodeOf(error) })
  })

// A link that somebody else has put there is not followed, and a pipe not waited for.
const asFile = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Opens a file; what is none is as good as not there, and cannot be written. */
const openFile = async (path: string, flags: number): Promise<nodeFs.FileHandle> => {
  const file = await nodeFs.open(path, flags | asFile, 0o600)
  const isFile = await file.stat().then((stats) => stats.isFile())
  if (isFile) return file
  return file.close().then(() => Promise.reject(Object.assign(new Error("no regular file"), { code: "ENOTREG" })))
}

/** The newest lines. A file that has grown, or whose last line is torn, is written anew without what is too much. */
const load = async (path: string): Promise<ReadonlyArray<string>> => {
  const file = await openFile(path, constants.O_RDONLY)
  const { size, inode, text } = await tail(file).finally(() => file.close())
  const lines = text.split("\n")
  // Behind the last line's end is nothing; in front of the first line's beginning may be a part of an older one.
  const whole = lines.slice(size > shellHistoryFileBytesMax ? 1 : 0, -1)
  if (size > shellHistoryFileBytesMax || lines.at(-1) !== "") await rewrite(path, { size, inode }, tidied(whole))
  return tidied(whole)
}

/** What tells one state of the file from another: it only grows, and is written anew as another. */
interface State {
  /** bytes */
  readonly size: number
  readonly inode: number
}

const tail = async (file: nodeFs.FileHandle): Promise<State & { readonly text: string }> => {
  const { ino: inode, size } = await file.stat()
  const length = Math.min(size, shellHistoryFileBytesMax)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
  return { size, inode, text: buffer.toString("utf8", 0, bytesRead) }
}

/**
 * Beside it first, then in its place: a crash leaves the old one or the new one. Another shell may do the same, or may
 * have added a line meanwhile: what is no longer as it was read stays for the next start.
 */
const rewrite = async (path: string, read: State, lines: ReadonlyArray<string>): Promise<void> => {
  const beside = `${path}.${randomUUID()}.new`
  const file = await nodeFs.open(beside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  const written = file
    .writeFile(lines.map((line) => `${line}\n`).join(""))
    .then(() => file.sync())
    .finally(() => file.close())
  // Nothing is there any more when it has taken its place.
  await takePlace(path, read, beside, written).finally(() => nodeFs.rm(beside, { force: true }))
}

const takePlace = async (path: string, read: State, beside: string, written: Promise<void>): Promise<void> => {
  await written
  const now = await nodeFs.lstat(path)
  if (now.size === read.size && now.ino === read.inode) await nodeFs.rename(beside, path)
}

const append = async (path: string, line: string): Promise<void> => {
  await NewFoldersNode.make(nodePath.dirname(path), 0o700)
  const file = await openFile(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT)
  await file
    .chmod(0o600)
    .then(() => isTorn(file))
    // One write: lines of several programs do not mix. A disk that is full may take a part, and then says so.
    .then((torn) => file.appendFile(`${torn ? tornEnd : ""}${line}\n`))
    .then(() => file.datasync())
    .finally(() => file.close())
}

/** Ends a line that was not written to its end. What holds it is not printable, and so no line that `load` gives. */
const tornEnd = "\u0018\n"

/** Whether the last line has no end: a crash, or a full disk, has cut it, and the next line is none of it. */
const isTorn = async (file: nodeFs.FileHandle): Promise<boolean> => {
  const { size } = await file.stat()
  if (size === 0) return false
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1)
  return buffer[0] !== 0x0a
}
