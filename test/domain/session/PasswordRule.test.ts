import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result, Schema } from "effect"
import { passwordBytesMax, passwordCharactersMin } from "../../../src/domain/limits.ts"
import * as PasswordRule from "../../../src/domain/session/PasswordRule.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"

const ruleOf = (password: string, allowWeak = false): string =>
  Result.match(PasswordRule.check(password, allowWeak), { onSuccess: () => "accepted", onFailure: ({ rule }) => rule })

describe("check", () => {
  const accepted = [
    "correct horse",
    "Tr0ub4dor&3",
    "žluťoučký kůň",
    "batman eats pizza",
    "ax6iq-igeeq",
    "パスワードは秘密だよ"
  ]
  for (const password of accepted) it(`takes '${password}'`, () => assert.strictEqual(ruleOf(password), "accepted"))

  const refused: ReadonlyArray<readonly [string, string]> = [
    ["", "too-short"],
    ["123456", "too-short"],
    ["seven77", "too-short"],
    ["👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "too-short"],
    ["e\u0301".repeat(7), "too-short"],
    ["password", "too-common"],
    ["Password1!", "too-common"],
    ["!!dragon2024", "too-common"],
    ["12345678", "too-common"],
    ["87654321", "too-common"],
    ["1234567890", "too-common"],
    ["0987654321", "too-common"],
    ["89012345", "too-common"],
    ["21098765", "too-common"],
    ["xyzabcde", "too-common"],
    ["TrustNo1", "too-common"],
    ["1q2w3e4r", "too-common"],
    ["123123123", "too-common"],
    ["qwertyuiop", "too-common"],
    ["aaaaaaaaaaaa", "too-common"],
    ["abababababab", "too-common"],
    ["line\nfeed123", "not-text"],
    ["escape\u001b[31m", "not-text"],
    ["\ud800 alone and lost", "not-text"],
    [new TextDecoder().decode(Uint8Array.of(...Buffer.from("a long caf"), 0xe9)), "not-text"],
    ["x".repeat(passwordBytesMax) + "yz", "too-long"]
  ]
  for (const [password, rule] of refused) {
    it(`refuses ${JSON.stringify(password).slice(0, 40)} as ${rule}`, () => assert.strictEqual(ruleOf(password), rule))
  }

  it("takes short and common ones when told to, and nothing else", () => {
    const weak = refused.filter(([password, rule]) => password !== "" && /short|common/.test(rule))
    for (const [password] of weak) assert.strictEqual(ruleOf(password, true), "accepted")
    for (const [password, rule] of refused.filter((one) => !weak.includes(one))) {
      assert.strictEqual(ruleOf(password, true), rule)
    }
  })

  it("counts bytes of the normal form, and takes as many as there may be", () => {
    const half = passwordBytesMax / 2
    for (const [password, rule] of [
      ["xy".repeat(half), "accepted"],
      ["xy".repeat(half) + "x", "too-long"],
      ["é".repeat(half), "accepted"],
      ["e\u0301".repeat(half), "accepted"],
      ["é".repeat(half) + "x", "too-long"]
    ] as const) {
      assert.strictEqual(ruleOf(password, true), rule)
    }
  })

  it("gives the normal form, whichever was typed", () => {
    const expected = Result.succeed("caf\u00e9 au lait")
    for (const typed of ["cafe\u0301 au lait", "caf\u00e9 au lait"]) {
      assert.deepStrictEqual(PasswordRule.check(typed, false), expected)
    }
  })

  it.prop("what is taken is in normal form and is taken again", [Schema.String], ([password]) => {
    const result = PasswordRule.check(password, true)
    if (Result.isFailure(result)) return
    assert.strictEqual(result.success, password.normalize("NFC"))
    assert.deepStrictEqual(PasswordRule.check(result.success, true), result)
  })

  it.prop("how a character is spelt changes nothing", [Schema.String], ([password]) => {
    if (!password.isWellFormed()) return
    assert.deepStrictEqual(ruleOf(password.normalize("NFD")), ruleOf(password.normalize("NFC")))
  })

  it.prop("a refusal never quotes the password", [Schema.String.check(Schema.isMinLength(4))], ([password]) => {
    const result = PasswordRule.check(password, false)
    if (Result.isFailure(result)) assert.notInclude(JSON.stringify(result.failure), JSON.stringify(password))
  })
})

describe("generate", () => {
  const random = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))).check(
    Schema.isMinLength(PasswordRule.generateBytes),
    Schema.isMaxLength(PasswordRule.generateBytes)
  )

  it.prop("gives four groups of five that nobody misreads", [random], ([bytes]) => {
    assert.match(PasswordRule.generate(Uint8Array.from(bytes)), /^[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}$/)
  })

  it.effect.prop("gives all of it afresh", [Schema.Int], ([seed]) =>
    Effect.gen(function* () {
      const [one, two] = [yield* PasswordRule.generated, yield* PasswordRule.generated].map(Redacted.value)
      assert.match(one ?? "", /^[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}$/)
      assert.notStrictEqual(one, two)
    }).pipe(Effect.provide(Fixture.secureRandom(seed)))
  )

  it("uses 5 bits of every byte: 100 bits in all", () => {
    for (let index = 0; index < PasswordRule.generateBytes; index++) {
      const seen = new Set(
        Array.from({ length: 256 }, (_, value) =>
          PasswordRule.generate(new Uint8Array(PasswordRule.generateBytes).fill(value, index, index + 1))
        )
      )
      assert.strictEqual(seen.size, 32)
    }
  })

  it("passes the rule", () => {
    const bytes = Uint8Array.from({ length: PasswordRule.generateBytes }, (_, index) => index * 37)
    assert.strictEqual(ruleOf(PasswordRule.generate(bytes)), "accepted")
    assert.isAbove(PasswordRule.generate(bytes).length, passwordCharactersMin)
  })
})
