/**
 * What has to happen so that one end has what the other has: made from two listings, before anything moves. Pure.
 */
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { type LocalFileFailed, NamesCollide } from "./ClientError.ts"
import { besides, collisions } from "./Collisions.ts"

/** One file of a listing. Its name is the one that it has, or would have, at the end that is brought up to date. */
export interface Known {
  readonly name: string
  /** bytes */
  readonly size: number
  /** milliseconds */
  readonly modified: number
  /** whether it may be run */
  readonly executable?: true
}

/**
 * How files are known to be equal: not at all, by size and modification time, or by size and what is known of their
 * content. Whether they may be run counts as well.
 */
export type Compare = "never" | "quick" | ((name: string) => boolean)

/** Two listings, and what is to be done about their differences. */
export interface PlanRequest<Source extends Known> {
  /** what is to be at the other end */
  readonly source: ReadonlyArray<Source>
  /** what is there, also where the command is not about it */
  readonly target: ReadonlyArray<Known>
  readonly compare: Compare
  /** whether a file that the source lacks goes; asked for no other */
  readonly removes: (name: string) => boolean
  /** why a file cannot be written over what is there, if it cannot; asked for each that would move */
  readonly blocked?: (name: string) => LocalFileFailed | undefined
}

/** A file that cannot be at the other end, and why. */
export interface Refused<Source> {
  readonly file: Source
  readonly error: FileName.NameRefused | LocalFileFailed | NamesCollide
}

/** A file that moves, and why. */
export interface Transfer<Source> {
  readonly file: Source
  /** `new`: the other end has none; `changed`: it has another, as far as was compared */
  readonly why: "changed" | "new"
}

/** What has to happen, in this order. Every file of the source is in one of `refused`, `equal` and `transfers`. */
export interface Plan<Source> {
  /** they cannot be at the other end: nothing moves for them */
  readonly refused: ReadonlyArray<Refused<Source>>
  readonly equal: ReadonlyArray<Source>
  /** what goes before anything moves: it stands where something else is to be */
  readonly makeRoom: ReadonlyArray<string>
  readonly transfers: ReadonlyArray<Transfer<Source>>
  /** what goes at the end */
  readonly remove: ReadonlyArray<string>
}

/** Time and memory grow with the parts of all names. */
export const make = <Source extends Known>(request: PlanRequest<Source>): Plan<Source> => {
  const { compare, source, target } = request
  const there = new Map(target.map((file) => [file.name, file]))
  const others = namesBeside(source, target)
  const going = others.filter(request.removes)
  const goes = new Set(going)
  const staying = others.filter((name) => !goes.has(name))

  const errors = refusals(source, there, staying)
  const refused: Array<Refused<Source>> = []
  const equal: Array<Source> = []
  const transfers: Array<Transfer<Source>> = []
  source.forEach((file, index) => {
    const other = there.get(file.name)
    const isEqual = !errors.has(index) && equals(compare, file, other)
    const error = isEqual ? undefined : (errors.get(index) ?? request.blocked?.(file.name))
    if (error !== undefined) refused.push({ file, error })
    else if (isEqual) equal.push(file)
    else transfers.push({ file, why: other === undefined ? "new" : "changed" })
  })
  const accepted = refused.length === 0 ? source : [...equal, ...transfers.map(({ file }) => file)]
  const inTheWay = new Set(colliding(accepted, going))
  return {
    refused,
    equal,
    makeRoom: going.filter((name) => inTheWay.has(name)),
    transfers,
    remove: going.filter((name) => !inTheWay.has(name))
  }
}

/** What the other end has under names that the source lacks. */
const namesBeside = (source: ReadonlyArray<Known>, target: ReadonlyArray<Known>): ReadonlyArray<string> => {
  if (target.length === 0) return []
  const named = new Set(source.map(({ name }) => name))
  return target.filter(({ name }) => !named.has(name)).map(({ name }) => name)
}

/** Files of the source of which only content can tell whether they are equal. */
export const doubtful = <Source extends Known>(
  source: ReadonlyArray<Source>,
  target: ReadonlyArray<Known>
): ReadonlyArray<Source> => {
  const sizes = new Map(target.map(({ name, size }) => [name, size]))
  return source.filter(({ name, size }) => sizes.get(name) === size)
}

const equals = (compare: Compare, file: Known, other: Known | undefined): boolean => {
  if (other === undefined || compare === "never" || file.size !== other.size) return false
  if (file.executable !== other.executable) return false
  return compare === "quick" ? file.modified === other.modified : compare(file.name)
}

/** Why a file cannot be at the other end, by its place in the list. What is there already can. */
const refusals = (source: ReadonlyArray<Known>, there: ReadonlyMap<string, Known>, staying: ReadonlyArray<string>) => {
  const names = source.map(({ name }) => name)
  const found = new Map<number, FileName.NameRefused | NamesCollide>()
  names.forEach((name, index) => {
    const rule = FileName.brokenRule(name)
    if (rule !== undefined) found.set(index, new FileName.NameRefused({ name: printable(name), rule }))
  })
  for (const [index, other] of collisions(staying.length === 0 ? names : [...names, ...staying])) {
    const name = names[index]
    if (name === undefined || found.has(index) || (there.has(name) && other !== name)) continue
    found.set(index, new NamesCollide({ name: printable(name), other: printable(other) }))
  }
  return found
}

/** Those of the names that cannot stand beside the source; what cannot stand beside another of them alone may. */
const colliding = (source: ReadonlyArray<Known>, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (names.length === 0) return []
  const sources = source.map(({ name }) => name)
  const found = collisions([...sources, ...names])
  const suspects = names.filter((_, index) => found.has(source.length + index))
  return suspects.length === 0 ? [] : suspects.filter(besides(sources))
}
