/**
 * What a server's listing lacks: folders that the server may not look into, and files that are called what no name can
 * be. Nobody is left to think that there is nothing.
 */
import { Effect } from "effect"
import { brokenRule, type FileName, isBelow, isWithin } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { failuresToldMax } from "../domain/limits.ts"
import { NotListed, NotNameable } from "./ClientError.ts"
import * as Failures from "./Failures.ts"
import * as Glob from "./Glob.ts"
import { Reporter } from "./Reporter.ts"

/** What one listing lacks. */
export interface Unlisted {
  /** so many folders and files that may not be looked into, and of the first the names */
  readonly count: number
  readonly names: ReadonlyArray<FileName>
  /** what no name can mean, folder by folder; without names: of other folders, together */
  readonly unnamed: ReadonlyArray<Unnamed>
  /** of one folder's listing: that folder, or one that it is in, which may not be looked into; named from the top */
  readonly itself?: string
}

/** So many files and folders in one folder, and what the first are called there; a `/` ends what is a folder. */
export interface Unnamed {
  /** `""` is the outermost */
  readonly folder: string
  readonly count: number
  readonly names: ReadonlyArray<string>
}

/** A listing that lacks nothing. */
export const nothing: Unlisted = { count: 0, names: [], unnamed: [] }

/** What one listing lacks, as `onUnlisted` of a session wants to tell it. */
export interface Heard {
  readonly onUnlisted: (unlisted: Unlisted) => Effect.Effect<void>
  /** Whether this one of what was asked for may be in what it lacks: then nobody can say that it is not there. */
  readonly mayHold: (text: string) => boolean
  /** Tells a person what may hold something that was asked for; gives how many folders and files these are. */
  readonly tell: (command: "download" | "fetch") => Effect.Effect<number, never, Reporter>
}

/** Whether one of what was asked for may mean something. */
export interface Means {
  /** in a folder */
  readonly below: (folder: string, text: string) => boolean
  /** or a file */
  readonly file: (name: string, text: string) => boolean
}

/** @param texts what was asked for */
export const make = (texts: ReadonlyArray<string>, means: Means): Heard => {
  let heard = nothing
  /** Whether it may mean what is called so in a folder. */
  const meant = (folder: string, name: string, text: string): boolean => {
    const path = pathOf(folder, name)
    return name.endsWith("/") ? means.below(path.slice(0, -1), text) : means.file(path, text)
  }
  const concerns = ({ count, folder, names }: Unnamed, text: string): boolean =>
    names.some((name) => meant(folder, name, text)) ||
    // What is not named may be called anything.
    (count > names.length && (names.length === 0 || means.below(Glob.isPattern(text) ? folder : any(folder), text)))
  return {
    onUnlisted: (unlisted) => Effect.sync(() => void (heard = unlisted)),
    mayHold: (text) =>
      heard.itself !== undefined ||
      heard.count > heard.names.length ||
      heard.names.some((name) => means.below(name, text)) ||
      heard.unnamed.some((unnamed) => concerns(unnamed, text)),
    tell: Effect.fnUntraced(function* (command) {
      const reporter = yield* Reporter
      const failures = Failures.make(reporter, command)
      const { itself } = heard
      if (itself !== undefined) yield* failures.tell(itself, new NotListed({ name: printable(itself) }))
      const told = heard.names.filter((name) => texts.some((text) => means.below(name, text)))
      yield* Effect.forEach(told, (name) => failures.tell(name, new NotListed({ name: printable(name) })), {
        discard: true
      })
      const unnamed = heard.unnamed.filter((one) => texts.some((text) => concerns(one, text)))
      yield* Effect.forEach(
        unnamed,
        (one) => {
          const asked = (name: string) => texts.some((text) => meant(one.folder, name, text))
          return failures.tell(one.folder, notNameable(one, asked))
        },
        { discard: true }
      )
      yield* failures.rest
      // Their names were not told: they may hold anything.
      const others = heard.count - heard.names.length
      if (others > 0) yield* reporter.note(`${others} more that the server may not look into`, "bad")
      return (itself === undefined ? 0 : 1) + told.length + others + unnamed.reduce((sum, { count }) => sum + count, 0)
    })
  }
}

/** Whether what a pattern of `fetch` means may be in a folder: as far as can be known, they begin alike. */
const mayFit = (folder: string, pattern: string): boolean => {
  if (Glob.isAnywhere(pattern)) return true
  const wanted = Glob.partsOf(pattern)
  for (const [index, part] of folder.split("/").entries()) {
    const one = wanted[index]
    if (one === undefined || one === "**") return true
    if (!Glob.matches(one, part)) return false
  }
  return true
}

/** What a pattern of `fetch` means. */
export const fitting: Means = { below: mayFit, file: (name, pattern) => Glob.matches(pattern, name) }

/** The same for what means a folder, a file or, if there is neither, a pattern: in the folder, or with that in it. */
export const mayMean = (folder: string, text: string): boolean =>
  isWithin([text], folder) || isBelow(folder, text) || (Glob.isPattern(text) && mayFit(folder, text))

/** Whether that means a file. */
export const mayMeanFile = (name: string, text: string): boolean =>
  isWithin([text], name) || (Glob.isPattern(text) && Glob.matches(text, name))

/** A name that was listed before. */
export const naming: Means = { below: mayMean, file: mayMeanFile }

/** The path of what is in a folder. */
const pathOf = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`)

/** Without what tells that it is a folder. */
const plain = (name: string): string => name.replace(/\/$/, "")

/** What is in a folder under no name that a person would write. */
const any = (folder: string): string => pathOf(folder, "\ufffd")

/** As a person reads it: those first that are asked about, for only a few are shown. */
const notNameable = ({ count, folder, names }: Unnamed, asked: (name: string) => boolean): NotNameable =>
  new NotNameable({
    folder: printable(folder),
    count,
    names: [...names.filter(asked), ...names.filter((name) => !asked(name))].map(
      (name) => `'${printable(name)}' (${ruleOf(pathOf(folder, plain(name)))})`
    )
  })

/** What is wrong with a path: seen from a folder of the server, it may break no rule. */
const ruleOf = (path: string): string =>
  brokenRule(path) ?? (path.includes("\ufffd") ? "ill-formed-unicode" : "too-long or too-deep")

/** What stays at a server when a command removes what it does not have of these folders. */
export const tellKept = Effect.fnUntraced(function* (
  { count, itself, names, unnamed }: Unlisted,
  isMeant: (name: string) => boolean
) {
  const { note } = yield* Reporter
  const closed = names.filter(isMeant).length + count - names.length + (itself === undefined ? 0 : 1)
  const meant = (folder: string) => (name: string) => isMeant(pathOf(folder, plain(name)))
  const kept = unnamed
    .filter(({ folder, names }) => names.length === 0 || names.some(meant(folder)))
    .map((one) => notNameable(one, meant(one.folder)).what)
  const lines = [
    ...(closed === 0 ? [] : [`${closed} that it may not look into`]),
    ...kept.slice(0, failuresToldMax),
    ...(kept.length > failuresToldMax ? [`what ${kept.length - failuresToldMax} more folders have of that kind`] : [])
  ]
  yield* Effect.forEach(lines, (line) => note(`kept at the server: ${line}`, "bad"), { discard: true })
})
