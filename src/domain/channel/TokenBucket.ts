/**
 * A token bucket: how long bytes must wait so that a flow keeps to its rate. Pure, one number for each flow.
 *
 * Who takes owes the time until what was taken is paid for. Those who take from one bucket are served in the order in
 * which they come, so that many sessions share it record by record.
 */

/** A flow that was silent may send so much time's worth at once. */
export const burstMilliseconds = 250

export interface TokenBucket {
  /** when everything that was taken is paid for, milliseconds */
  readonly paidAt: number
}

/** Nothing was taken for long. */
export const full: TokenBucket = { paidAt: Number.NEGATIVE_INFINITY }

/** @param bytesPerSecond more than 0; it may be another one each time */
export const take = (
  { paidAt }: TokenBucket,
  bytesPerSecond: number,
  now: number,
  bytes: number
): { readonly bucket: TokenBucket; readonly waitMilliseconds: number } => {
  const next = Math.max(paidAt, now - burstMilliseconds) + (bytes * 1000) / bytesPerSecond
  return { bucket: { paidAt: next }, waitMilliseconds: Math.max(0, next - now) }
}
