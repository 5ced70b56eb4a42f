/**
 * What a server is told: flags before variables before the file before the defaults. Whoever says something that is no
 * setting or no value of one is told where, and what was probably meant.
 */
import { Effect, FileSystem, Option, Result, Schema, SchemaIssue } from "effect"
import { Toml } from "effect/encoding"
import { printable } from "../domain/file/Printable.ts"
import { configFileBytesMax } from "../domain/limits.ts"
import { nearest } from "../domain/Nearest.ts"
import { platformWords } from "../domain/SystemCode.ts"
import { type Entry, entries, Settings, variablePrefix } from "./Settings.ts"

/** Something in the configuration is wrong: exit code 2. */
export class BadConfiguration extends Schema.TaggedError<BadConfiguration>()("BadConfiguration", {
  /** one line each: what is wrong, where, and what to do */
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const [first = "", ...others] = this.problems
    return others.length === 0 ? first : `${first} ('config check' shows ${others.length} more)`
  }
}

/** Where settings come from. Strings are as they were given. */
export interface Sources {
  readonly file: { readonly path: string; readonly text: string } | undefined
  readonly environment: { readonly [name: string]: string | undefined }
  /** flags of their own, without `--` */
  readonly flags: { readonly [name: string]: string }
  /** `--set KEY=VALUE` */
  readonly set: { readonly [key: string]: string }
}

/** Settings that are good, and who said them. */
export interface Configuration {
  readonly settings: Settings
  /** where the value of a key comes from; absent for a default */
  readonly origins: ReadonlyMap<string, string>
}

/** One thing that somebody said. */
interface Said {
  readonly key: string
  readonly value: unknown
  /** as a person finds it: `line 4 of server.toml`, `PARADROP_SERVER_LISTEN_PORT`, `--port` */
  readonly place: () => string
}

export const configVariable = `${variablePrefix}CONFIG`

const byKey = new Map(entries.map((entry) => [entry.key, entry]))

/** Pure: the same sources give the same configuration. */
export const resolve = (sources: Sources): Result.Result<Configuration, BadConfiguration> => {
  const file = fromFile(sources.file)
  if (Result.isFailure(file)) return Result.fail(new BadConfiguration({ problems: [file.failure] }))
  // From the weakest to the strongest: the last one wins.
  const all = [...file.success, ...fromEnvironment(sources.environment), ...fromFlags(sources)]
  const said = new Map(all.filter(({ key }) => byKey.has(key)).map((one) => [one.key, one]))
  const decoded = decode(said)
  const problems = [
    ...all.filter(({ key }) => !byKey.has(key)).map(unknown),
    ...(Result.isFailure(decoded) ? decoded.failure : [])
  ]
  if (problems.length > 0 || Result.isFailure(decoded)) return Result.fail(new BadConfiguration({ problems }))
  return Result.succeed({
    settings: decoded.success,
    origins: new Map(Array.from(said.values(), ({ key, place }) => [key, place()]))
  })
}

/** Reads the file, when there is one, and resolves. */
export const load = Effect.fnUntraced(function* (
  options: Omit<Sources, "file"> & { readonly path: string | undefined }
): Effect.fn.Return<Configuration, BadConfiguration, FileSystem.FileSystem> {
  const { path } = options
  const file = path === undefined ? undefined : { path, text: yield* readText(path) }
  return yield* Effect.fromResult(resolve({ ...options, file }))
})

const readText = (path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    // Whoever opens a pipe waits for its writer, and no later reload would be heard.
    const { type } = yield* fs.stat(path)
    if (type === "Directory" || type === "FIFO") {
      const what = type === "Directory" ? "a folder" : "a pipe"
      return yield* bad(`'${printable(path)}' is ${what}: name the file of the configuration`)
    }
    const file = yield* fs.open(path, { flag: "r" })
    // One byte more than may be: whatever grows meanwhile, no more is read.
    const bytes = yield* file.readAlloc(configFileBytesMax + 1)
    if (Option.isSome(bytes) && bytes.value.length > configFileBytesMax) {
      return yield* bad(`'${printable(path)}' is larger than ${configFileBytesMax} bytes: it is no configuration`)
    }
    const text = Result.try(() => utf8.decode(Option.getOrElse(bytes, () => new Uint8Array())))
    if (Result.isSuccess(text)) return text.success
    // What stood in for the rest would be the name of another folder.
    return yield* bad(`'${printable(path)}' is no text in UTF-8: save it as that`)
  }).pipe(
    Effect.scoped,
    Effect.catchTag("PlatformError", (error) =>
      bad(`the configuration '${printable(path)}' cannot be read (${platformWords(error)}): name another with --config`)
    )
  )

const utf8 = new TextDecoder("utf-8", { fatal: true })

const bad = (problem: string) => Effect.fail(new BadConfiguration({ problems: [problem] }))

// -----------------------------------------------------------------------------
// What was said
// -----------------------------------------------------------------------------

const fromFile = (file: Sources["file"]): Result.Result<ReadonlyArray<Said>, string> => {
  if (file === undefined) return Result.succeed([])
  const path = printable(file.path)
  const lines = linesOf(file.text)
  return Toml.parse(file.text).pipe(
    Result.map((table) =>
      flatten(table).map(([key, value]) => ({
        key,
        value,
        place: () => {
          const line = lines(key)
          return line === undefined ? path : `line ${line} of ${path}`
        }
      }))
    ),
    Result.mapError(({ message }) => `${path} is no TOML: ${withoutValues(printable(message))}`)
  )
}

