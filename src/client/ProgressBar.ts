/**
 * One line that shows how far a transfer is. Pure: time and width come in, text goes out.
 */
import * as Figures from "../domain/file/Figures.ts"
import type { Progress } from "./Progress.ts"
import { fit, width } from "./TextWidth.ts"

/** What the line is made from. */
export interface Bar {
  /** when the transfer began, milliseconds */
  readonly began: number
  /** the last looks at it, oldest first; the rate is taken over them */
  readonly looks: ReadonlyArray<{ readonly at: number; readonly done: number }>
  readonly progress: Progress
}

/** Looks that the rate is taken over: at ten a second, three seconds. */
const looksKept = 30

export const start = (began: number): Bar => ({
  began,
  looks: [{ at: began, done: 0 }],
  progress: { phase: "moving", done: 0, total: 0, reused: 0 }
})

/** A later look. What was shown never falls, and never exceeds the total. */
export const look = (bar: Bar, at: number, progress: Progress): Bar => {
  const done = Math.min(progress.total, Math.max(bar.progress.done, progress.done))
  return {
    ...bar,
    looks: [...bar.looks, { at, done }].slice(-looksKept),
    progress: { ...progress, done }
  }
}

/** Bytes a second over the last looks. */
export const rateOf = ({ looks }: Bar): number => {
  const [first, last] = [looks.at(0), looks.at(-1)]
  if (first === undefined || last === undefined || last.at <= first.at) return 0
  return ((last.done - first.done) * 1000) / (last.at - first.at)
}

/** What is done while no bytes move, in one word; undefined while they do. */
export const waiting = ({ phase }: Progress): "committing" | "comparing" | undefined =>
  phase === "comparing" || phase === "committing" ? phase : undefined

/** Whole per cent: 100 only when everything is there. */
export const percent = ({ done, total }: Progress): number => (total === 0 ? 100 : Math.floor((done / total) * 100))

/**
 * The line, in at most `columns` columns: the name, the bar, and the figures that fit.
 *
 * @param name printable
 */
export const render = (bar: Bar, name: string, columns: number): string => {
  const { done, total } = bar.progress
  const rate = rateOf(bar)
  const left = done >= total ? "" : rate > 0 ? ` ${Figures.clock(((total - done) * 1000) / rate)} left` : " --:-- left"
  const share = `${String(percent(bar.progress)).padStart(3)} %`
  const word = waiting(bar.progress)
  const speed = (word ?? Figures.rate(rate)).padStart(12)
  // Figures change their length as they grow; fixed columns keep the line still.
  const figures = [
    `${share} ${Figures.size(done).padStart(10)} ${speed}${(word === undefined ? left : "").padEnd(14)}`,
    `${share} ${speed}`,
    share
  ]
  const chosen = figures.find((text) => text.length + nameColumnsMin + 1 <= columns) ?? share
  const room = columns - chosen.length - 1
  if (room < 1) return fit(chosen, columns)
  const barColumns = Math.min(barColumnsMax, room - nameColumnsMin - 1)
  const picture = barColumns < barColumnsMin ? "" : ` ${drawing(bar.progress, barColumns)}`
  const label = fit(name, room - picture.length)
  return `${label}${" ".repeat(Math.max(0, room - picture.length - width(label)))}${picture} ${chosen}`
}

const nameColumnsMin = 12
const barColumnsMin = 8
const barColumnsMax = 30

const drawing = ({ done, total }: Progress, columns: number): string => {
  const filled = total === 0 ? columns - 2 : Math.floor((done / total) * (columns - 2))
  return `[${"#".repeat(filled)}${".".repeat(columns - 2 - filled)}]`
}
