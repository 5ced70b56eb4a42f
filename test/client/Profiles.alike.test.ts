/**
 * The profiles in memory do what those in files do: the same steps come to the same, whether they succeed or fail.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { type Profile, ProfileName, Profiles } from "../../src/client/Profiles.ts"
import * as ProfilesNode from "../../src/client/ProfilesNode.ts"

const name = Schema.Literals(["a", "b", "a-"])
const text = Schema.Literals(["files.example", "ä \"'\\", "#\u007f\u0001\t\n\r", "\u2028=[]"])
const profile = {
  server: text,
  user: Schema.optionalKey(text),
  upRate: Schema.optionalKey(text),
  source: Schema.Literals(["none", "own", "other", "command", "elsewhere"])
}

const Step = Schema.Union([
  Schema.Struct({ do: Schema.tag("add"), name, replace: Schema.Boolean, ...profile }),
  Schema.Struct({ do: Schema.tag("addTwice"), name, replace: Schema.Boolean, ...profile }),
  Schema.Struct({ do: Schema.tag("keep"), name, password: text }),
  Schema.Struct({ do: Schema.Literals(["get", "remove"]), name })
])
type Step = (typeof Step)["Type"]

/** Passwords lie in a folder of the layer's own. */
interface Run {
  readonly passwords: string
  readonly kept: (path: string) => string | undefined
}

const profileOf = (step: Extract<Step, { readonly source: string }>, { passwords }: Run): Profile => {
  const { name, server, source, upRate, user } = step
  return {
    server,
    ...(user !== undefined && { user }),
    ...(upRate !== undefined && { upRate }),
    ...(source === "own" && { passwordFile: `${passwords}/${name}` }),
    ...(source === "other" && { passwordFile: `${passwords}/b` }),
    ...(source === "elsewhere" && { passwordFile: "/elsewhere" }),
    ...(source === "command" && { passwordCommand: "pass show" })
  }
}

const act = (step: Step, run: Run): Effect.Effect<unknown, { readonly message: string }, Profiles> =>
  Effect.flatMap(Profiles, (profiles): Effect.Effect<unknown, { readonly message: string }> => {
    const name = ProfileName.make(step.name)
    switch (step.do) {
      case "add":
        return profiles.add(name, profileOf(step, run), step)
      case "addTwice": {
        const add = Effect.match(profiles.add(name, profileOf(step, run), step), {
          onFailure: ({ message }) => message,
          onSuccess: () => "added"
        })
        return Effect.map(Effect.all([add, add], { concurrency: 2 }), (both) => both.toSorted())
      }
      case "keep":
        return profiles.keepPassword(name, Redacted.make(step.password))
      default:
        return profiles[step.do](name)
    }
  })

/** What each step came to, and what is there behind it. */
const outcomes = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>, run: Run) {
  const profiles = yield* Profiles
  const all: Array<unknown> = []
  for (const step of steps) {
    const came = yield* Effect.match(act(step, run), {
      onFailure: ({ message }) => message,
      onSuccess: (value) => ["done", value]
    })
    const kept = name.literals.map((one) => run.kept(`${run.passwords}/${one}`))
    all.push([step.do, came, kept, yield* profiles.list])
    for (const one of yield* profiles.list) all.push(yield* profiles.get(one))
  }
  // The folder of passwords is another in each.
  return JSON.stringify(all).replaceAll(run.passwords, "PASSWORDS")
})

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const inFiles = (steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder
    const kept = (path: string) => (fs.existsSync(path) ? fs.readFileSync(path, "utf8") : undefined)
    const layer = Layer.provide(ProfilesNode.layer(folder), NodeServices.layer)
    return yield* Effect.provide(outcomes(steps, { passwords: join(folder, "passwords"), kept }), layer)
  }).pipe(Effect.scoped)

const inMemory = (steps: ReadonlyArray<Step>) => {
  const passwords = new Map<string, string>()
  const run = { passwords: "/passwords", kept: (path: string) => passwords.get(path) }
  return Effect.provide(outcomes(steps, run), Profiles.layerMemory(passwords))
}

describe("the profiles in memory", () => {
  it.live.prop(
    "do what those in files do",
    [Schema.Array(Step).check(Schema.isMinLength(5), Schema.isMaxLength(15))],
    ([steps]) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(JSON.parse(yield* inMemory(steps)), JSON.parse(yield* inFiles(steps)))
      }),
    { arbitrary: { runs: 40 } }
  )
})
