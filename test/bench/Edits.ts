/** The six updates of a large file of noise that a delta is measured with. */
import { closeSync, copyFileSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { randomInt } from "node:crypto"
import { mebibyte, noise } from "./Data.ts"

export interface Edit {
  readonly what: string
  /** Makes the new version at `path` from the `size` bytes of `base`. */
  readonly make: (base: string, size: number, path: string) => void
}

const block = new Uint8Array(4 * mebibyte)

/** Bytes [from, to) of one file to a place in another, which is made when it is not there. */
const append = (source: string, from: number, to: number, path: string, at: number): void => {
  const [input, target] = [openSync(source, "r"), openSync(path, at === 0 ? "w" : "r+")]
  for (let position = from; position < to;) {
    const length = readSync(input, block, 0, Math.min(block.length, to - position), position)
    writeSync(target, block, 0, length, at + position - from)
    position += length
  }
  closeSync(input)
  closeSync(target)
}

const overwrites = (base: string, size: number, path: string, length: number): void => {
  copyFileSync(base, path)
  for (let count = 0; count < 100; count += 1) {
    const at = randomInt(size - length)
    noise(path, at, at + length)
  }
}

/** At 1 GiB; what is added or overwritten is the same for every size, as far as it fits. */
export const edits: ReadonlyArray<Edit> = [
  { what: "a identical", make: (base, _size, path) => copyFileSync(base, path) },
  {
    what: "b 100 overwrites of 100 KiB",
    make: (base, size, path) => overwrites(base, size, path, Math.min(100 * 1024, size / 1024))
  },
  {
    what: "c 1 MiB inserted at the start",
    make: (base, size, path) => {
      rmSync(path, { force: true })
      noise(path, 0, mebibyte)
      append(base, 0, size, path, mebibyte)
    }
  },
  { what: "d 100 single bytes", make: (base, size, path) => overwrites(base, size, path, 1) },
  {
    what: "e a tenth appended",
    make: (base, size, path) => {
      copyFileSync(base, path)
      noise(path, size, size + Math.floor(size / 10.24))
    }
  },
  {
    what: "f halves swapped",
    make: (base, size, path) => {
      append(base, size / 2, size, path, 0)
      append(base, 0, size / 2, path, size / 2)
    }
  }
]
