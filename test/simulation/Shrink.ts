/**
 * Makes a failing schedule small: leaves out steps, and then faults, as long as it still fails.
 */
import type { Link, Schedule } from "./Schedule.ts"

const clean: Link = { reads: {}, writes: {}, hangWhenCut: false }

/**
 * @param fails whether a schedule fails as the first one did
 * @param runsMax how often it is asked
 */
export const shrink = (
  first: Schedule,
  fails: (schedule: Schedule) => boolean,
  runsMax = 400
): { readonly schedule: Schedule; readonly runs: number } => {
  let best = first
  let runs = 0
  const attempt = (candidate: Schedule): boolean => {
    if (runs >= runsMax) return false
    runs += 1
    const still = fails(candidate)
    if (still) best = candidate
    return still
  }

  /** Large parts first, then ever smaller ones, until no single step can be left out. */
  const dropSteps = (): void => {
    for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = best.steps.length - size; at >= 0; at -= size) {
        attempt({ ...best, steps: best.steps.toSpliced(at, size) })
      }
    }
  }
  const cleanLinks = (): void => {
    if (attempt({ ...best, links: [] })) return
    for (const index of best.links.keys()) {
      if (best.links[index] !== clean) attempt({ ...best, links: best.links.with(index, clean) })
    }
  }

  const calm = (): void => {
    if (best.choices > 1) attempt({ ...best, choices: 1 })
    for (const [index, step] of best.steps.entries()) {
      attempt({ ...best, steps: best.steps.with(index, { ...step, pause: { turns: 0 } }) })
    }
  }

  let before: Schedule | undefined
  while (before !== best && runs < runsMax) {
    before = best
    dropSteps()
    cleanLinks()
    calm()
  }
  return { schedule: best, runs }
}
