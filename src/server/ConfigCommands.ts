/**
 * What `paradrop-server config ...` prints: TOML on standard output, which is a good file again. All of it is shown: no
 * setting is a secret.
 */
import { Schema } from "effect"
import type { Configuration } from "./Configuration.ts"
import { defaultSettings, type Entry, entries, Settings } from "./Settings.ts"

/** Every setting with its meaning and its default, commented out: a file to begin with. */
export const defaultText = (): string =>
  sectionsText(defaultSettings, (entry, value) => [
    `# ${entry.facts.text}`,
    `# ${entry.facts.takes}; a change takes a ${entry.facts.live ? "reload" : "restart"}`,
    value === undefined ? `# ${entry.name} is not set` : `#${entry.name} = ${value}`,
    ""
  ])

/** Every setting as it is, and who said it. */
export const showText = ({ origins, settings }: Configuration): string =>
  sectionsText(settings, (entry, value) => {
    const origin = origins.get(entry.key)
    const from = origin ?? "default"
    if (value === undefined) return [`# ${entry.name} is not set`]
    return [`${entry.name} = ${value} # ${from}`]
  })

const sectionsText = (
  settings: Settings,
  linesOf: (entry: Entry, value: string | undefined) => ReadonlyArray<string>
): string => {
  const encoded: Readonly<Record<string, Readonly<Record<string, unknown>>>> = Schema.encodeSync(Settings)(settings)
  return Object.keys(Settings.fields)
    .map((section) => {
      const lines = entries
        .filter((entry) => entry.section === section)
        .flatMap((entry) => {
          const value = encoded[section]?.[entry.property]
          return linesOf(entry, value === undefined ? undefined : toml(value))
        })
      return [`[${section}]`, ...lines].join("\n").trimEnd()
    })
    .join("\n\n")
}

/** A value in TOML: numbers, booleans, texts and lists of them are written as in JSON, but for one character. */
const toml = (value: unknown): string => JSON.stringify(value).replaceAll("\u007f", "\\u007f")
