/**
 * Ctrl-R in Node's line editor, which has no such search of its own.
 *
 * Each character narrows it, Ctrl-R goes on to an older line, Backspace undoes the last key, and Ctrl-G brings back
 * what stood there. Every other key takes the line that was found, and does there what it always does: Enter runs it.
 */
import type { Interface, Key } from "node:readline"
import { printable } from "../domain/file/Printable.ts"
import * as HistorySearch from "./HistorySearch.ts"

export interface Keys {
  /** Whether the key was one of a search, and did its work. */
  readonly take: (characters: string | undefined, key: Key) => boolean
  /** Another line is asked for. */
  readonly reset: () => void
}

interface Running {
  readonly search: HistorySearch.Search
  /** what stood there before */
  readonly prompt: string
  readonly line: string
  readonly cursor: number
}

/** @param lines the newest first, as they are when a key is pressed */
export const make = (reader: Interface, lines: () => ReadonlyArray<string>): Keys => {
  let running: Running | undefined
  const draw = (prompt: string, line: string, cursor: number): void => {
    reader.setPrompt(prompt)
    // To write it with keys would put it into what can be undone and brought back.
    Reflect.set(reader, "line", line)
    Reflect.set(reader, "cursor", cursor)
    reader.prompt(true)
  }
  const goOn = (before: Running, search: HistorySearch.Search): true => {
    running = { ...before, search }
    const line = lineOf(running, lines())
    draw(HistorySearch.prompt(search), line, line.length)
    return true
  }
  const end = ({ prompt }: Running, line: string, cursor: number): void => {
    running = undefined
    draw(prompt, line, cursor)
  }
  return {
    take: (characters = "", key) => {
      const searches = key.ctrl === true && key.name === "r"
      if (running === undefined) {
        const { cursor, line } = reader
        return (
          searches &&
          goOn({ search: HistorySearch.begun, prompt: reader.getPrompt(), line, cursor }, HistorySearch.begun)
        )
      }
      const { search } = running
      if (searches) return goOn(running, HistorySearch.older(search, lines()))
      if (key.name === "backspace") return goOn(running, HistorySearch.back(search))
      if (isText(characters, key)) return goOn(running, HistorySearch.typed(search, lines(), characters))
      if (key.ctrl === true && key.name === "g") {
        end(running, running.line, running.cursor)
        return true
      }
      const line = lineOf(running, lines())
      end(running, line, line.length)
      return key.name === "escape"
    },
    reset: () => void (running = undefined)
  }
}

const lineOf = ({ line, search: { at } }: Running, lines: ReadonlyArray<string>): string =>
  (at === undefined ? undefined : lines[at]) ?? line

const isText = (characters: string, { ctrl, meta }: Key): boolean =>
  characters !== "" && ctrl !== true && meta !== true && printable(characters) === characters
