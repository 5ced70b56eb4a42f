/**
 * A line typed into the shell: its words, and the command that they are. Pure, and total on every string.
 *
 * Words are separated by spaces. Quotes `"…"` and `'…'` keep spaces; a backslash keeps the next character, except
 * inside `'…'`. `\u{HEX}` is the character of that number, so that whatever is shown can also be typed.
 */
import { Option, Result, Schema } from "effect"
import { ContentDigest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { nearest } from "../domain/Nearest.ts"
import type { Command } from "./Commands.ts"
import { isUrl, isUrlWithPassword } from "./ServerAddress.ts"
import type { TreeOptions } from "./Trees.ts"

/** What a line can be. */
export type Line =
  | { readonly _tag: "Empty" }
  /** `command` as it was typed; undefined: all commands */
  | { readonly _tag: "Help"; readonly command: string | undefined }
  | { readonly _tag: "Exit" }
  | { readonly _tag: "Run"; readonly command: Command }
  /** `to` as it was typed; undefined: the top */
  | { readonly _tag: "Cd"; readonly to: string | undefined }
  | { readonly _tag: "Pwd" }
  /** `path` as it was typed; undefined: the person's home */
  | { readonly _tag: "Lcd"; readonly path: string | undefined }
  | { readonly _tag: "Lpwd" }
  /** `path` as it was typed, or a pattern; undefined: the working folder */
  | { readonly _tag: "Lls"; readonly path: string | undefined }
  | { readonly _tag: "Passwd"; readonly generate: boolean; readonly allowWeak: boolean }
  | { readonly _tag: "Invalid"; readonly reason: string | undefined; readonly suggestion: string | undefined }

// -----------------------------------------------------------------------------
// Words
// -----------------------------------------------------------------------------

/** A word with what the person typed for it, and where. */
export interface Word {
  readonly text: string
  /** index of its first character in the line */
  readonly start: number
  /** the quote that is still open at the line's end */
  readonly open: "'" | '"' | undefined
}

/** Why a line has no words. */
export type WordsRefused = "unfinished-quote" | "unfinished-backslash" | "no-such-character"

/** A line as words; those before the place that was refused, if one was. */
export interface Words {
  readonly words: ReadonlyArray<Word>
  readonly refused: WordsRefused | undefined
  /** whether the line ends between words */
  readonly between: boolean
}

/** The words of a line, as far as it goes: completion looks at lines that are not finished. */
export const scan = (line: string): Words => {
  const words: Array<Word> = []
  let text: string | undefined
  let start = 0
  let open: Word["open"]
  let refused: WordsRefused | undefined
  let index = 0
  while (index < line.length) {
    const character = line.charAt(index)
    const here = index
    index += 1
    if (open === undefined && /\s/.test(character)) {
      if (text !== undefined) words.push({ text, start, open })
      text = undefined
      continue
    }
    if (text === undefined) [text, start] = ["", here]
    if (character === open) open = undefined
    else if (open === undefined && (character === "'" || character === '"')) open = character
    else if (character === "\\" && open !== "'") {
      const escaped = escapeAt(line, index)
      refused ??= escaped.refused
      text += escaped.text
      index += escaped.length
    } else text += character
  }
  if (text !== undefined) words.push({ text, start, open })
  return {
    words,
    between: text === undefined,
    refused: refused ?? (open === undefined ? undefined : "unfinished-quote")
  }
}

interface Escaped {
  readonly text: string
  readonly length: number
  readonly refused: WordsRefused | undefined
}

/** What follows a backslash. */
const escapeAt = (line: string, index: number): Escaped => {
  const [whole, hex] = /^u\{([0-9a-fA-F]{1,6})\}/.exec(line.slice(index, index + 10)) ?? []
  if (whole !== undefined) {
    const code = Number.parseInt(hex ?? "", 16)
    return code > 0x10_ffff
      ? { text: "", length: whole.length, refused: "no-such-character" }
      : { text: String.fromCodePoint(code), length: whole.length, refused: undefined }
  }
  return index < line.length
    ? { text: line.charAt(index), length: 1, refused: undefined }
    : { text: "", length: 0, refused: "unfinished-backslash" }
}

/** The words of a whole line. */
export const words = (line: string): Result.Result<ReadonlyArray<string>, WordsRefused> => {
  const { refused, words } = scan(line)
  return refused === undefined ? Result.succeed(words.map(({ text }) => text)) : Result.fail(refused)
}

const plain = /^[\p{L}\p{N}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}_./@%+=:,~^-]+$/u

