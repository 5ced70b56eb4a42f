/**
 * Reads a file from front to back through two buffers of its own: one is looked at while the next is filled.
 *
 * A fresh buffer for each block costs more than the reading itself: the collector runs for every 64 MiB of them. What
 * only looks at bytes (hashing, cutting, copying) uses this instead.
 */
import { Effect, Exit, Fiber } from "effect"
import { windowBytes } from "../limits.ts"

/** Something with bytes at offsets. */
export interface Readable<E> {
  /** Up to `length` bytes from `offset`; shorter only at the end. The result belongs to the caller. */
  readonly read: (offset: number, length: number) => Effect.Effect<Uint8Array, E>
  /** The same into a buffer of the caller's; gives the number of bytes. Where it is missing, `read` is used. */
  readonly readInto?: (offset: number, target: Uint8Array) => Effect.Effect<number, E>
}

export interface ReadWindow<E> {
  /**
   * From 1 to `lengthMax` bytes from `offset`; none only at the end of the file. They are good until the next call.
   * One caller at a time.
   */
  readonly read: (offset: number, lengthMax: number) => Effect.Effect<Uint8Array, E>
  /** Exactly these bytes when the last read left them at hand; good until the next read. */
  readonly held: (offset: number, length: number) => Uint8Array | undefined
  /** As many of them as the last read left at hand, from the first on. */
  readonly heldFrom: (offset: number, lengthMax: number) => Uint8Array
}

/** Fills a buffer from a file; gives the part that was filled. */
export const fill = <E>(file: Readable<E>, offset: number, target: Uint8Array): Effect.Effect<Uint8Array, E> =>
  file.readInto === undefined
    ? file.read(offset, target.length)
    : Effect.map(file.readInto(offset, target), (count) => target.subarray(0, count))

interface Filled {
  readonly offset: number
  readonly bytes: Uint8Array
}

const nothing: Filled = { offset: 0, bytes: new Uint8Array(0) }

/**
 * @param size bytes of the file: nothing is read beyond it
 * @param needed bytes that will be looked at, when they are less than that: smaller buffers do
 * @param lengthMax bytes that are read at once
 */
export const make = <E>(
  file: Readable<E>,
  size: number,
  needed = size,
  lengthMax: number = windowBytes
): ReadWindow<E> => {
  const length = Math.max(1, Math.min(lengthMax, needed))
  // The second one is made when there is more than the first one holds.
  const buffers: Array<Uint8Array> = []
  let turn = 1
  let current: Filled = nothing
  let ahead: { readonly offset: number; readonly fiber: Fiber.Fiber<Filled, E> } | undefined

  const load = (offset: number): Effect.Effect<Filled, E> =>
    Effect.suspend(() => {
      turn = 1 - turn
      const target = (buffers[turn] ??= new Uint8Array(length)).subarray(0, Math.min(length, size - offset))
      return Effect.map(fill(file, offset, target), (bytes) => ({ offset, bytes }))
    })

  const turnTo = Effect.fnUntraced(function* (offset: number) {
    const waiting = ahead
    // A read that is under way must end first in any case: its buffer is needed. It may have ended with the fiber that
    // started it, or failed: then it is done again, here.
    const exit = waiting === undefined ? undefined : yield* Fiber.await(waiting.fiber)
    ahead = undefined
    const read = exit !== undefined && Exit.isSuccess(exit) && waiting?.offset === offset ? exit.value : undefined
    // What is in the buffer now is lost even when the read that replaces it fails or is interrupted.
    current = nothing
    current = read ?? (yield* load(offset))
    const next = current.offset + current.bytes.length
    if (current.bytes.length === length && next < size) {
      ahead = { offset: next, fiber: yield* Effect.forkChild(load(next), { startImmediately: true }) }
    }
  })

  const covered = (offset: number, lengthMax: number): Uint8Array =>
    current.bytes.subarray(offset - current.offset, offset - current.offset + lengthMax)

  const heldFrom = (offset: number, lengthMax: number): Uint8Array =>
    offset >= current.offset ? covered(offset, lengthMax) : new Uint8Array(0)

  return {
    heldFrom,
    held: (offset, length) => {
      const bytes = heldFrom(offset, length)
      return bytes.length === length ? bytes : undefined
    },
    read: (offset, lengthMax) =>
      Effect.suspend(() => {
        if (offset >= size) return Effect.succeed(new Uint8Array(0))
        return offset >= current.offset && offset < current.offset + current.bytes.length
          ? Effect.succeed(covered(offset, lengthMax))
          : Effect.map(turnTo(offset), () => covered(offset, lengthMax))
      })
  }
}

/** Takes a range of a file block by block; ends early where the file ends early. */
export const forEachBlock = Effect.fnUntraced(function* <E, E2>(
  window: ReadWindow<E>,
  range: { readonly offset: number; readonly length: number },
  take: (block: Uint8Array) => Effect.Effect<void, E2>
): Effect.fn.Return<number, E | E2> {
  let done = 0
  while (done < range.length) {
    const block = yield* window.read(range.offset + done, range.length - done)
    if (block.length === 0) break
    yield* take(block)
    done += block.length
  }
  return done
})
