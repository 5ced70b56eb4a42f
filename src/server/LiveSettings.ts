/**
 * The settings of a running server. A reload changes those that can change while it runs, for whoever reads them next;
 * of the others it says that they take a restart.
 */
import { Effect, Equal } from "effect"
import type { BadConfiguration, Configuration } from "./Configuration.ts"
import { log } from "./LogEvent.ts"
import { type Entry, entries, type Settings } from "./Settings.ts"

export interface LiveSettings {
  /** Read at use: its sections stay the same objects, and their values change. */
  readonly settings: Settings
  /** Takes what can be taken. The keys whose values differ: those that were taken, and those that take a restart. */
  readonly change: (next: Settings) => Effect.Effect<Change>
}

export interface Change {
  readonly taken: ReadonlyArray<string>
  readonly waiting: ReadonlyArray<string>
}

export const make = (first: Settings): LiveSettings => {
  const settings: Settings = {
    ...first,
    ...Object.fromEntries(Object.entries(first).map(([section, values]) => [section, { ...values }]))
  }
  return {
    settings,
    change: (next) =>
      Effect.sync(() => {
        const differ = entries.filter((entry) => !Equal.equals(valueOf(settings, entry), valueOf(next, entry)))
        const taken = differ.filter(({ facts }) => facts.live)
        for (const entry of taken) {
          Object.assign(sectionOf(settings, entry), { [entry.property]: valueOf(next, entry) })
        }
        const keys = (some: ReadonlyArray<Entry>) => some.map(({ key }) => key)
        return { taken: keys(taken), waiting: keys(differ.filter(({ facts }) => !facts.live)) }
      })
  }
}

type Section = Readonly<Record<string, unknown>>

const sectionOf = (settings: Readonly<Record<string, Section>>, { section }: Entry): Section => settings[section] ?? {}

const valueOf = (settings: Settings, entry: Entry): unknown => sectionOf(settings, entry)[entry.property]

/** Loads the configuration again and takes what can be taken. What is wrong changes nothing, and is logged. */
export const reload = <R>(
  live: LiveSettings,
  load: Effect.Effect<Configuration, BadConfiguration, R>
): Effect.Effect<void, never, R> =>
  Effect.gen(function* () {
    const { taken, waiting } = yield* live.change((yield* load).settings)
    yield* log("reloaded", "configuration reloaded", { changed: taken.join(" ") || "nothing" })
    if (waiting.length === 0) return
    yield* log("restart-needed", "what else changed takes a restart", { settings: waiting.join(" ") })
  }).pipe(
    Effect.catchTag("BadConfiguration", ({ problems }) =>
      Effect.forEach(problems, (problem) => log("reload-refused", `configuration not reloaded: ${problem}`), {
        discard: true
      })
    )
  )
