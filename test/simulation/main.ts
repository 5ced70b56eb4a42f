/**
 * `npm run simulate`: simulations by seed, as many or as long as asked for.
 *
 *   --seeds N     so many seeds (default: until the time is over, or 1000)
 *   --minutes M   for so long
 *   --from S      the first seed (default: drawn)
 *   --seed S      exactly this one, with its trace
 *
 * Exit code 1 when a seed fails: it is made small and printed with the command that replays it.
 */
import { randomInt } from "node:crypto"
import process from "node:process"
import { parseArgs } from "node:util"
import { Effect } from "effect"
import * as Schedule from "./Schedule.ts"
import * as Shrink from "./Shrink.ts"
import * as Simulation from "./Simulation.ts"

const number = { type: "string" } as const
const options = { seeds: number, minutes: number, from: number, seed: number }

const optionsOf = () => {
  try {
    return parseArgs({ options }).values
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    console.error(
      `there are ${Object.keys(options)
        .map((name) => `--${name} N`)
        .join(", ")}`
    )
    return process.exit(2)
  }
}

const values = optionsOf()

const asked = (name: keyof typeof values): number | undefined => {
  const text = values[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value >= 0) return value
  console.error(`--${name} takes a number, not '${text}'`)
  process.exit(2)
}

const seed = asked("seed")
const minutes = asked("minutes")
const seeds = seed !== undefined ? 1 : (asked("seeds") ?? (minutes === undefined ? 1_000 : Number.POSITIVE_INFINITY))
const from = seed ?? asked("from") ?? randomInt(2 ** 31)
const shared = await Effect.runPromise(Simulation.shared)

const seconds = (): number => Number(process.hrtime.bigint()) / 1e9

/** What a violation is, without the names and numbers that change while a schedule shrinks. */
const kindOf = (violation: string | undefined): string | undefined => violation?.replaceAll(/[#\d]|[0-9a-f]{16,}/g, "")

const tell = (failed: Simulation.Result): void => {
  const kind = kindOf(failed.violations[0])
  const fails = (schedule: Schedule.Schedule): boolean =>
    kindOf(Simulation.run(shared, schedule).violations[0]) === kind
  const { runs, schedule } = Shrink.shrink(failed.schedule, fails)
  const small = Simulation.run(shared, schedule)
  console.log(`\nseed ${failed.schedule.seed} fails:\n  ${failed.violations.join("\n  ")}`)
  console.log(`\nthe smallest schedule that fails so (${runs} tries):\n${Schedule.show(schedule)}`)
  console.log(`\nits trace:\n${small.trace.join("\n")}`)
  console.log(`\nreplay: npm run simulate -- --seed ${failed.schedule.seed}`)
}

const began = seconds()
let last = began
let done = 0
let virtual = 0
const seen = new Map<string, number>()
const rate = (): string => {
  const passed = seconds() - began
  const hours = (virtual / 3_600_000).toFixed(0)
  const perSecond = (done / passed).toFixed(1)
  return `${done} seeds in ${passed.toFixed(1)} s, ${perSecond} a second; ${hours} hours of virtual time`
}

while (done < seeds && (minutes === undefined || seconds() - began < minutes * 60)) {
  const result = Simulation.run(shared, Schedule.fromSeed(from + done))
  done += 1
  virtual += result.milliseconds
  for (const [what, times] of result.seen) seen.set(what, (seen.get(what) ?? 0) + times)
  if (seed !== undefined)
    console.log(`${Schedule.show(result.schedule)}\n\n${result.trace.join("\n")}\n\nhash ${result.hash}`)
  if (result.violations.length > 0) {
    console.log(rate())
    tell(result)
    process.exit(1)
  }
  if (seconds() - last < 10) continue
  last = seconds()
  console.log(`seed ${from + done - 1}: ${rate()}`)
}
const counted = [...seen].toSorted(([, a], [, b]) => b - a)
console.log(`seen: ${counted.map(([what, times]) => `${what} ${times}`).join("; ")}`)
console.log(`clean from seed ${from}: ${rate()}`)
