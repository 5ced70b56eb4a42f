/**
 * The server's log: one line for each event, on standard error. LogEvent lists the events.
 */
import { Cause, Context, Layer, Logger, LogLevel, References } from "effect"
import { oneLine } from "../domain/file/Printable.ts"
import type { Settings } from "./Settings.ts"

/** How the log is written: for a person who looks on, or for a program that collects. */
export interface LogStyle {
  /** whether a person looks on */
  readonly terminal: boolean
  readonly colours: boolean
  /** takes a text of whole lines */
  readonly write: (text: string) => void
}

export const layer = (style: LogStyle): Layer.Layer<never> =>
  Layer.merge(
    Logger.layer([fromLevel(style.terminal ? forPeople(style.colours) : forPrograms, style.write)]),
    // The logger decides, since a reload may change the level while fibers run.
    Layer.succeed(References.MinimumLogLevel, "Debug")
  )

/** The least that is logged: `[log]` of the configuration, read for each line. */
export const Level = Context.Reference<Settings["log"]>("paradrop/server/Logging/Level", {
  defaultValue: () => ({ level: "info" })
})

const levelOf = { debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const

const fromLevel = (logger: Logger.Logger<unknown, string>, write: LogStyle["write"]): Logger.Logger<unknown, void> =>
  Logger.make((options) => {
    const least = levelOf[options.fiber.getRef(Level).level]
    if (LogLevel.isGreaterThanOrEqualTo(options.logLevel, least)) write(`${logger.log(options)}\n`)
  })

const red = 31
const yellow = 33
const levels = new Map([
  ["Warn", { text: "warning: ", colour: yellow }],
  ["Error", { text: "error: ", colour: red }]
])

const forPeople = (colours: boolean): Logger.Logger<unknown, string> =>
  Logger.make(({ cause, date, fiber, logLevel, message }) => {
    const time = date.toTimeString().slice(0, 8)
    const text = textOf(message)
    const annotations = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
      // The text says it already.
      .filter(([key]) => key !== "event")
      .map(([key, value]) => ` ${key}=${oneLine(String(value))}`)
      .join("")
    // A cause is shown for defects alone, which are ours to mend: its stack may take more lines.
    const stack = cause.reasons.length === 0 ? "" : `\n${Cause.pretty(cause)}`
    const level = levels.get(logLevel)
    const prefix = level === undefined ? "" : colours ? `\x1b[${level.colour}m${level.text}\x1b[0m` : level.text
    return `${time} ${prefix}${text}${annotations}${stack}`
  })

/** One JSON object (RFC 8259) in one line: `time`, `level`, `event`, `message`, and the fields of the event. */
const forPrograms: Logger.Logger<unknown, string> = Logger.make(({ cause, date, fiber, logLevel, message }) => {
  // Strangers by the thousand are lines by the thousand: one object, filled in the order in which it is written.
  const { event, ...annotations } = fiber.getRef(References.CurrentLogAnnotations)
  const line: Record<string, unknown> = { time: date.toISOString(), level: logLevel.toLowerCase() }
  if (event !== undefined) line["event"] = event
  line["message"] = textOf(message)
  for (const [key, value] of Object.entries(annotations)) line[key] = typeof value === "string" ? oneLine(value) : value
  if (cause.reasons.length > 0) line["cause"] = Cause.pretty(cause)
  return JSON.stringify(line)
})

const textOf = (message: unknown): string =>
  oneLine((Array.isArray(message) ? message : [message]).map(String).join(" "))
