/**
 * The server's log: one line for each event, on standard error. LogEvent lists the events.
 */
import { Cause, Context, Layer, Logger, LogLevel, References } from "effect"
import { oneLine } from "./ServerConfig.ts"
import type { Settings } from "./Settings.ts"

/** How the log is written: for a person who looks on, or for a program that collects. */
export interface LogStyle {
  /** whether a person looks on */
  readonly terminal: boolean
  readonly colours: boolean
}

export const layer = (style: LogStyle): Layer.Layer<never> =>
  Layer.merge(
    Logger.layer([fromLevel(Logger.withConsoleError(style.terminal ? forPeople(style.colours) : forPrograms))]),
    // The logger decides, since a reload may change the level while fibers run.
    Layer.succeed(References.MinimumLogLevel, "Debug")
  )

/** The least that is logged: `[log]` of the configuration, read for each line. */
export const Level = Context.Reference<Settings["log"]>("paradrop/server/Logging/Level", {
  defaultValue: () => ({ level: "info" })
})

const levelOf = { debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const

const fromLevel = (logger: Logger.Logger<unknown, void>): Logger.Logger<unknown, void> =>
  Logger.make((options) => {
    const least = levelOf[options.fiber.getRef(Level).level]
    if (LogLevel.isGreaterThanOrEqualTo(options.logLevel, least)) logger.log(options)
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
  const annotations = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
  return JSON.stringify({
    time: date.toISOString(),
    level: logLevel.toLowerCase(),
    ...Object.fromEntries(annotations.filter(([key]) => key === "event")),
    message: textOf(message),
    ...Object.fromEntries(
      annotations
        .filter(([key]) => key !== "event")
        .map(([key, value]) => [key, typeof value === "string" ? oneLine(value) : value])
    ),
    ...(cause.reasons.length > 0 && { cause: Cause.pretty(cause) })
  })
})

const textOf = (message: unknown): string =>
  oneLine((Array.isArray(message) ? message : [message]).map(String).join(" "))
