/** Results as a picture: for each case and operation a bar for everybody, the shorter the better. */
import { type Results, type Row, type Table, tables, us } from "./Results.ts"

const width = 760
const labelWidth = 130
const barWidth = 480
const lineHeight = 20
const gap = 34

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const colours = { own: "#1f6feb", peer: "#8b949e", bound: "#d0d7de" } as const

const text = (x: number, y: number, content: string, more = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y}"${more}>${escape(content)}</text>`

const colourOf = ({ contestant }: Row, bounds: ReadonlySet<string>): string =>
  contestant.startsWith(us) ? colours.own : bounds.has(contestant) ? colours.bound : colours.peer

const bar = (row: Row, longest: number, top: number, bounds: ReadonlySet<string>): string => {
  const at = (seconds: number): number => labelWidth + (seconds / longest) * barWidth
  const length = Math.max(1, at(row.seconds) - labelWidth).toFixed(1)
  const middle = top + lineHeight / 2
  const ratio = row.ratio === undefined ? "" : `, ours ${row.ratio.toFixed(2)} x`
  const height = `height="${lineHeight - 6}" fill="${colourOf(row, bounds)}"`
  return [
    text(labelWidth - 8, middle + 4, row.contestant, ` text-anchor="end"`),
    `<rect x="${labelWidth}" y="${top + 3}" width="${length}" ${height}/>`,
    `<path d="M${at(row.fastest).toFixed(1)} ${middle}H${at(row.slowest).toFixed(1)}" stroke="#24292f"/>`,
    text(at(row.slowest) + 6, middle + 4, `${row.seconds.toFixed(row.seconds < 1 ? 3 : 2)} s${ratio}`)
  ].join("\n")
}

const panel = (table: Table, title: string, top: number, bounds: ReadonlySet<string>): string => {
  const longest = Math.max(...table.rows.map((row) => row.slowest))
  const bars = table.rows.map((row, index) => bar(row, longest, top + 18 + index * lineHeight, bounds))
  return [text(0, top + 10, title, ` font-weight="bold"`), ...bars].join("\n")
}

/** An SVG document; contestants of `bounds` are drawn pale. */
export const plot = (results: Results, bounds: ReadonlySet<string>): string => {
  const shown = tables(results).filter(({ rows }) => rows.length > 0)
  let top = 10
  const panels = shown.map((table) => {
    const here = top
    top += gap + table.rows.length * lineHeight
    return panel(table, `${results.cases[table.case] ?? table.case}: ${table.operation}`, here, bounds)
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 0 ${width + 16} ${top}"`,
    `  font-family="sans-serif" font-size="12">`,
    `<title>Seconds of each contestant: median, and from the fastest to the slowest round</title>`,
    `<rect x="-8" width="${width + 16}" height="${top}" fill="#ffffff"/>`,
    ...panels,
    "</svg>",
    ""
  ].join("\n")
}
