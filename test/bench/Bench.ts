/** One run of the bench: its options, what it has measured so far, and the clock that it must not overrun. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join, resolve } from "node:path"
import type { Contestant } from "./Contestant.ts"
import type { Wire } from "./Place.ts"
import { type Failure, type Figure, parse, type Results, type Sample } from "./Results.ts"

export interface Options {
  readonly rounds: number
  /** size of the largest file; everything else scales with it */
  readonly mib: number
  /** where results are kept, and gone on with */
  readonly json: string | undefined
  /** milliseconds of `performance.now()` after which nothing new is begun */
  readonly until: number
  /** seconds to wait for others to be quiet */
  readonly patience: number
  readonly contestants: ReadonlyArray<Contestant>
  /** where CPU profiles of our own go; none are taken without */
  readonly profile: string | undefined
}

/** A case: what it is, and how it is run. */
export interface Case {
  readonly name: string
  readonly about: (scale: Scale) => string
  readonly wire: Wire
  readonly run: (bench: Bench) => Promise<void>
}

/** Sizes, all from the size of the largest file. */
export interface Scale {
  readonly mib: number
  /** of a thousand and twenty-four at 1 GiB */
  readonly of: (full: number) => number
}

export const scaleOf = (mib: number): Scale => ({ mib, of: (full) => Math.max(1, Math.ceil((full * mib) / 1024)) })

/** Nothing more may be begun: the time is over. */
export class TimeOver extends Error {
  override readonly name = "TimeOver"
}

export interface Bench {
  readonly options: Options
  readonly scale: Scale
  /** for files to move, which cases share */
  readonly data: string
  /** a fresh folder of that name */
  readonly folder: (name: string) => string
  readonly contestants: ReadonlyArray<Contestant>
  readonly has: (key: Key) => boolean
  /** what a timing came to */
  readonly secondsOf: (key: Key) => number | undefined
  readonly record: (sample: Omit<Sample, "commit" | "at">) => void
  readonly hasFigure: (key: FigureKey) => boolean
  readonly recordFigure: (figure: Omit<Figure, "commit" | "at">) => void
  readonly failed: (failure: Failure) => void
  /** Throws `TimeOver` when it is. */
  readonly check: () => void
}

export type FigureKey = Pick<Figure, "case" | "contestant" | "name" | "round">
export type Key = Pick<Sample, "case" | "operation" | "contestant" | "round">

const repository = resolve(import.meta.dirname, "../..")

const commit = (): string => {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd: repository, encoding: "utf8" }).trim()
  } catch {
    return "unknown"
  }
}

const machine = (): string => {
  const [{ model } = { model: "unknown" }] = cpus()
  const gibibytes = Math.round(totalmem() / 1024 ** 3)
  const congestion = "/proc/sys/net/ipv4/tcp_congestion_control"
  const tcp = existsSync(congestion) ? `, TCP ${readFileSync(congestion, "utf8").trim()}` : ""
  return `${cpus().length} cores (${model.trim()}), ${gibibytes} GiB, Node ${process.versions.node}${tcp}`
}

/** What was measured before, or nothing. */
export const readResults = (path: string | undefined, mib: number): Results => {
  const fresh = {
    version: 1,
    mib,
    machine: machine(),
    contestants: {},
    cases: {},
    samples: [],
    figures: [],
    failures: []
  } as const
  if (path === undefined || !existsSync(path)) return fresh
  const found = parse(readFileSync(path, "utf8"))
  if (found.mib !== mib) throw new Error(`${path} is of ${found.mib} MiB and not ${mib}: name another file`)
  return { ...found, failures: [] }
}

const save = (path: string | undefined, results: Results): void => {
  if (path === undefined) return
  writeFileSync(`${path}.new`, `${JSON.stringify(results, undefined, 1)}\n`)
  renameSync(`${path}.new`, path)
}

const sameKey = (one: Key, other: Key): boolean =>
  one.case === other.case &&
  one.operation === other.operation &&
  one.contestant === other.contestant &&
  one.round === other.round

const shown = ({ clientCpu, contestant, foreignCores, operation, round, seconds, serverCpu, ...sample }: Sample) =>
  [
    `${sample.case} ${operation} ${contestant} ${round === 0 ? "first" : `round ${round}`}:`,
    `${seconds.toFixed(3)} s, CPU ${clientCpu.toFixed(2)} + ${serverCpu.toFixed(2)},`,
    `others ${foreignCores.toFixed(2)} cores`
  ].join(" ")

/** A run of these cases, and its results, which grow. */
export const make = (
  options: Options,
  folder: string,
  cases: ReadonlyArray<Case>
): { readonly bench: Bench; readonly results: () => Results } => {
  const scale = scaleOf(options.mib)
  const version = commit()
  let results: Results = readResults(options.json, options.mib)
  const change = (part: Partial<Results>): void => {
    results = { ...results, ...part }
    save(options.json, results)
  }
  change({
    contestants: {
      ...results.contestants,
      ...Object.fromEntries(options.contestants.map(({ about, name }) => [name, about]))
    },
    cases: { ...results.cases, ...Object.fromEntries(cases.map(({ about, name }) => [name, about(scale)])) }
  })
  const data = join(folder, "data")
  mkdirSync(data)
  const bench: Bench = {
    options,
    scale,
    data,
    folder: (name) => {
      const path = join(folder, name)
      mkdirSync(path, { recursive: true })
      return path
    },
    contestants: options.contestants,
    has: (key) => results.samples.some((sample) => sameKey(sample, key)),
    secondsOf: (key) => results.samples.find((sample) => sameKey(sample, key))?.seconds,
    record: (measured) => {
      const sample = { ...measured, commit: version, at: new Date().toISOString() }
      console.log(shown(sample))
      change({ samples: [...results.samples, sample] })
    },
    hasFigure: (key) =>
      results.figures.some(
        (one) =>
          one.case === key.case && one.contestant === key.contestant && one.name === key.name && one.round === key.round
      ),
    recordFigure: (measured) => {
      const { contestant, name, round, unit, value } = measured
      console.log(`${contestant} ${name} round ${round}: ${value.toFixed(2)} ${unit}`)
      change({ figures: [...results.figures, { ...measured, commit: version, at: new Date().toISOString() }] })
    },
    failed: (failure) => {
      console.log(`${failure.case} ${failure.operation} ${failure.contestant} FAILED: ${failure.detail}`)
      change({ failures: [...results.failures, failure] })
    },
    check: () => {
      if (performance.now() > options.until) throw new TimeOver("the time is over")
    }
  }
  return { bench, results: () => results }
}
