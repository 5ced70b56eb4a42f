/** What was measured, how it is kept, and what it comes to. */
import { Schema } from "effect"

/** One timing. Round 0 warms up: its content is checked and its memory watched, its time ignored. */
export const Sample = Schema.Struct({
  case: Schema.String,
  /** what was done, such as `put` */
  operation: Schema.String,
  contestant: Schema.String,
  round: Schema.Natural,
  /** of the clock, from the start of the client's process to its end unless the case says otherwise */
  seconds: Schema.Number,
  clientCpu: Schema.Number,
  serverCpu: Schema.Number,
  /** that crossed, both ways with all headers; null when they could not be counted */
  bytes: Schema.NullOr(Schema.Number),
  /** peak; null when it was not watched */
  clientMiB: Schema.NullOr(Schema.Number),
  serverMiB: Schema.NullOr(Schema.Number),
  /** cores that others used meanwhile */
  foreignCores: Schema.Number,
  /** for which version of the project, and when */
  commit: Schema.String,
  at: Schema.String
})
export type Sample = typeof Sample.Type

/** A figure that is no timing of a client. */
export const Figure = Schema.Struct({
  case: Schema.String,
  contestant: Schema.String,
  name: Schema.String,
  round: Schema.Natural,
  unit: Schema.String,
  value: Schema.Number,
  commit: Schema.String,
  at: Schema.String
})
export type Figure = typeof Figure.Type

export const Failure = Schema.Struct({
  case: Schema.String,
  operation: Schema.String,
  contestant: Schema.String,
  detail: Schema.String
})
export type Failure = typeof Failure.Type

export const Results = Schema.Struct({
  version: Schema.Literal(1),
  /** size of the largest file in MiB; everything else scales with it */
  mib: Schema.Number,
  machine: Schema.String,
  /** what each contestant is */
  contestants: Schema.Record(Schema.String, Schema.String),
  /** what each case is */
  cases: Schema.Record(Schema.String, Schema.String),
  samples: Schema.Array(Sample),
  figures: Schema.Array(Figure),
  failures: Schema.Array(Failure)
})
export type Results = typeof Results.Type

export const parse = Schema.decodeUnknownSync(Schema.fromJsonString(Results))

/** The middle one; of an even number the mean of the two in the middle. NaN of none. */
export const median = (figures: ReadonlyArray<number>): number => {
  const sorted = figures.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]]
  return (low + high) / 2
}

/** How much the second grows with the first: the line of least squares. */
export const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])]
  const over = points.reduce((sum, [at, value]) => sum + (at - x) * (value - y), 0)
  return over / points.reduce((sum, [at]) => sum + (at - x) ** 2, 0)
}

/** One line of a table: a contestant in a case. */
export interface Row {
  readonly contestant: string
  readonly rounds: number
  readonly seconds: number
  readonly fastest: number
  readonly slowest: number
  readonly clientCpu: number
  readonly serverCpu: number
  readonly bytes: number | undefined
  readonly clientMiB: number | undefined
  readonly serverMiB: number | undefined
  /** ours by theirs: taken within each round, then the median; undefined for ourselves */
  readonly ratio: number | undefined
  readonly cpuRatio: number | undefined
}

export interface Table {
  readonly case: string
  readonly operation: string
  /** cores that others used meanwhile; the median */
  readonly foreignCores: number
  readonly rows: ReadonlyArray<Row>
}

const known = (figures: ReadonlyArray<number | null>): ReadonlyArray<number> =>
  figures.filter((figure) => figure !== null)

const largest = (figures: ReadonlyArray<number | null>): number | undefined => {
  const some = known(figures)
  return some.length === 0 ? undefined : Math.max(...some)
}

const middle = (figures: ReadonlyArray<number | null>): number | undefined => {
  const some = known(figures)
  return some.length === 0 ? undefined : median(some)
}

const cpuOf = ({ clientCpu, serverCpu }: Sample): number => clientCpu + serverCpu

/** Ours by theirs in each round that has both; the median. */
const ratioOf = (
  ours: ReadonlyArray<Sample>,
  theirs: ReadonlyArray<Sample>,
  figure: (sample: Sample) => number
): number | undefined => {
  const ratios = theirs.flatMap((their) => {
    const our = ours.find(({ round }) => round === their.round)
    return our === undefined || figure(their) === 0 ? [] : [figure(our) / figure(their)]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}

const rowOf = (contestant: string, own: ReadonlyArray<Sample>, ours: ReadonlyArray<Sample>): ReadonlyArray<Row> => {
  const timed = own.filter(({ round }) => round > 0)
  if (timed.length === 0) return []
  const seconds = timed.map((sample) => sample.seconds)
  const rival = contestant !== us
  return [
    {
      contestant,
      rounds: timed.length,
      seconds: median(seconds),
      fastest: Math.min(...seconds),
      slowest: Math.max(...seconds),
      clientCpu: median(timed.map(({ clientCpu }) => clientCpu)),
      serverCpu: median(timed.map(({ serverCpu }) => serverCpu)),
      bytes: middle(timed.map(({ bytes }) => bytes)),
      clientMiB: largest(own.map(({ clientMiB }) => clientMiB)),
      serverMiB: largest(own.map(({ serverMiB }) => serverMiB)),
      ratio: rival ? ratioOf(ours, timed, (sample) => sample.seconds) : undefined,
      cpuRatio: rival ? ratioOf(ours, timed, cpuOf) : undefined
    }
  ]
}

/** The contestant that all others are compared with. */
export const us = "paradrop"

/** A table for each case and operation, in the order in which they came. */
export const tables = ({ samples }: Pick<Results, "samples">): ReadonlyArray<Table> => {
  const groups = Map.groupBy(samples, (sample) => `${sample.case}\n${sample.operation}`)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const each = Map.groupBy(group, ({ contestant }) => contestant)
    const ours = (each.get(us) ?? []).filter(({ round }) => round > 0)
    const rows = [...each].flatMap(([contestant, own]) => rowOf(contestant, own, ours))
    const foreignCores = median(group.filter(({ round }) => round > 0).map((sample) => sample.foreignCores))
    return [{ case: first.case, operation: first.operation, foreignCores, rows }]
  })
}
