import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Option, Schema } from "effect"
import { FileName } from "../../src/domain/file/FileName.ts"
import { everything, Grant, rights } from "../../src/domain/session/Grant.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import * as GrantOptions from "../../src/server/GrantOptions.ts"

const nothing: GrantOptions.GrantOptions = {
  folder: Option.none(),
  rights: Option.none(),
  quotaBytes: Option.none(),
  quotaFiles: Option.none(),
  upRate: Option.none(),
  downRate: Option.none()
}
const saying = (said: { readonly [Name in keyof GrantOptions.GrantOptions]?: string }) =>
  GrantOptions.parse({ ...nothing, ...Object.fromEntries(Object.entries(said).map(([k, v]) => [k, Option.some(v)])) })

describe("what is said of a grant", () => {
  it.effect("is put into it, and the rest stays as it is", () =>
    Effect.gen(function* () {
      const restrict = yield* saying({ folder: "teams/ada/", rights: "list, read", quotaBytes: "10g", upRate: "1" })
      const restricted: Grant = {
        root: FileName.make("teams/ada"),
        rights: ["list", "read"],
        quota: { bytes: 10 * 1024 ** 3 },
        bytesPerSecond: { up: 1 }
      }
      assert.deepStrictEqual(restrict(everything), restricted)
      const more = yield* saying({ quotaFiles: "0", downRate: "5M" })
      assert.deepStrictEqual(more(restricted), {
        ...restricted,
        quota: { bytes: 10 * 1024 ** 3, files: 0 },
        bytesPerSecond: { up: 1, down: 5 * 1024 ** 2 }
      })
      const none = { folder: "/", rights: "all", quotaBytes: "none", quotaFiles: "none", upRate: "none" }
      const back = yield* saying(none)
      assert.deepStrictEqual(back(more(restricted)), { rights, bytesPerSecond: { down: 5 * 1024 ** 2 } })
      assert.deepStrictEqual((yield* saying({ rights: "none" }))(restricted).rights, [])
    })
  )

  it.effect("changes nothing when nothing is said, and is always a grant", () =>
    Effect.gen(function* () {
      const keep = yield* GrantOptions.parse(nothing)
      const restrict = yield* saying({ rights: "list", quotaBytes: "1T", downRate: "1K" })
      const isGrant = Schema.is(Grant)
      const outcome = yield* Arbitrary.checkEffect(Arbitrary.schema(Grant), (grant) =>
        Effect.sync(() => {
          const { bytesPerSecond = {}, quota = {}, ...others } = grant
          const full = {
            ...others,
            ...(Object.keys(quota).length > 0 && { quota }),
            ...(Object.keys(bytesPerSecond).length > 0 && { bytesPerSecond })
          }
          assert.deepStrictEqual(keep(grant), full)
          return isGrant(restrict(grant))
        })
      )
      assert.strictEqual(outcome._tag, "Passed")
    })
  )

  const refused: ReadonlyArray<readonly [Parameters<typeof saying>[0], string]> = [
    [{ folder: "../x" }, "--folder: '../x' cannot be a file name (dot-segment): '.' and '..' are not allowed"],
    [{ folder: "" }, "--folder: '' cannot be a file name (empty)"],
    [{ folder: ".paradrop" }, "(reserved)"],
    [{ rights: "list,fly" }, "'list,fly' is no list of rights: some of list,read,write,replace,remove,rename"],
    [{ rights: "list,list" }, "is no list of rights"],
    [{ rights: "" }, "is no list of rights"],
    [{ quotaBytes: "-1" }, "--quota-bytes is 0 to "],
    [{ quotaBytes: "9999999999T" }, "--quota-bytes is 0 to "],
    [{ quotaFiles: "1.5" }, "--quota-files is 0 to "],
    [{ upRate: "0" }, "--up-rate is 1 to "],
    [{ downRate: "5\u001b[31m" }, "not '5\\x1b[31m'"]
  ]
  for (const [said, text] of refused) {
    it.effect(`${JSON.stringify(said)} is refused, with the flag and what it takes`, () =>
      Effect.gen(function* () {
        assert.include((yield* Effect.flip(saying(said))).message, text)
      })
    )
  }
})

describe("an account in a line", () => {
  const account = { user: UserName.make("ada"), created: 86_400_000, disabled: false, grant: everything }
  it("shows what it may do", () => {
    assert.strictEqual(GrantOptions.describe(account), "1970-01-02  enabled  all  /")
    const grant: Grant = {
      root: FileName.make("a/b"),
      rights: ["list"],
      quota: { files: 3 },
      bytesPerSecond: { down: 9 }
    }
    assert.strictEqual(
      GrantOptions.describe({ ...account, disabled: true, grant }),
      "1970-01-02  disabled  list  a/b  quota-files=3  down-rate=9"
    )
  })
})
