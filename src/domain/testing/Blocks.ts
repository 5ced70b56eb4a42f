/**
 * Which blocks of a disk in memory a file holds: a hole holds none, and what several files share is held once.
 */

/** Blocks that were written one behind the other. */
interface Run {
  bytes: number
}

/** Bytes of a file, and where in their run they are. */
interface Extent {
  readonly offset: number
  readonly length: number
  readonly run: Run
  readonly from: number
}

/** The blocks of a file, in order. A copy of them is a clone. */
export type Blocks = ReadonlyArray<Extent>

/** Those of an empty file, and of one that is all hole. */
export const none: Blocks = []

/** With so many bytes written there; what was shared is so no longer. */
export const written = (blocks: Blocks, offset: number, length: number): Blocks =>
  length === 0
    ? blocks
    : [
        ...until(blocks, offset),
        { offset, length, run: { bytes: length }, from: 0 },
        ...behind(blocks, offset + length)
      ]

/** The same for good: who writes on behind the end goes on in the same run, so that runs stay few. */
export const write = (blocks: Blocks, offset: number, length: number): Blocks => {
  const last = blocks.at(-1)
  if (last === undefined || last.offset + last.length !== offset || last.from + last.length !== last.run.bytes) {
    return written(blocks, offset, length)
  }
  last.run.bytes += length
  return [...blocks.slice(0, -1), { ...last, length: last.length + length }]
}

/** What is left when the file is cut there. */
export const until = (blocks: Blocks, end: number): Blocks =>
  blocks.flatMap((extent) =>
    extent.offset < end ? [{ ...extent, length: Math.min(extent.length, end - extent.offset) }] : []
  )

const behind = (blocks: Blocks, start: number): Blocks =>
  blocks.flatMap((extent) => {
    const gone = Math.max(0, start - extent.offset)
    const { from, length, offset, run } = extent
    return gone < length ? [{ offset: offset + gone, length: length - gone, run, from: from + gone }] : []
  })

/** Bytes that all these files hold together. */
export const bytesOf = (files: Iterable<Blocks>): number => {
  const runs = new Map<Run, Array<Extent>>()
  for (const blocks of files) {
    for (const extent of blocks) runs.set(extent.run, [...(runs.get(extent.run) ?? []), extent])
  }
  let total = 0
  for (const extents of runs.values()) {
    let counted = 0
    for (const { from, length } of extents.toSorted((a, b) => a.from - b.from)) {
      total += Math.max(0, from + length - Math.max(from, counted))
      counted = Math.max(counted, from + length)
    }
  }
  return total
}
