/**
 * Turns text that came from outside into text that is safe on a terminal, in a log line and in a message.
 *
 * The only door: no byte of a peer reaches a person by another way.
 */

const charactersMax = 4096

// Controls, separators, direction marks, private use, unassigned, lone surrogates, and what is shown as nothing: all
// that Unicode calls default-ignorable, also fillers and variation selectors. Two names that look alike are not alike.
const hidden = String.raw`[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}]`

// But where a reader sees what they do. Joiners: behind a letter of a script that has them, and within an emoji.
const joinless = ["Latn", "Grek", "Cyrl", "Armn", "Geor", "Hebr", "Hang", "Han", "Hira", "Kana", "Zyyy", "Zinh"]
const joining = String.raw`[[\p{L}\p{M}]--[${joinless.map((script) => String.raw`\p{scx=${script}}`).join("")}]]`
const pictograph = String.raw`\p{Extended_Pictographic}[\ufe0e\ufe0f\p{Emoji_Modifier}]?`
const joined = String.raw`(?<=${joining})[\u200c\u200d]|(?<=${pictograph})\u200d(?=\p{Extended_Pictographic})`
// What makes a picture of a character, and a key of a digit.
const picture = String.raw`(?<=\p{Extended_Pictographic})[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)`

// At its first use: it takes a millisecond to make, and most text is plain.
let unsafe: RegExp | undefined
const escaped = (text: string): string =>
  text.replace((unsafe ??= new RegExp(`(?=${hidden})(?!${joined}|${picture}).`, "gsv")), escape)

const plain = /^[ -~]*$/

const escape = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`
}

/** A value as JSON in ASCII alone: every other character is escaped, so that it is exact and harmless on a terminal. */
export const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** The text with everything unsafe shown as `\xNN` or `\u{N}`, cut at 4096 characters. */
export const printable = (text: string): string => {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text
  return plain.test(cut) ? cut : escaped(cut)
}

/** Text of ours in one line, safe for a terminal. */
export const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, " "))
