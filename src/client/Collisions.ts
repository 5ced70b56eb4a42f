/**
 * Names that cannot stand side by side: found before the first byte is sent. Pure.
 */
import { segmentKey } from "../domain/file/FileName.ts"

/** One spelling of a file or folder, and how many files of a command have it. */
interface Spelling {
  readonly text: string
  readonly folder: boolean
  count: number
}

/**
 * For each name, by its place in the list, another that it collides with: the same name in the same or in another
 * spelling, a folder of it that is spelt in two ways, or a file where another name has a folder. All that take part are
 * in the answer. Time and memory grow with the names' parts.
 */
export const collisions = (names: ReadonlyArray<string>): ReadonlyMap<number, string> => {
  const keys = new Map<string, string>()
  const keyOf = (text: string): string => {
    const known = keys.get(text) ?? segmentKey(text)
    keys.set(text, known)
    return known
  }
  const places = new Map<string, Array<Spelling>>()
  for (const { folder, text } of names.flatMap(prefixes)) {
    const spellings = places.get(keyOf(text)) ?? []
    const same = spellings.find((one) => one.text === text && one.folder === folder)
    if (same === undefined) spellings.push({ text, folder, count: 1 })
    else same.count += 1
    places.set(keyOf(text), spellings)
  }
  const found = new Map<number, string>()
  for (const [index, name] of names.entries()) {
    for (const { folder, text } of prefixes(name)) {
      const other = places
        .get(keyOf(text))
        ?.find((one) => one.text !== text || one.folder !== folder || (!folder && one.count > 1))
      if (other !== undefined && !found.has(index)) found.set(index, other.text)
    }
  }
  return found
}

/** The name's folders, outermost first, and the name itself. */
const prefixes = (name: string): ReadonlyArray<{ readonly text: string; readonly folder: boolean }> => {
  const parts = name.split("/")
  return parts.map((_, index) => ({ text: parts.slice(0, index + 1).join("/"), folder: index + 1 < parts.length }))
}
