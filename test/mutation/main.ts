/**
 * Breaks the system on purpose and shows that the tests notice: `npm run mutate -- [--only NAME]`.
 *
 * Each mutant is one edit of a throw-away copy, against the few test files that should catch it. A survivor, an edit
 * that does not fit exactly once, and a test that fails without any edit make the run fail.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { Schema } from "effect"
import { type Mutant, mutants } from "./mutants.ts"

const root = join(import.meta.dirname, "../..")
/** A mutant may hang: that is noticed too. */
const mutantMillisecondsMax = 90_000

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

/** What noticed: the name of a test, or how the run ended; undefined when all passed. */
const noticed = (tests: ReadonlyArray<string>): string | undefined => {
  const files = tests.map((test) => `test/${test}.test.ts`)
  const report = join(copy, "report.json")
  rmSync(report, { force: true })
  const args = [runner, "run", ...files, "--bail", "1", "--reporter", "json", "--outputFile", report]
  const run = spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8", timeout: mutantMillisecondsMax })
  if (run.status === 0) return undefined
  if (run.signal !== null || !existsSync(report)) return `no end within ${mutantMillisecondsMax / 1000} s`
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

const runAll = (wanted: ReadonlyArray<Mutant>): number => {
  const sound = noticed([...new Set(wanted.flatMap(({ tests }) => tests))])
  if (sound !== undefined) throw new Error(`the tests fail without any mutant: ${sound}`)
  let survivors = 0
  for (const mutant of wanted) {
    const path = join(copy, "src", mutant.file)
    const text = readFileSync(path, "utf8")
    writeFileSync(path, applied(mutant, text))
    const by = noticed(mutant.tests)
    writeFileSync(path, text)
    if (by === undefined) survivors += 1
    say(by === undefined ? `SURVIVED ${mutant.name}` : `caught   ${mutant.name}: ${by}`)
  }
  say(`${wanted.length - survivors} caught, ${survivors} survived`)
  return survivors
}

const [flag, only] = process.argv.slice(2)
const wanted = flag === "--only" ? mutants.filter(({ name }) => name === only) : mutants
try {
  if (wanted.length === 0) throw new Error("no mutant of that name")
  process.exitCode = runAll(wanted) === 0 ? 0 : 1
} finally {
  rmSync(copy, { recursive: true })
}
