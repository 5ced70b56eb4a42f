/**
 * How long a server waits for a peer that is slow but not silent: a transfer must keep a minimum rate on average, or it
 * ends. Pure, one number for each transfer.
 *
 * Waiting for the peer uses patience up, bytes of the file give it back, never beyond that of one window. The server's
 * own time does not count.
 */

export interface Minimum {
  /** 0: none is asked for */
  readonly bytesPerSecond: number
  /** how long a transfer that was quick enough may pause */
  readonly windowMilliseconds: number
}

/** Patience that nothing was used of, in bytes. */
export const whole = ({ bytesPerSecond, windowMilliseconds }: Minimum): number =>
  (bytesPerSecond * windowMilliseconds) / 1000

/** What is left, in bytes, after `bytes` have come and the peer was waited for; below 0 there is none left. */
export const left = (before: number, minimum: Minimum, waitedMilliseconds: number, bytes: number): number =>
  Math.min(whole(minimum), before - (minimum.bytesPerSecond * waitedMilliseconds) / 1000 + bytes)