/** What stands where a value should be may be a secret that lacks its quotes; the place is enough to find it. */
const withoutValues = (message: string): string =>
  /^(Expected|Cannot redefine)/.test(message) ? message : message.replace(/ '.*'/s, "")

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** Settings lie two deep. What is nested much deeper is none, and would take all of the stack. */
const tableDepthMax = 8

/** Every value by its whole key. An empty section says nothing, unless there is no such section. */
const flatten = (
  table: Readonly<Record<string, unknown>>,
  prefix = "",
  deeper = tableDepthMax
): ReadonlyArray<readonly [string, unknown]> =>
  Object.entries(table).flatMap(([name, value]): ReadonlyArray<readonly [string, unknown]> => {
    const key = `${prefix}${name}`
    if (!isTable(value) || deeper === 0) return [[key, value]]
    const inside = flatten(value, `${key}.`, deeper - 1)
    return inside.length > 0 || (prefix === "" && sections.has(name)) ? inside : [[key, value]]
  })

const sections = new Set(entries.map(({ section }) => section))

const fromEnvironment = (environment: Sources["environment"]): ReadonlyArray<Said> => {
  const keys = new Map(entries.map(({ key, variable }) => [variable, key]))
  return Object.entries(environment).flatMap(([variable, value]) =>
    // An empty variable is one that is not set.
    value === undefined || value === "" || !variable.startsWith(variablePrefix) || variable === configVariable
      ? []
      : [
          {
            key: keys.get(variable) ?? variable,
            value,
            place: () => (keys.has(variable) ? variable : "the environment")
          }
        ]
  )
}

const fromFlags = ({ flags, set }: Sources): ReadonlyArray<Said> => [
  ...Object.entries(set).map(([key, value]) => ({ key, value, place: () => "--set" })),
  // A flag of its own is the plainest word.
  ...entries.flatMap(({ facts: { flag }, key }) => {
    const value = flag === undefined ? undefined : flags[flag]
    return value === undefined ? [] : [{ key, value, place: () => `--${flag}` }]
  })
]

/** In which line a key gets its value: the first where what says it is whole, read below the table that it is in. */
const linesOf = (text: string): ((key: string) => number | undefined) => {
  let found: Map<string, number> | undefined
  const search = (): Map<string, number> => {
    const first = new Map<string, number>()
    let [header, said] = ["", ""]
    for (const [index, line] of text.split("\n").entries()) {
      // A value of several lines ends with one of these.
      const mayEnd = said === "" || /[\]}]|"""|'''/.test(line)
      said += `${line}\n`
      const table = mayEnd ? Toml.parse(header + said) : undefined
      // The middle of such a value is no TOML.
      if (table === undefined || Result.isFailure(table)) continue
      for (const [key] of flatten(table.success)) if (!first.has(key)) first.set(key, index + 1)
      if (/^\s*\[/.test(said)) header = said
      said = ""
    }
    return first
  }
  return (key) => (found ??= search()).get(key)
}

// -----------------------------------------------------------------------------
// What is wrong
// -----------------------------------------------------------------------------

const decode = (said: ReadonlyMap<string, Said>): Result.Result<Settings, ReadonlyArray<string>> => {
  const raw: Record<string, Record<string, unknown>> = Object.fromEntries(Array.from(sections, (name) => [name, {}]))
  for (const { key, property, section } of entries) {
    const one = said.get(key)
    const values = raw[section]
    if (one !== undefined && values !== undefined) values[property] = one.value
  }
  return Result.mapError(Schema.decodeUnknownResult(Settings, { errors: "all" })(raw), ({ issue }) => {
    const wrong = new Set(pathsOf(issue).map(([section, property]) => `${String(section)} ${String(property)}`))
    return entries.flatMap((entry) => {
      const one = said.get(entry.key)
      return one !== undefined && wrong.has(`${entry.section} ${entry.property}`) ? [badValue(entry, one)] : []
    })
  })
}

const pathsOf = (issue: SchemaIssue.Issue) =>
  SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues.map(({ path = [] }) => path)

const badValue = ({ facts, key }: Entry, { place, value }: Said): string => {
  return `'${key}' takes ${facts.takes}, not ${shown(value)} (${place()})`
}

const shownCharactersMax = 100

const shown = (value: unknown): string => {
  const text = printable(JSON.stringify(value) ?? String(value))
  return text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}…` : text
}

const unknown = ({ key, place }: Said): string => {
  const meant = guess(key)
  const advice = meant === undefined ? `'config default' shows what there is` : `did you mean '${meant}'?`
  return `'${printable(key)}' is no setting (${place()}): ${advice}`
}

/** What somebody probably meant by a key, or a variable, that there is none of. */
const guess = (key: string): string | undefined => {
  if (key.startsWith(variablePrefix)) {
    // What all begin with is no likeness.
    const bare = (variable: string) => variable.slice(variablePrefix.length)
    const name = nearest(
      bare(key),
      entries.map(({ variable }) => bare(variable))
    )
    return name === undefined ? undefined : `${variablePrefix}${name}`
  }
  const whole = nearest(
    key,
    entries.map((entry) => entry.key)
  )
  if (whole !== undefined) return whole
  // Under the wrong section, or under none.
  const [last = ""] = key.split(".").slice(-1)
  const name = nearest(
    last,
    entries.map((entry) => entry.name)
  )
  return entries.find((entry) => entry.name === name)?.key
}
