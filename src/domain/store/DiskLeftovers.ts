/**
 * What stagings that were cut have left for a resume, how much of it is kept, and what gives way.
 */
import { Clock, Effect, Option, Stream } from "effect"
import { stagingFolder } from "../file/FileName.ts"
import type { DiskStat } from "./Disk.ts"
import type { DiskStore } from "./DiskStore.ts"
import type { StoreFailed } from "./StoreError.ts"

/** Staged files that a later staging may go on with. */
export const resumablePrefix = "r-"

/** A kept staged file that nobody holds. */
interface Leftover {
  readonly name: string
  readonly stat: DiskStat
  /** milliseconds since it was left; less than 0 where the clock was set back since */
  readonly age: number
}

/** All of them, the oldest first: those first that were left before the clock was set back. */
const leftovers = Effect.fnUntraced(function* ({ disk, leftoverMillisecondsMax, resumable }: DiskStore) {
  const now = yield* Clock.currentTimeMillis
  const names = yield* disk.list([stagingFolder]).pipe(
    Stream.filter(({ name }) => name.startsWith(resumablePrefix) && !resumable.has(keyOf(name))),
    Stream.runCollect
  )
  const found = yield* Effect.forEach(names, ({ name }) =>
    Effect.option(
      Effect.map(disk.stat([stagingFolder, name]), (stat): Leftover => {
        return { name, stat, age: now - Number(stat.changedNanoseconds / 1_000_000n) }
      })
    )
  )
  // By a little the clocks of a disk and of its server may differ.
  const isAhead = ({ age }: Leftover): boolean => age < -leftoverMillisecondsMax
  return found
    .flatMap(Option.toArray)
    .toSorted((a, b) => Number(isAhead(b)) - Number(isAhead(a)) || (isOlder(a, b) ? -1 : 1))
})

const isOlder = (one: Leftover, other: Leftover): boolean => one.stat.changedNanoseconds < other.stat.changedNanoseconds

const keyOf = (stagedName: string): string => stagedName.slice(resumablePrefix.length)

const totalOf = (all: ReadonlyArray<Leftover>): number => all.reduce((total, { stat }) => total + stat.size, 0)

/** Removes one, unless somebody has taken it up meanwhile. */
const removeLeftover = ({ disk, lockResume, resumable }: DiskStore, { name }: Leftover): Effect.Effect<void> =>
  lockResume(keyOf(name))(
    Effect.suspend(() => (resumable.has(keyOf(name)) ? Effect.void : Effect.ignore(disk.remove([stagingFolder, name]))))
  )

/** Removes what is too old, and then the oldest until the rest takes at most the bytes that may be kept. */
export const trimLeftovers = Effect.fnUntraced(
  function* (context: DiskStore) {
    const all = yield* leftovers(context)
    let bytes = totalOf(all)
    for (const leftover of all) {
      if (bytes <= context.leftoverBytesMax && leftover.age <= context.leftoverMillisecondsMax) continue
      yield* removeLeftover(context, leftover)
      bytes -= leftover.stat.size
    }
  },
  (trimmed) => Effect.ignore(trimmed)
)

/**
 * Removes the oldest until there is room for so many bytes that are missing; none when all of them would not be enough.
 * What shares its blocks with another file gives nothing back, so in the end the disk says whether it is enough.
 * Gives whether some may have gone.
 */
export const giveWay = Effect.fnUntraced(
  function* (context: DiskStore, missing: number, isEnough: Effect.Effect<boolean, StoreFailed>) {
    const all = yield* leftovers(context)
    if (totalOf(all) < missing) return false
    let bytes = 0
    for (const leftover of all) {
      if (bytes >= missing && (yield* isEnough)) return true
      yield* removeLeftover(context, leftover)
      bytes += leftover.stat.size
    }
    return bytes > 0
  },
  (gone) => Effect.orElseSucceed(gone, () => true)
)
