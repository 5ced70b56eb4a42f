/**
 * Patterns for the server's names: `*` any run within one part, `?` one character, `[a-z]` and `[!a-z]` a set, `**` any
 * number of folders. Bounded work: the time is at most the product of the lengths.
 */

/**
 * Whether the name fits. A pattern without `/` speaks of the last part, wherever it is, and with `/` in front of the
 * top; one that is a folder's name speaks of what is below it too.
 */
export const matches = (pattern: string, name: string): boolean => {
  const parts = name.split("/")
  const wanted = partsOf(pattern)
  const [only] = wanted
  if (isAnywhere(pattern) && only !== undefined && only !== "**" && matchesPart(only, parts.at(-1) ?? "")) return true
  return matchesParts(wanted, parts) || matchesParts([...wanted, "**"], parts)
}

/** The parts of a pattern, from the top. */
export const partsOf = (pattern: string): ReadonlyArray<string> => {
  const parts = pattern.slice(pattern.startsWith("/") ? 1 : 0).split("/")
  return parts.slice(0, Math.max(1, parts.findLastIndex((part) => part !== "") + 1))
}

/** Whether a pattern speaks of the last part of a name, wherever that is. */
export const isAnywhere = (pattern: string): boolean => /^[^/]*\/*$/.test(pattern)

/** Whether a text has anything that only a pattern has. */
export const isPattern = (text: string): boolean => /[*?[]/.test(text)

/** The pattern that only this text fits. */
export const literal = (text: string): string => text.replace(/[*?[]/g, "[$&]")

/** Whether a path fits part for part. As in a shell, only a part that begins with a dot speaks of hidden names. */
export const matchesPath = (pattern: string, path: string): boolean => {
  const wanted = pattern.split("/")
  const parts = path.split("/")
  return !hides(wanted, parts) && matchesParts(wanted, parts)
}

const hides = (wanted: ReadonlyArray<string>, parts: ReadonlyArray<string>): boolean =>
  parts.some((part, index) => part.startsWith(".") && !(wanted[index] ?? "").startsWith("."))

/** Whether a path below this folder may fit, as `matchesPath` judges it. */
export const mayFitBelow = (pattern: string, folder: string): boolean => {
  const wanted = pattern.split("/")
  const parts = folder.split("/")
  const open = wanted.indexOf("**")
  if (hides(wanted, parts) || (open < 0 && parts.length >= wanted.length)) return false
  const outright = open < 0 ? wanted : wanted.slice(0, open)
  return outright.slice(0, parts.length).every((one, index) => matchesPart(one, parts[index] ?? ""))
}

/** Both lists of parts; `**` takes none, one or more. */
const matchesParts = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>): boolean =>
  run(
    pattern,
    parts,
    (one) => one === "**",
    (one, part) => matchesPart(one, part)
  )

const matchesPart = (pattern: string, part: string): boolean =>
  run(
    tokens(pattern),
    Array.from(part),
    (token) => token === "*",
    (token, character) => token === "?" || (token.length > 1 ? inSet(token, character) : token === character)
  )

/** The pattern's characters, a set as one token. A `[` without an end is itself. */
const tokens = (pattern: string): ReadonlyArray<string> => pattern.match(/\[!?(?:\][^\]]*|[^\]]+)\]|./gsu) ?? []

const inSet = (set: string, character: string): boolean => {
  const negated = set.startsWith("[!")
  const members = Array.from(set.slice(negated ? 2 : 1, -1))
  let found = false
  for (let index = 0; index < members.length; index += 1) {
    const [low = "", dash, high] = members.slice(index, index + 3)
    if (dash === "-" && high !== undefined) {
      found ||= between(character, low, high)
      index += 2
    } else found ||= low === character
  }
  return found !== negated
}

const between = (character: string, low: string, high: string): boolean => {
  const [at, from, to] = [character, low, high].map((one) => one.codePointAt(0) ?? 0)
  return at !== undefined && from !== undefined && to !== undefined && from <= at && at <= to
}

/** The two-pointer walk: on a mismatch only the last star takes one more. */
const run = (
  pattern: ReadonlyArray<string>,
  items: ReadonlyArray<string>,
  isStar: (token: string) => boolean,
  fits: (token: string, item: string) => boolean
): boolean => {
  let [at, index, star, starIndex] = [0, 0, -1, 0]
  while (index < items.length) {
    const [token, item] = [pattern[at], items[index]]
    if (token !== undefined && isStar(token)) {
      star = at
      starIndex = index
      at += 1
    } else if (token !== undefined && item !== undefined && fits(token, item)) {
      at += 1
      index += 1
    } else if (star >= 0) {
      starIndex += 1
      index = starIndex
      at = star + 1
    } else return false
  }
  return pattern.slice(at).every(isStar)
}
