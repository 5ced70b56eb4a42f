/**
 * The content of a bundle on its way, in memory: as it came, where that is no waste, and otherwise in blocks.
 *
 * A piece that is most of its buffer is held itself: to copy it costs as much as to write it to a file. Of smaller ones
 * each would keep a whole record; they are copied. So what is held takes at most twice what has come, and a block.
 */
import * as Bytes from "../domain/Bytes.ts"
import { frameHeaderBytes, gatheredBlockBytes, givenBackBytesMin } from "../domain/limits.ts"

export interface Gathering {
  /** Takes the next bytes. They must not be changed until `giveBack`. */
  readonly keep: (parts: Bytes.Parts) => void
  /** All that has come, in order. */
  readonly parts: () => Bytes.Parts
  /** Nobody will look at the content again. */
  readonly giveBack: () => void
}

/**
 * @param declared bytes that will come
 * @param ours whether the memory of what comes may be given back (see Transport.Owned)
 */
export const make = (declared: number, ours: boolean): Gathering => {
  const held: Array<Uint8Array> = []
  let missing = declared
  let block = new Uint8Array(0)
  let filled = 0

  const copy = (part: Uint8Array): void => {
    for (let from = 0; from < part.length;) {
      if (filled === block.length) {
        block = new Uint8Array(Math.min(gatheredBlockBytes, Math.max(missing, part.length)))
        filled = 0
      }
      const view = part.subarray(from, from + block.length - filled)
      block.set(view, filled)
      const last = held.at(-1)
      const start = last?.buffer === block.buffer ? last.byteOffset : undefined
      if (start !== undefined) held.pop()
      held.push(block.subarray(start ?? filled, filled + view.length))
      filled += view.length
      from += view.length
    }
  }

  return {
    keep: (parts) => {
      for (const part of parts) {
        if (part.length >= givenBackBytesMin && part.length * 2 >= part.buffer.byteLength) held.push(part)
        else copy(part)
        missing -= part.length
      }
    },
    parts: () => held,
    giveBack: () => {
      if (ours) Bytes.giveBack(held, frameHeaderBytes)
    }
  }
}
