/**
 * Which passwords an account may have, and how a strong one is made.
 *
 * A short list of the most common passwords is refused; guessing more than those is slowed by the login guard, and for
 * a thief of the server's files by the stretching.
 */
import { Effect, Redacted, Result, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { Password } from "../channel/Opaque.ts"
import { passwordBytesMax, passwordCharactersMin } from "../limits.ts"
import { utf8Length } from "../Bytes.ts"

/** The password is refused. Never holds the password. */
export class PasswordRefused extends Schema.TaggedError<PasswordRefused>()("PasswordRefused", {
  rule: Schema.Literals(["too-short", "too-long", "too-common", "not-text"])
}) {
  override get message(): string {
    return texts[this.rule]
  }
}

const texts: Record<PasswordRefused["rule"], string> = {
  "too-short": `a password has at least ${passwordCharactersMin} characters: take a longer one, or --generate one`,
  "too-long": `a password has at most ${passwordBytesMax} bytes: take a shorter one`,
  "too-common": "this is one of the first passwords that anybody would try: take another, or --generate one",
  "not-text": "a password is text in UTF-8 without control characters: take another, or --generate one"
}

/**
 * The password in its normal form (NFC), or the rule that it breaks.
 *
 * @param allowWeak lets short and common ones through; an empty one never
 */
export const check = (password: string, allowWeak: boolean): Result.Result<string, PasswordRefused> => {
  const normal = password.normalize("NFC")
  const refusal = hardRule(normal) ?? (allowWeak ? undefined : weakness(normal))
  return refusal === undefined ? Result.succeed(normal) : Result.fail(new PasswordRefused({ rule: refusal }))
}

const hardRule = (password: string): PasswordRefused["rule"] | undefined => {
  if (password === "") return "too-short"
  // What is no UTF-8 was read as U+FFFD, whatever it was: many passwords would be one.
  if (!password.isWellFormed() || /[\p{Cc}\ufffd]/u.test(password)) return "not-text"
  return utf8Length(password) > passwordBytesMax ? "too-long" : undefined
}

const weakness = (password: string): PasswordRefused["rule"] | undefined => {
  // Characters as a person counts them: an accent or an emoji is one.
  const characters = Array.from(new Intl.Segmenter("en", { granularity: "grapheme" }).segment(password))
  if (characters.length < passwordCharactersMin) return "too-short"
  return isCommon(password) ? "too-common" : undefined
}

const isCommon = (password: string): boolean => {
  const folded = password.toLowerCase()
  // Digits and signs around a common word are what everybody adds.
  const core = folded.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, "")
  return common.has(folded) || common.has(core) || isRun(folded) || new Set(folded).size <= 2
}

/** Neighbours of the keyboard or the alphabet in a row, forth or back. */
const isRun = (password: string): boolean => runs.some((run) => run.includes(password))

const rows = [
  "0123456789",
  "abcdefghijklmnopqrstuvwxyz",
  "qwertyuiop",
  "qwertzuiop",
  "asdfghjkl",
  "zxcvbnm",
  "1qaz2wsx3edc"
]
const runs = rows.flatMap((row) => {
  const twice = row + row
  return [twice, Array.from(twice).toReversed().join("")]
})

const common = new Set([
  "password",
  "passw0rd",
  "p@ssword",
  "p@ssw0rd",
  "passwort",
  "letmein",
  "iloveyou",
  "welcome",
  "sunshine",
  "princess",
  "football",
  "baseball",
  "superman",
  "batman",
  "trustno1",
  "starwars",
  "whatever",
  "computer",
  "internet",
  "michelle",
  "jennifer",
  "charlie",
  "dragon",
  "monkey",
  "master",
  "shadow",
  "freedom",
  "qwerty",
  "qwertz",
  "abc",
  "admin",
  "administrator",
  "root",
  "default",
  "changeme",
  "secret",
  "paradrop",
  "test",
  "testtest",
  "guest",
  "hello",
  "login",
  "asdfasdf",
  "qwerqwer",
  "zaq12wsx",
  "1q2w3e4r",
  "1q2w3e4r5t",
  "q1w2e3r4",
  "11223344",
  "12341234",
  "123123123",
  "12345678910",
  "987654321",
  "147258369",
  "mercedes",
  "samsung",
  "liverpool",
  "chelsea",
  "corvette",
  "cowboys",
  "maverick",
  "michael",
  "jordan",
  "hunter",
  "pokemon",
  "access",
  "killer",
  "summer",
  "winter",
  "spring",
  "autumn"
])

// -----------------------------------------------------------------------------
// Making one
// -----------------------------------------------------------------------------

/** Letters and digits that nobody mixes up when reading or typing: 32 of them, 5 bits each. */
const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"

/** Random bytes that `generate` takes: one for each character. */
export const generateBytes = 20

/** A strong password from random bytes: four groups of five characters, 100 bits when the bytes are uniform. */
export const generate = (random: Uint8Array): string =>
  Array.from(random.subarray(0, generateBytes), (byte, index) => {
    const character = alphabet.charAt(byte & 31)
    return index > 0 && index % 5 === 0 ? `-${character}` : character
  }).join("")

/** A fresh strong password. */
export const generated: Effect.Effect<Password, never, SecureRandom.SecureRandom> = Effect.gen(function* () {
  const random = yield* SecureRandom.SecureRandom
  return Redacted.make(generate(yield* random.randomBytes(generateBytes)))
})
