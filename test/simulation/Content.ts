/**
 * Content by description: short enough to stand in a schedule, the same bytes each time.
 *
 * Contents of one lineage are edits of each other, so that a `para` finds something to copy; with equal sizes and an
 * equal beginning, so that a resume finds something that is not its own.
 */
import * as Bytes from "../../src/domain/Bytes.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"

/** What a file holds and what it says of itself. */
export interface Content {
  /** contents of one lineage are alike */
  readonly lineage: number
  /** which edit of it; 0 is the lineage itself */
  readonly version: number
  /** bytes, before the edit */
  readonly size: number
  /** the edit changes the length */
  readonly grows: boolean
  /** modification time, milliseconds */
  readonly modified: number
}

const poolBytes = 4 * 1024 * 1024

/** Read by all, made once. */
let pool: Uint8Array | undefined

const makePool = (): Uint8Array => {
  const random = Fixture.seeded(0xc0ffee)
  const words = new Uint32Array(poolBytes / 4)
  for (let index = 0; index < words.length; index += 1) words[index] = random() * 2 ** 32
  return new Uint8Array(words.buffer)
}

/** Edits never touch what a resume looks at first in every second version. */
const editFrom = (version: number, size: number): number =>
  version % 2 === 0 && size > 400_000 ? 300_000 : Math.min(8, size)

export const bytesOf = ({ grows, lineage, size, version }: Content): Uint8Array => {
  pool ??= makePool()
  const from = (lineage * 65_537) % (poolBytes - size)
  const base = pool.slice(from, from + size)
  if (version === 0) return base
  const random = Fixture.seeded(version * 7_919 + lineage)
  const low = editFrom(version, size)
  const place = (): number => low + Math.floor(random() * Math.max(0, size - low))
  for (let edit = 0; edit < 1 + (version % 4); edit += 1) {
    const at = place()
    base.set(Fixture.bytes(version * 31 + edit, Math.min(size - at, 1 + Math.floor(random() * 2_000))), at)
  }
  if (!grows) return base
  const at = place()
  const more = Fixture.bytes(version * 37, 1 + Math.floor(random() * 3_000))
  return Bytes.concat([base.subarray(0, at), more, base.subarray(at)])
}

export const show = ({ grows, lineage, modified, size, version }: Content): string =>
  `${size}${grows ? "+" : ""} bytes of ${lineage}.${version} (time ${modified})`
