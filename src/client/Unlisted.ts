/**
 * What a server's listing lacks: folders that the server may not look into. Nobody is left to think that it is empty.
 */
import { Effect } from "effect"
import { type FileName, isBelow, isWithin } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { NotListed } from "./ClientError.ts"
import * as Failures from "./Failures.ts"
import * as Glob from "./Glob.ts"
import { Reporter } from "./Reporter.ts"

/** So many folders, or files, and of the first the names. */
export interface Unlisted {
  readonly count: number
  readonly names: ReadonlyArray<FileName>
}

/** What one listing lacks, as `onUnlisted` of a session wants to tell it. */
export interface Heard {
  readonly onUnlisted: (unlisted: Unlisted) => Effect.Effect<void>
  /** Whether this one of what was asked for may be in what it lacks: then nobody can say that it is not there. */
  readonly mayHold: (text: string) => boolean
  /** Tells a person what may hold something that was asked for; gives how many folders and files these are. */
  readonly tell: (command: "download" | "fetch") => Effect.Effect<number, never, Reporter>
}

/**
 * @param texts what was asked for
 * @param mayBe whether a text may mean something in a folder
 */
export const make = (texts: ReadonlyArray<string>, mayBe: (folder: string, text: string) => boolean): Heard => {
  let heard: Unlisted = { count: 0, names: [] }
  return {
    onUnlisted: (unlisted) => Effect.sync(() => void (heard = unlisted)),
    mayHold: (text) => heard.count > heard.names.length || heard.names.some((name) => mayBe(name, text)),
    tell: Effect.fnUntraced(function* (command) {
      const reporter = yield* Reporter
      const failures = Failures.make(reporter, command)
      const told = heard.names.filter((name) => texts.some((text) => mayBe(name, text)))
      yield* Effect.forEach(told, (name) => failures.tell(name, new NotListed({ name: printable(name) })), {
        discard: true
      })
      yield* failures.rest
      // Their names were not told: they may hold anything.
      const others = heard.count - heard.names.length
      if (others > 0) yield* reporter.note(`${others} more that the server may not look into`, "bad")
      return told.length + others
    })
  }
}

/** Whether what a pattern of `fetch` means may be in a folder: as far as can be known, they begin alike. */
export const mayFit = (folder: string, pattern: string): boolean => {
  const wanted = pattern.replace(/\/+$/, "").split("/")
  // Without `/` it speaks of the last part of a name, wherever that is.
  if (wanted.length === 1) return true
  for (const [index, part] of folder.split("/").entries()) {
    const one = wanted[index]
    if (one === undefined || one === "**") return true
    if (!Glob.matches(one, part)) return false
  }
  return true
}

/** The same for what means a folder, a file or, if there is neither, a pattern: in the folder, or with that in it. */
export const mayMean = (folder: string, text: string): boolean =>
  isWithin([text], folder) || isBelow(folder, text) || (Glob.isPattern(text) && mayFit(folder, text))
