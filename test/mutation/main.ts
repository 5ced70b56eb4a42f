/**
 * Breaks the system on purpose and shows that the tests notice.
 *
 *   npm run mutate                      all of them: minutes
 *   npm run mutate -- --only A,B        those of these names
 *   npm run mutate -- --part 2/5        the second fifth
 *
 * Each mutant is one edit of a throw-away copy, against the few test files that should catch it. Prints the table of
 * docs/TESTING.md. A survivor, an edit that does not fit exactly once, and a test that fails without any edit make the
 * run fail.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { Schema } from "effect"
import { type Mutant, mutants } from "./mutants.ts"

const root = join(import.meta.dirname, "../..")
/** A mutant may hang: that is noticed too. */
const mutantMillisecondsMax = 90_000
const soundMillisecondsMax = 600_000

const copy = mkdtempSync(join(tmpdir(), "paradrop-mutation-"))
for (const part of ["src", "test", "files", "docs", "package.json", "tsconfig.json", "vitest.config.ts"]) {
  cpSync(join(root, part), join(copy, part), { recursive: true })
}
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"), "junction")

const runner = join(root, "node_modules/vitest/vitest.mjs")

const Report = Schema.Struct({
  testResults: Schema.Array(
    Schema.Struct({
      assertionResults: Schema.Array(Schema.Struct({ status: Schema.String, fullName: Schema.String }))
    })
  )
})
const readReport = Schema.decodeUnknownSync(Schema.fromJsonString(Report))

/**
 * What noticed: the name of a test, or how the run ended; undefined when all passed. What fails by chance is tried
 * again and notices nothing.
 */
const noticed = (tests: ReadonlyArray<string>, millisecondsMax: number): string | undefined => {
  const files = tests.map((test) => `test/${test}.test.ts`)
  const report = join(copy, "report.json")
  rmSync(report, { force: true })
  const args = [runner, "run", ...files, "--bail", "1", "--retry", "2", "--reporter", "json", "--outputFile", report]
  const run = spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8", timeout: millisecondsMax })
  if (run.status === 0) return undefined
  if (run.signal !== null || !existsSync(report)) return `no end within ${millisecondsMax / 1000} s`
  const { testResults } = readReport(readFileSync(report, "utf8"))
  const failed = testResults.flatMap((file) => file.assertionResults).find(({ status }) => status === "failed")
  return failed?.fullName ?? "a test file does not load"
}

const applied = ({ file, find, name, replace }: Mutant, text: string): string => {
  const [before, after, ...more] = text.split(find)
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${name}: src/${file} holds the text to replace ${more.length === 0 ? "nowhere" : "twice"}`)
  }
  return before + replace + after
}

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const row = (...cells: ReadonlyArray<string>): void => say(`| ${cells.join(" | ").replaceAll("\n", " ")} |`)

const runAll = (wanted: ReadonlyArray<Mutant>): number => {
  const sound = noticed([...new Set(wanted.flatMap(({ tests }) => tests))], soundMillisecondsMax)
  if (sound !== undefined) throw new Error(`the tests fail without any mutant: ${sound}`)
  let survivors = 0
  row("mutant", "what it breaks", "caught by")
  say("|---|---|---|")
  for (const mutant of wanted) {
    const path = join(copy, "src", mutant.file)
    const text = readFileSync(path, "utf8")
    writeFileSync(path, applied(mutant, text))
    const by = noticed(mutant.tests, mutantMillisecondsMax)
    writeFileSync(path, text)
    if (by === undefined) survivors += 1
    row(`\`${mutant.name}\``, mutant.breaks, by?.replaceAll("|", "\\|") ?? "**nothing: it survived**")
  }
  console.error(`${wanted.length - survivors} caught, ${survivors} survived`)
  return survivors
}

/** `--only` takes names, `--part I/N` the I-th of N parts of the list. */
const chosen = (all: ReadonlyArray<Mutant>): ReadonlyArray<Mutant> => {
  const { values } = parseArgs({ options: { only: { type: "string" }, part: { type: "string" } } })
  if (values.only !== undefined) {
    const names = new Set(values.only.split(","))
    const found = all.filter(({ name }) => names.has(name))
    if (found.length < names.size) throw new Error(`no mutant of each name in ${values.only}`)
    return found
  }
  if (values.part === undefined) return all
  const [part = 0, parts = 0] = values.part.split("/").map(Number)
  if (!(part >= 1 && part <= parts)) throw new Error(`--part takes I/N, not '${values.part}'`)
  return all.slice(Math.floor(((part - 1) * all.length) / parts), Math.floor((part * all.length) / parts))
}

try {
  process.exitCode = runAll(chosen(mutants)) === 0 ? 0 : 1
} finally {
  rmSync(copy, { recursive: true })
}
