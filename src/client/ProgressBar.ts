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
  /** bytes that have crossed since: never what was there */
  readonly moved: number
  /** the last looks at it, oldest first; rates are taken over them */
  readonly looks: ReadonlyArray<Look>
  readonly progress: Progress
}

/** What there was to see at one time, in milliseconds. */
interface Look {
  readonly at: number
  readonly done: number
  readonly moved: number
  /** how many of several files were over */
  readonly files: number
}

/** Looks that the rate is taken over: at ten a second, three seconds. */
const looksKept = 30

/** So many where fewer show bytes come twice: of those that come in blocks, now and then. Twenty seconds. */
const looksKeptOfBlocks = 200

/** Looks at which more was there than before. */
const arrivals = (looks: ReadonlyArray<Look>): ReadonlyArray<Look> =>
  looks.filter(({ done }, index) => done > (looks[index - 1]?.done ?? done))

const recent = (looks: ReadonlyArray<Look>): ReadonlyArray<Look> => {
  const last = looks.slice(-looksKept)
  return arrivals(last).length > 1 ? last : looks.slice(-looksKeptOfBlocks)
}

export const start = (began: number): Bar => ({
  began,
  moved: 0,
  looks: [{ at: began, done: 0, moved: 0, files: 0 }],
  progress: { phase: "moving", done: 0, total: 0, reused: 0 }
})

/** A later look. What was shown never falls, and never exceeds the total. */
export const look = (bar: Bar, at: number, progress: Progress): Bar => {
  const done = Math.min(progress.total, Math.max(bar.progress.done, progress.done))
  const reused = Math.max(0, progress.reused - bar.progress.reused)
  const moved = bar.moved + Math.max(0, done - bar.progress.done - reused)
  // What an earlier try has left is in place at once: no time was spent on it that could tell of the rest.
  const looks = moved === 0 && reused > 0 && progress.files === undefined ? [] : bar.looks
  return {
    ...bar,
    moved,
    looks: recent([...looks, { at, done, moved, files: progress.files?.done ?? 0 }]),
    progress: { ...progress, done }
  }
}

/** Bytes that crossed, each second of the last looks. */
export const rateOf = (bar: Bar): number => overLooks(bar, ({ moved }) => moved)

/** Bytes that came to be in place, each second of the last looks, by whatever way: what is left goes on like that. */
export const paceOf = (bar: Bar): number => overLooks(bar, ({ done }) => done)

/** The looks that a rate is taken between. */
const ends = ({ looks }: Bar): readonly [Look | undefined, Look | undefined] =>
  looks.length > looksKept ? ofBlocks(looks) : [looks.at(0), looks.at(-1)]

const overLooks = (bar: Bar, figure: (look: Look) => number): number => {
  const [first, last] = ends(bar)
  if (first === undefined || last === undefined || last.at <= first.at) return 0
  return ((figure(last) - figure(first)) * 1000) / (last.at - first.at)
}

/** Of files so many times larger than those that were over nobody knows the pace. */
const timesLarger = 10

/** Whether the pace is that of small files, which take their time for being files, and larger ones are left. */
const tellsNothing = (bar: Bar): boolean => {
  const { done, files, total } = bar.progress
  const [first, last] = ends(bar)
  if (files === undefined || first === undefined || last === undefined) return false
  const [passed, left] = [last.done - first.done, total - done]
  const [over, toCome] = [last.files - first.files, files.total - files.done]
  // By products, for a mean of no files is none.
  return passed * timesLarger < left && passed * toCome * timesLarger < left * over
}

/** From one block to a later one: in between nothing comes, and that is no slower. Unless it takes much longer. */
const ofBlocks = (looks: ReadonlyArray<Look>): readonly [Look | undefined, Look | undefined] => {
  const blocks = arrivals(looks)
  const [now, last, first] = [looks.at(-1), blocks.at(-1), (blocks.length > 1 ? blocks : looks).at(0)]
  if (now === undefined || last === undefined || first === undefined) return [first, now]
  return now.at - last.at > last.at - first.at ? [first, now] : [first, last]
}

/** Bytes that crossed, each second since it began. */
export const averageOf = ({ began, looks, moved }: Bar): number => {
  const took = (looks.at(-1)?.at ?? began) - began
  return took > 0 ? (moved * 1000) / took : 0
}

