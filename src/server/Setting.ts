/**
 * One setting of the server: a Schema that takes what a file says (numbers, booleans, lists) or what a flag or a
 * variable says (text), and what a person must know about it.
 */
import { ByteSize, Effect, Option, Schema, SchemaAST, SchemaGetter } from "effect"

/** What a person must know about a setting. */
export interface Facts {
  /** what it is, in one line */
  readonly text: string
  /** which values it takes, for whoever gave another one */
  readonly takes: string
  /** whether a reload takes it; else it takes a restart */
  readonly live: boolean
  /** the flag of its own, without `--`; any setting can be given by `--set` */
  readonly flag: string | undefined
}

export interface Options {
  readonly live?: boolean
  readonly flag?: string
}

const factsKey = "paradrop/server/Setting"

/** The facts of a field that one of the makers below has made. */
export const factsOf = (field: Schema.Constraint): Facts | undefined => SchemaAST.resolveAt<Facts>(factsKey)(field.ast)

const facts = (text: string, takes: string, { flag, live = false }: Options) => ({
  [factsKey]: { text, takes, live, flag } satisfies Facts
})

const defaulting = <S extends Schema.Codec<unknown, unknown>>(codec: S, fallback: S["Type"]) =>
  codec.pipe(Schema.withDecodingDefaultTypeKey<S>(Effect.succeed(fallback)))

// -----------------------------------------------------------------------------
// Numbers
// -----------------------------------------------------------------------------

export interface NumberOptions extends Options {
  readonly min?: number
  readonly max?: number
}

const within = (min: number, max: number) => Schema.isBetween({ minimum: min, maximum: max })

/** A whole number. */
export const count = (fallback: number, text: string, options: NumberOptions = {}) => {
  const { max = countMax, min = 1 } = options
  const codec = Schema.Union([Schema.Number, parsed(parseCount, String)]).check(Schema.isInt(), within(min, max))
  return defaulting(codec, fallback).annotate(facts(text, `a whole number from ${min} to ${max}`, options))
}

const countMax = 1_000_000_000

/** JavaScript takes no text at all for 0, and that as a port for any: an unset variable of a script means neither. */
const parseCount = (text: string): number => (/^ *\d+ *$/.test(text) ? Number(text) : Number.NaN)

/** A time, in milliseconds; written as `30 seconds`. */
export const time = (fallback: number, text: string, options: NumberOptions = {}) => {
  const { max = timeMillisecondsMax, min = 1 } = options
  const codec = parsed(parseTime, showTime).check(Schema.isInt(), within(min, max))
  const takes = `a time from ${showTime(min)} to ${showTime(max)}, as in "30 seconds" or "5 minutes"`
  return defaulting(codec, fallback).annotate(facts(text, takes, options))
}

/** What a timer of the platform holds: 2^31 milliseconds are 24.8 days. */
const timeMillisecondsMax = 24 * 24 * 60 * 60_000

/** An amount of bytes; written as `64 MiB`. */
export const bytes = (fallback: number, text: string, options: NumberOptions = {}) => {
  const { max = Number.MAX_SAFE_INTEGER, min = 1 } = options
  const codec = parsed(parseBytes, showBytes).check(Schema.isInt(), within(min, max))
  // The greatest whole number, which nobody could read, is one byte less than a number that one can.
  const upTo = max === Number.MAX_SAFE_INTEGER ? `less than ${showBytes(max + 1)}` : showBytes(max)
  const range = `from ${showBytes(min)} to ${upTo}`
  return defaulting(codec, fallback).annotate(facts(text, `an amount of bytes ${range}, as in "64 MiB"`, options))
}

/** A number that is written with its unit; text that is none is no number. */
const parsed = (parse: (text: string) => number, show: (value: number) => string) =>
  Schema.String.pipe(
    Schema.decodeTo(Schema.Number, { decode: SchemaGetter.transform(parse), encode: SchemaGetter.transform(show) })
  )

