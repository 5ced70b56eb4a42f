/**
 * `npm run api` writes the public surface to docs/api, and the modules that can be imported to package.json;
 * `npm run api -- --check` compares and fails when they differ.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { Schema } from "effect"
import { format, resolveConfig } from "prettier"
import * as Listing from "./Listing.ts"

const root = join(import.meta.dirname, "../..")
const folder = join(root, "docs/api")

const Manifest = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const EntryPoint = Schema.Struct({ types: Schema.String, default: Schema.String })
const Exports = Schema.Record(Schema.String, Schema.Union([Schema.String, EntryPoint]))
const manifestPath = join(root, "package.json")
const manifest = Schema.decodeUnknownSync(Manifest)(readFileSync(manifestPath, "utf8"))
const keptExports = Schema.decodeUnknownSync(Exports)(manifest["exports"])
const entryPoints = Object.entries(keptExports).flatMap(([entry, target]) =>
  typeof target === "string" ? [] : [[entry, target] as const]
)
const entries = Object.fromEntries(entryPoints.map(([entry, { types }]) => [entry, types.replace("./dist/", "")]))

/** One checker: the order of members must not depend on how many there are. */
const emit = (output: string): void => {
  const only = ["--emitDeclarationOnly", "--removeComments", "--declarationMap", "false", "--sourceMap", "false"]
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  const args = [compiler, "-p", join(root, "tsconfig.build.json"), ...only, "--singleThreaded", "--outDir", output]
  const run = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })
  if (run.status !== 0) throw new Error(`tsc fails:\n${run.stdout}${run.stderr}`)
}

const listing = async () => {
  const output = mkdtempSync(join(tmpdir(), "paradrop-api-"))
  try {
    emit(output)
    const style = await resolveConfig(join(root, "src/x.ts"))
    const read = (path: string) => readFileSync(join(output, path), "utf8")
    const made = await Listing.documents(entries, read, (text) => format(text, { ...style, parser: "typescript" }))
    return { made, subpaths: Listing.subpaths(entries, read) }
  } finally {
    rmSync(output, { recursive: true })
  }
}

const keptNames = existsSync(folder) ? readdirSync(folder) : []
const kept = new Map(keptNames.map((name) => [name, readFileSync(join(folder, name), "utf8")] as const))
const { made, subpaths } = await listing()
const manifestName = "./package.json"
const exports = { ...Object.fromEntries(entryPoints), ...subpaths, [manifestName]: manifestName }
const differences = [
  ...Listing.differences(kept, made).map((difference) => `docs/api/${difference}`),
  ...(JSON.stringify(exports) === JSON.stringify(keptExports) ? [] : ["package.json: 'exports' has other modules"])
]

if (process.argv.includes("--check")) {
  for (const difference of differences) console.error(difference)
  if (differences.length > 0) {
    console.error("The public surface is not what docs/api says. When that is meant: npm run api, and commit docs/api.")
    process.exitCode = 1
  }
} else {
  rmSync(folder, { recursive: true, force: true })

  mkdirSync(folder)
  for (const [name, text] of made) writeFileSync(join(folder, name), text)
  const text = JSON.stringify({ ...manifest, exports })
  writeFileSync(manifestPath, await format(text, { ...(await resolveConfig(manifestPath)), parser: "json-stringify" }))
}
