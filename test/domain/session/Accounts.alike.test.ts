/**
 * The accounts in memory do what those in files do: the same steps come to the same, whether they succeed or fail.
 */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Redacted, Schema } from "effect"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, recordBytes, setupBytes } from "../../../src/domain/channel/Opaque.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import { Accounts } from "../../../src/domain/session/Accounts.ts"
import * as AccountsFile from "../../../src/domain/session/AccountsFile.ts"
import { everything, type Grant } from "../../../src/domain/session/Grant.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"

const grants: Record<"everything" | "same" | "some" | "none", Grant> = {
  everything,
  same: { ...everything },
  some: { root: FileName.make("a/b"), rights: ["list"], quota: { files: 0 }, bytesPerSecond: { up: 1 } },
  none: { rights: [] }
}
const GrantName = Schema.Literals(["everything", "same", "some", "none"])
const user = Schema.Literals(["ada", "bob", "b.-_2"])
const seed = Schema.Literals([1, 2])
const now = Schema.Literals([0, 5, 8.64e15, 8.64e15 + 1, -1, 0.5])

const Step = Schema.Union([
  Schema.Struct({ do: Schema.tag("add"), user, seed, now, grant: GrantName }),
  Schema.Struct({ do: Schema.tag("put"), user, seed, now }),
  Schema.Struct({ do: Schema.tag("put"), user, seed, now: Schema.Literals([3, 4]) }),
  Schema.Struct({ do: Schema.tag("change"), user, seed, disabled: Schema.Boolean, grant: GrantName }),
  Schema.Struct({ do: Schema.Literals(["remove", "find"]), user }),
  Schema.Struct({ do: Schema.tag("stretch"), to: Schema.Literals([1, 2]) })
])
type Step = (typeof Step)["Type"]

const record = (seed: number) => Redacted.make(new Uint8Array(recordBytes).fill(seed))

const act = (accounts: Accounts["Service"], step: Step): Effect.Effect<unknown, { readonly message: string }> => {
  switch (step.do) {
    case "add":
      return accounts.add(UserName.make(step.user), record(step.seed), step.now, grants[step.grant])
    case "put":
      return accounts.put(UserName.make(step.user), record(step.seed), step.now)
    case "change":
      return accounts.change(UserName.make(step.user), () => ({
        record: record(step.seed),
        disabled: step.disabled,
        grant: grants[step.grant]
      }))
    case "remove":
      return accounts.remove(UserName.make(step.user))
    case "find":
      return Effect.map(accounts.find(UserName.make(step.user)), (found) => found && Redacted.value(found)[0])
    case "stretch":
      return accounts.stretch(step.to)
  }
}

/** What each step came to, and what everybody may do behind it. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const accounts = yield* Accounts
  const all: Array<unknown> = []
  for (const step of steps) {
    const came = yield* Effect.match(act(accounts, step), {
      onFailure: ({ message }) => message,
      onSuccess: (value) => ["done", value]
    })
    const grantOf = yield* accounts.grants
    all.push([came, user.literals.map((name) => grantOf(UserName.make(name))), yield* accounts.list])
    all.push(accounts.stretching)
  }
  return all
})

const inFolder = Layer.unwrap(
  Effect.map(
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
    (folder) => AccountsFile.layer(join(folder, "state"))
  )
).pipe(Layer.provide([NodeServices.layer, Opaque.layerQuick, StateLockNode.layer]))
const inMemory = Accounts.layerMemory(Redacted.make(new Uint8Array(setupBytes)), 1)

describe("the accounts in memory", () => {
  it.live.prop(
    "do what those in files do",
    [Schema.Array(Step).check(Schema.isMinLength(5), Schema.isMaxLength(15))],
    ([steps]) =>
      Effect.gen(function* () {
        const there = yield* Effect.provide(outcomes(steps), inFolder)
        const here = yield* Effect.provide(outcomes(steps), inMemory)
        assert.deepStrictEqual(here, there)
      }),
    { arbitrary: { runs: 15 } }
  )
})
