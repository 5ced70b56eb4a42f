/**
 * The public surface as text: the declarations of every module that an entry point exports, one document for each entry
 * point, and one for the modules that none exports but whose types those declarations name.
 */
import { dirname, join } from "node:path/posix"

/** A declaration file: path below the output folder, as `domain/index.d.ts`, to its text without comments. */
export type Read = (path: string) => string

/** Where an entry point's declarations are, by its name in package.json: `./node` to `domain/node.d.ts`. */
export type Entries = Readonly<Record<string, string>>

/** Documents by the name of their file. */
export type Documents = ReadonlyMap<string, string>

/** The document of what no entry point exports. */
export const inner = "inner.md"

const documentOf = (entry: string): string => `${entry === "." ? "core" : entry.slice(2).replaceAll("/", "-")}.md`

const exported = /^export \* as (\w+) from "(.+)";$/

interface Module {
  readonly name: string
  readonly path: string
}

/** The modules that an index exports. Fails when it exports anything else: no document would show that. */
const modulesOf = (index: string, text: string): ReadonlyArray<Module> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, name, target] = exported.exec(line) ?? []
      if (name === undefined || target === undefined) throw new Error(`${index} exports more than modules: ${line}`)
      return { name, path: declarationsOf(index, target) }
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))

const declarationsOf = (from: string, target: string): string =>
  join(dirname(from), target.replace(/(\.d)?\.[jt]s$/, ".d.ts"))

/**
 * What else `exports` of package.json has: each module that an entry point exports, by itself. A compiler that writes
 * declarations names an inferred type by the file that declares it, and can name no other.
 */
export const subpaths = (entries: Entries, read: Read): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(entries).flatMap(([entry, index]) =>
      modulesOf(index, read(index)).map(({ name, path }) => [
        `${entry}/${name}`,
        `./dist/${path.replace(/\.d\.ts$/, ".js")}`
      ])
    )
  )

/** What a declaration file names of other files of ours. */
const namedBy = (path: string, text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/(?:from |import\()"(\.[^"]+)"/g), ([, target = ""]) => declarationsOf(path, target))

const section = (heading: string, declarations: string): string =>
  `## ${heading}\n\n\`\`\`ts\n${declarations
    .split("\n")
    .filter((line) => line !== "" && line !== "export {};" && line !== "export {}")
    .join("\n")}\n\`\`\`\n`

const written = "Written by `npm run api`; do not edit."

/** The documents. `format` lays out the text of one declaration file. */
export const documents = async (
  entries: Entries,
  read: Read,
  format: (text: string) => Promise<string>
): Promise<Documents> => {
  const result = new Map<string, string>()
  const listed = new Set<string>()
  for (const [entry, index] of Object.entries(entries)) {
    const from = entry === "." ? "paradrop" : `paradrop/${entry.slice(2)}`
    const sections: Array<string> = [`# \`${from}\`\n\n${written}\n`]
    for (const { name, path } of modulesOf(index, read(index))) {
      listed.add(path)
      sections.push(section(name, await format(read(path))))
    }
    result.set(documentOf(entry), sections.join("\n"))
  }
  const hidden = reachedFrom(listed, read)
  const told = "Modules that no entry point exports, and whose types the exported ones name."
  const sections = [`# Not exported\n\n${told} ${written}\n`]
  for (const path of hidden) sections.push(section(path.replace(/\.d\.ts$/, ""), await format(read(path))))
  return result.set(inner, sections.join("\n"))
}

/** What those modules name, and what that names in turn, without the modules themselves; sorted. */
const reachedFrom = (listed: ReadonlySet<string>, read: Read): ReadonlyArray<string> => {
  const seen = new Set(listed)
  const queue = [...listed]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const target of namedBy(path, read(path))) {
      if (seen.has(target)) continue
      seen.add(target)
      queue.push(target)
    }
  }
  return [...seen].filter((path) => !listed.has(path)).toSorted()
}

/** Where two listings differ, the first line of each document only; empty when they do not. */
export const differences = (kept: Documents, made: Documents): ReadonlyArray<string> =>
  [...new Set([...kept.keys(), ...made.keys()])].toSorted().flatMap((name) => {
    const [before, after] = [kept.get(name), made.get(name)]
    if (before === after) return []
    if (before === undefined) return [`${name}: is missing`]
    if (after === undefined) return [`${name}: no entry point has it`]
    const [old, now] = [before.split("\n"), after.split("\n")]
    const at = now.findIndex((line, index) => line !== old[index])
    const line = at === -1 ? now.length : at
    return [`${name}:${line + 1}: kept '${old[line] ?? ""}', is '${now[line] ?? ""}'`]
  })
