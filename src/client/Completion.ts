/**
 * What the Tab key offers: commands, options, local paths, and the server's names.
 *
 * An offer is a continuation of what was typed, in the same quotes, and always printable.
 */
import { Effect, Stream } from "effect"
import { completionEntriesMax, completionMillisecondsMax } from "../domain/limits.ts"
import type { Completions } from "./LineEditor.ts"
import { LocalFiles } from "./LocalFiles.ts"
import { continueWord, optionsOf, patterns, scan, type Word } from "./ShellLine.ts"
import * as SessionWithin from "./SessionWithin.ts"
import { Sessions } from "./Sessions.ts"
import * as ShellPlace from "./ShellPlace.ts"

/**
 * Offers for the end of the line. Nothing is dialled for it, and no offer is better than a late one.
 *
 * @param place where the person stands among the server's files; the session speaks of all of them
 */
export const complete = (
  line: string,
  place: ShellPlace.Place = ""
): Effect.Effect<Completions, never, LocalFiles | Sessions> =>
  Effect.gen(function* () {
    const { between, words } = scan(line)
    const last = between ? undefined : words.at(-1)
    const word = last ?? { text: "", start: line.length, open: undefined }
    const before = (between ? words : words.slice(0, -1)).map(({ text }) => text)
    const found = yield* candidates(before, word, place)
    return {
      typed: line.slice(word.start),
      offers: found.flatMap((text) => offer(line.slice(word.start), word, text) ?? [])
    }
  })

const offer = (typed: string, word: Word, text: string): string | undefined => {
  const rest = continueWord(text.slice(word.text.length), word.open)
  if (rest === undefined) return undefined
  // A folder is gone on with; anything else ends the word.
  return /[/\\]$/.test(text) ? `${typed}${rest}` : `${typed}${rest}${word.open ?? ""} `
}

const candidates = (
  before: ReadonlyArray<string>,
  { text }: Word,
  place: ShellPlace.Place
): Effect.Effect<ReadonlyArray<string>, never, LocalFiles | Sessions> => {
  const [command] = before
  const beginning = (all: ReadonlyArray<string>) => all.filter((one) => one.startsWith(text))
  if (command === undefined) return Effect.succeed(beginning(patterns.map(({ name }) => name)))
  if (before.at(-1) === "--to") return local(text)
  if (before.at(-1) === "--as") return remote(text, place)
  if (/^--(?:expect|include|exclude)$/.test(before.at(-1) ?? "")) return Effect.succeed([])
  const options = optionsOf[command]
  if (text.startsWith("-") && options !== undefined) return Effect.succeed(beginning(options))
  switch (command) {
    case "upload":
    case "para":
      return local(text)
    case "download":
    case "fetch":
    case "remove":
    case "rename":
      return remote(text, place)
    case "verify":
      return before.length === 1 ? remote(text, place) : local(text)
    case "lcd":
    case "lls":
      return before.length === 1 ? local(text) : Effect.succeed([])
    case "cd":
      return before.length === 1 ? Effect.map(remote(text, place), foldersOf) : Effect.succeed([])
    case "help":
      return Effect.succeed(before.length === 1 ? beginning(patterns.map(({ name }) => name)) : [])
    default:
      return Effect.succeed([])
  }
}

const foldersOf = (names: ReadonlyArray<string>): ReadonlyArray<string> => names.filter((name) => name.endsWith("/"))

const local = (text: string) => Effect.flatMap(LocalFiles, (files) => files.complete(text))

const remote = (text: string, place: ShellPlace.Place): Effect.Effect<ReadonlyArray<string>, never, Sessions> => {
  const typed = text.slice(0, text.lastIndexOf("/") + 1)
  const start = text.slice(typed.length)
  if (!ShellPlace.leaves(typed)) return start === ".." ? goOn(text, place) : named(text, place)
  const folder = ShellPlace.folderOf(place, typed)
  if (folder === undefined) return Effect.succeed([])
  if (start === "..") return goOn(text, place)
  return Effect.map(named(start, folder), (names) => names.map((name) => `${typed}${name}`))
}

/** One folder up, if there is one. */
const goOn = (text: string, place: ShellPlace.Place) =>
  Effect.succeed(ShellPlace.folderOf(place, text) === undefined ? [] : [`${text}/`])

/** What the server has in a folder, below which a beginning is typed. */
const named = (text: string, folder: ShellPlace.Place): Effect.Effect<ReadonlyArray<string>, never, Sessions> =>
  Effect.gen(function* () {
    const session = yield* SessionWithin.sessions(yield* Sessions, folder).standing
    if (session === undefined) return []
    const names = yield* session.fetch.pipe(
      Stream.take(completionEntriesMax),
      Stream.map(({ name }) => name),
      Stream.runCollect,
      Effect.timeout(completionMillisecondsMax),
      Effect.orElseSucceed(() => [])
    )
    return byPart(names, text)
  })

/** Names that begin with the text, cut behind the next `/`: one folder at a time. */
export const byPart = (names: ReadonlyArray<string>, text: string): ReadonlyArray<string> => {
  const found = names
    .filter((name) => name.startsWith(text))
    .map((name) => {
      const end = name.indexOf("/", text.length)
      return end < 0 ? name : name.slice(0, end + 1)
    })
  return [...new Set(found)].toSorted()
}
