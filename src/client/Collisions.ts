/**
 * Names that cannot stand side by side: found before the first byte is sent. Pure.
 */
import { folder as folderAbove, segmentKey } from "../domain/file/FileName.ts"

/** One spelling of a file or folder, and how many files of a command have it. */
interface Spelling {
  readonly text: string
  readonly folder: boolean
  count: number
}

/** All spellings of one thing: of most there is one. */
type Place = Array<Spelling>

/** A folder of the command, the folder that it is in, and its place. */
interface Folder {
  readonly text: string
  readonly parent: Folder | undefined
  readonly place: Place
}

/**
 * For each name, by its place in the list, another that it collides with: the same name in the same or in another
 * spelling, a folder of it that is spelt in two ways, or a file where another name has a folder. All that take part are
 * in the answer. Time and memory grow with the names' length and with the folders' parts.
 */
export const collisions = (names: ReadonlyArray<string>): ReadonlyMap<number, string> =>
  areApart(names) ? new Map() : colliding(names)

/** Whether nothing has two spellings or stands twice: mostly so, and known without a place for each. */
const areApart = (names: ReadonlyArray<string>): boolean => {
  const keys = new Set<string>()
  const folders = new Set<string>()
  const isNew = (text: string): boolean => {
    const before = keys.size
    return keys.add(segmentKey(text)).size > before
  }
  let last: string | undefined
  const isNewFolder = (name: string): boolean => {
    const slash = name.lastIndexOf("/")
    // Most names follow another one of their folder.
    if (slash < 0 || (slash === last?.length && name.startsWith(last))) return true
    const folder = (last = name.slice(0, slash))
    if (folders.has(folder)) return true
    folders.add(folder)
    return isNew(folder) && isNewFolder(folder)
  }
  return names.every((name) => isNew(name) && isNewFolder(name))
}

const colliding = (names: ReadonlyArray<string>): ReadonlyMap<number, string> => {
  const places = new Map<string, Place>()
  const folders = new Map<string, Folder>()
  const put = (text: string, folder: boolean): Place => {
    const key = segmentKey(text)
    const place = places.get(key)
    if (place === undefined) {
      const alone = [{ text, folder, count: 1 }]
      places.set(key, alone)
      return alone
    }
    const same = place.find((one) => one.text === text && one.folder === folder)
    if (same === undefined) place.push({ text, folder, count: 1 })
    else same.count += 1
    return place
  }
  const folderOf = (name: string): Folder | undefined => {
    const slash = name.lastIndexOf("/")
    if (slash < 0) return undefined
    const text = name.slice(0, slash)
    const known = folders.get(text)
    if (known !== undefined) return known
    const folder = { text, parent: folderOf(text), place: put(text, true) }
    folders.set(text, folder)
    return folder
  }
  const files = names.map((name) => ({ folder: folderOf(name), place: put(name, false) }))
  const found = new Map<number, string>()
  for (const [index, { folder, place }] of files.entries()) {
    const other = otherFolder(folder) ?? otherIn(place, names[index] ?? "", false)
    if (other !== undefined) found.set(index, other)
  }
  return found
}

/** What the outermost folder that collides collides with. */
const otherFolder = (folder: Folder | undefined): string | undefined =>
  folder === undefined ? undefined : (otherFolder(folder.parent) ?? otherIn(folder.place, folder.text, true))

const otherIn = (place: Place, text: string, folder: boolean): string | undefined =>
  place.find((one) => one.text !== text || one.folder !== folder || (!folder && one.count > 1))?.text

/**
 * Whether a name that is none of these cannot stand beside them, whatever else is there. Time and memory grow with the
 * names' length and with the folders' parts.
 */
export const besides = (names: ReadonlyArray<string>): ((name: string) => boolean) => {
  const files = new Set(names.map(segmentKey))
  const spellings = new Map<string, Set<string>>()
  const seen = new Set<string>()
  for (const name of names) {
    for (let folder = folderAbove(name); folder !== "" && !seen.has(folder); folder = folderAbove(folder)) {
      seen.add(folder)
      const key = segmentKey(folder)
      spellings.set(key, (spellings.get(key) ?? new Set()).add(folder))
    }
  }
  const isOther = (folder: string): boolean => {
    const known = spellings.get(segmentKey(folder))
    return known !== undefined && (known.size > 1 || !known.has(folder))
  }
  return (name) => {
    if (files.has(segmentKey(name)) || spellings.has(segmentKey(name))) return true
    for (let folder = folderAbove(name); folder !== ""; folder = folderAbove(folder)) {
      if (files.has(segmentKey(folder)) || isOther(folder)) return true
    }
    return false
  }
}
