/** Results as tables of Markdown, which people can read as they are. */
import { median, type Results, type Row, type Table, tables } from "./Results.ts"

const figure = (value: number | undefined, digits: number, unit = ""): string =>
  value === undefined || Number.isNaN(value) ? "" : `${value.toFixed(digits)}${unit}`

const seconds = (value: number): string => figure(value, value < 1 ? 3 : 2)

const bytes = (value: number | undefined): string => {
  if (value === undefined) return ""
  const [unit, size] = value >= 1e6 ? ["MB", 1e6] : ["kB", 1e3]
  return `${(value / size).toFixed(value >= 1e8 ? 0 : 1)} ${unit}`
}

const memory = ({ clientMiB, serverMiB }: Row): string =>
  clientMiB === undefined && serverMiB === undefined ? "" : `${figure(clientMiB, 0)} + ${figure(serverMiB, 0)}`

const figuresHeads = ["case", "contestant", "figure", "median", "min to max", "unit"] as const

/** Figures that are no timings; empty when there are none. */
const ofFigures = ({ cases, figures }: Results): string => {
  if (figures.length === 0) return ""
  const groups = Map.groupBy(figures, (one) => `${one.case}\n${one.contestant}\n${one.name}`)
  const rows = [...groups.values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const values = group.map(({ value }) => value)
    const spread = `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`
    const title = cases[first.case] ?? first.case
    return [[title, first.contestant, first.name, median(values).toFixed(2), spread, first.unit]]
  })
  return markdown([figuresHeads, ...rows])
}

const heads = [
  "contestant",
  "seconds",
  "min to max",
  "CPU client + server",
  "peak MiB client + server",
  "on the wire",
  "ours by it",
  "CPU ours by it"
] as const

const cells = (row: Row): ReadonlyArray<string> => [
  row.contestant,
  seconds(row.seconds),
  `${seconds(row.fastest)} to ${seconds(row.slowest)}`,
  `${figure(row.clientCpu, 2)} + ${figure(row.serverCpu, 2)}`,
  memory(row),
  bytes(row.bytes),
  figure(row.ratio, 2),
  figure(row.cpuRatio, 2)
]

const markdown = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`
  const [head = [], ...rest] = rows
  return [line(head), rule, ...rest.map(line)].join("\n")
}

/** One table, without a heading. */
export const ofTable = (table: Table): string => markdown([heads, ...table.rows.map(cells)])

/** All of them, each under a heading. */
export const ofResults = (results: Results): string =>
  [...timings(results), ofFigures(results)].filter((text) => text !== "").join("\n\n")

const timings = (results: Results): ReadonlyArray<string> =>
  tables(results)
    .filter(({ rows }) => rows.length > 0)
    .map((table) => {
      const all = table.rows.map((row) => row.rounds)
      const [least, most] = [Math.min(...all), Math.max(...all)]
      const rounds = `${least === most ? "" : `${least} to `}${most} ${most === 1 ? "round" : "rounds"}`
      const title = results.cases[table.case] ?? table.case
      const others = `others used ${figure(table.foreignCores, 1)} cores`
      return `**${title}: ${table.operation}** (${rounds}, ${others})\n\n${ofTable(table)}`
    })
