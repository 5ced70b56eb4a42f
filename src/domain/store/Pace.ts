/**
 * How quick the calls of a disk are, and so whether the next one may block: pure, two numbers.
 *
 * To read or write what is in the kernel's cache is a copy. Handing it to another thread costs several times that: two
 * switches, and the bytes in the wrong processor's cache. But a call that waits for a device holds up everybody else
 * on the event loop, so those of a slow disk go to the pool.
 */
import {
  diskBlockingMillisecondsMax,
  diskPooledMilliseconds,
  diskQuickBytes,
  diskQuickMillisecondsMax
} from "../limits.ts"

export interface Pace {
  /** which part of the last calls was slow: each new one counts for a sixteenth */
  readonly slow: number
  /** until when calls go to the pool, milliseconds */
  readonly pooledUntil: number
}

/** Nothing is known: the first call may block. */
export const unknown: Pace = { slow: 0, pooledUntil: Number.NEGATIVE_INFINITY }

/** Whether the next call may block. */
export const mayBlock = ({ pooledUntil }: Pace, now: number): boolean => now >= pooledUntil

/**
 * After a call of so many bytes that blocked for so long. A single one that was slow may just have lost the processor
 * to others.
 */
export const blocked = ({ pooledUntil, slow }: Pace, now: number, milliseconds: number, bytes: number): Pace => {
  const quick = diskQuickMillisecondsMax * Math.max(1, bytes / diskQuickBytes)
  const next = slow + (Number(milliseconds > quick) - slow) / 16
  return next > slowMax || milliseconds > diskBlockingMillisecondsMax
    ? { slow: 0, pooledUntil: now + diskPooledMilliseconds }
    : { slow: next, pooledUntil }
}

/** A quarter: five in a row. */
const slowMax = 0.25
