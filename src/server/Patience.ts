/**
 * How long a server waits for a peer that is slow but not silent: a transfer must keep a minimum rate on average, or it
 * ends. Pure, one number for each transfer.
 *
 * Waiting for the peer uses patience up, bytes of the file give it back, never beyond that of one window. The server's
 * own time does not count. What is kept is the time that was used, so that another minimum leaves it what it is.
 */

export interface Minimum {
  /** 0: none is asked for */
  readonly bytesPerSecond: number
  /** how long a transfer that was quick enough may pause */
  readonly windowMilliseconds: number
}

/** Nothing was used of it. */
export const whole = 0

/** How much is used, in milliseconds, after `bytes` have come and the peer was waited for. */
export const used = (before: number, { bytesPerSecond }: Minimum, waitedMilliseconds: number, bytes: number): number =>
  bytesPerSecond === 0 ? whole : Math.max(whole, before + waitedMilliseconds - (bytes * 1000) / bytesPerSecond)

/** Whether none is left. */
export const isOver = (usedMilliseconds: number, { windowMilliseconds }: Minimum): boolean =>
  usedMilliseconds > windowMilliseconds
