/**
 * Where a person stands among the server's files: a folder's name, empty at the top. Pure.
 *
 * A server has no folders of their own, only names with `/` in them; to stand in one means to leave its part of every
 * name unsaid. A name that begins with `/`, or goes through `..`, speaks of somewhere else: then all names of the
 * command do, each from the top.
 */
import * as FileName from "../domain/file/FileName.ts"
import type { Command } from "./Commands.ts"
import * as Glob from "./Glob.ts"

/** A folder of the server without a `/` at its end; empty: the top. */
export type Place = string

/** Where a text leads to from a place: parts of a path, `..` one up, `/` at its beginning from the top. */
export const resolve = (place: Place, text: string): Place => walked(place, text).join("/")

/**
 * The name of a file, said from a place. Above the top there is none: a `..` that leads there stays in the name, which
 * is then none. Who only goes there (`cd ..`) stays at the top, as in any shell, and sees it.
 */
const named = (place: Place, text: string): string => {
  // An empty text is no name, and not the place's: a script's variable was not set.
  if (text === "") return ""
  let above = 0
  const name = walked(place, text, () => (above += 1)).join("/")
  return `${"../".repeat(above)}${name}`
}

/** @param onTop told of each `..` at the top */
const walked = (place: Place, text: string, onTop?: () => void): ReadonlyArray<string> => {
  const parts = text.startsWith("/") || place === "" ? [] : place.split("/")
  for (const part of text.split("/")) {
    if (part === "..") {
      if (parts.length === 0) onTop?.()
      parts.pop()
    } else if (part !== "" && part !== ".") parts.push(part)
  }
  return parts
}

/** The folder that the beginning of a name leads to; undefined above the top, where no name is. */
export const folderOf = (place: Place, text: string): Place | undefined => {
  const folder = named(place, text)
  return folder.startsWith("../") ? undefined : folder
}

/** The rule that keeps files from being there; undefined when there can be some. */
export const refused = (place: Place): FileName.NameRule | undefined =>
  place === "" ? undefined : FileName.brokenRule(place)

/** A command, and the place that its names are said from. */
export interface Placed {
  readonly place: Place
  readonly command: Command
}

/** The command as it is to run: from the place, or with every name from the top. */
export const placed = (place: Place, command: Command): Placed => {
  if (!namesOf(command).some(leaves)) return { place, command }
  const name = (text: string) => named(place, text)
  // What is said of the place is no pattern, even if it looks like one.
  const pattern = (text: string) => atTop(named(Glob.literal(place), text))
  return { place: "", command: fromTop(command, name, pattern) }
}

/** A pattern that is said from the top: as one part alone it would fit in every folder. */
const atTop = (pattern: string): string => (pattern === "" || pattern.includes("/") ? pattern : `/${pattern}`)

/** Whether a name is not said from where a person stands. */
export const leaves = (name: string): boolean =>
  name.startsWith("/") || name.split("/").some((part) => part === "." || part === "..")

const namesOf = (command: Command): ReadonlyArray<string> => {
  switch (command._tag) {
    case "Fetch":
      return command.pattern === undefined ? [] : [command.pattern]
    case "Upload":
    case "Para":
      return command.as === undefined ? [] : [command.as]
    case "Download":
    case "Remove":
      return command.names
    case "Verify":
      return [command.name]
    case "Rename":
      return [command.name, command.to]
  }
}

const fromTop = (command: Command, name: (text: string) => string, pattern: (text: string) => string): Command => {
  switch (command._tag) {
    case "Fetch": {
      const wanted = command.pattern === undefined ? "" : pattern(command.pattern)
      return { ...command, pattern: wanted === "" ? undefined : wanted }
    }
    case "Upload":
    case "Para": {
      const { as, tree } = command
      const into = as === undefined ? undefined : name(as)
      // Who says the top means it: empty would be nothing that was said.
      return { ...command, as: into === "" && as !== "" && tree !== undefined ? "." : into }
    }
    case "Download": {
      // A folder that is named by `.` is meant without its name, and the top has none.
      const whole = (text: string) =>
        command.tree !== undefined && /(?:^|\/)\.{1,2}\/*$|^\/+$/.test(text) ? `./${name(text)}/.` : name(text)
      return { ...command, names: command.names.map((text) => (Glob.isPattern(text) ? pattern(text) : whole(text))) }
    }
    case "Remove":
      return { ...command, names: command.names.map(name) }
    case "Verify":
      return { ...command, name: name(command.name) }
    case "Rename":
      return { ...command, name: name(command.name), to: name(command.to) }
  }
}