/** A word that means the text, safe to show: plain where it can be, otherwise in double quotes. */
export const quote = (text: string): string =>
  isPlain(text) ? text : `"${Array.from(text, escapeCharacter).join("")}"`

/** What to type to go on with a word that is open like this; undefined when such quotes cannot hold the text. */
export const continueWord = (text: string, open: Word["open"]): string | undefined => {
  if (open === '"') return Array.from(text, escapeCharacter).join("")
  if (open === "'") return text.includes("'") || printable(text) !== text ? undefined : text
  return Array.from(text, (character) =>
    isPlain(character) ? character : printable(character) === character ? `\\${character}` : escapeCharacter(character)
  ).join("")
}

/** A word that needs no quotes. */
export const isPlain = (text: string): boolean => plain.test(text) && printable(text) === text

const escapeCharacter = (character: string): string => {
  if (character === '"' || character === "\\") return `\\${character}`
  return printable(character) === character ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

// -----------------------------------------------------------------------------
// Commands
// -----------------------------------------------------------------------------

/** What may be typed, and what it does. */
export const patterns: ReadonlyArray<{ readonly name: string; readonly form: string; readonly does: string }> = [
  { name: "fetch", form: "fetch [PATTERN] [--digest]", does: "list the server's files" },
  { name: "upload", form: "upload [-r] FILE... [--as NAME]", does: "send files to the server" },
  { name: "download", form: "download [-r] NAME... [--to PATH]", does: "get files from the server" },
  {
    name: "para",
    form: "para [-r] FILE... [--as NAME] [--expect DIGEST]",
    does: "make the server's files equal to yours"
  },
  { name: "verify", form: "verify NAME FILE", does: "compare a server's file with yours, moving neither" },
  { name: "passwd", form: "passwd [--generate] [--allow-weak]", does: "change your own password" },
  { name: "remove", form: "remove NAME... [--expect DIGEST]", does: "remove files of the server" },
  {
    name: "rename",
    form: "rename NAME NEW [--replace] [--expect DIGEST]",
    does: "give a file of the server another name"
  },
  { name: "cd", form: "cd [FOLDER]", does: "stand in a folder of the server; alone: at the top" },
  { name: "pwd", form: "pwd", does: "show that folder" },
  { name: "lcd", form: "lcd [PATH]", does: "work in another local folder; alone: at home" },
  { name: "lpwd", form: "lpwd", does: "show the local folder" },
  { name: "lls", form: "lls [PATH]", does: "list local files, of a folder or a pattern" },
  { name: "help", form: "help [COMMAND]", does: "show these lines, or how one command is used" },
  { name: "exit", form: "exit", does: "leave" }
]

const reasons: Record<WordsRefused, string> = {
  "unfinished-quote": "a quote is not closed",
  "unfinished-backslash": "a backslash at the end keeps nothing",
  "no-such-character": "there is no character of that number"
}

/** What a line means. */
export const parse = (line: string): Line =>
  Result.match(words(line), {
    onFailure: (refused) => invalid(reasons[refused]),
    onSuccess: ([name, ...rest]) => {
      // A script's comment.
      if (name === undefined || name.startsWith("#")) return { _tag: "Empty" }
      if (rest.some(isUrlWithPassword)) return invalid(noPassword)
      if (rest.some(isUrl)) return invalid(noUrl)
      return parsers.get(name)?.(rest) ?? { _tag: "Invalid", reason: undefined, suggestion: suggest(name) }
    }
  })

const noUrl = "a URL has its place in a call of its own: the shell is at one server, and takes names alone"
const noPassword = "a password has no place in a URL: leave it out"

const invalid = (reason: string): Line => ({ _tag: "Invalid", reason, suggestion: undefined })

const run = (command: Command): Line => ({ _tag: "Run", command })

const alone = (line: Line) => (rest: ReadonlyArray<string>) => (rest.length === 0 ? line : invalid("it stands alone"))

/** A command with one word behind it, or none. */
const withOne =
  (line: (word: string | undefined) => Line): Parser =>
  (rest) =>
    withOptions(rest, [], ({ names: [word, ...more] }) =>
      more.length === 0 ? line(word) : invalid("it takes one word; one with spaces stands in quotes")
    )

type Parser = (rest: ReadonlyArray<string>) => Line

const treeOptions = ["-r", "--recursive", "--dry-run", "--delete", "--include", "--exclude"]

const options = {
  fetch: ["--digest"],
  upload: ["--as", ...treeOptions],
  download: ["--to", ...treeOptions, "--checksum"],
  para: ["--as", "--expect", ...treeOptions, "--checksum"],
  passwd: ["--generate", "--allow-weak"],
  remove: ["--expect"],
  rename: ["--replace", "--expect"]
}

/** The options that a command's lines take. */
export const optionsOf: Readonly<Record<string, ReadonlyArray<string>>> = options

const fetching: Parser = (rest) =>
  withOptions(rest, options.fetch, ({ given, names }) => {
    const [pattern] = names
    if (names.length > 1) return invalid("fetch takes one pattern")
    return run({ _tag: "Fetch", pattern, ...(given.has("--digest") && { digests: true }) })
  })

const downloading: Parser = (rest) =>
  withOptions(rest, options.download, ({ given, names, repeated }) => {
    if (names.length === 0) return invalid("download needs a name")
    const to = given.get("--to")
    return ofTree({ given, names, repeated }, (tree) => run({ _tag: "Download", names, to, ...tree }))
  })

/** The command with what is said of folders. */
const ofTree = ({ given, repeated }: Given, command: (tree: { readonly tree?: TreeOptions }) => Line): Line => {
  const [include, exclude] = [repeated.get("--include") ?? [], repeated.get("--exclude") ?? []]
  const said = ["--dry-run", "--delete", "--checksum", "--include", "--exclude"].find((option) => given.has(option))
  if (!given.has("-r") && !given.has("--recursive")) {
    return said === undefined ? command({}) : invalid(`${said} speaks of folders: add -r`)
  }
  if ([...include, ...exclude].includes("")) return invalid("--include and --exclude take a pattern, and '' is none")
  const [dryRun, remove, checksum] = [given.has("--dry-run"), given.has("--delete"), given.has("--checksum")]
  return command({ tree: { dryRun, remove, checksum, include, exclude } })
}

const verifying: Parser = (rest) =>
  withOptions(rest, [], ({ names: [name, file, ...more] }) =>
    name === undefined || file === undefined || more.length > 0
      ? invalid("verify needs the server's name and a local file")
      : run({ _tag: "Verify", name, file })
  )

const removing: Parser = (rest) =>
  withOptions(rest, options.remove, ({ given, names }) => {
    if (names.length === 0) return invalid("remove needs a name")
    return expecting(given, names, (expect) => ({ _tag: "Remove", names, ...expect }))
  })

const renaming: Parser = (rest) =>
  withOptions(rest, options.rename, ({ given, names: [name, to, ...more] }) => {
    if (name === undefined || to === undefined || more.length > 0) {
      return invalid("rename needs the server's name and the new one")
    }
    const replace = given.has("--replace")
    return expecting(given, [name], (expect) => ({ _tag: "Rename", name, to, ...(replace && { replace }), ...expect }))
  })

/** The command with the digest that `--expect` gives, when it is given. */
const expecting = (
  given: Given["given"],
  names: ReadonlyArray<string>,
  command: (expect: { readonly expect?: ContentDigest }) => Command
): Line => {
  const digest = given.get("--expect")
  if (digest === undefined) return run(command({}))
  if (names.length > 1) return invalid("--expect speaks of one file: give one")
  const expect = Option.getOrUndefined(Schema.decodeOption(ContentDigest)(digest))
  return expect === undefined
    ? invalid("--expect takes a digest, 64 hex digits: 'fetch --digest' shows it")
    : run(command({ expect }))
}

const uploading: Parser = (rest) =>
  withOptions(rest, options.upload, (said) =>
    ofTree(said, (tree) => {
      const { given, names } = said
      const as = given.get("--as")
      const refused = refusedFiles("upload", names, tree.tree === undefined ? as : undefined)
      return refused ?? run({ _tag: "Upload", files: names, as, ...tree })
    })
  )

const parallelizing: Parser = (rest) =>
  withOptions(rest, options.para, (said) =>
    ofTree(said, (tree) => {
      const { given, names } = said
      const as = given.get("--as")
      const refused = refusedFiles("para", names, tree.tree === undefined ? as : undefined)
      if (refused !== undefined) return refused
      if (tree.tree === undefined) {
        return expecting(given, names, (expect) => ({ _tag: "Para", files: names, as, ...expect }))
      }
      return given.has("--expect")
        ? invalid("--expect speaks of one file, and -r of folders")
        : run({ _tag: "Para", files: names, as, ...tree })
    })
  )

const changingPassword: Parser = (rest) =>
  withOptions(rest, options.passwd, ({ given, names }) =>
    names.length > 0
      ? invalid("a password is never typed into a line: you are asked for it")
      : { _tag: "Passwd", generate: given.has("--generate"), allowWeak: given.has("--allow-weak") }
  )

const refusedFiles = (command: string, names: ReadonlyArray<string>, as: string | undefined): Line | undefined => {
  if (names.length === 0) return invalid(`${command} needs a file`)
  return names.length > 1 && as !== undefined ? invalid("--as names one file: give one") : undefined
}

const parsers: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["fetch", fetching],
  ["upload", uploading],
  ["download", downloading],
  ["para", parallelizing],
  ["verify", verifying],
  ["passwd", changingPassword],
  ["remove", removing],
  ["rename", renaming],
  ["cd", withOne((to) => ({ _tag: "Cd", to }))],
  ["pwd", alone({ _tag: "Pwd" })],
  ["lcd", withOne((path) => ({ _tag: "Lcd", path }))],
  ["lpwd", alone({ _tag: "Lpwd" })],
  ["lls", withOne((path) => ({ _tag: "Lls", path }))],
  ["help", withOne((command) => ({ _tag: "Help", command }))],
  ["exit", alone({ _tag: "Exit" })]
])

