/**
 * Which files of a tree a command is about: patterns as in a `.gitignore`, for paths below the tree's root. Pure.
 *
 * What is hidden is hidden on both sides: it is neither sent nor removed.
 */
import ignore from "ignore"

/** Patterns as a person gave them. */
export interface Patterns {
  /** when there are any, only files that fit one of them */
  readonly include: ReadonlyArray<string>
  /** never files that fit these; a later `!PATTERN` brings back what an earlier pattern took */
  readonly exclude: ReadonlyArray<string>
}

/** Paths are relative, `/` between their parts. */
export interface Filter {
  /** Whether a file is meant. */
  readonly takes: (path: string) => boolean
  /** Whether a folder may hold any that is. */
  readonly enters: (folder: string) => boolean
}

/** The same answers for a tree whoever asks first: a path is judged with all folders above it. */
export const make = ({ exclude, include }: Patterns): Filter => {
  if (exclude.length + include.length === 0) return all
  const excluded = ignore(options).add([...exclude])
  const included = include.length === 0 ? undefined : ignore(options).add([...include])
  return {
    takes: (path) => !excluded.ignores(path) && (included?.ignores(path) ?? true),
    enters: (folder) => !excluded.ignores(`${folder}/`)
  }
}

const all: Filter = { takes: () => true, enters: () => true }

// Names are compared as they are written; `..name` is one, and never leads anywhere.
const options = { ignorecase: false, allowRelativePaths: true }
