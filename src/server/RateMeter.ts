/**
 * How fast bytes flow just now: an average in which what is longer ago counts less. Pure, two numbers for each flow.
 */

/** Bytes of so long ago count for 1/e of fresh ones. */
export const rateMeterMilliseconds = 5_000

export interface RateMeter {
  /** bytes per second, as of `at` */
  readonly rate: number
  /** milliseconds */
  readonly at: number
}

export const silent: RateMeter = { rate: 0, at: 0 }

/** Bytes per second. A clock that goes back counts as one that stands still. */
export const read = ({ at, rate }: RateMeter, now: number): number =>
  rate * Math.exp(-Math.max(0, now - at) / rateMeterMilliseconds)

export const add = (meter: RateMeter, now: number, bytes: number): RateMeter => ({
  rate: read(meter, now) + (bytes * 1000) / rateMeterMilliseconds,
  at: Math.max(meter.at, now)
})
