/**
 * Figures as a person reads them: sizes, rates, times. All ASCII, so that their width is their length.
 */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const

/** Bytes in the largest unit that keeps the figure at 1 or above: `0 B`, `1023 B`, `1.0 KiB`, `12.3 MiB`. */
export const size = (bytes: number): string => {
  let [value, unit] = [bytes, 0]
  // From 1023.95 on one digit after the point would read 1024.0.
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

const factors = new Map(["", "K", "M", "G", "T"].map((unit, power) => [unit, 1024 ** power]))

/** Bytes as a person writes them: `1500`, `64K`, `10M`, `2g`. Undefined for anything else. */
export const parseSize = (text: string): number | undefined => {
  const [, digits, unit = ""] = /^(\d{1,16})([KMGT]?)$/i.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits) * (factors.get(unit.toUpperCase()) ?? 1)
}

/** Bytes a second. */
export const rate = (bytesPerSecond: number): string => `${size(Math.round(bytesPerSecond))}/s`

/** A duration in seconds with the digits that matter: `0.004 s`, `1.2 s`, `63 s`. */
export const seconds = (milliseconds: number): string => {
  const value = milliseconds / 1000
  return `${value < 0.1 ? value.toFixed(3) : value < 10 ? value.toFixed(1) : value.toFixed(0)} s`
}

/** A time that is left: `0:05`, `12:34`, `1:02:03`. */
export const clock = (milliseconds: number): string => {
  const whole = Math.ceil(milliseconds / 1000)
  const [hours, minutes, left] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (value: number): string => String(value).padStart(2, "0")
  return hours > 0 ? `${hours}:${two(minutes)}:${two(left)}` : `${minutes}:${two(left)}`
}

/** What was moved: `12.0 MiB in 0.1 s, 120.0 MiB/s`; no rate where there is nothing to divide. */
export const moved = (bytes: number, milliseconds: number): string => {
  const time = `${size(bytes)} in ${seconds(milliseconds)}`
  return bytes > 0 && milliseconds > 0 ? `${time}, ${rate((bytes * 1000) / milliseconds)}` : time
}

/** A point in time as UTC, to the minute: `2026-11-23 10:42`. */
export const minute = (milliseconds: number): string =>
  new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")
