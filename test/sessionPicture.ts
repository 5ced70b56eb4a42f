/**
 * A picture of a terminal: text with colours on standard input (`tmux capture-pane -p -e`), SVG on standard output.
 *
 * `node test/sessionPicture.ts < session.txt > docs/session.svg`
 */
import { readFileSync } from "node:fs"
import process from "node:process"

interface Style {
  readonly colour: string | undefined
  readonly bold: boolean
  readonly dim: boolean
}

const plain: Style = { colour: undefined, bold: false, dim: false }

const dark = ["#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4"]
const bright = ["#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff"]

const restyle = (style: Style, code: number): Style => {
  if (code === 0) return plain
  if (code === 1) return { ...style, bold: true }
  if (code === 2) return { ...style, dim: true }
  if (code === 22) return { ...style, bold: false, dim: false }
  if (code >= 30 && code <= 37) return { ...style, colour: dark[code - 30] }
  if (code === 39) return { ...style, colour: undefined }
  if (code >= 90 && code <= 97) return { ...style, colour: bright[code - 90] }
  return style
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const attributes = ({ bold, colour, dim }: Style): string =>
  (colour === undefined ? "" : ` fill="${colour}"`) +
  (bold ? ` font-weight="bold"` : "") +
  (dim ? ` fill-opacity="0.6"` : "")

/** The runs of one line; the style goes on from line to line, as on a terminal. */
const lineOf = (line: string, from: Style): { readonly svg: string; readonly style: Style } => {
  let style = from
  let svg = ""
  // oxlint-disable-next-line no-control-regex
  for (const part of line.split(/(\u001b\[[\d;]*m)/)) {
    // oxlint-disable-next-line no-control-regex
    const codes = /^\u001b\[([\d;]*)m$/.exec(part)?.[1]
    if (codes !== undefined) style = codes.split(";").map(Number).reduce(restyle, style)
    else if (part !== "") svg += `<tspan${attributes(style)}>${escaped(part)}</tspan>`
  }
  return { svg, style }
}

const characterWidth = 8.4
const lineHeight = 20
const margin = 16

export const picture = (captured: string): string => {
  const lines = captured.trimEnd().split("\n")
  // oxlint-disable-next-line no-control-regex
  const columns = Math.max(...lines.map((line) => Array.from(line.replace(/\u001b\[[\d;]*m/g, "")).length))
  const width = Math.ceil(columns * characterWidth + 2 * margin)
  const height = lines.length * lineHeight + 2 * margin
  let style = plain
  const rows = lines.map((line, index) => {
    const row = lineOf(line, style)
    style = row.style
    return `<text x="${margin}" y="${margin + (index + 1) * lineHeight - 5}" xml:space="preserve">${row.svg}</text>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>A session with Paradrop on a terminal</title>`,
    `<rect width="100%" height="100%" rx="8" fill="#0d1117"/>`,
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">`,
    ...rows,
    `</g>`,
    `</svg>`,
    ``
  ].join("\n")
}

if (import.meta.main) process.stdout.write(picture(readFileSync(0, "utf8")))
