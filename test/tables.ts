/**
 * Tables of the documents, for the tests that hold them to the code.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")

/** The rows of the one table whose first column has that heading; code marks around a whole cell are left out. */
export const tableOf = (document: string, firstColumn: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = readFileSync(join(root, document), "utf8").split("\n")
  const headings = lines.flatMap((line, index) => (line.startsWith(`| ${firstColumn} |`) ? [index] : []))
  if (headings.length !== 1) throw new Error(`${document} has ${headings.length} tables of '${firstColumn}'`)
  const rows = lines.slice((headings[0] ?? 0) + 2)
  const end = rows.findIndex((line) => !line.startsWith("|"))
  return rows.slice(0, end === -1 ? rows.length : end).map((row) =>
    row
      .slice(1, -1)
      .split(" | ")
      .map((cell) => cell.trim().replace(/^`([^`]*)`$/, "$1"))
  )
}
