/** Files of noise to move, and whether what arrived is what was sent. */
import { randomFillSync } from "node:crypto"
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join, relative } from "node:path"

export const mebibyte = 1024 * 1024
const block = new Uint8Array(4 * mebibyte)

/** Writes noise to bytes [from, to) of a file, which is made when it is not there. */
export const noise = (path: string, from: number, to: number): void => {
  const fd = openSync(path, existsSync(path) ? "r+" : "w")
  for (let at = from; at < to; at += block.length) {
    const part = block.subarray(0, Math.min(block.length, to - at))
    randomFillSync(part)
    writeSync(fd, part, 0, part.length, at)
  }
  closeSync(fd)
}

/** A file of noise, unless it is there. */
export const file = (path: string, bytes: number): string => {
  if (!existsSync(path) || statSync(path).size !== bytes) {
    rmSync(path, { force: true })
    noise(path, 0, bytes)
  }
  return path
}

const perFolder = 100

/** A folder of folders of a hundred files of 4 KiB each; no two have one name. */
export const tree = (path: string, files: number): string => {
  const done = `${path}.done`
  if (existsSync(done)) return path
  rmSync(path, { recursive: true, force: true })
  for (let index = 0; index < files; index += 1) {
    const folder = join(path, `d${Math.floor(index / perFolder)}`)
    if (index % perFolder === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `d${Math.floor(index / perFolder)}-f${index % perFolder}`), noiseOf(4096))
  }
  writeFileSync(done, "")
  return path
}

const noiseOf = (bytes: number): Uint8Array => randomFillSync(new Uint8Array(bytes))

/** A folder of empty files `f000000`, `f000001` and so on, unless it is there. */
export const names = (path: string, files: number): string => {
  if (existsSync(path)) return path
  mkdirSync(path, { recursive: true })
  for (const index of Array.from({ length: files }).keys()) writeFileSync(join(path, nameOf(index)), "")
  return path
}

export const nameOf = (index: number): string => `f${String(index).padStart(6, "0")}`

const filesBelow = (path: string): ReadonlyArray<string> =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

const sameFile = (one: string, other: string): boolean => {
  if (!existsSync(other) || statSync(one).size !== statSync(other).size) return false
  const [a, b] = [openSync(one, "r"), openSync(other, "r")]
  const parts = [new Uint8Array(mebibyte), new Uint8Array(mebibyte)] as const
  let same = true
  for (let more = true; same && more;) {
    const length = readSync(a, parts[0])
    same = readSync(b, parts[1]) === length && Buffer.compare(parts[0], parts[1]) === 0
    more = length > 0
  }
  closeSync(a)
  closeSync(b)
  return same
}

/** Whether there is the same content; of trees, under the same names. */
export const same = (one: string, other: string): boolean => {
  if (!lstatSync(one).isDirectory()) return sameFile(one, other)
  if (!existsSync(other)) return false
  const here = filesBelow(one)
  return (
    here.length === filesBelow(other).length &&
    here.every((path) => {
      const there = join(other, relative(one, path))
      return existsSync(there) && readFileSync(path).equals(readFileSync(there))
    })
  )
}

/** As `same`, by size or number alone. */
export const alike = (one: string, other: string): boolean =>
  existsSync(other) &&
  (lstatSync(one).isDirectory()
    ? filesBelow(one).length === filesBelow(other).length
    : statSync(one).size === statSync(other).size)
