/**
 * How far a transfer is: plain facts, for whoever shows them.
 */

/** What a transfer is doing. */
export type Phase =
  /** finding out which parts the other end has already */
  | "comparing"
  /** bytes move */
  | "moving"
  /** what was staged before turned out wrong: everything is sent again */
  | "restarting"
  /** everything is there and is being made durable */
  | "committing"
  /** over: `done` equals `total` */
  | "done"

/** How far a transfer is. */
export interface Progress {
  readonly phase: Phase
  /** bytes of the file that are in place; never falls, ends at `total`; a restart waits until it has caught up */
  readonly done: number
  /** bytes of the file */
  readonly total: number
  /** of `done`: bytes that did not have to be sent, because the other end had them or an earlier try had sent them */
  readonly reused: number
  /** while it is compared: bytes of the file here that were looked at, and of how many */
  readonly compared?: { readonly done: number; readonly total: number }
  /** of several files together: how many are over, and of how many; those that failed are no part of either */
  readonly files?: { readonly done: number; readonly total: number }
}

/** Called for every block: cheap, synchronous, and it never fails. */
export type OnProgress = (progress: Progress) => void

/** Counts blocks into progress. */
export interface Counter {
  /** bytes that crossed the network */
  readonly moved: (bytes: number) => void
  /** bytes that did not have to */
  readonly reused: (bytes: number) => void
  readonly phase: (phase: Phase) => void
  /** So many bytes more of a file here of `total` were looked at. */
  readonly compared: (bytes: number, total: number) => void
  /** Everything is in place. */
  readonly finish: () => void
}

/** Tells `onProgress` of a transfer of `total` bytes. One owner. */
export const counter = (total: number, onProgress: OnProgress): Counter => {
  let state: Progress = { phase: "moving", done: 0, total, reused: 0 }
  // After a restart this falls back to nothing, and what is shown waits for it.
  let inPlace = 0
  let compared: Progress["compared"]
  const change = (phase: Phase, bytes: number, reused: number): void => {
    inPlace = Math.min(total, inPlace + bytes)
    const shown = phase === "comparing" && compared !== undefined ? { compared } : {}
    state = { phase, done: Math.max(state.done, inPlace), total, reused, ...shown }
    onProgress(state)
  }
  onProgress(state)
  return {
    moved: (bytes) => change("moving", bytes, state.reused),
    reused: (bytes) => change(state.phase, bytes, state.reused + bytes),
    compared: (bytes, of) => {
      compared = { done: Math.min(of, (compared?.done ?? 0) + bytes), total: of }
      change(state.phase, 0, state.reused)
    },
    phase: (phase) => {
      if (phase === "comparing") compared = undefined
      if (phase === "restarting") inPlace = 0
      change(phase, 0, phase === "restarting" ? 0 : state.reused)
    },
    // What was equal from the start was neither moved nor copied: it was there.
    finish: () => change("done", total - inPlace, state.reused + (total - inPlace))
  }
}