const timeUnits = [
  ["day", 24 * 60 * 60_000],
  ["hour", 60 * 60_000],
  ["minute", 60_000],
  ["second", 1000],
  ["milli", 1]
] as const

/** In the largest unit that has no rest. */
const showTime = (milliseconds: number): string => {
  for (const [unit, size] of timeUnits) {
    const amount = milliseconds / size
    if (amount >= 1 && Number.isInteger(amount)) return `${amount} ${unit}${amount === 1 ? "" : "s"}`
  }
  return `${milliseconds} millis`
}

const timePattern = /^(\d+(?:\.\d+)?) ?(milli|second|minute|hour|day)s?$/

const parseTime = (text: string): number => {
  const [, amount = "", unit = ""] = timePattern.exec(text) ?? []
  return Number(amount) * (timeUnits.find(([name]) => name === unit)?.[1] ?? Number.NaN)
}

const byteUnits = [
  ["TiB", 1024 ** 4],
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024]
] as const

/** In the largest binary unit that has no rest. */
const showBytes = (value: number): string => {
  for (const [unit, size] of byteUnits) if (value > 0 && value % size === 0) return `${value / size} ${unit}`
  return `${value} B`
}

const parseBytes = (text: string): number =>
  Option.getOrElse(Option.flatMap(ByteSize.fromString(text), ByteSize.toNumber), () => Number.NaN)

// -----------------------------------------------------------------------------
// Texts
// -----------------------------------------------------------------------------

const Text = Schema.NonEmptyString.check(Schema.isMaxLength(4096))
const textTakes = "a text of 1 to 4096 characters"

export const text = (fallback: string, about: string, options: Options = {}) =>
  defaulting(Text, fallback).annotate(facts(about, textTakes, options))

export interface TextOptions extends Options {
  /** whether a text is a value of it */
  readonly each?: (text: string) => boolean
  /** which texts are, for whoever gave another one */
  readonly takes?: string
}

/** A text that need not be there; absent unless somebody says it. */
export const optionalText = (about: string, options: TextOptions = {}) => {
  const { each = () => true, takes = textTakes } = options
  return Schema.optionalKey(Text.check(Schema.makeFilter(each)).annotate(facts(about, takes, options)))
}

/** One word of a few. */
export const choice = <const Words extends ReadonlyArray<string>>(
  words: Words,
  fallback: Words[number],
  about: string,
  options: Options = {}
) => defaulting(Schema.Literals(words), fallback).annotate(facts(about, words.join(" | "), options))

/** Yes or no. */
export const flag = (fallback: boolean, about: string, options: Options = {}) => {
  const Spoken = Schema.Literals(["true", "false"]).pipe(
    Schema.decodeTo(Schema.Boolean, {
      decode: SchemaGetter.transform((text: "true" | "false") => text === "true"),
      encode: SchemaGetter.transform((value: boolean) => (value ? ("true" as const) : ("false" as const)))
    })
  )
  return defaulting(Schema.Union([Schema.Boolean, Spoken]), fallback).annotate(facts(about, "true | false", options))
}

/** Several texts; in a flag or a variable with commas between them, and none where nothing is said. */
export const list = (fallback: ReadonlyArray<string>, about: string, options: TextOptions = {}) => {
  const { each = () => true, takes = `a list of texts, as in ["a", "b"]` } = options
  const Part = Text.check(Schema.makeFilter(each))
  const Spoken = Schema.String.pipe(
    Schema.decodeTo(Schema.Array(Part), {
      decode: SchemaGetter.transform((text: string) =>
        text.trim() === "" ? [] : text.split(",").map((part) => part.trim())
      ),
      encode: SchemaGetter.transform((parts: ReadonlyArray<string>) => parts.join(","))
    })
  )
  return defaulting(Schema.Union([Schema.Array(Part), Spoken]), fallback).annotate(facts(about, takes, options))
}
