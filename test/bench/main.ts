/**
 * `npm run bench`: what Paradrop costs, and with `--peers` what others cost in the same run.
 *
 * Interleaved rounds; medians; ratios are taken within each round. A run that was ended goes on where it stopped when
 * the same `--json` file is named.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import * as Bench from "./Bench.ts"
import { cases } from "./cases.ts"
import { type Contestant, lacks } from "./Contestant.ts"
import { ours, peers } from "./contestants.ts"
import { profiledFor } from "./contestants/paradrop.ts"
import * as Place from "./Place.ts"
import { stopAll } from "./Processes.ts"
import { parse } from "./Results.ts"
import { write } from "./Document.ts"
import { ofResults } from "./Table.ts"

const usage = `npm run bench -- [--peers] [--only CASE,...] [--rounds N] [--mib N] [--json FILE] [--minutes N]

  --peers          others too: those that are here; what is missing is told with the package that has it
  --only CASE,...  these cases: ${cases.map(({ name }) => name).join(", ")}
  --with NAME,...  these contestants: ${[...ours, ...peers].map(({ name }) => name).join(", ")}
  --rounds N       timed rounds, after one that is not (default: 3, with --peers 5)
  --mib N          size of the largest file; the rest scales with it (default: 256, with --peers 1024)
  --json FILE      keeps the results there, and goes on with those that are there
  --minutes N      begins nothing new after that
  --patience N     seconds to wait for a quiet machine before each timing (default: 20; 0 takes every timing once)
  --folder DIR     where the files are (default: /dev/shm if it is there)
  --profile DIR    CPU profiles of our client and server; 'node test/bench/profile.ts DIR/CASE' sums them up
  --document       measures nothing: puts what --json FILE holds into docs/PERFORMANCE.md and docs/performance.svg
`

const fail = (text: string): never => {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

const numberOf = (name: string, text: string | undefined, otherwise: number): number => {
  const number = text === undefined ? otherwise : Number(text)
  return number >= 0 ? number : fail(`--${name} takes a number, not '${text}'`)
}

const optionsOf = () => {
  const text = { type: "string" } as const
  const flag = { type: "boolean", default: false } as const
  const which = { peers: flag, help: flag, document: flag, only: text, with: text, rounds: text, mib: text }
  const options = { ...which, json: text, minutes: text, patience: text, folder: text, profile: text }
  try {
    return parseArgs({ options }).values
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
  }
}

/** Those of these names, in the order in which they stand; all when none is named. */
const chosen = <A extends { readonly name: string }>(
  all: ReadonlyArray<A>,
  names: string | undefined
): ReadonlyArray<A> => {
  const wanted = names?.split(",")
  for (const name of wanted ?? []) {
    if (!all.some((one) => one.name === name)) {
      fail(`there is no '${name}': there are ${all.map((one) => one.name).join(", ")}`)
    }
  }
  return all.filter(({ name }) => wanted === undefined || wanted.includes(name))
}

/** Those that can run here; the others are told. */
const present = (all: ReadonlyArray<Contestant>): ReadonlyArray<Contestant> =>
  all.filter((one) => {
    const missing = lacks(one)
    if (missing.length > 0) console.log(`${one.name} is left out: it needs the packages ${missing.join(", ")} (Debian)`)
    return missing.length === 0
  })

const main = async (): Promise<void> => {
  const values = optionsOf()
  if (values.help) return console.log(usage)
  if (values.document) {
    return values.json !== undefined && existsSync(values.json)
      ? write(parse(readFileSync(values.json, "utf8")))
      : fail("--document needs the results of a run: --json FILE")
  }
  const some = chosen(cases, values.only)
  const everybody = chosen([...ours, ...peers], values.with)
  const wanted = everybody.filter((one) => values.peers || ours.includes(one) || values.with !== undefined)
  const rounds = numberOf("rounds", values.rounds, values.peers ? 5 : 3)
  const mib = numberOf("mib", values.mib, values.peers ? 1024 : 256)
  const minutes = numberOf("minutes", values.minutes, Number.POSITIVE_INFINITY)
  const patience = numberOf("patience", values.patience, 20)
  const until = performance.now() + minutes * 60_000
  const { json, profile } = values
  const options = { rounds, mib, json, until, patience, profile, contestants: present(wanted) }
  await Place.prepare()
  const folder = mkdtempSync(join(values.folder ?? (existsSync("/dev/shm") ? "/dev/shm" : tmpdir()), "paradrop-bench-"))
  const { bench, results } = made(options, folder, some)
  // In a namespace of its own nobody ends it but itself.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      rmSync(folder, { recursive: true, force: true })
      process.exit(1)
    })
  }
  try {
    for (const one of some) await runCase(bench, one)
  } catch (error) {
    if (!(error instanceof Bench.TimeOver)) throw error
    console.log("the time is over: the same command goes on from here when it has --json")
  } finally {
    await stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
  console.log(`\n${ofResults(results())}`)
  for (const { case: name, contestant, detail, operation } of results().failures) {
    console.log(`FAILED ${name} ${operation} ${contestant}: ${detail}`)
    process.exitCode = 1
  }
}

/** Results of another size, or of no form that is known, are left alone. */
const made = (options: Bench.Options, folder: string, some: ReadonlyArray<Bench.Case>) => {
  try {
    return Bench.make(options, folder, some)
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const runCase = async (bench: Bench.Bench, one: Bench.Case): Promise<void> => {
  bench.check()
  console.log(`\n${one.name}: ${one.about(bench.scale)}`)
  if (bench.options.profile !== undefined) profiledFor(join(resolve(bench.options.profile), one.name))
  const missing = one.wire === Place.loopback ? undefined : Place.wireLacks()
  if (missing !== undefined) return console.log(`left out: ${missing}`)
  try {
    await one.run(bench)
  } catch (error) {
    if (error instanceof Bench.TimeOver) throw error
    bench.failed({ case: one.name, operation: "run", contestant: "all", detail: String(error) })
  }
}

const code = Place.runInside()
if (code === undefined) await main()
else process.exitCode = code
