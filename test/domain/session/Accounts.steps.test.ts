/**
 * Edits of accounts that are interrupted at their steps: each is made whole, and told of, or not at all.
 */
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Redacted } from "effect"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, recordBytes, setupBytes } from "../../../src/domain/channel/Opaque.ts"
import { Accounts } from "../../../src/domain/session/Accounts.ts"
import * as AccountsFile from "../../../src/domain/session/AccountsFile.ts"
import { everything } from "../../../src/domain/session/Grant.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"
import { interruptedAt } from "../../steps.ts"

const user = UserName.make("ada")
const record = Redacted.make(new Uint8Array(recordBytes).fill(1))

const inMemory = Accounts.layerMemory(Redacted.make(new Uint8Array(setupBytes)), 1)
const inFiles = Layer.unwrap(
  Effect.map(
    FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped()),
    (folder) => AccountsFile.layer(join(folder, "state"))
  )
).pipe(Layer.provide([Opaque.layerQuick, StateLockNode.layer]), Layer.provide(NodeServices.layer))

const edits: Readonly<Record<string, (accounts: Accounts["Service"]) => Effect.Effect<void, unknown>>> = {
  add: ({ add }) => add(user, record, 5, everything),
  put: ({ put }) => put(user, record, 5),
  change: ({ change }) => change(user, (before) => ({ ...before, disabled: true })),
  remove: ({ remove }) => remove(user)
}

describe("an edit of accounts that is interrupted, wherever it is,", () => {
  for (const [title, layer, stride] of [
    ["in memory", inMemory, 1],
    ["in files", inFiles, 11]
  ] as const) {
    it.live(`gives another edition exactly when it was made, and keeps nobody from the next (${title})`, () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        for (const [name, edit] of Object.entries(edits)) {
          for (let step = 1, more = true; more; step += stride) {
            yield* Effect.ignore(accounts.remove(user))
            if (name === "change" || name === "remove") yield* accounts.add(user, record, 5, everything)
            const before = { edition: yield* accounts.edition, list: yield* accounts.list }
            more = yield* interruptedAt(edit(accounts), step)
            const after = { edition: yield* accounts.edition, list: yield* accounts.list }
            const isEdited = JSON.stringify(after.list) !== JSON.stringify(before.list)
            assert.strictEqual(after.edition !== before.edition, isEdited, `${name} at ${step}`)
            if (!more) assert.isTrue(isEdited)
          }
        }
      }).pipe(Effect.provide(layer))
    )
  }
})
