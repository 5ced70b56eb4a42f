/**
 * The word that was probably meant: for "did you mean".
 */

/**
 * The name with the fewest slips: at most one in three characters, and never more.
 *
 * @param typed only its first 64 characters count: a longer word is no slip of a name
 */
export const nearest = (typed: string, names: ReadonlyArray<string>): string | undefined => {
  const word = typed.slice(0, typedMax)
  const [best] = names
    .map((name) => ({ name, slips: distance(word, name) }))
    .filter(({ name, slips }) => slips <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.slips - b.slips)
  return best?.name
}

const typedMax = 64

/** Insertions, deletions, substitutions and swaps of neighbours between two words (optimal string alignment). */
export const distance = (a: string, b: string): number => {
  let before: ReadonlyArray<number> = []
  let row: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
        )
      )
    }
    ;[before, row] = [row, next]
  }
  return row[b.length] ?? 0
}
