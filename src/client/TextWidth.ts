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
// Marks that several scripts share, as the long vowel of Japanese, are of none.
const shared =
  "\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\u33ff\\ufe10-\\ufe19\\ufe30-\\ufe6b\\uff01-\\uff60\\uffe0-\\uffe6"
const blocks = `${shared}\\u{16fe0}-\\u{18dff}\\u{1b000}-\\u{1b2ff}\\u{1f200}-\\u{1f265}`
let wide: RegExp | undefined
const isWide = (grapheme: string): boolean =>
  (wide ??= new RegExp(`[${scripts.join("")}\\p{Emoji_Presentation}${blocks}]|\\p{Emoji}\\ufe0f`, "u")).test(grapheme)

// Vowel signs of Indian scripts, letters that are joined to one before and the last vowel of Thai have a column each:
// what is counted too narrow goes on in the next row, and is drawn again there.
const graphemeWidth = (grapheme: string): number =>
  isWide(grapheme) ? 2 : (grapheme.match(/[^\p{Mn}\p{Me}\u200c\u200d]/gu) ?? []).length

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