/** What is done while no bytes move, and how far; undefined while they do. */
export const waiting = ({ compared, done, phase, total }: Progress): string | undefined => {
  // The other end reads its file first, for a signature, or has not answered yet.
  if (phase === "moving" && done === 0 && total > 0) return "waiting"
  if (phase !== "comparing" || compared === undefined) {
    return phase === "comparing" || phase === "committing" ? phase : undefined
  }
  const share = compared.total === 0 ? 100 : Math.floor((compared.done / compared.total) * 100)
  return `${phase} ${String(share).padStart(2)} %`
}

/** Whole per cent: 100 only when everything is there, each of several files as well. */
export const percent = ({ done, files, total }: Progress): number => {
  if (files === undefined || files.done >= files.total) return total === 0 ? 100 : Math.floor((done / total) * 100)
  const [part, whole] = total === 0 ? [files.done, files.total] : [done, total]
  return Math.min(99, Math.floor((part / whole) * 100))
}

/** What is moved: by its name, or as a count that grows to the number of files. */
export const label = (command: string, name: string, { files }: Progress): string =>
  files === undefined
    ? `${command} ${name}`
    : `${command} ${String(files.done).padStart(String(files.total).length)}/${files.total} files`

/**
 * The line, in at most `columns` columns: what is moved, the bar, and the figures that fit.
 *
 * @param name printable
 */
export const render = (bar: Bar, command: string, name: string, columns: number): string => {
  const { progress } = bar
  const whole = label(command, name, progress)
  // A count that is cut says nothing; of a name its beginning does.
  const labelMin = progress.files === undefined ? nameColumnsMin : width(whole)
  const rows = figures(bar)
  const chosen =
    rows.find(({ beside, text }) => text.length + labelMin + 1 + (beside === 0 ? 0 : beside + 1) <= columns)?.text ??
    rows.at(-1)?.text ??
    ""
  const room = columns - chosen.length - 1
  if (room < 1) return fit(chosen, columns)
  // A bar that is shorter is still one; a name that is cut may be that of another file.
  const labelWanted = Math.min(width(whole), Math.max(labelMin, width(command) + 1 + nameColumnsWanted))
  const barColumns = Math.min(
    barColumnsMax,
    Math.max(room - labelWanted - 1, Math.min(barColumnsMin, room - labelMin - 1))
  )
  const picture = barColumns < barColumnsMin ? "" : ` ${drawing(progress, barColumns)}`
  const shown = fit(whole, room - picture.length)
  return `${shown}${" ".repeat(Math.max(0, room - picture.length - width(shown)))}${picture} ${chosen}`
}

/** The figures from the most to the fewest, and how many columns of a bar there must be beside them. */
const figures = (bar: Bar): ReadonlyArray<{ readonly text: string; readonly beside: number }> => {
  const { done, reused, total } = bar.progress
  const [rate, pace] = [rateOf(bar), paceOf(bar)]
  const word = waiting(bar.progress)
  // Figures change their length as they grow; fixed columns keep the line still.
  const known = pace > 0 && !tellsNothing(bar)
  const time = done >= total ? "" : known ? `${Figures.clock(((total - done) * 1000) / pace)} left` : "--:-- left"
  const left = (word === undefined ? time : "").padEnd(13)
  const share = `${String(percent(bar.progress)).padStart(3)} %`
  const size = Figures.size(done).padStart(10)
  const speed = (word ?? Figures.rate(rate)).padStart(12)
  const average = `avg ${Figures.rate(averageOf(bar))}`.padStart(16)
  const again = reused === 0 ? [] : [`${Figures.size(reused)} reused`.padStart(17)]
  const row = (beside: number, ...parts: ReadonlyArray<string>) => ({ beside, text: parts.join(" ") })
  return [
    row(barColumnsWanted, share, size, speed, average, ...again, left),
    row(0, share, size, speed, ...again, left),
    ...again.flatMap((text) => [row(0, share, speed, text, left), row(0, share, speed, text)]),
    row(0, share, speed),
    row(0, share)
  ]
}

/** Of command and name. */
const nameColumnsMin = 12
const nameColumnsWanted = 16
const barColumnsMin = 8
const barColumnsMax = 30
/** Beside more figures than one needs there is a bar that one sees. */
const barColumnsWanted = 20

const drawing = (progress: Progress, columns: number): string => {
  const share = progress.total === 0 ? percent(progress) / 100 : progress.done / progress.total
  const filled = Math.floor(share * (columns - 2))
  return `[${"#".repeat(filled)}${".".repeat(columns - 2 - filled)}]`
}
