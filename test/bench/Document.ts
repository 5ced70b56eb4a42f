/** Puts results into docs/PERFORMANCE.md, between its markers, and draws docs/performance.svg. */
import { readFileSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { peers } from "./contestants.ts"
import { plot } from "./Plot.ts"
import type { Results } from "./Results.ts"
import { ofResults } from "./Table.ts"

const docs = resolve(import.meta.dirname, "../../docs")
const [begin, end] = ["<!-- bench -->", "<!-- /bench -->"]

const span = (texts: ReadonlyArray<string>): string => {
  const sorted = [...new Set(texts)].toSorted()
  const [first = "", last = ""] = [sorted[0], sorted.at(-1)]
  return first === last ? first : `${first} to ${last}`
}

/** Machine, date and version, then who took part, then the tables. */
export const section = (results: Results): string => {
  const { contestants, machine, samples } = results
  const taken = new Set(samples.map(({ contestant }) => contestant))
  const days = span(samples.map(({ at }) => at.slice(0, 10)))
  const commits = [...new Set(samples.map(({ commit }) => commit))].join(", ")
  return [
    `Measured ${days} on ${machine}; version ${commits}; largest file ${results.mib} MiB.`,
    Object.entries(contestants)
      .filter(([name]) => taken.has(name))
      .map(([name, about]) => `- ${name}: ${about}`)
      .join("\n"),
    ofResults(results),
    ...results.failures.map(
      ({ case: name, contestant, detail, operation }) =>
        `${name} ${operation}: ${contestant} failed: ${detail.replaceAll(/\s+/g, " ")}`
    )
  ].join("\n\n")
}

/** The text with what is between the markers replaced. */
export const filled = (text: string, results: Results): string => {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`there is no '${begin}' before an '${end}'`)
  return `${text.slice(0, from + begin.length)}\n\n${section(results)}\n\n${text.slice(to)}`
}

/** Writes both. */
export const write = (results: Results): void => {
  const path = join(docs, "PERFORMANCE.md")
  writeFileSync(path, filled(readFileSync(path, "utf8"), results))
  const bounds = new Set(peers.filter(({ bound }) => bound === true).map(({ name }) => name))
  writeFileSync(join(docs, "performance.svg"), plot(results, bounds))
}
