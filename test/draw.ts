/**
 * What a seed decides.
 */
import * as Fixture from "../src/domain/testing/Fixture.ts"

/** One of them. */
export const pick = <A>(random: () => number, [first, ...others]: readonly [A, ...ReadonlyArray<A>]): A =>
  others[Math.floor(random() * (others.length + 1))] ?? first

/** All draws of one seed, one after the other. */
export const drawer = (seed: number) => {
  const next = Fixture.seeded(seed)
  const below = (bound: number): number => Math.floor(next() * bound)
  return {
    below,
    chance: (probability: number): boolean => next() < probability,
    one: <A>(all: ReadonlyArray<A>): A => {
      const found = all[below(all.length)]
      if (found === undefined) throw new Error("nothing to choose from")
      return found
    },
    /** up to a bound, small ones as likely as large ones */
    upTo: (bound: number): number => Math.floor(bound ** next())
  }
}

export type Draw = ReturnType<typeof drawer>
