import { assert, describe } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { CommandError } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import type { Digest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { type Right, rights } from "../../src/domain/session/Grant.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import type { SourceShrank } from "../../src/domain/transfer/Outgoing.ts"
import { connect, scenario, Watch } from "./world.ts"

const there = FileName.make("there")
const missing = FileName.make("missing")
const other = FileName.make("other")
const files = [there, other].map((name) => ({ name, content: Fixture.bytes(1, 200_000) }))
const digest = Fixture.digest(Fixture.bytes(1, 200_000))

type Failed = CommandError | SourceShrank
const content = Fixture.source(Fixture.bytes(2, 100))

/** Each command, and whether it was let through or which right it lacked. */
const commands: Record<string, (session: ClientSession) => Effect.Effect<unknown, Failed, Digest>> = {
  fetch: (session) => Stream.runCollect(session.fetch),
  digests: (session) => Stream.runCollect(session.fetchWith({ digests: true })),
  fetchToGet: (session) => Effect.scoped(session.fetchToGet([there])),
  describe: (session) => session.describe(there),
  download: (session) => session.download(there, () => Effect.succeed(Fixture.sink())),
  add: (session) => session.upload(missing, content),
  replace: (session) => session.upload(there, content),
  para: (session) => session.para(there, content),
  remove: (session) => session.remove(there),
  removeExpected: (session) => Effect.flatMap(digest, (now) => session.remove(there, now)),
  rename: (session) => session.rename(there, missing),
  renameOver: (session) => Effect.flatMap(digest, (expect) => session.rename(there, other, { replace: true, expect }))
}

const needed: Record<keyof typeof commands, ReadonlyArray<Right>> = {
  fetch: ["list"],
  digests: ["list", "read"],
  fetchToGet: ["list", "read"],
  describe: ["read"],
  download: ["read"],
  add: ["write"],
  replace: ["replace"],
  para: ["read", "replace"],
  remove: ["remove"],
  removeExpected: ["remove", "read"],
  rename: ["rename", "write"],
  renameOver: ["rename", "write", "replace", "read"]
}

const connectWith = (held: ReadonlyArray<Right>) =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    yield* accounts.change(Fixture.ada.user, (before) => ({ ...before, grant: { rights: held } }))
    return yield* connect()
  })

describe("every command with every set of rights", () => {
  for (const [command, run] of Object.entries(commands)) {
    const changes = command.startsWith("remove") || command.startsWith("rename")
    // The last two rights concern the commands of their names alone.
    const about = changes ? rights.slice(1) : rights.slice(0, 4)
    for (let mask = 0; mask < 2 ** about.length; mask += 1) {
      const held = about.filter((_, index) => (mask & (1 << index)) !== 0)
      // With neither right nobody looks what is there.
      const lacking =
        command === "replace" && !held.includes("replace") && !held.includes("write")
          ? "write"
          : needed[command]?.find((right) => !held.includes(right))
      scenario(
        `${command} with ${held.join("+") || "none"}: ${lacking === undefined ? "done" : `lacks ${lacking}`}`,
        () =>
          Effect.gen(function* () {
            const session = yield* connectWith(held)
            const outcome = yield* Effect.result(run(session))
            assert.strictEqual(outcome._tag, lacking === undefined ? "Success" : "Failure")
            if (outcome._tag === "Success") return
            const { failure } = outcome
            assert.isTrue(failure._tag === "RequestRefused" && failure.reason === "not-permitted")
            assert.strictEqual("detail" in failure ? failure.detail : "", lacking)
            assert.include(failure.message, "your account does not have the right to ")
            const { calls, held: open } = yield* Watch
            assert.deepStrictEqual([calls.write, calls.read], [0, 0])
            assert.deepStrictEqual(open, { stagings: 0, files: 0 })
            // A refusal ends the request and not the session.
            assert.isFalse(session.ended())
            assert.deepStrictEqual(yield* Effect.result(run(session)), outcome)
          }),
        { files }
      )
    }
  }
})
