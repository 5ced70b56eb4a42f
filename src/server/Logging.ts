/**
 * The server's log: one line for each event, on standard error.
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
  Logger.layer([Logger.withConsoleError(style.terminal ? forPeople(style.colours) : Logger.formatLogFmt)])

const red = 31
const yellow = 33
const levels = new Map([
  ["Warn", { text: "warning: ", colour: yellow }],
  ["Error", { text: "error: ", colour: red }]
])

const forPeople = (colours: boolean): Logger.Logger<unknown, string> =>
  Logger.make(({ cause, date, fiber, logLevel, message }) => {
    const time = date.toTimeString().slice(0, 8)
    const text = oneLine((Array.isArray(message) ? message : [message]).map(String).join(" "))
    const annotations = Object.entries(fiber.getRef(References.CurrentLogAnnotations))
      .map(([key, value]) => ` ${key}=${oneLine(String(value))}`)
      .join("")
    // A cause is shown for defects alone, which are ours to mend: its stack may take more lines.
    const stack = cause.reasons.length === 0 ? "" : `\n${Cause.pretty(cause)}`
    const level = levels.get(logLevel)
    const prefix = level === undefined ? "" : colours ? `\x1b[${level.colour}m${level.text}\x1b[0m` : level.text
    return `${time} ${prefix}${text}${annotations}${stack}`
  })
