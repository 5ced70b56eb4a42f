/** Results as tables of Markdown, which people can read as they are. */
import { type Results, type Row, type Table, tables } from "./Results.ts"

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
  const widths = heads.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
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
  tables(results)
    .map((table) => {
      const rounds = Math.max(0, ...table.rows.map((row) => row.rounds))
      const title = results.cases[table.case] ?? table.case
      return `**${title}: ${table.operation}** (${rounds} rounds)\n\n${ofTable(table)}`
    })
    .join("\n\n")
