/**
 * The one way to name a file: a branded relative path, parsed once at the edge.
 *
 * Nothing else in the system may become a path. The grammar (docs/PROTOCOL.md, "Names") is written as a list of
 * rules, and a refusal names the rule, so that a person can mend the name.
 */
import { Effect, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { nameBytesMax, nameDepthMax, nameSegmentBytesMax } from "../limits.ts"
import { printable } from "./Printable.ts"

/** The hidden folder in a served root where content is staged. No name can reach it. */
export const stagingFolder = ".paradrop"

/** The rules a name can break, in the order in which they are checked. */
export const NameRule = Schema.Literals([
  "empty",
  "ill-formed-unicode",
  "too-long",
  "control-character",
  "bidi-control",
  "backslash",
  "absolute",
  "empty-segment",
  "dot-segment",
  "segment-too-long",
  "trailing-dot-or-space",
  "reserved",
  "too-deep"
])
export type NameRule = typeof NameRule.Type

const explanation: Record<NameRule, string> = {
  empty: "a name has at least one character",
  "ill-formed-unicode": "the name is not well-formed Unicode",
  "too-long": `a name has at most ${nameBytesMax} bytes`,
  "control-character": "control characters and line separators are not allowed",
  "bidi-control": "characters that change the direction of text are not allowed",
  backslash: "'\\' is not allowed; folders are separated by '/'",
  absolute: "a name is relative: it does not start with '/'",
  "empty-segment": "there is an empty part between two '/' or at the end",
  "dot-segment": "'.' and '..' are not allowed as parts of a name",
  "segment-too-long": `each part of a name has at most ${nameSegmentBytesMax} bytes`,
  "trailing-dot-or-space": "no part may end with a dot or a space",
  reserved: `'${stagingFolder}' is reserved for staged content`,
  "too-deep": `a name has at most ${nameDepthMax} parts`
}

/** A name was refused: which rule it breaks, and what the rule says. */
export class NameRefused extends Schema.TaggedError<NameRefused>()("NameRefused", {
  /** The offending text, safe to print. */
  name: Schema.String,
  rule: NameRule
}) {
  override get message(): string {
    return `'${this.name}' cannot be a file name (${this.rule}): ${explanation[this.rule]}`
  }
}

// C0, DEL, C1, and the two separators that terminals and logs may treat as a line's end.
// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/
const bidi = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/

// Some file systems leave these out when they look a name up: with one of them it would be the staging folder still.
const ignorable = /\p{Default_Ignorable_Code_Point}/gu

const segmentRule = (segment: string): NameRule | undefined => {
  if (segment === "") return "empty-segment"
  if (segment === "." || segment === "..") return "dot-segment"
  if (Bytes.utf8Length(segment) > nameSegmentBytesMax) return "segment-too-long"
  if (/[. ]$/.test(segment)) return "trailing-dot-or-space"
  if (fold(segment.replace(ignorable, "")) === stagingFolder) return "reserved"
  return undefined
}

// Most names, known by one look: ASCII letters, digits and a few marks, no part beginning or ending with dot or space.
const plainPart = "[\\w-](?:[\\w. -]*[\\w-])?"
const plain = new RegExp(`^${plainPart}(?:/${plainPart}){0,${nameDepthMax - 1}}$`)

/** The first rule that the text breaks, or undefined when it is a name. */
export const brokenRule = (text: string): NameRule | undefined => {
  if (text.length <= nameSegmentBytesMax && plain.test(text)) return undefined
  if (text === "") return "empty"
  if (!text.isWellFormed()) return "ill-formed-unicode"
  // The character count bounds the work before anything is encoded.
  if (text.length > nameBytesMax || Bytes.utf8Length(text) > nameBytesMax) return "too-long"
  if (control.test(text)) return "control-character"
  if (bidi.test(text)) return "bidi-control"
  if (text.includes("\\")) return "backslash"
  if (text.startsWith("/")) return "absolute"
  const segments = text.split("/")
  for (const segment of segments) {
    const rule = segmentRule(segment)
    if (rule !== undefined) return rule
  }
  return segments.length > nameDepthMax ? "too-deep" : undefined
}

/** A relative path with `/` between its parts, kept byte for byte as it was given. */
export const FileName = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const rule = brokenRule(text)
    return rule === undefined ? true : `${rule}: ${explanation[rule]}`
  })
).pipe(Schema.brand("FileName"))
export type FileName = typeof FileName.Type

/** Whether the text is a name. */
export const isName = (text: string): text is FileName => brokenRule(text) === undefined

/** Parses a name; fails with the rule that it breaks. */
export const parse = (text: string): Effect.Effect<FileName, NameRefused> =>
  isName(text)
    ? Effect.succeed(text)
    : Effect.fail(new NameRefused({ name: printable(text), rule: brokenRule(text) ?? "empty" }))

/** The parts of a name, outermost folder first. */
export const segments = (name: FileName): ReadonlyArray<string> => name.split("/")

/** The last part: what the file is called inside its folder. */
export const baseName = (name: string): string => name.slice(name.lastIndexOf("/") + 1)

/** The folder that the file is in; `""` is the outermost. */
export const folder = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")))

/**
 * NFC and case folding. Lower, upper and lower again, because neither direction alone joins all spellings: `ẞ` has
 * no upper case but itself, `ß` and the final sigma no single lower-case form. Folding twice changes nothing.
 * The result is only compared, never shown and never a path.
 */
const fold = (text: string): string =>
  Bytes.isAscii(text)
    ? text.toLowerCase()
    : text.normalize("NFD").toLowerCase().toUpperCase().toLowerCase().normalize("NFC")

/** Two names with equal keys are the same name: on another machine they might be the same file. */
export const key = (name: FileName): string => fold(name)

/** The outermost part of what is a name or may become one: all of it where it has no `/`. */
export const outermost = (text: string): string => {
  const slash = text.indexOf("/")
  return slash < 0 ? text : text.slice(0, slash)
}

/** The key of a name's outermost part: names that can stand in each other's way share it. */
export const outermostKey = (name: FileName): string => fold(outermost(name))

/** The key of one part of a name, or of a name found on a disk. */
export const segmentKey = (segment: string): string => fold(segment)

/** Whether the name is below that folder; `""` is the outermost. */
export const isBelow = (folder: string, name: string): boolean =>
  folder === "" || (name.charAt(folder.length) === "/" && name.startsWith(folder))

/** What the name is below that folder, or undefined; `""` is the outermost. */
export const below = (folder: string, name: string): string | undefined =>
  isBelow(folder, name) ? name.slice(folder === "" ? 0 : folder.length + 1) : undefined

/** Whether the name is one of these or below one; always, when there are none. */
export const isWithin = (names: ReadonlyArray<string>, name: string): boolean =>
  names.length === 0 || names.some((one) => name === one || isBelow(one, name))