interface Given {
  readonly names: ReadonlyArray<string>
  /** options with their values; an option that takes none has an empty one */
  readonly given: ReadonlyMap<string, string>
  /** all values of an option that was given more than once */
  readonly repeated: ReadonlyMap<string, ReadonlyArray<string>>
}

const flags: ReadonlySet<string> = new Set([
  "--allow-weak",
  "--checksum",
  "--delete",
  "--digest",
  "--dry-run",
  "--generate",
  "--recursive",
  "--replace",
  "-r"
])

/** Splits options from the names. After `--` everything is a name. */
const withOptions = (
  rest: ReadonlyArray<string>,
  options: ReadonlyArray<string>,
  use: (given: Given) => Line
): Line => {
  const names: Array<string> = []
  const given = new Map<string, string>()
  const repeated = new Map<string, ReadonlyArray<string>>()
  const give = (option: string, value: string): void => {
    given.set(option, value)
    repeated.set(option, [...(repeated.get(option) ?? []), value])
  }
  for (let index = 0; index < rest.length; index += 1) {
    const word = rest[index] ?? ""
    if (word === "--") return use({ names: [...names, ...rest.slice(index + 1)], given, repeated })
    const [option = "", ...value] = word.split("=")
    if (!options.includes(option) || (flags.has(option) && value.length > 0)) {
      if (word.startsWith("-") && word !== "-") {
        return invalid(`there is no option '${printable(word)}' here; a name that starts with '-' goes behind '--'`)
      }
      names.push(word)
    } else if (flags.has(option)) give(option, "")
    else if (value.length > 0) give(option, value.join("="))
    else {
      index += 1
      const next = rest[index]
      if (next === undefined) return invalid(`${option} needs a value`)
      give(option, next)
    }
  }
  return use({ names, given, repeated })
}

// -----------------------------------------------------------------------------
// Did you mean
// -----------------------------------------------------------------------------

const aliases: ReadonlyArray<readonly [string, string]> = [
  ["ls", "fetch"],
  ["list", "fetch"],
  ["dir", "fetch"],
  ["put", "upload"],
  ["send", "upload"],
  ["get", "download"],
  ["sync", "para"],
  ["parallelize", "para"],
  ["password", "passwd"],
  ["rm", "remove"],
  ["del", "remove"],
  ["delete", "remove"],
  ["mv", "rename"],
  ["move", "rename"],
  ["quit", "exit"],
  ["bye", "exit"],
  ["?", "help"]
]

/** The command that was probably meant: by the habit of other programs, by its beginning, or by few slips. */
export const suggest = (typed: string): string | undefined => {
  const word = typed.toLowerCase()
  const known = aliases.find(([alias]) => alias === word)
  if (known !== undefined) return known[1]
  const names = patterns.map(({ name }) => name)
  const begun = names.filter((name) => word.length > 1 && name.startsWith(word))
  if (begun.length === 1) return begun[0]
  return nearest(word, names)
}
