/**
 * Turns text that came from outside into text that is safe on a terminal, in a log line and in a message.
 *
 * The only door: no byte of a peer reaches a person by another way.
 */

const charactersMax = 4096

// Controls, separators, direction marks, other invisible formats, private use, unassigned and lone surrogates.
// ZWJ and ZWNJ stay: scripts and emoji need them, and they change nothing but a glyph.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu
const kept = new Set(["\u200c", "\u200d"])

const escape = (character: string): string => {
  if (kept.has(character)) return character
  const code = character.codePointAt(0) ?? 0
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`
}

/** A value as JSON in ASCII alone: every other character is escaped, so that it is exact and harmless on a terminal. */
export const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** The text with everything unsafe shown as `\xNN` or `\u{N}`, cut at 4096 characters. */
export const printable = (text: string): string => {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text
  return cut.replace(unsafe, escape)
}
