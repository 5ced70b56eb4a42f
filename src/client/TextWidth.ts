/**
 * How many columns a terminal gives to a text.
 *
 * Whole graphemes, because an accent or a joined emoji takes no column of its own.
 */

// At its first use, as the expression below: both take milliseconds to make, and a listing needs neither.
let segmenter: Intl.Segmenter | undefined
const graphemes = (text: string): Intl.Segments =>
  (segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" })).segment(text)

// What Unicode calls wide or full-width (UAX #11), by script and block, and emoji shown as pictures.
const scripts = ["Han", "Hiragana", "Katakana", "Hangul", "Bopomofo", "Yi"].map((name) => `\\p{Script=${name}}`)
const blocks = "\\u3000-\\u303e\\uff01-\\uff60\\uffe0-\\uffe6"
let wide: RegExp | undefined
const isWide = (grapheme: string): boolean =>
  (wide ??= new RegExp(`[${scripts.join("")}\\p{Emoji_Presentation}${blocks}]|\\p{Emoji}\\ufe0f`, "u")).test(grapheme)

const graphemeWidth = (grapheme: string): number => (isWide(grapheme) ? 2 : /^\p{M}+$/u.test(grapheme) ? 0 : 1)

/** Columns of a text without control characters. */
export const width = (text: string): number => {
  let columns = 0
  for (const { segment } of graphemes(text)) columns += graphemeWidth(segment)
  return columns
}

/** The text in at most `columns` columns; what is cut becomes `…`. */
export const fit = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let [kept, used] = ["", 0]
  for (const { segment } of graphemes(text)) {
    used += graphemeWidth(segment)
    if (used > columns - 1) break
    kept += segment
  }
  return columns < 1 ? "" : `${kept}…`
}
