/**
 * How far a transfer is: plain facts, for whoever shows them.
 */
export interface Progress {
  /** bytes of content that the peer's end or ours has taken; never falls, ends at `total` */
  readonly done: number
  /** bytes of content in all */
  readonly total: number
}

/** Called for every block: cheap, synchronous, and it never fails. */
export type OnProgress = (progress: Progress) => void

/** Counts blocks into progress. */
export const counter = (total: number, onProgress: OnProgress): ((bytes: number) => void) => {
  let done = 0
  onProgress({ done, total })
  return (bytes) => {
    done += bytes
    onProgress({ done, total })
  }
}
