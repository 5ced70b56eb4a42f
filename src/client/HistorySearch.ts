/**
 * A search backwards through lines that were typed, a key at a time, as Ctrl-R begins it in other shells.
 *
 * Lines are the newest first. What is found stays while it has the text, and gives way to the next older one that does.
 */
import * as Bytes from "../domain/Bytes.ts"
import { printable } from "../domain/file/Printable.ts"
import { shellHistoryLineBytesMax } from "../domain/limits.ts"

export interface Search {
  /** what a line must have in it */
  readonly text: string
  /** the place of the line that was found; undefined before there is any */
  readonly at: number | undefined
  /** no line has the text, or no other one: `at` is what was found before */
  readonly failed: boolean
  /** the search before the last key */
  readonly before: Search | undefined
}

export const begun: Search = { text: "", at: undefined, failed: false, before: undefined }

/** The text goes on. One that is longer than any line that is kept takes no more. */
export const typed = (search: Search, lines: ReadonlyArray<string>, characters: string): Search => {
  const text = search.text + characters
  return Bytes.utf8Length(text) > shellHistoryLineBytesMax ? search : found(search, lines, text, search.at ?? 0)
}

/** The next older line that has it. */
export const older = (search: Search, lines: ReadonlyArray<string>): Search =>
  found(search, lines, search.text, search.at === undefined ? 0 : search.at + 1)

/** As it was before the last key. */
export const back = (search: Search): Search => search.before ?? search

const found = (before: Search, lines: ReadonlyArray<string>, text: string, from: number): Search => {
  const at = lines.findIndex((line, place) => place >= from && line.includes(text))
  return at < 0 ? { text, at: before.at, failed: true, before } : { text, at, failed: false, before }
}

/** What stands in front of the line that was found. */
export const prompt = ({ failed, text }: Search): string =>
  `${failed ? "no older line with" : "search"} '${printable(text)}': `
