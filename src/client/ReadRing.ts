/**
 * Where a client's socket reads to: one block of memory, again and again.
 *
 * Node makes a buffer of 64 KiB for each read unless it is given one: 16,000 of them for 1 GiB, four times as many
 * calls as it takes, and memory that the collector has to be told of. Here reads follow one another, so that a record
 * is in one piece or two.
 *
 * What was taken is good until so many bytes as the longest record has were taken behind it: a `Transport` asks for
 * more only when it has less than a record.
 */
import {
  readRingBytes,
  recordHeaderBytes,
  recordPlaintextBytesMax,
  socketReadBytes,
  tagBytes
} from "../domain/limits.ts"

/** Sizes of a ring, in bytes. */
export interface Sizes {
  /** of all of it; at least `kept` and four times `step` */
  readonly whole: number
  /** what one read may bring */
  readonly step: number
  /** what stays good behind what was taken */
  readonly kept: number
}

export interface ReadRing {
  /** Where the next read goes. It may be asked for whenever nothing is being read, and is good while there is room. */
  readonly next: () => Uint8Array
  /** So many bytes were read. False when there is no room: nothing may be read until there is. */
  readonly came: (bytes: number) => boolean
  /** What has come and was not taken, in order. What was taken before may go, but for the last `kept` bytes of it. */
  readonly take: () => ReadonlyArray<Uint8Array>
  /** Always, when nothing has come that was not taken. */
  readonly hasRoom: () => boolean
}

const usual: Sizes = {
  whole: readRingBytes,
  step: socketReadBytes,
  kept: recordHeaderBytes + recordPlaintextBytesMax + tagBytes
}

/** An empty ring. Its memory takes none of the machine's before something comes. */
export const make = ({ kept, step, whole }: Sizes = usual): ReadRing => {
  // One byte more, that is never read into: what is all of its buffer could be taken for nobody else's.
  const memory = new Uint8Array(whole + 1)
  // Places in the stream, counted with what was left free at the end of the memory in each round.
  let head = 0
  let taken = 0
  let freed = 0
  // Places in the memory: of the next read, and of what has come since the last piece.
  let at = 0
  let from = 0
  let pieces: Array<Uint8Array> = []

  const hasRoom = (): boolean => whole - (head - freed) >= 2 * step
  const cut = (): void => {
    if (from < at) pieces.push(memory.subarray(from, at))
    from = at
  }
  return {
    hasRoom,
    next: () => {
      if (whole - at < step) {
        cut()
        head += whole - at
        at = 0
        from = 0
      }
      return memory.subarray(at, at + step)
    },
    came: (bytes) => {
      at += bytes
      head += bytes
      return hasRoom()
    },
    take: () => {
      // Among the kept bytes may be one end of the memory.
      freed = Math.max(freed, taken - kept - step)
      cut()
      taken = head
      const all = pieces
      pieces = []
      return all
    }
  }
}
