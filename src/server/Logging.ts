/**
 * The server's log: one line for each event, on standard error. LogEvent lists the events.
 */
import { Cause, type Layer, Logger, References } from "effect"
import { oneLine } from "./ServerConfig.ts"

/** How the log is written: for a person who looks on, or for a program that collects. */
export interface LogStyle {
  /** whether a person looks on */
  readonly terminal: boolean
  readonly colours: boolean
}

export const layer = (style: LogStyle): Layer.Layer<never> =>
  Logger.layer([Logger.withConsoleError(style.terminal ? forPeople(style.colours) : forPrograms)])

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
